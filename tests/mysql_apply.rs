//! mysql_apply: what comes out on another server of the same kind is what the source holds, bit for bit (CHECKSUM TABLE),
//! through kills of fountain and of the consumer.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::consumer_pid;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use std::path::Path;
use std::time::Duration;

const TABLES: &str = r"
SET sql_mode='';
CREATE DATABASE d;
CREATE TABLE d.numbers (id INT PRIMARY KEY AUTO_INCREMENT, a TINYINT UNSIGNED, b BIGINT, c BIGINT UNSIGNED, d DECIMAL(65,30), e FLOAT,
    f DOUBLE, g FLOAT(7,4), h BIT(1), i BIT(64), j YEAR, k MEDIUMINT ZEROFILL, l DECIMAL(5,0)) ENGINE=InnoDB;
CREATE TABLE d.times (id INT PRIMARY KEY, a DATE, b TIME(6), c DATETIME(3), d TIMESTAMP(6) NULL, e TIMESTAMP NOT NULL DEFAULT '2001-01-01') ENGINE=InnoDB;
CREATE TABLE d.texts (id VARCHAR(30) CHARACTER SET latin1 PRIMARY KEY, a CHAR(20) CHARACTER SET utf8mb4, b TEXT CHARACTER SET latin1,
    c VARCHAR(100) CHARACTER SET gbk, d ENUM('x','y ü','z,z') CHARACTER SET utf8mb4, e SET('a','b','c'), f BINARY(8), g VARBINARY(20), h LONGBLOB,
    i GEOMETRY, j VARCHAR(40) CHARACTER SET utf16, k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin) ENGINE=InnoDB;
CREATE TABLE d.heap (a INT, e FLOAT, f DOUBLE, t VARCHAR(20) CHARACTER SET utf8mb4, l VARCHAR(20) CHARACTER SET latin1, d DATETIME(2), x DECIMAL(20,5), y ENUM('p','q'),
    z VARBINARY(20), g GEOMETRY, b BIT(64), w YEAR, s SET('m','n')) ENGINE=InnoDB;
";

const ROWS: &str = r"
SET sql_mode='NO_AUTO_VALUE_ON_ZERO', NAMES utf8mb4, time_zone='+05:00';
INSERT INTO d.numbers VALUES (0,255,-9223372036854775808,18446744073709551615,'12345678901234567890123456789012345.000000000000000000000000000001',
    3.4028235e38,1.7976931348623157e308,123.4567,b'1',18446744073709551615,2155,1,-99999),
    (1,0,9223372036854775807,0,'-0.000000000000000000000000000001',1.17549435e-38,-2.2250738585072014e-308,-0.0001,b'0',0,0,-8388608,0),
    (2,NULL,NULL,NULL,NULL,0.1,0.1,0.1,NULL,NULL,1901,NULL,NULL), (-7,1,1,1,1,16777216,9007199254740993,999.9999,b'1',9223372036854775808,1970,8388607,1),
    (5,1,1,1,1,-0.0,1e22,1,b'1',1,2000,1,1), (6,1,1,1,1,1.4e-45,5e-324,1,b'1',1,2000,1,1);
INSERT INTO d.times VALUES (1,'0000-00-00','-838:59:59','0000-00-00 00:00:00','1970-01-01 05:00:01','0000-00-00 00:00:00'),
    (2,'2020-00-00','838:59:58.999999','9999-12-31 23:59:59.999','2038-01-19 08:14:07.999999','2038-01-19 08:14:07'),
    (3,'9999-12-31','-00:00:00.000001','1000-01-01 00:00:00.001',NULL,'2020-02-29 12:00:00'),(4,NULL,NULL,NULL,NULL,'1999-12-31 23:59:59');
