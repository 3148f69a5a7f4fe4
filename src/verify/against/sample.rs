//! Which keys are compared, and what the files say last about each: one pass over the lines, in memory for the sample alone.
//!
//! Of each table the keys with the lowest seeded hashes are kept. A key that comes late has a hash lower than some that
//! were kept, so whatever is in the sample has been followed since its last change. What cannot be followed (a rollback
//! of lines that went out, DDL of the table, a gap) takes keys out of the sample and never leaves a wrong state in it.

use crate::change::sql;
use crate::change::sql::Ddl;
use crate::change::sql::Quoting;
use crate::change::sql::Sql;
use crate::change::sql::Statement;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

/// Database and table.
pub type Table = (String, String);
/// Columns and their values as they stand in the line.
pub type Values = BTreeMap<String, String>;

/// What the files say of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Row(Values),
    Deleted,
}

/// A key in the sample.
#[derive(Debug, Clone)]
pub struct Sampled {
    pub key: Values,
    pub state: State,
    /// The line that said so.
    pub seq: u64,
    /// States since [`Sampler::keep_history`].
    pub history: Vec<State>,
}

/// Follows the sampled keys through all lines.
#[derive(Debug)]
pub struct Sampler {
    per_table: usize,
    seed: u64,
    tables: BTreeMap<Table, BTreeMap<(u64, String), Sampled>>,
    /// Tables with rows that no key tells apart.
    pub without_key: BTreeSet<Table>,
    /// Keys that the transaction at work has changed, with the highest row that did.
    touched: HashMap<(Table, u64, String), u64>,
    gtid: Option<String>,
    last_row: u64,
    keeps_history: bool,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Text<'_> {}
impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    op: Text<'a>,
    #[serde(borrow)]
    database: Option<Text<'a>>,
    #[serde(borrow)]
    table: Option<Text<'a>>,
    #[serde(borrow)]
    before: Option<BTreeMap<Text<'a>, &'a RawValue>>,
    #[serde(borrow)]
    after: Option<BTreeMap<Text<'a>, &'a RawValue>>,
    #[serde(borrow)]
    key: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    sql: Option<Text<'a>>,
    #[serde(borrow)]
    gtid: Option<Text<'a>>,
    row: Option<u64>,
    from_row: Option<u64>,
    seq: Option<u64>,
}

impl Line<'_> {
    /// A key column's value: an image that leaves out what has not changed leaves it to the other one.
    fn key_values(&self, images: [&Option<BTreeMap<Text<'_>, &RawValue>>; 2]) -> Option<Values> {
        let value = |column: &Text<'_>| {
            let of = |image: &Option<BTreeMap<Text<'_>, &RawValue>>| {
                let found = image.as_ref()?.iter().find(|(name, _)| *name == column);
                found.map(|(_, value)| value.get().to_owned())
            };
            of(images[0]).or_else(|| of(images[1]))
        };
        let columns = self.key.as_ref().filter(|columns| !columns.is_empty())?;
        columns.iter().map(|column| Some((column.0.clone().into_owned(), value(column)?))).collect()
    }
}

impl Sampler {
    pub fn new(per_table: usize, seed: u64) -> Self {
        Self {
            per_table,
            seed,
            tables: BTreeMap::new(),
            without_key: BTreeSet::new(),
            touched: HashMap::new(),
            gtid: None,
            last_row: 0,
            keeps_history: false,
        }
    }

    pub fn tables(&self) -> impl Iterator<Item = (&Table, impl Iterator<Item = &Sampled>)> {
        self.tables.iter().map(|(table, keys)| (table, keys.values()))
    }

    /// The key again, if it is still followed.
    pub fn find(&self, table: &Table, key: &Values) -> Option<&Sampled> {
        let name = name(key);
        self.tables.get(table)?.get(&(self.hash(table, &name), name))
    }

    /// From now on no key comes or goes for want of room, and all states are kept.
    pub fn keep_history(&mut self) {
        self.keeps_history = true;
        self.per_table = 0;
    }

