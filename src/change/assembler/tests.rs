//! Event orders of all servers, made by hand or written by real ones, and the items that come of them.

use super::*;
use crate::binlog::ChecksumAlgorithm;
use crate::binlog::event_type::*;
use crate::binlog::testing;
use crate::change::batch::End;
use crate::change::batch::SqlOp;
use crate::code::Code;
use crate::schema::definition::ColumnDefinition;
use crate::schema::definition::TableDefinition;

/// Knows one definition, which all tables here have.
struct OneDefinition {
    asked: usize,
}

impl Definitions for OneDefinition {
    fn definition(&mut self, database: &str, table: &str) -> Result<Option<TableDefinition>, ChangeError> {
        self.asked += 1;
        let column = |name: &str, column_type: &str, charset: Option<&str>| ColumnDefinition {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            charset: charset.map(str::to_owned),
        };
        let columns = vec![column("id", "int", None), column("v", "varchar(400)", Some("latin1"))];
        Ok(Some(TableDefinition {
            database: database.into(),
            table: table.into(),
            columns,
            key: vec!["id".into()],
        }))
    }

    fn missing(&mut self, database: &str, table: &str) -> Result<(), ChangeError> {
        panic!("{database}.{table}");
    }
}

struct NeverFull;

impl HandOver for NeverFull {
    fn hand_over(&mut self, _: &mut Batch) -> Result<(), ChangeError> {
        panic!("a batch this small is not full");
    }
}

fn options() -> AssemblerOptions {
    AssemblerOptions {
        filter: Filter::new("d.t,d.sq,d.café", "").unwrap(),
        dispatch_ddl: DispatchDdl::Table,
        statement_dml: StatementDml::Stop,
        max_event_bytes: 1 << 20,
    }
}

fn watching(watched: &str) -> AssemblerOptions {
    AssemblerOptions { filter: Filter::new(watched, "").unwrap(), ..options() }
}

/// A stream of which each event is given by hand. Places are told as `#n`, the start of the n-th event.
struct Stream {
    assembler: Assembler<OneDefinition>,
    decoder: Decoder,
    pos: u64,
    starts: Vec<u64>,
    told: Vec<String>,
}

const MYSQL: &str = "mysql97_anonymous.bin";
const MARIADB: &str = "mariadb_xa.bin";

