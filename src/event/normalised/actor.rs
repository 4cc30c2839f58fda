//! Who and where: users, addresses, hosts.

// Of `core`, which knows addresses and no sockets.
use core::net::IpAddr;

use super::{Choice, choice, said};
use crate::event::code::UserType;
use crate::event::common_schema::Common;

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Actor<'a> {
    /// `UserId`: mostly an address.
    pub name: &'a str,
    /// The name taken as an address, if it has the form of one.
    pub address: Option<Address<'a>>,
    /// `UserKey`: another id of the same user.
    pub key: Option<&'a str>,
    /// `UserType`.
    pub kind: Option<Choice<'a, UserType>>,
    /// True for a name of the service itself, such as `ThreatIntel`: no person, no account.
    pub is_system: bool,
}

impl<'a> Actor<'a> {
    pub(super) fn of(common: &'a Common) -> Option<Actor<'a>> {
        let name = said(&common.user_id)?;
        let key = said(&common.user_key);
        let kind = choice(&common.user_type);
        let address = Address::of(name).filter(|address| address.domain.is_some());
        let is_system = address.is_none() && kind.is_some_and(|kind| kind.known == Some(UserType::System));
        Some(Actor { name, address, key, kind, is_system })
    }
}

/// An address of mail, as the record writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// The text. `<>` is the sender of a bounce.
    pub text: &'a str,
    /// What stands before the last `@`.
    pub local: &'a str,
    /// What stands after it.
    pub domain: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// `text` as an address; nothing if it is empty.
    pub fn of(text: &'a str) -> Option<Address<'a>> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        // `Name <address>` and `<address>` say the address in the brackets.
        let bare = match (text.rfind('<'), text.strip_suffix('>')) {
            (Some(open), Some(closed)) => closed.get(open + 1..).unwrap_or_default(),
            _ => text,
        };
        let (local, domain) = bare.rsplit_once('@').map_or((bare, None), |(local, domain)| (local, Some(domain)));
        let domain = domain.filter(|domain| !domain.is_empty() && !domain.contains(char::is_whitespace));
        Some(Address { text, local, domain })
    }
}

/// What stands before a v4 address that is written as a v6 one.
const MAPPED: &str = "::ffff:";

/// A machine by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// The address as the record writes it, without port, brackets and zone.
    pub text: &'a str,
    /// The address.
    pub ip: IpAddr,
}

impl<'a> Host<'a> {
    /// Reads `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]:443`, `192.0.2.1:443`, `fe80::1%eth0`.
    pub fn of(text: &'a str) -> Option<Host<'a>> {
        let text = text.trim();
        let bare = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => match text.split_once(':') {
                Some((host, port)) if !port.contains(':') && host.contains('.') => host,
                _ => text,
            },
        };
        let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
        bare.parse().ok().map(|ip| Host { text: bare, ip })
    }

    /// As [`Host::of`], but of a v4 address that is written as a v6 one, as clients are: `::ffff:192.0.2.1`, with or
    /// without a port behind.
    pub(super) fn of_client(text: &'a str) -> Option<Host<'a>> {
        let text = text.trim();
        let host = Host::of(text);
        let bare = host.map_or(text, |host| host.text);
        let mapped = bare.split_at_checked(MAPPED.len()).filter(|(prefix, _)| prefix.eq_ignore_ascii_case(MAPPED));
        mapped.and_then(|(_, rest)| Host::of(rest)).filter(|host| host.ip.is_ipv4()).or(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_domain_or_none() {
        let parts = |text| Address::of(text).map(|address| (address.local, address.domain));
        assert_eq!(parts("alex@contoso.com"), Some(("alex", Some("contoso.com"))));
        assert_eq!(parts(" prvs=0000000000=a@b.example "), Some(("prvs=0000000000=a", Some("b.example"))));
        assert_eq!(parts("\"odd@name\"@b.example"), Some(("\"odd@name\"", Some("b.example"))));
        assert_eq!(parts("Alex <alex@contoso.com>"), Some(("alex", Some("contoso.com"))));
        assert_eq!(parts("<>"), Some(("", None)));
        assert_eq!(parts("ThreatIntel"), Some(("ThreatIntel", None)));
        assert_eq!(parts("a@"), Some(("a", None)));
        assert_eq!(parts("  "), None);
    }

    #[test]
    fn hosts_are_read_with_port_zone_or_brackets() {
        let text = |text| Host::of(text).map(|host| host.text);
        assert_eq!(text("192.0.2.1"), Some("192.0.2.1"));
        assert_eq!(text("192.0.2.1:443"), Some("192.0.2.1"));
        assert_eq!(text("[2001:DB8::1]:443"), Some("2001:DB8::1"));
        assert_eq!(text("2001:db8::1"), Some("2001:db8::1"));
        assert_eq!(text("fe80::1%eth0"), Some("fe80::1"));
        for odd in ["", "192.0.2", "host.example:80", "unknown", "1.2.3.4, 5.6.7.8", "[x"] {
            assert_eq!(Host::of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_client_is_told_without_the_prefix_of_mapped_addresses() {
        let text = |text| Host::of_client(text).map(|host| host.text);
        for mapped in ["::ffff:192.0.2.1", "::FFFF:192.0.2.1:443", "[::ffff:192.0.2.1]:443", " 192.0.2.1:443"] {
            assert_eq!(text(mapped), Some("192.0.2.1"), "{mapped}");
        }
        assert_eq!(text("::ffff:c000:201"), Some("::ffff:c000:201"));
        assert_eq!(text("2001:db8::1"), Some("2001:db8::1"));
        assert_eq!(text("::ffff:<null>"), None);
        assert_eq!(Host::of("::ffff:192.0.2.1").map(|host| host.text), Some("::ffff:192.0.2.1"));
    }
}
