//! Every server × login × TLS mode × dump strategy that there is: connected and read to the end, or refused with the
//! code that it should be. The table below is the test; what stands under it only fills it in.

#[path = "harness/ares.rs"]
mod ares;
#[path = "harness/fake_server.rs"]
mod fake_server;
mod harness;
mod matrix {
    pub mod table;
}

use ares::AresLog;
use ares::AresServer;
use ares::LIKE_5_1;
use ares::transactions;
use fake_server::FakeServer;
use fake_server::Script;
use fake_server::tls::TlsServer;
use fake_server::tls::certificate;
use fountain::config::Choice;
use fountain::mysql::BinlogStream;
use fountain::mysql::Connection;
use fountain::mysql::DumpRequest;
use fountain::mysql::SourceError;
use fountain::mysql::TlsMode;
use fountain::stop::Stop;
use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::parse;
use matrix::table::Cell;
use matrix::table::MARKER;
use matrix::table::cells;
use std::fmt::Write;

/// Account names as long as the server takes them.
fn user(kind: Kind, number: usize) -> String {
    let length = match kind {
        Kind::Mysql56 => 16,
        Kind::Mysql97 => 32,
        Kind::Mariadb | Kind::Mariadb118 => 80,
    };
    let start = format!("cell{number}_");
    format!("{start}{}", "n".repeat(length - start.len()))
}

/// The statements that make a cell's account.
fn account(kind: Kind, user: &str, cell: &Cell) -> String {
    let (password, require) = (cell.password(), cell.require());
    let password = if cell.is("+wrong") { "another".to_owned() } else { password };
    let create = match (kind, cell.method()) {
        (Kind::Mysql56, "mysql_native_password") => format!("CREATE USER {user} IDENTIFIED BY '{password}'"),
        // 5.6 hashes by the session's `old_passwords`: 1 is pre-4.1, 2 is SHA-256.
        (Kind::Mysql56, method) => {
            let old = if method == "sha256_password" { 2 } else { 1 };
            format!(
                "CREATE USER {user} IDENTIFIED WITH {method}; SET old_passwords={old}; \
                 SET PASSWORD FOR {user} = PASSWORD('{password}'); SET old_passwords=0"
            )
        }
        (Kind::Mysql97, "mysql_no_login") => format!("CREATE USER {user} IDENTIFIED WITH mysql_no_login"),
        (Kind::Mysql97, method) => {
            format!("CREATE USER {user} IDENTIFIED WITH {method} BY '{password}' {require}")
        }
        (_, "mysql_old_password") => {
            format!("CREATE USER {user} IDENTIFIED VIA mysql_old_password USING '378b243e220ca493'")
        }
        (_, methods) => {
            // The first of several has another password: the server goes on to the next one.
            let mut ways = Vec::new();
            for method in methods.split(',').rev() {
                let word = if ways.is_empty() { password.as_str() } else { "of nobody" };
                ways.push(match method {
                    "unix_socket" => method.to_owned(),
                    _ => format!("{method} USING PASSWORD('{word}')"),
                });
            }
            ways.reverse();
            format!("CREATE USER {user} IDENTIFIED VIA {} {require}", ways.join(" OR "))
        }
    };
    format!("{create}; GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO {user};\n")
}

/// A server with its cells' accounts and a row in its binlog.
fn start(kind: Kind, options: &[&str], cells: &[Cell]) -> Option<Server> {
    let server = Server::start_private(kind, &[options, &["--max-connections=1000"]].concat())?;
    let mut sql = String::new();
    if kind == Kind::Mysql97 && cells.iter().any(|cell| cell.method() == "mysql_no_login") {
        sql.push_str("INSTALL PLUGIN mysql_no_login SONAME 'mysql_no_login.so';\n");
    }
    for (number, cell) in cells.iter().enumerate() {
        sql.push_str(&account(kind, &user(kind, number), cell));
    }
    server.sql(&sql);
    insert(&server);
    Some(server)
}

