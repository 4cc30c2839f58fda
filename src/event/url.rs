//! Type 41, ThreatIntelligenceUrl: a click on a link (`record-schemas.md` section 4).

use super::code::{Code, UrlClickAction};
use super::fields::fields;
use super::text::{Flag, Text};
use super::time::Stamp;

fields! {
    /// What a click has besides the common schema; who clicked stands in `UserId` there.
    UrlClick {
        /// The Office service in which it was clicked.
        app_name: Text = "AppName";
        app_version: Text = "AppVersion";
        url_click_action: Code<UrlClickAction> = "UrlClickAction";
        /// For mail: the message's network id.
        source_id: Text = "SourceId";
        /// Can be long before the record's `CreationTime`.
        time_of_click: Stamp = "TimeOfClick";
        /// As clicked: may be malformed or very long.
        url: Text = "Url";
        user_ip: Text = "UserIp";
        event_deep_link: Text = "EventDeepLink";
        /// Documented until 2019.
        blocked: Flag = "Blocked";
        /// Documented until 2019.
        clicked_through: Flag = "ClickedThrough";
    }
}
