//! Which record a line tells of, in whatever format: the demo counts what its reader sees.

use serde_json::Value;

use crate::domain::RecordType;

/// What a line may be wrapped in.
const WRAPS: [&str; 4] = ["", "/record", "/event", "/event/record"];

/// Where a format has the record's id and type.
const PLACES: [(&str, &str); 4] = [
    ("/Id", "/RecordType"),
    ("/o365/audit/Id", "/o365/audit/RecordType"),
    ("/metadata/original_event_uid", "/metadata/event_code"),
    ("/records/0/properties/RawEventData/Id", "/records/0/properties/RawEventData/RecordType"),
];

/// The id and the type of the record in `line`.
pub(super) fn of(line: &[u8]) -> (Option<String>, Option<i64>) {
    let Ok(json) = serde_json::from_slice::<Value>(line) else {
        return of_cef(&String::from_utf8_lossy(line));
    };
    let all =
        WRAPS.iter().flat_map(|wrap| PLACES.iter().map(move |(id, number)| (format!("{wrap}{id}"), format!("{wrap}{number}"))));
    let told = all.filter_map(|(id, number)| Some((json.pointer(&id), json.pointer(&number)?))).next();
    let Some((id, number)) = told else { return (None, None) };
    let number = number.as_i64().or_else(|| number.as_str()?.parse().ok());
    (id.and_then(Value::as_str).map(str::to_owned), number)
}

fn of_cef(line: &str) -> (Option<String>, Option<i64>) {
    let value = |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split([' ', '\n']).next());
    let number = value(" cat=").and_then(|name| name.parse::<RecordType>().ok()).map(|record_type| record_type.0);
    (value(" externalId=").map(str::to_owned), number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OutputFormat;
    use crate::format::{Formatter, line_of};

    #[test]
    fn a_record_is_known_in_every_format() {
        let record = br#"{"Id":"a-1","RecordType":28,"CreationTime":"2026-03-01T00:00:00"}"#;
        for format in OutputFormat::ALL {
            for envelope in [false, true] {
                let (line, _) = line_of(&Formatter::new(format, envelope), record);
                assert_eq!(of(&line), (Some("a-1".to_owned()), Some(28)), "{format} {envelope}");
            }
        }
        assert_eq!(of(b"{}"), (None, None));
        assert_eq!(of(b"?"), (None, None));
    }
}
