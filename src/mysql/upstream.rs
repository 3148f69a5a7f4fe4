//! From whom a server replicates itself, and whether it logs what comes that way.

use super::binlog_index::first_known;
use super::connection::Connection;
use super::error::SourceError;
use super::preflight::Flavor;
use super::preflight::ServerFacts;
use crate::code::Code;
use crate::wire::response::ResultSet;

/// A line of `SHOW REPLICA STATUS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `host:port`
    pub source: String,
    /// Both of its threads are at work.
    pub running: bool,
}

/// How a server comes by transactions that are not made on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// Not at all.
    None,
    From(Vec<Upstream>),
    /// As a member of a Galera cluster or of Group Replication.
    Cluster,
    /// The account may not see it: MariaDB since 10.5 wants REPLICA MONITOR for that.
    Hidden,
}

/// The replication channels of a server, stopped ones too.
pub fn upstream(connection: &mut Connection, flavor: Flavor) -> Result<Vec<Upstream>, SourceError> {
    // On MariaDB, SHOW SLAVE STATUS tells of one connection only.
    let statements: &[&str] = match flavor {
        Flavor::MariaDb => &["SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS"],
        Flavor::MySql => &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"],
    };
    first_known(connection, statements).map(|status| channels(&status))
}

/// The same as far as the account may see it.
pub fn replication(connection: &mut Connection, facts: &ServerFacts) -> Result<Replication, SourceError> {
    if is_in_cluster(facts) {
        return Ok(Replication::Cluster);
    }
    match upstream(connection, facts.flavor()) {
        Ok(channels) if channels.is_empty() => Ok(Replication::None),
        Ok(channels) => Ok(Replication::From(channels)),
        Err(error) if error.code() == Code::RightMissing => by_counters(connection),
        Err(error) => Err(error),
    }
}

/// The counters of threads need no right. They do not tell a stopped channel from none.
fn by_counters(connection: &mut Connection) -> Result<Replication, SourceError> {
    let sql = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Slave_running', 'Slaves_running')";
    let status = connection.query(sql)?;
    let runs = |row| status.text(row, 1).is_some_and(|value| value != "OFF" && value != "0");
    Ok(match (0..status.rows.len()).any(runs) {
        true => Replication::From(vec![Upstream { source: "another server".to_owned(), running: true }]),
        false => Replication::Hidden,
    })
}

/// Members of Galera and Group Replication get their changes another way.
pub fn is_in_cluster(facts: &ServerFacts) -> bool {
    let group = facts.variable("group_replication_group_name").is_some_and(|name| !name.is_empty());
    group || facts.is_on("wsrep_on") == Some(true)
}

/// The variable by which a server leaves out of its binlog what it replicates; none where it does not.
pub fn updates_off(facts: &ServerFacts) -> Option<&'static str> {
    let names = ["log_replica_updates", "log_slave_updates"];
    let name = names.into_iter().find(|name| facts.variable(name).is_some())?;
    (facts.is_on(name) == Some(false)).then_some(name)
}

fn channels(status: &ResultSet) -> Vec<Upstream> {
    let one = |row| {
        let text = |names: [&str; 2]| {
            let column = names.iter().find_map(|name| status.column(name));
            column.and_then(|column| status.text(row, column)).unwrap_or_default()
        };
        let runs = |names| text(names) == "Yes";
        let host = text(["Source_Host", "Master_Host"]);
        Upstream {
            source: format!("{host}:{}", text(["Source_Port", "Master_Port"])),
            running: runs(["Replica_IO_Running", "Slave_IO_Running"])
                && runs(["Replica_SQL_Running", "Slave_SQL_Running"]),
        }
    };
    (0..status.rows.len()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_tell_clusters_and_replicas_that_log_nothing() {
        let facts = |pairs: &[(&str, &str)]| ServerFacts::of(pairs);
        assert!(is_in_cluster(&facts(&[("wsrep_on", "ON")])));
        assert!(is_in_cluster(&facts(&[("group_replication_group_name", "3e11fa47")])));
        assert!(!is_in_cluster(&facts(&[("group_replication_group_name", ""), ("wsrep_on", "OFF")])));
        for (name, value, off) in [
            ("log_slave_updates", "OFF", true),
            ("log_slave_updates", "0", true),
            ("log_replica_updates", "OFF", true),
            ("log_replica_updates", "ON", false),
            ("version", "5.5", false),
        ] {
            assert_eq!(updates_off(&facts(&[(name, value)])).is_some(), off, "{name}={value}");
        }
    }
}
