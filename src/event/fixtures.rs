//! Records in every shape that is known: each is read, and written back as it was.

use super::field::Field;
use super::fields::Fields;
pub(super) use super::fuzz::{clean, holds};
use super::text::Text;
use super::*;

const MADE_UP: &str = include_str!("../../fixtures/events/made-up-samples.ndjson");

/// The record in a fixture file.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/events/", $name, ".json"))
    };
}

/// Every fixture but the made-up samples.
const FIXTURES: &[&str] = &[
    fixture!("air-2026"),
    fixture!("air-broken-texts"),
    fixture!("air-data-forms"),
    fixture!("air-repeated-query-time"),
    fixture!("empty-object"),
    fixture!("file-base64-hash"),
    fixture!("file-odd-hash"),
    fixture!("mail-big-numbers"),
    fixture!("mail-escapes"),
    fixture!("mail-lone-surrogates"),
    fixture!("mail-null-ridden"),
    fixture!("mail-policy-names"),
    fixture!("mail-pretty-printed"),
    fixture!("mail-record-type-as-text"),
    fixture!("mail-repeated-keys"),
    fixture!("mail-scalars-and-lists"),
    fixture!("mail-spaced-names"),
    fixture!("other-alert"),
    fixture!("other-mail-alert"),
    fixture!("other-quarantine"),
    fixture!("other-submission"),
    fixture!("untellable-type"),
    fixture!("url-documented-spelling"),
    fixture!("url-unknown-action"),
    fixture!("url-withdrawn-actions"),
];

pub(super) fn all() -> impl Iterator<Item = &'static str> {
    MADE_UP.lines().chain(FIXTURES.iter().copied())
}

#[test]
fn every_fixture_is_written_back_as_it_was() {
    assert_eq!(MADE_UP.lines().count(), 25);
    all().for_each(holds);
}

#[test]
fn every_fixture_file_is_in_the_list() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/events")).unwrap();
    let json = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")).count();
    assert_eq!(json, FIXTURES.len());
}

#[test]
fn what_is_documented_or_was_seen_is_no_drift() {
    for (at, record) in MADE_UP.lines().enumerate() {
        let (_, drift) = clean(record);
        let new_kind = drift.iter().all(|drift| drift.path == "Data.Entities.Type");
        assert!(new_kind, "line {}: {drift:?}", at + 1);
        assert_eq!(drift.len(), usize::from(at + 1 == 24), "line 24 has an entity of a made-up kind");
    }
}

fn text(field: &Field<Text>) -> &str {
    field.get().map(Text::as_str).unwrap_or_default()
}

