//! `demo`: the real poller on a simulated tenant, in one process.

use super::Exit;
use super::flags::{Output, SettingFlags};

/// How it can end.
pub const EXITS: &[Exit] =
    &[Exit::Done, Exit::Failed, Exit::Usage, Exit::OutputClosed, Exit::Config, Exit::Interrupted, Exit::Terminated];

/// The seed that is used if none is given: any would do, the same one each time makes two people see the same.
const SEED: u64 = 1;

/// What it does, for the long help.
pub const ABOUT: &str = "Show the poller at work on a simulated tenant: it starts one in this process and collects from it. Events go to stdout, \
        a short summary to stderr at the end. It needs no tenant, no credentials and no network, and keeps nothing. It ends quietly if its \
        reader goes away.";

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after this many events [default: go on until interrupted]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub events: Option<u64>,
    /// Make the tenant from this seed: the same seed, the same tenant
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Output>,
}
