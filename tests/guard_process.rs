//! Leadership of all shards together: two guards in one process, each with its own link to a real ZooKeeper.

mod guards;
mod harness;

use guards::Guarded;
use guards::LATCH;
use guards::Watch;
use harness::Weather;
use harness::ZooKeeperEnsemble;
use harness::ZooKeeperServer;
use harness::wait_until;
use std::time::Duration;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// Two guards, of which the first one leads.
fn pair(zookeeper: &ZooKeeperServer, pairs: &[&str]) -> (Guarded, Guarded) {
    let one = Guarded::start(zookeeper, &["a", "b"], pairs);
    one.wait_to_lead("a");
    one.wait_to_lead("b");
    let other = Guarded::start(zookeeper, &["a", "b"], pairs);
    wait_until("the other one queues up", PATIENCE, || zookeeper.children(LATCH).len() == 2);
    (one, other)
}

#[test]
fn one_leads_all_and_the_other_one_follows_when_it_ends_in_good_order() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let (one, other) = pair(&zookeeper, &[]);
    let watch = Watch::over([&one, &other], "a");
    let node = zookeeper.node(&format!("{LATCH}/{}", one.own_node(&zookeeper))).expect("the leader's node");
    let said: serde_json::Value = serde_json::from_slice(&node.data).expect("readable JSON");
    assert_eq!(said["pid"], std::process::id());
    for key in ["node", "since", "version", "status_dir", "digests"] {
        assert!(!said[key].is_null(), "{key}: {said}");
    }
    wait_until("who waits knows for whom", PATIENCE, || other.leader("a").is_some());
    // Only who leads writes: that it still lives.
    let versions = || {
        let read = |name: &String| zookeeper.node(&format!("{LATCH}/{name}")).expect("its node").version;
        zookeeper.children(LATCH).iter().map(read).collect::<Vec<_>>()
    };
    wait_until("the leader writes", PATIENCE, || versions().iter().any(|version| *version > 2));
    assert!(versions().contains(&0), "{:?}", versions());
    assert!(other.leader("a").expect("a leader").contains(&format!("process {}", std::process::id())));

    // One shard ends for good: the other one goes on, and leadership stays.
    one.end("b");
    std::thread::sleep(Duration::from_secs(1));
    assert!(one.leads("a") && !other.leads("a"));
    let begun = Instant::now();
    one.stop();
    other.wait_to_lead("a");
    let took = begun.elapsed();
    other.wait_to_lead("b");
    // The session is 2 s: it has not expired before.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(watch.end(), 0, "moments with two leaders");
    assert_eq!(zookeeper.children(LATCH).len(), 1);
    other.stop();
    assert!(zookeeper.children(LATCH).is_empty());
}

#[test]
fn a_leader_that_is_cut_off_is_out_before_the_other_one_is_in() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    for weather in [Weather::Swallowed, Weather::Held, Weather::Down] {
        let (one, other) = pair(&zookeeper, &[]);
        let watch = Watch::over([&one, &other], "a");
        one.link.set(weather);
        let begun = Instant::now();
        wait_until("it stops leading by itself", PATIENCE, || !one.leads("a"));
        assert!(begun.elapsed() < Duration::from_millis(1_900), "{weather:?}: {:?}", begun.elapsed());
        other.wait_to_lead("a");
        one.link.heal();
        wait_until("it queues up again", PATIENCE, || zookeeper.children(LATCH).len() == 2);
        std::thread::sleep(Duration::from_secs(1));
        assert!(other.leads("a") && !one.leads("a"), "{weather:?}");
        assert_eq!(watch.end(), 0, "{weather:?}: moments with two leaders");
        one.stop();
        other.stop();
    }
}

/// A server of ZooKeeper's that is cut off from its leader goes on answering reads and pings from what it knows.
#[test]
fn a_leader_whose_zookeeper_server_is_cut_off_is_out_before_the_other_one_is_in() {
    let Some(ensemble) = ZooKeeperEnsemble::start() else { return };
    for pairs in [&["ha_scope=process"], &["ha_scope=shard"]] {
        let one = Guarded::start(ensemble.follower(), &["a"], pairs);
        one.wait_to_lead("a");
        let other = Guarded::start(ensemble.majority(), &["a"], pairs);
        wait_until("the other one knows who leads", PATIENCE, || other.leader("a").is_some());
        let watch = Watch::over([&one, &other], "a");
        ensemble.cut_off();
        other.wait_to_lead("a");
        assert!(!one.leads("a"));
        ensemble.heal();
        assert_eq!(watch.end(), 0, "{pairs:?}: moments with two leaders");
        other.stop();
        one.wait_to_lead("a");
        one.stop();
    }
}

