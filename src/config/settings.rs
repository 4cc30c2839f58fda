//! The settings as the rest of the program sees them: everything has a value, and every value is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::{Cloud, LogSettings, Problem, SecretSource};
use crate::domain::{ContentType, InvalidValue, OutputFile, OutputFormat, RecordTypes, TenantId, Time};

/// What to do about a feed without a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscriptionMode {
    /// Start it.
    #[default]
    Auto,
    /// Report it and leave it: somebody else decides about subscriptions.
    Require,
}

impl SubscriptionMode {
    /// All of them, the default first.
    pub const ALL: [SubscriptionMode; 2] = [SubscriptionMode::Auto, SubscriptionMode::Require];

    /// The name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            SubscriptionMode::Auto => "auto",
            SubscriptionMode::Require => "require",
        }
    }
}

impl FromStr for SubscriptionMode {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        SubscriptionMode::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| InvalidValue::new("a subscription mode", text, "it is one of auto, require"))
    }
}

impl fmt::Display for SubscriptionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The settings of the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration files that were read, in the order of reading.
    pub files: Vec<PathBuf>,
    /// The directory of the store; absolute.
    pub state_dir: PathBuf,
    /// What a line of output looks like.
    pub format: OutputFormat,
    /// Whether the record's own text stands beside what was made of it.
    pub original: bool,
    /// Whether each line of CEF begins with an RFC 5424 header.
    pub syslog_header: bool,
    /// Whether each line carries the `feed` object.
    pub envelope: bool,
    /// Whether a record that arrives again is delivered again.
    pub keep_duplicates: bool,
    /// How many bytes a line may have; nothing: any number.
    pub max_line_bytes: Option<usize>,
    /// The file that events go to, and when the next one begins; nothing: standard output.
    pub output: Option<OutputFile>,
    /// Whether what goes to a pipe is delivered only when it has been read.
    pub drain: bool,
    /// Which records are wanted where there is no tenant to ask (`decode`, `demo`); a tenant has its own.
    pub record_types: RecordTypes,
    /// The log.
    pub log: LogSettings,
    /// The names of the configured tenants, selected or not; a tenant without a name is called by its id.
    pub names: BTreeMap<TenantId, String>,
    /// The tenants that `--tenant` selects; nothing if it wasn't given.
    pub selected: Option<BTreeSet<TenantId>>,
    /// The selected tenants, complete, in the order of the configuration. At least one with [`Need::Tenants`](super::Need::Tenants), none otherwise.
    pub tenants: Vec<TenantSettings>,
    /// What is no error but deserves a look, such as a secret file that does not exist (yet).
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// What to call a tenant in front of a person.
    pub fn name_of<'a>(&'a self, tenant: &'a TenantId) -> &'a str {
        self.names.get(tenant).map_or(tenant.as_str(), String::as_str)
    }

    /// True if `--tenant` selects this tenant, or was not given.
    pub fn is_selected(&self, tenant: &TenantId) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected.contains(tenant))
    }
}

/// The settings of one tenant.
#[derive(Debug, Clone)]
pub struct TenantSettings {
    /// What people call it; unique, the tenant id if nobody named it.
    pub name: String,
    /// Labels, repeated in each enveloped line.
    pub labels: BTreeMap<String, String>,
    /// The directory GUID.
    pub tenant_id: TenantId,
    /// The application (client) id.
    pub client_id: String,
    /// The tenant of the organisation that runs the collector; the same for all tenants (`activity-api.md` section 9).
    pub publisher_id: TenantId,
    /// Where the client secret stands.
    pub secret: SecretSource,
    /// The cloud that holds the tenant.
    pub cloud: Cloud,
    /// The origin of the API: the cloud's, or the one given. The token goes there and nowhere else.
    pub api_url: Url,
    /// The origin of the token endpoint: the cloud's, or the one given.
    pub login_url: Url,
    /// The scope of the token: always that of the cloud.
    pub scope: String,
    /// The content types to collect, each once, in the order given; at least one.
    pub content_types: Vec<ContentType>,
    /// The records to keep.
    pub record_types: RecordTypes,
    /// Nothing that became available earlier is asked for.
    pub not_before: Option<Time>,
    /// How often each feed is listed.
    pub poll_interval: Duration,
    /// The span of the sweep for late-listed blobs that comes at least hourly.
    pub look_back: Duration,
    /// Start and ceiling of the request rate.
    pub requests_per_minute: u32,
    /// Requests in flight at most; nothing means found by measuring.
    pub concurrency: Option<u32>,
    /// What to do about a feed without a subscription.
    pub subscription: SubscriptionMode,
}
