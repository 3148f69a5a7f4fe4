//! From a TABLE_MAP event and a definition to a plan, or to a clear account of how the two disagree.

use crate::binlog::BinlogError;
use crate::binlog::Flavor;
use crate::binlog::TableMapEvent;
use crate::binlog::TableMetadata;
use crate::binlog::table_metadata::ColumnMetadata;
use crate::code::Code;
use crate::column::Charset;
use crate::column::ColumnError;
use crate::column::ColumnFault;
use crate::column::ColumnFormat;
use crate::column::ColumnSpec;
use crate::column::compatible::compatible;
use crate::column::declared;
use crate::column::declared::DeclaredType;
use crate::column::type_code;
use crate::schema::definition::ColumnDefinition;
use crate::schema::definition::TableDefinition;
use crate::schema::own_columns;
use crate::schema::own_columns::OwnColumns;
use crate::schema::plan::PlannedColumn;
use crate::schema::plan::TablePlan;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A column's type as it is declared, and its character set.
type Declaration = (DeclaredType, Option<Charset>);

static NEXT_PLAN: AtomicU64 = AtomicU64::new(0);

/// Why a table's rows cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    pub code: Code,
    pub text: String,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ResolveError {}

impl From<BinlogError> for ResolveError {
    fn from(error: BinlogError) -> Self {
        Self { code: error.code(), text: error.to_string() }
    }
}

/// A table as its TABLE_MAP event describes it.
#[derive(Debug)]
pub struct LoggedTable<'a> {
    database: &'a str,
    table: &'a str,
    flavor: Flavor,
    /// Type code and metadata of each column.
    types: Vec<(u8, u16)>,
    metadata: TableMetadata,
    /// Whether each column can be NULL.
    nullable: Vec<bool>,
}

impl<'a> LoggedTable<'a> {
    pub fn read(map: &TableMapEvent<'a>) -> Result<Self, ResolveError> {
        let bad = |error: &dyn fmt::Display| ResolveError {
            code: Code::BadEvent,
            text: format!("TABLE_MAP_EVENT: {error}"),
        };
        let name = |bytes| std::str::from_utf8(bytes).map_err(|error| bad(&error));
        let metadata = map.metadata()?;
        Ok(Self {
            database: name(map.database)?,
            table: name(map.table)?,
            flavor: map.flavor,
            types: map.column_types.iter().copied().zip(metadata.iter().copied()).collect(),
            metadata: map.table_metadata(&metadata)?,
            nullable: (0..metadata.len()).map(|column| map.null_bits.get(column)).collect(),
        })
    }

