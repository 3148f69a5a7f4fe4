//! What a server is and what it logs, asked instead of guessed from its version, and clear refusals where it cannot
//! be a source.

use super::connection::Connection;
use super::error::SourceError;
use super::refusal::ITSELF_ADVICE;
use super::refusal::LOG_BIN_ADVICE;
use super::refusal::When;
use crate::binlog::format_description::ServerVersion;
use crate::code::Code;
use crate::wire::command::Command;
use std::collections::BTreeMap;
use std::fmt;

/// Every variable that any part of fountain asks about. A server leaves out those that it does not know.
const VARIABLES: &[&str] = &[
    "version",
    "version_comment",
    "server_id",
    "server_uuid",
    "server_uid",
    "log_bin",
    "log_bin_compress",
    "log_slave_updates",
    "log_replica_updates",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_checksum",
    "binlog_transaction_compression",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
    "encrypt_binlog",
    "binlog_encryption",
    "gtid_mode",
    "enforce_gtid_consistency",
    "gtid_domain_id",
    "gtid_strict_mode",
    "lower_case_table_names",
    "max_allowed_packet",
    "time_zone",
    "system_time_zone",
    "read_only",
    "binlog_error_action",
    "binlog_expire_logs_auto_purge",
    "innodb_native_foreign_keys",
    "max_binlog_total_size",
    "persisted_globals_load",
    "replica_parallel_workers",
    "replica_preserve_commit_order",
    "slave_parallel_workers",
    "slave_preserve_commit_order",
    "slave_max_allowed_packet",
    "sync_binlog",
    "wsrep_on",
    "group_replication_group_name",
];

/// Whose server it is, where the two differ. Percona Server is a `MySql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    MySql,
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// A server's own words about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    place: String,
    flavor: Flavor,
    server_id: u32,
    variables: BTreeMap<String, String>,
}

impl ServerFacts {
    /// Asks the server. No right is needed for that.
    pub fn probe(connection: &mut Connection) -> Result<Self, SourceError> {
        let names: Vec<String> = VARIABLES.iter().map(|name| format!("'{name}'")).collect();
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(","));
        let answer = connection.query(&sql)?;
        let variables = (0..answer.rows.len())
            .filter_map(|row| Some((answer.text(row, 0)?.to_lowercase(), answer.text(row, 1)?)))
            .collect();
        Self::new(connection.place(), variables)
    }

    fn new(place: &str, variables: BTreeMap<String, String>) -> Result<Self, SourceError> {
        let Some(server_id) = variables.get("server_id").and_then(|text| text.parse().ok()) else {
            let text = "the server does not tell its server_id";
            return Err(SourceError::refused(Code::Unsupported, place, text).advise(ITSELF_ADVICE));
        };
        // Nobody but MariaDB has replication domains; 5.5 does not have them yet, but says what it is.
        let told = ["version", "version_comment"].iter().filter_map(|name| variables.get(*name));
        let named = told.map(|words| words.to_lowercase()).any(|words| words.contains("mariadb"));
        let domains = variables.contains_key("gtid_domain_id");
        let flavor = if domains || named { Flavor::MariaDb } else { Flavor::MySql };
        Ok(Self { place: place.to_string(), flavor, server_id, variables })
    }

    /// A global variable in the server's own spelling; none where the server does not have it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a variable is ON (or 1); none where the server does not have it.
    pub fn is_on(&self, name: &str) -> Option<bool> {
        self.variable(name).map(|value| value.eq_ignore_ascii_case("ON") || value == "1")
    }

    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// `version`, such as `9.7.1` or `10.11.19-MariaDB-log`.
    pub fn version(&self) -> &str {
        self.variable("version").unwrap_or("unknown")
    }

    /// Whether an XA transaction is logged at its XA PREPARE, and not as a whole when it commits.
    pub fn logs_xa_prepare(&self) -> bool {
        let since = match self.flavor {
            Flavor::MySql => ServerVersion(5, 7, 7),
            Flavor::MariaDb => ServerVersion(10, 5, 0),
        };
        ServerVersion::parse(self.version()).is_none_or(|version| version >= since)
    }

    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// What names this very server: MySQL's `server_uuid`, MariaDB's `server_uid`. Old MariaDB servers have neither.
    pub fn server_uuid(&self) -> Option<&str> {
        let told = |name| self.variable(name).filter(|value| !value.is_empty());
        told("server_uuid").or_else(|| told("server_uid"))
    }

    /// Whether the server streams by MySQL GTID sets: nothing but ON does for that.
    pub fn has_mysql_gtids(&self) -> bool {
        self.variable("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ON"))
    }

    /// Whether the server knows MariaDB's GTIDs: since 10.0.
    pub fn has_mariadb_gtids(&self) -> bool {
        self.variables.contains_key("gtid_domain_id")
    }

    /// Other kinds of servers speak MySQL's protocol and write no binlog of its kind.
    fn log_bin_advice(&self) -> &'static str {
        const OTHERS: [(&str, &str); 3] = [
            ("tidb", "this is TiDB, which has no MySQL binlog: TiCDC delivers its changes"),
            (
                "vitess",
                "this is Vitess's gateway, which has no binlog: connect to the MySQL servers behind it",
            ),
            ("oceanbase", "this is OceanBase: connect to its binlog service"),
        ];
        let words = format!("{} {}", self.version(), self.variable("version_comment").unwrap_or(""));
        let words = words.to_lowercase();
        OTHERS.iter().find(|(word, _)| words.contains(word)).map_or(LOG_BIN_ADVICE, |(_, advice)| advice)
    }

    /// Whether an idle dump shows that it lives. MySQL learnt that in 5.5.
    pub fn sends_heartbeats(&self) -> bool {
        let version = ServerVersion::parse(self.version());
        self.flavor == Flavor::MariaDb || version.is_none_or(|version| version >= ServerVersion(5, 5, 0))
    }

    /// Refuses a replica's id that is the server's own.
    pub fn require_other_id(&self, server_id: u32) -> Result<(), SourceError> {
        if server_id != self.server_id {
            return Ok(());
        }
        let text = format!("our id as a replica, {server_id}, is the server's own server_id");
        let error = SourceError::refused(Code::ReplicaIdClash, &self.place, text);
        Err(error.advise("set mysql_shard_N_slaveId to a number that no server and no other replica has"))
    }

    /// Refuses a server that does not log rows.
    pub fn require_row_binlog(&self) -> Result<(), SourceError> {
        if self.is_on("log_bin") != Some(true) {
            return Err(SourceError::refused(
                Code::BinlogOff,
                &self.place,
                "the server writes no binlog (log_bin=OFF)",
            )
            .advise(self.log_bin_advice()));
        }
        match self.variable("binlog_format") {
            Some(format) if !format.eq_ignore_ascii_case("ROW") => {
                let text = format!("the server has binlog_format={format}, ROW is needed");
                Err(SourceError::refused(Code::BinlogFormat, &self.place, text).advise(
                    "run on the server: SET GLOBAL binlog_format='ROW' (and put it into its configuration file); \
                     sessions that are open keep the old format until they reconnect",
                ))
            }
            // A server without the variable knows no other format.
            _ => Ok(()),
        }
    }
}

