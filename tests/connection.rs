//! One connection against a server that misbehaves on purpose: every stall, cut and refusal ends in time with an error
//! that names it, and a stop is seen at once.

mod connection {
    pub mod opened;
}
#[path = "harness/fake_server.rs"]
mod fake_server;

use connection::opened::SECOND;
use connection::opened::event;
use connection::opened::hurried;
use connection::opened::open;
use connection::opened::request;
use connection::opened::stream_with;
use connection::opened::within;
use fake_server::Act;
use fake_server::End;
use fake_server::FakeServer;
use fake_server::Script;
use fake_server::rows;
use fountain::code::Code;
use fountain::mysql::BinlogStream;
use fountain::mysql::Connection;
use fountain::mysql::DumpRequest;
use fountain::mysql::ErrorKind;
use fountain::mysql::Poll;
use fountain::mysql::ServerFacts;
use fountain::mysql::SourceConfig;
use fountain::mysql::SourceError;
use fountain::mysql::TlsMode;
use fountain::mysql::binlog_index::BinlogEnd;
use fountain::stop::Stop;
use fountain::wire::capability::CLIENT_DEPRECATE_EOF;
use fountain::wire::capability::CLIENT_LONG_PASSWORD;
use fountain::wire::capability::CLIENT_PLUGIN_AUTH;
use fountain::wire::capability::CLIENT_SSL;
use fountain::wire::response::ErrPacket;
use std::time::Duration;
use std::time::Instant;

