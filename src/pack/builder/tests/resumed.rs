//! What comes again behind a break or a crash, and what does not.

use super::*;
use crate::sync_point::gap::GapKind;

/// Reads a log up to an event, loses the connection, reads on, loses it again at the next event of `breaks`, and so on.
fn with_breaks(log: &Log, rules: PackRules, breaks: &[usize]) -> Vec<Sent> {
    let (mut builder, mut sink) = (builder(log, rules), Sink::default());
    let mut at = 0;
    for end in breaks {
        builder.accept(&log.batch(at..*end), &mut sink).unwrap();
        at = log.index_of(&builder.interrupted().0.place);
    }
    feed(&mut builder, log, at, &mut sink).unwrap();
    sink.packs
}

#[test]
fn a_break_inside_a_transaction_repeats_and_loses_nothing() {
    let log = log("begin b commit begin a a a pass*2 a a commit begin b commit");
    for rules in [RULES, SMALL, PackRules { max_lines: 3, ..LINES }] {
        let whole = joined(&packs(&log, rules));
        for end in 0..log.events.len() {
            assert_eq!(joined(&with_breaks(&log, rules, &[end])), whole, "broken before event {end}");
        }
    }
}

/// Lines that were held, and counted as delivered because a part of their transaction was out, were dropped when the
/// connection broke once more before they were reached: rows lost.
#[test]
fn a_second_break_while_rows_are_left_out_loses_nothing() {
    let log = log("begin a a a a a a commit");
    let two = PackRules { max_lines: 2, ..RULES };
    let whole = joined(&packs(&log, two));
    assert_eq!(whole, "a0 a1 a2 a3 a4 a5");
    // a0 and a1 are out, a2 and a3 are held; the second reading gets no further than a0.
    assert_eq!(joined(&with_breaks(&log, two, &[5, 2])), whole);
    for first in 0..8 {
        for second in 0..8 {
            for third in [0, 3, 6] {
                let breaks = [first, second.max(1), third];
                assert_eq!(joined(&with_breaks(&log, two, &breaks)), whole, "{breaks:?}");
            }
        }
    }
}

/// A savepoint that was passed while rows were left out took back the rows before it as well.
#[test]
fn savepoints_are_the_same_behind_a_break() {
    let log = log("begin a a set:x a set:y a a to:y a to:x a commit");
    for max_lines in 1..8 {
        let rules = PackRules { max_lines, ..RULES };
        let whole = joined(&packs(&log, rules));
        for first in 0..log.events.len() {
            for second in 0..log.events.len() {
                let breaks = [first, second];
                assert_eq!(joined(&with_breaks(&log, rules, &breaks)), whole, "{max_lines} {breaks:?}");
            }
        }
    }
}

/// Such a point ("0 rows into this one") was taken for one of another transaction.
#[test]
fn a_crash_behind_a_begin_line_alone() {
    let log = log("begin a pass*2 b commit");
    let rules = PackRules { max_lines: 1, ..LINES };
    let packs = packs(&log, rules);
    assert_eq!((short(&packs[0]).as_str(), inside(&packs[0])), ("begin", Some((0, 0))));
    assert_eq!(shorts(&packs_behind(&packs[0], &log, rules)), ["a0", "b3", "commit"]);
}

/// A line that is no row, at the border of a fragment, was repeated or left out: the point counted rows only.
#[test]
fn statements_and_rollbacks_at_the_border_of_a_fragment() {
    let log = log("begin sql a sql sql a set:x sql a to:x sql sql a commit");
    for rules in [SMALL, PackRules { max_lines: 2, ..RULES }, PackRules { max_lines: 3, ..LINES }] {
        let packs = packs(&log, rules);
        for (index, pack) in packs.iter().enumerate() {
            let rest = packs_behind(pack, &log, rules);
            assert_eq!(joined(&rest), joined(&packs[index + 1..]), "behind pack {index}");
        }
    }
}

/// What a reader of the fragments sees when the transaction that they are of is rolled back behind a crash: each fragment
/// once, and one line that takes all of them back.
#[test]
fn a_rollback_behind_a_crash_takes_back_what_went_out_before_it() {
    let log = log("begin a a a a rollback begin b commit");
    let packs = packs(&log, SMALL);
    assert_eq!(shorts(&packs), ["a0", "a1", "a2", "from0", "b0"]);
    for (index, pack) in packs.iter().enumerate() {
        let rest = packs_behind(pack, &log, SMALL);
        assert_eq!(shorts(&rest), shorts(&packs[index + 1..]));
        assert!(rest.iter().zip(&packs[index + 1..]).all(|(one, other)| one.rows == other.rows));
    }
}

