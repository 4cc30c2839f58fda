//! What is said of messages: by mail events, and by the entities of investigations.

use chrono::{DateTime, Utc};

use super::{Address, Choice, FileFacts, Host, Word, choice, each_said, instant, said, verbatim, word};
use crate::event::Record;
use crate::event::code::{DetectionType, Policy, PolicyAction};
use crate::event::entity::{self, SubmissionMail};
use crate::event::field::{Either, Field, Many, OneOrMany};
use crate::event::mail::{AuthDetail, Mail, SystemOverride};
use crate::event::name::{
    AuthCheck, AuthResult, DeliveryAction, DeliveryLocation, DetectionTechnology, Directionality, OverrideResult, OverrideSource,
    PhishConfidence, Verdict, YesNo,
};
use crate::event::neighbour::{AlertData, Neighbour};
use crate::event::object::Object;
use crate::event::text::Text;

/// What is said of one message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MailFacts<'a> {
    /// The sender in the `From` header.
    pub sender: Option<Address<'a>>,
    /// Its display name.
    pub sender_name: Option<&'a str>,
    /// The sender on the envelope.
    pub envelope_sender: Option<Address<'a>>,
    /// To whom it went.
    pub recipients: Vec<&'a str>,
    /// The subject.
    pub subject: Option<&'a str>,
    /// The `Message-ID` header, angle brackets included.
    pub message_id: Option<&'a str>,
    /// Microsoft's id of the message: what clicks and investigations refer to.
    pub network_message_id: Option<&'a str>,
    /// The machine that sent it.
    pub source: Option<Host<'a>>,
    /// Which way it went.
    pub direction: Option<Word<'a, Directionality>>,
    /// When it was received or sent.
    pub received: Option<DateTime<Utc>>,
    /// What it was found to be.
    pub verdict: Option<Word<'a, Verdict>>,
    /// How sure the verdict "phish" is.
    pub confidence: Option<Word<'a, PhishConfidence>>,
    /// What was done with it at delivery.
    pub delivery: Option<Word<'a, DeliveryAction>>,
    /// Where it was put then.
    pub original_location: Option<Word<'a, DeliveryLocation>>,
    /// Where it lay at the time of the event.
    pub latest_location: Option<Word<'a, DeliveryLocation>>,
    /// When it was found out.
    pub detection: Option<Choice<'a, DetectionType>>,
    /// How it was found out.
    pub method: Option<Word<'a, DetectionTechnology>>,
    /// The policy that decided.
    pub policy: Option<Choice<'a, Policy>>,
    /// What the policy does.
    pub policy_action: Option<Choice<'a, PolicyAction>>,
    /// The threats and how each was found.
    pub threats: Vec<Threat<'a>>,
    /// Links in it.
    pub urls: Vec<&'a str>,
    /// Its attachments.
    pub attachments: Vec<FileFacts<'a>>,
    /// The checks of its sender.
    pub authentication: Authentication<'a>,
    /// Settings that bore on its delivery.
    pub overrides: Vec<Override<'a>>,
    /// What else was done: action, then result in brackets.
    pub actions: Vec<&'a str>,
    /// The connector through which it came.
    pub connector: Option<&'a str>,
}

/// A threat, and the technologies that found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threat<'a> {
    /// `Phish`, `Malware`, …
    pub name: &'a str,
    /// Documented names.
    pub technologies: Vec<&'a str>,
}

/// The checks of a sender, each with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Authentication<'a> {
    /// SPF.
    pub spf: Option<Word<'a, AuthResult>>,
    /// DKIM.
    pub dkim: Option<Word<'a, AuthResult>>,
    /// DMARC.
    pub dmarc: Option<Word<'a, AuthResult>>,
    /// Microsoft's own summary of the three.
    pub composite: Option<Word<'a, AuthResult>>,
}

/// A setting that bore on a message's delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Override<'a> {
    /// What it is.
    pub details: Option<&'a str>,
    /// Whose it is.
    pub source: Option<Word<'a, OverrideSource>>,
    /// What it does.
    pub result: Option<Word<'a, OverrideResult>>,
    /// Whether it decided.
    pub decided: Option<Word<'a, YesNo>>,
}

