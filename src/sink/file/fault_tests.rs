//! Every single step on the disk made to fail, or to be the last one before the process dies.

use super::tests::SHARD;
use super::tests::config;
use super::tests::deliver;
use super::tests::rows_in;
use super::*;
use crate::sink::testing::in_packs;
use crate::sink::testing::lines;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

/// What has happened already when a step reports its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Nothing,
    Half,
    All,
}

#[derive(Debug)]
struct Plan {
    step: usize,
    fail_at: usize,
    fail_count: usize,
    extent: Extent,
    log: Vec<&'static str>,
}

/// Fails the steps from `fail_at` on, `fail_count` of them.
#[derive(Debug, Clone)]
pub(super) struct FaultyDisk(Arc<Mutex<Plan>>);

impl FaultyDisk {
    pub(super) fn new(fail_at: usize, fail_count: usize, extent: Extent) -> Self {
        Self(Arc::new(Mutex::new(Plan { step: 0, fail_at, fail_count, extent, log: Vec::new() })))
    }

    /// Runs a step, or the half of it that happens before it fails.
    fn step<T>(
        &self,
        name: &'static str,
        all: impl FnOnce() -> io::Result<T>,
        half: impl FnOnce(),
    ) -> io::Result<T> {
        let mut plan = self.0.lock().unwrap();
        let failing = (plan.fail_at..plan.fail_at.saturating_add(plan.fail_count)).contains(&plan.step);
        plan.step += 1;
        plan.log.push(name);
        if !failing {
            return all();
        }
        match plan.extent {
            Extent::Nothing => {}
            Extent::Half => half(),
            Extent::All => drop(all()),
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    pub(super) fn heal(&self) {
        self.0.lock().unwrap().fail_count = 0;
    }

    /// The steps since the last call.
    pub(super) fn steps(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }

    /// Whether the failure was reached.
    pub(super) fn reached(&self) -> bool {
        let plan = self.0.lock().unwrap();
        plan.step > plan.fail_at
    }
}

impl Disk for FaultyDisk {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.step("create", || RealDisk.create(path), || {})
    }
    fn open(&mut self, path: &Path) -> io::Result<File> {
        self.step("open", || RealDisk.open(path), || {})
    }
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let half = || RealDisk.append(&mut file.try_clone().unwrap(), &bytes[..bytes.len() / 2]).unwrap();
        self.step("append", || RealDisk.append(&mut file.try_clone().unwrap(), bytes), half)
    }
    fn set_len(&mut self, file: &File, length: u64) -> io::Result<()> {
        self.step("cut", || RealDisk.set_len(file, length), || {})
    }
    fn sync_data(&mut self, _file: &File) -> io::Result<()> {
        self.step("flush", || Ok(()), || {})
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", || RealDisk.rename(from, to), || {})
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.step("remove", || RealDisk.remove(path), || {})
    }
    fn sync_folder(&mut self, _folder: &Path) -> io::Result<()> {
        self.step("flush names", || Ok(()), || {})
    }
    fn available(&mut self, folder: &Path) -> io::Result<u64> {
        self.step("available", || RealDisk.available(folder), || {})
    }
}

pub(super) fn all_rows() -> Vec<Vec<u8>> {
    (0..7).map(|index| lines(index, 1 + index % 3)).collect()
}

/// About two packs a file.
pub(super) fn small_files(dir: &Path) -> FileSinkConfig {
    FileSinkConfig { rotate_bytes: 1100, min_free_bytes: 1, ..config(dir) }
}

/// Tries until it works, as the pipeline does. Every failure on the way must be one that may pass.
pub(super) fn persist(mut attempt: impl FnMut() -> Result<(), SinkError>, what: &str) {
    for _ in 0..40 {
        match attempt() {
            Ok(()) => return,
            Err(error) => assert!(error.is_retryable(), "{what}: {error}"),
        }
    }
    panic!("{what}: never worked");
}

/// A leftover that recovery has to deal with, so that its steps are among those that fail.
fn torn_folder() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    let packs = in_packs(SHARD, 1, 0, all_rows());
    deliver(&mut sink, &packs[..2]).unwrap();
    sink.rotate().unwrap();
    deliver(&mut sink, &packs[2..3]).unwrap();
    drop(sink);
    let part = temp.path().join("producer00-00000001-00000002.jsonl.part");
    let file = File::options().write(true).open(part).unwrap();
    file.set_len(5).unwrap();
    temp
}

fn run_with_failures(fail_at: usize, fail_count: usize, extent: Extent) -> bool {
    let what = format!("{fail_count} failures from step {fail_at}, {extent:?} done");
    let temp = torn_folder();
    let disk = FaultyDisk::new(fail_at, fail_count, extent);
    let mut sink = FileSink::open_on(small_files(temp.path()), SHARD, Box::new(disk.clone())).unwrap();
    let mut standing = None;
    let mut stand = || {
        standing = sink.standing()?;
        Ok(())
    };
    persist(&mut stand, &what);
    let standing = standing.unwrap();
    assert_eq!(standing.sequence, 2, "{what}");
    persist(|| sink.begin_epoch(2), &what);
    let packs = in_packs(SHARD, 2, standing.crc32, all_rows().split_off(2));
    for (index, (header, rows)) in packs.iter().enumerate() {
        persist(|| sink.deliver(&Pack { header, rows }), &what);
        assert_eq!(rows_in(temp.path()), all_rows()[..index + 3].concat(), "{what}");
        if index == 2 {
            persist(|| sink.rotate(), &what);
        }
        persist(|| sink.tick(Instant::now()), &what);
    }
    persist(|| sink.close(), &what);
    drop(sink);
    assert_eq!(rows_in(temp.path()), all_rows().concat(), "{what}");
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    assert_eq!(sink.standing(), Ok(Some(packs.last().unwrap().0.clone())), "{what}");
    disk.reached()
}

