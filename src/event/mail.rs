//! Type 28, ThreatIntelligence: a message that was found to be bad (`record-schemas.md` section 3).

use super::code::{Code, DetectionType, FileVerdict, Policy, PolicyAction};
use super::field::{Embedded, Many};
use super::fields::fields;
use super::hash::Hash;
use super::name::{
    AuthCheck, AuthResult, DeliveryAction, DeliveryLocation, DetectionTechnology, Directionality, Named, OverrideResult,
    OverrideSource, PhishConfidence, Verdict, YesNo,
};
use super::object::Object;
use super::text::Text;
use super::time::Stamp;

fields! {
    /// What a mail event has besides the common schema.
    Mail {
        attachment_data: Many<Object<Attachment>> = "AttachmentData";
        detection_type: Code<DetectionType> = "DetectionType";
        detection_method: Named<DetectionTechnology> = "DetectionMethod";
        /// The `Message-ID` header, angle brackets included.
        internet_message_id: Text = "InternetMessageId";
        /// Joins to [`super::UrlClick::source_id`] and to the mail entities of investigations.
        network_message_id: Text = "NetworkMessageId";
        /// The sender on the envelope; may be in VERP or PRVS form, or `<>`.
        p1_sender: Text = "P1Sender";
        /// The sender in the `From` header.
        p2_sender: Text = "P2Sender";
        policy: Code<Policy> = "Policy";
        policy_action: Code<PolicyAction> = "PolicyAction";
        recipients: Many<Text> = "Recipients";
        sender_ip: Text = "SenderIp";
        subject: Text = "Subject";
        verdict: Named<Verdict> = "Verdict";
        /// When the message was received or sent.
        message_time: Stamp = "MessageTime";
        event_deep_link: Text = "EventDeepLink";
        delivery_action: Named<DeliveryAction> = "DeliveryAction";
        original_delivery_location: Named<DeliveryLocation> = "OriginalDeliveryLocation";
        /// Where it lay at the time of the event.
        latest_delivery_location: Named<DeliveryLocation> = "LatestDeliveryLocation";
        directionality: Named<Directionality> = "Directionality";
        /// Threat, then technology in brackets. Documented as a string, seen as an array.
        threats_and_detection_tech: Embedded<Many<Text>> = "ThreatsAndDetectionTech";
        /// Action, then result in brackets, which may hold `: `.
        additional_actions_and_results: Many<Text> = "AdditionalActionsAndResults";
        connector: Text = "Connector" | "Connectors";
        auth_details: Many<Object<AuthDetail>> = "AuthDetails";
        system_overrides: Many<Object<SystemOverride>> = "SystemOverrides";
        phish_confidence_level: Named<PhishConfidence> = "PhishConfidenceLevel";
    }
}

fields! {
    /// A file attached to a message.
    Attachment {
        file_name: Text = "FileName";
        /// Several types are joined by `;`.
        file_type: Text = "FileType";
        file_verdict: Code<FileVerdict> = "FileVerdict";
        /// `Malicious Payload` when no name is known.
        malware_family: Text = "MalwareFamily";
        sha256: Hash = "SHA256";
    }
}

fields! {
    /// One check of the sender.
    AuthDetail {
        name: Named<AuthCheck> = "Name";
        value: Named<AuthResult> = "Value";
    }
}

fields! {
    /// A setting of the tenant or the user that bears on delivery.
    SystemOverride {
        details: Text = "Details";
        /// Whether this override decided: a word, not a truth value.
        final_override: Named<YesNo> = "FinalOverride";
        result: Named<OverrideResult> = "Result";
        source: Named<OverrideSource> = "Source";
    }
}
