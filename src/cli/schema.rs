//! `fountain schema`: looks at the ledger of definitions, and puts definitions into it that a person vouches for.

use crate::binlog::BinlogPosition;
use crate::cli::Failure;
use crate::cli::print;
use crate::code::Code;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::config::near;
use crate::engine::handle::change_in;
use crate::pipeline::definitions::book;
use crate::pipeline::definitions::book::LastStand;
use crate::pipeline::ports::open_schema_store;
use crate::pipeline::ports::open_state_store;
use crate::pipeline::shard::read_schema_file;
use crate::pipeline::start::Resume;
use crate::points::need_points;
use crate::points::store;
use crate::schema::ledger::Ledger;
use crate::schema::ledger::Version;
use crate::status::now_ms;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::schema_store::SchemaStore;
use crate::sync_point::state::ShardState;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a definition begins to hold that has no place: the point was GTIDs alone.
const NO_PLACE: &str = "the stream's beginning";

/// What stands behind `schema`.
#[derive(Debug, PartialEq, Eq)]
pub enum SchemaCommand {
    /// A shard, a table, both in that order, or all.
    Show { words: Vec<String>, json: bool },
    /// The only shard where none is named.
    Set { shard: Option<String>, file: PathBuf, reason: String },
}

impl SchemaCommand {
    /// From the words behind `schema` and its options.
    pub fn parse(words: Vec<String>, json: bool, reason: Option<String>) -> Result<Self, Failure> {
        const EXPECTED: &str = "expected \"fountain schema show [SHARD] [DB.TABLE] [--json]\" or \"fountain schema set [SHARD] FILE \
                                --reason TEXT\"";
        let mut words = words.into_iter();
        let verb = words.next().unwrap_or_default();
        let rest: Vec<String> = words.collect();
        match (verb.as_str(), rest.as_slice(), reason) {
            ("show", [] | [_] | [_, _], None) => Ok(Self::Show { words: rest, json }),
            ("set", _, _) if json => Err(Failure::usage("\"fountain schema set\" has no option --json")),
            ("set", [_] | [_, _], reason)
                if reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) =>
            {
                Err(Failure::usage(
                    "\"fountain schema set\" needs --reason TEXT: it is kept with the definitions",
                ))
            }
            ("set", [file], Some(reason)) => {
                Ok(Self::Set { shard: None, file: file.into(), reason: reason.trim().to_owned() })
            }
            ("set", [shard, file], Some(reason)) => {
                let (shard, reason) = (Some(shard.clone()), reason.trim().to_owned());
                Ok(Self::Set { shard, file: file.into(), reason })
            }
            _ => Err(Failure::usage(EXPECTED)),
        }
    }
}

/// `fountain schema …`
pub fn schema(config: &Config, command: SchemaCommand) -> Result<(), Failure> {
    match command {
        SchemaCommand::Show { words, json } => show(config, &words, json),
        SchemaCommand::Set { shard, file, reason } => set(config, shard.as_deref(), &file, &reason),
    }
}

fn named<'a>(config: &'a Config, name: &str) -> Result<&'a ShardConfig, Failure> {
    config.shards.iter().find(|shard| shard.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.shards.iter().map(|shard| shard.name.as_str()).collect();
        let hint = near::hint(name, names.iter().copied());
        Failure::usage(format!("no shard \"{name}\" is configured (there is {}){hint}", names.join(", ")))
    })
}

fn failure(shard: &str, error: &StoreError) -> Failure {
    Failure::failed(error.code, format!("shard={shard} {error}"))
}

fn load(config: &Config, shard: &str) -> Result<(Box<dyn SchemaStore>, Ledger), StoreError> {
    let mut store = open_schema_store(config, shard)?;
    let ledger = book::load(store.as_mut(), shard)?;
    Ok((store, ledger))
}

