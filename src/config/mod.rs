//! The configuration: properties files, environment and `-D` in, plain checked structs out.
//!
//! `keys` is the one table of all keys; `settings` lays the layers over each other; `build` makes the structs
//! below from them and finds what contradicts itself; `unsupported` says what this version does not do.
//! Nothing here connects to anything. The only thing read later is a password's file, at each connect.

mod build;
pub mod choice;
pub mod keys;
pub mod near;
pub mod password;
pub mod place;
pub mod problem;
pub mod properties;
pub mod sample;
pub mod settings;
#[cfg(test)]
mod tests;
mod unsupported;
pub mod value;

pub use choice::*;
pub use password::Password;
pub use problem::Origin;
pub use problem::Problem;
pub use settings::Request;

use crate::schema::filter::Filter;
use settings::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a process needs to know, checked. Paths are absolute when `Request::home` is.
#[derive(Debug, Clone)]
pub struct Config {
    /// `$FOUNTAIN_HOME`.
    pub home: PathBuf,
    /// `status_dir`.
    pub status_dir: PathBuf,
    /// `log_dir`.
    pub log_dir: PathBuf,
    /// `producer_position`: the stored points.
    pub point_dir: PathBuf,
    /// `stop_timeout_ms`.
    pub stop_timeout: Duration,
    /// Where points are stored and when.
    pub points: PointConfig,
    /// Several nodes.
    pub nodes: NodeConfig,
    /// How ZooKeeper is reached.
    pub zookeeper: ZooKeeperConfig,
    /// All shards in the order of their numbers, also those that are not enabled.
    pub shards: Vec<ShardConfig>,
    /// What holds where a shard has nothing of its own; all there is for files without a server.
    pub shared: SharedConfig,
    /// What was given, and where, for `fountain conf`.
    pub settings: Settings,
}

/// What `cat` and `filter test` need, with or without shards.
#[derive(Debug, Clone)]
pub struct SharedConfig {
    /// `filter_shard_table_white` and `filter_shard_table_black`.
    pub filter: Filter,
    /// `output_format`.
    pub output_format: OutputFormat,
    /// `json_bigint`.
    pub json_bigint: JsonBigint,
    /// `max_event_bytes`.
    pub max_event_bytes: u64,
    /// Transactions, DDL and what is told about them.
    pub transactions: TransactionConfig,
}

/// Where points are stored and when.
#[derive(Debug, Clone)]
pub struct PointConfig {
    /// `sync_point_store`, with `auto` decided.
    pub store: PointStore,
    /// `sync_point_saver`.
    pub saver: PointSaver,
    /// `async_event_position_thread_initdelay`.
    pub async_initial_delay: Duration,
    /// `async_event_position_thread_period`.
    pub async_period: Duration,
    /// `points_history_days`.
    pub history_days: u64,
}

/// Where points are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointStore {
    /// In files.
    File,
    /// In ZooKeeper.
    ZooKeeper,
}

/// Several nodes of which one works.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `ha_guard`, with `auto` decided.
    pub guard: HaGuard,
    /// `ha_scope`.
    pub scope: HaScope,
    /// `ha_max_shards`; `None` is no limit.
    pub max_shards: Option<u64>,
    /// `ha_release_after_ms`.
    pub release_after: Duration,
    /// `ha_rebalance`.
    pub rebalance: HaRebalance,
}

/// Who decides whether this node works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaGuard {
    /// Nobody: it does.
    None,
    /// A latch in ZooKeeper.
    ZooKeeper,
}

/// How ZooKeeper is reached and what is where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperConfig {
    /// `zk_string`.
    pub servers: Option<String>,
    /// `zk_auth_file`.
    pub auth_file: Option<PathBuf>,
    /// `zk_connection_timeout`.
    pub connection_timeout: Duration,
    /// `zk_session_timeout`.
    pub session_timeout: Duration,
    /// `zk_save_position_root_path`.
    pub save_position_root_path: Option<String>,
    /// `zk_leader_latch_path`.
    pub leader_latch_path: Option<String>,
    /// `zk_leader_latch_timeout`.
    pub leader_latch_timeout: Duration,
}

