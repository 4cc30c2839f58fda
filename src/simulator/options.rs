//! The command line of a simulated tenant. `simulate` and `demo` take it over as it stands.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::config::{ServiceConfig, Subscribed};
use super::faults::{GRAMMAR, Rule};
use crate::domain::{TenantId, Time};

/// What a simulated tenant is like.
#[derive(Debug, Clone, clap::Args)]
pub struct SimulateOptions {
    /// What all content and all chance follow from: equal seeds, equal tenants
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The tenant
    #[arg(long, default_value = super::config::DEFAULT_TENANT)]
    pub tenant_id: TenantId,
    /// The only client id that is known (default: any)
    #[arg(long)]
    pub client_id: Option<String>,
    /// The only client secret that is right, made up for the simulation (default: any that is not empty)
    #[arg(long)]
    pub client_secret: Option<String>,
    /// New blobs per hour
    #[arg(long, default_value_t = 60)]
    pub blobs_per_hour: u32,
    /// Records per blob, as N (from 1 to N) or FROM-TO
    #[arg(long, default_value = "40", value_parser = read_range)]
    pub records_per_blob: RangeInclusive<u32>,
    /// The share of records whose type is 28, 41, 47 or 64
    #[arg(long, default_value_t = 0.05, value_parser = read_share)]
    pub wanted_share: f64,
    /// The share of records in legal but rarely expected JSON
    #[arg(long, default_value_t = 0.0, value_parser = read_share)]
    pub awkward_share: f64,
    /// How far back content goes, such as 24h or 7d
    #[arg(long, default_value = "24h", value_parser = read_duration)]
    pub history: Duration,
    /// For how long from now new blobs appear (default: for ever)
    #[arg(long, value_parser = read_duration)]
    pub content_for: Option<Duration>,
    /// Entries per page of a listing
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub page_size: u32,
    /// How long a token is good for
    #[arg(long, default_value = "3599s", value_parser = read_duration)]
    pub token_lifetime: Duration,
    /// The share of blobs that are listed later than their contentCreated says
    #[arg(long, default_value_t = 0.0, value_parser = read_share)]
    pub late_share: f64,
    /// The most by which they are late
    #[arg(long, default_value = "6h", value_parser = read_duration)]
    pub late_by: Duration,
    /// The share of wanted records that come again in a later blob
    #[arg(long, default_value_t = 0.0, value_parser = read_share)]
    pub duplicate_share: f64,
    /// The keys of a record come in another order at each download
    #[arg(long)]
    pub shuffle_keys: bool,
    /// Listings show blobs that have expired too
    #[arg(long)]
    pub list_expired: bool,
    /// A listing that starts within a blob's very second leads to half of that blob, as was seen once
    #[arg(long)]
    pub partial_at_start: bool,
    /// API requests per minute; 0: no limit
    #[arg(long, default_value_t = 2000)]
    pub quota: u32,
    /// From contentCreated to contentExpiration
    #[arg(long, default_value = "7d", value_parser = read_duration)]
    pub retention: Duration,
    /// Begin without a subscription: listings fail until one is started
    #[arg(long)]
    pub require_subscription: bool,
    /// What goes wrong; unstable, see [`GRAMMAR`].
    #[arg(
        long = "fault",
        value_name = "FAULT",
        help = "Unstable: something that goes wrong, as [TARGET:]KIND[=VALUE][@WHEN] (can be repeated)",
        long_help = fault_help()
    )]
    pub faults: Vec<Rule>,
}

fn fault_help() -> String {
    format!(
        "Something that goes wrong, as [TARGET:]KIND[=VALUE][@WHEN] (can be repeated). \
         The faults and their words are unstable: they may change with any release.\n\n{GRAMMAR}"
    )
}

