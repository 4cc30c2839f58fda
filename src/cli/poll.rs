//! `poll`: the long-lived poller, and its one-shot form `--once`.

use super::collect::{Collection, collect, jobs, transport};
use super::engine::Engine;
use super::flags::{Everything, SettingFlags};
use super::{Context, Exit, opened};
use crate::config::TenantSettings;
use crate::domain::OutputFile;
use crate::feed::Plan;
use crate::sink::{DEAD_LETTER_LIMIT, DeadLetters, Delivery, Destination, LinesFile, Output, stdout};

/// How it can end.
pub const EXITS: &[Exit] = &Exit::ALL;

/// What it does, for the long help.
pub const ABOUT: &str = "Collect without end and keep the place: list each feed once an interval, fetch what is new, write one event per \
        line to stdout or a file, and remember what was delivered.\n\n\
        The first start begins with everything that the service still keeps (seven days). SIGTERM or SIGINT finishes what is in hand and \
        ends with 0 within five seconds; a second signal ends at once. A tenant that fails is tried again and holds up no other. The codes \
        1, 3, 130 and 143 come from --once only, 1 also if the state can't be written.\n\n\
        Delivered means: synced to the disk for a regular file; taken by the other side for a pipe, socket or terminal; with --drain, \
        read by the other side for a pipe, which is then waited for. Nothing is committed before it is delivered. --drain changes nothing for \
        a file, and is refused (78) for a socket or terminal, where nothing tells what has been read.\n\n\
        --output FILE appends to a file of its own, which no other process may write to, and begins the next one by size and time if told \
        to. A full one is renamed, with the time behind its name, and never deleted. One that was moved away or deleted is begun anew \
        with the next events; SIGHUP, by which logrotate tells so, is heard and needed for nothing.\n\n\
        --once lists up to the service's now, goes once more over all that it keeps for blobs that were listed late, tries an unreadable \
        blob ten times within about four minutes, and ends.";

/// The arguments of `poll`.
#[derive(Debug, clap::Args)]
pub struct PollArgs {
    /// Collect what is available now and end
    #[arg(long)]
    pub once: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

/// Runs it.
pub fn run(args: &PollArgs, context: &Context) -> Exit {
    let engine = match Engine::start(args.once, context) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    let mut output = match open_destination(context, true) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let mut store = match opened::store(&context.settings.state_dir, &context.console) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    if store.was_interrupted() {
        output.after_interruption();
    }
    let once = args.once;
    let plan = |tenant: &TenantSettings| match once {
        true => Plan::Once,
        false => Plan::Follow { poll_interval: tenant.poll_interval, look_back: tenant.look_back },
    };
    let prepared = transport()
        .map_err(|error| error.to_string())
        .and_then(|transport| jobs(&context.settings, &transport, &mut store, 1.0, plan).map_err(|error| error.to_string()));
    let jobs = match prepared {
        Ok(jobs) => jobs,
        Err(error) => {
            context.console.error(&error);
            return Exit::Failed;
        }
    };
    let watches_stdout = output.is_stdout();
    let sink = Delivery::new(output, DeadLetters::new(&context.settings.state_dir, DEAD_LETTER_LIMIT));
    let collection = Collection { console: &context.console, jobs, one_shot: once, watches_stdout, quiet_close: false, engine };
    collect(collection, sink, store).exit
}

/// Where the lines of a command that keeps a place go, with a torn last line ended. Only a poller's file `rotates`: a backfill goes on
/// in the file in which it began.
pub(super) fn open_destination(context: &Context, rotates: bool) -> Result<Destination, Exit> {
    let Some(file) = &context.settings.output else {
        return open_delivery(context).map(Destination::Stdout);
    };
    let unrotated = OutputFile { path: file.path.clone(), rotate_bytes: None, rotate_every: None };
    match LinesFile::open(if rotates { file.clone() } else { unrotated }) {
        Ok((output, healed)) => {
            tracing::debug!(event = "output_opened", ?healed);
            Ok(Destination::File(Box::new(output)))
        }
        Err(error) => {
            context.console.error(&error.to_string());
            Err(Exit::OutputClosed)
        }
    }
}

/// Standard output, delivered to as the settings have it.
pub(super) fn open_delivery(context: &Context) -> Result<Output, Exit> {
    let mut output = open_stdout(context)?;
    if context.settings.drain
        && let Err(error) = output.drain()
    {
        context.console.error(&error.to_string());
        return Err(Exit::Config);
    }
    Ok(output)
}

/// Standard output, with a torn last line ended.
pub(super) fn open_stdout(context: &Context) -> Result<Output, Exit> {
    let healed = stdout().and_then(|mut output| output.heal().map(|healed| (output, healed)));
    match healed {
        Ok((output, healed)) => {
            tracing::debug!(event = "output_opened", ?healed);
            Ok(output)
        }
        Err(error) => {
            context.console.error(&error.to_string());
            Err(Exit::OutputClosed)
        }
    }
}