#[test]
fn a_session_goes_its_way() {
    for lacks in [0, CLIENT_DEPRECATE_EOF, CLIENT_PLUGIN_AUTH | CLIENT_LONG_PASSWORD] {
        let script = Script { lacks, ..Script::default() };
        let script =
            script.answer("SHOW MASTER STATUS", rows(&["File", "Position"], &[&["mysql-bin.000003", "120"]]));
        let server = FakeServer::start(script);
        let mut connection = open(&server).unwrap();
        assert_eq!((connection.server_version(), connection.connection_id()), ("9.7.0-fake", 7));
        assert_eq!(connection.tls_version(), None);
        connection.ping().unwrap();
        assert_eq!(connection.account().unwrap(), "'repl'@'%'");
        let facts = ServerFacts::probe(&mut connection).unwrap();
        facts.require_row_binlog().unwrap();
        let end = BinlogEnd::ask(&mut connection, &facts).unwrap();
        assert_eq!((end.file.as_str(), end.pos, end.gtid_executed), ("mysql-bin.000003", 120, None));
        drop(connection);
        let heard = server.heard_until("QUIT");
        assert_eq!(heard[3..], ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS", "QUIT"], "{heard:?}");
    }
}

#[test]
fn what_is_said_before_a_dump() {
    let server = FakeServer::start(Script::default().dump([Act::Event(event(4, 40))]));
    let mut config = server.config();
    (config.report_host, config.report_port) = ("node1".into(), 8080);
    let mut stream = stream_with(&config, &Stop::new()).unwrap();
    assert_eq!(stream.announced_checksum(), Some("CRC32"));
    assert_eq!(stream.poll(SECOND).unwrap(), Poll::Event(&event(4, 40)));
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    assert_eq!(
        server.heard(),
        [
            "SELECT CURRENT_USER()".to_string(),
            "SET NAMES 'utf8mb4'".to_string(),
            "SET SESSION lc_messages='en_US'".to_string(),
            "SET SESSION wait_timeout=3600, net_write_timeout=3600, net_read_timeout=3600".to_string(),
            "SELECT @@global.binlog_checksum".to_string(),
            format!(
                "SET @master_heartbeat_period=100000000, @source_heartbeat_period=100000000, \
                 @mariadb_slave_capability=4, @slave_uuid='{uuid}', @replica_uuid='{uuid}', \
                 @master_binlog_checksum='CRC32', @source_binlog_checksum='CRC32'"
            ),
            "REGISTER 4711 node1:8080".to_string(),
            "DUMP 4711 mysql-bin.000001:4".to_string(),
        ]
    );
}

#[test]
fn a_gtid_dump_names_no_file_and_old_servers_have_no_checksums() {
    let unknown = ErrPacket::new(1193, "HY000", "Unknown system variable 'binlog_checksum'");
    let server =
        FakeServer::start(Script::default().answer("SELECT @@global.binlog_checksum", Act::Error(unknown)));
    let start = |request| BinlogStream::start(open(&server).unwrap(), &request).unwrap();
    let stream = start(DumpRequest::Gtid { set: vec![0; 8] });
    assert_eq!(stream.announced_checksum(), None);
    drop(start(DumpRequest::MariadbGtid { position: "0-1-5".into() }));
    let heard = server.heard_until("DUMP 4711 ");
    assert!(heard.contains(&"DUMP_GTID 4711 :4 8 bytes".to_string()), "{heard:?}");
    assert!(
        heard.contains(
            &"SET @slave_connect_state='0-1-5', @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0"
                .to_string()
        ),
        "{heard:?}"
    );
    assert!(heard.contains(&"DUMP 4711 :4".to_string()), "{heard:?}");
}

/// Opens, asks and streams: the first error of all that.
fn whole_session(config: &SourceConfig, stop: &Stop) -> SourceError {
    let work = || -> Result<(), SourceError> {
        let mut connection = Connection::open(config, stop)?;
        ServerFacts::probe(&mut connection)?;
        let mut stream = BinlogStream::start(connection, &DumpRequest::Gtid { set: vec![0; 8] })?;
        while stream.poll(SECOND)? != Poll::End {
            if stop.requested() {
                return Ok(());
            }
        }
        Ok(())
    };
    work().expect_err("an error")
}

#[test]
fn each_stage_that_stalls_ends_in_time() {
    let stall = || Act::End(End::Stall);
    let scripts = [
        ("greeting", Code::Timeout, Script { end: Some((0, End::Stall)), ..Script::default() }),
        ("answer to the login", Code::Timeout, Script { login: Some(stall()), ..Script::default() }),
        ("answer to a statement", Code::Timeout, Script::default().answer("SHOW GLOBAL VARIABLES", stall())),
        ("answer to a statement", Code::Timeout, Script::default().answer("SET ", stall())),
        ("COM_REGISTER_SLAVE", Code::Timeout, Script { register: Some(stall()), ..Script::default() }),
        ("silent for 2s", Code::Stalled, Script::default()),
        ("silent for 2s", Code::Stalled, Script::default().dump([Act::Event(event(4, 40))])),
        ("silent for 1s", Code::Stalled, Script::default().dump([Act::Event(event(27, 40))])),
        ("middle of an event", Code::Stalled, Script::default().dump([Act::Raw(vec![9, 0, 0, 1, 0, 0])])),
    ];
    for (words, code, script) in scripts {
        let server = FakeServer::start(script);
        let error = within(3 * SECOND, || whole_session(&hurried(&server), &Stop::new()));
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Retry), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Bytes that come one by one keep nothing alive: an event must come to its end.
#[test]
fn what_comes_in_drops_ends_in_time() {
    let drop = |act: Act| [act, Act::Sleep(Duration::from_millis(200))];
    let half = [Act::Event(event(27, 40)), Act::Raw([&[200, 0, 0, 2, 0], &event(30, 199)[..100]].concat())];
    let event_in_drops = (0..40).flat_map(|_| drop(Act::Raw(vec![0])));
    let progress = (0..40).flat_map(|_| drop(Act::Packet(b"\xff\xff\xff\x01\x01\0\0\0\0".to_vec())));
    for (words, acts) in [
        ("in the middle of an event", half.into_iter().chain(event_in_drops).collect::<Vec<_>>()),
        ("no event", std::iter::once(Act::Event(event(27, 40))).chain(progress).collect()),
    ] {
        let server = FakeServer::start(Script::default().dump(acts));
        let error = within(4 * SECOND, || whole_session(&hurried(&server), &Stop::new()));
        assert_eq!((error.code(), error.kind()), (Code::Stalled, ErrorKind::Retry), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Before its first event a server may search for long. One that takes no login meanwhile does not.
#[test]
fn a_server_that_is_frozen_before_the_first_event_is_told_from_one_that_searches() {
    let asked = |second: Script| {
        let server = FakeServer::start_many(vec![Script::default(), second]);
        let mut config = hurried(&server);
        config.first_event_timeout = 4 * SECOND;
        let began = Instant::now();
        let error = whole_session(&config, &Stop::new());
        assert_eq!((error.code(), error.kind()), (Code::Stalled, ErrorKind::Retry), "{error}");
        (began.elapsed(), error.to_string())
    };
    let (waited, text) = asked(Script { end: Some((0, End::Stall)), ..Script::default() });
    assert!(waited < 4 * SECOND && text.contains("nor takes a login"), "{waited:?} {text}");
    let too_many = Some(ErrPacket::new(1040, "08004", "Too many connections"));
    let (waited, text) = asked(Script { instead_of_greeting: too_many, ..Script::default() });
    assert!(waited >= 4 * SECOND && text.contains("silent for 4s"), "{waited:?} {text}");
}

/// Only a stream by GTID begins with a search of the server's files.
#[test]
fn a_stream_by_position_has_no_time_to_search() {
    let server = FakeServer::start(Script::default());
    let mut stream = stream_with(&hurried(&server), &Stop::new()).unwrap();
    let error = within(2 * SECOND, || {
        loop {
            match stream.poll(SECOND) {
                Ok(poll) => assert_eq!(poll, Poll::Idle),
                Err(error) => break error,
            }
        }
    });
    assert_eq!(error.code(), Code::Stalled);
    assert!(error.to_string().contains("silent for 1s"), "{error}");
}

#[test]
fn a_stop_is_seen_within_a_second_whatever_is_waited_for() {
    let stall = || Act::End(End::Stall);
    let scripts = [
        Script { end: Some((0, End::Stall)), ..Script::default() },
        Script { login: Some(stall()), ..Script::default() },
        Script::default().answer("SHOW GLOBAL VARIABLES", stall()),
        Script { register: Some(stall()), ..Script::default() },
    ];
    for script in scripts {
        let server = FakeServer::start(script);
        let config = server.config();
        let error = stopped_after_a_while(|stop| within(SECOND, || whole_session(&config, stop)));
        assert_eq!((error.code(), error.kind()), (Code::Stopped, ErrorKind::Stopped), "{error}");
    }
    let server = FakeServer::start(Script::default());
    stopped_after_a_while(|stop| {
        let mut stream = stream_with(&server.config(), stop).unwrap();
        within(SECOND, || assert_eq!(stream.poll(60 * SECOND).unwrap(), Poll::Idle));
    });
}

fn stopped_after_a_while<T>(work: impl FnOnce(&Stop) -> T) -> T {
    let stop = Stop::new();
    let other = stop.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.request();
    });
    let result = work(&stop);
    stopper.join().unwrap();
    result
}

#[test]
fn a_full_backlog_and_a_stop_during_the_connect() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    // Connects hang once the queue is full.
    while let Ok(filler) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        fillers.push(filler);
    }
    let mut config = SourceConfig::new("127.0.0.1", address.port(), "u", Default::default());
    config.connect_timeout = Duration::from_millis(400);
    let error = within(SECOND, || Connection::open(&config, &Stop::new()).unwrap_err());
    assert_eq!(error.code(), Code::Unreachable);
    assert!(error.to_string().contains("127.0.0.1: timed out"), "{error}");
    config.connect_timeout = 60 * SECOND;
    let error = stopped_after_a_while(|stop| within(SECOND, || Connection::open(&config, stop).unwrap_err()));
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

#[test]
fn a_cut_at_any_byte_is_a_lost_connection() {
    let script = Script::default().dump([Act::Event(event(27, 40)), Act::End(End::Cut)]);
    let total = 400;
    let scripts = (0..total).map(|limit| Script { end: Some((limit, End::Cut)), ..script.clone() }).collect();
    let server = FakeServer::start_many(scripts);
    for limit in 0..total {
        let error = within(2 * SECOND, || whole_session(&server.config(), &Stop::new()));
        assert_eq!(
            (error.code(), error.kind()),
            (Code::ConnectionLost, ErrorKind::Retry),
            "{limit}: {error}"
        );
    }
}

#[test]
fn refusals_are_told_in_the_servers_words_and_ours() {
    let refused = |number, state, text| Some(ErrPacket::new(number, state, text));
    let server = FakeServer::start_many(vec![
        Script {
            instead_of_greeting: refused(1130, "", "Host '10.0.0.1' is not allowed"),
            ..Script::default()
        },
        Script { instead_of_greeting: refused(1040, "08004", "Too many connections"), ..Script::default() },
        Script::default(),
    ]);
    let error = open(&server).unwrap_err();
    assert_eq!(
        (error.code(), error.kind(), error.server_errno()),
        (Code::AccessDenied, ErrorKind::Refused, Some(1130))
    );
    let error = open(&server).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::ServerError, ErrorKind::Retry));
    let mut config = server.config();
    config.password = fountain::secret::Secret::new("wrong-password".into());
    let error = Connection::open(&config, &Stop::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("ACCESS_DENIED 127.0.0.1:"), "{text}");
    assert!(
        text.contains("Access denied for user 'repl'@'127.0.0.1' (using password: YES) (error 1045, 28000)")
    );
    assert!(!text.contains("wrong-password") && !format!("{config:?}").contains("wrong-password"));
}

