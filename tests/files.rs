//! Files and streams of files: relay logs, checksums that change, files on standard input.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::assert_refused;
use harness::delivered::Delivered;
use harness::delivered::PATIENCE;
use harness::delivered::as_paths;
use harness::delivered::cat;
use harness::delivered::counts;
use harness::delivered::parse;
use harness::delivered::row_lines;
use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/binlog").join(name)
}

const BEGINNING: &[&str] = &["-D", "start_without_point=beginning"];

/// The algorithm changes from file to file, while a stream goes on and in one `cat` over all files.
#[test]
fn checksums_that_are_switched_on_and_off() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb] {
        let Some(server) = Server::start_private(kind, &["--binlog-checksum=NONE"]) else { continue };
        server.sql("CREATE DATABASE k; CREATE TABLE k.t (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO k.t VALUES (1)");
        server.sql("SET GLOBAL binlog_checksum=CRC32; INSERT INTO k.t VALUES (2)");
        server.sql("SET GLOBAL binlog_checksum=NONE; INSERT INTO k.t VALUES (3)");
        server.sql("SET GLOBAL binlog_checksum=CRC32; INSERT INTO k.t VALUES (4)");
        let ids = |lines: &[Value]| {
            row_lines(lines, "k", "t").iter().map(|line| line["after"]["id"].as_i64()).collect::<Vec<_>>()
        };
        let all = [Some(1), Some(2), Some(3), Some(4)];
        let delivered = Delivered::run_until_end(&server, BEGINNING);
        assert_eq!(ids(&delivered.lines), all, "{kind}");
        let files = server.binlogs();
        assert_eq!(files.len(), 4, "{kind}: {files:?}");
        let home = Fountain::new();
        let extra = server.shard_arguments(0, home.home());
        assert_eq!(ids(&Delivered::cat(&as_paths(&files), &extra).lines), all, "{kind}");
    }
}

/// A replica's relay logs hold what the source's binlogs hold, at the source's places where they name them.
fn relay_logs(kind: Kind, source_options: &[&str], replica_options: &[&str]) {
    let Some(source) = Server::start_private(kind, source_options) else { return };
    let relay = [
        "--server-id=2",
        "--relay-log=relay",
        "--max-relay-log-size=4096",
        "--relay-log-purge=0",
        "--loose-skip-replica-start=ON",
    ];
    let Some(replica) = Server::start_private(kind, &[&relay, replica_options].concat()) else { return };
    source.sql("CREATE DATABASE r; CREATE TABLE r.t (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB");
    let many: Vec<String> = (0..2000).map(|id| format!("({id},REPEAT('v',{}))", id % 300)).collect();
    source.sql(&format!(
        "USE r; BEGIN; INSERT INTO t VALUES {}; UPDATE t SET v=id WHERE id<100; COMMIT",
        many.join(",")
    ));
    source.flush_logs();
    source.sql("USE r; INSERT INTO t VALUES (5000,'in the next file'); DELETE FROM t WHERE id<1000");
    let (file, end) = source.binlog_end();
    let (user, password) = source.replica_account();
    let (change, start, stop, status) = match kind {
        Kind::Mysql97 => (
            "REPLICATION SOURCE TO GET_SOURCE_PUBLIC_KEY=1, SOURCE",
            "START REPLICA IO_THREAD",
            "STOP REPLICA",
            "SHOW REPLICA STATUS",
        ),
        _ => ("MASTER TO MASTER", "START SLAVE IO_THREAD", "STOP SLAVE", "SHOW SLAVE STATUS"),
    };
    let prefix = if kind == Kind::Mysql97 { "SOURCE" } else { "MASTER" };
    let first = source.binlogs()[0].file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    replica.sql(&format!(
        "CHANGE {change}_HOST='127.0.0.1', {prefix}_PORT={}, {prefix}_USER='{user}', {prefix}_PASSWORD='{password}',
         {prefix}_LOG_FILE='{first}', {prefix}_LOG_POS=4; {start}",
        source.port()
    ));
    harness::wait_until("the replica has read all", PATIENCE, || {
        let row = replica.select(status).remove(0);
        let cells: Vec<&str> = row.iter().flatten().map(String::as_str).collect();
        let read = |pair: &[&str]| pair[0] == file && pair[1].parse().is_ok_and(|read: u64| read >= end);
        cells.windows(2).any(read)
    });
    replica.sql(stop);

    let index =
        std::fs::read_to_string(replica.datadir().join("relay.index")).expect("the list of relay logs");
    let logs: Vec<PathBuf> =
        index.lines().map(|name| replica.datadir().join(name.trim_start_matches("./"))).collect();
    let home = Fountain::new();
    let extra = source.shard_arguments(0, home.home());
    // MySQL 9.7 begins another one between transactions only.
    assert!(logs.len() > if kind == Kind::Mysql97 { 3 } else { 20 }, "{kind}: {logs:?}");
    let relayed = Delivered::cat(&as_paths(&logs), &extra);
    let own = Delivered::cat(&as_paths(&source.binlogs()), &extra);
    assert_eq!(counts(&relayed.lines), (2001, 100, 1000), "{kind} {}", relayed.stderr);
    assert!(!relayed.stderr.contains("cut off"), "{}", relayed.stderr);
    assert_eq!(relayed.lines.len(), own.lines.len());
    let mut placed = 0;
    for (relayed, own) in relayed.lines.iter().zip(&own.lines) {
        let mut relayed = relayed.clone();
        if relayed["file"].as_str().is_some_and(|file| file.starts_with("relay")) {
            relayed["file"] = own["file"].clone();
            relayed["pos"] = own["pos"].clone();
        } else {
            placed += 1;
        }
        assert_eq!(relayed, *own, "{kind}");
    }
    assert!(placed > 0, "{kind}: the first relay log names the source's file");
}

