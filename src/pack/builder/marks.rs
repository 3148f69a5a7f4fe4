//! The lines that are no changes: `begin`, `commit`, `rollback`, `gap`.
//!
//! A transaction of which no change comes out has neither `begin` nor `commit`: the `begin` line is written when the
//! first change is.

use crate::change::batch::Begin;
use crate::pack::builder::BuildError;
use crate::pack::builder::GapReport;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackOutput;
use crate::pack::builder::open::Open;
use crate::pack::builder::open::RowCounts;
use crate::pack::builder::required;
use crate::pack::builder::waiting::LinePlace;
use crate::pack::lines::Gap;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::MarkEvent;

impl PackBuilder {
    /// The open transaction has its `begin` line, or a change behind which it would stand.
    pub(super) fn has_begun(&self) -> bool {
        self.open.as_ref().is_some_and(Open::has_begun)
    }

    /// Before each change: the `begin` line, where it is due.
    #[inline]
    pub(super) fn begin_line<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        match self.rules.transaction_lines && !self.has_begun() {
            true => self.write_begin_line(output),
            false => Ok(()),
        }
    }

    fn write_begin_line<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let begin = required(&mut self.open, "begin")?.begin.clone();
        let Begin { place, server_id, timestamp, .. } = &begin;
        let event = MarkEvent { place, server_id: *server_id, timestamp: *timestamp };
        self.mark_line("begin", "", 0, event, output)?;
        if let Some(open) = &mut self.open {
            open.set_begun(self.waiting.kept());
        }
        Ok(())
    }

    pub(super) fn commit_line<O: PackOutput>(
        &mut self,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "commit")?;
        let RowCounts { inserts, updates, deletes } = open.counts();
        let extra = format!("\"inserts\":{inserts},\"updates\":{updates},\"deletes\":{deletes},");
        let row = open.row();
        self.mark_line("commit", &extra, row, event, output)
    }

    /// Lines that have gone out are taken back by a line that says from which row on. What has not is behind them and
    /// is dropped.
    pub(super) fn take_back_from<O: PackOutput>(
        &mut self,
        from_row: u64,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        self.waiting.drop_open();
        let open = required(&mut self.open, "rollback")?;
        open.cut_back_to_sent();
        let row = open.row();
        self.mark_line("rollback", &format!("\"from_row\":{from_row},"), row, event, output)
    }

    /// A line about the open transaction. `extra` is its own members, each with a comma behind it.
    fn mark_line<O: PackOutput>(
        &mut self,
        op: &str,
        extra: &str,
        row: u64,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, op)?;
        let seq = self.waiting.next_seq();
        let numbers = LineNumbers { row, seq: self.counted.then_some(seq) };
        let line = LinePlace::new(&open.begin, event.place, row, seq);
        self.lines.write_mark(self.waiting.text(), op, extra, &open.begin, event, numbers);
        self.line_written(&line, output)
    }

    /// Writes a `gap` line, which stands for no event, and does not count it yet.
    pub(super) fn write_gap(&mut self, gap: &GapReport) {
        let line = Gap { from: &gap.from, to: &gap.to, tables: &gap.tables, reason: &gap.reason };
        let seq = self.next_seq();
        self.lines.write_gap(self.waiting.text(), &line, self.counted.then_some(seq));
    }
}
