//! Columns that the server makes for itself, and MariaDB's system-versioned tables: whoever applies the lines by key holds
//! what `SELECT` shows, whatever metadata and row images the log has.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Replay;
use harness::Server;
use harness::assert_refused;
use harness::delivered::Delivered;
use harness::delivered::as_paths;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::row_lines;
use harness::delivered::run_until;
use serde_json::Value;
use serde_json::json;

const FROM_THE_BEGINNING: &str = "start_without_point=beginning";
const METADATA: [&str; 3] = ["NO_LOG", "MINIMAL", "FULL"];
const IMAGES: [&str; 3] = ["FULL", "MINIMAL", "NOBLOB"];

/// The tables of [`MARIADB_TABLES`], each with its key.
const KEYS: &[(&str, &[&str])] = &[
    ("hash", &["id"]),
    ("hash_alone", &[]),
    ("hash_moved", &["id"]),
    ("users_names", &["id"]),
    ("implicit", &["id"]),
    ("explicit", &["id"]),
    ("unseen", &["id"]),
    ("pair", &["b", "a"]),
    ("by_unique", &["a"]),
    ("by_start", &["id", "s"]),
    ("without_key", &[]),
    ("in_part", &["id"]),
    ("partitioned", &["id"]),
    ("own_times", &["id"]),
    ("added", &["id"]),
    ("generated", &["id"]),
    ("periods", &["id", "e", "s"]),
    ("both_periods", &["id", "e", "s"]),
    ("archive", &["id", "row_end"]),
    ("copied", &[]),
    ("ordinary", &["id"]),
];

