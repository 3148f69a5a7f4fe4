//! The keys whose value is one of a few words: an enum each, with the words as they stand in the files.
//!
//! A word marked `later` is part of the contract and not in this version: `conf` shows it, `run` refuses it.

/// One of the words that a key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word itself.
    pub word: &'static str,
    /// Not in this version.
    pub later: bool,
}

/// An enum that stands for the words of a key.
pub trait Choice: Copy + 'static {
    /// The words in the order of the documentation.
    const WORDS: &'static [Word];
    /// The value that the first word stands for.
    const FIRST: Self;
    /// The value that a word stands for.
    fn from_word(word: &str) -> Option<Self>;
    /// The word for a value.
    fn word(self) -> &'static str;
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident $first_word:literal
        $(, $(#[$variant_doc:meta])* $variant:ident $word:literal $($later:ident)?)* })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $(#[$first_doc])* $first, $($(#[$variant_doc])* $variant),* }

        impl Choice for $name {
            const WORDS: &'static [Word] = &[
                Word { word: $first_word, later: false },
                $(Word { word: $word, later: choices!(@later $($later)?) }),*
            ];
            const FIRST: Self = $name::$first;

            fn from_word(word: &str) -> Option<Self> {
                match word { $first_word => Some($name::$first), $($word => Some($name::$variant),)* _ => None }
            }

            fn word(self) -> &'static str {
                match self { $name::$first => $first_word, $($name::$variant => $word),* }
            }
        }
    )* };
    (@later) => { false };
    (@later later) => { true };
}

