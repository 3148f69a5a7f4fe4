//! One session with ZooKeeper, from its beginning to its first doubt.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::client::CallError;
use crate::coordination::client::Client;
use crate::coordination::credentials;
use crate::coordination::handshake::greet;
use crate::coordination::servers::Servers;
use crate::secret::Secret;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use zookeeper::Acl;
use zookeeper::CreateMode;
use zookeeper::ZkError;
use zookeeper::ZkResult;
use zookeeper::ZooKeeper;

/// ZooKeeper drops the connection of whoever sends a request of more than 1 048 575 bytes (jute.maxbuffer), names and ACL
/// included.
pub const LARGEST_DATA: usize = 1_000_000;

/// Matches whatever the node has.
pub const ANY_VERSION: i32 = -1;

/// Of several servers, each is waited for at least so long, as far as `zk_connection_timeout` allows.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// See the module's page. Dropping it ends the session, in the background where that takes time.
pub struct Session {
    client: Client,
    negotiated: Duration,
    /// In front of all paths: the folder behind the servers' names.
    root: String,
    acl: Vec<Acl>,
}

/// How long a node lives, and how it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    Persistent,
    Ephemeral,
    /// The server appends ten digits to the name.
    EphemeralSequential,
}

/// A node as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub data: Vec<u8>,
    /// Of its data: a write that names it fails when somebody wrote in between.
    pub version: i32,
    /// The transaction that made it: rises over all nodes, also when one is made anew.
    pub czxid: i64,
    /// When it was made and last written, by ZooKeeper's clock, in milliseconds since 1970.
    pub created_ms: i64,
    pub modified_ms: i64,
}

impl Session {
    /// Asks the servers of `zk_string`, in an order drawn each time, and begins a session with the first that serves. With
    /// `zk_auth_file` it is that user's, and so are the nodes that are made. Takes about `zk_connection_timeout` at most.
    pub fn open(config: &ZooKeeperConfig) -> Result<Self, CoordinationError> {
        let secret = config.auth_file.as_deref().map(credentials::read).transpose()?;
        let Servers { servers, root } = Servers::of(config.servers.as_deref().unwrap_or_default()).shuffled();
        let whole = config.connection_timeout;
        let part = whole / u32::try_from(servers.len()).unwrap_or(u32::MAX).max(1);
        let part = part.max(LEAST_PATIENCE.min(whole));
        let mut refusals = Vec::new();
        for server in servers {
            let greeted = match greet(server, config.session_timeout, part) {
                Ok(greeted) => greeted,
                Err(why) => {
                    refusals.push(format!("{server}: {why}"));
                    continue;
                }
            };
            let given = greeted.given;
            tell_once(server, config.session_timeout, given);
            let client = Client::start(greeted, whole.min(given / 4)).map_err(understood)?;
            introduce(&client, secret.as_ref())?;
            let acl = match secret {
                Some(_) => Acl::creator_all(),
                None => Acl::open_unsafe(),
            };
            return Ok(Self { client, negotiated: given, root: root.to_owned(), acl: acl.clone() });
        }
        Err(CoordinationError::Unreachable(refusals.join("; ")))
    }

    /// The session time-out that the server gives.
    pub fn negotiated(&self) -> Duration {
        self.negotiated
    }

    /// The name of the node that was made, which a sequential one learns only so.
    pub fn create(&self, path: &str, data: &[u8], kind: NodeKind) -> Result<String, CoordinationError> {
        let (path, data, acl) = (self.at(path), fits(data)?, self.acl.clone());
        let mode = match kind {
            NodeKind::Persistent => CreateMode::Persistent,
            NodeKind::Ephemeral => CreateMode::Ephemeral,
            NodeKind::EphemeralSequential => CreateMode::EphemeralSequential,
        };
        let made = self.call(move |session| session.create(&path, data, acl, mode))?;
        Ok(made.strip_prefix(&self.root).map(str::to_owned).unwrap_or(made))
    }

