//! Baidu's MySQL 5.1 ("Ares") as a fake server: the events of a real MySQL 5.6 in 5.1's clothes. Each event but ROTATE and
//! FORMAT_DESCRIPTION has eight bytes more in its header, which hold the group id of its transaction.
//!
//! Use it beside `mod fake_server;` and `mod harness;`.
#![allow(dead_code, reason = "each test uses its own part")]

use super::fake_server::Act;
use super::fake_server::Custom;
use super::fake_server::FakeServer;
use super::fake_server::Script;
use super::fake_server::rows;
use super::harness::Server;
use fountain::wire::capability::CLIENT_CONNECT_ATTRS;
use fountain::wire::capability::CLIENT_DEPRECATE_EOF;
use fountain::wire::capability::CLIENT_PLUGIN_AUTH;
use fountain::wire::capability::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
use fountain::wire::command::Command;
use fountain::wire::command::DUMP_NON_BLOCK;
use fountain::wire::response::ErrPacket;
use fountain::wire::response::ResultSet;
use std::sync::Arc;
use std::sync::Mutex;

/// Options that make a 5.6 server log as 5.1 does, but for its headers.
pub const LIKE_5_1: &[&str] = &["--log-bin-use-v1-row-events=1", "--binlog-checksum=NONE"];

const QUERY: u8 = 2;
const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
/// The newest type that 5.1 knows (HEARTBEAT came with 5.5).
const INCIDENT: u8 = 26;
const MAGIC: &[u8] = b"\xfebin";

/// One transaction: the types and bodies of its events.
#[derive(Clone)]
pub struct Transaction {
    events: Vec<Logged>,
}

#[derive(Clone)]
struct Logged {
    timestamp: u32,
    event_type: u8,
    flags: u16,
    body: Vec<u8>,
}

/// The transactions in the binlogs of a server with the options `LIKE_5_1`, in order.
pub fn transactions(server: &Server) -> Vec<Transaction> {
    let mut found = Vec::new();
    let mut open: Option<Vec<Logged>> = None;
    for path in server.binlogs() {
        let bytes = std::fs::read(&path).expect("cannot read a binlog");
        let mut rest = bytes.strip_prefix(MAGIC).expect("a binlog");
        while rest.len() >= 19 {
            let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let (event, behind) = rest.split_at(number(9) as usize);
            let logged = Logged {
                timestamp: number(0),
                event_type: event[4],
                flags: u16::from_le_bytes(event[17..19].try_into().unwrap()),
                body: event[19..].to_vec(),
            };
            rest = behind;
            match (&mut open, logged.event_type) {
                (_, ROTATE | FORMAT_DESCRIPTION) => {}
                (_, event_type) if event_type > INCIDENT || event_type == 3 => {}
                (None, QUERY) if logged.body.ends_with(b"BEGIN") => open = Some(vec![logged]),
                (None, _) => found.push(Transaction { events: vec![logged] }),
                (Some(events), event_type) => {
                    let ends = event_type == XID || logged.body.ends_with(b"COMMIT");
                    events.push(logged);
                    if ends {
                        found.push(Transaction { events: open.take().unwrap() });
                    }
                }
            }
        }
    }
    assert!(open.is_none(), "the last transaction has ended");
    found
}

/// One server's binlog in Ares' form.
#[derive(Clone)]
pub struct AresLog {
    pub server_id: u32,
    pub version: String,
    base: String,
    files: Vec<File>,
    /// Where each group ends: id, file, position.
    ends: Vec<(u64, String, u64)>,
}

#[derive(Clone)]
struct File {
    name: String,
    bytes: Vec<u8>,
    /// Where each event starts, as the server counts.
    starts: Vec<u64>,
    /// Bytes that are counted and not there.
    missing: u64,
}

impl File {
    fn end(&self) -> u64 {
        self.bytes.len() as u64 + self.missing
    }
}

impl AresLog {
    /// An empty log of files `base.000001`, ….
    pub fn new(server_id: u32, base: &str) -> AresLog {
        let mut log = AresLog {
            server_id,
            version: "5.1.47-ares-log".into(),
            base: base.into(),
            files: Vec::new(),
            ends: Vec::new(),
        };
        log.begin_file();
        log
    }

    fn begin_file(&mut self) {
        let name = format!("{}.{:06}", self.base, self.files.len() + 1);
        let mut bytes = MAGIC.to_vec();
        let end = (MAGIC.len() + 19 + DESCRIPTION_LENGTH) as u32;
        bytes.extend(event(
            1_700_000_000,
            FORMAT_DESCRIPTION,
            self.server_id,
            end,
            0,
            None,
            &description(&self.version),
        ));
        self.files.push(File { name, bytes, starts: vec![MAGIC.len() as u64], missing: 0 });
    }

