//! Changes to packs: holds a transaction until its end while it fits one pack, and cuts packs where they may be cut.
//!
//! Lines of finished transactions wait in one buffer; the open transaction's lines follow them. A pack is cut at the end of
//! the last finished transaction. Only a transaction that alone is larger than a pack goes out in fragments, and the point
//! then says how far into it we are ([`Inside`]).
//!
//! **Policies.** Without [`HoldRules`] (policy `none`) fragments go out as they fill. With them the lines of a transaction are
//! held apart (`held`) until it ends, and join the others then; its fragments are cut in the same way. What becomes of one
//! that is too large: `holding`.
//!
//! **Rollbacks.** Lines that are rolled back are dropped. If some of them have gone out, a line
//! `{"op":"rollback","from_row":R,…}` takes back all lines of its transaction before it whose `row` is R or more. Behind
//! `ROLLBACK TO` more lines of the transaction may follow; a whole transaction that is rolled back ends with
//! `"from_row":0`, and has no `commit` line.
//!
//! **Breaks.** After a lost connection, and after a crash behind any pack, reading goes on at the point of the last
//! pack. What went out of the transaction there is read again and left out, and the lines that follow are the ones that
//! would have come anyway, byte for byte (as long as the server and the next line's `seq` are the same): a fragment or a
//! `rollback` line is not repeated, and is not left out. If another transaction is found there instead, everything from
//! there on is delivered ([`PackBuilder::deliver_anew`]), behind a `gap` line.
//!
//! Pure: packs leave through [`PackOutput`].

mod error;
mod gaps;
mod held;
mod holding;
mod limits;
mod marks;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
mod open;
mod output;
mod progress;
mod savepoints;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unknown_xa;
mod waiting;

pub use error::BadRow;
pub use error::BuildError;
pub use error::Changed;
pub use error::Difference;
pub use error::Refusal;
pub use error::Resumed;
pub use gaps::Discards;
pub use limits::HoldRules;
pub use limits::Oversize;
pub use output::FinishedPack;
pub use output::Frontier;
pub use output::GapReport;
pub use output::PackOutput;
pub use output::Reached;
pub use progress::StreamKind;

use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::RollbackTo;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::LineWriter;
use crate::pack::lines::MarkEvent;
use crate::pack::lines::RowsReader;
use crate::sync_point::Inside;
use held::Held;
use open::Course;
use open::Open;
use progress::Progress;
use tables::Tables;
use waiting::Border;
use waiting::LinePlace;
use waiting::PackLines;
use waiting::Waiting;

/// How large packs may grow, and what they hold besides rows.
#[derive(Debug, Clone, Copy)]
pub struct PackRules {
    /// Encoded bytes; a larger row is a pack of its own.
    pub max_bytes: usize,
    pub max_lines: u64,
    /// `begin` and `commit` lines.
    pub transaction_lines: bool,
    /// `gap` lines.
    pub gap_lines: bool,
    /// Transactions are held to their end; none: the policy `none`.
    pub hold: Option<HoldRules>,
}

/// Collects lines and cuts packs.
#[derive(Debug)]
pub struct PackBuilder {
    lines: LineWriter,
    rules: PackRules,
    waiting: Waiting,
    progress: Progress,
    open: Option<Open>,
    /// Lines of `open` while it is held.
    held: Held,
    /// The rows of `open` by table, when it counts them so.
    tables: Tables,
    discards: Discards,
    /// The transaction that comes next went out in part.
    resume: Option<Resumed>,
    /// Lines carry numbers.
    counted: bool,
}

impl PackBuilder {
    /// `next_seq` is the first line's number; none when lines carry no numbers.
    pub fn new(
        lines: LineWriter,
        rules: PackRules,
        frontier: Frontier,
        resume: Option<Inside>,
        next_seq: Option<u64>,
    ) -> Self {
        Self {
            lines,
            rules,
            waiting: Waiting::new(next_seq.unwrap_or(0)),
            resume: resume.map(|inside| Resumed { place: frontier.place.clone(), inside }),
            progress: Progress::new(frontier),
            open: None,
            held: Held::default(),
            tables: Tables::default(),
            discards: Discards::default(),
            counted: next_seq.is_some(),
        }
    }

    /// A stream begins: from now on the lines come from this server.
    pub fn connected_to(&mut self, server: &str, same_server: bool, stream: StreamKind) {
        self.lines.connected_to(server);
        if let Some(resumed) = self.resume.as_mut().filter(|_| !same_server && stream.is_mysql_by_gtid()) {
            resumed.inside.elsewhere = true;
        }
        self.progress.stream_begins(same_server, stream);
    }

    /// Lines wait that could go out now.
    pub fn has_finished_lines(&self) -> bool {
        self.waiting.has_finished()
    }

    /// A transaction has gone out in part: the point stands inside it until it ends.
    pub fn is_streaming(&self) -> bool {
        self.resume.is_some() || self.open.as_ref().is_some_and(Open::is_streamed)
    }

    /// The next line's `seq`.
    pub fn next_seq(&self) -> u64 {
        self.waiting.next_seq()
    }

