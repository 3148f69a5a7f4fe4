//! Positions past 4 GiB, which neither an event's header nor the dump command can carry.

#[path = "harness/ares.rs"]
mod ares;
#[path = "harness/fake_server.rs"]
mod fake_server;
mod harness;

use ares::AresLog;
use ares::AresServer;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_at;
use harness::numbered::ids_in;
use harness::stored::lines_in;
use harness::stored::point;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

const FOUR_GIB: u64 = 1 << 32;

/// A file of which all but a few events are missing, so that it costs nothing.
#[test]
fn a_far_place_is_reached_from_the_files_beginning() {
    let Some(real) = Server::start_private(Kind::Mysql56, ares::LIKE_5_1) else { return };
    real.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, name varchar(20) CHARACTER SET latin1) ENGINE=InnoDB");
    for id in 1..=6 {
        real.sql(&format!("INSERT INTO d.t VALUES ({id}, 'x')"));
    }
    let all = ares::transactions(&real);
    let inserts = &all[all.len() - 6..];
    let mut log = AresLog::new(51, "bin");
    let mut ends = Vec::new();
    for (id, transaction) in (1..).zip(&inserts[..5]) {
        // The first is near, the second and third beyond 2 and 4 GiB.
        if id == 2 || id == 3 {
            log.leave_out(2_120_000_000);
        }
        log.leave_out(20_000_000);
        log.log(id, transaction);
        ends.push(log.end());
    }
    let (file, far) = ends[3].clone();
    assert!(ends[1].1 < FOUR_GIB && ends[2].1 > FOUR_GIB && far > FOUR_GIB);
    let server = AresServer::start(log);
    let start = [format!("mysql_binlogdump_filename={file}"), format!("mysql_binlogdump_position={far}")];
    let home = Fountain::new();
    let output = run_at(&home, "127.0.0.1", server.port(), &[&start[0], &start[1]]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids_in(&home), [5], "what lies before the place is not delivered: {}", output.stderr);
    assert!(lines_in(&home)[0]["pos"].as_u64().unwrap() > far);
    assert_eq!(point(&home)["pos"], ends[4].1);
    let dumps =
        || server.fake.heard().into_iter().filter(|told| told.starts_with("DUMP")).collect::<Vec<_>>();
    assert!(dumps().iter().all(|told| told.ends_with(" bin.000001:4")), "{:?}", dumps());

    // From a stored point, and into the next file.
    server.change(|log| {
        log.rotate();
        log.log(9, &inserts[5]);
    });
    let output = run_at(&home, "127.0.0.1", server.port(), &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids_in(&home), [5, 6]);
    assert_eq!(point(&home)["file"], "bin.000002");
    assert_eq!(dumps().len(), 3, "one for each run, and one ahead for the definition of the first row");

    for pos in [far - 1, far + 1] {
        let home = Fountain::new();
        let place = format!("mysql_binlogdump_position={pos}");
        let output = run_at(&home, "127.0.0.1", server.port(), &[&start[0], &place]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(
            output.stderr.contains("POINT_FOREIGN") && output.stderr.contains("no event begins at"),
            "{}",
            output.stderr
        );
        assert_eq!(data(&home.home().join("data")), "");
    }
}

/// One transaction of more than 4 GiB: its last row's place, the point behind it, and reading on from there; `cat` says the
/// same. Needs 9 GB of disk for a moment.
fn past_four_gib(kind: Kind, options: &[&str]) {
    let options = [options, &["--max-allowed-packet=64M"]].concat();
    let Some(server) = Server::start_private(kind, &options) else { return };
    let (path, pos) = far_transaction(&server);
    read_it(&server, &path, pos);
    if options.len() > 1 && kind == Kind::Mysql97 {
        let home = Fountain::new();
        let pairs = ["start_without_point=beginning", "binlog_dump_strategy=gtid"];
        let output = run_real(&home, &server, "end", &pairs);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(ids_in(&home), [1, 2], "{kind} by GTID");
        assert!(lines_in(&home)[0]["pos"].as_u64().unwrap() > FOUR_GIB);
    }
}

