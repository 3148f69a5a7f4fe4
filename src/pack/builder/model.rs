//! A naive model of what is delivered of a log: all of a transaction is kept, and each rule is carried out on the whole.

use super::limits::Excess;
use super::limits::tables_discarded;
use super::testing::*;
use super::*;
use crate::binlog::RowsKind;
use crate::pack::header::RowPlace;
use crate::sync_point::gap::GapTable;

/// A line as it must come, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub place: RowPlace,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Course {
    #[default]
    Streamed,
    Held,
    Dropped(Excess),
}

/// A change that was not rolled back. `order` counts all that happens in the transaction.
#[derive(Clone)]
struct Made {
    order: usize,
    head: String,
    event: Event,
    row: u64,
    /// None for a statement.
    table: Option<(char, RowsKind)>,
}

/// The transaction that the model is in.
#[derive(Default)]
struct OpenModel {
    begin: Option<Event>,
    course: Course,
    /// What came of it and was not rolled back, delivered or not.
    changes: Vec<Made>,
    order: usize,
    has_sql: bool,
    tables: Vec<char>,
    left_out: Vec<char>,
    lines: Vec<Line>,
    /// How many of them have gone out.
    sent: usize,
    row: u64,
    counts: [u64; 3],
    savepoints: Vec<SavepointModel>,
}

struct SavepointModel {
    name: String,
    order: usize,
    row: u64,
    lines: usize,
    counts: [u64; 3],
}

/// What must be delivered of a log, line by line.
pub struct Model<'a> {
    log: &'a Log,
    rules: PackRules,
    delivered: Vec<Line>,
    open: OpenModel,
}

