//! Replicas of a source, and a source that is a replica itself.

use crate::code::Code;
use crate::doctor::facts::Replica;
use crate::doctor::facts::SourceFacts;
use crate::doctor::facts::Told;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use crate::doctor::rules::listed;
use crate::mysql::preflight::Flavor;
use crate::mysql::preflight::ServerFacts;
use crate::mysql::upstream::Upstream;
use crate::mysql::upstream::is_in_cluster;
use crate::mysql::upstream::updates_off;

/// As whom a run appears to the source.
#[derive(Debug, Clone, Copy)]
pub struct OurSelf<'a> {
    /// None where each run draws another one.
    pub server_id: Option<u32>,
    pub uuid: &'a str,
    /// What we say our host is: the shard's name.
    pub host: &'a str,
}

pub fn replicas(facts: &SourceFacts, us: OurSelf<'_>, is_backup: bool) -> Vec<Finding> {
    let mut findings = connected(&facts.replication.replicas, us);
    if let Some(id) = us.server_id
        && let Err(error) = facts.server.require_other_id(id)
    {
        findings.push(Finding::source(Level::Error, &error));
    }
    let upstream = facts.replication.upstream.as_deref().unwrap_or_default();
    if is_backup || !upstream.is_empty() {
        findings.extend(updates_not_logged(&facts.server));
        findings.extend(out_of_order(&facts.server));
    }
    if is_backup && !is_in_cluster(&facts.server) {
        findings.extend(standing_still(&facts.replication.upstream));
    }
    findings
}

fn connected(told: &Told<Vec<Replica>>, us: OurSelf<'_>) -> Vec<Finding> {
    let replicas = match told {
        Ok(replicas) => replicas,
        Err(error) if error.code() == Code::RightMissing => {
            let text = "which replicas are connected is not told: the account may not see it (MariaDB: REPLICATION MASTER \
                        ADMIN; MySQL: REPLICATION SLAVE)";
            return vec![Finding::fine(Topic::Replicas, text)];
        }
        Err(error) => return vec![Finding::source(Level::Warn, error)],
    };
    let is_us = |replica: &Replica| match &replica.uuid {
        Some(uuid) => uuid == us.uuid,
        None => replica.host == us.host,
    };
    let mut findings = Vec::new();
    let names: Vec<String> = replicas
        .iter()
        .map(|replica| {
            let ours = if is_us(replica) { " (this shard, running)" } else { "" };
            let host = if replica.host.is_empty() { String::new() } else { format!(" {}", replica.host) };
            format!("{}{host}{ours}", replica.server_id)
        })
        .collect();
    let text = match names.as_slice() {
        [] => "no replica is connected".to_owned(),
        names => format!("connected replicas: {}", listed(names)),
    };
    findings.push(Finding::fine(Topic::Replicas, text));
    let clash = replicas.iter().find(|replica| Some(replica.server_id) == us.server_id && !is_us(replica));
    findings.extend(clash.map(|replica| {
        Finding::error(
            Code::ReplicaIdClash,
            format!(
                "replica {} ({}) is connected with the server id that is ours",
                replica.server_id, replica.host
            ),
            "set mysql_shard_N_slaveId to a number that no server and no other replica has",
        )
    }));
    findings
}

fn updates_not_logged(server: &ServerFacts) -> Option<Finding> {
    updates_off(server).map(|name| {
        Finding::error(
            Code::ReplicaUpdates,
            format!("{name}=OFF: what this server replicates is not in its binlog"),
            format!("set {name}=ON in the server's configuration file and restart it"),
        )
    })
}

