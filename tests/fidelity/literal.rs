//! Values and names as SQL that no session setting changes.

use super::line::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// A column as a server describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    /// `varchar`, in lower case.
    pub data_type: String,
    /// `varchar(20)`
    pub full_type: String,
    /// Empty where there is none.
    pub charset: String,
    pub nullable: bool,
    /// `ON UPDATE CURRENT_TIMESTAMP`
    pub changes_itself: bool,
    pub generated: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Group {
    Text,
    /// ENUM and SET.
    Label,
    Bytes,
    Geometry,
    Vector,
    Json,
    Float,
    Double,
    /// Numbers that come as numbers and are compared as such: BIT, YEAR.
    Bits,
    /// DECIMAL and integers.
    Exact,
    /// Dates and times, UUID, INET: a text that the server reads back.
    Quoted,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A name between backticks.
pub fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// A text in whatever character set the column or the other side has.
pub fn text(text: &str) -> String {
    format!("_utf8mb4 x'{}'", hex(text.as_bytes()))
}

impl Column {
    pub fn group(&self) -> Group {
        match self.data_type.as_str() {
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Group::Text,
            "enum" | "set" => Group::Label,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Group::Bytes,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => Group::Geometry,
            "vector" => Group::Vector,
            "json" => Group::Json,
            "float" => Group::Float,
            "double" => Group::Double,
            "bit" | "year" => Group::Bits,
            "decimal" | "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Group::Exact,
            _ => Group::Quoted,
        }
    }

    /// What is written into the column to hold this very value.
    pub fn literal(&self, raw: &RawValue) -> Result<String, String> {
        let group = self.group();
        let misfit = || Err(format!("{}: {:.200} is no value of {}", self.name, raw.get(), self.full_type));
        if group == Group::Json {
            return match Json::of(raw) {
                Json::Null if self.nullable => Ok("NULL".to_owned()),
                Json::Other(document) if document.contains("$json_diff") => misfit(),
                _ => Ok(format!("CAST({} AS JSON)", text(raw.get()))),
            };
        }
        match (Json::of(raw), group) {
            (Json::Null, _) => Ok("NULL".to_owned()),
            (Json::Text(value), Group::Text | Group::Label) => Ok(text(&value)),
            // Bytes that have no character: only what is in the column's own set can hold them.
            (Json::Bytes(bytes), Group::Text) => Ok(format!("_{} x'{}'", self.charset, hex(&bytes))),
            // The place of a label that the definition cannot show.
            (Json::Number(digits), Group::Label | Group::Bits | Group::Exact) => Ok(digits.to_owned()),
            (Json::Text(value), Group::Bytes | Group::Geometry) => match STANDARD.decode(&value) {
                Ok(bytes) => Ok(format!("x'{}'", hex(&bytes))),
                Err(_) => misfit(),
            },
            (Json::Other(array), Group::Vector) => match serde_json::from_str::<Vec<f32>>(array) {
                Ok(numbers) => {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                    Ok(format!("x'{}'", hex(&bytes)))
                }
                Err(_) => misfit(),
            },
            // The double that a FLOAT is: comparisons are made in doubles.
            (Json::Number(digits), Group::Float) => match digits.parse::<f32>() {
                Ok(number) => Ok(format!("{:e}", f64::from(number))),
                Err(_) => misfit(),
            },
            (Json::Number(digits), Group::Double) if digits.contains(['e', 'E']) => Ok(digits.to_owned()),
            (Json::Number(digits), Group::Double) => Ok(format!("{digits}e0")),
            (Json::Text(value), Group::Exact)
                if value.bytes().all(|b| matches!(b, b'-' | b'.' | b'0'..=b'9')) =>
            {
                Ok(value)
            }
            (Json::Text(value), Group::Quoted) if !value.contains(['\'', '\\']) => Ok(format!("'{value}'")),
            _ => misfit(),
        }
    }

    /// The condition that a row holds this very value, byte for byte, whatever the column's collation says is equal.
    pub fn is(&self, raw: &RawValue) -> Result<String, String> {
        let column = name(&self.name);
        let literal = self.literal(raw)?;
        let numbered = matches!(Json::of(raw), Json::Number(_));
        let binary = matches!(Json::of(raw), Json::Bytes(_));
        Ok(match self.group() {
            _ if literal == "NULL" => format!("{column} IS NULL"),
            Group::Text if binary => format!("CAST({column} AS BINARY) = CAST({literal} AS BINARY)"),
            // By `+0` a SET of more than 53 members is a double.
            Group::Label if numbered => format!("CAST({column} AS UNSIGNED) = {literal}"),
            Group::Text | Group::Label => {
                format!("CAST(CONVERT({column} USING utf8mb4) AS BINARY) = CAST({literal} AS BINARY)")
            }
            Group::Bytes | Group::Geometry | Group::Vector => format!("HEX({column}) = HEX({literal})"),
            Group::Bits => format!("{column}+0 = {literal}"),
            // Dates and bytes within a document come as strings.
            Group::Json => {
                format!("CAST(CAST({column} AS CHAR) AS BINARY) = CAST(CAST({literal} AS CHAR) AS BINARY)")
            }
            Group::Float | Group::Double | Group::Exact | Group::Quoted => {
                format!("{column} = {literal}")
            }
        })
    }

    /// What is asked for to see the value exactly; TIMESTAMP in the session's time zone.
    pub fn shown(&self) -> String {
        let column = name(&self.name);
        match self.group() {
            Group::Text if has_one_code_each(&self.charset) => format!("HEX({column})"),
            Group::Text => format!("HEX(CONVERT({column} USING utf8mb4))"),
            Group::Label => {
                format!("CONCAT(CAST({column} AS UNSIGNED),' ',HEX(CONVERT({column} USING utf8mb4)))")
            }
            Group::Bytes | Group::Geometry | Group::Vector => format!("HEX({column})"),
            Group::Json => format!("CAST({column} AS CHAR)"),
            // FLOAT by itself is printed with six digits.
            Group::Float | Group::Double => format!("{column}+0e0"),
            Group::Bits => format!("{column}+0"),
            Group::Exact | Group::Quoted => column,
        }
    }
}

/// Whether no character has two codes in a set: what came as text has lost which of them it was.
pub fn has_one_code_each(charset: &str) -> bool {
    !["armscii8", "big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis"]
        .contains(&charset)
}
