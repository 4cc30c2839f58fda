//! `--max-line-bytes`: a line for a reader that would cut it, or lose it, if it were longer.
//!
//! What is cut is the record's own part of the line, by whole values, so that the line stays valid JSON: the largest first,
//! and inside an object no more of it than is needed. `feed_dropped` at the end of that part names what went, with its bytes.
//! The fields that say which record it is stay. A line of CEF loses `rawEvent`, then its last fields.
//!
//! The caller keeps the whole record elsewhere.

use super::members::{object, string};
use crate::event::json;
use crate::event::reader::Reader;

/// The member that names what went.
const MARK: &str = "feed_dropped";

/// They say which record it is, and are short.
const KEPT: [&str; 5] = ["Id", "RecordType", "CreationTime", "Operation", "OrganizationId"];
/// Bytes that such a field may have and still be kept.
const KEPT_BYTES: usize = 256;

/// Values that are named; the bytes of further ones are told together.
const NAMED: usize = 24;
/// Bytes of a name that is told: keys can be of any length.
const NAME_BYTES: usize = 64;

/// One step on the way to the record's part of a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The member of this name.
    Member(&'static str),
    /// The first element.
    First,
}

/// Cuts the line that stands in `line` from `start` on to `max` bytes, without the line break. `id` names the record where
/// nothing else of it has room.
pub(super) fn json(line: &mut Vec<u8>, start: usize, way: &[Step], max: usize, id: Option<&str>) {
    let cut = std::str::from_utf8(&line[start..]).ok().and_then(|text| shorter(text, way, max));
    let cut = cut.unwrap_or_else(|| bare(line.len() - start, id));
    line.truncate(start);
    line.extend_from_slice(&cut);
}

/// `text` within `max` bytes; nothing if its other parts alone are longer.
fn shorter(text: &str, way: &[Step], max: usize) -> Option<Vec<u8>> {
    let part = follow(text, way)?;
    let from = part.as_ptr() as usize - text.as_ptr() as usize;
    let room = max.checked_sub(text.len() - part.len())?;
    let mut out = text.as_bytes()[..from].to_vec();
    reduced(part, room, &mut out)?;
    out.extend_from_slice(&text.as_bytes()[from + part.len()..]);
    (out.len() <= max).then_some(out)
}

fn follow<'a>(text: &'a str, way: &[Step]) -> Option<&'a str> {
    let Some((step, rest)) = way.split_first() else { return Some(text) };
    let inner = match step {
        Step::Member(name) => json::members(text, &mut Reader::new()).ok()?.iter().find(|member| member.name == *name)?.json,
        Step::First => json::elements(text, &mut Reader::new(), 0).ok()?.first().copied()?,
    };
    follow(inner, rest)
}

/// A line of which nothing but the id has room.
fn bare(bytes: usize, id: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |it| {
        it.text("Id", id.filter(|id| id.len() <= KEPT_BYTES / 2));
        it.object(MARK, |it| it.number("*", i64::try_from(bytes).ok()));
    });
    out
}

/// An object that is being cut.
struct Tree<'a> {
    members: Vec<Branch<'a>>,
}

struct Branch<'a> {
    name: String,
    key: String,
    value: Value<'a>,
}