impl<'a> MailFacts<'a> {
    pub(super) fn of(record: &'a Record<Mail>) -> MailFacts<'a> {
        let mail = &record.own;
        let threats = mail.threats_and_detection_tech.get().and_then(|threats| threats.value.as_ref());
        let attachments = mail.attachment_data.get().into_iter().flat_map(Many::iter);
        MailFacts {
            sender: said(&mail.p2_sender).and_then(Address::of),
            sender_name: None,
            envelope_sender: said(&mail.p1_sender).and_then(Address::of),
            recipients: each_said(&mail.recipients),
            subject: verbatim(&mail.subject),
            message_id: said(&mail.internet_message_id),
            network_message_id: said(&mail.network_message_id),
            source: said(&mail.sender_ip).and_then(Host::of),
            direction: word(&mail.directionality),
            received: instant(&mail.message_time),
            verdict: word(&mail.verdict),
            confidence: word(&mail.phish_confidence_level),
            delivery: word(&mail.delivery_action),
            original_location: word(&mail.original_delivery_location),
            latest_location: word(&mail.latest_delivery_location),
            detection: choice(&mail.detection_type),
            method: word(&mail.detection_method),
            policy: choice(&mail.policy),
            policy_action: choice(&mail.policy_action),
            threats: threats.into_iter().flat_map(Many::iter).filter_map(|text| Threat::of(text.as_str())).collect(),
            urls: Vec::new(),
            attachments: attachments.map(|attachment| FileFacts::of_attachment(attachment)).collect(),
            authentication: Authentication::of(&mail.auth_details),
            overrides: overrides(&mail.system_overrides),
            actions: each_said(&mail.additional_actions_and_results),
            connector: said(&mail.connector),
        }
    }

    pub(super) fn of_entity(mail: &'a entity::MailMessage) -> MailFacts<'a> {
        let url = |url: &'a Either<Text, entity::EntityOf<entity::Url>>| match url {
            Either::First(url) => Some(url.as_str()).filter(|url| !url.is_empty()),
            Either::Second(url) => verbatim(&url.own.url),
        };
        let files = mail.files.get().into_iter().flat_map(Many::iter);
        let bare = |name: &'a str| Threat { name, technologies: Vec::new() };
        MailFacts {
            sender: said(&mail.p2_sender).or_else(|| said(&mail.sender)).and_then(Address::of),
            sender_name: said(&mail.p2_sender_display_name),
            envelope_sender: said(&mail.p1_sender).and_then(Address::of),
            recipients: said(&mail.recipient).into_iter().collect(),
            subject: verbatim(&mail.subject),
            message_id: said(&mail.internet_message_id),
            network_message_id: said(&mail.network_message_id),
            source: said(&mail.sender_ip).and_then(Host::of),
            direction: word(&mail.antispam_direction),
            received: instant(&mail.received_date),
            confidence: word(&mail.phish_confidence_level),
            delivery: word(&mail.delivery_action),
            original_location: word(&mail.original_delivery_location),
            latest_location: word(&mail.delivery_location),
            threats: each_said(&mail.threats).into_iter().map(bare).collect(),
            urls: mail.urls.get().into_iter().flat_map(Many::iter).filter_map(url).collect(),
            attachments: files.map(|file| FileFacts::of_entity(&file.own)).collect(),
            authentication: Authentication::of(&mail.auth_details),
            overrides: overrides(&mail.system_overrides),
            actions: each_said(&mail.additional_actions_and_results),
            ..MailFacts::default()
        }
    }

    /// True if Microsoft says that it is sure of the verdict "phish".
    pub fn is_sure(&self) -> bool {
        self.confidence.is_some_and(|confidence| confidence.known == Some(PhishConfidence::High))
    }

    /// What a record of another type says of a message; nothing if it tells of none.
    pub(super) fn of_neighbour(record: &'a Neighbour) -> Option<MailFacts<'a>> {
        let alert = said(&record.alert_id).and_then(|_| record.data.get());
        let alert = alert.and_then(|data| match data {
            Either::First(data) => data.value.as_ref(),
            Either::Second(_) => None,
        });
        let behind = alert.map(|data| MailFacts::of_alert(data)).unwrap_or_default();
        let recipients = each_said(&record.recipients);
        let mail = MailFacts {
            sender: said(&record.p2_sender).and_then(Address::of).or(behind.sender),
            envelope_sender: said(&record.p1_sender).and_then(Address::of).or(behind.envelope_sender),
            recipients: if recipients.is_empty() { behind.recipients } else { recipients },
            subject: verbatim(&record.subject).or(behind.subject),
            message_id: said(&record.internet_message_id).or(behind.message_id),
            network_message_id: said(&record.network_message_id).or(behind.network_message_id),
            source: said(&record.sender_ip).and_then(Host::of),
            ..MailFacts::default()
        };
        (mail != MailFacts::default()).then_some(mail)
    }

    /// What the text of an alert says of a message.
    fn of_alert(data: &'a AlertData) -> MailFacts<'a> {
        let sender = said(&data.tsd).or(said(&data.mfrm)).and_then(Address::of);
        let recipients = apart(&data.trc);
        MailFacts {
            sender,
            envelope_sender: sender,
            recipients: if recipients.is_empty() { apart(&data.to) } else { recipients },
            subject: verbatim(&data.ms).or(verbatim(&data.von)),
            message_id: said(&data.imsgid),
            network_message_id: said(&data.aii),
            ..MailFacts::default()
        }
    }

    pub(super) fn of_submission(mail: &'a SubmissionMail) -> MailFacts<'a> {
        MailFacts {
            sender: said(&mail.sender).and_then(Address::of),
            recipients: said(&mail.recipient).into_iter().collect(),
            subject: verbatim(&mail.subject),
            network_message_id: said(&mail.network_message_id),
            source: said(&mail.sender_ip).and_then(Host::of),
            received: instant(&mail.timestamp),
            ..MailFacts::default()
        }
    }
}

impl<'a> Threat<'a> {
    /// Reads `Phish: [Spoof DMARC, URL detonation]`.
    fn of(text: &'a str) -> Option<Threat<'a>> {
        let text = text.trim();
        let (name, technologies) = text.split_once(':').map_or((text, ""), |(name, rest)| (name.trim(), rest.trim()));
        let technologies = technologies.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(technologies);
        let technologies = technologies.split([',', ';']).map(str::trim).filter(|one| !one.is_empty()).collect();
        (!name.is_empty()).then_some(Threat { name, technologies })
    }
}

impl<'a> Authentication<'a> {
    fn of(details: &'a Field<Many<Object<AuthDetail>>>) -> Authentication<'a> {
        let mut found = Authentication::default();
        for detail in details.get().into_iter().flat_map(Many::iter) {
            let slot = match detail.name.get().and_then(|name| name.known()) {
                Some(AuthCheck::Spf) => &mut found.spf,
                Some(AuthCheck::Dkim) => &mut found.dkim,
                Some(AuthCheck::Dmarc) => &mut found.dmarc,
                Some(AuthCheck::CompAuth) => &mut found.composite,
                None => continue,
            };
            *slot = slot.or_else(|| word(&detail.value));
        }
        found
    }
}

/// Addresses with `,` or `;` between them.
fn apart(field: &Field<OneOrMany<Text>>) -> Vec<&str> {
    let texts = field.get().into_iter().flat_map(|texts| texts.0.iter());
    let each = texts.flat_map(|text| text.as_str().split([',', ';'])).map(str::trim);
    each.filter(|text| !text.is_empty()).collect()
}

fn overrides<'a>(field: &'a Field<Many<Object<SystemOverride>>>) -> Vec<Override<'a>> {
    let one = |one: &'a Object<SystemOverride>| Override {
        details: said(&one.details),
        source: word(&one.source),
        result: word(&one.result),
        decided: word(&one.final_override),
    };
    field.get().into_iter().flat_map(Many::iter).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threat_is_told_apart_from_what_found_it() {
        let parts = |text| Threat::of(text).map(|threat| (threat.name, threat.technologies));
        assert_eq!(parts("Malware: [File detonation]"), Some(("Malware", vec!["File detonation"])));
        assert_eq!(parts("Phish: [Spoof DMARC, URL detonation]"), Some(("Phish", vec!["Spoof DMARC", "URL detonation"])));
        assert_eq!(parts("Spam"), Some(("Spam", vec![])));
        assert_eq!(parts("Spam: Bulk"), Some(("Spam", vec!["Bulk"])));
        assert_eq!(parts(" : [x]"), None);
    }
}
