//! Statements that change rows.

use super::Kind;
use super::cell::Image;
use super::cell::Place;
use super::literal;
use super::round::FILE;
use super::tables::Column;
use super::tables::Table;
use super::tables::World;
use super::tables::quoted;
use super::types::Type;
use super::types::chance;
use super::types::pick;

impl World {
    fn table_of(&mut self, transactional: bool) -> Option<Table> {
        let fit: Vec<&Table> =
            self.tables.iter().filter(|table| table.is_transactional() || !transactional).collect();
        if fit.is_empty() {
            return None;
        }
        let at = self.dice.roll(fit.len() as u64) as usize;
        Some(fit[at].clone())
    }

    fn value(&mut self, column: &Column) -> String {
        let may_be_null = !column.not_null || column.counts;
        if may_be_null && chance(&mut self.dice, 6) {
            return "NULL".to_owned();
        }
        column.kind.value(&mut self.dice)
    }

    /// Some of a table's columns, or all, with what cannot be left out.
    fn some_columns(&mut self, table: &Table) -> Vec<Column> {
        let all = chance(&mut self.dice, 2);
        let dice = &mut self.dice;
        let kept = table.writable().into_iter().filter(|column| all || column.not_null || !chance(dice, 4));
        kept.cloned().collect()
    }

    fn rows(&mut self, columns: &[Column], count: u64) -> String {
        let row = |world: &mut World| {
            let values: Vec<String> = columns.iter().map(|column| world.value(column)).collect();
            format!("({})", values.join(","))
        };
        (0..count).map(|_| row(self)).collect::<Vec<_>>().join(",")
    }

    fn insert(&mut self, table: &Table) -> String {
        let verb = pick(
            &mut self.dice,
            &["INSERT INTO", "INSERT IGNORE INTO", "INSERT IGNORE INTO", "REPLACE INTO"],
        );
        // What a REPLACE resets to its default MariaDB logs with full images only (README).
        let resets = verb == "REPLACE INTO" && !self.kind.is_mysql() && self.cell.image != Image::Full;
        let columns =
            if resets { table.writable().into_iter().cloned().collect() } else { self.some_columns(table) };
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        // Of several rows of no columns MySQL can log none but the first with minimal images; MyISAM keeps the others.
        let count = match (columns.len(), table.columns.len()) {
            (0, _) => 1,
            (_, 101..) => 2,
            _ => 1 + self.dice.roll(5),
        };
        let rows = self.rows(&columns, count);
        let mut sql = format!("{verb} {} ({}) VALUES {rows}", table.full_name(), quoted(&names));
        if verb == "INSERT INTO" && chance(&mut self.dice, 2) && !columns.is_empty() {
            let sets = self.assignments(table, false);
            if !sets.is_empty() {
                sql += &format!(" ON DUPLICATE KEY UPDATE {sets}");
            }
        }
        sql
    }

