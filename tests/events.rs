//! Events that only some servers write, or write only when told to: each on a real one, against what the server says.

mod harness;

use base64::Engine as _;
use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::assert_refused;
use harness::delivered::Delivered;
use harness::delivered::as_paths;
use harness::delivered::cat;
use harness::delivered::counts;
use harness::delivered::row_lines;
use harness::delivered::run_until;
use serde_json::Value;
use serde_json::json;
use std::path::PathBuf;

const BEGINNING: &[&str] = &["-D", "start_without_point=beginning"];

/// The kinds of events that the server itself lists in its binlogs.
fn kinds_of_events(server: &Server) -> Vec<String> {
    let files = server.binlogs();
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let events = files.iter().filter_map(name).flat_map(|name| server.binlog_events(&name, 4));
    events.map(|event| event.kind).collect()
}

// ------------------------------------------------------------------------------------------ MariaDB, compressed

/// Each way in which a session can pack a column, in events that are packed too.
fn compressed_columns(kind: Kind, options: &[&str]) {
    let always = ["--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    let Some(server) = Server::start_private(kind, &[&always, options].concat()) else { return };
    server.sql(
        "CREATE DATABASE c CHARACTER SET utf8mb4; CREATE TABLE c.t (id INT PRIMARY KEY AUTO_INCREMENT,
         v VARCHAR(2000) COMPRESSED, b VARBINARY(2000) COMPRESSED, t MEDIUMTEXT COMPRESSED CHARACTER SET latin1,
         l LONGBLOB COMPRESSED) ENGINE=InnoDB",
    );
    let settings = [
        "column_compression_threshold=0",
        "column_compression_threshold=100000",
        "column_compression_zlib_wrap=ON",
        "column_compression_zlib_wrap=OFF",
        "column_compression_zlib_level=0",
        "column_compression_zlib_level=9",
        "column_compression_zlib_strategy=HUFFMAN_ONLY",
        "column_compression_zlib_strategy=RLE",
        "column_compression_zlib_strategy=FIXED",
    ];
    for setting in settings {
        server.sql(&format!(
            "SET {setting}; SET NAMES utf8mb4; INSERT INTO c.t (v,b,t,l) VALUES
             ('','','',''), (NULL,NULL,NULL,NULL), ('a',X'00','é',X'ff'),
             (REPEAT('grün😀',200), REPEAT(X'0001ff',600), REPEAT('déjà vu ',50000), REPEAT(X'00',200000)),
             (SHA2('x',512), SHA2('y',512), SHA2('z',512), UNHEX(SHA2('w',512)))"
        ));
    }
    server.sql("UPDATE c.t SET v=CONCAT(IFNULL(v,''),'!'), id=id+1000; DELETE FROM c.t WHERE id % 2");
    let kinds = kinds_of_events(&server);
    for event in [
        "Write_rows_compressed_v1",
        "Update_rows_compressed_v1",
        "Delete_rows_compressed_v1",
        "Query_compressed",
    ] {
        assert!(kinds.iter().any(|kind| kind == event), "{event} expected among {kinds:?}");
    }

    let delivered = Delivered::run_until_end(&server, BEGINNING);
    let updated: Vec<&Value> =
        row_lines(&delivered.lines, "c", "t").into_iter().filter(|line| line["op"] == "update").collect();
    let kept: Vec<&&Value> =
        updated.iter().filter(|line| line["after"]["id"].as_i64().map(|id| id % 2) == Some(0)).collect();
    let told = server.select("SELECT id, v, HEX(b), CONVERT(t USING utf8mb4), HEX(l) FROM c.t ORDER BY id");
    assert!(told.len() > 20, "{}", told.len());
    assert_eq!(kept.len(), told.len());
    for (line, row) in kept.iter().zip(&told) {
        let after = &line["after"];
        assert_eq!(after["id"].to_string(), *row[0].as_ref().expect("an id"));
        assert_eq!(after["v"].as_str(), row[1].as_deref());
        assert_eq!(hex_of(&after["b"]), row[2]);
        assert_eq!(after["t"].as_str(), row[3].as_deref());
        assert_eq!(hex_of(&after["l"]), row[4]);
    }
    let files = server.binlogs();
    let home = Fountain::new();
    let extra = server.shard_arguments(0, home.home());
    let catted = Delivered::cat(&as_paths(&files), &extra);
    assert_eq!(counts(&catted.lines), server.mysqlbinlog_counts(&files));
}

