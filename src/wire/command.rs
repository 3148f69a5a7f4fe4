//! Commands: what a client says once it is logged in. Each is one packet that starts with the command's number.

use crate::codec::CodecError;
use crate::codec::Reader;
use std::fmt;

pub const COM_QUIT: u8 = 0x01;
pub const COM_QUERY: u8 = 0x03;
pub const COM_PING: u8 = 0x0e;
pub const COM_BINLOG_DUMP: u8 = 0x12;
pub const COM_REGISTER_SLAVE: u8 = 0x15;
pub const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// The flags of both dump commands: one bit that means different things.
///
/// MySQL 8.0.26 and later: USE_HEARTBEAT_EVENT_V2, heartbeats that carry 64 bits of position. MariaDB:
/// BINLOG_SEND_ANNOTATE_ROWS_EVENT; it leaves those events out otherwise, and as its headers tell no positions inside
/// a transaction (11.4 and later), only a stream without holes lets them be counted. MySQL from 5.5 on looks at
/// [`DUMP_NON_BLOCK`] alone; BINLOG_THROUGH_GTID (4) is implied. Not for servers before 5.5:
/// patched ones, of which Baidu's is one, may take the bit for the wish to answer each event (semi-synchronous).
pub const DUMP_FLAGS: u16 = 2;
/// BINLOG_DUMP_NON_BLOCK: at the end of its binlog the server ends the stream instead of waiting for more.
pub const DUMP_NON_BLOCK: u16 = 1;

/// The server refuses a longer host name in COM_REGISTER_SLAVE (HOSTNAME_LENGTH, 60 until 8.0.17).
const REPORT_HOST_MAX: usize = 60;

/// A command, as the client writes it and as a server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    Quit,
    Query(&'a [u8]),
    Ping,
    /// Puts us on the list of `SHOW REPLICAS`.
    RegisterSlave {
        server_id: u32,
        host: &'a [u8],
        port: u16,
    },
    /// The stream from a place in a file on; at the end the server waits for new events, unless told not to.
    BinlogDump {
        pos: u32,
        /// [`DUMP_FLAGS`] or none, and [`DUMP_NON_BLOCK`].
        flags: u16,
        server_id: u32,
        file: &'a [u8],
    },
    /// The stream of all transactions outside a set, which is in the server's binary form. `file` stays empty: with
    /// a name the server starts at that file, and transactions before it are lost.
    BinlogDumpGtid {
        server_id: u32,
        file: &'a [u8],
        pos: u64,
        gtid_set: &'a [u8],
    },
    /// A command that fountain never sends.
    Other(u8),
}

impl<'a> Command<'a> {
    /// The packet's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Quit => out.push(COM_QUIT),
            Self::Query(sql) => {
                out.push(COM_QUERY);
                out.extend_from_slice(sql);
            }
            Self::Ping => out.push(COM_PING),
            Self::RegisterSlave { server_id, host, port } => {
                out.push(COM_REGISTER_SLAVE);
                out.extend_from_slice(&server_id.to_le_bytes());
                put_short(&mut out, host);
                put_short(&mut out, b""); // user and password: shown to people only, so not told
                put_short(&mut out, b"");
                out.extend_from_slice(&port.to_le_bytes());
                out.extend_from_slice(&[0; 8]); // rank (unused), source id (the server fills in its own)
            }
            Self::BinlogDump { pos, flags, server_id, file } => {
                out.push(COM_BINLOG_DUMP);
                out.extend_from_slice(&pos.to_le_bytes());
                out.extend_from_slice(&flags.to_le_bytes());
                out.extend_from_slice(&server_id.to_le_bytes());
                out.extend_from_slice(file);
            }
            Self::BinlogDumpGtid { server_id, file, pos, gtid_set } => {
                out.push(COM_BINLOG_DUMP_GTID);
                out.extend_from_slice(&DUMP_FLAGS.to_le_bytes());
                out.extend_from_slice(&server_id.to_le_bytes());
                put_long(&mut out, file);
                out.extend_from_slice(&pos.to_le_bytes());
                put_long(&mut out, gtid_set);
            }
            Self::Other(number) => out.push(*number),
        }
        out
    }

    /// The server's side: reads what [`Self::encode`] writes.
    pub fn parse(payload: &'a [u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(payload);
        Ok(match r.u8("command")? {
            COM_QUIT => Self::Quit,
            COM_QUERY => Self::Query(r.rest()),
            COM_PING => Self::Ping,
            COM_REGISTER_SLAVE => {
                let server_id = r.u32("COM_REGISTER_SLAVE: server id")?;
                let host = take_short(&mut r, "COM_REGISTER_SLAVE: host")?;
                take_short(&mut r, "COM_REGISTER_SLAVE: user")?;
                take_short(&mut r, "COM_REGISTER_SLAVE: password")?;
                let port = r.u16("COM_REGISTER_SLAVE: port")?;
                r.skip(8, "COM_REGISTER_SLAVE: rank and source id")?;
                Self::RegisterSlave { server_id, host, port }
            }
            COM_BINLOG_DUMP => {
                let pos = r.u32("COM_BINLOG_DUMP: position")?;
                let flags = r.u16("COM_BINLOG_DUMP: flags")?;
                let server_id = r.u32("COM_BINLOG_DUMP: server id")?;
                Self::BinlogDump { pos, flags, server_id, file: r.rest() }
            }
            COM_BINLOG_DUMP_GTID => {
                r.skip(2, "COM_BINLOG_DUMP_GTID: flags")?;
                let server_id = r.u32("COM_BINLOG_DUMP_GTID: server id")?;
                let file = take_long(&mut r, "COM_BINLOG_DUMP_GTID: file")?;
                let pos = r.u64("COM_BINLOG_DUMP_GTID: position")?;
                let gtid_set = take_long(&mut r, "COM_BINLOG_DUMP_GTID: set")?;
                Self::BinlogDumpGtid { server_id, file, pos, gtid_set }
            }
            number => Self::Other(number),
        })
    }
}

