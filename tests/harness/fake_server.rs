//! A MySQL server that follows a script: it greets, takes a login, answers statements from a table, and on a dump
//! command does what it was told, including all that real servers only do on bad days. Made of `fountain::wire`, so
//! it proves nothing about the bytes themselves: that is what the real servers are for.
//!
//! Use it by `#[path = "harness/fake_server.rs"] mod fake_server;`.
#![allow(dead_code, reason = "each test uses its own part")]

#[path = "fake_server/tls.rs"]
pub mod tls;

use self::tls::Wire;
use fountain::mysql::SourceConfig;
use fountain::secret::Secret;
use fountain::wire::auth::native_scramble;
use fountain::wire::capability::CLIENT_DEPRECATE_EOF;
use fountain::wire::capability::CLIENT_SSL;
use fountain::wire::capability::WANTED;
use fountain::wire::command::Command;
use fountain::wire::handshake::Greeting;
use fountain::wire::handshake::LOGIN_HEADER;
use fountain::wire::handshake::LoginRequest;
use fountain::wire::handshake::is_ssl_request;
use fountain::wire::packet::FrameBuf;
use fountain::wire::packet::put_packet;
use fountain::wire::response::ErrPacket;
use fountain::wire::response::OkPacket;
use fountain::wire::response::ResultSet;
use fountain::wire::response::encode_eof;
use fountain::wire::response::encode_result_set;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub const USER: &str = "repl";
pub const PASSWORD: &str = "replpw";
/// The random bytes of every greeting.
pub const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";
/// How often waiting threads look whether the test is over.
const TICK: Duration = Duration::from_millis(10);

/// What the server does with one connection.
#[derive(Clone)]
pub struct Script {
    pub version: String,
    pub auth_plugin: String,
    /// Further capabilities in the greeting, and those that it lacks.
    pub offers: u32,
    pub lacks: u32,
    /// Said instead of the greeting.
    pub instead_of_greeting: Option<ErrPacket>,
    /// The greeting as bytes, where [`Greeting`] would make other ones.
    pub raw_greeting: Option<Vec<u8>>,
    /// Said instead of judging the password.
    pub login: Option<Act>,
    /// Done instead of judging the password: what the server sends, and what the client must answer to it.
    pub exchanges: Vec<(Vec<u8>, Vec<u8>)>,
    /// Speaks TLS, and offers it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Answers to statements, by how they begin; the last one that fits counts.
    pub answers: Vec<(String, Act)>,
    /// What happens after COM_REGISTER_SLAVE instead of an OK.
    pub register: Option<Act>,
    /// What happens after a dump command, in order. The server then waits for the client to leave.
    pub dump: Vec<Act>,
    /// Asked before all the above what to do about a statement or a dump command; none: as it says there.
    pub custom: Option<Custom>,
    /// Cuts the connection, or sends nothing more, after so many bytes.
    pub end: Option<(usize, End)>,
}

/// A server that is more than a script.
pub type Custom = Arc<dyn Fn(&Command<'_>) -> Option<Vec<Act>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Cut,
    Stall,
}

/// One thing that a server does.
#[derive(Clone)]
pub enum Act {
    Ok,
    Rows(ResultSet),
    Error(ErrPacket),
    /// One event in its packet.
    Event(Vec<u8>),
    /// A packet as it is.
    Packet(Vec<u8>),
    /// Bytes as they are, in no packet.
    Raw(Vec<u8>),
    Eof,
    Sleep(Duration),
    /// New keys for TLS 1.3.
    RefreshKeys,
    /// One after the other.
    All(Vec<Act>),
    End(End),
}