impl Stream {
    /// Begins with a format description that announces no checksums.
    fn new(server: &str, options: AssemblerOptions) -> Self {
        let mut decoder = Decoder::new(ChecksumAlgorithm::Off);
        let description = &testing::fixture(server)[0].1;
        decoder.decode(description).unwrap();
        let assembler = Assembler::new(options, OneDefinition { asked: 0 }, "b.1");
        Self { assembler, decoder, pos: 1000, starts: Vec::new(), told: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ChangeError> {
        let mut decoder = self.decoder.clone();
        let (header, event) = decoder.decode(bytes).unwrap();
        let size = if header.is_artificial() { 0 } else { bytes.len() as u64 };
        let span = EventSpan { start: self.pos, end: self.pos + size };
        self.starts.push(span.start);
        self.pos = span.end;
        let mut batch = Batch::default();
        let outcome = self.assembler.accept(&mut decoder, (header, event), span, &mut batch, &mut NeverFull);
        self.decoder = decoder;
        let told = batch.items.iter().map(|item| self.tell(item, &batch)).collect::<Vec<_>>();
        self.told.extend(told);
        outcome
    }

    fn number(&self, place: &Place) -> String {
        let file = if *place.file == *"b.1" { String::new() } else { format!("{} ", place.file) };
        match self.starts.iter().rposition(|start| *start == place.pos) {
            Some(number) => format!("{file}#{number}"),
            None if place.pos == self.pos => format!("{file}#{}", self.starts.len()),
            None => format!("{file}{}", place.pos),
        }
    }

    fn tell(&self, item: &Item, batch: &Batch) -> String {
        match item {
            Item::Begin(begin) => {
                let gtid = begin.gtid.as_ref().map_or(String::new(), |gtid| format!(" {}", gtid.text));
                format!("begin {}{gtid}", self.number(&begin.place))
            }
            Item::Rows(rows) => format!("{:?} {}", rows.kind, rows.plan.full_name()),
            Item::Passed(passed) => format!("passed {} {}", passed.count, passed.plan.full_name()),
            Item::Sql(sql) => {
                let text = String::from_utf8(batch.slice(&sql.sql).to_vec()).unwrap();
                let op = if sql.op == SqlOp::Ddl { "ddl" } else { "statement" };
                format!("{op} {} {text}", self.number(&sql.place))
            }
            Item::Savepoint(name) => format!("savepoint {name}"),
            Item::RollbackTo(target) => format!("to {}", target.name),
            Item::End(End { outcome, next, gtid, .. }) => {
                let gtid = gtid.map_or(String::new(), |gtid| format!(" {gtid}"));
                format!("{outcome:?} {}{gtid}", self.number(next))
            }
            Item::File { file, created } => format!("file {file} {created}"),
            Item::GtidsBefore(GtidsBefore::Mysql(set)) => format!("before {set}"),
            Item::GtidsBefore(GtidsBefore::Mariadb(position)) => format!("before {position}"),
            Item::GtidsBefore(GtidsBefore::MariadbPassed(position)) => format!("passed {position}"),
            Item::Moved(place) => format!("moved {}", self.number(place)),
        }
    }
}

fn run_with(server: &str, options: AssemblerOptions, events: &[Vec<u8>]) -> (String, Option<ChangeError>) {
    let mut stream = Stream::new(server, options);
    for event in events {
        if let Err(error) = stream.take(event) {
            return (stream.told.join(", "), Some(error));
        }
    }
    (stream.told.join(", "), None)
}

#[track_caller]
fn check(server: &str, options: AssemblerOptions, events: &[Vec<u8>], expected: &str) {
    let (told, error) = run_with(server, options, events);
    assert_eq!((told.as_str(), error), (expected, None));
}

#[track_caller]
fn check_error(server: &str, options: AssemblerOptions, events: &[Vec<u8>], code: Code, part: &str) {
    let (told, error) = run_with(server, options, events);
    let error = error.unwrap_or_else(|| panic!("no error: {told}"));
    assert_eq!(error.code, code, "{error}");
    assert!(error.text.contains(part), "{error}");
}

fn gtid(number: u64) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&[0x3e; 16]);
    body.extend_from_slice(&number.to_le_bytes());
    testing::event(GTID_LOG_EVENT, &body)
}

const NAME: &str = "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e";

fn anonymous() -> Vec<u8> {
    testing::event(ANONYMOUS_GTID_LOG_EVENT, &[0; 25])
}

fn mariadb_gtid(sequence: u64, flags: u8) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0]);
    testing::event(GTID_EVENT, &body)
}

fn query_with(status: &[u8], database: &str, sql: &[u8]) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, database.len() as u8, 0, 0];
    body.extend_from_slice(&(status.len() as u16).to_le_bytes());
    body.extend_from_slice(status);
    body.extend_from_slice(database.as_bytes());
    body.push(0);
    body.extend_from_slice(sql);
    testing::event(QUERY_EVENT, &body)
}

fn query(sql: &str) -> Vec<u8> {
    query_with(&[], "d", sql.as_bytes())
}

fn table_map(id: u8, table: &str) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, table.len() as u8];
    body.extend_from_slice(table.as_bytes());
    // INT and VARCHAR(400).
    body.extend_from_slice(&[0, 2, 3, 15, 2, 0x90, 0x01, 0b11]);
    testing::event(TABLE_MAP_EVENT, &body)
}

fn rows_of(event_type: u8, id: u8, flags: u8, count: usize) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, flags, 0];
    if matches!(event_type, WRITE_ROWS_EVENT | UPDATE_ROWS_EVENT | DELETE_ROWS_EVENT) {
        body.extend_from_slice(&[2, 0]);
    }
    body.extend_from_slice(&[2, 0b11]);
    for _ in 0..count {
        body.extend_from_slice(&[0, 7, 0, 0, 0, 1, 0, b'v']);
    }
    testing::event(event_type, &body)
}

/// One inserted row; the statement ends with it.
fn insert(id: u8) -> Vec<u8> {
    rows_of(WRITE_ROWS_EVENT, id, 1, 1)
}

fn xid() -> Vec<u8> {
    testing::event(XID_EVENT, &[9, 0, 0, 0, 0, 0, 0, 0])
}

