//! The place in a server's binlog from which on everything lies that was committed since a time.
//!
//! Files are told apart by when they were begun (the server's clock) and by the time of the first transaction in them; in
//! the newest one that was begun before, the log is read up to the first transaction that is not older. Only headers and
//! what begins a transaction are looked at. A replica keeps the times of its source, or puts later ones in their place: MySQL
//! 8.0 and later the commit's (`original_commit_timestamp`), others the second in which the statement began.

use super::beside::Beside;
use super::beside::FIRST_EVENT;
use super::beside::POLL_TICK;
use crate::binlog::BinlogPosition;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::GtidEvent;
use crate::binlog::PositionTracker;
use crate::binlog::event_type as types;
use crate::binlog::position_tracker::Holes;
use crate::change::error::ChangeError;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::Poll;
use crate::pipeline::fault::Fault;

/// An event's header: timestamp 4, type 1, …
const TYPE_OFFSET: usize = 4;
const MS: u64 = 1000;

/// Looks for a place by time, over connections of its own.
pub(super) struct ByTime {
    pub beside: Beside,
    /// Milliseconds since 1970, whole seconds.
    pub since_ms: u64,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    At(BinlogPosition),
    /// The oldest file that is left was begun after the time, then (milliseconds since 1970).
    Purged {
        oldest: String,
        begun_ms: u64,
    },
}

impl ByTime {
    /// `files`: all that the server has, the oldest first. `end`: where its log ended before it was asked for them; what
    /// comes later lies behind.
    pub fn find(&self, files: &[String], end: &BinlogPosition) -> Result<Found, Fault> {
        let file = match self.file(files)? {
            Ok(file) => file,
            Err(purged) => return Ok(purged),
        };
        let mut walk = self.walk(file)?;
        while let Some(met) = walk.next(self)? {
            if met.ms >= self.since_ms {
                return Ok(Found::At(met.start));
            }
            if walk.reading.place() >= *end {
                break;
            }
        }
        let came_to = walk.reading.place();
        match came_to >= *end {
            true => Ok(Found::At(end.clone())),
            // A server that shuts down ends the stream too.
            false => Err(self
                .beside
                .fault(ChangeError::again(format!("reading {file} ended at {came_to}, before {end}")))),
        }
    }

    /// The newest file before which nothing lies that was committed since the time; else what the oldest one is.
    fn file<'f>(&self, files: &'f [String]) -> Result<Result<&'f str, Found>, Fault> {
        let (mut fits, mut too_new) = (0, files.len());
        while fits < too_new {
            let middle = fits.midpoint(too_new);
            let Some(file) = files.get(middle) else { break };
            match self.first(file)? {
                First { begun_ms, first_ms: Some(first_ms) }
                    if begun_ms <= self.since_ms && first_ms < self.since_ms =>
                {
                    fits = middle + 1;
                }
                _ => too_new = middle,
            }
        }
        if let Some(file) = fits.checked_sub(1).and_then(|index| files.get(index)) {
            return Ok(Ok(file));
        }
        // What the first transactions say may be later than when the file was begun.
        let oldest = files.first().map_or("", String::as_str);
        match self.first(oldest)?.begun_ms {
            begun_ms if begun_ms <= self.since_ms => Ok(Ok(oldest)),
            begun_ms => Ok(Err(Found::Purged { oldest: oldest.to_owned(), begun_ms })),
        }
    }

    /// How a file begins.
    fn first(&self, file: &str) -> Result<First, Fault> {
        let mut walk = self.walk(file)?;
        let met = walk.next(self)?.filter(|met| met.start.file == file);
        Ok(First {
            begun_ms: u64::from(walk.reading.begun.unwrap_or(u32::MAX)) * MS,
            first_ms: met.map(|met| met.ms),
        })
    }

    fn walk(&self, file: &str) -> Result<Walk, Fault> {
        let stream = self.beside.read(file)?;
        let reading = Reading {
            decoder: Decoder::new(stream.announced_algorithm()),
            tracker: PositionTracker::new(FIRST_EVENT, Holes::Events),
            file: file.to_owned(),
            begun: None,
            by_gtid: false,
            transaction: None,
        };
        Ok(Walk { stream, reading })
    }
}

