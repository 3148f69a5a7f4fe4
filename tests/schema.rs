//! Where names, types and keys come from when the binlog does not say them, and what happens when they cannot be had or
//! do not fit.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::cat;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::refusal;
use serde_json::Value;
use serde_json::json;
use std::path::Path;

const PAIRS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];

/// The kinds whose rows come without names.
const WITHOUT_NAMES: &[(Kind, &[&str])] =
    &[(Kind::Mysql56, &[]), (Kind::Mysql97, &["--binlog-row-metadata=MINIMAL"]), (Kind::Mariadb, &[])];

fn rows(home: &Fountain) -> Vec<Value> {
    parse(&data(&home.home().join("data")))
}

fn afters(home: &Fountain) -> Vec<Value> {
    rows(home).iter().map(|line| line["after"].clone()).collect()
}

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    run_until(home, server, "end", &keys(&[PAIRS, pairs].concat()))
}

const OLD: &str = r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"},{"name":"old","type":"varchar(20)","charset":"latin1"}],"key":["id"]}"#;

/// Rows from before an ALTER, whose definition only a file can supply; rows from behind it, of which the server knows.
#[test]
fn a_table_that_was_altered_after_its_rows_were_logged() {
    for (kind, options) in WITHOUT_NAMES {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        server.sql(
            "CREATE DATABASE d CHARACTER SET latin1; CREATE TABLE d.t (id int PRIMARY KEY, old varchar(20)) ENGINE=InnoDB;
             INSERT INTO d.t VALUES (1,'x'); ALTER TABLE d.t ADD COLUMN extra bigint, DROP COLUMN old, ADD COLUMN more date;
             INSERT INTO d.t VALUES (2,3,'2024-02-29')",
        );
        let home = Fountain::new();
        let told = refusal(&run(&home, &server, &[]), "SCHEMA_DIFF");
        for part in [
            "producer00",
            "binlog.000001:",
            "d.t",
            "Logged: (",
            "VARCHAR(20)",
            "Defined now: (",
            "ALTER TABLE d.t ADD COLUMN extra",
            "`extra` bigint",
            "schema_file",
        ] {
            assert!(told.contains(part), "{kind}: {part} in {told}");
        }
        assert!(rows(&home).is_empty());

        let file = home.write("old.jsonl", OLD);
        let schema_file = format!("schema_file={}", file.display());
        let output = run(&home, &server, &[&schema_file]);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(
            afters(&home),
            [json!({"id": 1, "old": "x"}), json!({"id": 2, "extra": 3, "more": "2024-02-29"})],
            "{kind}: each by the definition that fits"
        );
        assert!(rows(&home).iter().all(|line| line["key"] == json!(["id"])));
    }
}

#[test]
fn a_schema_file_that_cannot_be_used() {
    let Some(server) = Server::start(Kind::Mariadb, &[]) else { return };
    let home = Fountain::new();
    let told = refusal(&run(&home, &server, &["schema_file=no-such-file"]), "FILE");
    assert!(told.contains("no-such-file"), "{told}");
    let file = home.write("broken.jsonl", &format!("# a comment\n{OLD}\n{{\"database\":\"d\"}}\n"));
    let told = refusal(&run(&home, &server, &[&format!("schema_file={}", file.display())]), "FILE");
    assert!(told.contains("broken.jsonl") && told.contains("line 3"), "{told}");
}