fn xa_prepare(one_phase: u8) -> Vec<u8> {
    testing::event(XA_PREPARE_LOG_EVENT, &[one_phase, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x'])
}

fn rotate(file: &str) -> Vec<u8> {
    let mut body = vec![4, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(file.as_bytes());
    testing::event(ROTATE_EVENT, &body)
}

/// The format description of a server's file, with what it says of its start.
fn description(server: &str, created: u32) -> Vec<u8> {
    let mut event = testing::fixture(server).remove(0).1;
    event[19 + 52..19 + 56].copy_from_slice(&created.to_le_bytes());
    event
}

fn log(events: &[&[Vec<u8>]]) -> Vec<Vec<u8>> {
    events.concat()
}

#[test]
fn mysql_with_and_without_gtids() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1), xid()];
    let with = |first: &[Vec<u8>]| log(&[first, &rows]);
    check(MYSQL, options(), &with(&[gtid(5)]), &format!("begin #0 {NAME}:5, Insert d.t, Commit #5 {NAME}:5"));
    check(MYSQL, options(), &with(&[anonymous()]), "begin #0, Insert d.t, Commit #5");
    check(MYSQL, options(), &with(&[]), "begin #0, Insert d.t, Commit #4");
}

#[test]
fn all_ways_in_which_a_transaction_ends() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1)];
    for (end, outcome) in [
        (xid(), "Commit"),
        (query("COMMIT"), "Commit"),
        (query("ROLLBACK"), "Rollback"),
        (xa_prepare(1), "Commit"),
        (query("XA COMMIT X'78',X'',1 ONE PHASE"), "Commit"),
        (query("XA ROLLBACK X'78',X'',1"), "Rollback"),
    ] {
        check(MYSQL, options(), &log(&[&rows, &[end]]), &format!("begin #0, Insert d.t, {outcome} #4"));
    }
}

#[test]
fn mariadb_begins_with_its_gtid_event() {
    let rows = [table_map(1, "t"), rows_of(WRITE_ROWS_EVENT_V1, 1, 1, 2), xid()];
    check(
        MARIADB,
        options(),
        &log(&[&[mariadb_gtid(7, 12)], &rows]),
        "begin #0 0-1-7, Insert d.t, Commit #4 0-1-7",
    );
    // Alone: DDL, and a comment in the place of an event that a replica would not know.
    check(
        MARIADB,
        options(),
        &[mariadb_gtid(8, 41), query("TRUNCATE t"), mariadb_gtid(9, 1), query("# Dummy event")],
        "begin #0 0-1-8, ddl #1 TRUNCATE t, Commit #2 0-1-8, begin #2 0-1-9, Commit #4 0-1-9",
    );
    // Inside: statements of all kinds do not end it.
    check(
        MARIADB,
        options(),
        &log(&[&[mariadb_gtid(7, 8), query("CREATE OR REPLACE TABLE `t` (a int)"), query("/* x */")], &rows]),
        "begin #0 0-1-7, ddl #1 CREATE OR REPLACE TABLE `t` (a int), Insert d.t, Commit #6 0-1-7",
    );
}

#[test]
fn a_two_phase_alter_is_delivered_once_when_it_commits() {
    let alter = |flags: &[u8]| query_with(flags, "d", b"ALTER TABLE t ADD n int");
    check(
        MARIADB,
        options(),
        &[
            mariadb_gtid(1, 41),
            alter(&[130, 2]),
            mariadb_gtid(2, 41),
            alter(&[130, 4, 1, 0, 0, 0, 0, 0, 0, 0]),
        ],
        "begin #0 0-1-1, Commit #2 0-1-1, begin #2 0-1-2, ddl #3 ALTER TABLE t ADD n int, Commit #4 0-1-2",
    );
    check(
        MARIADB,
        options(),
        &[mariadb_gtid(3, 41), alter(&[130, 8, 1, 0, 0, 0, 0, 0, 0, 0])],
        "begin #0 0-1-3, Commit #2 0-1-3",
    );
}

