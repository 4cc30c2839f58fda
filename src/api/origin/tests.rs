use proptest::prelude::*;

use super::tricks::{Fate, TRICKS};
use super::*;
use crate::api::fuzz::leads_nowhere_else;
use crate::domain::Time;

const TENANT: &str = "11111111-0000-4000-8000-00000000000a";
const OTHER: &str = "99999999-0000-4000-8000-000000000009";
const FEED: &str = "/api/v1.0/11111111-0000-4000-8000-00000000000a/activity/feed";

fn origin(api_url: &str) -> Origin {
    Origin::new(&api_url.parse().unwrap(), &TENANT.parse().unwrap(), "22222222-0000-4000-8000-000000000002")
}

fn microsoft() -> Origin {
    origin("https://manage.office.com")
}

#[test]
fn urls_are_built_as_documented() {
    let window = Window::new(Time::parse("2026-03-01T00:00:00Z").unwrap(), Time::parse("2026-03-02T00:00:00Z").unwrap()).unwrap();
    let publisher = "PublisherIdentifier=22222222-0000-4000-8000-000000000002";
    for api_url in ["https://manage.office.com", "https://manage.office.com/", "https://u:p@manage.office.com/?a=b#c"] {
        let origin = origin(api_url);
        let root = format!("https://manage.office.com{FEED}");
        assert_eq!(origin.subscriptions().as_str(), format!("{root}/subscriptions/list?{publisher}"));
        assert_eq!(
            origin.subscription("start", ContentType::DlpAll).as_str(),
            format!("{root}/subscriptions/start?contentType=DLP.All&{publisher}")
        );
        assert_eq!(
            origin.listing(ContentType::AuditGeneral, window).as_str(),
            format!(
                "{root}/subscriptions/content?contentType=Audit.General&startTime=2026-03-01T00:00:00&endTime=2026-03-02T00:00:00&{publisher}"
            )
        );
    }
    let prefixed = origin("http://127.0.0.1:8080/m365/");
    assert_eq!(prefixed.subscriptions().as_str(), format!("http://127.0.0.1:8080/m365{FEED}/subscriptions/list?{publisher}"));
    assert!(prefixed.checked(&format!("http://127.0.0.1:8080/m365{FEED}/audit/x")).is_ok());
    assert_eq!(prefixed.checked(&format!("http://127.0.0.1:8080{FEED}/audit/x")), Err(Foreign::Path));
}

/// Given by the service → sent.
#[test]
fn what_the_service_names_is_sent_as_it_stands() {
    let id = "20260301120051748005825$20260301120218791111944$audit_general$Audit_General$emea0001";
    let publisher = "PublisherIdentifier=22222222-0000-4000-8000-000000000002";
    let host = "https://manage.office.com";
    let tenant = TENANT.to_ascii_uppercase();
    for (given, sent) in [
        (format!("{host}{FEED}/audit/{id}"), format!("{host}{FEED}/audit/{id}?{publisher}")),
        (format!("{host}{FEED}/audit/{id}?"), format!("{host}{FEED}/audit/{id}?{publisher}")),
        (format!("{host}{FEED}/audit/a%24b%2Bc?x=%24+y&z"), format!("{host}{FEED}/audit/a%24b%2Bc?x=%24+y&z&{publisher}")),
        (format!("{host}{FEED}/audit/a?b=c&"), format!("{host}{FEED}/audit/a?b=c&{publisher}")),
        (format!("{host}{FEED}/audit/a#fragment"), format!("{host}{FEED}/audit/a?{publisher}")),
        (format!("{host}{FEED}/audit/a?publisheridentifier=other"), format!("{host}{FEED}/audit/a?publisheridentifier=other")),
        (
            format!("{host}{FEED}/audit/a?b=1&Publisher%49dentifier=x"),
            format!("{host}{FEED}/audit/a?b=1&Publisher%49dentifier=x"),
        ),
        (
            format!("{host}{FEED}/audit/a?b=PublisherIdentifier"),
            format!("{host}{FEED}/audit/a?b=PublisherIdentifier&{publisher}"),
        ),
        (format!("HTTPS://Manage.Office.COM:443{FEED}/audit/a"), format!("{host}{FEED}/audit/a?{publisher}")),
        (
            format!("{host}/API/V1/{tenant}/Activity/Feed/audit/a"),
            format!("{host}/API/V1/{tenant}/Activity/Feed/audit/a?{publisher}"),
        ),
        // The parser maps full-width letters and the ideographic full stop to the host that is sent to.
        (format!("https://ｍanage。office.com{FEED}/audit/a"), format!("{host}{FEED}/audit/a?{publisher}")),
        (format!(" {host}{FEED}/audit/a "), format!("{host}{FEED}/audit/a?{publisher}")),
        (
            format!("{FEED}/subscriptions/content?nextPage=1"),
            format!("{host}{FEED}/subscriptions/content?nextPage=1&{publisher}"),
        ),
        ("subscriptions/content?nextPage=1".into(), format!("{host}{FEED}/subscriptions/content?nextPage=1&{publisher}")),
        ("?nextPage=1".into(), String::new()),
        (format!("//manage.office.com{FEED}/audit/a"), format!("{host}{FEED}/audit/a?{publisher}")),
        (format!("{host}{FEED}/audit/../audit/a"), format!("{host}{FEED}/audit/a?{publisher}")),
        (
            format!(
                "{host}/api/v1/{TENANT}/activity/feed/subscriptions/content?contentType=Audit.General&startTime=2026-03-01T00:00:00&nextPage=2026030100R022885001761"
            ),
            format!(
                "{host}/api/v1/{TENANT}/activity/feed/subscriptions/content?contentType=Audit.General&startTime=2026-03-01T00:00:00&nextPage=2026030100R022885001761&{publisher}"
            ),
        ),
    ] {
        match microsoft().checked(&given) {
            Ok(url) => assert_eq!(url.as_str(), sent, "{given}"),
            // A query alone names no page below the feed.
            Err(foreign) => assert!(sent.is_empty(), "{given}: {foreign}"),
        }
    }
}

