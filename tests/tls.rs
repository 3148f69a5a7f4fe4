//! TLS as the modes promise it, against certificates and keys of every kind. The real servers' part is tests/matrix.rs.

#[path = "harness/fake_server.rs"]
mod fake_server;

use fake_server::Act;
use fake_server::FakeServer;
use fake_server::NONCE;
use fake_server::Script;
use fake_server::tls::TLS12;
use fake_server::tls::TLS13;
use fake_server::tls::TlsServer;
use fake_server::tls::certificate;
use fountain::code::Code;
use fountain::mysql::BinlogStream;
use fountain::mysql::Connection;
use fountain::mysql::DumpRequest;
use fountain::mysql::ErrorKind;
use fountain::mysql::Poll;
use fountain::mysql::SourceConfig;
use fountain::mysql::SourceError;
use fountain::mysql::TlsMode;
use fountain::stop::Stop;
use fountain::wire::proof::certificate_proof;
use fountain::wire::proof::native_stored;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::Digest;
use sha2::Sha256;
use std::net::TcpListener;
use std::time::Duration;

fn script(tls: &TlsServer) -> Script {
    Script { tls: Some(tls.config()), ..Script::default() }
}

fn mode(word: &str) -> TlsMode {
    match word {
        "preferred" => TlsMode::Preferred,
        "required" => TlsMode::Required,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_identity" => TlsMode::VerifyIdentity,
        other => panic!("{other}"),
    }
}

fn open(config: &SourceConfig) -> Result<Connection, SourceError> {
    Connection::open(config, &Stop::new())
}

/// One row a cell: the server's certificate, the mode, the CA's file, the host as configured, and what comes of it:
/// `encrypted`, or words of the refusal.
const CERTIFICATES: &str = "
    server                 preferred        -             127.0.0.1  encrypted
    server                 required         -             127.0.0.1  encrypted
    server                 verify_ca        ca.pem        127.0.0.1  encrypted
    server                 verify_ca        both-cas.pem  127.0.0.1  encrypted
    server                 verify_identity  ca.pem        127.0.0.1  encrypted
    server                 verify_identity  both-cas.pem  localhost  encrypted
    server                 verify_ca        other-ca.pem  127.0.0.1  does not come from a CA of mysql_ssl_ca
    server                 verify_identity  other-ca.pem  localhost  does not come from a CA of mysql_ssl_ca
    server-other-name      required         -             127.0.0.1  encrypted
    server-other-name      verify_ca        ca.pem        127.0.0.1  encrypted
    server-other-name      verify_identity  ca.pem        localhost  is made out for db1.example.org, 192.0.2.7, not for localhost
    server-other-name      verify_identity  ca.pem        127.0.0.1  is made out for db1.example.org, 192.0.2.7, not for 127.0.0.1
    server-without-names   preferred        -             localhost  encrypted
    server-without-names   verify_ca        ca.pem        localhost  encrypted
    server-without-names   verify_identity  ca.pem        localhost  give the server a certificate with subjectAltName=DNS:localhost
    server-without-names   verify_identity  ca.pem        127.0.0.1  give the server a certificate with subjectAltName=IP:127.0.0.1
    server-v1              preferred        -             localhost  encrypted
    server-v1              required         -             localhost  encrypted
    server-v1              verify_ca        ca.pem        localhost  is of X.509 version 1
    server-v1              verify_identity  ca.pem        localhost  is of X.509 version 1
    server-expired         required         -             localhost  encrypted
    server-expired         verify_ca        ca.pem        localhost  has expired
    server-expired         verify_identity  ca.pem        localhost  has expired
    ca                     required         -             localhost  encrypted
    ca                     verify_ca        ca.pem        localhost  shows a CA's own certificate
";

#[test]
fn each_certificate_in_each_mode() {
    for versions in [TLS12, TLS13] {
        for row in CERTIFICATES.trim().lines() {
            let mut words = row.split_whitespace();
            let mut word = || words.next().expect("five columns");
            let (name, mode_word, ca, host) = (word(), word(), word(), word());
            let expected = words.collect::<Vec<_>>().join(" ");
            if name == "ca" && versions == TLS12 {
                // Its key is not the server's: in TLS 1.2 the server could not even begin.
                continue;
            }
            let server = FakeServer::start(script(&TlsServer { versions, ..TlsServer::new(name) }));
            let mut config = server.config();
            config.host = host.to_string();
            config.tls.mode = mode(mode_word);
            config.tls.ca = (ca != "-").then(|| certificate(ca));
            let context = format!("{row} {versions:?}");
            match open(&config) {
                Ok(mut connection) => {
                    connection.ping().unwrap();
                    assert_eq!(expected, "encrypted", "{context}");
                    let version = format!("{:?}", versions[0].version);
                    assert_eq!(connection.tls_version(), Some(version), "{context}");
                }
                Err(error) => {
                    assert_eq!(
                        (error.code(), error.kind()),
                        (Code::Tls, ErrorKind::Refused),
                        "{context}: {error}"
                    );
                    assert!(error.to_string().contains(&expected), "{context}: {error}");
                }
            }
        }
    }
}

