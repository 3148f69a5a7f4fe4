//! What another node delivered again is put aside whole, in whatever step a crash or a full disk comes.

use super::fault_tests::Extent;
use super::fault_tests::FaultyDisk;
use super::fault_tests::all_rows;
use super::fault_tests::persist;
use super::fault_tests::small_files;
use super::tests::SHARD;
use super::tests::config;
use super::tests::deliver;
use super::tests::file_names;
use super::tests::rows_in;
use super::*;
use crate::sink::testing::in_packs;
use crate::sync_point::epochs::TakenOver;
use crate::sync_point::record::tests::record;
use std::fs;
use std::fs::File;
use std::path::Path;

const PACKS: u64 = 7;

/// Epoch 2 with seven packs in four files, the last one as a crash leaves it, or closed.
fn folder(closed: bool) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = FileSink::open_on(small_files(temp.path()), SHARD, unhurried()).unwrap();
    sink.begin_epoch(2).unwrap();
    deliver(&mut sink, &in_packs(SHARD, 2, 0, all_rows())).unwrap();
    if closed {
        sink.close().unwrap();
    }
    temp
}

/// A disk that is not waited for.
fn unhurried() -> Box<FaultyDisk> {
    Box::new(FaultyDisk::new(usize::MAX, 0, Extent::Nothing))
}

/// What the store says when epoch 2 ended behind that pack and another node leads epoch 3.
fn ended(sequence: u64) -> PointRecord {
    PointRecord { taken_over: TakenOver::default().with(2, sequence), ..record(3, 1) }
}

fn rows(numbers: std::ops::Range<u64>) -> Vec<u8> {
    all_rows()[numbers.start as usize..numbers.end as usize].concat()
}

/// What counts is in the folder, the rest in the one beside it, and either is whole.
fn assert_parted(folder: &Path, counted: u64, what: &str) {
    assert!(rows_in(folder) == rows(0..counted), "{what}: what counts");
    let aside = superseded::place(folder, 1);
    let put = if aside.exists() { rows_in(&aside) } else { Vec::new() };
    assert!(put == rows(counted..PACKS), "{what}: what does not");
    assert!(!superseded::place(folder, 2).exists(), "{what}: {:?}", file_names(&aside));
}

fn goes_on(folder: &Path, counted: u64) {
    let mut sink = FileSink::open_on(config(folder), SHARD, unhurried()).unwrap();
    sink.supersede(&ended(counted)).unwrap();
    let standing = sink.standing().unwrap();
    assert_eq!(standing.map(|pack| pack.sequence), (counted > 0).then_some(counted));
    assert_eq!(sink.packs_cut_off(), 0);
    sink.begin_epoch(4).unwrap();
}

#[test]
fn what_does_not_count_is_put_aside() {
    for closed in [true, false] {
        for counted in 0..=PACKS {
            let temp = folder(closed);
            goes_on(temp.path(), counted);
            assert_parted(temp.path(), counted, &counted.to_string());
            goes_on(temp.path(), counted);
            assert_parted(temp.path(), counted, "again");
        }
    }
}

#[test]
fn any_step_may_fail_or_be_the_last_before_a_crash() {
    // In front of all, between two files, inside of one.
    for counted in [0, 2, 4, 5] {
        for extent in [Extent::Nothing, Extent::Half, Extent::All] {
            for crash in [true, false] {
                let mut fail_at = 0;
                loop {
                    let what = format!("{counted} count, step {fail_at} {extent:?}, crash {crash}");
                    let temp = folder(false);
                    let disk = FaultyDisk::new(fail_at, if crash { usize::MAX } else { 1 }, extent);
                    let mut sink =
                        FileSink::open_on(small_files(temp.path()), SHARD, Box::new(disk.clone())).unwrap();
                    match crash {
                        true => drop(sink.supersede(&ended(counted))),
                        false => persist(|| sink.supersede(&ended(counted)), &what),
                    }
                    drop(sink);
                    if crash {
                        // Who only looks takes it for whole files.
                        let looked = FileSink::open(config(temp.path()), SHARD).unwrap().look();
                        assert!(looked.is_ok(), "{what}: {looked:?}");
                    }
                    goes_on(temp.path(), counted);
                    assert_parted(temp.path(), counted, &what);
                    if !disk.reached() {
                        assert!(fail_at > 8, "{what}");
                        break;
                    }
                    fail_at += 1;
                }
            }
        }
    }
}

