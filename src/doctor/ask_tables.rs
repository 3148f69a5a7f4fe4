//! The questions about tables: which there are, how they are kept, and what of them cannot be read. Answers are bounded
//! by the databases that the filter can mean, where it names them.

use crate::column::charset::Charset;
use crate::column::declared::Word;
use crate::doctor::ask::answer;
use crate::doctor::facts::Cascade;
use crate::doctor::facts::TableFacts;
use crate::doctor::facts::Told;
use crate::doctor::facts::Unreadable;
use crate::doctor::facts::UnreadableColumn;
use crate::doctor::facts::WatchedTable;
use crate::mysql::catalog::hex_literal;
use crate::mysql::catalog::quote_name;
use crate::mysql::catalog::show_made_up_keys;
use crate::mysql::catalog::table_definition;
use crate::mysql::connection::Connection;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::Flavor;
use crate::schema::filter::Filter;
use crate::wire::response::ResultSet;
use std::collections::HashMap;
use std::collections::HashSet;

/// The server's own databases, whose tables nobody means.
const SYSTEM: &str = "'mysql', 'information_schema', 'performance_schema', 'sys'";

/// Tables that are asked about one by one.
const MOST_TABLES: usize = 2000;

/// Enough to name ten and say how many more there are.
const MOST_COLUMNS: usize = 1000;

/// Asks a server about the tables that the filter watches.
pub fn tables(
    connection: &mut Connection,
    flavor: Flavor,
    filter: &Filter,
) -> Result<Told<TableFacts>, SourceError> {
    answer(Survey { connection, flavor, filter, scope: scope(filter) }.run())
}

/// A condition on TABLE_SCHEMA.
fn scope(filter: &Filter) -> String {
    match filter.databases() {
        None => format!("TABLE_SCHEMA NOT IN ({SYSTEM})"),
        Some(names) => {
            let names: Vec<String> =
                names.into_iter().map(|name| format!("_utf8 {}", hex_literal(name))).collect();
            format!("TABLE_SCHEMA IN ({})", names.join(","))
        }
    }
}

struct Survey<'a> {
    connection: &'a mut Connection,
    flavor: Flavor,
    filter: &'a Filter,
    scope: String,
}

