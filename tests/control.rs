//! Operating a running node: suspended shards rest and hold nothing, go on where they were, and stay suspended whatever becomes
//! of the process; the control socket hears only whom it should, and nobody can hurt it.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Output;
use harness::Running;
use harness::Server;
use harness::assert_refused;
use harness::delivered::PATIENCE;
use harness::delivered::data;
use harness::delivered::keys;
use harness::delivered::run_arguments;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::numbered::selected;
use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

const KEYS: [&str; 2] = ["start_without_point=beginning", "dispatch_ddl=none"];

/// A command with the keys of a run.
fn ask(home: &Fountain, arguments: &[String], words: &[&str]) -> Output {
    let words = words.iter().map(|word| (*word).to_owned());
    let arguments: Vec<String> = words.chain(arguments[1..].iter().cloned()).collect();
    home.run(&arguments, PATIENCE)
}

/// The same, which has to do it.
#[track_caller]
fn done(home: &Fountain, arguments: &[String], words: &[&str]) -> String {
    let output = ask(home, arguments, words);
    assert_eq!(output.code, 0, "{words:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// What `status --json` tells of the first shard.
fn seen(home: &Fountain, arguments: &[String]) -> Value {
    let output = ask(home, arguments, &["status", "--json"]);
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    report["shards"][0].clone()
}

#[track_caller]
fn wait_for_ids(run: &mut Running, home: &Fountain, last: u64) {
    run.wait_for(&format!("row {last}"), PATIENCE, |_| ids_in(home).last() == Some(&last));
}

/// Whether a process has a connection to that port.
fn is_connected(pid: u32, port: u16) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let sockets: Vec<String> = fds
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let wanted = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2].ends_with(&wanted) && sockets.iter().any(|inode| inode == fields[9])
    })
}

fn socket(home: &Fountain) -> std::path::PathBuf {
    home.home().join("status/fountain.sock")
}

/// Suspended and resumed again and again under load: no row is lost, none comes twice; meanwhile it holds no connection.
#[test]
fn a_shard_under_load_rests_and_goes_on() {
    for (kind, options) in [(Kind::Mysql97, GTID), (Kind::Mariadb, &[])] {
        let Some(server) = Server::start_private(kind, options) else { continue };
        create(&server);
        let home = Fountain::new();
        let arguments = run_arguments(&home, &server, &keys(&KEYS));
        let mut run = home.spawn(&arguments);
        let over = AtomicBool::new(false);
        let last = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut id = 0;
                while !over.load(Ordering::Relaxed) {
                    id += 1;
                    insert(&server, id);
                }
                id
            });
            for round in 0..3 {
                let before = ids_in(&home).len();
                run.wait_for("rows", PATIENCE, |_| ids_in(&home).len() > before);
                let told = done(
                    &home,
                    &arguments,
                    &["suspend", "producer00", "--reason", &format!("round {round}")],
                );
                assert_eq!(told, "producer00: suspended\n", "{kind}");
                assert!(!is_connected(run.pid(), server.port()), "{kind}: it holds a connection");
                let rests = ids_in(&home);
                let shard = seen(&home, &arguments);
                assert_eq!(shard["state"], "suspended", "{shard}");
                assert!(shard["why"].as_str().unwrap().contains(&format!("round {round}")), "{shard}");
                assert_eq!(ids_in(&home), rests, "{kind}: nothing is delivered meanwhile");
                let told = done(&home, &arguments, &["resume", "producer00"]);
                assert!(told.starts_with("producer00: resumed"), "{told}");
            }
            over.store(true, Ordering::Relaxed);
            load.join().expect("the load")
        });
        wait_for_ids(&mut run, &home, last);
        assert!(is_connected(run.pid(), server.port()));
        let output = run.terminate(PATIENCE);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(ids_in(&home), selected(&server, "d.t"), "{kind}");
        assert_eq!(output.stderr.matches("SUSPENDED").count(), 3, "told once each time: {}", output.stderr);
    }
}

