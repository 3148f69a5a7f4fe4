//! The lines that `fountain run` writes, compared to the letter with what the server says about its own binlog.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_until;
use serde_json::Value;
use serde_json::json;

const BEGINNING: &str = "start_without_point=beginning";

/// What stdout holds after `--until end` from the beginning.
fn text(server: &Server, pairs: &[&str]) -> String {
    let pairs = [&[BEGINNING, "sink=stdout"], pairs].concat();
    let output = run_until(&Fountain::new(), server, "end", &keys(&pairs));
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stdout
}

fn lines(server: &Server, pairs: &[&str]) -> Vec<Value> {
    parse(&text(server, pairs))
}

/// `op table ordinal` of each line, short enough to be compared at a glance.
fn summary(lines: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    lines
        .iter()
        .map(|line| match line.get("table") {
            Some(table) => format!("{} {} {}", word(&line["op"]), word(table), line["row"]),
            None => format!("{} {}", word(&line["op"]), line["row"]),
        })
        .collect()
}

// --------------------------------------------------------------------------------------------- every field of a row

/// Which second or millisecond a line carries.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// Each row event's own second: nothing else is logged.
    Event,
    /// The second of the GTID event.
    Gtid,
    /// The original commit timestamp, in milliseconds.
    OriginalCommit,
}

const FIRST: u64 = 1_700_000_000;
const SECOND: u64 = 1_700_000_007;

