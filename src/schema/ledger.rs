//! The ledger of definitions: which definition held for the rows of which stretch of the log, and how that was proven.
//!
//! A version holds for rows that start at a place P with `from` ≤ P < `to`. It is open while no DDL of its table has been
//! read; reading one closes it at that DDL's place. Places are those of one server; on another one only what held where the
//! stream stood goes on holding ([`Ledger::moved_to_another_server`]).
//!
//! What is written here is never a guess: whoever adds a version has proven it, or a person said so.

use crate::binlog::BinlogPosition;
use crate::schema::definition::TableDefinition;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Closed versions kept of a table: for points that lag behind, and for moving back.
const CLOSED_KEPT: usize = 4;
/// The stored text stays below this many bytes, so that any store can hold it, sealed: a node in ZooKeeper takes a million.
pub const MAX_STORED: usize = 990_000;
/// Entries of schema files that are remembered as used up.
const SPENT_KEPT: usize = 1000;

/// A server as the ledger knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerServer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<String>,
    pub server_id: u32,
}

/// How it is known that a definition is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Read from the server, and no DDL of the table lay between the rows and the log's end at that time.
    Server,
    /// `schema_file` says so.
    SchemaFile,
    /// `fountain schema set` says so.
    ByHand,
}

impl Proof {
    pub fn words(self) -> &'static str {
        match self {
            Self::Server => "read from the server",
            Self::SchemaFile => "schema_file",
            Self::ByHand => "set by hand",
        }
    }
}

/// One definition of a table, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    #[serde(flatten)]
    pub definition: TableDefinition,
    /// None: since the stream from this server began.
    #[serde(default, with = "place_text", skip_serializing_if = "Option::is_none")]
    pub from: Option<BinlogPosition>,
    /// The DDL that ended it; none while it is open.
    #[serde(default, with = "place_text", skip_serializing_if = "Option::is_none")]
    pub to: Option<BinlogPosition>,
    pub proof: Proof,
    /// CRC-32 of the entry of a schema file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u32>,
    /// What the person said who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was learnt, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Version {
    fn covers(&self, at: &BinlogPosition) -> bool {
        // Places in logs of different names do not compare: then nothing is known.
        self.from.as_ref().is_none_or(|from| from <= at) && self.to.as_ref().is_none_or(|to| at < to)
    }
}

/// An entry of a schema file that held until a DDL was read: the same text is not used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    database: String,
    table: String,
    entry: u32,
}

/// All versions of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The epoch in which this was written.
    pub epoch: u64,
    /// The epoch before it, as long as nothing has been read in this one.
    pub begun_from: Option<u64>,
    /// Whose places these are.
    pub server: LedgerServer,
    /// All DDL before this place is in the ledger. Older than the truth while a run goes on.
    pub followed: Option<BinlogPosition>,
    /// Of each table in the order in which they were learnt.
    tables: BTreeMap<(String, String), Vec<Version>>,
    spent: Vec<Spent>,
}