const MARIADB_TABLES: &str = "
CREATE TABLE hash (id int PRIMARY KEY, a text, b varchar(4000) NOT NULL DEFAULT 'b', UNIQUE KEY (a), UNIQUE KEY (b,id)) ENGINE=InnoDB;
CREATE TABLE hash_alone (a text, n int, UNIQUE KEY (a)) ENGINE=InnoDB;
CREATE TABLE hash_moved (id int PRIMARY KEY, a int, UNIQUE KEY (a) USING HASH) ENGINE=InnoDB;
ALTER TABLE hash_moved ADD COLUMN b varchar(4000) UNIQUE, ADD COLUMN c int;
CREATE TABLE users_names (id int PRIMARY KEY, row_start int, row_end int, DB_ROW_HASH_1 bigint unsigned, t text UNIQUE) ENGINE=InnoDB;
CREATE TABLE implicit (id int PRIMARY KEY, n int, t text UNIQUE) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE explicit (id int PRIMARY KEY, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END,
  n int, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE unseen (e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, id int PRIMARY KEY, n int,
  s timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE pair (a varchar(9), b int, n int, PRIMARY KEY (b,a)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE by_unique (a int NOT NULL, n int, UNIQUE KEY (a)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE by_start (id int, n int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END,
  PERIOD FOR SYSTEM_TIME(s,e), PRIMARY KEY (id, s)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE without_key (a int, n int) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE in_part (id int PRIMARY KEY, n int WITHOUT SYSTEM VERSIONING, m int) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE partitioned (id int PRIMARY KEY, n int) ENGINE=InnoDB WITH SYSTEM VERSIONING
  PARTITION BY SYSTEM_TIME LIMIT 2 (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION now CURRENT);
CREATE TABLE own_times (id int PRIMARY KEY, n int) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE added (id int PRIMARY KEY, n int, t text UNIQUE) ENGINE=InnoDB;
ALTER TABLE added ADD SYSTEM VERSIONING;
SET system_versioning_alter_history=KEEP;
ALTER TABLE added ADD COLUMN m int, ADD COLUMN first int FIRST;
CREATE TABLE generated (id int PRIMARY KEY, a int, st int AS (a+2) PERSISTENT, inv int INVISIBLE DEFAULT 7, t text UNIQUE)
  WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE periods (id int, s date, e date, n int, PERIOD FOR p(s,e), PRIMARY KEY (id, p WITHOUT OVERLAPS)) ENGINE=InnoDB;
CREATE TABLE both_periods (id int, s date, e date, n int, PERIOD FOR p(s,e), PRIMARY KEY (id, p WITHOUT OVERLAPS))
  WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE archive (id int, n int, t text, row_start timestamp(6) NOT NULL, row_end timestamp(6) NOT NULL, PRIMARY KEY (id,row_end)) ENGINE=InnoDB;
CREATE TABLE ordinary (id int PRIMARY KEY, n int) ENGINE=InnoDB;
";

/// Every way to change rows; `%` stands for the tables that take all of them.
const FOR_EACH: &str = "
INSERT INTO % (id,n) VALUES (1,1),(2,2),(3,3),(4,4),(5,5),(6,6);
UPDATE % SET n=n+10 WHERE id<4; UPDATE % SET id=id+100 WHERE id=3; UPDATE % SET n=n;
DELETE FROM % WHERE id=2; REPLACE INTO % (id,n) VALUES (1,50),(7,7);
INSERT INTO % (id,n) VALUES (4,0),(8,8) ON DUPLICATE KEY UPDATE n=99;
INSERT IGNORE INTO % (id,n) VALUES (4,0),(9,9);
BEGIN; INSERT INTO % (id,n) VALUES (20,1); UPDATE % SET n=2 WHERE id=20; DELETE FROM % WHERE id=20; INSERT INTO % (id,n) VALUES (20,3); COMMIT;
BEGIN; UPDATE % SET n=-1; SAVEPOINT s; DELETE FROM %; ROLLBACK TO s; DELETE FROM % WHERE id=9; ROLLBACK;
SET @@timestamp=2000000000.5;
BEGIN; INSERT INTO % (id,n) VALUES (30,1),(31,1); UPDATE % SET n=n+1 WHERE id>=30; UPDATE % SET n=n+1 WHERE id>=30;
DELETE FROM % WHERE id=30; INSERT INTO % (id,n) VALUES (30,7); DELETE FROM % WHERE id=30; COMMIT;
SET @@timestamp=DEFAULT;
";
const TAKE_ALL: [&str; 6] = ["implicit", "explicit", "unseen", "partitioned", "own_times", "added"];

const MARIADB_CHANGES: &str = "
INSERT INTO hash (id,a) VALUES (1,'x'),(2,NULL),(3,'z'); UPDATE hash SET a='y' WHERE id=1; UPDATE hash SET b='c'; DELETE FROM hash WHERE id=2;
REPLACE INTO hash VALUES (9,'z','q');
INSERT INTO hash_alone VALUES ('p',1),('q',2),(NULL,3); UPDATE hash_alone SET n=5; DELETE FROM hash_alone WHERE a='p';
INSERT INTO hash_moved VALUES (1,1,'v',1),(2,2,NULL,2); UPDATE hash_moved SET b='w' WHERE id=1; DELETE FROM hash_moved WHERE id=2;
INSERT INTO users_names VALUES (1,2,3,4,'t'),(2,NULL,NULL,NULL,NULL); UPDATE users_names SET DB_ROW_HASH_1=9;
UPDATE implicit SET t=CONCAT('t',id);
INSERT INTO pair VALUES ('a',1,1),('a',2,2),('b',1,3); UPDATE pair SET n=9 WHERE a='a'; UPDATE pair SET b=5 WHERE a='b'; DELETE FROM pair WHERE b=2;
INSERT INTO by_unique VALUES (1,1),(2,2); UPDATE by_unique SET n=3; UPDATE by_unique SET a=8 WHERE a=1; DELETE FROM by_unique WHERE a=2;
INSERT INTO by_start (id,n) VALUES (1,1),(2,2); UPDATE by_start SET n=3 WHERE id=1; DELETE FROM by_start WHERE id=2;
INSERT INTO without_key VALUES (1,1),(1,1),(2,2),(3,3); UPDATE without_key SET n=7 WHERE a=1 LIMIT 1; DELETE FROM without_key WHERE a=2;
INSERT INTO in_part VALUES (1,1,1),(2,2,2); UPDATE in_part SET n=2; UPDATE in_part SET m=5; UPDATE in_part SET n=4,m=4 WHERE id=1; DELETE FROM in_part WHERE id=2;
DELETE HISTORY FROM partitioned; UPDATE partitioned SET n=1;
SET system_versioning_insert_history=ON;
INSERT INTO own_times (id,n,row_start,row_end) VALUES (1000,1,'2020-01-01','2021-01-01'),(1000,2,'2021-01-01','2022-01-01');
SET system_versioning_insert_history=OFF;
DELETE HISTORY FROM own_times BEFORE SYSTEM_TIME '2021-06-01'; UPDATE own_times SET n=5 WHERE id=5; DELETE HISTORY FROM own_times;
INSERT INTO generated (id,a,t) VALUES (1,1,'x'),(2,2,'y'); UPDATE generated SET a=a+1; UPDATE generated SET inv=8 WHERE id=1; DELETE FROM generated WHERE id=2;
INSERT INTO periods VALUES (1,'2020-01-01','2021-01-01',1),(2,'2020-01-01','2021-01-01',1);
UPDATE periods FOR PORTION OF p FROM '2020-02-01' TO '2020-03-01' SET n=2; DELETE FROM periods FOR PORTION OF p FROM '2020-02-10' TO '2020-02-11';
INSERT INTO both_periods VALUES (1,'2020-01-01','2021-01-01',1),(2,'2020-01-01','2021-01-01',1);
UPDATE both_periods FOR PORTION OF p FROM '2020-02-01' TO '2020-03-01' SET n=2; DELETE FROM both_periods FOR PORTION OF p FROM '2020-02-10' TO '2020-02-11';
INSERT INTO archive SELECT id,n,t,row_start,row_end FROM implicit FOR SYSTEM_TIME ALL; UPDATE archive SET n=0 WHERE id=1; DELETE FROM archive WHERE id=2;
CREATE TABLE copied AS SELECT n,row_start,row_end FROM implicit FOR SYSTEM_TIME ALL; DELETE FROM copied WHERE n=7;
INSERT INTO ordinary VALUES (1,1);
CREATE SEQUENCE numbers CACHE 3; SELECT NEXTVAL(numbers), NEXTVAL(numbers), NEXTVAL(numbers), NEXTVAL(numbers); SELECT SETVAL(numbers,100);
";

/// One database for each metadata and row image, all in one binlog.
fn mariadb_log(server: &Server) -> Vec<(String, &'static str, &'static str)> {
    let mut databases = Vec::new();
    for metadata in METADATA {
        for image in IMAGES {
            let database = format!("{metadata}_{image}").to_lowercase();
            let all: String = TAKE_ALL.iter().map(|table| FOR_EACH.replace('%', table)).collect();
            server.sql(&format!(
                "SET GLOBAL binlog_row_metadata={metadata}; SET SESSION binlog_row_image={image};
                 CREATE DATABASE {database} CHARACTER SET utf8mb4; USE {database}; {MARIADB_TABLES} {all} {MARIADB_CHANGES}"
            ));
            databases.push((database, metadata, image));
        }
    }
    databases
}

fn mariadb_rows_are_those_of_select(kind: Kind) {
    let Some(server) = Server::start_private(kind, &[]) else { return };
    let databases = mariadb_log(&server);
    let home = Fountain::new();
    let pairs = [FROM_THE_BEGINNING, "dispatch_ddl=none", "dispatch_transaction=true"];
    let output = run_until(&home, &server, "end", &keys(&pairs));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&data(&home.home().join("data")));
    for (database, metadata, image) in &databases {
        for (table, key) in KEYS {
            let rows = row_lines(&lines, database, table);
            assert!(!rows.is_empty(), "{kind} {database}.{table}");
            let known: Vec<&&Value> = rows.iter().filter(|line| line["key"] != json!(key)).collect();
            assert!(known.is_empty(), "{kind} {database}.{table}: {:?}", known.first());
            let replay = Replay::of(&lines, database, table);
            match (*table, kind) {
                // Since 11.6 or so updates do not log generated columns.
                ("generated", Kind::Mariadb118) => {
                    replay.without("st").assert_is(&server, database, table, false);
                }
                _ => replay.assert_is(&server, database, table, *image == "FULL"),
            }
        }
        let sequence = row_lines(&lines, database, "numbers");
        let state = server.value(&format!("SELECT next_not_cached_value FROM {database}.numbers"));
        let last = sequence.last().expect("a line of the sequence");
        assert!(
            sequence.iter().all(|line| line["op"] == "insert" && line["key"] == json!([])),
            "{sequence:?}"
        );
        assert_eq!(last["after"]["next_not_cached_value"].to_string(), state, "{last}");
        let names = ["row_start", "row_end", "DB_ROW_HASH"];
        let users = ["users_names", "archive", "copied"];
        for line in lines.iter().filter(|line| line["database"] == **database) {
            let text = line.to_string();
            let shown = names.iter().any(|name| text.contains(name));
            assert!(!shown || users.iter().any(|table| line["table"] == **table), "{metadata} {text}");
        }
    }
    commit_lines_count_what_was_delivered(&lines);

    let held = Fountain::new();
    let pairs = [&pairs[..], &["transaction_policy=mini"]].concat();
    let output = run_until(&held, &server, "end", &keys(&pairs));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let held = parse(&data(&held.home().join("data")));
    assert!(held == lines, "{kind}: transactions that are held to their end have the same lines");
}

/// Each `commit` line's counts are the lines of its transaction.
fn commit_lines_count_what_was_delivered(lines: &[Value]) {
    let (mut commits, mut counted) = (0, [0_u64; 3]);
    for line in lines {
        match line["op"].as_str().unwrap() {
            "begin" => counted = [0; 3],
            "commit" => {
                let told = ["inserts", "updates", "deletes"].map(|name| line[name].as_u64().unwrap());
                assert_eq!(told, counted, "{line}");
                commits += 1;
            }
            op => counted[["insert", "update", "delete"].iter().position(|name| *name == op).unwrap()] += 1,
        }
    }
    assert!(commits > 1000, "{commits}");
}

#[test]
fn mariadb_10_rows_are_those_of_select() {
    mariadb_rows_are_those_of_select(Kind::Mariadb);
}

#[test]
fn mariadb_11_rows_are_those_of_select() {
    mariadb_rows_are_those_of_select(Kind::Mariadb118);
}

/// What one of each change looks like.
#[test]
fn the_end_of_a_versioned_row_is_a_delete() {
    let Some(server) = Server::start(Kind::Mariadb, &[]) else { return };
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, n int) WITH SYSTEM VERSIONING ENGINE=InnoDB;
         INSERT INTO t VALUES (1,1),(2,2); BEGIN; UPDATE t SET n=n+10; DELETE FROM t WHERE id=1; COMMIT; DELETE HISTORY FROM t;
         INSERT INTO t VALUES (3,3)",
    );
    let delivered = Delivered::run_until_end(&server, &keys(&[FROM_THE_BEGINNING, "dispatch_ddl=none"]));
    let shown = delivered
        .lines
        .iter()
        .map(|line| json!([line["op"], line["row"], line.get("before"), line.get("after"), line["key"]]));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            json!(["insert", 0, null, {"id": 1, "n": 1}, ["id"]]),
            json!(["insert", 1, null, {"id": 2, "n": 2}, ["id"]]),
            // Behind each of them the log has the row as it was.
            json!(["update", 0, {"id": 1, "n": 1}, {"id": 1, "n": 11}, ["id"]]),
            json!(["update", 2, {"id": 2, "n": 2}, {"id": 2, "n": 12}, ["id"]]),
            json!(["delete", 4, {"id": 1, "n": 11}, null, ["id"]]),
            json!(["insert", 0, null, {"id": 3, "n": 3}, ["id"]]),
        ]
    );
}

