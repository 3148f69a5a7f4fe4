//! The login: which packets go back and forth until the server has accepted an account, and what a login that cannot
//! be made means for the person who has to cure it.

use super::config::TlsMode;
use super::error::SourceError;
use super::link::Link;
use super::refusal::When;
use super::stream::Deadline;
use crate::code::Code;
use crate::wire::auth::AuthError;
use crate::wire::auth::AuthStep;
use crate::wire::auth::Authenticator;
use crate::wire::capability::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
use crate::wire::capability::CLIENT_SSL;
use crate::wire::capability::COLLATION_UTF8;
use crate::wire::capability::COLLATION_UTF8MB4;
use crate::wire::handshake::LoginRequest;

/// The most packets that a login may take from the server: a MariaDB account may list several methods, which are tried
/// one after the other.
const LOGIN_ROUNDS: usize = 16;
/// The longest proof that fits into a login packet of servers before 5.6.
const SHORT_PROOF: usize = 255;

impl Link {
    /// Proves the password; `encrypted` says whether the connection is.
    pub(super) fn log_in(&mut self, encrypted: bool, deadline: &Deadline) -> Result<(), SourceError> {
        let password = self.config.password.reveal().as_bytes();
        let mut auth =
            Authenticator::new(password, &self.greeting.auth_plugin, &self.greeting.nonce, encrypted);
        let by_password = self.config.tls.mode == TlsMode::VerifyPassword;
        if by_password {
            auth = auth.for_unproven_server();
        }
        let login = LoginRequest {
            capabilities: self.capabilities() | if encrypted { CLIENT_SSL } else { 0 },
            collation: self.collation(),
            user: self.config.user.as_bytes().to_vec(),
            auth_response: auth.proof(),
            auth_plugin: auth.plugin().name().to_string(),
            attributes: vec![
                ("program_name".to_string(), "fountain".to_string()),
                ("_client_version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
            ],
        };
        self.check_login(&login)?;
        self.send_packet(&login.encode(), "login", deadline)?;
        for _ in 0..LOGIN_ROUNDS {
            self.await_packet("answer to the login", deadline)?;
            match auth.on_packet(self.frames.packet()) {
                Ok(AuthStep::Send(payload)) => self.send_packet(&payload, "login", deadline)?,
                Ok(AuthStep::Wait) => {}
                Ok(AuthStep::Done) if by_password => return self.check_proof(&auth),
                Ok(AuthStep::Done) => return Ok(()),
                Ok(AuthStep::Refused(error)) => return Err(self.server_error(When::Login, &error)),
                Err(error) => return Err(self.auth_error(&error)),
            }
        }
        Err(SourceError::protocol(&self.place, "answer to the login", &"it does not end"))
    }

    /// For `verify_password`: the account is logged in; whether the server is the right one shows now.
    fn check_proof(&self, auth: &Authenticator) -> Result<(), SourceError> {
        let proved = match self.certificate_fingerprint() {
            Some(fingerprint) => auth.has_proved(self.frames.packet(), &fingerprint),
            None => Ok(false),
        };
        match proved {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = "the server has not proved that its certificate is its own: somebody may stand in between";
                Err(SourceError::refused(Code::Tls, &self.place, text).advise(
                    "mysql_ssl_mode=verify_password is for MariaDB 11.4 and later, without a proxy that encrypts \
                     anew; else set verify_ca or verify_identity",
                ))
            }
            Err(error) => Err(self.auth_error(&error)),
        }
    }

    /// For the texts of statements and answers. A server that does not know our collation takes its own instead.
    pub(super) fn collation(&self) -> u8 {
        match version(&self.greeting.server_version) {
            (5, 0..=4) | (..=4, _) => COLLATION_UTF8,
            _ => COLLATION_UTF8MB4,
        }
    }

    /// What would make another packet of the login than the one that is meant.
    fn check_login(&self, login: &LoginRequest) -> Result<(), SourceError> {
        if login.user.contains(&0) {
            let text = "mysql_username holds a zero byte, which no account's name can";
            return Err(SourceError::refused(Code::Config, &self.place, text));
        }
        if self.config.tls.mode == TlsMode::VerifyPassword && self.config.password.is_empty() {
            let text = "mysql_ssl_mode=verify_password needs an account with a password";
            return Err(SourceError::refused(Code::Tls, &self.place, text));
        }
        let long = login.auth_response.len() > SHORT_PROOF;
        if long && self.capabilities() & CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA == 0 {
            let text = "the password is longer than this server's login packet can hold (255 bytes)";
            return Err(SourceError::refused(Code::AuthUnsupported, &self.place, text)
                .advise(change_method(&self.greeting.server_version, &self.known_account())));
        }
        Ok(())
    }

