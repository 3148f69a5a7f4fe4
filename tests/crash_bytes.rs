//! Killed at any moment and at any file operation, with a disk that is full for a while: the file sink's bytes are those of
//! a run that nobody disturbed, `fountain verify` agrees, and applied they give the server's tables, less what a policy has
//! to leave out.

mod harness;
mod crash_bytes {
    pub mod load;
    pub mod oracle;
    pub mod policy;
}

use crash_bytes::load::Dice;
use crash_bytes::load::Load;
use crash_bytes::load::create_tables;
use crash_bytes::oracle::apply;
use crash_bytes::oracle::tables_of;
use crash_bytes::policy::Policy;
use crash_bytes::policy::assert_obeyed;
use crash_bytes::policy::gaps;
use crash_bytes::policy::row_counts;
use harness::Fountain;
use harness::Kind;
use harness::Running;
use harness::Server;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::delivered::run_until;
use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

/// The table of MyISAM is left out: what is rolled back stays in it. The other one never is, but a server may log that it
/// is not.
const ALWAYS: &[&str] = &[
    "start_without_point=beginning",
    "dispatch_transaction=true",
    "filter_shard_table_black=crash.log,crash.none",
];

/// Small packs and files, so that little data has many borders.
const SMALL: &[&str] = &["pack_max_bytes=300KB", "file_rotate_bytes=1MB"];

/// Whatever can be rolled back is seen: each line is a pack.
const ALL_SEEN: &[&str] = &["sink=stdout", "sparate_packsize=1"];

/// Operations to be killed in front of, or in the middle of.
const OPERATIONS: [&str; 21] = [
    "sink.append:1:kill",
    "sink.append:2:kill",
    "sink.append:7:tear",
    "sink.append:10:tear",
    "sink.flush:3:kill",
    "sink.flush:6:kill",
    "sink.create:1:kill",
    "sink.create:2:kill",
    "sink.create:3:kill",
    "sink.rename:1:kill",
    "sink.rename:2:kill",
    "sink.flush_names:1:kill",
    "sink.flush_names:2:kill",
    "point.create:2:kill",
    "point.write:3:tear",
    "point.flush:1:kill",
    "point.rename:4:kill",
    "point.flush_names:2:kill",
    "log.append:3:tear",
    "log.open:1:kill",
    "any:61:tear",
];

/// Operations that only a gap performs.
const OF_GAPS: [&str; 4] = ["log.flush:1:kill", "log.open:2:kill", "log.flush:2:kill", "log.open:3:kill"];

/// Operations that only the mending after a crash performs, or a history of more than a thousand points.
const RARE: [&str; 4] =
    ["sink.open:1:kill", "sink.cut:1:kill", "sink.remove:1:kill", "history.rename:1:kill"];

/// Operations that only the first start performs.
const FIRST: [&str; 3] = ["trace.create:1:kill", "trace.write:1:tear", "trace.flush:1:kill"];

/// What fails for a while, and is outlived.
const FAILURES: [&str; 4] =
    ["sink.append:4:ENOSPC:2", "sink.flush:5:ENOSPC:1", "sink.create:1:ENOSPC:1", "sink.append:2:EIO:1"];

/// A gap that cannot be recorded for a while.
const FAILURE_OF_GAPS: &str = "log.flush:1:ENOSPC:2";

struct Kills {
    home: Fountain,
    arguments: Vec<String>,
    dice: Dice,
    /// Deaths by order, by the order's text.
    ordered: BTreeMap<&'static str, u64>,
    random: u64,
    /// How often something failed for a while.
    failures: usize,
    /// Which of [`OPERATIONS`] comes next.
    next: usize,
}

impl Kills {
    fn start(&self, order: Option<&str>) -> Running {
        let mut command = self.home.command();
        command.args(&self.arguments);
        if let Some(order) = order {
            command.env("FOUNTAIN_FAIL_POINT", order);
        }
        Running::start(command)
    }

    fn at_random(&mut self) {
        let run = self.start(None);
        std::thread::sleep(Duration::from_millis(20 + self.dice.below(500)));
        let output = run.kill9();
        assert_eq!(output.code, 128 + 9, "{}", output.stderr);
        self.random += 1;
    }

