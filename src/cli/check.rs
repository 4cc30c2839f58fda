//! `check`: the doctor.

mod finding;
mod host;
mod listing;
mod network;
mod tenant;
mod token;

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::flags::{Everything, SettingFlags};
use super::tenants::{ask_each, worst_of};
use super::{Context, Exit, stdout};
use crate::config::TenantSettings;

use finding::{Findings, summary};

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
pub const ABOUT: &str = "Find out what keeps a tenant from being collected: settings, state and output of this host; then for each tenant the \
        secret, both services' reachability, the clock, the token and its permissions, the subscriptions, and a first listing. It names \
        the cause and the next step, and changes nothing: it starts no subscription and opens no state.\n\n\
        Each check is ok, warn (it works, and deserves a look), FAIL, or skip (an earlier failure makes it pointless). Warnings don't change \
        the exit code. 77 means that Microsoft refuses all selected tenants; if it refuses some of them, that is 1. 78 also stands for a \
        secret that can't be read.";

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print JSON for scripts
    #[arg(long)]
    pub json: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Everything>,
}

/// Runs it.
pub fn run(args: &CheckArgs, context: &Context) -> Exit {
    let host = host::look(&context.settings);
    let mut report = Report { as_json: args.json, printed: Exit::Done, all: Vec::new() };
    if report.add(None, host).is_break() {
        return report.printed;
    }
    let mut exits = Vec::new();
    let asked = ask_each(
        &context.settings,
        |tenant, transport| async move {
            let findings = tenant::look(&tenant, transport).await;
            (tenant, findings)
        },
        |(tenant, findings)| {
            exits.push(findings.exit());
            report.add(Some(tenant), findings)
        },
    );
    if let Err(error) = asked {
        context.console.error(&error);
        return Exit::Failed;
    }
    let on_host = report.all.first().map_or(Exit::Done, |(_, findings)| findings.exit());
    report.end();
    report.printed.worst(on_host.worst(worst_of(&exits)))
}

/// Everything that was found, printed as it comes, or as JSON at the end.
struct Report {
    as_json: bool,
    /// How printing went.
    printed: Exit,
    /// The host, then the tenants.
    all: Vec<(Option<TenantSettings>, Findings)>,
}

impl Report {
    fn add(&mut self, tenant: Option<TenantSettings>, findings: Findings) -> ControlFlow<()> {
        if !self.as_json {
            self.print(&findings.render(&title(tenant.as_ref())));
        }
        self.all.push((tenant, findings));
        if self.printed == Exit::Done { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn end(&mut self) {
        let text = if self.as_json {
            format!("{}\n", self.json())
        } else {
            summary(self.all.iter().flat_map(|(_, findings)| &findings.list))
        };
        self.print(&text);
    }

    fn json(&self) -> Value {
        let checks = self.all.iter().flat_map(|(tenant, findings)| {
            let id = tenant.as_ref().map(|tenant| tenant.tenant_id.as_str());
            let name = tenant.as_ref().map(|tenant| tenant.name.as_str());
            findings.list.iter().map(move |finding| {
                let mut check = json!(finding);
                check["tenant_id"] = json!(id);
                check["tenant_name"] = json!(name);
                check
            })
        });
        let checks: Vec<_> = checks.collect();
        json!({"ok": checks.iter().all(|check| check["status"] != "fail"), "checks": checks})
    }

    fn print(&mut self, text: &str) {
        self.printed = self.printed.worst(stdout::print(text.as_bytes()));
    }
}

fn title(tenant: Option<&TenantSettings>) -> String {
    match tenant {
        None => "this host".to_owned(),
        Some(tenant) if tenant.name == tenant.tenant_id.as_str() => format!("tenant {}", tenant.name),
        Some(tenant) => format!("tenant {} ({})", tenant.name, tenant.tenant_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::advice;

    #[test]
    fn the_json_names_the_tenant_of_each_check() {
        let mut findings = Findings::default();
        findings.fail("token", "refused", "a new secret", Exit::Refused);
        let mut host = Findings::default();
        host.ok("settings", "1 tenant");
        let all = vec![(None, host), (Some(advice::tests::tenant()), findings)];
        let report = Report { as_json: true, printed: Exit::Done, all };
        assert_eq!(
            report.json(),
            json!({"ok": false, "checks": [
                {"tenant_id": null, "tenant_name": null, "check": "settings", "status": "ok", "detail": "1 tenant", "next": null},
                {"tenant_id": "11111111-0000-4000-8000-000000000001", "tenant_name": "contoso", "check": "token", "status": "fail",
                 "detail": "refused", "next": "a new secret"},
            ]})
        );
    }
}
