//! What CREATE, ALTER, DROP and RENAME touch.

use crate::change::sql::Ddl;
use crate::change::sql::Statement;
use crate::change::sql::TableName;
use crate::change::sql::tokens::Token;
use crate::change::sql::tokens::Tokens;

/// Classifies what follows CREATE, ALTER, DROP or RENAME.
pub fn definition(verb: &str, tokens: &mut Tokens<'_>, database: &str) -> Statement {
    // CREATE OR REPLACE TEMPORARY TABLE …, ALTER ONLINE IGNORE TABLE …, CREATE UNIQUE INDEX …: the object's kind
    // is the first word that names one; what stands before it only qualifies.
    while let Some(word) = tokens.keyword() {
        match word.as_str() {
            // A sequence (MariaDB) is a table: its values are logged as rows.
            "TABLE" | "TABLES" | "SEQUENCE" => {
                return match verb {
                    "DROP" | "RENAME" => list(tokens, database),
                    "ALTER" => altered(tokens, database),
                    _ => one_table(tokens, database),
                };
            }
            // A temporary table's rows are never logged.
            "TEMPORARY" => return Statement::Harmless,
            "INDEX" => return index(tokens, database),
            "DATABASE" | "SCHEMA" => return Statement::Ddl(Ddl::Database(schema(verb, tokens, database))),
            // The definition of a server holds a password.
            "USER" | "ROLE" | "SERVER" => return Statement::Account,
            "VIEW" | "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "TABLESPACE" | "LOGFILE"
            | "PACKAGE" | "INSTANCE" | "RESOURCE" | "REFERENCE" | "LIBRARY" => return other(tokens),
            "DEFINER" => skip_definer(tokens),
            // ALGORITHM = … and SQL SECURITY … stand before VIEW.
            _ => {}
        }
    }
    Statement::Ddl(Ddl::Tables(Vec::new()))
}

/// One table, for CREATE and TRUNCATE.
pub fn one_table(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    skip_existence(tokens);
    Statement::Ddl(Ddl::Tables(table_name(tokens, database).into_iter().collect()))
}

/// ALTER TABLE, with the other tables that it makes or changes.
fn altered(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    skip_existence(tokens);
    let mut found = Vec::new();
    found.extend(table_name(tokens, database));
    while let Some(token) = tokens.next() {
        if token.is_word("RENAME") {
            if !tokens.accept_any(&["COLUMN", "INDEX", "KEY", "CONSTRAINT"]) {
                tokens.accept_any(&["TO", "AS", "="]);
                found.extend(table_name(tokens, database));
            }
        } else if token.is_word("EXCHANGE") && tokens.accept("PARTITION") {
            found.extend(behind_table(tokens, database));
        } else if token.is_word("CONVERT") {
            // MariaDB: CONVERT PARTITION p TO TABLE t, CONVERT TABLE t TO PARTITION p …
            if tokens.accept("PARTITION") {
                found.extend(behind_table(tokens, database));
            } else if tokens.accept("TABLE") {
                found.extend(table_name(tokens, database));
            }
        }
    }
    Statement::Ddl(Ddl::Tables(found))
}

/// The name behind the next word TABLE.
fn behind_table(tokens: &mut Tokens<'_>, database: &str) -> Option<TableName> {
    while !tokens.next()?.is_word("TABLE") {}
    table_name(tokens, database)
}

/// `a, b.c, …` and `a TO b, c TO d`.
fn list(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    skip_existence(tokens);
    let mut found = Vec::new();
    while let Some(name) = table_name(tokens, database) {
        found.push(name);
        let is_wait = |token: &Token| token.is_word("WAIT") || token.is_word("NOWAIT") || token.is_number();
        while tokens.peek().is_some_and(is_wait) {
            tokens.next();
        }
        if !tokens.accept_any(&[",", "TO"]) {
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

/// The database's name; ALTER DATABASE may leave it out and go on with its options.
fn schema(verb: &str, tokens: &mut Tokens<'_>, database: &str) -> String {
    const OPTIONS: [&str; 7] =
        ["DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ENCRYPTION", "READ", "COMMENT"];
    skip_existence(tokens);
    if verb == "ALTER" && tokens.peek().is_some_and(|token| OPTIONS.iter().any(|word| token.is_word(word))) {
        return database.to_owned();
    }
    tokens.name().unwrap_or_else(|| database.to_owned())
}

/// Views, routines and the like; a routine in whose text an account is given a password counts as that.
fn other(tokens: &mut Tokens<'_>) -> Statement {
    while let Some(token) = tokens.next() {
        let identified = token.is_word("IDENTIFIED") && tokens.accept_any(&["BY", "WITH", "VIA", "AS"]);
        if identified || token.is_word("SET") && tokens.accept("PASSWORD") && tokens.accept("FOR") {
            return Statement::Account;
        }
    }
    Statement::Ddl(Ddl::Other)
}

/// `DEFINER = user@host`: the names may be words that would mean something else here.
fn skip_definer(tokens: &mut Tokens<'_>) {
    if !tokens.accept("=") {
        return;
    }
    tokens.next();
    if tokens.accept("@") {
        tokens.next();
        while tokens.accept(".") {
            tokens.next();
        }
    }
}

fn skip_existence(tokens: &mut Tokens<'_>) {
    if tokens.accept("IF") {
        tokens.accept("NOT");
        tokens.accept("EXISTS");
    }
}

/// `t`, `d.t`, and ODBC's `.t`.
pub fn table_name(tokens: &mut Tokens<'_>, database: &str) -> Option<TableName> {
    let of_default = |table| TableName { database: database.to_owned(), table };
    if tokens.accept(".") {
        return tokens.name().map(of_default);
    }
    let first = tokens.name()?;
    if tokens.accept(".") {
        return tokens.name().map(|table| TableName { database: first, table });
    }
    Some(of_default(first))
}
