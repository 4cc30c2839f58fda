//! Enums that Microsoft numbers (`enums.csv`). All of them are open: on the wire stand numbers, digits in a string, names,
//! names that the documentation does not have, and numbers that it does not have.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, I64Deserializer};
use serde_repr::{Deserialize_repr, Serialize_repr};

use serde_json::Value;

use super::field::{Form, Model};
use super::json::{self, Unquoted};
use super::reader::{DriftKind, Reader};
use super::schema::{self, Shapes};
use super::text::whole;
use crate::domain::RecordType;

/// An enum that Microsoft numbers.
pub trait Coded: Copy + PartialEq + Sized + 'static {
    /// True if the documentation today has numbers for it. If not, numbers are understood, but a name gets none.
    const NUMBERED: bool = true;

    /// The value with this number.
    fn from_number(number: i64) -> Option<Self>;

    /// The value with this name, documented or seen, whatever its case.
    fn from_name(name: &str) -> Option<Self>;

    /// The number.
    fn number(self) -> i64;

    /// The documented name.
    fn name(self) -> Option<&'static str>;

    /// True if, of two values under the same key, this one decides.
    fn decides(self) -> bool {
        false
    }
}

/// The value of an open numbered enum, and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Code<E> {
    /// What it means.
    pub value: CodeValue<E>,
    /// The JSON text, as written.
    literal: Box<str>,
    /// The name that the record gives, in place of the number or beside it.
    name: Option<Box<str>>,
}

/// The meaning of a numbered enum's value.
#[derive(Debug, Clone, PartialEq)]
pub enum CodeValue<E> {
    /// A documented value, whether by number or by name.
    Known(E),
    /// A number that the documentation does not have.
    Number(i64),
    /// A name that neither the documentation nor a sample has.
    Name(String),
}

impl<E: Coded> Code<E> {
    /// The documented value.
    pub fn known(&self) -> Option<E> {
        match self.value {
            CodeValue::Known(value) => Some(value),
            CodeValue::Number(_) | CodeValue::Name(_) => None,
        }
    }

    /// The number, if one is known.
    pub fn number(&self) -> Option<i64> {
        match self.value {
            CodeValue::Known(value) => Some(value.number()),
            CodeValue::Number(number) => Some(number),
            CodeValue::Name(_) => None,
        }
    }

    /// The name: the record's own, else the documented one. A number that nobody documents has none.
    pub fn label(&self) -> Option<&str> {
        let name = match &self.value {
            CodeValue::Known(value) => self.name.as_deref().or_else(|| value.name()),
            CodeValue::Number(_) => None,
            CodeValue::Name(name) => Some(name.as_str()),
        };
        name.map(str::trim).filter(|name| !name.is_empty())
    }

    fn of_number(number: i64) -> CodeValue<E> {
        E::from_number(number).map_or(CodeValue::Number(number), CodeValue::Known)
    }

    fn written_as_name(&self) -> bool {
        self.literal.starts_with('"') && digits(self.literal.trim_matches('"')).is_none()
    }
}

/// The number in a string of digits.
fn digits(text: &str) -> Option<i64> {
    let text = text.trim();
    if json::is_number(text) { whole(text) } else { None }
}

impl<E: Coded> Model for Code<E> {
    const NAMED: bool = E::NUMBERED;

    fn shape(_shapes: &mut Shapes) -> Value {
        schema::code::<E>()
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        let (value, name) = match json.as_bytes().first()? {
            b'"' => {
                let (text, lossy) = match json::unquote(json) {
                    Unquoted::Plain(text) => (text.to_owned(), false),
                    Unquoted::Escaped(text) => (text, false),
                    Unquoted::Lossy(text) => (text, true),
                };
                match digits(&text) {
                    Some(number) => (Self::of_number(number), None),
                    None if lossy => (CodeValue::Name(text), None),
                    None => {
                        let value = E::from_name(&text).map_or_else(|| CodeValue::Name(text.clone()), CodeValue::Known);
                        (value, Some(text.into_boxed_str()))
                    }
                }
            }
            b'-' | b'0'..=b'9' => (Self::of_number(whole(json)?), None),
            _ => return None,
        };
        if !matches!(value, CodeValue::Known(_)) {
            reader.drifted(DriftKind::UnknownValue);
        }
        Some(Code { value, literal: json.into(), name })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match (form, self.number()) {
            (Form::Clean, Some(number)) if E::NUMBERED || !self.written_as_name() => {
                out.extend_from_slice(number.to_string().as_bytes());
            }
            // The literal's escapes are free to differ, a lone surrogate in it is not.
            (Form::Clean, _) if self.written_as_name() && self.name.is_some() => {
                json::write_string(self.name.as_deref().unwrap_or_default(), out);
            }
            _ => out.extend_from_slice(self.literal.as_bytes()),
        }
    }

