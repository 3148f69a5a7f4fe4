//! Waiting for sources that lack transactions which have been delivered: a backup may lag behind the main server that died.
//!
//! Such a source is asked again every second on the connection that is open already, for `source_catchup_wait_ms`; a source
//! that has everything is taken meanwhile. Then it is refused like any that says no.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use std::time::Duration;
use std::time::Instant;

/// How long until it is asked again.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The sources of a shard that are waited for.
pub struct CatchUp {
    shard: String,
    wait: Duration,
    /// `--until`: a server that replicates from nobody is not waited for.
    bounded: bool,
    sources: Vec<Source>,
}

#[derive(Default)]
struct Source {
    /// It has lacked something ever since.
    since: Option<Instant>,
    /// Open as long as it is waited for.
    session: Option<Session>,
    /// What it lacks, until that is told.
    untold: Option<String>,
}

impl CatchUp {
    pub fn new(shard: &ShardConfig, bounded: bool) -> Self {
        let mut sources = Vec::new();
        sources.resize_with(shard.sources.len(), Source::default);
        Self { shard: shard.name.clone(), wait: shard.source_catchup_wait, bounded, sources }
    }

    /// The connection on which a source is waited for.
    pub fn take(&mut self, index: usize) -> Option<Session> {
        self.sources.get_mut(index)?.session.take()
    }

    /// A source lacks something. Answers with the refusal when it has been waited for long enough.
    pub fn lags(&mut self, index: usize, session: Session, fault: Fault) -> Fault {
        let waits = self.waits_for(&fault);
        let Some(source) = self.sources.get_mut(index) else { return fault };
        if source.since.is_none() {
            source.untold = Some(fault.to_string());
        }
        let since = source.since.get_or_insert_with(Instant::now);
        if waits && since.elapsed() < self.wait {
            source.session = Some(session);
            return fault;
        }
        let waited = if waits {
            format!("; waited for {:?} (source_catchup_wait_ms)", self.wait)
        } else {
            String::new()
        };
        Fault { text: format!("{}{waited}", fault.text), cure: Cure::Refused, ..fault }
    }

    fn waits_for(&self, fault: &Fault) -> bool {
        !self.wait.is_zero() && (fault.code == Code::SourceLags || !self.bounded)
    }

    /// Nobody else serves: those that are waited for are told, each once.
    pub fn tell(&mut self) {
        for source in self.sources.iter_mut().filter(|source| source.session.is_some()) {
            if let Some(text) = source.untold.take() {
                log::warn!("{text}; it is waited for ({:?}, source_catchup_wait_ms)", self.wait);
            }
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.sources.iter().any(|source| source.session.is_some())
    }

    /// The sources that are waited for now.
    pub fn waiting(&self) -> Vec<usize> {
        let waiting = self.sources.iter().enumerate().filter(|(_, source)| source.session.is_some());
        waiting.map(|(index, _)| index).collect()
    }

    /// How long until the next question: not past the end of the wait.
    pub fn pause(&self) -> Duration {
        let left = |source: &Source| Some(self.wait.saturating_sub(source.since?.elapsed()));
        let waiting = self.sources.iter().filter(|source| source.session.is_some());
        waiting.filter_map(left).min().unwrap_or(ASK_AGAIN).min(ASK_AGAIN)
    }

    /// A source is taken: whatever lags next is waited for anew.
    pub fn over(&mut self, taken: usize) {
        if let Some(Source { since: Some(since), untold: None, .. }) = self.sources.get(taken) {
            log::info!("shard={} the source has caught up after {:.1?}", self.shard, since.elapsed());
        }
        self.sources.iter_mut().for_each(|source| *source = Source::default());
    }
}
