//! Logs made by hand, as text, and what a builder makes of them.
//!
//! A log is a list of words: `begin` and `ddl` begin a transaction, `commit`, `rollback` and `ddl` end it. In between,
//! `a` is a row inserted into table `a` (`a*3`: three rows of one event, `a!`: a row of 300 bytes more, `a~` updated,
//! `a-` deleted), `pass*3` are rows of a table that is not watched, `sql` is a statement, `set:x` and `to:x` are
//! savepoints. `moved` and `rotate` stand outside of transactions; `hole` is what the server did not send.

use super::*;
use crate::binlog::AnyGtid;
use crate::binlog::ExecutedGtids;
use crate::binlog::Gtid;
use crate::binlog::GtidSet;
use crate::binlog::MariadbGtid;
use crate::binlog::MariadbGtidPosition;
use crate::binlog::RowsKind;
use crate::change::batch::Passed;
use crate::change::batch::Place;
use crate::change::batch::SqlOp;
use crate::change::batch::TransactionGtid;
use crate::column::ColumnFormat;
use crate::column::ColumnSpec;
use crate::pack::header::RowPlace;
use crate::pack::json::JsonOptions;
use crate::pack::lines::LiveFields;
use crate::schema::plan::PlannedColumn;
use crate::schema::plan::TablePlan;
use std::sync::Arc;

/// What a log is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Begin,
    Rows { table: char, kind: RowsKind, rows: Vec<TestRow> },
    Passed(u64),
    Sql,
    Savepoint(String),
    RollbackTo(String),
    End(Outcome),
    Moved,
    Rotated,
    Hole,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRow {
    pub id: u32,
    pub text: String,
}

/// A change, and where its event starts and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub change: Change,
    pub file: Arc<str>,
    pub pos: u64,
    pub next: u64,
    /// The transaction it belongs to, counted from 1.
    pub transaction: u64,
}

/// How the transactions of a log are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Mysql,
    Mariadb,
    None,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub naming: Naming,
    pub events: Vec<Event>,
}

pub const SQL: &str = "DROP TABLE `x`";
const SOURCE: [u8; 16] = [0x3e; 16];

impl Log {
    pub fn new(naming: Naming, words: &str) -> Self {
        let mut changes = Vec::new();
        for word in words.split_whitespace() {
            parse(word, changes.len() as u32, &mut changes);
        }
        Self::of(naming, changes)
    }

    pub fn of(naming: Naming, changes: Vec<Change>) -> Self {
        let mut file: Arc<str> = "binlog.000001".into();
        let mut pos = 4;
        let mut transaction = 0;
        let mut files = 1;
        let mut events = Vec::new();
        for change in changes {
            if change == Change::Begin {
                transaction += 1;
            }
            let next = pos + 50;
            let event = Event { change, file: Arc::clone(&file), pos, next, transaction };
            pos = next;
            if event.change == Change::Rotated {
                files += 1;
                file = format!("binlog.{files:06}").into();
                pos = 4;
            }
            events.push(event);
        }
        Self { naming, events }
    }

    /// Where reading begins when everything is to be read.
    pub fn start(&self) -> Frontier {
        Frontier {
            place: Place { file: "binlog.000001".into(), pos: 4 },
            file_created: 0,
            executed: match self.naming {
                Naming::Mysql => Some(ExecutedGtids::Mysql(GtidSet::new())),
                Naming::Mariadb => Some(ExecutedGtids::Mariadb(MariadbGtidPosition::new())),
                Naming::None => None,
            },
            set_ahead: false,
            pending_xa: Vec::new(),
            ts_ms: 0,
        }
    }

    /// The first event at or behind a place.
    pub fn index_of(&self, place: &Place) -> usize {
        let at = |event: &Event| (event.file.to_string(), event.pos);
        let found = self.events.iter().position(|event| at(event) >= (place.file.to_string(), place.pos));
        found.unwrap_or(self.events.len())
    }

    pub fn gtid(&self, transaction: u64) -> Option<TransactionGtid> {
        let gtid = match self.naming {
            Naming::Mysql => AnyGtid::Mysql(Gtid { source: SOURCE, tag: None, number: transaction }),
            Naming::Mariadb => {
                AnyGtid::Mariadb(MariadbGtid { domain: 0, server_id: 1, sequence: transaction })
            }
            Naming::None => return None,
        };
        Some(TransactionGtid::new(gtid))
    }

    /// A batch of some of its events.
    pub fn batch(&self, events: std::ops::Range<usize>) -> Batch {
        let mut batch = Batch::default();
        for event in &self.events[events] {
            if let Some(item) = self.item(event, &mut batch) {
                batch.items.push(item);
            }
            if event.change == Change::Rotated {
                let (file, created) = (next_file(&event.file), 7);
                batch.items.push(Item::File { file, created });
            }
        }
        batch
    }