fn hex_of(value: &Value) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).expect("base64");
    Some(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}

#[test]
fn compressed_columns_mariadb() {
    compressed_columns(Kind::Mariadb, &[]);
}

#[test]
fn compressed_columns_mariadb118_full_metadata() {
    compressed_columns(Kind::Mariadb118, &["--binlog-row-metadata=FULL"]);
}

/// Without a definition the packed columns are read all the same; only names and character sets are missing.
#[test]
fn compressed_columns_without_a_definition() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql(
        "CREATE DATABASE c; CREATE TABLE c.t (v VARCHAR(900) COMPRESSED, b BLOB COMPRESSED) ENGINE=InnoDB",
    );
    server.sql("INSERT INTO c.t VALUES (REPEAT('xy',300), REPEAT(X'fe',300)), ('', NULL)");
    let catted = Delivered::cat(&as_paths(&server.binlogs()), &[]);
    let rows = row_lines(&catted.lines, "c", "t");
    let base64 = base64::engine::general_purpose::STANDARD.encode([0xfe; 300]);
    assert_eq!(rows[0]["after"], json!({"@1": "xy".repeat(300), "@2": {"$base64": base64}}));
    assert_eq!(rows[1]["after"], json!({"@1": "", "@2": null}));
}

// ------------------------------------------------------------------------------------------------------ encrypted

const KEY: &str = "1;00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

/// The server decrypts for its replicas; the files stay unreadable.
#[test]
fn encrypted_binlogs_of_mariadb() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("keys");
    std::fs::write(&key, KEY).expect("a key file");
    let file = format!("--file-key-management-filename={}", key.display());
    let options = ["--plugin-load-add=file_key_management", &file, "--encrypt-binlog=ON"];
    let Some(server) = Server::start_private(Kind::Mariadb, &options) else { return };
    encrypted(&server, "encrypt_binlog");
    assert!(kinds_of_events(&server).contains(&"Start_encryption".to_owned()));
}

#[test]
fn encrypted_binlogs_of_mysql() {
    let Some(mut server) = Server::start_private(Kind::Mysql97, &[]) else { return };
    let datadir = server.datadir().to_owned();
    let keyring = json!({"path": datadir.join("keyring"), "read_only": false}).to_string();
    std::fs::write(datadir.join("mysqld.my"), r#"{"components":"file://component_keyring_file"}"#)
        .expect("a manifest");
    std::fs::write(datadir.join("component_keyring_file.cnf"), keyring).expect("its configuration");
    server.restart_with(&["--binlog-encryption=ON"]);
    let active = "SELECT STATUS_VALUE FROM performance_schema.keyring_component_status WHERE STATUS_KEY='Component_status'";
    assert_eq!(server.value(active), "Active");
    server.flush_logs();
    server.sql("PURGE BINARY LOGS BEFORE NOW()");
    encrypted(&server, "binlog_encryption");
}

fn encrypted(server: &Server, by: &str) {
    server.sql("CREATE DATABASE e; CREATE TABLE e.t (id INT PRIMARY KEY, v MEDIUMTEXT) ENGINE=InnoDB");
    server.sql("INSERT INTO e.t VALUES (1,'secret'),(2,REPEAT('y',70000)); UPDATE e.t SET v=CONCAT(v,'!'); DELETE FROM e.t WHERE id=1");
    server.flush_logs();
    server.sql("INSERT INTO e.t VALUES (3,'in another file')");
    let delivered = Delivered::run_until_end(server, BEGINNING);
    assert_eq!(counts(&delivered.lines), (3, 2, 1));
    let last = row_lines(&delivered.lines, "e", "t").pop().expect("a row").clone();
    assert_eq!(last["after"], json!({"id": 3, "v": "in another file"}));
    for file in server.binlogs().iter().rev().take(2) {
        let bytes = std::fs::read(file).expect("a binlog");
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "{} is not encrypted", file.display());
        let output = cat(&[file], &[]);
        assert_refused(
            &output,
            1,
            "ENCRYPTED",
            &[by, "read it from the server", file.to_str().expect("UTF-8")],
        );
        assert_eq!(output.stdout, "");
    }
}