fn insert(server: &Server) {
    server.sql(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, name varchar(20) CHARACTER SET latin1) ENGINE=InnoDB; \
         INSERT INTO d.t VALUES (1, '{MARKER}')"
    ));
}

/// One shard for each cell; `account` gives its user and password.
fn properties(port: u16, cells: &[Cell], account: impl Fn(usize) -> (String, String)) -> String {
    let mut text = String::from(
        "sink=file\nstart_without_point=beginning\nfilter_shard_table_white=d.t\ndispatch_ddl=none\n",
    );
    let file = |name| certificate(name).display().to_string();
    for (number, cell) in cells.iter().enumerate() {
        let (user, password) = account(number);
        let mut pairs = vec![
            ("name", format!("cell{number}")),
            ("server", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("slaveId", (1000 + number).to_string()),
            ("username", user),
            ("password", password),
            ("ssl_mode", cell.mode.to_owned()),
            ("binlog_dump_strategy", cell.strategy.clone()),
        ];
        if ["verify_ca", "verify_identity"].contains(&cell.mode) {
            pairs.push(("ssl_ca", file("ca.pem")));
        }
        if cell.is("+x509") || cell.is("+subject") {
            pairs.extend([("ssl_cert", file("client.pem")), ("ssl_key", file("client-key.pem"))]);
        }
        for (key, value) in pairs {
            writeln!(text, "mysql_shard_{number}_{key}={value}").expect("a String takes all");
        }
    }
    text
}

/// As [`compare_all`], on a server of that kind with an account for each cell.
fn connect_all(name: &str, kind: Kind, options: &[&str], cause: &str) {
    let cells = cells(name);
    let Some(server) = start(kind, options, &cells) else { return };
    let account = |number| (user(kind, number), cells[number].password());
    compare_all(name, &cells, cause, &properties(server.port(), &cells, account));
}

/// Runs all cells of a server in one process, a shard each, and compares what each comes to. `cause` is what a refusal
/// for the sake of TLS gives as its reason.
fn compare_all(name: &str, cells: &[Cell], cause: &str, properties: &str) {
    let home = Fountain::new();
    let conf = home.write("cells.properties", properties);
    let mut command = home.command();
    command.args(["run", "--conf", conf.to_str().expect("UTF-8"), "--until", "end"]).env("RUST_LOG", "trace");
    let output = harness::Running::start(command).wait(PATIENCE);
    let lines = parse(&data(&home.home().join("data")));
    let mut wrong = Vec::new();
    for (number, cell) in cells.iter().enumerate() {
        let shard = format!("cell{number}");
        let word = format!("shard={shard} ");
        let told: Vec<&str> = output.stderr.lines().filter(|line| line.contains(&word)).collect();
        let rows: Vec<_> = lines.iter().filter(|line| line["shard"] == shard.as_str()).collect();
        if !is_as_expected(cell, &told, cause) || rows.len() != usize::from(!refused(&cell.expected)) {
            wrong.push(format!(
                "{}: expected {}, {} rows\n{}",
                cell.name(),
                cell.expected,
                rows.len(),
                told.join("\n")
            ));
        }
        assert!(rows.iter().all(|row| row["after"]["name"] == MARKER), "{rows:?}");
    }
    assert!(wrong.is_empty(), "{name}: {} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n\n"));
    if cause.contains("1.1") {
        let fallback = format!("{cause} (MySQL 5.6 and early 5.7 do not)");
        let warned = |line: &&str| line.contains(&fallback) && line.contains("going on without TLS");
        assert!(output.stderr.lines().any(|line| warned(&line)), "{}", output.stderr);
    }
    for password in cells.iter().map(Cell::password).filter(|password| !password.is_empty()) {
        assert!(!output.stderr.contains(&password), "a password in the log");
    }
}

