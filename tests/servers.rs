//! The private servers themselves: whether they boot, and whether the harness tells the truth about them.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

#[test]
fn mysql_56_boots_and_tells_the_truth() {
    boots_and_tells_the_truth(Kind::Mysql56, "5.6.");
}

#[test]
fn mysql_97_boots_and_tells_the_truth() {
    boots_and_tells_the_truth(Kind::Mysql97, "9.");
}

#[test]
fn mariadb_boots_and_tells_the_truth() {
    boots_and_tells_the_truth(Kind::Mariadb, "1");
}

#[test]
fn mariadb_118_boots_and_tells_the_truth() {
    boots_and_tells_the_truth(Kind::Mariadb118, "1");
}

fn boots_and_tells_the_truth(kind: Kind, version: &str) {
    let Some(server) = Server::start(kind, &[]) else { return };
    assert!(server.value("SELECT VERSION()").starts_with(version));
    assert_eq!(server.value("SELECT @@binlog_format"), "ROW");
    values_come_out_exactly(&server);
    transactions_of_sessions_are_apart(&server);

    let message = server.try_sql("SELECT no_such_column").expect_err("no such column");
    assert!(message.contains("ERROR 1054 (42S22)"), "{message}");
    let refused = server.session_as("nobody", "").err().expect("no such account");
    assert_eq!(refused.code, 1045);
}

fn values_come_out_exactly(server: &Server) {
    server.sql("DROP DATABASE IF EXISTS truth; CREATE DATABASE truth; USE truth; CREATE TABLE t (id INT PRIMARY KEY, v TEXT CHARACTER SET utf8mb4)");
    server.sql("INSERT INTO truth.t VALUES (1, NULL), (2, 'NULL'), (3, ''), (4, 'a\\tb\\nc\\\\d\\0e\\r'), (5, 'Grüße 😀')");
    let rows = server.select("SELECT v FROM truth.t ORDER BY id");
    let values: Vec<_> = rows.iter().map(|row| row[0].as_deref()).collect();
    assert_eq!(values, [None, Some("NULL"), Some(""), Some("a\tb\nc\\d\0e\r"), Some("Grüße 😀")]);
    assert_eq!(server.select("SELECT v FROM truth.t WHERE id > 99"), Vec::<harness::Row>::new());

    let long = "x".repeat(20 << 20);
    let packet = server.select(&format!("SELECT LENGTH('{long}'), REPEAT('y', 17 << 20)"));
    assert_eq!(packet[0][0].as_deref(), Some("20971520"));
    assert_eq!(packet[0][1].as_ref().map(String::len), Some(17 << 20));
}

fn transactions_of_sessions_are_apart(server: &Server) {
    let (mut one, mut other) = (server.session(), server.session());
    assert_ne!(one.connection_id(), other.connection_id());
    one.sql("BEGIN; INSERT INTO truth.t VALUES (10, 'held')");
    assert_eq!(other.select("SELECT COUNT(*) FROM truth.t WHERE id = 10"), [[Some("0".to_owned())]]);
    other.send("UPDATE truth.t SET v = 'waits' WHERE id = 10");
    one.sql("COMMIT");
    other.finish().expect("the update");
    assert_eq!(server.value("SELECT v FROM truth.t WHERE id = 10"), "waits");
    other.sql("DELETE FROM truth.t WHERE id = 10");
    assert_eq!(other.try_select("SELECT * FROM truth.none").expect_err("no such table").code, 1146);
}

#[test]
fn binlogs_are_found_and_counted() {
    for kind in Kind::ALL {
        let options = if kind.is_mysql() { GTID } else { &[] };
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB");
        server.sql("INSERT INTO d.t VALUES (1, 1), (2, 2), (3, 3)");
        server.flush_logs();
        server.sql("UPDATE d.t SET v = v + 1 WHERE id < 3; DELETE FROM d.t WHERE id = 3");
        let files = server.binlogs();
        assert_eq!(files.len(), 2, "{files:?}");
        assert_eq!(server.mysqlbinlog_counts(&files), (3, 2, 1), "{kind}");
        assert_eq!(server.mysqlbinlog_counts(&files[1..]), (0, 2, 1), "{kind}");
        let (file, pos) = server.binlog_end();
        assert_eq!(files[1].file_name().and_then(|name| name.to_str()), Some(file.as_str()));
        assert_eq!(std::fs::metadata(&files[1]).expect("the last binlog").len(), pos);
        let last = if kind.is_mysql() { ":1-5" } else { "0-1-5" };
        assert!(server.gtid_executed().ends_with(last), "{kind}: {}", server.gtid_executed());
    }
}

#[test]
fn the_replica_account_may_log_in_and_read() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind, &[]) else { continue };
        let (user, password) = server.replica_account();
        let mut client = server.client();
        client.args([&format!("-u{user}"), "-e", "SELECT CURRENT_USER()"]).env("MYSQL_PWD", password);
        let output = client.output().expect("the client");
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        // By now caching_sha2_password knows the account, too.
        let mut session = server.session_as(user, password).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(session.select("SELECT COUNT(*) > 0 FROM mysql.user"), [[Some("1".to_owned())]]);
        assert_eq!(session.try_select("CREATE DATABASE not_mine").expect_err("no right").code, 1044);
    }
}

#[test]
fn a_server_survives_stops_kills_and_stalls() {
    for kind in Kind::ALL {
        let Some(mut server) = Server::start_private(kind, &["--server-id=77"]) else { continue };
        let (port, first) = (server.port(), server.pid());
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
        server.restart();
        assert_eq!((server.port(), server.value("SELECT @@server_id").as_str()), (port, "77"));
        assert_ne!(server.pid(), first);
        server.sql("INSERT INTO d.t VALUES (2)");
        server.kill9();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        server.restart();
        assert_eq!(
            server.value("SELECT COUNT(*) FROM d.t"),
            "2",
            "{kind}: what is committed outlives a kill"
        );

        let mut session = server.session();
        server.stall();
        session.send("SELECT 1");
        std::thread::sleep(Duration::from_millis(300));
        server.resume();
        assert_eq!(session.finish().expect("the answer"), [[Some(b"1".to_vec())]]);

        let (pid, folder) = (server.pid(), server.datadir().to_owned());
        server.stall();
        drop(server);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists() && !folder.exists());
    }
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let told = catch_unwind(|| Server::start_private(Kind::Mysql56, &["--no-such-option"]).is_none());
    match told {
        Ok(skipped) => assert!(skipped),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().expect("a message");
            assert!(message.contains("unknown option '--no-such-option'"), "{message}");
        }
    }
}

#[test]
fn the_program_runs_in_a_home_of_its_own() {
    let fountain = Fountain::new();
    let output = fountain.run(&["version"], Duration::from_secs(30));
    assert!(output.code <= 2, "{output:?}");
    let command = fountain.command();
    assert!(command.get_envs().all(|(name, _)| !name.to_string_lossy().starts_with("mysql_")));
}

#[test]
fn a_program_that_does_not_end_is_killed() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; sleep 600"]);
    let start = Instant::now();
    let mut running = harness::Running::start(command);
    running.wait_for("a line", Duration::from_secs(10), |run| {
        run.stdout() == "one\n" && run.stderr() == "two\n"
    });
    let pid = running.pid();
    let panic =
        catch_unwind(AssertUnwindSafe(|| running.wait(Duration::from_millis(50)))).expect_err("too long");
    assert!(panic.downcast_ref::<String>().expect("a message").contains("--- stdout\none\n"));
    assert!(
        start.elapsed() < Duration::from_secs(20) && !std::path::Path::new(&format!("/proc/{pid}")).exists()
    );
}
