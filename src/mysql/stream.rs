//! The socket: name lookup and connect with deadlines, short reads that lose nothing, writes with a deadline; plain
//! or inside TLS.

use super::config::SourceConfig;
use super::error::SourceError;
use super::tls::exchange;
use crate::code::Code;
use crate::stop::Stop;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustls::ClientConnection;
use rustls::StreamOwned;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockAddr;
use socket2::SockRef;
use socket2::Socket;
use socket2::TcpKeepalive;
use socket2::Type;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

/// The longest that anything here sleeps without looking at the stop flag.
pub(super) const TICK: Duration = Duration::from_millis(200);
/// A socket timeout of zero would mean none at all.
const SHORTEST: Duration = Duration::from_millis(1);
/// Sent bytes that nobody acknowledges for so long mean a dead peer (TCP_USER_TIMEOUT).
const UNACKNOWLEDGED: Duration = Duration::from_secs(40);

/// The end of a wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        // A limit beyond the clock's range is as good as a year.
        let now = Instant::now();
        let end = now.checked_add(limit).unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        Self { end, limit }
    }

    /// How long the next sleep may be.
    pub(super) fn tick(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()).clamp(SHORTEST, TICK)
    }

    /// An error when the time is up or a stop was requested.
    pub(super) fn check(&self, place: &str, what: &str, stop: &Stop) -> Result<(), SourceError> {
        if stop.requested() {
            return Err(SourceError::stopped(place, what));
        }
        if Instant::now() >= self.end {
            return Err(SourceError::timeout(place, what, self.limit));
        }
        Ok(())
    }
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing within the time.
    Nothing,
    /// The server closed the connection.
    Closed,
}

/// A connected socket.
#[derive(Debug)]
pub(super) struct Stream {
    channel: Channel,
    /// What the socket's timeouts are set to: setting them costs a call into the kernel.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

#[derive(Debug)]
enum Channel {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self { channel: Channel::Tcp(tcp), read_timeout: None, write_timeout: None }
    }

    pub(super) fn encrypted(session: ClientConnection, tcp: TcpStream) -> Self {
        let channel = Channel::Tls(Box::new(StreamOwned::new(session, tcp)));
        Self { channel, read_timeout: None, write_timeout: None }
    }

    /// The socket, to be wrapped into TLS; none when it is already.
    pub(super) fn into_tcp(self) -> Option<TcpStream> {
        match self.channel {
            Channel::Tcp(tcp) => Some(tcp),
            Channel::Tls(_) => None,
        }
    }

    /// The TLS version in use, such as `TLSv1_3`.
    pub(super) fn tls_version(&self) -> Option<String> {
        match &self.channel {
            Channel::Tcp(_) => None,
            Channel::Tls(tls) => tls.conn.protocol_version().map(|version| format!("{version:?}")),
        }
    }

    /// The server's address.
    pub(super) fn peer_ip(&self) -> Option<IpAddr> {
        let tcp = match &self.channel {
            Channel::Tcp(tcp) => tcp,
            Channel::Tls(tls) => &tls.sock,
        };
        tcp.peer_addr().ok().map(|address| address.ip())
    }

    /// The certificate that the server has shown, in its binary form.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        match &self.channel {
            Channel::Tcp(_) => None,
            Channel::Tls(tls) => tls.conn.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }

    /// One read that waits at most `wait`. Never loses bytes: what does not fit comes with the next call.
    pub(super) fn receive(&mut self, into: &mut [u8], wait: Duration) -> io::Result<Received> {
        let wait = wait.max(SHORTEST);
        if self.read_timeout != Some(wait) {
            self.tcp().set_read_timeout(Some(wait))?;
            self.read_timeout = Some(wait);
        }
        let outcome = match &mut self.channel {
            Channel::Tcp(tcp) => tcp.read(into),
            Channel::Tls(tls) => read_tls(tls, into, wait),
        };
        match outcome {
            Ok(0) => Ok(Received::Closed),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(error) if is_timeout(&error) => Ok(Received::Nothing),
            // TLS without its farewell: servers just close.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Received::Closed),
            Err(error) => Err(error),
        }
    }

    /// Whether a read would bring something at once.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        let decrypted = match &self.channel {
            Channel::Tcp(_) => false,
            Channel::Tls(tls) => !tls.conn.wants_read(),
        };
        // A socket that cannot be asked is one whose next read tells why.
        let at_once = Timespec::default();
        decrypted || poll(&mut [PollFd::new(self.tcp(), PollFlags::IN)], Some(&at_once)) != Ok(0)
    }

    /// Sends all of `bytes`.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        place: &str,
        what: &str,
        deadline: &Deadline,
        stop: &Stop,
    ) -> Result<(), SourceError> {
        let mut rest = bytes;
        loop {
            self.set_write_timeout(deadline.tick())
                .map_err(|error| SourceError::lost(place, what, &error))?;
            // A flush is needed for TLS: write() may leave the record in its buffer.
            let outcome = match &mut self.channel {
                Channel::Tcp(_) if rest.is_empty() => return Ok(()),
                Channel::Tcp(tcp) => tcp.write(rest),
                Channel::Tls(tls) if rest.is_empty() => match tls.flush() {
                    Ok(()) => return Ok(()),
                    Err(error) => Err(error),
                },
                Channel::Tls(tls) => tls.write(rest),
            };
            match outcome {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_timeout(&error) => deadline.check(place, what, stop)?,
                Err(error) => return Err(SourceError::lost(place, what, &error)),
            }
        }
    }

    fn set_write_timeout(&mut self, wait: Duration) -> io::Result<()> {
        if self.write_timeout != Some(wait) {
            self.tcp().set_write_timeout(Some(wait))?;
            self.write_timeout = Some(wait);
        }
        Ok(())
    }

    fn tcp(&self) -> &TcpStream {
        match &self.channel {
            Channel::Tcp(tcp) => tcp,
            Channel::Tls(tls) => &tls.sock,
        }
    }
}

