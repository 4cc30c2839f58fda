//! Fields that records of other types share with the four: submissions (29), alerts (40), quarantine (65) and whatever else
//! tells of a message or an alert (`record-schemas.md` section 8). Their other fields are kept as they are.

use super::field::Many;
use super::fields::fields;
use super::name::{Named, Severity};
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
    }
}
