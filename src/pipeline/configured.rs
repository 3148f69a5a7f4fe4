//! What a shard's configuration means to its parts: how statements are taken, how packs are made, when points are saved.

use crate::change::assembler::AssemblerOptions;
use crate::config;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::config::TransactionConfig;
use crate::pack::builder::HoldRules;
use crate::pack::builder::Oversize;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackRules;
use crate::pack::encoder::RowEncoder;
use crate::pack::json::JsonOptions;
use crate::pack::lines::LineWriter;
use crate::pack::lines::LiveFields;
use crate::pipeline::producer::Ready;
use crate::pipeline::saver::SaveRhythm;
use crate::schema::filter::Filter;

/// How statements are taken, as configured; the filter and the size of events are the caller's.
pub fn assembler_options(transactions: &TransactionConfig) -> AssemblerOptions {
    use crate::change::assembler::DispatchDdl;
    use crate::change::assembler::StatementDml;
    AssemblerOptions {
        filter: Filter::default(),
        dispatch_ddl: match transactions.dispatch_ddl {
            config::DispatchDdl::Table => DispatchDdl::Table,
            config::DispatchDdl::None => DispatchDdl::None,
            config::DispatchDdl::All => DispatchDdl::All,
        },
        statement_dml: match transactions.statement_dml {
            config::StatementDml::Stop => StatementDml::Stop,
            config::StatementDml::Deliver => StatementDml::Deliver,
        },
        max_event_bytes: 0,
        xa_hold_max_bytes: transactions.xa_hold_max_bytes,
    }
}

/// Makes packs of lines, from where that source is read on.
pub(super) fn builder(
    shard: &ShardConfig,
    ready: &Ready,
    next_seq: u64,
    encoder: Option<Box<dyn RowEncoder>>,
) -> PackBuilder {
    let live = LiveFields { shard: shard.name.clone(), server: ready.session.server.clone() };
    let rules = PackRules {
        max_bytes: usize::try_from(shard.packs.max_bytes).unwrap_or(usize::MAX),
        max_lines: shard.packs.max_rows.unwrap_or(u64::MAX).min(shard.memq_limit),
        transaction_lines: shard.transactions.dispatch_transaction,
        gap_lines: shard.transactions.dispatch_gap,
        hold: hold_rules(&shard.transactions),
    };
    let resume = &ready.dump.resume;
    let json = JsonOptions { bigint_as_string: shard.json_bigint == config::JsonBigint::String };
    let mut lines = LineWriter::new(json, Some(live));
    if let Some(encoder) = encoder {
        lines = lines.with_encoder(encoder);
    }
    PackBuilder::new(lines, rules, resume.frontier.clone(), resume.inside.clone(), Some(next_seq))
}

/// None: the policy `none`.
fn hold_rules(transactions: &config::TransactionConfig) -> Option<HoldRules> {
    let discard_tables = match transactions.policy {
        config::TransactionPolicy::None => return None,
        config::TransactionPolicy::Mini => false,
        config::TransactionPolicy::DiscardHugeTable => true,
    };
    Some(HoldRules {
        max_rows: transactions.max_rows,
        max_bytes: usize::try_from(transactions.max_bytes).unwrap_or(usize::MAX),
        discard_tables,
        oversize: match transactions.oversize {
            config::Oversize::Stop => Oversize::Stop,
            config::Oversize::Discard => Oversize::Discard,
            config::Oversize::Stream => Oversize::Stream,
        },
    })
}

pub(super) fn save_rhythm(config: &Config) -> SaveRhythm {
    match config.points.saver {
        config::PointSaver::Sync => SaveRhythm::Sync,
        config::PointSaver::Async => SaveRhythm::Async {
            initial_delay: config.points.async_initial_delay,
            period: config.points.async_period,
        },
    }
}
