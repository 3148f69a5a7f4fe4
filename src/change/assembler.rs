//! Events to items: where transactions begin and end, which rows are watched, what a statement means.
//!
//! Used alike for a live stream and for files. One `match` decides about every event: it becomes an item, it is
//! consumed, or it stops the shard; nothing falls through.

use crate::binlog::ColumnBits;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::FormatDescription;
use crate::binlog::Gtid;
use crate::binlog::Heartbeat;
use crate::binlog::PayloadEvent;
use crate::binlog::PayloadReader;
use crate::binlog::Query;
use crate::binlog::Rotate;
use crate::binlog::RowsEvent;
use crate::binlog::mariadb::gtid_flags;
use crate::binlog::position_tracker::EventSpan;
use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Passed;
use crate::change::batch::Place;
use crate::change::batch::RollbackTo;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::change::batch::SqlOp;
use crate::change::batch::TransactionGtid;
use crate::change::error::ChangeError;
use crate::change::sql;
use crate::change::sql::Ddl;
use crate::change::sql::Statement;
use crate::change::tables::Definitions;
use crate::change::tables::Tables;
use crate::code::Code;
use crate::codec::Reader;
use crate::schema::filter::Filter;
use crate::schema::plan::TablePlan;
use crate::schema::row::RowImages;
use std::sync::Arc;

/// What is delivered besides rows, and what is taken for an error.
#[derive(Debug, Clone)]
pub struct AssemblerOptions {
    pub filter: Filter,
    pub dispatch_ddl: DispatchDdl,
    pub statement_dml: StatementDml,
    pub max_event_bytes: u64,
}

/// Which DDL is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatchDdl {
    /// What touches a watched table.
    Table,
    None,
    All,
}

/// What to do about changes of rows that were logged as statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementDml {
    Stop,
    Deliver,
}

/// Takes batches that are full, while a single event is still being taken apart.
pub trait HandOver {
    /// Takes the items and leaves an empty batch.
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), ChangeError>;
}

/// Follows one stream or file.
pub struct Assembler<D> {
    options: AssemblerOptions,
    tables: Tables<D>,
    file: Arc<str>,
    transaction: Option<Transaction>,
    /// A GTID event has been read, and nothing of its transaction yet.
    announced: Option<Begin>,
    /// Outside of a transaction: where the next event starts.
    rest: Option<Place>,
    /// The last format description: the file it stands in, and when that was begun (seconds since 1970).
    file_created: Option<(Arc<str>, u32)>,
    ended: Option<Gtid>,
    /// Row events of watched tables handed on so far, and transactions begun.
    rows_events: u64,
    transactions: u64,
}

#[derive(Debug)]
struct Transaction {
    /// It ends with COMMIT, ROLLBACK or XID; without BEGIN it ends with its statement.
    explicit: bool,
    /// Rows of watched tables have been handed on from it.
    watched_rows: bool,
    gtid: Option<Gtid>,
}

/// An event with its place: where it starts, and where the next one does.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    header: &'a EventHeader,
    pos: u64,
    next: u64,
}

impl<D: Definitions> Assembler<D> {
    pub fn new(options: AssemblerOptions, definitions: D, file: &str) -> Self {
        Self {
            options,
            tables: Tables::new(definitions),
            file: file.into(),
            transaction: None,
            announced: None,
            rest: None,
            file_created: None,
            ended: None,
            rows_events: 0,
            transactions: 0,
        }
    }

    /// The file that is being read.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Another file begins (for callers that read files themselves).
    pub fn begin_file(&mut self, file: &str) {
        self.file = file.into();
    }

    /// Outside of a transaction: where the next event starts.
    pub fn rest(&self) -> Option<&Place> {
        self.rest.as_ref().filter(|_| self.transaction.is_none() && self.announced.is_none())
    }

    /// Row events of watched tables so far.
    pub fn rows_events(&self) -> u64 {
        self.rows_events
    }

    /// The GTID of the transaction that ended with the last event, once.
    pub fn take_ended(&mut self) -> Option<Gtid> {
        self.ended.take()
    }