// ----------------------------------------------------------------------------------------------------- statements

/// What statements need besides their text: numbers given out, random seeds, variables of each type, the time.
const STATEMENTS: &[&str] = &[
    "INSERT INTO t (v) VALUES ('one'),('two')",
    "INSERT INTO t (v, at) VALUES (RAND(), NOW())",
    "INSERT INTO t (v) VALUES (CONCAT(@x, '-', @n, '-', @neg, '-', @dec, '-', @real, '-', IFNULL(@nul, 'null')))",
    "INSERT INTO t (v) SELECT CONCAT(v, LAST_INSERT_ID()) FROM t WHERE id = 1",
    "UPDATE t SET v = CONCAT(v, '\\'', \"ü\") WHERE id = 2",
    "DELETE FROM t WHERE id = 1",
];

const SESSION: &str = "SET NAMES utf8mb4; SET SESSION binlog_format=STATEMENT; SET sql_mode='';
    SET @x='für 😀', @n=42, @neg=-7, @dec=-12.3400, @real=1.5e300, @nul=NULL;";

/// Delivered statements, run with what is delivered beside them, give the same table.
fn statements(kind: Kind) {
    let Some(server) = Server::start_private(kind, &["--loose-log-bin-trust-function-creators=ON"]) else {
        return;
    };
    let table =
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(400), at DATETIME) ENGINE=InnoDB";
    server.sql(&format!("CREATE DATABASE s CHARACTER SET utf8mb4; CREATE DATABASE copy CHARACTER SET utf8mb4; USE s; {table}; USE copy; {table}"));
    server.sql(&format!("{SESSION} SET TIMESTAMP=1234567890; USE s; {};", STATEMENTS.join("; ")));

    let home = Fountain::new();
    let stopped = run_until(&home, &server, "end", BEGINNING);
    assert_refused(
        &stopped,
        1,
        "STATEMENT_DML",
        &["binlog_format=ROW", "statement_dml=deliver", "INSERT INTO t (v) VALUES (?)"],
    );
    assert!(!stopped.stderr.contains("'one'"), "values stay out of messages");

    let deliver = [BEGINNING, &["-D", "statement_dml=deliver"]].concat();
    let delivered = Delivered::run_until_end(&server, &deliver);
    let lines: Vec<&Value> = delivered.lines.iter().filter(|line| line["op"] == "statement").collect();
    assert_eq!(lines.len(), STATEMENTS.len(), "{:?}", delivered.lines);
    for (line, statement) in lines.iter().zip(STATEMENTS) {
        assert_eq!(line["sql"], *statement);
        assert_eq!(line["database"], "s");
        let replay = format!(
            "SET NAMES utf8mb4; SET {}; USE copy; {};",
            line["set"].as_str().expect("assignments"),
            line["sql"].as_str().expect("a statement")
        );
        server.sql(&replay);
    }
    let rows = |database: &str| server.select(&format!("SELECT id, v, at FROM {database}.t ORDER BY id"));
    assert_eq!(rows("s").len(), 4);
    assert_eq!(rows("copy"), rows("s"), "{lines:?}");
    assert!(rows("s")[1][2].as_deref().is_some_and(|at| at.starts_with("2009-02-1")), "{:?}", rows("s"));
}

#[test]
fn statements_mysql56() {
    statements(Kind::Mysql56);
}

#[test]
fn statements_mysql97() {
    statements(Kind::Mysql97);
}

#[test]
fn statements_mariadb() {
    statements(Kind::Mariadb);
}