/// Files for our own certificate and its key, and what is said where they do not work.
#[test]
fn our_own_certificate_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let half = std::fs::read(certificate("client-key.pem")).unwrap();
    let half = written("half.pem", &half[..half.len() / 2]);
    let text = written("text.pem", b"no certificate at all");
    let noise = written("noise.pem", b"-----BEGIN CERTIFICATE-----\n?!\n-----END CERTIFICATE-----\n");
    let file = certificate;
    let server =
        FakeServer::start(script(&TlsServer { asks_for_certificates: true, ..TlsServer::new("server") }));
    let cases = [
        (file("client.pem"), file("client-key.pem"), ""),
        (file("client.pem"), file("client-key-pkcs1.pem"), ""),
        (file("client-ec.pem"), file("client-ec-key.pem"), ""),
        (file("client.pem"), file("client-ec-key.pem"), "is not that of the certificate of mysql_ssl_cert"),
        (file("client.pem"), file("client-key-encrypted.pem"), "the key is encrypted"),
        (file("client.pem"), file("client-key-encrypted-pkcs1.pem"), "the key is encrypted"),
        (file("client.pem"), file("no-such.pem"), "no-such.pem: cannot be read: No such file"),
        (file("client.pem"), file("."), "cannot be read: Is a directory"),
        (file("client.pem"), file("client.pem"), "holds no private key in PEM form"),
        (file("client.pem"), half, "is cut"),
        (file("client.der"), file("client-key.pem"), "openssl x509 -inform der"),
        (text, file("client-key.pem"), "holds no certificate in PEM form"),
        (noise, file("client-key.pem"), "what it holds is no PEM"),
    ];
    for (cert, key, words) in cases {
        let mut config = server.config();
        config.tls.mode = TlsMode::Required;
        (config.tls.cert, config.tls.key) = (Some(cert.clone()), Some(key.clone()));
        match open(&config) {
            Ok(mut connection) => {
                connection.ping().unwrap();
                assert_eq!(words, "", "{cert:?} {key:?}");
            }
            Err(error) => {
                assert_eq!((error.code(), error.kind()), (Code::Tls, ErrorKind::Refused), "{error}");
                assert!(!words.is_empty() && error.to_string().contains(words), "{cert:?} {key:?}: {error}");
            }
        }
    }
}

