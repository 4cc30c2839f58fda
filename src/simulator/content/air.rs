//! Record type 64: a change of an automated investigation, with JSON inside texts (`record-schemas.md` section 6).

use std::time::Duration;

use chrono::{Datelike, Timelike};

use super::super::dice::Dice;
use super::fields::{Fields, array, quoted, texts};
use super::mail::{checks, upper_hex};
use super::records::{Head, Origin, address, before, common, person, plain, precise};
use crate::domain::Time;

/// Kind, its form in a URN (cut to 24 characters), and the words of its name.
const KINDS: [(&str, &str, &str); 5] = [
    ("ZappedUrlInvestigation", "ZappedUrlInvestigation", "Mail with malicious urls is zapped"),
    ("ZappedFileInvestigation", "ZappedFileInvestigation", "Mail with malicious file is zapped"),
    ("ZappedMalwareInvestigation", "ZappedMalwareInvestigati", "Mail with Malware is zapped"),
    ("UrlVerdictChangeInvestigation", "UrlVerdictChangeInvestig", "Clicked url verdict changed to malicious"),
    ("SubmissionInvestigation", "SubmissionInvestigation", "Mail reported by user as phish"),
];

const STATUSES: [&str; 9] = [
    "Investigation Started",
    "Running",
    "Pending Action",
    "Remediated",
    "Threats Found",
    "No threats found",
    "Failed",
    "Terminated by System",
    "Terminated By User",
];

const NOT_SET: &str = "0001-01-01T00:00:00";

/// The parts that one investigation repeats in several places.
struct Case {
    urn: String,
    user: String,
    alert: String,
    started: Time,
    updated: Time,
}

pub(super) fn record(origin: &Origin<'_>, dice: &mut Dice) -> Fields {
    let created = before(origin.available, Duration::from_secs(60 * 60), dice);
    let updated = before(created, Duration::from_secs(20), dice);
    let started = before(updated, Duration::from_secs(3 * 3600), dice);
    let (kind, short, words) = dice.pick(&KINDS);
    let urn = format!("urn:{short}:{:016x}{:016x}", dice.roll(), dice.roll());
    let case = Case { urn, user: person(dice), alert: dice.guid(), started, updated };
    let status = dice.pick(&STATUSES);
    let open = status == "Investigation Started" || status == "Running";
    let head = Head {
        operation: "AirInvestigationData",
        record_type: "64".to_owned(),
        user_key: "AirInvestigation",
        user_type: "4",
        workload: "AirInvestigation",
        user: "AirInvestigation",
        created,
    };
    let mut fields = common(origin, head).text("ObjectId", origin.id);
    if !open {
        let count = dice.below(3);
        let actions: Vec<String> = (0..count).map(|_| action(origin, &case, dice)).collect();
        // Usually each action is a text; some collectors saw objects.
        let actions = if dice.chance(0.8) { array(actions.iter().map(|a| quoted(a))) } else { array(actions) };
        fields = fields.json("Actions", actions);
    }
    fields = fields
        .text("Data", data(origin, &case, dice))
        .text("DeepLinkUrl", format!("https://security.microsoft.com/mtp-investigation/{}", case.urn))
        .text("EndTimeUtc", if open { NOT_SET.to_owned() } else { plain(updated) })
        .text("InvestigationId", &case.urn)
        .text("InvestigationName", format!("{words} - {}", case.urn))
        .text("InvestigationType", kind)
        .text("LastUpdateTimeUtc", plain(updated))
        .text("StartTimeUtc", plain(started))
        .text("Status", status);
    let running = updated.since(started).as_secs();
    match dice.below(4) {
        0 if open => fields,
        1 => fields.text("RunningTime", running.to_string()),
        _ => fields.number("RunningTime", running),
    }
}

