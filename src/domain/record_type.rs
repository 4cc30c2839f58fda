//! `AuditLogRecordType`: the number that says what kind of record an element is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::InvalidValue;

/// Microsoft's table of record types: number, name, a few words (`audit-log-record-types.csv`).
const TABLE: &str = include_str!("audit-log-record-types.csv");

/// A record type by number. Numbers outside Microsoft's table are normal (`activity-api.md` section 12, row 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub i64);

impl RecordType {
    /// 28, ThreatIntelligence: a mail event.
    pub const MAIL: RecordType = RecordType(28);
    /// 41, ThreatIntelligenceUrl: a click on a link.
    pub const URL: RecordType = RecordType(41);
    /// 47, ThreatIntelligenceAtpContent: a file event.
    pub const FILE: RecordType = RecordType(47);
    /// 64, AirInvestigation: a change of an automated investigation.
    pub const AIR: RecordType = RecordType(64);

    /// The name in Microsoft's table, if the number stands there.
    pub fn name(self) -> Option<&'static str> {
        rows().iter().find(|(n, _)| *n == self.0).map(|(_, name)| *name)
    }

    /// The type with this name, compared without case.
    pub fn from_name(name: &str) -> Option<RecordType> {
        rows().iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(n, _)| RecordType(*n))
    }
}

fn rows() -> &'static [(i64, &'static str)] {
    static ROWS: OnceLock<Vec<(i64, &'static str)>> = OnceLock::new();
    ROWS.get_or_init(|| {
        TABLE
            .lines()
            .skip(1)
            .filter_map(|line| {
                let (number, rest) = line.split_once(',')?;
                Some((number.parse().ok()?, rest.split(',').next()?.trim_matches('"')))
            })
            .collect()
    })
}

impl FromStr for RecordType {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let text = text.trim();
        text.parse::<i64>().ok().map(RecordType).or_else(|| RecordType::from_name(text)).ok_or_else(|| {
            InvalidValue::new("a record type", text, "it is a number or a name of Microsoft's AuditLogRecordType table")
        })
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which record types are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordTypes {
    /// Every record.
    All,
    /// These, and records whose type can't be told.
    Only(BTreeSet<RecordType>),
}

impl RecordTypes {
    /// The four types of Defender for Office 365: 28, 41, 47, 64.
    pub fn defender() -> Self {
        Self::Only([RecordType::MAIL, RecordType::URL, RecordType::FILE, RecordType::AIR].into())
    }

    /// True if records of this type are wanted.
    pub fn contains(&self, t: RecordType) -> bool {
        match self {
            RecordTypes::All => true,
            RecordTypes::Only(set) => set.contains(&t),
        }
    }
}

impl FromStr for RecordTypes {
    type Err = InvalidValue;

    /// `all`, or numbers and names separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.trim().eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self::Only)
    }
}

impl fmt::Display for RecordTypes {
    /// The form that [`RecordTypes::from_str`] reads; equal sets print the same, so it names the filter in the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordTypes::All => f.write_str("all"),
            RecordTypes::Only(set) => {
                for (i, t) in set.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{t}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_meet() {
        assert_eq!(RecordType::MAIL.name(), Some("ThreatIntelligence"));
        assert_eq!("airinvestigation".parse::<RecordType>().unwrap(), RecordType::AIR);
        assert_eq!("64, 28,ThreatIntelligenceUrl,47".parse::<RecordTypes>().unwrap(), RecordTypes::defender());
        assert_eq!(RecordTypes::defender().to_string(), "28,41,47,64");
        assert!("28,nonsense".parse::<RecordTypes>().is_err());
        assert!(RecordTypes::All.contains(RecordType(9999)));
        assert!(RecordTypes::defender().contains(RecordType(47)) && !RecordTypes::defender().contains(RecordType(48)));
    }
}