#[test]
fn login_methods_that_are_not_spoken_are_named() {
    for (switch, name) in
        [(&b"\xfeauth_gssapi_client\0nonce"[..], "auth_gssapi_client"), (b"\xfe", "mysql_old_password")]
    {
        let server =
            FakeServer::start(Script { login: Some(Act::Packet(switch.to_vec())), ..Script::default() });
        let error = open(&server).unwrap_err();
        assert_eq!((error.code(), error.kind()), (Code::AuthUnsupported, ErrorKind::Refused));
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("ALTER USER 'repl'@'…' IDENTIFIED WITH"), "{text}");
    }
}

#[test]
fn preferred_falls_back_to_plain_and_required_does_not() {
    let script = Script { offers: CLIENT_SSL, ..Script::default() };
    let server = FakeServer::start(script);
    open(&server).unwrap().ping().unwrap();
    assert_eq!(server.heard()[..2], ["SSL", "PING"]);
    let mut config = server.config();
    config.tls.mode = TlsMode::Required;
    let error = Connection::open(&config, &Stop::new()).unwrap_err();
    assert_eq!(error.code(), Code::Tls);
    assert!(
        error.to_string().contains("the TLS handshake failed: the server closed the connection"),
        "{error}"
    );
    let plain = FakeServer::start(Script::default());
    config.port = plain.port();
    let error = Connection::open(&config, &Stop::new()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::Tls, ErrorKind::Refused));
    assert!(error.to_string().contains("the server offers no TLS, and mysql_ssl_mode=required asks for it"));
}

