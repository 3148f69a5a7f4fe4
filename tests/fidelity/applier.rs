//! A small, dumb applier: what is delivered, as SQL for another server. It knows lines and SQL, nothing of fountain.
//!
//! Only what was delivered counts there: triggers are not made, foreign keys not looked at, generated columns are plain
//! ones ([`GENERATED`]), and columns that change by themselves are held.

use super::line::Image;
use super::line::Line;
use super::literal::Column;
use super::literal::name;
use super::table::TableName;
use super::table::columns;
use super::table::full_name;
use crate::harness::Server;
use crate::harness::Session;
use std::collections::HashMap;

/// The comments that the generator puts around what makes a column a generated one.
pub const GENERATED: (&str, &str) = ("/*generated*/", "/*here*/");
/// The database of the marks, which are not applied.
pub const MARKS: &str = "fidelity_marks";

/// Zeros and zero dates are values; what does not fit is cut, which the comparison then shows.
const ROWS: &str =
    "SET time_zone='+00:00', foreign_key_checks=0, sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'";

/// A row that waits for the end of its transaction.
struct Pending {
    /// Its place in the transaction.
    row: u64,
    table: String,
    /// What together finds it; nothing for an insert.
    conditions: Vec<String>,
    sql: String,
}

pub struct Applier<'a> {
    target: &'a Server,
    session: Session,
    /// What sessions that run DDL are set to.
    ddl_mode: String,
    tables: HashMap<TableName, Vec<Column>>,
    /// The rows of the transaction in work.
    open: Vec<Pending>,
    mark: Option<u64>,
    pub rows: usize,
}

