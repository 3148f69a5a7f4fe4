//! Column types of random size, and values of them: edges first.

use super::texts;
use super::texts::Charset;
use crate::harness::Kind;
use crate::harness::shapes::Dice;

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Name, bits, unsigned.
    Int(&'static str, u32, bool),
    Bit(u64),
    Year,
    Float(String),
    Double(String),
    /// Precision, scale, unsigned.
    Decimal(u64, u64, bool),
    Date,
    /// Fraction digits.
    Time(u64),
    DateTime(u64),
    Timestamp(u64),
    /// Declaration without the character set, length in characters.
    Text(String, u64, Charset),
    /// Declaration, length in bytes.
    Bytes(String, u64),
    /// ENUM (true) or SET, its labels.
    Labels(bool, Vec<String>, Charset),
    Geometry(&'static str),
    Json,
    /// MariaDB's: a text that is checked.
    JsonText,
    Vector(u64),
    Uuid,
    Inet4,
    Inet6,
}

pub fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.roll(from.len() as u64) as usize]
}

pub fn chance(dice: &mut Dice, one_in: u64) -> bool {
    dice.roll(one_in) == 0
}

impl Type {
    pub fn roll(kind: Kind, charsets: &[Charset], dice: &mut Dice) -> Type {
        let set = charsets[dice.roll(charsets.len() as u64) as usize].clone();
        match dice.roll(if kind == Kind::Mysql56 { 26 } else { 31 }) {
            0..=4 => Type::int(dice),
            5 => Type::Bit(pick(dice, &[1, 2, 7, 8, 9, 16, 17, 31, 33, 48, 63, 64])),
            6 => Type::Year,
            7 => Type::Float(pick(dice, &["", "", " unsigned", "(7,4)", "(5,0)"]).to_owned()),
            8 => Type::Double(pick(dice, &["", "", " unsigned", "(15,6)"]).to_owned()),
            9 | 10 => {
                let precision = 1 + dice.roll(65);
                let scale = dice.roll(precision.min(30) + 1);
                Type::Decimal(precision, scale, chance(dice, 5))
            }
            11 => Type::Date,
            12 => Type::Time(dice.roll(7)),
            13 => Type::DateTime(dice.roll(7)),
            14 => Type::Timestamp(dice.roll(7)),
            15..=19 => Type::text(kind, set, dice),
            20 | 21 => Type::bytes(kind, dice),
            22 => Type::labels(kind, true, set, dice),
            23 => Type::labels(kind, false, set, dice),
            24 => Type::Geometry(pick(
                dice,
                &["geometry", "point", "linestring", "polygon", "geometrycollection"],
            )),
            25 => Type::Text("varchar(30)".to_owned(), 30, set),
            _ if kind == Kind::Mysql97 => match dice.roll(4) {
                0 => Type::Vector(1 + dice.roll(20)),
                _ => Type::Json,
            },
            26 | 27 => Type::Uuid,
            28 => Type::Inet4,
            29 => Type::Inet6,
            _ => Type::JsonText,
        }
    }

    fn int(dice: &mut Dice) -> Type {
        let (name, bits) =
            pick(dice, &[("tinyint", 8), ("smallint", 16), ("mediumint", 24), ("int", 32), ("bigint", 64)]);
        Type::Int(name, bits, chance(dice, 2))
    }

    fn text(kind: Kind, set: Charset, dice: &mut Dice) -> Type {
        let compressed = if !kind.is_mysql() && chance(dice, 5) { " COMPRESSED" } else { "" };
        match dice.roll(8) {
            0 | 1 => {
                let length = pick(dice, &[0, 1, 3, 20, 63, 64, 127, 255]);
                Type::Text(format!("char({length})"), length, set)
            }
            2..=5 => {
                let length = pick(dice, &[0, 1, 5, 50, 85, 86, 127, 128, 255, 256, 400]);
                let compressed = if length == 0 { "" } else { compressed };
                Type::Text(format!("varchar({length}){compressed}"), length, set)
            }
            _ => {
                let (word, length) =
                    pick(dice, &[("tinytext", 60), ("text", 3000), ("mediumtext", 5000), ("longtext", 400)]);
                Type::Text(format!("{word}{compressed}"), length, set)
            }
        }
    }

