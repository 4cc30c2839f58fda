//! What an event says, stated once: every format takes its fields from here, so that a field of Microsoft's has one
//! meaning whatever language it is told in.
//!
//! Nothing is copied and nothing is judged: texts are those of the record, borrowed; enums keep the record's word beside
//! its known meaning; times are UTC, hashes lower-case hexadecimal. What is absent, null, empty or of an odd shape is
//! `None` here. The whole of it stays in the [`Event`], and a format that must not lose it writes that as well.

mod actor;
mod click;
mod document;
mod investigation;
mod link;
mod message;
mod other;

pub use actor::{Actor, Address, Host};
pub use click::ClickFacts;
pub use document::{Digest, DigestKind, DocumentFacts, FileFacts};
pub use investigation::{ActionFacts, AlertFacts, Cluster, InvestigationFacts, Mailbox, ProcessFacts, Subjects};
pub use link::Link;
pub use message::{Authentication, MailFacts, Override, Threat};
pub use other::NeighbourFacts;

use chrono::{DateTime, Utc};

use super::Event;
use super::code::{Code, Coded, FileVerdict};
use super::common_schema::Common;
use super::field::{Field, Many};
use super::name::{Named, Names, Severity, Verdict};
use super::text::Text;
use super::time::Stamp;
use crate::domain::RecordType;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalised<'a> {
    /// The number of the record's type.
    pub record_type: Option<RecordType>,
    /// The record's own identity.
    pub id: Option<&'a str>,
    /// When the record was made, which is not when the thing happened.
    pub time: Option<DateTime<Utc>>,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The service.
    pub workload: Option<&'a str>,
    /// The activity.
    pub operation: Option<&'a str>,
    /// Who did it, a person or a system.
    pub actor: Option<Actor<'a>>,
    /// From where it was done. The four Defender types don't have it.
    pub client: Option<Host<'a>>,
    /// `Succeeded`, `Failed`, or whatever the service says.
    pub result: Option<&'a str>,
    /// What it was done to.
    pub object: Option<&'a str>,
    /// Where Microsoft's portal shows it.
    pub portal: Option<&'a str>,
    /// What it is about.
    pub about: About<'a>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
pub enum About<'a> {
    /// Type 28: a message that was found to be bad.
    Mail(Box<MailFacts<'a>>),
    /// Type 41: a click on a link.
    Click(Box<ClickFacts<'a>>),
    /// Type 47: a file that was found to be bad.
    Document(Box<DocumentFacts<'a>>),
    /// Type 64: an investigation whose status changed.
    Investigation(Box<InvestigationFacts<'a>>),
    /// Anything else.
    Other(Box<NeighbourFacts<'a>>),
}

/// A word of an open enum, and its meaning if it is a listed one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word<'a, E> {
    /// The record's word.
    pub text: &'a str,
    /// Its meaning.
    pub known: Option<E>,
}

/// A value of an open numbered enum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice<'a, E> {
    /// The record's name for it, else the documented one.
    pub name: Option<&'a str>,
    /// The number, if one is known.
    pub number: Option<i64>,
    /// Its meaning, if it is a documented one.
    pub known: Option<E>,
}

impl Event {
    /// What the event says.
    pub fn normalised(&self) -> Normalised<'_> {
        let common = self.common();
        let (about, portal) = match self {
            Event::Mail(record) => (About::Mail(Box::new(MailFacts::of(record))), said(&record.own.event_deep_link)),
            Event::UrlClick(record) => {
                (About::Click(Box::new(ClickFacts::of(&record.own, common))), said(&record.own.event_deep_link))
            }
            Event::File(record) => (About::Document(Box::new(DocumentFacts::of(&record.own))), said(&record.own.event_deep_link)),
            Event::Air(record) => {
                (About::Investigation(Box::new(InvestigationFacts::of(&record.own))), said(&record.own.deep_link_url))
            }
            Event::Other(record) => (About::Other(Box::new(NeighbourFacts::of(&record.own))), said(&record.own.event_deep_link)),
        };
        let client = match self {
            Event::Other(record) => [said(&record.own.client_ip_address), said(&record.own.actor_ip_address)],
            _ => [None, None],
        };
        let client = [said(&common.client_ip)].into_iter().chain(client).flatten().find_map(Host::of_client);
        of_all(common, self.record_type(), client, portal, about)
    }
}

/// What the common schema says.
fn of_all<'a>(
    common: &'a Common,
    record_type: Option<RecordType>,
    client: Option<Host<'a>>,
    portal: Option<&'a str>,
    about: About<'a>,
) -> Normalised<'a> {
    Normalised {
        record_type,
        id: said(&common.id),
        time: instant(&common.creation_time),
        tenant: said(&common.organization_id),
        workload: said(&common.workload),
        operation: said(&common.operation),
        actor: Actor::of(common),
        client,
        result: said(&common.result_status),
        object: said(&common.object_id),
        portal,
        about,
    }
}

