//! SIGTERM and SIGINT: seen at once whatever fountain waits for, ended in good order, and gone on from without a loss or
//! a repeat.

mod harness;

use harness::Fault;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Proxy;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;
use harness::numbered::create_wide;
use harness::numbered::ids;
use harness::numbered::ids_in;
use harness::numbered::insert_wide;
use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;
use std::time::Instant;

const BEGINNING: &str = "start_without_point=beginning";

/// Longer than a stop takes on a busy machine, shorter than `stop_timeout_ms`.
const SOON: Duration = Duration::from_secs(9);

/// Ends a run by a signal: with exit code 0, soon, and without a word of trouble.
#[track_caller]
fn ends_well(run: Running, signal: &str) -> Output {
    let begun = Instant::now();
    run.signal(signal);
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(begun.elapsed() < SOON, "it took {:?}: {}", begun.elapsed(), output.stderr);
    assert!(output.stderr.contains("asked to stop"), "{}", output.stderr);
    assert!(
        !output.stderr.contains("panicked") && !output.stderr.contains("STOP_TIMEOUT"),
        "{}",
        output.stderr
    );
    output
}

#[test]
fn an_idle_stream() {
    for (kind, options) in [(Kind::Mysql56, &[][..]), (Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create_wide(&server);
        let home = Fountain::new();
        for (id, signal) in (1..).zip(["TERM", "INT", "TERM"]) {
            let mut run = home.spawn(&run_arguments(&home, &server, &keys(&[BEGINNING, "sink=stdout"])));
            insert_wide(&server, id, 1);
            run.wait_for("the row", PATIENCE, |run| run.stdout().contains(&format!("{{\"id\":{id},")));
            let output = ends_well(run, signal);
            assert_eq!(ids(&parse(&output.stdout)), [id], "{kind}: no row is repeated");
        }
    }
}

/// Stopped again and again while it has more to do than it can: the files are those of an undisturbed run.
#[test]
fn a_busy_stream() {
    for (kind, options) in [(Kind::Mysql56, &[][..]), (Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create_wide(&server);
        for part in 0..60 {
            // Every tenth transaction is many packs large.
            let count = if part % 10 == 9 { 1000 } else { 20 };
            insert_wide(&server, part * 1000, count);
        }
        let pairs = keys(&[BEGINNING, "pack_max_bytes=64KiB"]);
        let calm = Fountain::new();
        assert_eq!(run_until(&calm, &server, "end", &pairs).code, 0);
        let expected = data(&calm.home().join("data"));

        let home = Fountain::new();
        let mut sizes = vec![0];
        while data(&home.home().join("data")).len() < expected.len() {
            let run = home.spawn(&run_arguments(&home, &server, &pairs));
            let before = sizes[sizes.len() - 1];
            harness::wait_until("it delivers", PATIENCE, || data(&home.home().join("data")).len() > before);
            ends_well(run, "TERM");
            sizes.push(data(&home.home().join("data")).len());
        }
        assert!(data(&home.home().join("data")) == expected, "{kind}: after {} stops", sizes.len());
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("mysql_shard_0_port={}", listener.local_addr().expect("its address").port());
    let pairs = ["mysql_shard_0_server=127.0.0.1", &port, "mysql_username=repl", "sink=null"];
    let home = Fountain::new();
    let run = home.spawn(&[&["run"], &keys(&pairs)[..]].concat());
    let connection = listener.accept().expect("fountain connects");
    ends_well(run, "TERM");
    drop(connection);
    assert!(!home.home().join("points/producer00.point").exists(), "nothing was read, so nothing is saved");
}

#[test]
fn between_two_tries() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("mysql_shard_0_port={}", listener.local_addr().expect("its address").port());
    drop(listener);
    let pairs = [
        "mysql_shard_0_server=127.0.0.1",
        &port,
        "mysql_shard_0_ha1_server=127.0.0.1",
        &port.replace("0_port", "0_ha1_port"),
        "mysql_username=repl",
        "sink=null",
        "repeat_resource_interval=1h",
        "data_source_try_interval=100ms",
    ];
    for word in ["trying again", "UNREACHABLE"] {
        let home = Fountain::new();
        let mut run = home.spawn(&[&["run"], &keys(&pairs)[..]].concat());
        run.wait_for("a failed try", PATIENCE, |run| run.stderr().contains(word));
        ends_well(run, "INT");
    }
}

/// A stream that has stalled, long before its silence is noticed; and the wait for the next try after a break.
#[test]
fn a_silent_stream_and_a_broken_one() {
    let Some(server) = Server::start_private(Kind::Mysql97, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 1);
    let proxy = Proxy::start(server.port());
    proxy.plan([Fault::Stall(600), Fault::Cut(0)]);
    let home = Fountain::new();
    let pairs = keys(&[BEGINNING, "mysql_ssl_mode=disabled", "data_source_try_interval=1h"]);
    let arguments = run_arguments_through(&home, &server, proxy.port(), &pairs);
    let mut run = home.spawn(&arguments);
    run.wait_for("the stream", PATIENCE, |_| proxy.streams() == 1);
    ends_well(run, "TERM");
    let mut run = home.spawn(&arguments);
    run.wait_for("the break", PATIENCE, |run| run.stderr().contains("reconnecting"));
    ends_well(run, "TERM");
    assert_eq!(run_until(&home, &server, "end", &[]).code, 0);
    assert_eq!(ids_in(&home), [1]);
}

/// While the disk has no room, nothing is delivered, so nothing is saved, and the next run begins with it.
#[test]
fn a_full_disk() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 3);
    let home = Fountain::new();
    assert_eq!(run_until(&home, &server, "end", &keys(&[BEGINNING])).code, 0);
    insert_wide(&server, 4, 2);
    let mut run = home.spawn(&run_arguments(&home, &server, &keys(&["file_min_free_bytes=900TiB"])));
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("waiting_for_sink"));
    ends_well(run, "TERM");
    assert_eq!(run_until(&home, &server, "end", &[]).code, 0);
    assert_eq!(ids_in(&home), [1, 2, 3, 4, 5]);
}

