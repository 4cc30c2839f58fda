//! The sink that the product runs with: lines to an output, dead letters to their files.

use std::collections::HashMap;

use super::{Batch, DeadLetter, DeadLetters, Kept, Output, OutputMark, Receipt, Sink, SinkError};
use crate::domain::{BlobEntry, BlobKey, Claim, FeedId, Gap, GapBlob, GapId, GapReason, TenantId};
use crate::mutant::{self, Mutant};

/// Where lines go: an [`Output`], or a simulated one.
pub trait Lines: Send + 'static {
    /// Delivers `lines`, and tells where a regular file stands then.
    ///
    /// # Errors
    /// If not all of it is delivered.
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError>;
}

/// Where dead letters go: [`DeadLetters`], or a simulated place.
pub trait Letters: Send + 'static {
    /// Keeps all of `letters`, safe from a loss of power, or none if they don't fit.
    ///
    /// # Errors
    /// If they can't be kept for another reason.
    fn keep(&mut self, feed: &FeedId, letters: &[DeadLetter]) -> Result<Kept, SinkError>;

    /// What a full one is called in a gap's detail.
    fn place(&self, tenant: &TenantId) -> String;
}

/// Delivers lines first, then dead letters, then gives the receipt.
///
/// When a tenant's dead-letter file is full, delivery goes on, but a blob that lost a dead letter can't be called done:
/// its parts are taken out of the claims, and once the blob ends its `done` becomes a final `dead_letter_full` gap. So the
/// ledger counts the blob once, and a crash before its end repeats it instead of forgetting it.
#[derive(Debug)]
pub struct Delivery<O = Output, D = DeadLetters> {
    output: O,
    dead_letters: D,
    /// Blobs under way that lost a dead letter. At most one entry for each blob that the feeds have in flight.
    withheld: HashMap<(FeedId, BlobKey), Gap>,
    failed: Option<SinkError>,
}

impl<O: Lines, D: Letters> Delivery<O, D> {
    /// A sink on an output and a place for dead letters.
    pub fn new(output: O, dead_letters: D) -> Self {
        Self { output, dead_letters, withheld: HashMap::new(), failed: None }
    }

    /// The output, to watch it or to heal it at start.
    pub fn output(&mut self) -> &mut O {
        &mut self.output
    }

    fn deliver(&mut self, batch: Batch) -> Result<Receipt, SinkError> {
        let Batch { mut claim, mut lines, line_count, dead } = batch;
        let mark = match self.output.deliver(&lines) {
            Err(_) if mutant::on(Mutant::P2) => None,
            delivered => delivered?,
        };
        let kept = self.dead_letters.keep(&claim.feed, &dead)?;
        if kept == Kept::Full {
            self.withhold(&claim, &dead);
            // A record whose line was cut must be kept whole somewhere: it is no repetition when it comes again.
            claim.records.clear();
        }
        self.amend(&mut claim);
        let count = dead.len() as u64;
        let (dead_letters, dead_letters_lost) = if kept == Kept::All { (count, 0) } else { (0, count) };
        let bytes = lines.len() as u64;
        lines.clear();
        Ok(Receipt { claim, mark, lines: line_count, bytes, dead_letters, dead_letters_lost, spent: lines })
    }

    fn withhold(&mut self, claim: &Claim, dead: &[DeadLetter]) {
        let place = self.dead_letters.place(&claim.feed.tenant);
        let detail = format!("{place} has reached its limit: at least one element that can't be a line was not kept");
        for letter in dead {
            let key = BlobKey::new(&letter.content_id, letter.created);
            let gap = || Gap {
                id: GapId::of_blob(key),
                reason: GapReason::DeadLetterFull,
                from: letter.created,
                to: letter.created,
                blob: Some(GapBlob {
                    entry: BlobEntry {
                        id: letter.content_id.clone(),
                        // Not known here, and not needed: a final gap is not asked for again.
                        uri: String::new(),
                        created: letter.created,
                        expires: None,
                    },
                    attempts: 1,
                    accepted: None,
                }),
                provisional: false,
                closed: None,
                found: claim.at,
                detail: detail.clone(),
            };
            self.withheld.entry((claim.feed.clone(), key)).or_insert_with(gap);
        }
    }

    /// Takes back what the claim says about blobs that lost a dead letter.
    fn amend(&mut self, claim: &mut Claim) {
        if self.withheld.is_empty() {
            return;
        }
        let feed = claim.feed.clone();
        claim.parts.retain(|part| !self.withheld.contains_key(&(feed.clone(), part.key)));
        let mut gaps = Vec::new();
        claim.done.retain(|(key, _)| match self.withheld.remove(&(feed.clone(), *key)) {
            Some(gap) => {
                gaps.push(gap);
                false
            }
            None => true,
        });
        claim.gaps.retain(|gap| !gaps.iter().any(|ours| ours.id == gap.id));
        for gap in claim.gaps.iter().filter(|gap| !gap.provisional && gap.is_open()) {
            // Given up for another reason: that gap covers the lost element too.
            self.withheld.retain(|(of, key), _| *of != feed || GapId::of_blob(*key) != gap.id);
        }
        claim.gaps.append(&mut gaps);
    }
}

