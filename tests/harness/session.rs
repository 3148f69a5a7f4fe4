//! A connection that shows what a server answers byte for byte: NULL is not the text `NULL`, and tabs, line ends and
//! NUL bytes come through, none of which can be had from the command line clients' output.
//!
//! The smallest client that does: text protocol, no TLS, `mysql_native_password` and the short form of
//! `caching_sha2_password`. Documented at <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;
use std::fmt;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// One row of a result; `None` is SQL NULL.
pub type Row = Vec<Option<String>>;
type RawRow = Vec<Option<Vec<u8>>>;

/// Longer than any statement of a test takes; a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest piece of a message; one of exactly this length is followed by another piece.
const MAX_PACKET: usize = 0xff_ffff;

// CLIENT_LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x8_0000;
const UTF8MB4_GENERAL_CI: u8 = 45;
const SERVER_MORE_RESULTS_EXISTS: u16 = 0x8;
const COM_QUERY: u8 = 3;

/// What the server said instead of a result.
#[derive(Debug, Clone)]
pub struct SqlError {
    pub code: u16,
    pub message: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {}: {}", self.code, self.message)
    }
}

/// A logged-in connection: its transactions, variables and temporary tables are its own.
pub struct Session {
    stream: BufReader<TcpStream>,
    sequence: u8,
    connection_id: u32,
}

