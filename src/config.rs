//! Settings: flags, environment and TOML files in, one checked [`Settings`] out.
//!
//! Two levels. Below: [`Sources`], what a person typed, as texts, each with the place it came from. Above: [`Settings`], what it
//! means, valid by construction, so that nothing behind this room checks a setting again. Between them stands one table of
//! keys ([`settings`]): the flag `--x-y`, the variable `DEFENDER_FEED_X_Y` and the key `x_y` of the file are the same entry of it.
//!
//! **Precedence**: flag, `DEFENDER_FEED_*`, the `[[tenant]]` table, the top of the file, `AZURE_*`, default.
//!
//! - Flags and `DEFENDER_FEED_*` apply to all tenants. `tenant_id` and `client_id` would make all tenants the same one,
//!   so these two are refused beside a file that has `[[tenant]]` tables.
//! - A file without `[[tenant]]` tables describes a single tenant with its top-level keys. With tables, the top level holds
//!   their defaults, and `tenant_id` belongs into the tables.
//! - `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` serve a single tenant (at most one table), where nothing else
//!   gives the value.
//! - A relative path in a file starts at the file's directory; one in a flag or a variable at the working directory.
//!
//! All problems are reported at once ([`Problems`]), unknown keys, unknown variables and wrong types included. No secret is ever a
//! setting, only the place where it stands ([`SecretSource`]), which is read again at each use.
//!
//! This room reads files and the environment, and nothing else: no network, no store, no clock, no runtime.

mod cloud;
pub mod defaults;
mod duration;
mod environment;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
mod layer;
mod log;
mod problem;
mod readers;
mod resolve;
mod secret;
mod settings;
mod suggest;
mod table;
mod tenants;
mod when;

pub use cloud::Cloud;
pub use duration::{parse_duration, print_duration};
pub use keys::{About, Group, Kind, Scope, Setting};
pub use layer::{Given, Sources};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use problem::{Place, Problem, Problems};
pub use resolve::{Need, load};
pub use secret::SecretSource;
pub use settings::{Settings, SubscriptionMode, TenantSettings};
pub use table::{setting, settings};
pub use when::{When, parse_when};

#[cfg(test)]
mod tests;
