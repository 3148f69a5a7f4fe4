//! What a crash left behind, mended: which pack is the last whole one.
//!
//! A pack is flushed, rows and header, before the next one is begun. So a crash can tear the last pack of the last file
//! only, and that one still ends in `.part`: its rows, its header line, or both are short or garbled. They are cut off.
//! Anything else (a broken header with whole ones behind it, a closed file that does not have the length its sidecar
//! says, a file under another's name) was not done by a crash and is an error, for cutting there would lose rows.
//!
//! A disk that said "flushed" and lied may lose more than one pack at the end. Up to [`TAIL`] packs are cut off then, with
//! a warning: they are read from the source once more, since the last whole pack decides where the shard goes on.

use crate::pack::header::PackHeader;
use crate::sink::SinkError;
use crate::sink::file::disk::Disk;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Found;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list_shard;
use crate::sink::file::scan::Scan;
use crate::sink::file::scan::TAIL;
use crate::sink::file::scan::Whole;
use crate::sink::file::scan::follows;
use crate::sink::file::scan::scan;
use crate::sink::file::superseded::finish_move;
use crate::sink::file::superseded::half_moved;
use crate::sink::file::writer::broken;
use crate::sink::file::writer::discard;
use crate::sink::file::writer::failed;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

/// Sidecars of earlier files are read at the start until that many bytes; a full proof is another command's business.
const EARLIER_BYTES: u64 = 64 << 20;

/// Where the shard stands in a folder.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub last: Option<(FileName, PackHeader)>,
    /// The highest epoch that any file is of; 0: none.
    pub newest_epoch: u64,
    /// Packs whose whole headers were cut off.
    pub packs_cut_off: u64,
}

/// Whether what a crash left is mended, or the disk is one that only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mending {
    Done,
    Looked,
}

/// Mends one shard's files in a folder. Nobody else may be writing them.
pub(super) fn recover(
    disk: &mut dyn Disk,
    folder: &Path,
    shard: &str,
    mending: Mending,
) -> Result<Recovered, SinkError> {
    let mut files = list_shard(folder, shard).map_err(|e| failed(folder, "cannot be read", e))?;
    for (name, place) in half_moved(folder, &files) {
        if mending == Mending::Done {
            finish_move(disk, folder, &name, &place)?;
        }
        files.remove(&name);
    }
    let newest_epoch = files.keys().map(|name| name.epoch).max().unwrap_or(0);
    let mut recovery = Recovery { disk, folder, mending, packs_cut_off: 0 };
    while let Some((name, found)) = files.pop_last() {
        if let Some((first, last)) = recovery.mend(&name, found)? {
            recovery.check_earlier(files.into_iter().collect(), name.clone(), first)?;
            let packs_cut_off = recovery.packs_cut_off;
            return Ok(Recovered { last: Some((name, last)), newest_epoch, packs_cut_off });
        }
    }
    Ok(Recovered { last: None, newest_epoch, packs_cut_off: recovery.packs_cut_off })
}

struct Recovery<'a> {
    disk: &'a mut dyn Disk,
    folder: &'a Path,
    mending: Mending,
    packs_cut_off: u64,
}

