//! Random logs, a naive model of what is delivered of them, and the builder disturbed in every way: what it delivers is
//! the model's, byte for byte.

use super::model::Line;
use super::model::Model;
use super::testing::*;
use super::*;
use crate::binlog::ExecutedGtids;
use crate::binlog::RowsKind;
use crate::binlog::testing::Random;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

const SEEDS: std::ops::Range<u64> = 1..401;

/// A log of some transactions, with everything in them that a server may log.
fn random_log(random: &mut Random) -> Log {
    let naming = [Naming::Mysql, Naming::Mariadb, Naming::None][random.below(3) as usize];
    let mut changes = Vec::new();
    for _ in 0..random.below(12) {
        match random.below(12) {
            0 => changes.push(Change::Moved),
            1 => changes.push(Change::Rotated),
            2 => changes.push(Change::Hole),
            3 => changes.extend([Change::Begin, Change::Sql, Change::End(Outcome::Commit)]),
            _ => random_transaction(random, &mut changes),
        }
    }
    Log::of(naming, changes)
}

fn random_transaction(random: &mut Random, changes: &mut Vec<Change>) {
    changes.push(Change::Begin);
    for _ in 0..random.below(24) {
        let name = || ["x", "y", "z"];
        changes.push(match random.below(16) {
            0 => Change::Passed(random.below(5)),
            1 => Change::Sql,
            2 | 3 => Change::Savepoint(name()[random.below(3) as usize].to_owned()),
            4 | 5 => Change::RollbackTo(name()[random.below(3) as usize].to_uppercase()),
            _ => random_rows(random, changes.len() as u32),
        });
    }
    let outcome = if random.below(4) == 0 { Outcome::Rollback } else { Outcome::Commit };
    changes.push(Change::End(outcome));
}

fn random_rows(random: &mut Random, id: u32) -> Change {
    let kind = [RowsKind::Insert, RowsKind::Update, RowsKind::Delete][random.below(3) as usize];
    let table = ['a', 'b', 'c'][random.below(3) as usize];
    let rows = (0..random.below(5)).map(|n| {
        let length = if random.below(20) == 0 { 390 } else { random.below(30) };
        TestRow { id: id * 100 + n as u32, text: "w".repeat(length as usize) }
    });
    Change::Rows { table, kind, rows: rows.collect() }
}

fn random_rules(random: &mut Random) -> PackRules {
    PackRules {
        max_bytes: [1, 300, 500, 1000, 2000, 1 << 20][random.below(6) as usize],
        max_lines: [u64::MAX, u64::MAX, 1, 3][random.below(4) as usize],
        transaction_lines: random.below(2) == 0,
        gap_lines: random.below(8) != 0,
        hold: random_hold(random),
    }
}

fn random_hold(random: &mut Random) -> Option<HoldRules> {
    let hold = HoldRules {
        max_rows: [0, 1, 4, 10, 1000, 1000][random.below(6) as usize],
        max_bytes: [400, 2000, 4000, 1 << 20, 1 << 20][random.below(5) as usize],
        discard_tables: random.below(2) == 0,
        oversize: [Oversize::Discard, Oversize::Stream][random.below(2) as usize],
    };
    (random.below(3) != 0).then_some(hold)
}

/// How a run is disturbed.
#[derive(Clone, Copy)]
struct Disturbed {
    /// Of a hundred batches: so many are followed by a lost connection.
    breaks: u64,
    /// Of a hundred batches: so many packs are followed by a crash.
    crashes: u64,
}

