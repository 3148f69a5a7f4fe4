//! What the file sink asks of a disk, so that tests can make every single step fail.

use crate::fail_point;
use crate::sync_point::folder::sync_folder;
use std::fmt;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;

/// Each call is one step that a full disk or a crash can cut short.
pub(super) trait Disk: Send + fmt::Debug {
    /// A new file, to be read and appended to. It must not exist yet.
    fn create(&mut self, path: &Path) -> io::Result<File>;
    /// An existing file, to be read and appended to.
    fn open(&mut self, path: &Path) -> io::Result<File>;
    /// May leave a part behind when it fails.
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&mut self, file: &File, length: u64) -> io::Result<()>;
    /// Bytes and length are durable.
    fn sync_data(&mut self, file: &File) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
    /// Names are durable.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
    /// Bytes that this user may still write.
    fn available(&mut self, folder: &Path) -> io::Result<u64>;
}

/// The real one.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        fail_point::reach("sink.create")?;
        OpenOptions::new().read(true).append(true).create_new(true).open(path)
    }

    fn open(&mut self, path: &Path) -> io::Result<File> {
        fail_point::reach("sink.open")?;
        OpenOptions::new().read(true).append(true).open(path)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        fail_point::write("sink.append", bytes, |bytes| file.write_all(bytes))
    }

    fn set_len(&mut self, file: &File, length: u64) -> io::Result<()> {
        fail_point::reach("sink.cut")?;
        file.set_len(length)
    }

    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        fail_point::reach("sink.flush")?;
        // fdatasync(2): flushes what is needed to read the data back, the file's length included.
        file.sync_data()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fail_point::reach("sink.rename")?;
        fs::rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fail_point::reach("sink.remove")?;
        fs::remove_file(path)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        fail_point::reach("sink.flush_names")?;
        sync_folder(folder)
    }

    fn available(&mut self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// A look at the files alone: they stay as they are, whatever is asked for.
#[derive(Debug)]
pub(super) struct Looking;

impl Disk for Looking {
    fn create(&mut self, _path: &Path) -> io::Result<File> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn open(&mut self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn append(&mut self, _file: &mut File, _bytes: &[u8]) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn set_len(&mut self, _file: &File, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&mut self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn available(&mut self, _folder: &Path) -> io::Result<u64> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
