//! A link that a test disturbs: a TCP proxy that knows no protocol. One for each node, in front of ZooKeeper or of a server.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// How often waiting threads look whether something has changed.
const TICK: Duration = Duration::from_millis(5);

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They arrive.
    Clear,
    /// They arrive when it is clear again, as over a line that drops packets: connections stay open, new ones are taken.
    Held,
    /// They are lost, and connections that have lost some end when it is clear again, as behind a firewall that forgot them.
    Swallowed,
    /// Connections end, and new ones end at once.
    Down,
    /// The proxy is gone.
    Over,
}

const WEATHERS: [Weather; 5] =
    [Weather::Clear, Weather::Held, Weather::Swallowed, Weather::Down, Weather::Over];

/// A running proxy. Its connections end when it is dropped.
pub struct Link {
    port: u16,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    target: u16,
    /// Which of [`WEATHERS`].
    weather: AtomicU8,
    /// In milliseconds: to the server, from the server.
    delays: [AtomicU64; 2],
    /// Counts the calls of `cut`.
    cuts: AtomicUsize,
    taken: AtomicUsize,
}

impl State {
    fn weather(&self) -> Weather {
        WEATHERS[usize::from(self.weather.load(Ordering::SeqCst))]
    }
}

impl Link {
    /// Listens on a free port and forwards to `target` on this machine.
    pub fn to(target: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener that does not block");
        let state = Arc::new(State {
            target,
            weather: AtomicU8::new(0),
            delays: Default::default(),
            cuts: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&state);
        let accepting = std::thread::spawn(move || accept(&listener, &theirs));
        Link { port, state, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn set(&self, weather: Weather) {
        self.state.weather.store(weather as u8, Ordering::SeqCst);
    }

    /// Bytes take so long each way.
    pub fn delay(&self, to_server: Duration, from_server: Duration) {
        for (delay, value) in self.state.delays.iter().zip([to_server, from_server]) {
            delay.store(value.as_millis() as u64, Ordering::SeqCst);
        }
    }

    /// Ends every connection that is open now.
    pub fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Clear and without delay.
    pub fn heal(&self) {
        self.delay(Duration::ZERO, Duration::ZERO);
        self.set(Weather::Clear);
    }

    /// Connections taken so far.
    pub fn taken(&self) -> usize {
        self.state.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.set(Weather::Over);
        if let Some(thread) = self.accepting.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while state.weather() != Weather::Over {
        match listener.accept() {
            Ok((client, _)) if state.weather() != Weather::Down => {
                state.taken.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(state);
                connections.push(std::thread::spawn(move || serve(client, &state)));
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(TICK),
        }
        connections.retain(|connection| !connection.is_finished());
    }
    connections.into_iter().for_each(|connection| connection.join().expect("a connection of the proxy"));
}

fn serve(client: TcpStream, state: &Arc<State>) {
    let cuts = state.cuts.load(Ordering::SeqCst);
    // A server that is down shows as a connection that ends at once.
    let Ok(server) = TcpStream::connect(("127.0.0.1", state.target)) else { return };
    for stream in [&client, &server] {
        stream.set_nonblocking(false).expect("a stream that blocks");
        stream.set_read_timeout(Some(TICK)).expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
    }
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    let mut there = Way { state, cuts, delay: &state.delays[0], from: clone(&client), to: clone(&server) };
    let mut back = Way { state, cuts, delay: &state.delays[1], from: clone(&server), to: clone(&client) };
    std::thread::scope(|scope| {
        scope.spawn(|| there.forward());
        back.forward();
    });
}

/// One direction of a connection.
struct Way<'a> {
    state: &'a State,
    /// How often `cut` had been called when it began.
    cuts: usize,
    delay: &'a AtomicU64,
    from: TcpStream,
    to: TcpStream,
}

impl Way<'_> {
    fn forward(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let (mut lost, mut ended) = (false, false);
        while self.state.cuts.load(Ordering::SeqCst) == self.cuts && !(ended && on_the_way.is_empty()) {
            let weather = self.state.weather();
            if matches!(weather, Weather::Down | Weather::Over) || (weather == Weather::Clear && lost) {
                break;
            }
            let read = self.from.read(&mut buffer);
            let weather = self.state.weather();
            match read {
                Ok(0) => {
                    // What was said before the end still arrives.
                    ended = true;
                    std::thread::sleep(TICK);
                }
                Ok(_) if weather == Weather::Swallowed => lost = true,
                Ok(count) => {
                    let delay = Duration::from_millis(self.delay.load(Ordering::SeqCst));
                    on_the_way.push_back((Instant::now() + delay, buffer[..count].to_vec()));
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            if weather == Weather::Clear && !self.deliver(&mut on_the_way) {
                break;
            }
        }
        // Either side may have gone already; the other direction sees its end.
        for stream in [&self.from, &self.to] {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// What has arrived by now. False: there is nobody to take it.
    fn deliver(&mut self, on_the_way: &mut VecDeque<(Instant, Vec<u8>)>) -> bool {
        while on_the_way.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let arrived = on_the_way.pop_front().is_none_or(|(_, bytes)| self.to.write_all(&bytes).is_ok());
            if !arrived {
                return false;
            }
        }
        true
    }
}
