//! What a node writes of itself into its nodes in ZooKeeper, for people and for the other nodes.

use crate::config::Config;
use crate::config::ExecResume;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::config::choice::Choice;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Target;
use crate::guard::Leader;
use serde::Deserialize;
use serde::Serialize;
use sha1::Digest;
use sha1::Sha1;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// The shards themselves.
const NAMES: &str = "mysql_shard_N_name";
/// Where points are kept.
const ROOT: &str = "zk_save_position_root_path";

/// JSON in the node. What a reader does not know it passes over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announcement {
    /// Host name.
    pub node: String,
    pub pid: u32,
    /// When this process began: UTC.
    pub since: String,
    /// In the latch: since when it leads, in milliseconds since 1970. Absent: it does not, or not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leads_since_ms: Option<u64>,
    pub version: String,
    /// `status_dir`: tells processes of one host apart.
    pub status_dir: String,
    /// `ha_max_shards`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_shards: Option<u64>,
    /// Where nodes share the shards: which ones this one would lead. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes: Option<BTreeSet<String>>,
    /// Shards of which this node knows, on its own disk, that they have a point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<String>,
    /// Of each key that all nodes must agree on, a digest of its values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl Announcement {
    /// `shards`: those that the announcement is about.
    pub fn new(config: &Config, shards: &[&ShardConfig]) -> Self {
        Self {
            node: host_name(),
            pid: std::process::id(),
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            leads_since_ms: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            status_dir: config.status_dir.display().to_string(),
            max_shards: config.nodes.max_shards,
            takes: None,
            points: Vec::new(),
            digests: digests(config, shards),
        }
    }

    /// What another process has written. A node of the original Fountain holds its address alone.
    pub fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(bytes).chars().take(100).collect();
            Self { node: text, ..Self::default() }
        })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // A map of strings always has a JSON form.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Whether that node's points are not where this one's are. One that does not tell has none of our kind, and a former
    /// process of this node's, whose path a person has changed since, is no other node.
    pub fn keeps_points_elsewhere(&self, other: &Self) -> bool {
        if (&self.node, &self.status_dir) == (&other.node, &other.status_dir) {
            return false;
        }
        match (self.digests.get(ROOT), other.digests.get(ROOT)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        }
    }

    /// Who that is, to a node that announces itself as `ours`.
    pub fn as_leader(&self, ours: &Self) -> Leader {
        let nameless = self.node.is_empty();
        Leader {
            node: if nameless { self.to_string() } else { self.node.clone() },
            pid: Some(self.pid).filter(|pid| *pid > 0),
            since_ms: self.leads_since_ms,
            differs: ours.differs_in(self).into_iter().map(str::to_owned).collect(),
        }
    }

    /// The keys whose values differ, of those that both tell. Where the shards are others, nothing else can be compared.
    pub fn differs_in(&self, other: &Self) -> Vec<&str> {
        let differs = |key: &str| match (self.digests.get(key), other.digests.get(key)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        if differs(NAMES) {
            return vec![NAMES];
        }
        self.digests.keys().map(String::as_str).filter(|key| differs(key)).collect()
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 if self.node.is_empty() => f.write_str("a node that does not say its name"),
            0 => write!(f, "{} (no fountain of this kind)", self.node),
            pid => write!(f, "{} (process {pid} started {})", self.node, self.since),
        }
    }
}

pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Folders, passwords, replica ids and time-outs may differ; what decides which rows are delivered, and in what form, may not.
fn digests(config: &Config, shards: &[&ShardConfig]) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    let root = config.zookeeper.save_position_root_path.as_deref();
    let of_the_process = [("ha_scope", config.nodes.scope.word()), (ROOT, root.unwrap_or("-"))];
    for (key, value) in of_the_process {
        digests.insert(key.to_owned(), digest([value]));
    }
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for shard in shards {
        for (key, value) in agreed(config, shard) {
            values.entry(key).or_default().push(format!("{}={value}", shard.name));
        }
    }
    digests.extend(values.into_iter().map(|(key, values)| (key.to_owned(), digest(values))));
    digests
}

