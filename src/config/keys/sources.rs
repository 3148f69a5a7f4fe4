//! The keys of `jdbc-mysql.properties`: which servers are read, with which account, from where, over which
//! connection.

use super::Group;
use super::Key;
use super::Scope::EachBackup;
use super::Scope::EachShard;
use super::Scope::Process;
use super::Scope::Shard;
use super::Scope::Source;
use super::group;
use crate::config::choice::Choice;
use crate::config::choice::SlaveIdStrategy;
use crate::config::choice::SslMode;
use crate::config::value::Kind;
use crate::config::value::Unit::Milliseconds;
use crate::config::value::Unit::Seconds;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// Where nothing else limits a time. MySQL itself cuts its time-outs at a year.
const LONG: u64 = 3650 * DAY;
const SERVER_ID_MAX: u64 = u32::MAX as u64;

group! { SERVERS "Servers: a shard for each number N from 0 to 9999 (holes are legal), with its main server and \
    its backups ha1, ha2, …"
    SHARD_SERVER = Key::new("mysql_shard_N_server", EachShard, Kind::Host,
        "Host name or address of the shard's main server. A number N is a shard when this key is set.")
        .sample("127.0.0.1");
    SHARD_PORT = Key::new("mysql_shard_N_port", EachShard, Kind::Whole(1, 65535),
        "TCP port of the main server.").default("3306").sample("3306");
    SHARD_SLAVE_ID = Key::new("mysql_shard_N_slaveId", EachShard, Kind::Whole(1, SERVER_ID_MAX),
        "Server id that we show as a replica; no other replica of that server may use it. Backups without \
         their own use it too.")
        .derived("a random one, see mysql_slaveId_strategy");
    SHARD_NAME = Key::new("mysql_shard_N_name", EachShard, Kind::Name,
        "The shard's name: points, files, latches and rows go by it. Changing it later makes it a new shard \
         without a point.")
        .derived("producerNN, with the number in two digits");
    SHARD_ENABLED = Key::new("mysql_shard_N_enabled", EachShard, Kind::Bool,
        "false leaves the shard out of a run and keeps its keys.").default("true");
    HA_SERVER = Key::new("mysql_shard_N_haK_server", EachBackup, Kind::Host,
        "Host name or address of backup K, which is read when the main server fails.");
    HA_PORT = Key::new("mysql_shard_N_haK_port", EachBackup, Kind::Whole(1, 65535),
        "TCP port of backup K.").default("3306");
    HA_SLAVE_ID = Key::new("mysql_shard_N_haK_slaveId", EachBackup, Kind::Whole(1, SERVER_ID_MAX),
        "Server id that we show to backup K.").derived("that of the main server");
}

group! { ACCOUNT "Account: it needs REPLICATION SLAVE and REPLICATION CLIENT, and SELECT where rows are logged \
    without full metadata"
    USERNAME = Key::new("mysql_username", Source, Kind::Text,
        "User name, on all servers unless given for one shard or backup.")
        .sample("fountain");
    PASSWORD = Key::new("mysql_password", Source, Kind::Secret,
        "Password. Blanks at its ends fall off, as with every value; use mysql_password_file for such a one.")
        .sample("change-me");
    PASSWORD_FILE = Key::new("mysql_password_file", Source, Kind::Path,
        "A file that holds the password, read anew at each connect, so that it can be changed without a \
         restart. One line end after it falls off. Not together with mysql_password.");
}

group! { START "Start point, used when no point is stored (see start_without_point); empty: the server's end"
    BINLOGDUMP_FILENAME = Key::new("mysql_binlogdump_filename", Shard, Kind::Text,
        "Binlog file to start in, together with mysql_binlogdump_position.");
    BINLOGDUMP_POSITION = Key::new("mysql_binlogdump_position", Shard, Kind::WholeOrNone,
        "Position to start at, in bytes: where an event begins, 4 for the first of a file. -1 and 0: none.");
    BINLOGDUMP_GTIDSET = Key::new("mysql_binlogdump_gtidset", Shard, Kind::GtidSet,
        "GTID set that counts as delivered already, all of it: reading starts behind it. UUID:1-23, several joined by \
         \",\" or \";\"; for MariaDB 0-1-42.");
    BINLOGDUMP_GTID = Key::new("mysql_binlogdump_gtid", Shard, Kind::WholeOrNone,
        "Group id that counts as delivered already, for binlog_dump_strategy=ares. -1: none.").default("-1");
}

