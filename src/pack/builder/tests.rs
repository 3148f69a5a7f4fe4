//! One test for each rule, and for each thing that once went wrong.

use super::testing::*;
use super::*;
use crate::change::batch::Place;

fn log(words: &str) -> Log {
    Log::new(Naming::Mysql, words)
}

/// Every line is a pack as soon as another one follows in its transaction.
const SMALL: PackRules = PackRules { max_lines: 1, ..RULES };
const LINES: PackRules = PackRules { transaction_lines: true, ..RULES };

/// The packs of a log, as short texts.
fn told(words: &str, rules: PackRules) -> Vec<String> {
    shorts(&packs(&log(words), rules))
}

/// What one long pack would hold.
fn joined(packs: &[Sent]) -> String {
    shorts(packs).join(" ")
}

fn inside(pack: &Sent) -> Option<(u64, u64)> {
    pack.inside.as_ref().map(|inside| (inside.rows, inside.steps))
}

#[test]
fn a_transaction_is_held_until_it_ends() {
    let log = log("begin a b commit begin a");
    let (mut builder, mut sink) = (builder(&log, RULES), Sink::default());
    builder.accept(&log.batch(0..3), &mut sink).unwrap();
    assert!(!builder.has_finished_lines());
    builder.flush(&mut sink).unwrap();
    assert!(sink.packs.is_empty());
    builder.accept(&log.batch(3..6), &mut sink).unwrap();
    assert!(builder.has_finished_lines());
    builder.flush(&mut sink).unwrap();
    assert_eq!(shorts(&sink.packs), ["a0 b1"]);
    assert_eq!((sink.packs[0].frontier.place.pos, inside(&sink.packs[0])), (204, None));
}

#[test]
fn finished_transactions_fill_packs_and_a_new_one_begins_the_next_pack() {
    let three = PackRules { max_lines: 3, ..RULES };
    assert_eq!(told("begin a commit begin a a commit begin a commit", three), ["a0 a0 a1", "a0"]);
    // Two of the second one are written when it overflows: they wait for its end.
    assert_eq!(told("begin a a commit begin a a a commit", three), ["a0 a1", "a0 a1 a2"]);
    // The third line overflows the pack only with the fourth.
    assert_eq!(told("begin a a a commit begin a commit", three), ["a0 a1 a2", "a0"]);
}

#[test]
fn a_transaction_larger_than_a_pack_goes_out_in_fragments() {
    let two = PackRules { max_lines: 2, ..RULES };
    let packs = packs(&log("begin b commit begin a a a a a commit"), two);
    assert_eq!(shorts(&packs), ["b0", "a0 a1", "a2 a3", "a4"]);
    let insides: Vec<_> = packs.iter().map(inside).collect();
    assert_eq!(insides, [None, Some((2, 0)), Some((4, 0)), None]);
    // The point of a fragment is the start of its transaction.
    let places: Vec<_> = packs.iter().map(|pack| pack.frontier.place.pos).collect();
    assert_eq!(places, [154, 154, 154, 504]);
    let gtids: Vec<_> = packs.iter().filter_map(|pack| pack.inside.as_ref()?.gtid.clone()).collect();
    assert!(gtids.iter().all(|gtid| gtid.ends_with(":2")), "{gtids:?}");
}

/// Each fragment's header once named the transaction's first line as the pack's first.
#[test]
fn headers_name_the_first_and_the_last_line_of_their_pack() {
    let two = PackRules { max_lines: 2, ..RULES };
    let packs = packs(&log("begin a*5 set:x a a to:x commit begin b commit"), two);
    assert_eq!(shorts(&packs), ["a0 a1", "a2 a3", "a4 a5", "from5 b0"]);
    let ends: Vec<_> = packs.iter().map(|pack| (pack.first.seq, pack.last.seq, pack.next_seq)).collect();
    assert_eq!(ends, [(1, 2, 3), (3, 4, 5), (5, 6, 7), (7, 8, 9)]);
    assert_eq!((packs[1].first.row, packs[1].last.row), (2, 3));
}

