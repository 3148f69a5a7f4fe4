//! The file format: `key=value` lines in the manner of Java properties, without their traps.
//!
//! `#` and `!` begin a comment only where a line begins (blanks before them allowed). The first `=` ends the
//! key; `: = # ;` are legal in a value, a backslash is a backslash, nothing continues on the next line, and
//! blanks around key and value fall off. The splitting is done by the `ini` crate; a pass over the text
//! before it finds what that crate passes over in silence: the line of each key, duplicates, sections, lines
//! without `=`.
//!
//! Messages never show a value, and of a key only what can be one: `mysql_password: x=y` must not print `x`.

use ini::configparser::ini::Ini;
use std::collections::HashMap;

/// One key of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// The value, possibly empty.
    pub value: String,
    /// Its line, from 1.
    pub line: u32,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// The keys of a file in their order, and the lines that cannot be used.
pub fn parse(bytes: &[u8]) -> (Vec<Entry>, Vec<BadLine>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return (Vec::new(), vec![not_utf8(bytes, error.valid_up_to())]),
    };
    let (usable, lines, mut bad) = sift(text);
    match split(usable) {
        Ok(values) => (in_order(values, &lines), bad),
        Err(reason) => {
            bad.push(BadLine { line: 1, reason });
            (Vec::new(), bad)
        }
    }
}

fn not_utf8(bytes: &[u8], valid: usize) -> BadLine {
    let line = 1 + bytes.iter().take(valid).filter(|byte| **byte == b'\n').count() as u32;
    BadLine { line, reason: "this line is not UTF-8 text; save the file as UTF-8".to_string() }
}

/// The text with every unusable line blanked, the line of each key, and what was wrong.
fn sift(text: &str) -> (String, HashMap<String, u32>, Vec<BadLine>) {
    let mut usable = String::with_capacity(text.len());
    let mut lines: HashMap<String, u32> = HashMap::new();
    let mut bad = Vec::new();
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        match key_of(content) {
            Ok(None) => {}
            Ok(Some(key)) => match lines.get(key) {
                Some(first) => {
                    let reason = format!("{} is given twice, first in line {first}", shown_key(key));
                    bad.push(BadLine { line, reason });
                }
                None => {
                    lines.insert(key.to_string(), line);
                    usable.push_str(content);
                }
            },
            Err(reason) => bad.push(BadLine { line, reason }),
        }
        usable.push('\n');
    }
    (usable, lines, bad)
}

/// The key of a line, `None` for a comment or a blank line.
fn key_of(content: &str) -> Result<Option<&str>, String> {
    if content.is_empty() || content.starts_with(['#', '!']) {
        return Ok(None);
    }
    if content.starts_with('[') {
        return Err("a section; there are none here, each line is key=value".to_string());
    }
    let Some((key, _)) = content.split_once('=') else {
        return Err("expected key=value, there is no \"=\" in this line".to_string());
    };
    match key.trim() {
        "" => Err("expected key=value, there is no key before \"=\"".to_string()),
        key => Ok(Some(key)),
    }
}

fn split(text: String) -> Result<HashMap<String, Option<String>>, String> {
    let mut defaults = Ini::new().defaults();
    defaults.delimiters = vec!['='];
    defaults.comment_symbols = vec!['#', '!'];
    defaults.enable_inline_comments = false;
    defaults.case_sensitive = true;
    defaults.multiline = false;
    let section = defaults.default_section.clone();
    let mut ini = Ini::new_from_defaults(defaults);
    let mut sections = ini.read(text)?;
    Ok(sections.remove(&section).unwrap_or_default())
}

fn in_order(values: HashMap<String, Option<String>>, lines: &HashMap<String, u32>) -> Vec<Entry> {
    let entry = |(key, value): (String, Option<String>)| {
        let line = lines.get(&key).copied().unwrap_or_default();
        Entry { key, value: value.unwrap_or_default(), line }
    };
    let mut entries: Vec<Entry> = values.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.line);
    entries
}