    /// An operation that does not come within a second counts as a random moment.
    fn at(&mut self, order: &'static str) {
        let mut run = self.start(Some(order));
        let deadline = Instant::now() + Duration::from_millis(1500);
        while run.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        match run.ended() {
            Some(code) => {
                assert_eq!(code, 128 + 9, "{order}: {}", run.wait(PATIENCE).stderr);
                *self.ordered.entry(order).or_default() += 1;
            }
            None => {
                assert_eq!(run.kill9().code, 128 + 9);
                self.random += 1;
            }
        }
    }

    /// The disk is full for some operations: fountain waits, goes on by itself, and is killed then.
    fn while_failing(&mut self, order: &'static str) {
        let (waits, goes_on) = match order {
            FAILURE_OF_GAPS => ("a gap must be recorded before", "gaps are recorded again"),
            _ => ("waiting_for_sink", "the sink takes packs again"),
        };
        let mut run = self.start(Some(order));
        run.wait_for(order, PATIENCE, |run| run.stderr().contains(goes_on));
        assert!(run.stderr().contains(waits), "{}", run.stderr());
        assert_eq!(run.kill9().code, 128 + 9);
        self.random += 1;
        self.failures += 1;
    }

    fn next_operation(&mut self, plan: &Plan) -> &'static str {
        let of_gaps: &[_] = if plan.policy.leaves_out() { &OF_GAPS } else { &[] };
        let all = [&OPERATIONS, of_gaps].concat();
        self.next += 1;
        all[self.next % all.len()]
    }

    fn next_failure(&self, plan: &Plan) -> &'static str {
        let all = [&FAILURES[..], &[FAILURE_OF_GAPS]].concat();
        let count = FAILURES.len() + usize::from(plan.policy.leaves_out());
        all[self.failures % count]
    }

    fn step(&mut self, plan: &Plan) {
        let round = self.count() + plan.seed * 7;
        match round % 10 {
            0 | 3 | 6 => self.at_random(),
            9 => self.while_failing(self.next_failure(plan)),
            8 => self.at(RARE[(round / 10) as usize % RARE.len()]),
            _ => {
                let order = self.next_operation(plan);
                self.at(order);
            }
        }
    }

    fn count(&self) -> u64 {
        self.random + self.ordered.values().sum::<u64>()
    }
}

struct Plan {
    kind: Kind,
    policy: Policy,
    kills: u64,
    seed: u64,
}

impl Plan {
    fn options(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Mysql56 => &[],
            Kind::Mysql97 => {
                &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--binlog-row-metadata=FULL"]
            }
            Kind::Mariadb | Kind::Mariadb118 => &["--binlog-row-metadata=FULL"],
        }
    }
}

/// Kills until the plan is done, then compares with an undisturbed run, with `verify` and with the server's tables.
fn killed(kind: Kind, policy: Policy, kills: u64, seed: u64) {
    let plan = Plan { kind, policy, kills, seed };
    let Some(server) = Server::start_private(kind, plan.options()) else { return };
    create_tables(&server);
    let begun = Instant::now();
    let policy = plan.policy.pairs();
    let pairs = keys(&[ALWAYS, SMALL, &policy].concat());
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &pairs);
    let (dice, next) = (Dice(seed), seed as usize * 7);
    let mut kills =
        Kills { home, arguments, dice, ordered: BTreeMap::new(), random: 0, failures: seed as usize, next };
    // Without FULL metadata a definition that changes while rows come may stop the shard.
    let load = Load::start(&server, kind != Kind::Mysql56);
    // The first start of all: before there is a point, or a trace of one.
    kills.at(FIRST[seed as usize % FIRST.len()]);
    while kills.count() < plan.kills {
        kills.step(&plan);
        if kills.count().is_multiple_of(plan.kills.max(100) / 10) {
            load.pause(true);
            verify(&kills.home);
            load.pause(false);
        }
    }
    load.end();
    let last = run_until(&kills.home, &server, "end", &pairs);
    assert_eq!(last.code, 0, "seed {seed}: {}", last.stderr);
    compare(&server, &kills, &pairs, &plan);
    println!("{kind} {:?}: {:.0} s", plan.policy, begun.elapsed().as_secs_f64());
}

fn verify(home: &Fountain) -> String {
    let output = home.run(&["verify", "data"], PATIENCE);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    output.stdout
}

