//! A decoded value: borrowed from the row, small, and free to copy.

use crate::column::charset::Charset;
use crate::column::compressed::Compressed;
use crate::column::decimal::Decimal;
use crate::column::error::ColumnError;
use crate::column::fixed;
use crate::column::json_diff::JsonDiff;
use crate::column::jsonb::Json;
use crate::column::temporal::Date;
use crate::column::temporal::DateTime;
use crate::column::temporal::Time;
use crate::column::temporal::Timestamp;

/// One column of one row image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// Signed integers.
    Int(i64),
    /// Unsigned integers, YEAR, BIT; ENUM's index and SET's bits where the labels are not known.
    Unsigned(u64),
    /// Never infinite, never NaN.
    Float(f32),
    /// Never infinite, never NaN.
    Double(f64),
    Decimal(Decimal<'a>),
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Timestamp(Timestamp),
    /// CHAR, VARCHAR, TEXT; and columns of strings of which nothing more is known.
    Text(Text<'a>),
    /// BINARY, VARBINARY, BLOB, GEOMETRY.
    Bytes(Bytes<'a>),
    /// MariaDB's compressed strings, unpacked when they are written.
    Compressed(Compressed<'a>),
    /// ENUM's label; the empty string for the index 0, which stands for a value that was refused.
    Label(&'a str),
    /// SET's labels.
    Labels(Labels<'a>),
    /// VECTOR.
    Vector(Vector<'a>),
    Uuid(Uuid),
    Inet4(Inet4),
    Inet6(Inet6),
    /// MySQL's JSON.
    Json(Json<'a>),
    /// A partial update of a JSON document that is not at hand.
    JsonDiff(JsonDiff<'a>),
    /// A partial update together with the document it changes; the value is the changed document.
    JsonUpdated(Json<'a>, JsonDiff<'a>),
}

/// Text in the column's character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    pub bytes: &'a [u8],
    pub charset: Charset,
}

/// Bytes, to be padded with zero bytes: the log drops those at the end of a BINARY(n).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a> {
    pub logged: &'a [u8],
    /// Zero bytes that follow.
    pub padding: u16,
}

impl Bytes<'_> {
    /// The whole value.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.logged.to_vec();
        bytes.resize(bytes.len() + usize::from(self.padding), 0);
        bytes
    }
}

/// The members of a SET value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'a> {
    bits: u64,
    labels: &'a [String],
}

impl<'a> Labels<'a> {
    /// `bits` has no bit beyond the labels.
    pub(crate) fn new(bits: u64, labels: &'a [String]) -> Self {
        Self { bits, labels }
    }

    /// The labels of the bits that are set, in the order of the definition.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        let bits = self.bits;
        let is_set =
            move |place: usize| u32::try_from(place).is_ok_and(|place| bits.unbounded_shr(place) & 1 == 1);
        self.labels
            .iter()
            .enumerate()
            .filter(move |(place, _)| is_set(*place))
            .map(|(_, label)| label.as_str())
    }
}

/// A VECTOR: single-precision numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vector<'a> {
    numbers: &'a [[u8; 4]],
}

impl<'a> Vector<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ColumnError> {
        let (numbers, rest) = bytes.as_chunks();
        let vector = Self { numbers };
        if !rest.is_empty() {
            return Err(ColumnError::impossible("VECTOR", "length in bytes", bytes.len() as i64));
        }
        match vector.iter().find(|number| !number.is_finite()) {
            None => Ok(vector),
            Some(number) => {
                Err(ColumnError::impossible("VECTOR", "bits of a number", number.to_bits().into()))
            }
        }
    }

    /// The numbers, all finite.
    pub fn iter(&self) -> impl Iterator<Item = f32> {
        self.numbers.iter().map(|number| f32::from_le_bytes(*number))
    }
}

/// MariaDB's UUID, in the order of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    pub fn write(&self, out: &mut Vec<u8>) {
        fixed::write_uuid(out, &self.0);
    }
}

/// MariaDB's INET4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inet4(pub [u8; 4]);

impl Inet4 {
    pub fn write(&self, out: &mut Vec<u8>) {
        fixed::write_inet4(out, &self.0);
    }
}

/// MariaDB's INET6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inet6(pub [u8; 16]);

impl Inet6 {
    pub fn write(&self, out: &mut Vec<u8>) {
        fixed::write_inet6(out, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_small() {
        assert!(size_of::<Value>() <= 40);
        assert!(size_of::<Result<Value, ColumnError>>() <= 40);
    }

    #[test]
    fn set_labels_in_the_order_of_the_definition() {
        let labels: Vec<String> = (0..64).map(|n| n.to_string()).collect();
        let members = |bits| Labels::new(bits, &labels).iter().collect::<Vec<_>>().join(",");
        assert_eq!(members(0), "");
        assert_eq!(members(0b101), "0,2");
        assert_eq!(members(1 << 63), "63");
    }
}
