//! TRANSACTION_PAYLOAD_EVENT (40): a transaction's events, compressed (`binlog_transaction_compression`,
//! MySQL 8.0.20 and later).

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::TRANSACTION_PAYLOAD_EVENT;
use crate::binlog::header::EventHeader;
use crate::binlog::header::HEADER_LENGTH;
use crate::codec::CodecError;
use crate::codec::Reader;
use std::io::Read;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// 0.
    Zstd,
    /// 255: the events as they are.
    None,
}

/// Fields of (type, length, value), all length-encoded, ended by type 0; then the payload.
/// (`Transaction_payload_event` in MySQL's `control_events.h`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadEvent<'a> {
    pub compression: Compression,
    /// Bytes of all events inside. Not said where nothing is compressed.
    pub uncompressed_size: Option<u64>,
    pub payload: &'a [u8],
}

/// Types of the fields (`codecs/binary.h`).
const END: u64 = 0;
const PAYLOAD_SIZE: u64 = 1;
const COMPRESSION_TYPE: u64 = 2;
const UNCOMPRESSED_SIZE: u64 = 3;

impl<'a> PayloadEvent<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, BinlogError> {
        let field = BinlogError::field(TRANSACTION_PAYLOAD_EVENT);
        let fields = PayloadFields::read(bytes).map_err(&field)?;
        let missing = |what| field(bytes.invalid(what, 0));
        let compression = match fields.compression.ok_or_else(|| missing("no compression type"))? {
            0 => Compression::Zstd,
            255 => Compression::None,
            algorithm => return Err(BinlogError::Compression { algorithm }),
        };
        let size = fields.payload_size.ok_or_else(|| missing("no payload size"))?;
        let size = usize::try_from(size).map_err(|_| field(bytes.invalid("payload size", size)))?;
        let payload = bytes.take(size, "payload").map_err(&field)?;
        Ok(Self { compression, uncompressed_size: fields.uncompressed_size, payload })
    }
}

#[derive(Default)]
struct PayloadFields {
    compression: Option<u64>,
    payload_size: Option<u64>,
    uncompressed_size: Option<u64>,
}

impl PayloadFields {
    fn read(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut fields = Self::default();
        loop {
            let field_type = bytes.lenenc("payload field type")?;
            if field_type == END {
                return Ok(fields);
            }
            let mut value = Reader::new(bytes.lenenc_bytes("payload field")?);
            match field_type {
                PAYLOAD_SIZE => fields.payload_size = Some(value.lenenc("payload size")?),
                COMPRESSION_TYPE => fields.compression = Some(value.lenenc("compression type")?),
                UNCOMPRESSED_SIZE => fields.uncompressed_size = Some(value.lenenc("uncompressed size")?),
                _ => {}
            }
        }
    }
}

/// Largest window that a compressed payload may ask for: 2^27 bytes, 128 MiB. The server lets the session
/// choose any of zstd's levels, and the highest (22) uses windows of this size; it is also the most that
/// zstd's own tools grant without being asked.
const WINDOW_LOG_MAX: u32 = 27;

/// How far the buffer of an event grows at first; then it doubles, always behind the bytes that are there.
const FIRST_STEP: usize = 64 * 1024;

/// Unpacks a payload one event at a time: holds one event and zstd's window, whatever the transaction's size.
pub struct PayloadReader<'a> {
    source: Source<'a>,
    event: Vec<u8>,
    unpacked: u64,
    uncompressed_size: Option<u64>,
    max_event_bytes: u64,
}

enum Source<'a> {
    Zstd(Box<zstd::stream::read::Decoder<'static, &'a [u8]>>),
    Plain(&'a [u8]),
}

impl Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Zstd(decoder) => decoder.read(out),
            Self::Plain(bytes) => bytes.read(out),
        }
    }
}

impl<'a> PayloadReader<'a> {
    pub fn new(payload: &PayloadEvent<'a>, max_event_bytes: u64) -> Result<Self, BinlogError> {
        let source = match payload.compression {
            Compression::None => Source::Plain(payload.payload),
            Compression::Zstd => Source::Zstd(Box::new(zstd_decoder(payload.payload).map_err(unpackable)?)),
        };
        let uncompressed_size = payload.uncompressed_size;
        Ok(Self { source, event: Vec::new(), unpacked: 0, uncompressed_size, max_event_bytes })
    }

