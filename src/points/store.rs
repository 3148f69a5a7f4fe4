//! The store of a shard's point as a person uses it who moves the point.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::HaScope;
use crate::config::PointStore;
use crate::coordination::CoordinationError;
use crate::guard::neighbours;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::ports::open_state_store;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::file_store::FileStore;
use crate::sync_point::zk_store::ZkStore;

/// A store whose point a person may move.
pub trait MovableStore: SyncPointStore {
    /// Saves in place of what was loaded, whatever that was: a person's word counts more than a lost, broken or later point.
    fn replace(&mut self, record: &PointRecord) -> Result<(), StoreError>;
}

impl MovableStore for FileStore {
    fn replace(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        FileStore::replace(self, record)
    }
}

impl MovableStore for ZkStore {
    fn replace(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        ZkStore::replace(self, record)
    }
}

/// Opens the store of a shard that nobody leads, and keeps this node's processes from it. Nothing is read yet.
pub fn open(config: &Config, shard: &str) -> Result<Box<dyn MovableStore>, StoreError> {
    match config.points.store {
        PointStore::File => Ok(Box::new(FileStore::open(&config.point_dir, shard)?)),
        PointStore::ZooKeeper => {
            let store = ZkStore::open(&config.zookeeper, &config.point_dir, shard)?;
            if config.nodes.guard == HaGuard::ZooKeeper {
                need_no_leader(config, shard)?;
            }
            Ok(Box::new(store))
        }
    }
}

/// What this node has saved last itself, where ZooKeeper has the word, or had it until points were to be kept in files.
pub fn local_copy(config: &Config, shard: &str) -> Result<Option<PointRecord>, StoreError> {
    let copy = || match ZkStore::peek_shadow(&config.point_dir, shard) {
        Err(error) if error.code == Code::PointLost => Ok(None),
        copy => copy,
    };
    match config.points.store {
        PointStore::ZooKeeper => copy(),
        PointStore::File => match FileStore::peek(&config.point_dir, shard) {
            Err(error) if error.code == Code::PointLost => copy(),
            Ok(_) | Err(_) => Ok(None),
        },
    }
}

/// Refuses where a node works on the shard, or is about to: unless a person has suspended it and the leader has heard that, or it
/// has stopped for what no node passes.
fn need_no_leader(config: &Config, shard: &str) -> Result<(), StoreError> {
    let failed = |error: CoordinationError| StoreError::new(error.code(), format!("shard={shard} {error}"));
    let seats = neighbours::seats(config, shard).map_err(failed)?;
    let Some(leader) = seats.first() else { return Ok(()) };
    // Behind the look at the latch: who has come since reads the state before it works.
    let state = open_state_store(config, shard)?.load()?.unwrap_or_default();
    let suspended = state.suspended.is_some_and(|suspended| suspended.holds(now_ms()));
    let what = match (suspended, state.rests, state.stopped) {
        (true, true, _) | (_, _, Some(_)) => return Ok(()),
        (true, false, None) => format!(
            "{leader} leads, and has not come to rest yet since the shard was suspended: try again in some seconds"
        ),
        (false, ..) => {
            let of = match config.nodes.scope {
                HaScope::Process => "all shards of this zk_leader_latch_path",
                HaScope::Shard => "it",
            };
            format!(
                "{leader} leads {of}: suspend the shard (fountain suspend {shard} --reason TEXT), or stop all nodes"
            )
        }
    };
    Err(StoreError::new(Code::Locked, what))
}
