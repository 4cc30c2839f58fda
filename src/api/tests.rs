use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use super::*;
use crate::auth::Credentials;
use crate::domain::Refusal;
use crate::wire::test_server::{Seen, Step, TestServer, head, json, reply};
use crate::wire::{Body, HttpSettings, HttpTransport, WireErrorKind};

const TENANT: &str = "11111111-0000-4000-8000-000000000001";
const PUBLISHER: &str = "33333333-0000-4000-8000-000000000003";
const FEED: &str = "/api/v1.0/11111111-0000-4000-8000-000000000001/activity/feed";

fn client(server: &TestServer) -> Client<HttpTransport> {
    let transport = HttpTransport::new(HttpSettings::default()).unwrap();
    let credentials = Credentials {
        tenant: TENANT.parse().unwrap(),
        client_id: "22222222-0000-4000-8000-000000000002".into(),
        secret: Box::new(|| Ok(SecretString::from("made-up-secret"))),
        login_url: server.url("/"),
        scope: "https://manage.office.com".into(),
    };
    let tokens = TokenSource::new(transport.clone(), credentials);
    let settings = ApiSettings { api_url: server.url("/"), tenant: TENANT.parse().unwrap(), publisher: PUBLISHER.into() };
    Client::new(transport, settings, tokens)
}

fn window() -> Window {
    Window::new(Time::parse("2026-03-01T00:00:00Z").unwrap(), Time::parse("2026-03-02T00:00:00Z").unwrap()).unwrap()
}

fn is_token_request(seen: &Seen) -> bool {
    seen.target.ends_with("/oauth2/v2.0/token")
}

/// A service that grants `canary-token-1`, `-2`, … and answers the API's requests with `script`.
async fn service(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> TestServer {
    let count = AtomicUsize::new(0);
    TestServer::start(move |seen| {
        if is_token_request(seen) {
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            return json(200, &format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"canary-token-{n}"}}"#));
        }
        script(seen)
    })
    .await
}

fn api_requests(server: &TestServer) -> Vec<Seen> {
    server.seen().into_iter().filter(|s| !is_token_request(s)).collect()
}

fn token_requests(server: &TestServer) -> usize {
    server.seen().iter().filter(|s| is_token_request(s)).count()
}

async fn bytes<B: Body>(mut body: B) -> Vec<u8> {
    wire::read_whole(&mut body, 1 << 20).await.unwrap()
}

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"made up"}}}}"#)
}

#[tokio::test]
async fn each_call_is_the_documented_one_and_names_the_publisher() {
    let server = service(|_| json(200, "[]")).await;
    let client = client(&server);
    let general = ContentType::AuditGeneral;
    assert_eq!(client.subscriptions().await.unwrap().value, []);
    let date = client.start(general).await.unwrap().date;
    assert_eq!(date.map(Time::floor_second), Time::parse("2026-03-01T12:00:00Z"));
    client.stop(general).await.unwrap();
    client.list(general, window()).await.unwrap();
    client.next_page(server.url(&format!("{FEED}/subscriptions/content?nextPage=a$b%24")).as_str()).await.unwrap();
    client.blob(server.url(&format!("{FEED}/audit/1$2$x")).as_str()).await.unwrap();

    let seen = api_requests(&server);
    let calls: Vec<_> = seen.iter().map(|s| format!("{} {}", s.method, s.target)).collect();
    let publisher = format!("PublisherIdentifier={PUBLISHER}");
    assert_eq!(
        calls,
        [
            format!("GET {FEED}/subscriptions/list?{publisher}"),
            format!("POST {FEED}/subscriptions/start?contentType=Audit.General&{publisher}"),
            format!("POST {FEED}/subscriptions/stop?contentType=Audit.General&{publisher}"),
            format!(
                "GET {FEED}/subscriptions/content?contentType=Audit.General&startTime=2026-03-01T00:00:00&endTime=2026-03-02T00:00:00&{publisher}"
            ),
            format!("GET {FEED}/subscriptions/content?nextPage=a$b%24&{publisher}"),
            format!("GET {FEED}/audit/1$2$x?{publisher}"),
        ]
    );
    assert!(seen.iter().all(|s| s.bearer() == Some("canary-token-1")));
    assert!(seen.iter().filter(|s| s.method == "POST").all(|s| s.header("content-length") == Some("0")));
    assert_eq!(token_requests(&server), 1);
}

