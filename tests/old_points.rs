//! Points of the original Fountain: found in `producer_position` when there is none of ours, continued with exactly the rows
//! that they stand for, and left as they are.

#[path = "harness/ares.rs"]
mod ares;
#[path = "harness/fake_server.rs"]
mod fake_server;
mod harness;

use ares::AresLog;
use ares::AresServer;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_at;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;

const OTHER: &str = "f1e2d3c4-b5a6-9788-ffff-00807f018001";

/// A home with one of the original's files for the shard; `ending` as in `.binlog`.
fn home_with(ending: &str, text: &str) -> Fountain {
    let home = Fountain::new();
    home.write(&format!("points/producer00{ending}"), text);
    home
}

fn run(home: &Fountain, server: &Server, pairs: &[&str]) -> Output {
    run_at(home, "127.0.0.1", server.port(), pairs)
}

fn expect(home: &Fountain, output: &Output, ids_expected: &[u64], context: &str) {
    assert_eq!(output.code, 0, "{context}: {}", output.stderr);
    assert_eq!(ids_in(home), ids_expected, "{context}: {}", output.stderr);
}

fn expect_refusal(home: &Fountain, output: &Output, code: &str, words: &[&str]) {
    assert_eq!(output.code, 1, "{}", output.stderr);
    for word in [&[code], words].concat() {
        assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
    }
    assert_eq!(data(&home.home().join("data")), "", "no row is delivered");
    assert!(!home.home().join("points/producer00.point").exists(), "no point is made up");
}

/// As if another server had logged it first.
fn insert_as(server: &Server, gtid: &str, id: u64) {
    server.sql(&format!(
        "SET gtid_next='{gtid}'; BEGIN; INSERT INTO d.t VALUES ({id}); COMMIT; SET gtid_next='AUTOMATIC'"
    ));
}

/// The last transaction that each interval names may not have been delivered: it comes once more, the others do not.
#[test]
fn gtid_sets_lose_their_ends() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        create(&server);
        for id in 1..=3 {
            insert(&server, id);
        }
        insert_as(&server, &format!("{OTHER}:1"), 11);
        insert_as(&server, &format!("{OTHER}:2"), 12);
        let set = server.gtid_executed();
        server.flush_logs();
        insert(&server, 4);
        insert_as(&server, &format!("{OTHER}:3"), 13);
        let texts = [
            set.replace(',', ";"),
            format!("{}\n", set.replace(',', ";")),
            // MySQL's own form, and what editors make of it.
            format!("\u{feff}{}\r\n", set.replace(',', ",\r\n")),
        ];
        for text in &texts {
            let home = home_with(".gtidset", text);
            let context = format!("{kind} {text:?}");
            expect(&home, &run(&home, &server, &[]), &[3, 12, 4, 13], &context);
            let kept = std::fs::read_to_string(home.home().join("points/producer00.gtidset")).unwrap();
            assert_eq!(&kept, text, "{kind}");
        }
        // From then on the point is ours: nothing comes twice, whatever lies beside it.
        let home = home_with(".gtidset", &texts[0]);
        expect(&home, &run(&home, &server, &["binlog_dump_strategy=gtid"]), &[3, 12, 4, 13], "first");
        home.write("points/producer00.gtidset", "broken");
        home.write("points/producer00.binlog", "");
        insert(&server, 5);
        expect(&home, &run(&home, &server, &[]), &[3, 12, 4, 13, 5], "second");
        // The point counts, not what is configured for the lack of one.
        let home = home_with(".gtidset", &texts[0]);
        let pairs =
            ["start_without_point=stop", "mysql_binlogdump_gtidset=3e11fa47-71ca-11e1-9e33-c80aa9429562:1"];
        expect(&home, &run(&home, &server, &pairs), &[3, 12, 4, 13, 5], "configured");
    }
}

