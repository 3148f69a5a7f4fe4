//! Checked reading and plain writing of the byte forms that MySQL's protocol and binlog use.
//!
//! Everything that comes from outside is read through [`Reader`], by name, so that a short or broken packet is an
//! error that says which field was missing, never a panic. Knows bytes only: no sockets, no events.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use std::fmt;

/// Bytes that do not hold what they should: which field, where, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// The input ends inside a field.
    Short { what: &'static str, need: usize, offset: usize, have: usize },
    /// The field is there, and its value is impossible.
    Invalid { what: &'static str, value: u64, offset: usize },
    /// The input goes on after its last field.
    Trailing { what: &'static str, count: usize, offset: usize },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { what, need, offset, have } => {
                write!(f, "{what}: need {need} bytes at offset {offset}, have {have}")
            }
            Self::Invalid { what, value, offset } => {
                write!(f, "{what}: impossible value {value} at offset {offset}")
            }
            Self::Trailing { what, count, offset } => {
                write!(f, "{what}: {count} bytes left over at offset {offset}")
            }
        }
    }
}

impl std::error::Error for CodecError {}

type Result<T> = std::result::Result<T, CodecError>;

/// A cursor over bytes from outside. Each read names its field.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub fn is_empty(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// The next byte, not consumed.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    #[inline]
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8]> {
        let end = self.offset.checked_add(count);
        match end.and_then(|end| self.bytes.get(self.offset..end)) {
            Some(taken) => {
                self.offset += count;
                Ok(taken)
            }
            None => Err(self.short(count, what)),
        }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        match self.bytes.get(self.offset..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.offset += N;
                Ok(*chunk)
            }
            None => Err(self.short(N, what)),
        }
    }

    #[cold]
    fn short(&self, need: usize, what: &'static str) -> CodecError {
        CodecError::Short { what, need, offset: self.offset, have: self.remaining() }
    }

    /// An error at the current place, for a value that was read and makes no sense.
    #[cold]
    pub fn invalid(&self, what: &'static str, value: u64) -> CodecError {
        CodecError::Invalid { what, value, offset: self.offset }
    }

    pub fn skip(&mut self, count: usize, what: &'static str) -> Result<()> {
        self.take(count, what).map(|_| ())
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
        self.offset = self.bytes.len();
        rest
    }

    /// Insists that nothing is left.
    pub fn finish(&self, what: &'static str) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(CodecError::Trailing { what, count, offset: self.offset }),
        }
    }

    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    #[inline]
    pub fn u24(&mut self, what: &'static str) -> Result<u32> {
        self.array::<3>(what).map(|bytes| LittleEndian::read_u24(&bytes))
    }

    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    #[inline]
    pub fn u48(&mut self, what: &'static str) -> Result<u64> {
        self.array::<6>(what).map(|bytes| LittleEndian::read_u48(&bytes))
    }

    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A little-endian unsigned integer of 1 to 8 bytes.
    #[inline]
    pub fn uint(&mut self, size: usize, what: &'static str) -> Result<u64> {
        if !(1..=8).contains(&size) {
            return Err(self.invalid(what, size as u64));
        }
        self.take(size, what).map(|bytes| LittleEndian::read_uint(bytes, size))
    }

    /// A big-endian unsigned integer of 1 to 8 bytes.
    #[inline]
    pub fn uint_be(&mut self, size: usize, what: &'static str) -> Result<u64> {
        if !(1..=8).contains(&size) {
            return Err(self.invalid(what, size as u64));
        }
        self.take(size, what).map(|bytes| BigEndian::read_uint(bytes, size))
    }

    /// A length-encoded integer (protocol manual, "Integer Types"). 0xFB (NULL) and 0xFF are refused here.
    pub fn lenenc(&mut self, what: &'static str) -> Result<u64> {
        match self.u8(what)? {
            0xfc => self.u16(what).map(u64::from),
            0xfd => self.u24(what).map(u64::from),
            0xfe => self.u64(what),
            marker @ (0xfb | 0xff) => Err(self.invalid(what, marker.into())),
            small => Ok(small.into()),
        }
    }

    /// A length-encoded integer that counts bytes or items in memory.
    pub fn lenenc_len(&mut self, what: &'static str) -> Result<usize> {
        let value = self.lenenc(what)?;
        usize::try_from(value).map_err(|_| self.invalid(what, value))
    }

    /// A length-encoded string.
    pub fn lenenc_bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = self.lenenc_len(what)?;
        self.take(length, what)
    }

    /// A string that ends with a zero byte; the zero is consumed and not returned.
    pub fn nul_terminated(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
        match memchr::memchr(0, rest) {
            Some(length) => {
                let text = self.take(length, what)?;
                self.skip(1, what)?;
                Ok(text)
            }
            None => Err(self.short(rest.len() + 1, what)),
        }
    }
}

/// Appends a length-encoded integer.
pub fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0xfa => out.push(value as u8),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends a length-encoded string.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_encoding_reads_back() {
        for value in [0, 1, 0xfa, 0xfb, 0xff, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut bytes = Vec::new();
            put_lenenc(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.lenenc("value"), Ok(value));
            assert!(reader.is_empty());
            for cut in 0..bytes.len() {
                assert!(Reader::new(&bytes[..cut]).lenenc("value").is_err());
            }
        }
    }

    #[test]
    fn a_short_read_says_what_and_where_and_consumes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u8("a"), Ok(1));
        let error = reader.u32("the field").unwrap_err();
        assert_eq!(error.to_string(), "the field: need 4 bytes at offset 1, have 2");
        assert_eq!(reader.u16("b"), Ok(0x0302));
    }

    #[test]
    fn a_length_near_the_end_of_the_address_space_is_an_error() {
        assert!(Reader::new(&[0; 8]).take(usize::MAX, "huge").is_err());
        let mut reader = Reader::new(&[0; 8]);
        assert!(reader.skip(4, "x").is_ok() && reader.take(usize::MAX, "huge").is_err());
    }

    #[test]
    fn nul_terminated_needs_its_zero() {
        assert_eq!(Reader::new(b"ab\0c").nul_terminated("s"), Ok(&b"ab"[..]));
        assert!(Reader::new(b"ab").nul_terminated("s").is_err());
    }
}
