//! Passwords reach no log, message or process list, log lines are whole lines, and what is said to be encrypted is.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Proxy;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_arguments_through;
use harness::delivered::run_until;

const PASSWORD: &str = "replpw";
/// Part of a row, to be looked for on the network.
const MARKER: &str = "a text that the network must not see";

fn create(server: &Server) {
    server.sql(&format!(
        "CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY, v varchar(90)) ENGINE=InnoDB; INSERT INTO d.t VALUES (1,'{MARKER}')"
    ));
}

/// The password inline in a file, with every word that is logged, through good and bad days.
#[test]
fn a_password_is_told_to_nobody() {
    for kind in Kind::ALL {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        create(&server);
        let home = Fountain::new();
        let text = format!(
            "mysql_shard_0_server=127.0.0.1\nmysql_shard_0_port={}\nmysql_username=repl\nmysql_password={PASSWORD}\n\
             sink=null\nstart_without_point=beginning\nrepeat_resource_interval=100ms\ndata_source_try_interval=100ms\n",
            server.port()
        );
        let file = home.write("my.properties", &text);
        let file = file.to_str().expect("UTF-8");
        let mut command = home.command();
        command.args(["run", "--conf", file]).env("RUST_LOG", "trace");
        let mut run = harness::Running::start(command);
        run.wait_for("the stream", PATIENCE, |run| run.stderr().contains("connected"));
        let commandline = std::fs::read(format!("/proc/{}/cmdline", run.pid())).expect("the command line");
        assert!(!String::from_utf8_lossy(&commandline).contains(PASSWORD));
        // The definition's connection is refused, and so is every later one.
        server.sql("ALTER TABLE d.t ADD COLUMN more int");
        server.sql(match kind {
            Kind::Mysql97 => "ALTER USER repl@'%' IDENTIFIED BY 'other'",
            Kind::Mysql56 | Kind::Mariadb | Kind::Mariadb118 => {
                "SET PASSWORD FOR repl@'%' = PASSWORD('other')"
            }
        });
        let dump = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER='repl'";
        for row in server.select(dump) {
            let id = row[0].clone().expect("a number");
            // It may have gone by itself.
            drop(server.try_sql(&format!("KILL {id}")));
        }
        run.wait_for("the refusal", PATIENCE, |run| run.stderr().contains("ACCESS_DENIED"));
        let output = run.terminate(PATIENCE);
        assert!(!output.stderr.contains(PASSWORD) && !output.stdout.contains(PASSWORD), "{}", output.stderr);
        let conf = home.run(&["conf", "--conf", file], PATIENCE);
        assert_eq!(conf.code, 0, "{}", conf.stderr);
        assert!(conf.stdout.contains("mysql_password") && !conf.stdout.contains(PASSWORD), "{}", conf.stdout);
        for entry in std::fs::read_dir(home.home().join("points")).expect("the points") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD));
        }
    }
}

/// A consumer inherits the environment, and of the passwords in it nothing.
#[test]
fn a_consumer_sees_no_password() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let home = Fountain::new();
    let script =
        "cp /proc/self/environ environment; cp /proc/$$/cmdline arguments; ls -l /proc/$$/fd > files; exit 1";
    let port = format!("mysql_shard_0_port={}", server.port());
    let consumer = format!("exec_command={script}");
    let mut command = home.command();
    let pairs = keys(&[
        "mysql_shard_0_server=127.0.0.1",
        &port,
        "mysql_username=repl",
        "sink=exec",
        &consumer,
        "start_without_point=beginning",
    ]);
    command.args(["run", "--until", "end"]).args(pairs);
    command.env("mysql_password", PASSWORD).env("mysql_shard_0_password", PASSWORD).env("TOLD", "to all");
    let output = harness::Running::start(command).wait(PATIENCE);
    assert!(output.code == 1 && output.stderr.contains("ended with exit code 1"), "{}", output.stderr);
    assert!(!output.stderr.contains(PASSWORD), "{}", output.stderr);
    let read = |name: &str| {
        String::from_utf8_lossy(&std::fs::read(home.home().join(name)).expect(name)).into_owned()
    };
    let environment = read("environment");
    assert!(
        environment.contains("TOLD=to all") && environment.contains("FOUNTAIN_SHARD=producer00"),
        "{environment}"
    );
    assert!(!environment.contains(PASSWORD) && !environment.contains("mysql_password"), "{environment}");
    assert!(!environment.contains("mysql_shard_0_password") && !read("arguments").contains(PASSWORD));
    // Nor does it get any of our files and sockets: its three pipes, and what the shell opens for itself.
    let files = read("files");
    assert!(!files.contains("socket:") && !files.contains(".lock"), "{files}");
}

/// A password that is changed on the server and in its file is used from the next connection on.
#[test]
fn the_password_file_is_read_anew() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let home = Fountain::new();
    let pairs = keys(&[
        "start_without_point=beginning",
        "repeat_resource_interval=100ms",
        "data_source_try_interval=100ms",
    ]);
    let mut run = home.spawn(&run_arguments(&home, &server, &pairs));
    let rows = |home: &Fountain| data(&home.home().join("data")).matches("\"insert\"").count();
    run.wait_for("the first row", PATIENCE, |_| rows(&home) == 1);
    server.sql("SET PASSWORD FOR repl@'%' = PASSWORD('another'); SET PASSWORD FOR repl@localhost = PASSWORD('another')");
    home.write("password", "another\n");
    for row in server.select("SELECT ID FROM information_schema.PROCESSLIST WHERE USER='repl'") {
        let id = row[0].clone().expect("a number");
        // It may have gone by itself.
        drop(server.try_sql(&format!("KILL {id}")));
    }
    server.sql("INSERT INTO d.t VALUES (2, 'behind the change')");
    run.wait_for("the second row", PATIENCE, |_| rows(&home) == 2);
    let output = run.terminate(PATIENCE);
    assert!(
        !output.stderr.contains("ACCESS_DENIED") && !output.stderr.contains("another"),
        "{}",
        output.stderr
    );
}

