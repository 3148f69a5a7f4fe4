//! The keys of `fountain-config.properties` about what is delivered, how, and where to.

use super::Group;
use super::Key;
use super::Scope::Process;
use super::Scope::Shard;
use super::group;
use crate::config::choice::Choice;
use crate::config::choice::DispatchDdl;
use crate::config::choice::DumpStrategy;
use crate::config::choice::ExecOnFailure;
use crate::config::choice::ExecResume;
use crate::config::choice::FailBack;
use crate::config::choice::JsonBigint;
use crate::config::choice::OutputFormat;
use crate::config::choice::Oversize;
use crate::config::choice::PositionFailover;
use crate::config::choice::SinkKind;
use crate::config::choice::StartWithoutPoint;
use crate::config::choice::StatementDml;
use crate::config::choice::TransactionPolicy;
use crate::config::value::Kind;
use crate::config::value::Unit::Milliseconds;
use crate::config::value::Unit::Seconds;

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
/// Where nothing else limits a time.
const LONG: u64 = 3650 * DAY;
/// Row numbers are 64 bits wide; this limit only catches slips.
const ROWS_MAX: u64 = 1_000_000_000_000;
const TIB: u64 = 1 << 40;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

group! { TABLES "Tables, separated by commas. An entry of letters, digits, _ - $ and one dot is exactly that \
    database.table; any other is a regular expression that must match the whole database.table"
    FILTER_WHITE = Key::new("filter_shard_table_white", Shard, Kind::Tables,
        "Tables to watch; empty: all, but mysql.user and the like: where the server keeps passwords must be named exactly.");
    FILTER_BLACK = Key::new("filter_shard_table_black", Shard, Kind::Tables,
        "Tables not to watch, also where the white list names them.");
}

group! { SINK "Sink: where packs go"
    SINK_KIND = Key::new("sink", Shard, Kind::OneOf(SinkKind::WORDS),
        "stdout; file: files in file_sink_dir; exec: a consumer program; null: encodes, counts and throws \
         away, for measuring.")
        .default("stdout").sample("stdout");
    OUTPUT_FORMAT = Key::new("output_format", Shard, Kind::OneOf(OutputFormat::WORDS),
        "How a row is written: fountain is one JSON object a line.")
        .default("fountain");
    JSON_BIGINT = Key::new("json_bigint", Shard, Kind::OneOf(JsonBigint::WORDS),
        "Integers beyond 2^53 as JSON numbers, or as strings for consumers that would round them.")
        .default("number");
    FILE_SINK_DIR = Key::new("file_sink_dir", Shard, Kind::Path,
        "Folder of the file sink; a relative one is meant from $FOUNTAIN_HOME.")
        .default("data");
    FILE_ROTATE_BYTES = Key::new("file_rotate_bytes", Shard, Kind::Size(1, 1024 * TIB),
        "A new file is begun when the open one has this size, in bytes.")
        .default("1GiB");
    FILE_ROTATE_SECONDS = Key::new("file_rotate_seconds", Shard, Kind::Time(Seconds, 1000, LONG),
        "A new file is begun when the open one has this age, in seconds.").default("3600");
    FILE_KEEP_BYTES = Key::new("file_keep_bytes", Shard, Kind::Size(1, 1024 * TIB),
        "Oldest files are removed when all of the shard's files together exceed this size, in bytes. Empty: \
         keep all.");
    FILE_KEEP_SECONDS = Key::new("file_keep_seconds", Shard, Kind::Time(Seconds, 1000, LONG),
        "Files are removed when they are older than this, in seconds. Empty: keep all.");
    FILE_MIN_FREE_BYTES = Key::new("file_min_free_bytes", Shard, Kind::Size(0, 1024 * TIB),
        "The file sink waits, and the shard with it, while the disk has less room than this, in bytes.")
        .default("1GiB");
    EXEC_COMMAND = Key::new("exec_command", Shard, Kind::Text,
        "The consumer program, for sink=exec: a command line for /bin/sh, run in $FOUNTAIN_HOME, one process a \
         shard, whose name is in its environment as FOUNTAIN_SHARD.");
    EXEC_ACK_TIMEOUT_MS = Key::new("exec_ack_timeout_ms", Shard, Kind::Time(Milliseconds, 1, LONG),
        "How long the consumer may take to acknowledge a pack, counted from the last byte that it took, in \
         milliseconds.").default("60000");
    EXEC_ON_FAILURE = Key::new("exec_on_failure", Shard, Kind::OneOf(ExecOnFailure::WORDS),
        "What follows when the consumer fails or rejects a pack: restart: the same pack again after a pause, by a \
         new consumer when it has failed; stop: the shard stops.").default("restart");
    EXEC_RESUME = Key::new("exec_resume", Shard, Kind::OneOf(ExecResume::WORDS),
        "Where to go on at the start. point: at the stored point, rows may come again; consumer: it is asked which \
         pack it holds, so that one that keeps packs and rows together gets each row once.").default("point");
}

