//! The stable codes that messages carry. Scripts match on them and the troubleshooting page lists them,
//! so a code keeps its name and its meaning for ever.

use std::fmt;

macro_rules! codes {
    ($($name:ident $text:literal $meaning:literal)*) => {
        /// What went wrong, in one stable word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $meaning] $name),* }

        impl Code {
            /// Every code, for the page that lists them.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The word that stands in messages.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text),* }
            }

            /// One sentence for the page that lists the codes.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning),* }
            }
        }
    };
}

codes! {
    Usage "USAGE" "The command line is not one that fountain understands."
    Config "CONFIG" "A configuration file, environment variable or -D holds something that cannot be used."
    HostUnknown "HOST_UNKNOWN" "A host name does not resolve."
    Unreachable "UNREACHABLE" "Nothing answers at the server's address and port."
    Timeout "TIMEOUT" "The server did not answer within the deadline."
    ConnectionLost "CONNECTION_LOST" "The connection broke."
    Stalled "STALLED" "The connection is open and the server has gone silent past its heartbeat."
    Protocol "PROTOCOL" "The server said something that the MySQL protocol does not allow here."
    AccessDenied "ACCESS_DENIED" "The server refused the login (error 1045 and its kin)."
    AuthUnsupported "AUTH_UNSUPPORTED" "The account uses a login method that fountain does not speak."
    RightMissing "RIGHT_MISSING" "The account lacks a right that is needed."
    Tls "TLS" "The encrypted connection could not be made as configured."
    ServerError "SERVER_ERROR" "The server answered a command with an error."
    BinlogOff "BINLOG_OFF" "The server does not write a binlog."
    BinlogFormat "BINLOG_FORMAT" "The server does not log rows."
    Purged "PURGED" "The server no longer holds the binlog that the point needs."
    PointBeyondEnd "POINT_BEYOND_END" "The point lies behind the end of the server's binlog."
    PointForeign "POINT_FOREIGN" "The point belongs to another server."
    PointBroken "POINT_BROKEN" "A stored point is torn, empty or changed."
    PointLost "POINT_LOST" "A trace of an earlier point exists and the point itself does not."
    PointStore "POINT_STORE" "The store of points cannot be read or written."
    NoPoint "NO_POINT" "There is no point to start from and the configuration says to stop then."
    ReplicaIdClash "REPLICA_ID_CLASH" "Another replica uses the same server id or uuid."
    Checksum "CHECKSUM" "An event's CRC-32 does not match its bytes."
    BadEvent "BAD_EVENT" "An event's bytes make no sense."
    UnknownEvent "UNKNOWN_EVENT" "An event of a type that fountain does not know and that is not marked as ignorable."
    EventTooLarge "EVENT_TOO_LARGE" "An event is larger than max_event_bytes."
    Truncated "TRUNCATED" "A binlog file ends in the middle of an event."
    NotABinlog "NOT_A_BINLOG" "A file is no binlog."
    Incident "INCIDENT" "The server logged that events were lost."
    RowsLeftOut "ROWS_LEFT_OUT" "Rows are not delivered, because the log does not say what they are or what became of them."
    XaHold "XA_HOLD_LIMIT" "XA transactions that are not decided on have more changes than may be kept."
    Statement "STATEMENT_DML" "A change of rows was logged as a statement."
    TransOversize "TRANS_OVERSIZE" "A transaction is larger than transaction_policy allows."
    Decompress "DECOMPRESS" "A compressed transaction cannot be unpacked."
    Encrypted "ENCRYPTED" "The binlog is encrypted in a way that fountain cannot read."
    Unsupported "UNSUPPORTED" "Something that this version refuses instead of doing it wrong."
    TableMap "TABLE_MAP_MISSING" "Rows of a table that no TABLE_MAP event has introduced."
    BadValue "BAD_VALUE" "A column's bytes make no sense for its type."
    SchemaDiff "SCHEMA_DIFF" "The table's definition disagrees with the logged row."
    CharsetUnknown "CHARSET_UNKNOWN" "A column's character set is not known to this version."
    RowEncoder "ROW_ENCODER" "A row cannot be written in the form of the program that fountain is part of."
    FileError "FILE" "A file or folder cannot be read, written or made."
    Locked "LOCKED" "Another fountain process works on the same folder."
    SinkFailed "SINK_FAILED" "The sink did not take a pack."
    SinkBroken "SINK_BROKEN" "The sink's own records contradict each other."
    Differs "DIFFERS" "A row of the server is not what the delivered files say of it."
    StopTimeout "STOP_TIMEOUT" "The orderly stop did not end within stop_timeout_ms."
    RowImage "ROW_IMAGE" "The server logs rows in part: columns are missing in before or after."
    PartialJson "PARTIAL_JSON" "JSON changes are logged as differences whose base is not in the log."
    RowMetadata "ROW_METADATA" "The server does not log what columns are called and how they are declared, though it could."
    NoChecksum "NO_CHECKSUM" "Events are logged without a checksum: damage on the way cannot be seen."
    BinlogFilter "BINLOG_FILTER" "The server leaves databases out of its binlog."
    BinlogGivenUp "BINLOG_GIVEN_UP" "The server goes on without its binlog when it cannot write it: changes are lost then."
    BinlogExpiry "BINLOG_EXPIRY" "The server removes binlogs so early that a short outage loses rows, or the point is about to be removed."
    EventLimit "EVENT_LIMIT" "The server may log events that are larger than what fountain or the server's own dump takes."
    GtidMode "GTID_MODE" "GTIDs are off or half on where they are needed."
    SourceHistory "SOURCE_HISTORY" "A backup does not have the same transactions as the main server."
    SameServer "SAME_SERVER" "Two sources of a shard are one server."
    ReplicaUpdates "REPLICA_UPDATES" "A replica does not log what it replicates."
    CommitOrder "COMMIT_ORDER" "A replica commits in another order than its source did."
    ReplicationBroken "REPLICATION_BROKEN" "A backup replicates from nobody, or its replication stands still."
    ServerId "SERVER_ID" "The server has no server_id."
    ClockOffset "CLOCK_OFFSET" "The clocks of the server and of this machine differ."
    NotEncrypted "NOT_ENCRYPTED" "Password and rows travel over a network without encryption."
    CertificateExpiry "CERTIFICATE_EXPIRY" "The server's certificate is about to expire, or has."
    NetTimeout "NET_TIMEOUT" "A time-out is so short that a slow sink or an idle server breaks the stream."
    FilterUnmatched "FILTER_UNMATCHED" "An entry of a filter matches no table of the server."
    NoKey "NO_KEY" "A watched table has no key that tells its rows apart."
    FkCascade "FK_CASCADE" "The server does not log the rows that a foreign key changes by itself."
    TableEngine "TABLE_ENGINE" "A watched table's engine logs less than all changes, or cannot roll back."
    FileMode "FILE_MODE" "Others may read a password, or write where only fountain should."
    DiskSpace "DISK_SPACE" "The disk has less room than the configuration asks for."
    Limits "LIMITS" "The system allows this process less than its shards need."
    ZkUnreachable "ZK_UNREACHABLE" "ZooKeeper's servers cannot be reached."
    ZkTimeout "ZK_TIMEOUT" "ZooKeeper gives another session time-out than was asked for, or answers too slowly."
    ZkAccess "ZK_ACCESS" "ZooKeeper does not let us make, read or delete nodes."
    LeadershipLost "LEADERSHIP_LOST" "Another node leads now, or ZooKeeper has not confirmed in time that this one does."
    ConfigDiffers "CONFIG_DIFFERS" "This node's configuration is not the one of the node that leads."
    SourceLags "SOURCE_LAGS" "A server lacks transactions that have been delivered already."
    SourceSwitched "SOURCE_SWITCHED" "Another server of the shard is read now."
    Suspended "SUSPENDED" "A person has suspended the shard."
    Control "CONTROL" "What was asked of a running node cannot be done, or no node answers."
    Stopped "STOPPED" "Fountain was asked to stop while it waited."
    Internal "INTERNAL" "A thread ended in a way that it never should: a defect in fountain."
}

