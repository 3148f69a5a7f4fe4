//! Which tables' definitions a statement may have changed. Rather one too many than one too few: one too many costs a
//! question to the server, or stops a shard that lags behind; one too few gives wrong names to rows.

use crate::change::sql::Ddl;
use crate::change::sql::Sql;
use crate::change::sql::Statement;
use crate::change::sql::TableName;
use crate::change::sql::classify;
use crate::change::sql::definitions::table_name;
use crate::change::sql::tokens::Tokens;

/// The tables whose definition may be another one behind a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    Nothing,
    Tables(Vec<TableName>),
    /// This table was made, where there was none of its name.
    Created(TableName),
    /// All tables of a database.
    Database(String),
    Everything,
}

/// What a statement touches. Left out is what leaves columns and keys as they are: TRUNCATE, ALTER DATABASE (it changes
/// what tables to come are like), an index that is not unique, what only adds or drops
/// partitions, CREATE DATABASE and CREATE … IF NOT EXISTS: who has seen rows
/// of a table knows that it exists, and to make it anew somebody must drop it first.
pub fn touched(sql: Sql<'_>) -> Touched {
    match classify(sql) {
        Statement::Ddl(Ddl::Other) => Touched::Nothing,
        Statement::Ddl(_) if keeps_columns(sql) => Touched::Nothing,
        Statement::Ddl(Ddl::Tables(tables)) => of_tables(tables, sql),
        // ALTER DATABASE `#mysql50#…` UPGRADE DATA DIRECTORY NAME gives a database another name.
        Statement::Ddl(Ddl::Database(name)) if name.starts_with("#mysql50#") => Touched::Everything,
        Statement::Ddl(Ddl::Database(name)) => Touched::Database(name),
        // IMPORT TABLE makes tables out of files (MySQL 8.0).
        Statement::Dml if sql.tokens().verb().as_deref() == Some("IMPORT") => Touched::Everything,
        Statement::Unknown => Touched::Everything,
        _ => Touched::Nothing,
    }
}

fn of_tables(mut tables: Vec<TableName>, sql: Sql<'_>) -> Touched {
    match (tables.len(), sql.tokens().verb().as_deref()) {
        (0, _) => Touched::Everything,
        (1, Some("CREATE")) if !is_replaced(sql) => Touched::Created(tables.remove(0)),
        _ => Touched::Tables(tables),
    }
}

/// `CREATE OR REPLACE TABLE`, `CREATE INDEX`.
fn is_replaced(sql: Sql<'_>) -> bool {
    let mut tokens = sql.tokens();
    tokens.verb();
    while let Some(word) = tokens.keyword() {
        match word.as_str() {
            "OR" | "INDEX" => return true,
            "TABLE" | "SEQUENCE" => return false,
            _ => {}
        }
    }
    true
}

fn keeps_columns(sql: Sql<'_>) -> bool {
    let mut tokens = sql.tokens();
    match tokens.verb().as_deref() {
        Some("TRUNCATE") => true,
        Some("ALTER") => loop {
            match tokens.keyword().as_deref() {
                Some("ONLINE" | "OFFLINE" | "IGNORE") => {}
                Some("TABLE") => return moves_partitions(&mut tokens),
                Some("DATABASE" | "SCHEMA") => {
                    return !std::iter::from_fn(|| tokens.next()).any(|token| token.is_word("UPGRADE"));
                }
                _ => return false,
            }
        },
        Some("CREATE") => loop {
            match tokens.keyword().as_deref() {
                // CREATE OR REPLACE drops what was there. A unique key may become the one that rows are told apart by.
                None | Some("OR" | "UNIQUE") => return false,
                Some("INDEX" | "DATABASE" | "SCHEMA") => return true,
                Some("TABLE" | "SEQUENCE") => return tokens.accept("IF"),
                Some(_) => {}
            }
        },
        _ => false,
    }
}

/// What adds, drops or tidies up partitions does nothing else in the same statement (`standalone_alter_commands` in
/// MySQL's sql/sql_yacc.yy; MariaDB's manual says so of each). Rotated partitions are daily life, so they must cost nothing.
fn moves_partitions(tokens: &mut Tokens<'_>) -> bool {
    const VERBS: [&str; 10] = [
        "ADD",
        "DROP",
        "COALESCE",
        "TRUNCATE",
        "REORGANIZE",
        "REBUILD",
        "OPTIMIZE",
        "ANALYZE",
        "CHECK",
        "REPAIR",
    ];
    if tokens.accept("IF") {
        tokens.accept("EXISTS");
    }
    table_name(tokens, "").is_some() && tokens.accept_any(&VERBS) && tokens.accept("PARTITION")
}

impl Touched {
    pub fn is_nothing(&self) -> bool {
        *self == Touched::Nothing
    }

    /// Whether the definition of this table may be another one now.
    pub fn touches(&self, database: &str, table: &str) -> bool {
        let is = |name: &TableName| same(&name.database, database) && same(&name.table, table);
        match self {
            Touched::Nothing => false,
            Touched::Everything => true,
            Touched::Database(name) => same(name, database),
            Touched::Created(name) => is(name),
            Touched::Tables(names) => names.iter().any(is),
        }
    }

