//! What cannot work is refused with one clear coded message and an exit code, and nothing is lost by it.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::cat;
use harness::delivered::counts;
use harness::delivered::data;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

fn keys(pairs: &[&str]) -> Vec<String> {
    pairs.iter().flat_map(|pair| ["-D".to_owned(), (*pair).to_owned()]).collect()
}

fn run(home: &Fountain, pairs: &[&str]) -> Output {
    let arguments = [vec!["run".to_owned(), "--until".to_owned(), "end".to_owned()], keys(pairs)].concat();
    home.run(&arguments, PATIENCE)
}

#[test]
fn no_such_host() {
    let output = run(
        &Fountain::new(),
        &["mysql_shard_0_server=no-such-host.invalid", "mysql_username=repl", "sink=null"],
    );
    assert_refused(&output, 1, "HOST_UNKNOWN", &["producer00", "no-such-host.invalid"]);
}

#[test]
fn a_closed_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let port_key = format!("mysql_shard_0_port={port}");
    let output = run(
        &Fountain::new(),
        &["mysql_shard_0_server=127.0.0.1", &port_key, "mysql_username=repl", "sink=null"],
    );
    assert_refused(&output, 1, "UNREACHABLE", &["producer00", &format!("127.0.0.1:{port}")]);
}

#[test]
fn a_server_that_accepts_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port_key = format!("mysql_shard_0_port={}", listener.local_addr().expect("its address").port());
    let output = run(
        &Fountain::new(),
        &["mysql_shard_0_server=127.0.0.1", &port_key, "mysql_username=repl", "sink=null"],
    );
    assert_refused(&output, 1, "TIMEOUT", &["producer00"]);
}

#[test]
fn bad_configuration() {
    for (pairs, parts) in [
        ("mysql_shard_0_sever=x", &["mysql_shard_0_sever", "mysql_shard_0_server"][..]),
        ("mysql_shard_0_port=abc", &["mysql_shard_0_port", "abc"]),
        ("pack_timeout_ms=soon", &["pack_timeout_ms", "soon"]),
        ("filter_shard_table_white=a.(b", &["filter_shard_table_white"]),
    ] {
        let output = run(&Fountain::new(), &["mysql_shard_0_server=x", "mysql_username=repl", pairs]);
        assert_refused(&output, 2, "CONFIG", parts);
    }
    let home = Fountain::new();
    let text = "# one\nmysql_shard_0_server=x\nmysql_username=repl\nmysql_shard_0_prot=1\n";
    let file = home.write("my.properties", text);
    let output = home.run(&["run", "--conf", file.to_str().expect("UTF-8")], PATIENCE);
    assert_refused(&output, 2, "CONFIG", &["my.properties:4", "mysql_shard_0_prot", "mysql_shard_0_port"]);
}

#[test]
fn what_is_not_in_this_version_says_so() {
    for pair in ["output_format=canal", "output_format=maxwell"] {
        let keys = ["mysql_shard_0_server=127.0.0.1", "mysql_username=repl", "zk_string=h:2181", pair];
        let output = run(&Fountain::new(), &keys);
        let key = pair.split('=').next().expect("a key");
        assert_refused(&output, 2, "UNSUPPORTED", &[key]);
    }
}

#[test]
fn a_wrong_password_ends_every_run_before_the_first_row() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind, &[]) else { continue };
        let home = Fountain::new();
        let password = home.write("wrong", "not the password");
        let pairs = [
            format!("mysql_shard_0_server={}", server.host()),
            format!("mysql_shard_0_port={}", server.port()),
            "mysql_username=repl".to_owned(),
            format!("mysql_password_file={}", password.display()),
            "sink=null".to_owned(),
        ];
        let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
        // With and without --until: nobody waits for a password to become right.
        let output = home.run(&[vec!["run".to_owned()], keys(&pairs)].concat(), PATIENCE);
        assert_refused(&output, 1, "ACCESS_DENIED", &["producer00", "repl"]);
        assert!(!output.stderr.contains("not the password"), "{}", output.stderr);
        assert_refused(&run(&home, &pairs), 1, "ACCESS_DENIED", &["1045"]);
    }
}

#[test]
fn a_server_without_binlog() {
    let Some(server) = Server::start_private(Kind::Mysql97, &["--skip-log-bin"]) else { return };
    let output = run_until(&Fountain::new(), &server, "end", &[]);
    assert_refused(&output, 1, "BINLOG_OFF", &["producer00", "log_bin"]);
}

#[test]
fn a_server_that_logs_statements() {
    let Some(server) = Server::start_private(Kind::Mariadb, &["--binlog-format=STATEMENT"]) else { return };
    let output = run_until(&Fountain::new(), &server, "end", &[]);
    assert_refused(&output, 1, "BINLOG_FORMAT", &["producer00", "ROW"]);
}