INSERT INTO d.texts VALUES ('Größe',_utf8mb4'𝄞 ''quoted'' \\ back',_latin1 X'00ff80810a0d',_gbk X'c4e3bac3','y ü','a,c',X'0100',X'00ff00',
    REPEAT(X'00ff27225c0a',20000),ST_GeomFromText('POINT(1.5 -2)'),_utf8mb4'😀 ü',' pad '),
    ('leer','','','','','',X'',X'','',ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))',0),'',''),
    ('null',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL), ('; DROP TABLE d.t; -- ','`','\n\t','x','z,z','b','a','b','c',NULL,'d','E');
INSERT INTO d.heap VALUES (1,0.1,0.1,'a','ü','2020-01-01 00:00:00.25',1.1,'p',X'00',ST_GeomFromText('POINT(1 1)'),18446744073709551615,0,'m,n'),
    (1,0.1,0.1,'A','ü','2020-01-01 00:00:00.25',1.1,'p',X'00',ST_GeomFromText('POINT(1 1)'),18446744073709551615,0,'m,n'),
    (1,0.1,0.1,'a ','Ü','2020-01-01 00:00:00.25',1.1,'p',X'0000',ST_GeomFromText('POINT(1 1)'),18446744073709551615,0,'m,n'),
    (1,0.1,0.1,'a','ü','2020-01-01 00:00:00.25',1.1,'p',X'00',ST_GeomFromText('POINT(1 1)'),18446744073709551615,0,'m,n'),
    (NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL),(2,3.3e30,-1e-300,'','','0000-00-00','-1.5','','',NULL,1,2020,'');
";

const CHANGES: &str = r"
SET sql_mode='NO_AUTO_VALUE_ON_ZERO', NAMES utf8mb4;
UPDATE d.numbers SET e = e / 3, f = f / 3, d = -d WHERE id <> 0;
UPDATE d.numbers SET id = id + 100 ORDER BY id DESC;
UPDATE d.times SET b = '-00:00:01.5', e = '2020-01-01' WHERE id IN (1, 3);
UPDATE d.texts SET id = 'GRÖSSE', a = 'new', d = 'x' WHERE id = 'Größe';
DELETE FROM d.texts WHERE id = 'leer';
UPDATE d.heap SET e = e * 7, g = ST_GeomFromText('LINESTRING(0 0,2 2)') WHERE t = BINARY 'A';
DELETE FROM d.heap WHERE t = BINARY 'a' LIMIT 1;
DELETE FROM d.heap WHERE a IS NULL;
UPDATE d.heap SET y = 'q', x = x + 0.00001 WHERE a = 2;
";

/// Types that one kind has.
fn more(kind: Kind) -> &'static str {
    match kind {
        Kind::Mysql56 => "",
        Kind::Mysql97 => {
            r#"
CREATE TABLE d.more (id INT PRIMARY KEY, j JSON, v VECTOR(3), s INT AS (id + 1) STORED, w INT AS (id + 2) VIRTUAL, n JSON NOT NULL) ENGINE=InnoDB;
INSERT INTO d.more (id, j, v, n) VALUES (1, '{"b":[1,2.5,-0.0,1e300,18446744073709551615,null,true,"ü\\"😀"],"a":{}}', TO_VECTOR('[1.5,-0.1,3e30]'), 'null'),
    (2, '"text"', NULL, '[]'), (3, '12345678901', TO_VECTOR('[0,0,0]'), '{"":1}');
UPDATE d.more SET j = JSON_SET(j, '$.b[0]', 'x'), n = '{"k":"v"}' WHERE id = 1;
CREATE TABLE d.heap_more (j JSON, v VECTOR(2)) ENGINE=InnoDB;
INSERT INTO d.heap_more VALUES ('{"a":1.5}', TO_VECTOR('[1,2]')), ('{"a":1.5}', TO_VECTOR('[1,3]')), ('[1]', NULL);
DELETE FROM d.heap_more WHERE v = TO_VECTOR('[1,3]');
UPDATE d.heap_more SET j = '{"a":2}' WHERE v IS NOT NULL;
CREATE TABLE d.made ENGINE=InnoDB AS SELECT id, j, s FROM d.more;
"#
        }
        Kind::Mariadb | Kind::Mariadb118 => {
            r#"
CREATE TABLE d.more (id INT PRIMARY KEY, u UUID, i4 INET4, i6 INET6, j JSON, s INT AS (id + 1) PERSISTENT, w INT AS (id + 2) VIRTUAL,
    c TEXT COMPRESSED, k BLOB COMPRESSED) ENGINE=InnoDB;
INSERT INTO d.more (id, u, i4, i6, j, c, k) VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '1.2.3.4', '::ffff:1.2.3.4', '{"a": 1.10}', REPEAT('x', 1000), X'00'),
    (2, '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', NULL, '', '');
UPDATE d.more SET u = '123e4567-e89b-12d3-a456-426655440001', c = 'y' WHERE id = 1;
CREATE TABLE d.heap_more (u UUID, i INET6, c VARCHAR(100) COMPRESSED) ENGINE=InnoDB;
INSERT INTO d.heap_more VALUES ('123e4567-e89b-12d3-a456-426655440000', '::1', 'a'), ('123e4567-e89b-12d3-a456-426655440000', '::1', 'A'), (NULL, '::2', NULL);
DELETE FROM d.heap_more WHERE c = BINARY 'A';
UPDATE d.heap_more SET i = '::3' WHERE u IS NULL;
"#
        }
    }
}

