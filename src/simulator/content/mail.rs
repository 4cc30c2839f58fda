//! Record type 28: what Defender found in a message (`record-schemas.md` section 3).

use std::fmt::Write;
use std::time::Duration;

use super::super::dice::Dice;
use super::fields::{Fields, array, quoted, texts};
use super::records::{Head, OUTSIDE, Origin, address, before, common, person, plain};

/// Threat, its delivery and the technologies that may have found it.
struct Threat {
    verdict: &'static str,
    view: &'static str,
    methods: &'static [&'static str],
    /// As numbers and as the names seen on the wire.
    policies: &'static [&'static str],
}

const THREATS: [Threat; 3] = [
    Threat {
        verdict: "Malware",
        view: "Malware",
        methods: &["File detonation", "File reputation", "Antimalware protection", "Anti-malware engine"],
        policies: &["\"SafeAttachements\"", "\"AntiMalware\"", "9", "10", "12"],
    },
    Threat {
        verdict: "Phish",
        view: "Phish",
        methods: &[
            "URL detonation reputation",
            "URL malicious reputation",
            "Spoof external domain",
            "Impersonation user",
            "Mailbox intelligence impersonation",
            "LLM content analysis",
            "Advanced filter",
        ],
        policies: &["\"HighConfidencePhish\"", "\"Phish\"", "\"Spoof\"", "4", "6", "7", "13", "15", "16"],
    },
    Threat {
        verdict: "Spam",
        view: "Spam",
        methods: &["Bulk", "Fingerprint matching", "General filter", "Mail bombing"],
        policies: &["1", "2", "3", "17"],
    },
];

const SUBJECTS: [&str; 12] = [
    "Refund for order 0417",
    "Action required: password expires today",
    "shared a document with you",
    "Gehaltsabrechnung März \u{2013} bitte prüfen",
    "ordre de virement \u{2013} été",
    "請求書のご送付",
    "90% off, today only",
    "gift cards",
    "\u{1f4b0} You have won \u{1f4b0}",
    "RE: RE: RE: \"RecordType\":47",
    "C:\\Users\\Public\\invoice.lnk",
    "=?utf-8?Q?Tab_in=09subject?=\t",
];

/// Name, type, and whether it is bad.
const FILES: [(&str, &str, bool); 8] = [
    ("invoice-0417.pdf.exe", "exe;zip", true),
    ("statement.html", "html", true),
    ("late.docm", "docm", true),
    ("archive.7z", "7z;exe", true),
    ("logo.png", "png", false),
    ("readme.txt", "txt;text", false),
    ("résumé.pdf", "pdf", false),
    ("forwarded.eml", "eml;mime", false),
];

pub(super) fn record(origin: &Origin<'_>, dice: &mut Dice) -> Fields {
    let threat = &THREATS[usize::try_from(dice.below(THREATS.len() as u64)).unwrap_or(0)];
    let created = before(origin.available, Duration::from_secs(90 * 60), dice);
    let received = before(created, Duration::from_secs(300), dice);
    let message = dice.guid();
    let object = format!("{message}{}", dice.between(1 << 62, u64::MAX));
    let outside = dice.pick(&OUTSIDE);
    let method = dice.pick(threat.methods);
    let head = Head {
        operation: "TIMailData",
        record_type: "28".to_owned(),
        user_key: "ThreatIntel",
        user_type: "4",
        workload: "ThreatIntelligence",
        user: "ThreatIntel",
        created,
    };
    let (action, original, latest) = dice.pick(&[
        ("Blocked", "Quarantine", "Quarantine"),
        ("Delivered", "Inbox", "Inbox"),
        ("Delivered", "Inbox", "Quarantine"),
        ("DeliveredAsSpam", "JunkFolder", "JunkFolder"),
        ("Delivered", "JunkFolder", "JunkFolder"),
    ]);
    let mut fields = common(origin, head)
        .text("ObjectId", if dice.chance(0.8) { &object } else { &message })
        .text("DeliveryAction", action)
        .text("DetectionMethod", method)
        .text("DetectionType", dice.pick(&["Inline", "Inline", "Inline", "Delayed", "ZAP"]))
        .text("Directionality", dice.pick(&["Inbound", "Inbound", "Inbound", "Outbound", "Intraorg", "Intra-org"]))
        .text(
            "EventDeepLink",
            format!(
                "https://security.microsoft.com/?hash=/threatexplorer?messageParams={message},{object}-1,{d}T00:00:00,{d}T23:59:59&view={}",
                threat.view,
                d = &plain(received)[..10]
            ),
        )
        .text("InternetMessageId", format!("<{:x}@mail.{outside}>", dice.roll()))
        .text("LatestDeliveryLocation", latest)
        .text("MessageTime", plain(received))
        .text("NetworkMessageId", &message)
        .text("OriginalDeliveryLocation", original)
        .text("P1Sender", sender(dice, outside))
        .text("P2Sender", format!("billing@{outside}"))
        .json("Recipients", recipients(dice))
        .text("SenderIp", address(dice))
        .text("Subject", dice.pick(&SUBJECTS))
        .text("Verdict", threat.verdict);
    // Documented as required, and missing from real records (schema-disagreements.md, 28).
    if dice.chance(0.8) {
        fields = fields.json("Policy", dice.pick(threat.policies)).json("PolicyAction", policy_action(dice));
    }
    if threat.verdict == "Phish" {
        fields = fields.text("PhishConfidenceLevel", dice.pick(&["High", "Normal"]));
    }
    fields.all(details(threat, method, dice))
}

