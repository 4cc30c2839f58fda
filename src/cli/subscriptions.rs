//! `subscriptions`: what makes the service collect content at all.

use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::json;

use super::flags::{Everything, SettingFlags};
use super::table::Table;
use super::tenants::{TENANT_TIME, ask_each, exit_of, patiently, worst_of};
use super::{Context, Exit, advice, collect, stdout};
use crate::api::{Client, Subscription};
use crate::config::{SubscriptionMode, TenantSettings};
use crate::domain::{ContentType, Fault};
use crate::store::SledStore;
use crate::telemetry::Escaped;
use crate::wire::{Failure, HttpTransport};

/// How it can end.
pub const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::OutputClosed,
    Exit::Refused,
    Exit::Config,
    Exit::Interrupted,
    Exit::Terminated,
];

/// What it does, for the long help.
pub const ABOUT: &str = "List, start or stop the subscriptions of a tenant, for each of its configured content types. Without a subscription the \
        service gathers nothing, and what happens meanwhile can never be fetched.\n\n\
        list also shows subscriptions of the application to content types that are not configured; start and stop leave those alone.";

const STOPPING_LOSES: &str = "nothing was sent: content that becomes available between a stop and the next start is lost for good, for every \
     collector that uses this application. If that is meant, repeat the command with --yes";

/// The arguments of `subscriptions`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct SubscriptionsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SubscriptionsCommand,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

/// What to do with subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum SubscriptionsCommand {
    /// Print the subscriptions that the tenant has
    List,
    /// Start what is not running; the first content can take hours to appear
    Start,
    /// Stop the subscriptions: what becomes available until the next start is lost
    Stop {
        /// Confirm that losing content is meant
        #[arg(long)]
        yes: bool,
    },
}

/// One subscription, and what became of it. The JSON is a documented interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    tenant_id: String,
    tenant_name: String,
    content_type: String,
    /// What the service says: `enabled`, `disabled` or another word of its own; `none` if there is no subscription.
    status: String,
    /// Whether this content type is configured.
    configured: bool,
    /// Of `start` and `stop`: `started`, `already_enabled`, `stopped`, `already_off`, or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
}

/// What one tenant answered.
struct Answered {
    tenant: TenantSettings,
    rows: Vec<Row>,
    failure: Option<Failure>,
}

