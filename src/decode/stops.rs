//! Where text in strings stops, told from masks with one bit for each byte of a block of 64, made with vector instructions.

use wide::u8x16;

/// Bytes in a block.
const BLOCK: usize = 64;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// Where text stops in one slice of bytes after another. A block is looked at when text reaches into it, and remembered until the next.
#[derive(Debug)]
pub(super) struct Stops {
    /// Which block of the slice it is, or `usize::MAX` before the first.
    block: usize,
    /// Where text stops.
    text: u64,
    /// 1 if the block's last byte is a backslash that escapes what follows.
    carry: u64,
    /// The bytes that are not ASCII, in the block and in those before it since [`Stops::forget_others`].
    others: (u64, u64),
}

impl Stops {
    pub(super) fn new() -> Self {
        Stops { block: usize::MAX, text: 0, carry: 0, others: (0, 0) }
    }

    /// An element begins.
    pub(super) fn forget_others(&mut self) {
        self.others.1 = self.others.0;
    }

    /// True if there may be a byte that is not ASCII in the text that was asked about since the element began.
    pub(super) fn has_others(&self) -> bool {
        self.others.1 != 0
    }

    /// What follows is about another slice, or about bytes that were looked at before. `escaped`: the first byte is escaped by one
    /// of the slice before.
    pub(super) fn reset(&mut self, escaped: bool) {
        *self = Stops { carry: u64::from(escaped), others: (0, self.others.1), ..Stops::new() };
    }

    /// The first place at or after `from` where text stops: a quote that is not escaped, a control character, what is escaped
    /// and none of `"\\/bfnrt`, or the end of the slice. `from` lies in a string, and no earlier place was asked for later.
    #[inline(always)]
    pub(super) fn next(&mut self, bytes: &[u8], from: usize) -> usize {
        if from / BLOCK == self.block {
            let stops = self.text >> (from % BLOCK);
            if stops != 0 {
                return from + stops.trailing_zeros() as usize;
            }
        }
        self.next_blocks(bytes, from)
    }

    /// The same where the block that is remembered tells nothing.
    #[inline(never)]
    fn next_blocks(&mut self, bytes: &[u8], from: usize) -> usize {
        let mut at = from.max(self.block.wrapping_add(1) * BLOCK);
        loop {
            self.load(bytes, at / BLOCK);
            let stops = self.text >> (at % BLOCK);
            if stops != 0 {
                return at + stops.trailing_zeros() as usize;
            }
            at = (at / BLOCK + 1) * BLOCK;
        }
    }

