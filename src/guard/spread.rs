//! How nodes share the shards under `ha_scope=shard`, from what each of them sees. No clock, no network.
//!
//! A node announces itself, and takes shards that nobody leads as long as it has fewer than its share: all shards divided
//! by the nodes, rounded up, as far as `ha_max_shards` of each node lets it. What nobody takes for a few polls, any node with
//! room takes: a shard is never left alone because of shares.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

/// For so many polls a shard without a leader is left to those that have less than their share.
pub const GRACE_POLLS: u32 = 6;

/// A living node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub guid: String,
    /// `ha_max_shards`.
    pub most: usize,
}

/// A shard, as it is seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedShard {
    pub name: String,
    /// The guid of the node that leads it, or is about to.
    pub leader: Option<String>,
    /// For so many polls nobody has led it.
    pub vacant_polls: u32,
    /// A thread of this node waits to lead it, and it has not just been handed over by us.
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
        let mut taken: Vec<usize> = vacant.iter().take(below).map(|(at, _)| *at).collect();
        let left = vacant.iter().skip(below).find(|(_, shard)| shard.vacant_polls >= GRACE_POLLS);
        taken.extend(left.map(|(at, _)| *at).filter(|_| room > below));
        taken
    }

    /// The shard to hand over to a node that leads fewer: only by the node that leads most, and where it makes a
    /// difference.
    pub fn to_hand_over(&self) -> Option<usize> {
        let mine = self.load(&self.me);
        let fuller = |other: &Member| {
            let load = self.load(&other.guid);
            load > mine || (load == mine && other.guid < self.me)
        };
        let emptier = |other: &Member| {
            let load = self.load(&other.guid);
            load + 1 < mine && load < self.share(other)
        };
        if self.members.iter().any(fuller) || !self.members.iter().any(emptier) {
            return None;
        }
        let led = |shard: &SharedShard| shard.movable && shard.leader.as_deref() == Some(&self.me);
        let mine = self.shards.iter().enumerate().filter(|(_, shard)| led(shard));
        mine.max_by_key(|(_, shard)| preference(&self.me, &shard.name)).map(|(at, _)| at)
    }

    /// Another node has room for one more.
    pub fn others_have_room(&self) -> bool {
        self.members.iter().any(|other| other.guid != self.me && self.load(&other.guid) < other.most)
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
        let held = |level: usize| self.members.iter().map(|other| level.min(other.most)).sum::<usize>();
        let level = (1..=all).find(|level| held(*level) >= all).unwrap_or(all);
        level.min(member.most)
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
                .map(|(guid, most)| Member { guid: (*guid).to_owned(), most: *most })
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
        assert!(!outlook("a", &capped, &full).others_have_room());
        assert!(outlook("a", &members, &full).others_have_room());
    }

    #[test]
    fn a_shard_that_nobody_takes_is_taken_by_anybody_with_room() {
        let two = [("a", MANY), ("b", MANY)];
        let mut seen = outlook("a", &two, &[Some("a"), Some("a"), None, None]);
        assert_eq!(seen.to_take(), NONE);
        seen.shards[2].vacant_polls = GRACE_POLLS;
        assert_eq!(seen.to_take(), [2]);
        seen.shards[2].wanted = false;
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
