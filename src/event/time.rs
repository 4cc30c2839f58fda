//! Times in every form that records hold (`record-schemas.md` section 1, rule 4; `schema-disagreements.md`, type 64, item 8).
//!
//! ISO without a zone, which means UTC, with `Z` or an offset, with a fraction of up to nine digits; and US style,
//! `M/D/YYYY h:mm:ss AM`, which is UTC too. Midnight of 1 January of the year 1 is .NET's way to say "not set". A time
//! that can't be read stays the text it is; no other time is ever put in its place.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use serde_json::{Value, json};

use super::field::{Form, Model};
use super::reader::{DriftKind, Reader};
use super::schema::Shapes;
use super::text::Text;

/// A time as a record holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamp {
    text: Text,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// `digits`: how many digits of a fraction were written. `iso`: not US style.
    At {
        utc: NaiveDateTime,
        digits: usize,
        iso: bool,
    },
    NotSet,
    Unreadable,
}

impl Stamp {
    /// The time, unless it is not set or can't be read.
    pub fn utc(&self) -> Option<DateTime<Utc>> {
        match self.when {
            When::At { utc, .. } => Some(utc.and_utc()),
            When::NotSet | When::Unreadable => None,
        }
    }

    /// The text as the record holds it.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    fn is_iso(&self) -> bool {
        matches!(self.when, When::At { iso: true, .. })
    }
}

impl Model for Stamp {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "type": "string", "format": "date-time" })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        if !json.starts_with('"') {
            return None;
        }
        let text = Text::read(json, reader)?;
        let trimmed = text.as_str().trim();
        let when = match iso(trimmed).map(|(utc, digits)| (utc, digits, true)).or_else(|| us(trimmed).map(|utc| (utc, 0, false)))
        {
            _ if text.is_lossy() => When::Unreadable,
            Some((utc, ..)) if utc == NOT_SET => When::NotSet,
            // RFC 3339 writes four digits of a year, and an offset can lead out of them.
            Some((utc, digits, iso)) if (1..=9999).contains(&utc.year()) => When::At { utc, digits, iso },
            _ => When::Unreadable,
        };
        if when == When::Unreadable && !trimmed.is_empty() {
            reader.drifted(DriftKind::Unreadable);
        }
        Some(Stamp { text, when })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match (form, self.when) {
            (Form::Clean, When::NotSet) => out.extend_from_slice(b"null"),
            (Form::Clean, When::At { utc, digits, .. }) => {
                let (date, time) = (utc.date(), utc.time());
                let mut text = format!("{:04}-{:02}-{:02}T", date.year(), date.month(), date.day());
                text += &format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
                if digits > 0 {
                    text += &format!(".{:09}", time.nanosecond())[..=digits.min(9)];
                }
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"Z\"");
            }
            _ => self.text.write(form, out),
        }
    }

    fn better_than(&self, other: &Self) -> bool {
        match (self.utc(), other.utc()) {
            (Some(_), Some(_)) => self.is_iso() && !other.is_iso(),
            (Some(_), None) => true,
            _ => false,
        }
    }

    /// To the second if one is in US style, which has no fraction.
    fn same_as(&self, other: &Self) -> bool {
        match (self.utc(), other.utc()) {
            (Some(a), Some(b)) => a == b || (self.is_iso() != other.is_iso() && a.timestamp() == b.timestamp()),
            _ => self.text == other.text,
        }
    }
}

const NOT_SET: NaiveDateTime = NaiveDateTime::new(NaiveDate::from_ymd_opt(1, 1, 1).expect("a date"), NaiveTime::MIN);

/// `YYYY-MM-DDTHH:MM:SS`, fraction and zone or not; with the number of digits of the fraction.
fn iso(text: &str) -> Option<(NaiveDateTime, usize)> {
    let (seconds, rest) = (text.get(..19)?, text.get(19..)?);
    let fits = seconds.bytes().zip(b"0000-00-00T00:00:00").all(|(byte, pattern)| match pattern {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == *other,
    });
    let number = |from: usize, to: usize| seconds.get(from..to)?.parse::<u32>().ok();
    if !fits {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(number(0, 4)?.try_into().ok()?, number(5, 7)?, number(8, 10)?)?;
    let (nanos, digits, zone) = fraction(rest)?;
    let time = NaiveTime::from_hms_nano_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, nanos)?;
    let utc = NaiveDateTime::new(date, time).checked_sub_offset(offset(zone)?)?;
    Some((utc, digits))
}

/// Nanoseconds, number of digits, and what comes after.
fn fraction(text: &str) -> Option<(u32, usize, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, 0, text));
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let nanos = format!("{:0<9}", &rest[..digits]).parse().ok()?;
    Some((nanos, digits, &rest[digits..]))
}

/// No zone and `Z` are UTC; else `+hh:mm` or `+hhmm`.
fn offset(zone: &str) -> Option<FixedOffset> {
    let seconds = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let digits: Vec<i32> = match digits {
                [a, b, b':', c, d] | [a, b, c, d] => [a, b, c, d].iter().map(|d| i32::from(**d) - i32::from(b'0')).collect(),
                _ => return None,
            };
            if digits.iter().any(|d| !(0..=9).contains(d)) {
                return None;
            }
            let size = (digits[0] * 10 + digits[1]) * 3600 + (digits[2] * 10 + digits[3]) * 60;
            if *sign == b'-' { -size } else { size }
        }
        _ => return None,
    };
    FixedOffset::east_opt(seconds)
}

