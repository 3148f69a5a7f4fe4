//! As whom we appear to a server: server id and uuid of the replica that we pose as.

use crate::config::Config;
use crate::config::PointStore;
use crate::config::SlaveId;
use crate::coordination::servers::Servers;
use crate::mysql::config::SourceConfig;
use sha1::Digest;
use sha1::Sha1;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::path::Path;

/// The server ids that one source sees, connection after connection.
#[derive(Debug, Clone)]
pub struct ReplicaIds {
    from: u32,
    to: u32,
    next: u32,
    rises: bool,
}

impl ReplicaIds {
    pub fn new(configured: SlaveId) -> Self {
        let (from, to, rises) = match configured {
            SlaveId::Fixed(id) => (id, id, false),
            SlaveId::Random(from, to) => (from, to, false),
            SlaveId::RandomThenIncrement(from, to) => (from, to, true),
        };
        let span = u64::from(to.saturating_sub(from)) + 1;
        // The remainder is below 2³², and `from` plus it is at most `to`.
        let next = from + (random() % span) as u32;
        Self { from, to, next, rises }
    }

    /// The id for a new connection.
    pub fn take(&mut self) -> u32 {
        let id = self.next;
        if self.rises {
            self.next = if id >= self.to { self.from } else { id + 1 };
        }
        id
    }
}

/// A number that differs from process to process. Nothing secret depends on it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The same account as another replica, beside one that streams: with an id and a uuid that neither that one, nor a second
/// look ahead, nor the server `taken` has. A dump under an id or uuid that is in use would end the other one.
pub fn other_replica(source: &SourceConfig, taken: u32) -> SourceConfig {
    const FROM: u32 = 1 << 30;
    let ids = std::iter::repeat_with(|| FROM + (random() % u64::from(FROM)) as u32);
    let server_id = ids.take(8).find(|id| *id != taken && *id != source.server_id);
    let number = random().to_string();
    SourceConfig {
        server_id: server_id.unwrap_or(FROM),
        replica_uuid: uuid_at(Path::new(&number), "look ahead"),
        ..source.clone()
    }
}

/// The uuid of a shard's replica: the same at every start of this deployment, so that a new dump ends an old one of ours
/// that the server still serves, and another one for every other shard and deployment. A deployment is a folder of points on
/// a host, or, of all nodes that share it, a path in ZooKeeper.
pub fn replica_uuid(config: &Config, shard: &str) -> String {
    match config.points.store {
        PointStore::File => uuid_at(&config.point_dir, shard),
        PointStore::ZooKeeper => {
            let Servers { root, .. } = Servers::of(config.zookeeper.servers.as_deref().unwrap_or_default());
            let path = config.zookeeper.save_position_root_path.as_deref().unwrap_or_default();
            uuid_of(&[b"zookeeper", format!("{root}{path}").as_bytes(), shard.as_bytes()])
        }
    }
}

fn uuid_at(folder: &Path, shard: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| String::from("-"));
    uuid_of(&[host.trim().as_bytes(), folder.as_os_str().as_encoded_bytes(), shard.as_bytes()])
}

/// Made like a version 5 UUID (RFC 9562, section 5.5).
fn uuid_of(parts: &[&[u8]]) -> String {
    let mut hasher = Sha1::new();
    for part in [&[&b"fountain replica"[..]], parts].concat() {
        hasher.update(part);
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let mut hex: Vec<u8> =
        digest.iter().take(16).flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
    if let Some(version) = hex.get_mut(12) {
        *version = b'5';
    }
    if let Some(variant) = hex.get_mut(16) {
        *variant = b'8';
    }
    let mut uuid = String::with_capacity(36);
    for (index, digit) in hex.into_iter().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            uuid.push('-');
        }
        uuid.push(char::from(digit));
    }
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_in_their_range() {
        let mut fixed = ReplicaIds::new(SlaveId::Fixed(10));
        assert_eq!([fixed.take(), fixed.take()], [10, 10]);
        let mut random = ReplicaIds::new(SlaveId::Random(10, 12));
        let id = random.take();
        assert!((10..=12).contains(&id) && random.take() == id);
        let mut rising = ReplicaIds::new(SlaveId::RandomThenIncrement(10, 12));
        let seen: Vec<u32> = (0..6).map(|_| rising.take()).collect();
        assert!(
            seen.windows(2).all(|pair| pair[1] == pair[0] + 1 || (pair[0], pair[1]) == (12, 10)),
            "{seen:?}"
        );
        ReplicaIds::new(SlaveId::Random(1, u32::MAX)).take();
    }

    #[test]
    fn the_uuid_is_stable_and_told_apart() {
        let one = uuid_at(Path::new("/a"), "producer00");
        assert_eq!(one, uuid_at(Path::new("/a"), "producer00"));
        assert_ne!(one, uuid_at(Path::new("/a"), "producer01"));
        assert_ne!(one, uuid_at(Path::new("/b"), "producer00"));
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "5");
    }

    #[test]
    fn nodes_that_share_their_points_show_one_uuid() {
        let uuid = |home: &str, servers: &str, path: &str| {
            let pairs = [
                ("mysql_shard_0_server", "db1"),
                ("mysql_username", "u"),
                ("zk_string", servers),
                ("zk_save_position_root_path", path),
            ];
            let config = Config::load(&crate::config::Request::from_pairs(home, &pairs)).unwrap();
            replica_uuid(&config, "producer00")
        };
        let one = uuid("/a", "x:1,y:1/root", "/points");
        assert_eq!(one, uuid("/b", "y:1/root", "/points"));
        assert_ne!(one, uuid("/a", "x:1,y:1", "/points"));
        assert_ne!(one, uuid("/a", "x:1,y:1/root", "/others"));
    }
}
