//! The wire between the crate and one server, in our hands: the crate connects to a port of this machine's own, and what it
//! says goes on to the server that was greeted, once.
//!
//! Left alone, the crate tries to connect 28 000 times a second while a server refuses, and a session that is dropped at
//! such a time connects again later and keeps its nodes for ever. Behind this relay a connection that is gone stays gone.
//! What the crate tries then ends here: it is greeted, told that its session is closed, and its threads end.

use crate::coordination::frame;
use crate::coordination::frame::Follower;
use crate::coordination::handshake::Greeted;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use socket2::SockRef;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How often a waiting thread looks whether it is over.
const TICK: Duration = Duration::from_millis(250);
/// A process connects to itself at once, or it has no room for it.
const OWN_PATIENCE: Duration = Duration::from_secs(5);
/// What the crate says first is 45 bytes, and a goodbye is 8.
const SHORT: usize = 1 << 20;
const CLOSE_SESSION: i32 = -11;

/// What session and relay know of each other. Clones share it.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
    /// Disconnected when the line is cut.
    pub over: Receiver<()>,
}

struct Shared {
    over: Mutex<Option<Sender<()>>>,
    ends: Mutex<Vec<TcpStream>>,
    why: OnceLock<String>,
    /// It is cut then.
    last_moment: Mutex<Option<Instant>>,
    /// The crate's threads have ended.
    finished: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each value is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn new(upstream: &TcpStream) -> io::Result<Self> {
        let (sender, over) = bounded(0);
        let shared = Shared {
            over: Mutex::new(Some(sender)),
            ends: Mutex::new(vec![upstream.try_clone()?]),
            why: OnceLock::new(),
            last_moment: Mutex::default(),
            finished: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), over })
    }

    /// Nothing passes any more. The first reason counts.
    pub fn cut(&self, why: &str) {
        // A second reason comes from what the first one broke.
        drop(self.shared.why.set(why.to_owned()));
        // First, so that no end joins behind the others' end.
        drop(lock(&self.shared.over).take());
        for end in lock(&self.shared.ends).drain(..) {
            // One that is gone already is as good.
            drop(end.shutdown(Shutdown::Both));
        }
    }

    /// It is cut at that time, if not before.
    pub fn cut_at(&self, moment: Instant) {
        *lock(&self.shared.last_moment) = Some(moment);
    }

    pub fn is_cut(&self) -> bool {
        lock(&self.shared.over).is_none()
    }

    /// Why it was cut, for a person.
    pub fn why(&self) -> String {
        self.shared.why.get().cloned().unwrap_or_else(|| "it was closed".to_owned())
    }

    /// The crate has ended: nobody connects any more.
    pub fn finish(&self) {
        self.shared.finished.store(true, Ordering::Release);
        self.cut("it was closed");
    }

    fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }

    fn look_at_the_clock(&self) {
        if lock(&self.shared.last_moment).is_some_and(|moment| Instant::now() >= moment) {
            self.cut("it could not be closed in time");
        }
    }

    /// False: it has been cut before.
    fn join(&self, end: &TcpStream) -> io::Result<bool> {
        let end = end.try_clone()?;
        let mut ends = lock(&self.shared.ends);
        let joined = !self.is_cut();
        if joined {
            ends.push(end);
        }
        Ok(joined)
    }
}

/// Opens the port on which the crate is to connect. The relay ends with the crate, at the latest `bound` after the line was
/// cut.
pub fn start(greeted: Greeted, bound: Duration) -> io::Result<(SocketAddr, Line)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // accept() takes it too (socket(7), SO_RCVTIMEO).
    SockRef::from(&listener).set_read_timeout(Some(TICK))?;
    let address = listener.local_addr()?;
    let line = Line::new(&greeted.stream)?;
    let ours = line.clone();
    let thread = thread::Builder::new().name("zk-relay".into());
    thread.spawn(move || {
        let why = carry(&listener, &greeted, &ours).err();
        ours.cut(&why.map_or("the server closed the connection".to_owned(), |error| error.to_string()));
        bury(&listener, &greeted.response, &ours, Instant::now() + bound);
    })?;
    Ok((address, line))
}

/// Until either end is closed, or the line is cut.
fn carry(listener: &TcpListener, greeted: &Greeted, line: &Line) -> io::Result<()> {
    let deadline = Instant::now() + OWN_PATIENCE;
    let mut own = loop {
        match accept(listener)? {
            Some(own) => break own,
            None if line.is_cut() => return Ok(()),
            None if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
            None => {}
        }
    };
    if !line.join(&own)? {
        return Ok(());
    }
    // Its ConnectRequest has been answered already.
    frame::read(&own, SHORT, deadline)?;
    own.write_all(&frame::framed(&greeted.response))?;
    let (from, to, up) = (own.try_clone()?, greeted.stream.try_clone()?, line.clone());
    from.set_read_timeout(None)?;
    let thread = thread::Builder::new().name("zk-relay-up".into());
    thread.spawn(move || up.cut(&outcome(pump_up(from, to))))?;
    let outcome = pump_down(&greeted.stream, &mut own, line);
    line.cut(&self::outcome(outcome));
    Ok(())
}

fn outcome(outcome: io::Result<()>) -> String {
    match outcome {
        Ok(()) => "the connection was closed".to_owned(),
        Err(error) => format!("the connection broke: {error}"),
    }
}

fn pump_up(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to).map(drop)
}

fn pump_down(mut from: &TcpStream, to: &mut TcpStream, line: &Line) -> io::Result<()> {
    let mut follower = Follower::default();
    let mut buffer = vec![0; 16 << 10];
    from.set_read_timeout(Some(TICK))?;
    // Whatever of it is under way when the line is cut ends with an error.
    while !line.is_cut() {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if frame::is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if !follower.accepts(bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as ZooKeeper does"));
        }
        to.write_all(bytes)?;
        line.look_at_the_clock();
    }
    Ok(())
}

/// None: nobody came within a tick.
fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(OWN_PATIENCE))?;
            Ok(Some(stream))
        }
        Err(error) if frame::is_timeout(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing is forwarded here.
fn bury(listener: &TcpListener, response: &[u8], line: &Line, deadline: Instant) {
    while !line.is_finished() && Instant::now() < deadline {
        let buried = match accept(listener) {
            Ok(Some(stream)) => last_words(&stream, response, line),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        if buried.is_err() {
            // Whatever goes wrong here goes wrong slowly.
            thread::sleep(TICK);
        }
    }
}

/// Greets the crate as its server did, and lets it close its session.
fn last_words(mut stream: &TcpStream, response: &[u8], line: &Line) -> io::Result<()> {
    let soon = || Instant::now() + TICK;
    frame::read(stream, SHORT, soon())?;
    stream.write_all(&frame::framed(response))?;
    let deadline = Instant::now() + OWN_PATIENCE;
    while !line.is_finished() && Instant::now() < deadline {
        let request = match frame::read(stream, SHORT, soon()) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
            request => request?,
        };
        let (xid, operation) = request.split_at_checked(4).ok_or(io::ErrorKind::InvalidData)?;
        if operation.get(..4) != Some(&CLOSE_SESSION.to_be_bytes()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = xid.to_vec();
        answer.extend([0; 12]);
        return stream.write_all(&frame::framed(&answer));
    }
    Ok(())
}
