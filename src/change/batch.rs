//! What crosses the rendezvous: a batch of changes that owns its bytes.
//!
//! A batch may hold many transactions or a part of one. The producer fills it until it holds [`FULL_BYTES`] or
//! [`FULL_ITEMS`], or until its socket is drained; never merely because a transaction ended. Its buffers are handed
//! back and used again.

use crate::binlog::AnyGtid;
use crate::binlog::GtidSet;
use crate::binlog::MariadbGtidPosition;
use crate::binlog::RowsKind;
use crate::schema::plan::TablePlan;
use std::ops::Range;
use std::sync::Arc;

/// A batch with this many bytes of rows is handed over.
pub const FULL_BYTES: usize = 256 * 1024;
/// A batch with this many items is handed over: 256 one-row transactions, each a begin, its rows and an end.
pub const FULL_ITEMS: usize = 768;

/// A place in a binlog: the file and the position at which an event starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub pos: u64,
}

/// Changes in the order of the log, with the bytes of their rows.
#[derive(Debug, Default)]
pub struct Batch {
    /// Row bytes and SQL texts; items point into it.
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
    /// Nothing more was waiting at the source when this batch was handed over.
    pub drained: bool,
}

impl Batch {
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.items.len() >= FULL_ITEMS
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Empties the batch. A buffer that one huge event has blown up is given back to the system.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 * FULL_BYTES);
        self.items.clear();
        self.drained = false;
    }

    /// Copies bytes in and tells where they lie.
    pub fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Takes an item whose bytes lie in `bytes`.
    pub fn take_over(&mut self, item: Item, bytes: &[u8]) {
        let mut keep = |range: Range<usize>| self.keep(bytes.get(range).unwrap_or(&[]));
        let item = match item {
            Item::Rows(rows) => Item::Rows(Rows {
                before: keep(rows.before),
                after: keep(rows.after),
                rows: keep(rows.rows),
                ..rows
            }),
            Item::Sql(sql) => Item::Sql(Sql { sql: keep(sql.sql), ..sql }),
            other => other,
        };
        self.items.push(item);
    }

    pub fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or(&[])
    }
}

/// One step of the log.
#[derive(Debug)]
pub enum Item {
    Begin(Begin),
    Rows(Rows),
    /// Rows of a table that is not watched: they count, and are not delivered.
    Passed(Passed),
    Sql(Sql),
    Savepoint(String),
    RollbackTo(RollbackTo),
    End(End),
    /// A transaction ended with XA PREPARE: its changes come later, with its XA COMMIT, or never.
    XaPrepared(XaPrepared),
    /// The open transaction is the XA COMMIT of this name, which was prepared before reading began: its rows are not known.
    XaUnknown(Arc<str>),
    /// Outside of transactions: a transaction that was prepared and that the log never decided on has lost its name.
    XaReplaced(Box<XaReplaced>),
    /// A file's format description: the file that is read from here on, and when it was begun (seconds since 1970).
    File {
        file: Arc<str>,
        created: u32,
    },
    /// The server tells which transactions lie before the event that comes next.
    GtidsBefore(GtidsBefore),
    /// Outside of transactions the log has been read up to here (rotation, idle heartbeat, a skipped event).
    Moved(Place),
}

/// A prepared transaction of which nothing more can be learnt: its rows are left out.
#[derive(Debug, Clone)]
pub struct XaReplaced {
    pub xid: Arc<str>,
    /// Where it began.
    pub place: Place,
    pub gtid: Option<Arc<str>>,
    /// Where the one began that has the name now.
    pub by: Place,
}

/// Transactions that lie before a place.
#[derive(Debug, Clone)]
pub enum GtidsBefore {
    /// All that were logged before this file: PREVIOUS_GTIDS.
    Mysql(GtidSet),
    /// The last one of each domain before this file: GTID_LIST.
    Mariadb(MariadbGtidPosition),
    /// MariaDB, in the middle of a dump by GTID: in these domains the search for the start has come so far.
    MariadbPassed(MariadbGtidPosition),
}

