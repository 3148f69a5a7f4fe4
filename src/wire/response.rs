//! What a server answers to a command: OK, ERR, EOF, and result sets in text form.

use super::capability::SERVER_MORE_RESULTS_EXISTS;
use super::packet::MAX_FRAME;
use crate::codec::CodecError;
use crate::codec::Reader;
use crate::codec::put_lenenc;
use crate::codec::put_lenenc_bytes;
use std::fmt;

/// The first byte of an OK packet.
pub const OK: u8 = 0x00;
const NULL: u8 = 0xfb;
const LOCAL_INFILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
/// The number of an ERR packet that is none: MariaDB's "Progress Reporting", sent in the middle of an answer to clients that
/// ask for it, and by some proxies to others.
const PROGRESS: u16 = 0xffff;
/// The first byte of an ERR packet.
pub const ERR: u8 = 0xff;
/// MYSQL_TYPE_VAR_STRING: every column of a result set that [`encode_result_set`] makes.
const VAR_STRING: u8 = 253;
/// Characters of a server's text that are kept. Servers cut their messages at 512 bytes.
const LONGEST_TEXT: usize = 1000;
/// A result set's memory beside its bytes: what a column or a value costs even when empty.
const OVERHEAD: usize = 32;

/// "OK_Packet", as far as we care.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
}

impl OkPacket {
    /// Reads an OK packet, with either of its headers.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(payload);
        match r.u8("OK packet: header")? {
            OK | EOF => {}
            other => return Err(r.invalid("OK packet: header", other.into())),
        }
        Ok(Self {
            affected_rows: r.lenenc("OK packet: affected rows")?,
            last_insert_id: r.lenenc("OK packet: last insert id")?,
            status: r.u16("OK packet: status")?,
            warnings: r.u16("OK packet: warnings")?,
        })
    }

    /// What the server says behind the fixed fields, as bytes; empty where it says nothing.
    pub fn info(payload: &[u8]) -> Result<&[u8], CodecError> {
        let mut r = Reader::new(payload);
        r.skip(1, "OK packet: header")?;
        r.lenenc("OK packet: affected rows")?;
        r.lenenc("OK packet: last insert id")?;
        r.skip(4, "OK packet: status and warnings")?;
        if r.is_empty() { Ok(&[]) } else { r.lenenc_bytes("OK packet: info") }
    }

    /// The server's side.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_as(OK)
    }

    fn encode_as(&self, header: u8) -> Vec<u8> {
        let mut out = vec![header];
        put_lenenc(&mut out, self.affected_rows);
        put_lenenc(&mut out, self.last_insert_id);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out
    }
}

/// "ERR_Packet": the server's error number, its SQLSTATE, and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket {
    pub number: u16,
    /// Five characters; empty before the login, when old servers leave it out.
    pub sqlstate: String,
    /// One line, whatever the server sent.
    pub message: String,
}

impl ErrPacket {
    pub fn new(number: u16, sqlstate: &str, message: &str) -> Self {
        Self { number, sqlstate: sqlstate.to_string(), message: message.to_string() }
    }

    /// Whether a payload is an ERR packet.
    pub fn is(payload: &[u8]) -> bool {
        payload.first() == Some(&ERR)
    }

    /// Whether a payload only looks like an ERR packet: MariaDB tells how far a long statement is.
    pub fn is_progress(payload: &[u8]) -> bool {
        let [low, high] = PROGRESS.to_le_bytes();
        payload.starts_with(&[ERR, low, high])
    }

    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(payload);
        let header = r.u8("ERR packet: header")?;
        if header != ERR {
            return Err(r.invalid("ERR packet: header", header.into()));
        }
        let number = r.u16("ERR packet: number")?;
        let mut sqlstate = String::new();
        if r.peek() == Some(b'#') && r.remaining() >= 6 {
            r.skip(1, "ERR packet: marker")?;
            sqlstate = one_line(r.take(5, "ERR packet: SQLSTATE")?);
        }
        Ok(Self { number, sqlstate, message: one_line(r.rest()) })
    }

    /// The server's side.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ERR];
        out.extend_from_slice(&self.number.to_le_bytes());
        if self.sqlstate.len() == 5 {
            out.push(b'#');
            out.extend_from_slice(self.sqlstate.as_bytes());
        }
        out.extend_from_slice(self.message.as_bytes());
        out
    }
}