    /// The block where `from` lies; nothing if the slice ends in it or soon after.
    #[inline(always)]
    pub(super) fn near<'a>(&mut self, bytes: &'a [u8], from: usize) -> Option<Near<'a>> {
        let block = from / BLOCK;
        let near = bytes.get(block * BLOCK..)?.first_chunk()?;
        if block != self.block {
            self.load(bytes, block);
        }
        Some(Near { bytes: near, begin: block * BLOCK, stops: self.text >> (from % BLOCK) << (from % BLOCK) })
    }

    /// True if the place that was told last is escaped by the byte before.
    pub(super) fn is_escaped(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at).map_or(self.carry == 1, |byte| *byte >= b' ' && *byte != b'"')
    }

    #[inline(always)]
    fn load(&mut self, bytes: &[u8], block: usize) {
        // Of a string every block is looked at, and elsewhere there are no backslashes: what was passed over carries nothing.
        if block != self.block.wrapping_add(1) {
            self.carry = 0;
        }
        self.block = block;
        match bytes.as_chunks().0.get(block) {
            Some(bytes) => _ = self.take(bytes),
            None => self.take_rest(bytes),
        }
    }

    /// Behind the end of the slice stand control characters: text stops there.
    #[cold]
    fn take_rest(&mut self, bytes: &[u8]) {
        let rest = bytes.get(self.block * BLOCK..).unwrap_or_default();
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.look_closer(&block, rest.len());
    }

    /// Takes up a block, and tells its stops. Few blocks hold more than plain ASCII text and quotes.
    #[inline(never)]
    fn take(&mut self, block: &[u8; BLOCK]) -> u64 {
        let vectors = Vectors::of(block);
        if vectors.has_unusual() || self.carry != 0 {
            return self.look_closer(block, BLOCK);
        }
        self.text = vectors.quotes();
        self.others.0 = 0;
        self.text
    }

    /// The same for any block, of which so many bytes are in the slice.
    #[inline(never)]
    fn look_closer(&mut self, block: &[u8; BLOCK], length: usize) -> u64 {
        let vectors = Vectors::of(block);
        let quotes = vectors.quotes();
        let carry = std::mem::take(&mut self.carry);
        (self.text, self.others.0) = (quotes, 0);
        let backslashes = vectors.mask(|bytes| bytes.simd_eq(u8x16::splat(b'\\')));
        if vectors.has_controls_or_others() {
            self.text |= vectors.mask(|bytes| bytes.min(u8x16::splat(0x1f)).simd_eq(bytes));
            self.others.0 = u64::from(vectors.has_others());
            self.others.1 |= self.others.0;
        }
        if backslashes | carry != 0 {
            self.escape(block, length, carry, backslashes, quotes);
        }
        self.text
    }

    #[inline]
    fn escape(&mut self, block: &[u8; BLOCK], length: usize, carry: u64, backslashes: u64, quotes: u64) {
        let (escaped, carry) = escaped(backslashes, carry);
        self.carry = if length < BLOCK { escaped >> length & 1 } else { carry };
        // Most of what is escaped are quotes and backslashes; the rest is looked at one by one.
        let mut others = escaped & !backslashes & !quotes;
        self.text &= !escaped;
        while others != 0 {
            let at = others.trailing_zeros();
            let simple = matches!(block[at as usize], b'/' | b'b' | b'f' | b'n' | b'r' | b't');
            self.text |= u64::from(!simple) << at;
            others &= others - 1;
        }
    }
}

/// How many bytes behind a block are seen with it: as many as [`Near::next`] tells besides the stop.
const BEHIND: usize = 3;

/// A way from stop to stop that keeps what it needs in registers: the block that [`Stops`] remembers, with the stops in it that were
/// not told yet. Whoever asks `Stops` something in between takes a new one from there.
#[derive(Debug)]
pub(super) struct Near<'a> {
    /// The block and the bytes behind it, so that looking at a stop needs no check of bounds.
    bytes: &'a [u8; BLOCK + BEHIND],
    /// Where the block begins in the slice.
    begin: usize,
    stops: u64,
}

impl<'a> Near<'a> {
    /// The next stop, and the three bytes from there on as a little-endian number; nothing if the slice ends soon.
    #[inline(always)]
    pub(super) fn next(&mut self, bytes: &'a [u8], stops: &mut Stops) -> Option<(usize, u32)> {
        while self.stops == 0 {
            self.advance(bytes, stops)?;
        }
        let at = self.stops.trailing_zeros() as usize % BLOCK;
        self.stops &= self.stops - 1;
        let mut look = [0; 4];
        look.copy_from_slice(&self.bytes[at..at + 4]);
        Some((self.begin + at, u32::from_le_bytes(look) & 0xff_ffff))
    }

    /// Leaves out the stops up to this place: outside of strings, quotes that open one and white space are stops too.
    #[inline(always)]
    pub(super) fn pass(&mut self, at: usize, bytes: &'a [u8], stops: &mut Stops) -> Option<()> {
        while at >= self.begin + BLOCK {
            self.advance(bytes, stops)?;
        }
        self.stops &= !1 << (at % BLOCK);
        Some(())
    }

    /// To the next block.
    #[inline(always)]
    fn advance(&mut self, bytes: &'a [u8], stops: &mut Stops) -> Option<()> {
        self.bytes = bytes.get(self.begin + BLOCK..)?.first_chunk()?;
        self.begin += BLOCK;
        stops.block += 1;
        self.stops = stops.take(self.bytes.first_chunk()?);
        Some(())
    }
}

/// A block as vectors.
#[derive(Clone, Copy)]
struct Vectors([u8x16; 4]);

