//! Whether a column declared so could have been logged so: the check that notices a definition of another
//! time.

use crate::column::charset::Charset;
use crate::column::declared::DeclaredType;
use crate::column::declared::Word;
use crate::column::type_code;
use crate::column::type_code::RealType;

/// Whether a column of this declared type logs this type code and metadata.
///
/// As exact as the metadata is: lengths, precisions, digits of fractions and the size of ENUM and SET numbers
/// count. `charset` is the definition's; where it is not known, any character set's length passes. Signedness
/// is not part of the metadata, and of a type that fountain has never heard of nothing can be said: it
/// passes.
pub fn compatible(declared: &DeclaredType, charset: Option<Charset>, type_code: u8, metadata: u16) -> bool {
    let logged = RealType::new(type_code, metadata);
    if declared.compressed {
        return is_compressed(declared, charset, logged);
    }
    let fraction = u16::from(declared.fraction_digits());
    match declared.word {
        Word::TinyInt => logged.type_code == type_code::TINY,
        Word::SmallInt => logged.type_code == type_code::SHORT,
        Word::MediumInt => logged.type_code == type_code::INT24,
        Word::Int => logged.type_code == type_code::LONG,
        Word::BigInt => logged.type_code == type_code::LONGLONG,
        // FLOAT(25) and more digits is DOUBLE; servers print it as double, people may not.
        Word::Float if declared.scale.is_none() && declared.length > Some(24) => {
            is(logged, type_code::DOUBLE, 8)
        }
        Word::Float => is(logged, type_code::FLOAT, 4),
        Word::Double => is(logged, type_code::DOUBLE, 8),
        Word::Decimal => {
            let (precision, scale) = (declared.length.unwrap_or(10), declared.scale.unwrap_or(0));
            logged.type_code == type_code::NEWDECIMAL
                && u32::from(logged.metadata) == (precision << 8 | scale)
        }
        Word::Bit => {
            let bits = declared.length.unwrap_or(1);
            logged.type_code == type_code::BIT && u32::from(logged.metadata) == ((bits / 8) << 8) | (bits % 8)
        }
        Word::Year => logged.type_code == type_code::YEAR,
        Word::Date => matches!(logged.type_code, type_code::DATE | type_code::NEWDATE),
        // The old forms log no digits: MariaDB's with a fraction cannot be told from those without.
        Word::Time => logged.type_code == type_code::TIME || is(logged, type_code::TIME2, fraction),
        Word::Datetime => {
            logged.type_code == type_code::DATETIME || is(logged, type_code::DATETIME2, fraction)
        }
        Word::Timestamp => {
            logged.type_code == type_code::TIMESTAMP || is(logged, type_code::TIMESTAMP2, fraction)
        }
        Word::Char => {
            logged.type_code == type_code::STRING && has_length(declared.length.or(Some(1)), charset, logged)
        }
        Word::Varchar => is_varchar(logged) && has_length(declared.length, charset, logged),
        Word::Binary => {
            let length = declared.length.or(Some(1));
            logged.type_code == type_code::STRING && has_length(length, Some(Charset::Binary), logged)
        }
        Word::Varbinary => is_varchar(logged) && has_length(declared.length, Some(Charset::Binary), logged),
        Word::TinyText | Word::TinyBlob => is_blob(logged, 1),
        Word::Text | Word::Blob => is_blob(logged, 2),
        Word::MediumText | Word::MediumBlob => is_blob(logged, 3),
        Word::LongText | Word::LongBlob => is_blob(logged, 4),
        // MySQL's own type, or MariaDB's other name of LONGTEXT.
        Word::Json => is(logged, type_code::JSON, 4) || is_blob(logged, 4),
        Word::Geometry => is(logged, type_code::GEOMETRY, 4),
        Word::Enum => is(logged, type_code::ENUM, if declared.labels.len() > 255 { 2 } else { 1 }),
        Word::Set => is(logged, type_code::SET, set_size(declared.labels.len())),
        // MySQL's own type, or MariaDB's under the cloak of VARBINARY.
        Word::Vector => {
            is(logged, type_code::VECTOR, 4)
                || (is_varchar(logged)
                    && has_length(
                        declared.length.and_then(|n| n.checked_mul(4)),
                        Some(Charset::Binary),
                        logged,
                    ))
        }
        Word::Uuid | Word::Inet6 => is(logged, type_code::STRING, 16),
        Word::Inet4 => is(logged, type_code::STRING, 4),
        Word::Other => true,
    }
}

fn is(logged: RealType, type_code: u8, metadata: u16) -> bool {
    logged == RealType { type_code, metadata }
}

