//! DATE, TIME, DATETIME and TIMESTAMP: their values, the text that `SELECT` prints, and the forms that
//! servers log since MySQL 5.6.4 and MariaDB 10.1 (`mysys/my_time.cc`, `my_*_packed_from_binary`). The older
//! forms are in `temporal_old`.
//!
//! Zero and partly zero dates are values like any other. A part that no server could have stored (month 13,
//! minute 60) is an error: the bytes are then not what they were taken for.

use crate::codec::Reader;
use crate::column::error::ColumnError;

type Result<T> = std::result::Result<T, ColumnError>;

const MAX_HOURS: u32 = 838;
const SECONDS_PER_DAY: u32 = 86_400;

/// A calendar date; each part may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

/// A span of time or a time of day: -838:59:59 to 838:59:59, and a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub negative: bool,
    pub hours: u16,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
    /// Declared digits of the fraction, 0 to 6.
    pub fraction_digits: u8,
}

/// A date with a time of day, in no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateTime {
    pub date: Date,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
    /// Declared digits of the fraction, 0 to 6.
    pub fraction_digits: u8,
}

/// A moment: seconds since 1970-01-01 00:00:00 UTC. Zero, without a fraction, is the zero timestamp and no
/// moment. (With a fraction it is one to MariaDB; MySQL stores no such value.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Unsigned: MariaDB 11.5 and later count on to 2106.
    pub seconds: u32,
    pub micros: u32,
    /// Declared digits of the fraction, 0 to 6.
    pub fraction_digits: u8,
}

impl Date {
    #[inline(always)]
    pub(crate) fn new(type_name: &'static str, year: u32, month: u32, day: u32) -> Result<Self> {
        Ok(Self {
            year: part(type_name, "year", year, 9999)? as u16,
            month: part(type_name, "month", month, 12)? as u8,
            day: part(type_name, "day", day, 31)? as u8,
        })
    }

    /// DATE and NEWDATE: 15 bits of year, 4 of month, 5 of day, three bytes little-endian.
    #[inline]
    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self> {
        let packed = bytes.u24("DATE")?;
        Self::new("DATE", packed >> 9, packed >> 5 & 0xf, packed & 0x1f)
    }

    /// `YYYY-MM-DD`
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    #[inline]
    fn text(&self) -> [u8; 10] {
        let [y1, y2] = two_digits((self.year / 100) as u8);
        let [y3, y4] = two_digits((self.year % 100) as u8);
        let [m1, m2] = two_digits(self.month);
        let [d1, d2] = two_digits(self.day);
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
    }
}

impl Time {
    pub(crate) fn new(
        type_name: &'static str,
        negative: bool,
        seconds: [u32; 3],
        micros: u32,
    ) -> Result<Self> {
        let [hours, minute, second] = seconds;
        Ok(Self {
            negative,
            hours: part(type_name, "hours", hours, MAX_HOURS)? as u16,
            minute: part(type_name, "minute", minute, 59)? as u8,
            second: part(type_name, "second", second, 59)? as u8,
            micros: part(type_name, "microseconds", micros, 999_999)?,
            fraction_digits: 0,
        })
    }

    /// TIME2: three bytes big-endian, of which 0x800000 is zero, then the fraction. Sign and fraction are one
    /// number: a negative value is the two's complement of the whole, so its fraction borrows from the
    /// seconds.
    #[inline]
    pub(crate) fn read2(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<Self> {
        let fraction_size = fraction_size(fraction_digits);
        let packed = bytes.uint_be(3 + fraction_size, "TIME")?;
        let fraction_bits = 8 * fraction_size as u32;
        let value = packed as i64 - (0x80_0000 << fraction_bits);
        let size = value.unsigned_abs();
        let whole = (size >> fraction_bits) as u32;
        let fraction = (size & ((1 << fraction_bits) - 1)) as u32;
        // Ten bits of hours, six of minutes, six of seconds; the bit above is always zero.
        let time = Self::new(
            "TIME",
            value < 0,
            [whole >> 12, whole >> 6 & 0x3f, whole & 0x3f],
            micros_of(fraction, fraction_digits),
        )?;
        Ok(Self { fraction_digits, ..time })
    }

    /// The form of `Json_datetime`: eight bytes little-endian, 24 of their bits microseconds.
    pub(crate) fn read_packed(bytes: &mut Reader<'_>) -> Result<Self> {
        let value = bytes.u64("JSON TIME")? as i64;
        let size = value.unsigned_abs();
        let whole = u32::try_from(size >> 24).unwrap_or(u32::MAX);
        let seconds = [whole >> 12, whole >> 6 & 0x3f, whole & 0x3f];
        let time = Self::new("JSON TIME", value < 0, seconds, (size & 0xff_ffff) as u32)?;
        Ok(Self { fraction_digits: 6, ..time })
    }

    /// `[-]HH:MM:SS[.ffffff]`, hours of two or three digits.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        if self.hours >= 100 {
            out.push(b'0' + (self.hours / 100) as u8);
        }
        let [h1, h2] = two_digits((self.hours % 100) as u8);
        let [m1, m2] = two_digits(self.minute);
        let [s1, s2] = two_digits(self.second);
        out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
        write_fraction(out, self.micros, self.fraction_digits);
    }
}