struct First {
    begun_ms: u64,
    /// None where the file holds no transaction.
    first_ms: Option<u64>,
}

/// One reading of a log from a file's beginning on.
struct Walk {
    stream: BinlogStream,
    reading: Reading,
}

/// An event of a transaction.
#[derive(Debug, PartialEq, Eq)]
struct Met {
    /// Where the transaction starts.
    start: BinlogPosition,
    /// When it was committed, as far as this event tells; milliseconds since 1970.
    ms: u64,
}

impl Walk {
    /// Reads on to the next event of a transaction; none at the end of the log.
    fn next(&mut self, search: &ByTime) -> Result<Option<Met>, Fault> {
        loop {
            match self.stream.poll(POLL_TICK).map_err(|error| search.beside.lost(&error))? {
                Poll::Event(bytes) => match self.reading.take(bytes) {
                    Ok(None) => {}
                    Ok(met) => return Ok(met),
                    Err(error) => {
                        let text = format!("{}: {}", self.reading.place(), error.text);
                        return Err(search.beside.fault(ChangeError { text, ..error }));
                    }
                },
                Poll::Idle if search.beside.stop.requested() => {
                    return Err(search
                        .beside
                        .fault(ChangeError::again("asked to stop while reading the log by time")));
                }
                Poll::Idle => {}
                Poll::End => return Ok(None),
            }
        }
    }
}

struct Reading {
    decoder: Decoder,
    tracker: PositionTracker,
    file: String,
    /// When the first file was begun, in seconds since 1970.
    begun: Option<u32>,
    /// Each transaction of this file begins with a GTID event, and with no other.
    by_gtid: bool,
    transaction: Option<Transaction>,
}

#[derive(Debug, Clone, Copy)]
struct Transaction {
    start: u64,
    /// It ends with COMMIT, and not with its only statement.
    has_begin: bool,
}

