//! Leadership of each shard by itself: guards that come and go share the shards.

mod guards;
mod harness;

use guards::Guarded;
use guards::LATCH;
use guards::Watch;
use harness::ZooKeeperServer;
use harness::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const SHARDS: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

fn start(zookeeper: &ZooKeeperServer, pairs: &[&str]) -> Guarded {
    Guarded::start(zookeeper, &SHARDS, &[&["ha_scope=shard"], pairs].concat())
}

fn loads(nodes: &[&Guarded]) -> Vec<usize> {
    let mut loads: Vec<usize> = nodes.iter().map(|node| node.load()).collect();
    loads.sort_unstable();
    loads
}

/// Waits until the nodes lead so many shards each, whichever does.
fn wait_for_loads(nodes: &[&Guarded], expected: &[usize]) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while loads(nodes) != expected {
        assert!(std::time::Instant::now() < deadline, "{:?}, expected {expected:?}", loads(nodes));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nodes_share_the_shards_as_they_come_and_go() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let auto = ["ha_rebalance=auto"];
    let one = start(&zookeeper, &auto);
    wait_for_loads(&[&one], &[8]);
    let (two, three) = (start(&zookeeper, &auto), start(&zookeeper, &auto));
    let watches = SHARDS.map(|shard| Watch::over([&one, &two, &three], shard));
    wait_for_loads(&[&one, &two, &three], &[2, 3, 3]);
    let losses: usize = SHARDS.iter().map(|shard| one.losses(shard)).sum();
    assert_eq!(losses, 0, "all that moved did so in good order");
    assert!(one.leader("s0").is_some() || one.leads("s0"), "who does not lead knows who does");

    // One dies: its link is gone, and with its session its shards.
    two.link.set(harness::Weather::Down);
    wait_for_loads(&[&one, &three], &[4, 4]);
    assert_eq!(two.load(), 0);
    two.link.heal();
    wait_for_loads(&[&one, &two, &three], &[2, 3, 3]);
    three.stop();
    wait_for_loads(&[&one, &two], &[4, 4]);
    assert_eq!(watches.map(Watch::end), [0; 8], "moments with two leaders");
    one.stop();
    wait_for_loads(&[&two], &[8]);
    two.stop();
    assert!(zookeeper.children(&format!("{LATCH}/_nodes")).is_empty());
    assert!(SHARDS.iter().all(|shard| zookeeper.children(&format!("{LATCH}/{shard}")).is_empty()));
}

#[test]
fn without_rebalance_shards_stay_where_they_are_until_somebody_ends_or_steps_down() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let half = ["ha_max_shards=4"];
    let (one, two) = (start(&zookeeper, &half), start(&zookeeper, &half));
    wait_for_loads(&[&one, &two], &[4, 4]);
    let three = start(&zookeeper, &[]);
    // Longer than the pause before a node with ha_rebalance=auto hands over.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(loads(&[&one, &two]), [4, 4]);
    let shard = SHARDS.into_iter().find(|shard| one.leads(shard)).expect("one of four");
    wait_until("somebody to hand over to", PATIENCE, || one.step_down(Some(shard)).is_ok());
    three.wait_to_lead(shard);
    assert!(one.step_down(Some(shard)).unwrap_err().contains("does not lead"));
    assert_eq!((one.load(), three.load(), one.losses(shard)), (3, 1, 0));
    // All that it leads, to those that lead fewer.
    one.step_down(None).expect("others have room");
    wait_until("all are led elsewhere", PATIENCE, || two.load() + three.load() == 8);
    assert_eq!(one.load(), 0);
}

#[test]
fn all_that_a_node_steps_down_from_goes_to_the_others_and_stays_there() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let names: Vec<String> = (0..40).map(|at| format!("s{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = || Guarded::start(&zookeeper, &names, &["ha_scope=shard"]);
    let (one, two) = (start(), start());
    wait_for_loads(&[&one, &two], &[20, 20]);
    wait_until("somebody to hand over to", PATIENCE, || one.step_down(None).is_ok());
    wait_until("all are led elsewhere", PATIENCE, || two.load() == 40);
    assert_eq!(one.load(), 0);
    assert!(names.iter().all(|shard| one.losses(shard) == 0 && one.turns(shard) + two.turns(shard) <= 2));
}

#[test]
fn no_more_is_handed_over_than_the_others_may_lead() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let one = start(&zookeeper, &[]);
    wait_for_loads(&[&one], &[8]);
    let two = start(&zookeeper, &["ha_max_shards=3"]);
    wait_until("somebody to hand over to", PATIENCE, || {
        one.step_down(None).is_ok_and(|begun| (begun.shards.len(), begun.kept.len()) == (3, 5))
    });
    wait_until("three are led elsewhere", PATIENCE, || two.load() == 3);
    assert!(one.step_down(None).unwrap_err().contains("no other node"));
    assert_eq!((one.load(), SHARDS.iter().map(|shard| one.turns(shard)).sum::<usize>()), (5, 8));
}

