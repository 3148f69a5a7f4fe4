//! Gap records, definitions and former points when the disk is full or fountain is killed while they are written: no gap is
//! passed before it is recorded, and once; no definition holds behind its end; a lost history harms nobody.

#![cfg(debug_assertions)]

mod harness;
mod policies {
    pub mod workload;
}

use fountain::sync_point::PointRecord;
use fountain::sync_point::history::FileHistory;
use fountain::sync_point::history::PointHistory;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::shapes;
use harness::shapes::Dice;
use harness::shapes::Oracle;
use policies::workload::ALWAYS;
use policies::workload::LIMITS;
use policies::workload::fill;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const SHARD: &str = "producer00";

fn start(home: &Fountain, server: &Server, words: &[&str], order: &str) -> Running {
    let mut command = home.command();
    command.args(run_arguments(home, server, words)).env("FOUNTAIN_FAIL_POINT", order);
    Running::start(command)
}

fn until_end(home: &Fountain, server: &Server, pairs: &[&str], order: &str) -> Output {
    let words = [&["--until", "end"], &keys(pairs)[..]].concat();
    start(home, server, &words, order).wait(PATIENCE)
}

fn rows(home: &Fountain) -> String {
    data(&home.home().join("data"))
}

/// The texts between `before` and `after` in all files of a folder that end so.
fn quoted(folder: &Path, before: &str, after: char, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            quoted(&path, before, after, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let texts = text.split(before).skip(1).filter_map(|rest| rest.split_once(after));
            found.extend(texts.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn a_test_orders_each_fail_point() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut points = BTreeSet::new();
    for call in ["fail_point::reach(\"", "fail_point::write(\""] {
        quoted(&root.join("src"), call, '"', &mut points);
    }
    assert!(points.len() > 20, "{points:?}");
    let mut ordered = BTreeSet::new();
    quoted(&root.join("tests"), "\"", ':', &mut ordered);
    let missing: Vec<_> = points.difference(&ordered).collect();
    assert!(missing.is_empty(), "no test orders {missing:?}");
}

// -------------------------------------------------------------------------------------------------------------- gaps

/// Some transactions of the workload are too large.
fn discarding() -> Vec<&'static str> {
    [ALWAYS, LIMITS, &["transaction_policy=mini", "trans_oversize=discard", "sparate_packsize=2"]].concat()
}

fn gap_lines(home: &Fountain) -> usize {
    rows(home).lines().filter(|line| line.starts_with("{\"op\":\"gap\"")).count()
}

/// Gap records without the time. One that a kill tore is none.
fn gaps(home: &Fountain) -> Vec<Value> {
    let path = home.home().join("points/producer00.gaps");
    let text =
        if path.exists() { std::fs::read_to_string(path).expect("gap records") } else { String::new() };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut records: Vec<Value> =
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for record in &mut records {
        let record = record.as_object_mut().expect("an object");
        record.retain(|member, _| member != "at_ms" && member != "crc32");
    }
    records
}

/// A run to the end without any trouble; the lines and gaps are those of an undisturbed one.
fn ends_well(home: &Fountain, server: &Server, undisturbed: &Fountain, what: &str) {
    let output = run_until(home, server, "end", &keys(&discarding()));
    assert_eq!(output.code, 0, "{what}: {}", output.stderr);
    assert!(rows(home) == rows(undisturbed), "{what}: the rows differ");
    assert_eq!(gaps(home), gaps(undisturbed), "{what}: each gap once");
}

fn discarded(server: &Server) -> Fountain {
    fill(server);
    let undisturbed = Fountain::new();
    assert_eq!(run_until(&undisturbed, server, "end", &keys(&discarding())).code, 0);
    let count = if server.kind() == Kind::Mysql97 { 3 } else { 4 };
    assert_eq!((gap_lines(&undisturbed), gaps(&undisturbed).len()), (count, count));
    undisturbed
}

#[test]
fn killed_while_a_gap_is_recorded() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let undisturbed = discarded(&server);
    // The history opens its file first, and appends to it too.
    for order in [
        "log.open:1:kill",
        "log.open:2:kill",
        "log.open:4:kill",
        "log.append:2:tear",
        "log.append:3:tear",
        "log.flush:1:kill",
        "log.flush:2:kill",
        "log.flush:3:kill",
    ] {
        let home = Fountain::new();
        for _ in 0..2 {
            let output = until_end(&home, &server, &discarding(), order);
            if output.code == 0 {
                break;
            }
            assert_eq!(output.code, 128 + 9, "{order}: {}", output.stderr);
            let (lines, records) = (gap_lines(&home), gaps(&home).len());
            assert!(lines <= records, "{order}: {lines} gaps are told, {records} recorded");
        }
        ends_well(&home, &server, &undisturbed, order);
    }
}

