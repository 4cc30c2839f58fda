//! The print of a record's content: the same for the same record, whatever the order of its members and the white space.
//!
//! Two records have one print only if they hold the same members with the same values, `Id` among them. In doubt they
//! differ: text counts as it is escaped, numbers as they are written, the elements of an array in their order. A record with
//! a repeated key, or with escapes in a key, has none, since what it says depends on who reads it.
//!
//! An object counts as the sum of its members' hashes, so that their order does not matter and no text is copied; everything
//! else as its bytes. SipHash-1-3 of 128 bits is enough here: who wants a record to be taken for another one would
//! have to choose the `Id` that Microsoft gives it.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::members::text;
use super::skip::is_blank;
use super::stops::Stops;
use crate::domain::{RecordPrint, Time};

/// What tells one record from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    /// Of all its content.
    pub hash: u128,
    /// Its `CreationTime`, if that says when.
    pub created: Option<Time>,
    has_id: bool,
}

impl Print {
    /// By what the record is recognised if it arrives again; nothing if it has no `Id`, or one that is no text or empty.
    pub fn record(&self) -> Option<RecordPrint> {
        self.has_id.then(|| RecordPrint { created: self.created.unwrap_or(Time(0)), hash: self.hash })
    }
}

/// The print of a record that is known to be a valid JSON object of no more than [`super::MAX_DEPTH`] brackets; nothing in doubt.
/// Never panics on other bytes.
pub fn print(raw: &[u8]) -> Option<Print> {
    let mut walk = Walk { raw, at: 0, stops: Stops::new(), keys: Vec::with_capacity(USUAL_KEYS), id: None, created: None };
    if walk.peek()? != b'{' {
        return None;
    }
    let object = walk.object(super::MAX_DEPTH)?;
    let mut hasher = SipHasher13::new();
    object.write(&mut hasher);
    let (id, created) = (walk.id, walk.created);
    Some(Print {
        hash: hasher.finish128().as_u128(),
        created: created.and_then(text).and_then(|text| Time::parse(&text)),
        has_id: id.and_then(text).is_some_and(|id| !id.is_empty()),
    })
}

/// Members of a record and of the objects around them; more cost an allocation.
const USUAL_KEYS: usize = 64;

/// What an object counts as.
struct Object {
    sum: u128,
    members: u64,
}

impl Object {
    /// A fixed length, so that nothing else can read the same.
    fn write(&self, hasher: &mut SipHasher13) {
        hasher.write(b"{");
        hasher.write(&self.sum.to_le_bytes());
        hasher.write(&self.members.to_le_bytes());
    }
}

/// A value on its way into a hash: bytes that lie together are hashed together.
struct Text {
    /// Nothing before the first piece that does not lie together with the others.
    hasher: Option<SipHasher13>,
    from: usize,
}

impl Text {
    fn starting(from: usize) -> Self {
        Self { hasher: None, from }
    }

    fn flush(&mut self, raw: &[u8], to: usize) {
        if self.from < to {
            let piece = &raw[self.from..to];
            self.hasher().write(piece);
        }
        self.from = to;
    }

    fn hasher(&mut self) -> &mut SipHasher13 {
        self.hasher.get_or_insert_with(SipHasher13::new)
    }

    /// The hash of all of it. Most members are one piece, and that costs less when it is hashed at once.
    fn finish(mut self, raw: &[u8], to: usize) -> u128 {
        if self.hasher.is_none() {
            return SipHasher13::new().hash(&raw[self.from..to]).as_u128();
        }
        self.flush(raw, to);
        self.hasher().finish128().as_u128()
    }
}

