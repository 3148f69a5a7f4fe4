//! Character sets: which one a collation id or a name means, and text of each turned into UTF-8.
//!
//! The multi-byte sets of East Asia are known by name and refused as such for now: their tables in
//! `encoding_rs` differ from the server's in hundreds of characters.

use crate::column::charset_tables as tables;
use crate::column::charset_tables::UpperHalf;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;

/// How a set's bytes make characters.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Ascii,
    /// ASCII below 0x80, a table above.
    Table(&'static UpperHalf),
    Swe7,
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
    Binary,
    Unsupported,
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
    Big5 "big5" 2 Encoding::Unsupported;
    Binary "binary" 1 Encoding::Binary;
    Cp1250 "cp1250" 1 Encoding::Table(&tables::CP1250);
    Cp1251 "cp1251" 1 Encoding::Table(&tables::CP1251);
    Cp1256 "cp1256" 1 Encoding::Table(&tables::CP1256);
    Cp1257 "cp1257" 1 Encoding::Table(&tables::CP1257);
    Cp850 "cp850" 1 Encoding::Table(&tables::CP850);
    Cp852 "cp852" 1 Encoding::Table(&tables::CP852);
    Cp866 "cp866" 1 Encoding::Table(&tables::CP866);
    Cp932 "cp932" 2 Encoding::Unsupported;
    Dec8 "dec8" 1 Encoding::Table(&tables::DEC8);
    Eucjpms "eucjpms" 3 Encoding::Unsupported;
    Euckr "euckr" 2 Encoding::Unsupported;
    Gb18030 "gb18030" 4 Encoding::Unsupported;
    Gb2312 "gb2312" 2 Encoding::Unsupported;
    Gbk "gbk" 2 Encoding::Unsupported;
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
    Sjis "sjis" 2 Encoding::Unsupported;
    Swe7 "swe7" 1 Encoding::Swe7;
    Tis620 "tis620" 1 Encoding::Table(&tables::TIS620);
    Ucs2 "ucs2" 2 Encoding::Ucs2;
    Ujis "ujis" 3 Encoding::Unsupported;
    Utf16 "utf16" 4 Encoding::Utf16;
    Utf16le "utf16le" 4 Encoding::Utf16le;
    Utf32 "utf32" 4 Encoding::Utf32;
    Utf8mb3 "utf8mb3" 3 Encoding::Utf8;
    Utf8mb4 "utf8mb4" 4 Encoding::Utf8;
}

/// First id, last id, set: the collations of MySQL 5.6 to 9.7 and MariaDB 10.11 below 1024, as their
/// `information_schema.COLLATIONS` lists them. No id means different sets on different servers.
#[rustfmt::skip]
const COLLATIONS: &[(u16, u16, Charset)] = {
    use Charset::*;
    &[
        (1, 1, Big5), (2, 2, Latin2), (3, 3, Dec8), (4, 4, Cp850), (5, 5, Latin1), (6, 6, Hp8), (7, 7, Koi8r),
        (8, 8, Latin1), (9, 9, Latin2), (10, 10, Swe7), (11, 11, Ascii), (12, 12, Ujis), (13, 13, Sjis),
        (14, 14, Cp1251), (15, 15, Latin1), (16, 16, Hebrew), (18, 18, Tis620), (19, 19, Euckr),
        (20, 20, Latin7), (21, 21, Latin2), (22, 22, Koi8u), (23, 23, Cp1251), (24, 24, Gb2312),
        (25, 25, Greek), (26, 26, Cp1250), (27, 27, Latin2), (28, 28, Gbk), (29, 29, Cp1257),
        (30, 30, Latin5), (31, 31, Latin1), (32, 32, Armscii8), (33, 33, Utf8mb3), (34, 34, Cp1250),
        (35, 35, Ucs2), (36, 36, Cp866), (37, 37, Keybcs2), (38, 38, Macce), (39, 39, Macroman),
        (40, 40, Cp852), (41, 42, Latin7), (43, 43, Macce), (44, 44, Cp1250), (45, 46, Utf8mb4),
        (47, 49, Latin1), (50, 52, Cp1251), (53, 53, Macroman), (54, 55, Utf16), (56, 56, Utf16le),
        (57, 57, Cp1256), (58, 59, Cp1257), (60, 61, Utf32), (62, 62, Utf16le), (63, 63, Binary),
        (64, 64, Armscii8), (65, 65, Ascii), (66, 66, Cp1250), (67, 67, Cp1256), (68, 68, Cp866),
        (69, 69, Dec8), (70, 70, Greek), (71, 71, Hebrew), (72, 72, Hp8), (73, 73, Keybcs2), (74, 74, Koi8r),
        (75, 75, Koi8u), (76, 76, Utf8mb3), (77, 77, Latin2), (78, 78, Latin5), (79, 79, Latin7),
        (80, 80, Cp850), (81, 81, Cp852), (82, 82, Swe7), (83, 83, Utf8mb3), (84, 84, Big5), (85, 85, Euckr),
        (86, 86, Gb2312), (87, 87, Gbk), (88, 88, Sjis), (89, 89, Tis620), (90, 90, Ucs2), (91, 91, Ujis),
        (92, 93, Geostd8), (94, 94, Latin1), (95, 96, Cp932), (97, 98, Eucjpms), (99, 99, Cp1250),
        (101, 124, Utf16), (128, 151, Ucs2), (159, 159, Ucs2), (160, 183, Utf32), (192, 215, Utf8mb3),
        (223, 223, Utf8mb3), (224, 247, Utf8mb4), (248, 250, Gb18030), (255, 271, Utf8mb4),
        (273, 275, Utf8mb4), (277, 294, Utf8mb4), (296, 298, Utf8mb4), (300, 300, Utf8mb4),
        (303, 323, Utf8mb4), (576, 578, Utf8mb3), (608, 610, Utf8mb4), (640, 642, Ucs2), (672, 674, Utf16),
        (736, 738, Utf32),
    ]
};

