//! A sidecar read through once: which packs it tells of and where their rows stand.

use crate::pack::header::PackHeader;
use crate::sink::SinkError;
use crate::sink::file::naming::FileName;
use crate::sink::file::sidecar::SidecarLine;
use crate::sink::file::sidecar::SidecarReader;
use crate::sink::file::writer::broken;
use crate::sink::file::writer::failed;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// How many packs at the end of the last file may turn out damaged.
pub(super) const TAIL: usize = 64;

/// A sidecar, read through.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Whole headers, those in `beyond` included.
    pub headers: u64,
    pub first: Option<PackHeader>,
    /// Those whose rows lie inside the data file; the last [`TAIL`] of them.
    pub recent: VecDeque<Whole>,
    /// Whole headers whose rows are not there, or not all.
    pub beyond: u64,
    /// What comes behind the whole headers.
    pub torn: Option<String>,
    /// Bytes of rows that the whole headers tell of.
    pub data_end: u64,
    /// Bytes of the sidecar.
    pub length: u64,
}

/// One pack.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub header: PackHeader,
    /// Ordinal of its line, from 1.
    pub number: u64,
    /// Where its rows end in the data file.
    pub data_end: u64,
    /// Where its line ends.
    pub sidecar_end: u64,
}

/// Reads a sidecar whose data file has `data_length` bytes.
pub(super) fn scan(path: &Path, name: &FileName, data_length: u64) -> Result<Scan, SinkError> {
    let cannot = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData => broken(path, &e.to_string()),
        _ => failed(path, "cannot be read", e),
    };
    let mut reader = SidecarReader::open(path).map_err(cannot)?;
    let mut scan = Scan::default();
    let mut previous: Option<PackHeader> = None;
    while let Some(line) = reader.next_line().map_err(cannot)? {
        let number = reader.line_number();
        scan.length = reader.offset();
        let header = match line {
            SidecarLine::Header(header) => *header,
            SidecarLine::Broken(why) => {
                scan.torn.get_or_insert(format!("line {number}: {why}"));
                continue;
            }
            SidecarLine::Torn => {
                scan.torn.get_or_insert(format!("line {number} has no end"));
                continue;
            }
        };
        if let Some(torn) = &scan.torn {
            return Err(broken(path, &format!("{torn}; and whole headers follow it: restore this sidecar")));
        }
        let placed = belongs(&header, name, previous.as_ref());
        placed.map_err(|why| broken(path, &format!("line {number}: {why}: restore this sidecar")))?;
        scan.note(header.clone(), number, data_length);
        previous = Some(header);
    }
    Ok(scan)
}

impl Scan {
    fn note(&mut self, header: PackHeader, number: u64, data_length: u64) {
        self.headers += 1;
        self.first.get_or_insert_with(|| header.clone());
        self.data_end = self.data_end.saturating_add(header.bytes);
        if self.data_end > data_length {
            self.beyond += 1;
            return;
        }
        if self.recent.len() == TAIL {
            self.recent.pop_front();
        }
        self.recent.push_back(Whole { header, number, data_end: self.data_end, sidecar_end: self.length });
    }
}

fn belongs(header: &PackHeader, name: &FileName, previous: Option<&PackHeader>) -> Result<(), String> {
    if (&header.shard, header.epoch) != (&name.shard, name.epoch) {
        return Err(format!("a pack of shard {} epoch {} in this file", header.shard, header.epoch));
    }
    previous.map_or(Ok(()), |previous| follows(previous, header))
}

/// Whether a pack is the one after another of the same epoch.
pub(super) fn follows(previous: &PackHeader, next: &PackHeader) -> Result<(), String> {
    if next.sequence != previous.sequence.saturating_add(1) {
        return Err(format!(
            "pack {}/{} follows pack {}/{}",
            next.epoch, next.sequence, previous.epoch, previous.sequence
        ));
    }
    if next.previous_crc32 != previous.crc32 {
        return Err(format!(
            "pack {}/{} says that the pack before it has CRC-32 {:08x}, that one says {:08x}",
            next.epoch, next.sequence, next.previous_crc32, previous.crc32
        ));
    }
    Ok(())
}