    /// Transactions begun so far.
    pub fn transactions(&self) -> u64 {
        self.transactions
    }

    /// The file of the last format description, and when it was begun (seconds since 1970).
    pub fn file_created(&self) -> Option<(&Arc<str>, u32)> {
        self.file_created.as_ref().map(|(file, created)| (file, *created))
    }

    pub fn definitions(&mut self) -> &mut D {
        self.tables.definitions()
    }

    /// Takes the next event; `span` is its place in the file.
    pub fn accept(
        &mut self,
        decoder: &mut Decoder,
        (header, event): (EventHeader, Event<'_>),
        span: EventSpan,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        let at = At { header: &header, pos: span.start, next: span.end };
        if let Event::Payload(payload) = event {
            return self.payload(decoder, payload, at, batch, hand_over);
        }
        self.event(&event, at, batch)
    }

    /// The events of a compressed transaction all stand at the place of the event that holds them.
    fn payload(
        &mut self,
        decoder: &mut Decoder,
        payload: PayloadEvent<'_>,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        let mut reader = PayloadReader::new(&payload, self.options.max_event_bytes)?;
        while let Some(bytes) = reader.next_event()? {
            let (header, event) = decoder.decode_inner(bytes)?;
            self.event(&event, At { header: &header, ..at }, batch)?;
            if batch.is_full() {
                hand_over.hand_over(batch)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        match event {
            Event::FormatDescription(description) => self.format_description(description, at, batch),
            Event::Rotate(rotate) => {
                self.rotate(rotate, batch);
                Ok(())
            }
            Event::Gtid(gtid) => {
                let text = gtid
                    .gtid
                    .as_ref()
                    .map(|gtid| TransactionGtid { text: gtid.to_string().into(), mysql: Some(gtid.clone()) });
                self.announce(text, gtid.original_commit_timestamp, at)
            }
            Event::MariadbGtid(gtid) => {
                self.announce(
                    Some(TransactionGtid { text: gtid.gtid.to_string().into(), mysql: None }),
                    None,
                    at,
                )?;
                if gtid.flags & gtid_flags::STANDALONE == 0 {
                    self.begin(true, at, batch);
                }
                Ok(())
            }
            Event::Query(query) => self.query(query, at, batch),
            Event::Xid(_) => {
                self.end(Outcome::Commit, at, batch);
                Ok(())
            }
            Event::XaPrepare(prepare) => self.xa_prepare(prepare.one_phase, at, batch),
            Event::TableMap(map) => self.tables.map(map, &self.options.filter),
            Event::Rows(rows) => self.rows(rows, at, batch),
            Event::Incident(incident) => Err(ChangeError::new(
                Code::Incident,
                format!(
                    "the server logged that events were lost here (incident {}: {}); copy the tables anew and start \
                     behind this event",
                    incident.number,
                    String::from_utf8_lossy(incident.message)
                ),
            )),
            Event::Heartbeat(heartbeat) => {
                self.heartbeat(heartbeat, at, batch);
                Ok(())
            }
            Event::Payload(_) => {
                Err(ChangeError::new(Code::BadEvent, "a compressed transaction inside another one"))
            }
            Event::StatementLoad(_) => Err(ChangeError::new(
                Code::Statement,
                format!(
                    "LOAD DATA was logged as a statement, so its rows are unknown; {}",
                    advice_for_row_format()
                ),
            )),
            Event::MariadbStartEncryption(_) => Err(ChangeError::new(
                Code::Encrypted,
                "the server encrypts its binlog files; read them from the server (fountain run) instead of from disk",
            )),
            Event::MariadbCompressed { event_type } => Err(ChangeError::new(
                Code::Unsupported,
                format!(
                    "MariaDB compressed event (type {event_type}): not in this version; SET GLOBAL log_bin_compress=OFF"
                ),
            )),
            Event::MariadbPartialRows(_) => Err(ChangeError::new(
                Code::Unsupported,
                "MariaDB row event in pieces: not in this version; raise binlog_row_event_fragment_threshold",
            )),
            Event::Unknown { event_type, .. } => Err(ChangeError::new(
                Code::UnknownEvent,
                format!("event type {event_type} is unknown to this version and is not marked as ignorable"),
            )),
            // These say nothing about rows: they move the place only.
            Event::PreviousGtids(_)
            | Event::RowsQuery(_)
            | Event::Stop
            | Event::StatementContext(_)
            | Event::TransactionContext(_)
            | Event::ViewChange(_)
            | Event::Ignorable { .. }
            | Event::MariadbGtidList(_)
            | Event::MariadbAnnotateRows(_)
            | Event::MariadbBinlogCheckpoint(_) => {
                self.pass(at, batch);
                Ok(())
            }
        }
    }

    fn place(&self, pos: u64) -> Place {
        Place { file: Arc::clone(&self.file), pos }
    }

    /// An event that belongs to no transaction, or changes nothing in the one that is open.
    fn pass(&mut self, at: At<'_>, batch: &mut Batch) {
        if self.transaction.is_none() && self.announced.is_none() && !at.header.is_artificial() {
            self.moved(self.place(at.next), batch);
        }
    }

    fn moved(&mut self, place: Place, batch: &mut Batch) {
        batch.items.push(Item::Moved(place.clone()));
        self.rest = Some(place);
    }

    fn format_description(
        &mut self,
        description: &FormatDescription<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        log::debug!("{}: written by {}", self.file, description.server_version);
        // A server that died in the middle of a transaction begins a new file; the torn transaction was rolled back
        // when it came up again (crash recovery, `MYSQL_BIN_LOG::recover`).
        if !at.header.is_artificial() && self.transaction.is_some() {
            log::warn!(
                "{}:{}: the transaction before was cut off by a crash of the server",
                self.file,
                at.pos
            );
            self.end(Outcome::Rollback, at, batch);
        }
        let created = at.header.timestamp;
        self.file_created = Some((Arc::clone(&self.file), created));
        batch.items.push(Item::File { file: Arc::clone(&self.file), created });
        self.pass(at, batch);
        Ok(())
    }

    fn rotate(&mut self, rotate: &Rotate<'_>, batch: &mut Batch) {
        if *self.file != *rotate.file {
            self.file = rotate.file.into();
        }
        if self.transaction.is_none() && self.announced.is_none() {
            self.moved(self.place(rotate.position), batch);
        }
    }

    fn announce(
        &mut self,
        gtid: Option<TransactionGtid>,
        committed_us: Option<u64>,
        at: At<'_>,
    ) -> Result<(), ChangeError> {
        if self.transaction.is_some() {
            return Err(ChangeError::new(
                Code::BadEvent,
                "a transaction begins before the one before it has ended",
            ));
        }
        self.announced = Some(Begin {
            place: self.place(at.pos),
            gtid,
            ts_ms: committed_us.map_or(u64::from(at.header.timestamp) * 1000, |us| us / 1000),
            ts_from_gtid: true,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
        });
        Ok(())
    }

    fn begin(&mut self, explicit: bool, at: At<'_>, batch: &mut Batch) {
        let begin = self.announced.take().unwrap_or_else(|| Begin {
            place: self.place(at.pos),
            gtid: None,
            ts_ms: u64::from(at.header.timestamp) * 1000,
            ts_from_gtid: false,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
        });
        self.rest = None;
        self.tables.trim();
        self.transactions += 1;
        let gtid = begin.gtid.as_ref().and_then(|gtid| gtid.mysql.clone());
        self.transaction = Some(Transaction { explicit, watched_rows: false, gtid });
        batch.items.push(Item::Begin(begin));
    }

    /// Begins a transaction unless one is open already.
    fn ensure_begun(&mut self, at: At<'_>, batch: &mut Batch) {
        if self.transaction.is_none() {
            self.begin(false, at, batch);
        }
    }

    fn end(&mut self, outcome: Outcome, at: At<'_>, batch: &mut Batch) {
        self.ensure_begun(at, batch);
        let gtid = self.transaction.take().and_then(|transaction| transaction.gtid);
        self.ended = gtid;
        let next = self.place(at.next);
        self.rest = Some(next.clone());
        batch.items.push(Item::End(End {
            outcome,
            place: self.place(at.pos),
            next,
            gtid,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
        }));
    }

    /// A statement outside of BEGIN is a transaction of its own.
    fn end_if_alone(&mut self, at: At<'_>, batch: &mut Batch) {
        if !self.transaction.as_ref().is_some_and(|transaction| transaction.explicit) {
            self.end(Outcome::Commit, at, batch);
        }
    }

    fn query(&mut self, query: &Query<'_>, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        let text = String::from_utf8_lossy(query.sql);
        let database = String::from_utf8_lossy(query.database);
        match sql::classify(&text, &database) {
            Statement::Begin | Statement::XaStart => self.begin(true, at, batch),
            Statement::Commit => self.end(Outcome::Commit, at, batch),
            Statement::Rollback => self.end(Outcome::Rollback, at, batch),
            Statement::Savepoint(name) => batch.items.push(Item::Savepoint(name)),
            Statement::RollbackTo(name) => batch.items.push(Item::RollbackTo(RollbackTo {
                name,
                place: self.place(at.pos),
                server_id: at.header.server_id,
                timestamp: at.header.timestamp,
            })),
            Statement::ReleaseSavepoint | Statement::XaEnd => {}
            Statement::XaPrepare => self.xa_prepare(false, at, batch)?,
            Statement::XaCommit | Statement::XaRollback => self.end_if_alone(at, batch),
            Statement::Ddl(ddl) => {
                self.ensure_begun(at, batch);
                if self.delivers_ddl(&ddl) {
                    self.deliver_sql(SqlOp::Ddl, query, &database, at, batch);
                }
                self.end_if_alone(at, batch);
            }
            Statement::Dml => self.statement_dml(query, &text, &database, at, batch)?,
            Statement::Account | Statement::Harmless => self.end_if_alone(at, batch),
            Statement::Unknown if sql::is_only_comment(&text) => self.pass_or_end(at, batch),
            Statement::Unknown => self.statement_dml(query, &text, &database, at, batch)?,
        }
        Ok(())
    }

    /// A comment in the place of an event that the server would not send us.
    fn pass_or_end(&mut self, at: At<'_>, batch: &mut Batch) {
        match self.transaction.is_some() {
            true => {}
            false if self.announced.is_some() => self.end(Outcome::Commit, at, batch),
            false => self.pass(at, batch),
        }
    }

    fn delivers_ddl(&self, ddl: &Ddl) -> bool {
        match (self.options.dispatch_ddl, ddl) {
            (DispatchDdl::None, _) => false,
            (DispatchDdl::All, _) => true,
            (DispatchDdl::Table, Ddl::Tables(tables)) => {
                tables.iter().any(|name| self.options.filter.watches(&name.database, &name.table))
            }
            (DispatchDdl::Table, Ddl::Database(database)) => self.options.filter.may_watch_in(database),
            (DispatchDdl::Table, Ddl::Other) => false,
        }
    }

    fn deliver_sql(&mut self, op: SqlOp, query: &Query<'_>, database: &str, at: At<'_>, batch: &mut Batch) {
        let sql = batch.keep(query.sql);
        batch.items.push(Item::Sql(Sql {
            op,
            place: self.place(at.pos),
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            database: database.to_owned(),
            sql,
        }));
    }

    fn statement_dml(
        &mut self,
        query: &Query<'_>,
        text: &str,
        database: &str,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        match self.options.statement_dml {
            StatementDml::Deliver => {
                self.ensure_begun(at, batch);
                self.deliver_sql(SqlOp::Statement, query, database, at, batch);
                self.end_if_alone(at, batch);
                Ok(())
            }
            StatementDml::Stop => Err(ChangeError::new(
                Code::Statement,
                format!(
                    "a change of rows was logged as a statement, so its rows are unknown: {}; {}, or deliver such \
                     statements as text with statement_dml=deliver",
                    shortened(text),
                    advice_for_row_format()
                ),
            )),
        }
    }

    fn xa_prepare(&mut self, one_phase: bool, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        let watched_rows = self.transaction.as_ref().is_some_and(|transaction| transaction.watched_rows);
        if !one_phase && watched_rows {
            return Err(ChangeError::new(
                Code::Unsupported,
                "XA PREPARE with rows of watched tables: two-phase XA transactions are not in this version",
            ));
        }
        self.end(Outcome::Commit, at, batch);
        Ok(())
    }

    /// An idle server says how far it is; between transactions that moves us too. The place is the span's: only whoever
    /// counts positions knows what an old heartbeat's 32 bits stand for.
    fn heartbeat(&mut self, heartbeat: &Heartbeat<'_>, at: At<'_>, batch: &mut Batch) {
        let behind = |rest: &Place| *rest.file == *heartbeat.file && rest.pos < at.next;
        if self.rest().is_some_and(behind) {
            self.moved(self.place(at.next), batch);
        }
    }

    fn rows(&mut self, rows: &RowsEvent<'_>, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        if rows.is_dummy() {
            return Ok(());
        }
        self.ensure_begun(at, batch);
        let table = self.tables.get(rows.table_id)?;
        let expected = table.plan.columns.len();
        if rows.column_count != expected {
            return Err(ChangeError::new(
                Code::BadEvent,
                format!(
                    "{}: the row event has {} columns, its TABLE_MAP has {expected}",
                    table.plan.full_name(),
                    rows.column_count
                ),
            ));
        }
        if table.watched {
            self.rows_events += 1;
            if let Some(transaction) = &mut self.transaction {
                transaction.watched_rows = true;
            }
            let item = Rows {
                plan: Arc::clone(&table.plan),
                kind: rows.kind,
                partial_json: rows.partial_json,
                place: Place { file: Arc::clone(&self.file), pos: at.pos },
                server_id: at.header.server_id,
                timestamp: at.header.timestamp,
                before: batch.keep(column_bytes(rows.before_columns)),
                after: batch.keep(column_bytes(rows.after_columns)),
                rows: batch.keep(rows.rows),
            };
            batch.items.push(Item::Rows(item));
        } else {
            let plan = Arc::clone(&table.plan);
            let count = count_rows(rows, &plan)?;
            batch.items.push(Item::Passed(Passed { plan, kind: rows.kind, count }));
        }
        // Servers before 5.1.? and some forks log rows without BEGIN: such a transaction ends with its statement.
        if rows.statement_end() {
            self.end_if_alone(at, batch);
        }
        Ok(())
    }
}

fn column_bytes(columns: Option<ColumnBits<'_>>) -> &[u8] {
    columns.map_or(&[], |columns| columns.as_bytes())
}

/// Rows of a table that is not watched are walked over, for their number.
fn count_rows(rows: &RowsEvent<'_>, plan: &TablePlan) -> Result<u64, ChangeError> {
    let [before, after] = [rows.before_columns, rows.after_columns].map(column_bytes);
    let images = RowImages::new(plan, rows.kind, rows.partial_json, before, after);
    let mut bytes = Reader::new(rows.rows);
    let mut count = 0;
    while !bytes.is_empty() {
        images.skip(&mut bytes).map_err(|error| {
            ChangeError::new(error.code, format!("{}: row {count} of the event: {error}", plan.full_name()))
        })?;
        count += 1;
    }
    Ok(count)
}

fn advice_for_row_format() -> &'static str {
    "log rows (SET GLOBAL binlog_format=ROW) and see that no session sets binlog_format itself"
}

/// Enough of a statement to recognise it by.
fn shortened(sql: &str) -> String {
    const LONGEST: usize = 120;
    let mut text: String = sql.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() < sql.len() {
        text.push('…');
    }
    text
}
