//! Backups by GTID, with servers that really replicate: what one lacks or has lost is named, waited for and refused; what is
//! lost for good is given up; the shard goes over and comes back without a row lost or repeated.

mod harness;

use harness::Fault;
use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Proxy;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;
use harness::numbered::count_anew;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::numbered::selected;
use harness::pair::By;
use harness::pair::Pair;
use harness::pair::log_updates_off;
use harness::stored::lines_in;
use harness::stored::point;
use harness::wait_until;
use serde_json::Value;
use std::collections::HashSet;
use std::ops::Range;
use std::time::Instant;

const ALL: [Kind; 3] = [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb];
const ALWAYS: [&str; 4] = [
    "start_without_point=beginning",
    "dispatch_ddl=none",
    "data_source_try_interval=100ms",
    "repeat_resource_interval=300ms",
];

/// A pair with d.t on both, and the rows 1 to 3 delivered.
fn begun(kind: Kind, home: &Fountain) -> Option<Pair> {
    // A main server that becomes a replica, and is down for a while, comes up lagging.
    let pair = Pair::start_with(kind, By::Gtid, &[skip_start(kind)], &[])?;
    create(&pair.main);
    write(&pair.main, 1..4);
    pair.wait_until_caught_up();
    run_main(home, &pair.main);
    Some(pair)
}

fn write(server: &Server, ids: Range<u64>) {
    ids.for_each(|id| insert(server, id));
}

fn run_main(home: &Fountain, server: &Server) {
    let output = run_until(home, server, "end", &keys(&ALWAYS));
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// A run of the pair that goes on.
fn spawn(home: &Fountain, pair: &Pair, pairs: &[&str]) -> Running {
    home.spawn(&pair.run_arguments(home, &keys(&[&ALWAYS, pairs].concat())))
}

/// A run that knows one server only, as behind an address that has moved.
fn spawn_alone(home: &Fountain, server: &Server, pairs: &[&str]) -> Running {
    home.spawn(&run_arguments(home, server, &keys(&[&ALWAYS, pairs].concat())))
}

fn wait_for_rows(run: &mut Running, home: &Fountain, count: usize) {
    run.wait_for(&format!("{count} rows"), PATIENCE, |_| lines_in(home).len() >= count);
}

/// All ids once, and no transaction's row twice.
#[track_caller]
fn assert_once(home: &Fountain, expected: &[u64]) {
    let lines = lines_in(home);
    let names: HashSet<String> =
        lines.iter().map(|line| format!("{} {}", line["gtid"], line["row"])).collect();
    assert_eq!(names.len(), lines.len(), "a row came twice");
    assert_eq!(ids_in(home), expected);
    assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "numbered without holes");
}

/// The ids of the rows that came from this server.
fn from_server(home: &Fountain, server: &Server) -> Vec<u64> {
    let place = format!("127.0.0.1:{}", server.port());
    let lines = lines_in(home);
    let of = |line: &&Value| line["server"] == place.as_str();
    lines.iter().filter(of).map(|line| line["after"]["id"].as_u64().expect("an id")).collect()
}

fn lines_with<'a>(stderr: &'a str, code: &str) -> Vec<&'a str> {
    stderr.lines().filter(|line| line.contains(code)).collect()
}

/// The transactions of the point that a server lacks, as the message must name them.
fn last_two(server: &Server) -> String {
    match server.kind().is_mysql() {
        true => {
            let executed = server.gtid_executed();
            let (uuid, last) = executed.rsplit_once(':').expect("a set");
            let last: u64 = last.rsplit('-').next().expect("a number").parse().expect("a number");
            format!("2 transactions that the point holds: {uuid}:{}-{last};", last - 1)
        }
        false => {
            let last = server.gtid_executed();
            let (head, number) = last.rsplit_once('-').expect("a GTID");
            let number: u64 = number.parse().expect("a number");
            format!("2 transactions: {last} (it is at {head}-{})", number - 2)
        }
    }
}

/// The delivered point is two transactions ahead of the backup, which is the only server that the next run knows.
fn with_lagging_backup(pair: &Pair, home: &Fountain) {
    pair.stop_replication();
    write(&pair.main, 4..6);
    run_main(home, &pair.main);
}

