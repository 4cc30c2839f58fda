//! A record's identity: the same for the same record, in whatever order, spacing, escaping or blob it comes.
//!
//! `id` is the first 128 bits, in hexadecimal, of SHA-256 over the tenant's id and the record's content; Microsoft's `Id`
//! is part of the content. Two records share an `id` only if they say the same, value for value:
//!
//! - members of an object count without their order; a repeated key counts as often as it stands;
//! - strings count by their text: `\/` is `/`, `\u00e9` is `é`; a lone surrogate counts as itself;
//! - numbers count as they are written: `1.0` is not `1`. The service writes them the same way each time, and to call two
//!   records different in doubt costs a repeat, while the opposite costs an event.
//!
//! Each member of an object is reduced to 128 bits and the members are sorted, so that no copy of the record is built and
//! its depth costs no stack: 16 bytes a member, and the text of the longest member. Someone who wants two different
//! records to share an `id` has to find a collision of 128 bits, some 2^64 trials. The id is stable across releases.

use ring::digest::{SHA256, digest};

use crate::domain::TenantId;

/// What is known of a record's identity.
pub(super) struct Identity {
    /// 32 hexadecimal digits.
    pub(super) id: String,
    /// False if the bytes are not one JSON value; the id is then that of the bytes.
    pub(super) is_json: bool,
}

/// The identity of the record `raw` of this tenant.
pub(super) fn of(tenant: &TenantId, raw: &[u8]) -> Identity {
    let content = std::str::from_utf8(raw).ok().and_then(|_| content(raw));
    let is_json = content.is_some();
    let content = content.unwrap_or_else(|| short_digest(raw));
    let mut all = b"defender-feed record id 1\0".to_vec();
    all.extend_from_slice(tenant.as_str().as_bytes());
    all.push(if is_json { b'{' } else { b'?' });
    all.extend_from_slice(&content);
    let id = short_digest(&all).iter().map(|byte| format!("{byte:02x}")).collect();
    Identity { id, is_json }
}

type Digest = [u8; 16];

fn short_digest(bytes: &[u8]) -> Digest {
    let whole = digest(&SHA256, bytes);
    let mut short = Digest::default();
    short.copy_from_slice(&whole.as_ref()[..16]);
    short
}

/// An array or object that is not closed yet.
enum Open {
    Array,
    /// `member`: where in the buffer the member begins that is being read.
    Object {
        digests: Vec<Digest>,
        member: usize,
    },
}

/// The digest of one JSON value's content. `None`: the bytes are not one JSON value.
fn content(raw: &[u8]) -> Option<Digest> {
    let mut scan = Scan { raw, at: 0, canonical: Vec::new() };
    let mut open: Vec<Open> = Vec::new();
    'value: loop {
        match scan.token()? {
            b'{' => {
                let empty = Open::Object { digests: Vec::new(), member: scan.canonical.len() };
                open.push(empty);
                if scan.peek()? != b'}' {
                    scan.key()?;
                    continue 'value;
                }
            }
            b'[' => {
                scan.canonical.push(b'[');
                open.push(Open::Array);
                if scan.peek()? != b']' {
                    continue 'value;
                }
            }
            b'"' => scan.string()?,
            _ => scan.scalar()?,
        }
        // A value ended, or an empty array or object is about to.
        loop {
            match open.last_mut() {
                None => {
                    let all = scan.peek().is_none();
                    return all.then(|| short_digest(&scan.canonical));
                }
                Some(Open::Array) => match scan.token()? {
                    b',' => continue 'value,
                    b']' => scan.canonical.push(b']'),
                    _ => return None,
                },
                Some(Open::Object { digests, member }) => {
                    if scan.canonical.len() > *member {
                        digests.push(short_digest(&scan.canonical[*member..]));
                        scan.canonical.truncate(*member);
                    }
                    match scan.token()? {
                        b',' => {
                            scan.key()?;
                            continue 'value;
                        }
                        b'}' => {
                            digests.sort_unstable();
                            let object = short_digest(digests.as_flattened());
                            scan.canonical.push(b'{');
                            scan.canonical.extend_from_slice(&object);
                        }
                        _ => return None,
                    }
                }
            }
            open.pop();
        }
    }
}

/// A walk over JSON text that writes what it says in one unambiguous way.
struct Scan<'a> {
    raw: &'a [u8],
    at: usize,
    canonical: Vec<u8>,
}

