//! The canonical tenant: a handful of blobs, one of each kind that the way to the disk depends on.

use std::sync::LazyLock;
use std::time::Duration;

use defender_feed::domain::{BlobKey, ContentId, Time};
use defender_feed::simulator::SimClock;
use defender_feed::simulator::content::NewBlob;
use defender_feed::simulator::faults::{Fault, Target, When};
use defender_feed::simulator::story::{Running, Story, air, click, mail, noise, records, service};
use tokio::runtime::Runtime;

/// All tenants share it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be had")
});

/// So many records are in the large blob; together they exceed what is held of a blob and then what a batch waits for, so
/// that a part of it is committed before its end.
const LARGE_RECORDS: usize = 36;
/// So many bytes each of them has, about.
const LARGE_RECORD: usize = 64 << 10;

/// Of many blobs, one in so many has a dead letter …
const DEAD_EVERY: u64 = 40;
/// … and one in so many is listed late, …
const LATE_EVERY: u64 = 13;
/// … by then at the latest.
const LISTED_WITHIN_MS: u64 = 6_000;

/// What stands in one blob, and what must become of it.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    /// Its identity in the state.
    pub(crate) key: BlobKey,
    id: ContentId,
    /// Its elements.
    pub(crate) elements: Vec<Element>,
    /// Listed, but expired before it is asked for: it becomes a gap.
    pub(crate) expired: bool,
    /// It is listed only after the first start.
    pub(crate) late: bool,
    /// When that is, if the same service is asked before and after.
    pub(crate) listed: Option<Time>,
}

/// An element of a blob.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    /// To be written, as this line.
    Wanted(String),
    /// Of another type.
    Filtered(String),
    /// No record at all: to be kept in the dead letters.
    Dead(String),
}

impl Element {
    fn text(&self) -> &str {
        match self {
            Element::Wanted(text) | Element::Filtered(text) | Element::Dead(text) => text,
        }
    }
}

impl Blob {
    fn new(name: &str, created: Time, elements: Vec<Element>) -> Self {
        assert!(elements.iter().all(|element| !element.text().contains('\n')), "a line is what an element is");
        let id = ContentId(format!("{}$audit_general$Audit_General${name}", created.utc().format("%Y%m%d%H%M%S")));
        Self { key: BlobKey::new(&id, created), id, elements, expired: false, late: false, listed: None }
    }

    /// Its name at the service.
    pub(crate) fn id(&self) -> &str {
        &self.id.0
    }

    /// The lines that it must become, by the number of the element.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.elements.iter().enumerate().filter_map(|(at, element)| match element {
            Element::Wanted(line) if !self.expired => Some((at, line.as_str())),
            _ => None,
        })
    }

    /// Its dead letters.
    pub(crate) fn dead(&self) -> impl Iterator<Item = &str> {
        self.elements.iter().filter_map(|element| match element {
            Element::Dead(text) if !self.expired => Some(text.as_str()),
            _ => None,
        })
    }
}

/// A tenant behind HTTP, and what a client must have got of it.
#[derive(Debug)]
pub(crate) struct Tenant {
    running: Running,
    pub(crate) blobs: Vec<Blob>,
}

impl Tenant {
    /// These blobs behind HTTP.
    pub(crate) fn serve(blobs: Vec<Blob>) -> Self {
        Self::serve_story(service(), blobs)
    }

    /// These blobs behind HTTP, where one in three trickles, so that batches come to be of all sizes.
    pub(crate) fn serve_haltingly(blobs: Vec<Blob>) -> Self {
        Self::serve_story(service().fault(Target::Blob, Fault::Slow { bytes_per_second: 150_000 }, When::Every(3)), blobs)
    }

    fn serve_story(story: Story, blobs: Vec<Blob>) -> Self {
        let mut story = story.with(|config| config.quota = None);
        for blob in &blobs {
            let body = records(blob.elements.iter().map(Element::text));
            let new = NewBlob::new(blob.key.created, body).id(&blob.id.0);
            story = story.put(match blob.listed {
                Some(listed) => new.listed_at(listed),
                None => new,
            });
            if blob.expired {
                story = story.fault(Target::OneBlob(blob.id.clone()), Fault::Expired, When::Always);
            }
        }
        Self { running: RUNTIME.block_on(story.start()).expect("loopback has a free port"), blobs }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.running.base_url()
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.running.service().tenant().to_string()
    }