fn action(origin: &Origin<'_>, case: &Case, dice: &mut Dice) -> String {
    if dice.chance(0.1) {
        return Fields::new().text("$id", "1").text("ActionId", format!("urn:EmailZapper:{:032x}", dice.roll())).render(0);
    }
    Fields::new()
        .text("$id", "1")
        .text("ActionId", format!("urn:EmailZapper:{:016x}{:016x}", dice.roll(), dice.roll()))
        .text("InvestigationId", &case.urn)
        .text("ActionApproval", dice.pick(&["None", "Approved"]))
        .text("ActionType", "EmailRemediation")
        .text("ActionStatus", dice.pick(&["Pending", "Running", "Completed", "Complete", "Failed", "Skipped", "Cancelled"]))
        .json("Entities", array([message(2, case, dice), cluster(3, case, dice)]))
        .json("RelatedAlertIds", texts(&[&case.alert]))
        .text("StartTimeUtc", plain(case.started))
        .text("LastUpdateTimeUtc", precise(case.updated, dice))
        .text("TimestampUtc", plain(case.started))
        .text("BulkName", "Mail with malicious urls is zapped")
        .json("ResourceIdentifiers", array([resource("99", origin)]))
        .text("PendingType", "User")
        .text("LogCreationTime", precise(case.updated, dice))
        .text("MachineName", "MADEUP01BG405")
        .text("Description", "Made-up text: remove the listed messages from mailboxes.")
        .render(0)
}

fn resource(reference: &str, origin: &Origin<'_>) -> String {
    Fields::new().text("$id", reference).text("AadTenantId", origin.tenant).text("Type", "AAD").render(0)
}

