//! Backups: taken when the main server fails, by GTID without a loss or a repeat; by position never.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;

/// The origin of every transaction, as if one server had logged them and the other had replicated them.
const ORIGIN: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// Runs a transaction under its number on a server.
fn apply(server: &Server, number: u64, sql: &str) {
    server.sql(&format!("SET gtid_next='{ORIGIN}:{number}'; {sql}; SET gtid_next='AUTOMATIC'"));
}

fn insert(server: &Server, number: u64) {
    apply(server, number, &format!("BEGIN; INSERT INTO d.t VALUES ({number}); COMMIT"));
}

/// Two servers with the same transactions 1 and 2.
fn pair(kind: Kind, options: &[&str]) -> Option<(Server, Server)> {
    let main = Server::start_private(kind, options)?;
    let backup = Server::start_private(kind, &[options, &["--server-id=2"]].concat())?;
    Some((main, backup))
}

fn spawn(home: &Fountain, main: &Server, backup: &Server, pairs: &[&str]) -> Running {
    let port = format!("mysql_shard_0_ha1_port={}", backup.port());
    let always = [
        "mysql_shard_0_ha1_server=127.0.0.1",
        &port,
        "start_without_point=beginning",
        "dispatch_ddl=none",
        "sink=stdout",
        "data_source_try_interval=100ms",
        "repeat_resource_interval=300ms",
    ];
    home.spawn(&run_arguments(home, main, &keys(&[&always, pairs].concat())))
}

fn wait_for_row(run: &mut Running, id: u64) {
    let wanted = format!("\"after\":{{\"id\":{id}}}");
    run.wait_for(&format!("row {id}"), PATIENCE, |run| run.stdout().contains(&wanted));
}

/// What came: each row's id and the port of the server that it came from.
fn told(run: Running) -> Vec<(u64, u16)> {
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = parse(&output.stdout);
    assert!(lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "numbered without holes");
    let port = |server: &str| server.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    lines
        .iter()
        .map(|line| {
            (line["after"]["id"].as_u64().expect("id"), port(line["server"].as_str().expect("server")))
        })
        .collect()
}

/// The main server dies; the backup lags and is waited for; later that one dies and the main server is back.
#[test]
fn by_gtid_a_backup_goes_on_where_the_main_server_ended() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some((mut main, mut backup)) = pair(kind, GTID) else { continue };
        for server in [&main, &backup] {
            apply(server, 1, "CREATE DATABASE d");
            apply(server, 2, "CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
            insert(server, 3);
        }
        insert(&main, 4);
        let home = Fountain::new();
        let mut run = spawn(&home, &main, &backup, &[]);
        wait_for_row(&mut run, 4);
        main.kill9();
        run.wait_for("the backup lags", PATIENCE, |run| {
            run.stderr().contains("POINT_BEYOND_END") && run.stderr().contains(&format!("{ORIGIN}:4"))
        });
        insert(&backup, 4);
        backup.flush_logs();
        insert(&backup, 5);
        wait_for_row(&mut run, 5);
        main.restart();
        for number in 5..=6 {
            insert(&main, number);
        }
        backup.kill9();
        wait_for_row(&mut run, 6);
        backup.restart();
        let (one, two) = (main.port(), backup.port());
        assert_eq!(told(run), [(3, one), (4, one), (5, two), (6, one)], "{kind}");

        // A new process begins with the main server, from the point that the other one's transactions are part of.
        let mut run = spawn(&home, &main, &backup, &[]);
        insert(&main, 7);
        wait_for_row(&mut run, 7);
        let output = run.terminate(PATIENCE);
        assert_eq!(parse(&output.stdout).len(), 1, "{kind}: {}", output.stdout);
    }
}

/// A position means nothing on another server: the main one is waited for.
#[test]
fn by_position_no_backup_is_taken() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some((mut main, backup)) = pair(kind, options) else { continue };
        for server in [&main, &backup] {
            server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
        }
        let home = Fountain::new();
        let mut run = spawn(&home, &main, &backup, &["binlog_dump_strategy=position"]);
        wait_for_row(&mut run, 1);
        main.stop();
        backup.sql("INSERT INTO d.t VALUES (2)");
        run.wait_for("the refusal", PATIENCE, |run| run.stderr().contains("POINT_FOREIGN"));
        main.restart();
        main.sql("INSERT INTO d.t VALUES (3)");
        wait_for_row(&mut run, 3);
        let port = main.port();
        assert_eq!(told(run), [(1, port), (3, port)], "{kind}");
    }
}

/// At the start a main server that is down, or refuses, is no reason not to begin with the backup.
#[test]
fn a_backup_is_begun_with_when_the_main_server_is_down() {
    let Some((mut main, backup)) = pair(Kind::Mariadb, &[]) else { return };
    for server in [&main, &backup] {
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.t VALUES (1)");
    }
    main.stop();
    let home = Fountain::new();
    let mut run = spawn(&home, &main, &backup, &[]);
    wait_for_row(&mut run, 1);
    let port = backup.port();
    assert_eq!(told(run), [(1, port)]);
}

/// On the backup a transaction of ours lies behind one that was new to us: a position there would repeat it, and is refused
/// until a new file begins behind both.
#[test]
fn behind_a_backup_a_position_is_taken_when_all_of_ours_lies_before_it() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some((mut main, backup)) = pair(kind, GTID) else { continue };
        for server in [&main, &backup] {
            apply(server, 1, "CREATE DATABASE d");
            apply(server, 2, "CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
        }
        (3..=4).for_each(|number| insert(&main, number));
        [4, 5, 3].into_iter().for_each(|number| insert(&backup, number));
        let home = Fountain::new();
        let always = ["start_without_point=beginning", "dispatch_ddl=none"];
        let run = |server: &Server, way: &str| {
            let way = format!("binlog_dump_strategy={way}");
            run_until(&home, server, "end", &keys(&[&always[..], &[&way]].concat()))
        };
        assert_eq!(run(&main, "auto").code, 0);
        main.stop();
        assert_eq!(run(&backup, "auto").code, 0);
        let output = run(&backup, "position");
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("POINT_FOREIGN"), "{}", output.stderr);
        backup.flush_logs();
        insert(&backup, 6);
        assert_eq!(run(&backup, "auto").code, 0);
        insert(&backup, 7);
        let output = run(&backup, "position");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = parse(&data(&home.home().join("data")));
        let ids: Vec<_> = lines.iter().filter_map(|line| line["after"]["id"].as_u64()).collect();
        assert_eq!(ids, [3, 4, 5, 6, 7], "{kind}");
    }
}
