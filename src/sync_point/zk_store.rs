//! Points in ZooKeeper: `<zk_save_position_root_path>/<shard>` holds the same sealed line as a file would
//! ([`crate::sync_point::record`]), with `saved_by`.
//!
//! Every save is version-checked: what somebody else has written in between ends this process's lead. After each save the
//! same record goes to the file store of this node, as its shadow: with it a node tells a ZooKeeper that was rebuilt, or a
//! mistyped path, from a shard that never had a point, and a person can go on from there. A node that has never saved knows
//! by its trace alone ([`crate::sync_point::trace`]).
//!
//! The original Fountain's point stands in the same node: before it is written over, its text is kept in the child `original`.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::file_store::FileStore;
use crate::sync_point::held::Held;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::record;
use crate::sync_point::text;
use crate::sync_point::text::OldKind;
use crate::sync_point::zk_node::OwnNode;
use crate::sync_point::zk_node::Write;
use crate::sync_point::zk_node::placeholder;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The points of one shard, locked for this process on this node.
pub struct ZkStore {
    node: OwnNode,
    shadow: FileStore,
    names: Names,
    held: Option<Held>,
    looked: bool,
    /// The original Fountain's, as loaded.
    old: Option<FoundPoint>,
    /// Its text, and where that is kept once the point is written over.
    old_text: Option<Vec<u8>>,
    original: OwnNode,
    /// The shadow has been written once: from then on it may fail.
    has_shadow: bool,
    shadow_fails: bool,
    /// Somebody else saves now.
    lost: Option<StoreError>,
    /// Tells our lines from those of another process, whatever else they say.
    saved_by: String,
}

/// For messages.
struct Names {
    shard: String,
    place: String,
    shadow: PathBuf,
}

/// What stands in the shard's node.
enum Found {
    Record(Box<PointRecord>),
    Old(FoundPoint),
    Nothing,
}

impl ZkStore {
    /// Locks the shard in the folder, which is made when it is missing. ZooKeeper is not asked yet.
    pub fn open(config: &ZooKeeperConfig, folder: &Path, shard: &str) -> Result<Self, StoreError> {
        let node = OwnNode::new(config, shard, None)?;
        let shadow = FileStore::open_copy(folder, shard, node.place())?;
        Ok(Self {
            names: Names::new(&node, folder, shard),
            node,
            shadow,
            held: None,
            looked: false,
            old: None,
            old_text: None,
            original: OwnNode::new(config, shard, Some("original"))?,
            has_shadow: false,
            shadow_fails: false,
            lost: None,
            saved_by: this_process(),
        })
    }

    /// Reads without lock and without making anything: for looking while a run goes on.
    pub fn peek(
        config: &ZooKeeperConfig,
        folder: &Path,
        shard: &str,
    ) -> Result<Option<PointRecord>, StoreError> {
        let mut node = OwnNode::new(config, shard, None)?;
        let names = Names::new(&node, folder, shard);
        // First, as a run that goes on saves there last.
        let shadow = Self::peek_shadow(folder, shard);
        match names.understand(node.read()?.as_deref())? {
            Found::Record(record) => names.not_older(*record, &shadow).map(Some),
            Found::Old(_) | Found::Nothing => names.positively_none(shadow).map(|()| None),
        }
    }

    /// What the original Fountain left in the shard's node.
    pub fn peek_old(config: &ZooKeeperConfig, shard: &str) -> Result<Option<FoundPoint>, StoreError> {
        let mut node = OwnNode::new(config, shard, None)?;
        let names = Names::new(&node, Path::new(""), shard);
        match names.understand(node.read()?.as_deref())? {
            Found::Old(old) => Ok(Some(old)),
            Found::Record(_) | Found::Nothing => Ok(None),
        }
    }

    /// What ZooKeeper holds, whatever this node's own copy says of it. None: no record, or one that makes no sense.
    pub fn peek_stored(
        config: &ZooKeeperConfig,
        folder: &Path,
        shard: &str,
    ) -> Result<Option<PointRecord>, StoreError> {
        let mut node = OwnNode::new(config, shard, None)?;
        let names = Names::new(&node, folder, shard);
        match names.understand(node.read()?.as_deref()) {
            Ok(Found::Record(record)) => Ok(Some(*record)),
            Ok(Found::Old(_) | Found::Nothing) | Err(_) => Ok(None),
        }
    }

