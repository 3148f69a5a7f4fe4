//! Proving a password, as a state machine that takes the server's packets and says what to send: the methods of MySQL
//! (`mysql_native_password`, `caching_sha2_password`, `sha256_password`), of MariaDB (`client_ed25519`, `parsec`), and
//! those that want the password itself (`mysql_clear_password`, `dialog`). What they send is [`super::proof`]'s.
//!
//! The password itself is sent only inside TLS, or encrypted with the server's RSA key.

use super::proof::LONG_NONCE;
pub use super::proof::caching_sha2_scramble;
use super::proof::certificate_proof;
use super::proof::ed25519_signature;
use super::proof::ed25519_stored;
use super::proof::encrypted_password;
pub use super::proof::native_scramble;
use super::proof::native_stored;
use super::proof::parsec_answer;
use super::proof::parsec_stored;
use super::proof::with_zero;
use super::response::ERR;
use super::response::ErrPacket;
use super::response::OK;
use super::response::OkPacket;
use super::response::one_line;
use crate::codec::CodecError;
use crate::codec::Reader;
use std::fmt;

const MORE: u8 = 0x01;
/// "Protocol::AuthNextFactor", MySQL 8.0.27 and later.
const NEXT_FACTOR: u8 = 0x02;
const SWITCH: u8 = 0xfe;

/// After the scramble: the server remembered it, or needs the password.
const FAST_OK: u8 = 3;
const FULL: u8 = 4;
/// "Send your RSA key", each method in its own byte.
const CACHING_SHA2_KEY_REQUEST: u8 = 2;
const SHA256_KEY_REQUEST: u8 = 1;
/// The kind of a `dialog` question, and the bit that says that none follows (MariaDB's `auth_dialog.c`).
const PASSWORD_QUESTION: u8 = 4;
const LAST_QUESTION: u8 = 1;

/// A login method that fountain speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    Ed25519,
    Parsec,
    /// The password itself: LDAP, PAM and others behind the server check it.
    Clear,
    /// The password itself, as the answer to one question: MariaDB's and Percona's PAM.
    Dialog,
}

impl Plugin {
    const ALL: [Self; 7] = [
        Self::Native,
        Self::CachingSha2,
        Self::Sha256,
        Self::Ed25519,
        Self::Parsec,
        Self::Clear,
        Self::Dialog,
    ];

    /// The name on the wire, which is the client side's: the server's own `ed25519` is `client_ed25519` here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
            Self::Clear => "mysql_clear_password",
            Self::Dialog => "dialog",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// Whether the greeting's 20 random bytes are all that the first proof needs.
    fn begins_with_the_login(self) -> bool {
        matches!(self, Self::Native | Self::CachingSha2 | Self::Sha256)
    }

    /// Whether a MariaDB server can prove its certificate by what it stores for this method.
    fn proves_certificates(self) -> bool {
        matches!(self, Self::Native | Self::Ed25519 | Self::Parsec)
    }

    fn sends_the_password(self) -> bool {
        matches!(self, Self::Clear | Self::Dialog)
    }
}

/// Why a login cannot go on. None of these is the server's refusal: that is [`AuthStep::Refused`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The account uses a login method that fountain does not speak.
    Unsupported {
        plugin: String,
    },
    /// The method sends the password as it is, and the connection is not encrypted.
    NeedsTls {
        plugin: Plugin,
    },
    /// The server is to prove its certificate, which this method gives it no means for.
    CannotProve {
        plugin: Plugin,
    },
    /// The password was right, and the account wants something else besides.
    SecondFactor {
        plugin: String,
    },
    /// Something other than the password is asked for.
    Question {
        text: String,
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
            Self::NeedsTls { plugin } => {
                let name = plugin.name();
                write!(
                    f,
                    "the login method {name} sends the password itself, and the connection is not encrypted"
                )
            }
            Self::CannotProve { plugin } => {
                write!(f, "by the login method {} no server can prove its certificate", plugin.name())
            }
            Self::SecondFactor { plugin } => {
                write!(f, "the account asks for a second factor after the password, by the method {plugin}")
            }
            Self::Question { text } => {
                write!(f, "the account's login asks for more than the password: {text:?}")
            }
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

/// What a packet that belongs to the method itself holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A word about our proof, or a question.
    Word,
    /// The RSA key that we asked for.
    RsaKey,
    /// parsec's salt that we asked for.
    ExtSalt,
}

/// One login attempt.
pub struct Authenticator {
    password: Vec<u8>,
    /// Whether the connection is encrypted.
    secure: bool,
    plugin: Plugin,
    nonce: Vec<u8>,
    /// The last one of 20 bytes.
    short_nonce: Vec<u8>,
    expected: Expected,
    /// A question of `dialog` has had its answer.
    answered: bool,
    /// Nothing is sent that somebody who poses as the server could use.
    proving: bool,
    /// parsec's salt, as the server sent it.
    ext_salt: Vec<u8>,
}

