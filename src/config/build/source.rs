//! One server of a shard: account, server id, time-outs, encryption.

use super::At;
use super::Builder;
use crate::config::Password;
use crate::config::SlaveId;
use crate::config::SourceOptions;
use crate::config::SslOptions;
use crate::config::choice::Choice;
use crate::config::choice::SlaveIdStrategy;
use crate::config::choice::SslMode;
use crate::config::keys;
use crate::config::keys::Target;
use crate::config::problem::Problem;
use crate::config::value;
use crate::secret::Secret;
use std::time::Duration;

/// Where nobody configured a range: large ids, which people do not give by hand.
const RANDOM_IDS: (u32, u32) = (1 << 30, (1 << 31) - 1);

impl Builder<'_> {
    /// The options that hold for a shard's main server or one of its backups.
    pub(super) fn source(
        &mut self,
        target: Target,
        host: &str,
        port: u16,
        slave_id: Option<u32>,
    ) -> SourceOptions {
        let at = self.at(target);
        let user = at.owned(&keys::USERNAME);
        if user.is_none() {
            self.problems.push(Problem::general("mysql_username is not set"));
        }
        SourceOptions {
            backup: if let Target::Backup(_, backup) = target { backup } else { 0 },
            host: value::host(host).unwrap_or(host).to_string(),
            port,
            slave_id: self.slave_id(target, slave_id),
            user: user.unwrap_or_default(),
            password: self.password(target),
            ssl: self.ssl(target),
            connect_timeout: at.time(&keys::CONNECT_TIMEOUT),
            so_timeout: at.time(&keys::SO_TIMEOUT),
            heartbeat_period: self.heartbeat_period(target),
            receive_buffer: at.maybe_number(&keys::SO_IN_BUF),
            send_buffer: at.maybe_number(&keys::SO_OUT_BUF),
            wait_timeout: at.time(&keys::WAIT_TIMEOUT),
            net_write_timeout: at.time(&keys::NET_WRITE_TIMEOUT),
            net_read_timeout: at.time(&keys::NET_READ_TIMEOUT),
            charset: at.owned(&keys::CHARSET).unwrap_or_default(),
        }
    }

    /// `fixed` without an id draws one, which is what the original's guide asks for: it gives a range and no
    /// id.
    fn slave_id(&mut self, target: Target, configured: Option<u32>) -> SlaveId {
        let at = self.at(target);
        let (from, to) = self.random_ids(at);
        match (at.choice(&keys::SLAVE_ID_STRATEGY), configured) {
            (SlaveIdStrategy::Fixed, Some(id)) => SlaveId::Fixed(id),
            (SlaveIdStrategy::Fixed, None) | (SlaveIdStrategy::Random, _) => SlaveId::Random(from, to),
            (SlaveIdStrategy::RandomThenIncrement, _) => SlaveId::RandomThenIncrement(from, to),
        }
    }

    fn random_ids(&mut self, at: At<'_>) -> (u32, u32) {
        let id = |key| at.text(key).and_then(value::server_id);
        match (id(&keys::RANDOM_SLAVE_ID_START), id(&keys::RANDOM_SLAVE_ID_END)) {
            (Some(from), Some(to)) if from <= to => (from, to),
            (None, None) => RANDOM_IDS,
            (Some(from), Some(to)) => {
                let reason =
                    format!("mysql_random_slaveId_end={to} is less than mysql_random_slaveId_start={from}");
                self.problem(&keys::RANDOM_SLAVE_ID_END, at.target, reason);
                RANDOM_IDS
            }
            (from, _) => {
                let given =
                    if from.is_some() { &keys::RANDOM_SLAVE_ID_START } else { &keys::RANDOM_SLAVE_ID_END };
                let reason = "mysql_random_slaveId_start and mysql_random_slaveId_end are given together or not \
                              at all";
                self.problem(given, at.target, reason);
                RANDOM_IDS
            }
        }
    }

    /// The nearest place that has a password or a file decides.
    fn password(&mut self, target: Target) -> Password {
        for place in target.outwards() {
            let inline = self.settings.is_given(&keys::PASSWORD, place);
            let file = self.settings.is_given(&keys::PASSWORD_FILE, place);
            if inline && file {
                let other = self.settings.origin(&keys::PASSWORD, place);
                let reason =
                    format!("mysql_password_file and mysql_password ({other}) are both set; use one of them");
                self.problem(&keys::PASSWORD_FILE, place, reason);
            }
            let at = self.at(place);
            if file {
                return Password::File(at.path(&keys::PASSWORD_FILE).unwrap_or_default());
            } else if inline {
                return Password::Inline(Secret::new(at.owned(&keys::PASSWORD).unwrap_or_default()));
            }
        }
        Password::Inline(Secret::default())
    }

    fn ssl(&mut self, target: Target) -> SslOptions {
        let at = self.at(target);
        let mode = at.choice(&keys::SSL_MODE);
        let ca = at.path(&keys::SSL_CA);
        if ca.is_none() && matches!(mode, SslMode::VerifyCa | SslMode::VerifyIdentity) {
            self.problem(
                &keys::SSL_MODE,
                target,
                format!("mysql_ssl_mode={} needs mysql_ssl_ca", mode.word()),
            );
        }
        let identity = match (at.path(&keys::SSL_CERT), at.path(&keys::SSL_KEY)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (cert, _) => {
                let given = if cert.is_some() { &keys::SSL_CERT } else { &keys::SSL_KEY };
                self.problem(
                    given,
                    target,
                    "mysql_ssl_cert and mysql_ssl_key are given together or not at all",
                );
                None
            }
        };
        SslOptions { mode, ca, identity }
    }

    fn heartbeat_period(&mut self, target: Target) -> Duration {
        let at = self.at(target);
        let so_timeout = at.time(&keys::SO_TIMEOUT);
        let Some(period) = at.maybe_time(&keys::HEARTBEAT_PERIOD) else {
            return (so_timeout / 4).max(Duration::from_millis(1));
        };
        if period >= so_timeout {
            let reason = format!(
                "mysql_heartbeat_period: {} ms is not less than mysql_replication_socket_so_timeout, {} ms",
                period.as_millis(),
                so_timeout.as_millis()
            );
            self.problem(&keys::HEARTBEAT_PERIOD, target, reason);
        }
        period
    }
}
