//! What the tenant holds: the blobs of a fate, record by record, and the truth about each.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Oracle, Record, Truth};
use crate::decode::MAX_ELEMENT;
use crate::domain::{BlobKey, ContentId};
use crate::simulation::fate::{BlobFate, Kind};
use crate::simulator::content::NewBlob;
use crate::simulator::dice::Dice;

/// Seeds in which records arrive again.
const TWINS: f64 = 0.15;
/// Wanted lines of a large blob: more than are held back until its end.
const LARGE: usize = 300 * 1024;

/// Records that arrive again: the very same, which is to come out once, and others under the same `Id`, which are to come out.
pub(super) struct Twins {
    dice: Dice,
    /// In these seeds there are some.
    some: bool,
    /// Records that can be recognised, and their text.
    known: Vec<(usize, String)>,
}

enum Twin {
    None,
    /// The record at that place once more.
    Same(usize, String),
    /// Something else about the same thing.
    Update(String),
}

impl Twins {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, &[0x7477_696e]);
        let some = dice.chance(TWINS);
        Self { dice, some, known: Vec::new() }
    }

    fn of(&mut self, wanted: bool, id: &str) -> Twin {
        if !self.some || !wanted || self.known.is_empty() || !self.dice.chance(0.4) {
            return Twin::None;
        }
        let place = usize::try_from(self.dice.below(self.known.len() as u64)).unwrap_or(0);
        let (twin, text) = self.known[place].clone();
        if self.dice.chance(0.5) {
            return Twin::Same(twin, text);
        }
        Twin::Update(format!(r#"{},"Update {id}":1}}"#, text.trim_end_matches('}')))
    }

    fn add(&mut self, record: usize, text: &str) {
        if self.some && text.contains("CreationTime") {
            self.known.push((record, text.to_owned()));
        }
    }
}

impl Oracle {
    /// Puts a blob on the shelf.
    pub(super) fn put(&mut self, n: usize, fate: &BlobFate, dice: &mut Dice, twins: &mut Twins) -> NewBlob {
        let id = ContentId(format!("2026${n:04}$audit_general$audit_general${:08x}", dice.below(1 << 32)));
        let key = BlobKey::new(&id, fate.created);
        let mut truth = Truth {
            fate: fate.clone(),
            id: id.clone(),
            key,
            records: Vec::new(),
            odd: BTreeSet::new(),
            elements: 0,
            kept: BTreeSet::new(),
            lies: 0,
            unkept: BTreeSet::new(),
            forgotten: false,
            overtaken: false,
            named: None,
            failed: None,
        };
        let mut body = vec![b'['];
        let count = if fate.kind == Kind::Large { 6 } else { fate.records };
        for at in 0..count {
            if at > 0 {
                body.push(b',');
            }
            self.element(&mut truth, &mut body, (n, at), fate.kind, (&mut *dice, &mut *twins));
        }
        body.push(b']');
        truth.elements = count;
        let at = self.blobs.len();
        self.by_key.insert(key, at);
        self.by_id.insert(id.clone(), at);
        self.blobs.push(truth);
        NewBlob::new(fate.created, Bytes::from(body)).listed_at(fate.listed_at).expires(fate.expires).id(&id.0)
    }

    fn element(
        &mut self,
        truth: &mut Truth,
        body: &mut Vec<u8>,
        (n, at): (usize, u64),
        kind: Kind,
        (dice, twins): (&mut Dice, &mut Twins),
    ) {
        let begins = body.len();
        let id = format!("{n}-{at}");
        let odd = match kind {
            Kind::Odd => dice.chance(0.4),
            Kind::Oversize => at == 0,
            _ => false,
        };
        if odd {
            truth.odd.insert(at);
            if kind == Kind::Oversize {
                body.extend_from_slice(br#"{"RecordType":28,"Pad":""#);
                body.resize(begins + MAX_ELEMENT + 100, b'x');
                body.extend_from_slice(b"\"}");
            } else {
                body.extend_from_slice(dice.pick(&[&b"42"[..], b"null", b"\"text\"", b"[1]", b"{\"RecordType\":\xff}"]));
            }
            return;
        }
        let wanted = kind == Kind::Large || dice.chance(0.6);
        let text = match (wanted, dice.below(4)) {
            (true, 0) => format!(r#"{{"RecordType":{},"Id":"{id}"}}"#, dice.pick(&[28, 41, 47, 64])),
            (true, 1) => format!(r#"{{"Id":"{id}","Nested":{{"RecordType":1}},"RecordType":64}}"#),
            (true, 2) => format!(r#"{{"Id":"{id}","CreationTime":"2026-05-28T20:26:40"}}"#),
            (true, _) => format!(r#"{{"Id":"{id}","Text":"],[{{\"RecordType\":20}}\u00e9","RecordType":41}}"#),
            (false, 0) => format!(r#"{{"Id":"{id}","Nested":{{"RecordType":28}},"RecordType":20}}"#),
            (false, _) => format!(r#"{{"RecordType":6,"Id":"{id}"}}"#),
        };
        let text = match twins.of(wanted && kind == Kind::Plain, &id) {
            Twin::Same(twin, text) => {
                self.records[twin].shared = true;
                body.extend_from_slice(text.as_bytes());
                truth.records.push(twin);
                return;
            }
            Twin::Update(text) => text,
            Twin::None => text,
        };
        if wanted && kind == Kind::Plain {
            twins.add(self.records.len(), &text);
        }
        body.extend_from_slice(text.as_bytes());
        if wanted && kind == Kind::Large {
            body.pop();
            body.extend_from_slice(b",\"Pad\":\"");
            body.resize(begins + LARGE, b'x');
            body.extend_from_slice(b"\"}");
        }
        if wanted {
            truth.records.push(self.records.len());
            self.by_line.insert(body[begins..].to_vec(), self.records.len());
            self.records.push(Record { blob: n, ..Record::default() });
        }
    }
}
