//! The node's end of the control socket: a thread that accepts, and one for each of a few connections.

use crate::code::Code;
use crate::control::address::Address;
use crate::control::address::NAME;
use crate::control::line;
use crate::control::line::NoLine;
use crate::control::protocol::Answer;
use crate::control::protocol::LINE_PATIENCE;
use crate::control::protocol::REQUEST_MAX;
use crate::control::protocol::Request;
use crate::engine::operate::EngineHandle;
use crate::engine::operate::Refusal;
use crate::sync_point::folder::FolderError;
use crate::sync_point::folder::make_folder;
use crate::sync_point::lock::FolderLock;
use rustix::fs::Mode;
use rustix::net::sockopt::socket_peercred;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The socket is made under this name and renamed, so that it never stands there with rights that are too wide.
const NEW_NAME: &str = ".fountain.sock.new";

/// The lock that keeps a second process from the folder: `fountain.sock.lock`.
const LOCK_NAME: &str = NAME;

/// Connections that the system keeps until they are taken.
const BACKLOG: i32 = 128;

/// Persons and their scripts; more are told to come back.
const MOST_CLIENTS: usize = 16;

/// Where the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// `status_dir`, made where it is missing and kept to this process.
#[derive(Debug)]
pub struct StatusFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl StatusFolder {
    /// Fails with `LOCKED`, naming the process, when another one has it.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        make_folder(path, 0o750)?;
        need_own_folder(path)?;
        let lock = FolderLock::acquire_for(path, LOCK_NAME, "has its control socket")?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }
}

/// The socket, as long as this is kept.
#[derive(Debug)]
pub struct ControlServer {
    folder: StatusFolder,
    closing: Arc<AtomicBool>,
}

impl ControlServer {
    /// Listens from now on. A socket that a dead process left is replaced.
    pub fn start(folder: StatusFolder, engine: EngineHandle) -> io::Result<Self> {
        let listener = listen(&folder.path)?;
        let closing = Arc::new(AtomicBool::new(false));
        let accepting =
            Accepting { listener, engine, closing: Arc::clone(&closing), clients: Arc::default() };
        std::thread::Builder::new().name("control".into()).spawn(move || accepting.run())?;
        Ok(Self { folder, closing })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        // Wakes the thread that accepts. When that cannot be, it ends with the process.
        let woken =
            Address::new(&self.folder.path, NAME).and_then(|address| UnixStream::connect(&address.path));
        let removed = fs::remove_file(self.folder.path.join(NAME));
        if let Some(error) = woken.err().or(removed.err()) {
            log::debug!("the control socket: {error}");
        }
    }
}

