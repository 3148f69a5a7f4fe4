//! What store and sink say about where a shard stands, before any server is asked: the point to read on from, the epoch and
//! the line number to go on with, and whether reading begins elsewhere than where it ended.

mod epochs;

use crate::code::Code;
use crate::pack::header::PackHeader;
use crate::pipeline::fault::Fault;
use crate::pipeline::start::Resume;
use crate::sync_point::Moved;
use crate::sync_point::PointRecord;
use crate::sync_point::SyncPoint;
use crate::sync_point::epochs::LastPack;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::old_files::FoundPoint;

/// Line numbers that are left out where the point is gone and only its history tells what was handed out: more than can
/// have come since its last line.
const LOST_SEQ: u64 = 1 << 32;

/// Epochs that are left out where a store that nodes share has lost its record: more than other nodes can have begun since the
/// one that is known here.
const LOST_EPOCHS: u64 = 1000;

/// Everything on this machine that tells of a shard's place.
#[derive(Debug, Default)]
pub struct Standing {
    pub record: Option<PointRecord>,
    /// The last one of the history; looked for when there is no record.
    pub former: Option<PointRecord>,
    /// What the original Fountain left; looked for when there is no record.
    pub old_point: Option<FoundPoint>,
    /// The last whole pack of a sink that keeps packs.
    pub pack: Option<PackHeader>,
    /// A sink without packs is one that has been given none.
    pub keeps_packs: bool,
    /// Whole packs that the sink had to cut off.
    pub packs_cut_off: u64,
    /// Other nodes save to the same store, and each has a sink of its own that keeps packs.
    pub shared: bool,
    /// Other nodes save to the same store, whatever their sinks keep.
    pub others_save: bool,
}

impl Standing {
    /// The place to read on from: the sink's last whole pack wins over an older stored point.
    pub fn resume(&self, shard: &str) -> Result<Option<Resume>, Fault> {
        self.check_shared(shard)?;
        let stored = self.record.as_ref().and_then(|record| record.point.as_ref());
        let point = match &self.pack {
            Some(pack) if self.pack_is_newer(pack) => Some(&pack.point),
            None if self.packs_cut_off > 0 && self.record.as_ref().is_some_and(is_behind_packs) => {
                return Err(Fault::stop(
                    Code::SinkBroken,
                    format!(
                        "shard={shard} the disk lost all packs of this node, which it had acknowledged, and nothing tells where they \
                         began; restore the sink's folder, or go back to a point before them (fountain points history and points \
                         set), or copy the tables anew and start behind them (points set)"
                    ),
                ));
            }
            _ => stored,
        };
        Ok(point.map(Resume::from_point))
    }

    /// Acknowledged packs that the sink then had to cut off count as never delivered: the pack before them decides.
    fn pack_is_newer(&self, pack: &PackHeader) -> bool {
        self.record.as_ref().is_none_or(|record| {
            // An epoch that has not delivered anything follows the packs of the one before.
            let is_behind = |last: LastPack| last.epoch == pack.epoch;
            let follows = pack.epoch == record.epoch
                || record.sequence == 0
                    && record.moved.is_none()
                    && (!self.shared || record.last_pack.is_some_and(is_behind));
            let lost = self.packs_cut_off > 0 && follows;
            lost || (pack.epoch, pack.sequence) > (record.epoch, record.sequence)
        })
    }

