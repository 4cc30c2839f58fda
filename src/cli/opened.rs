//! Opens a store and tells what was found: every command that writes state begins here.

use std::path::Path;

use super::Exit;
use crate::store::{Condition, OpenReport, SledStore, StoreError};
use crate::telemetry::Console;

/// The store in `dir`, or the exit code to end with; what was found is logged.
pub(super) fn store(dir: &Path, console: &Console) -> Result<SledStore, Exit> {
    match SledStore::open(dir) {
        Ok((store, report)) => {
            tracing::info!(event = "state_opened", "state directory: {}", dir.display());
            tell(&report);
            Ok(store)
        }
        Err(error) => {
            console.error(&error.to_string());
            Err(exit(&error))
        }
    }
}

/// The exit code of a store that can't be used.
pub(super) fn exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Locked { .. } => Exit::Locked,
        StoreError::Newer { .. } => Exit::Config,
        _ => Exit::Failed,
    }
}

fn tell(report: &OpenReport) {
    match &report.condition {
        Condition::FirstStart | Condition::Healthy => {}
        Condition::RolledBack { moved_to } => tracing::error!(
            event = "state_rolled_back",
            "the state stood behind its witness (a restored backup, or damage that went unnoticed) and was moved to {}: collection goes on from the older place, and records may come again",
            moved_to.display()
        ),
        Condition::Vanished => tracing::error!(
            event = "state_vanished",
            "the state is gone although its witness is there: collection goes on from the witness's floor, and records of the last seven days may come again"
        ),
        Condition::Quarantined { why, moved_to } => tracing::error!(
            event = "state_damaged",
            "the state was damaged ({}) and is moved to {}: collection goes on from what can still be trusted, and records of the last seven days may come again",
            why.join("; "),
            moved_to.display()
        ),
    }
    for path in &report.set_aside {
        tracing::warn!(
            event = "state_file_set_aside",
            "an unfinished file of an interrupted start was moved to {}",
            path.display()
        );
    }
    for warning in &report.warnings {
        tracing::warn!(event = "state_doubtful", "{warning}");
    }
}