/// A suspension outlives the process, ends by itself when it was given a time, and lets the point be moved.
#[test]
fn a_suspension_is_kept_with_the_point() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    insert(&server, 1);
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &keys(&KEYS));
    let mut run = home.spawn(&arguments);
    wait_for_ids(&mut run, &home, 1);
    let move_it = ["points", "set", "producer00", "--start", "beginning", "--reason", "again", "--yes"];
    assert_refused(&ask(&home, &arguments, &move_it), 1, "LOCKED", &["while a process leads"]);
    done(&home, &arguments, &["suspend", "producer00", "--reason", "the cellar is wet"]);
    run.kill9();
    insert(&server, 2);

    let down = ask(&home, &arguments, &["status"]);
    assert_eq!(down.code, 2, "{}", down.stdout);
    assert!(
        down.stdout.contains("no node runs here") && down.stdout.contains("the cellar is wet"),
        "{}",
        down.stdout
    );
    let mut run = home.spawn(&arguments);
    run.wait_for("it is told", PATIENCE, |run| run.stderr().contains("SUSPENDED"));
    assert!(run.stderr().contains("the cellar is wet"), "{}", run.stderr());
    assert_eq!(ids_in(&home), [1]);
    let rests = ask(&home, &arguments, &["status"]);
    assert_eq!(rests.code, 1, "{}", rests.stdout);
    assert!(
        rests.stdout.contains("  suspended  ") && rests.stdout.contains("the cellar is wet"),
        "{}",
        rests.stdout
    );
    done(&home, &arguments, &move_it);
    done(&home, &arguments, &["resume"]);
    wait_for_ids(&mut run, &home, 2);
    assert_eq!(ids_in(&home), [1, 1, 2], "from the beginning, by that person's word");

    let begun = Instant::now();
    let told = done(&home, &arguments, &["suspend", "producer00", "--for", "2s", "--reason", "a moment"]);
    assert!(told.starts_with("producer00: suspended until "), "{told}");
    insert(&server, 3);
    wait_for_ids(&mut run, &home, 3);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(run.stderr().contains("its suspension has ended by itself"), "{}", run.stderr());
    let again = done(&home, &arguments, &["resume", "producer00"]);
    assert!(again.starts_with("producer00: is neither suspended nor stopped"), "{again}");
    assert_eq!(run.terminate(PATIENCE).code, 0);
}

/// One shard stops at a statement; the other goes on. It is tried again when a person says so, and passes behind a moved point.
#[test]
fn a_stopped_shard_is_resumed_beside_another_one() {
    let Some(server) = Server::start_private(Kind::Mysql97, GTID) else { return };
    let Some(other) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    create(&other);
    let home = Fountain::new();
    let mut arguments = run_arguments(&home, &server, &keys(&KEYS));
    arguments.extend(other.shard_arguments(1, home.home()).into_iter().take(4));
    let mut run = home.spawn(&arguments);
    let has = |shard: &str, id: u64| {
        let (shard, row) = (format!("\"shard\":\"{shard}\""), format!("\"after\":{{\"id\":{id}}}"));
        data(&home.home().join("data")).lines().any(|line| line.contains(&shard) && line.contains(&row))
    };
    let stops = |run: &Running| run.stderr().matches("STATEMENT_DML: shard=producer01").count();
    other.sql("SET SESSION binlog_format=STATEMENT; INSERT INTO d.t VALUES (1)");
    run.wait_for("it stops", PATIENCE, |run| run.stderr().contains("this shard stops"));
    let before = stops(&run);
    insert(&server, 1);
    run.wait_for("the other goes on", PATIENCE, |_| has("producer00", 1));
    let status = ask(&home, &arguments, &["status"]);
    assert_eq!(status.code, 2, "{}", status.stdout);
    assert!(
        status.stdout.contains("stopped") && status.stdout.contains("STATEMENT_DML"),
        "{}",
        status.stdout
    );

    done(&home, &arguments, &["resume", "producer01"]);
    run.wait_for("it stops again", PATIENCE, |run| stops(run) > before);
    let move_it = ["points", "set", "producer01", "--start", "end", "--reason", "one row by hand", "--yes"];
    done(&home, &arguments, &move_it);
    done(&home, &arguments, &["resume", "producer01"]);
    insert(&other, 2);
    run.wait_for("it goes on behind it", PATIENCE, |_| has("producer01", 2));
    let output = run.terminate(PATIENCE);
    assert_eq!(output.code, 0, "no shard is stopped at the end: {}", output.stderr);

    // The process ends when its last shard stops, and the next one says what it had stopped for.
    other.sql("SET SESSION binlog_format=STATEMENT; INSERT INTO d.t VALUES (3)");
    let alone = keys(&["mysql_shard_0_enabled=false"]).into_iter().map(str::to_owned);
    let alone: Vec<String> = arguments.into_iter().chain(alone).collect();
    let output = home.run(&alone, PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(!output.stderr.contains("had stopped"), "{}", output.stderr);
    let output = home.run(&alone, PATIENCE);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("had stopped at"), "{}", output.stderr);
}

