//! What must hold after a crash: of the output, of the state, and of both together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use defender_feed::domain::{ContentType, FeedId};
use defender_feed::store::{Condition, Restored, SledStore, Store, inspect};

use crate::calls::Call;
use crate::host::{Host, Order};
use crate::run::Run;
use crate::tenant::{Blob, Tenant};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// The state could not be read, was called damaged or gone back, or did not verify.
    Unreadable,
    /// A wanted record is missing in the end.
    Lost,
    /// More came again than one batch.
    Repeated,
    /// The state claims what was not delivered.
    Ahead,
    /// A line that is no record's.
    Torn,
    /// The ledger does not add up.
    Ledger,
    /// It hung, crashed, or did not go on by itself.
    Stuck,
    /// A crash point that could not be hit, or a call that was not seen.
    Missed,
}

impl Wrong {
    /// All of them, and the words of the figures.
    pub(crate) const ALL: [(Wrong, &'static str); 8] = [
        (Wrong::Unreadable, "unreadable stores"),
        (Wrong::Lost, "lost records"),
        (Wrong::Repeated, "repeated beyond a batch"),
        (Wrong::Ahead, "cursors ahead of the output"),
        (Wrong::Torn, "torn lines"),
        (Wrong::Ledger, "ledgers out of balance"),
        (Wrong::Stuck, "stuck"),
        (Wrong::Missed, "points not hit"),
    ];
}

/// Everything that was found wrong, in words.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<(Wrong, String)>);

impl Findings {
    pub(crate) fn add(&mut self, wrong: Wrong, what: impl Into<String>) {
        self.0.push((wrong, what.into()));
    }

    /// How many are of that kind.
    pub(crate) fn count(&self, wrong: Wrong) -> usize {
        self.0.iter().filter(|(w, _)| *w == wrong).count()
    }
}

/// The whole lines of an output, and what comes after the last of them.
pub(crate) fn lines(output: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines: Vec<&[u8]> = output.split(|byte| *byte == b'\n').collect();
    let tail = lines.pop().unwrap_or_default();
    (lines, tail)
}

/// How far the output had surely come: its length at the last sync that succeeded, in whichever file that was. Of a pipe it is what was
/// read.
pub(crate) fn durable_output(before: u64, calls: &[Call], host: &Host) -> u64 {
    if host.order == Order::Drain {
        return host.written().len() as u64;
    }
    let (mut length, mut durable) = (before, before);
    for call in calls.iter().filter(|call| call.path == host.output() && call.made) {
        match (call.name.as_str(), call.result) {
            ("write", Ok(written)) => length += written,
            ("fsync", Ok(_)) => durable = length,
            _ => {}
        }
    }
    durable
}

/// The most that a run may repeat: its last batch, if that was not committed any more.
pub(crate) fn last_batch(calls: &[Call], output: &Path) -> u64 {
    let writes = calls.iter().filter(|call| (call.path == output || is_pipe(&call.path)) && call.name == "write");
    writes.filter_map(|call| call.result.ok()).rfind(|length| *length > 1).unwrap_or(0)
}

/// How much the output had grown before this call of a run.
pub(crate) fn written_before(call: &Call, calls: &[Call], host: &Host) -> u64 {
    let to_output = |path: &Path| path == host.output() || is_pipe(path);
    let writes = calls.iter().filter(|c| c.number < call.number && c.name == "write" && to_output(&c.path));
    writes.filter_map(|call| call.result.ok()).sum()
}

/// Where the output goes if it is a pipe.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.to_string_lossy().starts_with("pipe:")
}

/// The most that a run into a pipe may repeat, of so many bytes that came out: what it wrote since it committed last, or, if it
/// wrote nothing since, what it wrote before that, for a kill may have come before the commit's end.
pub(crate) fn last_batch_to_pipe(calls: &[Call], store: &Path, came_out: u64) -> u64 {
    let (mut before, mut written, mut committed) = (0, 0, false);
    for call in calls {
        let Ok(length) = call.result else { continue };
        if call.path == store && call.name == "fsync" {
            committed = true;
        } else if call.name == "write" && is_pipe(&call.path) {
            before = if committed { written } else { before };
            (written, committed) = (written + length, false);
        }
    }
    // The write in which it was killed was noted by nobody.
    came_out - if committed && came_out > written { written } else { before }
}

