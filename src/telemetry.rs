//! What people and their tools see of a running program, all of it on stderr: logs, progress, reports.
//!
//! - **Logs** go through `tracing`. Each event of ours has a field `event` with a stable snake_case name (`page_listed`,
//!   `throttled`), for alarms that outlive the wording of messages: `tracing::warn!(event = "throttled", tenant = %name, "…")`.
//!   Control characters from data are escaped, so that no record and no reply can forge a line or drive a terminal. What sled says
//!   through `log` arrives here as well. Events that can repeat by the thousand pass a [`RepeatLimit`] first.
//! - **Reports** ([`Console::report`]) are what a one-shot command has to say in the end; they are written for a person.
//! - **Progress** ([`Progress`]) is a bar on a terminal and a log line now and then elsewhere.
//!
//! Losing stderr never stops the program: what can't be written there is dropped. This room calls no other one.

mod console;
mod escape;
mod limit;
mod log;
mod progress;
mod summary;

pub use console::Console;
pub use escape::Escaped;
pub use limit::RepeatLimit;
pub use log::{Log, init};
pub use progress::Progress;
pub use summary::Summary;
