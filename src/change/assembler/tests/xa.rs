//! XA transactions: kept aside, held, handed on when they are decided on.

use super::*;

const START: &str = "XA START X'78',X'',1";
const COMMIT: &str = "XA COMMIT X'78',X'',1";
const ROLLBACK: &str = "XA ROLLBACK X'78',X'',1";

/// Up to XA END, with one row.
fn rows(table: &str) -> Vec<Vec<u8>> {
    vec![query(START), table_map(1, table), insert(1), query("XA END X'78',X'',1")]
}

fn prepared(number: u64, table: &str) -> Vec<Vec<u8>> {
    log(&[&[gtid(number)], &rows(table), &[xa_prepare(0)]])
}

/// A GTID event with the name `X'78',X'',1`.
fn mariadb_gtid_xa(sequence: u64, flags: u8) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 0, flags, 1, 0, 0, 0, 1, 0, b'x', 0, 0]);
    testing::event(GTID_EVENT, &body)
}

#[test]
fn a_prepared_transaction_comes_when_it_is_committed() {
    let other = [gtid(2), query("BEGIN"), table_map(1, "t"), insert(1), insert(1), xid()];
    check(
        MYSQL,
        options(),
        &log(&[&prepared(1, "t"), &other, &[gtid(3), query(COMMIT)]]),
        &format!(
            "prepared X'78',X'',1 #0 #6 {NAME}:1, begin #6 {NAME}:2, Insert d.t, Insert d.t, Commit #12 {NAME}:2, \
             begin #0 {NAME}:1 at #12, Insert d.t, Commit #14 {NAME}:3 of X'78',X'',1 {NAME}:1"
        ),
    );
    check(
        MYSQL,
        options(),
        &log(&[&prepared(1, "t"), &[gtid(2), query(ROLLBACK)], &prepared(3, "u"), &[gtid(4), query(COMMIT)]]),
        &format!(
            "prepared X'78',X'',1 #0 #6 {NAME}:1, begin #6 {NAME}:2, Rollback #8 {NAME}:2 of X'78',X'',1 {NAME}:1, \
             prepared X'78',X'',1 #8 #14 {NAME}:3, begin #8 {NAME}:3 at #14, passed 1 d.u, \
             Commit #16 {NAME}:4 of X'78',X'',1 {NAME}:3"
        ),
    );
}

#[test]
fn mariadb_says_it_in_its_gtid_event() {
    let rows = [table_map(1, "t"), rows_of(WRITE_ROWS_EVENT_V1, 1, 1, 2), query("XA END X'78',X'',1")];
    for (flags, statement, expected) in [
        (0x88, COMMIT, "begin #0 0-1-5 at #5, Insert d.t, Commit #7 0-1-6 of X'78',X'',1 0-1-5"),
        (0x89, ROLLBACK, "begin #5 0-1-6, Rollback #7 0-1-6 of X'78',X'',1 0-1-5"),
    ] {
        check(
            MARIADB,
            options(),
            &log(&[
                &[mariadb_gtid_xa(5, 0x48)],
                &rows,
                &[xa_prepare(0), mariadb_gtid_xa(6, flags), query(statement)],
            ]),
            &format!("prepared X'78',X'',1 #0 #5 0-1-5, {expected}"),
        );
    }
}

#[test]
fn in_one_phase_it_is_a_transaction_like_others() {
    check(
        MYSQL,
        options(),
        &log(&[&[gtid(1)], &rows("t"), &[xa_prepare(1)]]),
        &format!("begin #0 {NAME}:1, Insert d.t, Commit #6 {NAME}:1"),
    );
    check(MYSQL, options(), &log(&[&rows("t"), &[query("ROLLBACK")]]), "begin #0, Rollback #5");
    check(MYSQL, options(), &log(&[&rows("t"), &[query("COMMIT")]]), "begin #0, Insert d.t, Commit #5");
}

#[test]
fn what_was_prepared_before_is_a_gap() {
    check(
        MYSQL,
        options(),
        &[gtid(2), query(COMMIT), gtid(3), query(ROLLBACK)],
        &format!(
            "begin #0 {NAME}:2, unknown X'78',X'',1, Commit #2 {NAME}:2, begin #2 {NAME}:3, Rollback #4 {NAME}:3"
        ),
    );
}

