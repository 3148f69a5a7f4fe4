//! The optional metadata of TABLE_MAP_EVENT: with `binlog_row_metadata=FULL` all that is needed to read the
//! rows, otherwise signedness, character sets and geometry types (MySQL) or nothing (MariaDB).
//!
//! The block is a sequence of fields: type 1 · length (length-encoded) · value. Most values list only the
//! columns of certain types (`Optional_metadata_fields` in MySQL's `rows_event.cpp`); here they are dealt out
//! to the columns.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::TABLE_MAP_EVENT;
use crate::binlog::format_description::Flavor;
use crate::binlog::table_map::TableMapEvent;
use crate::codec::CodecError;
use crate::codec::Reader;
use crate::column::type_code;

/// Types of the fields (`Optional_metadata_field_type`).
mod field {
    pub const SIGNEDNESS: u8 = 1;
    pub const DEFAULT_CHARSET: u8 = 2;
    pub const COLUMN_CHARSET: u8 = 3;
    pub const COLUMN_NAME: u8 = 4;
    pub const SET_STR_VALUE: u8 = 5;
    pub const ENUM_STR_VALUE: u8 = 6;
    pub const GEOMETRY_TYPE: u8 = 7;
    pub const SIMPLE_PRIMARY_KEY: u8 = 8;
    pub const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
    pub const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
    pub const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
    pub const COLUMN_VISIBILITY: u8 = 12;
    pub const VECTOR_DIMENSIONALITY: u8 = 13;
}

/// What the event says about one column; `None` where it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnMetadata {
    /// Numeric columns only. Of no meaning for YEAR, whose bit servers set or leave as they please; never for
    /// BIT.
    pub unsigned: Option<bool>,
    /// Id of the collation: character, binary, BLOB, TEXT, ENUM and SET columns. 63 is binary.
    pub collation: Option<u32>,
    pub name: Option<String>,
    /// Labels of ENUM and SET, in the column's character set, unconverted.
    pub labels: Option<Vec<Vec<u8>>>,
    /// 0 GEOMETRY, 1 POINT, 2 LINESTRING, …
    pub geometry_type: Option<u32>,
    /// False for INVISIBLE columns.
    pub visible: Option<bool>,
    /// Dimensions of a MySQL VECTOR.
    pub vector_dimensions: Option<u32>,
}

/// A column of the primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPart {
    /// Index of the column.
    pub column: usize,
    /// Characters of the column that the key covers, 0 for all.
    pub prefix: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableMetadata {
    /// One for each column of the table.
    pub columns: Vec<ColumnMetadata>,
    /// In the key's order. `None`: no primary key, or not said (not said, if the columns have no names).
    pub primary_key: Option<Vec<KeyPart>>,
}

impl TableMetadata {
    /// Fields of a type that we do not know are passed over.
    pub(super) fn parse(table: &TableMapEvent<'_>, metadata: &[u16]) -> Result<Self, BinlogError> {
        let mut builder = Builder {
            real_types: table.real_types(metadata),
            flavor: table.flavor,
            built: Self { columns: vec![ColumnMetadata::default(); table.column_count()], primary_key: None },
        };
        let mut bytes = Reader::new(table.optional_metadata);
        while !bytes.is_empty() {
            let error = BinlogError::field(TABLE_MAP_EVENT);
            let field_type = bytes.u8("type of optional metadata").map_err(&error)?;
            let value = bytes.lenenc_bytes("optional metadata").map_err(&error)?;
            builder.field(field_type, &mut Reader::new(value))?;
        }
        Ok(builder.built)
    }
}

struct Builder {
    real_types: Vec<u8>,
    flavor: Flavor,
    built: TableMetadata,
}

