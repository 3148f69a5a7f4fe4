//! The tables that a reader of the lines makes, and the server's own.

use crate::crash_bytes::load::TABLES;
use crate::harness::Server;
use serde_json::Value;
use std::collections::BTreeMap;

pub type Rows = BTreeMap<(String, u64), String>;

/// Plays the lines into tables of our own; what a `rollback` line takes back is taken back.
pub fn apply(text: &str) -> Rows {
    let mut rows = Rows::new();
    // Of the transaction at work: ordinal, key and what was there before.
    let mut undo: Vec<(u64, (String, u64), Option<String>)> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let op = line["op"].as_str().expect("op");
        let image = |name: &str| {
            let id = line[name]["id"].as_u64().expect("id");
            (line["table"].as_str().expect("a table").to_owned(), id)
        };
        let value = || line["after"]["v"].as_str().expect("v").to_owned();
        let row = line["row"].as_u64().expect("row");
        match op {
            "begin" => undo.clear(),
            "insert" => {
                let before = rows.insert(image("after"), value());
                assert!(before.is_none(), "inserted twice: {line}");
                undo.push((row, image("after"), None));
            }
            "update" => {
                let before = rows.insert(image("after"), value());
                assert!(before.is_some(), "updated before it was inserted: {line}");
                undo.push((row, image("after"), before));
            }
            "delete" => {
                let before = rows.remove(&image("before"));
                assert!(before.is_some(), "deleted before it was inserted: {line}");
                undo.push((row, image("before"), before));
            }
            "rollback" => {
                let from = line["from_row"].as_u64().expect("from_row");
                while let Some((_, key, before)) = undo.pop_if(|(row, ..)| *row >= from) {
                    match before {
                        Some(value) => rows.insert(key, value),
                        None => rows.remove(&key),
                    };
                }
            }
            "ddl" | "commit" => {}
            other => panic!("unexpected op {other}"),
        }
    }
    rows
}

pub fn tables_of(server: &Server) -> Rows {
    let mut rows = Rows::new();
    for table in TABLES {
        for row in server.select(&format!("SELECT id, v FROM crash.{table}")) {
            let id = row[0].as_ref().expect("id").parse().expect("a number");
            rows.insert((table.to_owned(), id), row[1].clone().expect("v"));
        }
    }
    rows
}