/// A crash may have taken the decision, and the name is free again.
#[test]
fn one_that_loses_its_name_undecided_is_told() {
    check(
        MYSQL,
        options(),
        &log(&[&prepared(1, "t"), &prepared(2, "t"), &[gtid(3), query(COMMIT)], &prepared(4, "t")]),
        &format!(
            "prepared X'78',X'',1 #0 #6 {NAME}:1, replaced X'78',X'',1 #0 {NAME}:1 by #6, \
             prepared X'78',X'',1 #6 #12 {NAME}:2, begin #6 {NAME}:2 at #12, Insert d.t, \
             Commit #14 {NAME}:3 of X'78',X'',1 {NAME}:2, prepared X'78',X'',1 #14 #20 {NAME}:4"
        ),
    );
}

/// Savepoints and texts of statements keep their order, and their bytes.
#[test]
fn everything_of_it_is_kept() {
    let deliver = AssemblerOptions { statement_dml: StatementDml::Deliver, ..options() };
    check(
        MYSQL,
        deliver,
        &log(&[
            &[query(START), query("SAVEPOINT a"), query("INSERT INTO t VALUES (1)"), query("ROLLBACK TO a")],
            &[table_map(1, "t"), insert(1), table_map(2, "u"), insert(2), insert(2), xa_prepare(0)],
            &[query("BEGIN"), query("UPDATE t SET v=1"), xid(), query(COMMIT)],
        ]),
        "prepared X'78',X'',1 #0 #10, begin #10, statement #11 UPDATE t SET v=1, Commit #13, begin #0 at #13, \
         savepoint a, statement #2 INSERT INTO t VALUES (1), to a, Insert d.t, passed 2 d.u, Commit #14 of X'78',X'',1",
    );
}

#[test]
fn a_crash_tears_what_is_open_and_leaves_what_is_prepared() {
    let other = [gtid(2), query("XA START X'79',X'',1"), table_map(1, "t"), insert(1)];
    let fresh = [rotate("b.2"), description(MYSQL, 5), gtid(2), query(COMMIT)];
    check(
        MYSQL,
        options(),
        &log(&[&prepared(1, "t"), &other, &fresh]),
        &format!(
            "prepared X'78',X'',1 #0 #6 {NAME}:1, file b.2 1795447630, moved b.2 #12, begin #0 {NAME}:1 at b.2 #12, \
             Insert d.t, Commit b.2 #14 {NAME}:2 of X'78',X'',1 {NAME}:1"
        ),
    );
}

#[test]
fn what_may_be_kept_is_bounded() {
    let small = || AssemblerOptions { xa_hold_max_bytes: 2000, ..options() };
    let (_, error) = run_with(MYSQL, small(), &prepared(1, "t"));
    assert_eq!(error, None);
    let second = |table| {
        let start = query("XA START X'79',X'',1");
        let mut events = vec![gtid(2), start, table_map(1, table)];
        events.extend((0..50).map(|_| insert(1)));
        log(&[&prepared(1, "t"), &events])
    };
    check_error(MYSQL, small(), &second("t"), Code::XaHold, "XA transaction X'79',X'',1 at b.1:");
    check_error(MYSQL, small(), &second("t"), Code::XaHold, "1 others that are prepared");
    // Rows that are not watched are a number.
    let (_, error) = run_with(MYSQL, small(), &second("u"));
    assert_eq!(error, None);
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let without_start = [query("BEGIN"), table_map(1, "t"), insert(1), xa_prepare(0)];
    check_error(MYSQL, options(), &without_start, Code::BadEvent, "without XA START");
    check_error(MYSQL, options(), &[query("XA START 'x'")], Code::BadEvent, "no name");
    check_error(MYSQL, options(), &[query("XA COMMIT 'x'")], Code::BadEvent, "no name");
    check_error(
        MYSQL,
        options(),
        &log(&[&rows("t"), &[gtid(1)]]),
        Code::BadEvent,
        "before the one before it",
    );
    check_error(
        MYSQL,
        options(),
        &log(&[&rows("t"), &rows("t")]),
        Code::BadEvent,
        "before the one before it",
    );
}

fn known_before(pos: usize, pending: &[usize]) -> Known {
    let place = |pos: &usize| Place { file: "b.1".into(), pos: *pos as u64 };
    let pending = pending.iter().map(|pos| Pending { place: place(pos), gtid: None }).collect();
    Known::before(place(&pos), pending)
}

