//! What runs leave in their home: the rows of the file sink, and what is kept of the first shard.

use super::Fountain;
use super::delivered::data;
use super::delivered::parse;
use serde_json::Value;

/// All data of the file sink.
pub fn data_in(home: &Fountain) -> String {
    data(&home.home().join("data"))
}

/// The same as lines of JSON.
pub fn lines_in(home: &Fountain) -> Vec<Value> {
    parse(&data_in(home))
}

/// A file of JSON beside the point: `point`, `schema`. None when there is none.
pub fn stored(home: &Fountain, what: &str) -> Option<Value> {
    let text = std::fs::read_to_string(home.home().join("points/producer00").with_extension(what)).ok()?;
    Some(serde_json::from_str(&text).expect("what is stored is JSON"))
}

/// The stored point, as far as a person reads it.
pub fn stored_point(home: &Fountain) -> Option<Value> {
    stored(home, "point").map(|record| record["point"].clone())
}

/// The same where there must be one.
#[track_caller]
pub fn point(home: &Fountain) -> Value {
    stored_point(home).expect("a point is stored")
}