impl DateTime {
    #[inline(always)]
    pub(crate) fn new(type_name: &'static str, date: Date, seconds: [u32; 3], micros: u32) -> Result<Self> {
        let [hour, minute, second] = seconds;
        Ok(Self {
            date,
            hour: part(type_name, "hour", hour, 23)? as u8,
            minute: part(type_name, "minute", minute, 59)? as u8,
            second: part(type_name, "second", second, 59)? as u8,
            micros: part(type_name, "microseconds", micros, 999_999)?,
            fraction_digits: 0,
        })
    }

    /// DATETIME2: five bytes big-endian, the top bit always set (there are no negative dates), then the
    /// fraction.
    // Always inlined, here and below, as `ColumnFormat::decode` is, of which it is a part.
    #[inline(always)]
    pub(crate) fn read2(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<Self> {
        let [high, low @ ..] = bytes.array::<5>("DATETIME")?;
        let packed = u64::from(high) << 32 | u64::from(u32::from_be_bytes(low));
        let micros = read_micros(bytes, fraction_digits)?;
        match packed.checked_sub(1 << 39) {
            Some(packed) => {
                let value = Self::from_packed_seconds("DATETIME", packed, micros)?;
                Ok(Self { fraction_digits, ..value })
            }
            None => Err(ColumnError::impossible("DATETIME", "sign", -1)),
        }
    }

    /// The form of `Json_datetime`: eight bytes little-endian, 24 of their bits microseconds.
    pub(crate) fn read_packed(bytes: &mut Reader<'_>) -> Result<Self> {
        let packed = bytes.u64("JSON DATETIME")?;
        let value = Self::from_packed_seconds("JSON DATETIME", packed >> 24, (packed & 0xff_ffff) as u32)?;
        Ok(Self { fraction_digits: 6, ..value })
    }

    /// `(year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second`
    #[inline(always)]
    fn from_packed_seconds(type_name: &'static str, packed: u64, micros: u32) -> Result<Self> {
        let months = u32::try_from(packed >> 22).unwrap_or(u32::MAX);
        let low = (packed & 0x3f_ffff) as u32;
        let date = Date::new(type_name, months / 13, months % 13, low >> 17)?;
        Self::new(type_name, date, [low >> 12 & 0x1f, low >> 6 & 0x3f, low & 0x3f], micros)
    }

    /// `YYYY-MM-DD HH:MM:SS[.ffffff]`
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let [y1, y2, y3, y4, _, o1, o2, _, d1, d2] = self.date.text();
        let [h1, h2] = two_digits(self.hour);
        let [m1, m2] = two_digits(self.minute);
        let [s1, s2] = two_digits(self.second);
        out.extend_from_slice(&[
            y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b' ', h1, h2, b':', m1, m2, b':', s1, s2,
        ]);
        write_fraction(out, self.micros, self.fraction_digits);
    }
}

impl Timestamp {
    /// TIMESTAMP2: four bytes big-endian, then the fraction.
    #[inline]
    pub(crate) fn read2(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<Self> {
        let seconds = bytes.uint_be(4, "TIMESTAMP")? as u32;
        let micros = read_micros(bytes, fraction_digits)?;
        Ok(Self { seconds, micros: part("TIMESTAMP", "microseconds", micros, 999_999)?, fraction_digits })
    }

    /// The moment in UTC; all zero for the zero timestamp.
    #[inline]
    pub fn to_utc(self) -> DateTime {
        let Self { seconds, micros, fraction_digits } = self;
        if seconds == 0 && micros == 0 {
            return DateTime { fraction_digits, ..DateTime::default() };
        }
        let time = seconds % SECONDS_PER_DAY;
        DateTime {
            date: date_of_day(seconds / SECONDS_PER_DAY),
            hour: (time / 3600) as u8,
            minute: (time / 60 % 60) as u8,
            second: (time % 60) as u8,
            micros,
            fraction_digits,
        }
    }

    /// As [`DateTime::write`], in UTC.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        self.to_utc().write(out);
    }
}

