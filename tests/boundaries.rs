//! Where transactions begin and end, and what of them counts: the lines applied to a model of our own make the tables that
//! the server itself has.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_until;
use serde_json::Value;
use std::collections::BTreeMap;

/// Two tables that can roll back, and three that cannot.
const CREATE: &str = "CREATE DATABASE d; USE d;
    CREATE TABLE i (id int PRIMARY KEY, v int) ENGINE=InnoDB; CREATE TABLE j LIKE i;
    CREATE TABLE m (id int PRIMARY KEY, v int) ENGINE=MyISAM; CREATE TABLE n LIKE m;
    CREATE TABLE h (id int PRIMARY KEY, v int) ENGINE=MEMORY;
    INSERT INTO i VALUES (1,1),(2,2),(3,3); INSERT INTO m VALUES (1,1),(2,2),(3,3);";

/// Each on its own; an error ends only the statement that has it.
const MIXED: [&str; 20] = [
    "BEGIN; INSERT INTO i VALUES (10,0); INSERT INTO m VALUES (10,0); ROLLBACK",
    "BEGIN; INSERT INTO m VALUES (11,0); INSERT INTO i VALUES (11,0); ROLLBACK",
    "BEGIN; UPDATE i JOIN m USING (id) SET i.v=100, m.v=100; ROLLBACK",
    "BEGIN; UPDATE i JOIN m USING (id) SET i.v=200, m.v=200 WHERE id=1; COMMIT",
    "BEGIN; DELETE i, m FROM i JOIN m USING (id) WHERE id=3; ROLLBACK",
    "BEGIN; INSERT INTO i VALUES (12,0); SAVEPOINT a; INSERT INTO m VALUES (12,0); INSERT INTO i VALUES (13,0),(113,0);
     ROLLBACK TO a; INSERT INTO i VALUES (14,0); COMMIT",
    "BEGIN; INSERT INTO i VALUES (15,0); SAVEPOINT `a b`; INSERT INTO i VALUES (16,0); SAVEPOINT `a b`;
     INSERT INTO m VALUES (15,0); INSERT INTO i VALUES (17,0); ROLLBACK TO SAVEPOINT `a b`; ROLLBACK",
    "BEGIN; INSERT INTO j SELECT * FROM m; SAVEPOINT s; DELETE FROM m WHERE id>10; ROLLBACK TO s; RELEASE SAVEPOINT s; COMMIT",
    // A trigger writes where nothing can be rolled back.
    "CREATE TRIGGER tr AFTER INSERT ON i FOR EACH ROW INSERT INTO n VALUES (NEW.id, NEW.v)",
    "BEGIN; INSERT INTO i VALUES (20,0),(21,0); ROLLBACK",
    "BEGIN; INSERT INTO i VALUES (22,0),(23,0); COMMIT",
    // Errors in the middle of a statement: what was done stays done, or not, by engine.
    "INSERT INTO m VALUES (30,0),(31,0),(30,0)",
    "INSERT INTO i VALUES (30,0),(31,0),(30,0)",
    "BEGIN; INSERT INTO j VALUES (40,0); INSERT INTO i VALUES (40,0),(41,0),(40,0)",
    "BEGIN; INSERT INTO h VALUES (1,0); INSERT INTO j VALUES (50,0); ROLLBACK",
    "REPLACE INTO m VALUES (1,5),(60,5); INSERT INTO j VALUES (1,7) ON DUPLICATE KEY UPDATE v=8",
    "BEGIN; INSERT INTO j VALUES (70,0); INSERT INTO m SELECT id+100, v FROM i; UPDATE m SET v=v+1; ROLLBACK",
    "XA START 'r'; INSERT INTO j VALUES (90,0),(91,0); INSERT INTO m VALUES (90,0); XA END 'r'; XA ROLLBACK 'r'",
    "XA START 's'; INSERT INTO j VALUES (92,0),(93,0); INSERT INTO m VALUES (92,0); XA END 's'; XA PREPARE 's'; XA ROLLBACK 's'",
    "XA START 't'; INSERT INTO j VALUES (94,0),(95,0); INSERT INTO m VALUES (94,0); XA END 't'; XA PREPARE 't'; XA COMMIT 't'",
];

const DEFINED: [&str; 9] = [
    "CREATE TABLE c (id int PRIMARY KEY, v int) ENGINE=InnoDB SELECT id, v FROM i",
    "CREATE TABLE cm (id int PRIMARY KEY, v int) ENGINE=MyISAM SELECT id, v FROM i",
    // It commits what is before it, and is not undone by what comes behind it.
    "BEGIN; INSERT INTO j VALUES (80,0); CREATE TABLE x (id int PRIMARY KEY, v int) ENGINE=InnoDB; INSERT INTO x VALUES (1,1); ROLLBACK",
    "BEGIN; INSERT INTO j VALUES (81,0); CREATE TEMPORARY TABLE tmp (id int) ENGINE=InnoDB; INSERT INTO tmp VALUES (1);
     INSERT INTO j SELECT 82, id FROM tmp; DROP TEMPORARY TABLE tmp; COMMIT",
    "BEGIN; INSERT INTO j VALUES (83,0); TRUNCATE TABLE n; ROLLBACK",
    "INSERT INTO n VALUES (1,1)",
    "CREATE TABLE c2 (id int PRIMARY KEY, v int) ENGINE=InnoDB SELECT id, v FROM c UNION ALL SELECT id, v FROM c",
    "BEGIN; INSERT INTO j VALUES (84,0); SET autocommit=1; ALTER TABLE c COMMENT 'x'; INSERT INTO c VALUES (900,1); ROLLBACK",
    "DROP TABLE IF EXISTS cm; CREATE TABLE cm (id int PRIMARY KEY, v int); INSERT INTO cm VALUES (5,5)",
];

