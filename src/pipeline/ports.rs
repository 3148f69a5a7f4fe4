//! What a program that uses the library may put in place of what the configuration names: a sink, a store of points, an
//! encoder of rows, each made anew for every shard.

use crate::code::Code;
use crate::config::Config;
use crate::config::PointStore;
use crate::config::ShardConfig;
use crate::pack::encoder::RowEncoder;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::file_state::FileStateStore;
use crate::sync_point::file_store::FileStore;
use crate::sync_point::folder::make_folder;
use crate::sync_point::lock::FolderLock;
use crate::sync_point::old_files;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::schema_store::FileSchemaStore;
use crate::sync_point::schema_store::SchemaStore;
use crate::sync_point::state::StateStore;
use crate::sync_point::zk_schema::ZkSchemaStore;
use crate::sync_point::zk_state::ZkStateStore;
use crate::sync_point::zk_store::ZkStore;
use std::fmt;

/// Makes something for the shard of that name.
pub type Factory<T> = Box<dyn Fn(&str) -> T + Send + Sync>;

/// See the module's page. What is none is as configured.
#[derive(Default)]
pub struct Ports {
    pub sink: Option<Factory<Result<Box<dyn Sink>, SinkError>>>,
    pub store: Option<Factory<Result<Box<dyn SyncPointStore>, StoreError>>>,
    pub encoder: Option<Factory<Box<dyn RowEncoder>>>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("sink", &self.sink.is_some())
            .field("store", &self.store.is_some())
            .field("encoder", &self.encoder.is_some())
            .finish()
    }
}

/// A shard's store of points, and the lock on its folder where the store has none.
pub struct OpenStore {
    pub store: Box<dyn SyncPointStore>,
    pub lock: Option<FolderLock>,
}

/// Opens the store. Gap records and the history of points stand in `producer_position` in any case, and the lock in it
/// keeps two processes from one shard.
pub fn open_store(config: &Config, shard: &ShardConfig, ports: &Ports) -> Result<OpenStore, StoreError> {
    match &ports.store {
        None => {
            let store: Box<dyn SyncPointStore> = match config.points.store {
                PointStore::File => Box::new(FileStore::open(&config.point_dir, &shard.name)?),
                PointStore::ZooKeeper => {
                    Box::new(ZkStore::open(&config.zookeeper, &config.point_dir, &shard.name)?)
                }
            };
            Ok(OpenStore { store, lock: None })
        }
        Some(make) => {
            make_folder(&config.point_dir, 0o700)?;
            let lock = FolderLock::acquire(&config.point_dir, &shard.name)?;
            Ok(OpenStore { store: make(&shard.name)?, lock: Some(lock) })
        }
    }
}

/// The store of the shard's definitions, beside its point.
pub fn open_schema_store(config: &Config, shard: &str) -> Result<Box<dyn SchemaStore>, StoreError> {
    Ok(match config.points.store {
        PointStore::File => Box::new(FileSchemaStore::new(&config.point_dir, shard)?),
        PointStore::ZooKeeper => Box::new(ZkSchemaStore::new(&config.zookeeper, shard)?),
    })
}

/// What a person or a fault has decided about the shard, beside its point.
pub fn open_state_store(config: &Config, shard: &str) -> Result<Box<dyn StateStore>, StoreError> {
    match config.points.store {
        PointStore::File => Ok(Box::new(FileStateStore::new(&config.point_dir, shard)?)),
        PointStore::ZooKeeper => Ok(Box::new(ZkStateStore::new(&config.zookeeper, shard)?)),
    }
}

/// What the original Fountain left of a shard that has no point of ours, read like [`peek_point`].
pub fn peek_old(config: &Config, shard: &str) -> Result<Option<FoundPoint>, StoreError> {
    let local = || old_files::find(&config.point_dir, shard);
    match config.points.store {
        PointStore::File => local(),
        PointStore::ZooKeeper => match ZkStore::peek_old(&config.zookeeper, shard)? {
            Some(found) => Ok(Some(found)),
            None => local(),
        },
    }
}

/// The shard's record as it is stored now, read without a lock: for looking while a run goes on.
pub fn peek_point(config: &Config, shard: &str) -> Result<Option<PointRecord>, StoreError> {
    match config.points.store {
        PointStore::File => FileStore::peek(&config.point_dir, shard),
        PointStore::ZooKeeper => ZkStore::peek(&config.zookeeper, &config.point_dir, shard),
    }
}

/// As [`peek_point`], but only what the store holds counts, not what else tells of a former point. None: no record, or one
/// that makes no sense.
pub fn peek_stored(config: &Config, shard: &str) -> Result<Option<PointRecord>, StoreError> {
    match config.points.store {
        PointStore::File => match FileStore::peek(&config.point_dir, shard) {
            Err(error) if matches!(error.code, Code::PointLost | Code::PointBroken) => Ok(None),
            peeked => peeked,
        },
        PointStore::ZooKeeper => ZkStore::peek_stored(&config.zookeeper, &config.point_dir, shard),
    }
}
