//! Former points of a shard, for going back to: `<producer_position>/<shard>.history`, beside the point.
//!
//! Each saved point is one sealed line, appended and not synced: what a crash of the machine takes of the end is a few
//! seconds of history, and the point itself is kept elsewhere ([`crate::sync_point::file_store`]). Of the lines that have
//! come together the last thousand stay, and before them the last one of each minute for `points_history_days`; the rest
//! goes when the file is written anew (into `.<shard>.history.tmp`, then renamed: a crash leaves the old file or the new
//! one). Nothing here stops a shard.

use crate::code::Code;
use crate::fail_point;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::folder::sync_folder;
use crate::sync_point::line_log::LineLog;
use crate::sync_point::line_log::LinesRead;
use crate::sync_point::line_log::SEAL;
use crate::sync_point::line_log::read_lines;
use crate::sync_point::record::FORMAT;
use crate::sync_point::sealed::seal;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// The last points are all kept, whenever they were saved.
pub const LAST_POINTS: usize = 1000;

/// The file is written anew when that many lines have been added, or half as many as it had if that is more.
const ADDED_LINES: usize = 1000;

/// Or that many bytes.
const ADDED_BYTES: u64 = 16 << 20;

/// What is kept at most, in bytes: with a GTID set of megabytes a week would fill the disk. The oldest lines go first.
const MOST_BYTES: u64 = 64 << 20;

/// Lines longer than this are kept once a minute only, from the first on.
const LONG_LINE: usize = 16 << 10;

const MINUTE_MS: u64 = 60_000;

/// Keeps former points. ZooKeeper will have its own.
pub trait PointHistory: Send {
    /// Takes note of a point that has been saved.
    fn note(&mut self, record: &PointRecord) -> Result<(), StoreError>;
}

/// A former point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Rises with every line of the file; names the point to people.
    pub id: u64,
    #[serde(flatten)]
    pub record: PointRecord,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    id: u64,
    #[serde(flatten)]
    record: &'a PointRecord,
}

/// As much of a line as decides whether it is kept.
#[derive(Deserialize)]
struct Stamp {
    id: u64,
    saved_ms: u64,
}

/// The history of one shard in a folder. Whoever notes holds the shard's lock there.
#[derive(Debug)]
pub struct FileHistory {
    folder: PathBuf,
    shard: String,
    keep_ms: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    log: LineLog,
    next_id: u64,
    /// The minute of the last line.
    minute: Option<u64>,
    /// Lines and bytes that may be added before the file is written anew.
    room: (usize, u64),
}

impl FileHistory {
    /// `days`: for how long one point a minute is kept.
    pub fn new(folder: &Path, shard: &str, days: u64) -> Self {
        let keep_ms = days.saturating_mul(24 * 60 * MINUTE_MS);
        Self { folder: folder.to_path_buf(), shard: shard.to_owned(), keep_ms, open: None }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.history", self.shard))
    }

    fn temporary(&self) -> PathBuf {
        self.folder.join(format!(".{}.history.tmp", self.shard))
    }

    /// Reads all points, the oldest first, without lock: for looking while a run goes on. Lines that make no sense are
    /// counted.
    pub fn read(folder: &Path, shard: &str) -> Result<(Vec<Kept>, LinesRead), StoreError> {
        let history = Self::new(folder, shard, 0);
        let mut points = Vec::new();
        let read = read_lines(&history.path(), |line| {
            let kept = serde_json::from_str::<Kept>(line).ok().filter(|kept| kept.record.shard == shard);
            kept.map(|kept| points.push(kept)).is_some()
        });
        read.map(|read| (points, read)).map_err(|error| history.failed("cannot be read", &error))
    }

