//! The tables as the generator knows them, and how they are made.

use super::applier::GENERATED;
use super::cell::Cell;
use super::cell::Image;
use super::cell::Reading;
use super::literal;
use super::table::TableName;
use super::table::full_name;
use super::texts;
use super::texts::Charset;
use super::types::Type;
use super::types::chance;
use super::types::pick;
use crate::harness::Kind;
use crate::harness::shapes::Dice;

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Type,
    pub not_null: bool,
    /// The server computes it.
    pub generated: bool,
    /// AUTO_INCREMENT
    pub counts: bool,
    /// A generated one is made of it, or a partition: its type stays.
    pub pinned: bool,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: TableName,
    pub columns: Vec<Column>,
    /// Names of the primary key's columns.
    pub key: Vec<String>,
    pub engine: &'static str,
    pub partitioned: bool,
    /// Referred to by, or referring to, another: neither dropped nor changed in its key.
    pub related: bool,
}

/// What tables are made for.
pub struct World {
    pub kind: Kind,
    pub cell: Cell,
    pub charsets: Vec<Charset>,
    pub dice: Dice,
    pub tables: Vec<Table>,
    /// Makes names unlike each other.
    pub number: u64,
}

impl Table {
    /// The columns that a statement may give values for.
    pub fn writable(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }

    pub fn full_name(&self) -> String {
        full_name(&self.name)
    }

    pub fn is_transactional(&self) -> bool {
        self.engine == "InnoDB"
    }
}

pub fn quoted(names: &[String]) -> String {
    names.iter().map(|name| literal::name(name)).collect::<Vec<_>>().join(",")
}

impl World {
    pub fn next_name(&mut self) -> String {
        self.number += 1;
        texts::name(&mut self.dice, self.number)
    }

    pub fn column(&mut self) -> Column {
        let mut kind = Type::roll(self.kind, &self.charsets, &mut self.dice);
        while self.must_say_itself() && kind.may_be_another() {
            kind = Type::roll(self.kind, &self.charsets, &mut self.dice);
        }
        self.column_of(kind)
    }

    /// Whether nobody can be asked for the definition: it may be another one by the time that the rows are read.
    fn must_say_itself(&self) -> bool {
        self.cell.reading == Reading::Afterwards && !self.kind.is_mysql()
    }

    pub fn column_of(&mut self, kind: Type) -> Column {
        // Where one that is NOT NULL is added, rows get a value without bytes, which the server itself takes from nobody.
        let odd = matches!(kind, Type::Geometry(_) | Type::Vector(_));
        let not_null = chance(&mut self.dice, 4) && !odd;
        Column { name: self.next_name(), kind, not_null, generated: false, counts: false, pinned: false }
    }

    /// The definition of a column; `alone` when rows may be there already.
    pub fn definition(&mut self, column: &Column, alone: bool) -> String {
        let mut text = format!("{} {}", literal::name(&column.name), column.kind.declaration());
        let is_timestamp = matches!(column.kind, Type::Timestamp(_));
        text += if column.not_null { " NOT NULL" } else { " NULL" };
        match (is_timestamp, &column.kind) {
            // What it would be set to by itself is the time at which a server does it.
            (true, Type::Timestamp(digits)) if column.not_null || alone => {
                text += " DEFAULT '2001-02-03 04:05:06'";
                if !alone && chance(&mut self.dice, 2) {
                    let digits = if *digits == 0 { String::new() } else { format!("({digits})") };
                    text += &format!(" ON UPDATE CURRENT_TIMESTAMP{digits}");
                }
            }
            (_, Type::Int(..)) if column.counts => text += " AUTO_INCREMENT",
            (_, Type::Int(..)) if chance(&mut self.dice, 3) => text += " DEFAULT 7",
            (_, Type::Text(declaration, 5.., _))
                if declaration.contains("char") && chance(&mut self.dice, 3) =>
            {
                text += " DEFAULT 'x y'";
            }
            _ => {}
        }
        let invisible = match self.kind {
            Kind::Mysql56 => false,
            // NOT NULL and invisible without a default is refused.
            _ => !column.not_null && chance(&mut self.dice, 12),
        };
        if invisible {
            text += " INVISIBLE";
        }
        if chance(&mut self.dice, 8) {
            text += " COMMENT 'it''s; -- /* `x` 😀'";
        }
        text
    }

    /// A generated column of another one. Servers log none of them for MINIMAL and NOBLOB in every case.
    fn generated(&mut self, base: &mut Column) -> Option<(Column, String)> {
        let (Type::Int(..) | Type::Text(..) | Type::Decimal(..)) = base.kind else { return None };
        if self.kind == Kind::Mysql56 || self.cell.image != Image::Full {
            return None;
        }
        let name = self.next_name();
        let of = literal::name(&base.name);
        let (kind, expression) = match &base.kind {
            Type::Text(..) => {
                (Type::Text("varchar(500)".to_owned(), 500, Charset::utf8mb4()), format!("CONCAT({of},'-x')"))
            }
            _ => (Type::Double(String::new()), format!("{of}/2")),
        };
        let stored = if chance(&mut self.dice, 2) { "STORED" } else { "VIRTUAL" };
        let (begin, end) = GENERATED;
        let text = format!(
            "{} {} {begin}GENERATED ALWAYS AS ({expression}) {stored}{end}",
            literal::name(&name),
            kind.declaration()
        );
        base.pinned = true;
        Some((Column { name, kind, not_null: false, generated: true, counts: false, pinned: true }, text))
    }

