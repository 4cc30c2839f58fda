//! Microsoft's clouds, and the addresses that may stand in for theirs.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::domain::InvalidValue;

/// The cloud that holds a tenant. The addresses are those of `activity-api.md` section 1; China has no Management Activity API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cloud {
    /// Worldwide.
    #[default]
    Enterprise,
    /// US Government Community Cloud.
    Gcc,
    /// US Government Community Cloud High.
    GccHigh,
    /// US Department of Defense.
    Dod,
}

impl Cloud {
    /// All of them, the default first.
    pub const ALL: [Cloud; 4] = [Cloud::Enterprise, Cloud::Gcc, Cloud::GccHigh, Cloud::Dod];

    /// The name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Cloud::Enterprise => "enterprise",
            Cloud::Gcc => "gcc",
            Cloud::GccHigh => "gcc-high",
            Cloud::Dod => "dod",
        }
    }

    /// The origin of the Management Activity API; it is also the name of the resource that a token is asked for.
    fn api_origin(self) -> &'static str {
        match self {
            Cloud::Enterprise => "https://manage.office.com",
            Cloud::Gcc => "https://manage-gcc.office.com",
            Cloud::GccHigh => "https://manage.office365.us",
            Cloud::Dod => "https://manage.protection.apps.mil",
        }
    }

    fn login_origin(self) -> &'static str {
        match self {
            Cloud::Enterprise | Cloud::Gcc => "https://login.microsoftonline.com",
            Cloud::GccHigh | Cloud::Dod => "https://login.microsoftonline.us",
        }
    }

    /// The root of the Management Activity API.
    pub fn api_url(self) -> Url {
        Url::parse(self.api_origin()).expect("the table of clouds holds URLs, and a test reads each")
    }

    /// The authority that gives tokens.
    pub fn login_url(self) -> Url {
        Url::parse(self.login_origin()).expect("the table of clouds holds URLs, and a test reads each")
    }

    /// The scope of a token for the API (`activity-api.md` section 3). It names the cloud's resource, wherever requests are sent.
    pub fn scope(self) -> String {
        format!("{}/.default", self.api_origin())
    }
}

impl FromStr for Cloud {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Cloud::ALL
            .into_iter()
            .find(|cloud| cloud.as_str() == text)
            .ok_or_else(|| InvalidValue::new("a cloud", text, "it is one of enterprise, gcc, gcc-high, dod"))
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads an origin to send requests to. A token and a client secret go there, so: https, or plain http within this machine; and
/// nothing but an origin, because the paths are ours.
pub(super) fn parse_endpoint(text: &str) -> Result<Url, InvalidValue> {
    let bad = |why| Err(InvalidValue::new("an address of a service", text, why));
    let Ok(url) = Url::parse(text.trim()) else {
        return bad("it is a URL such as https://manage.office.com");
    };
    // Checked before anything else, and without repeating the text: it holds a password.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidValue::new("an address of a service", "…@…", "it holds no user or password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return bad("plain http is for this machine only (127.0.0.0/8, [::1], localhost); use https"),
        _ => return bad("it begins with https://"),
    }
    if url.path() != "/" {
        return bad("it has no path");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("it has no query and no fragment");
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clouds_are_those_of_the_reference() {
        let rows: Vec<String> =
            Cloud::ALL.into_iter().map(|c| format!("{c} {} {} {}", c.api_url(), c.login_url(), c.scope())).collect();
        assert_eq!(
            rows,
            [
                "enterprise https://manage.office.com/ https://login.microsoftonline.com/ https://manage.office.com/.default",
                "gcc https://manage-gcc.office.com/ https://login.microsoftonline.com/ https://manage-gcc.office.com/.default",
                "gcc-high https://manage.office365.us/ https://login.microsoftonline.us/ https://manage.office365.us/.default",
                "dod https://manage.protection.apps.mil/ https://login.microsoftonline.us/ \
                 https://manage.protection.apps.mil/.default",
            ]
        );
        for cloud in Cloud::ALL {
            assert_eq!(cloud.as_str().parse::<Cloud>().unwrap(), cloud);
        }
    }

    #[test]
    fn plain_http_stays_within_the_machine() {
        for good in [
            "https://manage.office.com",
            "https://proxy.example:8443/",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:1",
            "http://LocalHost:99/",
            "HTTP://localhost",
        ] {
            assert!(parse_endpoint(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://manage.office.com", "this machine only"),
            ("http://localhost.example", "this machine only"),
            ("http://127.0.0.1.example", "this machine only"),
            ("http://128.0.0.1", "this machine only"),
            ("http://[::2]", "this machine only"),
            ("http://0.0.0.0", "this machine only"),
            ("ftp://localhost", "begins with https"),
            ("manage.office.com", "such as https"),
            ("https://manage.office.com/api", "no path"),
            ("https://manage.office.com\\@other.example", "no path"),
            ("https://manage.office.com?x=1", "no query"),
            ("https://manage.office.com/#x", "no fragment"),
            ("https://", "such as https"),
            ("", "such as https"),
        ] {
            let error = parse_endpoint(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for bad in ["https://user:hunter2@manage.office.com", "http://user:hunter2@localhost", "ftp://:hunter2@x"] {
            let error = parse_endpoint(bad).unwrap_err().to_string();
            assert!(error.contains("no user or password") && !error.contains("hunter2"), "{error}");
        }
    }
}
