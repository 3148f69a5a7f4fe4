//! Rows as values, for programs that write them in a form of their own: the [`RowEncoder`] takes the place of the JSON
//! lines, and what it writes travels in the same packs, with the same points and the same promises.

use crate::binlog::RowsKind;
use crate::change::batch::Begin;
use crate::change::batch::Rows;
use crate::code::Code;
use crate::codec::Reader;
use crate::column::Value;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::LiveFields;
use crate::schema::plan::TablePlan;
use crate::schema::row::HeldColumns;
use crate::schema::row::NullBits;
use crate::schema::row::RowError;
use std::fmt;
use std::sync::Arc;

/// Writes rows in a program's own form, one record each.
///
/// A record is one line that ends in a line end when packs go to `stdout`, to files or to a consumer; a program's own
/// sink may agree with its encoder on anything that is not empty. The same row must become the same bytes each time: it
/// is read again after a broken connection or a restart. An error stops the shard in front of that row's transaction.
pub trait RowEncoder: Send {
    /// Appends the record of a row to `out`, which holds the records before it.
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RowError>;

    /// What is no row: `begin`, `commit`, `ddl`, `statement`, `rollback` and `gap`, each as the JSON line (with its line
    /// end) that fountain would write. By default it is passed on as it is. It counts as a row of its pack.
    fn mark(&mut self, line: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(line);
    }
}

impl RowError {
    /// An encoder's own reason why a row cannot be written.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self { column: None, code: Code::RowEncoder, detail: detail.into() }
    }
}

/// What has become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOp {
    Insert,
    Update,
    Delete,
}

/// A row change as it was logged, lent for one call. Nothing of it is copied, and values are decoded when they are
/// asked for.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    event: &'a RowEvent,
    plan: &'a TablePlan,
    op: RowOp,
    numbers: LineNumbers,
    live: Option<&'a LiveFields>,
    before: Option<Image<'a>>,
    after: Option<Image<'a>>,
}

impl<'a> Row<'a> {
    pub fn op(&self) -> RowOp {
        self.op
    }

    pub fn database(&self) -> &'a str {
        &self.plan.database
    }

    pub fn table(&self) -> &'a str {
        &self.plan.table
    }

    /// The columns of the key; empty when the table has none, `None` when that is not known.
    pub fn key(&self) -> Option<&'a [String]> {
        self.plan.key.as_deref()
    }

    /// The row before the change: of updates and deletes.
    pub fn before(&self) -> Option<Image<'a>> {
        self.before.clone()
    }

    /// The row after the change: of inserts and updates.
    pub fn after(&self) -> Option<Image<'a>> {
        self.after.clone()
    }

    /// The transaction's name, where the server has GTIDs.
    pub fn gtid(&self) -> Option<&'a str> {
        self.event.gtid.as_deref()
    }

    /// The binlog file.
    pub fn file(&self) -> &'a str {
        &self.event.file
    }

    /// Where the row's event starts in it.
    pub fn pos(&self) -> u64 {
        self.event.pos
    }

    /// The row's ordinal in its transaction, from 0, counted before any filter.
    pub fn ordinal(&self) -> u64 {
        self.numbers.row
    }

    /// Strictly rising per shard for ever.
    pub fn seq(&self) -> u64 {
        self.numbers.seq.unwrap_or(0)
    }

    /// When it was committed, in milliseconds since 1970; the row event's second where that is not logged.
    pub fn ts_ms(&self) -> u64 {
        self.event.ts_ms
    }

    /// The server that first logged the change.
    pub fn server_id(&self) -> u32 {
        self.event.server_id
    }

    pub fn shard(&self) -> &'a str {
        self.live.map_or("", |live| &live.shard)
    }

    /// `host:port` of the server that it was read from.
    pub fn server(&self) -> &'a str {
        self.live.map_or("", |live| &live.server)
    }
}

/// A row before or after its change.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    plan: &'a TablePlan,
    held: HeldColumns<'a>,
    bytes: Reader<'a>,
    base: Base<'a>,
}

/// What JSON columns of an image may be differences to.
#[derive(Debug, Clone)]
enum Base<'a> {
    /// They are whole.
    None,
    Before(HeldColumns<'a>, Reader<'a>),
}

impl<'a> Image<'a> {
    /// The columns that the log holds of it, in the order of the table, with their values.
    pub fn columns(&self) -> Result<Columns<'a>, RowError> {
        let mut bytes = self.bytes.clone();
        let partial = match self.base {
            Base::None => NullBits::none(),
            Base::Before(..) => NullBits::read_partial(self.plan, &mut bytes)?,
        };
        let nulls = NullBits::read(self.held.count, &mut bytes)?;
        Ok(Columns { image: self.clone(), index: 0, nulls, partial, bytes })
    }

    /// The value of a column; `None` when the log does not hold it. For several columns [`Self::columns`] is faster.
    pub fn value(&self, name: &str) -> Result<Option<Value<'a>>, RowError> {
        for column in self.columns()? {
            let (found, value) = column?;
            if found == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The document that a difference changes.
    fn base_of(&self, column: &str) -> Result<Option<Value<'a>>, RowError> {
        match &self.base {
            Base::None => Ok(None),
            Base::Before(held, bytes) => {
                Image { plan: self.plan, held: *held, bytes: bytes.clone(), base: Base::None }.value(column)
            }
        }
    }
}

