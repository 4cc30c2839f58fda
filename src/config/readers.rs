//! How the texts of a setting become its value.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::defaults::NAME_BYTES_MAX;
use super::duration::{parse_duration, print_duration};
use crate::domain::{ContentType, RecordTypes};

/// The text of a setting that takes one.
pub(super) fn one(texts: &[String]) -> Result<&str, String> {
    match texts {
        [text] => Ok(text),
        [] => Err("it has no value".to_owned()),
        _ => Err("it takes one value".to_owned()),
    }
}

pub(super) fn parsed<T: FromStr<Err: Display>>(texts: &[String]) -> Result<T, String> {
    one(texts)?.trim().parse().map_err(|e: T::Err| e.to_string())
}

pub(super) fn path(texts: &[String]) -> Result<PathBuf, String> {
    let text = one(texts)?;
    if text.is_empty() || text.contains('\0') { Err("it names no file or directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn switch(texts: &[String]) -> Result<bool, String> {
    match one(texts)?.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("it can't be {other:?}: it is true or false")),
    }
}

pub(super) fn duration(texts: &[String], least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = parse_duration(one(texts)?).map_err(|e| e.to_string())?;
    if duration < least || duration > most {
        return Err(format!("it can't be {}: it is {} to {}", one(texts)?, print_duration(least), print_duration(most)));
    }
    Ok(duration)
}

pub(super) fn number(texts: &[String], least: u32, most: u32) -> Result<u32, String> {
    let text = one(texts)?.trim();
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let text: String = text.chars().take(20).collect();
        format!("it can't be {text:?}: it is a whole number from {least} to {most}")
    })
}

/// The names of tenants; selecting none is never meant.
pub(super) fn names(texts: &[String]) -> Result<Vec<String>, String> {
    if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
        return Err("it selects no tenant: give a name, or leave it out to take all".to_owned());
    }
    Ok(texts.iter().map(|text| text.trim().to_owned()).collect())
}

/// Anything that can stand in a form, because only the service knows which ids it gave.
pub(super) fn client_id(texts: &[String]) -> Result<String, String> {
    let text = one(texts)?.trim();
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("it is the application's client id, a GUID".to_owned()) }
}

/// Content types, each once.
pub(super) fn content_types(texts: &[String]) -> Result<Vec<ContentType>, String> {
    let mut types = Vec::new();
    for text in texts {
        let content_type = parsed(std::slice::from_ref(text))?;
        if !types.contains(&content_type) {
            types.push(content_type);
        }
    }
    if types.is_empty() { Err("it names no content type".to_owned()) } else { Ok(types) }
}

/// Record types from one text with commas or from several texts.
pub(super) fn record_types(texts: &[String]) -> Result<RecordTypes, String> {
    if texts.is_empty() {
        return Err("it names no record type".to_owned());
    }
    parsed(&[texts.join(",")])
}
