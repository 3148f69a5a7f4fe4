//! `fountain run --until`: where a run ends, and that the next one goes on there.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::parse;
use harness::delivered::run_until;
use harness::stored::data_in;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

const FROM_BEGINNING: &[&str] = &["-D", "start_without_point=beginning"];

/// Every server with the ways in which it can be followed: options, and the dump strategy.
const WAYS: &[(Kind, &[&str], &str)] = &[
    (Kind::Mysql56, &[], "auto"),
    (Kind::Mysql56, GTID, "gtid"),
    (Kind::Mysql97, GTID, "auto"),
    (Kind::Mysql97, GTID, "position"),
    (Kind::Mariadb, &[], "auto"),
    (Kind::Mariadb, &[], "position"),
];

/// The bytes of an undisturbed run from the beginning to the end.
fn undisturbed(server: &Server, strategy: &[&str]) -> String {
    let home = Fountain::new();
    let output = run_until(&home, server, "end", strategy);
    assert_eq!(output.code, 0, "{}", output.stderr);
    data_in(&home)
}

fn in_good_order(output: &Output, context: &str) {
    assert_eq!(output.code, 0, "{context}: {}", output.stderr);
    let trouble = output.stderr.lines().find(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(trouble, None, "{context}");
}

#[test]
fn nothing_to_do_is_success() {
    for (kind, options, strategy) in WAYS {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        let strategy = format!("binlog_dump_strategy={strategy}");
        let home = Fountain::new();
        // A fresh server, then one with something in it, always from the end; then from the point.
        in_good_order(&run_until(&home, &server, "end", &["-D", &strategy]), "from the end");
        let other = Fountain::new();
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
        in_good_order(&run_until(&other, &server, "end", &["-D", &strategy]), "from the end");
        assert_eq!(data_in(&other), "", "{kind}");
        for round in 0..3 {
            in_good_order(&run_until(&home, &server, "end", &["-D", &strategy]), "from the point");
            assert_eq!(parse(&data_in(&home)).len(), 2, "{kind} {strategy}: round {round}");
            if round == 1 {
                server.flush_logs();
            }
        }
    }
}

/// What was there when the run connected is delivered, and the run ends although more is written all the time.
#[test]
fn an_end_is_found_while_writes_go_on() {
    for (kind, options, strategy) in &WAYS[1..] {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int AUTO_INCREMENT PRIMARY KEY, v varchar(300)) ENGINE=InnoDB");
        let over = Arc::new(AtomicBool::new(false));
        let (seen, mut session) = (over.clone(), server.session());
        let writer = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                session.sql("INSERT INTO d.t (v) VALUES (REPEAT('x',300)),(REPEAT('y',300))");
            }
        });
        let strategy = format!("binlog_dump_strategy={strategy}");
        let home = Fountain::new();
        let mut last = 0;
        for _ in 0..5 {
            let mut before: u64 = 0;
            harness::wait_until("the writer goes on", PATIENCE, || {
                before = server.value("SELECT COUNT(*) FROM d.t").parse().expect("a number");
                before > last
            });
            in_good_order(
                &run_until(&home, &server, "end", &[FROM_BEGINNING, &["-D", &strategy]].concat()),
                "",
            );
            let rows = parse(&data_in(&home)).iter().filter(|line| line["op"] == "insert").count() as u64;
            assert!(rows >= before && rows > last, "{kind} {strategy}: {rows} of {before}");
            last = rows;
        }
        over.store(true, Ordering::Relaxed);
        writer.join().expect("the writer");
        in_good_order(&run_until(&home, &server, "end", &["-D", &strategy]), "");
        let ids: Vec<u64> = parse(&data_in(&home))
            .iter()
            .filter(|line| line["op"] == "insert")
            .map(|line| line["after"]["id"].as_u64().expect("id"))
            .collect();
        let count: u64 = server.value("SELECT COUNT(*) FROM d.t").parse().expect("a number");
        assert!(ids.iter().copied().eq(1..=count), "{kind} {strategy}: each row once, in order");
    }
}