/// A pack that is in the pipe in part has to be finished: the stop waits for the reader, and not for ever.
#[test]
fn a_reader_that_does_not_read() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 2000);
    let home = Fountain::new();
    let pairs = keys(&[BEGINNING, "sink=stdout", "stop_timeout_ms=3s"]);
    let (mut run, unread) = home.spawn_unread(&run_arguments(&home, &server, &pairs));
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("waiting_for_sink"));
    // A part of the pack is in the pipe: it cannot be taken back, and the rest cannot go out.
    let begun = Instant::now();
    run.signal("TERM");
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(
        output.stderr.lines().filter(|line| line.contains("STOP_TIMEOUT")).count(),
        1,
        "{}",
        output.stderr
    );
    drop(unread);

    // A reader that goes on in time gets the whole pack, and the stop is in good order.
    let pairs = keys(&[BEGINNING, "sink=stdout"]);
    let (mut run, mut unread) = home.spawn_unread(&run_arguments(&home, &server, &pairs));
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("waiting_for_sink"));
    run.signal("TERM");
    run.wait_for("it is told", PATIENCE, |run| run.stderr().contains("asked to stop"));
    let mut text = String::new();
    unread.read_to_string(&mut text).expect("lines are UTF-8");
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let first = ids(&parse(&text));
    assert!(first.first() == Some(&1) && !first.is_empty(), "what was not delivered comes again");
    let rest = run_until(&home, &server, "end", &keys(&["sink=stdout"]));
    assert_eq!([first, ids(&parse(&rest.stdout))].concat(), (1..=2000).collect::<Vec<_>>());
}

/// A consumer that takes its time is no failure, whatever the run is for.
#[test]
fn a_slow_reader_gets_everything() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 2000);
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &keys(&[BEGINNING, "sink=stdout"]));
    let (mut run, mut unread) =
        home.spawn_unread(&[arguments, vec!["--until".into(), "end".into()]].concat());
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("waiting_for_sink"));
    let mut text = String::new();
    unread.read_to_string(&mut text).expect("lines are UTF-8");
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids(&parse(&text)), (1..=2000).collect::<Vec<_>>());
    assert_eq!(
        output.stderr.lines().filter(|line| line.contains("stdout")).count(),
        1,
        "told once: {}",
        output.stderr
    );
}

/// Several shards wait for different things; one signal ends them all.
#[test]
fn several_shards_at_once() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("mysql_shard_1_port={}", silent.local_addr().expect("its address").port());
    let home = Fountain::new();
    let pairs = [BEGINNING, "sink=stdout", "mysql_shard_1_server=127.0.0.1", &port];
    let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
    run.wait_for("the first shard delivers", PATIENCE, |run| run.stdout().contains("CREATE TABLE d.t"));
    let connection = silent.accept().expect("the second shard connects");
    ends_well(run, "TERM");
    drop(connection);
}