    /// Everything before this place has been put into packs or into the buffer.
    pub fn frontier(&self) -> &Frontier {
        self.progress.frontier()
    }

    /// Takes the items of a batch in their order.
    pub fn accept<O: PackOutput>(
        &mut self,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        for item in &batch.items {
            match item {
                Item::Begin(begin) => self.begin::<O>(begin)?,
                Item::Rows(rows) => self.rows(rows, batch, output)?,
                Item::Passed(passed) => {
                    let open = required(&mut self.open, "rows")?;
                    open.rows_passed(passed.kind, &passed.plan, passed.count)?;
                }
                Item::Sql(sql) => self.sql(sql, batch, output)?,
                Item::Savepoint(name) => {
                    let open = required(&mut self.open, "SAVEPOINT")?;
                    open.set_savepoint(name, self.waiting.kept(), self.tables.savepoint());
                    open.step(false);
                }
                Item::RollbackTo(target) => self.roll_back_to(target, output)?,
                Item::End(end) => self.end(end, output)?,
                Item::XaPrepared(prepared) => self.progress.xa_prepared(prepared),
                Item::XaUnknown(xid) => self.unknown_xa(xid, output)?,
                Item::XaReplaced(old) => self.replaced_xa(old, output)?,
                Item::File { file, created } => self.progress.file_begins(file, *created),
                Item::GtidsBefore(before) => self.progress.gtids_before(before),
                Item::Moved(place) => self.progress.moved(place),
            }
            // Many small transactions fill a pack as well as one large one does.
            if self.overflows() {
                self.flush(output)?;
            }
        }
        Ok(())
    }