#[test]
fn ddl_alone_and_inside() {
    check(
        MYSQL,
        options(),
        &[gtid(1), query("DROP TABLE `t` /* generated by server */"), query("ALTER TABLE u ADD a int")],
        &format!(
            "begin #0 {NAME}:1, ddl #1 DROP TABLE `t` /* generated by server */, Commit #2 {NAME}:1, begin #2, Commit #3"
        ),
    );
    // CREATE … SELECT of 8.0.21 and later.
    check(
        MYSQL,
        options(),
        &[
            gtid(1),
            query("BEGIN"),
            query("CREATE TABLE `t` (`a` int) START TRANSACTION"),
            table_map(1, "t"),
            insert(1),
            xid(),
        ],
        &format!(
            "begin #0 {NAME}:1, ddl #2 CREATE TABLE `t` (`a` int) START TRANSACTION, Insert d.t, Commit #6 {NAME}:1"
        ),
    );
}

#[test]
fn which_ddl_is_delivered() {
    let delivered = |dispatch_ddl, sql: &str| {
        let (told, error) = run_with(MYSQL, AssemblerOptions { dispatch_ddl, ..options() }, &[query(sql)]);
        assert_eq!(error, None);
        told.contains("ddl #0")
    };
    for (sql, table, all) in [
        ("TRUNCATE t", true, true),
        ("TRUNCATE D.T", true, true),
        ("RENAME TABLE x TO y, t TO z", true, true),
        ("DROP TABLE u, e.t", false, true),
        ("CREATE SEQUENCE sq", true, true),
        ("DROP DATABASE d", true, true),
        ("DROP DATABASE `D`", true, true),
        ("DROP DATABASE e", false, true),
        ("CREATE VIEW v AS SELECT 1", false, true),
        // Never.
        ("CREATE TEMPORARY TABLE t (a int)", false, false),
        ("FLUSH TABLES", false, false),
        ("CREATE USER t IDENTIFIED BY 'x'", false, false),
        ("SET STATEMENT a=1 FOR GRANT ALL ON d.t TO a IDENTIFIED BY 'x'", false, false),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (PASSWORD 'x')", false, false),
        ("SET PASSWORD FOR a = 'x'", false, false),
    ] {
        assert_eq!(delivered(DispatchDdl::Table, sql), table, "{sql}");
        assert_eq!(delivered(DispatchDdl::All, sql), all, "{sql}");
        assert!(!delivered(DispatchDdl::None, sql), "{sql}");
    }
}

#[test]
fn rows_without_begin_are_a_transaction_of_their_statement() {
    // It begins where its first table is introduced: read from there on, its rows have their table.
    check(
        MYSQL,
        options(),
        &[
            table_map(1, "t"),
            table_map(2, "u"),
            rows_of(WRITE_ROWS_EVENT, 1, 0, 1),
            rows_of(WRITE_ROWS_EVENT, 2, 1, 3),
            table_map(1, "t"),
            insert(1),
        ],
        "begin #0, Insert d.t, passed 3 d.u, Commit #4, begin #4, Insert d.t, Commit #6",
    );
    // A statement may end with an event that has no rows and no table.
    let mut dummy = rows_of(WRITE_ROWS_EVENT, 0, 1, 0);
    dummy[19..25].copy_from_slice(&[0xff, 0xff, 0xff, 0, 0, 0]);
    check(
        MYSQL,
        options(),
        &[table_map(1, "t"), rows_of(WRITE_ROWS_EVENT, 1, 0, 1), dummy.clone(), query("BEGIN"), dummy, xid()],
        "begin #0, Insert d.t, Commit #3, begin #3, Commit #6",
    );
}

#[test]
fn savepoints() {
    check(
        MYSQL,
        options(),
        &[
            query("BEGIN"),
            query("SAVEPOINT `a`"),
            query("ROLLBACK TO `a`"),
            query("RELEASE SAVEPOINT a"),
            xid(),
            query("SAVEPOINT `b`"),
        ],
        "begin #0, savepoint a, to a, Commit #5, moved #6",
    );
}

