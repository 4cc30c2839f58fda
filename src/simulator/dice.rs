//! Numbers that look random and follow from a seed: the simulator's only source of chance.

/// Splitmix64 (Steele, Lea, Flood 2014). Good enough to vary test data; not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// Dice for one purpose: equal seed and path, equal throws, whatever else was thrown before.
    pub(crate) fn new(seed: u64, path: &[u64]) -> Self {
        Self(path.iter().fold(mix(seed ^ STEP), |state, part| mix(state.wrapping_add(STEP) ^ mix(part.wrapping_add(STEP)))))
    }

    /// Any 64 bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `limit`; zero if `limit` is zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // The high half of the product: without the bias of a remainder that small limits would show.
        u64::try_from((u128::from(self.roll()) * u128::from(limit)) >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True for this share of all throws.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        ((self.roll() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)]
    }

    /// A GUID in the form of version 4.
    pub(crate) fn guid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            8 + (b >> 62),
            (b >> 48) & 0xfff,
            b & 0xffff_ffff_ffff
        )
    }

    /// `bytes` random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            let word = self.roll().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_seed_and_path_alone() {
        let throw = |seed, path: &[u64]| Dice::new(seed, path).roll();
        assert_eq!(throw(1, &[2, 3]), throw(1, &[2, 3]));
        assert_ne!(throw(1, &[2, 3]), throw(1, &[3, 2]));
        assert_ne!(throw(1, &[2]), throw(2, &[2]));
        assert_ne!(throw(1, &[0]), throw(1, &[0, 0]));
    }

    #[test]
    fn throws_spread_evenly() {
        let mut dice = Dice::new(7, &[]);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[dice.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        let hits = (0..10_000).filter(|_| dice.chance(0.05)).count();
        assert!((400..600).contains(&hits), "{hits}");
        assert!(!dice.chance(0.0));
        assert!(dice.chance(1.0));
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn guids_have_their_form() {
        let guid = Dice::new(3, &[]).guid();
        assert!(guid.parse::<crate::domain::TenantId>().is_ok(), "{guid}");
        assert_eq!(guid.as_bytes()[14], b'4');
    }
}
