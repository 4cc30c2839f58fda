//! The print of a record's content: the same for the same record, whatever the order of its members and the white space.
//!
//! Two records have one print only if they hold the same members with the same values, `Id` among them. In doubt they
//! differ: text counts as it is escaped, numbers as they are written, the elements of an array in their order. A record with
//! a repeated key, or with escapes in a key, has none, since what it says depends on who reads it.
//!
//! An object counts as the sum of its members' hashes, so that their order does not matter; text and numbers as their bytes; what
//! holds others as a hash of theirs. The hash is SipHash-1-3 of 128 bits with a secret key: records say what strangers write in
//! mails and files, several records may have one `Id`, and where the key is known, or the hash is a fast one that was not made for
//! it (XXH3 was tried), two texts can be found that count as the same, and the second record would be dropped.

use siphasher::sip128::SipHasher13;

use super::members::text;
use super::skip::{has_backslash, is_blank};
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
/// Never panics on other bytes. Prints made with different keys have nothing to do with each other.
pub fn print(raw: &[u8], key: u64) -> Option<Print> {
    let mut walk = Walk {
        hasher: SipHasher13::new_with_keys(key, 0),
        raw,
        at: 0,
        stops: Stops::new(),
        keys: Vec::with_capacity(USUAL_KEYS),
        spaced: Vec::new(),
        id: None,
        created: None,
    };
    if walk.peek()? != b'{' {
        return None;
    }
    let hash = walk.object(super::MAX_DEPTH)?;
    let (id, created) = (walk.id, walk.created);
    Some(Print {
        hash,
        created: created.and_then(text).and_then(|text| Time::parse(&text)),
        has_id: id.and_then(text).is_some_and(|id| !id.is_empty()),
    })
}

/// Members of a record and of the objects around them; more cost an allocation.
const USUAL_KEYS: usize = 64;

/// In an object of so many members or fewer each key is looked for among those before it. In a larger one they are sorted, so that
/// no object costs the square of its members.
const FEW_MEMBERS: u64 = 64;