impl Model<'_> {
    pub fn run(log: &Log, rules: PackRules) -> Vec<Line> {
        let mut model = Model { log, rules, delivered: Vec::new(), open: OpenModel::default() };
        log.events.iter().for_each(|event| model.event(event));
        model.delivered
    }

    fn event(&mut self, event: &Event) {
        self.open.order += 1;
        match &event.change {
            Change::Begin => {
                let course = if self.rules.hold.is_some() { Course::Held } else { Course::Streamed };
                self.open = OpenModel { begin: Some(event.clone()), course, ..OpenModel::default() };
                self.set_savepoint("");
            }
            Change::Rows { table, kind, rows } => rows.iter().for_each(|row| {
                let head = row_head(*table, *kind, row);
                self.change(head, event, Some((*table, *kind)));
            }),
            Change::Passed(count) => self.open.row += count,
            Change::Sql => {
                self.open.has_sql = true;
                let head = format!("\"op\":\"ddl\",\"database\":\"d\",\"sql\":\"{SQL}\"");
                self.change(head, event, None);
            }
            Change::Savepoint(name) => {
                self.open.savepoints.retain(|savepoint| !savepoint.name.eq_ignore_ascii_case(name));
                self.set_savepoint(name);
            }
            Change::RollbackTo(name) => self.roll_back_to(name, event),
            Change::End(outcome) => self.end(*outcome, event),
            Change::Moved | Change::Rotated | Change::Hole => {}
        }
    }

    fn change(&mut self, head: String, event: &Event, table: Option<(char, RowsKind)>) {
        let open = &mut self.open;
        let change = Made { order: open.order, head, event: event.clone(), row: open.row, table };
        open.changes.push(change.clone());
        open.row += u64::from(table.is_some());
        if let Some((name, _)) = table
            && !open.tables.contains(&name)
        {
            open.tables.push(name);
        }
        match open.course {
            Course::Streamed if !open.is_left_out(&change) => self.change_line(&change),
            Course::Streamed | Course::Dropped(_) => {}
            Course::Held => self.keep_within_limits(),
        }
    }

    fn keep_within_limits(&mut self) {
        let Some(rules) = self.rules.hold else { return };
        let mut size = self.size();
        while rules.discard_tables && !rules.allow(size) {
            let rows = |table: char| self.open.rows_of(table).len();
            let kept = self.open.tables.iter().filter(|table| !self.open.left_out.contains(table));
            // `max_by_key` takes the last of equals.
            let Some(largest) = kept.rev().copied().filter(|table| rows(*table) > 0).max_by_key(|t| rows(*t))
            else {
                break;
            };
            self.open.left_out.push(largest);
            size = self.size();
        }
        if rules.allow(size) {
            return;
        }
        match rules.oversize {
            Oversize::Stream => {
                self.release();
                self.open.sent = self.open.lines.len();
            }
            _ => self.open.course = Course::Dropped(size),
        }
    }

    fn size(&self) -> Excess {
        let kept = self.open.changes.iter().filter(|change| !self.open.is_left_out(change));
        let rows = kept.clone().filter(|change| change.table.is_some()).count() as u64;
        let unnumbered = |change: &Made| self.text(&change.head, &change.event, change.row, None).len();
        Excess { rows, bytes: kept.map(unnumbered).sum() }
    }

    /// What is held becomes lines.
    fn release(&mut self) {
        self.open.course = Course::Streamed;
        let changes = self.open.changes.clone();
        let kept: Vec<_> = changes.iter().filter(|change| !self.open.is_left_out(change)).collect();
        for savepoint in &mut self.open.savepoints {
            let before: Vec<_> = kept.iter().filter(|change| change.order < savepoint.order).collect();
            let begin = usize::from(self.rules.transaction_lines && !before.is_empty());
            savepoint.lines = before.len() + begin;
            savepoint.counts = [0; 3];
            let kinds = before.iter().filter_map(|change| change.table);
            kinds.for_each(|(_, kind)| savepoint.counts[kind as usize] += 1);
        }
        kept.into_iter().for_each(|change| self.change_line(change));
    }

    fn change_line(&mut self, change: &Made) {
        if let (true, true, Some(begin)) =
            (self.rules.transaction_lines, self.open.lines.is_empty(), self.open.begin.clone())
        {
            self.line("\"op\":\"begin\"", &begin, 0);
        }
        self.line(&change.head, &change.event, change.row);
        if let Some((_, kind)) = change.table {
            self.open.counts[kind as usize] += 1;
        }
    }

    fn text(&self, head: &str, event: &Event, row: u64, seq: Option<u64>) -> String {
        let gtid = self.log.gtid(event.transaction);
        let ts_ms = match &gtid {
            Some(_) => 1000 * event.transaction,
            None => 1_700_000_000_000,
        };
        let gtid = gtid.map_or(String::new(), |gtid| format!("\"gtid\":\"{}\",", gtid.text));
        let seq = seq.map_or(String::new(), |seq| format!(",\"seq\":{seq}"));
        format!(
            "{{{head},\"ts_ms\":{ts_ms},\"shard\":\"s\",\"server\":\"h:1\",\"server_id\":1,{gtid}\"file\":\"{}\",\
             \"pos\":{},\"row\":{row}{seq}}}\n",
            event.file, event.pos
        )
    }

    fn line(&mut self, head: &str, event: &Event, row: u64) {
        let seq = self.next_seq();
        let text = self.text(head, event, row, Some(seq));
        self.add_line(text, event, row, seq);
    }

    fn next_seq(&self) -> u64 {
        1 + self.delivered.len() as u64 + self.open.lines.len() as u64
    }

    /// Adds a line. When those that wait get too many, all but the new one go out.
    fn add_line(&mut self, text: String, event: &Event, row: u64, seq: u64) {
        let gtid = self.log.gtid(event.transaction).map(|gtid| gtid.text.to_string());
        let place = RowPlace { gtid, file: event.file.to_string(), pos: event.pos, row, seq };
        let open = &mut self.open;
        open.lines.push(Line { text, place });
        let waiting = &open.lines[open.sent..];
        let bytes: usize = waiting.iter().map(|line| line.text.len()).sum();
        if bytes > self.rules.max_bytes || waiting.len() as u64 > self.rules.max_lines {
            open.sent = open.lines.len() - 1;
        }
    }

    fn set_savepoint(&mut self, name: &str) {
        let OpenModel { row, counts, order, .. } = self.open;
        let lines = self.open.lines.len();
        self.open.savepoints.push(SavepointModel { name: name.to_owned(), order, row, lines, counts });
    }

    fn roll_back_to(&mut self, name: &str, event: &Event) {
        let open = &mut self.open;
        let named = |savepoint: &SavepointModel| savepoint.name.eq_ignore_ascii_case(name);
        // The first one is the transaction's start.
        let index = open.savepoints.iter().position(named).unwrap_or(0);
        open.savepoints.truncate(index + 1);
        let SavepointModel { row, lines, counts, order, .. } = open.savepoints[index];
        open.counts = counts;
        open.changes.retain(|change| change.order < order);
        if lines >= open.sent {
            open.lines.truncate(lines);
        } else if self.rules.transaction_lines && open.sent == 1 {
            // Nothing but the `begin` line.
            open.lines.truncate(1);
        } else {
            open.lines.truncate(open.sent);
            let at = open.row;
            self.line(&format!("\"op\":\"rollback\",\"from_row\":{row}"), event, at);
        }
    }

    fn end(&mut self, outcome: Outcome, event: &Event) {
        let at = self.open.row;
        match outcome {
            Outcome::Commit => {
                if self.open.course == Course::Held {
                    self.release();
                }
                let framed = self.rules.transaction_lines && !self.open.lines.is_empty();
                self.gap_line(event);
                if framed {
                    let [inserts, updates, deletes] = self.open.counts;
                    let counts = format!("\"inserts\":{inserts},\"updates\":{updates},\"deletes\":{deletes}");
                    self.line(&format!("\"op\":\"commit\",{counts}"), event, at);
                }
            }
            Outcome::Rollback => {
                self.open.lines.truncate(self.open.sent);
                if self.open.sent > 0 {
                    self.line("\"op\":\"rollback\",\"from_row\":0", event, at);
                }
            }
        }
        self.delivered.append(&mut self.open.lines);
    }

    fn gap_line(&mut self, end: &Event) {
        let (open, Some(begin)) = (&self.open, self.open.begin.clone()) else { return };
        let is_whole = open.course != Course::Streamed;
        let lost = open.tables.iter().filter(|table| is_whole || open.left_out.contains(table));
        let mut tables: Vec<_> = lost
            .map(|table| GapTable { table: format!("d.{table}"), rows: open.rows_of(*table).len() as u64 })
            .filter(|table| table.rows > 0)
            .collect();
        tables.sort_by_key(|table| std::cmp::Reverse(table.rows));
        if tables.is_empty() && !(is_whole && open.has_sql) || !self.rules.gap_lines {
            return;
        }
        let gtid = self.log.gtid(begin.transaction).map(|gtid| gtid.text.to_string());
        let at = format!("at {}:{}", begin.file, begin.pos);
        let name = gtid.as_ref().map_or(at.clone(), |gtid| format!("{gtid} {at}"));
        let reason = match (open.course, self.rules.hold) {
            (Course::Dropped(size), Some(rules)) => rules.discarded(&name, size, &tables),
            (_, rules) => tables_discarded(rules, &name, &tables),
        };
        let gtid = gtid.map_or(String::new(), |gtid| format!("\"gtid\":\"{gtid}\","));
        let told = tables.iter().map(|t| format!("{{\"table\":\"{}\",\"rows\":{}}}", t.table, t.rows));
        let told = match told.collect::<Vec<_>>().join(",") {
            told if told.is_empty() => String::new(),
            told => format!("\"tables\":[{told}],"),
        };
        let seq = self.next_seq();
        let text = format!(
            "{{\"op\":\"gap\",\"from\":{{{gtid}\"file\":\"{}\",\"pos\":{},\"row\":0}},\"to\":{{\"file\":\"{}\",\
             \"pos\":{},\"row\":0}},{told}\"reason\":\"{reason}\",\"shard\":\"s\",\"server\":\"h:1\",\"seq\":{seq}}}\n",
            begin.file, begin.pos, end.file, end.next
        );
        self.add_line(text, &begin, 0, seq);
    }
}

impl OpenModel {
    fn rows_of(&self, table: char) -> Vec<&Made> {
        let is_of = |change: &&Made| change.table.is_some_and(|(of, _)| of == table);
        self.changes.iter().filter(is_of).collect()
    }

    fn is_left_out(&self, change: &Made) -> bool {
        change.table.is_some_and(|(table, _)| self.left_out.contains(&table))
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
