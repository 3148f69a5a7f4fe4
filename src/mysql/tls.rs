//! TLS towards a server, by rustls: which certificates count, and the handshake with a deadline.
//!
//! rustls speaks TLS 1.2 and 1.3 with modern ciphers. MySQL 5.6 and the yaSSL builds of 5.7 offer TLS 1.1 at most and
//! cannot be reached this way. What the modes promise:
//!
//! | mode | who listens | who can change packets on the way |
//! |---|---|---|
//! | `disabled` | sees rows | can pose as the server, and have the password where the method is not a signature |
//! | `preferred`, `required` | sees nothing (`preferred`: unless the server has no TLS) | the same: any certificate is taken |
//! | `verify_ca`, `verify_identity`, `verify_password` | sees nothing | is found out |

mod explain;
mod pem;

use self::explain::CERTIFICATE_ADVICE;
use self::explain::explain;
use self::pem::certificates;
use self::pem::private_key;
use super::config::SourceConfig;
use super::config::TlsConfig;
use super::config::TlsMode;
use super::error::ErrorKind as Kind;
use super::error::SourceError;
use super::stream::Deadline;
use super::stream::is_timeout;
use crate::code::Code;
use crate::config::Choice;
use crate::stop::Stop;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::DigitallySignedStruct;
use rustls::Error as TlsError;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use std::io;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::sync::Arc;

/// What handshakes with one server need; made before connecting, so that a wrong file is told first.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// The name as messages call it.
    host: String,
}

/// Why a handshake did not end well.
pub(super) enum HandshakeError {
    /// The two sides do not agree; without TLS they might.
    Disagreed(SourceError),
    /// Time is up, or a stop was requested.
    GaveUp(SourceError),
}

