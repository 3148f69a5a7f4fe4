//! The table of the matrix test, cell by cell.

/// A row is a server, an account's login and the dump strategies; six columns say what comes of it by TLS mode:
/// `tls`, `plain`, or the code of the refusal.
///
/// Servers: `…-gtid` has GTIDs. The certificate comes from the CA that the verifying modes are given and names the
/// host, but for: mysql56 (which has it, and TLS 1.0 alone), mariadb-tls11 (TLS 1.1 alone), mariadb-rsa1024 (a weak
/// certificate), mariadb118 (the certificate that it makes for itself), mysql97-no-tls.
///
/// Logins: `+empty` no password, `+unicode` letters beyond ASCII, `+long` a password of 250 bytes, `+longer` of 300, `+wrong` another
/// one than the server's, `+ssl` REQUIRE SSL, `+x509` REQUIRE X509 with a certificate of ours, `-x509` without one,
/// `+subject` REQUIRE SUBJECT.
pub const TABLE: &str = "
server           login                            strategies          disabled          preferred         required          verify_ca         verify_identity   verify_password

mysql97-gtid     caching_sha2_password            auto,gtid,position  plain             tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password            ares                UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       TLS
mysql97-gtid     caching_sha2_password+empty      auto                plain             tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password+unicode    auto                plain             tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password+long       auto                AUTH_UNSUPPORTED  tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password+wrong      auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     TLS
mysql97-gtid     caching_sha2_password+ssl        auto                ACCESS_DENIED     tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password+x509       auto                ACCESS_DENIED     tls               tls               tls               tls               TLS
mysql97-gtid     caching_sha2_password-x509       auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     TLS
mysql97-gtid     caching_sha2_password+subject    auto                ACCESS_DENIED     tls               tls               tls               tls               TLS
mysql97-gtid     sha256_password                  auto,gtid,position  plain             tls               tls               tls               tls               TLS
mysql97-gtid     sha256_password+empty            auto                plain             tls               tls               tls               tls               TLS
mysql97-gtid     sha256_password+long             auto                AUTH_UNSUPPORTED  tls               tls               tls               tls               TLS
mysql97-gtid     mysql_no_login                   auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED
mysql97-no-tls   caching_sha2_password            auto,position       plain             plain             TLS               TLS               TLS               TLS
mysql97-no-tls   caching_sha2_password            gtid                UNSUPPORTED       UNSUPPORTED       TLS               TLS               TLS               TLS
mysql97-no-tls   sha256_password                  auto                plain             plain             TLS               TLS               TLS               TLS

mysql56          mysql_native_password            auto,position       plain             plain             TLS               TLS               TLS               TLS
mysql56          mysql_native_password            gtid                UNSUPPORTED       UNSUPPORTED       TLS               TLS               TLS               TLS
mysql56          mysql_native_password            ares                UNSUPPORTED       UNSUPPORTED       TLS               TLS               TLS               TLS
mysql56          mysql_native_password+empty      auto                plain             plain             TLS               TLS               TLS               TLS
mysql56          mysql_native_password+longer     auto                plain             plain             TLS               TLS               TLS               TLS
mysql56          sha256_password+empty            auto                plain             plain             TLS               TLS               TLS               TLS
mysql56          sha256_password                  auto                ACCESS_DENIED     ACCESS_DENIED     TLS               TLS               TLS               TLS
mysql56          mysql_old_password               auto                AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  TLS               TLS               TLS               TLS
mysql56-gtid     mysql_native_password            auto,gtid,position  plain             plain             TLS               TLS               TLS               TLS

mariadb          mysql_native_password            auto,gtid,position  plain             tls               tls               tls               tls               TLS
mariadb          mysql_native_password            ares                UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       UNSUPPORTED       TLS
mariadb          mysql_native_password+x509       auto                ACCESS_DENIED     tls               tls               tls               tls               TLS
mariadb          mysql_native_password-x509       auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED
mariadb          ed25519                          auto,gtid,position  plain             tls               tls               tls               tls               TLS
mariadb          ed25519+unicode                  auto                plain             tls               tls               tls               tls               TLS
mariadb          ed25519+longer                   auto                plain             tls               tls               tls               tls               TLS
mariadb          ed25519+wrong                    auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED
mariadb          ed25519,mysql_native_password    auto                plain             tls               tls               tls               tls               TLS
mariadb          unix_socket,ed25519              auto                plain             tls               tls               tls               tls               TLS
mariadb          unix_socket                      auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED
mariadb          mysql_old_password               auto                AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
mariadb-tls11    mysql_native_password            auto                plain             plain             TLS               TLS               TLS               TLS
mariadb-rsa1024  ed25519                          auto                plain             tls               tls               TLS               TLS               TLS

