//! A node in ZooKeeper that one process writes at a time: every write is version-checked, and where an answer was lost what
//! is there decides whether the write was.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::session::NodeKind;
use crate::coordination::session::Session;
use crate::coordination::shared::SharedSession;
use crate::sync_point::StoreError;
use crate::sync_point::folder::check_shard_name;
use crate::sync_point::sealed::seal;
use sha1::Digest;
use sha1::Sha1;

type Fingerprint = [u8; 20];

/// See the module's page.
pub struct OwnNode {
    session: SharedSession,
    shard: String,
    /// The shard's own node, which is made before any below it.
    shard_node: String,
    path: String,
    /// With the servers, for messages.
    place: String,
    /// As last read or written, and what was there then; none: it was not there.
    version: Option<i32>,
    known: Option<Fingerprint>,
    /// What was sent since and has not been answered.
    unsure: Vec<Fingerprint>,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Write {
    Done,
    /// Nothing was written: somebody else has been here. What is there now; none: the node is gone.
    Foreign(Option<Vec<u8>>),
}

/// The shard's node while it has no point yet and something is kept below it. Empty it could be anybody's.
pub fn placeholder(shard: &str) -> String {
    seal(&serde_json::json!({ "format": 1, "shard": shard, "point_yet": false }).to_string(), "crc32")
}

impl OwnNode {
    /// The shard's node under `zk_save_position_root_path`, or a child of it. Nothing is asked yet.
    pub fn new(config: &ZooKeeperConfig, shard: &str, child: Option<&str>) -> Result<Self, StoreError> {
        check_shard_name(shard)?;
        let root = config.save_position_root_path.as_deref().unwrap_or_default();
        let shard_node = format!("{root}/{shard}");
        let path = child.map_or(shard_node.clone(), |child| format!("{shard_node}/{child}"));
        Ok(Self {
            session: SharedSession::of(config),
            shard: shard.to_owned(),
            shard_node,
            place: format!("{}{path}", config.servers.as_deref().unwrap_or_default()),
            path,
            version: None,
            known: None,
            unsure: Vec::new(),
        })
    }

    /// Servers and path, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is there, which later writes take the place of.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let node =
            self.session.look(|session| session.get(&self.path)).map_err(|error| self.failed(&error))?;
        self.unsure.clear();
        self.version = node.as_ref().map(|node| node.version);
        self.known = node.as_ref().map(|node| fingerprint(&node.data));
        Ok(node.map(|node| node.data))
    }

    /// Writes over what was read or written last. An error leaves it open whether it was written; the next write finds out.
    pub fn write(&mut self, data: &[u8]) -> Result<Write, StoreError> {
        if !self.unsure.is_empty()
            && let Some(foreign) = self.settle()?
        {
            return Ok(foreign);
        }
        match self.try_write(data) {
            Err(
                CoordinationError::BadVersion | CoordinationError::NodeExists | CoordinationError::NoNode,
            ) => {}
            outcome => return self.judge(data, outcome),
        }
        // What was lost may have come late.
        if let Some(foreign) = self.settle()? {
            return Ok(foreign);
        }
        let outcome = self.try_write(data);
        self.judge(data, outcome)
    }

    fn judge(&mut self, data: &[u8], outcome: Result<i32, CoordinationError>) -> Result<Write, StoreError> {
        match outcome {
            Ok(version) => {
                self.version = Some(version);
                self.known = Some(fingerprint(data));
                self.unsure.clear();
                Ok(Write::Done)
            }
            Err(error) => {
                if matches!(error, CoordinationError::TimedOut | CoordinationError::Lost(_)) {
                    self.unsure.push(fingerprint(data));
                }
                Err(self.failed(&error))
            }
        }
    }

    /// Reads what is there, and takes it for what was last written if it is ours.
    fn settle(&mut self) -> Result<Option<Write>, StoreError> {
        let node =
            self.session.with(|session| session.get(&self.path)).map_err(|error| self.failed(&error))?;
        let there = node.as_ref().map(|node| fingerprint(&node.data));
        match (node, self.version) {
            (None, None) => {}
            (None, Some(_)) => return Ok(Some(Write::Foreign(None))),
            // What was sent has not come, and may come yet: then its version is the wrong one. A node that was deleted and made
            // anew may have the same count, but not the same content.
            (Some(node), Some(version)) if node.version == version && there == self.known => {}
            (Some(node), _) if there.is_some_and(|there| self.unsure.contains(&there)) => {
                self.version = Some(node.version);
                self.known = there;
                self.unsure.clear();
            }
            (Some(node), _) => return Ok(Some(Write::Foreign(Some(node.data)))),
        }
        Ok(None)
    }

    fn try_write(&self, data: &[u8]) -> Result<i32, CoordinationError> {
        self.session.with(|session| match self.version {
            Some(version) => session.set(&self.path, data, version),
            None => match session.create(&self.path, data, NodeKind::Persistent) {
                Err(CoordinationError::NoNode) => {
                    self.make_parents(session)?;
                    session.create(&self.path, data, NodeKind::Persistent).map(|_| 0)
                }
                made => made.map(|_| 0),
            },
        })
    }

    fn make_parents(&self, session: &Session) -> Result<(), CoordinationError> {
        if let Some((root, _)) = self.shard_node.rsplit_once('/').filter(|(root, _)| !root.is_empty()) {
            session.make_path(root)?;
        }
        if self.path == self.shard_node {
            return Ok(());
        }
        let empty = placeholder(&self.shard);
        match session.create(&self.shard_node, empty.as_bytes(), NodeKind::Persistent) {
            Ok(_) | Err(CoordinationError::NodeExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, error: &CoordinationError) -> StoreError {
        let more = match error {
            CoordinationError::TooLarge(_) => {
                "; nothing of it was sent: keep it smaller, or keep points in files (sync_point_store=file, and on the node that led \
                 last: fountain points set SHARD --from-local --reason TEXT)"
            }
            _ => "",
        };
        StoreError::new(error.code(), format!("{}: {error}{more}", self.place))
    }
}

fn fingerprint(data: &[u8]) -> Fingerprint {
    Sha1::digest(data).into()
}

/// Whether waiting may help: ZooKeeper is away, or slow.
pub fn is_passing(error: &StoreError) -> bool {
    matches!(error.code, Code::ZkUnreachable | Code::ZkTimeout)
}
