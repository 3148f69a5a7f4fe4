//! The binlogs of MariaDB's own test suite (Debian's `mariadb-test-data`), written by servers from MySQL 4.0 to MariaDB
//! 10.6: what the servers' own readers read, `cat` reads with the same rows; what cannot be read is refused by its code.

mod harness;

use harness::Kind;
use harness::Output;
use harness::delivered::PATIENCE;
use harness::delivered::parse;
use harness::logged_rows::same_values;
use harness::scripts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// What `cat` makes of a file, statements and all DDL delivered.
enum Expected {
    /// Read to its end: row changes, DDL lines, statement lines.
    Reads(usize, usize, usize),
    /// Refused with this code, a part of the message, and so many lines before it.
    Refuses(&'static str, &'static str, usize),
}
use Expected::Reads;
use Expected::Refuses;

/// Each file, and why it comes to that.
const FILES: &[(&str, Expected)] = &[
    // Nothing but a format description.
    ("binlog-header.binlog", Reads(0, 0, 0)),
    // MariaDB 10.2 with encrypt_binlog. mariadb-binlog says "Event decryption failure" and exits with 0.
    ("binlog_before_20574.bin", Refuses("ENCRYPTED", "encrypt_binlog", 0)),
    // A relay log of 5.1: three inserts as statements, between them SAVEPOINT and ROLLBACK TO.
    ("binlog_savepoint.000001", Reads(0, 0, 3)),
    // 5.0: positions inside of transactions count from their start.
    ("binlog_transaction.000001", Reads(0, 6, 4)),
    // A row event of 64 KiB, cut. mariadb-binlog complains and exits with 0.
    ("bug11747416_32228_binlog.000001", Refuses("TRUNCATED", "need 65567 bytes, have 7876", 1)),
    // 5.0, two statements of which one is DDL in the middle of nothing.
    ("bug16266.000001", Reads(0, 3, 1)),
    // A relay log of 5.0 without marks of one.
    ("bug33029-slave-relay-bin.000001", Reads(0, 9, 19)),
    // An INCIDENT_EVENT whose number no server knows.
    ("bug40482-bin.000001", Refuses("INCIDENT", "incident 66", 0)),
    // 4.1, 4.0: before 5.0 there was another format, and no row in it.
    ("bug47142_master-bin.000001", Refuses("UNSUPPORTED", "binlog version 3", 0)),
    ("master-bin.000001", Refuses("UNSUPPORTED", "binlog version 2", 0)),
    ("trunc_binlog.000001", Refuses("UNSUPPORTED", "binlog version 3", 0)),
    ("binlog_old_version_4_1.000001", Refuses("UNSUPPORTED", "binlog version 3", 0)),
    // A relay log of 5.0 with a broken event at 91204: all before it is delivered.
    ("corrupt-relay-bin.000624", Refuses("BAD_EVENT", ":91204: QUERY_EVENT: status variables", 281)),
    ("mariadb-5.5-binlog.000001", Reads(0, 1, 4)),
    // A GTID event that was broken on purpose; its checksum says so.
    ("mdev-39404-binlog.000001", Refuses("CHECKSUM", ":256: GTID_EVENT", 0)),
    // Google's 5.1 with longer headers, with checksums of its own behind the events, with both, and with none.
    ("mdev-4645-binlog_checksum.binlog", Reads(0, 2, 1)),
    ("mdev-4645-binlog_group_id.binlog", Reads(0, 2, 1)),
    ("mdev-4645-binlog_group_id_checksum.binlog", Reads(0, 2, 1)),
    ("mdev-4645-binlog_none.binlog", Reads(0, 2, 1)),
    // MariaDB 10.3, statements with system versioning.
    ("mdev29078-mysql-bin.000001", Reads(0, 1, 2)),
    // MySQL 8.0 with partial JSON and compressed transactions: mariadb-binlog gives up in the middle.
    ("mdev35643_mysql_80_binlog.000001", Reads(106, 2, 1)),
    // MariaDB 10.0, 8006 rows of tables without and with keys of each kind.
    ("mdev6020-mysql-bin.000001", Reads(8006, 41, 0)),
    // A sequence: its changes are rows of a table.
    ("master-bin-seq_10.3.36.000001", Reads(2, 2, 0)),
    ("mysql-5.7.11-stm-temporal-round-binlog.000001", Reads(0, 0, 1)),
    ("mysql-8.0.13-stm-temporal-round-binlog.000001", Reads(0, 0, 2)),
    // 5.1.15 and 5.1.17: row events from before 5.1 was done. mariadb-binlog lists them without a row.
    ("bug32407.001", Refuses("UNSUPPORTED", "MySQL 5.1.0 to 5.1.17", 1)),
    ("ver_5_1-telco.001", Refuses("UNSUPPORTED", "MySQL 5.1.0 to 5.1.17", 3)),
    ("ver_5_1_17.001", Refuses("UNSUPPORTED", "MySQL 5.1.0 to 5.1.17", 3)),
    // Row events with extra data that says it is shorter than it is, of tables that nothing introduces.
    ("invalid_row_v2_tag.001", Refuses("TABLE_MAP_MISSING", "table id 0", 0)),
    // MySQL Cluster: whole and partial row images.
    ("update-full-row.binlog", Reads(7, 0, 0)),
    ("update-partial-row.binlog", Reads(7, 0, 0)),
    ("write-full-row.binlog", Reads(7, 0, 0)),
    ("write-partial-row.binlog", Reads(7, 0, 0)),
    // The same work in row events of version 1 and 2: rows, statements, LOAD DATA of a large file.
    ("ver_5_1_23.001", Reads(5, 3, 6)),
    ("ver_trunk_row_v2.001", Reads(5, 3, 6)),
];

