//! Just enough reading of SQL text to tell what a QUERY event does to a transaction and to which tables.
//!
//! This is no parser: a statement is classified by its leading words, and DDL gives up the names that stand where
//! tables stand. Whatever is not recognised is reported as such, never taken for harmless.

mod definitions;
#[cfg(test)]
mod tests;
mod tokens;
mod xid;

pub use tokens::Quoting;
pub use xid::logged_xid;
mod touched;

pub use touched::Touched;
pub use touched::touched;

use crate::schema::filter::holds_passwords;
use definitions::definition;
use definitions::one_table;
use definitions::table_name;
use tokens::Token;
use tokens::Tokens;

/// A statement as it was logged.
#[derive(Debug, Clone, Copy)]
pub struct Sql<'a> {
    pub text: &'a str,
    /// The session's default database; empty when it had none.
    pub database: &'a str,
    pub quoting: Quoting,
}

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
    /// Changes definitions.
    Ddl(Ddl),
    /// Changes rows, logged as a statement.
    Dml,
    /// `DELETE FROM t` and nothing more. Outside of BEGIN it is the server's own: before 8.0 they log it when they find a
    /// MEMORY table empty after a restart, whatever the format of the binlog; newer ones log TRUNCATE
    /// (`open_table_entry_fini` in sql/sql_base.cc).
    DeleteAll(TableName),
    /// Changes accounts or rights. Its text can hold passwords or their hashes and never leaves.
    Account,
    /// Changes neither rows nor definitions (FLUSH, ANALYZE, SET …).
    Harmless,
    /// Comments alone: MariaDB sends them in the place of events that a replica would not know
    /// (`Query_log_event::dummy_event`).
    Nothing,
    /// None of the above.
    Unknown,
}

/// What DDL touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ddl {
    /// The tables that are created, changed, emptied, renamed or dropped; none where that cannot be told.
    Tables(Vec<TableName>),
    /// A whole database is made, changed or dropped.
    Database(String),
    /// Views, routines, triggers, events, tablespaces: nothing that holds rows of its own.
    Other,
}

impl Sql<'_> {
    fn tokens(&self) -> Tokens<'_> {
        Tokens::new(self.text, self.quoting)
    }
}

/// Says what a statement means.
pub fn classify(sql: Sql<'_>) -> Statement {
    let mut tokens = sql.tokens();
    match tokens.peek() {
        None => Statement::Nothing,
        Some(_) => statement(&mut tokens, sql.database),
    }
}

fn statement(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    let Some(verb) = tokens.verb() else { return Statement::Unknown };
    match verb.as_str() {
        "BEGIN" => Statement::Begin,
        "START" if tokens.accept("TRANSACTION") => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => rollback(tokens),
        "SAVEPOINT" => tokens.name().map_or(Statement::Unknown, Statement::Savepoint),
        "RELEASE" => Statement::ReleaseSavepoint,
        "XA" => xa(tokens),
        "LOAD" if tokens.accept("INDEX") => Statement::Harmless,
        "INSERT" | "UPDATE" | "REPLACE" | "DELETE" => changed_rows(&verb, tokens, database),
        "LOAD" | "WITH" | "CALL" | "DO" | "SELECT" | "VALUES" | "IMPORT" => Statement::Dml,
        "GRANT" | "REVOKE" => Statement::Account,
        "SET" => set(tokens, database),
        "CREATE" | "ALTER" | "DROP" | "RENAME" => definition(&verb, tokens, database),
        "TRUNCATE" => {
            tokens.accept("TABLE");
            one_table(tokens, database)
        }
        "FLUSH" | "ANALYZE" | "OPTIMIZE" | "REPAIR" | "CHECK" | "CHECKSUM" | "CACHE" | "RESET" | "PURGE"
        | "CHANGE" | "INSTALL" | "UNINSTALL" | "USE" | "SHOW" | "KILL" | "BINLOG" | "LOCK" | "UNLOCK"
        | "HANDLER" | "SHUTDOWN" | "RESTART" | "CLONE" | "BACKUP" => Statement::Harmless,
        _ => Statement::Unknown,
    }
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

fn set(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    if tokens.accept_any(&["PASSWORD", "ROLE", "DEFAULT"]) {
        return Statement::Account;
    }
    if tokens.accept("STATEMENT") {
        return behind_for(tokens, database);
    }
    Statement::Harmless
}

/// MariaDB's `SET STATEMENT variable = value, … FOR statement`.
fn behind_for(tokens: &mut Tokens<'_>, database: &str) -> Statement {
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is_word("FOR") => return statement(tokens, database),
            _ => {}
        }
    }
    Statement::Unknown
}

/// INSERT, REPLACE, UPDATE and DELETE. Only the plainest forms give up their table.
fn changed_rows(verb: &str, tokens: &mut Tokens<'_>, database: &str) -> Statement {
    while tokens.accept_any(&["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO", "FROM"])
    {
    }
    let Some(table) = table_name(tokens, database) else { return Statement::Dml };
    if holds_passwords(&table.database, &table.table) {
        return Statement::Account;
    }
    while tokens.accept(";") {}
    match verb {
        "DELETE" if tokens.peek().is_none() => Statement::DeleteAll(table),
        _ => Statement::Dml,
    }
}

/// Whether a word stands in the statement behind which a password may stand.
pub fn may_hold_password(sql: Sql<'_>) -> bool {
    let mut tokens = sql.tokens();
    std::iter::from_fn(|| tokens.next()).any(|token| token.is_word("IDENTIFIED") || token.is_word("PASSWORD"))
}

/// The beginning of a statement for people, on one line: values stand in no message, so there is `?` in the place of
/// strings and numbers.
pub fn without_values(sql: Sql<'_>) -> String {
    const LONGEST: usize = 120;
    let mut text = String::new();
    let mut tokens = sql.tokens();
    while let Some(token) = tokens.next() {
        if text.len() > LONGEST {
            text.push_str(" …");
            break;
        }
        let glued = matches!(token, Token::Mark('.' | ',' | ';' | ')'));
        if !glued && !text.is_empty() && !text.ends_with(['.', '(', '@']) {
            text.push(' ');
        }
        match token {
            Token::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => text.push('?'),
            Token::Word(word) => text.push_str(&word),
            Token::Quoted(name) => {
                text.push('`');
                text.extend(name.chars().map(|c| if c.is_control() { ' ' } else { c }));
                text.push('`');
            }
            Token::Text => text.push('?'),
            Token::Mark(mark) => text.push(mark),
        }
    }
    text
}
