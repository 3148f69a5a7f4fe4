//! Killed at any moment and at any file operation, with a disk that is full for a while: the file sink's bytes are those of
//! a run that nobody disturbed, `fountain verify` agrees, and applied they give the server's tables.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Running;
use harness::Server;
use harness::Session;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

const TABLES: [&str; 3] = ["t0", "t1", "t2"];

/// Small packs and files, so that little data has many borders. The table of MyISAM is left out: what is rolled back
/// stays in it.
const ALWAYS: &[&str] = &[
    "start_without_point=beginning",
    "pack_max_bytes=300KB",
    "file_rotate_bytes=1MB",
    "dispatch_transaction=true",
    "filter_shard_table_black=crash.log",
];

/// Operations to be killed in front of, or in the middle of.
const OPERATIONS: [&str; 20] = [
    "sink.append:1:kill",
    "sink.append:2:kill",
    "sink.append:7:tear",
    "sink.append:10:tear",
    "sink.flush:3:kill",
    "sink.flush:6:kill",
    "sink.create:1:kill",
    "sink.create:2:kill",
    "sink.create:3:kill",
    "sink.rename:1:kill",
    "sink.rename:2:kill",
    "sink.flush_names:1:kill",
    "sink.flush_names:2:kill",
    "point.create:2:kill",
    "point.write:3:tear",
    "point.flush:1:kill",
    "point.rename:4:kill",
    "point.flush_names:2:kill",
    "log.append:3:tear",
    "any:61:tear",
];

/// Operations that only the mending after a crash performs, or the first start.
const RARE: [&str; 6] = [
    "sink.open:1:kill",
    "sink.cut:1:kill",
    "sink.remove:1:kill",
    "trace.create:1:kill",
    "trace.write:1:tear",
    "trace.flush:1:kill",
];

/// What fails for a while, and is outlived.
const FAILURES: [&str; 4] =
    ["sink.append:4:ENOSPC:2", "sink.flush:5:ENOSPC:1", "sink.create:1:ENOSPC:1", "sink.append:2:EIO:1"];

/// Random enough, and the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

// -------------------------------------------------------------------------------------------------------------- load

/// Writers in the background, until they are told to end.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(server: &Server, mixed_engines: bool, alters: bool) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..2_u64).map(|number| {
            let (stop, session) = (Arc::clone(&stop), server.session());
            let writer = Writer {
                session,
                dice: Dice(number + 11),
                next: number * 100_000_000 + 1,
                rounds: 0,
                mixed_engines: mixed_engines && number == 0,
                alters: alters && number == 0,
            };
            std::thread::spawn(move || writer.run(&stop))
        });
        let threads = writers.collect();
        Load { stop, threads }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a writer"));
    }
}

/// One connection's mix of transactions, on rows of its own.
struct Writer {
    session: Session,
    dice: Dice,
    next: u64,
    rounds: u64,
    mixed_engines: bool,
    alters: bool,
}

