//! How long the server keeps its binlogs.

use crate::code::Code;
use crate::doctor::facts::Told;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use crate::doctor::rules::duration;
use crate::doctor::rules::size;
use crate::mysql::advice::set_global;
use crate::mysql::binlog_index::BinlogFileEntry;
use crate::mysql::preflight::ServerFacts;
use crate::pipeline::start::Resume;
use crate::sync_point::SyncPoint;

const DAY: u64 = 86_400;

/// After how many seconds the server removes a binlog file; none: never by itself.
pub fn kept_for(server: &ServerFacts) -> Option<u64> {
    if server.is_on("binlog_expire_logs_auto_purge") == Some(false) {
        return None;
    }
    let number = |name| server.variable(name).and_then(|text| text.parse::<f64>().ok());
    let seconds = number("binlog_expire_logs_seconds").filter(|seconds| *seconds > 0.0);
    // MariaDB counts in parts of a day.
    let days = number("expire_logs_days").filter(|days| *days > 0.0);
    seconds.or(days.map(|days| days * DAY as f64)).map(|seconds| seconds as u64)
}

pub fn expiry(server: &ServerFacts, files: &Told<Vec<BinlogFileEntry>>) -> Vec<Finding> {
    let held = match files {
        Ok(files) => held(files),
        Err(error) if error.code() == Code::RightMissing || error.code() == Code::BinlogOff => {
            return Vec::new();
        }
        // ER_NO_BINARY_LOGGING: said already.
        Err(error) if error.server_errno() == Some(1381) => return Vec::new(),
        Err(error) => return vec![Finding::source(Level::Warn, error)],
    };
    let Some(seconds) = kept_for(server) else {
        return vec![Finding::fine(
            Topic::Expiry,
            format!("{held}, never removed by time{}", by_size(server)),
        )];
    };
    let text = format!("{held}, removed after {}{}", duration(seconds), by_size(server));
    if seconds >= DAY {
        return vec![Finding::fine(Topic::Expiry, text)];
    }
    let week = match server.variable("binlog_expire_logs_seconds") {
        Some(_) => set_global(server, "binlog_expire_logs_seconds=604800"),
        None => set_global(server, "expire_logs_days=7"),
    };
    let text = format!("{text}: when fountain is down for longer, rows are lost");
    vec![Finding::warn(Code::BinlogExpiry, text, week)]
}

fn held(files: &[BinlogFileEntry]) -> String {
    let total: u64 = files.iter().filter_map(|file| file.size).sum();
    let oldest = files.first().map_or("none", |file| file.name.as_str());
    format!("{} binlog files, {}, the oldest is {oldest}", files.len(), size(total))
}

/// MariaDB since 11.4 may also remove the oldest files to stay below a size.
fn by_size(server: &ServerFacts) -> String {
    let limit = server.variable("max_binlog_total_size").and_then(|text| text.parse::<u64>().ok());
    match limit.filter(|limit| *limit > 0) {
        Some(limit) => format!(", or when there are more than {} (max_binlog_total_size)", size(limit)),
        None => String::new(),
    }
}