/// rustls' own `read` goes on for as long as bytes come that do not make a whole record, past every time limit.
fn read_tls(
    tls: &mut StreamOwned<ClientConnection, TcpStream>,
    into: &mut [u8],
    wait: Duration,
) -> io::Result<usize> {
    let began = Instant::now();
    loop {
        match tls.conn.reader().read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < wait => {
                exchange(&mut tls.conn, &mut tls.sock)?;
            }
            other => return other,
        }
    }
}

/// Linux reports a socket's timeout as `WouldBlock`, others as `TimedOut`. (A connection that the kernel gave up also
/// says `TimedOut`, once; the read after that one tells its end.)
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What the connecting thread tells.
enum Attempt {
    Resolved(io::Result<Vec<SocketAddr>>),
    Failed(SocketAddr, io::Error),
    Connected(TcpStream),
}

/// Looks the host up and connects to the first of its addresses that answers.
///
/// Neither the lookup nor a connect can be interrupted, so both happen on a thread of their own. Left behind, it ends
/// by itself: when the lookup does, or after `connect_timeout`.
pub(super) fn connect(config: &SourceConfig, stop: &Stop) -> Result<TcpStream, SourceError> {
    let place = config.place();
    let (sender, attempts) = mpsc::channel();
    let task = ConnectTask::new(config);
    let spawned = std::thread::Builder::new().name("connect".to_string()).spawn(move || task.run(&sender));
    if let Err(error) = spawned {
        return Err(SourceError::retry(Code::Unreachable, &place, format!("cannot start a thread: {error}")));
    }
    let unknown = |why: String| SourceError::retry(Code::HostUnknown, &place, why);
    let mut deadline = Deadline::after(config.connect_timeout);
    let mut resolved = false;
    let mut failures = Vec::new();
    loop {
        match attempts.recv_timeout(deadline.tick()) {
            Ok(Attempt::Resolved(Ok(addresses))) if addresses.is_empty() => {
                return Err(unknown("the host name has no address".to_string()));
            }
            Ok(Attempt::Resolved(Ok(addresses))) => {
                resolved = true;
                deadline = connect_deadline(config, addresses.len());
            }
            Ok(Attempt::Resolved(Err(error))) => {
                return Err(unknown(format!("cannot look up the host name: {error}")));
            }
            Ok(Attempt::Failed(address, error)) => {
                failures.push(format!("{}: {}", address.ip(), plain(&error)))
            }
            Ok(Attempt::Connected(tcp)) => return Ok(tcp),
            Err(RecvTimeoutError::Timeout) => match deadline.check(&place, "connection", stop) {
                Err(error) if error.code() == Code::Timeout && !resolved => {
                    return Err(unknown(format!(
                        "the name lookup took longer than {:?}",
                        config.connect_timeout
                    )));
                }
                other => other?,
            },
            Err(RecvTimeoutError::Disconnected) => {
                let text = format!("cannot connect ({})", failures.join(", "));
                return Err(SourceError::retry(Code::Unreachable, &place, text));
            }
        }
    }
}

/// Each address has the whole of `connect_timeout`, kept by the thread; this one only backs it up.
fn connect_deadline(config: &SourceConfig, addresses: usize) -> Deadline {
    let each = config.connect_timeout.saturating_add(TICK);
    Deadline::after(each.saturating_mul(addresses.try_into().unwrap_or(u32::MAX)))
}

/// The error without Rust's "(os error 111)".
fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => "timed out".to_string(),
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    }
}

/// What the connecting thread owns.
struct ConnectTask {
    host: String,
    port: u16,
    timeout: Duration,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
}

