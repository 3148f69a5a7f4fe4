//! The forms of TIME, DATETIME and TIMESTAMP before MySQL 5.6.4 (`sql/field.cc`), which tables made by such
//! servers keep until they are rebuilt, and MariaDB's own forms with a fraction, which it writes under the
//! same type codes for tables made with `mysql56_temporal_format=OFF` (`Field_time_hires` and its kin in
//! MariaDB's `sql/field.cc`).
//!
//! The metadata of MariaDB's forms does not tell how many digits the fraction has, though their length
//! depends on it: only the definition knows (`datetime(3) /* mariadb-5.3 */`).

use crate::codec::Reader;
use crate::column::error::ColumnError;
use crate::column::temporal::Date;
use crate::column::temporal::DateTime;
use crate::column::temporal::Time;
use crate::column::temporal::Timestamp;

type Result<T> = std::result::Result<T, ColumnError>;

/// TIME may be this many seconds away from zero, and one less.
const TIME_LIMIT_SECONDS: i64 = 839 * 3600;

/// TIME: three bytes little-endian, signed, the decimal digits HHMMSS.
pub fn read_time(bytes: &mut Reader<'_>) -> Result<Time> {
    let packed = (bytes.u24("TIME")? << 8) as i32 >> 8;
    let digits = packed.unsigned_abs();
    Time::new("TIME", packed < 0, [digits / 10_000, digits / 100 % 100, digits % 100], 0)
}

/// DATETIME: eight bytes little-endian, the decimal digits YYYYMMDDHHMMSS.
pub fn read_datetime(bytes: &mut Reader<'_>) -> Result<DateTime> {
    let packed = bytes.u64("DATETIME")?;
    let (date, time) = (packed / 1_000_000, (packed % 1_000_000) as u32);
    let date = u32::try_from(date).unwrap_or(u32::MAX);
    let date = Date::new("DATETIME", date / 10_000, date / 100 % 100, date % 100)?;
    DateTime::new("DATETIME", date, [time / 10_000, time / 100 % 100, time % 100], 0)
}

/// TIMESTAMP: four bytes little-endian.
pub fn read_timestamp(bytes: &mut Reader<'_>) -> Result<Timestamp> {
    Ok(Timestamp { seconds: bytes.u32("TIMESTAMP")?, micros: 0, fraction_digits: 0 })
}

/// Bytes of MariaDB's TIME(1) to TIME(6).
pub fn hires_time_size(fraction_digits: u8) -> u8 {
    match fraction_digits {
        1 | 2 => 4,
        3..=5 => 5,
        _ => 6,
    }
}

/// Bytes of MariaDB's DATETIME(1) to DATETIME(6).
pub fn hires_datetime_size(fraction_digits: u8) -> u8 {
    match fraction_digits {
        1 | 2 => 6,
        3..=5 => 7,
        _ => 8,
    }
}

/// Bytes of MariaDB's TIMESTAMP(1) to TIMESTAMP(6).
pub fn hires_timestamp_size(fraction_digits: u8) -> u8 {
    match fraction_digits {
        1 | 2 => 5,
        3 | 4 => 6,
        _ => 7,
    }
}

/// MariaDB's TIME with a fraction: big-endian, counted in units of the last digit from -839:00:00.
pub fn read_hires_time(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<Time> {
    let packed = bytes.uint_be(hires_time_size(fraction_digits).into(), "TIME")? as i64;
    let unit = unit_micros(fraction_digits);
    let micros = packed * i64::from(unit) - TIME_LIMIT_SECONDS * 1_000_000;
    let size = micros.unsigned_abs();
    let seconds = u32::try_from(size / 1_000_000).unwrap_or(u32::MAX);
    let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let time = Time::new("TIME", micros < 0, parts, (size % 1_000_000) as u32)?;
    Ok(Time { fraction_digits, ..time })
}

/// MariaDB's DATETIME with a fraction: big-endian, in units of the last digit,
/// `((((year * 13 + month) * 32 + day) * 24 + hour) * 60 + minute) * 60 + second`.
pub fn read_hires_datetime(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<DateTime> {
    let packed = bytes.uint_be(hires_datetime_size(fraction_digits).into(), "DATETIME")?;
    let unit = u64::from(unit_micros(fraction_digits));
    let per_second = 1_000_000 / unit;
    let micros = (packed % per_second * unit) as u32;
    let seconds = packed / per_second;
    let parts = [(seconds / 3600 % 24) as u32, (seconds / 60 % 60) as u32, (seconds % 60) as u32];
    let days = u32::try_from(seconds / 86_400).unwrap_or(u32::MAX);
    let date = Date::new("DATETIME", days / 32 / 13, days / 32 % 13, days % 32)?;
    Ok(DateTime { fraction_digits, ..DateTime::new("DATETIME", date, parts, micros)? })
}

/// MariaDB's TIMESTAMP with a fraction: four bytes of seconds, then the fraction in units of its last digit,
/// all big-endian.
pub fn read_hires_timestamp(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<Timestamp> {
    let seconds = bytes.uint_be(4, "TIMESTAMP")? as u32;
    let size = usize::from(hires_timestamp_size(fraction_digits)) - 4;
    let fraction = bytes.uint_be(size, "TIMESTAMP: fraction")?;
    let micros = fraction * u64::from(unit_micros(fraction_digits));
    match u32::try_from(micros) {
        Ok(micros @ 0..=999_999) => Ok(Timestamp { seconds, micros, fraction_digits }),
        _ => Err(ColumnError::impossible("TIMESTAMP", "microseconds", micros as i64)),
    }
}

/// Microseconds in one unit of the last of so many digits.
fn unit_micros(fraction_digits: u8) -> u32 {
    match fraction_digits {
        0 => 1_000_000,
        1 => 100_000,
        2 => 10_000,
        3 => 1_000,
        4 => 100,
        5 => 10,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::fixtures::hex;

    #[test]
    fn impossible_digits_are_errors() {
        for packed in ["3c0000", "ffff7f", "701700"] {
            assert!(read_time(&mut Reader::new(&hex(packed))).is_err(), "{packed}");
        }
        assert!(read_datetime(&mut Reader::new(&[0xff; 8])).is_err());
        assert!(read_datetime(&mut Reader::new(&60u64.to_le_bytes())).is_err());
        for digits in 1..=6 {
            assert!(read_hires_time(&mut Reader::new(&[0xff; 8]), digits).is_err());
            assert!(read_hires_time(&mut Reader::new(&[0; 8]), digits).is_err());
            assert!(read_hires_datetime(&mut Reader::new(&[0xff; 8]), digits).is_err());
            assert!(read_hires_timestamp(&mut Reader::new(&[0xff; 8]), digits).is_err());
        }
    }
}