    fn append(&mut self, record: &PointRecord) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.log.is_linked()? => open,
            Some(_) | None => self.open()?,
        };
        let written = Written { format: FORMAT, id: open.next_id, record };
        let line = seal(&serde_json::to_string(&written)?, SEAL);
        let minute = Some(record.saved_ms / MINUTE_MS);
        if line.len() <= LONG_LINE || minute != open.minute {
            open.log.append(&line)?;
            open.next_id += 1;
            open.minute = minute;
            open.room = (open.room.0.saturating_sub(1), open.room.1.saturating_sub(line.len() as u64 + 1));
        }
        let full = open.room.0 == 0 || open.room.1 == 0;
        self.open = Some(if full { self.open()? } else { open });
        Ok(())
    }

    /// Writes the file anew where there is something to leave out, and opens it.
    fn open(&self) -> io::Result<Open> {
        let path = self.path();
        let mut stamps = Vec::new();
        read_lines(&path, |line| {
            let stamp = serde_json::from_str::<Stamp>(line);
            stamp.map(|stamp| stamps.push((stamp, line.len() as u64 + 1))).is_ok()
        })?;
        let keeps = keeps(&stamps, self.keep_ms);
        let kept = keeps.iter().filter(|keep| **keep).count();
        if kept < keeps.len() {
            self.write_anew(&keeps)?;
        }
        let last = stamps.last().map(|(stamp, _)| stamp);
        Ok(Open {
            log: LineLog::open(&path)?,
            next_id: last.map_or(1, |last| last.id.saturating_add(1)),
            minute: last.map(|last| last.saved_ms / MINUTE_MS),
            room: (ADDED_LINES.max(kept / 2), ADDED_BYTES),
        })
    }

    fn write_anew(&self, keeps: &[bool]) -> io::Result<()> {
        let (path, temporary) = (self.path(), self.temporary());
        let mut file = BufWriter::new(File::create(&temporary)?);
        let mut keeps = keeps.iter();
        let mut outcome = Ok(());
        read_lines(&path, |line| {
            if serde_json::from_str::<Stamp>(line).is_err() {
                return false;
            }
            if keeps.next().is_some_and(|keep| *keep) && outcome.is_ok() {
                outcome = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
            }
            true
        })?;
        outcome?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fail_point::reach("history.rename")?;
        fs::rename(&temporary, &path)?;
        sync_folder(&self.folder)
    }

    fn failed(&self, what: &str, error: &io::Error) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", self.path().display()))
    }
}

/// Which lines stay: the last thousand, before them the last one of each minute as long as it is young enough, all
/// together no more than the file may hold.
fn keeps(stamps: &[(Stamp, u64)], keep_ms: u64) -> Vec<bool> {
    let now = stamps.last().map_or(0, |(stamp, _)| stamp.saved_ms);
    let mut keeps = vec![false; stamps.len()];
    let (mut later_minute, mut bytes) = (None, 0);
    for (from_end, (keep, (stamp, length))) in keeps.iter_mut().zip(stamps).rev().enumerate() {
        let minute = stamp.saved_ms / MINUTE_MS;
        let last_of_minute = later_minute != Some(minute);
        let young = stamp.saved_ms.saturating_add(keep_ms) >= now;
        later_minute = Some(minute);
        if from_end < LAST_POINTS || last_of_minute && young {
            bytes += length;
            *keep = bytes <= MOST_BYTES;
        }
    }
    keeps
}

