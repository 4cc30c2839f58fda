//! From sources to settings: the order of precedence, and everything that only the whole can get wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::defaults as d;
use super::environment::Environment;
use super::file::{self, FileConfig};
use super::layer::{Found, Layer, Layers, Sources};
use super::log::LogSettings;
use super::problem::{Place, Problems};
use super::settings::Settings;
use super::table as t;
use super::tenants;
use crate::domain::{OutputFile, RecordTypes};

/// What a command needs of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing about tenants: a tenant that is not complete is no problem.
    Process,
    /// At least one tenant, complete with credentials.
    Tenants,
}

/// Everything that was typed, before it is put together.
pub(super) struct Typed<'a> {
    pub(super) flags: Layer,
    pub(super) variables: Layer,
    pub(super) file: FileConfig,
    pub(super) environment: Environment,
    pub(super) directory: &'a Path,
}

impl Typed<'_> {
    /// The layers for a setting of the process.
    pub(super) fn process(&self) -> Layers<'_> {
        Layers(vec![&self.flags, &self.variables, &self.file.top])
    }

    /// A path, absolute and without `.` parts.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.join(path).components().collect()
    }
}

/// Reads and checks all settings.
///
/// # Errors
/// All that is wrong with them.
pub fn load(sources: &Sources, need: Need) -> Result<Settings, Problems> {
    load_with(sources, need, |path, place, problems| file::read(path, &sources.directory, place, problems))
}

/// As [`load`]; `read` reads the file that the sources name.
pub(super) fn load_with(
    sources: &Sources,
    need: Need,
    read: impl FnOnce(&Path, &Place, &mut Problems) -> FileConfig,
) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let mut flags = Layer::default();
    for (name, texts) in &sources.flags {
        match t::setting(name) {
            Some(setting) => flags.put(setting, texts.clone(), Place::Flag(setting.about().flag()), &mut problems),
            None => problems.add(Place::Flag((*name).to_owned()), "no such setting"),
        }
    }
    let environment = Environment::of(sources);
    let variables = environment.layer(&mut problems);
    let file = match Layers(vec![&flags, &variables]).find(&t::CONFIG) {
        Found::Value(path, place) => read(&path, &place, &mut problems),
        Found::Bad | Found::Absent => FileConfig::default(),
    };
    let typed = Typed { flags, variables, file, environment, directory: &sources.directory };
    if typed.file.broken {
        problems.sort();
        return Err(problems);
    }

    let found = tenants::find(&typed, need, &mut problems);
    let settings = Settings {
        files: typed.file.files.clone(),
        state_dir: state_dir(&typed),
        format: typed.process().find(&t::FORMAT).or_default(),
        original: typed.process().find(&t::ORIGINAL).or_default(),
        syslog_header: typed.process().find(&t::SYSLOG_HEADER).or_default(),
        envelope: typed.process().find(&t::ENVELOPE).or_default(),
        keep_duplicates: typed.process().find(&t::KEEP_DUPLICATES).or_default(),
        max_line_bytes: typed.process().find(&t::MAX_LINE_BYTES).value().map(|bytes| bytes as usize),
        output: output(&typed, &mut problems),
        drain: typed.process().find(&t::DRAIN).or_default(),
        record_types: typed.process().find(&t::RECORD_TYPES).or(RecordTypes::defender()),
        log: LogSettings {
            format: typed.process().find(&t::LOG_FORMAT).or_default(),
            level: typed.process().find(&t::LOG_LEVEL).or_default(),
            quiet: typed.process().find(&t::QUIET).or_default(),
        },
        selected: found.selected.map(BTreeSet::from_iter),
        names: found.names,
        tenants: found.tenants,
        warnings: found.warnings,
    };
    if let (false, Found::Value(true, place)) = (settings.format.is_json(), typed.process().find(&t::ENVELOPE)) {
        problems.add(
            place,
            format!("a line of {} has no room for an envelope: leave it out, or choose another format", settings.format),
        );
    }
    if problems.is_empty() {
        return Ok(settings);
    }
    problems.sort();
    Err(problems)
}

/// The file for events. What says how it is rotated says nothing without it.
fn output(typed: &Typed<'_>, problems: &mut Problems) -> Option<OutputFile> {
    let (bytes, every) = (typed.process().find(&t::ROTATE_BYTES), typed.process().find(&t::ROTATE_EVERY));
    let path = typed.process().find(&t::OUTPUT);
    if matches!(path, Found::Absent) {
        let places = [
            if let Found::Value(_, place) = &bytes { Some(place) } else { None },
            if let Found::Value(_, place) = &every { Some(place) } else { None },
        ];
        for place in places.into_iter().flatten() {
            problems.add(place.clone(), "there is no output file to rotate: name one (output), or leave this out");
        }
    }
    let path = path.value()?;
    let (rotate_bytes, rotate_every) = (bytes.value().map(u64::from), every.value());
    Some(OutputFile { path: typed.absolute(&path), rotate_bytes, rotate_every })
}

/// The directory of the store. systemd names it in `$STATE_DIRECTORY` if the unit has `StateDirectory=`, several with colons between.
fn state_dir(typed: &Typed<'_>) -> PathBuf {
    let systemd = || typed.environment.text("STATE_DIRECTORY").and_then(|list| list.split(':').find(|part| !part.is_empty()));
    let path = match typed.process().find(&t::STATE_DIR) {
        Found::Value(path, _) => path,
        Found::Bad | Found::Absent => PathBuf::from(systemd().unwrap_or(d::STATE_DIR)),
    };
    typed.absolute(&path)
}
