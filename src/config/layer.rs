//! What was typed: texts by key, each with its place, and one layer of them for each source.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use super::keys::{Key, Setting};
use super::problem::{Place, Problems};

/// The texts given for one key, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The texts: one, or several for a key that takes a list.
    pub texts: Vec<String>,
    /// Where they were given.
    pub place: Place,
}

/// Where settings come from, before anything is read or checked. A value, so that tests need no process of their own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What the command line gave: the name of a key and its texts.
    pub flags: Vec<(&'static str, Vec<String>)>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory, where relative paths start; absolute.
    pub directory: PathBuf,
}

impl Sources {
    /// The flags given, and the environment and directory of this process.
    ///
    /// # Errors
    /// The working directory is gone or can't be read.
    pub fn of_process(flags: Vec<(&'static str, Vec<String>)>) -> io::Result<Self> {
        Ok(Self { flags, environment: std::env::vars_os().collect(), directory: std::env::current_dir()? })
    }
}

/// The settings of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    given: BTreeMap<&'static str, Given>,
}

impl Layer {
    /// Takes what was given for a key and reports what is wrong with it. It is kept all the same: a value that is wrong is not
    /// also missing.
    pub(super) fn put(&mut self, setting: &'static dyn Setting, texts: Vec<String>, place: Place, problems: &mut Problems) {
        if let Err(why) = setting.check(&texts) {
            problems.add(place.clone(), why);
        }
        self.given.insert(setting.about().name, Given { texts, place });
    }

    /// What was given for a key.
    pub(super) fn get(&self, name: &str) -> Option<&Given> {
        self.given.get(name)
    }

    /// Takes all that `other` gives; what both give is reported as given twice.
    pub(super) fn join(&mut self, other: Layer, problems: &mut Problems) {
        for (name, given) in other.given {
            match self.given.get(name) {
                Some(first) => problems.add(given.place, format!("given twice, first in {}", first.place)),
                None => {
                    self.given.insert(name, given);
                }
            }
        }
    }
}

/// What the layers say about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// A value, and where it was given.
    Value(T, Place),
    /// Something that is no value; it has been reported.
    Bad,
    /// Nothing.
    Absent,
}

impl<T> Found<T> {
    /// The value, if there is one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Found::Value(value, _) => Some(value),
            Found::Bad | Found::Absent => None,
        }
    }

    /// The value or the default. It stands in for a bad value too, whose problem ends the process anyway.
    pub(super) fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    /// The value or the default of its type.
    pub(super) fn or_default(self) -> T
    where
        T: Default,
    {
        self.value().unwrap_or_default()
    }
}

/// Layers in the order of precedence, the strongest first.
#[derive(Debug, Clone)]
pub(super) struct Layers<'a>(pub(super) Vec<&'a Layer>);

impl Layers<'_> {
    /// What the strongest layer that gives the key says.
    pub(super) fn find<T>(&self, key: &'static Key<T>) -> Found<T> {
        match self.given(key) {
            None => Found::Absent,
            Some(given) => match key.read(&given.texts) {
                Ok(value) => Found::Value(value, given.place.clone()),
                Err(_) => Found::Bad,
            },
        }
    }

    /// What was given for the key by the strongest layer that gives it.
    pub(super) fn given<T>(&self, key: &'static Key<T>) -> Option<&Given> {
        self.0.iter().find_map(|layer| layer.get(key.about.name))
    }
}
