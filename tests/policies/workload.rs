//! Transactions below, at and above limits, with savepoints and rollbacks, and what must come of them.
#![allow(dead_code, reason = "each test uses its own part")]

use crate::harness::Fountain;
use crate::harness::Kind;
use crate::harness::Server;
use serde_json::Value;
use std::collections::BTreeMap;

pub const ALWAYS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];
/// Transactions 3 to 5 are larger, 5 by bytes only.
pub const LIMITS: &[&str] = &["trans_max_size=100", "trans_max_bytes=40000"];

/// Row ids of transaction N are N × 10000 and more.
const SPAN: u64 = 10_000;

/// Rows of a transaction in a table that do not come.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    pub transaction: u64,
    pub table: &'static str,
}

impl Lost {
    pub fn holds(&self, row: &Value) -> bool {
        let image = if row["after"].is_null() { &row["before"] } else { &row["after"] };
        // Transaction 10 changes what transaction 1 has inserted.
        row["op"] == "insert"
            && row["table"] == self.table
            && image["id"].as_u64().expect("id") / SPAN == self.transaction
    }
}

/// Largest table first, as gap records have them.
fn lost(of: &[(u64, &'static str)]) -> Vec<Lost> {
    of.iter().map(|(transaction, table)| Lost { transaction: *transaction, table }).collect()
}

/// What `mini` discards. Where the log holds what was rolled back to a savepoint, transaction 6 was too large for a while.
pub fn whole_lost(kind: Kind) -> Vec<Lost> {
    let mut all = vec![(3, "a"), (3, "b"), (4, "a"), (4, "b"), (4, "c"), (5, "c"), (5, "b")];
    if kind != Kind::Mysql97 {
        all.extend([(6, "a"), (6, "c")]);
    }
    lost(&all)
}

/// What `discard_huge_table` leaves out. Of transaction 6 table b, all of which is rolled back.
pub fn tables_lost() -> Vec<Lost> {
    lost(&[(3, "a"), (4, "a"), (5, "c")])
}

fn insert(table: &str, transaction: u64, from: u64, count: u64, text: &str) -> String {
    let values: Vec<_> =
        (from..from + count).map(|n| format!("({},{text})", transaction * SPAN + n)).collect();
    format!("INSERT INTO d.{table} VALUES {};", values.join(","))
}

/// Makes the tables and runs the transactions. DROP TEMPORARY TABLE makes servers (not MySQL 9.7) log what is rolled back.
pub fn fill(server: &Server) {
    let small = |table: &str, transaction, from, count| insert(table, transaction, from, count, "'v'");
    let table = |name: &str| {
        format!(
            "CREATE TABLE d.{name} (id int PRIMARY KEY, v varchar(2000)) ENGINE=InnoDB DEFAULT CHARSET=latin1;"
        )
    };
    let keep_log = match server.kind() {
        Kind::Mysql97 => "",
        _ => "DROP TEMPORARY TABLE IF EXISTS d.none;",
    };
    let mut sql = format!("CREATE DATABASE d; {} {} {}", table("a"), table("b"), table("c"));
    let mut transaction = |statements: &[String], end: &str| {
        sql += &format!("BEGIN; {} {end};", statements.concat());
    };
    let (a, b, c) = ("a", "b", "c");
    let mixed = (0..3).flat_map(|n| [small(a, 1, 10 * n, 10), small(b, 1, 10 * n, 10)]);
    transaction(&mixed.collect::<Vec<_>>(), "COMMIT");
    transaction(&[small(a, 2, 0, 60), small(b, 2, 0, 40)], "COMMIT");
    transaction(&[small(b, 3, 0, 30), small(a, 3, 0, 71)], "COMMIT");
    let three = [small(a, 4, 0, 150), small(b, 4, 0, 60), small(a, 4, 150, 150), small(c, 4, 0, 20)];
    transaction(&three, "COMMIT");
    transaction(&[small(b, 5, 0, 10), insert(c, 5, 0, 40, "REPEAT('x',1500)")], "COMMIT");
    let (set, back) = ("SAVEPOINT x;".to_owned(), "ROLLBACK TO x;".to_owned());
    let keep = || keep_log.to_owned();
    let parts =
        [keep(), small(a, 6, 0, 50), set.clone(), small(b, 6, 0, 80), back.clone(), small(c, 6, 0, 20)];
    transaction(&parts, "COMMIT");
    transaction(&[keep(), small(a, 7, 0, 20), set, small(b, 7, 0, 30), back, small(c, 7, 0, 10)], "COMMIT");
    transaction(&[small(a, 8, 0, 50), small(b, 8, 0, 20), keep()], "ROLLBACK");
    transaction(&[small(a, 9, 0, 150), keep()], "ROLLBACK");
    let changes = ["UPDATE d.a SET v='w' WHERE id<20000;", "DELETE FROM d.b WHERE id<20000;"];
    transaction(&changes.map(str::to_owned), "COMMIT");
    server.sql(&sql);
    if server.kind() != Kind::Mysql97 {
        let (file, _) = server.binlog_end();
        let events = server.binlog_events(&file, 4);
        let logged = |what: &str| events.iter().filter(|event| event.info.starts_with(what)).count();
        assert_eq!((logged("ROLLBACK TO"), logged("ROLLBACK")), (2, 4), "the log holds what was rolled back");
    }
}

pub type Tables = BTreeMap<String, BTreeMap<u64, String>>;

/// The server's own tables.
pub fn tables(server: &Server) -> Tables {
    let of = |table: &str| {
        let rows = server.select(&format!("SELECT id, v FROM d.{table}"));
        let text = |value: &Option<String>| value.clone().expect("no NULL");
        rows.iter().map(|row| (text(&row[0]).parse().expect("a number"), text(&row[1]))).collect()
    };
    ["a", "b", "c"].map(|table| (table.to_owned(), of(table))).into()
}

/// The tables that a reader of the lines makes.
pub fn tables_of(lines: &[Value]) -> Tables {
    let mut tables: Tables = ["a", "b", "c"].map(|table| (table.to_owned(), BTreeMap::new())).into();
    for line in lines.iter().filter(|line| is_row(line)) {
        let table = tables.get_mut(line["table"].as_str().expect("a table")).expect("a known table");
        let id = |image: &str| line[image]["id"].as_u64().expect("id");
        if !line["before"].is_null() {
            assert!(table.remove(&id("before")).is_some(), "it was not there: {line}");
        }
        if !line["after"].is_null() {
            let text = line["after"]["v"].as_str().expect("v").to_owned();
            assert!(table.insert(id("after"), text).is_none(), "it was there: {line}");
        }
    }
    tables
}

pub fn is_row(line: &Value) -> bool {
    matches!(line["op"].as_str(), Some("insert" | "update" | "delete"))
}

pub fn without_seq(line: &Value) -> Value {
    let mut line = line.clone();
    line.as_object_mut().expect("an object").remove("seq");
    line
}

/// The lines that stay when `rollback` lines are heeded, as the README tells readers to.
pub fn taken_back(lines: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    let mut start = 0;
    let mut last = (Value::Null, Value::Null);
    for line in lines {
        // A transaction is told from the one before by its GTID, else by its rows beginning anew.
        let row = line["row"].clone();
        let begins_anew = line["gtid"] != last.0 || row.as_u64() < last.1.as_u64();
        if begins_anew || line["op"] == "gap" {
            start = kept.len();
        }
        last = (line["gtid"].clone(), row);
        if line["op"] == "rollback" {
            let from = line["from_row"].as_u64().expect("from_row");
            let mut behind = kept.split_off(start);
            behind.retain(|line| from > 0 && (line["op"] == "begin" || line["row"].as_u64() < Some(from)));
            kept.append(&mut behind);
        } else {
            kept.push(line.clone());
        }
    }
    kept
}

/// The ids that were inserted into a table.
pub fn ids(lines: &[Value], table: &str) -> Vec<u64> {
    let inserts = lines.iter().filter(|line| line["op"] == "insert" && line["table"] == table);
    inserts.map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

/// Those of some transactions.
pub fn base_ids(base: &[Value], table: &str, transactions: &[u64]) -> Vec<u64> {
    ids(base, table).into_iter().filter(|id| transactions.contains(&(id / SPAN))).collect()
}

/// The later of two values for one key.
pub fn without_repeats<'a>(pairs: &[&'a str]) -> Vec<&'a str> {
    let key = |pair: &str| pair.split('=').next().map(str::to_owned);
    let last = |at: usize, pair: &str| !pairs[at + 1..].iter().any(|later| key(later) == key(pair));
    pairs.iter().enumerate().filter(|(at, pair)| last(*at, pair)).map(|(_, pair)| *pair).collect()
}

/// The gap records of the shard, in their order.
pub fn gap_records(home: &Fountain) -> Vec<Value> {
    let text = std::fs::read_to_string(home.home().join("points/producer00.gaps")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
