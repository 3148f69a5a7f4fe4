//! What a node learns from the others while it works or stands by, where they keep points in ZooKeeper: that a person has
//! suspended a shard from another machine; and that a shard has a point, which this node must not take for one that never was.

use crate::config::Config;
use crate::coordination::CoordinationError;
use crate::engine::handle::ShardHandle;
use crate::engine::turns::STATE_POLL;
use crate::guard::neighbours;
use crate::pipeline::ports::peek_stored;
use crate::status::State;
use crate::status::now_ms;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::state::ShardState;
use crate::sync_point::trace::PointTrace;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One for a process: a question or two for each shard in [`STATE_POLL`].
pub struct Lookout {
    config: Arc<Config>,
    shards: Vec<Arc<ShardHandle>>,
    stop: Stop,
    /// Of these this node has its trace.
    known: BTreeSet<String>,
    /// Of these it could not be written, which has been told.
    told: BTreeSet<String>,
}

impl Lookout {
    pub fn new(config: &Arc<Config>, shards: &[Arc<ShardHandle>], stop: &Stop) -> Self {
        let (known, told) = (BTreeSet::new(), BTreeSet::new());
        Self { config: Arc::clone(config), shards: shards.to_vec(), stop: stop.child(), known, told }
    }

    pub fn run(mut self) {
        while !self.stop.wait(STATE_POLL) {
            for shard in self.shards.clone() {
                self.look(&shard);
            }
        }
    }

    fn look(&mut self, shard: &ShardHandle) {
        if self.stop.requested() || shard.is_gone() {
            return;
        }
        match shard.live.status.state() {
            State::Connecting | State::Running | State::WaitingForSink => heed_suspension(shard),
            State::Standby => self.learn(shard.name()),
            // Its own thread looks.
            State::Suspended | State::Stopped | State::Done | State::Down => {}
        }
    }

    /// Leaves the trace where another node has a point.
    fn learn(&mut self, shard: &str) {
        if self.known.contains(shard) {
            return;
        }
        match self.try_learn(shard) {
            Ok(true) => {
                self.known.insert(shard.to_owned());
            }
            Ok(false) => {}
            Err(error) if self.told.insert(shard.to_owned()) => {
                log::warn!(
                    "shard={shard} {}: {error}; that it has a point is not noted here yet",
                    error.code
                );
            }
            Err(_) => {}
        }
    }

    fn try_learn(&self, shard: &str) -> Result<bool, StoreError> {
        let trace = PointTrace::new(&self.config.point_dir, shard);
        if trace.exists()? {
            return Ok(true);
        }
        if peek_stored(&self.config, shard)?.is_none() && !self.is_led_with_a_point(shard)? {
            return Ok(false);
        }
        trace.learn(now_ms())?;
        Ok(true)
    }

    /// Whether another node says that the shard has a point, or leads it and keeps points elsewhere.
    fn is_led_with_a_point(&self, shard: &str) -> Result<bool, StoreError> {
        let failed = |error: CoordinationError| StoreError::new(error.code(), error.to_string());
        let says = neighbours::who_knows_a_point(&self.config, shard).map_err(failed)?;
        Ok(says.is_some() || neighbours::leader_elsewhere(&self.config, shard).map_err(failed)?.is_some())
    }
}

/// What is asked in vain is asked again; who cannot reach ZooKeeper loses its lead anyway.
fn heed_suspension(shard: &ShardHandle) {
    let is_suspended = |state: ShardState| state.suspended.is_some_and(|suspended| suspended.holds(now_ms()));
    if shard.load_state().is_ok_and(is_suspended) {
        shard.ring();
    }
}
