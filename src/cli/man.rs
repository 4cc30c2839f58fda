//! `man`: one manual page for all commands.

use std::collections::BTreeSet;
use std::io;

use clap::{Arg, Args};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::flags::{Everything, SettingFlags};
use super::{Exit, backfill, check, command, completions, decode, demo, poll, schema, simulate, state, stdout, subscriptions};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Usage, Exit::OutputClosed];

/// The exit codes of each command, in the order of the help.
pub const COMMANDS: [(&str, &[Exit]); 11] = [
    ("poll", poll::EXITS),
    ("backfill", backfill::EXITS),
    ("decode", decode::EXITS),
    ("demo", demo::EXITS),
    ("simulate", simulate::EXITS),
    ("check", check::EXITS),
    ("subscriptions", subscriptions::EXITS),
    ("state", state::EXITS),
    ("schema", schema::EXITS),
    ("completions", completions::EXITS),
    ("man", EXITS),
];

/// Prints the page.
pub fn run() -> Exit {
    match page() {
        Ok(page) => stdout::print(&page),
        Err(_) => Exit::Failed,
    }
}

/// The page as roff. Writing into memory does not fail.
fn page() -> io::Result<Vec<u8>> {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut page = Vec::new();
    let man = Man::new(root.clone()).manual("defender-feed");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for (name, exits) in COMMANDS {
        if let Some(command) = root.find_subcommand(name) {
            section(&mut page, command, &format!("defender-feed {name}"))?;
            codes(&mut page, exits)?;
        }
    }
    all_settings(&mut page)?;
    heading(&mut page, "VERSION")?;
    let mut roff = Roff::default();
    roff.text([roman(env!("CARGO_PKG_VERSION"))]);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A command and the commands inside it. Settings are described once, below.
fn section(page: &mut Vec<u8>, command: &clap::Command, name: &str) -> io::Result<()> {
    heading(page, name)?;
    let headings: BTreeSet<&str> =
        command.get_arguments().filter(|arg| is_setting(arg)).filter_map(Arg::get_help_heading).collect();
    let own = command.clone().bin_name(name).mut_args(|arg| {
        let elsewhere = is_setting(&arg) || arg.get_id() == "help";
        arg.hide(elsewhere)
    });
    let man = Man::new(own);
    parts(page, |parts| {
        man.render_description_section(parts)?;
        man.render_synopsis_section(parts)?;
        man.render_options_section(parts)
    })?;
    if !headings.is_empty() {
        let mut roff = Roff::default();
        let list: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
        roff.control("SS", ["SETTINGS"]);
        roff.text([roman(format!("Those under {}.", list.join(", ")))]);
        roff.to_writer(page)?;
    }
    for inner in command.get_subcommands() {
        section(page, inner, &format!("{name} {}", inner.get_name()))?;
    }
    Ok(())
}

fn is_setting(arg: &Arg) -> bool {
    crate::config::setting(arg.get_id().as_str()).is_some()
}

/// All settings of commands, by heading.
fn all_settings(page: &mut Vec<u8>) -> io::Result<()> {
    heading(page, "SETTINGS")?;
    let command = SettingFlags::<Everything>::augment_args(clap::Command::new("settings").disable_help_flag(true));
    parts(page, |parts| Man::new(command).render_options_section(parts))
}

fn heading(page: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [text]);
    roff.to_writer(page)
}

/// What would be sections of a page become parts of a section.
fn parts(page: &mut Vec<u8>, render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let mut parts = vec![b'\n'];
    render(&mut parts)?;
    let parts = String::from_utf8_lossy(&parts).replace("\n.SH ", "\n.SS ");
    page.extend_from_slice(parts.trim_start_matches('\n').as_bytes());
    Ok(())
}

fn codes(page: &mut Vec<u8>, exits: &[Exit]) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SS", ["EXIT CODES"]);
    for exit in exits {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(exit.meaning())]);
    }
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_of_every_command_flag_and_exit_code() {
        let page = String::from_utf8(page().unwrap()).unwrap().replace("\\-", "-");
        let root = command();
        let mut commands: Vec<(String, &clap::Command)> = vec![("defender-feed".to_owned(), &root)];
        while let Some((name, command)) = commands.pop() {
            if name != "defender-feed" {
                assert!(page.contains(&format!(".SH \"{name}\"")) || page.contains(&format!(".SH {name}")), "{name}");
            }
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{flag}")), "{name} --{flag}");
            }
            commands.extend(command.get_subcommands().map(|inner| (format!("{name} {}", inner.get_name()), inner)));
        }
        for exit in Exit::ALL {
            assert!(page.contains(exit.meaning()), "{exit:?}");
        }
        let known: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(known, COMMANDS.map(|(name, _)| name));
    }
}
