//! The field's nouns as checked values: tenants, content types, blobs, windows, record types, gaps, claims.
//!
//! Every room may use this one; it uses none of them. A value of a type from here is valid by construction, so no
//! room checks it again. Nothing here does IO, reads a clock or draws a random number.

mod blob;
mod claim;
mod done;
mod fault;
mod gap;
mod ids;
mod output;
mod record_print;
mod record_type;
mod time;
mod window;

pub use blob::{BlobEntry, BlobKey};
pub use claim::{Claim, Counts, Part};
pub use done::{BUCKET_MS, DoneSet};
pub use fault::{Fault, Refusal};
pub use gap::{Gap, GapBlob, GapId, GapReason};
pub use ids::{ContentId, ContentType, FeedId, InvalidValue, TenantId};
pub use output::{OutputFile, OutputFormat};
pub use record_print::RecordPrint;
pub use record_type::{RecordType, RecordTypes};
pub use time::Time;
pub use window::Window;
