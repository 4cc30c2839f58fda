//! `check`: the doctor.

use super::Exit;
use super::flags::{Everything, SettingFlags};

/// How it can end.
pub const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::OutputClosed,
    Exit::Locked,
    Exit::Refused,
    Exit::Config,
    Exit::Interrupted,
    Exit::Terminated,
];

/// What it does, for the long help.
pub const ABOUT: &str = "Find out what keeps a tenant from being collected: settings, network, clock, token and its roles, subscription, first \
        listing, state and output, in this order, for each tenant. It names the cause and the next step, and changes nothing: it starts no \
        subscription.";

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}
