//! `fountain check` looks around: at backups, stored points, other replicas, servers that do not answer, this machine, its
//! configuration and ZooKeeper.

mod check {
    pub mod doctor;
}
mod harness;

use check::doctor::Doctor;
use check::doctor::PATIENCE;
use check::doctor::cure;
use check::doctor::healthy;
use check::doctor::healthy_options;
use check::doctor::statements;
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
    let later = doctor.check_keys(&["output_format=maxwell"]);
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
fn zookeeper_is_looked_at() {
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
    assert_eq!(checked.exit, 1, "the server of the shard cannot be reached");
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
