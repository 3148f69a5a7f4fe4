//! Three nodes, four shards on two servers, one ZooKeeper, and what must hold of them in the end.

use crate::ha_chaos::load;
use crate::ha_chaos::load::Load;
use crate::ha_chaos::watch::Watch;
use crate::ha_chaos::watch::place;
use crate::harness::GTID;
use crate::harness::Kind;
use crate::harness::Link;
use crate::harness::Node;
use crate::harness::Replay;
use crate::harness::Server;
use crate::harness::ZooKeeperServer;
use crate::harness::node::POINTS;
use crate::harness::run_fountain;
use crate::harness::union::Union;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// For whatever must come about once everything is well again.
const PATIENCE: Duration = Duration::from_secs(120);
const NODES: [&str; 3] = ["one", "two", "three"];
pub const SHARDS: usize = 4;

pub const PAIRS: &[&str] = &[
    "pack_max_bytes=300KB",
    "file_rotate_bytes=1MB",
    "pack_timeout_ms=20",
    "mysql_replication_socket_so_timeout=5s",
    "ha_rebalance=auto",
];

/// A server that loses nothing which it has told to be committed, however it ends.
const SAFE: &[&str] = &["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];

/// Columns that come while no node follows are known then; of the other server's tables nobody changes the columns.
const NAMED: &[&str] = &["--binlog-row-metadata=FULL"];

pub struct Cluster {
    pub zookeeper: ZooKeeperServer,
    pub servers: [Server; 2],
    /// The second way to each server: what shards know as their backup.
    pub backups: [Link; 2],
    pub nodes: [Node; 3],
    pub load: Load,
    watch: Watch,
    begun: Instant,
    seed: u64,
}

pub fn shard_name(shard: usize) -> String {
    format!("producer{shard:02}")
}

fn database(shard: usize) -> String {
    format!("d{shard}")
}

fn server_of(shard: usize) -> usize {
    shard / 2
}

impl Cluster {
    /// None: a server cannot be had here.
    pub fn start(scope: &str, seed: u64) -> Option<Cluster> {
        let zookeeper = ZooKeeperServer::start()?;
        let servers = [
            Server::start_private(Kind::Mysql97, &[GTID, SAFE, NAMED].concat())?,
            Server::start_private(Kind::Mariadb, SAFE)?,
        ];
        (0..SHARDS).for_each(|shard| load::create(&servers[server_of(shard)], &database(shard)));
        let backups = [Link::to(servers[0].port()), Link::to(servers[1].port())];
        let nodes = NODES.map(|name| {
            let mut node = Node::new(name, &zookeeper, PAIRS);
            node.set(&format!("ha_scope={scope}"));
            (0..SHARDS).for_each(|shard| configure(&mut node, shard, &servers, &backups));
            node
        });
        let targets = (0..SHARDS).map(|shard| (&servers[server_of(shard)], database(shard)));
        let load = Load::start(targets, seed);
        let watch = Watch::start(&zookeeper.address(), &(0..SHARDS).map(shard_name).collect::<Vec<_>>());
        let begun = Instant::now();
        let mut cluster = Cluster { zookeeper, servers, backups, nodes, load, watch, begun, seed };
        cluster.tell(&format!("seed {seed}, ha_scope={scope}"));
        cluster.nodes.iter_mut().for_each(Node::start);
        Some(cluster)
    }

    /// A line of the journal, which a failing test shows.
    pub fn tell(&self, what: &str) {
        println!("{:8.3} {what}", self.begun.elapsed().as_secs_f64());
    }

    /// Every shard's point stands behind all that its server has logged by now.
    fn reached(&self, ends: &[(String, u64); 2]) -> bool {
        let mut client = self.zookeeper.client();
        (0..SHARDS).all(|shard| {
            let node = client.get(&format!("{POINTS}/{}", shard_name(shard))).ok().flatten();
            let record = node.and_then(|node| serde_json::from_slice(&node.data).ok());
            let (file, pos) = &ends[server_of(shard)];
            record.as_ref().and_then(place).is_some_and(|place| place >= (file.clone(), *pos, 0))
        })
    }

    /// With everything well again all shards get to where the servers are now.
    pub fn assert_goes_on(&mut self) {
        for node in &mut self.nodes {
            let ended = node.ended();
            assert_eq!(ended, None, "{} has ended by itself:\n{}", node.name, node.stderr());
        }
        // A file that a restart has just begun may be empty.
        for shard in 0..SHARDS {
            let server = &self.servers[server_of(shard)];
            server.sql(&format!(
                "INSERT INTO {}.t (id, v) VALUES (-{}, 'mark')",
                database(shard),
                self.mark()
            ));
        }
        let ends = [self.servers[0].binlog_end(), self.servers[1].binlog_end()];
        let deadline = Instant::now() + PATIENCE;
        while !self.reached(&ends) {
            assert!(Instant::now() < deadline, "not all shards go on: {ends:?}\n{}", self.points());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.tell("all shards have reached the end");
    }

    /// A number that no row has.
    fn mark(&self) -> u128 {
        self.begun.elapsed().as_millis() + 1
    }

    fn points(&self) -> String {
        let mut client = self.zookeeper.client();
        (0..SHARDS)
            .map(|shard| format!("{:?}\n", client.get(&format!("{POINTS}/{}", shard_name(shard)))))
            .collect()
    }

    /// The end: everything is delivered, each node has looked at what it holds, and all together have what the servers have.
    pub fn finish(mut self) -> (usize, u64) {
        self.load.pause();
        self.assert_goes_on();
        for node in &mut self.nodes {
            let output = node.terminate();
            assert_eq!(output.code, 0, "{}: {}", node.name, output.stderr);
            assert!(!node.stderr().contains("panicked"), "{}", node.stderr());
        }
        // Each leads once more, alone: what others have delivered again is set aside.
        for node in &self.nodes {
            let output = node.until_end();
            assert_eq!(output.code, 0, "{}: {}", node.name, output.stderr);
        }
        let folders: Vec<PathBuf> = self.nodes.iter().map(Node::data_dir).collect();
        let rows = (0..SHARDS).map(|shard| self.assert_delivered(&folders, shard)).sum();
        let mut arguments = vec!["verify".to_owned()];
        arguments.extend(folders.iter().map(|folder| folder.to_str().expect("UTF-8").to_owned()));
        let verified = run_fountain(&arguments, PATIENCE);
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        let written = self.load.rows();
        self.load.end();
        let seen = self.watch.end();
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
        assert!(seen.records > SHARDS && written > 0);
        println!(
            "seed {}: {rows} lines, {} points seen, epochs up to {}",
            self.seed, seen.records, seen.highest_epoch
        );
        (rows, seen.highest_epoch)
    }

    fn assert_delivered(&self, folders: &[PathBuf], shard: usize) -> usize {
        let union = Union::of(folders, &shard_name(shard));
        union.assert_once_and_in_order();
        union.assert_whole_epochs();
        let lines = union.lines();
        Replay::of(&lines, &database(shard), "t").assert_is(
            &self.servers[server_of(shard)],
            &database(shard),
            "t",
            false,
        );
        lines.len()
    }
}

fn configure(node: &mut Node, shard: usize, servers: &[Server; 2], backups: &[Link; 2]) {
    let at = server_of(shard);
    node.shard(shard as u32, &servers[at]);
    let pairs = [
        format!("mysql_shard_{shard}_ha1_server=127.0.0.1"),
        format!("mysql_shard_{shard}_ha1_port={}", backups[at].port()),
        format!("mysql_shard_{shard}_filter_shard_table_white={}.t", database(shard)),
    ];
    pairs.iter().for_each(|pair| node.set(pair));
}

/// A failed test leaves what the nodes said and hold where a person finds it.
impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ha-chaos-{}", self.seed));
        drop(std::fs::remove_dir_all(&folder));
        drop(std::fs::create_dir_all(&folder));
        for node in &self.nodes {
            drop(std::fs::write(folder.join(format!("{}.log", node.name)), node.stderr()));
            let copy = std::process::Command::new("cp")
                .arg("-a")
                .arg(node.home.home())
                .arg(folder.join(&node.name))
                .status();
            drop(copy);
        }
        drop(std::fs::write(folder.join("points"), self.points()));
        eprintln!("what the nodes said and hold is in {}", folder.display());
    }
}
