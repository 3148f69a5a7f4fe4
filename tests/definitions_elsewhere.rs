//! Definitions in time where something is out of the ordinary: another server, names in small letters, accounts with less
//! rights or connections, compressed transactions; and what proofs cost.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use serde_json::Value;
use serde_json::json;
use std::time::Instant;

const BEGINNING: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];
const MINIMAL: &[&str] = &["--binlog-row-metadata=MINIMAL"];

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    run_until(home, server, "end", &keys(&[BEGINNING, pairs].concat()))
}

fn afters(home: &Fountain) -> Vec<Value> {
    parse(&data(&home.home().join("data"))).iter().map(|line| line["after"].clone()).collect()
}

/// Places mean nothing on another server. What held where the stream stood goes on holding there until a DDL comes.
#[test]
fn what_is_known_goes_along_to_another_server() {
    const ORIGIN: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let options = [GTID, MINIMAL].concat();
    let Some(mut main) = Server::start_private(Kind::Mysql97, &options) else { return };
    let Some(backup) = Server::start_private(Kind::Mysql97, &[&options[..], &["--server-id=2"]].concat())
    else {
        return;
    };
    // Places on the backup are others than on the main server.
    backup.sql("SET sql_log_bin=0; CREATE DATABASE x");
    backup.flush_logs();
    let mut number = 0;
    let mut apply = |servers: &[&Server], sql: &str| {
        number += 1;
        servers.iter().for_each(|server| {
            server.sql(&format!("SET gtid_next='{ORIGIN}:{number}'; {sql}; SET gtid_next='AUTOMATIC'"))
        });
    };
    let both = [&main, &backup];
    apply(&both, "CREATE DATABASE d");
    apply(&both, "CREATE TABLE d.t (id int PRIMARY KEY, c0 int)");
    apply(&both, "INSERT INTO d.t VALUES (1,1)");
    let home = Fountain::new();
    let port = format!("mysql_shard_0_ha1_port={}", backup.port());
    let pairs = ["mysql_shard_0_ha1_server=127.0.0.1", &port, "data_source_try_interval=100ms"];
    assert_eq!(run(&home, &main, &pairs).code, 0);
    apply(&both, "INSERT INTO d.t VALUES (2,2)");
    apply(&both, "ALTER TABLE d.t CHANGE c0 renamed int unsigned");
    apply(&both, "INSERT INTO d.t VALUES (3,4000000000)");
    main.stop();
    let output = run(&home, &main, &pairs);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let expected =
        [json!({"id":1,"c0":1}), json!({"id":2,"c0":2}), json!({"id":3,"renamed":4_000_000_000u64})];
    assert_eq!(afters(&home), expected);
    main.restart();
}

/// Under `lower_case_table_names=1` rows are logged in small letters and statements as they were typed.
#[test]
fn names_are_compared_as_the_server_does() {
    for (kind, options) in [(Kind::Mysql56, vec![]), (Kind::Mariadb, vec![])] {
        let options = [&options[..], &["--lower-case-table-names=1"]].concat();
        let Some(server) = Server::start_private(kind, &options) else { continue };
        server.sql("CREATE DATABASE D; CREATE TABLE D.TaB (id int, c0 int); INSERT INTO D.TAB VALUES (1,1)");
        let home = Fountain::new();
        assert_eq!(run(&home, &server, &[]).code, 0);
        server.sql("INSERT INTO d.tab VALUES (2,2); ALTER TABLE D.TAB CHANGE c0 renamed int; INSERT INTO d.tab VALUES (3,3)");
        let output = run(&home, &server, &[]);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(
            afters(&home),
            [json!({"id":1,"c0":1}), json!({"id":2,"c0":2}), json!({"id":3,"renamed":3})],
            "{kind}"
        );
        let late = run(&Fountain::new(), &server, &[]);
        assert!(late.code == 1 && late.stderr.contains("SCHEMA_DIFF"), "{kind}: {}", late.stderr);
    }
}

/// Looking ahead takes a third connection. An account that may not have it is waited for; nothing is taken for proven.
#[test]
fn who_cannot_look_ahead_waits() {
    for (kind, options) in [(Kind::Mysql56, &[][..]), (Kind::Mysql97, MINIMAL), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        let limit = |connections: u32| match kind {
            Kind::Mysql56 => {
                server.sql(&format!("GRANT USAGE ON *.* TO repl@'%' WITH MAX_USER_CONNECTIONS {connections}"))
            }
            _ => server.sql(&format!("ALTER USER repl@'%' WITH MAX_USER_CONNECTIONS {connections}")),
        };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int, c0 int); INSERT INTO d.t VALUES (1,1)");
        limit(2);
        let home = Fountain::new();
        let pairs =
            [BEGINNING, &["data_source_try_interval=100ms", "repeat_resource_interval=200ms"]].concat();
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
        run.wait_for("the refusal", PATIENCE, |run| run.stderr().contains("max_user_connections"));
        assert!(afters(&home).is_empty(), "{kind}");
        server.sql("ALTER TABLE d.t CHANGE c0 renamed int");
        limit(0);
        run.wait_for("the proof fails", PATIENCE, |run| run.stderr().contains("SCHEMA_DIFF"));
        assert_eq!(run.wait(PATIENCE).code, 1);
        assert!(afters(&home).is_empty(), "{kind}");
    }
}

