//! Points that a person moves, on real servers: back to before a time, ahead, to another server's place, and what that
//! leaves in files, numbers and gap records.

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
use harness::wait_until;
use serde_json::Value;
use std::time::Duration;

const WAYS: &[(Kind, &[&str])] = &[(Kind::Mysql56, &[]), (Kind::Mysql97, GTID), (Kind::Mariadb, &[])];

const PAIRS: &[&str] = &["start_without_point=beginning", "dispatch_ddl=none"];

fn start(kind: Kind, options: &[&str]) -> Option<Server> {
    let server = Server::start_private(kind, options)?;
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, at timestamp(6) NOT NULL) ENGINE=InnoDB",
    );
    Some(server)
}

fn insert(server: &Server, ids: std::ops::Range<u64>) {
    ids.for_each(|id| server.sql(&format!("INSERT INTO d.t VALUES ({id}, NOW(6))")));
}

fn points(home: &Fountain, server: &Server, words: &[&str], pairs: &[&str]) -> Output {
    let keys = run_arguments(home, server, &keys(pairs)).split_off(1);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    home.run(&[words, keys].concat(), PATIENCE)
}

fn done(home: &Fountain, server: &Server, words: &[&str]) -> String {
    let output = points(home, server, words, PAIRS);
    assert_eq!(output.code, 0, "{words:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn run(home: &Fountain, server: &Server, pairs: &[&str]) {
    let begins = pairs.iter().any(|pair| pair.starts_with(PAIRS[0].split('=').next().expect("a key")));
    let pairs = [&PAIRS[usize::from(begins)..], pairs].concat();
    let output = run_until(home, server, "end", &keys(&pairs));
    assert_eq!(output.code, 0, "{}", output.stderr);
}

fn lines(home: &Fountain) -> Vec<Value> {
    parse(&data(&home.home().join("data")))
}

fn ids(lines: &[Value]) -> Vec<u64> {
    let rows = lines.iter().filter(|line| line["op"] == "insert");
    rows.map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

fn assert_seq_without_holes(lines: &[Value]) {
    let numbers = lines.iter().map(|line| line["seq"].as_u64().expect("seq"));
    assert!(numbers.eq(1..=lines.len() as u64), "{lines:?}");
}

/// `fountain verify` of the files: nothing missing, repeated or changed, and so many gaps told.
fn assert_verified(home: &Fountain, gaps: &str) {
    let folder = home.home().join("data");
    let output = home.run(&["verify", folder.to_str().expect("UTF-8")], PATIENCE);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!(", {gaps} gaps, 0 faults")), "{}", output.stdout);
}

/// Waits until the server's clock has left the second in which it is: 5.6 and MariaDB log commits by the second.
fn next_second(server: &Server) {
    let now = || server.value("SELECT UNIX_TIMESTAMP()");
    let before = now();
    wait_until("the next second", PATIENCE, || now() != before);
}

