//! Consumers good and bad, as command lines of the shell.

use super::*;
use crate::pack::header::PackHeader;
use crate::sink::Hope;
use crate::sink::testing::in_packs;
use crate::sink::testing::packs;
use std::path::Path;
use std::path::PathBuf;

const SHARD: &str = "producer00";
/// Takes a pack of the shell's own: the numbers of its line become variables, its rows go to a command.
const TAKE: &str = "e=${l#*\\\"epoch\\\":} s=${l#*\\\"sequence\\\":} b=${l#*\\\"bytes\\\":}; e=${e%%,*} s=${s%%,*} b=${b%%,*}";

fn config(folder: &Path, command: &str) -> ExecSinkConfig {
    ExecSinkConfig {
        command: command.into(),
        folder: folder.into(),
        ack_timeout: Duration::from_secs(20),
        on_failure: ExecOnFailure::Restart,
        resume: ExecResume::Point,
    }
}

fn sink_of(config: ExecSinkConfig) -> ExecSink {
    ExecSink::new(config, SHARD, Stop::new(), Duration::from_secs(10))
}

/// A sink whose consumer does `what` with each pack.
fn sink(folder: &Path, what: &str) -> ExecSink {
    sink_of(config(folder, &format!("while IFS= read -r l; do {TAKE}; {what}; done")))
}

/// The very consumer that comes with fountain.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/consumers").join(name)
}

fn deliver(sink: &mut ExecSink, (header, rows): &(PackHeader, Vec<u8>)) -> Result<(), SinkError> {
    sink.deliver(&Pack { header, rows })
}