/// MariaDB numbers its UCA 14.0.0 collations in blocks of 256 from 2048, one block for each of these.
const UCA1400_BLOCKS: [Charset; 5] =
    [Charset::Utf8mb3, Charset::Utf8mb4, Charset::Ucs2, Charset::Utf16, Charset::Utf32];

/// Text whose bytes are not characters of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidText;

impl Charset {
    /// The set of a collation id, as TABLE_MAP's optional metadata holds it.
    ///
    /// 1024 to 2047 are read as MariaDB's NO PAD collations (1024 more than the padding ones). On MySQL that
    /// range is for collations that an installation adds itself: see [`Charset::from_mysql_collation_id`].
    pub fn from_collation_id(id: u32) -> Option<Self> {
        let id = u16::try_from(id).ok()?;
        match id {
            0..=1023 => Self::from_base_collation_id(id),
            1024..=2047 => Self::from_base_collation_id(id - 1024),
            _ => UCA1400_BLOCKS.get(usize::from(id - 2048) / 256).copied(),
        }
    }

    /// As [`Charset::from_collation_id`] for a source that is known to be MySQL: ids from 1024 on are the
    /// installation's own and say nothing.
    pub fn from_mysql_collation_id(id: u32) -> Option<Self> {
        if id < 1024 { Self::from_collation_id(id) } else { None }
    }

    fn from_base_collation_id(id: u16) -> Option<Self> {
        let range = COLLATIONS.iter().find(|(first, last, _)| (*first..=*last).contains(&id))?;
        Some(range.2)
    }

    /// The set of a name, in any case; `utf8` is utf8mb3.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Self::Utf8mb3);
        }
        Self::ALL.iter().copied().find(|charset| name.eq_ignore_ascii_case(charset.name()))
    }

    /// Refuses, by name, a set that fountain does not convert.
    pub fn check_supported(self) -> Result<(), ColumnError> {
        match self.encoding() {
            Encoding::Unsupported => Err(ColumnFault::Charset { name: self.name() }.into()),
            _ => Ok(()),
        }
    }

    /// Whether the bytes are UTF-8 already (which has to be checked).
    #[inline]
    pub fn is_utf8(self) -> bool {
        matches!(self, Self::Utf8mb4 | Self::Utf8mb3 | Self::Ascii)
    }

    /// Whether bytes below 0x80 always are the ASCII characters.
    pub fn is_ascii_compatible(self) -> bool {
        matches!(self.encoding(), Encoding::Utf8 | Encoding::Ascii | Encoding::Table(_))
    }

    /// Hands the text's characters to `push`, one after the other. At the first byte that is no character of
    /// the set it stops; what was pushed until then is to be thrown away.
    pub fn decode(self, bytes: &[u8], mut push: impl FnMut(char)) -> Result<(), InvalidText> {
        match self.encoding() {
            Encoding::Utf8 => std::str::from_utf8(bytes).map_err(|_| InvalidText)?.chars().for_each(push),
            Encoding::Ascii if bytes.is_ascii() => bytes.iter().for_each(|byte| push(char::from(*byte))),
            Encoding::Table(upper) => {
                for &byte in bytes {
                    push(table_char(upper, byte)?);
                }
            }
            Encoding::Swe7 => {
                for &byte in bytes {
                    push(swe7_char(byte)?);
                }
            }
            // A pair of surrogates would be two characters to the server, and neither of them can be written.
            Encoding::Ucs2 => {
                for unit in units(bytes, u16::from_be_bytes)? {
                    push(char::from_u32(unit.into()).ok_or(InvalidText)?);
                }
            }
            Encoding::Utf16 => decode_utf16(units(bytes, u16::from_be_bytes)?, push)?,
            Encoding::Utf16le => decode_utf16(units(bytes, u16::from_le_bytes)?, push)?,
            Encoding::Utf32 => {
                for unit in units(bytes, u32::from_be_bytes)? {
                    push(char::from_u32(unit).ok_or(InvalidText)?);
                }
            }
            Encoding::Ascii | Encoding::Binary | Encoding::Unsupported => return Err(InvalidText),
        }
        Ok(())
    }

    /// The text as a string of its own, for labels and names.
    pub fn to_string(self, bytes: &[u8]) -> Result<String, InvalidText> {
        let mut text = String::with_capacity(bytes.len());
        self.decode(bytes, |character| text.push(character))?;
        Ok(text)
    }
}

