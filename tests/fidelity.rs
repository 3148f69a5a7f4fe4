//! What comes out of fountain is what the server holds: random workloads on a source, every delivered line applied to an
//! empty second server of the same kind by a small applier that knows nothing of fountain, and then all tables of both
//! compared, value by value.
//!
//! Seeds are printed. `FOUNTAIN_TEST_FIDELITY=SEED[:ROUNDS]` runs others.

mod fidelity {
    pub mod applier;
    pub mod cell;
    pub mod changes;
    pub mod generator;
    pub mod line;
    pub mod literal;
    pub mod round;
    pub mod shrink;
    pub mod statements;
    pub mod table;
    pub mod tables;
    pub mod texts;
    pub mod types;

    pub use crate::harness::Kind;
}
mod harness;

use fidelity::cell::Cell;
use fidelity::cell::PLAIN;
use fidelity::cell::cells;
use fidelity::generator::Generator;
use fidelity::round::Failure;
use fidelity::round::Servers;
use fidelity::round::Step;
use fidelity::round::Tally;
use fidelity::shrink::as_sql;
use fidelity::shrink::failure;
use fidelity::shrink::shrink;
use fidelity::texts::Charset;
use harness::GTID;
use harness::Kind;
use std::time::Duration;
use std::time::Instant;

/// Statements and transactions of a round.
const STEPS: usize = 120;
/// How long a failing script is made smaller.
const SHRINKING: Duration = Duration::from_secs(150);

/// Goes through the cells of a server with these seeds, until the time is over.
fn rounds(
    kind: Kind,
    cells: &[Cell],
    options: &[&str],
    seeds: impl Iterator<Item = u64>,
    until: Option<Instant>,
) -> Tally {
    let Some(servers) = Servers::start(kind, options) else { return Tally::default() };
    let charsets = Charset::all(&mut servers.source.session());
    let mut all = Tally::default();
    for seed in seeds {
        // A seed names its cell, too: the first is 1.
        let cell = &cells[(seed as usize + cells.len() - 1) % cells.len()];
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        let mut generator = Generator::new(kind, cell, &charsets, seed, STEPS);
        match servers.run(cell, &mut generator) {
            Ok(tally) => {
                println!("{kind} {seed} {}: {tally}", cell.name);
                all.add(tally);
            }
            Err(failure) => report(&servers, cell, seed, &generator.script(), failure),
        }
    }
    println!("{kind}: {all}");
    all
}

/// A generator whose statements mostly fail would prove nothing.
fn assert_accepted(kind: Kind, tally: &Tally) {
    assert!(
        tally.refused * 3 <= tally.accepted + tally.refused,
        "{kind}: {tally}; refused: {:#?}",
        tally.refusals
    );
}

fn report(servers: &Servers, cell: &Cell, seed: u64, script: &[Step], first: Failure) -> ! {
    let kind = servers.kind();
    eprintln!("{kind} {seed} {}: {:?}: {}", cell.name, first.fault, first.told);
    let (small, failure) = shrink(servers, cell, script, first, SHRINKING);
    let sql = as_sql(kind, cell, &small);
    let file = format!("{}/fidelity-{kind}-{seed}.sql", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, &sql).expect("cannot write the script");
    panic!(
        "{kind} {seed} {}: {:?}: {}\nthe smallest script found, {file}:\n{sql:.6000}",
        cell.name, failure.fault, failure.told
    );
}

/// Each cell twice with seeds of its own, or what FOUNTAIN_TEST_FIDELITY says.
fn short(kind: Kind) {
    let cells = cells(kind);
    let (seed, count) = asked().unwrap_or((1, 2 * cells.len() as u64));
    assert_accepted(kind, &rounds(kind, &cells, options(kind), seed..seed + count, None));
}

fn asked() -> Option<(u64, u64)> {
    let text = std::env::var("FOUNTAIN_TEST_FIDELITY").ok()?;
    let (seed, rounds) = text.split_once(':').unwrap_or((&text, "1"));
    let number = |text: &str| text.parse().expect("FOUNTAIN_TEST_FIDELITY=SEED[:ROUNDS]");
    Some((number(seed), number(rounds)))
}

/// The server of each kind as its cells want it.
fn options(kind: Kind) -> &'static [&'static str] {
    if kind == Kind::Mysql97 { GTID } else { &[] }
}

#[test]
fn mysql56() {
    short(Kind::Mysql56);
}

#[test]
fn mysql97() {
    short(Kind::Mysql97);
}

#[test]
fn mariadb() {
    short(Kind::Mariadb);
}

/// The GTIDs of 5.6 are chosen when it starts.
#[test]
fn mysql56_gtid() {
    let cells = [Cell { name: "GTIDs", ..PLAIN }];
    assert_accepted(Kind::Mysql56, &rounds(Kind::Mysql56, &cells, GTID, 1..3, None));
}

#[test]
#[ignore = "long: an hour of seeds"]
fn an_hour_on_each_server() {
    let (first, _) = asked().unwrap_or((1000, 0));
    let hour = Instant::now() + Duration::from_secs(3600);
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            scope.spawn(move || {
                assert_accepted(kind, &rounds(kind, &cells(kind), options(kind), first.., Some(hour)))
            });
        }
    });
}

/// What the comparison must find: one value that differs, one row that is lost, one change that is lost.
#[test]
fn what_differs_is_told() {
    let Some(servers) = Servers::start(Kind::Mariadb, &[]) else { return };
    let script = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, c VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, f DOUBLE, b BLOB)",
        "INSERT INTO d.t VALUES (1,'one',0.1,'x'),(2,'two',1e300,'y'),(3,'three',3,'z')",
        "UPDATE d.t SET f=0.2 WHERE id=3",
        "DELETE FROM d.t WHERE id=2",
    ];
    let steps =
        script.map(|sql| Step { sql: sql.to_owned(), ddl: sql.starts_with("CREATE"), tables: Vec::new() });
    assert!(failure(&servers, &PLAIN, &steps).is_none());
    let forged = [
        (r#""c":"one""#, r#""c":"ONE""#, "c varchar(20): source"),
        (r#""f":0.1"#, r#""f":0.10000000000000002"#, "0.10000000000000002"),
        (r#""b":"eA==""#, r#""b":"eAA=""#, "7800"),
        (r#""b":"eA==""#, r#""b":null"#, "delivered None"),
        (r#""op":"update""#, r#""op":"delete""#, "commit tells"),
        (r#""before":{"id":2"#, r#""before":{"id":9"#, "has no such row"),
        (r#""after":{"id":1"#, r#""after":{"id":7"#, "1 of the source are not among them"),
    ];
    for (from, to, expected) in forged {
        let cell = Cell { forged: Some((from, to)), ..PLAIN };
        let told = failure(&servers, &cell, &steps).map(|failure| failure.told).unwrap_or_default();
        assert!(told.contains(expected), "{from} -> {to}: {told}");
    }
}