#[test]
fn a_table_that_was_dropped() {
    for (kind, options) in WITHOUT_NAMES {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        server.sql(
            "CREATE DATABASE d; CREATE TABLE d.gone (id int) ENGINE=InnoDB; CREATE TABLE d.t (id int) ENGINE=InnoDB;
             INSERT INTO d.t VALUES (1); INSERT INTO d.gone VALUES (1); INSERT INTO d.t VALUES (2); DROP TABLE d.gone",
        );
        let home = Fountain::new();
        let told = refusal(&run(&home, &server, &[]), "SCHEMA_DIFF");
        for part in ["d.gone", "no longer has this table", "schema_file", "filter_shard_table_black"] {
            assert!(told.contains(part), "{kind}: {part} in {told}");
        }
        assert_eq!(afters(&home), [json!({"id": 1})], "{kind}: what lies before it is delivered");
        let output = run(&home, &server, &["filter_shard_table_black=d.gone"]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(afters(&home), [json!({"id": 1}), json!({"id": 2})]);
    }
}

/// An account that may replicate and may not read: a missing right is told from a missing table, and the right is named.
/// Rows that say everything themselves need none.
#[test]
fn an_account_without_select() {
    let full = (Kind::Mysql97, &["--binlog-row-metadata=FULL"][..]);
    for (kind, options) in WITHOUT_NAMES.iter().copied().chain([full]) {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql(
            "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1);
             REVOKE ALL PRIVILEGES, GRANT OPTION FROM repl@'%'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%'",
        );
        let home = Fountain::new();
        let output = run(&home, &server, &[]);
        if options == full.1 {
            assert_eq!(output.code, 0, "{}", output.stderr);
            assert_eq!(afters(&home), [json!({"id": 1})]);
            continue;
        }
        let told = refusal(&output, "RIGHT_MISSING");
        for part in ["1142", "GRANT SELECT ON `d`.* TO 'repl'@'%'"] {
            assert!(told.contains(part), "{kind}: {part} in {told}");
        }
        server.sql("GRANT SELECT ON d.* TO repl@'%'");
        assert_eq!(run(&home, &server, &[]).code, 0);
        assert_eq!(afters(&home), [json!({"id": 1})], "{kind}");
    }
}

/// A right that goes missing while rows flow is waited for: somebody will see the message and grant it.
#[test]
fn a_right_that_is_missing_later_is_waited_for() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql(
        "CREATE DATABASE d; CREATE DATABASE e; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE e.t (id int) ENGINE=InnoDB;
         REVOKE ALL PRIVILEGES, GRANT OPTION FROM repl@'%'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%';
         GRANT SELECT ON d.* TO repl@'%'; INSERT INTO d.t VALUES (1); INSERT INTO e.t VALUES (2); INSERT INTO d.t VALUES (3)",
    );
    let home = Fountain::new();
    let pairs = [PAIRS, &["repeat_resource_interval=300ms"]].concat();
    let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
    run.wait_for("the missing right is told", PATIENCE, |run| run.stderr().contains("RIGHT_MISSING"));
    // Tried again, with a pause in between.
    run.wait_for("another try", PATIENCE, |run| run.stderr().matches("RIGHT_MISSING").count() > 1);
    assert_eq!(afters(&home), [json!({"id": 1})]);
    server.sql("GRANT SELECT ON e.* TO repl@'%'");
    run.wait_for("the rest", PATIENCE, |_| rows(&home).len() == 3);
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(afters(&home), [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})]);
    let span = seconds_between_first_and_last(&output.stderr, "RIGHT_MISSING");
    let tries = output.stderr.matches("RIGHT_MISSING").count() as f64;
    assert!(tries < 3.0 + span / 0.3, "{tries} tries in {span} s: {}", output.stderr);
}

/// Log lines begin with `2024-02-29T12:34:56.789Z`.
fn seconds_between_first_and_last(log: &str, word: &str) -> f64 {
    let seconds = |line: &str| {
        let clock = &line[11..23];
        let parts: Vec<f64> = clock.split(':').map(|part| part.parse().expect("a number")).collect();
        parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]
    };
    let times: Vec<f64> = log.lines().filter(|line| line.contains(word)).map(seconds).collect();
    let span = times[times.len() - 1] - times[0];
    // Over midnight.
    if span < 0.0 { span + 86_400.0 } else { span }
}

/// Statements instead of rows, delivered as text where somebody asks for that.
#[test]
fn statements_are_delivered_where_that_is_wanted() {
    for kind in Kind::ALL {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
        server.sql("SET SESSION binlog_format=STATEMENT; USE d; INSERT INTO t VALUES (2); BEGIN; UPDATE t SET id=5 WHERE id=2; DELETE FROM d.t WHERE id=5; COMMIT");
        server.sql("INSERT INTO d.t VALUES (3)");
        let home = Fountain::new();
        let output = run(&home, &server, &["statement_dml=deliver"]);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        let told: Vec<(Value, Value)> = rows(&home)
            .iter()
            .map(|line| (line["op"].clone(), line.get("sql").cloned().unwrap_or_default()))
            .collect();
        let statement = |sql: &str| (json!("statement"), json!(sql));
        let insert = (json!("insert"), Value::Null);
        let expected = [
            insert.clone(),
            statement("INSERT INTO t VALUES (2)"),
            statement("UPDATE t SET id=5 WHERE id=2"),
            statement("DELETE FROM d.t WHERE id=5"),
            insert,
        ];
        assert_eq!(told, expected, "{kind}");
        assert_eq!(rows(&home)[1]["database"], "d");
    }
}

