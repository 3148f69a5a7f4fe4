//! Whether the sources of a shard are different servers with one history.

use crate::binlog::GtidSet;
use crate::code::Code;
use crate::doctor::facts::SourceFacts;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use std::collections::BTreeMap;

/// Sets of many servers are long; the beginning tells whose they are.
const LONGEST: usize = 300;

/// What a backup's history is, against the main server's. The main server was asked first, so what it has done since
/// is not counted for the backup.
pub fn compare(main: &SourceFacts, backup: &SourceFacts) -> Vec<Finding> {
    if main.server.server_uuid().is_some() && main.server.server_uuid() == backup.server.server_uuid() {
        return vec![Finding::warn(
            Code::SameServer,
            format!(
                "this source is the main server itself (it says it is {})",
                main.server.server_uuid().unwrap_or_default()
            ),
            "name another server in mysql_shard_N_haK_server and mysql_shard_N_haK_port, or, where a data folder of \
             MySQL was copied, remove auto.cnf from the copy and restart it",
        )];
    }
    if main.server.server_id() == backup.server.server_id() {
        return vec![Finding::warn(
            Code::SameServer,
            format!("main server and backup have the same server_id {}", main.server.server_id()),
            format!(
                "run on the server: SET GLOBAL server_id={} (a number that no other server has, and put it into its \
                 configuration file)",
                backup.server.server_id().wrapping_add(1)
            ),
        )];
    }
    by_sets(main, backup).or_else(|| by_domains(main, backup)).into_iter().collect()
}

fn by_sets(main: &SourceFacts, backup: &SourceFacts) -> Option<Finding> {
    let set = |facts: &SourceFacts| -> Option<GtidSet> {
        facts.binlog.gtid_sets.as_ref().ok()?.as_ref()?.executed.parse().ok()
    };
    sets(&set(main)?, &set(backup)?)
}

fn sets(main: &GtidSet, backup: &GtidSet) -> Option<Finding> {
    if main.is_empty() && backup.is_empty() {
        return None;
    }
    let (lacking, errant) = (main.subtract(backup), backup.subtract(main));
    if &lacking == main && !main.is_empty() {
        return Some(Finding::error(
            Code::SourceHistory,
            format!(
                "this backup has none of the main server's transactions: main {}, backup {}",
                shown(main),
                shown(backup)
            ),
            "make it a replica of the main server with GTIDs on, or take it out of the configuration",
        ));
    }
    if !errant.is_empty() {
        return Some(Finding::warn(
            Code::SourceHistory,
            format!(
                "this backup has transactions that the main server has not: {}; if they were made on the backup itself, they \
                 stay behind when it becomes the source",
                shown(&errant)
            ),
            "write on the main server alone (run on the backup: SET GLOBAL read_only=ON), and bring both to the same state",
        ));
    }
    let behind = match lacking.is_empty() {
        true => String::new(),
        false => format!(", and lags behind by {}", shown(&lacking)),
    };
    Some(Finding::fine(Topic::History, format!("the same transactions as the main server{behind}")))
}

fn shown(set: &GtidSet) -> String {
    let text = set.to_string();
    match text.char_indices().nth(LONGEST) {
        _ if text.is_empty() => "(none)".to_owned(),
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text,
    }
}

fn by_domains(main: &SourceFacts, backup: &SourceFacts) -> Option<Finding> {
    let position = |facts: &SourceFacts| facts.binlog.end.as_ref().ok()?.gtid_binlog_pos.clone();
    domains(&position(main)?, &position(backup)?)
}

/// MariaDB: in each domain of the main server the backup must stand somewhere, and not ahead.
fn domains(main: &str, backup: &str) -> Option<Finding> {
    let parsed = |text: &str| -> BTreeMap<u64, (String, u64)> {
        let one = |gtid: &str| {
            let mut numbers = gtid.trim().split('-').map(|number| number.parse::<u64>().ok());
            let (domain, _, number) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some((domain, (gtid.trim().to_owned(), number)))
        };
        text.split(',').filter_map(one).collect()
    };
    let (main, backup) = (parsed(main), parsed(backup));
    if main.is_empty() {
        return None;
    }
    let missing: Vec<&str> = main
        .iter()
        .filter(|(domain, _)| !backup.contains_key(domain))
        .map(|(_, (gtid, _))| gtid.as_str())
        .collect();
    if !missing.is_empty() {
        return Some(Finding::error(
            Code::SourceHistory,
            format!(
                "this backup's binlog has nothing of the main server's domains, which stand at {}",
                missing.join(", ")
            ),
            "make it a replica of the main server with log_slave_updates=ON, or take it out of the configuration",
        ));
    }
    let ahead: Vec<&str> = backup
        .iter()
        .filter(|(domain, (_, number))| main.get(domain).is_none_or(|(_, there)| number > there))
        .map(|(_, (gtid, _))| gtid.as_str())
        .collect();
    if !ahead.is_empty() {
        return Some(Finding::warn(
            Code::SourceHistory,
            format!("this backup's binlog is ahead of the main server's: {}", ahead.join(", ")),
            "write on the main server alone (run on the backup: SET GLOBAL read_only=ON), and bring both to the same state",
        ));
    }
    Some(Finding::fine(Topic::History, "the main server's domains, and not ahead of it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_tell_replicas_strangers_and_strays() {
        let judged = |main: &str, backup: &str| sets(&main.parse().unwrap(), &backup.parse().unwrap());
        let same = judged(&format!("{A}:1-9"), &format!("{A}:1-9")).unwrap();
        assert_eq!(same.text, "the same transactions as the main server");
        let lags = judged(&format!("{A}:1-9"), &format!("{A}:1-5")).unwrap();
        assert!(
            lags.level == Level::Ok && lags.text.ends_with(&format!("lags behind by {A}:6-9")),
            "{lags:?}"
        );
        let errant = judged(&format!("{A}:1-9"), &format!("{A}:1-9,{B}:1")).unwrap();
        assert!(errant.level == Level::Warn && errant.text.contains(&format!("{B}:1")), "{errant:?}");
        assert_eq!(judged(&format!("{A}:1-9"), &format!("{B}:1")).unwrap().level, Level::Error);
        assert_eq!(judged("", ""), None);
    }

    #[test]
    fn domains_tell_them_too() {
        let judged = |main, backup| domains(main, backup).map(|found| found.level);
        assert_eq!(judged("0-1-9,1-1-5", "0-1-9,1-1-4"), Some(Level::Ok));
        assert_eq!(judged("0-1-9,1-1-5", "0-1-9"), Some(Level::Error));
        assert_eq!(judged("0-1-9", "0-2-10"), Some(Level::Warn));
        assert_eq!(judged("0-1-9", "0-1-9,5-2-1"), Some(Level::Warn));
        assert_eq!(judged("", "0-1-9"), None);
    }
}
