//! Proving a password: `mysql_native_password`, `caching_sha2_password` and `sha256_password`, as a state machine that
//! takes the server's packets and says what to send.
//!
//! The password itself is sent only inside TLS, or encrypted with the server's RSA key.

use super::handshake::trim_nonce;
use super::response::ERR;
use super::response::ErrPacket;
use super::response::OK;
use super::response::one_line;
use crate::codec::CodecError;
use crate::codec::Reader;
use aws_lc_rs::rsa::OAEP_SHA1_MGF1SHA1;
use aws_lc_rs::rsa::OaepPublicEncryptingKey;
use aws_lc_rs::rsa::PublicEncryptingKey;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha1::Digest;
use sha1::Sha1;
use sha2::Sha256;
use std::fmt;

const MORE: u8 = 0x01;
const SWITCH: u8 = 0xfe;

/// After the scramble: the server remembered it, or needs the password.
const FAST_OK: u8 = 3;
const FULL: u8 = 4;
/// "Send your RSA key", each method in its own byte.
const CACHING_SHA2_KEY_REQUEST: u8 = 2;
const SHA256_KEY_REQUEST: u8 = 1;

/// A login method that fountain speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Native,
    CachingSha2,
    Sha256,
}

impl Plugin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Native, Self::CachingSha2, Self::Sha256].into_iter().find(|plugin| plugin.name() == name)
    }
}

/// Why a login cannot go on. None of these is the server's refusal: that is [`AuthStep::Refused`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The account uses a login method that fountain does not speak.
    Unsupported {
        plugin: String,
    },
    /// The server's RSA key, or the password under it, cannot be used.
    Key(&'static str),
    /// A packet that has no place in a login.
    Unexpected {
        first: u8,
    },
    Codec(CodecError),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { plugin } => write!(f, "the account uses the login method {plugin}"),
            Self::Key(why) => write!(f, "{why}"),
            Self::Unexpected { first } => write!(f, "packet 0x{first:02x} in the middle of a login"),
            Self::Codec(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AuthError {}

impl From<CodecError> for AuthError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// What to do after a packet from the server.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthStep {
    /// Send this payload and wait for the next packet.
    Send(Vec<u8>),
    /// Wait for the next packet.
    Wait,
    /// Logged in.
    Done,
    /// The server said no.
    Refused(ErrPacket),
}

/// The payload may be the password itself.
impl fmt::Debug for AuthStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(payload) => write!(f, "Send({} bytes)", payload.len()),
            Self::Wait => f.write_str("Wait"),
            Self::Done => f.write_str("Done"),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

/// One login attempt.
pub struct Authenticator {
    password: Vec<u8>,
    /// Whether the connection is encrypted.
    secure: bool,
    plugin: Plugin,
    nonce: Vec<u8>,
    /// The server's RSA key has been asked for and comes next.
    key_awaited: bool,
}

impl Authenticator {
    /// `proposed` and `nonce` come from the greeting. A proposal we do not speak is answered with the oldest method:
    /// what counts is the account's own method, and the server switches to that.
    pub fn new(password: &[u8], proposed: &str, nonce: &[u8], secure: bool) -> Self {
        let plugin = Plugin::from_name(proposed).unwrap_or(Plugin::Native);
        Self { password: password.to_vec(), secure, plugin, nonce: nonce.to_vec(), key_awaited: false }
    }

    /// The method in use.
    pub fn plugin(&self) -> Plugin {
        self.plugin
    }

    /// The proof that goes into the login packet, or into the answer to a switch of methods.
    pub fn proof(&mut self) -> Vec<u8> {
        match self.plugin {
            Plugin::Native => native_scramble(&self.password, &self.nonce),
            Plugin::CachingSha2 => caching_sha2_scramble(&self.password, &self.nonce),
            Plugin::Sha256 if self.password.is_empty() || self.secure => self.password_with_zero(),
            Plugin::Sha256 => {
                self.key_awaited = true;
                vec![SHA256_KEY_REQUEST]
            }
        }
    }

    /// Takes a packet that came after the login packet.
    pub fn on_packet(&mut self, payload: &[u8]) -> Result<AuthStep, AuthError> {
        let mut r = Reader::new(payload);
        match r.u8("login answer")? {
            OK => Ok(AuthStep::Done),
            ERR => Ok(AuthStep::Refused(ErrPacket::parse(payload)?)),
            SWITCH => self.switch(r),
            MORE => self.more(r.rest()),
            first => Err(AuthError::Unexpected { first }),
        }
    }

    /// "Protocol::AuthSwitchRequest": method name (zero-terminated), nonce. A lone 0xFE asks for the method of 4.0.
    fn switch(&mut self, mut r: Reader<'_>) -> Result<AuthStep, AuthError> {
        if r.is_empty() {
            return Err(AuthError::Unsupported { plugin: "mysql_old_password".into() });
        }
        let name = one_line(r.nul_terminated("login switch: method")?);
        let Some(plugin) = Plugin::from_name(&name) else {
            return Err(AuthError::Unsupported { plugin: name });
        };
        self.plugin = plugin;
        self.nonce = r.rest().to_vec();
        trim_nonce(&mut self.nonce);
        self.key_awaited = false;
        Ok(AuthStep::Send(self.proof()))
    }

    /// "Protocol::AuthMoreData": what it means depends on the method and on what was asked.
    fn more(&mut self, data: &[u8]) -> Result<AuthStep, AuthError> {
        if self.key_awaited {
            self.key_awaited = false;
            return self.encrypted_password(data).map(AuthStep::Send);
        }
        match (self.plugin, data) {
            (Plugin::CachingSha2, [FAST_OK]) => Ok(AuthStep::Wait),
            (Plugin::CachingSha2, [FULL]) if self.secure => Ok(AuthStep::Send(self.password_with_zero())),
            (Plugin::CachingSha2, [FULL]) => {
                self.key_awaited = true;
                Ok(AuthStep::Send(vec![CACHING_SHA2_KEY_REQUEST]))
            }
            _ => Err(AuthError::Unexpected { first: MORE }),
        }
    }

    fn password_with_zero(&self) -> Vec<u8> {
        let mut text = self.password.clone();
        text.push(0);
        text
    }

    /// RSA-OAEP (SHA-1) over the password XOR the nonce, which keeps a recorded answer from being played again.
    fn encrypted_password(&self, pem: &[u8]) -> Result<Vec<u8>, AuthError> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| AuthError::Key("the server's RSA key is no public key in PEM form"))?;
        let key = PublicEncryptingKey::from_der(&key)
            .map_err(|_| AuthError::Key("the server's RSA key cannot be used (2048 to 8192 bits are)"))?;
        let key = OaepPublicEncryptingKey::new(key)
            .map_err(|_| AuthError::Key("the server's RSA key is broken"))?;
        let mut text = self.password_with_zero();
        for (byte, mask) in text.iter_mut().zip(self.nonce.iter().cycle()) {
            *byte ^= mask;
        }
        let mut out = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut out, None)
            .map_err(|_| AuthError::Key("the password is too long for the server's RSA key"))?
            .len();
        out.truncate(length);
        Ok(out)
    }
}

