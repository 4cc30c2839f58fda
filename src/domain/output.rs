//! The names of the output formats, and the file that lines may go to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::InvalidValue;

/// The file that lines go to, and when the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// The file.
    pub path: PathBuf,
    /// A batch that would make the file longer than this begins the next one; nothing: no limit.
    pub rotate_bytes: Option<u64>,
    /// The next file begins with each span of this length since 1970, UTC (a day: at midnight); nothing: never.
    pub rotate_every: Option<Duration>,
}

/// What a line of output looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// The record byte for byte as the blob carried it, on one line.
    #[default]
    Raw,
    /// The strongly typed event, cleaned.
    Event,
    /// The Elastic Common Schema.
    Ecs,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
    /// The envelope of Splunk's HTTP Event Collector.
    Hec,
    /// The envelope of Defender XDR's streaming API.
    Xdr,
}

impl OutputFormat {
    /// All of them, the default first.
    pub const ALL: [OutputFormat; 7] = [
        OutputFormat::Raw,
        OutputFormat::Event,
        OutputFormat::Ecs,
        OutputFormat::Ocsf,
        OutputFormat::Cef,
        OutputFormat::Hec,
        OutputFormat::Xdr,
    ];

    /// True if a line is a JSON object.
    pub fn is_json(self) -> bool {
        self != OutputFormat::Cef
    }

    /// The name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            OutputFormat::Raw => "raw",
            OutputFormat::Event => "event",
            OutputFormat::Ecs => "ecs",
            OutputFormat::Ocsf => "ocsf",
            OutputFormat::Cef => "cef",
            OutputFormat::Hec => "hec",
            OutputFormat::Xdr => "xdr",
        }
    }
}

impl FromStr for OutputFormat {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        OutputFormat::ALL
            .into_iter()
            .find(|f| f.as_str() == text)
            .ok_or_else(|| InvalidValue::new("a format", text, "it is one of raw, event, ecs, ocsf, cef, hec, xdr"))
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_names() {
        assert_eq!(OutputFormat::ALL.map(|format| format.to_string()), ["raw", "event", "ecs", "ocsf", "cef", "hec", "xdr"]);
        for format in OutputFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("RAW".parse::<OutputFormat>().is_err());
    }

    #[test]
    fn all_but_one_are_json() {
        let others: Vec<_> = OutputFormat::ALL.into_iter().filter(|format| !format.is_json()).collect();
        assert_eq!(others, [OutputFormat::Cef]);
    }
}