/// `M/D/YYYY h:mm:ss AM`, month first; the space may be a narrow one, as newer .NET writes it.
fn us(text: &str) -> Option<NaiveDateTime> {
    let mut parts = text.split([' ', '\u{202f}']);
    let (date, time, half) = (parts.next()?, parts.next()?, parts.next()?);
    let afternoon = match half {
        "AM" | "am" => false,
        "PM" | "pm" => true,
        _ => return None,
    };
    let numbers = |text: &str, by: char| -> Option<[u32; 3]> {
        let numbers: Option<Vec<u32>> = text
            .split(by)
            .map(|part| if part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 4 { part.parse().ok() } else { None })
            .collect();
        numbers?.try_into().ok()
    };
    let ([month, day, year], [hour, minute, second]) = (numbers(date, '/')?, numbers(time, ':')?);
    if parts.next().is_some() || !(1..=12).contains(&hour) {
        return None;
    }
    let midnight = NaiveDate::from_ymd_opt(year.try_into().ok()?, month, day)?.and_time(NaiveTime::MIN);
    let time = NaiveTime::from_hms_opt(hour % 12 + if afternoon { 12 } else { 0 }, minute, second)?;
    midnight.checked_add_signed(TimeDelta::seconds(time.num_seconds_from_midnight().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        let json = serde_json::to_string(text).unwrap();
        let stamp = Stamp::read(&json, &mut Reader::new()).unwrap();
        let mut wire = Vec::new();
        stamp.write(Form::Wire, &mut wire);
        assert_eq!(String::from_utf8(wire).unwrap(), json);
        let mut out = Vec::new();
        stamp.write(Form::Clean, &mut out);
        serde_json::from_slice::<Option<String>>(&out).unwrap().unwrap_or_else(|| "null".to_owned())
    }

    #[test]
    fn every_form_becomes_rfc_3339() {
        for (text, expected) in [
            ("2026-03-02T09:10:19", "2026-03-02T09:10:19Z"),
            ("2026-03-02T09:10:19Z", "2026-03-02T09:10:19Z"),
            ("2026-03-02T09:10:19.9Z", "2026-03-02T09:10:19.9Z"),
            ("2024-10-31T13:31:45.0302157Z", "2024-10-31T13:31:45.0302157Z"),
            ("2024-10-31T13:31:45.0300000", "2024-10-31T13:31:45.0300000Z"),
            ("2026-03-02T09:10:19+00:00", "2026-03-02T09:10:19Z"),
            ("2026-03-02T01:10:19.25+02:30", "2026-03-01T22:40:19.25Z"),
            ("2026-03-02 09:10:19", "2026-03-02T09:10:19Z"),
            ("10/31/2024 1:31:45 PM", "2024-10-31T13:31:45Z"),
            ("9/2/2024 3:24:59 AM", "2024-09-02T03:24:59Z"),
            ("10/11/2024 12:00:00 AM", "2024-10-11T00:00:00Z"),
            ("10/11/2024 12:00:00 PM", "2024-10-11T12:00:00Z"),
            ("0001-01-01T00:00:00", "null"),
            ("0001-01-01T00:00:00.0000000Z", "null"),
            ("1/1/0001 12:00:00 AM", "null"),
            ("9999-12-31T23:59:59.9999999", "9999-12-31T23:59:59.9999999Z"),
        ] {
            assert_eq!(clean(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_stays_a_text_and_is_counted() {
        for text in [
            "yesterday",
            "2026-13-02T09:10:19",
            "2026-02-30T00:00:00",
            "2026-03-02T24:00:00",
            "2026-03-02",
            "13/1/2024 1:00:00 PM",
            "1/1/2024 0:00:00 AM",
            "1/1/2024 13:00:00",
            "2026-03-02T09:10:19.Z",
            "2026-03-02T09:10:19.1234567890Z",
            "2026-03-02T09:10:19+2",
            "2026-03-02T09:10:19é",
            "9999-12-31T23:59:59-01:00",
            "2026-03-02T09:10:60",
        ] {
            assert_eq!(clean(text), text);
            let mut reader = Reader::new();
            assert_eq!(Stamp::read(&format!("\"{text}\""), &mut reader).unwrap().utc(), None);
            assert_eq!(reader.into_drift().len(), 1, "{text}");
        }
        assert_eq!(clean(""), "");
        assert!(Stamp::read("1700000000", &mut Reader::new()).is_none());
    }

    #[test]
    fn of_two_spellings_of_one_instant_the_iso_one_is_better() {
        let read = |text: &str| Stamp::read(&format!("\"{text}\""), &mut Reader::new()).unwrap();
        let (iso, us) = (read("2024-10-31T13:31:45.0302157Z"), read("10/31/2024 1:31:45 PM"));
        assert!(iso.better_than(&us) && !us.better_than(&iso) && iso.same_as(&us));
        assert!(us.better_than(&read("garbage")));
        assert!(!read("10/31/2024 1:31:46 PM").same_as(&iso));
        assert!(!read("2024-10-31T13:31:45Z").same_as(&iso));
    }
}
