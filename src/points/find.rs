//! The newest kept point behind which everything committed after a time comes again.

use crate::sync_point::history::Kept;

/// What a point says of when the last transaction before it was committed.
enum Commit {
    /// At this time at the latest, in milliseconds since 1970.
    By(u64),
    /// Nothing is known to have been committed; whatever was, it was before the point was saved.
    Unknown { saved_ms: u64 },
}

fn commit(kept: &Kept) -> Option<Commit> {
    let ts_ms = kept.record.point.as_ref()?.ts_ms;
    Some(match ts_ms {
        0 => Commit::Unknown { saved_ms: kept.record.saved_ms },
        // By the second: the point's time is the beginning of it.
        whole if whole % 1000 == 0 => Commit::By(whole.saturating_add(999)),
        ts_ms => Commit::By(ts_ms),
    })
}

/// Which of the points, given the oldest first, is the newest one before that time: neither it nor one before it may lie
/// behind something that was committed later. (Commit times do not always rise in a log.)
pub fn before(points: &[Kept], time_ms: u64) -> Option<&Kept> {
    let mut found = None;
    for kept in points {
        match commit(kept) {
            Some(Commit::By(latest)) if latest > time_ms => break,
            Some(Commit::Unknown { saved_ms }) if saved_ms > time_ms => {}
            Some(_) => found = Some(kept),
            None => {}
        }
    }
    found
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
        // A start far back in the log, saved today, hides nothing behind it.
        assert_eq!(found(&[0, 1_001, 0, 2_002], 1_500), Some(2));
    }

    #[test]
    fn behind_a_later_commit_no_point_counts() {
        assert_eq!(found(&[1_001, 5_005, 2_002, 3_003], 3_500), Some(1));
        assert_eq!(found(&[1_001, 5_005, 2_002, 3_003], 5_500), Some(4));
    }
}
