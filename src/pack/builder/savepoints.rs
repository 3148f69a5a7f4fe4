//! The savepoints of the open transaction, and what `ROLLBACK TO` goes back to.

use crate::code::Code;
use crate::pack::builder::error::Refusal;
use crate::pack::builder::open::Position;
use crate::pack::builder::open::RowCounts;
use crate::pack::builder::open::Stand;
use crate::pack::builder::tables::Counted;
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
    pub position: Position,
    /// Of the rows before it. Those of lines that are held count when these go out.
    pub counts: RowCounts,
    /// The lines before it, and where the last of them stands. None when lines behind it went out before a break.
    pub held: Option<(Kept, Stand)>,
}

/// A savepoint and what is kept beside it.
#[derive(Debug)]
struct Set {
    name: Arc<str>,
    savepoint: Savepoint,
    /// The rows between the savepoint before it and this one.
    counted: Counted,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Savepoints {
    /// The transaction's first change. A savepoint that was set before it is not in the log (the binlog joins a
    /// transaction at its first change), so what goes back to an unknown name goes back to here.
    start: Savepoint,
    by_name: HashMap<Arc<str>, u64>,
    in_order: BTreeMap<u64, Set>,
    next: u64,
    /// Savepoints have been given up because they were too many.
    forgotten: bool,
}

impl Savepoints {
    pub fn set_start(&mut self, start: Savepoint) {
        self.start = start;
    }

    /// A savepoint that is set again moves (manual, "SAVEPOINT"). `counted` are the rows since the last one.
    pub fn set(&mut self, name: &str, savepoint: Savepoint, counted: Counted) {
        let name: Arc<str> = folded(name).into();
        let order = self.next;
        self.next += 1;
        let before = self.by_name.insert(Arc::clone(&name), order);
        self.in_order.insert(order, Set { name, savepoint, counted });
        if let Some(before) = before {
            self.forget(before);
        }
        if self.in_order.len() > MOST
            && let Some(oldest) = self.in_order.keys().next().copied()
            && let Some(name) = self.forget(oldest)
        {
            self.by_name.remove(&name);
            self.forgotten = true;
        }
    }

    /// Gives a savepoint up. The rows before it lie before the next one now.
    fn forget(&mut self, order: u64) -> Option<Arc<str>> {
        let Set { name, counted, .. } = self.in_order.remove(&order)?;
        if let Some((_, next)) = self.in_order.range_mut(order..).next() {
            for (table, rows) in counted {
                match next.counted.iter_mut().find(|(number, _)| *number == table) {
                    Some((_, all)) => *all += rows,
                    None => next.counted.push((table, rows)),
                }
            }
        }
        Some(name)
    }

    /// Gives up the savepoints behind the one of this name, which stays, and the rows between them.
    pub fn roll_back_to(&mut self, name: &str) -> Result<(Savepoint, Vec<Counted>), Refusal> {
        let kept = self.by_name.get(folded(name).as_str()).copied();
        if kept.is_none() && self.forgotten {
            let text = format!(
                "ROLLBACK TO {name}: the savepoint is not among the last {MOST} of its transaction, and no more are kept"
            );
            return Err(Refusal { code: Code::Unsupported, text });
        }
        let mut undone = Vec::new();
        for gone in self.in_order.split_off(&kept.map_or(0, |kept| kept + 1)).into_values() {
            self.by_name.remove(&gone.name);
            undone.push(gone.counted);
        }
        let savepoint = kept.and_then(|kept| self.in_order.get(&kept)).map(|kept| &kept.savepoint);
        Ok((savepoint.unwrap_or(&self.start).clone(), undone))
    }

    /// All of them, in the order in which they were set.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Savepoint> {
        std::iter::once(&mut self.start).chain(self.in_order.values_mut().map(|kept| &mut kept.savepoint))
    }
}

/// Names are compared without regard to case (`system_charset_info`).
fn folded(name: &str) -> String {
    name.to_lowercase()
}
