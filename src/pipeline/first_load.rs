//! The stored point as a run loads it: where nodes share it, "none" is asked of the others as well.

use crate::config::Config;
use crate::config::HaGuard;
use crate::config::PointStore;
use crate::coordination::CoordinationError;
use crate::guard::neighbours::who_knows_a_point;
use crate::pipeline::ports::Ports;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::zk_store;

/// Loads the record. That there is none counts only if no node in the latch knows of one: this node may have come after
/// ZooKeeper was rebuilt.
pub fn load(
    store: &mut dyn SyncPointStore,
    config: &Config,
    shard: &str,
    ports: &Ports,
) -> Result<Option<PointRecord>, StoreError> {
    let record = store.load()?;
    let shared = ports.store.is_none()
        && config.points.store == PointStore::ZooKeeper
        && config.nodes.guard == HaGuard::ZooKeeper;
    if record.is_some() || !shared {
        return Ok(record);
    }
    let failed = |error: CoordinationError| StoreError::new(error.code(), error.to_string());
    match who_knows_a_point(config, shard).map_err(failed)? {
        None => Ok(None),
        Some(node) => {
            let place = config.zookeeper.save_position_root_path.as_deref().unwrap_or_default();
            let place = format!("{}{place}/{shard}", config.zookeeper.servers.as_deref().unwrap_or_default());
            Err(zk_store::lost(
                shard,
                &place,
                &format!("{node}, which is in the latch, knows that there was one"),
            ))
        }
    }
}
