//! A private ZooKeeper server for one test, with a tickTime of 500 ms: sessions of 1 to 10 s.

use super::process::Process;
use super::scripts::get_word;
use super::scripts::path_text;
use super::scripts::script;
use super::scripts::script_path;
use super::server::free_port;
use super::zk_client::ZkClient;
use super::zk_client::ZkNode;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

const BOOT_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Its process ends when this is dropped.
pub struct ZooKeeperServer {
    port: u16,
    /// None while it is down. Before `folder`: a process must be gone before its files go.
    process: Option<Process>,
    folder: TempDir,
}

impl ZooKeeperServer {
    /// None: it cannot be had on this machine, the test is counted as skipped.
    pub fn start() -> Option<ZooKeeperServer> {
        if let Err(why) = get_word("zookeeper") {
            super::skip(&why);
            return None;
        }
        let folder =
            tempfile::Builder::new().prefix("fountain-zookeeper-").tempdir().expect("a temporary folder");
        script(&["init", "zookeeper", path_text(folder.path())]).unwrap_or_else(|why| panic!("{why}"));
        let mut server = ZooKeeperServer { port: free_port(), process: None, folder };
        server.restart();
        Some(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    // --------------------------------------------------------------------------------------------------- process

    /// Freezes the process: connections stay open and nothing answers.
    pub fn stall(&self) {
        self.process().signal("STOP");
    }

    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    /// Ends it in good order; `restart` brings it back.
    pub fn stop(&mut self) {
        let process = self.process.take().expect("ZooKeeper does not run");
        process.terminate(STOP_PATIENCE).unwrap_or_else(|why| panic!("ZooKeeper: {why}"));
    }

    /// Kills it as a crash would; `restart` brings it back.
    pub fn kill9(&mut self) {
        self.process.take().expect("ZooKeeper does not run").kill();
    }

    /// Starts it again on the same port and data, after stopping it if it runs. Its sessions live on.
    pub fn restart(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
        let script = script_path();
        let (folder, port) = (path_text(self.folder.path()), self.port.to_string());
        self.process = Some(Process::start(
            self.folder.path(),
            &[path_text(&script), "run", "zookeeper", folder, &port],
        ));
        super::wait_until("ZooKeeper serves", BOOT_PATIENCE, || self.serves());
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("ZooKeeper does not run")
    }

    /// It takes connections before it serves: its own word tells.
    fn serves(&self) -> bool {
        self.asked("srvr").is_some_and(|answer| answer.contains("Mode:"))
    }

    // ------------------------------------------------------------------------------------------- what it tells

    /// One of the words that need no session: `srvr`, `mntr`. None: it does not answer.
    pub fn asked(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a read timeout");
        let mut answer = String::new();
        stream.write_all(word.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).ok()?;
        Some(answer)
    }

    /// The number of its last transaction: every write, and every session that begins or ends, is one.
    pub fn zxid(&self) -> u64 {
        let answer = self.asked("srvr").expect("ZooKeeper answers");
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).expect("a zxid");
        u64::from_str_radix(zxid, 16).expect("a number")
    }

    /// Sessions that have not ended or expired.
    pub fn sessions(&self) -> usize {
        let answer = self.asked("mntr").expect("ZooKeeper answers");
        let count = answer.lines().find_map(|line| line.strip_prefix("zk_global_sessions\t"));
        count.expect("a count of sessions").parse().expect("a number")
    }

    // ----------------------------------------------------------------------------------------------------- nodes

    /// A client of the tests' own, for calls in a row; what is asked without it has a session for each call.
    pub fn client(&self) -> ZkClient {
        ZkClient::new(&self.address())
    }

    /// None: there is no such node.
    pub fn node(&self, path: &str) -> Option<ZkNode> {
        self.client().get(path).unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    /// Names in order; none when there is no such node.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.client().children(path).unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    /// False: there was no such node.
    pub fn delete(&self, path: &str) -> bool {
        self.client().delete(path).unwrap_or_else(|why| panic!("{path}: {why}"))
    }
}
