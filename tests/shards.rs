//! Several shards in one process, one on each kind of server: what stops one of them does not touch the others.

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
use std::time::Duration;

/// One server of each kind, with a table.
fn three() -> Option<[Server; 3]> {
    let servers = [
        Server::start_private(Kind::Mysql56, &[])?,
        Server::start_private(Kind::Mysql97, GTID)?,
        Server::start_private(Kind::Mariadb, &[])?,
    ];
    for server in &servers {
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY) ENGINE=InnoDB");
    }
    Some(servers)
}

/// A run over all of them, shard N on server N.
fn spawn(home: &Fountain, servers: &[Server], pairs: &[&str]) -> Running {
    let always = ["start_without_point=beginning", "dispatch_ddl=none"];
    let mut arguments = run_arguments(home, &servers[0], &keys(&[&always, pairs].concat()));
    for (shard, server) in (1..).zip(&servers[1..]) {
        // The account stands there already.
        arguments.extend(server.shard_arguments(shard, home.home()).into_iter().take(4));
    }
    home.spawn(&arguments)
}

fn insert(servers: &[Server], id: u64) {
    servers.iter().for_each(|server| server.sql(&format!("INSERT INTO d.t VALUES ({id})")));
}

fn insert_as_statement(server: &Server, id: u64) {
    server.sql(&format!("SET SESSION binlog_format=STATEMENT; INSERT INTO d.t VALUES ({id})"));
}

/// The ids that a shard has delivered into files.
fn ids(home: &Fountain, shard: &str) -> Vec<u64> {
    let lines = parse(&data(&home.home().join("data")));
    let own = lines.iter().filter(|line| line["shard"] == shard);
    own.map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

fn told(run: &Running, shard: &str) -> usize {
    let place = format!("shard={shard} ");
    run.stderr().lines().filter(|line| line.contains("STATEMENT_DML") && line.contains(&place)).count()
}

#[test]
fn one_stops_and_the_others_go_on() {
    let Some(servers) = three() else { return };
    let home = Fountain::new();
    let mut run = spawn(&home, &servers, &[]);
    insert(&servers, 1);
    let shards = ["producer00", "producer01", "producer02"];
    run.wait_for("the first rows", PATIENCE, |_| shards.iter().all(|shard| ids(&home, shard) == [1]));
    insert_as_statement(&servers[1], 2);
    run.wait_for("one shard stops", PATIENCE, |run| told(run, "producer01") == 1);
    insert(&servers, 3);
    run.wait_for("the others go on", PATIENCE, |_| {
        ids(&home, "producer00") == [1, 3] && ids(&home, "producer02") == [1, 3]
    });
    assert_eq!(ids(&home, "producer01"), [1]);
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 1, "a shard has failed: {}", output.stderr);
    assert_eq!(output.stderr.matches("STATEMENT_DML").count(), 1, "{}", output.stderr);
}

#[test]
fn the_process_ends_when_no_shard_is_left() {
    let Some(servers) = three() else { return };
    let home = Fountain::new();
    let mut run = spawn(&home, &servers, &["sink=stdout"]);
    insert(&servers, 1);
    run.wait_for("the first rows", PATIENCE, |run| run.stdout_lines() == 3);
    for (left, server) in (0..servers.len()).rev().zip(&servers) {
        assert_eq!(run.ended(), None, "{} shards are left", left + 1);
        insert_as_statement(server, 2);
        let shard = format!("producer0{}", 2 - left);
        run.wait_for("a shard stops", PATIENCE, |run| told(run, &shard) == 1);
    }
    let output = run.wait(PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert_eq!(output.stderr.matches("STATEMENT_DML").count(), 3, "{}", output.stderr);
}

/// A server that is down holds up its own shard only, and that one goes on when it comes back.
#[test]
fn one_server_is_down_for_a_while() {
    let Some(mut servers) = three() else { return };
    let home = Fountain::new();
    let pairs = ["repeat_resource_interval=200ms", "data_source_try_interval=100ms"];
    let mut run = spawn(&home, &servers, &pairs);
    insert(&servers, 1);
    let shards = ["producer00", "producer01", "producer02"];
    run.wait_for("the first rows", PATIENCE, |_| shards.iter().all(|shard| ids(&home, shard) == [1]));
    servers[2].stop();
    insert(&servers[..2], 2);
    run.wait_for("the others go on", PATIENCE, |run| {
        run.stderr().contains("UNREACHABLE") && shards[..2].iter().all(|shard| ids(&home, shard) == [1, 2])
    });
    servers[2].restart();
    insert(&servers[2..], 2);
    run.wait_for("it comes back", PATIENCE, |_| ids(&home, shards[2]) == [1, 2]);
    let output = run.terminate(Duration::from_secs(60));
    assert_eq!(output.code, 0, "{}", output.stderr);
    // One line when the trouble begins, not one for every try.
    assert!(output.stderr.matches("UNREACHABLE").count() <= 2, "{}", output.stderr);
}
