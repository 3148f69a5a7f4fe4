//! Table definitions for a live stream: asked of the server that the stream comes from, over one connection that is
//! made when it is first needed and then kept.

use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::code::Code;
use crate::mysql::catalog::table_definition;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::ErrorKind;
use crate::mysql::error::SourceError;
use crate::schema::definition::TableDefinition;
use crate::schema::file::SchemaFile;
use crate::stop::Stop;
use std::collections::HashSet;

/// The definitions that a schema file gives, and behind it those of one server.
#[derive(Debug)]
pub struct KnownDefinitions {
    file: Option<SchemaFile>,
    server: Option<ServerDefinitions>,
    /// A table that nobody knows stops the stream; else its columns go without names.
    strict: bool,
    /// Tables of which it was told that nobody knows them.
    told: HashSet<(String, String)>,
}

#[derive(Debug)]
struct ServerDefinitions {
    source: SourceConfig,
    stop: Stop,
    connection: Option<Connection>,
}

impl KnownDefinitions {
    /// For a stream: the server it comes from.
    pub fn for_stream(file: Option<SchemaFile>, source: SourceConfig, stop: Stop) -> Self {
        let server = Some(ServerDefinitions { source, stop, connection: None });
        Self { file, server, strict: true, told: HashSet::new() }
    }

    /// For files: a server, if one is named.
    pub fn for_files(file: Option<SchemaFile>, server: Option<(SourceConfig, Stop)>) -> Self {
        let server = server.map(|(source, stop)| ServerDefinitions { source, stop, connection: None });
        Self { file, server, strict: false, told: HashSet::new() }
    }
}

impl Definitions for KnownDefinitions {
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

    fn missing(&mut self, database: &str, table: &str) -> Result<(), ChangeError> {
        match &self.server {
            Some(server) if self.strict => Err(ChangeError::new(
                Code::SchemaDiff,
                format!(
                    "{database}.{table}: the server {} no longer has this table, whose rows were logged without names; supply \
                     its definition by schema_file, or leave the table out by filter_shard_table_black",
                    server.source.place()
                ),
            )),
            Some(_) | None if !self.told.insert((database.to_owned(), table.to_owned())) => Ok(()),
            Some(_) | None => {
                log::warn!(
                    "{database}.{table}: no definition is known: columns are called @1, @2, …, integers are signed, strings \
                     are text where they are valid UTF-8; give --schema FILE or a server"
                );
                Ok(())
            }
        }
    }
}

impl ServerDefinitions {
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