/// An account that may not ask where the log ends; and CREATE … SELECT, the only DDL inside of a compressed transaction.
#[test]
fn without_the_right_to_see_the_end_and_in_compressed_transactions() {
    let options = [GTID, MINIMAL, &["--binlog-transaction-compression=ON"]].concat();
    let Some(server) = Server::start_private(Kind::Mysql97, &options) else { return };
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, c0 int); INSERT INTO d.t VALUES (1,1);
         REVOKE ALL PRIVILEGES, GRANT OPTION FROM repl@'%'; GRANT REPLICATION SLAVE, SELECT ON *.* TO repl@'%'",
    );
    let home = Fountain::new();
    let until = server.gtid_executed();
    let output = run_until(&home, &server, &until, &keys(BEGINNING));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(afters(&home), [json!({"id":1,"c0":1})]);
    server.sql(
        "CREATE TABLE d.made AS SELECT id, c0 FROM d.t; INSERT INTO d.made VALUES (2,2); DROP TABLE d.made;
         CREATE TABLE d.made AS SELECT id, c0 AS other FROM d.t",
    );
    let until = server.gtid_executed();
    // With everything behind it the first table is not known any more; its rows were of another definition.
    let output = run_until(&home, &server, &until, &keys(BEGINNING));
    assert!(output.code == 1 && output.stderr.contains("SCHEMA_DIFF"), "{}", output.stderr);
    assert_eq!(afters(&home).len(), 1);
    let other = Fountain::new();
    let from = format!("mysql_binlogdump_gtidset={}", server.gtid_executed());
    let end = [from.as_str(), "dispatch_ddl=none"];
    server.sql("CREATE TABLE d.last AS SELECT 7 AS id; INSERT INTO d.last VALUES (8)");
    let until = server.gtid_executed();
    let output = run_until(&other, &server, &until, &keys(&end));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(afters(&other), [json!({"id":7}), json!({"id":8})]);
}

// ------------------------------------------------------------------------------------------------------------ cost

/// The lines of a log that tell of a look ahead.
fn looks(output: &Output) -> Vec<&str> {
    output.stderr.lines().filter(|line| line.contains("read ahead for DDL")).collect()
}

/// The backlog is read ahead once, whatever the number of tables.
fn backlog(kind: Kind, options: &[&str], tables: usize, megabytes: usize) {
    let Some(server) = Server::start_private(kind, options) else { return };
    let mut session = server.session();
    session.sql("CREATE DATABASE d; CREATE DATABASE x; CREATE TABLE x.big (id int AUTO_INCREMENT PRIMARY KEY, b longblob)");
    for table in 0..tables {
        session.sql(&format!("CREATE TABLE d.t{table} (id int PRIMARY KEY, c int)"));
    }
    let home = Fountain::new();
    assert_eq!(run(&home, &server, &["filter_shard_table_white=d.none"]).code, 0);
    for table in 0..tables {
        session.sql(&format!("INSERT INTO d.t{table} VALUES (1,1)"));
    }
    for _ in 0..megabytes.div_ceil(8) {
        session.sql("INSERT INTO x.big (b) VALUES (REPEAT('x', 4000000)); DELETE FROM x.big");
    }
    // The end is the beginning of a file.
    server.flush_logs();
    let began = Instant::now();
    let arguments =
        run_arguments(&home, &server, &keys(&["filter_shard_table_white=d\\..*", "dispatch_ddl=none"]));
    let mut command = home.command();
    command.args(&arguments).args(["--until", "end"]).env("RUST_LOG", "debug");
    let output = Running::start(command).wait(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let looks = looks(&output);
    eprintln!(
        "{kind}: {tables} tables in {:.2} s, {} looks ahead; the first: {}",
        began.elapsed().as_secs_f64(),
        looks.len(),
        looks[0]
    );
    assert_eq!(afters(&home).len(), tables);
    assert_eq!(looks.len(), 1, "{}", looks.join("\n"));
}

#[test]
fn a_backlog_is_read_ahead_once_for_all_tables() {
    for (kind, options) in [(Kind::Mysql56, &[][..]), (Kind::Mysql97, MINIMAL), (Kind::Mariadb, &[])] {
        backlog(kind, options, 20, 8);
    }
}

#[test]
#[ignore = "long: 200 tables and a backlog of 1 GB on each server"]
fn a_gigabyte_is_read_ahead_once_for_two_hundred_tables() {
    for (kind, options) in
        [(Kind::Mysql56, &["--max-allowed-packet=64M"][..]), (Kind::Mysql97, MINIMAL), (Kind::Mariadb, &[])]
    {
        backlog(kind, options, 200, 1000);
    }
}
