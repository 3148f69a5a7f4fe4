//! The watched tables: what of them cannot be told apart, is not logged, or cannot be read.

use crate::code::Code;
use crate::doctor::facts::TableFacts;
use crate::doctor::facts::Unreadable;
use crate::doctor::facts::WatchedTable;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use crate::doctor::rules::listed;
use crate::mysql::advice::logs_cascades;
use crate::mysql::catalog::quote_name;
use crate::mysql::preflight::ServerFacts;

/// What of the account and the server counts for tables.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    pub server: &'a ServerFacts,
    /// `'repl'@'%'`
    pub account: &'a str,
    /// The account sees every table there is.
    pub sees_all: bool,
}

pub fn tables(facts: &TableFacts, sight: Sight<'_>) -> Vec<Finding> {
    let mut findings = vec![summary(facts, sight)];
    findings.extend(select_missing(facts, sight));
    findings.extend(unmatched(facts, sight));
    findings.extend(no_key(&facts.watched));
    if !logs_cascades(sight.server) {
        findings.extend(cascades(facts));
    }
    findings.extend(versioned_by_transaction(&facts.watched));
    findings.extend(engines(&facts.watched));
    findings.extend(unreadable(facts));
    findings
}

/// With full metadata the log itself says everything.
fn needs_select(server: &ServerFacts) -> bool {
    !server.variable("binlog_row_metadata").is_some_and(|value| value.eq_ignore_ascii_case("FULL"))
}

fn summary(facts: &TableFacts, sight: Sight<'_>) -> Finding {
    let blind = match (sight.sees_all, facts.visible) {
        (true, _) => "",
        (false, 0) => {
            "; the account has no SELECT and sees no tables, so entries of the filter cannot be compared"
        }
        (false, _) => "; there may be more that the account does not see",
    };
    let text =
        format!("{} tables are watched of {} that are seen{blind}", facts.watched.len(), facts.visible);
    Finding::fine(Topic::Tables, text)
}

fn select_missing(facts: &TableFacts, sight: Sight<'_>) -> Option<Finding> {
    if !needs_select(sight.server) {
        return None;
    }
    let why = "rows are logged without full metadata, so their columns are looked up on the server";
    if !facts.hidden.is_empty() {
        let names: Vec<&str> = facts.hidden.iter().map(|(name, _)| name.as_str()).collect();
        let (_, error) = &facts.hidden[0];
        let cure = error.advice().unwrap_or("grant SELECT on these tables").to_owned();
        let text = format!("no SELECT on {}: {why}: {}", listed(&names), error.text());
        return Some(Finding::error(Code::RightMissing, text, cure));
    }
    let open = facts.watched.is_empty() && facts.visible == 0 && !sight.sees_all;
    open.then(|| {
        Finding::error(
            Code::RightMissing,
            format!("the account has no SELECT on any table: {why}"),
            format!(
                "run on the server: GRANT SELECT ON *.* TO {} (or on the watched tables alone)",
                sight.account
            ),
        )
    })
}

/// An entry that the account cannot see may still be there.
fn unmatched(facts: &TableFacts, sight: Sight<'_>) -> Vec<Finding> {
    if facts.visible == 0 && !sight.sees_all {
        return Vec::new();
    }
    let seen = |entry: &&String| !facts.hidden.iter().any(|(name, _)| name == *entry);
    let lists = [
        ("filter_shard_table_white", &facts.unmatched_white),
        ("filter_shard_table_black", &facts.unmatched_black),
    ];
    let findings = lists.into_iter().filter_map(|(key, entries)| {
        let entries: Vec<&String> = entries.iter().filter(seen).collect();
        (!entries.is_empty()).then(|| {
            Finding::warn(
                Code::FilterUnmatched,
                format!("{key}: no table of this server matches {}", listed(&entries)),
                format!("correct the entry in {key} (capitals count), or take it out"),
            )
        })
    });
    findings.collect()
}

fn names(tables: &[WatchedTable], which: impl Fn(&WatchedTable) -> bool) -> Vec<&str> {
    tables.iter().filter(|table| which(table)).map(|table| table.name.as_str()).collect()
}

