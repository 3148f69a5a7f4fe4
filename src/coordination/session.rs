//! One session with ZooKeeper, from its beginning to its first doubt.

use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::client::CallError;
use crate::coordination::client::Client;
use crate::coordination::handshake::probe;
use std::time::Duration;
use zookeeper::Acl;
use zookeeper::CreateMode;
use zookeeper::ZkError;
use zookeeper::ZooKeeper;

/// See the module's page. Dropping it ends the session, in the background where that takes time.
pub struct Session {
    client: Client,
    negotiated: Duration,
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
    /// Asks each server of `zk_string` in turn whether it serves, and begins a session with those that do.
    pub fn open(config: &ZooKeeperConfig) -> Result<Self, CoordinationError> {
        let text = config.servers.as_deref().unwrap_or_default();
        let (servers, root) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let mut refusals = Vec::new();
        for server in servers.split(',').map(str::trim) {
            let given = probe(server, config.session_timeout, config.connection_timeout);
            let given = match given {
                Ok(given) => given,
                Err(why) => {
                    refusals.push(format!("{server}: {why}"));
                    continue;
                }
            };
            let patience = config.connection_timeout.min(given / 4);
            return match Client::open(&format!("{server}{root}"), config.session_timeout, patience) {
                Ok(client) => Ok(Self { client, negotiated: given }),
                Err(error) => Err(CoordinationError::Unreachable(format!("no thread: {error}"))),
            };
        }
        Err(CoordinationError::Unreachable(refusals.join("; ")))
    }

    /// The session time-out that the server gives.
    pub fn negotiated(&self) -> Duration {
        self.negotiated
    }

    /// The name of the node that was made, which a sequential one learns only so.
    pub fn create(&self, path: &str, data: &[u8], kind: NodeKind) -> Result<String, CoordinationError> {
        let (path, data) = (path.to_owned(), data.to_vec());
        let mode = match kind {
            NodeKind::Persistent => CreateMode::Persistent,
            NodeKind::Ephemeral => CreateMode::Ephemeral,
            NodeKind::EphemeralSequential => CreateMode::EphemeralSequential,
        };
        self.call(move |session| session.create(&path, data.clone(), Acl::open_unsafe().clone(), mode))
    }

    /// Makes the node and all above it that are missing.
    pub fn make_path(&self, path: &str) -> Result<(), CoordinationError> {
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]);
        for end in ends {
            match self.create(path.get(..end).unwrap_or(path), b"", NodeKind::Persistent) {
                Ok(_) | Err(CoordinationError::NodeExists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// None: there is no such node.
    pub fn get(&self, path: &str) -> Result<Option<Node>, CoordinationError> {
        let path = path.to_owned();
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
        let (path, data) = (path.to_owned(), data.to_vec());
        self.call(move |session| session.set_data(&path, data.clone(), Some(version)))
            .map(|stat| stat.version)
    }

    /// Names only, in no order.
    pub fn children(&self, path: &str) -> Result<Vec<String>, CoordinationError> {
        let path = path.to_owned();
        self.call(move |session| session.get_children(&path, false))
    }

    /// Whatever its version. A node that is not there is no error.
    pub fn delete(&self, path: &str) -> Result<(), CoordinationError> {
        let path = path.to_owned();
        match self.call(move |session| session.delete(&path, None)) {
            Ok(()) | Err(CoordinationError::NoNode) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn call<T, F>(&self, request: F) -> Result<T, CoordinationError>
    where
        T: Send + 'static,
        F: Fn(&ZooKeeper) -> zookeeper::ZkResult<T> + Clone + Send + 'static,
    {
        self.client.call(request).map_err(|error| match error {
            CallError::TimedOut => CoordinationError::TimedOut,
            CallError::Refused(error) => understood(error),
        })
    }
}

fn understood(error: ZkError) -> CoordinationError {
    match error {
        ZkError::NoNode => CoordinationError::NoNode,
        ZkError::NodeExists => CoordinationError::NodeExists,
        ZkError::BadVersion => CoordinationError::BadVersion,
        ZkError::NotEmpty => CoordinationError::NotEmpty,
        ZkError::NoAuth | ZkError::AuthFailed => CoordinationError::NoAuth,
        ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved => {
            CoordinationError::Lost(format!("{error:?}"))
        }
        other => CoordinationError::Refused(format!("{other:?}")),
    }
}
