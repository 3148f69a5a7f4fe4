//! Points as the original Fountain (the Java library) wrote them: plain text without a header, read here so that its
//! users go on where it stopped.
//!
//! | kind | text | who wrote it |
//! |---|---|---|
//! | [`OldPoint::Gtid`] | `UUID:START-END`, several joined by `;` | `GtIdSyncPoint` |
//! | [`OldPoint::Places`] | `HOST:PORT#FILE#OFFSET`, several joined by `;` | `BinlogAndOffsetSyncPoint` |
//! | [`OldPoint::Group`] | a decimal number, `-1` for none | `BaiduGroupIdSyncPoint` |
//! | [`OldPoint::MariadbGtid`] | `DOMAIN-SERVER-NUMBER,…` | people, by hand |
//!
//! Read besides: what MySQL itself prints of a GTID set (joined by `,` and line ends, `UUID:5`, `UUID:1-3:5-7`, tags), a
//! byte order mark, line ends of either kind behind the text, and IPv6 addresses with or without brackets.
//!
//! **What a GTID set means.** The original wrote the number of the transaction that it was in the middle of as END, and
//! sent the set with its ends excluded: the last transaction that an interval names may not have been delivered.
//! [`parse`] takes it out, so it is delivered again. A **group id** is a transaction that is delivered whole: the
//! original saved the last but one (`DelayGroupIdDisposeEventPosition` stands in all its Ares configurations). An
//! **offset** is where the next event starts.
//!
//! An empty text, a torn one and one that says "none" are errors: whoever finds them must not start anew in silence.

use crate::binlog::GtidSet;
use crate::binlog::MariadbGtid;
use crate::binlog::MariadbGtidPosition;
use crate::binlog::gtid_set::Interval;
use std::fmt;

/// The original read no more than the first 1024 bytes of its own files; sets of many servers may be longer.
pub const MAX_BYTES: usize = 1 << 20;

/// A binlog's first event.
const FIRST_POSITION: u64 = 4;

/// A point of the original, its meaning brought to ours: everything that it names is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldPoint {
    /// MySQL's GTIDs; the last one of each interval that the text named is taken out.
    Gtid(GtidSet),
    /// MariaDB's GTIDs, the last one of each domain.
    MariadbGtid(MariadbGtidPosition),
    /// A place for each server of the shard. Not empty.
    Places(Vec<ServerPlace>),
    /// The group id of Baidu's MySQL 5.1: the last transaction delivered.
    Group(u64),
}

/// Which kind is expected where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKind {
    Gtid,
    Places,
    Group,
    /// Whatever the text looks like.
    Any,
}

/// A place in one server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPlace {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
    pub file: String,
    /// Where the next event starts, in bytes from the file's beginning; 4 or more.
    pub pos: u64,
}

impl fmt::Display for ServerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}#{}", self.host, self.port, self.file, self.pos)
    }
}

/// The entry of a server: by the host as it is configured, else by the address that it was reached at.
pub fn place_of<'a>(
    places: &'a [ServerPlace],
    host: &str,
    address: Option<&str>,
    port: u16,
) -> Option<&'a ServerPlace> {
    let of = |host: &str| {
        let host = bare(host);
        places.iter().find(|place| place.port == port && place.host.eq_ignore_ascii_case(host))
    };
    of(host).or_else(|| address.and_then(of))
}

/// A text that is no point: what it says, where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPointError {
    text: String,
    problem: String,
}

impl fmt::Display for OldPointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => f.write_str(&self.problem),
            text => write!(f, "{text}: {}", self.problem),
        }
    }
}

impl std::error::Error for OldPointError {}

/// Reads a point's bytes. The error begins with the text as far as it can be shown.
pub fn parse(bytes: &[u8], kind: OldKind) -> Result<OldPoint, OldPointError> {
    let text = text_of(bytes)?;
    let read = match kind {
        OldKind::Any => any(text),
        OldKind::Gtid => gtid(text),
        OldKind::Places => places(text),
        OldKind::Group => group(text),
    };
    read.map_err(|problem| OldPointError { text: shown(text), problem })
}

