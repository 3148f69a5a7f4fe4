//! MySQL's serialization library (`libs/mysql/serialization`), as far as binlogs use it:
//! GTID_TAGGED_LOG_EVENT and tags in GTID sets.
//!
//! A variable-length integer takes 1 to 9 bytes. The low bits of the first byte say how many follow: as many
//! ones as further bytes, then (up to eight bytes) a zero; the value's low bits come next, the further bytes
//! little-endian above them. A signed value is stored as twice its magnitude, the sign in the lowest bit.

use crate::binlog::gtid::Tag;
use crate::codec::CodecError;
use crate::codec::Reader;

/// A variable-length unsigned integer.
pub(super) fn read_varint(bytes: &mut Reader<'_>, what: &'static str) -> Result<u64, CodecError> {
    let first = bytes.u8(what)?;
    let more = first.trailing_ones();
    let high = match more {
        0 => 0,
        more => bytes.uint(more as usize, what)?,
    };
    // One byte: 7 value bits. Nine bytes: none in the first. In between 7 - more.
    let low_bits = 7u32.saturating_sub(more);
    let low = if low_bits == 0 { 0 } else { u64::from(first >> (more + 1)) };
    if more == 8 { Ok(high) } else { Ok(high << low_bits | low) }
}

/// A variable-length signed integer.
pub(super) fn read_signed(bytes: &mut Reader<'_>, what: &'static str) -> Result<i64, CodecError> {
    let raw = read_varint(bytes, what)?;
    let magnitude = (raw >> 1) as i64;
    Ok(if raw & 1 == 0 { magnitude } else { !magnitude })
}

/// Appends a variable-length unsigned integer.
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let bits = u64::BITS - value.leading_zeros();
    // What the server computes: one byte for each seven bits, nine bytes for 57 bits and more.
    let more = if bits > 56 { 8 } else { bits.saturating_sub(1) / 7 };
    let ones = ((1u32 << more) - 1) as u8;
    match more {
        8 => {
            out.push(ones);
            out.extend_from_slice(&value.to_le_bytes());
        }
        more => {
            out.push(ones | (value << (more + 1)) as u8);
            let high = value >> (7 - more);
            out.extend(high.to_le_bytes().iter().take(more as usize));
        }
    }
}

/// A tag: its length and letters, `None` for length 0.
pub(super) fn read_tag(bytes: &mut Reader<'_>) -> Result<Option<Tag>, CodecError> {
    let length = read_varint(bytes, "length of the tag")?;
    match usize::try_from(length) {
        Ok(0) => Ok(None),
        Ok(length @ 1..=Tag::MAX_LENGTH) => {
            let text = bytes.take(length, "tag")?;
            Tag::new(text).map(Some).ok_or_else(|| bytes.invalid("tag", length as u64))
        }
        _ => Err(bytes.invalid("length of the tag", length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    #[test]
    fn the_examples_of_the_library_hold() {
        // "65535 is represented using 3 bytes": 00000111 11111111 11111011, most significant first.
        assert_eq!(encoded(65535), [0b1111_1011, 0b1111_1111, 0b0000_0111]);
        let signed = [
            ([0b1111_0011, 0b1111_1111, 0b0000_1111], 65535),
            ([0b1110_1011, 0b1111_1111, 0b0000_1111], -65535),
            ([0b1111_1011, 0b1111_1111, 0b0000_1111], -65536),
        ];
        for (bytes, value) in signed {
            assert_eq!(read_signed(&mut Reader::new(&bytes), "value"), Ok(value));
        }
    }

    #[test]
    fn every_size_reads_back_and_every_cut_is_an_error() {
        let mut sizes = std::collections::BTreeSet::new();
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let bytes = encoded(value);
                sizes.insert(bytes.len());
                let mut reader = Reader::new(&bytes);
                assert_eq!(read_varint(&mut reader, "value"), Ok(value), "{bytes:02x?}");
                assert!(reader.is_empty());
                for cut in 0..bytes.len() {
                    assert!(read_varint(&mut Reader::new(&bytes[..cut]), "value").is_err());
                }
            }
        }
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    }

    #[test]
    fn the_sizes_are_the_servers() {
        // get_size_integer_varlen_unsigned: ((bits * 575) >> 12) + 1.
        for bits in 0..=64u32 {
            let value = if bits == 0 { 0 } else { u64::MAX >> (64 - bits) };
            assert_eq!(encoded(value).len() as u32, ((bits * 575) >> 12) + 1, "{bits} bits");
        }
    }
}
