//! Which shards there are and which servers they have: numbered keys, or the original's four lists.

use super::Builder;
use super::default_name;
use crate::config::ShardConfig;
use crate::config::SourceOptions;
use crate::config::StartPoint;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Target;
use crate::config::place;
use crate::config::problem::Problem;
use crate::config::value;
use std::collections::HashMap;

/// MySQL's binlogs begin with four bytes that are no event.
const FIRST_POSITION: u64 = 4;

/// The lists that stand beside `dbArray`.
static LISTS: [&Key; 3] = [&keys::BAK_DB_ARRAY, &keys::SYNC_POINT_ARRAY, &keys::SLAVE_ID_ARRAY];

impl Builder<'_> {
    /// All shards in the order of their numbers.
    pub(super) fn shards(&mut self) -> Vec<ShardConfig> {
        let settings = self.settings;
        let lists_given = LISTS.iter().copied().find(|key| settings.is_given(key, Target::Process));
        let shards = if settings.is_given(&keys::DB_ARRAY, Target::Process) {
            self.refuse_both();
            self.listed()
        } else {
            if let Some(key) = lists_given {
                self.problem(key, Target::Process, format!("{} needs dbArray", key.name));
            }
            self.numbered()
        };
        self.refuse_same_names(&shards);
        shards
    }

    fn refuse_both(&mut self) {
        if let Some((name, origin)) = self.settings.any_key(|target| target != Target::Process) {
            let lists = self.settings.origin(&keys::DB_ARRAY, Target::Process);
            let reason = format!(
                "\"{name}\" contradicts dbArray ({lists}): give shards as lists or by mysql_shard_N_ keys"
            );
            self.problems.push(Problem::at(origin, reason));
        }
    }

    fn refuse_same_names(&mut self, shards: &[ShardConfig]) {
        let mut first: HashMap<&str, u32> = HashMap::new();
        for shard in shards {
            let Some(other) = first.insert(&shard.name, shard.number) else { continue };
            let reason = format!("shards {other} and {} have the same name {:?}", shard.number, shard.name);
            let named = |number: &u32| self.settings.is_given(&keys::SHARD_NAME, Target::Shard(*number));
            let number = [shard.number, other].into_iter().find(named).unwrap_or(shard.number);
            self.problem(&keys::SHARD_NAME, Target::Shard(number), reason);
        }
    }

    fn numbered(&mut self) -> Vec<ShardConfig> {
        let mut shards = Vec::new();
        for number in self.settings.shards() {
            let main = Target::Shard(number);
            if !self.settings.is_given(&keys::SHARD_SERVER, main) {
                self.without_server(
                    format!("mysql_shard_{number}_server"),
                    |target| matches!(target, Target::Shard(of) | Target::Backup(of, _) if of == number),
                );
                continue;
            }
            let start_point = self.start_point(main);
            let sources = self.numbered_sources(number);
            shards.push(self.shard(number, sources, start_point));
        }
        shards
    }

    fn numbered_sources(&mut self, number: u32) -> Vec<SourceOptions> {
        let mut sources = Vec::new();
        let main = Target::Shard(number);
        let at = self.at(main);
        let slave_id = at.text(&keys::SHARD_SLAVE_ID).and_then(value::server_id);
        let port = at.number(&keys::SHARD_PORT) as u16;
        sources.push(self.source(main, at.text(&keys::SHARD_SERVER).unwrap_or_default(), port, slave_id));
        for backup in self.settings.backups(number) {
            let target = Target::Backup(number, backup);
            if !self.settings.is_given(&keys::HA_SERVER, target) {
                self.without_server(format!("mysql_shard_{number}_ha{backup}_server"), |of| of == target);
                continue;
            }
            let at = self.at(target);
            let own_id = at.text(&keys::HA_SLAVE_ID).and_then(value::server_id);
            let port = at.number(&keys::HA_PORT) as u16;
            sources.push(self.source(
                target,
                at.text(&keys::HA_SERVER).unwrap_or_default(),
                port,
                own_id.or(slave_id),
            ));
        }
        sources
    }

    fn without_server(&mut self, server: String, matches: impl Fn(Target) -> bool) {
        if let Some((name, origin)) = self.settings.any_key(matches) {
            self.problems.push(Problem::at(origin, format!("\"{name}\" is set and \"{server}\" is not")));
        }
    }

    fn listed(&mut self) -> Vec<ShardConfig> {
        let at = self.at(Target::Process);
        let entries = |key: &'static Key| -> Vec<&str> {
            at.text(key).map(|text| value::list(text).collect()).unwrap_or_default()
        };
        let main = entries(&keys::DB_ARRAY);
        for key in LISTS {
            let length = entries(key).len();
            if !main.is_empty() && length != 0 && length != main.len() {
                let reason = format!(
                    "{} has {length} entries, dbArray has {}; they must be as many",
                    key.name,
                    main.len()
                );
                self.problem(key, Target::Process, reason);
            }
        }
        let [backups, points, ids] = LISTS.map(entries);
        let mut shards = Vec::new();
        for (number, server) in (0..).zip(main) {
            let index = number as usize;
            let slave_id = ids.get(index).and_then(|id| value::server_id(id));
            let servers = [Some(server), backups.get(index).copied()];
            let mut sources = Vec::new();
            for (backup, server) in (0..).zip(servers.into_iter().flatten()) {
                let Some((host, port)) = value::host_port(server, 3306) else { continue };
                let target = if backup == 0 { Target::Shard(number) } else { Target::Backup(number, backup) };
                sources.push(self.source(target, host, port, slave_id));
            }
            let point = points.get(index).copied().unwrap_or_default();
            let start_point = match point {
                "" | "-1" => self.start_point(Target::Shard(number)),
                point => self.listed_point(number, point, server),
            };
            shards.push(self.shard(number, sources, start_point));
        }
        shards
    }

    /// One entry of `syncPointArray`.
    fn listed_point(&mut self, number: u32, text: &str, server: &str) -> StartPoint {
        if let Some(group) = place::whole_number(text) {
            return StartPoint { ares_group: Some(group), ..StartPoint::default() };
        }
        if place::is_gtid_set_shaped(text) {
            return StartPoint { gtid_set: Some(place::with_commas(text)), ..StartPoint::default() };
        }
        let own = value::host_port(server, 3306);
        let placed = text.split(';').filter_map(value::placed).find(|(of, ..)| Some(*of) == own);
        let position = place::file_and_position(text).or(placed.map(|(_, file, pos)| (file, pos)));
        match position {
            Some((file, pos)) if pos >= FIRST_POSITION => {
                StartPoint { position: Some((file.to_string(), pos)), ..StartPoint::default() }
            }
            _ => {
                let name = default_name(number);
                let reason = format!(
                    "syncPointArray: {} is no start point for {name} at {server}",
                    value::shown(text)
                );
                self.problem(&keys::SYNC_POINT_ARRAY, Target::Process, reason);
                StartPoint::default()
            }
        }
    }

    /// The start point of `mysql_binlogdump_…`. The original passed over half a position; here it is an
    /// error.
    fn start_point(&mut self, target: Target) -> StartPoint {
        let at = self.at(target);
        let file = at.owned(&keys::BINLOGDUMP_FILENAME);
        let pos = at.maybe_number(&keys::BINLOGDUMP_POSITION).filter(|pos| *pos > 0);
        let position = match (file, pos) {
            (Some(file), Some(pos)) => Some((file, pos)),
            (Some(_), None) => {
                let reason = "mysql_binlogdump_filename is set and mysql_binlogdump_position is not";
                self.problem(&keys::BINLOGDUMP_FILENAME, target, reason);
                None
            }
            (None, Some(_)) => {
                let reason = "mysql_binlogdump_position is set and mysql_binlogdump_filename is not";
                self.problem(&keys::BINLOGDUMP_POSITION, target, reason);
                None
            }
            (None, None) => None,
        };
        if position.as_ref().is_some_and(|(_, pos)| *pos < FIRST_POSITION) {
            let reason = "mysql_binlogdump_position: a binlog's first event is at 4";
            self.problem(&keys::BINLOGDUMP_POSITION, target, reason);
        }
        StartPoint {
            position,
            gtid_set: at.text(&keys::BINLOGDUMP_GTIDSET).map(place::with_commas),
            ares_group: at.maybe_number(&keys::BINLOGDUMP_GTID),
        }
    }
}
