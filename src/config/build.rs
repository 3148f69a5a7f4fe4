//! From settings to the typed configuration, with the checks that look at more than one key.

use crate::config::Config;
use crate::config::ExecSinkConfig;
use crate::config::FileSinkConfig;
use crate::config::HaGuard;
use crate::config::NodeConfig;
use crate::config::PackConfig;
use crate::config::PointConfig;
use crate::config::PointStore;
use crate::config::ShardConfig;
use crate::config::SharedConfig;
use crate::config::SinkConfig;
use crate::config::SourceOptions;
use crate::config::StartPoint;
use crate::config::TransactionConfig;
use crate::config::ZooKeeperConfig;
use crate::config::choice::Choice;
use crate::config::choice::HaGuardChoice;
use crate::config::choice::PointSaver;
use crate::config::choice::PointStoreChoice;
use crate::config::choice::SinkKind;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Target;
use crate::config::place;
use crate::config::problem;
use crate::config::problem::Problem;
use crate::config::settings::Settings;
use crate::config::value;
use crate::config::value::Kind;
use crate::schema::filter::Filter;
use std::path::PathBuf;
use std::time::Duration;

mod servers;
mod source;

/// Builds the configuration, or hands back what is wrong: `found` before, and what shows only here.
pub fn config(settings: Settings, found: Vec<Problem>) -> Result<Config, Vec<Problem>> {
    let mut builder = Builder { settings: &settings, problems: Vec::new() };
    let zookeeper = builder.zookeeper();
    let nodes = builder.nodes();
    let points = builder.points();
    builder.check_zookeeper(&nodes, &points);
    let shards = builder.shards();
    let at = builder.at(Target::Process);
    let config = Config {
        home: settings.home.clone(),
        status_dir: at.path(&keys::STATUS_DIR).unwrap_or_default(),
        log_dir: at.path(&keys::LOG_DIR).unwrap_or_default(),
        point_dir: at.path(&keys::PRODUCER_POSITION).unwrap_or_default(),
        stop_timeout: at.time(&keys::STOP_TIMEOUT_MS),
        points,
        nodes,
        zookeeper,
        shared: shared(at),
        shards,
        settings: settings.clone(),
    };
    let mut all = found;
    all.extend(builder.problems);
    if all.is_empty() { Ok(config) } else { Err(problem::without_repeats(all)) }
}

struct Builder<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

/// Reads values as they hold at one place. Values that do not parse have been reported, the default stands
/// in.
#[derive(Clone, Copy)]
struct At<'a> {
    settings: &'a Settings,
    target: Target,
}

impl<'a> At<'a> {
    fn text(&self, key: &'static Key) -> Option<&'a str> {
        self.settings.text(key, self.target)
    }

    fn owned(&self, key: &'static Key) -> Option<String> {
        self.text(key).map(str::to_string)
    }

    fn path(&self, key: &'static Key) -> Option<PathBuf> {
        self.text(key).map(|path| self.settings.home.join(path))
    }

    fn maybe_time(&self, key: &'static Key) -> Option<Duration> {
        let Kind::Time(unit, ..) = key.kind else { return None };
        self.text(key).and_then(|text| value::time(text, unit))
    }

    /// For keys that have a default.
    fn time(&self, key: &'static Key) -> Duration {
        self.maybe_time(key).unwrap_or_default()
    }

    fn maybe_number(&self, key: &'static Key) -> Option<u64> {
        let text = self.text(key)?;
        match key.kind {
            Kind::Size(..) => value::size(text),
            _ => place::whole_number(text),
        }
    }

    /// For keys that have a default.
    fn number(&self, key: &'static Key) -> u64 {
        self.maybe_number(key).unwrap_or_default()
    }

    fn flag(&self, key: &'static Key) -> bool {
        self.text(key).and_then(value::boolean).unwrap_or_default()
    }

    fn choice<C: Choice>(&self, key: &'static Key) -> C {
        self.text(key).and_then(C::from_word).unwrap_or(C::FIRST)
    }

    /// Each list was compiled when it was read, so that together they cannot fail.
    fn filter(&self) -> Filter {
        let list = |key| self.text(key).unwrap_or_default();
        Filter::new(list(&keys::FILTER_WHITE), list(&keys::FILTER_BLACK)).unwrap_or_default()
    }
}

impl<'a> Builder<'a> {
    fn at(&self, target: Target) -> At<'a> {
        At { settings: self.settings, target }
    }

    fn problem(&mut self, key: &'static Key, target: Target, reason: impl Into<String>) {
        let origin = self.settings.origin(key, target);
        self.problems.push(Problem::at(&origin, reason));
    }

