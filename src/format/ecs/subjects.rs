//! What an event is about, in fields of the Elastic Common Schema.

use crate::event::name::Directionality;
use crate::event::normalised::{
    About, AlertFacts, ClickFacts, Digest, DigestKind, DocumentFacts, FileFacts, Host, InvestigationFacts, Link, MailFacts,
    Mailbox, NeighbourFacts, Normalised, Word,
};
use crate::format::members::Object;

/// Adds the fields of what the event is about.
pub(super) fn write(it: &mut Object<'_>, says: &Normalised<'_>) {
    match &says.about {
        About::Mail(mail) => message(it, mail, says.client),
        About::Click(click) => clicked(it, click, says.client),
        About::Document(found) => document(it, found, says.client),
        About::Investigation(investigation) => investigated(it, investigation, says.client),
        About::Other(neighbour) => other(it, neighbour, says),
    }
    it.object("related", |it| related(it, says));
}

fn other(it: &mut Object<'_>, neighbour: &NeighbourFacts<'_>, says: &Normalised<'_>) {
    if let Some(mail) = &neighbour.mail {
        it.object("email", |it| email(it, std::slice::from_ref(mail), &[]));
    }
    let source = says.client.or(neighbour.mail.as_ref().and_then(|mail| mail.source));
    source_ip(it, source);
    if let Some(found) = &neighbour.alert {
        alert(it, found, None);
    }
}

fn source_ip(it: &mut Object<'_>, source: Option<Host<'_>>) {
    it.object("source", |it| it.text("ip", source.map(|source| source.text)));
}

fn message(it: &mut Object<'_>, mail: &MailFacts<'_>, client: Option<Host<'_>>) {
    it.object("email", |it| email(it, std::slice::from_ref(mail), &[]));
    source_ip(it, mail.source.or(client));
    it.object("rule", |it| {
        it.text("name", mail.policy.and_then(|policy| policy.name));
        it.text("category", mail.verdict.map(|verdict| verdict.text));
    });
}

/// The messages of one event, and the mailboxes that it is about. What the schema has once is that of the first message that
/// tells it.
fn email(it: &mut Object<'_>, mails: &[MailFacts<'_>], mailboxes: &[Mailbox<'_>]) {
    it.text("local_id", mails.iter().find_map(|mail| mail.network_message_id));
    it.text("message_id", mails.iter().find_map(|mail| mail.message_id));
    it.text("subject", mails.iter().find_map(|mail| mail.subject));
    it.text("direction", mails.iter().find_map(|mail| mail.direction).map(direction).as_deref());
    it.time("delivery_timestamp", mails.iter().find_map(|mail| mail.received));
    let senders = mails.iter().filter_map(|mail| mail.sender);
    it.object("from", |it| it.texts("address", senders.map(|sender| sender.text)));
    let sender = mails.iter().find_map(|mail| mail.envelope_sender);
    it.object("sender", |it| it.text("address", sender.map(|sender| sender.text)));
    let recipients = mails.iter().flat_map(|mail| &mail.recipients);
    let owners = mailboxes.iter().filter_map(|mailbox| mailbox.address).map(|address| address.text);
    it.object("to", |it| it.texts("address", recipients.copied().chain(owners)));
    let attachments = mails.iter().flat_map(|mail| &mail.attachments);
    it.objects("attachments", attachments, |it, file| it.object("file", |it| attached(it, file)));
}

/// The words of the schema; one that it doesn't have stays, in small letters.
fn direction(direction: Word<'_, Directionality>) -> String {
    match direction.known {
        Some(Directionality::Inbound) => "inbound".to_owned(),
        Some(Directionality::Outbound) => "outbound".to_owned(),
        Some(Directionality::IntraOrg) => "internal".to_owned(),
        Some(Directionality::Unknown) => "unknown".to_owned(),
        None => direction.text.to_lowercase(),
    }
}

fn attached(it: &mut Object<'_>, file: &FileFacts<'_>) {
    it.text("name", file.name);
    it.text("extension", file.extension());
    it.number("size", file.size);
    it.object("hash", |it| hashes(it, file));
}

fn hashes(it: &mut Object<'_>, file: &FileFacts<'_>) {
    for (kind, key) in [(DigestKind::Md5, "md5"), (DigestKind::Sha1, "sha1"), (DigestKind::Sha256, "sha256")] {
        it.text(key, file.digest(kind));
    }
}

fn clicked(it: &mut Object<'_>, click: &ClickFacts<'_>, client: Option<Host<'_>>) {
    it.object("url", |it| url(it, click.url));
    source_ip(it, click.source.or(client));
    it.object("email", |it| it.text("local_id", click.network_message_id));
    it.object("service", |it| {
        it.text("name", click.app);
        it.text("version", click.app_version);
    });
}

