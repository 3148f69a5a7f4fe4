//! MariaDB followed by GTID: domains, a change of the master, what a server lacks, has lost or has counted anew, and the
//! way from a position to GTIDs.

mod harness;

use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::numbered::ids_of;
use harness::numbered::selected;
use harness::stored::lines_in;
use harness::stored::point;
use serde_json::Value;
use std::collections::HashSet;

const MARIADB: [Kind; 2] = [Kind::Mariadb, Kind::Mariadb118];
const FROM_BEGINNING: &str = "start_without_point=beginning";

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    let given = pairs.iter().any(|pair| pair.starts_with("start_without_point="));
    let from = if given { &[][..] } else { &[FROM_BEGINNING] };
    run_until(home, server, "end", &keys(&[from, pairs].concat()))
}

fn ran(home: &Fountain, server: &Server, pairs: &[&str]) -> String {
    let output = run(home, server, pairs);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output.stderr
}

fn create(server: &Server) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; \
         CREATE TABLE d.u (id int PRIMARY KEY) ENGINE=InnoDB",
    );
}

/// Rows into d.t by domain 1 and into d.u by domain 2, by two sessions at once.
fn write_in_two_domains(server: &Server, ids: std::ops::Range<u64>) {
    let mut sessions = [server.session(), server.session()];
    for (session, domain) in sessions.iter_mut().zip(1..) {
        session.sql(&format!("SET SESSION gtid_domain_id={domain}"));
    }
    for id in ids {
        let [one, two] = &mut sessions;
        one.send(&format!("INSERT INTO d.t VALUES ({id})"));
        two.send(&format!("INSERT INTO d.u VALUES ({id})"));
        for session in &mut sessions {
            session.finish().expect("an insert");
        }
    }
}

/// Begins a new file and does away with all others. One that a dump of ours still uses is left at first.
fn purge(server: &Server) {
    harness::wait_until("the old files are gone", PATIENCE, || {
        server.flush_logs();
        let (file, _) = server.binlog_end();
        server.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
        server.select("SHOW BINARY LOGS").len() == 1
    });
}

fn replicate(replica: &Server, master: &Server) {
    let (user, password) = master.replica_account();
    replica.sql(&format!(
        "SET GLOBAL gtid_slave_pos=@@GLOBAL.gtid_binlog_pos; \
         CHANGE MASTER TO master_host='127.0.0.1', master_port={}, master_user='{user}', master_password='{password}', \
         master_ssl_verify_server_cert=0, master_use_gtid=slave_pos; START SLAVE",
        master.port()
    ));
}

/// The replica has all that the master has, and is a master itself from now on.
fn promote(replica: &Server, master_has: &str) {
    assert_eq!(replica.value(&format!("SELECT MASTER_GTID_WAIT('{master_has}', 60)")), "0");
    replica.sql("STOP SLAVE; RESET SLAVE ALL");
}

fn spawn(home: &Fountain, main: &Server, backup: &Server) -> Running {
    let port = format!("mysql_shard_0_ha1_port={}", backup.port());
    let pairs = [
        "mysql_shard_0_ha1_server=127.0.0.1",
        &port,
        FROM_BEGINNING,
        "dispatch_ddl=none",
        "data_source_try_interval=100ms",
        "repeat_resource_interval=300ms",
    ];
    home.spawn(&run_arguments(home, main, &keys(&pairs)))
}

fn wait_for_rows(run: &mut Running, home: &Fountain, count: usize) {
    run.wait_for(&format!("{count} rows"), PATIENCE, |_| lines_in(home).len() >= count);
}