    fn zookeeper(&self) -> ZooKeeperConfig {
        let at = self.at(Target::Process);
        ZooKeeperConfig {
            servers: at.owned(&keys::ZK_STRING),
            auth_file: at.path(&keys::ZK_AUTH_FILE),
            connection_timeout: at.time(&keys::ZK_CONNECTION_TIMEOUT),
            session_timeout: at.time(&keys::ZK_SESSION_TIMEOUT),
            save_position_root_path: at.owned(&keys::ZK_SAVE_POSITION_ROOT_PATH),
            leader_latch_path: at.owned(&keys::ZK_LEADER_LATCH_PATH),
            leader_latch_timeout: at.time(&keys::ZK_LEADER_LATCH_TIMEOUT),
        }
    }

    fn nodes(&mut self) -> NodeConfig {
        let at = self.at(Target::Process);
        let latch = self.settings.is_given(&keys::ZK_LEADER_LATCH_PATH, Target::Process);
        let guard = match at.choice::<HaGuardChoice>(&keys::HA_GUARD) {
            HaGuardChoice::Auto if latch => HaGuard::ZooKeeper,
            HaGuardChoice::Auto => HaGuard::None,
            HaGuardChoice::None => {
                if latch {
                    let reason = "ha_guard=none contradicts zk_leader_latch_path: leave one of them empty";
                    self.problem(&keys::HA_GUARD, Target::Process, reason);
                }
                HaGuard::None
            }
            HaGuardChoice::ZooKeeper => {
                if !latch {
                    let reason = "ha_guard=zookeeper needs zk_leader_latch_path";
                    self.problem(&keys::HA_GUARD, Target::Process, reason);
                }
                HaGuard::ZooKeeper
            }
        };
        NodeConfig {
            guard,
            scope: at.choice(&keys::HA_SCOPE),
            max_shards: at.maybe_number(&keys::HA_MAX_SHARDS),
            release_after: at.time(&keys::HA_RELEASE_AFTER_MS),
            rebalance: at.choice(&keys::HA_REBALANCE),
        }
    }

    fn points(&mut self) -> PointConfig {
        let at = self.at(Target::Process);
        let root = self.settings.is_given(&keys::ZK_SAVE_POSITION_ROOT_PATH, Target::Process);
        let store = match at.choice::<PointStoreChoice>(&keys::SYNC_POINT_STORE) {
            PointStoreChoice::Auto if root => PointStore::ZooKeeper,
            PointStoreChoice::Auto | PointStoreChoice::File => PointStore::File,
            PointStoreChoice::ZooKeeper => {
                if !root {
                    let reason = "sync_point_store=zookeeper needs zk_save_position_root_path";
                    self.problem(&keys::SYNC_POINT_STORE, Target::Process, reason);
                }
                PointStore::ZooKeeper
            }
        };
        let saver = match (at.text(&keys::SYNC_POINT_SAVER), store) {
            (None, PointStore::ZooKeeper) => PointSaver::Async,
            _ => at.choice(&keys::SYNC_POINT_SAVER),
        };
        PointConfig {
            store,
            saver,
            async_initial_delay: at.time(&keys::ASYNC_INITDELAY),
            async_period: at.time(&keys::ASYNC_PERIOD),
            history_days: at.number(&keys::POINTS_HISTORY_DAYS),
        }
    }

    /// A node that takes over must find the points: files of another machine are no use to it.
    fn check_zookeeper(&mut self, nodes: &NodeConfig, points: &PointConfig) {
        let guarded = nodes.guard == HaGuard::ZooKeeper;
        let key = if guarded { &keys::ZK_LEADER_LATCH_PATH } else { &keys::ZK_SAVE_POSITION_ROOT_PATH };
        if guarded && points.store == PointStore::File {
            let reason = "several nodes need their points in ZooKeeper: with zk_leader_latch_path set \
                          zk_save_position_root_path, and leave sync_point_store at auto";
            self.problem(key, Target::Process, reason);
        }
        let servers = self.settings.is_given(&keys::ZK_STRING, Target::Process);
        if (guarded || points.store == PointStore::ZooKeeper) && !servers {
            self.problem(key, Target::Process, format!("{} needs zk_string, ZooKeeper's servers", key.name));
        }
    }