    /// The record that this node saved last itself. One that has saved none and knows of a point is `PointLost`.
    pub fn peek_shadow(folder: &Path, shard: &str) -> Result<Option<PointRecord>, StoreError> {
        match folder.try_exists() {
            Ok(false) => Ok(None),
            _ => FileStore::peek_copy(folder, shard),
        }
    }

    /// Saves in place of whatever was loaded last: a person's word counts more than a lost, broken or later point. What
    /// was written since is not written over.
    pub fn replace(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        let line = record.to_line_of(&self.saved_by).map_err(|what| {
            StoreError::new(Code::Internal, format!("{}: the point {what}", self.names.place))
        })?;
        self.keep_original()?;
        match self.node.write(line.as_bytes())? {
            Write::Done => {}
            Write::Foreign(data) => {
                let error = self.names.foreign(data.as_deref());
                self.lost = Some(error.clone());
                return Err(error);
            }
        }
        self.held = Some(Held::of(record));
        self.looked = true;
        self.save_shadow(record)
    }

    /// Before it is written over: whoever goes back to the original Fountain needs it.
    fn keep_original(&mut self) -> Result<(), StoreError> {
        let Some(text) = &self.old_text else { return Ok(()) };
        if self.original.read()?.is_none() && self.original.write(text)? == Write::Done {
            log::info!(
                "shard={} the original Fountain's point is kept in {}",
                self.names.shard,
                self.original.place()
            );
        }
        self.old_text = None;
        Ok(())
    }

    /// Without any shadow a node could not tell a rebuilt ZooKeeper; with an old one it can.
    fn save_shadow(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        let failure = self.shadow.replace(record).err();
        if let Some(error) = &failure {
            if !self.has_shadow {
                return Err(error.clone());
            }
            if !self.shadow_fails {
                log::warn!(
                    "shard={} {}: {error}; going on without a newer local copy of the point",
                    self.names.shard,
                    error.code
                );
            }
        }
        self.has_shadow = true;
        self.shadow_fails = failure.is_some();
        Ok(())
    }
}

