//! Changes to packs: holds a transaction until its end while it fits one pack, and cuts packs where they may be cut.
//!
//! This is the transaction policy `none`. Lines of finished transactions wait in one buffer; the open transaction's
//! lines follow them. A pack is cut at the end of the last finished transaction. Only a transaction that alone is larger
//! than a pack goes out in fragments, and the point then says how far into it we are ([`Inside`]).
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
#[cfg(test)]
mod model_tests;
mod open;
mod output;
mod progress;
mod savepoints;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod waiting;

pub use error::BadRow;
pub use error::BuildError;
pub use error::Changed;
pub use error::Difference;
pub use error::Refusal;
pub use error::Resumed;
pub use output::FinishedPack;
pub use output::Frontier;
pub use output::PackOutput;
pub use output::Reached;
pub use progress::StreamKind;

use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::RollbackTo;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::pack::lines::Gap;
use crate::pack::lines::GapPlace;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::LineWriter;
use crate::pack::lines::MarkEvent;
use crate::pack::lines::RowsReader;
use crate::sync_point::Inside;
use crate::sync_point::gap::GapEdge;
use open::Open;
use open::RowCounts;
use progress::Progress;
use std::sync::Arc;
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
}

/// Collects lines and cuts packs.
#[derive(Debug)]
pub struct PackBuilder {
    lines: LineWriter,
    rules: PackRules,
    waiting: Waiting,
    progress: Progress,
    open: Option<Open>,
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
            counted: next_seq.is_some(),
        }
    }

    /// A stream begins: from now on the lines come from this server.
    pub fn connected_to(&mut self, server: &str, same_server: bool, stream: StreamKind) {
        self.lines.connected_to(server);
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
                Item::Begin(begin) => self.begin(begin, output)?,
                Item::Rows(rows) => self.rows(rows, batch, output)?,
                Item::Passed(passed) => {
                    let open = required(&mut self.open, "rows")?;
                    open.rows_passed(passed.kind, &passed.plan, passed.count)?;
                }
                Item::Sql(sql) => self.sql(sql, batch, output)?,
                Item::Savepoint(name) => {
                    let open = required(&mut self.open, "SAVEPOINT")?;
                    open.set_savepoint(name, self.waiting.kept());
                    open.step(false);
                }
                Item::RollbackTo(target) => self.roll_back_to(target, output)?,
                Item::End(end) => self.end(end, output)?,
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
            self.resume = open.resume();
        }
        (self.frontier().clone(), self.resume.as_ref().map(|resume| resume.inside.clone()))
    }

    /// Behind [`BuildError::Changed`]: what comes next is read anew from the frontier and delivered, nothing left out.
    pub fn deliver_anew(&mut self, changed: &Changed) {
        self.resume = None;
        self.open = None;
        self.waiting.drop_open();
        if self.rules.gap_lines {
            self.gap_line(changed);
        }
    }

    /// The first line of all that comes: delivery had come to `from`, and goes on at the frontier.
    pub fn tell_jump(&mut self, from: Option<&GapEdge>, reason: &str) {
        let (place, executed) = (self.frontier().place.clone(), self.frontier().executed.as_ref());
        let gtid: Option<Arc<str>> = executed.map(|executed| executed.to_string().into());
        let edge = from.map_or((None, Place { file: "".into(), pos: 0 }, 0), |from| {
            (from.gtid.as_deref(), Place { file: from.file.as_str().into(), pos: from.pos }, from.row)
        });
        let gap = Gap {
            from: GapPlace { gtid: edge.0, place: &edge.1, row: edge.2 },
            to: GapPlace { gtid: gtid.as_deref(), place: &place, row: 0 },
            reason,
        };
        let seq = self.next_seq();
        self.lines.write_gap(self.waiting.text(), &gap, self.counted.then_some(seq));
        self.waiting.line_written();
        self.waiting.note(&LinePlace::of_gap(gtid.as_ref(), &place, seq));
        self.waiting.finish();
    }

    fn gap_line(&mut self, changed: &Changed) {
        let Changed { expected: Resumed { place, inside }, .. } = changed;
        let gap = Gap {
            from: GapPlace { gtid: inside.gtid.as_deref(), place, row: inside.rows },
            to: GapPlace { gtid: changed.gtid.as_deref(), place: &changed.place, row: 0 },
            reason: &changed.to_string(),
        };
        let seq = self.next_seq();
        self.lines.write_gap(self.waiting.text(), &gap, self.counted.then_some(seq));
        self.waiting.line_written();
        self.waiting.note(&LinePlace::of_gap(changed.gtid.as_ref(), &changed.place, seq));
        self.waiting.finish();
    }

    fn begin<O: PackOutput>(&mut self, begin: &Begin, output: &mut O) -> Result<(), BuildError<O::Error>> {
        if self.open.is_some() {
            return Err(Refusal::nested().into());
        }
        self.progress.transaction_begins(&begin.place);
        let resumed = self.resume.take().map(|resumed| resumed.check_name(begin)).transpose()?;
        let is_new = resumed.is_none();
        self.open = Some(Open::new(begin, resumed));
        if is_new && self.rules.transaction_lines {
            let event =
                MarkEvent { place: &begin.place, server_id: begin.server_id, timestamp: begin.timestamp };
            self.mark_line("begin", "", event, output)?;
        }
        if let Some(open) = &mut self.open {
            open.set_start(self.waiting.kept());
        }
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
        while !reader.is_empty() {
            self.row(rows, &mut reader, &mut line, output)?;
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
        if open.leaves_out_row() {
            reader.skip().map_err(bad)?;
            return Ok(open.row_left_out(rows.kind, &rows.plan)?);
        }
        (line.row, line.seq) = (row, self.waiting.next_seq());
        let numbers = LineNumbers { row, seq: self.counted.then_some(line.seq) };
        self.lines.write_row(self.waiting.text(), reader, numbers).map_err(bad)?;
        self.line_written(line, output)?;
        if let Some(open) = &mut self.open {
            open.row_written(rows.kind, &rows.plan);
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
        let left_out = open.leaves_out_step();
        if !left_out {
            let (row, seq) = (open.row(), self.waiting.next_seq());
            let numbers = LineNumbers { row, seq: self.counted.then_some(seq) };
            let line = LinePlace::new(&open.begin, &sql.place, row, seq);
            self.lines.write_sql(self.waiting.text(), sql, batch.slice(&sql.sql), &open.begin, numbers);
            self.line_written(&line, output)?;
        }
        self.step(!left_out);
        Ok(())
    }

    fn roll_back_to<O: PackOutput>(
        &mut self,
        target: &RollbackTo,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "ROLLBACK TO")?;
        let left_out = open.leaves_out_step();
        let savepoint = open.roll_back_to(&target.name)?;
        if left_out {
            open.step(false);
            return Ok(());
        }
        if let Some((lines, last_line)) = &savepoint.held
            && self.waiting.cut_back(lines)
        {
            open.cut_back_to(*last_line);
            open.step(false);
            return Ok(());
        }
        let (server_id, timestamp) = (target.server_id, target.timestamp);
        let event = MarkEvent { place: &target.place, server_id, timestamp };
        self.take_back_from(savepoint.row, event, output)?;
        self.step(true);
        Ok(())
    }

    /// Lines that have gone out are taken back by a line that says from which row on. What has not is behind them and
    /// is dropped.
    fn take_back_from<O: PackOutput>(
        &mut self,
        row: u64,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        self.waiting.drop_open();
        if let Some(open) = &mut self.open {
            open.cut_back_to_sent();
        }
        self.mark_line("rollback", &format!("\"from_row\":{row},"), event, output)
    }

    fn end<O: PackOutput>(&mut self, end: &End, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "an end")?;
        open.check_length()?;
        let event = MarkEvent { place: &end.place, server_id: end.server_id, timestamp: end.timestamp };
        match end.outcome {
            Outcome::Rollback if open.is_streamed() => self.take_back_from(0, event, output)?,
            Outcome::Rollback => self.waiting.drop_open(),
            Outcome::Commit if self.rules.transaction_lines => {
                let RowCounts { inserts, updates, deletes } = open.counts();
                let extra = format!("\"inserts\":{inserts},\"updates\":{updates},\"deletes\":{deletes},");
                self.mark_line("commit", &extra, event, output)?;
            }
            Outcome::Commit => {}
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

    /// A line about the open transaction. `extra` is its own members, each with a comma behind it.
    fn mark_line<O: PackOutput>(
        &mut self,
        op: &str,
        extra: &str,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, op)?;
        let (row, seq) = (open.row(), self.waiting.next_seq());
        let numbers = LineNumbers { row, seq: self.counted.then_some(seq) };
        let line = LinePlace::new(&open.begin, event.place, row, seq);
        self.lines.write_mark(self.waiting.text(), op, extra, &open.begin, event, numbers);
        self.line_written(&line, output)
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
            self.flush(output)?;
        }
        if self.overflows() {
            self.send_fragment(start, output)?;
        }
        self.waiting.note(line);
        Ok(())
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
        let frontier = self.progress.frontier_at(&open.begin.place);
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
