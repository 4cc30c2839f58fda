//! `simulate`: a simulated tenant for others to test against.

use super::Exit;

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Config];

/// What it does, for the long help.
pub const ABOUT: &str = "Serve a simulated tenant on this machine: token endpoint, subscriptions, listings and blobs, as Microsoft documents them, \
        for tests of this and of other collectors. It listens on loopback only. The flags about faults are unstable.";

/// The arguments of `simulate`. What the tenant is like and which faults it has is described by the simulator, whose arguments are
/// flattened in here.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {}
