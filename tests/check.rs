//! `fountain check` against real servers: each finding is provoked, its cure is done as the line says, and the finding
//! is gone.

mod check {
    pub mod doctor;
}
mod harness;

use check::doctor::Doctor;
use check::doctor::cure;
use check::doctor::healthy;
use check::doctor::statements;
use harness::Kind;
use harness::Server;

/// What makes a healthy server ill, and what is said of it then.
struct Illness {
    provoke: &'static str,
    level: &'static str,
    code: &'static str,
    /// What is in the way afterwards.
    tidy: &'static str,
}

const fn ill(provoke: &'static str, level: &'static str, code: &'static str) -> Illness {
    Illness { provoke, level, code, tidy: "" }
}

const SETTINGS: &[Illness] = &[
    ill("SET GLOBAL binlog_row_image='MINIMAL'", "warn", "ROW_IMAGE"),
    ill("SET GLOBAL binlog_row_image='NOBLOB'", "warn", "ROW_IMAGE"),
    ill("SET GLOBAL binlog_checksum='NONE'", "warn", "NO_CHECKSUM"),
    ill("SET GLOBAL binlog_format='MIXED'", "error", "BINLOG_FORMAT"),
    ill("CREATE TABLE shop.k (a INT)", "warn", "NO_KEY"),
    ill("CREATE TABLE shop.m (a INT PRIMARY KEY) ENGINE=MyISAM", "warn", "TABLE_ENGINE"),
    ill("CREATE TABLE shop.h (a INT PRIMARY KEY) ENGINE=MEMORY", "warn", "TABLE_ENGINE"),
];
const METADATA: &[Illness] = &[
    ill("SET GLOBAL binlog_row_metadata='MINIMAL'", "warn", "ROW_METADATA"),
    ill("SET GLOBAL binlog_expire_logs_seconds=3600", "warn", "BINLOG_EXPIRY"),
];
const CASCADES: &[Illness] = &[ill(
    "CREATE TABLE shop.p (a INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE shop.c (a INT PRIMARY KEY, p INT, \
     CONSTRAINT to_p FOREIGN KEY (p) REFERENCES shop.p (a) ON DELETE SET NULL) ENGINE=InnoDB",
    "warn",
    "FK_CASCADE",
)];
const MYSQL56: &[Illness] = &[
    ill("SET GLOBAL binlog_error_action='IGNORE_ERROR'", "warn", "BINLOG_GIVEN_UP"),
    ill("SET GLOBAL server_id=0", "error", "SERVER_ID"),
];
const MYSQL97: &[Illness] = &[
    ill("SET GLOBAL gtid_mode='ON_PERMISSIVE'", "warn", "GTID_MODE"),
    ill("SET GLOBAL gtid_mode='ON_PERMISSIVE'; SET GLOBAL gtid_mode='OFF_PERMISSIVE'", "warn", "GTID_MODE"),
    Illness {
        provoke: "SET GLOBAL binlog_row_image='MINIMAL'; SET GLOBAL binlog_row_value_options='PARTIAL_JSON'",
        level: "warn",
        code: "PARTIAL_JSON",
        tidy: "SET GLOBAL binlog_row_image='FULL'",
    },
];
const MARIADB: &[Illness] = &[ill(
    "CREATE TABLE shop.v (a INT PRIMARY KEY, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS \
     AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
    "error",
    "STATEMENT_DML",
)];

/// Options with which nothing is to be said of a server.
/// Each illness alone: it is told with a cure, the cure is done, and nothing is left to say.
fn cures_work(kind: Kind, illnesses: &[&[Illness]]) {
    let Some(server) = healthy(kind) else { return };
    let doctor = Doctor::of(&server);
    doctor.check(&["--strict"]).is_healthy();
    for Illness { provoke, level, code, tidy } in illnesses.iter().copied().flatten() {
        server.sql(provoke);
        let ill = doctor.check(&[]);
        let sql = statements(ill.line(level, code), "a");
        assert_eq!(ill.exit, i32::from(*level == "error"), "{provoke}");
        assert_eq!(doctor.check(&["--strict"]).exit, 1, "{provoke}");
        server.sql(&sql);
        server.sql(if tidy.is_empty() { "DO 0" } else { tidy });
        doctor.check(&["--strict"]).is_healthy();
    }
    rights_are_cured(&server, &doctor);
    keys_are_cured(&doctor);
    an_entry_that_matches_nothing(&server, &doctor);
}

