//! The parts of a row line that are the same for every row of a table, and for every row of an event.

use crate::binlog::RowsKind;
use crate::pack::json::write_string;
use crate::schema::plan::TablePlan;

/// The constant text of one table's lines.
#[derive(Debug, Default)]
pub struct Template {
    /// `{"op":"insert","database":"shop","table":"orders",` for insert, update, delete.
    heads: [Vec<u8>; 3],
    /// The columns that are delivered.
    pub columns: Vec<MemberName>,
    /// `"key":["id"],`; empty when the key is not known.
    pub key: Vec<u8>,
}

/// A column's name as it stands in front of its value.
#[derive(Debug)]
pub struct MemberName {
    /// `"name":`
    text: Vec<u8>,
    /// The same and filled up, if it is short enough: most are, and to copy a fixed size takes no call.
    short: Option<[u8; SHORT]>,
}

const SHORT: usize = 32;

impl MemberName {
    fn new(name: &str) -> Self {
        let mut text = Vec::new();
        write_string(&mut text, name);
        text.push(b':');
        let mut filled = text.clone();
        filled.resize(SHORT, b' ');
        Self { short: <[u8; SHORT]>::try_from(filled).ok().filter(|_| text.len() <= SHORT), text }
    }

    /// Appends it to an image that begins at `start`.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, start: usize) {
        if out.len() > start {
            out.push(b',');
        }
        match &self.short {
            Some(filled) => {
                let end = out.len() + self.text.len();
                out.extend_from_slice(filled);
                out.truncate(end);
            }
            None => out.extend_from_slice(&self.text),
        }
    }
}

impl Template {
    pub fn new(plan: &TablePlan) -> Self {
        let head = |op: &str| {
            let mut out = format!("{{\"op\":\"{op}\",\"database\":").into_bytes();
            write_string(&mut out, &plan.database);
            out.extend_from_slice(b",\"table\":");
            write_string(&mut out, &plan.table);
            out.push(b',');
            out
        };
        let columns = plan.columns.iter().take(plan.visible);
        Self {
            heads: [head("insert"), head("update"), head("delete")],
            columns: columns.map(|column| MemberName::new(&column.name)).collect(),
            key: plan.key.as_deref().map(key_text).unwrap_or_default(),
        }
    }

    /// Memory that it takes, about.
    pub fn bytes(&self) -> usize {
        let names: usize = self.columns.iter().map(|name| size_of_val(name) + name.text.capacity()).sum();
        names + self.heads.iter().chain([&self.key]).map(Vec::capacity).sum::<usize>()
    }

    pub fn head(&self, kind: RowsKind) -> &[u8] {
        let [insert, update, delete] = &self.heads;
        match kind {
            RowsKind::Insert => insert,
            RowsKind::Update => update,
            RowsKind::Delete => delete,
        }
    }
}

fn key_text(key: &[String]) -> Vec<u8> {
    let mut out = b"\"key\":[".to_vec();
    for (index, column) in key.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(&mut out, column);
    }
    out.extend_from_slice(b"],");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_whole() {
        for length in 1..=64 {
            let name = "n".repeat(length);
            let member = MemberName::new(&name);
            assert_eq!(member.short.is_some(), length <= SHORT - 3);
            let mut out = b"{".to_vec();
            member.write(&mut out, 1);
            member.write(&mut out, 1);
            assert_eq!(String::from_utf8(out), Ok(format!("{{\"{name}\":,\"{name}\":")));
        }
    }
}
