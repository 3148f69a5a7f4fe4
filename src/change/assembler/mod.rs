//! Events to items: where transactions begin and end, which rows are watched, what a statement means.
//!
//! Used alike for a live stream and for files. One `match` decides about every event: it becomes an item, it is
//! consumed, or it stops the shard; nothing falls through.

mod borders;
mod known;
mod readings;
mod refusals;
mod rows;
mod session;
mod statements;
#[cfg(test)]
mod tests;
pub mod touching;
mod xa;

use crate::binlog::AnyGtid;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::Flavor;
use crate::binlog::FormatDescription;
use crate::binlog::Heartbeat;
use crate::binlog::PayloadEvent;
use crate::binlog::PayloadReader;
use crate::binlog::Rotate;
use crate::binlog::mariadb::MariadbGtidEvent;
use crate::binlog::mariadb::MariadbGtidList;
use crate::binlog::mariadb::gtid_flags;
use crate::binlog::position_tracker::EventSpan;
use crate::change::batch::Batch;
use crate::change::batch::GtidsBefore;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::TransactionGtid;
use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::change::tables::LogPlace;
use crate::change::tables::Tables;
use crate::code::Code;
use crate::schema::filter::Filter;
use borders::Borders;
pub use known::Known;
pub use known::Pending;
use session::SessionSettings;
use std::sync::Arc;
use xa::Xa;

/// What is delivered besides rows, and what is taken for an error.
#[derive(Debug, Clone)]
pub struct AssemblerOptions {
    pub filter: Filter,
    pub dispatch_ddl: DispatchDdl,
    pub statement_dml: StatementDml,
    pub max_event_bytes: u64,
    /// Most bytes of XA transactions that are kept until they are decided on.
    pub xa_hold_max_bytes: u64,
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
    borders: Borders,
    xa: Xa,
    /// Set while the stream has not come to what is new.
    known: Option<Known>,
    /// For the statement to come.
    session: SessionSettings,
    /// Who wrote the file, by its format description.
    flavor: Flavor,
    /// The last format description: the file it stands in, and when that was begun (seconds since 1970).
    file_created: Option<(Arc<str>, u32)>,
    /// The events come from a replica's relay logs.
    relayed: bool,
    /// Row events of watched tables handed on so far.
    rows_events: u64,
}

/// An event with its place: where it starts, and where the next one does.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    header: &'a EventHeader,
    pos: u64,
    next: u64,
    /// The group id in its header, in logs of Baidu's MySQL.
    group: Option<u64>,
}

impl At<'_> {
    fn log_place<'a>(&self, file: &'a str) -> LogPlace<'a> {
        LogPlace { file, pos: self.pos }
    }
}

impl<D: Definitions> Assembler<D> {
    pub fn new(options: AssemblerOptions, definitions: D, file: &str) -> Self {
        Self {
            xa: Xa::new(options.xa_hold_max_bytes),
            options,
            tables: Tables::new(definitions),
            borders: Borders::new(file),
            known: None,
            session: SessionSettings::default(),
            flavor: Flavor::default(),
            file_created: None,
            relayed: false,
            rows_events: 0,
        }
    }

    /// The file that is being read.
    pub fn file(&self) -> &Arc<str> {
        self.borders.file()
    }

    /// Another file begins (for callers that read files themselves).
    pub fn begin_file(&mut self, file: &str) {
        self.borders.begin_file(file);
    }

    /// The file is a relay log: it may begin and end inside of a transaction.
    pub fn in_relay_log(&mut self) {
        self.relayed = true;
    }

    /// Outside of a transaction: where the next event starts.
    pub fn rest(&self) -> Option<&Place> {
        self.borders.rest()
    }

    /// Row events of watched tables so far.
    pub fn rows_events(&self) -> u64 {
        self.rows_events
    }

    /// The GTID of the transaction that ended with the last event, once.
    pub fn take_ended(&mut self) -> Option<AnyGtid> {
        self.borders.take_ended()
    }

