//! Transaction policies on real servers: what comes out is what the server's tables hold, less what the gap records tell.

mod harness;
mod policies {
    pub mod workload;
}

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_until;
use policies::workload::*;
use serde_json::Value;

/// Runs to the end and gives the lines and the gap records.
fn run(server: &Server, pairs: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let home = Fountain::new();
    let output = run_until(&home, server, "end", &keys(&[ALWAYS, pairs].concat()));
    assert_eq!(output.code, 0, "{pairs:?}: {}", output.stderr);
    (parse(&data(&home.home().join("data"))), gap_records(&home))
}

/// The rows of `base` less those that are lost, as `lines` must have them, each with the same bytes but for `seq`.
fn assert_rows(lines: &[Value], base: &[Value], lost: &[Lost], what: &str) {
    let rows =
        |lines: &[Value]| lines.iter().filter(|line| is_row(line)).map(without_seq).collect::<Vec<_>>();
    let expected: Vec<_> =
        rows(base).into_iter().filter(|row| !lost.iter().any(|lost| lost.holds(row))).collect();
    let got = rows(lines);
    assert_eq!(got.len(), expected.len(), "{what}");
    assert!(
        got == expected,
        "{what}: rows differ, first at {:?}",
        got.iter().zip(&expected).position(|(a, b)| a != b)
    );
}

/// Each transaction that has a line has a begin, a commit with the right counts, and nothing between two transactions.
fn assert_framed(lines: &[Value], what: &str) {
    let mut open: Option<[u64; 3]> = None;
    let mut changes = 0;
    for line in lines {
        match line["op"].as_str().expect("op") {
            "begin" => {
                assert!(open.replace([0; 3]).is_none(), "{what}: begun twice: {line}");
                changes = 0;
            }
            "commit" => {
                let counts = open.take().unwrap_or_else(|| panic!("{what}: ends without a begin: {line}"));
                let told = ["inserts", "updates", "deletes"].map(|of| line[of].as_u64().expect("a count"));
                assert_eq!(told, counts, "{what}: {line}");
                assert!(changes > 0, "{what}: nothing in it: {line}");
            }
            "gap" => {}
            op => {
                let kind = ["insert", "update", "delete"].iter().position(|kind| *kind == op).expect("a row");
                open.as_mut().unwrap_or_else(|| panic!("{what}: outside: {line}"))[kind] += 1;
                changes += 1;
            }
        }
    }
    assert!(open.is_none(), "{what}");
}

/// Gap lines and gap records tell the same, and just what is lost.
fn assert_gaps(lines: &[Value], records: &[Value], lost: &[Lost], base: &[Value], what: &str) {
    let lines: Vec<_> = lines.iter().filter(|line| line["op"] == "gap").collect();
    assert_eq!(lines.len(), records.len(), "{what}");
    for (line, record) in lines.iter().zip(records) {
        for member in ["from", "to", "tables", "reason"] {
            assert_eq!(line[member], record[member], "{what}");
        }
        assert_eq!((&record["kind"], &record["shard"]), (&"discard".into(), &"producer00".into()));
    }
    let told: Vec<(String, u64)> = records
        .iter()
        .flat_map(|record| record["tables"].as_array().expect("tables"))
        .map(|table| {
            (table["table"].as_str().expect("a name").to_owned(), table["rows"].as_u64().expect("rows"))
        })
        .collect();
    let expected: Vec<(String, u64)> = lost
        .iter()
        .map(|lost| {
            let rows = base.iter().filter(|line| is_row(line) && lost.holds(line)).count() as u64;
            (format!("d.{}", lost.table), rows)
        })
        .collect();
    assert_eq!(told, expected, "{what}");
}