#[test]
fn found_by_time_set_and_run_all_that_was_committed_later_comes_again() {
    for (kind, options) in WAYS {
        let Some(server) = start(*kind, options) else { return };
        let home = Fountain::new();
        for batch in 0..6 {
            insert(&server, batch * 10..batch * 10 + 10);
            run(&home, &server, &[]);
            next_second(&server);
        }
        assert_eq!(ids(&lines(&home)), (0..60).collect::<Vec<_>>(), "{kind}");
        // The end of the second in which the last row of batch 2 was committed.
        let utc = "CONVERT_TZ(at, @@session.time_zone, '+00:00')";
        let time = server.value(&format!(
            "SELECT DATE_FORMAT(MAX({utc}), '%Y-%m-%d %H:%i:%s.999999') FROM d.t WHERE id < 30"
        ));
        let found = json(&done(&home, &server, &["points", "find", "--time", &time, "producer00", "--json"]));
        let id = found[0]["id"].to_string();
        done(
            &home,
            &server,
            &[
                "points",
                "set",
                "producer00",
                "--to-history",
                &id,
                "--reason",
                "a consumer lost its data",
                "--yes",
            ],
        );
        let before = lines(&home).len();
        run(&home, &server, &[]);
        let all = lines(&home);
        let again = &all[before..];
        // The oracle: the server's own word on what was committed after that time.
        let later = format!("SELECT id FROM d.t WHERE {utc} > '{time}' ORDER BY id");
        let expected = server.select(&later);
        let expected: Vec<u64> =
            expected.iter().map(|row| row[0].as_ref().expect("id").parse().expect("id")).collect();
        assert_eq!(expected, (30..60).collect::<Vec<_>>(), "{kind}: the test's own clockwork");
        assert_eq!(ids(again), expected, "{kind}");
        // The files go on: numbers without holes, and the line that tells of the jump in front.
        assert_seq_without_holes(&all);
        assert_verified(&home, "1");
        assert_eq!(
            (&again[0]["op"], &again[0]["reason"]),
            (&Value::from("gap"), &Value::from("a consumer lost its data"))
        );
        assert_eq!(again.iter().filter(|line| line["op"] == "gap").count(), 1, "{kind}");
        let gaps = json(&done(&home, &server, &["gaps", "--json"]));
        assert_eq!(gaps.len(), 1, "{kind}: {gaps:?}");
        assert_eq!(
            (&gaps[0]["kind"], &gaps[0]["from"]["pos"]),
            (&Value::from("jump"), &again[0]["from"]["pos"])
        );
        assert_eq!(gaps[0]["to"]["pos"], again[0]["to"]["pos"]);
        // Nothing is left of it for the run after that.
        run(&home, &server, &[]);
        assert_eq!(lines(&home).len(), all.len());
    }
}

#[test]
fn set_ahead_leaves_out_what_lies_between_and_says_so() {
    for (kind, options) in WAYS {
        let Some(server) = start(*kind, options) else { return };
        let home = Fountain::new();
        insert(&server, 0..5);
        run(&home, &server, &[]);
        insert(&server, 5..10);
        let (file, pos) = server.binlog_end();
        let place = [
            "points",
            "set",
            "producer00",
            "--file",
            &file,
            "--pos",
            &pos.to_string(),
            "--reason",
            "skip",
            "--yes",
        ];
        let told = done(&home, &server, &place);
        assert!(told.contains(&format!("to {file}:{pos}")) && told.contains("proven by 127.0.0.1"), "{told}");
        insert(&server, 10..15);
        run(&home, &server, &[]);
        assert_eq!(ids(&lines(&home)), [(0..5).collect::<Vec<_>>(), (10..15).collect()].concat(), "{kind}");
        assert_seq_without_holes(&lines(&home));
        let end = ["points", "set", "producer00", "--start", "end", "--reason", "again", "--yes"];
        insert(&server, 15..20);
        done(&home, &server, &end);
        insert(&server, 20..25);
        run(&home, &server, &["dispatch_gap=false"]);
        let all = lines(&home);
        assert_eq!(ids(&all)[10..], [20, 21, 22, 23, 24], "{kind}");
        assert_eq!(all.iter().filter(|line| line["op"] == "gap").count(), 1, "dispatch_gap=false");
        assert_seq_without_holes(&all);
        done(
            &home,
            &server,
            &["points", "set", "producer00", "--start", "beginning", "--reason", "all", "--yes"],
        );
        run(&home, &server, &[]);
        assert_eq!(ids(&lines(&home))[15..], (0..25).collect::<Vec<_>>(), "{kind}");
        assert_eq!(done(&home, &server, &["gaps"]).lines().count(), 3);
        assert_verified(&home, "3");
        // Back again, and only the header of the first pack tells of it.
        done(
            &home,
            &server,
            &["points", "set", "producer00", "--start", "beginning", "--reason", "all", "--yes"],
        );
        run(&home, &server, &["dispatch_gap=false"]);
        let all = lines(&home);
        assert_eq!(ids(&all)[40..], (0..25).collect::<Vec<_>>(), "{kind}");
        assert_eq!(all.iter().filter(|line| line["op"] == "gap").count(), 2, "dispatch_gap=false");
        assert_verified(&home, "4");
    }
}

