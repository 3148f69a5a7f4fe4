//! Points in ZooKeeper without a guard, and what every node makes of a point that ZooKeeper has lost.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Node;
use harness::Output;
use harness::Running;
use harness::Server;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::numbered::create;
use harness::numbered::ids;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::union::Union;
use harness::wait_until;

const SHARD: &str = "producer00";
const ROOT: &str = "/fountain/points";
const LATE_SAVES: [&str; 2] =
    ["async_event_position_thread_initdelay=100", "async_event_position_thread_period=100"];

fn arguments(home: &Fountain, server: &Server, zookeeper: &ZooKeeperServer) -> Vec<String> {
    let (address, root) =
        (format!("zk_string={}", zookeeper.address()), format!("zk_save_position_root_path={ROOT}"));
    let pairs = [
        &address,
        &root,
        "zk_session_timeout=3s",
        "start_without_point=beginning",
        LATE_SAVES[0],
        LATE_SAVES[1],
    ];
    run_arguments(home, server, &keys(&pairs))
}

fn wait_for_row(run: &mut Running, home: &Fountain, id: u64) {
    run.wait_for(&format!("row {id}"), PATIENCE, |_| ids_in(home).last() == Some(&id));
}

fn status(home: &Fountain, arguments: &[String]) -> Output {
    let words = ["status".to_owned()].into_iter();
    home.run(&words.chain(arguments[1..].iter().cloned()).collect::<Vec<_>>(), PATIENCE)
}

/// As ZooKeeper holds it, a line of JSON.
fn stored(zookeeper: &ZooKeeperServer) -> Option<serde_json::Value> {
    let node = zookeeper.node(&format!("{ROOT}/{SHARD}"))?;
    Some(serde_json::from_slice(&node.data).expect("JSON"))
}

#[test]
fn rows_go_on_while_zookeeper_is_away_and_points_come_later() {
    let Some(mut zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create(&server);
    let home = Fountain::new();
    let arguments = arguments(&home, &server, &zookeeper);
    zookeeper.stop();
    let mut run = home.spawn(&arguments);
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("ZK_UNREACHABLE"));
    insert(&server, 1);
    assert_eq!(ids_in(&home), [0u64; 0], "nothing without a stored start point");
    zookeeper.restart();
    wait_for_row(&mut run, &home, 1);

    zookeeper.stall();
    for id in 2..=4 {
        insert(&server, id);
        wait_for_row(&mut run, &home, id);
    }
    run.wait_for("status warns", PATIENCE, |_| status(&home, &arguments).code == 1);
    let told = status(&home, &arguments).stdout;
    assert!(told.contains("running") && told.contains("points are not saved since 2"), "{told}");
    assert!(told.contains("ZK_"), "{told}");
    zookeeper.resume();
    let sequence = || stored(&zookeeper).and_then(|record| record["sequence"].as_u64());
    wait_until("the point of all four packs is saved", PATIENCE, || sequence() == Some(4));
    run.wait_for("status is content", PATIENCE, |_| status(&home, &arguments).code == 0);

    zookeeper.kill9();
    insert(&server, 5);
    wait_for_row(&mut run, &home, 5);
    assert_eq!(run.kill9().code, 128 + 9);
    zookeeper.restart();
    insert(&server, 6);
    let mut run = home.spawn(&arguments);
    wait_for_row(&mut run, &home, 6);
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids_in(&home), [1, 2, 3, 4, 5, 6], "each once");
    assert_eq!(stored(&zookeeper).expect("a point")["epoch"], 2);
}

