//! What was logged as text: the ends of transactions, DDL, and changes of rows whose rows nobody knows.

use crate::binlog::Query;
use crate::binlog::query::QueryStatus;
use crate::binlog::statement::StatementLoad;
use crate::change::assembler::Assembler;
use crate::change::assembler::At;
use crate::change::assembler::DispatchDdl;
use crate::change::assembler::HandOver;
use crate::change::assembler::StatementDml;
use crate::change::assembler::readings::Readings;
use crate::change::assembler::touching::ROLLBACK_ALTER;
use crate::change::assembler::touching::START_ALTER;
use crate::change::assembler::touching::touching;
use crate::change::assembler::xa::logged_xid;
use crate::change::batch::Batch;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::RollbackTo;
use crate::change::batch::Sql as SqlItem;
use crate::change::batch::SqlOp;
use crate::change::error::ChangeError;
use crate::change::sql;
use crate::change::sql::Ddl;
use crate::change::sql::Quoting;
use crate::change::sql::Sql;
use crate::change::sql::Statement;
use crate::change::tables::Definitions;
use crate::code::Code;

impl<D: Definitions> Assembler<D> {
    pub(super) fn query(
        &mut self,
        query: &Query<'_>,
        at: At<'_>,
        batch: &mut Batch,
        hand_over: &mut dyn HandOver,
    ) -> Result<(), ChangeError> {
        let status = query.status();
        let readings = Readings::of(query, self.flavor);
        let database = String::from_utf8_lossy(query.database);
        let quoting = Quoting::of_sql_mode(status.sql_mode.unwrap_or(0));
        let sql = Sql { text: &readings.likely, database: &database, quoting };
        let other = readings.other.as_deref().map(|text| Sql { text, ..sql });
        let statement = match (sql::classify(sql), other) {
            (Statement::Unknown, Some(other)) => sql::classify(other),
            (statement, _) => statement,
        };
        if matches!(statement, Statement::Ddl(_) | Statement::Dml | Statement::Unknown)
            && let Some(touching) = touching(query, self.flavor)
        {
            self.tables.touched(&touching, at.log_place(self.borders.file()), &self.options.filter)?;
        }
        match statement {
            Statement::Begin => self.borders.begin(at, batch)?,
            Statement::Commit => self.end(Outcome::Commit, at, batch, hand_over)?,
            Statement::Rollback => self.end(Outcome::Rollback, at, batch, hand_over)?,
            Statement::XaStart => self.xa_start(logged_xid(sql.text)?, at, batch)?,
            Statement::XaCommit => self.xa_decide(sql.text, Outcome::Commit, at, batch, hand_over)?,
            Statement::XaRollback => self.xa_decide(sql.text, Outcome::Rollback, at, batch, hand_over)?,
            // It is an event of its own.
            Statement::XaPrepare => {
                return Err(ChangeError::new(Code::BadEvent, "XA PREPARE was logged as a statement"));
            }
            Statement::Savepoint(_) | Statement::RollbackTo(_) if !self.borders.is_open() => {
                self.borders.pass(at, batch);
            }
            Statement::Savepoint(name) => {
                self.xa.target(self.borders.is_aside(), batch).items.push(Item::Savepoint(name));
            }
            Statement::RollbackTo(name) => {
                let place = self.borders.place(at.pos);
                let (server_id, timestamp) = (at.header.server_id, at.header.timestamp);
                let target = RollbackTo { name, place, server_id, timestamp };
                self.xa.target(self.borders.is_aside(), batch).items.push(Item::RollbackTo(target));
            }
            Statement::ReleaseSavepoint | Statement::XaEnd => self.borders.pass(at, batch),
            Statement::Ddl(ddl) => {
                let changes = status.mariadb_gtid_flags.unwrap_or(0) & (START_ALTER | ROLLBACK_ALTER) == 0;
                let otherwise = other.map(sql::classify);
                let ddl = match otherwise {
                    Some(Statement::Ddl(otherwise)) if self.delivers_ddl(&otherwise) => otherwise,
                    _ => ddl,
                };
                self.ddl(&ddl, sql, changes, at, batch);
            }
            // Sessions that log statements do so between BEGIN and COMMIT.
            Statement::DeleteAll(table) if !self.borders.is_open() => {
                self.ddl(&Ddl::Tables(vec![table]), sql, true, at, batch);
            }
            Statement::Dml | Statement::DeleteAll(_) => self.statement_dml(sql, &status, at, batch)?,
            Statement::Account | Statement::Harmless => self.borders.end_if_alone(at, batch),
            Statement::Nothing if self.borders.is_open() || self.borders.is_outside() => {
                self.borders.pass(at, batch);
            }
            // It is all that there is behind its GTID event.
            Statement::Nothing => self.borders.end(Outcome::Commit, at, batch),
            Statement::Unknown => self.unknown_statement(sql, &status, at, batch)?,
        }
        self.session.forget();
        Ok(())
    }