fn listen(folder: &Path) -> io::Result<UnixListener> {
    let new = Address::new(folder, NEW_NAME)?;
    match fs::remove_file(&new.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The file gets the rights that the socket has when it is bound (net/unix/af_unix.c, unix_bind_bsd()): no moment with wider
    // ones, and no change by a name that somebody may have given to another file.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(&new.path)?)?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from(OwnedFd::from(socket));
    fs::rename(&new.path, folder.join(NAME))?;
    Ok(listener)
}

/// Whoever else may change the folder could put a socket of theirs in the place of ours.
fn need_own_folder(path: &Path) -> Result<(), FolderError> {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let failed = |text: String| FolderError { code: Code::FileError, text };
    let folder = fs::metadata(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let ours = rustix::process::geteuid().as_raw();
    if folder.uid() != ours && folder.uid() != 0 {
        return Err(failed(format!(
            "{}: it belongs to user {}, a status_dir must be user {ours}'s or root's: chown it, or set another status_dir",
            path.display(),
            folder.uid()
        )));
    }
    if folder.mode() & (OTHERS_WRITE | STICKY) == OTHERS_WRITE {
        return Err(failed(format!(
            "{}: all users may write there, so that any of them could answer in place of this node: chmod o-w it, or set \
             another status_dir",
            path.display()
        )));
    }
    Ok(())
}

struct Accepting {
    listener: UnixListener,
    engine: EngineHandle,
    closing: Arc<AtomicBool>,
    clients: Arc<AtomicUsize>,
}

impl Accepting {
    fn run(self) {
        let mut failing = false;
        while !self.closing.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    failing = false;
                    self.take(stream);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        log::warn!("the control socket: no connection can be taken: {error}; trying again");
                    }
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn take(&self, mut stream: UnixStream) {
        let place = Place::take(&self.clients);
        let Some(place) = place else {
            let busy = Refusal::new(Code::Control, "too many requests are being worked on: try again");
            // Without waiting: who accepts must not.
            answer(&mut stream, &Answer::refused(busy), Duration::from_millis(100));
            return;
        };
        let engine = self.engine.clone();
        let serve = move || {
            serve(&mut stream, &engine);
            drop(place);
        };
        let thread = std::thread::Builder::new().name("control-client".into()).spawn(serve);
        if let Err(error) = thread {
            log::warn!("the control socket: no thread for a request: {error}");
        }
    }
}

/// One of the few places for clients.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::AcqRel) < MOST_CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One connection: a request, its answer, the end.
fn serve(stream: &mut UnixStream, engine: &EngineHandle) {
    let said = match may_ask(stream) {
        Ok(uid) => match line::read(stream, REQUEST_MAX, LINE_PATIENCE) {
            Ok(request) => perform(&request, uid, engine),
            // It has gone, or only looked whether we are here.
            Err(NoLine::Cut) => return,
            Err(NoLine::TooLong) => {
                Answer::misunderstood(format!("a request has less than {REQUEST_MAX} bytes"))
            }
            Err(NoLine::Late) => Answer::misunderstood(format!("no line within {LINE_PATIENCE:?}")),
            Err(NoLine::Failed(error)) => return log::debug!("a request: {error}"),
        },
        Err(refusal) => Answer::refused(refusal),
    };
    answer(stream, &said, LINE_PATIENCE);
}

/// The kernel's word on who asks; the file's rights are the first fence.
fn may_ask(stream: &UnixStream) -> Result<u32, Refusal> {
    let refused = |text: String| Refusal::new(Code::Control, text);
    let peer =
        socket_peercred(stream).map_err(|error| refused(format!("who asks cannot be told: {error}")))?;
    let ours = rustix::process::geteuid();
    if peer.uid == ours || peer.uid.is_root() {
        return Ok(peer.uid.as_raw());
    }
    log::warn!("the control socket: user {} is refused", peer.uid.as_raw());
    Err(refused(format!("only user {} and root may ask this node", ours.as_raw())))
}

fn perform(request: &[u8], uid: u32, engine: &EngineHandle) -> Answer {
    let request = match serde_json::from_slice::<Request>(request) {
        Ok(request) => request,
        Err(error) => {
            return Answer::misunderstood(format!("not a request that this version knows: {error}"));
        }
    };
    if !matches!(request, Request::Status {}) {
        log::info!("user {uid} asks: {request:?}");
    }
    let done = match request {
        Request::Status {} => return Answer::report(engine.report()),
        Request::Suspend { shard, reason, for_ms } => {
            engine.suspend(&shard, &reason, for_ms.map(Duration::from_millis)).map(|line| vec![line])
        }
        Request::Resume { shard } => engine.resume(shard.as_deref()),
        Request::Switch { shard, backup } => engine.switch(&shard, backup).map(|line| vec![line]),
        Request::StepDown { shard } => engine.step_down(shard.as_deref()),
    };
    done.map_or_else(Answer::refused, Answer::done)
}

fn answer(stream: &mut UnixStream, answer: &Answer, patience: Duration) {
    let written = serde_json::to_string(answer)
        .map_err(io::Error::other)
        .and_then(|text| line::write(stream, &text, patience));
    if let Err(error) = written {
        log::debug!("the control socket: an answer was not taken: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_in_which_others_may_change_names_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let with = |mode| {
            fs::set_permissions(temp.path(), fs::Permissions::from_mode(mode)).unwrap();
            StatusFolder::take(temp.path()).map(drop)
        };
        assert_eq!((with(0o750), with(0o775), with(0o1777)), (Ok(()), Ok(()), Ok(())));
        assert!(with(0o777).unwrap_err().text.contains("chmod o-w"));
    }
}