    pub fn database(&self) -> &'a str {
        self.database
    }

    pub fn table(&self) -> &'a str {
        self.table
    }

    /// Whether the event says everything about its table (`binlog_row_metadata=FULL`), so that nobody need be asked.
    ///
    /// MariaDB logs UUID, INET4 and INET6 as BINARY of 16 or 4 bytes, and VECTOR as VARBINARY, and its metadata does not
    /// tell them apart: tables with such columns need a definition all the same. So do those that may be system-versioned:
    /// of that the event says nothing.
    pub fn is_complete(&self) -> bool {
        self.tells_columns() && !self.may_be_versioned()
    }

    /// Whether the event says every column's name and type.
    fn tells_columns(&self) -> bool {
        let ambiguous = || {
            self.types
                .iter()
                .zip(&self.metadata.columns)
                .any(|(logged, said)| may_be_disguised(*logged, said))
        };
        let told = !(self.flavor == Flavor::MariaDb && ambiguous()) && self.unknown_collation().is_none();
        self.is_named() && told && self.walks_alone()
    }

    fn is_named(&self) -> bool {
        self.metadata.columns.iter().all(|column| column.name.is_some())
    }

    /// Whether the table can be one WITH SYSTEM VERSIONING: it has two columns that can bound a row's time, and one of them
    /// is in the primary key if there is one, where MariaDB puts the end by itself (`append_system_key_parts` in
    /// sql/sql_table.cc).
    fn may_be_versioned(&self) -> bool {
        let bounds = |index: usize| {
            let logged = self.types.get(index);
            logged.is_some_and(|(type_code, metadata)| own_columns::may_bound_rows(*type_code, *metadata))
                && self.nullable.get(index) == Some(&false)
        };
        let key = self.metadata.primary_key.as_ref();
        self.flavor == Flavor::MariaDb
            && (0..self.types.len()).filter(|index| bounds(*index)).count() >= 2
            && key.is_none_or(|parts| parts.iter().any(|part| bounds(part.column)))
    }

    /// A collation id of the event that no table of ours has: an installation's own, or a newer server's.
    fn unknown_collation(&self) -> Option<u32> {
        let ids = self.metadata.columns.iter().filter_map(|said| said.collation);
        ids.into_iter().find(|id| self.charset_of_id(*id).is_none())
    }

    fn charset_of_id(&self, id: u32) -> Option<Charset> {
        match self.flavor {
            Flavor::MySql => Charset::from_mysql_collation_id(id),
            Flavor::MariaDb => Charset::from_collation_id(id),
        }
    }

    /// Whether the event tells how long every value is.
    ///
    /// What it does not tell are the digits of MariaDB's old TIME, DATETIME and TIMESTAMP (tables made before 10.1, or
    /// under `mysql56_temporal_format=OFF`): they are logged as if they had none, and are longer by them.
    pub fn walks_alone(&self) -> bool {
        self.flavor != Flavor::MariaDb || !self.types.iter().any(|(type_code, _)| is_old_temporal(*type_code))
    }

    /// The plan for rows that are only counted: types alone, unless [`Self::walks_alone`] says no.
    pub fn walking_plan(&self, definition: Option<&TableDefinition>) -> Result<TablePlan, ResolveError> {
        let declared = self.declared(definition)?;
        let mut columns = Vec::with_capacity(self.types.len());
        for (index, (type_code, metadata)) in self.types.iter().enumerate() {
            let mut spec = ColumnSpec::new(*type_code, *metadata);
            if let Some((declared, charset)) = declared.as_ref().and_then(|declared| declared.get(index)) {
                spec.declare(declared, *charset);
            }
            let format = ColumnFormat::walking(&spec);
            let name = ordinal_name(index);
            let format = format.map_err(|error| self.column_error(&name, &error))?;
            columns.push(PlannedColumn { name, format });
        }
        let own = OwnColumns::none(columns.len());
        Ok(self.plan_of(columns, own, None))
    }

    /// The plan for rows that are delivered.
    pub fn plan(&self, definition: Option<&TableDefinition>) -> Result<TablePlan, ResolveError> {
        // Where the event says every column, a definition need not fit: it only tells what the table is.
        let described = definition.filter(|_| !self.tells_columns());
        let declared = self.declared(described)?;
        let mut columns = Vec::with_capacity(self.types.len());
        for (index, (type_code, metadata)) in self.types.iter().enumerate() {
            let said = self.metadata.columns.get(index);
            let defined = described.and_then(|definition| definition.columns.get(index));
            let declared = declared.as_ref().and_then(|declared| declared.get(index));
            let name = said
                .and_then(|said| said.name.clone())
                .or_else(|| defined.map(|defined| defined.name.clone()))
                .unwrap_or_else(|| ordinal_name(index));
            let mut spec = ColumnSpec::new(*type_code, *metadata);
            if let Some((declared, charset)) = declared {
                spec.declare(declared, *charset);
            }
            if let Some(said) = said {
                self.apply_metadata(&mut spec, said);
            }
            let format = refuse_unknown_charset(&spec, said, defined)
                .and_then(|()| ColumnFormat::new(&spec))
                .map_err(|error| self.column_error(&name, &error))?;
            columns.push(PlannedColumn { name, format });
        }
        let own = self.own_columns(definition);
        let key = self.key(&columns, own, definition);
        Ok(self.plan_of(columns, own, key))
    }

    /// Which columns MariaDB has made for itself.
    fn own_columns(&self, definition: Option<&TableDefinition>) -> OwnColumns {
        match definition {
            Some(definition) if !self.tells_columns() => OwnColumns::defined(definition),
            definition if self.flavor == Flavor::MariaDb && self.is_named() => {
                let columns = self.types.iter().zip(&self.metadata.columns);
                let columns = columns.map(|((type_code, metadata), said)| own_columns::Logged {
                    name: said.name.as_deref().unwrap_or(""),
                    type_code: *type_code,
                    metadata: *metadata,
                    unsigned: said.unsigned == Some(true),
                });
                OwnColumns::named(&columns.collect::<Vec<_>>(), definition)
            }
            Some(_) | None => OwnColumns::none(self.types.len()),
        }
    }

    fn plan_of(&self, columns: Vec<PlannedColumn>, own: OwnColumns, key: Option<Vec<String>>) -> TablePlan {
        TablePlan {
            id: NEXT_PLAN.fetch_add(1, Ordering::Relaxed),
            database: self.database.to_owned(),
            table: self.table.to_owned(),
            columns,
            visible: own.visible,
            row_end: own.row_end,
            key,
        }
    }

    /// What the event says counts over what a definition says: it was true when the row was logged.
    fn apply_metadata(&self, spec: &mut ColumnSpec, said: &ColumnMetadata) {
        if let Some(unsigned) = said.unsigned {
            spec.unsigned = unsigned;
        }
        if let Some(id) = said.collation {
            spec.charset = self.charset_of_id(id).or(spec.charset);
        }
        if let Some(labels) = &said.labels {
            let charset = spec.charset.unwrap_or(Charset::Utf8mb4);
            spec.labels = Some(labels.iter().map(|label| charset.to_string_lossy(label)).collect());
        }
    }

    /// The event's own primary key, else the definition's key. MySQL takes the first unique key without NULLs for the
    /// primary key where there is none (`TABLE_SHARE::primary_key` in sql/table.cc), so a complete event without a key
    /// is a table without one.
    ///
    /// The end of a row's time, which MariaDB puts into every unique key, is left out: it is the same for all current rows.
    fn key(
        &self,
        columns: &[PlannedColumn],
        own: OwnColumns,
        definition: Option<&TableDefinition>,
    ) -> Option<Vec<String>> {
        let key: Vec<String> = match (&self.metadata.primary_key, definition) {
            (Some(parts), _) => {
                let names = parts.iter().filter_map(|part| columns.get(part.column));
                names.map(|column| column.name.clone()).collect()
            }
            (None, Some(definition)) => definition.key.clone(),
            (None, None) if self.is_named() => Vec::new(),
            (None, None) => return None,
        };
        let index = |name: &String| columns.iter().position(|column| column.name == *name);
        if key.iter().any(|name| index(name).is_none()) {
            // A key that is younger than the rows.
            return Some(Vec::new());
        }
        let delivered = |name: &String| {
            index(name).is_some_and(|index| index < own.visible && Some(index) != own.row_end)
        };
        Some(key.into_iter().filter(delivered).collect())
    }

    fn declared(
        &self,
        definition: Option<&TableDefinition>,
    ) -> Result<Option<Vec<Declaration>>, ResolveError> {
        match definition {
            Some(definition) => self.check(definition).map(Some),
            None if self.walks_alone() => Ok(None),
            None => Err(self.unknown_fraction()),
        }
    }

    fn unknown_fraction(&self) -> ResolveError {
        let is_old = |(_, (type_code, _)): &(usize, &(u8, u16))| is_old_temporal(*type_code);
        let old = self.types.iter().enumerate().find(is_old);
        let (index, name) = old.map_or((0, ""), |(index, (code, _))| (index, type_code::name(*code)));
        ResolveError {
            code: Code::Unsupported,
            text: format!(
                "{}.{}: column {} is a {name} in MariaDB's form of before 10.1; how long its values are only the table's \
                 definition tells, and none is known: supply it by schema_file (cat: --schema), give a server that has the \
                 table, or leave out this part of the log; ALTER TABLE … FORCE under mysql56_temporal_format=ON cures it \
                 for rows to come",
                self.database,
                self.table,
                ordinal_name(index),
            ),
        }
    }

    /// The definition's columns, read and compared with what was logged.
    fn check(&self, definition: &TableDefinition) -> Result<Vec<Declaration>, ResolveError> {
        if definition.columns.len() != self.types.len() {
            let (logged, defined) = (self.types.len(), definition.columns.len());
            return Err(self
                .difference(definition, &format!("the row has {logged} columns, the definition {defined}")));
        }
        let mut declared = Vec::with_capacity(self.types.len());
        for (index, (column, (type_code, metadata))) in definition.columns.iter().zip(&self.types).enumerate()
        {
            let parsed = declared::parse(&column.column_type)
                .map_err(|error| self.column_error(&column.name, &error))?;
            let charset = column.charset.as_deref().and_then(Charset::from_name);
            if !compatible(&parsed, charset, *type_code, *metadata) {
                let logged = logged_text(*type_code, *metadata);
                let problem = format!(
                    "column {} was logged as {logged}, the definition says `{}` {}",
                    index + 1,
                    column.name,
                    column.column_type
                );
                return Err(self.difference(definition, &problem));
            }
            if let Some(named) = self.metadata.columns.get(index).and_then(|said| said.name.as_ref())
                && *named != column.name
            {
                let problem = format!(
                    "column {} was logged as `{named}`, the definition calls it `{}`",
                    index + 1,
                    column.name
                );
                return Err(self.difference(definition, &problem));
            }
            declared.push((parsed, charset));
        }
        Ok(declared)
    }

    /// The logged types for people: `INT, VARCHAR(20)`.
    pub fn types_text(&self) -> String {
        let logged: Vec<String> =
            self.types.iter().map(|(code, metadata)| logged_text(*code, *metadata)).collect();
        logged.join(", ")
    }

    fn difference(&self, definition: &TableDefinition, problem: &str) -> ResolveError {
        let defined: Vec<String> = definition
            .columns
            .iter()
            .map(|column| format!("`{}` {}", column.name, column.column_type))
            .collect();
        ResolveError {
            code: Code::SchemaDiff,
            text: format!(
                "{}.{}: {problem}; the table was changed after these rows were logged. Logged: ({}). Defined: ({}). Supply the \
                 definition of that time by schema_file, or set binlog_row_metadata=FULL for rows to come",
                self.database,
                self.table,
                self.types_text(),
                defined.join(", ")
            ),
        }
    }

    fn column_error(&self, column: &str, error: &ColumnError) -> ResolveError {
        let text = format!("{}.{}.{column}: {error}", self.database, self.table);
        ResolveError { code: error.code(), text }
    }
}

