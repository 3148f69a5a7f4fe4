//! Whether the server logs what it changes, and how much of it.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::doctor::facts::BinlogStatus;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use crate::doctor::rules::listed;
use crate::doctor::rules::size;
use crate::mysql::advice;
use crate::mysql::advice::set_global;
use crate::mysql::preflight::ServerFacts;

pub fn binlog(server: &ServerFacts, end: Option<&BinlogStatus>, shard: &ShardConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    match server.require_row_binlog() {
        Ok(()) => findings.push(Finding::fine(Topic::Binlog, summary(server))),
        Err(error) => findings.push(Finding::source(Level::Error, &error)),
    }
    findings.extend(no_server_id(server));
    findings
        .extend(advice::at_connect(server).into_iter().chain(advice::given_up(server)).map(Finding::from));
    let end = end.and_then(|end| left_out(end, shard));
    findings
        .extend([metadata(server), checksum(server), end, event_limit(server, shard)].into_iter().flatten());
    findings
}

fn summary(server: &ServerFacts) -> String {
    let mut words = vec!["binlog_format=ROW (a session may still choose another)".to_owned()];
    let told = ["binlog_row_image", "binlog_row_metadata", "binlog_checksum", "sync_binlog"];
    let told = told.iter().filter_map(|name| Some(format!("{name}={}", server.variable(name)?)));
    words.extend(told);
    for name in ["binlog_transaction_compression", "log_bin_compress", "binlog_encryption", "encrypt_binlog"]
    {
        if server.is_on(name) == Some(true) {
            words.push(format!("{name}=ON"));
        }
    }
    words.join(", ")
}

fn no_server_id(server: &ServerFacts) -> Option<Finding> {
    (server.server_id() == 0).then(|| {
        Finding::error(
            Code::ServerId,
            "the server has server_id=0 and refuses replicas",
            "run on the server: SET GLOBAL server_id=1 (a number that no other server has, and put it into its \
             configuration file)",
        )
    })
}

fn metadata(server: &ServerFacts) -> Option<Finding> {
    let metadata =
        server.variable("binlog_row_metadata").filter(|value| !value.eq_ignore_ascii_case("FULL"))?;
    Some(Finding::warn(
        Code::RowMetadata,
        format!(
            "binlog_row_metadata={metadata}: what columns are called has to be asked of the server when their rows are \
             read; after an ALTER TABLE in between that is another table"
        ),
        set_global(server, "binlog_row_metadata='FULL'"),
    ))
}

fn checksum(server: &ServerFacts) -> Option<Finding> {
    server.variable("binlog_checksum").filter(|value| value.eq_ignore_ascii_case("NONE"))?;
    Some(Finding::warn(
        Code::NoChecksum,
        "binlog_checksum=NONE: an event that is damaged on disk or on the way cannot be told from a good one",
        set_global(server, "binlog_checksum='CRC32'"),
    ))
}