    /// A table and the statement that makes it.
    pub fn table(&mut self, database: &str) -> (Table, String) {
        let count = pick(&mut self.dice, &[1, 2, 3, 5, 8, 13, 20, 30]);
        let mut columns: Vec<Column> = (0..count).map(|_| self.column()).collect();
        let key = self.choose_key(&mut columns);
        let mut parts: Vec<String> = Vec::new();
        let mut all = Vec::new();
        for mut column in columns {
            parts.push(self.definition(&column, false));
            let made = if chance(&mut self.dice, 6) { self.generated(&mut column) } else { None };
            all.push(column);
            if let Some((made, text)) = made {
                parts.push(text);
                all.push(made);
            }
        }
        let mut columns = all;
        if !key.is_empty() {
            parts.push(format!("{} ({})", self.key_word(), key_list(&columns, &key)));
        }
        let engine = match self.dice.roll(10) {
            // Without spatial columns.
            _ if columns.iter().any(|column| matches!(column.kind, Type::Geometry(_))) => "InnoDB",
            0 => "MyISAM",
            1 if !self.kind.is_mysql() => "Aria",
            _ => "InnoDB",
        };
        let (partitions, partitioned) = self.partitions(&mut columns, &key, engine);
        let name = (database.to_owned(), self.next_name());
        let set = self.charsets[self.dice.roll(self.charsets.len() as u64) as usize].clause();
        let text = format!(
            "CREATE TABLE {} ({}) ENGINE={engine} {set}{partitions}",
            full_name(&name),
            parts.join(", ")
        );
        (Table { name, columns, key, engine, partitioned, related: false }, text)
    }

    /// A unique key of columns that cannot be NULL is as good as a primary one.
    fn key_word(&mut self) -> &'static str {
        if chance(&mut self.dice, 6) { "UNIQUE KEY" } else { "PRIMARY KEY" }
    }

    fn choose_key(&mut self, columns: &mut [Column]) -> Vec<String> {
        let wanted = pick(&mut self.dice, &[0, 1, 1, 1, 2, 3, 4]);
        let mut key = Vec::new();
        for column in columns.iter_mut() {
            if key.len() < wanted && column.kind.as_key().is_some() && !chance(&mut self.dice, 3) {
                column.not_null = true;
                column.pinned = true;
                key.push(column.name.clone());
            }
        }
        if chance(&mut self.dice, 2) {
            key.reverse();
        }
        let single = columns.iter_mut().filter(|column| key.len() == 1 && column.name == key[0]);
        for column in single.filter(|column| matches!(column.kind, Type::Int(..))) {
            column.counts = chance(&mut self.dice, 2);
        }
        key
    }

    fn partitions(&mut self, columns: &mut [Column], key: &[String], engine: &str) -> (String, bool) {
        let whole = columns
            .iter_mut()
            .find(|c| matches!(c.kind, Type::Int(..)) && (key.is_empty() || key.contains(&c.name)));
        let Some(column) = whole else { return (String::new(), false) };
        if engine != "InnoDB" || !chance(&mut self.dice, 4) {
            return (String::new(), false);
        }
        column.pinned = true;
        let name = literal::name(&column.name);
        let text = match self.dice.roll(2) {
            0 => format!(" PARTITION BY HASH ({name}) PARTITIONS 3"),
            _ => format!(
                " PARTITION BY RANGE ({name}) (PARTITION p0 VALUES LESS THAN (0), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN MAXVALUE)"
            ),
        };
        (text, true)
    }

    /// As many columns as a table may have.
    pub fn widest(&mut self, database: &str) -> (Table, String) {
        let kinds = [
            Type::Int("tinyint", 8, false),
            Type::Bit(1),
            Type::Int("smallint", 16, true),
            Type::Year,
            Type::Bytes("varbinary(1)".to_owned(), 1),
            Type::Text(
                "char(1)".to_owned(),
                1,
                Charset { name: "latin1".to_owned(), collation: "latin1_bin".to_owned() },
            ),
        ];
        let mut columns: Vec<Column> =
            (0..1017).map(|at| self.column_of(kinds[at % kinds.len()].clone())).collect();
        columns[0].not_null = true;
        columns[0].pinned = true;
        let parts: Vec<String> = columns
            .clone()
            .iter()
            .map(|column| {
                format!(
                    "{} {}{}",
                    literal::name(&column.name),
                    column.kind.declaration(),
                    if column.not_null { " NOT NULL" } else { "" }
                )
            })
            .collect();
        let name = (database.to_owned(), self.next_name());
        let key = vec![columns[0].name.clone()];
        let text = format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({})) ENGINE=InnoDB",
            full_name(&name),
            parts.join(","),
            quoted(&key)
        );
        (Table { name, columns, key, engine: "InnoDB", partitioned: false, related: false }, text)
    }
}

pub fn key_list(columns: &[Column], key: &[String]) -> String {
    let part = |name: &String| {
        let column = columns.iter().find(|column| column.name == *name);
        let prefix = column.and_then(|column| column.kind.as_key()).unwrap_or("");
        format!("{}{prefix}", literal::name(name))
    };
    key.iter().map(part).collect::<Vec<_>>().join(",")
}
