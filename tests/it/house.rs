//! The house rules that no compiler holds: who may use whom, how long a file may be, what lies around.
//!
//! A checker that can't fail holds nothing, so each rule is broken here by a made-up source as well.

mod rules;
mod source;

use std::fs;
use std::path::Path;

use rules::violations;
use source::Source;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory, by their paths from the top.
fn files(below: &str) -> Vec<String> {
    let mut directories = vec![top().join(below)];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(from_top(&path)) }
        }
    }
    files.sort();
    files
}

fn from_top(path: &std::path::Path) -> String {
    path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned()
}

fn sources(below: &str) -> Vec<Source> {
    let rust = files(below).into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| Source { text: fs::read_to_string(top().join(&path)).unwrap(), path }).collect()
}

#[test]
fn every_room_uses_only_what_the_table_allows() {
    let sources = sources("src");
    let found = violations(&sources);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    for source in sources.iter().filter(|s| s.text.lines().count() > 600) {
        eprintln!("{} has {} lines: think of splitting it by subject", source.path, source.text.lines().count());
    }
    // What was read is what there is: an empty reading would find nothing wrong either.
    let read = source::read(&sources);
    let mentions: usize = read.iter().map(|(_, reading)| reading.mentions.len()).sum();
    assert!(read.len() > 150 && mentions > 1_500, "{} files, {mentions} paths", read.len());
    let sees = |room: &str, other: &str| {
        read.iter().any(|(_, reading)| {
            let from_other = |m: &source::Mention| matches!(&m.target, source::Target::Inside(inner) if inner[0] == other);
            reading.module.first().is_some_and(|r| r == room) && reading.mentions.iter().any(from_other)
        })
    };
    assert!(sees("feed", "domain") && sees("runner", "feed") && sees("cli", "simulator") && sees("store", "sink"));
}