/// The items of events that begin before what is known.
fn run_known(server: &str, known: Known, events: &[Vec<u8>]) -> (String, Option<ChangeError>) {
    let mut stream = Stream::new(server, options());
    stream.assembler.know(known);
    let error = events.iter().find_map(|event| stream.take(event).err());
    (stream.told.join(", "), error)
}

/// Where each event starts, and where the last one ends.
fn starts(events: &[Vec<u8>]) -> Vec<usize> {
    let mut starts = vec![1000];
    events.iter().for_each(|event| starts.push(starts[starts.len() - 1] + event.len()));
    starts
}

#[test]
fn what_is_known_gives_no_items_and_pending_ones_are_held_again() {
    let other = |number| [gtid(number), query("BEGIN"), table_map(9, "t"), insert(9), xid()];
    let events = log(&[
        &prepared(1, "t"),
        &[gtid(2), query(ROLLBACK)],
        &prepared(3, "t"),
        &other(4),
        &[testing::event(STOP_EVENT, b"")],
        &[gtid(5), query(COMMIT)],
        &other(6),
    ]);
    let starts = starts(&events);
    // 0: the first PREPARE, 8: the second one, 14: the other transaction, 19: STOP, 20: XA COMMIT.
    let again = format!("prepared X'78',X'',1 #8 #14 {NAME}:3");
    let rest = format!(
        "begin #8 {NAME}:3 at #20, Insert d.t, Commit #22 {NAME}:5 of X'78',X'',1 {NAME}:3, begin #22 {NAME}:6, Insert d.t, \
         Commit #27 {NAME}:6"
    );
    let mut told = run_known(MYSQL, known_before(starts[20], &[starts[8]]), &events);
    assert_eq!(told, (format!("{again}, moved #20, {rest}"), None));
    told = run_known(MYSQL, known_before(starts[19], &[starts[8]]), &events);
    assert_eq!(told, (format!("{again}, moved #20, {rest}"), None));
    told = run_known(MYSQL, known_before(starts[14], &[starts[8]]), &events);
    let fourth = format!("begin #14 {NAME}:4, Insert d.t, Commit #19 {NAME}:4");
    assert_eq!(told, (format!("{again}, {fourth}, moved #20, {rest}"), None));

    let (_, error) = run_known(MYSQL, known_before(starts[14] + 1, &[starts[8]]), &events);
    let error = error.unwrap();
    assert_eq!(error.code, Code::PointForeign);
    assert!(error.text.contains("no event begins at the point b.1:"), "{error}");
}

#[test]
fn mariadb_knows_by_domain() {
    let prepare =
        [mariadb_gtid_xa(5, 0x48), table_map(1, "t"), insert(1), query("XA END X'78',X'',1"), xa_prepare(0)];
    let other = |number| [mariadb_gtid(number, 8), table_map(1, "t"), insert(1), xid()];
    let mut elsewhere = mariadb_gtid(1, 8);
    elsewhere[19 + 8] = 7;
    let events = log(&[
        &other(4),
        &prepare,
        &other(6),
        &[elsewhere, query("COMMIT")],
        &other(7),
        &[mariadb_gtid_xa(8, 0x88), query(COMMIT)],
    ]);
    let known = |end: &str| {
        let pending = Pending { place: Place { file: "".into(), pos: 0 }, gtid: Some("0-1-5".into()) };
        Known::up_to(vec![end.parse().unwrap()], vec![pending])
    };
    let domain_seven = "begin #13 7-1-1, Commit #15 7-1-1";
    let committed = "begin #4 0-1-5 at #19, Insert d.t, Commit #21 0-1-8 of X'78',X'',1 0-1-5";
    let seventh = "begin #15 0-1-7, Insert d.t, Commit #19 0-1-7";
    assert_eq!(
        run_known(MARIADB, known("0-1-6"), &events),
        (format!("prepared X'78',X'',1 #4 #9 0-1-5, {domain_seven}, {seventh}, {committed}"), None)
    );
    assert_eq!(
        run_known(MARIADB, known("0-1-7"), &events),
        (format!("prepared X'78',X'',1 #4 #9 0-1-5, {domain_seven}, {committed}"), None)
    );
    let (_, error) = run_known(MARIADB, known("0-2-6"), &events);
    assert!(error.unwrap().text.contains("0-1-7 comes, and 0-2-6 has not come before it"));
}
