//! `fountain verify --against`: the files compared with the server's rows, differences found, changes since told apart.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

const BEGINNING: &str = "start_without_point=beginning";

/// Columns of all kinds that the server has, and keys of several kinds.
fn create(server: &Server) {
    let json = if server.kind() == Kind::Mysql97 { ", j json, v vector(3)" } else { "" };
    server.sql(&format!(
        "CREATE DATABASE d; USE d;
         CREATE TABLE kinds (id int unsigned zerofill PRIMARY KEY, big bigint unsigned, f float, g double, n decimal(20,4), b bit(9),
           y year, dt date, ti time(3), dm datetime(6), ts timestamp(2) NULL, c char(9) CHARACTER SET latin1, t text CHARACTER SET utf8mb4,
           bi binary(4), vb varbinary(9), bl blob, e enum('a','ü'), s set('x','y'), p point{json}) ENGINE=InnoDB;
         CREATE TABLE words (word varchar(30) CHARACTER SET utf8mb4, day date, n int, PRIMARY KEY (word, day)) ENGINE=InnoDB;
         CREATE TABLE bytes (k varbinary(20) PRIMARY KEY, n int) ENGINE=InnoDB;
         CREATE TABLE heap (a int, b int) ENGINE=InnoDB"
    ));
}

fn fill(server: &Server) {
    let json = if server.kind() == Kind::Mysql97 {
        ", '{\"a\":[1,2.5,\"ü\",null],\"b\":1e300}', STRING_TO_VECTOR('[1,-2.5,0.1]')"
    } else {
        ""
    };
    let mut sql = String::from("USE d; SET time_zone='+05:30'; SET sql_mode='';");
    for id in 1..=60 {
        sql.push_str(&format!(
            "INSERT INTO kinds VALUES ({id}, 18446744073709551615-{id}, {id}.1, {id}/8, -{id}.5, {id}, 1900+{id}, '2024-02-29', '-12:34:56.789',
               '2001-02-03 04:05:06.{id:06}', '2020-01-01 00:00:0{}.25', 'é{id}', 'a\\n\"ü€😀{id}', 'ab', x'00ff{id:02}', REPEAT('z', {id}),
               'ü', 'x,y', POINT({id}, 2){json});
             INSERT INTO words VALUES ('Wört{id}', '2024-01-01', {id}), ('wort{id}', '2024-01-02', {id});
             INSERT INTO bytes VALUES (x'00ff{id:02x}', {id}); INSERT INTO heap VALUES ({id}, 1);",
            id % 10
        ));
    }
    sql.push_str(
        "UPDATE kinds SET f=f*1.7, t=NULL, ts=NULL WHERE id%3=0; DELETE FROM kinds WHERE id%10=0; INSERT INTO kinds (id) VALUES (1000);
         UPDATE words SET word=UPPER(word) WHERE n%4=0; UPDATE words SET n=n+1 WHERE n%5=0; DELETE FROM words WHERE n=7;
         UPDATE bytes SET k=CONCAT(k, x'00') WHERE n%2=0",
    );
    server.sql(&sql);
}

fn verify(home: &Fountain, server: &Server, more: &[&str]) -> Output {
    let mut arguments = vec!["verify".to_owned(), "--against".to_owned(), "data".to_owned()];
    arguments.extend(server.shard_arguments(0, home.home()));
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    home.run(&arguments, PATIENCE)
}

