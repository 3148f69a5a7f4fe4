//! What servers say no with, and what comes of it: each error is provoked on real servers, one whole line tells code, place,
//! the server's number and words and the cure, and once the cause is gone no row is missing.

mod harness;
mod server_errors {
    pub mod runs;
}

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::assert_refused_for;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::numbered::wait_for_row;
use server_errors::runs::FOREIGN;
use server_errors::runs::QUICK;
use server_errors::runs::create;
use server_errors::runs::ids;
use server_errors::runs::insert;
use server_errors::runs::until_end;

// --------------------------------------------------------------------------------------------------- at the login

/// What keeps us out, how it is told, and what lets us in again.
struct Closed {
    close: &'static str,
    code: &'static str,
    parts: &'static [&'static str],
    open: &'static str,
}

const MYSQL97_CLOSED: &[Closed] = &[
    Closed {
        close: "ALTER USER repl@'%' ACCOUNT LOCK",
        code: "ACCESS_DENIED",
        parts: &["(error 3118, HY000)", "run on the server: ALTER USER 'repl'@'…' ACCOUNT UNLOCK"],
        open: "ALTER USER repl@'%' ACCOUNT UNLOCK",
    },
    Closed {
        close: "ALTER USER repl@'%' PASSWORD EXPIRE",
        code: "ACCESS_DENIED",
        parts: &["(error 1862, HY000)", "PASSWORD EXPIRE NEVER"],
        open: "ALTER USER repl@'%' IDENTIFIED BY 'replpw' PASSWORD EXPIRE NEVER",
    },
    Closed {
        close: "SET GLOBAL offline_mode=ON",
        code: "CONNECTION_LOST",
        parts: &["(error 3032, HY000)", "SET GLOBAL offline_mode=OFF"],
        open: "SET GLOBAL offline_mode=OFF",
    },
    Closed {
        close: "ALTER USER repl@'%' WITH MAX_USER_CONNECTIONS 1",
        code: "SERVER_ERROR",
        parts: &["(error 1226, 42000)", "no more connections"],
        open: "ALTER USER repl@'%' WITH MAX_USER_CONNECTIONS 0",
    },
    Closed {
        close: "SET GLOBAL max_connections=1",
        code: "SERVER_ERROR",
        parts: &["(error 1040, 08004)", "raise max_connections"],
        open: "SET GLOBAL max_connections=100",
    },
    Closed {
        close: "ALTER USER repl@'%' REQUIRE X509",
        code: "ACCESS_DENIED",
        parts: &["(error 1045, 28000)", "REQUIRE SSL or X509"],
        open: "ALTER USER repl@'%' REQUIRE NONE",
    },
    Closed {
        close: "REVOKE REPLICATION CLIENT ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1227, 42000)", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT REPLICATION CLIENT ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE SELECT ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1142, 42000)", "GRANT SELECT ON `d`.* TO 'repl'@'%'", "`d`.`t`"],
        open: "GRANT SELECT ON *.* TO repl@'%'",
    },
];

const MARIADB_CLOSED: &[Closed] = &[
    Closed {
        close: "ALTER USER repl@'%' ACCOUNT LOCK",
        code: "ACCESS_DENIED",
        parts: &["(error 4151, HY000)", "ALTER USER 'repl'@'…' ACCOUNT UNLOCK"],
        open: "ALTER USER repl@'%' ACCOUNT UNLOCK",
    },
    Closed {
        close: "ALTER USER repl@'%' PASSWORD EXPIRE",
        code: "ACCESS_DENIED",
        parts: &["(error 1820, HY000)", "PASSWORD EXPIRE NEVER"],
        open: "ALTER USER repl@'%' IDENTIFIED BY 'replpw' PASSWORD EXPIRE NEVER",
    },
    Closed {
        close: "ALTER USER repl@'%' WITH MAX_USER_CONNECTIONS 1",
        code: "SERVER_ERROR",
        parts: &["(error 1226, 42000)", "no more connections"],
        open: "ALTER USER repl@'%' WITH MAX_USER_CONNECTIONS 0",
    },
    Closed {
        close: "SET GLOBAL max_password_errors=1",
        code: "ACCESS_DENIED",
        parts: &["(error 4150, HY000)", "FLUSH PRIVILEGES"],
        open: "SET GLOBAL max_password_errors=1000; FLUSH PRIVILEGES",
    },
    Closed {
        close: "REVOKE BINLOG MONITOR ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1227, 42000)", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT BINLOG MONITOR ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE SELECT ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1142, 42000)", "GRANT SELECT ON `d`.* TO 'repl'@'%'", "`d`.`t`"],
        open: "GRANT SELECT ON *.* TO repl@'%'",
    },
];