/// So many stores are open in this process at a time.
static OPEN: [Mutex<()>; 3] = [const { Mutex::new(()) }; 3];

/// Lets in as many as there may be. sled's threads are the process's: a flush takes one and waits for a write that needs
/// another, so seven flushes at a time wait for ever (sled 0.34.7, `threadpool.rs`). The product has one store, or two while
/// it makes a smaller one.
pub(crate) fn gate() -> MutexGuard<'static, ()> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let turn = NEXT.fetch_add(1, Ordering::Relaxed) % OPEN.len();
    OPEN[turn].lock().unwrap_or_else(PoisonError::into_inner)
}

/// What state the state was in before the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Trust {
    /// As good as new: it must stay so.
    #[default]
    Whole,
    /// Damaged or gone back already: it is replaced, and what its witness does not know comes again.
    Suspect,
}

impl Trust {
    /// How many bytes may come again, where a whole state would repeat so many.
    pub(crate) fn repeats(self, whole: u64) -> u64 {
        match self {
            Trust::Whole => whole,
            Trust::Suspect => u64::MAX,
        }
    }
}

/// The tenant's one feed.
pub(crate) fn feed(tenant: &Tenant) -> FeedId {
    FeedId { tenant: tenant.id().parse().unwrap(), content_type: ContentType::AuditGeneral }
}

/// The state that a start would take up, read from a copy.
pub(crate) fn restored(state: &Path, tenant: &Tenant, trust: Trust) -> Result<Restored, String> {
    let feed = feed(tenant);
    let _gate = gate();
    let (mut store, report) = SledStore::open(state).map_err(|error| error.to_string())?;
    if trust == Trust::Whole && !matches!(report.condition, Condition::FirstStart | Condition::Healthy) {
        return Err(format!("{:?}", report.condition));
    }
    store.restore(&feed).map_err(|error| error.to_string())
}

/// True if the state says that nothing more is to come of the blob. A blob in a gap does not count; nor does the floor say
/// anything of a blob that was listed late: sweeps look for those.
pub(crate) fn claims_done(restored: &Restored, blob: &Blob) -> bool {
    let gap = restored.gaps.iter().any(|gap| gap.blob.as_ref().is_some_and(|of| of.entry.key() == blob.key));
    let passed = !blob.late && restored.floor.is_some_and(|floor| blob.key.created < floor);
    !gap && (restored.done.contains(blob.key) || passed)
}

/// How many claims were looked up in the output: none would find nothing wrong either.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims {
    /// Blobs that are done.
    pub(crate) done: u64,
    /// Of those: with dead letters.
    pub(crate) dead: u64,
    /// Of those: listed late.
    pub(crate) late: u64,
    /// Blobs of which a part is out.
    pub(crate) parts: u64,
    /// How long the output was at the last commit.
    pub(crate) reach: u64,
}

impl Claims {
    pub(crate) fn add(&mut self, more: Claims) {
        self.done += more.done;
        self.dead += more.dead;
        self.late += more.late;
        self.parts += more.parts;
        self.reach = self.reach.max(more.reach);
    }
}

