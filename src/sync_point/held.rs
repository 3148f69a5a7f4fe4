//! What a store may not take back.

use crate::sync_point::PointRecord;

/// As much of a record as must not go back.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    epoch: u64,
    sequence: u64,
    seq_reserved: u64,
    has_point: bool,
}

impl Held {
    pub fn of(record: &PointRecord) -> Self {
        Self {
            epoch: record.epoch,
            sequence: record.sequence,
            seq_reserved: record.seq_reserved,
            has_point: record.point.is_some(),
        }
    }

    /// What would go back, if this were saved over it.
    pub fn loss(self, next: Self) -> Option<String> {
        if (next.epoch, next.sequence) < (self.epoch, self.sequence) {
            return Some(format!(
                "refused to go back from epoch {} pack {} to epoch {} pack {}",
                self.epoch, self.sequence, next.epoch, next.sequence
            ));
        }
        if next.seq_reserved < self.seq_reserved {
            return Some(format!(
                "refused to give back numbers of rows, from {} to {}",
                self.seq_reserved, next.seq_reserved
            ));
        }
        (self.has_point && !next.has_point).then(|| "refused to forget a point".to_owned())
    }
}