const MYSQL56_CLOSED: &[Closed] = &[
    Closed {
        close: "ALTER USER repl@'%' PASSWORD EXPIRE",
        code: "ACCESS_DENIED",
        parts: &["(error 1862, HY000)", "PASSWORD EXPIRE NEVER"],
        open: "UPDATE mysql.user SET password_expired='N' WHERE user='repl'; FLUSH PRIVILEGES",
    },
    Closed {
        close: "GRANT USAGE ON *.* TO repl@'%' WITH MAX_USER_CONNECTIONS 1",
        code: "SERVER_ERROR",
        parts: &["(error 1226, 42000)", "no more connections"],
        open: "GRANT USAGE ON *.* TO repl@'%' WITH MAX_USER_CONNECTIONS 0",
    },
    Closed {
        close: "SET GLOBAL max_connections=1",
        code: "SERVER_ERROR",
        parts: &["(error 1040", "raise max_connections"],
        open: "SET GLOBAL max_connections=100",
    },
    Closed {
        close: "REVOKE REPLICATION CLIENT ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1227, 42000)", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT REPLICATION CLIENT ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'"],
        open: "GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
    },
    Closed {
        close: "REVOKE SELECT ON *.* FROM repl@'%'",
        code: "RIGHT_MISSING",
        parts: &["(error 1142, 42000)", "GRANT SELECT ON `d`.* TO 'repl'@'%'", "`d`.`t`"],
        open: "GRANT SELECT ON *.* TO repl@'%'",
    },
];

/// Every door is found closed, the run ends and says how to open it; opened, all rows come.
fn doors(kind: Kind, closed: &[Closed]) {
    let Some(server) = Server::start_private(kind, FOREIGN) else { return };
    create(&server);
    insert(&server, 1);
    let mut admin = server.session();
    let home = Fountain::new();
    for door in closed {
        let what = format!("{kind}: {}", door.close);
        admin.sql(door.close);
        // Takes the one connection that the account may have.
        let one = door.close.contains("MAX_USER_CONNECTIONS");
        let guest = one.then(|| server.session_as("repl", "replpw").expect("the one connection"));
        if door.close.contains("max_password_errors") {
            for _ in 0..2 {
                assert!(server.session_as("repl", "wrong").is_err());
            }
        }
        let output = until_end(&Fountain::new(), &server, &[]);
        assert_refused_for(
            &what,
            &output,
            1,
            door.code,
            &[door.parts, &["producer00", &server.port().to_string()]].concat(),
        );
        drop(guest);
        for sql in door.open.split("; ") {
            admin.sql(sql);
        }
    }
    let output = until_end(&home, &server, &[]);
    assert_eq!((output.code, ids(&output.stdout)), (0, vec![1]), "{kind}: {}", output.stderr);
}

#[test]
fn doors_of_mysql_97() {
    doors(Kind::Mysql97, MYSQL97_CLOSED);
}

#[test]
fn doors_of_mysql_56() {
    doors(Kind::Mysql56, MYSQL56_CLOSED);
}

