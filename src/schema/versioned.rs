//! MariaDB's system-versioned tables: what a logged change means to whoever keeps the current rows.
//!
//! Such a table holds, beside the rows that `SELECT` shows, those that were current once. The end of its time tells a row's
//! kind: the largest timestamp for the current ones. An UPDATE logs the change of the current row, and the old row as one
//! that is inserted; a DELETE logs an update that ends the row; `DELETE HISTORY` logs deletes of rows that had ended.
//! (REPLACE, several changes in one microsecond and rows with times of the user's own come in other combinations of the
//! same: `TABLE::delete_row` in sql/table.cc, `vers_insert_history_row` in sql/sql_insert.cc.)

use crate::binlog::RowsKind;
use crate::code::Code;
use crate::codec::Reader;
use crate::column::Value;
use crate::schema::row::HeldColumns;
use crate::schema::row::NullBits;
use crate::schema::row::RowError;
use crate::schema::row::RowImages;

/// The seconds of the end of a current row, each with 999999 microseconds: of servers before 11.5, and of those since,
/// where tables may be older than the server (`TIMESTAMP_MAX_VALUE` in include/my_time.h). A row that ends in that
/// microsecond of the year 2038 is not told apart.
const MAX_SECONDS: [u32; 2] = [0x7fff_ffff, u32::MAX];
const MAX_MICROS: u32 = 999_999;

/// Where a row image stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Current,
    Ended,
    /// The image does not hold the column.
    Unknown,
}

/// What the next row does to the current rows; none when only to those that have ended. `row_end` is the index of the
/// column that says until when a row was the current one.
pub fn effect<'a>(
    images: &RowImages<'a>,
    row_end: usize,
    bytes: &Reader<'a>,
) -> Result<Option<RowsKind>, RowError> {
    let mut bytes = bytes.clone();
    let mut row = |held| image(images, held, row_end, &mut bytes);
    match images.kind {
        RowsKind::Insert => Ok(known(images, row_end, row(&images.after)?)?.then_some(RowsKind::Insert)),
        RowsKind::Delete => Ok(known(images, row_end, row(&images.before)?)?.then_some(RowsKind::Delete)),
        RowsKind::Update => Ok(match (row(&images.before)?, row(&images.after)?) {
            (Row::Ended, Row::Ended | Row::Unknown) => None,
            (Row::Ended, Row::Current) => Some(RowsKind::Insert),
            // No statement changes a row that has ended: where the image does not say, it was current.
            (Row::Current | Row::Unknown, Row::Ended) => Some(RowsKind::Delete),
            (Row::Current | Row::Unknown, Row::Current | Row::Unknown) => Some(RowsKind::Update),
        }),
    }
}

fn known(images: &RowImages<'_>, row_end: usize, row: Row) -> Result<bool, RowError> {
    match row {
        Row::Current => Ok(true),
        Row::Ended => Ok(false),
        Row::Unknown => Err(bad(
            images,
            row_end,
            Code::Unsupported,
            "the row image does not hold this column, which tells current rows from those that have ended; set \
             binlog_row_image=FULL for rows to come, or leave out the table by filter_shard_table_black"
                .to_owned(),
        )),
    }
}

/// Reads one image for the end of the row's time.
fn image<'a>(
    images: &RowImages<'a>,
    held: &HeldColumns<'_>,
    row_end: usize,
    bytes: &mut Reader<'a>,
) -> Result<Row, RowError> {
    let mut nulls = NullBits::read(held.count, bytes)?;
    let mut row = Row::Unknown;
    for (index, column) in images.plan.columns.iter().enumerate() {
        if !held.has(index) || nulls.next_bit() {
            continue;
        }
        let at = |error| RowError::at(&column.name, error);
        if index != row_end {
            column.format.skip(bytes).map_err(at)?;
            continue;
        }
        row = match column.format.decode(bytes).map_err(at)? {
            Value::Timestamp(end) if end.micros == MAX_MICROS && MAX_SECONDS.contains(&end.seconds) => {
                Row::Current
            }
            // Tables that count transactions.
            Value::Unsigned(u64::MAX) => Row::Current,
            Value::Timestamp(_) | Value::Unsigned(_) => Row::Ended,
            _ => {
                let text = "no timestamp, so it cannot be the end of a row's time".to_owned();
                return Err(bad(images, row_end, Code::SchemaDiff, text));
            }
        };
    }
    Ok(row)
}

fn bad(images: &RowImages<'_>, column: usize, code: Code, detail: String) -> RowError {
    let column = images.plan.columns.get(column).map(|column| column.name.clone());
    RowError { column, code, detail }
}
