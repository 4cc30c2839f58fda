//! `backfill`: one range of time, once.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::collect::{Collected, Collection, collect, jobs, transport};
use super::engine::Engine;
use super::flags::{Everything, SettingFlags};
use super::poll::open_destination;
use super::{Context, Exit, opened};
use crate::backfill::{Job, JobError, Request, Start};
use crate::config::{Settings, When, print_duration};
use crate::domain::{Counts, FeedId, GapReason, Time};
use crate::feed::{Mode, Moment, Plan};
use crate::runner::{FeedJob, SkipIds, SkipIdsError};
use crate::sink::{DEAD_LETTER_LIMIT, DeadLetters, Delivery, Nowhere};
use crate::store::{MemoryStore, SledStore, Store};
use crate::wire::HttpTransport;

/// How it can end.
pub const EXITS: &[Exit] = &Exit::ALL;

/// While a poller works on the same state, both share the tenant's quota.
const SHARE_BESIDE_POLLER: f64 = 0.5;

/// What it does, for the long help.
pub const ABOUT: &str = "Collect one range of time and end: everything that became available within it goes to stdout, and the closing summary \
        says what was delivered and what is missing.\n\n\
        The range is about when content became available, not about when its events happened: an event can become available hours or days \
        after it happened. A backfill has a place of its own under the state directory; it never moves a poller's, and runs beside one.\n\n\
        It starts afresh unless --resume is given, or stdout (with --output, that file) is what an interrupted run wrote and still has all \
        of it. A backfill never rotates its file.\n\n\
        A record that arrives again with the same Id and content is delivered once, unless --keep-duplicates is given. With --skip-ids, only \
        what the list of ids does not name comes out: the repair after a loss elsewhere. An Id stands for all that was recorded under it: \
        investigations (64) go on under one, so list the events' own id for those. With --dry-run as well it is an audit: the summary \
        says how many records are missing there.\n\n\
        What goes to a pipe counts as delivered when the pipe has taken it, with --drain when it has been read; see poll --help.\n\n\
        A blob that can't be read is tried ten times within about four minutes and then is a gap (exit code 3).";

