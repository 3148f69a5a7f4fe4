//! What a table looks like according to somebody who knows: the server's `information_schema`, or a schema file.

use serde::Deserialize;
use serde::Serialize;

/// A table's columns in the order in which rows log them, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    pub database: String,
    pub table: String,
    pub columns: Vec<ColumnDefinition>,
    /// The primary key's columns in key order, else those of the first unique key over NOT NULL columns; empty when
    /// the table has neither.
    #[serde(default)]
    pub key: Vec<String>,
    /// MariaDB, `WITH SYSTEM VERSIONING`: the column that says until when a row was the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_end: Option<String>,
}

/// One column, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    pub name: String,
    /// `information_schema.COLUMNS.COLUMN_TYPE`: `int(10) unsigned`, `enum('a','b')`, `varchar(20)`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// `CHARACTER_SET_NAME`; none for columns that hold no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// Logged and shown to nobody: MariaDB made the column for itself. Such columns stand behind all others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}