impl Ledger {
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.spent.is_empty()
    }

    /// All versions, table by table.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.tables.values().flatten()
    }

    /// The version for rows that start at a place. Of several the one learnt last: a person may have set it right.
    pub fn covering(&self, at: &BinlogPosition, database: &str, table: &str) -> Option<&Version> {
        let versions = self.tables.get(&(database.to_owned(), table.to_owned()))?;
        versions.iter().rev().find(|version| version.covers(at))
    }

    pub fn add(&mut self, version: Version) {
        let name = (version.definition.database.clone(), version.definition.table.clone());
        self.tables.entry(name).or_default().push(version);
    }

    /// The same for what a person sets: it takes the place of open versions that begin where it does.
    pub fn add_instead(&mut self, version: Version) {
        let name = (version.definition.database.clone(), version.definition.table.clone());
        let versions = self.tables.entry(name).or_default();
        versions.retain(|old| old.to.is_some() || old.from != version.from);
        versions.push(version);
    }

    /// Ends the open versions that a DDL touches; names the tables.
    pub fn close(
        &mut self,
        at: &BinlogPosition,
        touches: impl Fn(&str, &str) -> bool,
    ) -> Vec<(String, String)> {
        let mut closed = Vec::new();
        for (name, versions) in &mut self.tables {
            let mut any = false;
            for version in versions.iter_mut().filter(|version| version.to.is_none()) {
                // A DDL that is read again, from before the version was learnt, does not end it.
                let begun_behind = version.from.as_ref().is_some_and(|from| from > at);
                if !begun_behind && touches(&name.0, &name.1) {
                    version.to = Some(at.clone());
                    any = true;
                }
            }
            if any {
                closed.push(name.clone());
                forget_oldest(versions);
            }
        }
        closed
    }

    /// Takes out what is open: there may be DDL behind it that was not read.
    pub fn forget_open(&mut self) {
        self.keep(|version| version.to.is_some() && version.from.is_some());
        self.followed = None;
    }

    /// Takes out all versions: nobody knows whose places they are.
    pub fn forget_all(&mut self) {
        self.tables.clear();
        self.followed = None;
    }

    /// Takes out what holds "since the stream began": it may begin elsewhere now.
    pub fn forget_unplaced(&mut self) {
        self.keep(|version| version.from.is_some());
    }

    /// Takes out the version that rows at a place were to be read by, because it does not fit them.
    pub fn reject(&mut self, at: &BinlogPosition, database: &str, table: &str) {
        if let Some(versions) = self.tables.get_mut(&(database.to_owned(), table.to_owned()))
            && let Some(index) = versions.iter().rposition(|version| version.covers(at))
        {
            versions.remove(index);
        }
    }

    /// The stream goes on at another server: what held at `frontier` holds there until a DDL comes, the rest says nothing.
    pub fn moved_to_another_server(&mut self, frontier: &BinlogPosition, server: LedgerServer) {
        self.keep(|version| version.covers(frontier));
        for versions in self.tables.values_mut() {
            // Of several the last one counts.
            versions.drain(..versions.len().saturating_sub(1));
            for version in versions {
                (version.from, version.to) = (None, None);
            }
        }
        self.server = server;
        self.followed = None;
    }

    fn keep(&mut self, wanted: impl Fn(&Version) -> bool) {
        for versions in self.tables.values_mut() {
            versions.retain(&wanted);
        }
        self.tables.retain(|_, versions| !versions.is_empty());
    }

    pub fn is_spent(&self, database: &str, table: &str, entry: u32) -> bool {
        self.spent.iter().any(|spent| {
            (spent.entry, spent.database.as_str(), spent.table.as_str()) == (entry, database, table)
        })
    }

    pub fn spend(&mut self, database: &str, table: &str, entry: u32) {
        if !self.is_spent(database, table, entry) {
            self.spent.push(Spent { database: database.to_owned(), table: table.to_owned(), entry });
            self.spent.drain(..self.spent.len().saturating_sub(SPENT_KEPT));
        }
    }

    /// The ledger as one JSON object, with as much of it as may be stored: open versions before closed ones. What is left out
    /// costs another proof.
    pub fn to_object(&self, shard: &str) -> Result<String, serde_json::Error> {
        let mut versions: Vec<&Version> = self.versions().collect();
        versions.sort_by_key(|version| (version.to.is_some(), std::cmp::Reverse(version.at_ms)));
        loop {
            let stored = Stored {
                format: 1,
                shard: shard.to_owned(),
                epoch: self.epoch,
                begun_from: self.begun_from,
                server: self.server.clone(),
                followed: self.followed.clone(),
                versions: versions.iter().rev().map(|version| (*version).clone()).collect(),
                spent: self.spent.clone(),
            };
            let text = serde_json::to_string(&stored)?;
            if text.len() < MAX_STORED || versions.is_empty() {
                return Ok(text);
            }
            let fits = versions.len() * MAX_STORED / text.len();
            versions.truncate(fits.min(versions.len() - 1));
        }
    }

    /// Reads what [`Self::to_object`] wrote.
    pub fn from_object(text: &str, shard: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.format != 1 {
            return Err(format!("it has format {}, this version of fountain reads format 1", stored.format));
        }
        if stored.shard != shard {
            return Err(format!("it is the ledger of shard {}", stored.shard));
        }
        let Stored { epoch, begun_from, server, followed, versions, spent, .. } = stored;
        let mut ledger = Self { epoch, begun_from, server, followed, spent, tables: BTreeMap::new() };
        versions.into_iter().for_each(|version| ledger.add(version));
        Ok(ledger)
    }
}