/// LOAD DATA is rows in a row binlog; as a statement it is its text, and the file's contents stay behind.
fn load_data(kind: Kind, load_options: &[&str]) {
    let Some(server) = Server::start_private(kind, load_options) else { return };
    let file = server.datadir().join("rows.txt");
    let text: String = (0..3000).map(|id| format!("{id}\tvalue {id}\n")).collect();
    std::fs::write(&file, text).expect("a file to load");
    let load = format!("LOAD DATA INFILE '{}' INTO TABLE", file.display());
    server.sql("CREATE DATABASE l; CREATE TABLE l.t (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB; CREATE TABLE l.u LIKE l.t");
    server.sql(&format!("USE l; {load} t"));
    let rows = Delivered::run_until_end(&server, BEGINNING);
    assert_eq!(counts(&rows.lines), (3000, 0, 0));
    let last = row_lines(&rows.lines, "l", "t").pop().expect("a row").clone();
    assert_eq!(last["after"], json!({"id": 2999, "v": "value 2999"}));

    server.sql(&format!("SET SESSION binlog_format=STATEMENT; USE l; {load} u"));
    assert_refused(
        &run_until(&Fountain::new(), &server, "end", BEGINNING),
        1,
        "STATEMENT_DML",
        &["LOAD DATA", "binlog_format=ROW"],
    );
    let told = Delivered::run_until_end(&server, &[BEGINNING, &["-D", "statement_dml=deliver"]].concat());
    assert_eq!(counts(&told.lines), (3000, 0, 0));
    let statements: Vec<&Value> = told.lines.iter().filter(|line| line["op"] == "statement").collect();
    let sql = statements.first().and_then(|line| line["sql"].as_str()).expect("one statement");
    assert_eq!(statements.len(), 1);
    assert!(sql.starts_with("LOAD DATA INFILE") && sql.contains("rows.txt"), "{sql}");
    assert!(told.stderr.contains("LOAD DATA"), "a warning that the rows are not in it: {}", told.stderr);
}

#[test]
fn load_data_mysql56() {
    load_data(Kind::Mysql56, &[]);
}

#[test]
fn load_data_mysql97() {
    load_data(Kind::Mysql97, &[]);
}

#[test]
fn load_data_mariadb() {
    load_data(Kind::Mariadb, &[]);
}

/// A server that finds a MEMORY table empty after its restart logs that, as a statement: a DDL line, and no refusal.
fn emptied_memory_table(kind: Kind, logged: &str) {
    let Some(mut server) = Server::start_private(kind, &[]) else { return };
    server.sql("CREATE DATABASE m; CREATE TABLE m.`t``1` (id INT) ENGINE=MEMORY; INSERT INTO m.`t``1` VALUES (1),(2)");
    server.restart();
    assert_eq!(server.value("SELECT COUNT(*) FROM m.`t``1`"), "0");
    server.sql("INSERT INTO m.`t``1` VALUES (3)");
    let delivered = Delivered::run_until_end(&server, BEGINNING);
    let told: Vec<String> = delivered
        .lines
        .iter()
        .map(|line| match line["op"].as_str() {
            Some("ddl") => line["sql"].as_str().expect("a statement").to_owned(),
            Some(op) => format!("{op} {}", line["after"]["id"]),
            None => "?".to_owned(),
        })
        .skip_while(|told| told.starts_with("CREATE"))
        .collect();
    assert_eq!(told, ["insert 1", "insert 2", logged, "insert 3"]);
}

#[test]
fn emptied_memory_table_mysql56() {
    emptied_memory_table(Kind::Mysql56, "DELETE FROM `m`.`t``1`");
}

#[test]
fn emptied_memory_table_mysql97() {
    emptied_memory_table(
        Kind::Mysql97,
        "TRUNCATE TABLE `m`.`t``1` /* generated by server, implicitly emptying in-memory table */",
    );
}

#[test]
fn emptied_memory_table_mariadb() {
    emptied_memory_table(
        Kind::Mariadb,
        "TRUNCATE TABLE `m`.`t``1` /* generated by server for memory table after a restart */",
    );
}

// --------------------------------------------------------------------------------- MariaDB's old temporal types

const OLD_TEMPORALS: &str = "id INT PRIMARY KEY, t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t6 TIME(6), d0 DATETIME,
    d1 DATETIME(1), d4 DATETIME(4), d6 DATETIME(6), s0 TIMESTAMP NULL, s2 TIMESTAMP(2) NULL, s5 TIMESTAMP(5) NULL, tail VARCHAR(9)";

