//! `mini` and `discard_huge_table`: what is held, what is too large, and what a point keeps of it.

use super::*;
use crate::change::batch::Place;
use crate::change::batch::XaReplaced;
use crate::sync_point::Judged;
use crate::sync_point::gap::GapKind;

const MINI: HoldRules =
    HoldRules { max_rows: 4, max_bytes: 1 << 20, discard_tables: false, oversize: Oversize::Discard };
const TABLES: HoldRules = HoldRules { discard_tables: true, ..MINI };
const STREAM: HoldRules = HoldRules { oversize: Oversize::Stream, ..MINI };

fn held(hold: HoldRules) -> PackRules {
    PackRules { hold: Some(hold), ..RULES }
}

/// A line is a pack.
fn small(hold: HoldRules) -> PackRules {
    PackRules { hold: Some(hold), ..SMALL }
}

fn deliver(words: &str, rules: PackRules) -> Sink {
    let (log, mut sink) = (log(words), Sink::default());
    feed(&mut builder(&log, rules), &log, 0, &mut sink).unwrap();
    sink
}

/// What the gaps say is lost, by table.
fn lost(sink: &Sink) -> Vec<String> {
    let tables = |gap: &GapReport| {
        let texts = gap.tables.iter().map(|table| format!("{} {}", table.table, table.rows));
        texts.collect::<Vec<_>>().join(", ")
    };
    sink.gaps.iter().map(|(_, gap)| tables(gap)).collect()
}

fn refusal(words: &str, rules: PackRules) -> Refusal {
    let (log, mut sink) = (log(words), Sink::default());
    match feed(&mut builder(&log, rules), &log, 0, &mut sink) {
        Err(BuildError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_inclusive_and_count_watched_rows() {
    let sink = deliver("begin pass*9 a*2 b pass*9 b commit begin a*5 commit begin b commit", held(MINI));
    assert_eq!(shorts(&sink.packs), ["a9 a10 b11 b21 gap b0"]);
    assert_eq!(lost(&sink), ["d.a 5"]);
    // Bytes: `seq` does not count, so a line is as long as ever.
    let two = packs(&log("begin a b commit"), RULES)[0].rows.len() - 2 * ",\"seq\":1".len();
    let bytes = |max_bytes| held(HoldRules { max_bytes, ..MINI });
    assert_eq!(joined(&deliver("begin a b commit", bytes(two)).packs), "a0 b1");
    assert_eq!(joined(&deliver("begin a b commit", bytes(two - 1)).packs), "gap");
}

#[test]
fn what_is_rolled_back_never_comes_out() {
    let words = "begin a set:x b*2 to:x c commit begin a*2 rollback begin b set:x a to:x a to:y c commit";
    for rules in [held(MINI), small(MINI), small(TABLES), small(STREAM)] {
        assert_eq!(joined(&deliver(words, rules).packs), "a0 c3 c3");
    }
    // It makes room: no more than four rows at any time.
    assert_eq!(
        joined(&deliver("begin a*2 set:x b*2 to:x c*2 to:x b*2 commit", held(MINI)).packs),
        "a0 a1 b6 b7"
    );
}

/// Only the rest of a held transaction is read anew: it must be held as far as before.
#[test]
fn what_was_rolled_back_stays_so_behind_a_crash() {
    for (hold, words) in [
        (MINI, "begin a set:x b*3 to:x c*2 commit"),
        (TABLES, "begin a set:x b*3 a*3 to:x c*2 a commit"),
        (STREAM, "begin a set:x b*3 to:x a c*3 set:x a*2 to:x b commit"),
    ] {
        let (log, rules) = (log(words), small(hold));
        let packs = packs(&log, rules);
        for (index, pack) in packs.iter().enumerate() {
            assert_eq!(
                shorts(&packs_behind(pack, &log, rules)),
                shorts(&packs[index + 1..]),
                "{words}, {index}"
            );
        }
    }
}

/// The original dropped the next good transaction behind a rollback, and merged what ended without an XID into it.
#[test]
fn each_transaction_ends_by_itself() {
    assert_eq!(
        joined(&deliver("begin a*9 rollback begin b commit ddl begin c commit", held(MINI)).packs),
        "b0 ddl c0"
    );
}

#[test]
fn the_table_with_the_most_rows_is_left_out_first() {
    let sink = deliver("begin c b a*3 c commit begin b commit", held(TABLES));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("c0 b1 c5 gap b0".to_owned(), vec!["d.a 3".to_owned()]));
    // For good, and those that follow as soon as the rest is too large again; of equals the one that came first.
    let sink = deliver("begin a*5 b*2 a c*2 b c commit", held(TABLES));
    assert_eq!(
        (joined(&sink.packs), lost(&sink)),
        ("c8 c9 c11 gap".to_owned(), vec!["d.a 6, d.b 3".to_owned()])
    );
    // All of them.
    let sink = deliver("begin a*5 b*5 commit", held(TABLES));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("gap".to_owned(), vec!["d.a 5, d.b 5".to_owned()]));
    let by_bytes = HoldRules { max_rows: 99, max_bytes: 900, ..TABLES };
    let sink = deliver("begin a! b*2 a commit", held(by_bytes));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("a0 a3 gap".to_owned(), vec!["d.b 2".to_owned()]));
}

