//! How far the log has been read: the place, the GTIDs, and what the one is worth beside the other.
//!
//! A dump by GTID leaves out what we have. On the server from which we have it, that is all that lies before our place.
//! On another one it may lie anywhere behind the place where the dump begins: until the server has said that all of ours
//! lies before what it sends next, the place may not be read on from ([`Frontier::set_ahead`]).
//!
//! What XA PREPARE has put off is read and not delivered. The place goes on past it, a MySQL set leaves it out, a MariaDB
//! position cannot: so it is listed, with where it is to be read again ([`Frontier::pending_xa`]), until it is decided on.

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
            // Another server's files say nothing about this one's.
            self.frontier.file_created = 0;
            for pending in &mut self.frontier.pending_xa {
                (pending.file, pending.pos, pending.file_created) = (String::new(), 0, 0);
            }
            if stream.by_gtid {
                self.frontier.place = Place { file: "".into(), pos: 0 };
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

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn place(file: &str, pos: u64) -> Place {
        Place { file: file.into(), pos }
    }

    fn mysql(numbers: &str) -> GtidSet {
        format!("{UUID}:{numbers}").parse().unwrap()
    }

    fn progress(executed: Option<ExecutedGtids>) -> Progress {
        let place = place("b.1", 500);
        Progress::new(Frontier {
            place,
            file_created: 7,
            executed,
            set_ahead: false,
            pending_xa: Vec::new(),
            ts_ms: 0,
        })
    }

    fn mariadb(position: &str) -> Progress {
        progress(Some(ExecutedGtids::Mariadb(position.parse().unwrap())))
    }

    fn by_gtid() -> StreamKind {
        StreamKind { by_gtid: true, ..StreamKind::default() }
    }

    fn end(gtid: Option<AnyGtid>, pos: u64) -> End {
        let outcome = Outcome::Commit;
        End {
            outcome,
            place: place("b.2", pos - 31),
            next: place("b.2", pos),
            gtid,
            server_id: 1,
            timestamp: 0,
            decided: None,
        }
    }

    fn stand(progress: &Progress) -> (String, u64, u32, bool) {
        let Frontier { place, file_created, set_ahead, .. } = progress.frontier();
        (place.file.to_string(), place.pos, *file_created, *set_ahead)
    }

    /// The server begins at the start of the file; what it leaves out up to our place must not look unread.
    #[test]
    fn on_the_same_server_the_place_stays_until_a_transaction_comes() {
        let mut progress = mariadb("0-1-5");
        progress.stream_begins(true, by_gtid());
        progress.moved(&place("b.1", 4));
        progress.file_begins(&"b.1".into(), 7);
        progress.moved(&place("b.1", 256));
        assert_eq!(stand(&progress), ("b.1".into(), 500, 7, false));
        progress.moved(&place("b.2", 4));
        progress.file_begins(&"b.2".into(), 8);
        progress.transaction_begins(&place("b.2", 300));
        assert_eq!(progress.frontier_at(&place("b.2", 300)).file_created, 8);
        progress.transaction_ended(&end(Some(AnyGtid::Mariadb("0-1-6".parse().unwrap())), 400), 1);
        assert_eq!(stand(&progress), ("b.2".into(), 400, 8, false));
        progress.moved(&place("b.3", 4));
        assert_eq!(stand(&progress), ("b.3".into(), 4, 0, false));
    }

    /// It stands still in both domains only when both have been passed.
    #[test]
    fn on_another_server_the_set_is_ahead_until_all_of_it_lies_behind() {
        let list = |position: &str| GtidsBefore::Mariadb(position.parse().unwrap());
        let passed = |position: &str| GtidsBefore::MariadbPassed(position.parse().unwrap());
        let mut progress = mariadb("0-1-5,1-1-7");
        progress.stream_begins(false, by_gtid());
        assert_eq!(stand(&progress), (String::new(), 0, 0, true));
        progress.gtids_before(&list("0-1-3"));
        progress.moved(&place("b.2", 256));
        assert_eq!(stand(&progress), ("b.2".into(), 256, 0, true));
        progress.gtids_before(&passed("1-1-7"));
        progress.transaction_begins(&place("b.2", 300));
        progress.transaction_ended(&end(Some(AnyGtid::Mariadb("1-1-8".parse().unwrap())), 400), 1);
        assert!(progress.frontier().set_ahead);
        progress.gtids_before(&passed("0-1-5,1-1-8"));
        assert!(!progress.frontier().set_ahead);

        let mut progress = self::progress(Some(ExecutedGtids::Mysql(mysql("1-9"))));
        progress.stream_begins(false, StreamKind { purged: Some(mysql("1-2")), ..by_gtid() });
        progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
        assert!(progress.frontier().set_ahead);
        progress.gtids_before(&GtidsBefore::Mysql(mysql("3-9")));
        assert!(!progress.frontier().set_ahead);
    }

    #[test]
    fn gtids_just_read_on_the_server_lie_before_what_it_sends() {
        let mut progress = mariadb("0-1-5");
        progress.stream_begins(false, StreamKind { in_order: true, ..by_gtid() });
        progress.moved(&place("b.2", 256));
        assert!(progress.frontier().set_ahead);
        progress.transaction_begins(&place("b.2", 700));
        assert_eq!(stand(&progress), ("b.2".into(), 700, 0, false));
    }

    #[test]
    fn a_position_learns_what_lies_before_it() {
        let position = StreamKind { purged: Some(mysql("1-2")), ..StreamKind::default() };
        let number = |number: u64| {
            let gtid = format!("{UUID}:{number}").parse().unwrap();
            end(Some(AnyGtid::Mysql(gtid)), 1000 * number)
        };
        let known = |progress: &Progress| progress.frontier().executed.as_ref().map(ToString::to_string);
        let mut progress = self::progress(None);
        progress.stream_begins(true, position.clone());
        progress.transaction_ended(&number(5), 0);
        progress.gtids_before(&GtidsBefore::Mysql(mysql("3-5")));
        assert_eq!(known(&progress), None);
        progress.transaction_ended(&number(6), 0);
        assert_eq!(known(&progress), Some(format!("{UUID}:1-6")));
        // Without a GTID: no set tells of this one.
        progress.transaction_ended(&end(None, 7000), 0);
        progress.transaction_ended(&number(8), 0);
        assert_eq!(known(&progress), None);
        progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
        progress.transaction_ended(&end(None, 9000), 0);
        progress.transaction_ended(&number(9), 0);
        assert_eq!(known(&progress), None, "a file with transactions of both sorts");

        // A server that does not stream by GTID, and one of MariaDB's.
        let mut progress = self::progress(None);
        progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
        progress.transaction_ended(&number(9), 0);
        assert_eq!(known(&progress), None);
        progress.gtids_before(&GtidsBefore::Mariadb("0-1-5".parse().unwrap()));
        assert_eq!(known(&progress), Some("0-1-5".into()));
    }
}
