//! What a table looks like now, according to the server's catalog.
//!
//! Without a right on a table the catalog is silently empty, so "no such table" and "no right" are asked apart.
//! MariaDB's own columns, which it shows nobody, are added by `own_columns`.

use super::connection::Connection;
use super::error::SourceError;
use super::own_columns;
use crate::binlog::format_description::ServerVersion;
use crate::code::Code;
use crate::schema::definition::ColumnDefinition;
use crate::schema::definition::TableDefinition;
use crate::wire::response::ResultSet;
use std::collections::HashSet;

/// ER_UNKNOWN_SYSTEM_VARIABLE.
const UNKNOWN_VARIABLE: u16 = 1193;
/// ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE.
const ABSENT: [u16; 2] = [1049, 1146];

/// Character sets with characters beyond U+FFFF, or with many codes that are no characters at all.
const BEYOND_UTF8MB3: [&str; 13] = [
    "utf8mb4", "utf16", "utf16le", "utf32", "gb18030", "big5", "cp932", "eucjpms", "euckr", "gb2312", "gbk",
    "sjis", "ujis",
];

/// A table's definition; none when there is no such table.
pub fn table_definition(
    connection: &mut Connection,
    database: &str,
    table: &str,
) -> Result<Option<TableDefinition>, SourceError> {
    // The session may have been set to anything; names and labels have to come as they are.
    connection.set_names("utf8mb4")?;
    show_made_up_keys(connection)?;
    let answer = connection.query(&columns_sql(database, table))?;
    let columns = columns(&answer, database, table);
    if columns.is_empty() {
        return absent_or_hidden(connection, database, table);
    }
    let keys = format!("SHOW KEYS FROM {} FROM {}", quote_name(table), quote_name(database));
    let keys = match connection.query(&keys) {
        Ok(answer) => answer,
        // Dropped in between.
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(advise_select(connection, error, database)),
    };
    let (database, table) = (database.to_owned(), table.to_owned());
    let mut definition = TableDefinition { database, table, columns, key: best_key(&keys), row_end: None };
    if connection.is_mariadb() {
        own_columns::add(connection, &mut definition, &keys)?;
    }
    Ok(Some(definition))
}

/// MySQL can be set not to show the primary keys that it makes up (`sql_generate_invisible_primary_key`), which rows log.
pub fn show_made_up_keys(connection: &mut Connection) -> Result<(), SourceError> {
    let version = ServerVersion::parse(connection.server_version());
    if connection.is_mariadb() || version.is_none_or(|version| version < ServerVersion(8, 0, 30)) {
        return Ok(());
    }
    match connection.query("SET SESSION show_gipk_in_create_table_and_information_schema = ON") {
        // What calls itself MySQL and has none of this.
        Err(error) if error.server_errno() == Some(UNKNOWN_VARIABLE) => Ok(()),
        other => other.map(drop),
    }
}

/// Waits until no DDL of the table is being finished. The catalog of MySQL 8.0 and later is read without locks, and may show
/// what the binlog does not hold yet; SHOW CREATE TABLE waits for the exclusive lock that DDL holds until both do. (It asks
/// for MDL_SHARED_HIGH_PRIO, which waits for nobody else.) False when there is no such table.
pub fn await_ddl(connection: &mut Connection, database: &str, table: &str) -> Result<bool, SourceError> {
    let show = format!("SHOW CREATE TABLE {}.{}", quote_name(database), quote_name(table));
    match connection.query(&show) {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(advise_select(connection, error, database)),
    }
}

/// Those of these tables, as `database.table`, that are not there. Nothing where the account sees none of them: then it
/// cannot be told from a missing right. Asks nothing when there is nothing to ask.
pub fn missing_tables(
    connection: &mut Connection,
    tables: &[(&str, &str)],
) -> Result<Vec<String>, SourceError> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let mut databases: Vec<String> =
        tables.iter().map(|(database, _)| format!("_utf8 {}", hex_literal(database))).collect();
    databases.sort();
    databases.dedup();
    connection.query("SET NAMES utf8mb4")?;
    let answer = connection.query(&format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
        databases.join(",")
    ))?;
    let seen = (0..answer.rows.len()).filter_map(|row| Some((answer.text(row, 0)?, answer.text(row, 1)?)));
    let seen: HashSet<(String, String)> = seen.collect();
    let is_there =
        |(database, table): &&(&str, &str)| seen.contains(&((*database).to_owned(), (*table).to_owned()));
    if !tables.iter().any(|table| is_there(&table)) {
        return Ok(Vec::new());
    }
    let missing = tables.iter().filter(|table| !is_there(table));
    Ok(missing.map(|(database, table)| format!("{database}.{table}")).collect())
}

