//! The binlogs of real servers by position and by GTID, and their own words for all that can go wrong.

mod harness;
mod sources {
    pub mod opened;
}

use fountain::binlog::ChecksumAlgorithm;
use fountain::binlog::Decoder;
use fountain::binlog::Event;
use fountain::code::Code;
use fountain::mysql::BinlogStream;
use fountain::mysql::DumpRequest;
use fountain::mysql::ErrorKind;
use fountain::mysql::Flavor;
use fountain::mysql::Poll;
use fountain::mysql::ServerFacts;
use fountain::mysql::SourceConfig;
use fountain::mysql::SourceError;
use harness::GTID;
use harness::Kind;
use harness::Server;
use sources::opened::PATIENCE;
use sources::opened::SECOND;
use sources::opened::open;
use sources::opened::replica;
use std::time::Instant;

/// Event types: header byte 4.
const ROTATE: u8 = 4;
const FORMAT_DESCRIPTION: u8 = 15;
const XID: u8 = 16;
const WRITE_ROWS_V1: u8 = 23;
const HEARTBEAT: u8 = 27;
const WRITE_ROWS: u8 = 30;
const HEARTBEAT_V2: u8 = 41;

#[test]
fn the_binlog_of_mysql_56() {
    the_binlog(Kind::Mysql56, GTID);
}

#[test]
fn the_binlog_of_mysql_97() {
    the_binlog(Kind::Mysql97, GTID);
}

#[test]
fn the_binlog_of_mariadb() {
    the_binlog(Kind::Mariadb, &[]);
}

/// What came by a stream: types and sizes of events; heartbeats are counted apart.
#[derive(Default)]
struct Came {
    events: Vec<(u8, usize)>,
    heartbeats: usize,
}

impl Came {
    fn count(&self, event_type: u8) -> usize {
        self.events.iter().filter(|(came, _)| *came == event_type).count()
    }

    /// The sizes of the row events, of either version.
    fn rows(&self) -> Vec<usize> {
        let rows = self.events.iter().filter(|(came, _)| matches!(*came, WRITE_ROWS | WRITE_ROWS_V1));
        rows.map(|(_, size)| *size).collect()
    }
}

/// Reads until `done`, or fails after a while.
fn read(stream: &mut BinlogStream, done: impl Fn(&Came) -> bool) -> Result<Came, SourceError> {
    let mut came = Came::default();
    let began = Instant::now();
    while !done(&came) {
        assert!(
            began.elapsed() < PATIENCE,
            "only {:?} came, and {} heartbeats",
            came.events,
            came.heartbeats
        );
        match stream.poll(SECOND / 10)? {
            Poll::Event(event) if matches!(event[4], HEARTBEAT | HEARTBEAT_V2) => came.heartbeats += 1,
            Poll::Event(event) => {
                assert_eq!(u32::from_le_bytes(event[9..13].try_into().unwrap()) as usize, event.len());
                came.events.push((event[4], event.len()));
            }
            Poll::Idle => {}
            Poll::End => panic!("the end of the stream"),
        }
    }
    Ok(came)
}

/// How a stream ends when nothing else can come.
fn end_of(mut stream: BinlogStream) -> Result<(), SourceError> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if stream.poll(SECOND / 10)? == Poll::End {
            return Ok(());
        }
    }
    panic!("the stream does not end");
}

fn stream(config: &SourceConfig, request: &DumpRequest) -> BinlogStream {
    BinlogStream::start(open(config).unwrap(), request).unwrap()
}

fn the_binlog(kind: Kind, options: &[&str]) {
    let Some(mut server) = Server::start_private(kind, options) else { return };
    let config = replica(&server);
    let facts = ServerFacts::probe(&mut open(&config).unwrap()).unwrap();
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, b LONGBLOB)");
    let (file, pos) = server.binlog_end();
    let from = DumpRequest::Position { file, pos };

    rows_come_by_position(&server, &config, &from);
    all_comes_by_gtid(&server, &config, &facts);
    two_streams_of_one_replica(&server, &config, &from);
    places_that_do_not_exist(&server, &config, &from);
    a_server_without_checksums(&server, &config);
    what_was_purged(&server, &config, &facts, &from);
    the_server_goes(&mut server, &config);
}

