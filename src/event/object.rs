//! Objects with typed fields: which member is which field, under which spelling, and in which place.
//!
//! An [`Object`] is its fields plus its layout. The layout remembers the order of the members, the spelling of their keys,
//! repeated keys and unknown members, so that the wire form gives back every member in its place. The clean form writes
//! each field under Microsoft's name for it, a number's name beside it, and no key twice.

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};

use serde_json::Value;

use super::field::{Field, Form, Model, Offer, Slot};
use super::fields::{Fields, Key};
use super::json::{self, Member, Raw};
use super::reader::Reader;
use super::schema::Shapes;

/// An object with typed fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<F> {
    fields: F,
    layout: Vec<Placed>,
}

/// What stands in one place of an object.
#[derive(Debug, Clone, PartialEq)]
enum Placed {
    /// A field, and its key as JSON text where it is not the usual one.
    Field { at: u8, spelled: Option<Box<str>> },
    /// The name beside a number, which the field keeps.
    Companion { at: u8 },
    /// Another member.
    Other(Box<Other>),
}

#[derive(Debug, Clone, PartialEq)]
struct Other {
    /// The key as JSON text.
    key: Box<str>,
    value: Raw,
    /// The key stood before, and the value there says the same.
    needless: bool,
}

impl<F> Deref for Object<F> {
    type Target = F;
    fn deref(&self) -> &F {
        &self.fields
    }
}

impl<F> DerefMut for Object<F> {
    fn deref_mut(&mut self) -> &mut F {
        &mut self.fields
    }
}

/// What a name beside a number adds to the field's name.
const COMPANION: &str = "Name";

/// What a member turned out to be.
#[derive(Clone, Copy)]
enum Role {
    Field(usize),
    Companion(usize),
    Other { needless: bool },
}

