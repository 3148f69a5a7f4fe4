//! `seq` over many restarts: kill -9 at seeded moments, while rows come. No number is given to two lines, none falls; in
//! files none is left out either.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::wait_until;
use serde_json::Value;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

const RESTARTS: usize = 50;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// Rows come as long as `test` runs; answers with what it answers.
fn under_load<T>(server: &Server, test: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = server.session();
            while !over.load(Ordering::Acquire) {
                session.sql("INSERT INTO d.t (v) VALUES (1),(2),(3)");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = test();
        over.store(true, Ordering::Release);
        answer
    })
}

/// What each of the runs has put out. The last one is ended in order, behind all rows.
fn killed_again_and_again(home: &Fountain, server: &Server, pairs: &[&str]) -> Vec<String> {
    let always = ["start_without_point=beginning", "dispatch_ddl=none"];
    let arguments = run_arguments(home, server, &keys(&[&always, pairs].concat()));
    let mut random = Random(20261123);
    let mut outputs: Vec<String> = under_load(server, || {
        let run = |_| {
            let run = home.spawn(&arguments);
            thread::sleep(Duration::from_millis(20 + random.below(230)));
            run.kill9().stdout
        };
        (0..RESTARTS).map(run).collect()
    });
    let until = [&arguments[..], &["--until".to_owned(), "end".to_owned()]].concat();
    let output = home.run(&until, PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    outputs.push(output.stdout);
    outputs
}

fn number(line: &Value) -> u64 {
    line["seq"].as_u64().expect("seq")
}

fn id(line: &Value) -> u64 {
    line["after"]["id"].as_u64().expect("id")
}

fn start() -> Option<Server> {
    let server = Server::start_private(Kind::Mysql56, &[])?;
    server
        .sql("CREATE DATABASE d; CREATE TABLE d.t (id int AUTO_INCREMENT PRIMARY KEY, v int) ENGINE=InnoDB");
    Some(server)
}

fn all_ids(server: &Server) -> Vec<u64> {
    let rows = server.select("SELECT id FROM d.t ORDER BY id");
    rows.iter().map(|row| row[0].as_ref().and_then(|id| id.parse().ok()).expect("an id")).collect()
}

#[test]
fn numbers_rise_over_fifty_kills_whatever_is_repeated() {
    let Some(server) = start() else { return };
    let home = Fountain::new();
    let outputs = killed_again_and_again(&home, &server, &["sink=stdout", "sync_point_saver=async"]);
    let (mut last, mut ids, mut runs_with_rows) = (0, std::collections::BTreeSet::new(), 0);
    for output in &outputs {
        // What a kill left half written is no line.
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = parse(whole);
        runs_with_rows += usize::from(!lines.is_empty());
        for line in &lines {
            assert!(number(line) > last, "{} behind {last}: {line}", number(line));
            last = number(line);
            ids.insert(id(line));
        }
    }
    assert!(last < 1 << 53);
    assert!(runs_with_rows > RESTARTS / 4, "only {runs_with_rows} runs came to deliver");
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), all_ids(&server), "at least once");
}

#[test]
fn in_files_fifty_kills_leave_no_trace_in_the_numbers() {
    let Some(server) = start() else { return };
    let home = Fountain::new();
    killed_again_and_again(&home, &server, &[]);
    let lines = parse(&data(&home.home().join("data")));
    assert_eq!(lines.iter().map(number).collect::<Vec<_>>(), (1..=lines.len() as u64).collect::<Vec<_>>());
    assert_eq!(lines.iter().map(id).collect::<Vec<_>>(), all_ids(&server), "exactly once");
}

/// A folder in the way of the temporary file: every save fails, as on a disk that is full.
#[test]
fn rows_go_on_while_no_point_can_be_saved_and_the_point_catches_up() {
    let Some(server) = start() else { return };
    let point = |home: &Fountain| fs::read(home.home().join("points/producer00.point")).unwrap_or_default();
    let saver_keys: [&[&str]; 2] = [
        &["sync_point_saver=sync"],
        &[
            "sync_point_saver=async",
            "async_event_position_thread_initdelay=0",
            "async_event_position_thread_period=50",
        ],
    ];
    for pairs in saver_keys {
        let home = Fountain::new();
        let pairs = [&["start_without_point=beginning", "dispatch_ddl=none", "sink=stdout"], pairs].concat();
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
        server.sql("INSERT INTO d.t (v) VALUES (1)");
        run.wait_for("a row", PATIENCE, |run| run.stdout_lines() > 0);
        let in_the_way = home.home().join("points/.producer00.point.tmp");
        wait_until("a folder in the way", PATIENCE, || fs::create_dir(&in_the_way).is_ok());
        let before = run.stdout_lines();
        server.sql("INSERT INTO d.t (v) VALUES (1)");
        run.wait_for("a failure", PATIENCE, |run| run.stderr().contains("POINT_STORE"));
        let stood = point(&home);
        for _ in 0..20 {
            server.sql("INSERT INTO d.t (v) VALUES (1)");
        }
        run.wait_for("rows all the same", PATIENCE, |run| run.stdout_lines() >= before + 21);
        assert_eq!(point(&home), stood);
        fs::remove_dir(&in_the_way).unwrap();
        run.wait_for("a save", PATIENCE, |run| run.stderr().contains("points are saved again"));
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(output.stderr.matches("POINT_STORE").count(), 1, "told once: {}", output.stderr);
        let (file, pos) = server.binlog_end();
        let stored: Value = serde_json::from_slice(&point(&home)).expect("a point");
        assert_eq!(
            (&stored["point"]["file"], &stored["point"]["pos"]),
            (&Value::from(file), &Value::from(pos))
        );
    }
}
