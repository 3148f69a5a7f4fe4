//! The binlog as the server sends it: what has to be said before, the dump command, and event after event.
//!
//! Events are handed out as bytes, where they lie in the read buffer. Their checksums and contents are the decoder's.

use super::binlog_index::UNKNOWN_VARIABLE;
use super::config::SourceConfig;
use super::connection::Connection;
use super::connection::quote;
use super::error::SourceError;
use super::refusal::When;
use super::stream::Deadline;
use crate::binlog::ChecksumAlgorithm;
use crate::binlog::format_description::ServerVersion;
use crate::code::Code;
use crate::codec::Reader;
use crate::wire::command::Command;
use crate::wire::command::DUMP_FLAGS;
use crate::wire::command::DUMP_NON_BLOCK;
use crate::wire::packet::FrameError;
use crate::wire::response::ErrPacket;
use crate::wire::response::OK;
use crate::wire::response::ResultSet;
use crate::wire::response::is_eof;
use std::time::Duration;
use std::time::Instant;

/// The largest `wait_timeout` and its kin, in seconds: a year. Beyond it a server in strict mode refuses the SET.
const LONGEST_TIMEOUT: u64 = 31_536_000;
/// The magic number comes before a file's first event.
const FIRST_EVENT: u32 = 4;
/// An event's header: timestamp 4, type 1, server id 4, size 4, …
const TYPE_OFFSET: usize = 4;
/// ER_UNKNOWN_COM_ERROR.
const UNKNOWN_COMMAND: u16 = 1047;

/// From where the server shall send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpRequest {
    /// From this place on. `pos` is the start of an event, 4 for a file's first. Past 4 GiB the stream begins at the
    /// file's first event.
    Position { file: String, pos: u64 },
    /// MySQL: all transactions but these, which is what we have executed. The set in the server's binary form.
    Gtid { set: Vec<u8> },
    /// MariaDB: all that follows these GTIDs (`0-1-270,1-2-3`), one for each domain; empty for all there is.
    MariadbGtid { position: String },
}

/// What a poll brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Poll<'a> {
    /// One whole event: header, body, and checksum where the server sends one. Not empty.
    Event(&'a [u8]),
    /// No whole event within the time, or a stop was requested.
    Idle,
    /// The server ends the stream without a reason: MariaDB when it shuts down, MySQL 5.6 when another replica with
    /// our uuid connects. A reason to connect anew, with a pause.
    End,
}

/// A connection on which the server sends its binlog.
#[derive(Debug)]
pub struct BinlogStream {
    connection: Connection,
    announced_checksum: Option<String>,
    /// When the read that began the present silence started. Time that the caller spends elsewhere does not count
    /// against the server: only a read that finds nothing begins a silence.
    silent_since: Option<Instant>,
    /// Whether an event with news came: until then the server may be searching its files.
    under_way: bool,
    /// Whether an event with news, or a heartbeat, came on this stream.
    served: bool,
    bytes_received: u64,
}

impl BinlogStream {
    /// Prepares the session and asks for the stream. What is wrong with the request comes with the first poll.
    pub fn start(connection: Connection, request: &DumpRequest) -> Result<Self, SourceError> {
        Self::start_as(connection, request, AtEnd::Waits)
    }

    /// The same, but at the end of its binlog the server ends the stream ([`Poll::End`]), and does not list us among its
    /// replicas. For a look ahead, with an id and a uuid of its own.
    pub fn start_to_end(connection: Connection, file: &str, pos: u64) -> Result<Self, SourceError> {
        Self::start_as(connection, &DumpRequest::Position { file: file.to_owned(), pos }, AtEnd::Ends)
    }

