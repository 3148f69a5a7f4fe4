//! What a run says of a source at its first connect though it goes on: the few findings of `fountain check` that leave
//! something out of the rows.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::mysql::advice;
use crate::mysql::catalog::missing_tables;
use crate::pipeline::session::Session;

/// Tells it, one line each. That a question fails is no reason to stop: the stream will meet the same trouble.
pub fn tell(shard: &ShardConfig, session: &mut Session) {
    let name = &shard.name;
    for told in advice::at_connect(&session.facts) {
        log::warn!("{} shard={name} source={} {}; {}", told.code, session.server, told.text, told.cure);
    }
    let watched: Vec<(&str, &str)> = shard.filter.exact_white().collect();
    match missing_tables(&mut session.connection, &watched) {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => log::warn!(
            "{} shard={name} source={} filter_shard_table_white names tables that the server does not have: {}; capitals count",
            Code::FilterUnmatched,
            session.server,
            missing.join(", ")
        ),
        Err(error) => log::debug!("shard={name} {error}"),
    }
}
