//! What becomes of prepared XA transactions when a point is moved: those that are undecided at the new place go along, for
//! their rows come with their XA COMMIT behind it; those on which the log decides in what is left out do not, or they
//! would stay pending for ever.

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::Gtid;
use crate::binlog::GtidSet;
use crate::binlog::MariadbGtid;
use crate::pack::builder::Frontier;
use crate::points::xa_scan::Fate;
use crate::points::xa_scan::Met;
use crate::sync_point::SyncPoint;
use crate::sync_point::pending_xa::PendingXa;
use std::cmp::Ordering;

/// Up to where everything counts as delivered.
#[derive(Debug)]
pub(super) enum Border {
    Place(BinlogPosition),
    Gtids(ExecutedGtids),
}

impl Border {
    /// None where nothing is known of it.
    pub fn of(frontier: &Frontier) -> Option<Self> {
        match &frontier.executed {
            Some(gtids) if frontier.set_ahead || frontier.place.file.is_empty() => {
                Some(Self::Gtids(gtids.clone()))
            }
            _ if frontier.place.file.is_empty() => None,
            _ => Some(Self::Place(BinlogPosition::new(&*frontier.place.file, frontier.place.pos))),
        }
    }

    /// Whether a transaction lies before it; none where that cannot be told.
    fn is_behind(&self, xa: &PendingXa) -> Option<bool> {
        match self {
            Self::Place(_) if xa.file.is_empty() => None,
            Self::Place(place) => {
                let order = BinlogPosition::new(xa.file.clone(), xa.pos).partial_cmp(place)?;
                Some(order == Ordering::Less)
            }
            Self::Gtids(ExecutedGtids::Mysql(set)) => Some(set.contains(&xa.gtid.as_deref()?.parse().ok()?)),
            Self::Gtids(ExecutedGtids::Mariadb(position)) => {
                let gtid: MariadbGtid = xa.gtid.as_deref()?.parse().ok()?;
                Some(position.get(gtid.domain).is_some_and(|last| last.sequence >= gtid.sequence))
            }
            Self::Gtids(ExecutedGtids::Group(_)) => None,
        }
    }

    /// Whether nothing lies before it that does not lie before the point too; none where that cannot be told.
    pub fn is_no_further_than(&self, point: &SyncPoint) -> Option<bool> {
        match (self, &point.executed) {
            (Self::Place(place), _) => {
                let from = certain_place(point)?;
                Some(place.partial_cmp(&from)? != Ordering::Greater)
            }
            (Self::Gtids(ExecutedGtids::Mysql(new)), Some(ExecutedGtids::Mysql(old))) => {
                let mut old = old.clone();
                gtids(&point.pending_xa).for_each(|gtid| old.add(&gtid));
                Some(old.contains_set(new))
            }
            (Self::Gtids(ExecutedGtids::Mariadb(new)), Some(ExecutedGtids::Mariadb(old))) => {
                Some(old.reaches(new))
            }
            (Self::Gtids(_), _) => None,
        }
    }
}

/// The place of a point, where everything that it holds lies before it.
pub(super) fn certain_place(point: &SyncPoint) -> Option<BinlogPosition> {
    (!point.file.is_empty() && !point.set_ahead).then(|| BinlogPosition::new(point.file.clone(), point.pos))
}

fn gtids(pending: &[PendingXa]) -> impl Iterator<Item = Gtid> {
    pending.iter().filter_map(|xa| xa.gtid.as_deref()?.parse().ok())
}

/// The XA transactions of a point on their way to a new one.
#[derive(Debug)]
pub(super) struct Moving {
    border: Option<Border>,
    /// Undecided there.
    kept: Vec<PendingXa>,
    /// They are read again behind the new place, so they are not listed.
    again: Vec<PendingXa>,
    /// Of the point's own: those that are not taken along, and why.
    left: Vec<(PendingXa, String)>,
    /// How many of `kept` are the point's own.
    own: usize,
}

