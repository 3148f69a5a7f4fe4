//! What decoding and writing costs in memory allocations, which no busy machine changes: rows none, events and
//! transactions a few.

mod harness;

use fountain::cat;
use fountain::cat::CatOptions;
use fountain::change::assembler::AssemblerOptions;
use fountain::change::assembler::DispatchDdl;
use fountain::change::assembler::StatementDml;
use fountain::pack::json::JsonOptions;
use fountain::pipeline::definitions::KnownDefinitions;
use fountain::schema::filter::Filter;
use harness::Kind;
use harness::Server;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// Allocations for ten more events with rows, at most: buffers grow now and then.
const MOST_PER_TEN_EVENTS: u64 = 5;
/// For one more transaction of one row: its GTID as text, what it begins with, how far GTIDs are executed.
const MOST_PER_TRANSACTION: u64 = 8;

/// Counts lines, keeps none.
#[derive(Default)]
struct Lines(u64);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Allocations that decoding a file and writing its lines takes, and how many lines these are.
fn decoded(file: &Path) -> (u64, u64) {
    let options = CatOptions {
        assembler: AssemblerOptions {
            filter: Filter::new("", "").expect("a filter"),
            dispatch_ddl: DispatchDdl::Table,
            statement_dml: StatementDml::Stop,
            max_event_bytes: 1 << 30,
            xa_hold_max_bytes: 1 << 20,
        },
        json: JsonOptions::default(),
        transaction_lines: false,
        definitions: KnownDefinitions::for_files(None, None),
    };
    let (files, mut lines) = ([file.to_owned()], Lines::default());
    let allocations = allocation_counter::measure(|| {
        if let Err(failure) = cat::run(options, &files, &mut lines) {
            panic!("{}: {failure}", file.display());
        }
    });
    (allocations.count_total, lines.0)
}

/// Runs SQL that is logged in a file of its own.
fn logged(server: &Server, sql: &str) -> PathBuf {
    server.flush_logs();
    server.sql(sql);
    let file = server.binlogs().pop().expect("a binlog");
    server.flush_logs();
    file
}

fn row_events(server: &Server, file: &Path) -> u64 {
    let name = file.file_name().expect("a name").to_string_lossy();
    let events = server.binlog_events(&name, 4);
    events.iter().filter(|event| event.kind.contains("_rows")).count() as u64
}

/// Rows of most types, from a table of numbers; all of one size or so.
fn changes(rows: u32) -> String {
    format!(
        "BEGIN;
         INSERT INTO d.t SELECT n, -n, n, n / 7, n / 3, n / 11, CONCAT('text ', n), CONCAT('é', n, '\"日'), REPEAT('x', 300),
             CONCAT('ü', n), UNHEX('00ff'), UNHEX('01'), '2024-02-29', '-12:13:14.5', '2024-02-29 01:02:03.000004',
             '2024-02-29 01:02:03', 1999, 'b', 'a,c', 5, NULL FROM d.numbers WHERE n <= {rows};
         UPDATE d.t SET i = i + 1, v = CONCAT(v, '!') ORDER BY id LIMIT {rows};
         DELETE FROM d.t ORDER BY id LIMIT {rows};
         COMMIT"
    )
}

#[test]
fn rows_allocate_nothing_and_transactions_little() {
    let Some(server) = Server::start_private(Kind::Mysql97, &["--binlog-row-metadata=FULL"]) else { return };
    server.sql(
        "SET NAMES utf8mb4; CREATE DATABASE d CHARACTER SET utf8mb4;
         CREATE TABLE d.t (id int PRIMARY KEY, i bigint, u int unsigned, c decimal(20,6), f float, g double, v varchar(40),
             w varchar(40), x text, l varchar(40) CHARACTER SET latin1, b blob, p binary(8), da date, ti time(1),
             dt datetime(6), ts timestamp, y year, e enum('a','b'), s set('a','b','c'), bi bit(4), nu int);
         CREATE TABLE d.numbers (n int PRIMARY KEY);
         SET cte_max_recursion_depth = 20000;
         INSERT INTO d.numbers WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000) SELECT n FROM n",
    );
    let (few, many) = (logged(&server, &changes(2000)), logged(&server, &changes(20_000)));
    let (few_allocations, few_lines) = decoded(&few);
    let (allocations, lines) = decoded(&many);
    assert_eq!((few_lines, lines), (3 * 2000, 3 * 20_000));
    let (more, more_events) =
        (allocations.saturating_sub(few_allocations), row_events(&server, &many) - row_events(&server, &few));
    // Otherwise a bound by events says nothing about rows.
    assert!(more_events * 10 < lines - few_lines, "{more_events} events");
    assert!(
        10 * more <= MOST_PER_TEN_EVENTS * more_events,
        "{more} allocations for {} more rows in {more_events} more events",
        lines - few_lines
    );

    let one = "INSERT INTO d.numbers VALUES (0); DELETE FROM d.numbers WHERE n = 0;";
    let (few, many) = (logged(&server, &one.repeat(50)), logged(&server, &one.repeat(550)));
    let ((few_allocations, few_lines), (allocations, lines)) = (decoded(&few), decoded(&many));
    assert_eq!((few_lines, lines), (100, 1100));
    let more = allocations.saturating_sub(few_allocations);
    // Each has a name at the least: else nothing was counted.
    assert!((1000..=MOST_PER_TRANSACTION * 1000).contains(&more), "{more} for 1000 more transactions");
}