/// One shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Its number `N`; its place in `dbArray` when that is used.
    pub number: u32,
    /// Its name: file-name safe, different from every other shard's.
    pub name: String,
    /// False when it is to be left out of a run.
    pub enabled: bool,
    /// The main server first, then the backups. Never empty.
    pub sources: Vec<SourceOptions>,
    /// Where to start when no point is stored.
    pub start_point: StartPoint,
    /// `start_without_point`.
    pub start_without_point: StartWithoutPoint,
    /// `binlog_dump_strategy`.
    pub dump_strategy: DumpStrategy,
    /// `data_source_try_interval`.
    pub data_source_try_interval: Duration,
    /// `repeat_resource_interval`.
    pub repeat_resource_interval: Duration,
    /// `io_retry_count`.
    pub io_retry_count: u64,
    /// `position_failover`.
    pub position_failover: PositionFailover,
    /// `position_failover_margin_ms`.
    pub position_failover_margin: Duration,
    /// `source_catchup_wait_ms`.
    pub source_catchup_wait: Duration,
    /// `fail_back`.
    pub fail_back: FailBack,
    /// `max_event_bytes`.
    pub max_event_bytes: u64,
    /// `schema_file`.
    pub schema_file: Option<PathBuf>,
    /// `filter_shard_table_white` and `filter_shard_table_black`.
    pub filter: Filter,
    /// Transactions, DDL and what is told about them.
    pub transactions: TransactionConfig,
    /// `memq_limit`: most rows that may be between source and sink.
    pub memq_limit: u64,
    /// How rows are packed.
    pub packs: PackConfig,
    /// Where packs go.
    pub sink: SinkConfig,
    /// `output_format`.
    pub output_format: OutputFormat,
    /// `json_bigint`.
    pub json_bigint: JsonBigint,
}

/// A configured start point. Each part may be missing; which is used depends on how the source is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartPoint {
    /// File and position (4 or more).
    pub position: Option<(String, u64)>,
    /// The executed GTID set, parts joined by commas, checked in its shape only.
    pub gtid_set: Option<String>,
    /// The group id of Baidu's MySQL.
    pub ares_group: Option<u64>,
}

/// Transactions, DDL and what is told about them.
#[derive(Debug, Clone)]
pub struct TransactionConfig {
    /// `transaction_policy`.
    pub policy: TransactionPolicy,
    /// `trans_max_size`, in rows.
    pub max_rows: u64,
    /// `trans_max_bytes`.
    pub max_bytes: u64,
    /// `trans_oversize`.
    pub oversize: Oversize,
    /// `xa_hold_max_bytes`.
    pub xa_hold_max_bytes: u64,
    /// `statement_dml`.
    pub statement_dml: StatementDml,
    /// `dispatch_ddl`.
    pub dispatch_ddl: DispatchDdl,
    /// `dispatch_transaction`: begin and commit lines.
    pub dispatch_transaction: bool,
    /// `dispatch_gap`: gap lines.
    pub dispatch_gap: bool,
}

/// How rows are packed.
#[derive(Debug, Clone)]
pub struct PackConfig {
    /// `pack_max_bytes`, encoded.
    pub max_bytes: u64,
    /// `pack_timeout_ms`.
    pub timeout: Duration,
    /// `pack_eager`.
    pub eager: bool,
    /// `sparate_packsize`; `None` is no limit.
    pub max_rows: Option<u64>,
}

/// Where packs go.
#[derive(Debug, Clone)]
pub enum SinkConfig {
    /// To standard output.
    Stdout,
    /// To files.
    File(FileSinkConfig),
    /// To a child process.
    Exec(ExecSinkConfig),
    /// Nowhere.
    Null,
}

/// The file sink.
#[derive(Debug, Clone)]
pub struct FileSinkConfig {
    /// `file_sink_dir`.
    pub dir: PathBuf,
    /// `file_rotate_bytes`.
    pub rotate_bytes: u64,
    /// `file_rotate_seconds`.
    pub rotate_after: Duration,
    /// `file_keep_bytes`; `None` keeps all.
    pub keep_bytes: Option<u64>,
    /// `file_keep_seconds`; `None` keeps all.
    pub keep_for: Option<Duration>,
    /// `file_min_free_bytes`.
    pub min_free_bytes: u64,
}

