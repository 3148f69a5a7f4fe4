//! Folders as the file sink writes them, then damaged in every way that a disk, a person or a defect might.

use super::*;
use crate::pack::header::Follows;
use crate::pack::header::Pack;
use crate::pack::header::RowPlace;
use crate::pack::header::rows_crc32;
use crate::sink::Sink;
use crate::sink::file::FileSink;
use crate::sink::file::FileSinkConfig;
use crate::sync_point::ServerIdentity;
use crate::sync_point::SyncPoint;
use std::fs;
use std::path::Path;

const SHARD: &str = "producer00";
pub(super) const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

pub(super) fn sink(folder: &Path) -> FileSink {
    let config = FileSinkConfig {
        dir: folder.to_path_buf(),
        rotate_bytes: 1700,
        rotate_seconds: 0,
        keep_bytes: None,
        keep_seconds: None,
        min_free_bytes: 0,
    };
    FileSink::open(config, SHARD).unwrap()
}

/// Transactions 1, 2, 3, … of two rows each, with GTIDs or without, two in a pack.
#[derive(Clone)]
pub(super) struct Writer {
    gtid: bool,
    pub(super) next: u64,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    sequence: u64,
    crc32: u32,
    /// The next pack is the first behind a moved point.
    moved: bool,
    /// What the next pack says that it follows.
    pub(super) follows: Option<Follows>,
}

impl Writer {
    pub(super) fn new(gtid: bool) -> Self {
        Self { gtid, next: 1, seq: 1, epoch: 0, sequence: 0, crc32: 0, moved: false, follows: None }
    }

    fn place(&self, transaction: u64, row: u64, seq: u64) -> RowPlace {
        let gtid = self.gtid.then(|| format!("{UUID}:{transaction}"));
        RowPlace { gtid, file: "binlog.000001".into(), pos: transaction * 100, row, seq }
    }

    fn pack(&mut self) -> (PackHeader, Vec<u8>) {
        let mut text = String::new();
        let mut places = Vec::new();
        for transaction in [self.next, self.next + 1] {
            for row in 0..2 {
                let place = self.place(transaction, row, self.seq);
                let mut line = serde_json::json!({"op": "insert", "database": "d", "table": "t",
                    "after": {"id": self.seq}, "key": ["id"], "shard": SHARD});
                let more = serde_json::to_value(&place).unwrap();
                line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                text.push_str(&format!("{line}\n"));
                places.push(place);
                self.seq += 1;
            }
        }
        self.next += 2;
        let point = self.point();
        (self.header(&text, &places, point), text.into_bytes())
    }

    fn point(&self) -> SyncPoint {
        let executed = self.gtid.then(|| format!("{UUID}:1-{}", self.next - 1).parse().unwrap());
        SyncPoint {
            server: ServerIdentity { server_uuid: None, server_id: 1 },
            file: "binlog.000001".into(),
            pos: self.next * 100 - 50,
            file_created: 1,
            executed,
            set_ahead: false,
            pending_xa: Vec::new(),
            inside: None,
            ts_ms: 0,
        }
    }

    fn header(&mut self, text: &str, places: &[RowPlace], point: SyncPoint) -> PackHeader {
        self.sequence += 1;
        let crc32 = rows_crc32(text.as_bytes());
        PackHeader {
            shard: SHARD.into(),
            epoch: self.epoch,
            sequence: self.sequence,
            rows: text.lines().count() as u64,
            bytes: text.len() as u64,
            first: places[0].clone(),
            last: places[places.len() - 1].clone(),
            next_seq: self.seq,
            point,
            moved: std::mem::take(&mut self.moved),
            follows: self.follows.take(),
            crc32,
            previous_crc32: std::mem::replace(&mut self.crc32, crc32),
        }
    }

    pub(super) fn begin(&mut self, sink: &mut FileSink) {
        self.epoch += 1;
        self.sequence = 0;
        sink.begin_epoch(self.epoch).unwrap();
    }

