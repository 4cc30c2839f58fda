//! `subscriptions`: what makes the service collect content at all.

use super::Exit;
use super::flags::{Everything, SettingFlags};

/// How it can end.
pub const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::OutputClosed,
    Exit::Refused,
    Exit::Config,
    Exit::Interrupted,
    Exit::Terminated,
];

/// What it does, for the long help.
pub const ABOUT: &str = "List, start or stop the subscriptions of a tenant, for each of its configured content types. Without a subscription the \
        service gathers nothing, and what happens meanwhile can never be fetched.";

/// The arguments of `subscriptions`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct SubscriptionsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SubscriptionsCommand,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

/// What to do with subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum SubscriptionsCommand {
    /// Print the subscriptions that the tenant has
    List,
    /// Start what is not running; the first content can take hours to appear
    Start,
    /// Stop the subscriptions: what becomes available until the next start is lost
    Stop {
        /// Confirm that losing content is meant
        #[arg(long)]
        yes: bool,
    },
}
