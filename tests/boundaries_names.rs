//! Transactions without rows of ours: empty ones, unnamed ones, filtered ones, and those about accounts, of which nothing
//! leaves.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_until;
use harness::numbered::ids_in;
use harness::stored::point;
use serde_json::Value;

const FROM_BEGINNING: &str = "start_without_point=beginning";

fn create(server: &Server) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE d.u LIKE d.t",
    );
}

fn until_end(home: &Fountain, server: &Server, pairs: &[&str]) {
    let output = run_until(home, server, "end", &keys(&[&[FROM_BEGINNING][..], pairs].concat()));
    assert_eq!(output.code, 0, "{} {pairs:?}: {}", server.kind(), output.stderr);
}

#[test]
fn empty_and_filtered_transactions_move_the_point() {
    for (kind, options) in
        [(Kind::Mysql56, GTID), (Kind::Mysql97, GTID), (Kind::Mariadb, &[][..]), (Kind::Mariadb118, &[])]
    {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        let home = Fountain::new();
        let mut expected = Vec::new();
        for id in 1..4 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
            expected.push(id);
            if kind.is_mysql() {
                let other = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
                server.sql(&format!(
                    "SET gtid_next='{other}:{}'; BEGIN; COMMIT; SET gtid_next='{other}:{}'; COMMIT; SET gtid_next='AUTOMATIC'",
                    id * 10,
                    id * 10 + 5
                ));
            }
            server.sql(&format!(
                "INSERT INTO d.u VALUES ({id}); BEGIN; INSERT INTO d.u VALUES ({id}0); COMMIT"
            ));
            server.sql("FLUSH TABLES");
            until_end(&home, &server, &["filter_shard_table_white=d.t"]);
            assert_eq!(ids_in(&home), expected, "{kind}");
            let point = point(&home);
            let name = if kind.is_mysql() { "gtid_set" } else { "gtid_position" };
            assert_eq!(
                point[name].as_str().expect("GTIDs").replace('\n', ""),
                server.gtid_executed(),
                "{kind}"
            );
            let (file, pos) = server.binlog_end();
            assert_eq!((&point["file"], &point["pos"]), (&Value::from(file), &Value::from(pos)), "{kind}");
        }
    }
}

/// Named and unnamed transactions, and an XA transaction that is prepared without a name and committed with one.
#[test]
fn gtids_are_switched_on_while_they_are_followed() {
    let Some(server) =
        Server::start_private(Kind::Mysql97, &["--gtid-mode=OFF", "--enforce-gtid-consistency=ON"])
    else {
        return;
    };
    create(&server);
    let home = Fountain::new();
    let insert = |id: u64| {
        server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
        until_end(&home, &server, &["dispatch_ddl=none"]);
    };
    insert(1);
    server.sql("XA START 'x'; INSERT INTO d.t VALUES (100); XA END 'x'; XA PREPARE 'x'");
    insert(2);
    server.sql("SET GLOBAL gtid_mode=OFF_PERMISSIVE");
    insert(3);
    server.sql("SET GLOBAL gtid_mode=ON_PERMISSIVE");
    insert(4);
    server.flush_logs();
    insert(5);
    assert_eq!(point(&home)["gtid_set"], Value::Null, "an unnamed one is pending");
    server.sql("XA COMMIT 'x'");
    insert(6);
    server.sql("XA START 'y'; INSERT INTO d.t VALUES (200); XA END 'y'; XA PREPARE 'y'");
    insert(7);
    server.sql("SET GLOBAL gtid_mode=ON");
    server.flush_logs();
    insert(8);
    let set = point(&home)["gtid_set"].as_str().map(str::to_owned);
    let (executed, prepared) = (server.gtid_executed(), point(&home)["pending_xa"][0]["gtid"].clone());
    let subtracted =
        format!("SELECT GTID_SUBTRACT('{executed}', '{}')", set.expect("the file's GTIDs are known"));
    assert_eq!(server.value(&subtracted), prepared.as_str().expect("it has a name"));
    server.sql("XA COMMIT 'y'");
    insert(9);
    assert_eq!(ids_in(&home), [1, 2, 3, 4, 5, 100, 6, 7, 8, 200, 9]);
    assert_eq!(point(&home)["gtid_set"], server.gtid_executed());
    assert_eq!(point(&home)["pending_xa"], Value::Null);
}