enum Value<'a> {
    Whole(&'a str),
    Cut(Tree<'a>),
    Gone,
}

/// What went, by its path.
#[derive(Default)]
struct Dropped {
    named: Vec<(String, usize)>,
    others: usize,
}

impl Dropped {
    fn add(&mut self, path: &str, bytes: usize) {
        if self.named.len() < NAMED {
            let end = (0..=NAME_BYTES.min(path.len())).rev().find(|end| path.is_char_boundary(*end)).unwrap_or_default();
            self.named.push((path[..end].to_owned(), bytes));
        } else {
            self.others += bytes;
        }
    }

    /// The mark, as a member.
    fn write(&self, out: &mut Vec<u8>) {
        string(MARK, out);
        out.push(b':');
        object(out, |it| {
            let mut told = std::collections::HashSet::new();
            for (path, bytes) in self.named.iter().filter(|(path, _)| told.insert(path.as_str())) {
                it.number(path, i64::try_from(*bytes).ok());
            }
            it.number("(others)", i64::try_from(self.others).ok().filter(|others| *others > 0));
        });
    }
}

/// Appends the object `part` within `room` bytes. Nothing if it can't be cut so far.
fn reduced(part: &str, room: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut tree = Tree::of(part)?;
    let mut dropped = Dropped::default();
    for branch in tree.members.iter_mut().filter(|branch| branch.name == MARK) {
        if let Value::Whole(json) = std::mem::replace(&mut branch.value, Value::Gone) {
            dropped.add(MARK, json.len());
        }
    }
    let start = out.len();
    // What is dropped has to be named, which takes room again: a few rounds settle it.
    for _ in 0..8 {
        out.truncate(start);
        out.push(b'{');
        tree.write(out);
        if out.len() > start + 1 {
            out.push(b',');
        }
        dropped.write(out);
        out.push(b'}');
        let Some(excess) = (out.len() - start).checked_sub(room).filter(|excess| *excess > 0) else { return Some(()) };
        if tree.reduce(excess, "", &mut dropped) == 0 {
            return None;
        }
    }
    None
}

impl<'a> Tree<'a> {
    fn of(object: &'a str) -> Option<Tree<'a>> {
        let members = json::members(object, &mut Reader::new()).ok()?;
        let branch = |member: json::Member<'a>| Branch {
            name: member.name.into_owned(),
            key: member.literal.into_owned(),
            value: Value::Whole(member.json),
        };
        Some(Tree { members: members.into_iter().map(branch).collect() })
    }

    /// Drops values until `excess` bytes are gone, the largest first. How many are.
    fn reduce(&mut self, excess: usize, path: &str, dropped: &mut Dropped) -> usize {
        let size = |branch: &Branch<'_>| branch.value.size();
        let mut order: Vec<_> = (0..self.members.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(size(&self.members[*at])));
        let mut gone = 0;
        for at in order {
            let branch = &mut self.members[at];
            let (bytes, left) = (branch.value.size(), excess.saturating_sub(gone));
            let kept = path.is_empty() && KEPT.contains(&branch.name.as_str()) && bytes <= KEPT_BYTES;
            if left == 0 {
                break;
            }
            if bytes == 0 || kept {
                continue;
            }
            let path = if path.is_empty() { branch.name.clone() } else { format!("{path}.{}", branch.name) };
            if bytes > left
                && let Some(tree) = branch.value.tree()
            {
                let inside = tree.reduce(left, &path, dropped);
                if inside > 0 {
                    gone += inside;
                    continue;
                }
            }
            branch.value = Value::Gone;
            gone += bytes + branch.key.len() + 2;
            dropped.add(&path, bytes);
        }
        gone
    }

    fn size(&self) -> usize {
        self.members.iter().map(|branch| branch.value.size() + branch.key.len() + 2).sum::<usize>() + 1
    }

    /// The members without the braces.
    fn write(&self, out: &mut Vec<u8>) {
        let mut first = true;
        for branch in &self.members {
            if matches!(branch.value, Value::Gone) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(branch.key.as_bytes());
            out.push(b':');
            match &branch.value {
                Value::Whole(json) => out.extend_from_slice(json.as_bytes()),
                Value::Cut(tree) => {
                    out.push(b'{');
                    tree.write(out);
                    out.push(b'}');
                }
                Value::Gone => {}
            }
        }
    }
}

impl<'a> Value<'a> {
    fn size(&self) -> usize {
        match self {
            Value::Whole(json) => json.len(),
            Value::Cut(tree) => tree.size(),
            Value::Gone => 0,
        }
    }

    /// The value as an object with parts of its own.
    fn tree(&mut self) -> Option<&mut Tree<'a>> {
        if let Value::Whole(json) = self {
            *self = Value::Cut(Tree::of(json)?);
        }
        match self {
            Value::Cut(tree) => Some(tree),
            Value::Whole(_) | Value::Gone => None,
        }
    }
}

/// Cuts a line of CEF to `max` bytes, whole fields from its end. The header stays, whatever its length, unless it is longer.
pub(super) fn cef(line: &mut Vec<u8>, start: usize, max: usize) {
    const MARKED: &[u8] = b" flexString1Label=feed_dropped flexString1=1";
    let fits = |length: usize| length + MARKED.len() <= max;
    while !fits(line.len() - start) {
        let Some(field) = last_field(&line[start..]) else { break };
        line.truncate(start + field);
    }
    if fits(line.len() - start) {
        line.extend_from_slice(MARKED);
    } else {
        let end = (start..=start + max.min(line.len() - start)).rev().find(|at| line.get(*at).is_none_or(|b| b & 0xc0 != 0x80));
        line.truncate(end.unwrap_or(start));
    }
}

/// Where the last field of a line of CEF begins, with the space before it.
fn last_field(line: &[u8]) -> Option<usize> {
    let escaped = |at: usize| line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let equals = memchr::memrchr_iter(b'=', line).find(|at| !escaped(*at))?;
    memchr::memrchr(b' ', &line[..equals]).filter(|space| memchr::memmem::find(&line[..*space], b"CEF:0|").is_some())
}

#[cfg(test)]
mod tests;
