//! Records of every other workload: most of a blob, and full of texts that look like what a poller wants.

use std::time::Duration;

use super::super::dice::Dice;
use super::fields::{Fields, array, quoted, texts};
use super::records::{Head, Origin, address, before, common, person, plain};

/// Record type as JSON, workload, operation, extra fields.
type Pattern = (&'static str, &'static str, &'static str, fn(&mut Dice) -> Fields);

const TABLE: [Pattern; 16] = [
    ("20", "PowerBI", "ViewReport", power_bi),
    // Some Power BI records carry their numbers as text (`activity-api.md` section 12, row 14).
    ("\"20\"", "PowerBI", "ExportReport", power_bi),
    ("25", "MicrosoftTeams", "MessageCreatedHasLink", teams),
    ("25", "MicrosoftTeams", "MemberAdded", teams),
    ("18", "SecurityComplianceCenter", "Set-AntiPhishPolicy", cmdlet),
    ("40", "SecurityComplianceCenter", "AlertTriggered", alert),
    ("6", "OneDrive", "FileAccessed", file),
    ("50", "Exchange", "MailItemsAccessed", mailbox),
    ("2", "Exchange", "MoveToDeletedItems", mailbox),
    ("30", "MicrosoftFlow", "CreateFlow", nested),
    ("45", "PowerApps", "LaunchPowerApp", nested),
    ("65", "Quarantine", "QuarantineReleaseMessage", quarantine),
    ("29", "ThreatIntelligence", "AdminSubmissionSubmitted", nested),
    ("86", "AirInvestigation", "AirManualInvestigation", nested),
    ("98", "MicrosoftCloudAppSecurity", "MCASAlert", alert),
    // Microsoft's table lacks about a quarter of what one tenant saw (row 13).
    ("9417", "BrandNewWorkload", "SomethingHappened", nested),
];

/// How many patterns there are.
pub(super) const PATTERNS: usize = TABLE.len();

pub(super) fn record(pattern: usize, origin: &Origin<'_>, dice: &mut Dice) -> Fields {
    let (record_type, workload, operation, extra) = TABLE[pattern % PATTERNS];
    let user = person(dice);
    // Events may be days old when they come.
    let oldest = if dice.chance(0.02) { 5 * 86_400 } else { 90 * 60 };
    let head = Head {
        operation,
        record_type: record_type.to_owned(),
        user_key: &user,
        user_type: if record_type.starts_with('"') { "\"0\"" } else { "0" },
        workload,
        user: &user,
        created: before(origin.available, Duration::from_secs(oldest), dice),
    };
    let more = extra(dice);
    let fields = common(origin, head).text("ClientIP", address(dice)).text("ResultStatus", "Succeeded");
    // The decoys of `more` stand before the record's own type as often as after it.
    if dice.chance(0.5) { more.all(fields) } else { fields.all(more) }
}

/// An object that says it is a mail event, as JSON.
fn decoy() -> String {
    Fields::new().text("Id", "decoy").number("RecordType", 28).text("Workload", "ThreatIntelligence").render(0)
}

fn power_bi(dice: &mut Dice) -> Fields {
    Fields::new()
        .text("ReportName", "Who clicked what")
        .text("ReportId", dice.guid())
        .json("Sizes", array(["\"1e9\"", "12", "3.5E+2"]))
        .json("DataflowRefreshScheduleType", "null")
        .text("Activity", "\"RecordType\":28")
}

fn teams(dice: &mut Dice) -> Fields {
    Fields::new()
        .text("TeamGuid", format!("19:{:x}@thread.skype", dice.roll()))
        .json("MessageURLs", texts(&["https://fabrikam.com/?a=[{\"RecordType\":41}]"]))
        .json("Members", array([Fields::new().text("UPN", person(dice)).number("Role", 1).render(0)]))
        .text("ChatName", "\\\"}],{\"RecordType\":64,")
}

fn cmdlet(dice: &mut Dice) -> Fields {
    let list = array([
        Fields::new().text("Name", "Identity").text("Value", "Office365 AntiPhish Default").render(0),
        Fields::new().text("Name", "RecordType").text("Value", "28").render(0),
    ]);
    let fields = Fields::new().text("ObjectId", "Office365 AntiPhish Default");
    // A list by the documentation, a text in other people's fixtures (row 26).
    if dice.chance(0.5) { fields.json("Parameters", list) } else { fields.text("Parameters", list) }
}

fn alert(dice: &mut Dice) -> Fields {
    let data = Fields::new().text("etype", "User").number("RecordType", 47).text("trc", decoy()).render(0);
    Fields::new()
        .text("AlertId", dice.guid())
        .text("AlertType", "System")
        .json("AlertLinks", dice.pick(&["[]", r#"[{"AlertLinkHref":""}]"#]))
        .text("Name", "Email reported by user as malware or phish")
        .text("Severity", dice.pick(&["Low", "Medium", "High", "Informational"]))
        .text("Data", data)
        .json("AlertEntityId", quoted(&person(dice)))
}

fn file(dice: &mut Dice) -> Fields {
    Fields::new()
        .text("ObjectId", format!("https://contoso-my.sharepoint.com/personal/{:x}/Documents/Q&A (1).xlsx", dice.roll()))
        .text("SourceFileExtension", "xlsx")
        .json("AppAccessContext", Fields::new().text("UniqueTokenId", format!("{:x}", dice.roll())).render(0))
        .text("UserAgent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)")
}

fn mailbox(dice: &mut Dice) -> Fields {
    let count = dice.between(1, 12);
    let items = array((0..count).map(|_| {
        Fields::new()
            .text("InternetMessageId", format!("<{:x}@contoso.com>", dice.roll()))
            .number("SizeInBytes", dice.below(90_000))
            .render(0)
    }));
    Fields::new()
        .text("MailboxGuid", dice.guid())
        .number("LogonType", 0)
        .json("Folders", array([Fields::new().text("Path", "\\Inbox").json("FolderItems", items).render(0)]))
        .json("OperationProperties", array([decoy()]))
}

fn nested(dice: &mut Dice) -> Fields {
    let mut value = decoy();
    for _ in 0..dice.below(12) {
        value = if dice.chance(0.5) { array([value]) } else { Fields::new().json("RecordType", value).render(0) };
    }
    Fields::new().json("ExtendedProperties", value).text("AdditionalInfo", array([decoy()]))
}

fn quarantine(dice: &mut Dice) -> Fields {
    Fields::new()
        .number("RequestType", dice.below(6))
        .number("RequestSource", dice.below(3))
        .text("NetworkMessageId", dice.guid())
        .text("ReleaseTo", person(dice))
        .text("At", plain(crate::domain::Time(0)))
}
