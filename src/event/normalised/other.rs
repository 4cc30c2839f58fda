//! What a record of another type says.

use super::{AlertFacts, MailFacts};
use crate::event::neighbour::Neighbour;

/// What a record of another type says besides the common schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NeighbourFacts<'a> {
    /// The message that it is about.
    pub mail: Option<MailFacts<'a>>,
    /// The alert that it is about.
    pub alert: Option<AlertFacts<'a>>,
}

impl<'a> NeighbourFacts<'a> {
    pub(super) fn of(record: &'a Neighbour) -> NeighbourFacts<'a> {
        NeighbourFacts { mail: MailFacts::of_neighbour(record), alert: AlertFacts::of_neighbour(record) }
    }
}