/// Without a node the first two words change what is stored; the others have nobody to speak to.
#[test]
fn no_node_runs() {
    let Some(server) = Server::start_private(Kind::Mariadb, &[]) else { return };
    create(&server);
    insert(&server, 1);
    let home = Fountain::new();
    let arguments = run_arguments(&home, &server, &keys(&KEYS));
    let told = done(&home, &arguments, &["suspend", "producer00", "--reason", "not yet"]);
    assert!(told.contains("no node runs here"), "{told}");
    let bounded: Vec<String> = arguments.iter().cloned().chain(["--until".into(), "end".into()]).collect();
    assert_refused(&home.run(&bounded, PATIENCE), 1, "SUSPENDED", &["not yet", "fountain resume producer00"]);
    assert_eq!(ids_in(&home), [0; 0]);
    for words in [&["switch", "producer00", "main"][..], &["step-down"]] {
        assert_refused(&ask(&home, &arguments, words), 1, "CONTROL", &["no node runs here"]);
    }
    for words in [&["suspend", "producer7", "--reason", "x"][..], &["resume", "producer7"]] {
        assert_refused(&ask(&home, &arguments, words), 2, "USAGE", &["producer7", "producer00"]);
    }
    assert!(done(&home, &arguments, &["resume"]).starts_with("producer00: resumed"));
    assert_eq!(home.run(&bounded, PATIENCE).code, 0);
    assert_eq!(ids_in(&home), [1]);
    // The socket that a killed process leaves is nobody's, and the next one takes its place.
    let mut run = home.spawn(&arguments);
    run.wait_for("it listens", PATIENCE, |_| socket(&home).exists());
    run.kill9();
    assert!(socket(&home).exists());
    assert_refused(&ask(&home, &arguments, &["step-down"]), 1, "CONTROL", &["no node runs here"]);
    let mut run = home.spawn(&arguments);
    run.wait_for("it answers", PATIENCE, |_| seen(&home, &arguments)["state"] == "running");
    assert_refused(&ask(&home, &arguments, &["step-down"]), 1, "CONTROL", &["works alone"]);
    assert_refused(&ask(&home, &arguments, &["suspend", "x", "--reason", "x"]), 2, "USAGE", &["producer00"]);
    assert_refused(&ask(&home, &arguments, &["switch", "producer00", "ha1"]), 2, "USAGE", &["it has main"]);
    assert_eq!(run.terminate(PATIENCE).code, 0);
    assert!(!socket(&home).exists(), "a process that ends in order takes its socket with it");
}