fn is_absent(error: &SourceError) -> bool {
    error.server_errno().is_some_and(|number| ABSENT.contains(&number))
}

/// The catalog shows nothing: the table itself says why.
fn absent_or_hidden(
    connection: &mut Connection,
    database: &str,
    table: &str,
) -> Result<Option<TableDefinition>, SourceError> {
    let probe = format!("SELECT 1 FROM {}.{} LIMIT 0", quote_name(database), quote_name(table));
    match connection.query(&probe) {
        // Made or granted in between, or gone again: the next question will see it.
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(advise_select(connection, error, database)),
    }
}

fn advise_select(connection: &mut Connection, error: SourceError, database: &str) -> SourceError {
    if error.code() != Code::RightMissing {
        return error;
    }
    match connection.account() {
        Ok(account) => error.advise(format!(
            "run on the server: GRANT SELECT ON {}.* TO {account} (without it the server does not even tell whether \
             the table exists)",
            quote_name(database)
        )),
        Err(_) => error,
    }
}

fn columns_sql(database: &str, table: &str) -> String {
    // Hexadecimal literals mean the same under every sql_mode, whatever the names hold.
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = _utf8 {} AND TABLE_NAME = _utf8 {} ORDER BY ORDINAL_POSITION",
        hex_literal(database),
        hex_literal(table)
    )
}

/// The columns of the table meant. Some servers compare names in the catalog without regard to case and answer with
/// `T` and `t` at once; a server that folds names answers with one table in its own spelling.
fn columns(answer: &ResultSet, database: &str, table: &str) -> Vec<ColumnDefinition> {
    let named = |row: &usize| {
        answer.text(*row, 0).as_deref() == Some(database) && answer.text(*row, 1).as_deref() == Some(table)
    };
    let all = 0..answer.rows.len();
    let exact: Vec<usize> = all.clone().filter(named).collect();
    let rows = if exact.is_empty() && is_one_table(answer) { all.collect() } else { exact };
    rows.into_iter().filter_map(|row| column(answer, row)).collect()
}

fn is_one_table(answer: &ResultSet) -> bool {
    (1..answer.rows.len()).all(|row| (0..2).all(|column| answer.text(row, column) == answer.text(0, column)))
}

fn column(answer: &ResultSet, row: usize) -> Option<ColumnDefinition> {
    let (name, column_type, charset) = (answer.text(row, 2)?, answer.text(row, 3)?, answer.text(row, 4));
    let column_type = without_unknown_labels(&name, column_type, charset.as_deref());
    Some(ColumnDefinition { name, column_type, charset, hidden: false })
}

/// The catalog's own character set is utf8mb3: in labels it shows whatever that lacks as `?`. A label with such a mark is
/// not known; U+FFFD says so to [`crate::column`].
fn without_unknown_labels(column: &str, column_type: String, charset: Option<&str>) -> String {
    let has_labels = ["enum(", "set("].iter().any(|word| column_type.starts_with(word));
    if !has_labels
        || !column_type.contains('?')
        || !charset.is_some_and(|name| BEYOND_UTF8MB3.contains(&name))
    {
        return column_type;
    }
    log::warn!(
        "column {column} {column_type}: the server's catalog shows characters that utf8mb3 lacks as \"?\", so values with such a \
         label are delivered as numbers; to have the labels, set binlog_row_metadata=FULL or give the definition by \
         schema_file"
    );
    column_type.replace('?', "\u{fffd}")
}

/// One key of `SHOW KEYS`, as far as its rows have been read.
struct Key {
    name: String,
    columns: Vec<String>,
    /// Tells rows apart: unique, over whole columns that are never NULL.
    identifies: bool,
}

