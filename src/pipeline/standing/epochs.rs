//! How a new epoch goes on behind the ones before it, also those of other nodes: which pack it follows, and what counts of
//! the epochs that have ended.
//!
//! | this node's sink holds | and the shared store | then |
//! |---|---|---|
//! | pack `e`/`s` | tells of epoch `e`, up to `s` or less | nobody has led since: the sink's pack decides |
//! | pack `e`/`s` | tells of a later epoch | that one was begun behind a stored point: the store decides, and of `e` counts what it says |
//! | pack `e`/`s` | tells of an earlier epoch, or of nothing | it is not the store that this node knew: a person decides |

use crate::code::Code;
use crate::pack::header::Follows;
use crate::pack::header::PackHeader;
use crate::pack::header::PackName;
use crate::pipeline::fault::Fault;
use crate::pipeline::standing::Standing;
use crate::sync_point::PointRecord;
use crate::sync_point::epochs::Counts;
use crate::sync_point::epochs::LastPack;
use crate::sync_point::epochs::TakenOver;

impl Standing {
    /// Whether the stored epoch was led by this node: its sink holds packs of it.
    pub fn is_ours(&self) -> bool {
        match (&self.record, &self.pack) {
            (Some(record), Some(pack)) => record.epoch == pack.epoch,
            _ => false,
        }
    }

    fn is_at(&self, record: &PointRecord, pack: &PackHeader) -> bool {
        (record.epoch, record.sequence) == (pack.epoch, pack.sequence)
    }

    /// The pack that the next epoch follows, as far as that is known.
    pub fn last_pack(&self) -> Option<LastPack> {
        let of =
            |pack: &PackHeader| LastPack { epoch: pack.epoch, sequence: pack.sequence, crc32: pack.crc32 };
        match (&self.record, &self.pack) {
            (_, Some(pack)) if self.pack_is_newer(pack) => Some(of(pack)),
            (Some(record), Some(pack)) if self.is_at(record, pack) => Some(of(pack)),
            (Some(record), pack) => {
                // A record of an earlier version: of an epoch without packs that this sink's last one came before.
                let own = pack.as_ref().filter(|_| !self.shared && record.sequence == 0);
                record.last_pack.or_else(|| own.map(of))
            }
            // Nothing has ever been: what an epoch that was never saved of has put out does not count.
            (None, None) if self.former.is_none() => Some(LastPack { epoch: 0, sequence: 0, crc32: 0 }),
            (None, _) => None,
        }
    }

    pub fn previous_crc32(&self) -> u32 {
        let own = || self.pack.as_ref().map(|pack| pack.crc32);
        self.last_pack().map(|last| last.crc32).or_else(own).unwrap_or(0)
    }

    /// What the first pack of the next epoch says about those before it.
    pub fn follows(&self) -> Option<Follows> {
        self.record.as_ref()?;
        let LastPack { epoch, sequence, .. } = self.last_pack()?;
        let pack = PackName { epoch, sequence };
        let none = PackName { epoch: 0, sequence: 0 };
        let held = self.pack.as_ref().map_or(none, PackHeader::name);
        Some(Follows { pack, here: (self.shared && held != pack).then_some(held) })
    }

    /// What counts of ended epochs once the next one has begun. An epoch whose last pack this sink holds, and goes on behind,
    /// counts as a whole.
    pub fn taken_over(&self) -> TakenOver {
        // A store that was emptied: as much as this node remembers.
        let remembered = || self.former.as_ref().map(|former| former.taken_over.clone()).unwrap_or_default();
        let Some(record) = &self.record else { return remembered() };
        let before = &record.taken_over;
        match &self.pack {
            _ if !self.shared => before.clone(),
            Some(pack) if pack.epoch > record.epoch || self.is_at(record, pack) => before.clone(),
            Some(pack) if self.pack_is_newer(pack) && pack.epoch < record.epoch => {
                before.with(pack.epoch, pack.sequence).with(record.epoch, 0)
            }
            Some(pack) if self.pack_is_newer(pack) && pack.sequence > record.sequence => before.clone(),
            Some(pack) if self.pack_is_newer(pack) => before.with(pack.epoch, pack.sequence),
            _ => before.with(record.epoch, record.sequence),
        }
    }