    /// Line numbers up to here may have been handed out.
    pub fn seq_reserved(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.seq_reserved)
    }

    /// The stored point, where it follows packs that a sink which keeps packs does not hold. A point that was moved follows
    /// none until a pack has come behind it.
    pub fn behind_missing_packs(&self) -> Option<&PointRecord> {
        if self.shared && !self.is_ours() {
            return None;
        }
        let held = self.pack.as_ref().map_or(1, |pack| pack.next_seq);
        let is_newer =
            self.pack.as_ref().is_some_and(|pack| self.pack_is_newer(pack) && self.packs_cut_off == 0);
        let record = self.record.as_ref().filter(|record| record.moved.is_none());
        record.filter(|record| record.next_seq > held && !is_newer)
    }

    /// A sink that keeps packs should hold the one that the stored point followed.
    pub fn tell_of_missing_packs(&self, shard: &str) {
        let Some(record) = self.behind_missing_packs() else { return };
        let missing = match record.sequence {
            0 => format!(
                "the packs of line numbers below {}, behind which the stored point stands",
                record.next_seq
            ),
            sequence => format!("pack {}/{sequence}, behind which the stored point stands", record.epoch),
        };
        match self.packs_cut_off {
            0 => log::warn!(
                "{}: shard={shard} the sink's folder holds nothing of {missing}: files were taken away, or it is another folder; \
                 going on at the stored point",
                Code::SinkBroken
            ),
            lost => log::error!(
                "{} shard={shard} {lost} packs were lost that the disk had acknowledged, {missing}; going on behind \
                 the last whole pack, so their rows are delivered again",
                Code::SinkBroken
            ),
        }
    }

    /// The last epoch that may have been begun, here or by another node.
    pub fn last_epoch(&self) -> u64 {
        let stored = self.record.as_ref().or(self.former.as_ref()).map_or(0, |record| record.epoch);
        let known = stored.max(self.pack.as_ref().map_or(0, |pack| pack.epoch));
        if self.lost_what_others_saved() { known + LOST_EPOCHS } else { known }
    }

    /// The shared store had a record, and what this node knows of it may be old: others may have led since.
    pub fn lost_what_others_saved(&self) -> bool {
        self.others_save && self.record.is_none() && (self.former.is_some() || self.pack.is_some())
    }

    /// A sink whose exact place is known goes on without a jump; else numbering goes on behind what was reserved.
    pub fn next_seq(&self) -> u64 {
        const FIRST: u64 = 1;
        match (&self.record, &self.pack) {
            (None, pack) if self.lost_what_others_saved() => {
                let former = self.former.as_ref().map_or(FIRST, |former| former.seq_reserved);
                former.max(pack.as_ref().map_or(FIRST, |pack| pack.next_seq)) + LOST_SEQ
            }
            (_, Some(pack)) if self.pack_is_newer(pack) => pack.next_seq,
            (Some(record), Some(pack))
                if pack.next_seq == record.next_seq
                    && (!self.shared || (pack.epoch, pack.sequence) == (record.epoch, record.sequence)) =>
            {
                pack.next_seq
            }
            // A sink of another node may have been given lines that no saved point tells of.
            (Some(record), None) if self.keeps_packs && !self.shared && record.next_seq == FIRST => FIRST,
            (Some(record), _) => record.seq_reserved,
            (None, _) => self.former.as_ref().map_or(FIRST, |former| former.seq_reserved + LOST_SEQ),
        }
    }

    /// Where everything is delivered up to, as far as is known: of a pack or of the store; of the history where both have
    /// nothing.
    pub fn last_point(&self) -> Option<&SyncPoint> {
        // Where the record is gone, the history or a copy may tell of more than this node's sink.
        let is_last = |pack: &&PackHeader| match (&self.record, &self.former) {
            (None, Some(former)) => (pack.epoch, pack.sequence) >= (former.epoch, former.sequence),
            _ => self.pack_is_newer(pack),
        };
        let pack = self.pack.as_ref().filter(is_last).map(|pack| &pack.point);
        let stored =
            || self.record.as_ref().or(self.former.as_ref()).and_then(|record| record.point.as_ref());
        pack.or_else(stored)
    }

    /// What consumers are to be told of when reading begins at `start`: a person has moved the point, or it was taken away.
    pub fn jump(&self, start: &SyncPoint, now_ms: u64) -> Option<Moved> {
        match (&self.record, &self.pack) {
            (Some(_), Some(pack)) if self.pack_is_newer(pack) => None,
            (Some(record), _) => record.moved.clone(),
            (None, Some(_)) => None,
            (None, None) => {
                let former = self.former.as_ref().and_then(|former| former.point.as_ref())?;
                let from = Some(GapEdge::of_point(former));
                let reason = "the shard was begun anew: its point was taken away".to_owned();
                (from != Some(GapEdge::of_point(start))).then_some(Moved { at_ms: now_ms, from, reason })
            }
        }
    }

    /// A move of the point that no pack has told of yet; of what is known where the record is gone.
    pub fn untold(&self) -> Option<&Moved> {
        let record = self.record.as_ref().or(self.former.as_ref())?;
        let told = |pack: &PackHeader| (pack.epoch, pack.sequence) > (record.epoch, record.sequence);
        record.moved.as_ref().filter(|_| !self.pack.as_ref().is_some_and(told))
    }

    /// The gap that a start at `start` makes. A move by a person was recorded when it was made.
    pub fn gap(&self, shard: &str, start: &SyncPoint, now_ms: u64) -> Option<GapRecord> {
        let record = |kind, from: GapEdge, reason: String| GapRecord {
            shard: shard.to_owned(),
            at_ms: now_ms,
            kind,
            from,
            to: GapEdge::of_point(start),
            tables: Vec::new(),
            reason,
        };
        if self.record.is_none() {
            let Moved { from, reason, .. } = self.jump(start, now_ms)?;
            return from.map(|from| record(GapKind::Reset, from, reason));
        }
        let lost = self.pack.as_ref().filter(|pack| self.packs_cut_off > 0 && self.pack_is_newer(pack));
        let stored =
            self.record.as_ref().and_then(|record| record.point.as_ref()).filter(|_| lost.is_some())?;
        let reason = format!(
            "the disk lost {} packs that it had acknowledged; their rows are delivered again, with the numbers they had",
            self.packs_cut_off
        );
        (GapEdge::of_point(stored) != GapEdge::of_point(start))
            .then(|| record(GapKind::Jump, GapEdge::of_point(stored), reason))
    }
}