    /// Makes the node and all above it that are missing, down from `zk_string`'s own folder. Nodes that are there are not
    /// touched: they may be somebody else's.
    pub fn make_path(&self, path: &str) -> Result<(), CoordinationError> {
        let whole = self.at(path);
        let ends: Vec<usize> =
            whole.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([whole.len()]).collect();
        let mut missing = Vec::new();
        for end in ends.iter().rev() {
            let node = whole.get(..*end).unwrap_or(&whole).to_owned();
            let asked = node.clone();
            if self.call(move |session| session.exists(&asked, false))?.is_some() {
                break;
            }
            missing.push(node);
        }
        for node in missing.into_iter().rev() {
            let acl = self.acl.clone();
            match self.call(move |session| session.create(&node, Vec::new(), acl, CreateMode::Persistent)) {
                Ok(_) | Err(CoordinationError::NodeExists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn exists(&self, path: &str) -> Result<bool, CoordinationError> {
        let path = self.at(path);
        Ok(self.call(move |session| session.exists(&path, false))?.is_some())
    }

    /// None: there is no such node.
    pub fn get(&self, path: &str) -> Result<Option<Node>, CoordinationError> {
        let path = self.at(path);
        match self.call(move |session| session.get_data(&path, false)) {
            Ok((data, stat)) => Ok(Some(Node {
                data,
                version: stat.version,
                czxid: stat.czxid,
                created_ms: stat.ctime,
                modified_ms: stat.mtime,
            })),
            Err(CoordinationError::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the node if it has that version still; says its new version.
    pub fn set(&self, path: &str, data: &[u8], version: i32) -> Result<i32, CoordinationError> {
        let (path, data) = (self.at(path), fits(data)?);
        self.call(move |session| session.set_data(&path, data, Some(version))).map(|stat| stat.version)
    }

    /// Names only, in no order.
    pub fn children(&self, path: &str) -> Result<Vec<String>, CoordinationError> {
        let path = self.at(path);
        self.call(move |session| session.get_children(&path, false))
    }

    /// Whatever its version. A node that is not there is no error.
    pub fn delete(&self, path: &str) -> Result<(), CoordinationError> {
        let path = self.at(path);
        match self.call(move |session| session.delete(&path, None)) {
            Ok(()) | Err(CoordinationError::NoNode) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether its first doubt has come: every call is an error then.
    pub fn is_over(&self) -> bool {
        self.client.is_over()
    }

    /// Ends the session, and its ephemeral nodes with it, within the time of a call. False: the server has not confirmed
    /// it, the nodes go when the session times out.
    pub fn close(self) -> bool {
        self.client.close()
    }

    fn at(&self, path: &str) -> String {
        match path {
            "/" if !self.root.is_empty() => self.root.clone(),
            path => format!("{}{path}", self.root),
        }
    }

    fn call<T, F>(&self, request: F) -> Result<T, CoordinationError>
    where
        T: Send + 'static,
        F: FnOnce(&ZooKeeper) -> ZkResult<T> + Send + 'static,
    {
        self.client.call(request).map_err(understood)
    }
}

/// Proves that the crate has understood that it is connected, and says who we are.
fn introduce(client: &Client, secret: Option<&Secret>) -> Result<(), CoordinationError> {
    let Some(secret) = secret else {
        return match client.call(|session| session.exists("/", false)) {
            // Whatever the server says, it is the server that says it.
            Ok(_) | Err(CallError::Refused(_)) => Ok(()),
            Err(error) => Err(understood(error)),
        };
    };
    let pair = secret.reveal().as_bytes().to_vec();
    client.call(move |session| session.add_auth("digest", pair)).map_err(|error| match error {
        CallError::Refused(error) => {
            let text = format!("zk_auth_file: ZooKeeper does not take its user and password: {error:?}");
            CoordinationError::Unusable { code: Code::ZkAccess, text }
        }
        error => understood(error),
    })
}

/// ZooKeeper cuts what is asked for to 2 to 20 times its tickTime, or to what its own settings say.
fn tell_once(server: &str, asked: Duration, given: Duration) {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let given = u64::try_from(given.as_millis()).unwrap_or(u64::MAX);
    if u128::from(given) != asked.as_millis() && TOLD.swap(given, Ordering::Relaxed) != given {
        let asked = asked.as_millis();
        log::warn!(
            "{}: zk_session_timeout={asked} is asked for, ZooKeeper at {server} gives {given} ms: where nodes share a latch, a \
             standby takes over after that, and a leader without an answer stops after two thirds of it",
            Code::ZkTimeout
        );
    }
}

fn fits(data: &[u8]) -> Result<Vec<u8>, CoordinationError> {
    match data.len() > LARGEST_DATA {
        true => Err(CoordinationError::TooLarge(data.len())),
        false => Ok(data.to_vec()),
    }
}

fn understood(error: CallError) -> CoordinationError {
    match error {
        CallError::TimedOut => CoordinationError::TimedOut,
        CallError::Over(why) => CoordinationError::Lost(why),
        CallError::Refused(error) => match error {
            ZkError::NoNode => CoordinationError::NoNode,
            ZkError::NodeExists => CoordinationError::NodeExists,
            ZkError::BadVersion => CoordinationError::BadVersion,
            ZkError::NotEmpty => CoordinationError::NotEmpty,
            ZkError::NoAuth | ZkError::AuthFailed => CoordinationError::NoAuth,
            ZkError::ConnectionLoss
            | ZkError::SessionExpired
            | ZkError::SessionMoved
            | ZkError::MarshallingError
            | ZkError::OperationTimeout => CoordinationError::Lost(format!("{error:?}")),
            other => CoordinationError::Refused(format!("{other:?}")),
        },
    }
}
