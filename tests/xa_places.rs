//! Prepared XA transactions where reading changes its place: another server, inside of a large one, before the start, behind
//! a purge; and how many bytes of them are held.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::numbered::ids;
use harness::stored::lines_in;
use harness::stored::stored_point;
use serde_json::Value;
use std::io::Read;

const FROM_BEGINNING: &str = "start_without_point=beginning";
const CREATE: [&str; 2] =
    ["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY, v varchar(400)) ENGINE=InnoDB"];

fn create(server: &Server) {
    server.sql(&CREATE.join("; "));
}

fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id}, 'alone')"));
}

fn prepared(xid: &str, sql: &str) -> String {
    format!("XA START {xid}; {sql}; XA END {xid}; XA PREPARE {xid}")
}

/// So many rows from `first` on, of 300 bytes each.
fn rows(first: u64, count: u64) -> String {
    let values: Vec<String> = (first..first + count).map(|id| format!("({id},REPEAT('x',300))")).collect();
    format!("INSERT INTO d.t VALUES {}", values.join(","))
}

fn until_end(home: &Fountain, server: &Server, pairs: &[&str]) -> harness::Output {
    let output = run_until(home, server, "end", &keys(&[&[FROM_BEGINNING][..], pairs].concat()));
    assert_eq!(output.code, 0, "{} {pairs:?}: {}", server.kind(), output.stderr);
    output
}

// -------------------------------------------------------------------------------------------------- another server

/// Runs a transaction under its number: on both servers it has the same name.
fn apply(server: &Server, number: u64, sql: &str) {
    match server.kind().is_mysql() {
        true => server.sql(&format!(
            "SET gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:{number}'; {sql}; SET gtid_next='AUTOMATIC'"
        )),
        false => server.sql(&format!("SET SESSION server_id=1, gtid_seq_no={number}; {sql}")),
    }
}

fn follow(home: &Fountain, main: &Server, backup: &Server) -> Running {
    let port = format!("mysql_shard_0_ha1_port={}", backup.port());
    let pairs = [
        FROM_BEGINNING,
        "mysql_shard_0_ha1_server=127.0.0.1",
        &port,
        "data_source_try_interval=100ms",
        "repeat_resource_interval=300ms",
    ];
    home.spawn(&run_arguments(home, main, &keys(&pairs)))
}

/// Prepared on one server, committed on the other: by a process that goes on, and by one that is begun anew.
fn changes_server(kind: Kind, options: &[&str]) {
    let Some(mut main) = Server::start_private(kind, &[options, &["--server-id=1"]].concat()) else { return };
    let Some(backup) = Server::start_private(kind, &[options, &["--server-id=2"]].concat()) else { return };
    // Files and places differ.
    backup.flush_logs();
    for server in [&main, &backup] {
        apply(server, 1, CREATE[0]);
        apply(server, 2, CREATE[1]);
        apply(server, 3, &prepared("'early'", "INSERT INTO d.t VALUES (10,'early')"));
        apply(server, 4, "INSERT INTO d.t VALUES (1,'alone')");
        apply(server, 5, &prepared("'late'", "INSERT INTO d.t VALUES (20,'late'),(21,'late')"));
        apply(server, 6, "INSERT INTO d.t VALUES (2,'alone')");
    }
    let home = Fountain::new();
    let wait_for = |id: u64| {
        harness::wait_until(&format!("{kind}: row {id}"), PATIENCE, || ids(&lines_in(&home)).contains(&id));
    };
    let run = follow(&home, &main, &backup);
    wait_for(2);
    main.stop();
    apply(&backup, 7, "XA COMMIT 'late'");
    apply(&backup, 8, "INSERT INTO d.t VALUES (3,'alone')");
    wait_for(3);
    assert_eq!(run.terminate(PATIENCE).code, 0);
    let run = follow(&home, &backup, &backup);
    apply(&backup, 9, "XA COMMIT 'early'");
    apply(&backup, 10, "INSERT INTO d.t VALUES (4,'alone')");
    wait_for(4);
    let output = run.terminate(PATIENCE);
    assert!(!output.stderr.contains("XA COMMIT"), "{kind}: {}", output.stderr);
    let lines = lines_in(&home);
    assert_eq!(ids(&lines), [1, 2, 20, 21, 3, 10, 4], "{kind}");
    assert_eq!(stored_point(&home).expect("a point")["pending_xa"], Value::Null, "{kind}");
    let gtid =
        |id: u64| lines.iter().find(|line| line["after"]["id"] == id).expect("the row")["gtid"].clone();
    assert_eq!(gtid(20), gtid(21), "{kind}");
    let number =
        |id: u64| gtid(id).as_str().and_then(|gtid| gtid.rsplit([':', '-']).next().map(str::to_owned));
    assert_eq!((number(20).as_deref(), number(10).as_deref()), (Some("5"), Some("3")), "{kind}");
}