/// Every way to write a password into a log, however it is spelled.
const ACCOUNTS: &[&str] = &[
    "CREATE USER 'a'@'%' IDENTIFIED BY 'Secr3t-1'",
    "create\n\t/* a comment */  user\n'b'@'%' -- another\n identified by 'Secr3t-2'",
    "/*!50000 CREATE USER 'c'@'%' IDENTIFIED BY 'Secr3t-3' */",
    "CREATE/**/USER/**/'e'@'%'/**/IDENTIFIED/**/BY/**/'Secr3t-5'",
    "SET PASSWORD FOR 'b'@'%' = {password}",
    "GRANT SELECT ON d.* TO 'a'@'%'",
    "REVOKE SELECT ON d.* FROM 'a'@'%'",
    "RENAME USER 'b'@'%' TO 'f'@'%'",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h', USER 'u', PASSWORD 'Secr3t-7')",
    "ALTER SERVER s OPTIONS (PASSWORD 'Secr3t-8')",
    "CREATE PROCEDURE d.p() CREATE USER 'g'@'%' IDENTIFIED BY 'Secr3t-9'",
    "CREATE EVENT d.ev ON SCHEDULE EVERY 1 DAY DO SET PASSWORD FOR 'a'@'%' = {password}",
    "DROP USER 'a'@'%'",
];
const ACCOUNTS_OF_MARIADB: &[&str] = &[
    "CREATE OR REPLACE USER 'h'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('Secr3t-10')",
    "/*M!100100 ALTER USER 'h'@'%' IDENTIFIED BY 'Secr3t-11' */",
    "SET STATEMENT max_statement_time=1000 FOR ALTER USER 'h'@'%' IDENTIFIED BY 'Secr3t-12'",
    "GRANT ALL ON d.* TO 'i'@'%' IDENTIFIED BY 'Secr3t-13'",
];
const ACCOUNTS_OF_MYSQL97: &[&str] = &[
    "ALTER USER 'f'@'%' IDENTIFIED BY 'Secr3t-14' RETAIN CURRENT PASSWORD",
    "ALTER USER IF EXISTS 'f'@'%' IDENTIFIED WITH caching_sha2_password BY 'Secr3t-15'",
    "CREATE ROLE r",
];

#[test]
fn nothing_of_accounts_leaves() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb, Kind::Mariadb118] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        let password = if kind == Kind::Mysql97 { "'Secr3t-6'" } else { "PASSWORD('Secr3t-6')" };
        let own = match kind {
            Kind::Mysql56 => &[][..],
            Kind::Mysql97 => ACCOUNTS_OF_MYSQL97,
            Kind::Mariadb | Kind::Mariadb118 => ACCOUNTS_OF_MARIADB,
        };
        for statement in ACCOUNTS.iter().chain(own) {
            let mut session = server.session();
            let told = session.try_select(&statement.replace("{password}", password));
            assert!(told.is_ok(), "{kind} {statement}: {told:?}");
        }
        server.sql("CREATE VIEW d.w AS SELECT 1; INSERT INTO d.t VALUES (1)");
        let home = Fountain::new();
        let pairs =
            [FROM_BEGINNING, "dispatch_ddl=all", "statement_dml=deliver", "dispatch_transaction=true"];
        let output = run_until(&home, &server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        let delivered = data(&home.home().join("data"));
        assert_eq!(ids_in(&home), [1], "{kind}");
        assert!(delivered.contains("VIEW"), "{kind}: other definitions do leave: {delivered}");
        for text in [&delivered, &output.stderr] {
            for secret in ["Secr3t", "IDENTIFIED", "identified", "$A$00", "PASSWORD", "GRANT", "'a'@"] {
                assert!(!text.contains(secret), "{kind}: {secret} in {text}");
            }
        }
    }
}
