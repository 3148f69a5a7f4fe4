//! Character sets, texts that fit them, labels, JSON documents, and names.

use super::literal;
use super::types::chance;
use super::types::pick;
use super::types::random;
use crate::harness::Session;
use crate::harness::shapes::Dice;

/// A character set and a collation of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Charset {
    pub name: String,
    pub collation: String,
}

/// Characters of a set, by how its name begins; of the others only ASCII is used, and bytes.
const CHARACTERS: &[(&str, &str)] = &[
    ("utf8mb4", "aZéßжЖ日本語€😀𝄞ﷺ\u{7f}\u{80}\u{ffff}\u{10ffff}İıſ"),
    ("utf16", "aZéж日€😀𝄞\u{e000}\u{ffff}"),
    ("utf32", "aZéж日€😀𝄞\u{10ffff}"),
    ("utf8", "aZéßжЖ日本語€\u{ffff}"),
    ("ucs2", "aZéж日本€\u{ffff}"),
    ("latin1", "aZéßñÿ€Š"),
    ("latin2", "aZłóđźŽ"),
    ("latin5", "aZğİış"),
    ("latin7", "aZąčęž"),
    ("cp1250", "aZłóźŽ€"),
    ("cp1251", "aZжЖЫё€"),
    ("cp1256", "aZعربي"),
    ("cp1257", "aZąčęž"),
    ("cp850", "aZéß½"),
    ("cp852", "aZłóź"),
    ("cp866", "aZжЖЫё"),
    ("cp932", "aZ日本ｱ①髙"),
    ("eucjpms", "aZ日本ｱ①"),
    ("ujis", "aZ日本ｱ"),
    ("sjis", "aZ日本ｱ"),
    ("gbk", "aZ你好镕"),
    ("gb2312", "aZ你好"),
    ("gb18030", "aZ你好😀𠮷"),
    ("big5", "aZ你好"),
    ("euckr", "aZ한글"),
    ("koi8r", "aZжЖЫё"),
    ("koi8u", "aZжЖїє"),
    ("greek", "aZαΩ"),
    ("hebrew", "aZשל"),
    ("tis620", "aZไทย"),
    ("armscii8", "aZԱբ"),
    ("geostd8", "aZაბ"),
    ("macce", "aZłóź"),
    ("macroman", "aZéß√"),
    ("keybcs2", "aZčďž"),
    ("hp8", "aZéß"),
    ("dec8", "aZéß"),
];

impl Charset {
    pub fn utf8mb4() -> Charset {
        Charset { name: "utf8mb4".to_owned(), collation: "utf8mb4_bin".to_owned() }
    }

    /// All that a server has, with every one of their collations.
    pub fn all(session: &mut Session) -> Vec<Charset> {
        let rows = session.select(
            "SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS ORDER BY 1,2",
        );
        let sets = rows.into_iter().filter_map(|row| {
            let [name, collation] = <[_; 2]>::try_from(row).expect("two were asked for");
            // Collations of no certain set, UCA 14 of MariaDB: the table's set has them under its own name.
            Some(Charset { name: name?, collation: collation? })
        });
        // latin2_czech_cs knows no control characters of latin2 beyond ASCII (README).
        sets.filter(|set| set.name != "binary" && set.collation != "latin2_czech_cs").collect()
    }

    pub fn clause(&self) -> String {
        format!("CHARACTER SET {} COLLATE {}", self.name, self.collation)
    }

    pub fn one_code_each(&self) -> bool {
        literal::has_one_code_each(&self.name)
    }

    fn characters(&self) -> Vec<char> {
        let of_set = CHARACTERS.iter().find(|(name, _)| self.name.starts_with(name));
        of_set.map_or("aZ", |(_, characters)| characters).chars().collect()
    }
}

/// A text as SQL: what is plain is readable, what is not is hex.
pub fn quoted(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || " ,.:{}[]\"_-".contains(c)) {
        return format!("'{text}'");
    }
    // A label cannot be given in hex.
    if !text.chars().any(|c| c.is_control() || c == '\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    literal::text(text)
}

