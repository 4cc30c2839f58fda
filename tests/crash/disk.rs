//! A disk that loses power: what was synced is there, of the rest anything may be.
//!
//! The model is stricter than the usual file systems. The content of a file is durable once the file is synced, a name once
//! its directory is; `sync_file_range` makes nothing durable. Of what is not durable each sector of 512 bytes and each change
//! of a name may be there or not, by itself, whatever came before it: so writes are dropped, torn and reordered. A file may
//! have grown without its data (zeros). Only a rename is one thing: the old name or the new one.
//!
//! A kill takes nothing from it: what the killed process did not sync is there for the next one, and is as far from durable as before.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::calls::Call;
use crate::dice::Dice;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Directory,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone)]
enum Naming {
    Make(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// A file: what is durable of it, and what came since.
#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// A directory tree on such a disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    root: PathBuf,
    contents: Vec<Content>,
    /// As the processes see them.
    names: Names,
    durable_names: Names,
    pending_names: Vec<Naming>,
    /// To see that the checks see: a file whose syncs are forgotten.
    deaf: Option<PathBuf>,
}

/// Which of the things that are not durable are there after the power is back, in hundredths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Luck {
    /// Changes of names.
    pub(crate) names: u64,
    /// Writes that have reached the disk as a whole.
    pub(crate) writes: u64,
    /// Sectors of the other writes.
    pub(crate) sectors: u64,
    /// Files that have got their length, with zeros for data that is missing.
    pub(crate) lengths: u64,
}

impl Luck {
    /// So many first cases are the extreme ones; the rest is drawn.
    const EXTREMES: [Luck; 5] = [
        Luck { names: 0, writes: 0, sectors: 0, lengths: 0 },
        Luck { names: 100, writes: 100, sectors: 0, lengths: 100 },
        Luck { names: 100, writes: 0, sectors: 0, lengths: 0 },
        Luck { names: 100, writes: 0, sectors: 0, lengths: 100 },
        Luck { names: 0, writes: 100, sectors: 0, lengths: 100 },
    ];

    pub(crate) fn of(case: u64, dice: &mut Dice) -> Luck {
        let extreme = usize::try_from(case).ok().and_then(|case| Luck::EXTREMES.get(case));
        extreme.copied().unwrap_or_else(|| {
            let mut some = |choices: [u64; 3]| choices[usize::try_from(dice.below(3)).unwrap()];
            Luck {
                names: some([20, 50, 100]),
                writes: some([0, 50, 90]),
                sectors: some([10, 50, 95]),
                lengths: some([0, 50, 100]),
            }
        })
    }
}

