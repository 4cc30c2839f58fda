//! `state verify`: is the state whole, and do its figures add up.

use std::collections::BTreeSet;

use serde_json::json;

use super::places::{Place, complaint, tenant_name};
use crate::cli::{Context, Exit, opened, stdout};
use crate::config::Settings;
use crate::store::{Finding, Verification, verify};
use crate::telemetry::Escaped;

pub(super) fn run(places: Vec<Place>, as_json: bool, context: &Context) -> Exit {
    let settings = &context.settings;
    let (mut text, mut checked, mut exit) = (String::new(), Vec::new(), Exit::Done);
    for place in places {
        match verify(&place.dir) {
            Ok(verification) => {
                exit = exit.worst(if verification.ok { Exit::Done } else { Exit::Gaps });
                text.push_str(&report(&place, &verification, settings));
                let mut one = json!(verification);
                one["job"] = json!(place.job.map(|job| job.job));
                checked.push(one);
            }
            Err(error) => {
                context.console.error(&complaint(&place, &error));
                exit = exit.worst(opened::exit(&error));
            }
        }
    }
    if as_json {
        text = format!("{}\n", json!({"state_dir": settings.state_dir, "ok": exit == Exit::Done, "checked": checked}));
    }
    stdout::print(text.as_bytes()).worst(exit)
}

fn report(place: &Place, verification: &Verification, settings: &Settings) -> String {
    let feeds = match verification.feeds {
        1 => "1 feed".to_owned(),
        feeds => format!("{feeds} feeds"),
    };
    let title = Escaped(&place.title()).to_string();
    if verification.ok {
        return format!("{title}: ok, {feeds} recounted\n");
    }
    let mut lines = vec![format!("{title}: something is wrong ({feeds} recounted)")];
    lines.extend(verification.findings.iter().map(|finding| {
        let of = match (&finding.tenant_id, &finding.content_type) {
            (Some(tenant), Some(content_type)) => format!("{} {content_type}: ", tenant_name(tenant, settings)),
            _ => String::new(),
        };
        format!("  {:8}  {}", finding.kind, Escaped(&format!("{of}{}", finding.detail)))
    }));
    let advice: BTreeSet<_> = verification.findings.iter().map(advice).collect();
    lines.extend(advice.into_iter().map(|advice| format!("  next: {advice}")));
    lines.join("\n") + "\n"
}

/// What to do about a finding; `store.rs` says what the store does by itself.
fn advice(finding: &Finding) -> &'static str {
    match finding.kind {
        "damage" => {
            "nothing by hand: the next start moves the damaged part aside and goes on from the witness, so records of the last days may \
             come again; find out what damaged it (disk, memory, a copy made while it was in use)"
        }
        "witness" => {
            "nothing by hand: the next start goes on from the older place of both, or from the witness's if the state is gone, so records \
             may come again; a restored backup or a deleted directory explains it"
        }
        _ => {
            "the figures do not add up, which no crash explains: please report it with the output of `defender-feed state show --json`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: &'static str) -> Finding {
        Finding { tenant_id: None, content_type: None, kind, detail: "made up".into() }
    }

    #[test]
    fn every_kind_of_finding_has_a_next_step() {
        assert!(advice(&finding("damage")).contains("the next start moves"));
        assert!(advice(&finding("witness")).contains("the older place"));
        for kind in ["hour", "total", "records", "gap"] {
            assert!(advice(&finding(kind)).contains("please report"), "{kind}");
        }
    }
}