fn against(output: &Output) -> &str {
    let lines = output.stdout.lines();
    lines.into_iter().find(|line| line.contains(": against ")).unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn the_files_are_compared_with_the_rows_of_the_server() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mysql56, &[]), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        fill(&server);
        let home = Fountain::new();
        let pairs = keys(&[BEGINNING]);
        assert_eq!(run_until(&home, &server, "end", &pairs).code, 0, "{kind}");
        let output = verify(&home, &server, &[]);
        assert_eq!(output.code, 0, "{kind}: {}{}", output.stdout, output.stderr);
        // 61 ids; 120 words and 30 that have been written in capitals; 60 keys and 30 longer ones.
        let told = against(&output);
        assert!(
            told.contains(
                ": 301 keys of 3 tables asked for, 301 as the files say, 0 as they say by now, 0 not"
            ),
            "{kind}: {told}"
        );
        assert!(!told.contains("not decided"), "{told}");
        assert!(
            output.stdout.contains("d.heap: not compared: no key tells its rows apart"),
            "{}",
            output.stdout
        );
        let few = verify(&home, &server, &["--sample", "7", "--seed", "3"]);
        assert!(against(&few).contains(": 21 keys of 3 tables"), "{}", few.stdout);

        // What the server does not log.
        server.sql(
            "SET sql_log_bin=0; UPDATE d.kinds SET g=0.25 WHERE id=5; DELETE FROM d.bytes WHERE n=1; \
             INSERT INTO d.kinds (id) VALUES (20)",
        );
        let output = verify(&home, &server, &[]);
        assert_eq!(output.code, 1, "{kind}: {}", output.stdout);
        let faults: Vec<&str> = output.stdout.lines().filter(|line| line.starts_with("fault")).collect();
        assert_eq!(faults.len(), 3, "{kind}: {faults:#?}");
        for expected in [
            "d.kinds id=5: the server's row is not what the files say: column g: expected 0.625, got 0.25 (files: seq ",
            "d.bytes k=\"AP8B\": the server's row is not what the files say: expected a row, got none",
            "d.kinds id=20: the server's row is not what the files say: expected no row, got one",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{kind}: {expected}: {faults:#?}");
        }
        assert!(
            faults.iter().all(|fault| fault.starts_with("fault DIFFERS shard=producer00 d.")),
            "{faults:#?}"
        );
    }
}

#[test]
fn rows_changed_since_are_told_apart() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, n int)");
    let values: Vec<String> = (0..200).map(|id| format!("({id},0)")).collect();
    server.sql(&format!("INSERT INTO d.t VALUES {}", values.join(",")));
    let home = Fountain::new();
    let pairs = keys(&[BEGINNING]);
    assert_eq!(run_until(&home, &server, "end", &pairs).code, 0);

    // Nobody delivers: what has changed is not decided.
    server.sql("UPDATE d.t SET n=1 WHERE id<5");
    let output = verify(&home, &server, &[]);
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(
        against(&output).contains("195 as the files say, 0 as they say by now, 0 not; 5 not decided"),
        "{}",
        output.stdout
    );

    // Somebody does: every key is decided while rows go on changing.
    let mut run = home.spawn(&run_arguments(&home, &server, &pairs));
    run.wait_for("the run to deliver what has changed", PATIENCE, |_| {
        data(&home.home().join("data")).contains("\"n\":1")
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut session = server.session();
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                session.sql("UPDATE d.t SET n=n+1 WHERE id%3=0");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        for _ in 0..3 {
            let output = verify(&home, &server, &[]);
            let ended = output.code;
            if ended != 0 || against(&output).contains("not decided") {
                stop.store(true, Ordering::Relaxed);
                panic!("{}{}", output.stdout, output.stderr);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(run.terminate(PATIENCE).code, 0);
}

#[test]
fn a_folder_is_verified_without_any_configuration() {
    let home = Fountain::new();
    std::fs::create_dir(home.home().join("data")).expect("a folder");
    let output = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(
        output.stdout.starts_with("fault FILE data: no file of the file sink is here"),
        "{}",
        output.stdout
    );
    assert_eq!(home.run(&["verify"], PATIENCE).code, 2);
    assert_eq!(home.run(&["verify", "--sample", "3", "data"], PATIENCE).code, 2);
    assert_eq!(home.run(&["verify", "--against", "data"], PATIENCE).code, 2);
}
