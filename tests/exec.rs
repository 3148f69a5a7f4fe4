//! The exec sink against real servers: the consumers that come with fountain, and consumers that fail in every way.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::consumer_pid;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::numbered::create_wide;
use harness::numbered::ids;
use harness::numbered::insert_wide;
use harness::numbered::selected;
use harness::process::alive;
use harness::process::signal;
use harness::stored::stored;
use harness::wait_until;
use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

const BEGINNING: &str = "start_without_point=beginning";
/// The start of a consumer in the shell: reads a pack's line and what it says.
const TAKE: &str = r#"while IFS= read -r l; do e=${l#*\"epoch\":} s=${l#*\"sequence\":} b=${l#*\"bytes\":}; e=${e%%,*} s=${s%%,*} b=${b%%,*};"#;

fn consumer(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers").join(name).display().to_string()
}

/// The keys of a run with a consumer.
fn exec(command: &str, more: &[&str]) -> Vec<String> {
    let command = format!("exec_command={command}");
    let pairs = [&[BEGINNING, "sink=exec", &command], more].concat();
    keys(&pairs).into_iter().map(str::to_owned).collect()
}

fn texts(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}

/// The same numbers for the same seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state >> 33
}

/// Lines of the table `changes`, in the order in which they were applied.
fn sqlite_lines(file: &Path) -> String {
    let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute('SELECT line FROM changes ORDER BY rowid'): sys.stdout.write(row[0])";
    let output = Command::new("python3").args(["-c", script]).arg(file).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Fountain and its consumer are killed again and again: the database holds every line once, and the same ones as files.
#[test]
fn exactly_once_into_sqlite_whatever_is_killed() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    let home = Fountain::new();
    let database = home.home().join("rows.sqlite");
    // Its answers go by somebody who kills fountain in place of the one whose number stands in `at`.
    let killer =
        "n=0; while read -r l; do n=$((n + 1)); [ $n -ne $(cat at) ] || kill -9 $PPID; echo \"$l\"; done";
    let command = format!("{} {} | {{ {killer}; }}", consumer("into_sqlite.py"), database.display());
    let arguments = exec(&command, &["exec_resume=consumer", "pack_max_bytes=20KB"]);
    let arguments = texts(&arguments);
    let mut seed = 20;
    for round in 0..12 {
        home.write("at", if round % 3 == 1 { ["2", "3", "5", "2"][round as usize / 3] } else { "0" });
        let mut run = home.spawn(&run_arguments(&home, &server, &arguments));
        run.wait_for("a consumer", PATIENCE, |run| consumer_pid(&run.stderr()).is_some());
        insert_wide(&server, round * 1000, 1 + random(&mut seed) % 400);
        if round % 3 == 1 {
            insert_wide(&server, round * 1000 + 500, 300);
            assert_eq!(run.wait(PATIENCE).code, 128 + 9);
            continue;
        }
        std::thread::sleep(Duration::from_millis(random(&mut seed) % 150));
        if round % 3 == 0 {
            signal(consumer_pid(&run.stderr()).expect("a consumer"), "KILL");
            std::thread::sleep(Duration::from_millis(random(&mut seed) % 700));
        }
        drop(run.kill9());
    }
    home.write("at", "0");
    let output = run_until(&home, &server, "end", &arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = sqlite_lines(&database);
    assert_eq!(ids(&parse(&lines)), selected(&server, "d.t"));

    let files = Fountain::new();
    assert_eq!(run_until(&files, &server, "end", &keys(&[BEGINNING])).code, 0);
    assert_eq!(lines, data(&files.home().join("data")), "the same bytes as files have");
}

/// The consumer's records are of an older backup, and fountain ran in between without having anything to deliver: what the
/// backup lacks is behind the point, and nobody would send it again.
#[test]
fn a_consumer_restored_from_a_backup_is_noticed_behind_an_idle_run() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    let home = Fountain::new();
    let path = |name: &str| home.home().join(name);
    let command = format!("{} {}", consumer("into_sqlite.py"), path("rows.sqlite").display());
    let arguments = exec(&command, &["exec_resume=consumer", "dispatch_ddl=none"]);
    let run = |sql_first: Option<u64>| {
        sql_first.inspect(|id| insert_wide(&server, *id, 5));
        run_until(&home, &server, "end", &texts(&arguments))
    };
    for from in [Some(10), Some(20)] {
        assert_eq!(run(from).code, 0);
        let kept = if from == Some(10) { "backup" } else { "newest" };
        std::fs::copy(path("rows.sqlite"), path(kept)).expect("a copy");
    }
    for _ in 0..2 {
        assert_eq!(run(None).code, 0, "an epoch without a pack");
    }
    let record = stored(&home, "point").expect("a point");
    assert_eq!((&record["epoch"], &record["sequence"]), (&Value::from(4), &Value::from(0)), "{record}");

    std::fs::copy(path("backup"), path("rows.sqlite")).expect("a copy");
    let output = run(Some(30));
    assert_refused(&output, 1, "SINK_BROKEN", &["holds pack 1/", "restore its records, or move the point"]);
    assert_eq!(ids(&parse(&sqlite_lines(&path("rows.sqlite")))), (10..15).collect::<Vec<_>>());
    assert_eq!(stored(&home, "point").expect("a point")["point"], record["point"], "the point stays");
    // Their cure: the records of the time of the point.
    std::fs::copy(path("newest"), path("rows.sqlite")).expect("a copy");
    assert_eq!(run(None).code, 0);
    assert_eq!(ids(&parse(&sqlite_lines(&path("rows.sqlite")))), selected(&server, "d.t"));
}