#[test]
fn a_backup_that_lags_is_waited_for_also_before_the_first_row() {
    for kind in ALL {
        let home = Fountain::new();
        let Some(pair) = begun(kind, &home) else { continue };
        with_lagging_backup(&pair, &home);
        let mut run = spawn_alone(&home, &pair.backup, &[]);
        run.wait_for("the lag is told", PATIENCE, |run| run.stderr().contains("SOURCE_LAGS"));
        write(&pair.main, 6..8);
        pair.start_replication();
        wait_for_rows(&mut run, &home, 7);
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        let told = lines_with(&output.stderr, "SOURCE_LAGS");
        assert_eq!(told.len(), 1, "{kind}: {}", output.stderr);
        assert!(told[0].contains("waited for (60s, source_catchup_wait_ms)"), "{}", told[0]);
        assert!(output.stderr.contains("has caught up after"), "{}", output.stderr);
        let switched = lines_with(&output.stderr, "SOURCE_SWITCHED");
        assert!(switched.len() == 1 && switched[0].contains("from the server of the point"), "{switched:?}");
        assert_once(&home, &[1, 2, 3, 4, 5, 6, 7]);
    }
}

/// After the wait it is refused, with a command that gives up what is lost with the main server; done as it is told, the
/// shard goes on and the jump is on record.
#[test]
fn what_is_lost_with_the_main_server_is_refused_and_given_up_as_the_message_says() {
    for kind in ALL {
        let home = Fountain::new();
        let Some(mut pair) = begun(kind, &home) else { continue };
        with_lagging_backup(&pair, &home);
        let lost = last_two(&pair.main);
        let began = Instant::now();
        let output = spawn_alone(&home, &pair.backup, &["source_catchup_wait_ms=1500"]).wait(PATIENCE);
        assert!(began.elapsed().as_millis() >= 1500, "{kind}: not waited for");
        assert_eq!(output.code, 1, "{}", output.stderr);
        let told = lines_with(&output.stderr, "SOURCE_LAGS");
        assert_eq!(
            told.len(),
            2,
            "{kind}: once when it begins, once when it ends the run\n{}",
            output.stderr
        );
        // The test's account may not ask MariaDB.
        let replicates = match kind {
            Kind::Mariadb | Kind::Mariadb118 => "GRANT REPLICA MONITOR",
            _ => "stands still",
        };
        for part in [&lost, replicates, "waited for 1.5s", "producer00"] {
            assert!(told[1].contains(part), "{kind}: {part:?} expected in: {}", told[1]);
        }
        pair.main.kill9();
        pair.backup.sql(&format!("RESET {} ALL", if kind == Kind::Mysql97 { "REPLICA" } else { "SLAVE" }));
        let epoch = stored_epoch(&home);
        give_up(&home, &pair.backup, told[1]);
        assert_eq!(stored_epoch(&home), epoch + 1, "{kind}");
        write(&pair.backup, 100..102);
        let output = run_until(&home, &pair.backup, "end", &keys(&ALWAYS));
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(ids_in(&home), [1, 2, 3, 4, 5, 100, 101], "{kind}");
        let gaps = [
            vec!["gaps".to_owned(), "--json".to_owned()],
            run_arguments(&home, &pair.backup, &[]).split_off(1),
        ];
        let gaps = home.run(&gaps.concat(), PATIENCE);
        let gap: Value =
            serde_json::from_str(gaps.stdout.trim()).unwrap_or_else(|_| panic!("one gap: {}", gaps.stdout));
        assert_eq!(gap["kind"], "jump", "{kind}");
        if kind.is_mysql() {
            let names = lost.split(": ").nth(1).expect("names").trim_end_matches(';');
            let reason = gap["reason"].as_str().expect("a reason");
            assert!(reason.contains(&format!("lost (GTIDs taken out of the point: {names})")), "{reason}");
        }
    }
}

fn stored_epoch(home: &Fountain) -> u64 {
    let record = harness::stored::stored(home, "point").expect("a point");
    record["epoch"].as_u64().expect("an epoch")
}

