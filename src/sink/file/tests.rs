//! The file sink in fair weather, and what it refuses.

use super::*;
use crate::sink::file::naming::Kind;
use crate::sink::file::naming::list_shard;
use crate::sink::file::sidecar::SidecarLine;
use crate::sink::file::sidecar::SidecarReader;
use crate::sink::testing::in_packs;
use crate::sink::testing::lines;
use crate::sink::testing::packs;
use std::fs;
use std::fs::File;
use std::path::Path;

pub(super) const SHARD: &str = "producer00";

pub(super) fn config(dir: &Path) -> FileSinkConfig {
    FileSinkConfig {
        dir: dir.to_path_buf(),
        rotate_bytes: 0,
        rotate_seconds: 0,
        keep_bytes: None,
        keep_seconds: None,
        min_free_bytes: 0,
    }
}

pub(super) fn file_names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

/// All rows of the shard, files in the order of their names. Proves on the way that the sidecars tell the truth.
pub(super) fn rows_in(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let mut previous: Option<PackHeader> = None;
    for (name, found) in list_shard(dir, SHARD).unwrap() {
        let kind = if found.part { Kind::Part } else { Kind::Closed };
        let rows = fs::read(name.path(dir, kind)).unwrap();
        assert!(!rows.is_empty(), "an empty file was kept");
        let mut rest = &rows[..];
        let mut sidecar = SidecarReader::open(&name.path(dir, Kind::Sidecar)).unwrap();
        while let Some(line) = sidecar.next_line().unwrap() {
            let SidecarLine::Header(header) = line else { panic!("{line:?}") };
            let pack;
            (pack, rest) = rest.split_at(header.bytes as usize);
            Pack { header: &header, rows: pack }.check().unwrap();
            if let Some(previous) = previous.filter(|previous| previous.epoch == header.epoch) {
                follows(&previous, &header).unwrap();
            }
            previous = Some(*header);
        }
        assert!(rest.is_empty());
        all.extend(rows);
    }
    all
}

pub(super) fn deliver(sink: &mut FileSink, packs: &[(PackHeader, Vec<u8>)]) -> Result<(), SinkError> {
    packs.iter().try_for_each(|(header, rows)| sink.deliver(&Pack { header, rows }))
}

fn concatenated(packs: &[(PackHeader, Vec<u8>)]) -> Vec<u8> {
    packs.iter().flat_map(|(_, rows)| rows.clone()).collect()
}

fn sink_with(dir: &Path, packs: &[(PackHeader, Vec<u8>)]) -> FileSink {
    let mut sink = FileSink::open(config(dir), SHARD).unwrap();
    assert_eq!(sink.standing(), Ok(None));
    sink.begin_epoch(packs[0].0.epoch).unwrap();
    deliver(&mut sink, packs).unwrap();
    sink
}

#[test]
fn packs_go_to_a_part_file_and_its_sidecar_and_closing_renames_it() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 3, 5);
    let mut sink = sink_with(temp.path(), &packs);
    let name = "producer00-00000003-00000001.jsonl";
    assert_eq!(file_names(temp.path()), [format!("{name}.packs"), format!("{name}.part")]);
    assert_eq!(rows_in(temp.path()), concatenated(&packs));
    sink.close().unwrap();
    assert_eq!(file_names(temp.path()), [name.to_owned(), format!("{name}.packs")]);
    assert_eq!(rows_in(temp.path()), concatenated(&packs));
    drop(sink);
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    assert_eq!(sink.standing(), Ok(Some(packs[4].0.clone())));
}

#[test]
fn a_new_epoch_begins_a_new_file_and_must_rise() {
    let temp = tempfile::tempdir().unwrap();
    let first = packs(SHARD, 3, 2);
    let mut sink = sink_with(temp.path(), &first);
    for epoch in [1, 2, 100_000_000] {
        assert_eq!(sink.begin_epoch(epoch).unwrap_err().code, Code::SinkBroken, "{epoch}");
    }
    sink.begin_epoch(3).unwrap();
    sink.begin_epoch(4).unwrap();
    assert_eq!(sink.standing(), Ok(Some(first[1].0.clone())));
    let second = in_packs(SHARD, 4, first[1].0.crc32, vec![lines(9, 1)]);
    deliver(&mut sink, &second).unwrap();
    sink.close().unwrap();
    drop(sink);
    assert_eq!(rows_in(temp.path()), [concatenated(&first), concatenated(&second)].concat());
    assert_eq!(file_names(temp.path()).len(), 4);
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    assert_eq!(sink.begin_epoch(4).unwrap_err().code, Code::SinkBroken);
    sink.begin_epoch(5).unwrap();
}

