//! A consumer: applies delivered lines by key, as the README tells it to, and compares what it then holds with what the
//! server's `SELECT` shows.

use super::Server;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;

type Columns = BTreeMap<String, Option<String>>;

/// The rows of one table, by key; of a table without a key, by all columns, each with how often it is there.
#[derive(Debug, Default)]
pub struct Replay {
    rows: BTreeMap<Vec<Option<String>>, (Columns, usize)>,
}

impl Replay {
    /// Applies the lines of one table. Panics when a line does not fit what came before.
    pub fn of(lines: &[Value], database: &str, table: &str) -> Replay {
        let mut replay = Replay::default();
        for line in lines.iter().filter(|line| line["database"] == database && line["table"] == table) {
            replay.apply(line);
        }
        replay
    }

    fn apply(&mut self, line: &Value) {
        let key: Vec<&str> =
            line["key"].as_array().expect("a key").iter().map(|name| name.as_str().unwrap()).collect();
        let op = line["op"].as_str().expect("an op");
        assert_eq!(line.get("before").is_some(), op != "insert", "{line}");
        assert_eq!(line.get("after").is_some(), op != "delete", "{line}");
        let mut row = Columns::new();
        if let Some(before) = line.get("before").map(columns) {
            row = self.remove(&identity(&key, &before), line);
            for (name, value) in &before {
                assert_eq!(row.get(name).unwrap_or(value), value, "{name} of {line}");
            }
        }
        if let Some(mut after) = line.get("after").map(columns) {
            row.append(&mut after);
            self.insert(identity(&key, &row), row, line, key.is_empty());
        }
    }

    fn remove(&mut self, identity: &[Option<String>], line: &Value) -> Columns {
        let (row, count) = self.rows.get_mut(identity).unwrap_or_else(|| panic!("no row for {line}"));
        *count -= 1;
        let (row, count) = (row.clone(), *count);
        if count == 0 {
            self.rows.remove(identity);
        }
        row
    }

    fn insert(&mut self, identity: Vec<Option<String>>, row: Columns, line: &Value, may_repeat: bool) {
        let (_, count) = self.rows.entry(identity).or_insert((row, 0));
        *count += 1;
        assert!(may_repeat || *count == 1, "the row is there already: {line}");
    }

    /// Forgets a column that the server does not log whenever it changes.
    pub fn without(mut self, column: &str) -> Replay {
        self.rows.values_mut().for_each(|(row, _)| drop(row.remove(column)));
        self
    }

    /// Compares with the table. Columns that are not in all of its rows here are passed over, unless the log held all.
    #[track_caller]
    pub fn assert_is(&self, server: &Server, database: &str, table: &str, whole: bool) {
        // `SELECT *` leaves out INVISIBLE columns; the columns are those that a user has declared.
        let names: Vec<String> = server
            .select(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='{database}' AND TABLE_NAME='{table}' \
                 ORDER BY ORDINAL_POSITION"
            ))
            .into_iter()
            .map(|row| row[0].clone().unwrap())
            .collect();
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let sql = format!("SET time_zone='+00:00'; SELECT {} FROM `{database}`.`{table}`", quoted.join(","));
        let mut expected: Vec<Columns> =
            server.select(&sql).into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect();
        let mut rows: Vec<Columns> =
            self.rows.values().flat_map(|(row, count)| vec![row.clone(); *count]).collect();
        assert_eq!(rows.len(), expected.len(), "{database}.{table}: {rows:?}\nexpected: {expected:?}");
        if !whole {
            let held: Vec<String> =
                names.iter().filter(|name| rows.iter().all(|row| row.contains_key(*name))).cloned().collect();
            rows.iter_mut().chain(&mut expected).for_each(|row| row.retain(|name, _| held.contains(name)));
        }
        rows.sort();
        expected.sort();
        assert_eq!(rows, expected, "{database}.{table}");
    }
}

fn columns(image: &Value) -> Columns {
    let image: &Map<String, Value> = image.as_object().expect("an image");
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    image.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn identity(key: &[&str], row: &Columns) -> Vec<Option<String>> {
    match key {
        [] => row.values().cloned().collect(),
        key => key.iter().map(|name| row.get(*name).cloned().flatten()).collect(),
    }
}