    /// From here on the file counts so many bytes more than it has, as if MariaDB kept an event to itself. Less than 2 GiB.
    pub fn leave_out(&mut self, bytes: u64) {
        self.files.last_mut().unwrap().missing += bytes;
    }

    /// FLUSH LOGS: the rest goes to the next file.
    pub fn rotate(&mut self) {
        let next = format!("{}.{:06}", self.base, self.files.len() + 1);
        let body = [&4u64.to_le_bytes()[..], next.as_bytes()].concat();
        self.push(1_700_000_000, ROTATE, 0, None, &body);
        self.begin_file();
    }

    fn push(&mut self, timestamp: u32, event_type: u8, flags: u16, group: Option<u64>, body: &[u8]) {
        let server_id = self.server_id;
        let file = self.files.last_mut().unwrap();
        let length = 19 + group.map_or(0, |_| 8) + body.len();
        let start = file.end();
        let end = (start + length as u64) as u32;
        file.starts.push(start);
        file.bytes.extend(event(timestamp, event_type, server_id, end, flags, group, body));
    }

    /// Logs a transaction under a group id.
    pub fn log(&mut self, id: u64, transaction: &Transaction) {
        for logged in &transaction.events {
            self.push(logged.timestamp, logged.event_type, logged.flags, Some(id), &logged.body);
        }
        let (file, pos) = self.end();
        self.ends.push((id, file, pos));
    }

    /// PURGE BINARY LOGS: only the last file stays.
    pub fn purge(&mut self) {
        self.files.drain(..self.files.len() - 1);
        let last = self.files[0].name.clone();
        self.ends.retain(|(_, file, _)| *file == last);
    }

    /// Where the log ends.
    pub fn end(&self) -> (String, u64) {
        let file = self.files.last().unwrap();
        (file.name.clone(), file.end())
    }

    /// The bytes of all files, by name.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.files.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect()
    }

    /// What the server sends from a place on.
    fn dump(&self, name: &str, pos: u64) -> Vec<Act> {
        let fatal = |text: &str| vec![Act::Error(ErrPacket::new(1236, "HY000", text))];
        let Some(first) = self.files.iter().position(|file| file.name == name) else {
            return fatal("Could not find first log file name in binary log index file");
        };
        if pos > self.files[first].end() {
            return fatal("Client requested master to start replication from impossible position");
        }
        let mut acts = Vec::new();
        let mut start = pos;
        for file in &self.files[first..] {
            let body = [&start.to_le_bytes()[..], file.name.as_bytes()].concat();
            acts.push(Act::Event(event(0, ROTATE, self.server_id, 0, 0x20, None, &body)));
            for (at, bytes) in file.starts.iter().zip(events(&file.bytes)) {
                if *at >= start {
                    acts.push(Act::Event(bytes.to_vec()));
                } else if bytes[4] == FORMAT_DESCRIPTION {
                    let mut description = bytes.to_vec();
                    description[13..17].fill(0);
                    acts.push(Act::Event(description));
                }
            }
            start = MAGIC.len() as u64;
        }
        acts
    }

    fn answer(&self, sql: &str) -> Option<Act> {
        let lower = sql.to_lowercase();
        let (file, pos) = self.end();
        let pos = pos.to_string();
        Some(if let Some(id) = lower.strip_prefix("show binlog info for ") {
            let id: u64 = id.parse().expect("a group id");
            let columns = ["Log_name", "Pos", "Server_ID"];
            match self.ends.iter().find(|(known, ..)| *known == id) {
                Some((_, file, pos)) => {
                    rows(&columns, &[&[file, &pos.to_string(), &self.server_id.to_string()]])
                }
                None => rows(&columns, &[]),
            }
        } else if lower.starts_with("show master status") {
            let last = self.ends.last().map_or(0, |(id, ..)| *id).to_string();
            let columns = ["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Group_ID"];
            rows(&columns, &[&[&file, &pos, "", "", &last]])
        } else if lower.starts_with("show binary logs") {
            let sizes: Vec<String> = self.files.iter().map(|file| file.end().to_string()).collect();
            let files: Vec<[&str; 2]> = self
                .files
                .iter()
                .zip(&sizes)
                .map(|(file, size)| [file.name.as_str(), size.as_str()])
                .collect();
            let files: Vec<&[&str]> = files.iter().map(|file| &file[..]).collect();
            rows(&["Log_name", "File_size"], &files)
        } else if lower.starts_with("show global variables") {
            rows(
                &["Variable_name", "Value"],
                &[
                    &["version", &self.version],
                    &["server_id", &self.server_id.to_string()],
                    &["log_bin", "ON"],
                    &["binlog_format", "ROW"],
                ],
            )
        } else if lower.starts_with("select @@global.binlog_checksum") {
            Act::Error(ErrPacket::new(1193, "HY000", "Unknown system variable 'binlog_checksum'"))
        } else if lower.starts_with("set names utf8mb4") {
            Act::Error(ErrPacket::new(1115, "42000", "Unknown character set: 'utf8mb4'"))
        } else if lower.starts_with("select table_schema") {
            let text = |text: &str| Some(text.as_bytes().to_vec());
            let column = |name, kind, charset| vec![text("d"), text("t"), text(name), text(kind), charset];
            let columns = ["TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "CHARACTER_SET_NAME"];
            Act::Rows(ResultSet {
                columns: columns.map(str::to_owned).to_vec(),
                rows: vec![column("id", "int(11)", None), column("name", "varchar(20)", text("latin1"))],
            })
        } else if lower.starts_with("show create table") {
            rows(&["Table", "Create Table"], &[&["t", "CREATE TABLE `t` (…)"]])
        } else if lower.starts_with("show keys") {
            rows(
                &["Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Sub_part", "Null"],
                &[&["t", "0", "PRIMARY", "1", "id", "", ""]],
            )
        } else {
            return None;
        })
    }
}

