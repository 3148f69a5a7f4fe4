//! Nodes that share the shards (`ha_scope=shard`): who lives, who leads what, and which shards this node contends for.
//!
//! Each node announces itself by an ephemeral node under `<zk_leader_latch_path>/_nodes`, which is no shard's name: those begin
//! with a letter or digit. Its guid stands in all its nodes of a session, so names alone tell who leads what.

use crate::config::HaRebalance;
use crate::coordination::CoordinationError;
use crate::coordination::session::NodeKind;
use crate::coordination::session::Session;
use crate::guard::announcement::Announcement;
use crate::guard::campaign::End;
use crate::guard::desk::Desk;
use crate::guard::election;
use crate::guard::post::Post;
use crate::guard::spread::Member;
use crate::guard::spread::Outlook;
use crate::guard::spread::PUT_OFF_POLLS;
use crate::guard::spread::SharedShard;
use std::collections::BTreeMap;
use std::time::Instant;

const FOLDER: &str = "_nodes";

/// Between two shards that are handed over to spread the load, and before the first one after a node came or went.
const PAUSE_POLLS: u32 = 20;

/// A process that begins waits so long before it takes shards: nodes that are started together are to share them.
const START_POLLS: u32 = 4;

/// For so long after a session began, nodes that were there before are expected back.
const RETURN_POLLS: u32 = 20;

/// What outlives a session.
#[derive(Debug, Default)]
pub struct Memory {
    /// How many nodes there were.
    members: usize,
    polls: u32,
}

/// See the module's page.
pub struct Sharing<'a> {
    /// With what this node takes now.
    announcement: Announcement,
    /// What stands of it in ZooKeeper.
    written: Vec<u8>,
    pub rebalance: HaRebalance,
    pub memory: &'a mut Memory,
    /// As it was seen last.
    pub outlook: Outlook,
    /// A node with `ha_scope=process` stands in the latch path itself.
    pub led_as_process: bool,
    known: BTreeMap<String, Announcement>,
    /// Of this session.
    polls: u32,
    pause: u32,
    expected: usize,
}

impl<'a> Sharing<'a> {
    pub fn new(announcement: &Announcement, rebalance: HaRebalance, memory: &'a mut Memory) -> Self {
        let expected = memory.members;
        Self {
            announcement: announcement.clone(),
            written: Vec::new(),
            rebalance,
            memory,
            outlook: Outlook::default(),
            led_as_process: false,
            known: BTreeMap::new(),
            polls: 0,
            pause: PAUSE_POLLS,
            expected,
        }
    }

    /// Where all nodes announce themselves.
    pub fn folder(path: &str) -> String {
        format!("{path}/{FOLDER}")
    }

    /// Where a node announces itself.
    pub fn own_path(path: &str, guid: &str) -> String {
        format!("{}/{guid}", Self::folder(path))
    }

    /// Reads who lives, and announces this node where it is not.
    pub fn look_around(
        &mut self,
        session: &Session,
        path: &str,
        guid: &str,
        former: &[String],
    ) -> Result<(), End> {
        let or_none = |children: Result<Vec<String>, CoordinationError>| match children {
            Err(CoordinationError::NoNode) => Ok(Vec::new()),
            children => children,
        };
        let processes = election::seats(&or_none(session.children(path))?);
        self.led_as_process = processes.iter().any(|seat| !former.contains(&seat.guid));
        let folder = Self::folder(path);
        let names = or_none(session.children(&folder))?;
        if !names.iter().any(|name| name == guid) {
            self.announce(session, &folder, guid)?;
        }
        let mut known = BTreeMap::new();
        for name in names.into_iter().filter(|name| name != guid) {
            let node = Self::own_path(path, &name);
            if former.contains(&name) {
                session.delete(&node)?;
            } else if let Some(node) = session.get(&node)? {
                known.insert(name, Announcement::parse(&node.data));
            }
        }
        known.insert(guid.to_owned(), self.announcement.clone());
        if !known.keys().eq(self.known.keys()) {
            self.pause = PAUSE_POLLS;
        }
        self.known = known;
        Ok(())
    }

    /// The shards that this node would lead: those whose threads wait or work, unless it has just handed them over. A node on which
    /// nothing works takes none for a while: others do not give back to it what it could not serve.
    pub fn say_what_it_takes(&mut self, desk: &Desk, posts: &[Post]) {
        let now = Instant::now();
        let works = |post: &&Post| post.is_led() && desk.trouble(post.at, now).is_none();
        let ails = |post: &Post| post.patience.rests(now) || desk.trouble(post.at, now).is_some();
        let fit = posts.iter().any(|post| works(&post)) || !posts.iter().any(ails);
        let takes =
            |post: &&Post| fit && desk.wishes(post.at).wanted && !post.put_off && !post.patience.rests(now);
        let takes = posts.iter().filter(takes).filter_map(|post| post.shard.clone()).collect();
        self.announcement.takes = Some(takes);
    }

    /// What to write into this node's own node: when it must be, or has something new to say.
    pub fn what_to_write(&mut self, must: bool) -> Option<Vec<u8>> {
        let data = self.announcement.to_bytes();
        if !must && (self.written.is_empty() || data == self.written) {
            return None;
        }
        self.written.clone_from(&data);
        Some(data)
    }