/// A stop while ZooKeeper is frozen waits for it half of stop_timeout_ms; exit code 0 says that the last point is saved.
#[test]
fn a_last_point_that_zookeeper_takes_late_or_not_at_all() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let home = Fountain::new();
    let begin = |id, stop_timeout: &str| {
        let more = keys(&[stop_timeout, "zk_connection_timeout=1s"]).into_iter().map(str::to_owned);
        let arguments: Vec<String> = arguments(&home, &server, &zookeeper).into_iter().chain(more).collect();
        let mut run = home.spawn(&arguments);
        insert(&server, id);
        wait_for_row(&mut run, &home, id);
        zookeeper.stall();
        insert(&server, id + 1);
        run.wait_for("it is told", PATIENCE, |run| run.stderr().contains("trying again every second"));
        assert_eq!(ids_in(&home).last(), Some(&(id + 1)));
        run.signal("TERM");
        run
    };
    let mut run = begin(1, "stop_timeout_ms=120s");
    run.wait_for("the stop waits", PATIENCE, |run| run.stderr().contains("its end waits for the last point"));
    zookeeper.resume();
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(stored(&zookeeper).expect("a point")["sequence"], 2, "{}", output.stderr);

    let output = begin(3, "stop_timeout_ms=8s").wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(!output.stderr.contains("in good order"), "{}", output.stderr);
    let unsaved = "the last point, behind pack 2 of epoch 2, is not saved";
    let told: Vec<&str> = output.stderr.lines().filter(|line| line.contains(unsaved)).collect();
    assert!(
        told.len() == 1 && told[0].contains("ERROR") && told[0].contains("nothing is lost"),
        "{}",
        output.stderr
    );
    zookeeper.resume();
}

/// Without a guard two processes on one shard are a mistake: the one that comes later wins, and the other one stops.
#[test]
fn of_two_writers_one_stops() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    // Nobody needs to ask for definitions.
    let full = [GTID, &["--binlog-row-metadata=FULL"]].concat();
    let Some(server) = Server::start_private(Kind::Mysql97, &full) else { return };
    create(&server);
    let homes = [Fountain::new(), Fountain::new()];
    let mut first = homes[0].spawn(&arguments(&homes[0], &server, &zookeeper));
    insert(&server, 1);
    wait_for_row(&mut first, &homes[0], 1);
    wait_until("the point is saved", PATIENCE, || {
        stored(&zookeeper).is_some_and(|record| record["sequence"] == 1)
    });
    let mut second = homes[1].spawn(&arguments(&homes[1], &server, &zookeeper));
    wait_until("the second one begins", PATIENCE, || {
        stored(&zookeeper).is_some_and(|record| record["epoch"] == 2)
    });
    let mut last = 1;
    first.wait_for("it stops", PATIENCE, |run| {
        last += 1;
        insert(&server, last);
        std::thread::sleep(std::time::Duration::from_millis(100));
        run.stderr().contains("this shard stops")
    });
    let output = first.wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("LEADERSHIP_LOST") && output.stderr.contains("ha_guard=none"),
        "{}",
        output.stderr
    );
    last += 1;
    insert(&server, last);
    wait_for_row(&mut second, &homes[1], last);
    assert_eq!(second.terminate(PATIENCE).code, 0);
    let union = Union::of(&[homes[0].home().join("data"), homes[1].home().join("data")], SHARD);
    union.assert_once_and_in_order();
    assert_eq!(ids(&union.lines()), (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_point_that_zookeeper_lost_is_no_fresh_start_for_any_node() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let [mut one, mut two] = ["one", "two"].map(|name| {
        let mut node = Node::new(name, &zookeeper, &["async_event_position_thread_period=100"]);
        node.shard(0, &server);
        node
    });
    one.start();
    insert(&server, 1);
    wait_until("row 1", PATIENCE, || one.ids() == [1]);
    assert_eq!(one.terminate().code, 0, "{}", one.stderr());
    insert(&server, 2);

    let root = harness::node::POINTS;
    for node in ["/schema", "/state", ""] {
        zookeeper.delete(&format!("{root}/{SHARD}{node}"));
    }
    one.start();
    wait_until("it stops", PATIENCE, || one.told("POINT_LOST") > 0);
    assert!(one.stderr().contains("--from-local"), "{}", one.stderr());
    two.start();
    wait_until("the other one heeds it", PATIENCE, || two.told("POINT_LOST") > 0);
    assert_eq!(two.ids(), [0u64; 0], "{}", two.stderr());
    one.terminate();

    let moved = one.command(&["points", "set", SHARD, "--from-local", "--reason", "rebuilt", "--yes"]);
    assert_eq!(moved.code, 0, "{}{}", moved.stdout, moved.stderr);
    wait_until("it goes on", PATIENCE, || two.ids() == [2]);
    assert_eq!(two.terminate().code, 0, "{}", two.stderr());
}
