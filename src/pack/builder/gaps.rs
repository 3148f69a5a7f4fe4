//! What is not delivered, or delivered again: recorded before the point passes it, told in a `gap` line, counted.

use crate::change::batch::End;
use crate::change::batch::Place;
use crate::pack::builder::BuildError;
use crate::pack::builder::Changed;
use crate::pack::builder::GapReport;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackOutput;
use crate::pack::builder::Resumed;
use crate::pack::builder::error::Refusal;
use crate::pack::builder::limits::Oversize;
use crate::pack::builder::limits::tables_discarded;
use crate::pack::builder::open::Course;
use crate::pack::builder::required;
use crate::pack::builder::waiting::LinePlace;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;

/// What a policy has left out since the builder was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discards {
    /// Transactions that were left out, or tables of them.
    pub transactions: u64,
    pub rows: u64,
}

impl PackBuilder {
    /// For the status.
    pub fn discards(&self) -> Discards {
        self.discards
    }

    /// Behind [`BuildError::Changed`]: what comes next is read anew from the frontier and delivered, nothing left out.
    pub fn deliver_anew<O: PackOutput>(
        &mut self,
        changed: &Changed,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        self.resume = None;
        self.open = None;
        self.held.clear();
        self.waiting.drop_open();
        let Changed { expected: Resumed { place, inside }, .. } = changed;
        let gap = GapReport {
            kind: GapKind::Changed,
            from: edge(inside.gtid.as_deref(), place, inside.rows),
            to: edge(changed.gtid.as_deref(), &changed.place, 0),
            tables: Vec::new(),
            reason: changed.to_string(),
        };
        output.record_gap(&gap).map_err(BuildError::Output)?;
        if self.rules.gap_lines {
            self.lone_gap_line(&gap, &changed.place);
        }
        Ok(())
    }

    /// The first line of all that comes: delivery had come to `from`, and goes on at the frontier.
    pub fn tell_jump(&mut self, from: Option<&GapEdge>, reason: &str) {
        let nowhere = GapEdge { gtid: None, file: String::new(), pos: 0, row: 0 };
        let executed = self.frontier().executed.as_ref().map(ToString::to_string);
        let place = self.frontier().place.clone();
        let gap = GapReport {
            kind: GapKind::Jump,
            from: from.cloned().unwrap_or(nowhere),
            to: edge(executed.as_deref(), &place, 0),
            tables: Vec::new(),
            reason: reason.to_owned(),
        };
        self.lone_gap_line(&gap, &place);
    }

    /// A `gap` line outside of transactions, at that place of the log.
    pub(super) fn lone_gap_line(&mut self, gap: &GapReport, place: &Place) {
        let line = LinePlace::of_gap(gap.to.gtid.as_deref(), place, self.next_seq());
        self.write_gap(gap);
        self.waiting.line_written();
        self.waiting.note(&line);
        self.waiting.finish();
    }

    /// What the transaction that ends there loses to its policy.
    pub(super) fn discarded(&mut self, end: &End) -> Result<Option<GapReport>, Refusal> {
        let open = required(&mut self.open, "an end")?;
        if !open.by_table {
            return Ok(None);
        }
        let name = open.name();
        let is_whole = matches!(open.course, Course::Dropped(_));
        let tables = self.tables.lost(is_whole);
        // All that it had was rolled back, or nothing was left out.
        if tables.is_empty() && !(is_whole && open.has_sql) {
            return Ok(None);
        }
        let reason = match (open.course, self.rules.hold) {
            (Course::Dropped(size), Some(rules)) if rules.oversize == Oversize::Stop => {
                return Err(rules.refusal(&name, size, &tables));
            }
            (Course::Dropped(size), Some(rules)) => rules.discarded(&name, size, &tables),
            (_, rules) => tables_discarded(rules, &name, &tables),
        };
        let gtid = open.begin.gtid.as_ref().map(|gtid| &*gtid.text);
        let (from, to) = (edge(gtid, &open.begin.place, 0), edge(None, &end.next, 0));
        Ok(Some(GapReport { kind: GapKind::Discard, from, to, tables, reason }))
    }

    pub(super) fn record_discard<O: PackOutput>(
        &mut self,
        gap: &GapReport,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        output.record_gap(gap).map_err(BuildError::Output)?;
        self.discards.transactions += 1;
        self.discards.rows += gap.tables.iter().map(|table| table.rows).sum::<u64>();
        Ok(())
    }

    /// A `gap` line of the open transaction. It is a step of the transaction, so that a
    /// point behind it differs from one before it.
    pub(super) fn gap_step<O: PackOutput>(
        &mut self,
        gap: &GapReport,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "a gap")?;
        if !self.rules.gap_lines || open.leaves_out_step() {
            return Ok(());
        }
        let line = LinePlace::of_gap(gap.from.gtid.as_deref(), &open.begin.place, self.waiting.next_seq());
        self.write_gap(gap);
        self.line_written(&line, output)?;
        self.step(true);
        Ok(())
    }
}

pub(super) fn edge(gtid: Option<&str>, place: &Place, row: u64) -> GapEdge {
    GapEdge { gtid: gtid.map(str::to_owned), file: place.file.to_string(), pos: place.pos, row }
}
