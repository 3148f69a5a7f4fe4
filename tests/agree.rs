//! Three readers of the same binlogs agree: `fountain run`, `fountain cat` and the server's own mysqlbinlog.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::counts;
use harness::delivered::without_live_fields;
use harness::logged_rows::assert_same_values;
use std::path::Path;

/// Rows of several tables and shapes, in several files: keys of each kind, no key, wide and narrow, many rows in one
/// statement, changes of keys, triggers, a rollback, savepoints, DDL in between.
fn workload(server: &Server) {
    server.sql(
        "CREATE DATABASE agree CHARACTER SET utf8mb4; USE agree;
         CREATE TABLE plain (id int NOT NULL PRIMARY KEY, v varchar(40), n decimal(12,3), t datetime(3) NULL) ENGINE=InnoDB;
         CREATE TABLE pair (b int NOT NULL, a varchar(10) NOT NULL, v text, PRIMARY KEY (a, b)) ENGINE=InnoDB;
         CREATE TABLE uniq (u bigint unsigned NOT NULL, v blob, UNIQUE KEY k (u)) ENGINE=InnoDB;
         CREATE TABLE nokey (v int, w enum('x','y','z'), s set('a','b')) ENGINE=InnoDB;
         CREATE TABLE `odd ``name``.x` (`a \"b\"` int PRIMARY KEY, `ü€` varchar(9)) ENGINE=InnoDB;
         CREATE TABLE log (id int AUTO_INCREMENT PRIMARY KEY, note varchar(50)) ENGINE=InnoDB;
         CREATE TRIGGER noted AFTER UPDATE ON plain FOR EACH ROW INSERT INTO log (note) VALUES (CONCAT('was ', OLD.id));",
    );
    server.sql(
        "USE agree;
         INSERT INTO plain VALUES (1,'one',1.5,'2024-01-01 00:00:00.123'),(2,NULL,NULL,NULL),(3,'','-0.001','1999-12-31 23:59:59.999');
         INSERT INTO pair VALUES (1,'x','a'),(2,'x','b'),(1,'y',NULL);
         INSERT INTO uniq VALUES (18446744073709551615, x'00ff'),(0, NULL);
         INSERT INTO nokey VALUES (NULL,NULL,NULL),(1,'y','a,b'),(1,'y','a,b');
         INSERT INTO `odd ``name``.x` VALUES (1,'😀');
         UPDATE plain SET v=CONCAT(v,'!'), id=id+10;
         UPDATE nokey SET v=2 WHERE v=1;
         BEGIN; INSERT INTO plain VALUES (50,'gone',0,NULL); ROLLBACK;
         BEGIN; INSERT INTO plain VALUES (60,'stays',0,NULL); SAVEPOINT s; INSERT INTO plain VALUES (61,'goes',0,NULL);
         ROLLBACK TO s; INSERT INTO plain VALUES (62,'stays',0,NULL); COMMIT;",
    );
    server.flush_logs();
    let many: Vec<String> =
        (1000..4000).map(|id| format!("({id},REPEAT('v',{}),{id}.125,NULL)", id % 40)).collect();
    server.sql(&format!("USE agree; INSERT INTO plain VALUES {}", many.join(",")));
    server.sql(
        "USE agree; ALTER TABLE plain ADD COLUMN extra int DEFAULT 7; UPDATE plain SET extra=id WHERE id BETWEEN 1000 AND 1200;
         DELETE FROM plain WHERE id BETWEEN 1100 AND 1300; DELETE FROM pair; DELETE FROM nokey LIMIT 2; TRUNCATE TABLE uniq;",
    );
}

fn agree(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    // Rows logged before ALTER TABLE need the definition of that time, which only full metadata carries.
    let full = options.contains(&"--binlog-row-metadata=FULL");
    match full {
        true => workload(&server),
        false => workload_without_alter(&server),
    }
    let files = server.binlogs();
    let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();

    let run = Delivered::run_until_end(&server, &["-D", "start_without_point=beginning"]);
    let home = Fountain::new();
    let cat = Delivered::cat(&paths, &server.shard_arguments(0, home.home()));

    let ran: Vec<_> = run.lines.iter().map(without_live_fields).collect();
    assert_eq!(ran.len(), cat.lines.len(), "{kind} {options:?}: lines of run and of cat");
    for (ran, catted) in ran.iter().zip(&cat.lines) {
        assert_eq!(ran, catted, "{kind} {options:?}");
    }
    let (inserts, updates, deletes) = server.mysqlbinlog_counts(&files);
    assert!(inserts > 3000 && updates > 3 && deletes > 3);
    assert_eq!(counts(&cat.lines), (inserts, updates, deletes), "{kind} {options:?}: cat and mysqlbinlog");
    if !full {
        let compared = assert_same_values(kind, &paths);
        assert!(compared.values > 10_000, "{compared:?}");
    }
    let seqs: Vec<u64> = run.lines.iter().map(|line| line["seq"].as_u64().expect("seq")).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "seq rises");
}