#[test]
fn a_torn_transaction_is_rolled_back_and_its_gtid_is_free() {
    let torn = [gtid(3), query("BEGIN"), table_map(1, "t"), insert(1)];
    let fresh = [rotate("b.2"), description(MYSQL, 5), gtid(3), query("BEGIN"), xid()];
    check(
        MYSQL,
        options(),
        &log(&[&torn, &fresh]),
        &format!(
            "begin #0 {NAME}:3, Insert d.t, Rollback b.2 #6, file b.2 1795447630, moved b.2 #6, begin b.2 #6 {NAME}:3, \
             Commit b.2 #9 {NAME}:3"
        ),
    );
    // Torn behind the GTID event.
    check(
        MYSQL,
        options(),
        &log(&[&torn[..1], &fresh]),
        &format!("file b.2 1795447630, moved b.2 #3, begin b.2 #3 {NAME}:3, Commit b.2 #6 {NAME}:3"),
    );
    let mut stream = Stream::new(MYSQL, options());
    for event in log(&[&torn, &fresh[..2]]) {
        stream.take(&event).unwrap();
    }
    assert_eq!(stream.assembler.take_ended(), None);
}

#[test]
fn a_transaction_that_begins_inside_another_one_is_an_error() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1)];
    for second in [gtid(2), anonymous(), query("BEGIN"), query("XA START X'78',X'',1")] {
        check_error(MYSQL, options(), &log(&[&rows, &[second]]), Code::BadEvent, "before the one before it");
    }
    check_error(MYSQL, options(), &[gtid(1), gtid(2)], Code::BadEvent, "before the one before it");
    check_error(MARIADB, options(), &[mariadb_gtid(1, 12), mariadb_gtid(2, 12)], Code::BadEvent, "before");
}

#[test]
fn changes_logged_as_statements_stop_or_are_delivered() {
    let deliver = || AssemblerOptions { statement_dml: StatementDml::Deliver, ..options() };
    let events = [gtid(1), query("BEGIN"), query("INSERT INTO t VALUES ('secret')"), xid()];
    check_error(MYSQL, options(), &events, Code::Statement, ": INSERT INTO t VALUES (?); log rows");
    check(
        MYSQL,
        deliver(),
        &events,
        &format!("begin #0 {NAME}:1, statement #2 INSERT INTO t VALUES ('secret'), Commit #4 {NAME}:1"),
    );
    check(MYSQL, deliver(), &[query("CALL p()")], "begin #0, statement #0 CALL p(), Commit #1");
    check_error(MYSQL, options(), &[query("FROB t")], Code::Statement, "FROB t");
    check(MYSQL, deliver(), &[query("FROB t")], "begin #0, statement #0 FROB t, Commit #1");
    // Not even then.
    for sql in ["FROB a IDENTIFIED BY 'x'", "FROB PASSWORD 'x'"] {
        for options in [options(), deliver()] {
            check_error(MYSQL, options, &[query(sql)], Code::Statement, "may hold a password");
        }
    }
    for sql in ["UPDATE mysql.user SET a='x'", "ALTER USER a IDENTIFIED BY 'x'"] {
        check(MYSQL, deliver(), &[query(sql)], "begin #0, Commit #1");
    }
}

/// After a restart 5.6 logs that it found a MEMORY table empty as a statement, newer servers as TRUNCATE.
#[test]
fn a_memory_table_that_a_restart_has_emptied_is_truncated() {
    let emptied = |table: &str| query(&format!("DELETE FROM `d`.`{table}`"));
    check(
        MYSQL,
        options(),
        &[gtid(1), emptied("t"), emptied("u")],
        &format!("begin #0 {NAME}:1, ddl #1 DELETE FROM `d`.`t`, Commit #2 {NAME}:1, begin #2, Commit #3"),
    );
    // What a session logs stands between BEGIN and COMMIT, and may have done more than it says (triggers, foreign keys).
    for event in [emptied("t"), emptied("u")] {
        check_error(MYSQL, options(), &[query("BEGIN"), event], Code::Statement, ": DELETE FROM");
    }
    check_error(
        MYSQL,
        options(),
        &[query("DELETE FROM u WHERE 1")],
        Code::Statement,
        ": DELETE FROM u WHERE ?",
    );
}

#[test]
fn load_data_as_a_statement_stops_or_is_delivered() {
    for fixture in [MYSQL, "mariadb.bin"] {
        let run = |statement_dml| {
            let filter = Filter::new("", "shop\\..*").unwrap();
            let (told, error) = real(fixture, AssemblerOptions { statement_dml, filter, ..options() });
            (told.into_iter().filter(|item| item.starts_with("statement")).collect::<Vec<_>>(), error)
        };
        let (statements, error) = run(StatementDml::Deliver);
        assert_eq!(error, None);
        assert!(statements.iter().any(|text| text.contains("LOAD DATA")), "{fixture}: {statements:?}");
        assert!(run(StatementDml::Stop).1.is_some());
    }
}

