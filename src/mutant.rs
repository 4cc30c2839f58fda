//! Faults on purpose: the ways in which other collectors lose events, seeded into this one, to prove that the checks see.
//!
//! Each variant is a loss path that was read in another collector's source (`reliability-security.md` section 1.3). The
//! shipped code asks [`on`] at the place where that collector goes wrong; in every build but the unit tests' the answer is
//! the constant `false`, and the seeded branch is not compiled in. The switch is the thread's own, so tests side by side do
//! not meet. Nothing else may be done here.

/// Who has to see a mutant.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// The simulation.
    Simulation,
    /// The tests of store and sink.
    Store,
}

/// One list, so that none can be seeded that nobody looks for.
macro_rules! mutants {
    ($($(#[$doc:meta])+ $name:ident: $($watcher:ident),+;)+) => {
        /// A loss path of another collector.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $($(#[$doc])+ $name,)+
        }

        #[cfg(test)]
        impl Mutant {
            const ALL: &[Mutant] = &[$(Mutant::$name),+];

            fn watchers(self) -> &'static [Watcher] {
                match self {
                    $(Mutant::$name => &[$(Watcher::$watcher),+],)+
                }
            }

            /// Those that this watcher has to see.
            pub(crate) fn seen_by(watcher: Watcher) -> Vec<Mutant> {
                Mutant::ALL.iter().copied().filter(|mutant| mutant.watchers().contains(&watcher)).collect()
            }
        }
    };
}

mutants! {
    /// A reply that breaks off ends the listing as if it were whole (Wazuh).
    P1: Simulation;
    /// A failed write to the output is passed over; the claim goes on (Wazuh).
    P2: Simulation;
    /// The next page is looked for only if the page has entries, and only if its link is short (Wazuh).
    P3: Simulation;
    /// A window that the service refuses counts as an empty one (Wazuh).
    P4: Simulation;
    /// State that can't be read means: begin now (Wazuh).
    P5: Simulation, Store;
    /// A blob is known as done before its records are out, or if it can't be parsed (ddbnl).
    P6: Simulation;
    /// The state is emptied and then written in place (ddbnl).
    P7: Store;
    /// A blob is dropped after three attempts (ddbnl).
    P8: Simulation;
    /// After an error the next blob's turn comes, and moves the place past this one (o365beat).
    P9: Simulation;
    /// The next window begins a second after the newest blob seen (o365beat, Elastic).
    P10: Simulation;
    /// What was listed once is never listed again: no window overlaps another, nothing is swept (o365beat, Elastic).
    P10b: Simulation;
    /// The same after the first look back: what is listed late is looked for once.
    P10c: Simulation;
    /// The place moves when a batch is handed over, whatever becomes of it (o365beat).
    P11: Simulation;
    /// An element that is no record is passed over without a word (o365beat).
    P11b: Simulation;
    /// An error in place of a blob is a blob without records (Elastic).
    P12: Simulation;
    /// What is too old to be listed, or has expired, is passed over without a word (Elastic).
    P13: Simulation;
    /// What became available while there was no subscription is passed over without a word (Elastic).
    P13b: Simulation;
    /// The same where another process finds the subscription on again: only the one that met its absence knows of it.
    P13c: Simulation;
    /// A blob that is not found is dropped without a word (Beats).
    P14: Simulation;
    /// Only the first record of a blob is read (Data Prepper).
    P15: Simulation;
    /// A blob that has expired by the local clock is skipped (SEKOIA).
    P16: Simulation;
    /// Windows end by the local clock (SEKOIA).
    P16b: Simulation;
    /// The next page's link is cut at the first character that is neither letter nor digit (Matano).
    P17: Simulation;
    /// A record over the size limit is dropped and counts as delivered (Vector).
    P18: Simulation;
    /// The place moves before the output is on disk (Vector).
    P18b: Store;
    /// An unfinished snapshot of the store is left where the next open finds it (sled).
    P19: Store;
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
