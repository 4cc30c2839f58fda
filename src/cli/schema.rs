//! `schema`: what a line looks like, for machines.

use clap::ValueEnum;

use super::{Exit, stdout};
use crate::event::schema;

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Usage, Exit::OutputClosed];

/// The arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Print the schema of this format
    #[arg(value_name = "FORMAT")]
    pub format: Described,
}

/// The formats that have a schema of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// The cleaned and typed event
    Event,
}

/// Prints the schema.
pub fn run(args: &SchemaArgs) -> Exit {
    match args.format {
        Described::Event => stdout::print(schema::of_event().as_bytes()),
    }
}
