//! The model against each documented rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::super::config::{LongWindows, RetryAfter, ServiceConfig, Subscribed, ThrottleStyle};
use super::super::content::NewBlob;
use super::super::faults::{Content, Fault, Rule, Target, When};
use super::super::message::{Delivery, Request, Response};
use super::super::story::{self, mail, noise, records};
use super::Service;
use crate::domain::{ContentType, Time};

const TENANT: &str = super::super::config::DEFAULT_TENANT;
const HOST: &str = "http://127.0.0.1:8080";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Time {
    Time::parse("2026-03-08T12:00:00Z").unwrap()
}

/// A client that does things right, one call at a time.
struct Client {
    service: Service,
    token: String,
    now: Time,
}

impl Client {
    fn new(change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = ServiceConfig::new(now());
        config.blobs_per_hour = 0;
        config.token_lifetime = 30 * DAY;
        change(&mut config);
        let mut service = Service::new(config);
        let token = service.issue_token(now()).unwrap();
        Self { service, token, now: now() }
    }

    fn faulty(target: Target, fault: Fault, when: When) -> Self {
        Self::new(|c| {
            c.blobs_per_hour = 60;
            c.faults = vec![Rule::new(target, fault, when)];
        })
    }

    fn send(&mut self, request: Request) -> Response {
        let request = request.header("Host", "127.0.0.1:8080").bearer(&self.token);
        self.service.handle(&request, self.now)
    }

    fn get(&mut self, path: &str) -> Response {
        self.send(Request::get(&target(path)))
    }

    fn post(&mut self, path: &str) -> Response {
        self.send(Request::post(&target(path)))
    }

    fn list(&mut self, from: Time, to: Time) -> Response {
        self.get(&format!("subscriptions/content?contentType=Audit.General&startTime={}&endTime={}", from.query(), to.query()))
    }

    /// All entries of a window, over all pages.
    fn all(&mut self, from: Time, to: Time) -> Vec<Value> {
        let mut reply = self.list(from, to);
        let mut entries = Vec::new();
        loop {
            assert_eq!(reply.status, 200, "{:?}", reply.bytes());
            entries.extend(json(&reply).as_array().unwrap().clone());
            let Some(next) = reply.header("nextpageuri").map(str::to_owned) else { return entries };
            reply = self.follow(&next);
        }
    }

    /// Follows a link with the publisher id added.
    fn follow(&mut self, uri: &str) -> Response {
        let mark = if uri.contains('?') { '&' } else { '?' };
        let request = Request::get(&format!("{uri}{mark}PublisherIdentifier={TENANT}")).bearer(&self.token);
        self.service.handle(&request, self.now)
    }
}

fn target(path: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("/api/v1.0/{TENANT}/activity/feed/{path}{mark}PublisherIdentifier={TENANT}")
}

fn json(reply: &Response) -> Value {
    serde_json::from_slice(&reply.bytes()).unwrap()
}

fn outcome(reply: &Response) -> (u16, String) {
    (reply.status, reply.error_code().unwrap_or_default())
}