    fn ddl(&mut self, ddl: &Ddl, sql: Sql<'_>, changes: bool, at: At<'_>, batch: &mut Batch) {
        if changes && self.delivers_ddl(ddl) {
            self.deliver_text(SqlOp::Ddl, sql, None, at, batch);
        }
        self.borders.end_if_alone(at, batch);
    }

    fn delivers_ddl(&self, ddl: &Ddl) -> bool {
        match (self.options.dispatch_ddl, ddl) {
            (DispatchDdl::None, _) => false,
            (DispatchDdl::All, _) => true,
            (DispatchDdl::Table, Ddl::Tables(tables)) => {
                tables.iter().any(|name| self.watches_named(&name.database, &name.table))
            }
            (DispatchDdl::Table, Ddl::Database(database)) => {
                let filter = &self.options.filter;
                filter.may_watch_in(database) || filter.may_watch_in(&database.to_lowercase())
            }
            (DispatchDdl::Table, Ddl::Other) => false,
        }
    }

    /// Whether a table is watched that a statement names. Under `lower_case_table_names` servers log rows with names in
    /// small letters, and statements as they were typed; a DDL line too many is better than a TRUNCATE too few.
    fn watches_named(&self, database: &str, table: &str) -> bool {
        let filter = &self.options.filter;
        filter.watches(database, table) || filter.watches(&database.to_lowercase(), &table.to_lowercase())
    }

    fn deliver_text(&mut self, op: SqlOp, sql: Sql<'_>, set: Option<String>, at: At<'_>, batch: &mut Batch) {
        self.borders.ensure_begun(at, batch);
        let batch = self.xa.target(self.borders.is_aside(), batch);
        let text = batch.keep(sql.text.as_bytes());
        batch.items.push(Item::Sql(SqlItem {
            op,
            place: self.borders.place(at.pos),
            server_id: at.header.server_id,
            timestamp: at.header.timestamp,
            database: sql.database.to_owned(),
            sql: text,
            set,
        }));
    }

    fn statement_dml(
        &mut self,
        sql: Sql<'_>,
        status: &QueryStatus<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        match self.options.statement_dml {
            StatementDml::Deliver => {
                let set = self.session.take(at.header, status);
                self.deliver_text(SqlOp::Statement, sql, Some(set), at, batch);
                self.borders.end_if_alone(at, batch);
                Ok(())
            }
            StatementDml::Stop => Err(logged_as_statement(&sql::without_values(sql))),
        }
    }

    fn unknown_statement(
        &mut self,
        sql: Sql<'_>,
        status: &QueryStatus<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        if sql::may_hold_password(sql) {
            let text = format!(
                "a statement that this version does not know, and that may hold a password, was logged: {}",
                sql::without_values(sql)
            );
            return Err(ChangeError::new(Code::Statement, text));
        }
        self.statement_dml(sql, status, at, batch)
    }

    /// LOAD DATA, logged as the file's contents and a statement.
    pub(super) fn statement_load(
        &mut self,
        load: &StatementLoad<'_>,
        at: At<'_>,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        match (self.options.statement_dml, load) {
            (StatementDml::Stop, _) | (StatementDml::Deliver, StatementLoad::Obsolete { .. }) => {
                Err(logged_as_statement("LOAD DATA"))
            }
            (StatementDml::Deliver, StatementLoad::ExecuteLoadQuery { query, .. }) => {
                let text = Readings::of(query, self.flavor).likely;
                log::warn!(
                    "{}:{}: LOAD DATA was logged as a statement: its text is delivered, the rows that it loaded are not",
                    self.file(),
                    at.pos
                );
                let status = query.status();
                let sql = Sql {
                    text: &text,
                    database: &String::from_utf8_lossy(query.database),
                    quoting: Quoting::of_sql_mode(status.sql_mode.unwrap_or(0)),
                };
                self.statement_dml(sql, &status, at, batch)
            }
            (
                StatementDml::Deliver,
                StatementLoad::BeginLoadQuery { .. }
                | StatementLoad::AppendBlock { .. }
                | StatementLoad::DeleteFile { .. },
            ) => {
                self.borders.pass(at, batch);
                Ok(())
            }
        }
    }
}

fn logged_as_statement(statement: &str) -> ChangeError {
    ChangeError::new(
        Code::Statement,
        format!(
            "a change of rows was logged as a statement, so its rows are unknown: {statement}; log rows (SET GLOBAL \
             binlog_format=ROW) and see that no session sets binlog_format itself, or deliver such statements as text with \
             statement_dml=deliver"
        ),
    )
}
