//! Character sets: which one a collation id or a name means, and text of each turned into UTF-8.
//!
//! The characters are the server's own, as `CONVERT(… USING utf8mb4)` gives them: measured on MySQL 5.6.24 and 9.7.4 and
//! on MariaDB 10.11, which agree about every code of every set. Where the server would print `?` or U+FFFD for want of a
//! character, and for bytes that are not well formed, a text is [`InvalidText`] as a whole.

mod collations;
mod differences;
mod multi_byte;
mod single_byte;

use multi_byte::MultiByte;
use single_byte as tables;
use single_byte::UpperHalf;

/// How a set's bytes make characters.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    /// UTF-8 up to three bytes a character.
    Utf8mb3,
    Ascii,
    /// ASCII below 0x80, a table above.
    Table(&'static UpperHalf),
    Swe7,
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
    /// ASCII below 0x80, characters of two to four bytes.
    MultiByte(&'static MultiByte),
    Binary,
}

macro_rules! charsets {
    ($($variant:ident $name:literal $max_bytes:literal $encoding:expr;)*) => {
        /// A character set of MySQL or MariaDB.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Charset { $($variant),* }

        impl Charset {
            /// Every character set.
            pub const ALL: &'static [Charset] = &[$(Charset::$variant),*];

            /// The server's name of the set.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The largest number of bytes of one character (`information_schema.CHARACTER_SETS.MAXLEN`).
            pub fn max_bytes(self) -> u32 {
                match self { $(Self::$variant => $max_bytes),* }
            }

            fn encoding(self) -> Encoding {
                match self { $(Self::$variant => $encoding),* }
            }
        }
    };
}

charsets! {
    Armscii8 "armscii8" 1 Encoding::Table(&tables::ARMSCII8);
    Ascii "ascii" 1 Encoding::Ascii;
    Big5 "big5" 2 Encoding::MultiByte(&multi_byte::BIG5);
    Binary "binary" 1 Encoding::Binary;
    Cp1250 "cp1250" 1 Encoding::Table(&tables::CP1250);
    Cp1251 "cp1251" 1 Encoding::Table(&tables::CP1251);
    Cp1256 "cp1256" 1 Encoding::Table(&tables::CP1256);
    Cp1257 "cp1257" 1 Encoding::Table(&tables::CP1257);
    Cp850 "cp850" 1 Encoding::Table(&tables::CP850);
    Cp852 "cp852" 1 Encoding::Table(&tables::CP852);
    Cp866 "cp866" 1 Encoding::Table(&tables::CP866);
    Cp932 "cp932" 2 Encoding::MultiByte(&multi_byte::CP932);
    Dec8 "dec8" 1 Encoding::Table(&tables::DEC8);
    Eucjpms "eucjpms" 3 Encoding::MultiByte(&multi_byte::EUCJPMS);
    Euckr "euckr" 2 Encoding::MultiByte(&multi_byte::EUCKR);
    Gb18030 "gb18030" 4 Encoding::MultiByte(&multi_byte::GB18030);
    Gb2312 "gb2312" 2 Encoding::MultiByte(&multi_byte::GB2312);
    Gbk "gbk" 2 Encoding::MultiByte(&multi_byte::GBK);
    Geostd8 "geostd8" 1 Encoding::Table(&tables::GEOSTD8);
    Greek "greek" 1 Encoding::Table(&tables::GREEK);
    Hebrew "hebrew" 1 Encoding::Table(&tables::HEBREW);
    Hp8 "hp8" 1 Encoding::Table(&tables::HP8);
    Keybcs2 "keybcs2" 1 Encoding::Table(&tables::KEYBCS2);
    Koi8r "koi8r" 1 Encoding::Table(&tables::KOI8R);
    Koi8u "koi8u" 1 Encoding::Table(&tables::KOI8U);
    Latin1 "latin1" 1 Encoding::Table(&tables::LATIN1);
    Latin2 "latin2" 1 Encoding::Table(&tables::LATIN2);
    Latin5 "latin5" 1 Encoding::Table(&tables::LATIN5);
    Latin7 "latin7" 1 Encoding::Table(&tables::LATIN7);
    Macce "macce" 1 Encoding::Table(&tables::MACCE);
    Macroman "macroman" 1 Encoding::Table(&tables::MACROMAN);
    Sjis "sjis" 2 Encoding::MultiByte(&multi_byte::SJIS);
    Swe7 "swe7" 1 Encoding::Swe7;
    Tis620 "tis620" 1 Encoding::Table(&tables::TIS620);
    Ucs2 "ucs2" 2 Encoding::Ucs2;
    Ujis "ujis" 3 Encoding::MultiByte(&multi_byte::UJIS);
    Utf16 "utf16" 4 Encoding::Utf16;
    Utf16le "utf16le" 4 Encoding::Utf16le;
    Utf32 "utf32" 4 Encoding::Utf32;
    Utf8mb3 "utf8mb3" 3 Encoding::Utf8mb3;
    Utf8mb4 "utf8mb4" 4 Encoding::Utf8;
}

/// Text whose bytes are not characters of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidText;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Characters below 0x80 that stand for themselves; at least one.
    Ascii(&'a [u8]),
    Char(char),
}

/// The first byte of a character of four bytes in UTF-8.
const FOUR_BYTES: u8 = 0xf0;

impl Charset {
    /// The set of a name, in any case; `utf8` is utf8mb3.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Self::Utf8mb3);
        }
        Self::ALL.iter().copied().find(|charset| name.eq_ignore_ascii_case(charset.name()))
    }

    /// Whether the bytes are UTF-8 already: [`Charset::check_utf8`] says which are.
    #[inline]
    pub fn is_utf8(self) -> bool {
        matches!(self, Self::Utf8mb4 | Self::Utf8mb3 | Self::Ascii)
    }

    /// Bytes that are characters of the set as they stand; for sets that are UTF-8 or a part of it.
    pub fn check_utf8(self, bytes: &[u8]) -> Result<&str, InvalidText> {
        let text = str::from_utf8(bytes).map_err(|_| InvalidText)?;
        let fits = match self.encoding() {
            Encoding::Utf8 => true,
            Encoding::Utf8mb3 => bytes.iter().all(|byte| *byte < FOUR_BYTES),
            _ => text.is_ascii(),
        };
        if fits { Ok(text) } else { Err(InvalidText) }
    }

    /// Whether a byte below 0x80 that begins a character is the ASCII character.
    pub fn is_ascii_compatible(self) -> bool {
        match self.encoding() {
            Encoding::Utf8 | Encoding::Utf8mb3 | Encoding::Ascii => true,
            Encoding::Table(_) | Encoding::MultiByte(_) => true,
            Encoding::Swe7 | Encoding::Ucs2 | Encoding::Utf16 | Encoding::Utf16le | Encoding::Utf32 => false,
            Encoding::Binary => false,
        }
    }

    /// Hands the text to `push`, piece by piece. At the first byte that is no character of the set it stops; what was
    /// pushed until then is to be thrown away.
    pub fn decode(self, bytes: &[u8], mut push: impl FnMut(Piece<'_>)) -> Result<(), InvalidText> {
        self.pieces(bytes, |piece| {
            push(piece?);
            Ok(())
        })
    }

    /// The text as a string of its own, for labels and names.
    pub fn to_string(self, bytes: &[u8]) -> Result<String, InvalidText> {
        let mut text = String::with_capacity(bytes.len());
        self.decode(bytes, |piece| piece.append_to(&mut text))?;
        Ok(text)
    }

    /// The text for reading: U+FFFD for whatever is no character of the set.
    pub fn to_string_lossy(self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        let outcome = self.pieces(bytes, |piece| {
            piece.unwrap_or(Piece::Char(char::REPLACEMENT_CHARACTER)).append_to(&mut text);
            Ok(())
        });
        match outcome {
            Ok(()) => text,
            Err(InvalidText) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// Hands over every piece. Sets whose bytes cannot be told apart after an invalid one give an error of their own.
    fn pieces(
        self,
        bytes: &[u8],
        mut on: impl FnMut(Result<Piece<'_>, InvalidText>) -> Result<(), InvalidText>,
    ) -> Result<(), InvalidText> {
        match self.encoding() {
            Encoding::Utf8 | Encoding::Utf8mb3 | Encoding::Ascii => {
                self.check_utf8(bytes)?.chars().try_for_each(|character| on(Ok(Piece::Char(character))))
            }
            Encoding::Table(upper) => with_ascii_runs(bytes, |rest| (table_char(upper, rest), 1), on),
            Encoding::MultiByte(set) => with_ascii_runs(bytes, |rest| set.first(rest), on),
            Encoding::Swe7 => {
                bytes.iter().try_for_each(|byte| on(swe7_char(*byte).map(Piece::Char).ok_or(InvalidText)))
            }
            // A pair of surrogates would be two characters to the server, and neither of them can be written.
            Encoding::Ucs2 => {
                units(bytes, u16::from_be_bytes)?.try_for_each(|unit| on(unicode_piece(unit.into())))
            }
            Encoding::Utf16 => utf16_pieces(units(bytes, u16::from_be_bytes)?, on),
            Encoding::Utf16le => utf16_pieces(units(bytes, u16::from_le_bytes)?, on),
            Encoding::Utf32 => units(bytes, u32::from_be_bytes)?.try_for_each(|unit| on(unicode_piece(unit))),
            Encoding::Binary => Err(InvalidText),
        }
    }
}

impl Piece<'_> {
    fn append_to(&self, text: &mut String) {
        match *self {
            Piece::Ascii(run) => text.extend(run.iter().map(|byte| char::from(*byte))),
            Piece::Char(character) => text.push(character),
        }
    }
}

/// Runs of ASCII as they stand; `first` takes the first piece of what begins with another byte, and says its length.
#[inline]
fn with_ascii_runs<'a>(
    bytes: &'a [u8],
    first: impl Fn(&'a [u8]) -> (Option<char>, usize),
    mut on: impl FnMut(Result<Piece<'a>, InvalidText>) -> Result<(), InvalidText>,
) -> Result<(), InvalidText> {
    let mut rest = bytes;
    loop {
        let (ascii, others) = rest.split_at(encoding_rs::Encoding::ascii_valid_up_to(rest));
        if !ascii.is_empty() {
            on(Ok(Piece::Ascii(ascii)))?;
        }
        if others.is_empty() {
            return Ok(());
        }
        rest = others;
        while let [0x80..=0xff, ..] = rest {
            let (character, length) = first(rest);
            on(character.map(Piece::Char).ok_or(InvalidText))?;
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

#[inline]
fn table_char(upper: &UpperHalf, bytes: &[u8]) -> Option<char> {
    match bytes.first().and_then(|byte| upper.get(usize::from(*byte & 0x7f))) {
        Some(&code) if code != 0 => char::from_u32(code.into()),
        _ => None,
    }
}

fn unicode_piece(code: u32) -> Result<Piece<'static>, InvalidText> {
    char::from_u32(code).map(Piece::Char).ok_or(InvalidText)
}

/// The Swedish seven-bit set: ASCII with ten places given to other letters.
fn swe7_char(byte: u8) -> Option<char> {
    Some(match byte {
        0x40 => 'É',
        0x5b => 'Ä',
        0x5c => 'Ö',
        0x5d => 'Å',
        0x5e => 'Ü',
        0x60 => 'é',
        0x7b => 'ä',
        0x7c => 'ö',
        0x7d => 'å',
        0x7e => 'ü',
        0x7f.. => return None,
        _ => char::from(byte),
    })
}

/// Code units of a fixed size; bytes left over at the end are invalid.
fn units<const N: usize, T>(
    bytes: &[u8],
    read: fn([u8; N]) -> T,
) -> Result<impl Iterator<Item = T>, InvalidText> {
    match bytes.as_chunks::<N>() {
        (chunks, []) => Ok(chunks.iter().map(move |chunk| read(*chunk))),
        _ => Err(InvalidText),
    }
}

fn utf16_pieces(
    units: impl Iterator<Item = u16>,
    mut on: impl FnMut(Result<Piece<'_>, InvalidText>) -> Result<(), InvalidText>,
) -> Result<(), InvalidText> {
    char::decode_utf16(units).try_for_each(|unit| on(unit.map(Piece::Char).map_err(|_| InvalidText)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_the_old_name_of_utf8mb3() {
        assert_eq!(Charset::from_name("utf8"), Some(Charset::Utf8mb3));
        assert_eq!(Charset::from_name("UTF8MB4"), Some(Charset::Utf8mb4));
        assert_eq!(Charset::from_name("latin1"), Some(Charset::Latin1));
        assert_eq!(Charset::from_name("klingon"), None);
    }

    #[test]
    fn each_encoding_decodes() {
        let cases: &[(Charset, &[u8], &str)] = &[
            (Charset::Utf8mb4, "aé€😀".as_bytes(), "aé€😀"),
            (Charset::Ascii, b"a\x7f", "a\x7f"),
            (Charset::Latin1, b"a\x80\x81\xe9\xff", "a€\u{81}éÿ"),
            (Charset::Cp1251, b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
            (Charset::Koi8r, b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
            (Charset::Swe7, b"@[\\]^`{|}~A", "ÉÄÖÅÜéäöåüA"),
            (Charset::Ucs2, &[0, 0x61, 0x20, 0xac], "a€"),
            (Charset::Utf16, &[0, 0x61, 0xd8, 0x3d, 0xde, 0x00], "a😀"),
            (Charset::Utf16le, &[0x61, 0, 0x3d, 0xd8, 0x00, 0xde], "a😀"),
            (Charset::Utf32, &[0, 0, 0, 0x61, 0, 1, 0xf6, 0], "a😀"),
            (Charset::Gbk, b"a\xd2\xbb\xc0\x5c", "a一繺"),
            (Charset::Sjis, b"\x83\x5c\x5c\xb1\x81\x5f", "ソ\\ｱ\\"),
            (Charset::Cp932, b"\x83\x5c\x5c\xb1\x81\x5f\xf0\x40", "ソ\\ｱ＼\u{e000}"),
            (Charset::Big5, b"\xa4\xa4\xa4\xe5", "中文"),
            (Charset::Ujis, b"\xc6\xfc\x8e\xb1\x8f\xb0\xa1", "日ｱ丂"),
            (Charset::Eucjpms, b"\xad\xa1\x8f\xf4\xaa", "①＂"),
            (Charset::Euckr, b"\xc7\xd1", "한"),
            (Charset::Gb2312, b"\xd6\xd0\xa1\xa4", "中・"),
            (Charset::Gb18030, b"\xd6\xd0\x81\x30\x81\x30\x94\x39\xfc\x36", "中\u{80}😀"),
        ];
        for (charset, bytes, text) in cases {
            assert_eq!(charset.to_string(bytes).as_deref(), Ok(*text), "{charset:?}");
        }
    }

    #[test]
    fn bytes_outside_the_set_are_invalid() {
        let cases: &[(Charset, &[u8])] = &[
            (Charset::Utf8mb4, b"\xff"),
            (Charset::Ascii, b"\x80"),
            (Charset::Cp1250, b"\x81"),
            (Charset::Tis620, b"\xff"),
            (Charset::Swe7, b"\x7f"),
            (Charset::Ucs2, &[0]),
            (Charset::Ucs2, &[0xd8, 0x3d, 0xde, 0x00]),
            (Charset::Utf16, &[0xd8, 0x3d]),
            (Charset::Utf16le, &[0x3d, 0xd8, 0]),
            (Charset::Utf32, &[0, 0x11, 0, 0]),
            (Charset::Binary, b"a"),
            (Charset::Ascii, "é".as_bytes()),
            (Charset::Utf8mb3, "😀".as_bytes()),
            (Charset::Utf8mb4, b"\xed\xa0\x80"),
            (Charset::Gbk, b"\x80"),
            (Charset::Gbk, b"a\xd2"),
            (Charset::Gbk, b"\xa2\xe3"),
            (Charset::Big5, b"\xa1\x5a"),
            (Charset::Sjis, b"\xa0"),
            (Charset::Ujis, b"\x8e\xe0"),
            (Charset::Ujis, b"\x8f\xb0"),
            (Charset::Gb18030, b"\x81\x30\x81"),
            (Charset::Gb18030, b"\x84\x31\xa5\x30"),
        ];
        for (charset, bytes) in cases {
            assert_eq!(charset.to_string(bytes), Err(InvalidText), "{charset:?}");
        }
    }

    #[test]
    fn what_follows_an_invalid_byte_is_read_where_text_is_only_shown() {
        let cases: &[(Charset, &[u8], &str)] = &[
            (Charset::Gbk, b"a\xa2\xe3\\b\xffc\xb0", "a\u{fffd}\\b\u{fffd}c\u{fffd}"),
            // The second byte of a code without a character is no backslash.
            (Charset::Gbk, b"\xa9\x5c\xa9\x89`\xa9", "‐\u{fffd}`\u{fffd}"),
            (Charset::Latin1, b"caf\xe9", "café"),
            (Charset::Cp1250, b"a\x81b", "a\u{fffd}b"),
            (Charset::Utf8mb4, b"a\xffb", "a\u{fffd}b"),
            (Charset::Utf8mb3, "😀".as_bytes(), "😀"),
            (Charset::Binary, b"a\xe9", "a\u{fffd}"),
        ];
        for (charset, bytes, text) in cases {
            assert_eq!(charset.to_string_lossy(bytes), *text, "{charset:?}");
        }
    }
}
