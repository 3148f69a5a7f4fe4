//! From the server's error numbers and words to what they mean for us and what cures them: two tables.
//!
//! Numbers: MySQL's "Server Error Message Reference" and MariaDB's `errmsg-utf8.txt`. They do not change with the server's
//! language. The reasons of error 1236 exist only as text: `sql/rpl_binlog_sender.cc` and `sql/binlog_reader.h` (MySQL),
//! `sql/sql_repl.cc` (MariaDB and MySQL before 5.7). They are English in every language, but for those that a newer server
//! may translate: a dump therefore asks for English first.
//!
//! What the kinds lead to is decided in [`crate::pipeline::patience`].

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
    /// What to do, `{account}` in place of the account; empty where there is nothing to say.
    advice: &'static str,
}

/// It may pass: this server is asked again, then the others.
const fn retry(code: Code, says: &'static str, advice: &'static str) -> Meaning {
    Meaning { code, kind: ErrorKind::Retry, says, advice }
}

/// This server says no until somebody changes it or the configuration: another one may do.
const fn refused(code: Code, says: &'static str, advice: &'static str) -> Meaning {
    Meaning { code, kind: ErrorKind::Refused, says, advice }
}

const ANY: &[When] = &[When::Login, When::Statement, When::Dump];
const LOGIN: &[When] = &[When::Login];
const DUMP: &[When] = &[When::Dump];
const LATER: &[When] = &[When::Statement, When::Dump];

pub(super) const GRANT_ADVICE: &str =
    "run on the server: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}";
const METHOD_ADVICE: &str = "run on the server: ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY '…' \
                             (MariaDB and MySQL before 8.0: mysql_native_password)";
pub(super) const LOG_BIN_ADVICE: &str = "set log_bin, server_id and binlog_format=ROW in the server's configuration file (a \
                                         managed server: in its parameters; Amazon RDS also needs automatic backups) and \
                                         restart it";
pub(super) const ITSELF_ADVICE: &str =
    "connect to the MySQL or MariaDB server itself, not to a proxy or another kind of server";
const PURGED_ADVICE: &str = "use a source that still has them, or move the point and accept the gap; and let the server keep \
                             binlogs longer (binlog_expire_logs_seconds, expire_logs_days; on Amazon RDS \
                             mysql.rds_set_configuration('binlog retention hours', …))";
const DAMAGED_ADVICE: &str = "read the file with mysqlbinlog --verify-binlog-checksum to see how far it is sound; use a source \
                              whose binlog is sound, or copy the tables anew and start behind the damage";
const OPTION_ADVICE: &str = "the server's words name the option: change it there, or use another server";