impl<O: Lines, D: Letters> Sink for Delivery<O, D> {
    fn write(&mut self, batch: Batch) -> Result<Receipt, SinkError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.deliver(batch).inspect_err(|error| self.failed = Some(error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContentId, ContentType, Counts, Part, RecordPrint, Time};
    use std::fs::File;

    const CREATED: Time = Time(1_772_366_400_000);

    fn claim() -> Claim {
        Claim {
            feed: FeedId {
                tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(),
                content_type: ContentType::AuditGeneral,
            },
            at: CREATED,
            floor: CREATED,
            begin: CREATED,
            filter: "28".into(),
            done: Vec::new(),
            parts: Vec::new(),
            gaps: Vec::new(),
            records: Vec::new(),
            subscription_start: None,
            forget_before: CREATED,
        }
    }

    fn id(name: &str) -> ContentId {
        ContentId(name.into())
    }

    fn key(name: &str) -> BlobKey {
        BlobKey::new(&id(name), CREATED)
    }

    fn part(name: &str) -> Part {
        Part { key: key(name), elements: 3, digest: 1, counts: Counts::default() }
    }

    fn letter(name: &str) -> DeadLetter {
        let bytes = vec![0xff; 30];
        DeadLetter { content_id: id(name), created: CREATED, index: 0, reason: "invalid_utf8", part: 0, last: true, bytes }
    }

    fn delivery(limit: u64) -> (tempfile::TempDir, Delivery) {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::new(File::create(dir.path().join("out")).unwrap(), "test").unwrap();
        let letters = DeadLetters::new(dir.path(), limit);
        (dir, Delivery::new(output, letters))
    }

    fn batch(claim: Claim, dead: Vec<DeadLetter>) -> Batch {
        Batch { claim, lines: b"{}\n".to_vec(), line_count: 1, dead }
    }

    #[test]
    fn a_batch_comes_back_as_a_receipt_with_its_claim_and_mark() {
        let (dir, mut sink) = delivery(1 << 20);
        let mut said = claim();
        said.done.push((key("a"), Counts::default()));
        let receipt = sink.write(batch(said.clone(), vec![letter("a")])).unwrap();
        assert_eq!(receipt.claim(), &said);
        assert_eq!((receipt.lines(), receipt.bytes(), receipt.mark().unwrap().length), (1, 3, 3));
        assert_eq!((receipt.dead_letters(), receipt.dead_letters_lost()), (1, 0));
        assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"{}\n");
    }

    #[test]
    fn the_memory_of_the_lines_comes_back_empty() {
        let (_dir, mut sink) = delivery(1 << 20);
        let mut lines = Vec::with_capacity(1000);
        lines.extend_from_slice(b"{}\n");
        let mut receipt = sink.write(Batch { lines, ..batch(claim(), Vec::new()) }).unwrap();
        let spent = receipt.take_spent();
        assert_eq!((spent.len(), spent.capacity()), (0, 1000));
        assert_eq!(receipt.take_spent().capacity(), 0, "it is there once");
    }

    #[test]
    fn a_blob_that_lost_a_dead_letter_ends_as_a_gap() {
        let (_dir, mut sink) = delivery(10);
        let mut first = claim();
        first.parts.push(part("large"));
        first.parts.push(part("other"));
        let receipt = sink.write(batch(first, vec![letter("large")])).unwrap();
        assert_eq!(receipt.dead_letters_lost(), 1);
        let kept = sink.dead_letters.place(&receipt.claim().feed.tenant);
        assert_eq!(receipt.claim().parts, [part("other")], "a part without its dead letter is not claimed");
        assert!(receipt.claim().gaps.is_empty(), "the blob is still under way");

        let mut second = claim();
        second.done = vec![(key("large"), Counts::default()), (key("other"), Counts::default())];
        let receipt = sink.write(batch(second, Vec::new())).unwrap().into_claim();
        assert_eq!(receipt.done, [(key("other"), Counts::default())]);
        let [gap] = &receipt.gaps[..] else { panic!("{:?}", receipt.gaps) };
        assert_eq!((gap.id, gap.reason, gap.provisional), (GapId::of_blob(key("large")), GapReason::DeadLetterFull, false));
        assert!(gap.detail.starts_with(&kept), "{}", gap.detail);
        assert!(sink.withheld.is_empty());
    }