/// A line of another table, so that it can be seen that nothing behind the place of refusal was delivered.
fn refused(kind: Kind, sql: &str, code: &str, parts: &[&str]) {
    let Some(server) = Server::start_private(kind, &[]) else { return };
    server.sql(&format!("CREATE DATABASE d; USE d; {sql}"));
    server.sql("USE d; CREATE TABLE behind (id int PRIMARY KEY); INSERT INTO behind VALUES (1)");
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&[FROM_THE_BEGINNING, "dispatch_ddl=none"]));
    assert_refused(&output, 1, code, parts);
    let lines = parse(&data(&home.home().join("data")));
    assert!(lines.iter().all(|line| line["table"] != "behind"), "{lines:?}");
}

/// Whatever binlog_format is, such a table's changes are logged as statements.
#[test]
fn versioning_by_transaction_stops() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, s bigint unsigned GENERATED ALWAYS AS ROW START, e bigint unsigned GENERATED \
               ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING ENGINE=InnoDB; INSERT INTO t (id) VALUES (1)";
    refused(Kind::Mariadb, sql, "STATEMENT_DML", &["INSERT INTO t"]);
}

/// A key without the end of the row's time, and an image that holds the key alone.
#[test]
fn rows_of_which_the_log_does_not_say_whether_they_had_ended_stop() {
    let sql = "CREATE TABLE t (id int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END,
               PERIOD FOR SYSTEM_TIME(s,e), PRIMARY KEY (id, s)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
               SET binlog_row_image=MINIMAL; INSERT INTO t (id) VALUES (1); DELETE FROM t; DELETE HISTORY FROM t";
    refused(
        Kind::Mariadb,
        sql,
        "UNSUPPORTED",
        &["d.t.e", "binlog_row_image=FULL", "filter_shard_table_black"],
    );
}