/// Every number that means more than "the server said no", and when.
const NUMBERS: &[(&[u16], &[When], Meaning)] = &[
    // COM_REGISTER_SLAVE answers 1045, not 1227, where the right is missing.
    (&[1045], DUMP, refused(Code::RightMissing, "the account may not read the binlog", GRANT_ADVICE)),
    (
        &[1045, 1698],
        ANY,
        refused(
            Code::AccessDenied,
            "the server refused the login",
            "check mysql_username and mysql_password, that the server has this user for the host it names here (a user \
             without a name at 'localhost' comes before 'user'@'%'), and whether it was made with REQUIRE SSL or X509",
        ),
    ),
    (
        &[1130],
        ANY,
        refused(
            Code::AccessDenied,
            "the server has no account for our address",
            "create the user for the host that the server names here, or for '%'",
        ),
    ),
    (
        &[1129],
        ANY,
        refused(
            Code::AccessDenied,
            "the server has blocked our address",
            "find out what broke the earlier connections, then run on the server: FLUSH HOSTS (MySQL 8.4 and later: \
             TRUNCATE TABLE performance_schema.host_cache)",
        ),
    ),
    (
        // By hand, after wrong passwords; MariaDB's by hand.
        &[3118, 3955, 4151],
        ANY,
        refused(
            Code::AccessDenied,
            "the account is locked",
            "run on the server: ALTER USER {account} ACCOUNT UNLOCK",
        ),
    ),
    (
        &[4150],
        ANY,
        refused(
            Code::AccessDenied,
            "the account is blocked after wrong passwords",
            "find out who sent them, then run on the server: FLUSH PRIVILEGES",
        ),
    ),
    (
        &[1820, 1862],
        ANY,
        refused(
            Code::AccessDenied,
            "the account's password has expired",
            "run on the server: ALTER USER {account} IDENTIFIED BY '…' PASSWORD EXPIRE NEVER",
        ),
    ),
    (
        &[1251, 1275, 1524],
        LOGIN,
        refused(Code::AuthUnsupported, "the account's login method does not work here", METHOD_ADVICE),
    ),
    (
        &[3159],
        ANY,
        refused(Code::Tls, "the server takes encrypted connections only", "set mysql_ssl_mode=required"),
    ),
    (
        &[1044, 1142, 1143, 1227, 1370],
        DUMP,
        refused(Code::RightMissing, "the account may not read the binlog", GRANT_ADVICE),
    ),
    (&[1044, 1142, 1143, 1227, 1370], ANY, refused(Code::RightMissing, "the account lacks a right", "")),
    (
        // "denied command", SQLSTATE 88S88: Baidu's database proxy, to an account that may not replicate through it.
        &[34952],
        ANY,
        refused(
            Code::RightMissing,
            "something between us and the server does not let this command pass",
            "connect to the MySQL server itself, or have the proxy's administrator allow replication to this account; on \
             the server: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}",
        ),
    ),
    (
        // Connections, connections of this user, of the account; threads and memory; prepared statements.
        &[1040, 1203, 1226, 1135, 1037, 1038, 1041, 1461],
        ANY,
        retry(
            Code::ServerError,
            "the server takes no more connections",
            "raise max_connections, or the account's limit, on the server, or end connections there",
        ),
    ),
    (
        &[3032],
        ANY,
        retry(Code::ConnectionLost, "the server is in offline mode", "SET GLOBAL offline_mode=OFF ends that"),
    ),
    (
        // Shutting down; network trouble as the server or a proxy sees it; killed; idle for too long.
        &[
            1053, 1077, 1078, 1079, 1152, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1189, 1190, 1317, 1927,
            2006, 2013, 3168, 4031,
        ],
        ANY,
        retry(Code::ConnectionLost, "the server ended the connection", ""),
    ),
    (
        &[1043, 1835],
        ANY,
        retry(
            Code::Protocol,
            "the server did not understand our bytes",
            "something on the way changes them, or it is no MySQL server",
        ),
    ),
    (
        // Unknown command, syntax, not supported yet, unknown character set, unknown variable.
        &[1047, 1064, 1149, 1115, 1193, 1235],
        LATER,
        refused(Code::Unsupported, "the server does not know what every MySQL server does", ITSELF_ADVICE),
    ),
    (&[1290], LATER, refused(Code::ServerError, "an option of the server forbids this", OPTION_ADVICE)),
    (
        // A variable has no such value; it is read only; it is global; it may not be set here.
        &[1228, 1229, 1231, 1238],
        LATER,
        refused(Code::Config, "the server does not take a setting of ours", ""),
    ),
    (&[1381], ANY, refused(Code::BinlogOff, "the server writes no binlog", LOG_BIN_ADVICE)),
    (
        // The list of binlogs cannot be read, or not be trusted.
        &[1373, 1374, 1376],
        LATER,
        refused(
            Code::ServerError,
            "the server cannot read its list of binlogs",
            "look into the server's error log, at its disk and its binlog index file",
        ),
    ),
    // Numbers of the file layer, `include/mysys_err.h`, which MariaDB sends as they are: EE_FILENOTFOUND; EE_READ,
    // EE_EOFERR, EE_STAT; EE_OUTOFMEMORY, EE_OUT_OF_FILERESOURCES.
    (&[29], DUMP, MISSING_FILE),
    (&[2, 9, 13], DUMP, UNREADABLE),
    (&[5, 23], DUMP, retry(Code::ServerError, "the server has no memory or no file handle left", "")),
    (
        &[1789],
        DUMP,
        refused(Code::Purged, "the server has purged transactions that the point needs", PURGED_ADVICE),
    ),
    (
        &[1941, 1943],
        LATER,
        refused(Code::PointBroken, "the server does not understand the point's GTIDs", ""),
    ),
];

