//! A ZooKeeper that lost its points, and a mistyped path to them: no node starts anew, whoever comes first; and going on from a
//! node's own copy repeats what others delivered since, under numbers that nobody has used.

mod harness;

use harness::Kind;
use harness::Node;
use harness::Server;
use harness::ZooKeeperServer;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::node::LATCH;
use harness::node::POINTS;
use harness::node::point_in;
use harness::numbered::create;
use harness::numbered::ids;
use harness::numbered::insert;
use harness::union::Union;
use harness::wait_until;
use std::path::PathBuf;
use std::time::Duration;

const SHARD: &str = "producer00";
/// Longer than a standby takes to look around a few times.
const LOOKED: Duration = Duration::from_secs(30);

fn nodes(zookeeper: &ZooKeeperServer, server: &Server) -> [Node; 2] {
    ["one", "two"].map(|name| {
        let mut node = Node::new(name, zookeeper, &["async_event_position_thread_period=100"]);
        node.shard(0, server);
        node
    })
}

fn setting() -> Option<(ZooKeeperServer, Server)> {
    let zookeeper = ZooKeeperServer::start()?;
    let server = Server::start_private(Kind::Mariadb, &[])?;
    create(&server);
    Some((zookeeper, server))
}

/// As a rebuilt ZooKeeper has it.
fn lose_points(zookeeper: &ZooKeeperServer) {
    for node in ["/schema", "/state", ""] {
        zookeeper.delete(&format!("{POINTS}/{SHARD}{node}"));
    }
}

fn wait_for_trace(node: &Node) {
    let trace = node.home.home().join(format!("points/{SHARD}.trace"));
    wait_until(&format!("{} knows that there is a point", node.name), LOOKED, || trace.exists());
}

/// Leads until it has delivered that row, and ends.
fn lead_to_row(node: &mut Node, server: &Server, id: u64) {
    node.start();
    insert(server, id);
    wait_until(&format!("row {id}"), PATIENCE, || node.ids().last() == Some(&id));
    assert_eq!(node.terminate().code, 0, "{}", node.stderr());
}

#[test]
fn a_standby_that_never_led_starts_nothing_anew_when_zookeeper_was_rebuilt() {
    let Some((zookeeper, server)) = setting() else { return };
    let [mut one, mut two] = nodes(&zookeeper, &server);
    two.set("start_without_point=end");
    one.start();
    insert(&server, 1);
    wait_until("row 1", PATIENCE, || one.ids() == [1]);
    two.start();
    wait_for_trace(&two);
    two.terminate();
    assert_eq!(one.terminate().code, 0, "{}", one.stderr());
    insert(&server, 2);
    lose_points(&zookeeper);

    two.start();
    wait_until("it stops", PATIENCE, || two.told("POINT_LOST") > 0);
    assert_eq!(two.ids(), [0u64; 0], "{}", two.stderr());
    assert!(point_in(&zookeeper, SHARD).is_none_or(|record| record["point"].is_null()), "nothing is begun");
}

