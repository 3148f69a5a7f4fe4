//! What the sinks promise while rows come: files with their chain of headers, a disk that is full for a while, a reader
//! of stdout that goes away.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::numbered::create_wide;
use harness::numbered::ids;
use harness::numbered::insert_wide;
use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const BEGINNING: &str = "start_without_point=beginning";

/// Files of a folder whose names end so, in the order of their names.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the data folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.to_str().is_some_and(|name| name.ends_with(end)));
    paths.sort();
    paths
}

// ------------------------------------------------------------------------------------------------------------ files

/// Reads every sidecar beside its data file, and proves what the headers say: nothing missing, repeated or changed.
/// Answers with the epochs in their order.
fn prove_the_chain(folder: &Path) -> Vec<u64> {
    let mut epochs = Vec::new();
    let (mut previous_crc32, mut sequence, mut next_seq) = ("00000000".to_owned(), 0, 1);
    for sidecar in files(folder, ".packs") {
        let stem = sidecar.to_str().expect("UTF-8").trim_end_matches(".packs").to_owned();
        let path = [format!("{stem}.jsonl"), format!("{stem}.part"), format!("{stem}.jsonl.part")]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or(stem);
        let bytes = std::fs::read(&path).expect("the data file");
        let mut rest = bytes.as_slice();
        for header in parse(&std::fs::read_to_string(&sidecar).expect("the sidecar")) {
            let number = |name: &str| header[name].as_u64().expect("a number");
            let (pack, behind) = rest.split_at(number("bytes") as usize);
            rest = behind;
            assert_eq!(format!("{:08x}", crc32fast::hash(pack)), header["crc32"], "{path}");
            assert_eq!(header["previous_crc32"], previous_crc32.as_str(), "{path}");
            let lines = parse(std::str::from_utf8(pack).expect("UTF-8"));
            assert_eq!(lines.len() as u64, number("rows"), "{path}");
            let place = |line: &Value| {
                let members = ["gtid", "file", "pos", "row", "seq"];
                let held = members.iter().filter(|name| line.get(**name).is_some());
                held.map(|name| ((*name).to_owned(), line[*name].clone())).collect::<serde_json::Map<_, _>>()
            };
            assert_eq!(header["first"], Value::Object(place(&lines[0])), "{path}");
            assert_eq!(header["last"], Value::Object(place(&lines[lines.len() - 1])), "{path}");
            assert_eq!(lines[0]["seq"], next_seq, "{path}: numbered without a jump");
            next_seq = number("next_seq");
            if epochs.last() != Some(&number("epoch")) {
                epochs.push(number("epoch"));
                sequence = 0;
            }
            sequence += 1;
            assert_eq!(number("sequence"), sequence, "{path}: without holes inside an epoch");
            previous_crc32 = header["crc32"].as_str().expect("a text").to_owned();
        }
        assert!(rest.is_empty(), "{path}: {} bytes without a header", rest.len());
    }
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
    epochs
}

#[test]
fn rotated_files_hold_every_row_under_unbroken_headers() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create_wide(&server);
        let home = Fountain::new();
        let pairs = keys(&[BEGINNING, "file_rotate_bytes=100KB", "pack_max_bytes=30KB"]);
        let folder = home.home().join("data");
        for round in 0..4 {
            let run = home.spawn(&run_arguments(&home, &server, &pairs));
            for part in 0..10 {
                insert_wide(&server, round * 1000 + part * 100, if part == 7 { 100 } else { 3 });
            }
            // By the last row of the round, or in the middle of it.
            let wanted = if round % 2 == 0 { round * 1000 + 902 } else { round * 1000 };
            harness::wait_until("rows", PATIENCE, || data(&folder).contains(&format!("{{\"id\":{wanted},")));
            match round {
                3 => drop(run.kill9()),
                _ => assert_eq!(run.terminate(PATIENCE).code, 0),
            }
        }
        assert_eq!(run_until(&home, &server, "end", &pairs).code, 0);
        let expected: Vec<u64> = (0..4)
            .flat_map(|round| {
                (0..10).map(move |part| (round * 1000 + part * 100, if part == 7 { 100 } else { 3 }))
            })
            .flat_map(|(from, count)| from..from + count)
            .collect();
        assert_eq!(ids(&parse(&data(&folder))), expected, "{kind}");
        assert!(prove_the_chain(&folder).len() >= 4, "{kind}: an epoch for each start");
        let closed = files(&folder, ".jsonl");
        assert!(closed.len() >= 4, "{closed:?}");
        for path in closed {
            assert!(path.metadata().expect("its size").len() <= 100_000 + 30_000, "{path:?}");
        }
    }
}