/// One transaction over several tables, one of which is not watched.
fn every_field(kind: Kind, options: &[&str], clock: Clock) {
    let Some(server) = Server::start_private(kind, options) else { return };
    server.sql(
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE orders (id int PRIMARY KEY, total decimal(9,2)) ENGINE=InnoDB;
         CREATE TABLE hidden (id int PRIMARY KEY) ENGINE=InnoDB;
         CREATE TABLE stock (v varchar(9), part bigint NOT NULL, UNIQUE KEY (part)) ENGINE=InnoDB;
         CREATE TABLE plain (v int) ENGINE=InnoDB",
    );
    let (file, from) = server.binlog_end();
    let mut session = server.session();
    if clock == Clock::OriginalCommit {
        session.sql(&format!("SET original_commit_timestamp={FIRST}123456"));
    }
    session
        .sql(&format!("SET timestamp={FIRST}; BEGIN; INSERT INTO shop.orders VALUES (1,'9.50'),(2,'0.10')"));
    session.sql("INSERT INTO shop.hidden VALUES (1),(2),(3)");
    if clock == Clock::Event {
        session.sql(&format!("SET timestamp={SECOND}"));
    }
    session.sql("UPDATE shop.orders SET total='12.00' WHERE id=1");
    session.sql("INSERT INTO shop.stock VALUES ('x',9007199254740993); DELETE FROM shop.orders WHERE id=2");
    session.sql("INSERT INTO shop.plain VALUES (NULL); COMMIT");

    // What the server says: where each event lies, and how the transaction is called.
    let events = server.binlog_events(&file, from);
    let compressed = events.iter().find(|event| event.kind.contains("payload"));
    let mut places: Vec<u64> =
        events.iter().filter(|event| event.kind.contains("_rows")).map(|event| event.pos).collect();
    if !kind.is_mysql() {
        places = events
            .iter()
            .filter(|event| event.kind.contains("_rows") && !event.kind.starts_with("Annotate"))
            .map(|event| event.pos)
            .collect();
    }
    assert_eq!(places.len(), 6, "an event for each statement: {events:?}");
    if let Some(payload) = compressed {
        places = vec![payload.pos; 6];
    }
    let gtid = events.iter().find(|event| event.kind == "Gtid").map(|event| match kind {
        Kind::Mariadb | Kind::Mariadb118 => event.info.trim_start_matches("BEGIN GTID ").to_owned(),
        Kind::Mysql56 | Kind::Mysql97 => {
            event.info.split('\'').nth(1).expect("the quoted name of the transaction").to_owned()
        }
    });
    assert_eq!(gtid.is_some(), clock != Clock::Event);

    let gtid_member = gtid.map_or_else(String::new, |gtid| format!("\"gtid\":\"{gtid}\","));
    let first_seq: u64 = 1;
    let line = |op_and_images: &str, key: &str, event: usize, row: u64, seq: u64| {
        let ts_ms = match clock {
            Clock::Event if event >= 2 => SECOND * 1000,
            Clock::Event | Clock::Gtid => FIRST * 1000,
            Clock::OriginalCommit => FIRST * 1000 + 123,
        };
        let (port, pos, seq) = (server.port(), places[event], first_seq + seq);
        format!(
            "{{{op_and_images},\"key\":{key},\"ts_ms\":{ts_ms},\"shard\":\"producer00\",\"server\":\"127.0.0.1:{port}\",\
             \"server_id\":1,{gtid_member}\"file\":\"{file}\",\"pos\":{pos},\"row\":{row},\"seq\":{seq}}}\n"
        )
    };
    let expected = [
        line(r#""op":"insert","database":"shop","table":"orders","after":{"id":1,"total":"9.50"}"#, r#"["id"]"#, 0, 0, 0),
        line(r#""op":"insert","database":"shop","table":"orders","after":{"id":2,"total":"0.10"}"#, r#"["id"]"#, 0, 1, 1),
        line(
            r#""op":"update","database":"shop","table":"orders","before":{"id":1,"total":"9.50"},"after":{"id":1,"total":"12.00"}"#,
            r#"["id"]"#,
            2,
            5,
            2,
        ),
        line(
            r#""op":"insert","database":"shop","table":"stock","after":{"v":"x","part":9007199254740993}"#,
            r#"["part"]"#,
            3,
            6,
            3,
        ),
        line(r#""op":"delete","database":"shop","table":"orders","before":{"id":2,"total":"0.10"}"#, r#"["id"]"#, 4, 7, 4),
        line(r#""op":"insert","database":"shop","table":"plain","after":{"v":null}"#, "[]", 5, 8, 5),
    ]
    .concat();
    let delivered = text(&server, &["filter_shard_table_black=shop.hidden", "dispatch_ddl=none"]);
    assert_eq!(delivered, expected, "{kind} {options:?}");

    let as_text =
        lines(&server, &["filter_shard_table_white=shop.stock", "json_bigint=string", "dispatch_ddl=none"]);
    assert_eq!(as_text[0]["after"], json!({"v": "x", "part": "9007199254740993"}));
}

#[test]
fn every_field_mysql56_without_gtids() {
    every_field(Kind::Mysql56, &[], Clock::Event);
}

#[test]
fn every_field_mysql56_gtid() {
    every_field(Kind::Mysql56, GTID, Clock::Gtid);
}

#[test]
fn every_field_mysql97() {
    every_field(Kind::Mysql97, &[GTID, &["--binlog-row-metadata=FULL"]].concat(), Clock::OriginalCommit);
}

#[test]
fn every_field_mysql97_minimal_metadata_compressed() {
    let options = [GTID, &["--binlog-transaction-compression=ON"]].concat();
    every_field(Kind::Mysql97, &options, Clock::OriginalCommit);
}

#[test]
fn every_field_mariadb() {
    every_field(Kind::Mariadb, &[], Clock::Gtid);
}

#[test]
fn every_field_mariadb_full_metadata() {
    every_field(Kind::Mariadb, &["--binlog-row-metadata=FULL"], Clock::Gtid);
}

#[test]
fn every_field_mariadb_118() {
    every_field(Kind::Mariadb118, &[], Clock::Gtid);
}

// ------------------------------------------------------------------------------- filters, DDL lines, transaction lines

/// Three tables of two databases in one transaction, DDL around it.
fn several_tables(server: &Server) {
    server.sql(
        "CREATE DATABASE a; CREATE DATABASE b; CREATE TABLE a.t1 (id int PRIMARY KEY) ENGINE=InnoDB;
         CREATE TABLE a.t2 (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE b.t1 (id int PRIMARY KEY) ENGINE=InnoDB;
         BEGIN; INSERT INTO a.t1 VALUES (1); INSERT INTO a.t2 VALUES (1),(2); INSERT INTO b.t1 VALUES (1);
         UPDATE a.t1 SET id=2; DELETE FROM a.t2 WHERE id=1; COMMIT;
         TRUNCATE TABLE a.t2; ALTER TABLE b.t1 COMMENT 'x'; DROP TABLE a.t1, a.t2;",
    );
}

#[test]
fn filters_leave_rows_out_and_count_them() {
    let Some(server) = Server::start_private(Kind::Mysql56, &[]) else { return };
    several_tables(&server);
    // The tables that are altered or gone behind their rows: their definitions have to come from somewhere.
    let definitions = Fountain::new();
    let file = definitions.home().join("definitions");
    let text = ["a.t1", "a.t2", "b.t1"].map(|name| {
        let (database, table) = name.split_once('.').expect("a database's table");
        let columns = json!([{"name": "id", "type": "int"}]);
        json!({"database": database, "table": table, "columns": columns, "key": ["id"]}).to_string()
    });
    std::fs::write(&file, text.join("\n")).expect("the file of definitions");
    let schema_file = format!("schema_file={}", file.display());
    let all = ["insert t1 0", "insert t2 1", "insert t2 2", "insert t1 3", "update t1 4", "delete t2 5"];
    let cases: &[(&[&str], &[usize])] = &[
        (&[], &[0, 1, 2, 3, 4, 5]),
        (&["filter_shard_table_white=a.t1"], &[0, 4]),
        (&["filter_shard_table_white=a.t1,b.t1"], &[0, 3, 4]),
        (&["filter_shard_table_black=a.t1"], &[1, 2, 3, 5]),
        (&["filter_shard_table_white=a\\..*", "filter_shard_table_black=a.t2"], &[0, 4]),
        (&["filter_shard_table_white=.*\\.t[2-9]"], &[1, 2, 5]),
        (&["filter_shard_table_white=(a|b)\\.t{1}1, x.y"], &[0, 3, 4]),
        // A regular expression has to match the whole name.
        (&["filter_shard_table_white=a\\.t"], &[]),
        (&["filter_shard_table_white=A.T1"], &[]),
        (&["filter_shard_table_black=.*"], &[]),
    ];
    for (pairs, expected) in cases {
        let delivered = summary(&lines(&server, &[pairs, &["dispatch_ddl=none", &schema_file][..]].concat()));
        let expected: Vec<&str> = expected.iter().map(|index| all[*index]).collect();
        assert_eq!(delivered, expected, "{pairs:?}");
    }
}

#[test]
fn ddl_lines() {
    let Some(server) = Server::start_private(Kind::Mariadb, &["--binlog-row-metadata=FULL"]) else { return };
    several_tables(&server);
    server.sql("USE a; CREATE TABLE t1 (id int); CREATE VIEW b.v AS SELECT 1; FLUSH TABLES; GRANT SELECT ON a.* TO repl@'%'");
    let told = |pairs: &[&str]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        lines(&server, pairs)
            .iter()
            .filter(|line| line["op"] == "ddl")
            .map(|line| (text(&line["database"]), text(&line["sql"])))
            .collect()
    };
    assert_eq!(told(&["dispatch_ddl=none"]), []);
    let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(database, sql)| ((*database).to_owned(), (*sql).to_owned())).collect()
    };
    let watched = told(&["filter_shard_table_white=a.t1"]);
    assert_eq!(
        watched,
        of(&[
            ("a", "CREATE DATABASE a"),
            ("", "CREATE TABLE a.t1 (id int PRIMARY KEY) ENGINE=InnoDB"),
            ("", "DROP TABLE `a`.`t1`,`a`.`t2` /* generated by server */"),
            ("a", "CREATE TABLE t1 (id int)"),
        ])
    );
    let watched = told(&["filter_shard_table_white=a.t2"]);
    assert!(watched.iter().any(|(_, sql)| sql == "TRUNCATE TABLE a.t2"), "{watched:?}");
    let all = told(&["dispatch_ddl=all", "filter_shard_table_white=a.t1"]);
    for expected in ["CREATE DATABASE b", "ALTER TABLE b.t1 COMMENT 'x'", "TRUNCATE TABLE a.t2"] {
        assert!(all.iter().any(|(_, sql)| sql == expected), "{expected} in {all:?}");
    }
    assert!(all.iter().any(|(_, sql)| sql.contains("VIEW")), "{all:?}");
    let rows = lines(&server, &["dispatch_ddl=all"]);
    let ddl = rows.iter().find(|line| line["op"] == "ddl").expect("a ddl line");
    let mut fields: Vec<_> = ddl.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "database",
            "file",
            "gtid",
            "op",
            "pos",
            "row",
            "seq",
            "server",
            "server_id",
            "shard",
            "sql",
            "ts_ms"
        ]
    );
}