/// Everything that the state claims stands in this output and in these dead letters.
pub(crate) fn check_claims(restored: &Restored, blobs: &[Blob], output: &[u8], dead: &[u8], findings: &mut Findings) -> Claims {
    let mut claims = Claims { reach: restored.mark.map_or(0, |mark| mark.length), ..Claims::default() };
    let out: BTreeSet<&[u8]> = lines(output).0.into_iter().collect();
    let letters = letters_of(dead);
    for blob in blobs.iter().filter(|blob| !blob.expired) {
        let part = restored.parts.iter().find(|part| part.key == blob.key);
        let reach = match (claims_done(restored, blob), part) {
            (true, _) => blob.elements.len(),
            (false, Some(part)) => usize::try_from(part.elements).unwrap(),
            (false, None) => 0,
        };
        let done = u64::from(claims_done(restored, blob));
        claims.add(Claims {
            done,
            dead: if blob.dead().next().is_some() { done } else { 0 },
            late: if blob.late { done } else { 0 },
            parts: u64::from(done == 0 && reach > 0),
            reach: 0,
        });
        let missing = blob.lines().filter(|(at, line)| *at < reach && !out.contains(line.as_bytes())).count();
        if missing > 0 {
            let what =
                format!("the blob of {} is claimed up to element {reach}, {missing} of its lines are not out", blob.key.created);
            findings.add(Wrong::Ahead, what);
        }
        if reach == blob.elements.len() && blob.dead().count() > letters.get(blob.id()).map_or(0, BTreeSet::len) {
            findings.add(Wrong::Ahead, format!("the blob of {} is claimed, its dead letter is not kept", blob.key.created));
        }
    }
    claims
}

/// Which elements of each blob are kept.
fn letters_of(dead: &[u8]) -> BTreeMap<String, BTreeSet<u64>> {
    let mut letters = BTreeMap::<_, BTreeSet<_>>::new();
    for line in lines(dead).0 {
        let Ok(letter) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        if let (Some(id), Some(index)) = (letter["content_id"].as_str(), letter["index"].as_u64()) {
            letters.entry(id.to_owned()).or_default().insert(index);
        }
    }
    letters
}

/// The dead letters below that directory.
pub(crate) fn dead_letters(own: &Path, tenant: &Tenant) -> Vec<u8> {
    fs::read(own.join("dead-letter").join(format!("{}.ndjson", tenant.id()))).unwrap_or_default()
}

/// After a run that was hit: what its state claims is true. Gives how much that was.
pub(crate) fn after_crash(host: &Host, tenant: &Tenant, trust: Trust, durable: u64, findings: &mut Findings) -> Claims {
    let twin = host.with_the_state();
    // A backfill that has nothing to go on with begins again, whatever lies in its store.
    if !twin.own_state().exists() || !twin.is_taken_up() {
        return Claims::default();
    }
    match restored(&twin.own_state(), tenant, trust) {
        Ok(restored) => {
            let output = host.written();
            // Nor does it go on where its output has lost what it wrote.
            let cut = host.order.is_a_backfill() && restored.mark.is_some_and(|mark| mark.length > output.len() as u64);
            if cut {
                return Claims::default();
            }
            let durable = &output[..output.len().min(usize::try_from(durable).unwrap())];
            check_claims(&restored, &tenant.blobs, durable, &dead_letters(&host.own(), tenant), findings)
        }
        Err(why) => {
            findings.add(Wrong::Unreadable, format!("what the crash left does not open: {why}"));
            Claims::default()
        }
    }
}

/// After the last start: it ended well, and everything is there.
pub(crate) fn after_restart(host: &Host, tenant: &Tenant, run: &Run, allowed: Allowed, findings: &mut Findings) {
    let finished = host.order == Order::Resume && run.refuses_to_resume() && host.is_finished();
    if run.hung || !(finished || matches!(run.code(), Some(0 | 3))) {
        findings.add(Wrong::Stuck, format!("the restart did not end well: {}", run.story()));
    }
    if allowed.trust == Trust::Whole {
        check_said(&run.said, findings);
        check_ledger(host, tenant, findings);
    }
    check_output(&host.written(), tenant.lines(), allowed, findings);
    check_dead_letters(&dead_letters(&host.own(), tenant), tenant, findings);
    if let Some(what) = host.verify() {
        findings.add(Wrong::Unreadable, format!("state verify: {what}"));
    }
}

/// Nothing that was said tells of a state that could not be trusted.
pub(crate) fn check_said(said: &str, findings: &mut Findings) {
    let bad = ["state_damaged", "state_rolled_back", "state_vanished", "panicked"];
    for line in said.lines().filter(|line| bad.iter().any(|word| line.contains(word))) {
        findings.add(Wrong::Unreadable, format!("it says {line}"));
    }
}