/// A node without a server: enough to talk to.
fn node(home: &Fountain, pairs: &[&str]) -> (Running, Vec<String>) {
    let always =
        ["mysql_shard_0_server=127.0.0.1", "mysql_shard_0_port=1", "mysql_username=repl", "sink=null"];
    let arguments: Vec<String> =
        [&["run"], &keys(&[&always, pairs].concat())[..]].concat().into_iter().map(str::to_owned).collect();
    (home.spawn(&arguments), arguments)
}

#[test]
fn only_the_owner_is_heard() {
    let home = Fountain::new();
    let (mut run, arguments) = node(&home, &[]);
    run.wait_for("it listens", PATIENCE, |_| socket(&home).exists());
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&socket(&home)), mode(&home.home().join("status"))), (0o600, 0o750));
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped in part: root alone can ask as another user");
    }
    // Even where the files' rights have been opened wide, the kernel's word on who asks counts.
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours")
    };
    for folder in [home.home(), &home.home().join("status")] {
        open(folder, 0o755);
    }
    open(&socket(&home), 0o666);
    let program = home.home().join("fountain");
    std::fs::copy(env!("CARGO_BIN_EXE_fountain"), &program).expect("a copy that others may run");
    let mut command = std::process::Command::new(&program);
    command.env_clear().env("FOUNTAIN_HOME", home.home()).uid(65534).gid(65534);
    let output = command.arg("status").args(&arguments[1..]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("only user 0 and root may ask"), "{told}");
    run.wait_for("it is told here too", PATIENCE, |run| run.stderr().contains("user 65534 is refused"));
}

/// Sends bytes and reads the answer, if there is one.
fn say(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    // It may close before it has heard all.
    drop(stream.write_all(bytes));
    let mut line = String::new();
    drop(BufReader::new(stream).read_line(&mut line));
    line
}

#[test]
fn nobody_can_hurt_it() {
    let home = Fountain::new();
    let (mut run, arguments) = node(&home, &[]);
    run.wait_for("it listens", PATIENCE, |_| socket(&home).exists());
    let socket = socket(&home);
    let silent: Vec<UnixStream> = (0..5).map(|_| UnixStream::connect(&socket).expect("it listens")).collect();
    for bytes in [&b"rubbish\n"[..], b"\n", b"{\"command\":\"halt\"}\n", b"\xff\xfe\n", b"[[[[[[[[\n"] {
        let answer: Value = serde_json::from_str(&say(&socket, bytes)).expect("an answer");
        assert_eq!((&answer["ok"], &answer["code"]), (&Value::Bool(false), &"USAGE".into()), "{answer}");
    }
    say(&socket, &[b'x'; 1 << 20]);
    say(&socket, &[b'['; 16_000]);
    drop(UnixStream::connect(&socket));
    // Those that say nothing do not keep others from being heard, and are let go.
    assert_eq!(seen(&home, &arguments)["state"], "connecting");
    let mut answer = String::new();
    let begun = Instant::now();
    silent[0].set_read_timeout(Some(PATIENCE)).expect("a deadline");
    BufReader::new(&silent[0]).read_line(&mut answer).expect("its last word");
    assert!(answer.contains("no line within") && begun.elapsed() < Duration::from_secs(30), "{answer}");
    let output = run.terminate(PATIENCE);
    assert!(output.code == 0 && !output.stderr.contains("panicked"), "{}", output.stderr);
}

/// A folder whose path does not fit into a socket's address; a second process on it.
#[test]
fn a_folder_that_is_far_away_and_one_that_is_taken() {
    let home = Fountain::new();
    let far = format!("status_dir={}/{}", home.home().display(), "long/".repeat(40));
    let (mut run, arguments) = node(&home, &[&far]);
    run.wait_for("it answers", PATIENCE, |_| seen(&home, &arguments)["state"] == "connecting");
    let (second, _) = node(&home, &[&far, "producer_position=elsewhere"]);
    assert_refused(
        &second.wait(PATIENCE),
        1,
        "LOCKED",
        &[&format!("process {}", run.pid()), "control socket"],
    );
    assert_eq!(run.terminate(PATIENCE).code, 0);
}