/// A replica takes over while fountain is behind, goes on in both domains and begins a third; later the old master is
/// back as a replica, and takes over again.
#[test]
fn a_change_of_the_master_loses_and_repeats_nothing() {
    for (kind, strict) in [(Kind::Mariadb, "OFF"), (Kind::Mariadb118, "ON")] {
        let strict = format!("--gtid-strict-mode={strict}");
        let options = |id| [strict.as_str(), "--log-slave-updates=ON", id];
        let Some(mut a) = Server::start_private(kind, &options("--server-id=1")) else { continue };
        let Some(mut b) = Server::start_private(kind, &options("--server-id=2")) else { continue };
        create(&a);
        replicate(&b, &a);
        let home = Fountain::new();
        write_in_two_domains(&a, 0..20);
        let mut running = spawn(&home, &a, &b);
        wait_for_rows(&mut running, &home, 40);
        // Fountain stands still while the master writes on and dies: the rest of its rows come from the replica.
        running.signal("STOP");
        write_in_two_domains(&a, 20..60);
        promote(&b, &a.gtid_executed());
        a.kill9();
        running.signal("CONT");
        write_in_two_domains(&b, 60..80);
        b.sql("SET SESSION gtid_domain_id=3; INSERT INTO d.t VALUES (1000)");
        wait_for_rows(&mut running, &home, 161);
        running.kill9();

        write_in_two_domains(&b, 80..90);
        a.restart();
        replicate(&a, &b);
        let mut running = spawn(&home, &b, &a);
        wait_for_rows(&mut running, &home, 181);
        running.signal("STOP");
        write_in_two_domains(&b, 90..100);
        promote(&a, &b.gtid_executed());
        b.stop();
        running.signal("CONT");
        write_in_two_domains(&a, 100..110);
        wait_for_rows(&mut running, &home, 221);
        assert_eq!(running.terminate(PATIENCE).code, 0);

        let lines = lines_in(&home);
        assert_eq!(ids_of(&lines, "u"), selected(&a, "d.u"), "{kind}");
        let mut of_t = ids_of(&lines, "t");
        assert_eq!(of_t.iter().filter(|id| **id < 1000).count(), 110);
        assert!(of_t.iter().filter(|id| **id < 1000).is_sorted(), "{kind}: in a domain's order");
        of_t.sort_unstable();
        assert_eq!(of_t, selected(&a, "d.t"), "{kind}");
        let named: HashSet<_> =
            lines.iter().map(|line| (line["gtid"].as_str(), line["row"].as_u64())).collect();
        assert_eq!(named.len(), lines.len(), "{kind}: each row has a name of its own");
        assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "numbered without holes");
        let of_both: HashSet<_> = lines.iter().filter_map(|line| line["server_id"].as_u64()).collect();
        assert_eq!(of_both, HashSet::from([1, 2]));
        assert_eq!(point(&home)["gtid_position"], a.value("SELECT @@GLOBAL.gtid_binlog_pos"), "{kind}");
    }
}

/// A backup that lags is waited for; one that has gone another way, and one of other data, are refused by name.
#[test]
fn what_a_server_lacks_is_named() {
    let Some(server) = Server::start_private(Kind::Mariadb, &["--server-id=1"]) else { return };
    let Some(other) = Server::start_private(Kind::Mariadb, &["--server-id=2"]) else { return };
    create(&server);
    server.sql("INSERT INTO d.t VALUES (1)");
    let home = Fountain::new();
    ran(&home, &server, &[]);
    let refusal = || run(&home, &other, &[]);
    assert_refused(&refusal(), 1, "POINT_BEYOND_END", &["0-1-4", "nothing of these domains"]);
    create(&other);
    assert_refused(&refusal(), 1, "POINT_BEYOND_END", &["0-1-4 (it is at 0-2-3)"]);
    other.sql("INSERT INTO d.t VALUES (1); INSERT INTO d.t VALUES (2)");
    assert_refused(&refusal(), 1, "POINT_BEYOND_END", &["0-1-4 (it has 0-2-5 instead)"]);
    // It has ours and went on.
    other.sql(
        "SET SESSION server_id=1, gtid_seq_no=4; INSERT INTO d.t VALUES (4); INSERT INTO d.t VALUES (5)",
    );
    ran(&home, &other, &[]);
    assert_eq!(ids_of(&lines_in(&home), "t"), [1, 5]);
}

/// The server's log has numbers on both sides of ours and not ours: nobody knows what stood there.
#[test]
fn a_hole_in_the_log_is_the_server_s_refusal() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        server.sql("INSERT INTO d.t VALUES (1); SET SESSION gtid_seq_no=9; INSERT INTO d.t VALUES (2)");
        let output = run_until(&Fountain::new(), &server, "end", &keys(&["mysql_binlogdump_gtidset=0-1-7"]));
        assert_refused(&output, 1, "POINT_BEYOND_END", &["missing the GTID 0-1-7", "(error 1236"]);
        let home = Fountain::new();
        let output = run_until(&home, &server, "end", &keys(&["mysql_binlogdump_gtidset=0-1-4"]));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(ids_of(&lines_in(&home), "t"), [2], "{kind}");
    }
}

