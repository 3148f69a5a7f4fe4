//! Connections to real servers: every way to log in, what a server tells about itself, and definitions.

mod harness;
mod sources {
    pub mod opened;
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fountain::code::Code;
use fountain::mysql::BinlogStream;
use fountain::mysql::DumpRequest;
use fountain::mysql::ErrorKind;
use fountain::mysql::Flavor;
use fountain::mysql::ServerFacts;
use fountain::mysql::SourceConfig;
use fountain::mysql::TlsMode;
use fountain::mysql::binlog_index::BinlogEnd;
use fountain::mysql::binlog_index::binlog_files;
use fountain::mysql::binlog_index::gtid_sets;
use fountain::mysql::catalog::table_definition;
use fountain::secret::Secret;
use harness::GTID;
use harness::Kind;
use harness::Server;
use sources::opened::account;
use sources::opened::open;
use sources::opened::replica;
use sources::opened::with_tls;

// ------------------------------------------------------------------------------------------------------- logging in

#[test]
fn mysql_97_takes_every_path_of_caching_sha2() {
    let Some(server) = Server::start(Kind::Mysql97, &[]) else { return };
    let password = "päss' word\"\\ longer than its nonce of twenty bytes";
    server.sql("DROP USER IF EXISTS every; CREATE USER every@'%' IDENTIFIED BY 'päss'' word\"\\\\ longer than its nonce of twenty bytes'");
    let config = account(&server, "every", password);
    for mode in [TlsMode::Disabled, TlsMode::Required, TlsMode::Preferred] {
        let config = with_tls(&config, mode);
        // Forgets the password, so that the next login has to show it: by RSA without TLS.
        server.sql("FLUSH PRIVILEGES");
        for path in ["full", "fast"] {
            let mut connection = open(&config).unwrap_or_else(|error| panic!("{path} {mode:?}: {error}"));
            assert_eq!(connection.tls_version().is_some(), mode != TlsMode::Disabled);
            assert_eq!(connection.account().unwrap(), "'every'@'%'");
        }
        server.sql("FLUSH PRIVILEGES");
        let mut wrong = config.clone();
        wrong.password = Secret::new("wrong".into());
        let error = open(&wrong).unwrap_err();
        assert_eq!((error.code(), error.kind()), (Code::AccessDenied, ErrorKind::Refused), "{mode:?}");
    }
    let root = open(&account(&server, "root", "")).unwrap().account().unwrap();
    assert!(root.starts_with("'root'@'"), "{root}");
}

#[test]
fn mysql_97_refuses_with_reasons_that_name_the_cure() {
    let Some(server) = Server::start_private(Kind::Mysql97, &[]) else { return };
    server.sql(
        "CREATE USER locked@'%' ACCOUNT LOCK; CREATE USER expired@'%' PASSWORD EXPIRE; \
         CREATE USER x509@'%' IDENTIFIED BY 'x' REQUIRE X509; SET GLOBAL require_secure_transport=ON",
    );
    let refusal = |config: &SourceConfig| {
        let error = open(config).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        (error.code(), error.server_errno().unwrap_or_default(), error.to_string())
    };
    let (code, number, text) = refusal(&account(&server, "locked", ""));
    assert_eq!((code, number), (Code::AccessDenied, 3118));
    assert!(text.contains("ALTER USER 'locked'@'…' ACCOUNT UNLOCK"), "{text}");
    let (code, number, _) = refusal(&account(&server, "expired", ""));
    assert_eq!((code, number), (Code::AccessDenied, 1862));
    let (code, number, text) = refusal(&with_tls(&account(&server, "root", ""), TlsMode::Disabled));
    assert_eq!((code, number), (Code::Tls, 3159));
    assert!(text.ends_with("set mysql_ssl_mode=required"), "{text}");

    let mut x509 = account(&server, "x509", "x");
    assert_eq!(refusal(&x509).0, Code::AccessDenied);
    x509.tls.cert = Some(server.datadir().join("client-cert.pem"));
    x509.tls.key = Some(server.datadir().join("client-key.pem"));
    open(&x509).unwrap();
}

#[test]
fn mysql_97_shows_who_it_is_by_its_certificate() {
    let Some(server) = Server::start_private(Kind::Mysql97, &[]) else { return };
    let mut config = with_tls(&replica(&server), TlsMode::VerifyCa);
    config.tls.ca = Some(server.datadir().join("ca.pem"));
    assert_eq!(open(&config).unwrap().tls_version().as_deref(), Some("TLSv1_3"));
    let refusal = |config: &SourceConfig| {
        let error = open(config).expect_err("a refusal");
        assert_eq!((error.code(), error.kind()), (Code::Tls, ErrorKind::Refused));
        error.text().to_string()
    };
    // The server made the certificate for itself: it names no host.
    let text = refusal(&with_tls(&config, TlsMode::VerifyIdentity));
    assert!(text.contains("names no host: it has no subject alternative names"), "{text}");
    config.tls.ca = Some(server.datadir().join("client-cert.pem"));
    let text = refusal(&config);
    assert!(text.contains("does not come from a CA of mysql_ssl_ca"), "{text}");
}

#[test]
fn mysql_56_and_its_old_passwords() {
    let Some(server) = Server::start_private(Kind::Mysql56, &[]) else { return };
    server.sql(
        "CREATE USER old@'%' IDENTIFIED WITH mysql_old_password; SET old_passwords=1; \
         SET PASSWORD FOR old@'%' = OLD_PASSWORD('x')",
    );
    let connection = open(&replica(&server)).unwrap();
    assert!(connection.server_version().starts_with("5.6."));
    let error = open(&account(&server, "old", "x")).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::AuthUnsupported, ErrorKind::Refused));
    assert!(error.text().contains("mysql_old_password"), "{error}");
    let error = open(&with_tls(&replica(&server), TlsMode::Required)).unwrap_err();
    assert!(error.text().contains("offers no TLS"), "{error}");
    let error = open(&account(&server, "nobody", "secret word")).unwrap_err();
    assert_eq!((error.code(), error.server_errno()), (Code::AccessDenied, Some(1045)));
    assert!(error.text().contains("'nobody'@'") && !error.to_string().contains("secret word"), "{error}");
}