impl Survey<'_> {
    fn run(mut self) -> Told<TableFacts> {
        self.connection.query("SET NAMES utf8mb4")?;
        show_made_up_keys(self.connection)?;
        let mut facts = self.names()?;
        let keys = self.keys()?;
        for table in &mut facts.watched {
            table.has_key = keys.get(&table.name).copied().unwrap_or_default();
        }
        let watched: HashSet<String> = facts.watched.iter().map(|table| table.name.clone()).collect();
        facts.cascades = match self.flavor {
            Flavor::MySql => self.cascades(&watched)?,
            Flavor::MariaDb => self.cascades_one_by_one(&facts.watched)?,
        };
        if facts.versioned {
            self.transaction_columns(&mut facts.watched)?;
        }
        facts.unreadable = self.unreadable(&watched)?;
        facts.hidden = self.hidden(&facts)?;
        Ok(facts)
    }

    fn names(&mut self) -> Told<TableFacts> {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
             WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {}",
            self.scope
        );
        let told = self.connection.query(&sql)?;
        let rows: Vec<[String; 4]> = (0..told.rows.len()).map(|row| texts(&told, row)).collect();
        let unmatched = self
            .filter
            .unmatched(rows.iter().map(|[database, table, ..]| (database.as_str(), table.as_str())));
        let owned = |entries: Vec<&str>| entries.into_iter().map(str::to_owned).collect();
        let (unmatched_white, unmatched_black) = (owned(unmatched.white), owned(unmatched.black));
        let watched = rows.iter().filter(|[database, table, ..]| self.filter.watches(database, table));
        let watched = watched.map(|[database, table, _, engine]| WatchedTable {
            name: format!("{database}.{table}"),
            engine: engine.clone(),
            has_key: false,
            transaction_columns: Vec::new(),
        });
        let watched = watched.collect();
        Ok(TableFacts {
            watched,
            versioned: rows.iter().any(|[_, _, kind, _]| kind == "SYSTEM VERSIONED"),
            visible: rows.len(),
            unmatched_white,
            unmatched_black,
            ..TableFacts::default()
        })
    }

    /// For each table with unique keys: whether one identifies its rows.
    fn keys(&mut self) -> Told<HashMap<String, bool>> {
        // A part without a column is an expression.
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, \
             SUM(NULLABLE = 'YES' OR SUB_PART IS NOT NULL OR COLUMN_NAME IS NULL) \
             FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {} GROUP BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME",
            self.scope
        );
        let told = self.connection.query(&sql)?;
        let mut keys: HashMap<String, bool> = HashMap::new();
        for row in 0..told.rows.len() {
            let [database, table, _, loose] = texts(&told, row);
            *keys.entry(format!("{database}.{table}")).or_default() |= loose == "0";
        }
        Ok(keys)
    }

    /// The columns of MariaDB's system versioning that count transactions.
    fn transaction_columns(&mut self, watched: &mut [WatchedTable]) -> Told<()> {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
             WHERE GENERATION_EXPRESSION IN ('ROW START', 'ROW END') AND DATA_TYPE = 'bigint' AND {}",
            self.scope
        );
        let told = self.connection.query(&sql)?;
        for row in 0..told.rows.len() {
            let [database, table, column] = texts(&told, row);
            let name = format!("{database}.{table}");
            for table in watched.iter_mut().filter(|table| table.name == name) {
                table.transaction_columns.push(column.clone());
            }
        }
        Ok(())
    }

    fn cascades(&mut self, watched: &HashSet<String>) -> Told<Vec<Cascade>> {
        let sql = format!(
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE, UPDATE_RULE \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {} \
             AND NOT (DELETE_RULE IN ('RESTRICT', 'NO ACTION') AND UPDATE_RULE IN ('RESTRICT', 'NO ACTION'))",
            self.scope.replace("TABLE_SCHEMA", "CONSTRAINT_SCHEMA")
        );
        let told = self.connection.query(&sql)?;
        let acts = |rule: &str| !matches!(rule, "RESTRICT" | "NO ACTION");
        let cascade = |row| {
            let [database, table, constraint, delete, update] = texts(&told, row);
            let rules = [("ON DELETE", delete), ("ON UPDATE", update)];
            let rules =
                rules.iter().filter(|(_, rule)| acts(rule)).map(|(when, rule)| format!("{when} {rule}"));
            let rule = rules.collect::<Vec<_>>().join(" ");
            Cascade { table: format!("{database}.{table}"), constraint, rule }
        };
        Ok((0..told.rows.len()).map(cascade).filter(|cascade| watched.contains(&cascade.table)).collect())
    }

    /// MariaDB shows foreign keys in its catalog only to those who may do more than read.
    fn cascades_one_by_one(&mut self, watched: &[WatchedTable]) -> Told<Vec<Cascade>> {
        let mut found = Vec::new();
        for table in watched.iter().filter(|table| table.engine == "InnoDB").take(MOST_TABLES) {
            let (database, name) = table.name.split_once('.').unwrap_or_default();
            let sql = format!("SHOW CREATE TABLE {}.{}", quote_name(database), quote_name(name));
            // Dropped in between, or seen by its name alone.
            let Ok(told) = answer(self.connection.query(&sql))? else { continue };
            let definition = told.text(0, 1).unwrap_or_default();
            found.extend(definition.lines().filter_map(foreign_key).map(|(constraint, rule)| Cascade {
                table: table.name.clone(),
                constraint,
                rule,
            }));
        }
        Ok(found)
    }

    /// First which types and character sets there are at all, so that whole catalogs need not travel.
    fn unreadable(&mut self, watched: &HashSet<String>) -> Told<Vec<UnreadableColumn>> {
        let sql = format!(
            "SELECT DISTINCT DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE {}",
            self.scope
        );
        let told = self.connection.query(&sql)?;
        let mut conditions: Vec<String> = Vec::new();
        for row in 0..told.rows.len() {
            let [data_type, charset] = texts(&told, row);
            if unreadable(&data_type, &charset).is_some() {
                let (data_type, charset) = (hex_literal(&data_type), hex_literal(&charset));
                conditions.push(format!(
                    "(DATA_TYPE = _utf8 {data_type} AND IFNULL(CHARACTER_SET_NAME, '') = _utf8 {charset})"
                ));
            }
        }
        if conditions.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS \
             WHERE {} AND ({}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
            self.scope,
            conditions.join(" OR ")
        );
        let told = self.connection.query(&sql)?;
        let column = |row| {
            let [database, table, column, data_type, charset] = texts(&told, row);
            let name = format!("{database}.{table}");
            let why = unreadable(&data_type, &charset)?;
            watched.contains(&name).then(|| UnreadableColumn { name: format!("{name}.{column}"), why })
        };
        Ok((0..told.rows.len()).filter_map(column).take(MOST_COLUMNS).collect())
    }

    /// Tables of the white list that are not seen: those that are there, and that the account may not look at.
    fn hidden(&mut self, facts: &TableFacts) -> Told<Vec<(String, SourceError)>> {
        let mut hidden = Vec::new();
        for (database, table) in self.filter.exact_white() {
            let entry = format!("{database}.{table}");
            if facts.unmatched_white.contains(&entry)
                && let Err(error) = answer(table_definition(self.connection, database, table))?
            {
                hidden.push((entry, error));
            }
        }
        Ok(hidden)
    }
}