    fn better_than(&self, other: &Self) -> bool {
        let decides = |code: &Self| code.known().is_some_and(E::decides);
        decides(self) && !decides(other)
    }

    fn same_as(&self, other: &Self) -> bool {
        self.value == other.value
    }

    fn companion(&self) -> Option<&str> {
        let name = match self.value {
            CodeValue::Known(_) if !E::NUMBERED && self.written_as_name() => None,
            CodeValue::Known(value) => self.name.as_deref().or_else(|| value.name()),
            CodeValue::Number(_) => None,
            CodeValue::Name(_) => self.name.as_deref(),
        };
        name.filter(|name| !name.is_empty())
    }

    fn is_said_by_companion(&self) -> bool {
        E::NUMBERED && self.number().is_some() && self.name.is_some() && self.companion().is_some()
    }

    fn accept_companion(&mut self, name: &str) -> bool {
        if self.companion() == Some(name) {
            self.name = Some(name.into());
            return true;
        }
        let names_it = self.name.is_none() && self.known().is_some_and(|value| E::from_name(name) == Some(value));
        if names_it {
            self.name = Some(name.into());
        }
        names_it
    }
}

impl Coded for RecordType {
    fn from_number(number: i64) -> Option<Self> {
        Some(RecordType(number)).filter(|known| known.name().is_some())
    }

    fn from_name(name: &str) -> Option<Self> {
        RecordType::from_name(name)
    }

    fn number(self) -> i64 {
        self.0
    }

    fn name(self) -> Option<&'static str> {
        RecordType::name(self)
    }

    /// The decoder lets a record pass if any of its types is wanted.
    fn decides(self) -> bool {
        [RecordType::MAIL, RecordType::URL, RecordType::FILE, RecordType::AIR].contains(&self)
    }
}

/// Declares a numbered enum: its variants with number, documented name, and other names that mean it.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal $(| $also:literal)*;)* } $($more:item)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize_repr, Deserialize_repr)]
        #[repr(i8)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`")]
                $(#[$variant_doc])*
                $variant = $number,
            )*
        }

        impl Coded for $name {
            $($more)*

            fn from_number(number: i64) -> Option<Self> {
                let number: I64Deserializer<Error> = number.into_deserializer();
                Self::deserialize(number).ok()
            }

            fn from_name(name: &str) -> Option<Self> {
                let names: &[(&str, Self)] = &[$(($text, Self::$variant), $(($also, Self::$variant),)*)*];
                names.iter().find(|(known, _)| json::same_name(known, name)).map(|(_, value)| *value)
            }

            fn number(self) -> i64 {
                self as i64
            }

            fn name(self) -> Option<&'static str> {
                match self { $(Self::$variant => Some($text),)* }
            }
        }
    };
}

codes! {
    /// What kind of actor did it. The four Defender types have 4 everywhere.
    UserType {
        Regular = 0, "Regular";
        Reserved = 1, "Reserved";
        Admin = 2, "Admin";
        DcAdmin = 3, "DCAdmin";
        System = 4, "System";
        Application = 5, "Application";
        ServicePrincipal = 6, "ServicePrincipal";
        CustomPolicy = 7, "CustomPolicy";
        SystemPolicy = 8, "SystemPolicy";
        PartnerTechnician = 9, "PartnerTechnician";
        Guest = 10, "Guest";
    }
}

