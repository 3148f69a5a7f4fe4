//! A leader that stood still while another node took over: it wakes up, begins no pack, saves nothing, says why and stands by.
//! And two deployments that take each other for such a one.

mod harness;

use harness::GTID;
use harness::Kind;
use harness::Node;
use harness::Server;
use harness::Session;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::node::point_in;
use harness::numbered::create_wide;
use harness::numbered::ids;
use harness::numbered::selected;
use harness::union::Union;
use harness::wait_until;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

const SHARD: &str = "producer00";
const ROUNDS: usize = 3;

/// Inserts rows one after the other until it is told to end.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    fn start(mut session: Session) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let ids = (1..).take_while(|_| !told.load(Ordering::Relaxed));
            ids.for_each(|id: u64| {
                session.sql(&format!("INSERT INTO d.t VALUES ({id},REPEAT('x',300))"));
                std::thread::sleep(Duration::from_millis(2));
            });
        });
        Load { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer");
    }
}

/// The epoch of the record that ZooKeeper holds; 0 before there is one.
fn epoch(zookeeper: &ZooKeeperServer) -> u64 {
    point_in(zookeeper, SHARD).and_then(|record| record["epoch"].as_u64()).unwrap_or(0)
}

/// (epoch, sequence) of the packs in a node's folder that are not set aside.
fn packs(node: &Node) -> Vec<(u64, u64)> {
    Union::of(&[node.data_dir()], SHARD).packs.into_keys().collect()
}

/// So many packs it has put out whole, as their headers tell.
fn headers(node: &Node) -> usize {
    let entries =
        std::fs::read_dir(node.data_dir()).expect("its folder").map(|entry| entry.expect("an entry").path());
    let packs = entries.filter(|path| path.extension().is_some_and(|ending| ending == "packs"));
    packs.map(|path| std::fs::read_to_string(path).expect("headers").matches('\n').count()).sum()
}

/// Of rows; the lock in the folder is none.
fn data_bytes(node: &Node) -> u64 {
    let Ok(entries) = std::fs::read_dir(node.data_dir()) else { return 0 };
    let entries = entries.map(|entry| entry.expect("an entry"));
    let rows = entries.filter(|entry| {
        let name = entry.file_name();
        [".jsonl", ".part"].iter().any(|ending| name.to_string_lossy().ends_with(ending))
    });
    rows.map(|entry| entry.metadata().map_or(0, |found| found.len())).sum()
}

fn wait_for_more(node: &Node) {
    let before = data_bytes(node);
    wait_until(&format!("{} delivers", node.name), PATIENCE, || data_bytes(node) > before);
}

/// Points are saved so seldom that whoever takes over delivers again much of what the zombie has.
const PAIRS: &[&str] = &[
    "async_event_position_thread_initdelay=1h",
    "async_event_position_thread_period=1h",
    "pack_timeout_ms=10",
];

#[test]
fn a_leader_that_slept_past_its_session_does_nothing_any_more() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create_wide(&server);
    let mut nodes = ["one", "two"].map(|name| {
        let mut node = Node::new(name, &zookeeper, PAIRS);
        node.shard(0, &server);
        node
    });
    let load = Load::start(server.session());
    nodes[0].start();
    wait_for_more(&nodes[0]);
    nodes[1].start();
    let (mut leader, mut other) = (0, 1);
    for round in 1..=ROUNDS {
        let before = epoch(&zookeeper);
        std::thread::sleep(Duration::from_millis(100 + 37 * round as u64));
        nodes[leader].freeze();
        wait_for_more(&nodes[other]);
        let taken_over = epoch(&zookeeper);
        assert!(taken_over > before, "{taken_over} follows {before}");
        let lost_before = nodes[leader].told("LEADERSHIP_LOST");
        let begun = headers(&nodes[leader]);
        nodes[leader].thaw();
        wait_until("it says that it lost", PATIENCE, || nodes[leader].told("LEADERSHIP_LOST") > lost_before);
        // The one write that it was frozen in may have landed; behind that nothing comes from it.
        let landed = headers(&nodes[leader]) - begun;
        assert!(landed <= 1, "{landed} packs after it woke up:\n{}", nodes[leader].stderr());
        let held = data_bytes(&nodes[leader]);
        wait_for_more(&nodes[other]);
        assert_eq!(epoch(&zookeeper), taken_over, "somebody else has written the point");
        assert_eq!(data_bytes(&nodes[leader]), held, "the zombie goes on:\n{}", nodes[leader].stderr());
        assert_eq!(nodes[leader].ended(), None, "it stands by:\n{}", nodes[leader].stderr());
        (leader, other) = (other, leader);
    }
    load.end();

    // Each of them leads once more, alone: what others have delivered again is set aside.
    for node in &mut nodes {
        assert_eq!(node.terminate().code, 0, "{}", node.stderr());
    }
    for node in &nodes {
        let output = node.until_end();
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    let last = selected(&server, "d.t").len() as u64;
    let folders: Vec<PathBuf> = nodes.iter().map(Node::data_dir).collect();
    let union = Union::of(&folders, SHARD);
    union.assert_once_and_in_order();
    union.assert_whole_epochs();
    assert!(ids(&union.lines()).into_iter().eq(1..=last), "rows are missing, or in another order");
    let aside = folders.iter().filter(|folder| folder.join("superseded").is_dir()).count();
    assert!(aside > 0, "nothing was delivered again: {:?}", nodes.each_ref().map(packs));
}

#[test]
fn two_deployments_on_one_place_are_told_so_and_leave_the_point_alone_longer_and_longer() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create_wide(&server);
    let load = Load::start(server.session());
    let mut nodes = ["one", "two"].map(|name| {
        let mut node = Node::new(name, &zookeeper, &["sink=null"]);
        node.set(&format!("zk_leader_latch_path=/fountain/leader-{name}"));
        node.shard(0, &server);
        node.start();
        node
    });
    wait_until("one of them says it", PATIENCE, || {
        nodes.iter().any(|node| node.told("another deployment") > 0)
    });
    load.end();
    for node in &mut nodes {
        let said = node.stderr();
        assert!(!said.contains("stands by"), "it leads:\n{said}");
        assert_eq!(node.terminate().code, 0, "{said}");
    }
}