#[test]
fn doors_of_mariadb() {
    doors(Kind::Mariadb, MARIADB_CLOSED);
}

// -------------------------------------------------------------------------------------------- while rows are flowing

/// What breaks a running stream: SQL, with `{dump}` for the dump's connection; what is told, if anything; what cures it.
struct Break {
    begin: &'static str,
    told: &'static [&'static str],
    end: &'static str,
}

const ANY_BREAKS: &[Break] = &[
    Break { begin: "KILL {dump}", told: &["CONNECTION_LOST"], end: "" },
    Break {
        begin: "REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'; KILL {dump}",
        told: &["RIGHT_MISSING", "GRANT REPLICATION SLAVE", "trying again"],
        end: "GRANT REPLICATION SLAVE ON *.* TO repl@'%'",
    },
    Break {
        // A connection keeps the rights that it began with.
        begin: "REVOKE SELECT ON *.* FROM repl@'%'; KILL {dump}; CREATE TABLE d.u (a int); INSERT INTO d.u VALUES (1)",
        told: &["RIGHT_MISSING", "1142", "GRANT SELECT ON `d`.* TO 'repl'@'%'", "trying again"],
        end: "GRANT SELECT ON *.* TO repl@'%'",
    },
];

/// The administrator's is the one connection then.
const FULL: Break = Break {
    begin: "SET GLOBAL max_connections=1; KILL {dump}",
    told: &["SERVER_ERROR", "1040", "raise max_connections", "trying again"],
    end: "SET GLOBAL max_connections=100",
};

const MYSQL97_BREAKS: &[Break] = &[
    Break { begin: "KILL QUERY {dump}", told: &["CONNECTION_LOST"], end: "" },
    FULL,
    Break {
        begin: "SET GLOBAL offline_mode=ON; DO SLEEP(0)",
        told: &["3032", "SET GLOBAL offline_mode=OFF"],
        end: "SET GLOBAL offline_mode=OFF",
    },
    Break {
        begin: "ALTER USER repl@'%' ACCOUNT LOCK; KILL {dump}",
        told: &["ACCESS_DENIED", "3118", "ACCOUNT UNLOCK", "trying again"],
        end: "ALTER USER repl@'%' ACCOUNT UNLOCK",
    },
    Break {
        begin: "ALTER USER repl@'%' IDENTIFIED BY 'changed'; KILL {dump}",
        told: &["ACCESS_DENIED", "1045", "trying again"],
        end: "ALTER USER repl@'%' IDENTIFIED BY 'replpw'",
    },
    Break {
        begin: "SET GLOBAL super_read_only=ON",
        told: &[],
        end: "SET GLOBAL super_read_only=OFF; SET GLOBAL read_only=OFF",
    },
];

const MARIADB_BREAKS: &[Break] = &[
    Break { begin: "KILL QUERY {dump}", told: &["CONNECTION_LOST"], end: "" },
    Break {
        begin: "ALTER USER repl@'%' ACCOUNT LOCK; KILL {dump}",
        told: &["ACCESS_DENIED", "4151", "ACCOUNT UNLOCK", "trying again"],
        end: "ALTER USER repl@'%' ACCOUNT UNLOCK",
    },
    Break { begin: "SET GLOBAL read_only=ON", told: &[], end: "SET GLOBAL read_only=OFF" },
];

/// The dump's connection, once there is just one.
fn dump_connection(server: &Server) -> String {
    let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let mut found = Vec::new();
    harness::wait_until("one dump", PATIENCE, || {
        found = server.select(sql);
        found.len() == 1
    });
    found.remove(0).remove(0).expect("a number")
}

