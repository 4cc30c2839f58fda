//! Golden lines against the public schemas: names, types, lists, allowed values, what is required.
//!
//! The tables in `fixtures/schemas` are excerpts of the official ones. `.ci/formats` runs the whole check where the whole
//! schemas are at hand.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Fit, Formatter};
use crate::domain::OutputFormat;

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn rows(table: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(fixtures().join("schemas").join(table)).unwrap();
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(cells).collect()
}

/// The golden lines of a format, each with its place. What is the record's own can hold what `Value` can't: it is an object
/// and nothing more here.
fn lines(format: &str) -> Vec<(String, Value)> {
    let mut lines = Vec::new();
    for file in std::fs::read_dir(fixtures().join("golden").join(format)).unwrap() {
        let path = file.unwrap().path();
        for (at, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            lines.push((format!("{}:{}", path.display(), at + 1), parsed(line)));
        }
    }
    assert!(lines.len() > 40, "every fixture is among them");
    lines
}

fn parsed(line: &str) -> Value {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(line).unwrap();
    let ours = |key: &str| !matches!(key, "o365" | "unmapped");
    let value = |key: &str, raw: &RawValue| match raw.get() {
        json if ours(key) => serde_json::from_str(json).unwrap(),
        json => Value::Bool(json.starts_with('{') && json.ends_with('}')),
    };
    Value::Object(members.into_iter().map(|(key, raw)| (key.clone(), value(&key, raw))).collect())
}

