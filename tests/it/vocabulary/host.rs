//! The machine that the product runs on: a directory that outlives its processes.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CLIENT, Program, Tenant};

/// A machine. Its directory is removed when it is dropped.
pub(crate) struct Host {
    dir: TempDir,
}

impl Host {
    /// A machine without any state.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("defender-feed-story-").tempdir().unwrap() }
    }

    /// A path on the machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where its commands keep their state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Puts a file there.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts a secret there, which nobody else may read.
    pub(crate) fn write_secret(&self, name: &str, secret: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, secret);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The lines of a file; the last one may be torn.
    pub(crate) fn lines_in(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// A command.
    pub(crate) fn run(&self, command: &str) -> Program {
        Program::new(self.dir.path()).arg(command)
    }

    /// A command for a tenant.
    fn collect(&self, command: &str, tenant: &Tenant) -> Program {
        self.run(command)
            .args(["--tenant-id", &tenant.id(), "--client-id", CLIENT])
            .at(&tenant.base_url())
            .args([Path::new("--state-dir"), &self.state()])
            // Small tenants at full speed; a story that is about pace says so with a flag, which wins.
            .env("DEFENDER_FEED_REQUESTS_PER_MINUTE", "1000000")
            .secret("made-up")
    }

    /// The poller, once a second.
    pub(crate) fn poll(&self, tenant: &Tenant) -> Program {
        self.collect("poll", tenant).env("DEFENDER_FEED_POLL_INTERVAL", "1s")
    }

    /// The poller that ends by itself.
    pub(crate) fn poll_once(&self, tenant: &Tenant) -> Program {
        self.poll(tenant).arg("--once")
    }

    /// A backfill of the last day but its last hour: where it reaches into that, it waits for what is listed late.
    pub(crate) fn backfill(&self, tenant: &Tenant) -> Program {
        self.backfill_since(tenant, "24h").args(["--until", "61m"])
    }

    /// A backfill from then on.
    pub(crate) fn backfill_since(&self, tenant: &Tenant, since: &str) -> Program {
        self.collect("backfill", tenant).args(["--since", since])
    }

    /// The file of dead letters below a directory of state.
    pub(crate) fn dead_letters(&self, below: &Path, tenant: &Tenant) -> Vec<serde_json::Value> {
        let path = below.join("dead-letter").join(format!("{}.ndjson", tenant.id()));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Leaves no room in the poller's file of dead letters: a hole of 1 GiB, which takes up no disk.
    pub(crate) fn fill_dead_letters(&self, tenant: &Tenant) {
        let directory = self.state().join("dead-letter");
        std::fs::create_dir_all(&directory).unwrap();
        let mut file = std::fs::File::create(directory.join(format!("{}.ndjson", tenant.id()))).unwrap();
        file.seek(SeekFrom::Start((1 << 30) - 1)).unwrap();
        file.write_all(b"\n").unwrap();
    }

    /// Where the backfill of a tenant keeps its state.
    pub(crate) fn job(&self, tenant: &Tenant) -> PathBuf {
        self.state().join("jobs").join(tenant.id())
    }
}
