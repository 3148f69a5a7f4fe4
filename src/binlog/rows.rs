//! The row events: WRITE, UPDATE and DELETE in all their versions, and PARTIAL_UPDATE_ROWS_EVENT (39).
//!
//! Where one row ends cannot be told without the columns' formats, so `rows` stays one slice here.

use crate::binlog::event_type::DELETE_ROWS_EVENT;
use crate::binlog::event_type::DELETE_ROWS_EVENT_V1;
use crate::binlog::event_type::PARTIAL_UPDATE_ROWS_EVENT;
use crate::binlog::event_type::UPDATE_ROWS_EVENT;
use crate::binlog::event_type::UPDATE_ROWS_EVENT_V1;
use crate::codec::CodecError;
use crate::codec::Reader;

/// One bit for each column, the first in the lowest bit of the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnBits<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> ColumnBits<'a> {
    pub fn new(bytes: &'a [u8], count: usize) -> Option<Self> {
        (bytes.len() == count.div_ceil(8)).then_some(Self { bytes, count })
    }

    pub(super) fn read(bytes: &mut Reader<'a>, count: usize, what: &'static str) -> Result<Self, CodecError> {
        Ok(Self { bytes: bytes.take(count.div_ceil(8), what)?, count })
    }

    /// The bits as they were logged.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many columns it has bits for.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bit of a column; false past the last one.
    #[inline]
    pub fn get(&self, column: usize) -> bool {
        let byte = self.bytes.get(column / 8).copied().unwrap_or(0);
        column < self.count && byte >> (column % 8) & 1 == 1
    }

    /// How many bits are set. What servers leave in the last byte behind the last column does not count.
    pub fn count_ones(&self) -> usize {
        let ones: u32 = self.bytes.iter().map(|byte| byte.count_ones()).sum();
        let unused = match (self.count % 8, self.bytes.last()) {
            (0, _) | (_, None) => 0,
            (used, Some(last)) => (last >> used).count_ones(),
        };
        (ones - unused) as usize
    }

    /// Whether every column's bit is set.
    pub fn is_full(&self) -> bool {
        self.count_ones() == self.count
    }

    pub fn iter(&self) -> impl Iterator<Item = bool> + use<'a> {
        let bits = *self;
        (0..bits.count).map(move |column| bits.get(column))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowsKind {
    Insert,
    Update,
    Delete,
}

/// Bits of [`RowsEvent::flags`].
pub mod rows_flags {
    /// The statement ends with this event: all table maps of it are done with.
    pub const STATEMENT_END: u16 = 1;
    pub const NO_FOREIGN_KEY_CHECKS: u16 = 2;
    pub const RELAXED_UNIQUE_CHECKS: u16 = 4;
    /// The rows have all columns.
    pub const COMPLETE_ROWS: u16 = 8;
}

/// Post-header, in wire order: table id 6 (4 before 5.1.4) · flags 2 · version 2: length of the extra data 2
/// (its own two bytes counted) and extra data. Body: number of columns (length-encoded) · bits of the columns
/// in the row image (the image before for UPDATE and DELETE) · UPDATE of version 1 and 2: bits of the image
/// after · rows to the end. (`Rows_event` in MySQL's `rows_event.h`.)
///
/// A row is: NULL bits, one for each column that is in the image · the values of those that are not NULL. An
/// UPDATE's row is two of these; in a PARTIAL_UPDATE_ROWS_EVENT the second is preceded by its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    pub table_id: u64,
    pub kind: RowsKind,
    /// PARTIAL_UPDATE_ROWS_EVENT: JSON columns of the image after may hold differences.
    pub partial_json: bool,
    /// Bits of [`rows_flags`].
    pub flags: u16,
    pub column_count: usize,
    /// Which columns the image before holds; `None` for INSERT.
    pub before_columns: Option<ColumnBits<'a>>,
    /// Which columns the image after holds; `None` for DELETE.
    pub after_columns: Option<ColumnBits<'a>>,
    /// Tags and values about partitions or by NDB; nothing that we need.
    pub extra_data: &'a [u8],
    pub rows: &'a [u8],
}

