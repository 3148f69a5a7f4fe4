//! The first start behind a point that the original Fountain left. From then on the point is ours.

use super::Dump;
use super::InOrder;
use super::Planning;
use super::Way;
use crate::binlog::ExecutedGtids;
use crate::code::Code;
use crate::config::Choice;
use crate::config::DumpStrategy;
use crate::mysql::preflight::Flavor;
use crate::pipeline::fault::Fault;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::text::OldPoint;
use crate::sync_point::text::ServerPlace;
use crate::sync_point::text::place_of;

impl Planning<'_> {
    pub(super) fn first_by_old(&mut self, old: &FoundPoint) -> Result<Dump, Fault> {
        let origin = &old.origin;
        let strategy = self.shard.dump_strategy;
        let dump = match (&old.point, strategy) {
            (OldPoint::Gtid(set), DumpStrategy::Auto | DumpStrategy::Gtid) => {
                self.require_way(Way::MysqlGtid, origin)?;
                self.begin_by_gtid(ExecutedGtids::Mysql(set.clone()), InOrder::No)
            }
            (OldPoint::Gtid(_), _) => Err(self.conflict(origin, "a GTID set", "auto or gtid")),
            (OldPoint::Places(places), DumpStrategy::Auto | DumpStrategy::Position | DumpStrategy::Ares) => {
                let place = self.own_place(origin, places)?;
                self.begin_by_position(&place.file, place.pos)
            }
            (OldPoint::Places(_), DumpStrategy::Gtid) => {
                Err(self.conflict(origin, "a file and position", "auto or position"))
            }
            (OldPoint::Group(id), DumpStrategy::Ares) => self.first_by_group(*id),
            (OldPoint::Group(_), _) => Err(self.conflict(origin, "a group id of Baidu's MySQL", "ares")),
            (OldPoint::MariadbGtid(position), DumpStrategy::Auto | DumpStrategy::Gtid) => {
                self.require_way(Way::MariadbGtid, origin)?;
                self.begin_by_gtid(ExecutedGtids::Mariadb(position.clone()), InOrder::No)
            }
            (OldPoint::MariadbGtid(_), _) => Err(self.conflict(origin, "GTIDs of MariaDB", "auto or gtid")),
        }?;
        log::info!(
            "shard={} source={} no point of our own yet: going on where the original Fountain stopped ({origin})",
            self.shard.name,
            self.session.server
        );
        Ok(dump)
    }

    fn conflict(&self, origin: &str, what: &str, cure: &str) -> Fault {
        let strategy = self.shard.dump_strategy.word();
        let text = format!(
            "binlog_dump_strategy={strategy}, but the original Fountain's point is {what} ({origin}); go on with \
             binlog_dump_strategy={cure}"
        );
        self.refused(Code::PointForeign, &text)
    }

    /// A set says nothing about files, so there is no other way than by GTID.
    fn require_way(&self, way: Way, origin: &str) -> Result<(), Fault> {
        if self.way()? == way {
            return Ok(());
        }
        let (kind, cure) = match way {
            Way::MariadbGtid => ("MariaDB's GTIDs", "connect to a MariaDB server"),
            _ if self.shard.dump_strategy == DumpStrategy::Position => {
                ("MySQL's GTIDs", "set binlog_dump_strategy=auto")
            }
            _ if self.session.facts.flavor() == Flavor::MariaDb => {
                ("MySQL's GTIDs", "it is MariaDB: connect to the MySQL server that the point is of")
            }
            _ => ("MySQL's GTIDs", "switch gtid_mode=ON, or connect to a server that has it"),
        };
        let text = format!(
            "the original Fountain's point is a GTID set ({origin}), and this server is not followed by {kind}; {cure}"
        );
        Err(self.refused(Code::PointForeign, &text))
    }

    fn own_place(&self, origin: &str, places: &[ServerPlace]) -> Result<ServerPlace, Fault> {
        let (host, port) = (&self.session.config.host, self.session.config.port);
        let address = self.session.connection.peer_ip().map(|ip| ip.to_string());
        let Some(place) = place_of(places, host, address.as_deref(), port) else {
            let address = address.map(|ip| format!(" and none for {ip}:{port}")).unwrap_or_default();
            let known: Vec<String> = places.iter().map(ToString::to_string).collect();
            let text = format!(
                "the original Fountain's point ({origin}) has no place for {host}:{port}{address}, it has {}; name the server as \
                 it stands there, or move the file away and set mysql_binlogdump_filename and mysql_binlogdump_position",
                known.join(" and ")
            );
            return Err(self.refused(Code::PointForeign, &text));
        };
        let main = self.shard.sources.first();
        if places.len() > 1 && main.is_some_and(|main| (&main.host, main.port) != (host, port)) {
            let text = format!(
                "the original Fountain's point ({origin}) notes by a timer where its servers stood, and this is not the shard's \
                 main one: its place {place} may lie ahead of what was delivered; start with the main server, or move the file \
                 away and set mysql_binlogdump_filename and mysql_binlogdump_position"
            );
            return Err(self.refused(Code::PointForeign, &text));
        }
        if places.len() > 1 {
            log::warn!(
                "shard={} {origin} holds {} places: the original noted by a timer where all servers stood, so that of a server \
                 which it did not read from may lie ahead of what it delivered; taking {place}",
                self.shard.name,
                places.len()
            );
        }
        Ok(place.clone())
    }
}