/// Tries until it is delivered, as the pipeline does.
fn deliver_in_the_end(sink: &mut ExecSink, pack: &(PackHeader, Vec<u8>)) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = deliver(sink, pack) {
        assert!(error.is_retryable() && Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_consumer_gets_the_line_and_the_rows_as_they_are() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink(
        temp.path(),
        "{ echo \"$l\"; head -c $b; } >> all; echo \"ack $e $s\"; echo $FOUNTAIN_SHARD > shard",
    );
    let mut expected = Vec::new();
    for pack in packs(SHARD, 7, 3) {
        deliver(&mut sink, &pack).unwrap();
        expected.extend(protocol::pack_line(&pack.0).unwrap());
        expected.extend(&pack.1);
    }
    sink.close().unwrap();
    assert_eq!(read(temp.path().join("all")), String::from_utf8(expected).unwrap());
    assert_eq!(read(temp.path().join("shard")), "producer00\n");
}

#[test]
fn a_pack_larger_than_a_pipe_and_a_reader_that_takes_its_time() {
    let temp = tempfile::tempdir().unwrap();
    let rows = format!("{{\"a\":\"{}\"}}\n", "x".repeat(3 << 20)).into_bytes();
    let pack = in_packs(SHARD, 1, 0, vec![rows.clone()]).remove(0);
    let mut sink = sink(
        temp.path(),
        "head -c 100000 > out; sleep 0.3; head -c $((b - 100000)) >> out; echo \"ack $e $s\"",
    );
    deliver(&mut sink, &pack).unwrap();
    assert_eq!(read(temp.path().join("out")).into_bytes(), rows);
}

#[test]
fn wrong_answers_are_failures_that_say_what_was_wrong() {
    let cases = [
        ("cat > /dev/null", "did not answer"),
        ("head -c $b > /dev/null; echo thanks", "\"thanks\", which is neither ack nor reject"),
        ("head -c $b > /dev/null; echo \"ack $e 99\"", "\"ack 1 99\" to pack 1/1"),
        ("head -c $b > /dev/null; echo \"resume none\"", "\"resume …\" to pack 1/1"),
        (
            "head -c $b > /dev/null; echo 'no way' >&2; exit 3",
            "ended with exit code 3; its last words: \"no way\"",
        ),
        ("kill -9 $$", "ended by signal 9"),
        ("head -c $b > /dev/null; printf 'ack 1 1'; exit 0", "ended with exit code 0"),
        (
            "head -c $b > /dev/null; head -c 1000000 /dev/zero | tr '\\0' a; sleep 60",
            "bytes without a line end: \"aaa",
        ),
        ("exec >&-; sleep 60", "closed its standard output"),
    ];
    for (what, expected) in cases {
        let temp = tempfile::tempdir().unwrap();
        let command = format!("while IFS= read -r l; do {TAKE}; {what}; done");
        let ack_timeout = Duration::from_millis(if expected == "did not answer" { 300 } else { 20_000 });
        let mut sink = sink_of(ExecSinkConfig { ack_timeout, ..config(temp.path(), &command) });
        let error = deliver(&mut sink, &packs(SHARD, 1, 1)[0]).unwrap_err();
        assert!(error.text.contains(expected), "{what}: {error}");
        assert_eq!((error.code, error.hope), (Code::SinkFailed, Hope::Later), "{what}");
    }
}

#[test]
fn an_answer_before_the_pack_is_whole_is_none() {
    let rows = format!("{{\"a\":\"{}\"}}\n", "x".repeat(3 << 20)).into_bytes();
    let pack = in_packs(SHARD, 1, 0, vec![rows]).remove(0);
    let temp = tempfile::tempdir().unwrap();
    let mut early = sink(temp.path(), "echo \"ack $e $s\"; cat > /dev/null");
    let error = deliver(&mut early, &pack).unwrap_err();
    assert!(error.text.contains("acknowledged ") && error.text.contains("bytes of pack 1/1"), "{error}");
    let mut closes = sink(temp.path(), "exec <&-; sleep 60");
    let error = deliver(&mut closes, &pack).unwrap_err();
    assert!(error.text.contains("closed its standard input after"), "{error}");
    let command = format!("read -r l; {TAKE}; echo \"reject $e $s not that\"; exit 4");
    let mut rejects = sink_of(config(temp.path(), &command));
    let error = deliver(&mut rejects, &pack).unwrap_err();
    assert!(error.text.ends_with("ended with exit code 4 after it rejected the pack: not that"), "{error}");
}

#[test]
fn words_between_packs_are_failures() {
    let temp = tempfile::tempdir().unwrap();
    let packs = packs(SHARD, 1, 2);
    for (more, expected) in
        [("echo \"ack 1 2\"", "\"ack 1 2\" without a pack"), ("printf ac", "only in part: \"ac\"")]
    {
        let mut sink =
            sink(temp.path(), &format!("head -c $b > /dev/null; echo \"ack $e $s\"; {more}; touch said"));
        deliver(&mut sink, &packs[0]).unwrap();
        while !temp.path().join("said").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = deliver(&mut sink, &packs[1]).unwrap_err();
        assert!(error.text.contains(expected), "{error}");
        std::fs::remove_file(temp.path().join("said")).unwrap();
    }
}

#[test]
fn a_new_consumer_gets_the_same_pack_from_its_beginning() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink(
        temp.path(),
        "head -c $b > part; [ -e died ] || { touch died; exit 1; }; cat part >> out; echo \"ack $e $s\"",
    );
    let packs = packs(SHARD, 1, 3);
    for pack in &packs {
        deliver_in_the_end(&mut sink, pack);
    }
    let expected: Vec<u8> = packs.into_iter().flat_map(|(_, rows)| rows).collect();
    assert_eq!(read(temp.path().join("out")).into_bytes(), expected);
}

#[test]
fn a_rejected_pack_is_offered_again_to_the_same_consumer() {
    let temp = tempfile::tempdir().unwrap();
    let what = "head -c $b > /dev/null; echo $$ >> pids; if [ -e ok ]; then echo \"ack $e $s\"; else echo \"reject $e $s disk is full\"; touch ok; fi";
    let mut rejects = sink(temp.path(), what);
    let pack = packs(SHARD, 1, 1).remove(0);
    let error = deliver(&mut rejects, &pack).unwrap_err();
    assert_eq!(error.text, "exec: the consumer rejected pack 1/1: disk is full");
    assert_eq!(error.hope, Hope::Later);
    deliver_in_the_end(&mut rejects, &pack);
    let pids = read(temp.path().join("pids"));
    let pids: Vec<&str> = pids.lines().collect();
    assert!(pids.len() == 2 && pids[0] == pids[1], "{pids:?}");
}