group! { PACKS "Packs: rows travel in packs; a pack is durable in the sink before its point is saved"
    PACK_MAX_BYTES = Key::new("pack_max_bytes", Shard, Kind::Size(1, GIB),
        "Most bytes of encoded rows in a pack; a larger row is a pack of its own.").default("2097152");
    PACK_TIMEOUT_MS = Key::new("pack_timeout_ms", Shard, Kind::Time(Milliseconds, 0, HOUR),
        "Longest wait with rows in hand, in milliseconds.").default("100");
    PACK_EAGER = Key::new("pack_eager", Shard, Kind::Bool,
        "true: a pack also leaves as soon as the server has no more to send, so that an idle shard delivers \
         at once.").default("true");
    SPARATE_PACKSIZE = Key::new("sparate_packsize", Shard, Kind::Whole(1, ROWS_MAX),
        "Most rows in a pack (the original's spelling). Empty: no limit but pack_max_bytes.");
    MEMQ_LIMIT = Key::new("memq_limit", Shard, Kind::Whole(1, ROWS_MAX),
        "Most rows that may be between source and sink; for a transaction that a policy holds trans_max_size counts.")
        .default("60000");
}

group! { TRANSACTIONS "Transactions, DDL and what is told about them"
    TRANSACTION_POLICY = Key::new("transaction_policy", Shard, Kind::OneOf(TransactionPolicy::WORDS),
        "none: rows go on as they come, a transaction that fits a pack is held to its end; mini: whole \
         transactions up to trans_max_size and trans_max_bytes, nothing of what is rolled back; \
         discard_huge_table: as mini, and of a larger one tables are left out, the one with the most rows first, \
         until the rest fits.").default("none");
    TRANS_MAX_SIZE = Key::new("trans_max_size", Shard, Kind::Whole(1, ROWS_MAX),
        "Most rows of a transaction under mini and discard_huge_table, counting rows of watched tables that are \
         not rolled back.").default("30000");
    TRANS_MAX_BYTES = Key::new("trans_max_bytes", Shard, Kind::Size(1, TIB),
        "Most bytes of a transaction's lines (without their seq) under mini and discard_huge_table; so much is held \
         in memory, and about a third more where each event has one row.").default("64MiB");
    TRANS_OVERSIZE = Key::new("trans_oversize", Shard, Kind::OneOf(Oversize::WORDS),
        "A larger transaction under mini: stop the shard before it; discard it, with a warning and a gap record \
         (what the original did, mostly in silence); or stream it in parts. Under discard_huge_table it counts only \
         where leaving tables out does not help: for long statements. Under none no transaction is too large.")
        .default("stop");
    STATEMENT_DML = Key::new("statement_dml", Shard, Kind::OneOf(StatementDml::WORDS),
        "A change of rows that the server logged as a statement: stop the shard, or deliver the statement (of \
         LOAD DATA not the file's contents).").default("stop");
    DISPATCH_DDL = Key::new("dispatch_ddl", Shard, Kind::OneOf(DispatchDdl::WORDS),
        "DDL lines: table: those that touch a watched table; none; all.").default("table");
    DISPATCH_TRANSACTION = Key::new("dispatch_transaction", Shard, Kind::Bool,
        "true: a begin and a commit line around the changes of each transaction of which any is delivered.")
        .default("false");
    DISPATCH_GAP = Key::new("dispatch_gap", Shard, Kind::Bool,
        "true: a gap line where rows were left out, skipped, moved over or repeated.")
        .default("true");
}