#[test]
fn no_trick_leads_the_token_astray() {
    assert!(TRICKS.len() >= 200, "{} tricks", TRICKS.len());
    let distinct: std::collections::BTreeSet<_> = TRICKS.iter().map(|(given, _)| given).collect();
    assert_eq!(distinct.len(), TRICKS.len(), "a trick stands there twice");
    let filled = |text: &str| {
        let host = "https://manage.office.com";
        text.replace("{h}", host).replace("{f}", FEED).replace("{t}", TENANT).replace("{o}", OTHER)
    };
    let mut wrong = Vec::new();
    for (given, fate) in TRICKS {
        let given = filled(given);
        let expected = match fate {
            Fate::Sent(sent) => Ok(format!("{}?PublisherIdentifier=22222222-0000-4000-8000-000000000002", filled(sent))),
            Fate::NotAUrl => Err(Foreign::NotAUrl),
            Fate::Scheme(scheme) => Err(Foreign::Scheme((*scheme).to_owned())),
            Fate::Host(host) => Err(Foreign::Host((*host).to_owned())),
            Fate::UserInfo => Err(Foreign::UserInfo),
            Fate::Path => Err(Foreign::Path),
        };
        let found = microsoft().checked(&given).map(String::from);
        if found != expected {
            wrong.push(format!("{given:?}\n  is      {found:?}\n  and not {expected:?}"));
        }
        leads_nowhere_else(&given);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TRICKS.len(), wrong.join("\n"));
}

#[test]
fn no_url_is_longer_than_servers_take() {
    let long = |length: usize| format!("https://manage.office.com{FEED}/{}", "a".repeat(length));
    assert_eq!(microsoft().checked(&long(LONGEST_URL)), Err(Foreign::NotAUrl));
    assert!(microsoft().checked(&long(LONGEST_URL / 2)).is_ok());
}

#[test]
fn a_url_may_be_sixteen_kibibytes_long() {
    let of_length = |length: usize| {
        let head = format!("https://manage.office.com{FEED}/audit/");
        format!("{head}{}", "a".repeat(length - head.len()))
    };
    assert!(microsoft().checked(&of_length(16_384)).is_ok());
    assert_eq!(microsoft().checked(&of_length(16_385)), Err(Foreign::NotAUrl));
}

#[test]
fn a_refusal_names_what_is_foreign() {
    let said = |given: &str| microsoft().checked(given).unwrap_err().to_string();
    assert_eq!(said(""), "it is no URL");
    assert_eq!(said(&format!("ftp://manage.office.com{FEED}/a")), "its scheme is ftp");
    assert_eq!(said(&format!("https://evil.example:444{FEED}/a")), "its host is evil.example:444");
    assert_eq!(said(&format!("https://user@manage.office.com{FEED}/a")), "it carries a user name");
    assert_eq!(said("https://manage.office.com/"), "its path is outside the tenant's feed");
}

#[test]
fn escapes_are_resolved_once() {
    for (text, expected) in [("a%24b%2Bc", "a$b+c"), ("%2525", "%25"), ("%zz%2", "%zz%2"), ("%ff", "\u{fffd}"), ("", "")] {
        assert_eq!(decoded(text), expected, "{text}");
    }
}

#[test]
fn loopback_is_as_exact() {
    let local = origin("http://127.0.0.1:8080");
    assert!(local.checked(&format!("http://127.0.0.1:8080{FEED}/audit/a")).is_ok());
    for bad in [
        format!("http://127.0.0.1:8081{FEED}/audit/a"),
        format!("http://127.0.0.1{FEED}/audit/a"),
        format!("http://127.0.0.2:8080{FEED}/audit/a"),
        format!("http://localhost:8080{FEED}/audit/a"),
        format!("https://127.0.0.1:8080{FEED}/audit/a"),
        format!("https://manage.office.com{FEED}/audit/a"),
    ] {
        assert!(local.checked(&bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever is let through leads, in the eyes of the parser that sends it, to the origin.
    #[test]
    fn nothing_that_passes_leads_elsewhere(
        head in prop::sample::select(vec!["https://manage.office.com", "https://", "//", "", "https:", "http://", "https://manage.office.com@"]),
        middle in "[a-z@:/\\\\.%#?\t;2ef0-9\\[\\]-]{0,20}",
        tail in prop::sample::select(vec![FEED, "/audit/a", "", "/.."]),
        end in "[a-z@:/.%#?&=$]{0,12}",
    ) {
        let given = format!("{head}{middle}{tail}{end}");
        if let Ok(url) = microsoft().checked(&given) {
            let again = Url::parse(url.as_str()).unwrap();
            prop_assert_eq!(again.origin(), Url::parse("https://manage.office.com").unwrap().origin());
            prop_assert!(again.username().is_empty() && again.password().is_none());
            prop_assert!(again.path().to_ascii_lowercase().starts_with("/api/v"));
            prop_assert!(again.query().unwrap().to_ascii_lowercase().contains("publisheridentifier="));
        }
    }
}
