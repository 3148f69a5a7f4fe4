//! `fountain status`: what it says of every state, and by which exit code.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Node;
use harness::Output;
use harness::Server;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::wait_until;
use serde_json::Value;
use std::net::TcpListener;

const BEGINNING: &str = "start_without_point=beginning";

fn status(home: &Fountain, arguments: &[String], words: &[&str]) -> Output {
    let words = ["status"].iter().chain(words).map(|word| (*word).to_owned());
    let output = home.run(&words.chain(arguments[1..].iter().cloned()).collect::<Vec<_>>(), PATIENCE);
    assert!(output.stdout.lines().all(|line| line.chars().count() <= 100), "{}", output.stdout);
    output
}

/// The exit code and the shard.
fn seen(home: &Fountain, arguments: &[String]) -> (i32, Value) {
    let words = ["status".to_owned(), "--json".to_owned()].into_iter();
    let output = home.run(&words.chain(arguments[1..].iter().cloned()).collect::<Vec<_>>(), PATIENCE);
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    assert_eq!(report["shards"].as_array().map(Vec::len), Some(1), "{report}");
    (output.code, report["shards"][0].clone())
}

/// From the first moment to the end of the process, by GTID and by position.
#[test]
fn a_shards_life() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(mut server) = Server::start_private(kind, options) else { continue };
        create(&server);
        let home = Fountain::new();
        let arguments = run_arguments(&home, &server, &keys(&[BEGINNING]));
        let (code, shard) = seen(&home, &arguments);
        assert_eq!((code, &shard["state"], &shard["point"]), (2, &"down".into(), &Value::Null), "{shard}");

        let mut run = home.spawn(&arguments);
        insert(&server, 1);
        run.wait_for("the row", PATIENCE, |_| ids_in(&home) == [1]);
        run.wait_for("it is seen to run", PATIENCE, |_| seen(&home, &arguments).0 == 0);
        let (_, shard) = seen(&home, &arguments);
        let source = format!("127.0.0.1:{}", server.port());
        assert_eq!((&shard["state"], &shard["source"]), (&"running".into(), &source.into()), "{shard}");
        assert_eq!(shard["point"]["epoch"], 1, "{shard}");
        assert_eq!(shard["leadership"], Value::Null, "one node has nobody to lead: {shard}");
        // The server's own word on where its log ends.
        let end = server.binlog_end();
        run.wait_for("the end", PATIENCE, |_| {
            let (_, shard) = seen(&home, &arguments);
            shard["point"]["file"] == end.0.as_str() && shard["point"]["pos"] == end.1
        });
        let (_, shard) = seen(&home, &arguments);
        assert!(kind != Kind::Mysql97 || shard["point"]["gtids"].is_string(), "{shard}");
        let table = status(&home, &arguments, &[]);
        let place = format!("point: {}:{}", end.0, end.1);
        assert!(table.code == 0 && table.stdout.contains(&place), "{}", table.stdout);
        assert!(table.stdout.contains(&format!("process {}", run.pid())), "{}", table.stdout);

        server.stop();
        run.wait_for("it is critical", PATIENCE, |_| seen(&home, &arguments).0 == 2);
        let (_, shard) = seen(&home, &arguments);
        assert_eq!(shard["state"], "connecting", "{shard}");
        assert!(shard["why"].as_str().is_some_and(|why| !why.is_empty()), "{shard}");
        assert_eq!(run.terminate(PATIENCE).code, 0);
        let (code, shard) = seen(&home, &arguments);
        assert_eq!((code, &shard["state"]), (2, &"down".into()), "{shard}");
        assert_eq!(shard["point"]["pos"], end.1, "the stored point is told all the same: {shard}");
    }
}

#[test]
fn a_sink_that_has_no_room() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    insert(&server, 1);
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &keys(&[BEGINNING, "file_min_free_bytes=900TiB"]));
    let mut run = home.spawn(&arguments);
    run.wait_for("it waits", PATIENCE, |_| seen(&home, &arguments).1["state"] == "waiting_for_sink");
    let table = status(&home, &arguments, &[]);
    assert_eq!(table.code, 2, "{}", table.stdout);
    assert!(table.stdout.contains("file_min_free_bytes"), "{}", table.stdout);
    assert_eq!(run.terminate(PATIENCE).code, 0);
}

