//! How much is logged, and in which form.

use std::fmt;
use std::str::FromStr;

use crate::domain::InvalidValue;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// JSON for a long-lived `poll` whose stderr is no terminal, where a machine reads; text for everything that a person started.
    #[default]
    Auto,
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

impl LogFormat {
    /// All of them, the default first.
    pub const ALL: [LogFormat; 3] = [LogFormat::Auto, LogFormat::Text, LogFormat::Json];

    /// The name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        LogFormat::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| InvalidValue::new("a log format", text, "it is one of auto, text, json"))
    }
}

/// What is logged: a level for this program, or directives `target=level` for parts of it and for its dependencies, separated
/// by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The directives, in a form that `tracing_subscriber::filter::Targets` reads. A level without a target stands for this
    /// program, not for its dependencies: at their finest levels those print what passes through them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        LogLevel("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = InvalidValue;

    /// A target without a level is refused: it would make `--log-level inof` a wish about a module of that name.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        /// Longer lists than anybody needs, and short enough to be checked at no cost.
        const LENGTH_MAX: usize = 1024;
        let is_level =
            |text: &str| ["off", "error", "warn", "info", "debug", "trace"].iter().any(|l| l.eq_ignore_ascii_case(text));
        let is_target = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-' | b'.'))
        };
        let fits = text.len() <= LENGTH_MAX
            && text.split(',').all(|directive| match directive.trim().split_once('=') {
                Some((target, level)) => is_target(target.trim()) && is_level(level.trim()),
                None => is_level(directive.trim()),
            });
        if !fits {
            return Err(InvalidValue::new(
                "a log level",
                text,
                "it is one of off, error, warn, info, debug, trace, or a list such as info,sled=debug",
            ));
        }
        let tidy: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        Ok(LogLevel(tidy.to_ascii_lowercase()))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogLevel,
    /// Errors only, whatever the level says.
    pub quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_directives() {
        for (text, tidy) in [("info", "info"), ("DEBUG", "debug"), ("warn, sled = trace", "warn,sled=trace")] {
            assert_eq!(text.parse::<LogLevel>().unwrap().as_str(), tidy);
        }
        for bad in ["", "inof", "sled", "sled=", "=info", "info,,", "a b=info", "sled=loud", "[span]=info"] {
            assert!(bad.parse::<LogLevel>().is_err(), "{bad}");
        }
    }
}