/// What a crash may leave in the output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// So many bytes may stand there twice.
    pub(crate) repeated: u64,
    /// So many lines may be broken off, because a write was.
    pub(crate) torn: usize,
    /// What was to be expected of the state.
    pub(crate) trust: Trust,
    /// So many blank lines may have been written, because the end of the output could not be read.
    pub(crate) blank: usize,
}

/// Every wanted line at least once, nothing else, and not too much of it twice.
pub(crate) fn check_output<'a>(output: &[u8], wanted: impl Iterator<Item = &'a str>, allowed: Allowed, findings: &mut Findings) {
    let mut seen: BTreeMap<&[u8], u64> = wanted.map(|line| (line.as_bytes(), 0)).collect();
    let (out, tail) = lines(output);
    let (mut torn, mut blank, mut repeated) = (0, 0, 0);
    for line in out {
        if let Some(count) = seen.get_mut(line) {
            *count += 1;
            repeated += if *count > 1 { line.len() as u64 + 1 } else { 0 };
        } else if line.is_empty() {
            blank += 1;
        } else if seen.keys().any(|wanted| wanted.starts_with(line)) {
            torn += 1;
        } else {
            findings.add(Wrong::Torn, format!("no record has this line: {}", cut(line)));
        }
    }
    if torn > allowed.torn || blank > allowed.blank || !tail.is_empty() {
        findings.add(Wrong::Torn, format!("{torn} lines broken off, {blank} blank, and at the end {:?}", cut(tail)));
    }
    if repeated > allowed.repeated {
        findings.add(Wrong::Repeated, format!("{repeated} bytes stand there again, {} may", allowed.repeated));
    }
    for (line, _) in seen.iter().filter(|(_, count)| **count == 0) {
        findings.add(Wrong::Lost, format!("missing: {}", cut(line)));
    }
}

fn check_dead_letters(dead: &[u8], tenant: &Tenant, findings: &mut Findings) {
    let (letters, tail) = lines(dead);
    if letters.iter().any(|line| serde_json::from_slice::<serde_json::Value>(line).is_err()) {
        findings.add(Wrong::Torn, "a dead letter is broken");
    }
    if !tail.is_empty() {
        findings.add(Wrong::Torn, "a dead letter is broken off");
    }
    let letters = letters_of(dead);
    for blob in tenant.blobs.iter().filter(|blob| blob.dead().count() > letters.get(blob.id()).map_or(0, BTreeSet::len)) {
        findings.add(Wrong::Lost, format!("the dead letters of the blob of {}", blob.key.created));
    }
}

fn check_ledger(host: &Host, tenant: &Tenant, findings: &mut Findings) {
    let gate = gate();
    let inspection = inspect(&host.own_state());
    drop(gate);
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => return findings.add(Wrong::Unreadable, error.to_string()),
    };
    let Some(feed) = inspection.feeds.first() else { return findings.add(Wrong::Ledger, "no feed is known") };
    let (gone, done): (Vec<&Blob>, Vec<&Blob>) = tenant.blobs.iter().partition(|blob| blob.expired);
    let sum = |of: fn(&Blob) -> usize| done.iter().map(|blob| of(blob) as u64).sum::<u64>();
    let elements = sum(|blob| blob.elements.len());
    let (lines, dead) = (sum(|blob| blob.lines().count()), sum(|blob| blob.dead().count()));
    let ledger = &feed.ledger;
    let records = &ledger.records;
    let got = [ledger.blobs_done, ledger.blobs_in_gaps.values().sum(), records.read, records.delivered, records.dead_lettered];
    let due = [done.len() as u64, gone.len() as u64, elements, lines, dead];
    if got != due || records.read != records.delivered + records.filtered + records.duplicate + records.dead_lettered {
        findings.add(Wrong::Ledger, format!("blobs done, in gaps, records read, delivered, dead: {got:?}, not {due:?}"));
    }
}

fn cut(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(120)]).into_owned()
}
