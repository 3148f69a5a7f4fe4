//! The binlog as the server sends it: what has to be said before, the dump command, and event after event.
//!
//! Events are handed out as bytes, where they lie in the read buffer. Their checksums and contents are the decoder's.

use super::binlog_index::UNKNOWN_VARIABLE;
use super::config::SourceConfig;
use super::connection::Connection;
use super::connection::quote;
use super::connection::tolerate;
use super::error::ErrorKind;
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
use crate::wire::response::is_eof;
use std::time::Duration;
use std::time::Instant;

/// The magic number comes before a file's first event.
const FIRST_EVENT: u32 = 4;
/// An event's header: timestamp 4, type 1, server id 4, size 4, …
const TYPE_OFFSET: usize = 4;
/// ER_UNKNOWN_COM_ERROR.
const UNKNOWN_COMMAND: u16 = 1047;
/// An event that comes more slowly is not waited for: bytes a second.
const SLOWEST: u32 = 4 << 10;

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
    silence: Option<Silence>,
    /// How long reads have waited since the last whole event: bytes may come all the time and bring nothing.
    waited: Duration,
    /// That it searches its files is told.
    told: bool,
    /// Whether an event with news came: until then the server may be searching its files.
    under_way: bool,
    /// Whether an event with news, or a heartbeat, came on this stream.
    served: bool,
    bytes_received: u64,
}

/// Nothing has come for a while.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// When the read that began it started. Time that the caller spends elsewhere does not count against the server: only a
    /// read that finds nothing begins a silence.
    since: Instant,
    /// When the server is asked whether it lives, as long as it may be searching its files.
    ask_at: Instant,
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
            silence: None,
            waited: Duration::ZERO,
            told: false,
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
                self.waited = Duration::ZERO;
                Ok(Poll::Event(event))
            }
            _ if is_eof(packet) => Ok(Poll::End),
            // Whoever drips these does not keep the stream alive by it.
            _ if ErrPacket::is_progress(packet) => self.check_pace().map(|()| Poll::Idle),
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
            let came = self.receive(wait.saturating_sub(waited))?;
            self.waited += read_began.elapsed();
            if came {
                self.silence = None;
                if self.advance()? {
                    return Ok(true);
                }
                self.check_announced_size()?;
            } else {
                self.check_silence(read_began)?;
            }
            self.check_pace()?;
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

    /// How long the server may be silent, or go on without a whole event.
    fn limit(&self) -> Duration {
        let config = &self.connection.link.config;
        match self.under_way {
            true => config.so_timeout,
            false => config.first_event_timeout.max(config.so_timeout),
        }
    }

    /// An idle server sends heartbeats. One that sends nothing is dead, or a dead network lies in between.
    fn check_silence(&mut self, read_began: Instant) -> Result<(), SourceError> {
        let so_timeout = self.connection.link.config.so_timeout;
        let Silence { since, ask_at } =
            *self.silence.get_or_insert(Silence { since: read_began, ask_at: read_began + so_timeout });
        let limit = self.limit();
        if since.elapsed() >= limit {
            let half = if self.is_inside_event() { " in the middle of an event" } else { "" };
            let text = format!(
                "the server went silent{half} for {limit:?}, though a heartbeat was asked for every {:?}",
                self.connection.link.config.heartbeat_period
            );
            return Err(SourceError::retry(Code::Stalled, self.place(), text));
        }
        if !self.under_way && Instant::now() >= ask_at {
            self.ask_whether_it_lives(since)?;
            self.silence = Some(Silence { since, ask_at: Instant::now() + so_timeout });
        }
        Ok(())
    }

    /// A server that searches its files takes logins meanwhile, or says why not; one that is frozen does neither.
    fn ask_whether_it_lives(&mut self, silent_since: Instant) -> Result<(), SourceError> {
        let link = &self.connection.link;
        let no_answer = match Connection::open(&link.config, &link.stop) {
            Err(error) if error.kind() == ErrorKind::Retry && error.server_errno().is_none() => error,
            Ok(_) | Err(_) => {
                if !std::mem::replace(&mut self.told, true) {
                    log::info!(
                        "source={} has sent no event for {:.0?} and takes logins: it searches its binlog files, and is waited for \
                         ({:?} at most)",
                        self.place(),
                        silent_since.elapsed(),
                        self.limit()
                    );
                }
                return Ok(());
            }
        };
        let text = format!(
            "the server sends nothing for {:.1?} before its first event, nor takes a login: {}",
            silent_since.elapsed(),
            no_answer.text()
        );
        Err(SourceError::retry(Code::Stalled, self.place(), text))
    }

    /// Bytes that come one by one, or packets that are no events, keep nothing alive.
    fn check_pace(&self) -> Result<(), SourceError> {
        let frames = &self.connection.link.frames;
        let size = frames.announced().or_else(|| self.announced_event()).unwrap_or_default();
        let pace = Duration::from_secs(u64::try_from(size).unwrap_or(u64::MAX)) / SLOWEST;
        let limit = self.limit().saturating_add(pace);
        if self.waited < limit {
            return Ok(());
        }
        let text = match self.is_inside_event() {
            true => format!(
                "the server is slow in the middle of an event: {} of {size} bytes have come in {limit:?}",
                frames.partial().len()
            ),
            false => format!("the server has sent no event for {limit:?}, and other things instead"),
        };
        Err(SourceError::retry(Code::Stalled, self.place(), text))
    }

    fn is_inside_event(&self) -> bool {
        self.connection.link.frames.has_bytes()
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
        let Some(size) = self.announced_event() else { return Ok(()) };
        match self.connection.link.frames.announced() {
            Some(length) if length != size.saturating_add(1) => {
                let cause = format!("an event of {size} bytes in a packet of {length}");
                Err(SourceError::protocol(self.place(), "binlog stream", &cause))
            }
            _ if size > self.connection.link.config.max_event_bytes => Err(self.too_large(size)),
            Some(_) | None => Ok(()),
        }
    }

    /// How long the unfinished event is, as its header says; none where not that much of it is here yet, or it is no event.
    fn announced_event(&self) -> Option<usize> {
        let mut r = Reader::new(self.connection.link.frames.partial());
        let header = r.u8("OK byte").and_then(|kind| r.skip(9, "event header").map(|()| kind));
        match (header, r.u32("event size")) {
            (Ok(OK), Ok(size)) => usize::try_from(size).ok(),
            _ => None,
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
    connection.set_timeouts()?;
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
