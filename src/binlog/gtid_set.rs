//! Sets of GTIDs, such as `gtid_executed`: what a server has, what we have read.
//!
//! Text (`gtid_set_text`) and bytes (`gtid_set_bytes`) of a set are read and written beside this file.

use crate::binlog::gtid::Gtid;
use crate::binlog::gtid::NUMBER_END;
use crate::binlog::gtid::SourceUuid;
use crate::binlog::gtid::Tag;

/// Consecutive numbers of one source and tag, from `start` up to but without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    pub start: u64,
    pub end: u64,
}

impl Interval {
    /// `None` unless 1 <= start < end <= 2^63 - 1.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (1 <= start && start < end && end <= NUMBER_END).then_some(Self { start, end })
    }

    fn contains(&self, other: &Interval) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// The numbers of one source and tag: sorted intervals that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub source: SourceUuid,
    pub tag: Option<Tag>,
    pub intervals: Vec<Interval>,
}

impl Group {
    fn key(&self) -> (&SourceUuid, Option<&Tag>) {
        (&self.source, self.tag.as_ref())
    }

    /// Adds an interval. Costs nothing when it continues the last one, as it nearly always does.
    fn add(&mut self, added: Interval) {
        match self.intervals.last_mut() {
            Some(last) if last.end == added.start => last.end = added.end,
            Some(last) if last.end > added.start => self.merge(added),
            _ => self.intervals.push(added),
        }
    }

    /// Adds an interval anywhere, melting it with all it overlaps or touches.
    fn merge(&mut self, added: Interval) {
        let from = self.intervals.partition_point(|interval| interval.end < added.start);
        let to = self.intervals.partition_point(|interval| interval.start <= added.end);
        let melted = self.intervals.get(from..to).unwrap_or_default();
        let start = melted.first().map_or(added.start, |first| first.start.min(added.start));
        let end = melted.last().map_or(added.end, |last| last.end.max(added.end));
        self.intervals.splice(from..to, [Interval { start, end }]);
    }

    /// Adds many intervals, sorted as a group's are, in one walk over both.
    fn merge_all(&mut self, added: &[Interval]) {
        let (mut ours, mut theirs) =
            (std::mem::take(&mut self.intervals).into_iter().peekable(), added.iter());
        let mut next = theirs.next();
        self.intervals.reserve(ours.len().max(added.len()));
        loop {
            let first = match (ours.peek(), next) {
                (Some(our), Some(their)) if our.start <= their.start => ours.next(),
                (_, Some(their)) => {
                    next = theirs.next();
                    Some(*their)
                }
                (_, None) => ours.next(),
            };
            let Some(first) = first else { return };
            match self.intervals.last_mut() {
                Some(last) if last.end >= first.start => last.end = last.end.max(first.end),
                _ => self.intervals.push(first),
            }
        }
    }

    /// Takes out many intervals, sorted as a group's are, in one walk over both.
    fn remove_all(&mut self, mut removed: &[Interval]) {
        let mut rest = Vec::with_capacity(self.intervals.len());
        for interval in &self.intervals {
            removed = ending_behind(removed, interval.start);
            let mut start = interval.start;
            for hole in removed.iter().take_while(|hole| hole.start < interval.end) {
                rest.extend(Interval::new(start, hole.start));
                start = hole.end;
            }
            rest.extend(Interval::new(start, interval.end));
        }
        self.intervals = rest;
    }

    fn remove(&mut self, removed: Interval) {
        let from = self.intervals.partition_point(|interval| interval.end <= removed.start);
        let to = self.intervals.partition_point(|interval| interval.start < removed.end);
        let hit = self.intervals.get(from..to).unwrap_or_default();
        let before = hit.first().and_then(|first| Interval::new(first.start, removed.start));
        let after = hit.last().and_then(|last| Interval::new(removed.end, last.end));
        self.intervals.splice(from..to, before.into_iter().chain(after));
    }

    fn contains_all(&self, wanted: &[Interval]) -> bool {
        let mut rest = self.intervals.as_slice();
        wanted.iter().all(|wanted| {
            rest = ending_behind(rest, wanted.start);
            rest.first().is_some_and(|interval| interval.contains(wanted))
        })
    }

    fn contains(&self, wanted: &Interval) -> bool {
        let index = self.intervals.partition_point(|interval| interval.end <= wanted.start);
        self.intervals.get(index).is_some_and(|interval| interval.contains(wanted))
    }

    fn intersects(&self, wanted: &Interval) -> bool {
        let index = self.intervals.partition_point(|interval| interval.end <= wanted.start);
        self.intervals.get(index).is_some_and(|interval| interval.start < wanted.end)
    }
}