/// The exec sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSinkConfig {
    /// `exec_command`.
    pub command: String,
    /// Where it runs: `$FOUNTAIN_HOME`. Empty: where we do.
    pub folder: PathBuf,
    /// `exec_ack_timeout_ms`.
    pub ack_timeout: Duration,
    /// `exec_on_failure`.
    pub on_failure: ExecOnFailure,
    /// `exec_resume`.
    pub resume: ExecResume,
}

/// One server of a shard and how to speak to it.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// 0 for the main server, K for backup haK.
    pub backup: u32,
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Which server id we show.
    pub slave_id: SlaveId,
    /// `mysql_username`.
    pub user: String,
    /// `mysql_password` or `mysql_password_file`.
    pub password: Password,
    /// Encryption.
    pub ssl: SslOptions,
    /// `mysql_replication_socket_connect_timeout`.
    pub connect_timeout: Duration,
    /// `mysql_replication_socket_so_timeout`.
    pub so_timeout: Duration,
    /// `mysql_heartbeat_period`: less than `so_timeout`.
    pub heartbeat_period: Duration,
    /// `mysql_replication_socket_in_buf` in bytes; `None` leaves it to the system.
    pub receive_buffer: Option<u64>,
    /// `mysql_replication_socket_out_buf` in bytes; `None` leaves it to the system.
    pub send_buffer: Option<u64>,
    /// `mysql_wait_timeout`; the server knows whole seconds.
    pub wait_timeout: Duration,
    /// `mysql_net_write_timeout`.
    pub net_write_timeout: Duration,
    /// `mysql_net_read_timeout`.
    pub net_read_timeout: Duration,
    /// `mysql_charset`: letters, digits and underscores only.
    pub charset: String,
}

impl SourceOptions {
    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        place::address(&self.host, self.port)
    }
}

/// Which server id a connection shows. Both ends of a range belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlaveId {
    /// Always this one.
    Fixed(u32),
    /// One drawn from the range at the start of the process.
    Random(u32, u32),
    /// One drawn from the range at the start of the process, one more at each connection.
    RandomThenIncrement(u32, u32),
}

/// Encryption of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslOptions {
    /// `mysql_ssl_mode`.
    pub mode: SslMode,
    /// `mysql_ssl_ca`; given whenever the mode verifies.
    pub ca: Option<PathBuf>,
    /// `mysql_ssl_cert` and `mysql_ssl_key`.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Config {
    /// Reads and checks everything; all problems at once, none of them twice.
    pub fn load(request: &Request) -> Result<Config, Vec<Problem>> {
        let (settings, problems) = Settings::read(request);
        build::config(settings, problems)
    }

    /// The shards that a run runs.
    pub fn enabled_shards(&self) -> impl Iterator<Item = &ShardConfig> {
        self.shards.iter().filter(|shard| shard.enabled)
    }

    /// The shard of that name.
    pub fn shard(&self, name: &str) -> Option<&ShardConfig> {
        self.shards.iter().find(|shard| shard.name == name)
    }

    /// Says what is missing when there is nothing to run.
    pub fn need_shards(&self) -> Result<(), Problem> {
        if self.enabled_shards().next().is_some() {
            return Ok(());
        }
        if !self.shards.is_empty() {
            return Err(Problem::general(
                "every shard has mysql_shard_N_enabled=false, there is nothing to run",
            ));
        }
        let names = |paths: &[PathBuf]| {
            let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            names.join(" and ")
        };
        let looked = match (self.settings.files.as_slice(), self.settings.absent_files.as_slice()) {
            ([], []) => "no file was read".to_string(),
            ([], absent) => format!(
                "looked for {}, which do not exist; name files by --conf, or set FOUNTAIN_HOME",
                names(absent)
            ),
            (read, _) => format!("read {}", names(read)),
        };
        let missing = "no server is configured: set mysql_shard_0_server, or dbArray, in a file, in the \
                       environment or by -D";
        Err(Problem::general(format!("{missing} ({looked})")))
    }

    /// What is configured for the shards of a run and is not in this version. `run` must refuse it.
    pub fn unsupported(&self) -> Vec<Problem> {
        unsupported::for_run(self)
    }

    /// The same for `cat`, which looks at few keys. `cat` must refuse it.
    pub fn unsupported_for_cat(&self) -> Vec<Problem> {
        unsupported::for_cat(self)
    }
}
