//! Servers of every version and make, as they talk: MySQL 5.1 to calendar versions, MariaDB 5.5 to 12, clouds, and what stands
//! in front of them or only looks like them. They work, or are refused by name. And every error that only the fake server
//! sends on demand, in each moment of a conversation.

#[path = "harness/fake_server.rs"]
mod fake_server;

use fake_server::Act;
use fake_server::FakeServer;
use fake_server::Script;
use fake_server::rows;
use fountain::code::Code;
use fountain::mysql::BinlogStream;
use fountain::mysql::Connection;
use fountain::mysql::DumpRequest;
use fountain::mysql::ErrorKind;
use fountain::mysql::Flavor;
use fountain::mysql::Poll;
use fountain::mysql::ServerFacts;
use fountain::mysql::SourceError;
use fountain::mysql::binlog_index::BinlogEnd;
use fountain::mysql::binlog_index::first_binlog_file;
use fountain::mysql::binlog_index::gtid_sets;
use fountain::mysql::catalog::table_definition;
use fountain::stop::Stop;
use fountain::wire::capability::CLIENT_DEPRECATE_EOF;
use fountain::wire::capability::CLIENT_PLUGIN_AUTH;
use fountain::wire::response::ErrPacket;
use fountain::wire::response::encode_result_set;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const NEW: &str = "SHOW BINARY LOG STATUS";
const OLD: &str = "SHOW MASTER STATUS";

fn error(number: u16, state: &str, words: &str) -> Act {
    Act::Error(ErrPacket::new(number, state, words))
}

fn unknown_variable() -> Act {
    error(1193, "HY000", "Unknown system variable")
}

/// A heartbeat: 27 is its type. The rest of the header does not matter here.
fn heartbeat() -> Act {
    let mut event = vec![0; 40];
    event[4] = 27;
    event[9] = 40;
    Act::Event(event)
}

/// A server that logs rows, with these variables beside or instead of the usual ones.
fn server(version: &str, variables: &[(&str, &str)]) -> Script {
    let mut all = vec![("server_id", "56"), ("log_bin", "ON"), ("binlog_format", "ROW")];
    all.retain(|(name, _)| variables.iter().all(|(other, _)| other != name));
    all.push(("version", version));
    all.extend(variables);
    let all: Vec<[&str; 2]> = all.into_iter().map(|(name, value)| [name, value]).collect();
    let all: Vec<&[&str]> = all.iter().map(|pair| &pair[..]).collect();
    let script = Script { version: version.into(), ..Script::default() };
    script.answer("SHOW GLOBAL VARIABLES", rows(&["Variable_name", "Value"], &all)).dump([heartbeat()])
}

fn status(columns: &[&str], values: &[&str]) -> Act {
    rows(columns, &[values])
}

const FIVE: [&str; 5] = ["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Executed_Gtid_Set"];
const FOUR: [&str; 4] = ["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB"];

/// What was found out about a server that works.
#[derive(Debug, PartialEq)]
struct Seen {
    flavor: Flavor,
    identity: Option<String>,
    end: (String, u64),
    first: Option<String>,
    mysql_set: Option<String>,
    mariadb_position: Option<String>,
}

/// All that a run asks, up to the first event.
fn talk(script: Script) -> Result<Seen, SourceError> {
    let server = FakeServer::start(script);
    let config = server.config();
    let mut connection = Connection::open(&config, &Stop::new())?;
    let facts = ServerFacts::probe(&mut connection)?;
    facts.require_row_binlog()?;
    let end = BinlogEnd::ask(&mut connection, &facts)?;
    let first = first_binlog_file(&mut connection)?;
    let mysql_set = gtid_sets(&mut connection)?.map(|sets| sets.executed);
    let request = DumpRequest::Position { file: end.file.clone(), pos: end.pos };
    let mut stream = BinlogStream::start(connection, &request)?;
    loop {
        match stream.poll(PATIENCE)? {
            Poll::Event(_) => break,
            Poll::Idle => {}
            Poll::End => panic!("the end"),
        }
    }
    Ok(Seen {
        flavor: facts.flavor(),
        identity: facts.server_uuid().map(str::to_owned),
        end: (end.file, end.pos),
        first,
        mysql_set,
        mariadb_position: end.gtid_binlog_pos,
    })
}

fn seen(flavor: Flavor, identity: Option<&str>, set: Option<&str>, position: Option<&str>) -> Seen {
    let own = |text: &str| text.to_owned();
    Seen {
        flavor,
        identity: identity.map(own),
        end: ("bin.000002".into(), 1234),
        first: Some("bin.000001".into()),
        mysql_set: set.map(own),
        mariadb_position: position.map(own),
    }
}

