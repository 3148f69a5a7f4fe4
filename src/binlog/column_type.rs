//! What TABLE_MAP_EVENT says about a column's type: its code, and how much metadata belongs to it.
//!
//! Only as much as is needed to take the event apart. What the types mean is the `column` module's business.

use crate::binlog::format_description::Flavor;

/// DECIMAL of before 5.0.
pub const DECIMAL: u8 = 0;
pub const TINY: u8 = 1;
pub const SHORT: u8 = 2;
pub const LONG: u8 = 3;
pub const FLOAT: u8 = 4;
pub const DOUBLE: u8 = 5;
pub const LONGLONG: u8 = 8;
pub const INT24: u8 = 9;
pub const YEAR: u8 = 13;
pub const VARCHAR: u8 = 15;
pub const BIT: u8 = 16;
pub const TIMESTAMP2: u8 = 17;
pub const DATETIME2: u8 = 18;
pub const TIME2: u8 = 19;
/// The hidden column of a multi-valued index: never logged by the servers we know.
pub const TYPED_ARRAY: u8 = 20;
/// MariaDB: BLOB and TEXT … COMPRESSED.
pub const MARIADB_BLOB_COMPRESSED: u8 = 140;
/// MariaDB: VARCHAR and VARBINARY … COMPRESSED.
pub const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
pub const VECTOR: u8 = 242;
pub const JSON: u8 = 245;
pub const NEWDECIMAL: u8 = 246;
pub const ENUM: u8 = 247;
pub const SET: u8 = 248;
pub const TINY_BLOB: u8 = 249;
pub const BLOB: u8 = 252;
pub const VAR_STRING: u8 = 253;
pub const STRING: u8 = 254;
pub const GEOMETRY: u8 = 255;

/// Bytes of a type's metadata in TABLE_MAP_EVENT (`Field::do_save_field_metadata` in MySQL's `sql/field.cc`);
/// `None` for a type that we do not know, and for TYPED_ARRAY, whose metadata says its own length.
pub fn metadata_length(type_code: u8) -> Option<usize> {
    match type_code {
        VARCHAR | BIT | NEWDECIMAL | ENUM | SET | VAR_STRING | STRING | MARIADB_VARCHAR_COMPRESSED => Some(2),
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | JSON | VECTOR | GEOMETRY => Some(1),
        TINY_BLOB..=BLOB | MARIADB_BLOB_COMPRESSED => Some(1),
        // DECIMAL of before 5.0, TINY … DATETIME in their old forms, YEAR, NEWDATE, BOOL.
        0..=3 | 6..=14 | 244 => Some(0),
        _ => None,
    }
}

/// The type that the column was declared with, where STRING stands for another: the first metadata byte of
/// STRING is the real type (ENUM, SET or STRING). CHAR columns of more than 255 bytes lend two of its bits to
/// their length, inverted (`Field_string::do_save_field_metadata`), and are STRING.
pub fn real_type(type_code: u8, metadata: u16) -> u8 {
    let [first, _] = metadata.to_le_bytes();
    match type_code {
        STRING if first & 0x30 == 0x30 => first,
        type_code => type_code,
    }
}

/// Whether SIGNEDNESS has a bit for such a column (`has_signedess_information_type` in MySQL's
/// `sql/field_common_properties.h`). YEAR has one on both servers, BIT and the temporal types have none.
pub(super) fn has_sign(real_type: u8) -> bool {
    matches!(real_type, DECIMAL | TINY | SHORT | LONG | INT24 | LONGLONG | FLOAT | DOUBLE | YEAR | NEWDECIMAL)
}

/// Whether DEFAULT_CHARSET and COLUMN_CHARSET count such a column. ENUM and SET have lists of their own.
pub(super) fn has_charset(real_type: u8, flavor: Flavor) -> bool {
    match real_type {
        VARCHAR | VAR_STRING | STRING | TINY_BLOB..=BLOB => true,
        VECTOR => flavor == Flavor::MySql,
        // MariaDB's GEOMETRY is a BLOB with the character set binary.
        GEOMETRY | MARIADB_BLOB_COMPRESSED | MARIADB_VARCHAR_COMPRESSED => flavor == Flavor::MariaDb,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_types_hide_behind_string() {
        // ENUM('a','b'): real type 247, one byte. SET: 248. CHAR(10) in latin1: 254, 10.
        assert_eq!(real_type(STRING, u16::from_le_bytes([247, 1])), ENUM);
        assert_eq!(real_type(STRING, u16::from_le_bytes([248, 1])), SET);
        assert_eq!(real_type(STRING, u16::from_le_bytes([254, 10])), STRING);
        // CHAR(255) in utf8mb4: 1020 = 0x3fc bytes; the two high bits, inverted, are 0 in bits 4 and 5.
        assert_eq!(real_type(STRING, u16::from_le_bytes([0xfe ^ 0x30, 0xfc])), STRING);
        assert_eq!(real_type(TINY, 0), TINY);
    }
}