group! { READING "Reading the binlog"
    BINLOG_DUMP_STRATEGY = Key::new("binlog_dump_strategy", Shard, Kind::OneOf(DumpStrategy::WORDS),
        "auto: by GTID where the server has GTIDs on (MySQL gtid_mode=ON, MariaDB since 10.0), else by file \
         and position; gtid; position; ares: by the group ids of Baidu's MySQL 5.1.").default("auto");
    START_WITHOUT_POINT = Key::new("start_without_point", Shard, Kind::OneOf(StartWithoutPoint::WORDS),
        "Where to start when no point is stored. auto: the configured point, else the server's end, and \
         only if nothing shows that there was a point before; end; beginning: the oldest binlog; stop: do \
         not start.")
        .default("auto");
    DATA_SOURCE_TRY_INTERVAL = Key::new("data_source_try_interval", Shard, Kind::Time(Milliseconds, 0, DAY),
        "Wait before each round over a shard's servers, in milliseconds.").default("3000");
    REPEAT_RESOURCE_INTERVAL = Key::new("repeat_resource_interval", Shard, Kind::Time(Milliseconds, 0, DAY),
        "Wait after a round in which every server failed, in milliseconds.").default("5000");
    IO_RETRY_COUNT = Key::new("io_retry_count", Shard, Kind::Whole(0, 1000),
        "How often a query is tried again after its connection broke.").default("2");
    POSITION_FAILOVER = Key::new("position_failover", Shard, Kind::OneOf(PositionFailover::WORDS),
        "File and position mean nothing on another server. refuse: do not go on there; timestamp: start \
         there at the last commit time less a margin; rows are repeated, and a jump is recorded.").default("refuse");
    POSITION_FAILOVER_MARGIN_MS = Key::new("position_failover_margin_ms", Shard, Kind::Time(Milliseconds, 0, DAY),
        "How long before the last commit time position_failover=timestamp starts, in milliseconds: more than the clocks of a \
         shard's servers may ever differ.").default("60000");
    SOURCE_CATCHUP_WAIT_MS = Key::new("source_catchup_wait_ms", Shard, Kind::Time(Milliseconds, 0, DAY),
        "How long a server is waited for that lacks transactions which have been delivered already (a backup that lags), in \
         milliseconds; then it is refused, with the way out.").default("60000");
    FAIL_BACK = Key::new("fail_back", Shard, Kind::OneOf(FailBack::WORDS),
        "When a backup is read and the main server serves again. manual: nothing (\"fountain switch\" goes over); auto: back, once \
         it has all that was delivered.").default("manual");
    MAX_EVENT_BYTES = Key::new("max_event_bytes", Shard, Kind::Size(1024, u32::MAX as u64),
        "Largest binlog event that is accepted, in bytes.")
        .default("1GiB");
    XA_HOLD_MAX_BYTES = Key::new("xa_hold_max_bytes", Shard, Kind::Size(MIB, TIB),
        "Most bytes of XA transactions that are held until they are committed or rolled back; on MySQL those of one \
         phase count while they are read.").default("64MiB");
    SCHEMA_FILE = Key::new("schema_file", Shard, Kind::Path,
        "Table definitions, one table a line as JSON, for rows that neither the binlog nor the server can explain. \
         Each holds until the first DDL of its table is read; edit its line to use it again.");
}

group! { FOLDERS "Folders and the stop; relative folders are meant from $FOUNTAIN_HOME"
    STATUS_DIR = Key::new("status_dir", Process, Kind::Path, "Folder of the status files.").default("status");
    LOG_DIR = Key::new("log_dir", Process, Kind::Path, "Folder of the log files.").default("logs");
    PRODUCER_POSITION = Key::new("producer_position", Process, Kind::Path,
        "Folder of the stored points and of what belongs to them. Points that the original Fountain left there \
         (NAME, NAME.binlog, NAME.gtidset) are gone on with when there is none of ours.").default("points");
    STOP_TIMEOUT_MS = Key::new("stop_timeout_ms", Process, Kind::Time(Milliseconds, 0, DAY),
        "How long an orderly stop may take before the process ends with exit code 1, in milliseconds.")
        .default("10000");
}
