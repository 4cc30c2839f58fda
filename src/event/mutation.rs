//! Records changed at random: each is read, and written back as it was.

use proptest::prelude::*;
use proptest::sample::Index;

use super::fixtures::{all, holds};
use super::json::{self, Unquoted};
use super::reader::Reader;
use super::{Event, EventError};

/// A record, taken apart so that it can be changed anywhere, inside its texts too.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    Inside(Box<Tree>),
}

impl Tree {
    fn of(json: &str) -> Tree {
        match json.as_bytes()[0] {
            b'{' => {
                let members = json::members(json, &mut Reader::new()).unwrap();
                Tree::Map(members.iter().map(|m| (m.literal.to_string(), Tree::of(m.json))).collect())
            }
            b'[' => Tree::List(json::elements(json, &mut Reader::new(), 0).unwrap().into_iter().map(Tree::of).collect()),
            b'"' => match json::unquote(json) {
                Unquoted::Escaped(text)
                    if text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() =>
                {
                    Tree::Inside(Box::new(Tree::of(&text)))
                }
                _ => Tree::Leaf(json.to_owned()),
            },
            _ => Tree::Leaf(json.to_owned()),
        }
    }

    fn json(&self) -> String {
        match self {
            Tree::Leaf(json) => json.clone(),
            Tree::List(items) => format!("[{}]", items.iter().map(Tree::json).collect::<Vec<_>>().join(",")),
            Tree::Map(members) => {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}:{}", value.json())).collect();
                format!("{{{}}}", members.join(","))
            }
            Tree::Inside(tree) => json::quote(&tree.json()),
        }
    }

    /// Each place in which something stands, the root too, in the order of the text.
    fn places(&self) -> usize {
        1 + match self {
            Tree::Leaf(_) => 0,
            Tree::List(items) => items.iter().map(Tree::places).sum(),
            Tree::Map(members) => members.iter().map(|(_, value)| value.places()).sum(),
            Tree::Inside(tree) => tree.places(),
        }
    }

    /// Changes what stands in place `at`. False: the place comes after this tree, and `at` is less by its places.
    fn change(&mut self, at: &mut usize, change: &Change) -> bool {
        if *at == 0 {
            match (change, self) {
                (Change::Add(key, value), Tree::Map(members)) => members.push((json::quote(key), value.clone())),
                (Change::Twice(value), Tree::Map(members)) if !members.is_empty() => {
                    members.push((members[0].0.clone(), value.clone()))
                }
                (Change::Spell, Tree::Map(members)) if !members.is_empty() => members[0].0 = members[0].0.to_lowercase(),
                (Change::Drop, Tree::Map(members)) => drop(members.pop()),
                (Change::Wrap, tree) => *tree = Tree::List(vec![tree.clone()]),
                (Change::Quote, tree) => *tree = Tree::Inside(Box::new(tree.clone())),
                (Change::Replace(value) | Change::Add(_, value) | Change::Twice(value), tree) => *tree = value.clone(),
                (Change::Spell | Change::Drop, tree) => *tree = Tree::Leaf("null".to_owned()),
            }
            return true;
        }
        *at -= 1;
        match self {
            Tree::Leaf(_) => false,
            Tree::List(items) => items.iter_mut().any(|item| item.change(at, change)),
            Tree::Map(members) => members.iter_mut().any(|(_, value)| value.change(at, change)),
            Tree::Inside(tree) => tree.change(at, change),
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Replace(Tree),
    Add(String, Tree),
    Twice(Tree),
    Spell,
    Drop,
    Wrap,
    Quote,
}

fn a_leaf() -> impl Strategy<Value = Tree> {
    let odd = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "28",
        "4.0",
        "-0.0",
        "1.50",
        "2E3",
        "123456789012345678901234567890",
        "1e999",
        "\"\"",
        "\"0\"",
        "\" 1\"",
        "\"007\"",
        "\"1.50\"",
        "\"true\"",
        "\"TRUE\"",
        "\"Phish\"",
        "\"phish\"",
        "\"Inline\"",
        "\"{}\"",
        "\"[]\"",
        "\"[1,\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"a\\/b\"",
        "\"{\\\"a\\\":\\\"\\\\ud800\\\"}\"",
        "\"\\\"x\\\"\"",
        "\"mailMessage\"",
        "\"mail-cluster\"",
        "\"2026-03-02T09:10:19\"",
        "\"0001-01-01T00:00:00\"",
        "\"10/31/2024 1:31:45 PM\"",
        "\"2024-10-31T13:31:45.0302157+02:00\"",
        "\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
        "\"ABCDEF0123456789ABCDEF0123456789\"",
        "\"Anti-spam, PHSH\"",
        "\"ThreatIntelligence\"",
    ];
    prop_oneof![
        4 => proptest::sample::select(odd.to_vec()).prop_map(|json| Tree::Leaf(json.to_owned())),
        1 => any::<String>().prop_map(|text| Tree::Leaf(json::quote(&text))),
        1 => any::<f64>().prop_filter("JSON has none", |n| n.is_finite()).prop_map(|n| Tree::Leaf(n.to_string())),
    ]
}

