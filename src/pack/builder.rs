//! Changes to packs: holds a transaction until its end while it fits one pack, and cuts packs where they may be cut.
//!
//! This is the transaction policy `none`. Rows of finished transactions wait in one buffer; the open transaction's
//! rows follow them. A pack is cut at the end of the last finished transaction. Only a transaction that alone is larger
//! than a pack is delivered in fragments, and the point then says how many of its rows are delivered. A rollback drops
//! what is held, and is told by a `rollback` line when fragments have gone out already.
//!
//! Pure: packs leave through [`PackOutput`].

use crate::binlog::GtidSet;
use crate::binlog::RowsKind;
use crate::change::batch::Batch;
use crate::change::batch::Begin;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::RollbackTo;
use crate::change::batch::Rows;
use crate::change::batch::Sql;
use crate::code::Code;
use crate::pack::header::RowPlace;
use crate::pack::lines::LineNumbers;
use crate::pack::lines::LineWriter;
use crate::pack::lines::MarkEvent;
use crate::pack::lines::RowsReader;
use crate::pack::run_crc::RunCrc;
use crate::schema::plan::TablePlan;
use crate::schema::row::RowError;
use crate::sync_point::Inside;
use std::fmt;
use std::sync::Arc;

/// Where packs go.
pub trait PackOutput {
    /// Why a pack could not be taken.
    type Error;

    /// Takes one pack; returns when it is delivered.
    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), Self::Error>;
}

/// A pack that is ready to go.
#[derive(Debug)]
pub struct FinishedPack<'a> {
    pub rows: &'a [u8],
    pub row_count: u64,
    pub first: RowPlace,
    pub last: RowPlace,
    /// The `seq` of the line after this pack.
    pub next_seq: u64,
    pub reached: Reached<'a>,
}

/// The place up to which everything is in packs.
#[derive(Debug)]
pub struct Reached<'a> {
    pub frontier: &'a Frontier,
    /// Rows of the transaction that starts there which are in packs already.
    pub inside: Option<Inside>,
}

/// The end of the last finished transaction.
#[derive(Debug, Clone)]
pub struct Frontier {
    pub place: Place,
    /// When that file was begun, by its format description (seconds since 1970); 0 when it has not been seen.
    pub file_created: u32,
    /// The executed set, when the shard is followed by MySQL GTIDs.
    pub gtid_set: Option<GtidSet>,
    /// Commit time of the last finished transaction, 0 before the first.
    pub ts_ms: u64,
}

impl Frontier {
    fn move_to(&mut self, place: &Place) {
        if self.place.file != place.file {
            self.file_created = 0;
        }
        self.place = place.clone();
    }
}

/// How large packs may grow, and what they hold besides rows.
#[derive(Debug, Clone, Copy)]
pub struct PackLimits {
    /// Encoded bytes; a larger row is a pack of its own.
    pub max_bytes: usize,
    pub max_lines: u64,
    /// `begin` and `commit` lines.
    pub transaction_lines: bool,
}

/// Why building stopped.
#[derive(Debug)]
pub enum BuildError<E> {
    /// A row cannot be read.
    Row(Box<BadRow>),
    /// The transaction in which we resumed is not the one that the point speaks of: it has to be read anew,
    /// nothing left out.
    Changed { expected: Inside, got: u32 },
    /// The output did not take a pack.
    Output(E),
}

/// A row that cannot be read, and where it lies.
#[derive(Debug)]
pub struct BadRow {
    pub place: Place,
    pub table: String,
    /// The row's ordinal in its transaction.
    pub row: u64,
    pub error: RowError,
}

impl BadRow {
    pub fn code(&self) -> Code {
        self.error.code
    }
}

impl BadRow {
    fn new(rows: &Rows, row: u64, error: RowError) -> Self {
        Self { place: rows.place.clone(), table: rows.plan.full_name(), row, error }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, table, row, error } = self;
        match &error.column {
            Some(column) => {
                write!(
                    f,
                    "{}:{}: row {row} of the transaction, {table}.{column}: {}",
                    place.file, place.pos, error.detail
                )
            }
            None => write!(
                f,
                "{}:{}: row {row} of the transaction, {table}: {}",
                place.file, place.pos, error.detail
            ),
        }
    }
}

/// A place in the buffer, and what has been counted up to it.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    bytes: usize,
    lines: u64,
    /// The next line's `seq`.
    seq: u64,
}