/// The intervals that end behind a number. Whoever walks over two sorted lists side by side asks for one of the first
/// two nearly always; sets of some servers have a hundred thousand holes.
fn ending_behind(intervals: &[Interval], number: u64) -> &[Interval] {
    let ends_before = |interval: &Interval| interval.end <= number;
    let skipped = match intervals {
        [first, ..] if !ends_before(first) => 0,
        [_, second, ..] if !ends_before(second) => 1,
        _ => intervals.partition_point(ends_before),
    };
    intervals.get(skipped..).unwrap_or_default()
}

/// A set of GTIDs, with holes, of any number of sources and tags.
///
/// Prints and sorts as the server does: by the UUID's bytes, then untagged before tagged by the tag's
/// letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    /// Sorted by source and tag; none is empty. So equal sets are equal memory.
    pub(super) groups: Vec<Group>,
}

impl GtidSet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many transactions are in it.
    pub fn count(&self) -> u64 {
        self.iter().fold(0, |sum, (_, _, interval)| sum.saturating_add(interval.end - interval.start))
    }

    /// Whether any GTID has a tag. Such a set cannot be told to servers before MySQL 8.3.
    pub fn has_tags(&self) -> bool {
        self.groups.iter().any(|group| group.tag.is_some())
    }

    /// All intervals in the set's order.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceUuid, Option<&Tag>, Interval)> {
        self.groups.iter().flat_map(|group| {
            group.intervals.iter().map(|interval| (&group.source, group.tag.as_ref(), *interval))
        })
    }

    pub fn add(&mut self, gtid: &Gtid) {
        if let Some(interval) = Interval::new(gtid.number, gtid.number.saturating_add(1)) {
            self.add_interval(&gtid.source, gtid.tag.as_ref(), interval);
        }
    }

    pub fn add_interval(&mut self, source: &SourceUuid, tag: Option<&Tag>, interval: Interval) {
        match self.find(source, tag) {
            Ok(index) => {
                if let Some(group) = self.groups.get_mut(index) {
                    group.add(interval);
                }
            }
            Err(index) => {
                let group = Group { source: *source, tag: tag.copied(), intervals: vec![interval] };
                self.groups.insert(index, group);
            }
        }
    }

    pub fn remove(&mut self, gtid: &Gtid) {
        if let Some(interval) = Interval::new(gtid.number, gtid.number.saturating_add(1)) {
            self.remove_interval(&gtid.source, gtid.tag.as_ref(), interval);
        }
    }

    pub fn remove_interval(&mut self, source: &SourceUuid, tag: Option<&Tag>, interval: Interval) {
        let Ok(index) = self.find(source, tag) else { return };
        if let Some(group) = self.groups.get_mut(index) {
            group.remove(interval);
            if group.intervals.is_empty() {
                self.groups.remove(index);
            }
        }
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        let Some(interval) = Interval::new(gtid.number, gtid.number.saturating_add(1)) else { return false };
        self.group(&gtid.source, gtid.tag.as_ref()).is_some_and(|group| group.contains(&interval))
    }

    /// Whether every GTID of `other` is in this set.
    pub fn contains_set(&self, other: &GtidSet) -> bool {
        other.groups.iter().all(|theirs| {
            let ours = self.group(&theirs.source, theirs.tag.as_ref());
            ours.is_some_and(|ours| ours.contains_all(&theirs.intervals))
        })
    }

    /// Whether any GTID of `other` is in this set.
    pub fn intersects(&self, other: &GtidSet) -> bool {
        other.iter().any(|(source, tag, interval)| {
            self.group(source, tag).is_some_and(|group| group.intersects(&interval))
        })
    }

    /// Adds all of `other`.
    pub fn add_set(&mut self, other: &GtidSet) {
        for theirs in &other.groups {
            match self.find(&theirs.source, theirs.tag.as_ref()) {
                Ok(index) => {
                    if let Some(ours) = self.groups.get_mut(index) {
                        ours.merge_all(&theirs.intervals);
                    }
                }
                Err(index) => self.groups.insert(index, theirs.clone()),
            }
        }
    }

    /// What is in this set, in `other`, or in both.
    pub fn union(&self, other: &GtidSet) -> GtidSet {
        let mut union = self.clone();
        union.add_set(other);
        union
    }

    /// What is in this set and not in `other`.
    pub fn subtract(&self, other: &GtidSet) -> GtidSet {
        let mut rest = self.clone();
        for ours in &mut rest.groups {
            if let Some(theirs) = other.group(&ours.source, ours.tag.as_ref()) {
                ours.remove_all(&theirs.intervals);
            }
        }
        rest.groups.retain(|group| !group.intervals.is_empty());
        rest
    }

    /// What is in both.
    pub fn intersection(&self, other: &GtidSet) -> GtidSet {
        self.subtract(&self.subtract(other))
    }

    fn find(&self, source: &SourceUuid, tag: Option<&Tag>) -> Result<usize, usize> {
        self.groups.binary_search_by(|group| group.key().cmp(&(source, tag)))
    }

    fn group(&self, source: &SourceUuid, tag: Option<&Tag>) -> Option<&Group> {
        self.find(source, tag).ok().and_then(|index| self.groups.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing::Random;
    use std::collections::BTreeSet;

    /// The model: every GTID by itself.
    type Model = BTreeSet<Gtid>;

    fn gtid(random: &mut Random) -> Gtid {
        let tags = [None, Tag::new(b"a"), Tag::new(b"b_1")];
        let source = [random.below(2) as u8; 16];
        Gtid { source, tag: tags[random.below(3) as usize], number: 1 + random.below(40) }
    }

    fn pair(random: &mut Random) -> (GtidSet, Model) {
        let (mut set, mut model) = (GtidSet::new(), Model::new());
        for _ in 0..random.below(120) {
            let gtid = gtid(random);
            if random.below(4) == 0 {
                set.remove(&gtid);
                model.remove(&gtid);
            } else {
                set.add(&gtid);
                model.insert(gtid);
            }
        }
        (set, model)
    }

    fn members(set: &GtidSet) -> Model {
        let all = |(source, tag, interval): (&SourceUuid, Option<&Tag>, Interval)| {
            let (source, tag) = (*source, tag.copied());
            (interval.start..interval.end).map(move |number| Gtid { source, tag, number })
        };
        set.iter().flat_map(all).collect()
    }

    /// Sorted, melted, and without empty groups.
    fn assert_canonical(set: &GtidSet) {
        assert!(set.groups.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        for group in &set.groups {
            assert!(!group.intervals.is_empty());
            assert!(group.intervals.iter().all(|i| 1 <= i.start && i.start < i.end));
            assert!(group.intervals.windows(2).all(|pair| pair[0].end < pair[1].start), "{group:?}");
        }
    }

    #[test]
    fn the_algebra_agrees_with_plain_sets() {
        let mut random = Random::new(42);
        for _ in 0..600 {
            let ((a, model_a), (b, model_b)) = (pair(&mut random), pair(&mut random));
            for (set, model) in [(&a, &model_a), (&b, &model_b)] {
                assert_canonical(set);
                assert_eq!(members(set), *model);
                assert_eq!(set.count(), model.len() as u64);
            }
            let results = [
                (a.union(&b), &model_a | &model_b),
                (a.subtract(&b), &model_a - &model_b),
                (a.intersection(&b), &model_a & &model_b),
            ];
            for (set, model) in &results {
                assert_canonical(set);
                assert_eq!(members(set), *model);
            }
            assert_eq!(a.contains_set(&b), model_a.is_superset(&model_b));
            assert_eq!(a.intersects(&b), !model_a.is_disjoint(&model_b));
            assert_eq!(a == b, model_a == model_b);
            let probe = gtid(&mut random);
            assert_eq!(a.contains(&probe), model_a.contains(&probe));
        }
    }

    #[test]
    fn text_and_bytes_of_any_set_read_back() {
        let mut random = Random::new(7);
        for _ in 0..300 {
            let (set, _) = pair(&mut random);
            assert_eq!(set.to_string().parse::<GtidSet>().unwrap(), set);
            assert_eq!(GtidSet::decode(&set.encode()).unwrap(), set);
        }
    }

    #[test]
    fn intervals_of_any_kind_melt() {
        let mut random = Random::new(3);
        for _ in 0..400 {
            let (mut set, mut model) = (GtidSet::new(), Model::new());
            for _ in 0..random.below(12) {
                let start = 1 + random.below(60);
                let interval = Interval::new(start, start + 1 + random.below(15)).unwrap();
                let numbers =
                    (interval.start..interval.end).map(|number| Gtid { source: [1; 16], tag: None, number });
                if random.below(3) == 0 {
                    set.remove_interval(&[1; 16], None, interval);
                    numbers.for_each(|gtid| _ = model.remove(&gtid));
                } else {
                    set.add_interval(&[1; 16], None, interval);
                    model.extend(numbers);
                }
            }
            assert_canonical(&set);
            assert_eq!(members(&set), model);
        }
    }

    #[test]
    fn numbers_that_cannot_be_change_nothing() {
        let mut set = GtidSet::new();
        for number in [0, NUMBER_END, u64::MAX] {
            let gtid = Gtid { source: [0; 16], tag: None, number };
            set.add(&gtid);
            assert!(!set.contains(&gtid));
        }
        assert!(set.is_empty());
        set.add(&Gtid { source: [0; 16], tag: None, number: NUMBER_END - 1 });
        assert_eq!(set.count(), 1);
    }
}
