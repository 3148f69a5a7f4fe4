//! Two nodes in turns with points in ZooKeeper, killed before their late saves: over both folders every row is there once.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Replay;
use harness::Server;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::union::Union;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SHARD: &str = "producer00";

fn verify(home: &Fountain, folders: &[PathBuf]) -> String {
    let mut arguments = vec!["verify".to_owned()];
    arguments.extend(folders.iter().map(|folder| folder.display().to_string()));
    let output = home.run(&arguments, PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stdout);
    output.stdout
}

#[test]
fn killed_nodes_with_points_in_zookeeper() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v int) ENGINE=InnoDB");
    let stop = Arc::new(AtomicBool::new(false));
    let (mut session, stopped) = (server.session(), Arc::clone(&stop));
    let load = std::thread::spawn(move || {
        let mut id = 0;
        while !stopped.load(Ordering::Relaxed) {
            session.sql(&format!("INSERT INTO d.t VALUES ({id},0),({},0)", id + 1));
            id += 2;
            std::thread::sleep(Duration::from_millis(4));
        }
    });
    let homes = [Fountain::new(), Fountain::new()];
    let folders = [homes[0].home().join("data"), homes[1].home().join("data")];
    let address = format!("zk_string={}", zookeeper.address());
    let pairs = keys(&[
        &address,
        "zk_save_position_root_path=/fountain/points",
        "start_without_point=beginning",
        "dispatch_ddl=none",
        "sparate_packsize=3",
        "file_rotate_bytes=6KB",
        "async_event_position_thread_initdelay=300",
        "async_event_position_thread_period=400",
    ]);
    for turn in 0..6 {
        let home = &homes[turn % 2];
        let mut run = home.spawn(&run_arguments(home, &server, &pairs));
        run.wait_for("it delivers", PATIENCE, |run| run.stderr().contains("connected: "));
        std::thread::sleep(Duration::from_millis(500 + 90 * turn as u64));
        assert_eq!(run.kill9().code, 128 + 9);
    }
    stop.store(true, Ordering::Relaxed);
    load.join().expect("the writer");
    for turn in 0..2 {
        let output = run_until(&homes[turn], &server, "end", &pairs);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let union = Union::of(&folders, SHARD);
        union.assert_once_and_in_order();
        union.assert_whole_epochs();
        Replay::of(&union.lines(), "d", "t").assert_is(&server, "d", "t", true);
        let told = verify(&homes[0], &folders);
        assert!(turn == 0 || !told.contains("do not count"), "{told}");
    }
    assert!(folders.iter().any(|folder| folder.join("superseded").exists()), "no row came again");
    // Each alone: what is the other's is told, and is no fault.
    for folder in folders {
        assert!(verify(&homes[0], &[folder]).contains("another node"));
    }
}
