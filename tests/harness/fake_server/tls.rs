//! The fake server's encrypted side, by the certificates of tests/certificates.

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use std::io::Read;
use std::io::Result;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

pub static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A file of tests/certificates.
pub fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// What a server with that certificate (`server-v1` is `server-v1.pem`) speaks.
pub struct TlsServer {
    pub certificate: &'static str,
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// Whether it takes clients only that show a certificate of `ca.pem`.
    pub asks_for_certificates: bool,
}

impl TlsServer {
    pub fn new(certificate: &'static str) -> Self {
        Self { certificate, versions: rustls::ALL_VERSIONS, asks_for_certificates: false }
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .expect("versions that rustls speaks");
        let builder = if self.asks_for_certificates {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(certificate("ca.pem")).expect("the CA");
            roots.add(ca).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = if self.certificate == "server-1024" { "server-1024-key.pem" } else { "server-key.pem" };
        let key = PrivateKeyDer::from_pem_file(certificate(key)).expect("the key");
        let chain = certificate(&format!("{}.pem", self.certificate));
        let chain = vec![CertificateDer::from_pem_file(chain).expect("the certificate")];
        // `with_single_cert` would look at the certificate, which a bad one must not keep from being shown.
        let key = provider_key(key);
        let certified = rustls::sign::CertifiedKey::new(chain, key);
        Arc::new(builder.with_cert_resolver(Arc::new(Always(Arc::new(certified)))))
    }
}

fn provider_key(key: PrivateKeyDer<'static>) -> Arc<dyn rustls::sign::SigningKey> {
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key that can sign")
}

#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// One connection's bytes, in clear or not.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// What is read and written from now on is encrypted; the handshake comes with the first of either.
    pub fn encrypt(&mut self, config: Arc<ServerConfig>) {
        let Wire::Plain(tcp) = self else { panic!("TLS inside TLS") };
        let tcp = tcp.try_clone().expect("a second handle of the socket");
        let session = ServerConnection::new(config).expect("a TLS session");
        *self = Wire::Tls(Box::new(StreamOwned::new(session, tcp)));
    }

    /// A TLS 1.3 KeyUpdate.
    pub fn refresh_keys(&mut self) {
        let Wire::Tls(tls) = self else { panic!("there are no keys to refresh") };
        tls.conn.refresh_traffic_keys().expect("TLS 1.3");
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.read(into),
            Wire::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.write(bytes),
            Wire::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Wire::Plain(tcp) => tcp.flush(),
            Wire::Tls(tls) => tls.flush(),
        }
    }
}
