//! MySQL's column type numbers as TABLE_MAP events write them, and the metadata bytes that follow each of
//! them.
//!
//! Source of the layouts: `libbinlogevents/include/rows_event.h` (table of types and metadata) and MariaDB's
//! `sql/rpl_utility_server.cc`. What the bytes of a value look like is the other modules' business.

use crate::codec::CodecError;
use crate::codec::Reader;

pub const DECIMAL: u8 = 0;
pub const TINY: u8 = 1;
pub const SHORT: u8 = 2;
pub const LONG: u8 = 3;
pub const FLOAT: u8 = 4;
pub const DOUBLE: u8 = 5;
pub const NULL: u8 = 6;
pub const TIMESTAMP: u8 = 7;
pub const LONGLONG: u8 = 8;
pub const INT24: u8 = 9;
pub const DATE: u8 = 10;
pub const TIME: u8 = 11;
pub const DATETIME: u8 = 12;
pub const YEAR: u8 = 13;
pub const NEWDATE: u8 = 14;
pub const VARCHAR: u8 = 15;
pub const BIT: u8 = 16;
pub const TIMESTAMP2: u8 = 17;
pub const DATETIME2: u8 = 18;
pub const TIME2: u8 = 19;
/// Hidden columns of multi-valued indexes; servers of today do not log them.
pub const TYPED_ARRAY: u8 = 20;
/// MariaDB: `BLOB COMPRESSED` and its kin.
pub const BLOB_COMPRESSED: u8 = 140;
/// MariaDB: `VARCHAR COMPRESSED`.
pub const VARCHAR_COMPRESSED: u8 = 141;
pub const VECTOR: u8 = 242;
pub const JSON: u8 = 245;
pub const NEWDECIMAL: u8 = 246;
pub const ENUM: u8 = 247;
pub const SET: u8 = 248;
pub const TINY_BLOB: u8 = 249;
pub const MEDIUM_BLOB: u8 = 250;
pub const LONG_BLOB: u8 = 251;
pub const BLOB: u8 = 252;
pub const VAR_STRING: u8 = 253;
pub const STRING: u8 = 254;
pub const GEOMETRY: u8 = 255;

/// A column's metadata that cannot be told apart from the next column's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataError {
    /// A type that fountain does not know.
    UnknownType(u8),
    /// The block ends inside the column's part.
    Bytes(CodecError),
}

impl From<CodecError> for MetadataError {
    fn from(error: CodecError) -> Self {
        Self::Bytes(error)
    }
}

/// How many bytes of the metadata block belong to a column of this type (`Field::do_save_field_metadata` in
/// MySQL's `sql/field.cc`); `None` for a type that fountain does not know, and for TYPED_ARRAY, whose metadata
/// says its own length.
pub fn metadata_length(type_code: u8) -> Option<usize> {
    match type_code {
        DECIMAL | TINY | SHORT | LONG | NULL | TIMESTAMP | LONGLONG | INT24 | DATE | TIME | DATETIME
        | YEAR | NEWDATE => Some(0),
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB_COMPRESSED | VECTOR | JSON | TINY_BLOB
        | MEDIUM_BLOB | LONG_BLOB | BLOB | GEOMETRY => Some(1),
        VARCHAR | BIT | VARCHAR_COMPRESSED | NEWDECIMAL | ENUM | SET | VAR_STRING | STRING => Some(2),
        _ => None,
    }
}

/// Reads one column's metadata out of the block, as the number that [`super::ColumnSpec::metadata`] holds; 0
/// for a type that has none.
///
/// Two bytes: NEWDECIMAL is `precision << 8 | scale`, STRING, ENUM and SET are `first byte << 8 | second byte`
/// (the first byte tells the real type: [`RealType`]), BIT is `whole bytes << 8 | bits left over`, VARCHAR its
/// length in bytes. One byte: the bytes of the length of a BLOB, JSON or GEOMETRY, the size of a FLOAT or
/// DOUBLE, the fraction digits of a temporal type. TYPED_ARRAY: the type code of its elements.
pub fn read_metadata(type_code: u8, block: &mut Reader<'_>) -> Result<u16, MetadataError> {
    const WHAT: &str = "column metadata";
    Ok(match metadata_length(type_code) {
        Some(0) => 0,
        Some(1) => block.u8(WHAT)?.into(),
        Some(_) if matches!(type_code, NEWDECIMAL | ENUM | SET | STRING) => {
            u16::from_be_bytes(block.array(WHAT)?)
        }
        Some(_) => block.u16(WHAT)?,
        None if type_code == TYPED_ARRAY => {
            let element = block.u8(WHAT)?;
            // The length of a VARCHAR takes three bytes here (`read_field_metadata` in MySQL's rows_event.cpp).
            let length = if element == VARCHAR { Some(3) } else { metadata_length(element) };
            block.skip(length.ok_or(MetadataError::UnknownType(element))?, WHAT)?;
            element.into()
        }
        None => return Err(MetadataError::UnknownType(type_code)),
    })
}

