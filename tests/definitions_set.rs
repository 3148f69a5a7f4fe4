//! `fountain schema`: looking at definitions, taking them along as a schema file, and setting them by hand.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::shapes;
use harness::shapes::Dice;
use harness::shapes::Oracle;
use serde_json::Value;

const PAIRS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];

fn run(home: &Fountain, server: &Server) -> Output {
    run_until(home, server, "end", &keys(PAIRS))
}

fn schema(home: &Fountain, server: &Server, words: &[&str]) -> Output {
    let mut arguments = vec!["schema".to_owned()];
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
    arguments.extend(server.shard_arguments(0, home.home()));
    home.run(&arguments, PATIENCE)
}

fn delivered(home: &Fountain) -> String {
    data(&home.home().join("data"))
}

/// A stop, the definition of before set by hand, and on it goes; then another DDL ends it.
#[test]
fn a_definition_is_set_by_hand() {
    let minimal: Vec<&str> = [GTID, &["--binlog-row-metadata=MINIMAL"]].concat();
    for (kind, options) in [(Kind::Mysql56, vec![]), (Kind::Mysql97, minimal), (Kind::Mariadb, vec![])] {
        let Some(server) = Server::start_private(kind, &options) else { continue };
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(7));
        session.sql("CREATE DATABASE d");
        shapes::create(&mut session, "d.a", "c", 0);
        let home = Fountain::new();
        let file = home.write(
            "old.jsonl",
            r#"{"database":"d","table":"a","columns":[{"name":"id","type":"int"},{"name":"c0","type":"int"},{"name":"c1","type":"enum('red','green')"},{"name":"c2","type":"varchar(20)","charset":"latin1"}],"key":["id"]}"#,
        );
        let file = file.to_str().expect("UTF-8");
        let output = schema(&home, &server, &["set", file, "--reason", "too early"]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("NO_POINT"), "{}", output.stderr);
        oracle.insert(&mut session, "d.a", &mut dice);
        session.sql("ALTER TABLE d.a CHANGE c0 k0 int unsigned");
        oracle.insert(&mut session, "d.a", &mut dice);
        let output = run(&home, &server);
        assert!(output.code == 1 && output.stderr.contains("fountain schema set"), "{}", output.stderr);

        let output = schema(&home, &server, &["set", file, "--reason", "I know the table"]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            output.stdout.contains("producer00: set from ") && output.stdout.contains("d.a"),
            "{}",
            output.stdout
        );
        let output = run(&home, &server);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(oracle.check(&delivered(&home)), [1, 2], "{kind}");

        let shown = schema(&home, &server, &["show", "producer00", "d.a"]).stdout;
        for part in [
            "set by hand: I know the table",
            "read from the server",
            "c0 int",
            "k0 int",
            " to now",
            "key (id)",
        ] {
            assert!(shown.contains(part), "{kind}: {part} in {shown}");
        }
        // What --json prints is a schema file.
        let lines = schema(&home, &server, &["show", "--json"]).stdout;
        let line: Value = serde_json::from_str(lines.trim_end()).expect("one line of JSON");
        assert_eq!(line["columns"][1]["name"], "k0");
        home.write("new.jsonl", &lines);
        let again = home.home().join("new.jsonl");
        let output =
            schema(&home, &server, &["set", "producer00", again.to_str().expect("UTF-8"), "--reason", "x"]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        oracle.insert(&mut session, "d.a", &mut dice);
        assert_eq!(run(&home, &server).code, 0);
        assert_eq!(oracle.check(&delivered(&home)), [1, 2, 3], "{kind}");
    }
}

#[test]
fn what_cannot_be_set_or_shown_is_told() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int); INSERT INTO d.t VALUES (1)");
    let home = Fountain::new();
    let mut live = home.spawn(&run_arguments(&home, &server, &keys(PAIRS)));
    live.wait_for("the row", PATIENCE, |_| delivered(&home).lines().count() == 1);
    let file = home.write("t.jsonl", r#"{"database":"d","table":"t","columns":[{"name":"x","type":"int"}]}"#);
    let file = file.to_str().expect("UTF-8");
    for (words, code, part) in [
        (vec!["set", file, "--reason", "x"], 1, "LOCKED"),
        (vec!["set", file], 2, "--reason TEXT"),
        (vec!["set", "other", file, "--reason", "x"], 2, "no shard \"other\""),
        (vec!["set", "none.jsonl", "--reason", "x"], 1, "none.jsonl"),
        (vec!["show", "other"], 2, "no shard \"other\""),
        (vec!["list"], 2, "expected \"fountain schema show"),
    ] {
        let output = schema(&home, &server, &words);
        assert_eq!(output.code, code, "{words:?}: {}", output.stderr);
        assert!(output.stderr.contains(part), "{words:?}: {}", output.stderr);
    }
    // Looking is allowed meanwhile; nothing of another table is shown.
    assert_eq!(schema(&home, &server, &["show"]).code, 0);
    assert!(!schema(&home, &server, &["show", "d.other"]).stdout.contains("d.t"));
    assert_eq!(live.terminate(PATIENCE).code, 0);
}

/// The rows of a prepared XA transaction lie before the point: what is set holds for them too.
#[test]
fn a_definition_reaches_rows_of_a_pending_xa_transaction() {
    let minimal: Vec<&str> = [GTID, &["--binlog-row-metadata=MINIMAL"]].concat();
    for (kind, options) in [(Kind::Mysql97, minimal), (Kind::Mariadb, vec![])] {
        let Some(server) = Server::start_private(kind, &options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.a (id int PRIMARY KEY, c0 int) ENGINE=InnoDB");
        server.sql("XA START 'x'; INSERT INTO d.a VALUES (1, 7); XA END 'x'; XA PREPARE 'x'");
        server.sql("CREATE TABLE d.other (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.other VALUES (1)");
        let home = Fountain::new();
        let output = run(&home, &server);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        server.sql("XA COMMIT 'x'");
        server.sql("ALTER TABLE d.a CHANGE c0 k0 int unsigned, ADD k1 int");
        std::fs::remove_file(home.home().join("points/producer00.schema")).expect("a ledger");
        let output = run(&home, &server);
        assert!(output.code == 1 && output.stderr.contains("SCHEMA_DIFF"), "{kind}: {}", output.stderr);
        let line = r#"{"database":"d","table":"a","columns":[{"name":"id","type":"int"},{"name":"c0","type":"int"}],"key":["id"]}"#;
        let file = home.write("old.jsonl", line);
        let set = schema(&home, &server, &["set", file.to_str().expect("UTF-8"), "--reason", "I know it"]);
        assert_eq!(set.code, 0, "{}", set.stderr);
        let output = run(&home, &server);
        assert_eq!(output.code, 0, "{kind}: {}{}", set.stdout, output.stderr);
        let lines = delivered(&home);
        assert!(lines.contains(r#""after":{"id":1,"c0":7}"#), "{kind}: {lines}");
        assert_eq!(server.value("SELECT CONCAT(id, ' ', k0) FROM d.a"), "1 7", "the server's own word");
    }
}
