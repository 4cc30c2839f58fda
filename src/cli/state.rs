//! `state`: the ledger, for people and for scripts.

use super::Exit;
use super::flags::{SettingFlags, State};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Gaps, Exit::OutputClosed, Exit::Locked, Exit::Config];

/// What it does, for the long help.
pub const ABOUT: &str = "Show and verify what was collected and what is missing. It reads the state and changes nothing. The code 3 comes from \
        verify only.";

/// The arguments of `state`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct StateArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StateCommand,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<State>,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum StateCommand {
    /// Print each feed's place and its figures
    Show,
    /// Check that the state is whole and that its figures add up
    Verify,
    /// List what is missing, and why
    Gaps,
}