impl Default for Script {
    /// A MySQL server with the account [`USER`], whose binlog is empty and waits.
    fn default() -> Self {
        let answers = [
            ("SET ", Act::Ok),
            ("SELECT CURRENT_USER()", rows(&["CURRENT_USER()"], &[&["repl@%"]])),
            ("SELECT @@global.binlog_checksum", rows(&["@@global.binlog_checksum"], &[&["CRC32"]])),
            (
                "SHOW GLOBAL VARIABLES",
                rows(
                    &["Variable_name", "Value"],
                    &[&["server_id", "56"], &["log_bin", "ON"], &["binlog_format", "ROW"]],
                ),
            ),
        ];
        Self {
            version: "9.7.0-fake".into(),
            auth_plugin: "mysql_native_password".into(),
            offers: 0,
            lacks: 0,
            instead_of_greeting: None,
            raw_greeting: None,
            login: None,
            exchanges: Vec::new(),
            tls: None,
            answers: answers.into_iter().map(|(sql, act)| (sql.to_string(), act)).collect(),
            register: None,
            dump: Vec::new(),
            custom: None,
            end: None,
        }
    }
}

impl Script {
    /// Adds an answer to statements that begin so.
    pub fn answer(mut self, sql: &str, act: Act) -> Self {
        self.answers.push((sql.to_string(), act));
        self
    }

    /// Says what happens after a dump command.
    pub fn dump(mut self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.dump.extend(acts);
        self
    }
}

/// A result set of texts.
pub fn rows(columns: &[&str], rows: &[&[&str]]) -> Act {
    Act::Rows(ResultSet {
        columns: columns.iter().map(|name| name.to_string()).collect(),
        rows: rows
            .iter()
            .map(|row| row.iter().map(|value| Some(value.as_bytes().to_vec())).collect())
            .collect(),
    })
}

/// The running server. It ends when dropped.
pub struct FakeServer {
    port: u16,
    over: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Serves every connection by the same script.
    pub fn start(script: Script) -> Self {
        Self::start_many(vec![script])
    }

    /// Serves the first connection by the first script, and so on; the last script serves all that come later.
    pub fn start_many(scripts: Vec<Script>) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("a free port"), scripts)
    }

    /// As `start_many`, on a listener of the caller's.
    pub fn serve(listener: TcpListener, scripts: Vec<Script>) -> Self {
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener that does not block");
        let (over, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (their_over, their_heard) = (over.clone(), heard.clone());
        let thread = std::thread::spawn(move || {
            let mut sessions = Vec::new();
            while !their_over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(TICK);
                    continue;
                };
                let script = scripts[sessions.len().min(scripts.len() - 1)].clone();
                let mut session = Session::new(stream, script, their_over.clone(), their_heard.clone());
                sessions.push(std::thread::spawn(move || session.run()));
            }
            for session in sessions {
                session.join().expect("a session of the fake server panicked");
            }
        });
        Self { port, over, heard, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The statements and commands of all connections so far.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until a statement or command is heard that begins so, and answers with all of them.
    pub fn heard_until(&self, start: &str) -> Vec<String> {
        for _ in 0..500 {
            let heard = self.heard();
            if heard.iter().any(|told| told.starts_with(start)) {
                return heard;
            }
            std::thread::sleep(TICK);
        }
        panic!("{start} was never heard, but {:?}", self.heard());
    }

    /// A configuration that reaches this server, with deadlines that a busy machine keeps.
    pub fn config(&self) -> SourceConfig {
        let mut config = SourceConfig::new("127.0.0.1", self.port, USER, Secret::new(PASSWORD.to_string()));
        config.server_id = 4711;
        config.replica_uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562".into();
        let patient = Duration::from_secs(20);
        (config.connect_timeout, config.login_timeout, config.query_timeout) = (patient, patient, patient);
        (config.so_timeout, config.first_event_timeout) = (patient, patient);
        config.heartbeat_period = Duration::from_millis(100);
        config
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the fake server panicked");
        }
    }
}

/// The conversation is over: the client left, the test ended, or the script said so.
struct Gone;

struct Session {
    stream: Wire,
    script: Script,
    frames: FrameBuf,
    over: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<String>>>,
    sent: usize,
    /// So many bytes may be read before it is known whether TLS begins behind them.
    readable: Option<usize>,
    deprecate_eof: bool,
}