#[test]
fn xa_in_two_phases_is_refused_with_watched_rows_only() {
    let prepared = |table: &str| {
        [
            query("XA START X'78',X'',1"),
            table_map(1, table),
            insert(1),
            query("XA END X'78',X'',1"),
            xa_prepare(0),
        ]
    };
    check_error(MYSQL, options(), &prepared("t"), Code::Unsupported, "XA PREPARE");
    for end in ["XA COMMIT X'78',X'',1", "XA ROLLBACK X'78',X'',1"] {
        let outcome = if end.contains("COMMIT") { "Commit" } else { "Rollback" };
        check(
            MYSQL,
            options(),
            &log(&[&prepared("u"), &[gtid(2), query(end)]]),
            &format!("begin #0, passed 1 d.u, Commit #5, begin #5 {NAME}:2, {outcome} #7 {NAME}:2"),
        );
    }
    check_error(
        MYSQL,
        options(),
        &[query("XA START X'78',X'',1"), table_map(1, "t"), insert(1), query("XA PREPARE X'78',X'',1")],
        Code::Unsupported,
        "XA PREPARE",
    );
}

#[test]
fn events_that_say_nothing_about_rows_move_the_place() {
    let moves = |event_type, body: &[u8]| {
        let event = testing::event(event_type, body);
        check(MYSQL, options(), std::slice::from_ref(&event), "moved #1");
        // Inside of a transaction they move nothing.
        check(
            MYSQL,
            options(),
            &[gtid(1), event, query("BEGIN"), xid()],
            &format!("begin #0 {NAME}:1, Commit #4 {NAME}:1"),
        );
    };
    moves(STOP_EVENT, b"");
    moves(ROWS_QUERY_LOG_EVENT, b"\x03SQL");
    moves(INTVAR_EVENT, &[1; 9]);
    moves(RAND_EVENT, &[1; 16]);
    moves(IGNORABLE_LOG_EVENT, b"x");
    check(MYSQL, options(), &[testing::event_with(99, 0, 0x80, b"x")], "moved #1");
    check(MARIADB, options(), &[testing::event(ANNOTATE_ROWS_EVENT, b"SQL")], "moved #1");
    check(MARIADB, options(), &[testing::event(START_ENCRYPTION_EVENT, &[1; 17])], "moved #1");
}

#[test]
fn events_that_stop_the_shard() {
    let stops = |server, event_type, body: &[u8], code, part| {
        check_error(server, options(), &[testing::event(event_type, body)], code, part);
    };
    stops(MYSQL, 99, b"x", Code::UnknownEvent, "event type 99");
    stops(MYSQL, INCIDENT_EVENT, b"\x01\x00\x04lost", Code::Incident, "(incident 1: lost)");
    // A statement that says it is 200 bytes long, and is none at all.
    let mut packed = vec![0; 13 + 1];
    packed.extend_from_slice(&[0x81, 200, 1, 2, 3]);
    stops(MARIADB, QUERY_COMPRESSED_EVENT, &packed, Code::Decompress, "QUERY_COMPRESSED_EVENT");
    check_error(MYSQL, options(), &[insert(9)], Code::TableMap, "table id 9");
    // A table of one column, and rows of two.
    let mut narrow = table_map(1, "t");
    narrow.splice(narrow.len() - 7.., [1, 3, 0, 1]);
    testing::fix_size(&mut narrow);
    check_error(
        MYSQL,
        watching("d.u"),
        &[narrow, insert(1)],
        Code::BadEvent,
        "2 columns, its TABLE_MAP has 1",
    );
    let mut cut = rows_of(WRITE_ROWS_EVENT, 1, 1, 2);
    cut.pop();
    testing::fix_size(&mut cut);
    check_error(MYSQL, options(), &[table_map(1, "u"), cut], Code::BadValue, "d.u: row 1 of the event");
}

