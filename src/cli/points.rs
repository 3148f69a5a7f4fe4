//! `fountain points` and `fountain gaps`: what is printed. The work is done in [`crate::points`].

use crate::cli::Failure;
use crate::cli::points_args::GapsOptions;
use crate::cli::points_args::Looking;
use crate::cli::points_args::PointsCommand;
use crate::cli::points_args::SetOptions;
use crate::cli::print;
use crate::code::Code;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::config::near;
use crate::logging;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::peek_old;
use crate::pipeline::ports::peek_point;
use crate::points::edge_in_words;
use crate::points::find;
use crate::points::in_words;
use crate::points::need_folder;
use crate::points::need_points;
use crate::points::set::Move;
use crate::points::time;
use crate::sync_point::PointRecord;
use crate::sync_point::ServerIdentity;
use crate::sync_point::StoreError;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::gap_log::FileGapLog;
use crate::sync_point::history::FileHistory;
use crate::sync_point::history::Kept;
use crate::sync_point::line_log::LinesRead;
use log::LevelFilter;
use serde_json::json;
use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// `fountain points …`
pub fn points(config: &Config, command: PointsCommand) -> Result<(), Failure> {
    logging::start(LevelFilter::Warn);
    match command {
        PointsCommand::Show(looking) => each(config, &looking, |shard| show(config, shard, looking.json)),
        PointsCommand::History(looking, limit) => {
            each(config, &looking, |shard| history(config, shard, looking.json, limit))
        }
        PointsCommand::Find(looking, time_ms) => {
            each(config, &looking, |shard| find(config, shard, looking.json, time_ms))
        }
        PointsCommand::Set(options) => set(config, options),
    }
}

/// `fountain gaps`
pub fn gaps(config: &Config, options: &GapsOptions) -> Result<(), Failure> {
    logging::start(LevelFilter::Warn);
    each(config, &options.looking, |shard| gaps_of(config, shard, options))
}

fn chosen<'a>(config: &'a Config, name: &str) -> Result<&'a ShardConfig, Failure> {
    config.shards.iter().find(|shard| shard.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.shards.iter().map(|shard| shard.name.as_str()).collect();
        let hint = near::hint(name, names.iter().copied());
        Failure::usage(format!("no shard \"{name}\" is configured (there is {}){hint}", names.join(", ")))
    })
}

