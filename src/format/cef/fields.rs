//! The extension of a CEF line: which fact stands under which key, and how much of it.

use chrono::{DateTime, Utc};

use super::{capped, value};
use crate::event::name::Directionality;
use crate::event::normalised::{
    About, ClickFacts, DigestKind, DocumentFacts, FileFacts, Host, InvestigationFacts, MailFacts, NeighbourFacts, Normalised,
};

/// Characters that the key may have, by ArcSight's dictionary.
fn limit(key: &str) -> usize {
    match key {
        "act" => 63,
        "fileHash" => 255,
        "externalId" => 40,
        "suser" | "duser" | "request" | "msg" | "fname" | "filePath" | "cat" | "reason" => 1023,
        _ => 4000,
    }
}

/// An extension that is being written.
pub(super) struct Extension<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Extension<'_> {
    pub(super) fn new(out: &mut Vec<u8>) -> Extension<'_> {
        Extension { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'=');
    }

    /// Adds a text, as much of it as the key may have.
    fn text<'a>(&mut self, key: &str, text: impl Into<Option<&'a str>>) {
        if let Some(text) = text.into().filter(|text| !text.is_empty()) {
            self.whole(key, capped(text, limit(key)));
        }
    }

    /// Adds a text, all of it.
    pub(super) fn whole(&mut self, key: &str, text: &str) {
        self.key(key);
        value(text, self.out);
    }

    /// Adds a text under a key whose meaning has to be told.
    fn labelled<'a>(&mut self, key: &str, label: &str, text: impl Into<Option<&'a str>>) {
        if let Some(text) = text.into().filter(|text| !text.is_empty()) {
            self.whole(&format!("{key}Label"), label);
            self.text(key, text);
        }
    }

    fn number(&mut self, key: &str, number: Option<i64>) {
        self.text(key, number.map(|number| number.to_string()).as_deref());
    }

    /// Adds a time in milliseconds.
    pub(super) fn time(&mut self, key: &str, time: Option<DateTime<Utc>>) {
        self.number(key, time.map(|time| time.timestamp_millis()));
    }

    /// An address: IPv6 has keys of its own.
    fn source(&mut self, host: Option<Host<'_>>) {
        match host {
            Some(host) if host.ip.is_ipv6() => self.labelled("c6a2", "Source IPv6 Address", host.text),
            host => self.text("src", host.map(|host| host.text)),
        }
    }

    fn file(&mut self, file: &FileFacts<'_>) {
        self.text("fname", file.name);
        self.text("filePath", file.path);
        self.number("fsize", file.size);
        let kinds = [DigestKind::Sha256, DigestKind::Sha1, DigestKind::Md5];
        self.text("fileHash", kinds.into_iter().find_map(|kind| file.digest(kind)));
    }

    /// Adds all that is told of the event.
    pub(super) fn event(&mut self, says: &Normalised<'_>, time: Option<DateTime<Utc>>) {
        self.time("rt", time);
        self.time("start", says.happened());
        self.time("end", says.ended());
        self.text("externalId", says.id);
        let number = says.record_type.map(|record_type| record_type.to_string());
        self.text("cat", says.type_name().or(number.as_deref()));
        self.text("sourceServiceName", says.workload);
        self.text("deviceExternalId", says.tenant);
        match &says.about {
            About::Mail(mail) => self.mail(mail, says.portal),
            About::Click(click) => self.click(click),
            About::Document(document) => self.document(document, says),
            About::Investigation(investigation) => self.investigation(investigation, says.portal),
            About::Other(neighbour) => {
                self.text("outcome", says.result);
                self.text("suser", says.actor.map(|actor| actor.name));
                self.source(says.client);
                self.labelled("cs1", "ObjectId", says.object);
                self.neighbour(neighbour);
            }
        }
    }

    fn neighbour(&mut self, neighbour: &NeighbourFacts<'_>) {
        if let Some(mail) = &neighbour.mail {
            self.text("duser", mail.recipients.join(",").as_str());
            self.text("msg", mail.subject);
            self.labelled("cs2", "NetworkMessageId", mail.network_message_id);
            self.labelled("cs6", "InternetMessageId", mail.message_id);
        }
        if let Some(alert) = &neighbour.alert {
            self.labelled("cs3", "AlertId", alert.id);
            self.labelled("cs4", "Alert", alert.title);
        }
    }

    fn mail(&mut self, mail: &MailFacts<'_>, portal: Option<&str>) {
        self.text("act", mail.delivery.map(|delivery| delivery.text));
        self.text("suser", mail.sender.or(mail.envelope_sender).map(|sender| sender.text));
        self.text("duser", mail.recipients.join(",").as_str());
        self.source(mail.source);
        self.text("msg", mail.subject);
        let file = mail.attachments.iter().find(|file| file.malware.is_some()).or(mail.attachments.first());
        if let Some(file) = file {
            self.file(file);
        }
        self.text("request", portal);
        self.text("reason", mail.method.map(|method| method.text));
        let direction = mail.direction.and_then(|direction| direction.known);
        self.number(
            "deviceDirection",
            match direction {
                Some(Directionality::Inbound) => Some(0),
                Some(Directionality::Outbound) => Some(1),
                _ => None,
            },
        );
        self.labelled("cs1", "NetworkMessageId", mail.network_message_id);
        self.labelled("cs2", "Verdict", mail.verdict.map(|verdict| verdict.text));
        self.labelled("cs3", "Policy", mail.policy.and_then(|policy| policy.name));
        let threats: Vec<_> =
            mail.threats.iter().map(|threat| format!("{}: [{}]", threat.name, threat.technologies.join(", "))).collect();
        self.labelled("cs4", "ThreatsAndDetectionTech", threats.join(";").as_str());
        self.labelled("cs5", "MalwareFamily", file.and_then(|file| file.malware));
        self.labelled("cs6", "InternetMessageId", mail.message_id);
    }

    fn click(&mut self, click: &ClickFacts<'_>) {
        let number = click.action.and_then(|action| action.number).map(|number| number.to_string());
        self.text("act", click.action.and_then(|action| action.name).or(number.as_deref()));
        self.text("duser", click.user.map(|user| user.text));
        self.source(click.source);
        self.text("request", click.url);
        self.text("requestClientApplication", click.app);
        self.labelled("cs1", "NetworkMessageId", click.network_message_id.or(click.source_id));
    }

    fn document(&mut self, document: &DocumentFacts<'_>, says: &Normalised<'_>) {
        self.text("suser", says.actor.map(|actor| actor.name));
        self.file(&document.file);
        self.text("request", says.portal);
        self.text("reason", document.method.map(|method| method.text));
        self.labelled("cs2", "Verdict", document.file.verdict.and_then(|verdict| verdict.name));
        self.labelled("cs3", "SourceWorkload", document.workload.and_then(|workload| workload.name));
        self.labelled("cs5", "MalwareFamily", document.file.malware);
    }

    fn investigation(&mut self, investigation: &InvestigationFacts<'_>, portal: Option<&str>) {
        let subjects = &investigation.subjects;
        self.text("act", investigation.status.map(|status| status.text));
        self.text("msg", investigation.name);
        let owners: Vec<_> = subjects.mailboxes.iter().filter_map(|mailbox| mailbox.label()).collect();
        self.text("duser", owners.join(",").as_str());
        self.text("request", portal);
        let ids: Vec<_> = subjects.mails.iter().filter_map(|mail| mail.network_message_id).collect();
        self.labelled("cs1", "NetworkMessageId", ids.join(",").as_str());
        self.labelled("cs2", "InvestigationType", investigation.kind.map(|kind| kind.text));
        self.labelled("cs3", "AlertId", investigation.alert.as_ref().and_then(|alert| alert.id));
        self.labelled("cs6", "InvestigationId", investigation.id);
        for (key, label, count) in [
            ("cn1", "Mails", subjects.mails.len()),
            ("cn2", "MailClusters", subjects.clusters.len()),
            ("cn3", "Actions", investigation.actions.len()),
        ] {
            self.labelled(key, label, Some(count.to_string()).as_deref());
        }
    }
}
