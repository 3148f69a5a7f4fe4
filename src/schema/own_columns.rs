//! MariaDB's own columns: which columns of a logged table the server has made for itself, and which one says until when
//! a row was the current one.
//!
//! `WITH SYSTEM VERSIONING` without columns named by the user adds `row_start` and `row_end`, TIMESTAMP(6) NOT NULL; each
//! UNIQUE KEY that no index can hold (a whole TEXT, a long VARCHAR, `USING HASH`) adds a BIGINT UNSIGNED `DB_ROW_HASH_n`.
//! They stand behind all others in this order, also after columns are added (`mysql_prepare_alter_table` and
//! `mysql_prepare_create_table` in sql/sql_table.cc), nobody sees them, and rows log them. The event says their names with
//! `binlog_row_metadata=FULL`, and never that they are hidden: a user may have columns of these names.

use crate::column::type_code;
use crate::column::type_code::RealType;
use crate::schema::definition::TableDefinition;

/// The column that `WITH SYSTEM VERSIONING` adds for the begin of a row's time.
pub const ROW_START: &str = "row_start";
/// The column that `WITH SYSTEM VERSIONING` adds for the end of a row's time.
pub const ROW_END: &str = "row_end";
/// What the columns of long unique keys are called, before their number.
pub const HASH_PREFIX: &str = "DB_ROW_HASH_";

/// What is special about a table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnColumns {
    /// How many columns stand before the hidden ones.
    pub visible: usize,
    /// The column that says until when a row was the current one.
    pub row_end: Option<usize>,
}

/// A logged column, as far as this page cares.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    pub name: &'a str,
    pub type_code: u8,
    pub metadata: u16,
    pub unsigned: bool,
}

impl OwnColumns {
    pub fn none(columns: usize) -> Self {
        Self { visible: columns, row_end: None }
    }

    /// By a definition that has been found to fit.
    pub fn defined(definition: &TableDefinition) -> Self {
        let columns = &definition.columns;
        let row_end = definition.row_end.as_ref();
        Self {
            visible: columns.iter().take_while(|column| !column.hidden).count(),
            row_end: row_end.and_then(|name| columns.iter().position(|column| column.name == *name)),
        }
    }

    /// By the names that the event itself says. Whether a table is versioned they do not tell; `definition`, which may be
    /// younger than the rows, does.
    pub fn named(columns: &[Logged<'_>], definition: Option<&TableDefinition>) -> Self {
        let users = |name: &str| {
            let columns = definition.map(|definition| &definition.columns);
            columns.is_some_and(|columns| columns.iter().any(|column| column.name == name && !column.hidden))
        };
        let is_hash = |column: &&Logged<'_>| column.is_hash() && !users(column.name);
        let visible = columns.len() - columns.iter().rev().take_while(is_hash).count();
        let Some(definition) = definition else { return Self { visible, row_end: None } };

        let pair = visible.checked_sub(2).and_then(|start| Some((start, columns.get(start..visible)?)));
        if let Some((start, [first, second])) = pair
            && (first.name, second.name) == (ROW_START, ROW_END)
            && first.may_bound_rows()
            && second.may_bound_rows()
            && !users(ROW_END)
        {
            return Self { visible: start, row_end: Some(start + 1) };
        }
        let ends = |column: &Logged<'_>| {
            let is_number = column.type_code == type_code::LONGLONG && column.unsigned;
            definition.row_end.as_deref() == Some(column.name) && (is_number || column.may_bound_rows())
        };
        Self { visible, row_end: columns.iter().position(ends) }
    }
}

impl Logged<'_> {
    fn is_hash(&self) -> bool {
        let digits = self.name.strip_prefix(HASH_PREFIX);
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let numbered = digits.is_some_and(is_number);
        numbered && self.type_code == type_code::LONGLONG && self.unsigned
    }

    fn may_bound_rows(&self) -> bool {
        may_bound_rows(self.type_code, self.metadata)
    }
}

