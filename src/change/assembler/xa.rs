//! XA transactions: kept aside while they are read and while they are prepared, handed on when they are committed.
//!
//! | logged | what becomes of it |
//! |---|---|
//! | `XA START` (MySQL), a GTID event that says so (MariaDB) | what follows is kept aside |
//! | `XA_PREPARE_LOG_EVENT`, one phase | handed on as any other transaction |
//! | `XA_PREPARE_LOG_EVENT` | held, until one of these comes, a transaction of its own: |
//! | `XA COMMIT` | handed on: with its own GTID and places, and the time of the XA COMMIT |
//! | `XA ROLLBACK` | dropped |
//!
//! Servers that log an XA transaction as a whole when it commits (MySQL before 5.7, MariaDB before 10.5) need none of this.

use crate::binlog::xa::XaPrepare;
use crate::change::assembler::Assembler;
use crate::change::assembler::At;
use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::DecidedXa;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Passed;
use crate::change::batch::Place;
use crate::change::batch::XaPrepared;
use crate::change::batch::XaReplaced;
use crate::change::error::ChangeError;
use crate::change::sql;
use crate::change::tables::Definitions;
use crate::code::Code;
use std::collections::HashMap;
use std::sync::Arc;

/// What a held transaction takes besides its changes.
const OVERHEAD: u64 = 512;

/// The XA transactions of one stream that are not decided on.
#[derive(Debug)]
pub(super) struct Xa {
    /// The one that is being read.
    open: Option<Held>,
    /// Those that are prepared, by name.
    held: HashMap<Arc<str>, Held>,
    /// What those take.
    held_bytes: u64,
    max_bytes: u64,
}

/// The changes of an XA transaction.
#[derive(Debug)]
struct Held {
    xid: Arc<str>,
    begin: Begin,
    changes: Batch,
}

impl Held {
    fn bytes(&self) -> u64 {
        let items = self.changes.items.len() * size_of::<Item>();
        (self.changes.bytes.len() + items) as u64 + OVERHEAD
    }

    fn name(&self) -> String {
        format!("{} at {}:{}", self.xid, self.begin.place.file, self.begin.place.pos)
    }
}

impl Xa {
    pub fn new(max_bytes: u64) -> Self {
        Self { open: None, held: HashMap::new(), held_bytes: 0, max_bytes }
    }

    /// Where the open transaction's changes go.
    #[inline]
    pub fn target<'a>(&'a mut self, aside: bool, batch: &'a mut Batch) -> &'a mut Batch {
        match &mut self.open {
            Some(open) if aside => &mut open.changes,
            Some(_) | None => batch,
        }
    }

    /// Names of those that are prepared, with their places, in the order of the log.
    pub fn prepared(&self) -> Vec<String> {
        let mut held: Vec<_> = self.held.values().collect();
        held.sort_by(|a, b| {
            let place = |held: &Held| (held.begin.place.file.clone(), held.begin.place.pos);
            place(a).cmp(&place(b))
        });
        held.into_iter().map(Held::name).collect()
    }

    /// Refuses to keep more than may be kept.
    pub fn check(&self) -> Result<(), ChangeError> {
        let Some(open) = &self.open else { return Ok(()) };
        let bytes = open.bytes();
        if bytes + self.held_bytes <= self.max_bytes {
            return Ok(());
        }
        Err(ChangeError::new(
            Code::XaHold,
            format!(
                "the XA transaction {} has {bytes} bytes of changes so far, and {} others that are prepared have {}: more than \
                 xa_hold_max_bytes, which is {}, may be kept until they are decided on; raise xa_hold_max_bytes, or leave its \
                 tables out by filter (to commit or roll back now helps only against what will be logged later)",
                open.name(),
                self.held.len(),
                self.held_bytes,
                self.max_bytes
            ),
        ))
    }

    /// No transaction is open: what was kept of a torn one is dropped.
    #[inline]
    pub fn none_is_open(&mut self) {
        if self.open.is_some() {
            self.open = None;
        }
    }

    fn hold(&mut self, mut held: Held) {
        held.changes.bytes.shrink_to_fit();
        held.changes.items.shrink_to_fit();
        self.held_bytes += held.bytes();
        self.held.insert(Arc::clone(&held.xid), held);
    }

    fn take(&mut self, xid: &str) -> Option<Held> {
        let held = self.held.remove(xid)?;
        self.held_bytes = self.held_bytes.saturating_sub(held.bytes());
        Some(held)
    }
}

/// Adds rows that are not watched to changes that are kept: one item, however many events they came in.
pub(super) fn pass_aside(changes: &mut Batch, passed: Passed) {
    match changes.items.last_mut() {
        Some(Item::Passed(last)) if last.kind == passed.kind && Arc::ptr_eq(&last.plan, &passed.plan) => {
            last.count += passed.count;
        }
        _ => changes.items.push(Item::Passed(passed)),
    }
}

