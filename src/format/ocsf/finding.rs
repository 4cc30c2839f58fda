//! Types 41, 47 and 64 as Detection Finding.

use super::{Told, things};
use crate::event::code::{FileVerdict, UrlClickAction};
use crate::event::name::InvestigationStatus;
use crate::event::normalised::{
    ActionFacts, Choice, ClickFacts, Cluster, Digest, DocumentFacts, FileFacts, Host, InvestigationFacts, MailFacts, Mailbox,
    Normalised, ProcessFacts, Subjects,
};
use crate::format::members::Object;

/// Create, Update or Close. A record is made for each change of status, the first of which is the beginning.
pub(super) fn activity(investigation: &InvestigationFacts<'_>) -> i64 {
    use InvestigationStatus as S;
    let Some(status) = investigation.status else { return 0 };
    match status.known {
        Some(S::InvestigationStarted) => 1,
        Some(S::Running | S::PendingAction | S::ThreatsFound) | None => 2,
        Some(S::Remediated | S::NoThreatsFound | S::Failed) => 3,
        Some(S::TerminatedBySystem | S::TerminatedByThrottling | S::TerminatedByUser) => 3,
    }
}

/// New, In Progress, Resolved or Other; nothing if the record has no status.
fn status(investigation: &InvestigationFacts<'_>) -> Option<i64> {
    use InvestigationStatus as S;
    let status = investigation.status?;
    Some(match status.known {
        Some(S::InvestigationStarted) => 1,
        Some(S::Running | S::PendingAction | S::ThreatsFound) => 2,
        Some(S::Remediated | S::NoThreatsFound) => 4,
        Some(S::TerminatedBySystem | S::TerminatedByThrottling | S::TerminatedByUser | S::Failed) | None => 99,
    })
}

/// Adds what a click is, and notes what it has told.
pub(super) fn click(it: &mut Object<'_>, click: &ClickFacts<'_>, says: &Normalised<'_>, uid: &str, told: &mut Told) {
    it.object("finding_info", |it| {
        it.text("uid", uid);
        it.text("title", says.operation);
        it.millis("created_time", click.time);
        it.text("src_url", says.portal);
    });
    let user = click.user.map(|user| user.text);
    it.objects("evidences", [click], |it, click| {
        if let Some(url) = click.url {
            it.object("url", |it| things::url(it, url));
        }
        it.object("user", |it| things::user(it, user));
        it.object("src_endpoint", |it| things::host(it, click.source.or(says.client)));
    });
    if let Some((action, disposition)) = click.action.map(page) {
        it.number("action_id", action);
        it.number("disposition_id", disposition);
        if disposition == 99 {
            let number = click.action.and_then(|action| action.number).map(|number| number.to_string());
            let name = click.action.and_then(|action| action.name).or(number.as_deref());
            it.text("action", name);
            it.text("disposition", name);
        }
    }
    it.flag("is_alert", true);
    told.add("Url", click.url);
    told.add("UserId", user);
    told.add("EventDeepLink", says.portal);
}

/// What the page that Safe Links showed did: action, disposition.
fn page(action: Choice<'_, UrlClickAction>) -> (i64, i64) {
    match action.known {
        Some(UrlClickAction::None) => (3, 16),
        Some(UrlClickAction::Allowed | UrlClickAction::BlockPageOverride | UrlClickAction::PendingDetonationPageOverride) => {
            (1, 1)
        }
        Some(UrlClickAction::Blockpage) => (2, 2),
        Some(UrlClickAction::PendingDetonationPage) => (2, 14),
        None => (99, 99),
    }
}

/// Adds what a file event is.
pub(super) fn document(it: &mut Object<'_>, document: &DocumentFacts<'_>, says: &Normalised<'_>, uid: &str) {
    it.object("finding_info", |it| {
        it.text("uid", uid);
        it.text("title", document.file.malware.or(says.operation));
        it.millis("created_time", document.detected);
        it.text("src_url", says.portal);
        it.texts("types", document.method.map(|method| method.text));
    });
    let file = &document.file;
    let known = file.name.is_some() || file.path.is_some() || file.uid.is_some() || !file.hashes.is_empty();
    it.objects("evidences", [document], |it, document| {
        if known {
            it.object("file", |it| {
                things::file(it, &document.file);
                it.millis("modified_time", document.modified);
                it.object("modifier", |it| things::user(it, document.modified_by.map(|user| user.text)));
            });
        }
        it.object("user", |it| things::user(it, says.actor.filter(|actor| !actor.is_system).map(|actor| actor.name)));
        it.object("src_endpoint", |it| things::host(it, says.client));
    });
    if let Some(verdict) = file.verdict.and_then(|verdict| verdict.known) {
        it.number("action_id", 3);
        it.number("disposition_id", if verdict == FileVerdict::Good { 16 } else { 15 });
    }
    things::malware(it, file.malware.into_iter());
    it.flag("is_alert", true);
}

