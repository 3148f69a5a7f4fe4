//! From the server's error numbers and words to what they mean for us and what cures them.
//!
//! Numbers: MySQL's "Server Error Message Reference" and MariaDB's `errmsg-utf8.txt`. The reasons of error 1236 exist
//! only as text: `sql/rpl_binlog_sender.cc` (MySQL), `sql/sql_repl.cc` (MariaDB and MySQL 5.6).

use super::error::ErrorKind;
use super::error::SourceError;
use crate::code::Code;
use crate::wire::response::ErrPacket;

/// At which point of a conversation the server sent an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Login,
    Statement,
    /// From COM_REGISTER_SLAVE on.
    Dump,
}

/// Whom the error concerns.
pub(super) struct Party<'a> {
    /// The server, as `host:port`.
    pub place: &'a str,
    /// The account as the server knows it (`'repl'@'%'`), or the configured user before it is known.
    pub account: &'a str,
}

/// What an error means.
struct Meaning {
    code: Code,
    kind: ErrorKind,
    /// Our words before the server's.
    says: &'static str,
    advice: Option<String>,
}

impl Meaning {
    fn retry(code: Code, says: &'static str) -> Self {
        Self { code, kind: ErrorKind::Retry, says, advice: None }
    }

    fn refused(code: Code, says: &'static str) -> Self {
        Self { code, kind: ErrorKind::Refused, says, advice: None }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// An ERR packet as an error of ours.
pub(super) fn server_error(when: When, party: &Party<'_>, error: &ErrPacket) -> SourceError {
    let meaning = match error.number {
        1236 | 4052 => dump_meaning(&error.message),
        number => meaning(number, when, party.account),
    };
    let text = format!("{}: {error}", meaning.says);
    let result = SourceError::new(meaning.code, meaning.kind, party.place, text).numbered(error.number);
    match meaning.advice {
        Some(advice) => result.advise(advice),
        None => result,
    }
}

fn meaning(number: u16, when: When, account: &str) -> Meaning {
    match (number, when) {
        // COM_REGISTER_SLAVE answers 1045, not 1227, where the right is missing.
        (1045, When::Dump) => replication_right(account),
        (1045 | 1698, _) => Meaning::refused(Code::AccessDenied, "the server refused the login").advise(
            "check mysql_username and mysql_password, that the server has this user for the host it names here (a user \
             without a name at 'localhost' comes before 'user'@'%'), and whether it was made with REQUIRE SSL or X509",
        ),
        (1130, _) => Meaning::refused(Code::AccessDenied, "the server has no account for our address")
            .advise("create the user for the host that the server names here, or for '%'"),
        (1129, _) => Meaning::refused(Code::AccessDenied, "the server has blocked our address")
            .advise("find out what broke the earlier connections, then run on the server: FLUSH HOSTS"),
        (3118 | 3955 | 4151, _) => Meaning::refused(Code::AccessDenied, "the account is locked")
            .advise(format!("run on the server: ALTER USER {account} ACCOUNT UNLOCK")),
        (1820 | 1862, _) => Meaning::refused(Code::AccessDenied, "the account's password has expired")
            .advise(format!("run on the server: ALTER USER {account} IDENTIFIED BY '…' PASSWORD EXPIRE NEVER")),
        (1251 | 1524, When::Login) => auth_unsupported(account),
        (3159, _) => Meaning::refused(Code::Tls, "the server takes encrypted connections only")
            .advise("set mysql_ssl_mode=required"),
        (1044 | 1142 | 1143 | 1227 | 1370, When::Statement) => {
            Meaning::refused(Code::RightMissing, "the account lacks a right")
        }
        (1044 | 1142 | 1143 | 1227 | 1370, _) => replication_right(account),
        (1040 | 1203 | 1226, _) => Meaning::retry(Code::ServerError, "the server takes no more connections"),
        // Shutting down, network trouble as the server sees it, killed, offline mode, idle for too long.
        (1053 | 1077..=1079 | 1152 | 1156..=1161 | 1317 | 1927 | 3032 | 3168 | 4031, _) => {
            Meaning::retry(Code::ConnectionLost, "the server ended the connection")
        }
        (1381, _) => binlog_off(),
        (_, When::Login) => Meaning::retry(Code::ServerError, "the server refused the connection"),
        (_, When::Statement) => Meaning::retry(Code::ServerError, "the server refused a statement"),
        (_, When::Dump) => Meaning::retry(Code::ServerError, "the server ended the binlog stream"),
    }
}

/// Error 1236, ER_SOURCE_FATAL_ERROR_READING_BINLOG, and MariaDB's 4052, ER_SLAVE_SAME_ID. Old and new words of the servers, in lower case.
fn dump_meaning(message: &str) -> Meaning {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["could not find first log file name"]) {
        return Meaning::refused(Code::Purged, "the server has no binlog file of that name").advise(
            "it was purged, or the point comes from another server: SHOW BINARY LOGS lists the files there are; \
             rows in between are lost unless another source still has them",
        );
    }
    if says(&["purged"]) {
        return Meaning::refused(Code::Purged, "the server has purged transactions that the point needs")
            .advise("use a source that still has them, or move the point and accept the gap");
    }
    if says(&["position > file size", "impossible position"]) {
        return Meaning::refused(Code::PointBeyondEnd, "the point lies behind the end of its binlog file").advise(
            "the server lost the end of its binlog in a crash, was reset, or the point comes from another server",
        );
    }
    if says(&["has more gtids than the", "not in the master's binlog", "not in the primary's binlog"]) {
        return Meaning::refused(
            Code::PointBeyondEnd,
            "the point holds transactions that the server does not know",
        )
        .advise("the server lost them, was reset, or the point comes from another server");
    }
    if says(&["is missing the gtid"]) {
        return Meaning::refused(
            Code::PointBeyondEnd,
            "the server's binlog goes from before our last GTID to behind it",
        )
        .advise(
            "the server left transactions out (a replica with filters, a restored backup) or has gone another way: use a \
             source that has this one, or copy the tables anew and start behind them",
        );
    }
    if says(&["same server_uuid", "same server_id", "same server id"]) {
        return Meaning::retry(Code::ReplicaIdClash, "another replica with our id has connected").advise(
            "two processes stream with one replica uuid or mysql_shard_N_slaveId: give each its own",
        );
    }
    if says(&["crc check", "checksum verification failed"]) {
        return Meaning::refused(Code::Checksum, "the server finds its own binlog damaged");
    }
    if says(&["max_allowed_packet", "bogus data", "truncated in the middle", "corrupt"]) {
        return Meaning::refused(Code::BadEvent, "the server cannot read its own binlog").advise(
            "either the point is not the start of an event of this server, or the file is damaged: read it with \
             mysqlbinlog to see which",
        );
    }
    if says(&["misconfigured"]) {
        return Meaning::refused(Code::Config, "the server has no server_id")
            .advise("set server_id in the server's configuration file and restart it");
    }
    if says(&["binary log is not open"]) {
        return binlog_off();
    }
    if says(&["auto_position mode"]) {
        return Meaning::refused(Code::Unsupported, "the server does not stream by GTID")
            .advise("set binlog_dump_strategy=position, or gtid_mode=ON on the server");
    }
    Meaning::retry(Code::ServerError, "the server ended the binlog stream")
}

fn replication_right(account: &str) -> Meaning {
    Meaning::refused(Code::RightMissing, "the account may not read the binlog")
        .advise(grant_replication(account))
}

/// The statement that gives an account what fountain needs everywhere.
pub(super) fn grant_replication(account: &str) -> String {
    format!("run on the server: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}")
}

fn auth_unsupported(account: &str) -> Meaning {
    Meaning::refused(Code::AuthUnsupported, "the account's login method does not work here")
        .advise(change_method(account))
}

/// The statement that gives an account a login method that we speak.
pub(super) fn change_method(account: &str) -> String {
    format!(
        "run on the server: ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY '…' \
         (MariaDB and MySQL before 8.0: mysql_native_password)"
    )
}

fn binlog_off() -> Meaning {
    Meaning::refused(Code::BinlogOff, "the server writes no binlog")
        .advise("set log_bin and server_id in the server's configuration file and restart it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(when: When, number: u16, message: &str) -> SourceError {
        let party = Party { place: "db1:3306", account: "'repl'@'%'" };
        server_error(when, &party, &ErrPacket::new(number, "HY000", message))
    }

    #[test]
    fn a_line_for_three_in_the_morning() {
        let error = told(
            When::Dump,
            1227,
            "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)",
        );
        assert_eq!(
            error.to_string(),
            "RIGHT_MISSING db1:3306: the account may not read the binlog: Access denied; you need (at least one of) \
             the REPLICATION SLAVE privilege(s) (error 1227, HY000); run on the server: \
             GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"
        );
        assert_eq!((error.kind(), error.server_errno()), (ErrorKind::Refused, Some(1227)));
    }

    #[test]
    fn numbers_mean_what_the_manual_says() {
        use ErrorKind::*;
        for (when, number, code, kind) in [
            (When::Login, 1045, Code::AccessDenied, Refused),
            (When::Dump, 1045, Code::RightMissing, Refused),
            (When::Login, 1130, Code::AccessDenied, Refused),
            (When::Login, 1129, Code::AccessDenied, Refused),
            (When::Login, 1040, Code::ServerError, Retry),
            (When::Login, 3159, Code::Tls, Refused),
            (When::Login, 1524, Code::AuthUnsupported, Refused),
            (When::Statement, 1142, Code::RightMissing, Refused),
            (When::Statement, 1064, Code::ServerError, Retry),
            (When::Dump, 1053, Code::ConnectionLost, Retry),
        ] {
            let error = told(when, number, "words");
            assert_eq!((error.code(), error.kind()), (code, kind), "{number}");
        }
    }

    #[test]
    fn error_1236_is_told_apart_by_its_words() {
        // Words of MySQL 5.6, 9.7 and MariaDB 10.11, from their sources.
        for (code, message) in [
            (Code::Purged, "Could not find first log file name in binary log index file"),
            (
                Code::Purged,
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged \
                 binary logs containing GTIDs that the slave requires.",
            ),
            (
                Code::Purged,
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions \
                 from elsewhere, or provision a new replica from backup.",
            ),
            (
                Code::Purged,
                "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old \
                 and required binlog files have been purged.",
            ),
            (Code::PointBeyondEnd, "Client requested master to start replication from position > file size"),
            (Code::PointBeyondEnd, "Client requested source to start replication from impossible position"),
            (
                Code::PointBeyondEnd,
                "Slave has more GTIDs than the master has, using the master's SERVER_UUID. This may indicate that the \
                 end of the binary log was truncated",
            ),
            (
                Code::PointBeyondEnd,
                "Error: connecting slave requested to start from GTID 0-1-99, which is not in the master's binlog",
            ),
            (
                Code::PointBeyondEnd,
                "The binlog on the master is missing the GTID 0-1-7 requested by the slave (even though both a prior and \
                 a subsequent sequence number does exist), and GTID strict mode is enabled",
            ),
            (
                Code::ReplicaIdClash,
                "A replica with the same server_uuid/server_id as this replica has connected to the source; the first \
                 event 'binlog.000001' at 4",
            ),
            (
                Code::BadEvent,
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
            ),
            (Code::BadEvent, "bogus data in log event; the first event 'b.1' at 4"),
            (Code::Checksum, "event read from binlog did not pass crc check; the first event 'b.1' at 4"),
            (Code::BinlogOff, "Binary log is not open"),
            (Code::Config, "Misconfigured master - server_id was not set"),
            (
                Code::Unsupported,
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF \
                 instead of ON.",
            ),
            (Code::ServerError, "error reading log entry"),
        ] {
            assert_eq!(told(When::Dump, 1236, message).code(), code, "{message}");
        }
    }
}
