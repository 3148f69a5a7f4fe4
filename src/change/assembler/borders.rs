//! Where transactions begin and end, and where the log can be read on in between.

use crate::binlog::AnyGtid;
use crate::change::assembler::At;
use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::DecidedXa;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::TransactionGtid;
use crate::change::error::ChangeError;
use crate::code::Code;
use std::sync::Arc;

/// Follows the transactions of one stream or file.
#[derive(Debug)]
pub(super) struct Borders {
    file: Arc<str>,
    open: Option<Open>,
    /// A GTID event has been read, and nothing of its transaction yet.
    announced: Option<Begin>,
    /// Outside of a transaction: where the next event starts.
    rest: Option<Place>,
    ended: Option<AnyGtid>,
    begun: u64,
    /// In a relay log another file or connection has begun inside of a transaction, and nothing has come behind it.
    interrupted: bool,
    /// What is read outside of transactions lies before a place that is known, and moves nothing.
    quiet: bool,
}

#[derive(Debug)]
struct Open {
    /// It ends with COMMIT, ROLLBACK or XID; without BEGIN it ends with its statement.
    explicit: bool,
    /// What it changes is kept aside, its beginning too.
    aside: bool,
    gtid: Option<AnyGtid>,
    /// The largest group id of its events. They should all carry the same one.
    group: Option<u64>,
}