    /// Takes the lines of a pack that has been proven.
    pub fn take(&mut self, rows: &[u8]) {
        for text in rows.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
            // Proven to be JSON; a line of another form has nothing to compare.
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(text) {
                self.line(&line);
            }
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let row = line.row.unwrap_or(0);
        let gtid = line.gtid.as_ref().map(|gtid| &*gtid.0);
        if gtid != self.gtid.as_deref() || gtid.is_none() && row < self.last_row {
            self.gtid = gtid.map(str::to_owned);
            self.touched.clear();
        }
        self.last_row = row;
        match &*line.op.0 {
            "insert" | "update" | "delete" => self.row(line, row),
            "rollback" => {
                let from = line.from_row.unwrap_or(0);
                for ((table, hash, name), last) in std::mem::take(&mut self.touched) {
                    if last >= from
                        && let Some(keys) = self.tables.get_mut(&table)
                    {
                        keys.remove(&(hash, name));
                    }
                }
            }
            "ddl" | "statement" => self.statement(line),
            "begin" | "commit" => self.touched.clear(),
            // Rows may have been left out, and what is not known here may be anything.
            _ => self.tables.clear(),
        }
    }

    fn statement(&mut self, line: &Line<'_>) {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
        let (text, database) =
            (text(&line.sql).unwrap_or_default(), text(&line.database).unwrap_or_default());
        match sql::classify(Sql { text: &text, database: &database, quoting: Quoting::default() }) {
            Statement::Ddl(Ddl::Tables(tables)) => {
                // Servers that fold names may spell them otherwise in rows.
                self.tables.retain(|(database, table), _| {
                    !tables.iter().any(|touched| {
                        touched.database.eq_ignore_ascii_case(database)
                            && touched.table.eq_ignore_ascii_case(table)
                    })
                });
            }
            Statement::Ddl(Ddl::Other) => {}
            _ => self.tables.clear(),
        }
    }

    fn row(&mut self, line: &Line<'_>, row: u64) {
        let (Some(database), Some(table)) = (&line.database, &line.table) else { return };
        let table = (database.0.clone().into_owned(), table.0.clone().into_owned());
        let old = line.key_values([&line.before, &line.after]);
        let new = line.key_values([&line.after, &line.before]);
        let (Some(old), Some(new)) = (old, new) else {
            self.without_key.insert(table);
            return;
        };
        let seq = line.seq.unwrap_or(0);
        if &*line.op.0 == "delete" {
            self.set(&table, old, State::Deleted, seq, row);
            return;
        }
        let mut values = match self.find(&table, &old).map(|sampled| &sampled.state) {
            Some(State::Row(values)) if line.before.is_some() => values.clone(),
            _ => Values::new(),
        };
        for image in [&line.before, &line.after].into_iter().flatten() {
            let own = image.iter().map(|(name, value)| (name.0.clone().into_owned(), value.get().to_owned()));
            values.extend(own);
        }
        if old != new {
            self.set(&table, old, State::Deleted, seq, row);
        }
        self.set(&table, new, State::Row(values), seq, row);
    }

    fn set(&mut self, table: &Table, key: Values, state: State, seq: u64, row: u64) {
        let name = name(&key);
        let place = (self.hash(table, &name), name);
        let keys = match self.tables.get_mut(table) {
            Some(keys) => keys,
            None if self.per_table == 0 => return,
            None => self.tables.entry(table.clone()).or_default(),
        };
        if let Some(sampled) = keys.get_mut(&place) {
            (sampled.state, sampled.seq) = (state, seq);
            if self.keeps_history {
                sampled.history.push(sampled.state.clone());
            }
        } else {
            let is_full = keys.len() >= self.per_table;
            if is_full && keys.last_key_value().is_none_or(|(last, _)| *last < place) {
                return;
            }
            if is_full {
                keys.pop_last();
            }
            keys.insert(place.clone(), Sampled { key, state, seq, history: Vec::new() });
        }
        self.touched.insert((table.clone(), place.0, place.1), row);
    }

