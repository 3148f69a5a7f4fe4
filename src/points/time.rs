//! Times as people write and read them: UTC unless an offset is given.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub use crate::status::time_text as text;

/// Whole numbers from here on are milliseconds since 1970, below it seconds: the year 5138, and 3 March 1973.
const LEAST_MILLISECONDS: u64 = 100_000_000_000;

/// Reads RFC 3339, `YYYY-MM-DD[ HH:MM:SS]` (UTC unless an offset stands behind it), or a number since 1970; the answer is
/// in milliseconds since 1970, rounded down.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let bad = || {
        format!(
            "expected a time such as 2026-01-31T12:00:00Z, \"2026-01-31 12:00:00\" (UTC), or seconds since 1970, got \"{text}\""
        )
    };
    if let Ok(number) = text.parse::<u64>() {
        let milliseconds = if number < LEAST_MILLISECONDS { number.checked_mul(1000) } else { Some(number) };
        return milliseconds.ok_or_else(bad);
    }
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let local: DateTime = text.parse().map_err(|_| bad())?;
            local.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp()
        }
    };
    u64::try_from(timestamp.as_millisecond()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_forms() {
        // date -u -d '2023-11-14 22:13:20.123' +%s%3N
        let ms = 1_700_000_000_123;
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14 22:13:20.123",
            " 2023-11-14T22:13:20.123456 ",
            "2023-11-15T06:13:20.123+08:00",
            "2023-11-15 06:13:20.123+08:00",
            "1700000000123",
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        assert_eq!(parse("1700000000"), Ok(1_700_000_000_000));
        assert_eq!(parse("2023-11-14"), Ok(1_699_920_000_000));
        for text in ["", "now", "-5", "22:13", "2023-13-01", "1969-12-31 23:00:00", "99999999999999999999"] {
            assert!(parse(text).unwrap_err().contains("expected a time"), "{text}");
        }
        assert_eq!(text(ms), "2023-11-14T22:13:20.123Z");
        assert_eq!(parse(&text(ms)), Ok(ms));
        assert_eq!((text(0).as_str(), text(u64::MAX).as_str()), ("-", "18446744073709551615 ms"));
    }
}
