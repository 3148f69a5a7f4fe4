//! How far the log has been read for DDL: what is kept of definitions outlives a stream that cannot begin, and an event that
//! is refused does not count as read. The definitions here keep their shape when they change, so nothing else can notice.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Proxy;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;
use harness::shapes;
use harness::shapes::Dice;
use harness::shapes::Oracle;
use harness::stored::data_in;
use harness::stored::point;
use harness::stored::stored;

const PAIRS: &[&str] = &[
    "start_without_point=beginning",
    "dispatch_ddl=none",
    "filter_shard_table_white=d.a",
    "mysql_ssl_mode=disabled",
    "data_source_try_interval=50ms",
    "repeat_resource_interval=50ms",
];
const MINIMAL: &str = "--binlog-row-metadata=MINIMAL";

fn run(home: &Fountain, server: &Server) -> Output {
    run_until(home, server, "end", &keys(PAIRS))
}

/// The connection breaks, the next one too before its dump begins; behind that the table is altered.
#[test]
fn what_is_known_outlives_a_dump_that_cannot_begin() {
    let minimal: Vec<&str> = [GTID, &[MINIMAL]].concat();
    for (kind, options) in [(Kind::Mysql56, vec![]), (Kind::Mysql97, minimal), (Kind::Mariadb, vec![])] {
        let Some(server) = Server::start_private(kind, &options) else { continue };
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(11));
        session.sql("CREATE DATABASE d");
        shapes::create(&mut session, "d.a", "c", 0);
        let proxy = Proxy::start(server.port());
        let home = Fountain::new();
        let arguments = run_arguments_through(&home, &server, proxy.port(), &keys(PAIRS));
        let mut live = home.spawn(&arguments);
        oracle.insert(&mut session, "d.a", &mut dice);
        live.wait_for("row 1", PATIENCE, |_| oracle.check(&data_in(&home)) == [1]);
        live.wait_for("its definition is kept", PATIENCE, |_| {
            stored(&home, "schema").is_some_and(|kept| kept.to_string().contains(r#""name":"c0""#))
        });
        proxy.turn_away(1);
        proxy.cut_all();
        oracle.insert(&mut session, "d.a", &mut dice);
        live.wait_for("row 2", PATIENCE, |_| oracle.check(&data_in(&home)) == [1, 2]);
        assert_eq!(proxy.to_be_turned_away(), 0, "{kind}: a dump could not begin");
        session.sql("ALTER TABLE d.a CHANGE c0 renamed int unsigned");
        oracle.insert(&mut session, "d.a", &mut dice);
        live.wait_for("row 3", PATIENCE, |_| oracle.check(&data_in(&home)) == [1, 2, 3]);
        assert_eq!(live.terminate(PATIENCE).code, 0);
        oracle.insert(&mut session, "d.a", &mut dice);
        let output = run(&home, &server);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(oracle.check(&data_in(&home)), [1, 2, 3, 4], "{kind}");
    }
}

/// A server that could not log what it did tells of it: whatever is missing there may be DDL. The point stays in front of
/// it, and somebody who sets it behind does not vouch for definitions.
#[test]
fn a_refused_event_does_not_count_as_read() {
    const TOO_MUCH: &str = "--max-binlog-stmt-cache-size=4096";
    let cases = [(Kind::Mysql56, vec![TOO_MUCH]), (Kind::Mysql97, vec![TOO_MUCH, MINIMAL])];
    for (kind, options) in cases.into_iter().chain([(Kind::Mariadb, vec![TOO_MUCH])]) {
        let Some(server) = Server::start_private(kind, &options) else { continue };
        let (mut session, mut oracle, mut dice) = (server.session(), Oracle::default(), Dice::new(12));
        session.sql("CREATE DATABASE d; CREATE TABLE d.big (v longtext) ENGINE=MyISAM");
        shapes::create(&mut session, "d.a", "c", 0);
        oracle.insert(&mut session, "d.a", &mut dice);
        let home = Fountain::new();
        assert_eq!(run(&home, &server).code, 0);
        let (file, pos) = server.binlog_end();
        let big = "INSERT INTO d.big VALUES (REPEAT('x',100000)),(REPEAT('x',100000))";
        let failed = session.try_select(big).expect_err("more than the server may log");
        let events = server.binlog_events(&file, pos);
        let incident = events.iter().find(|event| event.kind == "Incident");
        let incident = incident.unwrap_or_else(|| panic!("{kind}: {failed}: {events:?}"));
        // What the server could not log.
        session.sql("SET sql_log_bin=0; ALTER TABLE d.a CHANGE c0 renamed int unsigned; SET sql_log_bin=1");
        oracle.insert(&mut session, "d.a", &mut dice);

        assert_refused(&run(&home, &server), 1, "INCIDENT", &[&format!("{file}:")]);
        assert_eq!(oracle.check(&data_in(&home)), [1], "{kind}");
        assert!(point(&home)["pos"].as_u64() <= Some(incident.pos));
        let kept = stored(&home, "schema").expect("definitions");
        let read_to = kept["followed"].as_str().and_then(|place| place.strip_prefix(&format!("{file}:")));
        let read_to: Option<u64> = read_to.and_then(|pos| pos.parse().ok());
        assert!(read_to.is_some_and(|pos| pos <= incident.pos), "{kind}: {incident:?} {kept}");

        let behind = incident.end.to_string();
        let words =
            ["points", "set", "producer00", "--file", &file, "--pos", &behind, "--reason", "seen", "--yes"];
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        // By GTIDs there is no place behind an event without one.
        let by_position = keys(&[PAIRS, &["binlog_dump_strategy=position"]].concat());
        let arguments = run_arguments(&home, &server, &by_position).split_off(1);
        let output = home.run(&[words, arguments].concat(), PATIENCE);
        assert_eq!(output.code, 0, "{kind}: {}{}", output.stdout, output.stderr);
        let output = run_until(&home, &server, "end", &by_position);
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        let rows = data_in(&home).lines().filter(|line| !line.contains(r#""op":"gap""#)).count();
        assert_eq!((oracle.check(&data_in(&home)), rows), (vec![1, 2], 2), "{kind}");
    }
}

/// MySQL 9.7 sends the rows of CREATE TABLE … SELECT before it shows the table: they are one transaction, of which the
/// binlog has its part first. The delay lies between the two, where no binlog is synced before it is sent.
#[test]
fn rows_of_a_table_that_is_just_being_made() {
    let slow = ["--sync-binlog=0", "--binlog-group-commit-sync-delay=700000", MINIMAL];
    let Some(server) = Server::start_private(Kind::Mysql97, &[GTID, &slow].concat()) else { return };
    let home = Fountain::new();
    let mut live = home.spawn(&run_arguments(&home, &server, &keys(PAIRS)));
    live.wait_for("it follows", PATIENCE, |live| live.stderr().contains("connected"));
    server.sql("CREATE DATABASE d; CREATE TABLE d.a AS SELECT 1 AS id, 'x' AS c");
    live.wait_for("the row", PATIENCE, |_| data_in(&home).contains(r#""after":{"id":1,"c":"x"}"#));
}
