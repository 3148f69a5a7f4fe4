//! How to read a table's rows: one plan per table and definition, compiled once and shared by every row.

use crate::column::ColumnFormat;

/// Everything that reading a row of one table needs.
#[derive(Debug)]
pub struct TablePlan {
    /// Distinct for every plan of a process, so that what is derived from a plan can be kept beside it.
    pub id: u64,
    pub database: String,
    pub table: String,
    /// All columns that rows log.
    pub columns: Vec<PlannedColumn>,
    /// How many of them are delivered: those behind belong to the server alone.
    pub visible: usize,
    /// MariaDB, `WITH SYSTEM VERSIONING`: the column that says until when a row was the current one.
    pub row_end: Option<usize>,
    /// The key's columns; empty when the table has none, `None` when that is not known.
    pub key: Option<Vec<String>>,
}

/// One column of a plan.
#[derive(Debug)]
pub struct PlannedColumn {
    pub name: String,
    pub format: ColumnFormat,
}

impl TablePlan {
    /// The name that messages and filters use.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}