/// Whether a column of this type can be the begin or the end of a row's time: a TIMESTAMP(6), in whatever form. (Tables
/// that count transactions instead of time, by BIGINT UNSIGNED, are logged as statements whatever `binlog_format` is:
/// `THD::decide_logging_format` in sql/sql_class.cc.)
pub fn may_bound_rows(type_code: u8, metadata: u16) -> bool {
    match RealType::new(type_code, metadata).type_code {
        type_code::TIMESTAMP2 => metadata == 6,
        // The form of before 10.1: its digits are not logged.
        real => real == type_code::TIMESTAMP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::definition::ColumnDefinition;

    const STAMP: (u8, u16, bool) = (type_code::TIMESTAMP2, 6, false);
    const HASH: (u8, u16, bool) = (type_code::LONGLONG, 0, true);
    const INT: (u8, u16, bool) = (type_code::LONG, 0, false);

    fn named(
        columns: &[(&'static str, (u8, u16, bool))],
        definition: Option<&TableDefinition>,
    ) -> (usize, Option<usize>) {
        let logged = columns.iter().map(|(name, (type_code, metadata, unsigned))| Logged {
            name,
            type_code: *type_code,
            metadata: *metadata,
            unsigned: *unsigned,
        });
        let own = OwnColumns::named(&logged.collect::<Vec<_>>(), definition);
        (own.visible, own.row_end)
    }

    /// A definition with these columns; a `-` before a name hides it.
    fn definition(names: &[&str], row_end: Option<&str>) -> TableDefinition {
        let column = |name: &&str| ColumnDefinition {
            name: name.trim_start_matches('-').to_owned(),
            column_type: "int".to_owned(),
            charset: None,
            hidden: name.starts_with('-'),
        };
        TableDefinition {
            database: "d".to_owned(),
            table: "t".to_owned(),
            columns: names.iter().map(column).collect(),
            key: Vec::new(),
            row_end: row_end.map(str::to_owned),
        }
    }

    #[test]
    fn hashes_at_the_end_are_hidden() {
        let t = ("a", INT);
        assert_eq!(named(&[t, ("DB_ROW_HASH_1", HASH), ("DB_ROW_HASH_2", HASH)], None), (1, None));
        assert_eq!(
            named(&[t, ("DB_ROW_HASH_1", HASH), ("b", INT), ("DB_ROW_HASH_2", HASH)], None),
            (3, None)
        );
        assert_eq!(named(&[t, ("DB_ROW_HASH_1", INT)], None), (2, None));
        assert_eq!(named(&[t, ("DB_ROW_HASH_x", HASH)], None), (2, None));
        let users = definition(&["a", "DB_ROW_HASH_1"], None);
        assert_eq!(named(&[t, ("DB_ROW_HASH_1", HASH)], Some(&users)), (2, None), "the user's own");
    }

    #[test]
    fn whether_a_table_is_versioned_only_a_definition_tells() {
        let logged = [("a", INT), ("row_start", STAMP), ("row_end", STAMP), ("DB_ROW_HASH_1", HASH)];
        assert_eq!(named(&logged, None), (3, None), "nothing is left out that may be a user's row");
        let versioned = definition(&["a", "-row_start", "-row_end", "-DB_ROW_HASH_1"], Some("row_end"));
        assert_eq!(named(&logged, Some(&versioned)), (1, Some(2)));
        let plain = definition(&["a", "row_start", "row_end"], None);
        assert_eq!(named(&logged, Some(&plain)), (3, None), "an archive of a versioned table");
        let since = definition(&["a", "b"], None);
        assert_eq!(named(&logged, Some(&since)), (1, Some(2)), "versioned then, no longer");
        let explicit = definition(&["a", "row_start", "row_end"], Some("row_end"));
        assert_eq!(named(&logged, Some(&explicit)), (3, Some(2)));
        let other = [("s", STAMP), ("e", STAMP), ("a", INT)];
        assert_eq!(named(&other, Some(&definition(&["s", "e", "a", "b"], Some("e")))), (3, Some(1)));
        assert_eq!(named(&[("e", INT)], Some(&definition(&["e"], Some("e")))), (1, None));
    }
}