#[tokio::test]
async fn the_header_alone_says_whether_a_page_follows() {
    for (header, expected) in [
        (("NextPageUri", "https://x/1"), Some("https://x/1")),
        (("Nextpageuri", " https://x/1 "), Some("https://x/1")),
        (("nextpageurl", "https://x/1"), Some("https://x/1")),
        (("NextPageUri", ""), None),
        (("X-Next", "https://x/1"), None),
    ] {
        let server = service(move |_| reply(200, &[header, ("Date", "Sun, 01 Mar 2026 12:00:00 GMT")], "[]")).await;
        let page = client(&server).list(ContentType::AuditGeneral, window()).await.unwrap();
        assert_eq!(page.next.as_deref(), expected, "{header:?}");
        assert_eq!(page.date, Time::parse("2026-03-01T12:00:00Z"));
        assert_eq!(bytes(page.body).await, b"[]");
    }
    let server = service(|_| reply(200, &[("NextPageUrl", "b"), ("NextPageUri", "a")], "[]")).await;
    assert_eq!(client(&server).list(ContentType::AuditGeneral, window()).await.unwrap().next.as_deref(), Some("a"));
}

#[tokio::test]
async fn nothing_is_sent_to_a_foreign_origin() {
    let foreign = TestServer::start(|_| json(200, "[]")).await;
    let server = service(|_| json(200, "[]")).await;
    let client = client(&server);
    let path = format!("{FEED}/audit/x");
    let other_tenant = server.url(&path.replace(TENANT, "99999999-0000-4000-8000-000000000009"));
    let localhost = format!("http://localhost:{}{path}", server.port());
    for uri in
        [foreign.url(&path).as_str(), other_tenant.as_str(), &localhost, "https://manage.office.com/", "//evil.example/x", ""]
    {
        let blob = client.blob(uri).await.unwrap_err();
        let page = client.next_page(uri).await.unwrap_err();
        assert_eq!((blob.fault, blob.request), (Fault::ForeignOrigin, RequestKind::Blob), "{uri}");
        assert_eq!((page.fault, page.request), (Fault::ForeignOrigin, RequestKind::NextPage), "{uri}");
    }
    assert_eq!(foreign.connections(), 0);
    assert_eq!(server.connections(), 0, "not even a token is asked for");
}

#[tokio::test]
async fn redirects_are_refused_and_named() {
    let thief = TestServer::start(|_| json(200, "[]")).await;
    let location = thief.url("/stolen").to_string();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server = service(move |_| reply(status, &[("Location", &location)], "")).await;
        let client = client(&server);
        for failure in [
            client.list(ContentType::AuditGeneral, window()).await.unwrap_err(),
            client.blob(server.url(&format!("{FEED}/audit/x")).as_str()).await.unwrap_err(),
            client.start(ContentType::AuditGeneral).await.unwrap_err(),
        ] {
            assert_eq!(failure.fault, Fault::Refused(Refusal::WrongEndpoint));
            assert_eq!(failure.message, "redirected to 127.0.0.1, which is not followed");
        }
    }
    assert_eq!(thief.connections(), 0);
}

#[tokio::test]
async fn an_old_token_is_replaced_once_and_a_young_one_is_a_fault() {
    for (status, body, fault, tries) in [
        // A refusal without a reason is asked about once more, with another token.
        (401, String::new(), Fault::Refused(Refusal::Unknown), [(2, 2), (3, 4)]),
        (403, "<html>".into(), Fault::Refused(Refusal::Unknown), [(2, 2), (3, 4)]),
        // The first request obtains its token itself: for a lack of permission a new one would be no better.
        (401, error("AF10001"), Fault::Refused(Refusal::MissingPermission), [(1, 1), (2, 3)]),
        (403, error("AF10001"), Fault::Refused(Refusal::MissingPermission), [(1, 1), (2, 3)]),
    ] {
        let refused = body.clone();
        let server = service(move |_| json(status, &refused)).await;
        let client = client(&server);
        let failure = client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
        assert_eq!(failure.fault, fault);
        assert_eq!((token_requests(&server), api_requests(&server).len()), tries[0], "{status} {body}");
        // The next one finds an old token: one more try with a new one, then the fault.
        let failure = client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
        assert_eq!(failure.fault, fault);
        assert_eq!((token_requests(&server), api_requests(&server).len()), tries[1], "{status} {body}");
    }
}

