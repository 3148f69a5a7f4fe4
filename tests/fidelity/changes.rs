//! Statements that change definitions, and what the generator knows of the tables behind them.

use super::literal;
use super::round::Step;
use super::table::TableName;
use super::table::full_name;
use super::tables::Column;
use super::tables::Table;
use super::tables::World;
use super::tables::key_list;
use super::types::Type;
use super::types::chance;
use super::types::pick;

/// What holds when a statement was accepted.
pub enum Effect {
    Put(Table),
    Gone(TableName),
}

/// A statement, and what it does to the tables.
pub struct Change {
    pub step: Step,
    pub effects: Vec<Effect>,
}

impl Change {
    fn new(sql: String, tables: &[&TableName], effects: Vec<Effect>) -> Change {
        Change {
            step: Step { sql, ddl: true, tables: tables.iter().map(|table| (*table).clone()).collect() },
            effects,
        }
    }
}

impl World {
    pub fn create(&mut self, database: &str) -> Change {
        let (table, sql) = self.table(database);
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }

    pub fn create_widest(&mut self, database: &str) -> Change {
        let (table, sql) = self.widest(database);
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }

    /// A table, and one that refers to it.
    pub fn create_related(&mut self, database: &str) -> Change {
        let (mut parent, mut child) = (self.small_table(database), self.small_table(database));
        // MySQL 5.6 and MariaDB do not log the rows that a foreign key changes (README).
        let action = match self.kind {
            super::Kind::Mysql97 => pick(
                &mut self.dice,
                &["ON DELETE CASCADE ON UPDATE CASCADE", "ON DELETE SET NULL ON UPDATE CASCADE"],
            ),
            _ => "",
        };
        let key = literal::name(&parent.columns[0].name);
        let reference = literal::name(&child.columns[1].name);
        let sql = format!(
            "CREATE TABLE {0} ({key} INT PRIMARY KEY, {1} VARCHAR(20) NULL) ENGINE=InnoDB CHARACTER SET utf8mb4; \
             CREATE TABLE {2} ({3} INT PRIMARY KEY, {reference} INT NULL, \
             CONSTRAINT `f k{4}` FOREIGN KEY ({reference}) REFERENCES {0} ({key}) {action}) ENGINE=InnoDB",
            parent.full_name(),
            literal::name(&parent.columns[1].name),
            child.full_name(),
            literal::name(&child.columns[0].name),
            self.number
        );
        parent.columns[1].kind = Type::Text("varchar(20)".to_owned(), 20, super::texts::Charset::utf8mb4());
        (parent.related, child.related) = (true, true);
        let names = [&parent.name.clone(), &child.name.clone()];
        Change::new(sql, &names, vec![Effect::Put(parent), Effect::Put(child)])
    }

    /// Two columns of numbers, the first of them the key.
    fn small_table(&mut self, database: &str) -> Table {
        let mut columns =
            vec![self.column_of(Type::Int("int", 32, false)), self.column_of(Type::Int("int", 32, false))];
        for (column, not_null) in columns.iter_mut().zip([true, false]) {
            (column.not_null, column.pinned) = (not_null, true);
        }
        let name = (database.to_owned(), self.next_name());
        let key = vec![columns[0].name.clone()];
        Table { name, columns, key, engine: "InnoDB", partitioned: false, related: false }
    }