#[test]
fn with_stop_a_failure_is_the_end() {
    let temp = tempfile::tempdir().unwrap();
    for what in ["exit 1", "head -c $b > /dev/null; echo \"reject $e $s no\""] {
        let command = format!("while IFS= read -r l; do {TAKE}; {what}; done");
        let config = ExecSinkConfig { on_failure: ExecOnFailure::Stop, ..config(temp.path(), &command) };
        let error = deliver(&mut sink_of(config), &packs(SHARD, 1, 1)[0]).unwrap_err();
        assert_eq!(error.hope, Hope::None, "{error}");
    }
    // Also between packs, where nobody has asked anything.
    let command = "exit 0";
    let config = ExecSinkConfig { on_failure: ExecOnFailure::Stop, ..config(temp.path(), command) };
    let mut sink = sink_of(config);
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        assert!(Instant::now() < deadline);
        match sink.tick(Instant::now()) {
            Ok(()) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => break error,
        }
    };
    assert!(error.text.contains("ended with exit code 0") && error.hope == Hope::None, "{error}");
}

#[test]
fn a_slow_consumer_is_slow_and_no_failure() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink(temp.path(), "head -c $b > /dev/null; sleep 6; echo \"ack $e $s\"");
    let pack = packs(SHARD, 1, 1).remove(0);
    let error = deliver(&mut sink, &pack).unwrap_err();
    assert_eq!(error.hope, Hope::Slow, "{error}");
    assert!(sink.owes_rest());
    deliver_in_the_end(&mut sink, &pack);
    assert!(!sink.owes_rest());
}

fn is_gone(pid: &str) -> bool {
    let status = read(Path::new("/proc").join(pid.trim()).join("status"));
    !status.contains("State:") || status.contains("State:\tZ")
}