impl Session {
    fn new(stream: TcpStream, script: Script, over: Arc<AtomicBool>, heard: Arc<Mutex<Vec<String>>>) -> Self {
        stream.set_nonblocking(false).expect("a stream that blocks");
        stream.set_read_timeout(Some(TICK)).expect("a read timeout");
        stream.set_write_timeout(Some(TICK)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        let (stream, frames) = (Wire::Plain(stream), FrameBuf::new(1 << 24));
        let readable = script.tls.as_ref().map(|_| 4 + LOGIN_HEADER);
        Self { stream, script, frames, over, heard, sent: 0, readable, deprecate_eof: false }
    }

    fn run(&mut self) {
        if self.log_in().is_ok() {
            while self.serve_command().is_ok() {}
        }
    }

    fn log_in(&mut self) -> Result<(), Gone> {
        if let Some(error) = self.script.instead_of_greeting.clone() {
            return self.act(&Act::Error(error)).and(Err(Gone));
        }
        let nonce: Vec<u8> = NONCE.to_vec();
        let offers = self.script.offers | if self.script.tls.is_some() { CLIENT_SSL } else { 0 };
        let mut greeting = Greeting {
            server_version: self.script.version.clone(),
            connection_id: 7,
            nonce: nonce.clone(),
            capabilities: (WANTED | offers) & !self.script.lacks,
            mariadb_capabilities: 0,
            collation: 45,
            status: 2,
            auth_plugin: self.script.auth_plugin.clone(),
        };
        match self.script.raw_greeting.clone() {
            Some(bytes) => {
                greeting = Greeting::parse(&bytes).expect("a greeting");
                self.send_packet(&bytes)?;
            }
            None => self.send_packet(&greeting.encode())?,
        }
        let nonce = greeting.nonce.clone();
        let mut packet = self.read_packet()?;
        if is_ssl_request(&packet) {
            assert!(greeting.capabilities & CLIENT_SSL != 0, "nobody offered TLS");
            self.note("SSL");
            let Some(tls) = self.script.tls.clone() else { return Err(Gone) };
            self.stream.encrypt(tls);
            packet = self.read_packet()?;
        }
        let login = LoginRequest::parse(&packet).expect("a login");
        self.note_login(&login);
        self.deprecate_eof = login.capabilities & CLIENT_DEPRECATE_EOF != 0;
        if let Some(act) = self.script.login.clone() {
            return self.act(&act);
        }
        if !self.script.exchanges.is_empty() {
            return self.exchange();
        }
        let known = login.user == USER.as_bytes();
        if known && login.auth_response == native_scramble(PASSWORD.as_bytes(), &nonce) {
            return self.act(&Act::Ok);
        }
        let user = String::from_utf8_lossy(&login.user).into_owned();
        let text = format!("Access denied for user '{user}'@'127.0.0.1' (using password: YES)");
        self.act(&Act::Error(ErrPacket::new(1045, "28000", &text))).and(Err(Gone))
    }

    fn exchange(&mut self) -> Result<(), Gone> {
        for (sends, answer) in self.script.exchanges.clone() {
            self.send_packet(&sends)?;
            if self.read_packet()? != answer {
                let error = ErrPacket::new(1045, "28000", "Access denied: another answer was expected");
                return self.act(&Act::Error(error)).and(Err(Gone));
            }
        }
        self.act(&Act::Ok)
    }

    fn serve_command(&mut self) -> Result<(), Gone> {
        self.frames.set_sequence(0);
        let packet = self.read_packet()?;
        let command = Command::parse(&packet).expect("a command");
        self.note(&command.to_string());
        if let Some(acts) = self.script.custom.as_ref().and_then(|custom| custom(&command)) {
            acts.iter().try_for_each(|act| self.act(act))?;
            return match command {
                Command::BinlogDump { .. } | Command::BinlogDumpGtid { .. } => self.stall(),
                _ => Ok(()),
            };
        }
        match command {
            Command::Quit => Err(Gone),
            Command::Ping => self.act(&Act::Ok),
            Command::Query(sql) => {
                let sql = String::from_utf8_lossy(sql).into_owned();
                let act = self.script.answers.iter().rev().find(|(start, _)| sql.starts_with(start));
                let unknown =
                    || Act::Error(ErrPacket::new(1064, "42000", "You have an error in your SQL syntax"));
                let act = act.map(|(_, act)| act.clone()).unwrap_or_else(unknown);
                self.act(&act)
            }
            Command::RegisterSlave { .. } => {
                let act = self.script.register.clone().unwrap_or(Act::Ok);
                self.act(&act)
            }
            Command::BinlogDump { .. } | Command::BinlogDumpGtid { .. } => {
                for act in self.script.dump.clone() {
                    self.act(&act)?;
                }
                self.stall()
            }
            Command::Other(number) => panic!("command {number}"),
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), Gone> {
        match act {
            Act::Ok => self.send_packet(&OkPacket::default().encode()),
            Act::Rows(result) => encode_result_set(result, self.deprecate_eof)
                .iter()
                .try_for_each(|packet| self.send_packet(packet)),
            Act::Error(error) => self.send_packet(&error.encode()),
            Act::Event(event) => self.send_packet(&[&[0], event.as_slice()].concat()),
            Act::Packet(payload) => self.send_packet(payload),
            Act::Raw(bytes) => self.send(bytes),
            Act::Eof => self.send_packet(&encode_eof(0)),
            Act::All(acts) => acts.iter().try_for_each(|act| self.act(act)),
            Act::RefreshKeys => {
                self.stream.refresh_keys();
                Ok(())
            }
            Act::Sleep(time) => {
                std::thread::sleep(*time);
                Ok(())
            }
            Act::End(End::Cut) => Err(Gone),
            Act::End(End::Stall) => self.stall(),
        }
    }

    fn send_packet(&mut self, payload: &[u8]) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        let next = put_packet(&mut bytes, self.frames.sequence(), payload);
        self.frames.set_sequence(next);
        self.send(&bytes)
    }

    /// Sends as much as the script allows.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let allowed = self.script.end.map_or(bytes.len(), |(limit, _)| bytes.len().min(limit - self.sent));
        let mut rest = &bytes[..allowed];
        // TLS may keep back what was written, so there is a flush at the end.
        loop {
            let outcome =
                if rest.is_empty() { self.stream.flush().map(|()| 0) } else { self.stream.write(rest) };
            match outcome {
                Ok(_) if rest.is_empty() => break,
                Ok(count) => rest = &rest[count..],
                Err(error) if is_timeout(&error) && !self.over.load(Ordering::Relaxed) => {}
                Err(_) => return Err(Gone),
            }
        }
        self.sent += allowed;
        match self.script.end {
            Some((limit, End::Cut)) if self.sent == limit => Err(Gone),
            Some((limit, End::Stall)) if self.sent == limit => self.stall(),
            _ => Ok(()),
        }
    }

