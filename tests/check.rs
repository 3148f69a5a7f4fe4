//! `fountain check` against real servers: each finding is provoked, its cure is done as the line says, and the finding
//! is gone.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::ZooKeeperServer;
use harness::wait_until;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(120);

/// What a check has said.
struct Checked {
    exit: i32,
    lines: Vec<String>,
}

impl Checked {
    /// The first line of that level and code.
    fn line(&self, level: &str, code: &str) -> &str {
        let head = format!("{level:<5} {code} ");
        let found = self.lines.iter().find(|line| line.starts_with(&head));
        found.unwrap_or_else(|| panic!("no {head}in\n{}", self.lines.join("\n")))
    }

    fn has(&self, code: &str) -> bool {
        let word = format!(" {code} ");
        self.lines.iter().any(|line| line.get(5..).is_some_and(|rest| rest.starts_with(&word)))
    }

    fn is_healthy(&self) {
        let bad = |line: &&String| !line.starts_with("ok ");
        let bad: Vec<&String> = self.lines.iter().filter(bad).collect();
        assert!(bad.is_empty() && self.exit == 0, "exit {}: {bad:#?}", self.exit);
    }
}

/// A home with a folder for keys that others may not read.
struct Doctor {
    fountain: Fountain,
    arguments: Vec<String>,
}

impl Doctor {
    fn of(server: &Server) -> Doctor {
        let fountain = Fountain::new();
        let arguments = server.shard_arguments(0, fountain.home());
        let doctor = Doctor { fountain, arguments };
        doctor.protect("password");
        doctor
    }

    fn protect(&self, name: &str) {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.fountain.home().join(name), mode).expect("cannot change a mode");
    }

    fn check(&self, more: &[&str]) -> Checked {
        self.check_with(self.arguments.clone(), more)
    }

    fn check_with(&self, mut arguments: Vec<String>, more: &[&str]) -> Checked {
        arguments.insert(0, "check".to_owned());
        arguments.extend(more.iter().map(|word| word.to_string()));
        let output = self.fountain.run(&arguments, PATIENCE);
        assert!(
            !output.stdout.contains("replpw") && !output.stderr.contains("replpw"),
            "a password is shown"
        );
        let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
        let last = lines.last().unwrap_or_else(|| panic!("nothing is said; stderr: {}", output.stderr));
        assert!(last.contains(" SUMMARY "), "the summary is last: {last}");
        assert_eq!(output.stderr, "", "everything is on stdout");
        Checked { exit: output.code, lines }
    }

    fn check_keys(&self, keys: &[&str]) -> Checked {
        let name = |pair: &str| pair.split_once('=').map(|(name, _)| name.to_owned());
        let replaced = |pair: &String| keys.iter().any(|key| name(key) == name(pair));
        let kept = self.arguments.chunks(2).filter(|words| !replaced(&words[1])).flatten().cloned().collect();
        let words: Vec<&str> = keys.iter().flat_map(|key| ["-D", *key]).collect();
        self.check_with(kept, &words)
    }
}

fn cure(line: &str) -> &str {
    line.split_once("; cure: ").unwrap_or_else(|| panic!("no cure: {line}")).1
}

/// The statements of a cure, without the words around them; `…` stands for what only the owner knows.
fn statements(line: &str, filled_in: &str) -> String {
    let cure = cure(line);
    let sql = cure.split_once("run on the server: ").unwrap_or_else(|| panic!("no statement: {line}")).1;
    let ends = [" (and ", " (each ", " (a number", " (or ", ", or ", "; sessions", " (without"];
    let end = ends.iter().filter_map(|end| sql.find(end)).min().unwrap_or(sql.len());
    sql[..end].replace('…', filled_in)
}

/// What makes a healthy server ill, and what is said of it then.
struct Illness {
    provoke: &'static str,
    level: &'static str,
    code: &'static str,
    /// What is in the way afterwards.
    tidy: &'static str,
}

const fn ill(provoke: &'static str, level: &'static str, code: &'static str) -> Illness {
    Illness { provoke, level, code, tidy: "" }
}

