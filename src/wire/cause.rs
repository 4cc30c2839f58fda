//! Finds the cause in a chain of errors: the HTTP library's outermost error says only "error sending request".

use std::error::Error;
use std::io;

use super::{WireError, WireErrorKind};

/// No chain is followed further than this, in case one bites its tail.
const LONGEST_CHAIN: usize = 16;

/// What the HTTP library knows of its error beside the chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints {
    /// The name could not be resolved.
    pub(crate) dns: bool,
    /// A timer of the library ran out.
    pub(crate) timeout: bool,
    /// It happened while connecting.
    pub(crate) connect: bool,
    /// The head of the reply was there already.
    pub(crate) in_body: bool,
}

/// Sorts an error into its kind and keeps its whole chain as text.
pub(crate) fn wire_error(error: &(dyn Error + 'static), hints: Hints) -> WireError {
    let links = links(error);
    WireError::new(kind(&links, hints), detail(&links))
}

/// The chain of sources. An `io::Error` hides its own cause from `source()`, so it is unpacked too.
fn links<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut links: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = Some(error);
    while let Some(link) = next.filter(|_| links.len() < LONGEST_CHAIN) {
        links.push(link);
        let inside = link.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => link.source(),
        };
    }
    links
}

fn kind(links: &[&(dyn Error + 'static)], hints: Hints) -> WireErrorKind {
    // The proxy's errors have no public type; their text is fixed in hyper-util.
    if links.iter().any(|l| l.to_string().starts_with("tunnel error")) {
        return WireErrorKind::Proxy;
    }
    if let Some(tls) = find::<rustls::Error>(links) {
        return tls_kind(tls);
    }
    if hints.dns {
        return WireErrorKind::Dns;
    }
    if hints.timeout {
        return WireErrorKind::Timeout;
    }
    let cut = if hints.in_body { WireErrorKind::Body } else { WireErrorKind::Reset };
    if let Some(kind) = links.iter().filter_map(|l| l.downcast_ref::<io::Error>()).find_map(|e| io_kind(e.kind(), cut)) {
        return kind;
    }
    if hints.connect {
        return WireErrorKind::Connect;
    }
    if let Some(http) = find::<hyper::Error>(links) {
        return match http {
            e if e.is_parse_too_large() => WireErrorKind::TooLarge,
            e if e.is_parse() && !hints.in_body => WireErrorKind::Other,
            _ => cut,
        };
    }
    if hints.in_body { WireErrorKind::Body } else { WireErrorKind::Other }
}

fn io_kind(kind: io::ErrorKind, cut: WireErrorKind) -> Option<WireErrorKind> {
    use io::ErrorKind as Io;
    match kind {
        Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => {
            Some(WireErrorKind::Connect)
        }
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::NotConnected => Some(WireErrorKind::Reset),
        Io::UnexpectedEof => Some(cut),
        Io::TimedOut => Some(WireErrorKind::Timeout),
        _ => None,
    }
}

fn tls_kind(error: &rustls::Error) -> WireErrorKind {
    use rustls::CertificateError as Cert;
    let certificate = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        // The platform verifier's words for a host without any certificates: it then knows no issuer.
        rustls::Error::General(text) if text.contains("No CA certificates") => return WireErrorKind::TlsUnknownIssuer,
        _ => return WireErrorKind::Tls,
    };
    match certificate {
        Cert::Expired | Cert::ExpiredContext { .. } | Cert::NotValidYet | Cert::NotValidYetContext { .. } => {
            WireErrorKind::TlsExpired
        }
        Cert::UnknownIssuer => WireErrorKind::TlsUnknownIssuer,
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => WireErrorKind::TlsWrongHost,
        _ => WireErrorKind::Tls,
    }
}

fn find<'a, E: Error + 'static>(links: &[&'a (dyn Error + 'static)]) -> Option<&'a E> {
    links.iter().find_map(|l| l.downcast_ref::<E>())
}

/// The chain as one text. Links repeat the text of those below them; URLs carry tenant and page keys, and are left out.
fn detail(links: &[&(dyn Error + 'static)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for link in links {
        let text = without_urls(&link.to_string());
        if text.is_empty() || parts.iter().any(|p| p.contains(&text)) {
            continue;
        }
        parts.push(text);
    }
    parts.join(": ")
}

fn without_urls(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains("://") { "(URL left out)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<dyn Error + Send + Sync>>,
    }

    fn link(text: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Link {
        Link { text, source: Some(source.into()) }
    }

    #[test]
    fn unpacks_what_io_errors_hide() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let error = link("error sending request for url (https://x/?key=canary)", io::Error::other(io::Error::other(tls)));
        let found = wire_error(&error, Hints { connect: true, ..Hints::default() });
        assert_eq!(found.kind, WireErrorKind::TlsExpired);
        assert_eq!(found.detail, "error sending request for url (URL left out): invalid peer certificate: Expired");
    }

    #[test]
    fn every_cause_has_its_kind() {
        use WireErrorKind as K;
        use io::ErrorKind as Io;
        let io_error = |kind: Io| link("outer", io::Error::new(kind, "x"));
        let none = Hints::default();
        let body = Hints { in_body: true, ..none };
        let connect = Hints { connect: true, ..none };
        for (error, hints, expected) in [
            (io_error(Io::ConnectionRefused), connect, K::Connect),
            (io_error(Io::NetworkUnreachable), connect, K::Connect),
            (io_error(Io::ConnectionReset), none, K::Reset),
            (io_error(Io::ConnectionReset), body, K::Reset),
            (io_error(Io::UnexpectedEof), none, K::Reset),
            (io_error(Io::UnexpectedEof), body, K::Body),
            (io_error(Io::TimedOut), none, K::Timeout),
            (link("x", "dns error"), Hints { dns: true, ..connect }, K::Dns),
            (link("x", "operation timed out"), Hints { timeout: true, ..connect }, K::Timeout),
            (link("x", "tunnel error: proxy authorization required"), connect, K::Proxy),
            (link("tunnel error: failed to create underlying connection", io_error(Io::ConnectionRefused)), connect, K::Proxy),
            (link("x", "y"), body, K::Body),
            (link("x", "y"), connect, K::Connect),
            (link("x", "y"), none, K::Other),
        ] {
            assert_eq!(wire_error(&error, hints).kind, expected, "{error:?}");
        }
    }

    #[test]
    fn certificates_are_told_apart() {
        use rustls::CertificateError as Cert;
        for (certificate, expected) in [
            (Cert::Expired, WireErrorKind::TlsExpired),
            (Cert::NotValidYet, WireErrorKind::TlsExpired),
            (Cert::UnknownIssuer, WireErrorKind::TlsUnknownIssuer),
            (Cert::NotValidForName, WireErrorKind::TlsWrongHost),
            (Cert::BadSignature, WireErrorKind::Tls),
        ] {
            assert_eq!(tls_kind(&rustls::Error::InvalidCertificate(certificate)), expected);
        }
        assert_eq!(tls_kind(&rustls::Error::HandshakeNotComplete), WireErrorKind::Tls);
        let none = rustls::Error::General("No CA certificates were loaded from the system".into());
        assert_eq!(tls_kind(&none), WireErrorKind::TlsUnknownIssuer);
    }
}
