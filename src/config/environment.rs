//! The environment: `DEFENDER_FEED_*`, all of which must be ours, and what others define.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::keys::{Kind, VARIABLE_PREFIX};
use super::layer::{Layer, Sources};
use super::problem::{Place, Problems};
use super::suggest::nearest;
use super::table::{setting, settings};

/// The variable that may hold the client secret itself, as in the Azure SDKs.
pub(super) const SECRET_VARIABLE: &str = "AZURE_CLIENT_SECRET";

/// The environment, by name.
pub(super) struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The environment among the sources; names that are no Unicode are none of ours.
    pub(super) fn of(sources: &Sources) -> Self {
        let named = |(name, value): &(OsString, OsString)| Some((name.to_str()?.to_owned(), value.clone()));
        Self { variables: sources.environment.iter().filter_map(named).collect() }
    }

    /// A variable that others define, such as `AZURE_TENANT_ID`; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|value| value.to_str()).filter(|text| !text.is_empty())
    }

    /// True if the variable has a value; for a secret, whose value nobody may see.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|value| !value.is_empty())
    }

    /// What our variables say.
    pub(super) fn layer(&self, problems: &mut Problems) -> Layer {
        let mut layer = Layer::default();
        for (name, value) in &self.variables {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            let place = Place::Variable(name.clone());
            let Some(setting) = setting(&rest.to_ascii_lowercase()).filter(|setting| setting.about().variable() == *name) else {
                if !is_link(rest) {
                    problems.add(place, unknown(rest));
                }
                continue;
            };
            match value.to_str() {
                None => problems.add(place, "it is no valid UTF-8"),
                Some("") => problems.add(place, "it is empty: give it a value or unset it"),
                Some(text) => {
                    let texts = match setting.about().kind {
                        Kind::List | Kind::Types => text.split(',').map(str::to_owned).collect(),
                        _ => vec![text.to_owned()],
                    };
                    layer.put(setting, texts, place, problems);
                }
            }
        }
        layer
    }
}

/// Kubernetes and Docker give each container variables about services by their names; for a service `defender-feed` these begin as
/// ours do.
fn is_link(rest: &str) -> bool {
    if rest == "PORT" || rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_") {
        return true;
    }
    let Some((port, protocol)) = rest.strip_prefix("PORT_").and_then(|rest| rest.split_once('_')) else {
        return false;
    };
    port.bytes().all(|b| b.is_ascii_digit()) && ["TCP", "UDP", "SCTP"].iter().any(|p| protocol.starts_with(p))
}

fn unknown(rest: &str) -> String {
    if rest == "CLIENT_SECRET" {
        return format!(
            "no such variable: put the secret into {SECRET_VARIABLE}, or name its file in DEFENDER_FEED_CLIENT_SECRET_FILE"
        );
    }
    let names = settings().iter().map(|setting| setting.about().name);
    match nearest(rest, names).and_then(setting) {
        Some(setting) => format!("no such variable; did you mean {}?", setting.about().variable()),
        None => "no such variable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn layer(variables: &[(&str, &str)]) -> (Layer, Vec<String>) {
        let environment = variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let mut problems = Problems::default();
        let layer = Environment::of(&Sources { environment, ..Sources::default() }).layer(&mut problems);
        (layer, problems.list().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lists_are_split_at_commas() {
        let (layer, problems) = layer(&[("DEFENDER_FEED_CONTENT_TYPE", "Audit.General,DLP.All"), ("HOME", "/x")]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(layer.get("content_type").unwrap().texts, ["Audit.General", "DLP.All"]);
    }

    #[test]
    fn each_variable_must_be_known_and_have_a_value() {
        let (_, problems) = layer(&[
            ("DEFENDER_FEED_CLIENT_SECRET", "canary"),
            ("DEFENDER_FEED_CLUOD_", "gcc"),
            ("DEFENDER_FEED_CONCURRENCY", "65"),
            ("DEFENDER_FEED_FROMAT", "raw"),
            ("DEFENDER_FEED_STATE_DIR", ""),
            ("DEFENDER_FEED_format", "raw"),
        ]);
        assert_eq!(
            problems,
            [
                "DEFENDER_FEED_CLIENT_SECRET: no such variable: put the secret into AZURE_CLIENT_SECRET, or name its file in \
                 DEFENDER_FEED_CLIENT_SECRET_FILE",
                "DEFENDER_FEED_CLUOD_: no such variable",
                "DEFENDER_FEED_CONCURRENCY: it can't be \"65\": it is a whole number from 1 to 64",
                "DEFENDER_FEED_FROMAT: no such variable; did you mean DEFENDER_FEED_FORMAT?",
                "DEFENDER_FEED_STATE_DIR: it is empty: give it a value or unset it",
                "DEFENDER_FEED_format: no such variable; did you mean DEFENDER_FEED_FORMAT?",
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_reported() {
        let environment = vec![("DEFENDER_FEED_STATE_DIR".into(), OsString::from_vec(vec![b'/', 0xff]))];
        let mut problems = Problems::default();
        Environment::of(&Sources { environment, ..Sources::default() }).layer(&mut problems);
        assert_eq!(problems.to_string(), "DEFENDER_FEED_STATE_DIR: it is no valid UTF-8");
    }

    #[test]
    fn variables_about_a_service_of_our_name_are_not_ours() {
        let (_, problems) = layer(&[
            ("DEFENDER_FEED_PORT", "tcp://10.0.0.1:80"),
            ("DEFENDER_FEED_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("DEFENDER_FEED_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("DEFENDER_FEED_SERVICE_HOST", "10.0.0.1"),
            ("DEFENDER_FEED_SERVICE_PORT_HTTP", "80"),
        ]);
        assert_eq!(problems, [""; 0]);
    }
}