#[test]
fn what_the_server_would_refuse_is_not_set() {
    for (kind, options) in WAYS {
        let Some(server) = start(*kind, options) else { return };
        let home = Fountain::new();
        insert(&server, 0..5);
        run(&home, &server, &[]);
        let shown = done(&home, &server, &["points", "show"]);
        let (file, pos) = server.binlog_end();
        let events = server.binlog_events(&file, 4);
        let inside =
            events.iter().find(|event| event.kind.starts_with("Table_map")).expect("a TABLE_MAP").pos;
        let mut cases = vec![
            (
                vec!["--file".to_owned(), file.clone(), "--pos".to_owned(), (pos + 1000).to_string()],
                "POINT_BEYOND_END",
            ),
            (
                vec!["--file".to_owned(), "nothing.000001".to_owned(), "--pos".to_owned(), "4".to_owned()],
                "PURGED",
            ),
            (vec!["--file".to_owned(), file.clone(), "--pos".to_owned(), inside.to_string()], ""),
            (vec!["--file".to_owned(), file.clone(), "--pos".to_owned(), (inside + 3).to_string()], ""),
        ];
        let other = "--gtids".to_owned();
        match kind {
            Kind::Mariadb => {
                cases.push((vec![other, format!("{}:1-5", "3e11fa47-71ca-11e1-9e33-c80aa9429562")], "USAGE"))
            }
            _ => cases.push((vec![other, "0-1-5".to_owned()], "")),
        }
        for (place, code) in cases {
            let words = ["points", "set", "producer00", "--reason", "r", "--yes"];
            let words: Vec<&str> = words.into_iter().chain(place.iter().map(String::as_str)).collect();
            let output = points(&home, &server, &words, PAIRS);
            assert!(output.code != 0, "{kind} {place:?}: {}", output.stdout);
            assert!(output.stderr.starts_with(code), "{kind} {place:?}: {}", output.stderr);
        }
        assert_eq!(done(&home, &server, &["points", "show"]), shown, "{kind}");
        assert!(done(&home, &server, &["gaps"]).ends_with(": no gap is recorded\n"));
    }
}

