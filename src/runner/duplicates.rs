//! Drops records that were delivered before (the service may send one twice, `activity-api.md` section 12, rows 15 and
//! 16).
//!
//! A record counts as delivered only if that is committed, or if it stands earlier in the same batch: the writer takes one
//! batch at a time, so nothing else can have been delivered. Whatever can't be recognised for certain is delivered again.
//!
//! What a batch says about its blobs is put right here, before the sink sees it: a record that is dropped was read, and is
//! neither delivered nor lost. A blob that comes in parts is told about in several batches; what was dropped of it stays
//! known until its end.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::reading::LINE_TOO_LONG;
use crate::domain::{BlobKey, Claim, Counts, FeedId, GapId, RecordPrint};
use crate::sink::Batch;
use crate::store::{Store, StoreError};

/// One line of a batch whose record can be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recognised {
    /// The record.
    pub(crate) record: RecordPrint,
    /// Its place in the blob's array.
    pub(crate) index: u64,
    /// Where its line begins in the lines of its piece, and how long it is.
    pub(crate) begin: u32,
    pub(crate) length: u32,
}

/// The lines of one blob that came into a batch together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) blob: BlobKey,
    /// Where its lines begin in those of the batch.
    pub(crate) offset: usize,
    pub(crate) records: Vec<Recognised>,
}

/// What is known of blobs that are not at their end.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// At most one entry for each blob in flight, and only if something of it was dropped.
    under_way: HashMap<(FeedId, BlobKey), Dropped>,
}

#[derive(Debug, Default)]
struct Dropped {
    count: u64,
    /// Elements before this were looked at. A lower one means that the blob is read from its start again.
    seen: u64,
}

impl Duplicates {
    /// Takes out of the batch what was delivered before, and has its claim say so.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) fn drop_from<T: Store>(&mut self, batch: &mut Batch, pieces: &[Piece], store: &mut T) -> Result<(), StoreError> {
        let records: Vec<RecordPrint> = pieces.iter().flat_map(|piece| &piece.records).map(|line| line.record).collect();
        let before = if records.is_empty() { BTreeSet::new() } else { store.remembers(&batch.claim.feed, &records)? };
        let mut earlier = HashSet::with_capacity(records.len());
        let mut lines = Vec::new();
        let mut letters = HashSet::new();
        for piece in pieces {
            let key = (batch.claim.feed.clone(), piece.blob);
            for line in &piece.records {
                let known = before.contains(&line.record) || !earlier.insert(line.record);
                if let Some(dropped) = self.under_way.get_mut(&key) {
                    if line.index < dropped.seen {
                        dropped.count = 0;
                    }
                    dropped.seen = line.index + 1;
                }
                if known {
                    let dropped = self.under_way.entry(key.clone()).or_default();
                    dropped.count += 1;
                    dropped.seen = line.index + 1;
                    let begin = piece.offset + line.begin as usize;
                    lines.push(begin..begin + line.length as usize);
                    letters.insert((piece.blob, line.index));
                } else {
                    batch.claim.records.push(line.record);
                }
            }
        }
        batch.line_count -= lines.len() as u64;
        cut_out(&mut batch.lines, lines);
        if !letters.is_empty() {
            // A line that was cut takes the whole record in the dead letters with it: the first delivery put it there.
            batch.dead.retain(|letter| {
                letter.reason != LINE_TOO_LONG
                    || !letters.contains(&(BlobKey::new(&letter.content_id, letter.created), letter.index))
            });
        }
        self.settle(&mut batch.claim);
        Ok(())
    }

    /// Counts what was dropped where it belongs.
    fn settle(&mut self, claim: &mut Claim) {
        if self.under_way.is_empty() {
            return;
        }
        let of = |blob: BlobKey| (claim.feed.clone(), blob);
        for part in &mut claim.parts {
            if let Some(dropped) = self.under_way.get(&of(part.key)) {
                recount(&mut part.counts, dropped.count);
            }
        }
        for (blob, counts) in &mut claim.done {
            if let Some(dropped) = self.under_way.remove(&of(*blob)) {
                recount(counts, dropped.count);
            }
        }
        for gap in claim.gaps.iter().filter(|gap| gap.is_open() && !gap.provisional) {
            self.under_way.retain(|(feed, blob), _| *feed != claim.feed || GapId::of_blob(*blob) != gap.id);
        }
    }
}

