//! One session of the guard thread: nodes in the latches, polls, proofs, leases, and their end.
//!
//! A poll alone proves nothing: a server of ZooKeeper's that is cut off from its leader goes on answering reads and pings from
//! what it knew, for syncLimit x tickTime, while the leader lets our session expire. So who stands first, and only who stands
//! first, writes one of its own nodes every sixth of the session. A write passes the quorum, is refused to a session that is
//! over, and what the same session reads behind it is no older (ZooKeeper's guarantees: single system image, and a session's
//! requests in their order). The lease counts from the sending of that write.
//!
//! A doubt about the session ends it, and with it all terms: a call without an answer in time, an error, a lease that lapsed.
//! What a person does to our nodes is no doubt: a latch is lost and entered again.

use crate::code::Code;
use crate::coordination::CoordinationError;
use crate::coordination::session::ANY_VERSION;
use crate::coordination::session::NodeKind;
use crate::coordination::session::Session;
use crate::guard::announcement::Announcement;
use crate::guard::desk::Desk;
use crate::guard::election;
use crate::guard::election::Seat;
use crate::guard::lease::Lease;
use crate::guard::post::Hold;
use crate::guard::post::Post;
use crate::guard::sharing::Sharing;
use crate::guard::times::Times;
use crate::guard::trouble::Cause;
use crate::status::now_ms;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// Why a node does not queue up.
const LED_ELSEWHERE: &str = "the node that leads, or led last, keeps points elsewhere (zk_save_position_root_path): this node does not \
                             know what was delivered and does not take over; give both the same path, and restart the node whose \
                             path is changed";

/// So many shards that it has begun to lead a node tells of in a round: each is a write.
const TOLD_A_ROUND: usize = 20;

/// Why a session is over.
#[derive(Debug)]
pub enum End {
    /// The process ends; everything was let go in good order.
    Closed,
    Doubt {
        code: Code,
        why: String,
    },
}

impl From<CoordinationError> for End {
    fn from(error: CoordinationError) -> Self {
        Self::Doubt { code: error.code(), why: error.to_string() }
    }
}

/// See the module's page.
pub struct Campaign<'a> {
    pub session: Session,
    pub desk: &'a Desk,
    /// `zk_leader_latch_path`.
    pub path: &'a str,
    /// Of this session: stands in the name of each of our nodes.
    pub guid: String,
    /// Of the sessions before: what bears them is ours and over.
    pub former: &'a [String],
    /// `zk_leader_latch_timeout`.
    pub tell_every: Duration,
    pub sharing: Option<Sharing<'a>>,
    pub times: Times,
    /// When the last write was sent that proved that this session lives.
    pub proven: Option<Instant>,
    /// The last round of polls took so long.
    pub round_took: Duration,
    pub told_waiting: Instant,
    /// That ZooKeeper does not serve, and when it was told so.
    pub told_away: &'a mut Option<(Code, Instant)>,
    /// A whole round of polls was answered.
    pub has_served: bool,
}

