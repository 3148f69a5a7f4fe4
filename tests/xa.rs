//! XA transactions in two phases: delivered when and as they are committed, whatever happens in between.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::cat;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::stored::lines_in;
use harness::stored::point;
use serde_json::Value;
use std::collections::BTreeMap;

const FROM_BEGINNING: &str = "start_without_point=beginning";

fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(200)) ENGINE=InnoDB");
    server.sql("CREATE TABLE d.u (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE d.w LIKE d.u");
}

/// Prepares a transaction in a connection of its own, which then goes away.
fn prepare(server: &Server, xid: &str, sql: &str) {
    server.sql(&format!("XA START {xid}; {sql}; XA END {xid}; XA PREPARE {xid}"));
}

fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id}, 'alone')"));
}

/// A long story in parts. Between two of them anything may happen to fountain and to the server.
type Part = fn(&mut Server);
const STORY: [Part; 7] = [
    |server| {
        insert(server, 1);
        prepare(
            server,
            "'a','branch',7",
            "INSERT INTO d.t VALUES (10,'a'),(11,'a'); UPDATE d.t SET v='b' WHERE id=10",
        );
        insert(server, 2);
    },
    |server| {
        let savepoint = "SAVEPOINT s; INSERT INTO d.w VALUES (22); ROLLBACK TO s";
        let rows = "INSERT INTO d.t VALUES (20,'b'); DELETE FROM d.t WHERE id=1";
        prepare(server, "'b'", &format!("{rows}; {savepoint}; INSERT INTO d.u VALUES (20)"));
        insert(server, 3);
        server.flush_logs();
        server.sql("INSERT INTO d.u VALUES (1)");
        insert(server, 4);
    },
    |server| {
        prepare(server, "X'00ff27',X'',2147483647", "INSERT INTO d.t VALUES (30,'c')");
        server.sql("XA COMMIT 'b'");
        insert(server, 5);
    },
    |server| {
        server.restart();
        server.sql("XA ROLLBACK X'00ff27',X'',2147483647");
        prepare(server, "X'00ff27',X'',2147483647", "INSERT INTO d.t VALUES (31,'c')");
        insert(server, 6);
    },
    |server| {
        server.sql("XA START 'o'; INSERT INTO d.t VALUES (40,'one'); XA END 'o'; XA COMMIT 'o' ONE PHASE");
        server.sql("XA COMMIT 'a','branch',7");
        insert(server, 7);
    },
    |server| {
        server.kill9();
        server.restart();
        prepare(server, "'left','over'", "INSERT INTO d.t VALUES (50,'never')");
        insert(server, 8);
    },
    |server| {
        server.sql("XA COMMIT X'00ff27',X'',2147483647");
        insert(server, 9);
    },
];

/// Ids of the rows inserted, in the order in which they come.
const ORDER: [u64; 14] = [1, 2, 3, 4, 20, 5, 6, 40, 10, 11, 7, 8, 31, 9];

fn inserted(home: &Fountain) -> Vec<u64> {
    let lines = lines_in(home);
    let of_t = lines.iter().filter(|line| line["op"] == "insert" && line["table"] == "t");
    of_t.map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

fn pending(home: &Fountain) -> Vec<String> {
    let list = point(home)["pending_xa"].as_array().cloned().unwrap_or_default();
    list.iter().map(|xa| xa["xid"].as_str().expect("xid").to_owned()).collect()
}

/// `d.t` as the lines make it.
fn applied(lines: &[Value]) -> BTreeMap<u64, String> {
    let mut table = BTreeMap::new();
    for line in lines.iter().filter(|line| line["table"] == "t") {
        let id = |image: &str| line[image]["id"].as_u64().expect("id");
        let value = || line["after"]["v"].as_str().expect("v").to_owned();
        match line["op"].as_str().expect("op") {
            "insert" => assert_eq!(table.insert(id("after"), value()), None, "inserted twice: {line}"),
            "update" => assert!(table.insert(id("after"), value()).is_some(), "nothing to update: {line}"),
            "delete" => assert!(table.remove(&id("before")).is_some(), "nothing to delete: {line}"),
            "ddl" => {}
            other => panic!("unexpected op {other}"),
        }
    }
    table
}

fn selected(server: &Server) -> BTreeMap<u64, String> {
    let rows = server.select("SELECT id, v FROM d.t");
    rows.into_iter().map(|row| (row[0].as_ref().unwrap().parse().unwrap(), row[1].clone().unwrap())).collect()
}

fn until_end(home: &Fountain, server: &Server, pairs: &[&str]) {
    let output = run_until(home, server, "end", &keys(&[&[FROM_BEGINNING][..], pairs].concat()));
    assert_eq!(output.code, 0, "{} {pairs:?}: {}", server.kind(), output.stderr);
    assert!(!output.stderr.contains("XA COMMIT"), "{}", output.stderr);
}

/// Runs until the row has come, and is killed then.
fn until_row_and_killed(home: &Fountain, server: &Server, id: u64, pairs: &[&str]) {
    let run = home.spawn(&run_arguments(home, server, &keys(&[&[FROM_BEGINNING][..], pairs].concat())));
    harness::wait_until(&format!("{} {pairs:?}: row {id}", server.kind()), PATIENCE, || {
        inserted(home).last() == Some(&id)
    });
    run.kill9();
}

/// Every way reads the story part by part, ended in good order or killed behind each one; what it has written in the end
/// are the bytes of a run over everything at once.
fn tell(kind: Kind, options: &[&str], ways: &[&str]) {
    // `kill9` of the server is to lose nothing.
    let durable = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];
    let Some(mut server) = Server::start_private(kind, &[&durable, options].concat()) else { return };
    create(&server);
    let followers: Vec<_> = ways
        .iter()
        .flat_map(|way| [(*way, true), (*way, false)])
        .map(|(way, killed)| (Fountain::new(), format!("binlog_dump_strategy={way}"), killed))
        .collect();
    let last = [2, 4, 5, 6, 7, 8, 9];
    for (part, last) in STORY.iter().zip(last) {
        part(&mut server);
        for (home, way, killed) in &followers {
            match killed {
                true => until_row_and_killed(home, &server, last, &[way, "transaction_policy=mini"]),
                false => until_end(home, &server, &[way]),
            }
        }
    }
    let whole = Fountain::new();
    until_end(&whole, &server, &[]);
    assert_eq!(inserted(&whole), ORDER, "{kind}");
    assert_eq!(applied(&lines_in(&whole)), selected(&server), "{kind}");
    let lines = lines_in(&whole);
    for (home, way, killed) in &followers {
        until_end(home, &server, &[way]);
        assert!(data(&home.home().join("data")) == data(&whole.home().join("data")), "{kind} {way} {killed}");
        verified(home, kind);
        assert_eq!(pending(home), ["X'6c656674',X'6f766572',1"], "{kind} {way} {killed}");
    }
    tell_names(&lines, kind);
    // The files say the same.
    let definitions = server.shard_arguments(0, whole.home());
    let output = cat(&harness::delivered::as_paths(&server.binlogs()), &definitions);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    assert!(output.stderr.contains("neither committed nor rolled back"), "{kind}: {}", output.stderr);
    let cut: Vec<Value> = lines.iter().map(harness::delivered::without_live_fields).collect();
    assert!(parse(&output.stdout) == cut, "{kind}: {}", output.stdout);
}