    pub fn accept(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Put(table) => {
                    self.tables.retain(|other| other.name != table.name);
                    self.tables.push(table);
                }
                Effect::Gone(name) => self.tables.retain(|table| table.name != name),
            }
        }
    }

    pub fn definition_change(&mut self) -> Option<Change> {
        if self.tables.is_empty() {
            return Some(self.create("d"));
        }
        let at = self.dice.roll(self.tables.len() as u64) as usize;
        let table = self.tables[at].clone();
        Some(match self.dice.roll(24) {
            0..=9 => self.alter(table),
            10 => self.rename_column(table),
            11 => self.rename(table),
            12 => self.swap(table),
            13 => Change::new(format!("TRUNCATE TABLE {}", table.full_name()), &[&table.name], vec![]),
            14 => self.create_anew(table),
            15 => self.create_like(table),
            16 => self.create_of_rows(table),
            17 if self.tables.len() > 3 && !table.related => Change::new(
                format!("DROP TABLE {}", table.full_name()),
                &[&table.name],
                vec![Effect::Gone(table.name.clone())],
            ),
            18 => self.partition_change(table),
            19 => self.other_key(table),
            20 => self.trigger(table),
            21 => self.engine(table),
            22 => self.index(table),
            _ if self.tables.len() < 8 => self.create("d"),
            _ => self.alter(table),
        })
    }

    /// One to three changes of columns in one ALTER TABLE.
    fn alter(&mut self, mut table: Table) -> Change {
        if table.columns.len() > 100 && chance(&mut self.dice, 2) {
            // The widest table is full.
            return Change::new(format!("TRUNCATE TABLE {}", table.full_name()), &[&table.name], vec![]);
        }
        let mut parts = Vec::new();
        let mut touched = Vec::new();
        for _ in 0..pick(&mut self.dice, &[1, 1, 1, 2, 3]) {
            let (part, name) = self.alteration(&mut table, &touched);
            touched.extend(name);
            parts.push(part);
        }
        if chance(&mut self.dice, 10) {
            let set = self.charsets[self.dice.roll(self.charsets.len() as u64) as usize].clause();
            parts.push(format!("DEFAULT {set}"));
        }
        let algorithm = match self.dice.roll(5) {
            0 => ", ALGORITHM=COPY",
            1 if self.kind != super::Kind::Mysql56 => ", ALGORITHM=INSTANT",
            _ => "",
        };
        let sql = format!("ALTER TABLE {} {}{algorithm}", table.full_name(), parts.join(", "));
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }

    /// A change of one column that no other change of the statement names.
    fn alteration(&mut self, table: &mut Table, touched: &[String]) -> (String, Option<String>) {
        let free: Vec<usize> = (0..table.columns.len())
            .filter(|at| {
                let column = &table.columns[*at];
                !column.pinned && !column.generated && !touched.contains(&column.name)
            })
            .collect();
        let at = (!free.is_empty()).then(|| free[self.dice.roll(free.len() as u64) as usize]);
        match (at, self.dice.roll(7)) {
            (Some(at), 0) if table.columns.len() > 2 => {
                let column = table.columns.remove(at);
                (format!("DROP COLUMN {}", literal::name(&column.name)), Some(column.name))
            }
            (Some(at), 1 | 2) => {
                let old = table.columns.remove(at);
                let mut new = self.column_like(&old);
                new.name = old.name.clone();
                let definition = self.definition(&new, true);
                let place = self.place(table, at, touched);
                let text = format!("MODIFY COLUMN {definition}{}", place.0);
                table.columns.insert(place.1, new);
                (text, Some(old.name))
            }
            (Some(at), 3) => {
                let old = table.columns.remove(at);
                let new = self.column_like(&old);
                let definition = self.definition(&new, true);
                let text = format!("CHANGE COLUMN {} {definition}", literal::name(&old.name));
                table.columns.insert(at, new.clone());
                (text, Some(new.name))
            }
            _ => {
                let column = self.column();
                let definition = self.definition(&column, true);
                let end = table.columns.len();
                let place = self.place(table, end, touched);
                table.columns.insert(place.1, column.clone());
                (format!("ADD COLUMN {definition}{}", place.0), Some(column.name))
            }
        }
    }

    /// A new type, often of the same family: what is converted then keeps something of what it was.
    fn column_like(&mut self, old: &Column) -> Column {
        let mut new = self.column();
        for _ in 0..6 {
            if std::mem::discriminant(&new.kind) == std::mem::discriminant(&old.kind) {
                break;
            }
            new = self.column();
        }
        while !fits(&old.kind, &new.kind) {
            new = self.column();
        }
        // NULL in it would become the time at which a server does it.
        new.not_null &= !matches!(new.kind, Type::Timestamp(_));
        new
    }

    /// `FIRST`, `AFTER …` or nothing, and where the column stands then.
    fn place(&mut self, table: &Table, stays: usize, touched: &[String]) -> (String, usize) {
        match self.dice.roll(3) {
            0 => (" FIRST".to_owned(), 0),
            1 if !table.columns.is_empty() => {
                let at = self.dice.roll(table.columns.len() as u64) as usize;
                let name = &table.columns[at].name;
                if touched.contains(name) {
                    (String::new(), stays)
                } else {
                    (format!(" AFTER {}", literal::name(name)), at + 1)
                }
            }
            _ => (String::new(), stays),
        }
    }

    fn rename_column(&mut self, mut table: Table) -> Change {
        let free: Vec<usize> = (0..table.columns.len()).filter(|at| !table.columns[*at].pinned).collect();
        if free.is_empty() || self.kind == super::Kind::Mysql56 {
            return self.alter(table);
        }
        let at = free[self.dice.roll(free.len() as u64) as usize];
        let new = self.next_name();
        let old = std::mem::replace(&mut table.columns[at].name, new.clone());
        let sql = format!(
            "ALTER TABLE {} RENAME COLUMN {} TO {}",
            table.full_name(),
            literal::name(&old),
            literal::name(&new)
        );
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }

    fn rename(&mut self, table: Table) -> Change {
        let name = (pick(&mut self.dice, &["d", "e.e"]).to_owned(), self.next_name());
        let verb = if chance(&mut self.dice, 2) {
            format!("RENAME TABLE {} TO {}", table.full_name(), full_name(&name))
        } else {
            format!("ALTER TABLE {} RENAME TO {}", table.full_name(), full_name(&name))
        };
        let mut renamed = table.clone();
        renamed.name = name;
        Change::new(verb, &[&table.name], vec![Effect::Gone(table.name.clone()), Effect::Put(renamed)])
    }

    /// Two tables change their names, as the tools that alter tables online do.
    fn swap(&mut self, table: Table) -> Change {
        let at = self.dice.roll(self.tables.len() as u64) as usize;
        let other = self.tables[at].clone();
        if other.name == table.name {
            return self.rename(table);
        }
        let (a, b) = (table.full_name(), other.full_name());
        let sql = format!("RENAME TABLE {a} TO d.`swap.ping`, {b} TO {a}, d.`swap.ping` TO {b}");
        let mut one = table.clone();
        let mut two = other.clone();
        std::mem::swap(&mut one.name, &mut two.name);
        Change::new(sql, &[&table.name, &other.name], vec![Effect::Put(one), Effect::Put(two)])
    }

    /// Dropped, and made again under the same name with another definition.
    fn create_anew(&mut self, table: Table) -> Change {
        if table.related {
            return self.alter(table);
        }
        let (mut new, sql) = self.table(&table.name.0);
        let sql = sql.replacen(&new.full_name(), &table.full_name(), 1);
        new.name = table.name.clone();
        let sql = format!("DROP TABLE {}; {sql}", table.full_name());
        Change::new(sql, &[&table.name], vec![Effect::Put(new)])
    }

    fn create_like(&mut self, table: Table) -> Change {
        let mut new = table.clone();
        new.name = ("d".to_owned(), self.next_name());
        new.related = false;
        let sql = format!("CREATE TABLE {} LIKE {}", new.full_name(), table.full_name());
        // Generated columns of it are generated on the target too: the statement does not say so.
        if table.columns.iter().any(|column| column.generated) {
            return self.alter(table);
        }
        Change::new(sql, &[&new.name.clone()], vec![Effect::Put(new)])
    }

    fn create_of_rows(&mut self, table: Table) -> Change {
        let name = ("d".to_owned(), self.next_name());
        let columns: Vec<Column> = table
            .writable()
            .into_iter()
            .map(|column| Column { pinned: false, counts: false, ..column.clone() })
            .collect();
        let names: Vec<String> = columns.iter().map(|column| literal::name(&column.name)).collect();
        let sql = format!(
            "CREATE TABLE {} ENGINE=InnoDB AS SELECT {} FROM {} ORDER BY RAND(5) LIMIT 7",
            full_name(&name),
            names.join(","),
            table.full_name()
        );
        let new = Table {
            name: name.clone(),
            columns,
            key: Vec::new(),
            engine: "InnoDB",
            partitioned: false,
            related: false,
        };
        Change::new(sql, &[&name], vec![Effect::Put(new)])
    }

    fn partition_change(&mut self, table: Table) -> Change {
        if !table.partitioned {
            return self.create("d");
        }
        let part = pick(
            &mut self.dice,
            &[
                "TRUNCATE PARTITION p1",
                "DROP PARTITION p0",
                "ADD PARTITION PARTITIONS 2",
                "COALESCE PARTITION 1",
                "REMOVE PARTITIONING",
                "REBUILD PARTITION p1",
            ],
        );
        Change::new(format!("ALTER TABLE {} {part}", table.full_name()), &[&table.name], vec![])
    }

    fn other_key(&mut self, mut table: Table) -> Change {
        let candidates: Vec<Column> = table
            .columns
            .iter()
            .filter(|c| c.not_null && c.kind.as_key() == Some("") && !c.generated)
            .cloned()
            .collect();
        if table.related || table.partitioned || table.key.is_empty() || candidates.is_empty() {
            return self.index(table);
        }
        let column = &candidates[self.dice.roll(candidates.len() as u64) as usize];
        table.key = vec![column.name.clone()];
        table.columns.iter_mut().filter(|c| c.name == column.name).for_each(|c| c.pinned = true);
        let sql = format!(
            "ALTER TABLE {} DROP PRIMARY KEY, ADD PRIMARY KEY ({})",
            table.full_name(),
            key_list(&table.columns, &table.key)
        );
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }

    fn index(&mut self, table: Table) -> Change {
        let columns: Vec<&Column> = table.columns.iter().filter(|c| c.kind.as_key().is_some()).collect();
        if columns.is_empty() {
            return self.create("d");
        }
        let column = columns[self.dice.roll(columns.len() as u64) as usize];
        self.number += 1;
        let word = pick(&mut self.dice, &["INDEX", "INDEX", "UNIQUE INDEX"]);
        let list = key_list(&table.columns, std::slice::from_ref(&column.name));
        Change::new(
            format!("CREATE {word} `i x{}` ON {} ({list})", self.number, table.full_name()),
            &[&table.name],
            vec![],
        )
    }

    /// What a trigger writes comes as rows like others; the target has none.
    fn trigger(&mut self, table: Table) -> Change {
        let at = self.dice.roll(self.tables.len() as u64) as usize;
        let other = self.tables[at].clone();
        let change = pick(&mut self.dice, &["INSERT", "UPDATE", "DELETE"]);
        if other.name == table.name || !other.is_transactional() {
            return self.index(table);
        }
        let name = literal::name(&self.next_name());
        let values = self.insert_that_passes(&other);
        let sql = format!(
            "CREATE TRIGGER {}.{name} AFTER {change} ON {} FOR EACH ROW {values}",
            literal::name(&table.name.0),
            table.full_name()
        );
        Change::new(sql, &[&table.name], vec![])
    }

    fn engine(&mut self, mut table: Table) -> Change {
        if table.partitioned || table.related {
            return self.index(table);
        }
        table.engine = if table.engine == "InnoDB" { "MyISAM" } else { "InnoDB" };
        let sql = format!("ALTER TABLE {} ENGINE={}", table.full_name(), table.engine);
        Change::new(sql, &[&table.name.clone()], vec![Effect::Put(table)])
    }
}

/// Whether a column that holds values can become of the other type. Servers do not agree with themselves on whether a number
/// can become a geometry, and MySQL 5.6 leaves values as they are when a FLOAT gets fewer digits.
fn fits(old: &Type, new: &Type) -> bool {
    match new {
        Type::Geometry(_) => matches!(old, Type::Geometry(_)),
        Type::Float(digits) | Type::Double(digits) => !digits.contains('('),
        _ => true,
    }
}
