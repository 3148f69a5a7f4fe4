//! The layers: files, environment, `-D`. What is given, from where, and which of several values holds.
//!
//! For one name the layers decide: `-D`, then the environment, then the files, then the default; a value
//! given as empty counts as the default. Between names the nearest wins: one backup's, its shard's,
//! everyone's.

use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Scope;
use crate::config::keys::Slot;
use crate::config::keys::Target;
use crate::config::problem::Origin;
use crate::config::problem::Problem;
use crate::config::properties;
use crate::config::value;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// The original's two files, which are read when no `--conf` names others.
const DEFAULT_FILES: [&str; 2] = ["conf/fountain-config.properties", "conf/jdbc-mysql.properties"];

/// A properties file of that size is a mistake, such as a device or a log.
const FILE_MAX: u64 = 16 << 20;

/// What a configuration is made from.
#[derive(Clone, Default)]
pub struct Request {
    /// `$FOUNTAIN_HOME`: relative folders are meant from here. An absolute path.
    pub home: PathBuf,
    /// The files of `--conf`, in their order.
    pub files: Vec<PathBuf>,
    /// Without `--conf`: read the two default files as far as they exist.
    pub default_files: bool,
    /// The environment; names that are no keys are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The pairs of `-D`.
    pub defines: Vec<(String, String)>,
}

impl Request {
    /// A configuration of these pairs alone, taken as `-D` takes them: for tests and for programs that use
    /// the library.
    pub fn from_pairs(home: impl Into<PathBuf>, pairs: &[(&str, &str)]) -> Self {
        let defines = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Request { home: home.into(), defines, ..Request::default() }
    }
}

/// Everything that was given.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `$FOUNTAIN_HOME`.
    pub home: PathBuf,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// The default files that do not exist.
    pub absent_files: Vec<PathBuf>,
    given: BTreeMap<(&'static str, Target), Setting>,
}

/// One given value.
#[derive(Debug, Clone)]
struct Setting {
    /// A `Secret` whatever the key, so that no `Debug` can show a password.
    text: Secret,
    origin: Origin,
    /// Reported as a problem already; the default stands in for it.
    bad: bool,
}

impl Settings {
    /// Reads all layers. The problems found come along; with any of them the settings are no more than a help
    /// for finding further ones.
    pub fn read(request: &Request) -> (Settings, Vec<Problem>) {
        let mut reading = Reading::default();
        reading.settings.home = request.home.clone();
        reading.files(request);
        reading.environment(&request.environment);
        reading.defines(&request.defines);
        (reading.settings, reading.problems)
    }

    /// The value that holds at a place, `None` where there is neither a value nor a default.
    pub fn text(&self, key: &'static Key, target: Target) -> Option<&str> {
        let given = self.holding(key, target).map(|setting| setting.text.reveal());
        given.or(Some(key.default)).filter(|text| !text.is_empty())
    }

    /// Where the value that holds at a place comes from.
    pub fn origin(&self, key: &'static Key, target: Target) -> Origin {
        self.holding(key, target).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// True when the key is given for exactly that place, with a value, even an unusable one.
    pub fn is_given(&self, key: &'static Key, target: Target) -> bool {
        self.given.get(&(key.name, target)).is_some_and(|setting| setting.bad || !setting.text.is_empty())
    }

    /// Where a key given for exactly that place stands.
    pub fn given_at(&self, key: &'static Key, target: Target) -> Option<&Origin> {
        self.given.get(&(key.name, target)).map(|setting| &setting.origin)
    }

    /// The numbers of all shards for which something is given.
    pub fn shards(&self) -> BTreeSet<u32> {
        self.filled()
            .filter_map(|target| match target {
                Target::Shard(shard) | Target::Backup(shard, _) => Some(shard),
                Target::Process => None,
            })
            .collect()
    }

    /// The numbers of all backups of a shard for which something is given.
    pub fn backups(&self, shard: u32) -> BTreeSet<u32> {
        self.filled()
            .filter_map(|target| match target {
                Target::Backup(of, backup) if of == shard => Some(backup),
                _ => None,
            })
            .collect()
    }

    /// The first key given for that shard or backup: a place to point at.
    pub fn any_key(&self, matches: impl Fn(Target) -> bool) -> Option<(String, &Origin)> {
        let found =
            self.given.iter().find(|((_, target), setting)| matches(*target) && !setting.text.is_empty());
        found.and_then(|((name, target), setting)| {
            let key = keys::all().find(|key| key.name == *name)?;
            Some((key.name_at(*target), &setting.origin))
        })
    }

    fn filled(&self) -> impl Iterator<Item = Target> {
        let filled = self.given.iter().filter(|(_, setting)| setting.bad || !setting.text.is_empty());
        filled.map(|((_, target), _)| *target)
    }

    fn holding(&self, key: &'static Key, target: Target) -> Option<&Setting> {
        let outwards = match key.scope {
            Scope::EachShard | Scope::EachBackup => 1,
            _ => usize::MAX,
        };
        let settings =
            target.outwards().take(outwards).filter_map(|target| self.given.get(&(key.name, target)));
        settings.into_iter().find(|setting| !setting.bad && !setting.text.is_empty())
    }
}

#[derive(Default)]
struct Reading {
    settings: Settings,
    problems: Vec<Problem>,
}

impl Reading {
    fn files(&mut self, request: &Request) {
        let mut given = BTreeMap::new();
        if request.files.is_empty() && request.default_files {
            for path in DEFAULT_FILES.map(|name| request.home.join(name)) {
                // Anything but "there is none" is found out, and said, by reading it.
                if path.try_exists().is_ok_and(|exists| !exists) {
                    self.settings.absent_files.push(path);
                } else {
                    self.file(&path, &mut given);
                }
            }
        }
        for (at, path) in request.files.iter().enumerate() {
            if request.files.iter().take(at).any(|earlier| earlier == path) {
                self.problems.push(Problem::general(format!("--conf {} is given twice", path.display())));
            } else {
                self.file(path, &mut given);
            }
        }
    }