impl SimulateOptions {
    /// The tenant that these options describe, as of `now`.
    pub fn build(&self, now: Time) -> ServiceConfig {
        let base = ServiceConfig::new(now);
        ServiceConfig {
            seed: self.seed,
            tenant: self.tenant_id.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            token_lifetime: self.token_lifetime,
            content_from: now - self.history,
            content_until: self.content_for.map(|d| now + d),
            blobs_per_hour: self.blobs_per_hour,
            records_per_blob: self.records_per_blob.clone(),
            wanted_share: self.wanted_share,
            awkward_share: self.awkward_share,
            late_share: self.late_share,
            late_by: self.late_by,
            repeat_share: self.duplicate_share,
            shuffles_keys: self.shuffle_keys,
            lists_expired: self.list_expired,
            partial_at_start: self.partial_at_start,
            retention: self.retention,
            page_size: usize::try_from(self.page_size).unwrap_or(usize::MAX),
            quota: (self.quota > 0).then_some(self.quota),
            subscribed: if self.require_subscription { Subscribed::Never } else { Subscribed::Enabled },
            // A client that got a Retry-After may have had other requests under way.
            pause_grace: Duration::from_millis(500),
            faults: self.faults.clone(),
            ..base
        }
    }
}

fn read_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number between 0 and 1".to_owned()),
    }
}

fn read_range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let wrong = || "it is a number such as 40, or two such as 10-500, from 1 on".to_owned();
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
    let range = match text.split_once('-') {
        Some((from, to)) => number(from)?..=number(to)?,
        None => 1..=number(text)?,
    };
    if range.is_empty() || *range.start() == 0 { Err(wrong()) } else { Ok(range) }
}

fn read_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a whole number with ms, s, m, h or d, such as 90s or 24h".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let millis = match &text[end..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    // A century is longer than any test and fits every calculation with it.
    let limit = 100 * 365 * 86_400_000;
    number.checked_mul(millis).filter(|n| *n <= limit).map(Duration::from_millis).ok_or_else(|| "it is at most 36500d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: SimulateOptions,
    }

    fn parse(args: &[&str]) -> Result<SimulateOptions, String> {
        let args = ["simulate"].iter().chain(args);
        Command::try_parse_from(args).map(|c| c.options).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_service() {
        let now = Time(1_772_000_000_000);
        let config = parse(&[]).unwrap().build(now);
        let base = ServiceConfig::new(now);
        assert_eq!(
            (config.seed, config.blobs_per_hour, config.records_per_blob, config.page_size, config.quota, config.retention),
            (base.seed, base.blobs_per_hour, base.records_per_blob, base.page_size, base.quota, base.retention)
        );
        assert_eq!((config.content_from, config.subscribed), (base.content_from, base.subscribed));
        assert_eq!(config.token_lifetime, base.token_lifetime);
    }

    #[test]
    fn takes_every_flag() {
        let args = "--seed 7 --tenant-id 11111111-0000-4000-8000-00000000000A --client-id c --client-secret s --blobs-per-hour 5 \
            --records-per-blob 2-9 --wanted-share 0.5 --awkward-share 0.1 --history 7d --content-for 10m --page-size 3 \
            --token-lifetime 30s --late-share 0.1 --late-by 90m --duplicate-share 0.2 --quota 0 --retention 2d \
            --require-subscription --shuffle-keys --list-expired --partial-at-start --fault throttle=3@0.1 --fault clock-skew=-60";
        let config = parse(&args.split_whitespace().collect::<Vec<_>>()).unwrap().build(Time(0));
        assert_eq!(config.records_per_blob, 2..=9);
        assert_eq!(config.content_from, Time(-7 * 86_400_000));
        assert_eq!(config.content_until, Some(Time(600_000)));
        assert_eq!((config.quota, config.page_size, config.faults.len()), (None, 3, 2));
        assert_eq!(config.subscribed, Subscribed::Never);
        assert!(config.shuffles_keys && config.lists_expired && config.partial_at_start);
    }

    #[test]
    fn says_what_is_wrong() {
        let table = [
            (["--wanted-share", "2"], "between 0 and 1"),
            (["--history", "yesterday"], "such as 90s or 24h"),
            (["--history", "99999999999999d"], "at most 36500d"),
            (["--records-per-blob", "9-2"], "such as 10-500"),
            (["--records-per-blob", "0-2"], "such as 10-500"),
            (["--tenant-id", "contoso.com"], "a GUID"),
            (["--fault", "explode"], "no fault is called"),
            (["--page-size", "0"], "1.."),
        ];
        for (args, why) in table {
            let error = parse(&args).unwrap_err();
            assert!(error.contains(why), "{args:?}: {error}");
        }
    }
}