impl ConnectTask {
    fn new(config: &SourceConfig) -> Self {
        Self {
            host: config.bare_host().to_string(),
            port: config.port,
            timeout: config.connect_timeout.max(SHORTEST),
            receive_buffer: config.receive_buffer,
            send_buffer: config.send_buffer,
        }
    }

    /// Ends early when nobody listens any more.
    fn run(&self, tell: &mpsc::Sender<Attempt>) {
        let resolved = (self.host.as_str(), self.port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let addresses = resolved.as_ref().map(Vec::clone).unwrap_or_default();
        if tell.send(Attempt::Resolved(resolved)).is_err() {
            return;
        }
        for address in addresses {
            let (told, done) = match self.connect(address) {
                Ok(tcp) => (tell.send(Attempt::Connected(tcp)), true),
                Err(error) => (tell.send(Attempt::Failed(address, error)), false),
            };
            if told.is_err() || done {
                return;
            }
        }
    }

    /// A new socket for each address: one that failed to connect cannot be used again.
    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // The window is agreed on at the connect, so buffers come before it.
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        socket.connect_timeout(&SockAddr::from(address), self.timeout)?;
        let tcp = TcpStream::from(socket);
        tune(&tcp)?;
        Ok(tcp)
    }
}

/// Makes the kernel notice a dead peer within about a minute, and send what we write at once.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::error;
    use crate::mysql::tls::testing;
    use crate::secret::Secret;
    use std::net::TcpListener;

    fn config(host: &str, port: u16) -> SourceConfig {
        let mut config = SourceConfig::new(host, port, "u", Secret::default());
        config.connect_timeout = Duration::from_millis(300);
        config
    }

    #[test]
    fn a_closed_port_and_an_unknown_name_are_told_apart() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = connect(&config("127.0.0.1", free), &Stop::new()).unwrap_err();
        let text = format!("UNREACHABLE 127.0.0.1:{free}: cannot connect (127.0.0.1: connection refused)");
        assert_eq!((error.to_string(), error.kind()), (text, error::ErrorKind::Retry));
        let error = connect(&config("no such name", 3306), &Stop::new()).unwrap_err();
        assert_eq!(error.code(), Code::HostUnknown);
    }

    #[test]
    fn a_connected_socket_is_tuned_and_a_quiet_one_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = connect(&config("localhost", listener.local_addr().unwrap().port()), &Stop::new()).unwrap();
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        let mut stream = Stream::plain(tcp);
        let mut byte = [0; 1];
        assert_eq!(stream.receive(&mut byte, Duration::ZERO).unwrap(), Received::Nothing);
        assert!(!stream.has_bytes_waiting());
        let mut peer = listener.accept().unwrap().0;
        peer.write_all(b"ab").unwrap();
        assert_eq!(stream.receive(&mut byte, TICK).unwrap(), Received::Bytes(1));
        assert!(stream.has_bytes_waiting());
        assert_eq!(stream.receive(&mut byte, TICK).unwrap(), Received::Bytes(1));
        assert!(!stream.has_bytes_waiting());
        drop(peer);
        assert_eq!(stream.receive(&mut byte, TICK).unwrap(), Received::Closed);
    }

    /// A TLS record is of use when all of it is there. Its bytes must not keep us from looking at the stop flag.
    #[test]
    fn a_tls_record_that_comes_in_drops_is_not_waited_for_longer_than_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut tcp = listener.accept().unwrap().0;
            tcp.set_nodelay(true).unwrap();
            let mut session = testing::server_session();
            while session.is_handshaking() {
                session.complete_io(&mut tcp).unwrap();
            }
            session.writer().write_all(&[7; 300]).unwrap();
            let mut record = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut record).unwrap();
            }
            for byte in record {
                tcp.write_all(&[byte]).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let stop = Stop::new();
        let mut config = config("127.0.0.1", port);
        config.tls.mode = crate::mysql::config::TlsMode::Required;
        let mut tcp = connect(&config, &stop).unwrap();
        let session = testing::client_session(&config, &mut tcp);
        let mut stream = Stream::encrypted(session, tcp);
        let (mut bytes, mut came, mut longest) = ([0; 1000], 0, Duration::ZERO);
        while came < 300 {
            let began = Instant::now();
            match stream.receive(&mut bytes, Duration::from_millis(50)).unwrap() {
                Received::Bytes(count) => came += count,
                Received::Nothing => {}
                Received::Closed => panic!("closed after {came} bytes"),
            }
            longest = longest.max(began.elapsed());
        }
        assert_eq!((came, &bytes[..300]), (300, &[7; 300][..]));
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        server.join().unwrap();
        assert_eq!(stream.receive(&mut bytes, TICK).unwrap(), Received::Closed);
    }
}
