//! One server asked by itself: whether it serves, and the session time-out that it gives, which the crate does not tell.

use crossbeam_channel::bounded;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::thread;
use std::time::Duration;

/// A ConnectResponse is 37 bytes, 36 from old servers.
const RESPONSE_BYTES: std::ops::RangeInclusive<usize> = 12..=1024;

/// Shakes hands with one server: whether it serves, and the session time-out that it gives. Waits for no longer than
/// `patience`, name lookup included.
pub fn probe(server: &str, wanted: Duration, patience: Duration) -> Result<Duration, String> {
    let (answers, answer) = bounded(1);
    let owned = server.to_owned();
    let thread = thread::Builder::new().name("zk-probe".into());
    thread
        .spawn(move || {
            drop(answers.send(handshake(&owned, wanted, patience).map_err(|error| error.to_string())))
        })
        .map_err(|error| error.to_string())?;
    answer
        .recv_timeout(patience)
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", patience.as_millis())))
}

fn handshake(server: &str, wanted: Duration, patience: Duration) -> io::Result<Duration> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return greet(stream, wanted, patience),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// ConnectRequest (protocol, last zxid, time-out, session id, password, read only), ConnectResponse (protocol, time-out,
/// …) and closeSession, as zookeeper.jute has them.
fn greet(mut stream: TcpStream, wanted: Duration, patience: Duration) -> io::Result<Duration> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let wanted = i32::try_from(wanted.as_millis()).unwrap_or(i32::MAX);
    let mut request = Vec::new();
    request.extend(0i32.to_be_bytes());
    request.extend(0i64.to_be_bytes());
    request.extend(wanted.to_be_bytes());
    request.extend(0i64.to_be_bytes());
    request.extend(16i32.to_be_bytes());
    request.extend([0; 17]);
    stream.write_all(&(request.len() as i32).to_be_bytes())?;
    stream.write_all(&request)?;
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it does not answer as ZooKeeper does");
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| strange())?;
    if !RESPONSE_BYTES.contains(&length) {
        return Err(strange());
    }
    let mut response = vec![0; length];
    stream.read_exact(&mut response)?;
    let given = response.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
    let mut close = 8i32.to_be_bytes().to_vec();
    close.extend(1i32.to_be_bytes());
    close.extend((-11i32).to_be_bytes());
    stream.write_all(&close)?;
    match u64::try_from(given) {
        Ok(given) if given > 0 => Ok(Duration::from_millis(given)),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "it gives no session")),
    }
}