    /// Insists that a shared store is not older than what this node's sink holds.
    pub fn check_shared(&self, shard: &str) -> Result<(), Fault> {
        let Some(pack) = self.pack.as_ref().filter(|_| self.shared) else { return Ok(()) };
        let stored = match &self.record {
            Some(record) if record.epoch >= pack.epoch => return Ok(()),
            Some(record) => format!("stands in epoch {}", record.epoch),
            None => "is not there".to_owned(),
        };
        let text = format!(
            "shard={shard} the point that the nodes share {stored}, and the sink of this node holds pack {}: the store was emptied or \
             restored from an old copy, and what other nodes have delivered since cannot be told; nothing was moved. Restore the \
             newer point, or move it to where delivery stood on all nodes (fountain points set)",
            pack.name()
        );
        Err(Fault::stop(Code::PointLost, text))
    }

    /// A sink that keeps packs should hold those of its former epochs that count, and not more.
    pub fn tell_of_ended_epochs(&self, shard: &str) {
        let (Some(record), Some(pack)) = (&self.record, &self.pack) else { return };
        if !self.shared || self.pack_is_newer(pack) || pack.epoch >= record.epoch {
            return;
        }
        let name = |sequence| PackName { epoch: pack.epoch, sequence };
        match record.taken_over.counts(pack.epoch) {
            Counts::UpTo(last) if last < pack.sequence => log::warn!(
                "shard={shard} the sink holds packs {} to {}, whose rows a later epoch has delivered again on another node: they do \
                 not count, as \"follows\" in a header of that epoch tells",
                name(last + 1),
                pack.name()
            ),
            Counts::UpTo(last) if last > pack.sequence => log::error!(
                "{} shard={shard} the sink has lost packs {} to {}, behind which another node has gone on: their rows are nowhere \
                 else; restore them, or copy their tables anew",
                Code::SinkBroken,
                name(pack.sequence + 1),
                name(last)
            ),
            Counts::UpTo(_) | Counts::All | Counts::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::standing::tests::pack;
    use crate::sync_point::record::tests::record;

    const SHARD: &str = "producer00";

    fn last(epoch: u64, sequence: u64) -> Option<LastPack> {
        Some(LastPack { epoch, sequence, crc32: 77 })
    }

    fn standing(stored: (u64, u64), held: Option<(u64, u64)>) -> Standing {
        let last_pack = if stored.1 > 0 { last(stored.0, stored.1) } else { last(2, 9) };
        let stored = PointRecord { last_pack, ..record(stored.0, stored.1) };
        let pack = held.map(|(epoch, sequence)| pack(epoch, sequence));
        Standing { record: Some(stored), pack, shared: true, keeps_packs: true, ..Standing::default() }
    }

    /// The pack that is followed, the one here if it is another, and what counts of the past.
    fn goes_on(standing: &Standing) -> (String, Option<String>, String) {
        let follows = standing.follows().unwrap();
        let here = follows.here.map(|here| here.to_string());
        (follows.pack.to_string(), here, standing.taken_over().to_string())
    }

    fn told(follows: &str, here: Option<&str>, taken_over: &str) -> (String, Option<String>, String) {
        (follows.into(), here.map(str::to_owned), taken_over.into())
    }

    #[test]
    fn the_node_that_led_goes_on_behind_its_own_pack_and_any_other_behind_the_stored_one() {
        let own = standing((3, 17), Some((3, 20)));
        assert_eq!(goes_on(&own), told("3/20", None, ""));
        assert_eq!((own.next_seq(), own.previous_crc32()), (5000, 0));
        let exact = standing((3, 17), Some((3, 17)));
        assert_eq!(goes_on(&exact), told("3/17", None, ""));
        let other = standing((3, 17), Some((2, 9)));
        assert_eq!(goes_on(&other), told("3/17", Some("2/9"), "3:17"));
        assert_eq!((other.next_seq(), other.previous_crc32()), (100_001, 77));
        assert_eq!(goes_on(&standing((3, 17), None)), told("3/17", Some("0/0"), "3:17"));
        // Nothing is known of what the third epoch has delivered: nothing of it counts.
        assert_eq!(goes_on(&standing((3, 0), Some((2, 9)))), told("2/9", None, "3:0"));
        assert_eq!(goes_on(&standing((3, 0), Some((1, 4)))), told("2/9", Some("1/4"), "3:0"));
        assert_eq!(goes_on(&standing((3, 0), Some((3, 2)))), told("3/2", None, ""));
        for standing in [own, other] {
            assert_eq!(standing.check_shared(SHARD), Ok(()));
        }
    }

    #[test]
    fn a_first_epoch_of_which_nothing_was_saved_does_not_count() {
        let begin = Standing { shared: true, keeps_packs: true, ..Standing::default() };
        assert_eq!(begin.follows(), None);
        let first = PointRecord { last_pack: begin.last_pack(), ..record(1, 0) };
        assert!(
            first.to_line().unwrap().contains(r#""last_pack":{"epoch":0,"sequence":0,"crc32":"00000000"}"#)
        );
        let second = Standing { record: Some(first), ..begin };
        assert_eq!(goes_on(&second), told("0/0", None, "1:0"));
        // An earlier version's record tells nothing.
        let unknown = Standing { record: Some(record(1, 0)), ..second };
        assert_eq!(unknown.follows(), None);
        let former = PointRecord { taken_over: TakenOver::default().with(3, 4), ..record(5, 2) };
        let emptied = Standing { record: None, former: Some(former), ..unknown };
        assert_eq!((emptied.last_pack(), emptied.taken_over().to_string()), (None, "3:4".to_owned()));
    }

    #[test]
    fn a_store_that_is_older_than_the_sink_is_a_clear_stop() {
        let older = standing((3, 17), Some((4, 1)));
        let gone = Standing { record: None, ..standing((3, 17), Some((3, 1))) };
        for (standing, word) in [(older, "stands in epoch 3"), (gone, "is not there")] {
            let fault = standing.resume(SHARD).unwrap_err();
            assert!(fault.code == Code::PointLost && fault.text.contains(word), "{fault}");
            let alone = Standing { shared: false, ..standing };
            assert!(alone.resume(SHARD).is_ok(), "a store of this node alone is no judge of its sink");
        }
    }

    #[test]
    fn packs_that_a_disk_lost_are_delivered_again_only_where_nobody_has_gone_on_behind_them() {
        let lost = |stored, held| Standing { packs_cut_off: 2, ..standing(stored, Some(held)) };
        assert_eq!(goes_on(&lost((3, 17), (3, 15))), told("3/15", None, "3:15"));
        assert_eq!(goes_on(&lost((3, 0), (2, 7))), told("2/7", None, "2:7,3:0"));
        let since = lost((3, 1), (2, 7));
        assert_eq!(goes_on(&since), told("3/1", Some("2/7"), "3:1"));
        let anothers = lost((3, 0), (1, 7));
        assert_eq!(goes_on(&anothers), told("2/9", Some("1/7"), "3:0"));
    }

    #[test]
    fn numbers_never_begin_where_a_sink_of_another_node_may_have_lines() {
        let first = Some(PointRecord { next_seq: 1, ..record(1, 0) });
        let begun = Standing { record: first, keeps_packs: true, ..Standing::default() };
        assert_eq!(begun.next_seq(), 1);
        assert_eq!(Standing { shared: true, ..begun }.next_seq(), 100_001);
        // That another pack ends at the same number says nothing.
        let mut other = standing((4, 0), Some((3, 17)));
        other.record.as_mut().unwrap().next_seq = 5000;
        assert_eq!(other.next_seq(), 100_001);
    }

    #[test]
    fn packs_of_other_nodes_are_not_missed_here() {
        assert!(standing((3, 17), Some((2, 9))).behind_missing_packs().is_none());
        assert!(standing((3, 17), None).behind_missing_packs().is_none());
        let mut own = standing((3, 17), Some((3, 15)));
        own.record.as_mut().unwrap().next_seq = 5300;
        assert!(own.behind_missing_packs().is_some());
    }
}
