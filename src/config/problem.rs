//! What is wrong with the settings, and where it was said.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

/// The most problems that are printed: a file that is no configuration at all can have thousands.
const PRINTED_MAX: usize = 100;

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The flag with this name, without the dashes in front.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A configuration file, the line (from 1) and the path of the key, such as `tenant[1].cloud`.
    File {
        /// The file as it was named.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The path of the key; empty if the problem is about the file.
        path: String,
    },
    /// Nowhere: something is missing, and this is the name of what misses it.
    Nowhere(String),
}

impl Place {
    /// The key that a file's place is about, moved to one of its parts.
    pub(super) fn inside(&self, part: &str) -> Place {
        match self {
            Place::File { file, line, path } if path.is_empty() => {
                Place::File { file: file.clone(), line: *line, path: part.to_owned() }
            }
            Place::File { file, line, path } => Place::File { file: file.clone(), line: *line, path: format!("{path}.{part}") },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Flag(name) => write!(f, "--{name}"),
            Place::Variable(name) => f.write_str(name),
            Place::File { file, line, path } if path.is_empty() => write!(f, "{}:{line}", file.display()),
            Place::File { file, line, path } => write!(f, "{}:{line}: {path}", file.display()),
            Place::Nowhere(what) => f.write_str(what),
        }
    }
}

/// One thing that is wrong, or in a list of warnings: that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Where it was said.
    pub place: Place,
    /// What is wrong and what would be right; never a secret.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Everything that is wrong with the settings; at least one problem. The process ends with 78.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    seen: HashSet<Problem>,
}

impl Problems {
    /// Adds one; saying the same twice is saying it once.
    pub(super) fn add(&mut self, place: Place, text: impl Into<String>) {
        let problem = Problem { place, text: text.into() };
        if self.seen.insert(problem.clone()) {
            self.list.push(problem);
        }
    }

    /// True if nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts them in the order of [`Problems::list`].
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|problem| match &problem.place {
            Place::Flag(_) => (0, None, 0),
            Place::Variable(_) => (1, None, 0),
            Place::File { file, line, .. } => (2, Some(file.clone()), *line),
            Place::Nowhere(_) => (3, None, 0),
        });
    }

    /// The problems, in the order in which a person would mend them: flags, variables, each file from top to bottom,
    /// then what is missing.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().take(PRINTED_MAX).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.list.len() > PRINTED_MAX {
            write!(f, "\nand {} more", self.list.len() - PRINTED_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place() {
        let place = Place::File { file: "a.toml".into(), line: 12, path: "tenant[1]".into() };
        let problem = Problem { place: place.inside("cloud"), text: "wrong".into() };
        assert_eq!(problem.to_string(), "a.toml:12: tenant[1].cloud: wrong");
    }

    #[test]
    fn a_long_list_is_cut_when_printed() {
        let mut problems = Problems::default();
        for i in 0..150 {
            problems.add(Place::Flag("x".into()), format!("{i}"));
            problems.add(Place::Flag("x".into()), format!("{i}"));
        }
        assert_eq!(problems.list().len(), 150);
        assert_eq!(problems.to_string().lines().count(), 101);
        assert!(problems.to_string().ends_with("and 50 more"));
    }
}