fn a_key() -> impl Strategy<Value = String> {
    let keys = [
        "Id",
        "RecordType",
        "recordtype",
        "RecordTypeName",
        "CreationTime",
        "UserType",
        "UserTypeName",
        "Policy",
        "PolicyName",
        "PolicyName_2",
        "DetectionType",
        "DetectionTypeName",
        "FileVerdict",
        "FileVerdictName",
        "Subject",
        "Subject_2",
        "Delivery Action",
        "URLClickAction",
        "Connectors",
        "ThreatsAndDetectionTech",
        "Recipients",
        "AttachmentData",
        "FileData",
        "SHA256",
        "Data",
        "Actions",
        "Entities",
        "Type",
        "type",
        "$id",
        "$ref",
        "QueryTime",
        "QueryTime_2",
        "CountByThreatType",
        "Files",
        "FileHashes",
        "Urls",
        "Host",
        "ParentProcess",
        "id",
        "ID",
        "",
        "feed_untyped",
        "Name",
    ];
    prop_oneof![4 => proptest::sample::select(keys.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn a_tree() -> impl Strategy<Value = Tree> {
    a_leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            proptest::collection::vec((a_key().prop_map(|key| json::quote(&key)), inner.clone()), 0..5).prop_map(Tree::Map),
            inner.prop_map(|tree| Tree::Inside(Box::new(tree))),
        ]
    })
}

fn a_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => a_tree().prop_map(Change::Replace),
        3 => (a_key(), a_tree()).prop_map(|(key, value)| Change::Add(key, value)),
        2 => a_tree().prop_map(Change::Twice),
        1 => Just(Change::Spell),
        1 => Just(Change::Drop),
        1 => Just(Change::Wrap),
        1 => Just(Change::Quote),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a record is changed into, it is read, and written back as it was.
    #[test]
    fn changed_records_are_written_back_as_they_were(
        record in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), a_change()), 1..6),
    ) {
        let records: Vec<&str> = all().collect();
        let mut tree = Tree::of(json::compact(record.get(&records).trim()).as_ref());
        for (place, change) in &changes {
            let mut at = place.index(tree.places());
            tree.change(&mut at, change);
        }
        let json = tree.json();
        match tree {
            Tree::Map(_) => holds(&json),
            _ => prop_assert!(matches!(Event::from_json(json.as_bytes()), Err(EventError::NotAnObject(_)))),
        }
    }

    /// Objects made of nothing but keys that mean something, in any shape.
    #[test]
    fn made_up_objects_are_written_back_as_they_were(
        record_type in proptest::sample::select(vec!["28", "41", "47", "64", "\"64\"", "1"]),
        members in proptest::collection::vec((a_key(), a_tree()), 0..8),
    ) {
        let mut members: Vec<_> = members.into_iter().map(|(key, value)| (json::quote(&key), value)).collect();
        members.push(("\"RecordType\"".to_owned(), Tree::Leaf(record_type.to_owned())));
        holds(&Tree::Map(members).json());
    }
}
