//! One huge transaction under each policy: little memory, and what was told is what happens. `--ignored`: a gigabyte.

mod harness;
mod policies {
    pub mod workload;
}

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::process::peak_kib;
use policies::workload::gap_records;
use serde_json::Value;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

const LIMIT_KIB: u64 = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(1800);
const ALWAYS: &[&str] =
    &["start_without_point=beginning", "dispatch_ddl=none", "mysql_heartbeat_period=500ms"];
const COMPRESSED: &[&str] = &["--binlog-transaction-compression=ON", "--binlog-row-metadata=FULL"];

/// A server with one transaction of so many rows of about 200 bytes of binlog, and a small one behind it. The rows compress well:
/// a compressed transaction is one event, which is held whole.
fn server_with(rows: u64, options: &[&str]) -> Option<Server> {
    let options = [options, GTID, &["--max-binlog-cache-size=4G", "--innodb-buffer-pool-size=512M"]].concat();
    let server = Server::start_private(Kind::Mysql97, &options)?;
    let numbers = "WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i+1 FROM n WHERE i<9999)";
    server.sql(&format!(
        "SET SESSION cte_max_recursion_depth=10000;
         CREATE DATABASE d; USE d; CREATE TABLE d.n (i int PRIMARY KEY) ENGINE=InnoDB;
         CREATE TABLE d.t (id int PRIMARY KEY, v varchar(400)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
         CREATE TABLE d.u (id int PRIMARY KEY) ENGINE=InnoDB;
         SET SESSION sql_log_bin=0; INSERT INTO d.n {numbers} SELECT i FROM n; SET SESSION sql_log_bin=1;
         INSERT INTO d.t SELECT a.i*10000+b.i, REPEAT(SHA2(b.i MOD 1000, 256), 3) FROM d.n a, d.n b WHERE a.i<{} ORDER BY a.i, b.i;
         INSERT INTO d.u VALUES (1)",
        rows / 10_000
    ));
    Some(server)
}

struct Run {
    code: i32,
    peak: u64,
    seconds: f64,
    stderr: String,
}

/// Runs to the end, or until `enough` holds and kills, and looks at the memory all the while.
fn run(home: &Fountain, server: &Server, pairs: &[&str], enough: impl Fn() -> bool) -> Run {
    let arguments = [&["--until", "end"][..], &keys(&[ALWAYS, pairs].concat())].concat();
    let begun = Instant::now();
    let mut run = home.spawn(&run_arguments(home, server, &arguments));
    let mut peak = 0;
    while run.ended().is_none() && !enough() {
        assert!(begun.elapsed() < PATIENCE, "{}", run.stderr());
        peak = peak.max(peak_kib(run.pid()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let output = run.kill9();
    println!("{pairs:?}: {seconds:.1} s, {peak} KiB at most, exit {}", output.code);
    assert!(peak > 0, "never looked");
    Run { code: output.code, peak, seconds, stderr: output.stderr }
}

fn never() -> bool {
    false
}

fn data_files(home: &Fountain) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home.home().join("data")) else { return Vec::new() };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl" || end == "part"));
    files.sort();
    files
}

fn written(home: &Fountain) -> u64 {
    data_files(home).iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
}

/// Insists that the files hold each row of the transaction once, in order, with its own text, and then the small one.
fn assert_all_rows(home: &Fountain, server: &Server) {
    let rows: u64 = server.value("SELECT COUNT(*) FROM d.t").parse().expect("a number");
    assert_eq!(server.value("SELECT SUM(v=REPEAT(SHA2(id MOD 1000, 256), 3)) FROM d.t"), rows.to_string());
    let mut next = 0;
    for path in data_files(home) {
        let file = std::io::BufReader::new(std::fs::File::open(path).expect("a data file"));
        for line in file.lines().map(|line| line.expect("UTF-8")) {
            let (table, id) = match next < rows {
                true => ("t", next),
                false => ("u", next - rows + 1),
            };
            let head = format!(
                "{{\"op\":\"insert\",\"database\":\"d\",\"table\":\"{table}\",\"after\":{{\"id\":{id}"
            );
            assert!(line.starts_with(&head), "expected {head}, got {line:.200}");
            if next % 1000 == 0 && next < rows {
                let line: Value = serde_json::from_str(&line).expect("JSON");
                let text = server.value(&format!("SELECT v FROM d.t WHERE id={id}"));
                assert_eq!((line["after"]["v"].as_str(), line["row"].as_u64()), (Some(&*text), Some(next)));
            }
            next += 1;
        }
    }
    assert_eq!(next, rows + 1);
}

/// Streamed, with a kill in the middle.
fn streamed(server: &Server, policy: &[&str]) {
    let home = Fountain::new();
    let binlog: u64 = server.binlogs().iter().map(|path| path.metadata().expect("its size").len()).sum();
    // Lines are longer than the binlog's rows, compressed or not.
    let half = || written(&home) > binlog / 2;
    let first = run(&home, server, policy, half);
    assert!(written(&home) > 0 && first.code != 0, "killed too late");
    let second = run(&home, server, policy, never);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(first.peak.max(second.peak) < LIMIT_KIB, "{policy:?}: {} and {} KiB", first.peak, second.peak);
    assert_all_rows(&home, server);
    assert!(gap_records(&home).is_empty());
    println!("{policy:?}: {binlog} bytes of binlog in {:.1} s and {:.1} s", first.seconds, second.seconds);
}

fn each_policy(rows: u64, options: &[&str]) {
    let Some(server) = server_with(rows, options) else { return };
    let mini = "transaction_policy=mini";
    streamed(&server, &["transaction_policy=none"]);
    streamed(&server, &[mini, "trans_oversize=stream", "trans_max_bytes=4MiB", "trans_max_size=1000000000"]);
    for (limits, allowed) in [
        (&["trans_max_size=10000", "trans_max_bytes=64MiB"][..], LIMIT_KIB),
        (&["trans_max_size=1000000000", "trans_max_bytes=8MiB"], LIMIT_KIB),
    ] {
        for policy in [&[mini, "trans_oversize=discard"][..], &["transaction_policy=discard_huge_table"]] {
            let home = Fountain::new();
            let discarded = run(&home, &server, &[limits, policy].concat(), never);
            assert_eq!(discarded.code, 0, "{}", discarded.stderr);
            assert!(discarded.peak < allowed, "{limits:?} {policy:?}: {} KiB", discarded.peak);
            let gaps = gap_records(&home);
            assert_eq!(gaps.len(), 1);
            assert_eq!(gaps[0]["tables"], serde_json::json!([{"table": "d.t", "rows": rows}]));
            let lines: Vec<_> = data_files(&home).iter().map(std::fs::read_to_string).collect();
            let lines: String = lines.into_iter().map(|text| text.expect("UTF-8")).collect();
            let ops: Vec<_> = lines.lines().map(|line| line.get(..12).unwrap_or(line)).collect();
            assert_eq!(ops, ["{\"op\":\"gap\",", "{\"op\":\"inser"], "the gap and the small transaction");
        }
        let home = Fountain::new();
        let stopped = run(&home, &server, &[limits, &[mini]].concat(), never);
        assert_eq!(stopped.code, 1);
        let all = format!("ends with {rows} (d.t {rows})");
        assert!(
            stopped.stderr.contains("TRANS_OVERSIZE") && stopped.stderr.contains(&all),
            "{}",
            stopped.stderr
        );
        assert!(stopped.peak < allowed && written(&home) == 0);
    }
}

#[test]
fn sixty_four_megabytes_in_one_transaction() {
    each_policy(320_000, &[]);
}

#[test]
fn a_compressed_transaction_in_little_memory() {
    let Some(server) = server_with(200_000, COMPRESSED) else { return };
    streamed(&server, &["transaction_policy=none", "sparate_packsize=5000"]);
}

#[test]
#[ignore = "long: a transaction of 1 GB, some minutes"]
fn a_gigabyte_in_one_transaction() {
    each_policy(5_000_000, &[]);
}