codes! {
    /// Where it happened.
    AuditLogScope {
        Online = 0, "Online";
        Onprem = 1, "Onprem";
    }
}

codes! {
    /// What was found out about a file. Signed: three of the five are negative.
    FileVerdict {
        Good = 0, "Good";
        Bad = 1, "Bad";
        Error = -1, "Error";
        Timeout = -2, "Timeout";
        Pending = -3, "Pending";
    }
}

codes! {
    /// The policy that decided about a message. 16 is undocumented. The names after the documented one are what records
    /// say in place of a number; that they mean this number is our reading, no public list says so.
    Policy {
        HighConfidenceSpam = 1, "Anti-spam, HSPM";
        Spam = 2, "Anti-spam, SPM" | "Spam";
        Bulk = 3, "Anti-spam, Bulk" | "Bulk";
        Phish = 4, "Anti-spam, PHSH" | "Phish";
        DomainImpersonation = 5, "Anti-phish, DIMP";
        UserImpersonation = 6, "Anti-phish, UIMP";
        Spoof = 7, "Anti-phish, SPOOF" | "Spoof";
        MailboxIntelligence = 8, "Anti-phish, GIMP";
        AntiMalware = 9, "Anti-malware, AMP" | "AntiMalware";
        SafeAttachments = 10, "Safe attachment, SAP" | "SafeAttachements" | "SafeAttachments";
        ExchangeTransportRule = 11, "Exchange transport rule, ETR";
        ZapMalware = 12, "Anti-malware, ZAPM";
        ZapPhish = 13, "Anti-phish, ZAPP";
        ZapSpam = 14, "Anti-phish, ZAPS";
        HighConfidencePhish = 15, "Anti-spam, High confidence phish email (HPHISH)" | "HighConfidencePhish";
        OutboundSpam = 17, "Anti-spam, Outbound spam policy (OSPM)";
    }
}

codes! {
    /// What the policy does with the message.
    PolicyAction {
        MoveToJmf = 0, "MoveToJMF";
        AddXHeader = 1, "AddXHeader";
        ModifySubject = 2, "ModifySubject";
        Redirect = 3, "Redirect";
        Delete = 4, "Delete";
        Quarantine = 5, "Quarantine";
        NoAction = 6, "NoAction";
        BccMessage = 7, "BccMessage";
        ReplaceAttachment = 8, "ReplaceAttachment";
    }
}

codes! {
    /// What became of a click. 0 and 1 were documented in January 2019 only.
    UrlClickAction {
        None = 0, "None";
        Allowed = 1, "Allowed";
        Blockpage = 2, "Blockpage";
        PendingDetonationPage = 3, "PendingDetonationPage";
        BlockPageOverride = 4, "BlockPageOverride";
        PendingDetonationPageOverride = 5, "PendingDetonationPageOverride";
    }
}

codes! {
    /// Where a file lies.
    SourceWorkload {
        SharePoint = 0, "SharePoint";
        OneDrive = 1, "OneDrive" | "OneDriveForBusiness";
        MicrosoftTeams = 2, "Microsoft Teams" | "Teams";
    }
}