#[test]
fn only_what_the_store_names_is_touched() {
    let whole = |record: PointRecord| {
        let temp = folder(true);
        let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
        sink.supersede(&record).unwrap();
        assert_eq!(rows_in(temp.path()), rows(0..PACKS));
        assert!(!superseded::place(temp.path(), 1).exists());
    };
    // Nobody has led since; or this very node went on; or other epochs ended.
    whole(record(2, 3));
    whole(record(5, 3));
    whole(PointRecord { taken_over: TakenOver::default().with(1, 0).with(3, 0), ..record(5, 3) });
    let mut long_ago = TakenOver::default();
    for epoch in 0..1000 {
        long_ago = long_ago.with(10 + 2 * epoch, 1);
    }
    whole(PointRecord { taken_over: long_ago, ..record(5000, 3) });
}

#[test]
fn files_of_a_later_epoch_than_the_store_knows_are_a_stop() {
    let temp = folder(false);
    let before = file_names(temp.path());
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    let error = sink.supersede(&record(1, 9)).unwrap_err();
    assert!(error.code == Code::PointLost && !error.is_retryable(), "{error}");
    assert_eq!(file_names(temp.path()), before, "nothing was moved, and nothing mended");
}

/// A person has put files back that were put aside before: both are kept.
#[test]
fn nothing_that_was_put_aside_is_written_over() {
    let temp = folder(true);
    let copy = tempfile::tempdir().unwrap();
    let all: Vec<_> = file_names(temp.path());
    for name in &all {
        fs::copy(temp.path().join(name), copy.path().join(name)).unwrap();
    }
    goes_on(temp.path(), 3);
    for name in &all {
        fs::copy(copy.path().join(name), temp.path().join(name)).unwrap();
    }
    // Files of a later epoch stand behind them now.
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    sink.begin_epoch(4).unwrap();
    let later = in_packs(SHARD, 4, 0, all_rows()[..2].to_vec());
    deliver(&mut sink, &later).unwrap();
    drop(sink);
    let now = PointRecord { epoch: 4, ..ended(3) };
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    sink.supersede(&now).unwrap();
    assert_eq!(sink.standing().unwrap().map(|pack| pack.name()), Some(later[1].0.name()));
    assert_eq!(rows_in(temp.path()), [rows(0..3), rows(0..2)].concat());
    assert_eq!(rows_in(&superseded::place(temp.path(), 1)), rows(3..PACKS));
    // The rest of the file that counts in part was there already.
    assert_eq!(rows_in(&superseded::place(temp.path(), 2)), rows(4..PACKS));
}

/// A crash tore what does not count: it is cut off and the rest put aside, and nothing was lost by it.
#[test]
fn torn_packs_that_do_not_count_are_no_loss() {
    for (counted, lost) in [(0, 0), (3, 0), (5, 0), (6, 0), (7, 1)] {
        let temp = folder(false);
        let part = file_names(temp.path()).into_iter().find(|name| name.ends_with(".part")).unwrap();
        let path = temp.path().join(part);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(path.metadata().unwrap().len() - 5).unwrap();
        let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
        sink.supersede(&ended(counted)).unwrap();
        let held = sink.standing().unwrap().map_or(0, |pack| pack.sequence);
        assert_eq!((sink.packs_cut_off() > 0) as u64, lost, "{counted}: {held}");
        assert_eq!(held, counted.min(6), "the last file held one pack, or two");
    }
}

#[test]
fn old_superseded_files_go_first() {
    let temp = folder(true);
    goes_on(temp.path(), 5);
    let aside = superseded::place(temp.path(), 1);
    assert!(!file_names(&aside).is_empty());
    let bytes = |dir: &Path| -> u64 {
        file_names(dir)
            .iter()
            .map(|name| dir.join(name))
            .filter(|path| path.is_file())
            .map(|path| path.metadata().unwrap().len())
            .sum()
    };
    let keep = bytes(temp.path());
    let mut sink =
        FileSink::open(FileSinkConfig { keep_bytes: Some(keep), ..config(temp.path()) }, SHARD).unwrap();
    sink.supersede(&ended(5)).unwrap();
    sink.begin_epoch(5).unwrap();
    assert_eq!(file_names(&aside), [""; 0]);
    assert_eq!(rows_in(temp.path()), rows(0..5));
}
