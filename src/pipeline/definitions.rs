//! Table definitions for a live stream: asked of the server that the stream comes from, over one connection that is
//! made when it is first needed and then kept.

use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::mysql::catalog::table_definition;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::ErrorKind;
use crate::mysql::error::SourceError;
use crate::schema::definition::TableDefinition;
use crate::schema::file::SchemaFile;
use crate::stop::Stop;

/// The definitions that a schema file gives, and behind it those of one server.
#[derive(Debug)]
pub struct KnownDefinitions {
    file: Option<SchemaFile>,
    server: Option<ServerDefinitions>,
}

#[derive(Debug)]
struct ServerDefinitions {
    source: SourceConfig,
    stop: Stop,
    connection: Option<Connection>,
}

impl KnownDefinitions {
    pub fn new(file: Option<SchemaFile>, server: Option<(SourceConfig, Stop)>) -> Self {
        let server = server.map(|(source, stop)| ServerDefinitions { source, stop, connection: None });
        Self { file, server }
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
    let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_else(String::new);
    ChangeError {
        code: error.code(),
        text: format!("{}: {}{advice}", error.place(), error.text()),
        retry: matches!(error.kind(), ErrorKind::Retry | ErrorKind::Stopped),
    }
}
