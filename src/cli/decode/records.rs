//! What `decode` makes of the items in its files: lines, complaints, and the count of both.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;

use super::complaints::{Complaints, DeadElement};
use super::letters::{Found, Letter, Letters, Origin};
use crate::cli::Context;
use crate::cli::collect::formatter;
use crate::decode::{self, DeadReason, Item, is_dead_letter};
use crate::domain::{ContentId, ContentType, RecordPrint, TenantId, Time};
use crate::format::{self, Fit, Formatter};

/// The records of all files.
pub(super) struct Records<'a> {
    context: &'a Context,
    maker: LineMaker<'a>,
    filtered: u64,
    dead: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(context: &'a Context, once: bool) -> Self {
        Self { context, maker: LineMaker::new(context, once), filtered: 0, dead: 0 }
    }

    /// Begins a file.
    pub(super) fn file(&mut self, name: &str) -> FileRecords<'_, 'a> {
        FileRecords {
            content_id: ContentId(name.to_owned()),
            complaints: Complaints::new(&self.context.console, name),
            letters: Letters::new(self.context.settings.record_types.clone()),
            element: DeadElement::default(),
            told_lost: false,
            records: self,
        }
    }

    /// True if everything that was read was a record.
    pub(super) fn is_whole(&self) -> bool {
        self.dead == 0
    }

    /// What was done, for a person.
    pub(super) fn summary(&self, files: u64, unreadable: u64) -> String {
        let written = self.maker.written;
        let mut parts = vec![format!("{} written", number(written, "record", "records"))];
        if self.maker.cut > 0 {
            parts.push(format!("{} of them cut to --max-line-bytes", self.maker.cut));
        }
        if self.maker.repeated > 0 {
            parts.push(format!("{} left out", number(self.maker.repeated, "duplicate", "duplicates")));
        }
        if self.filtered > 0 {
            let hint = if written == 0 { " (--record-types all would write every record)" } else { "" };
            parts.push(format!("{} of other types left out{hint}", self.filtered));
        }
        if self.dead > 0 {
            parts.push(format!("{} no records, see above", number(self.dead, "place is", "places are")));
        }
        if unreadable > 0 {
            parts.push(format!("{} not be read", number(unreadable, "file could", "files could")));
        }
        format!("{}: {}", number(files, "file", "files"), parts.join(", "))
    }
}

fn number(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The records of one file.
pub(super) struct FileRecords<'r, 'a> {
    records: &'r mut Records<'a>,
    content_id: ContentId,
    complaints: Complaints<'a>,
    letters: Letters,
    element: DeadElement,
    /// A complaint has said that framing was lost.
    told_lost: bool,
}

impl FileRecords<'_, '_> {
    /// Takes the next item of the file; lines go to `out`.
    pub(super) fn take(&mut self, item: Item<'_>, out: &mut Vec<u8>) {
        match item {
            Item::Wanted { index, raw } => match is_dead_letter(raw).then(|| Letter::read(raw)).flatten() {
                Some(letter) => self.letter(Some(letter), out),
                None => self.records.maker.line(Source::File(&self.content_id), index, raw, out),
            },
            Item::Filtered { .. } => self.records.filtered += 1,
            Item::Dead { index, reason, last, raw, .. } => {
                self.element.add(raw);
                if last {
                    self.told_lost |= reason == DeadReason::FramingLost;
                    let element = std::mem::take(&mut self.element);
                    self.complaints.dead(&format!("element {index}"), reason, &element);
                }
            }
        }
    }

    /// Says something about the file that is not about its records.
    pub(super) fn complain(&self, text: &str) {
        self.complaints.say(text);
    }

    /// Takes the end of the file; `lost`: its framing was lost somewhere.
    pub(super) fn end(mut self, lost: bool, out: &mut Vec<u8>) {
        self.letter(None, out);
        if lost && !self.told_lost {
            self.complaints.missing("cut_off", "an array is not closed: it was cut off, and what followed is missing");
        }
        self.complaints.end();
        self.records.dead += self.complaints.count();
    }

    /// Takes a dead letter, or none at the end of the file.
    fn letter(&mut self, letter: Option<Letter>, out: &mut Vec<u8>) {
        let Self { records, complaints, letters, .. } = self;
        let mut each = |found: Found<'_>| match found {
            Found::Item(origin, _, Item::Wanted { index, raw }) => {
                records.maker.line(Source::DeadLetter(origin), origin.index.saturating_add(index), raw, out);
            }
            Found::Item(_, _, Item::Filtered { .. }) => records.filtered += 1,
            Found::Item(origin, element, Item::Dead { index, reason, last, raw, .. }) => {
                element.add(raw);
                if last {
                    let (index, id) = (origin.index.saturating_add(index), &origin.content_id);
                    complaints.dead(&format!("element {index} of blob {id}"), reason, &std::mem::take(element));
                }
            }
            Found::Incomplete(Origin { index, content_id, .. }) => complaints.missing(
                "parts_missing",
                &format!("element {index} of blob {content_id} is incomplete: some of its parts are not in this file"),
            ),
        };
        match letter {
            Some(letter) => letters.take(letter, &mut each),
            None => letters.end(&mut each),
        }
    }
}

