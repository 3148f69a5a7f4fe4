//! MariaDB's compressed events (165 to 171, `log_bin_compress`): a QUERY_EVENT or a row event of which the last part,
//! the statement or the rows, is packed by zlib. All before it stands as in the plain event.

use crate::binlog::decoder::Event;
use crate::binlog::error::BinlogError;
use crate::binlog::event_type::QUERY_COMPRESSED_EVENT;
use crate::binlog::event_type::WRITE_ROWS_COMPRESSED_EVENT;
use crate::binlog::event_type::WRITE_ROWS_COMPRESSED_EVENT_V1;
use crate::binlog::event_type::WRITE_ROWS_EVENT;
use crate::binlog::event_type::WRITE_ROWS_EVENT_V1;
use crate::binlog::query::Query;
use crate::binlog::rows::RowsEvent;
use crate::codec::CodecError;
use crate::codec::Reader;
use flate2::bufread::ZlibDecoder;
use std::io::Read;

/// An event whose last part is still packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressedEvent<'a> {
    event_type: u8,
    plain: Plain<'a>,
}

/// The plain event, the packed bytes in the place of the statement or the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain<'a> {
    Query(Query<'a>),
    Rows(RowsEvent<'a>),
}

impl<'a> CompressedEvent<'a> {
    pub(super) fn read(
        bytes: &mut Reader<'a>,
        event_type: u8,
        post_header_length: usize,
    ) -> Result<Self, CodecError> {
        let plain = match event_type {
            QUERY_COMPRESSED_EVENT => Plain::Query(Query::read(bytes, post_header_length)?),
            _ => Plain::Rows(RowsEvent::read(bytes, plain_rows_type(event_type), post_header_length)?),
        };
        Ok(Self { event_type, plain })
    }

    /// The statement or the rows, `max_event_bytes` at most.
    pub fn unpack(&self, max_event_bytes: u64) -> Result<Vec<u8>, BinlogError> {
        let packed = match &self.plain {
            Plain::Query(query) => query.sql,
            Plain::Rows(rows) => rows.rows,
        };
        let event_type = self.event_type;
        let mut record = Reader::new(packed);
        let size = unpacked_size(&mut record).map_err(BinlogError::field(event_type))?;
        if size > max_event_bytes {
            return Err(BinlogError::EventTooLarge { event_type, size, limit: max_event_bytes });
        }
        unpack(record.rest(), size).map_err(|reason| BinlogError::Decompress { event_type, reason })
    }

    /// The plain event, made whole with what `unpack` gave.
    pub fn with<'b>(&self, unpacked: &'b [u8]) -> Event<'b>
    where
        'a: 'b,
    {
        match self.plain {
            Plain::Query(query) => Event::Query(Query { sql: unpacked, ..query }),
            Plain::Rows(rows) => Event::Rows(RowsEvent { rows: unpacked, ..rows }),
        }
    }
}

/// INSERT, UPDATE and DELETE stand in the same order everywhere.
fn plain_rows_type(event_type: u8) -> u8 {
    match event_type {
        WRITE_ROWS_COMPRESSED_EVENT.. => event_type - WRITE_ROWS_COMPRESSED_EVENT + WRITE_ROWS_EVENT,
        _ => event_type - WRITE_ROWS_COMPRESSED_EVENT_V1 + WRITE_ROWS_EVENT_V1,
    }
}

/// What stands before the packed bytes: one byte, of which the highest bit is set, three bits name the algorithm (0:
/// zlib) and the lowest three count the bytes of the size (1 to 4), which follows, the highest byte first
/// (`binlog_get_uncompress_len` in MariaDB's `sql/log_event.cc`).
fn unpacked_size(record: &mut Reader<'_>) -> Result<u64, CodecError> {
    const WHAT: &str = "head of the compressed part";
    let head = record.u8(WHAT)?;
    match usize::from(head & 0x07) {
        bytes @ 1..=4 if head & 0xf8 == 0x80 => record.uint_be(bytes, "unpacked size"),
        _ => Err(record.invalid(WHAT, head.into())),
    }
}

