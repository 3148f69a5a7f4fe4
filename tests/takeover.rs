//! Nodes that take over from one another, killed, stopped and coming back in any order, with points that are saved late: over
//! all their folders every row is there once, in order, and `fountain verify` agrees.

mod harness;
mod takeover {
    pub mod node;
}

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Replay;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::parse;
use harness::shapes::Dice;
use harness::union::Union;
use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use takeover::node;

const SHARD: &str = "producer00";

/// Where a kill is to come: while packs are put aside, in the first place.
const ORDERS: [&str; 12] = [
    "sink.rename:1:kill",
    "sink.rename:2:kill",
    "sink.rename:3:kill",
    "sink.rename:4:kill",
    "sink.flush_names:2:kill",
    "sink.flush_names:4:kill",
    "sink.cut:1:kill",
    "sink.cut:2:kill",
    "sink.append:1:tear",
    "sink.append:2:tear",
    "sink.create:2:kill",
    "any:25:kill",
];

/// Not a test of its own: the tests below start this program again with this alone, as a node.
#[test]
#[ignore = "a node's process, of no use by itself"]
fn node_process() {
    node::run();
}

struct Nodes {
    server: Server,
    /// Holds the homes of all nodes and the file that they share.
    folder: Fountain,
    count: u64,
}

impl Nodes {
    fn new(server: Server, count: u64) -> Nodes {
        let nodes = Nodes { server, folder: Fountain::new(), count };
        (0..count).for_each(|node| std::fs::create_dir(nodes.home(node)).expect("a home"));
        nodes
    }

    fn home(&self, node: u64) -> PathBuf {
        self.folder.home().join(format!("node{node}"))
    }

    fn data(&self) -> Vec<PathBuf> {
        (0..self.count).map(|node| self.home(node).join("data")).filter(|data| data.exists()).collect()
    }

    fn start(&self, node: u64, until_end: bool, order: Option<&str>) -> Running {
        self.start_with(node, until_end, order, None)
    }

    fn start_with(&self, node: u64, until_end: bool, order: Option<&str>, saves: Option<u64>) -> Running {
        let home = self.home(node);
        drop(std::fs::remove_file(node::stop_file(&home)));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "node_process", "--ignored", "--nocapture"]);
        let account = self.server.replica_account();
        command.envs(node::environment(&home, self.server.port(), account, until_end, saves));
        if let Some(order) = order {
            command.env("FOUNTAIN_FAIL_POINT", order);
        }
        Running::start(command)
    }

    fn stop(&self, node: u64, run: Running) -> Output {
        std::fs::write(node::stop_file(&self.home(node)), "").expect("the word to stop");
        run.wait(PATIENCE)
    }

    fn run_to_the_end(&self, node: u64) {
        let output = self.start(node, true, None).wait(PATIENCE);
        assert_eq!(output.code, 0, "node {node}: {}{}", output.stdout, output.stderr);
    }

    fn verify(&self) -> String {
        let mut arguments = vec!["verify".to_owned()];
        arguments.extend(self.data().iter().map(|data| data.display().to_string()));
        let output = self.folder.run(&arguments, PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stdout);
        output.stdout
    }

    /// Everything that the table's rows say of the union: complete, each change once, numbers that rise.
    fn check_union(&self) -> Vec<Value> {
        let union = Union::of(&self.data(), SHARD);
        union.assert_once_and_in_order();
        union.assert_whole_epochs();
        let lines = union.lines();
        Replay::of(&lines, "d", "t").assert_is(&self.server, "d", "t", true);
        let mut last = 0;
        for line in &lines {
            let seq = line["seq"].as_u64().expect("seq");
            assert!(seq > last, "seq {last}, then {line}");
            last = seq;
        }
        lines
    }

    /// What the script for readers prints.
    fn by_script(&self) -> Vec<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers/read_nodes.py");
        let output = Command::new(script).arg(SHARD).args(self.data()).output().expect("the script");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        parse(&String::from_utf8(output.stdout).expect("UTF-8"))
    }

    fn superseded(&self) -> usize {
        let files = |data: &PathBuf| std::fs::read_dir(data.join("superseded")).map_or(0, Iterator::count);
        self.data().iter().map(files).sum()
    }

    /// What a reader sees who knows nothing of headers: all files of all folders in the order of their names.
    fn by_name(&self) -> Vec<Value> {
        let mut files = Vec::new();
        for data in self.data() {
            let entries =
                std::fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry").path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "jsonl")));
        }
        files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        files.iter().flat_map(|path| parse(&std::fs::read_to_string(path).expect("a file"))).collect()
    }
}

fn server() -> Option<Server> {
    let server = Server::start_private(Kind::Mysql97, GTID)?;
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v int) ENGINE=InnoDB");
    Some(server)
}

/// Writes transactions of some rows until it is told to stop.
fn load(server: &Server, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (mut session, stop) = (server.session(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut id = 0;
        while !stop.load(Ordering::Relaxed) {
            let rows = 1 + id % 5;
            let values: Vec<String> = (id..id + rows).map(|id| format!("({id},0)")).collect();
            session.sql(&format!("INSERT INTO d.t VALUES {}", values.join(",")));
            session.sql(&format!("UPDATE d.t SET v=v+1 WHERE id IN ({id},{})", id / 2));
            id += rows;
            std::thread::sleep(Duration::from_millis(4));
        }
    })
}