#[test]
fn tls_files_are_checked_before_anybody_is_asked() {
    let mut config = SourceConfig::new("127.0.0.1", 1, "u", Default::default());
    let mut refusal = |mode, ca: Option<&str>, cert: Option<&str>| {
        config.tls.mode = mode;
        (config.tls.ca, config.tls.cert) = (ca.map(Into::into), cert.map(Into::into));
        let error = Connection::open(&config, &Stop::new()).unwrap_err();
        assert_eq!((error.code(), error.kind()), (Code::Tls, ErrorKind::Refused));
        error.text().to_string()
    };
    assert_eq!(refusal(TlsMode::VerifyCa, None, None), "mysql_ssl_mode=verify_ca needs mysql_ssl_ca");
    assert!(
        refusal(TlsMode::VerifyIdentity, Some("no/such.pem"), None).starts_with("mysql_ssl_ca no/such.pem: ")
    );
    assert!(
        refusal(TlsMode::Preferred, Some("ca.pem"), None)
            .contains("has no effect with mysql_ssl_mode=preferred")
    );
    let text = refusal(TlsMode::Required, None, Some("cert.pem"));
    assert_eq!(text, "mysql_ssl_cert and mysql_ssl_key need each other");
}

#[test]
fn something_that_is_no_mysql_server_is_told() {
    let server =
        FakeServer::start(Script { login: Some(Act::Packet(b"HTTP/1.1".to_vec())), ..Script::default() });
    let error = open(&server).unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = web.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream
    });
    let mut config = server.config();
    config.port = port;
    let error = Connection::open(&config, &Stop::new()).unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    drop(answer.join().unwrap());
}

#[test]
fn an_error_of_the_server_leaves_the_connection_usable_and_a_kill_does_not() {
    let killed = ErrPacket::new(1927, "70100", "Connection was killed");
    let server = FakeServer::start(Script::default().answer("SELECT SLEEP", Act::Error(killed)));
    let mut connection = open(&server).unwrap();
    let error = connection.query("NONSENSE").unwrap_err();
    assert!(error.text().ends_with("(error 1064, 42000), in answer to: NONSENSE"), "{error}");
    connection.ping().unwrap();
    assert_eq!(connection.query("SELECT SLEEP(9)").unwrap_err().code(), Code::ConnectionLost);
    assert_eq!(connection.ping().unwrap_err().code(), Code::ConnectionLost);
}

#[test]
fn a_missing_right_is_told_with_its_grant() {
    let denied = Act::Error(ErrPacket::new(
        1227,
        "42000",
        "Access denied; you need the REPLICATION CLIENT privilege(s)",
    ));
    let denied_slave =
        Act::Error(ErrPacket::new(1045, "28000", "Access denied for user 'repl'@'%' (using password: YES)"));
    let script = Script { register: Some(denied_slave), ..Script::default() };
    let server = FakeServer::start(script.answer("SHOW MASTER STATUS", denied));
    let mut connection = open(&server).unwrap();
    let facts = ServerFacts::probe(&mut connection).unwrap();
    for error in [
        BinlogEnd::ask(&mut connection, &facts).unwrap_err(),
        BinlogStream::start(connection, &request()).unwrap_err(),
    ] {
        assert_eq!((error.code(), error.kind()), (Code::RightMissing, ErrorKind::Refused));
        let grant = "run on the server: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'repl'@'%'";
        assert_eq!(error.advice(), Some(grant));
    }
}

#[test]
fn what_no_retry_would_cure_is_refused_before_a_dump() {
    let unknown = Act::Error(ErrPacket::new(1115, "42000", "Unknown character set: 'klingon'"));
    let server = FakeServer::start(Script::default().answer("SET NAMES 'klingon'", unknown));
    let mut config = server.config();
    config.charset = "klingon".into();
    let error = stream_with(&config, &Stop::new()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::Config, ErrorKind::Refused));
    assert!(error.text().contains("mysql_charset=klingon"), "{error}");
    config.charset = "utf8".into();
    config.server_id = 0;
    assert_eq!(stream_with(&config, &Stop::new()).unwrap_err().code(), Code::Config);
}
