//! What holds where nobody says otherwise, and the limits of what may be said.

use std::time::Duration;

/// How often a poller lists each feed. Microsoft makes content available with minutes to hours of delay, so asking more often than
/// once a minute costs quota and wins nothing (`activity-api.md` section 8).
pub const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The shortest poll interval: below it the pace is the quota's business.
pub const POLL_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest poll interval: the promise wants each blob listed a day before it expires.
pub const POLL_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// The span of the sweep for late-listed blobs that comes at least hourly: most of what comes late comes within a day.
pub const LOOK_BACK: Duration = Duration::from_secs(24 * 3600);
/// The shortest look-back: the sweep may run but once an hour, a shorter one would leave holes.
pub const LOOK_BACK_MIN: Duration = Duration::from_secs(3600);
/// The longest look-back: the service keeps content for seven days.
pub const LOOK_BACK_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The request rate that Microsoft documents as every tenant's baseline (`activity-api.md` section 8).
pub const REQUESTS_PER_MINUTE: u32 = 2000;
/// The highest request rate: more than any network carries, it means "no ceiling of ours".
pub const REQUESTS_PER_MINUTE_MAX: u32 = 10_000_000;

/// The most blobs that one feed may ask to fetch at once; the process holds 32 and two for each feed besides.
pub const CONCURRENCY_MAX: u32 = 64;

/// The shortest limit of a line: the fields that say which record it is have room in it.
pub const LINE_BYTES_MIN: u32 = 1024;
/// The longest limit of a line: no record makes a longer one in any format.
pub const LINE_BYTES_MAX: u32 = 64 << 20;

/// The shortest output file that is rotated: a batch fits.
pub const ROTATE_BYTES_MIN: u32 = 4 << 20;
/// The shortest and the longest span of one output file.
pub const ROTATE_EVERY_MIN: Duration = Duration::from_secs(60);
/// See [`ROTATE_EVERY_MIN`].
pub const ROTATE_EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The directory of the store if neither a setting nor systemd names one.
pub const STATE_DIR: &str = "state";

/// The largest configuration file that is read: thousands of tenants fit.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most files that a configuration directory may hold.
pub const FILES_MAX: usize = 1000;
/// The most tenants of one process: each has its own tasks, token and ledger.
pub const TENANTS_MAX: usize = 2000;
/// The most labels of one tenant: they are repeated in every enveloped line.
pub const LABELS_MAX: usize = 32;
/// The longest name of a tenant, name or value of a label, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The largest secret. Client secrets have 40 characters; the limit only keeps a wrong path from being read whole.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;
