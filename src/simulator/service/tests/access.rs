//! Who is let in: tokens, tenants, publishers, quotas.

use super::*;

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
