//! How a request can fail without a reply, or a body break off.

use std::fmt;

use super::text::printable;

/// Details longer than this are cut: the cause stands in the first words, and peers can make the rest long.
const LONGEST_DETAIL: usize = 240;

/// What went wrong below the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireErrorKind {
    /// The host name has no address.
    Dns,
    /// No connection: refused, unreachable.
    Connect,
    /// The TLS handshake failed for a reason without a kind of its own.
    Tls,
    /// The peer's certificate has expired or is not valid yet.
    TlsExpired,
    /// The peer's certificate comes from an issuer that this host does not trust.
    TlsUnknownIssuer,
    /// The peer's certificate is for another host.
    TlsWrongHost,
    /// The proxy could not be reached or refused.
    Proxy,
    /// Nothing, or too little, came in time.
    Timeout,
    /// The connection was reset, or closed before a reply.
    Reset,
    /// The body was cut short.
    Body,
    /// The body's compression is damaged or unknown.
    Encoding,
    /// A head or a body exceeds its limit.
    TooLarge,
    /// Anything else.
    Other,
}

impl WireErrorKind {
    /// What happened, in a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            WireErrorKind::Dns => "host name not found",
            WireErrorKind::Connect => "no connection",
            WireErrorKind::Tls => "TLS failed",
            WireErrorKind::TlsExpired => "certificate expired or not yet valid",
            WireErrorKind::TlsUnknownIssuer => "certificate from an unknown issuer",
            WireErrorKind::TlsWrongHost => "certificate for another host",
            WireErrorKind::Proxy => "proxy failed",
            WireErrorKind::Timeout => "timed out",
            WireErrorKind::Reset => "connection reset",
            WireErrorKind::Body => "body cut short",
            WireErrorKind::Encoding => "body can't be decompressed",
            WireErrorKind::TooLarge => "too large",
            WireErrorKind::Other => "request failed",
        }
    }

    /// What a person can do about it, where there is something to do.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            WireErrorKind::Dns => Some("check DNS, and --cloud, --api-url and --login-url"),
            WireErrorKind::Connect => Some("check the firewall, and whether a proxy is needed (HTTPS_PROXY)"),
            WireErrorKind::Tls => Some("check for a device that intercepts TLS"),
            WireErrorKind::TlsExpired => Some("check this host's clock, then for a device that intercepts TLS"),
            WireErrorKind::TlsUnknownIssuer => {
                Some("add the issuer to the system's certificates or name its file in SSL_CERT_FILE")
            }
            WireErrorKind::TlsWrongHost => Some("check --api-url and --login-url, and for a device that intercepts TLS"),
            WireErrorKind::Proxy => Some("check HTTPS_PROXY and NO_PROXY"),
            WireErrorKind::Timeout
            | WireErrorKind::Reset
            | WireErrorKind::Body
            | WireErrorKind::Encoding
            | WireErrorKind::TooLarge
            | WireErrorKind::Other => None,
        }
    }
}

impl fmt::Display for WireErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request without a reply, or a body that broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct WireError {
    /// What kind of failure it is.
    pub kind: WireErrorKind,
    /// The whole chain of causes, safe to print: no URL, no secret.
    pub detail: String,
}

impl WireError {
    /// An error with a detail that is cut and escaped here.
    pub fn new(kind: WireErrorKind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: printable(detail.as_ref(), LONGEST_DETAIL) }
    }
}