    fn bytes(kind: Kind, dice: &mut Dice) -> Type {
        let compressed = if !kind.is_mysql() && chance(dice, 5) { " COMPRESSED" } else { "" };
        match dice.roll(3) {
            0 => {
                let length = pick(dice, &[0, 1, 2, 16, 255]);
                Type::Bytes(format!("binary({length})"), length)
            }
            1 => {
                let length = pick(dice, &[1, 20, 255, 256, 500]);
                Type::Bytes(format!("varbinary({length}){compressed}"), length)
            }
            _ => {
                let (word, length) =
                    pick(dice, &[("tinyblob", 255), ("blob", 9000), ("mediumblob", 900), ("longblob", 300)]);
                Type::Bytes(format!("{word}{compressed}"), length)
            }
        }
    }

    fn labels(kind: Kind, one: bool, set: Charset, dice: &mut Dice) -> Type {
        // MySQL 5.6 itself loses labels of these sets (README, known limits).
        let lost = kind == Kind::Mysql56 && ["ucs2", "utf16", "utf32"].contains(&set.name.as_str());
        let set = if lost { Charset::utf8mb4() } else { set };
        let count = match (one, dice.roll(8)) {
            (true, 0) => 256 + dice.roll(50),
            (false, 0) => 64,
            (false, 1) => 9 + dice.roll(30),
            _ => 1 + dice.roll(6),
        };
        let mut labels: Vec<String> = texts::labels(&set, one);
        for index in labels.len()..(count as usize).max(labels.len()) {
            labels.push(format!("l{index}"));
        }
        labels.truncate(count as usize);
        Type::Labels(one, labels, set)
    }

    pub fn declaration(&self) -> String {
        let fraction = |digits: &u64| if *digits == 0 { String::new() } else { format!("({digits})") };
        match self {
            Type::Int(name, _, unsigned) => format!("{name}{}", if *unsigned { " unsigned" } else { "" }),
            Type::Bit(bits) => format!("bit({bits})"),
            Type::Year => "year".to_owned(),
            Type::Float(rest) => format!("float{rest}"),
            Type::Double(rest) => format!("double{rest}"),
            Type::Decimal(precision, scale, unsigned) => {
                format!("decimal({precision},{scale}){}", if *unsigned { " unsigned" } else { "" })
            }
            Type::Date => "date".to_owned(),
            Type::Time(digits) => format!("time{}", fraction(digits)),
            Type::DateTime(digits) => format!("datetime{}", fraction(digits)),
            Type::Timestamp(digits) => format!("timestamp{}", fraction(digits)),
            Type::Text(declaration, _, set) => format!("{declaration} {}", set.clause()),
            Type::Bytes(declaration, _) => declaration.clone(),
            Type::Labels(one, labels, set) => {
                let labels: Vec<String> = labels.iter().map(|label| texts::quoted(label)).collect();
                format!("{}({}) {}", if *one { "enum" } else { "set" }, labels.join(","), set.clause())
            }
            Type::Geometry(name) => (*name).to_owned(),
            Type::Json | Type::JsonText => "json".to_owned(),
            Type::Vector(length) => format!("vector({length})"),
            Type::Uuid => "uuid".to_owned(),
            Type::Inet4 => "inet4".to_owned(),
            Type::Inet6 => "inet6".to_owned(),
        }
    }

