//! The packets of the connection phase: the server's greeting (v10), the request for TLS, the client's login.
//!
//! Which password proof goes into a login is [`super::auth`]'s business.

use super::capability::CLIENT_CONNECT_ATTRS;
use super::capability::CLIENT_LONG_PASSWORD;
use super::capability::CLIENT_PLUGIN_AUTH;
use super::capability::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
use super::capability::CLIENT_SECURE_CONNECTION;
use super::capability::CLIENT_SSL;
use super::capability::NEEDED;
use super::response::one_line;
use crate::codec::CodecError;
use crate::codec::Reader;
use crate::codec::put_lenenc;
use crate::codec::put_lenenc_bytes;
use std::fmt;

/// The greeting version spoken since MySQL 3.21.
const PROTOCOL: u8 = 10;
/// MariaDB puts this before its version, as replicas of old MySQL refuse a master of version "10".
const REPLICATION_PREFIX: &str = "5.5.5-";
/// A login's header: capabilities 4, largest packet 4, collation 1, reserved 19, MariaDB's capabilities 4.
pub const LOGIN_HEADER: usize = 32;
/// What both sides call their largest packet: the protocol's own limit.
const MAX_PACKET: u32 = 1 << 30;

/// The server's first packet ("Protocol::HandshakeV10").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Greeting {
    /// As people know it: without MariaDB's `5.5.5-`.
    pub server_version: String,
    pub connection_id: u32,
    /// 20 random bytes to mix into the password's proof.
    pub nonce: Vec<u8>,
    pub capabilities: u32,
    /// MariaDB's own capabilities (the upper 32 bits); 0 from others.
    pub mariadb_capabilities: u32,
    pub collation: u8,
    pub status: u16,
    /// The login method that the server proposes; empty where it has no say in it.
    pub auth_plugin: String,
}

impl Greeting {
    /// Reads a greeting. Fields, in order: protocol 1, version (zero-terminated), connection id 4, nonce 8, zero 1,
    /// capabilities 2, then, left out by servers before 4.1, collation 1, status 2, capabilities 2, nonce length 1,
    /// reserved 6, MariaDB's capabilities 4, rest of the nonce, login method (zero-terminated).
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(payload);
        let protocol = r.u8("greeting: protocol version")?;
        if protocol != PROTOCOL {
            return Err(r.invalid("greeting: protocol version", protocol.into()));
        }
        let version = one_line(r.nul_terminated("greeting: server version")?);
        let connection_id = r.u32("greeting: connection id")?;
        let mut nonce = r.take(8, "greeting: nonce")?.to_vec();
        r.skip(1, "greeting: filler")?;
        let low = r.u16("greeting: capabilities")?;
        let collation = r.u8("greeting: collation")?;
        let status = r.u16("greeting: status")?;
        let capabilities = u32::from(low) | u32::from(r.u16("greeting: upper capabilities")?) << 16;
        if capabilities & NEEDED != NEEDED {
            return Err(r.invalid(
                "greeting: capabilities (a server of 4.1 or later is needed)",
                capabilities.into(),
            ));
        }
        let nonce_length = usize::from(r.u8("greeting: nonce length")?);
        r.skip(6, "greeting: reserved")?;
        let extended = r.u32("greeting: MariaDB capabilities")?;
        // At least 13, whatever the length says, and the last one is a zero that does not count.
        let more = r.take(nonce_length.saturating_sub(8).max(13), "greeting: rest of the nonce")?;
        nonce.extend_from_slice(more);
        trim_nonce(&mut nonce);
        Ok(Self {
            server_version: version.strip_prefix(REPLICATION_PREFIX).map(str::to_string).unwrap_or(version),
            connection_id,
            nonce,
            capabilities,
            mariadb_capabilities: if capabilities & CLIENT_LONG_PASSWORD == 0 { extended } else { 0 },
            collation,
            status,
            auth_plugin: if capabilities & CLIENT_PLUGIN_AUTH == 0 {
                String::new()
            } else {
                rest_name(&mut r)
            },
        })
    }

    /// The server's side: the same bytes back.
    pub fn encode(&self) -> Vec<u8> {
        let (first, second) = self.nonce.split_at(self.nonce.len().min(8));
        let mut out = vec![PROTOCOL];
        put_nul_terminated(&mut out, self.server_version.as_bytes());
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(first);
        out.push(0);
        out.extend_from_slice(&(self.capabilities as u16).to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&((self.capabilities >> 16) as u16).to_le_bytes());
        out.push(self.nonce.len() as u8 + 1);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.mariadb_capabilities.to_le_bytes());
        put_nul_terminated(&mut out, second);
        put_nul_terminated(&mut out, self.auth_plugin.as_bytes());
        out
    }
}

