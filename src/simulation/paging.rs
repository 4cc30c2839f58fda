//! Listings without end (R19): in some seeds none ends in rough weather, and in each seed the pages of a listing are counted.

use std::time::Duration;

use super::fate::{Endless, Weather};
use super::phases::Phase;
use super::world::World;
use crate::simulator::faults::Fault;
use crate::simulator::{Request, Response};

/// The product's limit for the pages of one window (ARCHITECTURE.md, "Limits").
const PAGES_MAX: u32 = 10_000;
/// A flood ends after this many pages: enough for each of two listings side by side to reach the limit.
const FLOOD: u32 = 24_000;
/// How soon its pages come.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The window of a listing, as its requests and its links spell it.
pub(super) type Listed = (Option<String>, Option<String>);

impl World {
    /// The fault of a listing that must not end now.
    pub(super) fn endless(&mut self, phase: Phase) -> Option<Fault> {
        let endless = self.fate.endless?;
        let rough = matches!(self.weather(), Weather::Rough { .. });
        if !rough || !matches!(phase, Phase::List | Phase::NextPage) || (self.fate.flood && self.flooded >= FLOOD) {
            return None;
        }
        self.flooded += 1;
        Some(match endless {
            Endless::Empty => Fault::EmptyPage,
            Endless::Circle => Fault::PageLoop,
        })
    }

    /// How long a page of a flood takes.
    pub(super) fn hastens(&self, phase: Phase) -> Option<Duration> {
        let flood = self.fate.flood && matches!(phase, Phase::List | Phase::NextPage);
        (flood && matches!(self.weather(), Weather::Rough { .. })).then_some(AT_ONCE)
    }

    /// Counts a page that the process has got.
    pub(super) fn count_page(&mut self, asked: &Request, response: &Response, phase: Phase) {
        if response.status != 200 || !matches!(phase, Phase::List | Phase::NextPage) {
            return;
        }
        let window = (asked.query_value("startTime"), asked.query_value("endTime"));
        let pages = self.pages.entry(window).or_default();
        *pages = if phase == Phase::List { 1 } else { *pages + 1 };
        if *pages > PAGES_MAX {
            self.accuse(format!("R19: a listing of more than {PAGES_MAX} pages"));
        }
    }
}
