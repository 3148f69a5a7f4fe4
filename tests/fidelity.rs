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
    pub mod statements;
    pub mod table;
    pub mod tables;
    pub mod texts;
    pub mod types;

    pub use crate::harness::Kind;
}
mod harness;

use fidelity::cell::Cell;
use fidelity::generator::Generator;
use fidelity::round::Servers;
use fidelity::round::Tally;
use fidelity::texts::Charset;
use harness::Kind;

fn rounds(kind: Kind, options: &[&str], seeds: std::ops::Range<u64>) {
    let Some(servers) = Servers::start(kind, options) else { return };
    let charsets = Charset::all(&mut servers.source.session());
    let mut all = Tally::default();
    for seed in seeds {
        let cell = Cell::PLAIN;
        let begun = std::time::Instant::now();
        let mut generator = Generator::new(kind, &cell, &charsets, seed, 120);
        let result = servers.run(&cell, &mut generator);
        match result {
            Ok(tally) => {
                eprintln!(
                    "{kind} seed {seed} {}: {} accepted, {} refused, {:?}",
                    cell.name,
                    tally.accepted,
                    tally.refused,
                    begun.elapsed()
                );
                all.add(&tally);
            }
            Err(failure) => {
                let script: Vec<&str> = generator.script.iter().map(|step| step.sql.as_str()).collect();
                std::fs::write(
                    format!("{}/fidelity-{kind}-{seed}.sql", env!("CARGO_TARGET_TMPDIR")),
                    script.join(";\n"),
                )
                .unwrap();
                panic!("{kind} seed {seed}: {failure:?} {}", failure.told);
            }
        }
    }
    if std::env::var("SHOW").is_ok() {
        let mut m = std::collections::BTreeMap::<String, (usize, String)>::new();
        for r in &all.refusals {
            let e = m.entry(r.chars().take(10).collect()).or_insert((0, r.chars().take(300).collect()));
            e.0 += 1;
        }
        let mut v: Vec<_> = m.into_values().collect();
        v.sort();
        v.reverse();
        for (n, r) in v.iter().take(14) {
            eprintln!("   {n} x {r}");
        }
    }
    eprintln!(
        "{kind}: {} {} {} {} {} {}",
        all.accepted, all.refused, all.tables, all.rows, all.values, all.rows_delivered
    );
}

fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("FOUNTAIN_TEST_FIDELITY") else { return default };
    let (seed, rounds) = text.split_once(':').unwrap_or((&text, "1"));
    let seed = seed.parse().expect("FOUNTAIN_TEST_FIDELITY=SEED[:ROUNDS]");
    seed..seed + rounds.parse::<u64>().expect("FOUNTAIN_TEST_FIDELITY=SEED[:ROUNDS]")
}

#[test]
fn mysql56() {
    rounds(Kind::Mysql56, &[], seeds(1..4));
}

#[test]
fn mysql97() {
    rounds(Kind::Mysql97, harness::GTID, seeds(1..4));
}

#[test]
fn mariadb() {
    rounds(Kind::Mariadb, &[], seeds(1..4));
}
