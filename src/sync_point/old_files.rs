//! The files in which the original Fountain kept its points, in the folder `producer_position`: found, read, and left as
//! they are.
//!
//! | file | holds | written by |
//! |---|---|---|
//! | `<shard>` | a group id of Baidu's MySQL | `LocalFileDisposeEventPosition` |
//! | `<shard>.binlog` | `HOST:PORT#FILE#OFFSET;…` | `LocalFileBinlogAndOffsetDisposeEventPosition` |
//! | `<shard>.gtidset` | `UUID:START-END;…` | `LocalFileGtIdSetDisposeEventPosition` |
//!
//! The original emptied such a file and then wrote it, and took an empty one for none: a crash in between lost rows. Here
//! a file that cannot be understood stops the shard.

use crate::code::Code;
use crate::sync_point::StoreError;
use crate::sync_point::text;
use crate::sync_point::text::OldKind;
use crate::sync_point::text::OldPoint;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

const FILES: [(&str, OldKind); 3] =
    [("", OldKind::Group), (".binlog", OldKind::Places), (".gtidset", OldKind::Gtid)];

/// A point of the original, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPoint {
    pub point: OldPoint,
    /// A path or another name of the place, for messages.
    pub origin: String,
}

/// What the original left of a shard in a folder.
pub fn find(folder: &Path, shard: &str) -> Result<Option<FoundPoint>, StoreError> {
    let mut files = Vec::new();
    for (ending, kind) in FILES {
        let path = folder.join(format!("{shard}{ending}"));
        if let Some(bytes) = read(&path)? {
            files.push((path, kind, bytes));
        }
    }
    match files.as_slice() {
        [] => Ok(None),
        [(path, kind, bytes)] => understand(path, *kind, bytes).map(Some),
        [(one, ..), (other, ..), ..] => Err(StoreError::new(
            Code::PointBroken,
            format!(
                "{} and {} are both points of shard {shard} that the original Fountain left, and nothing tells which one counts; \
                 move the other one away",
                one.display(),
                other.display()
            ),
        )),
    }
}

/// A little more than the longest point, so that a longer file is seen to be one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let limit = text::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        // A link to nowhere, as into a volume that is not mounted, is there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            Ok(None)
        }
        Err(error) => {
            let text = format!("{}: cannot be read: {error}", path.display());
            Err(StoreError::new(Code::PointStore, text))
        }
    }
}

fn understand(path: &Path, kind: OldKind, bytes: &[u8]) -> Result<FoundPoint, StoreError> {
    let origin = path.display().to_string();
    match text::parse(bytes, kind) {
        Ok(point) => Ok(FoundPoint { point, origin }),
        Err(error) => Err(StoreError::new(
            Code::PointBroken,
            format!(
                "{origin}: not a point as the original Fountain wrote it: {error}; put a good copy back, or move the file away and \
                 set the start by mysql_binlogdump_gtidset, mysql_binlogdump_filename and mysql_binlogdump_position, or \
                 mysql_binlogdump_gtid"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SHARD: &str = "producer00";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(temp.path().join(name), text).unwrap();
        }
        temp
    }

    fn find_in(files: &[(&str, &str)]) -> Result<Option<FoundPoint>, StoreError> {
        find(folder(files).path(), SHARD)
    }

    #[test]
    fn each_file_is_read_as_what_it_is() {
        assert_eq!(find_in(&[("producer01", "42"), ("producer00.lock", "7\n")]), Ok(None));
        let found = find_in(&[("producer00", "42\n")]).unwrap().unwrap();
        assert_eq!(found.point, OldPoint::Group(42));
        assert!(found.origin.ends_with("/producer00"));
        let found = find_in(&[("producer00.binlog", "db1:3306#bin.1#4")]).unwrap().unwrap();
        assert!(matches!(found.point, OldPoint::Places(places) if places.len() == 1));
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let found = find_in(&[("producer00.gtidset", set)]).unwrap().unwrap();
        assert!(matches!(found.point, OldPoint::Gtid(set) if set.count() == 4));
    }

    #[test]
    fn two_points_or_a_broken_one_are_refused_by_name() {
        let error = find_in(&[("producer00", "42"), ("producer00.binlog", "db1:3306#bin.1#4")]).unwrap_err();
        assert_eq!(error.code, Code::PointBroken);
        assert!(error.text.contains("producer00 and "), "{error}");
        for (name, text) in [
            ("producer00", ""),
            ("producer00", "-1"),
            ("producer00.gtidset", "\n"),
            ("producer00.gtidset", "42"),
            ("producer00.binlog", "db1:3306#bin.1"),
        ] {
            let error = find_in(&[(name, text)]).unwrap_err();
            assert_eq!(error.code, Code::PointBroken, "{name} {text:?}");
            assert!(error.text.contains(name), "{error}");
        }
        let temp = folder(&[]);
        fs::create_dir(temp.path().join("producer00")).unwrap();
        assert_eq!(find(temp.path(), SHARD).unwrap_err().code, Code::PointStore);
    }
}