#[test]
fn a_change_logged_as_a_statement_stops_the_shard() {
    for kind in Kind::ALL {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
        server.sql("SET SESSION binlog_format=STATEMENT; INSERT INTO d.t VALUES (2)");
        server.sql("INSERT INTO d.t VALUES (3)");
        let home = Fountain::new();
        let output = run_until(&home, &server, "end", &["-D", "start_without_point=beginning"]);
        assert_refused(&output, 1, "STATEMENT_DML", &["producer00", "INSERT INTO d.t VALUES (?)", "binlog."]);
        assert_eq!(
            counts(&parse(&data(&home.home().join("data")))),
            (1, 0, 0),
            "what lies before it is delivered"
        );
    }
}

#[test]
fn a_purged_position() {
    for (kind, options) in
        [(Kind::Mysql56, &[][..]), (Kind::Mysql97, &[]), (Kind::Mysql97, GTID), (Kind::Mariadb, &[])]
    {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
        let home = Fountain::new();
        assert_eq!(run_until(&home, &server, "end", &[]).code, 0);
        for id in 0..3 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
            server.flush_logs();
        }
        let (last, _) = server.binlog_end();
        // A server keeps what it believes a replica still reads, and notices late that ours has gone.
        harness::wait_until("the purge", PATIENCE, || {
            server.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
            server.binlogs().len() == 1
        });
        let output = run_until(&home, &server, "end", &[]);
        assert_refused(&output, 1, "PURGED", &["producer00"]);
        assert_refused(&run_until(&home, &server, "end", &[]), 1, "PURGED", &["producer00"]);
    }
}

#[test]
fn a_point_beyond_the_end() {
    for kind in Kind::ALL {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        let (file, pos) = server.binlog_end();
        let keys = [
            format!("mysql_binlogdump_filename={file}"),
            format!("mysql_binlogdump_position={}", pos + 100_000),
        ];
        let output = run_until(&Fountain::new(), &server, "end", &["-D", &keys[0], "-D", &keys[1]]);
        assert_refused(&output, 1, "POINT_BEYOND_END", &["producer00", &file]);
    }
}

#[test]
fn a_point_of_another_server() {
    for kind in Kind::ALL {
        let Some(one) = Server::start_private(kind, &[]) else { continue };
        let home = Fountain::new();
        let by_position = ["-D", "binlog_dump_strategy=position"];
        assert_eq!(run_until(&home, &one, "end", &by_position).code, 0);
        let other_id = ["--server-id=4711"];
        let Some(other) = Server::start_private(kind, &other_id) else { continue };
        let output = run_until(&home, &other, "end", &by_position);
        assert_refused(&output, 1, "POINT_FOREIGN", &["producer00"]);
    }
}

/// By GTID another server will do, if it has executed all that the point holds.
#[test]
fn a_gtid_point_on_a_server_that_lacks_its_transactions() {
    let Some(one) = Server::start_private(Kind::Mysql97, GTID) else { return };
    one.sql("CREATE DATABASE d");
    let home = Fountain::new();
    assert_eq!(run_until(&home, &one, "end", &[]).code, 0);
    let options = [GTID, &["--server-id=4711"]].concat();
    let Some(other) = Server::start_private(Kind::Mysql97, &options) else { return };
    let gtid = one.gtid_executed();
    let output = run_until(&home, &other, "end", &[]);
    assert_refused(&output, 1, "POINT_BEYOND_END", &["producer00", &gtid]);
    other
        .sql(&format!("SET gtid_next='{gtid}'; BEGIN; COMMIT; SET gtid_next='AUTOMATIC'; CREATE DATABASE e"));
    let output = run_until(&home, &other, "end", &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&data(&home.home().join("data")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["sql"], "CREATE DATABASE e");
}

#[test]
fn binlogs_that_were_begun_anew_under_the_same_names() {
    let servers =
        [(Kind::Mysql56, &[][..]), (Kind::Mysql56, GTID), (Kind::Mysql97, GTID), (Kind::Mariadb, &[])];
    for (kind, options) in servers {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
        let home = Fountain::new();
        assert_eq!(run_until(&home, &server, "end", &["-D", "start_without_point=beginning"]).code, 0);
        // The format description counts whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        server.sql(match kind {
            Kind::Mysql97 => "RESET BINARY LOGS AND GTIDS",
            Kind::Mysql56 | Kind::Mariadb | Kind::Mariadb118 => "RESET MASTER",
        });
        for id in 2..40 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
        }
        let output = run_until(&home, &server, "end", &[]);
        assert_refused(&output, 1, "POINT_FOREIGN", &["producer00"]);
    }
}

#[test]
fn folders_that_cannot_be_used() {
    let home = Fountain::new();
    let file = home.write("plain-file", "");
    let inside = format!("producer_position={}/points", file.display());
    let output = run(&home, &["mysql_shard_0_server=127.0.0.1", "mysql_username=repl", "sink=null", &inside]);
    assert_refused(&output, 1, "FILE", &["plain-file"]);
    let inside = format!("file_sink_dir={}/data", file.display());
    let output = run(&home, &["mysql_shard_0_server=127.0.0.1", "mysql_username=repl", "sink=file", &inside]);
    assert_refused(&output, 1, "FILE", &["plain-file"]);
}

