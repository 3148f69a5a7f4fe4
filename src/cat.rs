//! `fountain cat`: binlog files to row lines on stdout, without a server.

mod places;

use crate::binlog::BinlogFile;
use crate::binlog::ChecksumAlgorithm;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::change::assembler::Assembler;
use crate::change::assembler::AssemblerOptions;
use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::batch::Place;
use crate::change::error::ChangeError;
use crate::cli::Failure;
use crate::code::Code;
use crate::pack::builder::BuildError;
use crate::pack::builder::FinishedPack;
use crate::pack::builder::Frontier;
use crate::pack::builder::GapReport;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackOutput;
use crate::pack::builder::PackRules;
use crate::pack::json::JsonOptions;
use crate::pack::lines::LineWriter;
use crate::pipeline::definitions::KnownDefinitions;
use places::Places;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

/// Lines are written in pieces of this size.
const PIECE: usize = 2 << 20;

/// What decides about the lines besides the files.
pub struct CatOptions {
    pub assembler: AssemblerOptions,
    pub json: JsonOptions,
    pub transaction_lines: bool,
    pub definitions: KnownDefinitions,
}

/// Decodes the files in their order; a transaction may not span two of them.
pub fn run(options: CatOptions, files: &[PathBuf], out: impl Write) -> Result<(), Failure> {
    let rules = PackRules {
        max_bytes: PIECE,
        max_lines: u64::MAX,
        transaction_lines: options.transaction_lines,
        gap_lines: false,
        hold: None,
    };
    let max_event_bytes = options.assembler.max_event_bytes;
    let frontier = Frontier {
        place: Place { file: "".into(), pos: 0 },
        file_created: 0,
        executed: None,
        set_ahead: false,
        pending_xa: Vec::new(),
        ts_ms: 0,
    };
    let mut cat = Cat {
        assembler: Assembler::new(options.assembler, options.definitions, ""),
        batch: Batch::default(),
        printer: Printer {
            builder: PackBuilder::new(LineWriter::new(options.json, None), rules, frontier, None, None),
            out: Out(out),
            failure: None,
        },
    };
    let mut outcome = Ok(());
    for path in files {
        outcome = cat.file(path, max_event_bytes);
        if outcome.is_err() {
            break;
        }
    }
    // Whatever went wrong, the rows before it are printed.
    let unfinished = cat.finish();
    outcome?;
    let unfinished = unfinished?;
    let prepared = cat.assembler.prepared_xa();
    if !prepared.is_empty() {
        log::warn!(
            "{}: XA transactions are prepared in these files, and neither committed nor rolled back; their rows are not printed: \
             {}",
            Code::RowsLeftOut,
            prepared.join(", ")
        );
    }
    if unfinished {
        log::warn!(
            "{}: {}: the last transaction has no end in this file; its rows are printed",
            Code::Truncated,
            files.last().map_or(Path::new("").display(), |path| path.display())
        );
    }
    Ok(())
}

struct Cat<W> {
    assembler: Assembler<KnownDefinitions>,
    batch: Batch,
    printer: Printer<W>,
}

impl<W: Write> Cat<W> {
    fn file(&mut self, path: &Path, max_event_bytes: u64) -> Result<(), Failure> {
        let failed = |error: crate::binlog::BinlogError| Failure::failed(error.code(), error);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let mut file = BinlogFile::open(path).map_err(failed)?.with_max_event_bytes(max_event_bytes);
        let mut decoder = Decoder::new(ChecksumAlgorithm::Off);
        let mut places = Places::default();
        self.assembler.begin_file(&name);
        while let Some((start, bytes)) = file.next_event().map_err(failed)? {
            let decoded = decoder.decode(bytes).map_err(ChangeError::from);
            let rotated = decoded.as_ref().is_ok_and(|event| matches!(event.1, Event::Rotate(_)));
            let taken = decoded.and_then(|event| {
                let span = places.place(&event.0, &event.1, start);
                if places.is_relay_log() {
                    self.assembler.in_relay_log();
                }
                self.assembler.accept(&mut decoder, event, span, &mut self.batch, &mut self.printer)
            });
            // Behind a rotate stands nothing, unless another file was appended: that is read as part of this one.
            if rotated && !places.is_relay_log() {
                self.assembler.begin_file(&name);
            }
            let printed = match self.batch.is_full() || taken.is_err() {
                true => self.printer.hand_over(&mut self.batch),
                false => Ok(()),
            };
            if let Err(error) = printed.and(taken) {
                let text = format!("{}:{start}: {error}", path.display());
                return Err(self.printer.failure.take().unwrap_or_else(|| Failure::failed(error.code, text)));
            }
        }
        Ok(())
    }

    /// Prints what is left; true when a transaction has not ended.
    fn finish(&mut self) -> Result<bool, Failure> {
        let printed = self.printer.hand_over(&mut self.batch);
        let flushed = self.printer.flush();
        if let Some(failure) = self.printer.failure.take() {
            return Err(failure);
        }
        printed.map_err(|error| Failure::failed(error.code, &error))?;
        flushed
    }
}

struct Printer<W> {
    builder: PackBuilder,
    out: Out<W>,
    /// What `hand_over` cannot say in its own error.
    failure: Option<Failure>,
}

impl<W: Write> Printer<W> {
    fn flush(&mut self) -> Result<bool, Failure> {
        let unfinished = self.builder.flush_unfinished(&mut self.out).map_err(build_failure)?;
        self.out.0.flush().map_err(write_failure)?;
        Ok(unfinished)
    }
}

impl<W: Write> HandOver for Printer<W> {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), ChangeError> {
        let outcome = self.builder.accept(batch, &mut self.out);
        batch.clear();
        outcome.map_err(|error| {
            let failure = build_failure(error);
            let told = ChangeError::new(Code::SinkFailed, failure.to_string());
            self.failure = Some(failure);
            told
        })
    }
}

struct Out<W>(W);

impl<W: Write> PackOutput for Out<W> {
    type Error = io::Error;

    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), io::Error> {
        self.0.write_all(pack.rows)
    }

    /// A file is read once, whole: nothing is left out.
    fn record_gap(&mut self, _gap: &GapReport) -> Result<(), io::Error> {
        Ok(())
    }
}

fn build_failure(error: BuildError<io::Error>) -> Failure {
    match error {
        BuildError::Row(bad) => Failure::failed(bad.code(), bad),
        BuildError::Output(error) => write_failure(error),
        BuildError::Refused(refusal) => Failure::failed(refusal.code, refusal),
        BuildError::Changed(_) => {
            Failure::failed(Code::Internal, "a file is never resumed inside a transaction")
        }
    }
}

fn write_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::failed(Code::SinkFailed, "the reader of stdout went away"),
        _ => Failure::failed(Code::SinkFailed, format!("stdout: {error}")),
    }
}
