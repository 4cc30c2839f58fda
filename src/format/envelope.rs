//! `--envelope`: `{"feed":{…},"record":…}`, where a record came from and which one it is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Context, event, identity};
use crate::domain::Time;

/// The `feed` object: one shape wherever it appears.
#[derive(Serialize)]
struct Feed<'a> {
    tenant_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_name: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    content_type: &'a str,
    content_id: &'a str,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_created: Option<String>,
    index: u64,
    /// See `format/identity.rs`.
    id: String,
}

/// Appends the envelope around what `record` appends. The `id` is always that of the raw record.
pub(super) fn write(context: &Context<'_>, raw: &[u8], out: &mut Vec<u8>, record: impl FnOnce(&mut Vec<u8>)) {
    let identity = identity::of(context.tenant, raw);
    let feed = Feed {
        tenant_id: context.tenant.as_str(),
        tenant_name: context.tenant_name.filter(|name| !name.is_empty()),
        labels: context.labels,
        content_type: context.content_type.as_str(),
        content_id: &context.content_id.0,
        content_created: (context.content_created != Time::MIN).then(|| context.content_created.to_string()),
        index: context.index,
        id: identity.id,
    };
    out.extend_from_slice(b"{\"feed\":");
    serde_json::to_writer(&mut *out, &feed).expect("writing strings and numbers into memory can't fail");
    out.extend_from_slice(b",\"record\":");
    if identity.is_json {
        record(out);
    } else {
        event::bytes(raw, "not_an_object", out);
    }
    out.push(b'}');
}
