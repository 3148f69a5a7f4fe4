//! Table definitions, where the log does not say enough. For a stream: from the ledger, else from the server it comes from, if
//! it is proven that they were the same when the rows were logged. For files: from a schema file or any server.

pub mod book;
mod proof;
mod scout;

use crate::binlog::BinlogPosition;
use crate::change::assembler::touching::Touching;
use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::change::tables::LogPlace;
use crate::code::Code;
use crate::mysql::catalog::table_definition;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::ErrorKind;
use crate::mysql::error::SourceError;
use crate::schema::definition::TableDefinition;
use crate::schema::file::SchemaFile;
use crate::schema::filter::Filter;
use crate::schema::ledger::LedgerServer;
use crate::stop::Stop;
use book::Book;
use proof::Proven;
use proof::Prover;
use scout::FoundDdl;
use std::collections::HashSet;

/// Tables whose new definition is read as soon as their DDL has come, at most: those of one migration.
const MAX_FRESH: usize = 64;

/// Whoever is asked for definitions.
#[derive(Debug)]
pub enum KnownDefinitions {
    Stream(Box<StreamDefinitions>),
    Files(Box<FileDefinitions>),
}

impl KnownDefinitions {
    /// For a stream from that server.
    pub fn for_stream(book: Book, source: SourceConfig, server: LedgerServer, stop: Stop) -> Self {
        let prover = Prover::new(source, server, stop);
        Self::Stream(Box::new(StreamDefinitions { book, prover, asked: false, fresh: Vec::new() }))
    }

    /// For files: a server, if one is named.
    pub fn for_files(file: Option<SchemaFile>, server: Option<(SourceConfig, Stop)>) -> Self {
        let server = server.map(|(source, stop)| ServerNow { source, stop, connection: None });
        Self::Files(Box::new(FileDefinitions { file, server, told: HashSet::new() }))
    }

    pub fn stream(&mut self) -> Option<&mut StreamDefinitions> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Files(_) => None,
        }
    }
}

impl Definitions for KnownDefinitions {
    fn definition(
        &mut self,
        at: LogPlace<'_>,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        match self {
            Self::Stream(stream) => stream.definition(&position(at), database, table),
            Self::Files(files) => files.definition(database, table),
        }
    }

    fn second_definition(
        &mut self,
        at: LogPlace<'_>,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        match self {
            Self::Stream(stream) => stream.second_definition(&position(at), database, table),
            Self::Files(files) => files.second_definition(database, table),
        }
    }

    fn touched(&mut self, touching: &Touching, at: LogPlace<'_>, filter: &Filter) -> Result<(), ChangeError> {
        match self {
            Self::Stream(stream) => stream.touched(touching, &position(at), filter),
            Self::Files(_) => Ok(()),
        }
    }

    fn missing(&mut self, database: &str, table: &str) -> Result<(), ChangeError> {
        match self {
            Self::Stream(stream) => Err(stream.missing(database, table)),
            Self::Files(files) => {
                files.missing(database, table);
                Ok(())
            }
        }
    }
}

fn position(at: LogPlace<'_>) -> BinlogPosition {
    BinlogPosition::new(at.file, at.pos)
}

/// What a stream's rows are read by. Wrong names and values are worse than a stop: whatever is not proven stops it.
#[derive(Debug)]
pub struct StreamDefinitions {
    book: Book,
    prover: Prover,
    /// Rows came that do not say everything themselves.
    asked: bool,
    /// Tables whose DDL has just come.
    fresh: Vec<(String, String)>,
}

impl StreamDefinitions {
    /// For the next stream.
    pub fn take_book(&mut self) -> Book {
        std::mem::take(&mut self.book)
    }

    fn definition(
        &mut self,
        at: &BinlogPosition,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        self.asked = true;
        self.fresh.retain(|(d, t)| (d.as_str(), t.as_str()) != (database, table));
        match self.book.known(at, database, table) {
            Some(known) => Ok(Some(known)),
            None => self.prove(at, database, table),
        }
    }

    fn prove(
        &mut self,
        at: &BinlogPosition,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        let proven = self.prover.prove(at, database, table);
        let of_table =
            |error: ChangeError| ChangeError { text: format!("{database}.{table}: {error}"), ..error };
        match proven.map_err(of_table)? {
            Proven::Yes(definition) => {
                self.book.proven(at, definition.clone());
                Ok(Some(definition))
            }
            Proven::No(definition, ddl) => Err(altered(at, database, table, &definition, &ddl)),
            Proven::Absent => Ok(None),
        }
    }

    /// An entry of the schema file may be of another time than the rows.
    fn second_definition(
        &mut self,
        at: &BinlogPosition,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        match self.book.reject_entry(at, database, table) {
            true => self.definition(at, database, table),
            false => Ok(None),
        }
    }

    fn touched(
        &mut self,
        touching: &Touching,
        at: &BinlogPosition,
        filter: &Filter,
    ) -> Result<(), ChangeError> {
        let closed = self.book.touched(&touching.touched, at)?;
        let named = touching.touched.names().iter().filter(|_| self.asked);
        let named = named.map(|name| (name.database.clone(), name.table.clone()));
        for (database, table) in closed.into_iter().chain(named.collect::<Vec<_>>()) {
            let fresh = (database, table);
            if self.fresh.len() < MAX_FRESH
                && filter.watches(&fresh.0, &fresh.1)
                && !self.fresh.contains(&fresh)
            {
                self.fresh.push(fresh);
            }
        }
        Ok(())
    }