#[derive(Debug)]
struct Open {
    begin: Begin,
    /// Rows read of it so far, watched or not.
    ordinal: u64,
    runs: RunCrc,
    counts: RowCounts,
    /// Where its held lines begin in the buffer.
    held: Mark,
    /// Fragments of it have gone out.
    streamed: bool,
    savepoints: Vec<Savepoint>,
    /// Rows to leave out, because they were delivered before a break.
    leave_out: Option<Inside>,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    ordinal: u64,
    /// None when lines behind it have gone out.
    mark: Option<Mark>,
}

/// Rows delivered of one transaction, for its `commit` line.
#[derive(Debug, Clone, Copy, Default)]
struct RowCounts {
    inserts: u64,
    updates: u64,
    deletes: u64,
}

/// Collects lines and cuts packs.
#[derive(Debug)]
pub struct PackBuilder {
    lines: LineWriter,
    limits: PackLimits,
    buffer: Vec<u8>,
    /// End of the last finished transaction in the buffer.
    finished: Mark,
    /// End of the buffer.
    end: Mark,
    /// First line in the buffer, last line of the finished part, last line of all.
    first: Option<RowRef>,
    last_finished: Option<RowRef>,
    last: Option<RowRef>,
    /// First line behind the finished part.
    first_open: Option<RowRef>,
    frontier: Frontier,
    open: Option<Open>,
    resume: Option<Inside>,
    counted: bool,
}

impl PackBuilder {
    /// `next_seq` is the first line's number; none when lines carry no numbers.
    pub fn new(
        lines: LineWriter,
        limits: PackLimits,
        frontier: Frontier,
        resume: Option<Inside>,
        next_seq: Option<u64>,
    ) -> Self {
        let start = Mark { seq: next_seq.unwrap_or(0), ..Mark::default() };
        Self {
            lines,
            limits,
            buffer: Vec::new(),
            finished: start,
            end: start,
            first: None,
            last_finished: None,
            last: None,
            first_open: None,
            frontier,
            open: None,
            resume,
            counted: next_seq.is_some(),
        }
    }

    /// From now on the lines come from this server. The file in which we stand is known by its age only on the server
    /// that it came from.
    pub fn connected_to(&mut self, server: &str, same_server: bool) {
        self.lines.connected_to(server);
        if !same_server {
            self.frontier.file_created = 0;
        }
    }

    /// Lines wait that could go out now.
    pub fn has_finished_lines(&self) -> bool {
        self.finished.lines > 0
    }

    /// A transaction has gone out in part: the point stands inside it until it ends.
    pub fn is_streaming(&self) -> bool {
        self.resume.is_some() || self.open.as_ref().is_some_and(|open| open.streamed)
    }

    /// The next line's `seq`.
    pub fn next_seq(&self) -> u64 {
        self.end.seq
    }