/// A transaction begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Where its first event starts: the GTID event where there is one.
    pub place: Place,
    pub gtid: Option<TransactionGtid>,
    /// The original commit timestamp where it is logged, else the second of the first event.
    pub ts_ms: u64,
    pub server_id: u32,
    /// The second in the first event's header.
    pub timestamp: u32,
    /// True when `ts_ms` came from a GTID event; without one each row event's own second counts.
    pub ts_from_gtid: bool,
    /// Where its XA COMMIT's transaction starts, when that is how it comes: `place`, `gtid` and the places of its rows are
    /// those of its XA PREPARE, and all that lies between the two comes before it.
    pub committed_at: Option<Place>,
}

impl Begin {
    /// Everything before this place comes before this transaction, and nothing behind it does.
    pub fn border(&self) -> &Place {
        self.committed_at.as_ref().unwrap_or(&self.place)
    }
}

/// A transaction's name, in text and in the form that sets are made of.
#[derive(Debug, Clone)]
pub struct TransactionGtid {
    pub text: Arc<str>,
    pub gtid: AnyGtid,
}

impl TransactionGtid {
    pub fn new(gtid: AnyGtid) -> Self {
        Self { text: gtid.to_string().into(), gtid }
    }
}

/// The rows of one event.
#[derive(Debug)]
pub struct Rows {
    pub plan: Arc<TablePlan>,
    pub kind: RowsKind,
    /// After-images may hold JSON differences instead of documents.
    pub partial_json: bool,
    pub place: Place,
    pub server_id: u32,
    /// The second in the event's header.
    pub timestamp: u32,
    /// Column bits of the before image (updates, deletes) and of the after image (updates, inserts).
    pub before: Range<usize>,
    pub after: Range<usize>,
    pub rows: Range<usize>,
}

/// Rows that were walked over.
#[derive(Debug)]
pub struct Passed {
    pub plan: Arc<TablePlan>,
    pub kind: RowsKind,
    pub count: u64,
}

/// A statement to be delivered as text.
#[derive(Debug)]
pub struct Sql {
    pub op: SqlOp,
    pub place: Place,
    pub server_id: u32,
    pub timestamp: u32,
    pub database: String,
    pub sql: Range<usize>,
    /// For changes of rows: what the session had set, as the assignments of one SQL `SET`.
    pub set: Option<String>,
}

/// Why a statement is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlOp {
    Ddl,
    Statement,
}

/// A part of the open transaction is undone.
#[derive(Debug)]
pub struct RollbackTo {
    /// The savepoint's name.
    pub name: String,
    pub place: Place,
    pub server_id: u32,
    pub timestamp: u32,
}

/// A transaction ends.
#[derive(Debug)]
pub struct End {
    pub outcome: Outcome,
    /// Where the event that ends it starts.
    pub place: Place,
    /// Where the next event starts.
    pub next: Place,
    /// The transaction's, when it has one.
    pub gtid: Option<AnyGtid>,
    pub server_id: u32,
    pub timestamp: u32,
    /// The prepared transaction that it decides on.
    pub decided: Option<DecidedXa>,
}

/// A prepared XA transaction that was committed or rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedXa {
    /// As the server logs it: `X'6162',X'',1`.
    pub xid: Arc<str>,
    /// The name of the transaction that ended with its XA PREPARE.
    pub gtid: Option<AnyGtid>,
}

/// A transaction has ended with XA PREPARE.
#[derive(Debug, Clone)]
pub struct XaPrepared {
    /// As the server logs it: `X'6162',X'',1`.
    pub xid: Arc<str>,
    /// Where it starts.
    pub place: Place,
    /// Where the next event starts.
    pub next: Place,
    pub gtid: Option<AnyGtid>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Commit,
    Rollback,
}