impl Recovery<'_> {
    /// Makes what is now the last file whole and closes it. Returns its first and last header; none when no whole pack
    /// was in it and it was removed.
    fn mend(&mut self, name: &FileName, found: Found) -> Result<Option<(PackHeader, PackHeader)>, SinkError> {
        let files = match self.files(name, found)? {
            Files::Both(files) => files,
            Files::Nothing => {
                self.remove(name, 0)?;
                return Ok(None);
            }
            Files::Incomplete(error) => return Err(error),
        };
        let last = last_whole(&files)?;
        if found.closed {
            // It was flushed before it got its name: no crash tears it.
            check_fit(&files)?;
            let Some(last) = last.filter(|last| last.number == files.scan.headers) else {
                return Err(not_fitting(
                    &files,
                    "the rows of its last pack do not have the CRC-32 of their header",
                ));
            };
            self.cut(&files, last.data_end, last.sidecar_end)?;
            return Ok(files.scan.first.clone().map(|first| (first, last.header)));
        }
        self.packs_cut_off += files.scan.headers - last.as_ref().map_or(0, |last| last.number);
        let Some(last) = last else {
            self.remove(name, files.length)?;
            return Ok(None);
        };
        let (rows, headers) = self.cut(&files, last.data_end, last.sidecar_end)?;
        if rows + headers > 0 && self.mending == Mending::Done {
            log::warn!(
                "shard={} {}: cut off a torn end after pack {}/{}: {rows} bytes of rows, {headers} bytes of headers, {} of them whole",
                name.shard,
                files.data_path.display(),
                last.header.epoch,
                last.header.sequence,
                files.scan.headers - last.number
            );
        }
        self.close(name)?;
        Ok(files.scan.first.clone().map(|first| (first, last.header)))
    }

    /// Opens a data file and reads through its sidecar.
    fn files(&mut self, name: &FileName, found: Found) -> Result<Files, SinkError> {
        let data_path = name.path(self.folder, if found.part { Kind::Part } else { Kind::Closed });
        let sidecar_path = name.path(self.folder, Kind::Sidecar);
        if found.part && found.closed {
            return Err(broken(&data_path, "it is there with and without .part: remove the wrong one"));
        }
        if !found.part && !found.closed {
            return Ok(match scan(&sidecar_path, name, 0)?.headers {
                0 => Files::Nothing,
                _ => Files::Incomplete(broken(
                    &sidecar_path,
                    "the data file of these packs is gone: put it back, or, if it was consumed and removed on purpose, remove this sidecar too",
                )),
            });
        }
        let data = self.disk.open(&data_path).map_err(|e| failed(&data_path, "cannot be opened", e))?;
        let length = length(&data, &data_path)?;
        if !found.sidecar {
            return Ok(match length {
                0 if found.part => Files::Nothing,
                _ => Files::Incomplete(broken(
                    &data_path,
                    "its sidecar (the same name and .packs) is gone: put it back, or move this one away",
                )),
            });
        }
        let scan = scan(&sidecar_path, name, length)?;
        Ok(Files::Both(Box::new(Both { data, data_path, length, sidecar_path, scan })))
    }

    fn remove(&mut self, name: &FileName, bytes: u64) -> Result<(), SinkError> {
        discard(self.disk, self.folder, name)?;
        if self.mending == Mending::Looked {
            return Ok(());
        }
        log::warn!(
            "shard={} {}: removed, there was no whole pack in it ({bytes} bytes of rows)",
            name.shard,
            name.path(self.folder, Kind::Closed).display()
        );
        Ok(())
    }

    /// Returns how much was cut off.
    fn cut(&mut self, files: &Both, data_end: u64, sidecar_end: u64) -> Result<(u64, u64), SinkError> {
        let path = &files.sidecar_path;
        let sidecar = self.disk.open(path).map_err(|e| failed(path, "cannot be opened", e))?;
        let rows = self.cut_file(&files.data, &files.data_path, data_end)?;
        let headers = self.cut_file(&sidecar, path, sidecar_end)?;
        Ok((rows, headers))
    }

    fn cut_file(&mut self, file: &File, path: &Path, end: u64) -> Result<u64, SinkError> {
        let surplus = length(file, path)?.saturating_sub(end);
        if surplus > 0 {
            self.disk.set_len(file, end).map_err(|e| failed(path, "its torn end cannot be cut off", e))?;
        }
        // Also when nothing was cut: the process may have ended between writing and flushing, and what is not flushed
        // must not be stood upon.
        self.disk.sync_data(file).map_err(|e| failed(path, "cannot be flushed", e))?;
        Ok(surplus)
    }

    fn close(&mut self, name: &FileName) -> Result<(), SinkError> {
        let part = name.path(self.folder, Kind::Part);
        let closed = name.path(self.folder, Kind::Closed);
        self.disk.rename(&part, &closed).map_err(|e| failed(&part, "cannot be renamed", e))?;
        self.disk.sync_folder(self.folder).map_err(|e| failed(self.folder, "cannot be flushed", e))
    }

    /// Nothing before the last file can be torn by a crash: it was flushed before the next one was made.
    fn check_earlier(
        &mut self,
        mut earlier: Vec<(FileName, Found)>,
        mut later: FileName,
        mut later_first: PackHeader,
    ) -> Result<(), SinkError> {
        let mut read = 0;
        while let Some((name, found)) = earlier.pop() {
            let mut files = match self.files(&name, found)? {
                Files::Both(files) => files,
                // Consumed and moved away, one half before the other: not ours to judge.
                Files::Nothing | Files::Incomplete(_) => continue,
            };
            if found.part && files.scan.torn.is_none() && files.scan.data_end < files.length {
                // It was about to be cut: these rows are put aside.
                self.cut_file(&files.data, &files.data_path, files.scan.data_end)?;
                files.length = files.scan.data_end;
            }
            check_fit(&files)?;
            if let Some(last) = files.scan.recent.back()
                && (name.epoch, name.number + 1) == (later.epoch, later.number)
            {
                let path = later.path(self.folder, Kind::Sidecar);
                follows(&last.header, &later_first).map_err(|why| broken(&path, &why))?;
            }
            if found.part {
                self.close(&name)?;
            }
            read += files.scan.length;
            if read > EARLIER_BYTES {
                break;
            }
            let Some(first) = files.scan.first else { continue };
            (later, later_first) = (name, first);
        }
        Ok(())
    }
}

