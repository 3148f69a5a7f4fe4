//! Places and GTIDs over streams, servers and prepared XA transactions.

use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn place(file: &str, pos: u64) -> Place {
    Place { file: file.into(), pos }
}

fn mysql(numbers: &str) -> GtidSet {
    format!("{UUID}:{numbers}").parse().unwrap()
}

fn progress(executed: Option<ExecutedGtids>) -> Progress {
    let place = place("b.1", 500);
    Progress::new(Frontier {
        place,
        file_created: 7,
        executed,
        set_ahead: false,
        pending_xa: Vec::new(),
        ts_ms: 0,
    })
}

fn mariadb(position: &str) -> Progress {
    progress(Some(ExecutedGtids::Mariadb(position.parse().unwrap())))
}

fn by_gtid() -> StreamKind {
    StreamKind { by_gtid: true, ..StreamKind::default() }
}

fn end(gtid: Option<AnyGtid>, pos: u64) -> End {
    let outcome = Outcome::Commit;
    End {
        outcome,
        place: place("b.2", pos - 31),
        next: place("b.2", pos),
        gtid,
        server_id: 1,
        timestamp: 0,
        decided: None,
    }
}

fn stand(progress: &Progress) -> (String, u64, u32, bool) {
    let Frontier { place, file_created, set_ahead, .. } = progress.frontier();
    (place.file.to_string(), place.pos, *file_created, *set_ahead)
}

/// The server begins at the start of the file; what it leaves out up to our place must not look unread.
#[test]
fn on_the_same_server_the_place_stays_until_a_transaction_comes() {
    let mut progress = mariadb("0-1-5");
    progress.stream_begins(true, by_gtid());
    progress.moved(&place("b.1", 4));
    progress.file_begins(&"b.1".into(), 7);
    progress.moved(&place("b.1", 256));
    assert_eq!(stand(&progress), ("b.1".into(), 500, 7, false));
    progress.moved(&place("b.2", 4));
    progress.file_begins(&"b.2".into(), 8);
    progress.transaction_begins(&place("b.2", 300));
    assert_eq!(progress.frontier_at(&place("b.2", 300)).file_created, 8);
    progress.transaction_ended(&end(Some(AnyGtid::Mariadb("0-1-6".parse().unwrap())), 400), 1);
    assert_eq!(stand(&progress), ("b.2".into(), 400, 8, false));
    progress.moved(&place("b.3", 4));
    assert_eq!(stand(&progress), ("b.3".into(), 4, 0, false));
}

/// It stands still in both domains only when both have been passed.
#[test]
fn on_another_server_the_set_is_ahead_until_all_of_it_lies_behind() {
    let list = |position: &str| GtidsBefore::Mariadb(position.parse().unwrap());
    let passed = |position: &str| GtidsBefore::MariadbPassed(position.parse().unwrap());
    let mut progress = mariadb("0-1-5,1-1-7");
    progress.stream_begins(false, by_gtid());
    assert_eq!(stand(&progress), (String::new(), 0, 0, true));
    progress.gtids_before(&list("0-1-3"));
    progress.moved(&place("b.2", 256));
    assert_eq!(stand(&progress), ("b.2".into(), 256, 0, true));
    progress.gtids_before(&passed("1-1-7"));
    progress.transaction_begins(&place("b.2", 300));
    progress.transaction_ended(&end(Some(AnyGtid::Mariadb("1-1-8".parse().unwrap())), 400), 1);
    assert!(progress.frontier().set_ahead);
    progress.gtids_before(&passed("0-1-5,1-1-8"));
    assert!(!progress.frontier().set_ahead);

    let mut progress = self::progress(Some(ExecutedGtids::Mysql(mysql("1-9"))));
    progress.stream_begins(false, StreamKind { purged: Some(mysql("1-2")), ..by_gtid() });
    progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
    assert!(progress.frontier().set_ahead);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("3-9")));
    assert!(!progress.frontier().set_ahead);
}

#[test]
fn gtids_just_read_on_the_server_lie_before_what_it_sends() {
    let mut progress = mariadb("0-1-5");
    progress.stream_begins(false, StreamKind { in_order: true, ..by_gtid() });
    progress.moved(&place("b.2", 256));
    assert!(progress.frontier().set_ahead);
    progress.transaction_begins(&place("b.2", 700));
    assert_eq!(stand(&progress), ("b.2".into(), 700, 0, false));
}

#[test]
fn a_position_learns_what_lies_before_it() {
    let position = StreamKind { purged: Some(mysql("1-2")), ..StreamKind::default() };
    let number = |number: u64| {
        let gtid = format!("{UUID}:{number}").parse().unwrap();
        end(Some(AnyGtid::Mysql(gtid)), 1000 * number)
    };
    let known = |progress: &Progress| progress.frontier().executed.as_ref().map(ToString::to_string);
    let mut progress = self::progress(None);
    progress.stream_begins(true, position.clone());
    progress.transaction_ended(&number(5), 0);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("3-5")));
    assert_eq!(known(&progress), None);
    progress.transaction_ended(&number(6), 0);
    assert_eq!(known(&progress), Some(format!("{UUID}:1-6")));
    // Without a GTID: no set tells of this one.
    progress.transaction_ended(&end(None, 7000), 0);
    progress.transaction_ended(&number(8), 0);
    assert_eq!(known(&progress), None);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
    progress.transaction_ended(&end(None, 9000), 0);
    progress.transaction_ended(&number(9), 0);
    assert_eq!(known(&progress), None, "a file with transactions of both sorts");

    // A server that does not stream by GTID, and one of MariaDB's.
    let mut progress = self::progress(None);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("3-8")));
    progress.transaction_ended(&number(9), 0);
    assert_eq!(known(&progress), None);
    progress.gtids_before(&GtidsBefore::Mariadb("0-1-5".parse().unwrap()));
    assert_eq!(known(&progress), Some("0-1-5".into()));
}

