//! Where a run begins: without a point, from a configured place, and from the point that the run before has saved, also
//! when the way of following the server changes in between.

mod harness;

use harness::Fault;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Proxy;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::stored::point;

const WAYS: &[(Kind, &[&str], &str)] = &[
    (Kind::Mysql56, &[], "auto"),
    (Kind::Mysql56, GTID, "gtid"),
    (Kind::Mysql97, GTID, "auto"),
    (Kind::Mysql97, GTID, "position"),
    (Kind::Mysql97, &[], "position"),
    (Kind::Mariadb, &[], "auto"),
    (Kind::Mariadb, &[], "position"),
];

fn strategy(word: &str) -> String {
    format!("binlog_dump_strategy={word}")
}

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    run_until(home, server, "end", &keys(pairs))
}

#[test]
fn without_a_point() {
    for (kind, options, way) in WAYS {
        let Some(server) = Server::start_private(*kind, options) else { continue };
        let way = strategy(way);
        create(&server);
        insert(&server, 1);
        server.flush_logs();
        insert(&server, 2);
        let (file, pos) = server.binlog_end();
        let gtids = server.gtid_executed();
        insert(&server, 3);
        let told = |pairs: &[&str]| {
            let home = Fountain::new();
            let output = run(&home, &server, &[pairs, &[way.as_str()]].concat());
            assert_eq!(output.code, 0, "{kind} {way} {pairs:?}: {}", output.stderr);
            ids_in(&home)
        };
        let nothing: [u64; 0] = [];
        assert_eq!(told(&[]), nothing, "{kind} {way}: auto is the end");
        assert_eq!(told(&["start_without_point=end"]), nothing, "{kind} {way}");
        assert_eq!(told(&["start_without_point=beginning"]), [1, 2, 3], "{kind} {way}");
        let place = [format!("mysql_binlogdump_filename={file}"), format!("mysql_binlogdump_position={pos}")];
        let by_gtid = (options == &GTID || !kind.is_mysql()) && way != strategy("position");
        assert_eq!(told(&[&place[0], &place[1]]), [3], "{kind} {way}");
        assert_eq!(
            told(&["start_without_point=end", &place[0], &place[1]]),
            nothing,
            "{kind} {way}: end means the end"
        );
        if by_gtid {
            let set = format!("mysql_binlogdump_gtidset={}", gtids.replace(',', ";"));
            assert_eq!(told(&[&set]), [3], "{kind} {way}");
        }
        let home = Fountain::new();
        let output = run(&home, &server, &["start_without_point=stop", &way]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("NO_POINT"), "{}", output.stderr);
        // A point that is there is used whatever is configured for the lack of one.
        assert_eq!(run(&home, &server, &["start_without_point=beginning", &way]).code, 0);
        insert(&server, 4);
        assert_eq!(run(&home, &server, &["start_without_point=stop", &way]).code, 0);
        assert_eq!(run(&home, &server, &["start_without_point=end", &way, &place[0], &place[1]]).code, 0);
        assert_eq!(ids_in(&home), [1, 2, 3, 4], "{kind} {way}");
    }
}

/// Stopped by SIGTERM after each row, with rotations and a restart of the server in between.
#[test]
fn a_stopped_run_is_gone_on_with() {
    for (kind, options, way) in
        WAYS.iter().filter(|(kind, options, _)| *kind != Kind::Mysql97 || !options.is_empty())
    {
        let Some(mut server) = Server::start_private(*kind, options) else { continue };
        let way = strategy(way);
        create(&server);
        let home = Fountain::new();
        for round in 1..=5 {
            let mut arguments =
                run_arguments(&home, &server, &keys(&["start_without_point=beginning", &way]));
            arguments.extend(["-D".to_owned(), "mysql_heartbeat_period=200ms".to_owned()]);
            let running = home.spawn(&arguments);
            insert(&server, 2 * round);
            harness::wait_until("the row", PATIENCE, || ids_in(&home).last() == Some(&(2 * round)));
            if round == 2 {
                // The rotation is seen by the run, or by the next one.
                server.flush_logs();
            }
            let output = running.terminate(PATIENCE);
            assert_eq!(output.code, 0, "{}", output.stderr);
            insert(&server, 2 * round + 1);
            match round {
                1 => server.flush_logs(),
                3 => server.restart(),
                4 => {
                    server.kill9();
                    server.restart();
                }
                _ => {}
            }
        }
        let output = run(&home, &server, &[&way]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(ids_in(&home), (2..=11).collect::<Vec<_>>(), "{kind} {way}: each row once, in order");
    }
}

/// From GTID to position and back at each row, and idle in between: nothing is lost or repeated.
#[test]
fn the_strategy_changes_between_runs() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        create(&server);
        let home = Fountain::new();
        let ways = ["gtid", "position", "auto", "position", "gtid", "auto", "gtid", "position"];
        for (id, way) in (1..).zip(ways) {
            insert(&server, id);
            let output = run(&home, &server, &["start_without_point=beginning", &strategy(way)]);
            assert_eq!(output.code, 0, "{kind} {way}: {}", output.stderr);
            assert_eq!(ids_in(&home), (1..=id).collect::<Vec<_>>(), "{kind} {way}");
            if id % 3 == 0 {
                server.flush_logs();
            }
        }
        assert!(point(&home)["gtid_set"].is_string(), "{kind}: the set is known all along");
    }
}