/// Behind their rows the tables are altered, and made anew.
const ALTERED_LATER: &str = r#"{"database":"d","table":"c","columns":[{"name":"id","type":"int"},{"name":"v","type":"int"}],"key":["id"]}
{"database":"d","table":"cm","columns":[{"name":"id","type":"int"},{"name":"v","type":"int"}],"key":[]}
"#;

type Tables = BTreeMap<String, BTreeMap<u64, Option<i64>>>;

/// Lines that `rollback` lines take back are gone. Needs `begin` lines.
fn without_taken_back(lines: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    let mut transaction = 0;
    for line in lines {
        match line["op"].as_str().expect("op") {
            "begin" => transaction = kept.len(),
            "rollback" => {
                let from = line["from_row"].as_u64().expect("from_row");
                let own = kept.split_off(transaction);
                kept.extend(own.into_iter().filter(|line| line["row"].as_u64().expect("row") < from));
            }
            _ => kept.push(line),
        }
    }
    kept
}

fn applied(lines: Vec<Value>) -> Tables {
    let mut tables = Tables::new();
    for line in without_taken_back(lines) {
        let id = |image: &str| line[image]["id"].as_u64().expect("id");
        let value = || line["after"]["v"].as_i64();
        let table = tables.entry(line["table"].as_str().unwrap_or_default().to_owned()).or_default();
        match line["op"].as_str().expect("op") {
            "insert" => assert_eq!(table.insert(id("after"), value()), None, "inserted twice: {line}"),
            "update" => {
                assert!(table.remove(&id("before")).is_some(), "nothing to update: {line}");
                table.insert(id("after"), value());
            }
            "delete" => assert!(table.remove(&id("before")).is_some(), "nothing to delete: {line}"),
            "ddl" => emptied(&mut tables, line["sql"].as_str().expect("sql")),
            "commit" => {}
            other => panic!("unexpected op {other}"),
        }
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// TRUNCATE and DROP of the tables of this file.
fn emptied(tables: &mut Tables, sql: &str) {
    for (statement, table) in [("TRUNCATE TABLE n", "n"), ("DROP TABLE IF EXISTS `cm`", "cm")] {
        if sql.starts_with(statement) {
            tables.remove(table);
        }
    }
}

fn selected(server: &Server) -> Tables {
    let number = |value: &Option<String>| value.as_ref().map(|text| text.parse().expect("a number"));
    let names = server.select("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='d'");
    let mut tables = Tables::new();
    for name in names.into_iter().map(|row| row[0].clone().expect("a name")) {
        let rows = server.select(&format!("SELECT id, v FROM d.{name}"));
        let rows = rows.iter().map(|row| (row[0].as_ref().unwrap().parse().unwrap(), number(&row[1])));
        tables.insert(name, rows.collect());
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// One statement after the other in a connection of their own.
fn execute(server: &Server, statements: &[&str]) {
    for statements in statements {
        let mut session = server.session();
        session.sql("USE d");
        for statement in statements.split(';') {
            // Keys that are there already, and what 9.7 with GTIDs does not do, are part of it; the tables decide.
            let told = session.try_select(statement);
            let expected = |number: u16| matches!(number, 1062 | 1196 | 1786);
            assert!(
                told.as_ref().map_or_else(|error| expected(error.code), |_| true),
                "{statement}: {told:?}"
            );
        }
    }
}

/// Whole, and cut into packs of one line: then what is rolled back has gone out, and is taken back.
fn compare(server: &Server) {
    for pack in ["pack_max_bytes=2MiB", "pack_max_bytes=1"] {
        let home = Fountain::new();
        let definitions = home.home().join("definitions");
        std::fs::write(&definitions, ALTERED_LATER).expect("the file of definitions");
        let schema_file = format!("schema_file={}", definitions.display());
        let pairs = [pack, "start_without_point=beginning", "dispatch_transaction=true", &schema_file];
        let output = run_until(&home, server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{} {pack}: {}", server.kind(), output.stderr);
        let lines = parse(&data(&home.home().join("data")));
        let taken_back = lines.iter().filter(|line| line["op"] == "rollback").count();
        assert_eq!(
            taken_back > 0,
            pack == "pack_max_bytes=1" && has_rollbacks(server),
            "{} {pack}",
            server.kind()
        );
        assert_eq!(applied(lines), selected(server), "{} {pack}", server.kind());
    }
}

/// Whether the server has logged rows that it then rolled back.
fn has_rollbacks(server: &Server) -> bool {
    let files = server.select("SHOW BINARY LOGS");
    let names = files.iter().filter_map(|row| row[0].as_deref());
    names.flat_map(|file| server.binlog_events(file, 4)).any(|event| event.info.starts_with("ROLLBACK"))
}

#[test]
fn mixed_engines_and_savepoints() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb, Kind::Mariadb118] {
        let without_gtids = ["--loose-gtid-mode=OFF", "--loose-enforce-gtid-consistency=OFF"];
        let Some(server) = Server::start_private(kind, &without_gtids) else { continue };
        server.sql(CREATE);
        execute(&server, &MIXED);
        compare(&server);
    }
}

#[test]
fn definitions_inside_and_outside_of_transactions() {
    for (kind, options) in
        [(Kind::Mysql56, &[][..]), (Kind::Mysql97, GTID), (Kind::Mariadb, &[]), (Kind::Mariadb118, &[])]
    {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql(CREATE);
        execute(&server, &DEFINED);
        compare(&server);
    }
}