    /// The stream is drained and stands between transactions. Tables that were altered just now are read at once: the next
    /// DDL may follow soon, and then it would be too late to prove anything for the rows in between.
    pub fn at_rest(&mut self, at: LogPlace<'_>) -> Result<(), ChangeError> {
        if self.fresh.is_empty() && !self.book.is_due() {
            return Ok(());
        }
        let at = &position(at);
        for (database, table) in std::mem::take(&mut self.fresh) {
            match self.prover.prove(at, &database, &table) {
                Ok(Proven::Yes(definition)) => self.book.proven(at, definition),
                Ok(Proven::No(..) | Proven::Absent) => {}
                // Rows will ask again, and then it counts.
                Err(error) => {
                    log::debug!("{database}.{table}: {error}");
                    break;
                }
            }
        }
        match self.book.is_due() {
            true => self.book.followed(at),
            false => Ok(()),
        }
    }

    /// The stream ends; all DDL before `at` has been read.
    pub fn leave(&mut self, at: LogPlace<'_>) {
        if let Err(error) = self.book.followed(&position(at)) {
            log::warn!("{error}; definitions will be asked again");
        }
    }

    fn missing(&self, database: &str, table: &str) -> ChangeError {
        ChangeError::new(
            Code::SchemaDiff,
            format!(
                "{database}.{table}: the server {} no longer has this table, whose rows do not say all of their columns; supply \
                 its definition by schema_file or by \"fountain schema set\", or leave the table out by filter_shard_table_black",
                self.prover.place()
            ),
        )
    }
}

/// The definition that there is now is another one than that of the rows, or may be.
fn altered(
    at: &BinlogPosition,
    database: &str,
    table: &str,
    definition: &TableDefinition,
    ddl: &FoundDdl,
) -> ChangeError {
    let columns: Vec<String> =
        definition.columns.iter().map(|column| format!("`{}` {}", column.name, column.column_type)).collect();
    ChangeError::new(
        Code::SchemaDiff,
        format!(
            "{database}.{table}: its definition of the time of the rows at {at} is not known: they do not say all of their columns, and \
             behind them, at {}, lies: {}. Defined now: ({}). Supply the definition of that time by schema_file or by \
             \"fountain schema set\", or leave the table out by filter_shard_table_black; binlog_row_metadata=FULL on the server \
             spares all this for rows to come",
            ddl.at,
            ddl.touching.text,
            columns.join(", ")
        ),
    )
}

/// For `cat`: a schema file's definitions, and behind it those that a server has now.
#[derive(Debug)]
pub struct FileDefinitions {
    file: Option<SchemaFile>,
    server: Option<ServerNow>,
    /// Tables of which it was told that nobody knows them.
    told: HashSet<(String, String)>,
}

impl FileDefinitions {
    fn definition(&mut self, database: &str, table: &str) -> Result<Option<TableDefinition>, ChangeError> {
        if let Some(found) = self.file.as_ref().and_then(|file| file.table(database, table)) {
            return Ok(Some(found.clone()));
        }
        match &mut self.server {
            Some(server) => server.ask(database, table).map_err(change_error),
            None => Ok(None),
        }
    }

    /// A table that was altered in between has two definitions: the file knows the one, the server the other.
    fn second_definition(
        &mut self,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, ChangeError> {
        let in_file = self.file.as_ref().is_some_and(|file| file.table(database, table).is_some());
        match &mut self.server {
            Some(server) if in_file => server.ask(database, table).map_err(change_error),
            Some(_) | None => Ok(None),
        }
    }

    fn missing(&mut self, database: &str, table: &str) {
        if self.told.insert((database.to_owned(), table.to_owned())) {
            log::warn!(
                "{}: {database}.{table}: no definition is known: columns are called @1, @2, …, integers are signed, strings \
                 are text where they are valid UTF-8; give --schema FILE or a server",
                Code::RowMetadata
            );
        }
    }
}

/// A server's definitions of now, over one connection that is made when it is first needed and then kept.
#[derive(Debug)]
struct ServerNow {
    source: SourceConfig,
    stop: Stop,
    connection: Option<Connection>,
}

impl ServerNow {
    /// Asks over the kept connection; one that has gone stale is made anew once.
    fn ask(&mut self, database: &str, table: &str) -> Result<Option<TableDefinition>, SourceError> {
        if let Some(mut kept) = self.connection.take() {
            match table_definition(&mut kept, database, table) {
                Err(error) if error.kind() == ErrorKind::Retry => log::debug!("{error}; connecting anew"),
                outcome => {
                    self.connection = Some(kept);
                    return outcome;
                }
            }
        }
        let mut fresh = Connection::open(&self.source, &self.stop)?;
        let outcome = table_definition(&mut fresh, database, table);
        self.connection = Some(fresh);
        outcome
    }
}

fn change_error(error: SourceError) -> ChangeError {
    let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
    ChangeError {
        code: error.code(),
        text: format!("{}: {}{advice}", error.place(), error.text()),
        retry: matches!(error.kind(), ErrorKind::Retry | ErrorKind::Stopped),
    }
}
