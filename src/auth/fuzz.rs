//! What holds of any reply of the token endpoint: a token only where one stands, and nothing secret in a failure.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::reply::{granted, refused};
use super::{claims, lifetime};
use crate::wire::{Failure, Headers, LONGEST_MESSAGE};

/// The secrets of the tenant that asks; the corpus has replies that repeat them.
const SECRETS: [&str; 2] = ["canary~hunter2~canary", "eyJhbGciOiJub25lIn0.canary"];

/// The first byte chooses the status, the rest is the body.
pub fn token(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let secrets = SECRETS.map(str::to_owned);
    let headers: Headers = [("Date", "Sun, 01 Mar 2026 12:00:00 GMT"), ("Retry-After", "5")].into_iter().collect();
    let status = [200, 302, 400, 401, 403, 429, 500, 503][usize::from(choice & 7)];
    tells_nothing_secret(&refused(status, &headers, body, &secrets));

    let expected = the_one_token(body);
    match granted(body.to_vec(), &headers, &secrets) {
        Ok(granted) => {
            let token = granted.token.expose_secret();
            assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()), "it can be sent in a header");
            let value = serde_json::from_slice::<Value>(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
            // serde_json's own reading refuses broken characters in members that the product does not look at.
            assert!(value.is_err() || value.is_ok_and(|value| value["access_token"] == token), "another token");
            assert!(granted.life <= Duration::from_secs(28 * 3600), "{:?}", granted.life);
            let life = lifetime::Lifetime::new(tokio::time::Instant::now(), granted.life);
            assert!(life.renew_at() <= life.ends());
        }
        Err(failure) => {
            assert_eq!(expected, None, "a good token was refused: {failure}");
            tells_nothing_secret(&failure);
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        // Tokens describe themselves; whatever they say must not harm.
        let _ = claims::decode(text);
    }
}

/// The token of a reply that nobody could read in two ways.
fn the_one_token(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let once = |name: &str| text.matches(name).count() <= 1;
    if text.contains('\\') || !once("access_token") || !once("expires_in") {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let token = value.as_object()?.get("access_token")?.as_str()?;
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then(|| token.to_owned())
}

fn tells_nothing_secret(failure: &Failure) {
    for text in [failure.to_string(), format!("{failure:?}")] {
        assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "a secret in {text}");
        assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
    }
    assert!(failure.message.chars().count() <= LONGEST_MESSAGE + 12, "a long message");
}
