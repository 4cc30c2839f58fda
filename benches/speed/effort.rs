//! How much is measured: all of it, or less where less tells nearly the same.

/// Chosen by `--quick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Full,
    Quick,
}

impl Effort {
    /// One of two amounts.
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Effort::Full => full,
            Effort::Quick => quick,
        }
    }
}
