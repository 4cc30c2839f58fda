//! Blobs, and the truth about them.

use super::*;

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
