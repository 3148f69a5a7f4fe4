//! The server's side: one connection, the tables' definitions, one row at a time by its key.

use crate::code::Code;
use crate::column::declared;
use crate::column::declared::DeclaredType;
use crate::column::declared::Word;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::mysql::Connection;
use crate::mysql::ServerFacts;
use crate::mysql::SourceError;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::catalog::quote_name;
use crate::mysql::catalog::table_definition;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::session::source_config;
use crate::stop::Stop;
use crate::sync_point::SyncPoint;
use crate::verify::against::reaches;
use crate::verify::against::sample::Table;
use crate::verify::against::sample::Values;
use crate::verify::against::values::condition;
use crate::verify::against::values::equal;
use crate::verify::against::values::expression;
use std::collections::BTreeMap;

/// A row's values in the order of the table's columns; none when there is no such row.
pub type Answer = Option<Vec<Option<Vec<u8>>>>;

type Trouble = (Code, String);

/// One connection to a shard's main server.
pub struct Server {
    connection: Connection,
    facts: ServerFacts,
    tables: BTreeMap<Table, TableReader>,
}

/// How a table's rows are asked for and compared.
#[derive(Debug, Clone)]
pub struct TableReader {
    columns: Vec<Column>,
    select: String,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    declared: DeclaredType,
}

impl Column {
    fn is_binary(&self) -> bool {
        self.declared.word.is_binary()
    }
}

fn trouble(error: SourceError) -> Trouble {
    (error.code(), error.to_string())
}

impl Server {
    pub fn open(config: &Config, shard: &ShardConfig) -> Result<Self, Trouble> {
        let uuid = replica_uuid(config, &shard.name);
        let Some(source) = shard.sources.first() else {
            return Err((Code::Config, "the shard has no server".to_owned()));
        };
        let id = ReplicaIds::new(source.slave_id).take();
        let source = source_config(shard, source, id, &uuid).map_err(|fault| (fault.code, fault.text))?;
        let mut connection = Connection::open(&source, &Stop::new()).map_err(trouble)?;
        let facts = ServerFacts::probe(&mut connection).map_err(trouble)?;
        for statement in ["SET NAMES utf8mb4", "SET time_zone='+00:00'", "SET sql_mode=''"] {
            connection.query(statement).map_err(trouble)?;
        }
        Ok(Self { connection, facts, tables: BTreeMap::new() })
    }

    pub fn place(&self) -> &str {
        self.connection.place()
    }

    /// How a table is read, or why it cannot be.
    pub fn table(&mut self, table: &Table) -> Result<Result<TableReader, String>, Trouble> {
        let definition = match table_definition(&mut self.connection, &table.0, &table.1) {
            Ok(Some(definition)) => definition,
            Ok(None) => return Ok(Err("the server has no such table (any more)".to_owned())),
            Err(error) if error.code() == Code::RightMissing => return Ok(Err(error.to_string())),
            Err(error) => return Err(trouble(error)),
        };
        let mut columns = Vec::new();
        for column in definition.columns {
            match declared::parse(&column.column_type) {
                Ok(declared) if declared.word != Word::Other => {
                    columns.push(Column { name: column.name, declared });
                }
                Ok(_) | Err(_) => {}
            }
        }
        let expressions: Vec<String> = columns
            .iter()
            .map(|column| expression(&column.name, &column.declared, column.is_binary()))
            .collect();
        let select = format!(
            "SELECT {} FROM {}.{} WHERE ",
            expressions.join(","),
            quote_name(&table.0),
            quote_name(&table.1)
        );
        let reader = TableReader { columns, select };
        self.tables.insert(table.clone(), reader.clone());
        Ok(Ok(reader))
    }

    pub fn known(&self, table: &Table) -> Option<&TableReader> {
        self.tables.get(table)
    }

    /// The row of a key; none when the key is of a type that cannot be looked up.
    pub fn row(&mut self, reader: &TableReader, key: &Values) -> Result<Option<Answer>, Trouble> {
        let condition = |(name, raw): (&String, &String)| {
            let column = reader.column(name)?.1;
            condition(name, &column.declared, column.is_binary(), raw)
        };
        let conditions: Option<Vec<String>> = key.iter().map(condition).collect();
        let Some(conditions) = conditions else { return Ok(None) };
        let sql = format!("{}{} LIMIT 2", reader.select, conditions.join(" AND "));
        let mut rows = self.connection.query(&sql).map_err(trouble)?.rows;
        Ok((rows.len() < 2).then(|| rows.pop()))
    }

    /// Where the server stands now.
    pub fn end(&mut self) -> Result<BinlogEnd, Trouble> {
        BinlogEnd::ask(&mut self.connection, &self.facts).map_err(trouble)
    }

    /// Whether everything before a server's end is delivered before a point.
    pub fn is_reached(&self, end: &BinlogEnd, point: &SyncPoint) -> bool {
        let same = match (self.facts.server_uuid(), &point.server.server_uuid) {
            (Some(own), Some(uuid)) => own == uuid,
            _ => self.facts.server_id() == point.server.server_id,
        };
        if same && reaches(point, &end.file, end.pos) {
            return true;
        }
        let Some(executed) = &point.executed else { return false };
        match (end.mysql_gtids(), end.mariadb_gtids()) {
            (Some(Ok(own)), _) if self.facts.has_mysql_gtids() => {
                matches!((own.mysql(), executed.mysql()), (Some(own), Some(set)) if !own.is_empty() && set.contains_set(own))
            }
            (_, Some(Ok(own))) => {
                matches!((own.mariadb(), executed.mariadb()), (Some(own), Some(position)) if !own.is_empty() && position.reaches(own))
            }
            _ => false,
        }
    }
}

impl TableReader {
    fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name)
    }

    /// What the server has instead of the line's value; none when it is the same, or cannot be told.
    pub fn compare(&self, name: &str, raw: &str, row: &[Option<Vec<u8>>]) -> Option<String> {
        let (index, column) = self.column(name)?;
        let value = row.get(index)?.as_deref();
        match equal(&column.declared, column.is_binary(), raw, value) {
            Some(true) | None => None,
            Some(false) => {
                Some(value.map_or("NULL".to_owned(), |value| String::from_utf8_lossy(value).into_owned()))
            }
        }
    }
}