#[test]
fn mysql_56_knows_no_tls_of_today_and_preferred_goes_on_without() {
    // The newer server makes certificates for itself; the older takes the key in its older form only.
    let Some(newer) = Server::start_private(Kind::Mysql97, &[]) else { return };
    let pem = |name: &str| newer.datadir().join(name).to_str().unwrap().to_string();
    let key = pem("old-key.pem");
    std::fs::write(&key, pkcs1(&std::fs::read_to_string(pem("server-key.pem")).unwrap())).unwrap();
    let options = [
        format!("--ssl-ca={}", pem("ca.pem")),
        format!("--ssl-cert={}", pem("server-cert.pem")),
        format!("--ssl-key={key}"),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Some(server) = Server::start_private(Kind::Mysql56, &options) else { return };
    assert_eq!(server.value("SELECT @@have_ssl"), "YES");
    assert_eq!(open(&replica(&server)).unwrap().tls_version(), None);
    let error = open(&with_tls(&replica(&server), TlsMode::Required)).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::Tls, ErrorKind::Refused));
    assert!(error.text().contains("no TLS newer than 1.1"), "{error}");
}

/// An RSA key of 2048 bits in the form of before PKCS #8: the same without the 26 bytes that name the algorithm.
fn pkcs1(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    // The server ends its file with a zero byte.
    let der = STANDARD.decode(body.trim_end_matches('\0')).unwrap();
    assert_eq!(der[26], 0x30, "a sequence");
    let body = STANDARD.encode(&der[26..]);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"))
}

#[test]
fn mariadb_and_its_own_login_method() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server
        .sql("INSTALL SONAME 'auth_ed25519'; CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x')");
    let connection = open(&replica(&server)).unwrap();
    assert!(connection.server_version().contains("-MariaDB"), "{}", connection.server_version());
    assert!(open(&account(&server, "ed", "x")).is_ok());
    let error = open(&account(&server, "ed", "y")).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::AccessDenied, ErrorKind::Refused));
}

// -------------------------------------------------------------------------------------------- what servers tell

