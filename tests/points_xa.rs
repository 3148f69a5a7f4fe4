//! Points that are moved by a person while XA transactions are prepared: what is undecided at the new place goes along, what
//! is decided in what is left out does not, and each that is dropped is told by name.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use serde_json::Value;

const PAIRS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];

fn start(kind: Kind, options: &[&str]) -> Option<Server> {
    let server = Server::start_private(kind, options)?;
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
    Some(server)
}

fn insert(server: &Server, id: u64) {
    server.sql(&format!("INSERT INTO d.t VALUES ({id})"));
}

/// In a connection of its own, which then goes away.
fn prepare(server: &Server, xid: &str, id: u64) {
    server
        .sql(&format!("XA START '{xid}'; INSERT INTO d.t VALUES ({id}); XA END '{xid}'; XA PREPARE '{xid}'"));
}

fn command(home: &Fountain, server: &Server, words: &[&str], pairs: &[&str]) -> Output {
    let keys = run_arguments(home, server, &keys(&[PAIRS, pairs].concat())).split_off(1);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    home.run(&[words, keys].concat(), PATIENCE)
}

fn set(home: &Fountain, server: &Server, place: &[&str], pairs: &[&str]) -> Output {
    let words = ["points", "set", "producer00", "--reason", "why", "--yes"];
    command(home, server, &[&words, place].concat(), pairs)
}

fn done(output: Output) -> String {
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    output.stdout
}

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> String {
    let output = run_until(home, server, "end", &keys(&[PAIRS, pairs].concat()));
    assert_eq!(output.code, 0, "{pairs:?}: {}", output.stderr);
    output.stderr
}

fn ids(home: &Fountain) -> Vec<u64> {
    let lines = parse(&data(&home.home().join("data")));
    lines.iter().filter_map(|line| line["after"]["id"].as_u64()).collect()
}

fn pending(home: &Fountain) -> Vec<String> {
    let text = std::fs::read_to_string(home.home().join("points/producer00.point")).expect("a point");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let list = record["point"]["pending_xa"].as_array().cloned().unwrap_or_default();
    let hex = |xa: &Value| xa["xid"].as_str().expect("xid").split('\'').nth(1).expect("quoted").to_owned();
    list.iter()
        .map(|xa| String::from_utf8(vec![u8::from_str_radix(&hex(xa), 16).expect("hex")]).unwrap())
        .collect()
}

fn gap_reasons(home: &Fountain, server: &Server) -> Vec<String> {
    let text = done(command(home, server, &["gaps", "--json"], &[]));
    let record = |line: &str| {
        serde_json::from_str::<Value>(line).expect("JSON")["reason"].as_str().unwrap().to_owned()
    };
    text.lines().map(record).collect()
}

/// The story: a, b, c and e are prepared before the old place. In what is left out b is committed, c rolled back, d prepared,
/// and e given to another one. Behind the new place all that are left are committed.
fn tell(kind: Kind, options: &[&str], way: &str, by: &str) {
    let Some(server) = start(kind, options) else { return };
    let way = format!("binlog_dump_strategy={way}");
    let home = Fountain::new();
    for (xid, id) in [("a", 10), ("b", 20), ("c", 30), ("e", 50)] {
        prepare(&server, xid, id);
    }
    insert(&server, 1);
    run(&home, &server, &[&way]);
    assert_eq!(pending(&home), ["a", "b", "c", "e"]);
    insert(&server, 2);
    server.sql("XA COMMIT 'b'; XA ROLLBACK 'c'; XA ROLLBACK 'e'");
    server.flush_logs();
    prepare(&server, "e", 51);
    prepare(&server, "d", 40);
    insert(&server, 3);
    let (file, pos) = server.binlog_end();
    let (pos, gtids) = (pos.to_string(), gtids(&server));
    insert(&server, 4);
    // Not prepared any more when the point is moved, and yet undecided at the new place.
    server.sql("XA COMMIT 'a'");
    let place = match by {
        "place" => vec!["--file", &file, "--pos", &pos],
        _ => vec!["--gtids", &gtids],
    };
    let told = done(set(&home, &server, &place, &[&way]));
    for part in [
        "X'62',X'',1 of",
        "committed at",
        "X'63',X'',1 of",
        "rolled back at",
        "X'61',X'',1 of",
        "stays pending",
    ] {
        assert!(told.contains(part), "{kind} {way} {by}: {part}: {told}");
    }
    assert_eq!(pending(&home), ["a", "e", "d"], "{kind} {way} {by}");
    let reasons = gap_reasons(&home, &server);
    assert!(reasons[0].starts_with("why (prepared XA transactions left out: X'62',X'',1 of "), "{reasons:?}");
    run(&home, &server, &[&way]);
    assert_eq!(ids(&home), [1, 4, 10], "{kind} {way} {by}");
    assert_eq!(pending(&home), ["e", "d"], "{kind} {way} {by}");
    server.sql("XA COMMIT 'd'; XA COMMIT 'e'");
    insert(&server, 5);
    run(&home, &server, &[&way]);
    assert_eq!(ids(&home), [1, 4, 10, 40, 51, 5], "{kind} {way} {by}");
    assert_eq!(pending(&home), [""; 0]);
    // The server's own word on what was not left out.
    let kept = server.select("SELECT id FROM d.t WHERE id NOT IN (2, 3, 20) ORDER BY id").len();
    assert_eq!(kept, ids(&home).len());
    assert_eq!(gap_reasons(&home, &server).len(), 1, "nothing was missing behind the new place");
}