fn said(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// After each break rows go on where they were, once its cause is gone.
fn breaks(kind: Kind, options: &[&str], breaks: &[&[Break]]) {
    let Some(mut server) = Server::start_private(kind, &[FOREIGN, options].concat()) else { return };
    create(&server);
    insert(&server, 0);
    let mut admin = server.session();
    let home = Fountain::new();
    let pairs = [QUICK, &["start_without_point=beginning", "sink=stdout", "filter_shard_table_white=d\\..*"]]
        .concat();
    let mut run = home.spawn(&run_arguments(&home, &server, &keys(&pairs)));
    wait_for_row(&mut run, 0);
    let all: Vec<&Break> = breaks.iter().copied().flatten().collect();
    for (id, trouble) in (1..).zip(&all) {
        let what = format!("{kind}: {}", trouble.begin);
        let before = run.stderr().len();
        let begin = trouble.begin.replace("{dump}", &dump_connection(&server));
        for sql in begin.split("; ") {
            admin.sql(sql);
        }
        if !trouble.told.is_empty() {
            run.wait_for(&what, PATIENCE, |run| said(&run.stderr()[before..], trouble.told));
        }
        for sql in trouble.end.split("; ").filter(|sql| !sql.is_empty()) {
            admin.sql(sql);
        }
        admin.sql(&format!("INSERT INTO d.t VALUES ({id},'x')"));
        wait_for_row(&mut run, id);
    }
    drop(admin);
    server.restart();
    let last = all.len() as u64 + 1;
    insert(&server, last);
    wait_for_row(&mut run, last);
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!output.stderr.contains("REPLICA_ID_CLASH"), "{}", output.stderr);
    let expected: Vec<u64> = (0..=last).collect();
    assert_eq!(ids(&output.stdout), expected, "{kind}: each row once, in order: {}", output.stderr);
}

#[test]
fn breaks_of_mysql_97() {
    breaks(Kind::Mysql97, GTID, &[ANY_BREAKS, MYSQL97_BREAKS]);
}

#[test]
fn breaks_of_mysql_56() {
    breaks(Kind::Mysql56, &[], &[ANY_BREAKS, &[FULL]]);
}

#[test]
fn breaks_of_mariadb() {
    breaks(Kind::Mariadb, &[], &[ANY_BREAKS, MARIADB_BREAKS]);
}

// ------------------------------------------------------------------------------------------------------ two sources

/// The origin of every transaction, as if one server had logged them and the other had replicated them.
const ORIGIN: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// A server that lets us in and refuses the dump is passed over for the other, before the first row too; with both refusing,
/// the run ends.
#[test]
fn a_source_that_refuses_the_dump_is_passed_over() {
    let Some(main) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let Some(backup) = Server::start_private(Kind::Mysql97, &[GTID, &["--server-id=2"]].concat()) else {
        return;
    };
    for server in [&main, &backup] {
        server.sql(&format!(
            "SET gtid_next='{ORIGIN}:1'; CREATE DATABASE d; SET gtid_next='{ORIGIN}:2'; CREATE TABLE d.t (id int PRIMARY KEY); \
             SET gtid_next='{ORIGIN}:3'; BEGIN; INSERT INTO d.t VALUES (1); COMMIT; SET gtid_next='AUTOMATIC'"
        ));
    }
    main.sql("SET sql_log_bin=0; REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'");
    let port = format!("mysql_shard_0_ha1_port={}", backup.port());
    let pairs = ["mysql_shard_0_ha1_server=127.0.0.1", &port];
    let output = until_end(&Fountain::new(), &main, &pairs);
    assert_eq!((output.code, ids(&output.stdout)), (0, vec![1]), "{}", output.stderr);
    assert!(said(&output.stderr, &["RIGHT_MISSING", &main.port().to_string()]), "{}", output.stderr);
    backup.sql("SET sql_log_bin=0; REVOKE REPLICATION SLAVE ON *.* FROM repl@'%'");
    let output = until_end(&Fountain::new(), &main, &pairs);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    for port in [main.port(), backup.port()] {
        assert!(said(&output.stderr, &["RIGHT_MISSING", &port.to_string()]), "{}", output.stderr);
    }
}
