//! A main server and its backup as a real replication pair: what the main one commits, the backup applies and logs anew.

use super::Fountain;
use super::Kind;
use super::Server;
use super::delivered::run_arguments_through;
use super::server::REPLICA;
use super::wait_until;
use std::time::Duration;

/// How long a replica may take to catch up on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a replica knows where its source's log is to be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// MySQL with `gtid_mode=ON` and auto position, MariaDB with `MASTER_USE_GTID=slave_pos`.
    Gtid,
    /// File and position; MySQL has `gtid_mode=OFF`. (MariaDB logs GTIDs all the same.)
    Position,
}

/// Two servers of one kind, the backup a replica of the main one; server ids 1 and 2.
pub struct Pair {
    pub main: Server,
    pub backup: Server,
    by: By,
}

impl Pair {
    /// Boots both and starts replication. `None`: such servers cannot be had here, the test is counted as skipped.
    pub fn start(kind: Kind, by: By) -> Option<Pair> {
        Pair::start_with(kind, by, &[], &[])
    }

    /// As `start`, with options for each side that win over those of the pair (`log_updates_off`, `--expire…`).
    pub fn start_with(kind: Kind, by: By, for_main: &[&str], for_backup: &[&str]) -> Option<Pair> {
        let main = Server::start_private(kind, &[&options(kind, by, "--server-id=1"), for_main].concat())?;
        let backup =
            Server::start_private(kind, &[&options(kind, by, "--server-id=2"), for_backup].concat())?;
        let pair = Pair { main, backup, by };
        pair.follow(&pair.backup, &pair.main);
        Some(pair)
    }

    pub fn kind(&self) -> Kind {
        self.main.kind()
    }

    // ------------------------------------------------------------------------------------------------ replication

    /// Makes a server the replica of another from where that one's log is now; by GTID from all that it lacks.
    fn follow(&self, replica: &Server, source: &Server) {
        let (user, password) = REPLICA;
        let port = source.port();
        let (statement, prefix) = match self.kind() {
            Kind::Mysql97 => ("CHANGE REPLICATION SOURCE TO", "SOURCE"),
            Kind::Mysql56 | Kind::Mariadb | Kind::Mariadb118 => ("CHANGE MASTER TO", "MASTER"),
        };
        let mut settings = vec![
            format!("{prefix}_HOST='127.0.0.1'"),
            format!("{prefix}_PORT={port}"),
            format!("{prefix}_USER='{user}'"),
            format!("{prefix}_PASSWORD='{password}'"),
            format!("{prefix}_CONNECT_RETRY=1"),
        ];
        if self.kind() == Kind::Mysql97 {
            settings.extend(["GET_SOURCE_PUBLIC_KEY=1", "SOURCE_RETRY_COUNT=86400"].map(str::to_owned));
        }
        match (self.by, self.kind().is_mysql()) {
            (By::Gtid, true) => settings.push(format!("{prefix}_AUTO_POSITION=1")),
            (By::Gtid, false) => {
                // Of a server that was a main one: what it has logged itself is not to be sent to it.
                replica.sql("SET GLOBAL gtid_slave_pos=@@GLOBAL.gtid_binlog_pos");
                settings.push("MASTER_USE_GTID=slave_pos".to_owned());
            }
            (By::Position, is_mysql) => {
                let (file, pos) = source.binlog_end();
                settings.push(format!("{prefix}_LOG_FILE='{file}'"));
                settings.push(format!("{prefix}_LOG_POS={pos}"));
                settings.extend((!is_mysql).then(|| "MASTER_USE_GTID=no".to_owned()));
            }
        }
        replica.sql(&format!("{statement} {}; START {}", settings.join(", "), self.word()));
    }