/// `SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))`; nothing for no password.
pub fn native_scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let mixed = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce)`; nothing for no password.
pub fn caching_sha2_scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha256::digest(password);
    let mixed = Sha256::new().chain_update(Sha256::digest(once)).chain_update(nonce).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::encoding::PublicKeyX509Der;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
    use aws_lc_rs::rsa::PrivateDecryptingKey;
    use base64::Engine;

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn scrambles_undo_with_what_the_server_stores() {
        // The server keeps SHA1(SHA1(password)) and gets SHA1(password) back out of the scramble.
        let stored = Sha1::digest(Sha1::digest(b"secret"));
        let mask = Sha1::new().chain_update(NONCE).chain_update(stored).finalize();
        let once: Vec<u8> = native_scramble(b"secret", NONCE).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha1::digest(&once), stored);
        let stored = Sha256::digest(Sha256::digest(b"secret"));
        let mask = Sha256::new().chain_update(stored).chain_update(NONCE).finalize();
        let once: Vec<u8> =
            caching_sha2_scramble(b"secret", NONCE).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(&once), stored);
        assert!(native_scramble(b"", NONCE).is_empty() && caching_sha2_scramble(b"", NONCE).is_empty());
    }

    #[test]
    fn known_scrambles() {
        // Python: sha1/sha256 of hashlib over the formulas of the manual.
        assert_eq!(hex(&native_scramble(b"secret", NONCE)), "8817c50fa779daef010ee7577825b0847df9842e");
        assert_eq!(
            hex(&caching_sha2_scramble(b"secret", NONCE)),
            "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809"
        );
    }

    #[test]
    fn the_fast_path_sends_nothing_more() {
        let mut auth = Authenticator::new(b"pw", "caching_sha2_password", NONCE, false);
        assert_eq!(auth.proof().len(), 32);
        assert_eq!(auth.on_packet(&[MORE, FAST_OK]), Ok(AuthStep::Wait));
        assert_eq!(auth.on_packet(&[OK, 0, 0, 2, 0, 0, 0]), Ok(AuthStep::Done));
    }

    #[test]
    fn the_password_goes_in_clear_only_inside_tls() {
        let mut auth = Authenticator::new(b"pw", "caching_sha2_password", NONCE, true);
        assert_eq!(auth.on_packet(&[MORE, FULL]), Ok(AuthStep::Send(b"pw\0".to_vec())));
        let mut auth = Authenticator::new(b"pw", "sha256_password", NONCE, true);
        assert_eq!(auth.proof(), b"pw\0");
        for (plugin, request) in [("caching_sha2_password", vec![2]), ("sha256_password", vec![1])] {
            let mut auth = Authenticator::new(b"pw", plugin, NONCE, false);
            let sent = match (auth.proof(), plugin) {
                (proof, "sha256_password") => AuthStep::Send(proof),
                _ => auth.on_packet(&[MORE, FULL]).unwrap(),
            };
            assert_eq!(sent, AuthStep::Send(request));
            assert!(matches!(auth.on_packet(b"\x01no key"), Err(AuthError::Key(_))));
        }
    }

    #[test]
    fn without_tls_the_servers_key_hides_the_password() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("\x01-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let password = b"a password longer than its nonce of twenty bytes";
        let mut auth = Authenticator::new(password, "caching_sha2_password", NONCE, false);
        auth.on_packet(&[MORE, FULL]).unwrap();
        let Ok(AuthStep::Send(sent)) = auth.on_packet(pem.as_bytes()) else { panic!("no answer to the key") };
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut out = vec![0; private.min_output_size()];
        let text = private.decrypt(&OAEP_SHA1_MGF1SHA1, &sent, &mut out, None).unwrap();
        let text: Vec<u8> = text.iter().zip(NONCE.iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(text, [&password[..], &[0]].concat());
        let mut auth = Authenticator::new(&[b'x'; 300], "caching_sha2_password", NONCE, false);
        auth.on_packet(&[MORE, FULL]).unwrap();
        assert!(auth.on_packet(pem.as_bytes()).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn a_switch_brings_its_own_method_and_nonce() {
        let mut auth = Authenticator::new(b"pw", "client_ed25519", b"other", false);
        assert_eq!(auth.plugin(), Plugin::Native);
        let packet = [&[SWITCH][..], b"mysql_native_password\0", NONCE, &[0]].concat();
        let expected = native_scramble(b"pw", NONCE);
        assert_eq!(auth.on_packet(&packet), Ok(AuthStep::Send(expected)));
        let unsupported = |packet: &[u8]| match Authenticator::new(b"", "", NONCE, true).on_packet(packet) {
            Err(AuthError::Unsupported { plugin }) => plugin,
            other => panic!("{other:?}"),
        };
        assert_eq!(unsupported(&[SWITCH]), "mysql_old_password");
        assert_eq!(unsupported(b"\xfeclient_ed25519\0xyz"), "client_ed25519");
        assert_eq!(unsupported(b"\xfemysql_clear_password\0"), "mysql_clear_password");
    }

    #[test]
    fn what_is_sent_is_not_shown() {
        let mut auth = Authenticator::new(b"pw", "sha256_password", NONCE, true);
        let login = super::super::handshake::LoginRequest {
            auth_response: auth.proof(),
            user: b"repl".to_vec(),
            ..Default::default()
        };
        let step = AuthStep::Send(auth.proof());
        for text in [format!("{login:?}"), format!("{login:#?}"), format!("{step:?}"), format!("{step:#?}")] {
            let digits: String = text.split_whitespace().collect();
            assert!(!text.contains("pw") && !digits.contains("112,119"), "{text}");
        }
        assert!(format!("{login:?}").contains("repl"));
    }

    #[test]
    fn a_method_of_any_name_stays_on_one_line() {
        let packet = [&b"\xfeclient\n\x1b[2J"[..], &[b'x'; 5000], &[0]].concat();
        let error = Authenticator::new(b"", "", NONCE, true).on_packet(&packet).unwrap_err().to_string();
        assert!(error.starts_with("the account uses the login method client  [2Jxxx"), "{error}");
        assert!(error.chars().count() < 1100 && !error.contains(char::is_control));
    }

    #[test]
    fn packets_that_make_no_sense_are_errors() {
        for packet in [&[][..], &[SWITCH, b'a'], &[MORE], &[MORE, 9], &[0x42]] {
            let mut auth = Authenticator::new(b"pw", "mysql_native_password", NONCE, false);
            assert!(auth.on_packet(packet).is_err(), "{packet:?}");
        }
    }
}
