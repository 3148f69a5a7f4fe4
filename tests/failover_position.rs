//! Points by file and position, and a server that dies: on another one they mean nothing. It is refused
//! (`position_failover=refuse`), or that one is read from the last commit time on, rows come again, and it is told
//! (`timestamp`).

mod harness;

use harness::By;
use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Pair;
use harness::Proxy;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::pair::log_updates_off;
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

const ALWAYS: &[&str] = &[
    "start_without_point=beginning",
    "binlog_dump_strategy=position",
    "mysql_ssl_mode=disabled",
    "data_source_try_interval=100ms",
    "repeat_resource_interval=300ms",
];
const BY_TIME: &[&str] = &["position_failover=timestamp", "position_failover_margin_ms=1s"];
/// What lies so far back is not read again with a margin of a second: times are told in whole seconds.
const LONG_AGO: Duration = Duration::from_millis(3100);

fn create(server: &Server) {
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(100)) ENGINE=InnoDB; \
         CREATE TABLE d.u (id int PRIMARY KEY, v varchar(100)) ENGINE=InnoDB",
    );
}

/// Rows with these ids in both tables: transactions of one and of several rows, of one and of two tables.
fn insert(server: &Server, ids: std::ops::RangeInclusive<u64>) {
    let (first, last) = (*ids.start(), *ids.end());
    server
        .sql(&format!("INSERT INTO d.t VALUES ({first},'alone'); INSERT INTO d.u VALUES ({first},'alone')"));
    for id in first + 1..=last {
        server.sql(&format!(
            "BEGIN; INSERT INTO d.t VALUES ({id},'new'); INSERT INTO d.u VALUES ({id},'new'); \
             UPDATE d.t SET v=CONCAT(v,'+{id}') WHERE id>={first}; DELETE FROM d.u WHERE id={id}-1; COMMIT"
        ));
    }
}

/// What a consumer of one table holds that takes the last word on each key: what the lines come to, in their order.
fn last_words(lines: &[Value], table: &str) -> BTreeMap<u64, String> {
    let mut rows = BTreeMap::new();
    for line in lines.iter().filter(|line| line["database"] == "d" && line["table"] == table) {
        let image = if line["op"] == "delete" { &line["before"] } else { &line["after"] };
        let id = image["id"].as_u64().expect("an id");
        match image["v"].as_str().filter(|_| line["op"] != "delete") {
            Some(text) => rows.insert(id, text.to_owned()),
            None => rows.remove(&id),
        };
    }
    rows
}

fn rows(server: &Server, table: &str) -> BTreeMap<u64, String> {
    let rows = server.select(&format!("SELECT id, v FROM d.{table}"));
    let row = |row: &harness::Row| {
        (row[0].clone().expect("an id").parse().expect("a number"), row[1].clone().expect("a text"))
    };
    rows.iter().map(row).collect()
}

/// How often this row of d.t was told as new.
fn inserted(lines: &[Value], id: u64) -> usize {
    let is_it = |line: &&Value| line["op"] == "insert" && line["table"] == "t" && line["after"]["id"] == id;
    lines.iter().filter(is_it).count()
}

fn lines(home: &Fountain) -> Vec<Value> {
    // The last line may be half written.
    let text = data(&home.home().join("data"));
    parse(&text[..text.rfind('\n').map_or(0, |end| end + 1)])
}

fn wait_for_row(run: &mut Running, home: &Fountain, id: u64) {
    run.wait_for(&format!("row {id}"), PATIENCE, |_| inserted(&lines(home), id) > 0);
}

fn spawn(pair: &Pair, home: &Fountain, main: u16, extra: &[&str]) -> Running {
    let keys = keys(&[ALWAYS, extra].concat());
    home.spawn(&pair.run_arguments_through(home, main, pair.backup.port(), &keys))
}

