//! Records in forms that are legal JSON and rarely expected. Off by default: no public source shows that the feed
//! sends most of them, but a collector must not lose an event to one (`activity-api.md` section 12, rows 14 and 26).

use super::super::dice::Dice;
use super::fields::Fields;
use super::records::Kind;

/// The same record, harder to read. Its type and its `Id` stay what they were.
pub(super) fn bend(fields: Fields, kind: Kind, dice: &mut Dice) -> Fields {
    let number = kind.wanted().map(|t| t.0);
    match (dice.below(9), number) {
        (0, Some(n)) => fields.without("RecordType").json("RecordType", format!("\"{n}\"")),
        (1, Some(n)) => fields.without("RecordType").json("RecordType", format!("{n}.0")),
        (2, Some(n)) => fields.without("RecordType").raw_key("\"Record\\u0054ype\"", n.to_string()),
        (3, _) => Fields::new().json("Extra", r#"{"RecordType":28,"Id":"decoy"}"#).all(fields).last("RecordType"),
        (4, _) => fields.json("Extra", format!("{}0{}", "[".repeat(100), "]".repeat(100))),
        (5, _) => fields.json("Extra", r#""https:\/\/fabrikam.com\/ \u00e9 \ud83d\ude00 lone \ud800 end""#),
        (6, _) => fields.json("Extra", "[1e400,-0.0,123456789012345678901234567890,1E-999]"),
        (7, _) => fields.text("Extra", "long ".repeat(usize::try_from(dice.between(1_000, 20_000)).unwrap_or(1_000))),
        _ => fields.json(" \u{feff}", " [ { } , \t[ ]\r\n ] ").json("", "\"\""),
    }
}
