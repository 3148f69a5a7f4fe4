//! The seam between the builder and whoever delivers: packs that are ready to go, and the point that each reaches.

use crate::binlog::AnyGtid;
use crate::binlog::ExecutedGtids;
use crate::change::batch::End;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::pack::header::RowPlace;
use crate::sync_point::Inside;
use crate::sync_point::ServerIdentity;
use crate::sync_point::SyncPoint;

/// Where packs go.
pub trait PackOutput {
    /// Why a pack could not be taken.
    type Error;

    /// Takes one pack; returns when it is delivered.
    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), Self::Error>;
}

/// A pack that is ready to go.
#[derive(Debug)]
pub struct FinishedPack<'a> {
    pub rows: &'a [u8],
    pub row_count: u64,
    pub first: RowPlace,
    pub last: RowPlace,
    /// The `seq` of the line after this pack.
    pub next_seq: u64,
    pub reached: Reached<'a>,
}

/// The place up to which everything is in packs: read on from here, the lines that come are those behind the pack.
#[derive(Debug)]
pub struct Reached<'a> {
    pub frontier: &'a Frontier,
    /// How far into the transaction that starts there, when a part of it is in packs already.
    pub inside: Option<Inside>,
}

/// The end of the last finished transaction.
#[derive(Debug, Clone)]
pub struct Frontier {
    pub place: Place,
    /// When that file was begun, by its format description (seconds since 1970); 0 when it has not been seen.
    pub file_created: u32,
    /// All that has been read, where it is known in GTIDs.
    pub executed: Option<ExecutedGtids>,
    /// Commit time of the last finished transaction, 0 before the first.
    pub ts_ms: u64,
}

impl Frontier {
    /// What a point says. How far it is into its transaction, and whose point it is, is told beside it.
    pub fn of_point(point: &SyncPoint) -> Self {
        Self {
            place: Place { file: point.file.as_str().into(), pos: point.pos },
            file_created: point.file_created,
            executed: point.executed.clone(),
            ts_ms: point.ts_ms,
        }
    }

    /// The point that stands here.
    pub fn point(&self, server: ServerIdentity, inside: Option<Inside>) -> SyncPoint {
        SyncPoint {
            server,
            file: self.place.file.to_string(),
            pos: self.place.pos,
            file_created: self.file_created,
            executed: self.executed.clone(),
            inside,
            ts_ms: self.ts_ms,
        }
    }

    /// A transaction has ended. One that committed without a GTID (`gtid_mode=OFF_PERMISSIVE`), or with one of the other
    /// kind, is in no set: from there on the place alone tells how far we are.
    pub(super) fn add(&mut self, end: &End) {
        // A group id says by itself that all before it is read.
        if let Some(AnyGtid::Group(id)) = &end.gtid {
            return self.group_ended(*id);
        }
        let Some(executed) = &mut self.executed else { return };
        let known = match &end.gtid {
            Some(gtid) => executed.add(gtid),
            None => end.outcome == Outcome::Rollback,
        };
        if !known {
            self.executed = None;
        }
    }

    fn group_ended(&mut self, id: u64) {
        let last = self.executed.as_ref().and_then(ExecutedGtids::group);
        if let Some(last) = last.filter(|last| id <= *last) {
            let Place { file, pos } = &self.place;
            log::warn!(
                "behind {file}:{pos}: group id {id} follows {last}, and ids should rise; another server may not be found the \
                 right place by them"
            );
        }
        self.executed = Some(ExecutedGtids::Group(id));
    }

    pub(super) fn move_to(&mut self, place: &Place) {
        if self.place.file != place.file {
            self.file_created = 0;
        }
        self.place = place.clone();
    }

    pub(super) fn file_begun(&mut self, file: &str, created: u32) {
        if *self.place.file == *file {
            self.file_created = created;
        }
    }
}
