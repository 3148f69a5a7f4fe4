//! Fountain as a library, against real servers: a program's own sink, its own store of points, its own form of rows.

mod harness;

use fountain::Engine;
use fountain::code::Code;
use fountain::engine::EngineBuilder;
use fountain::engine::EngineError;
use fountain::pack::encoder::Image;
use fountain::pack::encoder::Row;
use fountain::pack::encoder::RowEncoder;
use fountain::pack::encoder::RowOp;
use fountain::pack::header::Pack;
use fountain::pack::header::PackHeader;
use fountain::pack::json::JsonOptions;
use fountain::pack::json::write_value;
use fountain::schema::row::RowError;
use fountain::sink::Sink;
use fountain::sink::SinkError;
use fountain::sync_point::PointRecord;
use fountain::sync_point::StoreError;
use fountain::sync_point::SyncPointStore;
use harness::GTID;
use harness::Kind;
use harness::Replay;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::row_lines;
use harness::wait_until;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

/// Keeps rows and headers in memory. Refuses packs while `refuses` is set.
#[derive(Clone, Default)]
struct Memory {
    rows: Arc<Mutex<Vec<u8>>>,
    last: Arc<Mutex<Option<PackHeader>>>,
    /// It says where it stands.
    stands: bool,
    refuses: Arc<Mutex<Option<SinkError>>>,
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.rows.lock().unwrap().clone()).expect("UTF-8")
    }
}

impl Sink for Memory {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        pack.check().expect("header and rows belong together");
        self.rows.lock().unwrap().extend_from_slice(pack.rows);
        *self.last.lock().unwrap() = Some(pack.header.clone());
        Ok(())
    }

    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        Ok(self.last.lock().unwrap().clone().filter(|_| self.stands))
    }
}

/// A store of points that outlives the engine.
#[derive(Clone, Default)]
struct Points(Arc<Mutex<Option<PointRecord>>>);

impl SyncPointStore for Points {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = Some(record.clone());
        Ok(())
    }
}

/// A line for each row, made from its typed values.
struct Values;

impl Values {
    fn image(image: Option<Image<'_>>, out: &mut Vec<u8>) -> Result<(), RowError> {
        let Some(image) = image else {
            out.push(b'-');
            return Ok(());
        };
        out.push(b'{');
        for (index, column) in image.columns()?.enumerate() {
            let (name, value) = column?;
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(format!("{}:", serde_json::to_string(name).expect("a text")).as_bytes());
            write_value(out, &value, JsonOptions::default()).map_err(|error| RowError::at(name, error))?;
        }
        out.push(b'}');
        Ok(())
    }
}

impl RowEncoder for Values {
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RowError> {
        if row.table() == "refused" {
            return Err(RowError::refused("this table has no form here"));
        }
        let key = row.key().map(|key| key.join("+")).unwrap_or_default();
        let gtid = row.gtid().unwrap_or("none");
        let head = format!(
            "{:?}\t{}.{}\t{key}\t{gtid}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t",
            row.op(),
            row.database(),
            row.table(),
            row.file(),
            row.pos(),
            row.ordinal(),
            row.seq(),
            row.ts_ms(),
            row.server_id(),
            row.shard(),
            row.server(),
        );
        out.extend_from_slice(head.as_bytes());
        Self::image(row.before(), out)?;
        out.push(b'\t');
        Self::image(row.after(), out)?;
        out.push(b'\n');
        Ok(())
    }

    fn mark(&mut self, line: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"mark\t");
        out.extend_from_slice(line);
    }
}

fn engine(server: &Server, home: &Path) -> EngineBuilder {
    let (user, password) = server.replica_account();
    Engine::builder()
        .home(home)
        .set("mysql_shard_0_server", server.host())
        .set("mysql_shard_0_port", server.port().to_string())
        .set("mysql_username", user)
        .set("mysql_password", password)
        .set("start_without_point", "beginning")
        .set("dispatch_ddl", "none")
}

