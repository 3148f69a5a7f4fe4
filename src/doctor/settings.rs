//! What the configuration itself shows, beyond what makes it invalid.

use crate::code::Code;
use crate::config::Config;
use crate::config::Origin;
use crate::config::Password;
use crate::config::ShardConfig;
use crate::config::SlaveId;
use crate::config::SourceOptions;
use crate::config::keys;
use crate::config::keys::Target;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use crate::pipeline::shard::read_schema_file;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Below this a sink that is held up for a moment costs the stream.
const SHORTEST_NET_TIMEOUT: Duration = Duration::from_secs(60);

/// For the process as a whole.
pub fn process(config: &Config) -> Vec<Finding> {
    let files = match config.settings.files.len() {
        0 => "no file is read".to_owned(),
        1 => "1 file is read".to_owned(),
        count => format!("{count} files are read"),
    };
    let shards = config.enabled_shards().count();
    let off = config.shards.len() - shards;
    let off = if off == 0 { String::new() } else { format!(", {off} not enabled") };
    let text = format!("{files}, every key is valid, {shards} shards{off}");
    let mut findings = vec![Finding::fine(Topic::Configuration, text)];
    findings.extend(config.unsupported().into_iter().map(Finding::from));
    findings.extend(readable_passwords(config));
    findings.extend(shared_ids(config));
    findings
}

/// Files with passwords that others may read.
fn readable_passwords(config: &Config) -> Vec<Finding> {
    let mut files: BTreeSet<&Path> = BTreeSet::new();
    for source in config.enabled_shards().flat_map(|shard| &shard.sources) {
        if let Password::File(path) = &source.password {
            files.insert(path);
        }
    }
    for shard in config.enabled_shards() {
        let backups = shard.sources.iter().map(|source| Target::Backup(shard.number, source.backup));
        for target in backups.chain([Target::Shard(shard.number), Target::Process]) {
            if let Some(Origin::File { path, .. }) = config.settings.given_at(&keys::PASSWORD, target) {
                files.insert(path);
            }
        }
    }
    files.into_iter().filter_map(readable_by_others).collect()
}

fn readable_by_others(path: &Path) -> Option<Finding> {
    // That it cannot be read at all is said where it is read.
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        Finding::warn(
            Code::FileMode,
            format!("{} holds a password, and others may use it (mode {mode:04o})", path.display()),
            format!("run: chmod 600 {}", path.display()),
        )
    })
}

/// Two shards that stream from one server with one id end each other's streams.
fn shared_ids(config: &Config) -> Vec<Finding> {
    let mut users: BTreeMap<(String, u32), Vec<&str>> = BTreeMap::new();
    for shard in config.enabled_shards() {
        for source in &shard.sources {
            if let SlaveId::Fixed(id) = source.slave_id {
                users.entry((source.address(), id)).or_default().push(&shard.name);
            }
        }
    }
    let shared = users.into_iter().filter(|(_, shards)| shards.len() > 1);
    let findings = shared.map(|((address, id), shards)| {
        Finding::error(
            Code::ReplicaIdClash,
            format!("{} stream from {address} with the same server id {id}", shards.join(" and ")),
            "give each of them another mysql_shard_N_slaveId",
        )
    });
    findings.collect()
}

/// For one shard.
pub fn shard(shard: &ShardConfig) -> Vec<Finding> {
    let mut findings: Vec<Finding> = shard.sources.iter().filter_map(short_timeout).collect();
    findings.dedup();
    if let Some(path) = &shard.schema_file
        && let Err(fault) = read_schema_file(path)
    {
        findings.push(Finding::error(fault.code, fault.text, "correct schema_file, or leave it out"));
    }
    findings
}

fn short_timeout(source: &SourceOptions) -> Option<Finding> {
    let seconds = source.net_write_timeout.as_secs();
    (source.net_write_timeout < SHORTEST_NET_TIMEOUT).then(|| {
        Finding::warn(
            Code::NetTimeout,
            format!("mysql_net_write_timeout={seconds}: the server ends the stream when the sink is held up for longer"),
            "set mysql_net_write_timeout=3600",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use crate::doctor::finding::Level;

    fn findings(pairs: &[(&str, &str)]) -> Vec<Finding> {
        let mut all = vec![("mysql_shard_0_server", "db1"), ("mysql_username", "u")];
        all.extend(pairs);
        let config = Config::load(&Request::from_pairs("/h", &all)).unwrap();
        let mut findings = process(&config);
        findings.extend(shard(&config.shards[0]));
        findings
    }

    #[test]
    fn one_id_for_two_streams_from_one_server_is_an_error() {
        let two =
            [("mysql_shard_1_server", "db1"), ("mysql_shard_0_slaveId", "7"), ("mysql_shard_1_slaveId", "7")];
        assert_eq!(findings(&two)[1].code, "REPLICA_ID_CLASH");
        let other = [("mysql_shard_1_port", "3307")];
        assert_eq!(findings(&[&two[..], &other].concat()).len(), 1);
    }

    #[test]
    fn short_timeouts_and_later_keys_are_told() {
        assert_eq!(findings(&[("mysql_net_write_timeout", "30")])[1].code, "NET_TIMEOUT");
        let later = &findings(&[("output_format", "maxwell")])[1];
        assert_eq!((later.level, later.code), (Level::Error, "UNSUPPORTED"));
        assert_eq!(findings(&[]).len(), 1);
    }

    #[test]
    fn a_password_that_others_may_read_is_told_with_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "x").unwrap();
        for (mode, expected) in [(0o600, 1), (0o640, 2), (0o604, 2), (0o400, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = findings(&[("mysql_password_file", path.to_str().unwrap())]);
            assert_eq!(found.len(), expected, "{mode:o} {found:?}");
        }
        let file = folder.path().join("jdbc.properties");
        fs::write(&file, "mysql_shard_0_server=db1\nmysql_username=u\nmysql_password=p\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let request = Request { home: "/h".into(), files: vec![file], ..Request::default() };
        let found = process(&Config::load(&request).unwrap());
        assert!(
            found[1].code == "FILE_MODE" && found[1].cure.as_ref().unwrap().contains("chmod 600"),
            "{found:?}"
        );
    }
}
