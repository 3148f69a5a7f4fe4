//! `--against`: sampled keys, as the files say last, compared with the server's rows.
//!
//! A row may have been changed since the end of the files. So a key that differs is a suspect only: the value that the
//! server gave must be one that the files say later, up to the place where the server stood after it had answered. While
//! a run goes on the files are read on until they reach that place; where they do not reach it, the key is told as not
//! decided, which is no fault.

mod sample;
mod server;
mod values;

pub use sample::Sampler;

use crate::code::Code;
use crate::config::Config;
use crate::config::DispatchDdl;
use crate::pack::header::PackHeader;
use crate::pipeline::ports::peek_point;
use crate::sync_point::SyncPoint;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Report;
use sample::State;
use sample::Table;
use sample::Values;
use sample::shown;
use server::Answer;
use server::Server;
use server::TableReader;
use std::time::Duration;
use std::time::Instant;

/// How long a run that goes on may take to deliver what the server has now.
const CATCH_UP: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgainstOptions {
    /// Keys of each table.
    pub sample: usize,
    /// Chooses other keys.
    pub seed: u64,
}

/// A key whose row was not what the files said.
struct Suspect {
    table: Table,
    key: Values,
    answer: Answer,
    /// Expected and got.
    difference: String,
}

/// Counts for the line at the end.
#[derive(Default)]
struct Counts {
    tables: u64,
    keys: u64,
    equal: u64,
    later: u64,
    different: u64,
    undecided: u64,
}

/// Compares the sample of one shard. `read_on` reads what has come to the files since and returns their last pack; the
/// flag says whether a run is writing them.
pub fn compare(
    config: &Config,
    shard: &str,
    sampler: &mut Sampler,
    last: &PackHeader,
    report: &mut Report<'_>,
    mut read_on: impl FnMut(&mut Sampler) -> (Option<PackHeader>, bool),
) {
    let Some(configured) = config.enabled_shards().find(|configured| configured.name == shard) else {
        report.tell(failed(shard, Code::Config, "the shard is not configured: nothing to compare it with"));
        return;
    };
    if configured.transactions.dispatch_ddl == DispatchDdl::None {
        let text = "dispatch_ddl=none: TRUNCATE and the like are not in the files and show as differences";
        report.tell(Finding::note(at(shard), text));
    }
    let mut server = match Server::open(config, configured) {
        Ok(server) => server,
        Err((code, text)) => return report.tell(failed(shard, code, &text)),
    };
    let mut counts = Counts::default();
    let suspects = match look(&mut server, sampler, &mut counts, report) {
        Ok(suspects) => suspects,
        Err((code, text)) => return report.tell(failed(shard, code, &text)),
    };
    if !suspects.is_empty() {
        let end = match server.end() {
            Ok(end) => end,
            Err((code, text)) => return report.tell(failed(shard, code, &text)),
        };
        sampler.keep_history();
        let mut last = last.clone();
        let deadline = Instant::now() + CATCH_UP;
        let reached = loop {
            // Asked before the files are read: what the store has passed is in them then.
            let stored = peek_point(config, shard).ok().flatten();
            let (newer, is_written) = read_on(sampler);
            last = newer.unwrap_or(last);
            let stored = stored.filter(|record| {
                record.sequence == 0 || (record.epoch, record.sequence) <= (last.epoch, last.sequence)
            });
            let points = [Some(&last.point), stored.as_ref().and_then(|record| record.point.as_ref())];
            if points.into_iter().flatten().any(|point| server.is_reached(&end, point)) {
                break true;
            }
            if !is_written || Instant::now() >= deadline {
                break false;
            }
            std::thread::sleep(PAUSE);
        };
        for suspect in suspects {
            judge(&suspect, sampler, &mut server, reached, &mut counts, report);
        }
    }
    tell(shard, &server, sampler, &counts, report);
}

