//! What a value may look like: numbers, times, sizes, words, hosts, lists. Each kind can say what it expects.

use crate::config::choice::Word;
use crate::config::near;
use crate::config::place;
use crate::schema::filter::Filter;
use std::net::Ipv6Addr;
use std::time::Duration;

/// The kind of a key's value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A password: never shown, not checked.
    Secret,
    /// A file or folder; a relative one is meant from `$FOUNTAIN_HOME`.
    Path,
    /// A server's name or address, without its port.
    Host,
    /// `host:port,host:port`: the servers of several shards; the port may be left out.
    Servers,
    /// The name of a shard: it becomes part of file names and znodes.
    Name,
    /// A character set's name.
    Charset,
    /// `true` or `false`.
    Bool,
    /// A whole number between two limits.
    Whole(u64, u64),
    /// A whole number; -1 means that there is none.
    WholeOrNone,
    /// Server ids in the manner of `10,11,12`.
    ServerIds,
    /// A time; bare numbers are in the unit, the limits are in milliseconds.
    Time(Unit, u64, u64),
    /// A number of bytes between two limits.
    Size(u64, u64),
    /// One of a few words.
    OneOf(&'static [Word]),
    /// The executed GTID set to start behind.
    GtidSet,
    /// One start point for each shard, -1 for none.
    StartPoints,
    /// Table names and expressions.
    Tables,
    /// ZooKeeper's servers, in the manner of `host:port,host:port[/root]`.
    ZkServers,
    /// The path of a znode.
    ZkPath,
}

/// The unit of a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Kind {
    /// What is wrong with a value: `expected …, got "…"`.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let fits = match self {
            Kind::Text | Kind::Secret | Kind::Path => true,
            Kind::Host => host(text).is_some(),
            Kind::Servers => list(text).all(|part| host_port(part, 0).is_some()),
            Kind::Name => is_name(text),
            Kind::Charset => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            Kind::Bool => boolean(text).is_some(),
            Kind::Whole(least, most) => within(place::whole_number(text), *least, *most).is_some(),
            Kind::WholeOrNone => text == "-1" || place::whole_number(text).is_some(),
            Kind::ServerIds => list(text).all(|part| server_id(part).is_some()),
            Kind::Time(unit, least, most) => within(milliseconds(text, *unit), *least, *most).is_some(),
            Kind::Size(least, most) => within(size(text), *least, *most).is_some(),
            Kind::OneOf(words) => words.iter().any(|word| word.word == text),
            Kind::GtidSet => place::is_gtid_set_shaped(text),
            Kind::StartPoints => list(text).all(is_start_point),
            Kind::Tables => return Filter::new(text, "").map(|_| ()).map_err(|error| error.to_string()),
            Kind::ZkServers => is_zk_servers(text),
            Kind::ZkPath => is_zk_path(text),
        };
        if fits {
            Ok(())
        } else {
            Err(format!("expected {}, got {}{}", self.expected(), shown(text), self.hint(text)))
        }
    }

    /// What a value must be, for messages and the sample files.
    pub fn expected(&self) -> String {
        match self {
            Kind::Text | Kind::Secret => "any text".to_string(),
            Kind::Path => "a file or folder".to_string(),
            Kind::Host => "a host name or address".to_string(),
            Kind::Servers => "host:port,host:port (IPv6 in brackets)".to_string(),
            Kind::Name => {
                "a name of at most 64 letters, digits, \"_\" and \"-\", beginning with a letter or digit"
                    .to_string()
            }
            Kind::Charset => "the name of a character set".to_string(),
            Kind::Bool => "true or false".to_string(),
            Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Kind::WholeOrNone => "a whole number, or -1 for none".to_string(),
            Kind::ServerIds => "server ids from 1 to 4294967295 separated by commas".to_string(),
            Kind::Time(unit, least, most) => {
                let unit = match unit {
                    Unit::Milliseconds => "milliseconds",
                    Unit::Seconds => "seconds",
                };
                let (least, most) = (shown_time(*least), shown_time(*most));
                format!("a time in {unit}, or with a unit (500ms, 5s, 1m, 2h, 7d), from {least} to {most}")
            }
            Kind::Size(least, most) => {
                let (least, most) = (shown_size(*least), shown_size(*most));
                format!(
                    "a number of bytes, or with a unit (16k, 64MiB, 1GiB: binary; 64MB: decimal), \
                     from {least} to {most}"
                )
            }
            Kind::OneOf(words) => {
                let words: Vec<_> = words.iter().map(|word| word.word).collect();
                format!("one of {}", words.join(", "))
            }
            Kind::GtidSet => "a GTID set such as UUID:1-23, or 0-1-42 for MariaDB".to_string(),
            Kind::StartPoints => {
                "start points separated by commas: -1, FILE:POS, HOST:PORT#FILE#POS or a GTID set".to_string()
            }
            Kind::Tables => "database.table names and regular expressions separated by commas".to_string(),
            Kind::ZkServers => "host:port,host:port".to_string(),
            Kind::ZkPath => "a path such as /fountain/points".to_string(),
        }
    }

    fn hint(&self, text: &str) -> String {
        match self {
            Kind::OneOf(words) => near::hint(text, words.iter().map(|word| word.word)),
            Kind::Bool => near::hint(text, ["true", "false"]),
            Kind::Host if host_port(text, 0).is_some() => "; the port has a key of its own".to_string(),
            _ => String::new(),
        }
    }
}