#[test]
fn places_are_those_of_the_server() {
    for kind in [Kind::Mysql56, Kind::Mariadb] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        insert(&server, 1);
        server.flush_logs();
        insert(&server, 2);
        let (file, pos) = server.binlog_end();
        insert(&server, 3);
        server.flush_logs();
        insert(&server, 4);
        let port = server.port();
        let alone = format!("127.0.0.1:{port}#{file}#{pos}");
        let among = format!("db1:3306#other-bin.000007#99;127.0.0.1:{port}#{file}#{pos};db2:3306#x.1#4\n");
        let mut expected = vec![3, 4];
        for text in [&alone, &among] {
            let home = home_with(".binlog", text);
            let output = run(&home, &server, &["binlog_dump_strategy=position"]);
            expect(&home, &output, &expected, text);
            assert_eq!(output.stderr.contains("holds 3 places"), text == &among, "{}", output.stderr);
            expected.push(expected.len() as u64 + 3);
            insert(&server, expected.len() as u64 + 2);
            expect(&home, &run(&home, &server, &[]), &expected, text);
            // By a name that leads to the address that stands there.
            let home = home_with(".binlog", text);
            expect(&home, &run_at(&home, "localhost", port, &[]), &expected, text);
        }
        let wrong = format!("db1:3306#{file}#{pos};127.0.0.1:1#{file}#{pos}");
        let home = home_with(".binlog", &wrong);
        expect_refusal(
            &home,
            &run(&home, &server, &[]),
            "POINT_FOREIGN",
            &[
                &format!("no place for 127.0.0.1:{port}"),
                &format!("it has db1:3306#{file}#{pos} and 127.0.0.1:1#{file}#{pos}"),
                "producer00.binlog",
            ],
        );
        let home = home_with(".binlog", &format!("127.0.0.1:{port}#gone.000001#4"));
        let output = run(&home, &server, &[]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("PURGED"), "{}", output.stderr);
        // The same text as a configured start point.
        let listed = Fountain::new();
        let password = listed.write("password", fake_server::PASSWORD);
        let pairs = [
            format!("dbArray=127.0.0.1:{port}"),
            format!("syncPointArray={alone}"),
            format!("mysql_password_file={}", password.display()),
            "mysql_username=repl".to_owned(),
            "sink=file".to_owned(),
        ];
        let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
        let output = listed.run(&[&["run", "--until", "end"][..], &keys(&pairs)].concat(), PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(parse(&data(&listed.home().join("data")))[0]["after"]["id"], 3);
    }
}

/// A point of MariaDB's GTIDs, which people make by hand, names what is delivered.
#[test]
fn mariadb_positions_are_read_as_mariadb_does() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    insert(&server, 1);
    let position = server.gtid_executed();
    server.flush_logs();
    insert(&server, 2);
    let home = home_with(".gtidset", &format!("{position}\n"));
    expect(&home, &run(&home, &server, &[]), &[2], &position);
    insert(&server, 3);
    expect(&home, &run(&home, &server, &[]), &[2, 3], &position);
    let home = home_with(".gtidset", &position);
    let output = run(&home, &server, &["binlog_dump_strategy=position"]);
    expect_refusal(
        &home,
        &output,
        "POINT_FOREIGN",
        &["is GTIDs of MariaDB", "binlog_dump_strategy=auto or gtid"],
    );
}

#[test]
fn a_group_id_is_continued_on_ares() {
    let Some(real) = Server::start_private(Kind::Mysql56, ares::LIKE_5_1) else { return };
    create(&real);
    for id in 1..=4 {
        insert(&real, id);
    }
    let all = ares::transactions(&real);
    let mut log = AresLog::new(51, "ares-bin");
    for (id, transaction) in (100..).zip(&all) {
        log.log(id, transaction);
    }
    let last = 100 + all.len() as u64 - 1;
    let server = AresServer::start(log);
    for text in [format!("{}", last - 2), format!("{}\r\n", last - 2)] {
        let home = home_with("", &text);
        let schema = home.write(
            "schema",
            r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"}],"key":["id"]}"#,
        );
        let schema = format!("schema_file={}", schema.display());
        let output = run_at(&home, "127.0.0.1", server.port(), &["binlog_dump_strategy=ares", &schema]);
        // The original saves the last transaction but one: what it names is delivered.
        expect(&home, &output, &[3, 4], &text);
        let kept = std::fs::read_to_string(home.home().join("points/producer00")).unwrap();
        assert_eq!(kept, text);
    }
    let home = home_with("", &format!("{}", last + 1));
    let output = run_at(&home, "127.0.0.1", server.port(), &["binlog_dump_strategy=ares"]);
    expect_refusal(&home, &output, "POINT_BEYOND_END", &[&format!("the server's last one is {last}")]);
}