impl Borders {
    pub fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            open: None,
            announced: None,
            rest: None,
            ended: None,
            begun: 0,
            interrupted: false,
            quiet: false,
        }
    }

    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub fn begin_file(&mut self, file: &str) {
        if *self.file != *file {
            self.file = file.into();
        }
    }

    pub fn place(&self, pos: u64) -> Place {
        Place { file: Arc::clone(&self.file), pos }
    }

    /// No transaction is open, and none announced.
    pub fn is_outside(&self) -> bool {
        self.open.is_none() && self.announced.is_none()
    }

    /// A transaction is open whose changes are kept aside.
    #[inline]
    pub fn is_aside(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.aside)
    }

    /// A transaction has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Outside of a transaction: where the next event starts.
    pub fn rest(&self) -> Option<&Place> {
        self.rest.as_ref().filter(|_| self.is_outside())
    }

    /// Transactions begun so far.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// The GTID of the transaction that ended with the last event, once.
    pub fn take_ended(&mut self) -> Option<AnyGtid> {
        self.ended.take()
    }

    /// An event that belongs to no transaction, or changes nothing in the one that is open.
    pub fn pass(&mut self, at: At<'_>, batch: &mut Batch) {
        if !at.header.is_artificial() {
            self.moved_to(self.place(at.next), batch);
        }
    }

    /// Outside of transactions the log has been read up to here.
    pub fn moved_to(&mut self, place: Place, batch: &mut Batch) {
        if self.is_outside() {
            if !self.quiet {
                batch.items.push(Item::Moved(place.clone()));
            }
            self.rest = Some(place);
        }
    }

    /// The next event starts there, and what lies before it is known.
    pub fn rest_at(&mut self, place: Place) {
        self.rest = Some(place);
    }

    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A GTID event: a transaction will begin with the next one.
    pub fn announce(
        &mut self,
        gtid: Option<TransactionGtid>,
        committed_us: Option<u64>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        if std::mem::take(&mut self.interrupted) {
            self.end_torn(at, batch);
        }
        if !self.is_outside() {
            return Err(unended());
        }
        self.announced = Some(Begin {
            place: self.place(at.pos),
            gtid,
            ts_ms: committed_us.map_or(u64::from(at.header.timestamp) * 1000, |us| us / 1000),
            ts_from_gtid: true,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            committed_at: None,
        });
        Ok(())
    }

    /// BEGIN, or what stands for it.
    pub fn begin(&mut self, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        let begin = self.begin_explicitly(false, at, batch)?;
        batch.items.push(Item::Begin(begin));
        Ok(())
    }

    /// A transaction begins whose changes, and whose beginning, the caller keeps aside.
    pub fn begin_aside(&mut self, at: At<'_>, batch: &mut Batch) -> Result<Begin, ChangeError> {
        self.begin_explicitly(true, at, batch)
    }

    fn begin_explicitly(&mut self, aside: bool, at: At<'_>, batch: &mut Batch) -> Result<Begin, ChangeError> {
        if std::mem::take(&mut self.interrupted) && self.open.is_some() {
            self.end_torn(at, batch);
        }
        match self.open {
            Some(_) => Err(unended()),
            None => Ok(self.open_transaction(true, aside, at)),
        }
    }

    /// A relay log goes on in another file, or over another connection, maybe inside of a transaction. A replica that
    /// follows positions goes on where it was, one that follows GTIDs is sent the whole transaction again.
    pub fn interrupt(&mut self) {
        self.interrupted = !self.is_outside();
    }

    /// Begins a transaction unless one is open already.
    pub fn ensure_begun(&mut self, at: At<'_>, batch: &mut Batch) {
        self.interrupted = false;
        if self.open.is_none() {
            let begin = self.open_transaction(false, false, at);
            batch.items.push(Item::Begin(begin));
        }
    }

    fn open_transaction(&mut self, explicit: bool, aside: bool, at: At<'_>) -> Begin {
        let begin = self.announced.take().unwrap_or_else(|| Begin {
            place: self.place(at.pos),
            gtid: None,
            ts_ms: u64::from(at.header.timestamp) * 1000,
            ts_from_gtid: false,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            committed_at: None,
        });
        self.rest = None;
        self.begun += 1;
        let gtid = begin.gtid.as_ref().map(|gtid| gtid.gtid);
        self.open = Some(Open { explicit, aside, gtid, group: at.group });
        begin
    }

    /// The open transaction ends; where none is open, one that is nothing but its end.
    pub fn end(&mut self, outcome: Outcome, at: At<'_>, batch: &mut Batch) {
        self.end_decided(outcome, None, at, batch);
    }

    /// The same of a transaction that decides on one that was prepared.
    pub fn end_decided(
        &mut self,
        outcome: Outcome,
        decided: Option<DecidedXa>,
        at: At<'_>,
        batch: &mut Batch,
    ) {
        self.ensure_begun(at, batch);
        let gtid = self.close();
        self.push_end(outcome, gtid, decided, at, batch);
    }

    /// The open transaction, kept aside, ends for the time being. Its GTID.
    pub fn end_aside(&mut self, at: At<'_>) -> Option<AnyGtid> {
        self.rest = Some(self.place(at.next));
        self.close()
    }

    fn close(&mut self) -> Option<AnyGtid> {
        self.ended = self.open.take().and_then(|open| open.gtid.or(open.group.map(AnyGtid::Group)));
        self.ended
    }

    /// A statement outside of BEGIN is a transaction of its own.
    pub fn end_if_alone(&mut self, at: At<'_>, batch: &mut Batch) {
        if !self.open.as_ref().is_some_and(|open| open.explicit) {
            self.end(Outcome::Commit, at, batch);
        }
    }

    /// The server died before it had written the end of a transaction, and rolled it back when it came up again. Its GTID
    /// is not executed: the next transaction gets it.
    pub fn end_torn(&mut self, at: At<'_>, batch: &mut Batch) {
        if self.open.take().is_some_and(|open| !open.aside) {
            self.push_end(Outcome::Rollback, None, None, at, batch);
        }
        self.announced = None;
    }

    fn push_end(
        &mut self,
        outcome: Outcome,
        gtid: Option<AnyGtid>,
        decided: Option<DecidedXa>,
        at: At<'_>,
        batch: &mut Batch,
    ) {
        let next = self.place(at.next);
        self.rest = Some(next.clone());
        batch.items.push(Item::End(End {
            outcome,
            place: self.place(at.pos),
            next,
            gtid,
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            decided,
        }));
    }

    /// The server finds a group's end by its id, so that of the open transaction's last part counts.
    pub fn note_group(&mut self, at: At<'_>) {
        if let Some(open) = &mut self.open {
            open.group = open.group.max(at.group);
        }
    }
}

fn unended() -> ChangeError {
    ChangeError::new(Code::BadEvent, "a transaction begins before the one before it has ended")
}
