//! How nodes share the shards under `ha_scope=shard`, from what each of them sees. No clock, no network.
//!
//! A node announces itself and which shards it takes, and takes shards that nobody leads as long as it has fewer than its
//! share: all shards divided by the nodes, rounded up, as far as `ha_max_shards` and what each node takes let it. What nobody
//! takes for a few polls, any node with room takes: a shard is never left alone because of shares.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

/// For so many polls a shard without a leader is left to those that have less than their share.
pub const GRACE_POLLS: u32 = 6;

/// For so many polls a shard without a leader is left to others by the node that has handed it over.
pub const PUT_OFF_POLLS: u32 = 2 * GRACE_POLLS;

/// A living node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub guid: String,
    /// `ha_max_shards`.
    pub most: usize,
    /// The shards that it would lead; none: it does not say, and takes all.
    pub takes: Option<BTreeSet<String>>,
}

impl Member {
    fn takes(&self, shard: &str) -> bool {
        self.takes.as_ref().is_none_or(|takes| takes.contains(shard))
    }
}

/// A shard, as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedShard {
    pub name: String,
    /// The guid of the node that leads it, or is about to.
    pub leader: Option<String>,
    /// For so many polls nobody has led it.
    pub vacant_polls: u32,
    /// A thread of this node waits to lead it, and it is not left to others.
    pub wanted: bool,
    /// It is at work here and may be handed over to spread the load.
    pub movable: bool,
}

/// All that is seen at a moment.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// Our guid.
    pub me: String,
    pub members: Vec<Member>,
    pub shards: Vec<SharedShard>,
}

impl Outlook {
    /// The shards to contend for now, by their index.
    pub fn to_take(&self) -> Vec<usize> {
        let Some(me) = self.member(&self.me) else { return Vec::new() };
        let mut vacant: Vec<(usize, &SharedShard)> = self.shards.iter().enumerate().collect();
        vacant.retain(|(_, shard)| shard.leader.is_none() && shard.wanted);
        // Nodes that look at the same moment rarely choose the same one.
        vacant.sort_by_key(|(_, shard)| preference(&self.me, &shard.name));
        let load = self.load(&self.me);
        let (below, room) = (self.share(me).saturating_sub(load), me.most.saturating_sub(load));
        let left_alone = |(_, shard): &&(usize, &SharedShard)| shard.vacant_polls >= GRACE_POLLS;
        let taken = vacant.iter().take(below).chain(vacant.iter().skip(below).filter(left_alone));
        taken.map(|(at, _)| *at).take(room).collect()
    }

    /// The shard to hand over to a node that leads fewer: only by the node that leads most, and where it makes a
    /// difference.
    pub fn to_hand_over(&self) -> Option<usize> {
        let mine = self.load(&self.me);
        let fuller = |other: &Member| {
            let load = self.load(&other.guid);
            load > mine || (load == mine && other.guid < self.me)
        };
        if self.members.iter().any(fuller) {
            return None;
        }
        let emptier = |other: &&Member| {
            let load = self.load(&other.guid);
            load + 1 < mine && load < self.share(other)
        };
        let emptier: Vec<&Member> = self.members.iter().filter(emptier).collect();
        let goes = |shard: &SharedShard| {
            let led = shard.movable && shard.leader.as_deref() == Some(&self.me);
            led && emptier.iter().any(|other| other.takes(&shard.name))
        };
        let mine = self.shards.iter().enumerate().filter(|(_, shard)| goes(shard));
        mine.max_by_key(|(_, shard)| preference(&self.me, &shard.name)).map(|(at, _)| at)
    }

    /// Another node has room for that shard.
    pub fn others_take(&self, shard: &str) -> bool {
        self.others().any(|other| other.takes(shard) && self.room(other) > 0)
    }

    /// How many more shards the others can lead, beside those that wait for them already.
    pub fn room_of_others(&self) -> usize {
        let room = self.others().fold(0_usize, |room, other| room.saturating_add(self.room(other)));
        let waits = |shard: &&SharedShard| shard.leader.is_none() && self.others_take(&shard.name);
        room.saturating_sub(self.shards.iter().filter(waits).count())
    }

