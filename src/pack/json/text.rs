//! Strings: checked, converted to UTF-8 and escaped, eight bytes at a time where nothing is to be done.

use crate::column::Charset;
use crate::column::ColumnError;
use crate::column::charset::InvalidText;
use crate::column::charset::Piece;
use crate::column::value::Text;
use crate::pack::json::write_base64;

const HEX: &[u8; 16] = b"0123456789abcdef";
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Appends text as a JSON string; bytes that are no text in its character set as `{"$base64":"…"}`.
#[inline]
pub fn write_text(out: &mut Vec<u8>, text: &Text<'_>) -> Result<(), ColumnError> {
    let start = out.len();
    let written = if text.charset.is_utf8() {
        write_utf8(out, text.bytes, text.charset)
    } else {
        write_converted(out, text.bytes, text.charset)
    };
    match written {
        Ok(()) => Ok(()),
        Err(InvalidText) => {
            out.truncate(start);
            out.extend_from_slice(b"{\"$base64\":");
            write_base64(out, text.bytes)?;
            out.push(b'}');
            Ok(())
        }
    }
}

/// Appends a JSON string.
#[inline]
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    append_escaped(out, text.as_bytes());
    out.push(b'"');
}

#[inline]
fn write_utf8(out: &mut Vec<u8>, bytes: &[u8], charset: Charset) -> Result<(), InvalidText> {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        charset.check_utf8(bytes)?;
        append_escaped(out, bytes);
    }
    out.push(b'"');
    Ok(())
}

fn write_converted(out: &mut Vec<u8>, bytes: &[u8], charset: Charset) -> Result<(), InvalidText> {
    out.push(b'"');
    if charset.is_ascii_compatible() && is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        charset.decode(bytes, |piece| match piece {
            Piece::Ascii(run) => append_escaped(out, run),
            Piece::Char(character) => append_char(out, character),
        })?;
    }
    out.push(b'"');
    Ok(())
}

fn append_char(out: &mut Vec<u8>, character: char) {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    match bytes {
        [byte] if is_special(*byte) => append_escape(out, *byte),
        [byte] => out.push(*byte),
        _ => out.extend_from_slice(bytes),
    }
}

/// Whether all bytes are ASCII that stands for itself in a JSON string.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut marks = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        marks |= special_marks(word) | word;
    }
    for byte in rest {
        if is_special(*byte) || !byte.is_ascii() {
            return false;
        }
    }
    marks & HIGH_BITS == 0
}

/// Sets the top bit of every byte below 0x20 and of every quote and backslash. A byte that follows such a one
/// may be marked wrongly, so only the lowest mark counts; top bits of other bytes below 0x80 stay clear,
/// those of bytes from 0x80 on are not cleared.
#[inline]
fn special_marks(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    quotes.wrapping_sub(ONES) | backslashes.wrapping_sub(ONES) | word.wrapping_sub(ONES * 0x20)
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends UTF-8 with what JSON does not allow in a string escaped.
pub fn append_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((plain, special, behind)) = split_at_special(rest) {
        out.extend_from_slice(plain);
        append_escape(out, special);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

/// What stands before the first byte to be escaped, that byte, and what follows it.
#[inline]
fn split_at_special(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut place = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let marks = special_marks(word) & !word & HIGH_BITS;
        if marks != 0 {
            place += marks.trailing_zeros() as usize / 8;
            return split_at(bytes, place);
        }
        place += 8;
    }
    let in_tail = tail.iter().position(|byte| is_special(*byte))?;
    split_at(bytes, place + in_tail)
}

#[inline]
fn split_at(bytes: &[u8], place: usize) -> Option<(&[u8], u8, &[u8])> {
    let (plain, rest) = bytes.split_at_checked(place)?;
    let (special, behind) = rest.split_first()?;
    Some((plain, *special, behind))
}

#[cold]
fn append_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::fixtures::Random;

    fn written(bytes: &[u8], charset: Charset) -> String {
        let mut out = b"x".to_vec();
        write_text(&mut out, &Text { bytes, charset }).unwrap();
        String::from_utf8(out).unwrap().strip_prefix('x').unwrap().to_owned()
    }

    #[test]
    fn the_fewest_escapes() {
        assert_eq!(written(b"", Charset::Utf8mb4), r#""""#);
        assert_eq!(written(b"a\"b\\c/d", Charset::Utf8mb4), r#""a\"b\\c/d""#);
        assert_eq!(
            written(b"\n\r\t\x08\x0c\x00\x1f\x7f", Charset::Utf8mb4),
            "\"\\n\\r\\t\\b\\f\\u0000\\u001f\x7f\""
        );
        assert_eq!(written("é€😀".as_bytes(), Charset::Utf8mb4), "\"é€😀\"");
    }

    #[test]
    fn other_character_sets_become_utf8() {
        assert_eq!(written(b"caf\xe9 \"1\"", Charset::Latin1), "\"café \\\"1\\\"\"");
        assert_eq!(written(b"plain", Charset::Latin1), "\"plain\"");
        assert_eq!(written(b"a|b", Charset::Swe7), "\"aöb\"");
        assert_eq!(written(&[0, 0x22, 0x20, 0xac], Charset::Ucs2), "\"\\\"€\"");
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(written(b"abcdefgh\xff", Charset::Utf8mb4), r#"{"$base64":"YWJjZGVmZ2j/"}"#);
        assert_eq!(written(b"a\x81", Charset::Cp1250), r#"{"$base64":"YYE="}"#);
        assert_eq!(written(b"a", Charset::Ucs2), r#"{"$base64":"YQ=="}"#);
        assert_eq!(written(b"\xe9", Charset::Ascii), r#"{"$base64":"6Q=="}"#);
    }

    #[test]
    fn every_byte_at_every_place_as_serde_json_writes_it() {
        for length in 1..=20 {
            for place in 0..length {
                for byte in 0..=0x7f {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let text = String::from_utf8(bytes).unwrap();
                    let expected = serde_json::to_string(&text).unwrap();
                    assert_eq!(written(text.as_bytes(), Charset::Utf8mb4), expected);
                }
            }
        }
    }

    #[test]
    fn random_text_as_serde_json_writes_it() {
        const LETTERS: [&str; 12] =
            ["a", "b", "\"", "\\", "\n", "\u{1}", " ", "é", "€", "😀", "\u{7f}", "xyz"];
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let length = random.below(30);
            let text: String = (0..length).map(|_| LETTERS[random.below(12) as usize]).collect();
            let expected = serde_json::to_string(&text).unwrap();
            assert_eq!(written(text.as_bytes(), Charset::Utf8mb4), expected);
            let mut out = Vec::new();
            write_string(&mut out, &text);
            assert_eq!(out, expected.as_bytes());
        }
    }
}
