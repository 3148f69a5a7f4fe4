//! How far the log has been read: the place, the GTIDs, and what the one is worth beside the other.
//!
//! A dump by GTID leaves out what we have. On the server from which we have it, that is all that lies before our place.
//! On another one it may lie anywhere behind the place where the dump begins: until the server has said that all of ours
//! lies before what it sends next, the place may not be read on from ([`Frontier::set_ahead`]).
//!
//! What XA PREPARE has put off is read and not delivered. The place goes on past it, a MySQL set leaves it out, a MariaDB
//! position cannot: so it is listed, with where it is to be read again ([`Frontier::pending_xa`]), until it is decided on.

#[cfg(test)]
mod tests;

use crate::binlog::AnyGtid;
use crate::binlog::ExecutedGtids;
use crate::binlog::GtidSet;
use crate::binlog::MariadbGtidPosition;
use crate::change::batch::DecidedXa;
use crate::change::batch::End;
use crate::change::batch::GtidsBefore;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::XaPrepared;
use crate::pack::builder::Frontier;
use crate::sync_point::pending_xa::PendingXa;
use std::sync::Arc;

/// What a stream is that begins, as far as places and GTIDs go.
#[derive(Debug, Clone, Default)]
pub struct StreamKind {
    /// It was asked for by GTID.
    pub by_gtid: bool,
    /// The GTIDs were read out of this server's log, in its order: what it sends first lies behind all of them.
    pub in_order: bool,
    /// Of a MySQL server that streams by GTID: the transactions that its files no longer hold. With a file's
    /// PREVIOUS_GTIDS they are all that lies before that file.
    pub purged: Option<GtidSet>,
}

impl StreamKind {
    pub fn is_mysql_by_gtid(&self) -> bool {
        self.by_gtid && self.purged.is_some()
    }
}

/// Follows place and GTIDs through the items of a stream.
#[derive(Debug)]
pub(super) struct Progress {
    frontier: Frontier,
    stream: StreamKind,
    /// The file that is being read, and when it was begun.
    file: Option<(Arc<str>, u32)>,
    /// The place is right beside the GTIDs, and the stream may have begun before it: it stays until a transaction comes.
    keeps_place: bool,
    /// What lies before the file that is being read, while the GTIDs are not known.
    previous: Option<GtidSet>,
    /// Of each domain the transaction that lies before what comes next, as far as the server has told.
    passed: MariadbGtidPosition,
}

impl Progress {
    pub fn new(frontier: Frontier) -> Self {
        Self {
            frontier,
            stream: StreamKind::default(),
            file: None,
            keeps_place: false,
            previous: None,
            passed: MariadbGtidPosition::new(),
        }
    }

    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// A stream begins.
    pub fn stream_begins(&mut self, same_server: bool, stream: StreamKind) {
        if !same_server {
            match stream.by_gtid {
                true => self.frontier.leave_server(),
                false => self.frontier.leave_files(),
            }
        }
        self.keeps_place = stream.by_gtid && !self.frontier.set_ahead && !self.frontier.place.file.is_empty();
        self.frontier.set_ahead = stream.by_gtid && !self.keeps_place;
        (self.file, self.previous, self.passed) = (None, None, MariadbGtidPosition::new());
        self.stream = stream;
    }

    /// A file's format description has been read.
    pub fn file_begins(&mut self, file: &Arc<str>, created: u32) {
        self.file = Some((Arc::clone(file), created));
        if *self.frontier.place.file == **file {
            self.frontier.file_created = created;
        }
    }

    /// Outside of transactions the log has been read up to here.
    pub fn moved(&mut self, place: &Place) {
        if !self.keeps_place {
            self.move_to(place);
        }
    }

    /// The server tells what lies before the event that comes next.
    pub fn gtids_before(&mut self, before: &GtidsBefore) {
        let all_before = match (before, &mut self.frontier.executed) {
            (GtidsBefore::Mysql(set), None) => {
                self.previous = self.stream.purged.as_ref().map(|purged| set.union(purged));
                false
            }
            (GtidsBefore::Mysql(set), Some(ExecutedGtids::Mysql(ours))) => match &self.stream.purged {
                Some(purged) => set.union(purged).contains_set(ours),
                None => set.contains_set(ours),
            },
            // One that is pending could not be asked for by such GTIDs.
            (GtidsBefore::Mariadb(_), None)
                if self.frontier.pending_xa.iter().any(|pending| pending.gtids_before.is_none()) =>
            {
                false
            }
            (GtidsBefore::Mariadb(position), executed @ None) => {
                *executed = Some(ExecutedGtids::Mariadb(position.clone()));
                false
            }
            (GtidsBefore::Mariadb(position), Some(ExecutedGtids::Mariadb(ours))) => {
                self.passed = position.clone();
                self.passed.stands_at(ours)
            }
            (GtidsBefore::MariadbPassed(passed), Some(ExecutedGtids::Mariadb(ours))) => {
                passed.gtids().iter().for_each(|gtid| self.passed.set(*gtid));
                self.passed.stands_at(ours)
            }
            // A server of the other kind is not streamed from by these GTIDs.
            (GtidsBefore::Mysql(_), Some(ExecutedGtids::Mariadb(_) | ExecutedGtids::Group(_)))
            | (GtidsBefore::Mariadb(_), Some(ExecutedGtids::Mysql(_) | ExecutedGtids::Group(_)))
            | (
                GtidsBefore::MariadbPassed(_),
                None | Some(ExecutedGtids::Mysql(_) | ExecutedGtids::Group(_)),
            ) => false,
        };
        if all_before {
            self.keeps_place = false;
            self.frontier.set_ahead = false;
        }
    }