#[test]
fn a_mysql_56_server_tells_what_is_needed() {
    tells_what_is_needed(Kind::Mysql56, GTID);
}

#[test]
fn a_mysql_97_server_tells_what_is_needed() {
    tells_what_is_needed(Kind::Mysql97, GTID);
}

#[test]
fn a_mariadb_server_tells_what_is_needed() {
    tells_what_is_needed(Kind::Mariadb, &[]);
}

fn tells_what_is_needed(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    let mut connection = open(&replica(&server)).unwrap();
    let facts = ServerFacts::probe(&mut connection).unwrap();
    assert_eq!(facts.flavor() == Flavor::MySql, kind.is_mysql());
    assert_eq!(facts.has_mysql_gtids(), kind.is_mysql());
    assert_eq!(facts.version(), server.value("SELECT @@version"));
    assert_eq!(facts.server_id().to_string(), server.value("SELECT @@server_id"));
    let uuid = if kind.is_mysql() { "SELECT @@server_uuid" } else { "SELECT @@server_uid" };
    assert_eq!(facts.server_uuid(), Some(server.value(uuid).as_str()));
    facts.require_row_binlog().unwrap();

    server.sql("CREATE DATABASE told; CREATE TABLE told.t (id INT PRIMARY KEY)");
    server.flush_logs();
    let end = BinlogEnd::ask(&mut connection, &facts).unwrap();
    assert_eq!((end.file.clone(), end.pos), server.binlog_end());
    let set = if kind.is_mysql() { &end.gtid_executed } else { &end.gtid_binlog_pos };
    assert_eq!(set.as_deref(), Some(server.gtid_executed().as_str()));
    assert!(!set.as_deref().unwrap_or_default().is_empty());
    let files = binlog_files(&mut connection).unwrap();
    assert_eq!(files.last().unwrap().name, end.file);
    assert_eq!(files.len(), server.binlogs().len());
    assert_eq!(files[0].size, Some(server.binlogs()[0].metadata().unwrap().len()));
    let sets = gtid_sets(&mut connection).unwrap();
    assert_eq!(
        sets.map(|sets| (sets.executed, sets.purged)),
        end.gtid_executed.map(|set| (set, String::new()))
    );

    server.sql("SET GLOBAL binlog_format='MIXED'");
    let facts = ServerFacts::probe(&mut connection).unwrap();
    assert_eq!(facts.require_row_binlog().unwrap_err().code(), Code::BinlogFormat);
    rights_that_are_missing_are_named(&server, &facts);
}

fn rights_that_are_missing_are_named(server: &Server, facts: &ServerFacts) {
    server.sql("CREATE USER none@'%' IDENTIFIED BY 'x'");
    let mut connection = open(&account(server, "none", "x")).unwrap();
    let (file, pos) = server.binlog_end();
    let grant = "run on the server: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'none'@'%'";
    let errors = [
        BinlogEnd::ask(&mut connection, facts).unwrap_err(),
        binlog_files(&mut connection).unwrap_err(),
        table_definition(&mut connection, "told", "t").unwrap_err(),
        BinlogStream::start(connection, &DumpRequest::Position { file, pos }).unwrap_err(),
    ];
    for (number, error) in errors.iter().enumerate() {
        assert_eq!((error.code(), error.kind()), (Code::RightMissing, ErrorKind::Refused), "{error}");
        let advice = error.advice().unwrap_or_default();
        assert!(
            advice == grant || number == 2 && advice.contains("GRANT SELECT ON `told`.* TO 'none'@'%'"),
            "{error}"
        );
    }
}

#[test]
fn a_server_without_a_binlog_is_refused() {
    let Some(server) = Server::start_private(Kind::Mariadb, &["--skip-log-bin"]) else { return };
    let mut connection = open(&replica(&server)).unwrap();
    let facts = ServerFacts::probe(&mut connection).unwrap();
    assert_eq!(facts.require_row_binlog().unwrap_err().code(), Code::BinlogOff);
    assert_eq!(BinlogEnd::ask(&mut connection, &facts).unwrap_err().code(), Code::BinlogOff);
    assert_eq!(binlog_files(&mut connection).unwrap_err().code(), Code::BinlogOff);
}