#[test]
fn the_same_pack_again_comes_out_once_and_any_other_disorder_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 6);
    let mut sink = sink_with(temp.path(), &packs[..3]);
    deliver(&mut sink, &packs[2..3]).unwrap();
    let other_rows = in_packs(SHARD, 1, 7, vec![lines(8, 1); 4]);
    let other_epoch = in_packs(SHARD, 2, 0, vec![lines(8, 1); 4]);
    let other_shard = in_packs("other", 1, packs[2].0.crc32, vec![lines(8, 1); 4]);
    for wrong in [&packs[1], &packs[4], &other_rows[3], &other_epoch[3], &other_shard[3]] {
        let error = deliver(&mut sink, std::slice::from_ref(wrong)).unwrap_err();
        assert_eq!((error.code, error.is_retryable()), (Code::Internal, false));
    }
    deliver(&mut sink, &packs[3..]).unwrap();
    assert_eq!(rows_in(temp.path()), concatenated(&packs));
}

#[test]
fn nothing_is_delivered_before_an_epoch_begins() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    assert_eq!(deliver(&mut sink, &packs(SHARD, 1, 1)).unwrap_err().code, Code::Internal);
    assert!(file_names(temp.path()).is_empty());
}

#[test]
fn files_rotate_by_size_between_packs() {
    let temp = tempfile::tempdir().unwrap();
    let rows: Vec<_> = [4, 4, 4, 20, 1, 1, 1].into_iter().zip(0..).map(|(n, i)| lines(i, n)).collect();
    let packs = in_packs(SHARD, 1, 0, rows);
    let config = FileSinkConfig { rotate_bytes: 2 * packs[0].0.bytes.max(700), ..config(temp.path()) };
    let mut sink = FileSink::open(config.clone(), SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    deliver(&mut sink, &packs).unwrap();
    sink.close().unwrap();
    assert_eq!(rows_in(temp.path()), concatenated(&packs));
    let names = file_names(temp.path());
    assert!(names.len() >= 8, "{names:?}");
    assert!(names.contains(&"producer00-00000001-00000004.jsonl".to_owned()));
    for name in names {
        let length = fs::metadata(temp.path().join(&name)).unwrap().len();
        assert!(length <= config.rotate_bytes || length == packs[3].0.bytes, "{name}: {length}");
    }
}

#[test]
fn files_rotate_by_time_and_an_idle_shard_gets_no_empty_ones() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 2);
    let config = FileSinkConfig { rotate_seconds: 60, ..config(temp.path()) };
    let mut sink = FileSink::open(config, SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    sink.tick(at(0)).unwrap();
    deliver(&mut sink, &packs[..1]).unwrap();
    sink.tick(at(100)).unwrap();
    sink.tick(at(159)).unwrap();
    assert!(file_names(temp.path())[1].ends_with(".part"));
    for seconds in [160, 220, 300, 1000] {
        sink.tick(at(seconds)).unwrap();
    }
    assert_eq!(
        file_names(temp.path()),
        ["producer00-00000001-00000001.jsonl", "producer00-00000001-00000001.jsonl.packs"]
    );
    deliver(&mut sink, &packs[1..]).unwrap();
    sink.tick(at(1001)).unwrap();
    assert_eq!(file_names(temp.path()).len(), 4);
    assert_eq!(rows_in(temp.path()), concatenated(&packs));
}