/// The alert inside `Data`.
fn data(origin: &Origin<'_>, case: &Case, dice: &mut Dice) -> String {
    let investigation = Fields::new()
        .text("$id", "1")
        .text("Id", &case.urn)
        .text("InvestigationStatus", dice.pick(&["Running", "Pending", "Benign", "Terminated"]));
    let link = Fields::new()
        .text("Href", format!("https://security.microsoft.com/alerts/fa{}", case.alert))
        .json("Category", "null")
        .text("Label", "alert")
        .text("Type", "webLink");
    let mut entities = vec![mailbox(3, case, dice), message(4, case, dice)];
    if dice.chance(0.6) {
        entities.push(cluster(5, case, dice));
    }
    if dice.chance(0.4) {
        entities.push(Fields::new().text("$id", "6").text("Address", address(dice)).text("Type", "ip").render(0));
    }
    if dice.chance(0.1) {
        // `"RecordType":28` two texts deep: no decoder may take it for the record's own.
        entities.push(Fields::new().text("$id", "7").text("Type", "brand-new-kind").number("RecordType", 28).render(0));
    }
    let mut fields = Fields::new()
        .text("Version", "3.0")
        .text("VendorName", "Microsoft")
        .text("ProviderName", "OATP")
        .text("AlertType", dice.guid())
        .text("StartTimeUtc", precise(case.started, dice))
        .text("EndTimeUtc", precise(case.started, dice))
        .text("TimeGenerated", precise(case.started, dice))
        .text("ProcessingEndTime", precise(case.updated, dice))
        .json("Status", dice.pick(&["\"InProgress\"", "\"New\"", "\"Resolved\"", "1"]))
        .text("Severity", dice.pick(&["Informational", "Low", "High"]))
        .text("ConfidenceLevel", "Unknown")
        .json("ConfidenceScore", dice.pick(&["1.0", "1"]))
        .json("IsIncident", "false")
        .text("ProviderAlertId", &case.alert);
    for key in ["SystemAlertId", "AzureResourceId", "WorkspaceId", "WorkspaceSubscriptionId", "WorkspaceResourceGroup", "AgentId"]
    {
        fields = fields.json(key, "null");
    }
    fields
        .text("CorrelationKey", dice.guid())
        .json("Investigations", array([investigation.render(0)]))
        .json("InvestigationIds", texts(&[&case.urn]))
        .text("Intent", "Probing")
        .json("ResourceIdentifiers", array([resource("2", origin)]))
        .text("AlertDisplayName", "Email messages containing malicious URL removed after delivery\u{200b}")
        .text("Description", "Made-up alert description -V1.0.0.3")
        .json("ExtendedLinks", array([link.render(0)]))
        .json("Metadata", r#"{"CustomApps":null,"GenericInfo":null}"#)
        .json("Entities", array(entities))
        .text("LogCreationTime", precise(case.updated, dice))
        .text("MachineName", "MADEUP01BG405")
        .text("SourceTemplateType", "Threat_Single")
        .text("Category", "ThreatManagement")
        .text("SourceAlertType", "System")
        .render(0)
}

fn mailbox(reference: u32, case: &Case, dice: &mut Dice) -> String {
    Fields::new()
        .text("$id", reference.to_string())
        .text("MailboxPrimaryAddress", &case.user)
        .text("DisplayName", "Alex")
        .text("Upn", &case.user)
        .text("AadId", dice.guid())
        .text("RiskLevel", dice.pick(&["None", "Low"]))
        .text("Type", "mailbox")
        .text("Urn", format!("urn:UserEntity:{:016x}{:016x}", dice.roll(), dice.roll()))
        .text("Source", "OATP")
        .text("FirstSeen", NOT_SET)
        .render(0)
}

fn message(reference: u32, case: &Case, dice: &mut Dice) -> String {
    let hash = Fields::new()
        .text("$id", "21")
        .text("Algorithm", "SHA256")
        .text("Value", upper_hex(&dice.bytes::<32>()))
        .text("Type", "filehash");
    let file = Fields::new()
        .text("$id", "20")
        .text("Name", "returnLabel.pdf")
        .json("FileHashes", array([hash.render(0)]))
        .text("Type", dice.pick(&["file", "file", "File"]))
        .json("MalwareFamily", dice.pick(&["null", "\"\"", "\"Malicious Payload\""]));
    Fields::new()
        .text("$id", reference.to_string())
        .json("Files", array([file.render(0)]))
        .text("Recipient", &case.user)
        .json("Urls", texts(&["https://fabrikam.com/", "hxxps://fabrikam.com/app?id=1&hl=en"]))
        .json("Threats", texts(&["ZapPhish", "HighConfPhish"]))
        .text("Sender", "sender@fabrikam.com")
        .text("P1Sender", "p1sender@fabrikam.com")
        .text("P1SenderDomain", "fabrikam.com")
        .text("SenderIP", address(dice))
        .text("P2Sender", "sender@fabrikam.com")
        .text("P2SenderDisplayName", "Fabrikam Billing")
        .text("P2SenderDomain", "fabrikam.com")
        .text("ReceivedDate", plain(case.started))
        .text("NetworkMessageId", dice.guid())
        .text("InternetMessageId", "<made-up-air@mail.fabrikam.com>")
        .text("Subject", "Action required")
        .text("AntispamDirection", dice.pick(&["Inbound", "Intraorg"]))
        .text("DeliveryAction", dice.pick(&["Blocked", "DeliveredAsSpam"]))
        .json("ThreatDetectionMethods", texts(&["UrlReputation"]))
        .text("Language", dice.pick(&["en", "fr", "de"]))
        .text("DeliveryLocation", "Quarantine")
        .text("OriginalDeliveryLocation", "Inbox")
        .text("PhishConfidenceLevel", "High")
        .json("AuthDetails", checks(dice))
        .json("SystemOverrides", "[]")
        .text("Type", dice.pick(&["mailMessage", "mailMessage", "mail-message"]))
        .text("Source", "OATP")
        .text("FirstSeen", plain(case.started))
        .render(0)
}

/// A mail cluster, with its two `QueryTime`s (`record-schemas.md` section 6.5).
fn cluster(reference: u32, case: &Case, dice: &mut Dice) -> String {
    let time = precise(case.updated, dice);
    let count = dice.between(1, 90);
    Fields::new()
        .text("$id", reference.to_string())
        .json("NetworkMessageIds", texts(&[&dice.guid()]))
        .json("CountByThreatType", format!(r#"{{"HighConfPhish":{count},"Phish":0,"Malware":0,"Spam":0}}"#))
        .json("CountByProtectionStatus", format!(r#"{{"Blocked":{count}}}"#))
        .json("CountByDeliveryLocation", format!(r#"{{"Quarantine":{count}}}"#))
        .text("Query", "( (( (BodyFingerprintBin1:\"2929356879\") ) AND ( (ContentType: 1) )))")
        .text("QueryTime", &time)
        .number("MailCount", count)
        .json("IsVolumeAnamoly", dice.pick(&["false", "true"]))
        .text("ClusterSourceType", "Similarity")
        .text("ClusterQueryEndTime", &time)
        .text("Type", "mailCluster")
        .text("ClusterBy", "BodyFingerprintBin1;ContentType")
        .text("QueryTime", us_style(case.updated))
        .text("Source", "OATP")
        .text("FirstSeen", plain(case.updated))
        .render(0)
}

/// `3/1/2026 1:31:45 PM`
fn us_style(time: Time) -> String {
    let t = time.utc();
    let (afternoon, hour) = t.hour12();
    let half = if afternoon { "PM" } else { "AM" };
    format!("{}/{}/{} {hour}:{:02}:{:02} {half}", t.month(), t.day(), t.year(), t.minute(), t.second())
}
