//! The transaction that has begun and not ended: how far into it we are, and how far into it delivery is.

use crate::binlog::RowsKind;
use crate::change::batch::Begin;
use crate::pack::builder::error::Changed;
use crate::pack::builder::error::Difference;
use crate::pack::builder::error::Refusal;
use crate::pack::builder::error::Resumed;
use crate::pack::builder::savepoints::Savepoint;
use crate::pack::builder::savepoints::Savepoints;
use crate::pack::builder::waiting::Kept;
use crate::pack::run_crc::RunCrc;
use crate::schema::plan::TablePlan;
use crate::sync_point::Inside;
use std::sync::Arc;

/// A place between the changes of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Rows before it, watched or not.
    rows: u64,
    /// Savepoints, ROLLBACK TO and statements behind the last of them.
    steps: u64,
}

/// A position, and the checksum over the rows before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stand {
    position: Position,
    crc32: u32,
}

/// Rows delivered of one transaction and not taken back, for its `commit` line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowCounts {
    pub inserts: u64,
    pub updates: u64,
    pub deletes: u64,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Open {
    pub begin: Begin,
    counts: RowCounts,
    position: Position,
    runs: RunCrc,
    savepoints: Savepoints,
    /// Where its last line stands; none while that is the current position.
    last_line: Option<Stand>,
    /// Where the last line stands that has gone out; none when no line has.
    sent: Option<Stand>,
    /// Set for good when a part of it went out before a break.
    resumed: Option<Resumed>,
}

impl Open {
    pub fn new(begin: &Begin, resumed: Option<Resumed>) -> Self {
        let sent = resumed.as_ref().map(|resumed| Stand::of(&resumed.inside));
        Self {
            begin: begin.clone(),
            counts: RowCounts::default(),
            position: Position::default(),
            runs: RunCrc::default(),
            savepoints: Savepoints::default(),
            last_line: sent,
            sent,
            resumed,
        }
    }