/// Goes through one shard or all of them; one that fails does not hide the others.
fn each(
    config: &Config,
    looking: &Looking,
    mut look: impl FnMut(&ShardConfig) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shards: Vec<&ShardConfig> = match &looking.shard {
        Some(name) => vec![chosen(config, name)?],
        None => config.shards.iter().collect(),
    };
    let mut failed: Option<Failure> = None;
    for shard in shards {
        if let Err(failure) = look(shard) {
            match &mut failed {
                Some(failed) => failed.lines.extend(failure.lines),
                None => failed = Some(failure),
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn failure(shard: &str, error: &StoreError) -> Failure {
    Failure::failed(error.code, format!("shard={shard} {error}"))
}

/// Lines that make no sense are told, after the others have been shown.
fn complain(shard: &str, path: &Path, read: &LinesRead) -> Result<(), Failure> {
    match read.broken {
        0 => Ok(()),
        broken => Err(Failure::failed(
            Code::PointBroken,
            format!(
                "shard={shard} {}: {broken} line(s) are not as they were written (a crash, a full disk, or somebody's editor) \
                 and are left out; delete those lines, or put a good copy back, while no run works on the shard",
                path.display()
            ),
        )),
    }
}

fn in_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n").map_err(|error| Failure::failed(Code::Internal, error))
}

fn show(config: &Config, shard: &ShardConfig, json: bool) -> Result<(), Failure> {
    let name = &shard.name;
    let record =
        need_points(config).and_then(|()| peek_point(config, name)).map_err(|error| failure(name, &error))?;
    match record {
        Some(record) if json => print(&in_json(&record)?),
        Some(record) => print(&shown(shard, &record)),
        None => print(&none_shown(config, name, json)?),
    }
}

/// No point of ours: the next run goes on with the original Fountain's, where there is one.
fn none_shown(config: &Config, name: &str, json: bool) -> Result<String, Failure> {
    let old = peek_old(config, name).map_err(|error| failure(name, &error))?;
    let old = old.map(|old| old.origin);
    match old {
        None if json => in_json(&json!({ "shard": name, "point": null })),
        Some(old) if json => in_json(&json!({ "shard": name, "point": null, "original": old })),
        None => Ok(format!("{name}: no point is stored, and none ever was\n")),
        Some(old) => Ok(format!(
            "{name}: none of ours is stored; the original Fountain's {old} is there, the next run goes on with it\n"
        )),
    }
}

fn shown(shard: &ShardConfig, record: &PointRecord) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9}{text}"));
    match &record.point {
        None => line("point", "nothing is known of where it stands".to_owned()),
        Some(point) => {
            line("point", in_words(point));
            line("server", server_in_words(&point.server));
            line("commit", format!("{} (of the last transaction delivered)", time::text(point.ts_ms)));
        }
    }
    line("saved", time::text(record.saved_ms));
    line("pack", format!("{} of epoch {}", record.sequence, record.epoch));
    line(
        "seq",
        format!(
            "{} comes next; numbers below {} may have been handed out",
            record.next_seq, record.seq_reserved
        ),
    );
    if let Some(moved) = &record.moved {
        let from = moved.from.as_ref().map_or("an unknown place".to_owned(), edge_in_words);
        line(
            "moved",
            format!("{} from {from}: {}", time::text(moved.at_ms), logging::one_line(moved.reason.clone())),
        );
    }
    if matches!(shard.sink, SinkConfig::File(_)) {
        line("sink", "file: its own last whole pack wins where that is newer".to_owned());
    }
    format!("{}\n{}\n", record.shard, lines.join("\n"))
}

fn server_in_words(server: &ServerIdentity) -> String {
    match (&server.server_uuid, server.server_id) {
        (Some(uuid), id) => format!("server_uuid {uuid}, server_id {id}"),
        (None, 0) => "not known yet".to_owned(),
        (None, id) => format!("server_id {id}"),
    }
}

fn history(config: &Config, shard: &ShardConfig, json: bool, limit: Option<usize>) -> Result<(), Failure> {
    let name = &shard.name;
    let (points, read) = former_points(config, name)?;
    let skipped = points.len().saturating_sub(limit.unwrap_or(usize::MAX));
    let mut text = String::new();
    for kept in points.iter().skip(skipped) {
        text.push_str(&if json { in_json(kept)? } else { former(kept) });
    }
    if points.is_empty() && !json {
        text = format!("{name}: no former point is kept\n");
    }
    print(&text)?;
    complain(name, &history_path(config, name), &read)
}

fn former_points(config: &Config, name: &str) -> Result<(Vec<Kept>, LinesRead), Failure> {
    let read = need_folder(&config.point_dir).and_then(|()| FileHistory::read(&config.point_dir, name));
    read.map_err(|error| failure(name, &error))
}

fn history_path(config: &Config, shard: &str) -> PathBuf {
    FileHistory::new(&config.point_dir, shard, config.points.history_days).path()
}

/// One line about a former point.
fn former(kept: &Kept) -> String {
    let Kept { id, record } = kept;
    let words = record.point.as_ref().map_or("nothing known".to_owned(), in_words);
    let commit = record.point.as_ref().map_or(0, |point| point.ts_ms);
    let moved = if record.moved.is_some() { ", moved there" } else { "" };
    format!(
        "{} {id:>6}  saved {}  last commit {:<24}  {words}{moved}\n",
        record.shard,
        time::text(record.saved_ms),
        time::text(commit)
    )
}

fn find(config: &Config, shard: &ShardConfig, json: bool, time_ms: u64) -> Result<(), Failure> {
    let name = &shard.name;
    let (points, read) = former_points(config, name)?;
    let Some(kept) = find::before(&points, time_ms) else {
        let oldest = match points.first() {
            None => "its history is empty".to_owned(),
            Some(oldest) => {
                format!("the oldest of its {} kept points is {}", points.len(), former(oldest).trim_end())
            }
        };
        let text = format!(
            "shard={name} no kept point lies before everything that was committed after {}: {oldest}",
            time::text(time_ms)
        );
        return Err(Failure::failed(Code::NoPoint, text));
    };
    match json {
        true => print(&in_json(kept)?)?,
        false => print(&format!(
            "{}    to read from there: fountain points set {name} --to-history {} --reason TEXT\n",
            former(kept),
            kept.id
        ))?,
    }
    complain(name, &history_path(config, name), &read)
}

fn gaps_of(config: &Config, shard: &ShardConfig, options: &GapsOptions) -> Result<(), Failure> {
    let name = &shard.name;
    let log = FileGapLog::new(&config.point_dir, name);
    let read = need_folder(&config.point_dir).and_then(|()| log.read());
    let (gaps, read) = read.map_err(|error| failure(name, &error))?;
    let mut text = String::new();
    for gap in gaps.iter().filter(|gap| gap.at_ms >= options.since_ms) {
        text.push_str(&if options.looking.json { in_json(gap)? } else { gap_line(gap) });
    }
    if text.is_empty() && !options.looking.json {
        let since = if options.since_ms > 0 {
            format!(" since {}", time::text(options.since_ms))
        } else {
            String::new()
        };
        text = format!("{name}: no gap is recorded{since}\n");
    }
    print(&text)?;
    complain(name, log.path(), &read)
}

fn gap_line(gap: &GapRecord) -> String {
    let tables: Vec<String> =
        gap.tables.iter().map(|table| format!("{} {} rows", table.table, table.rows)).collect();
    let tables = if tables.is_empty() { String::new() } else { format!(" ({})", tables.join(", ")) };
    format!(
        "{} {} {}: from {} to {}{tables}: {}\n",
        time::text(gap.at_ms),
        gap.shard,
        gap.kind.word(),
        edge_in_words(&gap.from),
        edge_in_words(&gap.to),
        logging::one_line(gap.reason.clone())
    )
}

fn set(config: &Config, options: SetOptions) -> Result<(), Failure> {
    let shard = chosen(config, &options.shard)?;
    let failed = |fault: Fault| match fault.code {
        Code::Usage => Failure::usage(fault.text),
        code => Failure::failed(code, fault.text),
    };
    let planned =
        Move::prepare(config, shard, options.target, options.prover, options.prepared).map_err(failed)?;
    if !options.yes {
        confirm(&shard.name, &planned)?;
    }
    let notes = planned.notes.clone();
    let from = planned.from.as_ref().map_or("an unknown place".to_owned(), in_words);
    let record = planned.make(&options.reason).map_err(failed)?;
    if options.json {
        return print(&in_json(&record)?);
    }
    let to = record.point.as_ref().map(in_words).unwrap_or_default();
    let mut text = format!("{}: moved from {from} to {to}; epoch {}\n", shard.name, record.epoch);
    notes.iter().for_each(|note| text.push_str(&format!("  {note}\n")));
    print(&text)
}

/// Asks the person at the terminal; without one, `--yes` has to be given.
fn confirm(shard: &str, planned: &Move) -> Result<(), Failure> {
    let from = planned.from.as_ref().map_or("an unknown place".to_owned(), in_words);
    let mut question = format!("{shard}: from {from}\n{shard}: to   {}\n", in_words(&planned.to));
    planned.notes.iter().for_each(|note| question.push_str(&format!("  {note}\n")));
    if !io::stdin().is_terminal() {
        print(&question)?;
        return Err(Failure::usage("nothing is moved: give --yes where nobody can be asked"));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question}Move it? [y/N] ")
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::failed(Code::FileError, format!("the terminal: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure { exit: 1, lines: vec!["nothing is moved".to_owned()] }),
    }
}
