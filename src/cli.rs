//! The command line: arguments in, exit code out. One file a command, each with its arguments and its `run`.
//!
//! Settings are not described here: their flags are made from the table of [`crate::config`] ([`SettingFlags`]), so that a setting has one
//! name everywhere. What is described here are the arguments that are no settings (`--once`, `--since`).
//!
//! A wrong argument ends with 2 before anything is read; wrong settings end with 78, all of them reported at once.

mod advice;
pub mod allocator;
pub mod backfill;
pub mod check;
mod collect;
pub mod completions;
pub mod decode;
pub mod demo;
mod engine;
pub mod exit;
pub mod flags;
pub mod man;
mod opened;
pub mod poll;
pub mod schema;
pub mod simulate;
pub mod state;
mod stdout;
pub mod subscriptions;
mod table;
mod tenants;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;
pub use flags::SettingFlags;

use crate::config::{LogFormat, LogLevel, Need, Settings, Sources, load};
use crate::telemetry::{self, Console, Log};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "defender-feed",
    version,
    about = "Bring Microsoft Defender events out of a tenant and into a SIEM, and prove that none was lost",
    long_about = "Bring Microsoft Defender events out of a tenant and into a SIEM, and prove that none was lost.\n\n\
        Events go to stdout, one a line; everything else goes to stderr.\n\n\
        Every setting --x-y is also the environment variable DEFENDER_FEED_X_Y and the key x_y of a TOML file. The flag wins over the \
        variable, the variable over the file. The client secret is never a setting: it stands in the file that client_secret_file names, \
        or in the environment variable AZURE_CLIENT_SECRET.",
    max_term_width = 120,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = exit::table(&Exit::ALL),
)]
pub struct Cli {
    /// Settings that every command takes.
    #[command(flatten)]
    pub global: SettingFlags<flags::Global>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value in the life of the process")]
pub enum Command {
    /// Collect without end and keep the place
    #[command(long_about = poll::ABOUT, after_long_help = exit::table(poll::EXITS))]
    Poll(poll::PollArgs),
    /// Collect one range of time and end
    #[command(long_about = backfill::ABOUT, after_long_help = exit::table(backfill::EXITS))]
    Backfill(backfill::BackfillArgs),
    /// Turn blobs from files or stdin into events
    #[command(long_about = decode::ABOUT, after_long_help = exit::table(decode::EXITS))]
    Decode(decode::DecodeArgs),
    /// Show the poller at work on a simulated tenant
    #[command(long_about = demo::ABOUT, after_long_help = exit::table(demo::EXITS))]
    Demo(demo::DemoArgs),
    /// Serve a simulated tenant on this machine
    #[command(long_about = simulate::ABOUT, after_long_help = exit::table(simulate::EXITS))]
    Simulate(simulate::SimulateArgs),
    /// Find out what keeps a tenant from being collected
    #[command(long_about = check::ABOUT, after_long_help = exit::table(check::EXITS))]
    Check(check::CheckArgs),
    /// List, start or stop the subscriptions of a tenant
    #[command(long_about = subscriptions::ABOUT, after_long_help = exit::table(subscriptions::EXITS))]
    Subscriptions(subscriptions::SubscriptionsArgs),
    /// Show and verify what was collected and what is missing
    #[command(long_about = state::ABOUT, after_long_help = exit::table(state::EXITS))]
    State(state::StateArgs),
    /// Print the JSON Schema of a format
    #[command(after_long_help = exit::table(schema::EXITS))]
    Schema(schema::SchemaArgs),
    /// Print completions for a shell
    #[command(after_long_help = exit::table(completions::EXITS))]
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    #[command(after_long_help = exit::table(man::EXITS))]
    Man,
}

impl Command {
    /// What the command needs of the settings; nothing if it reads none.
    fn need(&self) -> Option<Need> {
        match self {
            Command::Poll(_) | Command::Backfill(_) | Command::Check(_) | Command::Subscriptions(_) => Some(Need::Tenants),
            Command::Decode(_) | Command::Demo(_) | Command::Simulate(_) | Command::State(_) => Some(Need::Process),
            Command::Schema(_) | Command::Completions(_) | Command::Man => None,
        }
    }

