//! The one buffer of a decoder: the bytes of an element that straddles chunks, and dead bytes on their way out in parts.

use super::frame::Limits;
use super::{DeadReason, Item};

/// What the buffer keeps between elements, in bytes. Ordinary records fit, so that they cost no allocation; what a rare large one
/// took is given back.
const KEPT: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Set while the element goes out in parts, without waiting for its end: why, and how many parts are out.
    leaving: Option<(DeadReason, u32)>,
}

impl Held {
    /// The bytes held.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if the element is going out in parts.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Adds bytes to an element that may reach `limit` bytes.
    pub(super) fn add(&mut self, more: &[u8], limit: usize) {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            // Doubling, as Vec does, but never past the limit.
            let capacity = (self.bytes.capacity() * 2).min(limit).max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
    }

    /// Takes the bytes from `at` on out of the buffer.
    pub(super) fn split_off(&mut self, at: usize) -> Vec<u8> {
        self.bytes.split_off(at)
    }

    /// Takes the whole element out; `give_back` returns the buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Returns a buffer that was taken, empty.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT {
            buffer.clear();
            self.bytes = buffer;
        }
    }

    /// From here on the element goes out in parts, for this reason.
    pub(super) fn leave(&mut self, reason: DeadReason) {
        self.leaving.get_or_insert((reason, 0));
    }

    /// Sends more bytes of a leaving element on their way. A part goes out when a byte follows it, so that the last one is known.
    pub(super) fn send<F: FnMut(Item<'_>)>(&mut self, index: u64, more: &[u8], limits: &Limits, each: &mut F) {
        let mut more = more;
        while self.bytes.len() + more.len() > limits.part {
            let (missing, rest) = more.split_at(limits.part.saturating_sub(self.bytes.len()));
            self.bytes.extend_from_slice(missing);
            more = rest;
            let full = (self.bytes.len() - usize::from(more.is_empty())) / limits.part * limits.part;
            let Some((reason, part)) = &mut self.leaving else { return };
            for raw in self.bytes[..full].chunks(limits.part) {
                each(Item::Dead { index, reason: *reason, part: *part, last: false, raw });
                *part = part.saturating_add(1);
            }
            self.bytes.drain(..full);
            self.bytes.shrink_to(KEPT);
        }
        self.bytes.extend_from_slice(more);
    }

    /// Ends a leaving element with its last part. False if there was not a byte in it.
    pub(super) fn end<F: FnMut(Item<'_>)>(&mut self, index: u64, limits: &Limits, each: &mut F) -> bool {
        if self.leaving.is_some() {
            self.send(index, &[], limits, each);
        }
        let Some((reason, part)) = self.leaving.take() else { return false };
        let told = !self.bytes.is_empty();
        if told {
            each(Item::Dead { index, reason, part, last: true, raw: &self.bytes });
        }
        let buffer = self.take();
        self.give_back(buffer);
        told
    }
}

/// Tells an element that is dead and whole in memory.
pub(super) fn tell_dead<F: FnMut(Item<'_>)>(index: u64, reason: DeadReason, raw: &[u8], limits: &Limits, each: &mut F) {
    let parts = raw.chunks(limits.part);
    let count = parts.len();
    for (part, raw) in parts.enumerate() {
        each(Item::Dead { index, reason, part: u32::try_from(part).unwrap_or(u32::MAX), last: part + 1 == count, raw });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { element: 100, part: 4, error: 10 };

    /// The parts that come out when `held` is held and then `sent` is sent in slices.
    fn parts(held: &[u8], sent: &[u8], slice: usize) -> Vec<(u32, bool, Vec<u8>)> {
        let mut buffer = Held::default();
        let mut out = Vec::new();
        let mut each = |item: Item<'_>| match item {
            Item::Dead { index: 7, reason: DeadReason::TooLarge, part, last, raw } => out.push((part, last, raw.to_vec())),
            other => panic!("{other:?}"),
        };
        buffer.add(held, 100);
        buffer.leave(DeadReason::TooLarge);
        buffer.leave(DeadReason::FramingLost);
        for slice in sent.chunks(slice) {
            buffer.send(7, slice, &LIMITS, &mut each);
        }
        assert_eq!(buffer.end(7, &LIMITS, &mut each), !(held.is_empty() && sent.is_empty()));
        out
    }

    #[test]
    fn parts_are_cut_at_the_same_places_however_bytes_come() {
        let bytes: Vec<u8> = (0..30).collect();
        for total in 0..30 {
            let mut expected = Vec::new();
            tell_dead(7, DeadReason::TooLarge, &bytes[..total], &LIMITS, &mut |item| match item {
                Item::Dead { part, last, raw, .. } => expected.push((part, last, raw.to_vec())),
                other => panic!("{other:?}"),
            });
            assert_eq!(expected.len(), total.div_ceil(4));
            for held in 0..=total {
                for slice in 1..=6 {
                    assert_eq!(
                        parts(&bytes[..held], &bytes[held..total], slice),
                        expected,
                        "{held} of {total}, slices of {slice}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_large_buffer_is_given_back_and_never_grows_past_the_limit() {
        let mut held = Held::default();
        for _ in 0..100 {
            held.add(&[0; 30_000], 3_000_000);
        }
        let buffer = held.take();
        assert_eq!((buffer.len(), buffer.capacity()), (3_000_000, 3_000_000));
        held.give_back(buffer);
        assert_eq!(held.bytes.capacity(), 0);
        held.add(&[0; 1000], 3_000_000);
        let buffer = held.take();
        held.give_back(buffer);
        assert!(held.bytes.capacity() >= 1000 && held.bytes().is_empty());
    }
}