impl Session {
    /// Connects and logs in; the character set is utf8mb4.
    pub fn open(host: &str, port: u16, user: &str, password: &str) -> Result<Session, SqlError> {
        let stream = TcpStream::connect((host, port))
            .unwrap_or_else(|e| panic!("no connection to {host}:{port}: {e}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let mut session = Session { stream: BufReader::new(stream), sequence: 0, connection_id: 0 };
        session.log_in(user, password)?;
        Ok(session)
    }

    /// The server's number for this connection, as KILL takes it.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Runs one or more statements; panics with the server's message on an error.
    pub fn sql(&mut self, sql: &str) {
        self.send(sql);
        self.finish().unwrap_or_else(|e| panic!("{e}\nin: {}", shortened(sql)));
    }

    /// The rows of the (last) statement. Panics on an error and on values that are not UTF-8: ask for `HEX()` of those.
    pub fn select(&mut self, sql: &str) -> Vec<Row> {
        let text = |bytes| {
            String::from_utf8(bytes).unwrap_or_else(|e| panic!("not UTF-8, use HEX(): {e}\nin: {sql}"))
        };
        let rows = self.try_select(sql).unwrap_or_else(|e| panic!("{e}\nin: {}", shortened(sql)));
        rows.into_iter().map(|row| row.into_iter().map(|value| value.map(text)).collect()).collect()
    }

    /// The rows of the (last) statement as the server's bytes, or its error.
    pub fn try_select(&mut self, sql: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, SqlError> {
        self.send(sql);
        self.finish()
    }

    /// Sends a statement without waiting for the answer, for one that another session is to hold up.
    pub fn send(&mut self, sql: &str) {
        self.send_bytes(sql.as_bytes());
    }

    /// As `send`, in whatever character set the connection is set to.
    pub fn send_bytes(&mut self, sql: &[u8]) {
        self.sequence = 0;
        let mut packet = vec![COM_QUERY];
        packet.extend_from_slice(sql);
        self.write_packet(&packet);
    }

    /// Waits for the answer to what was sent: the rows of the last statement, or the first error.
    pub fn finish(&mut self) -> Result<Vec<Vec<Option<Vec<u8>>>>, SqlError> {
        loop {
            let (rows, status) = self.read_result()?;
            if status & SERVER_MORE_RESULTS_EXISTS == 0 {
                return Ok(rows);
            }
        }
    }

    fn read_result(&mut self) -> Result<(Vec<RawRow>, u16), SqlError> {
        let first = self.read_packet();
        let mut fields = Fields(&first);
        match first.first() {
            Some(0x00) => {
                fields.skip(1);
                let (_affected, _insert_id) = (fields.length(), fields.length());
                Ok((Vec::new(), fields.u16()))
            }
            Some(0xff) => Err(error(&first)),
            Some(0xfb) => panic!("LOAD DATA LOCAL is not for this client"),
            _ => {
                let columns = fields.length();
                for _ in 0..columns {
                    self.read_packet();
                }
                self.read_packet();
                self.read_rows(columns)
            }
        }
    }

    fn read_rows(&mut self, columns: usize) -> Result<(Vec<RawRow>, u16), SqlError> {
        let mut rows = Vec::new();
        loop {
            let packet = self.read_packet();
            match packet.first() {
                // EOF: marker, warnings, status. A row that begins with 0xfe is never this short.
                Some(0xfe) if packet.len() < 9 => {
                    return Ok((rows, u16::from_le_bytes([packet[3], packet[4]])));
                }
                Some(0xff) => return Err(error(&packet)),
                _ => {
                    let mut fields = Fields(&packet);
                    rows.push((0..columns).map(|_| fields.value()).collect());
                }
            }
        }
    }

    fn log_in(&mut self, user: &str, password: &str) -> Result<(), SqlError> {
        let greeting = self.read_packet();
        if greeting.first() == Some(&0xff) {
            return Err(error(&greeting));
        }
        let mut fields = Fields(&greeting);
        fields.skip(1);
        fields.until_nul();
        self.connection_id = fields.u32();
        let mut scramble = fields.take(8).to_vec();
        // filler, capabilities, character set, status, capabilities, length of the scramble, reserved
        fields.skip(1 + 2 + 1 + 2 + 2 + 1 + 10);
        scramble.extend_from_slice(&fields.take(13)[..12]);
        let plugin = String::from_utf8_lossy(fields.until_nul()).into_owned();

        let answer = proof(&plugin, password, &scramble);
        let mut packet = CAPABILITIES.to_le_bytes().to_vec();
        packet.extend_from_slice(&(1_u32 << 30).to_le_bytes());
        packet.push(UTF8MB4_GENERAL_CI);
        packet.extend_from_slice(&[0; 23]);
        packet.extend_from_slice(user.as_bytes());
        packet.push(0);
        packet.push(answer.len() as u8);
        packet.extend_from_slice(&answer);
        packet.extend_from_slice(plugin.as_bytes());
        packet.push(0);
        self.write_packet(&packet);
        self.finish_login(password)
    }

    fn finish_login(&mut self, password: &str) -> Result<(), SqlError> {
        loop {
            let packet = self.read_packet();
            match packet.as_slice() {
                [0x00, ..] => return Ok(()),
                [0xff, ..] => return Err(error(&packet)),
                // caching_sha2_password: 3 says that the short form did, and OK follows.
                [0x01, 0x03] => {}
                [0x01, 0x04] => {
                    panic!("the server has not cached this password: log in once by its own client")
                }
                [0xfe, rest @ ..] => {
                    let mut fields = Fields(rest);
                    let plugin = String::from_utf8_lossy(fields.until_nul()).into_owned();
                    let scramble = fields.take(20).to_vec();
                    self.write_packet(&proof(&plugin, password, &scramble));
                }
                _ => panic!("unexpected answer to the login: {packet:02x?}"),
            }
        }
    }

    fn write_packet(&mut self, payload: &[u8]) {
        let mut pieces: Vec<&[u8]> = payload.chunks(MAX_PACKET).collect();
        if payload.len().is_multiple_of(MAX_PACKET) {
            pieces.push(&[]);
        }
        for piece in pieces {
            let mut header = (piece.len() as u32).to_le_bytes();
            header[3] = self.sequence;
            self.sequence = self.sequence.wrapping_add(1);
            let stream = self.stream.get_mut();
            stream.write_all(&header).and_then(|()| stream.write_all(piece)).expect("the connection broke");
        }
    }

    fn read_packet(&mut self) -> Vec<u8> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream
                .read_exact(&mut header)
                .expect("the connection broke, or nothing came for two minutes");
            self.sequence = header[3].wrapping_add(1);
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            let start = payload.len();
            payload.resize(start + length, 0);
            self.stream.read_exact(&mut payload[start..]).expect("the connection broke inside a packet");
            if length < MAX_PACKET {
                return payload;
            }
        }
    }
}

/// What proves the password without showing it.
fn proof(plugin: &str, password: &str, scramble: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let password = password.as_bytes();
    match plugin {
        "mysql_native_password" => {
            let once = Sha1::digest(password);
            let mixed = Sha1::new().chain_update(scramble).chain_update(Sha1::digest(once)).finalize();
            once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password);
            let mixed = Sha256::new().chain_update(Sha256::digest(once)).chain_update(scramble).finalize();
            once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
        }
        other => panic!("the server wants {other}, which this client does not speak"),
    }
}

fn error(packet: &[u8]) -> SqlError {
    let mut fields = Fields(packet);
    fields.skip(1);
    let code = fields.u16();
    // Behind a '#', five letters of SQLSTATE; absent before the login.
    let message = if fields.0.first() == Some(&b'#') { &fields.0[6..] } else { fields.0 };
    SqlError { code, message: String::from_utf8_lossy(message).into_owned() }
}

fn shortened(sql: &str) -> String {
    let cut = sql.char_indices().nth(2000).map_or(sql.len(), |(at, _)| at);
    if cut == sql.len() { sql.to_owned() } else { format!("{} … ({} bytes)", &sql[..cut], sql.len()) }
}

/// The fields of a packet, front to back. A server that sends a short one fails the test by a panic.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head
    }

    fn skip(&mut self, count: usize) {
        self.take(count);
    }

    fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let head = self.take(end);
        self.skip(usize::from(!self.0.is_empty()));
        head
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    /// A length-encoded number.
    fn length(&mut self) -> usize {
        let first = self.number(1);
        let value = match first {
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            small => small,
        };
        value as usize
    }

    /// A value of a text row: 0xfb is NULL.
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.0.first() == Some(&0xfb) {
            self.skip(1);
            return None;
        }
        let length = self.length();
        Some(self.take(length).to_vec())
    }
}
