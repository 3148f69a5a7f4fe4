//! The seam between the builder and whoever delivers: packs that are ready to go, and the point that each reaches.

use crate::binlog::GtidSet;
use crate::change::batch::Place;
use crate::pack::header::RowPlace;
use crate::sync_point::Inside;

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
    /// The executed set, when the shard is followed by MySQL GTIDs.
    pub gtid_set: Option<GtidSet>,
    /// Commit time of the last finished transaction, 0 before the first.
    pub ts_ms: u64,
}

impl Frontier {
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
