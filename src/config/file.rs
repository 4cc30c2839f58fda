//! TOML files: read whole, walked by hand, so that every problem is found and knows its line. (Reading them into structs would
//! stop at the first.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::defaults::{FILE_BYTES_MAX, FILES_MAX, LABELS_MAX, NAME_BYTES_MAX};
use super::keys::{Kind, Scope, Setting};
use super::layer::Layer;
use super::problem::{Place, Problems};
use super::suggest::nearest;
use super::table::{setting, settings};

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct FileConfig {
    /// The files, in the order of reading.
    pub(super) files: Vec<PathBuf>,
    /// The keys at the top.
    pub(super) top: Layer,
    /// The `[[tenant]]` tables.
    pub(super) tenants: Vec<TenantTable>,
    /// True if a file could not be read, is no TOML, or has tenants in a form that is none: what is missing may stand in there.
    pub(super) broken: bool,
}

/// One `[[tenant]]` table.
#[derive(Debug, Default)]
pub(super) struct TenantTable {
    /// Where it begins; nothing for the tenant of a configuration without tables.
    pub(super) place: Option<Place>,
    /// Its name and where that stands.
    pub(super) name: Option<(String, Place)>,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Its settings.
    pub(super) layer: Layer,
}

/// Reads a file, or all `*.toml` files of a directory in the order of their names. `path` starts at `directory`; `place` is where
/// it was named.
pub(super) fn read(path: &Path, directory: &Path, place: &Place, problems: &mut Problems) -> FileConfig {
    let mut config = FileConfig::default();
    let whole = directory.join(path);
    let files = if whole.is_dir() {
        list(&whole).map(|names| names.iter().map(|n| path.join(n)).collect())
    } else {
        Ok(vec![path.to_owned()])
    };
    let files: Vec<PathBuf> = match files {
        Ok(files) => files,
        Err(error) => {
            problems.add(place.clone(), format!("{} can't be read: {error}", path.display()));
            config.broken = true;
            return config;
        }
    };
    if files.is_empty() {
        problems.add(place.clone(), format!("{} holds no *.toml file", path.display()));
        config.broken = true;
    }
    for file in files {
        match read_text(&directory.join(&file)) {
            Ok(text) => Reader::new(&text, &file, directory, problems).read(&mut config),
            Err(error) => {
                problems.add(place.clone(), format!("{} can't be read: {error}", file.display()));
                config.broken = true;
            }
        }
        config.files.push(file);
    }
    config
}

/// What a file with this text says.
#[cfg(any(test, fuzzing))]
pub(super) fn of_text(text: &str, file: &Path, directory: &Path, problems: &mut Problems) -> FileConfig {
    let mut config = FileConfig { files: vec![file.to_owned()], ..FileConfig::default() };
    Reader::new(text, file, directory, problems).read(&mut config);
    config
}

/// The names of the `*.toml` files of a directory, hidden ones left out, in order.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = PathBuf::from(entry?.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        if !hidden && name.extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            return Err(io::Error::other(format!("it holds more than {FILES_MAX} files")));
        }
    }
    names.sort();
    Ok(names)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        io::Error::other(format!("line {line} is no valid UTF-8"))
    })
}