#[test]
fn any_failing_step_is_outlived_and_leaves_the_same_rows() {
    for extent in [Extent::Nothing, Extent::Half, Extent::All] {
        for fail_count in [1, 2, 3, 10] {
            let steps = (0..).take_while(|step| run_with_failures(*step, fail_count, extent)).count();
            assert!(steps > 40, "only {steps} steps");
        }
    }
}

/// A process that dies at a step, and another one that takes up where it stood. Returns false when all was done before.
fn die_at(step: usize, extent: Extent) -> bool {
    let what = format!("death at step {step}, {extent:?} done");
    let temp = torn_folder();
    let disk = FaultyDisk::new(step, usize::MAX, extent);
    let mut acknowledged = 2;
    let mut sink = FileSink::open_on(small_files(temp.path()), SHARD, Box::new(disk.clone())).unwrap();
    if let Ok(standing) = sink.standing()
        && sink.begin_epoch(2).is_ok()
    {
        let packs = in_packs(SHARD, 2, standing.unwrap().crc32, all_rows().split_off(2));
        for pack in &packs {
            if deliver(&mut sink, std::slice::from_ref(pack)).is_err() {
                break;
            }
            acknowledged += 1;
        }
        drop(sink.close());
    }
    drop(sink);
    disk.heal();

    let mut sink = FileSink::open(small_files(temp.path()), SHARD).unwrap();
    let standing = sink.standing().unwrap_or_else(|e| panic!("{what}: {e}")).unwrap();
    let stands = standing.sequence as usize + if standing.epoch == 2 { 2 } else { 0 };
    assert!(stands >= acknowledged, "{what}: {acknowledged} packs acknowledged, {stands} there");
    assert!(stands <= acknowledged + 1, "{what}: {acknowledged} packs acknowledged, {stands} there");
    sink.begin_epoch(3).unwrap();
    deliver(&mut sink, &in_packs(SHARD, 3, standing.crc32, all_rows().split_off(stands))).unwrap();
    sink.close().unwrap();
    assert_eq!(rows_in(temp.path()), all_rows().concat(), "{what}");
    disk.reached()
}

#[test]
fn a_death_at_any_step_is_outlived_by_the_next_process() {
    for extent in [Extent::Nothing, Extent::Half, Extent::All] {
        let steps = (0..).take_while(|step| die_at(*step, extent)).count();
        assert!(steps > 40, "only {steps} steps");
    }
}

/// A folder with five packs, two of which the disk has lost.
fn lost_tail() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    let rows = all_rows();
    deliver(&mut sink, &in_packs(SHARD, 1, 0, rows.clone())[..5]).unwrap();
    drop(sink);
    let part = temp.path().join("producer00-00000001-00000001.jsonl.part");
    let kept: usize = rows[..3].iter().map(Vec::len).sum();
    File::options().write(true).open(part).unwrap().set_len(kept as u64 + 3).unwrap();
    temp
}

/// Dies at a step of the recovery. Returns false when all was done before.
fn die_behind_a_lost_tail(step: usize, extent: Extent) -> bool {
    let what = format!("death at step {step}, {extent:?} done");
    let temp = lost_tail();
    let disk = FaultyDisk::new(step, usize::MAX, extent);
    let mut sink = FileSink::open_on(config(temp.path()), SHARD, Box::new(disk.clone())).unwrap();
    let recovered = sink.standing().is_ok();
    drop(sink);

    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    assert_eq!(sink.look().unwrap().1, 2, "{what}");
    assert_eq!(sink.standing().unwrap().map(|pack| pack.sequence), Some(3), "{what}");
    assert_eq!(sink.packs_cut_off(), 2, "{what}");
    sink.begin_epoch(2).unwrap();
    drop(sink);
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    sink.standing().unwrap();
    assert_eq!(sink.packs_cut_off(), 0, "{what}: an epoch has begun");
    let left = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(left.filter(|path| path.extension().is_some_and(|end| end == "lost")).count(), 0, "{what}");
    !recovered
}

#[test]
fn lost_packs_are_told_until_an_epoch_begins_wherever_the_recovery_dies() {
    for extent in [Extent::Nothing, Extent::Half, Extent::All] {
        let steps = (0..).take_while(|step| die_behind_a_lost_tail(*step, extent)).count();
        assert!(steps > 10, "only {steps} steps");
    }
}

#[test]
fn nothing_is_acknowledged_or_stood_upon_before_it_is_flushed() {
    let temp = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(0, 0, Extent::Nothing);
    let open = || FileSink::open_on(config(temp.path()), SHARD, Box::new(disk.clone())).unwrap();
    let mut sink = open();
    sink.begin_epoch(1).unwrap();
    assert_eq!(disk.steps(), [""; 0]);
    let packs = in_packs(SHARD, 1, 0, all_rows());
    deliver(&mut sink, &packs[..1]).unwrap();
    assert_eq!(
        disk.steps(),
        ["create", "create", "flush names", "append", "append", "flush", "flush"],
        "the first pack of a file"
    );
    deliver(&mut sink, &packs[1..2]).unwrap();
    assert_eq!(disk.steps(), ["append", "append", "flush", "flush"], "a pack");
    sink.rotate().unwrap();
    assert_eq!(disk.steps(), ["rename", "flush names"]);
    deliver(&mut sink, &packs[2..3]).unwrap();
    disk.steps();
    drop(sink);
    open().standing().unwrap();
    let recovery = ["open", "open", "flush", "flush", "rename", "flush names", "open"];
    assert_eq!(disk.steps(), recovery, "whole files that may not be flushed, and a look at the file before");
}
