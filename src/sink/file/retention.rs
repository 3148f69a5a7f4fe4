//! Which closed files are old enough to go.

use crate::sink::file::FileSinkConfig;
use crate::sink::file::disk::Disk;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list_shard;
use std::fs;
use std::io;
use std::time::Duration;
use std::time::SystemTime;

struct Aged {
    name: FileName,
    kinds: Vec<Kind>,
    bytes: u64,
    written: SystemTime,
}

/// Removes a shard's oldest closed files while there are more bytes than `keep_bytes` (sidecars and the open file
/// count) or they were last written more than `keep_seconds` ago. `from` and everything after it stays. Returns what
/// was removed and the bytes of it.
pub(super) fn retire(
    disk: &mut dyn Disk,
    config: &FileSinkConfig,
    from: &FileName,
    now: SystemTime,
) -> io::Result<Vec<(FileName, u64)>> {
    if config.keep_bytes.is_none() && config.keep_seconds.is_none() {
        return Ok(Vec::new());
    }
    let files = measured(config, &from.shard)?;
    let mut kept: u64 = files.iter().map(|file| file.bytes).sum();
    let mut removed = Vec::new();
    for file in files.into_iter().take_while(|file| file.name < *from) {
        let too_many = config.keep_bytes.is_some_and(|keep| kept > keep);
        let age = now.duration_since(file.written).unwrap_or(Duration::ZERO);
        let too_old = config.keep_seconds.is_some_and(|keep| age > Duration::from_secs(keep));
        if !too_many && !too_old {
            // Later files are younger, and gaps in the middle would look like lost ones.
            break;
        }
        // Rows first: a sidecar alone is told from rows that lost their headers.
        for kind in &file.kinds {
            match disk.remove(&file.name.path(&config.dir, *kind)) {
                // Its consumer was faster.
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                Ok(()) | Err(_) => {}
            }
        }
        kept -= file.bytes;
        removed.push((file.name, file.bytes));
    }
    if !removed.is_empty() {
        disk.sync_folder(&config.dir)?;
    }
    Ok(removed)
}

fn measured(config: &FileSinkConfig, shard: &str) -> io::Result<Vec<Aged>> {
    let mut files = Vec::new();
    for (name, found) in list_shard(&config.dir, shard)? {
        let kinds = [(found.closed, Kind::Closed), (found.part, Kind::Part), (found.sidecar, Kind::Sidecar)];
        let kinds: Vec<Kind> = kinds.into_iter().filter(|(there, _)| *there).map(|(_, kind)| kind).collect();
        let mut aged = Aged { bytes: 0, written: SystemTime::UNIX_EPOCH, kinds, name };
        for kind in &aged.kinds {
            let metadata = match fs::metadata(aged.name.path(&config.dir, *kind)) {
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
