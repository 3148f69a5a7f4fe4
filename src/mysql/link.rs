//! The conversation with one server, packet by packet: greeting, TLS, login, and whatever follows.
//!
//! Keeps bytes, sequence numbers and deadlines in order. The login itself is [`super::login`]'s; what the answers to
//! commands mean is left to [`super::connection`] and [`super::binlog_stream`].

use super::config::SourceConfig;
use super::config::TlsMode;
use super::error::SourceError;
use super::refusal::Party;
use super::refusal::When;
use super::refusal::server_error;
use super::stream::Deadline;
use super::stream::Received;
use super::stream::Stream;
use super::stream::TICK;
use super::stream::connect;
use super::tls::HandshakeError;
use super::tls::Tls;
use super::tls::late_refusal;
use crate::code::Code;
use crate::config::Choice;
use crate::stop::Stop;
use crate::wire::capability::CLIENT_DEPRECATE_EOF;
use crate::wire::capability::CLIENT_SSL;
use crate::wire::capability::WANTED;
use crate::wire::handshake::Greeting;
use crate::wire::handshake::LoginRequest;
use crate::wire::packet::FrameBuf;
use crate::wire::packet::put_packet;
use crate::wire::response::ErrPacket;
use sha2::Digest;
use sha2::Sha256;
use std::net::IpAddr;
use std::time::Duration;

/// The largest packet of a greeting and login, in bytes.
const LOGIN_LIMIT: usize = 1 << 16;

/// A connected socket with its place in the protocol.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) config: SourceConfig,
    /// The server, as `host:port`.
    pub(super) place: String,
    pub(super) stop: Stop,
    stream: Stream,
    pub(super) frames: FrameBuf,
    pub(super) greeting: Greeting,
    /// `CURRENT_USER()`, once somebody asked.
    pub(super) account: Option<String>,
}

/// Why a connection could not be made.
pub(super) enum Failure {
    /// Without TLS it might work.
    Tls(SourceError),
    Other(SourceError),
}

impl Failure {
    pub(super) fn into_error(self) -> SourceError {
        match self {
            Self::Tls(error) | Self::Other(error) => error,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Other(error)
    }
}

impl Link {
    /// Connects and logs in, with TLS where `tls` is given and the server offers it.
    pub(super) fn open(config: &SourceConfig, stop: &Stop, tls: Option<&Tls>) -> Result<Self, Failure> {
        let tcp = connect(config, stop)?;
        let deadline = Deadline::after(config.login_timeout);
        let mut link = Self {
            config: config.clone(),
            place: config.place(),
            stop: stop.clone(),
            stream: Stream::plain(tcp),
            frames: FrameBuf::new(LOGIN_LIMIT),
            greeting: Greeting::default(),
            account: None,
        };
        link.greet(&deadline)?;
        let mut encrypted = false;
        if let Some(tls) = tls {
            (link, encrypted) = link.encrypt(tls, &deadline)?;
        }
        link.log_in(encrypted, &deadline).map_err(|error| link.perhaps_our_certificate(error))?;
        Ok(link)
    }

    pub(super) fn tls_version(&self) -> Option<String> {
        self.stream.tls_version()
    }

    pub(super) fn peer_ip(&self) -> Option<IpAddr> {
        self.stream.peer_ip()
    }

    /// SHA-256 of the certificate that the server has shown.
    pub(super) fn certificate_fingerprint(&self) -> Option<[u8; 32]> {
        self.stream.certificate().map(|certificate| Sha256::digest(certificate).into())
    }

    /// Whether result sets come without EOF packets.
    pub(super) fn deprecate_eof(&self) -> bool {
        self.capabilities() & CLIENT_DEPRECATE_EOF != 0
    }

    /// Sends one packet with the next sequence number.
    pub(super) fn send_packet(
        &mut self,
        payload: &[u8],
        what: &str,
        deadline: &Deadline,
    ) -> Result<(), SourceError> {
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        let next = put_packet(&mut bytes, self.frames.sequence(), payload);
        self.frames.set_sequence(next);
        self.stream.send(&bytes, &self.place, what, deadline, &self.stop)
    }

