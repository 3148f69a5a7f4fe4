//! Writers that change three tables in all ways: small transactions, some larger than a pack or than a policy's limit,
//! rolled back, with savepoints, over several tables, and definitions between them.

use crate::harness::Kind;
use crate::harness::Server;
use crate::harness::Session;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub const TABLES: [&str; 3] = ["t0", "t1", "t2"];

/// A statement that makes servers (not MySQL 9.7) log what is rolled back behind it.
const KEEP_LOG: &str = "DROP TEMPORARY TABLE IF EXISTS crash.none;";

/// Random enough, and the same in every run of the test.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

pub fn create_tables(server: &Server) {
    server.sql("CREATE DATABASE crash; CREATE TABLE crash.log (n int) ENGINE=MyISAM");
    for table in TABLES {
        server.sql(&format!(
            "CREATE TABLE crash.{table} (id bigint PRIMARY KEY, v varchar(400)) ENGINE=InnoDB"
        ));
    }
}

/// Writers in the background, until they are told to end.
pub struct Load {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `alters`: tables change while rows come.
    pub fn start(server: &Server, alters: bool) -> Load {
        let (stop, paused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mixed_engines = server.kind() != Kind::Mysql97;
        let writers = (0..2_u64).map(|number| {
            let (stop, paused, session) = (Arc::clone(&stop), Arc::clone(&paused), server.session());
            let writer = Writer {
                session,
                dice: Dice(number + 11),
                next: number * 100_000_000 + 1,
                rounds: 0,
                mixed_engines: mixed_engines && number == 0,
                alters: alters && number == 0,
            };
            std::thread::spawn(move || writer.run(&stop, &paused))
        });
        let threads = writers.collect();
        Load { stop, paused, threads }
    }

    /// The load is there to be cut, not to fill the disk while somebody else is at work.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub fn end(self) {
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
    fn run(mut self, stop: &AtomicBool, paused: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if !paused.load(Ordering::Relaxed) {
                self.rounds += 1;
                self.round();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn round(&mut self) {
        let table = TABLES[self.dice.below(3) as usize];
        match self.rounds {
            rounds if rounds.is_multiple_of(60) => self.insert(table, 6000),
            rounds if rounds.is_multiple_of(23) => self.large_and_rolled_back(table),
            rounds if rounds.is_multiple_of(17) => self.over_tables(),
            rounds if rounds.is_multiple_of(19) => self.wide(table),
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

    /// One table has most of the rows, and it does not come first.
    fn over_tables(&mut self) {
        let first = self.dice.below(3) as usize;
        let [small, large, middle] = [0, 1, 2].map(|n| TABLES[(first + n) % 3]);
        let [few, most, some] = [30, 800, 350].map(|rows| self.values(rows));
        self.session.sql(&format!(
            "BEGIN; INSERT INTO crash.{small} (id,v) VALUES {few}; INSERT INTO crash.{large} (id,v) VALUES {most}; \
             INSERT INTO crash.{middle} (id,v) VALUES {some}; COMMIT"
        ));
    }

    /// Many bytes, not so many rows.
    fn wide(&mut self, table: &str) {
        let few = self.values(40);
        let many = self.values(700);
        self.session.sql(&format!(
            "BEGIN; INSERT INTO crash.t1 (id,v) VALUES {few}; \
             INSERT INTO crash.{table} (id,v) VALUES {}; COMMIT",
            many.replace("REPEAT('x',", "REPEAT('w',280+")
        ));
    }

    fn logged(&self) -> String {
        if !self.mixed_engines {
            return String::new();
        }
        format!("INSERT INTO crash.log VALUES (1); {KEEP_LOG}")
    }

    /// Larger than a pack. A table that cannot roll back makes the server log all of it, with a ROLLBACK at the end.
    fn large_and_rolled_back(&mut self, table: &str) {
        let values = self.values(1500);
        let more = self.values(3);
        let logged = self.logged();
        self.session.sql(&format!(
            "BEGIN; INSERT INTO crash.{table} (id,v) VALUES {values}; {logged} \
             INSERT INTO crash.t0 (id,v) VALUES {more}; ROLLBACK"
        ));
    }

    fn savepoints(&mut self, table: &str) {
        let (first, large, last) = (self.values(2), self.values(1200), self.values(2));
        let logged = self.logged();
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
