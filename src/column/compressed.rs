//! MariaDB's `COMPRESSED` columns: strings that rows hold as the engine stores them, packed or not.
//!
//! One byte, whose high four bits name the method: 0, the value follows as it is; 8, it is packed by zlib: bit 3 is set
//! when it has no zlib header, the low three bits count the bytes of its size, which follows, the highest byte first.
//! No byte at all is the empty string. (`Field_longstr::compress` and `compress_zlib` in MariaDB's `sql/field.cc`.)

use crate::codec::Reader;
use crate::column::charset::Charset;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;
use crate::column::type_code;
use flate2::Decompress;
use flate2::FlushDecompress;
use flate2::Status;
use std::borrow::Cow;

/// No value is larger than the largest `max_allowed_packet`.
const MOST_BYTES: u64 = 1 << 30;
/// How far the buffer of a value grows at first; then it doubles, always behind the bytes that are there.
const FIRST_STEP: usize = 4 * 1024;

const METHOD_NONE: u8 = 0;
const METHOD_ZLIB: u8 = 8;
const WITHOUT_ZLIB_HEADER: u8 = 0x08;
const SIZE_BYTES: u8 = 0x07;

/// A value that may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed<'a> {
    logged: &'a [u8],
    most: u32,
    charset: Charset,
}

impl<'a> Compressed<'a> {
    /// `most`: the bytes that the column can hold at most.
    pub(crate) fn new(logged: &'a [u8], most: u32, charset: Charset) -> Self {
        Self { logged, most, charset }
    }

    /// The character set of what is packed; binary for bytes.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// The value itself.
    pub fn unpack(&self) -> Result<Cow<'a, [u8]>, ColumnError> {
        let mut bytes = Reader::new(self.logged);
        if bytes.is_empty() {
            return Ok(Cow::Borrowed(&[]));
        }
        let head = bytes.u8("head of a compressed value")?;
        match head >> 4 {
            METHOD_NONE => Ok(Cow::Borrowed(bytes.rest())),
            METHOD_ZLIB => {
                let size = bytes.uint_be((head & SIZE_BYTES).into(), "size of a compressed value")?;
                if size > u64::from(self.most).min(MOST_BYTES) {
                    return Err(fault(format!(
                        "{size} bytes are announced, the column holds {} at most",
                        self.most
                    )));
                }
                let decompress = Decompress::new(head & WITHOUT_ZLIB_HEADER == 0);
                inflate(decompress, bytes.rest(), size).map(Cow::Owned).map_err(fault)
            }
            method => {
                Err(fault(format!("unknown compression method {method}, expected 0 (none) or 8 (zlib)")))
            }
        }
    }
}

/// The most bytes that a column of this type and metadata holds.
pub(crate) fn most_bytes(type_code: u8, metadata: u16) -> u32 {
    match (type_code, metadata) {
        // One byte of the length is the method's.
        (type_code::VARCHAR_COMPRESSED, length) => length.saturating_sub(1).into(),
        (_, length_size) => u32::MAX >> (32 - 8 * u32::from(length_size.clamp(1, 4))),
    }
}

fn fault(reason: String) -> ColumnError {
    ColumnFault::Compressed { reason }.into()
}

/// Memory grows with the bytes that come out; the announced size reserves none.
fn inflate(mut decompress: Decompress, packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        let (taken, have) = (decompress.total_in(), out.len());
        out.reserve(have.clamp(FIRST_STEP, 1 << 20));
        let rest = usize::try_from(taken).ok().and_then(|taken| packed.get(taken..)).unwrap_or_default();
        let status = decompress
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .map_err(|error| format!("cannot be unpacked: {error}"))?;
        let done = status == Status::StreamEnd;
        let stuck = decompress.total_in() == taken && out.len() == have;
        match (out.len() as u64, done) {
            (have, true) if have == size => return Ok(out),
            (have, _) if done || stuck || have > size => {
                let more = if have > size { "more" } else { "only" };
                return Err(format!("{size} bytes are announced, {more} {have} were unpacked"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::column::fixtures::hex;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    fn unpack(logged: &[u8], most: u32) -> Result<Vec<u8>, ColumnError> {
        Compressed::new(logged, most, Charset::Binary).unpack().map(Cow::into_owned)
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn logged(size: usize, packed: &[u8]) -> Vec<u8> {
        let mut logged = vec![0x83];
        logged.extend_from_slice(&(size as u32).to_be_bytes()[1..]);
        logged.extend_from_slice(packed);
        logged
    }

    #[test]
    fn each_form_is_read() {
        assert_eq!(unpack(&[], 9).unwrap(), b"");
        assert_eq!(unpack(b"\x00plain", 9).unwrap(), b"plain");
        let value = [b'z'; 500];
        assert_eq!(unpack(&logged(500, &zlib(&value)), 600).unwrap(), value);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&value).unwrap();
        let without_header = [&hex("8a01f4")[..], &encoder.finish().unwrap()].concat();
        assert_eq!(unpack(&without_header, 600).unwrap(), value);
        let large = vec![7; 3 << 20];
        assert_eq!(unpack(&logged(3 << 20, &zlib(&large)), u32::MAX).unwrap(), large);
    }

    #[test]
    fn torn_broken_and_mendacious_values_are_errors() {
        let value: Vec<u8> = (0..3000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let packed = zlib(&value);
        let whole = logged(value.len(), &packed);
        for cut in 1..whole.len() {
            assert_eq!(unpack(&whole[..cut], 1 << 16).unwrap_err().code(), Code::BadValue, "{cut}");
        }
        for (size, word) in [(value.len() + 1, "only"), (value.len() - 1, "more")] {
            let error = unpack(&logged(size, &packed), 1 << 16).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = unpack(&whole, 100).unwrap_err().to_string();
        assert_eq!(error, "compressed value: 12000 bytes are announced, the column holds 100 at most");
        for head in [0x10, 0x80, 0x93, 0x8b] {
            let mut broken = whole.clone();
            broken[0] = head;
            assert!(unpack(&broken, 1 << 16).is_err(), "{head:x}");
        }
        let bomb = logged(10, &zlib(&vec![0; 1 << 24]));
        assert!(unpack(&bomb, 1 << 16).is_err());
    }

    #[test]
    fn columns_hold_what_their_metadata_says() {
        assert_eq!(most_bytes(type_code::VARCHAR_COMPRESSED, 2401), 2400);
        let blobs: Vec<u32> = (1..=4).map(|size| most_bytes(type_code::BLOB_COMPRESSED, size)).collect();
        assert_eq!(blobs, [255, 65_535, 16_777_215, u32::MAX]);
    }
}