    /// What replication is called in statements.
    fn word(&self) -> &'static str {
        if self.kind() == Kind::Mysql97 { "REPLICA" } else { "SLAVE" }
    }

    /// The backup takes nothing more from the main server: it lags from here on.
    pub fn stop_replication(&self) {
        self.backup.sql(&format!("STOP {}", self.word()));
    }

    pub fn start_replication(&self) {
        self.backup.sql(&format!("START {}", self.word()));
    }

    /// Waits until the backup has applied all that is in the main server's log now.
    pub fn wait_until_caught_up(&self) {
        self.wait_until_applied(&self.backup, &self.main);
    }

    fn wait_until_applied(&self, replica: &Server, source: &Server) {
        let seconds = PATIENCE.as_secs();
        let executed = source.gtid_executed_or_position(self.by);
        let question = match (self.by, self.kind()) {
            (By::Gtid, Kind::Mysql56) => {
                format!("SELECT WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS({executed}, {seconds}) >= 0")
            }
            (By::Gtid, Kind::Mysql97) => {
                format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({executed}, {seconds}) = 0")
            }
            (By::Gtid, Kind::Mariadb | Kind::Mariadb118) => {
                format!("SELECT MASTER_GTID_WAIT({executed}, {seconds}) = 0")
            }
            (By::Position, Kind::Mysql97) => format!("SELECT SOURCE_POS_WAIT({executed}, {seconds}) >= 0"),
            (By::Position, _) => format!("SELECT MASTER_POS_WAIT({executed}, {seconds}) >= 0"),
        };
        let answer = replica.select(&question);
        let reached = answer.first().and_then(|row| row[0].as_deref()) == Some("1");
        assert!(reached, "{} has not reached {executed}: {}", self.kind(), self.replica_status(replica));
    }

    /// What a replica says about itself, for messages.
    fn replica_status(&self, replica: &Server) -> String {
        replica.try_sql(&format!("SHOW {} STATUS\\G", self.word())).unwrap_or_else(|error| error)
    }

    /// Makes the backup a server of its own, once it has applied all that it had received; its source may be dead.
    pub fn promote(&self) {
        let word = self.word();
        self.backup.sql(&format!("STOP {word} IO_THREAD"));
        // The applier (of 9.7: its coordinator, and workers beside it) waits for more; half a transaction is dropped.
        let busy = "SELECT SUM(STATE LIKE '%has read all relay log%'), \
                    SUM(STATE NOT LIKE '%has read all relay log%' AND STATE NOT LIKE '%for an event from Coordinator%' \
                    AND STATE NOT LIKE '%for work from SQL thread%') \
                    FROM information_schema.PROCESSLIST WHERE USER='system user' AND COMMAND NOT LIKE '%IO%'";
        wait_until("the backup has applied what it has", PATIENCE, || {
            self.backup.select(busy) == [[Some("1".to_owned()), Some("0".to_owned())]]
        });
        self.backup.sql(&format!("STOP {word}; RESET {word} ALL"));
    }

    /// The main server, up again, becomes the replica of the promoted backup. By position it takes what comes from now on.
    pub fn main_follows_backup(&self) {
        self.follow(&self.main, &self.backup);
    }

    /// Waits until the main server, now a replica, has applied all that is in the backup's log now.
    pub fn wait_until_main_caught_up(&self) {
        self.wait_until_applied(&self.main, &self.backup);
    }

    // --------------------------------------------------------------------------------------------------- fountain

    /// The arguments of `fountain run` against the pair with the file sink, and `extra` behind them.
    pub fn run_arguments(&self, home: &Fountain, extra: &[&str]) -> Vec<String> {
        self.run_arguments_through(home, self.main.port(), self.backup.port(), extra)
    }

    /// As `run_arguments`, through proxies on these ports.
    pub fn run_arguments_through(
        &self,
        home: &Fountain,
        main: u16,
        backup: u16,
        extra: &[&str],
    ) -> Vec<String> {
        let port = format!("mysql_shard_0_ha1_port={backup}");
        let own = ["-D", "mysql_shard_0_ha1_server=127.0.0.1", "-D", &port];
        run_arguments_through(home, &self.main, main, &[&own, extra].concat())
    }
}

impl Server {
    /// All of this server's log, as the functions that wait for it take it.
    fn gtid_executed_or_position(&self, by: By) -> String {
        match by {
            By::Gtid => format!("'{}'", self.gtid_executed()),
            By::Position => {
                let (file, pos) = self.binlog_end();
                format!("'{file}', {pos}")
            }
        }
    }
}

/// The option by which a replica does not log what it applies. (5.6 with GTIDs does not start with it.)
pub fn log_updates_off(kind: Kind) -> &'static str {
    match kind {
        Kind::Mysql97 => "--log-replica-updates=OFF",
        Kind::Mysql56 | Kind::Mariadb | Kind::Mariadb118 => "--log-slave-updates=OFF",
    }
}

fn options(kind: Kind, by: By, server_id: &'static str) -> Vec<&'static str> {
    let mut options = vec![server_id];
    match kind {
        Kind::Mysql97 => options.push("--log-replica-updates=ON"),
        Kind::Mysql56 => options.extend([
            "--log-slave-updates=ON",
            "--relay-log-info-repository=TABLE",
            "--master-info-repository=TABLE",
            "--relay-log-recovery=ON",
        ]),
        Kind::Mariadb | Kind::Mariadb118 => options.push("--log-slave-updates=ON"),
    }
    // The host's name would be part of the files' otherwise.
    options.push("--relay-log=relay");
    if by == By::Gtid && kind.is_mysql() {
        options.extend(["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
    }
    options
}