#[test]
fn relay_logs_mysql56() {
    relay_logs(Kind::Mysql56, &[], &[]);
}

#[test]
fn relay_logs_mysql97() {
    relay_logs(Kind::Mysql97, &["--binlog-row-metadata=FULL"], &[]);
}

#[test]
fn relay_logs_mariadb() {
    relay_logs(Kind::Mariadb, &["--log-bin-compress=ON"], &[]);
}

/// A relay log that goes on in another file inside of a transaction, made of a real one.
#[test]
fn a_relay_log_that_goes_on_inside_of_a_transaction() {
    let bytes = std::fs::read(fixture("mysql97_relay.bin")).expect("a fixture");
    let mut events = Vec::new();
    let mut start = 4;
    while start < bytes.len() {
        let size = u32::from_le_bytes(bytes[start + 9..start + 13].try_into().expect("four bytes")) as usize;
        events.push(&bytes[start..start + size]);
        start += size;
    }
    let of_type = |wanted: u8| events.iter().position(|event| event[4] == wanted).expect("such an event");
    let rows = of_type(30);
    let begin = (0..rows).rev().find(|index| events[*index][4] == 33).expect("a GTID event");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, parts: &[&[&[u8]]]| {
        let path = folder.path().join(name);
        let body: Vec<u8> =
            parts.iter().flat_map(|part| part.iter()).flat_map(|event| event.iter().copied()).collect();
        std::fs::write(&path, [&bytes[..4], &body].concat()).expect("a file");
        path
    };
    let whole = Delivered::cat(&[&fixture("mysql97_relay.bin")], &[]);
    let without_place = |lines: &[Value]| -> Vec<Value> {
        let mut lines = lines.to_vec();
        for line in &mut lines {
            line["file"] = Value::Null;
            line["pos"] = Value::Null;
        }
        lines
    };
    // The replica's own description and the source's: what every later relay log begins with.
    let head = [events[0], events[3]];
    let first = write("relay.000001", &[&events[..rows]]);
    let goes_on = write("relay.000002", &[&head, &events[rows..]]);
    let told = Delivered::cat(&[&first, &goes_on], &[]);
    assert_eq!(without_place(&told.lines), without_place(&whole.lines));
    // A replica that follows GTIDs is sent the transaction anew.
    let anew = write("relay.000003", &[&head, &events[2..4], &events[begin..]]);
    let told = Delivered::cat(&[&first, &anew], &[]);
    assert_eq!(without_place(&told.lines), without_place(&whole.lines));
    // Alone, its beginning is missing: rows without a table are never guessed at.
    assert_refused(&cat(&[&goes_on], &[]), 1, "TABLE_MAP_MISSING", &["relay.000002"]);
}

#[test]
fn files_on_standard_input() {
    let names = ["mysql97_tagged.bin", "mysql97_tagged_2.bin", "mariadb_compressed.bin"].map(fixture);
    let folder = tempfile::tempdir().expect("a folder");
    let together = folder.path().join("together");
    let bytes: Vec<u8> = names.iter().flat_map(|name| std::fs::read(name).expect("a fixture")).collect();
    std::fs::write(&together, bytes).expect("a file");
    let mut command = harness::fountain();
    let file = std::fs::File::open(together).expect("the file");
    let output = command.args(["cat", "-"]).stdin(file).output().expect("fountain runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = parse(&String::from_utf8_lossy(&output.stdout));
    let named = Delivered::cat(&as_paths(&names), &[]);
    assert!(counts(&lines).0 > 3);
    assert_eq!(counts(&lines), counts(&named.lines));
    assert!(lines.iter().all(|line| line["file"] == "-"));
}