impl<D: Definitions> Assembler<D> {
    /// XA START, or what stands for it.
    pub(super) fn xa_start(&mut self, xid: &str, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        let begin = self.borders.begin_aside(at, batch)?;
        self.xa.open = Some(Held { xid: xid.into(), begin, changes: Batch::default() });
        Ok(())
    }

    pub(super) fn xa_prepare(
        &mut self,
        prepare: &XaPrepare<'_>,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        if prepare.one_phase {
            return self.end(Outcome::Commit, at, batch, hand_over);
        }
        let Some(held) = self.xa.open.take().filter(|_| self.borders.is_aside()) else {
            let text = format!("XA PREPARE {} without XA START before it", prepare.xid);
            return Err(ChangeError::new(Code::BadEvent, text));
        };
        let gtid = self.borders.end_aside(at);
        if let Some(old) = self.xa.take(&held.xid) {
            self.xa_replaced(old, &held.begin.place, at, batch);
        }
        batch.items.push(Item::XaPrepared(XaPrepared {
            xid: Arc::clone(&held.xid),
            place: held.begin.place.clone(),
            next: self.borders.place(at.next),
            gtid,
        }));
        self.xa.hold(held);
        Ok(())
    }

    /// The open transaction ends, where none is open one that is nothing but its end.
    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        // An XA transaction that was not prepared.
        if self.borders.is_aside()
            && let Some(held) = self.xa.open.take()
        {
            batch.items.push(Item::Begin(held.begin));
            if outcome == Outcome::Commit {
                release(held.changes, batch, hand_over)?;
            }
        }
        self.borders.end(outcome, at, batch);
        Ok(())
    }

    /// XA COMMIT or XA ROLLBACK.
    pub(super) fn xa_decide(
        &mut self,
        statement: &str,
        outcome: Outcome,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        if self.borders.is_open() {
            return self.end(outcome, at, batch, hand_over);
        }
        let xid: Arc<str> = logged_xid(statement)?.into();
        let held = self.xa.take(&xid);
        let gtid = held.as_ref().and_then(|held| held.begin.gtid.as_ref()).map(|gtid| gtid.gtid);
        let decided = held.is_some().then(|| DecidedXa { xid: Arc::clone(&xid), gtid });
        match (outcome, held) {
            (Outcome::Commit, Some(held)) => {
                let own = self.borders.begin_aside(at, batch)?;
                let (ts_ms, committed_at) = (own.ts_ms, Some(own.place));
                batch.items.push(Item::Begin(Begin {
                    ts_ms,
                    ts_from_gtid: true,
                    committed_at,
                    ..held.begin
                }));
                release(held.changes, batch, hand_over)?;
            }
            (Outcome::Commit, None) => self.xa_unknown(xid, at, batch),
            (Outcome::Rollback, _) => {}
        }
        self.borders.end_decided(outcome, decided, at, batch);
        Ok(())
    }

    fn xa_replaced(&self, old: Held, by: &Place, at: At<'_>, batch: &mut Batch) {
        log::warn!(
            "{}: {}:{}: the prepared XA transaction {} was neither committed nor rolled back in the log, and another one has its \
             name: its rows are left out",
            Code::RowsLeftOut,
            self.file(),
            at.pos,
            old.name()
        );
        batch.items.push(Item::XaReplaced(Box::new(XaReplaced {
            xid: old.xid,
            place: old.begin.place,
            gtid: old.begin.gtid.map(|gtid| gtid.text),
            by: by.clone(),
        })));
    }

    fn xa_unknown(&mut self, xid: Arc<str>, at: At<'_>, batch: &mut Batch) {
        log::warn!(
            "{}: {}:{}: XA COMMIT {xid}: its XA PREPARE lies before the place where reading began; its rows are not known and \
             are left out",
            Code::RowsLeftOut,
            self.file(),
            at.pos
        );
        self.borders.ensure_begun(at, batch);
        batch.items.push(Item::XaUnknown(xid));
    }
}

/// The name in a statement about an XA transaction.
pub(super) fn logged_xid(statement: &str) -> Result<&str, ChangeError> {
    sql::logged_xid(statement).ok_or_else(|| {
        ChangeError::new(
            Code::BadEvent,
            format!("no name of a transaction can be read in the statement: {statement:.200}"),
        )
    })
}

/// Hands changes on that were kept aside.
fn release(changes: Batch, batch: &mut Batch, hand_over: &mut dyn HandOver) -> Result<(), ChangeError> {
    let Batch { bytes, items, .. } = changes;
    for item in items {
        batch.take_over(item, &bytes);
        if batch.is_full() {
            hand_over.hand_over(batch)?;
        }
    }
    Ok(())
}