/// Feeds the log in batches of random length, flushing now and then.
fn run(log: &Log, rules: PackRules, disturbed: Disturbed, random: &mut Random) -> Vec<Sent> {
    let mut sink = Sink::default();
    let mut builder = builder(log, rules);
    let mut at = 0;
    // Disturbed for ever, nothing would come to an end.
    let mut patience = 40;
    while at < log.events.len() {
        let end = (at + 1 + random.below(6) as usize).min(log.events.len());
        let crash = patience > 0 && random.below(100) < disturbed.crashes;
        sink.room = crash.then(|| sink.packs.len() + random.below(3) as usize);
        let mut outcome = builder.accept(&log.batch(at..end), &mut sink);
        at = end;
        if outcome.is_ok() && random.below(5) == 0 {
            outcome = builder.flush(&mut sink);
        }
        match outcome {
            Ok(()) => {}
            Err(BuildError::Output(())) => {
                patience -= 1;
                (builder, at) = match sink.packs.last() {
                    Some(pack) => (builder_behind(pack, rules), log.index_of(&pack.frontier.place)),
                    None => (super::testing::builder(log, rules), 0),
                };
            }
            Err(error) => panic!("{error:?}"),
        }
        if patience > 0 && random.below(100) < disturbed.breaks {
            patience -= 1;
            let (frontier, inside) = builder.interrupted();
            assert_eq!(builder.is_streaming(), inside.is_some());
            at = log.index_of(&frontier.place);
            let mut again = Batch::default();
            again.items.push(Item::Moved(frontier.place.clone()));
            again.items.push(Item::File { file: Arc::clone(&frontier.place.file), created: 7 });
            builder.accept(&again, &mut sink).unwrap();
        }
    }
    sink.room = None;
    builder.flush(&mut sink).unwrap();
    assert!(!builder.is_streaming());
    sink.packs
}

/// The packs are the model's lines, and their headers say what is in them.
fn check(packs: &[Sent], expected: &[Line], log: &Log, rules: PackRules, what: &str) {
    let text: String = expected.iter().map(|line| line.text.as_str()).collect();
    let got: Vec<u8> = packs.iter().flat_map(|pack| pack.rows.clone()).collect();
    assert_eq!(String::from_utf8(got).unwrap(), text, "{what}: {log:?}");
    let mut lines = expected.iter();
    for pack in packs {
        let inside: Vec<&Line> = lines.by_ref().take(pack.row_count as usize).collect();
        let bytes: usize = inside.iter().map(|line| line.text.len()).sum();
        assert_eq!(pack.rows.len(), bytes, "{what}");
        assert!(bytes <= rules.max_bytes || inside.len() == 1, "{what}: a pack of {bytes} bytes");
        assert!(pack.row_count <= rules.max_lines, "{what}: a pack of {} lines", pack.row_count);
        let (first, last) = (inside[0], inside[inside.len() - 1]);
        assert_eq!((&pack.first, &pack.last), (&first.place, &last.place), "{what}");
        assert_eq!(pack.next_seq, last.place.seq + 1, "{what}");
    }
}

fn for_each_seed(mut check_one: impl FnMut(&Log, PackRules, &mut Random, &str)) {
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let log = random_log(&mut random);
        let rules = random_rules(&mut random);
        check_one(&log, rules, &mut random, &format!("seed {seed}"));
    }
}

#[test]
fn undisturbed_and_disturbed_runs_deliver_what_the_model_says() {
    for_each_seed(|log, rules, random, seed| {
        let expected = Model::run(log, rules);
        for (breaks, crashes) in [(0, 0), (30, 0), (0, 50), (30, 50)] {
            let packs = run(log, rules, Disturbed { breaks, crashes }, random);
            check(&packs, &expected, log, rules, &format!("{seed}, breaks {breaks}, crashes {crashes}"));
        }
    });
}

#[test]
fn behind_every_pack_the_rest_comes_byte_for_byte() {
    for_each_seed(|log, rules, _, seed| {
        let packs = packs(log, rules);
        // A dozen of them, where a log makes a hundred.
        for (index, pack) in packs.iter().enumerate().step_by(1 + packs.len() / 12) {
            let rest = packs_behind(pack, log, rules);
            let [rest, expected] = [&rest[..], &packs[index + 1..]].map(|packs| {
                String::from_utf8(packs.iter().flat_map(|pack| pack.rows.clone()).collect()).unwrap()
            });
            assert_eq!(rest, expected, "{seed}: behind pack {index}, {:?}: {log:?}", pack.inside);
        }
    });
}

