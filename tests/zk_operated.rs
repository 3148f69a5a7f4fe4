//! Shards that several nodes share, operated from a machine on which no node runs: who leads heeds it.

mod harness;

use harness::Kind;
use harness::Node;
use harness::Output;
use harness::Server;
use harness::ZooKeeperServer;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::numbered::create;
use harness::numbered::ids;
use harness::numbered::insert;
use harness::wait_until;

const STOPS: &str = "SET SESSION binlog_format=STATEMENT; INSERT INTO d.t VALUES ";

fn ids_of(node: &Node, shard: &str) -> Vec<u64> {
    let lines: Vec<_> = node.lines().into_iter().filter(|line| line["shard"] == shard).collect();
    ids(&lines)
}

fn done(output: &Output) {
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// All shards under one latch: the leader keeps it while one of them rests or has stopped.
#[test]
fn a_leader_heeds_what_is_said_elsewhere() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    let Some(other) = Server::start_private(Kind::Mariadb, &[]) else { return };
    let [mut leader, mut desk] = ["leader", "desk"].map(|name| {
        let mut node = Node::new(name, &zookeeper, &[]);
        node.shard(0, &server);
        node.shard(1, &other);
        node
    });
    create(&server);
    create(&other);
    leader.start();
    insert(&server, 1);
    insert(&other, 101);
    let rows = |leader: &Node, shard: &str, expected: &[u64]| {
        wait_until(&format!("rows of {shard}"), PATIENCE, || ids_of(leader, shard) == expected);
    };
    rows(&leader, "producer00", &[1]);
    rows(&leader, "producer01", &[101]);
    let set = |desk: &Node, shard: &str, start: &str| {
        desk.command(&["points", "set", shard, "--start", start, "--reason", "a test", "--yes"])
    };
    assert_refused(&set(&desk, "producer00", "beginning"), 1, "LOCKED", &["leads", "suspend producer00"]);

    let suspended = desk.command(&["suspend", "producer00", "--reason", "the cellar is wet"]);
    done(&suspended);
    assert!(suspended.stdout.contains("rests"), "{}", suspended.stdout);
    assert_eq!(leader.told("SUSPENDED"), 1, "{}", leader.stderr());
    insert(&other, 102);
    rows(&leader, "producer01", &[101, 102]);
    done(&set(&desk, "producer00", "beginning"));
    done(&desk.command(&["resume", "producer00"]));
    insert(&server, 2);
    rows(&leader, "producer00", &[1, 1, 2]);
    assert_eq!(leader.told("LEADERSHIP_LOST"), 0, "{}", leader.stderr());

    // A node that stands by passes the word on as well.
    desk.start();
    wait_until("it stands by", PATIENCE, || desk.told("standing by") > 0);
    let suspended = desk.command(&["suspend", "producer00", "--reason", "once more"]);
    done(&suspended);
    assert!(suspended.stdout.contains("rests there"), "{}", suspended.stdout);
    done(&desk.command(&["resume", "producer00"]));
    assert_eq!(desk.terminate().code, 0, "{}", desk.stderr());
    insert(&server, 3);
    rows(&leader, "producer00", &[1, 1, 2, 3]);

    // A shard that has stopped for what lies in its log is led by nobody, whoever has the latch.
    other.sql(&format!("{STOPS}(103)"));
    let stops = |leader: &Node| leader.told("STATEMENT_DML: shard=producer01");
    wait_until("it stops", PATIENCE, || stops(&leader) > 0);
    wait_until("why is kept", PATIENCE, || {
        zookeeper.node(&format!("{}/producer01/state", harness::node::POINTS)).is_some()
    });
    done(&set(&desk, "producer01", "end"));
    insert(&other, 104);
    rows(&leader, "producer01", &[101, 102, 104]);

    // Definitions that a person supplies are a reason to try it again.
    let before = stops(&leader);
    other.sql(&format!("{STOPS}(105)"));
    wait_until("it stops again", PATIENCE, || stops(&leader) > before);
    let before = stops(&leader);
    let table = r#"{"database":"d","table":"u","columns":[{"name":"id","type":"int"}],"key":["id"]}"#;
    desk.home.write("u.json", table);
    let file = desk.home.home().join("u.json");
    let file = file.to_str().expect("UTF-8");
    done(&desk.command(&["schema", "set", "producer01", file, "--reason", "a test"]));
    wait_until("it is tried again", PATIENCE, || stops(&leader) > before);
    assert_eq!(leader.terminate().code, 1, "a shard had stopped: {}", leader.stderr());
}
