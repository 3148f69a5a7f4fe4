//! DECIMAL: the packed digits, and the text that `SELECT` prints.
//!
//! Layout (`strings/decimal.cc`, `decimal2bin`): the digits before and after the point are cut into groups of
//! nine, counted from the point; a group is a big-endian number of four bytes, an incomplete outermost group
//! takes as few bytes as its digits need. The very first bit is turned over, so that positive values have it
//! set; a negative value has all other bits turned over as well.

use crate::codec::Reader;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;

const TYPE: &str = "DECIMAL";
const MAX_PRECISION: u8 = 65;
const MAX_SCALE: u8 = 30;
/// Bytes of an incomplete group, by its digits.
const BYTES_OF_DIGITS: [u8; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
const POWER_OF_TEN: [u32; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A DECIMAL value still in its packed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    packed: &'a [u8],
    precision: u8,
    scale: u8,
}

/// How many bytes a DECIMAL(precision, scale) takes; `None` when there is no such type.
pub fn packed_size(precision: u8, scale: u8) -> Option<u8> {
    if precision == 0 || precision > MAX_PRECISION || scale > MAX_SCALE || scale > precision {
        return None;
    }
    let part = |digits: u8| Some(digits / 9 * 4 + BYTES_OF_DIGITS.get(usize::from(digits % 9))?);
    Some(part(precision - scale)? + part(scale)?)
}

impl<'a> Decimal<'a> {
    /// A value of exactly [`packed_size`] bytes.
    #[inline]
    pub(crate) fn new(packed: &'a [u8], precision: u8, scale: u8) -> Self {
        Self { packed, precision, scale }
    }

    /// A value that says its own precision and scale in two bytes in front, as JSON documents hold it.
    pub(crate) fn read_self_described(bytes: &mut Reader<'a>) -> Result<Self, ColumnError> {
        let precision = bytes.u8("JSON DECIMAL: precision")?;
        let scale = bytes.u8("JSON DECIMAL: scale")?;
        let metadata = u16::from_be_bytes([precision, scale]);
        let size =
            packed_size(precision, scale).ok_or(ColumnFault::Metadata { type_name: TYPE, metadata })?;
        Ok(Self::new(bytes.take(size.into(), "JSON DECIMAL: digits")?, precision, scale))
    }

    /// Digits behind the point.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// Appends the value as `SELECT` prints it: no needless leading zeros, all digits behind the point.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), ColumnError> {
        let mut groups = Groups::new(self.packed);
        if groups.mask != 0 {
            out.push(b'-');
        }
        let whole = self.precision - self.scale;
        let mut leading = true;
        if !whole.is_multiple_of(9) {
            leading = write_leading(out, groups.partial(whole % 9)?);
        }
        for _ in 0..whole / 9 {
            let group = groups.full()?;
            if leading {
                leading = write_leading(out, group);
            } else {
                out.extend_from_slice(&nine_digits(group));
            }
        }
        if leading {
            out.push(b'0');
        }
        if self.scale > 0 {
            out.push(b'.');
            write_fraction(out, &mut groups, self.scale)?;
        }
        Ok(())
    }
}

/// Writes the first group that is not zero; says whether the next one is still the first.
#[inline]
fn write_leading(out: &mut Vec<u8>, group: u32) -> bool {
    if group != 0 {
        out.extend_from_slice(itoa::Buffer::new().format(group).as_bytes());
    }
    group == 0
}

#[inline]
fn write_fraction(out: &mut Vec<u8>, groups: &mut Groups<'_>, scale: u8) -> Result<(), ColumnError> {
    for _ in 0..scale / 9 {
        out.extend_from_slice(&nine_digits(groups.full()?));
    }
    match scale % 9 {
        0 => {}
        2 => out.extend_from_slice(&two_digits(groups.partial(2)?)),
        count => {
            let digits = nine_digits(groups.partial(count)?);
            out.extend_from_slice(digits.get(usize::from(9 - count)..).unwrap_or(&[]));
        }
    }
    Ok(())
}

/// A value's groups of digits, one after the other.
struct Groups<'a> {
    packed: &'a [u8],
    /// All ones for a negative value, else zero.
    mask: u32,
    /// Whether the first bit is still to come.
    first: bool,
}

