//! Rows as a server's own reader prints them (`mysqlbinlog -vv`), and whether `fountain cat`, told no definitions either, has
//! read the same values out of the same files.

use super::Kind;
use super::delivered::Delivered;
use super::scripts;
use base64::Engine as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A printed value and the type that stands behind it: `-1 (255)`, `TINYINT`.
#[derive(Debug, Clone)]
struct Printed {
    text: Vec<u8>,
    kind: String,
}

/// Columns by their number, from 1.
type Image = BTreeMap<usize, Printed>;

#[derive(Debug)]
struct LoggedRow {
    op: &'static str,
    /// `database.table`.
    table: String,
    before: Option<Image>,
    after: Option<Image>,
    /// The reader has given up inside of it: MySQL's does at GEOMETRY and VECTOR.
    cut: bool,
}

/// How many values were compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Compared {
    pub rows: usize,
    pub values: usize,
}

/// Compares every value of every row in these files.
#[track_caller]
pub fn assert_same_values(kind: Kind, files: &[&Path]) -> Compared {
    let reader = kind.mysqlbinlog().1;
    let printed = read(reader, files).unwrap_or_else(|| panic!("{reader} does not read {files:?}"));
    let cat = Delivered::cat(files, &[]);
    compare(reader, &printed, &cat.lines)
}

/// As `assert_same_values`, of one file and lines that are there; none where the reader gives up.
#[track_caller]
pub fn same_values(reader: &str, file: &Path, lines: &[Value]) -> Option<Compared> {
    read(reader, &[file]).map(|printed| compare(reader, &printed, lines))
}

#[track_caller]
fn compare(reader: &str, printed: &[LoggedRow], lines: &[Value]) -> Compared {
    let lines: Vec<&Value> = lines
        .iter()
        .filter(|line| matches!(line["op"].as_str(), Some("insert" | "update" | "delete")))
        .collect();
    assert_eq!(printed.len(), lines.len(), "rows of {reader} and of cat");
    let mut compared = Compared { rows: lines.len(), values: 0 };
    for (row, line) in printed.iter().zip(lines) {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        let named = format!("{}.{}", text("database"), text("table"));
        assert_eq!((row.op, row.table.as_str()), (text("op"), named.as_str()), "{line}");
        for (image, name) in [(&row.before, "before"), (&row.after, "after")] {
            let ours = line.get(name).and_then(Value::as_object);
            assert!(image.is_some() == ours.is_some() || row.cut, "{name} of {line}");
            let (Some(image), Some(ours)) = (image, ours) else { continue };
            assert!(row.cut || image.len() == ours.len(), "columns of {name}: {row:?}\n{line}");
            for (column, printed) in image {
                let ours = &ours[&format!("@{column}")];
                let same = is_same(reader, printed, ours);
                let shown = String::from_utf8_lossy(&printed.text);
                assert!(
                    same.unwrap_or(true),
                    "@{column} of {name}: {reader} has {shown} ({}), cat {ours}: {line}",
                    printed.kind
                );
                compared.values += usize::from(same.is_some());
            }
        }
    }
    compared
}

// ---------------------------------------------------------------------------------------------------------- the reader

fn read(reader: &str, files: &[&Path]) -> Option<Vec<LoggedRow>> {
    let output = Command::new(scripts::program(reader))
        .args(["-vv", "--base64-output=DECODE-ROWS"])
        .args(files)
        .env("TZ", "UTC")
        .output()
        .expect("cannot start a mysqlbinlog");
    // It may tell an error and exit with 0.
    let complained = String::from_utf8_lossy(&output.stderr).contains("ERROR");
    (output.status.success() && !complained).then(|| rows(&output.stdout))
}

fn rows(output: &[u8]) -> Vec<LoggedRow> {
    let mut rows: Vec<LoggedRow> = Vec::new();
    let mut in_after = false;
    for line in output.split(|byte| *byte == b'\n') {
        let Some(told) = line.strip_prefix(b"### ") else { continue };
        if let Some(row) = head(told) {
            rows.push(row);
        } else if told == b"WHERE" || told == b"SET" {
            in_after = told == b"SET";
            let row = rows.last_mut().expect("a row");
            *(if in_after { &mut row.after } else { &mut row.before }) = Some(Image::new());
        } else if let Some(told) = told.strip_prefix(b"  @") {
            let row = rows.last_mut().expect("a row");
            match column(told) {
                Some((number, printed)) => {
                    let image = if in_after { &mut row.after } else { &mut row.before };
                    image.as_mut().expect("an image").insert(number, printed);
                }
                None => row.cut = true,
            }
        }
    }
    rows
}

/// ``INSERT INTO `d`.`t` ``
fn head(told: &[u8]) -> Option<LoggedRow> {
    let told = std::str::from_utf8(told).ok()?;
    let (op, table) = [("INSERT INTO ", "insert"), ("UPDATE ", "update"), ("DELETE FROM ", "delete")]
        .into_iter()
        .find_map(|(head, op)| Some((op, told.strip_prefix(head)?)))?;
    let (database, table) = table.trim().split_once("`.`")?;
    let bare = |name: &str| name.trim_matches('`').replace("``", "`");
    let table = format!("{}.{}", bare(database), bare(table));
    Some(LoggedRow { op, table, before: None, after: None, cut: false })
}