/// As a log shows it; a set by its size alone.
impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        match self {
            Self::Quit => f.write_str("QUIT"),
            Self::Ping => f.write_str("PING"),
            Self::Query(sql) => write!(f, "{}", text(sql)),
            Self::RegisterSlave { server_id, host, port } => {
                write!(f, "REGISTER {server_id} {}:{port}", text(host))
            }
            Self::BinlogDump { pos, server_id, file, .. } => {
                write!(f, "DUMP {server_id} {}:{pos}", text(file))
            }
            Self::BinlogDumpGtid { server_id, file, pos, gtid_set } => {
                write!(f, "DUMP_GTID {server_id} {}:{pos} {} bytes", text(file), gtid_set.len())
            }
            Self::Other(number) => write!(f, "COMMAND {number}"),
        }
    }
}

fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..REPORT_HOST_MAX).unwrap_or(text);
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn take_short<'a>(r: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], CodecError> {
    let length = r.u8(what)?;
    r.take(length.into(), what)
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take_long<'a>(r: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], CodecError> {
    let length = r.u32(what)?;
    r.take(length as usize, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_back() {
        for command in [
            Command::Quit,
            Command::Query(b"SELECT 1"),
            Command::Ping,
            Command::RegisterSlave { server_id: 7, host: b"node1", port: 0 },
            Command::BinlogDump { pos: 4, flags: DUMP_FLAGS, server_id: 7, file: b"mysql-bin.000001" },
            Command::BinlogDumpGtid { server_id: 7, file: b"", pos: 4, gtid_set: &[0; 8] },
            Command::Other(0x1f),
        ] {
            assert_eq!(Command::parse(&command.encode()), Ok(command));
        }
    }

    #[test]
    fn the_dump_commands_are_laid_out_as_the_manual_says() {
        let dump =
            Command::BinlogDump { pos: 0x0102, flags: DUMP_FLAGS, server_id: 3, file: b"b.1" }.encode();
        assert_eq!(dump, b"\x12\x02\x01\0\0\x02\0\x03\0\0\0b.1");
        let dump = Command::BinlogDumpGtid { server_id: 3, file: b"", pos: 4, gtid_set: b"S" }.encode();
        assert_eq!(dump, b"\x1e\x02\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0S");
        let register = Command::RegisterSlave { server_id: 3, host: &[b'h'; 99], port: 9 }.encode();
        assert_eq!(register.len(), 1 + 4 + 1 + 60 + 1 + 1 + 2 + 8);
    }

    #[test]
    fn a_cut_command_is_an_error() {
        let gtid = Command::BinlogDumpGtid { server_id: 3, file: b"f", pos: 4, gtid_set: &[1; 9] }.encode();
        let register = Command::RegisterSlave { server_id: 3, host: b"h", port: 9 }.encode();
        for whole in [gtid, register] {
            for cut in 0..whole.len() {
                assert!(Command::parse(&whole[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
