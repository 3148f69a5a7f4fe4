//! The tables that TABLE_MAP events have introduced, by table id, each with its plan.

use crate::binlog::table_map::TableMapEvent;
use crate::change::assembler::touching::Touching;
use crate::change::error::ChangeError;
use crate::code::Code;
use crate::schema::definition::TableDefinition;
use crate::schema::filter::Filter;
use crate::schema::plan::TablePlan;
use crate::schema::resolve::LoggedTable;
use crate::schema::resolve::ResolveError;
use std::collections::HashMap;
use std::sync::Arc;

/// Table ids kept at most. A server gives a table a new id whenever it opens it anew, so ids that are no longer used
/// pile up in a long life; a table that is used again is mapped again first.
const MAX_TABLES: usize = 20_000;
/// Columns of these tables at most, about 200 bytes each: 20 000 tables of 4096 columns would need gigabytes.
const MAX_COLUMNS: usize = 1 << 19;

/// Where an event starts, in the file that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace<'a> {
    pub file: &'a str,
    pub pos: u64,
}

/// Whoever knows definitions besides the events themselves.
pub trait Definitions {
    /// The table as it was defined when its rows at a place were logged; `None` when it is not known to anybody.
    fn definition(
        &mut self,
        at: LogPlace<'_>,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError>;

    /// Another definition: asked for when the first one does not fit the rows.
    fn second_definition(
        &mut self,
        _at: LogPlace<'_>,
        _database: &str,
        _table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        Ok(None)
    }

    /// A statement at that place may have changed definitions.
    fn touched(
        &mut self,
        _touching: &Touching,
        _at: LogPlace<'_>,
        _filter: &Filter,
    ) -> Result<(), ChangeError> {
        Ok(())
    }

    /// Nobody knows the table and the event does not say everything: an error, or rows without names are good enough.
    fn missing(&mut self, database: &str, table: &str) -> Result<(), ChangeError>;
}

/// A table that rows may name.
#[derive(Debug)]
pub struct Table {
    pub plan: Arc<TablePlan>,
    pub watched: bool,
    /// The event's bytes: a repeated map costs a comparison.
    body: Box<[u8]>,
}

/// All tables of one stream.
#[derive(Debug)]
pub struct Tables<D> {
    definitions: D,
    by_id: HashMap<u64, Table>,
    /// Columns of all tables that were taken since all were forgotten.
    columns: usize,
}

impl<D: Definitions> Tables<D> {
    pub fn new(definitions: D) -> Self {
        Self { definitions, by_id: HashMap::new(), columns: 0 }
    }

    pub fn definitions(&mut self) -> &mut D {
        &mut self.definitions
    }

    /// Forgets tables when they have become too many. Between transactions: within one, rows still name them.
    #[inline]
    pub fn trim(&mut self) {
        if self.by_id.len() >= MAX_TABLES || self.columns >= MAX_COLUMNS {
            self.forget();
        }
    }

    /// Forgets all tables: the server has been started anew, and gives the ids it gave before to others.
    pub fn forget(&mut self) {
        self.by_id.clear();
        self.columns = 0;
    }

    /// A statement may have changed definitions: what it touches is resolved anew.
    pub fn touched(
        &mut self,
        touching: &Touching,
        at: LogPlace<'_>,
        filter: &Filter,
    ) -> Result<(), ChangeError> {
        self.by_id.retain(|_, table| !touching.touched.touches(&table.plan.database, &table.plan.table));
        self.definitions.touched(touching, at, filter)
    }

    /// Takes a TABLE_MAP event.
    pub fn map(
        &mut self,
        map: &TableMapEvent<'_>,
        at: LogPlace<'_>,
        filter: &Filter,
    ) -> Result<(), ChangeError> {
        if self.by_id.get(&map.table_id).is_none_or(|table| *table.body != *map.body) {
            let table = self.resolve(map, at, filter)?;
            self.columns += table.plan.columns.len();
            self.by_id.insert(map.table_id, table);
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        map: &TableMapEvent<'_>,
        at: LogPlace<'_>,
        filter: &Filter,
    ) -> Result<Table, ChangeError> {
        let logged = LoggedTable::read(map)?;
        let watched = filter.watches(logged.database(), logged.table());
        let plan = match watched {
            true => self.delivering_plan(&logged, at)?,
            // Its rows are counted, not read: the types alone do for that, nearly always.
            false => self.walking_plan(&logged, at)?,
        };
        Ok(Table { plan: Arc::new(plan), watched, body: map.body.into() })
    }

    fn delivering_plan(
        &mut self,
        logged: &LoggedTable<'_>,
        at: LogPlace<'_>,
    ) -> Result<TablePlan, ChangeError> {
        if logged.is_complete() {
            return Ok(logged.plan(None)?);
        }
        let definition = self.definition(logged, at)?;
        if definition.is_none() {
            let missing = self.definitions.missing(logged.database(), logged.table());
            missing.map_err(|error| with_types(error, logged))?;
        }
        self.fitting_plan(logged, at, definition, LoggedTable::plan)
    }

    fn walking_plan(&mut self, logged: &LoggedTable<'_>, at: LogPlace<'_>) -> Result<TablePlan, ChangeError> {
        if logged.walks_alone() {
            return Ok(logged.walking_plan(None)?);
        }
        let definition = self.definition(logged, at)?;
        self.fitting_plan(logged, at, definition, LoggedTable::walking_plan)
    }

    fn definition(
        &mut self,
        logged: &LoggedTable<'_>,
        at: LogPlace<'_>,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        let found = self.definitions.definition(at, logged.database(), logged.table());
        found.map_err(|error| with_types(error, logged))
    }

    /// The plan by this definition, or by the second one where this one does not fit.
    fn fitting_plan<'a>(
        &mut self,
        logged: &LoggedTable<'a>,
        at: LogPlace<'_>,
        definition: Option<TableDefinition>,
        plan: impl Fn(&LoggedTable<'a>, Option<&TableDefinition>) -> Result<TablePlan, ResolveError>,
    ) -> Result<TablePlan, ChangeError> {
        match plan(logged, definition.as_ref()) {
            Err(error) if error.code == Code::SchemaDiff => {
                let second = self.definitions.second_definition(at, logged.database(), logged.table())?;
                // Where neither fits, the first one's difference is what there is to tell.
                let plan = second.and_then(|definition| plan(logged, Some(&definition)).ok());
                plan.ok_or_else(|| error.into())
            }
            plan => Ok(plan?),
        }
    }

    /// The table that rows name by its id.
    pub fn get(&self, table_id: u64) -> Result<&Table, ChangeError> {
        self.by_id.get(&table_id).ok_or_else(|| {
            ChangeError::new(
                Code::TableMap,
                format!("rows of table id {table_id}, which no TABLE_MAP_EVENT has introduced"),
            )
        })
    }
}

/// Whoever is to supply a definition wants to know what it has to fit.
fn with_types(mut error: ChangeError, logged: &LoggedTable<'_>) -> ChangeError {
    if error.code == Code::SchemaDiff {
        error.text.push_str(&format!(". Logged: ({})", logged.types_text()));
    }
    error
}
