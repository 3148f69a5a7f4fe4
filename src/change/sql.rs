//! Just enough reading of SQL text to tell what a QUERY event does to a transaction and to which tables.
//!
//! This is no parser: a statement is classified by its leading words, and DDL gives up the names that stand where
//! tables stand. Whatever is not recognised is reported as such, never taken for harmless.

mod tokens;

use tokens::Tokens;

/// A table as a statement names it; the database is the session's default when the statement gives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub database: String,
    pub table: String,
}

/// What a statement means to whoever follows the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint,
    XaStart,
    XaEnd,
    XaPrepare,
    XaCommit,
    XaRollback,
    /// Changes definitions. `tables` are those it creates, changes, empties or drops.
    Ddl(Ddl),
    /// Changes rows, logged as a statement.
    Dml,
    /// Changes accounts or rights. Its text can hold password hashes and never leaves.
    Account,
    /// Changes neither rows nor definitions (FLUSH, ANALYZE, SET …).
    Harmless,
    /// None of the above.
    Unknown,
}

/// What DDL touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ddl {
    Tables(Vec<TableName>),
    /// A whole database is made, changed or dropped.
    Database(String),
    /// Views, routines, triggers, events, tablespaces, servers: nothing that holds rows of its own.
    Other,
}

/// Classifies a statement as the server logged it. `database` is the session's default database.
pub fn classify(sql: &str, database: &str) -> Statement {
    let mut tokens = Tokens::new(sql);
    let Some(first) = tokens.keyword() else { return Statement::Unknown };
    match first.as_str() {
        "BEGIN" => Statement::Begin,
        "START" => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => rollback(&mut tokens),
        "SAVEPOINT" => tokens.name().map_or(Statement::Unknown, Statement::Savepoint),
        "RELEASE" => Statement::ReleaseSavepoint,
        "XA" => xa(&mut tokens),
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "DO" | "SELECT"
        | "IMPORT" => Statement::Dml,
        "GRANT" | "REVOKE" => Statement::Account,
        "SET" => set(&mut tokens),
        "CREATE" | "ALTER" | "DROP" | "RENAME" => definition(&first, &mut tokens, database),
        "TRUNCATE" => {
            tokens.accept("TABLE");
            tables(&mut tokens, database)
        }
        "FLUSH" | "ANALYZE" | "OPTIMIZE" | "REPAIR" | "CHECK" | "CHECKSUM" | "CACHE" | "RESET" | "PURGE"
        | "CHANGE" | "INSTALL" | "UNINSTALL" | "USE" | "SHOW" | "KILL" | "BINLOG" | "LOCK" | "UNLOCK"
        | "HANDLER" | "SHUTDOWN" | "RESTART" | "CLONE" => Statement::Harmless,
        _ => Statement::Unknown,
    }
}

/// Whether a text holds no statement at all: MariaDB sends comments in the place of events that a replica would not know
/// (`Query_log_event::dummy_event`).
pub fn is_only_comment(sql: &str) -> bool {
    Tokens::new(sql).peek().is_none()
}

fn rollback(tokens: &mut Tokens<'_>) -> Statement {
    tokens.accept("WORK");
    if !tokens.accept("TO") {
        return Statement::Rollback;
    }
    tokens.accept("SAVEPOINT");
    tokens.name().map_or(Statement::Unknown, Statement::RollbackTo)
}

fn xa(tokens: &mut Tokens<'_>) -> Statement {
    match tokens.keyword().as_deref() {
        Some("START" | "BEGIN") => Statement::XaStart,
        Some("END") => Statement::XaEnd,
        Some("PREPARE") => Statement::XaPrepare,
        Some("COMMIT") => Statement::XaCommit,
        Some("ROLLBACK") => Statement::XaRollback,
        _ => Statement::Unknown,
    }
}

fn set(tokens: &mut Tokens<'_>) -> Statement {
    match tokens.keyword().as_deref() {
        Some("PASSWORD" | "ROLE" | "DEFAULT") => Statement::Account,
        _ => Statement::Harmless,
    }
}

