//! Rows that are told apart by the number in their column `id`: made, awaited, and found again in lines and tables.

use super::Fountain;
use super::Running;
use super::Server;
use super::delivered::PATIENCE;
use super::stored::lines_in;
use super::stored::point;
use super::wait_until;
use serde_json::Value;

/// d.t with an id and nothing else.
pub fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
}

pub fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
}

/// d.t for rows of 300 bytes.
pub fn create_wide(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(300)) ENGINE=InnoDB");
}

/// Such rows with ids from a number on, in one transaction.
pub fn insert_wide(server: &Server, from: u64, count: u64) {
    let rows: Vec<String> = (from..from + count).map(|id| format!("({id},REPEAT('x',300))")).collect();
    server.sql(&format!("INSERT INTO d.t VALUES {}", rows.join(",")));
}

/// Resets the binlogs of a MySQL server and gives out anew, in a file of the same name that is begun later and is no shorter,
/// as many numbers as the point of a home holds.
pub fn count_anew(server: &Server, home: &Fountain, transactions: u64) {
    let point = point(home);
    let (file, created) = (point["file"].as_str().expect("a file"), point["file_created"].as_u64());
    let now = || server.value("SELECT UNIX_TIMESTAMP()").parse::<u64>().expect("seconds");
    wait_until("a later second", PATIENCE, || Some(now()) > created);
    server.sql("RESET BINARY LOGS AND GTIDS");
    while server.binlog_end().0 != file {
        server.flush_logs();
    }
    for transaction in 1..=transactions {
        let ids: Vec<String> = (0..100).map(|row| format!("({})", 1000 * transaction + row)).collect();
        server.sql(&format!("INSERT INTO d.t VALUES {}", ids.join(",")));
    }
    assert!(Some(server.binlog_end().1) >= point["pos"].as_u64(), "the file is no shorter");
}

/// The ids of the inserted rows, in the order of delivery.
#[track_caller]
pub fn ids(lines: &[Value]) -> Vec<u64> {
    let inserts = lines.iter().filter(|line| line["op"] == "insert");
    inserts.map(|line| line["after"]["id"].as_u64().expect("an id")).collect()
}

/// Those of one table.
#[track_caller]
pub fn ids_of(lines: &[Value], table: &str) -> Vec<u64> {
    let inserts = lines.iter().filter(|line| line["op"] == "insert" && line["table"] == table);
    inserts.map(|line| line["after"]["id"].as_u64().expect("an id")).collect()
}

/// Those that the file sink of a home has.
#[track_caller]
pub fn ids_in(home: &Fountain) -> Vec<u64> {
    ids(&lines_in(home))
}

/// The ids that a table has.
pub fn selected(server: &Server, table: &str) -> Vec<u64> {
    let rows = server.select(&format!("SELECT id FROM {table} ORDER BY id"));
    rows.iter().map(|row| row[0].as_deref().expect("an id").parse().expect("a number")).collect()
}

/// Waits until a run has put an inserted row out on stdout.
#[track_caller]
pub fn wait_for_row(run: &mut Running, id: u64) {
    let wanted = [",", "}"].map(|end| format!("\"after\":{{\"id\":{id}{end}"));
    run.wait_for(&format!("row {id}"), PATIENCE, |run| {
        let lines = run.stdout();
        wanted.iter().any(|wanted| lines.contains(wanted))
    });
}
