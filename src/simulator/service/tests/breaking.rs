//! Faults, by script and by seed.

use super::*;

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
