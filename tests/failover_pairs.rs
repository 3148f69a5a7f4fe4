//! A main server and its backup as a real replication pair: the main one dies under load, and nothing is lost or repeated.

mod harness;

use harness::By;
use harness::Kind;
use harness::Pair;

/// The pair itself: what these tests stand on.
#[test]
fn a_backup_applies_what_the_main_server_commits() {
    for kind in Kind::ALL {
        for by in [By::Gtid, By::Position] {
            let Some(mut pair) = Pair::start(kind, by) else { continue };
            let count = |pair: &Pair| pair.backup.value("SELECT COUNT(*) FROM d.t");
            pair.main.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
            pair.wait_until_caught_up();
            pair.main.flush_logs();
            pair.wait_until_caught_up();
            pair.stop_replication();
            pair.main.sql("INSERT INTO d.t VALUES (2)");
            assert_eq!(count(&pair), "1", "{kind} {by:?}");
            pair.start_replication();
            pair.wait_until_caught_up();
            assert_eq!(count(&pair), "2", "{kind} {by:?}");
            pair.main.sql("INSERT INTO d.t VALUES (3)");
            pair.wait_until_caught_up();
            pair.main.kill9();
            pair.promote();
            pair.backup.sql("INSERT INTO d.t VALUES (4)");
            pair.main.restart();
            pair.main_follows_backup();
            pair.backup.sql("INSERT INTO d.t VALUES (5)");
            pair.wait_until_main_caught_up();
            assert_eq!(count(&pair), "5", "{kind} {by:?}");
            let there = pair.main.value("SELECT COUNT(*) FROM d.t");
            assert_eq!(there, if by == By::Gtid { "5" } else { "4" }, "{kind} {by:?}");
        }
    }
}
