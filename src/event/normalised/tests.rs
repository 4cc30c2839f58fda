use super::*;

fn with<R>(json: &str, check: impl FnOnce(&Normalised<'_>) -> R) -> R {
    let event = Event::from_json(json.as_bytes()).unwrap();
    check(&event.normalised())
}

#[test]
fn nothing_is_made_of_nothing() {
    for json in ["{}", r#"{"RecordType":28}"#, r#"{"RecordType":41,"Url":""}"#, r#"{"RecordType":47,"FileData":[]}"#] {
        with(json, |says| {
            assert_eq!((says.id, says.time, says.tenant, says.actor, says.portal), (None, None, None, None, None));
            assert_eq!((says.any_time(), says.severity()), (None, None));
        });
    }
}

#[test]
fn odd_values_are_left_alone_and_do_no_harm() {
    let json = r#"{"RecordType":"28","Id":{"a":1},"CreationTime":"yesterday","Recipients":"one@example.com","SenderIp":"nowhere",
        "Subject":7,"Policy":16,"PolicyAction":"MoveToJmf","Verdict":["Phish"],"AttachmentData":{"FileName":"a.b.exe","SHA256":"?"},
        "AuthDetails":[{"Name":"CompAuth","Value":"pass"},7,{"Name":"New","Value":"x"}],"DetectionType":0,"P1Sender":"<>"}"#;
    with(json, |says| {
        assert_eq!((says.id, says.time, says.record_type), (None, None, Some(RecordType::MAIL)));
        let About::Mail(mail) = &says.about else { panic!("mail") };
        assert_eq!((mail.recipients.as_slice(), mail.source, mail.subject), (&["one@example.com"][..], None, Some("7")));
        assert_eq!(mail.policy.map(|policy| (policy.name, policy.number)), Some((None, Some(16))));
        assert_eq!(mail.policy_action.map(|action| (action.name, action.number)), Some((Some("MoveToJmf"), Some(0))));
        assert_eq!(mail.verdict.map(|verdict| verdict.text), Some("Phish"));
        assert_eq!(mail.attachments[0].extension(), Some("exe"));
        assert_eq!(mail.attachments[0].hashes, [Digest { kind: DigestKind::Other, value: "?" }]);
        assert_eq!(mail.authentication.composite.map(|outcome| outcome.text), Some("pass"));
        assert_eq!(mail.detection.and_then(|detection| detection.name), Some("Inline"));
        assert_eq!(mail.envelope_sender.map(|sender| (sender.text, sender.domain)), Some(("<>", None)));
    });
}

#[test]
fn the_service_itself_is_no_user() {
    with(r#"{"RecordType":28,"UserId":"ThreatIntel","UserKey":"ThreatIntel","UserType":4}"#, |says| {
        assert!(says.actor.is_some_and(|actor| actor.is_system && actor.address.is_none()));
    });
    with(r#"{"RecordType":41,"UserId":"Alex@contoso.com","UserKey":"ThreatIntel","UserType":4}"#, |says| {
        let actor = says.actor.unwrap();
        assert!(!actor.is_system && actor.address.is_some_and(|address| address.domain == Some("contoso.com")));
    });
    with(r#"{"RecordType":1,"UserId":"CONTOSO\\alex","UserType":2}"#, |says| {
        assert!(says.actor.is_some_and(|actor| !actor.is_system && actor.name == "CONTOSO\\alex"));
    });
}

