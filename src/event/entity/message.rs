//! Entities about mail.

use serde_json::{Value, json};

use super::EntityOf;
use super::thing::{File, Url};
use crate::event::field::{Either, Field, Form, Many, Model};
use crate::event::fields::fields;
use crate::event::json;
use crate::event::mail::{AuthDetail, SystemOverride};
use crate::event::name::{DeliveryAction, DeliveryLocation, Directionality, Named, PhishConfidence, RiskLevel};
use crate::event::object::Object;
use crate::event::reader::Reader;
use crate::event::schema::Shapes;
use crate::event::text::{Flag, Number, Text};
use crate::event::time::Stamp;

fields! {
    /// A message in one recipient's mailbox.
    MailMessage {
        files: Many<EntityOf<File>> = "Files";
        recipient: Text = "Recipient";
        /// Documented as entities, seen as strings.
        urls: Many<Either<Text, EntityOf<Url>>> = "Urls";
        threats: Many<Text> = "Threats";
        sender: Text = "Sender";
        /// The sender on the envelope.
        p1_sender: Text = "P1Sender";
        p1_sender_domain: Text = "P1SenderDomain";
        sender_ip: Text = "SenderIP";
        /// The sender in the `From` header.
        p2_sender: Text = "P2Sender";
        p2_sender_display_name: Text = "P2SenderDisplayName";
        p2_sender_domain: Text = "P2SenderDomain";
        received_date: Stamp = "ReceivedDate";
        network_message_id: Text = "NetworkMessageId";
        internet_message_id: Text = "InternetMessageId";
        subject: Text = "Subject";
        antispam_direction: Named<Directionality> = "AntispamDirection";
        delivery_action: Named<DeliveryAction> = "DeliveryAction";
        threat_detection_methods: Many<Text> = "ThreatDetectionMethods";
        language: Text = "Language";
        delivery_location: Named<DeliveryLocation> = "DeliveryLocation";
        original_delivery_location: Named<DeliveryLocation> = "OriginalDeliveryLocation";
        phish_confidence_level: Named<PhishConfidence> = "PhishConfidenceLevel";
        additional_actions_and_results: Many<Text> = "AdditionalActionsAndResults";
        auth_details: Many<Object<AuthDetail>> = "AuthDetails";
        system_overrides: Many<Object<SystemOverride>> = "SystemOverrides";
        campaign_id: Text = "CampaignId";
        suspicious_recipients: Many<Text> = "SuspiciousRecipients";
        forwarded_recipients: Many<Text> = "ForwardedRecipients";
        forwarding_type: Text = "ForwardingType";
    }
}

fields! {
    /// Messages that are alike.
    MailCluster {
        /// May be fewer than `MailCount`.
        network_message_ids: Many<Text> = "NetworkMessageIds";
        /// Documented, never seen: the next three came in its place.
        count_by_delivery_status: Counts = "CountByDeliveryStatus";
        count_by_threat_type: Counts = "CountByThreatType";
        count_by_protection_status: Counts = "CountByProtectionStatus";
        count_by_delivery_location: Counts = "CountByDeliveryLocation";
        threats: Many<Text> = "Threats";
        query: Text = "Query";
        /// On the wire twice, in two styles.
        query_time: Stamp = "QueryTime";
        mail_count: Number = "MailCount";
        /// Misspelt on the wire.
        is_volume_anomaly: Flag = "IsVolumeAnamoly" | "IsVolumeAnomaly";
        cluster_source_identifier: Text = "ClusterSourceIdentifier";
        cluster_source_type: Text = "ClusterSourceType";
        cluster_query_start_time: Stamp = "ClusterQueryStartTime";
        cluster_query_end_time: Stamp = "ClusterQueryEndTime";
        cluster_group: Text = "ClusterGroup";
        cluster_by: Text = "ClusterBy";
        cluster_by_value: Text = "ClusterByValue";
        query_start_time: Stamp = "QueryStartTime";
    }
}

fields! {
    /// A mailbox.
    Mailbox {
        mailbox_primary_address: Text = "MailboxPrimaryAddress";
        display_name: Text = "DisplayName";
        upn: Text = "Upn";
        aad_id: Text = "AadId";
        risk_level: Named<RiskLevel> = "RiskLevel";
        external_directory_object_id: Text = "ExternalDirectoryObjectId";
    }
}

fields! {
    /// A message that somebody reported.
    SubmissionMail {
        submission_id: Text = "SubmissionId";
        submission_date: Stamp = "SubmissionDate";
        submitter: Text = "Submitter";
        network_message_id: Text = "NetworkMessageId";
        timestamp: Stamp = "Timestamp";
        recipient: Text = "Recipient";
        sender: Text = "Sender";
        sender_ip: Text = "SenderIp";
        subject: Text = "Subject";
        report_type: Text = "ReportType";
    }
}

/// Numbers by name. Documented as a list of strings, seen as an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Counts {
    /// Each name with its number; the names are open.
    ByName(Vec<(Text, Field<Number>)>),
    /// A list.
    Listed(Many<Text>),
}

impl Model for Counts {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "anyOf": [{ "type": "object", "additionalProperties": { "type": ["number", "null"] } }, { "type": "array" }] })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        if !json.starts_with('{') {
            return Many::read(json, reader).map(Counts::Listed);
        }
        let members = json::members(json, reader).ok()?;
        let mut counts = Vec::with_capacity(members.len());
        for member in members {
            let mut count = Field::default();
            crate::event::field::Slot::offer(&mut count, member.json, reader);
            counts.push((Text::read(&member.literal, reader)?, count));
        }
        Some(Counts::ByName(counts))
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Counts::Listed(list) => list.write(form, out),
            Counts::ByName(counts) => {
                out.push(b'{');
                for (at, (name, count)) in counts.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    name.write(Form::Wire, out);
                    out.push(b':');
                    crate::event::field::Slot::write(count, form, out);
                }
                out.push(b'}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_objects_or_lists() {
        for (json, clean) in [
            (r#"{"Phish":1,"Malware":"6","x":null,"y":{}}"#, r#"{"Phish":1,"Malware":6,"x":null,"y":{}}"#),
            (r#"["Phish: 1"]"#, r#"["Phish: 1"]"#),
            ("{}", "{}"),
        ] {
            let counts = Counts::read(json, &mut Reader::new()).unwrap();
            let written = |form| {
                let mut out = Vec::new();
                counts.write(form, &mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!((written(Form::Wire), written(Form::Clean)), (json.to_owned(), clean.to_owned()));
        }
    }
}