#[test]
fn another_mysql_server_goes_on() {
    changes_server(Kind::Mysql97, GTID);
}

#[test]
fn another_mariadb_server_goes_on() {
    changes_server(Kind::Mariadb, &[]);
}

// ------------------------------------------------------------------------------------------------------ inside of one

/// Killed while the rows of one that is larger than a pack go out: the rest follows, and nothing is missing.
fn inside(kind: Kind, options: &[&str], way: &str) {
    const ROWS: u64 = 3000;
    let Some(server) = Server::start_private(kind, options) else { return };
    create(&server);
    server.sql(&prepared("'x'", &rows(1000, ROWS)));
    insert(&server, 1);
    server.sql("XA COMMIT 'x'");
    insert(&server, 2);
    let home = Fountain::new();
    let way = format!("binlog_dump_strategy={way}");
    let pairs = ["sink=stdout", "pack_max_bytes=16384", "dispatch_ddl=none", FROM_BEGINNING, &way];
    let (run, mut unread) = home.spawn_unread(&run_arguments(&home, &server, &keys(&pairs)));
    // The pipe is full long before the transaction is out.
    harness::wait_until("a point inside", PATIENCE, || {
        stored_point(&home)
            .is_some_and(|point| point["inside"]["rows"].as_u64().is_some_and(|rows| rows > 50))
    });
    run.kill9();
    let mut first = String::new();
    unread.read_to_string(&mut first).expect("what the pipe held");
    let first = parse(&first[..=first.rfind('\n').expect("whole lines")]);
    let stood = stored_point(&home).expect("a point");
    assert_eq!(stood["pending_xa"][0]["xid"], "X'78',X'',1", "{kind}");

    let second = run_until(&home, &server, "end", &keys(&pairs));
    assert_eq!(second.code, 0, "{kind} {way}: {}", second.stderr);
    let second = parse(&second.stdout);
    let begun_at = stood["inside"]["rows"].as_u64().expect("rows");
    assert_eq!(second[0]["row"], begun_at, "{kind} {way}: what went out is left out");
    assert!(ids(&first).len() as u64 > begun_at, "{kind}: nothing is missing in between");
    assert_eq!(ids(&first)[..2], [1, 1000], "{kind}");
    let expected: Vec<u64> = (1000 + begun_at..1000 + ROWS).chain([2]).collect();
    assert_eq!(ids(&second), expected, "{kind} {way}");
}

#[test]
fn inside_of_a_large_one_by_gtid() {
    inside(Kind::Mysql97, GTID, "gtid");
}

#[test]
fn inside_of_a_large_one_by_position() {
    inside(Kind::Mariadb118, &[], "position");
}

// --------------------------------------------------------------------------------------------------- before the start