#[test]
fn rotations_and_heartbeats() {
    let artificial = testing::event_with(ROTATE_EVENT, 0, 0x20, b"\x04\0\0\0\0\0\0\0b.2");
    check(
        MYSQL,
        options(),
        &[rotate("b.2"), artificial, description(MYSQL, 0), gtid(1), query("BEGIN"), xid(), rotate("b.3")],
        &format!(
            "moved b.2 4, moved b.2 4, file b.2 1795447630, moved b.2 #3, begin b.2 #3 {NAME}:1, Commit b.2 #6 {NAME}:1, \
             moved b.3 4"
        ),
    );
    let mut stream = Stream::new(MYSQL, options());
    stream.take(&query("FLUSH TABLES")).unwrap();
    stream.pos += 500;
    for file in ["b.1", "b.7"] {
        stream.take(&testing::event_with(HEARTBEAT_LOG_EVENT, 9, 0, file.as_bytes())).unwrap();
    }
    stream.take(&gtid(1)).unwrap();
    stream.pos += 500;
    stream.take(&testing::event_with(HEARTBEAT_LOG_EVENT, 9, 0, b"b.1")).unwrap();
    assert_eq!(stream.told.join(", "), "begin #0, Commit #1, moved #1");
    assert_eq!(stream.assembler.rest(), None);
}

#[test]
fn a_table_is_resolved_anew_when_it_changed_or_the_server_was_started_anew() {
    let mut stream = Stream::new(MYSQL, options());
    let mut asked = |events: &[Vec<u8>]| {
        events.iter().for_each(|event| stream.take(event).unwrap());
        stream.assembler.definitions().asked
    };
    let rows = |id| [query("BEGIN"), table_map(id, "t"), insert(id), xid()];
    assert_eq!(asked(&rows(1)), 1);
    assert_eq!(asked(&rows(1)), 1);
    assert_eq!(asked(&[description(MYSQL, 0)]), 1);
    assert_eq!(asked(&rows(1)), 1);
    // ALTER gives it another id.
    assert_eq!(asked(&rows(2)), 2);
    // Ids begin anew: the same one, with the same columns, may be what ALTER made of the table.
    assert_eq!(asked(&[description(MYSQL, 77)]), 2);
    assert_eq!(asked(&rows(1)), 3);
}

#[test]
fn statements_in_other_character_sets() {
    let run = |server, collation: u8, sql: &[u8]| {
        let status = [4, collation, 0, collation, 0, 8, 0];
        run_with(server, watching("d.(café|cafÃ©|t|一|誠乣)"), &[query_with(&status, "d", sql)]).0
    };
    let expected = "begin #0, ddl #0 TRUNCATE `café`, Commit #1";
    // latin1_swedish_ci, whatever the client meant by its bytes.
    assert_eq!(run(MYSQL, 8, b"TRUNCATE `caf\xe9`"), expected);
    assert_eq!(run(MARIADB, 8, b"TRUNCATE `caf\xe9`"), expected);
    assert_eq!(run(MYSQL, 8, "TRUNCATE `café`".as_bytes()), expected.replace('é', "Ã©"));
    // gbk_chinese_ci: bytes that would be UTF-8 too, and a second byte that looks like a backslash or a backtick.
    assert_eq!(run(MYSQL, 28, b"TRUNCATE `\xd2\xbb`"), expected.replace("café", "一"));
    assert_eq!(run(MYSQL, 28, b"TRUNCATE `\xd5\x5c\x81\x60`"), expected.replace("café", "誠乣"));
    // No text in that set either, and a set that nobody knows.
    assert_eq!(
        run(MYSQL, 45, b"TRUNCATE t /* \xe9 */"),
        "begin #0, ddl #0 TRUNCATE t /* \u{fffd} */, Commit #1"
    );
    assert_eq!(
        run(MYSQL, 0, b"TRUNCATE t /* \xe9 */"),
        "begin #0, ddl #0 TRUNCATE t /* \u{fffd} */, Commit #1"
    );
}