choices! {
    /// `binlog_dump_strategy`: how a source is asked for its binlog.
    DumpStrategy {
        /// By GTID set where the server has GTIDs on, else by file and position.
        Auto "auto",
        /// By GTID set.
        Gtid "gtid",
        /// By file and position.
        Position "position",
        /// By the group id of Baidu's MySQL 5.1.
        Ares "ares"
    }

    /// `start_without_point`: where a shard begins that has no stored point.
    StartWithoutPoint {
        /// At the configured point, else at the server's end, provided that the store positively holds none.
        Auto "auto",
        /// At the server's end.
        End "end",
        /// At the oldest binlog that the server still has.
        Beginning "beginning",
        /// Not at all.
        Stop "stop"
    }

    /// `mysql_slaveId_strategy`: which server id a connection shows.
    SlaveIdStrategy {
        /// The configured one.
        Fixed "fixed",
        /// One drawn at the start.
        Random "random",
        /// One drawn at the start, one more at each connection.
        RandomThenIncrement "random_then_increment"
    }

    /// `mysql_ssl_mode`: whether a connection is encrypted.
    SslMode {
        /// Encrypted where the server can; plain, with a warning, where the handshake fails.
        Preferred "preferred",
        /// Plain.
        Disabled "disabled",
        /// Encrypted or not at all; the certificate is not looked at.
        Required "required",
        /// Encrypted, with a certificate signed by `mysql_ssl_ca`.
        VerifyCa "verify_ca",
        /// As before, and the certificate names the host.
        VerifyIdentity "verify_identity",
        /// Encrypted, and the server proves its certificate by the account's password (MariaDB 11.4 and later).
        VerifyPassword "verify_password"
    }

    /// `position_failover`: what becomes of file and position on another server.
    PositionFailover {
        /// They are never used there.
        Refuse "refuse",
        /// The new server is read from the last commit time on.
        Timestamp "timestamp"
    }

    /// `fail_back`: what becomes of a shard that reads a backup when its main server serves again.
    FailBack {
        /// It stays where it is until a person switches it.
        Manual "manual",
        /// It goes back by itself.
        Auto "auto"
    }

    /// `ha_guard` as configured.
    HaGuardChoice {
        /// ZooKeeper when `zk_leader_latch_path` is set, else none.
        Auto "auto",
        /// This node works alone.
        None "none",
        /// Of several nodes one works.
        ZooKeeper "zookeeper"
    }

    /// `ha_scope`: what a node leads.
    HaScope {
        /// All shards or none.
        Process "process",
        /// Each shard by itself.
        Shard "shard"
    }

    /// `ha_rebalance`: how nodes share the shards under `ha_scope=shard`.
    HaRebalance {
        /// A node keeps what it leads until it ends or a person makes it step down.
        Manual "manual",
        /// A node that leads more than its share hands shards over to one that leads fewer.
        Auto "auto"
    }

    /// `sync_point_store` as configured.
    PointStoreChoice {
        /// ZooKeeper when `zk_save_position_root_path` is set, else files.
        Auto "auto",
        /// Files in `producer_position`.
        File "file",
        /// Znodes under `zk_save_position_root_path`.
        ZooKeeper "zookeeper"
    }

    /// `sync_point_saver`: when a point is saved.
    PointSaver {
        /// After every pack.
        Sync "sync",
        /// By a timer.
        Async "async"
    }

    /// `transaction_policy`: what is done about transactions.
    TransactionPolicy {
        /// Rows go on as they come; a transaction that fits a pack is held to its end.
        None "none",
        /// Whole transactions up to a limit.
        Mini "mini",
        /// Transactions beyond the limit are dropped table by table.
        DiscardHugeTable "discard_huge_table"
    }

    /// `trans_oversize`: what becomes of a transaction beyond the limit.
    Oversize {
        /// The shard stops.
        Stop "stop",
        /// It is dropped, as the original did.
        Discard "discard",
        /// It is delivered in parts.
        Stream "stream"
    }

    /// `statement_dml`: what becomes of a change of rows that was logged as a statement.
    StatementDml {
        /// The shard stops.
        Stop "stop",
        /// The statement is delivered.
        Deliver "deliver"
    }

    /// `dispatch_ddl`: which DDL is delivered.
    DispatchDdl {
        /// DDL that touches a watched table.
        Table "table",
        /// None.
        None "none",
        /// All of it.
        All "all"
    }

    /// `sink`: where packs go.
    SinkKind {
        /// To standard output.
        Stdout "stdout",
        /// To files in `file_sink_dir`.
        File "file",
        /// To a child process.
        Exec "exec",
        /// Nowhere: encoded, counted, thrown away.
        Null "null"
    }

    /// `exec_on_failure`: what follows when the consumer fails.
    ExecOnFailure {
        /// It is started again.
        Restart "restart",
        /// The shard stops.
        Stop "stop"
    }

    /// `exec_resume`: who knows where to go on at the start.
    ExecResume {
        /// The stored point.
        Point "point",
        /// The consumer, which says which pack it holds.
        Consumer "consumer"
    }

    /// `output_format`: how a row is written.
    OutputFormat {
        /// Fountain's own row line.
        Fountain "fountain",
        /// As Maxwell does.
        Maxwell "maxwell" later,
        /// As canal does.
        Canal "canal" later,
        /// As Debezium does.
        Debezium "debezium" later
    }

    /// `json_bigint`: how integers beyond 2⁵³ are written.
    JsonBigint {
        /// As a number.
        Number "number",
        /// As a string.
        String "string"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<C: Choice + PartialEq + std::fmt::Debug>() {
        for word in C::WORDS {
            assert_eq!(C::from_word(word.word).unwrap().word(), word.word);
        }
        assert_eq!(C::FIRST.word(), C::WORDS[0].word);
        assert_eq!(C::from_word("Auto"), None, "words are not case-folded");
    }

    #[test]
    fn words_and_values_agree() {
        round_trip::<DumpStrategy>();
        round_trip::<SlaveIdStrategy>();
        round_trip::<SslMode>();
        round_trip::<SinkKind>();
        assert!(OutputFormat::WORDS.iter().any(|word| word.word == "maxwell" && word.later));
    }
}
