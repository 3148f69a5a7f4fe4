//! The 19 bytes that begin every event of binlog version 4.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT;
use crate::binlog::event_type::HEARTBEAT_LOG_EVENT_V2;
use crate::binlog::event_type::ROTATE_EVENT;
use crate::codec::CodecError;
use crate::codec::Reader;

/// Size of the header in bytes. A format description may announce a longer one: `Format::header_length`.
pub const HEADER_LENGTH: usize = 19;

/// Bits of [`EventHeader::flags`], from MySQL's and MariaDB's `log_event.h`.
pub mod flags {
    /// FORMAT_DESCRIPTION_EVENT only: the file was not closed (it is being written, or the server died).
    pub const BINLOG_IN_USE: u16 = 0x1;
    /// The statement depends on its thread (temporary tables).
    pub const THREAD_SPECIFIC: u16 = 0x4;
    /// The statement needs no default database.
    pub const SUPPRESS_USE: u16 = 0x8;
    /// Made up by the sender, written in no binlog.
    pub const ARTIFICIAL: u16 = 0x20;
    /// Written by a replica into its relay log.
    pub const RELAY_LOG: u16 = 0x40;
    /// Whoever does not know the event's type may pass it over.
    pub const IGNORABLE: u16 = 0x80;
    /// MySQL: not subject to replication filters.
    pub const NO_FILTER: u16 = 0x100;
    /// MySQL: to be applied alone.
    pub const MTS_ISOLATE: u16 = 0x200;
    /// MariaDB: logged under `@@skip_replication`.
    pub const MARIADB_SKIP_REPLICATION: u16 = 0x8000;
}

/// In wire order (`Log_event_header` in MySQL's `binlog_event.h`):
/// timestamp 4 · event type 1 · server id 4 · event size 4 · next position 4 · flags 2, all little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970 when the statement began; 0 in most artificial events.
    pub timestamp: u32,
    /// One of the numbers in `event_type`.
    pub event_type: u8,
    /// `server_id` of the server that first logged the event.
    pub server_id: u32,
    /// Bytes of the whole event: header, body and checksum.
    pub event_size: u32,
    /// Where the next event begins in the file of the server that sends it, modulo 2^32 (`log_pos`). In a
    /// relay log: in the source's file. 0: not said (made-up events; MariaDB 11.4 and later inside a
    /// transaction).
    pub next_pos: u32,
    /// Bits of [`flags`].
    pub flags: u16,
}

impl EventHeader {
    /// Reads the header of `event`, which may hold more than the header.
    pub fn parse(event: &[u8]) -> Result<Self, BinlogError> {
        Self::read(&mut Reader::new(event)).map_err(BinlogError::Header)
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            timestamp: bytes.u32("timestamp")?,
            event_type: bytes.u8("event type")?,
            server_id: bytes.u32("server id")?,
            event_size: bytes.u32("event size")?,
            next_pos: bytes.u32("next position")?,
            flags: bytes.u16("flags")?,
        })
    }

    /// Whether the sender made the event up, so that it stands in no file and moves no position. The server
    /// says so in the header only: by the flag, or (older ones) by a timestamp and a next position of 0
    /// (`Binlog_sender::fake_rotate_event` in `sql/rpl_binlog_sender.cc`). Heartbeats carry neither.
    pub fn is_artificial(&self) -> bool {
        match self.event_type {
            HEARTBEAT_LOG_EVENT | HEARTBEAT_LOG_EVENT_V2 => true,
            ROTATE_EVENT => self.has(flags::ARTIFICIAL) || (self.timestamp == 0 && self.next_pos == 0),
            // A dump that begins inside a file is preceded by that file's format description, next_pos set to
            // 0.
            FORMAT_DESCRIPTION_EVENT => self.has(flags::ARTIFICIAL) || self.next_pos == 0,
            _ => self.has(flags::ARTIFICIAL),
        }
    }

    /// Whether a replica wrote the event into its relay log itself, instead of copying it from its source
    /// (MySQL 5.6, MariaDB 10.0 and later say so).
    pub fn is_of_relay_log(&self) -> bool {
        self.has(flags::RELAY_LOG)
    }

    /// Whether an event of unknown type may be passed over.
    pub fn is_ignorable(&self) -> bool {
        self.has(flags::IGNORABLE)
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Insists that the header's size is that of the event at hand.
    pub(super) fn check_size(&self, event: &[u8]) -> Result<(), BinlogError> {
        let have = event.len();
        if usize::try_from(self.event_size) == Ok(have) && have >= HEADER_LENGTH {
            return Ok(());
        }
        Err(BinlogError::Size { event_type: self.event_type, event_size: self.event_size, have })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ROTATE_EVENT that MySQL 9.7.4 makes up before the first event of a dump.
    const ARTIFICIAL_ROTATE: &str =
        "0000000004610000002c000000000000002000040000000000000062696e6c6f672e30303030313766d9dee5";

    #[test]
    fn fields_stand_in_wire_order() {
        let event = crate::binlog::testing::hex(ARTIFICIAL_ROTATE);
        let header = EventHeader::parse(&event).unwrap();
        let expected = EventHeader {
            timestamp: 0,
            event_type: ROTATE_EVENT,
            server_id: 97,
            event_size: 44,
            next_pos: 0,
            flags: flags::ARTIFICIAL,
        };
        assert_eq!(header, expected);
        assert!(header.is_artificial());
        assert!(header.check_size(&event).is_ok());
        assert!(header.check_size(&event[..43]).is_err());
    }

    #[test]
    fn a_short_header_says_which_field_is_missing() {
        for cut in 0..HEADER_LENGTH {
            assert!(EventHeader::parse(&[0; HEADER_LENGTH][..cut]).is_err());
        }
        let error = EventHeader::parse(&[0; 10]).unwrap_err();
        assert_eq!(error.to_string(), "event header: event size: need 4 bytes at offset 9, have 1");
    }

    #[test]
    fn a_size_below_the_header_is_refused() {
        let mut event = vec![0; 18];
        event[9] = 18;
        assert!(EventHeader::parse(&event).is_err());
        let header = EventHeader::parse(&[0; 19]).unwrap();
        assert!(header.check_size(&[]).is_err());
    }
}