/// A key for a message, in quotes. Someone who writes `key: value` gets a "key" that holds part of the value,
/// so only the part that looks like a key is shown.
pub fn shown_key(key: &str) -> String {
    let end = key.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(key.len());
    match key.split_at(end) {
        (whole, "") => format!("\"{whole}\""),
        (start, _) => format!("\"{start}…\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, u32)> {
        let (entries, bad) = parse(text.as_bytes());
        assert_eq!(bad, []);
        entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut pairs = pairs(text);
        assert_eq!(pairs.len(), 1, "{text:?}");
        let (key, value, _) = pairs.remove(0);
        (key, value)
    }

    fn bad(text: &[u8]) -> Vec<(u32, String)> {
        parse(text).1.into_iter().map(|bad| (bad.line, bad.reason)).collect()
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        let cases = [
            ("pw=ab#cd", "pw", "ab#cd"),
            ("q=SET a=1; SET b=2", "q", "SET a=1; SET b=2"),
            ("url=jdbc:mysql://h:3306/db?x=1", "url", "jdbc:mysql://h:3306/db?x=1"),
            ("a:b=c", "a:b", "c"),
            ("a=", "a", ""),
            ("a==", "a", "="),
            (r"p=C:\new\tmp", "p", r"C:\new\tmp"),
            (r"r=^db_\d+$", "r", r"^db_\d+$"),
            (r"a=x,\", "a", r"x,\"),
            ("a=\"x y\"", "a", "\"x y\""),
            ("Server.ID=Abc", "Server.ID", "Abc"),
            ("  a \t= x y \t", "a", "x y"),
            ("a=${HOME}/x", "a", "${HOME}/x"),
            ("a=#x", "a", "#x"),
            ("a=[x]", "a", "[x]"),
            ("; c=1", "; c", "1"),
            ("键=值", "键", "值"),
            ("\u{feff}a=1", "a", "1"),
            ("default=1", "default", "1"),
        ];
        for (text, key, value) in cases {
            assert_eq!(one(text), (key.to_string(), value.to_string()), "{text:?}");
        }
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let text = "# c=1\r\n\r\n  # c=2\r\n! c=3\r\n\t! c=4\r\na=1\r\n  b=2\r\n\r\nc=3";
        let expected = [("a", "1", 6), ("b", "2", 7), ("c", "3", 9)];
        assert_eq!(
            pairs(text),
            expected.map(|(key, value, line)| (key.to_string(), value.to_string(), line))
        );
        assert!(pairs("").is_empty() && pairs("\u{feff}").is_empty());
    }

    #[test]
    fn an_indented_line_does_not_continue_the_one_before() {
        let expected = [("a", r"x,\", 1), ("b", "y", 2)];
        let expected = expected.map(|(key, value, line)| (key.to_string(), value.to_string(), line));
        assert_eq!(pairs("a=x,\\\n   b=y\n"), expected);
    }

    #[test]
    fn every_bad_line_is_named_and_the_good_ones_are_kept() {
        let text = "a=1\n[section]\njustkey\n=v\na=2\nb=3\n[oops\n";
        let (entries, bad) = parse(text.as_bytes());
        let keys: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str(), entry.line)).collect();
        assert_eq!(keys, [("a", "1", 1), ("b", "3", 6)]);
        let bad: Vec<_> = bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        let section = "a section; there are none here, each line is key=value";
        assert_eq!(
            bad,
            [
                (2, section),
                (3, "expected key=value, there is no \"=\" in this line"),
                (4, "expected key=value, there is no key before \"=\""),
                (5, "\"a\" is given twice, first in line 1"),
                (7, section),
            ]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_by_line() {
        let reason = "this line is not UTF-8 text; save the file as UTF-8".to_string();
        assert_eq!(bad(b"a=1\nb=\xe4\nc=\xff\n"), [(2, reason.clone())]);
        // "# password" in GBK
        assert_eq!(bad(b"# \xc3\xdc\xc2\xeb\na=1\n"), [(1, reason)]);
    }

    #[test]
    fn messages_do_not_show_values() {
        let all = bad(b"mysql_password u7i8o9p0\nmysql_password: u7=1\nmysql_password: u7=1\n");
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|(_, reason)| !reason.contains("u7")), "{all:?}");
        assert_eq!(shown_key("mysql_password: u7"), "\"mysql_password…\"");
        assert_eq!(shown_key("键_1.a-b"), "\"键_1.a-b\"");
    }

    #[test]
    fn odd_texts_do_not_panic() {
        for text in ["[", "]", "=", "==", "[=", "\\", "\r", "\0=\0", "a\u{2028}=b", "＝", "#", "!"] {
            parse(text.as_bytes());
            parse(format!("a=1\n{text}\nb=2").as_bytes());
        }
    }

    /// Whatever the crate below makes of a line: its key comes out, or the line is named.
    #[test]
    fn no_key_is_lost_in_silence() {
        let pieces = [
            "a", "b", "=", "=", " ", "\t", "#", ";", "!", "[", "]", ":", "\\", "\"", "'", "\r", "\0",
            "\u{b}", "\u{85}", "\u{a0}", "\u{2028}", "\u{feff}", "\u{3000}", "default", "DEFAULT", "ä",
            "x=y", "${a}",
        ];
        let mut random = crate::column::fixtures::Random::new(11);
        for _ in 0..20_000 {
            let lines: Vec<String> = (0..3)
                .map(|_| {
                    (0..random.below(6)).map(|_| pieces[random.below(pieces.len() as u64) as usize]).collect()
                })
                .collect();
            let text = lines.join("\n");
            let text = text.trim_start_matches('\u{feff}').to_string();
            let (_, wanted, bad) = sift(&text);
            let (entries, all_bad) = parse(text.as_bytes());
            assert_eq!(all_bad.len(), bad.len(), "{text:?}: {all_bad:?}");
            let mut found: Vec<_> = entries.iter().map(|entry| (entry.key.clone(), entry.line)).collect();
            let mut wanted: Vec<_> = wanted.into_iter().collect();
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "{text:?}");
            for entry in &entries {
                let line = text.split('\n').nth(entry.line as usize - 1).unwrap();
                let line = line.trim();
                let value = line.split_once('=').unwrap().1.trim();
                assert_eq!(entry.value, value, "{text:?}");
            }
        }
    }
}