    fn others(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|other| other.guid != self.me)
    }

    /// How many of the shards a node leads.
    pub fn load(&self, guid: &str) -> usize {
        self.shards.iter().filter(|shard| shard.leader.as_deref() == Some(guid)).count()
    }

    /// How many of the shards fall to this node.
    pub fn own_share(&self) -> usize {
        self.member(&self.me).map_or(0, |me| self.share(me))
    }

    /// How many fall to a node when those that may not have an equal part leave it to the rest.
    fn share(&self, member: &Member) -> usize {
        let all = self.shards.len();
        let most: Vec<usize> = self.members.iter().map(|other| self.most(other)).collect();
        let held = |level: usize| most.iter().map(|most| level.min(*most)).sum::<usize>();
        let level = (1..=all).find(|level| held(*level) >= all).unwrap_or(all);
        level.min(self.most(member))
    }

    /// How many a node leads when it gets all that it may and would.
    fn most(&self, member: &Member) -> usize {
        self.load(&member.guid) + self.room(member)
    }

    /// How many more a node may and would lead.
    fn room(&self, member: &Member) -> usize {
        let others_lead = |shard: &&SharedShard| shard.leader.as_deref() != Some(&member.guid);
        let would = self.shards.iter().filter(others_lead).filter(|shard| member.takes(&shard.name)).count();
        would.min(member.most.saturating_sub(self.load(&member.guid)))
    }

    fn member(&self, guid: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.guid == guid)
    }
}

