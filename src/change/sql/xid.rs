//! The name of an XA transaction in a statement.

/// The name as servers log it, `X'6162',X'',1`: `XID::serialize` in MySQL's `sql/xa.h`, `serialized_xid` in MariaDB's
/// `sql/handler.h`. None when the statement holds nothing of that form.
pub fn logged_xid(statement: &str) -> Option<&str> {
    let start = statement.find("X'")?;
    let name = statement.get(start..)?;
    let rest = quoted(name)?.strip_prefix(',')?;
    let rest = quoted(rest)?.strip_prefix(',')?;
    let rest_behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest_behind.len() < rest.len() {
        true => name.get(..name.len() - rest_behind.len()),
        false => None,
    }
}

/// What stands behind `X'…'`.
fn quoted(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("X'")?;
    digits.trim_start_matches(|c: char| c.is_ascii_hexdigit()).strip_prefix('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_taken_as_it_stands() {
        for (statement, name) in [
            ("XA START X'6162',X'',1", Some("X'6162',X'',1")),
            ("XA COMMIT X'00ff27',X'62',4294967295 ONE PHASE", Some("X'00ff27',X'62',4294967295")),
            ("XA START X'',X'',0", Some("X'',X'',0")),
            ("XA START 'a','b',1", None),
            ("XA START X'6g',X'',1", None),
            ("XA START X'61',X'',", None),
            ("XA START X'61',X''", None),
            ("XA RECOVER", None),
        ] {
            assert_eq!(logged_xid(statement), name, "{statement}");
        }
    }
}