fn gtids(server: &Server) -> String {
    match server.kind().is_mysql() {
        true => server.gtid_executed().replace('\n', ""),
        false => server.value("SELECT @@gtid_binlog_pos"),
    }
}

#[test]
fn mysql_by_place_and_by_gtid() {
    tell(Kind::Mysql97, GTID, "position", "place");
    tell(Kind::Mysql97, GTID, "gtid", "gtids");
}

#[test]
fn mysql_without_gtids_compressed() {
    tell(Kind::Mysql97, &["--binlog-transaction-compression=ON"], "auto", "place");
}

#[test]
fn mariadb_by_place_and_by_gtid() {
    tell(Kind::Mariadb, &[], "position", "place");
    tell(Kind::Mariadb118, &[], "gtid", "gtids");
}

/// Back to a place behind the PREPARE: it stays pending, though it is committed by now. Back to before it: it is read anew.
#[test]
fn back_to_before_the_commit_and_to_before_the_prepare() {
    for (kind, options, by_gtid) in
        [(Kind::Mysql97, GTID, true), (Kind::Mysql97, GTID, false), (Kind::Mariadb, &[][..], true)]
    {
        let Some(server) = start(kind, options) else { return };
        let home = Fountain::new();
        let place = || match by_gtid {
            true => vec!["--gtids".to_owned(), gtids(&server)],
            false => {
                let (file, pos) = server.binlog_end();
                vec!["--file".to_owned(), file, "--pos".to_owned(), pos.to_string()]
            }
        };
        let before = place();
        prepare(&server, "a", 10);
        insert(&server, 1);
        let behind = place();
        insert(&server, 2);
        run(&home, &server, &[]);
        server.sql("XA COMMIT 'a'");
        for (back, rows) in [(&behind, vec![2, 10]), (&before, vec![1, 2, 10])] {
            let place: Vec<&str> = back.iter().map(String::as_str).collect();
            let known = ids(&home).len();
            done(set(&home, &server, &place, &[]));
            run(&home, &server, &[]);
            assert_eq!(ids(&home)[known..], rows, "{kind} {place:?}");
            // Once more from where it was pending.
            let history = command(&home, &server, &["points", "history", "--json"], &[]).stdout;
            let waits = |line: &&str| line.contains("\"pending_xa\"");
            let kept: Value =
                serde_json::from_str(history.lines().find(waits).expect("pending")).expect("JSON");
            done(set(&home, &server, &["--to-history", &kept["id"].to_string()], &[]));
            run(&home, &server, &[]);
            assert_eq!(ids(&home).last(), Some(&10), "{kind} {place:?}");
        }
        assert!(gap_reasons(&home, &server).iter().all(|reason| reason == "why"), "{kind}");
    }
}

