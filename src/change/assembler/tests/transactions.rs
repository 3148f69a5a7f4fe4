//! Where transactions begin and end, and what tears or undoes them.

use super::*;

#[test]
fn all_ways_in_which_a_transaction_ends() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1)];
    for (end, outcome) in [
        (xid(), "Commit"),
        (query("COMMIT"), "Commit"),
        (query("ROLLBACK"), "Rollback"),
        (query("XA COMMIT X'78',X'',1 ONE PHASE"), "Commit"),
        (query("XA ROLLBACK X'78',X'',1"), "Rollback"),
    ] {
        check(MYSQL, options(), &log(&[&rows, &[end]]), &format!("begin #0, Insert d.t, {outcome} #4"));
    }
}

#[test]
fn mysql_with_and_without_gtids() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1), xid()];
    let with = |first: &[Vec<u8>]| log(&[first, &rows]);
    check(MYSQL, options(), &with(&[gtid(5)]), &format!("begin #0 {NAME}:5, Insert d.t, Commit #5 {NAME}:5"));
    check(MYSQL, options(), &with(&[anonymous()]), "begin #0, Insert d.t, Commit #5");
    check(MYSQL, options(), &with(&[]), "begin #0, Insert d.t, Commit #4");
}

#[test]
fn mariadb_begins_with_its_gtid_event() {
    let rows = [table_map(1, "t"), rows_of(WRITE_ROWS_EVENT_V1, 1, 1, 2), xid()];
    check(
        MARIADB,
        options(),
        &log(&[&[mariadb_gtid(7, 12)], &rows]),
        "begin #0 0-1-7, Insert d.t, Commit #4 0-1-7",
    );
    // Alone: DDL, and a comment in the place of an event that a replica would not know.
    check(
        MARIADB,
        options(),
        &[mariadb_gtid(8, 41), query("TRUNCATE t"), mariadb_gtid(9, 1), query("# Dummy event")],
        "begin #0 0-1-8, ddl #1 TRUNCATE t, Commit #2 0-1-8, begin #2 0-1-9, Commit #4 0-1-9",
    );
    // Inside: statements of all kinds do not end it.
    check(
        MARIADB,
        options(),
        &log(&[&[mariadb_gtid(7, 8), query("CREATE OR REPLACE TABLE `t` (a int)"), query("/* x */")], &rows]),
        "begin #0 0-1-7, ddl #1 CREATE OR REPLACE TABLE `t` (a int), Insert d.t, Commit #6 0-1-7",
    );
}

#[test]
fn rows_without_begin_are_a_transaction_of_their_statement() {
    // It begins where its first table is introduced: read from there on, its rows have their table.
    check(
        MYSQL,
        options(),
        &[
            table_map(1, "t"),
            table_map(2, "u"),
            rows_of(WRITE_ROWS_EVENT, 1, 0, 1),
            rows_of(WRITE_ROWS_EVENT, 2, 1, 3),
            table_map(1, "t"),
            insert(1),
        ],
        "begin #0, Insert d.t, passed 3 d.u, Commit #4, begin #4, Insert d.t, Commit #6",
    );
    // A statement may end with an event that has no rows and no table.
    let mut dummy = rows_of(WRITE_ROWS_EVENT, 0, 1, 0);
    dummy[19..25].copy_from_slice(&[0xff, 0xff, 0xff, 0, 0, 0]);
    check(
        MYSQL,
        options(),
        &[table_map(1, "t"), rows_of(WRITE_ROWS_EVENT, 1, 0, 1), dummy.clone(), query("BEGIN"), dummy, xid()],
        "begin #0, Insert d.t, Commit #3, begin #3, Commit #6",
    );
}

#[test]
fn savepoints() {
    check(
        MYSQL,
        options(),
        &[
            query("BEGIN"),
            query("SAVEPOINT `a`"),
            query("ROLLBACK TO `a`"),
            query("RELEASE SAVEPOINT a"),
            xid(),
            query("SAVEPOINT `b`"),
        ],
        "begin #0, savepoint a, to a, Commit #5, moved #6",
    );
}

#[test]
fn a_torn_transaction_is_rolled_back_and_its_gtid_is_free() {
    let torn = [gtid(3), query("BEGIN"), table_map(1, "t"), insert(1)];
    let fresh = [rotate("b.2"), description(MYSQL, 5), gtid(3), query("BEGIN"), xid()];
    check(
        MYSQL,
        options(),
        &log(&[&torn, &fresh]),
        &format!(
            "begin #0 {NAME}:3, Insert d.t, Rollback b.2 #6, file b.2 1795447630, moved b.2 #6, begin b.2 #6 {NAME}:3, \
             Commit b.2 #9 {NAME}:3"
        ),
    );
    // Torn behind the GTID event.
    check(
        MYSQL,
        options(),
        &log(&[&torn[..1], &fresh]),
        &format!("file b.2 1795447630, moved b.2 #3, begin b.2 #3 {NAME}:3, Commit b.2 #6 {NAME}:3"),
    );
    let mut stream = Stream::new(MYSQL, options());
    for event in log(&[&torn, &fresh[..2]]) {
        stream.take(&event).unwrap();
    }
    assert_eq!(stream.assembler.take_ended(), None);
}

#[test]
fn a_transaction_that_begins_inside_another_one_is_an_error() {
    let rows = [query("BEGIN"), table_map(1, "t"), insert(1)];
    for second in [gtid(2), anonymous(), query("BEGIN"), query("XA START X'78',X'',1")] {
        check_error(MYSQL, options(), &log(&[&rows, &[second]]), Code::BadEvent, "before the one before it");
    }
    check_error(MYSQL, options(), &[gtid(1), gtid(2)], Code::BadEvent, "before the one before it");
    check_error(MARIADB, options(), &[mariadb_gtid(1, 12), mariadb_gtid(2, 12)], Code::BadEvent, "before");
}