impl Moving {
    /// Those of `point` that lie before the new place too; the others come again from the log.
    pub fn new(border: Border, point: Option<&SyncPoint>) -> Self {
        let (mut kept, mut again, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for xa in point.iter().flat_map(|point| &point.pending_xa) {
            match border.is_behind(xa) {
                Some(true) => kept.push(xa.clone()),
                Some(false) => again.push(xa.clone()),
                None => left.push((xa.clone(), "its place beside the new one cannot be told".to_owned())),
            }
        }
        Self { border: Some(border), own: kept.len(), kept, again, left }
    }

    /// The log between the two places is read: this lies in it.
    pub fn meet(&mut self, met: Met) {
        let at = met.xa;
        if self.border.as_ref().and_then(|border| border.is_behind(&at)) != Some(true) {
            return;
        }
        let why = match met.fate {
            Fate::Prepared => format!("another one has its name, at {}:{}", at.file, at.pos),
            Fate::Committed => format!("committed at {}:{}", at.file, at.pos),
            Fate::RolledBack => format!("rolled back at {}:{}", at.file, at.pos),
        };
        if let Some(index) = self.kept.iter().position(|xa| xa.xid == at.xid) {
            let old = self.kept.remove(index);
            if index < self.own {
                self.own -= 1;
                self.left.push((old, why.clone()));
            }
        }
        // A set of MySQL may hold what decides and not what is decided on.
        if let Some(index) = self.again.iter().position(|xa| xa.xid == at.xid) {
            self.left.push((self.again.remove(index), why));
        }
        if met.fate == Fate::Prepared {
            self.kept.push(at);
        }
    }

    /// None of these goes along.
    pub fn without(pending: &[PendingXa], why: &str) -> Self {
        let left = pending.iter().map(|xa| (xa.clone(), why.to_owned())).collect();
        Self { border: None, kept: Vec::new(), again: Vec::new(), left, own: 0 }
    }

    /// None goes along.
    pub fn leave_all(&mut self, why: &str) {
        let own = self.kept.drain(..).take(self.own);
        self.left.extend(own.map(|xa| (xa, why.to_owned())));
        self.own = 0;
    }

    /// Names of those that would go along.
    pub fn names(&self) -> Vec<String> {
        self.kept.iter().map(name).collect()
    }

    /// The new frontier, what people are to be told, and what is to be recorded with the gap.
    pub fn settle(self, frontier: &mut Frontier) -> (Vec<String>, Vec<String>) {
        if let Some(ExecutedGtids::Mysql(set)) = &mut frontier.executed {
            // One that is left must not be sent again, one that is kept has to be.
            let left: Vec<PendingXa> = self.left.iter().map(|(xa, _)| xa.clone()).collect();
            gtids(&left).for_each(|gtid| set.add(&gtid));
            without(set, &self.kept);
        }
        let mut notes = Vec::new();
        for xa in &self.kept {
            notes.push(format!(
                "prepared XA transaction {} stays pending: its rows come with its XA COMMIT",
                name(xa)
            ));
        }
        let left: Vec<String> = self.left.iter().map(|(xa, why)| format!("{}: {why}", name(xa))).collect();
        notes.extend(left.iter().map(|left| format!("prepared XA transaction left out: {left}")));
        frontier.pending_xa = self.kept;
        (notes, left)
    }
}

fn without(set: &mut GtidSet, pending: &[PendingXa]) {
    gtids(pending).for_each(|gtid| set.remove(&gtid));
}

/// Its name and where it was prepared.
pub(super) fn name(xa: &PendingXa) -> String {
    match (xa.file.is_empty(), &xa.gtid) {
        (false, _) => format!("{} of {}:{}", xa.xid, xa.file, xa.pos),
        (true, Some(gtid)) => format!("{} of {gtid}", xa.xid),
        (true, None) => xa.xid.clone(),
    }
}
