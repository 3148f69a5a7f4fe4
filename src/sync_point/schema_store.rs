//! Where the ledger of definitions is kept: `<producer_position>/<shard>.schema`, one sealed line
//! ([`crate::sync_point::sealed`]) beside the point. What the line says is its owner's business.

use crate::code::Code;
use crate::fail_point;
use crate::sync_point::StoreError;
use crate::sync_point::folder::check_shard_name;
use crate::sync_point::folder::sync_folder;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// A ledger stays below a megabyte; a bound so that no file is read into memory whatever its size.
const MAX_BYTES: u64 = 16 << 20;
const SEAL: &str = "crc32";

/// Keeps one JSON object of a shard, of less than a megabyte.
pub trait SchemaStore: Send + fmt::Debug {
    /// The object as it was saved; none when none ever was. One that was changed or torn is an error.
    fn load(&mut self) -> Result<Option<String>, StoreError>;
    /// Returns once it is durable; a crash leaves the old object or the new one.
    fn save(&mut self, object: &str) -> Result<(), StoreError>;
}

/// In a file. Whoever saves holds the lock of the shard's point.
#[derive(Debug)]
pub struct FileSchemaStore {
    folder: PathBuf,
    shard: String,
}

impl FileSchemaStore {
    pub fn new(folder: &Path, shard: &str) -> Result<Self, StoreError> {
        check_shard_name(shard)?;
        Ok(Self { folder: folder.to_path_buf(), shard: shard.to_owned() })
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.schema", self.shard))
    }

    fn failed(&self, what: &str, error: &io::Error) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", self.path().display()))
    }

    fn broken(&self, what: &dyn fmt::Display) -> StoreError {
        let text = format!(
            "{}: not the definitions of shard {} as they were saved: {what}; delete it (and put no older copy there): \
             they are asked of the server again then",
            self.path().display(),
            self.shard
        );
        StoreError::new(Code::PointBroken, text)
    }
}

impl SchemaStore for FileSchemaStore {
    fn load(&mut self) -> Result<Option<String>, StoreError> {
        let mut bytes = Vec::new();
        match File::open(self.path()).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("cannot be read", &error)),
        }
        let line =
            bytes.strip_suffix(b"\n").ok_or_else(|| self.broken(&"it is torn: its line has no end"))?;
        let object = unseal(line, SEAL).map_err(|error| self.broken(&error))?;
        Ok(Some(object.to_owned()))
    }

    fn save(&mut self, object: &str) -> Result<(), StoreError> {
        let temporary = self.folder.join(format!(".{}.schema.tmp", self.shard));
        let replace = || -> io::Result<()> {
            fail_point::reach("schema.create")?;
            let mut file = File::create(&temporary)?;
            let line = seal(object, SEAL);
            fail_point::write("schema.write", line.as_bytes(), |bytes| file.write_all(bytes))?;
            file.write_all(b"\n")?;
            fail_point::reach("schema.flush")?;
            file.sync_all()?;
            fail_point::reach("schema.rename")?;
            fs::rename(&temporary, self.path())?;
            fail_point::reach("schema.flush_names")?;
            sync_folder(&self.folder)
        };
        replace().map_err(|error| self.failed("cannot be written", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_a_cut_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let mut store = FileSchemaStore::new(temp.path(), "a").unwrap();
        assert_eq!(store.load(), Ok(None));
        store.save(r#"{"x":1}"#).unwrap();
        let loaded = store.load().unwrap().unwrap();
        assert!(loaded.starts_with(r#"{"x":1,"crc32":"#), "{loaded}");
        let good = fs::read(store.path()).unwrap();
        for cut in 0..good.len() {
            fs::write(store.path(), &good[..cut]).unwrap();
            assert_eq!(store.load().unwrap_err().code, Code::PointBroken, "cut at {cut}");
        }
        assert!(FileSchemaStore::new(temp.path(), "a/b").is_err());
        let mut nowhere = FileSchemaStore::new(&temp.path().join("none"), "a").unwrap();
        assert_eq!(nowhere.save("{}").unwrap_err().code, Code::PointStore);
    }
}