/// MySQL 5.1: no utf8mb4, no checksums, no plugins, no uuid; the list of binlogs for SUPER alone.
fn mysql_51() -> Script {
    let mut script = server("5.1.73-log", &[])
        .answer("SET NAMES 'utf8mb4'", error(1115, "42000", "Unknown character set: 'utf8mb4'"))
        .answer("SET SESSION lc_messages", unknown_variable())
        .answer("SELECT @@global", unknown_variable())
        .answer(OLD, status(&FOUR, &["bin.000002", "1234", "", ""]))
        .answer(
            "SHOW BINARY LOGS",
            error(1227, "42000", "Access denied; you need the SUPER privilege for this operation"),
        )
        .answer(
            "SHOW BINLOG EVENTS LIMIT 1",
            rows(
                &["Log_name", "Pos", "Event_type", "Server_id", "End_log_pos", "Info"],
                &[&["bin.000001", "4", "Format_desc", "56", "106", ""]],
            ),
        );
    script.lacks = CLIENT_PLUGIN_AUTH | CLIENT_DEPRECATE_EOF;
    script
}

fn two_logs(columns: usize) -> Act {
    let cut = |row: [&'static str; 3]| row[..columns].to_vec();
    let heads = cut(["Log_name", "File_size", "Encrypted"]);
    let logs = [cut(["bin.000001", "999", "No"]), cut(["bin.000002", "1234", "No"])];
    rows(&heads, &[&logs[0], &logs[1]])
}

fn mysql_sets() -> Act {
    rows(&["@@global.gtid_executed", "@@global.gtid_purged"], &[&["u:1-5,\nv:1", ""]])
}

/// A MySQL server of the versions that know the old words, the new words, or both.
fn mysql(version: &str, variables: &[(&str, &str)], knows: &[&str]) -> Script {
    let answer = status(&FIVE, &["bin.000002", "1234", "", "", "u:1-5,\nv:1"]);
    let script = server(version, variables)
        .answer("SHOW BINARY LOGS", two_logs(3))
        .answer("SELECT @@global.gtid_executed", mysql_sets());
    knows.iter().fold(script, |script, sql| script.answer(sql, answer.clone()))
}

fn mariadb(greeting: &str, variables: &[(&str, &str)], knows: &str) -> Script {
    let version = greeting.strip_prefix("5.5.5-").unwrap_or(greeting).to_owned();
    let mut script = server(&version, variables)
        .answer("SHOW BINARY LOGS", two_logs(2))
        .answer("SELECT @@global.gtid_executed", unknown_variable())
        .answer(knows, status(&FOUR, &["bin.000002", "1234", "", ""]));
    script.version = greeting.into();
    script
}

#[test]
fn servers_of_every_version_work() {
    let uuid = [("server_uuid", "3e11fa47")];
    let domains = [("gtid_domain_id", "0"), ("server_uid", "x1=")];
    let position = rows(&["@@global.gtid_binlog_pos"], &[&["0-1-7"]]);
    let set = Some("u:1-5,v:1");
    let mysql_works = || seen(Flavor::MySql, Some("3e11fa47"), set, None);
    let denied = || error(1227, "42000", "Access denied; you need SYSTEM_VARIABLES_ADMIN");
    let register =
        Script { register: Some(error(1047, "08S01", "Unknown command")), ..mysql("8.0.30", &uuid, &[OLD]) };
    let named = [("version_comment", "MariaDB Server")];
    for (what, script, expected) in [
        ("MySQL 5.1", mysql_51(), seen(Flavor::MySql, None, None, None)),
        ("MySQL 5.7", mysql("5.7.44-log", &uuid, &[OLD]), mysql_works()),
        ("MySQL 8.0", mysql("8.0.36", &uuid, &[OLD]), mysql_works()),
        ("MySQL 8.2, which knows both words", mysql("8.2.0", &uuid, &[OLD, NEW]), mysql_works()),
        ("MySQL 8.4", mysql("8.4.3", &uuid, &[NEW]), mysql_works()),
        ("MySQL of a calendar version", mysql("26.7.0", &uuid, &[NEW]), mysql_works()),
        ("Percona Server", mysql("8.0.36-28", &uuid, &[OLD]), mysql_works()),
        (
            "Aurora",
            mysql("8.0.mysql_aurora.3.05.2", &[uuid[0], ("aurora_version", "3.05.2")], &[OLD]),
            mysql_works(),
        ),
        (
            "a cloud that lets nobody set timeouts or a language",
            mysql("8.0.35-azure", &uuid, &[OLD]).answer("SET SESSION ", denied()),
            mysql_works(),
        ),
        ("a gateway that does not know COM_REGISTER_SLAVE", register, mysql_works()),
        (
            "a gateway that tells how far it is",
            mysql("8.0.36", &uuid, &[OLD]).answer(
                "SELECT @@global.gtid_executed",
                Act::All(vec![Act::Packet(vec![0xff, 0xff, 0xff, 1, 1, 1, 0, 0, 0, 0]), mysql_sets()]),
            ),
            mysql_works(),
        ),
        (
            "MariaDB 5.5, without GTIDs",
            mariadb("5.5.68-MariaDB", &[], OLD).answer("SELECT @@global.gtid_binlog_pos", unknown_variable()),
            seen(Flavor::MariaDb, None, None, None),
        ),
        (
            "MariaDB behind a version of the administrator's own",
            mariadb("5.5.5-5.5.68-log", &named, OLD),
            seen(Flavor::MariaDb, None, None, None),
        ),
        (
            "MariaDB 10.1",
            mariadb("5.5.5-10.1.48-MariaDB", &[domains[0]], OLD)
                .answer("SELECT @@global.gtid_binlog_pos", position.clone()),
            seen(Flavor::MariaDb, None, None, Some("0-1-7")),
        ),
        (
            "MariaDB 12 with its own word alone",
            mariadb("12.3.1-MariaDB", &domains, "SHOW BINLOG STATUS")
                .answer("SELECT @@global.gtid_binlog_pos", position),
            seen(Flavor::MariaDb, Some("x1="), None, Some("0-1-7")),
        ),
    ] {
        let outcome = talk(script).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(outcome, expected, "{what}");
    }
}

#[test]
fn what_only_looks_like_a_source_is_refused_by_name() {
    let uuid = [("server_uuid", "3e11fa47")];
    let gateway = "connect to the MySQL or MariaDB server itself";
    let vitess = Script::default().answer("SHOW GLOBAL VARIABLES", rows(&["Variable_name", "Value"], &[]));
    let behind = |dump: Act| {
        let mut script = mysql("8.0.30", &uuid, &[OLD]);
        script.dump = vec![dump];
        script
    };
    let denied = ErrPacket::new(34952, "88S88", "denied command -_-||");
    let old = ErrPacket::new(1045, "", "Access denied");
    for (what, script, code, words) in [
        ("TiDB", server("8.0.11-TiDB-v7.5.0", &[("log_bin", "0")]), Code::BinlogOff, "TiCDC"),
        (
            "OceanBase",
            server("5.7.25-OceanBase-v4.2", &[("log_bin", "OFF")]),
            Code::BinlogOff,
            "binlog service",
        ),
        ("a gateway without variables", vitess, Code::Unsupported, gateway),
        ("a gateway without statements", server("8.0.30-Vitess", &uuid), Code::Unsupported, gateway),
        (
            "a gateway that knows no dump",
            behind(error(1047, "08S01", "Unknown command")),
            Code::Unsupported,
            gateway,
        ),
        (
            "Baidu's proxy",
            behind(Act::Error(denied.clone())),
            Code::RightMissing,
            "denied command -_-|| (error 34952, 88S88)",
        ),
        (
            "Baidu's proxy at the registration",
            Script { register: Some(Act::Error(denied)), ..mysql("5.1.73", &uuid, &[OLD]) },
            Code::RightMissing,
            "have the proxy's administrator allow replication",
        ),
        (
            "a right that the registration misses, told without SQLSTATE",
            Script { register: Some(Act::Error(old)), ..mysql("5.1.73", &uuid, &[OLD]) },
            Code::RightMissing,
            "(error 1045); run on the server: GRANT REPLICATION SLAVE",
        ),
        (
            "a managed server without a binlog",
            server("8.0.mysql_aurora.3.05.2", &[("log_bin", "OFF")]),
            Code::BinlogOff,
            "Amazon RDS also needs automatic backups",
        ),
        (
            "a server of statements",
            server("5.1.73", &[("binlog_format", "STATEMENT")]),
            Code::BinlogFormat,
            "ROW",
        ),
    ] {
        let error = talk(script).expect_err(what);
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Refused), "{what}: {error}");
        assert!(error.to_string().contains(words), "{what}: {words:?} expected in: {error}");
    }
}

