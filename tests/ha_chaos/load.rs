//! Writers, one for each shard's database: inserts, updates and deletes in transactions of all sizes, and now and then
//! another column.

use crate::harness::Server;
use crate::harness::Session;
use crate::harness::shapes::Dice;
use crate::harness::wait_until;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
/// The most columns that a table gets beside its first two, where rows are logged with their names.
const MORE_COLUMNS: u64 = 4;

/// The one table of a shard's database.
pub fn create(server: &Server, database: &str) {
    server.sql(&format!(
        "CREATE DATABASE {database}; CREATE TABLE {database}.t (id bigint PRIMARY KEY, v varchar(400)) ENGINE=InnoDB"
    ));
}

#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    pause: AtomicBool,
    /// Writers that stand still because of `pause`, their connections closed.
    paused: AtomicUsize,
    rows: AtomicUsize,
}

/// Writers in the background, until they are told to end.
pub struct Load {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `targets`: a way to the server, and the database there.
    pub fn start<'a>(targets: impl Iterator<Item = (&'a Server, String)>, seed: u64) -> Load {
        let orders = Arc::new(Orders::default());
        let threads = targets.zip(1..).map(|((server, database), number)| {
            let named = server.value("SELECT @@GLOBAL.binlog_row_metadata") == "FULL";
            let (host, port) = (server.host().to_owned(), server.port());
            let orders = Arc::clone(&orders);
            std::thread::spawn(move || {
                let connect = || Session::open(&host, port, "root", "").expect("the administrator");
                let dice = Dice::new(seed * 100 + number);
                let columns_left = if named { MORE_COLUMNS } else { 0 };
                let mut writer = Writer { database, dice, next: 1, columns_left, orders };
                writer.run(connect);
            })
        });
        let threads = threads.collect();
        Load { orders, threads }
    }

    /// Returns when no writer is at work and none is connected.
    pub fn pause(&self) {
        self.orders.pause.store(true, Ordering::SeqCst);
        let all = self.threads.len();
        wait_until("the writers pause", PATIENCE, || {
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a writer has failed");
            self.orders.paused.load(Ordering::SeqCst) == all
        });
    }

    pub fn go_on(&self) {
        self.orders.pause.store(false, Ordering::SeqCst);
    }

    /// Rows written so far.
    pub fn rows(&self) -> usize {
        self.orders.rows.load(Ordering::SeqCst)
    }

    /// Paused writers end as they are.
    pub fn end(&mut self) {
        self.orders.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a writer"));
    }
}

struct Writer {
    database: String,
    dice: Dice,
    next: u64,
    columns_left: u64,
    orders: Arc<Orders>,
}

impl Writer {
    fn run(&mut self, connect: impl Fn() -> Session) {
        let mut session = connect();
        while !self.orders.stop.load(Ordering::SeqCst) {
            if self.orders.pause.load(Ordering::SeqCst) {
                drop(session);
                self.rest();
                session = connect();
                continue;
            }
            self.round(&mut session);
            std::thread::sleep(Duration::from_millis(5 + self.dice.roll(20)));
        }
    }

    fn rest(&self) {
        self.orders.paused.fetch_add(1, Ordering::SeqCst);
        while self.orders.pause.load(Ordering::SeqCst) && !self.orders.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.orders.paused.fetch_sub(1, Ordering::SeqCst);
    }

    fn round(&mut self, session: &mut Session) {
        match self.dice.roll(100) {
            0 if self.columns_left > 0 => {
                let (database, column) = (&self.database, self.columns_left);
                let sql =
                    format!("ALTER TABLE {database}.t ADD COLUMN n{column} int NOT NULL DEFAULT {column}");
                session.sql(&sql);
                self.columns_left -= 1;
            }
            // Larger than a pack.
            1 => self.insert(session, 1500),
            2..60 => {
                let rows = 1 + self.dice.roll(5);
                self.insert(session, rows);
            }
            60..85 => self.change(session, "UPDATE", "SET v=CONCAT('u',LEFT(v,390))"),
            _ => self.change(session, "DELETE FROM", ""),
        }
    }

    fn insert(&mut self, session: &mut Session, rows: u64) {
        let value = |id: u64| format!("({id},REPEAT('x',{}))", 200 + id % 190);
        let values: Vec<String> = (self.next..self.next + rows).map(value).collect();
        session.sql(&format!("INSERT INTO {}.t (id,v) VALUES {}", self.database, values.join(",")));
        self.next += rows;
        self.orders.rows.fetch_add(rows as usize, Ordering::SeqCst);
    }

    /// Some rows, none or few of which may be there still.
    fn change(&mut self, session: &mut Session, verb: &str, set: &str) {
        let from = self.dice.roll(self.next);
        let to = from + self.dice.roll(4);
        session.sql(&format!("{verb} {}.t {set} WHERE id BETWEEN {from} AND {to}", self.database));
    }
}
