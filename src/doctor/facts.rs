//! What a source has told about itself. Plain values: the rules decide what they mean.

use crate::mysql::binlog_index::BinlogFileEntry;
use crate::mysql::binlog_index::GtidSets;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::ServerFacts;
use crate::mysql::upstream::Upstream;

/// A question that the server may refuse to answer (a right is missing, the statement is unknown).
pub type Told<T> = Result<T, SourceError>;

/// One server, as far as it answers.
#[derive(Debug)]
pub struct SourceFacts {
    pub server: ServerFacts,
    pub link: LinkFacts,
    pub rights: RightFacts,
    pub binlog: BinlogFacts,
    pub replication: ReplicationFacts,
    pub clock: Told<ClockFacts>,
}

#[derive(Debug)]
pub struct LinkFacts {
    /// Such as `TLSv1_3`; none on a plain connection.
    pub tls_version: Option<String>,
    /// When the server's certificate runs out, as the server says it (`Nov 20 15:30:56 2036 GMT`).
    pub certificate_not_after: Option<String>,
}

#[derive(Debug)]
pub struct RightFacts {
    /// `'repl'@'%'`
    pub account: String,
    /// The lines of SHOW GRANTS.
    pub grants: Vec<String>,
    /// Whether the server takes us for a replica: REPLICATION SLAVE.
    pub replica: Told<()>,
}

#[derive(Debug)]
pub struct BinlogFacts {
    /// Current file and position: REPLICATION CLIENT.
    pub end: Told<BinlogStatus>,
    /// Oldest first.
    pub files: Told<Vec<BinlogFileEntry>>,
    /// MySQL's sets of GTIDs.
    pub gtid_sets: Told<Option<GtidSets>>,
}

/// `SHOW BINARY LOG STATUS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinlogStatus {
    pub file: String,
    pub pos: u64,
    /// Databases that alone are logged; empty: all.
    pub do_db: Vec<String>,
    /// Databases that are not logged.
    pub ignore_db: Vec<String>,
    /// MariaDB: the last GTID of each domain.
    pub gtid_binlog_pos: Option<String>,
}

#[derive(Debug)]
pub struct ReplicationFacts {
    /// The server's registered replicas.
    pub replicas: Told<Vec<Replica>>,
    /// From whom the server itself replicates.
    pub upstream: Told<Vec<Upstream>>,
}

/// A line of `SHOW REPLICAS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub server_id: u32,
    /// What the replica says its host is; a shard's name where it is fountain.
    pub host: String,
    /// Not on MariaDB.
    pub uuid: Option<String>,
}

/// The server's clock against ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockFacts {
    /// How far the server's clock is ahead, in milliseconds.
    pub ahead_ms: i64,
    /// Half the round trip, plus a second where the server tells whole seconds.
    pub uncertainty_ms: i64,
}

/// The tables that the account can see on a server.
#[derive(Debug, Clone, Default)]
pub struct TableFacts {
    /// Those that the filter watches.
    pub watched: Vec<WatchedTable>,
    /// How many it can see, watched or not.
    pub visible: usize,
    /// Some of them are MariaDB's WITH SYSTEM VERSIONING.
    pub versioned: bool,
    /// Entries of the white list that match nothing; and of the black list.
    pub unmatched_white: Vec<String>,
    pub unmatched_black: Vec<String>,
    /// Constraints by which the server itself changes rows of watched tables.
    pub cascades: Vec<Cascade>,
    /// Columns that cannot be read.
    pub unreadable: Vec<UnreadableColumn>,
    /// Entries of the white list whose table the account may not see, with the server's words.
    pub hidden: Vec<(String, SourceError)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedTable {
    /// `database.table`
    pub name: String,
    pub engine: String,
    /// It has a unique key over whole NOT NULL columns.
    pub has_key: bool,
    /// MariaDB's WITH SYSTEM VERSIONING by transaction instead of by time: the two columns that say so; else none.
    pub transaction_columns: Vec<String>,
}

/// A foreign key with ON DELETE or ON UPDATE that changes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cascade {
    /// The table that is changed, `database.table`.
    pub table: String,
    pub constraint: String,
    /// Such as `ON DELETE CASCADE`.
    pub rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableColumn {
    /// `database.table.column`
    pub name: String,
    pub why: Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// A data type by its name.
    Type(String),
    /// A character set by its name.
    Charset(String),
}
