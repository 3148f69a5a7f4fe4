//! The smallest client of ZooKeeper that looks into nodes and removes them: one blocking connection, no pings, no watches.
//!
//! Numbers and records as zookeeper.jute has them.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_CHILDREN: i32 = 8;
const CLOSE_SESSION: i32 = -11;
const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;
const ANY_VERSION: i32 = -1;
/// All rights.
const ALL: i32 = 31;

/// A node as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZkNode {
    pub data: Vec<u8>,
    /// How often its data has been written since it was made.
    pub version: i32,
    /// The transaction that made it.
    pub czxid: i64,
    /// The session whose end removes it; 0 when none does.
    pub owner: i64,
}

impl ZkNode {
    pub fn text(&self) -> String {
        String::from_utf8(self.data.clone()).expect("text")
    }
}

/// Errors are ZooKeeper's trouble, in words: tests that keep it well unwrap them.
pub struct ZkClient {
    address: String,
    stream: Option<TcpStream>,
    xid: i32,
}

/// An answer behind its header; the code is 0 when all is well.
struct Reply {
    code: i32,
    body: Vec<u8>,
}

impl ZkClient {
    /// Connects at the first call, and again after each that failed.
    pub fn new(address: &str) -> ZkClient {
        ZkClient { address: address.to_owned(), stream: None, xid: 0 }
    }

    /// None: there is no such node.
    pub fn get(&mut self, path: &str) -> Result<Option<ZkNode>, String> {
        let reply = self.call(GET_DATA, &watched(path))?;
        match reply.code {
            NO_NODE => Ok(None),
            0 => Ok(Some(node(&mut &reply.body[..]))),
            code => Err(format!("ZooKeeper's error {code}")),
        }
    }

    /// Names in order; none when there is no such node.
    pub fn children(&mut self, path: &str) -> Result<Vec<String>, String> {
        let reply = self.call(GET_CHILDREN, &watched(path))?;
        let mut names = Vec::new();
        match reply.code {
            NO_NODE => {}
            0 => {
                let body = &mut &reply.body[..];
                names.extend((0..number(body)).map(|_| String::from_utf8(bytes(body)).expect("a name")));
            }
            code => return Err(format!("ZooKeeper's error {code}")),
        }
        names.sort();
        Ok(names)
    }

    /// False: there was no such node.
    pub fn delete(&mut self, path: &str) -> Result<bool, String> {
        let request = [text(path), ANY_VERSION.to_be_bytes().to_vec()].concat();
        match self.call(DELETE, &request)?.code {
            NO_NODE => Ok(false),
            0 => Ok(true),
            code => Err(format!("ZooKeeper's error {code}")),
        }
    }

    /// Makes the node, or writes it whatever its version; what stands above it must be there.
    pub fn put(&mut self, path: &str, data: &[u8]) -> Result<(), String> {
        let acl = [&1i32.to_be_bytes()[..], &ALL.to_be_bytes(), &text("world"), &text("anyone")].concat();
        let create = [text(path), buffer(data), acl, 0i32.to_be_bytes().to_vec()].concat();
        let set = [text(path), buffer(data), ANY_VERSION.to_be_bytes().to_vec()].concat();
        let code = match self.call(CREATE, &create)?.code {
            NODE_EXISTS => self.call(SET_DATA, &set)?.code,
            code => code,
        };
        if code == 0 { Ok(()) } else { Err(format!("ZooKeeper's error {code}")) }
    }

    fn call(&mut self, operation: i32, request: &[u8]) -> Result<Reply, String> {
        self.try_call(operation, request).map_err(|error| {
            self.stream = None;
            error.to_string()
        })
    }

    fn try_call(&mut self, operation: i32, request: &[u8]) -> io::Result<Reply> {
        self.xid += 1;
        let xid = self.xid;
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.address)?),
        };
        send(stream, &[&xid.to_be_bytes()[..], &operation.to_be_bytes(), request].concat())?;
        let reply = receive(stream)?;
        let body = &mut &reply[..];
        assert_eq!(number(body), xid, "the answer to another question");
        long(body);
        Ok(Reply { code: number(body), body: body.to_vec() })
    }
}

impl Drop for ZkClient {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            // A session that is not closed expires.
            let request = [0i32.to_be_bytes(), CLOSE_SESSION.to_be_bytes()].concat();
            drop(send(stream, &request).and_then(|()| receive(stream)));
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_nodelay(true)?;
    // Protocol, last zxid, time-out in ms, session, password, read only.
    let request =
        [&[0; 12][..], &2_000i32.to_be_bytes(), &[0; 8], &16i32.to_be_bytes(), &[0; 16], &[0]].concat();
    send(&mut stream, &request)?;
    receive(&mut stream)?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(&buffer(message))
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn watched(path: &str) -> Vec<u8> {
    [text(path), vec![0]].concat()
}

fn text(text: &str) -> Vec<u8> {
    buffer(text.as_bytes())
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

fn number(from: &mut &[u8]) -> i32 {
    let (bytes, rest) = from.split_first_chunk().expect("four bytes");
    *from = rest;
    i32::from_be_bytes(*bytes)
}

fn long(from: &mut &[u8]) -> i64 {
    let (bytes, rest) = from.split_first_chunk().expect("eight bytes");
    *from = rest;
    i64::from_be_bytes(*bytes)
}

/// -1 stands for no bytes at all.
fn bytes(from: &mut &[u8]) -> Vec<u8> {
    let length = number(from).max(0) as usize;
    let (bytes, rest) = from.split_at(length);
    *from = rest;
    bytes.to_vec()
}

/// Data, then czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeralOwner, …
fn node(from: &mut &[u8]) -> ZkNode {
    let data = bytes(from);
    let [czxid, _, _, _] = [(); 4].map(|()| long(from));
    let [version, _, _] = [(); 3].map(|()| number(from));
    ZkNode { data, version, czxid, owner: long(from) }
}
