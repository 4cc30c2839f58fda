//! Where state lies: the poller's in the state directory, each backfill's below it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::{Context, Exit, opened};
use crate::config::Settings;
use crate::store::{FeedView, Inspection, StoreError, inspect};

/// A job file is far smaller.
const JOB_FILE_MAX: u64 = 1 << 20;

/// One store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The backfill that it belongs to; none for the poller.
    pub(super) job: Option<Job>,
    /// Its directory.
    pub(super) dir: PathBuf,
}

/// A backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Job {
    /// Its name: a tenant's id, or a digest of several.
    pub(super) job: String,
    /// The beginning of its range as it was typed, if that is known.
    pub(super) since: Option<String>,
    /// The end of its range as it was typed.
    pub(super) until: Option<String>,
    /// Whether it came to its end.
    pub(super) finished: bool,
}

impl Place {
    /// For a heading.
    pub(super) fn title(&self) -> String {
        match &self.job {
            None => format!("poller in {}", self.dir.display()),
            Some(Job { job, since, until, finished }) => {
                let since = since.as_deref().unwrap_or("unknown");
                let until = until.as_deref().map(|until| format!(" until {until}")).unwrap_or_default();
                let how = if *finished { "finished" } else { "not finished" };
                format!("backfill {job} (since {since}{until}), {how}, in {}", self.dir.display())
            }
        }
    }
}

/// All places below a state directory; at least one.
///
/// # Errors
/// There is none; in words for a person.
pub(super) fn find(state_dir: &Path) -> Result<Vec<Place>, String> {
    let shown = state_dir.display();
    let names = fs::read_dir(state_dir).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!(
                "there is no state directory {shown}: nothing was collected there yet, or --state-dir has to name another one"
            )
        }
        _ => format!("the state directory {shown} can't be read: {error}"),
    })?;
    let mut places = Vec::new();
    if names.flatten().any(|entry| is_state(&entry.file_name().to_string_lossy())) {
        places.push(Place { job: None, dir: state_dir.to_owned() });
    }
    let mut jobs: Vec<_> = fs::read_dir(state_dir.join("jobs")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    jobs.sort();
    places.extend(
        jobs.into_iter()
            .filter(|path| path.join("store").is_dir())
            .map(|path| Place { job: Some(job(&path)), dir: path.join("store") }),
    );
    if places.is_empty() {
        return Err(format!(
            "there is no state in {shown}: no poller or backfill has committed anything there, or --state-dir has to name another one"
        ));
    }
    Ok(places)
}

/// True for what only a store makes; see the table in `store.rs`.
fn is_state(name: &str) -> bool {
    name == "witness.json" || name.starts_with("sled.v") || name.starts_with("damaged-")
}

fn job(dir: &Path) -> Job {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        request: Asked,
        finished: bool,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Asked {
        since: Option<String>,
        until: Option<String>,
    }
    let path = dir.join("job.json");
    let small = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= JOB_FILE_MAX);
    let text = if small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
    // A job file that can't be read says nothing; its store does.
    let File { request: Asked { since, until }, finished } = serde_json::from_slice(&text).unwrap_or_default();
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Job { job: name, since, until, finished }
}

/// Looks into every place; what can't be looked into is reported. The exit code says so.
pub(super) fn look(places: Vec<Place>, context: &Context) -> (Vec<(Place, Option<Inspection>)>, Exit) {
    let mut exit = Exit::Done;
    let mut looked = Vec::new();
    for place in places {
        let inspection = match inspect(&place.dir) {
            Ok(mut inspection) => {
                for damage in &inspection.damage {
                    context.console.error(&format!("{} is damaged: {damage}", place.title()));
                    exit = exit.worst(Exit::Failed);
                }
                if place.job.is_some() {
                    inspection.sizes.dead_letters = dead_letters(&place.dir);
                }
                inspection.feeds.retain(|feed| is_selected(feed, &context.settings));
                Some(inspection)
            }
            Err(error) => {
                context.console.error(&complaint(&place, &error));
                exit = exit.worst(opened::exit(&error));
                None
            }
        };
        looked.push((place, inspection));
    }
    (looked, exit)
}

/// Bytes of a backfill's dead letters, which lie beside its store.
fn dead_letters(store: &Path) -> u64 {
    let files = fs::read_dir(store.with_file_name("dead-letter")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Why a place can't be looked into, and what to do.
pub(super) fn complaint(place: &Place, error: &StoreError) -> String {
    match error {
        StoreError::Locked { pid, since, .. } => {
            let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            let since = since.map(|since| format!(", started at {since}")).unwrap_or_default();
            format!("{}: in use by {who}{since}; its log says how it stands, or stop it and look again", place.title())
        }
        other => format!("{}: {other}", place.title()),
    }
}

fn is_selected(feed: &FeedView, settings: &Settings) -> bool {
    feed.tenant_id.parse().map_or(settings.selected.is_none(), |tenant| settings.is_selected(&tenant))
}

/// What to call the tenant of a feed.
pub(super) fn tenant_name(tenant_id: &str, settings: &Settings) -> String {
    tenant_id.parse().map_or_else(|_| tenant_id.to_owned(), |tenant| settings.name_of(&tenant).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_created_by_looking_for_state() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("state");
        assert!(find(&missing).unwrap_err().contains("there is no state directory"));
        assert!(!missing.exists());
        fs::create_dir(&missing).unwrap();
        fs::write(missing.join(".gitignore"), "*").unwrap();
        assert!(find(&missing).unwrap_err().contains("there is no state in"));
        assert_eq!(fs::read_dir(&missing).unwrap().count(), 1);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(find(&dir.path().join("file")).unwrap_err().contains("can't be read"));
    }

    #[test]
    fn the_poller_comes_before_the_backfills() {
        let dir = tempfile::tempdir().unwrap();
        for (job, text) in
            [("b", r#"{"version":1,"request":{"since":"24h","until":null,"feeds":[]},"finished":true}"#), ("a", "{")]
        {
            let path = dir.path().join("jobs").join(job);
            fs::create_dir_all(path.join("store")).unwrap();
            fs::write(path.join("job.json"), text).unwrap();
        }
        fs::create_dir_all(dir.path().join("jobs/not-begun")).unwrap();
        let titles = |places: Vec<Place>| places.iter().map(Place::title).collect::<Vec<_>>();
        let found = titles(find(dir.path()).unwrap());
        assert!(found[0].starts_with("backfill a (since unknown), not finished, in "), "{found:?}");
        assert!(found[1].starts_with("backfill b (since 24h), finished, in "), "{found:?}");
        fs::write(dir.path().join("witness.json"), "").unwrap();
        let found = titles(find(dir.path()).unwrap());
        assert!(found.len() == 3 && found[0].starts_with("poller in "), "{found:?}");
    }
}
