//! Sync points: the place from which a shard is read on, and the stores that keep it.
//!
//! A point always stands at the border of a transaction; how much of the transaction behind it was delivered already is
//! said by [`Inside`]. A store never takes "cannot be read", "empty" or "changed" for "no point". Which point is
//! saved and when is the pipeline's decision: only after the sink has made the pack durable.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod epochs;
mod executed_text;
pub mod file_state;
pub mod file_store;
pub mod folder;
pub mod gap;
pub mod gap_log;
mod held;
pub mod history;
pub mod line_log;
pub mod lock;
pub mod old_files;
pub mod pending_xa;
pub mod record;
pub mod schema_store;
pub mod sealed;
pub mod state;
pub mod text;
pub mod trace;
pub mod zk_node;
pub mod zk_schema;
pub mod zk_state;
pub mod zk_store;

use crate::binlog::ExecutedGtids;
use crate::code::Code;
use crate::sync_point::epochs::LastPack;
use crate::sync_point::epochs::TakenOver;
use crate::sync_point::folder::FolderError;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::pending_xa::PendingXa;
use crate::sync_point::sealed::hex_crc32;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;

/// Which server a point belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// MySQL's `server_uuid`, MariaDB's `server_uid`; none on servers that have neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uuid: Option<String>,
    pub server_id: u32,
}

/// The resume place of one shard: everything before it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPoint {
    pub server: ServerIdentity,
    /// Binlog file.
    pub file: String,
    /// Start of the next event to read, always at the border of a transaction.
    pub pos: u64,
    /// The timestamp of the file's format description event, in seconds: tells a file from another one of the same
    /// name. 0: unknown.
    #[serde(default)]
    pub file_created: u32,
    /// What has been read, where it is known in GTIDs: `gtid_set` (MySQL) or `gtid_position` (MariaDB) of the record.
    #[serde(flatten, with = "executed_text")]
    pub executed: Option<ExecutedGtids>,
    /// The GTIDs may hold transactions that lie behind `file` and `pos`: read on by GTID only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub set_ahead: bool,
    /// XA transactions that were prepared before this place and are not decided on, in the order of the log: reading begins
    /// at the first of them, and what lies before this place is delivered already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_xa: Vec<PendingXa>,
    /// Set while the transaction that starts here has been delivered in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// Commit time of the last delivered transaction, in milliseconds since 1970. 0: unknown.
    #[serde(default)]
    pub ts_ms: u64,
}

/// How far delivery is into the transaction that starts at the point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The transaction's name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// Its first rows, watched or not, that are delivered or need not be: up to the last line delivered of it.
    pub rows: u64,
    /// What is done with behind those rows and is no row: savepoints, ROLLBACK TO, statements.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps: u64,
    /// CRC-32 over those rows' (op, table), to prove on the second reading that they are the same rows.
    #[serde(with = "hex_crc32")]
    pub crc32: u32,
    /// Among them are updates or deletes of a table without a key: their order is this server's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// They came from another MySQL server than the one that the point is of.
    #[serde(default, skip_serializing_if = "is_false")]
    pub elsewhere: bool,
    /// What a policy has decided about it; none when it goes out as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
}

/// A transaction that was held before its first line went out (`transaction_policy` `mini` or `discard_huge_table`). So
/// that the rest of it comes the same way behind a break, also under another configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// It was held up to here, rows and steps as in [`Inside`]: what was rolled back before does not come out.
    pub rows: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps: u64,
    /// Tables that were left out of it because it is too large: database and table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<(String, String)>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a store keeps of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointRecord {
    pub shard: String,
    /// The term in which the shard was led when this was saved.
    pub epoch: u64,
    /// The last pack of that epoch that the sink has made durable; 0 before the first.
    pub sequence: u64,
    /// The `seq` of the next row.
    pub next_seq: u64,
    /// No row with a `seq` from here on has been handed out.
    pub seq_reserved: u64,
    /// When this was saved, in milliseconds since 1970.
    pub saved_ms: u64,
    /// None while the shard has been led and nothing is known of where it stands.
    pub point: Option<SyncPoint>,
    /// A person has moved the point, and that has not been told to the sink yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// The last pack that counts: the `sequence`th of `epoch`, or of an earlier epoch while that one has none, with zeros before
    /// the shard's first. None: an earlier version's record does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pack: Option<LastPack>,
    /// What counts of former epochs, in a store that nodes share.
    #[serde(default, skip_serializing_if = "TakenOver::is_empty")]
    pub taken_over: TakenOver,
}

/// A person's move of a point. It raises the epoch, so that the point wins over the last pack of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where delivery had come to, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<GapEdge>,
    /// The person's words.
    pub reason: String,
}

/// Keeps one shard's [`PointRecord`].
///
/// `load` answers `None` only when the store has been read and positively holds no point of this shard and never has;
/// everything that cannot be read or makes no sense is an error.
///
/// `save` returns once the record is durable; a crash at any time leaves the old record or the new one. It refuses a
/// record whose (epoch, sequence) or `seq_reserved` is lower than that of the record last loaded or saved, and one
/// without a point over one with a point: nothing goes back quietly.
pub trait SyncPointStore: Send {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError>;
    /// What the original Fountain left of this shard, for when `load` has answered `None`. It is not changed. A store that
    /// the original never wrote to holds none.
    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        Ok(None)
    }
    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError>;

    /// Whether other nodes, each with a sink of its own, go on from what is saved here.
    fn is_shared(&self) -> bool {
        false
    }
}

/// Why a point cannot be had or kept. `PointStore` may pass by itself (a full disk); `PointBroken`, `PointLost` and
/// `Locked` need a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    pub code: Code,
    pub text: String,
}

impl StoreError {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<FolderError> for StoreError {
    fn from(error: FolderError) -> Self {
        Self::new(error.code, error.text)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}
