//! Flags made from the table of settings.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{About, Group, Kind, Setting, settings};

/// Which settings a command takes as flags.
pub trait Takes: fmt::Debug {
    /// The groups.
    const GROUPS: &'static [Group];
}

/// The log and the configuration; every command.
#[derive(Debug, Clone, Copy)]
pub struct Global;
/// Everything; the commands that talk to tenants.
#[derive(Debug, Clone, Copy)]
pub struct Everything;
/// The form of the output; the commands that have events and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Output;
/// The form of the output, and when it counts as delivered; the commands that have events and a place, but no tenant.
#[derive(Debug, Clone, Copy)]
pub struct Delivery;
/// The state and whose; the commands that read it.
#[derive(Debug, Clone, Copy)]
pub struct State;

impl Takes for Global {
    const GROUPS: &'static [Group] = &[Group::Global];
}
impl Takes for Everything {
    const GROUPS: &'static [Group] =
        &[Group::Select, Group::Tenant, Group::Feed, Group::Output, Group::Delivery, Group::File, Group::State];
}
impl Takes for Output {
    const GROUPS: &'static [Group] = &[Group::Output];
}
impl Takes for Delivery {
    const GROUPS: &'static [Group] = &[Group::Output, Group::Delivery];
}
impl Takes for State {
    const GROUPS: &'static [Group] = &[Group::Select, Group::State];
}

/// The settings that were given as flags, as texts; [`crate::config::load`] makes them into settings. What a text may be is checked
/// here already, so that a wrong flag is a wrong argument.
#[derive(Debug, Clone)]
pub struct SettingFlags<T: Takes> {
    given: Vec<(&'static str, Vec<String>)>,
    takes: PhantomData<T>,
}

impl<T: Takes> SettingFlags<T> {
    /// The names of the settings and their texts.
    pub fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        self.given.clone()
    }
}

fn taken<T: Takes>() -> impl Iterator<Item = &'static dyn Setting> {
    settings().iter().copied().filter(|setting| T::GROUPS.contains(&setting.about().group))
}

impl<T: Takes> Args for SettingFlags<T> {
    fn augment_args(command: Command) -> Command {
        taken::<T>().fold(command, |command, setting| command.arg(arg(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Takes> FromArgMatches for SettingFlags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = |name| matches.try_get_many::<String>(name).ok().flatten();
        let given = taken::<T>()
            .filter_map(|setting| {
                let name = setting.about().name;
                texts(name).map(|texts| (name, texts.cloned().collect()))
            })
            .collect();
        Ok(Self { given, takes: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The name of the flag. clap keeps names as long as the program runs.
fn long(about: &About) -> &'static str {
    static FLAGS: OnceLock<BTreeMap<&'static str, String>> = OnceLock::new();
    let flags = FLAGS.get_or_init(|| settings().iter().map(|s| (s.about().name, s.about().flag())).collect());
    flags.get(about.name).map_or(about.name, String::as_str)
}

/// The flag of a setting. It is global, so that it may stand before or after a command's own command (`state show`).
fn arg(setting: &'static dyn Setting) -> Arg {
    let about = setting.about();
    let mut arg = Arg::new(about.name)
        .long(long(about))
        .value_name(about.value_name)
        .help(help(about))
        .long_help(long_help(about))
        .help_heading(about.group.heading())
        .value_parser(parser(setting))
        .hide_possible_values(about.kind == Kind::Switch)
        .global(true);
    arg = match about.kind {
        Kind::List => arg.action(ArgAction::Append).value_delimiter(','),
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    };
    if about.kind == Kind::Path {
        arg = arg.value_hint(clap::ValueHint::AnyPath);
    }
    if about.name == "quiet" { arg.short('q') } else { arg }
}

/// What a setting does and what holds without it.
fn help(about: &About) -> String {
    if about.default.is_empty() { about.help.to_owned() } else { format!("{} [default: {}]", about.help, about.default) }
}

/// The same and its variable, which is named here and not given to clap: variables are read, checked and reported with all other
/// settings.
fn long_help(about: &About) -> String {
    format!("{} [env: {}]", help(about), about.variable())
}

fn parser(setting: &'static dyn Setting) -> ValueParser {
    if !setting.about().choices.is_empty() {
        return PossibleValuesParser::new(setting.about().choices).into();
    }
    ValueParser::from(move |text: &str| {
        let text = text.to_owned();
        setting.check(std::slice::from_ref(&text)).map(|()| text)
    })
}
