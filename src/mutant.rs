//! Faults on purpose: the ways in which other collectors lose events, seeded into this one, to prove that the checks see.
//!
//! Each variant is a loss path that was read in another collector's source (`reliability-security.md` section 1.3). The
//! shipped code asks [`on`] at the place where that collector goes wrong; in every build but the unit tests' the answer is
//! the constant `false`, and the seeded branch is not compiled in. The switch is the thread's own, so tests side by side do
//! not meet. Nothing else may be done here.

/// A loss path of another collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A reply that breaks off or is too large ends the listing as if it were whole (Wazuh).
    P1,
    /// A failed write to the output is passed over; the claim goes on (Wazuh).
    P2,
    /// The next page is looked for only if the page has entries, and only if its link is short (Wazuh).
    P3,
    /// A window that the service refuses counts as an empty one (Wazuh).
    P4,
    /// State that can't be read means: begin now (Wazuh).
    P5,
    /// A blob is known as done before its records are out, or if it can't be parsed (ddbnl).
    P6,
    /// The state is emptied and then written in place (ddbnl).
    P7,
    /// A blob is dropped after three attempts (ddbnl).
    P8,
    /// After an error the next blob's turn comes, and moves the place past this one (o365beat).
    P9,
    /// The next window begins a second after the newest blob seen (o365beat, Elastic).
    P10,
    /// The place moves when a batch is handed over, whatever becomes of it (o365beat).
    P11,
    /// An element that is no record is passed over without a word (o365beat).
    P11b,
    /// An error in place of a blob is a blob without records (Elastic).
    P12,
    /// What is too old to be listed, or has expired, is passed over without a word (Elastic).
    P13,
    /// A blob that is not found is dropped without a word (Beats).
    P14,
    /// Only the first record of a blob is read (Data Prepper).
    P15,
    /// A blob that has expired by the local clock is skipped (SEKOIA).
    P16,
    /// Windows end by the local clock (SEKOIA).
    P16b,
    /// The next page's link is cut at the first character that is neither letter nor digit (Matano).
    P17,
    /// A record over the size limit is dropped and counts as delivered (Vector).
    P18,
    /// The place moves before the output is on disk (Vector).
    P18b,
    /// An unfinished snapshot of the store is left where the next open finds it (sled).
    P19,
}

/// True if the unit test of this thread has turned the mutant on.
#[cfg(test)]
pub(crate) fn on(mutant: Mutant) -> bool {
    switch::SEEDED.get() == Some(mutant)
}

/// Nothing is seeded outside unit tests.
#[cfg(not(test))]
pub(crate) const fn on(_: Mutant) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::with;

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        pub(super) static SEEDED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Does something with the mutant turned on.
    pub(crate) fn with<R>(mutant: Mutant, work: impl FnOnce() -> R) -> R {
        struct Off(Option<Mutant>);
        impl Drop for Off {
            fn drop(&mut self) {
                SEEDED.set(self.0);
            }
        }
        let _off = Off(SEEDED.replace(Some(mutant)));
        work()
    }
}