/// `2=-1 (255) /* TINYINT meta=0 nullable=1 is_null=0 */`; none where it does not know the type.
fn column(told: &[u8]) -> Option<(usize, Printed)> {
    let equals = told.iter().position(|byte| *byte == b'=')?;
    let number = std::str::from_utf8(&told[..equals]).ok()?.parse().ok()?;
    let rest = &told[equals + 1..];
    let comment = rest.windows(4).rposition(|window| window == b" /* ")?;
    let kind = std::str::from_utf8(&rest[comment + 4..]).ok()?;
    let kind = kind.split_once(" meta=")?.0.to_owned();
    Some((number, Printed { text: rest[..comment].to_vec(), kind }))
}

// ------------------------------------------------------------------------------------------------------------ values

/// None where the two cannot be compared.
fn is_same(reader: &str, printed: &Printed, ours: &Value) -> Option<bool> {
    if printed.text == b"NULL" {
        return Some(ours.is_null());
    }
    // MariaDB's reader shows such columns as they are stored.
    if printed.kind.ends_with(" COMPRESSED") {
        return None;
    }
    let kind = printed.kind.split(['(', ' ']).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&printed.text);
    let text = text.trim();
    Some(match kind {
        // Signed, and unsigned behind it where that differs: newer logs tell which, and the reader does not heed it.
        "TINYINT" | "SHORTINT" | "MEDIUMINT" | "INT" | "LONGINT" | "ENUM" => {
            let ours = number(ours)?;
            text.split(' ').any(|theirs| theirs.trim_matches(['(', ')']) == ours)
        }
        // 0000 is 0 for the server and for us.
        "YEAR" => Some(if text == "1900" { "0" } else { text }) == number(ours).as_deref(),
        "BIT" | "SET" => {
            let digits = text.trim_start_matches("b'").trim_end_matches('\'');
            u64::from_str_radix(digits, 2).ok().map(|bits| bits.to_string()) == number(ours)
        }
        // Theirs has six digits.
        "FLOAT" => {
            let (theirs, ours) = (text.parse::<f64>().ok()?, f64::from(ours.as_f64()? as f32));
            (theirs - ours).abs() <= theirs.abs() * 5.1e-6
        }
        "DOUBLE" => text.parse::<f64>().ok()? == ours.as_f64()?,
        "DECIMAL" => ours == text,
        "DATE" => ours == unquoted(text).replace(':', "-").as_str(),
        "TIME" | "DATETIME" => ours == unquoted(text),
        "TIMESTAMP" => ours.as_str().is_some_and(|ours| is_same_moment(text, ours)),
        // A difference from the row before, not the document.
        "JSON" if text.starts_with("JSON_") => return None,
        "JSON" => {
            serde_json::from_slice::<Value>(&unescaped(&printed.text)).is_ok_and(|theirs| theirs == *ours)
        }
        "STRING"
        | "VARSTRING"
        | "BLOB/TEXT"
        | "TINYBLOB/TINYTEXT"
        | "MEDIUMBLOB/MEDIUMTEXT"
        | "LONGBLOB/LONGTEXT"
        | "GEOMETRY" => return is_same_text(reader, &printed.text, ours),
        other => panic!("{reader} prints a type that is not known here: {other}"),
    })
}

fn number(ours: &Value) -> Option<String> {
    ours.is_number().then(|| ours.to_string())
}

fn unquoted(text: &str) -> &str {
    text.trim_matches('\'')
}

fn is_same_text(reader: &str, printed: &[u8], ours: &Value) -> Option<bool> {
    let meant = meant(ours);
    if reader.starts_with("mariadb") {
        return Some(meant.iter().any(|bytes| escaped_by_mariadb(bytes) == printed));
    }
    // MySQL's logs tell character sets: ours is UTF-8 then, and theirs are the bytes of the column's set.
    let theirs = unescaped(printed);
    let same = meant.contains(&theirs);
    let other_set = theirs.contains(&0) || std::str::from_utf8(&theirs).is_err();
    (same || !other_set).then_some(same)
}

/// The bytes that a delivered text may stand for: itself, or what it is the base64 of; BINARY has its zero bytes again, which the
/// log leaves out.
fn meant(ours: &Value) -> Vec<Vec<u8>> {
    let text = ours.as_str().or_else(|| ours["$base64"].as_str()).unwrap_or_default();
    let mut meant: Vec<Vec<u8>> = ours.as_str().map(|text| text.as_bytes().to_vec()).into_iter().collect();
    if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text) {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        meant.extend([bytes[..end].to_vec(), bytes]);
    }
    meant
}

/// Seconds since 1970 against a text in `+00:00`.
fn is_same_moment(seconds: &str, ours: &str) -> bool {
    let (theirs, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (moment, our_fraction) = ours.split_once('.').unwrap_or((ours, ""));
    let theirs: i64 = theirs.parse().expect("seconds");
    let numbers: Vec<i64> =
        moment.split(['-', ' ', ':']).map(|number| number.parse().expect("a number")).collect();
    let [year, month, day, hour, minute, second] = numbers[..] else { panic!("a moment: {ours}") };
    let ours = match (year, month, day) {
        (0, 0, 0) => 0,
        _ => days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second,
    };
    theirs == ours && fraction == our_fraction
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1 - 719_468
}

/// What MySQL's reader has quoted, as bytes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text);
    let mut bytes = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        bytes.push(match rest.next().expect("something behind a backslash") {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'x' => {
                let digits = [*rest.next().expect("a digit"), *rest.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&digits).expect("ASCII"), 16).expect("two digits")
            }
            other => *other,
        });
    }
    bytes
}

/// MariaDB's reader leaves quotes and backslashes as they are: only this way round is it certain.
fn escaped_by_mariadb(bytes: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in bytes {
        match byte {
            0..=0x1f => text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}
