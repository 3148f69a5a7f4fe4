//! Packs in files: exactly once, whatever crashes happen.
//!
//! Row lines go to data files and each pack's header to the data file's sidecar ([`naming`] has the names); both are
//! flushed before a pack counts as delivered. The last whole pack in the folder, not a saved point, tells where the shard
//! stands: a pack that a crash tore is cut off and delivered again. So the data of a shard, its files
//! concatenated in the order of their names, is the same bytes with and without crashes; only the borders between files
//! and the epochs differ.
//!
//! Where several nodes share a shard, each has a folder of its own, and over all of them the packs in the order of (epoch,
//! sequence) are the shard's data: what another node has delivered again, a node that comes back puts into [`superseded`].
//!
//! Beside the files a folder holds `<shard>.lock` for every shard that writes into it, and for a while [`lost`]'s mark.

mod disk;
pub mod lost;
pub mod naming;
mod recovery;
mod retention;
mod scan;
pub mod sidecar;
pub mod superseded;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod superseded_tests;
#[cfg(test)]
mod tests;

use crate::code::Code;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::sink::file::disk::Disk;
use crate::sink::file::disk::Looking;
use crate::sink::file::disk::RealDisk;
use crate::sink::file::naming::FileName;
use crate::sink::file::recovery::Mending;
use crate::sink::file::recovery::recover;
use crate::sink::file::retention::retire;
use crate::sink::file::scan::follows;
use crate::sink::file::sidecar::MAX_LINE;
use crate::sink::file::writer::Writer;
use crate::sink::file::writer::failed;
use crate::sync_point::PointRecord;
use crate::sync_point::epochs::Counts;
use crate::sync_point::folder::check_shard_name;
use crate::sync_point::folder::make_folder;
use crate::sync_point::lock::FolderLock;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

/// How often closed files are looked at for their age.
const RETIRE_PERIOD: Duration = Duration::from_secs(60);

/// Where and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// Made when missing, readable for the group (0750): its readers are other programs.
    pub dir: PathBuf,
    /// A file is closed before a pack that would take it (or its sidecar) beyond this. 0: never.
    pub rotate_bytes: u64,
    /// A file is closed this long after it was opened. 0: never.
    pub rotate_seconds: u64,
    /// Bytes of this shard to keep, sidecars included. None: all.
    pub keep_bytes: Option<u64>,
    /// How long a closed file is kept after its last pack. None: for ever.
    pub keep_seconds: Option<u64>,
    /// No pack is written that would leave less than this on the file system. 0: off.
    pub min_free_bytes: u64,
}

/// The file sink of one shard.
#[derive(Debug)]
pub struct FileSink {
    config: FileSinkConfig,
    shard: String,
    writer: Writer,
    recovered: bool,
    /// The epoch that packs must be of; none before it has begun.
    epoch: Option<u64>,
    /// The highest epoch that any file is of.
    newest_epoch: u64,
    /// Whole packs that the recovery had to cut off.
    packs_cut_off: u64,
    /// The last pack that is durable, and the file it is in.
    last: Option<(FileName, PackHeader)>,
    /// When the open file was first seen open.
    opened: Option<Instant>,
    retired: Option<Instant>,
    /// The last complaint about old files, so that it is not repeated every minute.
    retire_failure: Option<String>,
    _lock: FolderLock,
}

impl FileSink {
    /// Makes the folder when it is missing, and locks the shard in it. Looks at no file yet.
    pub fn open(config: FileSinkConfig, shard: &str) -> Result<Self, SinkError> {
        Self::open_on(config, shard, Box::new(RealDisk))
    }

    fn open_on(config: FileSinkConfig, shard: &str, disk: Box<dyn Disk>) -> Result<Self, SinkError> {
        check_shard_name(shard)?;
        if make_folder(&config.dir, 0o750)? {
            log::info!("shard={shard} made the file sink's folder {}", config.dir.display());
        }
        let lock = FolderLock::acquire(&config.dir, shard)?;
        Ok(Self {
            writer: Writer::new(&config.dir, disk),
            config,
            shard: shard.to_owned(),
            recovered: false,
            epoch: None,
            newest_epoch: 0,
            packs_cut_off: 0,
            last: None,
            opened: None,
            retired: None,
            retire_failure: None,
            _lock: lock,
        })
    }