#[test]
fn records_become_the_type_that_their_number_says() {
    let kind = |record: &str| match Event::from_json(record.as_bytes()).unwrap() {
        Event::Mail(_) => 28,
        Event::UrlClick(_) => 41,
        Event::File(_) => 47,
        Event::Air(_) => 64,
        Event::Other(_) => 0,
    };
    for record in MADE_UP.lines() {
        let event = Event::from_json(record.as_bytes()).unwrap();
        assert_eq!(i64::from(kind(record)), event.record_type().unwrap().0);
    }
    for (record, expected) in [
        (r#"{"RecordType":28.0}"#, 28),
        (r#"{"RecordType":"64"}"#, 64),
        (r#"{"RecordType":"ThreatIntelligenceUrl"}"#, 41),
        (r#"{"\u0052ecordType":47}"#, 47),
        (r#"{"RecordType":1,"RecordType":28}"#, 28),
        (r#"{"RecordType":28,"RecordType":1}"#, 28),
        (r#"{"recordtype":28}"#, 28),
        (r#"{"a":{"RecordType":28}}"#, 0),
        (r#"{"RecordType":40}"#, 0),
        (r#"{"RecordType":28.5}"#, 0),
        (fixture!("other-alert"), 0),
        (fixture!("untellable-type"), 0),
        (fixture!("empty-object"), 0),
    ] {
        assert_eq!(kind(record), expected, "{record}");
        holds(record);
    }
}

#[test]
fn a_mail_event_is_typed_to_the_last_part() {
    let Event::Mail(mail) = Event::from_json(MADE_UP.lines().nth(1).unwrap().as_bytes()).unwrap() else { panic!("a mail event") };
    assert_eq!(text(&mail.common.id), "10000002-0000-4000-8000-000000000002");
    assert_eq!(mail.common.creation_time.get().unwrap().utc().unwrap().to_rfc3339(), "2026-03-02T11:42:05+00:00");
    assert_eq!(mail.common.user_type.get().unwrap().known(), Some(code::UserType::System));
    let verdicts: Vec<_> =
        mail.own.attachment_data.get().unwrap().iter().map(|a| a.file_verdict.get().unwrap().known()).collect();
    use code::FileVerdict::{Bad, Error, Good, Pending, Timeout};
    assert_eq!(verdicts, [Some(Bad), Some(Good), Some(Error), Some(Timeout), Some(Pending)]);
    assert_eq!(mail.own.policy.get().unwrap().known(), Some(code::Policy::ZapMalware));
    assert_eq!(mail.own.verdict.get().unwrap().known(), Some(name::Verdict::Malware));
    let spf = mail.own.auth_details.get().unwrap().iter().next().unwrap();
    assert_eq!(spf.name.get().unwrap().known(), Some(name::AuthCheck::Spf));
    assert_eq!(spf.value.get().unwrap().known(), Some(name::AuthResult::Fail));
    let overrides: Vec<_> = mail.own.system_overrides.get().unwrap().iter().map(|o| text(&o.details)).collect();
    assert_eq!(overrides, ["Safe sender", "Exchange transport rule"]);
}

#[test]
fn threats_are_a_list_however_they_came() {
    for (record, count) in [(0, 2), (7, 2)] {
        let Event::Mail(mail) = Event::from_json(MADE_UP.lines().nth(record).unwrap().as_bytes()).unwrap() else {
            panic!("mail")
        };
        let threats = mail.own.threats_and_detection_tech.get().unwrap().value.as_ref().unwrap();
        assert_eq!(threats.iter().count(), count);
    }
}

#[test]
fn clicks_and_files_are_typed() {
    let Event::UrlClick(click) = Event::from_json(fixture!("url-documented-spelling").as_bytes()).unwrap() else {
        panic!("a click")
    };
    assert_eq!(click.own.url_click_action.get().unwrap().known(), Some(code::UrlClickAction::Blockpage));
    assert_eq!(text(&click.own.url), "hxxp://ex ample[.]com/ü");
    assert!(click.own.blocked.get().unwrap().value);
    let Event::UrlClick(old) = Event::from_json(fixture!("url-withdrawn-actions").as_bytes()).unwrap() else { panic!("a click") };
    assert_eq!(old.own.url_click_action.get().unwrap().known(), Some(code::UrlClickAction::Allowed));
    let Event::File(file) = Event::from_json(fixture!("file-base64-hash").as_bytes()).unwrap() else { panic!("a file") };
    let data = file.own.file_data.get().unwrap();
    assert_eq!(data.sha256.get().unwrap().hex(), Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(data.file_size.get().unwrap().as_i64(), Some(12345));
    assert_eq!(data.file_verdict.get().unwrap().known(), Some(code::FileVerdict::Error));
    assert_eq!(file.own.last_modified_date.get().unwrap().utc(), None);
}

#[test]
fn both_generations_of_actions_are_typed() {
    for (record, status) in [(fixture!("air-2026"), "Complete"), (fixture!("air-repeated-query-time"), "Skipped")] {
        let Event::Air(air) = Event::from_json(record.as_bytes()).unwrap() else { panic!("an investigation") };
        let actions = air.own.actions.get().unwrap().value.as_ref().unwrap();
        let action = actions.iter().next().unwrap().value.as_ref().unwrap();
        assert_eq!(action.action_status.get().unwrap().text.as_str(), status);
        let alert = air.own.data.get().unwrap().value.as_ref().unwrap();
        assert!(alert.entities.get().unwrap().iter().count() >= 2);
    }
}

#[test]
fn of_two_query_times_the_iso_one_is_the_value_and_both_stay() {
    let record = fixture!("air-repeated-query-time");
    let Event::Air(air) = Event::from_json(record.as_bytes()).unwrap() else { panic!("an investigation") };
    let alert = air.own.data.get().unwrap().value.as_ref().unwrap();
    let times: Vec<_> = alert
        .entities
        .get()
        .unwrap()
        .iter()
        .map(|entity| match entity {
            entity::Entity::MailCluster(cluster) => cluster.own.query_time.get().unwrap().as_str().to_owned(),
            other => panic!("a cluster, not {other:?}"),
        })
        .collect();
    assert_eq!(times, ["2024-10-31T13:31:45.0302157Z", "2024-11-01T00:00:00Z"]);
    let (event, drift) = clean(record);
    assert_eq!(event.matches("\"QueryTime\":").count(), 3, "one a cluster");
    assert_eq!(event.matches("\"QueryTime_2\":\"10/31/2024 1:31:45 PM\"").count(), 1, "only where it says something else");
    assert_eq!(drift, []);
}

#[test]
fn broken_texts_are_kept_as_texts() {
    let (event, drift) = clean(fixture!("air-broken-texts"));
    assert!(event.contains(r#""Data":"{\"Version\":\"3.0\",\"Entities\":[{\"Type\":\"mailMes""#), "{event}");
    let drift: Vec<_> = drift.iter().map(|d| format!("{} {}", d.path, d.kind)).collect();
    assert_eq!(drift, ["Actions unreadable", "Actions odd_shape", "Data unreadable", "EndTimeUtc unreadable"]);
}

#[test]
fn drift_names_places_and_never_values() {
    let (_, drift) = clean(fixture!("mail-scalars-and-lists"));
    let drift: Vec<_> = drift.iter().map(|d| format!("{} {}", d.path, d.kind)).collect();
    assert_eq!(drift, ["SenderIp odd_shape", "Verdict odd_shape", "AuthDetails odd_shape", "MessageTime odd_shape"]);
    let (_, drift) = clean(fixture!("mail-policy-names"));
    let drift: Vec<_> = drift.iter().map(|d| format!("{} {}", d.path, d.kind)).collect();
    assert_eq!(drift, ["Policy unknown_value", "PolicyAction unknown_value", "PolicyActionName unknown_field"]);
    let (_, drift) = clean(fixture!("url-unknown-action"));
    let drift: Vec<_> = drift.iter().map(|d| format!("{} {}", d.path, d.kind)).collect();
    assert_eq!(drift, ["UrlClickAction unknown_value", "TimeOfClick unreadable"]);
}

#[test]
fn null_everywhere_is_no_drift() {
    let (event, drift) = clean(fixture!("mail-null-ridden"));
    assert_eq!(drift, []);
    assert!(event.contains("\"Subject\":null") && event.contains("[null,\"OriginalDelivery: [N/A]\",null]"));
    assert!(matches!(Event::from_json(fixture!("mail-null-ridden").as_bytes()).unwrap(), Event::Mail(_)));
}

/// Two names for one field within a set would make one of them unreachable.
#[test]
fn no_two_fields_share_a_name() {
    fn check<F: Fields>() {
        let names: Vec<_> = (0..F::COUNT).map(|at| F::key(at).unwrap().name).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }
    check::<Joined<Common, Mail>>();
    check::<Joined<Common, UrlClick>>();
    check::<Joined<Common, FileDetection>>();
    check::<Joined<Common, Investigation>>();
    check::<Joined<entity::EntityCommon, entity::MailMessage>>();
    check::<Joined<entity::EntityCommon, entity::MailCluster>>();
    check::<Joined<entity::EntityCommon, entity::Account>>();
    check::<Joined<entity::EntityCommon, entity::RegistryValue>>();
    check::<Joined<entity::EntityCommon, entity::SubmissionMail>>();
    check::<air::Action>();
    check::<alert::Alert>();
}

#[test]
fn what_is_no_object_is_refused_and_nothing_else() {
    for bad in [&b""[..], b"null", b"[]", b"\"{}\"", b"{", b"{}x", b"{\"a\":1,}"] {
        assert!(matches!(Event::from_json(bad), Err(EventError::NotAnObject(_))), "{}", String::from_utf8_lossy(bad));
    }
    assert_eq!(Event::from_json(b"{\"a\":\"\xff\"}"), Err(EventError::NotUtf8(6)));
    holds(" {\n} ");
    holds(&format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127)));
}
