//! What a format puts around a record, where that alone is too long: a subject of 5,000 bytes, 500 recipients.
//!
//! The largest values go first here too. What says which event it is stays, and so do the objects themselves: a line of a
//! format stays one.

use super::{Dropped, KEPT_BYTES, Rule, Step, Tree, around, follow, least, reduced, replaced};
use super::{KEPT, bare};

/// Members that stay, whatever object they are in, besides all that end in `_id` or `_uid`.
const STAYING: [&str; 31] = [
    "@timestamp",
    "ActionType",
    "Application",
    "ApplicationId",
    "ReportId",
    "Tenant",
    "Timestamp",
    "action",
    "category",
    "code",
    "content_created",
    "content_type",
    "dataset",
    "from",
    "id",
    "index",
    "kind",
    "module",
    "operationName",
    "outcome",
    "provider",
    "severity",
    "source",
    "sourcetype",
    "tenantId",
    "time",
    "title",
    "to",
    "type",
    "uid",
    "version",
];

/// Bytes for the names of a few values that went.
const NAMES: usize = 128;

/// `text` within `max` bytes, its frame reduced as well. Nothing if it can't be.
pub(super) fn shorter(text: &str, way: &[Step], max: usize) -> Option<Vec<u8>> {
    // In a list, only the element is reduced.
    let inside = way.iter().rposition(|step| matches!(step, Step::First)).map_or(0, |at| at + 1);
    let (outer, way) = way.split_at(inside);
    if way.is_empty() {
        return None;
    }
    let frame = follow(text, outer)?;
    replaced(text, frame, max, |room, out| {
        out.extend_from_slice(&reframed(frame, way, room)?);
        Some(())
    })
}

fn reframed(frame: &str, way: &[Step], room: usize) -> Option<Vec<u8>> {
    let part = follow(frame, way)?;
    let (before, after) = around(frame, part);
    let hollow = format!("{before}{{}}{after}");
    let mut tree = Tree::of(&hollow)?;
    let floor = least(part, &KEPT, part.len()).map_or(0, |least| least.len()) + NAMES;
    let rule = Rule::Frame(prefixes(way));
    let mut dropped = Dropped::default();
    for round in 0..9 {
        let mut text = vec![b'{'];
        tree.write(&mut text);
        text.push(b'}');
        let text = String::from_utf8(text).ok()?;
        let excess = (text.len() + floor).saturating_sub(room);
        if excess > 0 && round < 8 && tree.reduce(excess, "", &rule, &mut dropped) > 0 {
            continue;
        }
        let hole = follow(&text, way)?;
        return replaced(&text, hole, room, |room, out| reduced(part, room, dropped, out));
    }
    None
}

/// The paths of the objects on the way to the record.
fn prefixes(way: &[Step]) -> Vec<String> {
    let mut path = String::new();
    let mut prefixes = Vec::new();
    for step in way {
        let Step::Member(name) = step else { continue };
        path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        prefixes.push(path.clone());
    }
    prefixes
}

/// True if the member `name` at `path` stays.
pub(super) fn stays(path: &str, name: &str, bytes: usize) -> bool {
    let named = || name.ends_with("_id") || name.ends_with("_uid") || STAYING.contains(&name);
    bytes <= KEPT_BYTES && (named() || record(path).starts_with("metadata."))
}

/// True if the object at `path` never goes as a whole while it has members that stay: it is at the top of the format's own
/// fields.
pub(super) fn opens(path: &str) -> bool {
    let own = record(path);
    !own.contains('.') || own == "event.feed"
}

/// What stands in the place of a value that went, where the format can't do without one: the recipients in `ocsf`.
pub(super) fn instead(path: &str, value: &str) -> Option<&'static str> {
    (record(path) == "email.to" && value.starts_with('[')).then_some("[]")
}

/// The path inside the envelope.
fn record(path: &str) -> &str {
    path.strip_prefix("record.").unwrap_or(path)
}

/// A line of which nothing but the id has room, in the frame that its reader can't do without.
pub(super) fn emptied(bytes: usize, way: &[Step], max: usize, id: Option<&str>) -> Vec<u8> {
    let bare = bare(bytes, id);
    let (before, after): (&[u8], &[u8]) = match way {
        [Step::Member("event"), ..] => (b"{\"event\":", b"}"),
        way if way.iter().any(|step| matches!(step, Step::First)) => (b"{\"records\":[", b"]}"),
        _ => return bare,
    };
    if before.len() + bare.len() + after.len() > max {
        return bare;
    }
    [before, &bare, after].concat()
}