fn each_policy(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    fill(&server);
    let (base, gaps) = run(&server, &["pack_max_bytes=64MiB"]);
    assert!(gaps.is_empty() && !base.iter().any(|line| line["op"] == "rollback"), "{kind}");
    assert_eq!(tables_of(&base), tables(&server), "{kind}: without a policy");
    let whole = whole_lost(kind);
    let tables = tables_lost();
    for (policy, lost) in [
        (&["transaction_policy=none"][..], &[][..]),
        (&["transaction_policy=mini", "trans_max_size=1000", "trans_max_bytes=1MiB"], &[]),
        (&["transaction_policy=mini", "trans_oversize=discard"], &whole),
        (&["transaction_policy=discard_huge_table"], &tables),
        (&["transaction_policy=mini", "trans_oversize=stream", "pack_max_bytes=64MiB"], &[]),
    ] {
        let streams = policy[0].ends_with("none") || policy.contains(&"trans_oversize=stream");
        let policy = [LIMITS, policy].concat();
        for packs in [&[][..], &["pack_max_bytes=4096"], &["sparate_packsize=7"]] {
            let pairs = [&policy, packs, &["dispatch_transaction=true"]].concat();
            let what = format!("{kind}: {pairs:?}");
            let pairs = without_repeats(&pairs);
            let (lines, records) = run(&server, &pairs);
            assert_gaps(&lines, &records, lost, &base, &what);
            // Small packs let go what is rolled back later, and so does what streams because it is too large.
            let lets_go = streams && (!packs.is_empty() || policy.contains(&"trans_oversize=stream"));
            let takes_back = lines.iter().any(|line| line["op"] == "rollback");
            assert_eq!(takes_back, lets_go && kind != Kind::Mysql97, "{what}");
            let lines = taken_back(&lines);
            assert_rows(&lines, &base, lost, &what);
            assert_framed(&lines, &what);
        }
    }
}

#[test]
fn each_policy_delivers_what_it_says_mysql97() {
    each_policy(Kind::Mysql97, GTID);
}

#[test]
fn each_policy_delivers_what_it_says_mysql56() {
    each_policy(Kind::Mysql56, &[]);
}

#[test]
fn each_policy_delivers_what_it_says_mariadb() {
    each_policy(Kind::Mariadb, &[]);
}

/// What came before it is delivered, the message says what to do, and each way out works.
#[test]
fn a_transaction_that_is_too_large_stops_the_shard_before_it() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mysql56, &[]), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        fill(&server);
        let (base, _) = run(&server, &["pack_max_bytes=64MiB"]);
        for way_out in ["trans_oversize=stream", "transaction_policy=none", "trans_max_size=1000"] {
            let home = Fountain::new();
            let mini = [ALWAYS, LIMITS, &["transaction_policy=mini"]].concat();
            for _ in 0..2 {
                let output = run_until(&home, &server, "end", &keys(&mini));
                let told: Vec<_> =
                    output.stderr.lines().filter(|line| line.contains("TRANS_OVERSIZE")).collect();
                assert_eq!((output.code, told.len()), (1, 1), "{kind}: {}", output.stderr);
                let [file, rows] =
                    ["binlog.00000", "trans_max_size=100 allows, and ends with 101 (d.a 71, d.b 30)"];
                assert!(told[0].contains(file) && told[0].contains(rows), "{kind}: {}", told[0]);
                for cure in ["trans_oversize=stream", "discard", "transaction_policy=none", "raise"] {
                    assert!(told[0].contains(cure), "{kind}: {}", told[0]);
                }
                let came = parse(&data(&home.home().join("data")));
                assert_eq!(ids(&came, "a"), base_ids(&base, "a", &[1, 2]), "{kind}");
            }
            let key = way_out.split('=').next().expect("a key");
            let mut pairs: Vec<_> = mini.iter().copied().filter(|pair| !pair.starts_with(key)).collect();
            pairs.extend([way_out, "trans_max_bytes=1MiB"]);
            pairs.retain(|pair| *pair != "trans_max_bytes=40000");
            let output = run_until(&home, &server, "end", &keys(&pairs));
            assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
            let lines = parse(&data(&home.home().join("data")));
            assert_eq!(tables_of(&taken_back(&lines)), tables(&server), "{kind}: {way_out}");
            assert!(gap_records(&home).is_empty());
        }
    }
}

/// One warning with name, place, tables and rows; the line only where it is wanted, the record always.
#[test]
fn what_is_left_out_is_told() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    fill(&server);
    let discard =
        [ALWAYS, LIMITS, &["transaction_policy=mini", "trans_oversize=discard", "dispatch_gap=false"]]
            .concat();
    let home = Fountain::new();
    let output = run_until(&home, &server, "end", &keys(&discard));
    let warnings: Vec<_> = output.stderr.lines().filter(|line| line.contains("is left out")).collect();
    assert_eq!((output.code, warnings.len()), (0, 3), "{}", output.stderr);
    for (warning, tables) in
        warnings.iter().zip(["(d.a 71, d.b 30)", "(d.a 300, d.b 60, d.c 20)", "(d.c 40, d.b 10)"])
    {
        assert!(warning.contains(tables) && warning.contains("binlog.00000"), "{warning}");
        assert!(warning.contains(&server.value("SELECT @@server_uuid")), "{warning}");
    }
    let lines = parse(&data(&home.home().join("data")));
    assert!(!lines.iter().any(|line| line["op"] == "gap"));
    assert_eq!(gap_records(&home).len(), 3);
}
