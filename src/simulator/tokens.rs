//! The token endpoints, and the tokens that they have given out (`activity-api.md` section 3).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::config::ServiceConfig;
use super::dice::Dice;
use super::errors::entra;
use super::message::{Request, Response};
use super::route::Call;
use crate::domain::Time;

/// Tokens kept at least; beyond that, those that have expired are forgotten.
const KEPT: usize = 64;
/// What the token endpoint gives a token for (`activity-api.md` section 1).
const AUDIENCES: [&str; 4] = [
    "https://manage.office.com",
    "https://manage-gcc.office.com",
    "https://manage.office365.us",
    "https://manage.protection.apps.mil",
];

/// A token in force.
#[derive(Debug, Clone)]
struct Grant {
    expires: Time,
    roles: Vec<String>,
    application: String,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// There is none.
    Absent,
    /// It was not issued here, or taken back.
    Unknown,
    /// It is too old.
    Expired,
    /// It lacks the role `ActivityFeed.Read`.
    NoRole,
}

/// The tokens that were given out.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    grants: BTreeMap<String, Grant>,
    issued: u64,
    revoked: u64,
}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

impl Tokens {
    /// Answers a call of either token endpoint.
    pub(super) fn answer(&mut self, call: &Call, request: &Request, config: &ServiceConfig, now: Time) -> Response {
        let mut dice = Dice::new(config.seed, &[u64::from(call.version), self.issued, now.0.unsigned_abs()]);
        match refusal(call, request, config) {
            Some((status, error, number, text)) => entra(status, error, number, &text, now, &mut dice),
            None => self.issue(call, &form(request), config, now),
        }
    }

    fn issue(&mut self, call: &Call, form: &BTreeMap<String, String>, config: &ServiceConfig, now: Time) -> Response {
        self.issued += 1;
        if self.grants.len() >= KEPT {
            self.grants.retain(|_, grant| grant.expires > now);
        }
        let application = form.get("client_id").cloned().unwrap_or_default();
        let audience = audience(call, form);
        let life = config.token_lifetime.as_secs();
        let (start, end) = (now.0 / 1000, (now + config.token_lifetime).0 / 1000);
        let mut claims = json!({
            "aud": audience, "tid": config.tenant.as_str(), "appid": application, "nbf": start, "iat": start, "exp": end,
        });
        // A token of an application without a role has no such claim at all (section 2).
        if !config.roles.is_empty() {
            claims["roles"] = json!(config.roles);
        }
        let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256","kid":"simulated"}"#);
        let signature = URL_SAFE_NO_PAD.encode(Dice::new(config.seed, &[self.issued, 0x746f_6b65]).bytes::<48>());
        let token = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let grant = Grant { expires: now + config.token_lifetime, roles: config.roles.clone(), application };
        self.grants.insert(token.clone(), grant);
        let body = if call.version == 1 {
            json!({
                "token_type": "Bearer", "expires_in": life.to_string(), "ext_expires_in": life.to_string(),
                "expires_on": end.to_string(), "not_before": start.to_string(), "resource": audience, "access_token": token,
            })
        } else {
            json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token})
        };
        Response::json(200, body.to_string())
    }

    /// The application that a token is for, if it opens the API now.
    pub(super) fn check(&self, token: Option<&str>, now: Time) -> Result<&str, Denied> {
        let grant = self.grants.get(token.ok_or(Denied::Absent)?).ok_or(Denied::Unknown)?;
        if grant.expires <= now {
            return Err(Denied::Expired);
        }
        if !grant.roles.iter().any(|r| r == "ActivityFeed.Read") {
            return Err(Denied::NoRole);
        }
        Ok(&grant.application)
    }

    /// True if this text is a token that was given out here.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.grants.contains_key(text)
    }

    /// Takes one token back before its time.
    pub(super) fn revoke(&mut self, token: &str) {
        if self.grants.remove(token).is_some() {
            self.revoked += 1;
        }
    }

    /// Takes all tokens back.
    pub(super) fn revoke_all(&mut self) {
        self.revoked += self.grants.len() as u64;
        self.grants.clear();
    }
}

fn audience(call: &Call, form: &BTreeMap<String, String>) -> String {
    let asked = if call.version == 1 { form.get("resource") } else { form.get("scope") };
    let asked = asked.map_or("", String::as_str);
    asked.trim_end_matches("/.default").trim_end_matches('/').to_owned()
}

type Refused = (u16, &'static str, u64, String);

/// What is wrong with a token request, in Entra's terms.
fn refusal(call: &Call, request: &Request, config: &ServiceConfig) -> Option<Refused> {
    let tenant = call.tenant.to_ascii_lowercase();
    if tenant != config.tenant.as_str() && tenant != config.domain.to_ascii_lowercase() {
        let text = format!("Tenant '{}' not found. Check to make sure you have the correct tenant ID.", call.tenant);
        return Some((400, "invalid_request", 90002, text));
    }
    let media = request.header_value("content-type").unwrap_or_default();
    let form =
        if media.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") { form(request) } else { BTreeMap::new() };
    let value = |name: &str| form.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let missing = |name: &str| {
        Some((400, "invalid_request", 900_144, format!("The request body must contain the following parameter: '{name}'.")))
    };
    match value("grant_type") {
        None => return missing("grant_type"),
        Some("client_credentials") => {}
        Some(other) => {
            return Some((
                400,
                "unsupported_grant_type",
                70003,
                format!("The app requested an unsupported grant type '{other}'."),
            ));
        }
    }
    let Some(client) = value("client_id") else { return missing("client_id") };
    if config.client_id.as_deref().is_some_and(|known| !known.eq_ignore_ascii_case(client)) {
        let text = format!("Application with identifier '{client}' was not found in the directory '{}'.", config.domain);
        return Some((400, "unauthorized_client", 700_016, text));
    }
    if let Some(refused) = refused_secret(value("client_secret"), value("client_assertion").is_some(), client, config) {
        return Some(refused);
    }
    let name = if call.version == 1 { "resource" } else { "scope" };
    let Some(asked) = value(name) else { return missing(name) };
    refused_audience(call, asked, request)
}

fn refused_secret(secret: Option<&str>, assertion: bool, client: &str, config: &ServiceConfig) -> Option<Refused> {
    match secret {
        Some(secret) if config.client_secret.as_deref().is_none_or(|right| right == secret) => None,
        Some(_) => Some((401, "invalid_client", 7_000_215, format!("Invalid client secret provided for app '{client}'."))),
        None if assertion => {
            // The simulated tenant knows no certificates.
            Some((401, "invalid_client", 700_027, "Client assertion failed signature validation.".to_owned()))
        }
        None => {
            let text = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.";
            Some((401, "invalid_client", 7_000_216, text.to_owned()))
        }
    }
}

fn refused_audience(call: &Call, asked: &str, request: &Request) -> Option<Refused> {
    if call.version == 2 && !asked.ends_with("/.default") {
        return Some((400, "invalid_scope", 1_002_012, format!("The provided value for scope {asked} is not valid.")));
    }
    let bare = asked.trim_end_matches("/.default").trim_end_matches('/');
    let own = request.header_value("host").is_some_and(|host| bare.split_once("://").is_some_and(|(_, rest)| rest == host));
    if AUDIENCES.contains(&bare) || own {
        return None;
    }
    let text = format!("The resource principal named {bare} was not found in the tenant.");
    Some((400, "invalid_resource", 500_011, text))
}

/// The token in the reply of a token endpoint; for drivers and tests.
pub(super) fn token_in(response: &Response) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(&response.bytes()).ok()?;
    value["access_token"].as_str().map(str::to_owned)
}