/// So many of those that the reading took for delivered were dropped.
fn recount(counts: &mut Counts, dropped: u64) {
    let dropped = dropped.min(counts.delivered);
    counts.delivered -= dropped;
    counts.duplicate += dropped;
}

/// Takes ranges, which ascend, out of `lines`.
fn cut_out(lines: &mut Vec<u8>, ranges: Vec<std::ops::Range<usize>>) {
    let Some(first) = ranges.first() else { return };
    let mut end = first.start;
    let mut ranges = ranges.into_iter().peekable();
    while let Some(range) = ranges.next() {
        let next = ranges.peek().map_or(lines.len(), |next| next.start);
        lines.copy_within(range.end..next, end);
        end += next - range.end;
    }
    lines.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContentId, ContentType, Gap, GapReason, Part, Time};
    use crate::sink::{DeadLetter, MemorySink, Sink};
    use crate::store::MemoryStore;

    const NOW: Time = Time(1_772_366_400_000);

    fn id(name: &str) -> ContentId {
        ContentId(name.into())
    }

    fn blob(name: &str) -> BlobKey {
        BlobKey::new(&id(name), NOW)
    }

    /// A batch of these blobs, each with records that are told by a letter, which is their line as well.
    struct Desk {
        duplicates: Duplicates,
        store: MemoryStore,
        batch: Batch,
        pieces: Vec<Piece>,
    }

    impl Desk {
        fn new() -> Self {
            let claim = Claim {
                feed: FeedId {
                    tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(),
                    content_type: ContentType::AuditGeneral,
                },
                at: NOW,
                floor: NOW,
                begin: NOW,
                filter: "28".into(),
                done: Vec::new(),
                parts: Vec::new(),
                gaps: Vec::new(),
                records: Vec::new(),
                subscription_start: None,
                forget_before: NOW - std::time::Duration::from_secs(7 * 24 * 3600),
            };
            let batch = Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() };
            Self { duplicates: Duplicates::default(), store: MemoryStore::new(), batch, pieces: Vec::new() }
        }

        /// Elements from `from` on of a blob.
        fn piece(&mut self, name: &str, from: u64, records: &str) -> &mut Self {
            let offset = self.batch.lines.len();
            let mut lines = Vec::new();
            for (record, at) in records.bytes().zip(0..) {
                let length = 2 + at % 3;
                lines.push(Recognised {
                    record: RecordPrint { created: NOW, hash: u128::from(record) },
                    index: from + u64::from(at),
                    begin: u32::try_from(self.batch.lines.len() - offset).unwrap(),
                    length,
                });
                self.batch.lines.resize(self.batch.lines.len() + length as usize - 1, record);
                self.batch.lines.push(b'\n');
            }
            self.batch.line_count += lines.len() as u64;
            self.pieces.push(Piece { blob: blob(name), offset, records: lines });
            self
        }

        fn counts(delivered: u64) -> Counts {
            Counts { read: delivered + 3, delivered, filtered: 3, ..Counts::default() }
        }

        fn part(&mut self, name: &str, elements: u64) -> &mut Self {
            let counts = Self::counts(elements);
            self.batch.claim.parts.push(Part { key: blob(name), elements, digest: 7, counts });
            self
        }

        fn done(&mut self, name: &str, delivered: u64) -> &mut Self {
            self.batch.claim.done.push((blob(name), Self::counts(delivered)));
            self
        }

        /// What is left of the lines, each as its letter, and how many of each done blob are duplicates; committed unless it fails.
        fn write(&mut self, commits: bool) -> (String, Vec<u64>) {
            let next = Self::new().batch;
            let mut batch = std::mem::replace(&mut self.batch, next);
            let pieces = std::mem::take(&mut self.pieces);
            self.duplicates.drop_from(&mut batch, &pieces, &mut self.store).unwrap();
            let lines =
                batch.lines.split(|b| *b == b'\n').filter_map(|line| line.first()).map(|b| char::from(*b)).collect::<String>();
            assert_eq!(lines.len() as u64, batch.line_count);
            assert_eq!(lines.len(), batch.claim.records.len());
            let told = batch.claim.parts.iter().map(|part| &part.counts).chain(batch.claim.done.iter().map(|(_, counts)| counts));
            assert!(told.clone().all(Counts::balances));
            let told = told.map(|counts| counts.duplicate).collect();
            if commits {
                self.store.commit(MemorySink::new().write(batch).unwrap()).unwrap();
            }
            (lines, told)
        }
    }

    #[test]
    fn what_is_committed_or_earlier_in_the_batch_is_dropped_and_counted() {
        let mut desk = Desk::new();
        desk.piece("one", 0, "abc").done("one", 3).piece("two", 0, "daeea").done("two", 5);
        assert_eq!(desk.write(true), ("abcde".into(), vec![0, 3]));
        desk.piece("three", 4, "fbbg")
            .done("three", 4)
            .piece("four", 0, "ab")
            .done("four", 2)
            .piece("five", 0, "")
            .done("five", 0);
        assert_eq!(desk.write(true), ("fg".into(), vec![2, 2, 0]));
        assert!(desk.duplicates.under_way.is_empty());
    }

    #[test]
    fn what_was_written_and_not_committed_is_written_again() {
        let mut desk = Desk::new();
        desk.piece("one", 0, "ab").done("one", 2);
        assert_eq!(desk.write(false), ("ab".into(), vec![0]));
        desk.piece("one", 0, "ab").done("one", 2);
        assert_eq!(desk.write(true), ("ab".into(), vec![0]));
    }

    #[test]
    fn a_blob_in_parts_counts_all_that_was_dropped_of_it() {
        let mut desk = Desk::new();
        desk.piece("one", 0, "ac").done("one", 2).write(true);
        desk.piece("large", 0, "xay").part("large", 3);
        assert_eq!(desk.write(true), ("xy".into(), vec![1]));
        desk.piece("large", 3, "z").part("large", 4);
        assert_eq!(desk.write(true), ("z".into(), vec![1]));
        desk.piece("large", 4, "wc").done("large", 6);
        assert_eq!(desk.write(true), ("w".into(), vec![2]));
        // Read from its start again: what counted before counts no more.
        desk.piece("again", 0, "ac").part("again", 2);
        assert_eq!(desk.write(true), (String::new(), vec![2]));
        desk.piece("again", 0, "ap").done("again", 2);
        assert_eq!(desk.write(true), ("p".into(), vec![1]));
    }

    #[test]
    fn a_blob_that_is_given_up_is_forgotten() {
        let mut desk = Desk::new();
        desk.piece("one", 0, "aa").part("one", 2);
        assert_eq!(desk.write(true), ("a".into(), vec![1]));
        assert_eq!(desk.duplicates.under_way.len(), 1);
        let gap = |provisional| Gap {
            id: GapId::of_blob(blob("one")),
            reason: GapReason::Unreadable,
            from: NOW,
            to: NOW,
            blob: None,
            provisional,
            closed: None,
            found: NOW,
            detail: String::new(),
        };
        for (provisional, left) in [(true, 1), (false, 0)] {
            desk.batch.claim.gaps.push(gap(provisional));
            desk.write(true);
            assert_eq!(desk.duplicates.under_way.len(), left);
        }
    }

    #[test]
    fn the_dead_letters_of_a_cut_line_go_with_it() {
        let letter = |name: &str, index, reason| DeadLetter {
            content_id: id(name),
            created: NOW,
            index,
            reason,
            part: 0,
            last: true,
            bytes: Vec::new(),
        };
        let mut desk = Desk::new();
        desk.piece("one", 0, "a").done("one", 1).write(true);
        desk.piece("two", 5, "ab").done("two", 2);
        desk.batch.dead =
            vec![letter("two", 5, LINE_TOO_LONG), letter("two", 6, LINE_TOO_LONG), letter("two", 5, "invalid_utf8")];
        let mut batch = desk.batch.clone();
        desk.duplicates.drop_from(&mut batch, &desk.pieces, &mut desk.store).unwrap();
        let left: Vec<_> = batch.dead.iter().map(|letter| (letter.index, letter.reason)).collect();
        assert_eq!(left, [(6, LINE_TOO_LONG), (5, "invalid_utf8")]);
    }
}