/// Memory grows with the bytes that come out; the announced size reserves none.
fn unpack(packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(packed).take(size.saturating_add(1)).read_to_end(&mut unpacked);
    match read {
        Err(error) => Err(format!("cannot be unpacked: {error}")),
        Ok(have) if have as u64 != size => {
            let more = if have as u64 > size { "more" } else { "only" };
            Err(format!("{size} bytes are announced, {more} {have} were unpacked"))
        }
        Ok(_) => Ok(unpacked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;
    use crate::code::Code;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    const LIMIT: u64 = 1 << 30;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn record(size: usize, packed: &[u8]) -> Vec<u8> {
        let mut record = vec![0x84];
        record.extend_from_slice(&(size as u32).to_be_bytes());
        record.extend_from_slice(packed);
        record
    }

    /// A WRITE_ROWS_COMPRESSED_EVENT_V1 of a table with one column.
    fn rows(record: &[u8]) -> Vec<u8> {
        [&[9, 0, 0, 0, 0, 0, 1, 0, 1, 1], record].concat()
    }

    fn unpacked(body: &[u8], limit: u64) -> Result<Vec<u8>, BinlogError> {
        let read = CompressedEvent::read(&mut Reader::new(body), WRITE_ROWS_COMPRESSED_EVENT_V1, 8);
        read.map_err(BinlogError::field(WRITE_ROWS_COMPRESSED_EVENT_V1))?.unpack(limit)
    }

    #[test]
    fn events_of_a_real_server_are_unpacked() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for (_, bytes) in testing::fixture("mariadb_compressed.bin") {
            let (header, event) = decoder.decode(&bytes).unwrap();
            let Event::MariadbCompressed(compressed) = event else { continue };
            let unpacked = compressed.unpack(LIMIT).unwrap();
            match compressed.with(&unpacked) {
                Event::Query(query) => {
                    seen.push((header.event_type, String::from_utf8_lossy(query.sql).into_owned()));
                }
                Event::Rows(rows) => seen.push((header.event_type, rows.rows.len().to_string())),
                other => panic!("{other:?}"),
            }
        }
        let rows: Vec<_> =
            seen.iter().filter(|(event_type, _)| *event_type != QUERY_COMPRESSED_EVENT).collect();
        // Two rows each: NULL bits 1, INT 4, a length 2 and 400 bytes; an update has both images.
        let expected = [(166, "814".to_owned()), (167, "1628".to_owned()), (168, "814".to_owned())];
        assert_eq!(rows, expected.iter().collect::<Vec<_>>());
        let statement = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(400))";
        assert!(seen.contains(&(QUERY_COMPRESSED_EVENT, statement.to_owned())), "{seen:?}");
    }

    #[test]
    fn each_type_stands_for_its_plain_one() {
        let plain: Vec<u8> = (166..=171).map(plain_rows_type).collect();
        assert_eq!(plain, [23, 24, 25, 30, 31, 32]);
    }

    #[test]
    fn torn_broken_and_mendacious_records_are_errors() {
        let bytes: Vec<u8> = (0..5000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let packed = zlib(&bytes);
        let whole = record(bytes.len(), &packed);
        assert_eq!(unpacked(&rows(&whole), LIMIT).unwrap(), bytes);
        for cut in 0..whole.len() {
            assert!(unpacked(&rows(&whole[..cut]), LIMIT).is_err(), "{cut}");
        }
        for (size, word) in [(bytes.len() + 1, "only"), (bytes.len() - 1, "more")] {
            let error = unpacked(&rows(&record(size, &packed)), LIMIT).unwrap_err();
            assert_eq!(error.code(), Code::Decompress);
            assert!(error.to_string().contains(word), "{error}");
        }
        for head in [0x00, 0x80, 0x85, 0x94, 0x04, 0x88] {
            let mut broken = whole.clone();
            broken[0] = head;
            assert_eq!(unpacked(&rows(&broken), LIMIT).unwrap_err().code(), Code::BadEvent, "{head:x}");
        }
        let mut broken = whole.clone();
        for index in 5..broken.len() {
            broken[index] ^= 0x55;
            assert!(unpacked(&rows(&broken), LIMIT).map_or(true, |unpacked| unpacked == bytes));
            broken[index] ^= 0x55;
        }
    }

    #[test]
    fn sizes_are_not_believed() {
        let bomb = record(1 << 20, &zlib(&vec![0; 1 << 20]));
        assert_eq!(unpacked(&rows(&bomb), 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(unpacked(&rows(&bomb), (1 << 20) - 1).unwrap_err().code(), Code::EventTooLarge);
        // It says less than it holds: no more than one byte too many is ever unpacked.
        let bomb = record(10, &zlib(&vec![0; 1 << 20]));
        assert_eq!(unpacked(&rows(&bomb), LIMIT).unwrap_err().code(), Code::Decompress);
        let huge = record(u32::MAX as usize, &zlib(b"abc"));
        assert_eq!(unpacked(&rows(&huge), u64::MAX).unwrap_err().code(), Code::Decompress);
    }
}