struct Walk<'a> {
    raw: &'a [u8],
    at: usize,
    stops: Stops,
    /// The keys of the objects that are open, each with a short hash.
    keys: Vec<(u64, &'a [u8])>,
    id: Option<&'a [u8]>,
    created: Option<&'a [u8]>,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }

    /// Passes white space, and then this byte if it is there.
    fn passes(&mut self, byte: u8) -> Option<bool> {
        self.skip_blanks();
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Some(there)
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// The same within a value, which does not count it.
    fn skip_within(&mut self, value: &mut Text) {
        if self.peek().is_some_and(is_blank) {
            value.flush(self.raw, self.at);
            self.skip_blanks();
            value.from = self.at;
        }
    }

    /// The object that begins here.
    fn object(&mut self, depth: u32) -> Option<Object> {
        self.at += 1;
        let mut object = Object { sum: 0, members: 0 };
        let (first_key, depth) = (self.keys.len(), depth.checked_sub(1)?);
        if self.passes(b'}')? {
            return Some(object);
        }
        loop {
            self.skip_blanks();
            let mut member = Text::starting(self.at);
            let key = self.string()?;
            if key.contains(&b'\\') {
                return None;
            }
            self.keys.push((short(key), key));
            self.skip_within(&mut member);
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            self.skip_within(&mut member);
            let from = self.at;
            self.value(&mut member, depth)?;
            object.sum = object.sum.wrapping_add(member.finish(self.raw, self.at));
            object.members += 1;
            if first_key == 0 {
                match key {
                    b"Id" => self.id = self.raw.get(from..self.at),
                    b"CreationTime" => self.created = self.raw.get(from..self.at),
                    _ => {}
                }
            }
            if self.passes(b'}')? {
                break;
            }
            if !self.passes(b',')? {
                return None;
            }
        }
        let repeated = has_repeated(&mut self.keys[first_key..]);
        self.keys.truncate(first_key);
        (!repeated).then_some(object)
    }

    /// The value that begins here, in whatever it is a part of.
    fn value(&mut self, text: &mut Text, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => drop(self.string()?),
            b'{' => {
                text.flush(self.raw, self.at);
                self.object(depth)?.write(text.hasher());
                text.from = self.at;
            }
            b'[' => self.array(text, depth.checked_sub(1)?)?,
            _ => {
                let rest = self.raw.get(self.at..)?;
                let length = rest.iter().position(|b| matches!(b, b',' | b']' | b'}') || is_blank(*b));
                self.at += length.unwrap_or(rest.len());
            }
        }
        Some(())
    }

    fn array(&mut self, text: &mut Text, depth: u32) -> Option<()> {
        self.at += 1;
        self.skip_within(text);
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(text, depth)?;
            self.skip_within(text);
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b']' => return Some(()),
                b',' => self.skip_within(text),
                _ => return None,
            }
        }
    }

    /// The text between the quotes of the string that begins here, as it is written.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.peek()? != b'"' {
            return None;
        }
        let from = self.at + 1;
        let mut end = self.stops.next(self.raw, from);
        // Text stops at the `u` of an escape as well.
        while *self.raw.get(end)? == b'u' {
            end = self.stops.next(self.raw, end + 1);
        }
        if self.raw[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        self.raw.get(from..end)
    }
}