#[test]
fn old_files_go_by_size_but_never_the_last_packs_file() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 6);
    let config = FileSinkConfig { rotate_bytes: 1, keep_bytes: Some(2000), ..config(temp.path()) };
    let mut sink = FileSink::open(config, SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    fs::write(temp.path().join("other-00000001-00000001.jsonl"), "not ours").unwrap();
    deliver(&mut sink, &packs).unwrap();
    sink.close().unwrap();
    let kept: Vec<_> = list_shard(temp.path(), SHARD).unwrap().into_keys().map(|name| name.number).collect();
    assert_eq!(*kept.last().unwrap(), 6);
    assert!(kept.len() < 6 && kept.is_sorted(), "{kept:?}");
    let bytes: u64 = list_shard(temp.path(), SHARD)
        .unwrap()
        .into_keys()
        .flat_map(|name| [Kind::Closed, Kind::Sidecar].map(|kind| name.path(temp.path(), kind)))
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(bytes <= 2000 + 1000, "{bytes}");
    assert!(temp.path().join("other-00000001-00000001.jsonl").exists());
    drop(sink);
    let config = FileSinkConfig { keep_bytes: Some(0), ..self::config(temp.path()) };
    let mut sink = FileSink::open(config, SHARD).unwrap();
    sink.standing().unwrap();
    sink.retire(SystemTime::now());
    assert_eq!(file_names(temp.path()).len(), 3);
    assert_eq!(sink.standing(), Ok(Some(packs[5].0.clone())));
}

#[test]
fn old_files_go_by_age() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 3);
    let config = FileSinkConfig { rotate_bytes: 1, keep_seconds: Some(3600), ..config(temp.path()) };
    let mut sink = FileSink::open(config, SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    deliver(&mut sink, &packs).unwrap();
    let now = SystemTime::now();
    let first = FileName { shard: SHARD.into(), epoch: 1, number: 1 };
    for kind in [Kind::Closed, Kind::Sidecar] {
        let file = File::options().append(true).open(first.path(temp.path(), kind)).unwrap();
        file.set_modified(now - Duration::from_secs(4000)).unwrap();
    }
    sink.retire(now - Duration::from_secs(500));
    assert_eq!(list_shard(temp.path(), SHARD).unwrap().len(), 3);
    let start = Instant::now();
    sink.tick(start).unwrap();
    sink.tick(start + RETIRE_PERIOD).unwrap();
    let left = list_shard(temp.path(), SHARD).unwrap();
    assert_eq!(left.keys().map(|name| name.number).collect::<Vec<_>>(), [2, 3]);
    assert!(left.values().all(|found| found.sidecar));
}

#[test]
fn too_little_free_space_is_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 1);
    let config = FileSinkConfig { min_free_bytes: u64::MAX / 2, ..config(temp.path()) };
    let mut sink = FileSink::open(config, SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    let error = deliver(&mut sink, &packs).unwrap_err();
    assert!(error.is_retryable() && error.text.contains("file_min_free_bytes"), "{error}");
    assert!(file_names(temp.path()).is_empty());
    sink.config.min_free_bytes = 1;
    deliver(&mut sink, &packs).unwrap();
}

#[test]
fn a_file_removed_under_the_sink_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 3);
    for suffix in ["part", "packs"] {
        let dir = temp.path().join(suffix);
        let mut sink = sink_with(&dir, &packs[..2]);
        fs::remove_file(dir.join(format!("producer00-00000001-00000001.jsonl.{suffix}"))).unwrap();
        let error = deliver(&mut sink, &packs[2..]).unwrap_err();
        assert_eq!((error.code, error.is_retryable()), (Code::SinkBroken, false));
        drop(sink);
        let mut sink = FileSink::open(config(&dir), SHARD).unwrap();
        assert_eq!(sink.standing().unwrap_err().code, Code::SinkBroken);
    }
}

#[test]
fn a_second_sink_in_the_folder_is_refused_for_the_same_shard_only() {
    let temp = tempfile::tempdir().unwrap();
    let _sink = FileSink::open(config(temp.path()), SHARD).unwrap();
    FileSink::open(config(temp.path()), "producer01").unwrap();
    assert_eq!(FileSink::open(config(temp.path()), SHARD).unwrap_err().code, Code::Locked);
    assert_eq!(FileSink::open(config(temp.path()), "../x").unwrap_err().code, Code::Config);
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(FileSink::open(config(&file), SHARD).unwrap_err().code, Code::FileError);
}

