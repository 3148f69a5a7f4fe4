//! A node in a process of its own, by the library: its file sink in its home, its points in a file that all nodes share, each
//! save checked against the version that was read, as ZooKeeper's are.

use fountain::Engine;
use fountain::code::Code;
use fountain::sync_point::PointRecord;
use fountain::sync_point::StoreError;
use fountain::sync_point::SyncPointStore;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

const HOME: &str = "TAKEOVER_HOME";
const PORT: &str = "TAKEOVER_PORT";
const USER: &str = "TAKEOVER_USER";
const UNTIL_END: &str = "TAKEOVER_UNTIL_END";
const SAVES: &str = "TAKEOVER_SAVES";

/// The file's first line counts its saves; the second one is the record.
pub struct SharedFile {
    pub path: PathBuf,
    seen: u64,
    /// So many saves land; the rest is lost, as it is with a node that dies before its late saves.
    saves: u64,
}

impl SharedFile {
    pub fn new(path: PathBuf, saves: u64) -> SharedFile {
        SharedFile { path, seen: 0, saves }
    }

    fn read(&self) -> (u64, Option<PointRecord>) {
        let Ok(text) = std::fs::read_to_string(&self.path) else { return (0, None) };
        let (version, line) = text.split_once('\n').expect("two lines");
        let record = PointRecord::from_line(line.trim_end().as_bytes()).expect("a record");
        (version.parse().expect("a version"), Some(record))
    }

    /// For as long as the file is held nobody else saves.
    fn locked(&self) -> File {
        let lock = File::create(self.path.with_extension("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        lock
    }
}

impl SyncPointStore for SharedFile {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        let _lock = self.locked();
        let (version, record) = self.read();
        self.seen = version;
        Ok(record)
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        if self.saves == 0 {
            return Ok(());
        }
        self.saves -= 1;
        let _lock = self.locked();
        let (version, _) = self.read();
        if version != self.seen {
            return Err(StoreError::new(Code::LeadershipLost, "another node has saved a point"));
        }
        self.seen += 1;
        let new = self.path.with_extension("new");
        let text = format!("{}\n{}\n", self.seen, record.to_line().expect("a line"));
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.path)).expect("saved");
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// What a node is told by its environment.
pub fn environment(
    home: &Path,
    port: u16,
    account: (&str, &str),
    until_end: bool,
    saves: Option<u64>,
) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        (HOME, home.display().to_string()),
        (PORT, port.to_string()),
        (USER, format!("{} {}", account.0, account.1)),
    ];
    pairs.extend(saves.map(|saves| (SAVES, saves.to_string())));
    pairs.extend(until_end.then(|| (UNTIL_END, "1".to_owned())));
    pairs
}

/// Where a running node looks for the word to stop.
pub fn stop_file(home: &Path) -> PathBuf {
    home.join("stop")
}

/// What this process is, if it was started as a node: runs to its end. The shared file lies beside the home.
pub fn run() {
    let Ok(home) = std::env::var(HOME).map(PathBuf::from) else { return };
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
    let account = std::env::var(USER).expect("an account");
    let (user, password) = account.split_once(' ').expect("user and password");
    let shared = home.parent().expect("the folder of all nodes").join("shared.point");
    let saves = std::env::var(SAVES).ok().map(|saves| saves.parse::<u64>().expect("a number"));
    let saver = if saves.is_some() { "sync" } else { "async" };
    let mut builder = Engine::builder()
        .home(&home)
        .point_store(move |_shard| Ok(Box::new(SharedFile::new(shared.clone(), saves.unwrap_or(u64::MAX)))))
        .set("sync_point_saver", saver)
        .set("mysql_shard_0_server", "127.0.0.1")
        .set("mysql_shard_0_port", std::env::var(PORT).expect("a port"))
        .set("mysql_username", user)
        .set("mysql_password", password);
    for pair in [
        "start_without_point=beginning",
        "dispatch_ddl=none",
        "sink=file",
        "sparate_packsize=3",
        "file_rotate_bytes=6KB",
        "async_event_position_thread_initdelay=150",
        "async_event_position_thread_period=250",
    ] {
        let (key, value) = pair.split_once('=').expect("key=value");
        builder = builder.set(key, value);
    }
    if std::env::var(UNTIL_END).is_ok() {
        builder = builder.until_end();
    }
    let engine = builder.build().expect("a sound configuration");
    let stop = engine.stop_handle();
    std::thread::spawn(move || {
        while !stop_file(&home).exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.request();
    });
    engine.run().expect("a good end");
}
