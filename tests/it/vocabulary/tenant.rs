//! A simulated tenant behind HTTP.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use defender_feed::domain::ContentId;
use defender_feed::simulator::Request;
use defender_feed::simulator::content::NewBlob;
use defender_feed::simulator::story::{Running, Story};
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

/// The application that the stories' commands say they are.
pub(crate) const CLIENT: &str = "22222222-0000-4000-8000-000000000002";

/// All tenants of all stories share it.
pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be had")
});

/// Puts a story behind HTTP.
pub(crate) trait Serve {
    /// At a free port of loopback.
    fn serve(self) -> Tenant;
    /// At that one.
    fn serve_at(self, port: u16) -> Tenant;
}

impl Serve for Story {
    fn serve(self) -> Tenant {
        self.serve_at(0)
    }

    fn serve_at(self, port: u16) -> Tenant {
        let running = RUNTIME.block_on(self.start_on(port)).expect("loopback has a free port");
        Tenant { running: Some(running) }
    }
}

/// A tenant that can be asked over HTTP. When the story is over it checks that it was asked as it should be.
pub(crate) struct Tenant {
    running: Option<Running>,
}

/// A wanted record as the output should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: String,
    pub(crate) blob: ContentId,
    /// The bytes of the element in its blob; if they stand on several lines, without white space between tokens.
    pub(crate) line: String,
}

impl Tenant {
    /// The tenant's id.
    pub(crate) fn id(&self) -> String {
        self.service().tenant().to_string()
    }

    /// The port that it is served at.
    pub(crate) fn port(&self) -> u16 {
        self.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap()
    }

    /// A new blob appears.
    pub(crate) fn gets(&self, body: impl Into<Bytes>) {
        self.add_blob(NewBlob::new(self.clock().now(), body));
    }

    /// A blob has appeared a moment ago, so that a run that lists up to the service's now (its `Date` counts in seconds) must
    /// have it.
    pub(crate) fn has_got(&self, body: impl Into<Bytes>) {
        self.add_blob(NewBlob::new(self.clock().now() - Duration::from_secs(2), body));
    }

    /// The ids of all wanted records that can be had now, in order, once for a record that stands in two blobs.
    pub(crate) fn ids(&self) -> Vec<String> {
        let once = self.truth().records.into_iter().filter(|r| r.obtainable && !r.repeated);
        let mut ids: Vec<_> = once.map(|r| r.id).collect();
        ids.sort_unstable();
        ids
    }

    /// All wanted records that can be had now, with their bytes, once each. Only for blobs that are JSON arrays.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let now = self.clock().now();
        let mut blobs: BTreeMap<ContentId, Vec<String>> = BTreeMap::new();
        // A copy of the service is asked, so that the true one counts none of this.
        let mut copy = self.service().clone();
        copy.clear_faults();
        copy.set_quota(None);
        let token = copy.issue_token(now).expect("a healthy service gives tokens");
        let records = self.truth().records.into_iter().filter(|r| r.obtainable && !r.repeated);
        records
            .map(|r| {
                let lines = blobs.entry(r.blob.clone()).or_insert_with(|| {
                    let path = format!("/api/v1.0/{}/activity/feed/audit/{}", copy.tenant(), r.blob);
                    let reply = copy.handle(&Request::get(&path).bearer(&token), now);
                    assert_eq!(reply.status, 200, "{path}");
                    lines_of(&reply.body.bytes())
                });
                let line = lines[usize::try_from(r.index).unwrap()].clone();
                Wanted { id: r.id, blob: r.blob, line }
            })
            .collect()
    }

    /// The lines that raw output must consist of.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.wanted().into_iter().map(|w| w.line).collect()
    }

    /// The service stops; its port is free again.
    pub(crate) fn shut(mut self) {
        if let Some(running) = self.running.take() {
            judge(&running);
            RUNTIME.block_on(running.shutdown());
        }
    }
}

impl Deref for Tenant {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().expect("it runs until it is dropped or shut")
    }
}

/// The elements of a blob, each on one line.
fn lines_of(body: &[u8]) -> Vec<String> {
    let body = std::str::from_utf8(body).unwrap().trim_start_matches('\u{feff}');
    let elements: Vec<&RawValue> = serde_json::from_str(body).unwrap();
    elements.into_iter().map(|element| on_one_line(element.get())).collect()
}

fn on_one_line(element: &str) -> String {
    if !element.contains(['\n', '\r']) {
        return element.to_owned();
    }
    let (mut in_string, mut escaped) = (false, false);
    let keeps = |c: &char| {
        let kept = in_string || !c.is_ascii_whitespace();
        in_string = if in_string { escaped || *c != '"' } else { *c == '"' };
        escaped = in_string && !escaped && *c == '\\';
        kept
    };
    element.chars().filter(keeps).collect()
}

fn judge(running: &Running) {
    let offences = running.ledger().offences();
    assert!(offences.is_empty(), "the service was misused: {offences:?}");
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && !std::thread::panicking()
        {
            judge(&running);
        }
    }
}
