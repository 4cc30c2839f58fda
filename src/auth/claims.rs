//! What a token says about itself: for diagnosis, never for authorisation.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::domain::Time;

use super::Token;

/// Larger claims are not looked at; tokens go into a header and are some kilobytes long.
const CLAIMS_LIMIT: usize = 64 * 1024;

/// The claims of an app-only token (`activity-api.md` section 3.5). None of them is checked against a signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Granted application permissions. Empty if there are none: Entra issues such tokens too.
    pub roles: Vec<String>,
    /// The tenant.
    pub tid: Option<String>,
    /// The resource that it is for.
    pub aud: Option<String>,
    /// The application.
    pub app_id: Option<String>,
    /// When it ends.
    pub exp: Option<Time>,
}

/// Decodes the claims of a token; `None` for a token that is not a JWT.
pub fn claims(token: &Token) -> Option<Claims> {
    decode(token.secret.expose_secret())
}

pub(super) fn decode(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_head, body, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    if body.len() > CLAIMS_LIMIT {
        return None;
    }
    let json = BASE64_URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?;
    let Value::Object(claims) = serde_json::from_slice(&json).ok()? else { return None };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Claims {
        roles: match claims.get("roles") {
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(role)) => vec![role.clone()],
            _ => Vec::new(),
        },
        tid: text("tid"),
        aud: text("aud"),
        app_id: text("appid").or_else(|| text("azp")),
        exp: claims.get("exp").and_then(Value::as_i64).map(|s| Time(s.saturating_mul(1000).clamp(Time::MIN.0, Time::MAX.0))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJub25lIn0.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn decodes_what_a_check_wants_to_show() {
        let claims = decode(&jwt(
            r#"{"aud":"https://manage.office.com","tid":"t","appid":"a","roles":["ActivityFeed.Read"],"exp":1772500000}"#,
        ));
        let claims = claims.unwrap();
        assert_eq!(claims.roles, ["ActivityFeed.Read"]);
        assert_eq!(claims.aud.as_deref(), Some("https://manage.office.com"));
        assert_eq!(claims.exp, Some(Time(1_772_500_000_000)));
        assert_eq!(decode(&jwt(r#"{"roles":"One","exp":9223372036854775807}"#)).unwrap().roles, ["One"]);
        assert_eq!(decode(&jwt("{}")), Some(Claims::default()));
    }

    #[test]
    fn opaque_tokens_have_none() {
        for token in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "..", &jwt("[]"), &jwt("not json"), "a.e30.c.d.e"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }
}