#[test]
fn left_out_tables_and_savepoints() {
    // Table a was too large for a while: it stays out, and of it only what was not rolled back is lost.
    let sink = deliver("begin a b set:x a*5 to:x c commit", held(TABLES));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("b1 c7 gap".to_owned(), vec!["d.a 1".to_owned()]));
    let sink = deliver("begin b set:x a*5 to:x c commit", held(TABLES));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("b0 c6".to_owned(), vec![]));
    // Savepoints that move, and some that are given up.
    let sink = deliver("begin a*5 set:x a set:y a*2 set:x a*4 set:z a to:y b commit", held(TABLES));
    assert_eq!((joined(&sink.packs), lost(&sink)), ("b13 gap".to_owned(), vec!["d.a 6".to_owned()]));
}

#[test]
fn a_large_transaction_stops_at_its_end_and_only_if_it_is_committed() {
    let stop = HoldRules { oversize: Oversize::Stop, ..MINI };
    assert_eq!(
        joined(&deliver("begin a*9 rollback begin a*9 to:x commit begin b commit", held(stop)).packs),
        "b0"
    );
    let refused = refusal("begin b commit begin a*3 b*2 pass*7 a*9 commit", held(stop));
    assert_eq!(refused.code, crate::code::Code::TransOversize);
    let begins = format!(
        "the transaction {NAME}:2 at binlog.000001:154 is too large to be delivered whole: it has had more \
                          rows than trans_max_size=4 allows, and ends with 14 (d.a 12, d.b 2); "
    );
    assert!(refused.text.starts_with(&begins), "{}", refused.text);
    let bytes = HoldRules { max_rows: 99, max_bytes: 300, ..stop };
    let refused = refusal("begin a*2 commit", held(bytes));
    assert!(refused.text.contains("2 of its rows were ") && refused.text.contains("trans_max_bytes=300"));
    // Statements are no rows, and have no table that could be left out.
    let refused = refusal("begin sql sql sql commit", held(HoldRules { discard_tables: true, ..bytes }));
    assert!(refused.text.contains("trans_max_bytes=300"), "{}", refused.text);
}

#[test]
fn a_gap_is_recorded_before_anything_of_its_transaction_goes_out() {
    let sink = deliver("begin b commit begin a*5 b c commit begin c commit", small(TABLES));
    assert_eq!(shorts(&sink.packs), ["b0", "b5", "c6", "gap", "c0"]);
    let [(before, gap)] = &sink.gaps[..] else { panic!("{:?}", sink.gaps) };
    assert!(*before <= 1);
    assert_eq!((gap.kind, gap.from.pos, gap.to.pos), (GapKind::Discard, 154, 404));
    assert_eq!(gap.from.gtid.as_deref(), Some(&*format!("{NAME}:2")));
    let line: serde_json::Value = serde_json::from_slice(&sink.packs[3].rows).unwrap();
    assert_eq!(line["tables"], serde_json::json!([{"table": "d.a", "rows": 5}]));
    assert_eq!(line["reason"], gap.reason.as_str());
    // Recorded also where no line is wanted.
    let sink = deliver("begin a*5 commit", PackRules { gap_lines: false, ..held(MINI) });
    assert_eq!((sink.packs.len(), lost(&sink)), (0, vec!["d.a 5".to_owned()]));
}

#[test]
fn begin_and_commit_stand_around_changes_only() {
    let lines = |hold| PackRules { transaction_lines: true, ..held(hold) };
    let words = "begin a*5 commit begin a*5 b commit begin pass*3 commit begin a to:x commit";
    assert_eq!(joined(&deliver(words, lines(MINI)).packs), "gap gap");
    let sink = deliver(words, lines(TABLES));
    assert_eq!(joined(&sink.packs), "gap begin b5 gap commit");
    let text = String::from_utf8(sink.bytes()).unwrap();
    assert!(text.lines().last().unwrap().contains("\"inserts\":1,\"updates\":0,\"deletes\":0"), "{text}");
}

/// A commit without a begin stood behind the gap.
#[test]
fn an_xa_commit_without_its_rows_is_a_gap_alone() {
    let log = log("begin commit begin b commit");
    for rules in [LINES, PackRules { hold: Some(MINI), ..LINES }] {
        let (mut builder, mut sink) = (builder(&log, rules), Sink::default());
        let mut batch = log.batch(0..log.events.len());
        batch.items.insert(1, Item::XaUnknown("X'78',X'',1".into()));
        builder.accept(&batch, &mut sink).unwrap();
        builder.flush(&mut sink).unwrap();
        assert_eq!(joined(&sink.packs), "gap begin b0 commit");
    }
}