/// What is there after the power is back.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Image {
    directories: Vec<PathBuf>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Disk {
    /// A tree that is durable as it stands.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Disk { root: root.to_owned(), ..Disk::default() };
        disk.names.insert(root.to_owned(), Node::Directory);
        disk.take_up(root);
        disk.durable_names = disk.names.clone();
        disk
    }

    /// The same disk, where `from` is called `to`.
    pub(crate) fn moved(mut self, from: &Path, to: &Path) -> Self {
        rename(&mut self.names, &Naming::Rename(from.to_owned(), to.to_owned()));
        self.durable_names = self.names.clone();
        self.root = to.to_owned();
        self
    }

    /// That file is there, as a shell has made it before the product starts; its name is not durable yet.
    pub(crate) fn ensure_file(&mut self, path: &Path) {
        if !self.names.contains_key(path) {
            self.contents.push(Content::default());
            self.name(Naming::Make(path.to_owned(), Node::File(self.contents.len() - 1)));
        }
    }

    fn take_up(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.names.insert(path.clone(), Node::Directory);
                self.take_up(&path);
            } else {
                self.contents.push(Content { durable: fs::read(&path).unwrap(), pending: Vec::new() });
                self.names.insert(path, Node::File(self.contents.len() - 1));
            }
        }
    }

    /// Does what a call did, if it was made. `data` is what it wrote.
    pub(crate) fn apply(&mut self, call: &Call, data: &[u8]) {
        let Some(result) = call.result.ok().filter(|_| call.made) else { return };
        let at = || usize::try_from(call.offset.expect("the shim tells where a file is written")).unwrap();
        match call.name.as_str() {
            "open-create" | "open-create-empty" | "open-empty" => {
                if !self.names.contains_key(&call.path) {
                    self.contents.push(Content::default());
                    self.name(Naming::Make(call.path.clone(), Node::File(self.contents.len() - 1)));
                }
                if call.name.ends_with("empty") {
                    self.change(&call.path, Change::Cut(0));
                }
            }
            "write" | "pwrite" => {
                assert_eq!(data.len() as u64, result, "each byte that was written is known");
                self.change(&call.path, Change::Write(at(), data.to_owned()));
            }
            "ftruncate" => self.change(&call.path, Change::Cut(at())),
            "mkdir" | "mkdirat" => self.name(Naming::Make(call.path.clone(), Node::Directory)),
            "rename" => self.name(Naming::Rename(call.path.clone(), call.second.clone())),
            "unlink" | "unlinkat" | "rmdir" => self.name(Naming::Remove(call.path.clone())),
            "fsync" | "fdatasync" => self.sync(&call.path),
            "open" | "flock" | "fchmod" | "fchown" | "sync_file_range" | "read" | "pread" | "close" => {}
            other => panic!("the model of a disk does not know {other}"),
        }
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    fn change(&mut self, path: &Path, change: Change) {
        if let Some(Node::File(content)) = self.names.get(path) {
            self.contents[*content].pending.push(change);
        }
    }

    /// From now on the syncs of that file do nothing.
    pub(crate) fn forget_syncs_of(&mut self, path: &Path) {
        self.deaf = Some(path.to_owned());
    }

    fn sync(&mut self, path: &Path) {
        if self.deaf.as_deref() == Some(path) {
            return;
        }
        match self.names.get(path) {
            Some(Node::File(content)) => {
                let content = &mut self.contents[*content];
                for change in std::mem::take(&mut content.pending) {
                    change.apply(&mut content.durable);
                }
            }
            Some(Node::Directory) => {
                // A name that was taken from elsewhere is durable with whatever made it there.
                let (mut taken, mut pending): (Vec<PathBuf>, Vec<Naming>) = (Vec::new(), Vec::new());
                let mut synced = Vec::new();
                for naming in std::mem::take(&mut self.pending_names).into_iter().rev() {
                    if naming.is_in(path) || taken.iter().any(|name| naming.gives() == Some(name.as_path())) {
                        if let Naming::Rename(from, _) = &naming {
                            taken.push(from.clone());
                        }
                        synced.push(naming);
                    } else {
                        pending.push(naming);
                    }
                }
                pending.reverse();
                self.pending_names = pending;
                synced.iter().rev().for_each(|naming| rename(&mut self.durable_names, naming));
            }
            None => {}
        }
    }

    /// How much of a file would surely be there, under its name.
    pub(crate) fn durable_length(&self, path: &Path) -> usize {
        match self.durable_names.get(path) {
            Some(Node::File(content)) => self.contents[*content].durable.len(),
            _ => 0,
        }
    }

    /// What would surely be there of an output, in all its files: those with this name and more behind it too.
    pub(crate) fn durable_output(&self, output: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, node) in &self.durable_names {
            let Node::File(content) = node else { continue };
            if path.to_string_lossy().starts_with(&*output.to_string_lossy()) {
                bytes.extend_from_slice(&self.contents[*content].durable);
                // What is broken off there is no beginning of what another file begins with.
                bytes.push(b'\n');
            }
        }
        bytes
    }

    /// The power is gone, and back.
    pub(crate) fn lose_power(&self, luck: Luck, dice: &mut Dice) -> Image {
        let mut names = self.durable_names.clone();
        for naming in &self.pending_names {
            if dice.percent(luck.names) {
                rename(&mut names, naming);
            }
        }
        // A name without its directory leads nowhere.
        let whole =
            |path: &Path| path.ancestors().skip(1).take_while(|up| up.starts_with(&self.root)).all(|up| names.contains_key(up));
        let mut image = Image { directories: Vec::new(), files: Vec::new() };
        for (path, node) in names.iter().filter(|(path, _)| whole(path)) {
            match node {
                Node::Directory => image.directories.push(path.clone()),
                Node::File(content) => image.files.push((path.clone(), self.contents[*content].lose_power(luck, dice))),
            }
        }
        image
    }
}