#[test]
fn the_whole_group_ends_with_the_sink() {
    // One that obeys, one that must be told twice, and one with children that outlive it.
    for command in [
        "sleep 100 & echo $! >> pids; echo $$ >> pids; cat > /dev/null",
        "trap '' TERM; echo $$ >> pids; while :; do sleep 0.1; done",
        "(trap '' TERM; sleep 100) & echo $! >> pids; echo $$ >> pids; cat > /dev/null",
    ] {
        let temp = tempfile::tempdir().unwrap();
        let mut sink =
            ExecSink::new(config(temp.path(), command), SHARD, Stop::new(), Duration::from_secs(1));
        sink.tick(Instant::now()).unwrap();
        while read(temp.path().join("pids")).lines().count() < command.matches(">> pids").count() {
            std::thread::sleep(Duration::from_millis(5));
        }
        sink.close().unwrap();
        for pid in read(temp.path().join("pids")).lines() {
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_gone(pid) {
                assert!(Instant::now() < deadline, "{command}: {pid} is still there");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn a_stop_leaves_a_pack_in_flight_half_of_its_time() {
    let temp = tempfile::tempdir().unwrap();
    let pack = packs(SHARD, 1, 1).remove(0);
    for (sleep, taken) in [("0.3", true), ("100", false)] {
        let command = format!(
            "while IFS= read -r l; do {TAKE}; head -c $b > /dev/null; sleep {sleep}; echo \"ack $e $s\"; done"
        );
        let stop = Stop::new();
        let mut sink =
            ExecSink::new(config(temp.path(), &command), SHARD, stop.clone(), Duration::from_secs(2));
        stop.request();
        let began = Instant::now();
        let delivered = deliver(&mut sink, &pack);
        assert_eq!(delivered.is_ok(), taken, "{delivered:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(!sink.owes_rest());
        sink.close().unwrap();
    }
}

#[test]
fn a_consumer_that_keeps_packs_says_where_it_stands() {
    let temp = tempfile::tempdir().unwrap();
    let what = "case $l in *'\"op\":\"resume\"'*) echo \"resume $(cat last 2> /dev/null || echo none)\"; continue;; esac; \
                head -c $b >> out; echo \"$l\" > last; [ ! -e die ] || { rm die; exit 1; }; echo \"ack $e $s\"";
    let command = format!("while IFS= read -r l; do {TAKE}; {what}; done");
    let config = ExecSinkConfig { resume: ExecResume::Consumer, ..config(temp.path(), &command) };
    let packs = packs(SHARD, 1, 4);
    let mut first = sink_of(config.clone());
    assert_eq!(first.standing(), Ok(None));
    deliver(&mut first, &packs[0]).unwrap();
    // Its acknowledgement is lost, the pack is not: it does not come twice.
    std::fs::write(temp.path().join("die"), "").unwrap();
    deliver_in_the_end(&mut first, &packs[1]);
    deliver(&mut first, &packs[2]).unwrap();
    first.close().unwrap();

    let mut second = sink_of(config.clone());
    assert_eq!(second.standing(), Ok(Some(packs[2].0.clone())));
    deliver(&mut second, &packs[3]).unwrap();
    second.close().unwrap();
    let expected: Vec<u8> = packs.iter().flat_map(|(_, rows)| rows.clone()).collect();
    assert_eq!(read(temp.path().join("out")).into_bytes(), expected);

    // A pack begins only after another look at leadership: the wait for the answer of a new consumer is over then.
    let last = in_packs(SHARD, 1, packs[3].0.crc32, vec![b"{}\n".to_vec()]).remove(0);
    let mut again = sink_of(config.clone());
    assert_eq!(again.standing(), Ok(Some(packs[3].0.clone())));
    again.dismiss(FAILED_PATIENCE);
    let error = deliver(&mut again, &last).unwrap_err();
    assert!(error.hope == Hope::Slow && !again.owes_rest(), "{error}");
    assert_eq!(read(temp.path().join("out")).into_bytes(), expected);
    again.close().unwrap();

    // What it has forgotten cannot be given to it again.
    let mut third = sink_of(config);
    assert_eq!(third.standing(), Ok(Some(packs[3].0.clone())));
    third.dismiss(FAILED_PATIENCE);
    std::fs::remove_file(temp.path().join("last")).unwrap();
    let next = in_packs(SHARD, 2, packs[3].0.crc32, vec![b"{}\n".to_vec()]).remove(0);
    let error = deliver(&mut third, &next).unwrap_err();
    assert!(
        error.code == Code::SinkBroken && error.text.contains("holds none, and held pack 1/4"),
        "{error}"
    );
    // Nor does it take the packs of another shard for its own.
    std::fs::write(
        temp.path().join("last"),
        protocol::pack_line(&super::super::testing::packs("other", 1, 1)[0].0).unwrap(),
    )
    .unwrap();
    let error = sink_of(third.config.clone()).standing().unwrap_err();
    assert!(error.text.contains("of shard other"), "{error}");
}

#[test]
fn a_command_that_is_none() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink_of(config(temp.path(), "./no-such-consumer"));
    let error = deliver(&mut sink, &packs(SHARD, 1, 1)[0]).unwrap_err();
    assert!(error.text.contains("exit code 127") && error.text.contains("no-such-consumer"), "{error}");
    let mut sink = sink_of(config(&temp.path().join("no-folder"), "cat"));
    let error = deliver(&mut sink, &packs(SHARD, 1, 1)[0]).unwrap_err();
    assert!(error.text.contains("cannot be started"), "{error}");
}

#[test]
fn the_shell_script_makes_files_of_packs() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = sink_of(config(temp.path(), &format!("{} .", script("pack_files.sh").display())));
    let packs = packs(SHARD, 3, 3);
    for pack in &packs {
        deliver(&mut sink, pack).unwrap();
    }
    sink.close().unwrap();
    for (header, rows) in packs {
        let name = format!("producer00-00000003-{:08}.jsonl", header.sequence);
        assert_eq!(read(temp.path().join(name)).into_bytes(), rows);
    }
}