    /// Whether a column of it can be part of a key, and the length of a prefix if that is needed.
    pub fn as_key(&self) -> Option<&'static str> {
        match self {
            Type::Text(declaration, length, set) => {
                let small =
                    declaration.contains("char") && (1..=64).contains(length) && !declaration.ends_with("ED");
                let prefix = declaration.ends_with("text");
                // A key finds its row by the text of the column: another code of the same text would be another key.
                match (set.one_code_each(), small, prefix) {
                    (true, true, _) => Some(""),
                    (true, _, true) => Some("(10)"),
                    _ => None,
                }
            }
            Type::Bytes(declaration, length) => match declaration.as_str() {
                text if text.ends_with("COMPRESSED") => None,
                text if text.ends_with("blob") => Some("(12)"),
                text if text.contains("binary(") && (1..=255).contains(length) => Some(""),
                _ => None,
            },
            Type::Labels(..) => Some(""),
            Type::Geometry(_) | Type::Json | Type::JsonText | Type::Vector(_) => None,
            _ => Some(""),
        }
    }

    /// Whether MariaDB's full metadata leaves open what it is (README): UUID and INET are logged as BINARY, VECTOR as
    /// VARBINARY, and two of TIMESTAMP(6) may bound a version of a row.
    pub fn may_be_another(&self) -> bool {
        matches!(self, Type::Uuid | Type::Inet4 | Type::Inet6 | Type::Timestamp(6) | Type::Bytes(..))
    }

    /// A value as SQL, never NULL.
    pub fn value(&self, dice: &mut Dice) -> String {
        match self {
            Type::Int(_, bits, unsigned) => int(*bits, *unsigned, dice),
            Type::Bit(bits) => {
                let all = if *bits == 64 { u64::MAX } else { (1 << bits) - 1 };
                let any = random(dice) & all;
                pick(dice, &[0, 1, all, any, any]).to_string()
            }
            Type::Year => pick(dice, &["0000", "1901", "2155", "2024", "'0'", "70"]).to_owned(),
            Type::Float(rest) => float(rest, dice),
            Type::Double(rest) => double(rest, dice),
            Type::Decimal(precision, scale, unsigned) => decimal(*precision, *scale, *unsigned, dice),
            Type::Date => format!("'{}'", date(dice)),
            Type::Time(digits) => time(*digits, dice),
            Type::DateTime(digits) => format!("'{} {}'", date(dice), clock(*digits, dice)),
            Type::Timestamp(digits) => timestamp(*digits, dice),
            Type::Text(_, length, set) => texts::value(set, *length, dice),
            Type::Bytes(_, length) => bytes(*length, dice),
            Type::Labels(true, labels, _) => match dice.roll(6) {
                // Index 0: what the server keeps for a value that is no label; the list holds no empty one.
                0 => "''".to_owned(),
                1 => labels.len().to_string(),
                _ => texts::quoted(&labels[dice.roll(labels.len() as u64) as usize]),
            },
            Type::Labels(false, labels, _) => match (dice.roll(5), labels.len()) {
                (0, 64) => "18446744073709551615".to_owned(),
                (1, 64) => "9223372036854775808".to_owned(),
                (0, _) => "''".to_owned(),
                (_, count) => (random(dice) & (u64::MAX >> (64 - count))).to_string(),
            },
            Type::Geometry(name) => geometry(name, dice),
            Type::Json => texts::json(dice),
            Type::JsonText => texts::quoted(&texts::document(dice, 0)),
            Type::Vector(length) => {
                let numbers: Vec<String> = (0..*length)
                    .map(|_| {
                        pick(dice, &["0", "1", "-1.5", "3.4028235e38", "1.17549435e-38", "0.1", "-7e-10"])
                            .to_owned()
                    })
                    .collect();
                format!("STRING_TO_VECTOR('[{}]')", numbers.join(","))
            }
            Type::Uuid => {
                let (high, low) = (random(dice), random(dice));
                let any = format!(
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    high >> 32,
                    (high >> 16) & 0xffff,
                    high & 0xffff,
                    low >> 48,
                    low & 0xffff_ffff_ffff
                );
                let zero = "00000000-0000-0000-0000-000000000000";
                format!(
                    "'{}'",
                    pick(
                        dice,
                        &[
                            any.as_str(),
                            any.as_str(),
                            zero,
                            "123e4567-e89b-12d3-a456-426655440000",
                            "ffffffff-ffff-7fff-bfff-ffffffffff00"
                        ]
                    )
                )
            }
            Type::Inet4 => {
                pick(dice, &["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'", "'1.2.3.4'"]).to_owned()
            }
            Type::Inet6 => pick(
                dice,
                &[
                    "'::'",
                    "'2001:db8::ff00:42:8329'",
                    "'::ffff:1.2.3.4'",
                    "'1::'",
                    "'::1.2.0.0'",
                    "'fe80::1:0:0:1'",
                ],
            )
            .to_owned(),
        }
    }
}

