//! Prepared XA transactions in a point.
//!
//! A server logs the rows of an XA transaction at its `XA PREPARE`; whether they count is decided by an `XA COMMIT` or
//! `XA ROLLBACK` that may come days later, with other transactions in between. The rows wait in memory, so a point that
//! stands in between has to say where they are to be read once more.

use crate::sync_point::is_zero_u32;
use serde::Deserialize;
use serde::Serialize;

/// An XA transaction that was prepared before the point and not decided on before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingXa {
    /// Its name, as servers log it: `X'6162',X'',1`.
    pub xid: String,
    /// Where the transaction starts that ends with its XA PREPARE. Empty: on this server it has not been met yet.
    pub file: String,
    pub pos: u64,
    /// When that file was begun, by its format description (seconds since 1970). 0: unknown.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub file_created: u32,
    /// The name of the transaction that ends with its XA PREPARE, where it has one. A MySQL point's `gtid_set` leaves it
    /// out, a MariaDB point's `gtid_position` may lie behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// MariaDB: the last GTID of each domain before it, maybe none: from there it is sent again. Absent where that is
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtids_before: Option<String>,
}

impl PendingXa {
    /// Whether both are one, maybe met at another place or on another server. Without GTIDs its place is its name.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_place = (&self.file, self.pos) == (&other.file, other.pos);
        self.xid == other.xid && self.gtid == other.gtid && (self.gtid.is_some() || same_place)
    }
}
