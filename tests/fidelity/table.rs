//! What a server holds: the columns of a table, and all of its rows in a form that can be compared.

use super::literal::Column;
use super::literal::Group;
use super::literal::has_one_code_each;
use super::literal::name;
use super::literal::text;
use crate::harness::Session;
use std::fmt::Write;

/// Database and table.
pub type TableName = (String, String);

pub fn full_name(table: &TableName) -> String {
    format!("{}.{}", name(&table.0), name(&table.1))
}

/// The columns of a table in their order; none when there is no such table.
pub fn columns(session: &mut Session, table: &TableName) -> Vec<Column> {
    let rows = session.select(&format!(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IFNULL(CHARACTER_SET_NAME,''), IS_NULLABLE, EXTRA \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA={} AND TABLE_NAME={} ORDER BY ORDINAL_POSITION",
        text(&table.0),
        text(&table.1)
    ));
    let of_row = |row: Vec<Option<String>>| {
        let [name, data_type, full_type, charset, nullable, extra] =
            <[_; 6]>::try_from(row).expect("six were asked for").map(Option::unwrap_or_default);
        Column {
            name,
            data_type: data_type.to_lowercase(),
            full_type,
            charset,
            nullable: nullable == "YES",
            changes_itself: extra.to_lowercase().contains("on update"),
            generated: extra.contains(" GENERATED"),
        }
    };
    rows.into_iter().map(of_row).collect()
}

/// All that a table holds.
pub struct Dump {
    pub table: TableName,
    columns: Vec<Column>,
    /// Sorted; a value is as [`Column::shown`] asks for it.
    rows: Vec<Vec<Option<String>>>,
    /// None where equal content may be stored in different bytes.
    checksum: Option<String>,
}

impl Dump {
    pub fn of(session: &mut Session, table: &TableName) -> Dump {
        let columns = columns(session, table);
        if columns.is_empty() {
            return Dump { table: table.clone(), columns, rows: Vec::new(), checksum: None };
        }
        let shown: Vec<String> = columns.iter().map(Column::shown).collect();
        let full_name = full_name(table);
        let mut rows = session.select(&format!("SELECT {} FROM {full_name}", shown.join(",")));
        rows.sort();
        // A document may be stored in more than one way, and a text of some sets in more than one code. A generated
        // column is a plain one on the other side, which may count in another way.
        let plain = |column: &Column| {
            let certain = column.group() != Group::Text || has_one_code_each(&column.charset);
            column.group() != Group::Json && certain && !column.generated
        };
        let checksum = columns
            .iter()
            .all(plain)
            .then(|| session.select(&format!("CHECKSUM TABLE {full_name}")).remove(0).remove(1))
            .flatten();
        Dump { table: table.clone(), columns, rows, checksum }
    }

    pub fn values(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// What differs, by column and value.
    pub fn difference(&self, delivered: &Dump) -> Option<String> {
        let table = full_name(&self.table);
        let described = |dump: &Dump| {
            dump.columns
                .iter()
                .map(|c| (c.name.clone(), c.full_type.clone(), c.charset.clone()))
                .collect::<Vec<_>>()
        };
        if described(self) != described(delivered) {
            return Some(format!(
                "{table}: the source has {:?}, delivered {:?}",
                described(self),
                described(delivered)
            ));
        }
        if self.rows != delivered.rows {
            return Some(self.different_rows(delivered));
        }
        if self.checksum.is_some() && self.checksum != delivered.checksum {
            return Some(format!(
                "{table}: CHECKSUM TABLE of the source {:?}, of what was delivered {:?}, while every value looks the same",
                self.checksum, delivered.checksum
            ));
        }
        None
    }

    fn different_rows(&self, delivered: &Dump) -> String {
        let only = |of: &Dump, not_in: &Dump| {
            let mut others = not_in.rows.clone();
            let mut only = Vec::new();
            for row in &of.rows {
                match others.iter().position(|other| other == row) {
                    Some(at) => drop(others.swap_remove(at)),
                    None => only.push(row.clone()),
                }
            }
            only
        };
        let (missing, surplus) = (only(self, delivered), only(delivered, self));
        let mut told = format!(
            "{}: {} rows on the source, {} delivered; {} of the source are not among them, {} are not the source's",
            full_name(&self.table),
            self.rows.len(),
            delivered.rows.len(),
            missing.len(),
            surplus.len()
        );
        let alike = |one: &Vec<Option<String>>, other: &Vec<Option<String>>| {
            one.iter().zip(other).filter(|(one, other)| one == other).count()
        };
        for row in missing.iter().take(5) {
            let nearest = surplus.iter().max_by_key(|other| alike(row, other));
            writeln!(told, "\n  row {:?}", shortened(&row[..row.len().min(4)])).expect("a string");
            let Some(nearest) = nearest else { continue };
            for ((column, source), delivered) in self.columns.iter().zip(row).zip(nearest) {
                if source != delivered {
                    let values = shortened(&[source.clone(), delivered.clone()]);
                    let (column, kind) = (&column.name, &column.full_type);
                    writeln!(told, "    {column} {kind}: source {}, delivered {}", values[0], values[1])
                        .expect("a string");
                }
            }
        }
        for row in surplus.iter().take(5) {
            writeln!(told, "\n  delivered only: {:?}", shortened(&row[..row.len().min(4)]))
                .expect("a string");
        }
        told
    }
}

fn shortened(values: &[Option<String>]) -> Vec<String> {
    values
        .iter()
        .map(|value| format!("{:?}", value.as_deref().map(|text| text.chars().take(200).collect::<String>())))
        .collect()
}