#[test]
fn an_xa_prepare_that_nobody_decided_on_is_a_gap_between_transactions() {
    let log = log("begin a commit begin b commit");
    let by = Place { file: "mysql-bin.000003".into(), pos: 500 };
    let old =
        XaReplaced { xid: "X'78',X'',1".into(), place: Place { pos: 100, ..by.clone() }, gtid: None, by };
    for rules in [LINES, PackRules { hold: Some(MINI), ..LINES }] {
        let (mut builder, mut sink) = (builder(&log, rules), Sink::default());
        let mut batch = log.batch(0..log.events.len());
        batch.items.insert(0, Item::XaReplaced(Box::new(old.clone())));
        builder.accept(&batch, &mut sink).unwrap();
        builder.flush(&mut sink).unwrap();
        assert_eq!(joined(&sink.packs), "gap begin a0 commit begin b0 commit");
        let text = String::from_utf8(sink.bytes()).unwrap();
        assert!(text.contains("and the one at mysql-bin.000003:500 has its name"), "{text}");
    }
}

#[test]
fn a_point_keeps_what_was_decided() {
    let judged = |pack: &Sent| pack.inside.as_ref().and_then(|inside| inside.judged.clone());
    let up_to = |rows, steps, left_out: &[&str]| {
        let left_out = left_out.iter().map(|table| ("d".to_owned(), (*table).to_owned())).collect();
        Some(Judged { rows, steps, left_out })
    };
    let sink = deliver("begin a b set:x c*2 to:x c commit", small(MINI));
    let all: Vec<_> = sink.packs.iter().map(judged).collect();
    assert_eq!(all, [up_to(5, 0, &[]), up_to(5, 0, &[]), None]);
    let sink = deliver("begin a*5 b*2 commit", small(TABLES));
    let all: Vec<_> = sink.packs.iter().map(judged).collect();
    assert_eq!(all, [up_to(7, 1, &["a"]), up_to(7, 1, &["a"]), None], "b5, b6 and the gap");
    // Streamed: up to the row that was too much.
    let sink = deliver("begin a*6 commit", small(STREAM));
    let all: Vec<_> = sink.packs.iter().map(judged).collect();
    assert_eq!(all[3..], [up_to(5, 0, &[]), None, None]);
}

/// A transaction that has come in part under one policy goes on under another.
#[test]
fn a_policy_may_change_in_the_middle() {
    let stop = HoldRules { max_rows: 1, oversize: Oversize::Stop, ..MINI };
    let all = [SMALL, small(MINI), small(TABLES), small(STREAM), small(stop)];
    let rest = |log: &Log, first: PackRules| {
        for (index, pack) in packs(log, first).iter().enumerate() {
            for second in all {
                let behind = shorts(&packs_behind(pack, log, second));
                assert_eq!(behind, shorts(&packs(log, first)[index + 1..]), "{index}, {second:?}");
            }
        }
    };
    // Larger than `stop` allows, and nothing is rolled back.
    rest(&log("begin a b*2 set:x c commit"), SMALL);
    rest(&log("begin a b*2 set:x c commit"), small(MINI));
    rest(&log("begin a b*2 a*2 set:x c commit"), small(STREAM));
    // Table a is left out, whoever goes on.
    rest(&log("begin a b*2 a*5 c a commit"), small(TABLES));
}

#[test]
fn discards_are_counted() {
    let log = log("begin a*5 commit begin a*5 b commit begin b commit");
    let (mut builder, mut sink) = (builder(&log, held(TABLES)), Sink::default());
    feed(&mut builder, &log, 0, &mut sink).unwrap();
    assert_eq!(builder.discards(), Discards { transactions: 2, rows: 10 });
}

/// What is dropped is dropped at once, and a huge transaction leaves no huge buffer behind.
#[test]
fn little_is_held() {
    let rules = HoldRules { max_rows: 1 << 40, max_bytes: 4 << 20, ..MINI };
    for hold in [
        rules,
        HoldRules { discard_tables: true, ..rules },
        HoldRules { oversize: Oversize::Stream, ..rules },
    ] {
        let log = log("begin a*9000 b*9000 a*9000 b*9000 c commit");
        let (mut builder, mut sink) = (builder(&log, held(hold)), Sink::default());
        for event in 0..log.events.len() {
            builder.accept(&log.batch(event..event + 1), &mut sink).unwrap();
            assert!(
                builder.held.memory() <= 12 << 20,
                "{} bytes behind event {event}",
                builder.held.memory()
            );
        }
        assert!(builder.held.memory() <= 2 << 20, "{} bytes are kept", builder.held.memory());
    }
}