    /// Waits until `frames` holds a whole packet.
    pub(super) fn await_packet(&mut self, what: &str, deadline: &Deadline) -> Result<(), SourceError> {
        loop {
            match self.frames.advance() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(SourceError::protocol(&self.place, what, &error)),
            }
            deadline.check(&self.place, what, &self.stop)?;
            self.receive(what, deadline.tick())?;
        }
    }

    /// One read into `frames`; says how many bytes came.
    pub(super) fn receive(&mut self, what: &str, wait: Duration) -> Result<usize, SourceError> {
        match self.stream.receive(self.frames.spare(), wait.min(TICK)) {
            Ok(Received::Bytes(count)) => {
                self.frames.filled(count);
                Ok(count)
            }
            Ok(Received::Nothing) => Ok(0),
            Ok(Received::Closed) => {
                Err(SourceError::lost(&self.place, what, &"the server closed the connection"))
            }
            Err(error) => Err(late_refusal(&self.place, &error)
                .unwrap_or_else(|| SourceError::lost(&self.place, what, &error))),
        }
    }

    /// Whether a read would bring something at once.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        self.stream.has_bytes_waiting()
    }

    /// The account as far as it is known.
    pub(super) fn known_account(&self) -> String {
        self.account.clone().unwrap_or_else(|| format!("'{}'@'…'", self.config.user))
    }

    /// What an ERR packet means.
    pub(super) fn server_error(&self, when: When, error: &ErrPacket) -> SourceError {
        server_error(when, &Party { place: &self.place, account: &self.known_account() }, error)
    }

    /// In TLS 1.3 a server that does not take our certificate may be gone before we have read why.
    fn perhaps_our_certificate(&self, error: SourceError) -> SourceError {
        if error.code() != Code::ConnectionLost || self.config.tls.cert.is_none() {
            return error;
        }
        error.advise(
            "the server may have refused the certificate of mysql_ssl_cert: its error log would say so",
        )
    }

    /// The greeting, which also says what the server can do.
    fn greet(&mut self, deadline: &Deadline) -> Result<(), SourceError> {
        self.await_packet("greeting", deadline)?;
        let packet = self.frames.packet();
        if ErrPacket::is(packet) {
            let error =
                ErrPacket::parse(packet).map_err(|e| SourceError::protocol(&self.place, "greeting", &e))?;
            return Err(self.server_error(When::Login, &error));
        }
        self.greeting = Greeting::parse(packet).map_err(|error| {
            SourceError::protocol(&self.place, "greeting", &error)
                .advise("is this the port of a MySQL server?")
        })?;
        Ok(())
    }

    pub(super) fn capabilities(&self) -> u32 {
        self.greeting.capabilities & WANTED
    }

    /// Wraps the connection into TLS, if both sides want it; says whether it is.
    fn encrypt(mut self, tls: &Tls, deadline: &Deadline) -> Result<(Self, bool), Failure> {
        if self.greeting.capabilities & CLIENT_SSL == 0 {
            if self.config.tls.mode == TlsMode::Preferred {
                return Ok((self, false));
            }
            let text = format!(
                "the server offers no TLS, and mysql_ssl_mode={} asks for it",
                self.config.tls.mode.word()
            );
            return Err(SourceError::refused(Code::Tls, &self.place, text).into());
        }
        let request = LoginRequest {
            capabilities: self.capabilities() | CLIENT_SSL,
            collation: self.collation(),
            ..Default::default()
        };
        self.send_packet(&request.encode_ssl_request(), "TLS handshake", deadline)?;
        // Bytes from before the handshake could be anybody's.
        if self.frames.has_bytes() {
            return Err(SourceError::protocol(&self.place, "greeting", &"bytes after it, before TLS").into());
        }
        let Some(mut tcp) = self.stream.into_tcp() else {
            return Err(SourceError::protocol(&self.place, "greeting", &"TLS inside TLS").into());
        };
        let session = match tls.handshake(&mut tcp, &self.place, deadline, &self.stop) {
            Ok(session) => session,
            Err(HandshakeError::Disagreed(error)) => return Err(Failure::Tls(error)),
            Err(HandshakeError::GaveUp(error)) => return Err(error.into()),
        };
        self.stream = Stream::encrypted(session, tcp);
        Ok((self, true))
    }
}
