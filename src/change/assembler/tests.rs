//! Event orders of all servers, made by hand or written by real ones, and the items that come of them.

mod statements;
mod transactions;
mod xa;

use super::*;
use crate::binlog::ChecksumAlgorithm;
use crate::binlog::event_type::*;
use crate::binlog::testing;
use crate::change::batch::End;
use crate::change::batch::SqlOp;
use crate::change::batch::XaPrepared;
use crate::code::Code;
use crate::schema::definition::ColumnDefinition;
use crate::schema::definition::TableDefinition;

/// Knows one definition, which all tables here have.
struct OneDefinition {
    asked: usize,
}

impl Definitions for OneDefinition {
    fn definition(
        &mut self,
        _: LogPlace<'_>,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        self.asked += 1;
        let column = |name: &str, column_type: &str, charset: Option<&str>| ColumnDefinition {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            charset: charset.map(str::to_owned),
            hidden: false,
        };
        let columns = vec![column("id", "int", None), column("v", "varchar(400)", Some("latin1"))];
        Ok(Some(TableDefinition {
            database: database.into(),
            table: table.into(),
            columns,
            key: vec!["id".into()],
            row_end: None,
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
        xa_hold_max_bytes: 1 << 20,
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
                let at = begin
                    .committed_at
                    .as_ref()
                    .map_or(String::new(), |at| format!(" at {}", self.number(at)));
                format!("begin {}{gtid}{at}", self.number(&begin.place))
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
            Item::End(End { outcome, next, gtid, decided, .. }) => {
                let gtid = gtid.map_or(String::new(), |gtid| format!(" {gtid}"));
                let decided = decided.as_ref().map_or(String::new(), |xa| {
                    format!(" of {}{}", xa.xid, xa.gtid.map_or(String::new(), |gtid| format!(" {gtid}")))
                });
                format!("{outcome:?} {}{gtid}{decided}", self.number(next))
            }
            Item::XaPrepared(XaPrepared { xid, place, next, gtid }) => {
                let gtid = gtid.map_or(String::new(), |gtid| format!(" {gtid}"));
                format!("prepared {xid} {} {}{gtid}", self.number(place), self.number(next))
            }
            Item::XaUnknown(xid) => format!("unknown {xid}"),
            Item::XaReplaced(old) => {
                let gtid = old.gtid.as_deref().unwrap_or_default();
                format!("replaced {} {} {gtid} by {}", old.xid, self.number(&old.place), self.number(&old.by))
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
    // Rows of no columns have no bytes: these would never end.
    let endless = testing::event(WRITE_ROWS_EVENT, &[1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0, 7, 7]);
    let events = [gtid(1), query("BEGIN"), table_map(1, "t"), endless];
    check_error(MYSQL, options(), &events, Code::BadEvent, "no columns of its rows, and yet 2 bytes");
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
                "moved" | "file" | "before" | "prepared" => assert!(!open, "{fixture}: {told:?}"),
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
