//! The sink of a shard: opened as configured, and asked where it stands.

use crate::code::Code;
use crate::config;
use crate::config::Config;
use crate::config::ExecResume;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::guard::term::Term;
use crate::guard::trouble::Cause;
use crate::pack::header::PackHeader;
use crate::pipeline::delivery::SINK_RETRY_PAUSE;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::Ports;
use crate::pipeline::standing::Standing;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::sink::exec::ExecSink;
use crate::sink::file::FileSink;
use crate::sink::file::FileSinkConfig;
use crate::sink::null::NullSink;
use crate::sink::stdout::StdoutSink;
use crate::stop::Stop;
use crate::sync_point::PointRecord;

/// Opens a program's own sink, or what the configuration names.
pub fn open_sink(
    config: &Config,
    shard: &ShardConfig,
    ports: &Ports,
    stop: &Stop,
) -> Result<Box<dyn Sink>, Fault> {
    let fault = |error: SinkError| sink_fault(&shard.name, &error);
    if let Some(make) = &ports.sink {
        return make(&shard.name).map_err(fault);
    }
    Ok(match &shard.sink {
        SinkConfig::Stdout => Box::new(StdoutSink::new(&shard.name).map_err(fault)?),
        SinkConfig::Null => Box::new(NullSink::default()),
        SinkConfig::File(file) => {
            Box::new(FileSink::open(file_sink_config(file), &shard.name).map_err(fault)?)
        }
        SinkConfig::Exec(exec) => {
            Box::new(ExecSink::new(exec.clone(), &shard.name, stop.clone(), config.stop_timeout))
        }
    })
}

/// Whether the sink may be one that keeps packs, before it has said so.
pub fn may_keep_packs(shard: &ShardConfig, ports: &Ports) -> bool {
    ports.sink.is_some() || keeps_packs(shard, ports, None)
}

/// Whether the sink keeps the packs that it holds, and says so.
pub fn keeps_packs(shard: &ShardConfig, ports: &Ports, held: Option<&PackHeader>) -> bool {
    if ports.sink.is_some() {
        return held.is_some();
    }
    match &shard.sink {
        SinkConfig::File(_) => true,
        SinkConfig::Exec(exec) => exec.resume == ExecResume::Consumer,
        SinkConfig::Stdout | SinkConfig::Null => false,
    }
}

/// The file sink's own view of its keys.
pub fn file_sink_config(file: &config::FileSinkConfig) -> FileSinkConfig {
    FileSinkConfig {
        dir: file.dir.clone(),
        rotate_bytes: file.rotate_bytes,
        rotate_seconds: file.rotate_after.as_secs(),
        keep_bytes: file.keep_bytes,
        keep_seconds: file.keep_for.map(|time| time.as_secs()),
        min_free_bytes: file.min_free_bytes,
    }
}

/// What the sink says about where it stands; one that cannot tell now is asked again, unless the run has an end. None when a
/// stop came first. `ended`: the record of a store that nodes share, by which packs of ended epochs are put aside first.
pub fn ask_standing(
    sink: &mut dyn Sink,
    ended: Option<&PointRecord>,
    shard: &str,
    give_up: bool,
    term: &Term,
) -> Result<Option<Option<PackHeader>>, Fault> {
    let mut waiting = false;
    loop {
        let put_aside = ended.map_or(Ok(()), |record| sink.supersede(record));
        let error = match put_aside.and_then(|()| sink.standing()) {
            Ok(pack) => {
                term.trouble().over(Cause::Sink);
                return Ok(Some(pack));
            }
            Err(_) if term.stop().requested() => return Ok(None),
            Err(error) => error,
        };
        let fault = sink_fault(shard, &error);
        if give_up || !error.is_retryable() {
            return Err(fault);
        }
        if !waiting {
            log::error!("{fault}; waiting_for_sink, trying again every second");
        }
        waiting = true;
        term.trouble().met(Cause::Sink);
        if term.stop().wait(SINK_RETRY_PAUSE) {
            return Ok(None);
        }
    }
}

/// Compares what a sink keeps with the stored point that followed it.
pub fn check_standing(shard: &ShardConfig, ports: &Ports, standing: &Standing) -> Result<(), Fault> {
    standing.tell_of_ended_epochs(&shard.name);
    if ports.sink.is_some() {
        // One that keeps no packs has none to miss.
        if standing.pack.is_some() {
            standing.tell_of_missing_packs(&shard.name);
        }
        return Ok(());
    }
    match &shard.sink {
        SinkConfig::File(_) => standing.tell_of_missing_packs(&shard.name),
        SinkConfig::Exec(exec) if exec.resume == ExecResume::Consumer => {
            match (standing.behind_missing_packs(), &standing.pack) {
                (Some(record), Some(pack)) => {
                    let text = format!(
                        "shard={} the consumer holds pack {}/{} and lines numbered below {}, and the stored point stands behind all \
                         below {}, which it had acknowledged: restore its records, or move the point to where it stands",
                        shard.name, pack.epoch, pack.sequence, pack.next_seq, record.next_seq
                    );
                    return Err(Fault::stop(Code::SinkBroken, text));
                }
                (Some(record), None) => log::warn!(
                    "shard={} the consumer holds no pack; going on at the stored point, behind line number {}",
                    shard.name,
                    record.next_seq - 1
                ),
                _ => {}
            }
        }
        SinkConfig::Exec(_) | SinkConfig::Stdout | SinkConfig::Null => {}
    }
    Ok(())
}

fn sink_fault(shard: &str, error: &SinkError) -> Fault {
    Fault::stop(error.code, format!("shard={shard} {}", error.text))
}