impl Writer {
    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.rounds += 1;
            self.round();
            // The load is there to be cut, not to fill the disk.
            std::thread::sleep(Duration::from_millis(8));
        }
    }

    fn round(&mut self) {
        let table = TABLES[self.dice.below(3) as usize];
        match self.rounds {
            rounds if rounds.is_multiple_of(60) => self.insert(table, 6000),
            rounds if rounds.is_multiple_of(23) => self.large_and_rolled_back(table),
            rounds if rounds.is_multiple_of(11) => self.savepoints(table),
            rounds if rounds.is_multiple_of(13) => self.definitions(),
            rounds if rounds.is_multiple_of(7) => self.insert(table, 200),
            rounds if rounds.is_multiple_of(5) => {
                let from = self.next.saturating_sub(40);
                let to = self.next.saturating_sub(20);
                self.session.sql(&format!(
                    "BEGIN; UPDATE crash.t0 SET v=CONCAT(v,'+') WHERE id BETWEEN {from} AND {to}; \
                     UPDATE crash.t1 SET v=LEFT(v,9) WHERE id BETWEEN {from} AND {to}; \
                     DELETE FROM crash.{table} WHERE id BETWEEN {from} AND {}; COMMIT",
                    from + 5
                ));
            }
            _ => {
                let rows = self.dice.below(6) + 1;
                self.insert(table, rows);
            }
        }
    }

    fn values(&mut self, rows: u64) -> String {
        let from = self.next;
        self.next += rows;
        let values: Vec<String> =
            (from..self.next).map(|id| format!("({id},REPEAT('x',{}))", 20 + id % 90)).collect();
        values.join(",")
    }

    fn insert(&mut self, table: &str, rows: u64) {
        let values = self.values(rows);
        self.session.sql(&format!("INSERT INTO crash.{table} (id,v) VALUES {values}"));
    }

    /// Larger than a pack. A table that cannot roll back makes the server log all of it, with a ROLLBACK at the end.
    fn large_and_rolled_back(&mut self, table: &str) {
        let values = self.values(1500);
        let more = self.values(3);
        let logged = if self.mixed_engines { "INSERT INTO crash.log VALUES (1);" } else { "" };
        self.session.sql(&format!(
            "BEGIN; INSERT INTO crash.{table} (id,v) VALUES {values}; {logged} \
             INSERT INTO crash.t0 (id,v) VALUES {more}; ROLLBACK"
        ));
    }

    fn savepoints(&mut self, table: &str) {
        let (first, large, last) = (self.values(2), self.values(1200), self.values(2));
        let logged = if self.mixed_engines { "INSERT INTO crash.log VALUES (2);" } else { "" };
        self.session.sql(&format!(
            "BEGIN; INSERT INTO crash.t0 (id,v) VALUES {first}; SAVEPOINT a; \
             INSERT INTO crash.{table} (id,v) VALUES {large}; {logged} ROLLBACK TO a; \
             INSERT INTO crash.t2 (id,v) VALUES {last}; COMMIT"
        ));
    }

    fn definitions(&mut self) {
        let n = self.next;
        self.session.sql(&format!("CREATE TABLE crash.extra{n} (a int); DROP TABLE crash.extra{n}"));
        if self.alters {
            let (row, other) = (self.values(1), self.values(1));
            self.session.sql(&format!(
                "ALTER TABLE crash.t2 ADD COLUMN c{n} int DEFAULT 5; INSERT INTO crash.t2 (id,v) VALUES {row}; \
                 ALTER TABLE crash.t2 DROP COLUMN c{n}; INSERT INTO crash.t2 (id,v) VALUES {other}"
            ));
        }
    }
}

// ------------------------------------------------------------------------------------------------------------ oracle

type Rows = BTreeMap<(String, u64), String>;

/// Plays the lines into tables of our own; what a `rollback` line takes back is taken back.
fn apply(lines: &[Value]) -> Rows {
    let mut rows = Rows::new();
    // Of the transaction at work: ordinal, key and what was there before.
    let mut undo: Vec<(u64, (String, u64), Option<String>)> = Vec::new();
    for line in lines {
        let op = line["op"].as_str().expect("op");
        let image = |name: &str| {
            let id = line[name]["id"].as_u64().expect("id");
            (line["table"].as_str().expect("a table").to_owned(), id)
        };
        let value = || line["after"]["v"].as_str().expect("v").to_owned();
        let row = line["row"].as_u64().expect("row");
        match op {
            "begin" => undo.clear(),
            "insert" => {
                let before = rows.insert(image("after"), value());
                assert!(before.is_none(), "inserted twice: {line}");
                undo.push((row, image("after"), None));
            }
            "update" => {
                let before = rows.insert(image("after"), value());
                assert!(before.is_some(), "updated before it was inserted: {line}");
                undo.push((row, image("after"), before));
            }
            "delete" => {
                let before = rows.remove(&image("before"));
                assert!(before.is_some(), "deleted before it was inserted: {line}");
                undo.push((row, image("before"), before));
            }
            "rollback" => {
                let from = line["from_row"].as_u64().expect("from_row");
                while let Some((_, key, before)) = undo.pop_if(|(row, ..)| *row >= from) {
                    match before {
                        Some(value) => rows.insert(key, value),
                        None => rows.remove(&key),
                    };
                }
            }
            "ddl" | "commit" => {}
            other => panic!("unexpected op {other}"),
        }
    }
    rows
}

