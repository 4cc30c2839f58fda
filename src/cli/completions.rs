//! `completions`: what a shell needs to complete our command line.

use clap_complete::Shell;

use super::{Exit, command, stdout};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Usage, Exit::OutputClosed];

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Complete for this shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Exit {
    stdout::print(&script(args.shell))
}

/// Made in memory first: the generator takes a failing writer for a bug and panics.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "defender-feed", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for word in ["backfill", "subscriptions", "verify", "requests-per-minute"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