/// The header's last line was one that had been dropped.
#[test]
fn a_header_names_no_line_that_was_rolled_back() {
    let packs = packs(&log("begin a set:x b b to:x commit"), RULES);
    assert_eq!(shorts(&packs), ["a0"]);
    assert_eq!((packs[0].last.row, packs[0].last.pos, packs[0].next_seq), (0, 54, 2));
}

#[test]
fn a_row_larger_than_a_pack_is_a_pack_of_its_own() {
    let rules = PackRules { max_bytes: 450, ..RULES };
    assert_eq!(told("begin b commit begin a a! a! a commit", rules), ["b0", "a0", "a1", "a2", "a3"]);
    assert_eq!(told("begin a! commit begin a commit", rules), ["a0", "a0"]);
}

#[test]
fn what_was_rolled_back_does_not_come_out_and_uses_no_numbers() {
    let packs = packs(&log("begin a a rollback begin b commit begin a rollback"), RULES);
    assert_eq!(shorts(&packs), ["b0"]);
    assert_eq!((packs[0].first.seq, packs[0].next_seq), (1, 2));
    // It is done with all the same.
    assert_eq!(
        packs[0].frontier.executed.as_ref().unwrap().to_string(),
        "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e:1-3"
    );
    assert_eq!(packs[0].frontier.place.pos, 504);
}

#[test]
fn a_rollback_of_what_has_gone_out_is_a_line() {
    assert_eq!(told("begin a a a rollback begin b commit", SMALL), ["a0", "a1", "from0", "b0"]);
    let with_lines = PackRules { max_lines: 2, ..LINES };
    assert_eq!(told("begin a a rollback", with_lines), ["begin a0", "from0"]);
    assert_eq!(told("begin a rollback", with_lines), [""; 0]);
}

#[test]
fn a_transaction_that_ended_in_a_torn_file_is_not_executed() {
    let log = log("begin a rollback begin b commit");
    let mut batch = log.batch(0..6);
    for item in &mut batch.items {
        if let Item::End(End { gtid, outcome: Outcome::Rollback, .. }) = item {
            *gtid = None;
        }
    }
    let (mut builder, mut sink) = (builder(&log, RULES), Sink::default());
    builder.accept(&batch, &mut sink).unwrap();
    let set = builder.frontier().executed.as_ref().unwrap().to_string();
    assert_eq!(set, "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e:2");
}

#[test]
fn rollback_to_a_savepoint_drops_what_is_held() {
    assert_eq!(told("begin a set:x b b to:x c commit", RULES), ["a0 c3"]);
    // The savepoint stays, one set again moves, those behind it go, case does not count.
    assert_eq!(told("begin a set:x b to:X c to:x d commit", RULES), ["a0 d3"]);
    assert_eq!(told("begin a set:x b set:X c to:x d commit", RULES), ["a0 b1 d3"]);
    assert_eq!(told("begin set:x a set:y b to:x c set:Y d to:y commit", RULES), ["c2"]);
    assert_eq!(told("begin a set:É b to:é commit", RULES), ["a0"]);
}

/// A savepoint that was set before the transaction's first change is not in the log. The `begin` line once went with the
/// rest.
#[test]
fn rollback_to_a_savepoint_that_is_not_in_the_log_drops_all_but_the_beginning() {
    assert_eq!(told("begin a a to:x b commit", LINES), ["begin b2 commit"]);
    assert_eq!(told("begin a a to:x b commit", SMALL), ["a0", "from0", "b2"]);
}

#[test]
fn rollback_to_a_savepoint_takes_back_what_has_gone_out() {
    // Wholly: behind the savepoint are a1, which is out, and b2, which is held.
    assert_eq!(told("begin a set:x a b to:x c commit", SMALL), ["a0", "a1", "from1", "c3"]);
    // Of what is behind the savepoint nothing is out.
    assert_eq!(told("begin a set:x a to:x c commit", SMALL), ["a0", "c2"]);
    // To an outer one and once more; the line "from2" is held, and the next one says more.
    assert_eq!(
        told("begin a set:x a set:y a a to:y to:x a a to:x commit", SMALL),
        ["a0", "a1", "a2", "from1", "a4", "from1"]
    );
}