fn tables_of(server: &Server) -> Rows {
    let mut rows = Rows::new();
    for table in TABLES {
        for row in server.select(&format!("SELECT id, v FROM crash.{table}")) {
            let id = row[0].as_ref().expect("id").parse().expect("a number");
            rows.insert((table.to_owned(), id), row[1].clone().expect("v"));
        }
    }
    rows
}

fn verify(home: &Fountain) -> String {
    let output = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    output.stdout
}

// ------------------------------------------------------------------------------------------------------------- kills

struct Kills {
    home: Fountain,
    arguments: Vec<String>,
    dice: Dice,
    /// Deaths by order, by the order's text.
    ordered: BTreeMap<&'static str, u64>,
    random: u64,
}

impl Kills {
    fn start(&self, order: Option<&str>) -> Running {
        let mut command = self.home.command();
        command.args(&self.arguments);
        if let Some(order) = order {
            command.env("FOUNTAIN_FAIL_POINT", order);
        }
        Running::start(command)
    }

    fn at_random(&mut self) {
        let run = self.start(None);
        std::thread::sleep(Duration::from_millis(20 + self.dice.below(500)));
        let output = run.kill9();
        assert_eq!(output.code, 128 + 9, "{}", output.stderr);
        self.random += 1;
    }

    /// An operation that does not come within a second counts as a random moment.
    fn at(&mut self, order: &'static str) {
        let mut run = self.start(Some(order));
        let deadline = Instant::now() + Duration::from_millis(1500);
        while run.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        match run.ended() {
            Some(code) => {
                assert_eq!(code, 128 + 9, "{order}: {}", run.wait(PATIENCE).stderr);
                *self.ordered.entry(order).or_default() += 1;
            }
            None => {
                assert_eq!(run.kill9().code, 128 + 9);
                self.random += 1;
            }
        }
    }

    /// The disk is full for some operations: fountain waits, goes on by itself, and is killed then.
    fn while_failing(&mut self, order: &'static str) {
        let mut run = self.start(Some(order));
        run.wait_for(order, PATIENCE, |run| run.stderr().contains("the sink takes packs again"));
        assert!(run.stderr().contains("waiting_for_sink"), "{}", run.stderr());
        assert_eq!(run.kill9().code, 128 + 9);
        self.random += 1;
    }

    fn count(&self) -> u64 {
        self.random + self.ordered.values().sum::<u64>()
    }
}

struct Plan {
    kind: Kind,
    options: &'static [&'static str],
    mixed_engines: bool,
    alters: bool,
    /// Policy and whatever else.
    pairs: &'static [&'static str],
    kills: u64,
    seed: u64,
}

const GTID_FULL: &[&str] = &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--binlog-row-metadata=FULL"];

fn mysql97(pairs: &'static [&'static str], kills: u64, seed: u64) -> Plan {
    Plan { kind: Kind::Mysql97, options: GTID_FULL, mixed_engines: false, alters: true, pairs, kills, seed }
}

fn mysql56(pairs: &'static [&'static str], kills: u64, seed: u64) -> Plan {
    Plan { kind: Kind::Mysql56, options: &[], mixed_engines: true, alters: false, pairs, kills, seed }
}

fn mariadb(pairs: &'static [&'static str], kills: u64, seed: u64) -> Plan {
    let options = &["--binlog-row-metadata=FULL"];
    Plan { kind: Kind::Mariadb, options, mixed_engines: true, alters: true, pairs, kills, seed }
}

