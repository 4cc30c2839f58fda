//! What kinds of tenant there are, in words that another process is given.

use std::time::Duration;

use defender_feed::domain::Time;

/// What a page of a listing usually holds here.
pub(crate) const PAGE: u64 = 1000;

/// A kind of tenant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    /// Usual blobs.
    Plain { blobs: u64 },
    /// The same, compressed.
    Gzip { blobs: u64 },
    /// Blobs of one wanted record each, listed in pages of so many.
    Tiny { blobs: u64, page: u64 },
    /// One blob, made of all records of the corpus so many times.
    Huge { times: u64 },
    /// One blob of records that nobody wants, compressed: so many MB of them.
    Bomb { megabytes: u64 },
    /// Blobs of one wanted record each, which appear one by one, so many milliseconds apart.
    Appearing { begin: Time, every: u64 },
}

impl Manner {
    /// For [`Manner::of`].
    pub(crate) fn words(self) -> Vec<String> {
        let (name, numbers) = match self {
            Manner::Plain { blobs } => ("plain", vec![blobs]),
            Manner::Gzip { blobs } => ("gzip", vec![blobs]),
            Manner::Tiny { blobs, page } => ("tiny", vec![blobs, page]),
            Manner::Huge { times } => ("huge", vec![times]),
            Manner::Bomb { megabytes } => ("bomb", vec![megabytes]),
            Manner::Appearing { begin, every } => ("appearing", vec![begin.0.unsigned_abs(), every]),
        };
        std::iter::once(name.to_owned()).chain(numbers.iter().map(u64::to_string)).collect()
    }

    /// What [`Manner::words`] says.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        let (name, numbers) = words.split_first()?;
        let number = |n: usize| numbers.get(n)?.parse::<u64>().ok();
        Some(match *name {
            "plain" => Manner::Plain { blobs: number(0)? },
            "gzip" => Manner::Gzip { blobs: number(0)? },
            "tiny" => Manner::Tiny { blobs: number(0)?, page: number(1)? },
            "huge" => Manner::Huge { times: number(0)? },
            "bomb" => Manner::Bomb { megabytes: number(0)? },
            "appearing" => Manner::Appearing { begin: Time(i64::try_from(number(0)?).ok()?), every: number(1)?.max(1) },
            _ => return None,
        })
    }

    /// How many blobs it has, if they are all there from the start.
    pub(crate) fn blobs(self) -> u64 {
        match self {
            Manner::Plain { blobs } | Manner::Gzip { blobs } | Manner::Tiny { blobs, .. } => blobs,
            Manner::Huge { .. } | Manner::Bomb { .. } => 1,
            Manner::Appearing { .. } => 0,
        }
    }

    /// How many of them a page of its listings holds.
    pub(crate) fn page(self) -> u64 {
        match self {
            Manner::Tiny { page, .. } => page,
            _ => PAGE,
        }
    }

    /// When blob `number` appears, if they do so one by one.
    pub(crate) fn appears(begin: Time, every: u64, number: u64) -> Time {
        begin + Duration::from_millis(every * number)
    }
}