struct Walk<'a> {
    /// It has the key, and nothing else yet.
    hasher: SipHasher13,
    raw: &'a [u8],
    at: usize,
    stops: Stops,
    /// The keys of the objects that are open, each with a short hash.
    keys: Vec<(u64, &'a [u8])>,
    /// A member that is written with white space around its colon, without it.
    spaced: Vec<u8>,
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

    fn hash(&self, bytes: &[u8]) -> u128 {
        self.hasher.hash(bytes).as_u128()
    }

    /// What something with parts counts as. The first byte is one with which no text, number or member begins, so that nothing else
    /// reads the same.
    fn combined(&self, kind: u8, one: u128, other: u128) -> u128 {
        let mut bytes = [kind; 33];
        bytes[1..17].copy_from_slice(&one.to_le_bytes());
        bytes[17..].copy_from_slice(&other.to_le_bytes());
        self.hash(&bytes)
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// The object that begins here.
    fn object(&mut self, depth: u32) -> Option<u128> {
        self.at += 1;
        let (mut sum, mut members) = (0_u128, 0_u64);
        let (first_key, depth) = (self.keys.len(), depth.checked_sub(1)?);
        let mut seen = Seen::default();
        while members > 0 || !self.passes(b'}')? {
            self.skip_blanks();
            let begin = self.at;
            let key = self.string()?;
            if has_escape(key) {
                return None;
            }
            let named = (short(key), key);
            if members < FEW_MEMBERS && seen.again(named.0) && self.keys[first_key..].contains(&named) {
                return None;
            }
            self.keys.push(named);
            let (member, value) = self.member(begin, depth)?;
            sum = sum.wrapping_add(member);
            members += 1;
            if first_key == 0 {
                match key {
                    b"Id" => self.id = Some(value),
                    b"CreationTime" => self.created = Some(value),
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
        if members > FEW_MEMBERS && has_repeated(&mut self.keys[first_key..]) {
            return None;
        }
        self.keys.truncate(first_key);
        Some(self.combined(b'{', sum, u128::from(members)))
    }

    /// What the member counts as whose key began at `begin` and ends here, and its value as it is written.
    fn member(&mut self, begin: usize, depth: u32) -> Option<(u128, &'a [u8])> {
        let key = &self.raw[begin..self.at];
        if !self.passes(b':')? {
            return None;
        }
        self.skip_blanks();
        let from = self.at;
        if matches!(self.peek()?, b'{' | b'[') {
            let value = self.value(depth)?;
            return Some((self.combined(b':', self.hash(key), value), self.raw.get(from..self.at)?));
        }
        self.scalar()?;
        let value = self.raw.get(from..self.at)?;
        if from == begin + key.len() + 1 {
            return Some((self.hash(self.raw.get(begin..self.at)?), value));
        }
        self.spaced.clear();
        for part in [key, b":", value] {
            self.spaced.extend_from_slice(part);
        }
        Some((self.hash(&self.spaced), value))
    }

    /// The value that begins here.
    fn value(&mut self, depth: u32) -> Option<u128> {
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth.checked_sub(1)?),
            _ => {
                let from = self.at;
                self.scalar()?;
                Some(self.hash(self.raw.get(from..self.at)?))
            }
        }
    }

    /// Passes the text, number or literal that begins here.
    fn scalar(&mut self) -> Option<()> {
        if self.peek()? == b'"' {
            return self.string().map(drop);
        }
        let rest = self.raw.get(self.at..)?;
        let length = rest.iter().position(|b| matches!(b, b',' | b']' | b'}') || is_blank(*b));
        self.at += length.unwrap_or(rest.len());
        Some(())
    }

    fn array(&mut self, depth: u32) -> Option<u128> {
        self.at += 1;
        let (mut all, mut length) = (0, 0_u64);
        while length > 0 || !self.passes(b']')? {
            self.skip_blanks();
            let element = self.value(depth)?;
            all = self.combined(b'[', all, element);
            length += 1;
            if self.passes(b']')? {
                break;
            }
            if !self.passes(b',')? {
                return None;
            }
        }
        Some(self.combined(b']', all, u128::from(length)))
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

/// Which short hashes there were, roughly: one that is not in here is new.
#[derive(Default)]
struct Seen([u64; 8]);

impl Seen {
    /// True if there may have been this one before; from now on there was.
    fn again(&mut self, short: u64) -> bool {
        let (word, bit) = (&mut self.0[(short >> 61) as usize], 1 << (short >> 55 & 63));
        let again = *word & bit != 0;
        *word |= bit;
        again
    }
}

fn has_escape(key: &[u8]) -> bool {
    let (words, rest) = key.as_chunks::<8>();
    words.iter().any(|word| has_backslash(u64::from_le_bytes(*word))) || rest.contains(&b'\\')
}

/// Tells most keys apart; those that it does not are compared.
fn short(key: &[u8]) -> u64 {
    let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    (first ^ last.rotate_left(29)).wrapping_add(key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
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

    const KEY: u64 = 7;

    fn print(raw: &[u8]) -> Option<Print> {
        super::print(raw, KEY)
    }

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

    /// Keys that are much alike, in objects on both sides of what is looked up one by one.
    #[test]
    fn a_repeated_key_is_found_in_objects_of_any_size() {
        for count in [2, 3, FEW_MEMBERS, FEW_MEMBERS + 1, FEW_MEMBERS + 2, 3 * FEW_MEMBERS] {
            let object = |keys: &[u64]| {
                let members: Vec<String> = keys.iter().map(|key| format!("\"ExtendedProperty{key:08}\":{key}")).collect();
                format!("{{\"O\":[{{{}}}]}}", members.join(","))
            };
            let keys: Vec<u64> = (0..count).collect();
            assert!(print(object(&keys).as_bytes()).is_some(), "{count}");
            for (first, again) in [(0, count - 1), (0, 1), (count / 2 - 1, count - 1)] {
                let mut keys = keys.clone();
                keys[usize::try_from(again).unwrap()] = first;
                assert_eq!(print(object(&keys).as_bytes()), None, "{first} for {again} of {count}");
            }
        }
    }

    #[test]
    fn what_looks_like_a_part_is_none() {
        // Bytes in a text are not taken for the structure that they look like.
        let inner = hash(r#"{"y":1}"#);
        for (one, other) in [
            (r#"{"x":{"y":1}}"#.to_owned(), format!(r#"{{"x":"{inner:032x}"}}"#)),
            (r#"{"x":[[1],2]}"#.to_owned(), r#"{"x":[1,[2]]}"#.to_owned()),
            (r#"{"x":[[],[]]}"#.to_owned(), r#"{"x":[[[]]]}"#.to_owned()),
            (r#"{"x":[{"y":1,"z":1}]}"#.to_owned(), r#"{"x":[{"y":1},{"z":1}]}"#.to_owned()),
            (r#"{"a":{"b":1},"c":{"d":2}}"#.to_owned(), r#"{"a":{"d":2},"c":{"b":1}}"#.to_owned()),
            (r#"{"a":1,"b":2}"#.to_owned(), r#"{"a":2,"b":1}"#.to_owned()),
        ] {
            assert_ne!(hash(&one), hash(&other), "{one} {other}");
        }
    }

    #[test]
    fn another_key_makes_another_print() {
        assert_ne!(super::print(b"{}", 1), super::print(b"{}", 2));
    }

    /// It is stored: another value for the same record would have it delivered again by the next release.
    #[test]
    fn a_print_stays_what_it_is() {
        let record = r#"{"Id":"a","CreationTime":"2026-03-01T12:00:00","L":[1,{"x":null},[]],"O":{"n":1.50,"t":"\u00e9 and \"more\" of it"}}"#;
        assert_eq!(hash(record), 0xf108_d0c0_d60e_5387_c1c3_ef19_2efe_9484);
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
