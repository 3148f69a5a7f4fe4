//! One test for each rule, and for each thing that once went wrong.

mod policies;
mod resumed;

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
    assert_eq!(told("begin commit begin pass*3 commit begin a to:x commit", LINES), [""; 0]);
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

const NAME: &str = "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e";

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