/// Adds what an investigation is, and notes what it has told.
pub(super) fn investigation(
    it: &mut Object<'_>,
    investigation: &InvestigationFacts<'_>,
    says: &Normalised<'_>,
    uid: &str,
    told: &mut Told,
) {
    let alert = investigation.alert.as_ref();
    it.object("finding_info", |it| {
        it.text("uid", uid);
        it.text("uid_alt", alert.and_then(|alert| alert.id));
        it.text("title", investigation.name.or(alert.and_then(|alert| alert.title)));
        it.text("desc", alert.and_then(|alert| alert.description));
        it.texts("types", investigation.kind.map(|kind| kind.text));
        it.millis("created_time", investigation.started);
        it.millis("modified_time", investigation.updated);
        it.text("src_url", says.portal);
        let (name, policy) = (alert.and_then(|alert| alert.title), alert.and_then(|alert| alert.policy));
        if name.is_some() || policy.is_some() {
            it.object("analytic", |it| {
                it.text("name", name);
                it.text("uid", policy);
                it.text("category", alert.and_then(|alert| alert.category));
                it.number("type_id", 1);
            });
        }
    });
    it.millis("start_time", investigation.started);
    it.millis("end_time", investigation.ended);
    it.number("duration", investigation.seconds.and_then(|seconds| seconds.checked_mul(1000)));
    if let Some(status) = status(investigation) {
        it.number("status_id", status);
        it.text("status_detail", investigation.status.map(|status| status.text));
        if status == 99 {
            it.text("status", investigation.status.map(|status| status.text));
        }
    }
    match investigation.status.and_then(|status| status.known) {
        Some(InvestigationStatus::NoThreatsFound) => it.number("verdict_id", 5),
        Some(InvestigationStatus::ThreatsFound | InvestigationStatus::Remediated) => it.number("verdict_id", 2),
        _ => {}
    }
    it.text("src_url", says.portal);
    evidences(it, &investigation.subjects);
    let attached = investigation.subjects.all_files().filter_map(|file| file.malware);
    things::malware(it, investigation.subjects.malware.iter().copied().chain(attached));
    let steps: Vec<_> = investigation.actions.iter().filter_map(step).collect();
    if !steps.is_empty() {
        it.object("remediation", |it| it.text("desc", steps.join("; ").as_str()));
    }
    it.flag("is_alert", true);

    told.add("InvestigationId", investigation.id);
    told.add("InvestigationName", investigation.name);
    told.add("InvestigationType", investigation.kind);
    told.add("Status", investigation.status);
    told.add("DeepLinkUrl", says.portal);
}

/// `EmailRemediation: Pending`.
fn step(action: &ActionFacts<'_>) -> Option<String> {
    match (action.kind, action.status.map(|status| status.text)) {
        (Some(kind), Some(status)) => Some(format!("{kind}: {status}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// One piece of evidence.
enum Evidence<'a, 's> {
    Mail(&'s MailFacts<'a>),
    Cluster(&'s Cluster<'a>),
    Mailbox(&'s Mailbox<'a>),
    Account(&'a str),
    File(&'s FileFacts<'a>),
    Hash(&'s Digest<'a>),
    Url(&'a str),
    Host(Host<'a>),
    Process(&'s ProcessFacts<'a>),
}

/// Adds each entity that the schema has an object for, one a piece of evidence.
fn evidences(it: &mut Object<'_>, subjects: &Subjects<'_>) {
    let all = (subjects.mails.iter().map(Evidence::Mail))
        .chain(subjects.clusters.iter().map(Evidence::Cluster))
        .chain(subjects.mailboxes.iter().map(Evidence::Mailbox))
        .chain(subjects.accounts.iter().copied().map(Evidence::Account))
        .chain(subjects.files.iter().map(Evidence::File))
        .chain(subjects.hashes.iter().map(Evidence::Hash))
        .chain(subjects.urls.iter().copied().map(Evidence::Url))
        .chain(subjects.hosts.iter().copied().map(Evidence::Host))
        .chain(subjects.processes.iter().map(Evidence::Process));
    it.objects("evidences", all, evidence);
}

fn evidence(it: &mut Object<'_>, evidence: Evidence<'_, '_>) {
    match evidence {
        Evidence::Mail(mail) => {
            it.object("email", |it| things::email(it, mail));
            it.object("src_endpoint", |it| things::host(it, mail.source));
        }
        Evidence::Cluster(cluster) => it.object("data", |it| {
            it.number("mail_count", cluster.mails);
            it.texts("network_message_ids", cluster.network_message_ids.iter().copied());
            it.text("query", cluster.query);
        }),
        Evidence::Mailbox(mailbox) => it.object("user", |it| {
            it.text("name", mailbox.upn.or(mailbox.label()));
            it.text("uid", mailbox.directory_id);
            it.text("display_name", mailbox.name);
            it.text("email_addr", mailbox.address.map(|address| address.text));
        }),
        Evidence::Account(name) => it.object("user", |it| things::user(it, Some(name))),
        Evidence::File(file) => it.object("file", |it| things::file(it, file)),
        Evidence::Hash(hash) => it.object("file", |it| {
            it.text("name", "");
            it.number("type_id", 0);
            things::hashes(it, std::slice::from_ref(hash));
        }),
        Evidence::Url(url) => it.object("url", |it| things::url(it, url)),
        Evidence::Host(host) => it.object("src_endpoint", |it| things::host(it, Some(host))),
        Evidence::Process(process) => started(it, process),
    }
}

/// A process. The schema wants its number or id; without either, it is data and the file that was run.
fn started(it: &mut Object<'_>, process: &ProcessFacts<'_>) {
    let Some(id) = process.id else {
        it.object("data", |it| it.text("command_line", process.command));
        if let Some(image) = &process.image {
            it.object("file", |it| things::file(it, image));
        }
        return;
    };
    it.object("process", |it| {
        match id.parse::<i32>() {
            Ok(number) => it.number("pid", i64::from(number)),
            Err(_) => it.text("uid", id),
        }
        it.text("cmd_line", process.command);
        it.text("name", process.image.as_ref().and_then(|image| image.name));
        if let Some(image) = &process.image {
            it.object("file", |it| things::file(it, image));
        }
    });
}
