//! What of the packs in several nodes' folders counts: an epoch's first pack tells which one it follows, and what lies between
//! the two was delivered again.

use crate::pack::header::Follows;
use crate::pack::header::PackHeader;
use crate::pack::header::PackName;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Kind;
use crate::sink::file::sidecar::SidecarLine;
use crate::sink::file::sidecar::SidecarReader;
use crate::verify::inventory::Inventory;
use std::collections::BTreeMap;
use std::path::Path;

/// Which packs count, over all folders.
#[derive(Debug, Default)]
pub struct Counted {
    /// Epochs that count, by number, and what each follows.
    follows: BTreeMap<u64, PackName>,
    /// The first pack of each folder that had earlier ones.
    shortened: Vec<PackName>,
}

impl Counted {
    /// Reads the first header of each epoch. What cannot be read is told by whoever reads all of it.
    pub fn of(inventories: &[Inventory], shard: &str) -> Self {
        let mut first_packs: BTreeMap<u64, Follows> = BTreeMap::new();
        let mut shortened = Vec::new();
        for inventory in inventories {
            let files = inventory.files_of(shard);
            for (index, (name, _)) in files.iter().enumerate() {
                if index > 0 && name.number > 1 {
                    continue;
                }
                let Some(header) = first_header(&inventory.folder, name) else { continue };
                if index == 0 && had_earlier(&header) {
                    shortened.push(header.name());
                }
                if let Some(follows) = header.follows.filter(|_| header.sequence == 1) {
                    first_packs.insert(header.epoch, follows);
                }
            }
        }
        Self { follows: chosen(&first_packs), shortened }
    }

    /// The pack that the next epoch follows instead of this one; none when this one counts.
    pub fn passed_over(&self, name: PackName) -> Option<(u64, PackName)> {
        let next = self.follows.range(name.epoch.saturating_add(1)..).next();
        next.filter(|(_, follows)| name > **follows).map(|(epoch, follows)| (*epoch, *follows))
    }

    /// Whether packs up to this one may have stood in a folder whose oldest files are gone.
    pub fn may_be_removed(&self, last: PackName) -> bool {
        self.shortened.iter().any(|first| *first > last)
    }
}

/// From the newest epoch back: what one follows decides which of those before it count.
fn chosen(first_packs: &BTreeMap<u64, Follows>) -> BTreeMap<u64, PackName> {
    let mut counted = BTreeMap::new();
    let mut followed: Option<PackName> = None;
    for (epoch, follows) in first_packs.iter().rev() {
        let first = PackName { epoch: *epoch, sequence: 1 };
        if followed.is_none_or(|followed| first <= followed) {
            counted.insert(*epoch, follows.pack);
            followed = Some(follows.pack);
        }
    }
    counted
}

fn first_header(folder: &Path, name: &FileName) -> Option<PackHeader> {
    let mut reader = SidecarReader::open(&name.path(folder, Kind::Sidecar)).ok()?;
    match reader.next_line() {
        Ok(Some(SidecarLine::Header(header))) => Some(*header),
        _ => None,
    }
}

/// Whether its folder held packs before this one.
fn had_earlier(header: &PackHeader) -> bool {
    if header.sequence > 1 {
        return true;
    }
    match header.follows {
        Some(Follows { pack, here }) => here.unwrap_or(pack).epoch > 0,
        None => header.previous_crc32 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_epochs_say_what_counts() {
        let follows = |epoch, sequence| Follows { pack: PackName { epoch, sequence }, here: None };
        // 4 went on behind 3/17, and 5 behind that too: nothing of 4 counts, whatever it followed.
        let firsts = [(2, follows(1, 9)), (3, follows(2, 5)), (4, follows(3, 17)), (5, follows(3, 17))];
        let counted = Counted { follows: chosen(&firsts.into_iter().collect()), shortened: Vec::new() };
        let by = |epoch, sequence| counted.passed_over(PackName { epoch, sequence }).map(|(by, _)| by);
        assert_eq!([by(1, 9), by(2, 5), by(3, 17), by(5, 1), by(6, 1)], [None; 5]);
        assert_eq!([by(1, 10), by(2, 6)], [Some(2), Some(3)]);
        assert_eq!([by(3, 18), by(4, 1), by(4, 9)], [Some(5); 3]);
    }
}
