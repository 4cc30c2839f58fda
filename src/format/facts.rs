//! Facts that a schema has a place for, in records that seldom have them.

use serde_json::{Value, json};

use super::{Formatter, line_of};
use crate::domain::OutputFormat;

fn line(format: OutputFormat, record: &Value) -> Value {
    let (line, _) = line_of(&Formatter::new(format, false), record.to_string().as_bytes());
    serde_json::from_slice(&line).unwrap()
}

fn investigation(entities: Value) -> Value {
    json!({"RecordType": 64, "ClientIP": "::ffff:192.0.2.9", "Data": {"Entities": entities}})
}

#[test]
fn where_nothing_else_tells_an_address_the_client_has_one() {
    for (number, own) in [(28, "SenderIp"), (41, "UserIp"), (47, ""), (1, "SenderIP")] {
        let mut record =
            json!({"RecordType": number, "ClientIP": "::ffff:192.0.2.9:443", "Url": "u", "FileData": {"FileName": "f"}});
        let place = |line: &Value| match number {
            28 => line["src_endpoint"]["ip"].clone(),
            _ => line["evidences"][0]["src_endpoint"]["ip"].clone(),
        };
        assert_eq!(line(OutputFormat::Ecs, &record)["source"]["ip"], "192.0.2.9", "{number}");
        assert!(number == 1 || place(&line(OutputFormat::Ocsf, &record)) == "192.0.2.9", "{number}");
        if number != 1 && !own.is_empty() {
            record[own] = json!("192.0.2.1");
            assert_eq!(line(OutputFormat::Ecs, &record)["source"]["ip"], "192.0.2.1", "{number}");
            assert_eq!(place(&line(OutputFormat::Ocsf, &record)), "192.0.2.1", "{number}");
        }
    }
    assert_eq!(line(OutputFormat::Ecs, &investigation(json!([])))["source"]["ip"], "192.0.2.9");
    let told = investigation(json!([{"Type": "ip", "Address": "192.0.2.1"}]));
    assert_eq!(line(OutputFormat::Ecs, &told)["source"]["ip"], "192.0.2.1");
}

#[test]
fn mailboxes_stand_behind_recipients() {
    let record = investigation(json!([
        {"Type": "mailbox", "MailboxPrimaryAddress": "blair@contoso.com", "Upn": "b@contoso.com"},
        {"Type": "mailbox", "Upn": "casey@contoso.com"},
        {"Recipient": "alex@contoso.com"},
        {"MailboxPrimaryAddress": "alex@contoso.com"},
    ]));
    assert_eq!(line(OutputFormat::Ecs, &record)["email"]["to"]["address"], json!(["alex@contoso.com", "blair@contoso.com"]));
}

#[test]
fn a_process_without_an_id_keeps_its_file() {
    let record =
        investigation(json!([{"Type": "process", "CommandLine": "x /y", "ImageFile": {"Type": "file", "Name": "x.exe"}}]));
    let line = line(OutputFormat::Ocsf, &record);
    assert_eq!(line["evidences"][0]["data"]["command_line"], "x /y");
    assert_eq!(line["evidences"][0]["file"]["name"], "x.exe");
    assert!(line["evidences"][0]["process"].is_null());
}

#[test]
fn the_id_of_a_document_is_no_owner() {
    let record = json!({"RecordType": 47, "FileData": {"DocumentId": "d", "FileName": "f"}});
    assert_eq!(line(OutputFormat::Ecs, &record)["file"], json!({"name": "f"}));
    assert_eq!(line(OutputFormat::Ocsf, &record)["evidences"][0]["file"]["uid"], "d");
}