/// A server's own reader: its exit code and what it prints.
fn oracle(name: &str, file: &Path) -> Option<String> {
    let output = Command::new(scripts::program(name))
        .args(["-vv", "--base64-output=DECODE-ROWS"])
        .arg(file)
        .output()
        .expect("cannot start a mysqlbinlog");
    let complained = String::from_utf8_lossy(&output.stderr).contains("ERROR");
    (output.status.success() && !complained).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

type Counts = BTreeMap<(String, String), usize>;

/// Rows by operation and table, of `### INSERT INTO `db`.`table`` and its like.
fn rows_told(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines() {
        for (head, op) in
            [("### INSERT INTO ", "insert"), ("### UPDATE ", "update"), ("### DELETE FROM ", "delete")]
        {
            if let Some(table) = line.strip_prefix(head) {
                *counts.entry((op.to_owned(), table.trim().replace('`', ""))).or_default() += 1;
            }
        }
    }
    counts
}

fn rows_delivered(lines: &[Value]) -> Counts {
    let mut counts = Counts::new();
    for line in lines {
        if let Some(op @ ("insert" | "update" | "delete")) = line["op"].as_str() {
            let text = |field: &str| line[field].as_str().expect("a name").to_owned();
            let table = format!("{}.{}", text("database"), text("table"));
            *counts.entry((op.to_owned(), table)).or_default() += 1;
        }
    }
    counts
}

fn of<'a>(lines: &'a [Value], op: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["op"] == op).collect()
}

fn cat(file: &Path, keys: &[&str]) -> Output {
    let mut arguments = vec!["cat"];
    arguments.extend(keys.iter().flat_map(|key| ["-D", *key]));
    arguments.push(file.to_str().expect("UTF-8"));
    let output = harness::run_fountain(&arguments, PATIENCE);
    assert!(!output.stderr.contains("panicked"), "{}: {}", file.display(), output.stderr);
    output
}

