//! `decode`: blobs that somebody kept, offline.

use std::path::PathBuf;

use super::Exit;
use super::flags::{Output, SettingFlags};

/// How it can end.
pub const EXITS: &[Exit] =
    &[Exit::Done, Exit::Failed, Exit::Usage, Exit::OutputClosed, Exit::Config, Exit::Interrupted, Exit::Terminated];

/// What it does, for the long help.
pub const ABOUT: &str = "Turn blobs from files or stdin into events: JSON arrays as the service sends them, one record a line, or dead-letter \
        files. The decoder and the formats are those of poll; records that occur twice are written twice. It needs no network, no \
        credentials and no state, and ends quietly if its reader goes away.";

/// The arguments of `decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// Read this file; stdin if none is given, or for - (can be repeated)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Output>,
}