/// A node that has never been here takes the lead, and another one in the latch says that it knows of a point.
#[test]
fn a_new_node_heeds_what_others_know() {
    let Some((zookeeper, server)) = setting() else { return };
    let [_, mut two] = nodes(&zookeeper, &server);
    insert(&server, 1);
    let mut client = zookeeper.client();
    for path in ["/fountain", LATCH] {
        client.put(path, b"").expect("a folder");
    }
    let says = format!(r#"{{"node":"db9","pid":7,"since":"then","points":["{SHARD}"]}}"#);
    client.put(&format!("{LATCH}/_c_other-latch-2000000000"), says.as_bytes()).expect("a seat behind it");
    two.start();
    wait_until("it stops", PATIENCE, || two.told("POINT_LOST") > 0);
    assert!(two.stderr().contains("db9 (process 7"), "{}", two.stderr());
    assert_eq!(two.ids(), [0u64; 0], "{}", two.stderr());
}

#[test]
fn a_node_with_another_path_of_points_does_not_take_over() {
    let Some((zookeeper, server)) = setting() else { return };
    let [mut one, mut two] = nodes(&zookeeper, &server);
    two.set("start_without_point=end");
    two.set("zk_save_position_root_path=/fountain/pionts");
    one.start();
    insert(&server, 1);
    wait_until("row 1", PATIENCE, || one.ids() == [1]);
    two.start();
    wait_for_trace(&two);
    one.kill9();
    insert(&server, 2);
    wait_until("its latch is free", PATIENCE, || zookeeper.children(LATCH).is_empty());
    two.kill9();
    assert_eq!(two.told("this node leads"), 0, "{}", two.stderr());
    // It has not forgotten when it begins again alone.
    two.start();
    wait_until("it stops", PATIENCE, || two.told("POINT_LOST") > 0);
    assert_eq!(two.ids(), [0u64; 0], "{}", two.stderr());
}

/// The point that ours takes the place of is kept: there is a way back.
#[test]
fn the_originals_point_in_zookeeper_is_kept_beside_ours() {
    let Some((zookeeper, server)) = setting() else { return };
    let [mut one, _] = nodes(&zookeeper, &server);
    insert(&server, 1);
    let text = server.select("SELECT @@global.gtid_binlog_pos")[0][0].clone().expect("a position");
    let mut client = zookeeper.client();
    for (path, data) in [("/fountain", ""), (POINTS, ""), (&format!("{POINTS}/{SHARD}"), &text)] {
        client.put(path, data.as_bytes()).expect("a node");
    }
    lead_to_row(&mut one, &server, 2);
    assert_eq!(one.ids(), [2], "it is gone on with");
    assert!(point_in(&zookeeper, SHARD).is_some_and(|record| record["point"].is_object()));
    let kept = zookeeper.node(&format!("{POINTS}/{SHARD}/original")).expect("a copy");
    assert_eq!(kept.text(), text);
}

/// Without a server: two nodes have begun one epoch, which the reader's script does not choose between.
#[test]
fn two_packs_of_one_name_are_an_error_of_the_script() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |rows: [&str; 2]| {
        let folders = ["a", "b"].map(|name| folder.path().join(name));
        for (folder, rows) in folders.iter().zip(rows) {
            std::fs::create_dir_all(folder).expect("a folder");
            let header = serde_json::json!({
                "epoch": 7, "sequence": 1, "bytes": rows.len(), "crc32": format!("{:08x}", crc32fast::hash(rows.as_bytes())),
            });
            let data = folder.join("s-00000007-00000001.jsonl");
            std::fs::write(&data, rows).expect("rows");
            std::fs::write(format!("{}.packs", data.display()), format!("{header}\n")).expect("headers");
        }
        let script = format!("{}/scripts/consumers/read_nodes.py", env!("CARGO_MANIFEST_DIR"));
        std::process::Command::new(script).arg("s").args(folders).output().expect("the script")
    };
    let same = read(["{\"id\":1}\n"; 2]);
    assert!(same.status.success() && same.stdout == b"{\"id\":1}\n", "a copy is no contradiction");
    let other = read(["{\"id\":1}\n", "{\"id\":2}\n"]);
    let told = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && told.contains("pack 7/1 is another one in"), "{told}");
    assert!(other.stdout.is_empty());
}

/// The copy is of a node that did not lead last: others have used the next epochs and numbers.
#[test]
fn an_older_copy_uses_no_epoch_and_no_number_again() {
    let Some((zookeeper, server)) = setting() else { return };
    let [mut one, mut two] = nodes(&zookeeper, &server);
    lead_to_row(&mut one, &server, 1);
    lead_to_row(&mut two, &server, 2);
    lead_to_row(&mut two, &server, 3);
    let used = two.lines().last().and_then(|line| line["seq"].as_u64()).expect("seq");
    lose_points(&zookeeper);
    let moved = one.command(&["points", "set", SHARD, "--from-local", "--reason", "rebuilt", "--yes"]);
    assert_eq!(moved.code, 0, "{}{}", moved.stdout, moved.stderr);
    one.start();
    wait_until("its rows come again", PATIENCE, || one.ids() == [1, 2, 3]);
    one.terminate();
    let folders: Vec<PathBuf> = [&one, &two].map(Node::data_dir).into();
    let check = |expected: &[u64]| {
        let union = Union::of(&folders, SHARD);
        union.assert_once_and_in_order();
        assert_eq!(ids(&union.lines()), expected);
        let folders: Vec<&str> = folders.iter().map(|folder| folder.to_str().expect("UTF-8")).collect();
        let verified = one.home.run(&[&["verify"], &folders[..]].concat(), PATIENCE);
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        union
    };
    let union = check(&[1, 2, 3]);
    let (epoch, _) = union.packs.keys().last().expect("a pack");
    assert!(*epoch > 100, "epoch {epoch} is far behind those of the other node");
    let again = one.lines().into_iter().rfind(|line| line["after"]["id"] == 2).expect("row 2");
    assert!(again["seq"].as_u64() > Some(used), "{again} behind {used}");

    // The other node's packs that came again do not count, and it goes on behind them.
    lead_to_row(&mut two, &server, 4);
    assert_eq!(two.ids(), [4]);
    check(&[1, 2, 3, 4]);

    // A node that keeps points in files from now on does not take its copy for a point.
    let alone = ["points", "show", "-D", "mysql_username=u", "-D", "mysql_shard_0_server=127.0.0.1"];
    let shown = two.home.run(&alone, PATIENCE);
    assert_refused(&shown, 1, "POINT_LOST", &["copy", "--from-local"]);
}