    /// What `standing` and `packs_cut_off` would say, and nothing is mended: the torn end of a file stays there.
    pub fn look(&self) -> Result<(Option<PackHeader>, u64), SinkError> {
        let found = recover(&mut Looking, &self.config.dir, &self.shard, Mending::Looked)?;
        let marked = lost::read(&self.config.dir, &self.shard)?;
        Ok((found.last.map(|(_, header)| header), found.packs_cut_off.max(marked)))
    }

    /// Everything that earlier calls or an earlier process left unfinished is finished.
    fn ready(&mut self) -> Result<(), SinkError> {
        if !self.recovered {
            let (_, packs_cut_off) = self.look()?;
            let (disk, folder) = (self.writer.disk(), &self.config.dir);
            if packs_cut_off > 0 {
                lost::mark(disk, folder, &self.shard, packs_cut_off)?;
            }
            let recovered = recover(disk, folder, &self.shard, Mending::Done)?;
            self.last = recovered.last;
            self.newest_epoch = recovered.newest_epoch;
            self.packs_cut_off = packs_cut_off;
            self.recovered = true;
        }
        self.writer.settle()
    }

    fn put_aside(&mut self, record: &PointRecord) -> Result<(), SinkError> {
        let folder = self.config.dir.clone();
        let newest = superseded::newest_epoch(&folder, &self.shard)?;
        if newest > record.epoch {
            return Err(superseded::ahead_of_store(&folder, newest, record));
        }
        self.ready()?;
        if superseded::put_aside(self.writer.disk(), &folder, record)? {
            self.last = recover(self.writer.disk(), &folder, &self.shard, Mending::Done)?.last;
        }
        self.forget_uncounted(record, newest);
        Ok(())
    }

    /// Packs that were cut off and do not count are no loss; those that do are nothing that this node can make good, once it
    /// holds no pack in front of them.
    fn forget_uncounted(&mut self, record: &PointRecord, epoch: u64) {
        let Counts::UpTo(counted) = record.taken_over.counts(epoch) else { return };
        if self.packs_cut_off == 0 || epoch >= record.epoch {
            return;
        }
        let last = self.last.as_ref().map(|(_, last)| last);
        let held = last.filter(|last| last.epoch == epoch).map_or(0, |last| last.sequence);
        if held < counted && last.is_none() {
            log::error!(
                "{} shard={} {}: the disk lost packs that it had acknowledged, all up to {epoch}/{counted}, behind which another node \
                 has gone on: copy their tables anew, or restore the folder",
                Code::SinkBroken,
                self.shard,
                self.config.dir.display()
            );
        }
        if held >= counted || last.is_none() {
            self.packs_cut_off = 0;
        }
    }

    /// Whether this very pack is durable already: delivered again because its acknowledgement got lost.
    fn is_last(&self, header: &PackHeader) -> bool {
        self.last.as_ref().is_some_and(|(_, last)| last == header)
    }

    fn check_order(&self, header: &PackHeader) -> Result<(), SinkError> {
        let wrong = |why: String| {
            let text = format!(
                "file sink of shard {}: pack {}/{}: {why}",
                self.shard, header.epoch, header.sequence
            );
            SinkError::fatal(Code::Internal, text)
        };
        if header.shard != self.shard {
            return Err(wrong(format!("it is of shard {}", header.shard)));
        }
        if Some(header.epoch) != self.epoch {
            return Err(wrong(format!("the epoch is {:?}", self.epoch)));
        }
        match &self.last {
            Some((_, last)) if last.epoch == header.epoch => follows(last, header).map_err(wrong),
            Some(_) | None => Ok(()),
        }
    }

    fn check_space(&mut self, bytes: u64) -> Result<(), SinkError> {
        if self.config.min_free_bytes == 0 {
            return Ok(());
        }
        let dir = &self.config.dir;
        let available = self.writer.disk().available(dir);
        let available = available.map_err(|e| failed(dir, "its free space cannot be told", e))?;
        if available >= self.config.min_free_bytes.saturating_add(bytes) {
            return Ok(());
        }
        let text = format!(
            "{}: {available} bytes are free, file_min_free_bytes is {} and the next pack has {bytes}: free some space",
            dir.display(),
            self.config.min_free_bytes
        );
        Err(SinkError::retryable(Code::SinkFailed, text))
    }