impl Vectors {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let part = |at: usize| {
            let mut part = [0; 16];
            part.copy_from_slice(&block[16 * at..16 * (at + 1)]);
            u8x16::new(part)
        };
        Vectors([part(0), part(1), part(2), part(3)])
    }

    /// One bit for each byte: 1 for those that `find` marks.
    #[inline]
    fn mask(self, find: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|bytes| u64::from(find(bytes).to_bitmask()));
        a | b << 16 | c << 32 | d << 48
    }

    #[inline]
    fn quotes(self) -> u64 {
        self.mask(|bytes| bytes.simd_eq(u8x16::splat(b'"')))
    }

    /// True if there is anything for [`Stops::look_closer`].
    #[inline]
    fn has_unusual(self) -> bool {
        (self.controls_or_others() | self.backslashes()).to_bitmask() != 0
    }

    #[inline]
    fn has_controls_or_others(self) -> bool {
        self.controls_or_others().to_bitmask() != 0
    }

    #[inline]
    fn has_others(self) -> bool {
        let [a, b, c, d] = self.0;
        (a | b | c | d).to_bitmask() != 0
    }

    /// The highest bit is set somewhere if there is a control character or a byte that is not ASCII: less 32 each has it, or had it
    /// before.
    #[inline]
    fn controls_or_others(self) -> u8x16 {
        let [a, b, c, d] = self.0;
        let (least, all) = (a.min(b).min(c.min(d)), a | b | c | d);
        (least - u8x16::splat(b' ')) | all
    }

    #[inline]
    fn backslashes(self) -> u8x16 {
        let [a, b, c, d] = self.0.map(|bytes| bytes.simd_eq(u8x16::splat(b'\\')));
        a | b | c | d
    }
}

/// The bytes that are escaped, and 1 if what follows the block is, from its backslashes and whether its first byte is: of a row
/// of backslashes every second one is. The sum runs a carry through each row that begins at an odd place, so that the parity of
/// its end tells; Langdale and Lemire, "Parsing gigabytes of JSON per second", section 3.1.1.
#[inline]
fn escaped(backslashes: u64, carry: u64) -> (u64, u64) {
    let backslashes = backslashes & !carry;
    let follows = backslashes << 1 | carry;
    let odd_starts = backslashes & !EVEN & !follows;
    let (sum, over) = odd_starts.overflowing_add(backslashes);
    ((EVEN ^ sum << 1) & follows, u64::from(over))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Byte by byte: where text stops, and whether a backslash stands before that place.
    fn slowly(bytes: &[u8], from: usize, escaped: bool) -> (usize, bool) {
        let (mut at, mut escaped) = (from, escaped);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' | 0..0x20 => return (at, escaped),
                _ if escaped => return (at, true),
                _ => {}
            }
            at += 1;
        }
        (at, escaped)
    }

    proptest! {
        #[test]
        fn blocks_and_bytes_agree(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(b'\\'), 1 => Just(b'"'), 2 => Just(b'n'), 1 => Just(b'u'), 20 => Just(b'a'), 1 => any::<u8>()], 0..300),
            escaped: bool,
        ) {
            let mut stops = Stops::new();
            stops.reset(escaped);
            // A reader that begins behind an escaped byte has looked at that byte itself.
            let mut from = usize::from(escaped).min(bytes.len());
            loop {
                let at = stops.next(&bytes, from);
                let (slow, is_escaped) = slowly(&bytes, from, escaped && bytes.is_empty());
                prop_assert_eq!(at, slow);
                // A control character breaks the grammar, escaped or not.
                if bytes.get(at).is_none_or(|byte| *byte >= b' ') {
                    prop_assert_eq!(stops.is_escaped(&bytes, at), is_escaped);
                }
                if at >= bytes.len() {
                    break;
                }
                from = at + 1;
            }
        }
    }

    #[test]
    fn others_are_those_of_the_element() {
        let mut stops = Stops::new();
        let bytes = "é\" \"plain\"".as_bytes();
        assert_eq!(stops.next(bytes, 0), 2);
        assert!(stops.has_others());
        stops.forget_others();
        assert!(stops.has_others(), "its block is not over");
        let later = [b'a'; 200];
        stops.reset(false);
        stops.forget_others();
        assert_eq!(stops.next(&later, 0), 200);
        assert!(!stops.has_others());
    }
}