pub fn random(dice: &mut Dice) -> u64 {
    dice.roll(1 << 16) << 48 | dice.roll(1 << 24) << 24 | dice.roll(1 << 24)
}

fn int(bits: u32, unsigned: bool, dice: &mut Dice) -> String {
    let any = random(dice) >> (64 - bits);
    if unsigned {
        let all = u64::MAX >> (64 - bits);
        return pick(dice, &[0, 1, all, all / 2, all / 2 + 1, any, any % 50, any % 50]).to_string();
    }
    let (min, max) = (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1);
    let any = i128::from(any);
    pick(dice, &[min, max, 0, -1, 1, any + min, any % 50, any % 50]).to_string()
}

fn float(rest: &str, dice: &mut Dice) -> String {
    let any = f32::from_bits(random(dice) as u32);
    match (rest, dice.roll(4)) {
        ("(7,4)", _) => {
            format!("{}e-4", dice.roll(9_999_999) as i64 - if chance(dice, 2) { 9_999_999 } else { 0 })
        }
        ("(5,0)", _) => (dice.roll(99_999)).to_string(),
        (_, 0..=2) if any.is_finite() && !(rest.contains("unsigned") && any < 0.0) => {
            format!("{:e}", f64::from(any))
        }
        _ => pick(
            dice,
            &["0", "3.402823466e38", "1.17549435e-38", "0.1", "16777216", "2.5", "1e-45", "1.0", "33554432"],
        )
        .to_owned(),
    }
}

fn double(rest: &str, dice: &mut Dice) -> String {
    let any = f64::from_bits(random(dice));
    match (rest, dice.roll(4)) {
        ("(15,6)", _) => format!("{}e-6", dice.roll(1 << 40)),
        (_, 0..=2) if any.is_finite() && !(rest.contains("unsigned") && any < 0.0) => format!("{any:e}"),
        _ => pick(
            dice,
            &[
                "0",
                "1.7976931348623157e308",
                "2.2250738585072014e-308",
                "0.1",
                "1e15",
                "1e16",
                "123456789.125",
                "5e-324",
                "9007199254740993",
            ],
        )
        .to_owned(),
    }
}

fn decimal(precision: u64, scale: u64, unsigned: bool, dice: &mut Dice) -> String {
    let digit = |dice: &mut Dice, style: u64| match style {
        0 => '9',
        1 => '0',
        _ => char::from(b'0' + dice.roll(10) as u8),
    };
    let (style, sign) = (dice.roll(4), if unsigned || chance(dice, 2) { "" } else { "-" });
    let whole: String = (0..(precision - scale).max(1))
        .map(|_| if precision == scale { '0' } else { digit(dice, style) })
        .collect();
    let fraction: String = (0..scale).map(|_| digit(dice, style)).collect();
    format!("'{sign}{whole}.{fraction}'")
}