/// Only a definition tells a versioned table from its archive. An account that may not read is told what it lacks; with a
/// file it needs no right; `cat` that knows nothing leaves nothing out.
#[test]
fn full_metadata_does_not_say_whether_a_table_is_versioned() {
    let Some(server) = Server::start_private(Kind::Mariadb, &["--binlog-row-metadata=FULL"]) else { return };
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, u text UNIQUE) WITH SYSTEM VERSIONING ENGINE=InnoDB;
         CREATE TABLE stamps (id int PRIMARY KEY, a timestamp(6) NOT NULL, b timestamp(6) NOT NULL) ENGINE=InnoDB;
         INSERT INTO stamps VALUES (1,'2020-01-01','2038-01-19 03:14:07.999999');
         INSERT INTO t VALUES (1,'x'); UPDATE t SET u='y'; DELETE FROM t;
         REVOKE ALL PRIVILEGES, GRANT OPTION FROM repl@'%'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%'",
    );
    let pairs = [FROM_THE_BEGINNING, "dispatch_ddl=none"];
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&pairs));
    assert_refused(&output, 1, "RIGHT_MISSING", &["GRANT SELECT ON `d`.*"]);
    let lines = parse(&data(&home.home().join("data")));
    assert_eq!(lines.len(), 1, "the table that cannot be versioned was read: {lines:?}");

    let file = home.write(
        "schema.jsonl",
        r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"},{"name":"u","type":"text"},{"name":"row_start","type":"timestamp(6)","hidden":true},{"name":"row_end","type":"timestamp(6)","hidden":true}],"key":["id"],"row_end":"row_end"}"#,
    );
    let schema_file = format!("schema_file={}", file.display());
    let output = run_until(&home, &server, "end", &keys(&[&pairs[..], &[&schema_file]].concat()));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&data(&home.home().join("data")));
    let ops: Vec<&str> = lines[1..].iter().map(|line| line["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["insert", "update", "delete"]);
    assert_eq!(lines[2]["before"], json!({"id": 1, "u": "x"}));

    server.flush_logs();
    let files = server.binlogs();
    let cat = Delivered::cat(&as_paths(&files), &[]);
    let of_t = row_lines(&cat.lines, "d", "t");
    let ops: Vec<&str> = of_t.iter().map(|line| line["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["insert", "update", "insert", "update"], "as logged");
    assert_eq!(of_t[0]["key"], json!(["id", "row_end"]));
    assert_eq!(of_t[0]["after"]["row_end"], "2038-01-19 03:14:07.999999");
    assert!(of_t[0]["after"].get("DB_ROW_HASH_1").is_none(), "{}", of_t[0]);
}

const MYSQL_TABLES: &str = "
SET SESSION sql_generate_invisible_primary_key=ON;
CREATE TABLE made_up (a int, b varchar(9), UNIQUE KEY (b));
SET SESSION sql_generate_invisible_primary_key=OFF;
CREATE TABLE by_expression (id int PRIMARY KEY, a varchar(20), t text, j json, KEY ((lower(a))), UNIQUE KEY ((id*2)),
  KEY ((CAST(j AS UNSIGNED ARRAY))));
CREATE TABLE expression_alone (a int NOT NULL, UNIQUE KEY ((a+1)));
CREATE TABLE unseen (id int PRIMARY KEY INVISIBLE, a int, b int INVISIBLE DEFAULT 7, v int AS (a+1) VIRTUAL, s int AS (a+2) STORED);
INSERT INTO made_up VALUES (1,'x'),(1,NULL),(1,NULL),(2,'y'); UPDATE made_up SET b='z' WHERE a=2; DELETE FROM made_up WHERE b='x';
UPDATE made_up SET a=7 WHERE b IS NULL LIMIT 1; REPLACE INTO made_up VALUES (3,'z');
INSERT INTO by_expression VALUES (1,'AA','t','5'),(2,'BB',NULL,NULL),(3,'CC','u','7');
UPDATE by_expression SET a='DD',j='6' WHERE id=1; UPDATE by_expression SET t='v' WHERE id=3; DELETE FROM by_expression WHERE id=2;
INSERT INTO expression_alone VALUES (1),(2),(3); UPDATE expression_alone SET a=9 WHERE a=1; DELETE FROM expression_alone WHERE a=2;
INSERT INTO unseen (id,a) VALUES (1,1),(2,2); UPDATE unseen SET a=5 WHERE id=1; UPDATE unseen SET b=8; DELETE FROM unseen WHERE id=2;
";

/// What MySQL makes for indexes over expressions is not logged; the primary keys that it makes up are, also where it has
/// been set not to show them.
#[test]
fn mysql_rows_are_those_of_select() {
    let options = ["--show-gipk-in-create-table-and-information-schema=OFF"];
    let Some(server) = Server::start_private(Kind::Mysql97, &options) else { return };
    let mut databases = Vec::new();
    for metadata in ["MINIMAL", "FULL"] {
        for image in IMAGES {
            let database = format!("{metadata}_{image}").to_lowercase();
            server.sql(&format!(
                "SET GLOBAL binlog_row_metadata={metadata}; SET SESSION binlog_row_image={image}; CREATE DATABASE {database};
                 USE {database}; {MYSQL_TABLES}"
            ));
            databases.push((database, image));
        }
    }
    let delivered = Delivered::run_until_end(&server, &keys(&[FROM_THE_BEGINNING, "dispatch_ddl=none"]));
    server.sql("SET GLOBAL show_gipk_in_create_table_and_information_schema=ON");
    let keys: [(&str, &[&str]); 4] = [
        ("made_up", &["my_row_id"]),
        ("by_expression", &["id"]),
        ("expression_alone", &[]),
        ("unseen", &["id"]),
    ];
    for (database, image) in databases {
        for (table, key) in keys {
            let rows = row_lines(&delivered.lines, &database, table);
            assert!(
                rows.len() > 4 && rows.iter().all(|line| line["key"] == json!(key)),
                "{database}: {rows:?}"
            );
            let replay = Replay::of(&delivered.lines, &database, table);
            replay.assert_is(&server, &database, table, image == "FULL");
        }
    }
}