#[test]
fn a_second_run_on_the_same_folders() {
    let Some(server) = Server::start(Kind::Mariadb, &[]) else { return };
    let home = Fountain::new();
    let first = home.spawn(&run_arguments(&home, &server, &[]));
    let point = home.home().join("points/producer00.point");
    harness::wait_until("the first run saves its start", Duration::from_secs(60), || point.exists());
    let output = run_until(&home, &server, "end", &[]);
    assert_refused(&output, 1, "LOCKED", &[&first.pid().to_string()]);
    assert_eq!(first.terminate(Duration::from_secs(20)).code, 0);
}

#[test]
fn a_point_file_that_is_torn_or_gone() {
    let Some(server) = Server::start(Kind::Mariadb, &[]) else { return };
    let home = Fountain::new();
    assert_eq!(run_until(&home, &server, "end", &["-D", "sink=null"]).code, 0);
    let point = home.home().join("points/producer00.point");
    let text = std::fs::read(&point).expect("the saved point");
    for torn in [&text[..0], &text[..text.len() / 2], &text[..text.len() - 2]] {
        std::fs::write(&point, torn).expect("writable");
        let output = run_until(&home, &server, "end", &["-D", "sink=null"]);
        assert_refused(&output, 1, "POINT_BROKEN", &["producer00.point"]);
    }
    std::fs::remove_file(&point).expect("removable");
    let output = run_until(&home, &server, "end", &["-D", "sink=null"]);
    assert_refused(&output, 1, "POINT_LOST", &["producer00"]);
    std::fs::write(&point, &text).expect("writable");
    assert_eq!(run_until(&home, &server, "end", &["-D", "sink=null"]).code, 0);
}

fn a_binlog() -> Option<(Server, Vec<u8>)> {
    let server = Server::start_private(Kind::Mysql97, &["--binlog-row-metadata=FULL"])?;
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(100)) ENGINE=InnoDB");
    for id in 0..20 {
        server.sql(&format!("INSERT INTO d.t VALUES ({id},REPEAT('x',90))"));
    }
    server.flush_logs();
    let mut bytes = Vec::new();
    let files = server.binlogs();
    let file = &files[files.len() - 2];
    std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).expect("a binlog");
    Some((server, bytes))
}

/// `fountain cat` of these bytes in a file of that name.
fn catted(home: &Fountain, name: &str, bytes: &[u8]) -> Output {
    let path = home.home().join(name);
    std::fs::write(&path, bytes).expect("writable");
    cat(&[&path], &[])
}

#[test]
fn damaged_files() {
    let Some((_server, whole)) = a_binlog() else { return };
    let home = Fountain::new();
    let sound = catted(&home, "binlog.000001", &whole);
    assert_eq!((sound.code, counts(&parse(&sound.stdout))), (0, (20, 0, 0)), "{}", sound.stderr);

    let cut = catted(&home, "binlog.000001", &whole[..whole.len() * 2 / 3 + 1]);
    assert_refused(&cut, 1, "TRUNCATED", &["binlog.000001"]);
    let before = parse(&cut.stdout).len();
    assert!(before > 5 && sound.stdout.starts_with(&cut.stdout), "all rows before the cut: {before}");

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let output = catted(&home, "binlog.000001", &flipped);
    assert_refused(&output, 1, "CHECKSUM", &["binlog.000001"]);
    assert!(parse(&output.stdout).len() > 5 && sound.stdout.starts_with(&output.stdout));

    assert_refused(&catted(&home, "text", b"this is no binlog at all\n"), 1, "NOT_A_BINLOG", &["text"]);
    assert_refused(&catted(&home, "empty", b""), 1, "NOT_A_BINLOG", &["empty"]);
    assert_refused(&cat(&[Path::new("no-such-file")], &[]), 1, "FILE", &["no-such-file"]);
}

/// Whatever byte is cut or changed: an error or the rows, never a panic, never a row that is not in the log.
#[test]
fn every_cut_and_many_flips_of_a_file() {
    let Some((_server, whole)) = a_binlog() else { return };
    let home = Fountain::new();
    let sound = catted(&home, "binlog.000001", &whole).stdout;
    for cut in (0..whole.len()).step_by(whole.len() / 60) {
        let output = catted(&home, "binlog.000001", &whole[..cut]);
        assert!(output.code <= 1 && !output.stderr.contains("panicked"), "{cut}: {}", output.stderr);
        assert!(sound.starts_with(&output.stdout), "cut at {cut}");
    }
    for flip in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[flip] ^= 0x40;
        let output = catted(&home, "binlog.000001", &bytes);
        assert!(output.code == 1 && !output.stderr.contains("panicked"), "{flip}: {}", output.stderr);
        assert!(sound.starts_with(&output.stdout), "flip at {flip}");
    }
}
