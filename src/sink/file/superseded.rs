//! `superseded/`: packs that do not count any more, because another node has gone on in front of them and delivered their
//! rows again.
//!
//! Whole files are renamed into it, rows before sidecar. Of a file that counts in part the rest is copied there, flushed and
//! named; only then the file is cut, as one that is open: its sidecar first. Each step can be the last one before a crash:
//! what it leaves is either mended by `recovery` as any torn end is, or found here and finished. Nothing
//! in the folder is ever written over: where a name is taken, `superseded/2/` is used, and so on.

use crate::code::Code;
use crate::pack::header::PackHeader;
use crate::sink::SinkError;
use crate::sink::file::disk::Disk;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Found;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list_shard;
use crate::sink::file::sidecar::SidecarLine;
use crate::sink::file::sidecar::SidecarReader;
use crate::sink::file::sidecar::last_header;
use crate::sink::file::writer::broken;
use crate::sink::file::writer::failed;
use crate::sync_point::PointRecord;
use crate::sync_point::epochs::Counts;
use crate::sync_point::folder::make_folder;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

/// The folder's name in the file sink's own.
pub const FOLDER: &str = "superseded";

/// How much of a file is copied at once.
const PIECE: usize = 1 << 20;

/// The folder of that number, from 1.
pub(super) fn place(folder: &Path, number: u64) -> PathBuf {
    match number {
        1 => folder.join(FOLDER),
        more => folder.join(FOLDER).join(more.to_string()),
    }
}

/// The folders that are there.
pub(super) fn places(folder: &Path) -> impl Iterator<Item = PathBuf> {
    (1..).map(move |number| place(folder, number)).take_while(|place| place.is_dir())
}

/// Files whose rows are put aside and whose sidecar is not yet, with where it belongs.
pub fn half_moved(folder: &Path, files: &BTreeMap<FileName, Found>) -> Vec<(FileName, PathBuf)> {
    let sidecars = files.iter().filter(|(_, found)| found.sidecar && !found.closed && !found.part);
    let mut half = Vec::new();
    for (name, _) in sidecars {
        let waits = |place: &PathBuf| {
            name.path(place, Kind::Closed).exists() && !name.path(place, Kind::Sidecar).exists()
        };
        half.extend(places(folder).find(waits).map(|place| (name.clone(), place)));
    }
    half
}

/// Puts the other half aside too.
pub(super) fn finish_move(
    disk: &mut dyn Disk,
    folder: &Path,
    name: &FileName,
    place: &Path,
) -> Result<(), SinkError> {
    rename(disk, &name.path(folder, Kind::Sidecar), &name.path(place, Kind::Sidecar))?;
    sync(disk, place)?;
    sync(disk, folder)
}

/// The highest epoch that any file is of; 0: none.
pub(super) fn newest_epoch(folder: &Path, shard: &str) -> Result<u64, SinkError> {
    let files = list_shard(folder, shard).map_err(|e| failed(folder, "cannot be read", e))?;
    Ok(files.keys().map(|name| name.epoch).max().unwrap_or(0))
}

/// Nothing is touched then.
pub(super) fn ahead_of_store(folder: &Path, newest: u64, record: &PointRecord) -> SinkError {
    let text = format!(
        "{}: files of epoch {newest} are here, and the point that the nodes share stands in epoch {}: the store was restored from an \
         old copy, and what other nodes have delivered since cannot be told; nothing was moved. Restore the newer point, or move it \
         to where delivery stood on all nodes (fountain points set)",
        folder.display(),
        record.epoch
    );
    SinkError::fatal(Code::PointLost, text)
}

/// Puts aside what does not count of the epochs before the record's. Whether there was anything.
pub(super) fn put_aside(disk: &mut dyn Disk, folder: &Path, record: &PointRecord) -> Result<bool, SinkError> {
    let files = list_shard(folder, &record.shard).map_err(|e| failed(folder, "cannot be read", e))?;
    let mut unknown = BTreeSet::new();
    let mut changed = false;
    // From the end: what is left is at any time a whole beginning.
    for (name, found) in files.into_iter().rev() {
        if name.epoch >= record.epoch || !found.closed || !found.sidecar {
            continue;
        }
        match record.taken_over.counts(name.epoch) {
            Counts::All => {}
            Counts::UpTo(sequence) => changed |= put_file_aside(disk, folder, &name, sequence)?,
            Counts::Unknown => drop(unknown.insert(name.epoch)),
        }
    }
    if let (Some(first), Some(last)) = (unknown.first(), unknown.last()) {
        log::warn!(
            "shard={} {}: how much counts of the epochs {first} to {last} is not known any more, so many others have begun since: \
             their files stay; fountain verify over the folders of all nodes tells what does not count",
            record.shard,
            folder.display()
        );
    }
    Ok(changed)
}

/// Puts aside what comes behind the pack of that number, if anything does.
fn put_file_aside(
    disk: &mut dyn Disk,
    folder: &Path,
    name: &FileName,
    sequence: u64,
) -> Result<bool, SinkError> {
    let path = name.path(folder, Kind::Sidecar);
    let last = last_header(&path).map_err(|e| failed(&path, "cannot be read", e))?;
    let Some(last) = last.filter(|last| last.sequence > sequence) else { return Ok(false) };
    let (first, place) = match border(&path, sequence)? {
        Border { kept: None, first } => (first, move_whole(disk, folder, name)?),
        Border { kept: Some(kept), first } => {
            let place = copy_rest(disk, folder, name, kept)?;
            cut(disk, folder, name, kept)?;
            (first, place)
        }
    };
    log::warn!(
        "shard={} packs {} to {} are put aside into {}: another node has gone on in front of them and has delivered their rows again",
        name.shard,
        first.name(),
        last.name(),
        name.path(&place, Kind::Closed).display()
    );
    Ok(true)
}

