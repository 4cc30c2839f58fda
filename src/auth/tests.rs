use std::sync::atomic::AtomicUsize;

use super::*;
use crate::wire::test_server::{Seen, Step, TestServer, head, json, reply};
use crate::wire::{HttpSettings, HttpTransport};

const TENANT: &str = "11111111-0000-4000-8000-000000000001";
const CLIENT: &str = "22222222-0000-4000-8000-000000000002";
const SECRET: &str = "canary~made/up+secret=&%Q";

fn source(server: &TestServer) -> TokenSource<HttpTransport> {
    source_with(server.url("/"), Box::new(|| Ok(SecretString::from(SECRET))))
}

fn source_with(login_url: Url, secret: SecretReader) -> TokenSource<HttpTransport> {
    let credentials = Credentials {
        tenant: TENANT.parse().unwrap(),
        client_id: CLIENT.into(),
        secret,
        login_url,
        scope: "https://manage.office.com/.default".into(),
    };
    TokenSource::new(HttpTransport::new(HttpSettings::default()).unwrap(), credentials)
}

/// Grants `token-1`, `token-2`, … with `life` as `expires_in`.
fn granting(life: &'static str) -> impl Fn(&Seen) -> Vec<Step> + Send + Sync {
    let count = AtomicUsize::new(0);
    move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        json(200, &format!(r#"{{"token_type":"Bearer","expires_in":{life},"access_token":"token-{n}"}}"#))
    }
}

fn text(token: &Token) -> &str {
    token.secret.expose_secret()
}

#[tokio::test]
async fn the_request_is_the_documented_one_and_the_token_is_kept() {
    let server = TestServer::start(granting("3599")).await;
    let tokens = source(&server);
    assert_eq!(tokens.issued(), 0);
    let first = tokens.token().await.unwrap();
    let second = tokens.token().await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!((text(&first), tokens.issued()), ("token-1", 1));

    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("POST", format!("/{TENANT}/oauth2/v2.0/token").as_str()));
    assert_eq!(
        seen[0].body,
        format!(
            "client_id={CLIENT}&scope=https%3A%2F%2Fmanage.office.com%2F.default\
             &client_secret=canary%7Emade%2Fup%2Bsecret%3D%26%25Q&grant_type=client_credentials"
        )
    );
    assert_eq!(seen[0].bearer(), None);
}

