//! The guard of several nodes: a thread with a session of its own at ZooKeeper.
//!
//! A lease, not a flag: this node leads until two thirds of the session's time after it last *sent* a write that ZooKeeper has
//! taken, behind which its node was found first in the latch. No watches: write and poll prove that the session lives, that our
//! node is there and that nobody stands before it. Of ZooKeeper's recipes nothing is used.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaRebalance;
use crate::config::HaScope;
use crate::config::ShardConfig;
use crate::config::ZooKeeperConfig;
use crate::coordination::session::Session;
use crate::guard::Guard;
use crate::guard::HandOver;
use crate::guard::Release;
use crate::guard::Standing;
use crate::guard::announcement::Announcement;
use crate::guard::campaign::Campaign;
use crate::guard::campaign::End;
use crate::guard::desk::Desk;
use crate::guard::election::new_guid;
use crate::guard::hand_over::Patience;
use crate::guard::post::Hold;
use crate::guard::post::Post;
use crate::guard::sharing::Memory;
use crate::guard::sharing::Sharing;
use crate::guard::term::Term;
use crate::guard::times::Times;
use crate::guard::times::is_news;
use crate::stop::Stop;
use crate::sync_point::trace::PointTrace;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// Between two sessions.
const SHORTEST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// How long the end waits for ZooKeeper. A node that is not deleted then goes with its session.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// So many former sessions are remembered: their nodes are long gone.
const FORMER_SESSIONS: usize = 64;

/// Leads by a latch in ZooKeeper: all shards together, or each by itself.
pub struct ZooKeeperGuard {
    desk: Arc<Desk>,
}

impl ZooKeeperGuard {
    /// Begins to contend for these shards as soon as their threads ask. ZooKeeper need not be there yet.
    pub fn start(config: &Config, shards: &[&ShardConfig]) -> std::io::Result<Self> {
        let names = || shards.iter().map(|shard| shard.name.clone());
        let groups = match config.nodes.scope {
            HaScope::Process => vec![names().collect()],
            HaScope::Shard => names().map(|name| vec![name]).collect(),
        };
        let desk = Arc::new(Desk::new(groups));
        let keeper = Keeper::new(config, shards, Arc::clone(&desk));
        std::thread::Builder::new().name("guard".into()).spawn(move || keeper.run())?;
        Ok(Self { desk })
    }
}

impl Guard for ZooKeeperGuard {
    fn wait_for_term(&self, shard: &str, stop: &Stop) -> Option<Term> {
        self.desk.take(shard, stop)
    }

    fn give_back(&self, shard: &str, term: Term, release: Release) {
        self.desk.give_back(shard, &term, release);
    }

    fn standing(&self, shard: &str) -> Standing {
        self.desk.standing(shard)
    }

    fn step_down(&self, shard: Option<&str>) -> Result<HandOver, String> {
        self.desk.step_down(shard)
    }

    fn close(&self) {
        self.desk.close(Instant::now() + CLOSE_PATIENCE);
    }
}

impl Drop for ZooKeeperGuard {
    fn drop(&mut self) {
        self.close();
    }
}

/// The guard thread: one session after the other.
struct Keeper {
    desk: Arc<Desk>,
    zookeeper: ZooKeeperConfig,
    /// `producer_position`
    point_dir: PathBuf,
    path: String,
    scope: HaScope,
    rebalance: HaRebalance,
    member: Announcement,
    memory: Memory,
    posts: Vec<Post>,
    former: Vec<String>,
    told_away: Option<(Code, Instant)>,
    told_waiting: Instant,
}

impl Keeper {
    fn new(config: &Config, shards: &[&ShardConfig], desk: Arc<Desk>) -> Self {
        let path = config.zookeeper.leader_latch_path.clone().unwrap_or_default();
        let post = |at: usize, shard: Option<&ShardConfig>, shards: &[&ShardConfig]| {
            let path = shard.map_or(path.clone(), |shard| format!("{path}/{}", shard.name));
            Post {
                at,
                shard: shard.map(|shard| shard.name.clone()),
                label: shard.map_or_else(String::new, |shard| format!("shard={} ", shard.name))
                    + &format!("latch={path}"),
                path,
                announcement: Announcement::new(config, shards),
                patience: Patience::new(config.nodes.release_after),
                hold: Hold::default(),
                seats: Vec::new(),
                vacant_polls: 0,
                put_off: false,
                stays: false,
                moved_away: false,
                was_wanted: false,
                leader: None,
                led_elsewhere: false,
                told_of: None,
            }
        };
        let posts = match config.nodes.scope {
            HaScope::Process => vec![post(0, None, shards)],
            HaScope::Shard => {
                let each = shards.iter().enumerate();
                each.map(|(at, shard)| post(at, Some(shard), std::slice::from_ref(shard))).collect()
            }
        };
        Self {
            desk,
            zookeeper: config.zookeeper.clone(),
            point_dir: config.point_dir.clone(),
            scope: config.nodes.scope,
            rebalance: config.nodes.rebalance,
            member: Announcement::new(config, &[]),
            memory: Memory::default(),
            path,
            posts,
            former: Vec::new(),
            told_away: None,
            told_waiting: Instant::now(),
        }
    }