#[test]
fn tests_have_names_with_a_subject_and_are_not_too_long() {
    let kept = |violation: &String| !violation.contains("is not in the table");
    let all: Vec<_> = violations(&sources("tests")).into_iter().filter(kept).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// A made-up file, and what must be said about it; nothing if it is all right.
const MADE_UP: &[(&str, &str, Option<&str>)] = &[
    ("src/feed.rs", "use crate::domain::Time; use std::time::Duration;", None),
    ("src/feed.rs", "use crate::api::Client;", Some("feed may not use api")),
    ("src/feed.rs", "use crate::{domain::Time, api};", Some("feed may not use api")),
    ("src/feed.rs", "fn f() -> crate::store::Restored { todo() }", Some("feed may not use store")),
    ("src/feed/deep.rs", "use super::super::sink::Batch;", Some("feed may not use sink")),
    ("src/feed/deep.rs", "mod inner { use super::super::super::sink::Batch; }", Some("feed may not use sink")),
    ("src/feed/deep.rs", "use super::clock::Now; use self::inner::X; mod inner {}", None),
    ("src/feed.rs", "use super::*;", Some("feed imports the whole crate")),
    ("src/feed.rs", "use crate as all;", Some("feed names the whole crate")),
    ("src/feed.rs", "macro_rules! m { () => { $crate::api::Client } }", Some("feed may not use api")),
    ("src/feed.rs", "use std::{fmt, time::{Duration, Instant}};", Some("feed is pure: no std::time::Instant")),
    ("src/feed.rs", "fn now() { std::time::SystemTime::now(); }", Some("feed is pure: no std::time::SystemTime")),
    ("src/feed.rs", "use std::fs as files;", Some("feed is pure: no std::fs")),
    ("src/feed.rs", "fn now() { ::std::net::TcpStream::connect(0); }", Some("feed is pure: no std::net")),
    ("src/feed.rs", "use chrono::Utc; fn now() { Utc::now(); }", Some("feed is pure: no chrono::Utc::now")),
    ("src/feed.rs", "use std::time; fn now() { time::Instant::now(); }", Some("feed is pure: no std::time::Instant")),
    ("src/feed.rs", "use std::time::*;", Some("feed is pure: no std::time::Instant")),
    ("src/feed.rs", "use std as s;", Some("feed is pure: not all of std")),
    ("src/feed.rs", "use std::collections::*;", None),
    ("src/feed.rs", "use tokio::time::sleep;", Some("tokio is not for this file")),
    ("src/feed.rs", "fn r() -> u8 { rand::random() }", Some("rand is not for this file")),
    ("src/feed.rs", "// use crate::api;\n/* crate::api /* nested */ crate::api */ const T: &str = \"crate::api::X\";", None),
    ("src/feed.rs", "const T: &str = r#\"say \"crate::api::X\" \"#; const C: char = '\"'; fn f<'a>(_: &'a str) {}", None),
    ("src/feed.rs", "#[cfg(test)] mod tests { use crate::api::Client; }", None),
    ("src/feed.rs", "#[cfg(any(test, fuzzing))] mod fuzz { use crate::api::Client; }", None),
    ("src/feed.rs", "#[cfg(any(test, unix))] mod fuzz { use crate::api::Client; }", Some("feed may not use api")),
    ("src/feed.rs", "#[cfg(test)] use crate::api::Client; use crate::api::Page;", Some("feed may not use api")),
    ("src/feed.rs", "#[cfg(test)] fn f(_: [u8; 2]) {} use crate::api::Page;", Some("feed may not use api")),
    ("src/decode.rs", "fn f() { crate::event::read(); }", Some("decode may not use event")),
    ("src/event.rs", "pub(crate) use crate::format::Formatter;", Some("event may not use format")),
    ("src/format.rs", "pub use crate::event::Event;", Some("format hands on what belongs to event")),
    ("src/format.rs", "pub(crate) use crate::event::Event;", Some("format hands on what belongs to event")),
    ("src/api.rs", "pub use crate::wire::RequestKind;", None),
    ("src/store.rs", "use crate::sink::{OutputMark, Receipt};", None),
    (
        "src/store.rs",
        "use crate::sink::{Batch, Receipt};",
        Some("store may use no more of sink than Receipt, OutputMark, directory, not Batch"),
    ),
    ("src/store.rs", "fn f() { crate::sink::stdout(); }", Some("store may use no more of sink")),
    ("src/backfill.rs", "use crate::sink::OutputMark;", None),
    ("src/backfill.rs", "use crate::sink::Output;", Some("backfill may use no more of sink")),
    ("src/backfill.rs", "use crate::runner::drive;", Some("backfill may not use runner")),
    ("src/poll.rs", "use crate::runner::drive; use crate::wire::Transport;", None),
    ("src/poll.rs", "use crate::feed::Feed;", Some("poll may not use feed")),
    ("src/runner.rs", "use crate::wire::{HttpTransport, Transport};", Some("runner knows traits, not HttpTransport")),
    (
        "src/runner/writer.rs",
        "fn f<S: crate::store::Store>(_: crate::store::SledStore) {}",
        Some("runner knows traits, not SledStore"),
    ),
    ("src/runner.rs", "use crate::sink::Delivery;", Some("runner knows traits, not Delivery")),
    ("src/simulator.rs", "use crate::api::Client;", Some("simulator may not use api")),
    ("src/telemetry.rs", "use crate::feed::Notice;", Some("telemetry may not use feed")),
    ("src/config.rs", "use reqwest::Url;", Some("reqwest is not for this file")),
    ("src/wire.rs", "use reqwest::Client;", Some("reqwest is not for this file")),
    ("src/wire/http.rs", "use reqwest::Client;", None),
    ("src/store/scan.rs", "use ::sled::Db;", Some("sled is not for this file")),
    ("src/store/scan.rs", "fn f(_: &sled::Tree) {}", Some("sled is not for this file")),
    ("src/store/scan.rs", "use super::sled::Engine;", None),
    ("src/store/sled.rs", "use sled::Db;", None),
    ("src/sink.rs", "fn f() { println!(\"x\"); }", Some("println! has no place here")),
    ("src/sink.rs", "fn f() { std::print!(\"x\"); }", Some("print! has no place here")),
    ("src/sink.rs", "fn f() { std::io::stdout().lock(); }", Some("std::io::stdout is not for this file")),
    ("src/sink.rs", "use std::io; fn f() { io::stderr().lock(); }", Some("io::stderr is not for this file")),
    ("src/sink/stdout.rs", "fn f() { std::io::stdout().lock(); }", None),
    ("src/cli/poll.rs", "fn f() { std::process::exit(1); }", Some("std::process::exit is not for this file")),
    ("src/main.rs", "use defender_feed::cli;", None),
    ("src/main.rs", "use defender_feed::config;", Some("main may not use config")),
    ("src/kitchen.rs", "", Some("the room kitchen is not in the table")),
    ("src/feed.rs", "use crate::kitchen::Sink;", Some("kitchen is no room")),
    ("src/feed/helper.rs", "", Some("helper is a name without a subject")),
    ("src/feed/utils/time.rs", "", Some("utils is a name without a subject")),
    ("src/feed/mod.rs", "", Some("mod is a name without a subject")),
    ("src/feed.rs", "fn f() { todo!() }", Some("todo! has no place here")),
    ("src/feed.rs", "#[cfg(test)] mod tests { #[test]\n#[ignore] fn f() {} }", Some("an ignored test")),
];

#[test]
fn the_checker_finds_each_broken_rule_and_nothing_else() {
    for (path, text, expected) in MADE_UP {
        let made_up = Source { path: (*path).to_owned(), text: (*text).to_owned() };
        // A module of that name beside it: `super::sled` is the room's own.
        let neighbour = Source { path: "src/store/sled.rs".to_owned(), text: String::new() };
        let sources = if *path == neighbour.path { vec![made_up] } else { vec![made_up, neighbour] };
        let found = violations(&sources);
        match expected {
            None => assert!(found.is_empty(), "{path}: {text}\n{found:?}"),
            Some(why) => {
                assert_eq!(found.len(), 1, "{path}: {text}\n{found:?}");
                assert!(found[0].contains(why) && found[0].starts_with(path), "{path}: {text}\n{found:?}");
            }
        }
    }
}

#[test]
fn the_checker_knows_files_that_are_for_tests_alone() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let trial = source("src/feed/trial.rs", "use crate::api::Client;");
    let declared = source("src/feed.rs", "#[cfg(test)]\nmod trial;");
    assert_eq!(violations(&[declared, trial.clone()]), [""; 0]);
    assert_eq!(violations(&[source("src/feed.rs", "mod trial;"), trial]).len(), 1);
}

