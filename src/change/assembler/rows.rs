//! Row events: those of watched tables are handed on, the rows of others counted.

use crate::binlog::ColumnBits;
use crate::binlog::RowsEvent;
use crate::change::assembler::Assembler;
use crate::change::assembler::At;
use crate::change::assembler::xa::pass_aside;
use crate::change::batch::Batch;
use crate::change::batch::Item;
use crate::change::batch::Passed;
use crate::change::batch::Rows;
use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::change::tables::Table;
use crate::code::Code;
use crate::codec::Reader;
use crate::schema::plan::TablePlan;
use crate::schema::row::RowImages;
use std::sync::Arc;

impl<D: Definitions> Assembler<D> {
    pub(super) fn rows(
        &mut self,
        rows: &RowsEvent<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        if !rows.is_dummy() {
            self.borders.ensure_begun(at, batch);
            self.hand_on(rows, at, batch)?;
        }
        // Logs without BEGIN: such a transaction ends with its statement.
        if rows.statement_end() && self.borders.is_open() {
            self.borders.end_if_alone(at, batch);
        }
        Ok(())
    }

    fn hand_on(&mut self, rows: &RowsEvent<'_>, at: At<'_>, batch: &mut Batch) -> Result<(), ChangeError> {
        let table = self.tables.get(rows.table_id)?;
        check_columns(rows, table)?;
        let plan = Arc::clone(&table.plan);
        if !table.watched {
            let count = count_rows(rows, &plan)?;
            let passed = Passed { plan, kind: rows.kind, count };
            match self.borders.is_aside() {
                true => pass_aside(self.xa.target(true, batch), passed),
                false => batch.items.push(Item::Passed(passed)),
            }
            return Ok(());
        }
        self.rows_events += 1;
        let batch = self.xa.target(self.borders.is_aside(), batch);
        let item = Rows {
            plan,
            kind: rows.kind,
            partial_json: rows.partial_json,
            place: self.borders.place(at.pos),
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            before: batch.keep(column_bytes(rows.before_columns)),
            after: batch.keep(column_bytes(rows.after_columns)),
            rows: batch.keep(rows.rows),
        };
        batch.items.push(Item::Rows(item));
        Ok(())
    }
}

fn check_columns(rows: &RowsEvent<'_>, table: &Table) -> Result<(), ChangeError> {
    let (got, expected) = (rows.column_count, table.plan.columns.len());
    let name = || table.plan.full_name();
    let text = if got != expected {
        format!("{}: the row event has {got} columns, its TABLE_MAP has {expected}", name())
    } else if rows.is_endless() {
        format!(
            "{}: the row event holds no columns of its rows, and yet {} bytes of them",
            name(),
            rows.rows.len()
        )
    } else {
        return Ok(());
    };
    Err(ChangeError::new(Code::BadEvent, text))
}

fn column_bytes(columns: Option<ColumnBits<'_>>) -> &[u8] {
    columns.map_or(&[], |columns| columns.as_bytes())
}

/// Rows of a table that is not watched are walked over, for their number.
fn count_rows(rows: &RowsEvent<'_>, plan: &TablePlan) -> Result<u64, ChangeError> {
    let [before, after] = [rows.before_columns, rows.after_columns].map(column_bytes);
    let images = RowImages::new(plan, rows.kind, rows.partial_json, before, after);
    let mut bytes = Reader::new(rows.rows);
    let mut count = u64::from(images.is_one_without_bytes(&bytes));
    while !bytes.is_empty() {
        images.skip(&mut bytes).map_err(|error| {
            ChangeError::new(error.code, format!("{}: row {count} of the event: {error}", plan.full_name()))
        })?;
        count += 1;
    }
    Ok(count)
}