/// Three closed files of one pack each and one of three packs, and what was done to them.
fn tampered(tamper: impl Fn(&Path)) -> Result<Option<PackHeader>, SinkError> {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 6);
    let mut sink = FileSink::open(FileSinkConfig { rotate_bytes: 1, ..config(temp.path()) }, SHARD).unwrap();
    sink.begin_epoch(1).unwrap();
    deliver(&mut sink, &packs[..3]).unwrap();
    sink.rotate().unwrap();
    sink.config.rotate_bytes = 0;
    deliver(&mut sink, &packs[3..]).unwrap();
    sink.close().unwrap();
    drop(sink);
    tamper(temp.path());
    FileSink::open(config(temp.path()), SHARD).unwrap().standing()
}

fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_no_crash_does_is_an_error() {
    let number = |number| FileName { shard: SHARD.into(), epoch: 1, number };
    let whole = packs(SHARD, 1, 6)[5].0.clone();
    assert_eq!(tampered(|_| {}), Ok(Some(whole.clone())));
    let broken = |what: &str, tamper: &dyn Fn(&Path)| {
        let error = tampered(tamper).expect_err(what);
        assert_eq!((error.code, error.is_retryable()), (Code::SinkBroken, false), "{what}: {error}");
        assert!(error.text.contains("producer00-0000000"), "{error}");
    };
    for n in [1, 2, 3, 4] {
        let data = |dir: &Path| number(n).path(dir, Kind::Closed);
        let sidecar = |dir: &Path| number(n).path(dir, Kind::Sidecar);
        broken("rows cut", &|dir| edit(&data(dir), |bytes| bytes.truncate(bytes.len() - 1)));
        broken("rows added", &|dir| edit(&data(dir), |bytes| bytes.push(b'\n')));
        broken("header cut", &|dir| edit(&sidecar(dir), |bytes| bytes.truncate(bytes.len() - 1)));
        broken("header changed", &|dir| edit(&sidecar(dir), |bytes| bytes[20] ^= 1));
        broken("sidecar emptied", &|dir| edit(&sidecar(dir), Vec::clear));
    }
    broken("last rows changed", &|dir| {
        edit(&number(4).path(dir, Kind::Closed), |bytes| *bytes.iter_mut().last().unwrap() = b' ')
    });
    broken("last data file gone", &|dir| fs::remove_file(number(4).path(dir, Kind::Closed)).unwrap());
    broken("last sidecar gone", &|dir| fs::remove_file(number(4).path(dir, Kind::Sidecar)).unwrap());
    broken("a copy with .part", &|dir| {
        fs::copy(number(4).path(dir, Kind::Closed), number(4).path(dir, Kind::Part)).unwrap();
    });
    broken("files under each other's name", &|dir| {
        for kind in [Kind::Closed, Kind::Sidecar] {
            fs::rename(number(1).path(dir, kind), number(2).path(dir, kind)).unwrap();
        }
    });
    broken("another epoch's name", &|dir| {
        for kind in [Kind::Closed, Kind::Sidecar] {
            let epoch_2 = FileName { epoch: 2, ..number(4) };
            fs::rename(number(4).path(dir, kind), epoch_2.path(dir, kind)).unwrap();
        }
    });
    broken("a line in the middle gone", &|dir| {
        edit(&number(4).path(dir, Kind::Sidecar), |bytes| {
            let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            *bytes = [lines[0], lines[2]].concat();
        })
    });
}

#[test]
fn files_that_a_consumer_took_away_are_not_missed() {
    let number = |number| FileName { shard: SHARD.into(), epoch: 1, number };
    let whole = packs(SHARD, 1, 6)[5].0.clone();
    let remove = |dir: &Path, n, kind| fs::remove_file(number(n).path(dir, kind)).unwrap();
    let both =
        |dir: &Path, n| [Kind::Closed, Kind::Sidecar].into_iter().for_each(|kind| remove(dir, n, kind));
    assert_eq!(tampered(|dir| remove(dir, 2, Kind::Closed)), Ok(Some(whole.clone())));
    assert_eq!(tampered(|dir| remove(dir, 2, Kind::Sidecar)), Ok(Some(whole.clone())));
    assert_eq!(tampered(|dir| both(dir, 2)), Ok(Some(whole)));
    assert_eq!(tampered(|dir| (1..=4).for_each(|n| both(dir, n))), Ok(None));
    let third = packs(SHARD, 1, 6)[2].0.clone();
    assert_eq!(tampered(|dir| both(dir, 4)), Ok(Some(third)));
}
