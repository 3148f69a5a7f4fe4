//! Baidu's MySQL 5.1 ("Ares"), followed by group id. No such server is to be had, so real row events of MySQL 5.6 are sent in
//! Ares' headers by a fake one.

#[path = "harness/ares.rs"]
mod ares;
#[path = "harness/fake_server.rs"]
mod fake_server;
mod harness;

use ares::AresLog;
use ares::AresServer;
use ares::LIKE_5_1;
use ares::Transaction;
use ares::transactions;
use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::stored::lines_in;
use harness::stored::point;
use serde_json::Value;

/// What the real server logged, one statement a transaction: the table, then six rows, an update and a delete.
fn logged() -> Option<Vec<Transaction>> {
    let server = Server::start_private(Kind::Mysql56, LIKE_5_1)?;
    server.flush_logs();
    let before = transactions(&server).len();
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, name varchar(20) CHARACTER SET latin1) ENGINE=InnoDB");
    for id in 1..=6 {
        server.sql(&format!("INSERT INTO d.t VALUES ({id}, 'row {id}')"));
    }
    server.sql("UPDATE d.t SET name = 'new' WHERE id = 2; DELETE FROM d.t WHERE id = 1");
    let all = transactions(&server);
    let ours = all[before..].to_vec();
    assert_eq!(ours.len(), 10, "each statement is a transaction");
    Some(ours)
}

/// The first group's id: ids are far beyond 32 bits.
const FIRST: u64 = (1 << 40) + 7;

/// A log of the first `count` transactions, with a rotation behind each of `rotations`.
fn log(server_id: u32, base: &str, all: &[Transaction], count: usize, rotations: &[usize]) -> AresLog {
    let mut log = AresLog::new(server_id, base);
    for (number, transaction) in all.iter().take(count).enumerate() {
        log.log(FIRST + number as u64, transaction);
        if rotations.contains(&(number + 1)) {
            log.rotate();
        }
    }
    log
}

fn arguments(home: &Fountain, server: &AresServer, pairs: &[&str]) -> Vec<String> {
    let port = format!("mysql_shard_0_port={}", server.port());
    let password = home.write("password", fake_server::PASSWORD);
    let password = format!("mysql_password_file={}", password.display());
    let always = [
        "mysql_shard_0_server=127.0.0.1",
        &port,
        "mysql_username=repl",
        &password,
        "sink=file",
        "data_source_try_interval=100ms",
        "repeat_resource_interval=200ms",
    ];
    let strategy: &[&str] = match pairs.iter().any(|pair| pair.starts_with("binlog_dump_strategy=")) {
        true => &[],
        false => &["binlog_dump_strategy=ares"],
    };
    let always = keys(&[&always, strategy, pairs].concat()).iter().map(|word| (*word).to_owned()).collect();
    [vec!["run".to_owned()], always].concat()
}

fn run(home: &Fountain, server: &AresServer, pairs: &[&str]) -> Output {
    let arguments = [arguments(home, server, pairs), vec!["--until".into(), "end".into()]].concat();
    home.run(&arguments, PATIENCE)
}

/// What was delivered, in short: `+3` for an inserted row, `~2`, `-1`.
fn told(home: &Fountain) -> Vec<String> {
    let short = |line: &Value| match line["op"].as_str() {
        Some("insert") => Some(format!("+{}", line["after"]["id"])),
        Some("update") => Some(format!("~{}", line["after"]["id"])),
        Some("delete") => Some(format!("-{}", line["before"]["id"])),
        _ => None,
    };
    lines_in(home).iter().filter_map(short).collect()
}

const WHOLE: [&str; 8] = ["+1", "+2", "+3", "+4", "+5", "+6", "~2", "-1"];

fn refused(home: &Fountain, server: &AresServer, pairs: &[&str], code: &str, words: &str) {
    let output = run(home, server, pairs);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(
        output.stderr.contains(code) && output.stderr.contains(words),
        "{code} {words}: {}",
        output.stderr
    );
}