#[test]
#[ignore = "writes a binlog of more than 4 GiB"]
fn past_four_gib_on_mysql97_with_gtids() {
    past_four_gib(Kind::Mysql97, GTID);
}

#[test]
#[ignore = "writes a binlog of more than 4 GiB"]
fn past_four_gib_on_mysql56() {
    past_four_gib(Kind::Mysql56, &["--innodb-log-file-size=256M"]);
}

#[test]
#[ignore = "writes a binlog of more than 4 GiB"]
fn past_four_gib_on_mariadb() {
    past_four_gib(Kind::Mariadb, &[]);
}

/// Logs it, and a small one behind it. Answers with its file and where it ends.
fn far_transaction(server: &Server) -> (PathBuf, u64) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, n int, b longblob) ENGINE=InnoDB; \
         CREATE TABLE d.i (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1, 0, REPEAT('x', 8388608))",
    );
    server.flush_logs();
    let path = server.binlogs().pop().expect("a binlog");
    // Each update logs the row before and after, 16 MiB; the BLOB itself is left alone.
    let updates = "UPDATE d.t SET n = n + 1;".repeat(262);
    server.sql(&format!("BEGIN; {updates} INSERT INTO d.i VALUES (1); COMMIT"));
    server.sql("INSERT INTO d.i VALUES (2)");
    assert_ne!(server.binlogs().pop().expect("a binlog"), path, "so large a file is followed by another");
    (path.clone(), rotate_at(&path))
}

/// Where the event begins that ends the file.
fn rotate_at(path: &Path) -> u64 {
    let mut file = std::fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut end = [0; 100];
    file.seek(SeekFrom::End(-100)).unwrap();
    file.read_exact(&mut end).unwrap();
    let is_rotate =
        |at: &usize| end[at + 4] == 4 && end[at + 9..at + 13] == ((100 - at) as u32).to_le_bytes();
    let at = (0..80).find(is_rotate).expect("a rotate at the end");
    length - 100 + at as u64
}

fn run_real(home: &Fountain, server: &Server, until: &str, pairs: &[&str]) -> Output {
    let always = ["filter_shard_table_white=d.i", "dispatch_ddl=none"];
    let arguments = run_arguments(home, server, &keys(&[&always, pairs].concat()));
    home.run(&[arguments, vec!["--until".into(), until.into()]].concat(), Duration::from_secs(900))
}

fn read_it(server: &Server, path: &Path, pos: u64) {
    let kind = server.kind();
    assert!(pos > FOUR_GIB, "{kind}: {pos}");
    let file = path.file_name().unwrap().to_str().unwrap();
    let home = Fountain::new();
    let start = format!("mysql_binlogdump_filename={file}");
    let position = ["binlog_dump_strategy=position", &start, "mysql_binlogdump_position=4"];
    let output = run_real(&home, server, &format!("{file}:{pos}"), &position);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    assert_eq!(ids_in(&home), [1], "{kind}");
    assert_eq!((&point(&home)["file"], &point(&home)["pos"]), (&file.into(), &pos.into()), "{kind}");
    // The place of the last row, which a single XID of 31 bytes follows at most.
    let row = lines_in(&home)[0]["pos"].as_u64().unwrap();
    assert!(row > FOUR_GIB && row < pos && pos - row < 200, "{kind}: {row} {pos}");

    let output = run_real(&home, server, "end", &["binlog_dump_strategy=position"]);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    assert!(output.stderr.contains("is read from its beginning up to"), "{}", output.stderr);
    assert_eq!(ids_in(&home), [1, 2], "{kind}");

    let schema = home.write(
        "schema",
        r#"{"database":"d","table":"i","columns":[{"name":"id","type":"int"}],"key":["id"]}"#,
    );
    let words = [
        "cat",
        "--schema",
        schema.to_str().unwrap(),
        "-D",
        "filter_shard_table_white=d.i",
        path.to_str().unwrap(),
    ];
    let output = home.run(&words, Duration::from_secs(900));
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    let lines = parse(&output.stdout);
    assert_eq!((lines.len(), &lines[0]["pos"]), (1, &row.into()), "{kind}");
}