fn quoted(name: &str) -> String {
    let (database, table) = name.split_once('.').unwrap_or(("", name));
    format!("`{}`.`{}`", database.replace('`', "``"), table.replace('`', "``"))
}

fn no_key(tables: &[WatchedTable]) -> Option<Finding> {
    let names = names(tables, |table| !table.has_key);
    let first = names.first()?;
    Some(Finding::warn(
        Code::NoKey,
        format!(
            "no primary key and no unique key without NULLs, so that rows cannot be told apart: {}",
            listed(&names)
        ),
        format!("run on the server: ALTER TABLE {} ADD PRIMARY KEY (…)", quoted(first)),
    ))
}

fn cascades(facts: &TableFacts) -> Option<Finding> {
    let shown = facts.cascades.iter().map(|key| format!("{} ({} {})", key.table, key.constraint, key.rule));
    let shown: Vec<String> = shown.collect();
    let first = facts.cascades.first()?;
    Some(Finding::warn(
        Code::FkCascade,
        format!(
            "foreign keys change rows of these tables, and this server does not log that: {}",
            listed(&shown)
        ),
        format!(
            "run on the server: ALTER TABLE {} DROP FOREIGN KEY `{}` (and add it again without CASCADE and SET NULL, letting \
             the application change those rows), or take MySQL 9.6 or newer",
            quoted(&first.table),
            first.constraint.replace('`', "``")
        ),
    ))
}

/// `THD::decide_logging_format` in MariaDB's sql/sql_class.cc.
fn versioned_by_transaction(tables: &[WatchedTable]) -> Option<Finding> {
    let names = names(tables, |table| !table.transaction_columns.is_empty());
    let first = tables.iter().find(|table| !table.transaction_columns.is_empty())?;
    let columns =
        first.transaction_columns.iter().map(|column| format!(", DROP COLUMN {}", quote_name(column)));
    Some(Finding::error(
        Code::Statement,
        format!(
            "system versioning by transaction (BIGINT columns): whatever binlog_format is, the server logs changes of these \
             tables as statements, which stop the shard: {}",
            listed(&names)
        ),
        format!(
            "run on the server: SET SESSION system_versioning_alter_history=KEEP; ALTER TABLE {} DROP SYSTEM VERSIONING{} \
             (and ADD SYSTEM VERSIONING, which goes by time)",
            quoted(&first.name),
            columns.collect::<String>()
        ),
    ))
}

/// What an engine keeps from the binlog.
fn engines(tables: &[WatchedTable]) -> Option<Finding> {
    let bad = |table: &WatchedTable| {
        let engine = table.engine.to_ascii_uppercase();
        !matches!(engine.as_str(), "INNODB" | "ROCKSDB" | "TOKUDB" | "NDBCLUSTER" | "MYROCKS" | "XTRADB")
    };
    let first = tables.iter().find(|table| bad(table))?;
    let shown =
        tables.iter().filter(|table| bad(table)).map(|table| format!("{} ({})", table.name, table.engine));
    let shown: Vec<String> = shown.collect();
    Some(Finding::warn(
        Code::TableEngine,
        format!(
            "engines without transactions keep rows of what was rolled back or broken off, MEMORY loses rows when the server \
             restarts, BLACKHOLE, FEDERATED and their like change rows that are not logged: {}",
            listed(&shown)
        ),
        format!("run on the server: ALTER TABLE {} ENGINE=InnoDB", quoted(&first.name)),
    ))
}

