//! Definitions from a file: one table a line, each a JSON object as [`TableDefinition`] reads it.
//!
//! ```text
//! {"database":"shop","table":"orders","columns":[{"name":"id","type":"int"},
//!  {"name":"note","type":"varchar(20)","charset":"utf8mb4"}],"key":["id"]}
//! ```
//! (on one line). What MariaDB keeps for itself has `"hidden":true` and stands last; `"row_end":"…"` names the column that
//! ends a system-versioned row. Empty lines and lines that begin with `#` are passed over.

use crate::schema::definition::TableDefinition;
use std::collections::HashMap;

/// Definitions by database and table.
#[derive(Debug, Clone, Default)]
pub struct SchemaFile {
    tables: HashMap<(String, String), Entry>,
}

/// One line of the file.
#[derive(Debug, Clone)]
struct Entry {
    definition: TableDefinition,
    /// CRC-32 of the line: tells an edited entry from the one of before.
    mark: u32,
}

impl SchemaFile {
    /// Reads the text of a file. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tables = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let place = index + 1;
            let table: TableDefinition = serde_json::from_str(line)
                .map_err(|error| format!("line {place}: no table definition as JSON: {error}"))?;
            check(&table).map_err(|problem| format!("line {place}: {problem}"))?;
            let name = (table.database.clone(), table.table.clone());
            let entry = Entry { definition: table, mark: crc32fast::hash(line.as_bytes()) };
            if tables.insert(name, entry).is_some() {
                return Err(format!("line {place}: the table has a line already"));
            }
        }
        Ok(Self { tables })
    }

    pub fn table(&self, database: &str, table: &str) -> Option<&TableDefinition> {
        self.marked(database, table).map(|(definition, _)| definition)
    }

    /// A table's definition with the mark of its line: another text has another mark.
    pub fn marked(&self, database: &str, table: &str) -> Option<(&TableDefinition, u32)> {
        let entry = self.tables.get(&(database.to_owned(), table.to_owned()))?;
        Some((&entry.definition, entry.mark))
    }

    /// All definitions with their marks, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&TableDefinition, u32)> {
        self.tables.values().map(|entry| (&entry.definition, entry.mark))
    }
}

fn check(table: &TableDefinition) -> Result<(), String> {
    let name = format!("{}.{}", table.database, table.table);
    if table.columns.is_empty() {
        return Err(format!("{name} has no columns"));
    }
    let is_column = |name: &String| table.columns.iter().any(|column| column.name == *name);
    if let Some(key) = table.key.iter().find(|key| !is_column(key)) {
        return Err(format!("{name}: the key names {key}, which is no column"));
    }
    if let Some(row_end) = table.row_end.iter().find(|row_end| !is_column(row_end)) {
        return Err(format!("{name}: row_end names {row_end}, which is no column"));
    }
    if !table.columns.is_sorted_by_key(|column| column.hidden) {
        return Err(format!("{name}: hidden columns stand behind all others"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_a_line() {
        let line =
            r#"{"database":"d","table":"t","columns":[{"name":"a","type":"int unsigned"}],"key":["a"]}"#;
        let file = SchemaFile::parse(&format!("# comment\n\n{line}\n")).unwrap();
        assert_eq!(file.table("d", "t").unwrap().columns[0].column_type, "int unsigned");
        assert!(file.table("d", "T").is_none());
        assert!(SchemaFile::parse(&format!("{line}\n{line}")).unwrap_err().starts_with("line 2: "));
        assert!(SchemaFile::parse("{}").unwrap_err().starts_with("line 1: "));
        assert!(SchemaFile::parse(&line.replace(r#"["a"]"#, r#"["b"]"#)).unwrap_err().contains("no column"));
        assert!(SchemaFile::parse("not json").is_err());
    }

    #[test]
    fn columns_that_mariadb_keeps_for_itself() {
        let line = r#"{"database":"d","table":"t","columns":[{"name":"a","type":"int"},{"name":"e","type":"timestamp(6)","hidden":true}],"row_end":"e"}"#;
        let file = SchemaFile::parse(line).unwrap();
        let table = file.table("d", "t").unwrap();
        assert!(table.columns[1].hidden && table.row_end.as_deref() == Some("e"));
        let told = |from, to| SchemaFile::parse(&line.replace(from, to)).unwrap_err();
        assert!(told(r#""row_end":"e""#, r#""row_end":"f""#).contains("row_end names f"));
        let misplaced = r#"{"name":"a","type":"int","hidden":true},{"name":"b","type":"int"}"#;
        assert!(told(r#"{"name":"a","type":"int"}"#, misplaced).contains("stand behind all others"));
    }
}