#[test]
fn nobody_leads_while_zookeeper_is_frozen_or_away_and_somebody_does_afterwards() {
    let Some(mut zookeeper) = ZooKeeperServer::start() else { return };
    let (one, other) = pair(&zookeeper, &[]);
    let watch = Watch::over([&one, &other], "a");
    zookeeper.stall();
    wait_until("it stops leading by itself", PATIENCE, || !one.leads("a"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!one.leads("a") && !other.leads("a"));
    zookeeper.resume();
    wait_until("somebody leads again", PATIENCE, || one.leads("a") || other.leads("a"));

    zookeeper.stop();
    wait_until("nobody leads", PATIENCE, || !one.leads("a") && !other.leads("a"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!one.leads("a") && !other.leads("a"));
    zookeeper.restart();
    wait_until("somebody leads again", PATIENCE, || one.leads("a") || other.leads("a"));
    assert_eq!(watch.end(), 0, "moments with two leaders");
    one.stop();
    other.stop();
}

#[test]
fn a_guard_waits_for_a_zookeeper_that_is_down_when_it_begins_and_ends_without_it() {
    let Some(mut zookeeper) = ZooKeeperServer::start() else { return };
    zookeeper.stop();
    let one = Guarded::start(&zookeeper, &["a"], &[]);
    let why = || one.why("a");
    wait_until("it says why", PATIENCE, || why().contains("no ZooKeeper server serves"));
    zookeeper.restart();
    one.wait_to_lead("a");
    zookeeper.stop();
    let begun = Instant::now();
    one.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_node_deleted_by_hand_costs_a_term_and_makes_no_second_leader_while_answers_are_quick() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let (one, other) = pair(&zookeeper, &[]);
    let watch = Watch::over([&one, &other], "a");
    let node = one.own_node(&zookeeper);
    assert!(zookeeper.delete(&format!("{LATCH}/{node}")));
    wait_until("the other one leads", PATIENCE, || other.leads("a"));
    wait_until("the first one queues up again", PATIENCE, || zookeeper.children(LATCH).len() == 2);
    assert!(!one.leads("a"));
    assert!(one.last_loss("a").contains("deleted"), "{}", one.last_loss("a"));
    // That of the one that waits: nothing happens but that it makes another.
    let waiting = zookeeper.children(LATCH).into_iter().max_by_key(|name| sequence(name)).expect("a node");
    assert!(zookeeper.delete(&format!("{LATCH}/{waiting}")));
    wait_until("it queues up again", PATIENCE, || {
        let nodes = zookeeper.children(LATCH);
        nodes.len() == 2 && !nodes.contains(&waiting)
    });
    assert!(other.leads("a"));
    assert_eq!(watch.end(), 0, "moments with two leaders");
}

fn sequence(name: &str) -> String {
    name.rsplit('-').next().expect("a sequence").to_owned()
}

#[test]
fn who_steps_down_waits_behind_the_others_and_only_where_there_are_others() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let one = Guarded::start(&zookeeper, &["a"], &[]);
    one.wait_to_lead("a");
    assert!(one.step_down(None).unwrap_err().contains("no other node"));
    let other = Guarded::start(&zookeeper, &["a"], &[]);
    let watch = Watch::over([&one, &other], "a");
    wait_until("somebody to hand over to", PATIENCE, || one.step_down(None).is_ok());
    other.wait_to_lead("a");
    assert!(
        other.step_down(Some("b")).is_err() && one.step_down(None).unwrap_err().contains("does not lead")
    );
    wait_until("it goes back", PATIENCE, || other.step_down(Some("a")).is_ok());
    one.wait_to_lead("a");
    assert!(!other.leads("a"));
    assert_eq!(watch.end(), 0, "moments with two leaders");
    assert_eq!(one.losses("a"), 0, "in good order both times");
}

#[test]
fn trouble_of_one_machine_hands_over_where_somebody_waits() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let (one, other) = pair(&zookeeper, &["ha_release_after_ms=1500"]);
    one.trouble("a");
    std::thread::sleep(Duration::from_secs(3));
    assert!(one.leads("a"), "the other shard works");
    one.trouble("b");
    other.wait_to_lead("a");
    other.wait_to_lead("b");
    assert_eq!(one.losses("a"), 0, "in good order");
    one.stop();
    other.trouble("a");
    other.trouble("b");
    std::thread::sleep(Duration::from_secs(3));
    assert!(other.leads("a"), "nobody waits");
}
