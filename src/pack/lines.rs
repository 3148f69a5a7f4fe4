//! Changes to lines of JSON: the row format `fountain` that the README describes field by field.

mod partial;

use crate::binlog::RowsKind;
use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::Place;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::change::batch::SqlOp;
use crate::codec::Reader;
use crate::pack::encoder::OwnEncoder;
use crate::pack::encoder::RowEncoder;
use crate::pack::encoder::RowParts;
use crate::pack::json;
use crate::pack::json::JsonOptions;
use crate::pack::lines::partial::write_base_image;
use crate::pack::lines::partial::write_partial_image;
use crate::pack::template::MemberName;
use crate::pack::template::Template;
use crate::schema::row::HeldColumns;
use crate::schema::row::NullBits;
use crate::schema::row::RowError;
use crate::schema::row::RowImages;
use crate::schema::versioned;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapTable;
use std::collections::HashMap;
use std::sync::Arc;

/// Templates kept at most; beyond that the table is new anyway in a server with so many.
const MAX_TEMPLATES: usize = 20_000;
/// Bytes of these templates at most.
const MAX_TEMPLATE_BYTES: usize = 32 << 20;

/// What the lines of a running shard say besides the change itself. `fountain cat` has none of it.
#[derive(Debug, Clone)]
pub struct LiveFields {
    pub shard: String,
    /// `host:port` of the server we are connected to.
    pub server: String,
}

/// Writes lines. Keeps what is constant per table and per event, so that a row costs its values only.
#[derive(Debug)]
pub struct LineWriter {
    options: JsonOptions,
    live: Option<LiveFields>,
    templates: HashMap<u64, Arc<Template>>,
    template_bytes: usize,
    /// The template of the event's table.
    template: Arc<Template>,
    /// From `"key":` to `"row":`, the same for all rows of an event.
    event_tail: Vec<u8>,
    /// Writes the rows in place of us.
    encoder: Option<OwnEncoder>,
    /// The same of a line about the transaction.
    mark_tail: Vec<u8>,
}

/// The numbers at the end of a line.
#[derive(Debug, Clone, Copy)]
pub struct LineNumbers {
    /// The row's ordinal in its transaction.
    pub row: u64,
    /// None where nobody counts (`fountain cat`).
    pub seq: Option<u64>,
}

/// An event's row bytes, read one row at a time.
#[derive(Debug)]
pub struct RowsReader<'a> {
    images: RowImages<'a>,
    bytes: Reader<'a>,
    /// The one row, of no bytes, is still to come.
    without_bytes: bool,
}

impl<'a> RowsReader<'a> {
    pub fn new(rows: &'a Rows, batch: &'a Batch) -> Self {
        let (before, after) = (batch.slice(&rows.before), batch.slice(&rows.after));
        let images = RowImages::new(&rows.plan, rows.kind, rows.partial_json, before, after);
        let bytes = Reader::new(batch.slice(&rows.rows));
        let without_bytes = images.is_one_without_bytes(&bytes);
        Self { images, bytes, without_bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.without_bytes
    }

    /// Walks over one row, to be delivered as `op`, and tells its parts.
    fn split(&mut self, op: RowsKind) -> Result<RowParts<'a>, RowError> {
        self.without_bytes = false;
        let Self { images, bytes, .. } = self;
        let starts = images.split(bytes)?;
        let (before, after) =
            (starts.before.map(|b| (images.before, b)), starts.after.map(|b| (images.after, b)));
        Ok(RowParts {
            plan: images.plan,
            kind: op,
            partial_json: images.partial_json,
            before: before.filter(|_| op != RowsKind::Insert),
            after: after.filter(|_| op != RowsKind::Delete),
        })
    }

    /// What the next row is to be delivered as; none when it is not: it only was current once (MariaDB's system versioning).
    #[inline]
    pub fn op(&self) -> Result<Option<RowsKind>, RowError> {
        match self.images.plan.row_end {
            None => Ok(Some(self.images.kind)),
            Some(row_end) => versioned::effect(&self.images, row_end, &self.bytes),
        }
    }

