//! Killed behind any pack, under each policy, fountain goes on with the same bytes; and under another policy with the same
//! rows.

mod harness;
mod policies {
    pub mod workload;
}

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::parse;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use policies::workload::*;
use serde_json::Value;

/// A pack each line or two, so that there are many to be killed behind.
const PACKS: &[&str] = &["sparate_packsize=2", "dispatch_transaction=true"];

/// Runs until the data has so many bytes or the log ends, and kills. Whether the end was still to come.
fn kill_at(home: &Fountain, server: &Server, pairs: &[&str], bytes: usize, all: usize) -> bool {
    let mut run = home.spawn(&run_arguments(home, server, &keys(pairs)));
    run.wait_for("some data", PATIENCE, |_| written(home) >= bytes.min(all));
    run.kill9();
    written(home) < all
}

/// Bytes of data so far. Files may be renamed meanwhile.
fn written(home: &Fountain) -> usize {
    let Ok(entries) = std::fs::read_dir(home.home().join("data")) else { return 0 };
    let files = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        [".jsonl", ".part"].iter().any(|end| name.to_string_lossy().ends_with(end))
    });
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len() as usize).sum()
}

/// Gap records without the time.
fn gaps(home: &Fountain) -> Vec<Value> {
    let mut records = gap_records(home);
    for record in &mut records {
        let record = record.as_object_mut().expect("an object");
        record.retain(|member, _| member != "at_ms" && member != "crc32");
    }
    records
}

fn killed_under_each_policy(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    fill(&server);
    for policy in [
        &["transaction_policy=none"][..],
        &["transaction_policy=mini", "trans_max_size=1000", "trans_max_bytes=1MiB"],
        &["transaction_policy=mini", "trans_oversize=discard"],
        &["transaction_policy=mini", "trans_oversize=stream"],
        &["transaction_policy=discard_huge_table"],
    ] {
        let pairs = without_repeats(&[ALWAYS, PACKS, LIMITS, policy].concat());
        let undisturbed = Fountain::new();
        let output = run_until(&undisturbed, &server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{policy:?}: {}", output.stderr);
        let expected = data(&undisturbed.home().join("data"));
        let home = Fountain::new();
        let kills = 4;
        let inside = (1..=kills)
            .filter(|n| kill_at(&home, &server, &pairs, n * expected.len() / (kills + 1), expected.len()));
        assert!(inside.count() > 0, "{kind} {policy:?}: every kill came too late to prove anything");
        let output = run_until(&home, &server, "end", &keys(&pairs));
        assert_eq!(output.code, 0, "{policy:?}: {}", output.stderr);
        let got = data(&home.home().join("data"));
        assert!(got == expected, "{kind} {policy:?}: {} bytes, expected {}", got.len(), expected.len());
        assert_eq!(gaps(&home), gaps(&undisturbed), "{kind} {policy:?}");
    }
}

#[test]
fn the_same_bytes_after_kills_mysql97() {
    killed_under_each_policy(Kind::Mysql97, GTID);
}

#[test]
fn the_same_bytes_after_kills_mysql56() {
    killed_under_each_policy(Kind::Mysql56, &[]);
}

#[test]
fn the_same_bytes_after_kills_mariadb() {
    killed_under_each_policy(Kind::Mariadb, &[]);
}

/// Each kill is followed by another policy. Inside of a transaction it goes on as it began; no row is lost or comes twice.
#[test]
fn a_policy_may_change_inside_of_a_transaction() {
    let policies = [
        &["transaction_policy=none"][..],
        &["transaction_policy=mini", "trans_oversize=stream", "trans_max_size=60"],
        &["transaction_policy=discard_huge_table", "trans_max_size=1000", "trans_max_bytes=1MiB"],
        &["transaction_policy=mini", "trans_max_size=1000", "trans_max_bytes=1MiB"],
    ];
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        fill(&server);
        let always = [ALWAYS, LIMITS, &["sparate_packsize=2"]].concat();
        let undisturbed = Fountain::new();
        assert_eq!(run_until(&undisturbed, &server, "end", &keys(ALWAYS)).code, 0);
        let base = parse(&data(&undisturbed.home().join("data")));
        for first in 0..policies.len() {
            let home = Fountain::new();
            let all = data(&undisturbed.home().join("data")).len();
            for step in 0..5 {
                let pairs = [&always, policies[(first + step) % policies.len()]].concat();
                kill_at(&home, &server, &without_repeats(&pairs), (step + 1) * all / 6, all);
            }
            let output = run_until(&home, &server, "end", &keys(&always));
            assert_eq!(output.code, 0, "{}", output.stderr);
            let rows: Vec<_> = taken_back(&parse(&data(&home.home().join("data"))));
            let bare = |lines: &[Value]| -> Vec<Value> {
                lines.iter().filter(|line| is_row(line)).map(without_seq).collect()
            };
            assert!(bare(&rows) == bare(&base), "{kind}, first {first}");
            assert_eq!(tables_of(&rows), tables(&server), "{kind}, first {first}");
            assert!(gap_records(&home).is_empty());
        }
    }
}