/// The date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`: years begin in March
/// there, so that the leap day is a year's last.
#[inline]
fn date_of_day(day: u32) -> Date {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Date {
        year: (year_of_era + era * 400 + u32::from(month <= 2)) as u16,
        month: month as u8,
        day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
    }
}

/// Bytes that a fraction of so many digits takes in the new forms.
#[inline]
pub(crate) fn fraction_size(fraction_digits: u8) -> usize {
    usize::from(fraction_digits.div_ceil(2))
}

#[inline]
fn read_micros(bytes: &mut Reader<'_>, fraction_digits: u8) -> Result<u32> {
    match fraction_size(fraction_digits) {
        0 => Ok(0),
        size => Ok(micros_of(bytes.uint_be(size, "fraction of a second")? as u32, fraction_digits)),
    }
}

/// One byte holds hundredths, two hold ten thousandths, three microseconds.
#[inline]
fn micros_of(fraction: u32, fraction_digits: u8) -> u32 {
    match fraction_size(fraction_digits) {
        0 => 0,
        1 => fraction.saturating_mul(10_000),
        2 => fraction.saturating_mul(100),
        _ => fraction,
    }
}

#[inline]
fn part(type_name: &'static str, part: &'static str, value: u32, max: u32) -> Result<u32> {
    if value <= max { Ok(value) } else { Err(ColumnError::impossible(type_name, part, value.into())) }
}

#[inline]
fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10, b'0' + value % 10]
}

#[inline]
fn write_fraction(out: &mut Vec<u8>, micros: u32, digits: u8) {
    if digits == 0 {
        return;
    }
    let [a, b] = two_digits((micros / 10_000) as u8);
    let [c, d] = two_digits((micros / 100 % 100) as u8);
    let [e, f] = two_digits((micros % 100) as u8);
    let text = [b'.', a, b, c, d, e, f];
    out.extend_from_slice(text.get(..usize::from(digits) + 1).unwrap_or(&text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::fixtures::hex;

    fn printed(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn time(packed: &str, digits: u8) -> Result<String> {
        let bytes = hex(packed);
        let mut reader = Reader::new(&bytes);
        let value = Time::read2(&mut reader, digits)?;
        reader.finish("TIME").unwrap();
        Ok(printed(|out| value.write(out)))
    }

    fn datetime(packed: &str, digits: u8) -> Result<String> {
        let bytes = hex(packed);
        let mut reader = Reader::new(&bytes);
        let value = DateTime::read2(&mut reader, digits)?;
        reader.finish("DATETIME").unwrap();
        Ok(printed(|out| value.write(out)))
    }

    fn timestamp(seconds: u32) -> String {
        printed(|out| Timestamp { seconds, micros: 0, fraction_digits: 0 }.write(out))
    }

    #[test]
    fn parts_that_cannot_be_are_errors() {
        assert!(datetime("7fffffffff", 0).is_err(), "negative");
        assert!(datetime("ffffffffff", 0).is_err(), "year 10082");
        assert!(datetime("800000003c", 0).is_err(), "second 60");
        assert!(datetime("8000000000ff", 2).is_err(), "2.55 s of fraction");
        assert!(time("ffffff", 0).is_err() && time("000000", 0).is_err());
        assert!(time("80003c", 0).is_err(), "second 60");
        assert!(Date::read(&mut Reader::new(&[0xff, 0xff, 0xff])).is_err());
        assert!(Date::read(&mut Reader::new(&[0xa0, 0x01, 0])).is_err(), "month 13");
    }

    #[test]
    fn timestamps_from_1970_to_2106_and_the_zero_one() {
        assert_eq!(timestamp(0), "0000-00-00 00:00:00");
        assert_eq!(timestamp(1), "1970-01-01 00:00:01");
        assert_eq!(timestamp(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(timestamp(0x7fff_ffff), "2038-01-19 03:14:07");
        assert_eq!(timestamp(u32::MAX), "2106-02-07 06:28:15");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date_of_day(0);
        assert_eq!(last, Date { year: 1970, month: 1, day: 1 });
        for day in 1..=u32::MAX / SECONDS_PER_DAY {
            let date = date_of_day(day);
            let multiple = |of: u16| last.year.is_multiple_of(of);
            let leap = multiple(4) && (!multiple(100) || multiple(400));
            let length = match last.month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = match (last.day < length, last.month < 12) {
                (true, _) => Date { day: last.day + 1, ..last },
                (false, true) => Date { year: last.year, month: last.month + 1, day: 1 },
                (false, false) => Date { year: last.year + 1, month: 1, day: 1 },
            };
            assert_eq!(date, next);
            last = date;
        }
    }
}