fn with_sink(builder: EngineBuilder, sink: &Memory) -> EngineBuilder {
    let sink = sink.clone();
    builder.sink(move |_shard| Ok(Box::new(sink.clone())))
}

fn ids(text: &str) -> Vec<u64> {
    parse(text).iter().map(|line| line["after"]["id"].as_u64().expect("id")).collect()
}

fn create(server: &Server) {
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB; INSERT INTO d.t VALUES (1, 'a'), (2, 'b')");
}

#[test]
fn a_programs_own_sink_and_store() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let home = tempfile::tempdir().expect("a folder");
    let (sink, points) = (Memory::default(), Points::default());
    let begin = || {
        let points = points.clone();
        with_sink(engine(&server, home.path()), &sink).point_store(move |_shard| Ok(Box::new(points.clone())))
    };
    begin().until_end().build().expect("it is sound").run().expect("it comes to its end");
    assert_eq!(ids(&sink.text()), [1, 2]);
    let saved = points.0.lock().unwrap().clone().expect("a record");
    assert!(
        saved.point.is_some()
            && saved.shard == "producer00"
            && !home.path().join("points/producer00.point").exists()
    );

    // A second one goes on where the first one ended, runs until it is told to stop, and keeps the others out meanwhile.
    let running = begin().build().expect("it is sound").start().expect("threads");
    server.sql("INSERT INTO d.t VALUES (3, 'c')");
    wait_until("the row", PATIENCE, || ids(&sink.text()).len() == 3);
    let refused = begin().until_end().build().expect("it is sound").run();
    match refused {
        Err(EngineError::Shards(faults)) => assert_eq!(faults[0].code, Code::Locked, "{faults:?}"),
        other => panic!("{other:?}"),
    }
    running.stop_handle().request();
    running.join().expect("a stop is no failure");
    assert_eq!(ids(&sink.text()), [1, 2, 3]);
    assert!(points.0.lock().unwrap().as_ref().is_some_and(|record| record.epoch == saved.epoch + 1));
}

/// A sink that says where it stands decides, though the point is older; one that fails for a while is waited for.
#[test]
fn a_sink_that_keeps_packs_gets_each_row_once() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create(&server);
    let home = tempfile::tempdir().expect("a folder");
    let sink = Memory { stands: true, ..Memory::default() };
    let points = Points::default();
    let begin = |points: &Points| {
        let points = points.clone();
        with_sink(engine(&server, home.path()), &sink).point_store(move |_shard| Ok(Box::new(points.clone())))
    };
    begin(&points).until_end().build().expect("it is sound").run().expect("it comes to its end");
    let old = points.0.lock().unwrap().clone();
    server.sql("INSERT INTO d.t VALUES (3, 'c')");
    begin(&points).until_end().build().expect("it is sound").run().expect("it comes to its end");
    // The store forgets the second run.
    *points.0.lock().unwrap() = old;
    server.sql("INSERT INTO d.t VALUES (4, 'd')");
    let refusal = SinkError::retryable(Code::SinkFailed, "not now");
    *sink.refuses.lock().unwrap() = Some(refusal.clone());
    match begin(&points).until_end().build().expect("it is sound").run() {
        Err(EngineError::Shards(faults)) => assert!(faults[0].text.contains("not now"), "{faults:?}"),
        other => panic!("{other:?}"),
    }
    let running = begin(&points).build().expect("it is sound").start().expect("threads");
    *sink.refuses.lock().unwrap() = None;
    wait_until("the row", PATIENCE, || ids(&sink.text()).len() == 4);
    running.stop_handle().request();
    running.join().expect("a stop is no failure");
    assert_eq!(ids(&sink.text()), [1, 2, 3, 4]);
    let seqs: Vec<u64> = parse(&sink.text()).iter().map(|line| line["seq"].as_u64().expect("seq")).collect();
    assert_eq!(seqs, [1, 2, 3, 4], "numbered without a jump");
}