impl fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {}", self.message, self.number)?;
        if !self.sqlstate.is_empty() {
            write!(f, ", {}", self.sqlstate)?;
        }
        f.write_str(")")
    }
}

/// Text from a server, made fit for one line of a log.
pub(super) fn one_line(bytes: &[u8]) -> String {
    // A character has four bytes at the most.
    let text = String::from_utf8_lossy(bytes.get(..4 * LONGEST_TEXT + 4).unwrap_or(bytes));
    let mut chars = text.chars();
    let line: String =
        chars.by_ref().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    line.trim_end().to_string() + more
}

/// Whether a payload is an EOF packet or the OK packet that stands for one: header 0xFE, and not so long that it is a
/// row whose first value has 2²⁴ bytes or more.
pub fn is_eof(payload: &[u8]) -> bool {
    payload.first() == Some(&EOF) && payload.len() < MAX_FRAME
}

/// A classic EOF packet.
pub fn encode_eof(status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    vec![EOF, 0, 0, low, high]
}

/// The answer to a statement: column names and rows as text, `None` for NULL. Both are empty where the statement
/// returns no rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultSet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl ResultSet {
    /// The number of the column of that name; case does not count.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    /// A value as text; none for NULL and for places that do not exist.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        let value = self.rows.get(row)?.get(column)?.as_ref()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// Why an answer cannot be read. After one of these the connection is out of step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseError {
    Codec(CodecError),
    /// The server asked for one of our files.
    LocalInfile,
    /// A second result set, which nothing we send asks for.
    MoreResults,
    TooLarge {
        limit: usize,
    },
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => write!(f, "{error}"),
            Self::LocalInfile => f.write_str("the server asked for a local file, which is never sent"),
            Self::MoreResults => {
                f.write_str("the server announced a second result set, which nobody asked for")
            }
            Self::TooLarge { limit } => write!(f, "the answer exceeds {limit} bytes"),
        }
    }
}

impl std::error::Error for ResponseError {}

impl From<CodecError> for ResponseError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// What an answer has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Give me the next packet.
    More,
    Done(ResultSet),
    Refused(ErrPacket),
}

#[derive(Debug)]
enum Part {
    First,
    Columns { left: u64 },
    EofAfterColumns,
    Rows,
}

/// Collects the packets of one answer to COM_QUERY or COM_PING.
#[derive(Debug)]
pub struct ResponseReader {
    deprecate_eof: bool,
    /// Bytes that may still come.
    room: usize,
    limit: usize,
    part: Part,
    result: ResultSet,
}

impl ResponseReader {
    /// `deprecate_eof`: CLIENT_DEPRECATE_EOF is in use. `limit`: how many bytes the answer may take in memory.
    pub fn new(deprecate_eof: bool, limit: usize) -> Self {
        Self { deprecate_eof, room: limit, limit, part: Part::First, result: ResultSet::default() }
    }

    /// Takes the next packet of the answer.
    pub fn on_packet(&mut self, payload: &[u8]) -> Result<Progress, ResponseError> {
        if ErrPacket::is_progress(payload) {
            return Ok(Progress::More);
        }
        // A row cannot start with 0xFF: no length does.
        if ErrPacket::is(payload) {
            return Ok(Progress::Refused(ErrPacket::parse(payload)?));
        }
        self.charge(payload.len())?;
        match &mut self.part {
            Part::First => self.first(payload),
            Part::Columns { left } => {
                *left -= 1;
                let done = *left == 0;
                self.result.columns.push(column_name(payload)?);
                if done {
                    self.part = if self.deprecate_eof { Part::Rows } else { Part::EofAfterColumns };
                }
                Ok(Progress::More)
            }
            Part::EofAfterColumns if is_eof(payload) => {
                self.part = Part::Rows;
                Ok(Progress::More)
            }
            Part::EofAfterColumns => Err(unexpected("EOF after column definitions", payload)),
            Part::Rows if is_eof(payload) => self.end(payload),
            Part::Rows => self.row(payload),
        }
    }

    fn first(&mut self, payload: &[u8]) -> Result<Progress, ResponseError> {
        let mut r = Reader::new(payload);
        match r.peek() {
            Some(OK) => {
                let ok = OkPacket::parse(payload)?;
                self.finish(ok.status)
            }
            Some(LOCAL_INFILE) => Err(ResponseError::LocalInfile),
            Some(EOF) if is_eof(payload) => Err(unexpected("answer", payload)),
            _ => {
                let left = r.lenenc("result set: column count")?;
                r.finish("result set: column count")?;
                if left == 0 {
                    return Err(unexpected("result set: column count", payload));
                }
                self.part = Part::Columns { left };
                Ok(Progress::More)
            }
        }
    }

