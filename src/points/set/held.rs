//! What this node's sink holds, for a move of the point: where delivery stands may be told by it alone.

use crate::code::Code;
use crate::config::Config;
use crate::config::ExecSinkConfig;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::guard::term::Term;
use crate::pack::header::PackHeader;
use crate::pipeline::fault::Fault;
use crate::pipeline::sinks::ask_standing;
use crate::pipeline::sinks::file_sink_config;
use crate::sink::Sink;
use crate::sink::exec::ExecSink;
use crate::sink::file::FileSink;
use crate::stop::Stop;
use crate::sync_point::PointRecord;
use crate::sync_point::epochs::LastPack;

pub(super) type OpenedSink = (Option<FileSink>, Option<PackHeader>, u64);

/// A sink that keeps packs tells where it stands. Its folder is not made here.
pub(super) fn open_sink(shard: &ShardConfig) -> Result<OpenedSink, Fault> {
    let SinkConfig::File(file) = &shard.sink else { return Ok((None, None, 0)) };
    let failed = |error: crate::sink::SinkError| {
        Fault::stop(error.code, format!("shard={} {}", shard.name, error.text))
    };
    match file.dir.try_exists() {
        Ok(false) => return Ok((None, None, 0)),
        Ok(true) => {}
        Err(error) => {
            let text = format!("shard={} {}: cannot be looked for: {error}", shard.name, file.dir.display());
            return Err(Fault::stop(Code::FileError, text));
        }
    }
    let sink = FileSink::open(file_sink_config(file), &shard.name).map_err(failed)?;
    // What a crash left is for the next run to mend, which records what was lost by it.
    let (pack, packs_cut_off) = sink.look().map_err(failed)?;
    Ok((Some(sink), pack, packs_cut_off))
}

/// Where no record tells the epoch and the line numbers, a consumer that keeps packs does: without it the next start would
/// take its last pack for newer than the new point. One that fails must work before any start.
pub(super) fn ask_consumer(
    config: &Config,
    exec: &ExecSinkConfig,
    shard: &str,
) -> Result<Option<PackHeader>, Fault> {
    let stop = Stop::new();
    let mut sink = ExecSink::new(exec.clone(), shard, stop.clone(), config.stop_timeout);
    let held = ask_standing(&mut sink, None, shard, true, &Term::always(&stop))?;
    sink.close().map_err(|error| Fault::stop(error.code, format!("shard={shard} {}", error.text)))?;
    Ok(held.flatten())
}

/// This node's copy of the point, as it would have been saved behind the last pack that its sink holds: points are saved late.
pub(super) fn behind_packs(copy: PointRecord, held: Option<&PackHeader>) -> PointRecord {
    let Some(pack) = held.filter(|pack| (pack.epoch, pack.sequence) > (copy.epoch, copy.sequence)) else {
        return copy;
    };
    PointRecord {
        epoch: pack.epoch,
        sequence: pack.sequence,
        next_seq: pack.next_seq,
        point: Some(pack.point.clone()),
        moved: None,
        last_pack: Some(LastPack { epoch: pack.epoch, sequence: pack.sequence, crc32: pack.crc32 }),
        ..copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::standing::tests::pack;
    use crate::sync_point::record::tests::record;

    #[test]
    fn a_copy_that_was_saved_before_the_last_packs_goes_on_behind_them() {
        for (epoch, sequence) in [(5, 10), (6, 1)] {
            let behind = behind_packs(record(5, 7), Some(&pack(epoch, sequence)));
            assert_eq!(
                (behind.epoch, behind.sequence, behind.point),
                (epoch, sequence, Some(pack(1, 1).point))
            );
            assert_eq!(behind.last_pack, Some(LastPack { epoch, sequence, crc32: 0 }));
            assert_eq!(behind.seq_reserved, record(5, 7).seq_reserved);
        }
        for held in [None, Some(pack(5, 7)), Some(pack(4, 90))] {
            assert_eq!(behind_packs(record(5, 7), held.as_ref()), record(5, 7));
        }
    }
}