/// By `-D` it would stand in the process list for all to see.
#[test]
fn a_password_on_the_command_line_is_refused_or_hidden() {
    let server = ["mysql_shard_0_server=127.0.0.1", "mysql_username=repl", "mysql_password=do-not-tell"];
    for command in [&["run"][..], &["conf"], &["cat", "binlog.000001"]] {
        let output = Fountain::new().run(&[command, &keys(&server)[..]].concat(), PATIENCE);
        let command = command[0];
        assert_eq!(output.code, 2, "{command}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains("mysql_password_file"), "{command}: {}", output.stderr);
        assert!(
            !output.stderr.contains("do-not-tell") && !output.stdout.contains("do-not-tell"),
            "{command}"
        );
    }
}

/// A name with line ends in it makes no second line in the log.
#[test]
fn a_message_is_one_line() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    server.sql("CREATE DATABASE d; CREATE TABLE d.`two\nlines\r\nERROR forged` (id int) ENGINE=InnoDB; INSERT INTO d.`two\nlines\r\nERROR forged` VALUES (1); DROP TABLE d.`two\nlines\r\nERROR forged`");
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&["start_without_point=beginning"]));
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("SCHEMA_DIFF") && output.stderr.contains("forged"), "{}", output.stderr);
    for line in output.stderr.lines() {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(
            line.starts_with("20") && ["INFO", "WARN", "ERROR"].contains(&level),
            "{line:?} in {}",
            output.stderr
        );
        assert!(!line.contains('\r'));
    }
    let file = home.write("a\nERROR forged", "no binlog");
    let output = home.run(&["cat", file.to_str().expect("UTF-8")], PATIENCE);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

/// Whether the network sees the rows, by mode: on servers with TLS and one without.
#[test]
fn encryption_as_configured() {
    let cases = [
        (Kind::Mysql97, GTID, true),
        (Kind::Mysql97, &["--tls-version="], false),
        (Kind::Mariadb, &[], false),
        (Kind::Mysql56, &[], false),
    ];
    for (kind, options, offers_tls) in cases {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        assert_eq!(server.value("SELECT COUNT(*) FROM d.t"), "1");
        for mode in ["preferred", "required", "disabled"] {
            let proxy = Proxy::start(server.port());
            proxy.keep();
            let home = Fountain::new();
            let ssl_mode = format!("mysql_ssl_mode={mode}");
            let pairs = keys(&["start_without_point=beginning", "sink=stdout", &ssl_mode]);
            let mut arguments = run_arguments_through(&home, &server, proxy.port(), &pairs);
            arguments.extend(["--until", "end"].map(str::to_owned));
            let output = home.run(&arguments, PATIENCE);
            let context = format!("{kind} {options:?} {mode}: {}", output.stderr);
            if mode == "required" && !offers_tls {
                assert_eq!(output.code, 1, "{context}");
                assert!(
                    output.stderr.contains("TLS") && output.stderr.contains("offers no TLS"),
                    "{context}"
                );
                continue;
            }
            assert_eq!(output.code, 0, "{context}");
            assert_eq!(parse(&output.stdout)[2]["after"]["v"], MARKER, "{context}");
            let encrypted = mode != "disabled" && offers_tls;
            assert_eq!(proxy.heard(MARKER.as_bytes()), !encrypted, "{context}");
            assert!(output.stderr.contains(if encrypted { "TLSv1_3" } else { "not encrypted" }), "{context}");
        }
    }
}

/// MariaDB with a certificate: the mode decides, by the certificates of the newer server that makes its own.
#[test]
fn encryption_with_mariadb() {
    let Some(maker) = Server::start_private(Kind::Mysql97, &[]) else { return };
    let pem = |name: &str| maker.datadir().join(name).to_str().expect("UTF-8").to_owned();
    // The newer server ends its files with a zero byte.
    let key = std::fs::read_to_string(pem("server-key.pem")).expect("the key");
    let clean = maker.datadir().join("clean-key.pem");
    std::fs::write(&clean, key.trim_end_matches('\0')).expect("writable");
    let options = [
        format!("--ssl-ca={}", pem("ca.pem")),
        format!("--ssl-cert={}", pem("server-cert.pem")),
        format!("--ssl-key={}", clean.display()),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Some(server) = Server::start_private(Kind::Mariadb, &options) else { return };
    create(&server);
    let ca = format!("mysql_ssl_ca={}", pem("ca.pem"));
    for (pairs, encrypted) in [
        (&["mysql_ssl_mode=preferred"][..], true),
        (&["mysql_ssl_mode=required"], true),
        (&["mysql_ssl_mode=verify_ca", &ca], true),
        (&["mysql_ssl_mode=disabled"], false),
    ] {
        let proxy = Proxy::start(server.port());
        proxy.keep();
        let home = Fountain::new();
        let pairs = keys(&[&["start_without_point=beginning", "sink=stdout"], pairs].concat());
        let mut arguments = run_arguments_through(&home, &server, proxy.port(), &pairs);
        arguments.extend(["--until", "end"].map(str::to_owned));
        let output = home.run(&arguments, PATIENCE);
        assert_eq!(output.code, 0, "{pairs:?}: {}", output.stderr);
        assert_eq!(parse(&output.stdout)[2]["after"]["v"], MARKER);
        assert_eq!(proxy.heard(MARKER.as_bytes()), !encrypted, "{pairs:?}");
    }
}
