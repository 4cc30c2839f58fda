use serde_json::Value;

use super::of_event;
use crate::event::field::Form;
use crate::event::fixtures::all;
use crate::event::reader::DriftKind;
use crate::event::{Event, EventError};

/// As much of JSON Schema as this one uses.
fn fits(value: &Value, shape: &Value, root: &Value) -> Result<(), String> {
    let all = |list: &str| shape.get(list).and_then(Value::as_array).into_iter().flatten();
    if let Some(name) = shape.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(name.trim_start_matches('#')).ok_or_else(|| format!("no {name}"))?;
        fits(value, target, root)?;
    }
    if let Some(kinds) = shape.get("type") {
        let kinds: Vec<_> = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]);
        let is = |kind: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => false,
        };
        if !kinds.iter().any(is) {
            return Err(format!("{value} is none of {kinds:?}"));
        }
    }
    for part in all("allOf") {
        fits(value, part, root)?;
    }
    if shape.get("anyOf").is_some() && !all("anyOf").any(|part| fits(value, part, root).is_ok()) {
        return Err(format!("{value} fits none of {}", shape["anyOf"]));
    }
    if let (Some(condition), Some(then)) = (shape.get("if"), shape.get("then")) {
        let holds = condition["properties"].as_object().into_iter().flatten().all(|(key, expected)| {
            let one_of =
                expected.get("enum").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![expected["const"].clone()]);
            value.get(key).is_some_and(|value| one_of.contains(value))
        });
        if holds {
            fits(value, then, root)?;
        }
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        let rest = shape.get("additionalProperties").filter(|rest| rest.is_object());
        if let Some(property) = shape.pointer("/properties").and_then(|all| all.get(key)).or(rest) {
            fits(member, property, root).map_err(|why| format!("{key}: {why}"))?;
        }
    }
    for element in value.as_array().into_iter().flatten() {
        if let Some(items) = shape.get("items").filter(|_| !element.is_null()) {
            fits(element, items, root)?;
        }
    }
    Ok(())
}

#[test]
fn events_without_oddities_fit_the_schema() {
    let schema: Value = serde_json::from_str(&of_event()).unwrap();
    let mut checked = 0;
    for raw in all() {
        let (event, drift) = match Event::read(raw.as_bytes()) {
            Ok(read) => read,
            Err(EventError::TooManyValues | EventError::NotAnObject(_) | EventError::NotUtf8(_)) => continue,
        };
        if drift.iter().any(|drift| drift.kind == DriftKind::OddShape) {
            continue;
        }
        let mut clean = Vec::new();
        event.write(Form::Clean, &mut clean);
        // What no `Value` holds is no matter of shapes.
        let Ok(value) = serde_json::from_slice::<Value>(&clean) else { continue };
        fits(&value, &schema, &schema).unwrap_or_else(|why| panic!("{why}\n{value}"));
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn what_does_not_fit_is_found() {
    let schema: Value = serde_json::from_str(&of_event()).unwrap();
    for (event, why) in [
        (r#"{"RecordType":28,"Recipients":"a"}"#, "Recipients"),
        (r#"{"RecordType":28,"RecordTypeName":7}"#, "RecordTypeName"),
        (r#"{"RecordType":64,"Data":{"Entities":[{"Type":"url","Url":7}]}}"#, "Data"),
        (r#"{"RecordType":47,"FileData":{"FileSize":"7"}}"#, "FileSize"),
        (r#"{"RecordType":99,"Id":7}"#, "Id"),
    ] {
        let found = fits(&serde_json::from_str(event).unwrap(), &schema, &schema);
        assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{event}: {found:?}");
    }
    assert_eq!(fits(&serde_json::from_str(r#"{"RecordType":41,"Recipients":"a"}"#).unwrap(), &schema, &schema), Ok(()));
}
