//! Points in files: `<producer_position>/<shard>.point`, one sealed line each ([`crate::sync_point::record`]).
//!
//! Saving writes `.<shard>.point.tmp` beside it, syncs it, renames it over the old file and syncs the folder: a crash
//! leaves the old line or the new one, and a temporary file that nobody reads. `<shard>.trace` tells a deleted point
//! from one that never was; `<shard>.lock` keeps a second process out.

use crate::code::Code;
use crate::fail_point;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::folder::check_shard_name;
use crate::sync_point::folder::make_folder;
use crate::sync_point::folder::sync_folder;
use crate::sync_point::held::Held;
use crate::sync_point::lock::FolderLock;
use crate::sync_point::old_files;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::record;
use crate::sync_point::trace::PointTrace;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// Far above any point (the largest part is a GTID set); a bound so that no file is read into memory whatever its size.
const MAX_BYTES: u64 = 64 << 20;

/// The points of one shard in a folder, locked for this process: the points themselves, or the copy that a node keeps of
/// what it saves elsewhere. Neither is taken for the other.
#[derive(Debug)]
pub struct FileStore {
    place: Place,
    /// What the store holds; none while that has not been looked at or there is no record.
    held: Option<Held>,
    looked: bool,
    _lock: FolderLock,
}

impl FileStore {
    /// Makes the folder when it is missing (0700), and locks the shard in it.
    pub fn open(folder: &Path, shard: &str) -> Result<Self, StoreError> {
        check_shard_name(shard)?;
        if make_folder(folder, 0o700)? {
            log::info!("shard={shard} made the folder of sync points {}", folder.display());
        }
        let lock = FolderLock::acquire(folder, shard)?;
        Ok(Self { place: Place::new(folder, shard), held: None, looked: false, _lock: lock })
    }

    /// As `open`, for a copy of what is saved in that place.
    pub fn open_copy(folder: &Path, shard: &str, of: &str) -> Result<Self, StoreError> {
        let mut store = Self::open(folder, shard)?;
        store.place.copy_of = Some(of.to_owned());
        Ok(store)
    }

    /// The newest that this node knows of what is, or was, saved elsewhere, whether as a copy or in files before: read as `peek`.
    pub fn peek_copy(folder: &Path, shard: &str) -> Result<Option<PointRecord>, StoreError> {
        check_shard_name(shard)?;
        let mut place = Place::new(folder, shard);
        place.copy_of = Some(String::new());
        place.read()
    }

    /// Reads without lock and without making anything: for looking while a run goes on.
    pub fn peek(folder: &Path, shard: &str) -> Result<Option<PointRecord>, StoreError> {
        check_shard_name(shard)?;
        Place::new(folder, shard).read()
    }

    /// Saves without looking at what is there: an operator's word counts more than a lost, broken or later point.
    pub fn replace(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        self.place.write(record)?;
        self.held = Some(Held::of(record));
        self.looked = true;
        Ok(())
    }
}

impl SyncPointStore for FileStore {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        let record = self.place.read()?;
        self.held = record.as_ref().map(Held::of);
        self.looked = true;
        Ok(record)
    }

    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        old_files::find(&self.place.folder, &self.place.shard)
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        if !self.looked {
            self.load()?;
        }
        if let Some(loss) = self.held.and_then(|held| held.loss(Held::of(record))) {
            let text = format!("{}: {loss}", self.place.point().display());
            return Err(StoreError::new(Code::Internal, text));
        }
        self.replace(record)
    }
}

/// Insists that the folder of points is there, without making it.
pub fn need_folder(folder: &Path) -> Result<(), StoreError> {
    let refused = |what: String| StoreError::new(Code::PointStore, format!("{}: {what}", folder.display()));
    let metadata = fs::metadata(folder).map_err(|e| refused(format!("cannot be read: {e}")))?;
    match metadata.is_dir() {
        true => Ok(()),
        false => Err(refused("a folder is needed here, this is a file".to_owned())),
    }
}

/// Where one shard's point is. Knows files, not the order of points.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    shard: String,
    trace: PointTrace,
    /// It is the copy of what is saved there.
    copy_of: Option<String>,
}

