//! Writes one data file and its sidecar, pack by pack, so that a failed write leaves no trace.
//!
//! A pack is durable once its rows and its header line are both flushed. Until then the lengths before it are what
//! counts: after any failure both files are cut back to them before anything else is written. A file is closed by one
//! rename, and everything that could not be finished is finished first when the next call comes.

use crate::code::Code;
use crate::sink::SinkError;
use crate::sink::file::disk::Disk;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Kind;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

/// One shard's files in a folder; at most one of them is open.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed,
    Open(OpenFile),
    /// A write failed: what lies behind `whole` has to go.
    Torn {
        name: FileName,
        whole: Lengths,
    },
    /// The file is complete and does not have its final name for certain yet.
    Closing(FileName),
}

#[derive(Debug)]
struct OpenFile {
    name: FileName,
    data: File,
    sidecar: File,
    /// Up to here everything is durable.
    whole: Lengths,
}

/// Bytes of a data file and of its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lengths {
    pub data: u64,
    pub sidecar: u64,
}

impl Writer {
    pub fn new(folder: &Path, disk: Box<dyn Disk>) -> Self {
        Self { folder: folder.to_path_buf(), disk, state: State::Closed }
    }

    pub fn disk(&mut self) -> &mut dyn Disk {
        &mut *self.disk
    }

    /// The file that is being written, and how much of it is whole.
    pub fn open_file(&self) -> Option<(&FileName, Lengths)> {
        match &self.state {
            State::Open(open) => Some((&open.name, open.whole)),
            State::Closed | State::Torn { .. } | State::Closing(_) => None,
        }
    }

    /// Finishes what an earlier call could not. After it a file is open or none is.
    pub fn settle(&mut self) -> Result<(), SinkError> {
        match &self.state {
            State::Closed | State::Open(_) => Ok(()),
            State::Torn { name, whole } => {
                let (name, whole) = (name.clone(), *whole);
                self.state = self.cut_back(name, whole)?;
                Ok(())
            }
            State::Closing(name) => {
                let name = name.clone();
                self.finish_closing(&name)?;
                self.state = State::Closed;
                Ok(())
            }
        }
    }

    /// Opens a new file. None may be open.
    pub fn create(&mut self, name: FileName) -> Result<(), SinkError> {
        for kind in [Kind::Closed, Kind::Part, Kind::Sidecar] {
            let path = name.path(&self.folder, kind);
            if path.try_exists().map_err(|e| failed(&path, "cannot be looked for", e))? {
                let text = format!("{}: about to be made, and somebody else has made it", path.display());
                return Err(SinkError::fatal(Code::SinkBroken, text));
            }
        }
        // From here on, until both names are durable, there is nothing whole in it.
        self.state = State::Torn { name: name.clone(), whole: Lengths::default() };
        match self.create_both(&name) {
            Ok((data, sidecar)) => {
                self.state = State::Open(OpenFile { name, data, sidecar, whole: Lengths::default() });
                Ok(())
            }
            Err(e) => Err(self.failed_then_settled(&name, "cannot be made", e)),
        }
    }

    fn create_both(&mut self, name: &FileName) -> io::Result<(File, File)> {
        // The sidecar first: rows without a sidecar can then never come from a crash.
        let sidecar = self.disk.create(&name.path(&self.folder, Kind::Sidecar))?;
        let data = self.disk.create(&name.path(&self.folder, Kind::Part))?;
        self.disk.sync_folder(&self.folder)?;
        Ok((data, sidecar))
    }