/// The binlog of the oldest PREPARE is gone: refused by name, and --drop-xa is the way on. Its rows come as a gap.
#[test]
fn what_needs_a_purged_file_is_dropped_on_purpose() {
    for (kind, options, way) in [
        (Kind::Mysql97, GTID, "gtid"),
        (Kind::Mysql97, GTID, "position"),
        (Kind::Mariadb, &[], "gtid"),
        (Kind::Mariadb, &[], "position"),
    ] {
        let Some(server) = start(kind, options) else { return };
        let home = Fountain::new();
        let way = format!("binlog_dump_strategy={way}");
        insert(&server, 1);
        prepare(&server, "a", 10);
        server.flush_logs();
        insert(&server, 2);
        run(&home, &server, &[&way]);
        assert_refused(&set(&home, &server, &[], &[&way]), 2, "USAGE", &["--drop-xa"]);
        let (file, _) = server.binlog_end();
        // MariaDB keeps the files that its own recovery might need.
        harness::wait_until("the purge", PATIENCE, || {
            server.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
            server.select("SHOW BINARY LOGS").len() == 1
        });
        let output = run_until(&home, &server, "end", &keys(&[PAIRS, &[&way]].concat()));
        let parts = ["X'61',X'',1", "fountain points set producer00 --drop-xa"];
        assert_refused(&output, 1, "PURGED", &parts);
        // Moved ahead it would be needed as well.
        insert(&server, 4);
        let output = set(&home, &server, &["--start", "end"], &[&way]);
        assert_refused(&output, 1, "PURGED", &parts);
        let told = done(set(&home, &server, &["--drop-xa"], &[&way]));
        assert!(told.contains("X'61',X'',1 of ") && told.contains("dropped on purpose"), "{told}");
        assert_eq!(pending(&home), [""; 0]);
        server.sql("XA COMMIT 'a'");
        insert(&server, 5);
        run(&home, &server, &[&way]);
        assert_eq!(ids(&home), [1, 2, 4, 5], "{kind} {way}");
        let reasons = gap_reasons(&home, &server);
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons[0].contains("left out: X'61',X'',1 of "), "{reasons:?}");
        assert!(reasons[1].starts_with("XA COMMIT X'61',X'',1: "), "{reasons:?}");
        assert_refused(&set(&home, &server, &["--drop-xa"], &[&way]), 2, "USAGE", &["no prepared XA"]);
    }
}

/// The stretch cannot be read: nothing pending is dropped in silence, and nothing is kept that may be decided.
#[test]
fn what_cannot_be_proven_is_refused_or_told() {
    let Some(server) = start(Kind::Mysql97, GTID) else { return };
    let home = Fountain::new();
    prepare(&server, "a", 10);
    insert(&server, 1);
    run(&home, &server, &[]);
    let set_ahead = gtids(&server);
    // Without a server what is pending is kept, and that is said.
    let told = done(set(&home, &server, &["--gtids", &set_ahead, "--no-server"], &[]));
    assert!(told.contains("X'61',X'',1 of ") && told.contains("was not looked for"), "{told}");
    assert_eq!(pending(&home), ["a"]);
    // GTIDs alone tell no place from which the log could be read.
    insert(&server, 2);
    let (file, pos) = server.binlog_end();
    let place = ["--file", &file, "--pos", &pos.to_string()];
    let output = set(&home, &server, &place, &[]);
    assert_refused(&output, 1, "ROWS_LEFT_OUT", &["X'61',X'',1 of ", "no certain place", "--drop-xa"]);
    assert_eq!(pending(&home), ["a"]);
    run(&home, &server, &[]);
    server.sql("XA COMMIT 'a'");
    insert(&server, 3);
    run(&home, &server, &[]);
    assert_eq!(ids(&home), [1, 2, 10, 3]);
    // Nothing is pending at the point, its file is gone, and one is prepared: named beforehand, a gap when it is committed.
    prepare(&server, "b", 20);
    // MySQL tells of them to this right alone.
    server.sql("GRANT XA_RECOVER_ADMIN ON *.* TO 'repl'@'%'");
    server.sql("GRANT XA_RECOVER_ADMIN ON *.* TO 'repl'@'localhost'");
    server.flush_logs();
    let (file, _) = server.binlog_end();
    server.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
    let told = done(set(&home, &server, &["--start", "end"], &[]));
    assert!(told.contains("prepared on the server: X'62',X'',1"), "{told}");
    server.sql("XA COMMIT 'b'");
    insert(&server, 4);
    run(&home, &server, &[]);
    assert_eq!(ids(&home), [1, 2, 10, 3, 4]);
    let reasons = gap_reasons(&home, &server);
    assert!(reasons.last().unwrap().starts_with("XA COMMIT X'62',X'',1: "), "{reasons:?}");
}