impl Tls {
    /// Checks the settings and reads the files; none when the mode is `disabled`.
    pub(super) fn prepare(config: &SourceConfig) -> Result<Option<Self>, SourceError> {
        if config.tls.mode == TlsMode::Disabled {
            return Ok(None);
        }
        let misconfigured = |text: String| SourceError::refused(Code::Tls, &config.place(), text);
        let client = client_config(&config.tls).map_err(misconfigured)?;
        let name = match ServerName::try_from(config.bare_host().to_string()) {
            Ok(name) => name,
            Err(_) if config.tls.mode == TlsMode::VerifyIdentity => {
                return Err(misconfigured(format!(
                    "no certificate can be made out for the host name {:?}",
                    config.host
                )));
            }
            // Where the name does not count, an address keeps it out of the handshake.
            Err(_) => ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        Ok(Some(Self { config: Arc::new(client), name, host: config.bare_host().to_string() }))
    }

    /// Shakes hands over a fresh connection.
    pub(super) fn handshake(
        &self,
        tcp: &mut TcpStream,
        place: &str,
        deadline: &Deadline,
        stop: &Stop,
    ) -> Result<ClientConnection, HandshakeError> {
        let failed = |error: io::Error| HandshakeError::Disagreed(handshake_error(place, &self.host, &error));
        let mut session = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(|error| failed(io::Error::other(error)))?;
        while session.is_handshaking() {
            deadline.check(place, "TLS handshake", stop).map_err(HandshakeError::GaveUp)?;
            let tick = Some(deadline.tick());
            tcp.set_read_timeout(tick).and_then(|()| tcp.set_write_timeout(tick)).map_err(failed)?;
            match exchange(&mut session, tcp) {
                Ok(()) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(session)
    }
}

/// One write or one read of what TLS itself has to say, so that the deadline is looked at between any two.
pub(super) fn exchange(session: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    if session.wants_write() {
        return session.write_tls(tcp).map(|_| ());
    }
    if session.read_tls(tcp)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if let Err(error) = session.process_new_packets() {
        // The alert that tells the server why is a courtesy: what matters is the error.
        if let Err(unsent) = session.write_tls(tcp) {
            log::debug!("cannot send a TLS alert: {unsent}");
        }
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    Ok(())
}

/// A broken connection may be a restart of the server; a disagreement about TLS stays.
fn handshake_error(place: &str, host: &str, error: &io::Error) -> SourceError {
    let kind = match error.get_ref() {
        Some(inner) if inner.is::<TlsError>() => Kind::Refused,
        _ => Kind::Retry,
    };
    let explained = explain(error, host);
    let told =
        SourceError::new(Code::Tls, kind, place, format!("the TLS handshake failed: {}", explained.cause));
    match explained.advice {
        Some(advice) => told.advise(advice),
        None => told,
    }
}

/// The error of a read that TLS 1.3 servers use to refuse our certificate; none for any other.
pub(super) fn late_refusal(place: &str, error: &io::Error) -> Option<SourceError> {
    let cause = explain::late_refusal(error)?;
    Some(SourceError::refused(Code::Tls, place, cause).advise(CERTIFICATE_ADVICE))
}

fn client_config(tls: &TlsConfig) -> Result<ClientConfig, String> {
    let provider = Arc::new(default_provider());
    let verifier = verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&tls.cert, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let certificates = certificates("mysql_ssl_cert", cert)?;
            let private_key = private_key("mysql_ssl_key", key)?;
            builder.with_client_auth_cert(certificates, private_key).map_err(|error| match error {
                TlsError::InconsistentKeys(_) => format!(
                    "the key of mysql_ssl_key {} is not that of the certificate of mysql_ssl_cert {}",
                    key.display(),
                    cert.display()
                ),
                other => format!("mysql_ssl_cert and mysql_ssl_key do not work together: {other}"),
            })
        }
        _ => Err("mysql_ssl_cert and mysql_ssl_key need each other".to_string()),
    }
}

fn verifier(tls: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let verifying = matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
    let ca = match (&tls.ca, verifying) {
        (None, false) => {
            let proves_key = tls.mode == TlsMode::VerifyPassword;
            return Ok(Arc::new(AnyCertificate { provider: provider.clone(), proves_key }));
        }
        (Some(_), false) => {
            return Err(format!(
                "mysql_ssl_ca has no effect with mysql_ssl_mode={}; set verify_ca or verify_identity, or leave it out",
                tls.mode.word()
            ));
        }
        (None, true) => return Err(format!("mysql_ssl_mode={} needs mysql_ssl_ca", tls.mode.word())),
        (Some(ca), true) => ca,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("mysql_ssl_ca", ca)? {
        roots.add(certificate).map_err(|error| format!("mysql_ssl_ca {}: {error}", ca.display()))?;
    }
    let roots = Arc::new(roots);
    let full = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| format!("mysql_ssl_ca {}: {error}", ca.display()))?;
    Ok(match tls.mode {
        TlsMode::VerifyCa => Arc::new(AnyName { full, roots, provider: provider.clone() }),
        _ => full,
    })
}

/// Takes any certificate.
///
/// For `preferred` and `required`, which promise secrecy from listeners and nothing about who the server is, not even the
/// handshake's signature is checked: it proves nothing for an unknown certificate, and the check refuses X.509 v1
/// certificates, which many hand-made ones are.
///
/// For `verify_password` the server proves at the end of the login that the certificate is its own. That it holds the
/// certificate's key must show here: a certificate alone anybody can copy.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    /// The server must hold the certificate's key.
    proves_key: bool,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if !self.proves_key {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if !self.proves_key {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// For `verify_ca`: everything but the name, which the certificates that MySQL makes for itself do not carry.
#[derive(Debug)]
struct AnyName {
    full: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.full.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.full.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.full.supported_verify_schemes()
    }
}

/// Both ends of an encrypted connection.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::code::Code;
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    use aws_lc_rs::signature::EcdsaKeyPair;
    use rustls::ServerConfig;
    use rustls::ServerConnection;
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::server::ClientHello;
    use rustls::server::ResolvesServerCert;
    use rustls::sign::CertifiedKey;
    use std::time::Duration;

    /// A certificate that only those take who do not look at it.
    #[derive(Debug)]
    struct NoCertificate(Arc<CertifiedKey>);

    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }

    pub(crate) fn server_session() -> ServerConnection {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der.as_ref()));
        let certificate = CertificateDer::from(vec![0; 8]);
        let certified = CertifiedKey::new(vec![certificate], any_supported_type(&key).unwrap());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(NoCertificate(Arc::new(certified))));
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    pub(crate) fn client_session(config: &SourceConfig, tcp: &mut TcpStream) -> ClientConnection {
        let tls = Tls::prepare(config).unwrap().unwrap();
        let deadline = Deadline::after(Duration::from_secs(10));
        tls.handshake(tcp, "test", &deadline, &Stop::new()).map_err(|_| Code::Tls).unwrap()
    }
}
