//! One damage after another, and the one line that tells of it.

use crate::verify::tests::UUID;
use crate::verify::tests::change_headers;
use crate::verify::tests::change_rows;
use crate::verify::tests::faults;
use crate::verify::tests::good_folder;
use crate::verify::tests::path;
use std::fs;
use std::path::Path;

/// What is done to a good folder, and what must be said.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const DAMAGES: &[Damage] = &[
    (
        "a file in the middle is missing",
        |folder| {
            for end in ["1-00000002.jsonl", "1-00000002.jsonl.packs"] {
                fs::remove_file(path(folder, end)).unwrap();
            }
        },
        &[
            "1-00000003.jsonl.packs line 1: packs are missing or out of order behind pack 1/2: expected pack 1/3, got pack 1/5",
        ],
    ),
    (
        "the last file of an epoch is missing",
        |folder| {
            for end in ["1-00000003.jsonl", "1-00000003.jsonl.packs"] {
                fs::remove_file(path(folder, end)).unwrap();
            }
        },
        &["2-00000001.jsonl.packs line 1: pack 2/1 does not follow pack 1/4: packs between them are missing"],
    ),
    (
        "the first file of an epoch is missing",
        |folder| {
            for end in ["2-00000001.jsonl", "2-00000001.jsonl.packs"] {
                fs::remove_file(path(folder, end)).unwrap();
            }
        },
        &[
            "2-00000002.jsonl.packs line 1: packs are missing or out of order behind pack 1/5: expected pack 2/1, got pack 2/3",
        ],
    ),
    (
        "a sidecar is missing",
        |folder| fs::remove_file(path(folder, "1-00000002.jsonl.packs")).unwrap(),
        &["1-00000002.jsonl: its sidecar (the same name and .packs) is missing"],
    ),
    (
        "a data file is missing",
        |folder| fs::remove_file(path(folder, "1-00000002.jsonl")).unwrap(),
        &["1-00000002.jsonl.packs: its data file is missing"],
    ),
    (
        "two files are swapped",
        |folder| {
            for end in [".jsonl", ".jsonl.packs"] {
                let one = path(folder, &format!("1-00000001{end}"));
                let two = path(folder, &format!("1-00000002{end}"));
                let bytes = fs::read(&one).unwrap();
                fs::rename(&two, &one).unwrap();
                fs::write(&two, bytes).unwrap();
            }
        },
        &[
            "1-00000002.jsonl.packs line 1: packs are missing or out of order behind pack 1/4: expected pack 1/5, got pack 1/1",
            "1-00000003.jsonl.packs line 1: packs are missing or out of order behind pack 1/2: expected pack 1/3, got pack 1/5",
        ],
    ),
    (
        "two data files are swapped",
        |folder| {
            let (one, two) = (path(folder, "1-00000001.jsonl"), path(folder, "1-00000002.jsonl"));
            let bytes = fs::read(&one).unwrap();
            fs::rename(&two, &one).unwrap();
            fs::write(&two, bytes).unwrap();
        },
        &["1-00000001.jsonl line 1 offset 0: ", "1-00000002.jsonl line 1 offset 0: "],
    ),
    (
        "a file of another epoch under this name",
        |folder| {
            for end in [".jsonl", ".jsonl.packs"] {
                let copy = path(folder, &format!("2-00000001{end}"));
                fs::copy(copy, path(folder, &format!("3-00000001{end}"))).unwrap();
            }
        },
        &[
            "3-00000001.jsonl.packs line 1: a pack that does not belong into a file of this name: expected shard producer00 epoch 3, got shard producer00 epoch 2",
        ],
    ),
    (
        "rows behind the end",
        |folder| {
            let path = path(folder, "1-00000002.jsonl");
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend_from_slice(b"{}\n");
            fs::write(path, bytes).unwrap();
        },
        &["1-00000002.jsonl offset 1542: rows without a header: expected 1542 bytes, got 1545 bytes"],
    ),
    (
        "a file of a version of its own",
        |folder| {
            for end in [".jsonl", ".jsonl.packs"] {
                let copy = path(folder, &format!("1-00000001{end}"));
                fs::copy(copy, path(folder, &format!("1-00000004{end}"))).unwrap();
            }
        },
        &[
            "1-00000004.jsonl.packs line 1: packs are missing or out of order behind pack 1/5: expected pack 1/6, got pack 1/1",
            "2-00000001.jsonl.packs line 1: pack 2/1 does not follow pack 1/2",
        ],
    ),
    (
        "closed with and without .part",
        |folder| {
            fs::copy(path(folder, "2-00000002.jsonl"), path(folder, "2-00000002.jsonl.part")).unwrap();
        },
        &["2-00000002.jsonl.part: it is there with and without .part"],
    ),
    (
        "a line of another shard",
        |folder| change_rows(folder, "2-00000002", "producer00", "producer01"),
        &["2-00000002.jsonl line 1 offset 0: a line of another shard: expected producer00, got producer01"],
    ),
    (
        "a line that is no JSON",
        |folder| change_rows(folder, "2-00000002", "\"after\":", "\"after\";"),
        &["2-00000002.jsonl line 1 offset 0: no line of rows"],
    ),
    (
        "a seq twice",
        |folder| change_rows(folder, "2-00000002", "\"seq\":30", "\"seq\":29"),
        &["2-00000002.jsonl line 2 offset ", "seq does not go on: expected 30, got 29"],
    ),
    (
        "a row twice",
        |folder| change_rows(folder, "2-00000002", "\"row\":1", "\"row\":0"),
        &["2-00000002.jsonl line 2 offset ", "a row comes again, or falls: expected 1 or more, got 0"],
    ),
    (
        "a transaction of an earlier pack",
        |folder| {
            change_rows(folder, "2-00000002", &format!("{UUID}:16"), &format!("{UUID}:12"));
        },
        &["2-00000002.jsonl line 3 offset ", "a transaction that the pack before has finished comes again"],
    ),
    (
        "fewer rows than the header says",
        |folder| change_headers(&path(folder, "2-00000002.jsonl.packs"), |_, header| header.rows = 5),
        &["the pack has another number of lines: expected 5, got 4"],
    ),
    (
        "a seq that jumps between epochs",
        |folder| {
            change_headers(&path(folder, "1-00000003.jsonl.packs"), |_, header| header.next_seq -= 1);
        },
        &["the header's next_seq does not fit"],
    ),
    (
        "a point that falls",
        |folder| {
            change_headers(&path(folder, "1-00000003.jsonl.packs"), |_, header| {
                header.point.executed = Some(format!("{UUID}:1-7").parse().unwrap());
            });
        },
        &["the point of pack 1/5 lies before that of the pack before it: expected all of"],
    ),
];

#[test]
fn each_damage_is_told_with_file_and_place() {
    for (what, damage, expected) in DAMAGES {
        let temp = good_folder(true, true);
        damage(temp.path());
        let faults = faults(temp.path());
        assert!(!faults.is_empty(), "{what}: nothing was told");
        let text = faults.join("\n");
        for expected in *expected {
            assert!(text.contains(expected), "{what}: {expected:?} is missing in\n{text}");
        }
        assert!(faults.len() <= expected.len().max(1), "{what}: more than needed\n{text}");
    }
}