#[test]
fn commit_lines_count_what_was_delivered_and_not_taken_back() {
    let count = |words: &str, rules: PackRules| {
        let packs = packs(&log(words), rules);
        let text = String::from_utf8(packs.last().unwrap().rows.clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["op"], "commit");
        ["inserts", "updates", "deletes"].map(|count| line[count].as_u64().unwrap())
    };
    assert_eq!(count("begin a*3 a~ a~ a- pass*7 commit", LINES), [3, 2, 1]);
    for rules in [LINES, PackRules { max_lines: 1, ..LINES }] {
        assert_eq!(count("begin a set:x a~ a~ to:x a- commit", rules), [1, 0, 1]);
        assert_eq!(count("begin a a to:unknown a- commit", rules), [0, 0, 1]);
    }
    // Those that went out before a crash count as well.
    let log = log("begin a*3 set:x a~ to:x commit");
    let packs = packs(&log, PackRules { max_lines: 2, ..LINES });
    let behind = packs_behind(&packs[0], &log, PackRules { max_lines: 2, ..LINES });
    assert_eq!(packs.last().unwrap().rows, behind.last().unwrap().rows);
}

#[test]
fn transactions_without_rows_move_the_point_and_nothing_else() {
    let log = log("begin commit begin pass*3 commit moved rotate");
    let (mut builder, mut sink) = (builder(&log, RULES), Sink::default());
    feed(&mut builder, &log, 0, &mut sink).unwrap();
    assert!(sink.packs.is_empty());
    let frontier = builder.frontier();
    assert_eq!((&*frontier.place.file, frontier.place.pos, frontier.file_created), ("binlog.000002", 4, 7));
    assert_eq!(frontier.ts_ms, 2000);
    assert_eq!(told("begin commit", LINES), ["begin commit"]);
}

#[test]
fn rows_that_are_not_watched_count_in_the_ordinals() {
    assert_eq!(told("begin pass*2 a pass*3 a commit", RULES), ["a2 a6"]);
}

#[test]
fn statements_are_lines_of_their_transaction() {
    assert_eq!(
        told("ddl begin sql a a commit ddl", LINES),
        ["begin ddl commit begin ddl a0 a1 commit begin ddl commit"]
    );
    assert_eq!(told("begin sql a rollback begin a set:x sql to:x commit", RULES), ["a0"]);
    assert_eq!(told("begin sql a rollback", SMALL), ["ddl", "from0"]);
}

#[test]
fn lines_without_numbers_and_an_unfinished_end() {
    let log = log("begin a commit begin b");
    let mut builder = PackBuilder::new(line_writer(), RULES, log.start(), None, None);
    let mut sink = Sink::default();
    builder.accept(&log.batch(0..5), &mut sink).unwrap();
    assert!(builder.flush_unfinished(&mut sink).unwrap());
    assert_eq!(shorts(&sink.packs), ["a0", "b0"]);
    assert!(!String::from_utf8(sink.bytes()).unwrap().contains("seq"));
    builder.accept(&self::log("begin a commit begin b commit").batch(5..6), &mut sink).unwrap();
    assert!(!builder.flush_unfinished(&mut sink).unwrap());
    assert_eq!(sink.packs.len(), 2);
}

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
        builder.deliver_anew(&changed);
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

const NAME: &str = "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e";

