//! Servers and networks that fall silent, and streams that others end: told by a code, and gone on from by itself.

mod harness;

use harness::Fault;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Proxy;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::numbered::ids;
use harness::numbered::wait_for_row;
use std::time::Duration;

const IMPATIENT: &[&str] = &[
    "start_without_point=beginning",
    "mysql_ssl_mode=disabled",
    "sink=stdout",
    "repeat_resource_interval=50ms",
    "mysql_replication_socket_so_timeout=1s",
    "mysql_heartbeat_period=200ms",
];

const AT_ONCE: &[&str] = &["data_source_try_interval=50ms"];

fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(200)) ENGINE=InnoDB");
}

fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id},REPEAT('x',200))"));
}

fn count(run: &Running, word: &str) -> usize {
    run.stderr().lines().filter(|line| line.contains(word)).count()
}

/// Ends the run, and every row has come once, in order, numbered without holes.
fn all_rows_once(run: Running, last: u64) {
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&output.stdout);
    assert_eq!(ids(&lines), (1..=last).collect::<Vec<_>>());
    assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "numbered without holes");
}

/// Nothing comes any more, in the middle of an event or between two: the silence is noticed and told.
fn a_stream_that_stalls_is_given_up(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    create(&server);
    for id in 1..=20 {
        insert(&server, id);
    }
    let proxy = Proxy::start(server.port());
    // By position there is nothing that the server would have to search for before its first words.
    let by_gtid = options == GTID || kind == Kind::Mariadb;
    let late = Fault::Stall(3333);
    // The first row comes with the first 1500 bytes: then the second stream reads ahead for its definition.
    proxy.plan(if by_gtid { vec![Fault::Stall(1500), late, late] } else { vec![Fault::Stall(20), late] });
    let home = Fountain::new();
    let pairs = [IMPATIENT, AT_ONCE].concat();
    let mut run = home.spawn(&run_arguments_through(&home, &server, proxy.port(), &keys(&pairs)));
    wait_for_row(&mut run, 20);
    let told = count(&run, "STALLED");
    assert!(told >= 2, "{}", run.stderr());
    // An idle stream lives from its heartbeats. (On a machine that stands still itself it may be lost all the same.)
    let kept = (0..5).any(|_| {
        let before = proxy.streams();
        std::thread::sleep(Duration::from_millis(1300));
        proxy.streams() == before
    });
    assert!(kept, "{}", run.stderr());
    // It dies without them.
    let told = count(&run, "STALLED");
    proxy.stall();
    run.wait_for("the silence is told", PATIENCE, |run| count(run, "STALLED") > told);
    proxy.resume();
    insert(&server, 21);
    wait_for_row(&mut run, 21);
    all_rows_once(run, 21);
}

#[test]
fn a_stream_that_stalls_is_given_up_mysql56() {
    a_stream_that_stalls_is_given_up(Kind::Mysql56, &[]);
}

#[test]
fn a_stream_that_stalls_is_given_up_mysql97() {
    a_stream_that_stalls_is_given_up(Kind::Mysql97, GTID);
}

#[test]
fn a_stream_that_stalls_is_given_up_mariadb() {
    a_stream_that_stalls_is_given_up(Kind::Mariadb, &[]);
}

#[test]
fn a_frozen_server_comes_back() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        insert(&server, 1);
        let home = Fountain::new();
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&[IMPATIENT, AT_ONCE].concat())));
        wait_for_row(&mut run, 1);
        server.stall();
        run.wait_for("the silence is told", PATIENCE, |run| count(run, "STALLED") > 0);
        server.resume();
        insert(&server, 2);
        wait_for_row(&mut run, 2);
        all_rows_once(run, 2);
    }
}

/// The number of the dump's connection on the server.
fn dump_thread(server: &Server) -> Option<String> {
    let rows =
        server.select("SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'");
    (rows.len() == 1).then(|| rows[0][0].clone().expect("a number"))
}

#[test]
fn a_killed_dump_is_asked_for_again() {
    for (kind, options) in [(Kind::Mysql56, GTID), (Kind::Mysql97, &[]), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        insert(&server, 1);
        let home = Fountain::new();
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&[IMPATIENT, AT_ONCE].concat())));
        for id in 2..=5 {
            let mut dump = None;
            harness::wait_until("the dump", PATIENCE, || {
                dump = dump_thread(&server);
                dump.is_some()
            });
            server.sql(&format!("KILL {}", dump.expect("the loop above ended")));
            insert(&server, id);
            wait_for_row(&mut run, id);
        }
        all_rows_once(run, 5);
    }
}

/// What the server says against a dump is understood, however the network cuts it up. (It refuses a position that is
/// not the start of an event only when it reads there.)
#[test]
fn a_refusal_that_comes_in_pieces() {
    // MariaDB is asked for the GTID at a place before, and no dump is begun there.
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        let (file, _) = server.binlog_end();
        let start = [format!("mysql_binlogdump_filename={file}"), "mysql_binlogdump_position=9".to_owned()];
        let proxy = Proxy::start(server.port());
        for piece in [15, 16, 21] {
            proxy.pieces(piece);
            let home = Fountain::new();
            let pairs = keys(&[&start[0], &start[1], "mysql_ssl_mode=disabled", "sink=null"]);
            let output = home.run(&run_arguments_through(&home, &server, proxy.port(), &pairs), PATIENCE);
            assert_eq!(output.code, 1, "{kind} {piece}: {}", output.stderr);
            assert!(
                output.stderr.contains("BAD_EVENT") && output.stderr.contains("1236"),
                "{kind} {piece}: {}",
                output.stderr
            );
        }
    }
}

/// Two processes with one id contend for the stream: it is said so, and rows come all the same.
#[test]
fn a_second_replica_with_our_id() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    insert(&server, 1);
    let homes = [Fountain::new(), Fountain::new()];
    let pairs = [IMPATIENT, &["mysql_shard_0_slaveId=4242", "data_source_try_interval=500ms"]].concat();
    let mut runs: Vec<Running> =
        homes.iter().map(|home| home.spawn(&run_arguments(home, &server, &keys(&pairs)))).collect();
    for run in &mut runs {
        run.wait_for("the clash is told", PATIENCE, |run| {
            count(run, "REPLICA_ID_CLASH") > 0 && run.stderr().contains("mysql_shard_N_slaveId")
        });
    }
    for id in 2..=4 {
        insert(&server, id);
        runs.iter_mut().for_each(|run| wait_for_row(run, id));
    }
    for run in runs {
        // One line, however often the stream is taken away, and one for the connect before and behind it.
        let told = ["REPLICA_ID_CLASH", "connected: MariaDB"].map(|word| count(&run, word));
        assert!(told[0] == 1 && told[1] <= 2, "{}", run.stderr());
        all_rows_once(run, 4);
    }
}
