//! TABLE_MAP_EVENT (19): which table the rows behind it belong to, and how their columns are stored.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::TABLE_MAP_EVENT;
use crate::binlog::format_description::Flavor;
use crate::binlog::rows::ColumnBits;
use crate::binlog::rows::read_table_id;
use crate::binlog::table_metadata::TableMetadata;
use crate::codec::CodecError;
use crate::codec::Reader;
use crate::column::type_code;
use crate::column::type_code::MetadataError;
use crate::column::type_code::RealType;

/// Post-header, in wire order: table id 6 (4 before 5.1.4) · flags 2. Body: length 1, database, 0 · length 1,
/// table, 0 · number of columns (length-encoded) · type codes, one byte each · length of the metadata
/// (length-encoded), metadata · NULL bits · optional metadata to the end. (`Table_map_event` in MySQL's
/// `rows_event.h`.)
///
/// Slices of the event: what they say about single columns is taken apart by `metadata` and `table_metadata`,
/// once per table and not per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMapEvent<'a> {
    /// Names the table until the same id is given out anew; changes with every DDL and server start.
    pub table_id: u64,
    /// MariaDB: 1 means that the metadata of BIT is exact. Otherwise unused.
    pub flags: u16,
    pub database: &'a [u8],
    pub table: &'a [u8],
    /// A type code for each column ([`type_code`]).
    pub column_types: &'a [u8],
    /// What the types need beyond their code, column by column.
    pub column_metadata: &'a [u8],
    /// Set for each column that may be NULL.
    pub null_bits: ColumnBits<'a>,
    /// Fields of (type 1, length, value); MySQL 8.0.1 and MariaDB 10.5 and later.
    pub optional_metadata: &'a [u8],
    /// All behind table id and flags: two events with the same bytes here describe the same table.
    pub body: &'a [u8],
    /// Whose rules the optional metadata follows.
    pub flavor: Flavor,
}

impl<'a> TableMapEvent<'a> {
    pub(super) fn read(
        bytes: &mut Reader<'a>,
        post_header_length: usize,
        flavor: Flavor,
    ) -> Result<Self, CodecError> {
        let table_id = read_table_id(bytes, post_header_length)?;
        let flags = bytes.u16("flags")?;
        let body = bytes.clone().rest();
        let database = name(bytes, "database")?;
        let table = name(bytes, "table")?;
        let column_count = bytes.lenenc_len("number of columns")?;
        let column_types = bytes.take(column_count, "column types")?;
        let metadata_length = bytes.lenenc_len("length of the column metadata")?;
        let column_metadata = bytes.take(metadata_length, "column metadata")?;
        let null_bits = ColumnBits::read(bytes, column_count, "NULL bits")?;
        let optional_metadata = bytes.rest();
        Ok(Self {
            table_id,
            flags,
            database,
            table,
            column_types,
            column_metadata,
            null_bits,
            optional_metadata,
            body,
            flavor,
        })
    }

    /// Whether it ends behind the type codes: MySQL 5.1 before its general availability wrote no metadata.
    pub(super) fn is_pre_ga(mut bytes: Reader<'_>, post_header_length: usize) -> Result<bool, CodecError> {
        read_table_id(&mut bytes, post_header_length)?;
        bytes.skip(2, "flags")?;
        name(&mut bytes, "database")?;
        name(&mut bytes, "table")?;
        let column_count = bytes.lenenc_len("number of columns")?;
        bytes.skip(column_count, "column types")?;
        Ok(bytes.is_empty())
    }

    pub fn column_count(&self) -> usize {
        self.column_types.len()
    }

    /// The metadata of each column, as [`type_code::read_metadata`] reads it.
    pub fn metadata(&self) -> Result<Vec<u16>, BinlogError> {
        let mut block = Reader::new(self.column_metadata);
        let mut metadata = Vec::with_capacity(self.column_types.len());
        for (column, type_code) in self.column_types.iter().enumerate() {
            let read = type_code::read_metadata(*type_code, &mut block);
            metadata.push(read.map_err(|error| metadata_error(column, error))?);
        }
        block.finish("column metadata").map_err(BinlogError::field(TABLE_MAP_EVENT))?;
        Ok(metadata)
    }

    /// What the optional metadata says: names, signedness, character sets, key … `metadata` is what
    /// [`Self::metadata`] gave.
    pub fn table_metadata(&self, metadata: &[u16]) -> Result<TableMetadata, BinlogError> {
        TableMetadata::parse(self, metadata)
    }

    /// The type of each column with STRING resolved into what it stands for.
    pub(super) fn real_types(&self, metadata: &[u16]) -> Vec<u8> {
        let columns = self.column_types.iter().zip(metadata);
        columns.map(|(type_code, metadata)| RealType::new(*type_code, *metadata).type_code).collect()
    }
}