/// Tells most keys apart; those that it does not are compared.
fn short(key: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let (first, last) = (&key[..key.len().min(8)], &key[key.len().saturating_sub(8)..]);
    (word(first) ^ word(last).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key.len() as u64
}

fn has_repeated(keys: &mut [(u64, &[u8])]) -> bool {
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn hash(text: &str) -> u128 {
        print(text.as_bytes()).unwrap_or_else(|| panic!("{text} has no print")).hash
    }

    #[test]
    fn order_and_white_space_do_not_count() {
        let one = r#"{"Id":"a","N":1.0,"L":[1,{"x":null,"y":"é\n"},[]],"O":{}}"#;
        for same in [
            r#"{"O":{},"N":1.0,"Id":"a","L":[1,{"y":"é\n","x":null},[]]}"#,
            " {\t\"O\" : { } ,\r\n\"N\":1.0 , \"Id\":\"a\",\"L\" : [ 1 , {\"y\":\"é\\n\" , \"x\":null } , [ ] ] } ",
        ] {
            assert_eq!(hash(one), hash(same.trim()), "{same}");
        }
    }

    #[test]
    fn everything_else_counts() {
        let all = [
            r#"{"Id":"a"}"#,
            r#"{"Id":"b"}"#,
            r#"{"id":"a"}"#,
            r#"{}"#,
            r#"{"Id":"a","x":1}"#,
            r#"{"Id":"a","x":1.0}"#,
            r#"{"Id":"a","x":"1"}"#,
            r#"{"Id":"a","x":[1]}"#,
            r#"{"Id":"a","x":[1,2]}"#,
            r#"{"Id":"a","x":[2,1]}"#,
            r#"{"Id":"a","x":[12]}"#,
            r#"{"Id":"a","x":{}}"#,
            r#"{"Id":"a","x":[]}"#,
            r#"{"Id":"a","x":[{}]}"#,
            r#"{"Id":"a","x":[{},{}]}"#,
            r#"{"Id":"a","x":{"y":1}}"#,
            r#"{"Id":"a","y":{"x":1}}"#,
            r#"{"Id":"a","x":[{"y":1}]}"#,
            r#"{"Id":"a","x":[{"y":1,"z":2}]}"#,
            r#"{"Id":"a","x":[{"y":1},{"z":2}]}"#,
            r#"{"Id":"a","x":null}"#,
            r#"{"Id":"a","x":"\u00e9"}"#,
            r#"{"Id":"a","x":"é"}"#,
            r#"{"Id":"a","x":" "}"#,
            r#"{"Id":"a","x":"  "}"#,
            r#"{"Id":"a","x":{"y":{"z":1}}}"#,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(hash(one), hash(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn in_doubt_there_is_none() {
        for doubtful in [
            r#"{"Id":"a","x":1,"x":1}"#,
            r#"{"Id":"a","L":[{"x":1,"y":2,"x":3}]}"#,
            r#"{"I\u0064":"a"}"#,
            "[]",
            "",
            "{",
            r#"{"a":"#,
            "null",
            r#"{"a":1 "b":2}"#,
            r#"{"a" 1}"#,
        ] {
            assert_eq!(print(doubtful.as_bytes()), None, "{doubtful}");
        }
        // The same key in two objects is no doubt.
        assert!(print(br#"{"x":{"x":1},"y":[{"x":1},{"x":2}]}"#).is_some());
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(print(deep.as_bytes()), None);
    }

    #[test]
    fn only_a_record_with_an_id_is_recognised() {
        let record = |text: &str| print(text.as_bytes()).unwrap().record();
        let created = |text: &str| record(text).map(|record| record.created.0);
        assert_eq!(created(r#"{"Id":"a","CreationTime":"2026-03-01T12:00:00"}"#), Some(1_772_366_400_000));
        assert_eq!((created(r#"{"Id":"a"}"#), created(r#"{"Id":"a","CreationTime":"soon"}"#)), (Some(0), Some(0)));
        for lacking in ["{}", r#"{"CreationTime":"2026-03-01T12:00:00"}"#, r#"{"Id":""}"#, r#"{"Id":7}"#, r#"{"x":{"Id":"a"}}"#] {
            assert_eq!(record(lacking), None, "{lacking}");
        }
    }

    /// The same content with its members the other way round at every level.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let members: Vec<String> =
                    map.iter().rev().map(|(key, value)| format!("{} : {}", Value::from(key.as_str()), reversed(value))).collect();
                format!("{{ {} }}", members.join(" ,\n"))
            }
            Value::Array(all) => format!("[{}]", all.iter().map(reversed).collect::<Vec<_>>().join(" , ")),
            other => other.to_string(),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~éß\"\\\\\n]{0,90}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("[A-Za-z ]{0,20}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[A-Za-z]{0,9}", value(), 0..12)
            .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()))
    }

    proptest! {
        #[test]
        fn one_print_for_one_content(one in object(), other in object()) {
            let print_of = |text: &str| print(text.as_bytes());
            let text = one.to_string();
            prop_assert!(print_of(&text).is_some());
            prop_assert_eq!(print_of(&text), print_of(&reversed(&one)));
            prop_assert_eq!(print_of(&text) == print_of(&other.to_string()), one == other);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = print(&bytes);
            let _ = print(&[b"{\"", bytes.as_slice()].concat());
        }
    }

    #[test]
    fn what_serde_would_refuse_has_one_too() {
        for text in [r#"{"a":1e999,"b":-0,"c":"\ud800","d":[true,false,null]}"#, r#"{"a":"x\"y\\"}"#] {
            assert!(print(text.as_bytes()).is_some(), "{text}");
        }
    }
}