/// What [`try_registration`] says its host is.
pub const CHECK_HOST: &str = "fountain check";

/// Asks the server to take us for a replica, which shows whether the account may read the binlog. The server forgets it
/// with the connection; `server_id` has to be one that no replica has.
pub fn try_registration(connection: &mut Connection, server_id: u32) -> Result<(), SourceError> {
    let register = Command::RegisterSlave { server_id, host: CHECK_HOST.as_bytes(), port: 0 };
    connection.command(&register, When::Dump, "answer to COM_REGISTER_SLAVE").map(drop)
}

#[cfg(test)]
impl ServerFacts {
    /// The facts of a server that tells these variables, and server_id 1.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let all = [("server_id", "1"), ("log_bin", "ON"), ("binlog_format", "ROW")];
        let all = all.iter().chain(pairs).map(|(name, value)| (name.to_string(), value.to_string()));
        Self::new("db1:3306", all.collect()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Result<ServerFacts, SourceError> {
        let pairs = pairs.iter().chain(&[("server_id", "56")]);
        ServerFacts::new(
            "db1:3306",
            pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        )
    }

    #[test]
    fn flavor_and_identity_come_from_what_the_server_has() {
        let mysql = facts(&[("version", "9.7.1"), ("server_uuid", "u-u"), ("gtid_mode", "ON")]).unwrap();
        assert_eq!(
            (mysql.flavor(), mysql.server_id(), mysql.server_uuid()),
            (Flavor::MySql, 56, Some("u-u"))
        );
        assert!(mysql.has_mysql_gtids());
        assert!(mysql.require_other_id(57).is_ok());
        assert_eq!(mysql.require_other_id(56).unwrap_err().code(), Code::ReplicaIdClash);
        let mariadb = facts(&[("server_uid", "x="), ("gtid_domain_id", "0")]).unwrap();
        assert_eq!((mariadb.flavor(), mariadb.server_uuid()), (Flavor::MariaDb, Some("x=")));
        assert!(!mariadb.has_mysql_gtids());
        let nameless = facts(&[("server_uuid", ""), ("server_uid", "")]).unwrap();
        assert_eq!(nameless.server_uuid(), None, "two such servers are not one");
        assert!(!facts(&[("gtid_mode", "ON_PERMISSIVE")]).unwrap().has_mysql_gtids());
        assert!(ServerFacts::new("db1:3306", BTreeMap::new()).is_err());
        assert!(!facts(&[("version", "5.1.47-ares-log")]).unwrap().sends_heartbeats());
        assert!(mysql.sends_heartbeats() && mariadb.sends_heartbeats() && nameless.sends_heartbeats());
    }

    #[test]
    fn a_server_that_logs_no_rows_is_refused_with_the_cure() {
        let refusal = |pairs: &[(&str, &str)]| facts(pairs).unwrap().require_row_binlog().unwrap_err();
        assert_eq!(refusal(&[("log_bin", "OFF")]).code(), Code::BinlogOff);
        let error = refusal(&[("log_bin", "ON"), ("binlog_format", "MIXED")]);
        assert_eq!(
            error.to_string(),
            "BINLOG_FORMAT db1:3306: the server has binlog_format=MIXED, ROW is needed; run on the server: \
             SET GLOBAL binlog_format='ROW' (and put it into its configuration file); sessions that are open keep the \
             old format until they reconnect"
        );
        assert_eq!(
            facts(&[("log_bin", "ON"), ("binlog_format", "row")]).unwrap().require_row_binlog(),
            Ok(())
        );
        assert_eq!(facts(&[("log_bin", "1")]).unwrap().require_row_binlog(), Ok(()));
    }
}