/// A name behind its length and before a zero.
fn name<'a>(bytes: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], CodecError> {
    // Names are at most 192 bytes, so the length is one byte; MySQL 9 writes it length-encoded, which is the
    // same.
    let name = bytes.lenenc_bytes(what)?;
    match bytes.u8(what)? {
        0 => Ok(name),
        byte => Err(bytes.invalid(what, byte.into())),
    }
}

fn metadata_error(column: usize, error: MetadataError) -> BinlogError {
    let event_type = TABLE_MAP_EVENT;
    match error {
        MetadataError::UnknownType(type_code) => BinlogError::ColumnType { event_type, column, type_code },
        MetadataError::Bytes(error) => BinlogError::Field { event_type, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    /// Runs `check` on the table maps of one table of a fixture.
    fn with_table(name: &str, table: &[u8], mut check: impl FnMut(&TableMapEvent<'_>)) {
        let mut decoder = Decoder::default();
        let mut found = false;
        for (_, bytes) in testing::fixture(name) {
            match decoder.decode(&bytes).unwrap().1 {
                Event::TableMap(map) if map.table == table => {
                    found = true;
                    check(&map);
                }
                _ => {}
            }
        }
        assert!(found);
    }

    #[test]
    fn columns_of_every_type_are_told_apart() {
        with_table("mysql56.bin", b"t", |map| {
            assert_eq!((map.database, map.column_count()), (&b"shop"[..], 26));
            let expected_types = [
                3, 1, 2, 9, 8, 4, 5, 246, 13, 16, 254, 15, 254, 15, 252, 252, 254, 254, 10, 19, 19, 18, 18,
                17, 17, 255,
            ];
            assert_eq!(map.column_types, expected_types);
            // DECIMAL(20,6), BIT(13), CHAR(10), VARCHAR(300), BINARY(4), ENUM of one byte, SET of one byte.
            let (decimal, bit, char, varchar, binary) = (0x1406, 0x0105, 0xfe0a, 900, 0xfe04);
            let (r#enum, set) = (0xf701, 0xf801);
            let expected = [
                0, 0, 0, 0, 0, 4, 8, decimal, 0, bit, char, varchar, binary, 5, 2, 3, r#enum, set, 0, 0, 3,
                0, 6, 0, 2, 4,
            ];
            assert_eq!(map.metadata().unwrap(), expected);
            assert!(!map.null_bits.get(0) && (1..26).all(|column| map.null_bits.get(column)));
            assert!(map.optional_metadata.is_empty());
        });
    }

    #[test]
    fn the_same_table_has_the_same_body_under_any_id() {
        let mut bodies = Vec::new();
        with_table("mysql97_full.bin", b"part", |map| bodies.push((map.table_id, map.body.to_vec())));
        assert_eq!(bodies.len(), 3);
        assert!(bodies.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }

    fn body(types: &[u8], metadata: &[u8]) -> Vec<u8> {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0, types.len() as u8];
        body.extend_from_slice(types);
        body.push(metadata.len() as u8);
        body.extend_from_slice(metadata);
        body.resize(body.len() + types.len().div_ceil(8), 0xff);
        body
    }

    fn read(body: &[u8]) -> Result<TableMapEvent<'_>, CodecError> {
        TableMapEvent::read(&mut Reader::new(body), 8, Flavor::MySql)
    }

    #[test]
    fn metadata_that_is_too_short_too_long_or_unknown_is_an_error() {
        let metadata = |types: &[u8], metadata: &[u8]| read(&body(types, metadata)).unwrap().metadata();
        assert_eq!(metadata(&[3, 15, 20, 252], &[44, 1, 15, 9, 9, 9, 2]).unwrap(), [0, 300, 15, 2]);
        assert!(metadata(&[15], &[1]).is_err());
        assert!(metadata(&[3], &[1]).is_err());
        let error = metadata(&[3, 200], &[]).unwrap_err();
        assert_eq!(error.to_string(), "TABLE_MAP_EVENT: column @2 has the unknown type 200");
    }

    #[test]
    fn every_truncation_is_an_error_and_table_ids_of_four_bytes_are_read() {
        let body = body(&[3, 15], &[44, 1]);
        for cut in 0..body.len() {
            assert!(read(&body[..cut]).is_err(), "{cut}");
        }
        let short = [&body[..4], &body[6..]].concat();
        let map = TableMapEvent::read(&mut Reader::new(&short), 6, Flavor::MySql).unwrap();
        assert_eq!((map.table_id, map.flags, map.table), (9, 1, &b"t"[..]));
        assert!(TableMapEvent::read(&mut Reader::new(&body), 7, Flavor::MySql).is_err());
    }
}