/// Kills until the plan is done, then compares with an undisturbed run, with `verify` and with the server's tables.
fn killed(plan: &Plan) {
    let Some(server) = Server::start_private(plan.kind, plan.options) else { return };
    server.sql("CREATE DATABASE crash; CREATE TABLE crash.log (n int) ENGINE=MyISAM");
    for table in TABLES {
        server.sql(&format!(
            "CREATE TABLE crash.{table} (id bigint PRIMARY KEY, v varchar(400)) ENGINE=InnoDB"
        ));
    }
    let pairs = keys(&[ALWAYS, plan.pairs].concat());
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &pairs);
    let mut kills = Kills { home, arguments, dice: Dice(plan.seed), ordered: BTreeMap::new(), random: 0 };
    let load = Load::start(&server, plan.mixed_engines, plan.alters);
    // The first start of all: before there is a point, or a trace of one.
    kills.at(["trace.create:1:kill", "trace.write:1:tear", "trace.flush:1:kill"][plan.seed as usize % 3]);
    while kills.count() < plan.kills {
        let round = kills.count() + plan.seed * 7;
        match round % 10 {
            0 | 3 | 6 => kills.at_random(),
            9 => kills.while_failing(FAILURES[(round / 10) as usize % FAILURES.len()]),
            8 => kills.at(RARE[(round / 10) as usize % 3]),
            _ => kills.at(OPERATIONS[(round * 3) as usize % OPERATIONS.len()]),
        }
        if kills.count().is_multiple_of(10) {
            verify(&kills.home);
        }
    }
    load.end();
    let last = run_until(&kills.home, &server, "end", &pairs);
    assert_eq!(last.code, 0, "seed {}: {}", plan.seed, last.stderr);
    compare(&server, &kills, &pairs, plan);
}

fn compare(server: &Server, kills: &Kills, pairs: &[&str], plan: &Plan) {
    let undisturbed = Fountain::new();
    let output = run_until(&undisturbed, server, "end", pairs);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let expected = data(&undisturbed.home().join("data"));
    let got = data(&kills.home.home().join("data"));
    if got != expected {
        let differs = got.lines().zip(expected.lines()).position(|(got, expected)| got != expected);
        let line =
            |text: &str| text.lines().nth(differs.unwrap_or(usize::MAX)).unwrap_or("the end").to_owned();
        panic!(
            "seed {}: {} and {} bytes, they differ at line {differs:?}:\n{:.900}\n{:.900}\nkilled at {:?}",
            plan.seed,
            got.len(),
            expected.len(),
            line(&got),
            line(&expected),
            kills.ordered
        );
    }
    let told = verify(&kills.home);
    verify(&undisturbed);
    let lines = parse(&got);
    let rows = apply(&lines);
    assert!(rows.len() > 1000, "the load was too small to prove anything: {} rows", rows.len());
    assert!(rows == tables_of(server), "seed {}: the rows applied are not the tables'", plan.seed);
    let rolled_back = lines.iter().filter(|line| line["op"] == "rollback").count();
    // MySQL 5.6 logs rows of MyISAM apart at once, so that it need not log what is rolled back.
    assert!(rolled_back > 0 || plan.kind != Kind::Mariadb, "nothing was rolled back after it went out");
    assert!(!cfg!(debug_assertions) || kills.ordered.len() > 5, "{:?}", kills.ordered);
    println!(
        "{}: {} kills, {} of them at {} operations; {} lines, {rolled_back} rollback lines, {} bytes\n{told}",
        plan.kind,
        kills.count(),
        kills.count() - kills.random,
        kills.ordered.len(),
        lines.len(),
        got.len()
    );
}

#[test]
fn the_same_bytes_mysql97_gtid() {
    killed(&mysql97(&[], 20, 1));
}

#[test]
fn the_same_bytes_mysql56_position() {
    killed(&mysql56(&[], 20, 2));
}

#[test]
fn the_same_bytes_mariadb() {
    killed(&mariadb(&[], 20, 3));
}

#[test]
#[ignore = "minutes: 200 kills a server"]
fn the_same_bytes_after_200_kills_mysql97() {
    killed(&mysql97(&[], 200, 4));
}

#[test]
#[ignore = "minutes: 200 kills a server"]
fn the_same_bytes_after_200_kills_mysql56() {
    killed(&mysql56(&[], 200, 5));
}

#[test]
#[ignore = "minutes: 200 kills a server"]
fn the_same_bytes_after_200_kills_mariadb() {
    killed(&mariadb(&[], 200, 6));
}