impl Builder {
    fn field(&mut self, field_type: u8, value: &mut Reader<'_>) -> Result<(), BinlogError> {
        match field_type {
            field::SIGNEDNESS => self.signedness(value),
            field::DEFAULT_CHARSET => self.default_charset("DEFAULT_CHARSET", self.characters(), value),
            field::COLUMN_CHARSET => self.column_charset("COLUMN_CHARSET", self.characters(), value),
            field::COLUMN_NAME => self.names(value),
            field::SET_STR_VALUE => self.labels("SET_STR_VALUE", self.of_type(type_code::SET), value),
            field::ENUM_STR_VALUE => self.labels("ENUM_STR_VALUE", self.of_type(type_code::ENUM), value),
            field::GEOMETRY_TYPE => {
                let columns = self.of_type(type_code::GEOMETRY);
                self.numbers("GEOMETRY_TYPE", columns, value, |column, number| {
                    column.geometry_type = Some(number);
                })
            }
            field::SIMPLE_PRIMARY_KEY => self.primary_key("SIMPLE_PRIMARY_KEY", false, value),
            field::PRIMARY_KEY_WITH_PREFIX => self.primary_key("PRIMARY_KEY_WITH_PREFIX", true, value),
            field::ENUM_AND_SET_DEFAULT_CHARSET => {
                self.default_charset("ENUM_AND_SET_DEFAULT_CHARSET", self.enums_and_sets(), value)
            }
            field::ENUM_AND_SET_COLUMN_CHARSET => {
                self.column_charset("ENUM_AND_SET_COLUMN_CHARSET", self.enums_and_sets(), value)
            }
            field::COLUMN_VISIBILITY => self.visibility(value),
            field::VECTOR_DIMENSIONALITY => {
                let columns = self.of_type(type_code::VECTOR);
                self.numbers("VECTOR_DIMENSIONALITY", columns, value, |column, number| {
                    column.vector_dimensions = Some(number);
                })
            }
            _ => Ok(()),
        }
    }

    fn characters(&self) -> Vec<usize> {
        self.chosen(|real_type| has_charset(real_type, self.flavor))
    }

    fn enums_and_sets(&self) -> Vec<usize> {
        self.chosen(|real_type| matches!(real_type, type_code::ENUM | type_code::SET))
    }

    fn of_type(&self, real_type: u8) -> Vec<usize> {
        self.chosen(|other| other == real_type)
    }

    /// Indexes of the columns that a field is about.
    fn chosen(&self, choose: impl Fn(u8) -> bool) -> Vec<usize> {
        let columns = self.real_types.iter().enumerate();
        columns.filter(|(_, real_type)| choose(**real_type)).map(|(column, _)| column).collect()
    }

    fn column(&mut self, column: usize) -> Result<&mut ColumnMetadata, BinlogError> {
        let got = self.built.columns.len();
        let count = BinlogError::Count {
            event_type: TABLE_MAP_EVENT,
            what: "column index",
            expected: got,
            got: column,
        };
        self.built.columns.get_mut(column).ok_or(count)
    }

    /// A bit for each numeric column, the first in the highest bit of the first byte; set: unsigned.
    fn signedness(&mut self, value: &mut Reader<'_>) -> Result<(), BinlogError> {
        let columns = self.chosen(has_sign);
        let bits = high_bits("SIGNEDNESS", columns.len(), value)?;
        for (column, unsigned) in columns.into_iter().zip(bits) {
            self.column(column)?.unsigned = Some(unsigned);
        }
        Ok(())
    }

    /// A bit for each column, as in `signedness`; set: visible.
    fn visibility(&mut self, value: &mut Reader<'_>) -> Result<(), BinlogError> {
        let bits = high_bits("COLUMN_VISIBILITY", self.built.columns.len(), value)?;
        for (column, visible) in self.built.columns.iter_mut().zip(bits) {
            column.visible = Some(visible);
        }
        Ok(())
    }

    /// Collation of most columns, then pairs: index among these columns, its collation.
    fn default_charset(
        &mut self,
        what: &'static str,
        columns: Vec<usize>,
        value: &mut Reader<'_>,
    ) -> Result<(), BinlogError> {
        let default = number(what, value)?;
        let mut collations = vec![default; columns.len()];
        while !value.is_empty() {
            let index = number(what, value)? as usize;
            let collation = number(what, value)?;
            let expected = collations.len();
            let count = BinlogError::Count { event_type: TABLE_MAP_EVENT, what, expected, got: index + 1 };
            *collations.get_mut(index).ok_or(count)? = collation;
        }
        for (column, collation) in columns.into_iter().zip(collations) {
            self.column(column)?.collation = Some(collation);
        }
        Ok(())
    }

    /// A collation for each of these columns.
    fn column_charset(
        &mut self,
        what: &'static str,
        columns: Vec<usize>,
        value: &mut Reader<'_>,
    ) -> Result<(), BinlogError> {
        self.numbers(what, columns, value, |column, collation| column.collation = Some(collation))
    }

