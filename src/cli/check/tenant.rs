//! The checks of one tenant, each after those that it builds on.

use std::time::Duration;

use chrono::Utc;
use url::Url;

use super::finding::Findings;
use super::{listing, network, token};
use crate::api::{Client, Subscription};
use crate::auth::{TokenSource, claims};
use crate::cli::tenants::{TENANT_TIME, exit_of, patiently};
use crate::cli::{Exit, advice, collect};
use crate::config::{SecretSource, SubscriptionMode, TenantSettings};
use crate::domain::{ContentType, Time, Window};
use crate::wire::{Failure, HttpTransport};

/// What is listed. One request's worth of the recent past shows that listing works.
const LISTED: Duration = Duration::from_secs(3600);

/// All checks of a tenant, in a bounded time.
pub(super) async fn look(tenant: &TenantSettings, transport: HttpTransport) -> Findings {
    let mut findings = Findings { looking_at: "secret", ..Findings::default() };
    let done = tokio::time::timeout(TENANT_TIME, steps(tenant, transport, &mut findings)).await;
    if done.is_err() {
        let (check, seconds) = (findings.looking_at, TENANT_TIME.as_secs());
        findings.fail(
            check,
            format!("all checks together took longer than {seconds} s, and this one was not over"),
            "check the network on the way to Microsoft, and a proxy's health, then try again",
            Exit::Failed,
        );
    }
    findings
}

async fn steps(tenant: &TenantSettings, transport: HttpTransport, findings: &mut Findings) {
    let has_secret = look_at_secret(tenant, findings);
    findings.looking_at = "login";
    let login = network::reach("login", login_probe(tenant), &transport, findings).await;
    findings.looking_at = "api";
    let api = network::reach("api", tenant.api_url.clone(), &transport, findings).await;
    if login.is_some() || api.is_some() {
        network::compare_clocks(api.iter().chain(&login), findings);
    }
    let after_token = ["permission", "subscription", "listing"];
    let why = match &login {
        None => Some("the login service can't be reached"),
        Some(reached) if reached.tenant_unknown => {
            findings.fail(
                "token",
                format!("the login service does not know the tenant {}", tenant.tenant_id),
                format!("check the tenant id, and that --cloud {} is the cloud that holds it", tenant.cloud),
                Exit::Refused,
            );
            return findings.skip(&after_token, "there is no token");
        }
        Some(_) if !has_secret => Some("there is no secret to ask for one with"),
        Some(_) => None,
    };
    if let Some(why) = why {
        findings.skip(&["token"], why);
        return findings.skip(&after_token, "there is no token");
    }
    findings.looking_at = "token";
    let tokens = collect::tokens(tenant, &transport);
    if !look_at_token(tenant, &tokens, findings).await {
        return findings.skip(&after_token, "there is no token");
    }
    let Some(api) = api else {
        return findings.skip(&after_token[1..], "the API can't be reached");
    };
    let client = collect::client_with(tenant, &transport, tokens);
    findings.looking_at = "subscription";
    let enabled = look_at_subscriptions(tenant, &client, findings).await;
    findings.looking_at = "listing";
    let now = api.date.unwrap_or_else(|| Time::from(Utc::now()));
    look_at_listings(tenant, &client, &enabled, now, findings).await;
}

/// True if the secret can be read.
fn look_at_secret(tenant: &TenantSettings, findings: &mut Findings) -> bool {
    match tenant.secret.read() {
        Ok(_) => {
            let place = match &tenant.secret {
                SecretSource::File(path) => path.display().to_string(),
                SecretSource::Environment(name) => format!("environment variable {name}"),
            };
            findings.ok("secret", format!("readable in {place}"));
            true
        }
        Err(why) => {
            findings.fail("secret", why, "put the client secret there, readable for the user of the poller alone", Exit::Config);
            false
        }
    }
}

/// A page of the login service that needs no credentials and knows whether the tenant exists.
fn login_probe(tenant: &TenantSettings) -> Url {
    let mut url = tenant.login_url.clone();
    let base = tenant.login_url.path().trim_end_matches('/');
    url.set_path(&format!("{base}/{}/v2.0/.well-known/openid-configuration", tenant.tenant_id));
    url
}

/// True if there is a token.
async fn look_at_token(tenant: &TenantSettings, tokens: &TokenSource<HttpTransport>, findings: &mut Findings) -> bool {
    match patiently(|| tokens.token()).await {
        Ok(granted) => {
            let claims = claims(&granted);
            let until = claims.as_ref().and_then(|c| c.exp).map(|exp| format!(", valid until {exp}")).unwrap_or_default();
            findings.ok("token", format!("granted to application {}{until}", tenant.client_id));
            token::judge(claims.as_ref(), tenant, findings);
            true
        }
        Err(failure) => {
            failed("token", None, &failure, tenant, findings);
            false
        }
    }
}

