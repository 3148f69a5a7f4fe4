//! Lines of the open transaction that may still be left out: written, but not numbered, and kept away from those that
//! wait to go out.
//!
//! Lines hold no line end but the one behind them, so they need no index. What a pack's header and its point have to say
//! is kept by run: the rows of one event, or a statement.

use crate::binlog::RowsKind;
use crate::change::batch::Place;
use crate::change::batch::Rows;
use crate::pack::builder::open::Position;
use crate::pack::builder::open::RowCounts;
use crate::pack::builder::open::Stand;
use crate::pack::builder::tables::TableNumber;
use crate::pack::run_crc::RunCrc;
use crate::schema::plan::TablePlan;
use std::sync::Arc;

/// Buffers larger than this are given back to the system behind a transaction.
const KEPT_BYTES: usize = 1 << 20;
const KEPT_RUNS: usize = 1 << 12;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Held {
    text: Vec<u8>,
    runs: Vec<HeldRun>,
    /// Bytes of runs that are left out, not yet removed from `text`.
    dead_bytes: usize,
}

/// Lines that follow each other.
#[derive(Debug)]
pub(super) struct HeldRun {
    /// Where its lines begin.
    start: usize,
    lines: u64,
    pub place: Place,
    /// In front of its first line.
    pub position: Position,
    /// Over the rows before that.
    runs: RunCrc,
    body: Body,
    left_out: bool,
}

#[derive(Debug)]
enum Body {
    Rows {
        /// What was logged.
        kind: RowsKind,
        /// What the lines say.
        op: RowsKind,
        plan: Arc<TablePlan>,
        table: TableNumber,
    },
    Sql,
}

impl Held {
    /// Bytes of the lines that are not left out; each grows by its number when it goes out.
    pub fn bytes(&self) -> usize {
        self.text.len() - self.dead_bytes
    }

    /// Where the next line is to be written, line end included and without a number.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// A row is about to be written, as `op`, that stands at `position`.
    pub fn begin_row(
        &mut self,
        rows: &Rows,
        op: RowsKind,
        table: TableNumber,
        position: Position,
        runs: &RunCrc,
    ) {
        match self.runs.last_mut() {
            Some(run) if run.goes_on_with(rows, op, position) => run.lines += 1,
            _ => {
                let body = Body::Rows { kind: rows.kind, op, plan: Arc::clone(&rows.plan), table };
                self.begin_run(body, &rows.place, position, runs);
            }
        }
    }

    /// A statement is about to be written that stands at `position`.
    pub fn begin_sql(&mut self, place: &Place, position: Position, runs: &RunCrc) {
        self.begin_run(Body::Sql, place, position, runs);
    }

    fn begin_run(&mut self, body: Body, place: &Place, position: Position, runs: &RunCrc) {
        let (start, place, runs) = (self.text.len(), place.clone(), runs.clone());
        self.runs.push(HeldRun { start, lines: 1, place, position, runs, body, left_out: false });
    }

    /// Drops the lines at `position` and behind it. Runs do not span savepoints.
    pub fn cut_back(&mut self, position: Position) {
        let kept = self.runs.partition_point(|run| run.position < position);
        let mut end = self.text.len();
        for run in self.runs.drain(kept..).rev() {
            self.dead_bytes -= if run.left_out { end - run.start } else { 0 };
            end = run.start;
        }
        self.text.truncate(end);
    }

    /// Drops the lines of a table.
    pub fn leave_out(&mut self, table: TableNumber) {
        let mut end = self.text.len();
        for run in self.runs.iter_mut().rev() {
            if !run.left_out && matches!(run.body, Body::Rows { table: of, .. } if of == table) {
                run.left_out = true;
                self.dead_bytes += end - run.start;
            }
            end = run.start;
        }
        // Not at once: where many small tables are left out one by one, all others would be moved for each.
        if self.dead_bytes >= self.text.len() / 4 {
            self.remove_dead();
        }
    }

    fn remove_dead(&mut self) {
        let mut filled = 0;
        let mut ends = self.runs.iter().skip(1).map(|run| run.start).collect::<Vec<_>>().into_iter();
        for run in &mut self.runs {
            let end = ends.next().unwrap_or(self.text.len());
            if !run.left_out {
                self.text.copy_within(run.start..end, filled);
                (run.start, filled) = (filled, filled + end - run.start);
            }
        }
        self.runs.retain(|run| !run.left_out);
        self.text.truncate(filled);
        self.dead_bytes = 0;
    }

    /// The lines that are not left out, by run.
    pub fn kept(&self) -> impl Iterator<Item = (&HeldRun, &[u8])> {
        let ends = self.runs.iter().skip(1).map(|run| run.start).chain([self.text.len()]);
        let with_text = self.runs.iter().zip(ends).filter(|(run, _)| !run.left_out);
        with_text.map(|(run, end)| (run, self.text.get(run.start..end).unwrap_or(&[])))
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.text.capacity() + self.runs.capacity() * size_of::<HeldRun>()
    }

    /// Drops everything, and the memory of what was large.
    pub fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.runs.clear();
        self.runs.shrink_to(KEPT_RUNS);
        self.dead_bytes = 0;
    }
}

impl HeldRun {
    fn goes_on_with(&self, rows: &Rows, op: RowsKind, position: Position) -> bool {
        let Body::Rows { kind, op: of, plan, .. } = &self.body else { return false };
        // Events of one compressed payload share their place.
        self.place.pos == rows.place.pos
            && (*kind, *of) == (rows.kind, op)
            && Arc::ptr_eq(plan, &rows.plan)
            && position == (Position { rows: self.position.rows + self.lines, steps: 0 })
    }

    /// The ordinal of its first row.
    pub fn row(&self) -> u64 {
        self.position.rows
    }

    /// Where its line of that number stands, counted from 1.
    pub fn stand_at(&self, line: u64) -> Stand {
        let Position { rows, steps } = self.position;
        let mut runs = self.runs.clone();
        match &self.body {
            Body::Rows { kind, plan, .. } => {
                runs.note_order(*kind, plan);
                runs.add(*kind, plan, line);
                Stand::new(Position { rows: rows + line, steps: 0 }, &runs)
            }
            Body::Sql => Stand::new(Position { rows, steps: steps + 1 }, &runs),
        }
    }

    /// Adds its rows.
    pub fn count(&self, counts: &mut RowCounts) {
        if let Body::Rows { op, .. } = &self.body {
            counts.add(*op, self.lines);
        }
    }
}