    fn start_as(
        mut connection: Connection,
        request: &DumpRequest,
        at_end: AtEnd,
    ) -> Result<Self, SourceError> {
        let (file, pos) = match request {
            DumpRequest::Position { file, pos } => (file.as_bytes(), dump_pos(*pos)),
            DumpRequest::Gtid { .. } | DumpRequest::MariadbGtid { .. } => (&b""[..], 4),
        };
        require_id(&connection)?;
        // Known now for messages later, when the server no longer answers.
        connection.account()?;
        let announced_checksum = prepare_session(&mut connection)?;
        if let DumpRequest::MariadbGtid { position } = request {
            // Strict: where our last GTID is missing between others of its server, what the log holds instead would be
            // left out, or something before it is missing; the server says so instead of going on.
            connection.query(&format!(
                "SET @slave_connect_state={}, @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0",
                quote(position)
            ))?;
        }
        let server_id = connection.link.config.server_id;
        let mut flags = dump_flags(connection.server_version());
        match at_end {
            AtEnd::Waits => register(&mut connection)?,
            AtEnd::Ends => flags |= DUMP_NON_BLOCK,
        }
        let dump = match request {
            DumpRequest::Gtid { set } => {
                Command::BinlogDumpGtid { server_id, file, pos: pos.into(), gtid_set: set }
            }
            _ => Command::BinlogDump { pos, flags, server_id, file },
        };
        let deadline = Deadline::after(connection.link.config.query_timeout);
        connection.send_command(&dump, "binlog dump", &deadline)?;
        connection.start_streaming();
        let limit = connection.link.config.max_event_bytes.saturating_add(1);
        connection.link.frames.set_limit(limit);
        // By position nothing is searched for.
        let under_way = matches!(request, DumpRequest::Position { .. });
        Ok(Self {
            connection,
            announced_checksum,
            silent_since: None,
            under_way,
            served: false,
            bytes_received: 0,
        })
    }

    /// The checksum algorithm that we told the server to expect of it (`CRC32`, `NONE`); none for servers older than
    /// checksums. It decides the form of the artificial ROTATE_EVENT that comes before the first format description.
    pub fn announced_checksum(&self) -> Option<&str> {
        self.announced_checksum.as_deref()
    }

    /// The same for a decoder.
    pub fn announced_algorithm(&self) -> ChecksumAlgorithm {
        match self.announced_checksum() {
            Some(name) if name.eq_ignore_ascii_case("CRC32") => ChecksumAlgorithm::Crc32,
            _ => ChecksumAlgorithm::Off,
        }
    }

    /// The server, as `host:port`.
    pub fn place(&self) -> &str {
        self.connection.place()
    }

    /// The server's number for this stream, for a KILL.
    pub fn connection_id(&self) -> u32 {
        self.connection.connection_id()
    }

    /// Bytes that came over the network since the stream began.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Whether the server has sent anything beyond what begins a file.
    pub fn has_served(&self) -> bool {
        self.served
    }

    /// Whether something came and no part of an event is left over: silence may then be idleness, as a server without
    /// heartbeats has it.
    pub fn is_between_events(&self) -> bool {
        self.bytes_received > 0 && !self.connection.link.frames.has_bytes()
    }

    /// Whether another whole event lies in the buffer already, so that the next poll will not wait.
    pub fn has_buffered_event(&self) -> bool {
        self.connection.link.frames.has_packet()
    }

    /// Whether nothing more is here now, neither in the buffer nor on the socket.
    pub fn is_drained(&self) -> bool {
        !self.has_buffered_event() && !self.connection.link.has_bytes_waiting()
    }

