//! One server asked by itself: whether it serves, and the session time-out that it gives, which the crate does not tell.

use crate::coordination::frame;
use crossbeam_channel::bounded;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A ConnectResponse is 37 bytes, 36 from old servers.
const RESPONSE_BYTES: std::ops::RangeInclusive<usize> = 36..=1024;
/// Where none is written: ZooKeeper's own.
const PORT: u16 = 2181;

/// A server that has given a session, which nobody has used yet.
#[derive(Debug)]
pub struct Greeted {
    pub stream: TcpStream,
    /// Its ConnectResponse, without the length.
    pub response: Vec<u8>,
    /// The session time-out.
    pub given: Duration,
}

/// Shakes hands with one server: whether it serves, and the session time-out that it gives. Waits for no longer than
/// `patience`, name lookup included.
pub fn probe(server: &str, wanted: Duration, patience: Duration) -> Result<Duration, String> {
    let Greeted { mut stream, given, .. } = greet(server, wanted, patience)?;
    let mut close = Vec::new();
    close.extend(1i32.to_be_bytes());
    close.extend((-11i32).to_be_bytes());
    // Without it the session ends by itself.
    drop(stream.write_all(&frame::framed(&close)));
    Ok(given)
}

/// Begins a session with that server. Waits for no longer than `patience`, name lookup included.
pub fn greet(server: &str, wanted: Duration, patience: Duration) -> Result<Greeted, String> {
    let (answers, answer) = bounded(1);
    let (server, deadline) = (server.to_owned(), Instant::now() + patience);
    let thread = thread::Builder::new().name("zk-greet".into());
    thread
        .spawn(move || drop(answers.send(try_greet(&server, wanted, deadline))))
        .map_err(|error| error.to_string())?;
    match answer.recv_deadline(deadline) {
        Ok(Ok(greeted)) => Ok(greeted),
        Ok(Err(error)) if !frame::is_timeout(&error) => Err(error.to_string()),
        Ok(Err(_)) | Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
    }
}

/// All addresses of the name, each for its part of the time.
fn try_greet(server: &str, wanted: Duration, deadline: Instant) -> io::Result<Greeted> {
    let addresses: Vec<SocketAddr> = match with_port(server) {
        Some(server) => server.to_socket_addrs()?.collect(),
        None => (server, PORT).to_socket_addrs()?.collect(),
    };
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let part = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        match greet_at(address, wanted, Instant::now() + part.max(Duration::from_millis(1))) {
            Ok(greeted) => return Ok(greeted),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn with_port(server: &str) -> Option<&str> {
    let (_, port) = server.rsplit_once(':')?;
    port.parse::<u16>().is_ok().then_some(server)
}

/// ConnectRequest (protocol, last zxid, time-out, session id, password, read only) and ConnectResponse (protocol, time-out,
/// …), as zookeeper.jute has them.
fn greet_at(address: &SocketAddr, wanted: Duration, deadline: Instant) -> io::Result<Greeted> {
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(address, left())?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left()))?;
    let wanted = i32::try_from(wanted.as_millis()).unwrap_or(i32::MAX);
    let mut request = Vec::new();
    request.extend(0i32.to_be_bytes());
    request.extend(0i64.to_be_bytes());
    request.extend(wanted.to_be_bytes());
    request.extend(0i64.to_be_bytes());
    request.extend(16i32.to_be_bytes());
    request.extend([0; 17]);
    stream.write_all(&frame::framed(&request))?;
    let response = frame::read(&stream, *RESPONSE_BYTES.end(), deadline)?;
    if !RESPONSE_BYTES.contains(&response.len()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as ZooKeeper does"));
    }
    let given = response.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
    match u64::try_from(given) {
        Ok(given) if given > 0 => Ok(Greeted { stream, response, given: Duration::from_millis(given) }),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "it gives no session")),
    }
}
