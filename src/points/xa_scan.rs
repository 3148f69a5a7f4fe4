//! Reading a stretch of a server's binlog for what becomes of XA transactions in it: which are prepared there, and which
//! are committed or rolled back. Rows are not looked at.

use crate::binlog::AnyGtid;
use crate::binlog::BinlogPosition;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::ExecutedGtids;
use crate::binlog::MariadbGtidPosition;
use crate::binlog::PayloadEvent;
use crate::binlog::PayloadReader;
use crate::binlog::PositionTracker;
use crate::binlog::event_type::ANONYMOUS_GTID_LOG_EVENT;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::event_type::GTID_EVENT;
use crate::binlog::event_type::GTID_LOG_EVENT;
use crate::binlog::event_type::GTID_TAGGED_LOG_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT_V2;
use crate::binlog::event_type::QUERY_COMPRESSED_EVENT;
use crate::binlog::event_type::QUERY_EVENT;
use crate::binlog::event_type::ROTATE_EVENT;
use crate::binlog::event_type::TRANSACTION_PAYLOAD_EVENT;
use crate::binlog::event_type::XA_PREPARE_LOG_EVENT;
use crate::binlog::position_tracker::Holes;
use crate::change::error::ChangeError;
use crate::change::sql;
use crate::change::sql::Quoting;
use crate::change::sql::Sql;
use crate::change::sql::Statement;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::Poll;
use crate::mysql::connection::Connection;
use crate::sync_point::SyncPoint;
use crate::sync_point::pending_xa::PendingXa;
use std::time::Duration;

/// How long one read waits.
const POLL_TICK: Duration = Duration::from_millis(200);
/// An event's header: timestamp 4, type 1, …
const TYPE_OFFSET: usize = 4;

/// What became of an XA transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Prepared,
    Committed,
    RolledBack,
}

/// A transaction in the log that prepares an XA transaction, or decides on one.
#[derive(Debug)]
pub struct Met {
    pub fate: Fate,
    /// Where it starts and what it is called; `xid` is the XA transaction's name.
    pub xa: PendingXa,
}

/// Reads from a point's place, before which all lies that it holds, to `end`, and hands over what it meets.
pub fn read(
    connection: Connection,
    from: &SyncPoint,
    end: &BinlogPosition,
    max_event_bytes: u64,
    meet: &mut dyn FnMut(Met),
) -> Result<(), ChangeError> {
    let lost = |error: crate::mysql::error::SourceError| ChangeError::new(error.code(), error.to_string());
    let mut stream = BinlogStream::start_to_end(connection, &from.file, from.pos).map_err(lost)?;
    let mut reading = Reading::new(&stream, from, max_event_bytes);
    loop {
        match stream.poll(POLL_TICK).map_err(lost)? {
            Poll::Event(bytes) => reading.take(bytes, meet)?,
            Poll::Idle => {}
            Poll::End => break,
        }
        if reading.place() >= *end {
            break;
        }
    }
    // A server that shuts down ends the stream too.
    match reading.place() >= *end {
        true => Ok(()),
        false => Err(ChangeError::again(format!(
            "reading from {}:{} ended at {}, before {end}",
            from.file,
            from.pos,
            reading.place()
        ))),
    }
}

struct Reading {
    decoder: Decoder,
    tracker: PositionTracker,
    file: String,
    file_created: u32,
    max_event_bytes: u64,
    /// The transaction that is being read.
    begun: Option<(u64, Option<AnyGtid>)>,
    /// MariaDB: the GTIDs that lie before it.
    before: Option<MariadbGtidPosition>,
}

impl Reading {
    fn new(stream: &BinlogStream, from: &SyncPoint, max_event_bytes: u64) -> Self {
        Self {
            decoder: Decoder::new(stream.announced_algorithm()),
            tracker: PositionTracker::new(from.pos, Holes::Events),
            file: from.file.clone(),
            file_created: from.file_created,
            max_event_bytes,
            begun: None,
            before: from.executed.as_ref().and_then(ExecutedGtids::mariadb).cloned(),
        }
    }

    fn place(&self) -> BinlogPosition {
        BinlogPosition::new(self.file.clone(), self.tracker.position())
    }