fn definition(verb: &str, tokens: &mut Tokens<'_>, database: &str) -> Statement {
    // CREATE OR REPLACE TEMPORARY TABLE …, ALTER ONLINE IGNORE TABLE …, CREATE UNIQUE INDEX …: the object's kind
    // is the first word that names one; what stands before it only qualifies.
    while let Some(word) = tokens.keyword() {
        match word.as_str() {
            "TABLE" | "TABLES" => {
                return if verb == "DROP" || verb == "RENAME" {
                    list(tokens, database)
                } else {
                    tables(tokens, database)
                };
            }
            // A temporary table's rows are never logged.
            "TEMPORARY" => return Statement::Harmless,
            "INDEX" => return index(tokens, database),
            "DATABASE" | "SCHEMA" => {
                skip_existence(tokens);
                let name = tokens.name().unwrap_or_else(|| database.to_owned());
                return Statement::Ddl(Ddl::Database(name));
            }
            "USER" | "ROLE" => return Statement::Account,
            "VIEW" | "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "TABLESPACE" | "SERVER" | "LOGFILE"
            | "SEQUENCE" | "PACKAGE" | "INSTANCE" | "RESOURCE" | "SPATIAL_REFERENCE" | "LIBRARY" => {
                return Statement::Ddl(Ddl::Other);
            }
            // DEFINER = user@host and ALGORITHM = … stand before VIEW, TRIGGER and the routines.
            _ => {}
        }
    }
    Statement::Ddl(Ddl::Other)
}

fn skip_existence(tokens: &mut Tokens<'_>) {
    if tokens.accept("IF") {
        tokens.accept("NOT");
        tokens.accept("EXISTS");
    }
}

/// One table, and for ALTER TABLE … RENAME TO the other name as well.
fn tables(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    skip_existence(tokens);
    let mut found = Vec::new();
    found.extend(table_name(tokens, database));
    while let Some(token) = tokens.next() {
        if token.is_word("RENAME") {
            let other_kind = ["COLUMN", "INDEX", "KEY"].iter().any(|kind| tokens.accept(kind));
            if !other_kind {
                let _preposition = tokens.accept("TO") || tokens.accept("AS") || tokens.accept("=");
                found.extend(table_name(tokens, database));
            }
        } else if token.is_word("EXCHANGE") && tokens.accept("PARTITION") {
            while let Some(token) = tokens.next() {
                if token.is_word("TABLE") {
                    found.extend(table_name(tokens, database));
                    break;
                }
            }
        }
    }
    Statement::Ddl(Ddl::Tables(found))
}

/// `a, b.c, …` and `a TO b, c TO d`.
fn list(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    skip_existence(tokens);
    let mut found = Vec::new();
    while let Some(name) = table_name(tokens, database) {
        found.push(name);
        while tokens
            .peek()
            .is_some_and(|token| token.is_word("WAIT") || token.is_word("NOWAIT") || token.is_number())
        {
            tokens.next();
        }
        if !(tokens.accept(",") || tokens.accept("TO")) {
            break;
        }
    }
    Statement::Ddl(Ddl::Tables(found))
}

/// `CREATE INDEX i ON t …`, `DROP INDEX i ON t`.
fn index(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    while let Some(token) = tokens.next() {
        if token.is_word("ON") {
            return Statement::Ddl(Ddl::Tables(table_name(tokens, database).into_iter().collect()));
        }
    }
    Statement::Unknown
}