mariadb118       mysql_native_password            auto,gtid,position  plain             tls               tls               TLS               TLS               tls
mariadb118       ed25519                          auto,gtid,position  plain             tls               tls               TLS               TLS               tls
mariadb118       ed25519+empty                    auto                plain             tls               tls               TLS               TLS               TLS
mariadb118       parsec                           auto,gtid,position  plain             tls               tls               TLS               TLS               tls
mariadb118       parsec+empty                     auto                plain             tls               tls               TLS               TLS               TLS
mariadb118       parsec+unicode                   auto                plain             tls               tls               TLS               TLS               tls
mariadb118       parsec+longer                    auto                plain             tls               tls               TLS               TLS               tls
mariadb118       parsec+wrong                     auto                ACCESS_DENIED     ACCESS_DENIED     ACCESS_DENIED     TLS               TLS               ACCESS_DENIED
mariadb118       parsec+ssl                       auto                ACCESS_DENIED     tls               tls               TLS               TLS               tls
mariadb118       caching_sha2_password            auto,gtid,position  plain             tls               tls               TLS               TLS               TLS
mariadb118       caching_sha2_password+empty      auto                plain             tls               tls               TLS               TLS               TLS

fake             mysql_clear_password             gtid,position       AUTH_UNSUPPORTED  tls               tls               tls               tls               TLS
fake             dialog                           gtid,position       AUTH_UNSUPPORTED  tls               tls               tls               tls               TLS
fake             dialog,two-questions             position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  TLS
fake             native,then-clear                position            AUTH_UNSUPPORTED  tls               tls               tls               tls               TLS
fake             second-factor                    position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             authentication_webauthn_client   position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             authentication_ldap_sasl_client  position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             authentication_kerberos_client   position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             auth_gssapi_client               position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             auth_named_pipe                  position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake             mysql_old_password               position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  AUTH_UNSUPPORTED
fake-5.1         mysql_native_password            position            plain             plain             TLS               TLS               TLS               TLS
fake-5.1         mysql_old_password               position            AUTH_UNSUPPORTED  AUTH_UNSUPPORTED  TLS               TLS               TLS               TLS

fake-ares        mysql_native_password            ares,auto,position  plain             plain             TLS               TLS               TLS               TLS
fake-ares        mysql_native_password            gtid                UNSUPPORTED       UNSUPPORTED       TLS               TLS               TLS               TLS
";

pub const MODES: [&str; 6] =
    ["disabled", "preferred", "required", "verify_ca", "verify_identity", "verify_password"];
pub const PASSWORD: &str = "pass word";
/// In the one row that every cell must bring.
pub const MARKER: &str = "told";

/// One connection to be made.
pub struct Cell {
    pub login: String,
    pub strategy: String,
    pub mode: &'static str,
    pub expected: String,
}

impl Cell {
    /// The server's side of the login, without what is said of password and certificate.
    pub fn method(&self) -> &str {
        self.login.split(['+', '-']).next().expect("a first part")
    }

    pub fn is(&self, variant: &str) -> bool {
        self.login.ends_with(variant)
    }

    pub fn password(&self) -> String {
        match self.login.split_once('+').map(|(_, variant)| variant) {
            Some("empty") => String::new(),
            Some("unicode") => "pässwörd 😀".to_owned(),
            // MySQL's limit is 256, and over RSA 214. From 251 on a length takes more than one byte on the wire.
            Some("long") => "0123456789".repeat(25),
            Some("longer") => "0123456789".repeat(30),
            _ => PASSWORD.to_owned(),
        }
    }

    pub fn require(&self) -> &'static str {
        match self.login.as_str() {
            login if login.ends_with("x509") => "REQUIRE X509",
            login if login.ends_with("+ssl") => "REQUIRE SSL",
            login if login.ends_with("+subject") => "REQUIRE SUBJECT '/O=fountain/CN=replica'",
            _ => "",
        }
    }

    pub fn name(&self) -> String {
        format!("{} {} {}", self.login, self.strategy, self.mode)
    }
}

/// The table's cells for one server.
pub fn cells(server: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in TABLE.lines().skip(2).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [this, login, strategies, outcomes @ ..] = words.as_slice() else { panic!("{row}") };
        assert_eq!(outcomes.len(), MODES.len(), "{row}");
        if *this != server {
            continue;
        }
        for strategy in strategies.split(',') {
            for (mode, expected) in MODES.into_iter().zip(outcomes) {
                let (login, strategy) = ((*login).to_owned(), strategy.to_owned());
                cells.push(Cell { login, strategy, mode, expected: (*expected).to_owned() });
            }
        }
    }
    assert!(!cells.is_empty(), "{server} is not in the table");
    cells
}