/// Typed values, places and times are those of the JSON lines, for every kind of row image.
#[test]
fn rows_as_typed_values() {
    let json = "ALTER TABLE d.t ADD COLUMN j JSON; SET SESSION binlog_row_value_options = PARTIAL_JSON;
        INSERT INTO d.t VALUES (10, 'x', '{\"a\": [1, 2, {\"b\": \"a longer text, so that a difference pays\"}], \"c\": 1}');
        UPDATE d.t SET j = JSON_SET(j, '$.c', 2), v = 'y' WHERE id = 10; UPDATE d.t SET j = JSON_REMOVE(j, '$.a[0]') WHERE id = 10;
        SET SESSION binlog_row_image = MINIMAL; UPDATE d.t SET v = NULL WHERE id = 10";
    let full = &["--binlog-row-metadata=FULL", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"][..];
    for (kind, options, more) in
        [(Kind::Mysql56, &[][..], ""), (Kind::Mysql97, full, json), (Kind::Mariadb, &[], "")]
    {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        server.sql("CREATE TABLE d.wide (a INT UNSIGNED, b DECIMAL(10,3), c DATETIME(2), d ENUM('p','q'), e SET('m','n'), f BLOB, g DOUBLE,
            h BIT(9), i TIME(3), j YEAR, PRIMARY KEY (a, d)) ENGINE=InnoDB;
            INSERT INTO d.wide VALUES (4000000000, -1.5, '2020-02-03 04:05:06.78', 'q', 'm,n', X'00FF', 0.1, b'101', '-10:00:00.5', 2024),
                (1, NULL, NULL, 'p', NULL, NULL, NULL, NULL, NULL, NULL);
            BEGIN; UPDATE d.wide SET b = b + 1, f = 'x'; DELETE FROM d.wide WHERE a = 1; COMMIT");
        server.sql(more);
        let home = tempfile::tempdir().expect("a folder");
        let sink = Memory::default();
        let builder = with_sink(engine(&server, home.path()), &sink).set("dispatch_transaction", "true");
        let engine = builder.row_encoder(|_shard| Box::new(Values)).until_end().build().expect("it is sound");
        engine.run().expect("it comes to its end");

        let pairs =
            keys(&["start_without_point=beginning", "dispatch_ddl=none", "dispatch_transaction=true"]);
        let expected = Delivered::run_until_end(&server, &pairs).lines;
        assert!(expected.len() > 10, "{kind}: {expected:?}");
        assert_are(&sink.text(), &expected, kind);
    }
}

/// A row image in a record; null where there is none.
fn image(text: &str) -> Value {
    if text == "-" { Value::Null } else { parse(text).remove(0) }
}

/// The records say what the JSON lines say.
fn assert_are(records: &str, expected: &[Value], kind: Kind) {
    let records: Vec<Vec<&str>> = records.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(records.len(), expected.len(), "{kind}");
    for (record, line) in records.iter().zip(expected) {
        if record[0] == "mark" {
            assert_eq!(&parse(record[1])[0], line, "{kind}");
            continue;
        }
        let texts = |name: &str| line[name].as_str().unwrap_or("none").to_owned();
        let numbers = |name: &str| line[name].to_string();
        assert_eq!(record[0].to_lowercase(), texts("op"), "{kind}");
        assert_eq!(record[1], format!("{}.{}", texts("database"), texts("table")));
        let key: Vec<&str> = line["key"].as_array().expect("a key").iter().flat_map(|k| k.as_str()).collect();
        assert_eq!(record[2], key.join("+"));
        let place =
            [texts("gtid"), texts("file"), numbers("pos"), numbers("row"), numbers("seq"), numbers("ts_ms")];
        assert_eq!(record[3..9], place);
        assert_eq!(record[9..12], [numbers("server_id"), texts("shard"), texts("server")]);
        assert_eq!(image(record[12]), line["before"], "{kind}");
        assert_eq!(image(record[13]), line["after"], "{kind}");
    }
}

const HIDDEN: &str = "
CREATE TABLE implicit (id int PRIMARY KEY, n int, t text UNIQUE) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE unseen (e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, id int PRIMARY KEY, n int,
  s timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, PERIOD FOR SYSTEM_TIME(s,e)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE without_key (a int, n int) WITH SYSTEM VERSIONING ENGINE=InnoDB;
CREATE TABLE hash (id int PRIMARY KEY, a text, b varchar(4000) NOT NULL DEFAULT 'b', UNIQUE KEY (a), UNIQUE KEY (b,id)) ENGINE=InnoDB;
CREATE TABLE archive (id int, n int, row_start timestamp(6) NOT NULL, row_end timestamp(6) NOT NULL, PRIMARY KEY (id,row_end)) ENGINE=InnoDB;
INSERT INTO implicit VALUES (1,1,'a'),(2,2,NULL),(3,3,'c'); UPDATE implicit SET n=n+10; UPDATE implicit SET id=9 WHERE id=3;
BEGIN; UPDATE implicit SET t='x' WHERE id=1; DELETE FROM implicit WHERE id=2; COMMIT; REPLACE INTO implicit VALUES (1,7,'y');
INSERT INTO unseen (id,n) VALUES (1,1),(2,2); UPDATE unseen SET n=5; DELETE FROM unseen WHERE id=1;
INSERT INTO without_key VALUES (1,1),(1,1),(2,2); UPDATE without_key SET n=7 WHERE a=1 LIMIT 1; DELETE FROM without_key WHERE a=2;
INSERT INTO hash (id,a) VALUES (1,'x'),(2,NULL),(3,'z'); UPDATE hash SET a='y' WHERE id=1; UPDATE hash SET b='c'; DELETE FROM hash WHERE id=2;
INSERT INTO archive SELECT id,n,row_start,row_end FROM implicit FOR SYSTEM_TIME ALL; DELETE FROM archive WHERE id=2;
DELETE HISTORY FROM implicit;
";
const HIDDEN_TABLES: [&str; 5] = ["implicit", "unseen", "without_key", "hash", "archive"];

/// An encoder is given the columns that `SELECT` shows, and a versioned row's end as a delete: whoever applies its records by
/// key holds the tables.
#[test]
fn hidden_columns_and_versioned_rows() {
    for kind in [Kind::Mariadb, Kind::Mariadb118] {
        let Some(server) = Server::start_private(kind, &[]) else { continue };
        let mut databases = Vec::new();
        for (metadata, images) in [("NO_LOG", "FULL"), ("MINIMAL", "MINIMAL"), ("FULL", "NOBLOB")] {
            let database = format!("{metadata}_{images}").to_lowercase();
            server.sql(&format!(
                "SET GLOBAL binlog_row_metadata={metadata}; SET SESSION binlog_row_image={images};
                 CREATE DATABASE {database}; USE {database}; {HIDDEN}"
            ));
            databases.push((database, images == "FULL"));
        }
        let home = tempfile::tempdir().expect("a folder");
        let sink = Memory::default();
        let builder = with_sink(engine(&server, home.path()), &sink).row_encoder(|_shard| Box::new(Values));
        builder.until_end().build().expect("it is sound").run().expect("it comes to its end");
        let records = sink.text();
        let lines: Vec<Value> = records.lines().map(applicable).collect();
        for (database, whole) in &databases {
            for table in HIDDEN_TABLES {
                assert!(row_lines(&lines, database, table).len() > 3, "{kind} {database}.{table}");
                Replay::of(&lines, database, table).assert_is(&server, database, table, *whole);
            }
        }
        let pairs = keys(&["start_without_point=beginning", "dispatch_ddl=none"]);
        assert_are(&records, &Delivered::run_until_end(&server, &pairs).lines, kind);
    }
}

/// A record as a line that can be applied.
fn applicable(record: &str) -> Value {
    let parts: Vec<&str> = record.split('\t').collect();
    let (database, table) = parts[1].split_once('.').expect("database.table");
    let key: Vec<&str> = parts[2].split('+').filter(|name| !name.is_empty()).collect();
    let mut line = serde_json::json!({
        "op": parts[0].to_lowercase(), "database": database, "table": table, "key": key
    });
    for (name, text) in [("before", parts[12]), ("after", parts[13])] {
        if text != "-" {
            line[name] = image(text);
        }
    }
    line
}

/// Counts; and takes the place of a value by name.
struct Names(Arc<Mutex<Vec<String>>>);

impl RowEncoder for Names {
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), RowError> {
        assert!(row.op() == RowOp::Insert && row.before().is_none());
        let Some(after) = row.after() else { return Err(RowError::refused("an insert without a row")) };
        assert!(after.value("no such column")?.is_none());
        self.0.lock().unwrap().push(format!("{:?}", after.value("id")?));
        // Not a byte of text: the sink and its encoder agree on it.
        out.push(7);
        Ok(())
    }
}

/// Takes anything.
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Sink for Bytes {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        self.0.lock().unwrap().extend_from_slice(pack.rows);
        Ok(())
    }
}