/// The consumer's command line for a target.
fn apply(target: &Server) -> String {
    let client = target.client();
    let arguments = client.get_args().map(|argument| argument.to_str().expect("UTF-8").to_owned());
    let client: Vec<String> =
        [client.get_program().to_str().expect("UTF-8").to_owned()].into_iter().chain(arguments).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers/mysql_apply.py");
    format!("exec_command=exec {} {}", script.display(), client.join(" "))
}

/// Every table of the database with its checksum and number of rows.
fn state(server: &Server) -> Vec<(String, String, String)> {
    let tables =
        server.select("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'd' ORDER BY 1");
    let names = tables.into_iter().map(|row| row[0].clone().expect("a name"));
    names
        .map(|name| {
            let checksum = server.select(&format!("CHECKSUM TABLE d.`{name}` EXTENDED")).remove(0).remove(1);
            let rows = server.value(&format!("SELECT COUNT(*) FROM d.`{name}`"));
            (name, checksum.expect("the table can be read"), rows)
        })
        .collect()
}

/// Random changes of a small table with a key and one without, the same for the same seed; now and then DDL.
fn churn(round: u64, random: &mut impl FnMut(u64) -> u64) -> String {
    let mut sql = String::from("START TRANSACTION;");
    for _ in 0..1 + random(12) {
        let (id, value) = (random(40), random(1000));
        sql += &match random(5) {
            0 | 1 => {
                format!("REPLACE INTO d.k VALUES ({id},{value}); INSERT INTO d.h VALUES ({id},{value});")
            }
            2 => format!(
                "UPDATE d.k SET v = {value} WHERE id = {id}; UPDATE d.h SET v = {value} WHERE id = {id} LIMIT 1;"
            ),
            3 => format!("DELETE FROM d.k WHERE id = {id};"),
            _ => format!("DELETE FROM d.h WHERE id = {id} LIMIT 1;"),
        };
    }
    sql += "COMMIT;";
    if round % 4 == 1 {
        sql += &format!(
            "CREATE TABLE d.t{round} (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t{round} VALUES ({round});"
        );
        // A table with rows that is altered while nobody reads would need its definition of that time.
        let empty = format!("d.e{round}");
        sql += &format!(
            "CREATE TABLE {empty} (id INT PRIMARY KEY) ENGINE=InnoDB; ALTER TABLE {empty} ADD COLUMN c INT;"
        );
    }
    sql
}