/// Runs the command that a message ends with.
fn give_up(home: &Fountain, server: &Server, message: &str) {
    let (_, command) = message.rsplit_once("fountain points set ").expect("a way out");
    let (command, _) = command.split_once(" --reason TEXT").expect("a whole command");
    let words = command.split(' ').map(|word| word.trim_matches('\'').to_owned());
    let mut arguments = vec!["points".to_owned(), "set".to_owned()];
    arguments.extend(words);
    arguments.extend(["--reason", "lost", "--yes"].map(str::to_owned));
    arguments.extend(run_arguments(home, server, &keys(&ALWAYS)).split_off(1));
    let output = home.run(&arguments, PATIENCE);
    assert_eq!(output.code, 0, "{arguments:?}: {}{}", output.stdout, output.stderr);
}

/// The main server dies ahead of a backup that nobody waits for: the main server is, and the backup's refusal stands.
#[test]
fn transactions_that_a_backup_has_purged_are_named_exactly() {
    for kind in ALL {
        let home = Fountain::new();
        let Some(pair) = begun(kind, &home) else { continue };
        write(&pair.main, 4..6);
        pair.wait_until_caught_up();
        let expected = match kind.is_mysql() {
            true => last_two(&pair.main)
                .replace(" that the point holds", " that were not read yet")
                .replace(';', ""),
            false => {
                let (ours, last) = (point(&home)["gtid_position"].clone(), pair.main.gtid_executed());
                format!("those behind {} up to {last}", ours.as_str().expect("a GTID"))
            }
        };
        wait_until("the old files are gone", PATIENCE, || {
            pair.backup.flush_logs();
            let (file, _) = pair.backup.binlog_end();
            pair.backup.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
            pair.backup.select("SHOW BINARY LOGS").len() == 1
        });
        let output = run_until(&home, &pair.backup, "end", &keys(&ALWAYS));
        assert_refused(&output, 1, "PURGED", &[&expected, "connect to a server that still has them"]);
        assert_eq!(ids_in(&home), [1, 2, 3], "{kind}");
        run_main(&home, &pair.main);
        assert_once(&home, &[1, 2, 3, 4, 5]);
    }
}

/// A backup that does not log what it applies says that it has executed everything, and would send none of it.
#[test]
fn a_backup_that_does_not_log_what_it_applies_is_refused_by_name() {
    for kind in [Kind::Mysql97, Kind::Mariadb] {
        let Some(mut pair) = Pair::start_with(kind, By::Gtid, &[], &[log_updates_off(kind)]) else {
            continue;
        };
        create(&pair.main);
        write(&pair.main, 1..4);
        pair.wait_until_caught_up();
        let home = Fountain::new();
        run_main(&home, &pair.main);
        let output = run_until(&home, &pair.backup, "end", &keys(&ALWAYS));
        assert_refused(&output, 1, "REPLICA_UPDATES", &["updates=OFF", "replicates from", "producer00"]);
        // As a backup it is passed over, told once, and the main server waited for.
        let mut run = spawn(&home, &pair, &[]);
        run.wait_for("the stream", PATIENCE, |run| run.stderr().contains("connected:"));
        pair.main.kill9();
        run.wait_for("the refusal", PATIENCE, |run| run.stderr().contains("REPLICA_UPDATES"));
        pair.main.restart();
        write(&pair.main, 4..6);
        wait_for_rows(&mut run, &home, 5);
        let output = run.terminate(PATIENCE);
        assert_eq!(lines_with(&output.stderr, "REPLICA_UPDATES").len(), 1, "{}", output.stderr);
        assert!(from_server(&home, &pair.backup).is_empty(), "{kind}");
        assert_once(&home, &[1, 2, 3, 4, 5]);
    }
}

/// A virtual address that has moved: by GTID the other server goes on, and is told; by position it is refused.
#[test]
fn another_server_behind_the_same_address_is_noticed() {
    for (kind, way) in [(Kind::Mysql97, "auto"), (Kind::Mariadb, "auto"), (Kind::Mariadb, "position")] {
        let Some(pair) = Pair::start(kind, By::Gtid) else { continue };
        create(&pair.main);
        write(&pair.main, 1..4);
        let home = Fountain::new();
        let address = Proxy::start(pair.main.port());
        let strategy = format!("binlog_dump_strategy={way}");
        let pairs = [&ALWAYS[..], &[strategy.as_str()]].concat();
        let mut run = home.spawn(&run_arguments_through(&home, &pair.main, address.port(), &keys(&pairs)));
        wait_for_rows(&mut run, &home, 3);
        pair.wait_until_caught_up();
        address.lead_to(pair.backup.port());
        address.cut_all();
        write(&pair.main, 4..6);
        if way == "position" {
            run.wait_for("the refusal", PATIENCE, |run| run.stderr().contains("POINT_FOREIGN"));
            address.lead_to(pair.main.port());
        }
        wait_for_rows(&mut run, &home, 5);
        let output = run.terminate(PATIENCE);
        let told = lines_with(&output.stderr, "SOURCE_SWITCHED");
        let here = format!("another server answers at 127.0.0.1:{} now: it was server_u", address.port());
        assert_eq!(told.len(), usize::from(way == "auto"), "{kind} {way}: {}", output.stderr);
        assert!(told.iter().all(|line| line.contains(&here)), "{kind}: {told:?}");
        assert_once(&home, &[1, 2, 3, 4, 5]);
    }
}