#[test]
fn a_point_is_looked_at_and_not_moved_while_the_shard_is_led() {
    let Some(server) = start(Kind::Mysql97, GTID) else { return };
    let home = Fountain::new();
    let mut running = home.spawn(&run_arguments(&home, &server, &keys(PAIRS)));
    insert(&server, 0..3);
    wait_until("rows", PATIENCE, || ids(&lines(&home)).len() == 3);
    wait_until("a point behind them", PATIENCE, || {
        done(&home, &server, &["points", "show", "producer00"]).contains(&server.gtid_executed())
    });
    assert!(done(&home, &server, &["points", "history"]).lines().count() > 1);
    assert!(
        done(&home, &server, &["points", "find", "--time", "2100-01-01"]).contains("points set producer00")
    );
    assert!(done(&home, &server, &["gaps"]).ends_with(": no gap is recorded\n"));
    let set = ["points", "set", "producer00", "--start", "beginning", "--reason", "r", "--yes"];
    let output = points(&home, &server, &set, PAIRS);
    let pid = running.pid().to_string();
    assert_refused(&output, 1, "LOCKED", &["while a process leads the shard", &pid]);
    insert(&server, 3..4);
    running.wait_for("it goes on", PATIENCE, |_| ids(&lines(&home)).len() == 4);
    let output = running.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// The gap line comes once, also when the run dies before and behind it.
#[test]
fn a_jump_is_told_in_files_once_whatever_dies() {
    let Some(server) = start(Kind::Mysql56, &[]) else { return };
    let home = Fountain::new();
    insert(&server, 0..3);
    run(&home, &server, &[]);
    done(
        &home,
        &server,
        &["points", "set", "producer00", "--start", "beginning", "--reason", "told once", "--yes"],
    );
    for pause in [0, 20, 40, 60, 80, 100, 150, 200, 400] {
        let running = home.spawn(&run_arguments(&home, &server, &keys(PAIRS)));
        std::thread::sleep(Duration::from_millis(pause));
        running.kill9();
    }
    run(&home, &server, &[]);
    let all = lines(&home);
    assert_eq!(ids(&all), [0, 1, 2, 0, 1, 2]);
    assert_eq!(all.iter().filter(|line| line["op"] == "gap").count(), 1);
    assert_seq_without_holes(&all);
    // A shard that is begun anew, its history left: recorded, told, and numbers go on rising.
    for name in ["producer00.point", "producer00.trace"] {
        std::fs::remove_file(home.home().join("points").join(name)).expect("removable");
    }
    std::fs::remove_dir_all(home.home().join("data")).expect("removable");
    insert(&server, 3..4);
    run(&home, &server, &["start_without_point=end"]);
    insert(&server, 4..5);
    run(&home, &server, &[]);
    let anew = lines(&home);
    assert_eq!((ids(&anew), &anew[0]["op"]), (vec![4], &Value::from("gap")));
    assert!(anew[0]["seq"].as_u64() > all.last().and_then(|line| line["seq"].as_u64()));
    let gaps = json(&done(&home, &server, &["gaps", "--json"]));
    assert_eq!(gaps.iter().map(|gap| gap["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["jump", "reset"]);
}

/// What the server could not log is told with its place, and as the message says one gets behind it, and goes on as before.
#[test]
fn the_way_behind_an_incident_is_the_one_that_is_told() {
    const TOO_MUCH: &str = "--max-binlog-stmt-cache-size=4096";
    const BY_POSITION: &str = "binlog_dump_strategy=position";
    for (kind, options) in WAYS {
        let Some(server) = start(*kind, &[options, &[TOO_MUCH][..]].concat()) else { continue };
        server.sql("CREATE TABLE d.big (v longtext) ENGINE=MyISAM");
        insert(&server, 0..2);
        let home = Fountain::new();
        run(&home, &server, &[]);
        let (file, pos) = server.binlog_end();
        let big = "INSERT INTO d.big VALUES (REPEAT('x',100000)),(REPEAT('x',100000))";
        server.session().try_select(big).expect_err("more than the server may log");
        let events = server.binlog_events(&file, pos);
        let incident = events.iter().find(|event| event.kind == "Incident").expect("an incident");
        insert(&server, 2..4);

        let refused = run_until(&home, &server, "end", &keys(PAIRS));
        let place = format!(" {file}:{}: ", incident.pos);
        let way = format!("fountain points set SHARD --file {file} --pos {} --reason TEXT", incident.end);
        assert_refused(&refused, 1, "INCIDENT", &[&place, &way]);
        let by_position = refused.stderr.contains(BY_POSITION);
        assert_eq!(by_position, *kind == Kind::Mariadb, "{}", refused.stderr);
        let told = if by_position { &[BY_POSITION][..] } else { &[] };
        let pos = incident.end.to_string();
        let words =
            ["points", "set", "producer00", "--file", &file, "--pos", &pos, "--reason", "copied", "--yes"];
        let set = points(&home, &server, &words, &[PAIRS, told].concat());
        assert_eq!(set.code, 0, "{kind}: {}{}", set.stdout, set.stderr);
        server.sql("FLUSH BINARY LOGS");
        insert(&server, 4..6);
        run(&home, &server, told);
        insert(&server, 6..8);
        run(&home, &server, &[]);
        assert_eq!(ids(&lines(&home)), (0..8).collect::<Vec<_>>(), "{kind}");
    }
}