// -------------------------------------------------------------------------------------------------------------- cat

/// Two tables in two files, each mapped anew by FLUSH TABLES, so that its table id changes.
fn files_of(kind: Kind, options: &[&str]) -> Option<Server> {
    let server = Server::start_private(kind, options)?;
    server.sql(
        "CREATE DATABASE d CHARACTER SET latin1; CREATE TABLE d.t (id int unsigned PRIMARY KEY, v varchar(20)) ENGINE=InnoDB;
         CREATE TABLE d.other (b blob) ENGINE=InnoDB; INSERT INTO d.t VALUES (4294967295,'x'); INSERT INTO d.other VALUES (x'ff00');
         FLUSH TABLES; INSERT INTO d.t VALUES (2,'y')",
    );
    server.flush_logs();
    server.sql("FLUSH TABLES; INSERT INTO d.t VALUES (3,NULL); INSERT INTO d.other VALUES ('text')");
    Some(server)
}

#[test]
fn cat_without_any_definition_numbers_the_columns_and_warns_once_per_table() {
    for (kind, options) in WITHOUT_NAMES {
        let Some(server) = files_of(*kind, options) else { continue };
        let files = server.binlogs();
        let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let pairs: Vec<String> = ["-D", "dispatch_ddl=none"].map(str::to_owned).to_vec();
        let output = cat(&paths, &pairs);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = parse(&output.stdout);
        let afters: Vec<Value> = lines.iter().map(|line| line["after"].clone()).collect();
        // 9.7 logs what is signed even in MINIMAL metadata.
        let first = if *kind == Kind::Mysql56 || !kind.is_mysql() && afters[0]["@1"] == -1 {
            json!(-1)
        } else {
            json!(4294967295u64)
        };
        assert_eq!(afters[0], json!({"@1": first, "@2": "x"}), "{kind}");
        assert_eq!(afters[2], json!({"@1": 2, "@2": "y"}), "{kind}");
        assert_eq!(afters[3], json!({"@1": 3, "@2": null}), "{kind}");
        assert!(lines.iter().all(|line| line.get("key").is_none()), "{kind}: unknown, so left out");
        let warnings = |table: &str| output.stderr.lines().filter(|line| line.contains(table)).count();
        assert_eq!((warnings("d.t:"), warnings("d.other:")), (1, 1), "{kind}: {}", output.stderr);
    }
}

#[test]
fn cat_with_a_schema_file_or_a_server() {
    let Some(server) = files_of(Kind::Mysql56, &[]) else { return };
    let files = server.binlogs();
    let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let home = Fountain::new();
    let definition = r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int unsigned"},{"name":"v","type":"varchar(20)","charset":"latin1"}],"key":["id"]}"#;
    let file = home.write("schema.jsonl", definition);
    let pairs = ["-D", "filter_shard_table_white=d.t", "-D", "dispatch_ddl=none"].map(str::to_owned).to_vec();
    let by_file =
        cat(&paths, &[pairs.clone(), vec!["--schema".into(), file.to_str().expect("UTF-8").into()]].concat());
    assert_eq!((by_file.code, by_file.stderr.as_str()), (0, ""));
    let by_server = cat(&paths, &[pairs, server.shard_arguments(0, home.home())].concat());
    assert_eq!((by_server.code, by_server.stderr.as_str()), (0, ""));
    assert_eq!(by_file.stdout, by_server.stdout);
    let lines = parse(&by_file.stdout);
    assert_eq!(lines[0]["after"], json!({"id": 4294967295u64, "v": "x"}));
    assert_eq!(lines[0]["key"], json!(["id"]));
}
