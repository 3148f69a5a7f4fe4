//! Random logs, a naive model of what is delivered of them, and the builder disturbed in every way: what it delivers is
//! the model's, byte for byte.

use super::testing::*;
use super::*;
use crate::binlog::ExecutedGtids;
use crate::binlog::RowsKind;
use crate::binlog::testing::Random;
use crate::pack::header::RowPlace;
use std::sync::Arc;

const SEEDS: std::ops::Range<u64> = 1..401;

/// A line as it must come, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    text: String,
    place: RowPlace,
}

/// The transaction that the model is in.
#[derive(Default)]
struct OpenModel {
    lines: Vec<Line>,
    /// How many of them have gone out.
    sent: usize,
    row: u64,
    counts: [u64; 3],
    savepoints: Vec<SavepointModel>,
}

struct SavepointModel {
    name: String,
    row: u64,
    lines: usize,
    counts: [u64; 3],
}

/// What must be delivered of a log, line by line.
struct Model<'a> {
    log: &'a Log,
    rules: PackRules,
    delivered: Vec<Line>,
    open: OpenModel,
}

impl Model<'_> {
    fn run(log: &Log, rules: PackRules) -> Vec<Line> {
        let mut model = Model { log, rules, delivered: Vec::new(), open: OpenModel::default() };
        log.events.iter().for_each(|event| model.event(event));
        model.delivered
    }

    fn event(&mut self, event: &Event) {
        match &event.change {
            Change::Begin => {
                self.open = OpenModel::default();
                if self.rules.transaction_lines {
                    self.line("\"op\":\"begin\"", event);
                }
                self.set_savepoint("");
            }
            Change::Rows { table, kind, rows } => rows.iter().for_each(|row| {
                self.line(&row_head(*table, *kind, row), event);
                self.open.row += 1;
                self.open.counts[*kind as usize] += 1;
            }),
            Change::Passed(count) => self.open.row += count,
            Change::Sql => self.line(&format!("\"op\":\"ddl\",\"database\":\"d\",\"sql\":\"{SQL}\""), event),
            Change::Savepoint(name) => {
                self.open.savepoints.retain(|savepoint| !savepoint.name.eq_ignore_ascii_case(name));
                self.set_savepoint(name);
            }
            Change::RollbackTo(name) => self.roll_back_to(name, event),
            Change::End(outcome) => self.end(*outcome, event),
            Change::Moved | Change::Rotated | Change::Hole => {}
        }
    }

    /// Adds a line. When those that wait get too many, all but the new one go out.
    fn line(&mut self, head: &str, event: &Event) {
        let seq = 1 + self.delivered.len() as u64 + self.open.lines.len() as u64;
        let (row, gtid) = (self.open.row, self.log.gtid(event.transaction));
        let place = RowPlace {
            gtid: gtid.map(|gtid| gtid.text.to_string()),
            file: event.file.to_string(),
            pos: event.pos,
            row,
            seq,
        };
        let ts_ms = match &place.gtid {
            Some(_) => 1000 * event.transaction,
            None => 1_700_000_000_000,
        };
        let gtid = place.gtid.as_ref().map_or(String::new(), |gtid| format!("\"gtid\":\"{gtid}\","));
        let text = format!(
            "{{{head},\"ts_ms\":{ts_ms},\"shard\":\"s\",\"server\":\"h:1\",\"server_id\":1,{gtid}\"file\":\"{}\",\
             \"pos\":{},\"row\":{row},\"seq\":{seq}}}\n",
            event.file, event.pos
        );
        let open = &mut self.open;
        open.lines.push(Line { text, place });
        let waiting = &open.lines[open.sent..];
        let bytes: usize = waiting.iter().map(|line| line.text.len()).sum();
        if bytes > self.rules.max_bytes || waiting.len() as u64 > self.rules.max_lines {
            open.sent = open.lines.len() - 1;
        }
    }

    fn set_savepoint(&mut self, name: &str) {
        let OpenModel { row, counts, .. } = self.open;
        let lines = self.open.lines.len();
        self.open.savepoints.push(SavepointModel { name: name.to_owned(), row, lines, counts });
    }

    fn roll_back_to(&mut self, name: &str, event: &Event) {
        let open = &mut self.open;
        let named = |savepoint: &SavepointModel| savepoint.name.eq_ignore_ascii_case(name);
        // The first one is the transaction's start.
        let index = open.savepoints.iter().position(named).unwrap_or(0);
        open.savepoints.truncate(index + 1);
        let SavepointModel { row, lines, counts, .. } = open.savepoints[index];
        open.counts = counts;
        if lines >= open.sent {
            open.lines.truncate(lines);
        } else {
            open.lines.truncate(open.sent);
            self.line(&format!("\"op\":\"rollback\",\"from_row\":{row}"), event);
        }
    }

    fn end(&mut self, outcome: Outcome, event: &Event) {
        let [inserts, updates, deletes] = self.open.counts;
        match outcome {
            Outcome::Commit if self.rules.transaction_lines => {
                let counts = format!("\"inserts\":{inserts},\"updates\":{updates},\"deletes\":{deletes}");
                self.line(&format!("\"op\":\"commit\",{counts}"), event);
            }
            Outcome::Commit => {}
            Outcome::Rollback => {
                self.open.lines.truncate(self.open.sent);
                if self.open.sent > 0 {
                    self.line("\"op\":\"rollback\",\"from_row\":0", event);
                }
            }
        }
        self.delivered.append(&mut self.open.lines);
    }
}

fn row_head(table: char, kind: RowsKind, row: &TestRow) -> String {
    let image = |name: &str, text: &str| format!("\"{name}\":{{\"id\":{},\"v\":\"{text}\"}}", row.id);
    let (op, images) = match kind {
        RowsKind::Insert => ("insert", image("after", &row.text)),
        RowsKind::Update => ("update", image("before", "old") + "," + &image("after", &row.text)),
        RowsKind::Delete => ("delete", image("before", &row.text)),
    };
    format!("\"op\":\"{op}\",\"database\":\"d\",\"table\":\"{table}\",{images},\"key\":[\"id\"]")
}

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
        gap_lines: true,
    }
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
