//! Reads the token endpoint's replies, and lets nothing secret out of them.

use std::time::Duration;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::Fault;
use crate::wire::{ErrorBody, Failure, Headers, LONGEST_CODE, LONGEST_MESSAGE, RequestKind, printable, redact};

use super::lifetime::life;
use super::verdict::verdict;

/// Entra's errors are under 2 KiB, proxies' pages rarely larger than this.
pub(super) const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// A granted token and how long it lives.
pub(super) struct Granted {
    pub(super) token: SecretString,
    pub(super) life: Duration,
}

#[derive(Deserialize)]
struct Grant<'a> {
    access_token: Option<String>,
    // As it stands: number or text, and of any size.
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
}

/// Reads the reply to a token request that was answered with 200. `secrets` are taken out of what is shown.
///
/// # Errors
/// The reply carries no usable token.
pub(super) fn granted(body: Vec<u8>, headers: &Headers, secrets: &[String]) -> Result<Granted, Failure> {
    let body = Zeroizing::new(body);
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
    let failure = |fault, message: &str| {
        let (code, date) = (None, headers.date());
        Failure { fault, request: RequestKind::Token, status: Some(200), code, message: message.into(), date }
    };
    let unusable = |message| failure(Fault::BadReply, message);
    let first = json.trim_ascii_start().first();
    // serde would read a list as well: its first text as the token.
    let grant = serde_json::from_slice::<Grant<'_>>(json).ok().filter(|_| first == Some(&b'{'));
    let Some(grant) = grant else {
        // The body may hold a token in an unexpected place, so not a word of it is shown.
        return Err(match first {
            Some(b'{' | b'[') | None => unusable("the token reply can't be read"),
            // Entra never answers like this: it is a page of something on the way.
            Some(_) => {
                failure(Fault::Transient { retry_after: None }, "the token reply is not JSON but a page, perhaps of a proxy")
            }
        });
    };
    match grant.access_token.map(Zeroizing::new) {
        Some(token) if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(unusable("the token reply carries an access token that can't be sent in a header"))
        }
        Some(token) => {
            let life = life(grant.expires_in.map(RawValue::get));
            Ok(Granted { token: SecretString::from(token.as_str()), life })
        }
        None if ErrorBody::read(json).is_error => Err(refused(200, headers, json, secrets)),
        None => Err(unusable("the token reply carries no access token")),
    }
}

/// The failure that a token request was answered with.
pub(super) fn refused(status: u16, headers: &Headers, body: &[u8], secrets: &[String]) -> Failure {
    let said = ErrorBody::read(body);
    let aadsts = aadsts(&said);
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let safe = |text: &str, limit| printable(&redact(text, &secrets), limit);
    // Only an OAuth error decides; a proxy's JSON may have a code of its own.
    let oauth = said.code.as_deref().filter(|c| said.is_error && c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let retry_after = headers.retry_after(None).filter(|d| !d.is_zero());
    let message = match said.message.lines().find(|l| !l.trim().is_empty()) {
        Some(line) => safe(line, LONGEST_MESSAGE),
        None if status / 100 == 3 => "the login service redirects; redirects are not followed".into(),
        None => "the login service gave no reason".into(),
    };
    Failure {
        fault: verdict(status, oauth, aadsts, retry_after),
        request: RequestKind::Token,
        status: Some(status),
        code: aadsts.map(|n| format!("AADSTS{n}")).or_else(|| said.code.as_deref().map(|c| safe(c, LONGEST_CODE))),
        message,
        date: headers.date(),
    }
}

/// The number after `AADSTS` in the message, else anywhere in the body, else the first of `error_codes`.
fn aadsts(said: &ErrorBody) -> Option<u64> {
    let in_text = |text: &str| {
        text.match_indices("AADSTS").find_map(|(at, mark)| {
            let digits = &text[at + mark.len()..];
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        })
    };
    let listed = || {
        let value: serde_json::Value = serde_json::from_str(&said.text).ok()?;
        value.get("error_codes")?.as_array()?.first()?.as_u64()
    };
    in_text(&said.message).or_else(listed).or_else(|| in_text(&said.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Refusal;
    use secrecy::ExposeSecret;

    fn read(body: &str) -> Result<Granted, Failure> {
        granted(body.as_bytes().to_vec(), &Headers::default(), &[])
    }

    fn fault(body: &str) -> Fault {
        read(body).err().unwrap().fault
    }

    #[test]
    fn both_versions_of_the_endpoint_are_understood() {
        let v2 = read(r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"t"}"#).unwrap();
        assert_eq!((v2.token.expose_secret(), v2.life), ("t", Duration::from_secs(3599)));
        let v1 = read("\u{feff}{\"expires_in\":\"3599\",\"expires_on\":\"1\",\"access_token\":\"t\\u002Dx\"}").unwrap();
        assert_eq!((v1.token.expose_secret(), v1.life), ("t-x", Duration::from_secs(3599)));
        assert_eq!(read(r#"{"access_token":"t","expires_in":1e999}"#).unwrap().life, Duration::from_secs(28 * 3600));
        assert_eq!(read(r#"{"access_token":"t"}"#).unwrap().life, super::super::lifetime::DEFAULT_LIFE);
    }

    #[test]
    fn a_good_status_with_a_bad_body_gives_no_token() {
        for body in ["", "{}", "null", "[1]", r#"{"access_token":5}"#, r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#] {
            let expected = if body == "null" { Fault::Transient { retry_after: None } } else { Fault::BadReply };
            assert_eq!(fault(body), expected, "{body}");
        }
        assert_eq!(fault("<html>Sign in to the hotel</html>"), Fault::Transient { retry_after: None });
        assert_eq!(fault(r#"{"error":"invalid_client"}"#), Fault::Refused(Refusal::BadCredentials));
        let truncated = read(r#"{"access_token":"canary-canary"#).err().unwrap();
        assert_eq!(truncated.fault, Fault::BadReply);
        assert!(!truncated.to_string().contains("canary"));
    }

    /// Found by the fuzz target `token`.
    #[test]
    fn a_list_is_no_token() {
        for body in [r#"["eyJ0eXAi.e30.sig",3599]"#, r#" ["t"] "#, "[null,1]"] {
            assert_eq!(fault(body), Fault::BadReply, "{body}");
        }
    }

    #[test]
    fn the_first_line_tells_and_nothing_secret_does() {
        let body = include_bytes!("../../fixtures/api/token-refused.json");
        let failure = refused(401, &Headers::default(), body, &["hunter2-hunter2".into()]);
        assert_eq!(failure.fault, Fault::Refused(Refusal::BadCredentials));
        assert_eq!(failure.code.as_deref(), Some("AADSTS7000215"));
        assert_eq!(failure.message, "AADSTS7000215: made up text, you sent [redacted]\\u{1b}[2J.");
    }

    #[test]
    fn the_number_is_found_wherever_it_stands() {
        for (body, expected) in [
            (r#"{"error":"invalid_client","error_description":"AADSTS7000222: x"}"#, Some("AADSTS7000222")),
            (r#"{"error":"invalid_client","error_codes":[7000222]}"#, Some("AADSTS7000222")),
            (r#"{"error":"invalid_client","error_description":"AADSTS700"#, Some("AADSTS700")),
            (r#"{"error":"invalid_client"}"#, Some("invalid_client")),
            ("<html><title>AADSTS90033</title>", Some("AADSTS90033")),
            ("", None),
        ] {
            assert_eq!(refused(400, &Headers::default(), body.as_bytes(), &[]).code.as_deref(), expected, "{body}");
        }
    }
}