impl Campaign<'_> {
    /// Until its first doubt, or until the process ends.
    pub fn run(&mut self, posts: &mut [Post]) -> End {
        posts.iter_mut().for_each(Post::begins_anew);
        let (mut next, mut seen) = (Instant::now(), 0);
        loop {
            if self.desk.closing() {
                return self.close(posts).err().unwrap_or(End::Closed);
            }
            match self.round(posts, next) {
                Ok(then) => next = then,
                Err(end) => return end,
            }
            seen = self.desk.wait(next, seen);
        }
    }

    /// Lets go what is done with, and polls when it is time to. Says when to poll next.
    fn round(&mut self, posts: &mut [Post], next: Instant) -> Result<Instant, End> {
        let mut due = Instant::now() >= next;
        for post in posts.iter_mut() {
            due |= self.let_go(post)?;
        }
        if !due {
            return Ok(next);
        }
        let begun = Instant::now();
        if let Some(sharing) = &mut self.sharing {
            sharing.say_what_it_takes(self.desk, posts);
        }
        self.prove(posts)?;
        if let Some(sharing) = &mut self.sharing {
            sharing.look_around(&self.session, self.path, &self.guid, self.former)?;
        }
        for post in posts.iter_mut() {
            self.poll(post)?;
        }
        self.enter_latches(posts)?;
        self.say_who_leads(posts)?;
        for post in posts.iter_mut() {
            self.look_for_trouble(post);
        }
        self.has_served = true;
        if self.told_away.take().is_some() {
            log::info!("latch={} ZooKeeper serves", self.path);
        }
        self.tell_waiting(posts);
        self.round_took = begun.elapsed();
        Ok(begun + self.times.poll)
    }

    /// Writes a node of ours, where we stand first and the last time is a while ago: see the module's page. Also where there is
    /// something new to say in it.
    fn prove(&mut self, posts: &[Post]) -> Result<(), End> {
        let first = posts.iter().find(|post| post.hold.first_since.is_some());
        let due = self.proven.is_none_or(|proven| proven.elapsed() >= self.times.proof);
        let (node, data) = match (&mut self.sharing, first) {
            (Some(sharing), first) => match sharing.data_to_write(first.is_some() && due) {
                Some(data) => (Sharing::own_path(self.path, &self.guid), data),
                None => return Ok(()),
            },
            (None, Some(first)) if due => match &first.hold.node {
                Some(name) => (first.node_path(name), self.announced(first)),
                None => return Ok(()),
            },
            (None, _) => return Ok(()),
        };
        let sent = Instant::now();
        match self.session.set(&node, &data, ANY_VERSION) {
            // The quorum says so too; that the node is gone the polls find out.
            Ok(_) | Err(CoordinationError::NoNode) => self.proven = Some(sent),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes into our node in a latch that we lead: until then we are about to. Who hands over waits for it.
    fn say_who_leads(&self, posts: &mut [Post]) -> Result<(), End> {
        for post in posts.iter_mut().filter(|post| post.hold.untold).take(TOLD_A_ROUND) {
            post.hold.untold = false;
            let Some(name) = &post.hold.node else { continue };
            match self.session.set(&post.node_path(name), &self.announced(post), ANY_VERSION) {
                // That the node is gone the polls find out.
                Ok(_) | Err(CoordinationError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What our node in the latch says now.
    fn announced(&self, post: &Post) -> Vec<u8> {
        Announcement { leads_since_ms: self.desk.leads_since(post.at), ..post.announcement.clone() }
            .to_bytes()
    }

    // ------------------------------------------------------------------------------------------------- letting go

    /// Deletes our node where no shard works under it any more and it is not wanted, or is handed over. True: a poll is due at
    /// once.
    fn let_go(&self, post: &mut Post) -> Result<bool, End> {
        let wishes = self.desk.wishes(post.at);
        let newly_wanted = wishes.wanted && !post.was_wanted;
        post.was_wanted = wishes.wanted;
        if wishes.working || (wishes.wanted && !wishes.retiring) {
            return Ok(newly_wanted);
        }
        post.put_off |= wishes.retiring;
        self.release(post, "this node has handed over")?;
        Ok(newly_wanted)
    }

    /// Nobody leads under a node that is gone: the lease ends first.
    fn release(&self, post: &mut Post, why: &str) -> Result<(), End> {
        let Hold { node, lease, .. } = std::mem::take(&mut post.hold);
        self.desk.end(post.at, why);
        if let Some(name) = node {
            self.session.delete(&post.node_path(&name))?;
            if lease.is_some() {
                log::info!("{} leadership is given up in good order", post.label);
            }
        }
        Ok(())
    }

    fn close(&self, posts: &mut [Post]) -> Result<(), End> {
        for post in posts {
            self.release(post, "this node ends")?;
        }
        if self.sharing.is_some() {
            self.session.delete(&Sharing::own_path(self.path, &self.guid))?;
        }
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------------- polling

    fn poll(&self, post: &mut Post) -> Result<(), End> {
        if post.hold.lease.as_ref().is_some_and(|lease| !lease.holds()) {
            return Err(late());
        }
        let children = match self.session.children(&post.path) {
            Err(CoordinationError::NoNode) => Vec::new(),
            children => children?,
        };
        post.seats = self.living(post, election::seats(&children))?;
        post.vacant_polls = if post.seats.is_empty() { post.vacant_polls.saturating_add(1) } else { 0 };
        let ours = post.seats.iter().position(|seat| seat.guid == self.guid);
        // The answer to its creation may have been lost.
        let name = ours.and_then(|at| post.seats.get(at)).map(|seat| seat.name.clone());
        match (ours, &post.hold.node) {
            (None, Some(_)) => self.note_deleted(post),
            _ => post.hold.node = name,
        }
        match ours {
            Some(0) => self.stand_first(post),
            _ => self.stand_behind(post),
        }
    }

    /// Without nodes of our former sessions, which are deleted as soon as nothing works under them, and without twins of ours:
    /// a creation whose answer was lost may have been repeated.
    fn living(&self, post: &Post, seats: Vec<Seat>) -> Result<Vec<Seat>, End> {
        let mut living: Vec<Seat> = Vec::with_capacity(seats.len());
        let working = self.desk.wishes(post.at).working;
        for seat in seats {
            let over = self.former.contains(&seat.guid) && !working;
            let twin = seat.guid == self.guid && living.iter().any(|other| other.guid == self.guid);
            match over || twin {
                true => self.session.delete(&post.node_path(&seat.name))?,
                false => living.push(seat),
            }
        }
        Ok(living)
    }

    fn note_deleted(&self, post: &mut Post) {
        let led = post.is_led();
        post.hold = Hold::default();
        self.desk.end(post.at, "its node in the latch was deleted, and not by this node");
        if !led {
            log::warn!(
                "{} the node of this node in the latch was deleted by somebody; making another",
                post.label
            );
        }
    }

    /// Who stands first waits for as long as a leader needs at most to notice, with answers as quick as ours, that somebody has
    /// deleted its node. One whose answers are late finds out later, at the end of its lease: a node that was deleted tells
    /// nobody when. The epoch keeps the two apart.
    fn stand_first(&self, post: &mut Post) -> Result<(), End> {
        let proven = self.proven.map(|proven| proven + self.times.lease);
        if let Some(lease) = &post.hold.lease {
            return if proven.is_some_and(|deadline| lease.extend(deadline)) { Ok(()) } else { Err(late()) };
        }
        let now = Instant::now();
        let since = *post.hold.first_since.get_or_insert(now);
        let patience = self.times.patience.max(self.round_took * 2);
        let Some(deadline) = proven.filter(|deadline| now >= since + patience && now < *deadline) else {
            self.desk.see(post.at, None, "it is about to lead");
            return Ok(());
        };
        if !self.desk.wishes(post.at).wanted {
            return Ok(());
        }
        if let Some(why) = self.led_otherwise(post)? {
            post.tell_difference(&why, &why);
            self.desk.see(post.at, None, why);
            // One of the two scopes has to let go, or both wait for ever.
            if self.sharing.is_some()
                && let Some(name) = std::mem::take(&mut post.hold).node
            {
                self.session.delete(&post.node_path(&name))?;
            }
            return Ok(());
        }
        let lease = Arc::new(Lease::until(deadline));
        post.patience.begins(now);
        post.hold.lease = Some(Arc::clone(&lease));
        post.hold.untold = true;
        post.stays |= std::mem::take(&mut post.moved_away);
        post.put_off = false;
        post.leader = None;
        log::info!("{} this node leads", post.label);
        self.desk.grant(post.at, &lease, now_ms());
        Ok(())
    }

    fn stand_behind(&self, post: &mut Post) -> Result<(), End> {
        post.hold.first_since = None;
        if post.hold.lease.take().is_some() {
            self.desk.end(post.at, "another node stands before this one in the latch");
        }
        let Some(first) = post.first().cloned() else {
            let why = match post.led_elsewhere {
                true => LED_ELSEWHERE,
                false => "nobody leads, and nobody has taken it yet",
            };
            self.desk.see(post.at, None, why);
            return Ok(());
        };
        if self.former.contains(&first.guid) {
            let why = "its own former session has not ended yet";
            self.desk.see(post.at, None, why);
            return Ok(());
        }
        (post.put_off, post.moved_away) = (false, false);
        self.see_leader(post, &first)?;
        // Where nodes share the shards nobody queues up: who is too late looks for another one.
        let leaves = self.sharing.is_some() || post.led_elsewhere;
        match post.hold.node.take() {
            Some(name) if leaves => Ok(self.session.delete(&post.node_path(&name))?),
            node => {
                post.hold.node = node;
                Ok(())
            }
        }
    }

    /// Who that is; another configuration than ours is told.
    fn see_leader(&self, post: &mut Post, first: &Seat) -> Result<(), End> {
        let known =
            post.leader.as_ref().filter(|(name, says)| *name == first.name && says.leads_since_ms.is_some());
        if known.is_none() {
            let Some(node) = self.session.get(&post.node_path(&first.name))? else {
                // It has gone in the meantime.
                self.desk.see(post.at, None, "another node is about to lead");
                return Ok(());
            };
            post.leader = Some((first.name.clone(), Announcement::parse(&node.data)));
        }
        let Some((_, says)) = &post.leader else { return Ok(()) };
        post.led_elsewhere = post.announcement.keeps_points_elsewhere(says);
        let leader = says.as_leader(&post.announcement);
        let keys = leader.differs.join(", ");
        let why = match (post.led_elsewhere, keys.is_empty()) {
            (true, _) => format!("{says}: {LED_ELSEWHERE}"),
            (false, true) => format!("{says} leads"),
            (false, false) => format!(
                "{says} leads with another configuration than this node's: {keys}; what this node would deliver after a take-over                  is not what is delivered now"
            ),
        };
        if post.led_elsewhere || !keys.is_empty() {
            post.tell_difference(&format!("{} {keys}", leader.node), &why);
        }
        self.desk.see(post.at, Some(leader), why);
        Ok(())
    }

    /// Nodes of the other `ha_scope` use the same path, and one of them may lead: why this one waits then.
    fn led_otherwise(&self, post: &Post) -> Result<Option<String>, End> {
        if let Some(sharing) = &self.sharing {
            let others = sharing.led_as_process.then_some(
                "nodes with ha_scope=process use the same zk_leader_latch_path; this one (ha_scope=shard) waits until they are gone"
            );
            return Ok(others.map(str::to_owned));
        }
        for shard in self.desk.shards(post.at) {
            let children = match self.session.children(&format!("{}/{shard}", self.path)) {
                Err(CoordinationError::NoNode) => continue,
                children => children?,
            };
            let mut others = election::seats(&children);
            others.retain(|seat| !self.former.contains(&seat.guid));
            if !others.is_empty() {
                return Ok(Some(format!(
                    "a node with ha_scope=shard leads shard {shard} under the same zk_leader_latch_path; this one (ha_scope=process) \
                     waits until it is gone"
                )));
            }
        }
        Ok(None)
    }

    // --------------------------------------------------------------------------------------------------- entering

    fn enter_latches(&mut self, posts: &mut [Post]) -> Result<(), End> {
        let Some(sharing) = &mut self.sharing else {
            for post in posts.iter_mut().filter(|post| post.hold.node.is_none() && !post.led_elsewhere) {
                if self.desk.wishes(post.at).wanted {
                    self.enter(post)?;
                }
            }
            for post in posts.iter() {
                let others = post.seats.iter().any(|seat| seat.guid != self.guid);
                self.desk.others_wait(post.at, others);
            }
            return Ok(());
        };
        for at in sharing.choose(self.desk, &self.guid, posts) {
            if let Some(post) = posts.get_mut(at).filter(|post| !post.led_elsewhere) {
                self.enter(post)?;
            }
        }
        Ok(())
    }

    fn enter(&self, post: &mut Post) -> Result<(), End> {
        let path = post.node_path(&election::name_for(&self.guid));
        let data = self.announced(post);
        let made = match self.session.create(&path, &data, NodeKind::EphemeralSequential) {
            Err(CoordinationError::NoNode) => {
                self.session.make_path(&post.path)?;
                self.session.create(&path, &data, NodeKind::EphemeralSequential)?
            }
            made => made?,
        };
        post.hold.node = made.rsplit('/').next().map(str::to_owned);
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------------- trouble

    fn look_for_trouble(&self, post: &mut Post) {
        let wishes = self.desk.wishes(post.at);
        if !wishes.led || wishes.retiring {
            return;
        }
        let now = Instant::now();
        let trouble = self.desk.trouble(post.at, now);
        let lasts = trouble.as_ref().map(|(_, _, lasts)| *lasts);
        if !post.patience.is_over(lasts, now) || !self.desk.hand_over(post.at) {
            return;
        }
        post.patience.handed_over(now);
        let Some((shard, cause, lasts)) = trouble else { return };
        let what = match cause {
            Cause::Source => "no server can be reached",
            Cause::Sink => "the sink takes nothing",
        };
        log::warn!(
            "{} shard={shard} {what} from this node for {} s (ha_release_after_ms): handing over to another node",
            self.path_label(),
            lasts.as_secs()
        );
    }

    fn path_label(&self) -> String {
        format!("latch={}", self.path)
    }

    // ---------------------------------------------------------------------------------------------------- telling

    fn tell_waiting(&mut self, posts: &[Post]) {
        let waiting = |post: &&Post| !post.is_led() && self.desk.wishes(post.at).wanted;
        let Some(first) = posts.iter().find(waiting) else {
            self.told_waiting = Instant::now();
            return;
        };
        if self.told_waiting.elapsed() < self.tell_every {
            return;
        }
        self.told_waiting = Instant::now();
        match &self.sharing {
            None => {
                let place = first.seats.iter().position(|seat| seat.guid == self.guid);
                let place = place.map_or("not in the latch yet".to_owned(), |at| {
                    format!("place {} of {} in the latch", at + 1, first.seats.len())
                });
                log::info!("{} standing by: {}; {place}", first.label, self.desk.why(first.at));
            }
            Some(sharing) => log::info!(
                "{} leads {} of {} shards; its share is {}, nodes: {}",
                self.path_label(),
                posts.iter().filter(|post| post.is_led()).count(),
                posts.len(),
                sharing.outlook.own_share(),
                sharing.outlook.members.len()
            ),
        }
    }
}

fn late() -> End {
    let why = "ZooKeeper has not confirmed it in time".to_owned();
    End::Doubt { code: Code::ZkTimeout, why }
}
