//! What stands in a file sink's folder: the files of each shard, and what is none of them.

use crate::sink::file::lost;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Found;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list;
use crate::sink::file::superseded;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Report;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// One folder, as it was when it was looked at.
#[derive(Debug)]
pub struct Inventory {
    pub folder: PathBuf,
    /// A crash came while these were put aside: of each only the sidecar is left here.
    half_moved: Vec<FileName>,
    files: BTreeMap<FileName, Found>,
}

impl Inventory {
    pub fn take(folder: &Path) -> io::Result<Self> {
        let mut files = list(folder)?;
        let half_moved: Vec<FileName> =
            superseded::half_moved(folder, &files).into_iter().map(|(name, _)| name).collect();
        files.retain(|name, _| !half_moved.contains(name));
        Ok(Self { folder: folder.to_path_buf(), half_moved, files })
    }

    pub fn shards(&self) -> BTreeSet<String> {
        self.files.keys().map(|name| name.shard.clone()).collect()
    }

    /// A shard's files in the order of their rows.
    pub fn files_of(&self, shard: &str) -> Vec<(FileName, Found)> {
        let own = self.files.iter().filter(|(name, _)| name.shard == shard);
        own.map(|(name, found)| (name.clone(), *found)).collect()
    }

    /// Bytes of rows, more or less, for a look ahead.
    pub fn data_bytes(&self) -> u64 {
        let kind = |found: &Found| if found.closed { Kind::Closed } else { Kind::Part };
        let paths = self.files.iter().map(|(name, found)| name.path(&self.folder, kind(found)));
        paths.map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    /// Tells of everything in the folder that is not the sink's.
    pub fn tell_foreign(&self, report: &mut Report<'_>) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name());
        }
        names.sort();
        for name in names {
            let text = name.to_string_lossy();
            let at = At::file(&self.folder.join(&name));
            let half = FileName::parse(&text).is_some_and(|(name, _)| self.half_moved.contains(&name));
            if text == superseded::FOLDER {
                report.tell(Finding::note(at, "packs that later epochs delivered again: left out"));
            } else if half {
                let text = "its rows are in superseded/ already: the next run puts it there too";
                report.tell(Finding::note(at, text));
            } else if text.ends_with(lost::ENDING) {
                report.tell(Finding::note(
                    at,
                    "packs were lost and cut off: the next run records that and goes on",
                ));
            } else if FileName::parse(&text).is_none() && !text.ends_with(".lock") {
                report.tell(Finding::note(at, "not a file of the file sink: left out"));
            }
        }
        Ok(())
    }

    /// Whether a process holds the shard's lock in this folder now. One that only reads the folder cannot tell; then the
    /// answer is no.
    pub fn is_written(&self, shard: &str) -> bool {
        let Ok(lock) = File::open(self.folder.join(format!("{shard}.lock"))) else { return false };
        // Shared and given back at once: a run that starts meanwhile tries again for longer than this takes.
        matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}
