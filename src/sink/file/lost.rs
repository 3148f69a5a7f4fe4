//! The mark `<shard>.lost`: how many whole packs were cut off, until what follows from that is stored.
//!
//! It is durable before they are cut, and goes when an epoch has begun. So a crash between the cut and the gap record
//! makes nobody forget that packs were lost which the disk had acknowledged.

use crate::sink::SinkError;
use crate::sink::file::disk::Disk;
use crate::sink::file::writer::failed;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// How the mark's name ends.
pub const ENDING: &str = ".lost";

fn path(folder: &Path, shard: &str) -> PathBuf {
    folder.join(format!("{shard}{ENDING}"))
}

/// The packs it tells of; 0 without one. A torn one tells less: nothing was cut then, so whoever looks finds the packs.
pub(super) fn read(folder: &Path, shard: &str) -> Result<u64, SinkError> {
    let path = path(folder, shard);
    match fs::read(&path) {
        Ok(bytes) => Ok(str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(failed(&path, "cannot be read", e)),
    }
}

/// Returns once it is durable.
pub(super) fn mark(disk: &mut dyn Disk, folder: &Path, shard: &str, packs: u64) -> Result<(), SinkError> {
    let path = path(folder, shard);
    let cannot = |e| failed(&path, "cannot be written", e);
    let mut file = match disk.create(&path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => disk.open(&path),
        made => made,
    }
    .map_err(cannot)?;
    // One that is whole stays: emptied, it could be all that tells of packs which are gone already.
    if read(folder, shard)? != packs {
        disk.set_len(&file, 0).map_err(cannot)?;
        disk.append(&mut file, format!("{packs}\n").as_bytes()).map_err(cannot)?;
    }
    disk.sync_data(&file).map_err(cannot)?;
    disk.sync_folder(folder).map_err(|e| failed(folder, "cannot be flushed", e))
}

/// Returns once it is gone durably, if there was one.
pub(super) fn forget(disk: &mut dyn Disk, folder: &Path, shard: &str) -> Result<(), SinkError> {
    let path = path(folder, shard);
    match path.try_exists() {
        Ok(false) => return Ok(()),
        Ok(true) => disk.remove(&path).map_err(|e| failed(&path, "cannot be removed", e))?,
        Err(e) => return Err(failed(&path, "cannot be looked at", e)),
    }
    disk.sync_folder(folder).map_err(|e| failed(folder, "cannot be flushed", e))
}