impl<F: Fields> Object<F> {
    /// Reads an object whose members are already apart.
    pub(crate) fn from_members(members: &[Member<'_>], reader: &mut Reader) -> Object<F> {
        const { assert!(F::COUNT <= 255, "a layout names a field in eight bits") };
        let mut fields = F::default();
        let mut roles = vec![Role::Other { needless: false }; members.len()];
        assign_fields(&mut fields, members, &mut roles, reader);
        assign_companions(&mut fields, members, &mut roles);
        let layout = members.iter().zip(&roles).map(|(member, role)| place::<F>(member, *role, reader)).collect();
        Object { fields, layout }
    }
}

fn position<F: Fields>(fits: impl Fn(&Key) -> bool) -> Option<usize> {
    (0..F::COUNT).find(|at| F::key(*at).is_some_and(&fits))
}

/// Exact names first: a member under another name must never push aside the one under the field's own.
fn assign_fields<F: Fields>(fields: &mut F, members: &[Member<'_>], roles: &mut [Role], reader: &mut Reader) {
    let mut holder: Vec<Option<usize>> = vec![None; F::COUNT];
    for (at_member, member) in members.iter().enumerate() {
        let Some(at) = position::<F>(|key| key.name == member.name) else { continue };
        let (Some(slot), Some(key)) = (fields.slot_mut(at), F::key(at)) else { continue };
        if holder[at].is_some_and(|former: usize| members[former].json == member.json) {
            roles[at_member] = Role::Other { needless: true };
            continue;
        }
        match reader.within(key.name, |reader| slot.offer(member.json, reader)) {
            Offer::First => roles[at_member] = Role::Field(at),
            Offer::Better { same } => {
                roles[at_member] = Role::Field(at);
                if let Some(former) = holder[at] {
                    roles[former] = Role::Other { needless: same };
                }
            }
            Offer::Refused { same } => {
                roles[at_member] = Role::Other { needless: same };
                continue;
            }
        }
        holder[at] = Some(at_member);
    }
    for (at_member, member) in members.iter().enumerate() {
        if matches!(roles[at_member], Role::Field(_)) {
            continue;
        }
        let same = |name: &str| json::same_name(name, &member.name);
        let at = position::<F>(|key| key.also.contains(&&*member.name))
            .or_else(|| position::<F>(|key| key.name != member.name && same(key.name)));
        let Some((at, slot)) = at.and_then(|at| Some((at, fields.slot_mut(at)?))) else { continue };
        if let (true, Some(key)) = (slot.is_absent(), F::key(at)) {
            reader.within(key.name, |reader| slot.offer(member.json, reader));
            roles[at_member] = Role::Field(at);
        }
    }
}

/// Members that only repeat, as a name, what a number says: the clean form wrote them.
fn assign_companions<F: Fields>(fields: &mut F, members: &[Member<'_>], roles: &mut [Role]) {
    for (member, role) in members.iter().zip(roles) {
        let (Role::Other { .. }, Some(stem)) = (*role, member.name.strip_suffix(COMPANION)) else { continue };
        let Some((at, slot)) = position::<F>(|key| key.name == stem).and_then(|at| Some((at, fields.slot_mut(at)?))) else {
            continue;
        };
        let name = if member.json.starts_with('"') { json::unquote(member.json) } else { continue };
        let taken = match &name {
            json::Unquoted::Plain(name) => slot.accept_companion(name),
            json::Unquoted::Escaped(name) => slot.accept_companion(name),
            json::Unquoted::Lossy(_) => false,
        };
        if taken {
            *role = Role::Companion(at);
        }
    }
}

fn place<F: Fields>(member: &Member<'_>, role: Role, reader: &mut Reader) -> Placed {
    let in_layout = |at: usize| u8::try_from(at).expect("a set of fields has at most 255");
    match role {
        Role::Field(at) => {
            let usual = F::key(at).is_some_and(|key| key.name == member.name);
            Placed::Field { at: in_layout(at), spelled: (!usual).then(|| member.literal.as_ref().into()) }
        }
        Role::Companion(at) => Placed::Companion { at: in_layout(at) },
        Role::Other { needless } => {
            if !F::OPEN && position::<F>(|key| key.name == member.name).is_none() {
                reader.unknown_field(&member.name);
            }
            Placed::Other(Box::new(Other { key: member.literal.as_ref().into(), value: Raw::new(member.json), needless }))
        }
    }
}

/// The value that an object with these members will have under `name`, told before its kind is known.
pub(crate) fn peek<T: Model>(members: &[Member<'_>], name: &str) -> Field<T> {
    let mut field = Field::default();
    let mut reader = Reader::new();
    for member in members.iter().filter(|member| member.name == name) {
        field.offer(member.json, &mut reader);
    }
    if field.is_absent() {
        let other = members.iter().find(|member| json::same_name(name, &member.name));
        other.into_iter().for_each(|member| {
            field.offer(member.json, &mut reader);
        });
    }
    field
}

impl<F: Fields> Model for Object<F> {
    fn shape(shapes: &mut Shapes) -> Value {
        shapes.object::<F>()
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        if !json.starts_with('{') || !reader.charge(size_of::<Self>()) {
            return None;
        }
        let members = json::members(json, reader).ok()?;
        Some(Object::from_members(&members, reader))
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        match form {
            Form::Wire => self.write_wire(start, out),
            Form::Clean => self.write_clean(&[], start, out),
        }
        out.push(b'}');
    }
}

/// How the escape of a surrogate begins in JSON text; one that has its other half is never written as an escape.
const SURROGATE: &[u8] = b"\\ud";

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Starts a member; the parts are those of its key, as JSON text.
fn write_key(key: &[&str], start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    for part in key {
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b':');
}

impl<F: Fields> Object<F> {
    fn write_wire(&self, start: usize, out: &mut Vec<u8>) {
        for placed in &self.layout {
            match placed {
                Placed::Field { at, spelled } => {
                    let (Some(key), Some(slot)) = (F::key((*at).into()), self.fields.slot((*at).into())) else { continue };
                    match spelled {
                        Some(spelled) => write_key(&[spelled], start, out),
                        None => write_key(&["\"", key.name, "\""], start, out),
                    }
                    slot.write(Form::Wire, out);
                }
                Placed::Companion { at } => {
                    let (Some(key), Some(slot)) = (F::key((*at).into()), self.fields.slot((*at).into())) else { continue };
                    write_key(&["\"", key.name, COMPANION, "\""], start, out);
                    json::write_string(slot.companion().unwrap_or_default(), out);
                }
                Placed::Other(other) => {
                    write_key(&[&other.key], start, out);
                    out.extend_from_slice(other.value.json().as_bytes());
                }
            }
        }
    }

    /// Appends the clean form without the fields of these names, which were told elsewhere. A text that no other place can
    /// have told in full, because it holds a lone surrogate, stays.
    pub(crate) fn write_rest(&self, told: &[&str], out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_clean(told, out.len(), out);
        out.push(b'}');
    }

    /// The value, as JSON text, of a member that is no field.
    pub fn extra(&self, name: &str) -> Option<&str> {
        let key = json::quote(name);
        self.layout.iter().find_map(|placed| match placed {
            Placed::Other(other) if *other.key == *key => Some(other.value.json()),
            _ => None,
        })
    }

    fn write_clean(&self, told: &[&str], start: usize, out: &mut Vec<u8>) {
        let mut keys = Keys::of(self);
        for placed in &self.layout {
            match placed {
                Placed::Field { at, .. } => {
                    let (Some(key), Some(slot)) = (F::key((*at).into()), self.fields.slot((*at).into())) else { continue };
                    let before = out.len();
                    write_key(&["\"", key.name, "\""], start, out);
                    slot.write(Form::Clean, out);
                    if told.contains(&key.name) && !holds(&out[before..], SURROGATE) {
                        out.truncate(before);
                        continue;
                    }
                    if let Some(name) =
                        slot.companion().filter(|_| keys.named.contains(at) || !keys.has_other(&[key.name, COMPANION]))
                    {
                        write_key(&["\"", key.name, COMPANION, "\""], start, out);
                        json::write_string(name, out);
                    }
                }
                Placed::Companion { .. } => {}
                Placed::Other(other) if other.needless => {}
                Placed::Other(other) => {
                    write_key(&[&keys.free(&other.key)], start, out);
                    out.extend_from_slice(other.value.json().as_bytes());
                }
            }
        }
    }
}

/// The keys of a clean object, so that none is written twice: a second one would cost the whole event in the SIEMs that
/// refuse repeated keys.
struct Keys<'a> {
    /// Keys of the members that are no fields, as JSON text.
    others: HashSet<&'a str>,
    /// Fields whose number has its name from the record, beside the number or instead of it: the name keeps its key,
    /// whatever else has the same one.
    named: HashSet<u8>,
    /// Keys that are written or will be.
    taken: HashSet<String>,
    /// The last number that was added to a key.
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Keys<'a> {
    fn of<F: Fields>(object: &'a Object<F>) -> Keys<'a> {
        let others: HashSet<&str> = object
            .layout
            .iter()
            .filter_map(|placed| match placed {
                Placed::Other(other) if !other.needless => Some(&*other.key),
                _ => None,
            })
            .collect();
        let (mut named, mut taken) = (HashSet::new(), HashSet::new());
        if !others.is_empty() {
            named.extend(object.layout.iter().filter_map(|placed| match placed {
                Placed::Companion { at } => Some(*at),
                Placed::Field { at, .. } => {
                    object.fields.slot((*at).into()).is_some_and(Slot::is_said_by_companion).then_some(*at)
                }
                Placed::Other(_) => None,
            }));
            let names = named.iter().filter_map(|at| F::key((*at).into()));
            taken.extend(names.map(|key| json::quote(&[key.name, COMPANION].concat())));
            let fields = object.layout.iter().filter_map(|placed| match placed {
                Placed::Field { at, .. } => F::key((*at).into()),
                Placed::Companion { .. } | Placed::Other(_) => None,
            });
            taken.extend(fields.map(|key| json::quote(key.name)));
        }
        Keys { others, named, taken, numbers: HashMap::new() }
    }

    /// True if a member that is no field has the key of these parts.
    fn has_other(&self, parts: &[&str]) -> bool {
        !self.others.is_empty() && self.others.contains(json::quote(&parts.concat()).as_str())
    }

    /// `key`, or `key` with the first number from 2 that makes it free.
    fn free(&mut self, key: &'a str) -> String {
        if self.taken.insert(key.to_owned()) {
            return key.to_owned();
        }
        let number = self.numbers.entry(key).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{}_{number}\"", key.strip_suffix('"').unwrap_or(key));
            if !self.others.contains(numbered.as_str()) && self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro declares public types")]
mod tests {
    use super::super::code::{Code, Policy};
    use super::super::fields::fields;
    use super::super::text::{Number, Text};
    use super::super::time::Stamp;
    use super::*;

    fields! {
        /// An object to test with.
        Sample {
            action: Text = "DeliveryAction";
            link: Text = "Connector" | "Connectors";
            policy: Code<Policy> = "Policy";
            time: Stamp = "QueryTime";
            size: Number = "FileSize";
        }
    }

    fn both(json: &str) -> (String, String, Vec<String>) {
        let mut reader = Reader::new();
        let object = Object::<Sample>::read(json, &mut reader).unwrap();
        let written = |form| {
            let mut out = Vec::new();
            object.write(form, &mut out);
            String::from_utf8(out).unwrap()
        };
        let drift = reader.into_drift().into_iter().map(|d| format!("{} {}", d.path, d.kind)).collect();
        (written(Form::Wire), written(Form::Clean), drift)
    }

    #[track_caller]
    fn fits(json: &str, clean: &str, drift: &[&str]) {
        let (wire, cleaned, drifted) = both(json);
        assert_eq!(wire, json);
        assert_eq!(cleaned, clean);
        assert_eq!(drifted, drift);
        assert_eq!(both(&cleaned).1, cleaned, "the clean form of the clean form");
    }

    #[test]
    fn spellings_are_remembered_and_cleaned() {
        fits(r#"{"Delivery Action":"Blocked","Connectors":"x"}"#, r#"{"DeliveryAction":"Blocked","Connector":"x"}"#, &[]);
        fits(
            r#"{"Delivery Action":"a","DeliveryAction":"b"}"#,
            r#"{"Delivery Action":"a","DeliveryAction":"b"}"#,
            &["Delivery Action unknown_field"],
        );
    }

    #[test]
    fn order_and_unknown_members_stay() {
        fits(
            r#"{"New":{"a":[1]},"FileSize":"7","new":null}"#,
            r#"{"New":{"a":[1]},"FileSize":7,"new":null}"#,
            &["New unknown_field", "new unknown_field"],
        );
        fits("{}", "{}", &[]);
    }

    #[test]
    fn numbers_have_their_names_beside_them() {
        fits(r#"{"Policy":4}"#, r#"{"Policy":4,"PolicyName":"Anti-spam, PHSH"}"#, &[]);
        fits(r#"{"Policy":"Phish"}"#, r#"{"Policy":4,"PolicyName":"Phish"}"#, &[]);
        fits(r#"{"Policy":"New"}"#, r#"{"Policy":"New","PolicyName":"New"}"#, &["Policy unknown_value"]);
        fits(r#"{"PolicyName":"Phish","Policy":4}"#, r#"{"Policy":4,"PolicyName":"Phish"}"#, &[]);
        fits(r#"{"Policy":4,"PolicyName":"Other"}"#, r#"{"Policy":4,"PolicyName":"Other"}"#, &["PolicyName unknown_field"]);
        fits(
            r#"{"Policy":99,"PolicyName":"Phish"}"#,
            r#"{"Policy":99,"PolicyName":"Phish"}"#,
            &["Policy unknown_value", "PolicyName unknown_field"],
        );
    }

    /// Found by the fuzz target `encoders`: the right name was left out.
    #[test]
    fn a_name_instead_of_a_number_is_not_pushed_aside_by_what_else_has_its_key() {
        for (record, expected) in [
            (r#"{"Policy":"Phish","PolicyName":null}"#, r#"{"Policy":4,"PolicyName":"Phish","PolicyName_2":null}"#),
            (r#"{"PolicyName":"Spoof","Policy":"Phish"}"#, r#"{"PolicyName_2":"Spoof","Policy":4,"PolicyName":"Phish"}"#),
        ] {
            let (wire, clean, _) = both(record);
            assert_eq!((wire.as_str(), clean.as_str()), (record, expected));
            assert_eq!(both(&clean).1, clean);
        }
    }

    #[test]
    fn the_right_name_stays_beside_its_number_whatever_else_has_its_key() {
        for record in [
            r#"{"PolicyName":"Other","Policy":4,"PolicyName":"Phish"}"#,
            r#"{"PolicyName":"Phish","Policy":4,"PolicyName":"Other"}"#,
        ] {
            let (wire, clean, _) = both(record);
            assert_eq!(wire, record);
            assert!(
                clean.contains(r#""Policy":4,"PolicyName":"Phish""#) && clean.contains(r#""PolicyName_2":"Other""#),
                "{clean}"
            );
            assert_eq!(both(&clean).1, clean);
        }
    }

    #[test]
    fn repeated_keys_stay_on_the_wire_and_are_told_apart_in_the_clean_form() {
        fits(
            r#"{"QueryTime":"10/31/2024 1:31:45 PM","FileSize":1,"QueryTime":"2024-10-31T13:31:45.0302157Z"}"#,
            r#"{"FileSize":1,"QueryTime":"2024-10-31T13:31:45.0302157Z"}"#,
            &[],
        );
        fits(r#"{"FileSize":[1,2],"FileSize":[1,2]}"#, r#"{"FileSize":[1,2]}"#, &["FileSize odd_shape"]);
        fits(r#"{"FileSize":1,"FileSize":2,"FileSize":1,"FileSize":3}"#, r#"{"FileSize":1,"FileSize_2":2,"FileSize_3":3}"#, &[]);
        fits(r#"{"a":1,"a":2,"a_2":3,"a":4}"#, r#"{"a":1,"a_3":2,"a_2":3,"a_4":4}"#, &["a unknown_field", "a_2 unknown_field"]);
        fits(r#"{"FileSize":null,"FileSize":[],"FileSize":5}"#, r#"{"FileSize_2":[],"FileSize":5}"#, &["FileSize odd_shape"]);
        fits(r#"{"\ud800":1,"\ud800":2}"#, r#"{"\ud800":1,"\ud800_2":2}"#, &["\u{fffd}\u{fffd}\u{fffd} unknown_field"]);
    }

    #[test]
    fn ten_thousand_repeats_take_no_time() {
        let json = format!("{{{}}}", vec!["\"a\":1"; 10_000].join(","));
        let (wire, clean, _) = both(&json);
        assert_eq!(wire.len(), json.len());
        assert!(clean.contains("\"a_10000\":1"));
    }
}
