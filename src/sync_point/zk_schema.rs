//! The ledger of definitions in ZooKeeper: the child `schema` of the shard's node, one sealed line as in a file.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::sync_point::StoreError;
use crate::sync_point::schema_store::SchemaStore;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use crate::sync_point::zk_node::OwnNode;
use crate::sync_point::zk_node::Write;
use std::fmt;

const SEAL: &str = "crc32";

/// Written by whoever leads the shard.
pub struct ZkSchemaStore {
    node: OwnNode,
    looked: bool,
}

impl fmt::Debug for ZkSchemaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ZkSchemaStore").field(&self.node.place()).finish()
    }
}

impl ZkSchemaStore {
    pub fn new(config: &ZooKeeperConfig, shard: &str) -> Result<Self, StoreError> {
        Ok(Self { node: OwnNode::new(config, shard, Some("schema"))?, looked: false })
    }
}

impl SchemaStore for ZkSchemaStore {
    fn load(&mut self) -> Result<Option<String>, StoreError> {
        let data = self.node.read()?;
        self.looked = true;
        let Some(data) = data else { return Ok(None) };
        match unseal(&data, SEAL) {
            Ok(object) => Ok(Some(object.to_owned())),
            Err(error) => {
                let text = format!(
                    "{}: not the definitions as they were saved: {error}; delete the node: they are asked of the server again \
                     then",
                    self.node.place()
                );
                Err(StoreError::new(Code::PointBroken, text))
            }
        }
    }

    fn save(&mut self, object: &str) -> Result<(), StoreError> {
        if !self.looked {
            self.load()?;
        }
        match self.node.write(seal(object, SEAL).as_bytes())? {
            Write::Done => Ok(()),
            // Nothing needs them; they are written anew.
            Write::Foreign(None) => {
                self.load()?;
                match self.node.write(seal(object, SEAL).as_bytes())? {
                    Write::Done => Ok(()),
                    Write::Foreign(_) => Err(self.foreign()),
                }
            }
            Write::Foreign(Some(_)) => Err(self.foreign()),
        }
    }
}

impl ZkSchemaStore {
    fn foreign(&self) -> StoreError {
        let text = format!(
            "{}: somebody else has written definitions there; ours were not saved",
            self.node.place()
        );
        StoreError::new(Code::LeadershipLost, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::session::LARGEST_DATA;

    #[test]
    fn the_largest_ledger_fits_a_node_with_its_seal() {
        let object = format!("{{\"a\":\"{}\"}}", "x".repeat(crate::schema::ledger::MAX_STORED - 9));
        assert_eq!(object.len(), crate::schema::ledger::MAX_STORED - 1, "the ledger stays below");
        assert!(seal(&object, SEAL).len() <= LARGEST_DATA);
    }
}