#[test]
fn what_was_prepared_before_the_start_is_told_and_a_gap() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        if kind.is_mysql() {
            server.sql("GRANT XA_RECOVER_ADMIN ON *.* TO 'repl'@'%'");
        }
        server.sql(&prepared("'x','y'", "INSERT INTO d.t VALUES (10,'x')"));
        server.sql(&prepared("'z'", "INSERT INTO d.t VALUES (11,'z')"));
        let home = Fountain::new();
        let output = run_until(&home, &server, "end", &[]);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert!(output.stderr.contains("X'78',X'79',1"), "{kind}: told at the start: {}", output.stderr);
        insert(&server, 1);
        server.sql("XA COMMIT 'x','y'");
        server.sql("XA ROLLBACK 'z'");
        insert(&server, 2);
        let output = run_until(&home, &server, "end", &[]);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert!(output.stderr.contains("XA COMMIT X'78',X'79',1"), "{kind}: {}", output.stderr);
        let lines = lines_in(&home);
        let ops: Vec<&str> = lines.iter().filter_map(|line| line["op"].as_str()).collect();
        assert_eq!(ops, ["insert", "gap", "insert"], "{kind}");
        assert!(lines[1]["reason"].as_str().expect("reason").contains("X'78',X'79',1"), "{kind}");
        let gaps = std::fs::read_to_string(home.home().join("points/producer00.gaps")).expect("gap records");
        assert_eq!(gaps.matches("\"kind\":\"skip\"").count(), 1, "{kind}: {gaps}");
    }
}

/// The binlog of the XA PREPARE is purged while it is pending: whoever has to read it again is told which one.
#[test]
fn a_purge_of_the_prepare_is_named() {
    for (kind, options, way) in
        [(Kind::Mysql97, GTID, "gtid"), (Kind::Mysql97, &[], "position"), (Kind::Mariadb, &[], "gtid")]
    {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        server.sql(&prepared("'x'", "INSERT INTO d.t VALUES (10,'x')"));
        server.flush_logs();
        insert(&server, 1);
        let home = Fountain::new();
        let way = format!("binlog_dump_strategy={way}");
        until_end(&home, &server, &[&way]);
        // MariaDB keeps the files that its own recovery might need.
        let last = server.binlog_end().0;
        harness::wait_until("the purge", PATIENCE, || {
            server.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
            server.select("SHOW BINARY LOGS").len() == 1
        });
        let output = run_until(&home, &server, "end", &keys(&[&way]));
        assert_refused(&output, 1, "PURGED", &["X'78',X'',1"]);
    }
}

// ------------------------------------------------------------------------------------------------------------- how many

#[test]
fn more_than_may_be_held_stops_the_shard() {
    for kind in [Kind::Mysql97, Kind::Mariadb] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        insert(&server, 1);
        server.sql(&prepared("'first'", &rows(10_000, 2000)));
        server.sql(&prepared("'second'", &rows(20_000, 2000)));
        let home = Fountain::new();
        let limited = ["xa_hold_max_bytes=1MiB", FROM_BEGINNING, "dispatch_ddl=none"];
        let output = run_until(&home, &server, "end", &keys(&limited));
        let second = "X'7365636f6e64',X'',1 at binlog.000001:";
        assert_refused(
            &output,
            1,
            "XA_HOLD_LIMIT",
            &[second, "1 others", "1048576", "raise xa_hold_max_bytes"],
        );
        assert_eq!(ids(&lines_in(&home)), [1], "{kind}: what comes before is delivered");
        // What is filtered out costs nothing.
        let filtered = Fountain::new();
        let black =
            ["xa_hold_max_bytes=1MiB", "filter_shard_table_black=d.t", FROM_BEGINNING, "dispatch_ddl=none"];
        assert_eq!(run_until(&filtered, &server, "end", &keys(&black)).code, 0, "{kind}");
        server.sql("XA COMMIT 'second'");
        until_end(&home, &server, &["dispatch_ddl=none"]);
        assert_eq!(ids(&lines_in(&home)).len(), 2001, "{kind}");
    }
}