    /// A number for each of these columns.
    fn numbers(
        &mut self,
        what: &'static str,
        columns: Vec<usize>,
        value: &mut Reader<'_>,
        set: impl Fn(&mut ColumnMetadata, u32),
    ) -> Result<(), BinlogError> {
        let numbers = read_all(what, columns.len(), value, |value| read_number(what, value))?;
        for (column, number) in columns.into_iter().zip(numbers) {
            set(self.column(column)?, number);
        }
        Ok(())
    }

    /// A name for each column, in UTF-8.
    fn names(&mut self, value: &mut Reader<'_>) -> Result<(), BinlogError> {
        const WHAT: &str = "COLUMN_NAME";
        let names = read_all(WHAT, self.built.columns.len(), value, |value| read_name(WHAT, value))?;
        for (column, name) in self.built.columns.iter_mut().zip(names) {
            column.name = Some(name);
        }
        Ok(())
    }

    /// For each of these ENUM (or SET) columns: number of labels, then each label.
    fn labels(
        &mut self,
        what: &'static str,
        columns: Vec<usize>,
        value: &mut Reader<'_>,
    ) -> Result<(), BinlogError> {
        let lists = read_all(what, columns.len(), value, |value| read_labels(what, value))?;
        for (column, labels) in columns.into_iter().zip(lists) {
            self.column(column)?.labels = Some(labels);
        }
        Ok(())
    }

    /// Index of each column of the key, with its prefix or without.
    fn primary_key(
        &mut self,
        what: &'static str,
        prefixes: bool,
        value: &mut Reader<'_>,
    ) -> Result<(), BinlogError> {
        let mut key = Vec::new();
        while !value.is_empty() {
            let column = number(what, value)? as usize;
            let prefix = if prefixes { number(what, value)? } else { 0 };
            self.column(column)?;
            key.push(KeyPart { column, prefix });
        }
        self.built.primary_key = Some(key);
        Ok(())
    }
}

fn read_name(what: &'static str, value: &mut Reader<'_>) -> Result<String, CodecError> {
    let name = value.lenenc_bytes(what)?;
    String::from_utf8(name.to_vec()).map_err(|_| value.invalid(what, name.len() as u64))
}

fn read_labels(what: &'static str, value: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, CodecError> {
    let count = value.lenenc(what)?;
    let mut labels = Vec::new();
    for _ in 0..count {
        labels.push(value.lenenc_bytes(what)?.to_vec());
    }
    Ok(labels)
}

/// A length-encoded number that fits 32 bits: all that stand in these fields do.
fn read_number(what: &'static str, value: &mut Reader<'_>) -> Result<u32, CodecError> {
    let number = value.lenenc(what)?;
    u32::try_from(number).map_err(|_| value.invalid(what, number))
}

fn number(what: &'static str, value: &mut Reader<'_>) -> Result<u32, BinlogError> {
    read_number(what, value).map_err(BinlogError::field(TABLE_MAP_EVENT))
}