/// The order in which a node looks at shards: another one for each node.
fn preference(guid: &str, shard: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (guid, shard).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(me: &str, members: &[(&str, usize)], leaders: &[Option<&str>]) -> Outlook {
        let shard = |(at, leader): (usize, &Option<&str>)| SharedShard {
            name: format!("shard{at}"),
            leader: leader.map(str::to_owned),
            vacant_polls: 0,
            wanted: true,
            movable: true,
        };
        Outlook {
            me: me.to_owned(),
            members: members
                .iter()
                .map(|(guid, most)| Member { guid: (*guid).to_owned(), most: *most, takes: None })
                .collect(),
            shards: leaders.iter().enumerate().map(shard).collect(),
        }
    }

    const MANY: usize = 1000;
    const NONE: [usize; 0] = [];

    #[test]
    fn a_node_alone_takes_all_and_three_take_their_parts() {
        assert_eq!(outlook("a", &[("a", MANY)], &[None; 8]).to_take().len(), 8);
        let three = [("a", MANY), ("b", MANY), ("c", MANY)];
        assert_eq!(outlook("a", &three, &[None; 8]).to_take().len(), 3);
        assert_eq!(outlook("d", &three, &[None; 8]).to_take(), NONE, "it is not announced yet");
        let led = [Some("a"), Some("a"), Some("a"), None, None, Some("b")];
        assert_eq!(outlook("a", &three, &led).to_take(), NONE, "it has more than its share");
        let mut taken = outlook("c", &three, &led).to_take();
        taken.sort_unstable();
        assert_eq!(taken, [3, 4]);
    }

    #[test]
    fn who_may_not_lead_more_leaves_the_rest_to_the_others() {
        let members = [("a", 1), ("b", MANY), ("c", 2)];
        assert_eq!(outlook("a", &members, &[None; 8]).to_take().len(), 1);
        assert_eq!(outlook("b", &members, &[None; 8]).to_take().len(), 5);
        let capped = [("a", 1), ("b", 2)];
        assert_eq!(outlook("b", &capped, &[None; 8]).to_take().len(), 2);
        let full = [Some("a"), Some("b"), Some("b"), None];
        assert!(!outlook("a", &capped, &full).others_take("shard0"));
        assert!(outlook("a", &members, &full).others_take("shard0"));
    }

    #[test]
    fn the_others_have_room_for_what_they_may_and_would_lead() {
        let led = [Some("a"), Some("a"), Some("a"), Some("b"), None];
        assert_eq!(outlook("a", &[("a", MANY)], &led).room_of_others(), 0);
        let mut seen = outlook("a", &[("a", MANY), ("b", 3), ("c", MANY)], &led);
        assert_eq!(seen.room_of_others(), 2 + 5 - 1, "one waits for them already");
        seen.members[2].takes = Some(BTreeSet::from(["shard0".to_owned()]));
        assert_eq!(seen.room_of_others(), 2 + 1 - 1);
        seen.members[1].takes = Some(BTreeSet::new());
        assert_eq!((seen.others_take("shard0"), seen.others_take("shard1")), (true, false));
        assert_eq!(seen.room_of_others(), 1, "nobody else takes what waits");
    }

    #[test]
    fn who_takes_nothing_leaves_its_share_to_the_rest_and_is_given_nothing() {
        let mut seen = outlook("a", &[("a", MANY), ("b", MANY)], &[Some("a"), Some("a"), None, None]);
        seen.members[1].takes = Some(BTreeSet::new());
        assert_eq!(seen.to_take().len(), 2, "without waiting");
        let mut seen = outlook("a", &[("a", MANY), ("b", MANY)], &[Some("a"); 4]);
        seen.members[1].takes = Some(BTreeSet::from(["shard2".to_owned()]));
        assert_eq!(seen.to_hand_over(), Some(2));
        seen.members[1].takes = Some(BTreeSet::new());
        assert_eq!(seen.to_hand_over(), None);
    }

    #[test]
    fn a_shard_that_nobody_takes_is_taken_by_anybody_with_room() {
        let two = [("a", MANY), ("b", MANY)];
        let mut seen = outlook("a", &two, &[Some("a"), Some("a"), None, None]);
        assert_eq!(seen.to_take(), NONE);
        seen.shards[2].vacant_polls = GRACE_POLLS;
        assert_eq!(seen.to_take(), [2]);
        seen.shards[3].vacant_polls = GRACE_POLLS;
        assert_eq!(seen.to_take().len(), 2, "all at once");
        seen.members[0].most = 3;
        assert_eq!(seen.to_take().len(), 1, "as far as it may");
        seen.shards[2].wanted = false;
        seen.shards[3].wanted = false;
        assert_eq!(seen.to_take(), NONE);
        let mut capped = outlook("a", &[("a", 2), ("b", MANY)], &[Some("a"), Some("a"), None, None]);
        capped.shards[2].vacant_polls = GRACE_POLLS;
        assert_eq!(capped.to_take(), NONE, "ha_max_shards holds all the same");
    }

    #[test]
    fn the_fullest_node_hands_over_until_loads_differ_by_one() {
        let two = [("a", MANY), ("b", MANY)];
        let all = [Some("a"); 8];
        assert!(outlook("a", &two, &all).to_hand_over().is_some());
        assert_eq!(outlook("b", &two, &all).to_hand_over(), None);
        let even = [Some("a"), Some("a"), Some("b"), None];
        assert_eq!(outlook("a", &two, &even).to_hand_over(), None);
        let three = [("a", MANY), ("b", MANY), ("c", MANY)];
        let both_full = [Some("a"), Some("a"), Some("a"), Some("b"), Some("b"), Some("b"), None];
        let hands_over = |me| outlook(me, &three, &both_full).to_hand_over().is_some();
        assert_eq!(["a", "b", "c"].map(hands_over), [true, false, false], "one at a time");
        let capped = [("a", MANY), ("b", 1)];
        let led = [Some("a"), Some("a"), Some("a"), Some("b")];
        assert_eq!(outlook("a", &capped, &led).to_hand_over(), None, "the other one is full");
        let mut kept = outlook("a", &two, &all);
        kept.shards.iter_mut().for_each(|shard| shard.movable = false);
        assert_eq!(kept.to_hand_over(), None);
    }

    /// Nodes that look one after the other, some dying, always end with each shard led once and nobody above its share.
    #[test]
    fn whatever_comes_and_goes_all_shards_are_led_evenly() {
        let mut leaders: Vec<Option<String>> = vec![None; 8];
        for alive in [&["a"][..], &["a", "b", "c"], &["b", "c"], &["b", "c", "d", "e"], &["e"], &["e", "f"]] {
            for leader in &mut leaders {
                leader.take_if(|leader| !alive.contains(&leader.as_str()));
            }
            let members: Vec<(&str, usize)> = alive.iter().map(|guid| (*guid, MANY)).collect();
            for round in 0..20 {
                for me in alive {
                    let now: Vec<Option<&str>> = leaders.iter().map(Option::as_deref).collect();
                    let mut seen = outlook(me, &members, &now);
                    seen.shards.iter_mut().for_each(|shard| shard.vacant_polls = round);
                    for at in seen.to_take() {
                        leaders[at] = Some((*me).to_owned());
                    }
                    if let Some(at) = seen.to_hand_over() {
                        leaders[at] = None;
                    }
                }
            }
            let now: Vec<Option<&str>> = leaders.iter().map(Option::as_deref).collect();
            let seen = outlook("a", &members, &now);
            let loads: Vec<usize> = alive.iter().map(|guid| seen.load(guid)).collect();
            assert_eq!(loads.iter().sum::<usize>(), 8, "{alive:?} {leaders:?}");
            assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{alive:?} {loads:?}");
        }
    }
}
