//! A shard's [`ShardState`] in ZooKeeper: the child `state` of the shard's node, one sealed line.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::sync_point::StoreError;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use crate::sync_point::state::ShardState;
use crate::sync_point::state::StateStore;
use crate::sync_point::zk_node::OwnNode;
use crate::sync_point::zk_node::Write;
use serde::Deserialize;
use serde::Serialize;

const SEAL: &str = "crc32";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    #[serde(flatten)]
    state: ShardState,
}

/// Written by any node: a save that comes behind somebody else's is refused, and is to be made again on what there is now.
pub struct ZkStateStore {
    node: OwnNode,
    looked: bool,
}

impl ZkStateStore {
    pub fn new(config: &ZooKeeperConfig, shard: &str) -> Result<Self, StoreError> {
        Ok(Self { node: OwnNode::new(config, shard, Some("state"))?, looked: false })
    }
}

impl StateStore for ZkStateStore {
    fn load(&mut self) -> Result<Option<ShardState>, StoreError> {
        let data = self.node.read()?;
        self.looked = true;
        let Some(data) = data else { return Ok(None) };
        let line = data.strip_suffix(b"\n").unwrap_or(&data);
        let read = unseal(line, SEAL).map_err(|error| error.to_string()).and_then(|text| {
            let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
            match written.format {
                FORMAT => Ok(written.state),
                other => {
                    Err(format!("it has format {other}, this version of fountain reads format {FORMAT}"))
                }
            }
        });
        read.map(Some).map_err(|problem| {
            let text = format!(
                "{}: not the shard's state as it was saved: {problem}; delete the node: a suspension or stop reason in it is \
                 forgotten then",
                self.node.place()
            );
            StoreError::new(Code::PointBroken, text)
        })
    }

    fn save(&mut self, state: &ShardState) -> Result<(), StoreError> {
        if !self.looked {
            self.load()?;
        }
        let written = serde_json::to_string(&Written { format: FORMAT, state: state.clone() });
        let object = written.map_err(|error| StoreError::new(Code::Internal, error.to_string()))?;
        match self.node.write(seal(&object, SEAL).as_bytes())? {
            Write::Done => Ok(()),
            Write::Foreign(_) => {
                let text = format!("{}: it was changed meanwhile; look again", self.node.place());
                Err(StoreError::new(Code::PointStore, text))
            }
        }
    }
}
