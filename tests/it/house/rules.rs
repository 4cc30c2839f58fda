//! The rules: which room may use what, and what no file may hold.

use super::source::{Mention, Reading, Source, Target, read};

/// A room and the rooms that it may use (design, section 3).
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("mutant", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain"]),
    ("wire", &["domain"]),
    ("auth", &["domain", "wire"]),
    ("api", &["domain", "mutant", "auth", "wire"]),
    ("feed", &["domain", "mutant"]),
    ("decode", &["domain"]),
    ("event", &["domain"]),
    ("format", &["domain", "event"]),
    ("sink", &["domain", "mutant"]),
    ("store", &["domain", "mutant", "sink"]),
    ("runner", &["domain", "mutant", "feed", "api", "decode", "format", "sink", "store", "telemetry", "wire"]),
    ("poll", &["runner", "domain", "wire"]),
    ("backfill", &["domain", "sink"]),
    ("simulator", &["domain"]),
    ("cli", EVERY_ROOM),
    ("main", &["cli"]),
];

const EVERY_ROOM: &[&str] = &[
    "domain",
    "mutant",
    "config",
    "telemetry",
    "wire",
    "auth",
    "api",
    "feed",
    "decode",
    "event",
    "format",
    "sink",
    "store",
    "runner",
    "poll",
    "backfill",
    "simulator",
];

/// Where a room may use no more than these of another.
const ONLY: &[(&str, &str, &[&str])] = &[
    // What is committed comes from a receipt; the store knows nothing of writing. What is within is as safe as its directory's name.
    ("store", "sink", &["Receipt", "OutputMark", "directory"]),
    ("backfill", "sink", &["OutputMark", "directory"]),
    ("poll", "wire", &["Transport"]),
];

/// What a room may hand on of another: callers of the API need the words for its failures.
const HANDED_ON: &[(&str, &str)] = &[("api", "wire")];

/// A crate, or a part of one, and the files that may name it.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("reqwest", &["src/wire/http"]),
    ("rustls", &["src/wire/http", "src/wire/cause.rs"]),
    ("sled", &["src/store/sled.rs"]),
    // Only to tell what went wrong under reqwest.
    ("hyper", &["src/simulator/http", "src/wire/cause.rs", "src/wire/http"]),
    ("hyper_util", &["src/simulator/http"]),
    ("http_body_util", &["src/simulator/http"]),
    ("tokio", &["src/auth", "src/api.rs", "src/wire", "src/runner", "src/poll.rs", "src/cli", "src/simulator/http"]),
    ("clap", &["src/cli", "src/simulator/options.rs"]),
    ("clap_complete", &["src/cli"]),
    ("clap_mangen", &["src/cli"]),
    ("toml", &["src/config"]),
    ("indicatif", &["src/telemetry"]),
    ("tracing_subscriber", &["src/telemetry", "src/config"]),
    ("rustix", &["src/config/secret.rs", "src/sink", "src/store", "src/cli", "src/telemetry/console.rs"]),
    ("wide", &["src/decode/stops.rs"]),
    ("tempfile", &["src/cli/demo.rs"]),
    ("rand", &[]),
    ("proptest", &[]),
    ("std::process::exit", &["src/cli/engine.rs"]),
    ("std::env::set_var", &[]),
];

/// Rooms that compute and nothing else, and what they may therefore not name.
const PURE: &[&str] = &["feed", "decode", "event", "format", "domain"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::hash::RandomState",
    "std::collections::hash_map::RandomState",
    "tokio",
    "rand",
    "tracing",
    "rustix",
    "chrono::Utc::now",
    "chrono::Local",
];

/// Concrete things that the shell must not know: it is driven without them in simulations.
const CONCRETE: &[&str] = &["HttpTransport", "SledStore", "Delivery"];
const SHELL: &[&str] = &["runner", "poll", "backfill"];

/// Standard output and standard error belong to these files.
const STDOUT: &[&str] = &["src/sink/stdout.rs", "src/cli/stdout.rs", "src/cli/collect.rs", "src/cli/check/host.rs"];
const STDERR: &[&str] = &["src/telemetry/console.rs", "src/cli.rs"];
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg", "todo", "unimplemented"];

/// Names that say nothing about a subject.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "utilities", "common", "manager", "helper", "helpers", "misc", "types", "prelude", "mod"];

const LINES_MAX: usize = 800;
const LINES_OF_MAIN_MAX: usize = 60;