    fn item(&self, event: &Event, batch: &mut Batch) -> Option<Item> {
        let place = Place { file: Arc::clone(&event.file), pos: event.pos };
        let next = Place { file: Arc::clone(&event.file), pos: event.next };
        let (server_id, timestamp) = (1, 1_700_000_000);
        Some(match &event.change {
            Change::Begin => Item::Begin(Begin {
                place,
                gtid: self.gtid(event.transaction),
                ts_ms: 1000 * event.transaction,
                server_id,
                timestamp,
                ts_from_gtid: self.naming != Naming::None,
                committed_at: None,
            }),
            Change::Rows { table, kind, rows } => {
                let images = rows.iter().flat_map(|row| row_bytes(*kind, row)).collect::<Vec<_>>();
                let bits = |present: bool| if present { &[0b11][..] } else { &[] };
                Item::Rows(Rows {
                    plan: plan(*table),
                    kind: *kind,
                    partial_json: false,
                    place,
                    server_id,
                    timestamp,
                    before: batch.keep(bits(*kind != RowsKind::Insert)),
                    after: batch.keep(bits(*kind != RowsKind::Delete)),
                    rows: batch.keep(&images),
                })
            }
            Change::Passed(count) => {
                Item::Passed(Passed { plan: plan('p'), kind: RowsKind::Insert, count: *count })
            }
            Change::Sql => {
                let (database, sql) = ("d".to_owned(), batch.keep(SQL.as_bytes()));
                Item::Sql(Sql { op: SqlOp::Ddl, place, server_id, timestamp, database, sql, set: None })
            }
            Change::Savepoint(name) => Item::Savepoint(name.clone()),
            Change::RollbackTo(name) => {
                Item::RollbackTo(RollbackTo { name: name.clone(), place, server_id, timestamp })
            }
            Change::End(outcome) => {
                let gtid = self.gtid(event.transaction).map(|gtid| gtid.gtid);
                Item::End(End { outcome: *outcome, place, next, gtid, server_id, timestamp, decided: None })
            }
            Change::Moved => Item::Moved(next),
            Change::Rotated => Item::Moved(Place { file: next_file(&event.file), pos: 4 }),
            Change::Hole => return None,
        })
    }
}

fn next_file(file: &str) -> Arc<str> {
    let number: u64 = file.rsplit('.').next().unwrap().parse().unwrap();
    format!("binlog.{:06}", number + 1).into()
}

fn parse(word: &str, id: u32, changes: &mut Vec<Change>) {
    let row = |text: &str, count: u32| {
        (0..count).map(|n| TestRow { id: id * 100 + n, text: text.to_owned() }).collect::<Vec<_>>()
    };
    let rows = |kind, rows| Change::Rows { table: word.chars().next().unwrap(), kind, rows };
    changes.push(match word {
        "begin" => Change::Begin,
        "ddl" => {
            changes.extend([Change::Begin, Change::Sql, Change::End(Outcome::Commit)]);
            return;
        }
        "commit" => Change::End(Outcome::Commit),
        "rollback" => Change::End(Outcome::Rollback),
        "sql" => Change::Sql,
        "moved" => Change::Moved,
        "rotate" => Change::Rotated,
        "hole" => Change::Hole,
        _ if word.starts_with("pass*") => Change::Passed(word[5..].parse().unwrap()),
        _ if word.starts_with("set:") => Change::Savepoint(word[4..].to_owned()),
        _ if word.starts_with("to:") => Change::RollbackTo(word[3..].to_owned()),
        _ => match &word[1..] {
            "" => rows(RowsKind::Insert, row("v", 1)),
            "!" => rows(RowsKind::Insert, row(&"v".repeat(300), 1)),
            "~" => rows(RowsKind::Update, row("v", 1)),
            "-" => rows(RowsKind::Delete, row("v", 1)),
            count => rows(RowsKind::Insert, row("v", count[1..].parse().unwrap())),
        },
    });
}

/// `CREATE TABLE d.<name> (id INT PRIMARY KEY, v VARCHAR(400) CHARACTER SET latin1)`; table `k` has no key.
pub fn plan(name: char) -> Arc<TablePlan> {
    let column = |name: &str, type_code, metadata| PlannedColumn {
        name: name.to_owned(),
        format: ColumnFormat::new(&ColumnSpec::new(type_code, metadata)).unwrap(),
    };
    let columns = vec![column("id", 3, 0), column("v", 15, 400)];
    let key = if name == 'k' { Vec::new() } else { vec!["id".to_owned()] };
    let (database, table, key) = ("d".to_owned(), name.to_string(), Some(key));
    let visible = columns.len();
    Arc::new(TablePlan { id: name.into(), database, table, columns, visible, row_end: None, key })
}

