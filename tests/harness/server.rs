//! A MySQL or MariaDB server for one test: booted from a template in about a second, gone when the test is.

use super::Kind;
use super::process::Process;
use super::scripts::get;
use super::scripts::path_text;
use super::scripts::program;
use super::scripts::script;
use super::scripts::script_path;
use super::session::Row;
use super::session::Session;
use super::session::SqlError;
use super::slots;
use super::slots::Slot;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

/// Options that turn on MySQL's GTIDs, for 5.6 and 9.7 alike.
pub const GTID: &[&str] =
    &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--loose-log-slave-updates=ON"];

/// How long a boot may take on a busy machine; on a quiet one it is 0.2 to 1.5 s.
const BOOT_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Below the ports that the kernel hands out by itself, so that a server finds its port free again after a restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The account for replication that every server has: user and password.
pub(super) const REPLICA: (&str, &str) = ("repl", "replpw");

/// One line of `SHOW BINLOG EVENTS`.
#[derive(Debug, Clone)]
pub struct LoggedEvent {
    pub pos: u64,
    /// `Write_rows`, `Query`, …
    pub kind: String,
    pub end: u64,
    pub info: String,
}

/// A running server; its process ends and its data directory goes when this is dropped, also by a panic.
pub struct Server {
    kind: Kind,
    host: String,
    port: u16,
    user: String,
    password: String,
    /// None for a server that ran before the test.
    private: Option<Private>,
}

struct Private {
    /// None while the server is down. Before `folder`: a process must be gone before its files go.
    process: Option<Process>,
    folder: TempDir,
    options: Vec<String>,
    _slot: Slot,
}

impl Server {
    /// Boots a server of its own for the calling test, with `options` after the defaults of scripts/servers.sh. `None`:
    /// such a server cannot be had on this machine, the test is counted as skipped (under `CI` this panics instead).
    ///
    /// With `FOUNTAIN_TEST_MYSQL56`, `…_MYSQL97` or `…_MARIADB` = `user:password@host:port`, and without options, it
    /// is the server named there: for tests that neither stop it nor expect an empty one.
    pub fn start(kind: Kind, options: &[&str]) -> Option<Server> {
        match external(kind) {
            Some(server) if options.is_empty() => Some(server),
            _ => Server::start_private(kind, options),
        }
    }

