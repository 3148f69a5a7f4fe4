//! Reading a sidecar: one header line per pack, in the order in which the packs' bytes stand in the data file.

use crate::pack::header::PackHeader;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;

/// The longest header line that is written and read. A header is as long as its point's GTID set.
pub const MAX_LINE: usize = 16 << 20;

/// How much of a sidecar's end is read for its last line, where that suffices.
const END: u64 = 256 << 10;

/// The header in the last whole line; none in an empty sidecar, or where that line is no header.
pub fn last_header(path: &Path) -> io::Result<Option<PackHeader>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    for reach in [END, MAX_LINE as u64 * 2] {
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(reach)))?;
        file.by_ref().take(reach).read_to_end(&mut end)?;
        let Some(line_end) = end.iter().rposition(|byte| *byte == b'\n') else { continue };
        let lines = end.get(..line_end).unwrap_or_default();
        let begin = lines.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        // Without a line end in front of it, it may be the rest of a line.
        let Some(begin) = begin.or((length <= reach).then_some(0)) else { continue };
        return Ok(lines.get(begin..).and_then(|line| PackHeader::from_line(line).ok()));
    }
    Ok(None)
}

/// Reads one sidecar from its start.
#[derive(Debug)]
pub struct SidecarReader {
    lines: BufReader<File>,
    line: Vec<u8>,
    offset: u64,
    number: u64,
}

/// One line of a sidecar.
#[derive(Debug)]
pub enum SidecarLine {
    /// A header as it was written.
    Header(Box<PackHeader>),
    /// A whole line that is none, and why.
    Broken(String),
    /// The last line, without its end.
    Torn,
}

impl SidecarReader {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            lines: BufReader::with_capacity(64 << 10, File::open(path)?),
            line: Vec::new(),
            offset: 0,
            number: 0,
        })
    }

    /// The next line; none at the end.
    pub fn next_line(&mut self) -> io::Result<Option<SidecarLine>> {
        self.line.clear();
        let limit = MAX_LINE as u64 + 1;
        let length = self.lines.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.offset += length as u64;
        let Some(line) = self.line.strip_suffix(b"\n") else {
            if length as u64 == limit {
                let text = format!("line {} has more than {MAX_LINE} bytes", self.number);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            return Ok(Some(SidecarLine::Torn));
        };
        Ok(Some(match PackHeader::from_line(line) {
            Ok(header) => SidecarLine::Header(Box::new(header)),
            Err(why) => SidecarLine::Broken(why),
        }))
    }

    /// Where the line last read ends.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the line last read, from 1.
    pub fn line_number(&self) -> u64 {
        self.number
    }
}
