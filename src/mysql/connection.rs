//! A logged-in connection: statements with text answers, each with a deadline.

use super::config::SourceConfig;
use super::config::TlsMode;
use super::error::SourceError;
use super::link::Failure;
use super::link::Link;
use super::refusal::When;
use super::stream::Deadline;
use super::tls::Tls;
use crate::code::Code;
use crate::stop::Stop;
use crate::wire::capability::CLIENT_LONG_PASSWORD;
use crate::wire::command::Command;
use crate::wire::response::ErrPacket;
use crate::wire::response::Progress;
use crate::wire::response::ResponseReader;
use crate::wire::response::ResultSet;
use std::net::IpAddr;
use std::time::Duration;

/// The largest answer to a statement, in bytes of memory.
const ANSWER_LIMIT: usize = 64 << 20;
/// ER_UNKNOWN_CHARACTER_SET.
const UNKNOWN_CHARSET: u16 = 1115;
/// The largest `wait_timeout` and its kin, in seconds: a year. Beyond it a server in strict mode refuses the SET.
const LONGEST_TIMEOUT: u64 = 31_536_000;
/// What a farewell may take.
const FAREWELL: Duration = Duration::from_millis(100);

/// A connection that is logged in. Dropped, it says goodbye.
#[derive(Debug)]
pub struct Connection {
    pub(super) link: Link,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// A binlog stream runs: the server listens no more.
    Streaming,
    /// Something failed in between: what comes next could be taken for something else.
    Broken,
}

impl Connection {
    /// Connects and logs in.
    pub fn open(config: &SourceConfig, stop: &Stop) -> Result<Self, SourceError> {
        let tls = Tls::prepare(config)?;
        let opened = match Link::open(config, stop, tls.as_ref()) {
            Err(Failure::Tls(error)) if config.tls.mode == TlsMode::Preferred => {
                log::warn!(
                    "{error}; going on without TLS, as mysql_ssl_mode=preferred allows: rows come in clear, and only \
                     a mode that verifies would tell an attack from a server that cannot"
                );
                Link::open(config, stop, None)
            }
            other => other,
        };
        let mut link = opened.map_err(Failure::into_error)?;
        link.frames.set_limit(ANSWER_LIMIT);
        Ok(Self { link, state: State::Ready })
    }

    /// The server, as `host:port`.
    pub fn place(&self) -> &str {
        &self.link.place
    }

    /// As the greeting has it, without MariaDB's `5.5.5-`.
    pub fn server_version(&self) -> &str {
        &self.link.greeting.server_version
    }

    /// Whether it is MariaDB, whatever version it has been told to say.
    pub fn is_mariadb(&self) -> bool {
        let greeting = &self.link.greeting;
        // CLIENT_MYSQL in MariaDB's words, which its servers leave out since 10.2.
        greeting.capabilities & CLIENT_LONG_PASSWORD == 0 || greeting.server_version.contains("MariaDB")
    }

    /// The server's number for this connection, as in its `SHOW PROCESSLIST`.
    pub fn connection_id(&self) -> u32 {
        self.link.greeting.connection_id
    }