    /// As `start`, but always a server of its own: for tests that stop it, stall it or read its files.
    pub fn start_private(kind: Kind, options: &[&str]) -> Option<Server> {
        if let Err(why) = get(kind) {
            super::skip(&why);
            return None;
        }
        let slot = slots::take();
        let folder =
            tempfile::Builder::new().prefix("fountain-server-").tempdir().expect("a temporary folder");
        script(&["init", kind.word(), path_text(folder.path())]).unwrap_or_else(|why| panic!("{why}"));
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Server {
            kind,
            host: "127.0.0.1".to_owned(),
            port: 0,
            user: "root".to_owned(),
            password: String::new(),
            private: Some(Private { process: None, folder, options, _slot: slot }),
        };
        server.boot_on_a_free_port();
        Some(server)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The account for replication: user and password.
    pub fn replica_account(&self) -> (&'static str, &'static str) {
        REPLICA
    }

    /// The `-D` arguments that point shard N at this server, the password as a file `folder/password`.
    pub fn shard_arguments(&self, shard: u32, folder: &Path) -> Vec<String> {
        self.shard_arguments_through(shard, folder, self.port)
    }

    /// As `shard_arguments`, through a proxy on that port.
    pub fn shard_arguments_through(&self, shard: u32, folder: &Path, port: u16) -> Vec<String> {
        let password_file = folder.join("password");
        fs::write(&password_file, REPLICA.1).expect("cannot write the password file");
        let pairs = [
            format!("mysql_shard_{shard}_server={}", self.host),
            format!("mysql_shard_{shard}_port={port}"),
            format!("mysql_username={}", REPLICA.0),
            format!("mysql_password_file={}", path_text(&password_file)),
        ];
        pairs.into_iter().flat_map(|pair| ["-D".to_owned(), pair]).collect()
    }

    // ------------------------------------------------------------------------------------------------ statements

    /// Runs SQL by the server's own client, which understands DELIMITER too; panics with the server's message.
    pub fn sql(&self, sql: &str) {
        self.try_sql(sql).unwrap_or_else(|message| panic!("{}: {message}", self.kind));
    }

    /// Runs SQL by the server's own client: what it printed (`--batch --raw`), or the server's message.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut child = self
            .client()
            .args(["--batch", "--raw", "--comments", "--binary-mode", "--max-allowed-packet=1G"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start the client");
        let mut stdin = child.stdin.take().expect("the pipe asked for above");
        let sql = sql.to_owned();
        // The client answers while it still reads: somebody must read its answers meanwhile.
        let writer = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let output = child.wait_with_output().expect("cannot wait for the client");
        let written = writer.join().expect("the thread that feeds the client");
        if output.status.success() {
            written.expect("the client has not read all the SQL");
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told = |line: &&str| !line.contains("Using a password on the command line");
        Err(stderr.lines().filter(told).collect::<Vec<_>>().join("\n"))
    }

    /// The rows of a query, values exact, NULL as `None`. Panics on an error and on values that are not UTF-8.
    pub fn select(&self, sql: &str) -> Vec<Row> {
        self.session().select(sql)
    }

    /// The one value of a query with one row and one column, which must not be NULL.
    pub fn value(&self, sql: &str) -> String {
        let mut rows = self.select(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "one value expected of {sql}: {rows:?}");
        rows.remove(0).remove(0).unwrap_or_else(|| panic!("NULL is the value of {sql}"))
    }

    /// A connection of the administrator, for transactions that stay open beside others.
    pub fn session(&self) -> Session {
        if !self.password.is_empty() {
            // Lets caching_sha2_password remember the password, so that the short form of the login does.
            self.sql("DO 0");
        }
        self.session_as(&self.user, &self.password).unwrap_or_else(|e| panic!("{}: {e}", self.kind))
    }

    pub fn session_as(&self, user: &str, password: &str) -> Result<Session, SqlError> {
        Session::open(&self.host, self.port, user, password)
    }

    /// The server's own command line client, logged in as the administrator; add what it is to do.
    pub fn client(&self) -> Command {
        let mut command = Command::new(program(self.kind.client()));
        command.args([
            format!("--user={}", self.user),
            format!("--host={}", self.host),
            format!("--port={}", self.port),
        ]);
        command.args(["--protocol=TCP", "--default-character-set=utf8mb4"]);
        if self.kind != Kind::Mysql97 {
            // MariaDB's client would else fail where a server's TLS is older than its own.
            command.arg("--skip-ssl");
        }
        command.env("MYSQL_PWD", &self.password);
        command
    }

    // ---------------------------------------------------------------------------------------------------- binlog

    /// Begins a new binlog file.
    pub fn flush_logs(&self) {
        self.session().sql("FLUSH BINARY LOGS");
    }

    /// The end of the binlog: file name and position.
    pub fn binlog_end(&self) -> (String, u64) {
        let word = if self.kind == Kind::Mysql97 { "BINARY LOG" } else { "MASTER" };
        let rows = self.select(&format!("SHOW {word} STATUS"));
        let text = |column: usize| rows[0][column].clone().expect("a file and a position are never NULL");
        (text(0), text(1).parse().expect("a position is a number"))
    }

    /// The events of a binlog file from a position on, as the server itself lists them.
    pub fn binlog_events(&self, file: &str, from: u64) -> Vec<LoggedEvent> {
        let text = |row: &Row, column: usize| row[column].clone().expect("this column is never NULL");
        let number = |row: &Row, column: usize| text(row, column).parse().expect("a number");
        let rows = self.select(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {from}"));
        rows.iter()
            .map(|row| LoggedEvent {
                pos: number(row, 1),
                kind: text(row, 2),
                end: number(row, 4),
                info: text(row, 5),
            })
            .collect()
    }

    /// The transactions that the server has executed, as it prints them.
    pub fn gtid_executed(&self) -> String {
        let variable =
            if self.kind.is_mysql() { "@@GLOBAL.gtid_executed" } else { "@@GLOBAL.gtid_binlog_pos" };
        self.value(&format!("SELECT {variable}")).replace('\n', "")
    }

    /// The binlog files on disk, in order. Private servers only.
    pub fn binlogs(&self) -> Vec<PathBuf> {
        let index =
            fs::read_to_string(self.datadir().join("binlog.index")).expect("cannot read binlog.index");
        index.lines().map(|name| self.datadir().join(name.trim_start_matches("./"))).collect()
    }

    /// Rows inserted, updated and deleted according to this server's own mysqlbinlog.
    pub fn mysqlbinlog_counts(&self, paths: &[PathBuf]) -> (u64, u64, u64) {
        let (kind, name) = self.kind.mysqlbinlog();
        get(kind).unwrap_or_else(|why| panic!("no {name}: {why}"));
        let mut child = Command::new(program(name))
            .args(["--verbose", "--base64-output=DECODE-ROWS"])
            .args(paths)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start mysqlbinlog");
        let mut stderr = child.stderr.take().expect("the pipe asked for above");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        let counts = count_rows(BufReader::new(child.stdout.take().expect("the pipe asked for above")));
        let status = child.wait().expect("cannot wait for mysqlbinlog");
        let errors = errors.join().expect("the thread that reads stderr").expect("stderr is text");
        assert!(status.success(), "{name} {paths:?}: {status}: {errors}");
        counts
    }

    // --------------------------------------------------------------------------------------------------- process

    /// Where the server's files are. Private servers only.
    pub fn datadir(&self) -> &Path {
        self.private().folder.path()
    }

    /// The server's process number. Private servers that run only.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// What the server has written to its error log.
    pub fn error_log(&self) -> String {
        let bytes = fs::read(self.datadir().join("error.log")).expect("cannot read the error log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops the server in good order; `restart` brings it back.
    pub fn stop(&mut self) {
        let process = self.private_mut().process.take().expect("the server does not run");
        process.terminate(STOP_PATIENCE).unwrap_or_else(|why| panic!("{}: {why}", self.kind));
    }

    /// Kills the server as a crash would; `restart` brings it back.
    pub fn kill9(&mut self) {
        self.private_mut().process.take().expect("the server does not run").kill();
    }

    /// Starts the server again on the same port, after stopping it if it runs.
    pub fn restart(&mut self) {
        if self.private().process.is_some() {
            self.stop();
        }
        self.boot().unwrap_or_else(|why| panic!("{}: {why}", self.kind));
    }

    /// As `restart`, with other options than at the first start.
    pub fn restart_with(&mut self, options: &[&str]) {
        self.private_mut().options = options.iter().map(|option| (*option).to_owned()).collect();
        self.restart();
    }

    /// Copies the files of a running server into a folder, as they are at one moment.
    pub fn copy_files_to(&self, folder: &Path) {
        self.stall();
        copy(self.datadir(), folder);
        self.resume();
    }

    /// Puts such a copy in the place of the files of a server that is down.
    pub fn put_files_back(&self, folder: &Path) {
        for entry in fs::read_dir(self.datadir()).expect("the data directory") {
            let path = entry.expect("an entry").path();
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.expect("a file that can be removed");
        }
        copy(folder, self.datadir());
    }

    /// Freezes the process: connections stay open and nothing answers, until `resume`.
    pub fn stall(&self) {
        self.process().signal("STOP");
    }

    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    fn private(&self) -> &Private {
        self.private.as_ref().expect("this test needs a server of its own: use Server::start_private")
    }

    fn private_mut(&mut self) -> &mut Private {
        self.private.as_mut().expect("this test needs a server of its own: use Server::start_private")
    }

    fn process(&self) -> &Process {
        self.private().process.as_ref().expect("the server does not run")
    }

    /// Between the look at a port and the server's bind somebody else may take it.
    fn boot_on_a_free_port(&mut self) {
        for _ in 0..5 {
            self.port = free_port();
            match self.boot() {
                Ok(()) => return,
                Err(why) if why.to_lowercase().contains("address already in use") => {}
                Err(why) => panic!("{}: {why}", self.kind),
            }
        }
        panic!("{}: five free ports in a row were taken before the server had them", self.kind);
    }

    fn boot(&mut self) -> Result<(), String> {
        let (kind, port) = (self.kind.word(), self.port);
        let port_text = port.to_string();
        let private = self.private_mut();
        let folder = private.folder.path();
        let pid_file = folder.join("mysqld.pid");
        if pid_file.exists() {
            fs::remove_file(&pid_file).expect("cannot remove the old pid file");
        }
        let said_before = fs::metadata(folder.join("error.log")).map_or(0, |metadata| metadata.len());
        let script = script_path();
        let mut command = vec![path_text(&script), "run", kind, path_text(folder), &port_text];
        command.extend(private.options.iter().map(String::as_str));
        let process = Process::start(folder, &command);
        wait_until_ready(&process, &pid_file, port).map_err(|why| {
            let log = fs::read(folder.join("error.log")).unwrap_or_default();
            let said =
                String::from_utf8_lossy(log.get(said_before as usize..).unwrap_or_default()).into_owned();
            format!("{why}; its error log:\n{said}")
        })?;
        self.private_mut().process = Some(process);
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{from:?} cannot be copied to {to:?}");
}

/// The server that a variable names: `FOUNTAIN_TEST_MYSQL97=root:secret@127.0.0.1:3306`.
fn external(kind: Kind) -> Option<Server> {
    let variable = format!("FOUNTAIN_TEST_{}", kind.word().to_uppercase());
    let text = std::env::var(&variable).ok().filter(|text| !text.is_empty())?;
    let parts = || {
        let (account, address) = text.trim_start_matches("mysql://").rsplit_once('@')?;
        let (user, password) = account.split_once(':').unwrap_or((account, ""));
        let (host, port) = address.rsplit_once(':')?;
        Some((user, password, host.trim_matches(['[', ']']), port.parse().ok()?))
    };
    let (user, password, host, port) =
        parts().unwrap_or_else(|| panic!("{variable}: user:password@host:port is expected"));
    let own = |text: &str| text.to_owned();
    Some(Server { kind, host: own(host), port, user: own(user), password: own(password), private: None })
}

/// The pid file is written after the port was bound, so what greets is this server and not another on its port.
fn wait_until_ready(process: &Process, pid_file: &Path, port: u16) -> Result<(), String> {
    let deadline = Instant::now() + BOOT_PATIENCE;
    loop {
        if pid_file.exists() && greets(port) {
            return Ok(());
        }
        if !process.alive() {
            return Err("the server ended before it answered".to_owned());
        }
        if Instant::now() >= deadline {
            return Err(format!("the server did not answer within {BOOT_PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a read timeout");
    stream.read(&mut [0; 64]).is_ok_and(|count| count > 0)
}

pub(super) fn free_port() -> u16 {
    // Only has to differ between tests that run at the same moment; the bind below is what decides.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let seed = now.subsec_nanos() ^ std::process::id().wrapping_mul(0x9e37_79b9);
    let count = u32::from(PORTS.end - PORTS.start);
    let mut candidates = (0..count).map(|step| PORTS.start + (seed.wrapping_add(step * 7919) % count) as u16);
    let free = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("no port between 20000 and 32000 is free")
}

fn count_rows(mut output: impl BufRead) -> (u64, u64, u64) {
    let (mut inserts, mut updates, mut deletes) = (0, 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        if output.read_until(b'\n', &mut line).expect("cannot read mysqlbinlog's output") == 0 {
            return (inserts, updates, deletes);
        }
        inserts += u64::from(line.starts_with(b"### INSERT INTO "));
        updates += u64::from(line.starts_with(b"### UPDATE "));
        deletes += u64::from(line.starts_with(b"### DELETE FROM "));
    }
}