    /// Walks over one row.
    pub fn skip(&mut self) -> Result<(), RowError> {
        self.without_bytes = false;
        self.images.skip(&mut self.bytes)
    }

    /// An image that the row has and the line has not is walked over.
    fn write_images(
        &mut self,
        op: RowsKind,
        out: &mut Vec<u8>,
        names: &[MemberName],
        options: JsonOptions,
    ) -> Result<(), RowError> {
        self.without_bytes = false;
        let Self { images, bytes, .. } = self;
        let mut base = Vec::new();
        if op != RowsKind::Insert {
            out.extend_from_slice(b"\"before\":{");
            match images.partial_json {
                true => base = write_base_image(images, bytes, out, names, options)?,
                false => write_image(images, &images.before, bytes, out, names, options)?,
            }
            out.extend_from_slice(b"},");
        } else if images.kind != RowsKind::Insert {
            images.skip_image(&images.before, bytes)?;
        }
        if op != RowsKind::Delete {
            out.extend_from_slice(b"\"after\":{");
            match images.partial_json {
                true => write_partial_image(images, bytes, out, names, options, &base)?,
                false => write_image(images, &images.after, bytes, out, names, options)?,
            }
            out.extend_from_slice(b"},");
        } else if images.kind != RowsKind::Delete {
            images.skip_image(&images.after, bytes)?;
        }
        Ok(())
    }
}

/// Writes the members of one image. Columns behind those that have names here are walked over.
#[inline]
fn write_image<'a>(
    images: &RowImages<'a>,
    held: &HeldColumns<'_>,
    bytes: &mut Reader<'a>,
    out: &mut Vec<u8>,
    names: &[MemberName],
    options: JsonOptions,
) -> Result<(), RowError> {
    let mut nulls = NullBits::read(held.count, bytes)?;
    let start = out.len();
    for (index, (column, name)) in images.plan.columns.iter().zip(names).enumerate() {
        if !held.has(index) {
            continue;
        }
        name.write(out, start);
        if nulls.next_bit() {
            out.extend_from_slice(b"null");
            continue;
        }
        // Matched where it lies: a value that is moved is copied through memory.
        let written = match column.format.decode(bytes) {
            Ok(value) => json::write_value(out, &value, options),
            Err(error) => Err(error),
        };
        written.map_err(|error| RowError::at(&column.name, error))?;
    }
    match images.plan.visible == images.plan.columns.len() {
        true => Ok(()),
        false => images.skip_columns(images.plan.visible, held, &mut nulls, bytes),
    }
}

impl LineWriter {
    pub fn new(options: JsonOptions, live: Option<LiveFields>) -> Self {
        Self {
            options,
            live,
            templates: HashMap::new(),
            template_bytes: 0,
            template: Arc::default(),
            event_tail: Vec::new(),
            mark_tail: Vec::new(),
            encoder: None,
        }
    }

    /// From now on an encoder writes the rows. Only for lines that are numbered when they are written: see
    /// [`Self::number_line`].
    pub fn with_encoder(self, encoder: Box<dyn RowEncoder>) -> Self {
        Self { encoder: Some(OwnEncoder::new(encoder)), ..self }
    }

    /// From now on the lines come from another server of the shard.
    pub fn connected_to(&mut self, server: &str) {
        if let Some(live) = &mut self.live {
            server.clone_into(&mut live.server);
        }
    }

    /// Prepares what all rows of an event share.
    pub fn begin_rows(&mut self, rows: &Rows, transaction: &Begin) {
        if let Some(encoder) = &mut self.encoder {
            encoder.begin_rows(rows, transaction, commit_ms(transaction, rows.timestamp));
            return;
        }
        self.template = match self.templates.get(&rows.plan.id) {
            Some(known) => Arc::clone(known),
            None => self.new_template(rows),
        };
        let key = &Arc::clone(&self.template).key;
        self.begin_event(key, transaction, &rows.place, rows.server_id, rows.timestamp);
    }