#[test]
fn purged_transactions_are_named_by_domain() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        write_in_two_domains(&server, 0..3);
        let home = Fountain::new();
        ran(&home, &server, &[]);
        // All that is gone has been read.
        purge(&server);
        ran(&home, &server, &[]);
        write_in_two_domains(&server, 3..5);
        server.sql("SET SESSION gtid_domain_id=7; INSERT INTO d.t VALUES (100)");
        purge(&server);
        server.sql("INSERT INTO d.t VALUES (101)");
        let parts = [
            "those behind 1-1-3 up to 1-1-5, those behind 2-1-3 up to 2-1-5, all of domain 7 up to 7-1-1",
            "connect to a server that still has them",
        ];
        assert_refused(&run(&home, &server, &[]), 1, "PURGED", &parts);
        // From the beginning that is left.
        let anew = Fountain::new();
        ran(&anew, &server, &[]);
        assert_eq!(ids_of(&lines_in(&anew), "t"), [101], "{kind}");
    }
}

/// RESET MASTER counts from 1 again. Below our number the server lacks it; above it, it has another one of that name.
#[test]
fn a_reset_is_noticed_also_when_the_numbers_have_caught_up() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        server.flush_logs();
        server.sql("INSERT INTO d.t VALUES (1); INSERT INTO d.t VALUES (2)");
        let home = Fountain::new();
        ran(&home, &server, &[]);
        assert_eq!(point(&home)["gtid_position"], "0-1-5");
        server.sql("RESET MASTER");
        assert_refused(&run(&home, &server, &[]), 1, "POINT_BEYOND_END", &["0-1-5"]);
        for id in 3..7 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
        }
        assert_refused(&run(&home, &server, &[]), 1, "POINT_BEYOND_END", &["0-1-5 (it is at 0-1-4)"]);
        server.flush_logs();
        server.flush_logs();
        server.flush_logs();
        for id in 7..10 {
            server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
        }
        // The number is there, in a later file than ours.
        assert_refused(&run(&home, &server, &[]), 1, "POINT_FOREIGN", &["reset or restored"]);
        assert_refused(&run(&home, &server, &["binlog_dump_strategy=position"]), 1, "POINT_", &["reset"]);
        assert_eq!(ids_of(&lines_in(&home), "t"), [1, 2]);
    }
}

#[test]
fn a_run_ends_at_gtids() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        write_in_two_domains(&server, 0..9);
        let home = Fountain::new();
        for (until, last) in [("1-1-3,2-1-4", 4), ("1-1-3", 4), ("0-1-2,2-9-7", 7), ("end", 9)] {
            let output = run_until(&home, &server, until, &keys(&[FROM_BEGINNING]));
            assert_eq!(output.code, 0, "{until}: {}", output.stderr);
            let lines = lines_in(&home);
            assert!(
                ids_of(&lines, "u").starts_with(&(0..last).collect::<Vec<_>>()),
                "{kind} {until}: {lines:?}"
            );
            assert!(ids_of(&lines, "u").len() as u64 <= last + 1, "{kind} {until}");
        }
        assert_eq!((ids_of(&lines_in(&home), "t").len(), ids_of(&lines_in(&home), "u").len()), (9, 9));
        let foreign = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1";
        let output = run_until(&home, &server, foreign, &[]);
        assert_refused(&output, 1, "USAGE", &["of the other kind"]);
    }
}

/// Numbers that do not rise, as without strict mode when two servers write in one domain.
#[test]
fn numbers_out_of_order_are_followed_in_the_log_s_order() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        let home = Fountain::new();
        ran(&home, &server, &[]);
        for (id, server_id, number) in [(1, 1, 10), (2, 2, 5), (3, 1, 11), (4, 2, 6)] {
            server.sql(&format!(
                "SET SESSION server_id={server_id}, gtid_seq_no={number}; INSERT INTO d.t VALUES ({id})"
            ));
            ran(&home, &server, &[]);
            assert_eq!(ids_of(&lines_in(&home), "t"), (1..=id).collect::<Vec<_>>(), "{kind}");
        }
        let at_once = Fountain::new();
        ran(&at_once, &server, &[]);
        assert_eq!(ids_of(&lines_in(&at_once), "t"), [1, 2, 3, 4], "{kind}");
        assert_eq!(point(&at_once)["gtid_position"], "0-2-6");
    }
}

/// A domain that was deleted on the server, and one that begins anew there.
#[test]
fn domains_come_and_go() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    write_in_two_domains(&server, 0..2);
    let home = Fountain::new();
    ran(&home, &server, &[]);
    purge(&server);
    server.sql("FLUSH BINARY LOGS DELETE_DOMAIN_ID=(2)");
    server.sql("INSERT INTO d.t VALUES (10); SET SESSION gtid_domain_id=5; INSERT INTO d.t VALUES (11)");
    let told = ran(&home, &server, &[]);
    assert!(told.contains("knows nothing of the domains of 2-1-2"), "{told}");
    assert_eq!(ids_of(&lines_in(&home), "t"), [0, 1, 10, 11]);
    // The domain is back and counts from 1: the server has no transaction of ours.
    server.sql("SET SESSION gtid_domain_id=2; INSERT INTO d.u VALUES (12)");
    assert_refused(&run(&home, &server, &[]), 1, "POINT_BEYOND_END", &["2-1-2 (it is at 2-1-1)"]);
}