#[test]
fn transaction_lines() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let options = [options, &["--binlog-row-metadata=FULL"]].concat();
        let Some(server) = Server::start_private(kind, &options) else { continue };
        several_tables(&server);
        let pairs = ["dispatch_transaction=true", "dispatch_ddl=none", "filter_shard_table_black=a.t2"];
        let lines = lines(&server, &pairs);
        let at = lines.iter().position(|line| line["table"] == "t1").expect("rows") - 1;
        let transaction = &lines[at..at + 5];
        assert_eq!(
            summary(transaction),
            ["begin 0", "insert t1 0", "insert t1 3", "update t1 4", "commit 6"],
            "{kind}"
        );
        let commit = &transaction[4];
        assert_eq!(
            (&commit["inserts"], &commit["updates"], &commit["deletes"]),
            (&json!(2), &json!(1), &json!(0)),
            "{kind}: rows delivered"
        );
        assert!(transaction.iter().all(|line| line["gtid"] == commit["gtid"] && line["gtid"].is_string()));
        assert!(transaction[0]["pos"].as_u64() < transaction[1]["pos"].as_u64(), "{kind}: begin comes first");
        assert!(commit["pos"].as_u64() > transaction[3]["pos"].as_u64(), "{kind}: the commit's own place");
    }
}