enum Files {
    Both(Box<Both>),
    /// What a crash at their creation leaves.
    Nothing,
    /// Only one of them, and there are packs in it.
    Incomplete(SinkError),
}

struct Both {
    data: File,
    data_path: PathBuf,
    /// Bytes of the data file.
    length: u64,
    sidecar_path: PathBuf,
    scan: Scan,
}

/// Insists that a data file has exactly the rows that its sidecar tells of.
fn check_fit(files: &Both) -> Result<(), SinkError> {
    if let Some(torn) = &files.scan.torn {
        return Err(not_fitting(files, &format!("the sidecar's {torn}")));
    }
    if files.scan.data_end != files.length {
        let text = format!("it has {} bytes, its sidecar tells of {}", files.length, files.scan.data_end);
        return Err(not_fitting(files, &text));
    }
    Ok(())
}

fn not_fitting(files: &Both, what: &str) -> SinkError {
    let text = format!(
        "a closed file that was changed: {what}. Restore it and its sidecar; or move both away, if their rows are not needed here any more"
    );
    broken(&files.data_path, &text)
}

/// The last pack whose rows are there and are the ones that were written; none when a first pack was in the making.
fn last_whole(files: &Both) -> Result<Option<Whole>, SinkError> {
    let scan = &files.scan;
    let mut tried = scan.beyond;
    for whole in scan.recent.iter().rev() {
        if tried > TAIL as u64 {
            break;
        }
        let start = whole.data_end.saturating_sub(whole.header.bytes);
        let computed = crc32_of(&files.data, start, whole.data_end);
        if computed.map_err(|e| failed(&files.data_path, "cannot be read", e))? == whole.header.crc32 {
            return Ok(Some(whole.clone()));
        }
        tried += 1;
    }
    if scan.headers <= 1 {
        return Ok(None);
    }
    let text = format!(
        "the last {tried} of the {} packs that its sidecar tells of are missing or changed: more than a crash can do. Restore it and its sidecar from a copy",
        scan.headers
    );
    Err(broken(&files.data_path, &text))
}

fn crc32_of(file: &File, start: u64, end: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    let mut offset = start;
    while offset < end {
        let wanted = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(piece, offset)?;
        hasher.update(piece);
        offset += wanted as u64;
    }
    Ok(hasher.finalize())
}

fn length(file: &File, path: &Path) -> Result<u64, SinkError> {
    Ok(file.metadata().map_err(|e| failed(path, "cannot be measured", e))?.len())
}
