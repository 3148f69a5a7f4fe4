//! Tables that keep their shape while their definition changes: the same number of columns, types and lengths, other names,
//! signs, labels and character sets. And what rows must look like: as the server itself showed them when they were written.

use super::Session;
use super::delivered::parse;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::HashMap;

/// A small generator of numbers that a seed decides (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// A row as text, NULL as none: column by column.
pub type Shown = BTreeMap<String, Option<String>>;

/// What was written, by the `id` of the row as it came out of it.
#[derive(Default)]
pub struct Oracle {
    rows: HashMap<u64, (String, Shown)>,
    next: u64,
}

/// The columns of every table here: `id`, a number, a label, a text.
pub const COLUMNS: [&str; 3] = ["int", "enum", "varchar(20)"];

/// A column's definition of one of several that are logged alike.
pub fn column_type(column: usize, variant: u64) -> String {
    let variants = match column {
        0 => ["int", "int unsigned"],
        1 => ["enum('red','green')", "enum('klein','groß')"],
        _ => ["varchar(20) CHARACTER SET latin1", "varchar(20) CHARACTER SET latin2"],
    };
    variants[(variant % 2) as usize].to_owned()
}

/// A value that means something else under the other variant.
fn literal(column_type: &str, dice: &mut Dice) -> String {
    match column_type {
        text if text.contains("unsigned") => (4_000_000_000 + dice.roll(1000)).to_string(),
        text if text.starts_with("enum") => (1 + dice.roll(2)).to_string(),
        text if text.starts_with("varchar") => "_latin1 x'ecf1'".to_owned(),
        _ => format!("-{}", 1 + dice.roll(1000)),
    }
}

/// Name and type of each column, as the server has them now.
fn columns(session: &mut Session, table: &str) -> Vec<(String, String)> {
    let (database, table) = table.split_once('.').expect("database.table");
    let rows = session.select(&format!(
        "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='{database}' AND \
         TABLE_NAME='{table}' ORDER BY ORDINAL_POSITION"
    ));
    let text = |value: &Option<String>| value.clone().expect("never NULL");
    rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
}

impl Oracle {
    /// How many rows were written.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The ids given out so far: rows from here on come later.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Inserts a row and remembers how the server shows it.
    pub fn insert(&mut self, session: &mut Session, table: &str, dice: &mut Dice) {
        self.next += 1;
        let id = self.next;
        let columns = columns(session, table);
        let values: Vec<String> = columns[1..].iter().map(|(_, kind)| literal(kind, dice)).collect();
        session.sql(&format!("SET sql_mode=''; INSERT INTO {table} VALUES ({id},{})", values.join(",")));
        self.remember(session, table, id, &columns);
    }

    /// Gives the newest row of a table another id, where it has one.
    pub fn update(&mut self, session: &mut Session, table: &str) {
        let newest = session.select(&format!("SELECT MAX(id) FROM {table}"));
        let Some(old) = newest[0][0].clone() else { return };
        self.next += 1;
        let id = self.next;
        session.sql(&format!("UPDATE {table} SET id={id} WHERE id={old}"));
        let columns = columns(session, table);
        self.remember(session, table, id, &columns);
    }

    fn remember(&mut self, session: &mut Session, table: &str, id: u64, columns: &[(String, String)]) {
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let row = session.select(&format!("SELECT {} FROM {table} WHERE id={id}", names.join(","))).remove(0);
        let shown = columns.iter().map(|(name, _)| name.clone()).zip(row).collect();
        self.rows.insert(id, (table.to_owned(), shown));
    }

    /// Every delivered row is as the server showed it; answers with the ids.
    #[track_caller]
    pub fn check(&self, data: &str) -> Vec<u64> {
        let mut ids = Vec::new();
        for line in parse(data) {
            let Some(after) = line.get("after").and_then(Value::as_object) else { continue };
            let name = |field: &str| line[field].as_str().expect("a name");
            let table = format!("{}.{}", name("database"), name("table"));
            let shown: Shown = after.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            let id = after.get("id").and_then(Value::as_u64).unwrap_or_else(|| panic!("no id in {line}"));
            let expected = self.rows.get(&id).unwrap_or_else(|| panic!("never written: {line}"));
            assert_eq!((&table, &shown), (&expected.0, &expected.1), "{line}");
            assert_eq!(line["key"], serde_json::json!(["id"]), "{line}");
            if let Some(before) = line.get("before").and_then(Value::as_object) {
                let names = |row: &serde_json::Map<String, Value>| row.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(before), names(after), "{line}");
                for (column, value) in before.iter().filter(|(column, _)| *column != "id") {
                    assert_eq!(text(value), shown[column], "{line}");
                }
            }
            ids.push(id);
        }
        ids
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Makes a table with columns of that name and these variants.
pub fn create(session: &mut Session, table: &str, names: &str, variant: u64) {
    let columns: Vec<String> = (0..COLUMNS.len())
        .map(|column| format!("{names}{column} {}", column_type(column, variant >> column)))
        .collect();
    session.sql(&format!("CREATE TABLE {table} (id int PRIMARY KEY, {}) ENGINE=InnoDB", columns.join(", ")));
}

/// The clause of an ALTER TABLE that changes one column and keeps its shape.
pub fn change(session: &mut Session, table: &str, dice: &mut Dice) -> String {
    let columns = columns(session, table);
    let column = dice.roll(3) as usize;
    let old = &columns[column + 1].0;
    let new = if dice.roll(2) == 0 { old.clone() } else { format!("n{}", dice.roll(1_000_000)) };
    format!("CHANGE `{old}` `{new}` {}", column_type(column, dice.roll(2)))
}

/// A cut-over as gh-ost does it.
pub fn gh_ost(session: &mut Session, table: &str, change: &str) {
    let (database, name) = table.split_once('.').expect("database.table");
    let (ghost, del) = (format!("{database}._{name}_gho"), format!("{database}._{name}_del"));
    session.sql(&format!(
        "SET sql_mode=''; DROP TABLE IF EXISTS {ghost}; CREATE TABLE {ghost} LIKE {table}; ALTER TABLE {ghost} {change};
         INSERT INTO {ghost} SELECT * FROM {table}; RENAME TABLE {table} TO {del}, {ghost} TO {table}; DROP TABLE {del}"
    ));
}

/// A cut-over as pt-online-schema-change does it.
pub fn pt_osc(session: &mut Session, table: &str, change: &str) {
    let (database, name) = table.split_once('.').expect("database.table");
    let (new, old) = (format!("{database}._{name}_new"), format!("{database}._{name}_old"));
    session.sql(&format!(
        "SET sql_mode=''; CREATE TABLE {new} LIKE {table}; ALTER TABLE {new} {change};
         CREATE TRIGGER {database}.pt_osc_del AFTER DELETE ON {table} FOR EACH ROW DELETE IGNORE FROM {new} WHERE {new}.id <=> OLD.id;
         INSERT LOW_PRIORITY IGNORE INTO {new} SELECT * FROM {table} LOCK IN SHARE MODE;
         ANALYZE TABLE {new}; RENAME TABLE {table} TO {old}, {new} TO {table};
         DROP TRIGGER IF EXISTS {database}.pt_osc_del; DROP TABLE IF EXISTS {old}"
    ));
}

/// Two tables change their names.
pub fn swap(session: &mut Session, one: &str, other: &str) {
    session.sql(&format!("RENAME TABLE {one} TO d.swapping, {other} TO {one}, d.swapping TO {other}"));
}
