//! Folders of several nodes, which took over from one another.

use super::tests::Writer;
use super::tests::path;
use super::tests::sink;
use super::tests::verified;
use crate::pack::header::Follows;
use crate::pack::header::PackName;
use crate::sink::Sink;
use crate::sync_point::epochs::TakenOver;
use crate::sync_point::record::tests::record;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn name(epoch: u64, sequence: u64) -> PackName {
    PackName { epoch, sequence }
}

/// An epoch of three packs in a folder, behind that pack, which is another node's. `here`: the last one of this node.
fn epoch(writer: &mut Writer, folder: &TempDir, follows: PackName, here: PackName) {
    let mut sink = sink(folder.path());
    writer.seq += 1000;
    writer.follows = Some(Follows { pack: follows, here: Some(here) });
    writer.begin(&mut sink);
    writer.deliver(&mut sink, 3);
    sink.close().unwrap();
}

/// The first node: epoch 1 with three packs, and two more that nobody knew of when the other one took over.
fn first_epoch() -> (Writer, TempDir) {
    let first = folder();
    let mut writer = Writer::new(true);
    let mut sink = sink(first.path());
    writer.begin(&mut sink);
    writer.deliver(&mut sink, 3);
    let known = writer.clone();
    writer.deliver(&mut sink, 2);
    (known, first)
}

fn come_back(first: &TempDir) {
    let mut sink = sink(first.path());
    let taken_over = TakenOver::default().with(1, 3);
    sink.supersede(&crate::sync_point::PointRecord { taken_over, ..record(2, 1) }).unwrap();
    assert_eq!(sink.standing().unwrap().map(|pack| pack.name()), Some(name(1, 3)));
}

/// Epochs 1, 3 and 5 of one node, 2 and 4 of another.
fn in_turns() -> (TempDir, TempDir) {
    let (mut writer, first) = first_epoch();
    let second = folder();
    epoch(&mut writer, &second, name(1, 3), name(0, 0));
    come_back(&first);
    epoch(&mut writer, &first, name(2, 3), name(1, 3));
    epoch(&mut writer, &second, name(3, 3), name(2, 3));
    epoch(&mut writer, &first, name(4, 3), name(3, 3));
    (first, second)
}

fn told(folders: &[&Path]) -> (bool, String) {
    let (fine, lines) = verified(folders);
    (fine, lines.join("\n"))
}

fn remove(folder: &TempDir, epoch: u64) {
    let begin = format!("producer00-{epoch:08}-");
    let mut removed = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with(&begin) {
            fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0);
}

#[test]
fn a_node_that_has_not_come_back_holds_packs_that_do_not_count() {
    let (mut writer, first) = first_epoch();
    let second = folder();
    epoch(&mut writer, &second, name(1, 3), name(0, 0));
    for folders in [[first.path(), second.path()], [second.path(), first.path()]] {
        let (fine, text) = told(&folders);
        assert!(fine, "{text}");
        let note = "packs 1/4 to 1/5 do not count: epoch 2 goes on behind pack 1/3 and has delivered their rows again";
        assert!(text.contains(note) && text.contains("6 packs, 24 rows"), "{text}");
    }
    let (fine, text) = told(&[first.path()]);
    assert!(fine && text.contains("5 packs, 20 rows"), "{text}");
    let (fine, text) = told(&[second.path()]);
    assert!(
        fine && text.contains("the chain begins with pack 2/1, behind pack 1/3 of another node"),
        "{text}"
    );
}

#[test]
fn nodes_in_turns_are_one_chain_and_each_tells_what_is_anothers() {
    let (first, second) = in_turns();
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(fine && text.contains("15 packs, 60 rows") && !text.contains("do not count"), "{text}");
    assert!(text.contains("superseded: packs that later epochs delivered again: left out"), "{text}");
    let (fine, text) = told(&[first.path()]);
    assert!(fine && text.contains("9 packs"), "{text}");
    assert!(text.contains("the packs behind pack 1/3, up to 2/3, are another node's"), "{text}");
    assert!(text.contains("the packs behind pack 3/3, up to 4/3, are another node's"), "{text}");
    assert!(told(&[second.path()]).0);
}

#[test]
fn an_epoch_that_is_missing_is_a_fault_unless_it_may_have_been_removed_as_old() {
    let (first, second) = in_turns();
    remove(&first, 3);
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(
        !fine && text.contains("packs are missing in front of pack 4/1: expected pack 3/3, got pack 2/3"),
        "{text}"
    );
    let (fine, text) = told(&[first.path()]);
    assert!(
        !fine && text.contains("packs are missing in front of pack 5/1: expected pack 3/3, got pack 1/3"),
        "{text}"
    );
    // Old files go from the first one on.
    remove(&first, 1);
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(fine, "{text}");
    assert!(
        text.contains("the packs behind pack 2/3, up to 3/3, are not here: older files were removed"),
        "{text}"
    );
    let (first, second) = in_turns();
    fs::remove_file(path(second.path(), "2-00000002.jsonl")).unwrap();
    fs::remove_file(path(second.path(), "2-00000002.jsonl.packs")).unwrap();
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(
        !fine && text.contains("packs are missing in front of pack 3/1: expected pack 2/3, got pack 2/2"),
        "{text}"
    );
}

#[test]
fn a_folder_that_is_not_given_is_missed() {
    let (first, _second) = in_turns();
    let (fine, text) = told(&[first.path(), folder().path()]);
    assert!(
        !fine && text.contains("packs are missing in front of pack 3/1: expected pack 2/3, got pack 1/3"),
        "{text}"
    );
}

#[test]
fn rows_that_come_again_from_another_node_are_found() {
    let (mut writer, first) = first_epoch();
    let second = folder();
    writer.next -= 1;
    epoch(&mut writer, &second, name(1, 3), name(0, 0));
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(!fine && text.contains("comes again"), "{text}");
    let (mut writer, first) = first_epoch();
    let second = folder();
    writer.seq = 0;
    epoch(&mut writer, &second, name(1, 3), name(0, 0));
    assert!(told(&[first.path(), second.path()]).0, "numbers rise");
    let third = folder();
    writer.seq = 0;
    epoch(&mut writer, &third, name(2, 3), name(0, 0));
    let (fine, text) = told(&[first.path(), second.path(), third.path()]);
    assert!(!fine && text.contains("seq does not go on in pack 3/1"), "{text}");
}

#[test]
fn a_crash_between_the_renames_of_a_file_is_a_note() {
    let (mut writer, first) = first_epoch();
    let second = folder();
    epoch(&mut writer, &second, name(1, 3), name(0, 0));
    come_back(&first);
    // As it is in between: the rows are put aside, their sidecar is not.
    let aside = first.path().join("superseded");
    let moved = path(&aside, "1-00000003.jsonl.packs");
    fs::rename(&moved, path(first.path(), "1-00000003.jsonl.packs")).unwrap();
    let (fine, text) = told(&[first.path(), second.path()]);
    assert!(fine && text.contains("its rows are in superseded/ already"), "{text}");
    come_back(&first);
    assert!(moved.exists());
}
