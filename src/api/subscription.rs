//! Subscriptions as the service lists them (`activity-api.md` section 5.3).

use serde_json::{Map, Value};

use crate::wire::field;

/// One subscription of the application in the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The content type's name as the service wrote it; compare without case.
    pub content_type: String,
    /// True if the service says that it is enabled. Where it says nothing, it is not.
    pub enabled: bool,
    /// The status as the service wrote it; empty if it is missing.
    pub status: String,
}

impl Subscription {
    fn read(object: &Map<String, Value>) -> Option<Self> {
        let text = |name| field(object, name).and_then(Value::as_str).map(str::trim);
        let status = text("status").unwrap_or_default().to_owned();
        let content_type = text("contentType").filter(|t| !t.is_empty())?.to_owned();
        Some(Self { content_type, enabled: status.eq_ignore_ascii_case("enabled"), status })
    }
}

/// Reads the reply; `None` if it is no JSON array. Elements that name no content type are left out.
pub(super) fn read_subscriptions(body: &[u8]) -> Option<Vec<Subscription>> {
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let elements: Vec<Value> = serde_json::from_slice(json).ok()?;
    Some(elements.iter().filter_map(Value::as_object).filter_map(Subscription::read).collect())
}

/// True if the reply to a start says that the subscription is off all the same.
pub(super) fn says_disabled(body: &[u8]) -> bool {
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(Value::Object(object)) = serde_json::from_slice(json) else { return false };
    field(&object, "status").and_then(Value::as_str).is_some_and(|s| s.trim().eq_ignore_ascii_case("disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_status_is_not_enabled() {
        let body = "\u{feff}[{\"contentType\":\"Audit.General\",\"status\":\"ENABLED\",\"webhook\":null},
            {\"ContentType\":\"audit.exchange\"},{\"contentType\":\"DLP.All\",\"status\":\"disabled\"},{\"status\":\"enabled\"},null,7]";
        let read = read_subscriptions(body.as_bytes()).unwrap();
        let shown: Vec<_> = read.iter().map(|s| (s.content_type.as_str(), s.enabled, s.status.as_str())).collect();
        assert_eq!(shown, [("Audit.General", true, "ENABLED"), ("audit.exchange", false, ""), ("DLP.All", false, "disabled")]);
        assert_eq!(read_subscriptions(b"[]"), Some(Vec::new()));
        for body in ["", "{}", "null", "[", "[]x", "<html>"] {
            assert_eq!(read_subscriptions(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_start_can_be_answered_with_disabled() {
        assert!(says_disabled(br#"{"contentType":"Audit.General","status":"Disabled","webhook":null}"#));
        assert!(!says_disabled(br#"{"contentType":"Audit.General","status":"enabled"}"#));
        assert!(!says_disabled(b""));
    }
}