fn random_turns(seed: u64, turns: u64) {
    let Some(server) = server() else { return };
    let nodes = Nodes::new(server, 3);
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&nodes.server, &stop);
    let mut dice = Dice::new(seed);
    let (mut killed, mut by_order) = (0, 0);
    for turn in 0..turns {
        let node = dice.roll(nodes.count);
        let order = (dice.roll(3) == 0).then(|| ORDERS[dice.roll(ORDERS.len() as u64) as usize]);
        let mut run = nodes.start(node, false, order);
        let deadline = Instant::now() + Duration::from_millis(150 + dice.roll(700));
        while run.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let what = format!("seed {seed}, turn {turn}, node {node}, {order:?}");
        match run.ended() {
            Some(code) => {
                assert!(order.is_some() && code == 128 + 9, "{what}: {}", run.wait(PATIENCE).stderr);
                by_order += 1;
            }
            None if dice.roll(4) == 0 => {
                let output = nodes.stop(node, run);
                let orderly = output.code == 0 || order.is_some() && output.code == 128 + 9;
                assert!(orderly, "{what}: {}{}", output.stdout, output.stderr);
            }
            None => {
                assert_eq!(run.kill9().code, 128 + 9, "{what}");
                killed += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    load.join().expect("the writer");
    nodes.run_to_the_end(dice.roll(nodes.count));
    let lines = nodes.check_union();
    assert!(nodes.by_script() == lines, "by scripts/consumers/read_nodes.py");
    let told = nodes.verify();
    assert!(killed > 0, "{by_order} killed by order");
    assert!(nodes.superseded() > 0 || told.contains("do not count"), "nobody's rows came again: {told}");
    // Each one leads once more: then nothing that does not count is left.
    (0..nodes.count).for_each(|node| nodes.run_to_the_end(node));
    let told = nodes.verify();
    assert!(!told.contains("do not count") && !told.contains("another node's"), "{told}");
    assert!(nodes.by_name() == lines, "the files by their names");
    eprintln!(
        "{} rows, {killed} kills, {by_order} by order, {} files superseded",
        lines.len(),
        nodes.superseded()
    );
}

#[test]
fn nodes_that_are_killed_and_come_back_at_random() {
    random_turns(11, 14);
}

#[test]
#[ignore = "minutes"]
fn nodes_that_are_killed_and_come_back_at_random_for_long() {
    for seed in 1..=6 {
        random_turns(seed, 60);
    }
}

/// The first node has packs that no saved point tells of, the second one has delivered their rows; then the first one is killed
/// at a step of its return. With one save none of its packs counts, with two a file counts in part.
fn killed_while_coming_back(orders: &[(u64, &str)]) {
    let Some(server) = server() else { return };
    let nodes = Nodes::new(server, 2);
    nodes.run_to_the_end(0);
    for (round, (saves, order)) in (1..).zip(orders) {
        for id in 0..40 {
            nodes.server.sql(&format!("INSERT INTO d.t VALUES ({},0)", round * 1000 + id));
        }
        let forgotten = nodes.start_with(0, true, None, Some(*saves)).wait(PATIENCE);
        assert_eq!(forgotten.code, 0, "{order}: {}", forgotten.stderr);
        nodes.run_to_the_end(1);
        assert!(nodes.verify().contains("do not count"), "{order}");
        let output = nodes.start(0, true, Some(order)).wait(PATIENCE);
        // The last ones of the long list may come behind the end.
        let reached = output.code == 128 + 9 || order.contains(":6:") && output.code == 0;
        assert!(reached, "{order}: {}{}", output.stdout, output.stderr);
        nodes.check_union();
        nodes.verify();
        nodes.run_to_the_end(0);
        let lines = nodes.check_union();
        assert!(nodes.by_name() == lines, "{order}: the files by their names");
        let told = nodes.verify();
        assert!(!told.contains("do not count"), "{order}: {told}");
    }
    assert!(nodes.superseded() >= orders.len(), "{}", nodes.superseded());
}

#[test]
fn killed_at_steps_of_a_return() {
    killed_while_coming_back(&[
        (1, "sink.rename:1:kill"),
        (1, "sink.rename:2:kill"),
        (2, "sink.append:2:tear"),
        (2, "sink.cut:1:kill"),
        (2, "sink.cut:2:kill"),
    ]);
}

#[test]
#[ignore = "a minute"]
fn killed_at_each_step_of_a_return() {
    let mut orders = Vec::new();
    for (name, steps, action) in [
        ("sink.rename", 6, "kill"),
        ("sink.flush_names", 6, "kill"),
        ("sink.cut", 2, "kill"),
        ("sink.flush", 4, "kill"),
        ("sink.append", 2, "tear"),
        ("sink.create", 2, "kill"),
        ("sink.open", 4, "kill"),
    ] {
        for step in 1..=steps {
            orders.push((2, format!("{name}:{step}:{action}")));
        }
    }
    let orders: Vec<(u64, &str)> = orders.iter().map(|(saves, order)| (*saves, order.as_str())).collect();
    killed_while_coming_back(&orders);
}
