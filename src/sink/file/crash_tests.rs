//! What a crash can leave at the end of the last file, byte by byte: always one answer, and always the same rows at last.

use super::tests::SHARD;
use super::tests::config;
use super::tests::deliver;
use super::tests::file_names;
use super::tests::rows_in;
use super::*;
use crate::sink::file::disk::RealDisk;
use crate::sink::file::naming::Kind;
use crate::sink::testing::in_packs;
use crate::sink::testing::lines;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

/// The real disk without its waiting, for thousands of crashes.
#[derive(Debug)]
struct QuickDisk(RealDisk);

impl Disk for QuickDisk {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.0.create(path)
    }
    fn open(&mut self, path: &Path) -> io::Result<File> {
        self.0.open(path)
    }
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.0.append(file, bytes)
    }
    fn set_len(&mut self, file: &File, length: u64) -> io::Result<()> {
        self.0.set_len(file, length)
    }
    fn sync_data(&mut self, _file: &File) -> io::Result<()> {
        Ok(())
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_folder(&mut self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    fn available(&mut self, folder: &Path) -> io::Result<u64> {
        self.0.available(folder)
    }
}

fn open(dir: &Path) -> FileSink {
    FileSink::open_on(config(dir), SHARD, Box::new(QuickDisk(RealDisk))).unwrap()
}

/// A folder's files as they are between two packs, and what the next pack adds to the open file.
struct Moment {
    files: Vec<(String, Vec<u8>)>,
    open: FileName,
    rows: Vec<u8>,
    header: Vec<u8>,
    /// How many packs are durable.
    whole: usize,
}

/// Rows of six packs, short ones so that every byte can be a crash.
fn all_rows() -> Vec<Vec<u8>> {
    (0..6).map(|index| lines(index, 1)).collect()
}

/// Two packs in a closed file if `closed`, then `in_part` packs in the open one; a crash while the next one is written.
fn moment(closed: bool, in_part: usize) -> Moment {
    let temp = tempfile::tempdir().unwrap();
    let packs = in_packs(SHARD, 1, 0, all_rows());
    let mut sink = open(temp.path());
    sink.begin_epoch(1).unwrap();
    let mut whole = 0;
    if closed {
        deliver(&mut sink, &packs[..2]).unwrap();
        sink.rotate().unwrap();
        whole = 2;
    }
    deliver(&mut sink, &packs[whole..whole + in_part]).unwrap();
    whole += in_part;
    drop(sink);
    let files = file_names(temp.path())
        .into_iter()
        .map(|name| (name.clone(), fs::read(temp.path().join(&name)).unwrap()))
        .collect();
    let (header, rows) = packs[whole].clone();
    let header = (header.to_line().unwrap() + "\n").into_bytes();
    let open = FileName { shard: SHARD.into(), epoch: 1, number: if closed { 2 } else { 1 } };
    Moment { files, open, rows, header, whole }
}

/// Puts the moment into a folder, with the given ends of the last pack's rows and header.
fn lay_out(moment: &Moment, rows: &[u8], header: &[u8]) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    for (name, bytes) in &moment.files {
        fs::write(temp.path().join(name), bytes).unwrap();
    }
    for (kind, bytes) in [(Kind::Part, rows), (Kind::Sidecar, header)] {
        let path = moment.open.path(temp.path(), kind);
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
    }
    temp
}

/// Recovers, delivers what is missing in a new epoch, and compares all rows with those of a run without a crash.
fn recover_and_go_on(dir: &Path, expected: usize, what: &str) {
    let first_epoch = in_packs(SHARD, 1, 0, all_rows());
    let mut sink = open(dir);
    let standing = sink.standing().unwrap_or_else(|e| panic!("{what}: {e}"));
    let last = expected.checked_sub(1).map(|last| &first_epoch[last].0);
    assert_eq!(standing.as_ref(), last, "{what}");
    assert!(file_names(dir).iter().all(|name| !name.ends_with(".part")), "{what}");
    let crc32 = standing.map_or(0, |header| header.crc32);
    sink.begin_epoch(2).unwrap();
    let rest = in_packs(SHARD, 2, crc32, all_rows().split_off(expected));
    deliver(&mut sink, &rest).unwrap_or_else(|e| panic!("{what}: {e}"));
    sink.close().unwrap();
    assert_eq!(rows_in(dir), all_rows().concat(), "{what}");
}

