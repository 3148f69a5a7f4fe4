//! The savepoints of the open transaction, and what `ROLLBACK TO` goes back to.

use crate::code::Code;
use crate::pack::builder::error::Refusal;
use crate::pack::builder::open::RowCounts;
use crate::pack::builder::open::Stand;
use crate::pack::builder::waiting::Kept;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

/// Savepoints kept at most. Servers log SAVEPOINT and not RELEASE SAVEPOINT, so those of a program that names each one
/// anew pile up until the transaction ends.
const MOST: usize = 1 << 17;

/// The transaction as it was when a savepoint was set.
#[derive(Debug, Clone, Default)]
pub(super) struct Savepoint {
    /// Rows before it.
    pub row: u64,
    pub counts: RowCounts,
    /// The lines before it, and where the last of them stands. None when lines behind it went out before a break.
    pub held: Option<(Kept, Stand)>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Savepoints {
    /// The transaction's first change. A savepoint that was set before it is not in the log (the binlog joins a
    /// transaction at its first change), so what goes back to an unknown name goes back to here.
    start: Savepoint,
    by_name: HashMap<Arc<str>, u64>,
    in_order: BTreeMap<u64, (Arc<str>, Savepoint)>,
    next: u64,
    /// Savepoints have been given up because they were too many.
    forgotten: bool,
}

impl Savepoints {
    pub fn set_start(&mut self, start: Savepoint) {
        self.start = start;
    }

    /// A savepoint that is set again moves (manual, "SAVEPOINT").
    pub fn set(&mut self, name: &str, savepoint: Savepoint) {
        let name: Arc<str> = folded(name).into();
        let order = self.next;
        self.next += 1;
        if let Some(before) = self.by_name.insert(Arc::clone(&name), order) {
            self.in_order.remove(&before);
        }
        self.in_order.insert(order, (name, savepoint));
        if self.in_order.len() > MOST
            && let Some((_, (oldest, _))) = self.in_order.pop_first()
        {
            self.by_name.remove(&oldest);
            self.forgotten = true;
        }
    }

    /// Gives up the savepoints behind the one of this name, which stays.
    pub fn roll_back_to(&mut self, name: &str) -> Result<Savepoint, Refusal> {
        let kept = self.by_name.get(folded(name).as_str()).copied();
        if kept.is_none() && self.forgotten {
            let text = format!(
                "ROLLBACK TO {name}: the savepoint is not among the last {MOST} of its transaction, and no more are kept"
            );
            return Err(Refusal { code: Code::Unsupported, text });
        }
        for (name, _) in self.in_order.split_off(&kept.map_or(0, |kept| kept + 1)).into_values() {
            self.by_name.remove(&name);
        }
        let savepoint = kept.and_then(|kept| self.in_order.get(&kept)).map(|(_, savepoint)| savepoint);
        Ok(savepoint.unwrap_or(&self.start).clone())
    }
}

/// Names are compared without regard to case (`system_charset_info`).
fn folded(name: &str) -> String {
    name.to_lowercase()
}
