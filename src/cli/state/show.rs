//! `state show`: each feed's place and its figures.

use std::time::Duration;

use serde_json::{Value, json};

use super::places::{Place, look, tenant_name};
use crate::cli::{Context, Exit, stdout};
use crate::config::{Settings, print_duration};
use crate::domain::Time;
use crate::store::{FeedView, Inspection, LedgerView, RecordsView};
use crate::telemetry::Escaped;

pub(super) fn run(places: Vec<Place>, as_json: bool, context: &Context) -> Exit {
    let (looked, exit) = look(places, context);
    let text = if as_json {
        format!("{}\n", document(&looked, &context.settings))
    } else {
        looked.iter().filter_map(|(place, inspection)| Some(text(place, inspection.as_ref()?, &context.settings))).collect()
    };
    stdout::print(text.as_bytes()).worst(exit)
}

fn document(looked: &[(Place, Option<Inspection>)], settings: &Settings) -> Value {
    let poller = looked.iter().find(|(place, _)| place.job.is_none()).and_then(|(_, inspection)| inspection.as_ref());
    let jobs = looked.iter().filter_map(|(place, inspection)| {
        let mut job = json!(place.job.as_ref()?);
        job["state"] = json!(inspection);
        Some(job)
    });
    json!({"state_dir": settings.state_dir, "state": poller, "jobs": jobs.collect::<Vec<_>>()})
}

fn text(place: &Place, inspection: &Inspection, settings: &Settings) -> String {
    let sizes = inspection.sizes;
    let mut lines = vec![
        Escaped(&place.title()).to_string(),
        format!(
            "  on disk     store {}, dead letters {}, moved aside {}",
            bytes(sizes.store),
            bytes(sizes.dead_letters),
            bytes(sizes.aside)
        ),
    ];
    for (what, found) in [("damage", &inspection.damage), ("witness", &inspection.witness)] {
        lines.extend(found.iter().map(|text| format!("  {what:10}  {}", Escaped(text))));
    }
    lines.extend(inspection.damaged.iter().map(|path| {
        format!("  evidence    {} (of earlier damage; may be deleted once somebody has looked at it)", path.display())
    }));
    if inspection.feeds.is_empty() && inspection.damage.is_empty() {
        lines.push("  no feed of the selected tenants was ever committed here".to_owned());
    }
    for feed in &inspection.feeds {
        lines.push(String::new());
        lines.extend(feed_lines(feed, settings));
    }
    lines.push("\n".to_owned());
    lines.join("\n")
}

fn feed_lines(feed: &FeedView, settings: &Settings) -> Vec<String> {
    let count = |state: &str| feed.gaps.iter().filter(|gap| gap.state == state).count();
    let stretches = feed.gaps.iter().filter(|gap| gap.state != "closed" && gap.content_id.is_none()).count();
    let of_time =
        if stretches > 0 { format!(", {stretches} of them stretches of time that hold no counted blobs") } else { String::new() };
    let epoch = &feed.epoch;
    let why = json!(epoch.why);
    vec![
        format!("  {} {}", Escaped(&tenant_name(&feed.tenant_id, settings)), Escaped(&feed.content_type)),
        format!("    floor       {}: everything older is done or in a gap{}", feed.floor, lag(feed)),
        format!("    begin       {}: nothing older was ever asked for", feed.begin),
        format!("    commits     {}, the first at {}, the last at {}", feed.generation, feed.first_commit, feed.last_commit),
        format!("    types       {}", Escaped(&feed.filter)),
        format!("    blobs       {}", blobs(&feed.ledger)),
        format!("    records     {}", records(&feed.ledger.records)),
        format!(
            "    gaps        {} provisional, {} final, {} closed{of_time}",
            count("provisional"),
            count("final"),
            count("closed")
        ),
        format!(
            "    remembered  {} done blobs that can be listed again, {} parts of blobs, {} delivered records",
            feed.done_remembered, feed.parts, feed.records_remembered
        ),
        format!(
            "    epoch       {} since {} ({})",
            epoch.number,
            epoch.began,
            why.as_str().unwrap_or_default().replace('_', " ")
        ),
    ]
}

fn lag(feed: &FeedView) -> String {
    match (Time::parse(&feed.last_commit), Time::parse(&feed.floor)) {
        (Some(commit), Some(floor)) => {
            let lag = Duration::from_secs(commit.since(floor).as_secs());
            format!(" ({} behind the last commit)", print_duration(lag))
        }
        _ => String::new(),
    }
}

fn blobs(ledger: &LedgerView) -> String {
    let in_gaps: u64 = ledger.blobs_in_gaps.values().sum();
    let reasons: Vec<_> = ledger.blobs_in_gaps.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let again = match ledger.blobs_done_again {
        0 => String::new(),
        again => format!("; {again} done again after a change of types or a loss of state"),
    };
    format!(
        "{} listed = {} done + {in_gaps} in gaps{reasons}, and what is pending, which only a running poller knows{again}",
        ledger.blobs_listed, ledger.blobs_done
    )
}

fn records(records: &RecordsView) -> String {
    let RecordsView { read, delivered, filtered, duplicate, dead_lettered } = records;
    format!("{read} read = {delivered} delivered + {filtered} filtered + {duplicate} duplicate + {dead_lettered} dead-lettered")
}

/// With the unit in which it has few digits.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (u64::MAX, "16777216.0 TiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn the_balance_names_its_reasons() {
        let records_view = RecordsView { read: 10, delivered: 2, filtered: 7, duplicate: 1, dead_lettered: 0 };
        let mut ledger = LedgerView {
            blobs_listed: 5,
            blobs_done: 2,
            blobs_done_again: 0,
            blobs_in_gaps: BTreeMap::from([("expired", 1), ("unreadable", 2)]),
            records: records_view,
        };
        assert!(blobs(&ledger).starts_with("5 listed = 2 done + 3 in gaps (1 expired, 2 unreadable), and what is pending"));
        ledger.blobs_done_again = 4;
        assert!(blobs(&ledger).ends_with("4 done again after a change of types or a loss of state"));
        assert_eq!(records(&records_view), "10 read = 2 delivered + 7 filtered + 1 duplicate + 0 dead-lettered");
    }
}