/// Where the part of a file that counts ends.
struct Border {
    /// None: nothing of it counts.
    kept: Option<Kept>,
    /// The first pack behind it.
    first: PackHeader,
}

#[derive(Clone, Copy)]
struct Kept {
    data: u64,
    sidecar: u64,
}

fn border(sidecar: &Path, sequence: u64) -> Result<Border, SinkError> {
    let cannot = |e: io::Error| failed(sidecar, "cannot be read", e);
    let mut reader = SidecarReader::open(sidecar).map_err(cannot)?;
    let (mut kept, mut data) = (None, 0);
    while let Some(SidecarLine::Header(header)) = reader.next_line().map_err(cannot)? {
        if header.sequence > sequence {
            return Ok(Border { kept, first: *header });
        }
        data += header.bytes;
        kept = Some(Kept { data, sidecar: reader.offset() });
    }
    Err(broken(sidecar, &format!("no pack behind number {sequence} is in it, and its last line is one")))
}

fn move_whole(disk: &mut dyn Disk, folder: &Path, name: &FileName) -> Result<PathBuf, SinkError> {
    let is_free = |place: &PathBuf| {
        !name.path(place, Kind::Closed).exists() && !name.path(place, Kind::Sidecar).exists()
    };
    let place = (1..).map(|number| place(folder, number)).find(is_free).unwrap_or_default();
    make(&place)?;
    rename(disk, &name.path(folder, Kind::Closed), &name.path(&place, Kind::Closed))?;
    sync(disk, &place)?;
    sync(disk, folder)?;
    finish_move(disk, folder, name, &place)?;
    Ok(place)
}

/// Copies what comes behind the part that is kept, unless that has been done.
fn copy_rest(disk: &mut dyn Disk, folder: &Path, name: &FileName, kept: Kept) -> Result<PathBuf, SinkError> {
    let (data, sidecar) = (name.path(folder, Kind::Closed), name.path(folder, Kind::Sidecar));
    let headers = rest_of(&sidecar, kept.sidecar).map_err(|e| failed(&sidecar, "cannot be read", e))?;
    let mut number = 1;
    let place = loop {
        let place = place(folder, number);
        if !name.path(&place, Kind::Closed).exists() {
            break place;
        }
        if fs::read(name.path(&place, Kind::Sidecar)).is_ok_and(|bytes| bytes == headers) {
            return Ok(place);
        }
        number += 1;
    };
    make(&place)?;
    let copy = (name.path(&place, Kind::Part), name.path(&place, Kind::Sidecar));
    // What a crash left of an earlier copy.
    for path in [&copy.0, &copy.1] {
        if path.exists() {
            disk.remove(path).map_err(|e| failed(path, "cannot be removed", e))?;
        }
    }
    let written = write_rest(disk, &data, kept.data, &copy.0, &copy.1, &headers);
    written.map_err(|e| failed(&copy.0, "cannot be written", e))?;
    sync(disk, &place)?;
    rename(disk, &copy.0, &name.path(&place, Kind::Closed))?;
    sync(disk, &place)?;
    Ok(place)
}

fn write_rest(
    disk: &mut dyn Disk,
    from: &Path,
    start: u64,
    data: &Path,
    sidecar: &Path,
    headers: &[u8],
) -> io::Result<()> {
    let mut copied = disk.create(sidecar)?;
    disk.append(&mut copied, headers)?;
    disk.sync_data(&copied)?;
    let mut rest = File::open(from)?;
    rest.seek(SeekFrom::Start(start))?;
    let mut copied = disk.create(data)?;
    let mut piece = Vec::with_capacity(PIECE);
    while rest.by_ref().take(PIECE as u64).read_to_end(&mut piece)? > 0 {
        disk.append(&mut copied, &piece)?;
        piece.clear();
    }
    disk.sync_data(&copied)
}

fn rest_of(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

/// Cuts a closed file, whose rest is safe elsewhere. Meanwhile it is an open one with a torn end.
fn cut(disk: &mut dyn Disk, folder: &Path, name: &FileName, kept: Kept) -> Result<(), SinkError> {
    let (closed, part) = (name.path(folder, Kind::Closed), name.path(folder, Kind::Part));
    rename(disk, &closed, &part)?;
    sync(disk, folder)?;
    for (path, length) in [(name.path(folder, Kind::Sidecar), kept.sidecar), (part.clone(), kept.data)] {
        let file = disk.open(&path).map_err(|e| failed(&path, "cannot be opened", e))?;
        disk.set_len(&file, length).map_err(|e| failed(&path, "cannot be cut", e))?;
        disk.sync_data(&file).map_err(|e| failed(&path, "cannot be flushed", e))?;
    }
    rename(disk, &part, &closed)?;
    sync(disk, folder)
}

fn make(place: &Path) -> Result<(), SinkError> {
    let made = make_folder(place, 0o750);
    made.map(drop).map_err(|e| SinkError::retryable(e.code, e.text))
}

fn rename(disk: &mut dyn Disk, from: &Path, to: &Path) -> Result<(), SinkError> {
    disk.rename(from, to).map_err(|e| failed(from, &format!("cannot be moved to {}", to.display()), e))
}

fn sync(disk: &mut dyn Disk, folder: &Path) -> Result<(), SinkError> {
    disk.sync_folder(folder).map_err(|e| failed(folder, "cannot be flushed", e))
}
