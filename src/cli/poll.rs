//! `poll`: the long-lived poller.

use super::Exit;
use super::flags::{Everything, SettingFlags};

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
pub const ABOUT: &str = "Collect without end and keep the place: list each feed once an interval, fetch what is new, write one event per \
        line to stdout, and remember what was delivered.\n\n\
        The first start begins with everything that the service still keeps (seven days). SIGTERM or SIGINT finishes what is in hand and \
        ends with 0 within five seconds; a second signal ends at once. A tenant that fails is tried again and holds up no other. The codes \
        1, 3, 130 and 143 come from --once only.";

/// The arguments of `poll`.
#[derive(Debug, clap::Args)]
pub struct PollArgs {
    /// Collect what is available now and end
    #[arg(long)]
    pub once: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}