const SETTINGS: &[Illness] = &[
    ill("SET GLOBAL binlog_row_image='MINIMAL'", "warn", "ROW_IMAGE"),
    ill("SET GLOBAL binlog_row_image='NOBLOB'", "warn", "ROW_IMAGE"),
    ill("SET GLOBAL binlog_checksum='NONE'", "warn", "NO_CHECKSUM"),
    ill("SET GLOBAL binlog_format='MIXED'", "error", "BINLOG_FORMAT"),
    ill("CREATE TABLE shop.k (a INT)", "warn", "NO_KEY"),
    ill("CREATE TABLE shop.m (a INT PRIMARY KEY) ENGINE=MyISAM", "warn", "TABLE_ENGINE"),
    ill("CREATE TABLE shop.h (a INT PRIMARY KEY) ENGINE=MEMORY", "warn", "TABLE_ENGINE"),
];
const METADATA: &[Illness] = &[
    ill("SET GLOBAL binlog_row_metadata='MINIMAL'", "warn", "ROW_METADATA"),
    ill("SET GLOBAL binlog_expire_logs_seconds=3600", "warn", "BINLOG_EXPIRY"),
];
const CASCADES: &[Illness] = &[ill(
    "CREATE TABLE shop.p (a INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE shop.c (a INT PRIMARY KEY, p INT, \
     CONSTRAINT to_p FOREIGN KEY (p) REFERENCES shop.p (a) ON DELETE SET NULL) ENGINE=InnoDB",
    "warn",
    "FK_CASCADE",
)];
const MYSQL56: &[Illness] = &[
    ill("SET GLOBAL binlog_error_action='IGNORE_ERROR'", "warn", "BINLOG_GIVEN_UP"),
    ill("SET GLOBAL server_id=0", "error", "SERVER_ID"),
];
const MYSQL97: &[Illness] = &[
    ill("SET GLOBAL gtid_mode='ON_PERMISSIVE'", "warn", "GTID_MODE"),
    ill("SET GLOBAL gtid_mode='ON_PERMISSIVE'; SET GLOBAL gtid_mode='OFF_PERMISSIVE'", "warn", "GTID_MODE"),
    Illness {
        provoke: "SET GLOBAL binlog_row_image='MINIMAL'; SET GLOBAL binlog_row_value_options='PARTIAL_JSON'",
        level: "warn",
        code: "PARTIAL_JSON",
        tidy: "SET GLOBAL binlog_row_image='FULL'",
    },
];
const MARIADB: &[Illness] = &[ill(
    "CREATE TABLE shop.v (a INT PRIMARY KEY, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS \
     AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
    "error",
    "STATEMENT_DML",
)];

/// Options with which nothing is to be said of a server.
fn healthy_options(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mysql56 => &[
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-slave-updates=ON",
            "--binlog-error-action=ABORT_SERVER",
        ],
        Kind::Mysql97 => &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--binlog-row-metadata=FULL"],
        _ => &["--binlog-row-metadata=FULL"],
    }
}

fn healthy(kind: Kind) -> Option<Server> {
    let server = Server::start_private(kind, healthy_options(kind))?;
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.good (id INT PRIMARY KEY, name TEXT) ENGINE=InnoDB");
    if !kind.is_mysql() {
        server.sql("CREATE TABLE shop.versioned (id INT PRIMARY KEY, t TEXT UNIQUE) WITH SYSTEM VERSIONING ENGINE=InnoDB");
    }
    Some(server)
}

