//! What is done to the nodes, to ZooKeeper, to the links and to the servers, in an order that a seed decides.

use crate::ha_chaos::cluster::Cluster;
use crate::ha_chaos::cluster::SHARDS;
use crate::ha_chaos::cluster::shard_name;
use crate::harness::Weather;
use crate::harness::node::LATCH;
use crate::harness::shapes::Dice;
use std::time::Duration;

/// Longer than a session of the nodes, which is 2 s.
pub const PAST_SESSION: u64 = 2500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    NodeKilled,
    NodeEnded,
    NodeFrozen,
    NodeFrozenShortly,
    ZooKeeperRestarted,
    ZooKeeperDown,
    ZooKeeperFrozen,
    LinkCut,
    LinkDown,
    LinkHeld,
    LinkSwallows,
    LinkSlow,
    LatchDeleted,
    ServerRestarted,
    ServerKilled,
    SourceSwitched,
    SourceCut,
    Suspended,
    SteppedDown,
}

const ALL: [Step; 19] = [
    Step::NodeKilled,
    Step::NodeEnded,
    Step::NodeFrozen,
    Step::NodeFrozenShortly,
    Step::ZooKeeperRestarted,
    Step::ZooKeeperDown,
    Step::ZooKeeperFrozen,
    Step::LinkCut,
    Step::LinkDown,
    Step::LinkHeld,
    Step::LinkSwallows,
    Step::LinkSlow,
    Step::LatchDeleted,
    Step::ServerRestarted,
    Step::ServerKilled,
    Step::SourceSwitched,
    Step::SourceCut,
    Step::Suspended,
    Step::SteppedDown,
];

/// Each kind of step once, shuffled.
pub fn deck(dice: &mut Dice) -> Vec<Step> {
    let mut deck = ALL.to_vec();
    for last in (1..deck.len()).rev() {
        deck.swap(last, dice.roll(last as u64 + 1) as usize);
    }
    deck
}

pub struct Script<'a> {
    pub cluster: &'a mut Cluster,
    pub dice: Dice,
    /// How long ZooKeeper is not there when it is down, in milliseconds; longer than all sessions.
    pub down: u64,
}

