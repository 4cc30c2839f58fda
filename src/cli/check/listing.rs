//! The first listing: does the service list content, and can its entries be read.

use crate::api::{self, Client, Page, RequestKind};
use crate::decode::{Decoder, Item, Shape};
use crate::domain::{ContentType, Fault, RecordTypes, Time, Window};
use crate::wire::{Body, Failure, Transport};

/// Pages that are followed. A tenant with more than these in an hour works, and that is all there is to find out.
const PAGES_MAX: u32 = 10;
/// Most bytes of a page. Entries have some 500 bytes, and pages were seen with some hundred entries.
const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a listing showed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    blobs: u64,
    /// There are more pages.
    more: bool,
    newest: Option<Time>,
    /// What one of its entries has against it.
    pub(super) odd: Option<String>,
}

impl Listed {
    /// For a person.
    pub(super) fn describe(&self, content_type: ContentType, to: Time) -> String {
        match (self.blobs, self.newest) {
            (0, _) => format!("{content_type}: works; no content in the last hour, which is normal for a quiet tenant"),
            (blobs, newest) => {
                let at_least = if self.more { "at least " } else { "" };
                let unit = if blobs == 1 { "content blob" } else { "content blobs" };
                let newest = newest.map(|at| format!(", the newest {} min old", to.since(at).as_secs() / 60)).unwrap_or_default();
                format!("{content_type}: works; {at_least}{blobs} {unit} in the last hour{newest}")
            }
        }
    }

    fn take(&mut self, item: Item<'_>, window: Window) {
        match item {
            Item::Wanted { raw, .. } => match api::read_entry(raw, window.from(), window) {
                Ok(entry) => {
                    self.blobs += 1;
                    self.newest = self.newest.max(Some(entry.created));
                }
                Err(error) => self.odd = Some(error.to_string()),
            },
            Item::Filtered { .. } => {}
            Item::Dead { index, reason, .. } => {
                self.odd = Some(format!("element {index} of the listing is no object ({reason})"))
            }
        }
    }
}

/// Lists a window from its first page on.
///
/// # Errors
/// The failure of any of its pages.
pub(super) async fn list<T: Transport>(client: &Client<T>, content_type: ContentType, window: Window) -> Result<Listed, Failure> {
    let mut listed = Listed::default();
    let mut page = client.list(content_type, window).await?;
    let mut kind = RequestKind::List;
    for _ in 1..PAGES_MAX {
        let Some(next) = read(kind, page, &mut listed, window).await? else { return Ok(listed) };
        kind = RequestKind::NextPage;
        page = client.next_page(&next).await?;
    }
    listed.more = read(kind, page, &mut listed, window).await?.is_some();
    Ok(listed)
}

/// Reads a page to its end and tells where the next one is.
async fn read<B: Body>(
    kind: RequestKind,
    mut page: Page<B>,
    listed: &mut Listed,
    window: Window,
) -> Result<Option<String>, Failure> {
    let date = page.date;
    let bad = |message: String| Failure { fault: Fault::BadReply, request: kind, status: Some(200), code: None, message, date };
    let mut decoder = Decoder::new(RecordTypes::All);
    let mut bytes = 0;
    while let Some(chunk) = page.body.chunk().await.map_err(|error| api::body_failure(kind, error, date))? {
        bytes += chunk.len() as u64;
        if bytes > PAGE_BYTES_MAX {
            return Err(bad(format!("the page exceeds {PAGE_BYTES_MAX} bytes")));
        }
        decoder.push(&chunk, &mut |item| listed.take(item, window));
    }
    match decoder.finish(&mut |item| listed.take(item, window)).shape {
        Shape::Array => Ok(page.next),
        Shape::Error(raw) => Err(api::error_object(kind, 200, &raw, date)),
        Shape::Nothing => Err(bad("the page is empty".into())),
        Shape::Object => Err(bad("the page is an object instead of a list".into())),
        Shape::Lost => Err(bad("the page is no complete JSON list".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_listing_is_told_with_its_number_and_age() {
        let now = Time(1_772_366_400_000);
        let window = Window::new(now - Duration::from_secs(3_600), now).unwrap();
        let mut listed = Listed::default();
        assert!(listed.describe(ContentType::AuditGeneral, now).contains("normal for a quiet tenant"));
        listed.take(
            Item::Wanted { index: 0, raw: br#"{"contentUri":"https://h/a/b","contentCreated":"2026-03-01T11:55:10Z"}"# },
            window,
        );
        let text = listed.describe(ContentType::AuditGeneral, now);
        assert_eq!(text, "Audit.General: works; 1 content blob in the last hour, the newest 4 min old");
        listed.more = true;
        listed.take(Item::Wanted { index: 1, raw: br#"{"contentId":"x"}"# }, window);
        assert!(listed.describe(ContentType::AuditGeneral, now).contains("at least 1 content blob "));
        assert!(listed.odd.unwrap().contains("no contentUri"));
    }
}
