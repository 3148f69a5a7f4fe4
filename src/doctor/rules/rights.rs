//! What the account may do. What is needed was tried; SHOW GRANTS only tells what could be taken away.

use crate::code::Code;
use crate::doctor::facts::BinlogStatus;
use crate::doctor::facts::RightFacts;
use crate::doctor::facts::Told;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;

/// Rights on everything that reading a binlog never needs and that let an intruder do harm.
const EXCESS: [&str; 10] = [
    "ALL PRIVILEGES",
    "SUPER",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DROP",
    "CREATE USER",
    "FILE",
    "SHUTDOWN",
    "ALTER",
];

pub fn rights(facts: &RightFacts, end: &Told<BinlogStatus>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        [facts.replica.as_ref().err(), end.as_ref().err().filter(|error| error.code() == Code::RightMissing)]
            .into_iter()
            .flatten()
            .map(|error| Finding::source(Level::Error, error))
            .collect();
    if findings.is_empty() {
        let excess: Vec<&str> = EXCESS.into_iter().filter(|right| has_global(&facts.grants, right)).collect();
        let hint = match excess.as_slice() {
            [] => String::new(),
            excess => format!("; it has more than is needed: {}", excess.join(", ")),
        };
        let text = format!("{} may read the binlog{hint}", facts.account);
        findings.push(Finding::fine(Topic::Rights, text));
    }
    findings
}

/// Whether every table can be seen: by a right on everything, or perhaps by a role, whose rights SHOW GRANTS leaves out.
pub fn sees_all_tables(grants: &[String]) -> bool {
    let role = |line: &String| !line.contains(" ON ");
    has_global(grants, "SELECT") || has_global(grants, "ALL PRIVILEGES") || grants.iter().any(role)
}

/// `GRANT a, b ON *.* TO …`
fn has_global(grants: &[String], right: &str) -> bool {
    let global = grants.iter().filter_map(|line| line.strip_prefix("GRANT ")?.split_once(" ON *.* TO "));
    global.into_iter().any(|(rights, _)| rights.split(',').any(|held| held.trim() == right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(grant: &str) -> RightFacts {
        RightFacts { account: "'r'@'%'".into(), grants: vec![grant.into()], replica: Ok(()) }
    }

    #[test]
    fn more_than_needed_is_a_hint() {
        let found =
            rights(&facts("GRANT SUPER, REPLICATION SLAVE ON *.* TO `r`@`%`"), &Ok(BinlogStatus::default()));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].code), (Level::Ok, "RIGHTS"));
        assert!(found[0].text.ends_with("more than is needed: SUPER"), "{found:?}");
        let found = rights(&facts("GRANT REPLICATION SLAVE ON *.* TO `r`@`%`"), &Ok(BinlogStatus::default()));
        assert_eq!(found[0].text, "'r'@'%' may read the binlog");
    }

    #[test]
    fn who_sees_all_tables() {
        let sees = |line: &str| sees_all_tables(&[line.to_owned()]);
        assert!(sees("GRANT SELECT, REPLICATION SLAVE ON *.* TO `r`@`%`"));
        assert!(sees("GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION"));
        assert!(sees("GRANT `reader`@`%` TO `r`@`%`"), "a role may");
        assert!(!sees("GRANT SELECT ON `shop`.* TO `r`@`%`"));
        assert!(!sees("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `r`@`%`"));
    }
}