fn forget_oldest(versions: &mut Vec<Version>) {
    let mut surplus =
        versions.iter().filter(|version| version.to.is_some()).count().saturating_sub(CLOSED_KEPT);
    versions.retain(|version| {
        let goes = surplus > 0 && version.to.is_some();
        surplus -= usize::from(goes);
        !goes
    });
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    shard: String,
    epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_from: Option<u64>,
    server: LedgerServer,
    #[serde(default, with = "place_text", skip_serializing_if = "Option::is_none")]
    followed: Option<BinlogPosition>,
    versions: Vec<Version>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spent: Vec<Spent>,
}

/// `mysql-bin.000003:1234`.
mod place_text {
    use crate::binlog::BinlogPosition;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serialize;
    use serde::Serializer;
    use serde::de::Error;

    pub fn serialize<S: Serializer>(
        place: &Option<BinlogPosition>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        place.as_ref().map(BinlogPosition::to_string).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BinlogPosition>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::definition::ColumnDefinition;

    fn place(pos: u64) -> BinlogPosition {
        BinlogPosition::new("b.000002", pos)
    }

    fn version(table: &str, column: &str, from: Option<u64>) -> Version {
        Version {
            definition: TableDefinition {
                database: "d".into(),
                table: table.into(),
                columns: vec![ColumnDefinition {
                    name: column.into(),
                    column_type: "int".into(),
                    charset: None,
                    hidden: false,
                }],
                key: vec![],
                row_end: None,
            },
            from: from.map(place),
            to: None,
            proof: Proof::Server,
            entry: None,
            reason: None,
            at_ms: 1,
        }
    }

    fn column(ledger: &Ledger, at: u64) -> Option<String> {
        ledger.covering(&place(at), "d", "t").map(|version| version.definition.columns[0].name.clone())
    }

    fn of(versions: impl IntoIterator<Item = Version>) -> Ledger {
        let mut ledger = Ledger::default();
        versions.into_iter().for_each(|version| ledger.add(version));
        ledger
    }

    #[test]
    fn a_version_holds_from_where_it_was_proven_to_the_next_ddl() {
        let mut ledger = of([version("t", "a", Some(100)), version("u", "x", Some(100))]);
        assert_eq!(ledger.close(&place(200), |_, table| table == "t"), [("d".to_owned(), "t".to_owned())]);
        ledger.add(version("t", "b", Some(250)));
        for (at, expected) in
            [(99, None), (100, Some("a")), (199, Some("a")), (200, None), (249, None), (250, Some("b"))]
        {
            assert_eq!(column(&ledger, at).as_deref(), expected, "{at}");
        }
        // The same DDL again, after the stream was resumed before it.
        assert!(ledger.close(&place(200), |_, table| table == "t").is_empty());
        assert_eq!(column(&ledger, 300).as_deref(), Some("b"));
        assert!(ledger.covering(&place(300), "d", "u").is_some());
        assert!(ledger.covering(&BinlogPosition::new("other.000002", 300), "d", "t").is_none());
        assert!(ledger.covering(&BinlogPosition::new("b.000003", 4), "d", "t").is_some());
    }

    #[test]
    fn a_ddl_in_a_log_of_another_name_ends_what_is_open() {
        let mut ledger = of([version("t", "a", Some(100))]);
        assert_eq!(ledger.close(&BinlogPosition::new("other.000001", 4), |_, _| true).len(), 1);
        assert_eq!(column(&ledger, 300), None);
    }

    #[test]
    fn on_another_server_only_what_held_goes_on() {
        let mut ledger = of([version("t", "a", Some(100))]);
        ledger.close(&place(200), |_, _| true);
        ledger.add(version("t", "b", Some(250)));
        let mut at_b = ledger.clone();
        at_b.moved_to_another_server(&place(260), LedgerServer { server_uuid: None, server_id: 2 });
        assert_eq!(column(&at_b, 4).as_deref(), Some("b"));
        at_b.close(&place(500), |_, _| true);
        assert_eq!((column(&at_b, 499).as_deref(), column(&at_b, 500)), (Some("b"), None));
        // The DDL at 200 will be read again there.
        let mut at_a = ledger.clone();
        at_a.moved_to_another_server(&place(150), LedgerServer::default());
        assert_eq!(column(&at_a, 999).as_deref(), Some("a"));
        at_a.forget_unplaced();
        assert!(at_a.is_empty());
        ledger.moved_to_another_server(&place(220), LedgerServer::default());
        assert!(ledger.is_empty());
    }

    #[test]
    fn the_last_word_counts() {
        let mut ledger = of([version("t", "a", Some(100)), version("t", "b", Some(100))]);
        assert_eq!(column(&ledger, 100).as_deref(), Some("b"));
        ledger.reject(&place(100), "d", "t");
        assert_eq!(column(&ledger, 100).as_deref(), Some("a"));
    }

    #[test]
    fn what_may_lie_behind_unread_ddl_is_forgotten() {
        let mut ledger = of([version("t", "a", Some(100))]);
        ledger.close(&place(200), |_, _| true);
        ledger.add(version("t", "b", Some(250)));
        ledger.forget_open();
        assert_eq!((column(&ledger, 150).as_deref(), column(&ledger, 260)), (Some("a"), None));
    }

    #[test]
    fn it_is_stored_and_read_again() {
        let mut ledger = of([version("t", "a", None), version("u", "x", Some(7))]);
        ledger.close(&place(200), |_, table| table == "u");
        ledger.spend("d", "t", 42);
        (ledger.epoch, ledger.begun_from, ledger.followed) = (3, Some(2), Some(place(300)));
        let text = ledger.to_object("s").unwrap();
        assert!(text.contains(r#""to":"b.000002:200""#), "{text}");
        assert_eq!(Ledger::from_object(&text, "s").unwrap(), ledger);
        assert!(Ledger::from_object(&text, "other").is_err());
        assert!(Ledger::from_object(&text.replace("\"format\":1", "\"format\":2"), "s").is_err());
        assert!(ledger.is_spent("d", "t", 42) && !ledger.is_spent("d", "t", 43));
    }

    #[test]
    fn what_is_stored_stays_small_and_open_versions_come_first() {
        let mut ledger = Ledger::default();
        for number in 0..20_000 {
            let mut one = version(&format!("t{number}"), "a", Some(100));
            one.to = (number % 2 == 0).then(|| place(200));
            ledger.add(one);
        }
        let text = ledger.to_object("s").unwrap();
        assert!(text.len() < MAX_STORED && text.len() > MAX_STORED / 2);
        assert!(Ledger::from_object(&text, "s").unwrap().versions().all(|version| version.to.is_none()));
        let mut many = Ledger::default();
        for pos in 1..20 {
            many.add(version("t", "a", Some(pos * 10)));
            many.close(&place(pos * 10 + 5), |_, _| true);
        }
        assert_eq!(many.versions().count(), CLOSED_KEPT);
        assert!(many.covering(&place(190), "d", "t").is_some());
    }
}