    fn file(&mut self, path: &Path, given: &mut BTreeMap<(&'static str, Target), Origin>) {
        let bytes = match read_limited(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.push(Problem::general(format!("{}: cannot be read: {error}", path.display())));
                return;
            }
        };
        self.settings.files.push(path.to_path_buf());
        let at = |line| Origin::File { path: path.to_path_buf(), line };
        let (entries, bad_lines) = properties::parse(&bytes);
        let first_new = self.problems.len();
        self.problems.extend(bad_lines.into_iter().map(|bad| Problem::at(&at(bad.line), bad.reason)));
        for entry in entries {
            self.take(&entry.key, entry.value, at(entry.line), given);
        }
        self.problems.split_at_mut(first_new).1.sort_by(|a, b| a.origin.cmp(&b.origin));
    }

    fn environment(&mut self, environment: &[(OsString, OsString)]) {
        let mut given = BTreeMap::new();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| keys::recognise(name).is_some()) else { continue };
            match value.to_str() {
                Some(value) => self.take(name, value.trim().to_string(), Origin::Environment, &mut given),
                None => self
                    .problems
                    .push(Problem::at(&Origin::Environment, format!("{name}: the value is not UTF-8 text"))),
            }
        }
    }

    fn defines(&mut self, defines: &[(String, String)]) {
        let mut given = BTreeMap::new();
        for (name, value) in defines {
            self.take(name.trim(), value.trim().to_string(), Origin::Define, &mut given);
        }
    }

    /// Takes one pair of a layer whose other pairs are in `given`.
    fn take(
        &mut self,
        name: &str,
        text: String,
        origin: Origin,
        given: &mut BTreeMap<(&'static str, Target), Origin>,
    ) {
        let Some(slot) = keys::recognise(name) else {
            self.problems.push(Problem::at(&origin, unknown_key(name)));
            return;
        };
        if let Some(first) = given.insert((slot.key.name, slot.target), origin.clone()) {
            let first = if first == origin { String::new() } else { format!(", first at {first}") };
            self.problems.push(Problem::at(&origin, format!("\"{slot}\" is given twice{first}")));
            return;
        }
        let problem = check(slot, &text, &origin);
        let bad = problem.is_some();
        self.problems.extend(problem.map(|reason| Problem::at(&origin, format!("{slot}: {reason}"))));
        self.settings
            .given
            .insert((slot.key.name, slot.target), Setting { text: Secret::new(text), origin, bad });
    }
}

fn check(slot: Slot, text: &str, origin: &Origin) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if slot.key.is_secret() && *origin == Origin::Define {
        let advice = "a password on the command line can be read by everyone who lists processes";
        return Some(format!("{advice}; use mysql_password_file, the environment or a properties file"));
    }
    if slot.key.name == keys::SINK_KIND.name && value::list(text).count() > 1 {
        return Some(format!("a shard has one sink, got {}", value::shown(text)));
    }
    slot.key.kind.check(text).err()
}

fn unknown_key(name: &str) -> String {
    let shown = properties::shown_key(name);
    // A key that is not shown whole may hold part of a secret, and nothing is near to it anyway.
    let hint = if shown.contains('…') { String::new() } else { keys::hint(name) };
    match hint.as_str() {
        "" => format!("unknown key {shown}; \"fountain help keys\" lists all keys"),
        hint => format!("unknown key {shown}{hint}"),
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("larger than {FILE_MAX} bytes, which no properties file is")));
    }
    Ok(bytes)
}
