//! `fountain verify`: proves from the files of the file sink alone that nothing is missing, repeated or changed.
//!
//! ```text
//! Inventory::take ──► ShardFiles::next_header ──► the folder whose (epoch, sequence) is lowest
//!                     ShardFiles::check_pack  ──► CRC-32, lines            lines::check_lines
//!                     Chain::accept           ──► from pack to pack, of those that count (counted)
//! ```
//!
//! One pack is in memory at a time. Whether the files are also what the servers' tables say is [`against`]'s business.

pub mod against;
mod chain;
mod counted;
mod files;
mod inventory;
mod lines;
mod progress;
pub mod report;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod nodes_tests;
#[cfg(test)]
mod tests;

use crate::code::Code;
use crate::config::Config;
use crate::pack::header::PackHeader;
use crate::sink::file::naming::FileName;
use crate::verify::against::AgainstOptions;
use crate::verify::against::Sampler;
use crate::verify::chain::Chain;
use crate::verify::counted::Counted;
use crate::verify::files::ShardFiles;
use crate::verify::inventory::Inventory;
use crate::verify::progress::ProgressBar;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Form;
use crate::verify::report::Report;
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
    /// Also compare with the servers' rows.
    pub against: Option<AgainstOptions>,
}

/// Verifies and tells. Whether there was no fault; an error is one of writing the report. `config` names the servers to
/// compare with.
pub fn verify(options: &VerifyOptions, config: Option<&Config>, out: &mut dyn Write) -> io::Result<bool> {
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
        let mut sampler = options.against.map(|against| Sampler::new(against.sample, against.seed));
        let chain = verify_shard(&inventories, shard, &mut report, &mut progress, sampler.as_mut());
        progress.clear();
        if let (Some(sampler), Some(config), Some(last)) = (&mut sampler, config, chain.last()) {
            let mut tail = Tail::new(&options.folders, shard, &last.header, &last.file);
            against::compare(config, shard, sampler, &last.header, &mut report, |sampler| tail.read(sampler));
        }
        report.end_shard(chain.summary);
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
    mut sampler: Option<&mut Sampler>,
) -> Chain {
    let mut chain = Chain::new(shard, inventories.len(), Counted::of(inventories, shard));
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
        let checked = source.files.check_pack(header, chain.linked(), report);
        let pack = source.or_fault(checked, report);
        let over = pack.is_none();
        if report.faults() > faults {
            chain.interrupted();
        }
        if let Some(pack) = pack.flatten() {
            let is_new = chain.accept(pack, folder, report);
            if let Some(sampler) = sampler.as_mut().filter(|_| is_new) {
                sampler.take(source.files.rows());
            }
        }
        let faults = report.faults();
        if !over {
            source.advance(report);
        }
        if source.files.take_removed() || report.faults() > faults {
            chain.interrupted();
        }
    }
    chain.tell_passed_over(report);
    chain.summary.files = sources.iter().map(|source| source.files.count).sum();
    chain
}

/// What comes to a shard's files after they have been verified.
struct Tail {
    folders: Vec<PathBuf>,
    shard: String,
    last: PackHeader,
    file: FileName,
}

impl Tail {
    fn new(folders: &[PathBuf], shard: &str, last: &PackHeader, file: &FileName) -> Self {
        Self { folders: folders.to_vec(), shard: shard.to_owned(), last: last.clone(), file: file.clone() }
    }

    /// Hands over the packs that have come since. The last one of all, and whether a run is writing. What is wrong with
    /// new packs the next verification tells.
    fn read(&mut self, sampler: &mut Sampler) -> (Option<PackHeader>, bool) {
        let mut is_written = false;
        for folder in self.folders.clone() {
            let Ok(inventory) = Inventory::take(&folder) else { continue };
            is_written |= inventory.is_written(&self.shard);
            // An error leaves the files where they are: the next call tries again.
            drop(self.read_folder(&inventory, sampler));
        }
        (Some(self.last.clone()), is_written)
    }

    fn read_folder(&mut self, inventory: &Inventory, sampler: &mut Sampler) -> io::Result<()> {
        let mut silent = io::sink();
        let mut report = Report::new(&mut silent, Form::Text);
        let mut files = ShardFiles::new(inventory, &self.shard);
        let mut next = files.skip_to(&self.last, &self.file, &mut report)?;
        while let Some(header) = next {
            let Some(pack) = files.check_pack(header, None, &mut report)? else { return Ok(()) };
            sampler.take(files.rows());
            (self.last, self.file) = (pack.header, pack.file);
            next = files.next_header(&mut report)?;
        }
        Ok(())
    }
}

/// Takes the header that comes next over all folders.
fn lowest(sources: &mut [Source]) -> Option<(usize, &mut Source, PackHeader)> {
    let key = |source: &Source| source.next.as_ref().map(|header| (header.epoch, header.sequence));
    let with_next = sources.iter_mut().enumerate().filter(|(_, source)| source.next.is_some());
    let (folder, source) = with_next.min_by_key(|(_, source)| key(source))?;
    let header = source.next.take()?;
    Some((folder, source, header))
}