#[test]
fn what_cannot_be_understood_is_never_a_fresh_start() {
    let Some(server) = Server::start(Kind::Mysql97, GTID) else { return };
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Files<'_>, &[&str])] = &[
        (&[("", "42"), (".gtidset", &format!("{uuid}:1-5"))], &["producer00 and", "producer00.gtidset"]),
        (&[("", "")], &["producer00: not a point", "it is empty"]),
        (&[(".gtidset", "")], &["producer00.gtidset: not a point", "it is empty"]),
        (&[(".binlog", "\n")], &["producer00.binlog: not a point", "it is empty"]),
        (&[("", "-1")], &["it says \"none\"", "mysql_binlogdump_gtid"]),
        (&[(".gtidset", &format!("{uuid}:1-"))], &["expected a number", "at character 39"]),
        (&[(".gtidset", &format!("{uuid}:1-5;"))], &["it is torn"]),
        (&[(".binlog", "db1:3306#bin.000001")], &["entry 1: expected HOST:PORT#FILE#OFFSET"]),
        (&[(".binlog", "\0\0\0\0")], &["producer00.binlog: not a point"]),
    ];
    for (files, words) in cases {
        let home = Fountain::new();
        for (ending, text) in *files {
            home.write(&format!("points/producer00{ending}"), text);
        }
        expect_refusal(&home, &run(&home, &server, &[]), "POINT_BROKEN", words);
    }
    // A lost point of ours is not replaced by an older one of the original's.
    let home = home_with(".gtidset", &format!("{uuid}:1-5"));
    home.write("points/producer00.trace", "there was a point\n");
    expect_refusal(&home, &run(&home, &server, &[]), "POINT_LOST", &["producer00.trace"]);
}

/// A point of one kind and a strategy of another: an error that names the way out.
#[test]
fn strategies_that_conflict_are_named() {
    let Some(with) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let Some(without) = Server::start_private(Kind::Mysql56, &[]) else { return };
    create(&with);
    let set = with.gtid_executed();
    let (file, pos) = with.binlog_end();
    let place = format!("127.0.0.1:{}#{file}#{pos}", with.port());
    type File<'a> = (&'a str, &'a str);
    let cases: &[(&Server, File<'_>, &str, &[&str])] = &[
        (&with, (".gtidset", &set), "position", &["is a GTID set", "binlog_dump_strategy=auto or gtid"]),
        (&with, (".gtidset", &set), "ares", &["is a GTID set", "binlog_dump_strategy=auto or gtid"]),
        (
            &with,
            (".binlog", &place),
            "gtid",
            &["is a file and position", "binlog_dump_strategy=auto or position"],
        ),
        (&with, ("", "42"), "auto", &["is a group id of Baidu's MySQL", "binlog_dump_strategy=ares"]),
        (&with, ("", "42"), "gtid", &["binlog_dump_strategy=ares"]),
        (&with, ("", "42"), "position", &["binlog_dump_strategy=ares"]),
        (&without, (".gtidset", &set), "auto", &["is a GTID set", "gtid_mode=ON"]),
    ];
    for (server, (ending, text), strategy, words) in cases {
        let home = home_with(ending, text);
        let output = run(&home, server, &[&format!("binlog_dump_strategy={strategy}")]);
        expect_refusal(&home, &output, "POINT_FOREIGN", words);
    }
    let home = home_with("", "42");
    let output = run(&home, &with, &["binlog_dump_strategy=ares"]);
    expect_refusal(&home, &output, "UNSUPPORTED", &["is for Baidu's MySQL 5.1"]);
    // By place under `auto`, on a server with GTIDs.
    insert(&with, 1);
    let home = home_with(".binlog", &place);
    expect(&home, &run(&home, &with, &["binlog_dump_strategy=auto"]), &[1], "auto");
}