/// Each illness alone: it is told with a cure, the cure is done, and nothing is left to say.
fn cures_work(kind: Kind, illnesses: &[&[Illness]]) {
    let Some(server) = healthy(kind) else { return };
    let doctor = Doctor::of(&server);
    doctor.check(&["--strict"]).is_healthy();
    for Illness { provoke, level, code, tidy } in illnesses.iter().copied().flatten() {
        server.sql(provoke);
        let ill = doctor.check(&[]);
        let sql = statements(ill.line(level, code), "a");
        assert_eq!(ill.exit, i32::from(*level == "error"), "{provoke}");
        assert_eq!(doctor.check(&["--strict"]).exit, 1, "{provoke}");
        server.sql(&sql);
        server.sql(if tidy.is_empty() { "DO 0" } else { tidy });
        doctor.check(&["--strict"]).is_healthy();
    }
    rights_are_cured(&server, &doctor);
    keys_are_cured(&doctor);
    an_entry_that_matches_nothing(&server, &doctor);
}

/// An account without rights is led to those it needs, grant by grant.
fn rights_are_cured(server: &Server, doctor: &Doctor) {
    server.sql("CREATE USER 'poor'@'%' IDENTIFIED BY 'replpw'");
    let keys = ["mysql_username=poor", "filter_shard_table_white=shop.good"];
    let mut grants = Vec::new();
    while grants.len() < 4 {
        let checked = doctor.check_keys(&keys);
        if checked.exit == 0 {
            break;
        }
        let sql = statements(checked.line("error", "RIGHT_MISSING"), "");
        server.sql(&sql);
        grants.push(sql);
    }
    assert!(
        grants[0].contains("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'poor'@'%'"),
        "{grants:?}"
    );
    // Where the log says what columns are called, no table has to be looked up.
    let select = grants.get(1).is_some_and(|grant| grant.contains("GRANT SELECT ON `shop`.* TO 'poor'@'%'"));
    assert_eq!(
        (grants.len() == 2, select),
        (server.kind() == Kind::Mysql56, server.kind() == Kind::Mysql56),
        "{grants:?}"
    );
    let root = doctor.check_keys(&["mysql_username=poor"]);
    server.sql("GRANT SUPER ON *.* TO 'poor'@'%'");
    let more = doctor.check_keys(&["mysql_username=poor"]);
    assert!(more.line("ok", "RIGHTS").contains("more than is needed: SUPER"));
    assert!(!root.line("ok", "RIGHTS").contains("more than is needed"));
    server.sql("DROP USER 'poor'@'%'");
    let gone = doctor.check_keys(&["mysql_username=poor"]);
    assert!(cure(gone.line("error", "ACCESS_DENIED")).contains("mysql_username"));
    assert_eq!(gone.exit, 1);
}

/// What a key makes wrong, a key cures.
fn keys_are_cured(doctor: &Doctor) {
    for (key, level, code) in [
        ("max_event_bytes=1MiB", "warn", "EVENT_LIMIT"),
        ("mysql_net_write_timeout=10", "warn", "NET_TIMEOUT"),
        ("mysql_shard_0_slaveId=1", "error", "REPLICA_ID_CLASH"),
    ] {
        let checked = doctor.check_keys(&[key]);
        let words = cure(checked.line(level, code)).split_once("set ").expect("a key to set").1;
        let name = key.split_once('=').expect("key=value").0;
        let cured = match words.split_once('=') {
            Some((told, value)) if told == name => format!("{name}={value}"),
            _ => format!("{name}=4711"),
        };
        assert!(words.starts_with(&name.replace("_0_", "_N_")), "{words}");
        doctor.check_keys(&[&cured]).is_healthy();
    }
}

fn an_entry_that_matches_nothing(server: &Server, doctor: &Doctor) {
    let keys =
        [r"filter_shard_table_white=shop.good,shop.gone,old[.].*", "filter_shard_table_black=shop.Good"];
    let checked = doctor.check_keys(&keys);
    let white = checked.line("warn", "FILTER_UNMATCHED");
    assert!(
        white.contains("filter_shard_table_white: no table of this server matches shop.gone, old[.].*;"),
        "{white}"
    );
    let both = checked.lines.iter().filter(|line| line.contains(" FILTER_UNMATCHED ")).count();
    assert_eq!((both, checked.exit), (2, 0), "{:#?}", checked.lines);
    server.sql("CREATE TABLE shop.gone (id INT PRIMARY KEY); CREATE DATABASE old; CREATE TABLE old.x (id INT PRIMARY KEY)");
    doctor.check_keys(&keys[..1]).is_healthy();
}

