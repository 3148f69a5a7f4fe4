//! Where packs go. Each sink says how durable a pack is once it took it; what to do about a failing sink (wait, stop) is
//! the pipeline's business.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod exec;
pub mod file;
pub mod null;
pub mod stdout;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod testing;

use crate::code::Code;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::sync_point::PointRecord;
use crate::sync_point::folder::FolderError;
use std::fmt;
use std::time::Instant;

/// Takes the packs of one shard, whole and in order.
///
/// The order of calls: `supersede` where nodes share the store of points, `standing` once, `begin_epoch`, then `deliver` and `tick` as needed, `close` at the end. A new
/// epoch may begin at any time between two packs.
///
/// What is not said otherwise is a sink that keeps nothing: it stands nowhere, takes any epoch and has nothing to do.
///
/// No call waits for ever. One that cannot go on within a few seconds returns a retryable error.
pub trait Sink: Send {
    /// Returns once the pack is as durable as this sink promises. After a retryable error the same pack may be delivered
    /// again (after other calls of `tick`), and must be before any other; where the sink can tell, it comes out once.
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError>;

    /// Whether a part of a pack is out that can be neither taken back nor left as it is: its rest has to follow.
    fn owes_rest(&self) -> bool {
        false
    }

    /// Puts aside what does not count any more of the packs that this sink keeps: another node has gone on from `record`'s store
    /// and delivered those rows again ([`crate::sync_point::epochs`]). A sink that holds packs of a later epoch than the
    /// record's refuses.
    fn supersede(&mut self, _record: &PointRecord) -> Result<(), SinkError> {
        Ok(())
    }

    /// The last whole pack that this sink holds, after it has mended what a crash left; none from a sink that keeps
    /// nothing, and from an empty one.
    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        Ok(None)
    }

    /// Whole packs that the mending before `standing` had to cut off. One that was acknowledged is among them when the disk
    /// lost what it had promised to keep.
    fn packs_cut_off(&self) -> u64 {
        0
    }

    /// Packs of a new epoch follow. A sink that keeps epochs refuses one that does not rise.
    fn begin_epoch(&mut self, _epoch: u64) -> Result<(), SinkError> {
        Ok(())
    }

    /// Does what falls due with time. To be called about once a second, between packs.
    fn tick(&mut self, _now: Instant) -> Result<(), SinkError> {
        Ok(())
    }

    /// The end: nothing is delivered after it. What was delivered is durable with or without this call.
    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A pack that was not taken, or a sink that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError {
    pub code: Code,
    pub text: String,
    pub hope: Hope,
}

/// What can be expected of a sink that has not taken a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hope {
    /// It works and takes its time: a reader that is slow, or one that was waited for before the pack has begun.
    Slow,
    /// It fails, and that may pass by itself: a full disk.
    Later,
    /// It needs a person.
    None,
}

impl SinkError {
    pub fn slow(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hope: Hope::Slow }
    }

    pub fn retryable(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hope: Hope::Later }
    }

    pub fn fatal(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hope: Hope::None }
    }

    /// Whether the same pack may be tried again.
    pub fn is_retryable(&self) -> bool {
        self.hope != Hope::None
    }
}

impl From<FolderError> for SinkError {
    fn from(error: FolderError) -> Self {
        Self::fatal(error.code, error.text)
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SinkError {}