/// Texts of MySQL 5.6.24, MySQL 9.7.4 and MariaDB 10.11 in a session after `SET NAMES gbk`.
#[test]
fn what_the_server_writes_itself_is_utf8_or_not() {
    #[track_caller]
    fn check_ddl(server: &str, status: &[u8], sql: &[u8], text: &str) {
        let status = [&[4, 28, 0, 28, 0, 8, 0][..], status].concat();
        let events = [description(server, 0), query_with(&status, "d", sql)];
        let (told, error) = run_with(server, watching("d.(一|二|乙)"), &events);
        assert!(told.ends_with(&format!("ddl #1 {text}, Commit #2")), "{told} {error:?}");
    }
    let (one, two) =
        ("DROP TABLE `一` /* generated by server */", "DROP TABLE `二` /* generated by server */");
    let (one_in_gbk, two_in_gbk) = (
        b"DROP TABLE `\xd2\xbb` /* generated by server */",
        b"DROP TABLE `\xb6\xfe` /* generated by server */",
    );
    let ddl_xid = [17, 9, 0, 0, 0, 0, 0, 0, 0];
    check_ddl(MYSQL, &[], two.as_bytes(), two);
    check_ddl(MYSQL, &ddl_xid, one_in_gbk, one);
    check_ddl(MARIADB, &[], two_in_gbk, two);
    check_ddl(MARIADB, &[], one_in_gbk, one);
    // Either reading may be meant: it touches a watched table in one of them.
    check_ddl(MYSQL, &[], one_in_gbk, &one.replace('一', "\u{4bb}"));
    let created = "CREATE TABLE `乙` (\n  `列` int(11) DEFAULT NULL COMMENT '一ソ'\n)";
    check_ddl(MYSQL, &[], created.as_bytes(), created);
    for sql in ["SAVEPOINT `点一`", "ROLLBACK TO `点一`"] {
        let status = [4, 28, 0, 28, 0, 8, 0];
        let told =
            run_with(MARIADB, options(), &[query("BEGIN"), query_with(&status, "d", sql.as_bytes())]).0;
        assert!(told.ends_with(" 点一"), "{told}");
    }
}

/// The items of a real server's file, and what stopped it.
fn real(fixture: &str, options: AssemblerOptions) -> (Vec<String>, Option<ChangeError>) {
    let mut stream = Stream::new(MYSQL, options);
    let mut decoder = Decoder::default();
    for (position, bytes) in testing::fixture(fixture) {
        let mut batch = Batch::default();
        let decoded = decoder.decode(&bytes).unwrap();
        let span = EventSpan { start: position, end: position + bytes.len() as u64 };
        stream.pos = span.end;
        let outcome = stream.assembler.accept(&mut decoder, decoded, span, &mut batch, &mut NeverFull);
        let told = batch.items.iter().map(|item| stream.tell(item, &batch)).collect::<Vec<_>>();
        stream.told.extend(told);
        if let Err(error) = outcome {
            return (stream.told, Some(error));
        }
    }
    (stream.told, None)
}

/// Nothing is watched, so no table needs a definition: borders and statements of real logs.
#[test]
fn transactions_of_real_servers_begin_and_end() {
    let options = || AssemblerOptions {
        filter: Filter::new("", ".*\\..*").unwrap(),
        dispatch_ddl: DispatchDdl::All,
        statement_dml: StatementDml::Deliver,
        ..self::options()
    };
    for fixture in testing::FIXTURES {
        let (told, error) = real(fixture, options());
        assert_eq!(error, None, "{fixture}");
        let mut open = false;
        for item in &told {
            match item.split(' ').next().unwrap() {
                "begin" => assert!(!std::mem::replace(&mut open, true), "{fixture}: {told:?}"),
                "Commit" | "Rollback" => assert!(std::mem::take(&mut open), "{fixture}: {told:?}"),
                "moved" | "file" | "before" => assert!(!open, "{fixture}: {told:?}"),
                _ => assert!(open, "{fixture}: {told:?}"),
            }
        }
        assert!(!open, "{fixture}");
    }
    let ddl = |fixture: &str| {
        let told = real(fixture, options()).0;
        let short =
            |item: &String| item.splitn(3, ' ').nth(2).unwrap().split('(').next().unwrap().trim().to_owned();
        told.iter().filter(|item| item.starts_with("ddl")).map(short).collect::<Vec<_>>()
    };
    assert_eq!(
        ddl("mariadb_xa.bin"),
        ["CREATE DATABASE shop", "CREATE TABLE t", "ALTER TABLE t ADD COLUMN n INT", "DROP DATABASE shop"]
    );
    assert_eq!(
        ddl("mysql97_minimal.bin"),
        [
            "CREATE DATABASE shop",
            "CREATE TABLE t",
            "CREATE TABLE `ctas`",
            "TRUNCATE TABLE t",
            "DROP DATABASE shop"
        ]
    );
}