#[test]
fn mysql56_is_cured_of_everything() {
    cures_work(Kind::Mysql56, &[SETTINGS, CASCADES, MYSQL56]);
}

#[test]
fn mysql97_is_cured_of_everything() {
    cures_work(Kind::Mysql97, &[SETTINGS, METADATA, MYSQL97]);
}

#[test]
fn mariadb_is_cured_of_everything() {
    cures_work(Kind::Mariadb, &[SETTINGS, METADATA, CASCADES, MARIADB]);
}

#[test]
fn mariadb118_is_cured_of_everything() {
    cures_work(Kind::Mariadb118, &[METADATA, CASCADES, MARIADB]);
}

#[test]
fn cascades_are_no_trouble_where_the_server_logs_them() {
    let Some(server) = healthy(Kind::Mysql97) else { return };
    server.sql(CASCADES[0].provoke);
    Doctor::of(&server).check(&["--strict"]).is_healthy();
}

#[test]
fn what_only_a_restart_cures() {
    let Some(mut server) =
        Server::start_private(Kind::Mariadb, &["--binlog-row-metadata=FULL", "--binlog-ignore-db=tmp"])
    else {
        return;
    };
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.good (id INT PRIMARY KEY)");
    let doctor = Doctor::of(&server);
    let ignored = doctor.check(&[]);
    assert!(ignored.line("warn", "BINLOG_FILTER").contains("binlog_ignore_db=tmp"));
    doctor.check_keys(&["filter_shard_table_white=shop.good"]).is_healthy();
    server.restart_with(&["--binlog-row-metadata=FULL", "--binlog-do-db=other"]);
    let only = doctor.check_keys(&["filter_shard_table_white=shop.good"]);
    assert!(only.line("warn", "BINLOG_FILTER").contains("changes in shop are never logged"));
    server.restart_with(&["--skip-log-bin"]);
    let off = doctor.check(&[]);
    assert!(cure(off.line("error", "BINLOG_OFF")).contains("log_bin"));
    assert_eq!(off.exit, 1);
    server.restart_with(&["--binlog-row-metadata=FULL"]);
    doctor.check(&["--strict"]).is_healthy();
}

/// A main server and its replica, with GTIDs.
fn pair() -> Option<(Server, Server)> {
    let options = [healthy_options(Kind::Mysql97), &["--server-id=2", "--log-replica-updates=OFF"]].concat();
    Some((healthy(Kind::Mysql97)?, Server::start_private(Kind::Mysql97, &options)?))
}

fn backup_key(server: &Server) -> [String; 2] {
    [
        format!("mysql_shard_0_ha1_server={}", server.host()),
        format!("mysql_shard_0_ha1_port={}", server.port()),
    ]
}

