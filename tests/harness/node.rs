//! One of several nodes: fountain in a home of its own, its link with ZooKeeper in a test's hands.

use super::Fountain;
use super::Link;
use super::Output;
use super::Running;
use super::Server;
use super::ZooKeeperServer;
use super::delivered::PATIENCE;
use super::delivered::data;
use super::delivered::parse;
use super::process;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Where nodes keep points and latches in ZooKeeper.
pub const POINTS: &str = "/fountain/points";
pub const LATCH: &str = "/fountain/leader";

/// Short waits everywhere, so that tests are: a session of 2 s, points saved each 200 ms.
const ALWAYS: &[&str] = &[
    "zk_session_timeout=2000",
    "zk_connection_timeout=1000",
    "zk_leader_latch_timeout=1000",
    "async_event_position_thread_initdelay=100",
    "async_event_position_thread_period=200",
    "data_source_try_interval=100ms",
    "repeat_resource_interval=200ms",
    "start_without_point=beginning",
    "dispatch_ddl=none",
    "sink=file",
];

/// Killed when this is dropped.
pub struct Node {
    pub name: String,
    pub home: Fountain,
    /// Between this node and ZooKeeper.
    pub link: Link,
    /// `key=value`
    pairs: Vec<String>,
    running: Option<Running>,
    /// Of the runs that have ended.
    said: String,
}

impl Node {
    /// Configured and not started. `pairs` are keys behind those that all nodes have.
    pub fn new(name: &str, zookeeper: &ZooKeeperServer, pairs: &[&str]) -> Node {
        let link = Link::to(zookeeper.port());
        let own = [
            format!("zk_string={}", link.address()),
            format!("zk_save_position_root_path={POINTS}"),
            format!("zk_leader_latch_path={LATCH}"),
        ];
        let mut node = Node {
            name: name.to_owned(),
            home: Fountain::new(),
            link,
            pairs: Vec::new(),
            running: None,
            said: String::new(),
        };
        own.iter().for_each(|pair| node.set(pair));
        ALWAYS.iter().chain(pairs).for_each(|pair| node.set(pair));
        node
    }

    /// One key more, or another value for it.
    pub fn set(&mut self, pair: &str) {
        let (key, _) = pair.split_once('=').expect("key=value");
        self.pairs.retain(|other| other.split_once('=').is_none_or(|(other, _)| other != key));
        self.pairs.push(pair.to_owned());
    }

    /// Shard N reads that server.
    pub fn shard(&mut self, number: u32, server: &Server) {
        self.shard_through(number, server, server.port());
    }

    /// As `shard`, through a proxy on that port.
    pub fn shard_through(&mut self, number: u32, server: &Server, port: u16) {
        let arguments = server.shard_arguments_through(number, self.home.home(), port);
        arguments.iter().filter(|argument| *argument != "-D").for_each(|pair| self.set(pair));
    }

    // ---------------------------------------------------------------------------------------------------- process

    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        self.running = Some(self.home.spawn(&self.arguments(&["run"])));
    }

    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// The exit code, once it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.running.as_mut().and_then(Running::ended)
    }

    pub fn kill9(&mut self) -> Output {
        let output = self.take().kill9();
        self.keep(output)
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) -> Output {
        let output = self.take().terminate(PATIENCE);
        self.keep(output)
    }

    /// SIGSTOP: it knows nothing of it.
    pub fn freeze(&self) {
        self.running().signal("STOP");
    }

    /// SIGCONT
    pub fn thaw(&self) {
        self.running().signal("CONT");
    }

    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// Processor time of the present run.
    pub fn cpu_time(&self) -> Duration {
        process::cpu_time(self.pid()).unwrap_or_else(|| panic!("{} has ended:\n{}", self.name, self.stderr()))
    }

    /// Another command of the program with this node's home and keys.
    pub fn command(&self, words: &[&str]) -> Output {
        self.home.run(&self.arguments(words), PATIENCE)
    }

    fn arguments(&self, words: &[&str]) -> Vec<String> {
        let pairs = self.pairs.iter().flat_map(|pair| ["-D", pair]);
        words.iter().copied().chain(pairs).map(str::to_owned).collect()
    }

    /// `run --until end`, beside nothing else of this home.
    pub fn until_end(&self) -> Output {
        self.command(&["run", "--until", "end"])
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    fn take(&mut self) -> Running {
        self.running.take().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    fn keep(&mut self, output: Output) -> Output {
        self.said.push_str(&output.stderr);
        output
    }

    // ------------------------------------------------------------------------------------------------ what is seen

    /// All that its runs have said.
    pub fn stderr(&self) -> String {
        let now = self.running.as_ref().map(Running::stderr).unwrap_or_default();
        self.said.clone() + &now
    }

    /// How many of its lines hold these words.
    pub fn told(&self, words: &str) -> usize {
        self.stderr().lines().filter(|line| line.contains(words)).count()
    }

    /// Where its file sink writes.
    pub fn data_dir(&self) -> PathBuf {
        self.home.home().join("data")
    }

    /// What its file sink has, as lines of JSON.
    pub fn lines(&self) -> Vec<Value> {
        parse(&data(&self.data_dir()))
    }

    /// The ids of inserted rows in its files.
    pub fn ids(&self) -> Vec<u64> {
        super::numbered::ids(&self.lines())
    }
}

/// The record that ZooKeeper holds of a shard's point. None: there is none yet.
pub fn point_in(zookeeper: &ZooKeeperServer, shard: &str) -> Option<Value> {
    let node = zookeeper.node(&format!("{POINTS}/{shard}"))?;
    serde_json::from_slice(&node.data).ok()
}