#[test]
fn a_group_id_is_found_on_the_same_and_on_another_server() {
    let Some(all) = logged() else { return };
    let main = AresServer::start(log(51, "ares-bin", &all, 4, &[3]));
    let home = Fountain::new();
    let output = run(&home, &main, &["start_without_point=beginning"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&home), WHOLE[..2]);
    assert_eq!(point(&home)["group_id"], FIRST + 3);
    for line in lines_in(&home) {
        assert!(line.get("gtid").is_none(), "{line}");
        assert!(line["file"].as_str().unwrap().starts_with("ares-bin.") && line["pos"].is_u64(), "{line}");
    }
    let row = &lines_in(&home)[2];
    assert_eq!(row["after"]["name"], "row 1");
    assert_eq!((&row["key"][0], &row["server_id"]), (&Value::from("id"), &Value::from(51)));

    // The same server, with more.
    main.change(|log| (4..6).for_each(|number| log.log(FIRST + number, &all[number as usize])));
    let output = run(&home, &main, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&home), WHOLE[..4]);
    assert!(main.fake.heard().contains(&format!("SHOW BINLOG INFO FOR {}", FIRST + 3)));

    // Another one, whose files are cut elsewhere and hold the rest.
    let other = AresServer::start(log(52, "other-bin", &all, 10, &[1, 5, 8]));
    let output = run(&home, &other, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&home), WHOLE);
    assert!(other.fake.heard().contains(&format!("SHOW BINLOG INFO FOR {}", FIRST + 5)));
    assert_eq!(point(&home)["group_id"], FIRST + 9);
    assert_eq!(point(&home)["server"]["server_id"], 52);
}

/// A start at the server's end knows its group at once, though nothing was read yet.
#[test]
fn the_end_is_a_group_too() {
    let Some(all) = logged() else { return };
    let main = AresServer::start(log(51, "ares-bin", &all, 7, &[4]));
    let home = Fountain::new();
    assert_eq!(run(&home, &main, &["start_without_point=end"]).code, 0);
    assert_eq!(point(&home)["group_id"], FIRST + 6);
    let other = AresServer::start(log(52, "other-bin", &all, 10, &[2]));
    let output = run(&home, &other, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&home), WHOLE[5..]);
}

#[test]
fn a_configured_group_counts_as_delivered() {
    let Some(all) = logged() else { return };
    let server = AresServer::start(log(51, "ares-bin", &all, 10, &[4]));
    for (key, expected) in [
        (format!("mysql_binlogdump_gtid={}", FIRST + 1), &WHOLE[..]),
        (format!("mysql_binlogdump_gtid={}", FIRST + 7), &WHOLE[6..]),
        ("mysql_binlogdump_gtid=-1".to_owned(), &[]),
    ] {
        let home = Fountain::new();
        let output = run(&home, &server, &[&key]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(told(&home), expected, "{key}");
    }
    let listed = Fountain::new();
    let password = listed.write("password", fake_server::PASSWORD);
    let pairs = [
        format!("dbArray=127.0.0.1:{}", server.port()),
        format!("syncPointArray={}", FIRST + 7),
        format!("mysql_password_file={}", password.display()),
        "mysql_username=repl".to_owned(),
        "sink=file".to_owned(),
        "binlog_dump_strategy=ares".to_owned(),
    ];
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    let output = listed.run(&[&["run", "--until", "end"][..], &keys(&pairs)].concat(), PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&listed), WHOLE[6..]);
}

/// The main server falls silent, between transactions and inside of them, and then is no Ares any more: each row once.
#[test]
fn a_backup_goes_on_in_the_middle() {
    let Some(all) = logged() else { return };
    for events in [3, 4, 7, 14, 20, 33] {
        let main = AresServer::start(log(51, "ares-bin", &all, 10, &[4]));
        let backup = AresServer::start(log(52, "other-bin", &all, 10, &[2, 7]));
        main.silent_behind(events);
        let port = format!("mysql_shard_0_ha1_port={}", backup.port());
        let pairs = [
            "start_without_point=beginning",
            "mysql_replication_socket_so_timeout=300ms",
            "mysql_shard_0_ha1_server=127.0.0.1",
            &port,
        ];
        let home = Fountain::new();
        let mut run = home.spawn(&arguments(&home, &main, &pairs));
        let dumped = || main.fake.heard().iter().any(|told| told.starts_with("DUMP"));
        harness::wait_until("the first dump", PATIENCE, dumped);
        main.change(|log| log.version = "5.6.0".into());
        run.wait_for("all rows", PATIENCE, |_| told(&home).len() >= WHOLE.len());
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(told(&home), WHOLE, "silent behind {events}: {}", output.stderr);
        assert!(backup.fake.heard().iter().any(|told| told.starts_with("SHOW BINLOG INFO FOR")));
    }
}