#[tokio::test]
async fn what_a_new_token_can_not_mend_costs_none() {
    for (status, body) in [
        (403, error("AF429")),
        (403, r#"{"error":{"message":"Too many requests. Method=GetBlob"}}"#.into()),
        (401, error("AF20010")),
        (400, error("AF20022")),
        (404, String::new()),
        (429, String::new()),
        (500, String::new()),
    ] {
        let server =
            service(move |seen| if seen.target.contains("/list?") { json(200, "[]") } else { json(status, &body) }).await;
        let client = client(&server);
        client.subscriptions().await.unwrap();
        client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
        assert_eq!(token_requests(&server), 1);
    }
}

#[tokio::test]
async fn a_slow_request_takes_the_token_that_others_got_meanwhile() {
    let server = service(|seen| match (seen.bearer(), seen.target.contains("/audit/slow")) {
        (Some("canary-token-1"), true) => [vec![Step::Wait(Duration::from_millis(300))], json(401, "")].concat(),
        (Some("canary-token-1"), false) => json(401, ""),
        _ => json(200, "[]"),
    })
    .await;
    let client = client(&server);
    let slow = tokio::spawn({
        let (client, uri) = (client.clone(), server.url(&format!("{FEED}/audit/slow")));
        async move { client.blob(uri.as_str()).await.map(|_| ()) }
    });
    // The slow request obtains the token itself, so that by its own start alone it would be a fault.
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.list(ContentType::AuditGeneral, window()).await.unwrap();
    slow.await.unwrap().unwrap();
    assert_eq!(token_requests(&server), 2);
}

/// Found by the simulation: a request that was under way was sent again with a new token in the pause that another one's reply had
/// asked for.
#[tokio::test]
async fn a_request_is_not_sent_again_while_the_service_wants_silence() {
    let server = service(|seen| match (seen.bearer(), seen.target.contains("/audit/slow")) {
        (_, false) => reply(429, &[("Retry-After", "1")], ""),
        (Some("canary-token-1"), true) => [vec![Step::Wait(Duration::from_millis(200))], json(401, "")].concat(),
        _ => json(200, "[]"),
    })
    .await;
    let client = client(&server);
    let uri = server.url(&format!("{FEED}/audit/slow"));
    let began = std::time::Instant::now();
    let (blob, page) = tokio::join!(client.blob(uri.as_str()), client.list(ContentType::AuditGeneral, window()));
    assert!(blob.is_ok() && page.is_err());
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_that_was_taken_before_is_replaced_though_it_is_young() {
    let server = service(|seen| match (seen.bearer(), seen.target.contains("/audit/")) {
        (Some("canary-token-1"), true) => [vec![Step::Wait(Duration::from_millis(200))], json(401, "")].concat(),
        _ => json(200, "[]"),
    })
    .await;
    let client = client(&server);
    let uri = server.url(&format!("{FEED}/audit/slow"));
    // Both begin before there is a token; the listing is taken with it, the blob is not any more.
    let (blob, page) = tokio::join!(client.blob(uri.as_str()), client.list(ContentType::AuditGeneral, window()));
    assert!(blob.is_ok() && page.is_ok());
    assert_eq!(token_requests(&server), 2);
}

#[tokio::test]
async fn a_service_that_takes_no_token_is_not_asked_for_ever() {
    let server = service(|_| json(401, "")).await;
    let client = client(&server);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.list(ContentType::AuditGeneral, window()).await.map(|_| ()) })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().fault, Fault::Refused(Refusal::Unknown));
    }
    assert!(api_requests(&server).len() <= 20 * (1 + usize::from(NEWER_TOKENS)));
}

/// Tokens that the service revokes at will, while many requests run: none of them notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_tokens_never_surface() {
    let revoked: Arc<Mutex<HashSet<String>>> = Arc::default();
    let served = AtomicUsize::new(0);
    let book = revoked.clone();
    let server = service(move |seen| {
        let token = seen.bearer().unwrap().to_owned();
        let mut revoked = book.lock().unwrap();
        if revoked.contains(&token) {
            return json(401, "");
        }
        // Every fiftieth reply is the last one for its token.
        if served.fetch_add(1, Ordering::SeqCst) % 50 == 49 {
            revoked.insert(token);
        }
        json(200, "[]")
    })
    .await;
    let client = client(&server);
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    client.list(ContentType::AuditGeneral, window()).await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let revoked = revoked.lock().unwrap().len();
    assert!(revoked >= 7);
    assert!((revoked..=revoked + 1).contains(&token_requests(&server)), "{} for {revoked}", token_requests(&server));
}

