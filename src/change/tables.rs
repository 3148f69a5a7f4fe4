//! The tables that TABLE_MAP events have introduced, by table id, each with its plan.

use crate::binlog::table_map::TableMapEvent;
use crate::change::error::ChangeError;
use crate::code::Code;
use crate::schema::definition::TableDefinition;
use crate::schema::filter::Filter;
use crate::schema::plan::TablePlan;
use crate::schema::resolve;
use std::collections::HashMap;
use std::sync::Arc;

/// Table ids kept at most. A server gives a table a new id whenever it opens it anew, so ids that are no longer used
/// pile up in a long life; a table that is used again is mapped again first.
const MAX_TABLES: usize = 20_000;

/// Whoever knows definitions besides the events themselves.
pub trait Definitions {
    /// The table as it is defined; `None` when it does not exist there.
    fn definition(&mut self, database: &str, table: &str) -> Result<Option<TableDefinition>, ChangeError>;
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
}

impl<D: Definitions> Tables<D> {
    pub fn new(definitions: D) -> Self {
        Self { definitions, by_id: HashMap::new() }
    }

    pub fn definitions(&mut self) -> &mut D {
        &mut self.definitions
    }

    /// Takes a TABLE_MAP event.
    pub fn map(&mut self, map: &TableMapEvent<'_>, filter: &Filter) -> Result<(), ChangeError> {
        if self.by_id.get(&map.table_id).is_some_and(|table| *table.body == *map.body) {
            return Ok(());
        }
        let table = self.resolve(map, filter)?;
        if self.by_id.len() >= MAX_TABLES {
            self.by_id.clear();
        }
        self.by_id.insert(map.table_id, table);
        Ok(())
    }

    fn resolve(&mut self, map: &TableMapEvent<'_>, filter: &Filter) -> Result<Table, ChangeError> {
        let database = name(map.database, "database")?;
        let table = name(map.table, "table")?;
        let body = map.body.into();
        let watched = filter.watches(database, table);
        if !watched {
            // Its rows are counted, not read: the types alone do for that.
            let plan = Arc::new(resolve::walking_plan(map, database, table)?);
            return Ok(Table { plan, watched, body });
        }
        let definition = match resolve::event_is_enough(map) {
            true => None,
            false => self.definitions.definition(database, table)?,
        };
        let plan = Arc::new(resolve::plan(map, database, table, definition.as_ref())?);
        Ok(Table { plan, watched, body })
    }

    /// The table that rows name by its id.
    pub fn get(&self, table_id: u64) -> Result<&Table, ChangeError> {
        self.by_id.get(&table_id).ok_or_else(|| {
            ChangeError::new(Code::TableMap, format!("rows of table id {table_id}, which no TABLE_MAP_EVENT has introduced"))
        })
    }
}

fn name<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, ChangeError> {
    std::str::from_utf8(bytes)
        .map_err(|_| ChangeError::new(Code::BadEvent, format!("TABLE_MAP_EVENT: the {what}'s name is no UTF-8")))
}