/// Length of the post-header in version 2.
const POST_HEADER_V2: usize = 10;
/// `MAX_FIELDS` in MySQL.
const MOST_COLUMNS: usize = 4096;

impl<'a> RowsEvent<'a> {
    pub(super) fn read(
        bytes: &mut Reader<'a>,
        event_type: u8,
        post_header_length: usize,
    ) -> Result<Self, CodecError> {
        let table_id = read_table_id(bytes, post_header_length)?;
        let flags = bytes.u16("flags")?;
        let extra_data = match post_header_length {
            POST_HEADER_V2 => read_extra_data(bytes)?,
            _ => &[],
        };
        let column_count = bytes.lenenc_len("number of columns")?;
        if column_count > MOST_COLUMNS {
            return Err(bytes.invalid("number of columns", column_count as u64));
        }
        let kind = rows_kind(event_type);
        let first = ColumnBits::read(bytes, column_count, "bits of the columns")?;
        let (before_columns, after_columns) = match kind {
            RowsKind::Insert => (None, Some(first)),
            RowsKind::Delete => (Some(first), None),
            RowsKind::Update => {
                let after = ColumnBits::read(bytes, column_count, "bits of the columns after the update")?;
                (Some(first), Some(after))
            }
        };
        let partial_json = event_type == PARTIAL_UPDATE_ROWS_EVENT;
        let rows = bytes.rest();
        Ok(Self {
            table_id,
            kind,
            partial_json,
            flags,
            column_count,
            before_columns,
            after_columns,
            extra_data,
            rows,
        })
    }

    pub fn statement_end(&self) -> bool {
        self.flags & rows_flags::STATEMENT_END != 0
    }

    /// Whether its rows have no bytes, so that walking over them would never come to the end of those that there are. What
    /// may be changes of JSON documents has at least their options.
    pub fn is_endless(&self) -> bool {
        let held = [self.before_columns, self.after_columns]
            .into_iter()
            .flatten()
            .map(|columns| columns.count_ones());
        held.sum::<usize>() == 0 && !self.partial_json && !self.rows.is_empty()
    }

    /// A dummy that only ends its statement: no rows, of no table. Servers write it where they filtered out
    /// the real last event.
    pub fn is_dummy(&self) -> bool {
        const NO_TABLE: [u64; 3] = [0x00ff_ffff, 0xffff_ffff, 0xffff_ffff_ffff];
        NO_TABLE.contains(&self.table_id) && self.statement_end() && self.rows.is_empty()
    }
}

fn rows_kind(event_type: u8) -> RowsKind {
    match event_type {
        UPDATE_ROWS_EVENT_V1 | UPDATE_ROWS_EVENT | PARTIAL_UPDATE_ROWS_EVENT => RowsKind::Update,
        DELETE_ROWS_EVENT_V1 | DELETE_ROWS_EVENT => RowsKind::Delete,
        _ => RowsKind::Insert,
    }
}

/// A table id, as wide as the length of the post-header says.
pub(super) fn read_table_id(bytes: &mut Reader<'_>, post_header_length: usize) -> Result<u64, CodecError> {
    match post_header_length {
        6 => bytes.u32("table id").map(u64::from),
        8 | POST_HEADER_V2 => bytes.u48("table id"),
        length => Err(bytes.invalid("post-header length", length as u64)),
    }
}

