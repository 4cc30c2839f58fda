//! The log: what passes, and what a line looks like.

use std::fmt::{self, Debug, Write};

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self as fmt_layer, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::console::{Console, LogWriter};
use super::escape::Escaped;

/// Our own target; whatever does not begin with it is a dependency's.
const OURS: &str = "defender_feed";

/// How to log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Each event is a JSON object.
    pub events_as_json: bool,
    /// Each report of a one-shot command is a JSON object.
    pub reports_as_json: bool,
    /// A level for this program, or directives `target=level`, separated by commas. Dependencies log warnings and errors unless a
    /// directive names them.
    pub level: String,
    /// Errors only, whatever the level says.
    pub quiet: bool,
}

/// Starts logging to stderr and returns the handle to it. In one process the first call decides about the log.
pub fn init(log: &Log) -> Console {
    let console = Console::new(log.reports_as_json, log.quiet);
    // `try_init` also takes in what dependencies say through the `log` crate: sled reports a failed fsync only there.
    let writer = LogWriter { console: console.clone(), json: log.events_as_json };
    let _ = subscriber(log, writer, console.is_terminal() && !wants_no_colour()).try_init();
    console
}

/// The convention of no-color.org.
fn wants_no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn subscriber<W>(log: &Log, writer: W, colour: bool) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    // An error while logging must not be reported: tracing would print it to stderr, and panic if that is what has gone.
    let json = log.events_as_json.then(|| {
        fmt_layer::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .log_internal_errors(false)
            .with_writer(writer.clone())
    });
    let text = (!log.events_as_json)
        .then(|| fmt_layer::layer().fmt_fields(TextFields).with_ansi(colour).log_internal_errors(false).with_writer(writer));
    tracing_subscriber::registry().with(targets(log)).with(json).with(text)
}

/// What passes. Dependencies print what goes through them at their finest levels, so a plain level is not for them.
fn targets(log: &Log) -> Targets {
    if log.quiet {
        return Targets::new().with_default(LevelFilter::ERROR);
    }
    let mut ours = LevelFilter::INFO;
    let mut targets = Targets::new();
    for directive in log.level.split(',') {
        match directive.split_once('=') {
            Some((target, level)) => {
                if let Ok(level) = level.trim().parse::<LevelFilter>() {
                    targets = targets.with_target(target.trim(), level);
                }
            }
            None => ours = directive.trim().parse().unwrap_or(ours),
        }
    }
    let named = log.level.split(',').any(|directive| directive.split('=').next().is_some_and(|target| target.trim() == OURS));
    if !named {
        targets = targets.with_target(OURS, ours);
    }
    // It reports each failed handshake as an error of its own; the request that failed says it better.
    let verifier = "rustls_platform_verifier";
    if !log.level.contains(verifier) {
        targets = targets.with_target(verifier, LevelFilter::OFF);
    }
    targets.with_default(ours.min(LevelFilter::WARN))
}

/// Fields as text: the event's name, the message, then `key=value`, everything from outside escaped.
#[derive(Debug)]
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = Text::default();
        fields.record(&mut text);
        let parts = [&text.event, &text.message, &text.rest];
        for (i, part) in parts.into_iter().filter(|part| !part.is_empty()).enumerate() {
            if i > 0 {
                writer.write_char(' ')?;
            }
            writer.write_str(part)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Text {
    event: String,
    message: String,
    rest: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: &str) {
        let safe = Escaped(value).to_string();
        match field.name() {
            // What the bridge from the `log` crate adds: the line shows it elsewhere.
            name if name.starts_with("log.") => {}
            "message" => self.message = safe,
            "event" => self.event = safe,
            name => {
                let space = if self.rest.is_empty() { "" } else { " " };
                let quoted = safe.is_empty() || (safe.contains([' ', '"', '=']) && !safe.starts_with('"'));
                // Writing to a String does not fail.
                let _ = match quoted {
                    true => write!(self.rest, "{space}{name}=\"{}\"", safe.replace('"', "\\\"")),
                    false => write!(self.rest, "{space}{name}={safe}"),
                };
            }
        }
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Memory;
        fn make_writer(&'a self) -> Memory {
            self.clone()
        }
    }

    fn logged(log: &Log, act: impl FnOnce()) -> String {
        let memory = Memory::default();
        tracing::subscriber::with_default(subscriber(log, memory.clone(), false), act);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn level(level: &str) -> Log {
        Log { level: level.to_owned(), ..Log::default() }
    }

    #[test]
    fn a_line_of_text_names_the_event_and_escapes_what_comes_from_outside() {
        let subject = "win\u{1b}[31m\nFAKE  ERROR line";
        let text = logged(&level("info"), || {
            tracing::warn!(event = "page_listed", tenant = "contoso", count = 3, subject = %subject, "said {subject}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let end = "page_listed said win\\u{1b}[31m\\nFAKE  ERROR line tenant=contoso count=3 \
                   subject=\"win\\u{1b}[31m\\nFAKE  ERROR line\"\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.contains(" WARN "), "{text}");
    }

    #[test]
    fn a_line_of_json_is_flat() {
        let log = Log { events_as_json: true, ..level("info") };
        let text = logged(&log, || tracing::info!(event = "page_listed", count = 3, text = "a\nb", "listed"));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["event"], "page_listed");
        assert_eq!(object["count"], 3);
        assert_eq!(object["text"], "a\nb");
        assert_eq!(object["message"], "listed");
        assert_eq!(object["level"], "INFO");
    }

    /// One event of each level from us and from a dependency; the letters of those that pass.
    fn passing(log: &Log) -> String {
        let text = logged(log, || {
            tracing::error!(target: "defender_feed::x", "[E]");
            tracing::warn!(target: "defender_feed::x", "[W]");
            tracing::info!(target: "defender_feed::x", "[I]");
            tracing::debug!(target: "defender_feed::x", "[D]");
            tracing::trace!(target: "defender_feed::x", "[T]");
            tracing::error!(target: "sled::y", "[e]");
            tracing::warn!(target: "sled::y", "[w]");
            tracing::info!(target: "sled::y", "[i]");
            tracing::trace!(target: "sled::y", "[t]");
        });
        text.split('[').skip(1).filter_map(|part| part.chars().next()).collect()
    }

    #[test]
    fn dependencies_are_quieter_than_we_are() {
        assert_eq!(passing(&level("info")), "EWIew");
        assert_eq!(passing(&level("trace")), "EWIDTew");
        assert_eq!(passing(&level("error")), "Ee");
        assert_eq!(passing(&level("off")), "");
        assert_eq!(passing(&level("info,sled=trace")), "EWIewit");
        assert_eq!(passing(&level("sled=info")), "EWIewi");
        assert_eq!(passing(&level("warn,defender_feed::x=debug")), "EWIDew");
        assert_eq!(passing(&level("defender_feed=warn")), "EWew");
        assert_eq!(passing(&Log { quiet: true, ..level("trace,sled=trace") }), "Ee");
    }

    #[test]
    fn a_lost_stderr_is_no_reason_to_fail() {
        #[derive(Clone)]
        struct Gone;
        impl io::Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl<'a> MakeWriter<'a> for Gone {
            type Writer = Gone;
            fn make_writer(&'a self) -> Gone {
                Gone
            }
        }
        for events_as_json in [false, true] {
            let log = Log { events_as_json, ..level("info") };
            tracing::subscriber::with_default(subscriber(&log, Gone, false), || tracing::error!("nobody hears this"));
        }
    }
}