/// Takes the terminating zero off a nonce: 20 bytes count.
fn trim_nonce(nonce: &mut Vec<u8>) {
    if nonce.len() > 20 && nonce.last() == Some(&0) {
        nonce.pop();
    }
}

/// A name to the end of the packet, zero-terminated or (5.5.7 to 5.5.9, 5.6.0, 5.6.1) not.
fn rest_name(r: &mut Reader<'_>) -> String {
    let rest = r.rest();
    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    one_line(name)
}

fn put_nul_terminated(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}

/// The client's answer to a greeting ("Protocol::HandshakeResponse41"). Never names a default database.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LoginRequest {
    /// What both sides agree to use: a subset of the greeting's.
    pub capabilities: u32,
    pub collation: u8,
    pub user: Vec<u8>,
    /// The proof of the password for `auth_plugin`.
    pub auth_response: Vec<u8>,
    pub auth_plugin: String,
    /// What the server shows in `performance_schema.session_connect_attrs`.
    pub attributes: Vec<(String, String)>,
}

/// With `sha256_password` inside TLS the proof is the password itself.
impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("user", &String::from_utf8_lossy(&self.user))
            .field("auth_plugin", &self.auth_plugin)
            .field("capabilities", &self.capabilities)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

impl LoginRequest {
    /// The short packet that asks for TLS ("Protocol::SSLRequest"): the login's header alone.
    pub fn encode_ssl_request(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LOGIN_HEADER);
        self.put_header(&mut out);
        out
    }

    /// The login itself.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put_header(&mut out);
        put_nul_terminated(&mut out, &self.user);
        if self.has(CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            put_lenenc(&mut out, self.auth_response.len() as u64);
        } else {
            out.push(self.auth_response.len() as u8);
        }
        out.extend_from_slice(&self.auth_response);
        if self.has(CLIENT_PLUGIN_AUTH) {
            put_nul_terminated(&mut out, self.auth_plugin.as_bytes());
        }
        if self.has(CLIENT_CONNECT_ATTRS) {
            let mut pairs = Vec::new();
            for (name, value) in &self.attributes {
                put_lenenc_bytes(&mut pairs, name.as_bytes());
                put_lenenc_bytes(&mut pairs, value.as_bytes());
            }
            put_lenenc_bytes(&mut out, &pairs);
        }
        out
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }

    fn put_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.capabilities.to_le_bytes());
        out.extend_from_slice(&MAX_PACKET.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 23]);
    }

    /// The server's side: reads what [`Self::encode`] writes.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(payload);
        let capabilities = r.u32("login: capabilities")?;
        r.skip(4, "login: largest packet")?;
        let collation = r.u8("login: collation")?;
        r.skip(23, "login: reserved")?;
        let mut login = Self { capabilities, collation, ..Self::default() };
        login.user = r.nul_terminated("login: user")?.to_vec();
        login.auth_response = if login.has(CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            r.lenenc_bytes("login: proof")?.to_vec()
        } else if login.has(CLIENT_SECURE_CONNECTION) {
            let length = r.u8("login: proof length")?;
            r.take(length.into(), "login: proof")?.to_vec()
        } else {
            r.nul_terminated("login: proof")?.to_vec()
        };
        if login.has(CLIENT_PLUGIN_AUTH) {
            let name = r.nul_terminated("login: login method")?;
            login.auth_plugin = String::from_utf8_lossy(name).into_owned();
        }
        if login.has(CLIENT_CONNECT_ATTRS) {
            let mut pairs = Reader::new(r.lenenc_bytes("login: attributes")?);
            while !pairs.is_empty() {
                let name = String::from_utf8_lossy(pairs.lenenc_bytes("login: attribute")?).into_owned();
                let value =
                    String::from_utf8_lossy(pairs.lenenc_bytes("login: attribute value")?).into_owned();
                login.attributes.push((name, value));
            }
        }
        r.finish("login")?;
        Ok(login)
    }
}