/// The main server dies under load; the backup is read; a restart stays on it though the main server is back; by
/// `fail_back=auto` it is left as soon as the main server has everything, and not before.
#[test]
fn over_to_the_backup_and_back_no_row_is_lost_and_none_comes_twice() {
    for kind in [Kind::Mysql97, Kind::Mariadb] {
        let home = Fountain::new();
        let Some(mut pair) = begun(kind, &home) else { continue };
        let mut run = spawn(&home, &pair, &[]);
        write(&pair.main, 4..10);
        wait_for_rows(&mut run, &home, 9);
        pair.wait_until_caught_up();
        pair.main.kill9();
        pair.promote();
        write(&pair.backup, 10..15);
        wait_for_rows(&mut run, &home, 14);
        let output = run.terminate(PATIENCE);
        assert_switched(&output, &[(&pair.main, &pair.backup)]);

        pair.main.restart();
        pair.main_follows_backup();
        pair.wait_until_main_caught_up();
        let mut run = spawn(&home, &pair, &[]);
        write(&pair.backup, 15..17);
        wait_for_rows(&mut run, &home, 16);
        let output = run.terminate(PATIENCE);
        assert_switched(&output, &[]);
        assert_eq!(from_server(&home, &pair.backup), (10..17).collect::<Vec<_>>(), "{kind}: it stays");

        // Dead, so that the backup is read in spite of fail_back=auto; then back, and lagging.
        pair.main.stop();
        let mut run = spawn(&home, &pair, &["fail_back=auto"]);
        write(&pair.backup, 17..19);
        wait_for_rows(&mut run, &home, 18);
        pair.main.restart();
        write(&pair.backup, 19..21);
        wait_for_looks(&pair.main);
        wait_for_rows(&mut run, &home, 20);
        assert_eq!(from_server(&home, &pair.backup), (10..21).collect::<Vec<_>>(), "{kind}: it lags");
        pair.main.sql(&format!("START {}", if kind == Kind::Mysql97 { "REPLICA" } else { "SLAVE" }));
        pair.wait_until_main_caught_up();
        run.wait_for("the way back", PATIENCE, |run| run.stderr().contains("fail_back=auto"));
        write(&pair.backup, 21..25);
        wait_for_rows(&mut run, &home, 24);
        let output = run.terminate(PATIENCE);
        assert_switched(&output, &[(&pair.backup, &pair.main)]);
        assert_eq!(from_server(&home, &pair.main).last(), Some(&24), "{kind}");
        assert_once(&home, &(1..25).collect::<Vec<_>>());
        assert_eq!(ids_in(&home), selected(&pair.backup, "d.t"), "{kind}");
    }
}