codes! {
    /// When a message was found out. A name; it had numbers until January 2019.
    DetectionType {
        /// At delivery.
        Inline = 0, "Inline";
        /// After delivery.
        Delayed = 1, "Delayed";
        /// Removed after delivery.
        Zap = 2, "ZAP";
    }
    const NUMBERED: bool = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft's enums, as collected from the documentation.
    const ENUMS: &str = include_str!("../../fixtures/events/enums.csv");

    fn agrees<E: Coded + std::fmt::Debug>(name: &str, missing: &[i64]) {
        let mut rows = 0;
        for line in ENUMS.lines() {
            let Some((kind, rest)) = line.split_once(',') else { continue };
            let Some((number, text)) = rest.split_once(',') else { continue };
            if kind != name && kind != format!("{name}_Withdrawn2019") {
                continue;
            }
            let (number, text): (i64, _) = (number.parse().unwrap_or(i64::MIN), text.trim_matches('"'));
            if number == i64::MIN {
                continue;
            }
            let value = E::from_number(number).unwrap_or_else(|| panic!("{name} {number}"));
            assert_eq!((value.number(), value.name()), (number, Some(text)));
            assert_eq!(E::from_name(&text.to_uppercase()), Some(value), "{name} {text}");
            rows += 1;
        }
        assert!(rows > 1, "{name} is in the table");
        for number in missing {
            assert_eq!(E::from_number(*number), None, "{name} {number}");
        }
    }

    #[test]
    fn numbers_and_names_are_the_documented_ones() {
        agrees::<UserType>("UserType", &[-1, 11, 300]);
        agrees::<AuditLogScope>("AuditLogScope", &[2]);
        agrees::<FileVerdict>("FileVerdict", &[-4, 2, i64::MIN, i64::MAX]);
        agrees::<Policy>("Policy", &[0, 16, 18]);
        agrees::<PolicyAction>("PolicyAction", &[9]);
        agrees::<UrlClickAction>("URLClickAction", &[6]);
        agrees::<SourceWorkload>("SourceWorkload", &[3]);
        agrees::<DetectionType>("DetectionType", &[3]);
        agrees::<RecordType>("AuditLogRecordType", &[99_999]);
    }

    fn read<E: Coded>(json: &str) -> (Option<i64>, String, String, Option<String>) {
        let code = Code::<E>::read(json, &mut Reader::new()).unwrap();
        let written = |form| {
            let mut out = Vec::new();
            code.write(form, &mut out);
            String::from_utf8(out).unwrap()
        };
        (code.number(), written(Form::Wire), written(Form::Clean), code.companion().map(str::to_owned))
    }

    fn fits<E: Coded>(json: &str, number: Option<i64>, clean: &str, companion: Option<&str>) {
        assert_eq!(read::<E>(json), (number, json.to_owned(), clean.to_owned(), companion.map(str::to_owned)), "{json}");
    }

    #[test]
    fn every_way_of_writing_is_read_and_remembered() {
        fits::<FileVerdict>("-1", Some(-1), "-1", Some("Error"));
        fits::<FileVerdict>("\"1\"", Some(1), "1", Some("Bad"));
        fits::<FileVerdict>("1.0", Some(1), "1", Some("Bad"));
        fits::<FileVerdict>("\"2\"", Some(2), "2", None);
        fits::<FileVerdict>("\"bad\"", Some(1), "1", Some("bad"));
        fits::<Policy>("\"SafeAttachements\"", Some(10), "10", Some("SafeAttachements"));
        fits::<Policy>("16", Some(16), "16", None);
        fits::<Policy>("\"Brand new\"", None, "\"Brand new\"", Some("Brand new"));
        fits::<Policy>("\"\"", None, "\"\"", None);
        fits::<Policy>("\"\\ud800\"", None, "\"\\ud800\"", None);
        fits::<PolicyAction>("\"MoveToJmf\"", Some(0), "0", Some("MoveToJmf"));
        fits::<DetectionType>("\"Inline\"", Some(0), "\"Inline\"", None);
        fits::<DetectionType>("2", Some(2), "2", Some("ZAP"));
        fits::<RecordType>("28", Some(28), "28", Some("ThreatIntelligence"));
        for odd in ["1.5", "99999999999999999999", "true", "[]"] {
            assert!(Code::<FileVerdict>::read(odd, &mut Reader::new()).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_name_beside_the_number_is_taken_only_if_it_names_it() {
        let accept = |json: &str, name: &str| Code::<Policy>::read(json, &mut Reader::new()).unwrap().accept_companion(name);
        assert!(accept("4", "Anti-spam, PHSH") && accept("4", "Phish") && accept("\"New\"", "New"));
        assert!(!accept("4", "Spoof") && !accept("4", "") && !accept("16", "New") && !accept("\"New\"", "Newer"));
        let mut known = Code::<DetectionType>::read("\"Inline\"", &mut Reader::new()).unwrap();
        assert!(!known.accept_companion("Inline"));
    }
}