/// The walk through one file.
struct Reader<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    file: &'a Path,
    directory: &'a Path,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, file: &'a Path, directory: &'a Path, problems: &'a mut Problems) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        Self { text, lines, file, directory, problems }
    }

    fn read(mut self, config: &mut FileConfig) {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let line = self.line_of(start);
                let column = self.text[..self.boundary(start)].rsplit('\n').next().unwrap_or("").chars().count() + 1;
                let place = Place::File { file: self.file.to_owned(), line, path: String::new() };
                self.problems.add(place, format!("column {column}: {}", error.message().trim_end().replace('\n', ", ")));
                config.broken = true;
                return;
            }
        };
        let mut top = Layer::default();
        for (key, value) in in_order(&table) {
            let name = key.get_ref().as_ref();
            let place = self.place(key, name);
            match (name, setting(name)) {
                ("tenant", _) => self.tenants(value, &place, config),
                ("name" | "labels", _) => self.problems.add(place, "it belongs into a [[tenant]] table"),
                (_, Some(setting)) if setting.about().scope == Scope::Start => {
                    let about = setting.about();
                    self.problems
                        .add(place, format!("it can't stand in a file; give --{} or {}", about.flag(), about.variable()));
                }
                (_, Some(setting)) => self.take(setting, value, place, &mut top),
                (_, None) => self.problems.add(place, unknown(name, |_| true)),
            }
        }
        config.top.join(top, self.problems);
    }

    /// The array of `[[tenant]]` tables.
    fn tenants(&mut self, value: &Spanned<DeValue<'_>>, place: &Place, config: &mut FileConfig) {
        const WANTED: &str = "tenants are written as [[tenant]] tables, with two brackets";
        let Some(array) = value.get_ref().as_array() else {
            config.broken = true;
            return self.problems.add(place.clone(), WANTED);
        };
        for (i, element) in array.iter().enumerate() {
            let path = format!("tenant[{i}]");
            let place = Place::File { file: self.file.to_owned(), line: self.line_of(element.span().start), path };
            match element.get_ref().as_table() {
                Some(table) => {
                    let tenant = self.tenant(table, place);
                    config.tenants.push(tenant);
                }
                None => {
                    config.broken = true;
                    self.problems.add(place, WANTED);
                }
            }
        }
    }

    fn tenant(&mut self, table: &DeTable<'_>, at: Place) -> TenantTable {
        let mut tenant = TenantTable::default();
        for (key, value) in in_order(table) {
            let name = key.get_ref().as_ref();
            let Place::File { path, .. } = at.inside(name) else {
                continue;
            };
            let place = self.place(key, &path);
            match (name, setting(name)) {
                ("name", _) => tenant.name = self.name(value, place),
                ("labels", _) => tenant.labels = self.labels(value, &place),
                (_, Some(setting)) if setting.about().scope == Scope::Tenant => {
                    self.take(setting, value, place, &mut tenant.layer)
                }
                (_, Some(setting)) if setting.about().scope == Scope::Process => {
                    self.problems.add(
                        place,
                        "it holds for the whole process: it belongs to the top of the file, above the first [[tenant]]",
                    );
                }
                _ => self.problems.add(place, unknown(name, |setting| setting.about().scope == Scope::Tenant)),
            }
        }
        tenant.place = Some(at);
        tenant
    }

    fn name(&mut self, value: &Spanned<DeValue<'_>>, place: Place) -> Option<(String, Place)> {
        match value.get_ref().as_str() {
            None => self.problems.add(place, wrong_type(value.get_ref(), "a text in quotes")),
            Some(text) if !is_name(text) || text.trim() != text => {
                self.problems.add(place, format!("it is a text of 1 to {NAME_BYTES_MAX} bytes without control characters"));
            }
            Some(text) => return Some((text.to_owned(), place)),
        }
        None
    }

    fn labels(&mut self, value: &Spanned<DeValue<'_>>, place: &Place) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let Some(table) = value.get_ref().as_table() else {
            self.problems.add(place.clone(), wrong_type(value.get_ref(), "a table, such as { team = \"blue\" }"));
            return labels;
        };
        if table.len() > LABELS_MAX {
            self.problems.add(place.clone(), format!("it holds more than {LABELS_MAX} labels"));
        }
        for (key, value) in in_order(table) {
            let name = key.get_ref().as_ref();
            let Place::File { path, .. } = place.inside(name) else {
                continue;
            };
            let place = self.place(key, &path);
            match value.get_ref().as_str() {
                None => self.problems.add(place, wrong_type(value.get_ref(), "a text in quotes")),
                Some(text) if is_name(name) && (text.is_empty() || is_name(text)) => {
                    labels.insert(name.to_owned(), text.to_owned());
                }
                Some(_) => {
                    let why = format!("name and value have at most {NAME_BYTES_MAX} bytes and no control characters");
                    self.problems.add(place, why);
                }
            }
        }
        labels
    }

    /// Takes the value of a known key.
    fn take(&mut self, setting: &'static dyn Setting, value: &Spanned<DeValue<'_>>, place: Place, layer: &mut Layer) {
        match texts_of(setting.about().kind, value.get_ref()) {
            Ok(mut texts) => {
                if setting.about().kind == Kind::Path {
                    let base = self.directory.join(self.file.parent().unwrap_or(Path::new("")));
                    for text in texts.iter_mut().filter(|text| !text.is_empty()) {
                        // Both parts are UTF-8 in nearly all cases; a directory that is none can't be put into a text.
                        if let Some(whole) = base.join(text.as_str()).to_str() {
                            *text = whole.to_owned();
                        }
                    }
                }
                layer.put(setting, texts, place, self.problems);
            }
            Err(why) => {
                // Kept as a value that can't be read, so that it does not count as missing too.
                self.problems.add(place.clone(), why);
                layer.put(setting, Vec::new(), place, &mut Problems::default());
            }
        }
    }

    fn place(&self, key: &Spanned<toml::de::DeString<'_>>, path: &str) -> Place {
        let path = path.escape_debug().take(NAME_BYTES_MAX).collect();
        Place::File { file: self.file.to_owned(), line: self.line_of(key.span().start), path }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    fn boundary(&self, offset: usize) -> usize {
        (0..=offset.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0)
    }
}