#[inline]
fn table_char(upper: &UpperHalf, byte: u8) -> Result<char, InvalidText> {
    match byte.checked_sub(0x80) {
        None => Ok(char::from(byte)),
        Some(high) => match upper.get(usize::from(high)) {
            Some(&code) if code != 0 => char::from_u32(code.into()).ok_or(InvalidText),
            _ => Err(InvalidText),
        },
    }
}

/// The Swedish seven-bit set: ASCII with ten places given to other letters.
fn swe7_char(byte: u8) -> Result<char, InvalidText> {
    match byte {
        0x40 => Ok('É'),
        0x5b => Ok('Ä'),
        0x5c => Ok('Ö'),
        0x5d => Ok('Å'),
        0x5e => Ok('Ü'),
        0x60 => Ok('é'),
        0x7b => Ok('ä'),
        0x7c => Ok('ö'),
        0x7d => Ok('å'),
        0x7e => Ok('ü'),
        0x7f.. => Err(InvalidText),
        _ => Ok(char::from(byte)),
    }
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

fn decode_utf16(units: impl Iterator<Item = u16>, mut push: impl FnMut(char)) -> Result<(), InvalidText> {
    for character in char::decode_utf16(units) {
        push(character.map_err(|_| InvalidText)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character sets and all their collation ids on MySQL 5.6.24, MySQL 9.7 and MariaDB 10.11 together:
    /// `SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS` (MariaDB:
    /// COLLATION_CHARACTER_SET_APPLICABILITY).
    const SERVERS: &str = include_str!("fixtures/collations.tsv");

    #[test]
    fn every_collation_of_the_servers_is_known() {
        let mut count = 0;
        for line in SERVERS.lines() {
            let (name, ids) = line.split_once('\t').unwrap();
            for id in ids.split(' ') {
                let charset = Charset::from_collation_id(id.parse().unwrap());
                assert_eq!(charset, Charset::from_name(name), "{name} {id}");
                assert!(charset.is_some(), "{name} {id}");
                count += 1;
            }
        }
        assert_eq!(count, 1309);
    }

    #[test]
    fn other_collation_ids_are_unknown() {
        for id in [0, 17, 100, 254, 324, 575, 1023, 1024, 3328, 65535, 65536 + 45, u32::MAX] {
            assert_eq!(Charset::from_collation_id(id), None, "{id}");
        }
        assert_eq!(Charset::from_mysql_collation_id(255), Some(Charset::Utf8mb4));
        assert_eq!(Charset::from_mysql_collation_id(1069), None);
    }

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
            (Charset::Gbk, b"a"),
        ];
        for (charset, bytes) in cases {
            assert_eq!(charset.to_string(bytes), Err(InvalidText), "{charset:?}");
        }
    }

    #[test]
    fn only_the_east_asian_multi_byte_sets_are_refused() {
        let refused: Vec<_> = Charset::ALL.iter().filter(|set| set.check_supported().is_err()).collect();
        assert_eq!(
            refused.iter().map(|set| set.name()).collect::<Vec<_>>().join(" "),
            "big5 cp932 eucjpms euckr gb18030 gb2312 gbk sjis ujis"
        );
        assert_eq!(Charset::Gbk.check_supported().unwrap_err().code(), crate::code::Code::CharsetUnknown);
    }
}