    fn hash(&self, table: &Table, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, table, name).hash(&mut hasher);
        hasher.finish()
    }
}

/// One text for a key: its columns' values as they stand in lines.
fn name(key: &Values) -> String {
    key.iter().map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(",")
}

/// A key for people.
pub fn shown(key: &Values) -> String {
    name(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(op: &str, gtid: u64, row: u64, before: &str, after: &str) -> String {
        let image = |name: &str, image: &str| match image {
            "" => String::new(),
            image => format!("\"{name}\":{image},"),
        };
        format!(
            "{{\"op\":\"{op}\",\"database\":\"d\",\"table\":\"t\",{}{}\"key\":[\"id\"],\"gtid\":\"{gtid}\",\"row\":{row},\"seq\":1}}\n",
            image("before", before),
            image("after", after)
        )
    }

    fn states(sampler: &Sampler) -> Vec<String> {
        let keys = sampler.tables().flat_map(|(_, keys)| keys.map(|key| (&key.key, &key.state)));
        let mut states: Vec<String> = keys
            .map(|(key, state)| match state {
                State::Row(values) => format!("{} {}", shown(key), shown(values)),
                State::Deleted => format!("{} deleted", shown(key)),
            })
            .collect();
        states.sort();
        states
    }

    #[test]
    fn the_newest_state_of_each_key_is_known() {
        let mut sampler = Sampler::new(10, 1);
        sampler.take(line("insert", 1, 0, "", r#"{"id":1,"v":"a"}"#).as_bytes());
        sampler.take(line("insert", 1, 1, "", r#"{"id":2,"v":"b"}"#).as_bytes());
        // A minimal image: what is not there has not changed.
        sampler.take(line("update", 2, 0, r#"{"id":1}"#, r#"{"v":"c"}"#).as_bytes());
        sampler.take(line("update", 2, 1, r#"{"id":2,"v":"b"}"#, r#"{"id":3,"v":"b"}"#).as_bytes());
        assert_eq!(states(&sampler), [r#"id=1 id=1,v="c""#, "id=2 deleted", r#"id=3 id=3,v="b""#]);
        sampler.take(line("delete", 3, 0, r#"{"id":1}"#, "").as_bytes());
        assert_eq!(states(&sampler)[0], "id=1 deleted");
    }

    #[test]
    fn what_is_rolled_back_or_redefined_is_forgotten() {
        let mut sampler = Sampler::new(10, 1);
        sampler.take(line("insert", 1, 0, "", r#"{"id":1}"#).as_bytes());
        sampler.take(line("insert", 2, 0, "", r#"{"id":2}"#).as_bytes());
        sampler.take(line("insert", 2, 1, "", r#"{"id":3}"#).as_bytes());
        sampler.take(b"{\"op\":\"rollback\",\"from_row\":1,\"gtid\":\"2\",\"row\":2,\"seq\":1}\n");
        assert_eq!(states(&sampler), ["id=1 id=1", "id=2 id=2"]);
        sampler.take(b"{\"op\":\"ddl\",\"database\":\"x\",\"sql\":\"ALTER TABLE d.u ADD c int\",\"gtid\":\"3\",\"row\":0}\n");
        assert_eq!(states(&sampler).len(), 2);
        sampler
            .take(b"{\"op\":\"ddl\",\"database\":\"x\",\"sql\":\"TRUNCATE d.t\",\"gtid\":\"3\",\"row\":0}\n");
        assert!(states(&sampler).is_empty());
    }

    #[test]
    fn the_sample_is_of_that_size_and_the_same_each_time() {
        let sampled = |seed| {
            let mut sampler = Sampler::new(20, seed);
            for id in 0..1000 {
                sampler.take(line("insert", id, 0, "", &format!("{{\"id\":{id}}}")).as_bytes());
            }
            states(&sampler)
        };
        assert_eq!(sampled(1).len(), 20);
        assert_eq!(sampled(1), sampled(1));
        assert_ne!(sampled(1), sampled(2));
    }
}
