//! Comparing what came out with what should have.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of a line, which must be a JSON object; anything that RFC 8259 allows may stand in it.
pub(crate) fn members(line: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("a line is no JSON object ({e}): {}", cut(line)))
}

/// The `Id` of a record, as it stands in a line of `raw`, of `event`, or in an envelope.
pub(crate) fn id_of(line: &str) -> String {
    let members = members(line);
    if let Some(record) = members.get("record") {
        return id_of(record.get());
    }
    members.get("Id").and_then(|id| serde_json::from_str(id.get()).ok()).unwrap_or_default()
}

/// The ids of lines, in their order.
pub(crate) fn ids_of<S: AsRef<str>>(lines: &[S]) -> Vec<String> {
    lines.iter().map(|line| id_of(line.as_ref())).collect()
}

/// How often each occurs.
pub(crate) fn counted<S: AsRef<str>>(texts: &[S]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    texts.iter().for_each(|text| *counts.entry(text.as_ref()).or_default() += 1);
    counts
}

/// The same texts equally often, in any order.
#[track_caller]
pub(crate) fn assert_same<S: AsRef<str>, W: AsRef<str>>(got: &[S], wanted: &[W]) {
    let (got, wanted) = (counted(got), counted(wanted));
    let differ = |a: &BTreeMap<&str, usize>, b: &BTreeMap<&str, usize>| -> Vec<String> {
        let more = |text: &&str, n: &usize| *n > b.get(*text).copied().unwrap_or(0);
        a.iter().filter(|(text, n)| more(text, n)).take(5).map(|(text, n)| format!("{n}× {}", cut(text))).collect()
    };
    let (missing, surplus) = (differ(&wanted, &got), differ(&got, &wanted));
    assert!(missing.is_empty() && surplus.is_empty(), "missing (some): {missing:#?}\ntoo many (some): {surplus:#?}");
}

/// Lines with exactly these ids, each as often as it is wanted.
#[track_caller]
pub(crate) fn assert_same_ids<S: AsRef<str>, W: AsRef<str>>(lines: &[S], wanted: &[W]) {
    assert_same(&ids_of(lines), wanted);
}

fn cut(text: &str) -> String {
    text.chars().take(160).collect()
}
