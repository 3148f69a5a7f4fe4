//! What of ended epochs counts, where several nodes share a shard's point and each keeps its own packs.
//!
//! A node that takes over goes on behind the stored point. Packs that the node before it had put out behind that point are
//! delivered once more, in the new epoch; where they lie, they do not count any more. That is stored with the point, for
//! the day when that node comes back.

use crate::sync_point::sealed::hex_crc32;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How many ended epochs are remembered; a run of epochs without a pack is as good as one.
pub const REMEMBERED: usize = 1000;

/// A pack of a shard's chain, and the checksum by which the next one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPack {
    pub epoch: u64,
    pub sequence: u64,
    #[serde(with = "hex_crc32")]
    pub crc32: u32,
}

/// Where epochs ended that another node may have gone on from: `5-9:0,12:17` says that nothing of the epochs 5 to 9 counts,
/// and of epoch 12 the packs up to 17. An epoch that is not named counts as a whole: its own node went on behind its last pack.
///
/// Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver(Arc<Vec<Ended>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    first: u64,
    last: u64,
    sequence: u64,
}

/// How much of an ended epoch counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    All,
    /// Packs up to this one; 0: none.
    UpTo(u64),
    /// It ended before what is remembered.
    Unknown,
}

impl TakenOver {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What counts of an epoch that has ended.
    pub fn counts(&self, epoch: u64) -> Counts {
        let oldest = self.0.first().map_or(0, |ended| ended.first);
        match self.0.iter().find(|ended| (ended.first..=ended.last).contains(&epoch)) {
            Some(ended) => Counts::UpTo(ended.sequence),
            None if self.0.len() >= REMEMBERED && epoch < oldest => Counts::Unknown,
            None => Counts::All,
        }
    }

    /// Notes where an epoch ended. Of an epoch that is known already only less may count than before.
    #[must_use]
    pub fn with(&self, epoch: u64, sequence: u64) -> Self {
        let mut ends = Vec::clone(&self.0);
        match ends.iter_mut().find(|ended| epoch <= ended.last) {
            Some(known) if known.first == epoch => known.sequence = known.sequence.min(sequence),
            Some(_) => {}
            None => match ends.last_mut() {
                Some(run) if (run.sequence, sequence) == (0, 0) && run.last + 1 == epoch => run.last = epoch,
                _ => ends.push(Ended { first: epoch, last: epoch, sequence }),
            },
        }
        let surplus = ends.len().saturating_sub(REMEMBERED);
        ends.drain(..surplus);
        Self(Arc::new(ends))
    }
}

impl TakenOver {
    /// Notes that nothing of these epochs counts, which are later than all that are known.
    #[must_use]
    pub fn without(&self, first: u64, last: u64) -> Self {
        let known = self.0.last().map_or(0, |ended| ended.last);
        if last < first || first <= known {
            return self.clone();
        }
        let begun = self.with(first, 0);
        let mut ends = Vec::clone(&begun.0);
        if let Some(run) = ends.last_mut() {
            run.last = last;
        }
        Self(Arc::new(ends))
    }
}

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Ended { first, last, sequence }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}:{sequence}")?,
                false => write!(f, "{comma}{first}-{last}:{sequence}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for TakenOver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ends: Vec<Ended> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let wrong = || format!("{part:?}: expected EPOCH:SEQUENCE or EPOCH-EPOCH:SEQUENCE, rising");
            let (epochs, sequence) = part.split_once(':').ok_or_else(wrong)?;
            let (first, last) = epochs.split_once('-').unwrap_or((epochs, epochs));
            let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
            let ended = Ended { first: number(first)?, last: number(last)?, sequence: number(sequence)? };
            if ended.last < ended.first || ends.last().is_some_and(|before| ended.first <= before.last) {
                return Err(wrong());
            }
            ends.push(ended);
        }
        Ok(Self(Arc::new(ends)))
    }
}

impl Serialize for TakenOver {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TakenOver {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_remembered_and_epochs_without_a_pack_as_one() {
        let mut ends = TakenOver::default();
        for (epoch, sequence) in [(3, 17), (5, 0), (6, 0), (7, 0), (8, 2), (10, 0), (12, 0)] {
            ends = ends.with(epoch, sequence);
        }
        assert_eq!(ends.to_string(), "3:17,5-7:0,8:2,10:0,12:0");
        assert_eq!(ends.to_string().parse(), Ok(ends.clone()));
        let counted = [2, 3, 4, 6, 8, 9, 13].map(|epoch| ends.counts(epoch));
        use Counts::All;
        use Counts::UpTo;
        assert_eq!(counted, [All, UpTo(17), All, UpTo(0), UpTo(2), All, All]);
        // A disk that lost packs makes less of them count; nothing makes more.
        assert_eq!(ends.with(8, 1).to_string(), "3:17,5-7:0,8:1,10:0,12:0");
        assert_eq!(ends.with(8, 9), ends);
        assert_eq!(ends.with(6, 9), ends);
        assert_eq!("".parse(), Ok(TakenOver::default()));
        assert_eq!(ends.without(13, 20).to_string(), "3:17,5-7:0,8:2,10:0,12-20:0");
        assert_eq!(TakenOver::default().with(5, 9).without(6, 8).to_string(), "5:9,6-8:0");
        assert_eq!(ends.without(12, 20), ends, "what is known stands");
        assert_eq!(ends.without(13, 12), ends);
    }

    #[test]
    fn what_ended_before_all_that_is_remembered_is_unknown() {
        let mut ends = TakenOver::default();
        for index in 0..REMEMBERED as u64 - 1 {
            ends = ends.with(10 + 2 * index, 1);
        }
        assert_eq!(ends.counts(9), Counts::All, "nothing has been forgotten");
        ends = ends.with(10_000, 5).with(10_001, 6).with(10_003, 7);
        assert_eq!((ends.counts(9), ends.counts(12)), (Counts::Unknown, Counts::Unknown));
        assert_eq!((ends.counts(14), ends.counts(15)), (Counts::UpTo(1), Counts::All));
        assert_eq!(ends.counts(10_003), Counts::UpTo(7));
        assert!(ends.to_string().len() < 10_000);
    }

    #[test]
    fn what_does_not_rise_is_refused() {
        for text in ["3", "3:", ":1", "a:1", "3:1,3:2", "4:1,3:2", "5-4:0", "3-5:0,5:1", "3:1,", "3:1;4:1"] {
            assert!(text.parse::<TakenOver>().is_err(), "{text}");
        }
    }
}