fn digest<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    let mut hasher = Sha1::new();
    for value in values {
        hasher.update(value.as_ref().as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn agreed(config: &Config, shard: &ShardConfig) -> Vec<(&'static str, String)> {
    let text = |key: &'static Key| {
        config.settings.text(key, Target::Shard(shard.number)).unwrap_or_default().to_owned()
    };
    let transactions = &shard.transactions;
    vec![
        (NAMES, shard.name.clone()),
        ("mysql_shard_N_server", shard.sources.iter().map(|source| source.address() + ",").collect()),
        ("filter_shard_table_white", text(&keys::FILTER_WHITE)),
        ("filter_shard_table_black", text(&keys::FILTER_BLACK)),
        ("start_without_point", text(&keys::START_WITHOUT_POINT)),
        ("schema_file", shard.schema_file.as_deref().map(content).unwrap_or_default()),
        ("binlog_dump_strategy", shard.dump_strategy.word().to_owned()),
        ("position_failover", shard.position_failover.word().to_owned()),
        ("transaction_policy", transactions.policy.word().to_owned()),
        ("trans_max_size", transactions.max_rows.to_string()),
        ("trans_max_bytes", transactions.max_bytes.to_string()),
        ("trans_oversize", transactions.oversize.word().to_owned()),
        ("statement_dml", transactions.statement_dml.word().to_owned()),
        ("dispatch_ddl", transactions.dispatch_ddl.word().to_owned()),
        ("dispatch_transaction", transactions.dispatch_transaction.to_string()),
        ("dispatch_gap", transactions.dispatch_gap.to_string()),
        ("sink", sink(&shard.sink)),
        ("output_format", shard.output_format.word().to_owned()),
        ("json_bigint", shard.json_bigint.word().to_owned()),
    ]
}

/// Nodes have it in a folder each: what it says counts. One that cannot be read differs from every other.
fn content(file: &Path) -> String {
    match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => error.to_string(),
    }
}

fn sink(sink: &SinkConfig) -> String {
    match sink {
        SinkConfig::Stdout => "stdout".to_owned(),
        SinkConfig::File(_) => "file".to_owned(),
        SinkConfig::Exec(exec) if exec.resume == ExecResume::Consumer => "exec, resumes".to_owned(),
        SinkConfig::Exec(_) => "exec".to_owned(),
        SinkConfig::Null => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;

    fn announced(pairs: &[(&str, &str)]) -> Announcement {
        let shared = [
            ("mysql_username", "u"),
            ("mysql_shard_0_server", "db1"),
            ("zk_string", "zk:2181"),
            ("zk_leader_latch_path", "/l"),
            ("zk_save_position_root_path", "/p"),
        ];
        let given = |key: &str| pairs.iter().any(|(other, _)| *other == key);
        let all: Vec<_> =
            shared.into_iter().filter(|(key, _)| !given(key)).chain(pairs.iter().copied()).collect();
        let config = Config::load(&Request::from_pairs("/home", &all)).unwrap();
        let shards: Vec<&ShardConfig> = config.enabled_shards().collect();
        Announcement::new(&config, &shards)
    }

    #[test]
    fn differences_are_told_by_key_and_what_may_differ_does_not_count() {
        let one = announced(&[]);
        let same = announced(&[
            ("mysql_password_file", "x"),
            ("mysql_shard_0_slaveId", "7"),
            ("file_sink_dir", "elsewhere"),
            ("ha_max_shards", "3"),
            ("zk_session_timeout", "9000"),
            ("trans_max_bytes", "64MiB"),
        ]);
        assert_eq!(one.differs_in(&same), [""; 0]);
        assert_eq!(one.differs_in(&announced(&[("start_without_point", "end")])), ["start_without_point"]);
        let temp = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = temp.path().join(name);
            std::fs::write(&path, text).unwrap();
            announced(&[("schema_file", path.to_str().unwrap())])
        };
        assert_eq!(file("a", "x").differs_in(&file("b", "y")), ["schema_file"]);
        assert_eq!(file("a", "x").differs_in(&file("b", "x")), [""; 0], "by what it says, not by its name");
        let other = announced(&[
            ("mysql_shard_0_server", "db2"),
            ("filter_shard_table_white", "a.b"),
            ("sink", "null"),
            ("zk_save_position_root_path", "/q"),
        ]);
        let expected =
            ["filter_shard_table_white", "mysql_shard_N_server", "sink", "zk_save_position_root_path"];
        assert_eq!(one.differs_in(&other), expected);
        assert!(!one.keeps_points_elsewhere(&other), "it is this very node, before its path was changed");
        let other = Announcement { status_dir: "/other".into(), ..other };
        assert!(one.keeps_points_elsewhere(&other) && !one.keeps_points_elsewhere(&same));
        assert!(!one.keeps_points_elsewhere(&Announcement::default()));
        assert_eq!(announced(&[("mysql_shard_0_name", "b")]).differs_in(&one), ["mysql_shard_N_name"]);
    }

    #[test]
    fn what_others_write_is_read_as_far_as_it_goes() {
        let one = announced(&[]);
        assert_eq!(Announcement::parse(&one.to_bytes()), one);
        let original = Announcement::parse(b"10.94.37.23");
        assert_eq!(original.to_string(), "10.94.37.23 (no fountain of this kind)");
        assert_eq!(one.differs_in(&original), [""; 0]);
        let newer = Announcement::parse(br#"{"node":"a","pid":7,"since":"then","new":[1]}"#);
        assert_eq!(newer.to_string(), "a (process 7 started then)");
        assert!(Announcement::parse(b"").to_string().contains("does not say"));
    }
}
