//! Whether a shard can go over to another source: by GTIDs, for file and position mean nothing there.

use crate::code::Code;
use crate::config::DumpStrategy;
use crate::config::ShardConfig;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use crate::mysql::advice::set_global;
use crate::mysql::preflight::Flavor;
use crate::mysql::preflight::ServerFacts;

/// Set in the configuration file of every server.
const RESTART: &str = "set gtid_mode=ON, enforce_gtid_consistency=ON and log_slave_updates=ON in the configuration files \
                       of all servers of the shard and restart them";

pub fn gtid(server: &ServerFacts, shard: &ShardConfig) -> Finding {
    let needed = shard.sources.len() > 1 && shard.dump_strategy != DumpStrategy::Ares
        || shard.dump_strategy == DumpStrategy::Gtid;
    match server.flavor() {
        Flavor::MySql => mysql(server, needed),
        Flavor::MariaDb => mariadb(server, needed),
    }
}

fn mysql(server: &ServerFacts, needed: bool) -> Finding {
    let Some(mode) = server.variable("gtid_mode") else {
        return Finding::fine(Topic::Gtid, "the server knows no GTIDs: it is followed by file and position");
    };
    let consistency = server.variable("enforce_gtid_consistency").unwrap_or("ON");
    if mode == "ON" {
        return Finding::fine(Topic::Gtid, format!("gtid_mode=ON, enforce_gtid_consistency={consistency}"));
    }
    if mode != "OFF" {
        let text = format!("gtid_mode={mode}: some transactions have GTIDs and some have none");
        let steps = if mode == "OFF_PERMISSIVE" { &["ON_PERMISSIVE", "ON"][..] } else { &["ON"] };
        return Finding::warn(Code::GtidMode, text, online(server, consistency, steps));
    }
    if !needed {
        return Finding::fine(Topic::Gtid, "gtid_mode=OFF: the server is followed by file and position");
    }
    let cure = match is_older_than_5_7(server) {
        true => RESTART.to_owned(),
        false => online(server, consistency, &["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]),
    };
    let text = "gtid_mode=OFF: the shard cannot go over to another of its sources, where file and position mean nothing";
    Finding::warn(Code::GtidMode, text, cure)
}

/// Since 5.7.6 GTIDs are switched on without a restart, one step after the other, on every server of the shard.
fn online(server: &ServerFacts, consistency: &str, steps: &[&str]) -> String {
    let word = if server.variable("persisted_globals_load").is_some() { "PERSIST" } else { "GLOBAL" };
    let first = (consistency != "ON").then(|| format!("SET {word} enforce_gtid_consistency=ON"));
    let steps = steps.iter().map(|mode| format!("SET {word} gtid_mode={mode}"));
    let statements: Vec<String> = first.into_iter().chain(steps).collect();
    format!(
        "run on the server: {} (each step on all servers of the shard before the next)",
        statements.join("; ")
    )
}

fn is_older_than_5_7(server: &ServerFacts) -> bool {
    let mut numbers = server.version().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < (5, 7)
}

fn mariadb(server: &ServerFacts, needed: bool) -> Finding {
    let domain = server.variable("gtid_domain_id").unwrap_or("0");
    let strict = server.is_on("gtid_strict_mode") == Some(true);
    if strict || !needed {
        let strict = if strict { "ON" } else { "OFF" };
        return Finding::fine(Topic::Gtid, format!("gtid_domain_id={domain}, gtid_strict_mode={strict}"));
    }
    Finding::warn(
        Code::GtidMode,
        "gtid_strict_mode=OFF: the server may log a domain's numbers out of order; fountain then stops instead of guessing",
        set_global(server, "gtid_strict_mode=ON"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Request;
    use crate::doctor::finding::Level;

    fn judged(pairs: &[(&str, &str)], backup: bool) -> Finding {
        let mut keys = vec![("mysql_shard_0_server", "db1"), ("mysql_username", "u")];
        if backup {
            keys.push(("mysql_shard_0_ha1_server", "db2"));
        }
        let config = Config::load(&Request::from_pairs("/h", &keys)).unwrap();
        gtid(&ServerFacts::of(pairs), &config.shards[0])
    }

    #[test]
    fn gtids_are_needed_where_there_is_a_backup() {
        let off = [
            ("gtid_mode", "OFF"),
            ("version", "9.7.4"),
            ("persisted_globals_load", "ON"),
            ("enforce_gtid_consistency", "OFF"),
        ];
        assert_eq!(judged(&off, false).level, Level::Ok);
        let needed = judged(&off, true);
        assert_eq!((needed.level, needed.code), (Level::Warn, "GTID_MODE"));
        assert_eq!(
            needed.cure.unwrap(),
            "run on the server: SET PERSIST enforce_gtid_consistency=ON; SET PERSIST gtid_mode=OFF_PERMISSIVE; \
             SET PERSIST gtid_mode=ON_PERMISSIVE; SET PERSIST gtid_mode=ON (each step on all servers of the shard before \
             the next)"
        );
        let old = judged(&[("gtid_mode", "OFF"), ("version", "5.6.24-log")], true);
        assert!(old.cure.unwrap().contains("restart"));
        assert_eq!(judged(&[("gtid_mode", "ON")], true).level, Level::Ok);
        assert_eq!(judged(&[("version", "5.5.1")], true).level, Level::Ok);
    }

    #[test]
    fn half_on_is_told_whatever_the_sources() {
        let half = judged(&[("gtid_mode", "ON_PERMISSIVE"), ("version", "8.0.36")], false);
        assert!(half.cure.unwrap().contains("SET GLOBAL gtid_mode=ON ("));
        let half = judged(&[("gtid_mode", "OFF_PERMISSIVE")], false);
        assert!(half.cure.unwrap().contains("ON_PERMISSIVE; SET GLOBAL gtid_mode=ON ("));
    }

    #[test]
    fn mariadb_needs_strict_order() {
        let loose = [("gtid_domain_id", "0"), ("gtid_strict_mode", "OFF")];
        assert_eq!(judged(&loose, false).level, Level::Ok);
        assert!(judged(&loose, true).cure.unwrap().contains("SET GLOBAL gtid_strict_mode=ON"));
        assert_eq!(judged(&[("gtid_domain_id", "0"), ("gtid_strict_mode", "ON")], true).level, Level::Ok);
    }
}
