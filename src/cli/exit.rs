//! Exit codes: the one list.

use std::process::ExitCode;

/// How the program ends. The numbers are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed, or some tenants did.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// Everything was done, and something is missing: gaps or dead letters.
    Gaps = 3,
    /// The output is closed or full.
    OutputClosed = 74,
    /// Another instance holds the state.
    Locked = 75,
    /// Microsoft refuses: credentials, permission, or the tenant.
    Refused = 77,
    /// The settings are wrong.
    Config = 78,
    /// A one-shot command was interrupted (SIGINT).
    Interrupted = 130,
    /// A one-shot command was told to end (SIGTERM).
    Terminated = 143,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Exit; 10] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Gaps,
        Exit::OutputClosed,
        Exit::Locked,
        Exit::Refused,
        Exit::Config,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for help and manual.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed, or some tenants failed",
            Exit::Usage => "wrong arguments",
            Exit::Gaps => "done, with gaps or dead letters",
            Exit::OutputClosed => "the output is closed or full",
            Exit::Locked => "another instance holds the state",
            Exit::Refused => "refused by Microsoft (credentials, permission, tenant), or no client secret to ask with",
            Exit::Config => "wrong settings",
            Exit::Interrupted => "interrupted (SIGINT)",
            Exit::Terminated => "told to end (SIGTERM)",
        }
    }

    /// The one to end with if two things happened. From the strongest: 74, 78, 77, 75, 2, 143, 130, 1, 3, 0.
    ///
    /// First what makes it pointless to go on (nobody reads; it is set up wrong; it is refused; it is not alone). A signal comes before
    /// 1 and 3, because an interrupted command has not seen everything that could have failed or be missing.
    pub fn worst(self, other: Exit) -> Exit {
        if self.rank() <= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Exit::OutputClosed => 0,
            Exit::Config => 1,
            Exit::Refused => 2,
            Exit::Locked => 3,
            Exit::Usage => 4,
            Exit::Terminated => 5,
            Exit::Interrupted => 6,
            Exit::Failed => 7,
            Exit::Gaps => 8,
            Exit::Done => 9,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The table of exit codes at the end of a command's help.
pub fn table(exits: &[Exit]) -> String {
    let rows: Vec<String> = exits.iter().map(|exit| format!("{:>5}  {}", exit.code(), exit.meaning())).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_are_an_interface() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 74, 75, 77, 78, 130, 143]);
    }

    #[test]
    fn the_precedence_is_that_of_the_design() {
        let order = [Exit::OutputClosed, Exit::Config, Exit::Refused, Exit::Failed, Exit::Gaps, Exit::Done];
        for (i, strong) in order.into_iter().enumerate() {
            for weak in &order[i..] {
                assert_eq!(strong.worst(*weak), strong);
                assert_eq!(weak.worst(strong), strong);
            }
        }
        assert_eq!(Exit::Interrupted.worst(Exit::Gaps), Exit::Interrupted);
        assert_eq!(Exit::Interrupted.worst(Exit::OutputClosed), Exit::OutputClosed);
    }

    #[test]
    fn a_table_has_one_row_for_each_code() {
        assert_eq!(table(&[Exit::Done, Exit::OutputClosed]), "Exit codes:\n    0  done\n   74  the output is closed or full");
    }

    proptest! {
        /// However the results of tenants are put together, the same one wins.
        #[test]
        fn the_order_does_not_matter(picks in prop::collection::vec(0usize..10, 1..8)) {
            let exits: Vec<Exit> = picks.iter().map(|i| Exit::ALL[*i]).collect();
            let forward = exits.iter().fold(Exit::Done, |a, b| a.worst(*b));
            let backward = exits.iter().rev().fold(Exit::Done, |a, b| b.worst(a));
            prop_assert_eq!(forward, backward);
            prop_assert!(exits.contains(&forward));
        }
    }
}
