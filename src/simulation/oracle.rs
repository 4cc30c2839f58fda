//! What must come out, and what has: the truth about every record, held against the output and the committed state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;

use super::fate::{BEGIN, BlobFate, DAY, Fate, HOUR, IN_TIME, Kind, RETENTION};
use crate::decode::MAX_ELEMENT;
use crate::domain::{BlobKey, Claim, ContentId, Gap, GapId, GapReason, Time};
use crate::simulator::content::NewBlob;
use crate::simulator::dice::Dice;
use crate::sink::DeadLetter;

/// How far back the service can be asked, less the product's own margin.
const REACH: std::time::Duration = std::time::Duration::from_secs((167 * 60 + 55) * 60);
/// Wanted lines of a large blob: more than are held back until its end.
const LARGE: usize = 300 * 1024;

/// One wanted record.
#[derive(Debug, Clone, Default)]
struct Record {
    delivered: u32,
    /// Repetitions that a crash or a loss of state excuses.
    excused: u32,
    /// It lies outside what the process is there for.
    foreign: bool,
}

/// One blob, and what has come of it.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    pub(super) fate: BlobFate,
    pub(super) id: ContentId,
    key: BlobKey,
    records: Vec<usize>,
    odd: BTreeSet<u64>,
    elements: u64,
    kept: BTreeSet<u64>,
    /// The service has lied about it so convincingly that no client can know better.
    pub(super) lies: u8,
    /// The dead-letter file had no room for its letters.
    unkept: bool,
}

/// Truth and observation.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    pub(super) blobs: Vec<Truth>,
    records: Vec<Record>,
    by_line: HashMap<Vec<u8>, usize>,
    by_key: HashMap<BlobKey, usize>,
    by_id: HashMap<ContentId, usize>,
    order: Vec<usize>,
    /// Blobs before this place of `order` lie before the committed floor.
    passed: usize,
    /// Written since the last commit.
    open: Vec<usize>,
    floor: Option<Time>,
    begin: Option<Time>,
    gaps: BTreeMap<GapId, Gap>,
    damaged: bool,
    strict: bool,
    torn: bool,
    pub(super) lines: u64,
    pub(super) repeated: u64,
}

/// A violation, for people.
pub(super) type Wrong = String;

impl Oracle {
    /// The truth of a fate, and the blobs to put on the service's shelf.
    pub(super) fn new(fate: &Fate) -> (Self, Vec<NewBlob>) {
        let mut oracle = Self {
            blobs: Vec::new(),
            records: Vec::new(),
            by_line: HashMap::new(),
            by_key: HashMap::new(),
            by_id: HashMap::new(),
            order: Vec::new(),
            passed: 0,
            open: Vec::new(),
            floor: None,
            begin: None,
            gaps: BTreeMap::new(),
            damaged: false,
            strict: fate.tells_the_time(),
            torn: false,
            lines: 0,
            repeated: 0,
        };
        let mut dice = Dice::new(fate.seed, &[0x0073_6865_6c66]);
        let shelf = fate.blobs.iter().enumerate().map(|(n, blob)| oracle.put(n, blob, &mut dice)).collect();
        oracle.order = (0..oracle.blobs.len()).collect();
        let blobs = &oracle.blobs;
        oracle.order.sort_by_key(|at| blobs[*at].fate.created);
        (oracle, shelf)
    }

    /// The process is there for this range of availability only.
    pub(super) fn expect_only(&mut self, range: Range<Time>) {
        for blob in self.blobs.iter().filter(|blob| !range.contains(&blob.fate.created)) {
            blob.records.iter().for_each(|at| self.records[*at].foreign = true);
        }
    }

    /// The blobs of a range that were listed when a process began, that could be had when it ended, and that are neither out
    /// nor in a gap.
    pub(super) fn left_out(&self, range: &Range<Time>, began: Time, ended: Time) -> Vec<String> {
        let could = |blob: &&Truth| {
            let fate = &blob.fate;
            range.contains(&fate.created) && fate.listed_at <= began && ended < fate.expires
        };
        let left = self.blobs.iter().filter(could).filter(|blob| self.whole(blob).is_err() && !self.is_in_gap(blob));
        left.map(|blob| format!("{} of {}", blob.id, blob.fate.created)).collect()
    }

