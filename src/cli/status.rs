//! `fountain status`: what the node that runs here tells, or what is stored where none does.

use crate::cli::Failure;
use crate::cli::print;
use crate::code::Code;
use crate::config::Config;
use crate::control::client;
use crate::control::client::Asked;
use crate::control::protocol::Request;
use crate::engine::operate;
use crate::engine::operate::report_without_node;
use crate::logging;
use crate::logging::one_line;
use crate::status::Unsaved;
use crate::status::report::Health;
use crate::status::report::Leadership;
use crate::status::report::NodeReport;
use crate::status::report::PointReport;
use crate::status::report::ShardReport;
use crate::status::time_text;
use log::LevelFilter;
use std::time::Duration;

/// The node answers from its memory, but for points of shards that it does not run.
const PATIENCE: Duration = Duration::from_secs(20);

/// No line is longer, in characters.
const WIDTH: usize = 100;

pub fn status(config: &Config, json: bool) -> Result<(), Failure> {
    logging::start(LevelFilter::Warn);
    told(config, json).inspect_err(|failure| {
        // Whoever reads the object is to have one.
        if json && failure.exit == Health::Unknown.exit_code() && !failure.lines.is_empty() {
            let nothing = operate::unknown_report(config, &failure.lines.join("; "));
            drop(serde_json::to_string(&nothing).map(|text| print(&format!("{text}\n"))));
        }
    })
}

fn told(config: &Config, json: bool) -> Result<(), Failure> {
    let report = match client::ask(&config.status_dir, &Request::Status {}, PATIENCE) {
        Asked::Answered(answer) => match (answer.report, answer.lines) {
            (Some(report), _) => report,
            (None, lines) => return Err(unknown(lines.join("; "))),
        },
        Asked::NoNode => report_without_node(config),
        Asked::NoAnswer(why) => return Err(unknown(why)),
    };
    let text = match json {
        true => serde_json::to_string(&report)
            .map(|text| text + "\n")
            .map_err(|error| unknown(error.to_string()))?,
        false => table(&report),
    };
    print(&text)?;
    match report.health.exit_code() {
        0 => Ok(()),
        exit => Err(Failure { exit, lines: Vec::new() }),
    }
}

fn unknown(what: String) -> Failure {
    Failure { exit: Health::Unknown.exit_code(), lines: vec![format!("{} {what}", Code::Control)] }
}

fn table(report: &NodeReport) -> String {
    let process = match (report.pid, report.started_ms) {
        (Some(pid), Some(since)) => format!("process {pid} since {}", time(since)),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "no node runs here".to_owned(),
    };
    let NodeReport { node, version, health, .. } = report;
    let mut text = wrapped(&format!("{node}: {}; fountain {version}, {process}", health.word()), 0);
    let names = report.shards.iter().map(|shard| shard.shard.chars().count()).max().unwrap_or(0).clamp(5, 30);
    text.push_str(&row(names, "SHARD", "STATE", "SINCE", "SOURCE"));
    for shard in &report.shards {
        let since = shard.since_ms.map(time).unwrap_or_default();
        let source = shard.source.as_deref().unwrap_or("-");
        text.push_str(&row(names, &shard.shard, shard.state.word(), &since, source));
        for detail in details(shard) {
            text.push_str(&wrapped(&detail, 4));
        }
    }
    text
}

fn row(names: usize, shard: &str, state: &str, since: &str, source: &str) -> String {
    // Two blanks between columns; 16 and 20 hold any state and any time.
    let rest = WIDTH - names - 16 - 20 - 6;
    let line = format!(
        "{:<names$}  {state:<16}  {since:<20}  {}",
        cut(&one_line(shard.to_owned()), names),
        cut(&one_line(source.to_owned()), rest)
    );
    format!("{}\n", line.trim_end())
}

fn details(shard: &ShardReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &shard.why {
        lines.push(format!("why: {}", one_line(why.clone())));
    }
    match (&shard.point, &shard.point_unknown) {
        (Some(point), _) => lines.push(point_in_words(point)),
        (None, Some(why)) => lines.push(format!("point: not known: {}", one_line(why.clone()))),
        (None, None) => lines.push("point: none is stored".to_owned()),
    }
    if let Some(Unsaved { since_ms, why }) = &shard.unsaved {
        lines.push(one_line(format!("points are not saved since {}: {why}", time(*since_ms))));
    }
    lines.extend(shard.leadership.as_ref().map(leadership_in_words));
    lines
}

