//! What one connection makes of the answers and the events of a server that misbehaves on purpose: events of every size and
//! ends of every kind, and answers that are none.

mod connection {
    pub mod opened;
}
#[path = "harness/fake_server.rs"]
mod fake_server;

use connection::opened::SECOND;
use connection::opened::event;
use connection::opened::hurried;
use connection::opened::open;
use connection::opened::stream;
use connection::opened::stream_with;
use connection::opened::within;
use fake_server::Act;
use fake_server::End;
use fake_server::FakeServer;
use fake_server::Script;
use fake_server::rows;
use fountain::code::Code;
use fountain::mysql::ErrorKind;
use fountain::mysql::Poll;
use fountain::mysql::ServerFacts;
use fountain::mysql::binlog_index::BinlogEnd;
use fountain::mysql::binlog_index::binlog_files;
use fountain::mysql::binlog_index::gtid_sets;
use fountain::mysql::catalog::table_definition;
use fountain::stop::Stop;
use fountain::wire::response::ErrPacket;
use fountain::wire::response::ResultSet;
use std::time::Duration;
use std::time::Instant;

#[test]
fn events_come_whole_at_every_size() {
    let sizes = [19, 100, 8192, 0xff_ffff - 2, 0xff_ffff - 1, 0xff_ffff, 0x100_0000, 0x200_0007, 20];
    let script = Script::default().dump(sizes.map(|size| Act::Event(event(30, size))));
    let server = FakeServer::start(script);
    let mut stream = stream(&server);
    for size in sizes {
        let got = loop {
            match stream.poll(SECOND).unwrap() {
                Poll::Event(event) => break event.to_vec(),
                Poll::Idle => {}
                Poll::End => panic!("the end"),
            }
        };
        assert!(got == event(30, size), "an event of {size} bytes");
    }
    assert!(!stream.has_buffered_event());
    assert!(stream.bytes_received() > 80_000_000);
}

#[test]
fn a_buffered_event_is_known_and_idleness_is_quick() {
    let both: Vec<u8> =
        [3u8, 4].map(|number| [&[21, 0, 0, number - 2, 0], &event(30, 20)[..]].concat()).concat();
    let script = Script::default().dump([Act::Sleep(SECOND / 5), Act::Raw(both)]);
    let server = FakeServer::start(script);
    let mut stream = stream(&server);
    within(SECOND / 10, || assert_eq!(stream.poll(SECOND / 50).unwrap(), Poll::Idle));
    assert_eq!(stream.poll(SECOND).unwrap(), Poll::Event(&event(30, 20)));
    assert!(stream.has_buffered_event());
    assert_eq!(stream.poll(Duration::ZERO).unwrap(), Poll::Event(&event(30, 20)));
    assert!(!stream.has_buffered_event());
}

#[test]
fn a_giant_event_is_refused_by_its_header() {
    let mut raw = vec![0xff, 0xff, 0xff, 1, 0];
    raw.extend(&event(30, 19)[..9]);
    raw.extend(500_000_000u32.to_le_bytes());
    let server = FakeServer::start(Script::default().dump([Act::Raw(raw)]));
    let mut config = server.config();
    config.max_event_bytes = 64 << 20;
    let error = stream_with(&config, &Stop::new()).unwrap().poll(SECOND).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::EventTooLarge, ErrorKind::Refused));
    assert!(
        error.to_string().contains("500000000 bytes or more exceeds max_event_bytes=67108864"),
        "{error}"
    );
    // A single frame above the limit tells by its own length.
    let server = FakeServer::start(Script::default().dump([Act::Event(event(30, 1000))]));
    config.port = server.port();
    config.max_event_bytes = 999;
    assert_eq!(
        stream_with(&config, &Stop::new()).unwrap().poll(SECOND).unwrap_err().code(),
        Code::EventTooLarge
    );
    config.max_event_bytes = 1000;
    assert!(matches!(stream_with(&config, &Stop::new()).unwrap().poll(SECOND), Ok(Poll::Event(_))));
}

#[test]
fn the_ends_of_a_stream() {
    let purged = "Could not find first log file name in binary log index file";
    let ends = [
        Act::Eof,
        Act::Error(ErrPacket::new(1236, "HY000", purged)),
        Act::Packet(vec![0x42, 1]),
        Act::End(End::Cut),
    ];
    let server = FakeServer::start_many(
        ends.into_iter().map(|end| Script::default().dump([Act::Event(event(27, 40)), end])).collect(),
    );
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let mut stream = stream(&server);
        assert!(matches!(stream.poll(SECOND), Ok(Poll::Event(_))));
        outcomes.push(
            stream.poll(SECOND).map(|poll| poll == Poll::End).map_err(|error| (error.code(), error.kind())),
        );
    }
    assert_eq!(
        outcomes,
        [
            Ok(true),
            Err((Code::Purged, ErrorKind::Refused)),
            Err((Code::Protocol, ErrorKind::Retry)),
            Err((Code::ConnectionLost, ErrorKind::Retry)),
        ]
    );
}