/// What is wrong with a crate's sources.
pub(super) fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        found.extend(of_file(source));
    }
    for (path, reading) in read(sources) {
        let room = if path == "src/main.rs" { "main" } else { reading.module.first().map_or("lib", String::as_str) };
        if room == "lib" {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            found.push(format!("{path}: the room {room} is not in the table"));
            continue;
        };
        found.extend(of_room(&path, room, allowed, &reading));
    }
    found
}

fn of_file(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut found = Vec::new();
    let names = path.trim_end_matches(".rs").split('/');
    found.extend(names.filter(|n| EMPTY_NAMES.contains(n)).map(|n| format!("{path}: {n} is a name without a subject")));
    let lines = source.text.lines().count();
    let most = if path == "src/main.rs" { LINES_OF_MAIN_MAX } else { LINES_MAX };
    if lines > most {
        found.push(format!("{path}: {lines} lines, more than {most}"));
    }
    for (line, word) in super::source::words(&source.text) {
        let is_attribute = word == "ignore" && source.text.lines().nth(line - 1).is_some_and(|l| l.contains("#[ignore"));
        if is_attribute {
            found.push(format!("{path}:{line}: an ignored test tells nobody anything"));
        }
    }
    found
}

fn of_room(path: &str, room: &str, allowed: &[&str], reading: &Reading) -> Vec<String> {
    let mut found = Vec::new();
    for mention in &reading.mentions {
        let why = match &mention.target {
            Target::Inside(inner) => inside(room, allowed, inner, mention),
            Target::Outside(outer) => outside(path, room, outer),
        };
        found.extend(why.map(|why| format!("{path}:{}: {why}", mention.line)));
    }
    for (line, name) in &reading.macros {
        if PRINTING.contains(&name.as_str()) {
            found.push(format!("{path}:{line}: {name}! has no place here"));
        }
    }
    for (line, word) in &reading.words {
        if SHELL.contains(&room) && CONCRETE.contains(&word.as_str()) {
            found.push(format!("{path}:{line}: {room} knows traits, not {word}"));
        }
    }
    found
}

fn inside(room: &str, allowed: &[&str], inner: &[String], mention: &Mention) -> Option<String> {
    let Some(other) = inner.first().map(String::as_str) else {
        return Some(format!("{room} names the whole crate"));
    };
    if other == "*" {
        return Some(format!("{room} imports the whole crate"));
    }
    if other == room {
        return None;
    }
    if !ROOMS.iter().any(|(name, _)| *name == other) {
        return Some(format!("{other} is no room"));
    }
    if !allowed.contains(&other) {
        return Some(format!("{room} may not use {other}"));
    }
    if mention.exported && !HANDED_ON.contains(&(room, other)) {
        return Some(format!("{room} hands on what belongs to {other}: others would use it behind the table's back"));
    }
    let (_, _, items) = ONLY.iter().find(|(user, used, _)| *user == room && *used == other)?;
    let item = inner.get(1).map_or("everything", String::as_str);
    (!items.contains(&item)).then(|| format!("{room} may use no more of {other} than {}, not {item}", items.join(", ")))
}

fn outside(path: &str, room: &str, outer: &[String]) -> Option<String> {
    let name = outer.join("::");
    let is = |rule: &&str| leads_to(outer, rule);
    for (rule, places) in OUTSIDE {
        if is(rule) && !places.iter().any(|place| path.starts_with(place)) {
            return Some(format!("{rule} is not for this file"));
        }
    }
    if PURE.contains(&room) && outer == ["std"] {
        return Some(format!("{room} is pure: not all of std"));
    }
    if PURE.contains(&room)
        && let Some(rule) = IMPURE.iter().find(|rule| is(rule))
    {
        return Some(format!("{room} is pure: no {rule}"));
    }
    let places = match outer.last().map(String::as_str) {
        Some("stdout") => STDOUT,
        Some("stderr") => STDERR,
        _ => return None,
    };
    let of_io = outer.iter().any(|part| part == "io");
    (of_io && !places.contains(&path)).then(|| format!("{name} is not for this file"))
}

/// True if a path names what the rule is about: it or something in it; its name from the middle on, after a `use` of what
/// stands before; or everything of what holds it.
fn leads_to(path: &[String], rule: &str) -> bool {
    let rule: Vec<&str> = rule.split("::").collect();
    let begins_with = |whole: &[String], part: &[&str]| whole.len() >= part.len() && whole.iter().zip(part).all(|(a, b)| a == b);
    let middle = (1..rule.len().saturating_sub(1)).any(|from| begins_with(path, &rule[from..]));
    let glob = path.split_last().is_some_and(|(last, holder)| last == "*" && holder.iter().zip(&rule).all(|(a, b)| a == b));
    begins_with(path, &rule) || middle || (glob && path.len() == rule.len())
}