fn uris(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|e| e["contentUri"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn token_endpoints_check_the_form() {
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", "c"),
        ("client_secret", "s+/="),
        ("scope", "https://manage.office.com/.default"),
        ("resource", "https://manage.office.com"),
    ];
    // What is changed (no value: left out), the endpoint, and the outcome.
    let table: [(&str, Option<&str>, &str, u16, &str); 14] = [
        ("", None, "v2.0/", 200, ""),
        ("", None, "", 200, ""),
        ("grant_type", None, "v2.0/", 400, "invalid_request"),
        ("grant_type", Some("password"), "v2.0/", 400, "unsupported_grant_type"),
        ("client_id", None, "v2.0/", 400, "invalid_request"),
        ("client_id", Some("x"), "v2.0/", 400, "unauthorized_client"),
        ("client_secret", None, "v2.0/", 401, "invalid_client"),
        ("client_secret", Some("s /="), "v2.0/", 401, "invalid_client"),
        ("scope", None, "v2.0/", 400, "invalid_request"),
        ("scope", Some("https://manage.office.com"), "v2.0/", 400, "invalid_scope"),
        ("scope", Some("https://graph.microsoft.com/.default"), "v2.0/", 400, "invalid_resource"),
        ("scope", Some("http://127.0.0.1:8080/.default"), "v2.0/", 200, ""),
        ("resource", None, "", 400, "invalid_request"),
        ("resource", Some("https://graph.microsoft.com"), "", 400, "invalid_resource"),
    ];
    let mut config = ServiceConfig::new(now());
    config.client_id = Some("c".to_owned());
    config.client_secret = Some("s+/=".to_owned());
    let mut service = Service::new(config);
    for (name, value, version, status, error) in table {
        let form: Vec<_> = good
            .iter()
            .filter(|(n, _)| *n != name || value.is_some())
            .map(|(n, v)| (*n, if *n == name { value.unwrap_or_default() } else { *v }))
            .collect();
        let request = Request::post(&format!("{HOST}/{TENANT}/oauth2/{version}token")).form(&form);
        let reply = service.handle(&request, now());
        let body = json(&reply);
        assert_eq!((reply.status, body["error"].as_str().unwrap_or_default()), (status, error), "{name} {value:?}");
        if status == 200 {
            assert_eq!(body["token_type"], "Bearer");
            let life = if version.is_empty() { Value::from("3599") } else { Value::from(3599) };
            assert_eq!(body["expires_in"], life);
        } else {
            assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS"));
            assert!(body["error_codes"][0].is_u64());
        }
    }
    let other = Request::post(&format!("{HOST}/contoso.com/oauth2/v2.0/token")).form(&good);
    assert_eq!(json(&service.handle(&other, now()))["error_codes"][0], 90002);
    let domain = Request::post(&format!("{HOST}/contoso.example/oauth2/v2.0/token")).form(&good);
    assert_eq!(service.handle(&domain, now()).status, 200);
    let mut not_a_form = domain.clone();
    not_a_form.headers.retain(|(n, _)| n != "Content-Type");
    assert_eq!(service.handle(&not_a_form, now()).status, 400);
}

#[test]
fn tokens_open_the_api_until_they_expire() {
    let mut client = Client::new(|c| c.token_lifetime = MINUTE);
    assert_eq!(client.get("subscriptions/list").status, 200);
    client.now = now() + MINUTE - Duration::from_millis(1);
    assert_eq!(client.get("subscriptions/list").status, 200);
    client.now = now() + MINUTE;
    assert_eq!(outcome(&client.get("subscriptions/list")), (401, String::new()));
    client.token = "made-up".to_owned();
    assert_eq!(client.get("subscriptions/list").status, 401);
    let bare = client.service.handle(&Request::get(&target("subscriptions/list")), now());
    assert_eq!((bare.status, bare.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(client.service.ledger().bad_tokens, 3);
}

#[test]
fn a_token_without_the_role_opens_nothing_and_consent_needs_a_new_one() {
    let mut client = Client::new(|c| c.roles = vec!["ServiceHealth.Read".to_owned()]);
    assert_eq!(outcome(&client.get("subscriptions/list")), (401, "AF10001".to_owned()));
    client.service.set_roles(&["ActivityFeed.Read"]);
    assert_eq!(client.get("subscriptions/list").status, 401);
    client.token = client.service.issue_token(now()).unwrap();
    assert_eq!(client.get("subscriptions/list").status, 200);
}

#[test]
fn every_path_checks_tenant_method_and_publisher() {
    let mut client = Client::new(|_| {});
    let root = |tenant: &str| format!("/api/v1.0/{tenant}/activity/feed/subscriptions/list");
    let p = format!("PublisherIdentifier={TENANT}");
    let table = [
        (Request::get(&format!("{}?{p}", root(TENANT))), 200, ""),
        (Request::get(&format!("{}?{p}", root("contoso.com"))), 400, "AF20013"),
        (Request::get(&format!("{}?{p}", root("22222222-0000-4000-8000-000000000002"))), 403, "AF20010"),
        (Request::get(&format!("{}?PublisherIdentifier=me", root(TENANT))), 400, "AF20002"),
        (Request::get(&root(TENANT)), 200, ""),
        (Request::post(&format!("{}?{p}", root(TENANT))), 405, ""),
        (Request::new("HEAD", &format!("{}?{p}", root(TENANT))), 405, ""),
        (Request::new("DELETE", &target("subscriptions/start")), 405, ""),
        (Request::get(&format!("/{TENANT}/oauth2/token")), 405, ""),
        (Request::get("/api/v1.0/x/activity/feed/elsewhere"), 404, ""),
        (Request::get("/%00%ff?%%%&=&&contentType"), 404, ""),
        (Request::new("", ""), 404, ""),
    ];
    for (request, status, code) in table {
        let shown = format!("{request:?}");
        assert_eq!(outcome(&client.send(request)), (status, code.to_owned()), "{shown}");
    }
    assert_eq!(client.service.ledger().without_publisher, 1);
}

#[test]
fn subscriptions_start_stop_and_wait() {
    let mut client = Client::new(|c| c.subscribed = Subscribed::Never);
    let start = "subscriptions/start?contentType=Audit.General";
    assert_eq!(json(&client.get("subscriptions/list")), serde_json::json!([]));
    assert_eq!(outcome(&client.list(now() - HOUR, now())), (400, "AF20022".to_owned()));
    assert_eq!(outcome(&client.post("subscriptions/start?contentType=audit.nonsense")), (400, "AF20020".to_owned()));
    assert_eq!(outcome(&client.post("subscriptions/start")), (400, "AF20001".to_owned()));
    assert_eq!(json(&client.post(start))["status"], "enabled");
    assert_eq!(json(&client.get("subscriptions/list"))[0]["contentType"], "Audit.General");
    assert_eq!(client.list(now() - HOUR, now()).status, 200);

    // A second start says that it is enabled; one after a stop has to wait a quarter of an hour from the last request.
    client.now = now() + MINUTE;
    assert_eq!(outcome(&client.post(start)), (400, "AF20024".to_owned()));
    let stopped = client.post("subscriptions/stop?contentType=Audit.General");
    assert_eq!((stopped.status, stopped.bytes().len()), (200, 0));
    assert_eq!(outcome(&client.post("subscriptions/stop?contentType=Audit.General")), (400, "AF20022".to_owned()));
    assert_eq!(outcome(&client.list(now() - HOUR, now())), (400, "AF20022".to_owned()));
    client.now = now() + 15 * MINUTE;
    assert_eq!(outcome(&client.post(start)), (403, "AF429".to_owned()));
    assert_eq!(client.service.ledger().starts_too_soon, 2);
    client.now = now() + 30 * MINUTE;
    assert_eq!(client.post(start).status, 200);

    client.service.disable_subscriptions(client.now);
    assert_eq!(json(&client.get("subscriptions/list"))[0]["status"], "disabled");
    assert_eq!(outcome(&client.list(now() - HOUR, now())), (400, "AF20023".to_owned()));
    client.now = now() + HOUR;
    assert_eq!(client.post(start).status, 200);
}

#[test]
fn content_of_a_stopped_stretch_never_comes() {
    let at = |m: u32| now() + m * MINUTE;
    let mut client = Client::new(|_| {});
    for (minute, id) in [(1, "before"), (20, "between"), (40, "after")] {
        client.service.add_blob(NewBlob::new(at(minute), records([mail(id)])));
    }
    client.now = at(10);
    assert_eq!(client.post("subscriptions/stop?contentType=Audit.General").status, 200);
    client.now = at(30);
    assert_eq!(client.service.truth(at(30)).ids(), BTreeSet::from(["before".to_owned()]));
    assert_eq!(client.post("subscriptions/start?contentType=Audit.General").status, 200);
    client.now = at(50);
    assert_eq!(client.all(now(), at(50)).len(), 2);
    assert_eq!(client.service.truth(at(50)).ids(), BTreeSet::from(["before".to_owned(), "after".to_owned()]));
}

#[test]
fn history_before_the_first_start_is_there_or_not() {
    for history in [true, false] {
        let mut client = Client::new(|c| {
            c.subscribed = Subscribed::Never;
            c.history_before_start = history;
            c.first_content_delay = 2 * MINUTE;
        });
        client.service.add_blob(NewBlob::new(now() - HOUR, records([mail("a")])));
        assert_eq!(client.post("subscriptions/start?contentType=Audit.General").status, 200);
        assert_eq!(client.all(now() - 2 * HOUR, now()).len(), 0);
        client.now = now() + 2 * MINUTE;
        assert_eq!(client.all(now() - 2 * HOUR, now()).len(), usize::from(history));
        assert_eq!(client.service.truth(client.now).ids().len(), usize::from(history));
    }
}

#[test]
fn start_bodies_are_read() {
    let mut client = Client::new(|c| c.subscribed = Subscribed::Never);
    let table = [
        ("{}", 200, ""),
        ("not json", 400, "AF20002"),
        (r#"{"webhook":{"address":"https://hook.example/","expiration":"2020-01-01T00:00:00Z"}}"#, 400, "AF20003"),
        (r#"{"webhook":{"address":"https://hook.example/","expiration":""}}"#, 400, "AF20021"),
        (r#"{"webhook":{"address":"https://hook.example/","expiration":"soon"}}"#, 400, "AF20002"),
        (r#"{"webhook":{}}"#, 400, "AF20001"),
        (r#"{"webhook":null}"#, 400, "AF20024"),
    ];
    for (body, status, code) in table {
        let mut request = Request::post(&target("subscriptions/start?contentType=Audit.General"));
        request.body = body.into();
        assert_eq!(outcome(&client.send(request)), (status, code.to_owned()), "{body}");
    }
}

#[test]
fn listings_keep_the_rules_of_time() {
    let mut client = Client::new(|_| {});
    let content = |rest: &str| format!("subscriptions/content?contentType=Audit.General{rest}");
    let table = [
        ("", 200, ""),
        ("&startTime=2026-03-08T10:00:00&endTime=2026-03-08T11:00:00", 200, ""),
        ("&startTime=2026-03-08T10:00&endTime=2026-03-08T11:00", 200, ""),
        ("&startTime=2026-03-07&endTime=2026-03-08", 200, ""),
        ("&startTime=2026-03-08T10:00:00Z&endTime=2026-03-08T11:00:00.123Z", 200, ""),
        ("&startTime=2026-03-08T10:00:00%2B00:00&endTime=2026-03-08T11:00:00%2B00:00", 200, ""),
        ("&startTime=2026-03-08T10:00:00+00:00&endTime=2026-03-08T11:00:00+00:00", 400, "AF20002"),
        ("&startTime=yesterday&endTime=2026-03-08", 400, "AF20002"),
        ("&startTime=2026-03-08", 400, "AF20030"),
        ("&endTime=2026-03-08", 400, "AF20030"),
        ("&startTime=2026-03-08T11:00:00&endTime=2026-03-08T11:00:00", 400, "AF20055"),
        ("&startTime=2026-03-08T11:00:00&endTime=2026-03-08T10:00:00", 400, "AF20055"),
        ("&startTime=2026-03-07T10:00:00&endTime=2026-03-08T10:00:01", 400, "AF20055"),
        ("&startTime=2026-03-07T10:00:00&endTime=2026-03-08T10:00:00", 200, ""),
        ("&startTime=2026-03-01T12:00:00&endTime=2026-03-01T13:00:00", 200, ""),
        ("&startTime=2026-03-01T11:59:59&endTime=2026-03-01T13:00:00", 400, "AF20055"),
        ("&startTime=2026-03-08T11:00:00&endTime=2026-03-08T20:00:00", 200, ""),
        ("&startTime=9999999-01-01T00:00:00&endTime=2026-03-08T20:00:00", 400, "AF20002"),
        ("&startTime=0001-01-01T00:00:00&endTime=0001-01-01T01:00:00", 400, "AF20002"),
        ("&startTime=2026-03-08T11:00:00&endTime=2026-03-08T12:00:00&nextPage=made-up", 400, "AF20031"),
    ];
    for (rest, status, code) in table {
        assert_eq!(outcome(&client.get(&content(rest))), (status, code.to_owned()), "{rest}");
        assert_eq!(outcome(&client.get(&content(rest).replace("content?", "notifications?"))).0, status, "{rest}");
    }
    assert_eq!(outcome(&client.get("subscriptions/content?startTime=2026-03-08&endTime=2026-03-09")).1, "AF20001");
    assert_eq!(outcome(&client.get("subscriptions/content?contentType=Audit.Exchange")).1, "AF20022");
}

#[test]
fn windows_are_half_open_and_entries_have_their_form() {
    let mut client = Client::new(|_| {});
    let at = |text| Time::parse(text).unwrap();
    for created in ["2026-03-08T10:00:00.000Z", "2026-03-08T10:59:59.999Z", "2026-03-08T11:00:00.000Z"] {
        client.service.add_blob(NewBlob::new(at(created), records([noise("n")])));
    }
    let entries = client.all(at("2026-03-08T10:00:00Z"), at("2026-03-08T11:00:00Z"));
    let created: Vec<_> = entries.iter().map(|e| e["contentCreated"].as_str().unwrap()).collect();
    assert_eq!(created, ["2026-03-08T10:00:00.000Z", "2026-03-08T10:59:59.999Z"]);
    let entry = entries[1].as_object().unwrap();
    assert_eq!(entry["contentType"], "Audit.General");
    assert_eq!(entry["contentExpiration"], "2026-03-15T10:59:59.999Z");
    let id = entry["contentId"].as_str().unwrap();
    assert!(id.ends_with("$audit_general$Audit_General$emea0001") && id.contains("$20260308105959999"), "{id}");
    assert_eq!(entry["contentUri"], format!("{HOST}/api/v1.0/{TENANT}/activity/feed/audit/{id}"));
    assert_eq!(entry.len(), 5);
}

#[test]
fn long_windows_may_be_partial() {
    let mut client = Client::new(|c| c.long_windows = LongWindows::Partial);
    for hours in [40, 30, 5] {
        client.service.add_blob(NewBlob::new(now() - hours * HOUR, "[]"));
    }
    assert_eq!(client.all(now() - 48 * HOUR, now()).len(), 2);
}

#[test]
fn pages_are_complete_and_in_order() {
    for page_size in [1, 7, 60, 1000] {
        let mut client = Client::new(|c| {
            c.blobs_per_hour = 60;
            c.page_size = page_size;
        });
        client.service.add_blob(NewBlob::new(now() - 30 * MINUTE, "[]"));
        let first = client.list(now() - HOUR, now());
        if let Some(next) = first.header("NextPageUri") {
            assert!(next.starts_with(&format!("{HOST}/api/v1/{TENANT}/activity/feed/subscriptions/content?")), "{next}");
            assert!(next.contains("startTime=2026-03-08T11:00:00&endTime=2026-03-08T12:00:00&nextPage="), "{next}");
            assert!(!next.contains("PublisherIdentifier"));
        }
        let ids: Vec<_> = client.all(now() - HOUR, now()).iter().map(|e| e["contentId"].to_string()).collect();
        assert_eq!(ids.len(), 61, "{page_size}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 61);
        let created: Vec<_> = client.all(now() - HOUR, now()).iter().map(|e| e["contentCreated"].to_string()).collect();
        assert!(created.is_sorted());
    }
}

#[test]
fn page_keys_hold_for_their_own_window_and_time_only() {
    let mut client = Client::new(|c| {
        c.blobs_per_hour = 60;
        c.page_size = 10;
        c.page_key_lifetime = Some(5 * MINUTE);
    });
    let next = client.list(now() - HOUR, now()).header("NextPageUri").unwrap().to_owned();
    assert_eq!(client.follow(&next).status, 200);
    let other = next.replace("startTime=2026-03-08T11:00:00", "startTime=2026-03-08T11:00:01");
    assert_eq!(outcome(&client.follow(&other)), (400, "AF20031".to_owned()));
    assert_eq!(outcome(&client.follow(&next[..next.len() - 1])), (400, "AF20031".to_owned()));
    client.now = now() + 5 * MINUTE;
    assert_eq!(client.follow(&next).status, 200);
    client.now = now() + 6 * MINUTE;
    assert_eq!(outcome(&client.follow(&next)), (400, "AF20031".to_owned()));
    // Without times the first page covers a day, and its link repeats that day.
    let open = client.get("subscriptions/content?contentType=Audit.General");
    assert!(open.header("NextPageUri").unwrap().contains("startTime=2026-03-07T12:06:00&endTime=2026-03-08T12:06:00&"));
}

#[test]
fn late_blobs_appear_behind_what_was_listed() {
    let mut client = Client::new(|_| {});
    client.service.add_blob(NewBlob::new(now() - 2 * HOUR, records([mail("late")])).listed_at(now() + HOUR));
    let id = client.service.add_blob(NewBlob::new(now() - HOUR, records([mail("punctual")])));
    assert_eq!(uris(&client.all(now() - 3 * HOUR, now())), [format!("{HOST}/api/v1.0/{TENANT}/activity/feed/audit/{id}")]);
    assert_eq!(client.service.truth(now()).ids().len(), 1);
    client.now = now() + HOUR;
    assert_eq!(client.all(now() - 3 * HOUR, now()).len(), 2);
    let truth = client.service.truth(client.now);
    assert_eq!(truth.ids().len(), 2);
    assert_eq!(truth.records[0].listed_at, now() + HOUR);

    let mut made = Client::new(|c| {
        c.blobs_per_hour = 60;
        c.late_share = 0.5;
        c.late_by = 2 * HOUR;
    });
    let before = made.all(now() - HOUR, now()).len();
    made.now = now() + 3 * HOUR;
    let after = made.all(now() - HOUR, now()).len();
    assert!(before < 45 && after == 60, "{before} {after}");
}

#[test]
fn blobs_expire_and_unknown_ones_are_not_there() {
    let mut client = Client::new(|_| {});
    let id = client.service.add_blob(NewBlob::new(now(), records([mail("a")])));
    let path = format!("audit/{id}");
    assert_eq!(client.get(&path).status, 200);
    assert_eq!(client.get(&path.replace('$', "%24")).status, 200);
    let soon = client.service.add_blob(NewBlob::new(now(), "[]").listed_at(now() + HOUR));
    assert_eq!(outcome(&client.get(&format!("audit/{soon}"))), (404, "AF20050".to_owned()));
    assert_eq!(outcome(&client.get(&format!("{path}x"))), (404, "AF20050".to_owned()));
    assert_eq!(outcome(&client.get("audit/nonsense")), (400, "AF20052".to_owned()));
    assert_eq!(client.service.fetches(&id), 2);
    client.now = now() + 7 * DAY;
    assert_eq!(outcome(&client.get(&path)), (400, "AF20051".to_owned()));
    assert!(!client.service.truth(client.now).records[0].obtainable);
    assert_eq!(client.all(client.now - 7 * DAY, client.now - 6 * DAY).len(), 0);
}

#[test]
fn expired_blobs_may_still_be_listed() {
    for lists in [true, false] {
        let mut client = Client::new(|c| c.lists_expired = lists);
        client.service.add_blob(NewBlob::new(now() - HOUR, "[]").expires(now()));
        assert_eq!(client.all(now() - 2 * HOUR, now()).len(), usize::from(lists));
    }
}

#[test]
fn the_quota_slides() {
    let table = [
        (ThrottleStyle { status: 403, retry_after: RetryAfter::Absent }, None),
        (ThrottleStyle { status: 429, retry_after: RetryAfter::Fixed(Duration::from_millis(1500)) }, Some("2")),
        (ThrottleStyle { status: 429, retry_after: RetryAfter::Computed }, Some("60")),
    ];
    for (style, header) in table {
        let mut client = Client::new(|c| {
            c.quota = Some(5);
            c.throttle = style;
        });
        for _ in 0..5 {
            assert_eq!(client.get("subscriptions/list").status, 200);
        }
        let refused = client.get("subscriptions/list");
        assert_eq!(outcome(&refused), (style.status, "AF429".to_owned()));
        assert_eq!(refused.header("retry-after"), header);
        assert!(String::from_utf8_lossy(&refused.bytes()).contains(&format!("Method=ListSubscriptions, PublisherId={TENANT}")));
        client.now = now() + Duration::from_secs(1);
        client.get("subscriptions/list");
        assert_eq!(client.service.ledger().during_pause, u64::from(header.is_some()), "{style:?}");
        client.now = now() + Duration::from_secs(60);
        assert_eq!(client.get("subscriptions/list").status, 200);
        let ledger = client.service.ledger();
        assert_eq!((ledger.throttled, ledger.most_per_minute), (2, 7));
    }
}

#[test]
fn without_a_publisher_id_one_shares_a_small_quota() {
    let mut client = Client::new(|c| c.shared_quota = Some(1));
    let bare = format!("/api/v1.0/{TENANT}/activity/feed/subscriptions/list");
    assert_eq!(client.send(Request::get(&bare)).status, 200);
    let refused = client.send(Request::get(&bare));
    assert_eq!(refused.status, 403);
    assert!(String::from_utf8_lossy(&refused.bytes()).contains("PublisherId=00000000-0000-0000-0000-000000000000"));
    assert_eq!(client.get("subscriptions/list").status, 200);
}

#[test]
fn auditing_off_is_a_sentence() {
    let mut client = Client::new(|_| {});
    client.service.set_auditing(false);
    let reply = client.post("subscriptions/start?contentType=Audit.General");
    let (status, code) = outcome(&reply);
    assert!(status == 400 && code.starts_with("StartSubscription [CorrId="), "{code}");
    let body = String::from_utf8_lossy(&reply.bytes()).into_owned();
    assert!(body.contains(&format!("DataServiceException: Tenant {TENANT} does not exist.")), "{body}");
    client.service.set_auditing(true);
    assert_eq!(client.get("subscriptions/list").status, 200);
}

#[test]
fn resources_know_one_language() {
    let mut client = Client::new(|_| {});
    for (language, status, code) in [("en-US", 200, ""), ("en, fr", 400, "AF20053"), ("en;q=1", 400, "AF20054")] {
        let request = Request::get(&target("resources/dlpSensitiveTypes")).header("Accept-Language", language);
        assert_eq!(outcome(&client.send(request)), (status, code.to_owned()), "{language}");
    }
}

#[test]
fn equal_seeds_and_requests_give_equal_replies() {
    let run = |seed| {
        let mut client = Client::new(|c| {
            c.seed = seed;
            c.blobs_per_hour = 30;
            c.late_share = 0.2;
            c.repeat_share = 0.2;
            c.faults = vec!["throttle@0.2".parse().unwrap(), "cut@0.2".parse().unwrap(), "truncated".parse().unwrap()];
        });
        let mut trace = Vec::new();
        for i in 0..20 {
            client.now = now() + i * MINUTE;
            let reply = client.list(now() - HOUR, now());
            let links = if reply.status == 200 { uris(json(&reply).as_array().unwrap()) } else { Vec::new() };
            trace.push((reply.status, reply.bytes(), reply.delivery));
            for link in links.iter().take(5) {
                let reply = client.follow(link);
                trace.push((reply.status, reply.bytes(), reply.delivery));
            }
        }
        (trace, client.service.ledger().clone())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn scripted_faults_come_when_they_are_due() {
    let first = |fault, target| {
        let mut client = Client::faulty(target, fault, When::First(1));
        let reply = client.list(now() - HOUR, now());
        let good = client.list(now() - HOUR, now());
        assert_eq!((good.status, good.delivery), (200, Delivery::Whole));
        reply
    };
    let listing = |fault| first(fault, Target::Listing);
    let throttled = listing(Fault::Throttle { status: 429, retry_after: Some(Duration::from_secs(9)) });
    assert_eq!((outcome(&throttled), throttled.header("retry-after")), ((429, "AF429".to_owned()), Some("9")));
    for (words, status, code) in [
        ("error", 500, "AF50000"),
        ("error=502", 502, "AF50000"),
        ("error-html=503", 503, ""),
        ("error-empty=408", 408, ""),
        ("code=400/AF20012", 400, "AF20012"),
        ("stale-page", 400, "AF20031"),
        ("no-permission", 401, "AF10001"),
        ("wrong-tenant", 403, "AF20010"),
        ("not-found", 404, ""),
        ("unauthorized", 401, ""),
        ("error-object", 200, "AF50000"),
    ] {
        let reply = listing(words.parse::<Rule>().unwrap().fault);
        assert_eq!(outcome(&reply), (status, code.to_owned()), "{words}");
    }
    assert_eq!(listing(Fault::Reset).delivery, Delivery::ResetBeforeHead);
    assert_eq!(listing(Fault::Stall { after: None }).delivery, Delivery::Stall { after: None });
    assert_eq!(listing(Fault::Slow { bytes_per_second: 0 }).delivery, Delivery::Slow { bytes_per_second: 1 });
    let whole = listing(Fault::Slow { bytes_per_second: 9 }).bytes().len() as u64;
    assert_eq!(listing(Fault::Cut { after: None }).delivery, Delivery::Cut { after: whole / 2, chunked: false, reset: true });
    assert_eq!(
        listing(Fault::CutChunked { after: Some(u64::MAX) }).delivery,
        Delivery::Cut { after: whole - 1, chunked: true, reset: false }
    );
    for content in [Content::Truncated, Content::Garbage, Content::Empty, Content::Html] {
        let reply = listing(Fault::Wrong(content));
        assert_eq!((reply.status, reply.delivery), (200, Delivery::Whole));
        assert!(serde_json::from_slice::<Value>(&reply.bytes()).is_err(), "{content:?}");
    }
    assert_eq!(listing(Fault::Wrong(Content::EmptyArray)).bytes(), "[]");
}

#[test]
fn listings_break_in_all_their_ways() {
    let with = |fault, when| {
        let mut client = Client::faulty(Target::Listing, fault, when);
        client.service.config.page_size = 20;
        client
    };
    let empty = &mut with(Fault::EmptyPage, When::Nth(2));
    assert_eq!(empty.all(now() - HOUR, now()).len(), 60);
    let first = with(Fault::EmptyPage, When::First(1)).list(now() - HOUR, now());
    assert!(first.bytes() == "[]" && first.header("nextpageuri").is_some());
    for when in [When::First(1), When::Nth(2), When::Nth(3)] {
        let entries = with(Fault::RepeatEntry, when).all(now() - HOUR, now());
        let distinct: BTreeSet<_> = entries.iter().map(|e| e["contentId"].to_string()).collect();
        assert_eq!((entries.len(), distinct.len()), (61, 60), "{when:?}");
    }
    let looped = &mut with(Fault::PageLoop, When::Nth(2));
    assert_eq!(looped.all(now() - HOUR, now()).len(), 20 + 20 + 60);

    let trap = &mut with(Fault::ForeignUri, When::First(1));
    let links = uris(json(&trap.list(now() - HOUR, now())).as_array().unwrap());
    assert!(links.iter().all(|l| l.starts_with("http://localhost:8080/")), "{links:?}");
    assert_eq!(trap.service.ledger().foreign, 0);
    trap.follow(&links[0]);
    let ledger = trap.service.ledger();
    assert_eq!((ledger.foreign, ledger.foreign_with_token), (1, 1));
    assert!(!ledger.offences().is_empty());
}

#[test]
fn subscriptions_vanish_and_come_back() {
    for (fault, code) in [(Fault::NoSubscription, "AF20022"), (Fault::Disabled, "AF20023")] {
        let mut client = Client::faulty(Target::FirstPage, fault, When::Nth(2));
        assert_eq!(client.list(now() - HOUR, now()).status, 200);
        assert_eq!(outcome(&client.list(now() - HOUR, now())).1, code);
        assert_eq!(outcome(&client.list(now() - HOUR, now())).1, code);
        client.now = now() + HOUR;
        assert_eq!(client.post("subscriptions/start?contentType=Audit.General").status, 200);
        assert_eq!(client.all(now() - HOUR, client.now).len(), 60, "the dark hour is lost");
    }
}

#[test]
fn a_revoked_token_stays_revoked() {
    let mut client = Client::faulty(Target::Api, Fault::RevokeToken, When::Nth(2));
    let statuses: Vec<_> = (0..3).map(|_| client.get("subscriptions/list").status).collect();
    assert_eq!(statuses, [200, 401, 401]);
    client.token = client.service.issue_token(now()).unwrap();
    assert_eq!(client.get("subscriptions/list").status, 200);
}

#[test]
fn wrong_once_and_poison_count_by_blob() {
    let mut client = Client::new(|c| {
        c.blobs_per_hour = 60;
        c.faults = vec!["truncated@blobs/0.3".parse().unwrap(), "missing@poison/0.2".parse().unwrap()];
    });
    let links = uris(&client.all(now() - HOUR, now()));
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    for link in &links {
        let fate: String = (0..3)
            .map(|_| {
                let reply = client.follow(link);
                match (reply.status, serde_json::from_slice::<Value>(&reply.bytes()).is_ok()) {
                    (200, true) => 'g',
                    (200, false) => 't',
                    _ => 'm',
                }
            })
            .collect();
        *fates.entry(fate).or_insert(0) += 1;
    }
    assert_eq!(fates.keys().map(String::as_str).collect::<Vec<_>>(), ["ggg", "mmm", "tgg", "tmm"]);
    let spoilt = fates["mmm"] + fates["tmm"];
    assert_eq!(client.service.blobs(now()).filter(|b| b.created >= now() - HOUR && b.spoilt).count() as u64, spoilt);
    let sent = client.service.blobs(now()).filter(|b| b.sent > 0).count() as u64;
    assert_eq!(sent, 60 - spoilt);
    assert_eq!(client.service.ledger().blobs_fetched, 60);
    assert_eq!(client.service.ledger().most_fetches_of_one, 3);
}

#[test]
fn a_listing_that_starts_at_a_blob_may_bring_half_of_it() {
    let mut client = Client::new(|c| c.partial_at_start = true);
    client.service.add_blob(NewBlob::new(now() - HOUR + Duration::from_millis(20), records(["a", "b", "c", "d"].map(mail))));
    let length = |client: &mut Client, from| {
        let link = uris(&client.all(from, now())).remove(0);
        json(&client.follow(&link)).as_array().unwrap().len()
    };
    assert_eq!(length(&mut client, now() - HOUR), 2);
    assert_eq!(client.service.truth(now()).records[0].sent, 0);
    assert_eq!(length(&mut client, now() - HOUR - MINUTE), 4);
    assert_eq!(client.service.truth(now()).records[0].sent, 1);
}

#[test]
fn keys_may_come_in_another_order_each_time() {
    let mut client = Client::new(|c| {
        c.blobs_per_hour = 60;
        c.shuffles_keys = true;
    });
    let link = uris(&client.all(now() - HOUR, now())).remove(0);
    let (one, two) = (client.follow(&link), client.follow(&link));
    assert_ne!(one.bytes(), two.bytes());
    assert_eq!(json(&one), json(&two));
}

#[test]
fn the_truth_is_what_a_patient_client_gets() {
    let (mut service, now) = story::service()
        .at(now())
        .seed(5)
        .content(40, story::hours_ago(5))
        .blob(story::minutes_ago(3), records([mail("own"), noise("n"), "null".to_owned()]))
        .put(NewBlob::new(now() - HOUR, "{\"RecordType\":28}").wanted(["told"]))
        .with(|c| c.repeat_share = 0.3)
        .build();
    let token = service.issue_token(now).unwrap();
    let mut client = Client { service: std::mem::replace(&mut service, Service::new(ServiceConfig::new(now))), token, now };
    let mut got = Vec::new();
    for link in uris(&client.all(now - 6 * HOUR, now)) {
        if let Value::Array(list) = json(&client.follow(&link)) {
            let wanted = list.iter().filter(|r| [28, 41, 47, 64].contains(&r["RecordType"].as_i64().unwrap_or(0)));
            got.extend(wanted.map(|r| r["Id"].as_str().unwrap().to_owned()));
        }
    }
    let truth = client.service.truth(now);
    got.push("told".to_owned());
    assert_eq!(got.len(), truth.records.len());
    assert!(truth.records.iter().any(|r| r.repeated) && truth.records.iter().all(|r| r.sent == 1 && r.obtainable));
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), truth.ids());
    assert_eq!(truth.to_ndjson().lines().count(), truth.records.len());
    assert_eq!(client.service.ledger().offences(), [] as [String; 0]);
    assert!(client.service.blobs(now).any(|b| b.elements == Some(3) && b.wanted == 1));
}

#[test]
fn secrets_in_wrong_places_are_seen() {
    let mut client = Client::new(|c| c.client_secret = Some("hush".to_owned()));
    let token = client.token.clone();
    client.get(&format!("subscriptions/list?x={token}"));
    client.get("subscriptions/list?x=hush");
    client.send(Request::post(&format!("/{TENANT}/oauth2/token")));
    assert_eq!(client.service.ledger().misplaced_secrets, 3);
}

#[test]
fn the_date_is_the_simulated_one_and_may_be_wrong() {
    let mut client = Client::new(|c| {
        c.date_skew_ms = 1_000;
        c.faults = vec![Rule::new(Target::Any, Fault::ClockSkew { millis: -3_600_000 }, When::Nth(2))];
    });
    assert_eq!(client.get("subscriptions/list").header("date"), Some("Sun, 08 Mar 2026 12:00:01 GMT"));
    assert_eq!(client.get("subscriptions/list").header("date"), Some("Sun, 08 Mar 2026 11:00:01 GMT"));
    assert!(client.send(Request::get("/nowhere")).header("date").is_some());
}

#[test]
fn a_large_tenant_costs_little() {
    let mut client = Client::new(|c| {
        c.blobs_per_hour = 8_000;
        c.content_from = now() - 7 * DAY;
        c.content_types.push(ContentType::DlpAll);
        c.page_size = 100;
    });
    // 1.3 million blobs: a page costs as much as in a small tenant.
    let next = client.list(now() - DAY, now()).header("nextpageuri").unwrap().to_owned();
    let entries = json(&client.follow(&next));
    assert_eq!(entries.as_array().unwrap().len(), 100);
    let link = entries[99]["contentUri"].as_str().unwrap().to_owned();
    assert_eq!(client.follow(&link).status, 200);
}

mod any_request {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gets_a_reply(
            method in "GET|POST|[A-Z]{0,6}",
            path in r"(/api/v1\.0/(11111111-0000-4000-8000-000000000001|x)/activity/feed/(subscriptions/(list|start|stop|content|notifications)|audit/\PC{0,40}|resources/dlpSensitiveTypes))|/\PC{0,40}|(/[a-z%0-9.]{0,8}){0,7}",
            query in r"((contentType|startTime|endTime|nextPage|PublisherIdentifier)=(Audit\.General|[0-9T:\-]{0,20}|\PC{0,12})&?){0,5}",
            header in "(Authorization|Host|Accept-Language|Content-Type)",
            value in r"\PC{0,20}|Bearer \PC{0,9}",
            body in prop::collection::vec(any::<u8>(), 0..60),
            good_token in any::<bool>(),
        ) {
            let mut client = Client::new(|c| c.blobs_per_hour = 5);
            let mut request = Request { method, path, query, headers: vec![(header, value)], body: body.into() };
            if good_token {
                request = request.bearer(&client.token);
                request.headers.rotate_right(1);
            }
            let reply = client.service.handle(&request, now());
            prop_assert!((200..600).contains(&reply.status));
            prop_assert!(reply.header("date").is_some());
        }
    }
}
