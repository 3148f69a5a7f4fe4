//! The events that open a MySQL transaction: GTID_LOG_EVENT (33), ANONYMOUS_GTID_LOG_EVENT (34) and
//! GTID_TAGGED_LOG_EVENT (42).
//!
//! All say the same things (`Gtid_event` in MySQL's `control_events.h`); the tagged one says them in the
//! serialization library's form. Each server generation appends fields, so what is missing at the end is
//! `None`.

use crate::binlog::gtid::Gtid;
use crate::binlog::gtid::NUMBER_END;
use crate::binlog::serialization;
use crate::codec::CodecError;
use crate::codec::Reader;

/// Type code before the logical timestamps, the only one since 5.7.5.
const LOGICAL_TIMESTAMPS: u8 = 2;
/// The top bit of the first commit timestamp: the original one follows.
const ORIGINAL_TIMESTAMP_FOLLOWS: u64 = 1 << 55;
/// The top bit of the first server version: the original one follows.
const ORIGINAL_VERSION_FOLLOWS: u32 = 1 << 31;
/// What stands for "not known" among server versions.
const UNDEFINED_SERVER_VERSION: u32 = 999_999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidEvent {
    /// `None` for an anonymous transaction.
    pub gtid: Option<Gtid>,
    /// Bit 1: the transaction may hold statements. Always set before 5.7.19 and 8.0.2.
    pub flags: u8,
    /// The source's commit order, 5.7.5 and later: `sequence_number` counts from the file's start, and
    /// `last_committed` is the newest transaction that this one must not run before.
    pub logical_clock: Option<LogicalClock>,
    /// When this server committed, in microseconds since 1970; 8.0.1 and later.
    pub immediate_commit_timestamp: Option<u64>,
    /// When the first server committed, in microseconds since 1970; 8.0.1 and later.
    pub original_commit_timestamp: Option<u64>,
    /// Bytes of the whole transaction in the file, this event included; 8.0.2 and later. In front of a
    /// compressed transaction the compressed size.
    pub transaction_length: Option<u64>,
    /// Version of this server as a number such as 90704; 8.0.14 and later.
    pub immediate_server_version: Option<u32>,
    /// Version of the first server.
    pub original_server_version: Option<u32>,
    /// Group replication's ticket of transactions that commit together; 8.0.31 and later.
    pub commit_group_ticket: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalClock {
    pub last_committed: i64,
    pub sequence_number: i64,
}

impl GtidEvent {
    fn new(flags: u8, gtid: Option<Gtid>) -> Self {
        Self {
            gtid,
            flags,
            logical_clock: None,
            immediate_commit_timestamp: None,
            original_commit_timestamp: None,
            transaction_length: None,
            immediate_server_version: None,
            original_server_version: None,
            commit_group_ticket: None,
        }
    }

    /// In wire order: flags 1 · source UUID 16 · number 8 · then, where the server is new enough: type code 1
    /// · last committed 8 · sequence number 8 · commit timestamps 7 or 14 · transaction length
    /// (length-encoded) · server versions 4 or 8 · commit group ticket 8. Types 33 and 34.
    pub(super) fn read(bytes: &mut Reader<'_>, anonymous: bool) -> Result<Self, CodecError> {
        let flags = bytes.u8("gtid flags")?;
        let source = bytes.array("source uuid")?;
        let number = bytes.u64("transaction number")?;
        let gtid = match (anonymous, number) {
            (true, 0) => None,
            (false, 1..NUMBER_END) => Some(Gtid { source, tag: None, number }),
            _ => return Err(bytes.invalid("transaction number", number)),
        };
        let mut event = Self::new(flags, gtid);
        // 5.6 ends here. 5.7.4 and older milestones have another code and shorter numbers behind it.
        if bytes.is_empty() || bytes.u8("logical timestamps: type code")? != LOGICAL_TIMESTAMPS {
            return Ok(event);
        }
        let last_committed = bytes.u64("last committed")? as i64;
        let sequence_number = bytes.u64("sequence number")? as i64;
        event.logical_clock = Some(LogicalClock { last_committed, sequence_number });
        if !bytes.is_empty() {
            event.read_commit_timestamps(bytes)?;
        }
        if !bytes.is_empty() {
            event.transaction_length = Some(bytes.lenenc("transaction length")?);
        }
        if !bytes.is_empty() {
            event.read_server_versions(bytes)?;
        }
        if !bytes.is_empty() {
            event.commit_group_ticket = Some(bytes.u64("commit group ticket")?);
        }
        Ok(event)
    }

    /// Seven bytes each, 55 bits of microseconds. The second is there only where it differs.
    fn read_commit_timestamps(&mut self, bytes: &mut Reader<'_>) -> Result<(), CodecError> {
        let first = bytes.uint(7, "immediate commit timestamp")?;
        let original = match first & ORIGINAL_TIMESTAMP_FOLLOWS {
            0 => first,
            _ => bytes.uint(7, "original commit timestamp")?,
        };
        self.immediate_commit_timestamp = Some(first & !ORIGINAL_TIMESTAMP_FOLLOWS);
        self.original_commit_timestamp = Some(original);
        Ok(())
    }

    /// Four bytes each. The second is there only where it differs.
    fn read_server_versions(&mut self, bytes: &mut Reader<'_>) -> Result<(), CodecError> {
        let first = bytes.u32("immediate server version")?;
        let original = match first & ORIGINAL_VERSION_FOLLOWS {
            0 => first,
            _ => bytes.u32("original server version")?,
        };
        self.immediate_server_version = known_version(first & !ORIGINAL_VERSION_FOLLOWS);
        self.original_server_version = known_version(original);
        Ok(())
    }

    /// A message of the serialization library: format version · size of the whole message, version and size
    /// counted · id of the last field that a reader must know, plus 1 · fields, each an id and a value, ids
    /// rising. Type 42.
    pub(super) fn read_tagged(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        let start = bytes.offset();
        let version = serialization::read_varint(bytes, "serialization version")?;
        if version != SERIALIZATION_VERSION {
            return Err(bytes.invalid("serialization version", version));
        }
        let size = serialization::read_varint(bytes, "message size")?;
        let needed = serialization::read_varint(bytes, "last field that must be known")?;
        if needed > FIELDS {
            return Err(bytes.invalid("last field that must be known", needed));
        }
        let head = bytes.offset() - start;
        let length = usize::try_from(size).ok().and_then(|size| size.checked_sub(head));
        let length = length.ok_or_else(|| bytes.invalid("message size", size))?;
        let mut message = bytes.clone();
        bytes.skip(length, "message")?;
        let end = bytes.offset();
        TaggedFields::read(&mut message, end)?.finish(bytes)
    }
}

fn known_version(version: u32) -> Option<u32> {
    (version != UNDEFINED_SERVER_VERSION && version != 0).then_some(version)
}

/// `serialization_format_version.h`: 1.
const SERIALIZATION_VERSION: u64 = 1;
/// How many fields we know: ids 0 to 11.
const FIELDS: u64 = 12;

/// The fields as they are read; which of them must be there is decided at the end.
#[derive(Default)]
struct TaggedFields {
    flags: Option<u8>,
    source: Option<[u8; 16]>,
    number: Option<i64>,
    tag: Option<Option<crate::binlog::gtid::Tag>>,
    last_committed: Option<i64>,
    sequence_number: Option<i64>,
    immediate_commit_timestamp: Option<u64>,
    original_commit_timestamp: Option<u64>,
    transaction_length: Option<u64>,
    immediate_server_version: Option<u32>,
    original_server_version: Option<u32>,
    commit_group_ticket: Option<u64>,
}

impl TaggedFields {
    fn read(bytes: &mut Reader<'_>, end: usize) -> Result<Self, CodecError> {
        let mut fields = Self::default();
        while bytes.offset() < end {
            let id = serialization::read_varint(bytes, "field id")?;
            if id >= FIELDS {
                // Fields of a later server that need not be known. They stand last and have no length of
                // their own.
                break;
            }
            fields.read_one(id, bytes)?;
        }
        if bytes.offset() > end {
            return Err(bytes.invalid("message size", end as u64));
        }
        Ok(fields)
    }

    /// The ids are the places in `Gtid_event::define_fields`.
    fn read_one(&mut self, id: u64, bytes: &mut Reader<'_>) -> Result<(), CodecError> {
        let unsigned = serialization::read_varint;
        let signed = serialization::read_signed;
        match id {
            0 => self.flags = Some(narrow(unsigned(bytes, "gtid flags")?, "gtid flags", bytes)?),
            1 => self.source = Some(read_source(bytes)?),
            2 => self.number = Some(signed(bytes, "transaction number")?),
            3 => self.tag = Some(serialization::read_tag(bytes)?),
            4 => self.last_committed = Some(signed(bytes, "last committed")?),
            5 => self.sequence_number = Some(signed(bytes, "sequence number")?),
            6 => self.immediate_commit_timestamp = Some(unsigned(bytes, "immediate commit timestamp")?),
            7 => self.original_commit_timestamp = Some(unsigned(bytes, "original commit timestamp")?),
            8 => self.transaction_length = Some(unsigned(bytes, "transaction length")?),
            9 => self.immediate_server_version = Some(read_version(bytes)?),
            10 => self.original_server_version = Some(read_version(bytes)?),
            11 => self.commit_group_ticket = Some(unsigned(bytes, "commit group ticket")?),
            id => return Err(bytes.invalid("field id", id)),
        }
        Ok(())
    }

    fn finish(self, bytes: &Reader<'_>) -> Result<GtidEvent, CodecError> {
        let missing = |what| move || bytes.invalid(what, 0);
        let source = self.source.ok_or_else(missing("message without source uuid"))?;
        let number = self.number.ok_or_else(missing("message without transaction number"))?;
        let tag = self.tag.ok_or_else(missing("message without tag"))?;
        let number = match u64::try_from(number) {
            Ok(number @ 1..NUMBER_END) => number,
            _ => return Err(bytes.invalid("transaction number", number as u64)),
        };
        let clock = self.last_committed.zip(self.sequence_number);
        Ok(GtidEvent {
            gtid: Some(Gtid { source, tag, number }),
            flags: self.flags.ok_or_else(missing("message without gtid flags"))?,
            logical_clock: clock
                .map(|(last_committed, sequence_number)| LogicalClock { last_committed, sequence_number }),
            immediate_commit_timestamp: self.immediate_commit_timestamp,
            original_commit_timestamp: self.original_commit_timestamp.or(self.immediate_commit_timestamp),
            transaction_length: self.transaction_length,
            immediate_server_version: self.immediate_server_version.and_then(known_version),
            original_server_version: self
                .original_server_version
                .or(self.immediate_server_version)
                .and_then(known_version),
            commit_group_ticket: self.commit_group_ticket,
        })
    }
}

/// An array of 16 integers: bytes of 128 and more take two.
fn read_source(bytes: &mut Reader<'_>) -> Result<[u8; 16], CodecError> {
    let mut source = [0; 16];
    for byte in &mut source {
        *byte = narrow(serialization::read_varint(bytes, "source uuid")?, "source uuid", bytes)?;
    }
    Ok(source)
}

fn read_version(bytes: &mut Reader<'_>) -> Result<u32, CodecError> {
    narrow(serialization::read_varint(bytes, "server version")?, "server version", bytes)
}

fn narrow<T: TryFrom<u64>>(value: u64, what: &'static str, bytes: &Reader<'_>) -> Result<T, CodecError> {
    T::try_from(value).map_err(|_| bytes.invalid(what, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    fn gtid_events(name: &str) -> Vec<(u64, GtidEvent)> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for (position, bytes) in testing::fixture(name) {
            if let Event::Gtid(event) = decoder.decode(&bytes).unwrap().1 {
                events.push((position, event));
            }
        }
        events
    }

    #[test]
    fn mysql_5_6_has_neither_clock_nor_times() {
        let (_, event) = gtid_events("mysql56_gtid.bin")[1];
        assert_eq!(event.gtid.unwrap().number, 2);
        let bare = GtidEvent { gtid: event.gtid, ..GtidEvent::new(event.flags, None) };
        assert_eq!(event, bare);
    }

    #[test]
    fn transaction_lengths_lead_from_one_gtid_to_the_next() {
        for name in
            ["mysql97_full.bin", "mysql97_compressed.bin", "mysql97_tagged.bin", "mysql97_anonymous.bin"]
        {
            let events = gtid_events(name);
            for pair in events.windows(2) {
                let [(position, event), (next, _)] = pair else { unreachable!() };
                assert_eq!(position + event.transaction_length.unwrap(), *next, "{name}");
                assert_eq!(event.immediate_server_version, Some(90704));
                assert_eq!(event.original_server_version, Some(90704));
                assert!(event.immediate_commit_timestamp.unwrap() > 1_700_000_000_000_000);
                assert_eq!(event.original_commit_timestamp, event.immediate_commit_timestamp);
            }
            let clocks: Vec<_> =
                events.iter().map(|(_, event)| event.logical_clock.unwrap().sequence_number).collect();
            assert_eq!(clocks, (1..=events.len() as i64).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn tags_are_read() {
        let gtids: Vec<_> =
            gtid_events("mysql97_tagged.bin").iter().map(|(_, e)| e.gtid.unwrap().to_string()).collect();
        let tails: Vec<_> = gtids.iter().map(|gtid| &gtid[36..]).collect();
        let expected = [":blue:4", ":blue:5", ":blue:6", ":tag_with_exactly_32_characters_x:1"];
        assert_eq!(tails[..4], expected);
        assert_eq!(gtids[5], "f1e2d3c4-b5a6-9788-ffff-00807f018001:red:1000000000000");
        assert_eq!(gtids[6], "f1e2d3c4-b5a6-9788-ffff-00807f018001:9");
    }

    #[test]
    fn anonymous_transactions_have_a_clock_and_no_gtid() {
        for (_, event) in gtid_events("mysql97_anonymous.bin") {
            assert_eq!(event.gtid, None);
        }
    }

    #[test]
    fn a_differing_original_is_read_from_its_own_field() {
        let mut body = vec![1];
        body.extend_from_slice(&[7; 16]);
        body.extend_from_slice(&5u64.to_le_bytes());
        body.push(LOGICAL_TIMESTAMPS);
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&(2_000u64 | ORIGINAL_TIMESTAMP_FOLLOWS).to_le_bytes()[..7]);
        body.extend_from_slice(&1_000u64.to_le_bytes()[..7]);
        body.extend_from_slice(&[0xfc, 0x2c, 0x01]);
        body.extend_from_slice(&(80_036 | ORIGINAL_VERSION_FOLLOWS).to_le_bytes());
        body.extend_from_slice(&UNDEFINED_SERVER_VERSION.to_le_bytes());
        body.extend_from_slice(&9u64.to_le_bytes());
        let event = GtidEvent::read(&mut Reader::new(&body), false).unwrap();
        assert_eq!(event.immediate_commit_timestamp, Some(2_000));
        assert_eq!(event.original_commit_timestamp, Some(1_000));
        assert_eq!(event.transaction_length, Some(300));
        assert_eq!((event.immediate_server_version, event.original_server_version), (Some(80_036), None));
        assert_eq!(event.commit_group_ticket, Some(9));
        // Only where a generation of servers ends may the event end.
        let ends = [25, 42, 56, 59, 67, 75];
        for cut in 0..=body.len() {
            let read = GtidEvent::read(&mut Reader::new(&body[..cut]), false);
            assert_eq!(read.is_ok(), ends.contains(&cut), "{cut}");
        }
    }

    fn tagged(fields: &[(u64, &[u8])], needed: u64) -> Vec<u8> {
        let mut rest = Vec::new();
        serialization::put_varint(&mut rest, needed);
        for (id, value) in fields {
            serialization::put_varint(&mut rest, *id);
            rest.extend_from_slice(value);
        }
        let mut message = Vec::new();
        serialization::put_varint(&mut message, SERIALIZATION_VERSION);
        serialization::put_varint(&mut message, rest.len() as u64 + 2);
        message.extend_from_slice(&rest);
        message
    }

    #[test]
    fn fields_of_later_servers_are_passed_over_unless_they_must_be_known() {
        let source = [0; 16];
        let fields: &[(u64, &[u8])] =
            &[(0, &[2]), (1, &source), (2, &[20]), (3, &[4, b'a', b'b']), (40, &[1, 2, 3])];
        let event = GtidEvent::read_tagged(&mut Reader::new(&tagged(fields, 4))).unwrap();
        assert_eq!(event.gtid.unwrap().to_string(), "00000000-0000-0000-0000-000000000000:ab:5");
        assert_eq!(event.flags, 1);
        assert!(GtidEvent::read_tagged(&mut Reader::new(&tagged(fields, 41))).is_err());
        assert!(GtidEvent::read_tagged(&mut Reader::new(&tagged(&fields[1..], 4))).is_err());
        let message = tagged(fields, 4);
        for cut in 0..message.len() {
            assert!(GtidEvent::read_tagged(&mut Reader::new(&message[..cut])).is_err(), "{cut}");
        }
    }
}
