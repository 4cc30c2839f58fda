//! Fields that records of other types share with the four: submissions (29), alerts (40), quarantine (65) and whatever else
//! tells of a message or an alert (`record-schemas.md` section 8). Their other fields are kept as they are.

use super::field::{Any, Either, Embedded, Many, OneOrMany};
use super::fields::fields;
use super::name::{Named, Severity};
use super::object::Object;
use super::text::Text;

fields! {
    /// What a record of another type may have besides the common schema.
    Neighbour open {
        network_message_id: Text = "NetworkMessageId";
        internet_message_id: Text = "InternetMessageId";
        subject: Text = "Subject";
        /// The sender on the envelope.
        p1_sender: Text = "P1Sender";
        /// The sender in the `From` header.
        p2_sender: Text = "P2Sender";
        recipients: Many<Text> = "Recipients";
        sender_ip: Text = "SenderIP";
        /// Exchange's name for `ClientIP`.
        client_ip_address: Text = "ClientIPAddress";
        /// Entra's name for `ClientIP`.
        actor_ip_address: Text = "ActorIpAddress";
        event_deep_link: Text = "EventDeepLink";
        /// Alerts: joins to the `ProviderAlertId` of investigations.
        alert_id: Text = "AlertId";
        /// Alerts: the name of the policy.
        name: Text = "Name";
        policy_id: Text = "PolicyId";
        severity: Named<Severity> = "Severity";
        category: Text = "Category";
        comments: Text = "Comments";
        /// Alerts: what was found, a JSON text. Other records have anything here.
        data: Either<Embedded<Box<Object<AlertData>>>, Any> = "Data";
    }
}

fields! {
    /// What the text of an alert says of a message, under names of a few letters that nobody documents.
    AlertData open {
        /// The `Message-ID` header.
        imsgid: Text = "imsgid";
        /// The network id of the message.
        aii: Text = "aii";
        /// The subject.
        ms: Text = "ms";
        /// The subject, where `ms` is missing.
        von: Text = "von";
        /// Recipients, with `,` or `;` between them.
        trc: OneOrMany<Text> = "trc";
        /// Recipients, where `trc` is missing.
        to: OneOrMany<Text> = "to";
        /// The sender.
        tsd: Text = "tsd";
        /// The sender, where `tsd` is missing.
        mfrm: Text = "mfrm";
    }
}
