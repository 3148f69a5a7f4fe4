//! Large values come through whole, and large transactions in little memory.

mod harness;

use base64::Engine as _;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::process::peak_kib;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;
use std::time::Duration;

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 20 MiB of bytes beside a text of 64 KiB: larger than a packet of the protocol, a pack, and any buffer.
#[test]
fn a_large_value_is_the_servers_own() {
    for (kind, options) in [
        (Kind::Mysql56, &[][..]),
        (Kind::Mysql97, &["--binlog-transaction-compression=ON", "--binlog-row-metadata=FULL"]),
        (Kind::Mariadb, &[]),
    ] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        server.sql(
            "SET NAMES utf8mb4; CREATE DATABASE d CHARACTER SET utf8mb4;
             CREATE TABLE d.t (id int PRIMARY KEY, b longblob, t text) ENGINE=InnoDB;
             INSERT INTO d.t VALUES (1, REPEAT(UNHEX('00ff10807f5c27220a0d61c3a9f09f98'), 1310720), REPEAT('añ日😀x', 5957));
             UPDATE d.t SET id=2",
        );
        let row = server.select("SELECT SHA2(b, 256), SHA2(t, 256), LENGTH(b), LENGTH(t) FROM d.t").remove(0);
        assert_eq!((row[2].as_deref(), row[3].as_deref()), (Some("20971520"), Some("65527")));
        let delivered = Delivered::run_until_end(&server, &keys(&["start_without_point=beginning"]));
        let images = delivered.lines.iter().flat_map(|line| [&line["before"], &line["after"]]);
        let images: Vec<&Value> = images.filter(|image| !image.is_null()).collect();
        assert_eq!(images.len(), 3, "{kind}");
        for image in images {
            let encoded = image["b"].as_str().expect("base64");
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
            assert_eq!(Some(sha256_hex(&bytes)), row[0], "{kind}");
            assert_eq!(Some(sha256_hex(image["t"].as_str().expect("a text").as_bytes())), row[1], "{kind}");
        }
    }
}

/// No retry makes an event smaller: with or without an end in sight the shard stops.
#[test]
fn an_event_larger_than_allowed_stops_the_shard() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, b longblob) ENGINE=InnoDB;
         INSERT INTO d.t VALUES (1, 'small'); INSERT INTO d.t VALUES (2, REPEAT('x', 3000000))",
    );
    let home = Fountain::new();
    let pairs = keys(&["start_without_point=beginning", "max_event_bytes=1MiB"]);
    let output = home.run(&run_arguments(&home, &server, &pairs), PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let told: Vec<&str> = output.stderr.lines().filter(|line| line.contains("EVENT_TOO_LARGE")).collect();
    assert!(told.len() == 1 && told[0].contains("max_event_bytes"), "{}", output.stderr);
}

/// One transaction of 200 MB. It takes minutes where the disk is slow.
fn a_huge_transaction(options: &[&str]) {
    let Some(server) = Server::start_private(Kind::Mysql97, options) else { return };
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.seed (id int AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB;
         CREATE TABLE d.t (id int PRIMARY KEY, v varchar(1000)) ENGINE=InnoDB; INSERT INTO d.seed VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)",
    );
    server.sql(
        "INSERT INTO d.t SELECT a.id + 10*b.id + 100*c.id + 1000*e.id + 10000*f.id + 100000*g.id, REPEAT(SHA2(CONCAT(a.id,b.id,c.id,e.id,f.id), 256), 15)
         FROM d.seed a, d.seed b, d.seed c, d.seed e, d.seed f, d.seed g WHERE g.id <= 2",
    );
    let size: u64 = server.binlogs().iter().map(|path| path.metadata().expect("its size").len()).sum();
    let home = Fountain::new();
    let mut run = home.spawn(&run_arguments(
        &home,
        &server,
        &keys(&["start_without_point=beginning", "sink=null", "mysql_heartbeat_period=500ms"]),
    ));
    let (file, pos) = server.binlog_end();
    let end = format!("\"file\":\"{file}\",\"pos\":{pos},");
    run.wait_for("the end", Duration::from_secs(600), |_| {
        let point = std::fs::read_to_string(home.home().join("points/producer00.point"));
        point.is_ok_and(|point| point.contains(&end))
    });
    let peak = peak_kib(run.pid()).expect("the process runs");
    let output = run.terminate(Duration::from_secs(60));
    assert_eq!(output.code, 0, "{}", output.stderr);
    println!("{options:?}: {size} bytes of binlog, {peak} KiB at most");
    assert!(peak < 32 * 1024, "{peak} KiB");
}

#[test]
#[ignore = "long: a transaction of 200 MB"]
fn a_huge_transaction_needs_little_memory() {
    a_huge_transaction(GTID);
}

#[test]
#[ignore = "long: a transaction of 200 MB"]
fn a_huge_compressed_transaction_needs_little_memory() {
    a_huge_transaction(
        &[GTID, &["--binlog-transaction-compression=ON", "--binlog-row-metadata=FULL"]].concat(),
    );
}