/// Every length of the last pack's rows with a few of its header's, and the other way round.
fn ends(moment: &Moment) -> Vec<(usize, usize)> {
    let (rows, header) = (moment.rows.len(), moment.header.len());
    let mut ends = Vec::new();
    for r in 0..=rows {
        ends.extend([0, 1, header / 2, header - 1, header].map(|h| (r, h)));
    }
    for h in 0..=header {
        ends.extend([0, 1, rows / 2, rows - 1, rows].map(|r| (r, h)));
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn crash_everywhere(closed: bool, in_part: usize) {
    let moment = moment(closed, in_part);
    for (r, h) in ends(&moment) {
        let what = format!("closed {closed}, {in_part} packs, then {r} bytes of rows, {h} bytes of header");
        let whole = usize::from(r == moment.rows.len() && h == moment.header.len());
        let temp = lay_out(&moment, &moment.rows[..r], &moment.header[..h]);
        recover_and_go_on(temp.path(), moment.whole + whole, &what);
    }
}

#[test]
fn in_the_first_pack_of_all() {
    crash_everywhere(false, 0);
}

#[test]
fn in_the_first_pack_of_a_later_file() {
    crash_everywhere(true, 0);
}

#[test]
fn in_the_middle_of_a_file() {
    crash_everywhere(true, 2);
}

#[test]
fn with_zeros_where_nothing_was_written_yet() {
    // A file's new length can reach the disk before its bytes do.
    let zeros_from = |bytes: &[u8], start: usize| {
        let mut bytes = bytes.to_vec();
        bytes[start..].fill(0);
        bytes
    };
    for (closed, in_part) in [(false, 0), (true, 0), (false, 3)] {
        let moment = moment(closed, in_part);
        for (r, h) in ends(&moment) {
            let what =
                format!("closed {closed}, {in_part} packs, zeros from {r} in rows, from {h} in the header");
            let whole = usize::from(r == moment.rows.len() && h == moment.header.len());
            let temp = lay_out(&moment, &zeros_from(&moment.rows, r), &zeros_from(&moment.header, h));
            recover_and_go_on(temp.path(), moment.whole + whole, &what);
        }
    }
}

#[test]
fn while_a_file_is_made() {
    for closed in [false, true] {
        for kinds in [&[][..], &[Kind::Sidecar], &[Kind::Part], &[Kind::Sidecar, Kind::Part]] {
            let moment = moment(closed, 0);
            let temp = tempfile::tempdir().unwrap();
            for (name, bytes) in &moment.files {
                fs::write(temp.path().join(name), bytes).unwrap();
            }
            for kind in kinds {
                fs::write(moment.open.path(temp.path(), *kind), "").unwrap();
            }
            recover_and_go_on(temp.path(), moment.whole, &format!("closed {closed}, {kinds:?}"));
        }
    }
}

#[test]
fn a_disk_that_lost_several_flushed_packs_is_read_back_to_the_last_good_one() {
    let moment = moment(false, 5);
    let data = moment.open.path(Path::new(""), Kind::Part);
    let rows: Vec<usize> = all_rows().iter().map(Vec::len).collect();
    for good in 1..5 {
        let temp = lay_out(&moment, &[], &[]);
        let kept: usize = rows[..good].iter().sum();
        let file = File::options().write(true).open(temp.path().join(&data)).unwrap();
        file.set_len(kept as u64 + 3).unwrap();
        recover_and_go_on(temp.path(), good, &format!("{good} packs left"));
    }
    // With nothing good left there is no telling what happened.
    let temp = lay_out(&moment, &[], &[]);
    File::options().write(true).open(temp.path().join(&data)).unwrap().set_len(3).unwrap();
    assert_eq!(open(temp.path()).standing().unwrap_err().code, Code::SinkBroken);
}

#[test]
fn a_header_broken_in_the_middle_of_the_open_file_is_an_error() {
    let moment = moment(false, 4);
    let temp = lay_out(&moment, &[], &[]);
    let path = moment.open.path(temp.path(), Kind::Sidecar);
    let good = fs::read(&path).unwrap();
    let third = good.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>();
    for offset in (0..third).step_by(7) {
        let mut bytes = good.clone();
        bytes[offset] ^= 1;
        fs::write(&path, bytes).unwrap();
        let before = rows_on_disk(temp.path());
        let error = open(temp.path()).standing().unwrap_err();
        assert_eq!((error.code, error.is_retryable()), (Code::SinkBroken, false), "{offset}: {error}");
        assert_eq!(rows_on_disk(temp.path()), before);
    }
}

fn rows_on_disk(dir: &Path) -> Vec<Vec<u8>> {
    file_names(dir).into_iter().map(|name| fs::read(dir.join(name)).unwrap()).collect()
}

/// Who only looks learns what the mending would find, and every byte stays where it is.
#[test]
fn a_look_changes_nothing() {
    for in_part in 0..3 {
        let moment = moment(true, in_part);
        let temp = tempfile::tempdir().unwrap();
        for (name, bytes) in &moment.files {
            fs::write(temp.path().join(name), bytes).unwrap();
        }
        let torn = moment.open.path(temp.path(), Kind::Part);
        let mut bytes = fs::read(&torn).unwrap_or_default();
        bytes.extend_from_slice(b"{\"torn");
        fs::write(&torn, &bytes).unwrap();
        let folder = || -> Vec<(String, Vec<u8>)> {
            let names = file_names(temp.path());
            names.into_iter().map(|name| (name.clone(), fs::read(temp.path().join(name)).unwrap())).collect()
        };
        let sink = open(temp.path());
        let before = folder();
        let looked = sink.look();
        assert_eq!(folder(), before, "{in_part}");
        drop(sink);
        let mut sink = open(temp.path());
        let mended = sink.standing().map(|pack| (pack, sink.packs_cut_off()));
        assert_eq!(looked, mended, "{in_part}");
        if mended.is_ok() {
            assert_ne!(folder(), before, "{in_part}: there was something to mend");
        }
    }
}
