//! The checks of one tenant, each after those that it builds on.

use std::time::Duration;

use url::Url;

use super::finding::Findings;
use super::network::{Clock, Reached};
use super::{listing, network, token};
use crate::api::{Client, Subscription};
use crate::auth::{TokenSource, claims};
use crate::cli::tenants::{TENANT_TIME, exit_of, patiently};
use crate::cli::{Exit, advice, collect};
use crate::config::{SecretSource, SubscriptionMode, TenantSettings};
use crate::domain::{ContentType, Window};
use crate::wire::{Failure, HttpTransport};

/// What is listed. One request's worth of the recent past shows that listing works.
const LISTED: Duration = Duration::from_secs(3600);

/// All checks of a tenant, in a bounded time.
pub(super) async fn look(tenant: &TenantSettings, transport: HttpTransport) -> Findings {
    let mut look = Look { tenant, transport, clock: Clock::default(), findings: Findings::default() };
    let done = tokio::time::timeout(TENANT_TIME, look.steps()).await;
    if done.is_err() {
        let (check, seconds) = (look.findings.looking_at, TENANT_TIME.as_secs());
        look.findings.fail(
            check,
            format!("all checks together took longer than {seconds} s, and this one was not over"),
            "check the network on the way to Microsoft, and a proxy's health, then try again",
            Exit::Failed,
        );
    }
    let mut clock = Findings::default();
    network::judge_clock(&look.clock, &mut clock);
    // Known for sure only in the end, it is read before what it can explain.
    let at = look.findings.list.iter().position(|finding| finding.check == "token").unwrap_or(look.findings.list.len());
    look.findings.list.splice(at..at, clock.list);
    look.findings
}

struct Look<'a> {
    tenant: &'a TenantSettings,
    transport: HttpTransport,
    clock: Clock,
    findings: Findings,
}

impl Look<'_> {
    async fn steps(&mut self) {
        let tenant = self.tenant;
        let has_secret = look_at_secret(tenant, &mut self.findings);
        let login = self.reach("login", login_probe(tenant)).await;
        let api = self.reach("api", tenant.api_url.clone()).await;
        let tokens = match &login {
            None => self.no_token("the login service can't be reached"),
            Some(reached) if reached.tenant_unknown => self.unknown_tenant(),
            Some(_) if !has_secret => self.no_token("there is no secret to ask for one with"),
            Some(_) => self.look_at_token().await,
        };
        match (tokens, api) {
            (None, _) => self.findings.skip(&["permission", "subscription", "listing"], "there is no token"),
            (Some(_), None) => self.findings.skip(&["subscription", "listing"], "the API can't be reached"),
            (Some(tokens), Some(_)) => {
                let client = collect::client_with(tenant, &self.transport, tokens);
                match self.look_at_subscriptions(&client).await {
                    Some(enabled) if enabled.is_empty() => {
                        self.findings.skip(&["listing"], "there is no enabled subscription");
                    }
                    Some(enabled) => self.look_at_listings(&client, &enabled).await,
                    None => self.findings.skip(&["listing"], "it is not known what is subscribed to"),
                }
            }
        }
    }

    async fn reach(&mut self, check: &'static str, url: Url) -> Option<Reached> {
        self.findings.looking_at = check;
        network::reach(check, url, &self.transport, &mut self.clock, &mut self.findings).await
    }

    fn no_token(&mut self, why: &str) -> Option<TokenSource<HttpTransport>> {
        self.findings.skip(&["token"], why);
        None
    }

    fn unknown_tenant(&mut self) -> Option<TokenSource<HttpTransport>> {
        let tenant = self.tenant;
        self.findings.fail(
            "token",
            format!("the login service does not know the tenant {}", tenant.tenant_id),
            format!("check the tenant id, and that --cloud {} is the cloud that holds it", tenant.cloud),
            Exit::Refused,
        );
        None
    }

    /// The tokens, if one is granted.
    async fn look_at_token(&mut self) -> Option<TokenSource<HttpTransport>> {
        self.findings.looking_at = "token";
        let tokens = collect::tokens(self.tenant, &self.transport);
        match patiently(|| tokens.token()).await {
            Ok(granted) => {
                let claims = claims(&granted);
                let until = claims.as_ref().and_then(|c| c.exp).map(|exp| format!(", valid until {exp}")).unwrap_or_default();
                self.findings.ok("token", format!("granted to application {}{until}", self.tenant.client_id));
                token::judge(claims.as_ref(), self.tenant, &mut self.findings);
                Some(tokens)
            }
            Err(failure) => {
                self.failed("token", None, &failure);
                None
            }
        }
    }

    /// The content types whose content can be listed; none if the service does not tell.
    async fn look_at_subscriptions(&mut self, client: &Client<HttpTransport>) -> Option<Vec<ContentType>> {
        self.findings.looking_at = "subscription";
        let listed = match patiently(|| client.subscriptions()).await {
            Ok(listed) => listed,
            Err(failure) => {
                self.failed("subscription", None, &failure);
                return None;
            }
        };
        self.clock.told(listed.date);
        let mut enabled = self.tenant.content_types.clone();
        enabled.retain(|content_type| {
            judge_subscription(*content_type, &listed.value, self.tenant.subscription, &mut self.findings)
        });
        Some(enabled)
    }

    async fn look_at_listings(&mut self, client: &Client<HttpTransport>, enabled: &[ContentType]) {
        self.findings.looking_at = "listing";
        let to = self.clock.now().floor_second();
        let window = Window::new(to - LISTED, to).expect("whole seconds, an hour apart");
        for &content_type in enabled {
            match patiently(|| listing::list(client, content_type, window)).await {
                Ok(listed) => {
                    let text = listed.describe(content_type, to);
                    match &listed.odd {
                        None => self.findings.ok("listing", text),
                        Some(odd) => self.findings.warn(
                            "listing",
                            format!("{text}; but {odd}"),
                            "look for a proxy that changes replies; if there is none, please report this",
                        ),
                    }
                }
                Err(failure) => return self.failed("listing", Some(content_type), &failure),
            }
        }
    }

    fn failed(&mut self, check: &'static str, about: Option<ContentType>, failure: &Failure) {
        self.clock.told(failure.date);
        let about = about.map(|content_type| format!("{content_type}: ")).unwrap_or_default();
        let next = advice::next_step(failure, self.tenant);
        self.findings.fail(check, format!("{about}{}", advice::cause(failure)), next, exit_of(failure));
    }
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
