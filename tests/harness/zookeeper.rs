//! A private ZooKeeper server for one test, with a tickTime of 500 ms: sessions of 1 to 10 s.

use super::process::Process;
use super::scripts::get_word;
use super::scripts::path_text;
use super::scripts::script;
use super::scripts::script_path;
use super::server::free_port;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

/// Its process ends when this is dropped.
pub struct ZooKeeperServer {
    port: u16,
    process: Process,
    _folder: TempDir,
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
        let port = free_port();
        let script = script_path();
        let command = [path_text(&script), "run", "zookeeper", path_text(folder.path()), &port.to_string()]
            .map(str::to_owned);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let process = Process::start(folder.path(), &command);
        let server = ZooKeeperServer { port, process, _folder: folder };
        super::wait_until("ZooKeeper serves", Duration::from_secs(90), || server.serves());
        Some(server)
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Freezes the process: connections stay open and nothing answers.
    pub fn stall(&self) {
        self.process.signal("STOP");
    }

    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// It takes connections before it serves: its own word tells.
    fn serves(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address()) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a read timeout");
        let mut answer = String::new();
        let asked = stream.write_all(b"srvr").and_then(|()| stream.read_to_string(&mut answer).map(drop));
        asked.is_ok() && answer.contains("Mode:")
    }
}