/// How long a value is that has a fraction stands nowhere in the log.
fn old_temporals(options: &[&str]) {
    let options = [&["--mysql56-temporal-format=OFF"], options].concat();
    let Some(server) = Server::start_private(Kind::Mariadb, &options) else { return };
    server.sql(&format!(
        "CREATE DATABASE o; CREATE TABLE o.t ({OLD_TEMPORALS}) ENGINE=InnoDB; CREATE TABLE o.other LIKE o.t"
    ));
    for id in 1..5 {
        for table in ["other", "t"] {
            server.sql(&format!(
                "SET time_zone='+00:00'; INSERT INTO o.{table} VALUES ({id},'-12:34:56','00:00:00.{id}','-838:59:58.91','{id}:02:03.004',
                 '-00:00:00.000001','2024-02-29 12:34:56','0000-00-00 00:00:00','2024-02-29 12:34:56.789{id}',
                 '9999-12-31 23:59:59.999999','1999-12-31 23:59:59','2038-01-19 03:14:07.99','2001-02-03 04:05:06.0000{id}','end'),
                 (-{id},NULL,'0',NULL,'0',NULL,NULL,'2001-02-03 04:05:06.7',NULL,NULL,NULL,NULL,NULL,NULL)"
            ));
        }
    }
    let only_t = [BEGINNING, &["-D", "filter_shard_table_white=o.t"]].concat();
    let told = {
        let mut session = server.session();
        session.sql("SET time_zone='+00:00'");
        session.select("SELECT * FROM o.t ORDER BY ABS(id), id DESC")
    };
    for (extra, tables) in [(BEGINNING, 2), (&only_t, 1)] {
        let delivered = Delivered::run_until_end(&server, extra);
        assert_eq!(counts(&delivered.lines), (8 * tables, 0, 0));
        let lines = row_lines(&delivered.lines, "o", "t");
        assert_eq!(lines.len(), told.len());
        for (line, row) in lines.iter().zip(&told) {
            let names =
                ["id", "t0", "t1", "t2", "t3", "t6", "d0", "d1", "d4", "d6", "s0", "s2", "s5", "tail"];
            for (name, cell) in names.iter().zip(row) {
                let value = &line["after"][*name];
                let text =
                    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()));
                assert_eq!(text, *cell, "{name} of {row:?}");
            }
        }
    }
    // Nobody to ask: refused by name, also where the table's rows would only be counted.
    for filter in ["o.t", "o.none"] {
        let filter = format!("filter_shard_table_white={filter}");
        let output = cat(&as_paths(&server.binlogs()), &["-D".to_owned(), filter]);
        let column = if output.stderr.contains("o.other") { "o.other: column @2" } else { "o.t: column @2" };
        assert_refused(
            &output,
            1,
            "UNSUPPORTED",
            &[column, "TIME", "--schema", "mysql56_temporal_format=ON"],
        );
    }
}

#[test]
fn old_temporals_of_mariadb() {
    old_temporals(&[]);
}

#[test]
fn old_temporals_of_mariadb_full_metadata() {
    old_temporals(&["--binlog-row-metadata=FULL"]);
}

// ------------------------------------------------------------------------------------------------ rows without bytes

/// With `binlog_row_image=MINIMAL` MySQL logs no column of a row for which none was given, and so no byte of it; of several
/// such rows in one statement it refuses to log the second.
#[test]
fn a_row_of_no_columns_is_a_row() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, &["--binlog-row-image=MINIMAL"]) else { continue };
        server.sql(
            "CREATE DATABASE d; CREATE TABLE d.t (a INT, b INT) ENGINE=InnoDB; CREATE TABLE d.other LIKE d.t; BEGIN;
             INSERT INTO d.other () VALUES (); INSERT INTO d.t () VALUES (); INSERT INTO d.t VALUES (1,2); COMMIT",
        );
        for policy in ["transaction_policy=none", "transaction_policy=mini"] {
            let watched = ["-D", "filter_shard_table_white=d.t", "-D", policy];
            let delivered = Delivered::run_until_end(&server, &[BEGINNING, &watched].concat());
            let told: Vec<_> = row_lines(&delivered.lines, "d", "t")
                .into_iter()
                .map(|line| (line["op"].clone(), line["row"].clone(), line["after"].clone()))
                .collect();
            let expected = vec![
                (json!("insert"), json!(1), json!({})),
                (json!("insert"), json!(2), json!({"a": 1, "b": 2})),
            ];
            assert_eq!(told, expected, "{kind} {policy}");
        }
        let cat = Delivered::cat(&as_paths(&server.binlogs()), &[]);
        assert_eq!(counts(&cat.lines), server.mysqlbinlog_counts(&server.binlogs()), "{kind}");
        assert_eq!(counts(&cat.lines), (3, 0, 0), "{kind}");
    }
}