    /// XA transactions that are prepared and not decided on, for people: each with its place, in the order of the log.
    pub fn prepared_xa(&self) -> Vec<String> {
        self.xa.prepared()
    }

    /// Transactions begun so far.
    pub fn transactions(&self) -> u64 {
        self.borders.begun()
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
        let at = At { header: &header, pos: span.start, next: span.end, group: decoder.group_id() };
        if self.known.is_some() && self.is_known(&event, at)? {
            return Ok(());
        }
        match event {
            Event::Payload(payload) => self.payload(decoder, payload, at, batch, hand_over),
            Event::MariadbCompressed(compressed) => {
                let unpacked = compressed.unpack(self.options.max_event_bytes)?;
                self.event(&compressed.with(&unpacked), at, batch, hand_over)
            }
            event => self.event(&event, at, batch, hand_over),
        }
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
            self.event(&event, At { header: &header, ..at }, batch, hand_over)?;
            if batch.is_full() {
                hand_over.hand_over(batch)?;
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        self.borders.note_group(at);
        match event {
            Event::FormatDescription(description) => self.format_description(description, at, batch),
            Event::Rotate(rotate) => self.rotate(rotate, batch),
            Event::Gtid(event) => {
                let gtid = event.gtid.map(|gtid| TransactionGtid::new(AnyGtid::Mysql(gtid)));
                self.borders.announce(gtid, event.original_commit_timestamp, at, batch)?;
            }
            Event::MariadbGtid(gtid) => self.mariadb_gtid(gtid, at, batch)?,
            Event::Query(query) => self.query(query, at, batch, hand_over)?,
            Event::Xid(_) => self.end(Outcome::Commit, at, batch, hand_over)?,
            Event::XaPrepare(prepare) => self.xa_prepare(prepare, at, batch, hand_over)?,
            Event::TableMap(map) => {
                // Logs without BEGIN: the transaction begins here.
                self.borders.ensure_begun(at, batch);
                self.tables.map(map, at.log_place(self.borders.file()), &self.options.filter)?;
            }
            Event::Rows(rows) => self.rows(rows, at, batch)?,
            Event::StatementContext(context) => {
                if self.options.statement_dml == StatementDml::Deliver {
                    self.session.add(context, self.flavor)?;
                }
                self.borders.pass(at, batch);
            }
            Event::StatementLoad(load) => self.statement_load(load, at, batch)?,
            Event::PreviousGtids(set) => self.gtids_before(GtidsBefore::Mysql(set.clone()), at, batch),
            Event::MariadbGtidList(list) => self.mariadb_gtid_list(list, at, batch),
            Event::Heartbeat(heartbeat) => self.heartbeat(heartbeat, at, batch),
            Event::Incident(incident) => {
                return Err(refusals::incident(incident, self.flavor, &self.borders.place(at.next)));
            }
            Event::Payload(_) | Event::MariadbCompressed(_) => return Err(refusals::payload_in_payload()),
            Event::MariadbPartialRows(_) => return Err(refusals::mariadb_partial_rows()),
            Event::Unknown { event_type, .. } => return Err(refusals::unknown(*event_type)),
            // These say nothing about rows: they move the place only. (The server decrypts for its replicas, and tells of
            // the encryption all the same; encrypted files are refused where they are read.)
            Event::RowsQuery(_)
            | Event::Stop
            | Event::TransactionContext(_)
            | Event::ViewChange(_)
            | Event::Ignorable { .. }
            | Event::MariadbAnnotateRows(_)
            | Event::MariadbStartEncryption(_)
            | Event::MariadbBinlogCheckpoint(_) => self.borders.pass(at, batch),
        }
        if self.borders.is_outside() {
            self.tables.trim();
            self.xa.none_is_open();
        } else if self.borders.is_aside() {
            self.xa.check()?;
        }
        Ok(())
    }

    fn format_description(&mut self, description: &FormatDescription<'_>, at: At<'_>, batch: &mut Batch) {
        log::debug!("{}: written by {}", self.file(), description.server_version);
        self.flavor = description.flavor;
        // The replica's own, or the source's that it copied: only a source that was started anew breaks off.
        let goes_on = self.relayed
            && (description.created == 0 || at.header.is_of_relay_log() || at.header.is_artificial());
        match goes_on {
            true => self.borders.interrupt(),
            false if at.header.is_artificial() => {}
            false => self.file_begins(description, at, batch),
        }
        let file = Arc::clone(self.file());
        let created = at.header.timestamp;
        self.file_created = Some((Arc::clone(&file), created));
        batch.items.push(Item::File { file, created });
        self.borders.pass(at, batch);
    }

    fn file_begins(&mut self, description: &FormatDescription<'_>, at: At<'_>, batch: &mut Batch) {
        // A server that died in the middle of a transaction begins a new file; the torn transaction was rolled back
        // when it came up again (crash recovery, `MYSQL_BIN_LOG::recover`).
        if !self.borders.is_outside() {
            log::warn!(
                "{}: {}:{}: the transaction before was cut off by a crash of the server",
                Code::Truncated,
                self.file(),
                at.pos
            );
            self.borders.end_torn(at, batch);
        }
        // A server that was started anew counts table ids from the beginning.
        if description.created != 0 {
            self.tables.forget();
        }
    }

    fn rotate(&mut self, rotate: &Rotate<'_>, batch: &mut Batch) {
        self.borders.begin_file(rotate.file);
        self.borders.moved_to(self.borders.place(rotate.position), batch);
    }

    /// MariaDB writes no BEGIN behind its GTID event.
    fn mariadb_gtid(
        &mut self,
        event: &MariadbGtidEvent<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        let gtid = TransactionGtid::new(AnyGtid::Mariadb(event.gtid));
        self.borders.announce(Some(gtid), None, at, batch)?;
        match &event.xid {
            Some(xid) if event.flags & gtid_flags::PREPARED_XA != 0 => {
                self.xa_start(&xid.to_string(), at, batch)
            }
            // XA COMMIT or XA ROLLBACK: a statement says which.
            Some(_) => Ok(()),
            None if event.flags & gtid_flags::STANDALONE == 0 => self.borders.begin(at, batch),
            None => Ok(()),
        }
    }

    /// An artificial one comes in a dump by GTID where a domain's start was found. Those with flags are of replicas.
    fn mariadb_gtid_list(&mut self, list: &MariadbGtidList, at: At<'_>, batch: &mut Batch) {
        let position = list.state.position();
        match (list.flags, at.header.is_artificial()) {
            (0, false) => self.gtids_before(GtidsBefore::Mariadb(position), at, batch),
            // It stands where the search has come to, which its header tells.
            (0, true) if self.borders.is_outside() && at.header.next_pos == at.next as u32 => {
                batch.items.push(Item::GtidsBefore(GtidsBefore::MariadbPassed(position)));
                self.borders.moved_to(self.borders.place(at.next), batch);
            }
            (_, _) => self.borders.pass(at, batch),
        }
    }

    fn gtids_before(&mut self, before: GtidsBefore, at: At<'_>, batch: &mut Batch) {
        if self.borders.is_outside() && !self.borders.is_quiet() {
            batch.items.push(Item::GtidsBefore(before));
        }
        self.borders.pass(at, batch);
    }

    /// An idle server says how far it is; between transactions that moves us too. The place is the span's: only whoever
    /// counts positions knows what an old heartbeat's 32 bits stand for.
    fn heartbeat(&mut self, heartbeat: &Heartbeat<'_>, at: At<'_>, batch: &mut Batch) {
        let behind = |rest: &Place| *rest.file == *heartbeat.file && rest.pos < at.next;
        if self.rest().is_some_and(behind) {
            self.borders.moved_to(self.borders.place(at.next), batch);
        }
    }
}