    pub(super) fn deliver(&mut self, sink: &mut FileSink, packs: usize) {
        for _ in 0..packs {
            let (header, rows) = self.pack();
            sink.deliver(&Pack { header: &header, rows: &rows }).unwrap();
        }
    }
}

/// Epoch 1 with five packs in three files, epoch 2 with three in two; all closed if `closed`.
pub(super) fn good_folder(gtid: bool, closed: bool) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink(temp.path());
    let mut writer = Writer::new(gtid);
    writer.begin(&mut sink);
    writer.deliver(&mut sink, 5);
    writer.begin(&mut sink);
    writer.deliver(&mut sink, 3);
    if closed {
        sink.close().unwrap();
    }
    temp
}

pub(super) fn verified(folders: &[&Path]) -> (bool, Vec<String>) {
    let options = VerifyOptions {
        folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
        ..VerifyOptions::default()
    };
    let mut out = Vec::new();
    let fine = verify(&options, None, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let prefix = format!("{}/", folders[0].display());
    (fine, text.lines().map(|line| line.replace(&prefix, "")).collect())
}

pub(super) fn faults(folder: &Path) -> Vec<String> {
    let (fine, mut lines) = verified(&[folder]);
    lines.retain(|line| line.starts_with("fault"));
    assert_eq!(fine, lines.is_empty());
    lines
}

pub(super) fn path(folder: &Path, end: &str) -> PathBuf {
    folder.join(format!("{SHARD}-0000000{end}"))
}

/// Writes the headers of a sidecar anew after a change, sealed as if fountain had written them.
pub(super) fn change_headers(sidecar: &Path, change: impl Fn(usize, &mut PackHeader)) {
    let text = fs::read_to_string(sidecar).unwrap();
    let mut changed = String::new();
    for (number, line) in text.lines().enumerate() {
        let mut header = PackHeader::from_line(line.as_bytes()).unwrap();
        change(number, &mut header);
        changed.push_str(&header.to_line().unwrap());
        changed.push('\n');
    }
    fs::write(sidecar, changed).unwrap();
}

/// Changes the rows of a file, and its headers' checksums so that they fit.
pub(super) fn change_rows(folder: &Path, end: &str, from: &str, to: &str) {
    let data = path(folder, &format!("{end}.jsonl"));
    let text = fs::read_to_string(&data).unwrap();
    assert!(text.contains(from), "{text}");
    assert_eq!(from.len(), to.len());
    let text = text.replacen(from, to, 1);
    fs::write(&data, &text).unwrap();
    let offset = std::cell::Cell::new(0);
    let crc32 = std::cell::Cell::new(None);
    change_headers(&path(folder, &format!("{end}.jsonl.packs")), |_, header| {
        let start = offset.get();
        offset.set(start + header.bytes as usize);
        header.crc32 = rows_crc32(&text.as_bytes()[start..offset.get()]);
        if let Some(crc32) = crc32.replace(Some(header.crc32)) {
            header.previous_crc32 = crc32;
        }
    });
}

#[test]
fn whole_files_are_fine() {
    for gtid in [true, false] {
        let temp = good_folder(gtid, true);
        let (fine, lines) = verified(&[temp.path()]);
        assert!(fine, "{lines:#?}");
        let bytes: u64 = fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .map(|path| path.metadata().unwrap().len())
            .sum();
        assert_eq!(
            lines[0],
            format!(
                "ok    shard=producer00 8 packs, 32 rows, {bytes} bytes in 5 files, seq 1 to 32, epochs 1 to 2, last pack 2/3, \
                 0 gaps, 0 faults"
            )
        );
        assert!(lines[1].starts_with("ok    1 shards, 0 faults; "), "{lines:#?}");
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn every_changed_byte_of_rows_and_headers_is_found() {
    let temp = good_folder(true, true);
    for end in ["1-00000001.jsonl", "2-00000002.jsonl", "1-00000002.jsonl.packs"] {
        let path = path(temp.path(), end);
        let good = fs::read(&path).unwrap();
        for offset in (0..good.len()).step_by(13).chain([good.len() - 1]) {
            let mut bytes = good.clone();
            bytes[offset] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let faults = faults(temp.path());
            assert_eq!(faults.len(), 1, "{end} at {offset}: {faults:#?}");
            let file = if end.ends_with(".packs") { end } else { &end[..16] };
            assert!(faults[0].contains(file), "{end} at {offset}: {faults:#?}");
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(faults(temp.path()), [""; 0]);
}

#[test]
fn every_length_of_a_cut_file_is_found() {
    for end in ["1-00000002.jsonl", "2-00000002.jsonl", "1-00000002.jsonl.packs"] {
        let temp = good_folder(true, true);
        let path = path(temp.path(), end);
        let good = fs::read(&path).unwrap();
        for length in (0..good.len()).step_by(11) {
            fs::write(&path, &good[..length]).unwrap();
            assert!(!faults(temp.path()).is_empty(), "{end} cut at {length}");
        }
    }
}

#[test]
fn events_without_gtid_that_come_again_are_found() {
    let temp = good_folder(false, true);
    change_rows(temp.path(), "2-00000002", "\"pos\":1600", "\"pos\":1200");
    let faults = faults(temp.path());
    assert!(
        faults[0].contains(
            "an event that was delivered comes again: expected a later one, got binlog.000001:1200"
        ),
        "{faults:?}"
    );
}

#[test]
fn what_a_crash_leaves_is_a_note_and_no_fault() {
    let temp = good_folder(true, false);
    let (fine, lines) = verified(&[temp.path()]);
    assert!(fine && lines[0].ends_with("jsonl.part: not closed: the last run was killed"), "{lines:#?}");
    let (data, sidecar) =
        (path(temp.path(), "2-00000002.jsonl.part"), path(temp.path(), "2-00000002.jsonl.packs"));
    let (rows, headers) = (fs::read(&data).unwrap(), fs::read(&sidecar).unwrap());
    for (r, h) in
        [(rows.len() - 7, headers.len()), (rows.len(), headers.len() - 5), (rows.len(), 0), (0, 0), (3, 0)]
    {
        fs::write(&data, &rows[..r]).unwrap();
        fs::write(&sidecar, &headers[..h]).unwrap();
        let (fine, lines) = verified(&[temp.path()]);
        assert!(fine, "{r} {h}: {lines:#?}");
        assert!(
            lines[0].starts_with("note ") && lines.iter().any(|line| line.contains("last pack 2/2")),
            "{lines:#?}"
        );
    }
    // The same at the end of a closed file is none of a crash's doing.
    let temp = good_folder(true, true);
    fs::write(path(temp.path(), "2-00000002.jsonl"), &rows[..rows.len() - 7]).unwrap();
    assert_eq!(faults(temp.path()).len(), 1);
}

#[test]
fn a_run_that_is_going_on_is_told_from_a_crash() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink(temp.path());
    let mut writer = Writer::new(true);
    writer.begin(&mut sink);
    writer.deliver(&mut sink, 1);
    let part = path(temp.path(), "1-00000001.jsonl.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes.extend_from_slice(b"{\"op\":");
    fs::write(&part, &bytes).unwrap();
    let (fine, lines) = verified(&[temp.path()]);
    assert!(fine && lines[0].starts_with("ok    shard=producer00 1 packs"), "{lines:#?}");
    drop(sink);
    let (fine, lines) = verified(&[temp.path()]);
    assert!(fine && lines[0].contains("6 bytes without a header, as a crash may leave them"), "{lines:#?}");
}

/// Back to an earlier transaction, with numbers left out, and no `gap` line: the header is all that tells of it.
#[test]
fn a_moved_point_is_a_gap_where_the_first_packs_header_tells_it() {
    let written = |gtid, moved, behind_first: usize| {
        let temp = tempfile::tempdir().unwrap();
        let mut sink = sink(temp.path());
        let mut writer = Writer::new(gtid);
        writer.begin(&mut sink);
        writer.deliver(&mut sink, 3);
        writer.begin(&mut sink);
        writer.deliver(&mut sink, behind_first);
        (writer.next, writer.seq, writer.moved) = (3, writer.seq + 1000, moved);
        writer.deliver(&mut sink, 2);
        sink.close().unwrap();
        temp
    };
    for gtid in [true, false] {
        let (fine, lines) = verified(&[written(gtid, true, 0).path()]);
        assert!(fine, "{lines:#?}");
        let gaps: Vec<&String> = lines.iter().filter(|line| line.starts_with("gap ")).collect();
        assert!(
            gaps.len() == 2
                && gaps[0].contains("seq 13 to 1012 were never used: the pack's header accounts for")
                && gaps[1].contains("the point was moved in front of pack 2/1: its header says so"),
            "{lines:#?}"
        );
        assert!(!faults(written(gtid, false, 0).path()).is_empty());
        assert!(!faults(written(gtid, true, 1).path()).is_empty(), "not inside of an epoch");
    }
}

#[test]
fn removed_old_files_and_strangers_are_notes() {
    let temp = good_folder(true, true);
    for end in ["1-00000001.jsonl", "1-00000001.jsonl.packs"] {
        fs::remove_file(path(temp.path(), end)).unwrap();
    }
    fs::write(temp.path().join("notes.txt"), "").unwrap();
    fs::create_dir(temp.path().join("superseded")).unwrap();
    let (fine, lines) = verified(&[temp.path()]);
    assert!(fine, "{lines:#?}");
    assert_eq!(lines[0], "note  notes.txt: not a file of the file sink: left out");
    assert_eq!(lines[1], "note  superseded: packs that later epochs delivered again: left out");
    assert!(
        lines[2].contains("the chain begins with pack 1/3, seq 9: older files were removed"),
        "{lines:#?}"
    );
    assert!(lines[3].starts_with("ok    shard=producer00 6 packs, 24 rows"), "{lines:#?}");
}

#[test]
fn nothing_proves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    assert!(faults(temp.path())[0].contains("nothing is proven"));
    let options = VerifyOptions {
        folders: vec![good_folder(true, true).path().to_path_buf()],
        shard: Some("other".into()),
        form: Form::Json,
        against: None,
    };
    let mut out = Vec::new();
    assert!(!verify(&options, None, &mut out).unwrap());
    let gone: serde_json::Value =
        serde_json::from_slice(out.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((&gone["finding"], &gone["code"]), (&"fault".into(), &"FILE".into()));
}

/// Copies of some files into another folder.
fn copied(folder: &Path, ends: &[&str]) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    for end in ends {
        for suffix in [".jsonl", ".jsonl.packs"] {
            let end = format!("{end}{suffix}");
            fs::copy(path(folder, &end), path(temp.path(), &end)).unwrap();
        }
    }
    temp
}

#[test]
fn folders_are_read_as_one() {
    let temp = good_folder(true, true);
    let one = copied(temp.path(), &["1-00000001", "1-00000002", "2-00000002"]);
    let two = copied(temp.path(), &["1-00000002", "1-00000003", "2-00000001", "2-00000002"]);
    let (fine, lines) = verified(&[one.path(), two.path()]);
    assert!(fine, "{lines:#?}");
    let ok = lines.iter().find(|line| line.starts_with("ok    shard=")).unwrap();
    assert!(ok.contains("8 packs, 32 rows") && ok.contains("in 7 files"), "{ok}");

    change_rows(two.path(), "2-00000002", "\"id\":32", "\"id\":23");
    let (fine, lines) = verified(&[one.path(), two.path()]);
    assert!(
        !fine && lines.iter().any(|line| line.contains("pack 2/3 has another content in another folder")),
        "{lines:#?}"
    );
}
