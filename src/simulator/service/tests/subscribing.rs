//! Subscriptions, and what they make visible.

use super::*;

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
