//! The scout: reads ahead in a server's binlog, over a connection of its own, for the DDL that lies between rows and the
//! log's end. Rows are not looked at. What was read once is remembered, so that a backlog is read once in all.

use crate::binlog::BinlogPosition;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::Flavor;
use crate::binlog::PayloadEvent;
use crate::binlog::PayloadReader;
use crate::binlog::PositionTracker;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT_V2;
use crate::binlog::event_type::INCIDENT_EVENT;
use crate::binlog::event_type::QUERY_COMPRESSED_EVENT;
use crate::binlog::event_type::QUERY_EVENT;
use crate::binlog::event_type::ROTATE_EVENT;
use crate::binlog::event_type::TRANSACTION_PAYLOAD_EVENT;
use crate::binlog::position_tracker::Holes;
use crate::change::assembler::touching::Touching;
use crate::change::assembler::touching::touching;
use crate::change::error::ChangeError;
use crate::change::sql::Touched;
use crate::code::Code;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::Poll;
use crate::mysql::connection::Connection;
use crate::pipeline::definitions::change_error;
use crate::stop::Stop;
use std::cmp::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How long a read waits before a stop is looked at.
const POLL_TICK: Duration = Duration::from_millis(200);
/// A look ahead that takes longer than this is told.
const LONG: Duration = Duration::from_secs(5);
/// An event's header: timestamp 4, type 1, …
const TYPE_OFFSET: usize = 4;

/// DDL that lies ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDdl {
    pub at: BinlogPosition,
    pub touching: Touching,
}

/// What is known of a stretch of the log.
#[derive(Debug, Default)]
pub struct Scouted {
    /// From here up to there all DDL is known.
    covered: Option<(BinlogPosition, BinlogPosition)>,
    found: Vec<FoundDdl>,
}

impl Scouted {
    /// Whether all DDL of that stretch is known.
    pub fn covers(&self, from: &BinlogPosition, to: &BinlogPosition) -> bool {
        self.covered.as_ref().is_some_and(|(begin, end)| begin <= from && to <= end)
    }

    /// How far the log is known.
    pub fn end(&self) -> Option<&BinlogPosition> {
        self.covered.as_ref().map(|(_, end)| end)
    }

    /// Where to read on, so that `from` and what follows becomes known.
    pub fn read_on_from(&self, from: &BinlogPosition) -> BinlogPosition {
        match &self.covered {
            Some((begin, end)) if begin <= from && from <= end => end.clone(),
            _ => from.clone(),
        }
    }

    /// The first DDL of a table that lies at `from` or behind, and before `to`.
    pub fn first_touching(
        &self,
        (from, to): (&BinlogPosition, &BinlogPosition),
        database: &str,
        table: &str,
    ) -> Option<&FoundDdl> {
        let lies = |ddl: &&FoundDdl| ddl.at >= *from && ddl.at < *to;
        self.found.iter().filter(lies).find(|ddl| ddl.touching.touched.touches(database, table))
    }

    /// Takes in what a look ahead from `from` to `to` has found.
    fn learn(&mut self, from: BinlogPosition, to: BinlogPosition, mut found: Vec<FoundDdl>) {
        match &mut self.covered {
            Some((_, end)) if *end == from => {
                *end = to;
                self.found.append(&mut found);
            }
            covered => {
                *covered = Some((from, to));
                self.found = found;
            }
        }
    }

    /// The stream is past this place: what lies before it is of no more use.
    pub fn passed(&mut self, at: &BinlogPosition) {
        self.found.retain(|ddl| !is_before(&ddl.at, at));
    }

    /// Reads from a place to the end of the server's binlog.
    pub fn read_to_end(
        &mut self,
        connection: Connection,
        from: BinlogPosition,
        max_event_bytes: u64,
        stop: &Stop,
    ) -> Result<(), ChangeError> {
        let began = Instant::now();
        let stream = BinlogStream::start_to_end(connection, &from.file, from.pos).map_err(change_error);
        let mut stream = stream.map_err(|error| met_ahead(error, &from))?;
        let mut reading = Reading::new(&stream, &from, max_event_bytes);
        loop {
            let polled =
                stream.poll(POLL_TICK).map_err(|error| met_ahead(change_error(error), &reading.place()));
            match polled? {
                Poll::Event(bytes) => {
                    reading.take(bytes).map_err(|error| met_ahead(error, &reading.place()))?;
                }
                Poll::Idle if stop.requested() => {
                    return Err(ChangeError::again("asked to stop while reading ahead for DDL"));
                }
                Poll::Idle => {}
                Poll::End => break,
            }
        }
        let end = reading.place();
        let (took, bytes) = (began.elapsed(), stream.bytes_received());
        let level = if took > LONG { log::Level::Info } else { log::Level::Debug };
        log::log!(
            level,
            "read ahead for DDL from {from} to {end}: {} MB in {:.1} s, {} found",
            bytes >> 20,
            took.as_secs_f64(),
            reading.found.len()
        );
        match from.partial_cmp(&end) {
            Some(Ordering::Less | Ordering::Equal) => {}
            Some(Ordering::Greater) => {
                return Err(ChangeError::again(format!("reading ahead from {from} ended at {end}")));
            }
            None => {
                let text = format!(
                    "the binlog goes on under another name, from {from} to {end}: what lies between cannot be told, so no \
                     definition of now is proven to be that of the rows; supply it by schema_file"
                );
                return Err(ChangeError::new(Code::SchemaDiff, text));
            }
        }
        self.learn(from, end, reading.found);
        Ok(())
    }
}