impl SyncPointStore for ZkStore {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        let shadow = self.shadow.load();
        let data = self.node.read()?;
        (self.lost, self.old, self.held, self.looked) = (None, None, None, true);
        let record = match self.names.understand(data.as_deref())? {
            Found::Record(record) => Some(self.names.not_older(*record, &shadow)?),
            Found::Old(old) => {
                self.old_text = data;
                self.names.positively_none(shadow)?;
                self.old = Some(old);
                None
            }
            Found::Nothing => {
                self.names.positively_none(shadow)?;
                None
            }
        };
        self.held = record.as_ref().map(Held::of);
        Ok(record)
    }

    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        match &self.old {
            Some(old) => Ok(Some(old.clone())),
            None => self.shadow.load_old(),
        }
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        if !self.looked {
            self.load()?;
        }
        if let Some(loss) = self.held.and_then(|held| held.loss(Held::of(record))) {
            return Err(StoreError::new(Code::Internal, format!("{}: {loss}", self.names.place)));
        }
        self.replace(record)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Names {
    fn new(node: &OwnNode, folder: &Path, shard: &str) -> Self {
        Self {
            shard: shard.to_owned(),
            place: node.place().to_owned(),
            shadow: folder.join(format!("{shard}.point")),
        }
    }

    fn understand(&self, data: Option<&[u8]>) -> Result<Found, StoreError> {
        let Some(data) = data else { return Ok(Found::Nothing) };
        if data == placeholder(&self.shard).as_bytes() {
            return Ok(Found::Nothing);
        }
        if data.first().is_some_and(|first| *first != b'{')
            && let Ok(point) = text::parse(data, OldKind::Any)
        {
            return Ok(Found::Old(FoundPoint { point, origin: self.place.clone() }));
        }
        // Whoever mends it with an editor leaves a line end.
        let line = data.strip_suffix(b"\n").unwrap_or(data);
        let record = PointRecord::from_line(line).map_err(|what| self.broken(&what))?;
        match record.shard == self.shard {
            true => Ok(Found::Record(Box::new(record))),
            false => Err(self.broken(&format!("it is the point of shard {}", record.shard))),
        }
    }

    fn broken(&self, what: &str) -> StoreError {
        let Self { shard, place, shadow } = self;
        let text = format!(
            "{place}: not the point of shard {shard} as it was saved: {what}; go on from the copy of the node that led \
             last, on that node (here {}): fountain points set {shard} --from-local --reason TEXT; or from another point (fountain \
             points history and points set)",
            shadow.display()
        );
        StoreError::new(Code::PointBroken, text)
    }

    /// There is no point in ZooKeeper: is it that there never was one?
    fn positively_none(&self, shadow: Result<Option<PointRecord>, StoreError>) -> Result<(), StoreError> {
        let ours = match shadow {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => {
                format!("this node has saved one ({} holds {})", self.shadow.display(), stand(&record))
            }
            Err(error) if matches!(error.code, Code::PointLost | Code::PointBroken) => {
                format!(
                    "this node knows that there was one ({} is there)",
                    self.shadow.with_extension("trace").display()
                )
            }
            Err(error) => return Err(error),
        };
        Err(lost(&self.shard, &self.place, &ours))
    }

    /// What this node has saved itself, ZooKeeper has had.
    fn not_older(
        &self,
        record: PointRecord,
        shadow: &Result<Option<PointRecord>, StoreError>,
    ) -> Result<PointRecord, StoreError> {
        let Self { shard, place, shadow: path } = self;
        let ours = match shadow {
            Ok(Some(ours)) => ours,
            Ok(None) => return Ok(record),
            // It knows of the shard, and has saved nothing of it.
            Err(error) if error.code == Code::PointLost => return Ok(record),
            Err(error) => {
                log::warn!("shard={shard} {}: {error}; the point in ZooKeeper is gone on with", error.code);
                return Ok(record);
            }
        };
        if (ours.epoch, ours.sequence) <= (record.epoch, record.sequence) {
            return Ok(record);
        }
        let text = format!(
            "{place}: holds {} of shard {shard}, and this node has saved {} ({}): ZooKeeper was restored from an older copy; \
             go on from the copy of the node that led last, on that node: fountain points set {shard} --from-local --reason TEXT",
            stand(&record),
            stand(ours),
            path.display()
        );
        Err(StoreError::new(Code::PointLost, text))
    }

    /// Somebody else has been there.
    fn foreign(&self, data: Option<&[u8]>) -> StoreError {
        let what = match data.map(|data| self.understand(Some(data)).map(|found| (found, data))) {
            None => "its node was deleted".to_owned(),
            Some(Ok((Found::Record(record), data))) => {
                let by = record::saved_by(data).map_or("another process".to_owned(), |by| by.to_string());
                let ago = now_ms().saturating_sub(record.saved_ms) / 1000;
                format!("{by} has saved {} there, {ago} s ago", stand(&record))
            }
            Some(_) => "somebody has written something else there".to_owned(),
        };
        let text = format!("{}: {what}; nothing of ours was saved over it", self.place);
        StoreError::new(Code::LeadershipLost, text)
    }
}

/// There is no point in ZooKeeper, and there was one. `why`: how that is known.
pub fn lost(shard: &str, place: &str, why: &str) -> StoreError {
    let text = format!(
        "{place}: ZooKeeper holds no point of shard {shard}, and {why}: zk_string or zk_save_position_root_path names another place \
         than before, or ZooKeeper was rebuilt, or points were kept in files until now; correct the path, or go on from the copy of \
         the node that led last, on that node: fountain points set {shard} --from-local --reason TEXT"
    );
    StoreError::new(Code::PointLost, text)
}

fn stand(record: &PointRecord) -> String {
    format!("epoch {} pack {}", record.epoch, record.sequence)
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Host, process, and a number that no other has.
fn this_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "-".to_owned());
    format!("{} process {} {:016x}", host.trim(), std::process::id(), RandomState::new().hash_one(now_ms()))
}
