//! The paths of partial JSON updates: `$`, `.member`, `."quoted member"`, `[3]`, `[last]`, `[last-2]`. The
//! server writes them with `Json_path::to_string` and never with wildcards or ranges
//! (`sql-common/json_path.cc`).

use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, ColumnError>;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg<'a> {
    Member(Cow<'a, str>),
    /// Counted from the first.
    Cell(usize),
    /// Counted back from the last, which is 0.
    CellFromEnd(usize),
}

/// The legs of a path.
pub fn parse(path: &str) -> Result<Vec<Leg<'_>>> {
    let wrong = |reason| ColumnError::from(ColumnFault::Diff { path: path.to_owned(), reason });
    let mut rest =
        path.trim_ascii().strip_prefix('$').ok_or_else(|| wrong("the path does not start with $"))?;
    let mut legs = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let leg = if rest.is_empty() {
            return Ok(legs);
        } else if let Some(member) = rest.strip_prefix('.') {
            parse_member(member.trim_ascii_start())
        } else if let Some(cell) = rest.strip_prefix('[') {
            parse_cell(cell)
        } else {
            None
        };
        let (leg, behind) = leg.ok_or_else(|| wrong("the path cannot be read"))?;
        legs.push(leg);
        rest = behind;
    }
}

fn parse_member(text: &str) -> Option<(Leg<'_>, &str)> {
    if !text.starts_with('"') {
        let end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '.' | '[' | '*'));
        let (name, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
        return if name.is_empty() { None } else { Some((Leg::Member(Cow::Borrowed(name)), rest)) };
    }
    let mut escaped = false;
    let closing = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    let (quoted, rest) = text.split_at_checked(closing?.0 + 1)?;
    let name: String = serde_json::from_str(quoted).ok()?;
    Some((Leg::Member(Cow::Owned(name)), rest))
}

fn parse_cell(text: &str) -> Option<(Leg<'_>, &str)> {
    let (inside, rest) = text.split_once(']')?;
    let inside = inside.trim_ascii();
    let leg = match inside.strip_prefix("last") {
        None => Leg::Cell(inside.parse().ok()?),
        Some("") => Leg::CellFromEnd(0),
        Some(back) => {
            Leg::CellFromEnd(back.trim_ascii_start().strip_prefix('-')?.trim_ascii_start().parse().ok()?)
        }
    };
    Some((leg, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Leg<'_> {
        Leg::Member(Cow::Borrowed(name))
    }

    #[test]
    fn paths_as_the_server_writes_them() {
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(parse("$.a").unwrap(), [member("a")]);
        assert_eq!(parse("$.a.b[0][12]").unwrap(), [member("a"), member("b"), Leg::Cell(0), Leg::Cell(12)]);
        assert_eq!(parse(r#"$."a b"."q\"]\\".é"#).unwrap(), [member("a b"), member("q\"]\\"), member("é")]);
        assert_eq!(parse(r#"$."\u00e9""#).unwrap(), [member("é")]);
        assert_eq!(parse(r#"$."".x"#).unwrap(), [member(""), member("x")]);
        assert_eq!(parse("$[last]").unwrap(), [Leg::CellFromEnd(0)]);
        assert_eq!(parse("$[last-2] . a").unwrap(), [Leg::CellFromEnd(2), member("a")]);
    }

    #[test]
    fn what_is_no_path_is_an_error() {
        for path in [
            "",
            "a",
            "$a",
            "$.",
            "$..a",
            "$.*",
            "$[*]",
            "$[",
            "$[x]",
            "$[-1]",
            "$[1 to 2]",
            "$.\"a",
            "$**.a",
            "$[last+1]",
        ] {
            let error = parse(path).unwrap_err();
            assert_eq!(error.code(), crate::code::Code::BadValue, "{path}");
        }
    }
}
