//! What holds of dead letters made of any bytes: lines of JSON that give them back.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::DeadLetter;
use super::dead_letter::lines;
use crate::decode::is_dead_letter;
use crate::domain::{ContentId, ContentType, FeedId, Time};

/// The first byte is how many of the others name the blob; the rest are dead, in two parts.
pub(crate) fn dead_letters(data: &[u8]) {
    let Some((split, rest)) = data.split_first() else { return };
    let (name, dead) = rest.split_at(usize::from(*split).min(rest.len()));
    let name = String::from_utf8_lossy(name).into_owned();
    let (first, second) = dead.split_at(dead.len() / 2);
    let letters = [(0, first), (1, second)].map(|(part, bytes)| DeadLetter {
        content_id: ContentId(name.clone()),
        created: Time(1_772_366_400_000 - i64::from(*split)),
        index: 3,
        reason: "framing_lost",
        part,
        last: part == 1,
        bytes: bytes.to_vec(),
    });
    let tenant = "11111111-0000-4000-8000-000000000001".parse().unwrap();
    let lines = lines(&FeedId { tenant, content_type: ContentType::AuditGeneral }, &letters);
    let lines: Vec<&[u8]> = lines.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n').collect();
    assert_eq!(lines.len(), 2, "one letter, one line");
    let mut back = Vec::new();
    for line in lines {
        assert!(is_dead_letter(line) && line.iter().all(|b| *b >= b' '), "{}", String::from_utf8_lossy(line));
        let value: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(value["content_id"], name);
        back.extend(STANDARD.decode(value["bytes"].as_str().unwrap()).unwrap());
    }
    assert_eq!(back, dead, "every byte comes back");
}