#[test]
fn an_encoder_may_write_bytes_and_may_refuse() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    let home = tempfile::tempdir().expect("a folder");
    let (names, bytes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (to_names, to_bytes) = (Arc::clone(&names), Arc::clone(&bytes));
    engine(&server, home.path())
        .sink(move |_shard| Ok(Box::new(Bytes(Arc::clone(&to_bytes)))))
        .row_encoder(move |_shard| Box::new(Names(Arc::clone(&to_names))))
        .until_end()
        .build()
        .expect("it is sound")
        .run()
        .expect("it comes to its end");
    assert_eq!(*names.lock().unwrap(), ["Some(Int(1))", "Some(Int(2))"]);
    assert_eq!(*bytes.lock().unwrap(), [7, 7]);

    server.sql("INSERT INTO d.t VALUES (3, 'c'); CREATE TABLE d.refused (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO d.refused VALUES (1)");
    let sink = Memory::default();
    let engine =
        with_sink(engine(&server, home.path()), &sink).row_encoder(|_shard| Box::new(Values)).until_end();
    match engine.build().expect("it is sound").run() {
        Err(EngineError::Shards(faults)) => {
            assert_eq!(faults[0].code, Code::RowEncoder, "{faults:?}");
            assert!(
                faults[0].text.contains("d.refused") && faults[0].text.contains("no form here"),
                "{faults:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(sink.text().lines().count(), 1, "what stands before it is delivered: {}", sink.text());
}

#[test]
fn what_is_wrong_is_told_before_anything_begins() {
    let wrong = |builder: EngineBuilder, text: &str| match builder.build() {
        Err(EngineError::Config(problems)) => {
            assert!(problems.iter().any(|problem| problem.to_string().contains(text)), "{problems:?}");
        }
        other => panic!("{other:?}"),
    };
    let sound = || {
        Engine::builder()
            .set("mysql_shard_0_server", "h")
            .set("mysql_username", "u")
            .set("mysql_password", "secret")
    };
    assert!(sound().build().is_ok());
    assert!(!format!("{:?}", sound().build()).contains("secret"));
    wrong(Engine::builder(), "no server is configured");
    wrong(sound().set("no_such_key", "1"), "no_such_key");
    wrong(sound().set("output_format", "maxwell"), "not in this version");
    wrong(sound().only("producer07"), "producer07");
    wrong(sound().set("transaction_policy", "mini").row_encoder(|_shard| Box::new(Values)), "row encoder");
    assert!(sound().set("transaction_policy", "mini").build().is_ok());
    wrong(sound().file("/no/such/file"), "/no/such/file");
}