/// MySQL with several appliers and without `replica_preserve_commit_order`. MariaDB always commits in order within a
/// domain.
fn out_of_order(server: &ServerFacts) -> Option<Finding> {
    if server.flavor() == Flavor::MariaDb {
        return None;
    }
    let told = |names: [&'static str; 2]| names.into_iter().find(|name| server.variable(name).is_some());
    let workers = told(["replica_parallel_workers", "slave_parallel_workers"])?;
    let count: u64 = server.variable(workers)?.parse().ok()?;
    let order = told(["replica_preserve_commit_order", "slave_preserve_commit_order"]);
    if count <= 1 || order.is_some_and(|order| server.is_on(order) == Some(true)) {
        return None;
    }
    let thread = if workers.starts_with("replica") { "REPLICA" } else { "SLAVE" };
    let setting = match order {
        Some(order) => format!("{order}=ON"),
        None => format!("{workers}=0"),
    };
    let word = if server.variable("persisted_globals_load").is_some() { "PERSIST" } else { "GLOBAL" };
    Some(Finding::warn(
        Code::CommitOrder,
        format!(
            "{workers}={count}{}: the replica commits in another order than its source, so that no place in the one's \
             binlog is a place in the other's",
            order.map(|order| format!(" with {order}=OFF")).unwrap_or_default()
        ),
        format!(
            "run on the server: STOP {thread} SQL_THREAD; SET {word} {setting}; START {thread} SQL_THREAD"
        ),
    ))
}

fn standing_still(told: &Told<Vec<Upstream>>) -> Option<Finding> {
    let upstream = told.as_ref().ok()?;
    let Some(stopped) = upstream.iter().find(|upstream| !upstream.running) else {
        return upstream.is_empty().then(|| {
            Finding::warn(
                Code::ReplicationBroken,
                "this backup replicates from nobody: it will not have what the main server has",
                "make it a replica of the main server (CHANGE REPLICATION SOURCE TO, older: CHANGE MASTER TO), or take it out \
                 of the configuration",
            )
        });
    };
    Some(Finding::warn(
        Code::ReplicationBroken,
        format!("this backup's replication from {} stands still", stopped.source),
        "see Last_Error in SHOW REPLICA STATUS (older: SHOW SLAVE STATUS), cure it, then run on the server: START REPLICA \
         (older: START SLAVE)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: OurSelf<'_> = OurSelf { server_id: Some(7), uuid: "our-uuid", host: "producer00" };

    fn replica(server_id: u32, host: &str, uuid: Option<&str>) -> Replica {
        Replica { server_id, host: host.into(), uuid: uuid.map(str::to_owned) }
    }

    #[test]
    fn our_own_run_is_no_clash() {
        for ours in [replica(7, "producer00", Some("our-uuid")), replica(7, "producer00", None)] {
            let found = connected(&Ok(vec![ours]), US);
            assert_eq!(found.len(), 1);
            assert!(found[0].text.contains("7 producer00 (this shard, running)"), "{found:?}");
        }
        let found = connected(&Ok(vec![replica(7, "producer00", Some("another"))]), US);
        assert_eq!((found[1].code, found[1].level), ("REPLICA_ID_CLASH", Level::Error));
        assert_eq!(connected(&Ok(vec![replica(8, "db9", None)]), US).len(), 1);
        assert_eq!(connected(&Ok(Vec::new()), US)[0].text, "no replica is connected");
    }

    #[test]
    fn a_replica_that_logs_nothing_is_no_source() {
        for (name, value, expected) in [
            ("log_slave_updates", "OFF", true),
            ("log_replica_updates", "OFF", true),
            ("log_replica_updates", "ON", false),
            ("version", "5.5", false),
        ] {
            let found = updates_not_logged(&ServerFacts::of(&[(name, value)]));
            assert_eq!(found.is_some(), expected, "{name}={value}");
        }
    }

    #[test]
    fn the_order_of_commits_is_cured_for_each_version() {
        let cure =
            |pairs: &[(&str, &str)]| out_of_order(&ServerFacts::of(pairs)).map(|found| found.cure.unwrap());
        assert_eq!(
            cure(&[
                ("replica_parallel_workers", "4"),
                ("replica_preserve_commit_order", "OFF"),
                ("persisted_globals_load", "ON")
            ])
            .unwrap(),
            "run on the server: STOP REPLICA SQL_THREAD; SET PERSIST replica_preserve_commit_order=ON; \
             START REPLICA SQL_THREAD"
        );
        assert!(
            cure(&[("slave_parallel_workers", "4")]).unwrap().contains("SET GLOBAL slave_parallel_workers=0")
        );
        assert_eq!(cure(&[("replica_parallel_workers", "4"), ("replica_preserve_commit_order", "ON")]), None);
        assert_eq!(cure(&[("slave_parallel_workers", "0")]), None);
        assert_eq!(cure(&[("slave_parallel_workers", "4"), ("gtid_domain_id", "0")]), None);
    }

    #[test]
    fn a_backup_must_replicate() {
        let upstream = |running| Upstream { source: "db1:3306".into(), running };
        assert!(standing_still(&Ok(vec![upstream(true)])).is_none());
        assert!(
            standing_still(&Ok(vec![upstream(false)])).unwrap().text.contains("from db1:3306 stands still")
        );
        assert!(standing_still(&Ok(Vec::new())).unwrap().text.contains("from nobody"));
    }
}
