//! Transactions that are held to their end, and what becomes of those that are too large: the policies `mini` and
//! `discard_huge_table`.
//!
//! What a policy decides stands in the points inside of the transaction ([`crate::sync_point::Judged`]), so behind a break
//! nothing is decided anew: the rest is held up to the same place, without the same tables.

use crate::change::batch::Batch;
use crate::change::batch::End;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::pack::builder::BadRow;
use crate::pack::builder::BuildError;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackOutput;
use crate::pack::builder::held::Held;
use crate::pack::builder::held::HeldRun;
use crate::pack::builder::limits::Excess;
use crate::pack::builder::limits::HoldRules;
use crate::pack::builder::limits::Oversize;
use crate::pack::builder::open::Course;
use crate::pack::builder::required;
use crate::pack::builder::tables::TableNumber;
use crate::pack::builder::waiting::LinePlace;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::LineWriter;
use crate::pack::lines::MarkEvent;
use crate::pack::lines::RowsReader;

impl PackBuilder {
    /// A row of a transaction whose rows are counted by table.
    pub(super) fn counted_row<O: PackOutput>(
        &mut self,
        rows: &Rows,
        reader: &mut RowsReader<'_>,
        line: &mut LinePlace,
        table: TableNumber,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let is_left_out = self.tables.is_left_out(table);
        let open = required(&mut self.open, "rows")?;
        let row = open.row();
        let bad = |error| BuildError::Row(Box::new(BadRow::new(rows, row, error)));
        let Some(op) = reader.op().map_err(bad)? else {
            reader.skip().map_err(bad)?;
            return Ok(open.rows_passed(rows.kind, &rows.plan, 1)?);
        };
        self.tables.add_row(table);
        match open.course {
            _ if is_left_out => {
                reader.skip().map_err(bad)?;
                open.rows_passed(rows.kind, &rows.plan, 1)?;
            }
            _ if open.leaves_out_row() => {
                reader.skip().map_err(bad)?;
                open.row_left_out(Some(op), rows.kind, &rows.plan)?;
            }
            Course::Streamed => return self.row(rows, reader, line, output),
            Course::Dropped(_) => {
                reader.skip().map_err(bad)?;
                return Ok(open.rows_passed(rows.kind, &rows.plan, 1)?);
            }
            Course::Held => {
                self.held.begin_row(rows, op, table, open.position(), open.runs());
                let numbers = LineNumbers { row, seq: None };
                self.lines.write_row(self.held.text(), reader, op, numbers).map_err(bad)?;
                open.row_held(rows.kind, &rows.plan)?;
            }
        }
        self.change_held(output)
    }

    /// A statement of a transaction that is held.
    pub(super) fn held_sql<O: PackOutput>(
        &mut self,
        sql: &Sql,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "a statement")?;
        self.held.begin_sql(&sql.place, open.position(), open.runs());
        let numbers = LineNumbers { row: open.row(), seq: None };
        self.lines.write_sql(self.held.text(), sql, batch.slice(&sql.sql), &open.begin, numbers);
        open.step(false);
        self.change_held(output)
    }

    /// A change has come of a transaction that may be held.
    fn change_held<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let Some(rules) = self.rules.hold else { return Ok(()) };
        let open = required(&mut self.open, "a change")?;
        let size = Excess { rows: self.tables.kept_rows(), bytes: self.held.bytes() };
        match open.course {
            Course::Streamed | Course::Dropped(_) => Ok(()),
            // A part of it has gone out: whatever the rules are now, the rest follows.
            Course::Held if open.is_resumed() => match open.is_judged() || size.bytes > rules.max_bytes {
                true => self.stream_held(output),
                false => Ok(()),
            },
            Course::Held if rules.allow(size) => Ok(()),
            Course::Held => self.too_large(rules, output),
        }
    }

    fn too_large<O: PackOutput>(
        &mut self,
        rules: HoldRules,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let size = |builder: &Self| Excess { rows: builder.tables.kept_rows(), bytes: builder.held.bytes() };
        while rules.discard_tables
            && !rules.allow(size(self))
            && let Some(table) = self.tables.largest()
        {
            self.tables.leave_out(table);
            self.held.leave_out(table);
        }
        let size = size(self);
        match rules.oversize {
            _ if rules.allow(size) => Ok(()),
            Oversize::Stream => self.stream_held(output),
            // Not before its end, which may roll it back.
            Oversize::Stop | Oversize::Discard => {
                self.held.clear();
                required(&mut self.open, "a change")?.course = Course::Dropped(size);
                Ok(())
            }
        }
    }

    /// The held lines go out, and those that follow as they come.
    fn stream_held<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "a change")?;
        open.course = Course::Streamed;
        open.judge(0, self.tables.names_left_out());
        self.flush(output)?;
        self.release(output)?;
        // All of them: behind a break nothing else tells where the next pack began.
        self.send_fragment(self.waiting.end(), output)?;
        let lines = self.waiting.kept();
        required(&mut self.open, "a change")?.held_sent(&lines);
        Ok(())
    }

    /// The transaction is committed: what is held of it goes out, and what was left out is told.
    pub(super) fn commit<O: PackOutput>(
        &mut self,
        end: &End,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let gap = self.discarded(end)?;
        if let Some(gap) = &gap {
            self.record_discard(gap, output)?;
        }
        let gap_line = gap.as_ref().filter(|_| self.rules.gap_lines);
        let open = required(&mut self.open, "an end")?;
        if open.course == Course::Held {
            open.judge(u64::from(gap_line.is_some()), self.tables.names_left_out());
            self.release(output)?;
        }
        let framed = self.rules.transaction_lines && self.has_begun();
        if let Some(gap) = gap_line {
            self.gap_step(gap, output)?;
        }
        match framed {
            true => self.commit_line(event, output),
            false => Ok(()),
        }
    }

    /// The held lines join those that wait to go out.
    fn release<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        required(&mut self.open, "held lines")?.count_held(&self.held);
        let mut held: Held = std::mem::take(&mut self.held);
        let outcome = held.kept().try_for_each(|(run, text)| self.release_run(run, text, output));
        held.clear();
        self.held = held;
        outcome
    }

    fn release_run<O: PackOutput>(
        &mut self,
        run: &HeldRun,
        text: &[u8],
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "held lines")?;
        let mut place = LinePlace::new(&open.begin, &run.place, run.row(), 0);
        let mut start = 0;
        let mut lines = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            self.begin_line(output)?;
            (place.row, place.seq) = (run.row() + lines, self.waiting.next_seq());
            let line = text.get(start..=end).unwrap_or(&[]);
            LineWriter::number_line(self.waiting.text(), line, self.counted.then_some(place.seq));
            let border = self.waiting.line_written();
            if self.overflows() {
                if lines > 0 {
                    required(&mut self.open, "held lines")?.cut_back_to(run.stand_at(lines));
                }
                self.make_room(border, output)?;
            }
            self.waiting.note(&place);
            (start, lines) = (end + 1, lines + 1);
        }
        if lines > 0 {
            required(&mut self.open, "held lines")?.cut_back_to(run.stand_at(lines));
        }
        Ok(())
    }
}