impl Place {
    fn new(folder: &Path, shard: &str) -> Self {
        let trace = PointTrace::new(folder, shard);
        Self { folder: folder.to_path_buf(), shard: shard.to_owned(), trace, copy_of: None }
    }

    fn point(&self) -> PathBuf {
        self.folder.join(format!("{}.point", self.shard))
    }

    fn read(&self) -> Result<Option<PointRecord>, StoreError> {
        let path = self.point();
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
            Ok(_) => self.understand(&bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.positively_none().map(|()| None),
            Err(e) => Err(self.failed(&path, "cannot be read", e)),
        }
    }

    /// Nothing of that name was found: is it that there never was a point?
    fn positively_none(&self) -> Result<(), StoreError> {
        need_folder(&self.folder)?;
        if !self.trace.exists()? {
            return Ok(());
        }
        let text = format!(
            "{}: the point of shard {} is gone, and {} says that there was one: put a copy back; or go on from a former point (fountain points history and points set); or copy the tables anew and start behind them (points set)",
            self.point().display(),
            self.shard,
            self.trace.path().display()
        );
        Err(StoreError::new(Code::PointLost, text))
    }

    fn understand(&self, bytes: &[u8]) -> Result<PointRecord, StoreError> {
        if bytes.is_empty() {
            return Err(self.broken("it is empty"));
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.broken("it is far too large for a point"));
        }
        let line = bytes.strip_suffix(b"\n").ok_or_else(|| self.broken("it is torn: its line has no end"))?;
        let record = PointRecord::from_line(line).map_err(|what| self.broken(&what))?;
        if let (None, Some(place)) = (&self.copy_of, record::copy_of(line)) {
            return Err(self.only_a_copy(&place));
        }
        if record.shard != self.shard {
            return Err(self.broken(&format!("it is the point of shard {}", record.shard)));
        }
        Ok(record)
    }

    fn broken(&self, what: &str) -> StoreError {
        let text = format!(
            "{}: not the point of shard {} as it was saved: {what}; put a good copy back; or go on from a former point (fountain points history and points set); or copy the tables anew and start behind them (points set)",
            self.point().display(),
            self.shard
        );
        StoreError::new(Code::PointBroken, text)
    }

    /// The shard has been led elsewhere since that copy was made, as far as anybody can tell here.
    fn only_a_copy(&self, place: &str) -> StoreError {
        let shard = &self.shard;
        let text = format!(
            "{}: it is this node's copy of the point of shard {shard} that is kept at {place}, and no point in files: other nodes may \
             have led since; set zk_save_position_root_path again, or, on the node that led last and with all others stopped, go on \
             from the copy: fountain points set {shard} --from-local --reason TEXT",
            self.point().display()
        );
        StoreError::new(Code::PointLost, text)
    }

    fn write(&self, record: &PointRecord) -> Result<(), StoreError> {
        let path = self.point();
        if record.shard != self.shard {
            let text = format!("{}: asked to save the point of shard {} here", path.display(), record.shard);
            return Err(StoreError::new(Code::Internal, text));
        }
        let line = self.copy_of.as_ref().map_or_else(|| record.to_line(), |place| record.to_copy_of(place));
        let line = line.map_err(|what| {
            StoreError::new(Code::Internal, format!("{}: the point {what}", path.display()))
        })?;
        let temporary = self.folder.join(format!(".{}.point.tmp", self.shard));
        let replace = || -> io::Result<()> {
            fail_point::reach("point.create")?;
            let mut file = File::create(&temporary)?;
            fail_point::write("point.write", line.as_bytes(), |bytes| file.write_all(bytes))?;
            file.write_all(b"\n")?;
            fail_point::reach("point.flush")?;
            file.sync_all()?;
            fail_point::reach("point.rename")?;
            fs::rename(&temporary, &path)?;
            fail_point::reach("point.flush_names")?;
            sync_folder(&self.folder)
        };
        replace().map_err(|e| self.failed(&path, "cannot be written", e))?;
        // After the first point, not before it: a crash in between must not look like a lost point. Nothing is
        // delivered before this returns, so a trace exists before the first row is out.
        self.trace.leave(record.saved_ms)
    }

    fn failed(&self, path: &Path, what: &str, error: io::Error) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::record::tests::record;
    use std::os::unix::fs::PermissionsExt;

    const SHARD: &str = "producer00";

    fn folder_with(record: &PointRecord) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        FileStore::open(temp.path(), SHARD).unwrap().save(record).unwrap();
        temp
    }

    fn load(folder: &Path) -> Result<Option<PointRecord>, StoreError> {
        let loaded = FileStore::open(folder, SHARD).unwrap().load();
        assert_eq!(loaded, FileStore::peek(folder, SHARD));
        loaded
    }

    #[test]
    fn a_fresh_folder_positively_holds_no_point() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("deep/points");
        assert_eq!(load(&folder), Ok(None));
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let temp = folder_with(&record(1, 0));
        let mut store = FileStore::open(temp.path(), SHARD).unwrap();
        for sequence in 1..4 {
            store.save(&record(1, sequence)).unwrap();
            assert_eq!(store.load(), Ok(Some(record(1, sequence))));
        }
        drop(store);
        assert_eq!(load(temp.path()), Ok(Some(record(1, 3))));
        let text = fs::read_to_string(temp.path().join("producer00.point")).unwrap();
        assert_eq!(text, record(1, 3).to_line().unwrap() + "\n");
        assert!(!temp.path().join(".producer00.point.tmp").exists());
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_and_never_no_point() {
        let temp = folder_with(&record(1, 5));
        let path = temp.path().join("producer00.point");
        let good = fs::read(&path).unwrap();
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            let error = load(temp.path()).unwrap_err();
            assert_eq!(error.code, Code::PointBroken, "cut at {cut}");
            assert!(error.text.contains("producer00.point"), "{error}");
        }
        fs::write(&path, [&good[..], &good[..]].concat()).unwrap();
        assert_eq!(load(temp.path()).unwrap_err().code, Code::PointBroken);
    }

    #[test]
    fn a_changed_byte_anywhere_is_an_error_and_never_another_point() {
        let temp = folder_with(&record(1, 5));
        let path = temp.path().join("producer00.point");
        let good = fs::read(&path).unwrap();
        for offset in 0..good.len() {
            for change in [0x01, 0x20, 0xff] {
                let mut bytes = good.clone();
                bytes[offset] ^= change;
                fs::write(&path, bytes).unwrap();
                assert_eq!(load(temp.path()).unwrap_err().code, Code::PointBroken, "byte {offset}");
            }
            let mut zeros = good.clone();
            zeros[offset..].fill(0);
            fs::write(&path, zeros).unwrap();
            assert_eq!(load(temp.path()).unwrap_err().code, Code::PointBroken, "zeros from {offset}");
        }
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_point() {
        let temp = folder_with(&record(1, 5));
        let next = record(1, 6).to_line().unwrap() + "\n";
        for written in 0..=next.len() {
            fs::write(temp.path().join(".producer00.point.tmp"), &next[..written]).unwrap();
            assert_eq!(load(temp.path()), Ok(Some(record(1, 5))));
        }
        FileStore::open(temp.path(), SHARD).unwrap().save(&record(1, 7)).unwrap();
        assert_eq!(load(temp.path()), Ok(Some(record(1, 7))));
    }

    #[test]
    fn a_crash_before_the_first_rename_is_no_lost_point() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(load(temp.path()), Ok(None));
        fs::write(temp.path().join(".producer00.point.tmp"), "{\"form").unwrap();
        assert_eq!(load(temp.path()), Ok(None));
    }

    #[test]
    fn a_crash_between_the_first_point_and_its_trace_is_mended_by_the_next_save() {
        let temp = folder_with(&record(1, 0));
        fs::remove_file(temp.path().join("producer00.trace")).unwrap();
        assert_eq!(load(temp.path()), Ok(Some(record(1, 0))));
        FileStore::open(temp.path(), SHARD).unwrap().save(&record(1, 1)).unwrap();
        assert!(temp.path().join("producer00.trace").exists());
    }

    #[test]
    fn a_deleted_point_is_lost_not_none() {
        let temp = folder_with(&record(1, 5));
        fs::remove_file(temp.path().join("producer00.point")).unwrap();
        let error = load(temp.path()).unwrap_err();
        assert_eq!(error.code, Code::PointLost);
        assert!(error.text.contains("producer00.trace"), "{error}");
        let mut store = FileStore::open(temp.path(), SHARD).unwrap();
        assert_eq!(store.save(&record(2, 0)).unwrap_err().code, Code::PointLost);
        store.replace(&record(2, 0)).unwrap();
        drop(store);
        assert_eq!(load(temp.path()), Ok(Some(record(2, 0))));
        fs::remove_file(temp.path().join("producer00.point")).unwrap();
        fs::remove_file(temp.path().join("producer00.trace")).unwrap();
        assert_eq!(load(temp.path()), Ok(None));
    }

    #[test]
    fn points_do_not_go_back() {
        let temp = folder_with(&record(2, 5));
        let mut store = FileStore::open(temp.path(), SHARD).unwrap();
        for (epoch, sequence) in [(2, 4), (1, 9)] {
            let error = store.save(&record(epoch, sequence)).unwrap_err();
            assert_eq!(error.code, Code::Internal);
        }
        store.save(&record(2, 5)).unwrap();
        store.save(&record(3, 0)).unwrap();
        assert!(store.save(&record(2, 6)).is_err());
        assert_eq!(store.load(), Ok(Some(record(3, 0))));
    }

    #[test]
    fn numbers_of_rows_are_not_given_back_and_a_point_is_not_forgotten() {
        let temp = folder_with(&record(2, 5));
        let mut store = FileStore::open(temp.path(), SHARD).unwrap();
        let fewer = PointRecord { seq_reserved: 100_000, ..record(3, 0) };
        let error = store.save(&fewer).unwrap_err();
        assert_eq!(error.code, Code::Internal);
        assert!(error.text.contains("100001 to 100000"), "{error}");
        let none = PointRecord { point: None, ..record(3, 0) };
        assert_eq!(store.save(&none).unwrap_err().code, Code::Internal);
        assert_eq!(store.load(), Ok(Some(record(2, 5))));
        // An operator may do both.
        store.replace(&PointRecord { seq_reserved: 7, ..none }).unwrap();
        store.save(&PointRecord { seq_reserved: 7, ..record(3, 1) }).unwrap();
    }

    #[test]
    fn another_shards_point_is_refused() {
        let temp = folder_with(&record(1, 5));
        fs::rename(temp.path().join("producer00.point"), temp.path().join("producer01.point")).unwrap();
        let error = FileStore::peek(temp.path(), "producer01").unwrap_err();
        assert_eq!(error.code, Code::PointBroken);
        assert!(error.text.contains("the point of shard producer00"), "{error}");
        let mut other = FileStore::open(temp.path(), "producer02").unwrap();
        assert_eq!(other.save(&record(1, 6)).unwrap_err().code, Code::Internal);
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error() {
        let temp = folder_with(&record(1, 5));
        let store = FileStore::open(temp.path(), SHARD).unwrap();
        assert_eq!(FileStore::open(temp.path(), SHARD).unwrap_err().code, Code::Locked);
        drop(store);
        let gone = temp.path().join("gone");
        assert_eq!(FileStore::peek(&gone, SHARD).unwrap_err().code, Code::PointStore);
        let file = temp.path().join("producer00.point");
        assert_eq!(FileStore::open(&file, SHARD).unwrap_err().code, Code::FileError);
        assert_eq!(FileStore::peek(&file, SHARD).unwrap_err().code, Code::PointStore);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(FileStore::peek(temp.path(), SHARD).unwrap_err().code, Code::PointStore);
    }

    #[test]
    fn a_folder_that_vanishes_under_an_open_store_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("points");
        let mut store = FileStore::open(&folder, SHARD).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(store.load().unwrap_err().code, Code::PointStore);
        assert_eq!(store.save(&record(1, 0)).unwrap_err().code, Code::PointStore);
    }
}