    /// The next event, without a checksum, for `Decoder::decode_inner`. `None` when all are read.
    pub fn next_event(&mut self) -> Result<Option<&[u8]>, BinlogError> {
        self.event.clear();
        self.grow_to(HEADER_LENGTH)?;
        if self.event.is_empty() {
            return self.finish().map(|()| None);
        }
        if self.event.len() < HEADER_LENGTH {
            return Err(torn("an event's header", HEADER_LENGTH, self.event.len()));
        }
        let header = EventHeader::parse(&self.event)?;
        let size = u64::from(header.event_size);
        if size > self.max_event_bytes {
            let (event_type, limit) = (header.event_type, self.max_event_bytes);
            return Err(BinlogError::EventTooLarge { event_type, size, limit });
        }
        let size = header.event_size as usize;
        if size < HEADER_LENGTH {
            let (event_type, event_size) = (header.event_type, header.event_size);
            return Err(BinlogError::Size { event_type, event_size, have: HEADER_LENGTH });
        }
        self.grow_to(size)?;
        match self.event.len() {
            have if have < size => Err(torn("an event", size, have)),
            _ => Ok(Some(&self.event)),
        }
    }

    /// Reads until the event has `size` bytes or nothing is left.
    fn grow_to(&mut self, size: usize) -> Result<(), BinlogError> {
        while self.event.len() < size {
            let have = self.event.len();
            let room = (size - have).min(have.max(FIRST_STEP));
            self.event.resize(have + room, 0);
            let read = self.event.get_mut(have..).map_or(Ok(0), |room| self.source.read(room));
            self.event.truncate(have + *read.as_ref().unwrap_or(&0));
            match read.map_err(unpackable)? {
                0 => break,
                read => self.unpacked += read as u64,
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), BinlogError> {
        match self.uncompressed_size {
            Some(size) if size != self.unpacked => {
                let reason = format!("{size} bytes are announced, {} were unpacked", self.unpacked);
                Err(unpack_error(reason))
            }
            _ => Ok(()),
        }
    }
}

/// Reads frame after frame: the server may write several into one payload.
fn zstd_decoder(payload: &[u8]) -> std::io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}

fn unpack_error(reason: String) -> BinlogError {
    BinlogError::Decompress { event_type: TRANSACTION_PAYLOAD_EVENT, reason }
}

fn unpackable(error: std::io::Error) -> BinlogError {
    unpack_error(format!("cannot be unpacked: {error}"))
}

fn torn(what: &str, need: usize, have: usize) -> BinlogError {
    unpack_error(format!("ends inside {what}: need {need} bytes, have {have}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;
    use crate::code::Code;

    const LIMIT: u64 = 1 << 30;

    fn inner_events(payload: &PayloadEvent<'_>, limit: u64) -> Result<Vec<Vec<u8>>, BinlogError> {
        let mut reader = PayloadReader::new(payload, limit)?;
        let mut events = Vec::new();
        while let Some(event) = reader.next_event()? {
            events.push(event.to_vec());
        }
        Ok(events)
    }

    #[test]
    fn compressed_transactions_of_mysql_are_unpacked() {
        let mut decoder = Decoder::default();
        let mut transactions = Vec::new();
        for (_, bytes) in testing::fixture("mysql97_compressed.bin") {
            let Event::Payload(payload) = decoder.decode(&bytes).unwrap().1 else { continue };
            assert_eq!(payload.compression, Compression::Zstd);
            let events = inner_events(&payload, LIMIT).unwrap();
            assert_eq!(events.iter().map(Vec::len).sum::<usize>() as u64, payload.uncompressed_size.unwrap());
            let types: Vec<u8> = events
                .iter()
                .map(|event| {
                    let (header, event) = decoder.decode_inner(event).unwrap();
                    assert!(!matches!(event, Event::Unknown { .. } | Event::Ignorable { .. }));
                    header.event_type
                })
                .collect();
            transactions.push(types);
        }
        assert_eq!(transactions[0][..3], [2, 19, 30]);
        assert_eq!(transactions[0].last(), Some(&16));
        assert_eq!(transactions[2].last(), Some(&38));
    }

    fn three_events() -> Vec<Vec<u8>> {
        vec![testing::event(2, &[1; 30]), testing::event(30, &vec![7; 200_000]), testing::event(16, &[0; 8])]
    }

    fn zstd_payload(payload: &[u8], size: u64) -> PayloadEvent<'_> {
        PayloadEvent { compression: Compression::Zstd, uncompressed_size: Some(size), payload }
    }

    #[test]
    fn several_frames_and_no_compression_are_read_alike() {
        let events = three_events();
        let bytes = events.concat();
        // Frames that end where no event ends.
        let frames: Vec<u8> =
            bytes.chunks(70_000).flat_map(|part| zstd::bulk::compress(part, 3).unwrap()).collect();
        assert_eq!(inner_events(&zstd_payload(&frames, bytes.len() as u64), LIMIT).unwrap(), events);
        let plain = PayloadEvent { compression: Compression::None, uncompressed_size: None, payload: &bytes };
        assert_eq!(inner_events(&plain, LIMIT).unwrap(), events);
    }

    #[test]
    fn frames_with_the_longest_window_are_read() {
        let bytes = three_events().concat();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 22).unwrap();
        encoder.window_log(WINDOW_LOG_MAX).unwrap();
        std::io::Write::write_all(&mut encoder, &bytes).unwrap();
        let frame = encoder.finish().unwrap();
        assert_eq!(inner_events(&zstd_payload(&frame, bytes.len() as u64), LIMIT).unwrap(), three_events());
    }

    #[test]
    fn torn_and_broken_payloads_are_errors() {
        let bytes = three_events().concat();
        let frame = zstd::bulk::compress(&bytes, 3).unwrap();
        let size = bytes.len() as u64;
        for cut in 1..frame.len() {
            let error = inner_events(&zstd_payload(&frame[..cut], size), LIMIT).unwrap_err();
            assert_eq!(error.code(), Code::Decompress, "{cut}");
        }
        for cut in [1, 18, 19, 48, 50, bytes.len() - 1] {
            let plain = PayloadEvent {
                compression: Compression::None,
                uncompressed_size: None,
                payload: &bytes[..cut],
            };
            assert_eq!(inner_events(&plain, LIMIT).unwrap_err().code(), Code::Decompress, "{cut}");
        }
        let error = inner_events(&zstd_payload(&frame, size + 1), LIMIT).unwrap_err();
        let expected =
            format!("TRANSACTION_PAYLOAD_EVENT: {} bytes are announced, {size} were unpacked", size + 1);
        assert_eq!(error.to_string(), expected);
        let mut broken = frame.clone();
        for index in 0..broken.len() {
            broken[index] ^= 0x55;
            // Not every broken byte can be seen without a checksum, but none may do harm.
            let _ = inner_events(&zstd_payload(&broken, size), LIMIT);
            broken[index] ^= 0x55;
        }
    }

    #[test]
    fn sizes_inside_are_not_believed() {
        let mut event = testing::event(30, &[7; 10]);
        event[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        let plain = PayloadEvent { compression: Compression::None, uncompressed_size: None, payload: &event };
        assert_eq!(inner_events(&plain, LIMIT).unwrap_err().code(), Code::EventTooLarge);
        assert_eq!(inner_events(&plain, u64::MAX).unwrap_err().code(), Code::Decompress);
        event[9..13].copy_from_slice(&18u32.to_le_bytes());
        let plain = PayloadEvent { compression: Compression::None, uncompressed_size: None, payload: &event };
        assert_eq!(inner_events(&plain, LIMIT).unwrap_err().code(), Code::BadEvent);
    }

    #[test]
    fn fields_may_come_in_any_order_and_unknown_ones_are_passed_over() {
        let body = [9, 2, 1, 1, 1, 1, 3, 2, 3, 0xfc, 255, 0, 0, b'a', b'b', b'c'];
        let payload = PayloadEvent::read(&mut Reader::new(&body)).unwrap();
        assert_eq!(
            payload,
            PayloadEvent { compression: Compression::None, uncompressed_size: None, payload: b"abc" }
        );
        for cut in 0..body.len() {
            assert!(PayloadEvent::read(&mut Reader::new(&body[..cut])).is_err(), "{cut}");
        }
        let error = PayloadEvent::read(&mut Reader::new(&[2, 1, 1, 1, 1, 0, 0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TRANSACTION_PAYLOAD_EVENT: unknown compression 1, expected 0 (ZSTD) or 255 (NONE)"
        );
        assert!(PayloadEvent::read(&mut Reader::new(&[2, 1, 0, 0])).is_err());
        assert!(PayloadEvent::read(&mut Reader::new(&[1, 1, 0, 0])).is_err());
    }
}
