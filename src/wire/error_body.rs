//! Reads what an error reply says, in whatever shape it says it.
//!
//! Microsoft's two services, their front doors and the proxies on the way each have a shape of their own
//! (`activity-api.md` sections 3.5, 10.1, 10.3); a shape that nobody has seen yet must still give its text.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// How deep codes and messages are looked for inside each other.
const DEEPEST: usize = 4;

/// What an error body says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// The code, as given.
    pub(crate) code: Option<String>,
    /// The message, as given; the title of an HTML page; empty if there is none.
    pub(crate) message: String,
    /// The whole body as text: a code in a truncated body, or in a place unknown to us, can be found in it.
    pub(crate) text: String,
    /// True if the body is whole JSON.
    pub(crate) is_json: bool,
    /// True if the body has a member `error`, or is a bare code and message.
    pub(crate) is_error: bool,
}

impl ErrorBody {
    /// Reads a body. Never fails: what can't be read stays in [`ErrorBody::text`].
    pub(crate) fn read(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let text = text.trim_start_matches('\u{feff}').trim();
        let mut body = Self { text: text.to_owned(), ..Self::default() };
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            body.is_json = true;
            body.take(&value, DEEPEST);
        } else if text.starts_with('<') {
            body.message = html_title(text).map_or_else(|| "an HTML page".into(), |t| format!("an HTML page, \"{t}\""));
        } else if !text.starts_with(['{', '[']) {
            text.clone_into(&mut body.message);
        }
        body
    }

    fn take(&mut self, value: &Value, depth: usize) {
        if depth == 0 {
            return;
        }
        match value {
            Value::Object(object) => self.take_object(object, depth),
            Value::Array(elements) => {
                if let Some(first) = elements.iter().find(|e| e.is_object()) {
                    self.take(first, depth - 1);
                }
            }
            Value::String(text) => self.take_text(text, depth),
            _ => {}
        }
    }

    fn take_object(&mut self, object: &Map<String, Value>, depth: usize) {
        let first = |names: &[&str]| names.iter().find_map(|n| field(object, n)).filter(|v| !v.is_null());
        if self.code.is_none() {
            self.code = first(&["code", "errorCode"]).and_then(scalar).map(Cow::into_owned);
        }
        if self.message.is_empty() {
            // OData wraps the message once more, with its language.
            let message = first(&["message", "error_description", "detail", "title"]);
            let message = message.and_then(|m| m.as_object().and_then(|o| field(o, "value")).or(Some(m)));
            self.message = message.and_then(scalar).map(Cow::into_owned).unwrap_or_default();
        }
        self.is_error |= self.code.is_some() && !self.message.is_empty();
        if let Some(inner) = first(&["error", "odata.error"]) {
            self.is_error = true;
            self.take(inner, depth - 1);
        } else if self.code.is_none()
            && let Some(inner) = first(&["innererror"])
        {
            self.take(inner, depth - 1);
        }
    }

    fn take_text(&mut self, text: &str, depth: usize) {
        if let Some(value) = serde_json::from_str::<Value>(text).ok().filter(Value::is_object) {
            self.take(&value, depth - 1);
        } else if self.code.is_none() && !text.is_empty() && !text.contains(char::is_whitespace) {
            self.code = Some(text.to_owned());
        } else if self.message.is_empty() {
            text.clone_into(&mut self.message);
        }
    }
}

/// A member of an object: by its exact name, else by its name without case.
pub(crate) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

fn html_title(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(text[start..end].trim()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_its_code_and_message() {
        for (raw, code, message, is_error) in [
            (r#"{"error":{"code":"AF20022","message":"No subscription."}}"#, Some("AF20022"), "No subscription.", true),
            ("\u{feff}{\"Error\":{\"Code\":\"AF20022\",\"Message\":\"m\"}}", Some("AF20022"), "m", true),
            (r#"{"error":"invalid_client","error_description":"AADSTS1: x"}"#, Some("invalid_client"), "AADSTS1: x", true),
            (r#"{"error":"something went wrong"}"#, None, "something went wrong", true),
            (r#"{"Message":"Authorization has been denied."}"#, None, "Authorization has been denied.", false),
            (r#"{"code":"AF50000","message":"x"}"#, Some("AF50000"), "x", true),
            (r#"{"error":{"message":"x","innererror":{"code":"AF20051"}}}"#, Some("AF20051"), "x", true),
            (r#"{"error":{"error":{"code":"AF20051","message":"gone"}}}"#, Some("AF20051"), "gone", true),
            (r#"{"odata.error":{"code":"-1","message":{"lang":"en-US","value":"deep"}}}"#, Some("-1"), "deep", true),
            (r#"[{"error":{"code":"AF20051","message":"x"}}]"#, Some("AF20051"), "x", true),
            (r#"{"error":"{\"code\":\"AF20051\",\"message\":\"x\"}"}"#, Some("AF20051"), "x", true),
            (r#"{"error":{"code":429,"message":"slow"}}"#, Some("429"), "slow", true),
            (r#"{"error":null}"#, None, "", false),
            (r#"{"error":{}}"#, None, "", true),
            ("<html><head><TITLE>\n502 Bad Gateway </TITLE>", None, "an HTML page, \"502 Bad Gateway\"", false),
            ("<!doctype html>", None, "an HTML page", false),
            ("upstream connect error", None, "upstream connect error", false),
            (r#"{"error":{"code":"AF200"#, None, "", false),
            ("", None, "", false),
            ("null", None, "", false),
        ] {
            let body = ErrorBody::read(raw.as_bytes());
            assert_eq!((body.code.as_deref(), body.message.as_str(), body.is_error), (code, message, is_error), "{raw}");
        }
    }

    #[test]
    fn nesting_without_end_ends() {
        let deep = format!("{}1{}", "{\"error\":".repeat(100), "}".repeat(100));
        assert_eq!(ErrorBody::read(deep.as_bytes()).code, None);
        let too_deep = "[".repeat(60_000);
        assert!(!ErrorBody::read(too_deep.as_bytes()).is_json);
        assert_eq!(ErrorBody::read(b"\xff\xfe{").code, None);
    }
}
