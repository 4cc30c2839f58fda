//! Names that the service gives: tenants, content types, content blobs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that does not name what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} can't be {value:?}: {why}")]
pub struct InvalidValue {
    /// What the text was meant to be.
    pub what: &'static str,
    /// The text as given, cut to a length that is safe to print.
    pub value: String,
    /// What would be right.
    pub why: &'static str,
}

impl InvalidValue {
    /// Reports `value` as unfit to be `what`.
    pub fn new(what: &'static str, value: &str, why: &'static str) -> Self {
        Self { what, value: value.chars().take(80).collect(), why }
    }
}

/// The directory GUID of a Microsoft 365 tenant, in lower case. The API takes no domain name (`AF20013`,
/// `activity-api.md` section 1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// The GUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let dashes = [8, 13, 18, 23];
        let fits = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| if dashes.contains(&i) { b == b'-' } else { b.is_ascii_hexdigit() });
        if !fits {
            return Err(InvalidValue::new("a tenant id", text, "it is a GUID such as 11111111-0000-4000-8000-000000000001"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> String {
        id.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the five content types of the feed (`activity-api.md` section 5). Names are compared without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ContentType {
    /// `Audit.General`: every workload without a content type of its own, Defender's among them.
    AuditGeneral,
    /// `Audit.Exchange`
    AuditExchange,
    /// `Audit.SharePoint`
    AuditSharePoint,
    /// `Audit.AzureActiveDirectory`
    AuditAzureActiveDirectory,
    /// `DLP.All`
    DlpAll,
}

impl ContentType {
    /// All of them, the default first.
    pub const ALL: [ContentType; 5] = [
        ContentType::AuditGeneral,
        ContentType::AuditExchange,
        ContentType::AuditSharePoint,
        ContentType::AuditAzureActiveDirectory,
        ContentType::DlpAll,
    ];

    /// The name as Microsoft writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::AuditGeneral => "Audit.General",
            ContentType::AuditExchange => "Audit.Exchange",
            ContentType::AuditSharePoint => "Audit.SharePoint",
            ContentType::AuditAzureActiveDirectory => "Audit.AzureActiveDirectory",
            ContentType::DlpAll => "DLP.All",
        }
    }
}

impl FromStr for ContentType {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        ContentType::ALL.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            InvalidValue::new(
                "a content type",
                text,
                "it is one of Audit.General, Audit.Exchange, Audit.SharePoint, Audit.AzureActiveDirectory, DLP.All",
            )
        })
    }
}

impl TryFrom<String> for ContentType {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<ContentType> for String {
    fn from(c: ContentType) -> String {
        c.as_str().to_owned()
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The opaque key that the service gives a content blob. It contains `$` and is never taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId(pub String);

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one cursor is kept for: one content type of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeedId {
    /// The tenant.
    pub tenant: TenantId,
    /// The content type.
    pub content_type: ContentType,
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.content_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_id_is_a_guid_in_lower_case() {
        let id: TenantId = "AAAAAAAA-0000-4000-8000-000000000001".parse().unwrap();
        assert_eq!(id.as_str(), "aaaaaaaa-0000-4000-8000-000000000001");
        for bad in ["", "contoso.com", "aaaaaaaa00004000800000000000000100000", "gaaaaaaa-0000-4000-8000-000000000001"] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn content_type_ignores_case() {
        assert_eq!("audit.general".parse::<ContentType>().unwrap(), ContentType::AuditGeneral);
        assert!("audit.generals".parse::<ContentType>().is_err());
    }

    #[test]
    fn names_print_as_they_are_written() {
        let text = "aaaaaaaa-0000-4000-8000-000000000001";
        let tenant: TenantId = text.parse().unwrap();
        assert_eq!((tenant.to_string(), String::from(tenant.clone())), (text.to_owned(), text.to_owned()));
        for content_type in ContentType::ALL {
            assert_eq!(content_type.to_string().parse(), Ok(content_type));
            assert_eq!(String::from(content_type), content_type.as_str());
        }
        let feed = FeedId { tenant, content_type: ContentType::DlpAll };
        assert_eq!(feed.to_string(), format!("{text}/DLP.All"));
        assert_eq!(ContentId("a$b".into()).to_string(), "a$b");
    }
}
