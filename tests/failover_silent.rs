//! A main server that freezes, at each stage of the conversation, and takes connections all the same: it is noticed within the
//! deadline, told in one line, and the backup is read.

mod harness;

use harness::By;
use harness::Fountain;
use harness::Kind;
use harness::Pair;
use harness::Proxy;
use harness::Running;
use harness::delivered::PATIENCE;
use harness::delivered::keys;
use harness::delivered::run_until;
use harness::numbered::create;
use harness::numbered::ids_in;
use harness::numbered::insert;
use harness::stored::lines_in;

const KEYS: &[&str] = &[
    "start_without_point=beginning",
    "dispatch_ddl=none",
    "data_source_try_interval=100ms",
    "repeat_resource_interval=300ms",
    "mysql_replication_socket_so_timeout=2s",
    "mysql_heartbeat_period=300ms",
];
/// So many runs at a time, all of which wait for most of theirs.
const AT_ONCE: usize = 24;

/// A main server that falls silent behind so many messages of ours, and a run that goes on from the main server's point.
struct Silent {
    heard: usize,
    proxy: Proxy,
    home: Fountain,
    run: Running,
}

impl Silent {
    fn start(pair: &Pair, begun: &Fountain, heard: usize) -> Silent {
        let home = Fountain::new();
        for folder in ["points", "data"] {
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .arg(begun.home().join(folder))
                .arg(home.home())
                .status();
            assert!(copied.expect("cp").success(), "{folder} is copied");
        }
        let proxy = Proxy::start(pair.main.port());
        proxy.silent_from(heard);
        let run =
            home.spawn(&pair.run_arguments_through(&home, proxy.port(), pair.backup.port(), &keys(KEYS)));
        Silent { heard, proxy, home, run }
    }

    /// Whether the server was silent at all.
    fn ends_on_the_backup(mut self, pair: &Pair) -> bool {
        let home = &self.home;
        self.run.wait_for("the rows", PATIENCE, |_| ids_in(home) == [1, 2, 3, 4, 5]);
        let output = self.run.terminate(PATIENCE);
        let stage = format!("{}, silent behind {} messages: {}", pair.kind(), self.heard, output.stderr);
        assert_eq!(output.code, 0, "{stage}");
        if !self.proxy.is_silent() {
            return false;
        }
        let from = |line: &serde_json::Value| line["server"].as_str().expect("a server").to_owned();
        let servers: Vec<String> = lines_in(home).iter().map(from).collect();
        let backup = format!("127.0.0.1:{}", pair.backup.port());
        assert!(servers[3..].iter().all(|server| *server == backup), "{servers:?} {stage}");
        let main = format!("source=127.0.0.1:{}", self.proxy.port());
        let told = |code: &str| {
            let warned = format!(" WARN  {code}: ");
            output.stderr.lines().filter(|line| line.contains(&warned) && line.contains(&main)).count()
        };
        assert_eq!(told("TIMEOUT") + told("STALLED"), 1, "{stage}");
        let warnings = output.stderr.lines().filter(|line| line.contains(" WARN ")).count();
        assert_eq!(warnings, 2, "the silence and the switch: {stage}");
        assert!(output.stderr.contains(" WARN  SOURCE_SWITCHED: "), "{stage}");
        true
    }
}

fn a_main_server_falls_silent(kind: Kind) {
    let Some(pair) = Pair::start(kind, By::Gtid) else { return };
    create(&pair.main);
    (1..=3).for_each(|id| insert(&pair.main, id));
    let begun = Fountain::new();
    let output = run_until(&begun, &pair.main, "end", &keys(KEYS));
    assert_eq!(output.code, 0, "{}", output.stderr);
    (4..=5).for_each(|id| insert(&pair.main, id));
    pair.wait_until_caught_up();
    // Until a run hears all that it needs of the main server.
    let mut first = 0;
    loop {
        let runs: Vec<Silent> =
            (first..first + AT_ONCE).map(|heard| Silent::start(&pair, &begun, heard)).collect();
        let mut silent = 0;
        for run in runs {
            silent += usize::from(run.ends_on_the_backup(&pair));
        }
        first += AT_ONCE;
        if silent < AT_ONCE {
            assert!(first - AT_ONCE + silent > 8, "{kind}: only {silent} stages");
            return;
        }
    }
}

#[test]
fn a_main_server_falls_silent_mysql56() {
    a_main_server_falls_silent(Kind::Mysql56);
}

#[test]
fn a_main_server_falls_silent_mysql97() {
    a_main_server_falls_silent(Kind::Mysql97);
}

#[test]
fn a_main_server_falls_silent_mariadb() {
    a_main_server_falls_silent(Kind::Mariadb);
}
