//! Folders and names for what a shard keeps on disk: points, locks, the file sink's data.

use crate::code::Code;
use std::fmt;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// A folder that cannot be used, with the path in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderError {
    pub code: Code,
    pub text: String,
}

impl FolderError {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for FolderError {}

/// Makes sure that a folder is there, with its parents; those that are missing get `mode` (less the umask).
/// Returns whether it had to be made.
pub fn make_folder(folder: &Path, mode: u32) -> Result<bool, FolderError> {
    let failed = |what: &str, e: io::Error| {
        FolderError::new(Code::FileError, format!("{}: {what}: {e}", folder.display()))
    };
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => return Ok(false),
        Ok(_) => {
            let text = format!("{}: a folder is needed here, this is a file", folder.display());
            return Err(FolderError::new(Code::FileError, text));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed("the folder cannot be reached", e)),
    }
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    let made = DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.map_err(|e| failed("the folder is missing and cannot be made", e))?;
    for path in missing {
        // A new entry is durable once the folder that lists it is.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new("."))).map_err(|e| failed("cannot be made durable", e))?;
    }
    Ok(true)
}

/// Makes the names in a folder (new files, renames, removals) durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Insists that a shard's name can be the first part of a file name.
pub fn check_shard_name(shard: &str) -> Result<(), FolderError> {
    let bad = shard.is_empty()
        || shard.len() > 100
        || shard.starts_with('.')
        || shard.chars().any(|c| c == '/' || c.is_control());
    if bad {
        let text = format!(
            "shard name {shard:?} cannot be part of a file name: 1 to 100 bytes are needed, no '/', no control character, no '.' in front"
        );
        return Err(FolderError::new(Code::Config, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_folder_is_made_with_its_parents() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        assert_eq!(make_folder(&folder, 0o700), Ok(true));
        assert_eq!(make_folder(&folder, 0o700), Ok(false));
        for path in [temp.path().join("a"), folder] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("points");
        fs::write(&file, "x").unwrap();
        assert!(make_folder(&file, 0o700).unwrap_err().text.contains("this is a file"));
        let below = make_folder(&file.join("deeper"), 0o700).unwrap_err();
        assert!(below.text.contains("points/deeper"), "{below}");
        std::os::unix::fs::symlink("nowhere", temp.path().join("link")).unwrap();
        assert!(make_folder(&temp.path().join("link"), 0o700).is_err());
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["producer00", "orders eu", "bestellungen-ö", "a.b"] {
            assert_eq!(check_shard_name(name), Ok(()));
        }
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "a\n", "a\0"] {
            assert!(check_shard_name(name).is_err(), "{name:?}");
        }
    }
}
