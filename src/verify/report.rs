//! What was found, told line by line as it is found: `fault CODE PLACE TEXT: expected …, got …`, or one JSON object each.

use crate::code::Code;
use crate::logging::one_line;
use serde::Serialize;
use std::io;
use std::io::Write;
use std::path::Path;

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The files are not what fountain wrote, or do not follow from each other.
    Fault,
    /// A `gap` line, or a jump that one accounts for: delivery did not simply go on there, and says so.
    Gap,
    /// What a person should know and what is no fault: a torn end after a crash, names that are not ours.
    Note,
}

/// A place in a file, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct At {
    pub file: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Bytes from the file's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl At {
    pub fn file(path: &Path) -> Self {
        Self { file: path.display().to_string(), line: None, offset: None }
    }

    pub fn line(path: &Path, line: u64) -> Self {
        Self { line: Some(line), ..Self::file(path) }
    }

    pub fn with_offset(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    fn to_text(&self) -> String {
        let line = self.line.map(|line| format!(" line {line}")).unwrap_or_default();
        let offset = self.offset.map(|offset| format!(" offset {offset}")).unwrap_or_default();
        format!("{}{line}{offset}", self.file)
    }
}

/// One thing found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    #[serde(rename = "finding")]
    pub level: Level,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "code_word")]
    pub code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    #[serde(flatten)]
    pub at: Option<At>,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
}

fn code_word<S: serde::Serializer>(code: &Option<Code>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.map_or("", Code::as_str))
}

impl Finding {
    /// A fault of the files.
    pub fn fault(at: At, text: impl Into<String>) -> Self {
        Self { code: Some(Code::SinkBroken), ..Self::new(Level::Fault, Some(at), text) }
    }

    pub fn gap(at: At, text: impl Into<String>) -> Self {
        Self::new(Level::Gap, Some(at), text)
    }

    pub fn note(at: At, text: impl Into<String>) -> Self {
        Self::new(Level::Note, Some(at), text)
    }

    fn new(level: Level, at: Option<At>, text: impl Into<String>) -> Self {
        Self { level, code: None, shard: None, at, text: text.into(), expected: None, got: None }
    }

    /// What should be there and what is.
    pub fn but(self, expected: impl ToString, got: impl ToString) -> Self {
        Self { expected: Some(expected.to_string()), got: Some(got.to_string()), ..self }
    }

    pub fn of_shard(self, shard: &str) -> Self {
        Self { shard: Some(shard.to_owned()), ..self }
    }

    /// With another code than the one that faults of files have.
    pub fn coded(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    fn to_text(&self) -> String {
        let word = match self.level {
            Level::Fault => "fault",
            Level::Gap => "gap  ",
            Level::Note => "note ",
        };
        let code = self.code.map(|code| format!(" {code}")).unwrap_or_default();
        let shard = self.shard.as_ref().map(|shard| format!(" shard={shard}")).unwrap_or_default();
        let at = self.at.as_ref().map(|at| format!(" {}:", at.to_text())).unwrap_or_default();
        let difference = match (&self.expected, &self.got) {
            (Some(expected), Some(got)) => format!(": expected {expected}, got {got}"),
            _ => String::new(),
        };
        format!("{word}{code}{shard}{at} {}{difference}", self.text)
    }
}

/// What the files of one shard hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShardSummary {
    pub shard: String,
    pub files: u64,
    pub packs: u64,
    pub rows: u64,
    pub bytes: u64,
    /// 0: there is no pack.
    pub first_seq: u64,
    pub last_seq: u64,
    pub first_epoch: u64,
    pub last_epoch: u64,
    /// The last pack of `last_epoch`.
    pub last_sequence: u64,
    /// `gap` lines and the jumps that they account for.
    pub gaps: u64,
    pub faults: u64,
}

impl ShardSummary {
    fn to_text(&self) -> String {
        let word = if self.faults == 0 { "ok   " } else { "FAULT" };
        let Self { shard, files, packs, rows, bytes, gaps, faults, .. } = self;
        let range = match packs {
            0 => String::new(),
            _ => format!(
                ", seq {} to {}, epochs {} to {}, last pack {}/{}",
                self.first_seq,
                self.last_seq,
                self.first_epoch,
                self.last_epoch,
                self.last_epoch,
                self.last_sequence
            ),
        };
        format!(
            "{word} shard={shard} {packs} packs, {rows} rows, {bytes} bytes in {files} files{range}, {gaps} gaps, {faults} faults"
        )
    }
}

/// Writes findings and counts them.
pub struct Report<'a> {
    out: &'a mut dyn Write,
    form: Form,
    shard: String,
    gaps: u64,
    faults: u64,
    all_faults: u64,
    /// A reader that has gone away ends the writing, not the counting.
    broken: Option<io::Error>,
}

#[derive(Serialize)]
struct JsonShard<'a> {
    finding: &'static str,
    ok: bool,
    #[serde(flatten)]
    summary: &'a ShardSummary,
}

#[derive(Serialize)]
struct JsonTotal {
    finding: &'static str,
    shards: usize,
    faults: u64,
    bytes: u64,
    ms: u128,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write, form: Form) -> Self {
        Self { out, form, shard: String::new(), gaps: 0, faults: 0, all_faults: 0, broken: None }
    }

    /// What follows is about this shard.
    pub fn begin_shard(&mut self, shard: &str) {
        shard.clone_into(&mut self.shard);
        (self.gaps, self.faults) = (0, 0);
    }

    pub fn tell(&mut self, finding: Finding) {
        match finding.level {
            Level::Fault => {
                self.faults += 1;
                self.all_faults += 1;
            }
            Level::Gap => self.gaps += 1,
            Level::Note => {}
        }
        let named = finding.shard.is_some() || self.shard.is_empty();
        let finding = if named { finding } else { finding.of_shard(&self.shard) };
        match self.form {
            Form::Text => self.write(finding.to_text()),
            Form::Json => self.write_json(&finding),
        }
    }

    /// Faults of the shard so far.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    pub fn end_shard(&mut self, mut summary: ShardSummary) {
        (summary.gaps, summary.faults) = (self.gaps, self.faults);
        match self.form {
            Form::Text => self.write(summary.to_text()),
            Form::Json => {
                self.write_json(&JsonShard { finding: "shard", ok: summary.faults == 0, summary: &summary });
            }
        }
        self.shard.clear();
    }

    /// The last line. Whether there was no fault, or what became of the writing.
    pub fn finish(mut self, shards: usize, bytes: u64, took: std::time::Duration) -> io::Result<bool> {
        let faults = self.all_faults;
        let word = if faults == 0 { "ok   " } else { "FAULT" };
        match self.form {
            Form::Text => self.write(format!(
                "{word} {shards} shards, {faults} faults; {:.1} MB in {:.1} s, {:.0} MB/s",
                bytes as f64 / 1e6,
                took.as_secs_f64(),
                bytes as f64 / 1e6 / took.as_secs_f64().max(1e-3),
            )),
            Form::Json => {
                let ms = took.as_millis();
                self.write_json(&JsonTotal { finding: "summary", shards, faults, bytes, ms });
            }
        }
        self.broken.map_or(Ok(faults == 0), Err)
    }

    fn write_json(&mut self, object: &impl Serialize) {
        match serde_json::to_string(object) {
            Ok(line) => self.write(line),
            Err(error) => self.broken = Some(error.into()),
        }
    }

    fn write(&mut self, line: String) {
        if self.broken.is_none() {
            let written = writeln!(self.out, "{}", one_line(line)).and_then(|()| self.out.flush());
            self.broken = written.err();
        }
    }
}