fn point_in_words(point: &PointReport) -> String {
    let PointReport { epoch, sequence, saved_ms, file, pos, gtids, .. } = point;
    let place = match file.as_str() {
        "" => None,
        file => Some(format!("{file}:{pos}")),
    };
    let gtids = gtids.as_ref().map(|gtids| format!("GTIDs {}", middle_cut(gtids)));
    let words: Vec<String> = place.into_iter().chain(gtids).collect();
    let words = if words.is_empty() { "an unknown place".to_owned() } else { words.join(", ") };
    format!("point: {words}; pack {sequence} of epoch {epoch}, saved {}", time(*saved_ms))
}

fn leadership_in_words(leadership: &Leadership) -> String {
    let since = leadership.leader_since_ms.or(leadership.nobody_since_ms);
    let since = since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
    match (leadership.here, &leadership.leader, &leadership.why) {
        (true, _, _) => format!("leader: this node{since}"),
        (false, leader, why) => {
            let pid = leadership.leader_pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let leader = leader.as_deref().unwrap_or("nobody, or it cannot be told").to_owned() + &pid;
            let why = why.as_ref().map(|why| format!("; this node does not: {why}")).unwrap_or_default();
            one_line(format!("leader: {leader}{since}{why}"))
        }
    }
}

/// `2026-01-31T12:00:00Z`
fn time(ms: u64) -> String {
    let text = time_text(ms);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The newest GTIDs stand at the end.
fn middle_cut(text: &str) -> String {
    const END: usize = 100;
    let count = text.chars().count();
    if count <= 2 * END {
        return text.to_owned();
    }
    let head: String = text.chars().take(END).collect();
    let tail: String = text.chars().skip(count - END).collect();
    format!("{head}…{tail}")
}

/// Lines of at most `WIDTH`, broken at blanks where there are any; what follows the first is indented a little more.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut line = " ".repeat(indent);
    let mut used = indent;
    let mut start = indent;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > start && used + 1 + word.len() > WIDTH {
            lines.push_str(&format!("{line}\n"));
            start = indent + 2;
            (line, used) = (" ".repeat(start), start);
        }
        if used > start {
            line.push(' ');
            used += 1;
        }
        while used + word.len() > WIDTH {
            let rest = word.split_off(WIDTH - used);
            line.extend(word);
            lines.push_str(&format!("{line}\n"));
            start = indent + 2;
            (line, used) = (" ".repeat(start), start);
            word = rest;
        }
        used += word.len();
        line.extend(word);
    }
    format!("{lines}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::State;

    #[test]
    fn no_line_of_the_table_is_wider_than_the_page() {
        let long = "bestellungen-ö".repeat(20);
        let shard = ShardReport {
            shard: long.clone(),
            state: State::WaitingForSink,
            health: Health::Critical,
            since_ms: Some(1_700_000_000_123),
            why: Some(format!("SINK_FAILED: {} {long}", "no room ".repeat(30))),
            source: Some(format!("{long}:3306")),
            point: Some(PointReport {
                epoch: 3,
                sequence: 7,
                saved_ms: 1_700_000_000_123,
                commit_ms: None,
                file: "mysql-bin.000003".into(),
                pos: 1234,
                gtids: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23,".repeat(50)),
            }),
            point_unknown: None,
            unsaved: Some(Unsaved { since_ms: 1_700_000_000_123, why: "ZK_ACCESS: no ".repeat(30) }),
            leadership: Some(Leadership {
                here: false,
                leader: Some("db2".into()),
                leader_pid: Some(7),
                leader_since_ms: None,
                nobody_since_ms: None,
                differs: Vec::new(),
                why: Some("it came later\nthan the other".into()),
            }),
        };
        let report = NodeReport {
            why: None,
            node: "db1".into(),
            version: "1".into(),
            pid: Some(5),
            started_ms: Some(1_700_000_000_123),
            guard: "none".into(),
            health: Health::Critical,
            shards: vec![shard],
        };
        let text = table(&report);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("waiting_for_sink") && text.contains("2023-11-14T22:13:20Z"), "{text}");
        assert!(text.contains("    point: mysql-bin.000003:1234, GTIDs"), "{text}");
        assert!(text.contains("later\\nthan"), "{text}");
    }

    #[test]
    fn a_text_that_is_broken_into_lines_is_whole() {
        let words = format!("one two {} three", "x".repeat(250));
        let text = wrapped(&words, 4);
        assert_eq!(text.split_whitespace().collect::<String>(), words.replace(' ', ""));
        assert!(text.lines().all(|line| line.len() <= WIDTH && line.starts_with("    ")), "{text}");
    }
}