    /// Does nothing until the client leaves or the test ends.
    fn stall(&mut self) -> Result<(), Gone> {
        loop {
            self.read_some()?;
        }
    }

    fn read_packet(&mut self) -> Result<Vec<u8>, Gone> {
        loop {
            if let Some(packet) = self.frames.next_packet().expect("packets in order") {
                return Ok(packet.to_vec());
            }
            self.read_some()?;
        }
    }

    fn read_some(&mut self) -> Result<(), Gone> {
        loop {
            let spare = self.frames.spare();
            let room = self.readable.map_or(spare.len(), |left| left.min(spare.len()));
            match self.stream.read(&mut spare[..room]) {
                Ok(0) => return Err(Gone),
                Ok(count) => {
                    self.frames.filled(count);
                    // A login is longer than the request for TLS, which has no more than these bytes.
                    self.readable = self.readable.map(|left| left - count).filter(|left| *left > 0);
                    return Ok(());
                }
                Err(error) if is_timeout(&error) && !self.over.load(Ordering::Relaxed) => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Only for tests that script the login: the others count what comes after it.
    fn note_login(&self, login: &LoginRequest) {
        if !self.script.exchanges.is_empty() || self.script.raw_greeting.is_some() {
            let user = String::from_utf8_lossy(&login.user);
            self.note(&format!("LOGIN {user} by {:?}, collation {}", login.auth_plugin, login.collation));
        }
    }

    fn note(&self, what: &str) {
        self.heard.lock().unwrap().push(what.to_string());
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