#[test]
fn what_was_rolled_back_silently_stays_so_behind_a_crash() {
    // b1 and b2 never went out; the point is that behind a0.
    let log = log("begin a set:x b b to:x c! commit");
    let rules = PackRules { max_bytes: 740, ..RULES };
    let packs = packs(&log, rules);
    assert_eq!((shorts(&packs), inside(&packs[0])), (vec!["a0".to_owned(), "c3".to_owned()], Some((1, 0))));
    assert_eq!(shorts(&packs_behind(&packs[0], &log, rules)), ["c3"]);
}

fn changed(pack: &Sent, log: &Log) -> Box<Changed> {
    let (mut builder, mut sink) = (builder_behind(pack, SMALL), Sink::default());
    match feed(&mut builder, log, log.index_of(&pack.frontier.place), &mut sink) {
        Err(BuildError::Changed(changed)) => changed,
        other => panic!("{other:?}, {:?}", shorts(&sink.packs)),
    }
}

#[test]
fn another_transaction_in_the_place_of_the_one_we_were_in_is_told_apart() {
    let before = log("begin a a a a commit");
    let pack = &packs(&before, SMALL)[1];
    assert_eq!(inside(pack), Some((2, 0)));
    // Another name, other rows, and fewer of them, committed or not.
    let mariadb = Log::new(Naming::Mariadb, "begin a a a a commit");
    assert_eq!(changed(pack, &mariadb).difference, Difference::Name);
    assert_eq!(changed(pack, &Log::new(Naming::None, "begin a a a commit")).difference, Difference::Name);
    assert!(matches!(changed(pack, &log("begin a b a a commit")).difference, Difference::Crc32(_)));
    assert!(matches!(changed(pack, &log("begin a a~ a a commit")).difference, Difference::Crc32(_)));
    assert!(matches!(changed(pack, &log("begin a pass*9 a commit")).difference, Difference::Crc32(_)));
    assert_eq!(changed(pack, &log("begin a commit begin a a a commit")).difference, Difference::Rows(1));
    assert_eq!(changed(pack, &log("begin a rollback")).difference, Difference::Rows(1));
    // Without GTIDs a transaction's place is its name.
    let before = Log::new(Naming::None, "begin a a a a commit");
    let pack = &packs(&before, SMALL)[1];
    assert_eq!(
        changed(pack, &Log::new(Naming::None, "hole begin a a a a commit")).difference,
        Difference::Name
    );
}

#[test]
fn the_same_rows_may_be_cut_into_events_differently() {
    let pack = &packs(&log("begin pass*2 pass*3 a a a commit"), SMALL)[1];
    assert_eq!(inside(pack), Some((7, 0)));
    for words in ["begin pass*5 a*3 commit", "begin pass*1 pass*0 pass*4 a*0 a*2 a commit"] {
        assert_eq!(shorts(&packs_behind(pack, &log(words), SMALL)), ["a7"], "{words}");
    }
    // A point of before names were noted in it.
    let mut unnamed = pack.clone();
    unnamed.inside.as_mut().unwrap().gtid = None;
    assert_eq!(shorts(&packs_behind(&unnamed, &log("begin pass*5 a*3 commit"), SMALL)), ["a7"]);
}