/// The whole folder of points is gone, and nothing but the consumer tells which epoch and which numbers it has seen: a
/// person's word wins over its last pack, and no `seq` comes twice.
#[test]
fn a_point_that_is_set_where_only_the_consumer_knows_the_numbers() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 10, 5);
    let home = Fountain::new();
    let database = home.home().join("rows.sqlite");
    let command = format!("{} {}", consumer("into_sqlite.py"), database.display());
    let arguments = exec(&command, &["exec_resume=consumer", "dispatch_ddl=none"]);
    assert_eq!(run_until(&home, &server, "end", &texts(&arguments)).code, 0);
    std::fs::remove_dir_all(home.home().join("points")).expect("removable");

    let set = ["points", "set", "producer00", "--start", "beginning", "--reason", "again", "--yes"];
    let set = |command: &str| {
        let pairs = exec(command, &["exec_resume=consumer"]);
        let keys = run_arguments(&home, &server, &texts(&pairs)).split_off(1);
        home.run(&[set.map(str::to_owned).to_vec(), keys].concat(), PATIENCE)
    };
    assert_refused(&set("read -r l; exit 7"), 1, "SINK_FAILED", &["ended with exit code 7"]);
    let output = set(&command);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("its consumer was asked and holds pack 1/1"), "{}", output.stdout);
    assert_eq!(run_until(&home, &server, "end", &texts(&arguments)).code, 0);
    let lines = parse(&sqlite_lines(&database));
    let rows: Vec<Value> = lines.iter().filter(|line| line["op"] == "insert").cloned().collect();
    assert_eq!(ids(&rows), [(10..15).collect::<Vec<_>>(), (10..15).collect()].concat());
    let numbers = lines.iter().map(|line| line["seq"].as_u64().expect("seq"));
    assert!(numbers.eq(1..=11), "five rows, the gap line, five rows: {lines:?}");
}

#[test]
fn a_file_for_each_pack_by_the_shell() {
    let Some(server) = Server::start_private(Kind::Mysql97, &[]) else { return };
    create_wide(&server);
    for part in 0..20 {
        insert_wide(&server, part * 100, 50);
    }
    let home = Fountain::new();
    let folder = home.home().join("packs");
    std::fs::create_dir(&folder).expect("a folder");
    let command = format!("{} packs", consumer("pack_files.sh"));
    let arguments = exec(&command, &["pack_max_bytes=20KB"]);
    let output = run_until(&home, &server, "end", &texts(&arguments));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids(&parse(&data(&folder))), selected(&server, "d.t"));
    assert!(std::fs::read_dir(&folder).expect("the folder").count() > 10);
    assert!(output.stderr.contains("ended with exit code 0"), "{}", output.stderr);
    assert!(!alive(consumer_pid(&output.stderr).expect("a consumer")));
    // All of it is acknowledged: nothing comes again.
    let output = run_until(&home, &server, "end", &texts(&arguments));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids(&parse(&data(&folder))), selected(&server, "d.t"));
}

#[test]
fn with_an_end_in_sight_a_failing_consumer_ends_the_run() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 10);
    let cases = [
        ("exit 3", "ended with exit code 3"),
        ("echo 'the disk is full' >&2; exit 4", "its last words: \"the disk is full\""),
        (
            &format!("{TAKE} head -c $b > /dev/null; echo reject $e $s no room; done")[..],
            "rejected pack 1/1: no room",
        ),
        (&format!("{TAKE} head -c $b > /dev/null; echo ack $e $((s + 1)); done"), "\"ack 1 2\" to pack 1/1"),
        (&format!("{TAKE} head -c $b > /dev/null; echo hello; done"), "neither ack nor reject"),
        ("yes | tr -d '\\n'", "without a line end"),
        ("cat > /dev/null", "did not answer within exec_ack_timeout_ms=700"),
        ("sleep 100", "did not answer within exec_ack_timeout_ms=700"),
        ("(sleep 100) & exit 5", "ended with exit code 5"),
    ];
    for (command, expected) in cases {
        let home = Fountain::new();
        let arguments = exec(command, &["exec_ack_timeout_ms=700"]);
        let output = run_until(&home, &server, "end", &texts(&arguments));
        assert_eq!(output.code, 1, "{command}: {}", output.stderr);
        assert!(
            output.stderr.contains("SINK_FAILED") && output.stderr.contains(expected),
            "{command}: {}",
            output.stderr
        );
        assert!(!alive(consumer_pid(&output.stderr).expect("a consumer")), "{command}");
    }
}