/// A moment at which an error is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Greeting,
    Login,
    Statement,
    Register,
    Stream,
}

fn at(moment: Moment, packet: ErrPacket) -> SourceError {
    let mut script = mysql("8.0.36", &[("server_uuid", "u")], &[OLD]);
    match moment {
        Moment::Greeting => script.instead_of_greeting = Some(packet),
        Moment::Login => script.login = Some(Act::Error(packet)),
        Moment::Statement => script = script.answer("SHOW GLOBAL VARIABLES", Act::Error(packet)),
        Moment::Register => script.register = Some(Act::Error(packet)),
        Moment::Stream => script.dump = vec![Act::Error(packet)],
    }
    talk(script).expect_err("an error was sent")
}

#[test]
fn every_error_in_every_moment() {
    use ErrorKind::Refused;
    use ErrorKind::Retry;
    use Moment::*;
    const ALL: &[Moment] = &[Greeting, Login, Statement, Register, Stream];
    const ENTRY: &[Moment] = &[Greeting, Login];
    const LATER: &[Moment] = &[Statement, Register, Stream];
    const DUMP: &[Moment] = &[Register, Stream];
    for (number, state, words, moments, code, kind) in [
        (1040, "08004", "Too many connections", ALL, Code::ServerError, Retry),
        (1041, "HY000", "Out of memory", ALL, Code::ServerError, Retry),
        (1043, "08S01", "Bad handshake", ENTRY, Code::Protocol, Retry),
        (1044, "42000", "Access denied to database", LATER, Code::RightMissing, Refused),
        (1045, "28000", "Access denied", ENTRY, Code::AccessDenied, Refused),
        (1045, "28000", "Access denied", DUMP, Code::RightMissing, Refused),
        (1047, "08S01", "Unknown command", &[Statement, Stream], Code::Unsupported, Refused),
        (1053, "08S01", "Server shutdown in progress", ALL, Code::ConnectionLost, Retry),
        (1077, "HY000", "Normal shutdown", ALL, Code::ConnectionLost, Retry),
        (1078, "HY000", "Got signal 11. Aborting!", ALL, Code::ConnectionLost, Retry),
        (1079, "HY000", "Shutdown complete", ALL, Code::ConnectionLost, Retry),
        (1129, "HY000", "Host is blocked", ENTRY, Code::AccessDenied, Refused),
        (1130, "HY000", "Host is not allowed", ENTRY, Code::AccessDenied, Refused),
        (1135, "HY000", "Can't create a new thread", ENTRY, Code::ServerError, Retry),
        (1142, "42000", "SELECT command denied", LATER, Code::RightMissing, Refused),
        (1143, "42000", "SELECT command denied for column", LATER, Code::RightMissing, Refused),
        (1152, "08S01", "Aborted connection", ALL, Code::ConnectionLost, Retry),
        (1156, "08S01", "Got packets out of order", ALL, Code::ConnectionLost, Retry),
        (1157, "08S01", "Couldn't uncompress", ALL, Code::ConnectionLost, Retry),
        (1158, "08S01", "Got an error reading", ALL, Code::ConnectionLost, Retry),
        (1159, "08S01", "Got timeout reading", ALL, Code::ConnectionLost, Retry),
        (1160, "08S01", "Got an error writing", ALL, Code::ConnectionLost, Retry),
        (1161, "08S01", "Got timeout writing", ALL, Code::ConnectionLost, Retry),
        (1189, "08S01", "Net error reading from master", ALL, Code::ConnectionLost, Retry),
        (1190, "08S01", "Net error writing to master", ALL, Code::ConnectionLost, Retry),
        (1203, "42000", "max_user_connections", ALL, Code::ServerError, Retry),
        (1226, "42000", "max_connections_per_hour", ALL, Code::ServerError, Retry),
        (1227, "42000", "you need the REPLICATION SLAVE privilege", LATER, Code::RightMissing, Refused),
        (1251, "08004", "Client does not support authentication", &[Login], Code::AuthUnsupported, Refused),
        (1275, "HY000", "--secure-auth", &[Login], Code::AuthUnsupported, Refused),
        (1290, "HY000", "running with the --skip-grant-tables option", LATER, Code::ServerError, Refused),
        (1317, "70100", "Query execution was interrupted", LATER, Code::ConnectionLost, Retry),
        (1374, "HY000", "I/O error reading log index file", LATER, Code::ServerError, Refused),
        (1381, "HY000", "You are not using binary logging", LATER, Code::BinlogOff, Refused),
        (1461, "42000", "max_prepared_stmt_count", LATER, Code::ServerError, Retry),
        (1698, "28000", "Access denied", &[Login], Code::AccessDenied, Refused),
        (1820, "HY000", "You must reset your password", LATER, Code::AccessDenied, Refused),
        (1835, "HY000", "Malformed communication packet", ALL, Code::Protocol, Retry),
        (1862, "HY000", "Your password has expired", &[Login], Code::AccessDenied, Refused),
        (1927, "70100", "Connection was killed", ALL, Code::ConnectionLost, Retry),
        (2006, "HY000", "MySQL server has gone away", ALL, Code::ConnectionLost, Retry),
        (2013, "", "Lost connection to MySQL server", ALL, Code::ConnectionLost, Retry),
        (3032, "HY000", "The server is currently in offline mode", ALL, Code::ConnectionLost, Retry),
        (3118, "HY000", "Account is locked", &[Login], Code::AccessDenied, Refused),
        (3159, "HY000", "--require_secure_transport=ON", &[Login], Code::Tls, Refused),
        (3168, "HY000", "Server isn't available", ALL, Code::ConnectionLost, Retry),
        (3955, "HY000", "blocked for 2 days", &[Login], Code::AccessDenied, Refused),
        (4031, "HY000", "disconnected because of inactivity", ALL, Code::ConnectionLost, Retry),
        (4052, "HY000", "A slave with the same server_uuid/server_id", DUMP, Code::ReplicaIdClash, Retry),
        (4150, "HY000", "User is blocked", &[Login], Code::AccessDenied, Refused),
        (4151, "HY000", "this account is locked", &[Login], Code::AccessDenied, Refused),
        (9001, "HY000", "Max connect timeout reached", ALL, Code::ServerError, Retry),
        (0, "", "", ALL, Code::ServerError, Retry),
    ] {
        for moment in moments {
            let error = at(*moment, ErrPacket::new(number, state, words));
            assert_eq!((error.code(), error.kind()), (code, kind), "{number} {moment:?}: {error}");
            assert_eq!(error.server_errno(), Some(number), "{moment:?}: {error}");
            let tail = if state.is_empty() { ")".to_owned() } else { format!(", {state})") };
            let told = format!("{words} (error {number}{tail}");
            assert!(error.text().contains(&told), "{moment:?}: {told:?} expected in: {error}");
        }
    }
}