fn read_extra_data<'a>(bytes: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    let length = bytes.u16("length of the extra data")?;
    match usize::from(length).checked_sub(2) {
        Some(rest) => bytes.take(rest, "extra data"),
        None => Err(bytes.invalid("length of the extra data", length.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::event_type::WRITE_ROWS_EVENT;
    use crate::binlog::testing;

    fn with_rows(name: &str, mut check: impl FnMut(u8, &RowsEvent<'_>)) {
        let mut decoder = Decoder::default();
        for (_, bytes) in testing::fixture(name) {
            let (header, event) = decoder.decode(&bytes).unwrap();
            if let Event::Rows(rows) = event {
                check(header.event_type, &rows);
            }
        }
    }

    #[test]
    fn both_versions_name_their_images() {
        let mut seen = Vec::new();
        with_rows("mysql56_gtid.bin", |event_type, rows| {
            let image = |bits: Option<ColumnBits<'_>>| bits.map(|bits| bits.iter().collect::<Vec<_>>());
            seen.push((event_type, rows.kind, image(rows.before_columns), image(rows.after_columns)));
            assert!(rows.statement_end() && !rows.is_dummy());
        });
        // binlog_row_image=minimal: key before, changes after.
        let expected = [
            (23, RowsKind::Insert, None, Some(vec![true, true])),
            (24, RowsKind::Update, Some(vec![true, false]), Some(vec![false, true])),
            (25, RowsKind::Delete, Some(vec![true, false]), None),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn partitions_stand_in_the_extra_data() {
        let mut extra = Vec::new();
        with_rows("mysql97_full.bin", |event_type, rows| {
            if !rows.extra_data.is_empty() {
                extra.push((event_type, rows.extra_data.to_vec()));
            }
        });
        // Tag 1, then the partition (and for an UPDATE the one before).
        assert_eq!(
            extra.iter().map(|(event_type, data)| (*event_type, data.len())).collect::<Vec<_>>(),
            [(30, 3), (30, 3), (30, 3), (31, 5), (32, 3)]
        );
    }

    #[test]
    fn partial_updates_say_so() {
        let mut seen = Vec::new();
        with_rows("mysql97_minimal.bin", |event_type, rows| seen.push((event_type, rows.partial_json)));
        assert_eq!(seen, [(30, false), (39, true), (39, true), (39, true), (30, false)]);
    }

    #[test]
    fn bits_past_the_last_column_do_not_count() {
        let bits = ColumnBits::new(&[0b1111_0101, 0b1111_1010], 10).unwrap();
        assert_eq!(bits.count_ones(), 7);
        assert!(bits.get(9) && !bits.get(8) && !bits.get(10) && !bits.get(1000));
        assert!(ColumnBits::new(&[0xff, 0x03], 10).unwrap().is_full());
        assert!(ColumnBits::new(&[0xff], 10).is_none());
        assert!(ColumnBits::new(&[], 0).unwrap().is_full());
    }

    fn rows_body() -> Vec<u8> {
        vec![7, 0, 0, 0, 0, 0, 1, 0, 5, 0, 1, 2, 0, 9, 0xff, 0x01, 0x01, 0x00, 0xaa, 0xbb]
    }

    #[test]
    fn a_hand_made_update_is_read_and_its_truncations_are_not() {
        let body = rows_body();
        let rows = RowsEvent::read(&mut Reader::new(&body), UPDATE_ROWS_EVENT, 10).unwrap();
        assert_eq!((rows.table_id, rows.column_count, rows.extra_data), (7, 9, &[1, 2, 0][..]));
        assert!(rows.before_columns.unwrap().is_full());
        assert_eq!(rows.after_columns.unwrap().count_ones(), 1);
        assert_eq!(rows.rows, [0xaa, 0xbb]);
        for cut in 0..18 {
            assert!(RowsEvent::read(&mut Reader::new(&body[..cut]), UPDATE_ROWS_EVENT, 10).is_err(), "{cut}");
        }
    }

    #[test]
    fn impossible_lengths_are_errors() {
        let mut body = rows_body();
        body[8] = 1;
        assert!(RowsEvent::read(&mut Reader::new(&body), UPDATE_ROWS_EVENT, 10).is_err());
        let huge = [7, 0, 0, 0, 0, 0, 1, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert!(RowsEvent::read(&mut Reader::new(&huge), WRITE_ROWS_EVENT, 8).is_err());
        assert!(RowsEvent::read(&mut Reader::new(&rows_body()), WRITE_ROWS_EVENT, 9).is_err());
    }

    #[test]
    fn dummies_are_told_from_tables_with_their_number() {
        let dummy = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0];
        assert!(RowsEvent::read(&mut Reader::new(&dummy), WRITE_ROWS_EVENT, 8).unwrap().is_dummy());
        let table = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 1, 0xfe, 5];
        assert!(!RowsEvent::read(&mut Reader::new(&table), WRITE_ROWS_EVENT, 8).unwrap().is_dummy());
    }
}