#[tokio::test]
async fn subscriptions_are_read_and_their_errors_are_errors() {
    let server =
        service(|_| json(200, r#"[{"contentType":"audit.general","status":"Enabled"},{"contentType":"DLP.All"}]"#)).await;
    let list = client(&server).subscriptions().await.unwrap().value;
    assert_eq!(list.len(), 2);
    assert!(list[0].enabled && !list[1].enabled);

    for (status, body, fault) in [
        (200, error("AF20010"), Fault::Refused(Refusal::WrongTenant)),
        (200, error("AF429"), Fault::Throttled { retry_after: None }),
        (200, "{}".into(), Fault::BadReply),
        (200, String::new(), Fault::BadReply),
        (200, "<html>".into(), Fault::BadReply),
        (200, r#"[{"contentType":"#.into(), Fault::BadReply),
        (204, String::new(), Fault::BadReply),
        (200, " ".repeat(SUBSCRIPTIONS_LIMIT + 1), Fault::BadReply),
        (404, "<html>".into(), Fault::Refused(Refusal::WrongEndpoint)),
        (503, String::new(), Fault::Transient { retry_after: None }),
    ] {
        let server = service(move |_| json(status, &body)).await;
        let failure = client(&server).subscriptions().await.unwrap_err();
        assert_eq!((failure.fault, failure.request), (fault, RequestKind::Subscriptions));
        // The time at the end of the body, which comes some milliseconds after its head.
        assert_eq!(failure.date.map(Time::floor_second), Time::parse("2026-03-01T12:00:00Z"));
    }
}

#[tokio::test]
async fn an_error_with_200_gets_a_newer_token_too() {
    let server = service(|seen| match seen.bearer() {
        Some("canary-token-2") => json(200, "[]"),
        _ if seen.target.contains("/content?") => json(200, "[]"),
        _ => json(200, &error("AF10001")),
    })
    .await;
    let client = client(&server);
    client.list(ContentType::AuditGeneral, window()).await.unwrap();
    client.subscriptions().await.unwrap();
    assert_eq!(token_requests(&server), 2);
}

#[tokio::test]
async fn a_start_succeeds_if_there_is_nothing_to_start() {
    let general = ContentType::AuditGeneral;
    for (status, body, fault) in [
        (200, r#"{"contentType":"Audit.General","status":"enabled","webhook":null}"#.to_owned(), None),
        (200, String::new(), None),
        (201, "{}".into(), None),
        (204, String::new(), None),
        (400, error("AF20024"), None),
        (400, error(" af20024"), None),
        (200, error("AF20024"), None),
        (200, r#"{"status":"disabled"}"#.into(), Some(Fault::SubscriptionDisabled)),
        (200, "<html>".into(), Some(Fault::BadReply)),
        (400, error("AF20023"), Some(Fault::SubscriptionDisabled)),
        (400, include_str!("../../fixtures/api/auditing-off.json").into(), Some(Fault::AuditingOff)),
        (404, String::new(), Some(Fault::Refused(Refusal::WrongEndpoint))),
    ] {
        let reply = body.clone();
        let server = service(move |_| json(status, &reply)).await;
        let outcome = client(&server).start(general).await;
        assert_eq!(outcome.map_err(|f| f.fault).err(), fault, "{status} {body}");
        assert_eq!(token_requests(&server), 1);
    }
    let server = service(|_| json(400, &error("AF20024"))).await;
    let failure = client(&server).stop(general).await.unwrap_err();
    assert_eq!(failure.fault, Fault::Refused(Refusal::Unknown));
}

#[tokio::test]
async fn failures_say_what_the_service_said() {
    let failure_of = |status: u16, headers: &'static [(&'static str, &'static str)], body: &'static str| async move {
        let server = service(move |_| reply(status, headers, body)).await;
        client(&server).list(ContentType::AuditGeneral, window()).await.unwrap_err()
    };
    let dated = &[("Date", "Sun, 01 Mar 2026 12:00:00 GMT"), ("Retry-After", "Sun, 01 Mar 2026 12:01:00 GMT")];
    let failure =
        failure_of(429, dated, "\u{feff}{\"error\":{\"code\":\"af429\",\"message\":\"Too many requests.\\r\\n Method=List\"}}")
            .await;
    assert_eq!(failure.fault, Fault::Throttled { retry_after: Some(Duration::from_secs(60)) });
    assert_eq!((failure.status, failure.code.as_deref()), (Some(429), Some("AF429")));
    assert_eq!(failure.message, "Too many requests. Method=List");
    assert_eq!(failure.date, Time::parse("2026-03-01T12:00:00Z"));

    let failure = failure_of(502, &[], "<html><title>502 Bad\u{1b}[2J Gateway</title>").await;
    assert_eq!(failure.message, "an HTML page, \"502 Bad\\u{1b}[2J Gateway\"");
    let failure = failure_of(500, &[], "").await;
    assert_eq!((failure.code, failure.message.as_str()), (None, "the reply has no body that explains it"));
    let failure = failure_of(400, &[], r#"{"error":{"code":"AF20055","mess"#).await;
    assert_eq!((failure.fault, failure.code.as_deref()), (Fault::WindowRefused, Some("AF20055")));
    let failure = failure_of(400, &[], include_str!("../../fixtures/api/auditing-off.json")).await;
    assert_eq!(failure.fault, Fault::AuditingOff);
    assert!(failure.code.unwrap().chars().count() <= wire::LONGEST_CODE + 1);
    let failure = failure_of(503, &[("Retry-After", "120")], "").await;
    assert_eq!(failure.fault, Fault::Transient { retry_after: Some(Duration::from_secs(120)) });
}

#[tokio::test]
async fn a_service_that_repeats_the_token_gives_nothing_away() {
    let server = service(|seen| {
        let token = seen.bearer().unwrap_or_default();
        json(400, &format!(r#"{{"error":{{"code":"bad {token}","message":"no {token} no"}}}}"#))
    })
    .await;
    let client = client(&server);
    let failure = client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
    assert_eq!(failure.message, "no [redacted] no");
    assert!(!format!("{failure} {failure:?} {client:?}").contains("canary"));
}

#[tokio::test]
async fn huge_error_bodies_are_cut() {
    let server = service(|_| json(500, &"<x".repeat(1_000_000))).await;
    let failure = client(&server).list(ContentType::AuditGeneral, window()).await.unwrap_err();
    assert_eq!(failure.fault, Fault::Transient { retry_after: None });
}

#[tokio::test]
async fn other_success_is_no_success_for_what_must_be_whole() {
    for status in [201, 202, 203, 204, 205, 206] {
        let server = service(move |_| reply(status, &[], if status == 204 { "" } else { "[]" })).await;
        let client = client(&server);
        assert_eq!(client.list(ContentType::AuditGeneral, window()).await.unwrap_err().fault, Fault::BadReply, "{status}");
        let uri = server.url(&format!("{FEED}/audit/x"));
        assert_eq!(client.blob(uri.as_str()).await.unwrap_err().fault, Fault::BadReply, "{status}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_passing_fault() {
    let server = service(|_| vec![Step::Send([head(200, &[], 100), b"[{".to_vec()].concat()), Step::Close]).await;
    let uri = server.url(&format!("{FEED}/audit/x"));
    let mut content = client(&server).blob(uri.as_str()).await.unwrap();
    let broken = loop {
        match content.body.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut body ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(broken.kind, WireErrorKind::Body);
    let failure = body_failure(RequestKind::Blob, broken, content.date);
    assert_eq!((failure.fault, failure.request), (Fault::Transient { retry_after: None }, RequestKind::Blob));
}

#[tokio::test]
async fn a_service_that_is_gone_is_a_passing_fault() {
    let server = service(|seen| if seen.target.contains("/list?") { json(200, "[]") } else { vec![Step::Reset] }).await;
    let client = client(&server);
    client.subscriptions().await.unwrap();
    let failure = client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
    assert_eq!((failure.fault, failure.status), (Fault::Transient { retry_after: None }, None));
    assert!(failure.message.starts_with("connection reset"), "{}", failure.message);
    drop(server);
    let failure = client.list(ContentType::AuditGeneral, window()).await.unwrap_err();
    assert_eq!(failure.fault, Fault::Transient { retry_after: None });
    assert!(!failure.to_string().contains("http://"), "{failure}");
}

#[test]
fn error_objects_found_in_a_stream_mean_the_same() {
    let date = Time::parse("2026-03-01T12:00:00Z");
    let failure = error_object(RequestKind::Blob, 200, error("AF20051").as_bytes(), date);
    assert_eq!((failure.fault, failure.code.as_deref(), failure.date), (Fault::Expired, Some("AF20051"), date));
    for (raw, fault) in [
        (error("AF20022"), Fault::NoSubscription),
        (error("AF20051"), Fault::Transient { retry_after: None }),
        (r#"{"error":"x"}"#.into(), Fault::BadReply),
        (r#"{"error":{"code":"AF50000"#.into(), Fault::Transient { retry_after: None }),
        ("{}".into(), Fault::BadReply),
        (String::new(), Fault::BadReply),
        ("x".repeat(ERROR_BODY_LIMIT * 2), Fault::BadReply),
    ] {
        assert_eq!(error_object(RequestKind::List, 200, raw.as_bytes(), None).fault, fault, "{raw:.60}");
    }
}