    fn announce(&mut self, session: &Session, folder: &str, guid: &str) -> Result<(), CoordinationError> {
        let (path, data) = (format!("{folder}/{guid}"), self.announcement.to_bytes());
        self.written.clone_from(&data);
        let made = match session.create(&path, &data, NodeKind::Ephemeral) {
            Err(CoordinationError::NoNode) => {
                session.make_path(folder)?;
                session.create(&path, &data, NodeKind::Ephemeral)
            }
            made => made,
        };
        match made {
            // The answer to an earlier try was lost.
            Ok(_) | Err(CoordinationError::NodeExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The latches to enter now; one that is led may be asked to come to its end.
    pub fn choose(&mut self, desk: &Desk, guid: &str, posts: &mut [Post]) -> Vec<usize> {
        self.polls = self.polls.saturating_add(1);
        self.memory.polls = self.memory.polls.saturating_add(1);
        if self.polls > RETURN_POLLS {
            self.memory.members = self.known.len();
        }
        if self.pause == PAUSE_POLLS {
            posts.iter_mut().for_each(|post| post.stays = false);
        }
        self.outlook = self.see(desk, guid, posts);
        let mut leaving = 0;
        for post in posts.iter() {
            let others_take = post.shard.as_ref().is_some_and(|shard| self.outlook.others_take(shard));
            desk.others_wait(post.at, others_take);
            leaving += usize::from(desk.wishes(post.at).retiring);
        }
        desk.others_have_room(self.outlook.room_of_others().saturating_sub(leaving));
        self.rebalance(desk, posts);
        if self.led_as_process || self.memory.polls <= START_POLLS {
            return Vec::new();
        }
        self.expecting().to_take()
    }

    fn see(&self, desk: &Desk, guid: &str, posts: &[Post]) -> Outlook {
        let member = |(guid, says): (&String, &Announcement)| Member {
            guid: guid.clone(),
            most: says.max_shards.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)),
            takes: says.takes.clone(),
        };
        let members = self.known.iter().map(member);
        let takes = |shard: &str| self.announcement.takes.as_ref().is_none_or(|takes| takes.contains(shard));
        let shard = |post: &Post| {
            let wishes = desk.wishes(post.at);
            let entered = post.hold.node.as_ref().map(|_| guid.to_owned());
            let name = post.shard.clone().unwrap_or_default();
            SharedShard {
                leader: post.first().map(|seat| seat.guid.clone()).or(entered),
                // What nobody was to take yet has not been left alone.
                vacant_polls: post.vacant_polls.min(self.memory.polls.saturating_sub(START_POLLS)),
                wanted: wishes.wanted && takes(&name),
                movable: wishes.working && wishes.led && !wishes.retiring && !post.stays,
                name,
            }
        };
        let mut outlook = Outlook {
            me: guid.to_owned(),
            members: members.collect(),
            shards: posts.iter().map(shard).collect(),
        };
        // What is left to others comes back where none of them has taken it, or none can.
        let left_alone: Vec<bool> = outlook
            .shards
            .iter()
            .map(|shard| shard.vacant_polls >= PUT_OFF_POLLS || !outlook.others_take(&shard.name))
            .collect();
        for ((shard, post), left_alone) in outlook.shards.iter_mut().zip(posts).zip(left_alone) {
            shard.wanted |= left_alone && desk.wishes(post.at).wanted;
        }
        outlook
    }

    /// As it will be when the nodes have come back that were there before a session of ours ended: after a restart of ZooKeeper
    /// the first one back must not take all.
    fn expecting(&self) -> Outlook {
        let mut outlook = self.outlook.clone();
        if self.polls <= RETURN_POLLS {
            let missing = self.expected.saturating_sub(outlook.members.len());
            let absent = |at: usize| Member { guid: format!("expected {at}"), most: usize::MAX, takes: None };
            outlook.members.extend((0..missing).map(absent));
        }
        outlook
    }

    fn rebalance(&mut self, desk: &Desk, posts: &mut [Post]) {
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        if self.rebalance != HaRebalance::Auto {
            return;
        }
        let Some(post) = self.outlook.to_hand_over().and_then(|at| posts.get_mut(at)) else { return };
        if !desk.hand_over(post.at) {
            return;
        }
        log::info!("{} handing over: another node leads fewer shards (ha_rebalance=auto)", post.label);
        post.moved_away = true;
        self.pause = PAUSE_POLLS - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(me: &str, shards: usize) -> Outlook {
        let shard = |at: usize| SharedShard {
            name: format!("s{at}"),
            leader: None,
            vacant_polls: 0,
            wanted: true,
            movable: false,
        };
        Outlook {
            me: me.to_owned(),
            members: vec![Member { guid: me.to_owned(), most: usize::MAX, takes: None }],
            shards: (0..shards).map(shard).collect(),
        }
    }

    #[test]
    fn the_first_one_back_leaves_their_share_to_those_that_were_there_before() {
        let announcement = Announcement::default();
        let mut memory = Memory { members: 3, polls: 1000 };
        let mut sharing = Sharing::new(&announcement, HaRebalance::Manual, &mut memory);
        sharing.outlook = seen("a", 9);
        assert_eq!(sharing.expecting().to_take().len(), 3);
        sharing.polls = RETURN_POLLS + 1;
        assert_eq!(sharing.expecting().to_take().len(), 9, "they do not come");
        let mut first = Memory::default();
        let mut sharing = Sharing::new(&announcement, HaRebalance::Manual, &mut first);
        sharing.outlook = seen("a", 9);
        assert_eq!(sharing.expecting().to_take().len(), 9, "nobody is known of");
    }
}
