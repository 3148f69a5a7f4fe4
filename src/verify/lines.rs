//! The lines of one pack: JSON of the right shard, numbered without hole or repeat, none of them delivered before.
//!
//! What was delivered before is told by the point of the pack before: no line may lie in front of it, except of a
//! transaction that the point itself leaves open. Inside a pack no transaction may come twice. So the proof needs no
//! memory of earlier packs.

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::Gtid;
use crate::binlog::MariadbGtid;
use crate::pack::header::PackHeader;
use crate::pack::header::RowPlace;
use crate::sync_point::SyncPoint;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;

/// Something wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Ordinal of the line in its pack, from 0.
    pub line: u64,
    /// Where in the pack's bytes it begins.
    pub offset: u64,
    pub text: String,
    pub expected: String,
    pub got: String,
}

/// What the lines tell besides being right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackLines {
    /// The pack begins with a `gap` line, which accounts for a jump in front of it.
    pub begins_with_gap: bool,
    /// The `gap` lines: ordinal in the pack and reason.
    pub gaps: Vec<(u64, String)>,
}

/// A text that is borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a line that every proof needs; the others are read over.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    op: Text<'a>,
    #[serde(borrow)]
    shard: Option<Text<'a>>,
    #[serde(borrow)]
    gtid: Option<Text<'a>>,
    #[serde(borrow)]
    file: Option<Text<'a>>,
    pos: Option<u64>,
    row: Option<u64>,
    seq: Option<u64>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

impl Line<'_> {
    fn is_row(&self) -> bool {
        matches!(&*self.op.0, "insert" | "update" | "delete")
    }

    fn place(&self) -> Option<RowPlace> {
        Some(RowPlace {
            gtid: self.gtid.as_ref().map(|gtid| gtid.0.clone().into_owned()),
            file: self.file.as_ref()?.0.clone().into_owned(),
            pos: self.pos?,
            row: self.row?,
            seq: self.seq?,
        })
    }
}

/// Expected and got behind what is wrong.
type Wrong = (String, String, String);

fn wrong(text: impl Into<String>, expected: impl ToString, got: impl ToString) -> Wrong {
    (text.into(), expected.to_string(), got.to_string())
}

/// Checks the rows of a pack whose CRC-32 is right. `previous` is the header of the pack before it, if that is known.
pub fn check_lines(
    header: &PackHeader,
    rows: &[u8],
    previous: Option<&PackHeader>,
) -> Result<PackLines, LineFault> {
    let mut check = Check::new(header, previous);
    let mut offset = 0;
    let mut number = 0;
    for text in rows.split_inclusive(|byte| *byte == b'\n') {
        check.line(number, text).map_err(|(text, expected, got)| LineFault {
            line: number,
            offset,
            text,
            expected,
            got,
        })?;
        offset += text.len() as u64;
        number += 1;
    }
    let (text, expected, got) = match check.end(number) {
        Ok(lines) => return Ok(lines),
        Err(wrong) => wrong,
    };
    Err(LineFault { line: number.saturating_sub(1), offset, text, expected, got })
}

struct Check<'a> {
    header: &'a PackHeader,
    /// Everything before it is delivered.
    before: Option<&'a SyncPoint>,
    lines: PackLines,
    next_seq: u64,
    last: Option<RowPlace>,
    current: Current,
    /// Transactions that are over.
    over: HashSet<String>,
    /// Events of the log that lines without GTID were of.
    events: HashSet<(String, u64)>,
}

/// The transaction that lines are of now.
#[derive(Default)]
struct Current {
    gtid: Option<String>,
    /// Without GTID: the event.
    file: String,
    pos: u64,
    /// No line that follows may have a lower ordinal.
    floor: u64,
}

impl<'a> Check<'a> {
    fn new(header: &'a PackHeader, previous: Option<&'a PackHeader>) -> Self {
        let mut current = Current::default();
        if let Some(previous) = previous.filter(|previous| previous.last.gtid.is_none()) {
            current.file.clone_from(&previous.last.file);
            current.pos = previous.last.pos;
            current.floor = previous.last.row;
        }
        Self {
            header,
            before: previous.map(|previous| &previous.point),
            lines: PackLines::default(),
            next_seq: header.first.seq,
            last: None,
            current,
            over: HashSet::new(),
            events: HashSet::new(),
        }
    }

    fn line(&mut self, number: u64, text: &[u8]) -> Result<(), Wrong> {
        let line: Line<'_> = serde_json::from_slice(text)
            .map_err(|error| wrong(format!("no line of rows ({error})"), "a JSON object", shown(text)))?;
        let shard = line.shard.as_ref().map_or("none", |shard| &shard.0);
        if shard != self.header.shard {
            return Err(wrong("a line of another shard", &self.header.shard, shard));
        }
        if line.seq != Some(self.next_seq) {
            let got = line.seq.map_or("none".to_owned(), |seq| seq.to_string());
            return Err(wrong("seq does not go on", self.next_seq, got));
        }
        self.next_seq += 1;
        if &*line.op.0 == "gap" {
            let reason = line.reason.map(|reason| reason.0.into_owned()).unwrap_or_default();
            self.lines.gaps.push((number, reason));
            self.lines.begins_with_gap |= number == 0;
            // What was delivered in part may be delivered again behind it.
            (self.before, self.current) = (None, Current::default());
            self.last = None;
            return Ok(());
        }
        let place = line.place();
        let place = place.ok_or_else(|| wrong("a line without its place", "file, pos and row", "not all"))?;
        if number == 0 && place != self.header.first {
            return Err(wrong("the first line is not the header's", told(&self.header.first), told(&place)));
        }
        match &line.gtid {
            Some(gtid) => self.of_transaction(&gtid.0, &place)?,
            None => self.of_event(&place)?,
        }
        self.current.floor = place.row + u64::from(line.is_row());
        self.last = Some(place);
        Ok(())
    }