    /// Sees to it that a file is open and has room for a pack.
    fn make_room(&mut self, data: u64, sidecar: u64) -> Result<(), SinkError> {
        if let Some((_, whole)) = self.writer.open_file() {
            let larger = (whole.data + data).max(whole.sidecar + sidecar);
            if whole.data == 0 || self.config.rotate_bytes == 0 || larger <= self.config.rotate_bytes {
                return Ok(());
            }
            self.rotate()?;
        }
        let epoch = self.epoch.unwrap_or(0);
        let number = match &self.last {
            Some((name, _)) if name.epoch == epoch => name.number + 1,
            Some(_) | None => 1,
        };
        if number > naming::MAX {
            let text = format!("file sink of shard {}: epoch {epoch} has used up its file names", self.shard);
            return Err(SinkError::fatal(Code::SinkBroken, text));
        }
        self.writer.create(FileName { shard: self.shard.clone(), epoch, number })?;
        self.opened = None;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), SinkError> {
        self.writer.close()?;
        self.retire(SystemTime::now());
        Ok(())
    }

    /// Removes old files. That it fails is no reason to stop delivering.
    fn retire(&mut self, now: SystemTime) {
        let Some((from, _)) = &self.last else { return };
        let failure = match retire(self.writer.disk(), &self.config, from, now) {
            Ok(removed) => {
                for (name, bytes) in removed {
                    let name = name.file_name(naming::Kind::Closed);
                    log::info!(
                        "shard={} removed old file {name} and its sidecar ({bytes} bytes)",
                        self.shard
                    );
                }
                None
            }
            Err(e) => Some(e.to_string()),
        };
        if let Some(text) = failure.as_ref().filter(|_| failure != self.retire_failure) {
            log::warn!(
                "shard={} {}: old files cannot be removed: {text}",
                self.shard,
                self.config.dir.display()
            );
        }
        self.retire_failure = failure;
    }
}

impl Sink for FileSink {
    fn supersede(&mut self, record: &PointRecord) -> Result<(), SinkError> {
        let done = self.put_aside(record);
        // What it left is mended as what a crash leaves.
        self.recovered &= done.is_ok();
        done
    }

    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        let internal = |why: String| SinkError::fatal(Code::Internal, format!("file sink: {why}"));
        pack.check().map_err(internal)?;
        self.ready()?;
        if self.is_last(pack.header) {
            return Ok(());
        }
        self.check_order(pack.header)?;
        let mut line = pack.header.to_line().map_err(|why| internal(format!("a header {why}")))?;
        if line.len() >= MAX_LINE {
            return Err(internal(format!(
                "a header of {} bytes, at most {MAX_LINE} are possible",
                line.len()
            )));
        }
        line.push('\n');
        self.check_space(pack.header.bytes)?;
        self.make_room(pack.header.bytes, line.len() as u64)?;
        self.writer.append(pack.rows, line.as_bytes())?;
        if let Some((name, _)) = self.writer.open_file() {
            self.last = Some((name.clone(), pack.header.clone()));
        }
        Ok(())
    }

    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        self.ready()?;
        Ok(self.last.as_ref().map(|(_, header)| header.clone()))
    }

    fn packs_cut_off(&self) -> u64 {
        self.packs_cut_off
    }

    fn begin_epoch(&mut self, epoch: u64) -> Result<(), SinkError> {
        self.ready()?;
        if self.epoch == Some(epoch) {
            return Ok(());
        }
        if epoch <= self.newest_epoch || epoch > naming::MAX {
            let text = format!(
                "file sink of shard {}: epoch {epoch} cannot begin in {}: files of epoch {} are there, and names end at {}",
                self.shard,
                self.config.dir.display(),
                self.newest_epoch,
                naming::MAX
            );
            return Err(SinkError::fatal(Code::SinkBroken, text));
        }
        self.writer.close()?;
        // What follows from packs that were lost is stored: an epoch begins behind that.
        lost::forget(self.writer.disk(), &self.config.dir, &self.shard)?;
        self.newest_epoch = epoch;
        self.epoch = Some(epoch);
        // A run may be too short to fill a file, or to see the next look at their age.
        self.retire(SystemTime::now());
        Ok(())
    }

    fn tick(&mut self, now: Instant) -> Result<(), SinkError> {
        if !self.recovered {
            return Ok(());
        }
        self.writer.settle()?;
        if self.writer.open_file().is_some() {
            let opened = *self.opened.get_or_insert(now);
            let age = now.saturating_duration_since(opened);
            if self.config.rotate_seconds > 0 && age >= Duration::from_secs(self.config.rotate_seconds) {
                self.rotate()?;
            }
        }
        let retired = *self.retired.get_or_insert(now);
        if now.saturating_duration_since(retired) >= RETIRE_PERIOD {
            self.retired = Some(now);
            self.retire(SystemTime::now());
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.writer.close()
    }
}
