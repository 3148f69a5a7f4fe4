//! Sinks other than files next to a take-over: a program's own, with and without a word where they stand, and consumers.

mod harness;

use fountain::Engine;
use fountain::code::Code;
use fountain::engine::EngineBuilder;
use fountain::engine::EngineError;
use fountain::pack::header::Pack;
use fountain::pack::header::PackHeader;
use fountain::sink::Sink;
use fountain::sink::SinkError;
use fountain::sync_point::PointRecord;
use fountain::sync_point::StoreError;
use fountain::sync_point::SyncPointStore;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Node;
use harness::Server;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::delivered::parse;
use harness::wait_until;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;

fn server() -> Option<Server> {
    let server = Server::start_private(Kind::Mysql97, GTID)?;
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v int) ENGINE=InnoDB");
    Some(server)
}

fn empty(server: &Server) {
    server.sql("DELETE FROM d.t; RESET BINARY LOGS AND GTIDS");
}

fn insert(server: &Server, ids: std::ops::Range<u64>) {
    ids.for_each(|id| server.sql(&format!("INSERT INTO d.t VALUES ({id},0)")));
}

/// A sink of one node, which keeps what it is given; and a store of all nodes of which only so many saves land.
#[derive(Clone, Default)]
struct Kept {
    packs: Arc<Mutex<Vec<(PackHeader, String)>>>,
    stands: bool,
    told: Arc<Mutex<Vec<PointRecord>>>,
}

impl Sink for Kept {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        let rows = String::from_utf8(pack.rows.to_vec()).expect("UTF-8");
        self.packs.lock().unwrap().push((pack.header.clone(), rows));
        Ok(())
    }

    fn supersede(&mut self, record: &PointRecord) -> Result<(), SinkError> {
        self.told.lock().unwrap().push(record.clone());
        Ok(())
    }

    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        let last = self.packs.lock().unwrap().last().map(|(header, _)| header.clone());
        Ok(last.filter(|_| self.stands))
    }
}

#[derive(Clone, Default)]
struct Shared {
    record: Arc<Mutex<Option<PointRecord>>>,
    saves: u64,
}

