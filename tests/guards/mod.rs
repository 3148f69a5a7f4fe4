//! A guard in the test's own process, with threads that take terms and give them back as shards do.
#![allow(dead_code, reason = "each test uses its own part")]

use super::harness::Link;
use super::harness::ZooKeeperServer;
use super::harness::wait_until;
use fountain::config::Config;
use fountain::config::Request;
use fountain::guard::Guard;
use fountain::guard::HandOver;
use fountain::guard::Release;
use fountain::guard::Standing;
use fountain::guard::term::Term;
use fountain::guard::trouble::Cause;
use fountain::guard::zookeeper::ZooKeeperGuard;
use fountain::stop::Stop;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub const LATCH: &str = "/fountain/leader";
const PATIENCE: Duration = Duration::from_secs(60);

/// What a shard's thread has seen.
#[derive(Debug, Default)]
struct Shard {
    term: Option<Term>,
    turns: usize,
    /// Terms that were lost, with the last one's reason.
    losses: usize,
    last_loss: String,
}

type Shards = Arc<Mutex<BTreeMap<String, Shard>>>;

/// One node. Ends in good order when it is dropped.
pub struct Guarded {
    pub link: Link,
    guard: Arc<ZooKeeperGuard>,
    stop: Stop,
    shards: Shards,
    /// Ends one shard alone.
    ends: BTreeMap<String, Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Guarded {
    /// Begins with a session of 2 s; `pairs` are further keys.
    pub fn start(zookeeper: &ZooKeeperServer, shards: &[&str], pairs: &[&str]) -> Guarded {
        let link = Link::to(zookeeper.port());
        let mut all: Vec<(String, String)> = shards
            .iter()
            .enumerate()
            .flat_map(|(at, name)| {
                let server = (format!("mysql_shard_{at}_server"), "127.0.0.1".to_owned());
                [server, (format!("mysql_shard_{at}_name"), (*name).to_owned())]
            })
            .collect();
        let owned = |pair: &&str| {
            let (key, value) = pair.split_once('=').expect("key=value");
            (key.to_owned(), value.to_owned())
        };
        let servers = format!("zk_string={}", link.address());
        let latch = format!("zk_leader_latch_path={LATCH}");
        let always = [
            "mysql_username=u",
            &servers,
            &latch,
            "zk_save_position_root_path=/fountain/points",
            "zk_session_timeout=2000",
            "zk_connection_timeout=1000",
        ];
        all.extend(always.iter().filter(|pair| !is_given(pairs, pair)).map(owned));
        all.extend(pairs.iter().map(owned));
        let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let config = Config::load(&Request::from_pairs("/home", &all)).expect("a configuration");
        let configured: Vec<_> = config.enabled_shards().collect();
        let guard = Arc::new(ZooKeeperGuard::start(&config, &configured).expect("a thread"));
        let mut node = Guarded {
            link,
            guard,
            stop: Stop::new(),
            shards: Shards::default(),
            ends: BTreeMap::new(),
            threads: Vec::new(),
        };
        shards.iter().for_each(|shard| node.run(shard));
        node
    }

    fn run(&mut self, shard: &str) {
        let (guard, shards, stop) = (Arc::clone(&self.guard), Arc::clone(&self.shards), self.stop.child());
        lock(&shards).insert(shard.to_owned(), Shard::default());
        self.ends.insert(shard.to_owned(), stop.clone());
        let shard = shard.to_owned();
        self.threads.push(std::thread::spawn(move || {
            while let Some(term) = guard.wait_for_term(&shard, &stop) {
                let mut all = lock(&shards);
                let seen = all.get_mut(&shard).expect("the shard");
                (seen.term, seen.turns) = (Some(term.clone()), seen.turns + 1);
                drop(all);
                while !term.stop().wait(Duration::from_millis(5)) && term.holds() {}
                let mut all = lock(&shards);
                let seen = all.get_mut(&shard).expect("the shard");
                seen.term = None;
                let lost = !term.holds();
                if lost {
                    seen.losses += 1;
                    seen.last_loss = term.why();
                }
                drop(all);
                guard.give_back(&shard, term, if lost { Release::Lost } else { Release::Ended });
            }
        }));
    }

    /// Whether a thread of this node works on the shard under a term that holds.
    pub fn leads(&self, shard: &str) -> bool {
        lock(&self.shards).get(shard).is_some_and(|seen| seen.term.as_ref().is_some_and(Term::holds))
    }

    pub fn wait_to_lead(&self, shard: &str) {
        wait_until(&format!("leadership of {shard}; {}", self.why(shard)), PATIENCE, || self.leads(shard));
    }

    /// How many of these it leads.
    pub fn load(&self) -> usize {
        let names: Vec<String> = lock(&self.shards).keys().cloned().collect();
        names.iter().filter(|shard| self.leads(shard)).count()
    }

    /// How often it has led the shard.
    pub fn turns(&self, shard: &str) -> usize {
        lock(&self.shards)[shard].turns
    }

    pub fn losses(&self, shard: &str) -> usize {
        lock(&self.shards)[shard].losses
    }

    pub fn last_loss(&self, shard: &str) -> String {
        lock(&self.shards)[shard].last_loss.clone()
    }

    pub fn why(&self, shard: &str) -> String {
        match self.guard.standing(shard) {
            Standing::Leads { .. } => "it leads".to_owned(),
            Standing::StandsBy { why, .. } => why,
        }
    }

    pub fn leader(&self, shard: &str) -> Option<String> {
        match self.guard.standing(shard) {
            Standing::Leads { .. } => None,
            Standing::StandsBy { leader, .. } => leader.map(|leader| leader.to_string()),
        }
    }

    pub fn step_down(&self, shard: Option<&str>) -> Result<HandOver, String> {
        self.guard.step_down(shard)
    }

    /// No server of the shard can be reached from here.
    pub fn trouble(&self, shard: &str) {
        let shards = lock(&self.shards);
        shards[shard].term.as_ref().expect("a term").trouble().met(Cause::Source);
    }

    /// The shard comes to its end and does not ask again.
    pub fn end(&self, shard: &str) {
        self.ends[shard].request();
        wait_until("the shard has ended", PATIENCE, || lock(&self.shards)[shard].term.is_none());
    }

    /// The name of the node that stands first in the latch, which is this one's while it leads.
    pub fn own_node(&self, zookeeper: &ZooKeeperServer) -> String {
        assert!(self.load() > 0, "it leads");
        let first = zookeeper.children(LATCH).into_iter().min_by_key(|name| {
            let (_, sequence) = name.rsplit_once('-').expect("a sequence");
            sequence.to_owned()
        });
        first.expect("a node in the latch")
    }

    /// In good order, as at SIGTERM.
    pub fn stop(mut self) {
        self.end_all();
    }

    fn end_all(&mut self) {
        self.stop.request();
        for thread in self.threads.drain(..) {
            thread.join().expect("a shard's thread");
        }
        self.guard.close();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end_all();
        }
    }
}

