//! What is kept of a shard beside its point: definitions, gap records, former points.

use crate::code::Code;
use crate::config::Config;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::pipeline::definitions::book;
use crate::pipeline::ports::open_schema_store;
use crate::sync_point::StoreError;
use crate::sync_point::gap_log::FileGapLog;
use crate::sync_point::history::FileHistory;
use crate::sync_point::line_log::LinesRead;
use std::path::Path;

/// Read without a lock, so that a run may go on meanwhile. Only trouble is told.
pub fn examine(config: &Config, shard: &str) -> Vec<Finding> {
    let definitions =
        open_schema_store(config, shard).and_then(|mut store| book::load(store.as_mut(), shard).map(|_| ()));
    let mut findings: Vec<Finding> = definitions.err().map(told).into_iter().collect();
    findings.extend(in_folder(&config.point_dir, shard));
    findings
}

fn in_folder(folder: &Path, shard: &str) -> Vec<Finding> {
    let gaps = FileGapLog::new(folder, shard);
    let history = FileHistory::new(folder, shard, 0).path();
    let lines = [
        lines(gaps.path(), gaps.read().map(|(_, read)| read)),
        lines(&history, FileHistory::read(folder, shard).map(|(_, read)| read)),
    ];
    lines.into_iter().flatten().collect()
}

fn told(error: StoreError) -> Finding {
    Finding { level: Level::Error, code: error.code.as_str(), text: error.text, cure: None }
}

/// No run needs those lines: a warning.
fn lines(path: &Path, read: Result<LinesRead, StoreError>) -> Option<Finding> {
    match read {
        Err(error) => Some(told(error)),
        Ok(read) if read.broken == 0 => None,
        Ok(read) => Some(Finding::warn(
            Code::PointBroken,
            format!(
                "{}: {} line(s) are not as they were written (a crash, a full disk, or somebody's editor) and are left out",
                path.display(),
                read.broken
            ),
            "delete those lines, or put a good copy back, while no run works on the shard",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use std::fs;

    #[test]
    fn what_is_torn_or_changed_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().to_str().unwrap();
        let pairs = [("mysql_shard_0_server", "db1"), ("mysql_username", "u"), ("producer_position", folder)];
        let config = Config::load(&Request::from_pairs("/h", &pairs)).unwrap();
        let levels = || -> Vec<(Level, &str)> {
            examine(&config, "s").iter().map(|found| (found.level, found.code)).collect()
        };
        assert_eq!(levels(), []);
        for (ending, level) in [("gaps", Level::Warn), ("history", Level::Warn), ("schema", Level::Error)] {
            let path = temp.path().join(format!("s.{ending}"));
            fs::write(&path, "{}\n{").unwrap();
            assert_eq!(levels(), [(level, "POINT_BROKEN")], "{ending}");
            let text = examine(&config, "s").remove(0).text;
            assert!(text.starts_with(path.to_str().unwrap()), "{text}");
            fs::remove_file(path).unwrap();
        }
    }
}