fn unreadable(facts: &TableFacts) -> Vec<Finding> {
    let shown = |wanted: fn(&Unreadable) -> Option<&String>| -> Vec<String> {
        let columns = facts.unreadable.iter();
        columns.filter_map(|column| Some(format!("{} ({})", column.name, wanted(&column.why)?))).collect()
    };
    let types = shown(|why| match why {
        Unreadable::Type(name) => Some(name),
        Unreadable::Charset(_) => None,
    });
    let charsets = shown(|why| match why {
        Unreadable::Charset(name) => Some(name),
        Unreadable::Type(_) => None,
    });
    let cure = "change these columns, or leave their tables out by filter_shard_table_black";
    let mut findings = Vec::new();
    if !types.is_empty() {
        let text = format!(
            "columns of types that this version cannot read, which stop the shard: {}",
            listed(&types)
        );
        findings.push(Finding::error(Code::Unsupported, text, cure));
    }
    if let Some(first) = facts.unreadable.iter().find(|column| matches!(column.why, Unreadable::Charset(_))) {
        let table = first.name.rsplit_once('.').map_or(first.name.as_str(), |(table, _)| table);
        let text = format!(
            "columns of character sets that this version cannot convert, which stop the shard: {}",
            listed(&charsets)
        );
        let cure = format!(
            "run on the server: ALTER TABLE {} CONVERT TO CHARACTER SET utf8mb4, or leave the table out by \
                            filter_shard_table_black",
            quoted(table)
        );
        findings.push(Finding::error(Code::CharsetUnknown, text, cure));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Cascade;
    use crate::doctor::facts::UnreadableColumn;
    use crate::doctor::finding::Level;

    fn table(name: &str) -> WatchedTable {
        WatchedTable {
            name: name.into(),
            engine: "InnoDB".into(),
            has_key: true,
            transaction_columns: Vec::new(),
        }
    }

    fn judged(facts: &TableFacts, server: &[(&str, &str)], sees_all: bool) -> Vec<&'static str> {
        let server = ServerFacts::of(server);
        let found = tables(facts, Sight { server: &server, account: "'r'@'%'", sees_all });
        assert!(
            found.iter().all(|finding| finding.level == Level::Ok || finding.cure.is_some()),
            "{found:?}"
        );
        found.iter().map(|finding| finding.code).collect()
    }

    fn facts(watched: Vec<WatchedTable>) -> TableFacts {
        TableFacts { visible: watched.len(), watched, ..TableFacts::default() }
    }

    #[test]
    fn sound_tables_have_one_line() {
        assert_eq!(judged(&facts(vec![table("a.b")]), &[], true), ["TABLES"]);
    }

    #[test]
    fn each_flaw_has_its_code() {
        let keyless = WatchedTable { has_key: false, ..table("a.b") };
        assert_eq!(judged(&facts(vec![keyless]), &[], true), ["TABLES", "NO_KEY"]);
        let versioned = WatchedTable { transaction_columns: vec!["s".into()], ..table("a.b") };
        assert_eq!(judged(&facts(vec![versioned]), &[], true), ["TABLES", "STATEMENT_DML"]);
        for engine in ["MEMORY", "BLACKHOLE", "MyISAM", "Aria", "FEDERATED"] {
            let engine = WatchedTable { engine: engine.into(), ..table("a.b") };
            assert_eq!(judged(&facts(vec![engine]), &[], true), ["TABLES", "TABLE_ENGINE"]);
        }
        let column = |why| UnreadableColumn { name: "a.b.c".into(), why };
        let unreadable =
            vec![column(Unreadable::Type("xml".into())), column(Unreadable::Charset("gbx".into()))];
        let facts = TableFacts { unreadable, ..facts(vec![table("a.b")]) };
        assert_eq!(judged(&facts, &[], true), ["TABLES", "UNSUPPORTED", "CHARSET_UNKNOWN"]);
    }

    #[test]
    fn cascades_count_where_they_are_not_logged() {
        let cascade =
            Cascade { table: "a.b".into(), constraint: "fk".into(), rule: "ON DELETE CASCADE".into() };
        let facts = TableFacts { cascades: vec![cascade], ..facts(vec![table("a.b")]) };
        assert_eq!(judged(&facts, &[], true), ["TABLES", "FK_CASCADE"]);
        assert_eq!(judged(&facts, &[("innodb_native_foreign_keys", "OFF")], true), ["TABLES"]);
    }

    #[test]
    fn select_is_needed_unless_the_log_says_everything() {
        let none = TableFacts { unmatched_white: vec!["a.b".into()], ..TableFacts::default() };
        assert_eq!(judged(&none, &[], false), ["TABLES", "RIGHT_MISSING"]);
        assert_eq!(judged(&none, &[("binlog_row_metadata", "FULL")], false), ["TABLES"]);
        assert_eq!(judged(&none, &[], true), ["TABLES", "FILTER_UNMATCHED"]);
    }

    #[test]
    fn names_are_quoted_for_the_server() {
        assert_eq!(quoted("a`b.c"), "`a``b`.`c`");
    }
}
