//! Which character set a collation id means, on each server.

use crate::column::charset::Charset;

/// First id, last id, set: the collations of MySQL 5.6 to 9.7 and MariaDB 10.11 and 11.8 below 1024, as their
/// `information_schema.COLLATIONS` lists them. No id means different sets on different servers. From [`MARIADB`] on
/// they are MariaDB's alone, in blocks of 32, of which each version fills a little more.
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
        (303, 323, Utf8mb4),
        (576, 607, Utf8mb3), (608, 639, Utf8mb4), (640, 671, Ucs2), (672, 703, Utf16), (704, 735, Utf16le),
        (736, 767, Utf32),
    ]
};

const MARIADB: u32 = 576;

/// MariaDB numbers its UCA 14.0.0 collations in blocks of 256 from 2048, one block for each of these.
const UCA1400_BLOCKS: [Charset; 5] =
    [Charset::Utf8mb3, Charset::Utf8mb4, Charset::Ucs2, Charset::Utf16, Charset::Utf32];

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
    /// installation's own and say nothing, and none has been given to those before.
    pub fn from_mysql_collation_id(id: u32) -> Option<Self> {
        if id < MARIADB { Self::from_collation_id(id) } else { None }
    }

    fn from_base_collation_id(id: u16) -> Option<Self> {
        let range = COLLATIONS.iter().find(|(first, last, _)| (*first..=*last).contains(&id))?;
        Some(range.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character sets and all their collation ids on MySQL 5.6.24, MySQL 9.7 and MariaDB 10.11 and 11.8 together:
    /// `SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS` (MariaDB:
    /// COLLATION_CHARACTER_SET_APPLICABILITY).
    const SERVERS: &str = include_str!("../fixtures/collations.tsv");

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
        assert_eq!(count, 1311);
    }

    #[test]
    fn other_collation_ids_are_unknown() {
        for id in [0, 17, 100, 254, 324, 575, 768, 1023, 1024, 3328, 65535, 65536 + 45, u32::MAX] {
            assert_eq!(Charset::from_collation_id(id), None, "{id}");
        }
        assert_eq!(Charset::from_mysql_collation_id(255), Some(Charset::Utf8mb4));
        assert_eq!(Charset::from_mysql_collation_id(576), None);
        assert_eq!(Charset::from_mysql_collation_id(1069), None);
    }
}