    /// Appends a pack to the open file and returns when it is durable. `header_line` ends in a line end.
    pub fn append(&mut self, rows: &[u8], header_line: &[u8]) -> Result<(), SinkError> {
        let State::Open(open) = &mut self.state else {
            return Err(SinkError::fatal(Code::Internal, "file sink: no file is open to be written"));
        };
        let (name, whole) = (open.name.clone(), open.whole);
        match open.append(&mut *self.disk, rows, header_line) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(vanished(&name.path(&self.folder, Kind::Part)))
            }
            Err(e) => {
                // After a failed flush nobody knows what is on the disk, so nothing of this pack is kept: the next
                // attempt writes all of it anew.
                self.state = State::Torn { name: name.clone(), whole };
                Err(self.failed_then_settled(&name, "cannot be written", e))
            }
        }
    }

    /// Gives the open file its final name; removes it when there is no pack in it.
    pub fn close(&mut self) -> Result<(), SinkError> {
        self.settle()?;
        if let State::Open(open) = &self.state {
            let name = open.name.clone();
            self.state = match open.whole.data {
                0 => State::Torn { name, whole: Lengths::default() },
                _ => State::Closing(name),
            };
        }
        self.settle()
    }

    fn failed_then_settled(&mut self, name: &FileName, what: &str, error: io::Error) -> SinkError {
        let mut text = format!("{}: {what}: {error}", name.path(&self.folder, Kind::Part).display());
        if let Err(e) = self.settle() {
            text = format!("{text}; nor could its torn end be cut off yet: {e}");
        }
        SinkError::retryable(Code::SinkFailed, text)
    }

    fn cut_back(&mut self, name: FileName, whole: Lengths) -> Result<State, SinkError> {
        let part = name.path(&self.folder, Kind::Part);
        let sidecar = name.path(&self.folder, Kind::Sidecar);
        if whole.data == 0 {
            discard(&mut *self.disk, &self.folder, &name)?;
            return Ok(State::Closed);
        }
        // By their names, not by the old handles: after an I/O error those may be of no more use.
        let data = self.cut_file(&part, whole.data)?;
        let sidecar = self.cut_file(&sidecar, whole.sidecar)?;
        Ok(State::Open(OpenFile { name, data, sidecar, whole }))
    }

    fn cut_file(&mut self, path: &Path, length: u64) -> Result<File, SinkError> {
        let file = self.disk.open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => vanished(path),
            _ => failed(path, "cannot be opened again", e),
        })?;
        let found = file.metadata().map_err(|e| failed(path, "cannot be measured", e))?.len();
        if found < length {
            let text = format!(
                "{}: has {found} bytes, {length} were written and flushed: somebody has cut it while fountain was writing",
                path.display()
            );
            return Err(SinkError::fatal(Code::SinkBroken, text));
        }
        self.disk.set_len(&file, length).map_err(|e| failed(path, "its torn end cannot be cut off", e))?;
        self.disk.sync_data(&file).map_err(|e| failed(path, "cannot be flushed", e))?;
        Ok(file)
    }

    fn finish_closing(&mut self, name: &FileName) -> Result<(), SinkError> {
        let part = name.path(&self.folder, Kind::Part);
        let closed = name.path(&self.folder, Kind::Closed);
        match self.disk.rename(&part, &closed) {
            Ok(()) => {}
            // An earlier attempt came this far.
            Err(e) if e.kind() == io::ErrorKind::NotFound && closed.exists() => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(vanished(&part)),
            Err(e) => return Err(failed(&part, "cannot be renamed", e)),
        }
        self.disk.sync_folder(&self.folder).map_err(|e| failed(&self.folder, "cannot be flushed", e))
    }
}

impl OpenFile {
    fn append(&mut self, disk: &mut dyn Disk, rows: &[u8], header_line: &[u8]) -> io::Result<()> {
        // A removed file would take everything and keep nothing.
        if self.data.metadata()?.nlink() == 0 || self.sidecar.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.append(&mut self.data, rows)?;
        disk.append(&mut self.sidecar, header_line)?;
        disk.sync_data(&self.data)?;
        disk.sync_data(&self.sidecar)?;
        self.whole.data += rows.len() as u64;
        self.whole.sidecar += header_line.len() as u64;
        Ok(())
    }
}

/// Removes a data file that is not closed, and its sidecar, as far as they are there. They are emptied first, so that a
/// crash before both are gone leaves nothing that looks like packs.
pub(super) fn discard(disk: &mut dyn Disk, folder: &Path, name: &FileName) -> Result<(), SinkError> {
    let mut there = Vec::new();
    for kind in [Kind::Part, Kind::Sidecar] {
        let path = name.path(folder, kind);
        match disk.open(&path) {
            Ok(file) => {
                disk.set_len(&file, 0).map_err(|e| failed(&path, "cannot be emptied", e))?;
                disk.sync_data(&file).map_err(|e| failed(&path, "cannot be flushed", e))?;
                there.push(path);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, "cannot be opened", e)),
        }
    }
    for path in there {
        disk.remove(&path).map_err(|e| failed(&path, "cannot be removed", e))?;
    }
    disk.sync_folder(folder).map_err(|e| failed(folder, "cannot be flushed", e))
}

/// A failed step that may work the next time.
pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> SinkError {
    SinkError::retryable(Code::SinkFailed, format!("{}: {what}: {error}", path.display()))
}

fn vanished(path: &Path) -> SinkError {
    broken(
        path,
        "somebody has removed or renamed it (or its other half) while fountain was writing: put both back",
    )
}

/// Files that nobody but a person can have left like this.
pub(super) fn broken(path: &Path, what: &str) -> SinkError {
    SinkError::fatal(Code::SinkBroken, format!("{}: {what}", path.display()))
}