fn rows_come_by_position(server: &Server, config: &SourceConfig, from: &DumpRequest) {
    let mut stream = stream(config, from);
    assert_eq!(stream.announced_checksum(), Some("CRC32"));
    let came = read(&mut stream, |came| came.heartbeats >= 2).unwrap();
    assert_eq!(came.events.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [ROTATE, FORMAT_DESCRIPTION]);
    // One event that needs a second packet, and one that is exactly a full one: 16 MiB − 1 with the OK byte.
    server.sql("INSERT INTO d.t VALUES (1, 'a'); INSERT INTO d.t VALUES (2, REPEAT('x', 20000000))");
    let came = read(&mut stream, |came| came.count(XID) == 2).unwrap();
    let sizes = came.rows();
    assert!(sizes.len() == 2 && sizes[0] < 60 && sizes[1] > 20_000_000, "{sizes:?}");
    let frame = (0xff_ffff - 1) - (sizes[1] - 20_000_000);
    server.sql(&format!("INSERT INTO d.t VALUES (3, REPEAT('y', {frame})); INSERT INTO d.t VALUES (4, 'b')"));
    let came = read(&mut stream, |came| came.count(XID) == 2).unwrap();
    assert_eq!(came.rows()[0], 0xff_ffff - 1);
    assert!(stream.bytes_received() > 36_000_000);
}

fn all_comes_by_gtid(server: &Server, config: &SourceConfig, facts: &ServerFacts) {
    let everything = match facts.flavor() {
        Flavor::MySql => DumpRequest::Gtid { set: vec![0; 8] },
        Flavor::MariaDb => DumpRequest::MariadbGtid { position: String::new() },
    };
    let came = read(&mut stream(config, &everything), |came| came.count(XID) == 4).unwrap();
    assert_eq!(came.rows().len(), 4);
    let executed = server.gtid_executed();
    let nothing_new = match facts.flavor() {
        Flavor::MySql => {
            DumpRequest::Gtid { set: first(facts, executed.rsplit('-').next().unwrap().parse().unwrap()) }
        }
        Flavor::MariaDb => DumpRequest::MariadbGtid { position: executed },
    };
    let mut stream = stream(config, &nothing_new);
    assert_eq!(read(&mut stream, |came| came.heartbeats > 0).unwrap().rows().len(), 0);
    // A server that can tell its whole position does so: it skips what we have, maybe more than 4 GiB of it.
    let exact = heartbeat_at(server.binlog_end(), &mut stream);
    assert_eq!(exact, server.kind() == Kind::Mysql97);
}

/// Waits for a heartbeat from this place (5.6 sends one on the way there); says whether its position is whole.
fn heartbeat_at(place: (String, u64), stream: &mut BinlogStream) -> bool {
    let algorithm = match stream.announced_checksum() {
        Some("CRC32") => ChecksumAlgorithm::Crc32,
        _ => ChecksumAlgorithm::Off,
    };
    let mut decoder = Decoder::new(algorithm);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Poll::Event(event) = stream.poll(SECOND / 10).unwrap()
            && let (_, Event::Heartbeat(heartbeat)) = decoder.decode(event).unwrap()
            && (heartbeat.file, heartbeat.position) == (place.0.as_str(), place.1)
        {
            return heartbeat.exact;
        }
    }
    panic!("no heartbeat came");
}

/// Waits until the server counts so many streams. It notices that one is gone when it next sends a heartbeat, and MySQL
/// 5.6 ends just one other stream of a replica, which may be such a dead one.
fn wait_for_streams(server: &Server, count: &str) {
    let began = Instant::now();
    let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    while server.value(sql) != count {
        assert!(began.elapsed() < PATIENCE, "not {count} streams: {}", server.value(sql));
        std::thread::sleep(SECOND / 10);
    }
}

fn two_streams_of_one_replica(server: &Server, config: &SourceConfig, from: &DumpRequest) {
    wait_for_streams(server, "0");
    let old = stream(config, from);
    wait_for_streams(server, "1");
    let mut new = stream(config, from);
    // 5.6 ends the old stream without a reason.
    match (server.kind(), end_of(old)) {
        (Kind::Mysql56, Ok(())) => {}
        (_, outcome) => {
            let error = outcome.unwrap_err();
            assert_eq!((error.code(), error.kind()), (Code::ReplicaIdClash, ErrorKind::Retry), "{error}");
        }
    }
    assert_eq!(read(&mut new, |came| came.count(XID) == 4).unwrap().rows().len(), 4);
    server.session().sql(&format!("KILL {}", new.connection_id()));
    let error = end_of(new).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::ConnectionLost, ErrorKind::Retry), "{error}");
}