    fn run(mut self) {
        let mut back_off = SHORTEST_BACK_OFF;
        while !self.desk.closing() {
            if self.survive(Self::one_session) {
                back_off = SHORTEST_BACK_OFF;
            }
            if self.desk.pause(back_off) {
                break;
            }
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
        self.desk.closed();
    }

    /// A panic is a defect of ours: its terms end, and the next session begins as after any other doubt.
    fn survive(&mut self, session: impl FnOnce(&mut Self) -> bool) -> bool {
        catch_unwind(AssertUnwindSafe(|| session(self))).unwrap_or_else(|_told_by_the_panic_itself| {
            let why = "the guard thread panicked";
            for post in &mut self.posts {
                post.begins_anew();
                self.desk.end(post.at, why);
            }
            self.tell_away(Code::Internal, why);
            false
        })
    }

    /// True: ZooKeeper had answered a whole round of polls.
    fn one_session(&mut self) -> bool {
        self.note_points();
        let session = match Session::open(&self.zookeeper) {
            Ok(session) => session,
            Err(error) => {
                self.tell_away(error.code(), &error.to_string());
                return false;
            }
        };
        let (end, served) = self.campaign(session);
        let End::Doubt { code, why } = end else { return served };
        let mut led = false;
        for post in &mut self.posts {
            post.begins_anew();
            led |= self.desk.end(post.at, &why);
        }
        match served {
            // What was led is told by those who worked.
            true if led => log::info!("latch={} {why}; beginning a new session with ZooKeeper", self.path),
            true => log::warn!("{code}: latch={} {why}; beginning a new session with ZooKeeper", self.path),
            false => self.tell_away(code, &why),
        }
        served
    }

    /// While nothing is led, since a disk may be slow.
    fn note_points(&mut self) {
        // What cannot be told is not said.
        let has = |shard: &String| PointTrace::new(&self.point_dir, shard).exists().unwrap_or(false);
        let mut all = Vec::new();
        for post in &mut self.posts {
            let known: Vec<String> = self.desk.shards(post.at).into_iter().filter(has).collect();
            all.extend(known.iter().cloned());
            post.announcement.points = known;
        }
        self.member.points = all;
    }

    fn campaign(&mut self, session: Session) -> (End, bool) {
        let negotiated = session.negotiated();
        let guid = new_guid();
        let sharing = match self.scope {
            HaScope::Process => None,
            HaScope::Shard => Some(Sharing::new(&self.member, self.rebalance, &mut self.memory)),
        };
        let mut campaign = Campaign {
            session,
            desk: &self.desk,
            path: &self.path,
            guid: guid.clone(),
            former: &self.former,
            tell_every: self.zookeeper.leader_latch_timeout,
            sharing,
            times: Times::of(negotiated),
            proven: None,
            round_took: Duration::ZERO,
            told_waiting: self.told_waiting,
            told_away: &mut self.told_away,
            has_served: false,
        };
        let end = campaign.run(&mut self.posts);
        let served = campaign.has_served;
        self.told_waiting = campaign.told_waiting;
        drop(campaign);
        self.former.push(guid);
        let too_many = self.former.len().saturating_sub(FORMER_SESSIONS);
        self.former.drain(..too_many);
        (end, served)
    }

    /// ZooKeeper does not serve: said once, again when the reason is another one, and when it goes on for long.
    fn tell_away(&mut self, code: Code, why: &str) {
        for post in &self.posts {
            self.desk.see(post.at, None, why);
        }
        let now = Instant::now();
        if is_news(self.told_away.as_ref(), &code, now) {
            log::error!(
                "{code}: latch={} {why}; nobody leads here until ZooKeeper serves, trying again",
                self.path
            );
            self.told_away = Some((code, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use crate::guard::lease::Lease;

    #[test]
    fn a_panic_of_the_guard_ends_every_term_and_not_the_guard() {
        let pairs = [
            ("mysql_username", "u"),
            ("mysql_shard_0_server", "db1"),
            ("zk_string", "127.0.0.1:1"),
            ("zk_leader_latch_path", "/l"),
            ("zk_save_position_root_path", "/p"),
        ];
        let config = Config::load(&Request::from_pairs("/home", &pairs)).unwrap();
        let shards: Vec<&ShardConfig> = config.enabled_shards().collect();
        let desk = Arc::new(Desk::new(vec![vec!["producer00".to_owned()]]));
        let mut keeper = Keeper::new(&config, &shards, Arc::clone(&desk));
        desk.grant(0, &Arc::new(Lease::for_ever()), 7);
        let term = desk.take("producer00", &Stop::new()).unwrap();
        assert!(!keeper.survive(|_| panic!("a defect")));
        assert!(!term.holds() && term.stop().requested() && term.why().contains("panicked"));
        assert!(keeper.survive(|_| true), "it goes on");
    }
}