/// Transactions of one and of many events, DDL, a rollback, several files.
fn workload(server: &Server) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v int) ENGINE=InnoDB; CREATE TABLE d.passed (id int) ENGINE=InnoDB;
         INSERT INTO d.t VALUES (1,1),(2,2); BEGIN; INSERT INTO d.t VALUES (3,3); UPDATE d.t SET v=9; DELETE FROM d.t WHERE id=1; COMMIT;
         INSERT INTO d.passed VALUES (1)",
    );
    server.flush_logs();
    server.sql(
        "INSERT INTO d.t VALUES (4,4); BEGIN; INSERT INTO d.t VALUES (5,5); ROLLBACK; ALTER TABLE d.t COMMENT 'x';
         INSERT INTO d.passed VALUES (2); INSERT INTO d.t VALUES (6,6)",
    );
    server.flush_logs();
    server.sql("DELETE FROM d.t");
}

/// The table is altered behind its rows: what it was comes from a file.
fn definition(home: &Fountain) -> String {
    let file = home.home().join("definitions");
    std::fs::write(&file, DEFINITION).expect("the file of definitions");
    format!("schema_file={}", file.display())
}

const DEFINITION: &str = r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"},{"name":"v","type":"int"}],"key":["id"]}"#;

fn place(line: &Value) -> (String, u64) {
    (line["file"].as_str().expect("file").to_owned(), line["pos"].as_u64().expect("pos"))
}

/// Stopped before every event of the binlog in turn: never a row too many, never one lost or repeated.
#[test]
fn a_position_is_exclusive_and_transactions_stay_whole() {
    for (kind, options, strategy) in WAYS.iter().filter(|(_, _, strategy)| *strategy != "gtid") {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        workload(&server);
        let strategy = format!("binlog_dump_strategy={strategy}");
        let home = Fountain::new();
        let passed = "filter_shard_table_black=d.passed";
        let definition = definition(&home);
        let extra = [FROM_BEGINNING, &["-D", &strategy, "-D", passed, "-D", &definition]].concat();
        let whole = undisturbed(&server, &extra);
        let rows = parse(&whole).iter().filter(|line| line["op"] != "ddl").count();
        assert_eq!(rows, 13, "{kind} {strategy}");

        for path in server.binlogs() {
            let file = path.file_name().and_then(|name| name.to_str()).expect("a file name").to_owned();
            let mut transaction_begins = 0;
            for event in server.binlog_events(&file, 4) {
                let begins = event.info == "BEGIN" || event.info.starts_with("BEGIN GTID");
                let gtid = matches!(event.kind.as_str(), "Gtid" | "Anonymous_Gtid");
                if gtid || begins && transaction_begins == 0 {
                    transaction_begins = event.pos;
                }
                let until = format!("{file}:{}", event.pos);
                let context = format!("{kind} {strategy} until {until} ({})", event.kind);
                in_good_order(&run_until(&home, &server, &until, &extra), &context);
                let so_far = data_in(&home);
                assert!(whole.starts_with(&so_far), "{context}: {so_far}");
                let last = parse(&so_far).last().map(place);
                if transaction_begins == 0
                    && let Some(last) = last
                {
                    assert!(last < (file.clone(), event.pos), "{context}: {last:?}");
                }
                let ends = event.kind == "Xid"
                    || event.kind == "Query" && event.info != "BEGIN"
                    || event.info == "ROLLBACK";
                if ends {
                    transaction_begins = 0;
                }
            }
        }
        in_good_order(&run_until(&home, &server, "end", &extra), "the rest");
        assert_eq!(data_in(&home), whole, "{kind} {strategy}");
    }
}

/// A file of another name than the server's own will never come: nobody waits for it.
#[test]
fn a_file_that_the_server_cannot_have() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        let output = run_until(&Fountain::new(), &server, "mysql-bin.000001:4", &[]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        for part in ["USAGE", "mysql-bin.000001:4", "binlog.000001"] {
            assert!(output.stderr.contains(part), "{kind}: {part} in {}", output.stderr);
        }
    }
}