/// A position in the middle of a file knows no set; at the next file's beginning the server tells it, and from then on
/// the point goes by GTID.
#[test]
fn a_position_becomes_a_gtid_set() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        create(&server);
        insert(&server, 1);
        let (file, pos) = server.binlog_end();
        let start = [format!("mysql_binlogdump_filename={file}"), format!("mysql_binlogdump_position={pos}")];
        let start = [start[0].as_str(), &start[1]];
        insert(&server, 2);
        let home = Fountain::new();
        let told = |way: &str, pairs: &[&str]| {
            let output = run(&home, &server, &[&[strategy(way).as_str()], pairs].concat());
            assert_eq!(output.code, 0, "{kind} {way}: {}", output.stderr);
            output.stderr
        };
        told("auto", &start);
        assert!(point(&home).get("gtid_set").is_none(), "{kind}: the middle of a file");
        let output = run(&home, &server, &[&strategy("gtid")]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        let refusal = output.stderr.lines().find(|line| line.contains("POINT_FOREIGN")).unwrap_or_default();
        assert!(
            refusal.contains("knows no GTID set") && refusal.contains("binlog_dump_strategy=auto"),
            "{}",
            output.stderr
        );
        insert(&server, 3);
        server.flush_logs();
        insert(&server, 4);
        assert!(told("auto", &[]).contains("reading at"), "{kind}: by position");
        assert_eq!(point(&home)["gtid_set"], server.gtid_executed().as_str(), "{kind}");
        insert(&server, 5);
        assert!(told("auto", &[]).contains("behind the GTID set"), "{kind}: by GTID");
        insert(&server, 6);
        told("gtid", &[]);
        assert_eq!(ids_in(&home), (2..=6).collect::<Vec<_>>(), "{kind}");
    }
}

/// A start by GTID set is saved before the first event has told where its transactions lie in files: such a point is
/// refused by position, where it would leave rows out.
#[test]
fn a_gtid_point_without_any_event_is_not_taken_for_a_position() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        create(&server);
        insert(&server, 1);
        let set = server.gtid_executed();
        insert(&server, 2);
        server.flush_logs();
        insert(&server, 3);
        let home = Fountain::new();
        let start = format!("mysql_binlogdump_gtidset={set}");
        let proxy = Proxy::start(server.port());
        proxy.plan([Fault::Stall(0)]);
        let pairs = keys(&[&start, "mysql_ssl_mode=disabled", "start_without_point=auto"]);
        let running = home.spawn(&run_arguments_through(&home, &server, proxy.port(), &pairs));
        harness::wait_until("the dump command", PATIENCE, || proxy.streams() > 0);
        assert_eq!(running.terminate(PATIENCE).code, 0);
        assert_eq!(point(&home)["gtid_set"], set.as_str());
        let output = run(&home, &server, &[&strategy("position")]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("POINT_FOREIGN"), "{}", output.stderr);
        assert_eq!(run(&home, &server, &[]).code, 0);
        assert_eq!(ids_in(&home), [2, 3], "{kind}");
        insert(&server, 4);
        assert_eq!(run(&home, &server, &[&strategy("position")]).code, 0);
        assert_eq!(ids_in(&home), [2, 3, 4], "{kind}: by now the place is known");
    }
}