    /// The settings that were given as flags of the command.
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        match self {
            Command::Poll(args) => args.settings.given(),
            Command::Backfill(args) => args.settings.given(),
            Command::Check(args) => args.settings.given(),
            Command::Subscriptions(args) => args.settings.given(),
            Command::Decode(args) => args.settings.given(),
            Command::Demo(args) => args.settings.given(),
            Command::State(args) => args.settings.given(),
            Command::Simulate(_) | Command::Schema(_) | Command::Completions(_) | Command::Man => Vec::new(),
        }
    }

    /// True if it runs without end, and machines read its log.
    fn is_service(&self) -> bool {
        matches!(self, Command::Poll(args) if !args.once)
    }
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// The settings, checked.
    pub settings: Settings,
    /// The way to people.
    pub console: Console,
}

/// Reads the arguments. Help and version go to stdout, a wrong argument is explained on stderr; both end the program.
///
/// # Errors
/// The exit code to end with.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Exit> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
        match error.print() {
            // Who asked for help and went away has seen enough, as with `| head`.
            Err(failure) if !error.use_stderr() && failure.kind() != std::io::ErrorKind::BrokenPipe => Exit::OutputClosed,
            Ok(()) | Err(_) => exit,
        }
    })
}

/// Reads the settings, starts the log and runs the command.
pub fn run(cli: Cli) -> Exit {
    let Some(need) = cli.command.need() else {
        return match cli.command {
            Command::Schema(args) => schema::run(&args),
            Command::Completions(args) => completions::run(&args),
            _ => man::run(),
        };
    };
    let flags = cli.global.given().into_iter().chain(cli.command.given()).collect();
    let settings = match Sources::of_process(flags) {
        Ok(sources) => load(&sources, need),
        Err(error) => {
            Console::plain().error(&format!("the working directory can't be read: {error}"));
            return Exit::Failed;
        }
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            Console::plain().error(&format!("the settings are wrong; nothing was started\n{problems}"));
            return Exit::Config;
        }
    };
    let console = telemetry::init(&log(&settings, &cli.command));
    for warning in &settings.warnings {
        tracing::warn!(event = "setting_doubtful", "{warning}");
    }
    dispatch(cli.command, Context { settings, console })
}

/// How to log, from the settings and from who is likely to read it.
fn log(settings: &Settings, command: &Command) -> Log {
    let json = settings.log.format == LogFormat::Json;
    let unattended = command.is_service() && !std::io::IsTerminal::is_terminal(&std::io::stderr());
    Log {
        events_as_json: json || (settings.log.format == LogFormat::Auto && unattended),
        reports_as_json: json,
        level: level(settings, command),
        quiet: settings.log.quiet,
    }
}

/// The level asked for. A demo shows events and a summary: what a poller warns of at its first start is no news there.
fn level(settings: &Settings, command: &Command) -> String {
    let asked = &settings.log.level;
    if matches!(command, Command::Demo(_)) && *asked == LogLevel::default() { "error".to_owned() } else { asked.to_string() }
}

/// The commands that take settings.
fn dispatch(command: Command, context: Context) -> Exit {
    match command {
        Command::Poll(args) => poll::run(&args, &context),
        Command::Backfill(args) => backfill::run(&args, &context),
        Command::Demo(args) => demo::run(&args, &context),
        Command::Simulate(args) => simulate::run(&args, &context),
        Command::Decode(args) => decode::run(&args, &context),
        Command::Subscriptions(args) => subscriptions::run(&args, &context),
        Command::Check(args) => check::run(&args, &context),
        Command::State(args) => state::run(&args, &context),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man => man::run(),
    }
}

/// The command line as clap knows it: for help, completions, the manual page and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