/// Their places lie before those of rows that came earlier, and `fountain verify` knows why.
fn verified(home: &Fountain, kind: Kind) {
    let folder = home.home().join("data");
    let output = home.run(&["verify", folder.to_str().expect("a path in UTF-8")], PATIENCE);
    assert_eq!(output.code, 0, "{kind}: {}{}", output.stdout, output.stderr);
}

/// Rows of one XA transaction are named by its PREPARE, and count from 0 there.
fn tell_names(lines: &[Value], kind: Kind) {
    let of = |value: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["after"]["v"] == value && line["op"] == "insert").collect()
    };
    let (a, seven) = (of("a"), of("alone")[6]);
    assert_eq!((&a[0]["row"], &a[1]["row"]), (&Value::from(0), &Value::from(1)), "{kind}");
    assert_eq!(a[0]["gtid"], a[1]["gtid"], "{kind}");
    assert!(a[0]["file"].as_str() < seven["file"].as_str(), "{kind}: the place of the PREPARE");
    assert!(a[0]["ts_ms"].as_u64() > of("alone")[1]["ts_ms"].as_u64(), "{kind}: the time of the COMMIT");
}

#[test]
fn mysql97_with_gtids() {
    tell(Kind::Mysql97, GTID, &["gtid", "position"]);
}

#[test]
fn mysql97_without_gtids_compressed() {
    tell(Kind::Mysql97, &["--binlog-transaction-compression=ON"], &["auto"]);
}

#[test]
fn mariadb() {
    tell(Kind::Mariadb, &[], &["gtid", "position"]);
}

#[test]
fn mariadb118() {
    tell(Kind::Mariadb118, &[], &["gtid", "position"]);
}

/// 5.6 logs all of it when it commits.
#[test]
fn mysql56_logs_nothing_before_the_commit() {
    let Some(server) = Server::start_private(Kind::Mysql56, GTID) else { return };
    create(&server);
    let mut session = server.session();
    session.sql("XA START 'a'; INSERT INTO d.t VALUES (10,'a'); XA END 'a'; XA PREPARE 'a'");
    insert(&server, 1);
    let home = Fountain::new();
    until_end(&home, &server, &[]);
    assert_eq!(inserted(&home), [1]);
    session.sql("XA COMMIT 'a'");
    until_end(&home, &server, &[]);
    assert_eq!(inserted(&home), [1, 10]);
    assert_eq!(applied(&lines_in(&home)), selected(&server));
    assert_eq!(pending(&home), [""; 0]);
}

/// A MySQL set leaves the prepared one out, so that any server sends it again.
#[test]
fn what_a_point_says_of_a_prepared_transaction() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create(&server);
    prepare(&server, "'a'", "INSERT INTO d.t VALUES (10,'a')");
    insert(&server, 1);
    let home = Fountain::new();
    until_end(&home, &server, &[]);
    let uuid = server.value("SELECT @@GLOBAL.server_uuid");
    let point = point(&home);
    assert_eq!(point["gtid_set"], format!("{uuid}:1-4:6"));
    assert_eq!(point["pending_xa"][0]["gtid"], format!("{uuid}:5"));
    assert_eq!(point["pos"], server.binlog_end().1);
    server.sql("XA COMMIT 'a'");
    until_end(&home, &server, &[]);
    assert_eq!(self::point(&home)["gtid_set"], format!("{uuid}:1-7"));
    assert_eq!(pending(&home), [""; 0]);
}
