//! What a person can do about what a tenant's service answers. Pure.

use url::Url;

use crate::config::TenantSettings;
use crate::domain::{Fault, Refusal};
use crate::wire::Failure;

/// How audit logging is switched on (`activity-api.md` section 2).
const SWITCH_AUDITING_ON: &str = "switch audit logging on: in the Microsoft Purview portal under Audit, \"Start recording user and admin \
    activity\", or in Exchange Online PowerShell with Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true; it takes up to 60 \
    minutes to work. If it is on, check the tenant id";

/// The page on which an administrator consents to the application's permissions.
pub(super) fn consent_url(tenant: &TenantSettings) -> Url {
    let mut url = tenant.login_url.clone();
    url.set_query(None);
    url.set_path(&format!("{}/{}/adminconsent", tenant.login_url.path().trim_end_matches('/'), tenant.tenant_id));
    url.query_pairs_mut().append_pair("client_id", &tenant.client_id);
    url
}

/// How the missing permission is granted (`activity-api.md` section 2).
pub(super) fn grant(tenant: &TenantSettings) -> String {
    format!(
        "grant it in the Microsoft Entra admin center: App registrations > {} > API permissions > Add a permission > Office 365 Management \
         APIs > Application permissions > ActivityFeed.Read, then \"Grant admin consent\", or let an administrator open {}",
        tenant.client_id,
        consent_url(tenant)
    )
}

/// Why a request failed, without saying anything twice.
pub(super) fn cause(failure: &Failure) -> String {
    let Failure { fault, status, code, message, .. } = failure;
    if *fault == Fault::AuditingOff {
        // Its code is a sentence and its message a stack trace (`activity-api.md` section 10.3).
        return "audit logging is off for the tenant, or was switched on less than an hour ago".to_owned();
    }
    let status = status.map(|status| format!("HTTP {status}"));
    let about: Vec<_> = status.into_iter().chain(code.clone()).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let said = code
        .as_deref()
        .and_then(|code| message.strip_prefix(code))
        .map_or(message.as_str(), |m| m.trim_start_matches([':', ' ']));
    if said.is_empty() { format!("{fault}{about}") } else { format!("{fault}{about}: {said}") }
}

/// The next step after a failure.
pub(super) fn next_step(failure: &Failure, tenant: &TenantSettings) -> String {
    match &failure.fault {
        Fault::Refused(refusal) => refused(*refusal, failure.code.as_deref(), tenant),
        Fault::AuditingOff => SWITCH_AUDITING_ON.to_owned(),
        Fault::NoSubscription => "run `defender-feed subscriptions start`; poll and backfill start it by themselves".to_owned(),
        Fault::SubscriptionDisabled => {
            "an administrator has switched it off: ask why, then run `defender-feed subscriptions start`".to_owned()
        }
        Fault::Throttled { retry_after } => {
            let when = match retry_after {
                Some(wait) => format!("try again in {} s", wait.as_secs()),
                None => "try again in some minutes".to_owned(),
            };
            format!("{when}; if it stays so, find out which other collectors use up this tenant's quota")
        }
        Fault::WindowRefused => "check this host's clock".to_owned(),
        Fault::Transient { .. } if failure.status.is_none() => "try again; if it stays so, check the network and any proxy on the way".to_owned(),
        Fault::Transient { .. } => {
            "try again in some minutes; if it stays so, check whether a proxy answers in the service's place, and Microsoft's service health"
                .to_owned()
        }
        Fault::BadReply | Fault::TooLarge => format!(
            "something other than the service may be answering: check --cloud, --api-url and --login-url ({}, {}), and for a proxy",
            tenant.api_url, tenant.login_url
        ),
        Fault::ForeignOrigin => "check --cloud and --api-url: the service leads elsewhere, and the token stays here".to_owned(),
        Fault::StalePage | Fault::Expired | Fault::NotFound => "try again".to_owned(),
    }
}