// ------------------------------------------------------------------------------------------------------ definitions

#[test]
fn definitions_come_as_the_server_has_them() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind, &[]) else { continue };
        server.sql(
            "DROP DATABASE IF EXISTS `o'd\"d\\``db`; CREATE DATABASE `o'd\"d\\``db` CHARACTER SET utf8mb4; \
             USE `o'd\"d\\``db`; \
             CREATE TABLE `tä b` (a INT UNSIGNED, e ENUM('x','it''s, y') CHARACTER SET latin1 NOT NULL, b BLOB, \
               v VARCHAR(20) NOT NULL, n INT NOT NULL, UNIQUE nullable (a), UNIQUE cut (v(3)), UNIQUE good (n, e)); \
             CREATE TABLE keyed (x INT NOT NULL, y TEXT NOT NULL, UNIQUE (x), PRIMARY KEY (y(10), x)); \
             CREATE TABLE `T` (`only` INT); CREATE TABLE t (other INT)",
        );
        // Quotes and backslashes mean something else then.
        server.sql("SET GLOBAL sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES'");
        let mut connection = open(&replica(&server)).unwrap();
        server.sql("SET GLOBAL sql_mode=DEFAULT");
        let mut define = |table| table_definition(&mut connection, "o'd\"d\\`db", table).unwrap();
        let odd = define("tä b").unwrap();
        let columns: Vec<_> = odd
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.column_type.as_str(), column.charset.as_deref()))
            .collect();
        let (unsigned, int) =
            if kind == Kind::Mysql97 { ("int unsigned", "int") } else { ("int(10) unsigned", "int(11)") };
        assert_eq!(
            columns,
            [
                ("a", unsigned, None),
                ("e", "enum('x','it''s, y')", Some("latin1")),
                ("b", "blob", None),
                ("v", "varchar(20)", Some("utf8mb4")),
                ("n", int, None),
            ],
            "{kind}"
        );
        assert_eq!(odd.key, ["n", "e"], "{kind}");
        assert_eq!(define("keyed").unwrap().key, ["y", "x"]);
        assert_eq!(define("T").unwrap().columns[0].name, "only");
        assert_eq!(define("t").unwrap().columns[0].name, "other");
        assert_eq!(define("gone"), None);
        assert_eq!(table_definition(&mut connection, "gone", "gone"), Ok(None));
    }
}

#[test]
fn generated_columns_are_told_and_mariadbs_own_are_not() {
    for kind in [Kind::Mysql97, Kind::Mariadb] {
        let Some(server) = Server::start(kind, &[]) else { continue };
        server.sql(
            "DROP DATABASE IF EXISTS gen; CREATE DATABASE gen; \
             CREATE TABLE gen.t (id INT PRIMARY KEY, v INT AS (id + 1) VIRTUAL, s INT AS (id + 2) STORED)",
        );
        let mut connection = open(&replica(&server)).unwrap();
        let mut names = |table| {
            let definition = table_definition(&mut connection, "gen", table).unwrap().unwrap();
            let told = definition.columns.into_iter().map(|column| match column.hidden {
                true => format!("{} hidden", column.name),
                false => column.name,
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(names("t"), ["id", "v", "s"]);
        if !kind.is_mysql() {
            server.sql(
                "CREATE TABLE gen.implicit (id INT PRIMARY KEY) WITH SYSTEM VERSIONING; \
                 CREATE TABLE gen.explicit (id INT PRIMARY KEY, a TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
                   b TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING; \
                 CREATE TABLE gen.hashed (id INT PRIMARY KEY, t TEXT, UNIQUE (t)); \
                 CREATE TABLE gen.hidden (id INT PRIMARY KEY, h INT INVISIBLE)",
            );
            assert_eq!(names("implicit"), ["id", "row_start hidden", "row_end hidden"], "rows log them too");
            assert_eq!(names("explicit"), ["id", "a", "b"]);
            assert_eq!(names("hashed"), ["id", "t", "DB_ROW_HASH_1 hidden"], "rows may log it too");
            assert_eq!(names("hidden"), ["id", "h"]);
        }
    }
}