/// Whether the first file that a run needs may go soon: the point's, or an earlier one with a prepared XA transaction that is
/// pending. A file's age counts from its last change; the newest file is never removed.
pub fn point_expires(server: &ServerFacts, point: &SyncPoint, newest: &str, now_ms: u64) -> Option<Finding> {
    let kept = kept_for(server)?;
    let (place, created) = Resume::from_point(point).begins();
    if point.file.is_empty() || *place.file == *newest {
        return None;
    }
    let behind = *place.file != *point.file;
    // The last change is not before the point's last transaction; of an earlier file all that is known is its beginning.
    let changed_ms = if behind && created > 0 { u64::from(created) * 1000 } else { point.ts_ms };
    let age = now_ms.saturating_sub(changed_ms) / 1000;
    if changed_ms == 0 || age < kept / 4 * 3 {
        return None;
    }
    let (file, age, kept) = (&place.file, duration(age), duration(kept));
    let begins = match behind {
        true => format!(
            "the oldest prepared XA transaction that is pending lies in {file}, which was begun {age} ago"
        ),
        false => format!("the stored point is {age} old, in {file}"),
    };
    let cure = match behind {
        true => {
            "decide on that transaction (XA RECOVER lists them), or keep binlogs longer on the server until that is done and read"
        }
        false => "start fountain now, or keep binlogs longer on the server until it has caught up",
    };
    let text = format!("{begins}, and the server removes binlogs after {kept}");
    Some(Finding::warn(Code::BinlogExpiry, text, cure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::ServerIdentity;
    use crate::sync_point::pending_xa::PendingXa;

    fn files() -> Told<Vec<BinlogFileEntry>> {
        Ok(vec![BinlogFileEntry { name: "bin.7".into(), size: Some(100) }])
    }

    fn judged(pairs: &[(&str, &str)]) -> Finding {
        expiry(&ServerFacts::of(pairs), &files()).remove(0)
    }

    #[test]
    fn a_day_is_long_enough() {
        for (pairs, words) in [
            (&[][..], "never removed by time"),
            (&[("expire_logs_days", "0")], "never removed by time"),
            (&[("binlog_expire_logs_seconds", "2592000")], "removed after 30 days"),
            (&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "3")], "removed after 3 days"),
            (
                &[("binlog_expire_logs_seconds", "60"), ("binlog_expire_logs_auto_purge", "OFF")],
                "never removed",
            ),
            (&[("max_binlog_total_size", "1073741824")], "more than 1024 MiB"),
        ] {
            let finding = judged(pairs);
            assert!(finding.level == Level::Ok && finding.text.contains(words), "{finding:?}");
        }
        let short = judged(&[("binlog_expire_logs_seconds", "3600")]);
        assert_eq!(short.code, "BINLOG_EXPIRY");
        assert!(short.cure.unwrap().contains("SET GLOBAL binlog_expire_logs_seconds=604800"));
        let hour = judged(&[("expire_logs_days", "0.041667")]);
        assert!(hour.cure.unwrap().contains("expire_logs_days=7"));
    }

    /// In bin.7, its last transaction 1000 seconds after 1970.
    fn point() -> SyncPoint {
        SyncPoint {
            server: ServerIdentity { server_uuid: None, server_id: 1 },
            file: "bin.7".into(),
            pos: 4,
            file_created: 0,
            executed: None,
            set_ahead: false,
            pending_xa: Vec::new(),
            inside: None,
            ts_ms: 1_000_000,
        }
    }

    #[test]
    fn a_point_is_told_of_while_there_is_time_left() {
        let server = ServerFacts::of(&[("binlog_expire_logs_seconds", "1000")]);
        let at = |now_ms| point_expires(&server, &point(), "bin.9", now_ms).is_some();
        assert!(!at(1_000_000) && !at(1_749_000) && at(1_750_000) && at(9_000_000));
        assert_eq!(point_expires(&server, &point(), "bin.7", 9_000_000), None, "the newest file stays");
        assert_eq!(point_expires(&ServerFacts::of(&[]), &point(), "bin.9", 9_000_000), None);
    }

    #[test]
    fn what_is_pending_is_needed_from_an_earlier_file() {
        let server = ServerFacts::of(&[("binlog_expire_logs_seconds", "1000")]);
        let xa = |file: &str, file_created| PendingXa {
            xid: "X'61',X'',1".into(),
            file: file.into(),
            pos: 4,
            file_created,
            gtid: None,
            gtids_before: None,
        };
        let with = |pending_xa| SyncPoint { pending_xa, ..point() };
        let told = |point: &SyncPoint, newest, now_ms| {
            point_expires(&server, point, newest, now_ms).map(|found| found.text)
        };
        let earlier = with(vec![xa("bin.6", 900), xa("bin.5", 200), xa("", 0)]);
        assert_eq!(told(&earlier, "bin.7", 949_000), None);
        let text = told(&earlier, "bin.7", 950_000).expect("though the point's own file is the newest");
        assert!(text.contains("lies in bin.5, which was begun"), "{text}");
        for (pending, why) in [(xa("bin.7", 200), "the same file"), (xa("bin.6", 0), "its age is not known")]
        {
            let point = with(vec![pending]);
            assert_eq!(told(&point, "bin.9", 1_749_000), None, "{why}");
            assert!(told(&point, "bin.9", 1_750_000).is_some(), "{why}");
        }
    }
}