impl PointHistory for FileHistory {
    fn note(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        self.append(record).map_err(|error| self.failed("cannot be written", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::SyncPoint;
    use crate::sync_point::record::tests::point;
    use crate::sync_point::record::tests::record;

    const SHARD: &str = "producer00";
    const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

    fn at(saved_ms: u64) -> PointRecord {
        PointRecord { saved_ms, ..record(1, saved_ms) }
    }

    fn read(folder: &Path) -> Vec<Kept> {
        let (points, read) = FileHistory::read(folder, SHARD).unwrap();
        assert_eq!(read, LinesRead::default());
        points
    }

    fn ids(points: &[Kept]) -> Vec<u64> {
        points.iter().map(|kept| kept.id).collect()
    }

    #[test]
    fn what_is_noted_is_read_and_numbers_go_on() {
        let temp = tempfile::tempdir().unwrap();
        assert!(read(temp.path()).is_empty());
        for round in 0..3 {
            let mut history = FileHistory::new(temp.path(), SHARD, 7);
            history.note(&at(2 * round)).unwrap();
            history.note(&at(2 * round + 1)).unwrap();
        }
        let points = read(temp.path());
        assert_eq!(ids(&points), [1, 2, 3, 4, 5, 6]);
        assert!(points.iter().zip(0..).all(|(kept, saved_ms)| kept.record == at(saved_ms)));
    }

    #[test]
    fn a_thousand_and_one_a_minute_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let mut history = FileHistory::new(temp.path(), SHARD, 7);
        // A point every 10 seconds for ten days; a thousand of them are less than three hours.
        let begin = 1_700_000_000_000 / MINUTE_MS * MINUTE_MS;
        let (points, mut longest) = (10 * DAY_MS / 10_000, 0);
        for number in 0..points {
            history.note(&at(begin + number * 10_000)).unwrap();
            if number % 997 == 0 {
                longest = longest.max(read(temp.path()).len());
            }
        }
        drop(history);
        FileHistory::new(temp.path(), SHARD, 7).note(&at(begin + points * 10_000)).unwrap();
        let kept = read(temp.path());
        let minutes = 7 * 24 * 60;
        assert!(longest > minutes / 2 && longest < 2 * (LAST_POINTS + minutes), "{longest}");
        assert!(kept.len() >= LAST_POINTS + minutes - LAST_POINTS / 6 && kept.len() <= LAST_POINTS + minutes);
        assert!(kept.windows(2).all(|pair| pair[0].id < pair[1].id));
        // The file was written anew before the last one was added.
        let (old, last) = kept.split_at(kept.len() - LAST_POINTS - 1);
        assert_eq!(last.last().unwrap().id - last[0].id, LAST_POINTS as u64, "all of the last ones");
        assert!(old.windows(2).all(|pair| pair[1].record.saved_ms - pair[0].record.saved_ms == MINUTE_MS));
        assert!(old[0].record.saved_ms + 7 * DAY_MS >= last.last().unwrap().record.saved_ms - MINUTE_MS);
    }

    #[test]
    fn a_crash_while_it_is_written_anew_leaves_the_old_file_or_the_new_one() {
        let temp = tempfile::tempdir().unwrap();
        let mut history = FileHistory::new(temp.path(), SHARD, 0);
        for saved_ms in 0..1900 {
            history.note(&at(saved_ms)).unwrap();
        }
        drop(history);
        let before = fs::read(temp.path().join("producer00.history")).unwrap();
        let count = read(temp.path()).len();
        assert!(count > LAST_POINTS);
        for torn in [0, 1, 700, 90_000] {
            fs::write(temp.path().join("producer00.history"), &before).unwrap();
            fs::write(temp.path().join(".producer00.history.tmp"), &before[..torn]).unwrap();
            assert_eq!(read(temp.path()).len(), count);
            FileHistory::new(temp.path(), SHARD, 0).note(&at(2000)).unwrap();
            let kept = read(temp.path());
            assert_eq!((kept.len(), kept.last().unwrap().id), (LAST_POINTS + 1, 1901));
        }
    }

    #[test]
    fn a_torn_or_missing_file_stops_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("producer00.history");
        let mut history = FileHistory::new(temp.path(), SHARD, 7);
        history.note(&at(1)).unwrap();
        history.note(&at(2)).unwrap();
        drop(history);
        let good = fs::read(&path).unwrap();
        for cut in (0..good.len()).step_by(7) {
            fs::write(&path, &good[..cut]).unwrap();
            let mut history = FileHistory::new(temp.path(), SHARD, 7);
            history.note(&at(3)).unwrap();
            assert_eq!(read(temp.path()).last().unwrap().record, at(3));
            fs::remove_file(&path).unwrap();
            history.note(&at(4)).unwrap();
            assert_eq!(ids(&read(temp.path())), [1], "a file that was taken away is begun anew");
        }
    }

    #[test]
    fn long_points_are_kept_once_a_minute_and_the_oldest_go_first() {
        let temp = tempfile::tempdir().unwrap();
        let mut history = FileHistory::new(temp.path(), SHARD, 7);
        let long = |saved_ms: u64| {
            let file = "x".repeat(1 << 20);
            PointRecord { point: Some(SyncPoint { file, ..point(4) }), ..at(saved_ms) }
        };
        for number in 0..100 {
            history.note(&long(number * MINUTE_MS)).unwrap();
            history.note(&long(number * MINUTE_MS + 1)).unwrap();
        }
        let length = fs::metadata(history.path()).unwrap().len();
        assert!(length <= MOST_BYTES + ADDED_BYTES + (2 << 20), "{length}");
        let kept = ids(&read(temp.path()));
        assert!(kept.len() > 50 && kept.last() == Some(&100), "{kept:?}");
    }
}
