//! What the commands have in common that ask each tenant's service a few things and end: `check` and `subscriptions`.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Exit;
use crate::config::{Settings, TenantSettings};
use crate::domain::{Fault, Refusal};
use crate::wire::{Failure, HttpSettings, HttpTransport, Timeouts};

/// All questions to one tenant together. A person waits for the answers.
pub(super) const TENANT_TIME: Duration = Duration::from_secs(60);
/// Tenants asked at a time: few enough that the answers of one are not delayed by the others on a slow line.
const TENANTS_AT_ONCE: usize = 16;
/// Pauses before a question is asked again whose answer was a passing fault.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Who has waited for this long for one answer would rather know than have it asked for again.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest pause that a person is kept waiting for.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Time limits that leave room for several answers within [`TENANT_TIME`].
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    head: Duration::from_secs(20),
    idle: Duration::from_secs(15),
    slow_grace: Duration::from_secs(30),
};

/// Asks all selected tenants; each result is handed on in the order of the settings, as soon as it and those before it are there.
///
/// # Errors
/// A text for a person, if nothing could be asked at all.
pub(super) fn ask_each<R, F>(
    settings: &Settings,
    ask: impl Fn(TenantSettings, HttpTransport) -> F,
    mut hand_on: impl FnMut(R) -> ControlFlow<()>,
) -> Result<(), String>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't start: {error}"))?;
    let settings_of_http = HttpSettings { timeouts: TIMEOUTS, ..HttpSettings::default() };
    let transport = HttpTransport::new(settings_of_http).map_err(|error| error.to_string())?;
    let slots = Arc::new(Semaphore::new(TENANTS_AT_ONCE));
    let stopped = runtime.block_on(async {
        let asked: Vec<_> = settings
            .tenants
            .iter()
            .map(|tenant| {
                let (slots, asking) = (slots.clone(), ask(tenant.clone(), transport.clone()));
                tokio::spawn(async move {
                    let _slot = slots.acquire().await;
                    asking.await
                })
            })
            .collect();
        for result in asked {
            let result = result.await.map_err(|error| format!("asking a tenant failed: {error}"))?;
            if hand_on(result).is_break() {
                break;
            }
        }
        Ok(())
    });
    runtime.shutdown_background();
    stopped
}

/// Asks again if the answer is a fault that passes, or the wish for a short pause.
///
/// # Errors
/// The last failure.
pub(super) async fn patiently<V, F: Future<Output = Result<V, Failure>>>(ask: impl Fn() -> F) -> Result<V, Failure> {
    with_pauses(&PAUSES, ask).await
}

async fn with_pauses<V, F: Future<Output = Result<V, Failure>>>(pauses: &[Duration], ask: impl Fn() -> F) -> Result<V, Failure> {
    let (mut pauses, began) = (pauses.iter(), Instant::now());
    loop {
        let answer = ask().await;
        let (Err(failure), Some(pause)) = (&answer, pauses.next()) else { return answer };
        let wait = match failure.fault {
            Fault::Transient { retry_after } | Fault::Throttled { retry_after } => retry_after.unwrap_or(*pause),
            Fault::BadReply => *pause,
            _ => return answer,
        };
        // Who is told to wait for longer hears so, and nothing is sent meanwhile.
        if wait > PAUSE_MAX || began.elapsed() > PATIENCE {
            return answer;
        }
        tokio::time::sleep(wait).await;
    }
}

/// The exit code of a failure.
pub(super) fn exit_of(failure: &Failure) -> Exit {
    match failure.fault {
        Fault::Refused(Refusal::SecretUnavailable) => Exit::Config,
        Fault::Refused(_) | Fault::AuditingOff => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// The exit code for all tenants together. That Microsoft refuses means that nothing works before a person acts; if other tenants
/// work, the whole has failed in part.
pub(super) fn worst_of(tenants: &[Exit]) -> Exit {
    let all_refused = tenants.iter().all(|exit| *exit == Exit::Refused);
    let exits = tenants.iter().map(|exit| if *exit == Exit::Refused && !all_refused { Exit::Failed } else { *exit });
    exits.fold(Exit::Done, Exit::worst)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::wire::RequestKind;

    fn failure(fault: Fault) -> Failure {
        Failure { fault, request: RequestKind::List, status: None, code: None, message: String::new(), date: None }
    }

    #[test]
    fn refused_counts_as_such_only_if_nobody_gets_through() {
        use Exit::{Config, Done, Failed, Refused};
        for (tenants, exit) in [
            (&[Refused][..], Refused),
            (&[Refused, Refused], Refused),
            (&[Refused, Done], Failed),
            (&[Refused, Failed], Failed),
            (&[Refused, Config], Config),
            (&[Done, Done], Done),
            (&[], Done),
        ] {
            assert_eq!(worst_of(tenants), exit, "{tenants:?}");
        }
    }

    #[tokio::test]
    async fn a_passing_fault_is_asked_about_again_and_a_long_pause_is_not_waited_for() {
        let short = Some(Duration::from_millis(1));
        for (fault, asked) in [
            (Fault::Transient { retry_after: None }, 3),
            (Fault::BadReply, 3),
            (Fault::Throttled { retry_after: short }, 3),
            (Fault::Throttled { retry_after: Some(Duration::from_secs(60)) }, 1),
            (Fault::NoSubscription, 1),
        ] {
            let count = AtomicUsize::new(0);
            let ask = || async {
                count.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(failure(fault.clone()))
            };
            let outcome = with_pauses(&[Duration::from_millis(1); 2], ask).await;
            assert_eq!((outcome.unwrap_err().fault, count.into_inner()), (fault.clone(), asked));
        }
    }
}
