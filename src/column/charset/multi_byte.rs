//! The multi-byte character sets of East Asia: ASCII below 0x80, characters of two bytes, and a few of one, three or four.
//!
//! The characters are those of `encoding_rs` with the server's [`Differences`] laid over them, in a table that is made when
//! a set is first met (some milliseconds, 64 KiB).

use crate::column::charset::differences as differ;
use crate::column::charset::differences::Differences;
use encoding_rs::DecoderResult;
use encoding_rs::Encoding;
use std::sync::LazyLock;

/// Codes of two bytes, both bytes from the ranges given (first, last).
struct Shape {
    lead: &'static [(u8, u8)],
    trail: &'static [(u8, u8)],
}

/// What a set has besides its codes of two bytes.
enum More {
    Nothing,
    /// sjis, cp932: the bytes 0xA1 to 0xDF are half-width Katakana.
    Katakana,
    /// ujis, eucjpms: 0x8F and two bytes of JIS X 0212.
    Jisx0212(LazyLock<Table>),
    /// gb18030: four bytes, the second and the fourth one being digits.
    FourBytes,
}

/// One set.
pub struct MultiByte {
    shape: Shape,
    table: LazyLock<Table>,
    more: More,
}

/// Characters by [`place`]; 0 where the set has none. None of them lies beyond U+FFFF.
struct Table(Box<[u16]>);

const SJIS_SHAPE: Shape = Shape { lead: &[(0x81, 0x9f), (0xe0, 0xfc)], trail: &[(0x40, 0x7e), (0x80, 0xfc)] };
/// 0x8E stands before a half-width Katakana.
const EUC_SHAPE: Shape = Shape { lead: &[(0x8e, 0x8e), (0xa1, 0xfe)], trail: &[(0xa1, 0xfe)] };
const JISX0212_SHAPE: Shape = Shape { lead: &[(0xa1, 0xfe)], trail: &[(0xa1, 0xfe)] };
const GBK_SHAPE: Shape = Shape { lead: &[(0x81, 0xfe)], trail: &[(0x40, 0x7e), (0x80, 0xfe)] };
const GB2312_SHAPE: Shape = Shape { lead: &[(0xa1, 0xf7)], trail: &[(0xa1, 0xfe)] };
const BIG5_SHAPE: Shape = Shape { lead: &[(0xa1, 0xf9)], trail: &[(0x40, 0x7e), (0xa1, 0xfe)] };
const EUCKR_SHAPE: Shape =
    Shape { lead: &[(0x81, 0xfe)], trail: &[(0x41, 0x5a), (0x61, 0x7a), (0x81, 0xfe)] };

/// The private use area; gb2312, gbk and sjis of the server have nothing there.
const PRIVATE_USE: std::ops::RangeInclusive<u16> = 0xe000..=0xf8ff;
/// Half-width Katakana follow U+FF61 as their bytes follow 0xA1.
const KATAKANA: std::ops::RangeInclusive<u8> = 0xa1..=0xdf;

macro_rules! multi_byte {
    ($name:ident: $shape:expr, $encoding:ident $(- $without:ident)?, $differences:ident, $more:expr) => {
        pub static $name: MultiByte = MultiByte {
            shape: $shape,
            table: LazyLock::new(|| {
                let table = Table::new(&$shape, &[], encoding_rs::$encoding);
                $(let table = table.without(&$without);)?
                table.with(&$shape, &differ::$differences)
            }),
            more: $more,
        };
    };
}

multi_byte!(BIG5: BIG5_SHAPE, BIG5, BIG5, More::Nothing);
multi_byte!(CP932: SJIS_SHAPE, SHIFT_JIS, NONE, More::Katakana);
multi_byte!(EUCJPMS: EUC_SHAPE, EUC_JP, EUCJPMS, More::Jisx0212(LazyLock::new(|| jisx0212(&differ::EUCJPMS_0212))));
multi_byte!(EUCKR: EUCKR_SHAPE, EUC_KR, NONE, More::Nothing);
multi_byte!(GB18030: GBK_SHAPE, GB18030, GB18030, More::FourBytes);
multi_byte!(GB2312: GB2312_SHAPE, GBK - PRIVATE_USE, GB2312, More::Nothing);
multi_byte!(GBK: GBK_SHAPE, GBK - PRIVATE_USE, GBK, More::Nothing);
multi_byte!(SJIS: SJIS_SHAPE, SHIFT_JIS - PRIVATE_USE, SJIS, More::Katakana);
multi_byte!(UJIS: EUC_SHAPE, EUC_JP, UJIS, More::Jisx0212(LazyLock::new(|| jisx0212(&differ::UJIS_0212))));