/// An account without rights is led to those it needs, grant by grant.
fn rights_are_cured(server: &Server, doctor: &Doctor) {
    server.sql("CREATE USER 'poor'@'%' IDENTIFIED BY 'replpw'");
    let keys = ["mysql_username=poor", "filter_shard_table_white=shop.good"];
    let mut grants = Vec::new();
    while grants.len() < 4 {
        let checked = doctor.check_keys(&keys);
        if checked.exit == 0 {
            break;
        }
        let sql = statements(checked.line("error", "RIGHT_MISSING"), "");
        server.sql(&sql);
        grants.push(sql);
    }
    assert!(
        grants[0].contains("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'poor'@'%'"),
        "{grants:?}"
    );
    // Where the log says what columns are called, no table has to be looked up.
    let select = grants.get(1).is_some_and(|grant| grant.contains("GRANT SELECT ON `shop`.* TO 'poor'@'%'"));
    assert_eq!(
        (grants.len() == 2, select),
        (server.kind() == Kind::Mysql56, server.kind() == Kind::Mysql56),
        "{grants:?}"
    );
    let root = doctor.check_keys(&["mysql_username=poor"]);
    server.sql("GRANT SUPER ON *.* TO 'poor'@'%'");
    let more = doctor.check_keys(&["mysql_username=poor"]);
    assert!(more.line("ok", "RIGHTS").contains("more than is needed: SUPER"));
    assert!(!root.line("ok", "RIGHTS").contains("more than is needed"));
    server.sql("DROP USER 'poor'@'%'");
    let gone = doctor.check_keys(&["mysql_username=poor"]);
    assert!(cure(gone.line("error", "ACCESS_DENIED")).contains("mysql_username"));
    assert_eq!(gone.exit, 1);
}

/// What a key makes wrong, a key cures.
fn keys_are_cured(doctor: &Doctor) {
    for (key, level, code) in [
        ("max_event_bytes=1MiB", "warn", "EVENT_LIMIT"),
        ("mysql_net_write_timeout=10", "warn", "NET_TIMEOUT"),
        ("mysql_shard_0_slaveId=1", "error", "REPLICA_ID_CLASH"),
    ] {
        let checked = doctor.check_keys(&[key]);
        let words = cure(checked.line(level, code)).split_once("set ").expect("a key to set").1;
        let name = key.split_once('=').expect("key=value").0;
        let cured = match words.split_once('=') {
            Some((told, value)) if told == name => format!("{name}={value}"),
            _ => format!("{name}=4711"),
        };
        assert!(words.starts_with(&name.replace("_0_", "_N_")), "{words}");
        doctor.check_keys(&[&cured]).is_healthy();
    }
}

fn an_entry_that_matches_nothing(server: &Server, doctor: &Doctor) {
    let keys =
        [r"filter_shard_table_white=shop.good,shop.gone,old[.].*", "filter_shard_table_black=shop.Good"];
    let checked = doctor.check_keys(&keys);
    let white = checked.line("warn", "FILTER_UNMATCHED");
    assert!(
        white.contains("filter_shard_table_white: no table of this server matches shop.gone, old[.].*;"),
        "{white}"
    );
    let both = checked.lines.iter().filter(|line| line.contains(" FILTER_UNMATCHED ")).count();
    assert_eq!((both, checked.exit), (2, 0), "{:#?}", checked.lines);
    server.sql("CREATE TABLE shop.gone (id INT PRIMARY KEY); CREATE DATABASE old; CREATE TABLE old.x (id INT PRIMARY KEY)");
    doctor.check_keys(&keys[..1]).is_healthy();
}

#[test]
fn mysql56_is_cured_of_everything() {
    cures_work(Kind::Mysql56, &[SETTINGS, CASCADES, MYSQL56]);
}

#[test]
fn mysql97_is_cured_of_everything() {
    cures_work(Kind::Mysql97, &[SETTINGS, METADATA, MYSQL97]);
}

#[test]
fn mariadb_is_cured_of_everything() {
    cures_work(Kind::Mariadb, &[SETTINGS, METADATA, CASCADES, MARIADB]);
}

#[test]
fn mariadb118_is_cured_of_everything() {
    cures_work(Kind::Mariadb118, &[METADATA, CASCADES, MARIADB]);
}

#[test]
fn cascades_are_no_trouble_where_the_server_logs_them() {
    let Some(server) = healthy(Kind::Mysql97) else { return };
    server.sql(CASCADES[0].provoke);
    Doctor::of(&server).check(&["--strict"]).is_healthy();
}

#[test]
fn what_only_a_restart_cures() {
    let Some(mut server) =
        Server::start_private(Kind::Mariadb, &["--binlog-row-metadata=FULL", "--binlog-ignore-db=tmp"])
    else {
        return;
    };
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.good (id INT PRIMARY KEY)");
    let doctor = Doctor::of(&server);
    let ignored = doctor.check(&[]);
    assert!(ignored.line("warn", "BINLOG_FILTER").contains("binlog_ignore_db=tmp"));
    doctor.check_keys(&["filter_shard_table_white=shop.good"]).is_healthy();
    server.restart_with(&["--binlog-row-metadata=FULL", "--binlog-do-db=other"]);
    let only = doctor.check_keys(&["filter_shard_table_white=shop.good"]);
    assert!(only.line("warn", "BINLOG_FILTER").contains("changes in shop are never logged"));
    server.restart_with(&["--skip-log-bin"]);
    let off = doctor.check(&[]);
    assert!(cure(off.line("error", "BINLOG_OFF")).contains("log_bin"));
    assert_eq!(off.exit, 1);
    server.restart_with(&["--binlog-row-metadata=FULL"]);
    doctor.check(&["--strict"]).is_healthy();
}