    fn new_template(&mut self, rows: &Rows) -> Arc<Template> {
        let template = Arc::new(Template::new(&rows.plan));
        if self.templates.len() >= MAX_TEMPLATES || self.template_bytes >= MAX_TEMPLATE_BYTES {
            self.templates.clear();
            self.template_bytes = 0;
        }
        self.template_bytes += template.bytes();
        self.templates.insert(rows.plan.id, Arc::clone(&template));
        template
    }

    fn begin_event(
        &mut self,
        key: &[u8],
        transaction: &Begin,
        place: &Place,
        server_id: u32,
        timestamp: u32,
    ) {
        let ts_ms = commit_ms(transaction, timestamp);
        let out = &mut self.event_tail;
        out.clear();
        out.extend_from_slice(key);
        out.extend_from_slice(b"\"ts_ms\":");
        put_number(out, ts_ms);
        if let Some(live) = &self.live {
            out.extend_from_slice(b",\"shard\":");
            json::write_string(out, &live.shard);
            out.extend_from_slice(b",\"server\":");
            json::write_string(out, &live.server);
        }
        out.extend_from_slice(b",\"server_id\":");
        put_number(out, server_id.into());
        if let Some(gtid) = &transaction.gtid {
            out.extend_from_slice(b",\"gtid\":\"");
            out.extend_from_slice(gtid.text.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"file\":");
        json::write_string(out, &place.file);
        out.extend_from_slice(b",\"pos\":");
        put_number(out, place.pos);
        out.extend_from_slice(b",\"row\":");
    }

    /// Writes the next row of the event that [`Self::begin_rows`] prepared, as what [`RowsReader::op`] said. On an error
    /// `out` is as it was.
    #[inline]
    pub fn write_row(
        &mut self,
        out: &mut Vec<u8>,
        rows: &mut RowsReader<'_>,
        op: RowsKind,
        numbers: LineNumbers,
    ) -> Result<(), RowError> {
        let start = out.len();
        if let Some(encoder) = &mut self.encoder {
            let parts = rows.split(op);
            let written = parts.and_then(|parts| encoder.row(out, parts, numbers, self.live.as_ref()));
            return written.inspect_err(|_| out.truncate(start));
        }
        let template = &self.template;
        out.extend_from_slice(template.head(op));
        if let Err(error) = rows.write_images(op, out, &template.columns, self.options) {
            out.truncate(start);
            return Err(error);
        }
        self.end_line(out, numbers);
        Ok(())
    }

    /// A line that is no row's begins at `start`.
    fn mark_written(&mut self, out: &mut Vec<u8>, start: usize) {
        if let Some(encoder) = &mut self.encoder {
            encoder.mark(out, start);
        }
    }

    fn end_line(&self, out: &mut Vec<u8>, numbers: LineNumbers) {
        out.extend_from_slice(&self.event_tail);
        put_number(out, numbers.row);
        if let Some(seq) = numbers.seq {
            out.extend_from_slice(b",\"seq\":");
            put_number(out, seq);
        }
        out.extend_from_slice(b"}\n");
    }

    /// A statement's line. Bytes that are no UTF-8 are shown as U+FFFD: the text is for reading.
    pub fn write_sql(
        &mut self,
        out: &mut Vec<u8>,
        sql: &Sql,
        text: &[u8],
        transaction: &Begin,
        numbers: LineNumbers,
    ) {
        let start = out.len();
        out.extend_from_slice(match sql.op {
            SqlOp::Ddl => b"{\"op\":\"ddl\",\"database\":",
            SqlOp::Statement => b"{\"op\":\"statement\",\"database\":",
        });
        json::write_string(out, &sql.database);
        out.extend_from_slice(b",\"sql\":");
        json::write_string(out, &String::from_utf8_lossy(text));
        if let Some(set) = &sql.set {
            out.extend_from_slice(b",\"set\":");
            json::write_string(out, set);
        }
        out.push(b',');
        self.begin_event(b"", transaction, &sql.place, sql.server_id, sql.timestamp);
        self.end_line(out, numbers);
        self.mark_written(out, start);
    }

    /// Adds a line that was written without a number, with it.
    pub fn number_line(out: &mut Vec<u8>, line: &[u8], seq: Option<u64>) {
        let end = b"}\n";
        out.extend_from_slice(line.strip_suffix(end).unwrap_or(line));
        if let Some(seq) = seq {
            out.extend_from_slice(b",\"seq\":");
            put_number(out, seq);
        }
        out.extend_from_slice(end);
    }

    /// A line about the transaction itself: `begin`, `commit`, `rollback`. `extra` is its own members, each with a
    /// comma behind it.
    pub fn write_mark(
        &mut self,
        out: &mut Vec<u8>,
        op: &str,
        extra: &str,
        transaction: &Begin,
        event: MarkEvent<'_>,
        numbers: LineNumbers,
    ) {
        let start = out.len();
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",");
        out.extend_from_slice(extra.as_bytes());
        // It may come between two rows of one event.
        std::mem::swap(&mut self.event_tail, &mut self.mark_tail);
        self.begin_event(b"", transaction, event.place, event.server_id, event.timestamp);
        self.end_line(out, numbers);
        std::mem::swap(&mut self.event_tail, &mut self.mark_tail);
        self.mark_written(out, start);
    }

