//! MySQL's GTID sets of every shape: holes, several sources, tags; read on from exactly. And numbers that a server gives out
//! anew, because its log lost its tail or was reset.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use harness::numbered::count_anew;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert as insert_next;
use harness::stored::lines_in;
use harness::stored::point;
use serde_json::Value;
use std::collections::HashSet;

const FROM_BEGINNING: &str = "start_without_point=beginning";
const OTHER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn lines(home: &Fountain) -> Vec<Value> {
    lines_in(home).into_iter().filter(|line| line["op"] == "insert").collect()
}

fn stored_set(home: &Fountain) -> String {
    point(home)["gtid_set"].as_str().expect("a set").replace('\n', "")
}

/// Each row by a GTID as `gtid_next` takes it.
fn insert(server: &Server, gtid_next: &str, id: u64) {
    server.sql(&format!(
        "SET gtid_next='{gtid_next}'; BEGIN; INSERT INTO d.t VALUES ({id}); COMMIT; SET gtid_next='AUTOMATIC'"
    ));
}

/// Stopped or killed behind each row, with new files in between: `names` are the GTIDs in the order of the log.
fn follow(server: &Server, names: &[String]) {
    let home = Fountain::new();
    for (id, name) in (1..).zip(names) {
        insert(server, name, id);
        if id % 4 == 0 {
            server.flush_logs();
        }
        if id % 3 == 0 {
            let running = home.spawn(&run_arguments(&home, server, &keys(&[FROM_BEGINNING])));
            harness::wait_until("the row", PATIENCE, || ids_in(&home).last() == Some(&id));
            running.kill9();
        } else {
            let output = run_until(&home, server, "end", &keys(&[FROM_BEGINNING]));
            assert_eq!(output.code, 0, "{name}: {}", output.stderr);
        }
        assert_eq!(ids_in(&home), (1..=id).collect::<Vec<_>>(), "{name}");
    }
    let output = run_until(&home, server, "end", &keys(&[FROM_BEGINNING]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(stored_set(&home), server.gtid_executed());
    let lines = lines(&home);
    let named: HashSet<_> = lines.iter().map(|line| line["gtid"].as_str().expect("a GTID")).collect();
    assert_eq!(named.len(), names.len(), "each has a name of its own");

    // A configured set with holes leaves out just what it holds, wherever that lies in the log.
    let every_second: Vec<&str> =
        lines.iter().step_by(2).map(|line| line["gtid"].as_str().expect("a GTID")).collect();
    let ddl = server.value("SELECT @@GLOBAL.server_uuid");
    let set = format!("mysql_binlogdump_gtidset={ddl}:1-2,{}", every_second.join(","));
    let rest = Fountain::new();
    let output = run_until(&rest, server, "end", &keys(&[&set]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let expected: Vec<u64> = (1..=names.len() as u64).filter(|id| id % 2 == 0).collect();
    assert_eq!(ids_in(&rest), expected);
}

#[test]
fn sets_with_holes_and_several_sources() {
    for kind in [Kind::Mysql56, Kind::Mysql97] {
        let Some(server) = Server::start_private(kind, GTID) else { continue };
        create(&server);
        let other = [7, 3, 9, 1, 4, 100].map(|number| format!("{OTHER}:{number}"));
        let names: Vec<String> = other.into_iter().flat_map(|name| [name, "AUTOMATIC".to_owned()]).collect();
        follow(&server, &names);
    }
}

#[test]
fn tagged_transactions() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create(&server);
    let names = [
        "AUTOMATIC:blue",
        "AUTOMATIC",
        "AUTOMATIC:blue",
        &format!("{OTHER}:red_1:8"),
        "AUTOMATIC:green",
        &format!("{OTHER}:red_1:3"),
        &format!("{OTHER}:5"),
        "AUTOMATIC:blue",
        "AUTOMATIC",
    ];
    follow(&server, &names.map(str::to_owned));
}

// --------------------------------------------------------------------------------------------- numbers given out anew

/// A server that came back as it was two rows ago, and a home that has these rows.
fn with_lost_tail() -> Option<(Server, Fountain)> {
    let mut server = Server::start_private(Kind::Mysql97, GTID)?;
    create(&server);
    (1..=2).for_each(|id| insert_next(&server, id));
    let snapshot = tempfile::tempdir().expect("a temporary folder");
    server.copy_files_to(snapshot.path());
    (3..=4).for_each(|id| insert_next(&server, id));
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&[FROM_BEGINNING]));
    assert_eq!((output.code, ids_in(&home)), (0, vec![1, 2, 3, 4]), "{}", output.stderr);
    server.kill9();
    server.put_files_back(snapshot.path());
    server.restart();
    Some((server, home))
}

/// Nobody gives a server its own transactions back: it is not waited for.
#[test]
fn a_server_that_lacks_its_own_transactions_and_replicates_from_nobody_is_refused_at_once() {
    let Some((server, home)) = with_lost_tail() else { return };
    let output = home.run(&run_arguments(&home, &server, &keys(&[FROM_BEGINNING])), PATIENCE);
    assert_refused(&output, 1, "POINT_BEYOND_END", &["2 transactions", "replicates from nobody"]);
    assert!(!output.stderr.contains("waited for"), "{}", output.stderr);
}

/// Its sets hold all of ours again, and under the same names other rows.
#[test]
fn a_server_that_lost_its_tail_and_counted_past_us_is_refused() {
    let Some((server, home)) = with_lost_tail() else { return };
    (11..=13).for_each(|id| insert_next(&server, id));
    let output = run_until(&home, &server, "end", &keys(&[FROM_BEGINNING]));
    assert_refused(&output, 1, "POINT_BEYOND_END", &["lies behind the end of that file"]);
    assert_eq!(ids_in(&home), [1, 2, 3, 4]);
}

/// The stream would begin with a later file than the point's.
#[test]
fn binlogs_that_were_reset_are_noticed_when_later_files_were_begun_since() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    create(&server);
    (1..=2).for_each(|id| insert_next(&server, id));
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&[FROM_BEGINNING]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    count_anew(&server, &home, 4);
    server.flush_logs();
    insert_next(&server, 99);
    let output = run_until(&home, &server, "end", &keys(&[FROM_BEGINNING]));
    assert_refused(&output, 1, "POINT_FOREIGN", &["begun at", "were reset or restored"]);
    assert_eq!(ids_in(&home), [1, 2]);
}