/// The text without byte order mark and without white space at its ends.
fn text_of(bytes: &[u8]) -> Result<&str, OldPointError> {
    let problem = |problem: String| OldPointError { text: String::new(), problem };
    if bytes.len() > MAX_BYTES {
        return Err(problem(format!("it has more than {MAX_BYTES} bytes, which no point has")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        problem(format!("it is not text: byte {} is not of UTF-8", error.valid_up_to() + 1))
    })?;
    match text.strip_prefix('\u{feff}').unwrap_or(text).trim() {
        "" => Err(problem("it is empty".to_owned())),
        text => Ok(text),
    }
}

fn any(text: &str) -> Result<OldPoint, String> {
    if text.contains('#') {
        places(text)
    } else if looks_like_a_number(text) {
        group(text)
    } else if text.contains(':') || is_mariadb_shaped(text) {
        gtid(text)
    } else {
        Err("expected a GTID set (UUID:1-23;…), places (HOST:PORT#FILE#OFFSET;…) or a group id".to_owned())
    }
}

fn looks_like_a_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn group(text: &str) -> Result<OldPoint, String> {
    match text.parse::<u64>() {
        Ok(0) | Err(_) if text == "-1" || text == "0" => {
            Err("it says \"none\": nothing was known of where the shard stood when it was written".to_owned())
        }
        Ok(id) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(OldPoint::Group(id)),
        _ => Err("expected a group id, a whole number from 1 to 18446744073709551615".to_owned()),
    }
}

fn gtid(text: &str) -> Result<OldPoint, String> {
    refuse_open_end(text)?;
    if is_mariadb_shaped(text) {
        return mariadb(text);
    }
    // As long as before, so that places in messages stay right.
    let set = text.replace(';', ",").parse::<GtidSet>().map_err(|error| error.to_string())?;
    if set.is_empty() {
        return Err("expected a GTID set, UUID:1-23;…".to_owned());
    }
    Ok(OldPoint::Gtid(without_ends(&set)))
}

/// Takes the last transaction out of each interval.
fn without_ends(set: &GtidSet) -> GtidSet {
    let mut rest = set.clone();
    for (source, tag, interval) in set.iter() {
        if let Some(last) = Interval::new(interval.end - 1, interval.end) {
            rest.remove_interval(source, tag, last);
        }
    }
    rest
}

fn is_mariadb_shaped(text: &str) -> bool {
    text.split([',', ';']).all(|part| part.parse::<MariadbGtid>().is_ok())
}

fn mariadb(text: &str) -> Result<OldPoint, String> {
    let mut position = MariadbGtidPosition::new();
    for part in text.split([',', ';']) {
        let gtid = part.parse::<MariadbGtid>().map_err(|error| error.to_string())?;
        if position.get(gtid.domain).is_some() {
            return Err(format!("expected one GTID a domain, found domain {} twice", gtid.domain));
        }
        position.set(gtid);
    }
    Ok(OldPoint::MariadbGtid(position))
}

fn places(text: &str) -> Result<OldPoint, String> {
    refuse_open_end(text)?;
    let mut places: Vec<ServerPlace> = Vec::new();
    for (number, entry) in (1..).zip(text.split(';')) {
        let place = place(entry.trim())
            .map_err(|expected| format!("entry {number}: expected {expected}, found {}", shown(entry)))?;
        if place_of(&places, &place.host, None, place.port).is_some() {
            return Err(format!("entry {number}: {}:{} has two places", place.host, place.port));
        }
        places.push(place);
    }
    Ok(OldPoint::Places(places))
}

fn place(entry: &str) -> Result<ServerPlace, &'static str> {
    const FORM: &str = "HOST:PORT#FILE#OFFSET";
    let (server, rest) = entry.split_once('#').ok_or(FORM)?;
    let (file, offset) = rest.rsplit_once('#').ok_or(FORM)?;
    let (host, port) = server.rsplit_once(':').ok_or("HOST:PORT before the first #")?;
    let host = bare(host);
    let port = number(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or("a port from 1 to 65535")?;
    if host.is_empty() || file.is_empty() || file.contains('#') || file.chars().any(char::is_control) {
        return Err(FORM);
    }
    let pos = number(offset).filter(|pos| *pos >= FIRST_POSITION);
    let pos = pos.ok_or("an offset in bytes, 4 for a file's first event")?;
    Ok(ServerPlace { host: host.to_owned(), port, file: file.to_owned(), pos })
}

/// The original never wrote a separator at the end: behind one, something is missing.
fn refuse_open_end(text: &str) -> Result<(), String> {
    match text.ends_with([';', ',']) {
        true => Err("it is torn: expected another entry behind the last separator".to_owned()),
        false => Ok(()),
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// In quotes, on one line, not endless.
fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", text.split_at(end).0),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "f1e2d3c4-b5a6-9788-ffff-00807f018001";

    fn any(text: &str) -> Result<OldPoint, String> {
        parse(text.as_bytes(), OldKind::Any).map_err(|error| error.to_string())
    }

    fn set(text: &str) -> String {
        match any(text) {
            Ok(OldPoint::Gtid(set)) => set.to_line(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_last_transaction_of_each_interval_is_delivered_again() {
        assert_eq!(set(&format!("{A}:1-5")), format!("{A}:1-4"));
        assert_eq!(set(&format!("{A}:1-19;{B}:22-66")), format!("{A}:1-18,{B}:22-65"));
        assert_eq!(set(&format!("{A}:1-1")), "", "nothing is delivered for certain");
        assert_eq!(set(&format!("{A}:1-1;{B}:1-2")), format!("{B}:1"));
        // MySQL's own forms.
        assert_eq!(set(&format!("{A}:1-5,\n{B}:7\n")), format!("{A}:1-4"));
        assert_eq!(set(&format!("{A}:5")), "");
        assert_eq!(set(&format!("{A}:1-3:5-7")), format!("{A}:1-2:5-6"));
        assert_eq!(set(&format!("{A}:1-3:red:1-9")), format!("{A}:1-2:red:1-8"));
        assert_eq!(set(&format!("{}:1-3", A.to_uppercase())), format!("{A}:1-2"));
    }

    #[test]
    fn byte_order_mark_and_line_ends_fall_off() {
        for text in [format!("\u{feff}{A}:1-5\r\n"), format!("{A}:1-5\n"), format!(" {A}:1-5\n\n")] {
            assert_eq!(set(&text), format!("{A}:1-4"), "{text:?}");
        }
        assert_eq!(any("42\r\n"), Ok(OldPoint::Group(42)));
    }

    fn place(host: &str, port: u16, file: &str, pos: u64) -> ServerPlace {
        ServerPlace { host: host.to_owned(), port, file: file.to_owned(), pos }
    }

    #[test]
    fn places_are_found_by_host_and_else_by_address() {
        let text = "db1:3306#mysql-bin.000003#1234;10.0.0.2:3307#bin.1#5000000000;[::1]:3308#a.b.7#4;fe80::1:3309#c.1#4";
        let Ok(OldPoint::Places(places)) = any(text) else { panic!() };
        assert_eq!(places[0], place("db1", 3306, "mysql-bin.000003", 1234));
        assert_eq!(places[2], place("::1", 3308, "a.b.7", 4));
        assert_eq!(places[3], place("fe80::1", 3309, "c.1", 4), "the original put no brackets");
        let found = |host, address, port| place_of(&places, host, address, port).map(|p| p.file.as_str());
        assert_eq!(found("DB1", None, 3306), Some("mysql-bin.000003"));
        assert_eq!(found("db2", Some("10.0.0.2"), 3307), Some("bin.1"));
        assert_eq!(found("[::1]", None, 3308), Some("a.b.7"));
        assert_eq!(found("db1", Some("10.0.0.2"), 3306), Some("mysql-bin.000003"), "the host comes first");
        assert_eq!(found("db1", Some("10.0.0.1"), 3307), None, "another port is another server");
    }

    #[test]
    fn group_ids_and_mariadb_positions() {
        assert_eq!(any("18446744073709551615"), Ok(OldPoint::Group(u64::MAX)));
        for (text, printed) in [("0-1-42", "0-1-42"), ("7-2-9, 0-1-42\n", "0-1-42,7-2-9")] {
            let Ok(OldPoint::MariadbGtid(position)) = any(text) else { panic!("{text}") };
            assert_eq!(position.to_string(), printed);
        }
        assert!(any("0-1-42,0-2-9").unwrap_err().contains("domain 0 twice"));
    }

    #[test]
    fn what_is_no_point_is_named_with_its_place() {
        let cases = [
            ("", "it is empty"),
            ("\u{feff} \r\n", "it is empty"),
            ("-1", "\"-1\": it says \"none\""),
            ("0", "\"0\": it says \"none\""),
            ("-2", "\"-2\": expected a group id"),
            ("18446744073709551616", "expected a group id"),
            ("mysql-bin.000003", "expected a GTID set"),
            ("db1:3306#bin.1#4;", "it is torn: expected another entry"),
            ("db1:3306#bin.1#4;db2:33", "entry 2: expected HOST:PORT#FILE#OFFSET, found \"db2:33\""),
            ("db1:3306#bin.1#", "entry 1: expected an offset in bytes"),
            ("db1:3306#bin.1#-1", "entry 1: expected an offset in bytes"),
            ("db1:3306#bin.1#3", "entry 1: expected an offset in bytes"),
            ("db1#bin.1#4", "entry 1: expected HOST:PORT before the first #"),
            ("db1:70000#bin.1#4", "entry 1: expected a port"),
            ("db1:3306##4", "entry 1: expected HOST:PORT#FILE#OFFSET"),
            ("db1:1#bin.1#4;db1:1#bin.2#4", "entry 2: db1:1 has two places"),
        ];
        for (text, expected) in cases {
            let error = any(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let torn = format!("{A}:1-5;{B}:1-");
        let error = any(&torn).unwrap_err();
        assert!(error.starts_with(&format!("{torn:?}: expected a number")), "{error}");
        assert!(error.ends_with("at character 80, found the end of the text"), "{error}");
        assert!(any(&format!("{A}:1-5;")).unwrap_err().contains("torn"));
        assert!(any(&format!("{A}:5-1")).is_err());
        assert!(parse(&[0xff], OldKind::Any).unwrap_err().to_string().contains("byte 1 is not of UTF-8"));
        assert!(parse(&[0; 8], OldKind::Gtid).is_err(), "zeros that a crash left");
        assert!(parse(&vec![b'1'; MAX_BYTES + 1], OldKind::Any).is_err());
    }

    #[test]
    fn each_kind_is_kept_apart() {
        for (text, kind) in [
            ("42", OldKind::Gtid),
            ("42", OldKind::Places),
            ("db1:3306#bin.1#4", OldKind::Gtid),
            ("db1:3306#bin.1#4", OldKind::Group),
            (&format!("{A}:1-5"), OldKind::Group),
            (&format!("{A}:1-5"), OldKind::Places),
        ] {
            assert!(parse(text.as_bytes(), kind).is_err(), "{text} as {kind:?}");
        }
    }

    /// A file that was cut while it was written holds a point, an older one, or is refused; it is never taken for a
    /// later one.
    #[test]
    fn a_cut_never_goes_ahead() {
        let text = format!("{A}:1-523;{B}:7-66");
        let Ok(OldPoint::Gtid(whole)) = any(&text) else { panic!() };
        for cut in 0..text.len() {
            if let Ok(point) = parse(&text.as_bytes()[..cut], OldKind::Gtid) {
                let OldPoint::Gtid(part) = point else { panic!("{point:?}") };
                assert!(whole.contains_set(&part), "cut at {cut}: {}", part.to_line());
            }
        }
    }
}