#[test]
fn a_run_waits_for_its_consumer_and_stops_when_told_so() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    insert_wide(&server, 1, 10);
    let home = Fountain::new();
    let take = format!("[ -e works ] || exit 7; {TAKE} head -c $b >> rows.jsonl; echo ack $e $s; done");
    let arguments = exec(&take, &[]);
    let mut run = home.spawn(&run_arguments(&home, &server, &texts(&arguments)));
    run.wait_for("it waits", PATIENCE, |run| run.stderr().contains("waiting_for_sink"));
    run.wait_for("it tries again", PATIENCE, |run| run.stderr().contains("failures in a row"));
    home.write("works", "");
    let rows = || std::fs::read_to_string(home.home().join("rows.jsonl")).unwrap_or_default();
    run.wait_for("it goes on by itself", PATIENCE, |_| ids(&parse(&rows())).len() == 10);
    // Nobody misses a consumer that ends between two packs, and it is replaced at once.
    let first = consumer_pid(&run.stderr()).expect("a consumer");
    signal(first, "KILL");
    run.wait_for("a new one", PATIENCE, |run| consumer_pid(&run.stderr()) != Some(first));
    insert_wide(&server, 11, 10);
    run.wait_for("the next rows", PATIENCE, |_| ids(&parse(&rows())).len() == 20);
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("ended with exit code 7") && output.stderr.contains("was ended by signal 9"),
        "{}",
        output.stderr
    );
    assert_eq!(ids(&parse(&rows())), selected(&server, "d.t"));

    insert_wide(&server, 21, 1);
    let arguments = exec("exit 7", &["exec_on_failure=stop"]);
    let output = home.spawn(&run_arguments(&home, &server, &texts(&arguments))).wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains("SINK_FAILED") && output.stderr.contains("this shard stops"),
        "{}",
        output.stderr
    );
}

/// A consumer that hangs holds up no stop; when fountain is killed it sees the end of its input.
#[test]
fn no_consumer_outlives_fountain() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create_wide(&server);
    for part in 0..40 {
        insert_wide(&server, part * 100, 100);
    }
    let home = Fountain::new();
    // It reads nothing of a pack that is larger than a pipe, and does not care for SIGTERM.
    let arguments =
        exec("trap '' TERM; touch started; sleep 100 & wait; sleep 100", &["stop_timeout_ms=3000"]);
    let begin = |home: &Fountain, arguments: &[String]| -> (Running, u32) {
        let mut run = home.spawn(&run_arguments(home, &server, &texts(arguments)));
        run.wait_for("a consumer", PATIENCE, |_| home.home().join("started").exists());
        std::fs::remove_file(home.home().join("started")).expect("removable");
        let pid = consumer_pid(&run.stderr()).expect("a consumer");
        (run, pid)
    };
    let (run, pid) = begin(&home, &arguments);
    let began = Instant::now();
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(output.stderr.contains("could not be delivered before the stop"), "{}", output.stderr);
    assert!(!alive(pid));

    let arguments = exec("touch started; cat > /dev/null", &[]);
    let (run, pid) = begin(&home, &arguments);
    drop(run.kill9());
    wait_until("the consumer sees the end", PATIENCE, || !alive(pid));
}

#[test]
fn check_looks_at_the_command() {
    let Some(server) = Server::start(Kind::Mariadb, &[]) else { return };
    let home = Fountain::new();
    let path: PathBuf = home.write("consumer", "#!/bin/sh\n");
    for (command, expected) in
        [("./consumer", "cannot be run"), ("no-such-program", "no program"), ("cat", "runs /")]
    {
        let mut arguments = run_arguments(&home, &server, &texts(&exec(command, &[])));
        arguments[0] = "check".to_owned();
        let output = home.run(&arguments, PATIENCE);
        let line = output.stdout.lines().find(|line| line.contains("exec_command"));
        assert!(line.is_some_and(|line| line.contains(expected)), "{command}: {}", output.stdout);
    }
    drop(path);
}