    fn auth_error(&self, error: &AuthError) -> SourceError {
        let refused = |text: String| SourceError::refused(Code::AuthUnsupported, &self.place, text);
        let cure = change_method(&self.greeting.server_version, &self.known_account());
        match error {
            AuthError::Unsupported { plugin } => {
                refused(format!("{error}{}, which fountain does not speak", what_it_is(plugin))).advise(cure)
            }
            AuthError::NeedsTls { .. } => refused(error.to_string()).advise(format!(
                "set mysql_ssl_mode=required (verify_identity keeps the password from strangers too), or {cure}"
            )),
            AuthError::CannotProve { .. } => SourceError::refused(Code::Tls, &self.place, error.to_string())
                .advise(match self.greeting.server_version.contains("MariaDB") {
                    true => format!("set mysql_ssl_mode=verify_ca or verify_identity, or {cure}"),
                    false => "set mysql_ssl_mode=verify_ca or verify_identity (verify_password is for MariaDB 11.4 and \
                              later)"
                        .to_owned(),
                }),
            AuthError::SecondFactor { .. } | AuthError::Question { .. } => {
                refused(format!("{error}, which a program cannot give"))
                    .advise(format!("make an account for fountain that needs a password alone, or {cure}"))
            }
            AuthError::Key(_) => refused(error.to_string())
                .advise("set mysql_ssl_mode=required: inside TLS no key is needed"),
            AuthError::Unexpected { .. } | AuthError::Codec(_) => {
                SourceError::protocol(&self.place, "answer to the login", error)
            }
        }
    }
}

/// The first two numbers of a version such as `5.1.73-log` or `10.11.14-MariaDB`; later than all for what has none.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map(|digits| digits.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor),
        _ => (u32::MAX, 0),
    }
}

/// The statement that gives an account a login method that we speak, in the words of that server.
fn change_method(server_version: &str, account: &str) -> String {
    let run = "run on the server:";
    if server_version.contains("MariaDB") {
        return format!(
            "{run} ALTER USER {account} IDENTIFIED VIA ed25519 USING PASSWORD('…') \
             (or mysql_native_password, which needs no plugin)"
        );
    }
    match version(server_version) {
        (..=4, _) | (5, 0..=6) => {
            format!("{run} SET old_passwords=0; SET PASSWORD FOR {account} = PASSWORD('…')")
        }
        (5, _) => format!("{run} ALTER USER {account} IDENTIFIED WITH mysql_native_password BY '…'"),
        _ => format!("{run} ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY '…'"),
    }
}

/// A few words on a method that has no place in a program.
fn what_it_is(plugin: &str) -> &'static str {
    let kinds = [
        ("mysql_old_password", " (the hashes of before MySQL 4.1)"),
        ("authentication_ldap_sasl", " (LDAP through SASL)"),
        ("authentication_kerberos", " (Kerberos)"),
        ("auth_gssapi", " (Kerberos)"),
        ("authentication_webauthn", " (a key that a person touches)"),
        ("authentication_fido", " (a key that a person touches)"),
        ("authentication_oci", " (Oracle's cloud identities)"),
        ("authentication_openid_connect", " (tokens of an identity provider)"),
        ("authentication_windows", " (Windows accounts)"),
        ("auth_named_pipe", " (Windows accounts)"),
        ("auth_socket", " (the user of a local socket)"),
        ("unix_socket", " (the user of a local socket)"),
    ];
    kinds.iter().find(|(name, _)| plugin.starts_with(name)).map_or("", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_is_in_the_servers_own_words() {
        let cure = |server_version| change_method(server_version, "'u'@'%'");
        for (server_version, words) in [
            ("5.1.73-log", "SET PASSWORD FOR 'u'@'%' = PASSWORD("),
            ("5.6.24", "SET old_passwords=0"),
            ("5.7.44-log", "ALTER USER 'u'@'%' IDENTIFIED WITH mysql_native_password"),
            ("8.0.36-28", "ALTER USER 'u'@'%' IDENTIFIED WITH caching_sha2_password"),
            ("26.7.0", "IDENTIFIED WITH caching_sha2_password"),
            ("8.0.11-TiDB-v7", "IDENTIFIED WITH caching_sha2_password"),
            ("10.11.14-MariaDB-0+deb12u2", "ALTER USER 'u'@'%' IDENTIFIED VIA ed25519"),
            ("5.5.68-MariaDB", "IDENTIFIED VIA"),
            ("nonsense", "caching_sha2_password"),
        ] {
            assert!(cure(server_version).contains(words), "{server_version}: {}", cure(server_version));
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("5.1.73-log"), (5, 1));
        assert_eq!(version("26.7.0"), (26, 7));
        assert_eq!(version("10.11.14-MariaDB"), (10, 11));
        for odd in ["", "x", "8", "99999999999.1", "mysql-8.0"] {
            assert_eq!(version(odd), (u32::MAX, 0), "{odd}");
        }
    }
}