/// Whether rows have been delivered before the stored point, and no person has said where to go on since.
fn is_behind_packs(record: &PointRecord) -> bool {
    record.sequence > 0 || record.moved.is_none() && record.last_pack.is_some_and(|last| last.epoch > 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pack::header::RowPlace;
    use crate::sync_point::record::tests::point;
    use crate::sync_point::record::tests::record;

    pub(crate) fn pack(epoch: u64, sequence: u64) -> PackHeader {
        let place = RowPlace { gtid: None, file: "b.1".into(), pos: 4, row: 0, seq: 1 };
        PackHeader {
            shard: "producer00".into(),
            epoch,
            sequence,
            rows: 1,
            bytes: 1,
            first: place.clone(),
            last: place,
            next_seq: 5000,
            point: point(9000),
            moved: false,
            follows: None,
            crc32: 0,
            previous_crc32: 0,
        }
    }

    fn resumes_at(standing: &Standing) -> Option<u64> {
        standing.resume("producer00").unwrap().map(|resume| resume.frontier.place.pos)
    }

    #[test]
    fn a_moved_point_wins_over_the_sinks_last_pack_and_is_told_until_a_pack_tells_it() {
        let from = Some(GapEdge::of_point(&point(9000)));
        let moved = Some(Moved { at_ms: 1, from, reason: "why".into() });
        let stored =
            PointRecord { moved: moved.clone(), next_seq: 5000, point: Some(point(100)), ..record(4, 0) };
        let mut standing = Standing { record: Some(stored), pack: Some(pack(3, 17)), ..Standing::default() };
        assert_eq!(resumes_at(&standing), Some(100));
        assert_eq!(standing.jump(&point(100), 2), moved);
        assert_eq!(standing.gap("producer00", &point(100), 2), None, "it was recorded when it was made");
        assert_eq!(
            (standing.last_epoch(), standing.next_seq()),
            (4, 5000),
            "numbers go on where the sink is exact"
        );
        // A disk that lost packs changes nothing about a person's word.
        standing.packs_cut_off = 2;
        assert_eq!(resumes_at(&standing), Some(100));
        standing.pack = Some(pack(5, 1));
        assert_eq!((resumes_at(&standing), standing.jump(&point(9000), 2)), (Some(9000), None));
        standing.pack = None;
        standing.packs_cut_off = 0;
        assert_eq!(standing.next_seq(), 100_001, "else behind what was reserved");
    }

    #[test]
    fn a_shard_begun_anew_is_recorded_and_numbers_do_not_fall() {
        let former = Some(PointRecord { point: Some(point(1234)), ..record(6, 2) });
        let standing = Standing { former, ..Standing::default() };
        assert_eq!(resumes_at(&standing), None);
        assert_eq!((standing.last_epoch(), standing.next_seq()), (6, 100_001 + LOST_SEQ));
        let gap = standing.gap("producer00", &point(7000), 2).unwrap();
        assert_eq!((gap.kind, gap.from.pos, gap.to.pos), (GapKind::Reset, 1234, 7000));
        assert!(standing.jump(&point(7000), 2).is_some());
        assert_eq!(standing.gap("producer00", &point(1234), 2), None);
        let first = Standing::default();
        assert_eq!((first.last_epoch(), first.next_seq(), first.gap("s", &point(4), 2)), (0, 1, None));
    }

    #[test]
    fn where_a_shared_record_is_gone_no_epoch_and_no_number_of_another_node_comes_again() {
        let former = Some(PointRecord { seq_reserved: 100_001, ..record(5, 10) });
        for pack in [None, Some(pack(5, 10))] {
            let lost = Standing { former: former.clone(), pack, others_save: true, ..Standing::default() };
            assert_eq!((lost.last_epoch(), lost.next_seq()), (5 + LOST_EPOCHS, 100_001 + LOST_SEQ));
        }
        let older = Standing { former: former.clone(), pack: Some(pack(4, 90)), ..Standing::default() };
        assert_eq!(older.last_point().map(|point| point.pos), Some(1234), "the copy tells of more");
        let first = Standing { others_save: true, ..Standing::default() };
        assert_eq!((first.last_epoch(), first.next_seq()), (0, 1), "nothing has ever been");
        let kept = Standing { record: former, others_save: true, ..Standing::default() };
        assert_eq!((kept.last_epoch(), kept.next_seq()), (5, 100_001));
    }

    #[test]
    fn packs_are_missed_also_behind_an_epoch_without_any() {
        let stored = |sequence, next_seq, moved| PointRecord { next_seq, moved, ..record(4, sequence) };
        let missing = |record: PointRecord, pack: Option<PackHeader>| {
            let standing = Standing { record: Some(record), pack, ..Standing::default() };
            standing.behind_missing_packs().is_some()
        };
        assert!(missing(stored(0, 5001, None), Some(pack(3, 17))), "the epoch before had more");
        assert!(missing(stored(20, 5001, None), Some(pack(4, 17))));
        assert!(missing(stored(20, 5001, None), None));
        assert!(!missing(stored(0, 5000, None), Some(pack(3, 17))));
        assert!(!missing(stored(20, 4000, None), Some(pack(4, 21))), "the point is merely older");
        assert!(!missing(stored(0, 1, None), None));
        let moved = Some(Moved { at_ms: 1, from: None, reason: "why".into() });
        assert!(!missing(stored(0, 9000, moved.clone()), Some(pack(3, 17))), "a person's word");
        // The disk lost them: they are delivered again.
        let cut = |moved| Standing {
            record: Some(PointRecord { point: Some(point(9900)), ..stored(0, 5300, moved) }),
            pack: Some(pack(3, 17)),
            packs_cut_off: 2,
            ..Standing::default()
        };
        assert_eq!((resumes_at(&cut(None)), cut(None).next_seq()), (Some(9000), 5000));
        assert_eq!(resumes_at(&cut(moved)), Some(9900));
    }

    /// A pipe keeps nothing: what was put out behind the first save and before the second is known to nobody.
    #[test]
    fn numbers_begin_anew_only_where_no_line_has_been_given_out() {
        let first = || Some(PointRecord { next_seq: 1, ..record(1, 0) });
        let standing = Standing { record: first(), ..Standing::default() };
        assert_eq!(standing.next_seq(), 100_001);
        let standing = Standing { record: first(), keeps_packs: true, ..Standing::default() };
        assert_eq!(standing.next_seq(), 1);
    }

    /// All packs of this node are gone: where the lost ones began is not told by the point behind them.
    #[test]
    fn a_disk_that_lost_all_packs_stops_the_shard_also_behind_an_epoch_without_any() {
        let last = |epoch| Some(LastPack { epoch, sequence: epoch.min(17), crc32: 7 });
        let lost = |sequence, last_pack, shared| Standing {
            record: Some(PointRecord { last_pack, ..record(4, sequence) }),
            packs_cut_off: 2,
            keeps_packs: true,
            shared,
            ..Standing::default()
        };
        for shared in [false, true] {
            for standing in [lost(5, last(4), shared), lost(0, last(3), shared)] {
                assert_eq!(standing.resume("producer00").unwrap_err().code, Code::SinkBroken);
            }
            // Nothing has ever been saved behind a pack: all comes again.
            assert!(lost(0, last(0), shared).resume("producer00").is_ok());
            // A person has said where to go on.
            let mut moved = lost(0, last(3), shared);
            moved.record.as_mut().unwrap().moved = Some(Moved { at_ms: 1, from: None, reason: "why".into() });
            assert!(moved.resume("producer00").is_ok());
        }
    }

    #[test]
    fn packs_that_a_disk_lost_are_a_jump_backwards() {
        let record = Some(PointRecord { point: Some(point(9900)), ..record(3, 20) });
        let standing = Standing { record, pack: Some(pack(3, 17)), packs_cut_off: 3, ..Standing::default() };
        let gap = standing.gap("producer00", &point(9000), 2).unwrap();
        assert_eq!((gap.kind, gap.from.pos, gap.to.pos), (GapKind::Jump, 9900, 9000));
        assert_eq!(standing.jump(&point(9000), 2), None, "the files lost both the rows and where they were");
    }
}