/// A server that takes the connection and says nothing yet is no trouble yet.
#[test]
fn a_shard_that_is_only_beginning() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("mysql_shard_0_port={}", silent.local_addr().expect("its address").port());
    let home = Fountain::new();
    let pairs = [
        "mysql_shard_0_server=127.0.0.1",
        &port,
        "mysql_username=repl",
        "sink=null",
        "mysql_replication_socket_connect_timeout=600s",
    ];
    let arguments: Vec<String> =
        [&["run"], &keys(&pairs)[..]].concat().into_iter().map(str::to_owned).collect();
    let mut run = home.spawn(&arguments);
    run.wait_for("it is seen", PATIENCE, |_| seen(&home, &arguments).1["state"] == "connecting");
    let (code, shard) = seen(&home, &arguments);
    assert_eq!((code, &shard["why"], &shard["health"]), (1, &Value::Null, &"warning".into()), "{shard}");
    assert_eq!(run.terminate(PATIENCE).code, 0);
}

/// One node leads and cannot reach its server; one stands by, which is well, until nobody can be told to lead.
#[test]
fn nodes_that_stand_by() {
    let Some(mut zookeeper) = ZooKeeperServer::start() else { return };
    let node = |name: &str| {
        let pairs =
            ["sink=null", "mysql_shard_0_server=127.0.0.1", "mysql_shard_0_port=1", "mysql_username=repl"];
        let mut node = Node::new(name, &zookeeper, &pairs);
        node.start();
        node
    };
    let leader = node("leader");
    let says = |node: &Node, code: i32, words: &[&str]| {
        let told = node.command(&["status"]);
        told.code == code && words.iter().all(|word| told.stdout.contains(word))
    };
    wait_until("it leads", PATIENCE, || says(&leader, 2, &["leader: this node since 2", "UNREACHABLE"]));
    let standby = node("standby");
    let name = format!("process {}", leader.pid());
    wait_until("the other one stands by", PATIENCE, || {
        says(&standby, 0, &["  standby  ", "leader: ", &name])
    });
    zookeeper.stop();
    let nobody = ["  standby  ", "leader: nobody, or it cannot be told since 2"];
    // Two sessions of 2 s.
    wait_until("nobody leads", PATIENCE, || says(&standby, 2, &nobody) && says(&leader, 2, &nobody));
}

#[test]
fn what_cannot_be_known() {
    let home = Fountain::new();
    let pairs =
        ["mysql_shard_0_server=127.0.0.1", "mysql_shard_0_port=1", "mysql_username=repl", "sink=null"];
    let arguments: Vec<String> =
        [&["run"], &keys(&pairs)[..]].concat().into_iter().map(str::to_owned).collect();
    let mut run = home.spawn(&arguments);
    run.wait_for("it is critical", PATIENCE, |_| {
        let (code, shard) = seen(&home, &arguments);
        code == 2 && shard["why"].as_str().is_some_and(|why| why.starts_with("UNREACHABLE"))
    });
    // A node that is frozen is not one that is gone.
    run.signal("STOP");
    let words = ["status".to_owned(), "--json".to_owned()].into_iter();
    let output = home.run(&words.chain(arguments[1..].iter().cloned()).collect::<Vec<_>>(), PATIENCE);
    assert_eq!(output.code, 3, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("does not answer within"), "{}", output.stderr);
    let nothing: Value = serde_json::from_str(&output.stdout).expect("an object");
    assert_eq!((&nothing["health"], &nothing["shards"]), (&"unknown".into(), &Value::Array(Vec::new())));
    run.signal("CONT");
    assert_eq!(run.terminate(PATIENCE).code, 0);
    assert_eq!(home.run(&["status", "-D", "no_such_key=1"], PATIENCE).code, 3);
    let watch = home.run(&["status", "--watch", "-D", pairs[0]], PATIENCE);
    assert_eq!((watch.code, watch.stderr.contains("not in this version")), (2, true), "{}", watch.stderr);
    // A point that is torn is not "no point".
    std::fs::create_dir_all(home.home().join("points")).expect("a folder");
    home.write("points/producer00.point", "torn");
    let (code, shard) = seen(&home, &arguments);
    assert_eq!(code, 2, "{shard}");
    assert!(shard["point_unknown"].as_str().unwrap().starts_with("POINT_BROKEN"), "{shard}");
}