impl SyncPointStore for Shared {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        Ok(self.record.lock().unwrap().clone())
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        if self.saves > 0 {
            *self.record.lock().unwrap() = Some(record.clone());
        }
        self.saves = self.saves.saturating_sub(1);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A node that runs to the end, and of whose saves so many land.
fn node(server: &Server, home: &Path, shared: &Shared, saves: u64) -> EngineBuilder {
    let (user, password) = server.replica_account();
    let store = Shared { saves, ..shared.clone() };
    Engine::builder()
        .home(home)
        .set("mysql_shard_0_server", server.host())
        .set("mysql_shard_0_port", server.port().to_string())
        .set("mysql_username", user)
        .set("mysql_password", password)
        .set("start_without_point", "beginning")
        .set("dispatch_ddl", "none")
        .set("sparate_packsize", "1")
        .point_store(move |_shard| Ok(Box::new(store.clone())))
        .until_end()
}

fn run_kept(server: &Server, sink: &Kept, shared: &Shared, saves: u64) -> Result<(), EngineError> {
    let (home, sink) = (Fountain::new(), sink.clone());
    let engine = node(server, home.home(), shared, saves).sink(move |_shard| Ok(Box::new(sink.clone())));
    engine.build().expect("it is sound").run()
}

/// What counts of all packs, as a reader of headers takes it.
fn counted(nodes: &[&Kept]) -> Vec<(PackHeader, String)> {
    let mut packs: Vec<_> = nodes.iter().flat_map(|node| node.packs.lock().unwrap().clone()).collect();
    packs.sort_by_key(|(header, _)| header.name());
    let firsts: Vec<PackHeader> = packs.iter().map(|(header, _)| header.clone()).rev().collect();
    for first in firsts.iter().filter(|header| header.sequence == 1) {
        if let Some(follows) = first.follows.filter(|_| packs.iter().any(|(header, _)| header == first)) {
            packs.retain(|(header, _)| header.name() <= follows.pack || header.name() >= first.name());
        }
    }
    packs
}

/// Sinks of a program's own, such that say where they stand and such that do not: by the headers each row is there once.
#[test]
fn own_sinks_next_to_a_take_over() {
    let Some(server) = server() else { return };
    for stands in [true, false] {
        empty(&server);
        let shared = Shared::default();
        let [first, second] = [(); 2].map(|()| Kept { stands, ..Kept::default() });
        insert(&server, 0..5);
        run_kept(&server, &first, &shared, 1).expect("it comes to its end");
        insert(&server, 5..9);
        run_kept(&server, &second, &shared, u64::MAX).expect("it comes to its end");
        insert(&server, 9..12);
        run_kept(&server, &first, &shared, u64::MAX).expect("it comes to its end");
        let ids = |packs: &[(PackHeader, String)]| -> Vec<u64> {
            let lines = packs.iter().flat_map(|(_, rows)| parse(rows));
            lines.map(|line| line["after"]["id"].as_u64().expect("id")).collect()
        };
        let packs = counted(&[&first, &second]);
        assert_eq!(ids(&packs), (0..12).collect::<Vec<_>>(), "{stands}");
        for pair in packs.windows(2) {
            assert_eq!(pair[1].0.previous_crc32, pair[0].0.crc32, "one chain over both: {pair:?}");
            assert!(pair[1].0.first.seq > pair[0].0.last.seq, "{pair:?}");
        }
        let told = first.told.lock().unwrap().last().cloned().expect("the record");
        assert_eq!((told.epoch, told.taken_over.to_string().as_str()), (2, "1:0"));
        // The store is that of yesterday: a clear stop.
        *shared.record.lock().unwrap() = None;
        let outcome = run_kept(&server, &first, &shared, u64::MAX);
        match outcome {
            Err(EngineError::Shards(faults)) if stands => assert_eq!(faults[0].code, Code::PointLost),
            Ok(()) if !stands => {}
            other => panic!("{stands}: {other:?}"),
        }
    }
}

fn sqlite_ids(home: &Path) -> Vec<u64> {
    let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute('SELECT line FROM changes ORDER BY rowid'): sys.stdout.write(row[0])";
    let output =
        Command::new("python3").args(["-c", script]).arg(home.join("rows.sqlite")).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = parse(&String::from_utf8(output.stdout).expect("UTF-8"));
    lines.iter().map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

/// Consumers that keep packs, each on its node: rows come again next to a take-over, none is missing, and numbers rise; a node
/// that comes back is not stopped by what its consumer lacks of another's.
#[test]
fn consumers_next_to_a_take_over() {
    let Some(server) = server() else { return };
    let shared = Shared::default();
    let homes = [Fountain::new(), Fountain::new()];
    let run = |number: usize, saves| {
        let home = homes[number].home();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers/into_sqlite.py");
        let command = format!("{} {}", script.display(), home.join("rows.sqlite").display());
        let node = node(&server, home, &shared, saves).set("sink", "exec").set("exec_resume", "consumer");
        let engine = node.set("exec_command", command).build().expect("it is sound");
        engine.run().expect("it comes to its end");
    };
    insert(&server, 0..5);
    run(0, 1);
    insert(&server, 5..9);
    run(1, u64::MAX);
    insert(&server, 9..12);
    run(0, 1);
    insert(&server, 12..14);
    // The same node again: its consumer's last pack decides.
    run(0, u64::MAX);
    assert_eq!(sqlite_ids(homes[0].home()), [0, 1, 2, 3, 4, 9, 10, 11, 12, 13]);
    assert_eq!(sqlite_ids(homes[1].home()), (0..9).collect::<Vec<_>>());
    let record = shared.record.lock().unwrap().clone().expect("a record");
    assert_eq!(record.taken_over.to_string(), "1:0,2:9");
}

/// What keeps nothing goes on behind the stored point.
#[test]
fn sinks_that_keep_nothing_next_to_a_take_over() {
    let Some(server) = server() else { return };
    let shared = Shared::default();
    let homes = [Fountain::new(), Fountain::new()];
    for (round, home) in (0..).zip(&homes) {
        insert(&server, round * 5..round * 5 + 5);
        let null = node(&server, home.home(), &shared, u64::MAX).set("sink", "null");
        null.build().expect("it is sound").run().expect("it comes to its end");
    }
    let record = shared.record.lock().unwrap().clone().expect("a record");
    let last = record.last_pack.expect("a pack");
    assert_eq!((last.epoch, last.sequence, record.sequence), (2, 5, 5));
    assert!(record.taken_over.is_empty(), "nobody keeps packs of which some could not count");
}

/// A consumer that says nothing is trouble of its machine, though it is only slow at first and each new one is slow again: that is
/// told, and the node whose consumer works takes over.
#[test]
fn a_consumer_that_hangs_hands_over() {
    let Some(server) = server() else { return };
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let node = |name: &str, command: &str| {
        let command = format!("exec_command={command}");
        let pairs = [
            "sink=exec",
            &command,
            "exec_ack_timeout_ms=5500",
            "ha_release_after_ms=500",
            "stop_timeout_ms=1s",
        ];
        let mut node = Node::new(name, &zookeeper, &pairs);
        node.shard(0, &server);
        node.start();
        node
    };
    let hangs = node("hangs", "cat > /dev/null");
    wait_until("it leads", PATIENCE, || hangs.told("this node leads") == 1);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers/pack_files.sh");
    let works = node("works", &format!("{} .", script.display()));
    wait_until("it stands by", PATIENCE, || works.told("standing by") > 0);
    insert(&server, 1..2);
    wait_until("it is told", PATIENCE, || hangs.told("did not answer within exec_ack_timeout_ms=5500") > 0);
    assert_eq!(hangs.told("trying again every second"), 1, "{}", hangs.stderr());
    wait_until("the other one delivers", PATIENCE, || {
        let files = std::fs::read_dir(works.home.home()).expect("its home");
        files.filter_map(Result::ok).any(|file| file.file_name().to_string_lossy().ends_with(".jsonl"))
    });
    assert_eq!(hangs.told("LEADERSHIP_LOST"), 0, "in good order: {}", hangs.stderr());
}
