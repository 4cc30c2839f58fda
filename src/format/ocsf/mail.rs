//! Type 28 as Email Activity.

use super::{Told, things};
use crate::event::Event;
use crate::event::name::{DeliveryAction, DeliveryLocation, Directionality};
use crate::event::normalised::{MailFacts, Normalised, Word};
use crate::format::members::Object;

/// Adds what a message is, and notes what it has told.
pub(super) fn write(it: &mut Object<'_>, mail: &MailFacts<'_>, says: &Normalised<'_>, event: &Event, told: &mut Told) {
    direction(it, mail.direction);
    it.object("email", |it| things::email(it, mail));
    it.text("from", mail.envelope_sender.map(|sender| sender.text));
    it.texts("to", mail.recipients.iter().copied());
    it.text("message_trace_uid", mail.network_message_id);
    it.object("src_endpoint", |it| things::host(it, mail.source.or(says.client)));
    it.object("email_auth", |it| {
        let authentication = &mail.authentication;
        it.text("spf", authentication.spf.map(|outcome| outcome.text));
        it.text("dkim", authentication.dkim.map(|outcome| outcome.text));
        it.text("dmarc", authentication.dmarc.map(|outcome| outcome.text));
    });
    fate(it, mail);
    it.number("confidence_id", mail.confidence.map(|_| if mail.is_sure() { 3 } else { 2 }));
    it.object("policy", |it| it.text("name", mail.policy.and_then(|policy| policy.name)));
    things::malware(it, mail.attachments.iter().filter_map(|file| file.malware));
    it.flag("is_alert", true);
    it.text("message", summary(mail).as_deref());

    told.add("P1Sender", mail.envelope_sender);
    told.add("P2Sender", mail.sender);
    told.add("Subject", mail.subject);
    told.add("InternetMessageId", mail.message_id);
    told.add("NetworkMessageId", mail.network_message_id);
    if let Event::Mail(record) = event {
        let all = |count: usize| (count > 0 && count == distinct(&mail.recipients)).then_some(());
        told.add("Recipients", record.own.recipients.get().and_then(|list| all(list.items.len())));
        let whole = |source: &str| mail.source.is_some_and(|host| host.text == source).then_some(());
        told.add("SenderIp", record.own.sender_ip.get().and_then(|ip| whole(ip.as_str())));
    }
}

/// How many different ones: a list that repeats one is not told in full by one that doesn't.
fn distinct(texts: &[&str]) -> usize {
    texts.iter().collect::<std::collections::HashSet<_>>().len()
}

fn direction(it: &mut Object<'_>, direction: Option<Word<'_, Directionality>>) {
    let number = match direction.map(|direction| direction.known) {
        None | Some(Some(Directionality::Unknown)) => 0,
        Some(Some(Directionality::Inbound)) => 1,
        Some(Some(Directionality::Outbound)) => 2,
        Some(Some(Directionality::IntraOrg)) => 3,
        Some(None) => 99,
    };
    it.number("direction_id", number);
    if number == 99 {
        it.text("direction", direction.map(|direction| direction.text));
    }
}

/// What became of the message: where it lay at the time of the event, else what was done at delivery.
fn fate(it: &mut Object<'_>, mail: &MailFacts<'_>) {
    let delivery = mail.delivery.and_then(|delivery| delivery.known);
    let disposition = match mail.latest_location.and_then(|location| location.known) {
        Some(DeliveryLocation::Quarantine) => Some(3),
        Some(DeliveryLocation::DeletedFolder) => Some(5),
        Some(DeliveryLocation::Dropped) => Some(6),
        _ => match delivery {
            Some(DeliveryAction::Delivered) => Some(1),
            Some(DeliveryAction::Blocked) => Some(2),
            Some(DeliveryAction::DeliveredAsSpam) => Some(18),
            Some(DeliveryAction::Replaced) => Some(11),
            Some(DeliveryAction::Unknown) => Some(0),
            None => mail.delivery.map(|_| 99),
        },
    };
    let action = match (disposition, delivery) {
        (Some(2 | 3 | 5 | 6), _) => Some(2),
        (_, Some(DeliveryAction::Delivered | DeliveryAction::DeliveredAsSpam)) => Some(1),
        (_, Some(DeliveryAction::Replaced)) => Some(4),
        (_, Some(DeliveryAction::Blocked)) => Some(2),
        (_, Some(DeliveryAction::Unknown)) => Some(0),
        (_, None) => mail.delivery.map(|_| 99),
    };
    it.number("action_id", action);
    it.number("disposition_id", disposition);
    if disposition == Some(99) {
        it.text("disposition", mail.delivery.map(|delivery| delivery.text));
    }
    if action == Some(99) {
        it.text("action", mail.delivery.map(|delivery| delivery.text));
    }
    it.text("status_detail", mail.delivery.map(|delivery| delivery.text));
}

/// `Phish: URL detonation`.
fn summary(mail: &MailFacts<'_>) -> Option<String> {
    match (mail.verdict.map(|verdict| verdict.text), mail.method.map(|method| method.text)) {
        (Some(verdict), Some(method)) => Some(format!("{verdict}: {method}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}