fn ended(run: Running) -> Output {
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

fn count(output: &Output, word: &str) -> usize {
    output.stderr.lines().filter(|line| line.contains(word)).count()
}

/// Both ways on one pair. First the main server dies and `refuse` reads nothing from the backup. Then `timestamp` begins
/// there, and later goes over to the main server, which has become the replica, in the middle of a run.
fn a_server_dies(kind: Kind) {
    let Some(mut pair) = Pair::start(kind, By::Position) else { return };
    create(&pair.main);
    insert(&pair.main, 1..=5);
    // Several files to be told apart, of different numbers on both.
    pair.wait_until_caught_up();
    (0..3).for_each(|_| pair.backup.flush_logs());
    sleep(LONG_AGO);
    insert(&pair.main, 6..=9);
    pair.wait_until_caught_up();
    pair.backup.flush_logs();

    let home = Fountain::new();
    let proxy = Proxy::start(pair.main.port());
    let mut run = spawn(&pair, &home, proxy.port(), &[]);
    wait_for_row(&mut run, &home, 9);
    // These are on the backup, and are not delivered before the main server is dead.
    proxy.stall();
    insert(&pair.main, 10..=14);
    pair.wait_until_caught_up();
    pair.main.kill9();
    proxy.cut_all();
    proxy.resume();
    pair.promote();
    run.wait_for("the refusal", PATIENCE, |run| {
        run.stderr().contains("POINT_FOREIGN") && run.stderr().contains("position_failover=timestamp")
    });
    ended(run);
    let before = lines(&home);
    let port = |server: &Server| format!("127.0.0.1:{}", server.port());
    assert!(before.iter().all(|line| line["server"] == format!("127.0.0.1:{}", proxy.port())), "{kind}");

    let mut run = spawn(&pair, &home, pair.main.port(), BY_TIME);
    wait_for_row(&mut run, &home, 14);
    pair.main.restart();
    pair.main_follows_backup();
    insert(&pair.backup, 15..=19);
    pair.wait_until_main_caught_up();
    wait_for_row(&mut run, &home, 19);
    pair.backup.kill9();
    insert(&pair.main, 20..=24);
    wait_for_row(&mut run, &home, 24);
    let output = ended(run);

    let all = lines(&home);
    for table in ["t", "u"] {
        assert_eq!(last_words(&all, table), rows(&pair.main, table), "{kind} d.{table}");
    }
    for id in 1..=24 {
        let expected = match id {
            1..=5 => 1..=1,
            // The last one before a change of the server always comes again; those before it by the clock.
            9 => 2..=3,
            _ => 1..=3,
        };
        assert!(expected.contains(&inserted(&all, id)), "{kind}: row {id}: {}", inserted(&all, id));
    }
    let told: Vec<&Value> = all.iter().filter(|line| line["op"] == "gap").collect();
    assert_eq!(told.len(), 2, "{kind}: {told:?}");
    assert_eq!(count(&output, "SOURCE_SWITCHED"), 2, "{kind}: {}", output.stderr);
    let gaps = home
        .run(&["gaps", "--json", "-D", "mysql_shard_0_server=127.0.0.1", "-D", "mysql_username=x"], PATIENCE);
    assert_eq!(gaps.code, 0, "{}", gaps.stderr);
    let gaps = parse(&gaps.stdout);
    assert_eq!(gaps.len(), 2, "{kind}: {gaps:?}");
    for (gap, server) in gaps.iter().zip([&pair.backup, &pair.main]) {
        assert_eq!(gap["kind"], "jump", "{gap}");
        let reason = gap["reason"].as_str().expect("a reason");
        assert!(reason.contains("position_failover=timestamp") && reason.contains(&port(server)), "{reason}");
    }
    let verified = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(verified.code, 0, "{kind}: {}{}", verified.stdout, verified.stderr);
}

#[test]
fn a_server_dies_mysql56() {
    a_server_dies(Kind::Mysql56);
}

#[test]
fn a_server_dies_mysql97() {
    a_server_dies(Kind::Mysql97);
}

#[test]
fn a_server_dies_mariadb() {
    a_server_dies(Kind::Mariadb);
}

/// Runs to the main server's end, and once more when only the backup is there.
fn then_on_the_backup(pair: &mut Pair, keys_then: &[&str]) -> Output {
    let home = Fountain::new();
    let first = home
        .run(&run_arguments(&home, &pair.main, &[&keys(ALWAYS)[..], &["--until", "end"]].concat()), PATIENCE);
    assert_eq!(first.code, 0, "{}", first.stderr);
    pair.main.kill9();
    let keys = keys(&[ALWAYS, keys_then].concat());
    let arguments = run_arguments(&home, &pair.backup, &[&keys[..], &["--until", "end"]].concat());
    home.run(&arguments, PATIENCE)
}

/// Where the time does not lead to a place that is certain, it is refused by name.
#[test]
fn what_the_time_does_not_tell_is_refused() {
    let an_hour = ["position_failover=timestamp", "position_failover_margin_ms=3600000"];
    if let Some(mut pair) = Pair::start(Kind::Mysql97, By::Position) {
        create(&pair.main);
        insert(&pair.main, 1..=2);
        pair.wait_until_caught_up();
        let output = then_on_the_backup(&mut pair, &an_hour);
        assert_refused(&output, 1, "PURGED", &["oldest binlog, binlog.000001", "copy the tables anew"]);
    }
    if let Some(mut pair) =
        Pair::start_with(Kind::Mysql56, By::Position, &[], &[log_updates_off(Kind::Mysql56)])
    {
        create(&pair.main);
        insert(&pair.main, 1..=2);
        pair.wait_until_caught_up();
        let output = then_on_the_backup(&mut pair, BY_TIME);
        assert_refused(&output, 1, "REPLICA_UPDATES", &["log_slave_updates=OFF"]);
    }
    if let Some(mut pair) = Pair::start(Kind::Mariadb, By::Position) {
        create(&pair.main);
        pair.main.sql("SET timestamp=UNIX_TIMESTAMP()+86400; INSERT INTO d.t VALUES (1,'from tomorrow')");
        pair.wait_until_caught_up();
        let output = then_on_the_backup(&mut pair, BY_TIME);
        assert_refused(&output, 1, "POINT_FOREIGN", &["which is to come", "fountain points set"]);
    }
}

/// An address that leads to one server and then to another, as names and balancers do: what one's log says is not used on the
/// other. And a session that waits for the search longer than the server's `wait_timeout` is not lost.
#[test]
fn the_search_by_time_reads_the_log_of_the_server_that_is_asked() {
    let Some(pair) = Pair::start_with(Kind::Mariadb, By::Position, &[], &["--wait-timeout=1"]) else {
        return;
    };
    create(&pair.main);
    // The backup's log has to reach back behind the last commit, less the margin.
    sleep(LONG_AGO);
    insert(&pair.main, 1..=3);
    let home = Fountain::new();
    let run = |address: &Proxy| {
        let pairs = [ALWAYS, BY_TIME].concat();
        let end = [&keys(&pairs)[..], &["--until", "end"]].concat();
        let output = home.run(&run_arguments_through(&home, &pair.main, address.port(), &end), PATIENCE);
        (output, lines(&home))
    };
    let address = Proxy::start(pair.main.port());
    assert_eq!(run(&address).0.code, 0);
    pair.wait_until_caught_up();
    address.detour(pair.backup.port());
    let (output, delivered) = run(&address);
    assert!(output.stderr.contains("another server answers"), "{}", output.stderr);
    assert!(delivered.iter().all(|line| line["op"] != "gap"), "{}", output.stderr);
    address.lead_to(pair.backup.port());
    address.delay_dumps(Duration::from_millis(1600));
    let (output, delivered) = run(&address);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(delivered.iter().any(|line| line["op"] == "gap"), "{}", output.stderr);
    assert!(!output.stderr.contains("CONNECTION_LOST"), "{}", output.stderr);
}