// ------------------------------------------------------------------------------------------------ shapes of tables

#[test]
fn a_minimal_row_image_leaves_columns_out() {
    for (kind, options) in [
        (Kind::Mysql56, &["--binlog-row-image=MINIMAL"][..]),
        (Kind::Mysql97, &["--binlog-row-image=MINIMAL", "--binlog-row-metadata=FULL"]),
        (Kind::Mariadb, &["--binlog-row-image=MINIMAL"]),
    ] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql(
            "CREATE DATABASE d; CREATE TABLE d.t (a int, id int PRIMARY KEY, b varchar(9) DEFAULT 'x', c int) ENGINE=InnoDB;
             INSERT INTO d.t (id, a) VALUES (1, 5); UPDATE d.t SET b=NULL WHERE id=1; DELETE FROM d.t",
        );
        let lines = lines(&server, &["dispatch_ddl=none"]);
        assert_eq!(summary(&lines), ["insert t 0", "update t 0", "delete t 0"]);
        let inserted = &lines[0]["after"];
        assert_eq!((&inserted["a"], &inserted["id"]), (&json!(5), &json!(1)), "{kind}");
        assert_eq!(lines[1]["before"], json!({"id": 1}), "{kind}");
        assert_eq!(lines[1]["after"], json!({"b": null}), "{kind}: null is not left out");
        assert_eq!(lines[2]["before"], json!({"id": 1}), "{kind}");
        assert!(lines.iter().all(|line| line["key"] == json!(["id"])));
    }
}