impl Naming {
    fn is_in(&self, directory: &Path) -> bool {
        match self {
            Naming::Make(path, _) | Naming::Remove(path) => path.parent() == Some(directory),
            Naming::Rename(from, to) => from.parent() == Some(directory) || to.parent() == Some(directory),
        }
    }

    /// The name that is there because of it.
    fn gives(&self) -> Option<&Path> {
        match self {
            Naming::Make(path, _) | Naming::Rename(_, path) => Some(path),
            Naming::Remove(_) => None,
        }
    }
}

/// Changes a name, if what it is about is there.
fn rename(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Make(path, node) => {
            names.insert(path.clone(), *node);
        }
        // With a directory goes what was below, removed or not: the next one of its name is another.
        Naming::Remove(path) => names.retain(|name, _| !name.starts_with(path)),
        // As the system does: a directory takes no place that is not empty.
        Naming::Rename(_, to)
            if names.get(to) == Some(&Node::Directory) && names.keys().any(|path| path.parent() == Some(to)) => {}
        Naming::Rename(from, to) => {
            let moved: Vec<(PathBuf, Node)> =
                names.iter().filter(|(path, _)| path.starts_with(from)).map(|(path, node)| (path.clone(), *node)).collect();
            for (path, node) in moved {
                names.remove(&path);
                let rest = path.strip_prefix(from).expect("only what is below was taken");
                let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                names.insert(target, node);
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Cut(length) => bytes.resize(*length, 0),
            Change::Write(at, data) => write(bytes, *at, data),
        }
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Content {
    fn lose_power(&self, luck: Luck, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut length = bytes.len();
        for change in &self.pending {
            match change {
                Change::Cut(to) if dice.percent(luck.writes) => {
                    bytes.resize(*to, 0);
                    length = *to;
                }
                Change::Cut(_) => {}
                Change::Write(at, data) if dice.percent(luck.writes) => {
                    write(&mut bytes, *at, data);
                    length = length.max(at + data.len());
                }
                Change::Write(at, data) => {
                    length = length.max(at + data.len());
                    for (from, sector) in sectors(*at, data) {
                        if dice.percent(luck.sectors) {
                            write(&mut bytes, from, sector);
                        }
                    }
                }
            }
        }
        if dice.percent(luck.lengths) && length > bytes.len() {
            bytes.resize(length, 0);
        }
        bytes
    }
}

/// A write, cut at the sectors of the file.
fn sectors(at: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - at % SECTOR).min(data.len());
    let (head, rest) = data.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate().map(move |(n, sector)| (at + first + n * SECTOR, sector));
    std::iter::once((at, head)).chain(rest).filter(|(_, sector)| !sector.is_empty())
}

impl Image {
    /// Puts what lay below `from` on the real disk, below `to`; leaves out `but`.
    pub(crate) fn lay_out(&self, from: &Path, to: &Path, but: &Path) {
        let place = |path: &Path| to.join(path.strip_prefix(from).expect("everything lies below the root"));
        for directory in &self.directories {
            fs::create_dir_all(place(directory)).unwrap();
        }
        for (path, bytes) in self.files.iter().filter(|(path, _)| path != but) {
            fs::write(place(path), bytes).unwrap();
        }
    }

    /// Equal images, equal prints.
    pub(crate) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
