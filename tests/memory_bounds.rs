//! What piles up in a long life or by a strange log is bounded: tables, savepoints, settings in front of a statement,
//! holes in a set of GTIDs.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::process::peak_kib;
use std::fs::File;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::path::PathBuf;

/// A binlog made by hand behind the magic bytes and the format description of a MySQL 9.7 server, with its checksums.
struct Log {
    out: BufWriter<File>,
    path: PathBuf,
    pos: u32,
}

const QUERY: u8 = 2;
const INTVAR: u8 = 5;
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS: u8 = 30;

impl Log {
    fn new(home: &Fountain) -> Log {
        let fixture = include_bytes!("fixtures/binlog/mysql97_full.bin");
        let end = 4 + u32::from_le_bytes(fixture[13..17].try_into().unwrap());
        let path = home.home().join("binlog.000001");
        let mut out = BufWriter::new(File::create(&path).unwrap());
        out.write_all(&fixture[..end as usize]).unwrap();
        Log { out, path, pos: end }
    }

    fn event(&mut self, kind: u8, body: &[u8]) {
        let size = 19 + body.len() as u32 + 4;
        self.pos += size;
        let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
        event.push(kind);
        event.extend_from_slice(&97_u32.to_le_bytes());
        event.extend_from_slice(&size.to_le_bytes());
        event.extend_from_slice(&self.pos.to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        let crc = crc32fast::hash(&event);
        self.out.write_all(&event).and_then(|()| self.out.write_all(&crc.to_le_bytes())).unwrap();
    }

    fn query(&mut self, sql: &str) {
        // thread, seconds, length of the database, error, length of the status variables; database and its zero; text
        let body = [&[0; 8][..], &[1], &[0; 2], &[0; 2], b"d\0", sql.as_bytes()].concat();
        self.event(QUERY, &body);
    }

    /// One row of zeros in a table of TINYINT columns.
    fn row(&mut self, table_id: u32, columns: u16) {
        let id = [&table_id.to_le_bytes()[..], &[0; 2]].concat();
        let width = [&[0xfc][..], &columns.to_le_bytes()].concat();
        let bits = vec![0; usize::from(columns).div_ceil(8)];
        let name = format!("t{table_id}");
        let name = [&[name.len() as u8], name.as_bytes(), b"\0"].concat();
        let types = vec![1; usize::from(columns)];
        self.event(TABLE_MAP, &[&id, &[0; 2][..], b"\x01d\0", &name, &width, &types, b"\0", &bits].concat());
        let held = vec![0xff; bits.len()];
        let values = vec![0; usize::from(columns)];
        self.event(WRITE_ROWS, &[&id, &[1, 0, 2, 0][..], &width, &held, &bits, &values].concat());
    }

    /// `fountain cat` of the file: how it ended, its lines, and the most memory that it had while it wrote them, in KiB.
    fn cat(mut self, home: &Fountain) -> (Output, usize, u64) {
        self.out.flush().unwrap();
        let (run, mut stdout) =
            home.spawn_unread(&["cat", "-D", "statement_dml=deliver", self.path.to_str().unwrap()]);
        let (mut lines, mut peak, mut chunk) = (0, 0, vec![0; 64 * 1024]);
        loop {
            let read = stdout.read(&mut chunk).unwrap();
            peak = peak_kib(run.pid()).unwrap_or(peak);
            lines += chunk[..read].iter().filter(|byte| **byte == b'\n').count();
            if read == 0 {
                return (run.wait(PATIENCE), lines, peak);
            }
        }
    }
}

/// 1000 tables of 4096 columns, each in a transaction of its own: four million columns.
#[test]
fn wide_tables_do_not_pile_up() {
    let home = Fountain::new();
    let mut log = Log::new(&home);
    for table in 0..1000 {
        log.query("BEGIN");
        log.row(table + 1, 4096);
        log.event(XID, &[7; 8]);
    }
    let (output, lines, peak) = log.cat(&home);
    assert_eq!((output.code, lines), (0, 1000), "{}", output.stderr.lines().last().unwrap_or(""));
    println!("{peak} KiB at most");
    assert!(peak < 300 * 1024, "{peak} KiB");
}

/// Half a million savepoints in one transaction, each of another name.
#[test]
fn savepoints_do_not_pile_up() {
    let home = Fountain::new();
    let mut log = Log::new(&home);
    log.query("BEGIN");
    log.row(1, 8);
    for number in 0..500_000 {
        log.query(&format!("SAVEPOINT `sp_{number:09}_{}`", "x".repeat(40)));
    }
    log.query("ROLLBACK TO `sp_000000001`");
    log.event(XID, &[7; 8]);
    let (output, lines, peak) = log.cat(&home);
    println!("{peak} KiB at most");
    // The one that is gone back to is among those given up: that is told, and nothing is made up.
    assert_eq!((output.code, lines), (1, 1), "{}", output.stderr);
    assert!(
        output.stderr.contains("UNSUPPORTED") && output.stderr.contains("ROLLBACK TO"),
        "{}",
        output.stderr
    );
    assert!(peak < 128 * 1024, "{peak} KiB");
}

/// Settings that no statement follows.
#[test]
fn settings_do_not_pile_up() {
    let home = Fountain::new();
    let mut log = Log::new(&home);
    log.query("BEGIN");
    for number in 0..100_000_u64 {
        log.event(INTVAR, &[&[2][..], &number.to_le_bytes()].concat());
    }
    let (output, lines, _) = log.cat(&home);
    assert_eq!((output.code, lines), (1, 0), "{}", output.stderr);
    assert!(output.stderr.contains("BAD_EVENT") && output.stderr.contains("settings"), "{}", output.stderr);
}

/// A hundred thousand holes: every point and every pack's header tells them all.
#[test]
fn a_set_with_many_holes_needs_little_memory() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let holes: String = (0..100_000).map(|number| format!(":{}", 2 * number + 1)).collect();
    let set = format!("11111111-2222-3333-4444-555555555555{holes}");
    server.sql(&format!(
        "SET GLOBAL gtid_purged='+{set}'; CREATE DATABASE d; CREATE TABLE d.t (id int PRIMARY KEY)"
    ));
    let rows: String = (0..50).map(|id| format!("INSERT INTO d.t VALUES ({id});")).collect();
    server.sql(&rows);
    let home = Fountain::new();
    let conf = home.write("set.properties", &format!("mysql_binlogdump_gtidset={set}\n"));
    let mut arguments = run_arguments(&home, &server, &keys(&["dispatch_ddl=none", "pack_max_bytes=4096"]));
    arguments.extend(["--conf".to_owned(), conf.to_str().unwrap().to_owned()]);
    let mut run = home.spawn(&arguments);
    let folder = home.home().join("data");
    run.wait_for("all rows", PATIENCE, |_| data(&folder).lines().count() == 50);
    let peak = peak_kib(run.pid()).expect("the process runs");
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr.lines().last().unwrap_or(""));
    println!("{peak} KiB at most");
    assert!(peak < 100 * 1024, "{peak} KiB");
}
