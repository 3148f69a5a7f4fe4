//! A shard's state in a file: `<producer_position>/<shard>.state`, one sealed line ([`crate::sync_point::sealed`]) beside
//! the point.

use crate::code::Code;
use crate::sync_point::StoreError;
use crate::sync_point::folder::check_shard_name;
use crate::sync_point::folder::make_folder;
use crate::sync_point::folder::sync_folder;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use crate::sync_point::state::ShardState;
use crate::sync_point::state::StateStore;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// A state is a few lines of text; a bound so that no file is read into memory whatever its size.
const MAX_BYTES: u64 = 1 << 20;
const SEAL: &str = "crc32";

/// See the module's page.
#[derive(Debug)]
pub struct FileStateStore {
    folder: PathBuf,
    shard: String,
}

/// The line. It names its shard, so that a copy under another name is noticed, and is never empty.
#[derive(Serialize, Deserialize)]
struct Line {
    shard: String,
    #[serde(flatten)]
    state: ShardState,
}

impl FileStateStore {
    pub fn new(folder: &Path, shard: &str) -> Result<Self, StoreError> {
        check_shard_name(shard)?;
        Ok(Self { folder: folder.to_path_buf(), shard: shard.to_owned() })
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.state", self.shard))
    }

    fn failed(&self, what: &str, error: &dyn fmt::Display) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", self.path().display()))
    }

    fn broken(&self, what: &dyn fmt::Display) -> StoreError {
        let text = format!(
            "{}: not the state of shard {} as it was saved: {what}; it says whether a person has suspended the shard: delete it \
             where nobody has, or suspend the shard anew behind that",
            self.path().display(),
            self.shard
        );
        StoreError::new(Code::PointBroken, text)
    }
}

impl StateStore for FileStateStore {
    fn load(&mut self) -> Result<Option<ShardState>, StoreError> {
        let mut bytes = Vec::new();
        match File::open(self.path()).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => {}
            // Whoever opens the folder tells what is wrong with it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed("cannot be read", &error)),
        }
        let line =
            bytes.strip_suffix(b"\n").ok_or_else(|| self.broken(&"it is torn: its line has no end"))?;
        let object = unseal(line, SEAL).map_err(|error| self.broken(&error))?;
        let Line { shard, state } = serde_json::from_str(object).map_err(|error| self.broken(&error))?;
        if shard != self.shard {
            return Err(self.broken(&format_args!("it is of shard {shard}")));
        }
        Ok(Some(state))
    }

    fn save(&mut self, state: &ShardState) -> Result<(), StoreError> {
        let line = Line { shard: self.shard.clone(), state: state.clone() };
        let object =
            serde_json::to_string(&line).map_err(|error| self.failed("cannot be written", &error))?;
        // A shard may be suspended before it has ever run.
        make_folder(&self.folder, 0o700)?;
        let temporary = self.folder.join(format!(".{}.state.tmp", self.shard));
        let replace = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(seal(&object, SEAL).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&temporary, self.path())?;
            sync_folder(&self.folder)
        };
        replace().map_err(|error| self.failed("cannot be written", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::state::Suspension;

    fn suspended() -> ShardState {
        let suspended = Suspension {
            reason: "the disk is \"moved\"".to_owned(),
            at_ms: 1_700_000_000_000,
            until_ms: None,
            node: "db1".to_owned(),
        };
        ShardState { suspended: Some(suspended), ..ShardState::default() }
    }

    #[test]
    fn what_was_saved_is_loaded_and_a_cut_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("points");
        let mut store = FileStateStore::new(&folder, "a").unwrap();
        assert_eq!(store.load(), Ok(None));
        store.save(&suspended()).unwrap();
        assert_eq!(store.load(), Ok(Some(suspended())));
        let good = fs::read(store.path()).unwrap();
        for cut in 0..good.len() {
            fs::write(store.path(), &good[..cut]).unwrap();
            assert_eq!(store.load().unwrap_err().code, Code::PointBroken, "cut at {cut}");
        }
        store.save(&ShardState::default()).unwrap();
        assert_eq!(store.load(), Ok(Some(ShardState::default())));
    }

    #[test]
    fn the_state_of_another_shard_is_not_taken_for_ours() {
        let temp = tempfile::tempdir().unwrap();
        let mut a = FileStateStore::new(temp.path(), "a").unwrap();
        a.save(&suspended()).unwrap();
        let mut b = FileStateStore::new(temp.path(), "b").unwrap();
        fs::copy(a.path(), b.path()).unwrap();
        assert!(b.load().unwrap_err().text.contains("it is of shard a"));
        assert!(FileStateStore::new(temp.path(), "a/b").is_err());
    }

    #[test]
    fn what_a_later_version_adds_does_not_hide_what_is_known() {
        let temp = tempfile::tempdir().unwrap();
        let mut store = FileStateStore::new(temp.path(), "a").unwrap();
        let object = r#"{"shard":"a","suspended":{"reason":"r","at_ms":5,"node":"n","by":"me"},"new":1}"#;
        fs::write(store.path(), seal(object, SEAL) + "\n").unwrap();
        let state = store.load().unwrap().unwrap();
        assert_eq!(state.suspended.unwrap().at_ms, 5);
    }
}