/// Asks for every key of the sample.
fn look(
    server: &mut Server,
    sampler: &Sampler,
    counts: &mut Counts,
    report: &mut Report<'_>,
) -> Result<Vec<Suspect>, (Code, String)> {
    let mut suspects = Vec::new();
    for (table, keys) in sampler.tables() {
        let reader = match server.table(table)? {
            Ok(reader) => reader,
            Err(why) => {
                report.tell(Finding::note(at_table(table), format!("not compared: {why}")));
                continue;
            }
        };
        counts.tables += 1;
        for sampled in keys {
            let Some(answer) = server.row(&reader, &sampled.key)? else {
                counts.undecided += 1;
                continue;
            };
            counts.keys += 1;
            match difference(&reader, &sampled.state, &answer) {
                None => counts.equal += 1,
                Some(difference) => suspects.push(Suspect {
                    table: table.clone(),
                    key: sampled.key.clone(),
                    answer,
                    difference: format!("{difference} (files: seq {})", sampled.seq),
                }),
            }
        }
    }
    Ok(suspects)
}

/// A suspect, once the files have been read on.
fn judge(
    suspect: &Suspect,
    sampler: &Sampler,
    server: &mut Server,
    reached: bool,
    counts: &mut Counts,
    report: &mut Report<'_>,
) {
    let reader = server.known(&suspect.table);
    let sampled = sampler.find(&suspect.table, &suspect.key);
    let (Some(reader), Some(sampled)) = (reader, sampled) else {
        // Redefined or rolled back meanwhile.
        counts.undecided += 1;
        return;
    };
    if sampled.history.iter().any(|state| difference(reader, state, &suspect.answer).is_none()) {
        counts.later += 1;
        return;
    }
    if !reached {
        counts.undecided += 1;
        return;
    }
    let at =
        At { file: format!("{} {}", place(&suspect.table), shown(&suspect.key)), line: None, offset: None };
    let text = format!("the server's row is not what the files say: {}", suspect.difference);
    counts.different += 1;
    report.tell(Finding::fault(at, text).coded(Code::Differs));
}

/// How a row differs from what the files say; none when it does not.
fn difference(reader: &TableReader, state: &State, answer: &Answer) -> Option<String> {
    match (state, answer) {
        (State::Deleted, None) => None,
        (State::Deleted, Some(_)) => Some("expected no row, got one".to_owned()),
        (State::Row(_), None) => Some("expected a row, got none".to_owned()),
        (State::Row(values), Some(row)) => values.iter().find_map(|(column, raw)| {
            let got = reader.compare(column, raw, row)?;
            Some(format!("column {column}: expected {}, got {}", short(raw), short(&got)))
        }),
    }
}

fn tell(shard: &str, server: &Server, sampler: &Sampler, counts: &Counts, report: &mut Report<'_>) {
    for table in &sampler.without_key {
        report.tell(Finding::note(at_table(table), "not compared: no key tells its rows apart"));
    }
    let Counts { tables, keys, equal, later, different, undecided } = counts;
    let mut text = format!(
        "against {}: {keys} keys of {tables} tables asked for, {equal} as the files say, {later} as they say by now, {different} not",
        server.place(),
    );
    if *undecided > 0 {
        text.push_str(&format!(
            "; {undecided} not decided: changed behind the end of the files (let a run deliver it, then ask again), or of a \
             type that cannot be looked up"
        ));
    }
    report.tell(Finding::note(at(shard), text));
}

fn place(table: &Table) -> String {
    format!("{}.{}", table.0, table.1)
}

fn at(shard: &str) -> At {
    At { file: shard.to_owned(), line: None, offset: None }
}

fn at_table(table: &Table) -> At {
    At { file: place(table), line: None, offset: None }
}

fn failed(shard: &str, code: Code, text: &str) -> Finding {
    Finding::fault(at(shard), text).coded(code)
}

/// The beginning of a value, for a message.
fn short(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Whether a point lies at or behind a place: everything before the place is delivered.
fn reaches(point: &SyncPoint, file: &str, pos: u64) -> bool {
    use crate::binlog::BinlogPosition;
    !point.set_ahead && BinlogPosition::new(point.file.as_str(), point.pos) >= BinlogPosition::new(file, pos)
}