fn show(config: &Config, words: &[String], json: bool) -> Result<(), Failure> {
    let is_shard = |word: &String| config.shards.iter().any(|shard| shard.name == *word);
    let (shard, table) = match words {
        [] => (None, None),
        [word] if is_shard(word) || !word.contains('.') => (Some(word), None),
        [table] => (None, Some(table)),
        [shard, table, ..] => (Some(shard), Some(table)),
    };
    let shards = match shard {
        Some(name) => vec![named(config, name)?],
        None => config.shards.iter().collect(),
    };
    let mut failed: Option<Failure> = None;
    for shard in shards {
        if let Err(failure) = show_one(config, &shard.name, table.map(String::as_str), json) {
            match &mut failed {
                Some(failed) => failed.lines.extend(failure.lines),
                None => failed = Some(failure),
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn show_one(config: &Config, shard: &str, table: Option<&str>, json: bool) -> Result<(), Failure> {
    let loaded = need_points(config).and_then(|()| load(config, shard));
    let (_, ledger) = loaded.map_err(|error| failure(shard, &error))?;
    let wanted = |version: &&Version| table.is_none_or(|table| full_name(version) == table);
    let versions: Vec<&Version> = ledger.versions().filter(wanted).collect();
    print(&match (json, table) {
        (true, _) => as_lines(&versions)?,
        (false, Some(table)) if versions.is_empty() => format!("{shard}: no definition of {table} is kept\n"),
        (false, _) => as_text(shard, &ledger, &versions),
    })
}

fn full_name(version: &Version) -> String {
    format!("{}.{}", version.definition.database, version.definition.table)
}

/// Of each table the version that holds now, or held last, as `schema_file` reads it.
fn as_lines(versions: &[&Version]) -> Result<String, Failure> {
    let newest: BTreeMap<String, &Version> =
        versions.iter().map(|version| (full_name(version), *version)).collect();
    let lines: Result<Vec<String>, _> = newest.values().map(serde_json::to_string).collect();
    let lines = lines.map_err(|error| Failure::failed(Code::Internal, error))?;
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn as_text(shard: &str, ledger: &Ledger, versions: &[&Version]) -> String {
    let server = &ledger.server;
    let uuid = server.server_uuid.as_ref().map(|uuid| format!("server_uuid {uuid}, ")).unwrap_or_default();
    let mut text = match versions.is_empty() {
        true => format!("{shard}: no definitions are kept\n"),
        false => format!("{shard}: places are those of {uuid}server_id {}\n", server.server_id),
    };
    for version in versions {
        let place = |place: &Option<BinlogPosition>, none: &str| {
            place.as_ref().map_or(none.to_owned(), BinlogPosition::to_string)
        };
        let columns: Vec<String> = version
            .definition
            .columns
            .iter()
            .map(|column| {
                let charset = column.charset.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
                format!("{} {}{charset}", column.name, column.column_type)
            })
            .collect();
        let reason = version.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        text.push_str(&format!(
            "  {} from {} to {}, {}{reason}\n    ({}) key ({})\n",
            full_name(version),
            place(&version.from, NO_PLACE),
            place(&version.to, "now"),
            version.proof.words(),
            columns.join(", "),
            version.definition.key.join(", ")
        ));
    }
    text
}

/// From where reading goes on. The lock keeps a run out meanwhile, and is refused while there is one.
fn set(config: &Config, shard: Option<&str>, file: &std::path::Path, reason: &str) -> Result<(), Failure> {
    let shard = match (shard, config.shards.as_slice()) {
        (Some(name), _) => named(config, name)?,
        (None, [only]) => only,
        (None, _) => {
            return Err(Failure::usage(
                "there are several shards: \"fountain schema set SHARD FILE --reason TEXT\"",
            ));
        }
    };
    let name = &shard.name;
    let definitions = read_schema_file(file).map_err(|fault| Failure::failed(fault.code, fault.text))?;
    let mut points = store::open(config, name).map_err(|error| failure(name, &error))?;
    let record = points.load().map_err(|error| failure(name, &error))?;
    let told = |record: PointRecord| Some((record.epoch, record.moved.is_some(), record.point?));
    let Some((epoch, moved, point)) = record.and_then(told) else {
        let text = format!(
            "shard={name} no point is stored, so there is no place from which the definitions would hold; use schema_file"
        );
        return Err(Failure::failed(Code::NoPoint, text));
    };
    let place = book::certain_place(&point.file, point.pos, point.set_ahead);
    // Rows of a prepared XA transaction lie before the point, and are read again.
    let (begins, _) = Resume::from_point(&point).begins();
    let from = book::certain_place(&begins.file, begins.pos, point.set_ahead);
    let stand = LastStand { epoch, moved, server: point.server, place };
    let (mut store, mut ledger) = load(config, name).map_err(|error| failure(name, &error))?;
    let from = book::set_by_hand(&mut ledger, &definitions, &stand, from, reason);
    book::save(store.as_mut(), name, &ledger).map_err(|error| failure(name, &error))?;
    try_again(config, name).map_err(|error| failure(name, &error))?;
    let tables: Vec<String> = definitions
        .entries()
        .map(|(definition, _)| format!("{}.{}", definition.database, definition.table))
        .collect();
    let from = from.map_or(NO_PLACE.to_owned(), |place| place.to_string());
    print(&format!("{name}: set from {from} on: {}\n", tables.join(", ")))
}

/// A shard that has stopped may pass now, wherever it is led.
fn try_again(config: &Config, shard: &str) -> Result<(), StoreError> {
    let mut store = open_state_store(config, shard)?;
    let lift = |state: &mut ShardState| {
        if state.stopped.take().is_some() {
            state.resumed_ms = Some(now_ms());
        }
    };
    change_in(&mut *store, lift).map(|_former| ())
}
