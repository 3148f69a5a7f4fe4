//! Reading a column's declared type: `information_schema.COLUMNS.COLUMN_TYPE`, such as `int(10) unsigned`,
//! `enum('a','b,c','it''s')` or `datetime(3) /* mariadb-5.3 */`.

use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;

type Result<T> = std::result::Result<T, ColumnError>;

macro_rules! words {
    ($($variant:ident $($text:literal)|+;)*) => {
        /// The word that a declared type begins with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Word {
            $($variant,)*
            /// A type that fountain has never heard of.
            Other,
        }

        impl Word {
            fn from_text(text: &str) -> Self {
                match text { $($($text)|+ => Self::$variant,)* _ => Self::Other }
            }
        }
    };
}

// The first spelling is the servers'; the others are for definitions written by hand.
words! {
    TinyInt "tinyint" | "bool" | "boolean";
    SmallInt "smallint";
    MediumInt "mediumint";
    Int "int" | "integer";
    BigInt "bigint";
    Float "float";
    Double "double" | "real";
    Decimal "decimal" | "dec" | "numeric" | "fixed";
    Bit "bit";
    Year "year";
    Date "date";
    Time "time";
    Datetime "datetime";
    Timestamp "timestamp";
    Char "char";
    Varchar "varchar";
    Binary "binary";
    Varbinary "varbinary";
    TinyText "tinytext";
    Text "text";
    MediumText "mediumtext";
    LongText "longtext";
    TinyBlob "tinyblob";
    Blob "blob";
    MediumBlob "mediumblob";
    LongBlob "longblob";
    Enum "enum";
    Set "set";
    Json "json";
    Geometry "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection";
    Vector "vector";
    Uuid "uuid";
    Inet4 "inet4";
    Inet6 "inet6";
}

impl Word {
    /// Whether the word (`information_schema.COLUMNS.DATA_TYPE`) names a type that fountain knows.
    pub fn is_known(text: &str) -> bool {
        Self::from_text(&text.to_ascii_lowercase()) != Self::Other
    }

    /// Whether columns of this type hold bytes and never text.
    pub fn is_binary(self) -> bool {
        matches!(
            self,
            Self::Binary
                | Self::Varbinary
                | Self::TinyBlob
                | Self::Blob
                | Self::MediumBlob
                | Self::LongBlob
                | Self::Geometry
        )
    }
}

/// A declared type, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    pub word: Word,
    /// The first number in brackets: length, precision, display width or digits of a fraction.
    pub length: Option<u32>,
    /// The second number in brackets: scale.
    pub scale: Option<u32>,
    /// `unsigned`, or `zerofill`, which implies it.
    pub unsigned: bool,
    /// MariaDB: `COMPRESSED`.
    pub compressed: bool,
    /// ENUM's and SET's.
    pub labels: Vec<String>,
}

impl DeclaredType {
    /// Digits of the fraction that a TIME, DATETIME or TIMESTAMP declares, 0 to 6.
    pub fn fraction_digits(&self) -> u8 {
        self.length.map_or(0, |digits| digits.min(6) as u8)
    }
}

/// Takes a declared type apart.
///
/// In labels a quote is doubled, and `\\`, `\n`, `\r` and `\0` stand for backslash, line feed, carriage
/// return and zero byte, as MySQL 5.6 to 9.7 and MariaDB print them in every SQL mode (`append_unescaped`).
pub fn parse(text: &str) -> Result<DeclaredType> {
    let mut cursor = Cursor { text, offset: 0 };
    let word = cursor.word().to_ascii_lowercase();
    if word.is_empty() {
        return Err(cursor.expected("the name of a type"));
    }
    let word = Word::from_text(&word);
    let mut declared = DeclaredType {
        word,
        length: None,
        scale: None,
        unsigned: false,
        compressed: false,
        labels: Vec::new(),
    };
    if cursor.accept("(") {
        match word {
            Word::Enum | Word::Set => declared.labels = cursor.labels()?,
            _ => (declared.length, declared.scale) = cursor.numbers()?,
        }
    }
    cursor.attributes(&mut declared)?;
    if matches!(word, Word::Enum | Word::Set) && declared.labels.is_empty() {
        return Err(cursor.expected("labels"));
    }
    Ok(declared)
}

struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or("")
    }

    fn expected(&self, expected: &'static str) -> ColumnError {
        ColumnFault::Declared { text: self.text.to_owned(), expected, offset: self.offset }.into()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.offset += rest.len() - rest.trim_ascii_start().len();
    }

    /// Consumes `token` and the blanks before it, if it comes next.
    fn accept(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.offset += token.len();
        }
        found
    }

    /// Letters, digits and underscores.
    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.offset += end;
        rest.get(..end).unwrap_or("")
    }

    /// `10)` or `10,2)`
    fn numbers(&mut self) -> Result<(Option<u32>, Option<u32>)> {
        let length = self.number()?;
        let scale = if self.accept(",") { Some(self.number()?) } else { None };
        if self.accept(")") { Ok((Some(length), scale)) } else { Err(self.expected("a closing bracket")) }
    }

    fn number(&mut self) -> Result<u32> {
        let start = self.offset;
        self.word().parse().map_err(|_| {
            self.offset = start;
            self.expected("a number")
        })
    }

    /// `'a','b')`
    fn labels(&mut self) -> Result<Vec<String>> {
        let mut labels = Vec::new();
        loop {
            if !self.accept("'") {
                return Err(self.expected("a quoted label"));
            }
            labels.push(self.label()?);
            if self.accept(")") {
                return Ok(labels);
            }
            if !self.accept(",") {
                return Err(self.expected("a comma or a closing bracket"));
            }
        }
    }

    /// A label behind its opening quote, up to its closing one.
    fn label(&mut self) -> Result<String> {
        let mut label = String::new();
        let mut characters = self.rest().char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            match character {
                '\'' if characters.next_if(|(_, next)| *next == '\'').is_some() => label.push('\''),
                '\'' => {
                    self.offset += offset + 1;
                    return Ok(label);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => label.push('\n'),
                    Some((_, 'r')) => label.push('\r'),
                    Some((_, '0')) => label.push('\0'),
                    Some((_, other)) => label.push(other),
                    None => break,
                },
                other => label.push(other),
            }
        }
        Err(self.expected("a closing quote"))
    }

    /// What may follow: `unsigned`, `zerofill`, comments. Words that do not matter here are passed over.
    fn attributes(&mut self, declared: &mut DeclaredType) -> Result<()> {
        loop {
            if self.accept("/*") {
                self.comment(declared)?;
                continue;
            }
            match self.word().to_ascii_lowercase().as_str() {
                "" if self.rest().is_empty() => return Ok(()),
                "" => return Err(self.expected("the end")),
                "unsigned" | "zerofill" => declared.unsigned = true,
                "compressed" => declared.compressed = true,
                _ => {}
            }
        }
    }

    /// MariaDB writes `/*M!100301 COMPRESSED*/`, and `/* mariadb-5.3 */` behind its old temporal types; MySQL
    /// 5.6 and 5.7 `/* 5.5 binary format */` behind theirs.
    fn comment(&mut self, declared: &mut DeclaredType) -> Result<()> {
        let Some((comment, _)) = self.rest().split_once("*/") else {
            return Err(self.expected("the end of the comment"));
        };
        declared.compressed |=
            comment.starts_with("M!") && comment.to_ascii_lowercase().contains("compressed");
        self.offset += comment.len() + 2;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        parse(text).unwrap().labels
    }

    #[test]
    fn words_numbers_and_attributes() {
        let int = parse("int(10) unsigned").unwrap();
        assert_eq!((int.word, int.length, int.unsigned), (Word::Int, Some(10), true));
        let int = parse("INT").unwrap();
        assert_eq!((int.word, int.length, int.unsigned), (Word::Int, None, false));
        assert!(parse("bigint(20) zerofill").unwrap().unsigned);
        let decimal = parse("decimal(10,2) unsigned zerofill").unwrap();
        assert_eq!((decimal.word, decimal.length, decimal.scale), (Word::Decimal, Some(10), Some(2)));
        assert_eq!(parse("year(4)").unwrap().word, Word::Year);
        assert_eq!(parse("point").unwrap().word, Word::Geometry);
        assert_eq!(parse("frob(3)").unwrap().word, Word::Other);
        assert_eq!(parse("datetime(3) /* mariadb-5.3 */").unwrap().fraction_digits(), 3);
        assert_eq!(parse("timestamp /* 5.5 binary format */").unwrap().fraction_digits(), 0);
        assert!(parse("varchar(100) /*M!100301 COMPRESSED*/").unwrap().compressed);
    }

    /// `CREATE TABLE en (a
    /// ENUM('a','b,c','it''s','back\\slash','par)en','new\nline','nul\0x','cr\rx','x\'y','\\\\n'))`, and the
    /// COLUMN_TYPE of MySQL 9.7 and MariaDB 10.11.
    #[test]
    fn labels_as_servers_quote_them() {
        assert_eq!(
            labels(
                r"enum('a','b,c','it''s','back\\slash','par)en','new\nline','nul\0x','cr\rx','x''y','\\\\n')"
            ),
            ["a", "b,c", "it's", "back\\slash", "par)en", "new\nline", "nul\0x", "cr\rx", "x'y", "\\\\n"]
        );
        assert_eq!(labels("set('','é','😀')"), ["", "é", "😀"]);
        assert_eq!(labels("ENUM( 'a' , 'b' )"), ["a", "b"]);
        assert_eq!(labels("enum('''','''''')"), ["'", "''"]);
    }

    #[test]
    fn broken_declarations_say_what_was_expected_where() {
        for (text, message) in [
            ("", "column type \"\": expected the name of a type at offset 0"),
            ("enum", "column type \"enum\": expected labels at offset 4"),
            ("enum()", "column type \"enum()\": expected a quoted label at offset 5"),
            ("enum('a'", "column type \"enum('a'\": expected a comma or a closing bracket at offset 8"),
            ("enum('a\\", "column type \"enum('a\\\": expected a closing quote at offset 6"),
            ("enum('a''", "column type \"enum('a''\": expected a closing quote at offset 6"),
            ("int(x)", "column type \"int(x)\": expected a number at offset 4"),
            ("int(10", "column type \"int(10\": expected a closing bracket at offset 6"),
            ("int(99999999999)", "column type \"int(99999999999)\": expected a number at offset 4"),
            ("int(10)) ", "column type \"int(10)) \": expected the end at offset 7"),
            ("date /* x", "column type \"date /* x\": expected the end of the comment at offset 7"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.code(), crate::code::Code::Config);
        }
    }

    #[test]
    fn every_prefix_parses_or_fails() {
        const TEXT: &str = r"enum('a','é''s','back\\slash') unsigned /* x */ zerofill (";
        for (cut, _) in TEXT.char_indices().skip("enum".len()) {
            let prefix = &TEXT[..cut];
            let in_comment = prefix.contains(" /") && !prefix.contains("*/");
            assert_eq!(parse(prefix).is_ok(), prefix.contains(')') && !in_comment, "{prefix}");
        }
    }
}
