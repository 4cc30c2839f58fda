//! Where requests may go: the one API origin, and the tenant's part of it. Pure.
//!
//! The token goes nowhere else. URLs that the service names (`contentUri`, `NextPageUri`) are parsed first and compared
//! after, by the same parser whose output is sent, so no spelling can mean one thing here and another on the wire.

use std::fmt;

use url::{Url, form_urlencoded};

use crate::domain::{ContentType, TenantId, Window};
use crate::wire::printable;

/// The quota is counted by it (`activity-api.md` section 9).
const PUBLISHER: &str = "PublisherIdentifier";

/// How often a path is decoded in search of a hidden `..`; nobody encodes more often.
const DECODINGS: usize = 4;

/// Longer URLs are refused: the longest that was seen has some 400 characters, and servers give up at 16 KiB.
const LONGEST_URL: usize = 16 * 1024;

/// Why a URL is not one that the token may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Empty, too long, not parseable, or with characters that have no place in a URL.
    NotAUrl,
    /// Another scheme.
    Scheme(String),
    /// Another host or port.
    Host(String),
    /// A user name or password before the host.
    UserInfo,
    /// A path outside the tenant's feed: another tenant's, or none.
    Path,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::NotAUrl => f.write_str("it is no URL"),
            Foreign::Scheme(scheme) => write!(f, "its scheme is {}", printable(scheme, 20)),
            Foreign::Host(host) => write!(f, "its host is {}", printable(host, 100)),
            Foreign::UserInfo => f.write_str("it carries a user name"),
            Foreign::Path => f.write_str("its path is outside the tenant's feed"),
        }
    }
}

/// The root of a tenant's feed, and the URLs below it.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// `{api}/api/v1.0/{tenant}/activity/feed/`
    root: Url,
    /// Path segments of the API's URL before `api`; none for Microsoft's own hosts.
    prefix: Vec<String>,
    tenant: TenantId,
    publisher: String,
}

impl Origin {
    pub(super) fn new(api_url: &Url, tenant: &TenantId, publisher: &str) -> Self {
        let base = api_url.path().trim_end_matches('/').to_owned();
        let mut root = api_url.clone();
        root.set_query(None);
        root.set_fragment(None);
        // Fails only for URLs without a host, which the transport refuses.
        let _ = root.set_username("").and_then(|()| root.set_password(None));
        root.set_path(&format!("{base}/api/v1.0/{tenant}/activity/feed/"));
        let prefix = base.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        let publisher = form_urlencoded::byte_serialize(publisher.as_bytes()).collect();
        Self { root, prefix, tenant: tenant.clone(), publisher }
    }

    /// The URL that lists subscriptions.
    pub(super) fn subscriptions(&self) -> Url {
        self.operation("subscriptions/list", "")
    }

    /// The URL that starts (`start`) or stops (`stop`) a subscription.
    pub(super) fn subscription(&self, operation: &str, content_type: ContentType) -> Url {
        self.operation(&format!("subscriptions/{operation}"), &format!("contentType={content_type}&"))
    }

    /// The URL of a listing's first page. Always with both times: without them the documentation contradicts itself
    /// (`activity-api.md` section 11).
    pub(super) fn listing(&self, content_type: ContentType, window: Window) -> Url {
        let (from, to) = (window.from().query(), window.to().query());
        let query = format!("contentType={content_type}&startTime={from}&endTime={to}&");
        self.operation("subscriptions/content", &query)
    }

    fn operation(&self, operation: &str, query: &str) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{operation}", self.root.path()));
        url.set_query(Some(&format!("{query}{PUBLISHER}={}", self.publisher)));
        url
    }

    /// The URL to send for one that the service named: checked, and with the publisher added unless it is there. Path and
    /// query stay byte for byte as given, so that `$` and page keys arrive as the service made them.
    ///
    /// A relative URL is taken from the feed's root. Another tenant's path is refused although the token would not open
    /// it: such a URL is a slip of the service or a trick, and its records would be taken for this tenant's.
    ///
    /// # Errors
    /// The URL leads elsewhere; nothing may be sent.
    pub(super) fn checked(&self, text: &str) -> Result<Url, Foreign> {
        let text = text.trim_matches(' ');
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if text.is_empty() || text.len() > LONGEST_URL || text.contains(odd) {
            return Err(Foreign::NotAUrl);
        }
        let mut url = match Url::parse(text) {
            Err(url::ParseError::RelativeUrlWithoutBase) => self.root.join(text),
            parsed => parsed,
        }
        .map_err(|_| Foreign::NotAUrl)?;
        self.check(&url)?;
        url.set_fragment(None);
        self.add_publisher(&mut url);
        Ok(url)
    }

    fn check(&self, url: &Url) -> Result<(), Foreign> {
        if url.scheme() != self.root.scheme() {
            return Err(Foreign::Scheme(url.scheme().to_owned()));
        }
        if url.host().is_none()
            || url.host() != self.root.host()
            || url.port_or_known_default() != self.root.port_or_known_default()
        {
            let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
            return Err(Foreign::Host(format!("{}{port}", url.host_str().unwrap_or("missing"))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Foreign::UserInfo);
        }
        if self.is_below_feed(url) && !hides_parent(url.path()) { Ok(()) } else { Err(Foreign::Path) }
    }

    /// `{prefix}/api/{version}/{tenant}/activity/feed/{something}`. Microsoft's own sample of a next page has `v1` where
    /// all else has `v1.0`.
    fn is_below_feed(&self, url: &Url) -> bool {
        let Some(mut segments) = url.path_segments() else { return false };
        let mut next_is = |expected: &str| segments.next().is_some_and(|s| s.eq_ignore_ascii_case(expected));
        if !self.prefix.iter().all(|p| next_is(p)) || !next_is("api") {
            return false;
        }
        let version = segments.next().and_then(|s| s.strip_prefix(['v', 'V']));
        if !version
            .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()) && v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        {
            return false;
        }
        let mut next_is = |expected: &str| segments.next().is_some_and(|s| s.eq_ignore_ascii_case(expected));
        next_is(self.tenant.as_str()) && next_is("activity") && next_is("feed") && segments.next().is_some_and(|s| !s.is_empty())
    }

    fn add_publisher(&self, url: &mut Url) {
        let query = url.query().unwrap_or_default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case(PUBLISHER)) {
            return;
        }
        let separator = if query.is_empty() || query.ends_with('&') { "" } else { "&" };
        let query = format!("{query}{separator}{PUBLISHER}={}", self.publisher);
        url.set_query(Some(&query));
    }
}

/// True if a path climbs once it is decoded more often than it should be: the parser resolves `..` and `%2e%2e`, but not
/// `..%2f` or `%252e%252e`, which a server behind might.
fn hides_parent(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        let climbs = path.split(|b| matches!(b, b'/' | b'\\')).any(|s| {
            // `..;x` is `..` to some servers.
            let name = s.split(|b| *b == b';').next().unwrap_or_default();
            name == b".." || name == b"."
        });
        if climbs {
            return true;
        }
        let decoded = decode(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Still encoded after so many rounds: that is no content id.
    true
}

fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match (byte, digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// `text` with its percent escapes resolved; bytes that are not UTF-8 are replaced.
pub(super) fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&decode(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tricks;