impl Authenticator {
    /// `proposed` and `nonce` come from the greeting. A proposal that does not begin with the login is answered with
    /// the oldest method: what counts is the account's own method, and the server switches to that.
    pub fn new(password: &[u8], proposed: &str, nonce: &[u8], secure: bool) -> Self {
        let plugin = Plugin::from_name(proposed).filter(|plugin| plugin.begins_with_the_login());
        Self {
            password: password.to_vec(),
            secure,
            plugin: plugin.unwrap_or(Plugin::Native),
            nonce: nonce.to_vec(),
            short_nonce: nonce.to_vec(),
            expected: Expected::Word,
            answered: false,
            proving: false,
            ext_salt: Vec::new(),
        }
    }

    /// For a server whose certificate nobody has vouched for, and that shall do so itself: see [`Self::has_proved`].
    pub fn for_unproven_server(mut self) -> Self {
        self.proving = true;
        self.plugin = Plugin::Native;
        self
    }

    /// Whether the final OK proves that the server knows what it should store of the password, and that the
    /// certificate with this SHA-256 is its own. MariaDB's my_auth.c: the nonce is the greeting's, or that of a switch
    /// to the native method.
    pub fn has_proved(&self, ok: &[u8], fingerprint: &[u8; 32]) -> Result<bool, AuthError> {
        let stored = match self.plugin {
            _ if self.password.is_empty() => return Ok(false),
            Plugin::Native => native_stored(&self.password),
            Plugin::Ed25519 => ed25519_stored(&self.password),
            Plugin::Parsec => parsec_stored(&self.password, &self.ext_salt)?,
            Plugin::CachingSha2 | Plugin::Sha256 | Plugin::Clear | Plugin::Dialog => return Ok(false),
        };
        Ok(OkPacket::info(ok)? == certificate_proof(&stored, &self.short_nonce, fingerprint))
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
            Plugin::Sha256 if self.password.is_empty() || self.secure => with_zero(&self.password),
            Plugin::Sha256 => {
                self.expected = Expected::RsaKey;
                vec![SHA256_KEY_REQUEST]
            }
            Plugin::Ed25519 => ed25519_signature(&self.password, &self.nonce),
            Plugin::Parsec => {
                self.expected = Expected::ExtSalt;
                Vec::new()
            }
            Plugin::Clear | Plugin::Dialog => {
                self.answered = true;
                with_zero(&self.password)
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
            NEXT_FACTOR if self.plugin != Plugin::Dialog => {
                let plugin = one_line(r.nul_terminated("next factor: method")?);
                Err(AuthError::SecondFactor { plugin })
            }
            // MariaDB puts MORE only before what could be mistaken: sql_acl.cc, server_mpvio_write_packet().
            _ => self.more(payload),
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
        if plugin.sends_the_password() && !self.secure {
            return Err(AuthError::NeedsTls { plugin });
        }
        if self.proving && !plugin.proves_certificates() {
            return Err(AuthError::CannotProve { plugin });
        }
        self.plugin = plugin;
        self.expected = Expected::Word;
        self.answered = false;
        match plugin {
            Plugin::Native | Plugin::CachingSha2 | Plugin::Sha256 => {
                self.nonce = r.rest().to_vec();
                // 20 bytes and a zero that does not count.
                self.nonce.truncate(20);
                self.short_nonce = self.nonce.clone();
            }
            Plugin::Ed25519 | Plugin::Parsec => {
                self.nonce = r.take(LONG_NONCE, "login switch: nonce")?.to_vec();
            }
            Plugin::Clear => {}
            Plugin::Dialog if r.is_empty() => {}
            Plugin::Dialog => return self.answer(r.rest()),
        }
        Ok(AuthStep::Send(self.proof()))
    }

    /// "Protocol::AuthMoreData": what it means depends on the method and on what was asked.
    fn more(&mut self, data: &[u8]) -> Result<AuthStep, AuthError> {
        match std::mem::replace(&mut self.expected, Expected::Word) {
            Expected::RsaKey => {
                return encrypted_password(&self.password, &self.nonce, data).map(AuthStep::Send);
            }
            Expected::ExtSalt => {
                self.ext_salt = data.to_vec();
                return parsec_answer(&self.password, data, &self.nonce, &random()?).map(AuthStep::Send);
            }
            Expected::Word => {}
        }
        match (self.plugin, data) {
            (Plugin::CachingSha2, [FAST_OK]) => Ok(AuthStep::Wait),
            (Plugin::CachingSha2, [FULL]) if self.secure => Ok(AuthStep::Send(with_zero(&self.password))),
            (Plugin::CachingSha2, [FULL]) => {
                self.expected = Expected::RsaKey;
                Ok(AuthStep::Send(vec![CACHING_SHA2_KEY_REQUEST]))
            }
            (Plugin::Dialog, question) => self.answer(question),
            _ => Err(AuthError::Unexpected { first: MORE }),
        }
    }

    /// A question of `dialog`: its kind, its text. We know one answer, and to one question.
    fn answer(&mut self, question: &[u8]) -> Result<AuthStep, AuthError> {
        let mut r = Reader::new(question);
        let kind = r.u8("question: kind")?;
        if kind & !LAST_QUESTION != PASSWORD_QUESTION || self.answered {
            return Err(AuthError::Question { text: one_line(r.rest()) });
        }
        Ok(AuthStep::Send(self.proof()))
    }
}

fn random() -> Result<[u8; LONG_NONCE], AuthError> {
    let mut bytes = [0; LONG_NONCE];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AuthError::Key("this machine gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::encoding::PublicKeyX509Der;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::rsa::OAEP_SHA1_MGF1SHA1;
    use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
    use aws_lc_rs::rsa::PrivateDecryptingKey;
    use aws_lc_rs::signature::ED25519;
    use aws_lc_rs::signature::UnparsedPublicKey;
    use base64::Engine;

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

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
        assert_eq!(unsupported(b"\xfeauth_gssapi_client\0xyz"), "auth_gssapi_client");
        assert_eq!(unsupported(b"\xfemysql_old_password\0abcdefgh"), "mysql_old_password");
    }

    /// One nonce in 256 ends in a zero that counts.
    #[test]
    fn mariadbs_methods_sign_all_32_bytes_of_the_nonce() {
        let nonce = [&[9; 31][..], &[0]].concat();
        let switch = |name: &str| [&[SWITCH][..], name.as_bytes(), &[0], &nonce].concat();
        let mut auth = Authenticator::new(b"secret", "mysql_native_password", NONCE, false);
        let expected = ed25519_signature(b"secret", &nonce);
        assert_eq!(auth.on_packet(&switch("client_ed25519")), Ok(AuthStep::Send(expected)));
        assert_eq!(auth.on_packet(&switch("parsec")), Ok(AuthStep::Send(Vec::new())), "asks for the salt");
        let salt = [&b"P\0"[..], &[5; 18]].concat();
        let Ok(AuthStep::Send(sent)) = auth.on_packet(&salt) else { panic!("no answer to the salt") };
        // Python: the public key of ed25519's seed pbkdf2_hmac("sha512", b"secret", bytes([5] * 18), 1024, 32).
        let mut seed = [0; 32];
        let rounds = std::num::NonZeroU32::new(1024).unwrap();
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA512,
            rounds,
            &[5; 18],
            b"secret",
            &mut seed,
        );
        let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let (own, signature) = sent.split_at(LONG_NONCE);
        UnparsedPublicKey::new(&ED25519, public).verify(&[&nonce[..], own].concat(), signature).unwrap();
        assert!(auth.on_packet(&salt).is_err(), "nobody asked twice");
        for name in ["client_ed25519", "parsec"] {
            let short = [&[SWITCH][..], name.as_bytes(), &[0], &nonce[..31]].concat();
            assert!(auth.on_packet(&short).is_err());
        }
    }