/// A field to its end, in which there must be as many entries as `expected`.
fn read_all<T>(
    what: &'static str,
    expected: usize,
    value: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, BinlogError> {
    let mut entries = Vec::new();
    while !value.is_empty() {
        entries.push(read(value).map_err(BinlogError::field(TABLE_MAP_EVENT))?);
    }
    match entries.len() == expected {
        true => Ok(entries),
        false => Err(BinlogError::Count { event_type: TABLE_MAP_EVENT, what, expected, got: entries.len() }),
    }
}

/// `count` bits, the first in the highest bit of the first byte.
fn high_bits(what: &'static str, count: usize, value: &mut Reader<'_>) -> Result<Vec<bool>, BinlogError> {
    let bytes = value.take(count.div_ceil(8), what).map_err(BinlogError::field(TABLE_MAP_EVENT))?;
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    Ok(bits.take(count).collect())
}

/// Whether SIGNEDNESS has a bit for such a column (`has_signedess_information_type` in MySQL's
/// `sql/field_common_properties.h`). YEAR has one on both servers, BIT and the temporal types have none.
fn has_sign(real_type: u8) -> bool {
    use type_code::*;
    matches!(real_type, DECIMAL | TINY | SHORT | LONG | INT24 | LONGLONG | FLOAT | DOUBLE | YEAR | NEWDECIMAL)
}

/// Whether DEFAULT_CHARSET and COLUMN_CHARSET count such a column. ENUM and SET have lists of their own.
fn has_charset(real_type: u8, flavor: Flavor) -> bool {
    use type_code::*;
    match real_type {
        VARCHAR | VAR_STRING | STRING | TINY_BLOB..=BLOB => true,
        VECTOR => flavor == Flavor::MySql,
        // MariaDB's GEOMETRY is a BLOB with the character set binary.
        GEOMETRY | BLOB_COMPRESSED | VARCHAR_COMPRESSED => flavor == Flavor::MariaDb,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::format_description::Flavor;
    use crate::binlog::testing;

    /// The metadata of the first table map of a table.
    fn metadata(name: &str, table: &[u8]) -> TableMetadata {
        let mut decoder = Decoder::default();
        for (_, bytes) in testing::fixture(name) {
            match decoder.decode(&bytes).unwrap().1 {
                Event::TableMap(map) if map.table == table => {
                    return map.table_metadata(&map.metadata().unwrap()).unwrap();
                }
                _ => {}
            }
        }
        panic!("no table map");
    }

    fn by_name<'a>(metadata: &'a TableMetadata, name: &str) -> &'a ColumnMetadata {
        metadata.columns.iter().find(|column| column.name.as_deref() == Some(name)).unwrap()
    }

    /// Names of the columns for which `is` holds.
    fn named(metadata: &TableMetadata, is: impl Fn(&ColumnMetadata) -> bool) -> String {
        let columns = metadata.columns.iter().filter(|column| is(column));
        columns.map(|column| column.name.as_deref().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn assert_collations(metadata: &TableMetadata, expected: &[(&str, u32)]) {
        for (name, collation) in expected {
            assert_eq!(by_name(metadata, name).collation, Some(*collation), "{name}");
        }
        assert_eq!(
            metadata.columns.iter().filter(|column| column.collation.is_some()).count(),
            expected.len()
        );
    }

    #[test]
    fn full_metadata_of_mysql_says_everything() {
        let table = metadata("mysql97_full.bin", b"t");
        assert_eq!(
            named(&table, |_| true),
            "id tiny small medium big f d n y b u bo c v bin vb tt txt blb lt e s dt t3 dt6 ts2 g p j vec tail hidden gen"
        );
        assert_eq!(named(&table, |column| column.unsigned == Some(true)), "id small big d n y u");
        assert_eq!(named(&table, |column| column.unsigned == Some(false)), "tiny medium f bo hidden gen");
        assert_eq!(named(&table, |column| column.visible == Some(false)), "hidden");
        // latin1_swedish_ci 8, utf8mb4_bin 46, binary 63, sjis 13, utf8mb4_0900_ai_ci 255, gbk 28, ascii 11.
        let collations = [
            ("c", 8),
            ("v", 46),
            ("bin", 63),
            ("vb", 63),
            ("tt", 13),
            ("txt", 255),
            ("blb", 63),
            ("lt", 28),
            ("vec", 63),
            ("tail", 11),
            ("e", 8),
            ("s", 255),
        ];
        assert_collations(&table, &collations);
        let labels = |name| by_name(&table, name).labels.clone().unwrap();
        assert_eq!(labels("e"), [&b"a"[..], b"b,c", b"d'e", b"\xfc"]);
        assert_eq!(labels("s"), [b"x", b"y", b"z"]);
        assert_eq!(
            (by_name(&table, "g").geometry_type, by_name(&table, "p").geometry_type),
            (Some(0), Some(1))
        );
        assert_eq!(by_name(&table, "vec").vector_dimensions, Some(3));
        let key = [KeyPart { column: 0, prefix: 0 }, KeyPart { column: 13, prefix: 7 }];
        assert_eq!(table.primary_key.as_deref(), Some(&key[..]));
    }

    #[test]
    fn full_metadata_of_mariadb_counts_more_columns_as_characters() {
        let table = metadata("mariadb_full.bin", b"t");
        assert_eq!(named(&table, |_| true), "id y b n big c g u i6 i4 v vc bl bc j e s p uc hidden");
        assert_eq!(named(&table, |column| column.unsigned == Some(true)), "id y n");
        assert_eq!(named(&table, |column| column.unsigned == Some(false)), "big hidden");
        // utf8mb3_general_ci 33, latin2_general_ci 9, ucs2_general_ci 35, utf8mb4_general_ci 45.
        let collations = [
            ("c", 8),
            ("g", 63),
            ("u", 63),
            ("i6", 63),
            ("i4", 63),
            ("v", 33),
            ("vc", 9),
            ("bl", 63),
            ("bc", 63),
            ("j", 46),
            ("p", 63),
            ("uc", 35),
            ("e", 8),
            ("s", 45),
        ];
        assert_collations(&table, &collations);
        assert_eq!(by_name(&table, "e").labels.as_ref().unwrap()[2], b"\xfc");
        assert_eq!(
            (by_name(&table, "g").geometry_type, by_name(&table, "p").geometry_type),
            (Some(0), Some(1))
        );
        // MariaDB 10.11 does not say which columns are invisible.
        assert_eq!(by_name(&table, "hidden").visible, None);
        let key = [KeyPart { column: 0, prefix: 0 }, KeyPart { column: 10, prefix: 7 }];
        assert_eq!(table.primary_key.as_deref(), Some(&key[..]));
    }

    #[test]
    fn keys_come_in_their_own_order_and_may_be_missing() {
        let key = metadata("mysql97_full.bin", b"pk").primary_key.unwrap();
        assert_eq!(key, [KeyPart { column: 2, prefix: 0 }, KeyPart { column: 0, prefix: 0 }]);
        assert_eq!(metadata("mysql97_full.bin", b"nopk").primary_key, None);
    }

    #[test]
    fn minimal_metadata_has_signs_and_character_sets() {
        let table = metadata("mysql97_minimal.bin", b"t");
        let signs: Vec<_> = table.columns.iter().map(|column| column.unsigned).collect();
        assert_eq!(signs, [Some(true), None, None, Some(true), Some(true), None, None]);
        assert_eq!(table.columns[1].collation, Some(255));
        assert!(table.columns.iter().all(|column| column.name.is_none() && column.labels.is_none()));
        let none = metadata("mariadb.bin", b"t");
        assert!(none.columns.iter().all(|column| *column == ColumnMetadata::default()));
    }

    /// INT, VARCHAR(5), ENUM, VARCHAR(5), GEOMETRY with one field of optional metadata.
    fn parse(field_type: u8, value: &[u8]) -> Result<TableMetadata, BinlogError> {
        let optional_metadata = [&[field_type, value.len() as u8][..], value].concat();
        let map = TableMapEvent {
            table_id: 1,
            flags: 0,
            database: b"d",
            table: b"t",
            column_types: &[3, 15, 254, 15, 255],
            column_metadata: &[5, 0, 247, 1, 5, 0, 4],
            null_bits: crate::binlog::rows::ColumnBits::new(&[0], 5).unwrap(),
            optional_metadata: &optional_metadata,
            body: &[],
            flavor: Flavor::MySql,
        };
        map.table_metadata(&map.metadata().unwrap())
    }

    #[test]
    fn unknown_fields_are_passed_over_and_lists_of_another_length_are_refused() {
        assert!(parse(200, &[1, 2, 3]).is_ok());
        assert_eq!(parse(2, &[8, 1, 33]).unwrap().columns[3].collation, Some(33));
        let error = parse(field::COLUMN_CHARSET, &[8, 8, 8]).unwrap_err();
        assert_eq!(error.to_string(), "TABLE_MAP_EVENT: COLUMN_CHARSET: expected 2, got 3");
        let bad: &[(u8, &[u8])] = &[
            (1, &[]),
            (2, &[]),
            (2, &[8, 2, 33]),
            (3, &[8]),
            (4, &[1, b'a']),
            (4, &[9, b'a']),
            (5, &[1, 1, b'x']),
            (6, &[2, 1, b'x']),
            (6, &[]),
            (7, &[]),
            (8, &[5]),
            (9, &[0]),
            (11, &[8, 8]),
            (12, &[]),
            (13, &[3]),
        ];
        for (field_type, value) in bad {
            assert!(parse(*field_type, value).is_err(), "{field_type} {value:?}");
        }
    }
}