fn refused(expected: &str) -> bool {
    expected.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

fn is_as_expected(cell: &Cell, told: &[&str], cause: &str) -> bool {
    let connected = told.iter().find(|line| line.contains(" connected: "));
    if let Some(line) = connected {
        let by_gtid = line.contains("GTID");
        assert!(cell.strategy == "auto" || (cell.strategy == "gtid") == by_gtid, "{}: {line}", cell.name());
    }
    match (cell.expected.as_str(), connected) {
        ("tls", Some(line)) => line.contains("TLSv1_"),
        ("plain", Some(line)) => line.contains("not encrypted"),
        ("TLS", None) => told
            .iter()
            .any(|line| line.contains(" TLS: ") && (line.contains(cause) || cell.mode == "verify_password")),
        (code, None) if refused(code) => told.iter().any(|line| line.contains(&format!(" {code}: "))),
        _ => false,
    }
}

fn tls_options(certificate_name: &str, key: &str) -> [String; 3] {
    [
        format!("--ssl-ca={}", certificate("ca.pem").display()),
        format!("--ssl-cert={}", certificate(certificate_name).display()),
        format!("--ssl-key={}", certificate(key).display()),
    ]
}

fn with<'a>(options: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    options.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn mysql_97() {
    let tls = tls_options("server.pem", "server-key.pem");
    connect_all("mysql97-gtid", Kind::Mysql97, &with(&tls, GTID), "never");
    let bare = ["--tls-version=", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    connect_all("mysql97-no-tls", Kind::Mysql97, &bare, "the server offers no TLS");
}

#[test]
fn mysql_56() {
    let tls = tls_options("server.pem", "server-key-pkcs1.pem");
    let cause = "the server knows no TLS newer than 1.1";
    connect_all("mysql56", Kind::Mysql56, &with(&tls, &["--secure-auth=OFF"]), cause);
    connect_all("mysql56-gtid", Kind::Mysql56, &with(&tls, GTID), cause);
}

#[test]
fn mariadb() {
    let plugin = "--plugin-load-add=auth_ed25519";
    let tls = tls_options("server.pem", "server-key.pem");
    connect_all("mariadb", Kind::Mariadb, &with(&tls, &[plugin]), "never");
    let old = ["--tls-version=TLSv1.1", "--ssl-cipher=ALL:@SECLEVEL=0"];
    connect_all("mariadb-tls11", Kind::Mariadb, &with(&tls, &old), "the server knows no TLS newer than 1.1");
    let weak = tls_options("server-1024.pem", "server-1024-key.pem");
    let weak = with(&weak, &[plugin, "--ssl-cipher=ALL:@SECLEVEL=0"]);
    connect_all("mariadb-rsa1024", Kind::Mariadb, &weak, "RSA below 2048 bits");
}

#[test]
fn mariadb_118() {
    let plugins =
        ["auth_ed25519", "auth_parsec", "auth_mysql_sha2"].map(|name| format!("--plugin-load-add={name}"));
    connect_all(
        "mariadb118",
        Kind::Mariadb118,
        &with(&plugins, &[]),
        "does not come from a CA of mysql_ssl_ca",
    );
}

// --------------------------------------------------------------------------------------------------- the fake one

/// The row of a real server, in the headers of Baidu's.
#[test]
fn the_fake_ares() {
    let Some(maker) = Server::start_private(Kind::Mysql56, LIKE_5_1) else { return };
    insert(&maker);
    let mut log = AresLog::new(51, "ares-bin");
    for (id, transaction) in (1 << 40..).zip(&transactions(&maker)) {
        log.log(id, transaction);
    }
    let server = AresServer::start(log);
    let cells = cells("fake-ares");
    let account = |_| (fake_server::USER.to_owned(), fake_server::PASSWORD.to_owned());
    let properties = properties(server.port(), &cells, account);
    compare_all("fake-ares", &cells, "the server offers no TLS", &properties);
}

/// A switch to a method, and the nonce or question that comes with it.
fn switch(method: &str, rest: &[u8]) -> Vec<u8> {
    [&[0xfe], method.as_bytes(), &[0], rest].concat()
}

fn fake_script(server: &str, login: &str) -> Script {
    use fake_server::PASSWORD;
    let password = format!("{PASSWORD}\0").into_bytes();
    let native = (
        switch("mysql_native_password", b"tsrqponmlkjihgfedcba\0"),
        fountain::wire::auth::native_scramble(PASSWORD.as_bytes(), b"tsrqponmlkjihgfedcba"),
    );
    let clear = (switch("mysql_clear_password", b""), password.clone());
    let exchanges = match login {
        "mysql_clear_password" => vec![clear],
        "native,then-clear" => vec![native, clear],
        "dialog" => vec![(switch("dialog", b"\x05Password: "), password)],
        "dialog,two-questions" => vec![
            (switch("dialog", b"\x04Password: "), password),
            (b"\x03Name of your first pet? ".to_vec(), b"\0".to_vec()),
        ],
        "second-factor" => vec![native, (b"\x02authentication_webauthn_client\0xyz".to_vec(), Vec::new())],
        "mysql_old_password" if server == "fake-5.1" => vec![(vec![0xfe], Vec::new())],
        "mysql_native_password" => Vec::new(),
        other => vec![(switch(other, b"abcdefghijklmnopqrst\0"), Vec::new())],
    };
    let script = Script { exchanges, ..Script::default() };
    if server == "fake-5.1" {
        return Script { raw_greeting: Some(greeting_of_51()), ..script };
    }
    Script { tls: Some(TlsServer::new("server").config()), ..script }
}

/// MySQL 5.1: no login methods to choose from, the nonce in two pieces, nothing behind it.
fn greeting_of_51() -> Vec<u8> {
    let parts: [&[u8]; 8] = [
        b"\x0a5.1.73-log\0",
        &[7, 0, 0, 0],
        b"abcdefgh\0",
        // What 5.1 can do: 0xf7ff without SSL (0x0800). Latin1, autocommit.
        &[0xff, 0xf7],
        &[8, 2, 0],
        &[0; 13],
        b"ijklmnopqrst",
        &[0],
    ];
    parts.concat()
}

/// The connection as the cell wants it, up to the dump.
fn connect_fake(server: &FakeServer, cell: &Cell) -> Result<Option<String>, SourceError> {
    let mut config = server.config();
    config.tls.mode = TlsMode::from_word(cell.mode).expect("a mode");
    config.tls.ca = ["verify_ca", "verify_identity"].contains(&cell.mode).then(|| certificate("ca.pem"));
    let connection = Connection::open(&config, &Stop::new())?;
    let version = connection.tls_version();
    let request = match cell.strategy.as_str() {
        "gtid" => DumpRequest::Gtid { set: vec![0; 8] },
        _ => DumpRequest::Position { file: "mysql-bin.000001".into(), pos: 4 },
    };
    BinlogStream::start(connection, &request).map(|_| version)
}

#[test]
fn the_fake_server() {
    for name in ["fake", "fake-5.1"] {
        for cell in cells(name) {
            let server = FakeServer::start(fake_script(name, &cell.login));
            let outcome = connect_fake(&server, &cell);
            let told = match &outcome {
                Ok(Some(_)) => "tls",
                Ok(None) => "plain",
                Err(error) => error.code().as_str(),
            };
            assert_eq!(told, cell.expected, "{name} {}: {outcome:?}", cell.name());
            let Err(error) = outcome else { continue };
            let text = error.to_string();
            assert!(!text.contains(fake_server::PASSWORD), "{text}");
            if error.code().as_str() == "AUTH_UNSUPPORTED" {
                let method = match cell.login.as_str() {
                    "dialog,two-questions" if cell.mode != "disabled" => "Name of your first pet?",
                    "dialog,two-questions" => "dialog",
                    "native,then-clear" => "mysql_clear_password",
                    "second-factor" => "authentication_webauthn_client",
                    method => method,
                };
                assert!(text.contains(method) && text.contains("run on the server:"), "{text}");
            }
        }
    }
    // The old server knows no utf8mb4.
    let server = FakeServer::start(fake_script("fake-5.1", "mysql_native_password"));
    connect_fake(&server, &cells("fake-5.1")[0]).unwrap();
    assert_eq!(server.heard()[0], "LOGIN repl by \"\", collation 33");
}