#[test]
fn a_backup_that_is_none_and_one_that_is() {
    let Some((main, mut backup)) = pair() else { return };
    let doctor = Doctor::of(&main);
    let itself = backup_key(&main);
    let itself = doctor.check_keys(&[&itself[0], &itself[1]]);
    assert!(itself.has("SAME_SERVER"), "{:#?}", itself.lines);
    let [host, port] = backup_key(&backup);
    let keys = [host.as_str(), port.as_str()];
    backup.sql("SET GLOBAL replica_preserve_commit_order=OFF; SET GLOBAL replica_parallel_workers=4");
    let stranger = doctor.check_keys(&keys);
    assert!(stranger.line("error", "SOURCE_HISTORY").contains(&format!(
        "source={}:{} ",
        backup.host(),
        backup.port()
    )));
    assert!(cure(stranger.line("error", "REPLICA_UPDATES")).contains("set log_replica_updates=ON"));
    assert!(stranger.line("warn", "REPLICATION_BROKEN").contains("from nobody"));
    backup.sql(
        &statements(stranger.line("warn", "COMMIT_ORDER"), "")
            .replace("STOP REPLICA SQL_THREAD; ", "")
            .replace("; START REPLICA SQL_THREAD", ""),
    );
    assert!(!doctor.check_keys(&keys).has("COMMIT_ORDER"));

    let options = [healthy_options(Kind::Mysql97), &["--server-id=2"]].concat();
    backup.restart_with(&options);
    backup.sql("RESET BINARY LOGS AND GTIDS");
    backup.sql(&format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={}, SOURCE_USER='repl', SOURCE_PASSWORD='replpw', \
         SOURCE_AUTO_POSITION=1, SOURCE_SSL=1; START REPLICA",
        main.port()
    ));
    wait_until("the backup has what the main server has", PATIENCE, || {
        backup.gtid_executed() == main.gtid_executed()
    });
    doctor.check_keys(&keys).is_healthy();
    backup.sql("STOP REPLICA");
    let stopped = doctor.check_keys(&keys);
    assert!(stopped.line("warn", "REPLICATION_BROKEN").contains("stands still"));
    backup.sql("CREATE DATABASE stray; START REPLICA");
    assert!(doctor.check_keys(&keys).line("warn", "SOURCE_HISTORY").contains("that the main server has not"));
    backup.stop();
    let alone = doctor.check_keys(&keys);
    assert!(alone.line("error", "UNREACHABLE").contains("source=127.0.0.1"));
    assert!(alone.has("TABLES") && alone.exit == 1, "the main server is looked at all the same");
}

#[test]
fn points_are_compared_with_what_the_server_holds() {
    let Some(server) = healthy(Kind::Mysql97) else { return };
    let doctor = Doctor::of(&server);
    assert!(doctor.check(&[]).line("ok", "POINT").contains("none is stored"));
    server.sql("INSERT INTO shop.good VALUES (1, 'a')");
    let run =
        [&["run".to_owned(), "--until".to_owned(), "end".to_owned()][..], &doctor.arguments[..]].concat();
    let run = [&run[..], &["-D".to_owned(), "sink=null".to_owned()]].concat();
    assert_eq!(doctor.fountain.run(&run, PATIENCE).code, 0);
    assert!(
        doctor.check(&["--strict"]).line("ok", "POINT").contains("a run would go on behind the GTID set")
    );

    server.sql("INSERT INTO shop.good VALUES (2, 'b'); FLUSH BINARY LOGS");
    let (file, _) = server.binlog_end();
    server.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
    let purged = doctor.check(&[]);
    purged.line("error", "PURGED");
    assert_eq!(purged.exit, 1);

    let point = doctor.fountain.home().join("points/producer00.point");
    let bytes = fs::read(&point).expect("the stored point");
    fs::write(&point, &bytes[..bytes.len() / 2]).expect("cannot tear the point");
    doctor.check(&[]).line("error", "POINT_BROKEN");
    fs::remove_file(&point).expect("cannot remove the point");
    doctor.check(&[]).line("error", "POINT_LOST");
}

#[test]
fn a_run_says_once_what_is_left_out_of_its_rows() {
    let Some(server) = healthy(Kind::Mysql56) else { return };
    server.sql("SET GLOBAL binlog_row_image='MINIMAL'; INSERT INTO shop.good VALUES (1, 'a')");
    let doctor = Doctor::of(&server);
    let white = ["-D", "filter_shard_table_white=shop.good,shop.gone"].map(str::to_owned);
    let run =
        [&["run".to_owned(), "--until".to_owned(), "end".to_owned()][..], &doctor.arguments[..], &white[..]]
            .concat();
    let output = doctor.fountain.run(&run, PATIENCE);
    let count = |word: &str| output.stderr.lines().filter(|line| line.contains(word)).count();
    assert_eq!((output.code, count(" ROW_IMAGE shard=producer00 ")), (0, 1), "{}", output.stderr);
    assert_eq!(count("names tables that the server does not have: shop.gone;"), 1, "{}", output.stderr);
}