/// Delivery waits in front of the gap; killed there, nothing of it is seen, and the next run goes on as if nothing had been.
#[test]
fn nothing_passes_a_gap_that_cannot_be_recorded() {
    let Some(server) = Server::start_private(Kind::Mysql56, &[]) else { return };
    let undisturbed = discarded(&server);
    for (order, held) in [("log.flush:1:ENOSPC:1000", 0), ("log.flush:2:EIO:1000", 1)] {
        let home = Fountain::new();
        let mut run = start(&home, &server, &keys(&discarding()), order);
        run.wait_for(order, PATIENCE, |run| run.stderr().contains("a gap must be recorded before delivery"));
        assert!(run.stderr().contains("POINT_STORE"), "{}", run.stderr());
        assert!(gap_lines(&home) <= held && gaps(&home).len() == held, "{order}");
        assert_eq!(run.kill9().code, 128 + 9);
        assert!(gap_lines(&home) <= held && gaps(&home).len() == held, "{order}");
        // With --until it is an error that ends the run.
        let output = until_end(&home, &server, &discarding(), "log.flush:1:ENOSPC:1000");
        assert_eq!(output.code, 1, "{order}: {}", output.stderr);
        assert!(output.stderr.contains("POINT_STORE"), "{}", output.stderr);
        ends_well(&home, &server, &undisturbed, order);
    }
}

#[test]
fn a_full_disk_in_front_of_a_gap_is_waited_out() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let undisturbed = discarded(&server);
    let home = Fountain::new();
    let mut run = start(&home, &server, &keys(&discarding()), "log.flush:2:ENOSPC:1");
    run.wait_for("all rows", PATIENCE, |run| {
        run.stderr().contains("gaps are recorded again") && rows(&home).len() == rows(&undisturbed).len()
    });
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    ends_well(&home, &server, &undisturbed, "ENOSPC");
}

const SMALL_PACKS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none", "sparate_packsize=1"];

/// Everything delivered, then the disk turns out to have lost the rows of the last two packs.
fn lost_tail(server: &Server) -> Fountain {
    let home = Fountain::new();
    assert_eq!(run_until(&home, server, "end", &keys(SMALL_PACKS)).code, 0);
    let closed = home.home().join("data/producer00-00000001-00000001.jsonl");
    let sidecar = std::fs::read_to_string(format!("{}.packs", closed.display())).expect("a sidecar");
    let headers: Vec<Value> = sidecar.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(headers.len(), 6, "a row each: {headers:?}");
    let bytes = |header: &Value| header["bytes"].as_u64().expect("bytes");
    let kept: u64 = headers[..headers.len() - 2].iter().map(bytes).sum();
    let part = format!("{}.part", closed.display());
    std::fs::rename(&closed, &part).expect("renamed");
    let file = std::fs::File::options().write(true).open(&part).expect("the data file");
    file.set_len(kept + 3).expect("a shorter file");
    home
}

#[test]
fn killed_between_the_cut_of_lost_packs_and_their_gap() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
    for id in 0..6 {
        server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
    }
    let undisturbed = lost_tail(&server);
    assert_eq!(run_until(&undisturbed, &server, "end", &keys(SMALL_PACKS)).code, 0);
    let told = gaps(&undisturbed);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["kind"], "jump");
    assert!(told[0]["reason"].as_str().is_some_and(|why| why.contains("lost 2 packs")), "{told:?}");
    for order in [
        "sink.append:1:tear",
        "sink.flush:1:kill",
        "sink.cut:2:kill",
        "sink.rename:1:kill",
        "log.open:1:kill",
        "log.append:1:tear",
        "log.flush:1:kill",
        "point.rename:1:kill",
        "sink.remove:1:kill",
    ] {
        let home = lost_tail(&server);
        let output = until_end(&home, &server, SMALL_PACKS, order);
        assert_eq!(output.code, 128 + 9, "{order}: {}", output.stderr);
        let mark = home.home().join("data/producer00.lost").exists();
        let output = home.run(&["verify", "data"], PATIENCE);
        assert_eq!(output.stdout.contains("packs were lost and cut off"), mark, "{order}: {}", output.stdout);
        let output = run_until(&home, &server, "end", &keys(SMALL_PACKS));
        assert_eq!(output.code, 0, "{order}: {}", output.stderr);
        assert_eq!(gaps(&home), told, "{order}: the gap once");
        assert!(rows(&home) == rows(&undisturbed), "{order}: the rows differ");
        assert!(!home.home().join("data/producer00.lost").exists(), "{order}");
    }
}

// ------------------------------------------------------------------------------------------------------- definitions

const FROM_NOW: &[&str] = &["start_without_point=end", "dispatch_ddl=none"];

/// A shard that knows the table's definition, behind which it was changed, between rows.
fn known_and_changed(server: &Server, oracle: &mut Oracle, dice: &mut Dice) -> Fountain {
    let mut session = server.session();
    let home = Fountain::new();
    assert_eq!(run_until(&home, server, "end", &keys(FROM_NOW)).code, 0);
    oracle.insert(&mut session, "d.a", dice);
    assert_eq!(run_until(&home, server, "end", &keys(FROM_NOW)).code, 0);
    oracle.insert(&mut session, "d.a", dice);
    let change = shapes::change(&mut session, "d.a", dice);
    session.sql(&format!("SET sql_mode=''; ALTER TABLE d.a {change}"));
    oracle.insert(&mut session, "d.a", dice);
    home
}