#[test]
fn points_never_go_back_and_end_at_the_end() {
    for_each_seed(|log, rules, random, seed| {
        let packs = run(log, rules, Disturbed { breaks: 30, crashes: 0 }, random);
        let stand = |pack: &Sent| {
            let inside = pack.inside.as_ref().map(|inside| (inside.rows, inside.steps));
            (pack.frontier.place.file.to_string(), pack.frontier.place.pos, inside)
        };
        assert!(packs.is_sorted_by_key(stand), "{seed}");
        if let (true, Some(last)) = (log.naming != Naming::None, packs.last()) {
            let executed = last.frontier.executed.as_ref().unwrap();
            let named = last.last.gtid.as_ref().unwrap();
            let contains = match executed {
                ExecutedGtids::Mysql(set) => set.contains(&named.parse().unwrap()),
                ExecutedGtids::Mariadb(position) => position.reaches(&named.parse().unwrap()),
                ExecutedGtids::Group(_) => panic!("no log here has group ids"),
            };
            assert_eq!(contains, last.inside.is_none(), "{seed}");
        }
    });
}

/// The rows that a reader has in the end, by transaction, in their order: `rollback` lines take some back.
type Read = BTreeMap<String, Vec<(u64, char)>>;

fn read(packs: &[Sent]) -> Read {
    let mut read = Read::default();
    let text: String = packs.iter().map(|pack| String::from_utf8(pack.rows.clone()).unwrap()).collect();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(gtid) = line["gtid"].as_str() else { continue };
        let rows = read.entry(gtid.to_owned()).or_default();
        let row = line["row"].as_u64().unwrap();
        match line["op"].as_str().unwrap() {
            "insert" | "update" | "delete" => {
                rows.push((row, line["table"].as_str().unwrap().chars().next().unwrap()));
            }
            "rollback" => rows.retain(|(row, _)| *row < line["from_row"].as_u64().unwrap()),
            _ => {}
        }
    }
    read.retain(|_, rows| !rows.is_empty());
    read
}

/// Whatever the policy was before a break and is behind it: each row that was not rolled back is there once, in order, or a
/// gap tells of it.
#[test]
fn a_changed_policy_loses_and_repeats_nothing() {
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let log = loop {
            let log = random_log(&mut random);
            if log.naming == Naming::Mysql {
                break log;
            }
        };
        let plain =
            PackRules { max_bytes: 700, transaction_lines: false, hold: None, ..random_rules(&mut random) };
        let all = read(&packs(&log, plain));
        let (mut sent, mut gaps, mut at) = (Vec::<Sent>::new(), Vec::new(), 0);
        while at < log.events.len() {
            let rules = PackRules { hold: random_hold(&mut random), ..plain };
            let mut builder = match sent.last() {
                Some(pack) => builder_behind(pack, rules),
                None => builder(&log, rules),
            };
            let patient = random.below(8) == 0;
            let mut sink = Sink { room: (!patient).then(|| random.below(4) as usize), ..Sink::default() };
            at = match feed(&mut builder, &log, at, &mut sink) {
                Ok(()) => log.events.len(),
                Err(BuildError::Output(())) => {
                    sink.packs.last().map_or(at, |pack| log.index_of(&pack.frontier.place))
                }
                Err(error) => panic!("seed {seed}: {error:?}"),
            };
            sent.append(&mut sink.packs);
            gaps.append(&mut sink.gaps);
        }
        // What was recorded and then delivered after all, under another policy, is no loss.
        let mut read = self::read(&sent);
        let lost = lost_of(&gaps, &read);
        for (name, table, rows) in lost {
            let all_of = all.get(&name).into_iter().flatten().filter(|(_, of)| *of == table);
            let all_of: Vec<_> = all_of.copied().collect();
            assert_eq!(all_of.len() as u64, rows, "seed {seed}: {name} {table}");
            let delivered = read.entry(name).or_default();
            assert!(!delivered.iter().any(|(_, of)| *of == table), "seed {seed}: lost and delivered");
            delivered.extend(all_of);
            delivered.sort();
        }
        assert_eq!(read, all, "seed {seed}: {log:?}");
    }
}

/// The (transaction, table, rows) that the gaps tell of and nothing has come of.
fn lost_of(gaps: &[(usize, GapReport)], read: &Read) -> BTreeSet<(String, char, u64)> {
    let told = gaps.iter().flat_map(|(_, gap)| {
        let name = gap.from.gtid.clone().unwrap();
        gap.tables.iter().map(move |t| (name.clone(), t.table.chars().last().unwrap(), t.rows))
    });
    let came =
        |name: &str, table: char| read.get(name).is_some_and(|rows| rows.iter().any(|(_, of)| *of == table));
    told.filter(|(name, table, _)| !came(name, *table)).collect()
}
