//! A main server and its backup as a real replication pair: the main one dies under load, and nothing is lost or repeated.

mod harness;

use harness::By;
use harness::Fountain;
use harness::Kind;
use harness::Pair;
use harness::Proxy;
use harness::Replay;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::numbered::ids_of;
use harness::shapes::Dice;
use harness::stored::lines_in;
use harness::wait_until;
use std::collections::HashSet;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// The pair itself: what these tests stand on.
#[test]
fn a_backup_applies_what_the_main_server_commits() {
    for kind in Kind::ALL {
        for by in [By::Gtid, By::Position] {
            let Some(mut pair) = Pair::start(kind, by) else { continue };
            let count = |pair: &Pair| pair.backup.value("SELECT COUNT(*) FROM d.t");
            pair.main.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
            pair.wait_until_caught_up();
            pair.main.flush_logs();
            pair.wait_until_caught_up();
            pair.stop_replication();
            pair.main.sql("INSERT INTO d.t VALUES (2)");
            assert_eq!(count(&pair), "1", "{kind} {by:?}");
            pair.start_replication();
            pair.wait_until_caught_up();
            assert_eq!(count(&pair), "2", "{kind} {by:?}");
            pair.main.sql("INSERT INTO d.t VALUES (3)");
            pair.wait_until_caught_up();
            pair.main.kill9();
            pair.promote();
            pair.backup.sql("INSERT INTO d.t VALUES (4)");
            pair.main.restart();
            pair.main_follows_backup();
            pair.backup.sql("INSERT INTO d.t VALUES (5)");
            pair.wait_until_main_caught_up();
            assert_eq!(count(&pair), "5", "{kind} {by:?}");
            let there = pair.main.value("SELECT COUNT(*) FROM d.t");
            assert_eq!(there, if by == By::Gtid { "5" } else { "4" }, "{kind} {by:?}");
        }
    }
}

/// d.a and d.b belong to a writer each.
const TABLES: [&str; 2] = ["a", "b"];
/// The rows of one transaction of more than 2 MB, which goes out in parts, and so many bytes behind which nothing more is
/// heard of the main server.
const LARGE: u64 = 8000;
const HEARD: usize = 1_000_000;
/// So much load has to come before something is done to a server.
const ENOUGH: usize = 200;

const KEYS: &[&str] = &[
    "start_without_point=beginning",
    "dispatch_ddl=none",
    "mysql_ssl_mode=disabled",
    "pack_max_bytes=200KB",
    "pack_timeout_ms=20",
    "data_source_try_interval=100ms",
    "repeat_resource_interval=300ms",
];

/// Writers that tell transactions to the server's own client until they are ended, or their server is.
struct Writers {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Those of another turn write rows with other ids.
    fn start(server: &Server, turn: u64) -> Writers {
        let ended = Arc::new(AtomicBool::new(false));
        let threads = TABLES.iter().zip(1..).map(|(table, number)| {
            let mut writer =
                Writer { table, dice: Dice::new(turn * 10 + number), first: turn * 1_000_000, count: 0 };
            let mut client = server.client();
            let mut client =
                client.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server's client");
            let mut input = client.stdin.take().expect("the pipe asked for above");
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) && writeln!(input, "{}", writer.transaction()).is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                drop(input);
                client.wait().expect("the client's end");
            })
        });
        Writers { threads: threads.collect(), ended }
    }

    /// What they have told is done when this returns.
    fn end(self) {
        self.ended.store(true, Ordering::SeqCst);
        self.join();
    }

    /// Their server is dead, so they end by themselves.
    fn join(self) {
        self.threads.into_iter().for_each(|thread| thread.join().expect("a writer"));
    }
}

struct Writer {
    table: &'static str,
    dice: Dice,
    first: u64,
    count: u64,
}

impl Writer {
    fn transaction(&mut self) -> String {
        match self.dice.roll(20) {
            0 => self.insert(300),
            1..8 => {
                let rows = 1 + self.dice.roll(5);
                self.insert(rows)
            }
            8..12 => self.update(),
            12..14 => self.delete(),
            _ => {
                let parts = [self.insert(2), self.update(), self.insert(1), self.delete(), self.update()];
                let [insert, update, undone, delete, again] = parts;
                format!("BEGIN;{insert}{update}SAVEPOINT s;{undone}ROLLBACK TO s;{delete}{again}COMMIT;")
            }
        }
    }

    fn insert(&mut self, rows: u64) -> String {
        let from = self.first + self.count;
        self.count += rows;
        let values: Vec<String> = (from..from + rows).map(|id| format!("({id},REPEAT('x',300))")).collect();
        format!("INSERT INTO d.{} VALUES {};", self.table, values.join(","))
    }