fn jisx0212(differences: &Differences) -> Table {
    Table::new(&JISX0212_SHAPE, &[0x8f], encoding_rs::EUC_JP).with(&JISX0212_SHAPE, differences)
}

impl MultiByte {
    /// The first character of `bytes`, which begin with one from 0x80 on, and how many bytes it takes. Where there is none,
    /// that is a whole code if it is well formed, else one byte, as the server's parser counts them too.
    #[inline]
    pub fn first(&self, bytes: &[u8]) -> (Option<char>, usize) {
        if let [lead, trail, ..] = *bytes
            && let Some(character) = self.table.character(lead, trail)
        {
            return (Some(character), 2);
        }
        self.first_otherwise(bytes)
    }

    fn first_otherwise(&self, bytes: &[u8]) -> (Option<char>, usize) {
        match (&self.more, bytes) {
            (More::Katakana, [byte, ..]) if KATAKANA.contains(byte) => {
                (char::from_u32(0xff61 + u32::from(byte - KATAKANA.start())), 1)
            }
            (More::Jisx0212(table), [0x8f, lead, trail, ..]) if JISX0212_SHAPE.has(*lead, *trail) => {
                (table.character(*lead, *trail), 3)
            }
            (More::FourBytes, [a @ 0x81..=0xfe, b @ b'0'..=b'9', c @ 0x81..=0xfe, d @ b'0'..=b'9', ..]) => {
                (character(encoding_rs::GB18030, &[*a, *b, *c, *d]), 4)
            }
            (_, [lead, trail, ..]) if self.shape.has(*lead, *trail) => (None, 2),
            _ => (None, 1),
        }
    }
}

impl Shape {
    fn has(&self, lead: u8, trail: u8) -> bool {
        let within =
            |ranges: &[(u8, u8)], byte| ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte));
        within(self.lead, lead) && within(self.trail, trail)
    }

    /// Every code, in order.
    fn codes(&self) -> impl Iterator<Item = u16> {
        let bytes = |ranges: &'static [(u8, u8)]| ranges.iter().flat_map(|(first, last)| *first..=*last);
        let trail = self.trail;
        bytes(self.lead)
            .flat_map(move |lead| bytes(trail).map(move |trail| u16::from_be_bytes([lead, trail])))
    }
}

impl Table {
    /// The characters of `encoding_rs` for the codes of a shape, `prefix` before each.
    fn new(shape: &Shape, prefix: &[u8], encoding: &'static Encoding) -> Self {
        let mut table = Self(vec![0; 0x8000].into_boxed_slice());
        for code in shape.codes() {
            let character = character(encoding, &[prefix, &code.to_be_bytes()].concat());
            table.set(
                code,
                character.and_then(|character| u16::try_from(u32::from(character)).ok()).unwrap_or(0),
            );
        }
        table
    }

    fn without(mut self, refused: &std::ops::RangeInclusive<u16>) -> Self {
        self.0
            .iter_mut()
            .filter(|character| refused.contains(character))
            .for_each(|character| *character = 0);
        self
    }

    fn with(mut self, shape: &Shape, differences: &Differences) -> Self {
        for (first, last) in differences.refused {
            shape.codes().filter(|code| (first..=last).contains(&code)).for_each(|code| self.set(code, 0));
        }
        for (first, last, start) in differences.given {
            let run = shape.codes().filter(|code| (first..=last).contains(&code));
            run.zip(*start..).for_each(|(code, character)| self.set(code, character));
        }
        self
    }

    fn set(&mut self, code: u16, character: u16) {
        let [lead, trail] = code.to_be_bytes();
        if let Some(entry) = self.0.get_mut(place(lead, trail)) {
            *entry = character;
        }
    }

    #[inline]
    fn character(&self, lead: u8, trail: u8) -> Option<char> {
        match self.0.get(place(lead, trail)) {
            Some(&code) if code != 0 => char::from_u32(code.into()),
            _ => None,
        }
    }
}

/// Where the character of a code stands; the top bit of the lead is always set.
#[inline]
fn place(lead: u8, trail: u8) -> usize {
    usize::from(u16::from_be_bytes([lead & 0x7f, trail]))
}