    /// Sends the finished transactions' lines, if there are any.
    pub fn flush<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        if let Some(lines) = self.waiting.finished_lines() {
            // A transaction that has gone out in part is the first behind all that was sent, so none is open here.
            let reached = Reached { frontier: self.progress.frontier(), inside: None };
            output.send(lines.reaching(reached)).map_err(BuildError::Output)?;
            self.waiting.finished_sent();
        }
        Ok(())
    }

    /// Sends all lines, an unfinished transaction's too, for the end of a file. True when there was one.
    pub fn flush_unfinished<O: PackOutput>(&mut self, output: &mut O) -> Result<bool, BuildError<O::Error>> {
        self.flush(output)?;
        self.send_fragment(self.waiting.end(), output)?;
        Ok(self.open.is_some())
    }

    /// The connection broke: gives up what is not finished and has not gone out, and tells where to read on.
    pub fn interrupted(&mut self) -> (Frontier, Option<Inside>) {
        if let Some(open) = self.open.take() {
            self.waiting.drop_open();
            self.held.clear();
            self.resume = open.resume();
        }
        (self.frontier().clone(), self.resume.as_ref().map(|resume| resume.inside.clone()))
    }

    fn begin<O: PackOutput>(&mut self, begin: &Begin) -> Result<(), BuildError<O::Error>> {
        if self.open.is_some() {
            return Err(Refusal::nested().into());
        }
        self.progress.transaction_begins(begin.border());
        let resumed = self.resume.take().map(|resumed| resumed.check_name(begin)).transpose()?;
        let mut open = Open::new(begin, resumed, self.rules.hold.is_some());
        open.set_start(self.waiting.kept());
        if open.by_table {
            self.tables.begin(open.left_out_before());
        }
        self.open = Some(open);
        Ok(())
    }

    fn rows<O: PackOutput>(
        &mut self,
        rows: &Rows,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "rows")?;
        self.lines.begin_rows(rows, &open.begin);
        let mut line = LinePlace::new(&open.begin, &rows.place, 0, 0);
        let mut reader = RowsReader::new(rows, batch);
        // Not every server logs an event without rows.
        let table = (open.by_table && !reader.is_empty()).then(|| self.tables.number(&rows.plan));
        while !reader.is_empty() {
            match table {
                None => self.row(rows, &mut reader, &mut line, output)?,
                Some(table) => self.counted_row(rows, &mut reader, &mut line, table, output)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn row<O: PackOutput>(
        &mut self,
        rows: &Rows,
        reader: &mut RowsReader<'_>,
        line: &mut LinePlace,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "rows")?;
        let row = open.row();
        let bad = |error| BuildError::Row(Box::new(BadRow::new(rows, row, error)));
        let op = reader.op().map_err(bad)?;
        let op = match op {
            Some(op) if !open.leaves_out_row() => op,
            op => {
                reader.skip().map_err(bad)?;
                return Ok(open.row_left_out(op, rows.kind, &rows.plan)?);
            }
        };
        self.begin_line(output)?;
        (line.row, line.seq) = (row, self.waiting.next_seq());
        let numbers = LineNumbers { row, seq: self.counted.then_some(line.seq) };
        self.lines.write_row(self.waiting.text(), reader, op, numbers).map_err(bad)?;
        self.line_written(line, output)?;
        if let Some(open) = &mut self.open {
            open.row_written(op, rows.kind, &rows.plan);
        }
        Ok(())
    }

    fn sql<O: PackOutput>(
        &mut self,
        sql: &Sql,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "a statement")?;
        open.has_sql = true;
        match open.course {
            _ if open.leaves_out_step() => open.step(false),
            Course::Dropped(_) => open.step(false),
            Course::Held => return self.held_sql(sql, batch, output),
            Course::Streamed => {
                self.begin_line(output)?;
                let open = required(&mut self.open, "a statement")?;
                let (row, seq) = (open.row(), self.waiting.next_seq());
                let numbers = LineNumbers { row, seq: self.counted.then_some(seq) };
                let line = LinePlace::new(&open.begin, &sql.place, row, seq);
                self.lines.write_sql(self.waiting.text(), sql, batch.slice(&sql.sql), &open.begin, numbers);
                self.line_written(&line, output)?;
                self.step(true);
            }
        }
        Ok(())
    }

    fn roll_back_to<O: PackOutput>(
        &mut self,
        target: &RollbackTo,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "ROLLBACK TO")?;
        let left_out = open.leaves_out_step();
        let (savepoint, undone) = open.roll_back_to(&target.name)?;
        self.tables.roll_back(undone);
        let position = savepoint.position;
        let undone_silently = match open.course {
            _ if left_out => true,
            Course::Dropped(_) => true,
            Course::Held if open.has_sent_behind(position) => {
                // Another server or configuration than before the break: what was rolled back has gone out.
                self.held.clear();
                open.course = Course::Streamed;
                false
            }
            Course::Held => {
                self.held.cut_back(position);
                true
            }
            Course::Streamed => savepoint.held.as_ref().is_some_and(|(lines, last_line)| {
                // The `begin` line may have gone out alone: what was before it comes to the same.
                let is_first = open.begun().filter(|begun| lines.is_before(begun)).cloned();
                let all = self.waiting.cut_back(lines);
                if all && is_first.is_some() {
                    open.forget_begun();
                }
                let cut = all || is_first.is_some_and(|begun| self.waiting.cut_back(&begun));
                if cut {
                    open.cut_back_to(*last_line);
                }
                cut
            }),
        };
        if undone_silently {
            open.step(false);
            return Ok(());
        }
        let (server_id, timestamp) = (target.server_id, target.timestamp);
        let event = MarkEvent { place: &target.place, server_id, timestamp };
        self.take_back_from(position.rows, event, output)?;
        self.step(true);
        Ok(())
    }

    fn end<O: PackOutput>(&mut self, end: &End, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "an end")?;
        open.check_length()?;
        let event = MarkEvent { place: &end.place, server_id: end.server_id, timestamp: end.timestamp };
        match end.outcome {
            Outcome::Rollback => {
                self.held.clear();
                match open.is_streamed() {
                    true => self.take_back_from(0, event, output)?,
                    false => self.waiting.drop_open(),
                }
            }
            Outcome::Commit => self.commit(end, event, output)?,
        }
        self.waiting.finish();
        if let Some(open) = self.open.take() {
            self.progress.transaction_ended(end, open.begin.ts_ms);
        }
        Ok(())
    }

    fn step(&mut self, has_line: bool) {
        if let Some(open) = &mut self.open {
            open.step(has_line);
        }
    }

    /// Accounts for a line of the open transaction that has just been written. A line that overflows the pack begins the
    /// next one. The transaction's own state must still be the one before this line.
    #[inline]
    fn line_written<O: PackOutput>(
        &mut self,
        line: &LinePlace,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let start = self.waiting.line_written();
        if self.overflows() {
            self.make_room(start, output)?;
        }
        self.waiting.note(line);
        Ok(())
    }

    /// Sends what waits before the line that begins there.
    fn make_room<O: PackOutput>(
        &mut self,
        start: Border,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        self.flush(output)?;
        match self.overflows() {
            true => self.send_fragment(start, output),
            false => Ok(()),
        }
    }

    #[inline]
    fn overflows(&self) -> bool {
        self.waiting.bytes() > self.rules.max_bytes || self.waiting.lines() > self.rules.max_lines
    }

    /// Sends the lines of the open transaction before `cut`, if there are any.
    fn send_fragment<O: PackOutput>(
        &mut self,
        cut: Border,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(lines) = self.waiting.open_lines(cut) else { return Ok(()) };
        let last_line = open.last_line();
        let frontier = self.progress.frontier_at(open.begin.border());
        let reached = Reached { frontier: &frontier, inside: Some(open.inside(last_line)) };
        output.send(lines.reaching(reached)).map_err(BuildError::Output)?;
        open.lines_sent(last_line);
        self.waiting.open_sent(cut);
        Ok(())
    }
}

impl<'a> PackLines<'a> {
    fn reaching(self, reached: Reached<'a>) -> FinishedPack<'a> {
        let Self { rows, row_count, first, last, next_seq } = self;
        FinishedPack { rows, row_count, first, last, next_seq, reached }
    }
}

/// The open transaction, of which `what` is a part.
#[inline]
fn required<'a>(open: &'a mut Option<Open>, what: &str) -> Result<&'a mut Open, Refusal> {
    open.as_mut().ok_or_else(|| Refusal::outside(what))
}
