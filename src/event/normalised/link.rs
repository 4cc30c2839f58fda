//! A link taken apart, without changing a letter of it: clicked links are often malformed, and what was clicked matters.

/// The parts of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// All of it.
    pub text: &'a str,
    /// `https`.
    pub scheme: &'a str,
    /// The host's name or address.
    pub host: &'a str,
    /// The port, if it is told and is one.
    pub port: Option<u16>,
    /// From the first slash after the host.
    pub path: Option<&'a str>,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// What follows the `#`.
    pub fragment: Option<&'a str>,
}

impl<'a> Link<'a> {
    /// Reads `scheme://user@host:port/path?query#fragment`; nothing if there is no scheme or no host.
    pub fn of(text: &'a str) -> Option<Link<'a>> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !fits {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(&rest[at..])));
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let full = |part: Option<&'a str>| part.filter(|part| !part.is_empty());
        (!host.is_empty()).then(|| Link {
            text,
            scheme,
            host,
            port: port.and_then(|port| port.parse().ok()),
            path,
            query: full(query),
            fragment: full(fragment),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_taken_apart_as_they_stand() {
        let link = Link::of("https://user:pw@Fabrikam.com:8443/a b/é?q=1&r=?#top").unwrap();
        assert_eq!((link.scheme, link.host, link.port), ("https", "Fabrikam.com", Some(8443)));
        assert_eq!((link.path, link.query, link.fragment), (Some("/a b/é"), Some("q=1&r=?"), Some("top")));
        let bare = Link::of("hxxp://[2001:db8::1]").unwrap();
        assert_eq!((bare.host, bare.port, bare.path), ("2001:db8::1", None, None));
        assert_eq!(Link::of("http://x:99999?a").map(|link| (link.host, link.port, link.query)), Some(("x", None, Some("a"))));
        for odd in ["", "fabrikam.com/a", "://x", "https://", "1a://x", "https://:80", "mailto:a@b"] {
            assert_eq!(Link::of(odd), None, "{odd}");
        }
    }
}
