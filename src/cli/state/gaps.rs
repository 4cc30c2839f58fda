//! `state gaps`: what is missing, and why.

use serde_json::{Value, json};

use super::places::{Place, look, tenant_name};
use crate::cli::table::Table;
use crate::cli::{Context, Exit, stdout};
use crate::config::Settings;
use crate::domain::Time;
use crate::store::{GapView, Inspection};

/// A gap and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing<'a> {
    job: Option<&'a str>,
    tenant_id: &'a str,
    content_type: &'a str,
    gap: &'a GapView,
}

pub(super) fn run(places: Vec<Place>, all: bool, as_json: bool, context: &Context) -> Exit {
    let (looked, exit) = look(places, context);
    let (gaps, closed) = collect(&looked, all);
    let settings = &context.settings;
    let text = match (as_json, &gaps[..]) {
        (true, gaps) => {
            let gaps: Vec<_> = gaps.iter().map(|missing| object(missing, settings)).collect();
            format!("{}\n", json!({"state_dir": settings.state_dir, "gaps": gaps}))
        }
        // Where nothing could be looked into, nothing is known.
        (false, []) if looked.iter().all(|(_, inspection)| inspection.is_none()) => String::new(),
        (false, []) if closed > 0 => format!("no open gaps; --all lists {closed} that are closed\n"),
        (false, []) => "no gaps\n".to_owned(),
        (false, gaps) => table(gaps, settings),
    };
    stdout::print(text.as_bytes()).worst(exit)
}

/// The gaps, the latest found last, and how many closed ones were left out.
fn collect(looked: &[(Place, Option<Inspection>)], all: bool) -> (Vec<Missing<'_>>, usize) {
    let mut gaps: Vec<_> = looked
        .iter()
        .flat_map(|(place, inspection)| {
            let job = place.job.as_ref().map(|job| job.job.as_str());
            inspection.iter().flat_map(|inspection| &inspection.feeds).map(move |feed| (job, feed))
        })
        .flat_map(|(job, feed)| {
            let (tenant_id, content_type) = (feed.tenant_id.as_str(), feed.content_type.as_str());
            feed.gaps.iter().map(move |gap| Missing { job, tenant_id, content_type, gap })
        })
        .collect();
    let before = gaps.len();
    gaps.retain(|missing| all || missing.gap.state != "closed");
    let key = |missing: &Missing<'_>| (Time::parse(&missing.gap.found), Time::parse(&missing.gap.from), missing.gap.id.clone());
    gaps.sort_by_cached_key(key);
    let closed = before - gaps.len();
    (gaps, closed)
}

fn object(missing: &Missing<'_>, settings: &Settings) -> Value {
    let mut gap = json!(missing.gap);
    gap["job"] = json!(missing.job);
    gap["tenant_id"] = json!(missing.tenant_id);
    gap["tenant_name"] = json!(tenant_name(missing.tenant_id, settings));
    gap["content_type"] = json!(missing.content_type);
    gap
}

fn table(gaps: &[Missing<'_>], settings: &Settings) -> String {
    let mut table =
        Table::new(["gap", "found", "state", "reason", "tenant", "content type", "became available", "what happened"]);
    let mut from_jobs = false;
    for Missing { job, tenant_id, content_type, gap } in gaps {
        let when = if gap.from == gap.to { gap.from.clone() } else { format!("{} to {}", gap.from, gap.to) };
        let blob = gap.content_id.as_deref().map(|id| format!("blob {id}: ")).unwrap_or_default();
        let tries = gap.attempts.map(|n| format!(" ({n} {})", if n == 1 { "try" } else { "tries" })).unwrap_or_default();
        let closed = gap.closed.as_deref().map(|at| format!("; arrived at {at}")).unwrap_or_default();
        from_jobs |= job.is_some();
        let of_job = if job.is_some() { "*" } else { "" };
        table.row([
            gap.id.clone(),
            gap.found.clone(),
            gap.state.to_owned(),
            gap.reason.to_string(),
            format!("{}{of_job}", tenant_name(tenant_id, settings)),
            (*content_type).to_owned(),
            when,
            format!("{blob}{}{tries}{closed}", gap.detail),
        ]);
    }
    let mut legend = "provisional: still asked for, closes if it arrives; final: lost".to_owned();
    if gaps.iter().any(|missing| missing.gap.state == "provisional" && missing.gap.content_id.is_none()) {
        legend.push_str("; provisional without a blob: it has not ended yet");
    }
    if gaps.iter().any(|missing| missing.gap.state == "closed") {
        legend.push_str("; closed: arrived after all");
    }
    if from_jobs {
        legend.push_str("; *: of a backfill, which asks no more once it has ended");
    }
    format!("{table}{legend}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::GapReason;
    use crate::store::{EpochReason, EpochView, FeedView, LedgerView, RecordsView, inspect};

    fn gap(id: &str, state: &'static str, found: &str) -> GapView {
        GapView {
            id: id.into(),
            reason: GapReason::Unreadable,
            state,
            from: "2026-03-01T12:00:00Z".into(),
            to: "2026-03-01T12:00:00Z".into(),
            content_id: Some("c$1".into()),
            attempts: Some(3),
            found: found.into(),
            closed: None,
            detail: "cut short".into(),
        }
    }

    fn looked() -> Vec<(Place, Option<Inspection>)> {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { job: None, dir: dir.path().to_owned() };
        let mut inspection = inspect(dir.path()).unwrap();
        inspection.feeds = vec![FeedView {
            tenant_id: "11111111-0000-4000-8000-000000000001".into(),
            content_type: "Audit.General".into(),
            generation: 1,
            floor: String::new(),
            begin: String::new(),
            filter: String::new(),
            epoch: EpochView { number: 1, began: String::new(), why: EpochReason::FirstStart },
            first_commit: String::new(),
            last_commit: String::new(),
            subscription_start: None,
            output: None,
            done_remembered: 0,
            records_remembered: 0,
            parts: 0,
            ledger: LedgerView {
                blobs_listed: 0,
                blobs_done: 0,
                blobs_done_again: 0,
                blobs_in_gaps: Default::default(),
                records: RecordsView { read: 0, delivered: 0, filtered: 0, duplicate: 0, dead_lettered: 0 },
            },
            hours: Vec::new(),
            days: Vec::new(),
            gaps: vec![
                gap("b", "final", "2026-03-01T12:00:01.500Z"),
                gap("a", "provisional", "2026-03-01T12:00:01Z"),
                gap("c", "closed", "2026-03-01T11:00:00Z"),
            ],
        }];
        vec![(place, Some(inspection))]
    }

    #[test]
    fn the_latest_comes_last_and_closed_ones_are_left_out() {
        let looked = looked();
        let ids = |all| collect(&looked, all).0.iter().map(|missing| missing.gap.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(false), ["a", "b"]);
        assert_eq!(ids(true), ["c", "a", "b"]);
        assert_eq!(collect(&looked, false).1, 1);
    }
}