    /// `a=1,b=NULL`; with the key's columns, or without.
    fn assignments(&mut self, table: &Table, with_key: bool) -> String {
        let columns: Vec<Column> = table
            .writable()
            .into_iter()
            .filter(|c| with_key || !table.key.contains(&c.name))
            .cloned()
            .collect();
        let mut sets = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let Some(column) =
                (!columns.is_empty()).then(|| columns[self.dice.roll(columns.len() as u64) as usize].clone())
            else {
                break;
            };
            let name = literal::name(&column.name);
            let value = match (&column.kind, self.dice.roll(3)) {
                (Type::Json, 0) => self.json_change(&name),
                (Type::Int(..), 0) => format!("{name}+1"),
                // MariaDB lets a compressed one grow longer than it is declared, where the set has wide characters.
                (Type::Text(declaration, ..), 0) if !declaration.ends_with("COMPRESSED") => {
                    format!("CONCAT({name},'z')")
                }
                _ => self.value(&column),
            };
            sets.push(format!("{name}={value}"));
        }
        sets.join(",")
    }

    /// What may be logged as a change of the document alone.
    fn json_change(&mut self, column: &str) -> String {
        match self.dice.roll(6) {
            0 => format!("JSON_SET({column},'$.a',JSON_ARRAY(1,'x'))"),
            1 => format!("JSON_REPLACE({column},'$.a','y','$[0]',2)"),
            2 => format!("JSON_REMOVE({column},'$[0]')"),
            3 => format!("JSON_REMOVE({column},'$.a','$.\"b1\"')"),
            4 => {
                format!("JSON_SET({column},'$.b',1.5,'$.\"x y\"',CAST('null' AS JSON),'$[1]',REPEAT('q',40))")
            }
            _ => format!("JSON_REPLACE({column},'$.a.b','n','$[0][0]',JSON_OBJECT('k',1))"),
        }
    }

    /// Rows that chance chooses, the same whenever the table holds the same.
    fn some_rows(&mut self) -> String {
        format!("ORDER BY RAND({}) LIMIT {}", self.dice.roll(1000), 1 + self.dice.roll(6))
    }

    fn update(&mut self, table: &Table) -> String {
        let with_key = chance(&mut self.dice, 3);
        let sets = self.assignments(table, with_key);
        if sets.is_empty() {
            return self.insert(table);
        }
        let ignore = pick(&mut self.dice, &["", "IGNORE "]);
        let rows = if chance(&mut self.dice, 5) { String::new() } else { self.some_rows() };
        format!("UPDATE {ignore}{} SET {sets} {rows}", table.full_name())
    }

    fn delete(&mut self, table: &Table) -> String {
        let rows = self.some_rows();
        format!("DELETE FROM {} {rows}", table.full_name())
    }

    fn update_of_two(&mut self, table: &Table) -> String {
        let Some(other) = self.table_of(true) else { return self.update(table) };
        let (one, two) = (self.assignments(table, false), self.assignments(&other, false));
        if one.is_empty() || two.is_empty() || table.name == other.name || !table.is_transactional() {
            return self.update(table);
        }
        // Names of columns are unlike each other across tables.
        format!("UPDATE IGNORE {}, {} SET {one},{two}", table.full_name(), other.full_name())
    }

    fn load(&mut self, table: &Table) -> String {
        // A document cannot be read from bytes of no character set.
        let documents = table.columns.iter().any(|column| column.kind == Type::Json);
        let set = if documents { "utf8mb4" } else { "binary" };
        let columns = quoted(&names(table));
        let name = table.full_name();
        format!(
            "SELECT {columns} INTO OUTFILE '{FILE}' CHARACTER SET {set} FROM {name} ORDER BY RAND(1) LIMIT 5; \
             DELETE FROM {name} ORDER BY RAND(1) LIMIT 5; \
             LOAD DATA INFILE '{FILE}' IGNORE INTO TABLE {name} CHARACTER SET {set} ({columns})"
        )
    }

    fn change_of(&mut self, table: &Table) -> String {
        match self.dice.roll(20) {
            0..=8 => self.insert(table),
            9..=13 => self.update(table),
            14 => self.update_of_two(table),
            15 | 16 => self.delete(table),
            17 => self.load(table),
            18 => format!(
                "INSERT IGNORE INTO {0} ({1}) SELECT {1} FROM {0} ORDER BY RAND(3) LIMIT 3",
                table.full_name(),
                quoted(&names(table))
            ),
            _ => format!(
                "REPLACE INTO {0} ({1}) SELECT {1} FROM {0} ORDER BY RAND(3) LIMIT 3",
                table.full_name(),
                quoted(&names(table))
            ),
        }
    }

    /// One statement, or a transaction of several.
    pub fn changes(&mut self) -> Vec<String> {
        match self.dice.roll(12) {
            0..=7 => self.table_of(false).map(|table| vec![self.change_of(&table)]).unwrap_or_default(),
            8 | 9 => self.transaction(),
            10 => self.transaction_with_savepoint(),
            _ => self.xa(),
        }
    }

    /// Engines are mixed where GTIDs do not forbid it: MariaDB logs rolled back rows then, and the ROLLBACK.
    fn several(&mut self) -> Vec<String> {
        let alike =
            self.kind == Kind::Mysql97 || self.kind == Kind::Mysql56 && self.cell.place == Place::Gtid;
        let count = 1 + self.dice.roll(4);
        (0..count).filter_map(|_| self.table_of(alike).map(|table| self.change_of(&table))).collect()
    }

    fn transaction(&mut self) -> Vec<String> {
        let end = pick(&mut self.dice, &["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]);
        [vec!["BEGIN".to_owned()], self.several(), vec![end.to_owned()]].concat()
    }

    fn transaction_with_savepoint(&mut self) -> Vec<String> {
        let word = |text: &str| vec![text.to_owned()];
        let back = pick(&mut self.dice, &["ROLLBACK TO `s p`", "RELEASE SAVEPOINT `s p`"]);
        let (before, between, behind) = (self.several(), self.several(), self.several());
        [word("BEGIN"), before, word("SAVEPOINT `s p`"), between, word(back), behind, word("COMMIT")].concat()
    }

    /// As one, because its parts cannot be told apart by who refuses them.
    fn xa(&mut self) -> Vec<String> {
        self.number += 1;
        let name = format!("'xa {}'", self.number);
        let Some(table) = self.table_of(true) else { return Vec::new() };
        let changes: Vec<String> =
            (0..1 + self.dice.roll(3)).map(|_| self.insert_that_passes(&table)).collect();
        let end = pick(
            &mut self.dice,
            &["PREPARE; XA COMMIT", "PREPARE; XA COMMIT", "COMMIT ONE PHASE", "PREPARE; XA ROLLBACK"],
        );
        let end = match end {
            "COMMIT ONE PHASE" => format!("XA COMMIT {name} ONE PHASE"),
            _ => format!("XA {}", end.replace(';', &format!(" {name};"))) + &format!(" {name}"),
        };
        vec![format!("XA START {name}; {}; XA END {name}; {end}", changes.join("; "))]
    }

    pub fn insert_that_passes(&mut self, table: &Table) -> String {
        let columns: Vec<Column> = table.writable().into_iter().cloned().collect();
        let rows = self.rows(&columns, 2);
        format!("INSERT IGNORE INTO {} ({}) VALUES {rows}", table.full_name(), quoted(&names(table)))
    }
}

fn names(table: &Table) -> Vec<String> {
    table.writable().iter().map(|column| column.name.clone()).collect()
}
