//! Objects of the schema that more than one class has.

use crate::event::normalised::{Actor, Digest, DigestKind, FileFacts, Host, Link, MailFacts};
use crate::format::members::Object;

/// A regular file.
const REGULAR: i64 = 1;

pub(super) fn actor(it: &mut Object<'_>, actor: &Actor<'_>) {
    it.text("name", actor.name);
    it.text("uid", actor.key);
    it.text("email_addr", actor.address.map(|address| address.text));
    it.text("domain", actor.address.and_then(|address| address.domain));
    if actor.is_system {
        it.number("type_id", 3);
    }
}

/// A user of whom only an address or a name is known.
pub(super) fn user(it: &mut Object<'_>, name: Option<&str>) {
    it.text("name", name);
    it.text("email_addr", name.filter(|name| name.contains('@')));
}

pub(super) fn host(it: &mut Object<'_>, host: Option<Host<'_>>) {
    it.text("ip", host.map(|host| host.text));
}

pub(super) fn url(it: &mut Object<'_>, text: &str) {
    it.text("url_string", text);
    let Some(link) = Link::of(text) else { return };
    it.text("scheme", link.scheme);
    it.text("hostname", link.host);
    it.number("port", link.port.map(i64::from));
    it.text("path", link.path);
    it.text("query_string", link.query);
}

/// A file. The schema wants a name; one that has none has an empty one.
pub(super) fn file(it: &mut Object<'_>, file: &FileFacts<'_>) {
    it.text("name", file.name.unwrap_or_default());
    it.number("type_id", REGULAR);
    it.text("ext", file.extension());
    it.text("path", file.path);
    it.text("uid", file.uid);
    it.number("size", file.size);
    hashes(it, &file.hashes);
}

pub(super) fn hashes(it: &mut Object<'_>, hashes: &[Digest<'_>]) {
    it.objects("hashes", hashes, |it, hash| {
        it.number(
            "algorithm_id",
            match hash.kind {
                DigestKind::Md5 => 1,
                DigestKind::Sha1 => 2,
                DigestKind::Sha256 => 3,
                DigestKind::Other => 99,
            },
        );
        it.text("value", hash.value);
    });
}

/// A message. The schema wants a sender or recipients; where neither is known, there is a list of none.
pub(super) fn email(it: &mut Object<'_>, mail: &MailFacts<'_>) {
    it.text("from", mail.sender.map(|sender| sender.text));
    it.text("from_mailbox", mail.sender_name);
    it.texts("to", mail.recipients.iter().copied());
    if mail.sender.is_none() && mail.recipients.is_empty() {
        it.value("to", |out| out.extend_from_slice(b"[]"));
    }
    it.text("subject", mail.subject);
    it.text("message_uid", mail.message_id);
    it.text("uid", mail.network_message_id);
    it.objects("files", &mail.attachments, file);
    it.objects("urls", mail.urls.iter().copied(), url);
}

/// Malware by name; what it is, nobody says.
pub(super) fn malware<'a>(it: &mut Object<'_>, names: impl Iterator<Item = &'a str>) {
    let mut seen = std::collections::HashSet::new();
    it.objects("malware", names.filter(|name| seen.insert(*name)), |it, name| {
        it.text("name", name);
        it.value("classification_ids", |out| out.extend_from_slice(b"[0]"));
    });
}