/// The last line on stderr begins with a code.
fn assert_coded(file: &Path, output: &Output) {
    let last = output.stderr.lines().last().unwrap_or_default();
    let code = last.split([' ', ':']).next().unwrap_or_default();
    let coded = code.len() > 3 && code.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    assert!(output.code == 1 && coded, "{}: {} {}", file.display(), output.code, output.stderr);
}

/// Files below `folder` that begin as a binlog does.
fn binlogs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            binlogs(&path, found);
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"\xfebin")) {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn binlogs_of_mariadb_test_data() {
    let folder = match scripts::script(&["testdata"]) {
        Ok(folder) => folder,
        Err(why) => return harness::skip(&format!("no test data: {why}")),
    };
    for kind in [Kind::Mariadb, Kind::Mysql97] {
        if let Err(why) = scripts::get(kind) {
            return harness::skip(&why);
        }
    }
    let mut files = Vec::new();
    binlogs(Path::new(&folder), &mut files);
    let known = |file: &Path| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        FILES.iter().find(|(known, _)| *known == name).map(|(_, expected)| expected)
    };
    // Another version of the package may have some more, and lack some.
    assert!(files.iter().filter(|file| known(file).is_some()).count() > 30, "{files:?}");
    for file in &files {
        check(file, known(file));
    }
}

/// Value by value, where the log does not name its columns.
fn assert_same_values_of(file: &Path, lines: &[Value]) {
    let named = |line: &Value| {
        let image = line.get("after").or(line.get("before")).and_then(Value::as_object);
        image.is_some_and(|image| image.keys().any(|name| !name.starts_with('@')))
    };
    if !lines.iter().any(named) {
        let readers = ["mariadb-binlog", "mysqlbinlog-9.7"];
        let compared = readers.into_iter().find_map(|reader| same_values(reader, file, lines));
        assert!(compared.is_some(), "{}", file.display());
    }
}

fn check(file: &Path, expected: Option<&Expected>) {
    let shown = file.display();
    let output = cat(file, &["statement_dml=deliver", "dispatch_ddl=all"]);
    let lines = parse(&output.stdout);
    let (ddl, statements) = (of(&lines, "ddl"), of(&lines, "statement"));
    match expected {
        Some(Refuses(code, part, before)) => {
            assert_coded(file, &output);
            let last = output.stderr.lines().last().unwrap_or_default();
            assert!(last.starts_with(code) && last.contains(part), "{shown}: {last}");
            assert_eq!(lines.len(), *before, "{shown}: lines before it");
            return;
        }
        Some(Reads(rows, definitions, others)) => {
            assert_eq!(output.code, 0, "{shown}: {}", output.stderr);
            let told = (rows_delivered(&lines).values().sum::<usize>(), ddl.len(), statements.len());
            assert_eq!(told, (*rows, *definitions, *others), "{shown}");
        }
        // A file that is new in the package.
        None if output.code != 0 => return assert_coded(file, &output),
        None => {}
    }
    let told = oracle("mariadb-binlog", file).or_else(|| oracle("mysqlbinlog-9.7", file));
    let told = told.unwrap_or_else(|| panic!("{shown}: read by fountain, by no server"));
    assert_eq!(rows_delivered(&lines), rows_told(&told), "{shown}");
    assert_same_values_of(file, &lines);
    // LOAD DATA is printed with the name of a file that the reader has made.
    for line in ddl.iter().chain(&statements) {
        let sql = line["sql"].as_str().expect("a statement").trim();
        assert!(
            sql.starts_with("load data") || sql.starts_with("LOAD DATA") || told.contains(sql),
            "{shown}: {sql}"
        );
    }
    let default = cat(file, &["dispatch_ddl=all"]);
    match statements.is_empty() {
        true => assert_eq!(default.stdout, output.stdout, "{shown}"),
        false => {
            assert_coded(file, &default);
            assert!(
                default.stderr.lines().last().is_some_and(|last| last.starts_with("STATEMENT_DML ")),
                "{shown}"
            );
        }
    }
}
