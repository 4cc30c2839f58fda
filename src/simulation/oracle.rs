//! What must come out, and what has: the truth about every record, held against the output and the committed state.

mod gaps;
mod known;
mod letters;
mod shelf;

pub(super) use self::gaps::Asked;
use self::shelf::Twins;
use super::fate::{BEGIN, BlobFate, DAY, Fate, HOUR, IN_TIME, Kind, RETENTION};
use crate::domain::{BlobKey, Claim, ContentId, Gap, GapId, Time};
use crate::feed::batch::{BATCH_BLOBS_MAX, BATCH_BYTES_MAX};
use crate::simulator::content::NewBlob;
use crate::simulator::dice::Dice;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// How far back the service can be asked, less the product's own margin.
const REACH: std::time::Duration = std::time::Duration::from_secs((167 * 60 + 55) * 60);
/// For as long as this at least a delivered record is recognised.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs((8 * 24 - 1) * 3600);

/// One wanted record.
#[derive(Debug, Clone, Default)]
struct Record {
    delivered: u32,
    /// Repetitions that a crash or a loss of state excuses.
    excused: u32,
    /// It lies outside what the process is there for.
    foreign: bool,
    /// The place of its blob.
    blob: usize,
    /// It stands in several places.
    shared: bool,
    /// When it came out last.
    last: Option<Time>,
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
    /// Elements whose letters found the dead-letter file full, and were not kept since.
    unkept: BTreeSet<u64>,
    /// What was known of it was lost with a state: no gap can be asked for.
    forgotten: bool,
    /// Where the service does not tell the time: the floor lay beyond it before the process had read of it, as if it was listed
    /// late.
    overtaken: bool,
    /// How many commits there had been when the living process first read of it in a listing …
    named: Option<u64>,
    /// … and when a download of it failed for the first time.
    failed: Option<u64>,
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
    /// The bytes of it.
    open_bytes: usize,
    gaps: BTreeMap<GapId, Gap>,
    /// The state begins anew, and has not said yet from where on.
    anew: bool,
    strict: bool,
    commits: u64,
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
            open_bytes: 0,
            gaps: BTreeMap::new(),
            anew: false,
            strict: fate.tells_the_time(),
            commits: 0,
            lines: 0,
            repeated: 0,
        };
        let mut dice = Dice::new(fate.seed, &[0x0073_6865_6c66]);
        let mut twins = Twins::new(fate.seed);
        let shelf = fate.blobs.iter().enumerate().map(|(n, blob)| oracle.put(n, blob, &mut dice, &mut twins)).collect();
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
        // A record that is in two blobs belongs to both.
        for blob in self.blobs.iter().filter(|blob| range.contains(&blob.fate.created)) {
            blob.records.iter().for_each(|at| self.records[*at].foreign = false);
        }
    }

    /// The blob of that id.
    pub(super) fn find(&mut self, id: &str) -> Option<&mut Truth> {
        let at = *self.by_id.get(&ContentId(id.to_owned()))?;
        self.blobs.get_mut(at)
    }

    /// Lines have come out, the last of them perhaps not whole.
    pub(super) fn written(&mut self, bytes: &[u8], now: Time) -> Result<(), Wrong> {
        self.open_bytes += bytes.len();
        let mut bytes = bytes;
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line(&bytes[..end], now)?;
            bytes = &bytes[end + 1..];
        }
        self.is_one_batch()
    }

    /// What is written and not committed is what a crash repeats. No single element here is larger than a batch.
    fn is_one_batch(&self) -> Result<(), Wrong> {
        if self.open_bytes > BATCH_BYTES_MAX {
            return Err(format!("R5: {} bytes are written and not committed", self.open_bytes));
        }
        if self.open.len() <= BATCH_BLOBS_MAX {
            return Ok(());
        }
        let blobs: BTreeSet<usize> = self.open.iter().map(|at| self.records[*at].blob).collect();
        if blobs.len() > BATCH_BLOBS_MAX {
            return Err(format!("R5: lines of {} blobs are written and not committed", blobs.len()));
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], now: Time) -> Result<(), Wrong> {
        let Some(&at) = self.by_line.get(line) else {
            let text: String = String::from_utf8_lossy(line).chars().take(120).collect();
            return Err(format!("a line that is no wanted record: {text}"));
        };
        let record = &mut self.records[at];
        if record.foreign {
            return Err(format!("R24: a line from outside the range: {}", String::from_utf8_lossy(line)));
        }
        // It is forgotten after eight days, by the service's time.
        let forgotten = !self.strict || record.last.is_some_and(|last| now.since(last) > REMEMBERED);
        record.excused += u32::from(record.shared && record.delivered > 0 && forgotten);
        record.last = Some(now);
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

    /// A commit has taken effect: everything it says must be true by now. A poller (`follows`) owes a gap for what fails
    /// behind its floor.
    pub(super) fn committed(&mut self, claim: &Claim, follows: bool, hidden: impl Fn(&ContentId) -> bool) -> Result<(), Wrong> {
        for (key, counts) in &claim.done {
            let Some(&at) = self.by_key.get(key) else { return Err(format!("done: a blob that does not exist, {key:?}")) };
            let blob = &self.blobs[at];
            self.whole(blob).map_err(|why| format!("R6: {} is called done but {why}", blob.id))?;
            let right = counts.read == blob.elements && counts.delivered + counts.duplicate == blob.records.len() as u64;
            let right = right && counts.dead_lettered == blob.odd.len() as u64 && counts.balances();
            // A blob that comes in parts may be read from its start again, and meet its own records.
            let shared = blob.records.iter().filter(|at| self.records[**at].shared).count() as u64;
            let right = right && (counts.duplicate <= shared || blob.fate.kind == Kind::Large);
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
        if self.begin.is_none() {
            // A first start says nothing of what lay before its beginning, nor for how long there was no subscription.
            if std::mem::take(&mut self.anew) {
                self.forget_before(claim.begin);
            }
            for blob in self.blobs.iter_mut().filter(|blob| blob.fate.created < claim.at && hidden(&blob.id)) {
                blob.forgotten = true;
            }
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
            let overtaken = !self.strict && !self.is_settled(blob) && !self.is_in_gap(blob) && !hidden(&blob.id);
            if overtaken && self.was(blob.named) {
                return Err(format!("R6: the floor {} passed {}, which had been read of", claim.floor, blob.id));
            }
            self.blobs[at].overtaken |= overtaken;
            self.passed += 1;
        }
        if follows {
            self.behind_the_floor(claim.floor, hidden)?;
        }
        self.open.clear();
        self.commits += 1;
        self.open_bytes = 0;
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
        let lost = blob.odd.iter().filter(|at| !blob.kept.contains(at)).count();
        match (missing, lost) {
            (0, 0) => Ok(()),
            _ => Err(format!("{missing} of {} records and {lost} dead letters are not out", blob.records.len())),
        }
    }

    /// The process has ended without a commit of what was written last: it may come once more.
    pub(super) fn died(&mut self) {
        for at in std::mem::take(&mut self.open) {
            self.records[at].excused += 1;
        }
        for blob in &mut self.blobs {
            (blob.named, blob.failed) = (None, None);
        }
        self.open_bytes = 0;
    }

    /// True if something was written and not committed.
    pub(super) fn owes_a_commit(&self) -> bool {
        !self.open.is_empty()
    }

    /// True if the state holds a place.
    pub(super) fn has_place(&self) -> bool {
        self.floor.is_some()
    }

    /// The state is lost at `now`, down to this floor: what was delivered may come again.
    pub(super) fn state_lost(&mut self, now: Time, floor: Option<Time>, begin: Option<Time>) {
        self.anew = begin.is_none();
        self.forget_before(now);
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

    fn forget_before(&mut self, before: Time) {
        self.blobs.iter_mut().filter(|blob| blob.fate.created < before).for_each(|blob| blob.forgotten = true);
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
                || self.is_settled(blob)
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
            let listed_at_once = fate.listed_at <= fate.created && !blob.overtaken;
            let silent = !told && !blob.forgotten && listed_at_once && reachable;
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
}