    /// All lines that must come out.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.blobs.iter().flat_map(|blob| blob.lines().map(|(_, line)| line))
    }
}

/// The blobs of the canonical run, oldest first: a small one, one with a dead letter, one that has expired, a large one, and
/// one of today; and those that appear between the first start and the second.
pub(crate) fn canonical() -> (Vec<Blob>, Vec<Blob>) {
    let now = SimClock::real().now().floor_second();
    let ago = |minutes: u64| now - Duration::from_secs(minutes * 60);
    let mut expired = Blob::new("expired", ago(15 * 60), vec![Element::Wanted(mail("expired-0"))]);
    expired.expired = true;
    let first = vec![
        Blob::new(
            "small",
            ago(40 * 60),
            vec![Element::Wanted(mail("small-0")), Element::Filtered(noise("small-1")), Element::Wanted(click("small-2"))],
        ),
        Blob::new(
            "dead",
            ago(30 * 60),
            vec![Element::Wanted(air("dead-0")), Element::Dead("\"no record\"".to_owned()), Element::Wanted(mail("dead-2"))],
        ),
        expired,
        large(ago(10 * 60)),
        Blob::new("today", ago(60), vec![Element::Wanted(mail("today-0"))]),
    ];
    // One blob makes one batch, whatever the schedule: so the calls are the same each time.
    let elements = vec![Element::Wanted(mail("more-0")), Element::Filtered(noise("more-1")), Element::Wanted(click("more-2"))];
    let mut more = Blob::new("more", ago(20 * 60), elements);
    more.late = true;
    (first, vec![more])
}

/// The blobs of the canonical backfill, oldest first: each in a batch of its own, and of the large one a part before its end. The one of
/// today would be one batch more like the first.
pub(crate) fn of_a_backfill() -> Vec<Blob> {
    let (mut first, _) = canonical();
    first.pop();
    first.into_iter().filter(|blob| !blob.expired).collect()
}

/// Many small blobs over the last six days: more than a batch takes, so that a batch is less than all. Some hold an element that
/// becomes a dead letter, some are listed late, in the seconds of a life, and one is large.
pub(crate) fn many(count: u64) -> Vec<Blob> {
    let now = SimClock::real().now().floor_second();
    let ago = |seconds: u64| now - Duration::from_secs(seconds);
    let blob = |n: u64| {
        let mut elements = vec![Element::Wanted(mail(&format!("many-{n}-0")))];
        elements.extend((0..n % 3).map(|m| Element::Wanted(short_record(n, m))));
        if n % DEAD_EVERY == DEAD_EVERY - 1 {
            elements.insert(1, Element::Dead(format!("\"no record {n}\"")));
        }
        let late = n % LATE_EVERY == LATE_EVERY - 1;
        // What is late by less than an hour is found by the next listing, the rest by the sweep of a run that ends.
        let soon = late && (n / LATE_EVERY).is_multiple_of(2);
        let created = if soon { ago(300 + n) } else { ago((n + 1) * 6 * 86_400 / (count + 1)) };
        let listed = late.then(|| now + Duration::from_millis(LISTED_WITHIN_MS * (n + 1) / count));
        Blob { late, listed, ..Blob::new(&format!("many-{n}"), created, elements) }
    };
    (0..count).map(blob).chain([large(ago(1_800))]).collect()
}

fn large(created: Time) -> Blob {
    Blob::new("large", created, (0..LARGE_RECORDS).map(|n| Element::Wanted(large_record(n))).collect())
}

fn short_record(n: u64, m: u64) -> String {
    format!(r#"{{"CreationTime":"2026-03-01T12:00:00","Id":"short-{n}-{m}","RecordType":41}}"#)
}

fn large_record(n: usize) -> String {
    let padding = char::from(b'a' + (n % 26) as u8).to_string().repeat(LARGE_RECORD);
    format!(r#"{{"CreationTime":"2026-03-01T12:00:00","Id":"large-{n}","RecordType":28,"Padding":"{padding}"}}"#)
}