impl Reading {
    fn place(&self) -> BinlogPosition {
        BinlogPosition::new(self.file.clone(), self.tracker.position())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Option<Met>, ChangeError> {
        let event_type = bytes.get(TYPE_OFFSET).copied().unwrap_or(types::UNKNOWN_EVENT);
        match event_type {
            types::FORMAT_DESCRIPTION_EVENT
            | types::ROTATE_EVENT
            | types::GTID_LOG_EVENT
            | types::ANONYMOUS_GTID_LOG_EVENT
            | types::GTID_TAGGED_LOG_EVENT
            | types::QUERY_EVENT => self.decode(bytes),
            // Heartbeats stand in no file.
            types::HEARTBEAT_LOG_EVENT | types::HEARTBEAT_LOG_EVENT_V2 => Ok(None),
            _ => {
                let header = EventHeader::parse(bytes)?;
                let start = self.tracker.advance(&header)?.start;
                if header.is_artificial() || is_of_no_transaction(event_type) {
                    return Ok(None);
                }
                if event_type == types::GTID_EVENT {
                    self.announced(start);
                }
                let met = self.met(start, seconds(&header));
                if event_type == types::XID_EVENT {
                    self.ended();
                }
                Ok(Some(met))
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<Option<Met>, ChangeError> {
        let (header, event) = self.decoder.decode(bytes)?;
        let start = self.tracker.advance(&header)?.start;
        match event {
            Event::Rotate(rotate) => {
                self.tracker.reset(rotate.position);
                self.file = rotate.file.to_owned();
                Ok(None)
            }
            Event::FormatDescription(_) => {
                self.begun.get_or_insert(header.timestamp);
                (self.by_gtid, self.transaction) = (false, None);
                Ok(None)
            }
            Event::Gtid(gtid) => {
                self.announced(start);
                Ok(Some(self.met(start, committed(&gtid).max(seconds(&header)))))
            }
            Event::Query(query) => {
                let met = self.met(start, seconds(&header));
                self.statement(query.sql);
                Ok(Some(met))
            }
            _ => Ok(None),
        }
    }

    fn met(&mut self, start: u64, ms: u64) -> Met {
        let transaction = self.transaction.get_or_insert(Transaction { start, has_begin: false });
        Met { start: BinlogPosition::new(self.file.clone(), transaction.start), ms }
    }

    fn announced(&mut self, start: u64) {
        self.by_gtid = true;
        self.transaction = Some(Transaction { start, has_begin: false });
    }

    /// Where no GTID events do, statements tell where a transaction ends (as servers write them: without a semicolon).
    fn statement(&mut self, sql: &[u8]) {
        let is = |word: &str| sql.trim_ascii().eq_ignore_ascii_case(word.as_bytes());
        match &mut self.transaction {
            Some(transaction) if is("BEGIN") => transaction.has_begin = true,
            Some(transaction) if !transaction.has_begin => self.ended(),
            Some(_) if is("COMMIT") || is("ROLLBACK") => self.ended(),
            _ => {}
        }
    }

    fn ended(&mut self) {
        if !self.by_gtid {
            self.transaction = None;
        }
    }
}

/// The later of both: a replica that keeps no original time tells its own.
fn committed(gtid: &GtidEvent) -> u64 {
    let told = [gtid.original_commit_timestamp, gtid.immediate_commit_timestamp];
    told.into_iter().flatten().max().unwrap_or(0) / 1000
}

fn seconds(header: &EventHeader) -> u64 {
    u64::from(header.timestamp) * MS
}

fn is_of_no_transaction(event_type: u8) -> bool {
    matches!(
        event_type,
        types::STOP_EVENT
            | types::INCIDENT_EVENT
            | types::IGNORABLE_LOG_EVENT
            | types::PREVIOUS_GTIDS_LOG_EVENT
            | types::VIEW_CHANGE_EVENT
            | types::BINLOG_CHECKPOINT_EVENT
            | types::GTID_LIST_EVENT
            | types::START_ENCRYPTION_EVENT
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing;

    fn reading() -> Reading {
        Reading {
            decoder: Decoder::default(),
            tracker: PositionTracker::new(FIRST_EVENT, Holes::Events),
            file: "b.1".to_owned(),
            begun: None,
            by_gtid: false,
            transaction: None,
        }
    }

    /// Servers of before GTIDs: of each event the one with which its transaction starts. No words: other events.
    #[test]
    fn transactions_are_told_apart_by_their_statements() {
        let events = [
            ("BEGIN", 0),
            ("", 0),
            ("SAVEPOINT s", 0),
            ("ROLLBACK TO s", 0),
            ("COMMIT", 0),
            ("CREATE TABLE t (a int)", 5),
            ("", 6),
            ("INSERT INTO t VALUES (1)", 6),
            ("BEGIN", 8),
            ("", 8),
            ("ROLLBACK", 8),
            ("begin", 11),
        ];
        let mut reading = reading();
        for (number, (sql, start)) in (0..).zip(events) {
            assert_eq!(reading.met(number, 0).start.pos, start, "event {number}");
            if !sql.is_empty() {
                reading.statement(sql.as_bytes());
            }
        }
    }

    /// Where there are GTID events each transaction begins at one; the file of MySQL 5.6 has none.
    #[test]
    fn transactions_begin_at_their_gtid_events() {
        for name in [
            "mysql56.bin",
            "mysql56_gtid.bin",
            "mysql97_full.bin",
            "mysql97_tagged.bin",
            "mysql97_compressed.bin",
            "mariadb.bin",
        ] {
            let mut reading = reading();
            let (mut gtids, mut starts) = (Vec::new(), Vec::new());
            for (pos, bytes) in testing::fixture(name) {
                let event_type = bytes[TYPE_OFFSET];
                gtids.extend((33..=34).contains(&event_type).then_some(pos));
                gtids.extend((event_type == 42 || event_type == 162).then_some(pos));
                let met = reading.take(&bytes).unwrap();
                starts.extend(
                    met.inspect(|met| assert!(met.ms > 1_600_000_000_000, "{name}")).map(|met| met.start.pos),
                );
            }
            starts.dedup();
            assert!(!starts.is_empty(), "{name}");
            assert_eq!(gtids.is_empty(), name == "mysql56.bin");
            if !gtids.is_empty() {
                assert_eq!(starts, gtids, "{name}");
            }
        }
    }
}
