//! Made-up blobs of a size that is common in large tenants, many from a few: the record ids carry the blob's number.

use std::sync::Arc;

use defender_feed::domain::Time;
use defender_feed::simulator::config::ServiceConfig;
use defender_feed::simulator::{Request, Service};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Blobs that differ in more than their ids.
const TEMPLATES: usize = 16;
/// Records of a blob: about 280 kB.
const RECORDS: u32 = 400;
/// The share of wanted records that large tenants see: most of their content is other products'.
const WANTED: f64 = 0.05;

/// Blobs by their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Corpus(Arc<Vec<Template>>);

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Where the first eight digits of each record's id stand.
    ids: Vec<usize>,
    wanted: usize,
}

#[derive(Deserialize)]
struct Common<'a> {
    #[serde(rename = "Id", borrow)]
    id: &'a RawValue,
    /// A number, or the same number as a text.
    #[serde(rename = "RecordType", borrow)]
    record_type: &'a RawValue,
}

impl Common<'_> {
    fn is_wanted(&self) -> bool {
        ["28", "41", "47", "64"].contains(&self.record_type.get().trim_matches('"'))
    }
}

/// True of a record of one of the four types.
pub(crate) fn is_wanted(record: &RawValue) -> bool {
    serde_json::from_str::<Common<'_>>(record.get()).is_ok_and(|common| common.is_wanted())
}

impl Template {
    fn new(bytes: Vec<u8>) -> Self {
        let records: Vec<Common<'_>> = serde_json::from_slice(&bytes).expect("the simulator makes blobs of whole records");
        let begin = bytes.as_ptr().addr();
        let ids = records.iter().map(|record| record.id.get().as_ptr().addr() - begin + 1).collect();
        let wanted = records.iter().filter(|record| record.is_wanted()).count();
        Self { ids, wanted, bytes }
    }
}

impl Corpus {
    /// The same at each run.
    pub(crate) fn new() -> Self {
        Self::with_wanted(WANTED)
    }

    /// One with another share of wanted records.
    pub(crate) fn with_wanted(share: f64) -> Self {
        let now = Time(1_780_000_000_000);
        let mut config = ServiceConfig::new(now);
        config.records_per_blob = RECORDS..=RECORDS;
        config.wanted_share = share;
        config.token_lifetime = std::time::Duration::from_secs(86_400);
        let mut service = Service::new(config);
        let token = service.issue_token(now).expect("the simulated tenant is healthy");
        let mut get = |target: &str| {
            let request = Request::get(target).header("Host", "127.0.0.1").bearer(&token);
            service.handle(&request, now).bytes().to_vec()
        };
        let tenant = defender_feed::simulator::config::DEFAULT_TENANT;
        let listing = get(&format!(
            "/api/v1.0/{tenant}/activity/feed/subscriptions/content?contentType=Audit.General&PublisherIdentifier={tenant}"
        ));
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            content_uri: String,
        }
        let entries: Vec<Entry> = serde_json::from_slice(&listing).expect("a listing of a healthy tenant");
        let templates = entries.iter().take(TEMPLATES).map(|entry| Template::new(get(&entry.content_uri))).collect();
        Self(Arc::new(templates))
    }

    fn template(&self, number: u64) -> &Template {
        let count = self.0.len() as u64;
        &self.0[usize::try_from(number % count).expect("less than the templates")]
    }

    /// Writes blob `number` into the buffer, which it clears.
    pub(crate) fn blob(&self, number: u64, into: &mut Vec<u8>) {
        let template = self.template(number);
        into.clear();
        into.extend_from_slice(&template.bytes);
        let digits = format!("{:08x}", number & 0xffff_ffff);
        for id in &template.ids {
            into[*id..*id + 8].copy_from_slice(digits.as_bytes());
        }
    }

    /// Blobs that come to this many bytes.
    pub(crate) fn blobs_of(&self, bytes: u64) -> u64 {
        let all: usize = self.0.iter().map(|template| template.bytes.len()).sum();
        bytes.div_ceil((all / self.0.len()) as u64)
    }

    /// Bytes and wanted records of the first so many blobs.
    pub(crate) fn totals(&self, blobs: u64) -> (u64, u64) {
        (0..blobs)
            .map(|n| self.template(n))
            .fold((0, 0), |(bytes, wanted), t| (bytes + t.bytes.len() as u64, wanted + t.wanted as u64))
    }

    /// Wanted records in all templates.
    pub(crate) fn wanted(&self) -> u64 {
        self.0.iter().map(|template| template.wanted as u64).sum()
    }

    /// The records of all templates, with commas between them.
    pub(crate) fn records(&self) -> Vec<u8> {
        let inner = |template: &Template| template.bytes[1..template.bytes.len() - 1].to_vec();
        self.0.iter().map(inner).collect::<Vec<_>>().join(&b","[..])
    }

    /// Each record of the templates that passes the filter, or that does not.
    pub(crate) fn records_that_are(&self, wanted: bool) -> Vec<Vec<u8>> {
        let whole = |template: &Template| {
            let records: Vec<&RawValue> = serde_json::from_slice(&template.bytes).expect("the template was read before");
            records
                .into_iter()
                .filter(|record| is_wanted(record) == wanted)
                .map(|record| record.get().as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(whole).collect()
    }

    /// So many bytes of blobs, one after another.
    pub(crate) fn stretch(&self, bytes: u64) -> Stretch {
        let (mut stretch, mut blob) = (Stretch { bytes: Vec::new(), ends: Vec::new() }, Vec::new());
        for number in 0..self.blobs_of(bytes) {
            self.blob(number, &mut blob);
            stretch.bytes.extend_from_slice(&blob);
            stretch.ends.push(stretch.bytes.len());
        }
        stretch
    }
}

/// Blobs in memory, one after another.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Stretch {
    /// Each blob.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[*begin..*end])
    }
}

/// The number of the blob that a record is of: it stands in the record's id.
pub(crate) fn number_in(record: &[u8]) -> Option<u64> {
    let common: Common<'_> = serde_json::from_slice(record).ok()?;
    u64::from_str_radix(common.id.get().get(1..9)?, 16).ok()
}

/// Where a record's id begins in the record: eight digits for the number of a blob.
pub(crate) fn place_of_number(record: &[u8]) -> usize {
    let common: Common<'_> = serde_json::from_slice(record).expect("the simulator makes whole records");
    common.id.get().as_ptr().addr() - record.as_ptr().addr() + 1
}
