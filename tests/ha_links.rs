//! What the tests of several nodes stand on: a ZooKeeper that can be hurt and comes back with its data, links that can be
//! disturbed, and nodes with homes of their own.

mod harness;

use harness::Link;
use harness::Weather;
use harness::ZkClient;
use harness::ZooKeeperServer;
use harness::wait_until;
use std::time::Duration;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn zookeeper_keeps_its_nodes_however_it_ends() {
    let Some(mut server) = ZooKeeperServer::start() else { return };
    let mut client = server.client();
    client.put("/a", b"").unwrap();
    for child in ["/a/2", "/a/1"] {
        client.put(child, b"x").unwrap();
    }
    client.put("/a/1", b"y").unwrap();
    let node = client.get("/a/1").unwrap().expect("the node just made");
    assert_eq!((node.text().as_str(), node.version, node.owner), ("y", 1, 0));
    assert_eq!(server.sessions(), 1);
    server.kill9();
    assert!(client.get("/a/1").is_err());
    server.restart();
    assert_eq!(server.node("/a/1"), Some(node));
    server.restart();
    assert_eq!(server.children("/a"), ["1", "2"]);
    let before = server.zxid();
    assert!(server.client().delete("/a/1").unwrap() && !server.delete("/a/1"));
    assert!(server.zxid() > before && server.node("/a/1").is_none() && server.children("/b").is_empty());
    wait_until("sessions that are over expire", PATIENCE, || server.sessions() == 0);
}

#[test]
fn a_link_holds_swallows_and_delays() {
    let Some(server) = ZooKeeperServer::start() else { return };
    let link = Link::to(server.port());
    let mut client = ZkClient::new(&link.address());
    client.put("/a", b"").expect("a clear link");
    link.delay(Duration::from_millis(300), Duration::from_millis(200));
    let begun = Instant::now();
    client.get("/a").expect("a slow link");
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    link.heal();

    link.set(Weather::Held);
    let waiting = std::thread::spawn(move || {
        let answer = client.get("/a");
        (client, answer)
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    link.heal();
    let (mut client, answer) = waiting.join().expect("a client");
    assert!(answer.expect("what was held arrives").is_some());
    assert_eq!(link.taken(), 1);

    link.set(Weather::Swallowed);
    assert!(client.get("/a").is_err(), "no answer in time");
    link.heal();
    client.get("/a").expect("a new connection");
    link.cut();
    assert!(client.get("/a").is_err());
    link.set(Weather::Down);
    assert!(client.get("/a").is_err());
    link.heal();
    client.get("/a").expect("a new connection");
}