    #[test]
    fn a_method_that_sends_the_password_needs_tls_and_gives_it_once() {
        let clear = &b"\xfemysql_clear_password\0"[..];
        let dialog = &b"\xfedialog\0\x04Password: "[..];
        for packet in [clear, dialog] {
            let mut plain = Authenticator::new(b"pw", "mysql_native_password", NONCE, false);
            assert!(matches!(plain.on_packet(packet), Err(AuthError::NeedsTls { .. })));
            let mut auth = Authenticator::new(b"pw", "mysql_native_password", NONCE, true);
            assert_eq!(auth.on_packet(packet), Ok(AuthStep::Send(b"pw\0".to_vec())));
        }
        let mut auth = Authenticator::new(b"pw", "", NONCE, true);
        auth.on_packet(dialog).unwrap();
        let more = auth.on_packet(b"\x05One-time code: ").unwrap_err().to_string();
        assert_eq!(more, "the account's login asks for more than the password: \"One-time code:\"");
        assert!(matches!(auth.on_packet(b"\xfedialog\0\x03Name?"), Err(AuthError::Question { .. })));
        let mut auth = Authenticator::new(b"pw", "", NONCE, true);
        assert_eq!(auth.on_packet(b"\xfedialog\0"), Ok(AuthStep::Send(b"pw\0".to_vec())));
        assert!(matches!(auth.on_packet(b"\x02Name?"), Err(AuthError::Question { .. })));
    }

    #[test]
    fn a_method_that_needs_more_than_the_greeting_waits_for_its_switch() {
        for name in ["client_ed25519", "parsec", "mysql_clear_password", "dialog", "nonsense", ""] {
            let mut auth = Authenticator::new(b"pw", name, NONCE, true);
            assert_eq!((auth.plugin(), auth.proof().len()), (Plugin::Native, 20), "{name}");
        }
    }

    #[test]
    fn a_second_factor_is_refused_by_its_name() {
        let mut auth = Authenticator::new(b"pw", "caching_sha2_password", NONCE, true);
        let error = auth.on_packet(b"\x02authentication_webauthn_client\0xyz").unwrap_err().to_string();
        assert!(
            error.contains("second factor") && error.contains("authentication_webauthn_client"),
            "{error}"
        );
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
