//! Enums that Microsoft writes as names (`enums.csv`). All of them are open: the lists were collected from documentation
//! and samples, the wire has more, and the spelling differs between record types and years. The text always stays.

use std::marker::PhantomData;

use serde_json::Value;

use super::field::{Form, Model};
use super::json;
use super::reader::Reader;
use super::schema::{self, Shapes};
use super::text::Text;

/// An enum of names.
pub trait Names: Copy + Sized + 'static {
    /// Each value with its names; the first is the usual one.
    const ALL: &'static [(Self, &'static str)];
}

/// The value of an open enum of names.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<E> {
    /// The name as the record has it.
    pub text: Text,
    of: PhantomData<E>,
}

impl<E: Names> Named<E> {
    /// The listed value, compared without case, spaces, hyphens and underscores.
    pub fn known(&self) -> Option<E> {
        let text = self.text.as_str().trim();
        E::ALL.iter().find(|(_, name)| json::same_name(name, text)).map(|(value, _)| *value)
    }
}

impl<E: Names> Model for Named<E> {
    fn shape(_shapes: &mut Shapes) -> Value {
        schema::named::<E>()
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        Text::read(json, reader).map(|text| Named { text, of: PhantomData })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        self.text.write(form, out);
    }

    fn same_as(&self, other: &Self) -> bool {
        self.text.same_as(&other.text)
    }
}

/// Declares an enum of names: its variants with the usual name and others.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal $(| $also:literal)*;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`")]
                $variant,
            )*
        }

        impl Names for $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $text), $((Self::$variant, $also),)*)*];
        }
    };
}

names! {
    /// What a message was found to be.
    Verdict {
        Malware = "Malware";
        Phish = "Phish";
        Spam = "Spam";
    }
}

names! {
    /// How a message was found out. 2021 said "Anti-malware engine"; file records say names of their own.
    DetectionTechnology {
        AdvancedFilter = "Advanced filter";
        AntimalwareProtection = "Antimalware protection" | "Anti-malware engine" | "AntiMalware";
        Bulk = "Bulk";
        Campaign = "Campaign";
        DomainReputation = "Domain reputation";
        FileDetonation = "File detonation";
        FileDetonationReputation = "File detonation reputation";
        FileReputation = "File reputation";
        FingerprintMatching = "Fingerprint matching";
        GeneralFilter = "General filter";
        ImpersonationBrand = "Impersonation brand";
        ImpersonationDomain = "Impersonation domain";
        ImpersonationUser = "Impersonation user";
        IpReputation = "IP reputation";
        LlmContentAnalysis = "LLM content analysis";
        MailBombing = "Mail bombing";
        MailboxIntelligenceImpersonation = "Mailbox intelligence impersonation";
        MixedAnalysisDetection = "Mixed analysis detection";
        SpoofDmarc = "Spoof DMARC";
        SpoofExternalDomain = "Spoof external domain";
        SpoofIntraOrg = "Spoof intra-org";
        UrlDetonation = "URL detonation";
        UrlDetonationReputation = "URL detonation reputation";
        UrlMaliciousReputation = "URL malicious reputation";
    }
}

names! {
    /// How sure the verdict "phish" is.
    PhishConfidence {
        Normal = "Normal";
        High = "High";
    }
}

names! {
    /// What was done with a message at delivery.
    DeliveryAction {
        Unknown = "Unknown";
        Delivered = "Delivered";
        DeliveredAsSpam = "DeliveredAsSpam";
        Blocked = "Blocked";
        Replaced = "Replaced";
    }
}

names! {
    /// Where a message lies.
    DeliveryLocation {
        Unknown = "Unknown";
        Inbox = "Inbox";
        JunkFolder = "JunkFolder";
        DeletedFolder = "DeletedFolder";
        Quarantine = "Quarantine";
        External = "External";
        Failed = "Failed";
        Dropped = "Dropped";
        Forwarded = "Forwarded";
    }
}

names! {
    /// Which way a message went.
    Directionality {
        Unknown = "Unknown";
        Inbound = "Inbound";
        Outbound = "Outbound";
        IntraOrg = "Intra-org";
    }
}

names! {
    /// A check of a message's sender.
    AuthCheck {
        Spf = "SPF";
        Dkim = "DKIM";
        Dmarc = "DMARC";
        CompAuth = "Comp Auth";
    }
}

names! {
    /// The outcome of a check of a message's sender.
    AuthResult {
        Pass = "Pass" | "True";
        Fail = "Fail" | "False";
        None = "None";
        BestGuessPass = "Best guess pass";
        PermanentError = "Permanent error";
    }
}

names! {
    /// Who configured an override.
    OverrideSource {
        Tenant = "Tenant";
        User = "User";
    }
}

names! {
    /// What an override does.
    OverrideResult {
        Block = "Block";
        Allow = "Allow";
    }
}