    /// The next event, waited for at most `wait`. An error ends the stream.
    pub fn poll(&mut self, wait: Duration) -> Result<Poll<'_>, SourceError> {
        if !self.advance()? && !self.await_event(wait)? {
            return Ok(Poll::Idle);
        }
        let link = &self.connection.link;
        let packet = link.frames.packet();
        match packet {
            // In a dump each packet is an OK byte and then the event.
            [OK, event @ ..] if !event.is_empty() => {
                self.served = self.served || has_news(event);
                self.under_way |= self.served;
                Ok(Poll::Event(event))
            }
            _ if is_eof(packet) => Ok(Poll::End),
            // Whoever drips these keeps the stream alive and brings it nowhere.
            _ if ErrPacket::is_progress(packet) => Ok(Poll::Idle),
            _ if ErrPacket::is(packet) => Err(match ErrPacket::parse(packet) {
                Ok(error) => link.server_error(When::Dump, &error),
                Err(error) => SourceError::protocol(&link.place, "server's error", &error),
            }),
            _ => {
                let first = packet.first().copied().unwrap_or_default();
                let cause = format!("packet 0x{first:02x} of {} bytes among events", packet.len());
                Err(SourceError::protocol(&link.place, "binlog stream", &cause))
            }
        }
    }

    /// Reads until a whole packet is there; false when the time is up first.
    fn await_event(&mut self, wait: Duration) -> Result<bool, SourceError> {
        let began = Instant::now();
        let mut waited = Duration::ZERO;
        while !self.connection.link.stop.requested() {
            let read_began = Instant::now();
            if self.receive(wait.saturating_sub(waited))? {
                self.silent_since = None;
                if self.advance()? {
                    return Ok(true);
                }
                self.check_announced_size()?;
            } else {
                self.check_silence(read_began)?;
            }
            waited = began.elapsed();
            if waited >= wait {
                break;
            }
        }
        Ok(false)
    }

    fn receive(&mut self, wait: Duration) -> Result<bool, SourceError> {
        let link = &mut self.connection.link;
        let came = link.receive("an event", wait)?;
        self.bytes_received += came as u64;
        Ok(came > 0)
    }

    /// An idle server sends heartbeats. One that sends nothing is dead, or a dead network lies in between.
    fn check_silence(&mut self, read_began: Instant) -> Result<(), SourceError> {
        let config = &self.connection.link.config;
        let limit = if self.under_way {
            config.so_timeout
        } else {
            config.first_event_timeout.max(config.so_timeout)
        };
        let since = *self.silent_since.get_or_insert(read_began);
        if since.elapsed() < limit {
            return Ok(());
        }
        let half = if self.connection.link.frames.has_bytes() { " in the middle of an event" } else { "" };
        let text = format!(
            "the server went silent{half} for {limit:?}, though a heartbeat was asked for every {:?}",
            config.heartbeat_period
        );
        Err(SourceError::retry(Code::Stalled, self.place(), text))
    }

    fn advance(&mut self) -> Result<bool, SourceError> {
        self.connection.link.frames.advance().map_err(|error| match error {
            FrameError::TooLarge { at_least, .. } => self.too_large(at_least),
            FrameError::OutOfOrder { .. } => SourceError::protocol(self.place(), "binlog stream", &error),
        })
    }

    /// The header of an event says how long it is: a giant is refused before its bytes are here, and one whose packet
    /// has another length is not waited for.
    fn check_announced_size(&self) -> Result<(), SourceError> {
        let frames = &self.connection.link.frames;
        let mut r = Reader::new(frames.partial());
        let header = r.u8("OK byte").and_then(|kind| r.skip(9, "event header").map(|()| kind));
        let (Ok(OK), Ok(size)) = (header, r.u32("event size")) else {
            // Not that much of it is here yet, or it is no event.
            return Ok(());
        };
        let size = size as usize;
        match frames.announced() {
            Some(length) if length != size.saturating_add(1) => {
                let cause = format!("an event of {size} bytes in a packet of {length}");
                Err(SourceError::protocol(self.place(), "binlog stream", &cause))
            }
            _ if size > self.connection.link.config.max_event_bytes => Err(self.too_large(size)),
            Some(_) | None => Ok(()),
        }
    }

    fn too_large(&self, size: usize) -> SourceError {
        let limit = self.connection.link.config.max_event_bytes;
        let text = format!("an event of {size} bytes or more exceeds max_event_bytes={limit}");
        SourceError::refused(Code::EventTooLarge, self.place(), text)
            .advise("raise max_event_bytes: so much memory is needed for it")
    }
}

/// What the server does at the end of its binlog.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    Waits,
    Ends,
}

