//! How long a column's value is, for walking over rows without decoding them.

use crate::codec::Reader;
use crate::column::decimal;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;
use crate::column::spec::ColumnSpec;
use crate::column::spec::Declared;
use crate::column::temporal::fraction_size;
use crate::column::temporal_old;
use crate::column::type_code;
use crate::column::type_code::RealType;

/// The length of a column's values. Known for every type that a server logs, also for those that are not
/// decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnLength {
    /// So many bytes.
    Fixed(u8),
    /// As many as a little-endian number of so many bytes (1 to 4) in front says.
    Prefixed(u8),
}

impl ColumnLength {
    /// Refuses types that fountain does not know and metadata that no server writes.
    pub fn new(spec: &ColumnSpec) -> Result<Self, ColumnError> {
        let RealType { type_code, metadata } = spec.real_type();
        let wrong =
            || ColumnFault::Metadata { type_name: type_code::name(type_code), metadata: spec.metadata };
        let length = match type_code {
            type_code::NULL => Some(Self::Fixed(0)),
            type_code::TINY | type_code::YEAR => Some(Self::Fixed(1)),
            type_code::SHORT => Some(Self::Fixed(2)),
            type_code::INT24 | type_code::DATE | type_code::NEWDATE => Some(Self::Fixed(3)),
            type_code::LONG => Some(Self::Fixed(4)),
            type_code::LONGLONG => Some(Self::Fixed(8)),
            type_code::FLOAT if metadata == 4 => Some(Self::Fixed(4)),
            type_code::DOUBLE if metadata == 8 => Some(Self::Fixed(8)),
            type_code::NEWDECIMAL => {
                let [precision, scale] = metadata.to_be_bytes();
                decimal::packed_size(precision, scale).map(Self::Fixed)
            }
            type_code::TIME => Some(Self::Fixed(old_size(spec, 3, temporal_old::hires_time_size))),
            type_code::DATETIME => Some(Self::Fixed(old_size(spec, 8, temporal_old::hires_datetime_size))),
            type_code::TIMESTAMP => Some(Self::Fixed(old_size(spec, 4, temporal_old::hires_timestamp_size))),
            type_code::TIME2 => with_fraction(3, metadata),
            type_code::DATETIME2 => with_fraction(5, metadata),
            type_code::TIMESTAMP2 => with_fraction(4, metadata),
            type_code::BIT => bit_size(metadata).map(Self::Fixed),
            type_code::ENUM if matches!(metadata, 1 | 2) => Some(Self::Fixed(metadata as u8)),
            type_code::SET if matches!(metadata, 1..=8) => Some(Self::Fixed(metadata as u8)),
            type_code::STRING
            | type_code::VARCHAR
            | type_code::VAR_STRING
            | type_code::VARCHAR_COMPRESSED => Some(Self::Prefixed(if metadata > 255 { 2 } else { 1 })),
            type_code::TINY_BLOB
            | type_code::MEDIUM_BLOB
            | type_code::LONG_BLOB
            | type_code::BLOB
            | type_code::BLOB_COMPRESSED
            | type_code::GEOMETRY
            | type_code::JSON
            | type_code::VECTOR
                if matches!(metadata, 1..=4) =>
            {
                Some(Self::Prefixed(metadata as u8))
            }
            other if type_code::metadata_length(other).is_none() || other == type_code::DECIMAL => {
                return Err(unsupported(other));
            }
            _ => None,
        };
        length.ok_or_else(|| wrong().into())
    }

    /// The value's bytes, without a length in front.
    // As `ColumnFormat::decode`, of which it is a part.
    #[inline(always)]
    pub fn take<'a>(self, bytes: &mut Reader<'a>) -> Result<&'a [u8], ColumnError> {
        let size = match self {
            Self::Fixed(size) => usize::from(size),
            Self::Prefixed(1) => bytes.u8("length of a value")?.into(),
            Self::Prefixed(2) => bytes.u16("length of a value")?.into(),
            // At most four bytes.
            Self::Prefixed(size) => bytes.uint(size.into(), "length of a value")? as usize,
        };
        Ok(bytes.take(size, "value")?)
    }

    /// Walks over a value.
    #[inline]
    pub fn skip(self, bytes: &mut Reader<'_>) -> Result<(), ColumnError> {
        self.take(bytes).map(|_| ())
    }
}

/// The refusal of a type, by its name.
pub fn unsupported(type_code: u8) -> ColumnError {
    let hint = match type_code {
        type_code::DECIMAL => "DECIMAL from before MySQL 5.0; rebuild the table with ALTER TABLE … FORCE",
        _ => "this version does not know it",
    };
    ColumnFault::Unsupported { type_code, type_name: type_code::name(type_code), hint }.into()
}

fn old_size(spec: &ColumnSpec, plain: u8, with_fraction: fn(u8) -> u8) -> u8 {
    match spec.declared {
        Declared::Fraction(digits) => with_fraction(digits),
        _ => plain,
    }
}

fn with_fraction(size: u8, digits: u16) -> Option<ColumnLength> {
    let digits = u8::try_from(digits).ok().filter(|digits| *digits <= 6)?;
    Some(ColumnLength::Fixed(size + fraction_size(digits) as u8))
}

/// BIT's metadata: whole bytes, and the bits left over.
fn bit_size(metadata: u16) -> Option<u8> {
    let [bytes, bits] = metadata.to_be_bytes();
    if bytes > 8 || bits > 7 {
        return None;
    }
    Some(bytes + u8::from(bits > 0)).filter(|size| (1..=8).contains(size))
}