impl Scan<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.raw.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.raw.get(self.at).copied()
    }

    fn token(&mut self) -> Option<u8> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn key(&mut self) -> Option<()> {
        if self.token()? != b'"' {
            return None;
        }
        self.string()?;
        (self.token()? == b':').then_some(())
    }

    /// The rest of a number or word.
    fn scalar(&mut self) -> Option<()> {
        let rest = &self.raw[self.at..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
        let scalar = &self.raw[self.at - 1..self.at + length];
        if !(is_number(scalar) || matches!(scalar, b"true" | b"false" | b"null")) {
            return None;
        }
        self.canonical.push(b'#');
        self.canonical.extend_from_slice(&(scalar.len() as u64).to_le_bytes());
        self.canonical.extend_from_slice(scalar);
        self.at += length;
        Some(())
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Option<()> {
        self.canonical.push(b'"');
        let length_at = self.canonical.len();
        self.canonical.extend_from_slice(&[0; 8]);
        loop {
            let rest = &self.raw[self.at..];
            let plain = memchr::memchr2(b'"', b'\\', rest)?;
            if rest[..plain].iter().any(|byte| *byte < b' ') {
                return None;
            }
            self.canonical.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                break;
            }
            self.escape()?;
        }
        let start = length_at + 8;
        let length = (self.canonical.len() - start) as u64;
        self.canonical[length_at..start].copy_from_slice(&length.to_le_bytes());
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let kind = *self.raw.get(self.at)?;
        self.at += 1;
        let byte = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = self.hex()?;
                self.unit(unit);
                return Some(());
            }
            _ => return None,
        };
        self.canonical.push(byte);
        Some(())
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.raw.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    /// Writes a UTF-16 unit, with the second half of its pair if that follows. Half a pair becomes the three bytes that UTF-8
    /// would have for it if it had any, which no valid text holds.
    fn unit(&mut self, unit: u32) {
        let mut code = unit;
        if (0xD800..0xDC00).contains(&unit) && self.raw[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            match self.hex() {
                Some(low) if (0xDC00..0xE000).contains(&low) => code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                _ => self.at = back,
            }
        }
        match char::from_u32(code) {
            Some(char) => self.canonical.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            None => self.canonical.extend(
                [0xE0 | (code >> 12), 0x80 | ((code >> 6) & 0x3F), 0x80 | (code & 0x3F)]
                    .map(|byte| u8::try_from(byte).unwrap_or(0)),
            ),
        }
    }
}

/// RFC 8259: no leading zero, digits around the point and after the `e`.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> Option<&[u8]> {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (length > 0).then(|| &text[length..])
    }
    fn rest(text: &[u8]) -> Option<&[u8]> {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let mut text = if let Some(rest) = text.strip_prefix(b"0") { rest } else { digits(text)? };
        if let Some(fraction) = text.strip_prefix(b".") {
            text = digits(fraction)?;
        }
        if let [b'e' | b'E', exponent @ ..] = text {
            let exponent = if let [b'+' | b'-', digits @ ..] = exponent { digits } else { exponent };
            text = digits(exponent)?;
        }
        Some(text)
    }
    rest(text).is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: &str) -> String {
        let identity = of(&"11111111-0000-4000-8000-000000000001".parse().unwrap(), raw.as_bytes());
        assert!(identity.is_json, "{raw}");
        identity.id
    }

    #[test]
    fn order_spacing_and_escapes_do_not_matter() {
        let one = id(r#"{"Id":"a/é😀","n":{"x":[1,{"p":1,"q":null}],"y":1.0}}"#);
        for same in [
            r#"{"n":{"y":1.0,"x":[1,{"q":null,"p":1}]},"Id":"a/é😀"}"#,
            "{ \"n\" : { \"y\" :1.0,\n\"x\":[ 1 , {\"q\":null , \"p\":1} ] } , \"Id\":\"a/é😀\" }",
            r#"{"\u0049d":"a\/\u00E9\ud83d\uDE00","n":{"x":[1,{"p":1,"q":null}],"y":1.0}}"#,
        ] {
            assert_eq!(id(same), one, "{same}");
        }
        assert_eq!(one.len(), 32);
    }

    #[test]
    fn every_difference_in_content_matters() {
        let records = [
            "{}",
            r#"{"a":1}"#,
            r#"{"a":-0.5e+10}"#,
            r#"{"a":0}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":[12]}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            r#"{"a":[{}]}"#,
            r#"{"a":[[]]}"#,
            r#"{"a":[[],[]]}"#,
            r#"{"a":null}"#,
            r#"{"a":"null"}"#,
            r#"{"a":""}"#,
            r#"{"":"a"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud800\ud800"}"#,
            r#"{"a":"\ufffd"}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{"b":1,"c":2}}"#,
            r#"{"a":{"b":1},"c":2}"#,
            r#"{"a":true}"#,
            r#"{"a":123456789012345678901234567890}"#,
            r#"{"a":123456789012345678901234567891}"#,
            r#"{"a":"b\",\"c"}"#,
            r#"{"a":"b","c":""}"#,
        ];
        let ids: std::collections::BTreeSet<_> = records.iter().map(|raw| id(raw)).collect();
        assert_eq!(ids.len(), records.len());
        let other = of(&"11111111-0000-4000-8000-000000000002".parse().unwrap(), b"{}");
        assert_ne!(other.id, id("{}"), "the tenant is part of it");
    }

    #[test]
    fn the_id_is_the_same_in_every_release() {
        assert_eq!(id(r#"{"Id":"10000001-0000-4000-8000-000000000001","RecordType":28}"#), "9c96a96644bb31f45b3e5a8d92ee211d");
    }

    #[test]
    fn other_bytes_have_an_id_too() {
        let tenant = "11111111-0000-4000-8000-000000000001".parse().unwrap();
        for bad in [
            &b""[..],
            b"{",
            b"{\"a\"}",
            b"{\"a\":1,}",
            b"\xff",
            b"{}{}",
            b"{\"a\":nul}",
            b"[1",
            b"\"\\x\"",
            b"{\"a\":\"\\u12\"}",
            b"[01]",
            b"[1.]",
            b"[-]",
            b"[1e]",
            b"[1a]",
            b"[\"\n\"]",
        ] {
            let identity = of(&tenant, bad);
            assert!(!identity.is_json && identity.id.len() == 32, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn depth_and_size_cost_no_stack_and_little_time() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        id(&deep);
        let objects = format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000));
        id(&objects);
        let wide = format!("{{{}}}", (0..200_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        id(&wide);
    }
}
