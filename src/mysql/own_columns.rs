//! What MariaDB's catalog shows of the columns that it keeps for itself, which are in no list of columns though rows log
//! them ([`crate::schema::own_columns`] says which there are).

use super::catalog::hex_literal;
use super::connection::Connection;
use super::error::SourceError;
use crate::schema::definition::ColumnDefinition;
use crate::schema::definition::TableDefinition;
use crate::schema::own_columns::HASH_PREFIX;
use crate::schema::own_columns::ROW_END;
use crate::schema::own_columns::ROW_START;
use crate::wire::response::ResultSet;

/// The definition with these columns behind its own. `keys` is the table's `SHOW KEYS`.
pub fn add(
    connection: &mut Connection,
    definition: &mut TableDefinition,
    keys: &ResultSet,
) -> Result<(), SourceError> {
    let kind = connection.query(&of_table(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES",
        definition,
        "",
    ))?;
    let Some(row) = row_of(&kind, definition) else { return Ok(()) };
    if kind.text(row, 2).as_deref() == Some("SYSTEM VERSIONED") {
        add_times(connection, definition)?;
    }
    // MEMORY tables have hash indexes that need no column.
    if kind.text(row, 3).as_deref() != Some("MEMORY") {
        add_hashes(definition, hash_keys(keys));
    }
    Ok(())
}

/// The begin and the end of each row's time, unless the user has declared such columns.
fn add_times(connection: &mut Connection, definition: &mut TableDefinition) -> Result<(), SourceError> {
    let declared = connection.query(&of_table(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS",
        definition,
        " AND GENERATION_EXPRESSION = 'ROW END'",
    ))?;
    let declared = row_of(&declared, definition).and_then(|row| declared.text(row, 2));
    if declared.is_none() {
        let hidden = [ROW_START, ROW_END].map(|name| hidden(name.to_owned(), "timestamp(6)"));
        definition.columns.extend(hidden);
    }
    definition.row_end = Some(declared.unwrap_or_else(|| ROW_END.to_owned()));
    Ok(())
}

/// Numbers that the user's own columns have are passed over (`add_hash_field` in sql/sql_table.cc).
fn add_hashes(definition: &mut TableDefinition, count: usize) {
    let users = definition.columns.clone();
    let names = (1_u32..).map(|number| format!("{HASH_PREFIX}{number}"));
    let free = names.filter(|name| !users.iter().any(|column| column.name.eq_ignore_ascii_case(name)));
    definition.columns.extend(free.take(count).map(|name| hidden(name, "bigint(20) unsigned")));
}

fn hidden(name: String, column_type: &str) -> ColumnDefinition {
    ColumnDefinition { name, column_type: column_type.to_owned(), charset: None, hidden: true }
}

/// How many unique keys are kept as hashes.
fn hash_keys(keys: &ResultSet) -> usize {
    let is = |row, name, value| {
        keys.column(name).and_then(|column| keys.text(row, column)).as_deref() == Some(value)
    };
    let first_parts = (0..keys.rows.len()).filter(|row| is(*row, "Seq_in_index", "1"));
    first_parts.filter(|row| is(*row, "Index_type", "HASH") && is(*row, "Non_unique", "0")).count()
}

fn of_table(select: &str, definition: &TableDefinition, and: &str) -> String {
    let (database, table) = (hex_literal(&definition.database), hex_literal(&definition.table));
    format!("{select} WHERE TABLE_SCHEMA = _utf8 {database} AND TABLE_NAME = _utf8 {table}{and}")
}

/// The row of this very table, where the catalog also answers with one that differs in case.
fn row_of(answer: &ResultSet, definition: &TableDefinition) -> Option<usize> {
    let is = |row: &usize| {
        answer.text(*row, 0).as_deref() == Some(&definition.database)
            && answer.text(*row, 1).as_deref() == Some(&definition.table)
    };
    let rows = 0..answer.rows.len();
    rows.clone().find(is).or_else(|| rows.clone().next().filter(|_| rows.len() == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_takes_the_next_free_number() {
        let column =
            |name: &str| ColumnDefinition { hidden: false, ..hidden(name.to_owned(), "bigint(20) unsigned") };
        let mut definition = TableDefinition {
            database: "d".to_owned(),
            table: "t".to_owned(),
            columns: vec![column("a"), column("db_row_hash_1")],
            key: Vec::new(),
            row_end: None,
        };
        add_hashes(&mut definition, 2);
        let names: Vec<&str> = definition.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "db_row_hash_1", "DB_ROW_HASH_2", "DB_ROW_HASH_3"]);
    }

    #[test]
    fn unique_keys_that_are_hashes_are_counted() {
        let rows = [
            ["0", "PRIMARY", "1", "BTREE"],
            ["0", "u", "1", "HASH"],
            ["0", "u", "2", "HASH"],
            ["1", "k", "1", "HASH"],
            ["0", "v", "1", "HASH"],
        ];
        let keys = ResultSet {
            columns: ["Non_unique", "Key_name", "Seq_in_index", "Index_type"].map(str::to_owned).to_vec(),
            rows: rows.map(|row| row.map(|text| Some(text.as_bytes().to_vec())).to_vec()).to_vec(),
        };
        assert_eq!(hash_keys(&keys), 2);
    }
}