fn is_given(pairs: &[&str], pair: &str) -> bool {
    let key = |pair: &str| pair.split('=').next().map(str::to_owned);
    pairs.iter().any(|given| key(given) == key(pair))
}

fn lock(shards: &Shards) -> MutexGuard<'_, BTreeMap<String, Shard>> {
    shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Looks every millisecond whether more than one node leads a shard.
pub struct Watch {
    over: Stop,
    twice: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn over<'a>(nodes: impl IntoIterator<Item = &'a Guarded>, shard: &str) -> Watch {
        let all: Vec<Shards> = nodes.into_iter().map(|node| Arc::clone(&node.shards)).collect();
        let (over, twice, shard) = (Stop::new(), Arc::new(AtomicUsize::new(0)), shard.to_owned());
        let (end, count) = (over.clone(), Arc::clone(&twice));
        let thread = std::thread::spawn(move || {
            while !end.wait(Duration::from_millis(1)) {
                let leads = |shards: &&Shards| {
                    lock(shards).get(&shard).is_some_and(|seen| seen.term.as_ref().is_some_and(Term::holds))
                };
                if all.iter().filter(leads).count() > 1 {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Watch { over, twice, thread }
    }

    /// Moments at which more than one led.
    pub fn end(self) -> usize {
        self.over.request();
        self.thread.join().expect("the watch");
        self.twice.load(Ordering::SeqCst)
    }
}