fn details(threat: &Threat, method: &str, dice: &mut Dice) -> Fields {
    let mut fields = Fields::new();
    if threat.verdict == "Malware" || dice.chance(0.2) {
        fields = fields.json("AttachmentData", attachments(dice));
    }
    if dice.chance(0.9) {
        fields = fields.json("AuthDetails", checks(dice));
    }
    if dice.chance(0.7) {
        let zap = "Zap: [Success: Message moved to quarantine]";
        let actions = ["OriginalDelivery: [N/A]", zap];
        fields = fields.json("AdditionalActionsAndResults", texts(&actions[..1 + usize::from(dice.chance(0.4))]));
    }
    if dice.chance(0.4) {
        fields = fields.text("Connector", format!("{}: [Inbound from fabrikam gateway]", dice.guid()));
    }
    let found = format!("{}: [{method}]", threat.verdict);
    match dice.below(10) {
        0 => {}
        1 => fields = fields.text("ThreatsAndDetectionTech", texts(&[&found, "Spam: [Advanced filter]"])),
        _ => fields = fields.json("ThreatsAndDetectionTech", texts(&[&found])),
    }
    match dice.below(4) {
        0 => fields = fields.json("SystemOverrides", "[]"),
        1 => fields = fields.json("SystemOverrides", array([overrule(dice)])),
        _ => {}
    }
    fields
}

fn sender(dice: &mut Dice, outside: &str) -> String {
    match dice.below(6) {
        0 => format!("prvs=0000000000=billing@{outside}"),
        1 => "<>".to_owned(),
        _ => format!("p1.{}@{outside}", dice.below(1000)),
    }
}

fn recipients(dice: &mut Dice) -> String {
    let count = if dice.chance(0.9) { 1 } else { dice.between(2, 5) };
    array((0..count).map(|_| quoted(&person(dice))))
}

fn policy_action(dice: &mut Dice) -> &'static str {
    dice.pick(&["\"Quarantine\"", "\"MoveToJmf\"", "0", "4", "5", "6"])
}

fn attachments(dice: &mut Dice) -> String {
    let count = dice.between(1, 4);
    array((0..count).map(|_| {
        let (name, kind, bad) = dice.pick(&FILES);
        let verdict = if bad { dice.pick(&["1", "1", "1", "-1", "-2", "-3"]) } else { dice.pick(&["0", "0", "\"0\""]) };
        let mut file = Fields::new().text("FileName", name).text("FileType", kind).json("FileVerdict", verdict);
        if bad {
            file = file.text("MalwareFamily", dice.pick(&["Malicious Payload", "HTML/Phish.VS!MSR", "Win32/MadeUp.A!msr"]));
        }
        file.text("SHA256", upper_hex(&dice.bytes::<32>())).render(0)
    }))
}

/// Upper-case hexadecimal, as type 28 and AIR write hashes (`record-schemas.md` section 5.3).
pub(super) fn upper_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02X}").expect("writing to a string can't fail");
    }
    out
}

/// `AuthDetails`, as seen on the wire (`record-schemas.md` section 3.4).
pub(super) fn checks(dice: &mut Dice) -> String {
    let values = ["Pass", "Fail", "None", "Best guess pass", "Permanent error"];
    let mut list: Vec<String> = ["SPF", "DKIM", "DMARC"]
        .iter()
        .map(|name| Fields::new().text("Name", name).text("Value", dice.pick(&values)).render(0))
        .collect();
    if dice.chance(0.9) {
        list.push(Fields::new().text("Name", "Comp Auth").text("Value", dice.pick(&["pass", "fail", "none"])).render(0));
    }
    array(list)
}

fn overrule(dice: &mut Dice) -> String {
    Fields::new()
        .text("Details", dice.pick(&["Antimalware policy block by file type", "Exchange transport rule", "Blocked sender"]))
        .text("FinalOverride", dice.pick(&["No", "Yes"]))
        .text("Result", dice.pick(&["Block", "Allow"]))
        .text("Source", dice.pick(&["Tenant", "User"]))
        .render(0)
}