fn url(it: &mut Object<'_>, text: Option<&str>) {
    it.text("original", text);
    let Some(link) = text.and_then(Link::of) else { return };
    it.text("full", link.text);
    it.text("scheme", link.scheme);
    it.text("domain", link.host);
    it.number("port", link.port.map(i64::from));
    it.text("path", link.path);
    it.text("query", link.query);
    it.text("fragment", link.fragment);
}

fn document(it: &mut Object<'_>, found: &DocumentFacts<'_>, client: Option<Host<'_>>) {
    source_ip(it, client);
    it.object("file", |it| {
        file(it, &found.file);
        it.time("mtime", found.modified);
    });
    it.object("url", |it| url(it, found.file.path));
    it.object("rule", |it| {
        it.text("name", found.file.malware);
        it.text("category", found.file.verdict.and_then(|verdict| verdict.name));
    });
    it.object("service", |it| it.text("name", found.workload.and_then(|workload| workload.name)));
}

fn file(it: &mut Object<'_>, file: &FileFacts<'_>) {
    it.text("name", file.name);
    it.text("path", file.path);
    it.text("extension", file.extension());
    it.number("size", file.size);
    it.object("hash", |it| hashes(it, file));
}

fn investigated(it: &mut Object<'_>, investigation: &InvestigationFacts<'_>, client: Option<Host<'_>>) {
    let subjects = &investigation.subjects;
    it.object("email", |it| email(it, &subjects.mails, &subjects.mailboxes));
    let mut sources = subjects.mails.iter().filter_map(|mail| mail.source).chain(subjects.hosts.iter().copied());
    source_ip(it, sources.next().or(client));
    it.object("url", |it| url(it, subjects.all_urls().next()));
    if let Some(first) = subjects.files.first() {
        it.object("file", |it| file(it, first));
    }
    if let Some(process) = subjects.processes.first() {
        it.object("process", |it| {
            it.number("pid", process.id.and_then(|id| id.parse().ok()));
            it.text("command_line", process.command);
            it.text("name", process.image.as_ref().and_then(|image| image.name));
        });
    }
    match &investigation.alert {
        Some(found) => alert(it, found, investigation.name),
        None => it.object("rule", |it| it.text("name", investigation.name)),
    }
}

/// An alert; `name` in place of a title that it doesn't have.
fn alert(it: &mut Object<'_>, alert: &AlertFacts<'_>, name: Option<&str>) {
    it.object("rule", |it| {
        it.text("id", alert.policy);
        it.text("name", alert.title.or(name));
        it.text("category", alert.category);
        it.text("description", alert.description);
    });
    it.object("log", |it| it.text("level", alert.severity.map(|severity| severity.text.to_lowercase()).as_deref()));
}

/// All that one may want to search for in one go.
fn related(it: &mut Object<'_>, says: &Normalised<'_>) {
    let (mut ips, mut users, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let mut loose: &[Digest<'_>] = &[];
    ips.extend(says.client.map(|client| client.text));
    users.extend(says.actor.filter(|actor| !actor.is_system).map(|actor| actor.name));
    match &says.about {
        About::Mail(mail) => {
            ips.extend(mail.source.map(|source| source.text));
            users.extend(mail.recipients.iter().copied());
            files.extend(&mail.attachments);
        }
        About::Click(click) => ips.extend(click.source.map(|source| source.text)),
        About::Document(found) => {
            users.extend(found.modified_by.map(|user| user.text));
            files.push(&found.file);
        }
        About::Investigation(investigation) => {
            let subjects = &investigation.subjects;
            ips.extend(subjects.mails.iter().filter_map(|mail| mail.source).map(|source| source.text));
            ips.extend(subjects.hosts.iter().map(|host| host.text));
            users.extend(subjects.mailboxes.iter().filter_map(|mailbox| mailbox.upn.or(mailbox.label())));
            users.extend(subjects.accounts.iter().copied());
            files.extend(subjects.all_files());
            loose = &subjects.hashes;
        }
        About::Other(neighbour) => {
            let mail = neighbour.mail.as_ref();
            ips.extend(mail.and_then(|mail| mail.source).map(|source| source.text));
            users.extend(mail.into_iter().flat_map(|mail| &mail.recipients));
        }
    }
    let hashes = files.iter().flat_map(|file| &file.hashes).chain(loose);
    it.texts("hash", hashes.map(|hash| hash.value));
    it.texts("ip", ips);
    it.texts("user", users);
}
