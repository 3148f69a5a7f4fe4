//! What the file sinks of several nodes hold together, read by (epoch, sequence) as the README tells a reader to.

use super::delivered::parse;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// One pack of a shard.
pub struct Pack {
    /// Which of the folders.
    pub folder: usize,
    pub header: Value,
    pub lines: Vec<Value>,
}

/// Packs of one shard by epoch and sequence.
#[derive(Default)]
pub struct Union {
    pub packs: BTreeMap<(u64, u64), Pack>,
}

/// Where something was logged: file, position, row.
pub type Place = (String, u64, u64);

impl Union {
    /// Reads what lies flat in the folders, of nodes that have ended. Panics on what no kill leaves, and on a pack that is
    /// there twice.
    pub fn of(folders: &[PathBuf], shard: &str) -> Union {
        let mut union = Union::default();
        for (number, folder) in folders.iter().enumerate() {
            for data in data_files(folder, shard) {
                union.add(number, &data);
            }
        }
        union.leave_out_uncounted();
        union
    }

    /// A node that has not led since has not put aside what another one delivered again. The first pack of each epoch names
    /// the one that it follows: what lies between them does not count.
    fn leave_out_uncounted(&mut self) {
        let number = |pack: &Value, name: &str| pack[name].as_u64().expect("a number");
        let firsts: Vec<_> = self.packs.keys().filter(|(_, sequence)| *sequence == 1).copied().collect();
        for first in firsts.into_iter().rev() {
            let Some(pack) = self.packs.get(&first) else { continue };
            let follows = &pack.header["follows"];
            if follows.is_object() {
                let follows = (number(follows, "epoch"), number(follows, "sequence"));
                self.packs.retain(|key, _| *key <= follows || *key >= first);
            }
        }
    }

    fn add(&mut self, folder: usize, data: &Path) {
        let text = std::fs::read_to_string(data).unwrap_or_else(|e| panic!("{}: {e}", data.display()));
        let name = data.to_str().expect("UTF-8").trim_end_matches(".part");
        let headers = std::fs::read_to_string(format!("{name}.packs"))
            .unwrap_or_else(|e| panic!("the headers of {name}: {e}"));
        let mut rest = text.as_str();
        // What a kill tore at the end of the open file is no pack.
        let is_open = data.extension().is_some_and(|end| end == "part");
        let whole = if is_open { &headers[..headers.rfind('\n').map_or(0, |end| end + 1)] } else { &headers };
        for header in parse(whole) {
            let bytes = header["bytes"].as_u64().expect("bytes") as usize;
            if is_open && bytes > rest.len() {
                return;
            }
            assert!(bytes <= rest.len(), "{}: rows are missing of {header}", data.display());
            let (rows, behind) = rest.split_at(bytes);
            rest = behind;
            let key =
                (header["epoch"].as_u64().expect("epoch"), header["sequence"].as_u64().expect("sequence"));
            let pack = Pack { folder, lines: parse(rows), header };
            let other = self.packs.insert(key, pack);
            assert!(other.is_none(), "{}: pack {key:?} is there twice", data.display());
        }
        assert!(is_open || rest.is_empty(), "{}: rows without a header", data.display());
    }

    /// All lines in order.
    pub fn lines(&self) -> Vec<Value> {
        self.packs.values().flat_map(|pack| pack.lines.iter().cloned()).collect()
    }

    pub fn epochs(&self) -> BTreeSet<u64> {
        self.packs.keys().map(|(epoch, _)| *epoch).collect()
    }

    /// No row twice, by (gtid, row), and none in front of one that was logged earlier, whatever the epochs.
    pub fn assert_once_and_in_order(&self) {
        let mut seen = BTreeSet::new();
        let mut reached: Option<(Place, (u64, u64))> = None;
        for (key, pack) in &self.packs {
            let (first, last) = (place(&pack.header["first"]), place(&pack.header["last"]));
            if let Some((reached, before)) = &reached {
                assert!(
                    *reached < first,
                    "pack {key:?} begins at {first:?}, {before:?} had reached {reached:?}"
                );
            }
            for line in &pack.lines {
                let name = (line["gtid"].to_string(), line["row"].as_u64(), line["op"].to_string());
                assert!(seen.insert(name), "pack {key:?}: twice: {line}");
            }
            reached = Some((last, *key));
        }
    }

    /// Inside an epoch packs are numbered from 1 without holes, and one node wrote them all.
    pub fn assert_whole_epochs(&self) {
        for epoch in self.epochs() {
            let packs: Vec<_> = self.packs.range((epoch, 0)..=(epoch, u64::MAX)).collect();
            let numbers = packs.iter().map(|((_, sequence), _)| *sequence);
            assert!(numbers.eq(1..=packs.len() as u64), "epoch {epoch} has holes");
            let folders: BTreeSet<usize> = packs.iter().map(|(_, pack)| pack.folder).collect();
            assert_eq!(folders.len(), 1, "epoch {epoch} was written by nodes {folders:?}");
        }
    }
}

fn place(of: &Value) -> Place {
    let file = of["file"].as_str().expect("file").to_owned();
    (file, of["pos"].as_u64().expect("pos"), of["row"].as_u64().expect("row"))
}

/// The data files of a shard in a folder, in order.
fn data_files(folder: &Path, shard: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    let prefix = format!("{shard}-");
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&prefix) && (name.ends_with(".jsonl") || name.ends_with(".part"))
    });
    files.sort();
    files
}