/// Zero dates and zeros in dates are among them: an sql_mode that has none refuses them.
fn date(dice: &mut Dice) -> String {
    match dice.roll(5) {
        0 => pick(
            dice,
            &[
                "0000-00-00",
                "1000-01-01",
                "9999-12-31",
                "2024-02-29",
                "2024-00-00",
                "2024-05-00",
                "2023-02-30",
                "0001-01-01",
            ],
        )
        .to_owned(),
        _ => format!("{:04}-{:02}-{:02}", 1 + dice.roll(9999), 1 + dice.roll(12), 1 + dice.roll(28)),
    }
}

fn fraction(digits: u64, dice: &mut Dice) -> String {
    if digits == 0 {
        return String::new();
    }
    let end = 10_u64.pow(digits as u32);
    let any = dice.roll(end);
    format!(".{:0width$}", pick(dice, &[0, 1, end - 1, any]), width = digits as usize)
}

fn clock(digits: u64, dice: &mut Dice) -> String {
    let fraction = fraction(digits, dice);
    match dice.roll(4) {
        0 => format!("00:00:00{fraction}"),
        1 => format!("23:59:59{fraction}"),
        _ => format!("{:02}:{:02}:{:02}{fraction}", dice.roll(24), dice.roll(60), dice.roll(60)),
    }
}

fn time(digits: u64, dice: &mut Dice) -> String {
    let sign = if chance(dice, 2) { "-" } else { "" };
    match dice.roll(5) {
        0 => format!("'{sign}838:59:59'"),
        1 => format!("'{sign}838:59:58{}'", fraction(digits, dice)),
        2 => format!("'{sign}00:00:00{}'", fraction(digits, dice)),
        _ => format!(
            "'{sign}{}:{:02}:{:02}{}'",
            dice.roll(838),
            dice.roll(60),
            dice.roll(60),
            fraction(digits, dice)
        ),
    }
}

fn timestamp(digits: u64, dice: &mut Dice) -> String {
    match dice.roll(6) {
        0 => pick(
            dice,
            &[
                "'0000-00-00 00:00:00'",
                "'1970-01-01 12:00:01'",
                "'2038-01-18 03:14:07'",
                "'2000-02-29 00:00:00'",
            ],
        )
        .to_owned(),
        1 => format!("NOW({digits})"),
        _ => format!(
            "'{}-{:02}-{:02} {}'",
            1971 + dice.roll(66),
            1 + dice.roll(12),
            1 + dice.roll(28),
            clock(digits, dice)
        ),
    }
}

fn bytes(length: u64, dice: &mut Dice) -> String {
    let count = match dice.roll(6) {
        0 => 0,
        1 => length,
        _ => dice.roll(length.min(24) + 1),
    };
    if count > 100 {
        return format!("REPEAT(x'{:02X}',{count})", dice.roll(256));
    }
    let style = dice.roll(4);
    let hex = (0..count).map(|at| match style {
        0 => "00".to_owned(),
        // Zeros at the end, which the log leaves out.
        1 if at > count / 2 => "00".to_owned(),
        _ => format!("{:02X}", dice.roll(256)),
    });
    format!("x'{}'", hex.collect::<String>())
}

fn geometry(name: &str, dice: &mut Dice) -> String {
    let point = |dice: &mut Dice| format!("{} {}", dice.roll(160) as f64 / 8.0 - 10.0, dice.roll(9));
    let wkt = match name {
        "linestring" => format!("LINESTRING({},20 3)", point(dice)),
        "polygon" => "POLYGON((0 0,4 0,4 4,0 0),(1 0.5,2 0.5,2 1,1 0.5))".to_owned(),
        "geometrycollection" => format!("GEOMETRYCOLLECTION(POINT({}),LINESTRING(0 0,1 1))", point(dice)),
        "geometry" if chance(dice, 2) => format!("MULTIPOINT({},{})", point(dice), point(dice)),
        _ => format!("POINT({})", point(dice)),
    };
    format!("ST_GeomFromText('{wkt}'{})", pick(dice, &["", "", ",4326"]))
}