impl Normalised<'_> {
    /// The type's name in Microsoft's table.
    pub fn type_name(&self) -> Option<&'static str> {
        self.record_type.and_then(RecordType::name)
    }

    /// The first time that the event tells at all, the record's own before those of what it is about.
    pub fn any_time(&self) -> Option<DateTime<Utc>> {
        self.time.or_else(|| self.happened()).or_else(|| self.ended())
    }

    /// When the thing itself happened or began.
    pub fn happened(&self) -> Option<DateTime<Utc>> {
        match &self.about {
            About::Mail(mail) => mail.received,
            About::Click(click) => click.time,
            About::Document(document) => document.detected,
            About::Investigation(investigation) => investigation.started,
            About::Other(_) => None,
        }
    }

    /// When the thing ended, if it lasts.
    pub fn ended(&self) -> Option<DateTime<Utc>> {
        match &self.about {
            About::Investigation(investigation) => investigation.ended,
            _ => None,
        }
    }

    /// How grave it is, where Microsoft says so.
    pub fn stated_severity(&self) -> Option<Word<'_, Severity>> {
        match &self.about {
            About::Investigation(investigation) => investigation.alert.as_ref().and_then(|alert| alert.severity),
            About::Other(neighbour) => neighbour.alert.as_ref().and_then(|alert| alert.severity),
            _ => None,
        }
    }

    /// How grave it is: what Microsoft says, else what follows from the verdict. The second is our reading: malware, and
    /// phish that Microsoft is sure of, weigh more than spam; a page that was opened in spite of a warning weighs more than
    /// one that was not.
    pub fn severity(&self) -> Option<Severity> {
        match &self.about {
            About::Mail(mail) => match mail.verdict?.known? {
                Verdict::Malware => Some(Severity::High),
                Verdict::Phish if mail.is_sure() => Some(Severity::High),
                Verdict::Phish => Some(Severity::Medium),
                Verdict::Spam => Some(Severity::Low),
            },
            About::Click(click) if click.went_through() => Some(Severity::High),
            About::Click(click) => click.known_action().map(|_| Severity::Medium),
            About::Document(document) => match document.file.verdict?.known? {
                FileVerdict::Bad => Some(Severity::High),
                FileVerdict::Good => Some(Severity::Informational),
                FileVerdict::Error | FileVerdict::Timeout | FileVerdict::Pending => Some(Severity::Low),
            },
            About::Investigation(_) | About::Other(_) => self.stated_severity()?.known,
        }
    }
}

/// The text of a field, if it says anything.
fn said(field: &Field<Text>) -> Option<&str> {
    field.get().map(|text| text.as_str().trim()).filter(|text| !text.is_empty())
}

/// The text of a field as it stands, spaces around it included, if there is any.
fn verbatim(field: &Field<Text>) -> Option<&str> {
    field.get().map(Text::as_str).filter(|text| !text.is_empty())
}

/// The texts of a list that say anything.
fn each_said(field: &Field<Many<Text>>) -> Vec<&str> {
    let texts = field.get().into_iter().flat_map(Many::iter).map(|text| text.as_str().trim());
    texts.filter(|text| !text.is_empty()).collect()
}

/// `text` without the invisible characters around it that Microsoft's alert titles end in.
fn visible(text: &str) -> Option<&str> {
    let invisible = |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    Some(text.trim_matches(invisible)).filter(|text| !text.is_empty())
}

fn instant(field: &Field<Stamp>) -> Option<DateTime<Utc>> {
    field.get().and_then(Stamp::utc)
}

fn word<E: Names>(field: &Field<Named<E>>) -> Option<Word<'_, E>> {
    let named = field.get()?;
    let text = named.text.as_str().trim();
    (!text.is_empty()).then(|| Word { text, known: named.known() })
}

fn choice<E: Coded>(field: &Field<Code<E>>) -> Option<Choice<'_, E>> {
    let code = field.get()?;
    let choice = Choice { name: code.label(), number: code.number(), known: code.known() };
    (choice.name.is_some() || choice.number.is_some()).then_some(choice)
}

#[cfg(test)]
mod tests;
