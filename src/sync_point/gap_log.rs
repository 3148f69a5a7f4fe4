//! Gap records in a file: `<producer_position>/<shard>.gaps`, beside the point.
//!
//! The file is opened anew for each record: gaps are rare, and a file that was moved away meanwhile is noticed.

use crate::code::Code;
use crate::sync_point::StoreError;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapLog;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::line_log::LineLog;
use crate::sync_point::line_log::LinesRead;
use crate::sync_point::line_log::SEAL;
use crate::sync_point::line_log::read_lines;
use crate::sync_point::sealed::seal;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// The gap records of one shard in a folder. Whoever appends holds the shard's lock there.
#[derive(Debug)]
pub struct FileGapLog {
    path: PathBuf,
}

impl FileGapLog {
    pub fn new(folder: &Path, shard: &str) -> Self {
        Self { path: folder.join(format!("{shard}.gaps")) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all records, the oldest first, without lock: for looking while a run goes on. Lines that make no sense are
    /// counted.
    pub fn read(&self) -> Result<(Vec<GapRecord>, LinesRead), StoreError> {
        let mut records = Vec::new();
        let read = read_lines(&self.path, |line| {
            let record = serde_json::from_str::<GapRecord>(line);
            record.map(|record| records.push(record)).is_ok()
        });
        read.map(|read| (records, read)).map_err(|error| self.failed("cannot be read", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", self.path.display()))
    }
}

impl GapLog for FileGapLog {
    fn append(&mut self, record: &GapRecord) -> Result<(), StoreError> {
        let object = serde_json::to_string(record).map_err(|error| {
            StoreError::new(
                Code::Internal,
                format!("{}: the gap cannot be put into words: {error}", self.path.display()),
            )
        })?;
        let append = || -> io::Result<()> {
            let mut log = LineLog::open(&self.path)?;
            let held =
                log.tail().iter().rev().filter_map(|line| serde_json::from_str::<GapRecord>(line).ok());
            // A jump may be made again later; only the last record can be the same one.
            let looked_at = if record.kind == GapKind::Jump { 1 } else { usize::MAX };
            if held.take(looked_at).any(|held| held.is_same_gap(record)) {
                // Whoever wrote it may have died before this.
                return log.sync();
            }
            let before = log.length();
            log.append(&seal(&object, SEAL))?;
            // What was not synced counts as not written, or the next try would take it for safe.
            log.sync().or_else(|error| log.cut(before).and(Err(error)))
        };
        append().map_err(|error| self.failed("cannot be written", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::gap::GapEdge;
    use crate::sync_point::gap::GapTable;
    use std::fs;

    fn edge(pos: u64) -> GapEdge {
        GapEdge { gtid: None, file: "mysql-bin.000003".into(), pos, row: 0 }
    }

    fn gap(pos: u64) -> GapRecord {
        GapRecord {
            shard: "producer00".into(),
            at_ms: 1_700_000_000_000 + pos,
            kind: GapKind::Discard,
            from: edge(pos),
            to: edge(pos + 100),
            tables: vec![GapTable { table: "shop.orders".into(), rows: 70_000 }],
            reason: "larger than \"trans_max_size\"\n".into(),
        }
    }

    #[test]
    fn what_is_appended_is_read_and_a_repetition_is_not_written() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = FileGapLog::new(temp.path(), "producer00");
        assert_eq!(log.read(), Ok((vec![], LinesRead::default())));
        for pos in [4, 200, 300] {
            log.append(&gap(pos)).unwrap();
        }
        log.append(&GapRecord { at_ms: 5, reason: "again".into(), ..gap(200) }).unwrap();
        FileGapLog::new(temp.path(), "producer00").append(&gap(4)).unwrap();
        assert_eq!(log.read(), Ok((vec![gap(4), gap(200), gap(300)], LinesRead::default())));
        log.append(&GapRecord { kind: GapKind::Skip, ..gap(200) }).unwrap();
        assert_eq!(log.read().unwrap().0.len(), 4);
        for (pos, count) in [(7, 5), (7, 5), (8, 6), (7, 7)] {
            log.append(&GapRecord { kind: GapKind::Jump, ..gap(pos) }).unwrap();
            assert_eq!(log.read().unwrap().0.len(), count, "a jump is repeated only behind another one");
        }
    }

    #[test]
    fn a_torn_line_stops_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = FileGapLog::new(temp.path(), "producer00");
        log.append(&gap(4)).unwrap();
        let good = fs::read(log.path()).unwrap();
        for cut in 1..good.len() - 1 {
            fs::write(log.path(), [&good[..], &good[..cut]].concat()).unwrap();
            log.append(&gap(300)).unwrap();
            assert_eq!(log.read(), Ok((vec![gap(4), gap(300)], LinesRead::default())), "cut at {cut}");
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_that_passes() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("points");
        let mut log = FileGapLog::new(&folder, "producer00");
        assert_eq!(log.append(&gap(4)).unwrap_err().code, Code::PointStore);
        fs::create_dir(&folder).unwrap();
        log.append(&gap(4)).unwrap();
        assert_eq!(log.read().unwrap().0, [gap(4)]);
    }
}