    fn take(&mut self, bytes: &[u8], meet: &mut dyn FnMut(Met)) -> Result<(), ChangeError> {
        match bytes.get(TYPE_OFFSET).copied() {
            Some(
                FORMAT_DESCRIPTION_EVENT
                | ROTATE_EVENT
                | QUERY_EVENT
                | QUERY_COMPRESSED_EVENT
                | TRANSACTION_PAYLOAD_EVENT
                | GTID_LOG_EVENT
                | ANONYMOUS_GTID_LOG_EVENT
                | GTID_TAGGED_LOG_EVENT
                | GTID_EVENT
                | XA_PREPARE_LOG_EVENT,
            ) => self.decode(bytes, meet),
            // Heartbeats stand in no file.
            Some(HEARTBEAT_LOG_EVENT | HEARTBEAT_LOG_EVENT_V2) => Ok(()),
            _ => {
                let header = EventHeader::parse(bytes)?;
                self.tracker.advance(&header).map(drop).map_err(ChangeError::from)
            }
        }
    }

    fn decode(&mut self, bytes: &[u8], meet: &mut dyn FnMut(Met)) -> Result<(), ChangeError> {
        let (header, event) = self.decoder.decode(bytes)?;
        let span = self.tracker.advance(&header)?;
        match event {
            Event::Rotate(rotate) => {
                self.tracker.reset(rotate.position);
                self.file = rotate.file.to_owned();
            }
            Event::FormatDescription(_) => self.file_created = header.timestamp,
            Event::Payload(payload) => self.payload(&payload, meet)?,
            Event::MariadbCompressed(compressed) => {
                let unpacked = compressed.unpack(self.max_event_bytes)?;
                self.event(&compressed.with(&unpacked), span.start, meet);
            }
            event => self.event(&event, span.start, meet),
        }
        Ok(())
    }

    /// Only one that begins with XA START can end with XA PREPARE.
    fn payload(&mut self, payload: &PayloadEvent<'_>, meet: &mut dyn FnMut(Met)) -> Result<(), ChangeError> {
        let mut reader = PayloadReader::new(payload, self.max_event_bytes)?;
        let mut prepared = None;
        while let Some(bytes) = reader.next_event()? {
            match self.decoder.decode_inner(bytes)?.1 {
                Event::Query(query) if prepared.is_none() && statement(query.sql) != Statement::XaStart => {
                    break;
                }
                Event::Query(_) => prepared = prepared.or(Some(None)),
                Event::XaPrepare(prepare) if !prepare.one_phase => {
                    prepared = Some(Some(prepare.xid.to_string()))
                }
                _ => {}
            }
        }
        if let Some(xid) = prepared.flatten() {
            self.meet(Fate::Prepared, xid, meet);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, start: u64, meet: &mut dyn FnMut(Met)) {
        match event {
            Event::Gtid(event) => self.begun = Some((start, event.gtid.map(AnyGtid::Mysql))),
            Event::MariadbGtid(event) => {
                if let Some((_, Some(AnyGtid::Mariadb(last)))) = self.begun
                    && let Some(before) = &mut self.before
                {
                    before.set(last);
                }
                self.begun = Some((start, Some(AnyGtid::Mariadb(event.gtid))));
            }
            Event::XaPrepare(prepare) if !prepare.one_phase => {
                self.meet(Fate::Prepared, prepare.xid.to_string(), meet);
            }
            Event::Query(query) => {
                let fate = match statement(query.sql) {
                    Statement::XaCommit => Fate::Committed,
                    Statement::XaRollback => Fate::RolledBack,
                    _ => return,
                };
                if let Some(xid) = sql::logged_xid(&String::from_utf8_lossy(query.sql)) {
                    self.meet(fate, xid.to_owned(), meet);
                }
            }
            _ => {}
        }
    }

    fn meet(&mut self, fate: Fate, xid: String, meet: &mut dyn FnMut(Met)) {
        // Servers that log XA PREPARE begin each transaction with a GTID event.
        let Some((pos, gtid)) = self.begun else { return };
        let xa = PendingXa {
            xid,
            file: self.file.clone(),
            pos,
            file_created: self.file_created,
            gtid: gtid.map(|gtid| gtid.to_string()),
            gtids_before: self.before.as_ref().map(ToString::to_string),
        };
        meet(Met { fate, xa });
    }
}

/// Names of XA transactions are logged in hexadecimal digits, whatever the session's character set and SQL mode.
fn statement(text: &[u8]) -> Statement {
    match text.get(..3) {
        Some(verb) if verb.eq_ignore_ascii_case(b"XA ") => {}
        _ => return Statement::Nothing,
    }
    let text = String::from_utf8_lossy(text);
    sql::classify(Sql { text: &text, database: "", quoting: Quoting::of_sql_mode(0) })
}
