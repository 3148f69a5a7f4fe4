//! Every character set, on every server: what fountain delivers is `CONVERT(… USING utf8mb4)`, and bytes for which the
//! server has no character come as base64.

mod harness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fountain::column::Charset;
use harness::Kind;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::row_lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

const SERVERS: &[(Kind, &[&str])] = &[
    (Kind::Mysql56, &[]),
    (Kind::Mysql97, &["--binlog-row-metadata=FULL"]),
    (Kind::Mariadb, &["--binlog-row-metadata=FULL"]),
    (Kind::Mariadb118, &[]),
];

const EAST_ASIAN: &[&str] =
    &["big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis"];
const UNICODE: &[&str] = &["ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4"];
/// Printed with every failure.
const SEED: u64 = 20_240_229;
const STRINGS: usize = 10_000;
/// Rows of one INSERT.
const AT_ONCE: usize = 500;

/// A column whose name is its character set's, as the server sees one of its values.
struct Told {
    bytes: Vec<u8>,
    /// In UTF-8. MySQL 9.7 says NULL to surrogates in ucs2.
    converted: Option<Vec<u8>>,
}

/// The sets among `names` that the server has; 5.6 calls utf8mb3 by its old name, which all servers understand.
fn sets_of(server: &Server, names: &[&'static str]) -> Vec<&'static str> {
    let known: Vec<String> = server
        .select("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .map(|name| if name == "utf8" { "utf8mb3".to_owned() } else { name })
        .collect();
    names.iter().copied().filter(|name| known.iter().any(|known| known == name)).collect()
}

fn create_table(server: &Server, table: &str, sets: &[&str]) {
    let columns: Vec<String> = sets
        .iter()
        .map(|set| {
            format!("`{set}` VARCHAR(60) CHARACTER SET {}", if *set == "utf8mb3" { "utf8" } else { set })
        })
        .collect();
    server.sql(&format!(
        "CREATE DATABASE IF NOT EXISTS chars; CREATE TABLE chars.{table} (id INT PRIMARY KEY, {}) ENGINE=InnoDB",
        columns.join(",")
    ));
}

/// Inserts rows of bytes: whatever of them a server finds not well formed it changes itself (`IGNORE`).
fn insert(server: &Server, table: &str, rows: &[Vec<Vec<u8>>]) {
    let mut session = server.session();
    session.sql("SET sql_mode='', max_error_count=0");
    for (chunk, rows) in rows.chunks(AT_ONCE).enumerate() {
        let mut sql = format!("INSERT IGNORE INTO chars.{table} VALUES ");
        for (row, values) in rows.iter().enumerate() {
            write!(sql, "{}({}", if row == 0 { "" } else { "," }, chunk * AT_ONCE + row).expect("a string");
            for value in values {
                sql.push_str(",X'");
                value.iter().for_each(|byte| write!(sql, "{byte:02X}").expect("a string"));
                sql.push('\'');
            }
            sql.push(')');
        }
        session.sql(&sql);
    }
}

/// What the server itself says about every value of a table, by id.
fn ask(server: &Server, table: &str, sets: &[&str]) -> BTreeMap<i64, Vec<Told>> {
    let asked: Vec<String> = sets
        .iter()
        .map(|set| format!("CAST(`{set}` AS BINARY),CAST(CONVERT(`{set}` USING utf8mb4) AS BINARY)"))
        .collect();
    let rows = server.session().try_select(&format!("SELECT id,{} FROM chars.{table}", asked.join(",")));
    let rows = rows.unwrap_or_else(|error| panic!("{error}"));
    rows.into_iter()
        .map(|row| {
            let mut cells = row.into_iter();
            let id = String::from_utf8(cells.next().flatten().expect("an id")).expect("digits");
            let mut told = Vec::new();
            while let (Some(bytes), Some(converted)) = (cells.next(), cells.next()) {
                told.push(Told { bytes: bytes.expect("no value is NULL"), converted });
            }
            (id.parse().expect("a number"), told)
        })
        .collect()
}

/// How many characters of a text are U+003F or U+FFFD; the server puts the first, or the second, for what it has no
/// character for.
fn marks_in_bytes(set: &str, bytes: &[u8]) -> usize {
    let units = |size: usize, marks: &[&[u8]]| bytes.chunks(size).filter(|unit| marks.contains(unit)).count();
    match set {
        "ucs2" | "utf16" => units(2, &[b"\0?", b"\xff\xfd"]),
        "utf16le" => units(2, &[b"?\0", b"\xfd\xff"]),
        "utf32" => units(4, &[b"\0\0\0?", b"\0\0\xff\xfd"]),
        "utf8mb3" | "utf8mb4" => marks_in_utf8(bytes),
        // U+FFFD is 0x8431A437. In no other set does a byte 0x3F belong to a longer character.
        "gb18030" => units(1, &[b"?"]) + bytes.windows(4).filter(|code| *code == b"\x84\x31\xa4\x37").count(),
        _ => units(1, &[b"?"]),
    }
}

fn marks_in_utf8(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).chars().filter(|character| matches!(character, '?' | '\u{fffd}')).count()
}

/// The delivered value is the server's text where every character of it is known, else the column's bytes.
fn check(set: &str, told: &Told, delivered: &Value) -> Result<bool, String> {
    let text = told.converted.as_ref().and_then(|converted| std::str::from_utf8(converted).ok());
    let exact = text.filter(|text| marks_in_utf8(text.as_bytes()) == marks_in_bytes(set, &told.bytes));
    let fits = match exact {
        Some(text) => delivered.as_str() == Some(text),
        None => {
            let base64 = delivered.as_object().filter(|object| object.len() == 1);
            let base64 = base64.and_then(|object| object.get("$base64")).and_then(Value::as_str);
            base64.and_then(|text| STANDARD.decode(text).ok()).as_ref() == Some(&told.bytes)
        }
    };
    match fits {
        true => Ok(exact.is_some()),
        false => Err(format!(
            "{set} {:02x?}: the server says {:02x?}, delivered {delivered}",
            told.bytes, told.converted
        )),
    }
}

/// Compares the inserted rows of a table; for each set, how many values came as text and how many as bytes.
fn compare(
    kind: Kind,
    lines: &[Value],
    table: &str,
    sets: &[&str],
    told: &BTreeMap<i64, Vec<Told>>,
) -> Vec<(usize, usize)> {
    let mut counts = vec![(0, 0); sets.len()];
    let mut wrong = Vec::new();
    let lines = row_lines(lines, "chars", table);
    for line in &lines {
        let told = &told[&line["after"]["id"].as_i64().expect("an id")];
        for ((set, told), count) in sets.iter().zip(told).zip(&mut counts) {
            match check(set, told, &line["after"][*set]) {
                Ok(true) => count.0 += 1,
                Ok(false) => count.1 += 1,
                Err(difference) => wrong.push(difference),
            }
        }
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{kind} {table}, seed {SEED}: {} values differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert_eq!(lines.len(), told.len(), "{kind} {table}");
    counts
}

/// All single-byte sets of the servers.
fn single_byte_sets() -> Vec<&'static str> {
    Charset::ALL
        .iter()
        .filter(|set| set.max_bytes() == 1 && **set != Charset::Binary)
        .map(|set| set.name())
        .collect()
}

fn every_byte(server: &Server, sets: &[&'static str]) {
    create_table(server, "bytes", sets);
    let rows: Vec<_> = (0..=255_u8).map(|byte| vec![vec![byte]; sets.len()]).collect();
    insert(server, "bytes", &rows);
}

/// One, two and three bytes (0x8F or 0x8E first); no set has others but gb18030's of four.
fn every_code() -> Vec<Vec<u8>> {
    let high = || 0x80..=0xff_u8;
    let one = (0..=0xff_u8).map(|byte| vec![byte]);
    let two = high().flat_map(|lead| (0..=0xff_u8).map(move |trail| vec![lead, trail]));
    let three = high().flat_map(|lead| (0xa0..=0xff_u8).map(move |trail| vec![0x8f, lead, trail]));
    one.chain(two).chain(three).collect()
}

/// The codes that were accepted as they are, of each set: those with a character, and those without.
fn accepted(codes: &[Vec<u8>], told: &BTreeMap<i64, Vec<Told>>, set: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let kept = codes.iter().zip(told.values()).filter(|(code, told)| told[set].bytes == **code);
    let marked = |told: &Told| told.converted.as_ref().is_none_or(|converted| marks_in_utf8(converted) > 0);
    let (without, with): (Vec<_>, Vec<_>) =
        kept.partition(|(code, told)| marked(&told[set]) && **code != b"?");
    let codes =
        |pairs: Vec<(&Vec<u8>, &Vec<Told>)>| pairs.into_iter().map(|(code, _)| code.clone()).collect();
    (codes(with), codes(without))
}

/// xorshift64*: the same strings in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    /// Any scalar value, small ones more often; now and then a surrogate or what lies behind Unicode.
    fn code_point(&mut self) -> u32 {
        let limit = *self.one_of(&[0x80, 0x800, 0x1_0000, 0x11_0000]);
        match self.below(100) {
            0 => 0xd800 + self.below(0x800) as u32,
            1 => 0x11_0000 + self.below(0x100) as u32,
            _ => self.below(limit) as u32,
        }
    }
}

/// A string of a set whose codes are known: 8 in 10 of characters alone, 1 with codes without a character, 1 with any bytes.
fn random_string(
    random: &mut Random,
    (with, without): &(Vec<Vec<u8>>, Vec<Vec<u8>>),
    four_bytes: bool,
) -> Vec<u8> {
    let kind = random.below(10);
    let mut string = Vec::new();
    for _ in 0..random.below(13) {
        match random.below(8) {
            0 | 1 => string.push(random.below(0x80) as u8),
            2 if kind == 8 && !without.is_empty() => string.extend(random.one_of(without)),
            2 if kind == 9 => string.push(random.byte()),
            3 if four_bytes => {
                let [a, c] = [0; 2].map(|_| 0x81 + random.below(126) as u8);
                let [b, d] = [0; 2].map(|_| b'0' + random.below(10) as u8);
                string.extend([a, b, c, d]);
            }
            _ => string.extend(random.one_of(with)),
        }
    }
    string
}

fn random_unicode(random: &mut Random, set: &str) -> Vec<u8> {
    let mut string = Vec::new();
    for _ in 0..random.below(13) {
        let limit = if set == "ucs2" && random.below(50) > 0 { 0xd800 } else { u32::MAX };
        let code = random.code_point() % limit;
        let mut units = [0; 2];
        let utf16 = match char::from_u32(code) {
            Some(character) => character.encode_utf16(&mut units),
            None => {
                units[0] = code as u16;
                &mut units[..1]
            }
        };
        match set {
            "utf32" => string.extend(code.to_be_bytes()),
            "utf16le" => utf16.iter().for_each(|unit| string.extend(unit.to_le_bytes())),
            "ucs2" | "utf16" => utf16.iter().for_each(|unit| string.extend(unit.to_be_bytes())),
            _ => match char::from_u32(code) {
                Some(character) => string.extend(character.to_string().as_bytes()),
                None => string.push(random.byte()),
            },
        }
    }
    // The server fills up what is missing of the first character.
    if random.below(50) == 0 {
        string.pop();
    }
    string
}

fn every_charset(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    let single = sets_of(&server, &single_byte_sets());
    assert!(single.len() == 25, "{kind}: {single:?}");
    every_byte(&server, &single);

    let multi = sets_of(&server, EAST_ASIAN);
    assert_eq!(multi.len(), if kind == Kind::Mysql97 { 9 } else { 8 }, "{kind}: {multi:?}");
    create_table(&server, "codes", &multi);
    let codes = every_code();
    let rows: Vec<_> = codes.iter().map(|code| vec![code.clone(); multi.len()]).collect();
    insert(&server, "codes", &rows);
    let told_codes = ask(&server, "codes", &multi);

    let mut random = Random(SEED);
    let unicode = sets_of(&server, UNICODE);
    assert_eq!(unicode.len(), UNICODE.len(), "{kind}");
    let both = [multi.clone(), unicode].concat();
    create_table(&server, "strings", &both);
    let accepted: Vec<_> = (0..multi.len()).map(|set| accepted(&codes, &told_codes, set)).collect();
    let string = |random: &mut Random, (place, set): (usize, &&str)| match accepted.get(place) {
        Some(codes) => random_string(random, codes, *set == "gb18030"),
        None => random_unicode(random, set),
    };
    let rows: Vec<Vec<_>> =
        (0..STRINGS).map(|_| both.iter().enumerate().map(|set| string(&mut random, set)).collect()).collect();
    insert(&server, "strings", &rows);

    let lines = Delivered::run_until_end(&server, &["-D", "start_without_point=beginning"]).lines;
    for (table, sets) in [("bytes", &single), ("codes", &multi), ("strings", &both)] {
        let told = ask(&server, table, sets);
        let counts = compare(kind, &lines, table, sets, &told);
        for (set, (texts, bytes)) in sets.iter().zip(counts) {
            assert!(texts >= told.len() / 3, "{kind} {table} {set}: {texts} texts, {bytes} as bytes");
            // Otherwise this would not show that what has no character comes as bytes.
            let complete = table != "strings" || set.starts_with("utf");
            assert!(complete || bytes > 0, "{kind} {table} {set}: nothing came as bytes");
        }
    }
}

#[test]
fn every_charset_mysql56() {
    every_charset(SERVERS[0].0, SERVERS[0].1);
}

#[test]
fn every_charset_mysql97() {
    every_charset(SERVERS[1].0, SERVERS[1].1);
}

#[test]
fn every_charset_mariadb() {
    every_charset(SERVERS[2].0, SERVERS[2].1);
}

#[test]
fn every_charset_mariadb118() {
    every_charset(SERVERS[3].0, SERVERS[3].1);
}
