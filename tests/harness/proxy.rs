//! A TCP proxy between fountain and a server that cuts, stalls and delays connections where a test wants it.
//!
//! Faults are counted from the dump command on: what comes before is the login. It sees that command only in
//! connections without TLS.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often waiting threads look whether something has changed.
const TICK: Duration = Duration::from_millis(5);
/// A packet's header: length 3, sequence 1. A command's sequence is 0.
const SEQUENCE: usize = 3;
const COMMAND: usize = 4;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;
const COM_REGISTER_SLAVE: u8 = 0x15;

/// What happens to a stream after so many bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends.
    Cut(usize),
    /// The connection stays and nothing comes any more.
    Stall(usize),
    /// One bit of the next byte changes.
    Flip(usize),
}

/// A running proxy. Its connections end when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: AtomicU16,
    over: AtomicBool,
    /// Nothing is forwarded while this is set.
    stalled: AtomicBool,
    /// Connections are taken and nothing is ever said on them.
    mute: AtomicBool,
    /// One for each stream, in order; streams behind the last are left alone.
    faults: Mutex<VecDeque<Fault>>,
    /// Streams (dump commands) begun so far.
    streams: AtomicUsize,
    /// Everything that the servers have said.
    said: Mutex<Vec<u8>>,
    keeps: AtomicBool,
    /// Counts the calls of `cut_all`.
    cuts: AtomicUsize,
    /// The most that a server's words are forwarded in at once.
    piece: AtomicUsize,
    /// So many replicas more do not get to ask for a dump.
    turned_away: AtomicUsize,
    /// So many bytes more of what servers say are forwarded; then it is as after `stall`.
    allowance: AtomicUsize,
    /// Once a client has spoken so often on a connection, nobody hears anything any more.
    silent_from: AtomicUsize,
    silent: AtomicBool,
    /// Where the next connections lead to, one each.
    detours: Mutex<VecDeque<u16>>,
    /// Milliseconds that a dump command waits.
    delay: AtomicU64,
}

/// What a limit is set to where there is none.
const UNLIMITED: usize = usize::MAX;

impl Proxy {
    /// Listens on a free port and forwards to `target` on this machine.
    pub fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener that does not block");
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            over: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            faults: Mutex::default(),
            streams: AtomicUsize::new(0),
            said: Mutex::default(),
            keeps: AtomicBool::new(false),
            cuts: AtomicUsize::new(0),
            piece: AtomicUsize::new(64 * 1024),
            turned_away: AtomicUsize::new(0),
            allowance: AtomicUsize::new(UNLIMITED),
            silent_from: AtomicUsize::new(UNLIMITED),
            silent: AtomicBool::new(false),
            detours: Mutex::default(),
            delay: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &theirs));
        Proxy { port, shared, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections lead to another server, as with a virtual address that has moved.
    pub fn lead_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::SeqCst);
    }

    /// The next connection leads elsewhere, as behind a name with several addresses.
    pub fn detour(&self, target: u16) {
        lock(&self.shared.detours).push_back(target);
    }

    /// From now on servers hear of dumps so much later.
    pub fn delay_dumps(&self, delay: Duration) {
        self.shared.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// One fault for each stream to come.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// Faults that no stream has met yet.
    pub fn planned(&self) -> usize {
        lock(&self.shared.faults).len()
    }

    /// Streams begun so far.
    pub fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }

    /// Stops forwarding, on all connections and in both directions, until `resume`.
    pub fn stall(&self) {
        self.shared.stalled.store(true, Ordering::SeqCst);
    }

    /// As `stall`, once the servers have said so many bytes more, be it in the middle of an event.
    pub fn stall_after(&self, bytes: usize) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    pub fn resume(&self) {
        self.shared.allowance.store(UNLIMITED, Ordering::SeqCst);
        self.shared.stalled.store(false, Ordering::SeqCst);
    }

    /// The server is heard until a client has spoken so often on one connection, and never again on any: as if it were frozen
    /// then. 0 keeps even the greeting back. Connections are taken, and what clients say goes on to reach the server.
    pub fn silent_from(&self, spoken: usize) {
        self.shared.silent_from.store(spoken, Ordering::SeqCst);
    }

    /// Whether the server has fallen silent.
    pub fn is_silent(&self) -> bool {
        self.shared.silent.load(Ordering::SeqCst)
    }

    /// Whether new connections are taken and left without a word.
    pub fn mute(&self, mute: bool) {
        self.shared.mute.store(mute, Ordering::SeqCst);
    }

    /// Forwards what servers say in pieces of so many bytes.
    pub fn pieces(&self, size: usize) {
        self.shared.piece.store(size, Ordering::SeqCst);
    }

    /// Ends the connections of the next so many replicas where they register, just before they ask for a dump.
    pub fn turn_away(&self, replicas: usize) {
        self.shared.turned_away.store(replicas, Ordering::SeqCst);
    }

    /// Replicas that are still to be turned away.
    pub fn to_be_turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    /// Ends every connection that is open now.
    pub fn cut_all(&self) {
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Keeps what the servers say from now on.
    pub fn keep(&self) {
        self.shared.keeps.store(true, Ordering::SeqCst);
    }

    /// Whether a server has said these bytes, in the clear, since `keep`.
    pub fn heard(&self, bytes: &[u8]) -> bool {
        lock(&self.shared.said).windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.accepting.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    while !shared.over.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                connections.push(std::thread::spawn(move || serve(client, &shared)));
            }
            Err(_) => std::thread::sleep(TICK),
        }
    }
    for connection in connections {
        connection.join().expect("a connection of the proxy panicked");
    }
}