#[test]
fn a_changed_transaction_is_delivered_whole_behind_a_gap_line() {
    let pack = packs(&log("begin b commit begin a a a a commit"), SMALL)[2].clone();
    assert_eq!((inside(&pack), pack.next_seq), (Some((2, 0)), 4));
    let now = log("begin b commit begin a b a commit begin c commit");
    let from = now.index_of(&pack.frontier.place);
    let run = |rules: PackRules| {
        let (mut builder, mut sink) = (builder_behind(&pack, rules), Sink::default());
        let Err(BuildError::Changed(changed)) = feed(&mut builder, &now, from, &mut sink) else {
            panic!("not seen");
        };
        assert!(sink.packs.is_empty());
        builder.deliver_anew(&changed, &mut sink).unwrap();
        assert_eq!((sink.gaps[0].0, sink.gaps[0].1.kind, sink.gaps[0].1.from.row), (0, GapKind::Changed, 2));
        assert!(!builder.is_streaming());
        let (frontier, inside) = builder.interrupted();
        assert_eq!((now.index_of(&frontier.place), inside), (from, None));
        feed(&mut builder, &now, from, &mut sink).unwrap();
        sink.packs
    };
    assert_eq!(shorts(&run(PackRules { gap_lines: false, ..SMALL })), ["a0", "b1", "a2", "c0"]);
    let [got, crc] = ["begin a b", "begin a a"].map(|words| {
        let packs = packs(&log(&format!("{words} a commit")), SMALL);
        packs[1].inside.as_ref().unwrap().crc32
    });
    let packs = run(SMALL);
    assert_eq!(shorts(&packs), ["gap", "a0", "b1", "a2", "c0"]);
    assert_eq!(
        String::from_utf8(packs[0].rows.clone()).unwrap(),
        format!(
            "{}\"reason\":\"the transaction {NAME}:2 at binlog.000001:154 was delivered up to its row 2, and the one that \
             comes now is another: the checksum over its first 2 rows is {got:08x}, expected {crc:08x}: {NAME}:2 at \
             binlog.000001:154\",\"shard\":\"s\",\"server\":\"h:1\",\"seq\":4}}\n",
            format_args!(
                "{{\"op\":\"gap\",\"from\":{{\"gtid\":\"{NAME}:2\",\"file\":\"binlog.000001\",\"pos\":154,\"row\":2}},\
                 \"to\":{{\"gtid\":\"{NAME}:2\",\"file\":\"binlog.000001\",\"pos\":154,\"row\":0}},"
            )
        )
    );
    assert_eq!((packs[0].first.pos, packs[0].first.row, packs[0].next_seq), (154, 0, 5));
    // A crash behind any of these packs: the gap is told once.
    for (index, pack) in packs.iter().enumerate() {
        assert_eq!(shorts(&packs_behind(pack, &now, SMALL)), shorts(&packs[index + 1..]));
    }
}

#[test]
fn a_gap_line_survives_a_break_and_is_told_again_only_when_it_was_lost() {
    let pack = packs(&log("begin a a a commit"), SMALL)[1].clone();
    let now = log("begin a b commit");
    for sent in [false, true] {
        let (mut builder, mut sink) = (builder_behind(&pack, SMALL), Sink::default());
        let Err(BuildError::Changed(changed)) = feed(&mut builder, &now, 0, &mut sink) else {
            panic!("not seen");
        };
        builder.deliver_anew(&changed, &mut sink).unwrap();
        if sent {
            builder.flush(&mut sink).unwrap();
        }
        builder.interrupted();
        builder.accept(&now.batch(0..2), &mut sink).unwrap();
        builder.interrupted();
        feed(&mut builder, &now, 0, &mut sink).unwrap();
        assert_eq!(joined(&sink.packs), "gap a0 b1");
        let seqs: Vec<_> = sink.packs.iter().map(|pack| (pack.first.seq, pack.next_seq)).collect();
        assert_eq!((seqs[0].0, seqs[seqs.len() - 1].1), (3, 6));
    }
}

/// Which rows of a table without a key have come is not known on another MySQL server, neither at once nor when the stream
/// of that one breaks before they were passed.
#[test]
fn rows_of_a_table_without_a_key_are_not_left_out_on_another_server() {
    let mysql = || StreamKind { by_gtid: true, purged: Some(Default::default()), ..StreamKind::default() };
    let comes = |words: &str, same: [bool; 2], stream: StreamKind| {
        let log = log(words);
        let (mut builder, mut sink) = (builder(&log, SMALL), Sink::default());
        builder.connected_to("a:1", true, mysql());
        builder.accept(&log.batch(0..4), &mut sink).unwrap();
        for same in same {
            let (frontier, inside) = builder.interrupted();
            // As after a crash: the point tells all.
            builder = PackBuilder::new(line_writer(), SMALL, frontier, inside, Some(9));
            builder.connected_to("b:1", same, stream.clone());
        }
        builder.interrupted();
        match feed(&mut builder, &log, 0, &mut sink) {
            Err(BuildError::Changed(changed)) => format!("{:?}", changed.difference),
            other => other.map(|()| joined(&sink.packs)).unwrap(),
        }
    };
    let mariadb = StreamKind { by_gtid: true, ..StreamKind::default() };
    for (words, same, stream, expected) in [
        ("begin k~ k~ k~ k~ commit", [false, true], mysql(), "Order"),
        ("begin a k- a a commit", [true, false], mysql(), "Order"),
        ("begin k~ k~ k~ k~ commit", [true, true], mysql(), "k0 k1 k2 k3"),
        ("begin k~ k~ k~ k~ commit", [false, true], mariadb, "k0 k1 k2 k3"),
        ("begin k k k k~ commit", [false, false], mysql(), "k0 k1 k2 k3"),
        ("begin a~ a~ a- a commit", [false, false], mysql(), "a0 a1 a2 a3"),
    ] {
        assert_eq!(comes(words, same, stream), expected, "{words} {same:?}");
    }
}