group! { SERVER_ID "Server id of the replica that we are"
    SLAVE_ID_STRATEGY = Key::new("mysql_slaveId_strategy", Shard, Kind::OneOf(SlaveIdStrategy::WORDS),
        "fixed: the configured slaveId, a random one where none is configured; random: one drawn at the \
         start; random_then_increment: one drawn at the start, then one more at each connection.")
        .default("fixed");
    RANDOM_SLAVE_ID_START = Key::new("mysql_random_slaveId_start", Shard, Kind::Whole(1, SERVER_ID_MAX),
        "Smallest random server id.").derived("1073741824");
    RANDOM_SLAVE_ID_END = Key::new("mysql_random_slaveId_end", Shard, Kind::Whole(1, SERVER_ID_MAX),
        "Largest random server id.").derived("2147483647");
}

group! { SESSION "Session settings that are sent to the server"
    WAIT_TIMEOUT = Key::new("mysql_wait_timeout", Source, Kind::Time(Seconds, 1000, LONG),
        "The session's wait_timeout, in seconds; MySQL cuts it at 31536000.").default("9999999");
    NET_WRITE_TIMEOUT = Key::new("mysql_net_write_timeout", Source, Kind::Time(Seconds, 1000, LONG),
        "The session's net_write_timeout, in seconds: how long the server waits while a slow sink keeps us \
         from reading.")
        .default("3600");
    NET_READ_TIMEOUT = Key::new("mysql_net_read_timeout", Source, Kind::Time(Seconds, 1000, LONG),
        "The session's net_read_timeout, in seconds.").default("3600");
    CHARSET = Key::new("mysql_charset", Source, Kind::Charset,
        "The session's character set (SET NAMES). Rows do not depend on it: each column is read in its own.")
        .default("binary");
    HEARTBEAT_PERIOD = Key::new("mysql_heartbeat_period", Source, Kind::Time(Milliseconds, 1, LONG),
        "How often an idle server shall show that it lives, in milliseconds. Less than \
         mysql_replication_socket_so_timeout.")
        .derived("mysql_replication_socket_so_timeout / 4");
}

group! { SOCKET "Sockets"
    SO_TIMEOUT = Key::new("mysql_replication_socket_so_timeout", Source, Kind::Time(Milliseconds, 1, LONG),
        "How long the server may send nothing at all, heartbeats included, before the connection is given \
         up, in milliseconds.")
        .default("60000");
    SO_IN_BUF = Key::new("mysql_replication_socket_in_buf", Source, Kind::Size(1024, 1 << 30),
        "Receive buffer of the socket, in bytes. Setting it ends the system's own tuning, which is mostly \
         better.")
        .derived("the system's own");
    SO_OUT_BUF = Key::new("mysql_replication_socket_out_buf", Source, Kind::Size(1024, 1 << 30),
        "Send buffer of the socket, in bytes.").derived("the system's own");
    CONNECT_TIMEOUT = Key::new("mysql_replication_socket_connect_timeout", Source,
        Kind::Time(Milliseconds, 1, LONG),
        "How long a connection may take to come about, in milliseconds.").default("3000");
}

group! { SSL "Encryption"
    SSL_MODE = Key::new("mysql_ssl_mode", Source, Kind::OneOf(SslMode::WORDS),
        "preferred: encrypted where the server can, else plain (with a warning when the handshake fails); disabled; required: \
         encrypted or not at all, with any certificate; verify_ca: and the certificate is signed by \
         mysql_ssl_ca; verify_identity: and it names the host; verify_password: MariaDB 11.4 and later prove \
         their certificate by the account's password, no CA is needed. Only the last three keep the \
         password from somebody who poses as the server. TLS 1.2 and 1.3.")
        .default("preferred");
    SSL_CA = Key::new("mysql_ssl_ca", Source, Kind::Path,
        "File with the certificates (PEM, one or several) that may sign the server's, for verify_ca and \
         verify_identity.");
    SSL_CERT = Key::new("mysql_ssl_cert", Source, Kind::Path,
        "File with our own certificate (PEM), where the account asks for one. Together with mysql_ssl_key.");
    SSL_KEY = Key::new("mysql_ssl_key", Source, Kind::Path,
        "File with the private key of mysql_ssl_cert (PEM: PKCS#1, PKCS#8 or EC, not encrypted).");
}

group! { LISTS "Servers as lists, instead of all mysql_shard_N_ keys; each list has one entry per shard, in the \
    same order"
    DB_ARRAY = Key::new("dbArray", Process, Kind::Servers,
        "Main servers as host:port,host:port; IPv6 addresses in brackets.");
    BAK_DB_ARRAY = Key::new("bakDbArray", Process, Kind::Servers, "Backup servers, in the same form.");
    SYNC_POINT_ARRAY = Key::new("syncPointArray", Process, Kind::StartPoints,
        "Start points: -1 for none, FILE:POS, HOST:PORT#FILE#POS, a GTID set whose parts are joined by \";\", or \
         a group id (ares). Used, like mysql_binlogdump_..., when no point is stored.");
    SLAVE_ID_ARRAY = Key::new("slaveIdArray", Process, Kind::ServerIds,
        "Server ids that we show, to main and backup alike.");
}