/// A table's entries from top to bottom; the parser sorts them by name.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The texts of a value, if it has the right type.
fn texts_of(kind: Kind, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = |value: &DeValue<'_>| Err(wrong_type(value, kind.wanted()));
    match (kind, value) {
        (Kind::Text | Kind::Path | Kind::Duration | Kind::Moment | Kind::List | Kind::Types, DeValue::String(text)) => {
            Ok(vec![text.to_string()])
        }
        (Kind::Moment, DeValue::Datetime(time)) => Ok(vec![time.to_string()]),
        (Kind::Number, DeValue::Integer(number)) => Ok(vec![decimal(number)]),
        (Kind::Switch, DeValue::Boolean(truth)) => Ok(vec![truth.to_string()]),
        (Kind::Types, DeValue::Integer(number)) => Ok(vec![decimal(number)]),
        (Kind::List | Kind::Types, DeValue::Array(array)) => {
            let mut texts = Vec::new();
            for (i, element) in array.iter().enumerate() {
                match (kind, element.get_ref()) {
                    (_, DeValue::String(text)) => texts.push(text.to_string()),
                    (Kind::Types, DeValue::Integer(number)) => texts.push(decimal(number)),
                    (_, other) => return wrong(other).map_err(|why| format!("element {i}: {why}")),
                }
            }
            Ok(texts)
        }
        (_, other) => wrong(other),
    }
}

/// A TOML integer may be written in other bases.
fn decimal(number: &toml::de::DeInteger<'_>) -> String {
    i128::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| number.as_str().to_owned(), |n| n.to_string())
}

fn wrong_type(value: &DeValue<'_>, wanted: &str) -> String {
    let article = if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
    format!("it is {article} {}, but must be {wanted}", value.type_str())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// What to say about a key that is none, where the settings that pass `fits` may stand.
fn unknown(name: &str, fits: impl Fn(&dyn Setting) -> bool) -> String {
    let is_secret = |name: &str| (name.contains("secret") || name.contains("password")) && !name.contains("file");
    if is_secret(&name.to_ascii_lowercase()) {
        return "a secret does not belong into this file: put it into a file of its own and name that in client_secret_file, \
                or into the environment variable AZURE_CLIENT_SECRET"
            .to_owned();
    }
    let names = settings().iter().filter(|s| fits(**s) && s.about().scope != Scope::Start).map(|s| s.about().name);
    match nearest(name, names.chain(["client_secret", "tenant", "name", "labels"])) {
        Some("client_secret") => "unknown key; did you mean client_secret_file?".to_owned(),
        Some("tenant") => "unknown key; did you mean [[tenant]]?".to_owned(),
        Some(near) => format!("unknown key; did you mean {near}?"),
        None => "unknown key".to_owned(),
    }
}
