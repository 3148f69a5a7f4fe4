//! Old files of the file sink go while fountain runs, is killed and started again: what is left is the end of what an
//! undisturbed run delivers, never less than is to be kept, and `fountain verify` finds no fault at any moment.

mod harness;
mod crash_bytes {
    pub mod load;
}

use crash_bytes::load::Dice;
use crash_bytes::load::Load;
use crash_bytes::load::create_tables;
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
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

const KEEP_BYTES: u64 = 500_000;

/// No row is larger than a pack here, and no pack larger than a file.
const FILE_BYTES: u64 = 60_000;

const ALWAYS: &[&str] = &[
    "start_without_point=beginning",
    "pack_max_bytes=20000",
    "file_rotate_bytes=60000",
    "filter_shard_table_black=crash.log,crash.none",
];

/// Each file goes in two steps, and then its names.
const ORDERS: [&str; 8] = [
    "sink.remove:1:kill",
    "sink.remove:2:kill",
    "sink.remove:3:kill",
    "sink.remove:6:kill",
    "sink.rename:2:kill",
    "sink.flush_names:3:kill",
    "sink.create:3:kill",
    "sink.append:9:tear",
];

fn verify(home: &Fountain) -> Output {
    let output = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    output
}

/// Files of rows and their sidecars, by name, with their sizes.
fn files(home: &Fountain) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(home.home().join("data")).expect("the sink's folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end != "lock"))
        .map(|path| (path.clone(), path.metadata().expect("a file").len()))
        .collect();
    files.sort();
    files
}

fn start(home: &Fountain, server: &Server, pairs: &[&str], order: &str) -> Running {
    let mut command = home.command();
    command.args(run_arguments(home, server, &keys(pairs)));
    if !order.is_empty() {
        command.env("FOUNTAIN_FAIL_POINT", order);
    }
    Running::start(command)
}

/// Lets it run until it dies by order, or for a while, and kills it then.
fn die(mut run: Running, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while run.ended().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let by_order = run.ended().is_some();
    let output = run.kill9();
    assert_eq!(output.code, 128 + 9, "{}", output.stderr);
    by_order
}

/// Kills, and answers with what was there after each, and with the last run's home.
fn killed(server: &Server, load: &Load, pairs: &[&str], seed: u64) -> (Fountain, Vec<String>) {
    let home = Fountain::new();
    let mut dice = Dice(seed);
    let mut seen = Vec::new();
    let mut by_order = 0;
    for order in ORDERS.into_iter().chain([""; 4]) {
        let limit = if order.is_empty() { 50 + dice.below(400) } else { 1000 };
        by_order += u64::from(die(start(&home, server, pairs, order), Duration::from_millis(limit)));
        load.pause(true);
        verify(&home);
        seen.push(data(&home.home().join("data")));
        load.pause(false);
    }
    assert!(!cfg!(debug_assertions) || by_order > 4, "only {by_order} orders were carried out");
    (home, seen)
}

#[test]
fn old_files_go_and_nothing_else_whatever_is_killed() {
    let Some(server) =
        Server::start_private(Kind::Mysql97, &[GTID, &["--binlog-row-metadata=FULL"]].concat())
    else {
        return;
    };
    create_tables(&server);
    let load = Load::start(&server, false);
    let by_bytes = [ALWAYS, &["file_keep_bytes=500000"]].concat();
    let by_age = [ALWAYS, &["file_keep_seconds=1"]].concat();
    let homes =
        [(&by_bytes, killed(&server, &load, &by_bytes, 1)), (&by_age, killed(&server, &load, &by_age, 2))];
    load.end();
    let undisturbed = Fountain::new();
    assert_eq!(run_until(&undisturbed, &server, "end", &keys(ALWAYS)).code, 0);
    let all = data(&undisturbed.home().join("data"));
    for (pairs, (home, seen)) in homes {
        let kept = seen.iter().filter(|seen| all.contains(seen.as_str()));
        assert_eq!(kept.count(), seen.len(), "a part of what an undisturbed run delivers");
        let last = run_until(&home, &server, "end", &keys(pairs));
        assert_eq!(last.code, 0, "{}", last.stderr);
        let rest = data(&home.home().join("data"));
        assert!(all.ends_with(&rest) && rest.len() < all.len(), "{} of {} bytes", rest.len(), all.len());
        let told = verify(&home).stdout;
        assert!(told.contains("older files were removed"), "{told}");
        let bytes: u64 = files(&home).iter().map(|(_, bytes)| bytes).sum();
        if pairs.contains(&"file_keep_bytes=500000") {
            // A file and its sidecar go at a time, and one more may be begun behind the last look.
            let span = 2 * FILE_BYTES;
            assert!((KEEP_BYTES - span..=KEEP_BYTES + span).contains(&bytes), "{bytes} bytes are left");
        }
    }
}

/// While files go, somebody else looks at them.
#[test]
fn verify_beside_a_run_that_removes_old_files() {
    let Some(server) = Server::start_private(Kind::Mysql56, &[]) else { return };
    create_tables(&server);
    let load = Load::start(&server, false);
    let home = Fountain::new();
    let pairs = [ALWAYS, &["file_keep_bytes=500000"]].concat();
    let mut run = start(&home, &server, &pairs, "");
    run.wait_for("old files go", PATIENCE, |run| run.stderr().contains("removed old file"));
    let mut removed_meanwhile = 0;
    for _ in 0..40 {
        let told = verify(&home).stdout;
        removed_meanwhile += usize::from(told.contains("removed while the folder was read"));
    }
    load.end();
    assert_eq!(run.terminate(PATIENCE).code, 0);
    println!("{removed_meanwhile} of 40 had files removed under their hands");
}

/// Runs that are too short to fill a file, or to live for a minute.
#[test]
fn short_runs_remove_old_files_too() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
    let home = Fountain::new();
    let pairs = keys(&["start_without_point=beginning", "file_keep_bytes=1"]);
    for id in 1..=5 {
        server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
        let output = run_until(&home, &server, "end", &pairs);
        assert_eq!(output.code, 0, "{}", output.stderr);
        verify(&home);
    }
    // The last one, which says where to go on, and the one that it followed.
    let left = files(&home);
    assert!(left.len() <= 4, "{left:?}");
    assert!(data(&home.home().join("data")).contains("\"id\":5"), "{left:?}");
}
