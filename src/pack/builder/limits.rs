//! How large a transaction may be that is held, and what becomes of a larger one.

use crate::code::Code;
use crate::pack::builder::error::Refusal;
use crate::sync_point::gap::GapTable;
use std::fmt;

/// What holds transactions to their end: the policies `mini` and `discard_huge_table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldRules {
    /// Watched rows that are not rolled back.
    pub max_rows: u64,
    /// Bytes of their lines, not counting `seq`.
    pub max_bytes: usize,
    /// Leave out tables, the one with the most rows first, until the rest keeps within the limits.
    pub discard_tables: bool,
    /// What becomes of a transaction that is larger all the same.
    pub oversize: Oversize,
}

/// What becomes of a transaction that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// Building stops at its end; it is not delivered.
    Stop,
    /// It is left out, and a gap is recorded.
    Discard,
    /// It goes out in parts, as without a policy.
    Stream,
}

/// How large a transaction was when it got too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    pub rows: u64,
    pub bytes: usize,
}

impl HoldRules {
    pub(super) fn allow(&self, size: Excess) -> bool {
        size.rows <= self.max_rows && size.bytes <= self.max_bytes
    }

    /// What was too much, and what it came to.
    fn excess(&self, size: Excess, tables: &[GapTable]) -> String {
        let rows: u64 = tables.iter().map(|table| table.rows).sum();
        let had = match size.rows > self.max_rows {
            true => format!("it has had more rows than trans_max_size={} allows", self.max_rows),
            false => {
                let Excess { rows, bytes } = size;
                format!(
                    "{rows} of its rows were {bytes} bytes as lines, more than trans_max_bytes={} allows",
                    self.max_bytes
                )
            }
        };
        format!("{had}, and ends with {rows}{}", Listed(tables))
    }

    /// Why a transaction is left out as a whole.
    pub(super) fn discarded(&self, name: &str, size: Excess, tables: &[GapTable]) -> String {
        format!("the transaction {name} is left out: {}", self.excess(size, tables))
    }

    /// Why building stops before it.
    pub(super) fn refusal(&self, name: &str, size: Excess, tables: &[GapTable]) -> Refusal {
        let text = format!(
            "the transaction {name} is too large to be delivered whole: {}; the shard stops before it; raise that limit, or \
             set trans_oversize=stream (it comes in parts) or discard (it is left out, with a gap record), or \
             transaction_policy=none",
            self.excess(size, tables)
        );
        Refusal { code: Code::TransOversize, text }
    }
}

/// Why tables are left out of a transaction. It says the same before and behind a break.
pub(super) fn tables_discarded(rules: Option<HoldRules>, name: &str, tables: &[GapTable]) -> String {
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let mut text = format!("{rows} rows{} are left out of the transaction {name}", Listed(tables));
    if let Some(HoldRules { max_rows, max_bytes, .. }) = rules {
        text += &format!(
            ", which is larger than trans_max_size={max_rows} and trans_max_bytes={max_bytes} allow"
        );
    }
    text
}

/// Tables and their rows, in brackets.
struct Listed<'a>(&'a [GapTable]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (index, GapTable { table, rows }) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{table} {rows}", if index == 0 { " (" } else { ", " })?;
        }
        match self.0.len() {
            0 => Ok(()),
            count if count > SHOWN => write!(f, ", {} more tables)", count - SHOWN),
            _ => f.write_str(")"),
        }
    }
}
