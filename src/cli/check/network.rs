//! Can the two services be reached, and do they and this host agree about the time.

use std::time::{Duration, Instant};

use chrono::Utc;
use url::Url;

use super::finding::Findings;
use crate::cli::Exit;
use crate::domain::Time;
use crate::feed::AGREEMENT;
use crate::wire::{Method, Request, Transport, WireErrorKind, read_prefix};

/// As much of a reply as can say something. A reply is all that is wanted.
const PREFIX: usize = 8 * 1024;
/// Entra tolerates five minutes; a clock that is kept by NTP is off by less than a second.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// Where a proxy may be named; the lower-case forms count as well.
const PROXY_VARIABLES: [&str; 2] = ["HTTPS_PROXY", "ALL_PROXY"];

/// What a service answered.
pub(super) struct Reached {
    /// True if the login service says that there is no such tenant.
    pub(super) tenant_unknown: bool,
}

/// The last comparison of this host's clock with the service's. An answer of the API proper comes last and counts most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    /// There was a reply.
    replied: bool,
    last: Option<(Time, Time)>,
}

impl Clock {
    /// Takes the date of a reply that has just arrived.
    pub(super) fn told(&mut self, date: Option<Time>) {
        self.replied = true;
        if let Some(date) = date {
            self.last = Some((date, Time::from(Utc::now())));
        }
    }

    /// The service's time as last told, or else this host's.
    pub(super) fn now(&self) -> Time {
        self.last.map_or_else(|| Time::from(Utc::now()), |(date, _)| date)
    }
}

/// Asks a service for anything. `None`: it can't be reached, and nothing else is worth trying there.
pub(super) async fn reach<T: Transport>(
    check: &'static str,
    url: Url,
    transport: &T,
    clock: &mut Clock,
    findings: &mut Findings,
) -> Option<Reached> {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    let proxy = if local { None } else { PROXY_VARIABLES.into_iter().find(|name| is_set(name)) };
    let through = proxy.map(|name| format!(", by the proxy of {name}")).unwrap_or_default();
    let began = Instant::now();
    let mut reply = match transport.send(Request { method: Method::Get, url, bearer: None, form: None }).await {
        Ok(reply) => reply,
        Err(error) => {
            let next = match error.kind {
                WireErrorKind::Connect if local => format!("check what should answer at {host}"),
                kind => advice(kind, &host, proxy),
            };
            if !is_final(error.kind) {
                findings.warn(check, format!("{host}: {error}{through}"), next);
                return Some(Reached { tenant_unknown: false });
            }
            findings.fail(check, format!("{host}: {error}{through}"), next, Exit::Failed);
            return None;
        }
    };
    let took = began.elapsed();
    clock.told(reply.headers.date());
    let text = String::from_utf8_lossy(&read_prefix(&mut reply.body, PREFIX).await).into_owned();
    if matches!(reply.status, 407 | 511 | 500..=599) {
        let next = "try again; if it stays so, check whether a proxy answers in its place, and Microsoft's service health";
        findings.warn(check, format!("{host} answers with HTTP {}{through}", reply.status), next);
    } else {
        findings.ok(check, format!("{host} answers within {} ms{through}", took.as_millis()));
    }
    // Entra's words for a tenant that it does not know (`activity-api.md` section 3.5).
    let tenant_unknown = reply.status == 400 && ["AADSTS90002", "AADSTS900023"].iter().any(|code| text.contains(code));
    Some(Reached { tenant_unknown })
}

fn is_set(name: &str) -> bool {
    [name.to_owned(), name.to_lowercase()].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// True for what will fail again for every other request. A service that dislikes this one request may like the next.
fn is_final(kind: WireErrorKind) -> bool {
    !matches!(kind, WireErrorKind::Reset | WireErrorKind::Body | WireErrorKind::Encoding | WireErrorKind::TooLarge)
}

fn advice(kind: WireErrorKind, host: &str, proxy: Option<&str>) -> String {
    match (kind.advice(), proxy) {
        (Some(_), Some(name)) if kind == WireErrorKind::Proxy => {
            format!("check {name} and NO_PROXY, and that the proxy lets this host reach {host}")
        }
        (Some(advice), _) => advice.to_owned(),
        (None, Some(name)) => format!("check that the proxy of {name} lets this host reach {host}"),
        (None, None) => format!("check that a firewall lets this host reach {host}, and whether a proxy is needed (HTTPS_PROXY)"),
    }
}

/// Judges the difference between the clocks. Where nobody replied there is nothing to say.
pub(super) fn judge_clock(clock: &Clock, findings: &mut Findings) {
    let Some((date, local)) = clock.last else {
        if !clock.replied {
            return;
        }
        return findings.warn(
            "clock",
            "no reply carried a date to compare this host's clock with",
            "check for a proxy that removes the Date header",
        );
    };
    let ahead_ms = local.0.saturating_sub(date.0);
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let how = format!("this host's clock is {} {} the service's", spoken(off), if ahead_ms > 0 { "ahead of" } else { "behind" });
    let next = "set this host's clock, and let NTP keep it (timedatectl set-ntp true)";
    if off > AGREEMENT {
        let detail = format!(
            "{how}; while they differ by more than {} minutes, a stretch that the service no longer keeps can't be told from one that it does",
            AGREEMENT.as_secs() / 60
        );
        findings.fail("clock", detail, next, Exit::Failed);
    } else if off > CLOCK_TOLERANCE {
        findings.warn("clock", how, next);
    } else {
        findings.ok("clock", format!("this host and the service agree within {} s", off.as_secs() + 1));
    }
}

fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn clock(ahead_seconds: Option<i64>) -> (Status, String) {
        let mut findings = Findings::default();
        let date = Time(1_772_366_400_000);
        judge_clock(&Clock { replied: true, last: ahead_seconds.map(|s| (date, Time(date.0 + s * 1000))) }, &mut findings);
        let finding = findings.list.remove(0);
        (finding.status, finding.detail)
    }

    #[test]
    fn a_clock_is_judged_by_what_its_error_does() {
        assert_eq!(clock(Some(0)), (Status::Ok, "this host and the service agree within 1 s".into()));
        assert_eq!(clock(Some(-61)), (Status::Warn, "this host's clock is 1 min 1 s behind the service's".into()));
        let (status, text) = clock(Some(3600));
        assert!(status == Status::Fail && text.starts_with("this host's clock is 1 h 0 min ahead of the service's; "), "{text}");
        assert_eq!(clock(None).0, Status::Warn);
    }

    #[test]
    fn the_last_reply_with_a_date_counts() {
        let mut clock = Clock::default();
        assert!(clock.now().0 > 0);
        clock.told(Some(Time(1)));
        clock.told(Some(Time(2)));
        clock.told(None);
        assert_eq!(clock.now(), Time(2));
    }

    #[test]
    fn every_cause_has_a_next_step() {
        for (kind, says) in [
            (WireErrorKind::Dns, "DNS"),
            (WireErrorKind::TlsUnknownIssuer, "SSL_CERT_FILE"),
            (WireErrorKind::Timeout, "firewall"),
            (WireErrorKind::Proxy, "HTTPS_PROXY"),
        ] {
            let text = advice(kind, "manage.office.com", None);
            assert!(text.contains(says), "{kind:?}: {text}");
        }
        assert!(advice(WireErrorKind::Proxy, "h", Some("ALL_PROXY")).contains("check ALL_PROXY and NO_PROXY"));
    }
}