/// Only makes us visible in SHOW REPLICAS.
fn register(connection: &mut Connection) -> Result<(), SourceError> {
    let config = &connection.link.config;
    let (server_id, host, port) = (config.server_id, config.report_host.clone(), config.report_port);
    let register = Command::RegisterSlave { server_id, host: host.as_bytes(), port };
    match connection.command(&register, When::Dump, "answer to COM_REGISTER_SLAVE") {
        // What stands between us may not know it.
        Err(error) if error.server_errno() == Some(UNKNOWN_COMMAND) => {
            log::info!("{error}; going on without");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// No flag that a server of before 5.5 may take for something else.
fn dump_flags(server_version: &str) -> u16 {
    match ServerVersion::parse(server_version) {
        Some(version) if version < ServerVersion(5, 5, 0) => 0,
        _ => DUMP_FLAGS,
    }
}

/// To a replica with the id 0 the server sends what there is and then closes: that is how mysqlbinlog asks.
fn require_id(connection: &Connection) -> Result<(), SourceError> {
    match connection.link.config.server_id {
        0 => {
            Err(SourceError::refused(Code::Config, connection.place(), "a replica's server id must not be 0"))
        }
        _ => Ok(()),
    }
}

/// The position as COM_BINLOG_DUMP carries it, in 32 bits. A file's first event starts at 4; servers refuse what lies
/// before. What they cannot be told is reached from the file's beginning, by whoever reads the stream.
fn dump_pos(pos: u64) -> u32 {
    match u32::try_from(pos) {
        Ok(pos) => pos.max(FIRST_EVENT),
        Err(_) => FIRST_EVENT,
    }
}

/// The session variables that a dump depends on. Answers with the checksum algorithm that was announced.
fn prepare_session(connection: &mut Connection) -> Result<Option<String>, SourceError> {
    let config = connection.link.config.clone();
    connection.set_names(&config.charset).map_err(|error| charset_error(error, &config))?;
    // The reasons of error 1236 are told apart by their words. A server that cannot speak English tells its number.
    tolerate(connection.query("SET SESSION lc_messages='en_US'"), None)?;
    set_timeouts(connection, &config)?;
    let checksum = match connection.query("SELECT @@global.binlog_checksum") {
        Ok(answer) => answer.text(0, 0),
        Err(error) if error.server_errno() == Some(UNKNOWN_VARIABLE) => None,
        Err(error) => return Err(error),
    };
    // Old and new names: MySQL reads `replica`/`source` since 8.0.26 and falls back, others know the old ones alone.
    // A server that does not know a user variable does not mind it.
    let period = config.heartbeat_period.as_nanos();
    let mut sql = format!(
        "SET @master_heartbeat_period={period}, @source_heartbeat_period={period}, @mariadb_slave_capability=4"
    );
    // Without a uuid MySQL goes by the server id, as MariaDB always does.
    if !config.replica_uuid.is_empty() {
        let uuid = quote(&config.replica_uuid);
        sql.push_str(&format!(", @slave_uuid={uuid}, @replica_uuid={uuid}"));
    }
    if let Some(algorithm) = &checksum {
        let algorithm = quote(algorithm);
        sql.push_str(&format!(", @master_binlog_checksum={algorithm}, @source_binlog_checksum={algorithm}"));
    }
    connection.query(&sql)?;
    Ok(checksum)
}

/// How long the server waits for us. One that does not let us say so has its reasons: then its own timeouts count.
fn set_timeouts(connection: &mut Connection, config: &SourceConfig) -> Result<(), SourceError> {
    let seconds = |time: Duration| time.as_secs().clamp(1, LONGEST_TIMEOUT);
    let settings = [
        ("wait_timeout", seconds(config.wait_timeout)),
        ("net_write_timeout", seconds(config.net_write_timeout)),
        ("net_read_timeout", seconds(config.net_read_timeout)),
    ];
    let all: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if tolerate(connection.query(&format!("SET SESSION {}", all.join(", "))), None)? {
        return Ok(());
    }
    for (name, value) in settings {
        tolerate(connection.query(&format!("SET SESSION {name}={value}")), Some(name))?;
    }
    Ok(())
}

/// Whether the server took a setting that we can do without. `told` names one whose refusal people should know.
fn tolerate(outcome: Result<ResultSet, SourceError>, told: Option<&str>) -> Result<bool, SourceError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.server_errno().is_none() || error.code() == Code::ConnectionLost => Err(error),
        Err(error) => {
            match told {
                Some(name) => log::warn!("{error}; going on with the server's own {name}"),
                None => log::debug!("{error}"),
            }
            Ok(false)
        }
    }
}

/// ER_UNKNOWN_CHARACTER_SET, and ER_WRONG_VALUE_FOR_VAR for sets that no client may use (utf16, ucs2): no retry helps.
fn charset_error(error: SourceError, config: &SourceConfig) -> SourceError {
    match error.server_errno() {
        Some(number @ (1115 | 1231)) => {
            let text = format!("the server does not take mysql_charset={}: {}", config.charset, error.text());
            SourceError::refused(Code::Config, error.place(), text)
                .numbered(number)
                .advise("leave it away: utf8mb4, or utf8 on old servers, is used then")
        }
        _ => error,
    }
}

/// Whether an event shows that the search for the start is over. These come before it ends: ROTATE 4, FORMAT_DESCRIPTION
/// 15, PREVIOUS_GTIDS 35; MariaDB's BINLOG_CHECKPOINT 161, GTID_LIST 163, START_ENCRYPTION 164.
fn has_news(event: &[u8]) -> bool {
    !matches!(event.get(TYPE_OFFSET), None | Some(4 | 15 | 35 | 161 | 163 | 164))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_under_every_sql_mode() {
        assert_eq!(quote("0-1-270,1-2-3"), "'0-1-270,1-2-3'");
        assert_eq!(quote("a'b"), "x'612762'");
        assert_eq!(quote("a\\b"), "x'615c62'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_position_past_four_gib_is_reached_from_the_beginning() {
        assert_eq!(dump_pos(u32::MAX.into()), u32::MAX);
        assert_eq!(dump_pos(0), 4);
        assert_eq!(dump_pos(1 << 32), 4);
    }
}