/// The stream that waits for the look ahead stands elsewhere, and is sound. What lies behind damage cannot be known, so rows
/// in front of it that need a proof have none.
fn met_ahead(error: ChangeError, place: &BinlogPosition) -> ChangeError {
    let remedy = match error.code {
        _ if error.retry => "",
        Code::RightMissing | Code::AccessDenied => "",
        _ => {
            "; so no definition of now is proven to be that of the rows here: supply theirs by schema_file or by \"fountain schema \
             set\", or leave the table out by filter_shard_table_black"
        }
    };
    let text = format!("while reading ahead for DDL, at {place}: {}{remedy}", error.text);
    ChangeError { text, ..error }
}

/// Places in logs of different names are not before each other.
fn is_before(one: &BinlogPosition, other: &BinlogPosition) -> bool {
    one.partial_cmp(other) == Some(Ordering::Less)
}

/// One look ahead.
struct Reading {
    decoder: Decoder,
    tracker: PositionTracker,
    file: String,
    /// What lies before was read by others.
    from: BinlogPosition,
    max_event_bytes: u64,
    found: Vec<FoundDdl>,
}

impl Reading {
    fn new(stream: &BinlogStream, from: &BinlogPosition, max_event_bytes: u64) -> Self {
        Self {
            decoder: Decoder::new(stream.announced_algorithm()),
            tracker: PositionTracker::new(from.pos, Holes::Events),
            file: from.file.clone(),
            from: from.clone(),
            max_event_bytes,
            found: Vec::new(),
        }
    }

    fn place(&self) -> BinlogPosition {
        BinlogPosition::new(self.file.clone(), self.tracker.position())
    }

    /// Only what may say something about DDL is decoded; of the rest the header tells the place.
    fn take(&mut self, bytes: &[u8]) -> Result<(), ChangeError> {
        match bytes.get(TYPE_OFFSET).copied() {
            Some(
                FORMAT_DESCRIPTION_EVENT
                | ROTATE_EVENT
                | QUERY_EVENT
                | QUERY_COMPRESSED_EVENT
                | TRANSACTION_PAYLOAD_EVENT
                | INCIDENT_EVENT,
            ) => self.decode(bytes),
            // Heartbeats stand in no file.
            Some(HEARTBEAT_LOG_EVENT | HEARTBEAT_LOG_EVENT_V2) => Ok(()),
            _ => {
                let header = EventHeader::parse(bytes)?;
                self.tracker.advance(&header).map(drop).map_err(ChangeError::from)
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<(), ChangeError> {
        let (header, event) = self.decoder.decode(bytes)?;
        let span = self.tracker.advance(&header)?;
        match event {
            Event::Rotate(rotate) => {
                self.tracker.reset(rotate.position);
                self.file = rotate.file.to_owned();
                Ok(())
            }
            Event::Payload(payload) => self.payload(&payload, span.start),
            Event::MariadbCompressed(compressed) => {
                let unpacked = compressed.unpack(self.max_event_bytes)?;
                self.event(&compressed.with(&unpacked), span.start);
                Ok(())
            }
            event => {
                self.event(&event, span.start);
                Ok(())
            }
        }
    }

    /// DDL commits what was before it, so inside of a transaction it can only stand in front of the first rows
    /// (CREATE TABLE … SELECT): no more of a compressed one is unpacked.
    fn payload(&mut self, payload: &PayloadEvent<'_>, start: u64) -> Result<(), ChangeError> {
        let mut reader = PayloadReader::new(payload, self.max_event_bytes)?;
        let mut touched = Vec::new();
        while let Some(bytes) = reader.next_event()? {
            match self.decoder.decode_inner(bytes)?.1 {
                Event::Query(query) => touched.extend(touching(&query, self.flavor())),
                Event::TableMap(_) | Event::Rows(_) => break,
                _ => {}
            }
        }
        touched.into_iter().for_each(|touching| self.note(touching, start));
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, start: u64) {
        match event {
            Event::Query(query) => {
                if let Some(touching) = touching(query, self.flavor()) {
                    self.note(touching, start);
                }
            }
            // Nobody knows what is missing there.
            Event::Incident(_) => {
                let text = "an incident: events are missing".to_owned();
                self.note(Touching { touched: Touched::Everything, text }, start);
            }
            _ => {}
        }
    }

    fn flavor(&self) -> Flavor {
        self.decoder.format().map(|format| format.flavor).unwrap_or_default()
    }

    fn note(&mut self, touching: Touching, start: u64) {
        let at = BinlogPosition::new(self.file.clone(), start);
        if !is_before(&at, &self.from) {
            self.found.push(FoundDdl { at, touching });
        }
    }
}