#[test]
fn a_gap_line_survives_a_break_and_is_told_again_only_when_it_was_lost() {
    let pack = packs(&log("begin a a a commit"), SMALL)[1].clone();
    let now = log("begin a b commit");
    for sent in [false, true] {
        let (mut builder, mut sink) = (builder_behind(&pack, SMALL), Sink::default());
        let Err(BuildError::Changed(changed)) = feed(&mut builder, &now, 0, &mut sink) else {
            panic!("not seen");
        };
        builder.deliver_anew(&changed);
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

#[test]
fn places_move_while_the_rest_of_a_transaction_is_waited_for() {
    let log = log("begin a a a commit");
    let pack = &packs(&log, SMALL)[0];
    let (mut builder, mut sink) = (builder_behind(pack, SMALL), Sink::default());
    let mut ahead = Batch::default();
    ahead.items.push(Item::Moved(Place { file: "other.000009".into(), pos: 4 }));
    ahead.items.push(Item::File { file: "other.000009".into(), created: 5 });
    ahead.items.push(Item::Moved(Place { file: "other.000009".into(), pos: 120 }));
    builder.accept(&ahead, &mut sink).unwrap();
    assert!(builder.is_streaming());
    assert_eq!(builder.interrupted().1, pack.inside);
    feed(&mut builder, &log, 0, &mut sink).unwrap();
    assert_eq!(shorts(&sink.packs), ["a1", "a2"]);
}

#[test]
fn numbers_are_not_used_twice_and_none_is_left_out() {
    let log =
        log("begin a a rollback begin a a a set:x a a to:x a commit begin b rollback begin a a rollback ddl");
    for max_lines in 1..6 {
        let packs = packs(&log, PackRules { max_lines, ..LINES });
        let text: String = packs.iter().map(|pack| String::from_utf8(pack.rows.clone()).unwrap()).collect();
        let seqs = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["seq"].as_u64().unwrap()
        });
        assert!(seqs.eq(1..packs.last().unwrap().next_seq), "{max_lines}: {text}");
    }
}

#[test]
fn changes_outside_of_transactions_are_refused() {
    for word in ["a", "pass*1", "sql", "set:x", "to:x", "commit", "rollback", "begin begin"] {
        let log = log(word);
        let (mut builder, mut sink) = (builder(&log, RULES), Sink::default());
        let outcome = feed(&mut builder, &log, 0, &mut sink);
        assert!(matches!(outcome, Err(BuildError::Refused(_))), "{word}: {outcome:?}");
    }
}

#[test]
fn a_row_that_cannot_be_read_is_told_with_its_place() {
    let log = log("begin b commit begin a*2 commit");
    let mut batch = log.batch(0..6);
    // The length of the last row's text.
    let length = batch.bytes.len() - 3;
    batch.bytes[length] = 9;
    let (mut builder, mut sink) = (builder(&log, RULES), Sink::default());
    match builder.accept(&batch, &mut sink) {
        Err(BuildError::Row(bad)) => {
            let text = bad.to_string();
            assert!(text.starts_with("binlog.000001:204: row 1 of the transaction, d.a.v: "), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // What stood before its transaction can still go out.
    builder.flush(&mut sink).unwrap();
    assert_eq!(shorts(&sink.packs), ["b0"]);
}

#[test]
fn savepoints_beyond_measure_cost_neither_time_nor_memory() {
    const MANY: usize = 300_000;
    let mut words = vec![Change::Begin];
    words.extend((0..MANY).map(|n| Change::Savepoint(format!("s{n}"))));
    let begun = Log::of(Naming::Mysql, words);
    let back_to = |name: String| {
        let mut changes = vec![Change::Begin, Change::RollbackTo(name)];
        changes.truncate(2);
        Log::of(Naming::Mysql, changes)
    };
    let (mut builder, mut sink) = (builder(&begun, RULES), Sink::default());
    feed(&mut builder, &begun, 0, &mut sink).unwrap();
    let near = back_to(format!("s{}", MANY - 1000));
    builder.accept(&near.batch(1..2), &mut sink).unwrap();
    let far = back_to("s7".to_owned());
    let outcome = builder.accept(&far.batch(1..2), &mut sink);
    assert!(matches!(outcome, Err(BuildError::Refused(_))), "{outcome:?}");
}