impl Code {
    /// What usually helps, for the page that lists the codes; none where the message itself says all there is to say.
    pub fn cure(self) -> Option<&'static str> {
        Some(match self {
            Self::HostUnknown => {
                "Check mysql_shard_N_server and this machine's name service. It is tried again for ever."
            }
            Self::Unreachable => {
                "Is the server up, does it listen on that address and port (bind_address, skip_networking), does a firewall \
                 stand between? It is tried again for ever."
            }
            Self::Timeout => {
                "The server or the network is overloaded or frozen; a server that looks up our name may need \
                 skip_name_resolve. It is tried again for ever."
            }
            Self::ConnectionLost => {
                "A restart, a KILL, offline mode, or the network: the stream goes on where it was. If it happens again and \
                 again, read the server's error log and its net_write_timeout."
            }
            Self::Stalled => {
                "Something on the way forgets idle connections: set mysql_heartbeat_period below its limit, or raise \
                 mysql_replication_socket_so_timeout where the server is slow. The stream goes on where it was."
            }
            Self::TransOversize => {
                "The message holds the transaction and its rows by table: raise trans_max_size or trans_max_bytes, or choose what \
                 becomes of it by trans_oversize."
            }
            Self::Protocol => "Connect to the server itself, not through a proxy that changes bytes.",
            Self::AccessDenied => {
                "The server's words tell user and host as it sees them: check mysql_username, the password, whether the account \
                 is locked or expired, and whether it demands TLS."
            }
            Self::AuthUnsupported => {
                "Give the account a method that is spoken: the message holds the statement."
            }
            Self::RightMissing => {
                "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* and SELECT on the watched tables to the account. 'denied \
                 command' comes from a proxy that does not let replication pass."
            }
            Self::Tls => "Compare mysql_ssl_mode and mysql_ssl_ca with what the server offers.",
            Self::ServerError => {
                "The server's number and words stand in the message, its error log says more. Too many connections, no memory: \
                 it is tried again for ever."
            }
            Self::BinlogOff => "Set log_bin, server_id and binlog_format=ROW on the server and restart it.",
            Self::BinlogFormat => {
                "SET GLOBAL binlog_format='ROW' on the server; open sessions keep the old format."
            }
            Self::Purged => {
                "Rows are missing unless another source still has them: copy the tables anew and start behind them, and let \
                 the server keep its binlogs longer."
            }
            Self::PointBeyondEnd => {
                "The server lost the end of its binlog (crash, restore, reset), or it is not the one that the point is of, or \
                 it lags behind. Transactions that no server has any more are taken out of the point by fountain points set \
                 --drop-gtids."
            }
            Self::SourceLags => {
                "A backup that has not applied all yet: it is waited for (source_catchup_wait_ms). Look at its replication; what is \
                 lost for good with the main server is given up by the command in the message."
            }
            Self::SourceSwitched => {
                "The line says from whom to whom and why; fountain switch SHARD main|haK or fail_back=auto goes back."
            }
            Self::ReplicaUpdates => {
                "Set log_replica_updates=ON (log_slave_updates=ON) on the replica and restart it, or read the server it replicates \
                 from."
            }
            Self::PointForeign => {
                "A position means nothing on another server: go on by GTID, or start anew there."
            }
            Self::PointBroken => {
                "Restore the file from a backup, go on from a former point (fountain points history, points set), or start anew behind a \
                 fresh copy (points set)."
            }
            Self::PointLost => {
                "Restore the point, go on from a former one (fountain points history, points set), or start anew behind a fresh copy \
                 (points set). Where ZooKeeper lost it: correct the path, or go on from the copy of the node that led last (points \
                 set --from-local)."
            }
            Self::PointStore => "Check the folder producer_position: rights, disk, mount.",
            Self::NoPoint => "Give a start (mysql_binlogdump_*) or set start_without_point.",
            Self::ReplicaIdClash => {
                "Two processes stream with one id and take the stream from each other: give each shard, process and \
                 environment its own mysql_shard_N_slaveId. Until then the stream goes on with pauses."
            }
            Self::Checksum => {
                "Damaged on the way: start again, and it is read anew. Damaged in the server's file: mysqlbinlog \
                 --verify-binlog-checksum shows where; use another source, or copy the tables anew and start behind it."
            }
            Self::BadEvent => {
                "The point is not the start of an event, max_allowed_packet on the server is too small for one, or the file is \
                 damaged: mysqlbinlog shows which."
            }
            Self::EventTooLarge => "Raise max_event_bytes: so much memory is needed for it.",
            Self::Incident => {
                "Rows are missing in the server's binlog: copy the tables anew and start behind it."
            }
            Self::XaHold => {
                "Raise xa_hold_max_bytes: so much memory is needed for it. Or leave the tables out by filter."
            }
            Self::RowsLeftOut => {
                "What a run leaves out is kept as a gap record (fountain gaps): look at those rows on the server, or copy their \
                 tables anew. To cat give the files before or behind as well."
            }
            Self::Statement => {
                "Set binlog_format=ROW for that session or server; statement_dml=deliver hands the statement on as it is."
            }
            Self::Encrypted => {
                "Look at the server's keyring; files are read only where the server decrypts them."
            }
            Self::SchemaDiff => {
                "Supply the definition of that time by schema_file or \"fountain schema set\", and set binlog_row_metadata=FULL on \
                 the server."
            }
            Self::FileError => "Check the path, its rights and the disk.",
            Self::Locked => "One process a folder: stop the one whose pid the message holds.",
            Self::Suspended => {
                "The message holds who said it, when and why; fountain resume SHARD lets it go on."
            }
            Self::Control => {
                "The message says what stands against it; fountain status shows how the shards are."
            }
            Self::SinkFailed => "The message says why; it is tried again, and the point waits.",
            Self::Differs => {
                "Rows that the server changes without logging them (foreign keys on 5.6 and MariaDB, sql_log_bin=0, a restore), \
                 or a defect: copy the table anew, and tell us."
            }
            Self::LeadershipLost => {
                "Nothing is to be done when it is rare: another node, or this one, goes on from the stored point. When it happens again \
                 and again: is ZooKeeper slow or restarting, is this process stopped for seconds (memory, a frozen machine), do two \
                 deployments use one zk_save_position_root_path?"
            }
            Self::ConfigDiffers => {
                "Give all nodes of one zk_leader_latch_path the same values of the keys that the message names, or give another \
                 deployment another path."
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_words_in_capitals() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
    }
}