#[test]
fn heartbeats_keep_a_stream_and_a_busy_reader_does_not_lose_it() {
    let beat = || [Act::Event(event(27, 40)), Act::Sleep(Duration::from_millis(300))];
    let server = FakeServer::start(Script::default().dump((0..6).flat_map(|_| beat())));
    let mut stream = stream_with(&hurried(&server), &Stop::new()).unwrap();
    let mut beats = 0;
    let began = Instant::now();
    while beats < 5 && began.elapsed() < 5 * SECOND {
        match stream.poll(SECOND / 10).unwrap() {
            Poll::Event(_) => beats += 1,
            Poll::Idle => {}
            Poll::End => panic!("the end"),
        }
        if beats == 2 {
            // Longer than so_timeout: the time is ours, not the server's.
            std::thread::sleep(Duration::from_millis(1300));
            beats += 1;
        }
    }
    assert_eq!(beats, 5);
}

/// One row of these values; none is NULL.
fn row(values: &[Option<&str>]) -> Act {
    Act::Rows(ResultSet {
        columns: values.iter().enumerate().map(|(number, _)| format!("c{number}")).collect(),
        rows: vec![values.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect()],
    })
}

/// An empty file name or set would start a stream at the server's first event.
#[test]
fn a_place_that_the_server_does_not_tell_is_not_an_empty_one() {
    let ends = [[None, Some("4")], [Some(""), Some("4")], [Some("b.1"), None], [Some("b.1"), Some("-4")]];
    for end in ends {
        let server = FakeServer::start(Script::default().answer("SHOW BINARY LOG STATUS", row(&end)));
        let mut connection = open(&server).unwrap();
        let facts = ServerFacts::probe(&mut connection).unwrap();
        let error = BinlogEnd::ask(&mut connection, &facts).unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{end:?}: {error}");
    }
    let mariadb = rows(&["Variable_name", "Value"], &[&["server_id", "56"], &["gtid_domain_id", "0"]]);
    let script = Script::default()
        .answer("SHOW GLOBAL VARIABLES", mariadb)
        .answer("SELECT @@global.gtid_binlog_pos", row(&[None]))
        .answer("SELECT @@global.gtid_executed", row(&[Some(""), None]))
        .answer("SHOW BINARY LOG STATUS", row(&[Some("b.1"), Some("4")]));
    let server = FakeServer::start(script);
    let mut connection = open(&server).unwrap();
    let facts = ServerFacts::probe(&mut connection).unwrap();
    let error = BinlogEnd::ask(&mut connection, &facts).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    let error = gtid_sets(&mut connection).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
}

#[test]
fn a_server_that_knows_no_binlog_statements_is_not_asked_for_ever() {
    let unknown = |sql: &str| Act::Error(ErrPacket::new(1064, "42000", &format!("near '{sql}'")));
    let script =
        Script::default().answer("SHOW BINARY LOG", unknown("LOG")).answer("SHOW MASTER", unknown("MASTER"));
    let server = FakeServer::start(script);
    let mut connection = open(&server).unwrap();
    let facts = ServerFacts::probe(&mut connection).unwrap();
    let error = BinlogEnd::ask(&mut connection, &facts).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::Unsupported, ErrorKind::Refused), "{error}");
    assert!(error.to_string().contains("1064"), "{error}");
    assert_eq!(binlog_files(&mut connection).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn an_absent_table_is_told_from_a_hidden_one() {
    let empty =
        rows(&["TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "CHARACTER_SET_NAME"], &[]);
    let absent = Act::Error(ErrPacket::new(1146, "42S02", "Table 'd.gone' doesn't exist"));
    let hidden = Act::Error(ErrPacket::new(
        1142,
        "42000",
        "SELECT command denied to user 'repl'@'%' for table 'hidden'",
    ));
    let script = Script::default()
        .answer("SELECT TABLE_SCHEMA", empty)
        .answer("SELECT 1 FROM `d`.`gone`", absent)
        .answer("SELECT 1 FROM `d`.`hidden`", hidden);
    let server = FakeServer::start(script);
    let mut connection = open(&server).unwrap();
    assert_eq!(table_definition(&mut connection, "d", "gone"), Ok(None));
    let error = table_definition(&mut connection, "d", "hidden").unwrap_err();
    assert_eq!(error.code(), Code::RightMissing);
    assert!(error.to_string().contains("GRANT SELECT ON `d`.* TO 'repl'@'%'"), "{error}");
}