/// 5.1 sends no heartbeats: silence is asked after now and then, and what comes later is read.
#[test]
fn an_idle_server_is_kept() {
    let Some(all) = logged() else { return };
    let server = AresServer::start(log(51, "ares-bin", &all, 4, &[]));
    let home = Fountain::new();
    let quick = ["start_without_point=beginning", "mysql_replication_socket_so_timeout=300ms"];
    let run = home.spawn(&arguments(&home, &server, &quick));
    harness::wait_until("the first rows", PATIENCE, || told(&home).len() == 2);
    let dumps = || server.fake.heard().iter().filter(|told| told.starts_with("DUMP")).count();
    harness::wait_until("several questions", PATIENCE, || dumps() >= 4);
    server.change(|log| (4..10).for_each(|number| log.log(FIRST + number, &all[number as usize])));
    harness::wait_until("the other rows", PATIENCE, || told(&home).len() == WHOLE.len());
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(told(&home), WHOLE);
    assert!(!output.stderr.contains("STALLED"), "idleness is no trouble: {}", output.stderr);
}

#[test]
fn what_cannot_be_found_is_refused() {
    let Some(all) = logged() else { return };
    let home = Fountain::new();
    let server = AresServer::start(log(51, "ares-bin", &all, 6, &[2, 6]));
    assert_eq!(run(&home, &server, &["start_without_point=beginning"]).code, 0);
    let before = told(&home);

    let lagging = AresServer::start(log(52, "other-bin", &all, 4, &[]));
    refused(
        &home,
        &lagging,
        &[],
        "POINT_BEYOND_END",
        &format!("its last one is {}", FIRST + 3).replace("its", "the server's"),
    );
    server.change(|log| {
        log.log(FIRST + 6, &all[6]);
        log.purge();
    });
    refused(&home, &server, &[], "PURGED", &format!("group id {}", FIRST + 5));

    let mut oracle = log(53, "plain-bin", &all, 6, &[]);
    oracle.version = "5.5.62-log".into();
    refused(&home, &AresServer::start(oracle), &[], "UNSUPPORTED", "the server's version is 5.5.62-log");
    // The other ways of following do not take such a point to another server.
    let other = AresServer::start(log(54, "other-bin", &all, 10, &[]));
    refused(&home, &other, &["binlog_dump_strategy=position"], "POINT_FOREIGN", "server_id 51");
    let fresh = Fountain::new();
    let group = ["binlog_dump_strategy=auto", "mysql_binlogdump_gtid=42"];
    refused(&fresh, &other, &group, "CONFIG", "binlog_dump_strategy=ares");
    assert_eq!(told(&home), before, "nothing came of all that");
}

#[test]
fn cat_reads_its_files() {
    let Some(all) = logged() else { return };
    let log = log(51, "ares-bin", &all, 10, &[4]);
    let home = Fountain::new();
    let schema = home.write(
        "schema",
        r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"},{"name":"name","type":"varchar(20)","charset":"latin1"}],"key":["id"]}"#,
    );
    let mut arguments = vec!["cat".to_owned(), "--schema".into(), schema.display().to_string()];
    for (name, bytes) in log.files() {
        let path = home.home().join(name);
        std::fs::write(&path, bytes).unwrap();
        arguments.push(path.display().to_string());
    }
    let output = home.run(&arguments, PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&output.stdout);
    let rows: Vec<&Value> = lines.iter().filter(|line| line["op"] != "ddl").collect();
    assert_eq!(rows.len(), WHOLE.len());
    assert_eq!(rows[6]["after"]["name"], "new");
    assert!(rows.iter().all(|line| line.get("gtid").is_none()));
}