    /// What is the same for both ways of naming servers.
    fn shard(&mut self, number: u32, sources: Vec<SourceOptions>, start_point: StartPoint) -> ShardConfig {
        let target = Target::Shard(number);
        let at = self.at(target);
        ShardConfig {
            number,
            name: at.owned(&keys::SHARD_NAME).unwrap_or_else(|| default_name(number)),
            enabled: at.flag(&keys::SHARD_ENABLED),
            sources,
            start_point,
            start_without_point: at.choice(&keys::START_WITHOUT_POINT),
            dump_strategy: at.choice(&keys::BINLOG_DUMP_STRATEGY),
            data_source_try_interval: at.time(&keys::DATA_SOURCE_TRY_INTERVAL),
            repeat_resource_interval: at.time(&keys::REPEAT_RESOURCE_INTERVAL),
            io_retry_count: at.number(&keys::IO_RETRY_COUNT),
            position_failover: at.choice(&keys::POSITION_FAILOVER),
            position_failover_margin: at.time(&keys::POSITION_FAILOVER_MARGIN_MS),
            source_catchup_wait: at.time(&keys::SOURCE_CATCHUP_WAIT_MS),
            fail_back: at.choice(&keys::FAIL_BACK),
            max_event_bytes: at.number(&keys::MAX_EVENT_BYTES),
            schema_file: at.path(&keys::SCHEMA_FILE),
            filter: at.filter(),
            transactions: transactions(at),
            memq_limit: at.number(&keys::MEMQ_LIMIT),
            packs: packs(at),
            sink: self.sink(at),
            output_format: at.choice(&keys::OUTPUT_FORMAT),
            json_bigint: at.choice(&keys::JSON_BIGINT),
        }
    }

    fn sink(&mut self, at: At<'_>) -> SinkConfig {
        match at.choice::<SinkKind>(&keys::SINK_KIND) {
            SinkKind::Stdout => SinkConfig::Stdout,
            SinkKind::Null => SinkConfig::Null,
            SinkKind::File => SinkConfig::File(FileSinkConfig {
                dir: at.path(&keys::FILE_SINK_DIR).unwrap_or_default(),
                rotate_bytes: at.number(&keys::FILE_ROTATE_BYTES),
                rotate_after: at.time(&keys::FILE_ROTATE_SECONDS),
                keep_bytes: at.maybe_number(&keys::FILE_KEEP_BYTES),
                keep_for: at.maybe_time(&keys::FILE_KEEP_SECONDS),
                min_free_bytes: at.number(&keys::FILE_MIN_FREE_BYTES),
            }),
            SinkKind::Exec => {
                let command = at.owned(&keys::EXEC_COMMAND);
                if command.is_none() {
                    self.problem(&keys::SINK_KIND, at.target, "sink=exec needs exec_command");
                }
                SinkConfig::Exec(ExecSinkConfig {
                    command: command.unwrap_or_default(),
                    folder: self.settings.home.clone(),
                    ack_timeout: at.time(&keys::EXEC_ACK_TIMEOUT_MS),
                    on_failure: at.choice(&keys::EXEC_ON_FAILURE),
                    resume: at.choice(&keys::EXEC_RESUME),
                })
            }
        }
    }
}

/// The original's `producer00`.
pub fn default_name(number: u32) -> String {
    format!("producer{number:02}")
}

fn shared(at: At<'_>) -> SharedConfig {
    SharedConfig {
        filter: at.filter(),
        output_format: at.choice(&keys::OUTPUT_FORMAT),
        json_bigint: at.choice(&keys::JSON_BIGINT),
        max_event_bytes: at.number(&keys::MAX_EVENT_BYTES),
        transactions: transactions(at),
    }
}

fn transactions(at: At<'_>) -> TransactionConfig {
    TransactionConfig {
        policy: at.choice(&keys::TRANSACTION_POLICY),
        max_rows: at.number(&keys::TRANS_MAX_SIZE),
        max_bytes: at.number(&keys::TRANS_MAX_BYTES),
        oversize: at.choice(&keys::TRANS_OVERSIZE),
        xa_hold_max_bytes: at.number(&keys::XA_HOLD_MAX_BYTES),
        statement_dml: at.choice(&keys::STATEMENT_DML),
        dispatch_ddl: at.choice(&keys::DISPATCH_DDL),
        dispatch_transaction: at.flag(&keys::DISPATCH_TRANSACTION),
        dispatch_gap: at.flag(&keys::DISPATCH_GAP),
    }
}

fn packs(at: At<'_>) -> PackConfig {
    PackConfig {
        max_bytes: at.number(&keys::PACK_MAX_BYTES),
        timeout: at.time(&keys::PACK_TIMEOUT_MS),
        eager: at.flag(&keys::PACK_EAGER),
        max_rows: at.maybe_number(&keys::SPARATE_PACKSIZE),
    }
}
