//! The built program as people meet it: its messages and exit codes. No server is needed.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use tempfile::TempDir;

/// A home folder of its own, and no environment but what a test sets.
struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a call ended.
struct Ended {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        Home { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// With the two default files.
    fn with(jdbc_mysql: &str, fountain_config: &str) -> Self {
        let home = Home::new();
        home.write("conf/jdbc-mysql.properties", jdbc_mysql);
        home.write("conf/fountain-config.properties", fountain_config);
        home
    }

    fn one_shard() -> Self {
        Home::with("mysql_shard_0_server=db1\nmysql_username=u\n", "")
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fountain"));
        command.env_clear().env("FOUNTAIN_HOME", self.folder.path()).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the program; in what it says the home folder is written as `HOME`.
    fn run(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let folder = self.folder.path().display().to_string();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder, "HOME");
        Ended { exit: status.code().expect("ended by a signal"), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Ended {
    #[track_caller]
    fn refused(&self, stderr: &str) {
        assert_eq!((self.exit, self.stdout.as_str(), self.stderr.as_str()), (2, "", stderr));
    }

    #[track_caller]
    fn printed(&self) -> &str {
        assert_eq!((self.exit, self.stderr.as_str()), (0, ""));
        &self.stdout
    }

    /// The columns of a key's line in `fountain conf`.
    #[track_caller]
    fn row(&self, key: &str) -> (String, String) {
        let line = self.stdout.lines().find(|line| line.split_whitespace().next() == Some(key));
        let line = line.unwrap_or_else(|| panic!("no line for {key} in\n{}\n{}", self.stdout, self.stderr));
        let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).skip(1);
        (columns.next().unwrap().to_string(), columns.next().unwrap().to_string())
    }
}

fn guide(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ha_guide").join(name);
    fs::read_to_string(path).unwrap()
}

fn guide_home() -> Home {
    Home::with(&guide("jdbc-mysql.properties"), &guide("fountain-config.properties"))
}

#[test]
fn the_guides_files_work_as_they_are() {
    let conf = guide_home().run(&["conf"]);
    conf.printed();
    let jdbc = |line: u32| format!("HOME/conf/jdbc-mysql.properties:{line}");
    let config = |line: u32| format!("HOME/conf/fountain-config.properties:{line}");
    let rows = [
        ("mysql_username", "beidou", jdbc(2)),
        ("mysql_password", "******", jdbc(3)),
        ("mysql_binlogdump_gtidset", "(unset)", "default".to_string()),
        ("mysql_shard_0_server", "10.94.37.23", jdbc(9)),
        ("mysql_shard_0_port", "8769", jdbc(10)),
        ("mysql_shard_0_slaveId", "random, 10 to 5000", "default".to_string()),
        ("mysql_shard_0_name", "producer00", "default".to_string()),
        ("mysql_shard_0_ha1_server", "10.94.37.23", jdbc(13)),
        ("mysql_shard_0_ha1_port", "8769", jdbc(14)),
        ("mysql_wait_timeout", "999999", jdbc(22)),
        ("mysql_net_write_timeout", "240", jdbc(23)),
        ("mysql_charset", "binary", jdbc(25)),
        ("mysql_replication_socket_so_timeout", "120000", jdbc(28)),
        ("mysql_heartbeat_period", "30000", "default".to_string()),
        ("ha_guard", "auto (zookeeper)", "default".to_string()),
        ("sync_point_store", "auto (zookeeper)", "default".to_string()),
        ("sync_point_saver", "async", "default".to_string()),
        ("zk_string", "127.0.0.1:2181", config(2)),
        ("zk_session_timeout", "50000", config(4)),
        ("zk_save_position_root_path", "/fountain/beidou/eventposition/testha", config(6)),
        ("async_event_position_thread_period", "20000", config(9)),
        ("zk_leader_latch_path", "/fountain/beidou/leader/testha", config(14)),
        ("memq_limit", "60000", config(17)),
        ("filter_shard_table_white", "(unset)", "default".to_string()),
    ];
    for (key, value, origin) in rows {
        assert_eq!(conf.row(key), (value.to_string(), origin), "{key}");
    }
    assert!(!conf.stdout.contains("u7i8o9p0"));
}

#[test]
fn the_sample_files_work_as_they_are() {
    let sample = |name: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
    };
    let home = Home::with(&sample("jdbc-mysql.properties"), &sample("fountain-config.properties"));
    let conf = home.run(&["conf"]);
    assert_eq!(conf.row("mysql_shard_0_server").0, "127.0.0.1");
    assert!(!conf.printed().contains("change-me") && !conf.stdout.contains("refuses"));
}

#[test]
fn every_mistake_of_a_configuration_is_one_line_with_its_place() {
    let home = Home::with(
        "mysql_username=u\nmysql_shard_0_sever=db1\nmysql_shard_0_server=db1\nmysql_shard_0_port=abc\n",
        "# sinks\nsink=stdout\nsink=file\ntransaction_policy=mnii\n[section]\n",
    );
    let expected = "CONFIG HOME/conf/fountain-config.properties:3: \"sink\" is given twice, first in line 2\n\
        CONFIG HOME/conf/fountain-config.properties:4: transaction_policy: expected one of none, mini, discard_huge_table, \
        got \"mnii\", did you mean \"mini\"?\n\
        CONFIG HOME/conf/fountain-config.properties:5: a section; there are none here, each line is key=value\n\
        CONFIG HOME/conf/jdbc-mysql.properties:2: unknown key \"mysql_shard_0_sever\", did you mean \"mysql_shard_0_server\"?\n\
        CONFIG HOME/conf/jdbc-mysql.properties:4: mysql_shard_0_port: expected a whole number from 1 to 65535, got \"abc\"\n";
    for command in [["run"].as_slice(), &["conf"], &["filter", "test", "a.b"]] {
        home.run(command).refused(expected);
    }
}

#[test]
fn without_any_configuration_it_says_what_it_looked_for() {
    let expected = "CONFIG no server is configured: set mysql_shard_0_server, or dbArray, in a file, in the environment or by -D \
        (looked for HOME/conf/fountain-config.properties and HOME/conf/jdbc-mysql.properties, which do not exist; name files \
        by --conf, or set FOUNTAIN_HOME)\n";
    Home::new().run(&["run"]).refused(expected);
    Home::new().run(&["conf"]).refused(expected);
    Home::new()
        .run(&["conf", "--conf", "no.properties"])
        .refused("CONFIG no.properties: cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn files_environment_and_defines_lie_over_each_other() {
    let home = Home::one_shard().env("memq_limit", "2").env("io_retry_count", "3").env("PACK_MAX_BYTES", "x");
    home.write(
        "other.properties",
        "mysql_shard_0_server=db2\nmysql_username=u\nmemq_limit=1\nstop_timeout_ms=5s\n",
    );
    let conf = home.run(&["conf", "--conf", "other.properties", "-D", "io_retry_count=4"]);
    conf.printed();
    let row = |value: &str, origin: &str| (value.to_string(), origin.to_string());
    assert_eq!(
        conf.row("mysql_shard_0_server"),
        row("db2", "other.properties:1"),
        "--conf replaces the default files"
    );
    assert_eq!(conf.row("memq_limit"), row("2", "environment"));
    assert_eq!(conf.row("io_retry_count"), row("4", "-D"));
    assert_eq!(conf.row("stop_timeout_ms"), row("5s", "other.properties:4"));
    assert_eq!(conf.row("file_sink_dir"), row("HOME/data", "default"));
    let only_env = Home::new().env("mysql_shard_0_server", "db3").env("mysql_username", "u");
    assert_eq!(only_env.run(&["conf"]).row("mysql_shard_0_server"), row("db3", "environment"));
}

#[test]
fn each_shard_shows_what_it_has_of_its_own() {
    let home = Home::one_shard();
    let conf = home.run(&[
        "conf",
        "-D",
        "mysql_shard_3_server=db4",
        "-D",
        "mysql_shard_3_sink=null",
        "-D",
        "mysql_shard_3_slaveId=9",
    ]);
    assert_eq!(conf.row("sink").0, "stdout");
    assert_eq!(conf.row("mysql_shard_3_sink"), ("null".to_string(), "-D".to_string()));
    assert_eq!(conf.row("mysql_shard_3_name").0, "producer03");
    assert_eq!(conf.row("mysql_shard_3_slaveId").0, "9");
}

#[test]
fn a_password_is_neither_taken_from_the_command_line_nor_shown() {
    let home = Home::one_shard();
    home.run(&["conf", "-D", "mysql_password=hidden"]).refused(
        "CONFIG -D: mysql_password: a password on the command line can be read by everyone who lists processes; use \
         mysql_password_file, the environment or a properties file\n",
    );
    let masked = Home::one_shard().env("mysql_password", "hidden").run(&["conf"]);
    assert_eq!(masked.row("mysql_password"), ("******".to_string(), "environment".to_string()));
    home.write("conf/jdbc-mysql.properties", "mysql_password hidden\nmysql_password:hidden=hidden\n");
    let bad = home.run(&["conf"]);
    assert!(bad.exit == 2 && !bad.stderr.contains("hidden"), "{}", bad.stderr);
}

#[test]
fn the_filter_says_which_rule_decides() {
    let home = Home::one_shard();
    let lists = ["-D", r"filter_shard_table_white=shop\..*", "-D", r"filter_shard_table_black=shop\.tmp_.*"];
    let ask = |more: &[&str], table: &str| {
        let arguments = [lists.as_slice(), more, &["filter", "test", table]].concat();
        home.run(&arguments).printed().to_string()
    };
    assert_eq!(ask(&[], "shop.orders"), "shop.orders: watched, white list entry shop\\..*\n");
    assert_eq!(ask(&[], "shop.tmp_1"), "shop.tmp_1: not watched, black list entry shop\\.tmp_.*\n");
    assert_eq!(ask(&[], "hr.staff"), "hr.staff: not watched, no entry of the white list matches\n");
    let second = ["-D", "mysql_shard_1_server=b", "-D", "mysql_shard_1_filter_shard_table_white=hr.staff"];
    assert_eq!(
        ask(&second, "hr.staff"),
        "producer00: hr.staff: not watched, no entry of the white list matches\n\
         producer01: hr.staff: watched, white list entry hr.staff\n"
    );
    assert_eq!(
        ask(&second, "a.b"),
        "a.b: not watched, no entry of the white list matches\n",
        "all shards agree"
    );
    let none = Home::new().run(&["filter", "test", "a.b"]);
    assert_eq!(
        none.printed(),
        "a.b: watched, the white list is empty and no entry of the black list matches\n"
    );
    home.run(&["filter", "test", "a.b", "-D", "filter_shard_table_white=(?!x).*"]).refused(
        "CONFIG -D: filter_shard_table_white: entry \"(?!x).*\": broken regular expression: look-around, including \
         look-ahead and look-behind, is not supported\n",
    );
}

#[test]
fn usage_mistakes() {
    let home = Home::one_shard();
    let cases: [(&[&str], &str); 7] = [
        (&[], "USAGE no command given; \"fountain help\" lists them\n"),
        (&["rnu"], "USAGE unknown command \"rnu\", did you mean \"run\"?\n"),
        (&["run", "--untill", "end"], "USAGE unknown option \"--untill\", did you mean \"--until\"?\n"),
        (&["run", "--until", "now"], "USAGE --until: expected end, FILE:POS or a GTID set, got \"now\"\n"),
        (
            &["run", "--until", "orders=bin.000001:4"],
            "USAGE --until: no shard \"orders\" runs here (there is producer00)\n",
        ),
        (
            &["run", "--until", "bin.000001:4", "-D", "mysql_shard_1_server=b"],
            "USAGE --until: a place belongs to one shard and 2 run here; name one as SHARD=…, of producer00, producer01\n",
        ),
        (&["filter", "test", "orders"], "USAGE expected \"fountain filter test DB.TABLE\"\n"),
    ];
    for (arguments, message) in cases {
        home.run(arguments).refused(message);
    }
}

#[test]
fn commands_of_later_versions_say_so() {
    let home = Home::new();
    let later = "skip replay reload";
    for command in later.split(' ') {
        let message = format!("UNSUPPORTED \"fountain {command}\" is not in this version\n");
        home.run(&[command, "--some-option", "word"]).refused(&message);
        assert!(home.run(&["help", command]).printed().contains("not in this version"));
    }
}

#[test]
fn what_a_run_refuses_is_named_by_its_line() {
    let home = Home::one_shard();
    home.write("conf/fountain-config.properties", "output_format=canal\n");
    home.run(&["run"]).refused(
        "UNSUPPORTED HOME/conf/fountain-config.properties:1: output_format=canal is not in this version; possible: fountain\n",
    );
    let conf = home.run(&["conf"]);
    assert_eq!(conf.row("output_format").0, "canal");
    assert!(
        conf.printed().contains("# a run refuses\n# UNSUPPORTED HOME/conf/fountain-config.properties:1: ")
    );
}

#[test]
fn help_and_version() {
    let home = Home::new();
    let version = home.run(&["version"]);
    let text = version.printed();
    assert!(text.starts_with(concat!("fountain ", env!("CARGO_PKG_VERSION"), " (commit ")), "{text}");
    assert!(text.ends_with(")\n") && text.contains(", target "), "{text}");
    assert_eq!(home.run(&["--version"]).printed(), text);
    let help = home.run(&["help"]);
    assert!(
        help.printed().contains("Usage: fountain [--conf FILE]…") && help.stdout.contains("  run [--until ")
    );
    assert_eq!(home.run(&["--help"]).printed(), help.stdout);
    assert!(home.run(&["run", "--help"]).printed().starts_with("fountain run: "));
    assert!(home.run(&["help", "keys"]).printed().contains("  mysql_shard_N_haK_port ("));
}

#[test]
fn a_reader_that_has_gone_away_is_no_error_and_a_full_disk_is_one() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = home.command(&["help", "keys"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let ended = home.command(&["help"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), stderr.as_str()),
            (Some(1), "FILE standard output: No space left on device (os error 28)\n")
        );
    }
}

#[test]
fn without_fountain_home_the_parent_of_the_programs_folder_is_home() {
    let home = Home::one_shard();
    fs::create_dir(home.path("bin")).unwrap();
    let program = home.path("bin/fountain");
    // A copy may be "busy": a process that another test starts at this moment has the file that is written open too.
    let original = env!("CARGO_BIN_EXE_fountain");
    fs::hard_link(original, &program).or_else(|_| fs::copy(original, &program).map(drop)).unwrap();
    let output = Command::new(&program).env_clear().current_dir("/").arg("conf").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // the system may know the temporary folder by another name
    let folder = fs::canonicalize(home.folder.path()).unwrap();
    assert!(text.contains(&format!("# read {}/conf/jdbc-mysql.properties\n", folder.display())), "{text}");
}
