//! The parts of a row line that are the same for every row of a table, and for every row of an event.

use crate::binlog::RowsKind;
use crate::pack::json::write_string;
use crate::schema::plan::TablePlan;

/// The constant text of one table's lines.
#[derive(Debug, Default)]
pub struct Template {
    /// `{"op":"insert","database":"shop","table":"orders",` for insert, update, delete.
    heads: [Vec<u8>; 3],
    /// `,"name":` for each column that is delivered; the comma goes where it is the first of its image.
    pub columns: Vec<Vec<u8>>,
    /// `"key":["id"],`; empty when the key is not known.
    pub key: Vec<u8>,
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
        let columns = plan.columns.iter().take(plan.visible).map(|column| {
            let mut out = vec![b','];
            write_string(&mut out, &column.name);
            out.push(b':');
            out
        });
        Self {
            heads: [head("insert"), head("update"), head("delete")],
            columns: columns.collect(),
            key: plan.key.as_deref().map(key_text).unwrap_or_default(),
        }
    }

    /// Memory that it takes, about.
    pub fn bytes(&self) -> usize {
        let texts = self.heads.iter().chain(&self.columns);
        texts.map(|text| size_of_val(text) + text.capacity()).sum::<usize>() + self.key.len()
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