fn is_old_temporal(type_code: u8) -> bool {
    matches!(type_code, type_code::TIME | type_code::DATETIME | type_code::TIMESTAMP)
}

fn may_be_disguised((type_code, metadata): (u8, u16), said: &ColumnMetadata) -> bool {
    let real = type_code::RealType::new(type_code, metadata);
    let binary = said.collation.is_none_or(|id| Charset::from_collation_id(id) == Some(Charset::Binary));
    let fixed = real.type_code == type_code::STRING && matches!(real.metadata, 4 | 16);
    let variable = real.type_code == type_code::VARCHAR && metadata % 4 == 0;
    binary && (fixed || variable)
}

/// Neither the event nor the definition says what the bytes mean: a set or a collation that an installation has added.
fn refuse_unknown_charset(
    spec: &ColumnSpec,
    said: Option<&ColumnMetadata>,
    defined: Option<&ColumnDefinition>,
) -> Result<(), ColumnError> {
    let name = defined.and_then(|defined| defined.charset.clone());
    match (spec.charset, name, said.and_then(|said| said.collation)) {
        (None, Some(name), _) => Err(ColumnFault::Charset { name }.into()),
        (None, None, Some(id)) => Err(ColumnFault::Collation { id }.into()),
        _ => Ok(()),
    }
}

fn ordinal_name(index: usize) -> String {
    format!("@{}", index + 1)
}

/// A logged type for people: `VARCHAR(80)`.
fn logged_text(type_code: u8, metadata: u16) -> String {
    let real = type_code::RealType::new(type_code, metadata);
    let name = type_code::name(real.type_code);
    match real.type_code {
        type_code::NEWDECIMAL => format!("{name}({},{})", metadata >> 8, metadata & 0xff),
        _ if real.metadata == 0 => name.to_owned(),
        _ => format!("{name}({})", real.metadata),
    }
}