/// Entra's number says more than the kind of refusal (`activity-api.md` section 3.5).
fn refused(refusal: Refusal, code: Option<&str>, tenant: &TenantSettings) -> String {
    let (tenant_id, client_id) = (&tenant.tenant_id, &tenant.client_id);
    match (refusal, code) {
        (Refusal::BadCredentials, Some("AADSTS7000215")) => format!(
            "the secret is wrong: use the Value of a client secret of application {client_id}, not its Secret ID (App registrations > \
             Certificates & secrets)"
        ),
        (Refusal::BadCredentials, Some("AADSTS7000222")) => format!(
            "the secret has expired: make a new one for application {client_id} under App registrations > Certificates & secrets"
        ),
        (Refusal::BadCredentials, Some("AADSTS700016")) => format!(
            "the tenant {tenant_id} does not know the application {client_id}: check both ids; an application of another tenant needs \
             an administrator's consent first, at {}",
            consent_url(tenant)
        ),
        (Refusal::UnknownTenant, _) => {
            format!("check the tenant id {tenant_id}, and that --cloud {} is the cloud that holds it", tenant.cloud)
        }
        (Refusal::MissingPermission, _) => format!("{}; it can take some minutes to work", grant(tenant)),
        _ => refusal.advice().to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Cloud, SecretSource, SubscriptionMode, defaults};
    use crate::domain::{ContentType, RecordTypes};
    use crate::wire::RequestKind;

    /// A tenant's settings with nothing special about them.
    pub(in crate::cli) fn tenant() -> TenantSettings {
        let id: crate::domain::TenantId = "11111111-0000-4000-8000-000000000001".parse().unwrap();
        TenantSettings {
            name: "contoso".into(),
            labels: Default::default(),
            publisher_id: id.clone(),
            tenant_id: id,
            client_id: "22222222-0000-4000-8000-000000000002".into(),
            secret: SecretSource::Environment("DEFENDER_FEED_NO_SUCH_SECRET"),
            cloud: Cloud::GccHigh,
            api_url: Cloud::GccHigh.api_url(),
            login_url: Cloud::GccHigh.login_url(),
            scope: Cloud::GccHigh.scope(),
            content_types: vec![ContentType::AuditGeneral],
            record_types: RecordTypes::defender(),
            not_before: None,
            poll_interval: defaults::POLL_INTERVAL,
            look_back: defaults::LOOK_BACK,
            requests_per_minute: defaults::REQUESTS_PER_MINUTE,
            concurrency: None,
            subscription: SubscriptionMode::Auto,
        }
    }

    pub(in crate::cli) fn failure(fault: Fault, status: Option<u16>, code: Option<&str>) -> Failure {
        let code = code.map(str::to_owned);
        Failure { fault, request: RequestKind::Token, status, code, message: "made up".into(), date: None }
    }

    #[test]
    fn the_consent_page_is_that_of_the_tenants_cloud() {
        assert_eq!(
            consent_url(&tenant()).as_str(),
            "https://login.microsoftonline.us/11111111-0000-4000-8000-000000000001/adminconsent?client_id=22222222-0000-4000-8000-000000000002"
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        let mut of = failure(Fault::Refused(Refusal::BadCredentials), Some(401), Some("AADSTS7000215"));
        of.message = "AADSTS7000215: Invalid client secret".into();
        assert_eq!(cause(&of), "refused (HTTP 401, AADSTS7000215): Invalid client secret");
        assert_eq!(cause(&failure(Fault::BadReply, None, None)), "unusable reply: made up");
        let off = failure(Fault::AuditingOff, Some(400), Some("ListSubscriptions [CorrId=77777777"));
        assert!(cause(&off).starts_with("audit logging is off"));
    }

    #[test]
    fn every_fault_has_a_next_step_that_names_what_to_touch() {
        use Refusal as R;
        let tenant = tenant();
        for (fault, code, says) in [
            (Fault::Refused(R::BadCredentials), Some("AADSTS7000215"), "not its Secret ID"),
            (Fault::Refused(R::BadCredentials), Some("AADSTS7000222"), "has expired"),
            (Fault::Refused(R::BadCredentials), Some("AADSTS700016"), "does not know the application 22222222"),
            (Fault::Refused(R::BadCredentials), None, "check client id and secret"),
            (Fault::Refused(R::UnknownTenant), None, "--cloud gcc-high"),
            (Fault::Refused(R::MissingPermission), Some("AF10001"), "/adminconsent?client_id="),
            (Fault::Refused(R::SecretUnavailable), None, "AZURE_CLIENT_SECRET"),
            (Fault::AuditingOff, None, "Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true"),
            (Fault::NoSubscription, Some("AF20022"), "subscriptions start"),
            (Fault::SubscriptionDisabled, Some("AF20023"), "an administrator"),
            (Fault::Throttled { retry_after: Some(std::time::Duration::from_secs(90)) }, None, "try again in 90 s"),
            (Fault::WindowRefused, Some("AF20055"), "clock"),
            (Fault::BadReply, None, "https://manage.office365.us/"),
            (Fault::ForeignOrigin, None, "--api-url"),
        ] {
            let text = next_step(&failure(fault.clone(), Some(400), code), &tenant);
            assert!(text.contains(says), "{fault:?}: {text}");
        }
    }
}
