//! `backfill`: one range of time, once.

use super::Exit;
use super::flags::{Everything, SettingFlags};
use crate::config::When;

/// How it can end.
pub const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Gaps,
    Exit::OutputClosed,
    Exit::Locked,
    Exit::Refused,
    Exit::Config,
    Exit::Interrupted,
    Exit::Terminated,
];

/// What it does, for the long help.
pub const ABOUT: &str = "Collect one range of time and end: everything that became available within it goes to stdout, and the closing summary \
        says what was delivered and what is missing.\n\n\
        The range is about when content became available, not about when its events happened: an event can become available hours or days \
        after it happened. A backfill has a place of its own under the state directory; it never moves a poller's, and runs beside one.\n\n\
        It starts afresh unless --resume is given, or stdout is the file that an interrupted run wrote and still has all of it.";

/// The arguments of `backfill`.
#[derive(Debug, clap::Args)]
pub struct BackfillArgs {
    /// Begin here: a duration before now (24h; 7d for all that the service keeps), a date (2026-03-01), or RFC 3339 (UTC without a zone)
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub since: When,
    /// End here, in the same forms [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub until: Option<When>,
    /// Go on where an interrupted run of the same range stopped; its output must be kept
    #[arg(long)]
    pub resume: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

fn parse_when(text: &str) -> Result<When, String> {
    text.parse().map_err(|error: crate::domain::InvalidValue| error.to_string())
}