/// One connection: this thread forwards what the client says, another one what the server says.
fn serve(client: TcpStream, shared: &Arc<Shared>) {
    client.set_nonblocking(false).expect("a stream that blocks");
    let connection = Arc::new(Connection {
        shared: Arc::clone(shared),
        cuts: shared.cuts.load(Ordering::SeqCst),
        ended: AtomicBool::new(false),
        spoken: AtomicUsize::new(0),
        fault: Mutex::new(None),
    });
    while shared.mute.load(Ordering::SeqCst) && !connection.over() {
        std::thread::sleep(TICK);
    }
    // A server that is down shows as a connection that ends at once.
    let target = lock(&shared.detours).pop_front().unwrap_or_else(|| shared.target.load(Ordering::SeqCst));
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(TICK)).expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
    }
    let (to_client, from_server) =
        (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let other = Arc::clone(&connection);
    let back = std::thread::spawn(move || other.forward_answers(from_server, to_client));
    connection.forward_requests(client, server);
    back.join().expect("a connection of the proxy panicked");
}

struct Connection {
    shared: Arc<Shared>,
    /// How often `cut_all` had been called when it began.
    cuts: usize,
    ended: AtomicBool,
    /// How often the client has spoken.
    spoken: AtomicUsize,
    /// Set when the dump command passes; the bytes left until it happens.
    fault: Mutex<Option<Fault>>,
}

impl Connection {
    fn over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
            || self.shared.over.load(Ordering::SeqCst)
            || self.shared.cuts.load(Ordering::SeqCst) != self.cuts
    }

    /// The next bytes; none when the connection is over.
    fn next<'a>(&self, from: &mut TcpStream, buffer: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let mut count = 0;
        while !self.over() && count == 0 {
            match from.read(buffer) {
                Ok(0) => return None,
                Ok(read) => count = read,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
        self.wait_while_stalled().then(|| &mut buffer[..count])
    }

    /// Whether the connection is still there then.
    fn wait_while_stalled(&self) -> bool {
        while !self.over() && self.shared.stalled.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
        }
        !self.over()
    }

    fn forward_requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = vec![0; 16 * 1024];
        while let Some(bytes) = self.next(&mut client, &mut buffer) {
            self.spoken.fetch_add(1, Ordering::SeqCst);
            let command = bytes.get(COMMAND).filter(|_| bytes[SEQUENCE] == 0);
            if matches!(command, Some(&COM_BINLOG_DUMP | &COM_BINLOG_DUMP_GTID)) {
                self.shared.streams.fetch_add(1, Ordering::SeqCst);
                *lock(&self.fault) = lock(&self.shared.faults).pop_front();
                std::thread::sleep(Duration::from_millis(self.shared.delay.load(Ordering::SeqCst)));
            }
            let less_one = |left: usize| left.checked_sub(1);
            if command == Some(&COM_REGISTER_SLAVE)
                && self.shared.turned_away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less_one).is_ok()
            {
                break;
            }
            if server.write_all(bytes).is_err() && !self.silent() {
                break;
            }
        }
        self.end(&client, &server);
    }

    fn forward_answers(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = self.next(&mut server, &mut buffer) {
            if self.silent() {
                continue;
            }
            let passes = self.passes(bytes);
            if self.shared.keeps.load(Ordering::SeqCst) {
                lock(&self.shared.said).extend_from_slice(&bytes[..passes]);
            }
            let (now, held) = bytes[..passes].split_at(self.allowed(passes));
            let piece = self.shared.piece.load(Ordering::SeqCst);
            let mut send = |bytes: &[u8]| bytes.chunks(piece).all(|piece| client.write_all(piece).is_ok());
            let sent = send(now) && (held.is_empty() || self.wait_while_stalled() && send(held));
            if !sent {
                break;
            }
            let reached = *lock(&self.fault);
            match reached {
                Some(Fault::Cut(0)) => break,
                Some(Fault::Stall(0)) => {
                    while !self.over() {
                        std::thread::sleep(TICK);
                    }
                }
                Some(_) | None => {}
            }
        }
        // A server that is silent has not hung up either.
        while self.silent() && !self.over() {
            std::thread::sleep(TICK);
        }
        self.end(&client, &server);
    }

    fn silent(&self) -> bool {
        let from = self.shared.silent_from.load(Ordering::SeqCst);
        if self.spoken.load(Ordering::SeqCst) >= from {
            self.shared.silent.store(true, Ordering::SeqCst);
        }
        self.shared.silent.load(Ordering::SeqCst)
    }

    /// How many of these bytes come before the fault; a flip happens here.
    fn passes(&self, bytes: &mut [u8]) -> usize {
        let mut fault = lock(&self.fault);
        match &mut *fault {
            Some(Fault::Cut(left) | Fault::Stall(left)) => {
                let passes = bytes.len().min(*left);
                *left -= passes;
                passes
            }
            Some(Fault::Flip(left)) => {
                match bytes.get_mut(*left) {
                    Some(byte) => {
                        *byte ^= 0x10;
                        *fault = None;
                    }
                    None => *left -= bytes.len(),
                }
                bytes.len()
            }
            None => bytes.len(),
        }
    }

    /// How many of so many bytes may still be forwarded; the proxy stalls when these are the last.
    fn allowed(&self, count: usize) -> usize {
        let take = |left: usize| if left == UNLIMITED { None } else { Some(left.saturating_sub(count)) };
        match self.shared.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(left) if left <= count => {
                self.shared.stalled.store(true, Ordering::SeqCst);
                left
            }
            Ok(_) | Err(_) => count,
        }
    }

    fn end(&self, client: &TcpStream, server: &TcpStream) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in [client, server] {
            // Either side may have gone already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}