/// In TLS 1.3 the refusal comes when our side of the handshake is over, or only as a closed connection.
#[test]
fn a_server_that_does_not_take_our_certificate_is_understood() {
    for versions in [TLS12, TLS13] {
        let tls = TlsServer { versions, asks_for_certificates: true, ..TlsServer::new("server") };
        let server = FakeServer::start(script(&tls));
        for cert in [Some("client-of-other-ca.pem"), None] {
            let mut config = server.config();
            config.tls.mode = TlsMode::Required;
            config.tls.cert = cert.map(certificate);
            config.tls.key = cert.map(|_| certificate("client-key.pem"));
            let error = open(&config).unwrap_err();
            let text = error.to_string();
            if error.code() == Code::Tls {
                assert!(text.contains("does not take our certificate"), "{text}");
                assert!(text.contains("mysql_ssl_cert must be valid now and come from a CA"), "{text}");
            } else {
                assert_eq!((error.code(), versions), (Code::ConnectionLost, TLS13), "{text}");
                assert_eq!(
                    text.contains("refused the certificate of mysql_ssl_cert"),
                    cert.is_some(),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn new_keys_in_mid_stream_lose_nothing() {
    let event = |size: usize| {
        let mut event = vec![0, 0, 0, 0, 30, 56, 0, 0, 0];
        event.extend((size as u32).to_le_bytes());
        event.extend((event.len()..size).map(|i| i as u8));
        event
    };
    let sizes = [40, 100_000, 19, 3_000_000, 500];
    let acts = sizes.iter().flat_map(|size| [Act::RefreshKeys, Act::Event(event(*size)), Act::RefreshKeys]);
    let server = FakeServer::start(script(&TlsServer::new("server")).dump(acts));
    let mut config = server.config();
    (config.tls.mode, config.tls.ca) = (TlsMode::VerifyIdentity, Some(certificate("ca.pem")));
    let request = DumpRequest::Position { file: "mysql-bin.000001".into(), pos: 4 };
    let mut stream = BinlogStream::start(open(&config).unwrap(), &request).unwrap();
    for size in sizes {
        let got = loop {
            match stream.poll(Duration::from_secs(1)).unwrap() {
                Poll::Event(event) => break event.to_vec(),
                Poll::Idle => {}
                Poll::End => panic!("the end"),
            }
        };
        assert!(got == event(size), "an event of {size} bytes");
    }
}

#[test]
fn an_ipv6_address_is_an_identity() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let server = FakeServer::serve(listener, vec![script(&TlsServer::new("server"))]);
    for host in ["::1", "[::1]"] {
        let mut config = server.config();
        (config.host, config.port) = (host.to_string(), port);
        (config.tls.mode, config.tls.ca) = (TlsMode::VerifyIdentity, Some(certificate("ca.pem")));
        open(&config).unwrap().ping().unwrap();
    }
}

/// MariaDB's final OK proves that the server knows the password and that the certificate is its own.
#[test]
fn a_server_without_a_ca_proves_itself_by_the_password() {
    let der = |name: &str| {
        let bytes = std::fs::read(certificate(name)).unwrap();
        CertificateDer::from_pem_slice(&bytes).unwrap().to_vec()
    };
    let fingerprint = |name: &str| Sha256::digest(der(name)).into();
    let ok = |info: &[u8]| {
        let mut ok = vec![0, 0, 0, 2, 0, 0, 0];
        if !info.is_empty() {
            ok.push(info.len() as u8);
            ok.extend(info);
        }
        ok
    };
    let proof = |password: &str, name: &str| {
        let stored = native_stored(password.as_bytes());
        ok(&certificate_proof(&stored, NONCE, &fingerprint(name)))
    };
    let answers = [
        (proof("replpw", "server.pem"), true),
        // Somebody in between hands on the real server's proof, and has a certificate of his own.
        (proof("replpw", "server-v1.pem"), false),
        (proof("a guess", "server.pem"), false),
        (ok(b""), false),
        (ok(b"\x01"), false),
        (ok(b"Welcome"), false),
    ];
    for (answer, proved) in answers {
        let script = Script { login: Some(Act::Packet(answer.clone())), ..script(&TlsServer::new("server")) };
        let server = FakeServer::start(script);
        let mut config = server.config();
        config.tls.mode = TlsMode::VerifyPassword;
        match open(&config) {
            Ok(mut connection) => {
                connection.ping().unwrap();
                assert!(proved, "{answer:?}");
            }
            Err(error) => {
                assert_eq!(
                    (proved, error.code(), error.kind()),
                    (false, Code::Tls, ErrorKind::Refused),
                    "{error}"
                );
                assert!(
                    error.to_string().contains("has not proved that its certificate is its own"),
                    "{error}"
                );
            }
        }
    }
    // What could be used by somebody who poses as the server is not sent.
    for (method, rest) in
        [("caching_sha2_password", &b"abcdefghijklmnopqrst\0"[..]), ("mysql_clear_password", b"")]
    {
        let switch = [&[0xfe], method.as_bytes(), &[0], rest].concat();
        let script = Script { exchanges: vec![(switch, Vec::new())], ..script(&TlsServer::new("server")) };
        let server = FakeServer::start(script);
        let mut config = server.config();
        config.tls.mode = TlsMode::VerifyPassword;
        let error = open(&config).unwrap_err();
        assert!(
            error.to_string().contains(&format!("by the login method {method} no server can prove")),
            "{error}"
        );
        config.password = Default::default();
        assert!(open(&config).unwrap_err().to_string().contains("needs an account with a password"));
    }
}

/// After a handshake that fails `preferred` goes on in clear, once and with the password unsaid; no other mode does.
#[test]
fn only_preferred_goes_on_without_tls() {
    let tls = TlsServer { asks_for_certificates: true, versions: TLS12, ..TlsServer::new("server") };
    for word in ["preferred", "required", "verify_ca", "verify_identity"] {
        let server = FakeServer::start(script(&tls));
        let mut config = server.config();
        config.tls.mode = mode(word);
        config.tls.ca = word.starts_with("verify").then(|| certificate("ca.pem"));
        match open(&config) {
            Ok(connection) => {
                assert_eq!((word, connection.tls_version()), ("preferred", None));
            }
            Err(error) => assert!(word != "preferred" && error.code() == Code::Tls, "{word}: {error}"),
        }
    }
    // A method that sends the password itself is not used then.
    let switch = b"\xfemysql_clear_password\0".to_vec();
    let script = Script { exchanges: vec![(switch, b"replpw\0".to_vec())], ..script(&tls) };
    let server = FakeServer::start(script);
    let error = open(&server.config()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::AuthUnsupported, ErrorKind::Refused), "{error}");
    assert!(error.to_string().contains("mysql_clear_password sends the password itself"), "{error}");
}