/// Why a column of this type and character set (empty: none) cannot be read.
fn unreadable(data_type: &str, charset: &str) -> Option<Unreadable> {
    if !Word::is_known(data_type) {
        return Some(Unreadable::Type(data_type.to_owned()));
    }
    let known = charset.is_empty() || Charset::from_name(charset).is_some();
    (!known).then(|| Unreadable::Charset(charset.to_owned()))
}

/// Constraint and rules of a line such as `CONSTRAINT `c` FOREIGN KEY (…) REFERENCES … (…) ON DELETE SET NULL`.
fn foreign_key(line: &str) -> Option<(String, String)> {
    let (constraint, rest) = line.trim().strip_prefix("CONSTRAINT `")?.split_once("` FOREIGN KEY ")?;
    let (_, rules) = rest.rsplit_once(')')?;
    let rules = rules.trim().trim_end_matches(',');
    let acts = rules.contains("CASCADE") || rules.contains("SET NULL") || rules.contains("SET DEFAULT");
    acts.then(|| (constraint.replace("``", "`"), rules.to_owned()))
}

/// A row's first values, NULL as nothing.
fn texts<const N: usize>(told: &ResultSet, row: usize) -> [String; N] {
    std::array::from_fn(|column| told.text(row, column).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_what_the_filter_can_mean() {
        let filter = |white| Filter::new(white, "").unwrap();
        assert_eq!(scope(&filter("a.x,b.y,a.z")), "TABLE_SCHEMA IN (_utf8 x'61',_utf8 x'62')");
        assert!(scope(&filter("")).contains("NOT IN ('mysql'"));
        assert!(scope(&filter("a.x,b[.]y")).contains("NOT IN"));
    }

    #[test]
    fn foreign_keys_that_act_are_found_in_a_definition() {
        let line = "  CONSTRAINT `to``p` FOREIGN KEY (`a`, `b`) REFERENCES `s`.`p` (`a`, `b`) ON DELETE SET NULL ON UPDATE CASCADE,";
        let expected = ("to`p".to_owned(), "ON DELETE SET NULL ON UPDATE CASCADE".to_owned());
        assert_eq!(foreign_key(line), Some(expected));
        assert_eq!(foreign_key("  CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `p` (`a`)"), None);
        assert_eq!(
            foreign_key("  CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `p` (`a`) ON DELETE NO ACTION"),
            None
        );
        assert_eq!(foreign_key("  KEY `c` (`a`)"), None);
    }

    #[test]
    fn unknown_types_and_sets_are_named() {
        assert_eq!(unreadable("int", ""), None);
        assert_eq!(unreadable("VARCHAR", "utf8mb4"), None);
        assert_eq!(unreadable("xmltype", ""), Some(Unreadable::Type("xmltype".into())));
        assert_eq!(unreadable("text", "klingon"), Some(Unreadable::Charset("klingon".into())));
    }
}
