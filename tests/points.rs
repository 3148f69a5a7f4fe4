//! The saved point moves also when no row comes out: through idle time, rotations, and transactions that the filter
//! passes over. So a restart needs none of the logs before.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::stored::stored_point;

const WAYS: &[(Kind, &[&str])] = &[
    (Kind::Mysql56, &[]),
    (Kind::Mysql56, GTID),
    (Kind::Mysql97, GTID),
    (Kind::Mysql97, &[]),
    (Kind::Mariadb, &[]),
];

/// Rows of one table come out, those of the other do not.
fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE d.passed (id int) ENGINE=InnoDB");
}

const PAIRS: &[&str] = &[
    "start_without_point=beginning",
    "filter_shard_table_white=d.t",
    "dispatch_ddl=none",
    "mysql_heartbeat_period=200ms",
];

/// Whether the saved point is the end of the server's binlog, in each of its terms.
fn is_at_end(home: &Fountain, server: &Server) -> bool {
    let Some(point) = stored_point(home) else { return false };
    let (file, pos) = server.binlog_end();
    let set = point["gtid_set"].as_str();
    point["file"] == file && point["pos"] == pos && set.is_none_or(|set| set == server.gtid_executed())
}

fn rows(home: &Fountain) -> usize {
    parse(&data(&home.home().join("data"))).len()
}

#[test]
fn the_point_follows_the_end_of_the_log_without_rows() {
    for (kind, options) in WAYS {
        for eager in ["pack_eager=true", "pack_eager=false"] {
            // One of both will do for the older server.
            if *kind == Kind::Mysql56 && eager == "pack_eager=false" {
                continue;
            }
            let Some(server) = Server::start_private(*kind, options) else { continue };
            create(&server);
            let home = Fountain::new();
            let run = home.spawn(&run_arguments(&home, &server, &keys(&[PAIRS, &[eager]].concat())));
            let context = format!("{kind} {options:?} {eager}");
            let reached = |what: &str| {
                harness::wait_until(&format!("{context}: {what}"), PATIENCE, || is_at_end(&home, &server));
            };
            reached("DDL that is not delivered");
            server.sql("INSERT INTO d.passed VALUES (1),(2); INSERT INTO d.passed VALUES (3)");
            reached("transactions that are passed over");
            server.flush_logs();
            reached("a rotation");
            server.sql("BEGIN; INSERT INTO d.passed VALUES (4); INSERT INTO d.passed VALUES (5); COMMIT");
            server.flush_logs();
            server.sql("CREATE TABLE d.other (id int) ENGINE=InnoDB");
            reached("both");
            assert_eq!(rows(&home), 0, "{context}");
            assert_eq!(run.terminate(PATIENCE).code, 0);

            // Nothing of what lies before is needed any more.
            let (last, _) = server.binlog_end();
            harness::wait_until("the purge", PATIENCE, || {
                server.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
                server.binlogs().len() == 1
            });
            server.sql("INSERT INTO d.t VALUES (1)");
            let output = run_until(&home, &server, "end", &keys(PAIRS));
            assert_eq!(output.code, 0, "{context}: {}", output.stderr);
            assert_eq!(rows(&home), 1, "{context}");
        }
    }
}

/// The start itself is saved before any row: a run that has seen nothing yet is gone on with from its own start, not
/// from a later end.
#[test]
fn the_start_is_saved_before_the_first_row() {
    for (kind, options) in WAYS {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        create(&server);
        let home = Fountain::new();
        let run = home.spawn(&run_arguments(&home, &server, &keys(&["start_without_point=end"])));
        harness::wait_until("the start is saved", PATIENCE, || stored_point(&home).is_some());
        run.kill9();
        server.sql("INSERT INTO d.t VALUES (1)");
        let output = run_until(&home, &server, "end", &keys(&["start_without_point=end"]));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(rows(&home), 1, "{kind} {options:?}");
    }
}
