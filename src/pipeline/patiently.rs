//! Waiting for ZooKeeper where nothing can go on without it: when a shard begins.

use crate::pipeline::fault::Fault;
use crate::pipeline::patience::Told;
use crate::pipeline::patience::so_often;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::zk_node::is_passing;
use std::time::Duration;
use std::time::Instant;

/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Who waits.
pub struct Patiently<'a> {
    pub shard: &'a str,
    /// With `--until` nothing that fails is waited for.
    pub give_up: bool,
    pub stop: &'a Stop,
}

impl Patiently<'_> {
    /// Asks a store until it answers: a ZooKeeper that is away says nothing about what it holds. None: a stop came first.
    pub fn ask<T>(&self, mut ask: impl FnMut() -> Result<T, StoreError>) -> Result<Option<T>, Fault> {
        let (mut waiting, mut told) = (false, Told::default());
        loop {
            match ask() {
                Ok(answer) => {
                    if waiting {
                        log::info!("shard={} ZooKeeper answers again", self.shard);
                    }
                    return Ok(Some(answer));
                }
                Err(error) if is_passing(&error) && !self.give_up => {
                    waiting = true;
                    if let Some(untold) = told.news(error.code, Instant::now()) {
                        log::error!(
                            "{}: shard={} {error}; waiting for it, trying again every second{}",
                            error.code,
                            self.shard,
                            so_often(untold)
                        );
                    }
                    if self.stop.wait(RETRY_PAUSE) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(Fault::stop(error.code, format!("shard={} {error}", self.shard))),
            }
        }
    }
}