/// The primary key's columns, else those of the first unique key over whole NOT NULL columns, in the server's order.
fn best_key(answer: &ResultSet) -> Vec<String> {
    let keys = keys(answer);
    let best =
        keys.iter().find(|key| key.name == "PRIMARY").or_else(|| keys.iter().find(|key| key.identifies));
    best.map(|key| key.columns.clone()).unwrap_or_default()
}

fn keys(answer: &ResultSet) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let text = |row, name| answer.column(name).and_then(|column| answer.text(row, column));
    for row in 0..answer.rows.len() {
        let name = text(row, "Key_name").unwrap_or_default();
        if keys.last().is_none_or(|key| key.name != name) {
            keys.push(Key {
                name,
                columns: Vec::new(),
                identifies: text(row, "Non_unique").as_deref() == Some("0"),
            });
        }
        if let Some(key) = keys.last_mut() {
            let nullable = text(row, "Null").is_some_and(|null| null == "YES");
            let prefix = text(row, "Sub_part").is_some();
            // A part without a column is an expression.
            let column = text(row, "Column_name");
            key.identifies &= !nullable && !prefix && column.is_some();
            key.columns.extend(column);
        }
    }
    keys
}

/// A text as a literal that no sql_mode and no character set reads otherwise.
pub fn hex_literal(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// A name in backticks, where nothing but a backtick means anything.
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[&str]]) -> ResultSet {
        let value = |text: &&str| (*text != "NULL").then(|| text.as_bytes().to_vec());
        ResultSet {
            columns: columns.iter().map(|name| name.to_string()).collect(),
            rows: rows.iter().map(|row| row.iter().map(value).collect()).collect(),
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quote_name("a`b"), "`a``b`");
        assert!(columns_sql("a'b\\", "t").contains("_utf8 x'6127625c' AND TABLE_NAME = _utf8 x'74'"));
    }

    #[test]
    fn a_label_that_may_hide_a_character_is_marked() {
        let marked =
            |column_type: &str, charset| without_unknown_labels("c", column_type.to_owned(), Some(charset));
        assert_eq!(marked("enum('x','?')", "utf8mb4"), "enum('x','\u{fffd}')");
        assert_eq!(marked("set('a?','b')", "gb18030"), "set('a\u{fffd}','b')");
        assert_eq!(marked("enum('x','?')", "latin1"), "enum('x','?')");
        assert_eq!(marked("varchar(3)", "utf8mb4"), "varchar(3)");
    }

    #[test]
    fn a_table_is_told_from_one_that_differs_in_case() {
        let heads = ["TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "CHARACTER_SET_NAME"];
        let both =
            answer(&heads, &[&["d", "T", "a", "int(11)", "NULL"], &["d", "t", "b", "char(3)", "utf8"]]);
        let found = columns(&both, "d", "t");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].charset.as_deref()), ("b", Some("utf8")));
        assert!(columns(&both, "D", "t").is_empty(), "which of the two is not known");
        let folded = answer(&heads, &[&["d", "t", "b", "char(3)", "utf8"]]);
        assert_eq!(columns(&folded, "D", "T").len(), 1);
    }

    #[test]
    fn the_key_is_the_primary_or_the_first_that_identifies() {
        let heads = ["Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Sub_part", "Null"];
        let key = |rows: &[&[&str]]| best_key(&answer(&heads, rows));
        let primary: &[&str] = &["t", "0", "PRIMARY", "1", "id", "10", ""];
        let nullable: &[&str] = &["t", "0", "u1", "1", "a", "NULL", "YES"];
        let prefix: &[&str] = &["t", "0", "u2", "1", "b", "3", ""];
        let expression: &[&str] = &["t", "0", "u3", "1", "NULL", "NULL", ""];
        let plain: &[&str] = &["t", "1", "k", "1", "d", "NULL", ""];
        let (good1, good2): (&[&str], &[&str]) =
            (&["t", "0", "u4", "1", "x", "NULL", ""], &["t", "0", "u4", "2", "y", "NULL", ""]);
        assert_eq!(key(&[nullable, prefix, expression, plain, good1, good2]), ["x", "y"]);
        assert_eq!(key(&[nullable, primary, good1]), ["id"]);
        assert!(key(&[nullable, prefix, expression, plain]).is_empty());
        assert!(
            key(&[&["t", "0", "u", "1", "x", "NULL", ""], &["t", "0", "u", "2", "y", "NULL", "YES"]])
                .is_empty()
        );
    }
}
