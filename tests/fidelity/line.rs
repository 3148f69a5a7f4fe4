//! A delivered line, read without any of fountain's own code; values stay the JSON text that they came as.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The columns of a row, each as JSON text.
pub type Image = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
pub struct Line {
    pub op: String,
    #[serde(default)]
    pub database: String,
    #[serde(default)]
    pub table: String,
    pub before: Option<Image>,
    pub after: Option<Image>,
    pub key: Option<Vec<String>>,
    pub sql: Option<String>,
    /// The place of a row in its transaction.
    pub row: Option<u64>,
    /// Of a `rollback`.
    pub from_row: Option<u64>,
    /// Of a `commit`.
    pub inserts: Option<u64>,
    pub updates: Option<u64>,
    pub deletes: Option<u64>,
}

impl Line {
    pub fn parse(text: &str) -> Result<Line, String> {
        serde_json::from_str(text).map_err(|error| format!("no line: {error}: {text:.300}"))
    }
}

/// A value as far as JSON alone tells.
pub enum Json<'a> {
    Null,
    Text(String),
    /// Digits as they came.
    Number(&'a str),
    /// `{"$base64":"…"}`
    Bytes(Vec<u8>),
    /// Anything else, as it came.
    Other(&'a str),
}

impl Json<'_> {
    pub fn of(raw: &RawValue) -> Json<'_> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'n') => Json::Null,
            Some(b'"') => Json::Text(serde_json::from_str(text).expect("a string of JSON that was parsed")),
            Some(b'-' | b'0'..=b'9') => Json::Number(text),
            Some(b'{') => bytes(text).map_or(Json::Other(text), Json::Bytes),
            _ => Json::Other(text),
        }
    }
}

/// A document may look almost like it.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let object: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    STANDARD.decode(object.get("$base64").filter(|_| object.len() == 1)?).ok()
}