    /// A transaction begins there.
    pub fn transaction_begins(&mut self, place: &Place) {
        self.keeps_place = false;
        if self.frontier.set_ahead && self.stream.in_order {
            self.frontier.set_ahead = false;
            self.move_to(place);
        }
    }

    /// The frontier before a transaction that starts there.
    pub fn frontier_at(&self, place: &Place) -> Frontier {
        Frontier { place: place.clone(), file_created: self.created(&place.file), ..self.frontier.clone() }
    }

    /// A transaction has ended that was committed then.
    pub fn transaction_ended(&mut self, end: &End, ts_ms: u64) {
        self.move_to(&end.next);
        self.frontier.ts_ms = ts_ms;
        if let Some(decided) = &end.decided {
            self.decided(decided);
        }
        match &end.gtid {
            Some(gtid) => self.add(gtid),
            // A file that was torn, or nothing that counts.
            None if end.outcome == Outcome::Rollback => {}
            // `gtid_mode=OFF_PERMISSIVE`: from here on only the place tells how far we are.
            None => (self.frontier.executed, self.previous) = (None, None),
        }
    }

    /// A transaction has ended with XA PREPARE.
    pub fn xa_prepared(&mut self, prepared: &XaPrepared) {
        let XaPrepared { xid, place, next, gtid } = prepared;
        let pending = PendingXa {
            xid: xid.to_string(),
            file: place.file.to_string(),
            pos: place.pos,
            file_created: self.created(&place.file),
            gtid: gtid.map(|gtid| gtid.to_string()),
            gtids_before: self.frontier.executed.as_ref().and_then(|e| e.mariadb()).map(ToString::to_string),
        };
        if let Some(known) = self.frontier.pending_xa.iter_mut().find(|known| known.is_same(&pending)) {
            // It has been read again, and lies before the frontier.
            *known = PendingXa { gtids_before: known.gtids_before.take(), ..pending };
            return;
        }
        self.forget_pending(&pending.xid);
        self.transaction_begins(place);
        self.frontier.pending_xa.push(pending);
        self.move_to(next);
        match (&mut self.frontier.executed, gtid) {
            (Some(ExecutedGtids::Mysql(_)) | None, Some(AnyGtid::Mysql(_)))
            | (None, Some(AnyGtid::Mariadb(_))) => {}
            (Some(ExecutedGtids::Mariadb(position)), Some(AnyGtid::Mariadb(gtid))) => position.set(*gtid),
            (_, _) => (self.frontier.executed, self.previous) = (None, None),
        }
    }

    /// The server gives a name anew only when the transaction that had it is no more, which it may not have logged.
    fn forget_pending(&mut self, xid: &str) {
        let old = self.frontier.pending_xa.iter().find(|pending| pending.xid == xid);
        if let Some(gtid) = old.map(|old| old.gtid.as_deref().and_then(|gtid| gtid.parse().ok())) {
            self.decided(&DecidedXa { xid: xid.into(), gtid: gtid.map(AnyGtid::Mysql) });
        }
    }

    /// It was committed or rolled back, so that it need not be read again.
    fn decided(&mut self, decided: &DecidedXa) {
        self.frontier.pending_xa.retain(|pending| *pending.xid != *decided.xid);
        match (&mut self.frontier.executed, &mut self.previous, &decided.gtid) {
            (Some(ExecutedGtids::Mysql(set)), _, Some(AnyGtid::Mysql(gtid)))
            | (None, Some(set), Some(AnyGtid::Mysql(gtid))) => set.add(gtid),
            // A MariaDB position holds it already, and by place alone there is nothing to add.
            (_, _, _) => {}
        }
    }

    /// Without those that are pending; none when one of them has no name.
    fn without_pending(&self, mut set: GtidSet) -> Option<GtidSet> {
        for pending in &self.frontier.pending_xa {
            set.remove(&pending.gtid.as_ref()?.parse().ok()?);
        }
        Some(set)
    }

    fn add(&mut self, gtid: &AnyGtid) {
        match (&mut self.frontier.executed, gtid) {
            // A group id says by itself that all before it is read.
            (_, AnyGtid::Group(id)) => self.group_ended(*id),
            (Some(executed), gtid) => {
                if !executed.add(gtid) {
                    self.frontier.executed = None;
                }
            }
            // Only now: a file may begin with transactions without a GTID, and by GTID they would not be sent.
            (None, AnyGtid::Mysql(gtid)) => {
                let before = self.previous.take().and_then(|set| self.without_pending(set));
                self.frontier.executed = before.map(|mut set| {
                    set.add(gtid);
                    ExecutedGtids::Mysql(set)
                });
            }
            (None, AnyGtid::Mariadb(_)) => {}
        }
    }

    fn group_ended(&mut self, id: u64) {
        let last = self.frontier.executed.as_ref().and_then(ExecutedGtids::group);
        if let Some(last) = last.filter(|last| id <= *last) {
            let Place { file, pos } = &self.frontier.place;
            log::warn!(
                "behind {file}:{pos}: group id {id} follows {last}, and ids should rise; another server may not be found the \
                 right place by them"
            );
        }
        self.frontier.executed = Some(ExecutedGtids::Group(id));
    }

    fn move_to(&mut self, place: &Place) {
        if self.frontier.place.file != place.file {
            self.frontier.file_created = self.created(&place.file);
        }
        self.frontier.place = place.clone();
    }

    /// When a file was begun; 0 when that is not known.
    fn created(&self, file: &Arc<str>) -> u32 {
        match &self.file {
            Some((name, created)) if name == file => *created,
            _ if self.frontier.place.file == *file => self.frontier.file_created,
            _ => 0,
        }
    }
}
