//! `fountain filter test`: which rule decides on a table.

use crate::cli::args::TableName;
use crate::config::Config;

/// One line when all shards agree, else one for each.
pub fn test(config: &Config, name: &TableName) -> String {
    let TableName { database, table } = name;
    let said = |decision: crate::schema::filter::Decision<'_>| {
        let verb = if decision.watched { "watched" } else { "not watched" };
        format!("{database}.{table}: {verb}, {}", decision.rule)
    };
    let shared = said(config.shared.filter.decide(database, table));
    let answers =
        config.shards.iter().map(|shard| (shard.name.as_str(), said(shard.filter.decide(database, table))));
    let answers: Vec<_> = answers.collect();
    match answers.split_first() {
        None => format!("{shared}\n"),
        Some(((_, first), rest)) if rest.iter().all(|(_, answer)| answer == first) => format!("{first}\n"),
        Some(_) => answers.iter().map(|(shard, answer)| format!("{shard}: {answer}\n")).collect(),
    }
}
