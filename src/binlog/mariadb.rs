//! MariaDB's own events (160 to 172), from `sql/log_event.h` and `sql/log_event.cc` of the MariaDB server.

use crate::binlog::header::EventHeader;
use crate::binlog::mariadb_binlog_state::MariadbBinlogState;
use crate::binlog::mariadb_gtid::MariadbGtid;
use crate::binlog::xa::XaXid;
use crate::codec::CodecError;
use crate::codec::Reader;

/// Bits of [`MariadbGtidEvent::flags`].
pub mod gtid_flags {
    /// No COMMIT follows: the event group is a single statement (DDL).
    pub const STANDALONE: u8 = 1;
    /// A commit id follows.
    pub const GROUP_COMMIT_ID: u8 = 2;
    /// The group can be rolled back safely.
    pub const TRANSACTIONAL: u8 = 4;
    pub const ALLOW_PARALLEL: u8 = 8;
    /// The transaction waited for a lock.
    pub const WAITED: u8 = 16;
    pub const DDL: u8 = 32;
    /// The group ends in XA PREPARE.
    pub const PREPARED_XA: u8 = 64;
    /// The group is XA COMMIT or XA ROLLBACK.
    pub const COMPLETED_XA: u8 = 128;
}

/// Bits of the second byte of flags: what follows it.
const EXTRA_MULTI_ENGINE: u8 = 1;
const EXTRA_START_ALTER: u8 = 2;
const EXTRA_COMMIT_ALTER: u8 = 4;
const EXTRA_ROLLBACK_ALTER: u8 = 8;

/// GTID_EVENT (162), in front of every transaction and DDL; there is no BEGIN behind it. In wire order:
/// sequence number 8 · domain 4 · flags 1 · by the flags: commit id 8 · xid (format id 4, length of gtrid 1,
/// of bqual 1, both) · flags 1 and what they announce · zeros up to 19 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbGtidEvent<'a> {
    /// The server id is the event header's.
    pub gtid: MariadbGtid,
    /// Bits of [`gtid_flags`].
    pub flags: u8,
    /// Transactions with the same id committed together.
    pub commit_id: Option<u64>,
    /// With PREPARED_XA and COMPLETED_XA.
    pub xid: Option<XaXid<'a>>,
    /// The group is the first half of a two-phase ALTER: nothing is changed yet.
    pub start_alter: bool,
    /// The sequence number of the START ALTER that this group commits or rolls back.
    pub end_of_alter: Option<u64>,
}

impl<'a> MariadbGtidEvent<'a> {
    pub(super) fn read(header: &EventHeader, bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let sequence = bytes.u64("sequence number")?;
        let domain = bytes.u32("domain")?;
        let flags = bytes.u8("gtid flags")?;
        let commit_id = match flags & gtid_flags::GROUP_COMMIT_ID {
            0 => None,
            _ => Some(bytes.u64("commit id")?),
        };
        let xid = match flags & (gtid_flags::PREPARED_XA | gtid_flags::COMPLETED_XA) {
            0 => None,
            _ => Some(read_xid(bytes)?),
        };
        let gtid = MariadbGtid { domain, server_id: header.server_id, sequence };
        let mut event = Self { gtid, flags, commit_id, xid, start_alter: false, end_of_alter: None };
        event.read_extra_flags(bytes)?;
        Ok(event)
    }

    /// The rest is flags of 10.6 and later, or the zeros with which all versions fill up.
    fn read_extra_flags(&mut self, bytes: &mut Reader<'a>) -> Result<(), CodecError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let extra = bytes.u8("extra gtid flags")?;
        if extra & EXTRA_MULTI_ENGINE != 0 {
            bytes.u8("number of engines")?;
        }
        self.start_alter = extra & EXTRA_START_ALTER != 0;
        if extra & (EXTRA_COMMIT_ALTER | EXTRA_ROLLBACK_ALTER) != 0 {
            self.end_of_alter = Some(bytes.u64("sequence number of START ALTER")?);
        }
        Ok(())
    }
}

fn read_xid<'a>(bytes: &mut Reader<'a>) -> Result<XaXid<'a>, CodecError> {
    let format_id = bytes.u32("format id")?;
    let gtrid = bytes.u8("length of gtrid")?;
    let bqual = bytes.u8("length of bqual")?;
    XaXid::read_parts(bytes, format_id, gtrid.into(), bqual.into())
}

/// GTID_LIST_EVENT (163), at a file's start: the server's `gtid_binlog_state`, and artificial ones in dumps.
/// In wire order: count and flags 4 (28 and 4 bits) · for each: domain 4 · server id 4 · sequence number 8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariadbGtidList {
    /// 1: the place of START SLAVE UNTIL is reached. 2: GTIDs that were left out of the dump.
    pub flags: u8,
    /// In an artificial one of a dump: only of domains that the server had to search in.
    pub state: MariadbBinlogState,
}

impl MariadbGtidList {
    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        let head = bytes.u32("number of gtids")?;
        let mut gtids = Vec::new();
        for _ in 0..head & 0x0fff_ffff {
            let (domain, server_id) = (bytes.u32("domain")?, bytes.u32("server id")?);
            gtids.push(MariadbGtid { domain, server_id, sequence: bytes.u64("sequence number")? });
        }
        Ok(Self { flags: (head >> 28) as u8, state: MariadbBinlogState { gtids } })
    }
}