impl<'a> Applier<'a> {
    pub fn new(target: &'a Server, sql_mode: &str) -> Applier<'a> {
        let mut session = target.session();
        session.sql(ROWS);
        let ddl_mode = format!("SET time_zone='+00:00', foreign_key_checks=0, sql_mode='{sql_mode}'");
        Applier { target, session, ddl_mode, tables: HashMap::new(), open: Vec::new(), mark: None, rows: 0 }
    }

    /// Applies a line; the mark that it ends, if any.
    pub fn apply(&mut self, text: &str) -> Result<Option<u64>, String> {
        let line = Line::parse(text)?;
        let done = match line.op.as_str() {
            "begin" if self.open.is_empty() => Ok(()),
            "insert" | "update" | "delete" if line.database == MARKS => self.note_mark(&line),
            "insert" | "update" | "delete" => self.row(&line),
            "rollback" => {
                let from = line.from_row.unwrap_or_default();
                self.open.retain(|pending| pending.row < from);
                Ok(())
            }
            "commit" => self.commit(&line),
            "ddl" => self.ddl(&line),
            op => Err(format!("{op} is not expected here")),
        };
        done.map_err(|why| format!("{why}\n  line: {text:.3000}"))?;
        Ok(if line.op == "commit" { self.mark.take() } else { None })
    }

    fn note_mark(&mut self, line: &Line) -> Result<(), String> {
        let number = line.after.as_ref().and_then(|after| after.get("n"));
        self.mark = number.and_then(|number| number.get().parse().ok());
        self.mark.map(|_| ()).ok_or_else(|| "a mark without a number".to_owned())
    }

    fn row(&mut self, line: &Line) -> Result<(), String> {
        let table = (line.database.clone(), line.table.clone());
        if !self.tables.contains_key(&table) {
            let columns = columns(&mut self.session, &table);
            self.tables.insert(table.clone(), columns);
        }
        let columns = &self.tables[&table];
        let pending = statement(&full_name(&table), columns, line)?;
        self.open.push(pending);
        Ok(())
    }

    fn commit(&mut self, line: &Line) -> Result<(), String> {
        let told = [line.inserts, line.updates, line.deletes].map(Option::unwrap_or_default);
        let came = ["INSERT", "UPDATE", "DELETE"]
            .map(|verb| self.open.iter().filter(|pending| pending.sql.starts_with(verb)).count() as u64);
        // A mark's row is not kept.
        if self.mark.is_none() && came.iter().sum::<u64>() > 0 && came != told {
            return Err(format!("{came:?} rows came, and commit tells {told:?}"));
        }
        self.flush()
    }

    /// One message a transaction, cut where it grows large.
    fn flush(&mut self) -> Result<(), String> {
        let rows = std::mem::take(&mut self.open);
        self.rows += rows.len();
        let mut sql = String::from("SET @lost=NULL; BEGIN");
        for Pending { row, table, conditions, sql: statement } in &rows {
            if !conditions.is_empty() {
                // An UPDATE that changes nothing does not count the row.
                let found = conditions.join(" AND ");
                sql += &format!(
                    ";\nSET @lost=IF(EXISTS(SELECT 1 FROM {table} WHERE {found}),@lost,IFNULL(@lost,{row}))"
                );
            }
            sql += &format!(";\n{statement}");
            if sql.len() > 1 << 20 {
                run(&mut self.session, &sql)?;
                sql = String::from("DO 0");
            }
        }
        sql += ";\nCOMMIT; SELECT @lost";
        let lost = ask(&mut self.session, &sql)?;
        let lost = rows.iter().find(|pending| lost.first() == Some(&Some(pending.row.to_string())));
        lost.map_or(Ok(()), |pending| Err(self.why_lost(pending)))
    }

    /// The conditions that the row which is most like the lost one does not fulfil.
    fn why_lost(&mut self, lost: &Pending) -> String {
        let conditions = &lost.conditions;
        let sum =
            conditions.iter().map(|condition| format!("IFNULL({condition},0)")).collect::<Vec<_>>().join("+");
        let sql = format!("SELECT {} FROM {} ORDER BY {sum} DESC LIMIT 1", conditions.join(","), lost.table);
        let nearest = ask(&mut self.session, &sql).unwrap_or_default();
        let failed = conditions.iter().zip(nearest).filter(|(_, holds)| holds.as_deref() != Some("1"));
        let failed: Vec<&str> = failed.map(|(condition, _)| condition.as_str()).collect();
        format!("{} has no such row; the nearest one does not fulfil {failed:?}", lost.table)
    }

    fn ddl(&mut self, line: &Line) -> Result<(), String> {
        self.flush()?;
        self.tables.clear();
        let sql = line.sql.as_deref().ok_or("a ddl without its text")?;
        let Some(sql) = for_the_target(sql) else { return Ok(()) };
        if line.database == MARKS || sql.contains(MARKS) {
            return Ok(());
        }
        let mut session = self.target.session();
        session.sql(&self.ddl_mode);
        // The session's database may be gone by then: the statement did not need it.
        if !line.database.is_empty() {
            drop(session.try_select(&format!("USE {}", name(&line.database))));
        }
        run(&mut session, &sql)
    }
}

fn run(session: &mut Session, sql: &str) -> Result<(), String> {
    ask(session, sql).map(drop)
}

/// The first row of the last answer.
fn ask(session: &mut Session, sql: &str) -> Result<Vec<Option<String>>, String> {
    match session.try_select(sql) {
        Ok(rows) => Ok(rows
            .into_iter()
            .next()
            .unwrap_or_default()
            .into_iter()
            .map(|value| value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            .collect()),
        Err(error) => Err(format!("the target says {error}\n  of: {sql:.3000}")),
    }
}

/// The statement without what would do more than what is delivered.
fn for_the_target(sql: &str) -> Option<String> {
    let words: Vec<String> = sql.split_whitespace().take(12).map(str::to_uppercase).collect();
    if matches!(words.first().map(String::as_str), Some("CREATE" | "DROP"))
        && words.iter().any(|w| w == "TRIGGER")
    {
        return None;
    }
    let mut kept = String::new();
    let mut rest = sql;
    while let Some((before, behind)) = rest.split_once(GENERATED.0) {
        kept.push_str(before);
        rest = behind.split_once(GENERATED.1).map_or("", |(_, behind)| behind);
    }
    kept.push_str(rest);
    // MySQL's CREATE TABLE … SELECT: its rows come as rows.
    Some(kept.replace(") START TRANSACTION", ")"))
}

/// A row as SQL.
fn statement(table: &str, columns: &[Column], line: &Line) -> Result<Pending, String> {
    if columns.is_empty() {
        return Err(format!("there is no table {table}"));
    }
    let row = line.row.ok_or("a row without its place")?;
    let mut sets = Vec::new();
    for (column, value) in line.after.iter().flatten() {
        let known = columns.iter().find(|known| known.name == *column);
        let known = known.ok_or_else(|| format!("{table} has no column {column:?}"))?;
        sets.push((name(column), known.literal(value)?));
    }
    let conditions = match &line.before {
        Some(before) => conditions(columns, before, line.key.as_deref())?,
        None => Vec::new(),
    };
    let found = conditions.join(" AND ");
    let sql = match line.op.as_str() {
        "insert" => {
            let (names, values): (Vec<_>, Vec<_>) = sets.into_iter().unzip();
            format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), values.join(","))
        }
        "delete" => format!("DELETE FROM {table} WHERE {found} LIMIT 1"),
        _ => {
            for column in columns.iter().filter(|column| column.changes_itself) {
                let name = name(&column.name);
                if !sets.iter().any(|(set, _)| *set == name) {
                    sets.push((name.clone(), name));
                }
            }
            let sets: Vec<String> = sets.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            if sets.is_empty() {
                "DO 0".to_owned()
            } else {
                format!("UPDATE {table} SET {} WHERE {found} LIMIT 1", sets.join(","))
            }
        }
    };
    Ok(Pending { row, table: table.to_owned(), conditions, sql })
}

/// What the row is found by: its key, or all of its values.
fn conditions(columns: &[Column], before: &Image, key: Option<&[String]>) -> Result<Vec<String>, String> {
    let key = key.unwrap_or_default();
    if let Some(missing) = key.iter().find(|column| !before.contains_key(*column)) {
        return Err(format!("the before-image lacks {missing:?} of the key"));
    }
    let mut conditions = Vec::new();
    for column in columns {
        let Some(value) = before.get(&column.name) else { continue };
        if key.is_empty() || key.contains(&column.name) {
            conditions.push(column.is(value)?);
        }
    }
    match conditions.is_empty() {
        true => Err("the before-image holds nothing to find the row by".to_owned()),
        false => Ok(conditions),
    }
}
