//! The way to the server: encryption, its certificate, and the two clocks.

use crate::code::Code;
use crate::config::Choice;
use crate::config::SourceOptions;
use crate::config::SslMode;
use crate::doctor::facts::ClockFacts;
use crate::doctor::facts::LinkFacts;
use crate::doctor::facts::Told;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use std::net::IpAddr;

/// Offsets below this do no harm to anything that is measured in seconds.
const CLOCK_TOLERANCE_MS: i64 = 2000;
const CERTIFICATE_WARNING_DAYS: i64 = 14;

/// `today` is in days since 1970.
pub fn encryption(link: &LinkFacts, options: &SourceOptions, today: i64) -> Vec<Finding> {
    let mode = options.ssl.mode;
    let Some(version) = &link.tls_version else { return vec![plain(options)] };
    let verified = match mode {
        SslMode::VerifyIdentity => "its certificate is verified, and names this host".to_owned(),
        SslMode::VerifyCa => "its certificate is verified".to_owned(),
        mode => format!("its certificate is not verified (mysql_ssl_mode={})", mode.word()),
    };
    let mut findings = vec![Finding::fine(Topic::Encryption, format!("{version}, {verified}"))];
    findings.extend(link.certificate_not_after.as_deref().and_then(|text| expiry(text, today)));
    findings
}

fn plain(options: &SourceOptions) -> Finding {
    if is_this_machine(&options.host) {
        return Finding::fine(Topic::Encryption, "none, and the server is on this machine");
    }
    let text = "the connection is not encrypted: password and rows can be read on the way";
    match options.ssl.mode {
        SslMode::Disabled => Finding::warn(Code::NotEncrypted, text, "set mysql_ssl_mode=required"),
        _ => Finding::warn(
            Code::NotEncrypted,
            format!("{text}; the server offers no TLS that works here"),
            "give the server a certificate (ssl_cert and ssl_key in its configuration file), then set \
             mysql_ssl_mode=required",
        ),
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn expiry(not_after: &str, today: i64) -> Option<Finding> {
    let left = day_of(not_after)? - today;
    let cure = "replace the server's certificate and key files, then run on the server: ALTER INSTANCE RELOAD TLS \
                (MariaDB: FLUSH SSL; older servers need a restart)";
    match left {
        ..0 => {
            let text = format!("the server's certificate has expired: {not_after}");
            Some(Finding::warn(Code::CertificateExpiry, text, cure))
        }
        0..=CERTIFICATE_WARNING_DAYS => {
            let text = format!("the server's certificate expires in {left} days: {not_after}");
            Some(Finding::warn(Code::CertificateExpiry, text, cure))
        }
        _ => None,
    }
}

/// `Nov 20 15:30:56 2036 GMT` in days since 1970.
fn day_of(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace();
    let (month, day, _time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    // Days of the civil calendar, with years that begin in March ("days_from_civil" by Howard Hinnant).
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

pub fn clock(told: &Told<ClockFacts>) -> Finding {
    let clock = match told {
        Ok(clock) => clock,
        Err(error) => return Finding::source(Level::Warn, error),
    };
    let ClockFacts { ahead_ms, uncertainty_ms } = *clock;
    let text =
        format!("the server's clock is {ahead_ms} ms ahead of ours (give or take {uncertainty_ms} ms)");
    if ahead_ms.abs().saturating_sub(uncertainty_ms) <= CLOCK_TOLERANCE_MS {
        return Finding::fine(Topic::Clock, text);
    }
    Finding::warn(
        Code::ClockOffset,
        format!("{text}: ts_ms and every delay measured with it are off by that much"),
        "keep both machines' clocks in step (chrony or another NTP client)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Request;

    fn options(host: &str, mode: &str) -> SourceOptions {
        let pairs = [
            ("mysql_shard_0_server", host),
            ("mysql_username", "u"),
            ("mysql_ssl_mode", mode),
            ("mysql_ssl_ca", if mode.starts_with("verify") { "ca.pem" } else { "" }),
        ];
        Config::load(&Request::from_pairs("/h", &pairs)).unwrap().shards[0].sources[0].clone()
    }

    fn link(tls: Option<&str>, not_after: Option<&str>) -> LinkFacts {
        LinkFacts { tls_version: tls.map(str::to_owned), certificate_not_after: not_after.map(str::to_owned) }
    }

    #[test]
    fn plain_text_is_fine_at_home_only() {
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(encryption(&link(None, None), &options(host, "preferred"), 0)[0].level, Level::Ok);
        }
        let far = &encryption(&link(None, None), &options("db1", "preferred"), 0)[0];
        assert_eq!((far.code, far.level), ("NOT_ENCRYPTED", Level::Warn));
        let off = &encryption(&link(None, None), &options("db1", "disabled"), 0)[0];
        assert_eq!(off.cure.as_deref(), Some("set mysql_ssl_mode=required"));
    }

    #[test]
    fn what_is_verified_is_said() {
        for (mode, words) in [
            ("preferred", "not verified"),
            ("required", "not verified"),
            ("verify_ca", "is verified"),
            ("verify_identity", "names this host"),
        ] {
            let finding = &encryption(&link(Some("TLSv1_3"), None), &options("db1", mode), 0)[0];
            assert!(finding.text.contains(words) && finding.level == Level::Ok, "{finding:?}");
        }
    }

    #[test]
    fn a_certificate_is_told_before_it_expires() {
        assert_eq!(day_of("Jan  1 00:00:00 1970 GMT"), Some(0));
        assert_eq!(day_of("Feb 29 12:00:00 2024 GMT"), Some(19_782));
        assert_eq!(day_of("tomorrow"), None);
        let day = day_of("Nov 20 15:30:56 2036 GMT").unwrap();
        assert_eq!(expiry("Nov 20 15:30:56 2036 GMT", day - 15), None);
        let soon = expiry("Nov 20 15:30:56 2036 GMT", day - 14).unwrap();
        assert!(soon.text.contains("expires in 14 days"), "{soon:?}");
        assert!(expiry("Nov 20 15:30:56 2036 GMT", day + 1).unwrap().text.contains("has expired"));
    }

    #[test]
    fn clocks_may_differ_by_the_uncertainty_and_two_seconds() {
        let level = |ahead_ms, uncertainty_ms| clock(&Ok(ClockFacts { ahead_ms, uncertainty_ms })).level;
        assert_eq!(level(2001, 1), Level::Ok);
        assert_eq!(level(-2002, 1), Level::Warn);
        assert_eq!(level(60_000, 70_000), Level::Ok);
        assert_eq!(clock(&Ok(ClockFacts { ahead_ms: 3_600_000, uncertainty_ms: 5 })).code, "CLOCK_OFFSET");
    }
}