/// BINLOG_CHECKPOINT_EVENT (161): length 4 · name of the oldest file that crash recovery needs.
pub(super) fn read_checkpoint<'a>(bytes: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    let length = bytes.u32("length of the file name")?;
    match usize::try_from(length) {
        Ok(length) => bytes.take(length, "file name"),
        Err(_) => Err(bytes.invalid("length of the file name", length.into())),
    }
}

/// START_ENCRYPTION_EVENT (164): what follows in the file is encrypted. A dump comes decrypted. In wire
/// order: scheme 1 · key version 4 · nonce 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartEncryption {
    pub scheme: u8,
    pub key_version: u32,
}

impl StartEncryption {
    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (scheme, key_version) = (bytes.u8("scheme")?, bytes.u32("key version")?);
        bytes.skip(12, "nonce")?;
        Ok(Self { scheme, key_version })
    }
}

/// PARTIAL_ROW_DATA_EVENT (172, MariaDB 12.3): a piece of a row event that was too large for one. In wire
/// order: pieces 4 · number of this piece 4, from 1 · flags 1 · with flag 1: size of the whole event 8 · its
/// bytes. (MariaDB's own papers differ on which of the first two comes first: not put together until a server that
/// writes it has been seen.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRowData<'a> {
    pub pieces: u32,
    pub number: u32,
    pub original_size: Option<u64>,
    pub bytes: &'a [u8],
}

impl<'a> PartialRowData<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        const ORIGINAL_SIZE: u8 = 1;
        let (pieces, number) = (bytes.u32("pieces")?, bytes.u32("number of the piece")?);
        let original_size = match bytes.u8("flags")? & ORIGINAL_SIZE {
            0 => None,
            _ => Some(bytes.u64("size of the original event")?),
        };
        Ok(Self { pieces, number, original_size, bytes: bytes.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    fn with_gtid_events(name: &str, mut check: impl FnMut(&MariadbGtidEvent<'_>)) {
        let mut decoder = Decoder::default();
        for (_, bytes) in testing::fixture(name) {
            if let Event::MariadbGtid(event) = decoder.decode(&bytes).unwrap().1 {
                check(&event);
            }
        }
    }

    #[test]
    fn gtids_count_up_in_their_domain_and_carry_the_session_s_server_id() {
        let mut position = crate::binlog::MariadbGtidPosition::new();
        with_gtid_events("mariadb.bin", |event| {
            if let Some(last) = position.get(event.gtid.domain) {
                assert_eq!(event.gtid.sequence, last.sequence + 1);
            }
            position.set(event.gtid);
        });
        assert_eq!(
            position.gtids().iter().map(|gtid| (gtid.domain, gtid.server_id)).collect::<Vec<_>>(),
            [(0, 11), (7, 123456)]
        );
    }

    #[test]
    fn ddl_stands_alone_and_changes_do_not() {
        let mut standalone = Vec::new();
        with_gtid_events("mariadb.bin", |event| standalone.push(event.flags & gtid_flags::STANDALONE != 0));
        assert_eq!(standalone[..4], [true, true, false, false]);
    }

    #[test]
    fn xa_groups_name_their_transaction() {
        let mut seen = Vec::new();
        let mut alters = Vec::new();
        with_gtid_events("mariadb_xa.bin", |event| {
            if let Some(xid) = &event.xid {
                seen.push((event.flags & gtid_flags::PREPARED_XA != 0, xid.to_string()));
            }
            if event.start_alter {
                alters.push((event.gtid.sequence, None));
            }
            if let Some(start) = event.end_of_alter {
                alters.push((start, Some(event.gtid.sequence)));
            }
        });
        let (first, second) = ("X'747278',X'6272616e6368',7".to_owned(), "X'00ff27',X'',1".to_owned());
        assert_eq!(seen, [(true, first.clone()), (false, first), (true, second.clone()), (false, second)]);
        let [(start, None), (ended, Some(end))] = alters[..] else { panic!("{alters:?}") };
        assert_eq!((ended, end), (start, start + 1));
    }

    #[test]
    fn the_list_at_a_file_s_start_is_the_state_before_it() {
        let mut decoder = Decoder::default();
        let events = testing::fixture("mariadb_full.bin");
        decoder.decode(&events[0].1).unwrap();
        let (_, event) = decoder.decode(&events[1].1).unwrap();
        let Event::MariadbGtidList(list) = event else { panic!("{event:?}") };
        assert_eq!(list.flags, 0);
        let position = list.state.position();
        with_gtid_events("mariadb_full.bin", |event| {
            assert!(event.gtid.sequence > position.get(event.gtid.domain).unwrap().sequence);
        });
    }

    #[test]
    fn lists_and_pieces_that_are_cut_short_are_errors() {
        let mut list = 2u32.to_le_bytes().to_vec();
        list.extend_from_slice(&[1; 32]);
        assert_eq!(MariadbGtidList::read(&mut Reader::new(&list)).unwrap().state.gtids.len(), 2);
        for cut in 0..list.len() {
            assert!(MariadbGtidList::read(&mut Reader::new(&list[..cut])).is_err());
        }
        // A count that the bytes do not hold costs no memory.
        assert!(MariadbGtidList::read(&mut Reader::new(&[0xff, 0xff, 0xff, 0x0f])).is_err());

        let piece = [3, 0, 0, 0, 1, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0, b'x'];
        let read = PartialRowData::read(&mut Reader::new(&piece)).unwrap();
        assert_eq!(read, PartialRowData { pieces: 3, number: 1, original_size: Some(9), bytes: b"x" });
        for cut in 0..17 {
            assert!(PartialRowData::read(&mut Reader::new(&piece[..cut])).is_err());
        }
    }
}