/// The arguments of `backfill`.
#[derive(Debug, clap::Args)]
pub struct BackfillArgs {
    /// Begin here: a duration before now (24h; 7d for all that the service keeps), a date (2026-03-01), or RFC 3339 (UTC without a zone)
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub since: When,
    /// End here, in the same forms [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub until: Option<When>,
    /// Go on where an interrupted run of the same range stopped; its output must be kept
    #[arg(long)]
    pub resume: bool,
    /// Leave out the records whose ids this file lists, one a line (- is stdin): their Id, whatever their content, or the id of this program's events
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub skip_ids: Option<PathBuf>,
    /// Write nothing and remember nothing: only count what would be delivered
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

fn parse_when(text: &str) -> Result<When, String> {
    text.parse().map_err(|error: crate::domain::InvalidValue| error.to_string())
}

fn moment(when: When) -> Moment {
    match when {
        When::Retention => Moment::Retention,
        When::Ago(span) => Moment::Ago(span),
        When::At(time) => Moment::At(time),
    }
}

/// Runs it.
pub fn run(args: &BackfillArgs, context: &Context) -> Exit {
    let (settings, console) = (&context.settings, &context.console);
    if let Some(why) = impossible(args.since, args.until, Time::from(Utc::now())) {
        console.error(&why);
        return Exit::Usage;
    }
    let skip = match args.skip_ids.as_deref().map(skip_ids).transpose() {
        Ok(skip) => skip.map(Arc::new),
        Err(why) => {
            console.error(&why);
            return Exit::Usage;
        }
    };
    if let Some(skip) = &skip {
        console.report(&format!("leaving out the records of {} ids", skip.len()));
    }
    let engine = match Engine::start(true, context) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    if args.dry_run {
        return dry_run(args, skip, engine, context);
    }
    let mut output = match open_destination(context, false) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let failed = |error: &dyn std::fmt::Display, exit| {
        console.error(&error.to_string());
        exit
    };
    let job = match Job::take(&settings.state_dir, request(args, settings, skip.as_deref())) {
        Ok(job) => job,
        Err(error @ JobError::Locked { .. }) => return failed(&error, Exit::Locked),
        Err(error) => return failed(&error, Exit::Failed),
    };
    let (mut job, start, mut store, interrupted) = match start(args, job, output.mark(), context) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    if interrupted {
        output.after_interruption();
    }
    match &start {
        Start::Resume => console.report("going on where the interrupted run stopped"),
        Start::Afresh(Some(why)) => console.report(&format!("starting afresh: {why}")),
        Start::Afresh(None) => {}
    }
    let jobs = match range_jobs(args, skip.as_ref(), &mut store, context) {
        Ok(jobs) => jobs,
        Err(error) => return failed(&error, Exit::Failed),
    };
    let watches_stdout = output.is_stdout();
    let sink = Delivery::new(output, DeadLetters::new(job.dir(), DEAD_LETTER_LIMIT));
    let collection = Collection { console, jobs, one_shot: true, watches_stdout, quiet_close: false, engine };
    let collected = collect(collection, sink, store);
    if matches!(collected.exit, Exit::Done | Exit::Gaps)
        && let Err(error) = job.finish()
    {
        tracing::warn!(event = "job_not_closed", "everything was done, but that could not be written down: {error}");
    }
    console.report(&summary(&collected, settings, Some(&job)));
    collected.exit
}

/// Goes through the range and keeps nothing of it: no output, no state.
fn dry_run(args: &BackfillArgs, skip: Option<Arc<SkipIds>>, engine: Engine, context: &Context) -> Exit {
    let (settings, console) = (&context.settings, &context.console);
    let mut store = MemoryStore::new();
    let jobs = match range_jobs(args, skip.as_ref(), &mut store, context) {
        Ok(jobs) => jobs,
        Err(error) => {
            console.error(&error);
            return Exit::Failed;
        }
    };
    let collection = Collection { console, jobs, one_shot: true, watches_stdout: false, quiet_close: false, engine };
    let collected = collect(collection, Delivery::new(Nowhere, Nowhere), store);
    console.report(&summary(&collected, settings, None));
    collected.exit
}

/// What is to be run for the range, on what `store` remembers of it.
fn range_jobs(
    args: &BackfillArgs,
    skip: Option<&Arc<SkipIds>>,
    store: &mut impl Store,
    context: &Context,
) -> Result<Vec<FeedJob<HttpTransport>>, String> {
    let settings = &context.settings;
    let beside = SledStore::is_locked(&settings.state_dir);
    let share = if beside { SHARE_BESIDE_POLLER } else { 1.0 };
    if beside {
        context.console.report("a poller is working on this state directory: taking half of the request rate");
    }
    let plan = Plan::Range { from: moment(args.since), to: args.until.map_or(Moment::Ago(Duration::ZERO), moment) };
    let transport = transport().map_err(|error| error.to_string())?;
    let mut jobs = jobs(settings, &transport, store, share, |_| plan).map_err(|error| error.to_string())?;
    for job in &mut jobs {
        job.repeats.skip = skip.cloned();
        if args.dry_run {
            // It changes nothing at the tenant either.
            job.settings.subscription = Mode::Require;
        }
    }
    Ok(jobs)
}

/// Reads the list of ids to leave out.
fn skip_ids(path: &Path) -> Result<SkipIds, String> {
    let read = if path == Path::new("-") {
        SkipIds::read(io::stdin().lock())
    } else {
        File::open(path).map_err(SkipIdsError::from).and_then(|file| SkipIds::read(BufReader::new(file)))
    };
    read.map_err(|error| format!("--skip-ids {}: {error}", path.display()))
}

fn request(args: &BackfillArgs, settings: &Settings, skip: Option<&SkipIds>) -> Request {
    let feeds = settings.tenants.iter().flat_map(|tenant| {
        let feed = |content_type| FeedId { tenant: tenant.tenant_id.clone(), content_type };
        tenant.content_types.iter().map(move |c| (feed(*c), tenant.record_types.to_string()))
    });
    Request {
        since: typed(args.since),
        until: args.until.map(typed),
        feeds: feeds.collect(),
        format: (line_format(settings) + &left_out(settings, skip), settings.envelope),
    }
}

/// The format with what else bears on a line: lines of two kinds in one output help nobody.
fn line_format(settings: &Settings) -> String {
    let original = if settings.original { " --original" } else { "" };
    let header = if settings.syslog_header { " --syslog-header" } else { "" };
    let limit = settings.max_line_bytes.map(|bytes| format!(" --max-line-bytes {bytes}")).unwrap_or_default();
    format!("{}{original}{header}{limit}", settings.format)
}

/// What is left out on purpose: blobs that are done under one list are not read again under another.
fn left_out(settings: &Settings, skip: Option<&SkipIds>) -> String {
    let keep = if settings.keep_duplicates { " --keep-duplicates" } else { "" };
    let list = skip.map(|skip| format!(" --skip-ids (a list of {}, {:016x})", skip.len(), skip.print())).unwrap_or_default();
    format!("{keep}{list}")
}

/// Why a range can't hold anything. The local clock may be a day off before a beginning counts as the future's.
fn impossible(since: When, until: Option<When>, now: Time) -> Option<String> {
    let empty = match (since, until) {
        (When::Ago(since), Some(When::Ago(until))) => until >= since,
        (When::At(since), Some(When::At(until))) => until <= since,
        _ => false,
    };
    if empty {
        return Some(format!("--since {since} is not before --until {}: nothing lies between", until?));
    }
    let ahead = matches!(since, When::At(since) if since > now + Duration::from_secs(24 * 3600));
    ahead.then(|| format!("--since {since} lies in the future"))
}

/// As it is typed, so that a person can type it again.
fn typed(when: When) -> String {
    match when {
        When::Retention => "7d".to_owned(),
        When::Ago(age) => print_duration(age),
        When::At(time) => time.to_string(),
    }
}

/// Decides whether to go on, and opens the job's store accordingly; tells as well whether the run before was interrupted.
fn start(
    args: &BackfillArgs,
    mut job: Job,
    output: Option<crate::sink::OutputMark>,
    context: &Context,
) -> Result<(Job, Start, SledStore, bool), Exit> {
    let failed = |error: &dyn std::fmt::Display, exit| {
        context.console.error(&error.to_string());
        exit
    };
    let mut store = None;
    let mut written = Vec::new();
    if job.is_interrupted() {
        let mut open = opened::store(&job.store_dir(), &context.console)?;
        let feeds = context.settings.tenants.iter().flat_map(|t| t.content_types.iter().map(|c| (t.tenant_id.clone(), *c)));
        for (tenant, content_type) in feeds {
            let restored = open.restore(&FeedId { tenant, content_type }).map_err(|e| failed(&e, Exit::Failed))?;
            written.extend(restored.mark);
        }
        store = Some(open);
    }
    // One that begins afresh writes to the same pipe, and its store is a new one. So may one that repairs what a poller has lost.
    let interrupted = store.as_ref().is_some_and(SledStore::was_interrupted) || SledStore::is_left(&context.settings.state_dir);
    let start = job.decide(args.resume, &written, output).map_err(|error| failed(&error, Exit::Usage))?;
    if let Start::Afresh(_) = start
        && let Some(open) = store.take()
    {
        open.close().map_err(|e| failed(&e, Exit::Failed))?;
    }
    job.begin(&start).map_err(|error| failed(&error, Exit::Failed))?;
    let mut store = match store {
        Some(store) => store,
        None => opened::store(&job.store_dir(), &context.console)?,
    };
    if interrupted {
        store.output_failed();
    }
    Ok((job, start, store, interrupted))
}

/// The ledger of the run.
fn summary(collected: &Collected, settings: &Settings, job: Option<&Job>) -> String {
    let mut lines = Vec::new();
    let complete = matches!(collected.exit, Exit::Done | Exit::Gaps);
    let mut missing = false;
    for (feed, outcome) in &collected.run.outcomes {
        let (status, totals) = (&outcome.status, &outcome.totals);
        let name = settings.name_of(&feed.tenant);
        lines.push(format!("{name} {}", feed.content_type));
        // The range is settled by the service's clock at first contact.
        lines.push(if status.end == Time::MAX {
            "  nothing could be listed".to_owned()
        } else {
            format!("  content that became available from {} to {}", status.begin, status.end)
        });
        lines.push(match totals.event_times {
            Some((first, last)) => {
                format!("  its events were recorded from {first} to {last} (events can become available days later)")
            }
            None if job.is_none() => "  no event would be delivered".to_owned(),
            None => "  no event was delivered in this run".to_owned(),
        });
        let balance = status.balance;
        lines.push(format!(
            "  blobs: {} listed = {} done + {} gaps + {} pending{}",
            balance.listed,
            balance.done,
            balance.gaps,
            balance.pending,
            reasons(outcome.totals.gaps.values().map(|gap| gap.reason))
        ));
        let Counts { read, delivered, filtered, duplicate, dead_lettered } = totals.counts;
        let delivered = if job.is_some() { format!("{delivered} delivered") } else { format!("{delivered} to deliver") };
        lines.push(format!(
            "  records: {read} read = {delivered} + {filtered} filtered + {duplicate} duplicate + {dead_lettered} dead-lettered"
        ));
        for gap in totals.gaps.values() {
            missing = true;
            lines.push(format!("  gap {}: {} from {} to {} {}", gap.id, gap.reason, gap.from, gap.to, gap.detail));
        }
        if totals.gaps_more > 0 {
            lines.push(format!("  and {} further gaps, all in `defender-feed state gaps`", totals.gaps_more));
        }
        if totals.dead_letters > 0 {
            missing = true;
            let file = job.map(|job| job.dir().join("dead-letter").join(format!("{}.ndjson", feed.tenant)));
            let place = file.map(|file| format!(" in {} (`defender-feed decode` reads them)", file.display()));
            lines.push(format!("  {} dead letters{}", totals.dead_letters, place.unwrap_or_default()));
        }
    }
    lines.push(match (complete, missing) {
        (false, _) if job.is_none() => "not complete: run it again".to_owned(),
        (true, _) if job.is_none() => "a dry run: nothing was written, nothing is remembered".to_owned(),
        (true, false) => "complete: nothing is missing".to_owned(),
        (true, true) => "done, but not everything could be had".to_owned(),
        (false, _) => {
            "not complete: to go on, run the same command with --resume and the same output (>> FILE, or --output FILE)"
                .to_owned()
        }
    });
    lines.join("\n")
}

fn reasons(gaps: impl Iterator<Item = GapReason>) -> String {
    let mut counts = std::collections::BTreeMap::new();
    gaps.for_each(|reason| *counts.entry(reason).or_insert(0u32) += 1);
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<_> = counts.into_iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    format!(" ({})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_can_not_hold_anything_is_a_usage_error() {
        let now = Time(1_780_000_000_000);
        let when = |text: &str| text.parse::<When>().unwrap();
        let refused = |since, until: Option<&str>| impossible(when(since), until.map(when), now).is_some();
        assert!(refused("2h", Some("3h")) && refused("2026-03-02", Some("2026-03-01")) && refused("2099-01-01", None));
        assert!(!refused("3h", Some("2h")) && !refused("2026-03-01", Some("2026-03-02")) && !refused("7d", Some("1h")));
    }
}
