//! Places as people write them: servers, and in a binlog `FILE:POS` and GTID sets. Only their shape is known
//! here; what a GTID set means is the business of `binlog::gtid_set`.

/// `host:port`; an IPv6 address, with or without brackets, stands in brackets.
pub fn address(host: &str, port: u16) -> String {
    match bare_host(host) {
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// A host without the brackets of an IPv6 address.
pub fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// `FILE:POS`: the last colon has digits only behind it, and what stands before it is no GTID's beginning.
pub fn file_and_position(text: &str) -> Option<(&str, u64)> {
    let (file, digits) = text.rsplit_once(':')?;
    if file.is_empty()
        || file.contains([',', ';', '#'])
        || file.chars().any(char::is_whitespace)
        || starts_with_uuid(file)
    {
        return None;
    }
    Some((file, whole_number(digits)?))
}

/// True for the shape of a GTID set: `UUID[:TAG]:N[-M][:N[-M]]…` (MySQL) or `DOMAIN-SERVER-NUMBER` (MariaDB),
/// joined by commas, or by the original's semicolons.
pub fn is_gtid_set_shaped(text: &str) -> bool {
    text.split([',', ';']).map(str::trim).all(|part| is_mysql_part(part) || is_mariadb_gtid(part))
}

/// A GTID set with MySQL's separator, the comma, where the original had semicolons.
pub fn with_commas(gtid_set: &str) -> String {
    gtid_set.replace(';', ",")
}

/// ASCII digits and nothing else.
pub fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn is_mysql_part(part: &str) -> bool {
    let Some((uuid, rest)) = part.split_once(':') else { return false };
    is_uuid(uuid.trim()) && rest.split(':').map(str::trim).all(|piece| is_interval(piece) || is_tag(piece))
}

fn is_interval(piece: &str) -> bool {
    let (from, to) = piece.split_once('-').unwrap_or((piece, piece));
    whole_number(from.trim()).is_some() && whole_number(to.trim()).is_some()
}

/// A letter or underscore, then up to 31 letters, digits and underscores (MySQL manual, "GTID Format and
/// Storage").
fn is_tag(piece: &str) -> bool {
    let begins = piece.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && piece.len() <= 32 && piece.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_mariadb_gtid(part: &str) -> bool {
    let numbers: Vec<_> = part.split('-').map(whole_number).collect();
    numbers.len() == 3 && numbers.iter().all(Option::is_some)
}

fn starts_with_uuid(text: &str) -> bool {
    text.split(':').next().is_some_and(is_uuid)
}

/// Five groups of hexadecimal digits, 8-4-4-4-12. MySQL also reads a UUID without its dashes.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    hex && (groups == [8, 4, 4, 4, 12] || groups == [32])
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn addresses_are_written_as_people_write_them() {
        assert_eq!(address("db1", 3306), "db1:3306");
        assert_eq!(address("::1", 3306), "[::1]:3306");
        assert_eq!(address("[::1]", 3306), "[::1]:3306");
    }

    #[test]
    fn file_and_position_are_told_from_gtids() {
        assert_eq!(file_and_position("mysql-bin.000003:1234"), Some(("mysql-bin.000003", 1234)));
        assert_eq!(file_and_position("/var/log/bin.000001:4"), Some(("/var/log/bin.000001", 4)));
        assert_eq!(file_and_position("C:bin.000001:4"), Some(("C:bin.000001", 4)));
        for text in [
            &format!("{UUID}:23"),
            &format!("{UUID}:tag:23"),
            &format!("{UUID}:1-5:7"),
            &format!("{UUID}:1,mysql-bin.1:4"),
            "0-1-42",
            "end",
            ":4",
            "mysql-bin.000003:",
            "mysql-bin.000003:-4",
            "mysql-bin.000003:+4",
            "mysql-bin.000003:99999999999999999999",
        ] {
            assert_eq!(file_and_position(text), None, "{text}");
        }
    }

    #[test]
    fn gtid_set_shapes() {
        for text in [
            &format!("{UUID}:23"),
            &format!("{UUID}:1-5:7-9"),
            &format!("{UUID}:tag:1-5:other_1:6"),
            &format!("{UUID}:1-5,\n{UUID}:9"),
            &format!("{UUID}:1-5;{UUID}:9"),
            &format!("{}:1", UUID.replace('-', "").to_uppercase()),
            "0-1-42",
            "0-1-42,1-7-3",
        ] {
            assert!(is_gtid_set_shaped(text), "{text}");
        }
        for text in ["", "end", UUID, "0-1", "0-1-x", "mysql-bin.000003:4", "3e11fa47:1", &format!("{UUID}:")]
        {
            assert!(!is_gtid_set_shaped(text), "{text}");
        }
        assert_eq!(with_commas("a:1;b:2"), "a:1,b:2");
    }
}