/// A replica applies updates of a table without a key in the order in which it meets the rows, and logs them so
/// (`Rows_log_event::do_hash_scan_and_update` in MySQL's `sql/log_event.cc`). On it no number of rows says which ones have come.
#[test]
fn rows_of_a_table_without_a_key_come_again_from_a_backup() {
    const ROWS: u64 = 2000;
    let Some(pair) = Pair::start(Kind::Mysql97, By::Gtid) else { return };
    pair.main.sql("CREATE DATABASE d; CREATE TABLE d.k (id int, v int) ENGINE=InnoDB");
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id},0)")).collect();
    pair.main.sql(&format!("INSERT INTO d.k VALUES {}", rows.join(",")));
    let home = Fountain::new();
    run_main(&home, &pair.main);
    pair.main.sql("UPDATE d.k SET v=1 ORDER BY id DESC");
    pair.wait_until_caught_up();
    // The first half of the transaction, in packs that end within its events.
    let address = Proxy::start(pair.main.port());
    address.plan([Fault::Stall(20_000)]);
    let pairs = [&ALWAYS[..], &["mysql_ssl_mode=disabled", "sparate_packsize=70"]].concat();
    let mut run = home.spawn(&run_arguments_through(&home, &pair.main, address.port(), &keys(&pairs)));
    wait_for_rows(&mut run, &home, ROWS as usize + 300);
    address.lead_to(pair.backup.port());
    address.cut_all();
    insert_last(&pair.main);
    run.wait_for("the last row", PATIENCE, |_| lines_in(&home).iter().any(|line| line["after"]["v"] == 2));
    let output = run.terminate(PATIENCE);
    let lines = lines_in(&home);
    let gap = lines.iter().position(|line| line["op"] == "gap").expect("a gap line");
    assert!(output.stderr.contains("without a key"), "{}", output.stderr);
    let updated = lines[gap + 1..].iter().filter(|line| line["op"] == "update");
    let mut ids: Vec<u64> = updated.map(|line| line["after"]["id"].as_u64().expect("an id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..ROWS).collect::<Vec<_>>(), "each row once behind the gap");
}

fn insert_last(server: &Server) {
    server.sql("INSERT INTO d.k VALUES (0,2)");
}

/// The main server answers first and has more than the backup, which is taken because the point is its own: the run ends at
/// the backup's end.
#[test]
fn the_end_of_a_bounded_run_is_that_of_the_source_that_is_read() {
    for kind in [Kind::Mysql97, Kind::Mariadb] {
        let Some(pair) = Pair::start(kind, By::Gtid) else { continue };
        create(&pair.main);
        write(&pair.main, 1..4);
        pair.wait_until_caught_up();
        let home = Fountain::new();
        run_main(&home, &pair.backup);
        pair.stop_replication();
        write(&pair.main, 4..5);
        let arguments = pair.run_arguments(&home, &keys(&ALWAYS));
        let output = home.run(&[&arguments[..], &["--until".into(), "end".into()]].concat(), PATIENCE / 4);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_once(&home, &[1, 2, 3]);
    }
}

/// Its numbers are all there, and mean other rows: that is a no of this server, not the end of the shard.
#[test]
fn a_main_server_whose_binlogs_were_reset_is_passed_over_for_the_backup() {
    let home = Fountain::new();
    let Some(pair) = begun(Kind::Mysql97, &home) else { return };
    pair.stop_replication();
    count_anew(&pair.main, &home, 5);
    write(&pair.backup, 4..5);
    let arguments = pair.run_arguments(&home, &keys(&ALWAYS));
    let output = home.run(&[&arguments[..], &["--until".into(), "end".into()]].concat(), PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("POINT_FOREIGN"), "{}", output.stderr);
    assert_once(&home, &[1, 2, 3, 4]);
}

/// The option by which a replica comes up without replicating.
fn skip_start(kind: Kind) -> &'static str {
    if kind == Kind::Mysql97 { "--skip-replica-start" } else { "--skip-slave-start" }
}

/// Waits until somebody else has connected to a server three times.
fn wait_for_looks(server: &Server) {
    let mut session = server.session();
    let mut connections = || -> u64 {
        let told = session.select("SHOW GLOBAL STATUS LIKE 'Connections'");
        told[0][1].as_deref().expect("a number").parse().expect("a number")
    };
    let before = connections();
    wait_until("three looks", PATIENCE, || connections() >= before + 3);
}

/// One line for each change of the source, from whom to whom, and no more.
#[track_caller]
fn assert_switched(output: &Output, expected: &[(&Server, &Server)]) {
    let told = lines_with(&output.stderr, "SOURCE_SWITCHED");
    assert_eq!(told.len(), expected.len(), "{}", output.stderr);
    for (line, (from, to)) in told.iter().zip(expected) {
        let (from, to) =
            (format!("from 127.0.0.1:{} (server_u", from.port()), format!(" to 127.0.0.1:{} (", to.port()));
        assert!(line.contains(&from) && line.contains(&to) && line.contains("reading on behind"), "{line}");
    }
}