fn table_name(tokens: &mut Tokens<'_>, database: &str) -> Option<TableName> {
    let first = tokens.name()?;
    if tokens.accept(".") {
        return tokens.name().map(|table| TableName { database: first, table });
    }
    Some(TableName { database: database.to_owned(), table: first })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(sql: &str) -> Vec<String> {
        match classify(sql, "d") {
            Statement::Ddl(Ddl::Tables(tables)) => {
                tables.into_iter().map(|name| format!("{}.{}", name.database, name.table)).collect()
            }
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn transactions() {
        assert_eq!(classify("BEGIN", ""), Statement::Begin);
        assert_eq!(classify(" commit ", ""), Statement::Commit);
        assert_eq!(classify("COMMIT /* implicit, from Xid_log_event */", ""), Statement::Commit);
        assert_eq!(classify("rollback", ""), Statement::Rollback);
        assert_eq!(classify("ROLLBACK TO `s``1`", ""), Statement::RollbackTo("s`1".into()));
        assert_eq!(classify("ROLLBACK WORK TO SAVEPOINT a", ""), Statement::RollbackTo("a".into()));
        assert_eq!(classify("SAVEPOINT `a b`", ""), Statement::Savepoint("a b".into()));
        assert_eq!(classify("XA START X'61',X'',1", ""), Statement::XaStart);
        assert_eq!(classify("XA COMMIT X'61',X'',1", ""), Statement::XaCommit);
        assert_eq!(classify("START TRANSACTION", ""), Statement::Begin);
    }

    #[test]
    fn rows_changed_by_statements_are_seen_behind_comments() {
        for sql in [
            "insert into t values (1)",
            "/* hi */ UPDATE t SET a=1",
            "-- a line\nDELETE FROM t",
            "# a line\nREPLACE t VALUES (1)",
            "/*!50001 INSERT INTO t VALUES (1) */",
            "/*M!100100 INSERT INTO t VALUES (1) */",
            "WITH c AS (SELECT 1) DELETE FROM t",
            "LOAD DATA INFILE 'x' INTO TABLE t",
        ] {
            assert_eq!(classify(sql, "d"), Statement::Dml, "{sql}");
        }
    }

    #[test]
    fn ddl_names_its_tables() {
        assert_eq!(touched("CREATE TABLE t (a int)"), ["d.t"]);
        assert_eq!(touched("CREATE TABLE IF NOT EXISTS `x.y`.`t``u` (a int)"), ["x.y.t`u"]);
        assert_eq!(touched("create or replace table e . t like z"), ["e.t"]);
        assert_eq!(touched("ALTER TABLE t ADD c varchar(9) DEFAULT 'rename to x'"), ["d.t"]);
        assert_eq!(touched("ALTER TABLE t ADD c int, RENAME TO e.u"), ["d.t", "e.u"]);
        assert_eq!(touched("ALTER TABLE t RENAME COLUMN a TO b, RENAME AS u"), ["d.t", "d.u"]);
        assert_eq!(touched("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u"), ["d.t", "d.u"]);
        assert_eq!(touched("DROP TABLE IF EXISTS `a`,b.`c` /* generated by server */"), ["d.a", "b.c"]);
        assert_eq!(touched("RENAME TABLE a TO b, c.d TO e"), ["d.a", "d.b", "c.d", "d.e"]);
        assert_eq!(touched("TRUNCATE t"), ["d.t"]);
        assert_eq!(touched("TRUNCATE TABLE e.t"), ["e.t"]);
        assert_eq!(touched("CREATE UNIQUE INDEX i USING BTREE ON e.t (a)"), ["e.t"]);
        assert_eq!(touched("DROP INDEX `i` ON t"), ["d.t"]);
        assert_eq!(touched("/*!40000 ALTER TABLE `t` DISABLE KEYS */"), ["d.t"]);
        assert_eq!(touched("ALTER TABLE \"t\" ADD a int"), ["d.t"]);
    }

    #[test]
    fn other_definitions() {
        assert_eq!(classify("DROP DATABASE IF EXISTS `x`", "d"), Statement::Ddl(Ddl::Database("x".into())));
        assert_eq!(
            classify(
                "CREATE DEFINER=`root`@`localhost` TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a=1",
                "d"
            ),
            Statement::Ddl(Ddl::Other)
        );
        assert_eq!(classify("CREATE ALGORITHM=MERGE VIEW v AS SELECT 1", "d"), Statement::Ddl(Ddl::Other));
        assert_eq!(classify("FLUSH TABLES", "d"), Statement::Harmless);
        assert_eq!(classify("DROP TEMPORARY TABLE IF EXISTS `x`", "d"), Statement::Harmless);
    }

    #[test]
    fn statements_about_accounts_are_told_apart() {
        for sql in [
            "CREATE USER 'a'@'%' IDENTIFIED WITH 'x' AS '*FF'",
            "ALTER USER a IDENTIFIED BY 'x'",
            "DROP USER a",
            "RENAME USER a TO b",
            "GRANT ALL ON *.* TO a",
            "REVOKE ALL ON *.* FROM a",
            "SET PASSWORD FOR a='x'",
            "CREATE ROLE r",
        ] {
            assert_eq!(classify(sql, "d"), Statement::Account, "{sql}");
        }
    }

    #[test]
    fn nonsense_is_unknown_and_never_panics() {
        for sql in
            ["", "   ", "/*", "`", "'", "\u{1F600}", "ALTER", "DROP TABLE", "CREATE INDEX", "XA", "BOGUS 1"]
        {
            classify(sql, "d");
        }
        assert_eq!(classify("BOGUS 1", "d"), Statement::Unknown);
        assert_eq!(classify("", "d"), Statement::Unknown);
    }
}