#[test]
fn login_urls_and_scopes_are_completed() {
    let tenant: TenantId = TENANT.parse().unwrap();
    for (login_url, expected) in [
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com"),
        ("https://login.microsoftonline.us/", "https://login.microsoftonline.us"),
        ("http://127.0.0.1:1/login//?x=y#z", "http://127.0.0.1:1/login"),
    ] {
        let url = token_url(&login_url.parse().unwrap(), &tenant);
        assert_eq!(url.as_str(), format!("{expected}/{TENANT}/oauth2/v2.0/token"));
    }
    for scope in ["https://manage.office.com", "https://manage.office.com/", " https://manage.office.com/.default"] {
        let transport = HttpTransport::new(HttpSettings::default()).unwrap();
        let credentials = Credentials {
            tenant: tenant.clone(),
            client_id: CLIENT.into(),
            secret: Box::new(|| Err("unused".into())),
            login_url: "https://login.microsoftonline.com".parse().unwrap(),
            scope: scope.into(),
        };
        assert_eq!(TokenSource::new(transport, credentials).inner.scope, "https://manage.office.com/.default");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_make_one_request() {
    let server = TestServer::start(|_| {
        let granted = json(200, r#"{"access_token":"token-1","expires_in":3599}"#);
        [vec![Step::Wait(Duration::from_millis(100))], granted].concat()
    })
    .await;
    let tokens = source(&server);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let tokens = tokens.clone();
                async move { tokens.token().await }
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(text(&caller.await.unwrap().unwrap()), "token-1");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn fifty_callers_share_one_failure() {
    let server = TestServer::start(|_| {
        let refused = json(401, r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#);
        [vec![Step::Wait(Duration::from_millis(100))], refused].concat()
    })
    .await;
    let tokens = source(&server);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let tokens = tokens.clone();
                async move { tokens.token().await }
            })
        })
        .collect();
    for caller in callers {
        let failure = caller.await.unwrap().unwrap_err();
        assert_eq!(failure.fault, Fault::Refused(Refusal::BadCredentials));
        assert_eq!(failure.code.as_deref(), Some("AADSTS7000222"));
        assert_eq!(failure.date.unwrap().to_string(), "2026-03-01T12:00:00Z");
    }
    assert_eq!(server.seen().len(), 1);
    // The failure is not kept: who comes later asks again.
    tokens.token().await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn who_waits_goes_on_when_the_one_who_asks_gives_up() {
    let server =
        TestServer::start(|_| [vec![Step::Wait(Duration::from_millis(200))], granting("3599")(&Seen::default())].concat()).await;
    let tokens = source(&server);
    let leader = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let follower = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    leader.abort();
    assert_eq!(text(&follower.await.unwrap().unwrap()), "token-1");
}

#[tokio::test]
async fn a_token_without_life_serves_those_who_waited_and_nobody_else() {
    for life in ["0", "-3600", "\"0\""] {
        let server = TestServer::start(granting(life)).await;
        let tokens = source(&server);
        let (one, two) = tokio::join!(tokens.token(), tokens.token());
        assert_eq!((text(&one.unwrap()), text(&two.unwrap())), ("token-1", "token-1"));
        assert_eq!(text(&tokens.token().await.unwrap()), "token-2");
    }
}

/// Puts the clock on, as far as the current token is concerned.
fn age(tokens: &TokenSource<HttpTransport>, by: Duration) {
    let mut current = tokens.current();
    let old = current.take().unwrap();
    let began = Instant::now() - by;
    let lifetime = Lifetime::new(began, Duration::from_secs(3599));
    let secret = old.token.secret.clone();
    let (rejected, accepted) = (AtomicBool::new(false), AtomicBool::new(false));
    let token = Arc::new(Token { secret, serial: old.token.serial, lifetime, rejected, accepted });
    *current = Some(Current { token, renew_at: lifetime.renew_at() });
}

#[tokio::test]
async fn renewal_comes_early_and_its_failure_is_borne_until_the_end() {
    let count = AtomicUsize::new(0);
    let server = TestServer::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => json(200, r#"{"access_token":"token-1","expires_in":3599}"#),
        1 | 2 => json(503, "<html>"),
        _ => json(200, r#"{"access_token":"token-2","expires_in":3599}"#),
    })
    .await;
    let tokens = source(&server);
    assert_eq!(text(&tokens.token().await.unwrap()), "token-1");
    age(&tokens, Duration::from_secs(3200));
    assert_eq!(text(&tokens.token().await.unwrap()), "token-1");
    assert_eq!(server.seen().len(), 1);
    // Five minutes before its end a renewal is tried, once, and the old token serves on.
    age(&tokens, Duration::from_secs(3400));
    assert_eq!(text(&tokens.token().await.unwrap()), "token-1");
    assert_eq!(text(&tokens.token().await.unwrap()), "token-1");
    assert_eq!(server.seen().len(), 2);
    // After its end the failure surfaces.
    age(&tokens, Duration::from_secs(3600));
    assert_eq!(tokens.token().await.unwrap_err().fault, Fault::Transient { retry_after: None });
    assert_eq!(text(&tokens.token().await.unwrap()), "token-2");
}

#[tokio::test]
async fn nobody_waits_for_an_early_renewal() {
    let count = AtomicUsize::new(0);
    let server = TestServer::start(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let wait = vec![Step::Wait(Duration::from_millis(if n == 0 { 0 } else { 300 }))];
        [wait, json(200, &format!(r#"{{"access_token":"token-{}","expires_in":3599}}"#, n + 1))].concat()
    })
    .await;
    let tokens = source(&server);
    tokens.token().await.unwrap();
    age(&tokens, Duration::from_secs(3400));
    let renewal = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(text(&tokens.token().await.unwrap()), "token-1");
    assert_eq!(text(&renewal.await.unwrap().unwrap()), "token-2");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_rejected_token_is_dropped_once() {
    let server = TestServer::start(granting("3599")).await;
    let tokens = source(&server);
    let begun = tokens.issued();
    let first = tokens.token().await.unwrap();
    assert!(first.is_younger_than(begun) && !first.is_younger_than(tokens.issued()));
    tokens.reject(&first);
    let second = tokens.token().await.unwrap();
    assert_eq!(text(&second), "token-2");
    // A late report about the first does not cost the second.
    tokens.reject(&first);
    assert!(Arc::ptr_eq(&second, &tokens.token().await.unwrap()));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_secret_is_read_for_each_request() {
    let server = TestServer::start(granting("0")).await;
    let count = AtomicUsize::new(0);
    let tokens = source_with(
        server.url("/"),
        Box::new(move || match count.fetch_add(1, Ordering::SeqCst) {
            1 => Err("can't open /run/secrets/x: no such file\u{1b}[31m".into()),
            n => Ok(SecretString::from(format!("secret-{n}"))),
        }),
    );
    tokens.token().await.unwrap();
    // The first token has no life left, and so no failure is hidden by it.
    let failure = tokens.token().await.unwrap_err();
    assert_eq!(failure.fault, Fault::Refused(Refusal::SecretUnavailable));
    assert_eq!(failure.message, "the client secret can't be read: can't open /run/secrets/x: no such file\\u{1b}[31m");
    tokens.token().await.unwrap();
    let bodies: Vec<String> = server.seen().into_iter().map(|s| s.body).collect();
    assert!(bodies[0].contains("client_secret=secret-0&") && bodies[1].contains("client_secret=secret-2&"));
}

#[tokio::test]
async fn what_passes_is_told_from_what_needs_a_person() {
    let transient = Fault::Transient { retry_after: None };
    let cut = [head(200, &[], 100), b"{\"access_token\":\"canary".to_vec()].concat();
    let endless = Vec::from([b'x'; TOKEN_REPLY_LIMIT + 1]);
    for (steps, expected) in [
        (vec![Step::Close], transient.clone()),
        (vec![Step::Reset], transient.clone()),
        (vec![Step::Send(cut), Step::Close], transient.clone()),
        (reply(200, &[], "<html>captive portal</html>"), transient.clone()),
        (reply(200, &[], &endless), Fault::BadReply),
        (reply(200, &[], ""), Fault::BadReply),
        (reply(204, &[], ""), Fault::BadReply),
        (reply(403, &[], "<html><title>Blocked</title>"), transient.clone()),
        (reply(502, &[], "Bad Gateway"), transient),
        (reply(503, &[("Retry-After", "17")], ""), Fault::Transient { retry_after: Some(Duration::from_secs(17)) }),
        (reply(429, &[("Retry-After", "17")], ""), Fault::Throttled { retry_after: Some(Duration::from_secs(17)) }),
        (reply(429, &[("Retry-After", "0")], ""), Fault::Throttled { retry_after: None }),
        (reply(302, &[("Location", "https://evil.example/")], ""), Fault::Refused(Refusal::WrongEndpoint)),
        (
            json(400, r#"{"error":"invalid_request","error_description":"AADSTS90002: Tenant"}"#),
            Fault::Refused(Refusal::UnknownTenant),
        ),
        (
            json(400, r#"{"error":"unauthorized_client","error_description":"AADSTS700016: x"}"#),
            Fault::Refused(Refusal::BadCredentials),
        ),
    ] {
        let shown = format!("{steps:.60?}");
        let server = TestServer::start(move |_| steps.clone()).await;
        let failure = source(&server).token().await.unwrap_err();
        assert_eq!(failure.fault, expected, "{failure} {}", &shown[..shown.len().min(80)]);
        assert_eq!(failure.request, RequestKind::Token);
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_secret_gives_nothing_away() {
    let server = TestServer::start(|seen| {
        let form = seen.body.split("client_secret=").nth(1).unwrap().split('&').next().unwrap();
        let base64 = {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.encode(SECRET)
        };
        let said = format!("plain {SECRET} form {form} base64 {base64} token eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.canary");
        json(401, &serde_json::json!({ "error": SECRET, "error_description": said }).to_string())
    })
    .await;
    let tokens = source(&server);
    let failure = tokens.token().await.unwrap_err();
    let shown = format!("{failure} {failure:?} {tokens:?} {:?}", tokens.inner.credentials);
    for leak in ["canary", "made/up", "made%2F", "Y2FuYXJ5", "eyJ0"] {
        assert!(!shown.contains(leak), "{leak} in {shown}");
    }
    assert!(failure.message.contains("[redacted]"));
}

#[tokio::test]
async fn a_token_is_never_shown() {
    let server = TestServer::start(|_| json(200, r#"{"access_token":"canary-token","expires_in":3599}"#)).await;
    let tokens = source(&server);
    let token = tokens.token().await.unwrap();
    assert!(!format!("{token:?} {tokens:?} {:?}", claims(&token)).contains("canary"));
}
