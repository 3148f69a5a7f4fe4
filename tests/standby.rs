//! Two nodes beside one ZooKeeper, asked through their own control sockets: what the one says that stands by, and leadership that
//! is handed over by a person's word.

mod harness;

use harness::Kind;
use harness::Node;
use harness::Output;
use harness::Server;
use harness::ZooKeeperServer;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::numbered::create;
use harness::numbered::insert;
use harness::wait_until;
use serde_json::Value;
use std::time::Duration;
use std::time::Instant;

const SHARD: &str = "producer00";

/// The exit code of `status`, and the shard.
fn seen(node: &Node) -> (i32, Value) {
    let Output { code, stdout, stderr } = node.command(&["status", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    (code, report["shards"][0].clone())
}

fn wait_to_stand_by(node: &Node) {
    let stands_by = |shard: &Value| shard["state"] == "standby" && shard["leadership"]["leader"].is_string();
    wait_until(&format!("{} stands by", node.name), PATIENCE, || stands_by(&seen(node).1));
}

fn wait_for_rows(node: &Node, expected: &[u64]) {
    wait_until(&format!("rows of {}", node.name), PATIENCE, || node.ids() == expected);
}

/// Two nodes of one configuration; the first leads and has delivered row 1, the other one is not started.
struct Setting {
    zookeeper: ZooKeeperServer,
    server: Server,
    one: Node,
    other: Node,
}

impl Setting {
    fn start(pair: &str) -> Option<Setting> {
        let zookeeper = ZooKeeperServer::start()?;
        let server = Server::start_private(Kind::Mariadb, &[])?;
        let [mut one, other] = ["one", "other"].map(|name| {
            let mut node = Node::new(name, &zookeeper, &[pair]);
            node.shard(0, &server);
            node
        });
        create(&server);
        insert(&server, 1);
        one.start();
        wait_for_rows(&one, &[1]);
        Some(Setting { zookeeper, server, one, other })
    }
}

#[test]
fn who_leads_is_told_alike_by_all_and_handed_over_when_another_one_leads() {
    let Some(Setting { zookeeper: _zookeeper, server, one, mut other }) =
        Setting::start("stop_timeout_ms=3000")
    else {
        return;
    };
    assert_refused(&one.command(&["step-down"]), 1, "CONTROL", &["no other node waits"]);

    // What it would deliver after a take-over is not what is delivered now.
    other.set("json_bigint=string");
    other.start();
    wait_to_stand_by(&other);
    let (code, shard) = seen(&other);
    let why = shard["leadership"]["why"].as_str().expect("why").to_owned();
    assert!(code == 1 && why.contains("json_bigint"), "{shard}");
    assert_eq!(other.terminate().code, 0, "{}", other.stderr());

    other.set("json_bigint=number");
    other.start();
    wait_to_stand_by(&other);
    let (code, stands_by) = seen(&other);
    let leads = seen(&one).1;
    assert_eq!((code, seen(&one).0), (0, 0), "{stands_by}");
    assert_eq!(leads["leadership"]["leader_pid"], one.pid(), "{leads}");
    for field in ["leader", "leader_pid", "leader_since_ms"] {
        assert!(!leads["leadership"][field].is_null(), "{leads}");
        assert_eq!(leads["leadership"][field], stands_by["leadership"][field], "{field}: {stands_by}");
    }
    assert!(stands_by["leadership"]["why"].as_str().is_some_and(|why| why.contains("leads")), "{stands_by}");
    for words in [&["switch", SHARD, "main"][..], &["step-down", SHARD]] {
        assert_refused(&other.command(words), 1, "CONTROL", &["is led by", "ask that node"]);
    }

    // The answer comes when another node leads, and not before.
    let mut done = one.command(&["step-down"]);
    // Its last look at the latch may be older than the other one's seat there.
    wait_until("who leads has seen who waits", PATIENCE, || {
        let unseen = done.code == 1 && done.stderr.contains("no other node waits");
        if unseen {
            done = one.command(&["step-down"]);
        }
        !unseen
    });
    let (_, shard) = seen(&other);
    assert_eq!((done.code, &shard["leadership"]["here"]), (0, &Value::Bool(true)), "{}{shard}", done.stderr);
    assert!(done.stdout.contains(&format!("process {}", other.pid())), "{}", done.stdout);
    insert(&server, 2);
    wait_for_rows(&other, &[2]);

    // The one that waits is dead, and its node in the latch is not gone yet.
    one.freeze();
    assert_refused(&other.command(&["step-down"]), 1, "CONTROL", &["given up", "nobody has taken it"]);
    one.thaw();
    wait_until("somebody leads", PATIENCE, || {
        [&one, &other].iter().any(|node| seen(node).1["state"] == "running")
    });
}

/// A suspension for some time is one for the next leader, too, and ends there.
#[test]
fn a_suspension_goes_over_to_the_next_leader_and_ends_in_time() {
    let Some(Setting { zookeeper: _zookeeper, server, mut one, mut other }) =
        Setting::start("ha_scope=shard")
    else {
        return;
    };
    other.start();
    wait_to_stand_by(&other);
    let begun = Instant::now();
    let done = one.command(&["suspend", SHARD, "--for", "5s", "--reason", "the cellar is wet"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    one.kill9();
    insert(&server, 2);
    wait_until("it is suspended there", PATIENCE, || seen(&other).1["state"] == "suspended");
    wait_for_rows(&other, &[2]);
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(other.told("its suspension has ended by itself"), 1, "{}", other.stderr());
}