fn failed(check: &'static str, about: Option<ContentType>, failure: &Failure, tenant: &TenantSettings, findings: &mut Findings) {
    let about = about.map(|content_type| format!("{content_type}: ")).unwrap_or_default();
    findings.fail(check, format!("{about}{failure}"), advice::next_step(failure, tenant), exit_of(failure));
}

/// The content types whose content can be listed.
async fn look_at_subscriptions(
    tenant: &TenantSettings,
    client: &Client<HttpTransport>,
    findings: &mut Findings,
) -> Vec<ContentType> {
    let listed = match patiently(|| client.subscriptions()).await {
        Ok(listed) => listed.value,
        Err(failure) => {
            failed("subscription", None, &failure, tenant, findings);
            return Vec::new();
        }
    };
    let mut enabled = tenant.content_types.clone();
    enabled.retain(|content_type| judge_subscription(*content_type, &listed, tenant.subscription, findings));
    enabled
}

/// True if the subscription is enabled.
fn judge_subscription(
    content_type: ContentType,
    listed: &[Subscription],
    mode: SubscriptionMode,
    findings: &mut Findings,
) -> bool {
    let of_type = listed.iter().filter(|s| s.content_type.eq_ignore_ascii_case(content_type.as_str()));
    let found = of_type.max_by_key(|s| s.enabled);
    let detail = match found {
        Some(subscription) if subscription.enabled => {
            findings.ok("subscription", format!("{content_type}: enabled"));
            return true;
        }
        Some(_) => {
            format!("{content_type}: disabled; an administrator or the service has switched it off, and nothing is gathered")
        }
        None => format!("{content_type}: there is none, and nothing is gathered"),
    };
    match mode {
        SubscriptionMode::Auto => {
            let next = "poll and backfill start it by themselves; `defender-feed subscriptions start` does it now";
            findings.warn("subscription", detail, next);
        }
        SubscriptionMode::Require => {
            let next = "run `defender-feed subscriptions start`: --subscription require keeps poll and backfill from starting it";
            findings.fail("subscription", detail, next, Exit::Failed);
        }
    }
    false
}

async fn look_at_listings(
    tenant: &TenantSettings,
    client: &Client<HttpTransport>,
    enabled: &[ContentType],
    now: Time,
    findings: &mut Findings,
) {
    if enabled.is_empty() {
        return findings.skip(&["listing"], "there is no enabled subscription");
    }
    let to = now.floor_second();
    let window = Window::new(to - LISTED, to).expect("whole seconds, an hour apart");
    for &content_type in enabled {
        match patiently(|| listing::list(client, content_type, window)).await {
            Ok(listed) => {
                let text = listed.describe(content_type, to);
                match &listed.odd {
                    None => findings.ok("listing", text),
                    Some(odd) => findings.warn(
                        "listing",
                        format!("{text}; but {odd}"),
                        "look for a proxy that changes replies; if there is none, please report this",
                    ),
                }
            }
            Err(failure) => return failed("listing", Some(content_type), &failure, tenant, findings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;
    use crate::cli::advice::tests::tenant;

    fn judged(listed: &[(&str, bool)], mode: SubscriptionMode) -> (bool, Status, Exit) {
        let listed: Vec<_> = listed
            .iter()
            .map(|(name, enabled)| Subscription { content_type: (*name).into(), enabled: *enabled, status: String::new() })
            .collect();
        let mut findings = Findings::default();
        let enabled = judge_subscription(ContentType::AuditGeneral, &listed, mode, &mut findings);
        (enabled, findings.list[0].status, findings.exit())
    }

    #[test]
    fn a_missing_subscription_is_a_failure_only_where_nothing_may_start_it() {
        use SubscriptionMode::{Auto, Require};
        assert_eq!(judged(&[("audit.general", true)], Require), (true, Status::Ok, Exit::Done));
        for listed in [&[][..], &[("Audit.General", false)], &[("Audit.Exchange", true)]] {
            assert_eq!(judged(listed, Auto), (false, Status::Warn, Exit::Done));
            assert_eq!(judged(listed, Require), (false, Status::Fail, Exit::Failed));
        }
    }

    #[test]
    fn the_login_service_is_asked_about_the_tenant() {
        assert_eq!(
            login_probe(&tenant()).as_str(),
            "https://login.microsoftonline.us/11111111-0000-4000-8000-000000000001/v2.0/.well-known/openid-configuration"
        );
    }

    #[test]
    fn a_secret_that_can_not_be_read_is_a_matter_of_settings() {
        let mut findings = Findings::default();
        assert!(!look_at_secret(&tenant(), &mut findings));
        assert_eq!((findings.list[0].status, findings.exit()), (Status::Fail, Exit::Config));
        assert!(findings.list[0].detail.contains("DEFENDER_FEED_NO_SUCH_SECRET"));
    }
}
