//! `fountain verify`: proves from the files of the file sink alone that nothing is missing, repeated or changed.
//!
//! ```text
//! Inventory::take ──► ShardFiles::next_header ──► the folder whose (epoch, sequence) is lowest
//!                     ShardFiles::check_pack  ──► CRC-32, lines            lines::check_lines
//!                     Chain::accept           ──► from pack to pack
//! ```
//!
//! One pack is in memory at a time.

mod chain;
mod files;
mod inventory;
mod lines;
mod progress;
pub mod report;

#[cfg(test)]
mod tests;

use crate::code::Code;
use crate::pack::header::PackHeader;
use crate::verify::chain::Chain;
use crate::verify::files::ShardFiles;
use crate::verify::inventory::Inventory;
use crate::verify::progress::ProgressBar;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Form;
use crate::verify::report::Report;
use crate::verify::report::ShardSummary;
use std::collections::BTreeSet;
use std::io;
use std::io::Write;
use std::path::PathBuf;

/// What to verify.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Several are read as one, by (epoch, sequence): those of the nodes of a deployment.
    pub folders: Vec<PathBuf>,
    /// None: all that the folders hold.
    pub shard: Option<String>,
    pub form: Form,
}

/// Verifies and tells. Whether there was no fault; an error is one of writing the report.
pub fn verify(options: &VerifyOptions, out: &mut dyn Write) -> io::Result<bool> {
    let mut report = Report::new(out, options.form);
    let inventories = take_inventories(&options.folders, &mut report);
    let mut shards: BTreeSet<String> = inventories.iter().flat_map(Inventory::shards).collect();
    if let Some(only) = &options.shard {
        shards.retain(|shard| shard == only);
    }
    if shards.is_empty() {
        let folders: Vec<String> =
            options.folders.iter().map(|folder| folder.display().to_string()).collect();
        let whose = options.shard.as_ref().map(|shard| format!(" of shard {shard}")).unwrap_or_default();
        let text = format!("no file{whose} of the file sink is here: nothing is proven");
        let at = At { file: folders.join(" "), line: None, offset: None };
        report.tell(Finding::fault(at, text).coded(Code::FileError));
    }
    let mut progress = ProgressBar::new(inventories.iter().map(Inventory::data_bytes).sum());
    for shard in &shards {
        report.begin_shard(shard);
        let summary = verify_shard(&inventories, shard, &mut report, &mut progress);
        progress.clear();
        report.end_shard(summary);
    }
    let (bytes, took) = (progress.done(), progress.elapsed());
    report.finish(shards.len(), bytes, took)
}

fn take_inventories(folders: &[PathBuf], report: &mut Report<'_>) -> Vec<Inventory> {
    let mut inventories = Vec::new();
    for folder in folders {
        let taken = Inventory::take(folder).and_then(|inventory| {
            inventory.tell_foreign(report)?;
            Ok(inventory)
        });
        match taken {
            Ok(inventory) => inventories.push(inventory),
            Err(error) => {
                let text = format!("the folder cannot be read: {error}");
                report.tell(Finding::fault(At::file(folder), text).coded(Code::FileError));
            }
        }
    }
    inventories
}

/// One folder and the header that comes next there.
struct Source {
    files: ShardFiles,
    next: Option<PackHeader>,
    folder: PathBuf,
}

impl Source {
    fn advance(&mut self, report: &mut Report<'_>) {
        let next = self.files.next_header(report);
        self.next = self.or_fault(next, report).flatten();
    }

    /// A file that cannot be read ends its folder.
    fn or_fault<T>(&self, result: io::Result<T>, report: &mut Report<'_>) -> Option<T> {
        result
            .inspect_err(|error| {
                let text =
                    format!("a file cannot be read, nothing more of this folder is looked at: {error}");
                report.tell(Finding::fault(At::file(&self.folder), text).coded(Code::FileError));
            })
            .ok()
    }
}

fn verify_shard(
    inventories: &[Inventory],
    shard: &str,
    report: &mut Report<'_>,
    progress: &mut ProgressBar,
) -> ShardSummary {
    let mut chain = Chain::new(shard, inventories.len());
    let mut sources: Vec<Source> = Vec::new();
    for inventory in inventories {
        let files = ShardFiles::new(inventory, shard);
        sources.push(Source { files, next: None, folder: inventory.folder.clone() });
    }
    let before = report.faults();
    sources.iter_mut().for_each(|source| source.advance(report));
    if report.faults() > before {
        chain.interrupted();
    }
    while let Some((folder, source, header)) = lowest(&mut sources) {
        let faults = report.faults();
        progress.read(header.bytes);
        let checked = source.files.check_pack(header, report);
        let pack = source.or_fault(checked, report);
        let over = pack.is_none();
        if report.faults() > faults {
            chain.interrupted();
        }
        if let Some(pack) = pack.flatten() {
            chain.accept(pack, folder, report);
        }
        let faults = report.faults();
        if !over {
            source.advance(report);
        }
        if report.faults() > faults {
            chain.interrupted();
        }
    }
    chain.summary.files = sources.iter().map(|source| source.files.count).sum();
    chain.summary
}

/// Takes the header that comes next over all folders.
fn lowest(sources: &mut [Source]) -> Option<(usize, &mut Source, PackHeader)> {
    let key = |source: &Source| source.next.as_ref().map(|header| (header.epoch, header.sequence));
    let with_next = sources.iter_mut().enumerate().filter(|(_, source)| source.next.is_some());
    let (folder, source) = with_next.min_by_key(|(_, source)| key(source))?;
    let header = source.next.take()?;
    Some((folder, source, header))
}