#[test]
fn files_are_rotated_by_their_age() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 1);
    let home = Fountain::new();
    let folder = home.home().join("data");
    let run = home.spawn(&run_arguments(&home, &server, &keys(&[BEGINNING, "file_rotate_seconds=1"])));
    // An idle shard closes its file too, and opens none without rows.
    harness::wait_until("the file is closed", PATIENCE, || {
        folder.exists() && files(&folder, ".jsonl").len() == 1
    });
    assert!(files(&folder, ".part").is_empty());
    insert_wide(&server, 2, 1);
    harness::wait_until("the second one too", PATIENCE, || files(&folder, ".jsonl").len() == 2);
    assert_eq!(run.terminate(PATIENCE).code, 0);
    assert_eq!(ids(&parse(&data(&folder))), [1, 2]);
    assert_eq!(prove_the_chain(&folder), [1]);
}

/// Free bytes of the file system that a folder is on.
fn free_bytes(folder: &Path) -> u64 {
    let output = Command::new("df").args(["-Pk"]).arg(folder).output().expect("df");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().nth(1).expect("a line about the file system");
    line.split_whitespace().nth(3).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// Somebody fills the disk and then frees it: fountain waits, says so once, and goes on by itself. (Others use the disk
/// too: where they upset the measure, it is taken anew.)
#[test]
fn a_disk_that_is_full_for_a_while() {
    const MARGIN: u64 = 256 << 20;
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    let home = Fountain::new();
    let filler = home.home().join("filler");
    let mut next = 1;
    for attempt in 1..=5 {
        let keep_free = format!("file_min_free_bytes={}", free_bytes(home.home()).saturating_sub(MARGIN));
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&[BEGINNING, &keep_free])));
        let folder = home.home().join("data");
        let arrived = |id: u64| data(&folder).contains(&format!("{{\"id\":{id},"));
        insert_wide(&server, next, 1);
        run.wait_for("a row", PATIENCE, |_| arrived(next));
        let filled =
            Command::new("fallocate").args(["-l", "512MiB"]).arg(&filler).status().expect("fallocate");
        assert!(filled.success());
        insert_wide(&server, next + 1, 1);
        let waited = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            run.stderr().contains("waiting_for_sink") || arrived(next + 1)
        });
        let told = run.stderr().contains("waiting_for_sink");
        std::fs::remove_file(&filler).expect("removable");
        run.wait_for("it goes on by itself", PATIENCE, |_| arrived(next + 1));
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        next += 2;
        assert!(waited, "neither waiting nor delivered: {}", output.stderr);
        if told {
            assert!(
                output.stderr.contains("file_min_free_bytes") && output.stderr.contains("takes packs again")
            );
            break;
        }
        assert!(attempt < 5, "the disk could not be filled five times in a row");
    }
    assert_eq!(ids(&parse(&data(&home.home().join("data")))), (1..next).collect::<Vec<_>>());

    // With an end in sight nobody waits.
    insert_wide(&server, next, 1);
    let output = run_until(&home, &server, "end", &keys(&["file_min_free_bytes=900TiB"]));
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("SINK_FAILED") && !output.stderr.contains("waiting_for_sink"),
        "{}",
        output.stderr
    );
}

// ----------------------------------------------------------------------------------------------------------- stdout

#[test]
fn a_reader_that_goes_away_ends_the_run_with_one_message() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 1);
    let home = Fountain::new();
    let (run, unread) = home.spawn_unread(&run_arguments(&home, &server, &keys(&[BEGINNING, "sink=stdout"])));
    let mut reader = BufReader::new(unread);
    let mut first = String::new();
    reader.read_line(&mut first).expect("a line");
    assert!(first.starts_with("{\"op\":\"ddl\""), "{first}");
    drop(reader);
    insert_wide(&server, 2, 1);
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let told: Vec<&str> = output.stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert!(told.len() == 1 && told[0].contains("SINK_FAILED") && told[0].contains("went away"), "{told:?}");
    // Whatever was in the pipe and not read is lost with it; what was never delivered is not.
    let rest = run_until(&home, &server, "end", &keys(&["sink=stdout"]));
    assert!(ids(&parse(&rest.stdout)).ends_with(&[2]), "{}", rest.stdout);
}

/// A pack is made of whole lines, also where shards share stdout.
#[test]
fn shards_share_stdout_pack_by_pack() {
    let Some(one) = Server::start_private(Kind::Mysql56, &[]) else { return };
    let Some(two) = Server::start_private(Kind::Mariadb, &[]) else { return };
    for server in [&one, &two] {
        create_wide(server);
        for part in 0..20 {
            insert_wide(server, part * 100, 100);
        }
    }
    let home = Fountain::new();
    let mut arguments = run_arguments(&home, &one, &keys(&[BEGINNING, "sink=stdout", "pack_max_bytes=10KB"]));
    arguments.extend(two.shard_arguments(1, home.home()).into_iter().take(4));
    arguments.extend(["--until", "end"].map(str::to_owned));
    let output = home.run(&arguments, PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&output.stdout);
    for shard in ["producer00", "producer01"] {
        let own: Vec<Value> = lines.iter().filter(|line| line["shard"] == shard).cloned().collect();
        assert_eq!(ids(&own), (0..2000).collect::<Vec<_>>(), "{shard}");
        assert!(own.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "{shard}: its own numbers");
    }
}