    /// A line with a GTID: of the transaction at work, or of one that has not been there.
    fn of_transaction(&mut self, gtid: &str, place: &RowPlace) -> Result<(), Wrong> {
        if self.current.gtid.as_deref() != Some(gtid) {
            let inside = self.before.and_then(|before| before.inside.as_ref());
            let resumed = inside.filter(|inside| inside.gtid.as_deref() == Some(gtid));
            if self.over.contains(gtid) {
                return Err(wrong("a transaction comes twice in one pack", "a new one", gtid));
            }
            if resumed.is_none() && self.before.is_some_and(|before| is_delivered(before, gtid, place)) {
                return Err(wrong(
                    "a transaction that the pack before has finished comes again",
                    "a new one",
                    gtid,
                ));
            }
            let floor = resumed.map_or(0, |inside| inside.rows);
            let over = self.current.gtid.replace(gtid.to_owned());
            self.over.extend(over);
            self.current.floor = floor;
        }
        self.check_floor(place)
    }

    /// A line without GTID: its event's place tells whether it has been there.
    fn of_event(&mut self, place: &RowPlace) -> Result<(), Wrong> {
        if (self.current.file.as_str(), self.current.pos) == (place.file.as_str(), place.pos) {
            return self.check_floor(place);
        }
        let here = BinlogPosition::new(place.file.as_str(), place.pos);
        if self.events.contains(&(place.file.clone(), place.pos))
            || self.before.is_some_and(|before| lies_before(&here, before) && !is_pending(before, &here))
        {
            return Err(wrong("an event that was delivered comes again", "a later one", here));
        }
        if !self.current.file.is_empty() {
            self.events.insert((std::mem::take(&mut self.current.file), self.current.pos));
        }
        self.current = Current { gtid: None, file: place.file.clone(), pos: place.pos, floor: 0 };
        Ok(())
    }

    fn check_floor(&self, place: &RowPlace) -> Result<(), Wrong> {
        match place.row < self.current.floor {
            true => Err(wrong(
                "a row comes again, or falls",
                format!("{} or more", self.current.floor),
                place.row,
            )),
            false => Ok(()),
        }
    }

    fn end(self, lines: u64) -> Result<PackLines, Wrong> {
        let header = self.header;
        if lines != header.rows {
            return Err(wrong("the pack has another number of lines", header.rows, lines));
        }
        if self.next_seq != header.next_seq || header.last.seq + 1 != header.next_seq {
            return Err(wrong("the header's next_seq does not fit", self.next_seq, header.next_seq));
        }
        if let Some(last) = self.last.filter(|last| *last != header.last) {
            return Err(wrong("the last line is not the header's", told(&header.last), told(&last)));
        }
        Ok(self.lines)
    }
}

/// Whether a point says that a transaction is finished, going by its name.
fn is_delivered(point: &SyncPoint, gtid: &str, place: &RowPlace) -> bool {
    if point.pending_xa.iter().any(|xa| xa.gtid.as_deref() == Some(gtid)) {
        return false;
    }
    match &point.executed {
        Some(ExecutedGtids::Mysql(set)) => gtid.parse::<Gtid>().is_ok_and(|gtid| set.contains(&gtid)),
        Some(ExecutedGtids::Mariadb(position)) => {
            let reached = gtid
                .parse::<MariadbGtid>()
                .ok()
                .and_then(|gtid| position.get(gtid.domain).map(|last| last.sequence >= gtid.sequence));
            // Without gtid_strict_mode numbers may fall in a domain; what lies behind the place is new all the same.
            let here = BinlogPosition::new(place.file.as_str(), place.pos);
            reached.unwrap_or(false) && !lies_behind(&here, point)
        }
        Some(ExecutedGtids::Group(last)) => gtid.parse::<u64>().is_ok_and(|gtid| gtid <= *last),
        None => false,
    }
}

/// Whether an event may be of an XA transaction without a name that was prepared before the point, and comes when it is
/// committed. It lies in one file.
fn is_pending(point: &SyncPoint, place: &BinlogPosition) -> bool {
    point.pending_xa.iter().any(|xa| xa.gtid.is_none() && xa.file == place.file && xa.pos <= place.pos)
}

fn lies_before(place: &BinlogPosition, point: &SyncPoint) -> bool {
    !point.set_ahead && *place < BinlogPosition::new(point.file.as_str(), point.pos)
}

fn lies_behind(place: &BinlogPosition, point: &SyncPoint) -> bool {
    !point.set_ahead && *place >= BinlogPosition::new(point.file.as_str(), point.pos)
}

fn told(place: &RowPlace) -> String {
    let gtid = place.gtid.as_ref().map(|gtid| format!("{gtid} ")).unwrap_or_default();
    format!("{gtid}{}:{} row {} seq {}", place.file, place.pos, place.row, place.seq)
}

/// The beginning of a line, for a message.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let cut = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    text.get(..cut).unwrap_or_default().trim_end().to_owned()
}