names! {
    /// A truth value in words.
    YesNo {
        No = "No";
        Yes = "Yes";
    }
}

names! {
    /// Where an investigation stands.
    InvestigationStatus {
        InvestigationStarted = "Investigation Started" | "Investigation was created";
        NoThreatsFound = "No threats found";
        TerminatedBySystem = "Terminated by System";
        PendingAction = "Pending Action" | "Pending Actions";
        ThreatsFound = "Threats Found";
        Remediated = "Remediated";
        Failed = "Failed";
        TerminatedByThrottling = "Terminated by throttling";
        TerminatedByUser = "Terminated By User";
        Running = "Running";
    }
}

names! {
    /// What an investigation looks into: the documented texts, none of which was ever seen, and the names on the wire.
    InvestigationType {
        UserReportedMessages = "User-Reported Messages" | "SubmissionInvestigation";
        ZappedMalware = "Zapped Malware" | "ZappedMalwareInvestigation";
        ZappedPhish = "Zapped Phish";
        ZappedUrl = "ZappedUrlInvestigation";
        ZappedFile = "ZappedFileInvestigation";
        ZappedEmail = "ZappedEmailInvestigation";
        UrlVerdictChange = "Url Verdict Change" | "UrlVerdictChangeInvestigation";
        Url = "UrlInvestigation";
    }
}

names! {
    /// Where an action stands.
    ActionStatus {
        Pending = "Pending";
        Running = "Running";
        WaitingOnResource = "Waiting on resource";
        Completed = "Completed" | "Complete";
        Failed = "Failed";
        Skipped = "Skipped";
        Cancelled = "Cancelled" | "Canceled";
    }
}

names! {
    /// Where an alert stands. 2019 had a number here.
    AlertStatus {
        New = "New";
        InProgress = "InProgress";
        Resolved = "Resolved";
    }
}

names! {
    /// How grave an alert is.
    Severity {
        Informational = "Informational";
        Low = "Low";
        Medium = "Medium";
        High = "High";
    }
}

names! {
    /// How exposed a mailbox is.
    RiskLevel {
        None = "None";
        Low = "Low";
        Medium = "Medium";
        High = "High";
    }
}

names! {
    /// What made a hash.
    HashAlgorithm {
        Unknown = "Unknown";
        Md5 = "MD5";
        Sha1 = "SHA1";
        Sha256 = "SHA256";
        Sha256Authenticode = "SHA256AC";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known<E: Names>(text: &str) -> Option<E> {
        Named::<E>::read(&json::quote(text), &mut Reader::new()).unwrap().known()
    }

    #[test]
    fn spelling_does_not_matter() {
        assert_eq!(known("Intraorg"), Some(Directionality::IntraOrg));
        assert_eq!(known("InBound"), Some(Directionality::Inbound));
        assert_eq!(known("pending actions"), Some(InvestigationStatus::PendingAction));
        assert_eq!(known("CompAuth"), Some(AuthCheck::CompAuth));
        assert_eq!(known::<Verdict>("Something else"), None);
    }

    /// Each documented or observed name is in the list of its enum.
    #[test]
    fn the_lists_have_every_collected_name() {
        const ENUMS: &str = include_str!("../../fixtures/events/enums.csv");
        fn lists<E: Names>(kind: &str) {
            let of_kind = |line: &&str| {
                let name = line.split(',').next().unwrap_or_default();
                name.split('_').next() == Some(kind)
            };
            let mut rows = 0;
            for line in ENUMS.lines().filter(of_kind) {
                let text = line.split(',').nth(1).unwrap();
                assert!(text.parse::<i64>().is_ok() || known::<E>(text).is_some(), "{line}");
                rows += 1;
            }
            assert!(rows > 0, "{kind} is in the table");
        }
        lists::<Verdict>("Verdict");
        lists::<DetectionTechnology>("DetectionTechnology");
        lists::<DetectionTechnology>("FileDetectionMethod");
        lists::<PhishConfidence>("PhishConfidenceLevel");
        lists::<DeliveryAction>("DeliveryAction");
        lists::<DeliveryLocation>("DeliveryLocation");
        lists::<Directionality>("Directionality");
        lists::<Directionality>("AntispamDirection");
        lists::<AuthCheck>("AuthDetailName");
        lists::<AuthResult>("AuthDetailValue");
        lists::<OverrideSource>("SystemOverrideSource");
        lists::<OverrideResult>("SystemOverrideResult");
        lists::<YesNo>("SystemOverrideFinalOverride");
        lists::<InvestigationStatus>("AirStatus");
        lists::<InvestigationType>("AirInvestigationType");
        lists::<ActionStatus>("AirActionStatus");
        lists::<AlertStatus>("AirAlertStatus");
        lists::<Severity>("AirAlertSeverity");
        lists::<RiskLevel>("AirMailboxRiskLevel");
        lists::<HashAlgorithm>("HashAlgorithm");
    }
}