fn prepared(xid: &str, gtid: Option<AnyGtid>, pos: u64) -> XaPrepared {
    XaPrepared { xid: xid.into(), place: place("b.2", pos), next: place("b.2", pos + 50), gtid }
}

fn named(number: u64) -> AnyGtid {
    AnyGtid::Mysql(format!("{UUID}:{number}").parse().unwrap())
}

fn deciding(xid: &str, prepared: Option<AnyGtid>, gtid: Option<AnyGtid>, pos: u64) -> End {
    End { decided: Some(DecidedXa { xid: xid.into(), gtid: prepared }), ..end(gtid, pos) }
}

/// What is pending, and the GTIDs.
fn pending(progress: &Progress) -> (Vec<String>, Option<String>) {
    let Frontier { pending_xa, executed, .. } = progress.frontier();
    let names = pending_xa.iter().map(|xa| format!("{} {}:{}", xa.xid, xa.file, xa.pos)).collect();
    (names, executed.as_ref().map(|gtids| gtids.to_string().replace(&format!("{UUID}:"), "")))
}

#[test]
fn a_mysql_set_leaves_pending_ones_out() {
    let mut progress = progress(Some(ExecutedGtids::Mysql(mysql("1-5"))));
    progress.xa_prepared(&prepared("a", Some(named(6)), 600));
    progress.xa_prepared(&prepared("b", Some(named(7)), 700));
    progress.transaction_ended(&end(Some(named(8)), 900), 1);
    let both = vec!["a b.2:600".to_owned(), "b b.2:700".to_owned()];
    assert_eq!(pending(&progress), (both.clone(), Some("1-5:8".into())));
    assert_eq!(stand(&progress).1, 900);
    // Met again, it moves nothing; on another server it has another place.
    progress.stream_begins(true, by_gtid());
    progress.xa_prepared(&prepared("a", Some(named(6)), 600));
    assert_eq!((pending(&progress).0, stand(&progress).1), (both, 900));
    progress.stream_begins(false, by_gtid());
    progress.xa_prepared(&prepared("b", Some(named(7)), 70));
    assert_eq!(pending(&progress).0, ["a :0", "b b.2:70"]);
    progress.transaction_ended(&deciding("b", Some(named(7)), Some(named(9)), 1000), 1);
    assert_eq!(pending(&progress), (vec!["a :0".into()], Some("1-5:7-9".into())));
    // Another one has its name: the first is no more.
    progress.xa_prepared(&prepared("a", Some(named(10)), 1000));
    assert_eq!(pending(&progress), (vec!["a b.2:1000".into()], Some("1-9".into())));
}

#[test]
fn a_position_learns_its_gtids_without_the_pending_ones() {
    let purged = StreamKind { purged: Some(GtidSet::new()), ..StreamKind::default() };
    let mut progress = progress(None);
    progress.stream_begins(true, purged);
    progress.xa_prepared(&prepared("a", Some(named(6)), 600));
    progress.xa_prepared(&prepared("b", Some(named(7)), 700));
    progress.gtids_before(&GtidsBefore::Mysql(mysql("1-7")));
    progress.xa_prepared(&prepared("c", Some(named(8)), 800));
    progress.transaction_ended(&deciding("b", Some(named(7)), Some(named(9)), 900), 1);
    assert_eq!(pending(&progress).1.as_deref(), Some("1-5:7:9"));
    // One without a name no set can leave out.
    progress.xa_prepared(&prepared("d", None, 900));
    assert_eq!(pending(&progress).1, None);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("1-9")));
    progress.transaction_ended(&end(Some(named(10)), 1000), 1);
    assert_eq!(pending(&progress).1, None);
    progress.gtids_before(&GtidsBefore::Mysql(mysql("1-10")));
    progress.transaction_ended(&deciding("d", None, Some(named(11)), 1100), 1);
    assert_eq!(pending(&progress).1.as_deref(), Some("1-5:7:9-11"));
}

#[test]
fn a_mariadb_position_goes_on_and_its_start_is_kept() {
    let gtid = |text: &str| Some(AnyGtid::Mariadb(text.parse().unwrap()));
    let mut progress = mariadb("0-1-5,1-1-1");
    progress.xa_prepared(&prepared("a", gtid("0-1-6"), 600));
    assert_eq!(pending(&progress), (vec!["a b.2:600".into()], Some("0-1-6,1-1-1".into())));
    assert_eq!(progress.frontier().pending_xa[0].gtids_before.as_deref(), Some("0-1-5,1-1-1"));
    progress.xa_prepared(&prepared("a", gtid("0-1-6"), 600));
    assert_eq!(progress.frontier().pending_xa[0].gtids_before.as_deref(), Some("0-1-5,1-1-1"));
    progress.transaction_ended(&deciding("a", gtid("0-1-6"), gtid("0-1-7"), 900), 1);
    assert_eq!(pending(&progress), (vec![], Some("0-1-7,1-1-1".into())));
    // Where it begins in GTIDs must be known before the point becomes one of GTIDs.
    let mut progress = self::progress(None);
    progress.xa_prepared(&prepared("a", gtid("0-1-6"), 600));
    progress.gtids_before(&GtidsBefore::Mariadb("0-1-6".parse().unwrap()));
    assert_eq!(pending(&progress).1, None);
    progress.transaction_ended(&deciding("a", gtid("0-1-6"), gtid("0-1-7"), 900), 1);
    progress.gtids_before(&GtidsBefore::Mariadb("0-1-7".parse().unwrap()));
    assert_eq!(pending(&progress).1.as_deref(), Some("0-1-7"));
}