/// Lines of every fixture, and of records with much of what a format has fields for, cut to lengths that are worth it.
fn cut_lines(format: OutputFormat) -> Vec<(String, Value)> {
    let long = "x".repeat(600);
    let many: Vec<_> = (0..500).map(|n| format!("{n}@contoso.com")).collect();
    let urls: Vec<_> = many.iter().map(|name| serde_json::json!({"Type": "url", "Url": format!("https://{name}/")})).collect();
    let common = serde_json::json!({"Id": "1", "CreationTime": "2026-03-01T00:00:00", "OrganizationId": "o", "UserId": "a@b"});
    let made = [
        serde_json::json!({"RecordType": 28, "Recipients": many, "Subject": long, "P1Sender": long, "P2Sender": long,
            "AttachmentData": [{"FileName": long, "MalwareFamily": long}], "Verdict": "Phish", "DeliveryAction": long}),
        serde_json::json!({"RecordType": 41, "Url": format!("https://{long}/{long}?{long}"), "AppName": long}),
        serde_json::json!({"RecordType": 47, "FileData": {"FileName": long, "FilePath": long, "MalwareFamily": long}}),
        serde_json::json!({"RecordType": 64, "InvestigationName": long, "Status": long, "Data": {"Entities": urls,
            "AlertDisplayName": long, "Description": long}, "Actions": [{"ActionType": long}]}),
        serde_json::json!({"RecordType": 40, "AlertId": "a", "Name": long, "Comments": long, "Recipients": many}),
    ];
    let made = made.into_iter().map(|mut record| {
        record.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
        record.to_string().into_bytes()
    });
    let mut records: Vec<_> = super::golden::records().into_values().flatten().collect();
    records.extend(made);
    let origin = super::golden::Origin::new();
    let mut lines = Vec::new();
    for (record, max) in records.iter().flat_map(|record| [1_200, 1_600, 3_000].map(|max| (record, max))) {
        let mut line = Vec::new();
        let fit = Formatter::new(format, false).with_max_line_bytes(Some(max)).line(&origin.context(0), record, &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(line.len() <= max + 1);
        if fit == Fit::Cut {
            lines.push((format!("{max}: {line}"), parsed(&line)));
        }
    }
    assert!(lines.len() > 20);
    lines
}

struct Ecs(BTreeMap<String, Vec<String>>);

impl Ecs {
    fn read() -> Ecs {
        Ecs(rows("ecs-9.4.0.tsv").into_iter().map(|row| (row[0].clone(), row)).collect())
    }

    fn check(&self, path: &str, value: &Value, wrong: &mut Vec<String>) {
        let row = self.0.get(path);
        match (value, row) {
            (_, _) if path == "o365" => {}
            (Value::Object(members), row) if row.is_none_or(|row| row[1] == "nested" || row[1] == "object") => {
                for (key, value) in members {
                    self.check(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, wrong);
                }
            }
            (Value::Array(items), Some(row)) if row[2] == "list" => {
                for item in items {
                    if row[1] == "nested" { self.check(path, item, wrong) } else { one(path, item, row, wrong) }
                }
            }
            (_, None) => wrong.push(format!("{path} is no field")),
            (Value::Array(_), _) => wrong.push(format!("{path} has one value")),
            (_, Some(row)) if row[2] == "list" => wrong.push(format!("{path} is a list")),
            (value, Some(row)) => one(path, value, row, wrong),
        }
    }
}

fn one(path: &str, value: &Value, row: &[String], wrong: &mut Vec<String>) {
    let allowed: Vec<_> = row.get(3).into_iter().flat_map(|values| values.split(' ')).collect();
    let fits = match row[1].as_str() {
        "keyword" | "wildcard" | "match_only_text" | "text" => {
            value.as_str().is_some_and(|text| !text.is_empty() && (allowed.is_empty() || allowed.contains(&text)))
        }
        "long" => value.is_i64(),
        "ip" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "date" => value.as_str().is_some_and(|text| text.ends_with('Z') && crate::domain::Time::parse(text).is_some()),
        _ => false,
    };
    if !fits {
        wrong.push(format!("{path}: {value} is no {}", row[1]));
    }
}

#[test]
fn ecs_lines_fit_the_schema() {
    let schema = Ecs::read();
    for (place, line) in lines("ecs").into_iter().chain(cut_lines(OutputFormat::Ecs)) {
        let mut wrong = Vec::new();
        schema.check("", &line, &mut wrong);
        assert!(wrong.is_empty(), "{place}: {wrong:#?}");
        assert_eq!(line["o365"], Value::Bool(true), "{place}");
    }
}

#[test]
fn the_check_of_ecs_finds_what_is_wrong() {
    let schema = Ecs::read();
    for (line, expected) in [
        (r#"{"evnt":1}"#, "evnt is no field"),
        (r#"{"event":{"kind":"warning"}}"#, "event.kind: \"warning\" is no keyword"),
        (r#"{"event":{"category":"web"}}"#, "event.category is a list"),
        (r#"{"event":{"id":["a"]}}"#, "event.id has one value"),
        (r#"{"source":{"ip":"x"}}"#, "source.ip: \"x\" is no ip"),
        (r#"{"@timestamp":"2026-03-01T00:00:00"}"#, "@timestamp: \"2026-03-01T00:00:00\" is no date"),
        (r#"{"email":{"attachments":[{"file":{"nome":"a"}}]}}"#, "email.attachments.file.nome is no field"),
    ] {
        let mut wrong = Vec::new();
        schema.check("", &serde_json::from_str(line).unwrap(), &mut wrong);
        assert_eq!(wrong, [expected]);
    }
}

#[derive(Default)]
struct Shape {
    attributes: BTreeMap<String, Vec<String>>,
    one_of: Vec<String>,
}

struct Ocsf(BTreeMap<String, Shape>);

impl Ocsf {
    fn read() -> Ocsf {
        let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
        for row in rows("ocsf-1.8.0.tsv") {
            let shape = shapes.entry(row[0].clone()).or_default();
            if row[1] == "*" {
                shape.one_of = row[2].split(' ').map(str::to_owned).collect();
            } else {
                shape.attributes.insert(row[1].clone(), row);
            }
        }
        Ocsf(shapes)
    }

    fn event(&self, event: &Value, wrong: &mut Vec<String>) {
        let number = |key: &str| event[key].as_i64().unwrap_or(-1);
        let (class, activity) = (number("class_uid"), number("activity_id"));
        if number("type_uid") != class * 100 + activity || number("category_uid") != class / 1000 {
            wrong.push("type_uid or category_uid does not follow from the class".to_owned());
        }
        let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
        let profiles: Vec<_> = profiles.iter().filter_map(Value::as_str).collect();
        match event.as_object() {
            Some(members) => self.object("", &format!("class:{class}"), members, &profiles, wrong),
            None => wrong.push("no object".to_owned()),
        }
    }

    fn object(&self, path: &str, name: &str, members: &Map<String, Value>, profiles: &[&str], wrong: &mut Vec<String>) {
        let Some(shape) = self.0.get(name) else { return wrong.push(format!("{path}: no {name} in the table")) };
        for (key, value) in members {
            let path = format!("{path}.{key}");
            match shape.attributes.get(key) {
                None => wrong.push(format!("{path} is no attribute")),
                Some(row) => self.attribute(&path, value, row, profiles, wrong),
            }
        }
        for (key, row) in &shape.attributes {
            let on = row.get(5).is_none_or(|profile| profile.is_empty() || profiles.iter().any(|name| profile == name));
            if on && row[4] == "required" && !members.contains_key(key) {
                wrong.push(format!("{path}.{key} is required"));
            }
            if !on && members.contains_key(key) {
                wrong.push(format!("{path}.{key} is of a profile that is not named"));
            }
        }
        if !shape.one_of.is_empty() && !shape.one_of.iter().any(|key| members.contains_key(key)) {
            wrong.push(format!("{path} has none of {:?}", shape.one_of));
        }
    }

    fn attribute(&self, path: &str, value: &Value, row: &[String], profiles: &[&str], wrong: &mut Vec<String>) {
        if row[3] == "list" {
            let Some(items) = value.as_array() else { return wrong.push(format!("{path} is a list")) };
            return items.iter().for_each(|item| self.single(path, item, row, profiles, wrong));
        }
        self.single(path, value, row, profiles, wrong);
    }

    fn single(&self, path: &str, value: &Value, row: &[String], profiles: &[&str], wrong: &mut Vec<String>) {
        let values: Vec<i64> = row.get(6).into_iter().flat_map(|list| list.split(' ')).filter_map(|n| n.parse().ok()).collect();
        let fits = match row[2].as_str() {
            "string_t" => value.is_string(),
            "integer_t" | "long_t" => value.as_i64().is_some_and(|number| values.is_empty() || values.contains(&number)),
            "boolean_t" => value.is_boolean(),
            "json_t" => true,
            "object" => *value == Value::Bool(true),
            name => {
                return match value.as_object() {
                    Some(members) => self.object(path, name, members, profiles, wrong),
                    None => wrong.push(format!("{path} is a {name}")),
                };
            }
        };
        if !fits {
            wrong.push(format!("{path}: {value} is no {}", row[2]));
        }
    }
}

#[test]
fn ocsf_lines_fit_the_schema() {
    let schema = Ocsf::read();
    for (place, line) in lines("ocsf").into_iter().chain(cut_lines(OutputFormat::Ocsf)) {
        let mut wrong = Vec::new();
        schema.event(&line, &mut wrong);
        assert!(wrong.is_empty(), "{place}: {wrong:#?}");
    }
}

#[test]
fn the_check_of_ocsf_finds_what_is_wrong() {
    let schema = Ocsf::read();
    let good = r#"{"activity_id":1,"category_uid":2,"class_uid":2004,"type_uid":200401,"severity_id":0,"time":1,
        "metadata":{"version":"1.8.0","product":{"name":"x"},"profiles":["security_control"]},"finding_info":{"uid":"1"},
        "action_id":1,"evidences":[{"user":{"name":"a"}}]}"#;
    for (from, to, expected) in [
        ("\"action_id\":1", "\"action_id\":1", None),
        ("\"action_id\":1", "\"action_id\":7", Some(".action_id: 7 is no integer_t")),
        ("\"action_id\":1", "\"actions\":1", Some(".actions is no attribute")),
        ("security_control", "host", Some(".action_id is of a profile that is not named")),
        ("\"uid\":\"1\"", "\"title\":\"1\"", Some(".finding_info.uid is required")),
        ("\"time\":1", "\"time\":\"1\"", Some(".time: \"1\" is no long_t")),
        ("200401", "200402", Some("type_uid or category_uid does not follow from the class")),
        ("\"user\":{\"name\"", "\"user\":{\"domain\"", Some(".evidences.user has none of [\"account\", \"name\", \"uid\"]")),
    ] {
        let Ok(event) = serde_json::from_str(&good.replacen(from, to, 1)) else { continue };
        let mut wrong = Vec::new();
        schema.event(&event, &mut wrong);
        assert_eq!(wrong.first().map(String::as_str), expected, "{to}");
    }
}
