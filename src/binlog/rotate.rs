//! The events that name a file: ROTATE_EVENT (4) and the heartbeats of an idle source (27, 41).

use crate::binlog::header::EventHeader;
use crate::codec::CodecError;
use crate::codec::Reader;

/// In wire order: position 8 · file name to the end. Its header is always the short one of 19 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// Where to go on in that file; 4 except at the start of a dump.
    pub position: u64,
    /// Name of the next file (or, artificial, of the file that the next events come from).
    pub file: &'a str,
    /// Made up by the sender: it stands in no file and no point may be taken from it as an event's end.
    pub artificial: bool,
}

impl<'a> Rotate<'a> {
    pub(super) fn read(header: &EventHeader, bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let position = bytes.u64("position")?;
        let file = file_name(bytes.rest(), bytes)?;
        Ok(Self { position, file, artificial: header.is_artificial() })
    }
}

/// Where an idle source stands. Never in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The file that the source waits at the end of.
    pub file: &'a str,
    /// Its position there. Version 1 has only the 32 bits of the header's next position.
    pub position: u64,
    /// Version 2, sent by MySQL 8.0.26 and later when a dump asks for it: the position is whole.
    pub exact: bool,
}

/// Types of the fields in a version 2 heartbeat (`codecs/binary.h`).
const HEARTBEAT_END: u64 = 0;
const HEARTBEAT_FILE: u64 = 1;
const HEARTBEAT_POSITION: u64 = 2;

impl<'a> Heartbeat<'a> {
    /// Version 1: file name to the end.
    pub(super) fn read_v1(header: &EventHeader, bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let file = file_name(bytes.rest(), bytes)?;
        Ok(Self { file, position: header.next_pos.into(), exact: false })
    }

    /// Version 2: fields of (type, length, value), the numbers length-encoded, ended by type 0.
    pub(super) fn read_v2(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let (mut file, mut position) = (None, None);
        loop {
            match bytes.lenenc("heartbeat field type")? {
                HEARTBEAT_END => break,
                field => {
                    let value = bytes.lenenc_bytes("heartbeat field")?;
                    match field {
                        HEARTBEAT_FILE => file = Some(file_name(value, bytes)?),
                        HEARTBEAT_POSITION => {
                            position = Some(Reader::new(value).lenenc("heartbeat position")?)
                        }
                        _ => {}
                    }
                }
            }
        }
        let file = file.ok_or_else(|| bytes.invalid("heartbeat without a file name", 0))?;
        let position = position.ok_or_else(|| bytes.invalid("heartbeat without a position", 0))?;
        Ok(Self { file, position, exact: true })
    }
}

/// A binlog's name: text, and not empty. Four bytes of a checksum taken for its end are hardly ever text.
fn file_name<'a>(name: &'a [u8], bytes: &Reader<'_>) -> Result<&'a str, CodecError> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(bytes.invalid("file name (bytes that are text)", name.len() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use crate::binlog::Event;
    use crate::binlog::checksum::ChecksumAlgorithm;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    /// Captured from dumps: the artificial rotate of each server, replica declaring CRC32 and NONE.
    const ROTATES: &[(&str, &str, ChecksumAlgorithm)] = &[
        (
            "0000000004610000002c000000000000002000040000000000000062696e6c6f672e30303030313766d9dee5",
            "binlog.000017",
            ChecksumAlgorithm::Crc32,
        ),
        (
            "00000000046100000028000000000000002000040000000000000062696e6c6f672e303030303137",
            "binlog.000017",
            ChecksumAlgorithm::Off,
        ),
        (
            "00000000040b0000003100000000000000200004000000000000006d6172696164622d62696e2e3030303031353a6a8eb5",
            "mariadb-bin.000015",
            ChecksumAlgorithm::Crc32,
        ),
        (
            "00000000040b0000002d00000000000000200004000000000000006d6172696164622d62696e2e303030303135",
            "mariadb-bin.000015",
            ChecksumAlgorithm::Off,
        ),
        (
            "0000000004380000002f00000000000000200004000000000000006d7973716c2d62696e2e30303030303412ee8927",
            "mysql-bin.000004",
            ChecksumAlgorithm::Crc32,
        ),
    ];

    #[test]
    fn the_first_rotate_is_read_whatever_was_declared() {
        for (bytes, name, _) in ROTATES {
            for declared in [ChecksumAlgorithm::Off, ChecksumAlgorithm::Crc32] {
                let event = testing::hex(bytes);
                let mut decoder = Decoder::new(declared);
                let (_, event) = decoder.decode(&event).unwrap();
                let Event::Rotate(rotate) = event else { panic!("{event:?}") };
                assert_eq!((rotate.file, rotate.position, rotate.artificial), (*name, 4, true));
            }
        }
    }

    #[test]
    fn a_first_rotate_with_a_broken_checksum_is_refused() {
        let mut event = testing::hex(ROTATES[0].0);
        let last = event.len() - 1;
        event[last] ^= 1;
        let error = Decoder::new(ChecksumAlgorithm::Crc32).decode(&event).unwrap_err();
        assert_eq!(error.code(), crate::code::Code::Checksum);
    }

    #[test]
    fn heartbeats_say_where_the_source_stands() {
        let v1 = "000000001b6100000024000000c7040000000062696e6c6f672e3030303031378f8d7432";
        let v2 = "0000000029610000002c000000c70400000000010d62696e6c6f672e3030303031370203fcc70400c5dc5475";
        for (bytes, exact) in [(v1, false), (v2, true)] {
            let event = testing::hex(bytes);
            let mut decoder = Decoder::new(ChecksumAlgorithm::Crc32);
            let (header, event) = decoder.decode(&event).unwrap();
            let Event::Heartbeat(heartbeat) = event else { panic!("{event:?}") };
            assert_eq!(
                (heartbeat.file, heartbeat.position, heartbeat.exact),
                ("binlog.000017", 0x4c7, exact)
            );
            assert!(header.is_artificial());
        }
    }

    #[test]
    fn a_heartbeat_carries_positions_beyond_4_gib() {
        let mut body = vec![1, 3, b'b', b'.', b'1', 9, 2, b'?', b'?', 2, 9, 0xfe];
        body.extend_from_slice(&5_000_000_000u64.to_le_bytes());
        body.push(0);
        let event = testing::event(crate::binlog::event_type::HEARTBEAT_LOG_EVENT_V2, &body);
        let mut decoder = Decoder::new(ChecksumAlgorithm::Off);
        let (_, event) = decoder.decode(&event).unwrap();
        let Event::Heartbeat(heartbeat) = event else { panic!("{event:?}") };
        assert_eq!((heartbeat.file, heartbeat.position), ("b.1", 5_000_000_000));
    }
}