/// Half a result set and then an error: a statement that was killed on its way.
#[test]
fn an_error_in_the_midst_of_an_answer() {
    let Act::Rows(result) = two_logs(2) else { unreachable!("rows") };
    let mut packets: Vec<Act> = encode_result_set(&result, false).into_iter().map(Act::Packet).collect();
    packets.truncate(5);
    packets.push(error(1317, "70100", "Query execution was interrupted"));
    let mut script = mysql("8.0.36", &[], &[OLD]).answer("SHOW BINARY LOGS", Act::All(packets));
    script.lacks = CLIENT_DEPRECATE_EOF;
    let error = talk(script).expect_err("the answer is not whole");
    assert_eq!((error.code(), error.kind()), (Code::ConnectionLost, ErrorKind::Retry), "{error}");
    assert!(error.text().contains("1317") && error.text().contains("SHOW BINARY LOGS"), "{error}");
}

/// Shapes of the catalog: 5.1's, MySQL 8's in capitals, and names that a server folds.
#[test]
fn a_table_is_found_in_every_catalog() {
    let key = rows(
        &[
            "Table",
            "Non_unique",
            "Key_name",
            "Seq_in_index",
            "Column_name",
            "Collation",
            "Cardinality",
            "Sub_part",
            "Packed",
            "Null",
            "Index_type",
            "Comment",
        ],
        &[&["t", "0", "PRIMARY", "1", "id", "A", "0", "", "", "", "BTREE", ""]],
    );
    let heads = ["TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "CHARACTER_SET_NAME"];
    let lower = heads.map(str::to_lowercase);
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    for (what, heads, database, table) in [
        ("MySQL 8", &heads[..], "Shop", "T"),
        ("lower case heads", &lower, "Shop", "T"),
        ("folded", &heads, "shop", "t"),
    ] {
        let columns = rows(
            heads,
            &[&[database, table, "id", "int(11)", ""], &[database, table, "n", "char(3)", "utf8"]],
        );
        let server = FakeServer::start(
            mysql_51().answer("SELECT TABLE_SCHEMA", columns).answer("SHOW KEYS", key.clone()),
        );
        let mut connection = Connection::open(&server.config(), &Stop::new()).expect("a login");
        let found = table_definition(&mut connection, "Shop", "T").expect(what).expect(what);
        assert_eq!((found.columns.len(), &found.key[..]), (2, &["id".to_owned()][..]), "{what}");
        assert_eq!((found.database.as_str(), found.table.as_str()), ("Shop", "T"), "{what}");
    }
}