/// Databases that are not in the binlog: no matter where the filter watches none of them.
fn left_out(end: &BinlogStatus, shard: &ShardConfig) -> Option<Finding> {
    let watched = shard.filter.databases();
    let complaint = |text: String| {
        let cure = "take binlog_do_db and binlog_ignore_db out of the server's configuration file and restart it, or \
                    leave such databases out by filter_shard_table_white";
        Some(Finding::warn(Code::BinlogFilter, text, cure))
    };
    if !end.do_db.is_empty() {
        let logged = |name: &&str| end.do_db.iter().any(|logged| logged == name);
        let missing: Vec<&str> = watched.iter().flatten().copied().filter(|name| !logged(name)).collect();
        if watched.is_none() || !missing.is_empty() {
            let named = if missing.is_empty() { "all others" } else { &listed(&missing) };
            return complaint(format!(
                "binlog_do_db={}: changes in {named} are never logged",
                end.do_db.join(",")
            ));
        }
    }
    let missing: Vec<&String> = end
        .ignore_db
        .iter()
        .filter(|name| watched.as_ref().is_none_or(|watched| watched.contains(name.as_str())))
        .filter(|name| shard.filter.may_watch_in(name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    complaint(format!("binlog_ignore_db={}: changes there are never logged", listed(&missing)))
}

/// A row can be as large as what a client may send.
fn event_limit(server: &ServerFacts, shard: &ShardConfig) -> Option<Finding> {
    let packet: u64 = server.variable("max_allowed_packet")?.parse().ok()?;
    (shard.max_event_bytes < packet).then(|| {
        Finding::warn(
            Code::EventLimit,
            format!(
                "max_event_bytes={} is less than the server's max_allowed_packet ({}): a row may come that is larger than \
                 what is taken, and stop the shard",
                size(shard.max_event_bytes),
                size(packet)
            ),
            format!("set max_event_bytes={}", packet.saturating_mul(2).min(u32::MAX.into())),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Request;

    fn shard(white: &str, max_event_bytes: &str) -> ShardConfig {
        let pairs = [
            ("mysql_shard_0_server", "db1"),
            ("mysql_username", "u"),
            ("filter_shard_table_white", white),
            ("max_event_bytes", max_event_bytes),
        ];
        Config::load(&Request::from_pairs("/h", &pairs)).unwrap().shards.remove(0)
    }

    fn codes(pairs: &[(&str, &str)], end: &BinlogStatus, shard: &ShardConfig) -> Vec<&'static str> {
        let found = binlog(&ServerFacts::of(pairs), Some(end), shard);
        assert!(
            found.iter().all(|finding| finding.level == Level::Ok || finding.cure.is_some()),
            "{found:?}"
        );
        found.iter().map(|finding| finding.code).collect()
    }

    fn status(do_db: &[&str], ignore_db: &[&str]) -> BinlogStatus {
        let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        BinlogStatus { do_db: own(do_db), ignore_db: own(ignore_db), ..BinlogStatus::default() }
    }

    #[test]
    fn a_sound_server_has_one_line() {
        let shard = shard("", "");
        let all = BinlogStatus::default();
        assert_eq!(codes(&[], &all, &shard), ["BINLOG"], "as old as 5.1");
        let new =
            [("binlog_row_image", "FULL"), ("binlog_row_metadata", "FULL"), ("binlog_checksum", "CRC32")];
        assert_eq!(codes(&new, &all, &shard), ["BINLOG"]);
    }

    #[test]
    fn each_setting_has_its_code() {
        let (shard, all) = (shard("", ""), BinlogStatus::default());
        for (pair, expected) in [
            (("binlog_row_metadata", "MINIMAL"), ["BINLOG", "ROW_METADATA"]),
            (("binlog_row_metadata", "NO_LOG"), ["BINLOG", "ROW_METADATA"]),
            (("binlog_checksum", "NONE"), ["BINLOG", "NO_CHECKSUM"]),
            (("binlog_row_image", "MINIMAL"), ["BINLOG", "ROW_IMAGE"]),
            (("binlog_error_action", "IGNORE_ERROR"), ["BINLOG", "BINLOG_GIVEN_UP"]),
            (("server_id", "0"), ["BINLOG", "SERVER_ID"]),
        ] {
            assert_eq!(codes(&[pair], &all, &shard), expected);
        }
        assert_eq!(codes(&[("log_bin", "OFF")], &all, &shard), ["BINLOG_OFF"]);
        assert_eq!(codes(&[("binlog_format", "MIXED")], &all, &shard), ["BINLOG_FORMAT"]);
    }

    #[test]
    fn databases_left_out_matter_where_they_are_watched() {
        let found = |do_db: &[&str], ignore_db: &[&str], white| {
            codes(&[], &status(do_db, ignore_db), &shard(white, "")).contains(&"BINLOG_FILTER")
        };
        assert!(found(&["shop"], &[], ""));
        assert!(!found(&["shop", "hr"], &[], "shop.a,hr.b"));
        assert!(found(&["shop"], &[], "shop.a,hr.b"));
        assert!(found(&[], &["tmp"], ""));
        assert!(!found(&[], &["tmp"], "shop.a"));
        assert!(found(&[], &["tmp"], "tmp.a"));
    }

    #[test]
    fn events_larger_than_we_take_are_told() {
        let packet = [("max_allowed_packet", "67108864")];
        assert_eq!(codes(&packet, &BinlogStatus::default(), &shard("", "")), ["BINLOG"]);
        assert_eq!(codes(&packet, &BinlogStatus::default(), &shard("", "1MiB")), ["BINLOG", "EVENT_LIMIT"]);
    }
}