/// Runs it.
pub fn run(args: &SubscriptionsArgs, context: &Context) -> Exit {
    let command = args.command;
    match command {
        SubscriptionsCommand::Stop { yes: false } => {
            context.console.error(STOPPING_LOSES);
            return Exit::Usage;
        }
        SubscriptionsCommand::Stop { yes: true } => warn_of_poller(context),
        _ => {}
    }
    let (mut rows, mut exits, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let asked = ask_each(
        &context.settings,
        |tenant, transport| ask(command, tenant, transport),
        |answered: Answered| {
            let Answered { tenant, rows: of_tenant, failure } = answered;
            exits.push(failure.as_ref().map_or(Exit::Done, exit_of));
            if let Some(failure) = failure {
                let text = complaint(command, &failure, &tenant);
                context.console.error(&format!("{}: {text}", Escaped(&tenant.name)));
                failures.push(json!({
                    "tenant_id": tenant.tenant_id.as_str(), "tenant_name": tenant.name, "message": text,
                }));
            }
            rows.extend(of_tenant);
            ControlFlow::Continue(())
        },
    );
    if let Err(error) = asked {
        context.console.error(&error);
        return Exit::Failed;
    }
    let text = match (args.json, &rows[..]) {
        (true, _) => format!("{}\n", json!({"subscriptions": rows, "failures": failures})),
        (false, []) => String::new(),
        (false, rows) => table(command, rows),
    };
    if command == SubscriptionsCommand::Start && rows.iter().any(|row| row.result == Some("started")) {
        context.console.report("the first content can take up to 12 hours to appear");
    }
    stdout::print(text.as_bytes()).worst(worst_of(&exits))
}

/// A poller starts again what was stopped behind its back.
fn warn_of_poller(context: &Context) {
    let settings = &context.settings;
    let starts = settings.tenants.iter().any(|tenant| tenant.subscription == SubscriptionMode::Auto);
    if starts && SledStore::is_locked(&settings.state_dir) {
        context.console.report(&format!(
            "a poller is working on {}: unless it runs with --subscription require, it will start the subscriptions again",
            settings.state_dir.display()
        ));
    }
}

async fn ask(command: SubscriptionsCommand, tenant: TenantSettings, transport: HttpTransport) -> Answered {
    let client = collect::client(&tenant, &transport);
    let mut answered = Answered { rows: Vec::new(), failure: None, tenant };
    let Answered { tenant, rows, failure } = &mut answered;
    let work = async {
        *rows = standing(tenant, &patiently(|| client.subscriptions()).await?.value);
        match command {
            SubscriptionsCommand::List => Ok(()),
            SubscriptionsCommand::Start => change(&client, tenant, rows, true).await,
            SubscriptionsCommand::Stop { .. } => change(&client, tenant, rows, false).await,
        }
    };
    *failure = match tokio::time::timeout(TENANT_TIME, work).await {
        Ok(done) => done.err(),
        Err(_) => Some(Failure {
            fault: Fault::Transient { retry_after: None },
            request: crate::api::RequestKind::Subscriptions,
            status: None,
            code: None,
            message: format!(
                "not answered within {} s; `defender-feed subscriptions list` shows how it stands",
                TENANT_TIME.as_secs()
            ),
            date: None,
        }),
    };
    answered
}

/// The configured content types in their order, then whatever else the service lists.
fn standing(tenant: &TenantSettings, listed: &[Subscription]) -> Vec<Row> {
    let row = |content_type: &str, status: &str, configured| Row {
        tenant_id: tenant.tenant_id.to_string(),
        tenant_name: tenant.name.clone(),
        content_type: content_type.to_owned(),
        status: if status.is_empty() { "not told" } else { status }.to_ascii_lowercase(),
        configured,
        result: None,
    };
    let is = |subscription: &Subscription, content_type: &ContentType| {
        subscription.content_type.eq_ignore_ascii_case(content_type.as_str())
    };
    let configured = tenant.content_types.iter().map(|content_type| {
        let found = listed.iter().filter(|s| is(s, content_type)).max_by_key(|s| s.enabled);
        row(content_type.as_str(), found.map_or("none", |s| &s.status), true)
    });
    let others = listed.iter().filter(|s| !tenant.content_types.iter().any(|c| is(s, c)));
    configured.chain(others.map(|s| row(&s.content_type, &s.status, false))).collect()
}

/// Starts what is not enabled, or stops what is there; only configured content types. Ends at the first failure: what comes after it
/// would fail as well, and the service counts the requests to start.
async fn change(client: &Client<HttpTransport>, tenant: &TenantSettings, rows: &mut Vec<Row>, on: bool) -> Result<(), Failure> {
    rows.retain(|row| row.configured);
    for (row, &content_type) in rows.iter_mut().zip(&tenant.content_types) {
        let as_wanted = if on { row.status == "enabled" } else { row.status == "none" };
        if as_wanted {
            row.result = Some(if on { "already_enabled" } else { "already_off" });
            continue;
        }
        let changed = if on { client.start(content_type).await } else { client.stop(content_type).await };
        match changed {
            Ok(_) => {
                (row.status, row.result) =
                    if on { ("enabled".into(), Some("started")) } else { ("none".into(), Some("stopped")) };
            }
            Err(failure) => {
                row.result = Some("failed");
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// What failed and what to do, for a person.
fn complaint(command: SubscriptionsCommand, failure: &Failure, tenant: &TenantSettings) -> String {
    let next = match (&failure.fault, command) {
        (Fault::Throttled { retry_after }, SubscriptionsCommand::Start) => {
            let minutes = retry_after.map_or(15, |wait| wait.as_secs().div_ceil(60));
            format!("the service takes one request to start in 15 minutes: try again in {minutes} minutes")
        }
        _ => advice::next_step(failure, tenant),
    };
    format!("{}: {}\nnext: {next}", failure.request, advice::cause(failure))
}

fn table(command: SubscriptionsCommand, rows: &[Row]) -> String {
    let mut table = match command {
        SubscriptionsCommand::List => Table::new(["tenant", "content type", "status", "configured"]),
        _ => Table::new(["tenant", "content type", "status", "result"]),
    };
    for row in rows {
        let last = match (command, row.result) {
            (SubscriptionsCommand::List, _) => if row.configured { "yes" } else { "no" }.to_owned(),
            (_, Some(result)) => result.replace('_', " "),
            (_, None) => "not tried".to_owned(),
        };
        table.row([&row.tenant_name, &row.content_type, &row.status, &last]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::advice::tests::{failure, tenant};

    fn listed(content_type: &str, status: &str) -> Subscription {
        Subscription { content_type: content_type.into(), enabled: status.eq_ignore_ascii_case("enabled"), status: status.into() }
    }

    #[test]
    fn configured_content_types_come_first_and_the_others_are_shown_too() {
        let mut tenant = tenant();
        tenant.content_types.push(ContentType::DlpAll);
        let rows = standing(&tenant, &[listed("Audit.Exchange", "disabled"), listed("audit.general", "Enabled")]);
        let short: Vec<_> = rows.iter().map(|r| (r.content_type.as_str(), r.status.as_str(), r.configured)).collect();
        assert_eq!(short, [("Audit.General", "enabled", true), ("DLP.All", "none", true), ("Audit.Exchange", "disabled", false)]);
        let text = table(SubscriptionsCommand::List, &rows);
        assert_eq!(text.lines().nth(3), Some("contoso  Audit.Exchange  disabled  no"));
    }

    #[test]
    fn a_status_that_is_missing_is_not_enabled() {
        assert_eq!(standing(&tenant(), &[listed("Audit.General", "")])[0].status, "not told");
    }

    #[test]
    fn a_throttled_start_says_when_to_try_again() {
        let wait = Some(std::time::Duration::from_secs(14 * 60 + 56));
        let throttled = failure(Fault::Throttled { retry_after: wait }, Some(403), Some("AF429"));
        let text = complaint(SubscriptionsCommand::Start, &throttled, &tenant());
        assert!(text.ends_with("try again in 15 minutes"), "{text}");
        let text = complaint(SubscriptionsCommand::List, &throttled, &tenant());
        assert!(text.contains("try again in 896 s"), "{text}");
    }
}
