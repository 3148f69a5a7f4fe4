//! Definitions in time: rows that were logged without names get those of the time when they were logged, or the shard stops.
//! The definitions here keep their shape when they change, so nothing but the proof can notice.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::Session;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::refusal;
use harness::shapes;
use harness::shapes::Dice;
use harness::shapes::Oracle;
use harness::stored::data_in;
use std::path::Path;

/// Kinds whose rows come without names, by GTID where the server has them by default or is told to.
fn servers() -> impl Iterator<Item = Server> {
    let minimal: Vec<&str> = [GTID, &["--binlog-row-metadata=MINIMAL"]].concat();
    let kinds = [(Kind::Mysql56, vec![]), (Kind::Mysql97, minimal), (Kind::Mariadb, vec![])];
    kinds.into_iter().filter_map(|(kind, options)| Server::start_private(kind, &options))
}

/// Only the tables themselves, not what tools make beside them.
const WATCHED: &str = r"filter_shard_table_white=d\.[a-z]+[0-9]*";

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    run_until(home, server, "end", &keys(&[&["dispatch_ddl=none"], pairs].concat()))
}

/// What may happen to a table `{t}` behind a row, and whether the row's definition is still that of now.
const BEHIND: &[(&str, bool)] = &[
    ("ALTER TABLE {t} CHANGE c0 renamed int", false),
    ("ALTER TABLE {t} MODIFY c0 int unsigned", false),
    ("ALTER TABLE {t} MODIFY c1 enum('green','red')", false),
    ("ALTER TABLE {t} MODIFY c2 varchar(20) CHARACTER SET latin2", false),
    ("ALTER TABLE {t} ADD x int; ALTER TABLE {t} DROP x", false),
    ("RENAME TABLE {t} TO d.gone; RENAME TABLE d.gone TO {t}", false),
    (
        "USE d; DROP TABLE {t}; CREATE TABLE {t} (id int PRIMARY KEY, z0 int, z1 enum('a','b'), z2 varchar(20) CHARACTER SET latin1)",
        false,
    ),
    ("CREATE UNIQUE INDEX u ON {t} (c0)", false),
    ("TRUNCATE TABLE {t}", true),
    ("CREATE INDEX i ON {t} (c0)", true),
    ("CREATE TABLE IF NOT EXISTS {t} (id int)", true),
    ("ANALYZE TABLE {t}; OPTIMIZE TABLE {t}", true),
    ("CREATE TABLE d.other (id int PRIMARY KEY); ALTER TABLE d.other ADD c0 int; DROP TABLE d.other", true),
    ("CREATE VIEW d.v AS SELECT * FROM {t}; DROP VIEW d.v", true),
    ("ALTER DATABASE d CHARACTER SET utf8mb4", true),
];

/// Fountain comes when all has happened already, and knows nothing.
#[test]
fn whatever_lies_behind_a_row_that_may_have_changed_its_definition_stops_the_shard() {
    for server in servers() {
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(1));
        session.sql("CREATE DATABASE d");
        let tables: Vec<String> = (0..BEHIND.len()).map(|case| format!("d.t{case}")).collect();
        tables.iter().for_each(|table| shapes::create(&mut session, table, "c", 0));
        server.flush_logs();
        let begin = server.binlog_end();
        let begin = [
            format!("mysql_binlogdump_filename={}", begin.0),
            format!("mysql_binlogdump_position={}", begin.1),
        ];
        tables.iter().for_each(|table| oracle.insert(&mut session, table, &mut dice));
        for (table, (statements, _)) in tables.iter().zip(BEHIND) {
            session.sql(&statements.replace("{t}", table));
        }
        for (table, (statements, same)) in tables.iter().zip(BEHIND) {
            let home = Fountain::new();
            let watched = format!("filter_shard_table_white={table}");
            let output =
                run(&home, &server, &[&watched, &begin[0], &begin[1], "binlog_dump_strategy=position"]);
            let ids = oracle.check(&data_in(&home));
            if *same {
                assert_eq!(
                    (output.code, ids.len()),
                    (0, 1),
                    "{} {statements}: {}",
                    server.kind(),
                    output.stderr
                );
                continue;
            }
            let told = refusal(&output, "SCHEMA_DIFF");
            let verb =
                statements.split_whitespace().find(|word| *word != "USE" && *word != "d;").unwrap_or("");
            for part in [table.as_str(), verb, "schema_file", "Logged: (INT, INT, ENUM"] {
                assert!(told.contains(part), "{}: {part} in {told}", server.kind());
            }
            assert!(ids.is_empty(), "{} {statements}", server.kind());
        }
    }
}