    fn row(&mut self, payload: &[u8]) -> Result<Progress, ResponseError> {
        let columns = self.result.columns.len();
        self.charge(columns * OVERHEAD)?;
        let mut r = Reader::new(payload);
        let mut row = Vec::with_capacity(columns);
        for name in &self.result.columns {
            row.push(match r.peek() {
                Some(NULL) => {
                    r.skip(1, "row: NULL")?;
                    None
                }
                // MySQL 5.6 and 5.7 send no Slave_UUID at all, the last value of SHOW SLAVE HOSTS, for a replica that has
                // none: show_slave_hosts() in sql/rpl_master.cc.
                None if name == "Slave_UUID" => None,
                _ => Some(r.lenenc_bytes("row: value")?.to_vec()),
            });
        }
        r.finish("row")?;
        self.result.rows.push(row);
        Ok(Progress::More)
    }

    fn end(&mut self, payload: &[u8]) -> Result<Progress, ResponseError> {
        let status = if self.deprecate_eof {
            OkPacket::parse(payload)?.status
        } else {
            let mut r = Reader::new(payload);
            r.skip(3, "EOF packet: header and warnings")?;
            r.u16("EOF packet: status")?
        };
        self.finish(status)
    }

    fn finish(&mut self, status: u16) -> Result<Progress, ResponseError> {
        if status & SERVER_MORE_RESULTS_EXISTS != 0 {
            return Err(ResponseError::MoreResults);
        }
        Ok(Progress::Done(std::mem::take(&mut self.result)))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ResponseError> {
        let cost = bytes.saturating_add(OVERHEAD);
        self.room = self.room.checked_sub(cost).ok_or(ResponseError::TooLarge { limit: self.limit })?;
        Ok(())
    }
}

fn unexpected(what: &'static str, payload: &[u8]) -> ResponseError {
    let value = payload.first().copied().unwrap_or_default().into();
    ResponseError::Codec(CodecError::Invalid { what, value, offset: 0 })
}

/// The name out of a "Column Definition": catalog, schema, table, original table, name, …
fn column_name(payload: &[u8]) -> Result<String, CodecError> {
    let mut r = Reader::new(payload);
    r.lenenc_bytes("column: catalog")?;
    r.lenenc_bytes("column: schema")?;
    r.lenenc_bytes("column: table")?;
    r.lenenc_bytes("column: original table")?;
    Ok(String::from_utf8_lossy(r.lenenc_bytes("column: name")?).into_owned())
}

/// The server's side: the payloads of a whole result set.
pub fn encode_result_set(result: &ResultSet, deprecate_eof: bool) -> Vec<Vec<u8>> {
    let mut count = Vec::new();
    put_lenenc(&mut count, result.columns.len() as u64);
    let mut packets = vec![count];
    packets.extend(result.columns.iter().map(|name| encode_column(name)));
    if !deprecate_eof {
        packets.push(encode_eof(2));
    }
    for row in &result.rows {
        let mut packet = Vec::new();
        for value in row {
            match value {
                Some(bytes) => put_lenenc_bytes(&mut packet, bytes),
                None => packet.push(NULL),
            }
        }
        packets.push(packet);
    }
    packets.push(if deprecate_eof { OkPacket::default().encode_as(EOF) } else { encode_eof(2) });
    packets
}

fn encode_column(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", "", "", "", name, ""] {
        put_lenenc_bytes(&mut out, text.as_bytes());
    }
    // Length of the fixed part, collation 2, width 4, type 1, flags 2, decimals 1, filler 2.
    out.extend_from_slice(&[12, 45, 0, 255, 0, 0, 0, VAR_STRING, 0, 0, 0, 0, 0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packets: &[Vec<u8>], deprecate_eof: bool) -> Result<Progress, ResponseError> {
        let mut reader = ResponseReader::new(deprecate_eof, 1 << 20);
        for packet in packets {
            match reader.on_packet(packet)? {
                Progress::More => {}
                end => return Ok(end),
            }
        }
        Ok(Progress::More)
    }

    fn sample() -> ResultSet {
        ResultSet {
            columns: vec!["Variable_name".into(), "Value".into()],
            rows: vec![
                vec![Some(b"log_bin".to_vec()), Some(b"ON".to_vec())],
                vec![Some(vec![]), None],
                vec![None, Some(vec![0xff; 70_000])],
            ],
        }
    }

    #[test]
    fn result_sets_read_back_with_and_without_eof_packets() {
        for deprecate_eof in [false, true] {
            let packets = encode_result_set(&sample(), deprecate_eof);
            assert_eq!(read(&packets, deprecate_eof), Ok(Progress::Done(sample())));
            for cut in 0..packets.len() {
                assert_eq!(read(&packets[..cut], deprecate_eof), Ok(Progress::More));
            }
        }
        let result = sample();
        assert_eq!(result.column("VALUE"), Some(1));
        assert_eq!(result.text(0, 1).as_deref(), Some("ON"));
        assert_eq!((result.text(1, 1), result.text(9, 9)), (None, None));
    }

    #[test]
    fn every_cut_of_every_packet_is_an_error() {
        let packets = encode_result_set(&sample(), false);
        for (number, packet) in packets.iter().enumerate() {
            for cut in 0..packet.len().min(60) {
                let mut broken = packets[..number].to_vec();
                broken.push(packet[..cut].to_vec());
                let outcome = read(&broken, false);
                // A column's definition is read up to its name only.
                let name_is_there = matches!(number, 1 | 2) && outcome == Ok(Progress::More);
                // An EOF that comes before the rows carries nothing that we use.
                let bare_eof = number == 3 && cut > 0;
                assert!(
                    outcome.is_err() || name_is_there || bare_eof,
                    "packet {number} cut at {cut}: {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn a_replica_without_uuid_is_read_as_such() {
        let mut listed = sample();
        listed.columns[1] = "Slave_UUID".into();
        let mut packets = encode_result_set(&listed, false);
        packets[4] = b"\x07log_bin".to_vec();
        listed.rows[0][1] = None;
        assert_eq!(read(&packets, false), Ok(Progress::Done(listed)));
    }

    #[test]
    fn an_error_may_come_anywhere() {
        let error = ErrPacket::new(1317, "70100", "Query execution was interrupted");
        let packets = encode_result_set(&sample(), false);
        for at in 0..packets.len() {
            let mut broken = packets[..at].to_vec();
            broken.push(error.encode());
            assert_eq!(read(&broken, false), Ok(Progress::Refused(error.clone())));
        }
    }

    #[test]
    fn errors_before_the_login_have_no_sqlstate_and_stay_on_one_line() {
        let packet = ErrPacket::parse(b"\xff\x10\x04Too many\n\x1bconnections\0").unwrap();
        assert_eq!(packet.to_string(), "Too many  connections (error 1040)");
        let packet = ErrPacket::parse(b"\xff\x15\x04#28000Access denied").unwrap();
        assert_eq!(packet.to_string(), "Access denied (error 1045, 28000)");
        assert_eq!(ErrPacket::parse(b"\xff\x10\x04#abc").unwrap().message, "#abc");
        let endless = [&b"\xff\x10\x04"[..], &[b'x'; 100_000]].concat();
        let message = ErrPacket::parse(&endless).unwrap().message;
        assert_eq!((message.chars().count(), message.ends_with("x…")), (1001, true));
        assert!(ErrPacket::parse(b"\xff\x10").is_err() && ErrPacket::parse(b"\0\0\0").is_err());
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        assert_eq!(read(&[b"\xfb/etc/passwd".to_vec()], false), Err(ResponseError::LocalInfile));
        let more = OkPacket { status: SERVER_MORE_RESULTS_EXISTS, ..OkPacket::default() };
        assert_eq!(read(&[more.encode()], false), Err(ResponseError::MoreResults));
        assert!(read(&[encode_eof(0)], false).is_err());
        let mut reader = ResponseReader::new(false, 100);
        assert_eq!(reader.on_packet(&[0; 101]), Err(ResponseError::TooLarge { limit: 100 }));
        let huge = [&[0xfe][..], &u64::MAX.to_le_bytes()].concat();
        assert!(read(&[huge], false).is_err(), "a column count without end");
        assert!(read(&[vec![0xfc, 0, 0], vec![]], false).is_err(), "no column at all");
    }

    #[test]
    fn an_ok_ends_an_answer_without_rows() {
        assert_eq!(read(&[OkPacket::default().encode()], true), Ok(Progress::Done(ResultSet::default())));
    }
}