/// The one character that `encoding_rs` sees in `bytes`.
fn character(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let mut out = [0; 32];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (result, _, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut out, true);
    let mut characters = str::from_utf8(out.get(..written)?).ok()?.chars();
    match (result, characters.next(), characters.next()) {
        (DecoderResult::InputEmpty, Some(character), None) => Some(character),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code with a character, in the order of its bytes: how many there are, and the CRC-32 of lines
    /// `<code>=<character in UTF-8>`. Of what the servers said (the SQL stands in `differences`), so that a newer
    /// `encoding_rs` cannot change a character unseen. Of gb18030's codes of four bytes, those of the basic plane.
    const SERVERS: &[(&str, &MultiByte, u32, u32)] = &[
        ("big5", &BIG5, 13_710, 0x9e56_ecc1),
        ("cp932", &CP932, 9_667, 0xe2e3_ced8),
        ("eucjpms", &EUCJPMS, 15_078, 0x698c_dc6f),
        ("euckr", &EUCKR, 17_048, 0xb28f_97e8),
        ("gb18030", &GB18030, 63_360, 0x228e_2665),
        ("gb2312", &GB2312, 7_445, 0x2d99_697f),
        ("gbk", &GBK, 21_791, 0x4a27_7e79),
        ("sjis", &SJIS, 6_942, 0xda2e_701d),
        ("ujis", &UJIS, 14_889, 0xac65_86fc),
    ];

    /// Calls for every code that is one character, from `code` on in depth, in the order of bytes.
    fn every_code(set: &MultiByte, code: &mut Vec<u8>, on: &mut impl FnMut(&[u8], char)) {
        if let (Some(character), length) = set.first(code)
            && length == code.len()
        {
            on(code, character);
        }
        let longer = match &set.more {
            More::Nothing | More::Katakana => matches!(**code, [_]),
            More::Jisx0212(_) => matches!(**code, [_] | [0x8f, _]),
            More::FourBytes => matches!(**code, [_] | [0x81..=0x8f, b'0'..=b'9'] | [_, _, _]),
        };
        for byte in (0..=0xff).filter(|_| longer) {
            code.push(byte);
            every_code(set, code, on);
            code.pop();
        }
    }

    #[test]
    fn every_character_is_the_servers() {
        for (name, set, count, crc) in SERVERS {
            let (mut seen, mut hasher) = (0, crc32fast::Hasher::new());
            for lead in 0x80..=0xff {
                every_code(set, &mut vec![lead], &mut |code, character| {
                    seen += 1;
                    hasher.update(&[code, b"=", character.to_string().as_bytes(), b"\n"].concat());
                });
            }
            assert_eq!((seen, hasher.finalize()), (*count, *crc), "{name}");
        }
    }

    /// `90308130` is U+10000, and the others follow in order, up to U+10FFFF at `E3329A35`: so says MySQL 9.7.4 of each.
    #[test]
    fn gb18030_beyond_the_basic_plane() {
        for code in (0x10000..=0x10ffff).step_by(1009).chain([0x1f600, 0x10ffff]) {
            let linear = code - 0x10000 + 189_000;
            let digit = |divisor, base, first| (linear / divisor % base + first) as u8;
            let bytes =
                [digit(12_600, 126, 0x81), digit(1260, 10, 0x30), digit(10, 126, 0x81), digit(1, 10, 0x30)];
            assert_eq!(GB18030.first(&bytes), (char::from_u32(code), 4), "{code:x}");
        }
        assert_eq!(GB18030.first(b"\xe3\x32\x9a\x36"), (None, 4));
    }

    #[test]
    fn a_code_without_a_character_is_passed_over_as_a_whole() {
        assert_eq!(GBK.first(b"\xa9\x89a"), (None, 2));
        assert_eq!(GBK.first(b"\xa9\x3f"), (None, 1));
        assert_eq!(UJIS.first(b"\x8f\xa1\xa1a"), (None, 3));
        assert_eq!(UJIS.first(b"\x8f\xa1a"), (None, 1));
        assert_eq!(GB18030.first(b"\x84\x31\xa5\x30"), (None, 4));
        assert_eq!(GB18030.first(b"\x84\x31\xa5"), (None, 1));
        assert_eq!(SJIS.first(b"\xa0"), (None, 1));
    }
}
