//! Who of several nodes works: terms of leadership, each with a deadline that passes by itself.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod announcement;
mod campaign;
mod desk;
mod election;
mod hand_over;
pub mod lease;
pub mod neighbours;
mod post;
mod sharing;
mod spread;
pub mod term;
mod times;
pub mod trouble;
pub mod zookeeper;

use crate::guard::term::Term;
use crate::stop::Stop;
use std::fmt;

/// Gives out leadership of shards. One for a process; every shard's thread asks it.
pub trait Guard: Send + Sync {
    /// Waits until this node leads the shard. None: `stop` was requested first.
    fn wait_for_term(&self, shard: &str, stop: &Stop) -> Option<Term>;

    /// The shard's work under the term has ended: nothing is written any more.
    fn give_back(&self, shard: &str, term: Term, release: Release);

    /// Whether this node leads the shard, for a person.
    fn standing(&self, shard: &str) -> Standing;

    /// Begins an orderly hand-over of one shard, or of all, to another node: the term ends, and this node waits behind the
    /// others. Err: why that cannot be.
    fn step_down(&self, shard: Option<&str>) -> Result<HandOver, String>;

    /// No shard is left: latches are released, sessions closed. Returns within seconds in any case.
    fn close(&self);
}

/// Why a term is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The process ends, or the shard has come to its end.
    Ended,
    /// Leadership was lost before.
    Lost,
    /// Trouble of this machine's: another node may do better.
    HandOver,
    /// What no node can pass: the reason is kept with the point.
    Stopped,
}

/// How this node stands to a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Since then, in milliseconds since 1970.
    Leads { since_ms: u64 },
    StandsBy {
        /// Who leads; none when nobody does, or it cannot be told.
        leader: Option<Leader>,
        /// Since when that is none, in milliseconds since 1970.
        nobody_since_ms: Option<u64>,
        /// Why this node does not, in words.
        why: String,
    },
}

/// The node that leads a shard, or is about to, as it names itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leader {
    /// Its host.
    pub node: String,
    /// None: it does not say so.
    pub pid: Option<u32>,
    /// Since when it leads, in milliseconds since 1970. None: it is about to, or does not say so.
    pub since_ms: Option<u64>,
    /// The keys whose values are others there than here, of those that decide which rows are delivered.
    pub differs: Vec<String>,
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// What is being handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandOver {
    pub shards: Vec<String>,
    /// What this node goes on with: the other nodes do not run it, or may not lead more.
    pub kept: Vec<String>,
}

/// Without a guard this node always leads.
#[derive(Debug)]
pub struct NoGuard {
    since_ms: u64,
}

impl NoGuard {
    /// `since_ms`: now, in milliseconds since 1970.
    pub fn new(since_ms: u64) -> Self {
        Self { since_ms }
    }
}

impl Guard for NoGuard {
    fn wait_for_term(&self, _shard: &str, stop: &Stop) -> Option<Term> {
        (!stop.requested()).then(|| Term::always(stop))
    }

    fn give_back(&self, _shard: &str, _term: Term, _release: Release) {}

    fn standing(&self, _shard: &str) -> Standing {
        Standing::Leads { since_ms: self.since_ms }
    }

    fn step_down(&self, _shard: Option<&str>) -> Result<HandOver, String> {
        Err("this node works alone (ha_guard=none): there is nobody to hand over to".to_owned())
    }

    fn close(&self) {}
}