#[test]
fn a_running_fountain_is_no_clash_and_a_stranger_with_our_id_is() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = healthy(kind) else { return };
        let doctor = Doctor::of(&server);
        let keys = ["-D", "mysql_shard_0_slaveId=4711", "-D", "sink=null"].map(str::to_owned);
        let run = [&["run".to_owned()][..], &doctor.arguments[..], &keys[..]].concat();
        let running = doctor.fountain.spawn(&run);
        let keys = ["mysql_shard_0_slaveId=4711", "sink=null"];
        wait_until("it is listed", PATIENCE, || {
            doctor.check_keys(&keys).line("ok", "REPLICAS").contains("4711 producer00 (this shard, running)")
        });
        let checked = doctor.check_keys(&keys);
        checked.is_healthy();
        let folders = checked.line("ok", "FOLDERS");
        assert!(folders.contains(&format!("process {} runs producer00", running.pid())), "{folders}");

        let other = Doctor::of(&server);
        let clash = other.check_keys(&["mysql_shard_0_slaveId=4711", "mysql_shard_0_name=other"]);
        assert!(cure(clash.line("error", "REPLICA_ID_CLASH")).contains("mysql_shard_N_slaveId"));
        other.check_keys(&["mysql_shard_0_slaveId=4712", "mysql_shard_0_name=other"]).is_healthy();
        assert_eq!(running.terminate(PATIENCE).code, 0, "the check has not disturbed it");
    }
}

/// Keys of two servers that nobody answers for.
fn nobody(home: &Path, main: &str, backup: &str) -> Doctor {
    let fountain = Fountain::new();
    fs::write(fountain.home().join("password"), "replpw").expect("cannot write the password");
    let keys = [
        format!("mysql_shard_0_server={}", main.rsplit_once(':').expect("host:port").0),
        format!("mysql_shard_0_port={}", main.rsplit_once(':').expect("host:port").1),
        format!("mysql_shard_0_ha1_server={}", backup.rsplit_once(':').expect("host:port").0),
        format!("mysql_shard_0_ha1_port={}", backup.rsplit_once(':').expect("host:port").1),
        "mysql_username=repl".to_owned(),
        format!("mysql_password_file={}", fountain.home().join("password").display()),
        format!("file_sink_dir={}", home.display()),
    ];
    let arguments = keys.into_iter().flat_map(|key| ["-D".to_owned(), key]).collect();
    let doctor = Doctor { fountain, arguments };
    doctor.protect("password");
    doctor
}

#[test]
fn nobody_is_waited_for_without_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Takes connections by its backlog and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("an address");
    let doctor = nobody(folder.path(), &silent.1.to_string(), "nowhere.invalid:3306");
    let began = Instant::now();
    let checked = doctor.check(&[]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(checked.line("error", "TIMEOUT").contains(&format!("source={} ", silent.1)));
    assert!(checked.line("error", "HOST_UNKNOWN").contains("source=nowhere.invalid:3306 "));
    assert_eq!(checked.exit, 1);
}

#[test]
fn this_machine_is_looked_at_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let doctor = nobody(folder.path(), "127.0.0.1:1", "127.0.0.1:1");
    let sink = |key: &str| doctor.check_keys(&["sink=file", key]);
    assert!(sink("file_min_free_bytes=1").line("ok", "SINK").contains("is there"));
    assert!(
        cure(sink("file_min_free_bytes=1048576GiB").line("error", "DISK_SPACE"))
            .contains("file_min_free_bytes")
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing is left behind");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let in_the_way = sink(&format!("producer_position={}", file.display()));
    assert!(cure(in_the_way.line("error", "FILE")).contains("set producer_position"));
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("cannot change a mode");
    let key = format!("producer_position={}", open.display());
    let command = cure(sink(&key).line("warn", "FILE_MODE")).to_owned();
    let done = std::process::Command::new("sh").arg("-c").arg(command.trim_start_matches("run: ")).status();
    assert!(done.expect("sh").success());
    assert!(!sink(&key).has("FILE_MODE"));
}