pub fn value(set: &Charset, length: u64, dice: &mut Dice) -> String {
    let characters = set.characters();
    let any = |dice: &mut Dice, count: u64| {
        (0..count).map(|_| characters[dice.roll(characters.len() as u64) as usize]).collect::<String>()
    };
    match dice.roll(12) {
        0 => "''".to_owned(),
        1 => format!("REPEAT({},{length})", quoted(&any(dice, 1))),
        2 => quoted(&(any(dice, length.min(2)) + "  ")),
        3 => literal::text(pick(
            dice,
            &["'", "\\", "\"", "\0", "\t\n\r", "%_", "\\0", "NULL", "a\u{8}b", "{\"$base64\":\"\"}"],
        )),
        // Bytes, well formed or not: the server takes what it takes.
        4 => {
            let count = 1 + dice.roll(length.clamp(1, 6));
            let bytes: Vec<u8> = (0..count).map(|_| random(dice) as u8).collect();
            format!("x'{}'", literal::hex(&bytes))
        }
        5 => pick(dice, &["'1'", "'0'", "'-0.5'", "'2024-02-29'", "'12:00:00'"]).to_owned(),
        _ => {
            let count = 1 + dice.roll(length.clamp(1, 12));
            quoted(&any(dice, count))
        }
    }
}

/// Labels that no collation of the set takes for the same; the comma is for ENUM alone.
pub fn labels(set: &Charset, comma: bool) -> Vec<String> {
    let mut labels: Vec<String> = ["x", "y y", "it's", "q\"z", "1", "w`"].map(str::to_owned).to_vec();
    if comma {
        labels[2] = "a,b".to_owned();
    }
    let own = set.characters();
    // The sixth is a letter of the set's own where there is one.
    if let Some(letter) = own.get(5) {
        labels.insert(1, letter.to_string());
    }
    labels
}

/// A JSON document as text; never `null` by itself, which a line does not tell from SQL NULL.
pub fn document(dice: &mut Dice, depth: u64) -> String {
    match dice.roll(if depth > 2 { 8 } else { 12 }) {
        0 if depth > 0 => "null".to_owned(),
        0 | 1 => pick(dice, &["true", "false"]).to_owned(),
        2 => int(64, dice),
        3 => int(16, dice),
        4 => pick(dice, &["1.5", "-0.25", "1e100", "0.1", "2.2250738585072014e-308", "1.0", "100.0"])
            .to_owned(),
        5 => "\"\"".to_owned(),
        6 => format!(
            "\"{}\"",
            pick(
                dice,
                &["a", "ж", "😀", "\\\"", "\\\\", "\\u0000", "\\n\\t", "/", "$base64", "x,y", "\u{7f}"]
            )
        ),
        7 => format!("\"{}\"", "long ".repeat(dice.roll(60) as usize)),
        8 | 9 => {
            let items: Vec<String> = (0..dice.roll(5)).map(|_| document(dice, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let members: Vec<String> = (0..dice.roll(5))
                .map(|at| {
                    let name = pick(dice, &["a", "b", "", "ключ", "$base64", "a.b", "k\\\"", "x y"]);
                    format!(
                        "\"{name}{}\":{}",
                        if at == 0 { String::new() } else { at.to_string() },
                        document(dice, depth + 1)
                    )
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn int(bits: u32, dice: &mut Dice) -> String {
    let any = (random(dice) >> (64 - bits)) as i64;
    pick(
        dice,
        &[0, 1, -1, any, -any.saturating_abs(), i64::MAX, i64::MIN, 32767, 32768, -32769, 65536, 2147483648],
    )
    .to_string()
}

/// A document of MySQL: as text, or made of what only the server has types for.
pub fn json(dice: &mut Dice) -> String {
    match dice.roll(8) {
        0 => "JSON_OBJECT('d',CAST('2024-02-29' AS DATE),'t',CAST('-12:34:56.5' AS TIME(1)),'dt',CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)))".to_owned(),
        1 => "JSON_ARRAY(18446744073709551615,CAST(1.5 AS DECIMAL(5,1)),CAST(x'00ff' AS BINARY))".to_owned(),
        2 => format!("JSON_OBJECT('a',REPEAT('x',{}),'b',JSON_ARRAY(1,2,3))", dice.roll(3000)),
        _ => literal::text(&document(dice, 0)),
    }
}

/// A name for a column or a table, made unlike others by the number. Names with characters beyond U+FFFF are none.
pub fn name(dice: &mut Dice, number: u64) -> String {
    let base = pick(
        dice,
        &[
            "c", "c", "a b", "q`t", "d.t", "select", "ünï", "'x'", "\"y\"", "日本", "$v", "%", "#c", "-- ",
            "/*n*/", "\\", ";", "KEY", "@1", "x\ny",
        ],
    );
    let long = if chance(dice, 20) { "l".repeat(50) } else { String::new() };
    format!("{base}{long}{number}")
}