#[test]
fn a_node_on_which_nothing_works_is_given_nothing_for_a_while() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let pairs = ["ha_rebalance=auto", "ha_release_after_ms=2500"];
    let (one, two) = (start(&zookeeper, &pairs), start(&zookeeper, &pairs));
    wait_for_loads(&[&one, &two], &[4, 4]);
    SHARDS.iter().filter(|shard| one.leads(shard)).for_each(|shard| one.trouble(shard));
    wait_until("all are led elsewhere", PATIENCE, || two.load() == 8);
    // Twice ha_release_after_ms, less what the way over took.
    let begun = std::time::Instant::now();
    wait_until("the other one gives some back", PATIENCE, || one.load() > 0);
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_node_is_given_only_shards_that_it_runs() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let one = start(&zookeeper, &["ha_rebalance=auto"]);
    wait_for_loads(&[&one], &[8]);
    let narrow = Guarded::start(&zookeeper, &["s7"], &["ha_scope=shard"]);
    narrow.wait_to_lead("s7");
    // Longer than the pause before the next one would be handed over.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(SHARDS.map(|shard| one.turns(shard)), [1; 8]);
}

#[test]
fn of_two_scopes_on_one_path_the_later_one_lets_go_of_what_it_stands_in() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let shards = Guarded::start(&zookeeper, &["s0"], &["ha_scope=shard", "zk_session_timeout=10000"]);
    // Its rounds are slow: it has seen nobody before it enters, and has not begun to lead when somebody is there.
    shards.link.delay(Duration::from_millis(150), Duration::from_millis(150));
    let latch = format!("{LATCH}/s0");
    let mut client = zookeeper.client();
    wait_until("it stands in the latch", PATIENCE, || {
        client.children(&latch).is_ok_and(|nodes| !nodes.is_empty())
    });
    let process = format!("{LATCH}/_c_process-latch-0000000000");
    client.put(&process, b"").expect("a node");
    wait_until("it lets go", PATIENCE, || client.children(&latch).is_ok_and(|nodes| nodes.is_empty()));
    assert_eq!(shards.load(), 0);
    client.delete(&process).expect("the node is gone");
    shards.wait_to_lead("s0");
}

#[test]
fn caps_hold_and_shares_leave_no_shard_without_a_leader() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let small = start(&zookeeper, &["ha_max_shards=1"]);
    let middle = start(&zookeeper, &["ha_max_shards=3"]);
    wait_for_loads(&[&small, &middle], &[1, 3]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(loads(&[&small, &middle]), [1, 3], "no node leads more than it may");
    let large = start(&zookeeper, &[]);
    wait_until("the rest is led", PATIENCE, || large.load() == 4);
    // A node that announces itself and runs one shard only: the others take its share.
    let narrow = Guarded::start(&zookeeper, &["s0"], &["ha_scope=shard"]);
    small.stop();
    middle.stop();
    wait_until("all are led", PATIENCE, || large.load() + narrow.load() == 8);
}

#[test]
fn nodes_of_the_other_scope_on_the_same_path_are_told_and_lead_nothing() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let shards = start(&zookeeper, &[]);
    wait_for_loads(&[&shards], &[8]);
    let process = Guarded::start(&zookeeper, &SHARDS, &[]);
    wait_until("it says why", PATIENCE, || process.why("s0").contains("ha_scope=shard"));
    let watch = Watch::over([&shards, &process], "s0");
    shards.stop();
    process.wait_to_lead("s0");
    let late = start(&zookeeper, &[]);
    wait_until("it says why", PATIENCE, || {
        late.why("s0").contains("nobody") || late.why("s0").contains("process")
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((late.load(), process.load()), (0, 8));
    assert_eq!(watch.end(), 0);
    process.stop();
    wait_for_loads(&[&late], &[8]);
}