#[test]
fn a_bad_configuration_is_exit_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let doctor = nobody(folder.path(), "127.0.0.1:1", "127.0.0.1:1");
    let unknown = doctor.check_keys(&["mysql_shrad=1"]);
    assert!(unknown.line("error", "CONFIG").contains("mysql_shrad"));
    assert_eq!((unknown.exit, unknown.lines.len()), (2, 2));
    let later = doctor.check_keys(&["position_failover=timestamp"]);
    later.line("error", "UNSUPPORTED");
    assert!(later.has("UNREACHABLE"), "the rest is looked at all the same");
    assert_eq!(later.exit, 2);
    let clash = [
        "mysql_shard_1_server=127.0.0.1",
        "mysql_shard_1_port=1",
        "mysql_shard_1_slaveId=7",
        "mysql_shard_0_slaveId=7",
    ];
    assert!(
        cure(doctor.check_keys(&clash).line("error", "REPLICA_ID_CLASH")).contains("mysql_shard_N_slaveId")
    );
}

/// The names under a node, by the crate itself.
fn children(zookeeper: &zookeeper::ZooKeeper, path: &str) -> Vec<String> {
    zookeeper.get_children(path, false).expect("the node's children")
}

#[test]
fn zookeeper_is_looked_at_before_a_run_can_use_it() {
    let Some(server) = ZooKeeperServer::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let doctor = nobody(folder.path(), "127.0.0.1:1", "127.0.0.1:1");
    let servers = format!("zk_string={}", server.address());
    let cut = doctor.check_keys(&[&servers]);
    let key =
        cure(cut.line("warn", "ZK_TIMEOUT")).trim_start_matches("set ").split_once(',').expect("a key").0;
    assert_eq!(key, "zk_session_timeout=10000");
    assert!(doctor.check_keys(&[&servers, key]).line("ok", "ZOOKEEPER").contains("sessions of 10000 ms"));

    let admin =
        zookeeper::ZooKeeper::connect(&server.address(), Duration::from_secs(10), |_| {}).expect("a session");
    let make = |path: &str, acl: &[zookeeper::Acl]| {
        admin.create(path, Vec::new(), acl.to_vec(), zookeeper::CreateMode::Persistent).expect("a node")
    };
    wait_until("the session is there", PATIENCE, || admin.exists("/", false).is_ok());
    make("/points", zookeeper::Acl::open_unsafe());
    make("/points/producer00", zookeeper::Acl::open_unsafe());
    make("/locked", zookeeper::Acl::read_unsafe());
    let [points, latch] = ["zk_save_position_root_path=/points", "zk_leader_latch_path=/fountain/latch"];
    let checked = doctor.check_keys(&[&servers, key, points, latch]);
    let said: Vec<&String> =
        checked.lines.iter().filter(|line| line.starts_with("ok    ZOOKEEPER ")).collect();
    assert!(
        said[1].contains("/points exists") && said[2].contains("will be made: nodes can be, under /"),
        "{said:?}"
    );
    assert_eq!(checked.exit, 2, "a run still refuses it");
    let mut top = children(&admin, "/");
    top.sort();
    assert_eq!(top, ["locked", "points", "zookeeper"], "nothing is left behind");
    assert_eq!(children(&admin, "/points"), ["producer00"]);

    let locked = doctor.check_keys(&[&servers, key, points, "zk_leader_latch_path=/locked/latch"]);
    assert!(
        cure(locked.line("error", "ZK_ACCESS"))
            .starts_with("run in zkCli.sh: setAcl /locked world:anyone:cdrwa")
    );

    server.stall();
    let began = Instant::now();
    let stalled = doctor.check_keys(&[&servers, key, points, latch]);
    stalled.line("error", "ZK_UNREACHABLE");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    server.resume();
    let nobody = doctor.check_keys(&["zk_string=127.0.0.1:1,nowhere.invalid:2181"]);
    assert_eq!(nobody.lines.iter().filter(|line| line.contains(" ZK_UNREACHABLE ")).count(), 2);
}