fn compare(server: &Server, kills: &Kills, pairs: &[&str], plan: &Plan) {
    let undisturbed = Fountain::new();
    let output = run_until(&undisturbed, server, "end", pairs);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let got = data(&kills.home.home().join("data"));
    assert_same_bytes(&got, &data(&undisturbed.home().join("data")), kills, plan);
    let told = verify(&kills.home);
    verify(&undisturbed);
    let lost = assert_policy(server, kills, &undisturbed, &got, plan);
    assert!(!cfg!(debug_assertions) || kills.ordered.len() > 5, "{:?}", kills.ordered);
    println!(
        "{} {:?}: {} kills, {} of them at {} operations; {} lines, {} bytes; {lost}\n{}\n{:?}",
        plan.kind,
        plan.policy,
        kills.count(),
        kills.count() - kills.random,
        kills.ordered.len(),
        got.lines().count(),
        got.len(),
        told.lines().filter(|line| line.starts_with("ok")).collect::<Vec<_>>().join("\n"),
        kills.ordered,
    );
}

fn assert_same_bytes(got: &str, expected: &str, kills: &Kills, plan: &Plan) {
    if got == expected {
        return;
    }
    let differs = got.lines().zip(expected.lines()).position(|(got, expected)| got != expected);
    let line = |text: &str| text.lines().nth(differs.unwrap_or(usize::MAX)).unwrap_or("the end").to_owned();
    panic!(
        "{} {:?} seed {}: {} and {} bytes, they differ at line {differs:?}:\n{:.900}\n{:.900}\nkilled at {:?}",
        plan.kind,
        plan.policy,
        plan.seed,
        got.len(),
        expected.len(),
        line(got),
        line(expected),
        kills.ordered
    );
}

/// What comes without a policy makes the server's tables; what came is that, less what the policy must leave out.
fn assert_policy(server: &Server, kills: &Kills, undisturbed: &Fountain, came: &str, plan: &Plan) -> String {
    let output = run_until(&Fountain::new(), server, "end", &keys(&[ALWAYS, ALL_SEEN].concat()));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let without = output.stdout;
    let rows = apply(&without);
    assert!(rows.len() > 1000, "the load was too small to prove anything: {} rows", rows.len());
    assert!(
        rows == tables_of(server),
        "{} {:?}: the rows applied are not the tables'",
        plan.kind,
        plan.policy
    );
    let counted = row_counts(&without);
    if plan.kind == Kind::Mysql97 {
        assert_eq!(counted, server.mysqlbinlog_counts(&server.binlogs()));
    }
    let back = came.lines().filter(|line| line.starts_with("{\"op\":\"rollback\"")).count();
    let lets_go = matches!(plan.policy, Policy::None | Policy::Stream);
    assert_eq!(back > 0, lets_go && plan.kind != Kind::Mysql97, "{back} rollback lines");
    let (losing, lost) = assert_obeyed(plan.policy, &without, came);
    assert_eq!(losing > 0, plan.policy.leaves_out(), "{losing} transactions lost something");
    let told = gaps(came.lines().filter(|line| line.starts_with("{\"op\":\"gap\"")));
    for home in [&kills.home, undisturbed] {
        let path = home.home().join("points/producer00.gaps");
        let records =
            if path.exists() { std::fs::read_to_string(path).expect("gap records") } else { String::new() };
        assert_eq!(gaps(records.lines()), told, "{} {:?}: each gap is recorded once", plan.kind, plan.policy);
    }
    format!("{back} rollback lines, {lost} rows left out of {losing} transactions; {counted:?} rows logged")
}

#[test]
fn the_same_bytes_mysql97_gtid() {
    killed(Kind::Mysql97, Policy::None, 20, 1);
}

#[test]
fn the_same_bytes_mysql56_position() {
    killed(Kind::Mysql56, Policy::None, 20, 2);
}

#[test]
fn the_same_bytes_mariadb() {
    killed(Kind::Mariadb, Policy::None, 20, 3);
}

/// Each policy on each server.
fn killed_200_times(kind: Kind, seed: u64) {
    for (policy, seed) in
        [Policy::Discard, Policy::DiscardTables, Policy::Stream, Policy::None].into_iter().zip(seed..)
    {
        killed(kind, policy, 200, seed);
    }
}

#[test]
#[ignore = "long: 200 kills under each policy, some minutes each"]
fn the_same_bytes_after_200_kills_mysql97() {
    killed_200_times(Kind::Mysql97, 4);
}

#[test]
#[ignore = "long: 200 kills under each policy, some minutes each"]
fn the_same_bytes_after_200_kills_mysql56() {
    killed_200_times(Kind::Mysql56, 14);
}

#[test]
#[ignore = "long: 200 kills under each policy, some minutes each"]
fn the_same_bytes_after_200_kills_mariadb() {
    killed_200_times(Kind::Mariadb, 24);
}
