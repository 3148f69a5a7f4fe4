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

pub struct Applier<'a> {
    target: &'a Server,
    session: Session,
    /// What sessions that run DDL are set to.
    ddl_mode: String,
    tables: HashMap<TableName, Vec<Column>>,
    /// The rows of the transaction in work: their places in it, and SQL.
    open: Vec<(u64, String)>,
    /// Inserts, updates, deletes of it.
    counts: [u64; 3],
    mark: Option<u64>,
    pub rows: usize,
}

impl<'a> Applier<'a> {
    pub fn new(target: &'a Server, sql_mode: &str) -> Applier<'a> {
        let mut session = target.session();
        session.sql(ROWS);
        let ddl_mode = format!("SET time_zone='+00:00', foreign_key_checks=0, sql_mode='{sql_mode}'");
        Applier {
            target,
            session,
            ddl_mode,
            tables: HashMap::new(),
            open: Vec::new(),
            counts: [0; 3],
            mark: None,
            rows: 0,
        }
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
                self.open.retain(|(row, _)| *row < from);
                self.counts = [0; 3];
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
        self.counts[0] += 1;
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
        let sql = statement(&full_name(&table), columns, line)?;
        let kind = ["insert", "update", "delete"].iter().position(|op| *op == line.op);
        self.counts[kind.ok_or("no row")?] += 1;
        self.open.push((line.row.ok_or("a row without its place")?, sql));
        Ok(())
    }

    fn commit(&mut self, line: &Line) -> Result<(), String> {
        let told = [line.inserts, line.updates, line.deletes].map(Option::unwrap_or_default);
        let came = std::mem::take(&mut self.counts);
        self.flush()?;
        // A rollback has taken rows back that this does not know the kinds of.
        if came.iter().sum::<u64>() > 0 && came != told {
            return Err(format!("{came:?} rows came, and commit tells {told:?}"));
        }
        Ok(())
    }

    /// One message a transaction, cut where it grows large.
    fn flush(&mut self) -> Result<(), String> {
        self.rows += self.open.len();
        let mut sql = String::from("BEGIN");
        for (_, statement) in self.open.drain(..) {
            sql.push_str(";\n");
            sql.push_str(&statement);
            if sql.len() > 1 << 20 {
                run(&mut self.session, &sql)?;
                sql = String::from("DO 0");
            }
        }
        run(&mut self.session, &(sql + ";\nCOMMIT"))
    }

    fn ddl(&mut self, line: &Line) -> Result<(), String> {
        self.flush()?;
        self.counts = [0; 3];
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
    match session.try_select(sql) {
        Ok(_) => Ok(()),
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
    Some(kept.strip_suffix("START TRANSACTION").map(str::to_owned).unwrap_or(kept))
}

/// The SQL of a row.
fn statement(table: &str, columns: &[Column], line: &Line) -> Result<String, String> {
    if columns.is_empty() {
        return Err(format!("there is no table {table}"));
    }
    let find = |wanted: &str| {
        columns.iter().find(|column| column.name == wanted).ok_or(format!("{table} has no column {wanted:?}"))
    };
    let after = line.after.as_ref();
    let mut names = Vec::new();
    let mut values = Vec::new();
    for (column, value) in after.into_iter().flatten() {
        let column = find(column)?;
        names.push(name(&column.name));
        values.push(column.literal(value)?);
    }
    if line.op == "insert" {
        return Ok(format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), values.join(",")));
    }
    let before = line.before.as_ref().ok_or("no before-image")?;
    let row = row_condition(columns, before, line.key.as_deref())?;
    if line.op == "delete" {
        return Ok(format!("DELETE FROM {table} WHERE {row} LIMIT 1"));
    }
    let mut sets: Vec<String> =
        names.iter().zip(&values).map(|(name, value)| format!("{name}={value}")).collect();
    for column in columns.iter().filter(|column| column.changes_itself) {
        let name = name(&column.name);
        if !names.contains(&name) {
            sets.push(format!("{name}={name}"));
        }
    }
    if sets.is_empty() {
        return Ok("DO 0".to_owned());
    }
    Ok(format!("UPDATE {table} SET {} WHERE {row} LIMIT 1", sets.join(",")))
}

fn row_condition(columns: &[Column], before: &Image, key: Option<&[String]>) -> Result<String, String> {
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
        false => Ok(conditions.join(" AND ")),
    }
}
