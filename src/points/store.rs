//! The store of a shard's point as a person uses it who moves the point.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::HaScope;
use crate::config::PointStore;
use crate::coordination::CoordinationError;
use crate::coordination::shared::SharedSession;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::ports::open_state_store;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::file_store::FileStore;
use crate::sync_point::zk_store::ZkStore;

/// How many bytes of what a node says of itself are shown.
const SHOWN: usize = 200;

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

/// What this node has saved last itself, where ZooKeeper has the word.
pub fn local_copy(config: &Config, shard: &str) -> Result<Option<PointRecord>, StoreError> {
    match config.points.store {
        PointStore::File => Ok(None),
        PointStore::ZooKeeper => ZkStore::peek_shadow(&config.point_dir, shard),
    }
}

/// Refuses where a node leads the shard, or is about to, unless a person has suspended it.
fn need_no_leader(config: &Config, shard: &str) -> Result<(), StoreError> {
    let state = open_state_store(config, shard)?.load()?.unwrap_or_default();
    let ended = |until: u64| until <= now_ms();
    if state.suspended.is_some_and(|suspended| !suspended.until_ms.is_some_and(ended)) {
        return Ok(());
    }
    let latch = config.zookeeper.leader_latch_path.as_deref().unwrap_or_default();
    let latch = match config.nodes.scope {
        HaScope::Process => latch.to_owned(),
        HaScope::Shard => format!("{latch}/{shard}"),
    };
    let failed = |error: CoordinationError| StoreError::new(error.code(), format!("{latch}: {error}"));
    let Some((name, data)) = first_in(&SharedSession::of(&config.zookeeper), &latch).map_err(failed)? else {
        return Ok(());
    };
    let says = String::from_utf8_lossy(data.get(..SHOWN).unwrap_or(&data)).into_owned();
    Err(StoreError::new(
        Code::Locked,
        format!(
            "{latch}/{name}: a node leads the shard ({says}): suspend it (fountain suspend {shard} --reason TEXT), or stop all \
             nodes"
        ),
    ))
}

/// The latch that stands first in the queue, and what it says.
fn first_in(session: &SharedSession, latch: &str) -> Result<Option<(String, Vec<u8>)>, CoordinationError> {
    let names = match session.with(|session| session.children(latch)) {
        Err(CoordinationError::NoNode) => return Ok(None),
        names => names?,
    };
    // The server numbers them with ten digits; other children are no latches.
    let number = |name: &String| {
        let digits = name.get(name.len().checked_sub(10)?..)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.to_owned())
    };
    let Some(name) = names.into_iter().filter(|name| number(name).is_some()).min_by_key(number) else {
        return Ok(None);
    };
    let node = session.with(|session| session.get(&format!("{latch}/{name}")))?;
    Ok(Some((name, node.map(|node| node.data).unwrap_or_default())))
}
