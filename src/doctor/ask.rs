//! The questions that the doctor puts to a server. None of them changes anything there; a right that is missing is an
//! answer, a connection that breaks ends the asking.

use crate::code::Code;
use crate::doctor::facts::BinlogFacts;
use crate::doctor::facts::BinlogStatus;
use crate::doctor::facts::ClockFacts;
use crate::doctor::facts::LinkFacts;
use crate::doctor::facts::Replica;
use crate::doctor::facts::ReplicationFacts;
use crate::doctor::facts::RightFacts;
use crate::doctor::facts::SourceFacts;
use crate::doctor::facts::Told;
use crate::mysql::binlog_index::binlog_files;
use crate::mysql::binlog_index::first_known;
use crate::mysql::binlog_index::gtid_sets;
use crate::mysql::connection::Connection;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::CHECK_HOST;
use crate::mysql::preflight::Flavor;
use crate::mysql::preflight::ServerFacts;
use crate::mysql::preflight::try_registration;
use crate::mysql::upstream::upstream;
use crate::wire::response::ResultSet;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Asks a server everything but its tables.
pub fn source(connection: &mut Connection, server: ServerFacts) -> Result<SourceFacts, SourceError> {
    let link = link(connection)?;
    let rights = rights(connection)?;
    let binlog = binlog(connection, &server)?;
    let replication = replication(connection, server.flavor())?;
    let clock = answer(clock(connection))?;
    Ok(SourceFacts { server, link, rights, binlog, replication, clock })
}

/// Tells an answer, even a refusing one, from a connection that has failed.
pub fn answer<T>(told: Told<T>) -> Result<Told<T>, SourceError> {
    match told {
        Err(error) if is_broken(&error) => Err(error),
        told => Ok(told),
    }
}

fn is_broken(error: &SourceError) -> bool {
    use Code::*;
    matches!(error.code(), ConnectionLost | Timeout | Stalled | Protocol | Stopped)
}

fn link(connection: &mut Connection) -> Result<LinkFacts, SourceError> {
    let tls_version = connection.tls_version();
    let asked = connection.query("SHOW SESSION STATUS LIKE 'Ssl_server_not_after'");
    let told = answer(asked)?.ok().and_then(|status| status.text(0, 1));
    let certificate_not_after = told.filter(|text| tls_version.is_some() && !text.is_empty());
    Ok(LinkFacts { tls_version, certificate_not_after })
}

fn rights(connection: &mut Connection) -> Result<RightFacts, SourceError> {
    let account = connection.account()?;
    let grants = answer(connection.query("SHOW GRANTS"))?;
    let grants = grants.map(|grants| texts(&grants, 0)).unwrap_or_default();
    let replica = answer(try_registration(connection, unlikely_id()))?;
    Ok(RightFacts { account, grants, replica })
}

/// A server id that nobody gives by hand and that is not in the range of our own random ones.
fn unlikely_id() -> u32 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    (1 << 31) | (nanos ^ std::process::id().rotate_left(16)) & 0x7fff_fffe
}

fn texts(result: &ResultSet, column: usize) -> Vec<String> {
    (0..result.rows.len()).filter_map(|row| result.text(row, column)).collect()
}

pub fn binlog(connection: &mut Connection, server: &ServerFacts) -> Result<BinlogFacts, SourceError> {
    let gtid_binlog_pos = match server.flavor() {
        Flavor::MariaDb => {
            answer(connection.query("SELECT @@global.gtid_binlog_pos"))?.ok().and_then(|told| told.text(0, 0))
        }
        Flavor::MySql => None,
    };
    let status = first_known(connection, &["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"]);
    let end = answer(status)?.map(|status| BinlogStatus { gtid_binlog_pos, ..binlog_status(&status) });
    let files = answer(binlog_files(connection))?;
    let gtid_sets = match server.flavor() {
        Flavor::MySql => answer(gtid_sets(connection))?,
        Flavor::MariaDb => Ok(None),
    };
    Ok(BinlogFacts { end, files, gtid_sets })
}

fn binlog_status(status: &ResultSet) -> BinlogStatus {
    let text = |name| status.column(name).and_then(|column| status.text(0, column)).unwrap_or_default();
    let databases = |name| -> Vec<String> {
        text(name).split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    BinlogStatus {
        file: text("File"),
        pos: text("Position").parse().unwrap_or(0),
        do_db: databases("Binlog_Do_DB"),
        ignore_db: databases("Binlog_Ignore_DB"),
        gtid_binlog_pos: None,
    }
}

fn replication(connection: &mut Connection, flavor: Flavor) -> Result<ReplicationFacts, SourceError> {
    let listed = first_known(connection, &["SHOW REPLICAS", "SHOW REPLICA HOSTS", "SHOW SLAVE HOSTS"]);
    let replicas = answer(listed)?.map(|listed| replicas(&listed));
    let upstream = answer(upstream(connection, flavor))?;
    Ok(ReplicationFacts { replicas, upstream })
}

/// The first of these columns that the answer has.
fn either(result: &ResultSet, row: usize, names: &[&str]) -> Option<String> {
    let column = names.iter().find_map(|name| result.column(name))?;
    result.text(row, column)
}

fn replicas(listed: &ResultSet) -> Vec<Replica> {
    let replica = |row| {
        Some(Replica {
            server_id: either(listed, row, &["Server_Id", "Server_id"])?.parse().ok()?,
            host: either(listed, row, &["Host"]).unwrap_or_default(),
            uuid: either(listed, row, &["Replica_UUID", "Slave_UUID"]).filter(|uuid| !uuid.is_empty()),
        })
    };
    let replicas = (0..listed.rows.len()).filter_map(replica);
    replicas.filter(|replica| replica.host != CHECK_HOST).collect()
}

fn clock(connection: &mut Connection) -> Told<ClockFacts> {
    connection.query("SET time_zone = '+00:00'")?;
    let before = now_us();
    // Servers before 5.6 know whole seconds only.
    let (told, slack) = match answer(connection.query("SELECT UNIX_TIMESTAMP(NOW(6))"))? {
        Ok(told) => (told, 0),
        Err(_) => (connection.query("SELECT UNIX_TIMESTAMP()")?, 1_000_000),
    };
    let after = now_us();
    let server = microseconds(&told.text(0, 0).unwrap_or_default());
    let half = (after - before) / 2;
    Ok(ClockFacts { ahead_ms: (server - before - half) / 1000, uncertainty_ms: (half + slack) / 1000 + 1 })
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

/// `1795458887.234674` in microseconds.
fn microseconds(text: &str) -> i64 {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: i64 =
        format!("{fraction:0<6}").get(..6).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    seconds.parse::<i64>().unwrap_or(0).saturating_mul(1_000_000).saturating_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_any_length_are_microseconds() {
        assert_eq!(microseconds("1795458887.234674"), 1_795_458_887_234_674);
        assert_eq!(microseconds("5.5"), 5_500_000);
        assert_eq!(microseconds("5"), 5_000_000);
    }

    #[test]
    fn an_unlikely_id_is_above_the_random_ones() {
        assert!(unlikely_id() >= 1 << 31 && unlikely_id() < u32::MAX);
    }
}
