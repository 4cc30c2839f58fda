//! Windows, order, pages.

use super::*;

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
fn expired_blobs_may_still_be_listed() {
    for lists in [true, false] {
        let mut client = Client::new(|c| c.lists_expired = lists);
        client.service.add_blob(NewBlob::new(now() - HOUR, "[]").expires(now()));
        assert_eq!(client.all(now() - 2 * HOUR, now()).len(), usize::from(lists));
    }
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