fn places_that_do_not_exist(server: &Server, config: &SourceConfig, from: &DumpRequest) {
    let DumpRequest::Position { file, pos } = from else { unreachable!("a position") };
    let end = |file: &str, pos| {
        end_of(stream(config, &DumpRequest::Position { file: file.into(), pos })).unwrap_err()
    };
    let beyond = end(file, 999_999_999);
    assert_eq!((beyond.code(), beyond.kind()), (Code::PointBeyondEnd, ErrorKind::Refused), "{beyond}");
    let nowhere = end("other-bin.000001", 4);
    assert_eq!((nowhere.code(), nowhere.kind()), (Code::Purged, ErrorKind::Refused), "{nowhere}");
    let inside = end(file, pos + 9);
    assert_eq!(
        (inside.code(), inside.kind()),
        (Code::BadEvent, ErrorKind::Refused),
        "{}: {inside}",
        server.kind()
    );
}

fn a_server_without_checksums(server: &Server, config: &SourceConfig) {
    server.sql("SET GLOBAL binlog_checksum=NONE; INSERT INTO d.t VALUES (5, 'c')");
    let file = server.binlog_end().0;
    let mut stream = stream(config, &DumpRequest::Position { file, pos: 4 });
    assert_eq!(stream.announced_checksum(), Some("NONE"));
    read(&mut stream, |came| came.count(XID) == 1).unwrap();
    server.sql("SET GLOBAL binlog_checksum=CRC32; INSERT INTO d.t VALUES (6, 'd')");
    read(&mut stream, |came| came.count(XID) == 1).unwrap();
}

fn what_was_purged(server: &Server, config: &SourceConfig, facts: &ServerFacts, from: &DumpRequest) {
    let (last, _) = server.binlog_end();
    // A file that a stream still reads is kept, and the server notices late that a reader has left.
    harness::wait_until("the files are purged", PATIENCE, || {
        server.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
        server.binlogs().len() == 1
    });
    let (everything, beyond) = match facts.flavor() {
        Flavor::MariaDb => {
            let position = |text: &str| DumpRequest::MariadbGtid { position: text.into() };
            (position("0-1-1"), position("0-1-999999"))
        }
        Flavor::MySql => {
            (DumpRequest::Gtid { set: vec![0; 8] }, DumpRequest::Gtid { set: first(facts, 999_999) })
        }
    };
    for request in [from, &everything] {
        let error = end_of(stream(config, request)).unwrap_err();
        assert_eq!((error.code(), error.kind()), (Code::Purged, ErrorKind::Refused), "{error}");
    }
    let error = end_of(stream(config, &beyond)).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::PointBeyondEnd, ErrorKind::Refused), "{error}");
}

/// The server's own transactions 1 to `last` as a binary set: count 8, then uuid 16, intervals 8, start 8, end 8.
fn first(facts: &ServerFacts, last: u64) -> Vec<u8> {
    let uuid = facts.server_uuid().unwrap().replace('-', "");
    let mut set = 1u64.to_le_bytes().to_vec();
    set.extend((0..16).map(|i| u8::from_str_radix(&uuid[2 * i..2 * i + 2], 16).unwrap()));
    set.extend([1, 1, last + 1].map(u64::to_le_bytes).concat());
    set
}

fn the_server_goes(server: &mut Server, config: &SourceConfig) {
    let (file, pos) = server.binlog_end();
    let from = DumpRequest::Position { file, pos };
    let mut config = config.clone();
    (config.so_timeout, config.query_timeout, config.login_timeout) = (2 * SECOND, 2 * SECOND, 2 * SECOND);
    let mut silent = stream(&config, &from);
    read(&mut silent, |came| came.heartbeats > 0).unwrap();
    let mut connection = open(&config).unwrap();
    server.stall();
    let error = end_of(silent).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::Stalled, ErrorKind::Retry), "{error}");
    assert_eq!(connection.ping().unwrap_err().code(), Code::Timeout);
    assert_eq!(open(&config).unwrap_err().code(), Code::Timeout);
    server.resume();

    let stream = stream(&config, &from);
    server.kill9();
    let error = end_of(stream).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::ConnectionLost, ErrorKind::Retry), "{error}");
    assert_eq!(open(&config).unwrap_err().code(), Code::Unreachable);
}
