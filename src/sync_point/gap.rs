//! Gap records: every place where delivery does not simply go on behind what came before, kept for people who ask later.
//!
//! They stand in `<producer_position>/<shard>.gaps`, one sealed JSON line each ([`crate::sync_point::sealed`]), and are only
//! ever appended. A record is durable before the point passes what it tells of, so a crash may repeat one and loses none.

use crate::sync_point::StoreError;
use crate::sync_point::SyncPoint;
use serde::Deserialize;
use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// A transaction, or tables of it, was left out because it is too large (`trans_oversize=discard`).
    Discard,
    /// A transaction that was delivered in part is another one now; it is delivered again as a whole.
    Changed,
    /// The point was moved, by a person or by a change of the source.
    Jump,
    /// Something in the log was passed over on a person's order, or because its rows cannot be had.
    Skip,
    /// The shard was begun anew.
    Reset,
}

impl GapKind {
    /// As it is written in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Changed => "changed",
            Self::Jump => "jump",
            Self::Skip => "skip",
            Self::Reset => "reset",
        }
    }
}

/// A place in front of a row of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapEdge {
    /// The transaction's name, or of a moved point all GTIDs up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    pub file: String,
    /// Where the transaction starts, or the next event.
    pub pos: u64,
    /// Rows of the transaction before it, watched or not.
    #[serde(default)]
    pub row: u64,
}

/// How many rows of a table are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapTable {
    /// `database.table`.
    pub table: String,
    pub rows: u64,
}

/// One gap: behind `from` delivery goes on at `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRecord {
    pub shard: String,
    /// When it was recorded, in milliseconds since 1970.
    pub at_ms: u64,
    pub kind: GapKind,
    pub from: GapEdge,
    pub to: GapEdge,
    /// Rows that were left out, by table, the largest first; empty when that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<GapTable>,
    /// For people.
    pub reason: String,
}

impl GapEdge {
    /// Where delivery stands that has come to a point.
    pub fn of_point(point: &SyncPoint) -> Self {
        Self {
            gtid: point.executed.as_ref().map(ToString::to_string),
            file: point.file.clone(),
            pos: point.pos,
            row: point.inside.as_ref().map_or(0, |inside| inside.rows),
        }
    }
}

impl GapRecord {
    /// Whether both tell of the same gap: one that is read again is recorded again.
    pub fn is_same_gap(&self, other: &Self) -> bool {
        // Tables count: under another policy more may be left out on a second reading.
        (&self.shard, self.kind, &self.from, &self.to, &self.tables)
            == (&other.shard, other.kind, &other.from, &other.to, &other.tables)
    }
}

/// Where gap records are kept.
pub trait GapLog: Send {
    /// Returns once the record is durable. One that the log holds already is not written again.
    fn append(&mut self, record: &GapRecord) -> Result<(), StoreError>;
}
