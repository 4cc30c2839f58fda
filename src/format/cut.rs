//! `--max-line-bytes`: a line for a reader that would cut it, or lose it, if it were longer.
//!
//! What is cut is the record's own part of the line, by whole values, so that the line stays valid JSON: the largest first,
//! and inside an object no more of it than is needed. `feed_dropped` at the end of that part names what went, with its bytes.
//! The fields that say which record it is stay. Where the rest of the line is too long by itself, it is cut in the same way
//! (`cut/frame.rs`). A line of CEF loses `rawEvent`, then its last fields.
//!
//! The caller keeps the whole record elsewhere.

mod cef;
mod frame;

pub(super) use cef::cut as cef;

use super::invisible;
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
    let text = std::str::from_utf8(&line[start..]).ok();
    let cut = text.and_then(|text| shorter(text, way, max).or_else(|| frame::shorter(text, way, max)));
    let cut = cut.unwrap_or_else(|| frame::emptied(line.len() - start, way, max, id));
    line.truncate(start);
    line.extend_from_slice(&cut);
}

/// `text` within `max` bytes; nothing if its other parts alone are longer.
fn shorter(text: &str, way: &[Step], max: usize) -> Option<Vec<u8>> {
    let part = follow(text, way)?;
    replaced(text, part, max, |room, out| reduced(part, room, Dropped::default(), out))
}

/// What stands before and behind `part`, which is a part of `text`.
fn around<'a>(text: &'a str, part: &str) -> (&'a str, &'a str) {
    let from = part.as_ptr() as usize - text.as_ptr() as usize;
    (&text[..from], &text[from + part.len()..])
}

/// `text` within `max` bytes, with what `write` appends, in the room that it is given, in the place of `part`.
fn replaced(text: &str, part: &str, max: usize, write: impl FnOnce(usize, &mut Vec<u8>) -> Option<()>) -> Option<Vec<u8>> {
    let (before, after) = around(text, part);
    let mut out = before.as_bytes().to_vec();
    write(max.checked_sub(before.len() + after.len())?, &mut out)?;
    out.extend_from_slice(after.as_bytes());
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
    invisible::escape(&mut out, 0);
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

    fn bytes(&self) -> usize {
        self.named.iter().map(|(_, bytes)| bytes).sum::<usize>() + self.others
    }

    /// The mark, as a member.
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        string(MARK, out);
        out.push(b':');
        object(out, |it| {
            let mut told = std::collections::HashSet::new();
            for (path, bytes) in self.named.iter().filter(|(path, _)| told.insert(path.as_str())) {
                it.number(path, i64::try_from(*bytes).ok());
            }
            it.number("(others)", i64::try_from(self.others).ok().filter(|others| *others > 0));
        });
        invisible::escape(out, start);
    }
}

/// Appends the object `part` within `room` bytes, with what was dropped before. Nothing if it can't be cut so far.
fn reduced(part: &str, room: usize, mut dropped: Dropped, out: &mut Vec<u8>) -> Option<()> {
    let mut tree = Tree::of(part)?;
    let total = part.len() + dropped.bytes();
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
        if tree.reduce(excess, "", &Rule::Record, &mut dropped) == 0 {
            break;
        }
    }
    out.truncate(start);
    let least =
        [&KEPT[..], &KEPT[..1], &[]].into_iter().find_map(|names| least(part, names, total).filter(|it| it.len() <= room));
    out.extend_from_slice(&least?);
    Some(())
}

/// The fields of `part` of these names and no more, all else told together.
fn least(part: &str, names: &[&str], total: usize) -> Option<Vec<u8>> {
    let members = json::members(part, &mut Reader::new()).ok()?;
    let mut out = Vec::new();
    object(&mut out, |it| {
        for name in names {
            let member = members.iter().find(|member| member.name == *name && member.json.len() <= KEPT_BYTES);
            if let Some(member) = member {
                it.value(name, |out| out.extend_from_slice(member.json.as_bytes()));
            }
        }
        it.object(MARK, |it| it.number("*", i64::try_from(total).ok()));
    });
    Some(out)
}

/// What may not go.
enum Rule {
    /// Of the record.
    Record,
    /// Of what is around it; with the paths of the objects on the way to it.
    Frame(Vec<String>),
}

impl Rule {
    /// True if the member `name` at `path` stays.
    fn keeps(&self, path: &str, name: &str, bytes: usize) -> bool {
        match self {
            Rule::Record => path == name && KEPT.contains(&name) && bytes <= KEPT_BYTES,
            Rule::Frame(_) => frame::stays(path, name, bytes),
        }
    }

    /// True if the record is in the object at `path`.
    fn leads(&self, path: &str) -> bool {
        matches!(self, Rule::Frame(way) if way.iter().any(|prefix| prefix == path))
    }

    /// What stands in the place of `value` when it goes.
    fn instead(&self, path: &str, value: &Value<'_>) -> Option<&'static str> {
        match (self, value) {
            (Rule::Frame(_), Value::Whole(json)) => frame::instead(path, json),
            _ => None,
        }
    }

    /// True if the object at `path` may lose what is in it, but not go.
    fn opens(&self, path: &str) -> bool {
        matches!(self, Rule::Frame(_)) && (self.leads(path) || frame::opens(path))
    }
}

/// A key with the characters escaped that the formats escape: that they were is lost once it is read.
fn visible(key: &str) -> String {
    let mut out = key.as_bytes().to_vec();
    invisible::escape(&mut out, 0);
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

impl<'a> Tree<'a> {
    fn of(object: &'a str) -> Option<Tree<'a>> {
        let members = json::members(object, &mut Reader::new()).ok()?;
        let branch = |member: json::Member<'a>| Branch {
            name: member.name.into_owned(),
            key: visible(&member.literal),
            value: Value::Whole(member.json),
        };
        Some(Tree { members: members.into_iter().map(branch).collect() })
    }

    /// Drops values until `excess` bytes are gone, the largest first. How many are.
    fn reduce(&mut self, excess: usize, path: &str, rule: &Rule, dropped: &mut Dropped) -> usize {
        let size = |branch: &Branch<'_>| branch.value.size();
        let mut order: Vec<_> = (0..self.members.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(size(&self.members[*at])));
        let mut gone = 0;
        for at in order {
            let branch = &mut self.members[at];
            let (bytes, left) = (branch.value.size(), excess.saturating_sub(gone));
            if left == 0 {
                break;
            }
            let path = if path.is_empty() { branch.name.clone() } else { format!("{path}.{}", branch.name) };
            if bytes == 0 || rule.keeps(&path, &branch.name, bytes) {
                continue;
            }
            let opens = rule.opens(&path);
            if (bytes > left || opens)
                && let Some(tree) = branch.value.tree()
            {
                let inside = tree.reduce(left, &path, rule, dropped);
                let emptied = tree.members.iter().all(|branch| matches!(branch.value, Value::Gone));
                gone += inside;
                if inside > 0 && emptied && !rule.leads(&path) {
                    branch.value = Value::Gone;
                }
                if inside > 0 || opens {
                    continue;
                }
            }
            let instead = rule.instead(&path, &branch.value);
            gone += bytes + branch.key.len() + 2;
            branch.value = instead.map_or(Value::Gone, Value::Whole);
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

#[cfg(test)]
mod tests;