impl<'a> Groups<'a> {
    #[inline]
    fn new(packed: &'a [u8]) -> Self {
        let negative = packed.first().is_some_and(|first| first & 0x80 == 0);
        Self { packed, mask: if negative { u32::MAX } else { 0 }, first: true }
    }

    /// A group of nine digits.
    #[inline]
    fn full(&mut self) -> Result<u32, ColumnError> {
        let group = self.take().map(u32::from_be_bytes);
        self.digits(group, 32, 1_000_000_000)
    }

    /// The outermost group, of less than nine digits.
    #[inline]
    fn partial(&mut self, digits: u8) -> Result<u32, ColumnError> {
        let (group, bits) = match BYTES_OF_DIGITS.get(usize::from(digits)) {
            Some(1) => (self.take().map(|[a]| u32::from(a)), 8),
            Some(2) => (self.take().map(|bytes| u16::from_be_bytes(bytes).into()), 16),
            Some(3) => (self.take().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c])), 24),
            _ => (self.take().map(u32::from_be_bytes), 32),
        };
        let limit = POWER_OF_TEN.get(usize::from(digits)).copied().unwrap_or(0);
        self.digits(group, bits, limit)
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (group, rest) = self.packed.split_first_chunk()?;
        self.packed = rest;
        Some(*group)
    }

    /// Turns a group's bits the right way and checks that they are digits.
    #[inline]
    fn digits(&mut self, group: Option<u32>, bits: u32, limit: u32) -> Result<u32, ColumnError> {
        let first_bit = if std::mem::take(&mut self.first) { 1 << (bits - 1) } else { 0 };
        match group.map(|group| group ^ self.mask >> (32 - bits) ^ first_bit) {
            Some(digits) if digits < limit => Ok(digits),
            digits => Err(ColumnError::impossible(TYPE, "group of digits", digits.map_or(-1, i64::from))),
        }
    }
}

#[inline]
fn nine_digits(group: u32) -> [u8; 9] {
    let (high, low) = (group / 10_000, group % 10_000);
    let [c, d] = two_digits(high / 100 % 100);
    let [e, f] = two_digits(high % 100);
    let [g, h] = two_digits(low / 100);
    let [i, j] = two_digits(low % 100);
    [b'0' + (high / 10_000) as u8, c, d, e, f, g, h, i, j]
}

/// The last two digits.
#[inline]
fn two_digits(number: u32) -> [u8; 2] {
    let number = (number % 100) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::fixtures::hex;

    fn text(packed: &str, precision: u8, scale: u8) -> Result<String, ColumnError> {
        let packed = hex(packed);
        assert_eq!(packed.len(), usize::from(packed_size(precision, scale).unwrap()));
        let mut out = Vec::new();
        Decimal::new(&packed, precision, scale).write(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn sizes_by_precision_and_scale() {
        for (precision, scale, size) in
            [(1, 0, 1), (10, 2, 5), (18, 9, 8), (65, 30, 30), (65, 0, 29), (30, 30, 14), (14, 4, 7)]
        {
            assert_eq!(packed_size(precision, scale), Some(size));
        }
        for (precision, scale) in [(0, 0), (66, 0), (40, 31), (5, 6), (255, 255)] {
            assert_eq!(packed_size(precision, scale), None);
        }
        let sizes = (0..=65).flat_map(|p| (0..=30).filter_map(move |s| packed_size(p, s)));
        assert_eq!(sizes.max(), Some(30));
    }

    #[test]
    fn groups_that_are_no_digits_are_errors() {
        for (packed, precision, scale) in
            [("ff000000ff", 10, 2), ("8000000064", 10, 2), ("8a", 1, 0), ("bb9aca00", 9, 0)]
        {
            assert!(text(packed, precision, scale).is_err(), "{packed}");
        }
    }

    #[test]
    fn any_bytes_of_any_type_print_or_fail() {
        let mut random = crate::column::fixtures::Random::new(1);
        let mut out = Vec::new();
        for _ in 0..20_000 {
            let (precision, scale) = (random.below(66) as u8, random.below(31) as u8);
            let Some(size) = packed_size(precision, scale) else { continue };
            let packed: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
            out.clear();
            if Decimal::new(&packed, precision, scale).write(&mut out).is_ok() {
                let digits = out.iter().filter(|byte| byte.is_ascii_digit()).count();
                assert!(digits >= usize::from(scale) && digits <= usize::from(precision) + 1);
            }
        }
    }
}
