//! The seam between the builder and whoever delivers: packs that are ready to go, and the point that each reaches.

use crate::binlog::ExecutedGtids;
use crate::change::batch::Place;
use crate::pack::header::RowPlace;
use crate::sync_point::Inside;
use crate::sync_point::ServerIdentity;
use crate::sync_point::SyncPoint;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::gap::GapTable;
use crate::sync_point::pending_xa::PendingXa;

/// Where packs go.
pub trait PackOutput {
    /// Why a pack could not be taken.
    type Error;

    /// Takes one pack; returns when it is delivered.
    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), Self::Error>;

    /// Keeps a gap for people who ask later; returns when that is durable. Behind a break it may come again.
    fn record_gap(&mut self, gap: &GapReport) -> Result<(), Self::Error>;
}

/// What the builder knows of a gap; the members are those of [`GapRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapReport {
    pub kind: GapKind,
    pub from: GapEdge,
    pub to: GapEdge,
    pub tables: Vec<GapTable>,
    pub reason: String,
}

impl GapReport {
    /// The record of it.
    pub fn record(&self, shard: &str, at_ms: u64) -> GapRecord {
        let Self { kind, from, to, tables, reason } = self.clone();
        GapRecord { shard: shard.to_owned(), at_ms, kind, from, to, tables, reason }
    }
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
    /// `executed` may hold transactions that lie behind `place`: reading on there would repeat them. Nothing that it does
    /// not hold lies before.
    pub set_ahead: bool,
    /// XA transactions that were prepared before `place` and are not decided on: they have to be read again. A MySQL set in
    /// `executed` leaves them out.
    pub pending_xa: Vec<PendingXa>,
    /// Commit time of the last finished transaction, 0 before the first.
    pub ts_ms: u64,
}

impl Frontier {
    /// A place of which nothing else is known.
    pub fn at(place: Place) -> Self {
        Self { place, file_created: 0, executed: None, set_ahead: false, pending_xa: Vec::new(), ts_ms: 0 }
    }

    /// What a point says. How far it is into its transaction, and whose point it is, is told beside it.
    pub fn of_point(point: &SyncPoint) -> Self {
        Self {
            place: Place { file: point.file.as_str().into(), pos: point.pos },
            file_created: point.file_created,
            executed: point.executed.clone(),
            set_ahead: point.set_ahead,
            pending_xa: point.pending_xa.clone(),
            ts_ms: point.ts_ms,
        }
    }

    /// Reading goes on at another server, whose files say nothing about the ones before: the GTIDs alone tell where.
    pub fn leave_server(&mut self) {
        self.place = Place { file: "".into(), pos: 0 };
        self.leave_files();
    }

    /// Files of the same names are others now.
    pub fn leave_files(&mut self) {
        self.file_created = 0;
        for pending in &mut self.pending_xa {
            (pending.file, pending.pos, pending.file_created) = (String::new(), 0, 0);
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
            set_ahead: self.set_ahead,
            pending_xa: self.pending_xa.clone(),
            inside,
            ts_ms: self.ts_ms,
        }
    }
}
