//! Lines that wait to go out: those of finished transactions, and behind them those of the open one.
//!
//! Borders between lines are counted in the stream of all lines, sent ones included, so that one stays true when lines
//! before it go out.

use crate::change::batch::Begin;
use crate::change::batch::Place;
use crate::pack::header::RowPlace;
use std::sync::Arc;

/// A border between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Border {
    /// Bytes of all lines before it, since the builder was made.
    offset: u64,
    /// The number of the line behind it.
    seq: u64,
}

/// The end of the lines at some time, to come back to.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    border: Border,
    /// The open transaction's last line then.
    last: Option<LinePlace>,
}

impl Kept {
    pub fn is_before(&self, other: &Kept) -> bool {
        self.border < other.border
    }
}

/// The waiting lines; see the module's page.
#[derive(Debug)]
pub(super) struct Waiting {
    text: Vec<u8>,
    /// The end of what has gone out: here `text` begins.
    sent: Border,
    /// The end of the finished transactions' lines.
    finished: Border,
    end: Border,
    finished_places: Option<Places>,
    open_places: Option<Places>,
}

/// The first and the last of some lines.
#[derive(Debug)]
struct Places {
    first: LinePlace,
    last: LinePlace,
}

/// Lines that can go out as a pack.
#[derive(Debug)]
pub(super) struct PackLines<'a> {
    pub rows: &'a [u8],
    pub row_count: u64,
    pub first: RowPlace,
    pub last: RowPlace,
    pub next_seq: u64,
}

impl Waiting {
    pub fn new(next_seq: u64) -> Self {
        let start = Border { offset: 0, seq: next_seq };
        Self {
            text: Vec::new(),
            sent: start,
            finished: start,
            end: start,
            finished_places: None,
            open_places: None,
        }
    }

    /// The next line's number.
    pub fn next_seq(&self) -> u64 {
        self.end.seq
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Lines that wait.
    pub fn lines(&self) -> u64 {
        self.end.seq - self.sent.seq
    }

    pub fn has_finished(&self) -> bool {
        self.finished > self.sent
    }

    /// Where the next line is to be written, line end included. [`Self::line_written`] must follow.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Counts the line that was written, and tells where it begins.
    pub fn line_written(&mut self) -> Border {
        let start = self.end;
        self.end = Border { offset: self.sent.offset + self.text.len() as u64, seq: start.seq + 1 };
        start
    }

    /// Notes the place of the line that was counted last.
    #[inline]
    pub fn note(&mut self, line: &LinePlace) {
        match &mut self.open_places {
            Some(Places { last, .. }) if last.is_in_event_of(line) => {
                (last.row, last.seq) = (line.row, line.seq);
            }
            Some(Places { last, .. }) => *last = line.clone(),
            None => self.open_places = Some(Places { first: line.clone(), last: line.clone() }),
        }
    }

    /// The open transaction is finished.
    pub fn finish(&mut self) {
        self.finished = self.end;
        if let Some(Places { first, last }) = self.open_places.take() {
            match &mut self.finished_places {
                Some(places) => places.last = last,
                None => self.finished_places = Some(Places { first, last }),
            }
        }
    }

    pub fn kept(&self) -> Kept {
        Kept { border: self.end, last: self.open_places.as_ref().map(|places| places.last.clone()) }
    }

    /// Drops the lines behind `kept`. False, and nothing dropped, when some of them have gone out.
    pub fn cut_back(&mut self, kept: &Kept) -> bool {
        if kept.border < self.finished {
            return false;
        }
        self.truncate(kept.border);
        match (&mut self.open_places, &kept.last) {
            (Some(places), Some(last)) if kept.border > self.finished => places.last = last.clone(),
            (places, _) => *places = None,
        }
        true
    }

    /// Drops all lines of the open transaction.
    pub fn drop_open(&mut self) {
        self.truncate(self.finished);
        self.open_places = None;
    }

    fn truncate(&mut self, border: Border) {
        self.text.truncate(self.index(border));
        self.end = border;
    }

    /// Where a border lies in `text`.
    fn index(&self, border: Border) -> usize {
        // The difference is at most the length of `text`.
        usize::try_from(border.offset.saturating_sub(self.sent.offset)).unwrap_or(usize::MAX)
    }

    /// The finished transactions' lines, if there are any.
    pub fn finished_lines(&self) -> Option<PackLines<'_>> {
        self.lines_before(self.finished, self.finished_places.as_ref()?)
    }

    /// The open transaction's lines before a border; all of them but perhaps one that is not noted yet. For when no
    /// finished ones are left.
    pub fn open_lines(&self, cut: Border) -> Option<PackLines<'_>> {
        self.lines_before(cut, self.open_places.as_ref()?)
    }

    fn lines_before(&self, cut: Border, places: &Places) -> Option<PackLines<'_>> {
        Some(PackLines {
            rows: self.text.get(..self.index(cut))?,
            row_count: cut.seq - self.sent.seq,
            first: places.first.to_row_place(),
            last: places.last.to_row_place(),
            next_seq: cut.seq,
        })
    }

    /// [`Self::finished_lines`] have gone out.
    pub fn finished_sent(&mut self) {
        self.drop_front(self.finished);
        self.finished_places = None;
    }

    /// [`Self::open_lines`] have gone out.
    pub fn open_sent(&mut self, cut: Border) {
        self.drop_front(cut);
        self.finished = cut;
        self.open_places = None;
    }

    fn drop_front(&mut self, cut: Border) {
        let length = self.index(cut).min(self.text.len());
        self.text.drain(..length);
        self.sent = cut;
    }

    /// The end of all lines.
    pub fn end(&self) -> Border {
        self.end
    }
}

/// The place of one line, cheap to copy about.
#[derive(Debug, Clone)]
pub(super) struct LinePlace {
    gtid: Option<Arc<str>>,
    place: Place,
    pub row: u64,
    pub seq: u64,
}

impl LinePlace {
    /// A line of an event at `place`.
    pub fn new(begin: &Begin, place: &Place, row: u64, seq: u64) -> Self {
        let gtid = begin.gtid.as_ref().map(|gtid| Arc::clone(&gtid.text));
        Self { gtid, place: place.clone(), row, seq }
    }

    /// A line that stands for no event.
    pub fn of_gap(gtid: Option<&str>, place: &Place, seq: u64) -> Self {
        Self { gtid: gtid.map(Arc::from), place: place.clone(), row: 0, seq }
    }

    fn is_in_event_of(&self, other: &Self) -> bool {
        // Both are lines of the same transaction.
        self.place.pos == other.place.pos && Arc::ptr_eq(&self.place.file, &other.place.file)
    }

    fn to_row_place(&self) -> RowPlace {
        RowPlace {
            gtid: self.gtid.as_deref().map(str::to_owned),
            file: self.place.file.to_string(),
            pos: self.place.pos,
            row: self.row,
            seq: self.seq,
        }
    }
}
