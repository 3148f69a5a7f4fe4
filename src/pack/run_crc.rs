//! A checksum over the first rows of a transaction, by which a resume proves that it is in the same transaction.
//!
//! It covers each row's operation and table, not its values: servers may cut events differently and log other row
//! images, yet the order of rows is the same. With one exception, which is noted: MySQL's replicas look for the rows of an
//! UPDATE or DELETE by a hash of all rows of its event where the table has no key, change them in the order in which they
//! meet them, and log them so (`do_hash_scan_and_update` in `sql/log_event.cc`). Rows of one kind in a row count as a run, so it costs nothing per row.

use crate::binlog::RowsKind;
use crate::schema::plan::TablePlan;
use std::sync::Arc;

/// The checksum so far.
#[derive(Debug, Clone, Default)]
pub struct RunCrc {
    closed: crc32fast::Hasher,
    run: Option<Run>,
    /// The order of some rows is the server's own.
    unordered: bool,
}

#[derive(Debug, Clone)]
struct Run {
    kind: RowsKind,
    plan: Arc<TablePlan>,
    count: u64,
}

impl RunCrc {
    /// Adds `count` rows of one kind and table.
    #[inline]
    pub fn add(&mut self, kind: RowsKind, plan: &Arc<TablePlan>, count: u64) {
        match &mut self.run {
            // No rows leave no trace: not every server logs an event for them.
            _ if count == 0 => {}
            Some(run) if run.kind == kind && same_table(&run.plan, plan) => run.count += count,
            run => {
                if let Some(ended) = run.replace(Run { kind, plan: Arc::clone(plan), count }) {
                    ended.close(&mut self.closed);
                }
            }
        }
    }

    /// Notes rows that are delivered.
    #[inline]
    pub fn note_order(&mut self, kind: RowsKind, plan: &TablePlan) {
        self.unordered |= kind != RowsKind::Insert && plan.key.as_ref().is_none_or(Vec::is_empty);
    }

    /// Whether another server may have logged the rows that were noted in another order.
    pub fn is_unordered(&self) -> bool {
        self.unordered
    }

    /// The checksum over all rows added.
    pub fn value(&self) -> u32 {
        let mut hasher = self.closed.clone();
        if let Some(run) = &self.run {
            run.close(&mut hasher);
        }
        hasher.finalize()
    }
}

fn same_table(one: &Arc<TablePlan>, other: &Arc<TablePlan>) -> bool {
    Arc::ptr_eq(one, other) || (one.table == other.table && one.database == other.database)
}

impl Run {
    fn close(&self, hasher: &mut crc32fast::Hasher) {
        let kind = match self.kind {
            RowsKind::Insert => b'i',
            RowsKind::Update => b'u',
            RowsKind::Delete => b'd',
        };
        hasher.update(&[kind]);
        hasher.update(self.plan.database.as_bytes());
        hasher.update(&[0]);
        hasher.update(self.plan.table.as_bytes());
        hasher.update(&[0]);
        hasher.update(&self.count.to_le_bytes());
    }
}
