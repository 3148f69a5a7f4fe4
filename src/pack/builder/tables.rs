//! How many rows of which table the open transaction has, for policies that want to know, and which tables are left out.
//!
//! Rows that are rolled back do not count: those since the last savepoint are kept apart ([`Counted`]) and go with it.

use crate::schema::plan::TablePlan;
use crate::sync_point::gap::GapTable;
use std::collections::HashMap;
use std::sync::Arc;

/// A table's number in [`Tables`].
pub(super) type TableNumber = usize;

/// Database and table.
pub(super) type TableName = (String, String);

/// Rows by table, between two savepoints.
pub(super) type Counted = Vec<(TableNumber, u64)>;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Tables {
    list: Vec<Table>,
    by_plan: HashMap<u64, TableNumber>,
    /// Left out from the transaction's first row on: that was decided before a break.
    left_out_before: Vec<TableName>,
    /// Rows of the tables that are not left out.
    kept_rows: u64,
    /// The tables with rows since the last savepoint.
    touched: Vec<TableNumber>,
}

#[derive(Debug)]
struct Table {
    plan: Arc<TablePlan>,
    rows: u64,
    since_savepoint: u64,
    left_out: bool,
}

impl Tables {
    /// A transaction begins, of which some tables may be left out already.
    pub fn begin(&mut self, left_out: &[TableName]) {
        self.list.clear();
        self.by_plan.clear();
        self.touched.clear();
        self.kept_rows = 0;
        self.left_out_before.clear();
        self.left_out_before.extend_from_slice(left_out);
    }

    /// The number of a table, which may be new. A table may have more than one plan.
    pub fn number(&mut self, plan: &Arc<TablePlan>) -> TableNumber {
        if let Some(number) = self.by_plan.get(&plan.id) {
            return *number;
        }
        let is_it = |database: &str, table: &str| database == plan.database && table == plan.table;
        let known = self.list.iter().position(|table| is_it(&table.plan.database, &table.plan.table));
        let number = known.unwrap_or(self.list.len());
        if known.is_none() {
            let left_out = self.left_out_before.iter().any(|(database, table)| is_it(database, table));
            self.list.push(Table { plan: Arc::clone(plan), rows: 0, since_savepoint: 0, left_out });
        }
        self.by_plan.insert(plan.id, number);
        number
    }

    /// A row of a table has gone by.
    #[inline]
    pub fn add_row(&mut self, number: TableNumber) {
        if let Some(table) = self.list.get_mut(number) {
            if table.since_savepoint == 0 {
                self.touched.push(number);
            }
            table.since_savepoint += 1;
            table.rows += 1;
            self.kept_rows += u64::from(!table.left_out);
        }
    }

    #[inline]
    pub fn is_left_out(&self, number: TableNumber) -> bool {
        self.list.get(number).is_some_and(|table| table.left_out)
    }

    pub fn kept_rows(&self) -> u64 {
        self.kept_rows
    }

    /// From now on a table's rows are left out, and those that it has had.
    pub fn leave_out(&mut self, number: TableNumber) {
        if let Some(table) = self.list.get_mut(number).filter(|table| !table.left_out) {
            table.left_out = true;
            self.kept_rows -= table.rows;
        }
    }

    /// Of the tables with rows that are not left out the one with the most; of equals the one that came first.
    pub fn largest(&self) -> Option<TableNumber> {
        let kept = self.list.iter().enumerate().filter(|(_, table)| !table.left_out && table.rows > 0);
        kept.rev().max_by_key(|(_, table)| table.rows).map(|(number, _)| number)
    }

    /// A savepoint is set: the rows since the one before it.
    pub fn savepoint(&mut self) -> Counted {
        let list = &mut self.list;
        let take = |number: TableNumber| {
            let rows = list.get_mut(number).map_or(0, |table| std::mem::take(&mut table.since_savepoint));
            (number, rows)
        };
        self.touched.drain(..).map(take).collect()
    }

    /// The rows since the last savepoint are taken back, and those of savepoints that are gone.
    pub fn roll_back(&mut self, undone: impl IntoIterator<Item = Counted>) {
        let since = self.savepoint();
        for (number, rows) in std::iter::once(since).chain(undone).flatten() {
            if let Some(table) = self.list.get_mut(number) {
                table.rows -= rows;
                self.kept_rows -= if table.left_out { 0 } else { rows };
            }
        }
    }

    /// The tables that are left out, also those of which no row has come so far.
    pub fn names_left_out(&self) -> Vec<TableName> {
        let mut names = self.left_out_before.clone();
        let left_out = self.list.iter().filter(|table| table.left_out);
        let left_out = left_out.map(|table| (table.plan.database.clone(), table.plan.table.clone()));
        let new: Vec<_> = left_out.filter(|name| !names.contains(name)).collect();
        names.extend(new);
        names
    }

    /// The rows that are not delivered, by table, the largest first: those of all tables, or of those left out.
    pub fn lost(&self, of_all: bool) -> Vec<GapTable> {
        let lost = self.list.iter().filter(|table| (of_all || table.left_out) && table.rows > 0);
        let mut lost: Vec<_> =
            lost.map(|table| GapTable { table: table.plan.full_name(), rows: table.rows }).collect();
        lost.sort_by_key(|table| std::cmp::Reverse(table.rows));
        lost
    }
}