    fn put(&mut self, n: usize, fate: &BlobFate, dice: &mut Dice) -> NewBlob {
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
            unkept: false,
        };
        let mut body = vec![b'['];
        let count = if fate.kind == Kind::Large { 6 } else { fate.records };
        for at in 0..count {
            if at > 0 {
                body.push(b',');
            }
            self.element(&mut truth, &mut body, (n, at), fate.kind, dice);
        }
        body.push(b']');
        truth.elements = count;
        let at = self.blobs.len();
        self.by_key.insert(key, at);
        self.by_id.insert(id.clone(), at);
        self.blobs.push(truth);
        NewBlob::new(fate.created, Bytes::from(body)).listed_at(fate.listed_at).expires(fate.expires).id(&id.0)
    }

    fn element(&mut self, truth: &mut Truth, body: &mut Vec<u8>, (n, at): (usize, u64), kind: Kind, dice: &mut Dice) {
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
            self.records.push(Record::default());
        }
    }

    /// The blob of that id.
    pub(super) fn find(&mut self, id: &str) -> Option<&mut Truth> {
        let at = *self.by_id.get(&ContentId(id.to_owned()))?;
        self.blobs.get_mut(at)
    }

    /// Lines have come out, the last of them perhaps not whole.
    pub(super) fn written(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut bytes = bytes;
        if std::mem::take(&mut self.torn) {
            // The product ends a torn line of a file before it goes on; here the reader saw the end of the stream.
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line(&bytes[..end])?;
            bytes = &bytes[end + 1..];
        }
        self.torn = !bytes.is_empty();
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let Some(&at) = self.by_line.get(line) else {
            let text: String = String::from_utf8_lossy(line).chars().take(120).collect();
            return Err(format!("a line that is no wanted record: {text}"));
        };
        let record = &mut self.records[at];
        if record.foreign {
            return Err(format!("R24: a line from outside the range: {}", String::from_utf8_lossy(line)));
        }
        record.delivered += 1;
        self.lines += 1;
        self.repeated += u64::from(record.delivered > 1);
        self.open.push(at);
        if record.delivered > 1 + record.excused {
            let text: String = String::from_utf8_lossy(line).chars().take(120).collect();
            return Err(format!("R5: delivered {} times, {} excused: {text}", record.delivered, record.excused));
        }
        Ok(())
    }

    pub(super) fn kept(&mut self, letters: &[DeadLetter]) {
        for letter in letters.iter().filter(|l| l.last) {
            if let Some(&at) = self.by_id.get(&letter.content_id) {
                self.blobs[at].kept.insert(letter.index);
            }
        }
    }

    /// The dead-letter file was full.
    pub(super) fn not_kept(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            if let Some(&at) = self.by_id.get(&letter.content_id) {
                self.blobs[at].unkept = true;
            }
        }
    }

    /// A commit has taken effect: everything it says must be true by now.
    pub(super) fn committed(&mut self, claim: &Claim, hidden: impl Fn(&ContentId) -> bool) -> Result<(), Wrong> {
        for (key, counts) in &claim.done {
            let Some(&at) = self.by_key.get(key) else { return Err(format!("done: a blob that does not exist, {key:?}")) };
            let blob = &self.blobs[at];
            self.whole(blob).map_err(|why| format!("R6: {} is called done but {why}", blob.id))?;
            let right = counts.read == blob.elements && counts.delivered == blob.records.len() as u64;
            let right = right && counts.dead_lettered == blob.odd.len() as u64 && counts.balances();
            if !right {
                return Err(format!("the ledger of {} is wrong: {counts:?}", blob.id));
            }
        }
        for gap in &claim.gaps {
            self.gaps.insert(gap.id, gap.clone());
        }
        if self.floor.is_some_and(|floor| claim.floor < floor) {
            return Err(format!("the floor moved back to {}", claim.floor));
        }
        self.begin.get_or_insert(claim.begin);
        self.floor = Some(claim.floor);
        while let Some(&at) = self.order.get(self.passed) {
            let blob = &self.blobs[at];
            if blob.fate.created >= claim.floor {
                break;
            }
            if !self.may_be_passed(blob) && !hidden(&blob.id) {
                let why = self.whole(blob).err().unwrap_or_default();
                return Err(format!("R6: the floor {} passed {} of {}: {why}", claim.floor, blob.id, blob.fate.created));
            }
            self.passed += 1;
        }
        self.open.clear();
        Ok(())
    }

    /// True if the floor may lie beyond this blob: it is out, in a gap, or could not be listed when its window was.
    fn may_be_passed(&self, blob: &Truth) -> bool {
        !self.strict
            || blob.fate.listed_at > blob.fate.created
            || self.whole(blob).is_ok()
            || self.is_in_gap(blob)
            || self.begin.is_none_or(|begin| blob.fate.created < begin)
    }

    fn whole(&self, blob: &Truth) -> Result<(), String> {
        let missing = blob.records.iter().filter(|r| self.records[**r].delivered == 0).count();
        let lost = if blob.unkept { 0 } else { blob.odd.iter().filter(|at| !blob.kept.contains(at)).count() };
        match (missing, lost) {
            (0, 0) => Ok(()),
            _ => Err(format!("{missing} of {} records and {lost} dead letters are not out", blob.records.len())),
        }
    }

    fn is_in_gap(&self, blob: &Truth) -> bool {
        let created = blob.fate.created;
        self.gaps.get(&GapId::of_blob(blob.key)).is_some_and(Gap::is_open)
            || self.gaps.values().any(|gap| gap.blob.is_none() && gap.is_open() && gap.from <= created && created < gap.to)
    }

    /// The process has ended without a commit of what was written last: it may come once more.
    pub(super) fn died(&mut self) {
        for at in std::mem::take(&mut self.open) {
            self.records[at].excused += 1;
        }
        self.torn = false;
    }

    /// True if something was written and not committed.
    pub(super) fn owes_a_commit(&self) -> bool {
        !self.open.is_empty()
    }

    /// The state is lost, down to this floor: what was delivered may come again.
    pub(super) fn state_lost(&mut self, floor: Option<Time>, begin: Option<Time>) {
        self.damaged = true;
        self.floor = floor;
        self.begin = begin;
        self.gaps.clear();
        self.passed = 0;
        for record in self.records.iter_mut().filter(|r| r.delivered > 0) {
            record.excused = record.delivered;
        }
        if let Some(floor) = floor {
            let blobs = &self.blobs;
            self.passed = self.order.iter().take_while(|at| blobs[**at].fate.created < floor).count();
        }
    }

    /// The blobs that the promise covers and that are not out.
    pub(super) fn owed(
        &self,
        now: Time,
        settled: Time,
        terms_kept: bool,
        late_too: bool,
        hidden: impl Fn(&ContentId) -> bool,
    ) -> Vec<String> {
        let mut owed = Vec::new();
        for blob in &self.blobs {
            let fate = &blob.fate;
            if fate.listed_at > settled
                || (!late_too && fate.listed_at > fate.created)
                || self.whole(blob).is_ok()
                || hidden(&blob.id)
            {
                continue;
            }
            let in_time = fate.listed_at + IN_TIME <= fate.expires;
            // Once it can be had it is asked for within the hour and a quarter.
            let spoilt = fate.poisoned_until.is_some_and(|until| until + DAY > fate.expires || until + HOUR * 2 > now);
            if spoilt && !late_too {
                continue;
            }
            let reachable = fate.created >= BEGIN - REACH + DAY;
            let covered = in_time && !spoilt && reachable && (terms_kept || fate.created + RETENTION > now + DAY);
            let told = self.is_in_gap(blob);
            // What a damaged state knew of gaps is gone with it.
            let silent = !told && !self.damaged && fate.listed_at <= fate.created && reachable;
            if covered || silent {
                let why = self.whole(blob).err().unwrap_or_default();
                owed.push(format!(
                    "{} of {}, listed at {}: {why}{}",
                    blob.id,
                    fate.created,
                    fate.listed_at,
                    if told { ", in a gap" } else { "" }
                ));
            }
        }
        owed
    }

    /// Gaps of blobs that arrived after all must be closed, and no gap may name what was never missing.
    pub(super) fn false_gaps(&self) -> Vec<String> {
        let open =
            self.gaps.values().filter(|gap| gap.is_open() && gap.blob.is_some() && gap.reason != GapReason::DeadLetterFull);
        open.filter_map(|gap| {
            let blob = &self.blobs[*self.by_key.get(&gap.blob.as_ref()?.entry.key())?];
            (self.whole(blob).is_ok() && !blob.records.is_empty() && !self.damaged)
                .then(|| format!("{} stands for {}, which is out", gap.reason, blob.id))
        })
        .collect()
    }
}