    /// The next row's ordinal.
    pub fn row(&self) -> u64 {
        self.position.rows
    }

    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// Lines of it have gone out.
    pub fn is_streamed(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether the next row went out before the break.
    #[inline]
    pub fn leaves_out_row(&self) -> bool {
        self.resumed.as_ref().is_some_and(|resumed| self.position.rows < resumed.inside.rows)
    }

    /// Whether what comes next, being no row, was done with before the break.
    pub fn leaves_out_step(&self) -> bool {
        self.resumed.as_ref().is_some_and(|resumed| self.position < Stand::of(&resumed.inside).position)
    }

    /// A row's line has been written, as `op`; `kind` is what was logged.
    #[inline]
    pub fn row_written(&mut self, op: RowsKind, kind: RowsKind, plan: &Arc<TablePlan>) {
        self.counts.add(op);
        self.advance(kind, plan, 1);
        self.last_line = None;
    }

    /// A row is left out: it went out before the break, as `op`, or is none that is delivered.
    pub fn row_left_out(
        &mut self,
        op: Option<RowsKind>,
        kind: RowsKind,
        plan: &Arc<TablePlan>,
    ) -> Result<(), Box<Changed>> {
        if let Some(op) = op {
            self.counts.add(op);
        }
        self.rows_passed(kind, plan, 1)
    }

    /// Rows went by without lines. Proves at the end of what went out before a break that it is the same transaction.
    pub fn rows_passed(
        &mut self,
        kind: RowsKind,
        plan: &Arc<TablePlan>,
        count: u64,
    ) -> Result<(), Box<Changed>> {
        self.keep_last_line();
        let to_leave_out = match &self.resumed {
            Some(resumed) => resumed.inside.rows.saturating_sub(self.position.rows),
            None => 0,
        };
        let before = count.min(to_leave_out);
        self.advance(kind, plan, before);
        if before > 0 && before == to_leave_out {
            self.check_crc()?;
        }
        self.advance(kind, plan, count - before);
        Ok(())
    }

    fn check_crc(&self) -> Result<(), Box<Changed>> {
        let got = self.runs.value();
        match &self.resumed {
            Some(resumed) if resumed.inside.crc32 != got => self.changed(Difference::Crc32(got)),
            _ => Ok(()),
        }
    }

    /// What has ended must not be shorter than what was delivered of it.
    pub fn check_length(&self) -> Result<(), Box<Changed>> {
        match self.leaves_out_row() {
            true => self.changed(Difference::Rows(self.position.rows)),
            false => Ok(()),
        }
    }

    fn changed(&self, difference: Difference) -> Result<(), Box<Changed>> {
        match &self.resumed {
            Some(expected) => Err(Box::new(Changed::new(expected.clone(), &self.begin, difference))),
            None => Ok(()),
        }
    }

    #[inline]
    fn advance(&mut self, kind: RowsKind, plan: &Arc<TablePlan>, count: u64) {
        if count > 0 {
            self.position = Position { rows: self.position.rows + count, steps: 0 };
            self.runs.add(kind, plan, count);
        }
    }

    /// A step that is no row has been taken; its line, if it has one, has been written.
    pub fn step(&mut self, has_line: bool) {
        match has_line {
            true => self.last_line = None,
            false => self.keep_last_line(),
        }
        self.position.steps += 1;
    }

    /// Where the last line stands.
    pub fn last_line(&self) -> Stand {
        self.last_line.unwrap_or_else(|| self.stand())
    }

    fn keep_last_line(&mut self) {
        if self.last_line.is_none() {
            self.last_line = Some(self.stand());
        }
    }

    fn stand(&self) -> Stand {
        Stand { position: self.position, crc32: self.runs.value() }
    }

    /// What comes next is its first change.
    pub fn set_start(&mut self, lines: Kept) {
        self.savepoints.set_start(self.savepoint(lines));
    }

    pub fn set_savepoint(&mut self, name: &str, lines: Kept) {
        self.savepoints.set(name, self.savepoint(lines));
    }

    fn savepoint(&self, lines: Kept) -> Savepoint {
        let held = (!self.leaves_out_step()).then(|| (lines, self.last_line()));
        Savepoint { row: self.position.rows, counts: self.counts, held }
    }

    /// Goes back to a savepoint; what its lines were is the caller's to undo.
    pub fn roll_back_to(&mut self, name: &str) -> Result<Savepoint, Refusal> {
        let savepoint = self.savepoints.roll_back_to(name)?;
        self.counts = savepoint.counts;
        Ok(savepoint)
    }

    /// Lines have been dropped; the last one left stands here.
    pub fn cut_back_to(&mut self, last_line: Stand) {
        self.last_line = Some(last_line);
    }

    /// All lines that had not gone out have been dropped.
    pub fn cut_back_to_sent(&mut self) {
        self.last_line = Some(self.sent.unwrap_or_default());
    }

    /// Lines up to here have gone out.
    pub fn lines_sent(&mut self, last: Stand) {
        self.sent = Some(last);
    }

    /// How far into it delivery is when its line that stands there has gone out.
    pub fn inside(&self, last: Stand) -> Inside {
        Inside {
            gtid: self.begin.gtid.as_ref().map(|gtid| gtid.text.to_string()),
            rows: last.position.rows,
            steps: last.position.steps,
            crc32: last.crc32,
        }
    }

    /// How far into it delivery is, for reading it once more; none when nothing of it has gone out.
    pub fn resume(&self) -> Option<Resumed> {
        self.sent.map(|sent| Resumed { place: self.begin.place.clone(), inside: self.inside(sent) })
    }
}

impl Stand {
    fn of(inside: &Inside) -> Self {
        Self { position: Position { rows: inside.rows, steps: inside.steps }, crc32: inside.crc32 }
    }
}

impl RowCounts {
    #[inline]
    fn add(&mut self, kind: RowsKind) {
        match kind {
            RowsKind::Insert => self.inserts += 1,
            RowsKind::Update => self.updates += 1,
            RowsKind::Delete => self.deletes += 1,
        }
    }
}
