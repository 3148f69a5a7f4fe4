//! The names of the file sink's files, and what of them is in a folder.
//!
//! | name | holds |
//! |---|---|
//! | `<shard>-<epoch>-<number>.jsonl` | row lines; closed, never written to again |
//! | `<shard>-<epoch>-<number>.jsonl.part` | row lines; the one that is being written |
//! | `<shard>-<epoch>-<number>.jsonl.packs` | the sidecar of either: one header line per pack |
//!
//! Epoch and number have eight digits each, so that the order of names is the order of rows. The sidecar has its final
//! name from the start: closing a file is one rename.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// The largest epoch and number that a name can hold.
pub const MAX: u64 = 99_999_999;

/// Names one data file and its sidecar. Ordered as the rows are, within a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    pub shard: String,
    pub epoch: u64,
    /// Counts the files of an epoch, from 1.
    pub number: u64,
}

/// Which of its three names a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Closed,
    Part,
    Sidecar,
}

/// Which files of one [`FileName`] are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    pub closed: bool,
    pub part: bool,
    pub sidecar: bool,
}

impl FileName {
    pub fn file_name(&self, kind: Kind) -> String {
        let suffix = match kind {
            Kind::Closed => "",
            Kind::Part => ".part",
            Kind::Sidecar => ".packs",
        };
        format!("{}-{:08}-{:08}.jsonl{suffix}", self.shard, self.epoch, self.number)
    }

    pub fn path(&self, folder: &Path, kind: Kind) -> PathBuf {
        folder.join(self.file_name(kind))
    }

    /// None for every name that this sink does not write.
    pub fn parse(file_name: &str) -> Option<(FileName, Kind)> {
        let (stem, kind) = if let Some(stem) = file_name.strip_suffix(".jsonl") {
            (stem, Kind::Closed)
        } else if let Some(stem) = file_name.strip_suffix(".jsonl.part") {
            (stem, Kind::Part)
        } else {
            (file_name.strip_suffix(".jsonl.packs")?, Kind::Sidecar)
        };
        let (rest, number) = stem.rsplit_once('-')?;
        let (shard, epoch) = rest.rsplit_once('-')?;
        if shard.is_empty() {
            return None;
        }
        let name =
            FileName { shard: shard.to_owned(), epoch: eight_digits(epoch)?, number: eight_digits(number)? };
        Some((name, kind))
    }
}

fn eight_digits(text: &str) -> Option<u64> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// What the folder holds of every shard, in the order of rows; other files are passed over.
pub fn list(folder: &Path) -> io::Result<BTreeMap<FileName, Found>> {
    let mut files: BTreeMap<FileName, Found> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let Some((name, kind)) = file_name.to_str().and_then(FileName::parse) else { continue };
        let found = files.entry(name).or_default();
        match kind {
            Kind::Closed => found.closed = true,
            Kind::Part => found.part = true,
            Kind::Sidecar => found.sidecar = true,
        }
    }
    Ok(files)
}

/// The same for one shard.
pub fn list_shard(folder: &Path, shard: &str) -> io::Result<BTreeMap<FileName, Found>> {
    let mut files = list(folder)?;
    files.retain(|name, _| name.shard == shard);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_sort_as_rows_do() {
        let mut names = Vec::new();
        for (epoch, number) in [(1, 1), (1, 2), (1, 10), (2, 1), (10, 1), (MAX, MAX)] {
            let name = FileName { shard: "a-00000001".into(), epoch, number };
            for kind in [Kind::Closed, Kind::Part, Kind::Sidecar] {
                assert_eq!(FileName::parse(&name.file_name(kind)), Some((name.clone(), kind)));
            }
            names.push((name.file_name(Kind::Closed), name));
        }
        assert_eq!(names[0].0, "a-00000001-00000001-00000001.jsonl");
        assert!(names.is_sorted_by_key(|(text, _)| text.clone()));
        assert!(names.is_sorted_by_key(|(_, name)| name.clone()));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "a-00000001-0000001.jsonl",
            "a-00000001-00000001.jsonl.gz",
            "a-00000001-00000001.json",
            "a-00000001-+0000001.jsonl",
            "-00000001-00000001.jsonl",
            "00000001-00000001.jsonl",
            "a.lock",
            "",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
