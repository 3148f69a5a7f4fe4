//! Which closed files are old enough to go.

use crate::sink::file::FileSinkConfig;
use crate::sink::file::disk::Disk;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list_shard;
use crate::sink::file::superseded::places;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

struct Aged {
    name: FileName,
    folder: PathBuf,
    kinds: Vec<Kind>,
    bytes: u64,
    written: SystemTime,
}

/// Removes a shard's oldest closed files while there are more bytes than `keep_bytes` (sidecars and the open file
/// count) or they were last written more than `keep_seconds` ago. `from` and everything after it stays. Returns what
/// was removed and the bytes of it. What is superseded counts as the oldest.
pub(super) fn retire(
    disk: &mut dyn Disk,
    config: &FileSinkConfig,
    from: &FileName,
    now: SystemTime,
) -> io::Result<Vec<(FileName, u64)>> {
    if config.keep_bytes.is_none() && config.keep_seconds.is_none() {
        return Ok(Vec::new());
    }
    let files = measured(&config.dir, &from.shard)?;
    let mut superseded = Vec::new();
    for place in places(&config.dir) {
        superseded.extend(measured(&place, &from.shard)?);
    }
    let mut kept: u64 = files.iter().chain(&superseded).map(|file| file.bytes).sum();
    let mut removed = Vec::new();
    let is_over = |file: &Aged, kept: u64| {
        let age = now.duration_since(file.written).unwrap_or(Duration::ZERO);
        config.keep_bytes.is_some_and(|keep| kept > keep)
            || config.keep_seconds.is_some_and(|keep| age > Duration::from_secs(keep))
    };
    for file in superseded {
        if is_over(&file, kept) {
            file.remove(disk)?;
            kept -= file.bytes;
            removed.push((file.name, file.bytes));
        }
    }
    // Later files are younger, and gaps in the middle would look like lost ones.
    for file in files.into_iter().take_while(|file| file.name < *from) {
        if !is_over(&file, kept) {
            break;
        }
        file.remove(disk)?;
        kept -= file.bytes;
        removed.push((file.name, file.bytes));
    }
    if !removed.is_empty() {
        disk.sync_folder(&config.dir)?;
    }
    Ok(removed)
}

impl Aged {
    /// Rows first: a sidecar alone is told from rows that lost their headers.
    fn remove(&self, disk: &mut dyn Disk) -> io::Result<()> {
        for kind in &self.kinds {
            match disk.remove(&self.name.path(&self.folder, *kind)) {
                // Its consumer was faster.
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn measured(folder: &Path, shard: &str) -> io::Result<Vec<Aged>> {
    let mut files = Vec::new();
    for (name, found) in list_shard(folder, shard)? {
        let kinds = [(found.closed, Kind::Closed), (found.part, Kind::Part), (found.sidecar, Kind::Sidecar)];
        let kinds: Vec<Kind> = kinds.into_iter().filter(|(there, _)| *there).map(|(_, kind)| kind).collect();
        let mut aged =
            Aged { bytes: 0, written: SystemTime::UNIX_EPOCH, kinds, name, folder: folder.to_path_buf() };
        for kind in &aged.kinds {
            let metadata = match fs::metadata(aged.name.path(folder, *kind)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            aged.bytes += metadata.len();
            aged.written = aged.written.max(metadata.modified()?);
        }
        files.push(aged);
    }
    Ok(files)
}
