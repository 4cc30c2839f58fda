//! What a click says.

use chrono::{DateTime, Utc};

use super::{Address, Choice, Host, choice, instant, said, verbatim};
use crate::event::code::UrlClickAction;
use crate::event::common_schema::Common;
use crate::event::url::UrlClick;

/// What a click says.
#[derive(Debug, Clone, PartialEq)]
pub struct ClickFacts<'a> {
    /// The link as it was clicked; may be malformed.
    pub url: Option<&'a str>,
    /// What became of the click.
    pub action: Option<Choice<'a, UrlClickAction>>,
    /// When it was clicked.
    pub time: Option<DateTime<Utc>>,
    /// Who clicked.
    pub user: Option<Address<'a>>,
    /// From where.
    pub source: Option<Host<'a>>,
    /// The Office application.
    pub app: Option<&'a str>,
    /// Its version.
    pub app_version: Option<&'a str>,
    /// What the link stood in.
    pub source_id: Option<&'a str>,
    /// The network id of the message it stood in, if that was mail.
    pub network_message_id: Option<&'a str>,
}

impl<'a> ClickFacts<'a> {
    pub(super) fn of(click: &'a UrlClick, common: &'a Common) -> ClickFacts<'a> {
        let (app, source_id) = (said(&click.app_name), said(&click.source_id));
        let is_mail = app.is_some_and(|app| app.eq_ignore_ascii_case("mail"));
        ClickFacts {
            url: verbatim(&click.url),
            action: choice(&click.url_click_action),
            time: instant(&click.time_of_click),
            user: said(&common.user_id).and_then(Address::of),
            source: said(&click.user_ip).and_then(Host::of),
            app,
            app_version: said(&click.app_version),
            source_id,
            network_message_id: source_id.filter(|_| is_mail),
        }
    }

    /// True if the user reached the page in spite of a warning.
    pub fn went_through(&self) -> bool {
        use UrlClickAction::{BlockPageOverride, PendingDetonationPageOverride};
        matches!(self.known_action(), Some(BlockPageOverride | PendingDetonationPageOverride))
    }

    /// What became of the click, if it is a documented value.
    pub fn known_action(&self) -> Option<UrlClickAction> {
        self.action.and_then(|action| action.known)
    }
}
