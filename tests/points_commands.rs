//! `fountain points` and `fountain gaps` on folders alone: what they show, what they refuse, and what a kill leaves.

mod harness;

use fountain::sync_point::PointRecord;
use harness::Fountain;
use harness::Output;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// Two shards that no server stands behind.
fn command(home: &Fountain, words: &[&str]) -> Output {
    let keys = [
        "-D",
        "mysql_username=nobody",
        "-D",
        "mysql_shard_0_server=127.0.0.1",
        "-D",
        "mysql_shard_0_port=1",
        "-D",
        "mysql_shard_1_server=127.0.0.1",
        "-D",
        "mysql_shard_1_port=2",
        "-D",
        "mysql_shard_1_name=orders",
    ];
    home.run(&[words, &keys].concat(), PATIENCE)
}

fn done(home: &Fountain, words: &[&str]) -> String {
    let output = command(home, words);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{words:?}: {}", output.stdout);
    output.stdout
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn set(home: &Fountain, place: &[&str]) -> String {
    let words = [&["points", "set", "orders", "--reason", "a test", "--yes", "--no-server"], place].concat();
    done(home, &words)
}

#[test]
fn what_is_set_is_shown_in_all_forms() {
    let home = Fountain::new();
    let gtids = format!("{A}:1-20");
    assert!(set(&home, &["--gtids", &gtids]).contains("moved from an unknown place to GTIDs "));
    let further = format!("{A}:1-5000000000");
    let moved = set(&home, &["--gtids", &further]);
    assert!(moved.contains(&format!("to GTIDs {further}; epoch 2")), "{moved}");
    assert!(moved.contains("no server was asked"), "{moved}");

    let shown = done(&home, &["points", "show"]);
    assert!(shown.contains("producer00: no point is stored, and none ever was"), "{shown}");
    assert!(
        shown.contains(&format!("point    GTIDs {further}\n")) && shown.contains(": a test; a test"),
        "{shown}"
    );
    let shown = json(&done(&home, &["points", "show", "--json"]));
    assert_eq!(shown[0]["point"], Value::Null);
    assert_eq!(shown[1]["shard"], "orders");
    assert_eq!(shown[1]["point"]["gtid_set"], further);
    // Where delivery ended before the first move nobody knows, and no run has been there since.
    assert_eq!(shown[1]["moved"]["from"], Value::Null);

    let history = json(&done(&home, &["points", "history", "orders", "--json"]));
    assert_eq!(history.iter().map(|kept| kept["id"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let both = done(&home, &["points", "history"]);
    assert!(both.starts_with("producer00: no former point is kept\norders      1  saved "), "{both}");
    let last = done(&home, &["points", "history", "orders", "--limit", "1"]);
    assert!(last.starts_with("orders      2  saved ") && last.ends_with(", moved there\n"), "{last}");
    set(&home, &["--to-history", "1"]);
    let shown = json(&done(&home, &["points", "show", "orders", "--json"]));
    assert_eq!(shown[0]["point"]["gtid_set"], gtids);
    set(&home, &["--drop-gtids", &format!("{A}:11-30")]);
    let shown = json(&done(&home, &["points", "show", "orders", "--json"]));
    assert_eq!(shown[0]["point"]["gtid_set"], format!("{A}:1-10"));

    let gaps = json(&done(&home, &["gaps", "--json"]));
    assert!(gaps.iter().all(|gap| gap["kind"] == "jump" && gap["shard"] == "orders"));
    let reasons: Vec<&str> = gaps.iter().filter_map(|gap| gap["reason"].as_str()).collect();
    let last = format!("a test (GTIDs taken out of the point: {A}:11-20)");
    assert_eq!(reasons, ["a test", "a test", "a test", &last]);
    assert_eq!(gaps[2]["from"]["gtid"], further);
    let text = done(&home, &["gaps", "orders"]);
    assert!(text.contains(&format!(" orders jump: from GTID {gtids} to GTID {A}:1-10: a test")), "{text}");
    let since = "no gap is recorded since 2100-01-01T00:00:00.000Z";
    let none = format!("producer00: {since}\norders: {since}\n");
    assert_eq!(done(&home, &["gaps", "--since", "2100-01-01"]), none);
    assert_eq!(done(&home, &["gaps", "--since", "2020-01-01", "orders"]), text);
    assert_eq!(done(&home, &["gaps"]), format!("producer00: no gap is recorded\n{text}"));

    // Nothing was ever committed before those points, as far as they know: the time of saving counts.
    assert!(done(&home, &["points", "find", "--time", "2100-01-01", "orders"]).contains("--to-history 4"));
    let output = command(&home, &["points", "find", "--time", "2001-01-01", "orders"]);
    assert_refused(&output, 1, "NO_POINT", &["2001-01-01T00:00:00.000Z", "the oldest of its 4 kept points"]);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let home = Fountain::new();
    let gtids = format!("{A}:1-20");
    set(&home, &["--gtids", &gtids]);
    let point = home.home().join("points/orders.point");
    let before = fs::read(&point).unwrap();
    let cases: &[(&[&str], i32, &str, &[&str])] = &[
        (&["points", "show", "order"], 2, "USAGE", &["no shard \"order\"", "did you mean \"orders\"?"]),
        (&["points", "set", "orders", "--start", "end", "--yes"], 2, "USAGE", &["--reason"]),
        (&["points", "set", "orders", "--reason", " ", "--start", "end", "--yes"], 2, "USAGE", &["--reason"]),
        (
            &["points", "set", "orders", "--reason", "r", "--gtids", "0-1-5", "--no-server", "--yes"],
            2,
            "USAGE",
            &["other kind"],
        ),
        (
            &["points", "set", "orders", "--reason", "r", "--to-history", "9", "--no-server", "--yes"],
            2,
            "USAGE",
            &["no point 9"],
        ),
        (
            &[
                "points",
                "set",
                "orders",
                "--reason",
                "r",
                "--drop-gtids",
                "3e11fa47-71ca-11e1-9e33-c80aa9429562:21",
                "--no-server",
                "--yes",
            ],
            2,
            "USAGE",
            &["none of those GTIDs"],
        ),
        (
            &[
                "points",
                "set",
                "producer00",
                "--reason",
                "r",
                "--file",
                "b.1",
                "--pos",
                "4",
                "--no-server",
                "--yes",
            ],
            2,
            "USAGE",
            &["must be asked"],
        ),
        (
            &["points", "set", "orders", "--reason", "r", "--file", "b.1", "--pos", "4", "--yes"],
            1,
            "UNREACHABLE",
            &["127.0.0.1:2"],
        ),
        // Nobody sits at a terminal here.
        (
            &["points", "set", "orders", "--reason", "r", "--gtids", &gtids, "--no-server"],
            2,
            "USAGE",
            &["give --yes"],
        ),
        // The point knows no server to which the place could belong: the next start would refuse it.
        (
            &[
                "points",
                "set",
                "orders",
                "--reason",
                "r",
                "--file",
                "b.1",
                "--pos",
                "4",
                "--no-server",
                "--yes",
            ],
            2,
            "USAGE",
            &["must be asked", "leave --no-server away"],
        ),
        (&["points", "show", "--", "orders", "producer00"], 2, "USAGE", &["does not take"]),
    ];
    for (words, exit, code, parts) in cases {
        let output = command(&home, words);
        harness::assert_refused_for(&format!("{words:?}"), &output, *exit, code, parts);
    }
    assert_eq!(fs::read(&point).unwrap(), before);
    assert_eq!(json(&done(&home, &["gaps", "--json"])).len(), 1);
    let zookeeper =
        ["points", "show", "producer00", "-D", "zk_string=h:1", "-D", "zk_save_position_root_path=/p"];
    assert_refused(&command(&home, &zookeeper), 1, "ZK_UNREACHABLE", &["/p/producer00", "h:1"]);
}

#[test]
fn broken_and_missing_files_are_told_and_do_not_hide_the_other_shards() {
    let home = Fountain::new();
    for words in [&["points", "show"][..], &["points", "history"], &["gaps"], &["schema", "show"]] {
        let output = command(&home, words);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{words:?}");
        for part in
            ["shard=producer00 ", "shard=orders ", "cannot be read", "producer_position names another"]
        {
            assert!(output.stderr.contains(part), "{words:?}: {}", output.stderr);
        }
        assert_eq!(output.stderr.matches("POINT_STORE").count(), 2, "{words:?}: {}", output.stderr);
    }
    set(&home, &["--gtids", &format!("{A}:1-20")]);
    set(&home, &["--gtids", &format!("{A}:1-30")]);
    let folder = home.home().join("points");
    for name in ["orders.gaps", "orders.history"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        fs::write(folder.join(name), text.replacen("1-20", "1-21", 1) + "{\"torn").unwrap();
    }
    for (words, file) in
        [(&["gaps", "orders"][..], "orders.gaps"), (&["points", "history", "orders"], "orders.history")]
    {
        let (output, rest) = (command(&home, words), "1-30");
        assert_refused(
            &output,
            1,
            "POINT_BROKEN",
            &["shard=orders ", file, ": 1 line(s) are not as they were"],
        );
        assert!(output.stdout.lines().count() == 1 && output.stdout.contains(rest), "{}", output.stdout);
    }
    // The way out of a broken point and of one that is gone: its number and epoch go on rising.
    let point = folder.join("orders.point");
    fs::write(&point, "").unwrap();
    let output = command(&home, &["points", "show"]);
    assert_refused(&output, 1, "POINT_BROKEN", &["orders.point", "it is empty"]);
    assert!(output.stdout.contains("producer00: no point"), "{}", output.stdout);
    let told = set(&home, &["--to-history", "2"]);
    assert!(
        told.contains("the stored point cannot be used (POINT_BROKEN)") && told.contains("epoch 3"),
        "{told}"
    );
    fs::remove_file(&point).unwrap();
    assert_refused(&command(&home, &["points", "show"]), 1, "POINT_LOST", &["orders.trace"]);
    assert!(set(&home, &["--to-history", "2"]).contains("epoch 4"));
    let shown = json(&done(&home, &["points", "show", "orders", "--json"]));
    assert!(shown[0]["next_seq"].as_u64().unwrap() > 1 << 32, "{}", shown[0]);
}

#[test]
fn a_point_of_the_original_is_told() {
    let home = Fountain::new();
    home.write("points/orders.binlog", "127.0.0.1:2#mysql-bin.000003#120");
    let shown = done(&home, &["points", "show"]);
    assert!(shown.starts_with("producer00: no point is stored, and none ever was\n"), "{shown}");
    assert!(shown.contains("orders: none of ours is stored; the original Fountain's "), "{shown}");
    assert!(shown.ends_with("points/orders.binlog is there, the next run goes on with it\n"), "{shown}");
    let told = set(&home, &["--gtids", &format!("{A}:1-20")]);
    assert!(told.contains("points/orders.binlog is not gone on with any more\n"), "{told}");
    let shown = done(&home, &["points", "show", "orders"]);
    assert!(shown.contains("  server   not known yet\n") && !shown.contains("original"), "{shown}");
    assert!(shown.contains(&format!("  point    GTIDs {A}:1-20\n")), "{shown}");
}

#[test]
fn a_kill_at_any_moment_of_set_leaves_the_old_point_or_the_new_one() {
    let home = Fountain::new();
    let place = |round: u64| format!("{A}:1-{}", 100 + round);
    set(&home, &["--gtids", &place(0)]);
    let stored = || json(&done(&home, &["points", "show", "orders", "--json"]))[0].clone();
    let mut seed: u64 = 20261123;
    let (mut kept, mut moved) = (0, 0);
    let mut before = stored();
    for round in 1..=40 {
        let mut command = home.command();
        let target = place(round);
        command.args([
            "points",
            "set",
            "orders",
            "--reason",
            "kill",
            "--yes",
            "--no-server",
            "--gtids",
            &target,
        ]);
        command.args([
            "-D",
            "mysql_username=u",
            "-D",
            "mysql_shard_0_server=h",
            "-D",
            "mysql_shard_0_name=orders",
        ]);
        let run = harness::Running::start(command);
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros((seed >> 33) % 12_000));
        run.kill9();
        let after = stored();
        if after == before {
            kept += 1;
        } else {
            assert_eq!(after["point"]["gtid_set"], target, "seed {seed}");
            assert_eq!(after["epoch"].as_u64(), before["epoch"].as_u64().map(|epoch| epoch + 1));
            moved += 1;
        }
        before = after;
        // What was moved is recorded, and no file is broken for good.
        let gaps = json(&done(&home, &["gaps", "--json"]));
        assert!(gaps.len() > moved, "{} gaps, {moved} moves", gaps.len());
        done(&home, &["points", "history"]);
    }
    assert_eq!(kept + moved, 40);
    eprintln!("killed before the move {kept} times, behind it {moved} times");
    assert!(set(&home, &["--gtids", &place(99)]).contains("1-199"));
}

/// What the consumer has not been told of is where delivery ended, however often the point is moved meanwhile.
#[test]
fn a_second_move_before_a_run_tells_where_delivery_ended() {
    let home = Fountain::new();
    set(&home, &["--gtids", &format!("{A}:1-20")]);
    let point = home.home().join("points/orders.point");
    let line = fs::read(&point).unwrap();
    let mut record = PointRecord::from_line(line.trim_ascii_end()).unwrap();
    // A run has been there since, and has delivered three packs.
    record.moved = None;
    record.sequence = 3;
    fs::write(&point, record.to_line().unwrap() + "\n").unwrap();
    set(&home, &["--gtids", &format!("{A}:1-500")]);
    set(&home, &["--gtids", &format!("{A}:1-30")]);
    let shown = json(&done(&home, &["points", "show", "orders", "--json"]));
    assert_eq!(shown[0]["moved"]["from"]["gtid"], format!("{A}:1-20"), "{}", shown[0]);
    assert_eq!(shown[0]["moved"]["reason"], "a test; a test");
    // The records of the moves themselves are one for each.
    let gaps = json(&done(&home, &["gaps", "orders", "--json"]));
    assert_eq!(gaps[2]["from"]["gtid"], format!("{A}:1-500"));
}