    /// The tables that it names.
    pub fn names(&self) -> &[TableName] {
        match self {
            Touched::Tables(names) => names,
            Touched::Created(name) => std::slice::from_ref(name),
            Touched::Nothing | Touched::Database(_) | Touched::Everything => &[],
        }
    }

    /// What both touch: a text that can be read in two ways.
    pub fn or(self, other: Touched) -> Touched {
        match (self, other) {
            (Touched::Nothing, touched) | (touched, Touched::Nothing) => touched,
            (one, other) if one == other => one,
            (one, other) if !one.names().is_empty() && !other.names().is_empty() => {
                Touched::Tables([one.names(), other.names()].concat())
            }
            _ => Touched::Everything,
        }
    }
}

/// Names are the same for us where they are for any server: whatever its `lower_case_table_names`, statements are logged
/// as they were typed. What could not be read (U+FFFD) may be any name.
fn same(one: &str, other: &str) -> bool {
    one == other || one.contains('\u{fffd}') || folded(one) == folded(other)
}

fn folded(name: &str) -> String {
    // The server folds İ to i, Rust to i and a dot.
    name.to_lowercase().chars().filter(|c| *c != '\u{307}').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::sql::Quoting;

    fn of(text: &str) -> Touched {
        touched(Sql { text, database: "d", quoting: Quoting::default() })
    }

    #[test]
    fn what_changes_columns_touches() {
        for text in [
            "ALTER TABLE t ADD c int",
            "RENAME TABLE d.t TO d.u",
            "RENAME TABLE d.u TO d.t",
            "ALTER TABLE u RENAME TO T",
            "DROP TABLE IF EXISTS x, t",
            "CREATE TABLE t (a int)",
            "CREATE TABLE `t` LIKE u",
            "CREATE OR REPLACE TABLE t (a int)",
            "CREATE OR REPLACE TABLE IF NOT EXISTS t (a int)",
            "CREATE UNIQUE INDEX i ON t (a)",
            "DROP INDEX i ON t",
            "ALTER TABLE x EXCHANGE PARTITION p WITH TABLE t",
            "ALTER TABLE t ADD `PARTITION` int",
            "ALTER TABLE t ADD c int PARTITION BY HASH (a)",
            "ALTER TABLE t REMOVE PARTITIONING, ADD c int",
            "DROP DATABASE D",
            "CREATE OR REPLACE DATABASE d",
            "ALTER DATABASE `#mysql50#d-1` UPGRADE DATA DIRECTORY NAME",
            "SET STATEMENT max_statement_time=0 FOR ALTER TABLE t ADD c int",
            "SOMETHING new",
            "CREATE SOMETHING new",
            "IMPORT TABLE FROM 'x.sdi'",
            "ALTER TABLE \u{fffd} ADD c int",
        ] {
            assert!(of(text).touches("d", "t"), "{text}: {:?}", of(text));
        }
    }

    #[test]
    fn what_leaves_them_touches_nothing() {
        for text in [
            "BEGIN",
            "TRUNCATE t",
            "TRUNCATE TABLE d.t",
            "CREATE INDEX i ON t (a)",
            "CREATE FULLTEXT INDEX i ON t (a)",
            "CREATE TABLE IF NOT EXISTS t (a int)",
            "CREATE DATABASE d",
            "CREATE DATABASE IF NOT EXISTS d",
            "ALTER DATABASE d CHARACTER SET utf8mb4",
            "ALTER TABLE t ADD PARTITION (PARTITION p1 VALUES LESS THAN (5))",
            "ALTER ONLINE TABLE IF EXISTS `d`.`t` drop partition if exists p0, p1",
            "alter table t /* old */ REORGANIZE PARTITION p INTO (PARTITION q VALUES LESS THAN MAXVALUE)",
            "ANALYZE TABLE t",
            "OPTIMIZE TABLE t",
            "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a=1",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE TEMPORARY TABLE t (a int)",
            "INSERT INTO t VALUES (1)",
            "GRANT SELECT ON d.t TO u",
            "XA COMMIT 'x'",
        ] {
            assert_eq!(of(text), Touched::Nothing, "{text}");
        }
        assert!(!of("ALTER TABLE u ADD c int").touches("d", "t"));
        assert!(!of("ALTER TABLE e.t ADD c int").touches("d", "t"));
        assert!(!of("DROP DATABASE e").touches("d", "t"));
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!(of("ALTER TABLE D.`İÉ表` ADD c int").touches("d", "ié表"));
        assert!(!of("ALTER TABLE D.`İÉ表` ADD c int").touches("d", "ié婊"));
        assert_eq!(of("CREATE TABLE t (a int)").names().len(), 1);
        assert!(matches!(of("CREATE TABLE t (a int)"), Touched::Created(_)));
        assert!(matches!(of("CREATE OR REPLACE TABLE t (a int)"), Touched::Tables(_)));
    }

    #[test]
    fn two_readings_touch_both() {
        let both = of("ALTER TABLE a ADD c int").or(of("ALTER TABLE b ADD c int"));
        assert!(both.touches("d", "a") && both.touches("d", "b") && !both.touches("d", "c"));
        assert_eq!(of("TRUNCATE a").or(of("DROP DATABASE e")), Touched::Database("e".into()));
        assert_eq!(of("DROP TABLE a").or(of("DROP DATABASE e")), Touched::Everything);
    }
}