    /// The address that the server's name led to; none when the connection is gone.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.link.peer_ip()
    }

    /// What ends its waits, for a second connection beside it.
    pub fn stop(&self) -> &Stop {
        &self.link.stop
    }

    /// The TLS version in use, such as `TLSv1_3`; none on a plain connection.
    pub fn tls_version(&self) -> Option<String> {
        self.link.tls_version()
    }

    /// Runs one statement. An error of the server leaves the connection usable; any other ends it.
    pub fn query(&mut self, sql: &str) -> Result<ResultSet, SourceError> {
        self.command(&Command::Query(sql.as_bytes()), When::Statement, "answer to a statement").map_err(
            |error| {
                if error.server_errno().is_some() { error.about(sql) } else { error }
            },
        )
    }

    /// Says in which character set the server's answers shall come. Servers before 5.5.3 have no utf8mb4.
    pub(super) fn set_names(&mut self, charset: &str) -> Result<(), SourceError> {
        match self.query(&format!("SET NAMES {}", quote(charset))) {
            Err(error) if error.server_errno() == Some(UNKNOWN_CHARSET) && charset == "utf8mb4" => {
                self.query("SET NAMES 'utf8'").map(drop)
            }
            other => other.map(drop),
        }
    }

    /// How long the server waits for us. One that does not let us say so has its reasons: then its own timeouts count.
    pub fn set_timeouts(&mut self) -> Result<(), SourceError> {
        let seconds = |time: Duration| time.as_secs().clamp(1, LONGEST_TIMEOUT);
        let config = &self.link.config;
        let settings = [
            ("wait_timeout", seconds(config.wait_timeout)),
            ("net_write_timeout", seconds(config.net_write_timeout)),
            ("net_read_timeout", seconds(config.net_read_timeout)),
        ];
        let all: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if tolerate(self.query(&format!("SET SESSION {}", all.join(", "))), None)? {
            return Ok(());
        }
        for (name, value) in settings {
            tolerate(self.query(&format!("SET SESSION {name}={value}")), Some(name))?;
        }
        Ok(())
    }

    /// Asks whether the server is still there.
    pub fn ping(&mut self) -> Result<(), SourceError> {
        self.command(&Command::Ping, When::Statement, "answer to a ping").map(|_| ())
    }

    /// The account that the server took us for, ready for a GRANT: `'repl'@'%'`.
    pub fn account(&mut self) -> Result<String, SourceError> {
        if let Some(account) = &self.link.account {
            return Ok(account.clone());
        }
        let answer = self.query("SELECT CURRENT_USER()")?;
        let account = quote_account(&answer.text(0, 0).unwrap_or_default());
        Ok(self.link.account.insert(account).clone())
    }

    /// Sends a command and collects its answer.
    pub(super) fn command(
        &mut self,
        command: &Command<'_>,
        when: When,
        what: &'static str,
    ) -> Result<ResultSet, SourceError> {
        let deadline = Deadline::after(self.link.config.query_timeout);
        self.send_command(command, what, &deadline)?;
        match self.answer(what, &deadline) {
            Ok(Answer::Result(result)) => Ok(result),
            Ok(Answer::Refused(error)) => {
                let error = self.link.server_error(when, &error);
                if error.code() == Code::ConnectionLost {
                    self.state = State::Broken;
                }
                Err(error)
            }
            Err(error) => {
                self.state = State::Broken;
                Err(error)
            }
        }
    }

    /// Sends a command and leaves its answer to the caller.
    pub(super) fn send_command(
        &mut self,
        command: &Command<'_>,
        what: &'static str,
        deadline: &Deadline,
    ) -> Result<(), SourceError> {
        if self.state != State::Ready {
            return Err(SourceError::lost(&self.link.place, what, &"the connection has failed before"));
        }
        self.link.frames.set_sequence(0);
        let sent = self.link.send_packet(&command.encode(), what, deadline);
        if sent.is_err() {
            self.state = State::Broken;
        }
        sent
    }

    fn answer(&mut self, what: &'static str, deadline: &Deadline) -> Result<Answer, SourceError> {
        let mut reader = ResponseReader::new(self.link.deprecate_eof(), ANSWER_LIMIT);
        loop {
            self.link.await_packet(what, deadline)?;
            match reader.on_packet(self.link.frames.packet()) {
                Ok(Progress::More) => {}
                Ok(Progress::Done(result)) => return Ok(Answer::Result(result)),
                Ok(Progress::Refused(error)) => return Ok(Answer::Refused(error)),
                Err(error) => return Err(SourceError::protocol(&self.link.place, what, &error)),
            }
        }
    }

    /// From now on the server sends its binlog, and hears nothing.
    pub(super) fn start_streaming(&mut self) {
        self.state = State::Streaming;
    }
}

/// A whole answer.
enum Answer {
    Result(ResultSet),
    Refused(ErrPacket),
}

impl Drop for Connection {
    /// Without a farewell the server counts the connection as aborted.
    fn drop(&mut self) {
        if self.state == State::Ready {
            // Even a requested stop leaves time for five bytes.
            self.link.stop = Stop::new();
            if let Err(error) = self.send_command(&Command::Quit, "farewell", &Deadline::after(FAREWELL)) {
                log::debug!("{error}");
            }
        }
    }
}

/// Whether the server took a setting that we can do without. `told` names one whose refusal people should know.
pub(super) fn tolerate(
    outcome: Result<ResultSet, SourceError>,
    told: Option<&str>,
) -> Result<bool, SourceError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.server_errno().is_none() || error.code() == Code::ConnectionLost => Err(error),
        Err(error) => {
            match told {
                Some(name) => log::warn!("{error}; going on with the server's own {name}"),
                None => log::debug!("{error}"),
            }
            Ok(false)
        }
    }
}

/// A string literal that means the same under every `sql_mode`.
pub(super) fn quote(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\'' && byte != b'\\') {
        return format!("'{text}'");
    }
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// `repl@%` as `'repl'@'%'`.
fn quote_account(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    format!("{}@{}", quoted(user), quoted(host))
}