    /// A line about delivery itself, which stands for no event.
    pub fn write_gap(&mut self, out: &mut Vec<u8>, gap: &Gap<'_>, seq: Option<u64>) {
        let start = out.len();
        out.extend_from_slice(b"{\"op\":\"gap\",\"from\":");
        write_edge(out, gap.from);
        out.extend_from_slice(b",\"to\":");
        write_edge(out, gap.to);
        write_tables(out, gap.tables);
        out.extend_from_slice(b",\"reason\":");
        json::write_string(out, gap.reason);
        if let Some(live) = &self.live {
            out.extend_from_slice(b",\"shard\":");
            json::write_string(out, &live.shard);
            out.extend_from_slice(b",\"server\":");
            json::write_string(out, &live.server);
        }
        if let Some(seq) = seq {
            out.extend_from_slice(b",\"seq\":");
            put_number(out, seq);
        }
        out.extend_from_slice(b"}\n");
        self.mark_written(out, start);
    }
}

fn write_edge(out: &mut Vec<u8>, edge: &GapEdge) {
    out.push(b'{');
    if let Some(gtid) = &edge.gtid {
        out.extend_from_slice(b"\"gtid\":");
        json::write_string(out, gtid);
        out.push(b',');
    }
    out.extend_from_slice(b"\"file\":");
    json::write_string(out, &edge.file);
    out.extend_from_slice(b",\"pos\":");
    put_number(out, edge.pos);
    out.extend_from_slice(b",\"row\":");
    put_number(out, edge.row);
    out.push(b'}');
}

/// Rows that were left out, by table; nothing when none are known.
fn write_tables(out: &mut Vec<u8>, tables: &[GapTable]) {
    for (index, GapTable { table, rows }) in tables.iter().enumerate() {
        out.extend_from_slice(if index == 0 { &b",\"tables\":["[..] } else { b"," });
        out.extend_from_slice(b"{\"table\":");
        json::write_string(out, table);
        out.extend_from_slice(b",\"rows\":");
        put_number(out, *rows);
        out.push(b'}');
    }
    if !tables.is_empty() {
        out.push(b']');
    }
}

/// What a `gap` line says: behind `from` delivery goes on at `to`.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    pub from: &'a GapEdge,
    pub to: &'a GapEdge,
    /// Rows that were left out.
    pub tables: &'a [GapTable],
    pub reason: &'a str,
}

/// The event that a `begin`, `commit` or `rollback` line stands for.
#[derive(Debug, Clone, Copy)]
pub struct MarkEvent<'a> {
    pub place: &'a Place,
    pub server_id: u32,
    pub timestamp: u32,
}

/// The original commit timestamp where it is logged.
fn commit_ms(transaction: &Begin, timestamp: u32) -> u64 {
    match transaction.ts_from_gtid {
        true => transaction.ts_ms,
        false => u64::from(timestamp) * 1000,
    }
}

#[inline]
fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
