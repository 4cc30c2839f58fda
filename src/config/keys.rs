//! What a setting is: a name from which flag, variable and key follow, and a way to read its texts.

/// Where a setting may stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the top only: it holds for the process.
    Process,
    /// At the top as a default, and in a `[[tenant]]` table.
    Tenant,
    /// Not in a file: it says what to read or what to pick from there.
    Start,
}

/// Which commands take a setting as a flag; also the heading of its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Who is collected from, and with which credentials.
    Tenant,
    /// What is collected, and how fast.
    Feed,
    /// What a line looks like.
    Output,
    /// When a line counts as delivered.
    Delivery,
    /// Where lines go in the place of standard output.
    File,
    /// Where the store is.
    State,
    /// Which of the configured tenants.
    Select,
    /// The log and the configuration itself: every command takes these.
    Global,
}

impl Group {
    /// The heading in the help.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Tenant | Group::Select => "Tenant",
            Group::Feed => "Feed",
            Group::Output | Group::Delivery | Group::File => "Output",
            Group::State => "State",
            Group::Global => "Global options",
        }
    }
}

/// What a value looks like in a file, and how a list is split elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that names a file or directory.
    Path,
    /// A text such as `1h30m`.
    Duration,
    /// A TOML date or time, or a text.
    Moment,
    /// A whole number.
    Number,
    /// True or false. As a flag its name alone means true.
    Switch,
    /// A text or a list of texts; elsewhere separated by commas, and the flag can be repeated.
    List,
    /// Like [`Kind::List`], with whole numbers too.
    Types,
}

impl Kind {
    /// What a file should hold, for the report of a wrong type.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Kind::Text | Kind::Path => "a text in quotes",
            Kind::Duration => "a duration in quotes, such as \"60s\" or \"24h\"",
            Kind::Moment => "a date or time, such as 2026-03-01T00:00:00Z",
            Kind::Number => "a whole number",
            Kind::Switch => "true or false",
            Kind::List => "a text in quotes or a list of texts",
            Kind::Types => "a text in quotes or a list of numbers and texts",
        }
    }
}

/// What is known about a setting without its type.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The name: `x_y` in the file, `--x-y` as a flag, `DEFENDER_FEED_X_Y` in the environment.
    pub name: &'static str,
    /// Where it may stand in a file.
    pub scope: Scope,
    /// Which commands take it as a flag.
    pub group: Group,
    /// What a value looks like.
    pub kind: Kind,
    /// What the help calls the value.
    pub value_name: &'static str,
    /// What it does: one imperative sentence without a full stop.
    pub help: &'static str,
    /// The default in words; empty if there is none.
    pub default: &'static str,
    /// The values that it takes, if they are a short list.
    pub choices: &'static [&'static str],
}

impl About {
    /// The long flag, without the dashes in front.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{}{}", VARIABLE_PREFIX, self.name.to_ascii_uppercase())
    }
}

/// How our variables begin.
pub(super) const VARIABLE_PREFIX: &str = "DEFENDER_FEED_";

/// A setting, whatever the type of its value.
pub trait Setting: Sync {
    /// What is known about it.
    fn about(&self) -> &About;

    /// Reads the texts and says what is wrong with them.
    ///
    /// # Errors
    /// What is wrong and what would be right, for a person.
    fn check(&self, texts: &[String]) -> Result<(), String>;
}

/// A setting whose value is a `T`.
pub(super) struct Key<T> {
    pub(super) about: About,
    pub(super) read: fn(&[String]) -> Result<T, String>,
}

impl<T> Key<T> {
    /// Reads the texts.
    pub(super) fn read(&self, texts: &[String]) -> Result<T, String> {
        (self.read)(texts)
    }
}

impl<T> Setting for Key<T> {
    fn about(&self) -> &About {
        &self.about
    }

    fn check(&self, texts: &[String]) -> Result<(), String> {
        self.read(texts).map(drop)
    }
}