/// A position learns its GTIDs from the server, and goes on by them; back by position works where both agree.
#[test]
fn a_position_becomes_gtids() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        write_in_two_domains(&server, 0..2);
        let (file, pos) = server.binlog_end();
        let start = [format!("mysql_binlogdump_filename={file}"), format!("mysql_binlogdump_position={pos}")];
        let place = [start[0].as_str(), &start[1], "start_without_point=auto"];
        write_in_two_domains(&server, 2..4);
        let home = Fountain::new();
        let told = ran(&home, &server, &place);
        assert!(told.contains(&format!("reading at {file}:{pos}")), "{told}");
        assert_eq!(point(&home)["gtid_position"], server.gtid_executed());
        let ways = [("auto", "behind the GTIDs"), ("position", "reading at"), ("gtid", "behind the GTIDs")];
        for (next, (way, told_as)) in (4..).zip(ways) {
            server.flush_logs();
            write_in_two_domains(&server, next..next + 1);
            let told = ran(&home, &server, &[&format!("binlog_dump_strategy={way}")]);
            assert!(told.contains(told_as), "{told}");
            assert_eq!(ids_of(&lines_in(&home), "t"), (2..=next).collect::<Vec<_>>(), "{kind} {way}");
            assert_eq!(ids_of(&lines_in(&home), "u"), (2..=next).collect::<Vec<_>>(), "{kind} {way}");
        }
    }
}

/// The PREPARE is read once more at the start, with what followed it in its domain: that does not count as being back there.
#[test]
fn an_end_in_two_domains_is_reached_behind_a_pending_xa() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        server.sql("XA START 'x'; INSERT INTO d.t VALUES (100); XA END 'x'; XA PREPARE 'x'");
        server.sql("INSERT INTO d.t VALUES (1); INSERT INTO d.t VALUES (2)");
        server.sql("SET SESSION gtid_domain_id=1; INSERT INTO d.u VALUES (1)");
        let home = Fountain::new();
        ran(&home, &server, &[]);
        assert_eq!(point(&home)["pending_xa"].as_array().map(Vec::len), Some(1), "{kind}");
        server.sql("SET SESSION gtid_domain_id=1; INSERT INTO d.u VALUES (2)");
        let until = server.gtid_executed();
        server.sql("SET SESSION gtid_domain_id=1; INSERT INTO d.u VALUES (3)");
        // The last of domain 0 is behind us already; domain 1 has one to come.
        let output = run_until(&home, &server, &until, &keys(&[FROM_BEGINNING]));
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(
            (ids_of(&lines_in(&home), "t"), ids_of(&lines_in(&home), "u")),
            (vec![1, 2], vec![1, 2]),
            "{kind}"
        );
        assert_eq!(point(&home)["gtid_position"], until, "{kind}");
        server.sql("XA COMMIT 'x'");
        ran(&home, &server, &[]);
        assert_eq!(
            (ids_of(&lines_in(&home), "t"), ids_of(&lines_in(&home), "u")),
            (vec![1, 2, 100], vec![1, 2, 3])
        );
        assert_eq!(point(&home)["pending_xa"], Value::Null, "{kind}");
    }
}

/// Transactions larger than a pack, of which a part is out when the program dies.
#[test]
fn a_large_transaction_is_gone_on_with_by_gtid() {
    for kind in MARIADB {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(400)) ENGINE=InnoDB");
        let insert = "INSERT INTO d.t SELECT seq, REPEAT('x', 400) FROM";
        server.sql(&format!(
            "SET SESSION gtid_domain_id=4; BEGIN; {insert} d.seq_1_to_20000; {insert} d.seq_20001_to_40000; COMMIT"
        ));
        let home = Fountain::new();
        let mut running = home.spawn(&run_arguments(&home, &server, &keys(&[FROM_BEGINNING])));
        running.wait_for("a part of it", PATIENCE, |_| data(&home.home().join("data")).len() > 4_000_000);
        running.kill9();
        ran(&home, &server, &[]);
        let lines = lines_in(&home);
        assert_eq!(ids_of(&lines, "t"), (1..=40000).collect::<Vec<_>>(), "{kind}");
        assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "numbered without holes");
    }
}