impl Script<'_> {
    /// Does it all; now and then everything has to be well again and to go on, and so in the end.
    pub fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            self.cluster.tell(&format!("step {} of {}: {step:?}", number + 1, steps.len()));
            self.take(*step);
            // Some faults meet what the one before has left behind.
            if self.dice.roll(3) == 0 {
                self.heal();
            }
        }
        self.heal();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::NodeKilled | Step::NodeEnded => self.end_a_node(step == Step::NodeKilled),
            Step::NodeFrozen => self.freeze_a_node(PAST_SESSION, 1500),
            Step::NodeFrozenShortly => self.freeze_a_node(100, 1500),
            Step::ZooKeeperRestarted => self.cluster.zookeeper.restart(),
            Step::ZooKeeperDown => self.zookeeper_down(),
            Step::ZooKeeperFrozen => self.freeze_zookeeper(),
            Step::LinkCut => self.on_a_link(|link| link.cut(), 0),
            Step::LinkDown => self.on_a_link(|link| link.set(Weather::Down), 3000),
            Step::LinkHeld => self.on_a_link(|link| link.set(Weather::Held), 3500),
            Step::LinkSwallows => self.on_a_link(|link| link.set(Weather::Swallowed), 3500),
            Step::LinkSlow => self.slow_link(),
            Step::LatchDeleted => self.delete_a_latch(),
            Step::ServerRestarted | Step::ServerKilled => self.restart_a_server(step == Step::ServerKilled),
            Step::SourceSwitched => {
                let source = ["main", "ha1"][self.dice_index(2)];
                self.command("switch", &[source]);
            }
            Step::SourceCut => self.cut_a_source(),
            Step::Suspended => self.suspend(),
            Step::SteppedDown => self.command("step-down", &[]),
        }
    }

    /// Starts what has been ended, and waits until all shards go on.
    fn heal(&mut self) {
        self.start_nodes();
        self.cluster.load.pause();
        self.cluster.assert_goes_on();
        self.cluster.load.go_on();
    }

    fn dice_index(&mut self, sides: usize) -> usize {
        self.dice.roll(sides as u64) as usize
    }

    /// At least so many milliseconds, at most `more` beyond.
    fn pause(&mut self, least: u64, more: u64) {
        std::thread::sleep(Duration::from_millis(least + self.dice.roll(more + 1)));
    }

    // ------------------------------------------------------------------------------------------------------ nodes

    fn start_nodes(&mut self) {
        self.cluster.nodes.iter_mut().filter(|node| !node.runs()).for_each(crate::harness::Node::start);
    }

    /// One that runs; all are started first when none does.
    fn a_node(&mut self) -> usize {
        if !self.cluster.nodes.iter().any(crate::harness::Node::runs) {
            self.start_nodes();
        }
        let running: Vec<usize> =
            (0..self.cluster.nodes.len()).filter(|n| self.cluster.nodes[*n].runs()).collect();
        running[self.dice_index(running.len())]
    }

    /// It stays away for some steps, or comes back at once.
    fn end_a_node(&mut self, killed: bool) {
        let node = self.a_node();
        self.cluster.tell(&format!("  node {}", self.cluster.nodes[node].name));
        if killed {
            self.cluster.nodes[node].kill9();
        } else {
            let output = self.cluster.nodes[node].terminate();
            assert_eq!(output.code, 0, "{}", output.stderr);
        }
        self.pause(0, 1000);
        if self.dice.roll(2) == 0 {
            self.start_nodes();
        }
    }

    fn freeze_a_node(&mut self, least: u64, more: u64) {
        let node = self.a_node();
        self.cluster.tell(&format!("  node {}", self.cluster.nodes[node].name));
        self.cluster.nodes[node].freeze();
        self.pause(least, more);
        self.cluster.nodes[node].thaw();
        self.pause(0, 500);
    }

    // -------------------------------------------------------------------------------------------------- ZooKeeper

    /// Killed, and not there for longer than all sessions. Nodes have nothing to do then, and do nothing.
    fn zookeeper_down(&mut self) {
        self.cluster.zookeeper.kill9();
        self.pause(self.down, 500);
        let measured = Duration::from_secs(2);
        let busy = |cluster: &Cluster| -> Vec<Duration> {
            cluster.nodes.iter().filter(|node| node.runs()).map(|node| node.cpu_time()).collect()
        };
        let before = busy(self.cluster);
        std::thread::sleep(measured);
        for (before, after) in before.iter().zip(busy(self.cluster)) {
            let used = after - *before;
            self.cluster.tell(&format!("  a node used {used:?} of {measured:?}"));
            assert!(used < measured / 4, "without ZooKeeper a node used {used:?} of {measured:?}");
        }
        self.cluster.zookeeper.restart();
    }

    fn freeze_zookeeper(&mut self) {
        self.cluster.zookeeper.stall();
        self.pause(500, 4000);
        self.cluster.zookeeper.resume();
        self.pause(0, 500);
    }

    fn delete_a_latch(&mut self) {
        let mut client = self.cluster.zookeeper.client();
        let mut paths = vec![LATCH.to_owned()];
        let mut latches = Vec::new();
        while let Some(path) = paths.pop() {
            let children = client.children(&path).unwrap_or_default();
            paths.extend(children.iter().map(|child| format!("{path}/{child}")));
            // What a session's end removes.
            if client.get(&path).ok().flatten().is_some_and(|node| node.owner != 0) {
                latches.push(path);
            }
        }
        latches.sort();
        if !latches.is_empty() {
            let path = &latches[self.dice_index(latches.len())];
            let deleted = client.delete(path);
            self.cluster.tell(&format!("  {path}: {deleted:?}"));
        }
        self.pause(0, 1000);
    }

    // ------------------------------------------------------------------------------------------------------ links

    fn on_a_link(&mut self, disturb: impl Fn(&crate::harness::Link), most: u64) {
        let node = self.a_node();
        self.cluster.tell(&format!("  node {}", self.cluster.nodes[node].name));
        disturb(&self.cluster.nodes[node].link);
        self.pause(0, most);
        self.cluster.nodes[node].link.heal();
        self.pause(0, 500);
    }

    /// Slower one way than a call may take, or both ways and bearable.
    fn slow_link(&mut self) {
        let (there, back) = [(700, 0), (0, 700), (40, 40)][self.dice_index(3)];
        let delays = (Duration::from_millis(there), Duration::from_millis(back));
        self.on_a_link(move |link| link.delay(delays.0, delays.1), 3500);
    }

    // ---------------------------------------------------------------------------------------------------- servers

    fn restart_a_server(&mut self, killed: bool) {
        let server = self.dice_index(2);
        self.cluster.load.pause();
        let servers = &mut self.cluster.servers;
        if killed {
            servers[server].kill9();
        } else {
            servers[server].stop();
        }
        self.pause(0, 800);
        self.cluster.servers[server].restart();
        self.cluster.load.go_on();
    }

    fn cut_a_source(&mut self) {
        let backup = self.dice_index(2);
        self.cluster.backups[backup].cut();
        self.pause(0, 300);
    }

    // ----------------------------------------------------------------------------------------------------- people

    /// A command about a random shard, said to each node that runs: one that does not lead it refuses.
    fn command(&mut self, word: &str, more: &[&str]) {
        let shard = shard_name(self.dice_index(SHARDS));
        let words = [&[word, &shard], more].concat();
        self.say(&words);
        self.pause(0, 500);
    }

    fn say(&self, words: &[&str]) {
        for node in self.cluster.nodes.iter().filter(|node| node.runs()) {
            let output = node.command(words);
            let told = if output.code == 0 { output.stdout } else { output.stderr };
            self.cluster.tell(&format!("  {}: {words:?}: {} {}", node.name, output.code, told.trim_end()));
        }
    }

    /// A shard rests for a while, whoever leads it by then, and is resumed by whoever leads it then.
    fn suspend(&mut self) {
        let shard = shard_name(self.dice_index(SHARDS));
        self.say(&["suspend", &shard, "--for", "3s", "--reason", "chaos"]);
        self.pause(0, 1500);
        self.say(&["resume", &shard]);
    }
}
