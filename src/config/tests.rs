//! The whole way from files, environment and `-D` to the typed configuration.

mod servers;

use super::*;
use crate::config::place::with_commas;
use std::ffi::OsString;
use std::path::Path;
use tempfile::TempDir;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// A request in a folder of its own.
struct Case {
    folder: TempDir,
    request: Request,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let request =
            Request { home: folder.path().to_path_buf(), default_files: true, ..Request::default() };
        Case { folder, request }
    }

    /// A server, an account and these pairs, all by a file.
    fn with(lines: &str) -> Self {
        Case::new().file("a.properties", format!("mysql_shard_0_server=db1\nmysql_username=u\n{lines}"))
    }

    fn file(mut self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self.request.files.push(self.folder.path().join(name));
        self
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn define(mut self, name: &str, value: &str) -> Self {
        self.request.defines.push((name.to_string(), value.to_string()));
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.request.environment.push((OsString::from(name), OsString::from(value)));
        self
    }

    fn config(&self) -> Config {
        Config::load(&self.request).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// The problems as printed, without the folder's name.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let shown = |problem: &Problem| problem.to_string().replace(&folder, "");
        Config::load(&self.request).expect_err("no problem").iter().map(shown).collect()
    }

    fn unsupported(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        self.config().unsupported().iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

fn shard(lines: &str) -> ShardConfig {
    Case::with(lines).config().shards.remove(0)
}

fn problems(lines: &str) -> Vec<String> {
    Case::with(lines).problems()
}

#[test]
fn defaults() {
    let case = Case::with("");
    let config = case.config();
    let home = case.folder.path();
    let dirs = [&config.status_dir, &config.log_dir, &config.point_dir];
    assert_eq!(dirs, [&home.join("status"), &home.join("logs"), &home.join("points")]);
    assert_eq!(config.stop_timeout, Duration::from_secs(10));
    assert_eq!((config.points.store, config.points.saver), (PointStore::File, PointSaver::Sync));
    assert_eq!(config.points.async_period, Duration::from_secs(20));
    assert_eq!((config.nodes.guard, config.nodes.max_shards), (HaGuard::None, None));
    let shard = &config.shards[0];
    assert_eq!((shard.number, shard.name.as_str(), shard.enabled), (0, "producer00", true));
    assert_eq!(shard.start_point, StartPoint::default());
    assert_eq!(shard.dump_strategy, DumpStrategy::Auto);
    assert_eq!(shard.data_source_try_interval, Duration::from_millis(3000));
    assert_eq!(shard.max_event_bytes, 1 << 30);
    assert_eq!((shard.packs.max_bytes, shard.packs.max_rows, shard.packs.eager), (2_097_152, None, true));
    assert_eq!(shard.packs.timeout, Duration::from_millis(100));
    assert_eq!((shard.transactions.max_rows, shard.transactions.max_bytes), (30_000, 64 << 20));
    assert_eq!((shard.transactions.dispatch_transaction, shard.transactions.dispatch_gap), (false, true));
    assert_eq!(shard.memq_limit, 60_000);
    assert!(matches!(shard.sink, SinkConfig::Stdout));
    let source = &shard.sources[0];
    assert_eq!((source.address().as_str(), source.backup), ("db1:3306", 0));
    assert_eq!(source.slave_id, SlaveId::Random(1 << 30, (1 << 31) - 1));
    assert_eq!(source.password, Password::Inline(Default::default()));
    assert_eq!(source.ssl, SslOptions { mode: SslMode::Preferred, ca: None, identity: None });
    assert_eq!(
        (source.connect_timeout, source.so_timeout),
        (Duration::from_secs(3), Duration::from_secs(60))
    );
    assert_eq!(source.heartbeat_period, Duration::from_secs(15));
    assert_eq!((source.receive_buffer, source.send_buffer), (None, None));
    assert_eq!(source.wait_timeout, Duration::from_secs(9_999_999));
    assert_eq!(
        (source.net_write_timeout, source.net_read_timeout),
        (Duration::from_secs(3600), Duration::from_secs(3600))
    );
    assert_eq!(source.charset, "binary");
    assert!(config.unsupported().is_empty() && config.need_shards().is_ok());
}

#[test]
fn the_file_sink_and_its_keys() {
    let sink = shard("sink=file\nfile_sink_dir=/data/out\nfile_rotate_bytes=10MB\nfile_rotate_seconds=5m\nfile_keep_seconds=7d\n").sink;
    let SinkConfig::File(file) = sink else { panic!("{sink:?}") };
    assert_eq!(file.dir, Path::new("/data/out"));
    assert_eq!((file.rotate_bytes, file.rotate_after), (10_000_000, Duration::from_secs(300)));
    assert_eq!((file.keep_bytes, file.keep_for), (None, Some(Duration::from_secs(7 * 86_400))));
    assert_eq!(file.min_free_bytes, 1 << 30);
    assert_eq!(
        problems("sink=file,stdout\n"),
        ["CONFIG a.properties:3: sink: a shard has one sink, got \"file,stdout\""]
    );
}

#[test]
fn define_wins_over_environment_over_files_over_default() {
    let case = Case::with("memq_limit=1\npack_timeout_ms=1\nio_retry_count=1\n")
        .env("memq_limit", "2")
        .env("pack_timeout_ms", "2")
        .env("PATH", "/bin")
        .env("mysql_shard_0_sever", "names that are no keys are passed over")
        .define("memq_limit", "3");
    let shard = case.config().shards.remove(0);
    assert_eq!((shard.memq_limit, shard.packs.timeout.as_millis(), shard.io_retry_count), (3, 2, 1));
}

#[test]
fn an_empty_value_means_the_default_whatever_lies_below() {
    let case = Case::with("memq_limit=1\nfilter_shard_table_white=a.b\n")
        .define("memq_limit", "")
        .env("filter_shard_table_white", "");
    let shard = case.config().shards.remove(0);
    assert_eq!(shard.memq_limit, 60_000);
    assert!(shard.filter.watches("x", "y"));
}

#[test]
fn the_nearest_name_wins_over_the_layers() {
    let case = Case::with(
        "mysql_shard_0_ha1_server=db2\nmysql_shard_1_server=db3\nmysql_password=all\nmysql_shard_0_password=shard\n\
         mysql_shard_0_ha1_password=backup\nmysql_shard_1_transaction_policy=mini\nmysql_shard_0_mysql_charset=utf8mb4\n",
    )
    .define("transaction_policy", "none");
    let config = case.config();
    let password =
        |shard: usize, source: usize| config.shards[shard].sources[source].password.read().unwrap();
    assert_eq!(password(0, 0).reveal(), "shard");
    assert_eq!(password(0, 1).reveal(), "backup");
    assert_eq!(password(1, 0).reveal(), "all");
    assert_eq!(config.shards[1].transactions.policy, TransactionPolicy::Mini);
    assert_eq!(config.shards[0].transactions.policy, TransactionPolicy::None);
    assert_eq!(config.shards[0].sources[1].charset, "utf8mb4");
    assert_eq!(config.shards[1].sources[0].charset, "binary");
}

#[test]
fn every_mistake_is_named_at_once() {
    let case = Case::with(
        "mysql_shard_0_sever=db1\nmysql_shard_0_port=abc\nmemq_limit=0\nsink=fiel\n\njust text\nmysql_shard_0_port=3306\n\
         mysql_shard_1_port=3307\nmysql_shard_2_server=a\nmysql_shard_2_name=producer00\n",
    )
    .env("pack_timeout_ms", "soon")
    .define("trans_max_siez", "1")
    .define("sink", "null")
    .define("sink", "null");
    assert_eq!(
        case.problems(),
        [
            "CONFIG a.properties:3: unknown key \"mysql_shard_0_sever\", did you mean \"mysql_shard_0_server\"?",
            "CONFIG a.properties:4: mysql_shard_0_port: expected a whole number from 1 to 65535, got \"abc\"",
            "CONFIG a.properties:5: memq_limit: expected a whole number from 1 to 1000000000000, got \"0\"",
            "CONFIG a.properties:6: sink: expected one of stdout, file, exec, null, got \"fiel\", did you mean \"file\"?",
            "CONFIG a.properties:8: expected key=value, there is no \"=\" in this line",
            "CONFIG a.properties:9: \"mysql_shard_0_port\" is given twice, first in line 4",
            "CONFIG environment: pack_timeout_ms: expected a time in milliseconds, or with a unit (500ms, 5s, 1m, 2h, 7d), \
             from 0ms to 1h, got \"soon\"",
            "CONFIG -D: unknown key \"trans_max_siez\", did you mean \"trans_max_size\"?",
            "CONFIG -D: \"sink\" is given twice",
            "CONFIG a.properties:10: \"mysql_shard_1_port\" is set and \"mysql_shard_1_server\" is not",
            "CONFIG a.properties:12: shards 0 and 2 have the same name \"producer00\"",
        ]
    );
}

#[test]
fn a_key_in_two_files_or_in_two_spellings_is_a_duplicate() {
    let two = Case::with("memq_limit=1\n").file("b.properties", "\nmemq_limit=1\n");
    assert_eq!(
        two.problems(),
        ["CONFIG b.properties:2: \"memq_limit\" is given twice, first at a.properties:3"]
    );
    assert_eq!(
        problems("mysql_shard_0_charset=binary\nmysql_shard_0_mysql_charset=binary\n"),
        ["CONFIG a.properties:4: \"mysql_shard_0_charset\" is given twice, first at a.properties:3"]
    );
    let mut case = Case::with("");
    case.request.files.push(case.request.files[0].clone());
    assert_eq!(case.problems(), ["CONFIG --conf a.properties is given twice"]);
}

#[test]
fn passwords_are_never_shown() {
    let case = Case::with("mysql_password=hidden-1\nmysql_password: hidden-2=hidden-3\n")
        .define("mysql_shard_0_password", "hidden-4");
    let problems = case.problems();
    assert_eq!(
        problems,
        [
            "CONFIG a.properties:4: unknown key \"mysql_password…\"; \"fountain help keys\" lists all keys",
            "CONFIG -D: mysql_shard_0_password: a password on the command line can be read by everyone who lists processes; \
             use mysql_password_file, the environment or a properties file",
        ]
    );
    let config = Case::with("").env("mysql_password", "hidden-5").config();
    assert_eq!(config.shards[0].sources[0].password.read().unwrap().reveal(), "hidden-5");
    assert!(!format!("{config:?} {config:#?}").contains("hidden"));
}

#[test]
fn a_password_or_its_file() {
    let case = Case::with("mysql_password=x\nmysql_shard_0_password_file=secret/pw\n");
    let password = case.config().shards[0].sources[0].password.clone();
    assert_eq!(password, Password::File(case.folder.path().join("secret/pw")));
    assert_eq!(
        problems("mysql_password=x\nmysql_password_file=y\nmysql_shard_0_ha1_server=z\n"),
        [
            "CONFIG a.properties:4: mysql_password_file and mysql_password (a.properties:3) are both set; use one of them"
        ]
    );
    let emptied = Case::with("mysql_password=x\nmysql_password_file=/pw\n").define("mysql_password", "");
    assert_eq!(emptied.config().shards[0].sources[0].password, Password::File("/pw".into()));
}

#[test]
fn things_that_need_each_other() {
    let cases = [
        ("mysql_ssl_mode=verify_ca\n", "mysql_ssl_mode=verify_ca needs mysql_ssl_ca"),
        ("mysql_ssl_cert=x\n", "mysql_ssl_cert and mysql_ssl_key are given together or not at all"),
        ("mysql_ssl_key=x\n", "mysql_ssl_cert and mysql_ssl_key are given together or not at all"),
        ("sink=exec\n", "sink=exec needs exec_command"),
        (
            "mysql_heartbeat_period=1m\n",
            "mysql_heartbeat_period: 60000 ms is not less than mysql_replication_socket_so_timeout, 60000 ms",
        ),
        ("ha_guard=zookeeper\n", "ha_guard=zookeeper needs zk_leader_latch_path"),
        ("sync_point_store=zookeeper\n", "sync_point_store=zookeeper needs zk_save_position_root_path"),
        (
            "zk_save_position_root_path=/p\n",
            "zk_save_position_root_path needs zk_string, ZooKeeper's servers",
        ),
        (
            "filter_shard_table_black=a.(b\n",
            "filter_shard_table_black: entry \"a.(b\": broken regular expression: unclosed group",
        ),
    ];
    for (lines, reason) in cases {
        let problems = problems(lines);
        assert!(
            problems.iter().any(|problem| problem == &format!("CONFIG a.properties:3: {reason}")),
            "{problems:#?}"
        );
    }
    assert_eq!(
        Case::new().file("a.properties", "mysql_shard_0_server=x\nmysql_shard_0_ha1_server=y\n").problems(),
        ["CONFIG mysql_username is not set"]
    );
}

#[test]
fn zookeeper_is_understood() {
    let guide = "zk_string=127.0.0.1:2181\nzk_leader_latch_path=/l\nzk_save_position_root_path=/p\n";
    let config = Case::with(guide).config();
    assert_eq!((config.nodes.guard, config.points.store), (HaGuard::ZooKeeper, PointStore::ZooKeeper));
    assert_eq!(config.points.saver, PointSaver::Async);
    assert_eq!(Case::with(guide).unsupported(), Vec::<String>::new());
    let contradiction = problems(&format!("{guide}ha_guard=none\n"));
    assert_eq!(
        contradiction,
        ["CONFIG a.properties:6: ha_guard=none contradicts zk_leader_latch_path: leave one of them empty"]
    );
    let files = problems(&format!("{guide}sync_point_store=file\n"));
    assert!(
        files[0].starts_with("CONFIG a.properties:4: several nodes need their points in ZooKeeper"),
        "{files:?}"
    );
    assert_eq!(files.len(), 1);
}

#[test]
fn what_is_for_later_is_refused_where_it_is_used() {
    let refused = |lines: &str| Case::with(lines).unsupported();
    assert_eq!(
        refused("output_format=maxwell\nmysql_shard_1_server=b\n"),
        ["UNSUPPORTED a.properties:3: output_format=maxwell is not in this version; possible: fountain"],
        "once, though two shards have it"
    );
    assert!(
        refused("output_format=maxwell\nmysql_shard_0_output_format=fountain\n").is_empty(),
        "no shard has it"
    );
    assert!(
        refused("mysql_shard_1_server=b\nmysql_shard_1_enabled=false\nmysql_shard_1_sink=null\n").is_empty()
    );
    let disabled =
        "mysql_shard_1_server=b\nmysql_shard_1_enabled=false\nmysql_shard_1_output_format=maxwell\n";
    assert!(refused(disabled).is_empty(), "a shard that does not run");
    for lines in ["output_format=canal\n", "output_format=maxwell\n"] {
        assert_eq!(refused(lines).len(), 1, "{lines}");
    }
    for lines in [
        "dispatch_ddl=all\ndispatch_transaction=true\ndispatch_gap=false\nfail_back=auto\n",
        "sink=exec\nexec_command=x\nexec_resume=consumer\n",
        "position_failover=timestamp\nposition_failover_margin_ms=5s\n",
        "sink=null\njson_bigint=string\nstatement_dml=deliver\nschema_file=x\n",
        "sync_point_saver=async\nha_guard=none\nsync_point_store=file\n",
        "start_without_point=beginning\nbinlog_dump_strategy=position\nmysql_ssl_mode=disabled\n",
        "binlog_dump_strategy=ares\nmysql_binlogdump_gtid=42\n",
        "xa_hold_max_bytes=1g\nmysql_binlogdump_gtid=-1\ntrans_oversize=discard\n",
        "transaction_policy=discard_huge_table\ntrans_max_size=1\ntrans_max_bytes=1k\nsparate_packsize=5\n",
    ] {
        assert_eq!(refused(lines), Vec::<String>::new(), "{lines}");
    }
}

#[test]
fn what_cat_refuses() {
    let cat = |pairs: &[(&str, &str)]| {
        Config::load(&Request::from_pairs("/home", pairs)).unwrap().unsupported_for_cat()
    };
    assert_eq!(cat(&[("output_format", "maxwell")])[0].code, crate::code::Code::Unsupported);
    assert!(cat(&[("transaction_policy", "mini"), ("zk_leader_latch_path", "")]).is_empty());
}

#[test]
fn the_default_files_are_read_as_far_as_they_exist() {
    let case = Case::new();
    let absent = case.config().need_shards().unwrap_err().to_string();
    let home = case.folder.path().display();
    assert_eq!(
        absent,
        format!(
            "CONFIG no server is configured: set mysql_shard_0_server, or dbArray, in a file, in the environment or by -D \
             (looked for {home}/conf/fountain-config.properties and {home}/conf/jdbc-mysql.properties, which do not exist; \
             name files by --conf, or set FOUNTAIN_HOME)"
        )
    );
    case.write("conf/jdbc-mysql.properties", "mysql_shard_0_server=db1\nmysql_username=u\n");
    let config = case.config();
    assert_eq!(config.settings.files, [case.folder.path().join("conf/jdbc-mysql.properties")]);
    assert_eq!(config.shards.len(), 1);
    case.write("conf/fountain-config.properties", "sink=null\n");
    assert!(matches!(case.config().shards[0].sink, SinkConfig::Null));
    let mut other = case;
    other.request.default_files = false;
    assert!(other.config().shards.is_empty());
    let all_off = Case::with("mysql_shard_0_enabled=false\n").config();
    assert!(all_off.need_shards().unwrap_err().to_string().contains("mysql_shard_N_enabled=false"));
}

#[test]
fn files_that_cannot_be_read() {
    let mut case = Case::with("");
    case.request.files.push(case.folder.path().join("none.properties"));
    case.request.files.push(case.folder.path().to_path_buf());
    let problems = case.problems();
    assert_eq!(problems[0], "CONFIG none.properties: cannot be read: No such file or directory (os error 2)");
    assert!(problems[1].contains("cannot be read: Is a directory"), "{problems:?}");
}

#[test]
fn a_value_that_is_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::with("");
    let value = OsString::from_vec(vec![0xff]);
    case.request.environment.push((OsString::from("memq_limit"), value.clone()));
    case.request.environment.push((OsString::from("something_else"), value));
    assert_eq!(case.problems(), ["CONFIG environment: memq_limit: the value is not UTF-8 text"]);
    assert_eq!(
        Case::new().file("g.properties", b"a=1\nmysql_username=\xb1\xb1\n").problems(),
        ["CONFIG g.properties:2: this line is not UTF-8 text; save the file as UTF-8"]
    );
}

#[test]
fn the_samples_make_a_configuration() {
    let case = Case::new()
        .file("s.properties", sample::jdbc_mysql())
        .file("f.properties", sample::fountain_config());
    let config = case.config();
    assert!(config.unsupported().is_empty());
    assert_eq!(config.shards[0].sources[0].address(), "127.0.0.1:3306");
    assert_eq!(config.shards.len(), 1);
}