const MISSING_FILE: Meaning = refused(
    Code::Purged,
    "the server misses a binlog file that its list holds",
    "somebody removed the file, or it cannot be opened: the server's error log tells; use a source that has it, or copy the \
     tables anew and start behind it",
);
const UNREADABLE: Meaning = refused(
    Code::ServerError,
    "the server cannot read its binlog from its disk",
    "look into the server's error log and at its disk",
);

/// Error 1236, ER_SOURCE_FATAL_ERROR_READING_BINLOG, and MariaDB's 4052, ER_SLAVE_SAME_ID: by the words, in lower case, of
/// MySQL 5.1 to 9.7 and MariaDB 5.5 to 12. The first row that fits counts.
const WORDS: &[(&[&str], Meaning)] = &[
    (
        &["could not find first log file name"],
        refused(
            Code::Purged,
            "the server has no binlog file of that name",
            "it was purged, or the point comes from another server: SHOW BINARY LOGS lists the files there are; rows in \
             between are lost unless another source still has them",
        ),
    ),
    (&["could not find next log", "could not open log file", "failed to open log"], MISSING_FILE),
    (
        &["purged"],
        refused(Code::Purged, "the server has purged transactions that the point needs", PURGED_ADVICE),
    ),
    (
        &["position > file size", "impossible position"],
        refused(
            Code::PointBeyondEnd,
            "the point lies behind the end of its binlog file",
            "the server lost the end of its binlog in a crash, was reset, or the point comes from another server",
        ),
    ),
    (
        &[
            "has more gtids than the",
            "not in the master's binlog",
            "not in the primary's binlog",
            "is missing the gtid",
            "have diverged",
            "has diverged",
        ],
        refused(
            Code::PointBeyondEnd,
            "the point holds transactions that the server does not know",
            "the server lost them, was reset, or the point comes from another server",
        ),
    ),
    (
        &["same server_uuid", "same server_id", "same server id"],
        retry(
            Code::ReplicaIdClash,
            "another replica with our id has connected",
            "two processes stream with one replica uuid or mysql_shard_N_slaveId: give each its own",
        ),
    ),
    (
        &["crc check", "checksum verification failed", "did not pass checksum"],
        refused(Code::Checksum, "the server finds its own binlog damaged", DAMAGED_ADVICE),
    ),
    (
        &[
            "can not handle replication events with the checksum",
            "cannot handle replication events with the checksum",
        ],
        refused(
            Code::Unsupported,
            "the server logs checksums and does not tell us so",
            "let the account read @@global.binlog_checksum, or connect to the server itself",
        ),
    ),
    (
        &["max_allowed_packet", "event too big"],
        refused(
            Code::BadEvent,
            "an event is larger than the server sends, or the place is not the start of one",
            "raise max_allowed_packet on the server (SET GLOBAL max_allowed_packet=1073741824), and check that the point \
             is the start of an event: SHOW BINLOG EVENTS lists them",
        ),
    ),
    (
        &[
            "anonymous transaction when auto_position",
            "gtid-transaction when @@global.gtid_mode",
            "found a gtid",
        ],
        refused(
            Code::Unsupported,
            "the binlog mixes transactions with and without GTIDs",
            "set binlog_dump_strategy=position, or start behind the last one of the other sort",
        ),
    ),
    (
        &["decrypt", "encrypt"],
        refused(
            Code::Encrypted,
            "the server cannot decrypt its own binlog",
            "look at the server's keyring or encryption plugin",
        ),
    ),
    (
        &["out of memory", "memory allocation failed", "out-of-memory"],
        retry(Code::ServerError, "the server has no memory for the stream", ""),
    ),
    (&["i/o error"], UNREADABLE),
    (
        &["bogus data", "corrupt", "truncated in the middle", "truncated", "bad magic", "invalid event"],
        refused(
            Code::BadEvent,
            "the server cannot read its own binlog",
            "either the point is not the start of an event of this server, or the file is damaged: read it with \
             mysqlbinlog to see which",
        ),
    ),
    (
        &["misconfigured"],
        refused(
            Code::Config,
            "the server has no server_id",
            "set server_id in the server's configuration file and restart it",
        ),
    ),
    (&["binary log is not open"], refused(Code::BinlogOff, "the server writes no binlog", LOG_BIN_ADVICE)),
    (
        &["auto_position mode"],
        refused(
            Code::Unsupported,
            "the server does not stream by GTID",
            "set binlog_dump_strategy=position, or gtid_mode=ON on the server",
        ),
    ),
];

