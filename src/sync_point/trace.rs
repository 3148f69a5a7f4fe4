//! The trace that a point once existed: what tells "never started" from "the point is gone".
//!
//! `<shard>.trace` is written once, beside the first point that a node saves, or when a node that stands by learns that
//! another one has saved one, and never removed by fountain. Whoever finds a trace and no point must stop, for starting anew
//! would lose the rows in between.

use crate::code::Code;
use crate::fail_point;
use crate::sync_point::StoreError;
use crate::sync_point::folder::make_folder;
use crate::sync_point::folder::sync_folder;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// One shard's trace in a folder.
#[derive(Debug)]
pub struct PointTrace {
    folder: PathBuf,
    shard: String,
}

impl PointTrace {
    pub fn new(folder: &Path, shard: &str) -> Self {
        Self { folder: folder.to_path_buf(), shard: shard.to_owned() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.trace", self.shard))
    }

    /// Whether it is known here that a point of this shard was ever saved. That it cannot be told is an error, not a no.
    pub fn exists(&self) -> Result<bool, StoreError> {
        self.path().try_exists().map_err(|e| self.failed("cannot be looked for", e))
    }

    /// Leaves the trace, durably, if there is none yet. `saved_ms`: milliseconds since 1970.
    pub fn leave(&self, saved_ms: u64) -> Result<(), StoreError> {
        if self.exists()? {
            return Ok(());
        }
        let text = format!(
            "Points of shard {} are known since {saved_ms} (milliseconds since 1970).\n\
             As long as this file is here, fountain does not start this shard without its point.\n",
            self.shard
        );
        let write = || -> io::Result<()> {
            fail_point::reach("trace.create")?;
            let mut file = File::create(self.path())?;
            fail_point::write("trace.write", text.as_bytes(), |bytes| file.write_all(bytes))?;
            fail_point::reach("trace.flush")?;
            file.sync_all()?;
            sync_folder(&self.folder)
        };
        write().map_err(|e| self.failed("cannot be written", e))
    }

    /// The same on a node that has never saved a point: its folder may be missing.
    pub fn learn(&self, seen_ms: u64) -> Result<(), StoreError> {
        make_folder(&self.folder, 0o700)?;
        self.leave(seen_ms)
    }

    fn failed(&self, what: &str, error: io::Error) -> StoreError {
        StoreError::new(Code::PointStore, format!("{}: {what}: {error}", self.path().display()))
    }
}