fn is_varchar(logged: RealType) -> bool {
    matches!(logged.type_code, type_code::VARCHAR | type_code::VAR_STRING)
}

/// TINYBLOB to LONGBLOB are all logged as BLOB, with the size of their length as metadata.
fn is_blob(logged: RealType, length_size: u16) -> bool {
    is(logged, type_code::BLOB, length_size)
}

/// Whether so many characters are as many bytes as the metadata says.
fn has_length(characters: Option<u32>, charset: Option<Charset>, logged: RealType) -> bool {
    let Some(characters) = characters else { return true };
    let fits = |bytes: u32| characters.checked_mul(bytes) == Some(logged.metadata.into());
    match charset {
        Some(charset) => fits(charset.max_bytes()),
        None => (1..=4).any(fits),
    }
}

fn set_size(labels: usize) -> u16 {
    match labels.div_ceil(8) {
        size @ 0..=4 => size as u16,
        _ => 8,
    }
}

/// MariaDB's COMPRESSED columns. VARCHAR's holds one byte more than declared.
fn is_compressed(declared: &DeclaredType, charset: Option<Charset>, logged: RealType) -> bool {
    let blob = |size| is(logged, type_code::BLOB_COMPRESSED, size);
    match declared.word {
        Word::Varchar | Word::Varbinary => {
            let charset = if declared.word == Word::Varbinary { Some(Charset::Binary) } else { charset };
            let bytes = RealType { metadata: logged.metadata.saturating_sub(1), ..logged };
            logged.type_code == type_code::VARCHAR_COMPRESSED && has_length(declared.length, charset, bytes)
        }
        Word::TinyText | Word::TinyBlob => blob(1),
        Word::Text | Word::Blob => blob(2),
        Word::MediumText | Word::MediumBlob => blob(3),
        Word::LongText | Word::LongBlob => blob(4),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::declared::parse;

    fn fits(text: &str, charset: Option<Charset>, type_code: u8, metadata: u16) -> bool {
        compatible(&parse(text).unwrap(), charset, type_code, metadata)
    }

    #[test]
    fn lengths_count_in_bytes_of_the_character_set() {
        let utf8mb4 = Some(Charset::Utf8mb4);
        assert!(fits("varchar(20)", utf8mb4, type_code::VARCHAR, 80));
        assert!(!fits("varchar(20)", utf8mb4, type_code::VARCHAR, 60));
        assert!(!fits("varchar(21)", utf8mb4, type_code::VARCHAR, 80));
        assert!(fits("varchar(20)", None, type_code::VARCHAR, 60));
        assert!(!fits("varchar(20)", None, type_code::VARCHAR, 61));
        assert!(fits("char(255)", utf8mb4, type_code::STRING, 0xcefc));
        assert!(!fits("char(254)", utf8mb4, type_code::STRING, 0xcefc));
        assert!(!fits("char(1)", utf8mb4, type_code::STRING, 0xf701));
    }

    #[test]
    fn sizes_of_enum_and_set_follow_from_their_labels() {
        let list = |word: &str, count: usize| {
            let labels: Vec<_> = (0..count).map(|n| format!("'{n}'")).collect();
            format!("{word}({})", labels.join(","))
        };
        for (word, real_type, count, size) in [
            ("enum", 0xf700, 255, 1),
            ("enum", 0xf700, 256, 2),
            ("set", 0xf800, 8, 1),
            ("set", 0xf800, 9, 2),
            ("set", 0xf800, 24, 3),
            ("set", 0xf800, 32, 4),
            ("set", 0xf800, 33, 8),
            ("set", 0xf800, 64, 8),
        ] {
            for other in 1..=8 {
                assert_eq!(
                    fits(&list(word, count), None, type_code::STRING, real_type | other),
                    other == size
                );
            }
        }
    }

    #[test]
    fn unknown_types_pass_and_other_types_do_not() {
        assert!(fits("frob", None, type_code::LONG, 0));
        assert!(!fits("int", None, type_code::LONGLONG, 0));
        assert!(!fits("float", None, type_code::DOUBLE, 8));
        assert!(fits("float(30)", None, type_code::DOUBLE, 8));
        assert!(!fits("datetime(3)", None, type_code::DATETIME2, 2));
        assert!(fits("datetime(3) /* mariadb-5.3 */", None, type_code::DATETIME, 0));
        assert!(!fits("decimal(10,2)", None, type_code::NEWDECIMAL, 10 << 8 | 3));
        assert!(!fits("bit(9)", None, type_code::BIT, 1 << 8));
    }
}