/// Where a record comes from.
enum Source<'a> {
    /// A file whose blob nobody knows; by name.
    File(&'a ContentId),
    /// A dead letter, which names its blob.
    DeadLetter(&'a Origin),
}

/// Makes lines.
struct LineMaker<'a> {
    formatter: Formatter,
    envelope: bool,
    names: &'a BTreeMap<TenantId, String>,
    labels: BTreeMap<String, String>,
    nobody: TenantId,
    written: u64,
    /// Lines that don't hold all of their records.
    cut: u64,
    /// The records written, if none is to be written twice: 32 bytes each, and the set's own room.
    seen: Option<HashSet<RecordPrint>>,
    /// By which their prints are made: any that nobody can know.
    key: u64,
    repeated: u64,
}

impl<'a> LineMaker<'a> {
    fn new(context: &'a Context, once: bool) -> Self {
        let settings = &context.settings;
        Self {
            formatter: formatter(settings),
            envelope: settings.envelope,
            names: &settings.names,
            labels: BTreeMap::new(),
            nobody: "00000000-0000-0000-0000-000000000000".parse().expect("zeros are a GUID"),
            written: 0,
            cut: 0,
            seen: once.then(HashSet::new),
            key: RandomState::new().hash_one(0),
            repeated: 0,
        }
    }

    fn line(&mut self, source: Source<'_>, index: u64, raw: &[u8], out: &mut Vec<u8>) {
        if let Some(seen) = &mut self.seen
            && let Some(record) = decode::print(raw, self.key).and_then(|print| print.record())
            && !seen.insert(record)
        {
            self.repeated += 1;
            return;
        }
        let found;
        let (tenant, content_type, content_id, content_created) = match source {
            Source::DeadLetter(origin) => (&origin.tenant, origin.content_type, &origin.content_id, origin.created),
            Source::File(name) => {
                // Only the envelope shows it, and looking costs a walk over the record.
                found = if self.envelope { organisation(raw) } else { None };
                (found.as_ref().unwrap_or(&self.nobody), ContentType::AuditGeneral, name, Time::MIN)
            }
        };
        let tenant_name = self.names.get(tenant).map(String::as_str).filter(|name| *name != tenant.as_str());
        let context =
            format::Context { tenant, tenant_name, labels: &self.labels, content_type, content_id, content_created, index };
        if self.formatter.line(&context, raw, out) == Fit::Cut {
            self.cut += 1;
        }
        self.written += 1;
    }
}

/// The tenant that a record names (`record-schemas.md` section 1).
fn organisation(raw: &[u8]) -> Option<TenantId> {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "OrganizationId")]
        organisation: String,
    }
    serde_json::from_slice::<Record>(raw).ok()?.organisation.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_the_records_organisation() {
        let found = |text: &str| organisation(text.as_bytes()).map(|tenant| tenant.to_string());
        let record = r#"{"RecordType":28,"Odd":"\ud800","OrganizationId":"AAAAAAAA-0000-4000-8000-000000000001","Big":1e999}"#;
        assert_eq!(found(record).as_deref(), Some("aaaaaaaa-0000-4000-8000-000000000001"));
        for text in ["{}", r#"{"OrganizationId":5}"#, r#"{"OrganizationId":"contoso.com"}"#] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