/// A running server, whose log may grow.
pub struct AresServer {
    pub fake: FakeServer,
    log: Arc<Mutex<AresLog>>,
    sends: Arc<Mutex<Sends>>,
}

/// What it sends of its log.
#[derive(Clone, Copy)]
enum Sends {
    All,
    /// So many events, and then nothing more.
    Few(usize),
}

impl AresServer {
    pub fn start(log: AresLog) -> AresServer {
        let log = Arc::new(Mutex::new(log));
        let sends = Arc::new(Mutex::new(Sends::All));
        let (theirs, their_sends) = (log.clone(), sends.clone());
        let custom: Custom = Arc::new(move |command| {
            let log = theirs.lock().unwrap();
            match command {
                Command::Query(sql) => log.answer(&String::from_utf8_lossy(sql)).map(|act| vec![act]),
                Command::BinlogDump { pos, file, flags, .. } => {
                    let mut acts = log.dump(&String::from_utf8_lossy(file), (*pos).into());
                    if flags & DUMP_NON_BLOCK != 0 {
                        acts.push(Act::Eof);
                    } else if let Sends::Few(events) = *their_sends.lock().unwrap() {
                        acts.truncate(events);
                    }
                    Some(acts)
                }
                _ => None,
            }
        });
        // 5.1 knows none of these.
        let lacks = CLIENT_PLUGIN_AUTH
            | CLIENT_CONNECT_ATTRS
            | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
            | CLIENT_DEPRECATE_EOF;
        let version = log.lock().unwrap().version.clone();
        let script =
            Script { version, auth_plugin: String::new(), lacks, custom: Some(custom), ..Script::default() };
        AresServer { fake: FakeServer::start(script), log, sends }
    }

    pub fn change(&self, change: impl FnOnce(&mut AresLog)) {
        change(&mut self.log.lock().unwrap());
    }

    /// From now on each dump falls silent behind so many events.
    pub fn silent_behind(&self, events: usize) {
        *self.sends.lock().unwrap() = Sends::Few(events);
    }

    pub fn port(&self) -> u16 {
        self.fake.port()
    }
}

const DESCRIPTION_LENGTH: usize = 2 + 50 + 4 + 1 + 27;

/// The body of 5.1's format description, with headers of 27 bytes.
fn description(version: &str) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend_from_slice(version.as_bytes());
    body.resize(2 + 50, 0);
    body.extend_from_slice(&1_700_000_000u32.to_le_bytes());
    body.push(27);
    // As MySQL 5.1 writes them (`Format_description_log_event`), for the types 1 to 27.
    body.extend_from_slice(&[
        56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 84, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0,
    ]);
    assert_eq!(body.len(), DESCRIPTION_LENGTH);
    body
}

fn event(
    timestamp: u32,
    event_type: u8,
    server_id: u32,
    next_pos: u32,
    flags: u16,
    group: Option<u64>,
    body: &[u8],
) -> Vec<u8> {
    let extra = group.map(|id| id.to_le_bytes().to_vec()).unwrap_or_default();
    let mut event = timestamp.to_le_bytes().to_vec();
    event.push(event_type);
    event.extend(server_id.to_le_bytes());
    event.extend((19 + extra.len() as u32 + body.len() as u32).to_le_bytes());
    event.extend(next_pos.to_le_bytes());
    event.extend(flags.to_le_bytes());
    event.extend(extra);
    event.extend(body);
    event
}

/// The events of a file.
fn events(file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = MAGIC.len();
    while at < file.len() {
        let size = u32::from_le_bytes(file[at + 9..at + 13].try_into().unwrap()) as usize;
        found.push(&file[at..at + size]);
        at += size;
    }
    found
}