    /// Some of its rows, of which some are there.
    fn range(&mut self) -> String {
        let from = self.first + self.dice.roll(self.count + 1);
        format!("WHERE id BETWEEN {from} AND {}", from + self.dice.roll(10))
    }

    fn update(&mut self) -> String {
        let range = self.range();
        format!("UPDATE d.{} SET v=CONCAT('u',LEFT(v,290),{}) {range};", self.table, self.count)
    }

    fn delete(&mut self) -> String {
        let range = self.range();
        format!("DELETE FROM d.{} {range};", self.table)
    }
}

/// Writers are at work; the main server falls silent in the middle of a large transaction and dies, the backup, which has all
/// of it, becomes the main server and is written to. Nothing is lost, nothing comes twice, and the rest of that
/// transaction comes from the backup.
fn the_main_server_dies_under_load(kind: Kind) {
    let Some(mut pair) = Pair::start(kind, By::Gtid) else { return };
    pair.main.sql("CREATE DATABASE d");
    for table in ["a", "b", "large"] {
        pair.main.sql(&format!("CREATE TABLE d.{table} (id int PRIMARY KEY, v varchar(400)) ENGINE=InnoDB"));
    }
    let home = Fountain::new();
    let proxy = Proxy::start(pair.main.port());
    let mut run =
        home.spawn(&pair.run_arguments_through(&home, proxy.port(), pair.backup.port(), &keys(KEYS)));
    // The definition is proven by the first row: later nothing has to be read ahead for it.
    pair.main.sql("INSERT INTO d.large VALUES (0,'the beginning')");
    run.wait_for("the first row", PATIENCE, |_| ids_of(&lines_in(&home), "large") == [0]);
    let writers = Writers::start(&pair.main, 1);
    run.wait_for("the load", PATIENCE, |_| lines_in(&home).len() >= ENOUGH);
    let values: Vec<String> = (1..=LARGE).map(|id| format!("({id},REPEAT('l',300))")).collect();
    let mut session = pair.main.session();
    session.sql(&format!("BEGIN; INSERT INTO d.large VALUES {}", values.join(",")));
    proxy.stall_after(HEARD);
    session.sql("COMMIT");
    run.wait_for("a part", PATIENCE, |_| ids_of(&lines_in(&home), "large").len() > 1);
    pair.wait_until_caught_up();
    let executed = pair.main.gtid_executed();
    wait_until("the load goes on", PATIENCE, || pair.main.gtid_executed() != executed);
    pair.main.kill9();
    proxy.cut_all();
    proxy.resume();
    writers.join();
    pair.promote();
    let writers = Writers::start(&pair.backup, 2);
    let at = [proxy.port(), pair.backup.port()].map(|port| format!("127.0.0.1:{port}"));
    run.wait_for("the load on the backup", PATIENCE, |_| {
        let lines = lines_in(&home);
        lines.iter().filter(|line| line["server"] == *at[1] && line["table"] != "large").count() >= ENOUGH
    });
    writers.end();
    pair.backup.sql(&format!("INSERT INTO d.large VALUES ({},'the end')", LARGE + 1));
    run.wait_for("the end", PATIENCE, |_| ids_of(&lines_in(&home), "large").contains(&(LARGE + 1)));
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);

    let switched: Vec<&str> = output.stderr.lines().filter(|line| line.contains("SOURCE_SWITCHED")).collect();
    assert!(switched.len() == 1 && switched[0].contains(&at[1]), "{kind}: {}", output.stderr);
    let lines = lines_in(&home);
    let names: HashSet<String> =
        lines.iter().map(|line| format!("{} {}", line["gtid"], line["row"])).collect();
    assert_eq!(names.len(), lines.len(), "{kind}: a row came twice");
    assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "{kind}: numbered without holes");
    for server in &at {
        let ids = lines.iter().filter(|line| line["table"] == "large" && line["server"] == **server);
        let ids: Vec<&serde_json::Value> = ids.map(|line| &line["after"]["id"]).collect();
        assert!(ids.len() > 2, "{kind}: the transaction does not come from both: {ids:?} from {server}");
    }
    for table in ["a", "b", "large"] {
        Replay::of(&lines, "d", table).assert_is(&pair.backup, "d", table, true);
    }
    let verified = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(verified.code, 0, "{kind}: {}{}", verified.stdout, verified.stderr);
}

#[test]
fn the_main_server_dies_under_load_mysql56() {
    the_main_server_dies_under_load(Kind::Mysql56);
}

#[test]
fn the_main_server_dies_under_load_mysql97() {
    the_main_server_dies_under_load(Kind::Mysql97);
}

#[test]
fn the_main_server_dies_under_load_mariadb() {
    the_main_server_dies_under_load(Kind::Mariadb);
}
