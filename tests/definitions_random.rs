//! A random script of rows and changes of definitions that keep the shape, with Fountain at random lags, stopped in order and
//! killed, with its ledger and without it (odd seeds lose it now and then): each row that is delivered is as the server
//! showed it, or the shard stopped.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::Session;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::shapes;
use harness::shapes::Dice;
use harness::shapes::Oracle;
use std::time::Duration;

const TABLES: [&str; 3] = ["d.a", "d.b", "d.c"];
const WATCHED: &str = r"filter_shard_table_white=d\.[abc]";

/// Runs of Fountain that came to the end, that stopped with SCHEMA_DIFF, and that were killed; and rows proven right.
#[derive(Debug, Default)]
struct Tally {
    ended: usize,
    stopped: usize,
    killed: usize,
    rows: usize,
}

/// One server, one script, and the Fountain that follows it.
struct Script {
    server: Server,
    session: Session,
    oracle: Oracle,
    dice: Dice,
    home: Fountain,
    /// Rows up to this id are not for this home: it began behind them.
    begun: u64,
    tally: Tally,
    /// It loses its ledger now and then.
    forgets: bool,
}

impl Script {
    fn start(kind: Kind, options: &[&str], seed: u64) -> Option<Script> {
        let server = Server::start_private(kind, options)?;
        let mut session = server.session();
        session.sql("CREATE DATABASE d");
        TABLES.iter().for_each(|table| shapes::create(&mut session, table, "c", 0));
        let (oracle, dice, home) = (Oracle::default(), Dice::new(seed), Fountain::new());
        let mut script = Script {
            server,
            session,
            oracle,
            dice,
            home,
            begun: 0,
            tally: Tally::default(),
            forgets: seed % 2 == 1,
        };
        script.begin_anew();
        Some(script)
    }

    /// A new home that begins at the server's end.
    fn begin_anew(&mut self) {
        self.note_rows();
        self.home = Fountain::new();
        self.begun = self.oracle.next();
        let pairs = ["start_without_point=end", "dispatch_ddl=none", WATCHED];
        let output = run_until(&self.home, &self.server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{}", output.stderr);
    }

    fn check(&self) -> Vec<u64> {
        self.oracle.check(&data(&self.home.home().join("data")))
    }

    fn note_rows(&mut self) {
        self.tally.rows += self.check().len();
    }

    fn change(&mut self) {
        let table = TABLES[self.dice.roll(3) as usize];
        let other = TABLES[self.dice.roll(3) as usize];
        let session = &mut self.session;
        match self.dice.roll(12) {
            0..=2 => {
                let change = shapes::change(session, table, &mut self.dice);
                session.sql(&format!("SET sql_mode=''; ALTER TABLE {table} {change}"));
            }
            3 if table != other => shapes::swap(session, table, other),
            4 => {
                session.sql(&format!("DROP TABLE {table}"));
                let name = format!("m{}", self.dice.roll(1000));
                let variant = self.dice.roll(8);
                shapes::create(session, table, &name, variant);
            }
            5 => session.sql(&format!("TRUNCATE {table}")),
            6 => {
                let change = shapes::change(session, table, &mut self.dice);
                shapes::gh_ost(session, table, &change);
            }
            7 => {
                let change = shapes::change(session, table, &mut self.dice);
                shapes::pt_osc(session, table, &change);
            }
            8 => session.sql(&format!("ALTER TABLE {table} ADD extra int; ALTER TABLE {table} DROP extra")),
            9 => session.sql("DROP TABLE IF EXISTS d.x; CREATE TABLE IF NOT EXISTS d.x (id int)"),
            _ => {}
        }
    }

    fn write(&mut self) {
        let table = TABLES[self.dice.roll(3) as usize];
        match self.dice.roll(4) {
            0 => self.oracle.update(&mut self.session, table),
            _ => self.oracle.insert(&mut self.session, table, &mut self.dice),
        }
    }

    fn follow(&mut self) {
        let pairs = keys(&["dispatch_ddl=none", WATCHED]);
        let ledger = self.home.home().join("points/producer00.schema");
        if self.forgets && self.dice.roll(2) == 0 && ledger.exists() {
            // What is not known must be proven.
            std::fs::remove_file(&ledger).expect("cannot remove the ledger");
        }
        if self.dice.roll(3) == 0 {
            let run = self.home.spawn(&run_arguments(&self.home, &self.server, &pairs));
            std::thread::sleep(Duration::from_millis(self.dice.roll(150)));
            run.kill9();
            self.tally.killed += 1;
            self.check();
            return;
        }
        let output = run_until(&self.home, &self.server, "end", &pairs);
        let ids = self.check();
        match output.code {
            0 => {
                self.tally.ended += 1;
                let written = (self.oracle.next() - self.begun) as usize;
                assert_eq!(ids.len(), written, "all rows since this home began: {}", output.stderr);
            }
            _ => {
                assert!(output.stderr.contains("SCHEMA_DIFF"), "{}", output.stderr);
                self.tally.stopped += 1;
                self.begin_anew();
            }
        }
    }

    fn run(mut self, steps: usize) -> Tally {
        for _ in 0..steps {
            match self.dice.roll(10) {
                0..=4 => (0..2).for_each(|_| self.write()),
                5 | 6 => self.change(),
                _ => self.follow(),
            }
        }
        self.note_rows();
        self.tally
    }
}

fn all(seed: u64, steps: usize) {
    let minimal: Vec<&str> = [GTID, &["--binlog-row-metadata=MINIMAL"]].concat();
    for (kind, options) in [(Kind::Mysql56, vec![]), (Kind::Mysql97, minimal), (Kind::Mariadb, vec![])] {
        let Some(script) = Script::start(kind, &options, seed) else { continue };
        let tally = script.run(steps);
        eprintln!("{kind} seed {seed}: {tally:?}");
        assert!(tally.ended > 0 && tally.rows > 0, "{kind}: {tally:?}");
    }
}

#[test]
fn right_or_stopped_seeds_1_and_2() {
    all(1, 60);
    all(2, 60);
}

#[test]
#[ignore = "long: twenty scripts on each server"]
fn right_or_stopped_seeds_100_to_119() {
    (100..120).for_each(|seed| all(seed, 150));
}
