//! Killed at any moment, fountain goes on where it was: nothing lost, order kept. That nothing comes twice into files is
//! proven by crash_bytes.rs.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

const KILLS: u64 = 20;

/// A writer in the background: transactions of one to many rows, now and then one larger than a pack.
struct Load {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Load {
    fn start(server: &Server) -> Load {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (seen, mut session) = (stop.clone(), server.session());
        let thread = std::thread::spawn(move || {
            let mut next = 1_u64;
            let mut round = 0_u64;
            while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                let rows = match round % 40 {
                    0 => 6000,
                    n if n % 7 == 0 => 200,
                    n => n % 5 + 1,
                };
                let values: Vec<String> =
                    (next..next + rows).map(|id| format!("({id},REPEAT('x',{}))", 300 + id % 90)).collect();
                session.sql(&format!("INSERT INTO crash.t VALUES {}", values.join(",")));
                if round.is_multiple_of(3) {
                    session.sql(&format!("UPDATE crash.t SET v='u' WHERE id={next}"));
                }
                if round.is_multiple_of(11) {
                    session.sql(&format!("DELETE FROM crash.t WHERE id={next}"));
                }
                next += rows;
            }
            next
        });
        Load { stop, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.take().expect("still running").join().expect("the writer")
    }
}

/// Random enough, and the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// To a pipe rows may come again after a kill, and none may be missing: what a run was killed in the middle of, the
/// next one begins at or before, and from there on the order is that of the log.
#[test]
fn killed_into_a_pipe_every_row_arrives_in_order() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    server.sql(
        "CREATE DATABASE crash; CREATE TABLE crash.t (id bigint PRIMARY KEY, v varchar(400)) ENGINE=InnoDB",
    );
    let home = Fountain::new();
    let load = Load::start(&server);
    let mut dice = Dice(4);
    let mut runs = Vec::new();
    let arguments = ["-D", "start_without_point=beginning", "-D", "sink=stdout"];
    for _ in 0..KILLS {
        let run = home.spawn(&run_arguments(&home, &server, &arguments));
        std::thread::sleep(Duration::from_millis(20 + dice.below(300)));
        runs.push(run.kill9().stdout);
    }
    load.end();
    let last = run_until(&home, &server, "end", &arguments);
    assert_eq!(last.code, 0, "{}", last.stderr);
    runs.push(last.stdout);

    // The place of each row in the whole log, from an undisturbed run.
    let whole = Fountain::new();
    let undisturbed = run_until(&whole, &server, "end", &arguments);
    let name =
        |line: &Value| (line["gtid"].as_str().expect("gtid").to_owned(), line["row"].as_u64().expect("row"));
    let order: BTreeMap<_, usize> =
        parse(&undisturbed.stdout).iter().filter(|line| line["op"] != "ddl").map(name).zip(0..).collect();

    let mut reached = 0;
    for run in &runs {
        // The last line of a killed run may be torn; its pack was not acknowledged then.
        let whole_lines = run.rfind('\n').map_or("", |end| &run[..=end]);
        let places: Vec<usize> = parse(whole_lines)
            .iter()
            .filter(|line| line["op"] != "ddl")
            .map(|line| order[&name(line)])
            .collect();
        let Some(first) = places.first() else { continue };
        assert!(*first <= reached, "rows {reached}..{first} are missing");
        assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "rows out of order within a run");
        reached = reached.max(places[places.len() - 1] + 1);
    }
    assert_eq!(reached, order.len(), "the end is missing");
}

/// The server dies and comes back while fountain runs; fountain goes on by itself.
#[test]
fn the_server_is_killed_and_comes_back() {
    for kind in Kind::ALL {
        let options: &[&str] = match kind {
            // What a server that dies has not flushed is lost to everybody; that is not what this test is about.
            Kind::Mariadb | Kind::Mariadb118 => &["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"],
            Kind::Mysql56 | Kind::Mysql97 => &["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"],
        };
        let Some(mut server) = Server::start_private(kind, options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
        let home = Fountain::new();
        let arguments = run_arguments(
            &home,
            &server,
            &[
                "-D",
                "sink=stdout",
                "-D",
                "start_without_point=beginning",
                "-D",
                "data_source_try_interval=100ms",
                "-D",
                "repeat_resource_interval=200ms",
            ],
        );
        let mut run = home.spawn(&arguments);
        for id in 1..=3 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
            let wanted = format!("\"after\":{{\"id\":{id}}}");
            run.wait_for(&format!("{kind}: row {id}"), Duration::from_secs(60), |run| {
                run.stdout().contains(&wanted)
            });
            server.kill9();
            server.restart();
        }
        server.sql("INSERT INTO d.t VALUES (4)");
        run.wait_for("the last row", Duration::from_secs(60), |run| {
            run.stdout().contains("\"after\":{\"id\":4}")
        });
        let begun = Instant::now();
        let output = run.terminate(Duration::from_secs(20));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(begun.elapsed() < Duration::from_secs(10));
        let ids: Vec<u64> = parse(&output.stdout)
            .iter()
            .filter(|line| line["op"] == "insert")
            .map(|line| line["after"]["id"].as_u64().expect("id"))
            .collect();
        assert_eq!(ids, [1, 2, 3, 4], "{kind}: each row once, in order");
    }
}