#[test]
fn a_gtid_set_ends_a_run() {
    for (kind, strategy) in [(Kind::Mysql56, "auto"), (Kind::Mysql97, "gtid")] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        workload(&server);
        let strategy = format!("binlog_dump_strategy={strategy}");
        let home = Fountain::new();
        let definition = definition(&home);
        let extra = [FROM_BEGINNING, &["-D", &strategy, "-D", &definition]].concat();
        let whole = undisturbed(&server, &extra);
        let uuid = server.value("SELECT @@server_uuid");
        let executed = server.gtid_executed();
        let count: u64 = executed.rsplit('-').next().and_then(|end| end.parse().ok()).expect("a range");
        let number_of = |line: &str| -> u64 {
            let gtid = parse(line)[0]["gtid"].as_str().expect("gtid").to_owned();
            gtid.rsplit(':').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        for number in 1..=count {
            in_good_order(
                &run_until(&home, &server, &format!("{uuid}:1-{number}"), &extra),
                &kind.to_string(),
            );
            let wanted: String =
                whole.split_inclusive('\n').filter(|line| number_of(line) <= number).collect();
            assert!(data_in(&home) == wanted, "{kind}: until {number}: {}", data_in(&home));
        }
        assert_eq!(data_in(&home), whole, "{kind}");
        // A set that is there already is success too, and one that cannot be compared is refused.
        in_good_order(&run_until(&home, &server, &format!("{uuid}:1"), &extra), "an old set");
        let by_position = run_until(
            &Fountain::new(),
            &server,
            &format!("{uuid}:1"),
            &[FROM_BEGINNING, &["-D", "binlog_dump_strategy=position"]].concat(),
        );
        assert_eq!(by_position.code, 1, "{}", by_position.stderr);
        assert!(
            by_position.stderr.contains("USAGE") && by_position.stderr.contains("FILE:POS"),
            "{}",
            by_position.stderr
        );
    }
}

/// Two shards, each with its own end; and one of them alone, by its name.
#[test]
fn several_shards_and_one_of_them() {
    let Some(one) = Server::start_private(Kind::Mysql56, &[]) else { return };
    let Some(two) = Server::start_private(Kind::Mariadb, &[]) else { return };
    for server in [&one, &two] {
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
    }
    two.flush_logs();
    two.sql("INSERT INTO d.t VALUES (2); INSERT INTO d.t VALUES (3)");
    let home = Fountain::new();
    let mut shards = one.shard_arguments(0, home.home());
    shards.extend(two.shard_arguments(7, home.home()).into_iter().take(4));
    let keys =
        ["mysql_shard_7_name=second", "sink=file", "start_without_point=beginning", "dispatch_ddl=none"];
    shards.extend(keys.iter().flat_map(|key| ["-D".to_owned(), (*key).to_owned()]));
    let run = |until: &str| {
        home.run(
            &[vec!["run".to_owned(), "--until".to_owned(), until.to_owned()], shards.clone()].concat(),
            PATIENCE,
        )
    };
    let rows = |shard: &str| parse(&data_in(&home)).iter().filter(|line| line["shard"] == shard).count();

    let (file, pos) = two.binlog_end();
    let before_last = two
        .binlog_events(&file, 4)
        .iter()
        .rev()
        .find(|event| event.kind == "Gtid")
        .expect("a transaction")
        .pos;
    let output = run(&format!("{file}:{pos}"));
    assert_eq!(output.code, 2, "a place needs a shard: {}", output.stderr);
    in_good_order(&run(&format!("second={file}:{before_last}")), "the second shard alone");
    assert_eq!((rows("producer00"), rows("second")), (0, 2));
    in_good_order(&run("end"), "both");
    assert_eq!((rows("producer00"), rows("second")), (1, 3));
    in_good_order(&run("end"), "nothing to do for both");
    assert_eq!((rows("producer00"), rows("second")), (1, 3));
}