    /// The record was remembered, so that the next attempt dropped its line together with its letters, and the blob was done.
    #[test]
    fn a_cut_record_that_was_not_kept_whole_is_not_remembered() {
        for (limit, remembered) in [(1 << 20, 1), (10, 0)] {
            let (_dir, mut sink) = delivery(limit);
            let mut said = claim();
            said.parts.push(part("large"));
            said.records.push(RecordPrint { created: CREATED, hash: 7 });
            let receipt = sink.write(batch(said, vec![letter("large")])).unwrap();
            assert_eq!(receipt.claim().records.len(), remembered, "{limit}");
        }
    }

    #[test]
    fn no_receipt_for_an_output_that_fails() {
        let dir = tempfile::tempdir().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Delivery::new(Output::new(full, "test").unwrap(), DeadLetters::new(dir.path(), 1 << 20));
        let error = sink.write(batch(claim(), vec![letter("a")])).unwrap_err();
        assert!(matches!(error, SinkError::Full { .. }), "{error}");
        assert!(!dir.path().join("dead-letter").exists(), "lines come first");
        assert_eq!(sink.write(batch(claim(), Vec::new())).unwrap_err(), error, "it takes no further batch");
    }

    #[test]
    fn no_receipt_without_the_dead_letters() {
        let (dir, mut sink) = delivery(1 << 20);
        std::fs::write(dir.path().join("dead-letter"), "in the way").unwrap();
        let error = sink.write(batch(claim(), vec![letter("a")])).unwrap_err();
        assert!(matches!(error, SinkError::DeadLetter { .. }));
        assert_eq!(sink.write(batch(claim(), Vec::new())).unwrap_err(), error, "it takes no further batch");
    }

    fn gap(name: &str, reason: GapReason, provisional: bool, closed: Option<Time>) -> Gap {
        let (from, to, found, detail) = (CREATED, CREATED, CREATED, String::new());
        Gap { id: GapId::of_blob(key(name)), reason, from, to, blob: None, provisional, closed, found, detail }
    }

    /// With dead letters of these blobs that were not kept.
    fn with_lost(names: &[&str]) -> (tempfile::TempDir, Delivery) {
        let (dir, mut sink) = delivery(10);
        let receipt = sink.write(batch(claim(), names.iter().map(|name| letter(name)).collect())).unwrap();
        assert_eq!((receipt.dead_letters(), receipt.dead_letters_lost()), (0, names.len() as u64));
        (dir, sink)
    }

    #[test]
    fn a_receipt_counts_what_was_delivered() {
        let (_dir, mut sink) = delivery(1 << 20);
        let lines = Batch { claim: claim(), lines: b"{}\n{}\n".to_vec(), line_count: 2, dead: vec![letter("a"), letter("b")] };
        let receipt = sink.write(lines).unwrap();
        assert_eq!((receipt.lines(), receipt.bytes()), (2, 6));
        assert_eq!((receipt.dead_letters(), receipt.dead_letters_lost()), (2, 0));
    }

    #[test]
    fn the_gap_of_a_lost_dead_letter_takes_the_place_of_the_one_that_closed() {
        let (_dir, mut sink) = with_lost(&["late"]);
        let mut said = claim();
        said.done = vec![(key("late"), Counts::default())];
        said.gaps = vec![gap("late", GapReason::Unreadable, false, Some(CREATED)), gap("other", GapReason::Expired, false, None)];
        let gaps = sink.write(batch(said, Vec::new())).unwrap().into_claim().gaps;
        let told: Vec<_> = gaps.iter().map(|gap| (gap.id, gap.reason, gap.is_open())).collect();
        let of = |name| GapId::of_blob(key(name));
        assert_eq!(told, [(of("other"), GapReason::Expired, true), (of("late"), GapReason::DeadLetterFull, true)]);
    }

    #[test]
    fn a_blob_given_up_for_another_reason_needs_no_second_gap() {
        for (provisional, closed, waits) in [(false, None, 1), (true, None, 2), (false, Some(CREATED), 2)] {
            let (_dir, mut sink) = with_lost(&["a", "b"]);
            let mut said = claim();
            said.gaps = vec![gap("a", GapReason::Expired, provisional, closed)];
            assert_eq!(sink.write(batch(said.clone(), Vec::new())).unwrap().into_claim().gaps, said.gaps);
            assert_eq!(sink.withheld.len(), waits, "{provisional} {closed:?}");
            assert!(sink.withheld.contains_key(&(said.feed, key("b"))), "that of another blob stays");
        }
        // The same blob of another feed is another blob.
        let (_dir, mut sink) = with_lost(&["a"]);
        let mut said = claim();
        said.feed.content_type = ContentType::AuditExchange;
        said.gaps = vec![gap("a", GapReason::Expired, false, None)];
        said.parts = vec![part("a")];
        assert_eq!(sink.write(batch(said.clone(), Vec::new())).unwrap().claim(), &said);
        assert_eq!(sink.withheld.len(), 1);
    }
}