/// What users do daily: Fountain runs, and tables are altered by hand and by tools. Nothing stops it.
#[test]
fn a_stream_that_keeps_up_goes_on_through_every_change() {
    for server in servers() {
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(2));
        session.sql("CREATE DATABASE d");
        let home = Fountain::new();
        let pairs = ["start_without_point=beginning", "dispatch_ddl=none", WATCHED];
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
        shapes::create(&mut session, "d.a", "c", 0);
        shapes::create(&mut session, "d.b", "k", 7);
        let mut step = |session: &mut Session, oracle: &mut Oracle, what: &str| {
            for table in ["d.a", "d.b"] {
                oracle.insert(session, table, &mut dice);
                oracle.update(session, table);
            }
            let rows = oracle.len();
            run.wait_for(what, PATIENCE, |_| oracle.check(&data_in(&home)).len() == rows);
        };
        step(&mut session, &mut oracle, "the first rows");
        shapes::swap(&mut session, "d.a", "d.b");
        step(&mut session, &mut oracle, "swapped");
        session.sql("ALTER TABLE d.a CHANGE k0 renamed int; TRUNCATE d.b");
        step(&mut session, &mut oracle, "altered and emptied");
        shapes::gh_ost(&mut session, "d.a", "MODIFY renamed int unsigned");
        step(&mut session, &mut oracle, "gh-ost");
        shapes::pt_osc(&mut session, "d.b", "MODIFY c2 varchar(20) CHARACTER SET latin2");
        step(&mut session, &mut oracle, "pt-online-schema-change");
        session.sql("DROP TABLE d.a");
        shapes::create(&mut session, "d.a", "anew", 3);
        step(&mut session, &mut oracle, "made anew");
        instant_and_generated(&server, &mut session);
        step(&mut session, &mut oracle, "instant and generated");
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}: {}", server.kind(), output.stderr);
    }
}

/// ALTERs that only newer servers know.
fn instant_and_generated(server: &Server, session: &mut Session) {
    match server.kind() {
        Kind::Mysql56 => session.sql("ALTER TABLE d.a CHANGE anew0 again int unsigned, ALGORITHM=INPLACE"),
        Kind::Mysql97 => session.sql(
            "ALTER TABLE d.a RENAME COLUMN anew0 TO again, ALGORITHM=INSTANT;
             ALTER TABLE d.b ALTER COLUMN c1 SET INVISIBLE; ALTER TABLE d.b ALTER COLUMN c1 SET VISIBLE",
        ),
        Kind::Mariadb | Kind::Mariadb118 => {
            session.sql("ALTER TABLE d.a CHANGE anew0 again int unsigned, ALGORITHM=INSTANT; ALTER TABLE d.b MODIFY c1 enum('red','green','blue'), ALGORITHM=INSTANT")
        }
    }
}

/// What was proven holds over restarts, by a kill too, also when DDL came while Fountain was down.
#[test]
fn what_was_proven_is_known_after_a_restart() {
    for server in servers() {
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(3));
        session.sql("CREATE DATABASE d");
        shapes::create(&mut session, "d.a", "c", 0);
        oracle.insert(&mut session, "d.a", &mut dice);
        let home = Fountain::new();
        let pairs = ["start_without_point=beginning", WATCHED];
        assert_eq!(run(&home, &server, &pairs).code, 0);
        let ledger = || std::fs::read_to_string(home.home().join("points/producer00.schema"));
        assert!(ledger().expect("a ledger").contains(r#""name":"c0""#));
        // Rows, DDL, rows, all while it is down.
        oracle.insert(&mut session, "d.a", &mut dice);
        session.sql("ALTER TABLE d.a CHANGE c0 renamed int unsigned");
        oracle.insert(&mut session, "d.a", &mut dice);
        let output = run(&home, &server, &pairs);
        assert_eq!(output.code, 0, "{}: {}", server.kind(), output.stderr);
        assert_eq!(oracle.check(&data_in(&home)), [1, 2, 3], "{}", server.kind());
        // The same, and a kill in between: once the ledger knows, the kill changes nothing.
        let mut live = home.spawn(&run_arguments(&home, &server, &keys(&["dispatch_ddl=none", WATCHED])));
        oracle.insert(&mut session, "d.a", &mut dice);
        live.wait_for("row 4", PATIENCE, |_| oracle.check(&data_in(&home)).len() == 4);
        live.wait_for("the ledger", PATIENCE, |_| {
            ledger().is_ok_and(|text| text.matches("renamed").count() == 1)
        });
        live.kill9();
        oracle.insert(&mut session, "d.a", &mut dice);
        shapes::gh_ost(&mut session, "d.a", "CHANGE renamed third int");
        oracle.insert(&mut session, "d.a", &mut dice);
        let output = run(&home, &server, &pairs);
        assert_eq!(output.code, 0, "{}: {}", server.kind(), output.stderr);
        assert_eq!(oracle.check(&data_in(&home)), [1, 2, 3, 4, 5, 6], "{}", server.kind());
    }
}

/// Without the ledger nothing is known, and what was altered meanwhile is not guessed.
#[test]
fn a_ledger_that_is_gone_costs_a_proof_and_one_that_is_torn_is_told() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(4));
    session.sql("CREATE DATABASE d");
    shapes::create(&mut session, "d.a", "c", 0);
    oracle.insert(&mut session, "d.a", &mut dice);
    let home = Fountain::new();
    let pairs = ["start_without_point=beginning", WATCHED];
    assert_eq!(run(&home, &server, &pairs).code, 0);
    let path = home.home().join("points/producer00.schema");
    let good = std::fs::read(&path).expect("a ledger");
    oracle.insert(&mut session, "d.a", &mut dice);
    std::fs::write(&path, &good[..good.len() / 2]).expect("cannot write");
    let output = run(&home, &server, &pairs);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("producer00.schema") && output.stderr.contains("delete it"),
        "{}",
        output.stderr
    );
    std::fs::remove_file(&path).expect("cannot remove");
    assert_eq!(run(&home, &server, &pairs).code, 0);
    oracle.insert(&mut session, "d.a", &mut dice);
    session.sql("ALTER TABLE d.a CHANGE c0 renamed int");
    std::fs::remove_file(&path).expect("cannot remove");
    assert!(refusal(&run(&home, &server, &pairs), "SCHEMA_DIFF").contains("`renamed` int"));
    assert_eq!(oracle.check(&data_in(&home)), [1, 2]);
}