/// As above, with no table changed after rows were logged.
fn workload_without_alter(server: &Server) {
    server.sql(
        "CREATE DATABASE agree CHARACTER SET utf8mb4; USE agree;
         CREATE TABLE plain (id int NOT NULL PRIMARY KEY, v varchar(40), n decimal(12,3), t datetime(3) NULL) ENGINE=InnoDB;
         CREATE TABLE pair (b int NOT NULL, a varchar(10) NOT NULL, v text, PRIMARY KEY (a, b)) ENGINE=InnoDB;
         CREATE TABLE uniq (u bigint unsigned NOT NULL, v blob, UNIQUE KEY k (u)) ENGINE=InnoDB;
         CREATE TABLE nokey (v int, w enum('x','y','z'), s set('a','b')) ENGINE=InnoDB;",
    );
    server.sql(
        "USE agree;
         INSERT INTO plain VALUES (1,'one',1.5,'2024-01-01 00:00:00.123'),(2,NULL,NULL,NULL);
         INSERT INTO pair VALUES (1,'x','a'),(2,'x','b');
         INSERT INTO uniq VALUES (18446744073709551615, x'00ff'),(0, NULL);
         INSERT INTO nokey VALUES (NULL,NULL,NULL),(1,'y','a,b');
         UPDATE plain SET v=CONCAT(v,'!'), id=id+10; UPDATE uniq SET v='x'; UPDATE pair SET v='c' WHERE b=1; UPDATE nokey SET v=5;",
    );
    server.flush_logs();
    let many: Vec<String> =
        (1000..4000).map(|id| format!("({id},REPEAT('v',{}),{id}.125,NULL)", id % 40)).collect();
    server.sql(&format!("USE agree; INSERT INTO plain VALUES {}", many.join(",")));
    server.sql("USE agree; DELETE FROM plain WHERE id BETWEEN 1100 AND 1300; DELETE FROM pair; DELETE FROM nokey LIMIT 1;");
}

#[test]
fn mysql56() {
    agree(Kind::Mysql56, &[]);
}

#[test]
fn mysql56_gtid_minimal_image_no_checksum() {
    agree(Kind::Mysql56, &[GTID, &["--binlog-row-image=MINIMAL", "--binlog-checksum=NONE"]].concat());
}

#[test]
fn mysql97_full_metadata_gtid() {
    agree(Kind::Mysql97, &[GTID, &["--binlog-row-metadata=FULL"]].concat());
}

#[test]
fn mysql97_minimal_metadata_compressed() {
    agree(Kind::Mysql97, &["--binlog-row-metadata=MINIMAL", "--binlog-transaction-compression=ON"]);
}

#[test]
fn mysql97_full_metadata_minimal_image_compressed_no_checksum() {
    agree(
        Kind::Mysql97,
        &[
            "--binlog-row-metadata=FULL",
            "--binlog-row-image=MINIMAL",
            "--binlog-transaction-compression=ON",
            "--binlog-checksum=NONE",
        ],
    );
}

#[test]
fn mariadb() {
    agree(Kind::Mariadb, &["--binlog-checksum=NONE"]);
}

#[test]
fn mariadb_full_metadata_compressed_events_minimal_image() {
    agree(
        Kind::Mariadb,
        &[
            "--log-bin-compress=ON",
            "--log-bin-compress-min-len=10",
            "--binlog-row-metadata=FULL",
            "--binlog-row-image=MINIMAL",
        ],
    );
}

#[test]
fn mariadb_compressed_events_no_checksum() {
    agree(
        Kind::Mariadb,
        &["--log-bin-compress=ON", "--log-bin-compress-min-len=10", "--binlog-checksum=NONE"],
    );
}

#[test]
fn mariadb_full_metadata_noblob_image() {
    agree(Kind::Mariadb, &["--binlog-row-metadata=FULL", "--binlog-row-image=NOBLOB"]);
}

#[test]
fn mariadb_118() {
    agree(Kind::Mariadb118, &["--binlog-row-metadata=FULL"]);
}
