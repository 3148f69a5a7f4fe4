//! Private ZooKeeper servers for one test, alone or three together, with a tickTime of 500 ms: sessions of 1 to 10 s.

use super::process::Process;
use super::scripts::get_word;
use super::scripts::path_text;
use super::scripts::script;
use super::scripts::script_path;
use super::server::free_port;
use super::zk_client::ZkClient;
use super::zk_client::ZkNode;
use super::zk_proxy::Link;
use super::zk_proxy::Weather;
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
    /// Lines of its zoo.cfg, beside the defaults.
    settings: Vec<String>,
    /// None while it is down. Before `folder`: a process must be gone before its files go.
    process: Option<Process>,
    folder: TempDir,
}

impl ZooKeeperServer {
    /// None: it cannot be had on this machine, the test is counted as skipped.
    pub fn start() -> Option<ZooKeeperServer> {
        let mut server = ZooKeeperServer::prepare()?;
        server.restart();
        Some(server)
    }

    fn prepare() -> Option<ZooKeeperServer> {
        if let Err(why) = get_word("zookeeper") {
            super::skip(&why);
            return None;
        }
        let folder =
            tempfile::Builder::new().prefix("fountain-zookeeper-").tempdir().expect("a temporary folder");
        script(&["init", "zookeeper", path_text(folder.path())]).unwrap_or_else(|why| panic!("{why}"));
        Some(ZooKeeperServer { port: free_port(), settings: Vec::new(), process: None, folder })
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
        self.begin();
        self.wait_until_it_serves();
    }

    fn begin(&mut self) {
        let script = script_path();
        let (folder, port) = (path_text(self.folder.path()), self.port.to_string());
        let mut command = vec![path_text(&script), "run", "zookeeper", folder, &port];
        command.extend(self.settings.iter().map(String::as_str));
        self.process = Some(Process::start(self.folder.path(), &command));
    }

    fn wait_until_it_serves(&self) {
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

/// Three servers that keep each other's data. The first one can be cut off from the two others, and then answers reads from
/// what it knew, for as long as its syncLimit lets it: 20 s here.
pub struct ZooKeeperEnsemble {
    servers: Vec<ZooKeeperServer>,
    /// The ways of the first one to the others. Before it leads it would have to have more data, or a higher number.
    links: Vec<Link>,
}

impl ZooKeeperEnsemble {
    /// As [`ZooKeeperServer::start`].
    pub fn start() -> Option<ZooKeeperEnsemble> {
        let servers = std::iter::repeat_with(ZooKeeperServer::prepare).take(3).collect::<Option<Vec<_>>>()?;
        let peers: Vec<(u16, u16)> = servers.iter().map(|_| (free_port(), free_port())).collect();
        let links = peers.iter().skip(1).map(|(quorum, _)| Link::to(*quorum)).collect();
        let mut ensemble = ZooKeeperEnsemble { servers, links };
        for at in 0..3 {
            let peer = |(to, (quorum, election)): (usize, &(u16, u16))| {
                let quorum = if at == 0 && to > 0 { ensemble.links[to - 1].port() } else { *quorum };
                format!("server.{}=127.0.0.1:{quorum}:{election}", to + 1)
            };
            let mut settings: Vec<String> = peers.iter().enumerate().map(peer).collect();
            settings.extend(["initLimit=40".to_owned(), "syncLimit=40".to_owned()]);
            let server = &mut ensemble.servers[at];
            server.settings = settings;
            std::fs::write(server.folder.path().join("myid"), (at + 1).to_string()).expect("its number");
            server.begin();
        }
        ensemble.servers.iter().for_each(ZooKeeperServer::wait_until_it_serves);
        let mode = ensemble.servers[0].asked("srvr").expect("it serves");
        assert!(mode.contains("Mode: follower"), "{mode}");
        Some(ensemble)
    }

    /// The one that can be cut off.
    pub fn follower(&self) -> &ZooKeeperServer {
        &self.servers[0]
    }

    /// One of the two that go on without it.
    pub fn majority(&self) -> &ZooKeeperServer {
        &self.servers[1]
    }

    /// The follower hears nothing of the others, nor they of it, and nobody is told so.
    pub fn cut_off(&self) {
        self.links.iter().for_each(|link| link.set(Weather::Held));
    }

    pub fn heal(&self) {
        self.links.iter().for_each(Link::heal);
    }
}
