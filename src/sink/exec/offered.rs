//! A pack on its way to the consumer.

use crate::code::Code;
use crate::pack::header::PackHeader;
use crate::sink::SinkError;
use crate::sink::exec::protocol::pack_line;
use std::time::Instant;

/// The pack that the consumer is being given.
#[derive(Debug)]
pub struct Offered {
    pub header: PackHeader,
    line: Vec<u8>,
    /// Bytes that its pipe has taken, of the line and then of the rows.
    pub written: usize,
    /// When it last took some.
    pub moved: Instant,
    /// It has closed its standard input.
    pub deaf: bool,
    /// It does not want the pack, for this reason.
    pub rejected: Option<String>,
}

impl Offered {
    pub fn new(header: &PackHeader) -> Result<Self, SinkError> {
        let internal = |why: String| SinkError::fatal(Code::Internal, format!("exec: a header {why}"));
        let line = pack_line(header).map_err(internal)?;
        Ok(Self {
            header: header.clone(),
            line,
            written: 0,
            moved: Instant::now(),
            deaf: false,
            rejected: None,
        })
    }

    /// What its pipe has not taken yet, of the line or else of the rows.
    pub fn rest<'a>(&'a self, rows: &'a [u8]) -> &'a [u8] {
        match self.line.get(self.written..).filter(|rest| !rest.is_empty()) {
            Some(rest) => rest,
            None => rows.get(self.written.saturating_sub(self.line.len())..).unwrap_or(&[]),
        }
    }

    pub fn is_whole(&self, rows: &[u8]) -> bool {
        self.written >= self.line.len() + rows.len()
    }

    pub fn name(&self) -> String {
        format!("pack {}/{}", self.header.epoch, self.header.sequence)
    }

    pub fn progress(&self, rows: &[u8]) -> String {
        format!("{} of the {} bytes of {}", self.written, self.line.len() + rows.len(), self.name())
    }
}