/// A type code with the real type taken out of STRING's metadata.
///
/// CHAR, ENUM and SET all travel as STRING. The metadata's first byte is the real type, in which the two bits
/// 0x30 are turned over when a CHAR is longer than 255 bytes (they carry bits 8 and 9 of the length,
/// inverted; MySQL bug #37426), the second byte is the length (CHAR) or the size of the number (ENUM, SET).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealType {
    pub type_code: u8,
    /// The metadata; for CHAR, ENUM and SET the length alone.
    pub metadata: u16,
}

impl RealType {
    pub fn new(type_code: u8, metadata: u16) -> Self {
        let [first, second] = metadata.to_be_bytes();
        match type_code {
            STRING if first & 0x30 == 0x30 => Self { type_code: first, metadata: second.into() },
            STRING => Self {
                type_code: first | 0x30,
                metadata: u16::from(second) | u16::from((first & 0x30) ^ 0x30) << 4,
            },
            ENUM | SET => Self { type_code, metadata: second.into() },
            _ => Self { type_code, metadata },
        }
    }
}

/// The type's name in SQL, for messages.
pub fn name(type_code: u8) -> &'static str {
    match type_code {
        DECIMAL => "old DECIMAL",
        TINY => "TINYINT",
        SHORT => "SMALLINT",
        LONG => "INT",
        FLOAT => "FLOAT",
        DOUBLE => "DOUBLE",
        NULL => "NULL",
        TIMESTAMP | TIMESTAMP2 => "TIMESTAMP",
        LONGLONG => "BIGINT",
        INT24 => "MEDIUMINT",
        DATE | NEWDATE => "DATE",
        TIME | TIME2 => "TIME",
        DATETIME | DATETIME2 => "DATETIME",
        YEAR => "YEAR",
        VARCHAR | VAR_STRING => "VARCHAR",
        BIT => "BIT",
        TYPED_ARRAY => "typed array",
        BLOB_COMPRESSED => "BLOB COMPRESSED",
        VARCHAR_COMPRESSED => "VARCHAR COMPRESSED",
        VECTOR => "VECTOR",
        JSON => "JSON",
        NEWDECIMAL => "DECIMAL",
        ENUM => "ENUM",
        SET => "SET",
        TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB => "BLOB or TEXT",
        STRING => "CHAR",
        GEOMETRY => "GEOMETRY",
        _ => "unknown type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_in_each_types_byte_order() {
        let read = |type_code, bytes: &[u8]| read_metadata(type_code, &mut Reader::new(bytes)).unwrap();
        assert_eq!(read(LONG, &[]), 0);
        assert_eq!(read(BLOB, &[2]), 2);
        assert_eq!(read(VARCHAR, &[0x50, 0x01]), 0x150);
        assert_eq!(read(NEWDECIMAL, &[10, 2]), 10 << 8 | 2);
        assert_eq!(read(STRING, &[0xfe, 40]), 0xfe28);
        assert_eq!(read(BIT, &[1, 2]), 2 << 8 | 1);
        assert_eq!(read(TYPED_ARRAY, &[VARCHAR, 9, 9, 9]), u16::from(VARCHAR));
        let unknown =
            |type_code, bytes: &[u8]| read_metadata(type_code, &mut Reader::new(bytes)).unwrap_err();
        assert!(matches!(unknown(BLOB, &[]), MetadataError::Bytes(CodecError::Short { .. })));
        assert!(matches!(unknown(TYPED_ARRAY, &[VARCHAR, 9]), MetadataError::Bytes(_)));
        assert_eq!(unknown(TYPED_ARRAY, &[99, 0, 0]), MetadataError::UnknownType(99));
        assert_eq!(unknown(99, &[0, 0, 0]), MetadataError::UnknownType(99));
    }

    #[test]
    fn the_real_type_comes_out_of_strings_metadata() {
        assert_eq!(RealType::new(STRING, 0xfe28), RealType { type_code: STRING, metadata: 40 });
        assert_eq!(RealType::new(STRING, 0xf701), RealType { type_code: ENUM, metadata: 1 });
        assert_eq!(RealType::new(STRING, 0xf808), RealType { type_code: SET, metadata: 8 });
        // CHAR(255) CHARACTER SET utf8mb4: 1020 bytes, logged by MySQL 9.7 as CE FC.
        assert_eq!(RealType::new(STRING, 0xcefc), RealType { type_code: STRING, metadata: 1020 });
        // CHAR(100) CHARACTER SET utf8mb4: 400 bytes.
        assert_eq!(RealType::new(STRING, 0xee90), RealType { type_code: STRING, metadata: 400 });
    }
}
