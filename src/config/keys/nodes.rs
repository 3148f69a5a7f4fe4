//! The keys of `fountain-config.properties` about points, and about several nodes of which one works.

use super::Group;
use super::Key;
use super::Scope::Process;
use super::group;
use crate::config::choice::Choice;
use crate::config::choice::HaGuardChoice;
use crate::config::choice::HaRebalance;
use crate::config::choice::HaScope;
use crate::config::choice::PointSaver;
use crate::config::choice::PointStoreChoice;
use crate::config::value::Kind;
use crate::config::value::Unit::Milliseconds;

const DAY: u64 = 24 * 60 * 60 * 1000;

group! { POINTS "Sync points: where each shard resumes"
    SYNC_POINT_STORE = Key::new("sync_point_store", Process, Kind::OneOf(PointStoreChoice::WORDS),
        "auto: ZooKeeper when zk_save_position_root_path is set, else file; file: files in \
         producer_position; zookeeper: nodes under zk_save_position_root_path, with a copy of each point in \
         producer_position.").default("auto");
    SYNC_POINT_SAVER = Key::new("sync_point_saver", Process, Kind::OneOf(PointSaver::WORDS),
        "sync: a point is saved after every pack; async: by a timer, with the two keys below.")
        .derived("sync for file, async for ZooKeeper");
    ASYNC_INITDELAY = Key::new("async_event_position_thread_initdelay", Process,
        Kind::Time(Milliseconds, 0, DAY),
        "The asynchronous saver's first wait, in milliseconds.").default("6000");
    ASYNC_PERIOD = Key::new("async_event_position_thread_period", Process, Kind::Time(Milliseconds, 1, DAY),
        "The asynchronous saver's period, in milliseconds.").default("20000");
    POINTS_HISTORY_DAYS = Key::new("points_history_days", Process, Kind::Whole(0, 3650),
        "For how many days one former point a minute is kept for \"fountain points\", besides the last 1000.").default("7");
}

group! { NODES "Several nodes: of all that share a latch, one works and the rest stand by"
    HA_GUARD = Key::new("ha_guard", Process, Kind::OneOf(HaGuardChoice::WORDS),
        "auto: ZooKeeper when zk_leader_latch_path is set, else none; none: this node works alone; \
         zookeeper.")
        .default("auto");
    HA_SCOPE = Key::new("ha_scope", Process, Kind::OneOf(HaScope::WORDS),
        "process: one latch at zk_leader_latch_path, one node leads all shards; shard: a latch per shard \
         under it, the nodes share the shards.")
        .default("process");
    HA_MAX_SHARDS = Key::new("ha_max_shards", Process, Kind::Whole(1, 10_000),
        "Most shards that this node leads under ha_scope=shard. Empty: no limit.");
    HA_REBALANCE = Key::new("ha_rebalance", Process, Kind::OneOf(HaRebalance::WORDS),
        "Under ha_scope=shard, when a node joins. manual: shards stay where they are until a node ends or steps down; auto: \
         nodes that lead more than their share hand over.")
        .default("manual");
    HA_RELEASE_AFTER_MS = Key::new("ha_release_after_ms", Process, Kind::Time(Milliseconds, 0, DAY),
        "A leader that cannot reach its servers or write its sink for so long hands over to a node that waits, in milliseconds; \
         after each time it tries twice as long itself. 0: never.")
        .default("60000");
}

group! { ZOOKEEPER "ZooKeeper"
    ZK_STRING = Key::new("zk_string", Process, Kind::ZkServers,
        "ZooKeeper's servers as host:port,host:port, with a folder for all nodes of ours behind them if wanted \
         (host:port/folder). Each session takes one of them at random.");
    ZK_AUTH_FILE = Key::new("zk_auth_file", Process, Kind::Path,
        "A file that holds user:password for ZooKeeper's digest scheme, readable by its owner alone. Nodes are made for that user \
         alone then; nodes that are there already keep their ACL. Empty: no login, nodes open to all.");
    ZK_CONNECTION_TIMEOUT = Key::new("zk_connection_timeout", Process, Kind::Time(Milliseconds, 1, DAY),
        "How long a connection to ZooKeeper may take to come about, in milliseconds.").default("4000");
    ZK_SESSION_TIMEOUT = Key::new("zk_session_timeout", Process, Kind::Time(Milliseconds, 1, DAY),
        "Session time-out that is asked for, in milliseconds; ZooKeeper may give less. A standby takes over \
         after it.").default("50000");
    ZK_SAVE_POSITION_ROOT_PATH = Key::new("zk_save_position_root_path", Process, Kind::ZkPath,
        "Znode under which the points are kept, one child per shard, by the shard's name.");
    ZK_LEADER_LATCH_TIMEOUT = Key::new("zk_leader_latch_timeout", Process, Kind::Time(Milliseconds, 1, DAY),
        "A standby says in its log every so often that it waits for the latch, in milliseconds.")
        .default("10000");
    ZK_LEADER_LATCH_PATH = Key::new("zk_leader_latch_path", Process, Kind::ZkPath,
        "Znode of the latch that the nodes share.");
}
