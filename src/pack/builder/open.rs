//! The transaction that has begun and not ended: how far into it we are, and how far into it delivery is.

use crate::binlog::RowsKind;
use crate::change::batch::Begin;
use crate::change::batch::Place;
use crate::pack::builder::error::Changed;
use crate::pack::builder::error::Difference;
use crate::pack::builder::error::Refusal;
use crate::pack::builder::error::Resumed;
use crate::pack::builder::held::Held;
use crate::pack::builder::limits::Excess;
use crate::pack::builder::savepoints::Savepoint;
use crate::pack::builder::savepoints::Savepoints;
use crate::pack::builder::tables::Counted;
use crate::pack::builder::tables::TableName;
use crate::pack::builder::waiting::Kept;
use crate::pack::run_crc::RunCrc;
use crate::schema::plan::TablePlan;
use crate::sync_point::Inside;
use crate::sync_point::Judged;
use std::sync::Arc;

/// A place between the changes of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Rows before it, watched or not.
    pub rows: u64,
    /// Savepoints, ROLLBACK TO and statements behind the last of them.
    pub steps: u64,
}

/// A position, and the checksum over the rows before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stand {
    position: Position,
    crc32: u32,
    unordered: bool,
}

/// Where the lines of a transaction go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// To those that wait to go out; as soon as they fill a pack they do.
    Streamed,
    /// They are held until it ends, or has come to the place up to which it was held before a break.
    Held,
    /// Nowhere, it was too large: what is left of it is counted.
    Dropped(Excess),
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
    pub course: Course,
    /// A policy has asked for its rows by table.
    pub by_table: bool,
    /// Statements are among its changes.
    pub has_sql: bool,
    judged: Option<Judged>,
    /// The lines up to its `begin` line.
    begun: Option<Kept>,
}

