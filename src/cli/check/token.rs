//! What a token says about itself, judged. Pure: the service alone decides what a token opens.

use super::finding::Findings;
use crate::auth::Claims;
use crate::cli::advice;
use crate::config::TenantSettings;
use crate::domain::ContentType;

/// The role that everything needs (`activity-api.md` section 2).
const READ: &str = "ActivityFeed.Read";
/// The role that `DLP.All` needs for the sensitive parts.
const READ_DLP: &str = "ActivityFeed.ReadDlp";
/// The resource's application id, which stands in the tokens of some clouds instead of its address (`activity-api.md` section 1).
const RESOURCE_ID: &str = "c5393580-f805-4401-95e8-94b7a6ef2fc2";

/// Judges a token; no claims if it can't be read.
pub(super) fn judge(claims: Option<&Claims>, tenant: &TenantSettings, findings: &mut Findings) {
    let Some(claims) = claims else {
        return findings.warn(
            "permission",
            "the token can't be read, so what it permits shows only below",
            "check --login-url: Microsoft's tokens for this service are readable",
        );
    };
    look_at_origin(claims, tenant, findings);
    let holds = |role: &str| claims.roles.iter().any(|held| held == role);
    let wants_dlp = tenant.content_types.contains(&ContentType::DlpAll);
    if !holds(READ) {
        let held = if claims.roles.is_empty() { "no application permission at all".to_owned() } else { claims.roles.join(", ") };
        return findings.warn("permission", format!("{READ} is missing; the token holds {held}"), advice::grant(tenant));
    }
    let more: Vec<_> = claims.roles.iter().map(String::as_str).filter(|r| *r != READ && !(wants_dlp && *r == READ_DLP)).collect();
    if wants_dlp && !holds(READ_DLP) {
        findings.warn(
            "permission",
            format!("{READ}, but not {READ_DLP}: DLP events come without the sensitive data that was found"),
            format!("if that data is wanted, grant {READ_DLP} as well"),
        );
    }
    if more.is_empty() {
        findings.ok("permission", format!("the token holds {}", claims.roles.join(", ")));
    } else {
        findings.warn(
            "permission",
            format!("the token holds {READ} and more than is needed: {}", more.join(", ")),
            "take these permissions away from the application, so that its secret opens nothing else",
        );
    }
}

/// A token for something else is a wrong setting. The service refuses it, and does not always say why.
fn look_at_origin(claims: &Claims, tenant: &TenantSettings, findings: &mut Findings) {
    let resource = tenant.scope.trim_end_matches("/.default").trim_end_matches('/');
    if let Some(audience) = claims.aud.as_deref().filter(|aud| {
        let aud = aud.trim_end_matches('/');
        !aud.eq_ignore_ascii_case(resource) && !aud.eq_ignore_ascii_case(RESOURCE_ID)
    }) {
        findings.warn(
            "token",
            format!("it is for {audience}, and {resource} is asked with it"),
            format!("check --cloud (now {})", tenant.cloud),
        );
    }
    if let Some(of) = claims.tid.as_deref().filter(|tid| !tid.eq_ignore_ascii_case(tenant.tenant_id.as_str())) {
        findings.warn("token", format!("it is of tenant {of}, not of {}", tenant.tenant_id), "check --tenant-id and --login-url");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;
    use crate::cli::advice::tests::tenant;

    fn judged(claims: Option<Claims>, tenant: &TenantSettings) -> Vec<(&'static str, Status, String, String)> {
        let mut findings = Findings::default();
        judge(claims.as_ref(), tenant, &mut findings);
        findings.list.into_iter().map(|f| (f.check, f.status, f.detail, f.next.unwrap_or_default())).collect()
    }

    fn claims(roles: &[&str]) -> Claims {
        Claims { roles: roles.iter().map(|r| (*r).to_owned()).collect(), ..Claims::default() }
    }

    #[test]
    fn the_one_role_is_all_that_is_needed() {
        let found = judged(Some(claims(&[READ])), &tenant());
        assert_eq!(found, [("permission", Status::Ok, "the token holds ActivityFeed.Read".into(), String::new())]);
        let more = judged(Some(claims(&["Directory.Read.All", READ, READ_DLP])), &tenant());
        assert!(more[0].1 == Status::Warn && more[0].2.ends_with("Directory.Read.All, ActivityFeed.ReadDlp"), "{more:?}");
    }

    #[test]
    fn a_token_without_the_role_names_the_consent_page() {
        for roles in [&[][..], &["ServiceHealth.Read"]] {
            let found = judged(Some(claims(roles)), &tenant());
            assert!(found[0].1 == Status::Warn && found[0].3.contains("/adminconsent?client_id="), "{found:?}");
        }
    }

    #[test]
    fn dlp_content_wants_a_second_role() {
        let mut tenant = tenant();
        tenant.content_types.push(ContentType::DlpAll);
        assert_eq!(judged(Some(claims(&[READ, READ_DLP])), &tenant).len(), 1);
        let found = judged(Some(claims(&[READ])), &tenant);
        assert!(found[0].1 == Status::Warn && found[1].1 == Status::Ok, "{found:?}");
    }

    #[test]
    fn a_token_for_another_resource_or_tenant_is_told() {
        let of = |aud: &str, tid: &str| {
            let claims = Claims { aud: Some(aud.into()), tid: Some(tid.into()), ..claims(&[READ]) };
            judged(Some(claims), &tenant()).into_iter().filter(|f| f.0 == "token").count()
        };
        let ours = "11111111-0000-4000-8000-000000000001";
        assert_eq!(of("https://manage.office365.us", ours), 0);
        assert_eq!(of("https://manage.office365.us/", &ours.to_uppercase()), 0);
        assert_eq!(of(RESOURCE_ID, ours), 0);
        assert_eq!(of("https://manage.office.com", "another"), 2);
        assert_eq!(judged(None, &tenant())[0].1, Status::Warn);
    }
}