    /// Everything before this place has been put into packs or into the buffer.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
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
                Item::Passed(passed) => self.count(passed.kind, &passed.plan, passed.count)?,
                Item::Sql(sql) => self.sql(sql, batch, output)?,
                Item::Savepoint(name) => self.savepoint(name),
                Item::RollbackTo(target) => self.roll_back_to(target, output)?,
                Item::End(end) => self.end_transaction(end, output)?,
                Item::File { file, created } => {
                    if *self.frontier.place.file == **file {
                        self.frontier.file_created = *created;
                    }
                }
                Item::Moved(place) => self.frontier.move_to(place),
            }
            // Many small transactions fill a pack as well as one large one does.
            if self.overflows() && self.finished.lines > 0 {
                self.send_finished(output)?;
            }
        }
        Ok(())
    }

    /// Sends the finished transactions' lines, if there are any.
    pub fn flush<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        match self.finished.lines {
            0 => Ok(()),
            _ => self.send_finished(output),
        }
    }

    /// Sends all lines, an unfinished transaction's too, for the end of a file. True when there was one.
    pub fn flush_unfinished<O: PackOutput>(&mut self, output: &mut O) -> Result<bool, BuildError<O::Error>> {
        self.flush(output)?;
        if self.end.lines > 0 {
            self.send_fragment(self.end, output)?;
        }
        Ok(self.open.is_some())
    }

    /// The connection broke: gives up what is not finished and tells where to read on.
    pub fn interrupted(&mut self) -> (Frontier, Option<Inside>) {
        match self.open.take() {
            // A break before the transaction came again: nothing has changed since the last one.
            Some(open) if self.resume.is_some() => self.open = Some(open),
            // A break among rows that are left out: what was held of them at the last one still is.
            Some(mut open) if open.leave_out.is_some() => {
                self.resume = open.leave_out.take();
                self.open = Some(open);
            }
            Some(open) if open.streamed => {
                // What is held of it counts as delivered: it stays in the buffer and goes out with the rest.
                self.resume = Some(Inside { rows: open.ordinal, crc32: open.runs.value() });
                self.open = Some(open);
            }
            Some(open) => self.cut_back(open.held),
            None => {}
        }
        (self.frontier.clone(), self.resume.clone())
    }

    /// The transaction in which we resumed is to be read anew, nothing left out.
    pub fn forget_resume(&mut self) {
        self.resume = None;
        if let Some(open) = self.open.take() {
            self.cut_back(open.held);
        }
    }

    fn begin<O: PackOutput>(&mut self, begin: &Begin, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let leave_out = self.resume.take();
        let resumed = leave_out.is_some();
        let held = match self.open.take() {
            // After a break inside a transaction that is being streamed, lines of it are still in the buffer.
            Some(open) if resumed => open.held,
            _ => self.end,
        };
        self.open = Some(Open {
            begin: begin.clone(),
            ordinal: 0,
            runs: RunCrc::default(),
            counts: RowCounts::default(),
            held,
            streamed: resumed,
            savepoints: Vec::new(),
            leave_out,
        });
        if self.limits.transaction_lines && !resumed {
            let event =
                MarkEvent { place: &begin.place, server_id: begin.server_id, timestamp: begin.timestamp };
            self.mark_line("begin", "", event, output)?;
        }
        Ok(())
    }

    fn rows<O: PackOutput>(
        &mut self,
        rows: &Rows,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = &self.open else { return Ok(()) };
        self.lines.begin_rows(rows, &open.begin);
        let mut current = RowRef::new(&open.begin, &rows.place);
        let mut reader = RowsReader::new(rows, batch);
        let mut installed = false;
        while !reader.is_empty() {
            let Some(open) = &mut self.open else { return Ok(()) };
            let ordinal = open.ordinal;
            let bad = |error| BuildError::Row(Box::new(BadRow::new(rows, ordinal, error)));
            if open.leaves_out_next() {
                reader.skip().map_err(bad)?;
                self.count_delivered(rows.kind);
                self.count(rows.kind, &rows.plan, 1)?;
                continue;
            }
            let start = self.end;
            current.row = ordinal;
            current.seq = start.seq;
            let numbers = LineNumbers { row: ordinal, seq: self.counted.then_some(start.seq) };
            self.lines.write_row(&mut self.buffer, &mut reader, numbers).map_err(bad)?;
            self.line_written();
            // The line that overflows the pack begins the next one.
            if self.overflows() && start.bytes > 0 {
                self.make_room(start, output)?;
            }
            match &mut self.last {
                Some(last) if installed => (last.row, last.seq) = (current.row, current.seq),
                last => *last = Some(current.clone()),
            }
            installed = true;
            self.note_first(&current);
            self.count_delivered(rows.kind);
            self.count(rows.kind, &rows.plan, 1)?;
        }
        Ok(())
    }

    /// Counts rows of the open transaction, and at the end of those that are left out proves that they are the ones.
    #[inline]
    fn count<E>(&mut self, kind: RowsKind, plan: &Arc<TablePlan>, count: u64) -> Result<(), BuildError<E>> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let before_border = match &open.leave_out {
            Some(inside) => count.min(inside.rows.saturating_sub(open.ordinal)),
            None => count,
        };
        open.ordinal += count;
        open.runs.add(kind, plan, before_border);
        let Some(inside) = open.leave_out.take_if(|inside| inside.rows <= open.ordinal) else {
            return Ok(());
        };
        let got = open.runs.value();
        if got != inside.crc32 {
            return Err(BuildError::Changed { expected: inside, got });
        }
        open.runs.add(kind, plan, count - before_border);
        Ok(())
    }

    fn count_delivered(&mut self, kind: RowsKind) {
        let Some(open) = &mut self.open else { return };
        match kind {
            RowsKind::Insert => open.counts.inserts += 1,
            RowsKind::Update => open.counts.updates += 1,
            RowsKind::Delete => open.counts.deletes += 1,
        }
    }

    fn sql<O: PackOutput>(
        &mut self,
        sql: &Sql,
        batch: &Batch,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = self.open.as_ref().filter(|open| open.leave_out.is_none()) else { return Ok(()) };
        let numbers = self.numbers(open.ordinal);
        self.lines.write_sql(&mut self.buffer, sql, batch.slice(&sql.sql), &open.begin, numbers);
        let current = RowRef { row: numbers.row, seq: self.end.seq, ..RowRef::new(&open.begin, &sql.place) };
        self.single_line(current, output)
    }

    /// A line about the open transaction.
    fn mark_line<O: PackOutput>(
        &mut self,
        op: &str,
        extra: &str,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = &self.open else { return Ok(()) };
        let numbers = self.numbers(open.ordinal);
        self.lines.write_mark(&mut self.buffer, op, extra, &open.begin, event, numbers);
        let current = RowRef { row: numbers.row, seq: self.end.seq, ..RowRef::new(&open.begin, event.place) };
        self.single_line(current, output)
    }

    fn numbers(&self, row: u64) -> LineNumbers {
        LineNumbers { row, seq: self.counted.then_some(self.end.seq) }
    }

    /// Accounts for a line that is no row and has just been written.
    fn single_line<O: PackOutput>(
        &mut self,
        current: RowRef,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let start = self.end;
        self.line_written();
        if self.overflows() && start.bytes > 0 {
            self.make_room(start, output)?;
        }
        self.note_first(&current);
        self.last = Some(current);
        Ok(())
    }

    fn savepoint(&mut self, name: &str) {
        let end = self.end;
        let Some(open) = &mut self.open else { return };
        // A savepoint set again moves (manual, "SAVEPOINT").
        open.savepoints.retain(|savepoint| !savepoint.name.eq_ignore_ascii_case(name));
        let mark = open.leave_out.is_none().then_some(end);
        open.savepoints.push(Savepoint { name: name.to_owned(), ordinal: open.ordinal, mark });
    }

    fn roll_back_to<O: PackOutput>(
        &mut self,
        target: &RollbackTo,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let found =
            open.savepoints.iter().rposition(|savepoint| savepoint.name.eq_ignore_ascii_case(&target.name));
        // A savepoint that is not in the log was set before the first change: everything goes.
        let (mark, ordinal) = match found {
            Some(index) => {
                open.savepoints.truncate(index + 1);
                open.savepoints.last().map_or((None, 0), |savepoint| (savepoint.mark, savepoint.ordinal))
            }
            None => ((!open.streamed).then_some(open.held), 0),
        };
        let leaving_out = open.leave_out.is_some();
        match mark {
            Some(mark) => {
                self.cut_back(mark);
                Ok(())
            }
            None if leaving_out => Ok(()),
            None => {
                let (server_id, timestamp) = (target.server_id, target.timestamp);
                self.take_back_from(ordinal, MarkEvent { place: &target.place, server_id, timestamp }, output)
            }
        }
    }

    /// Lines that have gone out are taken back by a line that says from which row on.
    fn take_back_from<O: PackOutput>(
        &mut self,
        ordinal: u64,
        event: MarkEvent<'_>,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        if let Some(held) = self.open.as_ref().map(|open| open.held) {
            self.cut_back(held);
        }
        self.mark_line("rollback", &format!("\"from_row\":{ordinal},"), event, output)
    }

    fn end_transaction<O: PackOutput>(
        &mut self,
        end: &End,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let Some(open) = &self.open else { return Ok(()) };
        let event = MarkEvent { place: &end.place, server_id: end.server_id, timestamp: end.timestamp };
        match end.outcome {
            Outcome::Rollback if open.streamed => self.take_back_from(0, event, output)?,
            Outcome::Rollback => self.cut_back(open.held),
            Outcome::Commit if self.limits.transaction_lines => {
                let RowCounts { inserts, updates, deletes } = open.counts;
                let extra = format!("\"inserts\":{inserts},\"updates\":{updates},\"deletes\":{deletes},");
                self.mark_line("commit", &extra, event, output)?;
            }
            Outcome::Commit => {}
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        self.finished = self.end;
        if self.first_open.take().is_some() {
            self.last_finished = self.last.clone();
        }
        self.frontier.move_to(&end.next);
        self.frontier.ts_ms = open.begin.ts_ms;
        if let (Some(set), Some(gtid)) = (&mut self.frontier.gtid_set, &open.begin.gtid)
            && let Some(gtid) = &gtid.mysql
        {
            set.add(gtid);
        }
        Ok(())
    }

    fn overflows(&self) -> bool {
        self.buffer.len() > self.limits.max_bytes || self.end.lines > self.limits.max_lines
    }

    fn line_written(&mut self) {
        self.end.bytes = self.buffer.len();
        self.end.lines += 1;
        self.end.seq += 1;
    }

    fn note_first(&mut self, current: &RowRef) {
        if self.first.is_none() {
            self.first = Some(current.clone());
        }
        if self.first_open.is_none() {
            self.first_open = Some(current.clone());
        }
    }

    /// Drops everything behind a mark.
    fn cut_back(&mut self, mark: Mark) {
        self.buffer.truncate(mark.bytes);
        self.end = mark;
        if mark.lines == 0 {
            self.first = None;
        }
        if mark.bytes <= self.finished.bytes {
            self.first_open = None;
            self.last = self.last_finished.clone();
        }
    }

    /// Makes room for the line that begins at `start`: sends what is finished, else a fragment.
    fn make_room<O: PackOutput>(&mut self, start: Mark, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let mut start = start;
        if self.finished.lines > 0 {
            let sent = self.finished;
            self.send_finished(output)?;
            start.bytes -= sent.bytes;
            start.lines -= sent.lines;
        }
        match self.overflows() && start.bytes > 0 {
            true => self.send_fragment(start, output),
            false => Ok(()),
        }
    }

    fn send_finished<O: PackOutput>(&mut self, output: &mut O) -> Result<(), BuildError<O::Error>> {
        let cut = self.finished;
        if let (Some(first), Some(last)) = (&self.first, &self.last_finished) {
            let pack = FinishedPack {
                rows: self.buffer.get(..cut.bytes).unwrap_or(&[]),
                row_count: cut.lines,
                first: first.to_place(),
                last: last.to_place(),
                next_seq: cut.seq,
                reached: Reached { frontier: &self.frontier, inside: self.resume.clone() },
            };
            output.send(pack).map_err(BuildError::Output)?;
        }
        self.drop_front(cut);
        self.last_finished = None;
        Ok(())
    }

    /// Sends a part of the open transaction: everything up to `cut`, which is a line's border.
    fn send_fragment<O: PackOutput>(
        &mut self,
        cut: Mark,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        if let (Some(first), Some(last), Some(open)) = (&self.first, &self.last, &mut self.open) {
            let frontier = Frontier { place: open.begin.place.clone(), ..self.frontier.clone() };
            let pack = FinishedPack {
                rows: self.buffer.get(..cut.bytes).unwrap_or(&[]),
                row_count: cut.lines,
                first: first.to_place(),
                last: last.to_place(),
                next_seq: cut.seq,
                reached: Reached {
                    frontier: &frontier,
                    inside: Some(Inside { rows: open.ordinal, crc32: open.runs.value() }),
                },
            };
            output.send(pack).map_err(BuildError::Output)?;
            open.streamed = true;
        }
        self.drop_front(cut);
        Ok(())
    }

    /// Forgets the lines before `cut`, which have gone out.
    fn drop_front(&mut self, cut: Mark) {
        self.buffer.drain(..cut.bytes);
        let shift = |mark: Mark| Mark {
            bytes: mark.bytes.saturating_sub(cut.bytes),
            lines: mark.lines.saturating_sub(cut.lines),
            seq: mark.seq.max(cut.seq),
        };
        self.end = shift(self.end);
        self.finished = shift(self.finished);
        if let Some(open) = &mut self.open {
            for savepoint in &mut open.savepoints {
                savepoint.mark = savepoint.mark.filter(|mark| mark.bytes >= cut.bytes).map(shift);
            }
            open.held = shift(open.held);
        }
        // What is left, if anything, is the open transaction's.
        self.first = if self.end.lines > 0 { self.first_open.clone() } else { None };
        self.first_open = self.first.clone();
    }
}

impl Open {
    /// The next row was delivered before the break.
    fn leaves_out_next(&self) -> bool {
        self.leave_out.as_ref().is_some_and(|inside| self.ordinal < inside.rows)
    }
}

/// The place of one line, cheap to copy about.
#[derive(Debug, Clone)]
struct RowRef {
    gtid: Option<Arc<str>>,
    place: Place,
    row: u64,
    seq: u64,
}

impl RowRef {
    fn new(begin: &Begin, place: &Place) -> Self {
        let gtid = begin.gtid.as_ref().map(|gtid| Arc::clone(&gtid.text));
        Self { gtid, place: place.clone(), row: 0, seq: 0 }
    }

    fn to_place(&self) -> RowPlace {
        RowPlace {
            gtid: self.gtid.as_deref().map(str::to_owned),
            file: self.place.file.to_string(),
            pos: self.place.pos,
            row: self.row,
            seq: self.seq,
        }
    }
}
