//! Stretches of time that have still to be listed.

use crate::domain::Time;

/// Disjoint, half-open stretches in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretches(Vec<(Time, Time)>);

impl Stretches {
    /// One stretch, or none if it is empty.
    pub fn one(from: Time, to: Time) -> Self {
        Self(if from < to { vec![(from, to)] } else { Vec::new() })
    }

    /// Takes `[from, to)` out.
    pub fn remove(&mut self, from: Time, to: Time) {
        if from >= to {
            return;
        }
        let mut left = Vec::with_capacity(self.0.len() + 1);
        for &(a, b) in &self.0 {
            if b <= from || to <= a {
                left.push((a, b));
                continue;
            }
            if a < from {
                left.push((a, from));
            }
            if to < b {
                left.push((to, b));
            }
        }
        self.0 = left;
    }

    /// The earliest stretch.
    pub fn first(&self) -> Option<(Time, Time)> {
        self.0.first().copied()
    }

    /// The latest stretch.
    pub fn last(&self) -> Option<(Time, Time)> {
        self.0.last().copied()
    }

    /// True if this moment is in one of them.
    pub fn contains(&self, time: Time) -> bool {
        self.0.iter().any(|(from, to)| (*from..*to).contains(&time))
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_exactly_what_was_not_removed(cuts in prop::collection::vec((0i64..100, 0i64..100), 0..20)) {
            let mut s = Stretches::one(Time(0), Time(100));
            let mut model = [true; 100];
            for (a, b) in cuts {
                s.remove(Time(a), Time(b));
                for slot in model.iter_mut().take(b.max(0) as usize).skip(a as usize) {
                    *slot = false;
                }
            }
            for (i, expected) in model.iter().enumerate() {
                let held = s.contains(Time(i as i64));
                prop_assert_eq!(held, *expected);
            }
            prop_assert!(s.0.windows(2).all(|w| w[0].1 <= w[1].0));
            prop_assert!(s.0.iter().all(|(a, b)| a < b), "an empty stretch would never be listed");
        }
    }

    #[test]
    fn a_stretch_without_length_is_none() {
        assert!(Stretches::one(Time(5), Time(5)).is_empty());
        assert_eq!(Stretches::one(Time(5), Time(6)).first(), Some((Time(5), Time(6))));
    }
}