/// The entry of a table in a file of definitions, with columns of that name.
fn entry(names: &str) -> String {
    let column = |column: usize, text: &str| format!(r#"{{"name":"{names}{column}","type":"{text}"}}"#);
    format!(
        r#"{{"database":"d","table":"a","columns":[{{"name":"id","type":"int"}},{},{},{{"name":"{names}2","type":"varchar(20)","charset":"latin1"}}],"key":["id"]}}"#,
        column(0, "int"),
        column(1, "enum('red','green')")
    )
}

/// A file's entry holds for the rows at which the shard stopped, until a DDL of its table; then its text is used up.
#[test]
fn an_entry_of_a_schema_file_holds_until_the_next_ddl() {
    for server in servers() {
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(5));
        session.sql("CREATE DATABASE d");
        shapes::create(&mut session, "d.a", "c", 0);
        for new in ["k", "l"] {
            oracle.insert(&mut session, "d.a", &mut dice);
            let old = if new == "k" { "c" } else { "k" };
            session.sql(&format!("ALTER TABLE d.a CHANGE {old}0 {new}0 int, CHANGE {old}1 {new}1 enum('red','green'), CHANGE {old}2 {new}2 varchar(20) CHARACTER SET latin1"));
        }
        oracle.insert(&mut session, "d.a", &mut dice);
        let home = Fountain::new();
        let file = home.write("schema.jsonl", &entry("c"));
        let schema_file = format!("schema_file={}", file.display());
        let pairs = ["start_without_point=beginning", WATCHED, &schema_file];
        // The first row is read by it, the second is not.
        let output = run(&home, &server, &pairs);
        assert!(
            refusal(&output, "SCHEMA_DIFF").contains("CHANGE k0"),
            "{}: {}",
            server.kind(),
            output.stderr
        );
        assert_eq!(oracle.check(&data_in(&home)), [1]);
        refusal(&run(&home, &server, &pairs), "SCHEMA_DIFF");
        home.write("schema.jsonl", &entry("k"));
        let output = run(&home, &server, &pairs);
        assert_eq!(output.code, 0, "{}: {}", server.kind(), output.stderr);
        assert_eq!(oracle.check(&data_in(&home)), [1, 2, 3], "{}", server.kind());
    }
}

/// Looking ahead takes an id of its own: neither the stream nor another look ahead is ended by it, and nobody sees it among
/// the server's replicas afterwards.
#[test]
fn looking_ahead_disturbs_no_stream() {
    for server in servers() {
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(6));
        session.sql("CREATE DATABASE d");
        let home = Fountain::new();
        let pairs = ["start_without_point=beginning", "dispatch_ddl=none", WATCHED];
        let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
        for number in 0..10 {
            let table = format!("d.t{number}");
            shapes::create(&mut session, &table, "c", number);
            oracle.insert(&mut session, &table, &mut dice);
        }
        run.wait_for("all rows", PATIENCE, |_| oracle.check(&data_in(&home)).len() == oracle.len());
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        for word in ["reconnecting", "REPLICA_ID_CLASH", "WARN"] {
            assert!(!output.stderr.contains(word), "{}: {word} in {}", server.kind(), output.stderr);
        }
        assert_eq!(output.stderr.matches(" connected: ").count(), 1, "{}", output.stderr);
        assert!(Path::new(&home.home().join("points/producer00.schema")).exists());
    }
}