/// The columns of an [`Image`], decoded one by one.
#[derive(Debug)]
pub struct Columns<'a> {
    image: Image<'a>,
    index: usize,
    nulls: NullBits<'a>,
    partial: NullBits<'a>,
    bytes: Reader<'a>,
}

impl<'a> Iterator for Columns<'a> {
    type Item = Result<(&'a str, Value<'a>), RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.index >= self.image.plan.visible {
                return None;
            }
            let column = self.image.plan.columns.get(self.index)?;
            let index = self.index;
            self.index += 1;
            let differs = column.format.is_json() && self.partial.next_bit();
            if !self.image.held.has(index) {
                continue;
            }
            if self.nulls.next_bit() {
                return Some(Ok((&column.name, Value::Null)));
            }
            let at = |error| RowError::at(&column.name, error);
            let value = match differs {
                false => column.format.decode(&mut self.bytes).map_err(at),
                true => self
                    .image
                    .base_of(&column.name)
                    .and_then(|base| column.format.decode_partial_json(&mut self.bytes, base).map_err(at)),
            };
            if value.is_err() {
                // What follows cannot be found behind it.
                self.index = usize::MAX;
            }
            return Some(value.map(|value| (column.name.as_str(), value)));
        }
    }
}

/// What the rows of an event share.
#[derive(Debug)]
struct RowEvent {
    ts_ms: u64,
    server_id: u32,
    gtid: Option<Arc<str>>,
    file: Arc<str>,
    pos: u64,
}

/// A program's encoder at work.
pub struct OwnEncoder {
    encoder: Box<dyn RowEncoder>,
    event: RowEvent,
}

impl fmt::Debug for OwnEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnEncoder").field("event", &self.event).finish_non_exhaustive()
    }
}

impl OwnEncoder {
    pub fn new(encoder: Box<dyn RowEncoder>) -> Self {
        let event = RowEvent { ts_ms: 0, server_id: 0, gtid: None, file: "".into(), pos: 0 };
        Self { encoder, event }
    }

    /// The rows of this event follow.
    pub fn begin_rows(&mut self, rows: &Rows, transaction: &Begin, ts_ms: u64) {
        self.event = RowEvent {
            ts_ms,
            server_id: rows.server_id,
            gtid: transaction.gtid.as_ref().map(|gtid| Arc::clone(&gtid.text)),
            file: Arc::clone(&rows.place.file),
            pos: rows.place.pos,
        };
    }

    /// Appends a record. After an error `out` may hold a part of it, which the caller cuts off.
    pub fn row(
        &mut self,
        out: &mut Vec<u8>,
        images: RowParts<'_>,
        numbers: LineNumbers,
        live: Option<&LiveFields>,
    ) -> Result<(), RowError> {
        let RowParts { plan, kind, partial_json, before, after } = images;
        let base = match &before {
            Some((held, bytes)) if partial_json => Base::Before(*held, bytes.clone()),
            _ => Base::None,
        };
        let row = Row {
            event: &self.event,
            plan,
            op: match kind {
                RowsKind::Insert => RowOp::Insert,
                RowsKind::Update => RowOp::Update,
                RowsKind::Delete => RowOp::Delete,
            },
            numbers,
            live,
            before: before.map(|(held, bytes)| Image { plan, held, bytes, base: Base::None }),
            after: after.map(|(held, bytes)| Image { plan, held, bytes, base }),
        };
        let start = out.len();
        self.encoder.row(&row, out)?;
        match out.len() > start {
            true => Ok(()),
            false => Err(RowError::refused("the row encoder wrote nothing for a row")),
        }
    }

    /// Puts the line that begins at `start` into the encoder's own form.
    pub fn mark(&mut self, out: &mut Vec<u8>, start: usize) {
        let line = out.split_off(start);
        self.encoder.mark(&line, out);
        if out.len() <= start {
            // Every mark counts as a row of its pack.
            out.truncate(start);
            out.extend_from_slice(&line);
        }
    }
}

/// One row's bytes: where its images begin.
#[derive(Debug)]
pub struct RowParts<'a> {
    pub plan: &'a TablePlan,
    pub kind: RowsKind,
    /// JSON columns of the after image may be differences.
    pub partial_json: bool,
    pub before: Option<(HeldColumns<'a>, Reader<'a>)>,
    pub after: Option<(HeldColumns<'a>, Reader<'a>)>,
}