#[test]
fn an_investigation_tells_its_alert_and_what_it_is_about() {
    let json = r#"{"RecordType":64,"InvestigationId":"urn:x","StartTimeUtc":"2026-03-01T12:00:00","EndTimeUtc":"0001-01-01T00:00:00",
        "Status":"Pending actions","Actions":["{\"ActionId\":\"a\",\"ActionStatus\":\"Pending\"}",{"id":"b"},7],
        "Data":"{\"AlertDisplayName\":\"Mail removed\u200b\",\"Severity\":\"High\",\"Entities\":[
        {\"Type\":\"mail-message\",\"Recipient\":\"a@b\",\"Urls\":[\"u1\"],\"Files\":[{\"Name\":\"f\",\"FileHashes\":[\"D41D8CD98F00B204E9800998ECF8427E\"]}]},
        {\"Type\":\"url\",\"Url\":\"u2\"},{\"Type\":\"ip\",\"Address\":\"192.0.2.1\"},{\"Type\":\"brand-new\"},{\"$ref\":\"1\"},
        {\"Type\":\"filehash\",\"Algorithm\":\"SHA256AC\",\"Value\":\"D41D8CD98F00B204E9800998ECF8427E\"}]}"}"#;
    with(&json.replace('\n', ""), |says| {
        let About::Investigation(about) = &says.about else { panic!("an investigation") };
        assert_eq!((about.id, about.ended), (Some("urn:x"), None));
        assert_eq!(about.alert.as_ref().and_then(|alert| alert.title), Some("Mail removed"));
        assert_eq!(about.actions.iter().map(|action| action.id).collect::<Vec<_>>(), [Some("a"), Some("b")]);
        assert_eq!(about.subjects.all_urls().collect::<Vec<_>>(), ["u1", "u2"]);
        let file = about.subjects.all_files().next().unwrap();
        assert_eq!(file.digest(DigestKind::Md5), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(about.subjects.hosts[0].text, "192.0.2.1");
        assert_eq!(about.subjects.hashes[0].kind, DigestKind::Other);
        assert_eq!(says.severity(), Some(Severity::High));
        assert_eq!(says.any_time(), says.happened());
    });
}

#[test]
fn an_alert_tells_of_a_message_in_the_text_of_its_data() {
    let mail = |json: &str, check: &dyn Fn(Option<&MailFacts<'_>>)| {
        with(json, |says| {
            let About::Other(neighbour) = &says.about else { panic!("another type") };
            check(neighbour.mail.as_ref());
        });
    };
    let json = r#"{"RecordType":40,"AlertId":"a","Data":"{\"imsgid\":\"<1@b>\",\"aii\":\"n\",\"ms\":\"s\",\"von\":\"t\",\"trc\":\"a@b;c@d, e@f\",\"to\":\"x@y\",\"tsd\":\"g@h\",\"mfrm\":\"i@j\"}"}"#;
    mail(json, &|mail| {
        let mail = mail.unwrap();
        assert_eq!((mail.message_id, mail.network_message_id, mail.subject), (Some("<1@b>"), Some("n"), Some("s")));
        assert_eq!(mail.recipients, ["a@b", "c@d", "e@f"]);
        assert_eq!((mail.sender.map(|it| it.text), mail.envelope_sender.map(|it| it.text)), (Some("g@h"), Some("g@h")));
    });
    mail(r#"{"AlertId":"a","Subject":"s","Data":{"von":"t","to":["x@y"],"mfrm":"i@j","new":1}}"#, &|mail| {
        let mail = mail.unwrap();
        assert_eq!((mail.subject, mail.recipients.as_slice()), (Some("s"), &["x@y"][..]), "the record's own first");
        assert_eq!(mail.sender.map(|it| it.text), Some("i@j"));
    });
    mail(r#"{"RecordType":29,"Recipients":["a@b"]}"#, &|mail| assert_eq!(mail.unwrap().recipients, ["a@b"]));
    for none in [r#"{"AlertId":"a","Data":"no JSON"}"#, r#"{"AlertId":"a","Data":[1]}"#, r#"{"Data":{"to":"a@b"}}"#] {
        mail(none, &|mail| assert_eq!(mail, None, "{none}"));
    }
}

#[test]
fn a_client_that_is_no_address_hides_no_other() {
    let client = |json| with(json, |says| says.client.map(|client| client.text.to_owned()));
    assert_eq!(client(r#"{"ClientIP":"<null>","ActorIpAddress":"::ffff:192.0.2.1"}"#).as_deref(), Some("192.0.2.1"));
    assert_eq!(
        client(r#"{"ClientIP":"<null>","ClientIPAddress":"x","ActorIpAddress":"192.0.2.1"}"#).as_deref(),
        Some("192.0.2.1")
    );
    assert_eq!(client(r#"{"ClientIP":"192.0.2.2","ClientIPAddress":"192.0.2.1"}"#).as_deref(), Some("192.0.2.2"));
}