/// Whether a client's first packet asks for TLS instead of logging in.
pub fn is_ssl_request(payload: &[u8]) -> bool {
    let capabilities = Reader::new(payload).u32("capabilities").unwrap_or(0);
    payload.len() == LOGIN_HEADER && capabilities & CLIENT_SSL != 0
}

#[cfg(test)]
mod tests {
    use super::super::capability::WANTED;
    use super::*;

    fn greeting() -> Greeting {
        Greeting {
            server_version: "9.7.1".into(),
            connection_id: 77,
            nonce: (1..=20).collect(),
            capabilities: WANTED | CLIENT_SSL,
            mariadb_capabilities: 0,
            collation: 255,
            status: 2,
            auth_plugin: "caching_sha2_password".into(),
        }
    }

    #[test]
    fn a_greeting_reads_back_and_each_cut_is_an_error() {
        let greeting = greeting();
        let bytes = greeting.encode();
        assert_eq!(Greeting::parse(&bytes), Ok(greeting.clone()));
        let name = bytes.len() - "caching_sha2_password\0".len();
        for cut in 0..name {
            assert!(Greeting::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let short = Greeting::parse(&bytes[..name + 7]).unwrap();
        assert_eq!(short.auth_plugin, "caching", "a name without its zero reads to the end");
    }

    #[test]
    fn mariadb_is_told_by_what_it_leaves_out() {
        let mut greeting = greeting();
        greeting.server_version = "5.5.5-10.11.19-MariaDB".into();
        greeting.capabilities &= !CLIENT_LONG_PASSWORD;
        greeting.mariadb_capabilities = 0x1d;
        let read = Greeting::parse(&greeting.encode()).unwrap();
        assert_eq!(read.server_version, "10.11.19-MariaDB");
        assert_eq!(read.mariadb_capabilities, 0x1d);
        greeting.server_version = "9.7.1\n\x1b[2J".into();
        assert_eq!(Greeting::parse(&greeting.encode()).unwrap().server_version, "9.7.1  [2J");
    }

    /// The manual's example of MySQL 5.5.2, which has no login methods to choose from: nothing follows the nonce.
    #[test]
    fn a_greeting_without_login_methods() {
        let bytes =
            b"\x0a5.5.2-m2\0\x0b\0\0\0dvH@I-CJ\0\xff\xf7\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0*4d|cZwk4^]:\0";
        let greeting = Greeting::parse(bytes).unwrap();
        assert_eq!((greeting.server_version.as_str(), greeting.connection_id), ("5.5.2-m2", 11));
        assert_eq!(greeting.nonce, b"dvH@I-CJ*4d|cZwk4^]:");
        assert_eq!((greeting.capabilities, greeting.auth_plugin.as_str()), (0xf7ff, ""));
        for cut in 0..bytes.len() {
            assert!(Greeting::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn servers_of_the_last_century_are_refused() {
        let mut bytes = greeting().encode();
        bytes[0] = 9;
        let error = Greeting::parse(&bytes).unwrap_err().to_string();
        assert_eq!(error, "greeting: protocol version: impossible value 9 at offset 1");
        let mut old = greeting();
        old.capabilities &= !NEEDED;
        assert!(Greeting::parse(&old.encode()).unwrap_err().to_string().contains("4.1 or later"));
    }

    #[test]
    fn a_login_reads_back_and_each_cut_is_an_error() {
        let mut login = LoginRequest {
            capabilities: WANTED,
            collation: 45,
            user: b"repl".to_vec(),
            auth_response: vec![9; 20],
            auth_plugin: "mysql_native_password".into(),
            attributes: vec![("program_name".into(), "fountain".into())],
        };
        let bytes = login.encode();
        assert_eq!(LoginRequest::parse(&bytes), Ok(login.clone()));
        for cut in 0..bytes.len() {
            assert!(LoginRequest::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(!is_ssl_request(&bytes));
        login.capabilities = NEEDED | CLIENT_SSL;
        assert!(is_ssl_request(&login.encode_ssl_request()));
        (login.auth_plugin, login.attributes) = (String::new(), Vec::new());
        assert_eq!(LoginRequest::parse(&login.encode()), Ok(login));
    }
}
