//! Connections that break, stall and are taken away: fountain goes on by itself, and in one process every row comes
//! once, in order, numbered without holes.

mod harness;

use harness::Fault;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Proxy;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;
use serde_json::Value;

/// Reconnects at once, small packs, answers to silence within seconds.
const EAGER: &[&str] = &[
    "start_without_point=beginning",
    "mysql_ssl_mode=disabled",
    "data_source_try_interval=10ms",
    "repeat_resource_interval=50ms",
    "pack_max_bytes=64KiB",
];

/// Cuts for each kind of server, spread over as many passes over its binlog as they last.
const CUTS: usize = 120;

/// Random enough, and the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// Transactions of all sizes, several of them many packs large; DDL; rollbacks; rows of a table that is not watched.
fn workload(server: &Server) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(200)) ENGINE=InnoDB;
         CREATE TABLE d.passed (id int PRIMARY KEY, v varchar(200)) ENGINE=InnoDB",
    );
    let mut session = server.session();
    let mut next = 0;
    for round in 1..=60 {
        let rows = match round {
            20 | 45 => 4000,
            n if n % 9 == 0 => 300,
            n => n % 4 + 1,
        };
        let values = |from: u64| -> String {
            let rows: Vec<String> = (from..from + rows)
                .map(|id| format!("({id},REPEAT(CHAR(97+{id}%26),{}))", 20 + id % 90))
                .collect();
            rows.join(",")
        };
        // Several events and tables in each transaction, so that ordinals and runs of tables are tried too.
        session.sql(&format!("BEGIN; INSERT INTO d.t VALUES {}", values(next)));
        session.sql(&format!("INSERT INTO d.passed VALUES {}", values(next)));
        session.sql(&format!("UPDATE d.t SET v='updated' WHERE id>={next} AND id % 3 = 0"));
        session.sql(&format!("DELETE FROM d.t WHERE id>={next} AND id % 5 = 0; COMMIT"));
        next += rows;
        if round % 10 == 0 {
            session.sql(&format!("CREATE TABLE d.other{round} (id int) ENGINE=InnoDB"));
            session.sql("BEGIN; INSERT INTO d.t VALUES (1000000,'rolled back'); ROLLBACK");
        }
        if round % 25 == 0 {
            server.flush_logs();
        }
    }
    session.sql("INSERT INTO d.t VALUES (2000000,'the end')");
}

fn has_end(run: &Running, home: &Fountain, sink: &str) -> bool {
    match sink {
        "stdout" => run.stdout().contains("\"the end\""),
        _ => data(&home.home().join("data")).contains("\"the end\""),
    }
}

/// A line without the server's address, which a proxy changes.
fn without_server(line: &Value) -> Value {
    let mut line = line.clone();
    line.as_object_mut().expect("an object").remove("server");
    line
}

/// Cuts the stream at hundreds of places: in the middle of events, of packets' headers, of huge transactions.
fn cut_everywhere(kind: Kind, options: &[&str], extra: &[&str], sink: &str, seed: u64) {
    let Some(server) = Server::start_private(kind, options) else { return };
    workload(&server);
    let pairs = [EAGER, extra, &["filter_shard_table_black=d.passed"]].concat();
    let calm = Fountain::new();
    let output = run_until(&calm, &server, "end", &keys(&pairs));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let expected = parse(&data(&calm.home().join("data")));
    let size: u64 = server.binlogs().iter().map(|path| path.metadata().expect("its size").len()).sum();

    let mut dice = Dice(seed);
    let proxy = Proxy::start(server.port());
    proxy.plan((0..CUTS).map(|_| {
        let reach = [60, 700, 6_000, 60_000, size][dice.below(5) as usize];
        Fault::Cut(dice.below(reach) as usize)
    }));
    let sink_pair = format!("sink={sink}");
    let pairs = [&pairs[..], &[&sink_pair]].concat();
    while proxy.planned() > 0 {
        let home = Fountain::new();
        let left = proxy.planned();
        let mut run = home.spawn(&run_arguments_through(&home, &server, proxy.port(), &keys(&pairs)));
        let what = format!("{kind} seed {seed}, {left} cuts left: the last row");
        run.wait_for(&what, PATIENCE, |run| has_end(run, &home, sink));
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = match sink {
            "stdout" => parse(&output.stdout),
            _ => parse(&data(&home.home().join("data"))),
        };
        assert_eq!(lines.len(), expected.len(), "{kind} seed {seed}, {left} cuts left");
        for (line, expected) in lines.iter().zip(&expected) {
            assert_eq!(
                without_server(line),
                without_server(expected),
                "{kind} seed {seed}, {left} cuts left"
            );
        }
    }
}

#[test]
fn cut_everywhere_mysql56_position_files() {
    cut_everywhere(Kind::Mysql56, &["--binlog-checksum=NONE"], &[], "file", 1);
}

#[test]
fn cut_everywhere_mysql97_gtid_stdout() {
    cut_everywhere(Kind::Mysql97, GTID, &[], "stdout", 2);
}

#[test]
fn cut_everywhere_mysql97_compressed_files() {
    let options = [GTID, &["--binlog-transaction-compression=ON", "--binlog-row-metadata=FULL"]].concat();
    cut_everywhere(
        Kind::Mysql97,
        &options,
        &["binlog_dump_strategy=position", "dispatch_transaction=true"],
        "file",
        3,
    );
}

#[test]
fn cut_everywhere_mariadb_stdout() {
    cut_everywhere(Kind::Mariadb, &[], &["dispatch_transaction=true"], "stdout", 4);
}
