//! What the fuzz targets in `fuzz/` run: for each way in from outside, what must hold whatever comes.
//!
//! Not part of the API: it is there in fuzzing builds (`--cfg fuzzing`) and in unit tests, which run every input of the
//! committed corpus through the same functions. Each takes any bytes, and panics if something does not hold.

pub use crate::api::fuzz::{listing, origin};
pub use crate::auth::fuzz::token;
pub use crate::config::fuzz::config;
pub use crate::decode::fuzz::blob;
pub use crate::store::fuzz::state;
pub use crate::wire::fuzz::{headers, inflate};

/// Whatever a record is, its lines and its dead letters are lines of JSON that hold all of it.
pub fn encoders(data: &[u8]) {
    crate::format::fuzz::lines(data);
    crate::sink::fuzz::dead_letters(data);
}

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their files in `fuzz/fuzz_targets` and of their corpora in `fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("blob", blob),
    ("config", config),
    ("encoders", encoders),
    ("headers", headers),
    ("inflate", inflate),
    ("listing", listing),
    ("origin", origin),
    ("state", state),
    ("token", token),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::TARGETS;

    fn entries(directory: &str) -> Vec<PathBuf> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory);
        let mut entries: Vec<_> = fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    fn names(directory: &str) -> BTreeSet<String> {
        entries(directory).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// What once failed stays in the corpus, and with it what keeps it from failing again.
    fn replay(target: &str) {
        let (name, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
        let inputs = entries(&format!("corpus/{name}"));
        assert!(inputs.len() >= 10, "{} inputs for {name}", inputs.len());
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            std::panic::catch_unwind(|| run(&bytes)).unwrap_or_else(|_| panic!("{} fails", input.display()));
        }
    }

    macro_rules! replays {
        ($($test:ident $target:literal)*) => {
            $(#[test]
            fn $test() {
                replay($target);
            })*

            #[test]
            fn every_target_has_its_file_its_corpus_and_its_replay() {
                let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
                assert_eq!(known, BTreeSet::from([$($target.to_owned()),*]));
                assert_eq!((names("fuzz_targets"), names("corpus")), (known.clone(), known.clone()));
                let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
                let missing: Vec<_> = known.iter().filter(|name| !manifest.contains(&format!("name = \"{name}\""))).collect();
                assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
            }
        };
    }

    replays! {
        the_corpus_of_blobs_holds "blob"
        the_corpus_of_configurations_holds "config"
        the_corpus_of_records_holds "encoders"
        the_corpus_of_headers_holds "headers"
        the_corpus_of_compressed_bodies_holds "inflate"
        the_corpus_of_listings_holds "listing"
        the_corpus_of_urls_holds "origin"
        the_corpus_of_states_holds "state"
        the_corpus_of_token_replies_holds "token"
    }
}
