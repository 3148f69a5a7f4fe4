//! The newest kept point behind which everything committed after a time comes again.

use crate::sync_point::history::Kept;

/// The latest time at which something before the point may have been committed, in milliseconds since 1970.
///
/// Where the server logs commit times by the second, the point's time is the beginning of that second. A point behind
/// which nothing is known to have been committed stands where it did when it was saved.
fn latest_commit(kept: &Kept) -> Option<u64> {
    let ts_ms = kept.record.point.as_ref()?.ts_ms;
    Some(match ts_ms {
        0 => kept.record.saved_ms,
        whole if whole % 1000 == 0 => whole.saturating_add(999),
        ts_ms => ts_ms,
    })
}

/// Which of the points, given the oldest first, is the newest one before that time: neither it nor one before it may lie
/// behind something that was committed later. (Commit times do not always rise in a log.)
pub fn before(points: &[Kept], time_ms: u64) -> Option<&Kept> {
    let known = points.iter().filter_map(|kept| Some((kept, latest_commit(kept)?)));
    known.take_while(|(_, latest)| *latest <= time_ms).map(|(kept, _)| kept).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::PointRecord;
    use crate::sync_point::SyncPoint;
    use crate::sync_point::record::tests::point;
    use crate::sync_point::record::tests::record;

    /// Points 1, 2, … by what they say of commit times; all saved at 50 000.
    fn found(times: &[u64], time_ms: u64) -> Option<u64> {
        let points = times.iter().zip(1..).map(|(ts_ms, id)| {
            let point = Some(SyncPoint { ts_ms: *ts_ms, ..point(4) });
            Kept { id, record: PointRecord { saved_ms: 50_000, point, ..record(1, 1) } }
        });
        before(&points.collect::<Vec<_>>(), time_ms).map(|kept| kept.id)
    }

    #[test]
    fn the_newest_point_before_a_time() {
        assert_eq!(found(&[], 9_999), None);
        let times = [1_001, 2_002, 2_002, 3_003];
        for (time_ms, id) in
            [(1_000, None), (1_001, Some(1)), (2_001, Some(1)), (2_002, Some(3)), (9_999, Some(4))]
        {
            assert_eq!(found(&times, time_ms), id, "{time_ms}");
        }
    }

    #[test]
    fn a_second_ends_late_and_what_was_never_told_counts_from_the_saving() {
        assert_eq!((found(&[2_000], 2_500), found(&[2_000], 2_999)), (None, Some(1)));
        assert_eq!((found(&[0, 60_001], 49_999), found(&[0, 60_001], 50_000)), (None, Some(1)));
    }

    #[test]
    fn behind_a_later_commit_no_point_counts() {
        assert_eq!(found(&[1_001, 5_005, 2_002, 3_003], 3_500), Some(1));
        assert_eq!(found(&[1_001, 5_005, 2_002, 3_003], 5_500), Some(4));
    }
}