/// A value for a message: in quotes, on one line, not endless.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", text.split_at(end).0),
        None => format!("{text:?}"),
    }
}

/// The entries of a comma list, trimmed.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// `true` or `false`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A replica's server id: 0 is not one.
pub fn server_id(text: &str) -> Option<u32> {
    place::whole_number(text).and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0)
}

/// A time; a bare number is in the given unit.
pub fn time(text: &str, unit: Unit) -> Option<Duration> {
    milliseconds(text, unit).map(Duration::from_millis)
}

fn milliseconds(text: &str, unit: Unit) -> Option<u64> {
    let (number, suffix) = number_and_suffix(text)?;
    let factor = match (suffix, unit) {
        ("ms", _) | ("", Unit::Milliseconds) => 1,
        ("s", _) | ("", Unit::Seconds) => 1000,
        ("m", _) => 60 * 1000,
        ("h", _) => 60 * 60 * 1000,
        ("d", _) => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A number of bytes. `k m g t` (as in my.cnf) and `KiB MiB GiB TiB` count by 1024, `KB MB GB TB` by 1000.
pub fn size(text: &str) -> Option<u64> {
    let (number, suffix) = number_and_suffix(text)?;
    let factor: u64 = match suffix {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "t" | "T" | "TiB" => 1 << 40,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn number_and_suffix(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    Some((place::whole_number(digits)?, suffix))
}

fn within(number: Option<u64>, least: u64, most: u64) -> Option<u64> {
    number.filter(|number| (least..=most).contains(number))
}

fn shown_time(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.iter().find(|(length, _)| milliseconds > 0 && milliseconds.is_multiple_of(*length));
    whole.map_or(format!("{milliseconds}ms"), |(length, unit)| format!("{}{unit}", milliseconds / length))
}

fn shown_size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(length, _)| bytes > 0 && bytes.is_multiple_of(*length));
    whole.map_or(format!("{bytes}"), |(length, unit)| format!("{}{unit}", bytes / length))
}

/// A host without port: a name, an IPv4 address, or an IPv6 address with or without brackets. The brackets
/// fall off.
pub fn host(text: &str) -> Option<&str> {
    if let Some(inside) = text.strip_prefix('[') {
        return inside.strip_suffix(']').filter(|address| is_ipv6(address));
    }
    let name = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if name || is_ipv6(text) { Some(text) } else { None }
}

/// A zone (`fe80::1%eth0`) is left to the system.
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// `host` or `host:port`; an IPv6 address stands in brackets.
pub fn host_port(text: &str, default_port: u16) -> Option<(&str, u16)> {
    let bracket = text.rfind(']').unwrap_or(0);
    match text.rfind(':').filter(|colon| *colon > bracket) {
        Some(colon) => {
            let (name, port) = text.split_at(colon);
            let bare_ipv6 = name.contains(':') && !name.starts_with('[');
            let port = within(place::whole_number(port.strip_prefix(':')?), 1, 65535)?;
            host(name).filter(|_| !bare_ipv6).map(|host| (host, port as u16))
        }
        None => host(text).map(|host| (host, default_port)),
    }
}

/// File names and znodes are made of it: nothing that a file system, a shell or ZooKeeper takes amiss.
fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_start_point(text: &str) -> bool {
    matches!(text, "" | "-1")
        || place::whole_number(text).is_some()
        || place::file_and_position(text).is_some()
        || place::is_gtid_set_shaped(text)
        || text.split(';').all(|entry| placed(entry).is_some())
}

/// The original's `host:port#file#offset`.
pub fn placed(entry: &str) -> Option<((&str, u16), &str, u64)> {
    let (server, place) = entry.trim().split_once('#')?;
    let (file, offset) = place.rsplit_once('#')?;
    Some((host_port(server, 3306)?, file, place::whole_number(offset)?)).filter(|_| !file.is_empty())
}

fn is_zk_servers(text: &str) -> bool {
    let (servers, root) = text.split_at(text.find('/').unwrap_or(text.len()));
    list(servers).all(|part| host_port(part, 2181).is_some()) && (root.is_empty() || is_zk_path(root))
}

fn is_zk_path(text: &str) -> bool {
    let safe = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    text.strip_prefix('/').is_some_and(|path| path.split('/').all(safe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choice::Choice;
    use crate::config::choice::TransactionPolicy;

    #[test]
    fn times() {
        let cases =
            [("5s", 5000), ("500ms", 500), ("2h", 7_200_000), ("1m", 60_000), ("1d", 86_400_000), ("7", 7)];
        for (text, expected) in cases {
            assert_eq!(time(text, Unit::Milliseconds), Some(Duration::from_millis(expected)), "{text}");
        }
        assert_eq!(time("7", Unit::Seconds), Some(Duration::from_secs(7)));
        assert_eq!(time("500ms", Unit::Seconds), Some(Duration::from_millis(500)));
        for text in [
            "",
            "s",
            "1.5s",
            "-1",
            "+1",
            "5 s",
            "5S",
            "5sec",
            "1h30m",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert_eq!(time(text, Unit::Milliseconds), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("2097152", 2_097_152),
            ("64MiB", 64 << 20),
            ("2MB", 2_000_000),
            ("1GiB", 1 << 30),
            ("16k", 16 << 10),
            ("16K", 16 << 10),
            ("3G", 3 << 30),
            ("1TB", 1_000_000_000_000),
            ("0", 0),
            ("12B", 12),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        for text in ["", "MiB", "1.5G", "1Mb", "1 M", "-1", "99999999999T"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host("db-1.example_x.com"), Some("db-1.example_x.com"));
        assert_eq!(host("::1"), Some("::1"));
        assert_eq!(host("[fe80::1%eth0]"), Some("fe80::1%eth0"));
        for text in ["", "a b", "h:3306", "[::1", "::x", "a/b", "[h]", "user@h"] {
            assert_eq!(host(text), None, "{text}");
        }
        assert_eq!(host_port("10.0.0.1:3307", 3306), Some(("10.0.0.1", 3307)));
        assert_eq!(host_port("h", 3306), Some(("h", 3306)));
        assert_eq!(host_port("[::1]:3307", 3306), Some(("::1", 3307)));
        assert_eq!(host_port("[::1]", 3306), Some(("::1", 3306)));
        for text in ["h:", "h:0", "h:65536", ":3306", "::1:3306", "h:x", "", "[::1]3306"] {
            assert_eq!(host_port(text, 3306), None, "{text}");
        }
    }

    #[test]
    fn a_check_says_what_was_expected_and_what_was_there() {
        let cases: &[(Kind, &str, &str)] = &[
            (Kind::Whole(1, 65535), "abc", r#"expected a whole number from 1 to 65535, got "abc""#),
            (Kind::Whole(1, 65535), "70000", r#"expected a whole number from 1 to 65535, got "70000""#),
            (
                Kind::OneOf(TransactionPolicy::WORDS),
                "mnii",
                r#"expected one of none, mini, discard_huge_table, got "mnii", did you mean "mini"?"#,
            ),
            (Kind::Bool, "True", r#"expected true or false, got "True", did you mean "true"?"#),
            (
                Kind::Time(Unit::Milliseconds, 1, 3_600_000),
                "2 h",
                r#"expected a time in milliseconds, or with a unit (500ms, 5s, 1m, 2h, 7d), from 1ms to 1h, got "2 h""#,
            ),
            (
                Kind::Size(1, 1 << 30),
                "2Mo",
                r#"expected a number of bytes, or with a unit (16k, 64MiB, 1GiB: binary; 64MB: decimal), from 1 to 1GiB, got "2Mo""#,
            ),
            (
                Kind::Host,
                "db1:3307",
                r#"expected a host name or address, got "db1:3307"; the port has a key of its own"#,
            ),
            (Kind::Tables, "a.(b", r#"entry "a.(b": broken regular expression: unclosed group"#),
        ];
        for (kind, text, message) in cases {
            assert_eq!(kind.check(text).unwrap_err(), *message);
        }
        assert_eq!(shown(&"x".repeat(100)), format!("\"{}\"…", "x".repeat(60)));
        assert_eq!(shown("a\nb"), r#""a\nb""#);
    }

    #[test]
    fn names_paths_lists_and_points() {
        assert!(["producer00", "orders-eu_1", "0"].iter().all(|text| Kind::Name.check(text).is_ok()));
        for text in ["", "a/b", "..", ".a", "-a", "a b", "a.b", "é", &"x".repeat(65)] {
            assert!(Kind::Name.check(text).is_err(), "{text}");
        }
        assert!(["/a", "/fountain/beidou/leader/testha"].iter().all(|text| Kind::ZkPath.check(text).is_ok()));
        assert!(["", "a", "/", "/a/", "//a", "/a/../b"].iter().all(|text| Kind::ZkPath.check(text).is_err()));
        assert!(
            ["h:2181", "h,i:2182", "h:2181,i:2181/root"]
                .iter()
                .all(|text| Kind::ZkServers.check(text).is_ok())
        );
        assert!(["h:2181,", "", "h:2181/", "/root"].iter().all(|text| Kind::ZkServers.check(text).is_err()));
        assert!(Kind::ServerIds.check("10,11, 12").is_ok());
        assert!(["10,", "0", "4294967296", "a"].iter().all(|text| Kind::ServerIds.check(text).is_err()));
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        assert!(
            Kind::StartPoints
                .check(&format!("-1,bin.000001:4,10.0.0.1:3306#bin.000001#4,{uuid}:1-5;{uuid}:7,42,"))
                .is_ok()
        );
        assert!(Kind::StartPoints.check("bin.000001").is_err());
        assert_eq!(placed("h:1#bin.1#4"), Some((("h", 1), "bin.1", 4)));
        assert_eq!(placed("h:1##4"), None);
        assert!(Kind::WholeOrNone.check("-1").is_ok() && Kind::WholeOrNone.check("-2").is_err());
    }
}
