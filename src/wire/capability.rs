//! Capability and status bits of the protocol, under the manual's names.

/// Also called CLIENT_MYSQL: a MariaDB server that leaves it out has extended capabilities in its greeting.
pub const CLIENT_LONG_PASSWORD: u32 = 1;
pub const CLIENT_LONG_FLAG: u32 = 1 << 2;
pub const CLIENT_CONNECT_WITH_DB: u32 = 1 << 3;
pub const CLIENT_PROTOCOL_41: u32 = 1 << 9;
pub const CLIENT_SSL: u32 = 1 << 11;
pub const CLIENT_TRANSACTIONS: u32 = 1 << 13;
/// Called CLIENT_RESERVED2 since 8.0: the 20-byte nonce of 4.1 and later.
pub const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
pub const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
pub const CLIENT_CONNECT_ATTRS: u32 = 1 << 20;
pub const CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA: u32 = 1 << 21;
/// An OK packet with the header 0xFE ends a result set, and none stands between column definitions and rows.
pub const CLIENT_DEPRECATE_EOF: u32 = 1 << 24;
/// Of MySQL 8.0.27 and later. To a client without it the server tells of an account with a second factor only that
/// access is denied; with it the method is named, and so can we.
pub const CLIENT_MULTI_FACTOR_AUTHENTICATION: u32 = 1 << 28;

/// Without these a server cannot be spoken to: the protocol of 4.1 (2004) and its login.
pub const NEEDED: u32 = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION;

/// What fountain asks for where the server offers it. Left out on purpose: LOCAL_FILES (a server could then ask for our
/// files), MULTI_STATEMENTS and MULTI_RESULTS, COMPRESS, CONNECT_WITH_DB, SESSION_TRACK, and CLIENT_SSL, which is
/// the connection's to decide.
pub const WANTED: u32 = CLIENT_LONG_PASSWORD
    | CLIENT_LONG_FLAG
    | CLIENT_PROTOCOL_41
    | CLIENT_TRANSACTIONS
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
    | CLIENT_CONNECT_ATTRS
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | CLIENT_DEPRECATE_EOF
    | CLIENT_MULTI_FACTOR_AUTHENTICATION;

/// Status flag: another result set follows this one.
pub const SERVER_MORE_RESULTS_EXISTS: u16 = 1 << 3;

/// utf8_general_ci, known to every server since 4.1.
pub const COLLATION_UTF8: u8 = 33;
/// utf8mb4_general_ci, known to every server since 5.5.3.
pub const COLLATION_UTF8MB4: u8 = 45;