#[test]
fn the_checker_counts_lines() {
    let long = |path: &str, lines: usize| Source { path: path.to_owned(), text: "\n".repeat(lines) };
    assert_eq!(violations(&[long("src/feed.rs", 800), long("src/main.rs", 60)]), [""; 0]);
    let found = violations(&[long("src/feed.rs", 801), long("src/main.rs", 61)]);
    assert!(found.len() == 2 && found.iter().all(|why| why.contains("more than")), "{found:?}");
}

/// True if a string names the file, or the directory that holds it, whose files are then all read.
fn is_named(fixture: &str, texts: &[String]) -> bool {
    let mut parts: Vec<_> = fixture.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let directory = parts.last().copied().unwrap_or_default();
    let ends_with = |text: &str, last: &str| text == last || text.ends_with(&format!("/{last}"));
    texts.iter().any(|text| text.split([' ', ':', ',']).any(|word| ends_with(word, name) || ends_with(word, directory)))
}

#[test]
fn every_fixture_is_used() {
    let texts: Vec<String> = [sources("src"), sources("tests")].concat().iter().flat_map(|s| source::texts(&s.text)).collect();
    let unused: Vec<_> = files("fixtures").into_iter().filter(|fixture| !is_named(fixture, &texts)).collect();
    assert!(unused.is_empty(), "no test names these: {unused:#?}");
    let named = ["fixtures/blobs/some.json".to_owned(), "read from events".to_owned()];
    assert!(is_named("fixtures/blobs/some.json", &named) && is_named("fixtures/events/any.ndjson", &named));
    assert!(!is_named("fixtures/blobs/awesome.json", &named) && !is_named("fixtures/other/thing.json", &named));
}

#[test]
fn the_state_directory_holds_nothing() {
    assert_eq!(files("state"), ["state/.gitignore"]);
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    for root in ["src/lib.rs", "src/main.rs"] {
        assert!(fs::read_to_string(top().join(root)).unwrap().contains("#![forbid(unsafe_code)]"), "{root}");
    }
}
