//! Positions past 4 GiB, which neither an event's header nor the dump command can carry.

#[path = "harness/ares.rs"]
mod ares;
#[path = "harness/fake_server.rs"]
mod fake_server;
mod harness;

use ares::AresLog;
use ares::AresServer;
use harness::Fountain;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use serde_json::Value;

const FOUR_GIB: u64 = 1 << 32;

fn run_at(home: &Fountain, port: u16, pairs: &[&str]) -> Output {
    let password = home.write("password", fake_server::PASSWORD);
    let always = [
        "mysql_shard_0_server=127.0.0.1".to_owned(),
        format!("mysql_shard_0_port={port}"),
        format!("mysql_password_file={}", password.display()),
        "mysql_username=repl".to_owned(),
        "sink=file".to_owned(),
        "dispatch_ddl=none".to_owned(),
    ];
    let always: Vec<&str> = always.iter().map(String::as_str).collect();
    let arguments = [&["run", "--until", "end"][..], &keys(&[&always, pairs].concat())].concat();
    home.run(&arguments, PATIENCE)
}

fn rows(home: &Fountain) -> Vec<Value> {
    parse(&data(&home.home().join("data")))
}

fn ids(home: &Fountain) -> Vec<u64> {
    rows(home).iter().map(|line| line["after"]["id"].as_u64().expect("an inserted id")).collect()
}

fn point(home: &Fountain) -> Value {
    let text =
        std::fs::read_to_string(home.home().join("points/producer00.point")).expect("a point is stored");
    serde_json::from_str::<Value>(&text).expect("a point is JSON")["point"].clone()
}

/// A file of which all but a few events are missing, so that it costs nothing.
#[test]
fn a_far_place_is_reached_from_the_files_beginning() {
    let Some(real) = Server::start_private(Kind::Mysql56, ares::LIKE_5_1) else { return };
    real.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, name varchar(20) CHARACTER SET latin1) ENGINE=InnoDB");
    for id in 1..=6 {
        real.sql(&format!("INSERT INTO d.t VALUES ({id}, 'x')"));
    }
    let all = ares::transactions(&real);
    let inserts = &all[all.len() - 6..];
    let mut log = AresLog::new(51, "bin");
    let mut ends = Vec::new();
    for (id, transaction) in (1..).zip(&inserts[..5]) {
        // The first is near, the second and third beyond 2 and 4 GiB.
        if id == 2 || id == 3 {
            log.leave_out(2_120_000_000);
        }
        log.leave_out(20_000_000);
        log.log(id, transaction);
        ends.push(log.end());
    }
    let (file, far) = ends[3].clone();
    assert!(ends[1].1 < FOUR_GIB && ends[2].1 > FOUR_GIB && far > FOUR_GIB);
    let server = AresServer::start(log);
    let start = [format!("mysql_binlogdump_filename={file}"), format!("mysql_binlogdump_position={far}")];
    let home = Fountain::new();
    let output = run_at(&home, server.port(), &[&start[0], &start[1]]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids(&home), [5], "what lies before the place is not delivered: {}", output.stderr);
    assert!(rows(&home)[0]["pos"].as_u64().unwrap() > far);
    assert_eq!(point(&home)["pos"], ends[4].1);
    let dumps =
        || server.fake.heard().into_iter().filter(|told| told.starts_with("DUMP")).collect::<Vec<_>>();
    assert!(dumps().iter().all(|told| told.ends_with(" bin.000001:4")), "{:?}", dumps());

    // From a stored point, and into the next file.
    server.change(|log| {
        log.rotate();
        log.log(9, &inserts[5]);
    });
    let output = run_at(&home, server.port(), &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(ids(&home), [5, 6]);
    assert_eq!(point(&home)["file"], "bin.000002");
    assert_eq!(dumps().len(), 2);

    for pos in [far - 1, far + 1] {
        let home = Fountain::new();
        let place = format!("mysql_binlogdump_position={pos}");
        let output = run_at(&home, server.port(), &[&start[0], &place]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(
            output.stderr.contains("POINT_FOREIGN") && output.stderr.contains("no event begins at"),
            "{}",
            output.stderr
        );
        assert_eq!(data(&home.home().join("data")), "");
    }
}
