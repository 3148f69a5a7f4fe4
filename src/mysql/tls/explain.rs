//! What a failed handshake means, and what to do about it: the usual causes in words, rustls' own else.

use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::Error as TlsError;
use rustls::InvalidMessage;
use rustls::PeerIncompatible;
use std::io;
use std::io::ErrorKind;

/// A cause, and its cure where there is one.
pub(super) struct Explained {
    pub(super) cause: String,
    pub(super) advice: Option<String>,
}

impl Explained {
    fn new(cause: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { cause: cause.into(), advice: Some(advice.into()) }
    }

    fn bare(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), advice: None }
    }
}

/// `host` is what the certificate should name.
pub(super) fn explain(error: &io::Error, host: &str) -> Explained {
    if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
        return Explained::new(
            "the server closed the connection",
            "its error log may say why; a server of before 2018 may know no TLS newer than 1.1",
        );
    }
    match tls_error(error) {
        Some(TlsError::InvalidCertificate(cause)) => explain_certificate(cause, host),
        // MySQL 5.6 with yaSSL answers with an alert of TLS version 0.0.
        Some(
            TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
            | TlsError::AlertReceived(AlertDescription::ProtocolVersion)
            | TlsError::InvalidMessage(InvalidMessage::UnknownProtocolVersion),
        ) => Explained::new(
            "the server knows no TLS newer than 1.1 (MySQL 5.6 and early 5.7 do not)",
            "fountain speaks TLS 1.2 and 1.3: upgrade the server or widen its tls_version, lead the connection through \
             a tunnel (ssh, stunnel), or set mysql_ssl_mode=disabled where the network can be trusted",
        ),
        Some(
            TlsError::AlertReceived(AlertDescription::HandshakeFailure)
            | TlsError::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        ) => Explained::new(
            "the server takes none of our ciphers",
            "allow one of ECDHE with AES-GCM or CHACHA20-POLY1305 in the server's ssl_cipher",
        ),
        Some(TlsError::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            Explained::new(refused_certificate(*alert), CERTIFICATE_ADVICE)
        }
        Some(other) => Explained::bare(other.to_string()),
        None => Explained::bare(error.to_string()),
    }
}

/// What to do when the server does not take our certificate.
pub(super) const CERTIFICATE_ADVICE: &str = "mysql_ssl_cert must be valid now and come from a CA of the server's ssl_ca; without need for one, leave it out";

/// In TLS 1.3 our side of the handshake is over before the server has looked at our certificate: its refusal comes as
/// an alert where the answer to the login is awaited.
pub(super) fn late_refusal(error: &io::Error) -> Option<String> {
    match tls_error(error) {
        Some(TlsError::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            Some(refused_certificate(*alert))
        }
        _ => None,
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>())
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn refused_certificate(alert: AlertDescription) -> String {
    format!("the server does not take our certificate ({alert:?})")
}

fn explain_certificate(cause: &CertificateError, host: &str) -> Explained {
    match cause {
        CertificateError::UnknownIssuer => Explained::new(
            "the server's certificate does not come from a CA of mysql_ssl_ca",
            "put the certificate of the CA that signed it there (several may stand in one file)",
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => Explained::new(
            "the server's certificate names no host: it has no subject alternative names, as those that servers make \
             for themselves",
            format!(
                "give the server a certificate with subjectAltName={}, or set mysql_ssl_mode=verify_ca, which checks \
                 the CA alone",
                alternative_name(host)
            ),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => Explained::new(
            format!("the server's certificate is made out for {}, not for {host}", names(presented)),
            "use one of those names as the server's address, or set mysql_ssl_mode=verify_ca, which checks the CA alone",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Explained::new(
            "the server's certificate has expired",
            "renew it on the server, and look at this machine's clock",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Explained::new("the server's certificate is not valid yet", "look at this machine's clock")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        | CertificateError::BadSignature => Explained::new(
            "the server's certificate cannot be verified: it has a weak or unusual key or signature (RSA below 2048 \
             bits, SHA-1), or none that fits",
            "make it anew with RSA of 2048 bits or more, or ECDSA, and SHA-256",
        ),
        // rustls has no names of its own for these.
        other => match format!("{other:?}") {
            text if text.contains("UnsupportedCertVersion") => Explained::new(
                "the server's certificate is of X.509 version 1, which cannot be verified",
                "make it anew with extensions (openssl x509 -req -extfile …), or set mysql_ssl_mode=required, which \
                 encrypts and verifies nothing",
            ),
            text if text.contains("CaUsedAsEndEntity") => Explained::new(
                "the server shows a CA's own certificate, which cannot be verified as a server's",
                "give the server a certificate that a CA has signed, or set mysql_ssl_mode=required, which encrypts \
                 and verifies nothing",
            ),
            text => Explained::bare(format!("the server's certificate cannot be verified: {text}")),
        },
    }
}

/// As `openssl` takes it.
fn alternative_name(host: &str) -> String {
    let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!("{kind}:{host}")
}

/// rustls tells them as `DnsName("db1")`; a long list is cut.
fn names(presented: &[String]) -> String {
    let shown: Vec<String> = presented.iter().take(5).map(|name| plain_name(name)).collect();
    let more = if presented.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect()
}