/// Names with quotes, backticks, dots, blanks, backslashes and letters of other alphabets; keys of several columns whose
/// order is not the table's; generated and invisible columns; keys over expressions.
#[test]
fn names_keys_and_special_columns() {
    for (kind, options) in [
        (Kind::Mysql56, &[][..]),
        (Kind::Mysql97, &["--binlog-row-metadata=FULL"]),
        (Kind::Mysql97, &["--binlog-row-metadata=MINIMAL"]),
        (Kind::Mariadb, &[]),
        (Kind::Mariadb, &["--binlog-row-metadata=FULL"]),
    ] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        let special = match kind {
            Kind::Mysql56 => "a int, v int, s int, h int DEFAULT 3",
            Kind::Mysql97 => {
                "a int, v int AS (a+1) VIRTUAL, s int AS (a*2) STORED, h int DEFAULT 3 INVISIBLE, KEY ((a+1))"
            }
            Kind::Mariadb | Kind::Mariadb118 => {
                "a int, v int AS (a+1) VIRTUAL, s int AS (a*2) PERSISTENT, h int INVISIBLE DEFAULT 3"
            }
        };
        let fill = if kind == Kind::Mysql56 { "(a,v,s) VALUES (1,2,2)" } else { "(a) VALUES (1)" };
        server.sql(&format!(
            "SET NAMES utf8mb4; CREATE DATABASE `we``ird \"d\".b`; USE `we``ird \"d\".b`;
             CREATE TABLE `t'.\"\\ ü日` (`b` int, `a\"\\ü` varchar(9) NOT NULL, `c``.d` int NOT NULL, PRIMARY KEY (`c``.d`, `a\"\\ü`)) ENGINE=InnoDB;
             INSERT INTO `t'.\"\\ ü日` VALUES (1, 'x', 2);
             CREATE TABLE special ({special}) ENGINE=InnoDB; INSERT INTO special {fill};
             CREATE TABLE two (x int, y int NOT NULL, z int NOT NULL, UNIQUE KEY n (x), UNIQUE KEY zy (z, y)) ENGINE=InnoDB;
             INSERT INTO two VALUES (NULL, 1, 2)"
        ));
        let lines = lines(&server, &["dispatch_ddl=none"]);
        let database = "we`ird \"d\".b";
        assert!(lines.iter().all(|line| line["database"] == database), "{kind}: {lines:?}");
        assert_eq!(lines[0]["table"], "t'.\"\\ ü日", "{kind} {options:?}");
        assert_eq!(lines[0]["after"], json!({"b": 1, "a\"\\ü": "x", "c`.d": 2}));
        assert_eq!(lines[0]["key"], json!(["c`.d", "a\"\\ü"]), "{kind} {options:?}: in the key's order");
        assert_eq!(lines[1]["after"], json!({"a": 1, "v": 2, "s": 2, "h": 3}), "{kind} {options:?}");
        assert_eq!(lines[1]["key"], json!([]), "{kind} {options:?}");
        assert_eq!(lines[2]["key"], json!(["z", "y"]), "{kind} {options:?}: a key that is never NULL");

        // The same names in a filter: anything but plain letters makes a regular expression.
        let white = "filter_shard_table_white=we`ird \"d\"\\.b\\.t'\\.\"\\\\ ü日";
        let filtered = self::lines(&server, &["dispatch_ddl=none", white]);
        assert_eq!(filtered.len(), 1, "{kind}: {filtered:?}");
    }
}

/// Rows delivered into files are the same lines.
#[test]
fn the_file_sink_holds_the_same_lines() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1),(2)");
    let filed = Delivered::run_until_end(&server, &["-D", BEGINNING]);
    assert_eq!(filed.lines, lines(&server, &[]));
}