impl Open {
    /// `hold`: a policy wants transactions held.
    pub fn new(begin: &Begin, resumed: Option<Resumed>, hold: bool) -> Self {
        let sent = resumed.as_ref().map(|resumed| Stand::of(&resumed.inside));
        let judged = resumed.as_ref().and_then(|resumed| resumed.inside.judged.clone());
        let held_before = judged.as_ref().map(|judged| Position { rows: judged.rows, steps: judged.steps });
        let course = match sent {
            None if hold => Course::Held,
            // What has gone out in part can neither be left out nor wait for ever.
            Some(sent) if hold && held_before.is_some_and(|end| sent.position < end) => Course::Held,
            _ => Course::Streamed,
        };
        Self {
            begin: begin.clone(),
            counts: RowCounts::default(),
            position: Position::default(),
            runs: RunCrc::default(),
            savepoints: Savepoints::default(),
            last_line: sent,
            sent,
            resumed,
            course,
            by_table: hold || judged.as_ref().is_some_and(|judged| !judged.left_out.is_empty()),
            has_sql: false,
            judged,
            begun: None,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        let Place { file, pos } = &self.begin.place;
        match &self.begin.gtid {
            Some(gtid) => format!("{} at {file}:{pos}", gtid.text),
            None => format!("at {file}:{pos}"),
        }
    }

    /// A part of it went out before a break.
    pub fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    pub fn position(&self) -> Position {
        self.position
    }

    pub fn runs(&self) -> &RunCrc {
        &self.runs
    }

    /// The tables that were left out of it before a break.
    pub fn left_out_before(&self) -> &[TableName] {
        self.judged.as_ref().map_or(&[], |judged| &judged.left_out)
    }

    /// It has come to the place up to which it was held before a break.
    pub fn is_judged(&self) -> bool {
        let end = self.judged.as_ref().map(|judged| Position { rows: judged.rows, steps: judged.steps });
        end.is_some_and(|end| self.position >= end)
    }

    /// It was held up to here, its `steps` and so many more, and these tables are left out of it.
    pub fn judge(&mut self, more_steps: u64, left_out: Vec<TableName>) {
        let Position { rows, steps } = self.position;
        self.judged = Some(Judged { rows, steps: steps + more_steps, left_out });
        self.last_line = Some(self.sent.unwrap_or_default());
    }

    /// The rows of held lines count from here on, also as those before a savepoint.
    pub fn count_held(&mut self, held: &Held) {
        let mut counts = RowCounts::default();
        let mut savepoints = self.savepoints.all_mut().peekable();
        for (run, _) in held.kept() {
            while let Some(savepoint) = savepoints.next_if(|savepoint| savepoint.position <= run.position) {
                savepoint.counts.add_all(counts);
            }
            run.count(&mut counts);
        }
        savepoints.for_each(|savepoint| savepoint.counts.add_all(counts));
        self.counts.add_all(counts);
    }

    /// All lines so far have gone out, and `lines` is their end: savepoints that were set while they were held know that.
    pub fn held_sent(&mut self, lines: &Kept) {
        let last_line = self.last_line();
        let sent = self.sent.unwrap_or_default().position;
        for savepoint in self.savepoints.all_mut() {
            savepoint.held = (savepoint.position >= sent).then(|| (lines.clone(), last_line));
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
        self.counts.add(op, 1);
        self.runs.note_order(kind, plan);
        self.advance(kind, plan, 1);
        self.last_line = None;
    }

    /// A row's line is held.
    pub fn row_held(&mut self, kind: RowsKind, plan: &Arc<TablePlan>) -> Result<(), Box<Changed>> {
        self.runs.note_order(kind, plan);
        self.rows_passed(kind, plan, 1)
    }

    /// A row is left out: it went out before the break, as `op`, or is none that is delivered.
    pub fn row_left_out(
        &mut self,
        op: Option<RowsKind>,
        kind: RowsKind,
        plan: &Arc<TablePlan>,
    ) -> Result<(), Box<Changed>> {
        if let Some(op) = op {
            self.counts.add(op, 1);
            self.runs.note_order(kind, plan);
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
            self.check_order()?;
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

    /// Rows that were counted on another server are those that are left out here only if their order is the same.
    fn check_order(&self) -> Result<(), Box<Changed>> {
        let elsewhere = self.resumed.as_ref().is_some_and(|resumed| resumed.inside.elsewhere);
        match elsewhere && self.runs.is_unordered() {
            true => self.changed(Difference::Order),
            false => Ok(()),
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
        Stand::new(self.position, &self.runs)
    }

    /// What comes next is its first change.
    pub fn set_start(&mut self, lines: Kept) {
        self.savepoints.set_start(self.savepoint(lines));
    }

    pub fn set_savepoint(&mut self, name: &str, lines: Kept, counted: Counted) {
        self.savepoints.set(name, self.savepoint(lines), counted);
    }

    fn savepoint(&self, lines: Kept) -> Savepoint {
        let held = (!self.leaves_out_step()).then(|| (lines, self.last_line()));
        Savepoint { position: self.position, counts: self.counts, held }
    }

    /// Goes back to a savepoint; what its lines were is the caller's to undo.
    pub fn roll_back_to(&mut self, name: &str) -> Result<(Savepoint, Vec<Counted>), Refusal> {
        let (savepoint, undone) = self.savepoints.roll_back_to(name)?;
        self.counts = savepoint.counts;
        Ok((savepoint, undone))
    }

    /// Whether lines behind a place of it have gone out.
    pub fn has_sent_behind(&self, position: Position) -> bool {
        self.sent.is_some_and(|sent| position < sent.position)
    }

    /// Its `begin` line has been written.
    pub fn set_begun(&mut self, lines: Kept) {
        self.begun = Some(lines);
    }

    /// Its `begin` line has been written, in this run or before the break.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some() || self.is_resumed()
    }

    /// Its `begin` line has been dropped.
    pub fn forget_begun(&mut self) {
        self.begun = None;
    }

    /// The lines up to its `begin` line, if it has one.
    pub fn begun(&self) -> Option<&Kept> {
        self.begun.as_ref()
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
        let is_needed = |judged: &&Judged| {
            let end = Position { rows: judged.rows, steps: judged.steps };
            last.position < end || !judged.left_out.is_empty()
        };
        let before = self.resumed.as_ref().map(|resumed| &resumed.inside);
        Inside {
            gtid: self.begin.gtid.as_ref().map(|gtid| gtid.text.to_string()),
            rows: last.position.rows,
            steps: last.position.steps,
            crc32: last.crc32,
            unordered: last.unordered,
            elsewhere: before.is_some_and(|before| before.elsewhere && last.position.rows <= before.rows),
            judged: self.judged.as_ref().filter(is_needed).cloned(),
        }
    }

    /// How far into it delivery is, for reading it once more; none when nothing of it has gone out.
    pub fn resume(&self) -> Option<Resumed> {
        self.sent.map(|sent| Resumed { place: self.begin.border().clone(), inside: self.inside(sent) })
    }
}

impl Stand {
    pub fn new(position: Position, runs: &RunCrc) -> Self {
        Self { position, crc32: runs.value(), unordered: runs.is_unordered() }
    }

    fn of(inside: &Inside) -> Self {
        let position = Position { rows: inside.rows, steps: inside.steps };
        Self { position, crc32: inside.crc32, unordered: inside.unordered }
    }
}

impl RowCounts {
    #[inline]
    pub fn add(&mut self, kind: RowsKind, count: u64) {
        match kind {
            RowsKind::Insert => self.inserts += count,
            RowsKind::Update => self.updates += count,
            RowsKind::Delete => self.deletes += count,
        }
    }

    fn add_all(&mut self, more: RowCounts) {
        let RowCounts { inserts, updates, deletes } = more;
        self.inserts += inserts;
        self.updates += updates;
        self.deletes += deletes;
    }
}
