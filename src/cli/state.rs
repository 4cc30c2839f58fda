//! `state`: the ledger, for people and for scripts.

mod gaps;
mod places;
mod show;
mod verify;

use super::flags::{SettingFlags, State};
use super::{Context, Exit};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Gaps, Exit::OutputClosed, Exit::Locked, Exit::Config];

/// What it does, for the long help.
pub const ABOUT: &str = "Show and verify what was collected and what is missing: of the poller, and of each backfill below the state directory. \
        It changes none of it, and creates no state where there is none.\n\n\
        Nobody else may use the state meanwhile: while a poller runs, its state is left alone, and the code is 75. The code 3 comes from \
        verify only; 1 means that there is no state or that it can't be read.\n\n\
        The JSON is for scripts: names and meanings stay, members may be added. Times are RFC 3339 in UTC. show prints state_dir, state (the \
        poller's, or null) and jobs (backfills, each with job, since, until, finished and state); gaps prints state_dir and gaps; verify \
        prints state_dir, ok and checked.";

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
    /// List what is missing, and why; the latest found comes last
    Gaps {
        /// List closed gaps too: what arrived after all
        #[arg(long)]
        all: bool,
    },
}

/// Runs it.
pub fn run(args: &StateArgs, context: &Context) -> Exit {
    let places = match places::find(&context.settings.state_dir) {
        Ok(places) => places,
        Err(why) => {
            context.console.error(&why);
            return Exit::Failed;
        }
    };
    match args.command {
        StateCommand::Show => show::run(places, args.json, context),
        StateCommand::Gaps { all } => gaps::run(places, all, args.json, context),
        StateCommand::Verify => verify::run(places, args.json, context),
    }
}
