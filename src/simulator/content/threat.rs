//! Record types 41 and 47: a click on a link, a file found (`record-schemas.md` sections 4 and 5).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::dice::Dice;
use super::fields::Fields;
use super::mail::upper_hex;
use super::records::{Head, OUTSIDE, Origin, PEOPLE, address, before, common, person, plain};

/// Type 41.
pub(super) fn click(origin: &Origin<'_>, dice: &mut Dice) -> Fields {
    let created = before(origin.available, Duration::from_secs(90 * 60), dice);
    let clicked = before(created, Duration::from_secs(40 * 60), dice);
    let user = person(dice);
    let source = dice.guid();
    let head = Head {
        operation: "TIUrlClickData",
        record_type: "41".to_owned(),
        user_key: "ThreatIntel",
        user_type: "4",
        workload: "ThreatIntelligence",
        user: &user,
        created,
    };
    let mut fields = common(origin, head)
        .text("AppName", dice.pick(&["Mail", "Mail", "Mail", "Teams", "Office"]))
        .text("AppVersion", dice.pick(&["0.0.0000", "1.7.00.1234", "16.0.17328.20004"]))
        .text(
            "EventDeepLink",
            format!(
                "https://security.microsoft.com/threatexplorer?dltarget=Explorer&dlstorage=Url&viewid=Phish&query-Recipients={user}&query-NetworkMessageId={source}"
            ),
        )
        .text("SourceId", &source)
        .text("TimeOfClick", plain(clicked))
        .text("Url", url(dice));
    // Missing from the only full public sample.
    if dice.chance(0.85) {
        fields = fields.json("UrlClickAction", dice.pick(&["2", "3", "4", "5", "1", "0", "\"2\""]));
    }
    fields.text("UserIp", address(dice))
}

fn url(dice: &mut Dice) -> String {
    let host = dice.pick(&OUTSIDE);
    match dice.below(6) {
        0 => format!("http://203.0.113.{}:8080/pay.php", dice.below(255)),
        1 => format!("https://files.{host}/d/%7B{:x}%7D?x=1&y=2#frag", dice.roll()),
        2 => format!("https://{host}/{}", "a".repeat(usize::try_from(dice.between(100, 3000)).unwrap_or(100))),
        3 => format!("https://{host}/?q=\"RecordType\":28 &Ünïcode"),
        _ => format!("https://login.{host}/reset?u=alex%40contoso.com&t={}", dice.roll()),
    }
}

/// Type 47.
pub(super) fn file(origin: &Origin<'_>, dice: &mut Dice) -> Fields {
    let created = before(origin.available, Duration::from_secs(90 * 60), dice);
    let found = before(created, Duration::from_secs(120), dice);
    let owner = person(dice);
    let head = Head {
        operation: "AtpDetection",
        record_type: "47".to_owned(),
        user_key: "ThreatIntel",
        user_type: "4",
        workload: "ThreatIntelligence",
        user: &owner,
        created,
    };
    let mut fields = common(origin, head)
        .text("DetectionDate", plain(found))
        .text("DetectionMethod", dice.pick(&["AntiMalware", "Reputation", "File detonation", "File reputation"]))
        .text(
            "EventDeepLink",
            format!(
                "https://security.microsoft.com/threatexplorer?dltarget=Explorer&dlstorage=Url&viewid=MalwareContent&query-Id={}",
                origin.id
            ),
        )
        .json("FileData", data(dice));
    if dice.chance(0.85) {
        fields = fields
            .text("LastModifiedBy", &owner)
            .text("LastModifiedDate", plain(before(found, Duration::from_secs(90 * 86_400), dice)))
            .json("SourceWorkload", dice.pick(&["0", "1", "2", "\"2\""]));
    }
    fields
}

fn data(dice: &mut Dice) -> String {
    let name = dice.pick(&["setup.exe", "blah blah .exe", "résumé.docm", "holiday.zip", "scan.iso", "noextension"]);
    let place = match dice.below(3) {
        0 => "https://contoso.sharepoint.com/sites/Finance/Shared Documents".to_owned(),
        1 => "https://contoso.sharepoint.com/sites/HR-Team/Shared Documents/General".to_owned(),
        _ => format!("https://contoso-my.sharepoint.com/personal/{}_contoso_com/Documents", dice.pick(&PEOPLE)),
    };
    let hash = dice.bytes::<32>();
    // Base64 in all public samples; hexadecimal once a collector has had it in hand.
    let hash = if dice.chance(0.9) { STANDARD.encode(hash) } else { upper_hex(&hash) };
    let size = dice.pick(&["0", "77", "12345", "9670017", "4831838208"]);
    let mut fields = Fields::new()
        .text("DocumentId", dice.guid())
        .text("FileName", name)
        .text("FilePath", format!("{place}/{name}"))
        .text("FileSize", size)
        .json("FileVerdict", dice.pick(&["1", "1", "1", "-2", "-3"]));
    if dice.chance(0.8) {
        fields = fields.text("MalwareFamily", dice.pick(&["Malicious Payload", "Win32/MadeUp.A!msr", "Trojan_Gen_MadeUp"]));
    }
    fields.text("SHA256", hash).render(0)
}