fn every_change_arrives_once(kind: Kind) {
    let Some(source) = Server::start_private(kind, &[]) else { return };
    let Some(target) = Server::start_private(kind, &[]) else { return };
    let home = Fountain::new();
    let command = apply(&target);
    let pairs = keys(&[
        "start_without_point=beginning",
        "sink=exec",
        "exec_resume=consumer",
        "pack_max_bytes=30KB",
        &command,
    ]);
    source.sql(TABLES);
    source.sql(ROWS);
    source.sql(CHANGES);
    source.sql(more(kind));
    source.sql("CREATE TABLE d.k (id INT PRIMARY KEY, v INT) ENGINE=InnoDB; CREATE TABLE d.h (id INT, v INT) ENGINE=InnoDB");
    let output = run_until(&home, &source, "end", &pairs);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    assert_eq!(state(&source), state(&target), "{kind}");

    let mut seed = 97_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    for round in 0..8 {
        let mut run = home.spawn(&run_arguments(&home, &source, &pairs));
        run.wait_for("a consumer", PATIENCE, |run| consumer_pid(&run.stderr()).is_some());
        for _ in 0..4 {
            source.sql(&churn(round * 2, &mut random));
        }
        source.sql(&churn(round * 2 + 1, &mut random));
        std::thread::sleep(Duration::from_millis(random(250)));
        if round % 2 == 0 {
            let pid = consumer_pid(&run.stderr()).expect("a consumer");
            // It may have ended by itself.
            let kill = std::process::Command::new("sh")
                .args(["-c", &format!("kill -9 {pid} 2> /dev/null")])
                .status();
            kill.expect("the shell");
            std::thread::sleep(Duration::from_millis(random(800)));
        }
        drop(run.kill9());
    }
    let output = run_until(&home, &source, "end", &pairs);
    assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
    assert_eq!(state(&source), state(&target), "{kind}: {}", output.stderr);
}

#[test]
fn to_mysql_56() {
    every_change_arrives_once(Kind::Mysql56);
}

#[test]
fn to_mysql_97() {
    every_change_arrives_once(Kind::Mysql97);
}

#[test]
fn to_mariadb() {
    every_change_arrives_once(Kind::Mariadb);
}

/// A target that has gone its own way is told, and nothing is applied in part.
#[test]
fn what_does_not_fit_is_rejected() {
    let Some(source) = Server::start_private(Kind::Mariadb, &[]) else { return };
    let Some(target) = Server::start_private(Kind::Mariadb, &[]) else { return };
    let home = Fountain::new();
    let command = apply(&target);
    let pairs = keys(&["start_without_point=beginning", "sink=exec", "exec_resume=consumer", &command]);
    source.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v INT); INSERT INTO d.t VALUES (1, 1), (2, 2)");
    assert_eq!(run_until(&home, &source, "end", &pairs).code, 0);
    target.sql("DELETE FROM d.t WHERE id = 2");
    source.sql("UPDATE d.t SET v = v + 10");
    let output = run_until(&home, &source, "end", &pairs);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("rejected pack") && output.stderr.contains("no row"), "{}", output.stderr);
    assert_eq!(target.value("SELECT v FROM d.t"), "1", "all of a pack or nothing");
    target.sql("INSERT INTO d.t VALUES (2, 2)");
    assert_eq!(run_until(&home, &source, "end", &pairs).code, 0);
    assert_eq!(state(&source), state(&target));

    // DDL that fails is no DDL that was done.
    target.sql("CREATE TABLE d.other (x INT)");
    source.sql("CREATE TABLE d.other (id INT PRIMARY KEY); INSERT INTO d.other VALUES (1)");
    for _ in 0..2 {
        let output = run_until(&home, &source, "end", &pairs);
        assert!(output.code == 1 && output.stderr.contains("ERROR 1050"), "{}", output.stderr);
    }
    target.sql("DROP TABLE d.other");
    assert_eq!(run_until(&home, &source, "end", &pairs).code, 0);
    assert_eq!(state(&source), state(&target));
}