/// An ERR packet as an error of ours.
pub(super) fn server_error(when: When, party: &Party<'_>, error: &ErrPacket) -> SourceError {
    let meaning = meaning(when, error);
    let (code, kind, says, advice) = match meaning {
        Some(meaning) => (meaning.code, meaning.kind, meaning.says, meaning.advice),
        None => (Code::ServerError, ErrorKind::Retry, unknown(when), ""),
    };
    let result = SourceError::new(code, kind, party.place, format!("{says}: {error}")).numbered(error.number);
    match advice {
        "" => result,
        advice => result.advise(for_account(advice, party.account)),
    }
}

fn meaning(when: When, error: &ErrPacket) -> Option<&'static Meaning> {
    if matches!(error.number, 1236 | 4052) {
        let message = error.message.to_lowercase();
        let says = |words: &&[&str]| words.iter().any(|word| message.contains(word));
        return WORDS.iter().find(|(words, _)| says(words)).map(|(_, meaning)| meaning);
    }
    let fits = |(numbers, whens, _): &&(&[u16], &[When], Meaning)| {
        numbers.contains(&error.number) && whens.contains(&when)
    };
    NUMBERS.iter().find(fits).map(|(_, _, meaning)| meaning)
}

/// What we say before words that we do not know.
fn unknown(when: When) -> &'static str {
    match when {
        When::Login => "the server refused the connection",
        When::Statement => "the server refused a statement",
        When::Dump => "the server ended the binlog stream",
    }
}

fn for_account(advice: &str, account: &str) -> String {
    advice.replace("{account}", account)
}

/// The statement that gives an account what fountain needs everywhere.
pub(super) fn grant_replication(account: &str) -> String {
    for_account(GRANT_ADVICE, account)
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
            (When::Statement, 1064, Code::Unsupported, Refused),
            (When::Login, 1064, Code::ServerError, Retry),
            (When::Dump, 1047, Code::Unsupported, Refused),
            (When::Login, 34952, Code::RightMissing, Refused),
            (When::Dump, 2013, Code::ConnectionLost, Retry),
            (When::Statement, 1374, Code::ServerError, Refused),
            (When::Dump, 9999, Code::ServerError, Retry),
            (When::Dump, 1053, Code::ConnectionLost, Retry),
        ] {
            let error = told(when, number, "words");
            assert_eq!((error.code(), error.kind()), (code, kind), "{number}");
        }
    }

    #[test]
    fn a_number_means_one_thing_at_a_time() {
        for when in [When::Login, When::Statement, When::Dump] {
            let all = NUMBERS.iter().filter(|(_, whens, _)| whens.contains(&when));
            let mut numbers: Vec<u16> = all.flat_map(|(numbers, _, _)| numbers.iter().copied()).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            // The special rows for a dump stand before the general ones.
            let twice = if when == When::Dump { 6 } else { 0 };
            assert_eq!(numbers.len() + twice, count, "{when:?}");
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
            (
                Code::PointBeyondEnd,
                "The binlog on the master is missing the GTID 0-1-5 requested by the slave (even though a subsequent \
                 sequence number does exist), and GTID strict mode is enabled",
            ),
            (
                Code::Unsupported,
                "Slave can not handle replication events with the checksum that master is configured to log; the first \
                 event 'b.1' at 4",
            ),
            (
                Code::Unsupported,
                "Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file ./b.1, position 157.",
            ),
            (Code::Purged, "could not find next log; the first event 'b.1' at 4"),
            (Code::Purged, "Could not open log file"),
            (Code::Checksum, "Event crc check failed! Most likely there is event corruption."),
            (Code::BadEvent, "binlog truncated in the middle of event; consider out of disk space on master"),
            (
                Code::BadEvent,
                "Binlog has bad magic number;  It's not a binary log file that can be used by this version of MySQL",
            ),
            (Code::ServerError, "I/O error reading log event"),
            (Code::ServerError, "memory allocation failed reading log event"),
            (Code::ServerError, "error reading log entry"),
        ] {
            assert_eq!(told(When::Dump, 1236, message).code(), code, "{message}");
        }
    }
}