#[test]
fn killed_while_definitions_are_saved() {
    let minimal: Vec<&str> = [GTID, &["--binlog-row-metadata=MINIMAL"]].concat();
    for (kind, options) in [(Kind::Mysql56, vec![]), (Kind::Mysql97, minimal)] {
        let Some(server) = Server::start_private(kind, &options) else { continue };
        let (mut oracle, mut dice) = (Oracle::default(), Dice::new(5));
        let mut session = server.session();
        session.sql("CREATE DATABASE d");
        shapes::create(&mut session, "d.a", "c", 0);
        for order in [
            "schema.create:1:kill",
            "schema.write:1:tear",
            "schema.flush:1:kill",
            "schema.rename:1:kill",
            "schema.flush_names:1:kill",
            "schema.write:2:tear",
            "schema.rename:2:kill",
            "schema.flush_names:2:kill",
        ] {
            let home = known_and_changed(&server, &mut oracle, &mut dice);
            let output = until_end(&home, &server, FROM_NOW, order);
            assert!(output.code == 128 + 9, "{kind} {order}: {}", output.stderr);
            oracle.check(&rows(&home));
            let output = run_until(&home, &server, "end", &keys(FROM_NOW));
            assert_eq!(output.code, 0, "{kind} {order}: {}", output.stderr);
            assert_eq!(oracle.check(&rows(&home)).len(), 3, "{kind} {order}");
        }
    }
}

#[test]
fn a_full_disk_while_definitions_are_saved_is_outlived() {
    let Some(server) = Server::start_private(Kind::Mysql56, &[]) else { return };
    let (mut oracle, mut dice) = (Oracle::default(), Dice::new(6));
    let mut session = server.session();
    session.sql("CREATE DATABASE d");
    shapes::create(&mut session, "d.a", "c", 0);
    // Before an epoch begins it ends the run, as all that cannot be saved then does.
    let home = known_and_changed(&server, &mut oracle, &mut dice);
    let output = start(&home, &server, &keys(FROM_NOW), "schema.write:1:ENOSPC").wait(PATIENCE);
    assert!(output.code == 1 && output.stderr.contains("POINT_STORE"), "{}", output.stderr);
    assert_eq!(run_until(&home, &server, "end", &keys(FROM_NOW)).code, 0);
    assert_eq!(oracle.check(&rows(&home)).len(), 3);
    for order in ["schema.write:2:ENOSPC:2", "schema.flush:2:EIO:1"] {
        let home = known_and_changed(&server, &mut oracle, &mut dice);
        let pairs =
            [FROM_NOW, &["data_source_try_interval=100ms", "repeat_resource_interval=200ms"]].concat();
        let mut run = start(&home, &server, &keys(&pairs), order);
        run.wait_for(order, PATIENCE, |_| rows(&home).lines().count() == 3);
        assert!(run.stderr().contains("POINT_STORE"), "{}", run.stderr());
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(oracle.check(&rows(&home)).len(), 3, "{order}");
    }
}

// ----------------------------------------------------------------------------------------------------------- history

/// Former points, as many as make the file be written anew at the next start.
fn with_long_history(home: &Fountain) -> usize {
    let points = home.home().join("points");
    let (kept, _) = FileHistory::read(&points, SHARD).expect("former points");
    let last = kept.last().expect("a former point").record.clone();
    let mut history = FileHistory::new(&points, SHARD, 7);
    for number in 0..1100 {
        history.note(&PointRecord { saved_ms: last.saved_ms + number, ..last.clone() }).expect("noted");
    }
    former_points(home)
}

fn former_points(home: &Fountain) -> usize {
    let (kept, read) = FileHistory::read(&home.home().join("points"), SHARD).expect("former points");
    assert_eq!(read.broken, 0);
    kept.len()
}

#[test]
fn killed_or_full_while_the_history_is_opened_or_written_anew() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
    for (order, code) in [
        ("history.rename:1:kill", 128 + 9),
        ("log.open:1:kill", 128 + 9),
        ("history.rename:1:ENOSPC:1000", 0),
        ("log.open:1:EIO:1000", 0),
    ] {
        server.sql("DELETE FROM d.t");
        let home = Fountain::new();
        let pairs = ["start_without_point=end"];
        assert_eq!(run_until(&home, &server, "end", &keys(&pairs)).code, 0);
        let before = with_long_history(&home);
        server.sql("INSERT INTO d.t VALUES (1)");
        let output = until_end(&home, &server, &pairs, order);
        assert_eq!(output.code, code, "{order}: {}", output.stderr);
        let told = output.stderr.contains("going on without a history of points");
        assert_eq!(told, code == 0, "{order}: {}", output.stderr);
        let whole = former_points(&home) == before || order.starts_with("log.open");
        assert!(whole && former_points(&home) >= 1000, "{order}: {} of {before}", former_points(&home));
        server.sql("INSERT INTO d.t VALUES (2)");
        let output = run_until(&home, &server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{order}: {}", output.stderr);
        assert_eq!(rows(&home).lines().count(), 2, "{order}: each row once");
        let after = former_points(&home);
        assert!((1001..before).contains(&after), "{order}: it is written anew: {after} of {before}");
    }
}