fn row_bytes(kind: RowsKind, row: &TestRow) -> Vec<u8> {
    let image = |text: &str| {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&row.id.to_le_bytes());
        bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    match kind {
        RowsKind::Update => [image("old"), image(&row.text)].concat(),
        RowsKind::Insert | RowsKind::Delete => image(&row.text),
    }
}

/// A pack as it went out.
#[derive(Debug, Clone)]
pub struct Sent {
    pub rows: Vec<u8>,
    pub row_count: u64,
    pub first: RowPlace,
    pub last: RowPlace,
    pub next_seq: u64,
    pub frontier: Frontier,
    pub inside: Option<Inside>,
}

/// Takes packs until it is told to crash.
#[derive(Debug, Default)]
pub struct Sink {
    pub packs: Vec<Sent>,
    /// Packs that it takes before it fails.
    pub room: Option<usize>,
    /// Gaps, and how many packs had gone out before each.
    pub gaps: Vec<(usize, GapReport)>,
}

impl Sink {
    pub fn bytes(&self) -> Vec<u8> {
        self.packs.iter().flat_map(|pack| pack.rows.clone()).collect()
    }
}

impl PackOutput for Sink {
    type Error = ();

    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), ()> {
        if self.room == Some(self.packs.len()) {
            return Err(());
        }
        self.packs.push(Sent {
            rows: pack.rows.to_vec(),
            row_count: pack.row_count,
            first: pack.first,
            last: pack.last,
            next_seq: pack.next_seq,
            frontier: pack.reached.frontier.clone(),
            inside: pack.reached.inside,
        });
        Ok(())
    }

    fn record_gap(&mut self, gap: &GapReport) -> Result<(), ()> {
        self.gaps.push((self.packs.len(), gap.clone()));
        Ok(())
    }
}

pub const RULES: PackRules = PackRules {
    max_bytes: 1 << 20,
    max_lines: u64::MAX,
    transaction_lines: false,
    gap_lines: true,
    hold: None,
};

pub fn line_writer() -> LineWriter {
    let live = LiveFields { shard: "s".to_owned(), server: "h:1".to_owned() };
    LineWriter::new(JsonOptions { bigint_as_string: false }, Some(live))
}

/// A builder that stands before all events of a log.
pub fn builder(log: &Log, rules: PackRules) -> PackBuilder {
    PackBuilder::new(line_writer(), rules, log.start(), None, Some(1))
}

/// A builder that goes on behind a pack.
pub fn builder_behind(pack: &Sent, rules: PackRules) -> PackBuilder {
    let (frontier, inside) = (pack.frontier.clone(), pack.inside.clone());
    PackBuilder::new(line_writer(), rules, frontier, inside, Some(pack.next_seq))
}

/// Everything from an event on, in one batch, and what is left at the end.
pub fn feed(
    builder: &mut PackBuilder,
    log: &Log,
    from: usize,
    sink: &mut Sink,
) -> Result<(), BuildError<()>> {
    builder.accept(&log.batch(from..log.events.len()), sink)?;
    builder.flush(sink)
}

/// All packs of a log.
pub fn packs(log: &Log, rules: PackRules) -> Vec<Sent> {
    let mut sink = Sink::default();
    feed(&mut builder(log, rules), log, 0, &mut sink).unwrap();
    sink.packs
}

/// The packs of what is left of a log behind a pack.
pub fn packs_behind(pack: &Sent, log: &Log, rules: PackRules) -> Vec<Sent> {
    let mut sink = Sink::default();
    feed(&mut builder_behind(pack, rules), log, log.index_of(&pack.frontier.place), &mut sink).unwrap();
    sink.packs
}

/// What a pack's lines say, in short: `a0` for a row of table `a`, its ordinal behind it; `begin`, `commit`, `ddl`,
/// `gap`; `from3` for a rollback from row 3 on.
pub fn short(pack: &Sent) -> String {
    let text = String::from_utf8(pack.rows.clone()).unwrap();
    let words = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        match line["op"].as_str().unwrap() {
            "insert" | "update" | "delete" => format!("{}{}", line["table"].as_str().unwrap(), line["row"]),
            "rollback" => format!("from{}", line["from_row"]),
            op => op.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

pub fn shorts(packs: &[Sent]) -> Vec<String> {
    packs.iter().map(short).collect()
}
