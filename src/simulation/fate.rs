//! What a seed decides before the run: the tenant's content, the settings, the weather.
//!
//! The weather is a row of slots. Every 24 hours hold at least half an hour in which the process runs and the network
//! works: what the promise asks for. In the other slots the process may be down, the network gone, or both may fail at
//! any step. Poll interval and number of blobs are drawn so that a run has some hundred steps.

use std::time::Duration;

use super::neighbour::Bad;
use crate::domain::{TenantId, Time};
use crate::simulator::dice::Dice;

/// When the simulated world begins.
pub(super) const BEGIN: Time = Time(1_780_000_000_000);
/// What the promise asks for in each 24 hours.
const WORKING: Duration = Duration::from_secs(30 * 60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long the service keeps a blob.
pub(super) const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// A blob that is listed with less than this left is not covered by the promise.
pub(super) const IN_TIME: Duration = Duration::from_secs(25 * 3600);

/// Seeds with a backfill beside the poller.
const BACKFILLS: f64 = 0.08;
/// Seeds with a bad neighbour.
const NEIGHBOURS: f64 = 0.06;

/// Seeds in which the process is `--once`, started by cron.
const ONCE: f64 = 0.05;
/// Seeds in which listings have no end while anything may fail …
const ENDLESS: f64 = 0.03;
/// … and those in which the rate is high enough to see where the product ends them.
const FLOODS: f64 = 0.0006;
/// Seeds in which blobs come close together while the process looks: one of them in the very second in which a listing ends.
const BUSY: f64 = 0.01;
/// Blobs of a busy half hour.
const BUSY_BLOBS: u64 = 60;
/// Seeds in which the subscription vanishes when it hurts.
const UNLUCKY: f64 = 0.1;
/// Seeds in which nothing ends the process for days: most others tell of processes that live for minutes.
const STEADY: f64 = 0.06;
/// Polls are far apart then, or such a seed would be as long as twenty others.
const STEADY_POLL: Duration = Duration::from_secs(3600);
/// What hits a steady process all the same, at this rate per step: it is suspended, its clock is set.
const JOLTS: f64 = 0.003;
/// A flood's rate.
const FLOOD_RATE: u32 = 60_000;

/// How listings never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endless {
    /// Each page is empty, and names another one.
    Empty,
    /// Each page names the first one.
    Circle,
}

/// What happens during a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Weather {
    /// Nothing fails that does not always fail.
    Fine,
    /// Anything may fail, at this rate per step.
    Rough { faults: f64, crashes: f64 },
    /// The network is gone.
    Cut,
    /// The process is not running.
    Down,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) until: Duration,
    pub(super) weather: Weather,
}

impl Slot {
    /// The process lives on, in whatever weather there is instead.
    fn live_through(&mut self, dice: &mut Dice) {
        let rough = |faults| Weather::Rough { faults, crashes: JOLTS };
        self.weather = match self.weather {
            Weather::Down => match dice.below(10) {
                0..=5 => Weather::Fine,
                6..=8 => rough(0.1),
                _ => Weather::Cut,
            },
            Weather::Rough { faults, .. } => rough(faults),
            other => other,
        }
    }

    fn soften(&mut self) {
        if let Weather::Rough { faults, crashes } = &mut self.weather {
            (*faults, *crashes) = (0.02, 0.0);
        }
    }
}

/// A blob of the tenant.
#[derive(Debug, Clone)]
pub(super) struct BlobFate {
    pub(super) created: Time,
    pub(super) listed_at: Time,
    pub(super) expires: Time,
    pub(super) kind: Kind,
    /// Its downloads fail until then.
    pub(super) poisoned_until: Option<Time>,
    pub(super) records: u64,
}

/// What a blob is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Some records, wanted or not.
    Plain,
    /// Elements among them that are no records.
    Odd,
    /// More wanted lines than are held: it is delivered in parts.
    Large,
    /// A record over the size limit.
    Oversize,
}

/// A backfill beside the poller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backfill {
    /// It is started in the first slot that begins then or later.
    pub(super) at: Duration,
    /// How far back it begins.
    pub(super) since: Duration,
    /// How far back it ends.
    pub(super) until: Duration,
}

/// Everything that a seed decides.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) seed: u64,
    pub(super) tenant: TenantId,
    pub(super) poll_interval: Duration,
    pub(super) look_back: Duration,
    pub(super) per_minute: u32,
    pub(super) quota: Option<u32>,
    /// How many requests list three times, and fetch twice, what the service keeps.
    pub(super) requests_needed: u32,
    pub(super) page_size: usize,
    pub(super) page_key_lifetime: Option<Duration>,
    pub(super) token_lifetime: Duration,
    pub(super) long_links: bool,
    pub(super) partial_at_start: bool,
    pub(super) date_skew_ms: i64,
    /// Single replies tell a wrong time.
    pub(super) dates_lie: bool,
    pub(super) blobs: Vec<BlobFate>,
    pub(super) slots: Vec<Slot>,
    /// When the faults end.
    pub(super) calm: Duration,
    /// A backfill of a stretch runs beside the poller.
    pub(super) backfill: Option<Backfill>,
    /// A tenant in the same process at which something is always wrong.
    pub(super) neighbour: Option<Bad>,
    /// The process comes to its end by itself, and is started again each poll interval.
    pub(super) once: bool,
    /// No listing ends in rough weather.
    pub(super) endless: Option<Endless>,
    /// Its pages come fast.
    pub(super) flood: bool,
    /// Nothing ends the process before the end, but for a disk that fails now and then.
    pub(super) steady: bool,
    /// The subscription vanishes before a blob appears.
    pub(super) unlucky: bool,
    /// The longest stretch without the working half hour; above a day the promise does not hold for what expires.
    pub(super) longest_absence: Duration,
}

impl Fate {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, &[0x0066_6174_6573]);
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let poll_interval = minutes(dice.pick(&[5, 10, 12, 12, 12, 12, 12, 12, 12, 60]));
        let days = dice.between(8, 9);
        let calm = DAY * u32::try_from(days).expect("a few days");
        let count = if dice.chance(0.05) { dice.between(20, 80) } else { dice.between(3, 16) };
        // Dice of their own: the stories of other seeds stay as they are.
        let mut odd = Dice::new(seed, &[0x006f_6464]);
        let (once, endless, flood) = (odd.chance(ONCE), odd.chance(ENDLESS), odd.chance(FLOODS));
        let endless = (endless || flood).then(|| odd.pick(&[Endless::Empty, Endless::Circle]));
        let (busy, unlucky) = (odd.chance(BUSY), odd.chance(UNLUCKY));
        let steady = odd.chance(STEADY) && !once && endless.is_none();
        let poll_interval = if steady { STEADY_POLL } else { poll_interval };
        let page_size = dice.pick(&[1, 2, 3, 200, 200, 200]);
        // Enough quota is a term of the promise: in half an hour everything can be listed three times and fetched twice.
        let all = count + if busy { BUSY_BLOBS } else { 0 };
        let pages = all / page_size + 10;
        let requests_needed = u32::try_from(pages * 3 + all * 2).unwrap_or(u32::MAX);
        let enough = requests_needed.div_ceil(30).max(3);
        let per_minute = enough + dice.pick(&[0, 0, 1, 4]);
        let long_absence = dice.chance(0.04) && !steady;
        let mut slots = weather(&mut dice, poll_interval, calm, long_absence);
        if steady {
            slots.iter_mut().for_each(|slot| slot.live_through(&mut odd));
        }
        let mut bustle = |slots: &[Slot]| if busy { bustle(&mut odd, slots) } else { Vec::new() };
        if flood {
            // A process that is killed every hundred pages never sees the end.
            slots.iter_mut().for_each(Slot::soften);
        }
        let backfill = dice.chance(BACKFILLS).then(|| backfill(&mut dice, calm));
        let neighbour = dice.chance(NEIGHBOURS).then(|| dice.pick(&Bad::ALL));
        // What a poller and a backfill beside it may take together is enough for both.
        let most = if backfill.is_some() { per_minute + per_minute.div_ceil(2) } else { enough };
        Self {
            seed,
            tenant: format!("{:08x}-0000-4000-8000-{:012x}", dice.below(u64::from(u32::MAX)), dice.below(1 << 48))
                .parse()
                .expect("it has the form of a tenant id"),
            poll_interval,
            look_back: HOUR * dice.pick(&[1, 6, 24, 24]),
            per_minute: if flood { FLOOD_RATE } else { per_minute },
            quota: dice.chance(0.3).then(|| most + u32::try_from(dice.below(4)).unwrap_or(0)).filter(|_| !flood),
            requests_needed,
            page_size: usize::try_from(page_size).expect("a small number"),
            page_key_lifetime: dice.chance(0.2).then(|| minutes(dice.between(1, 60))),
            token_lifetime: Duration::from_secs(dice.pick(&[120, 600, 3599, 3599, 86_400, 86_400])),
            long_links: dice.chance(0.05),
            // One client's listing must not spoil what another one asks for.
            partial_at_start: dice.chance(0.1) && backfill.is_none(),
            date_skew_ms: if dice.chance(0.1) { i64::try_from(dice.below(180_000)).unwrap_or(0) - 90_000 } else { 0 },
            dates_lie: dice.chance(0.15),
            blobs: [blobs(&mut dice, count, calm), bustle(&slots)].concat(),
            slots,
            calm,
            backfill,
            // A bad neighbour's run would have no end.
            once: once && neighbour.is_none(),
            endless,
            flood,
            steady,
            unlucky,
            neighbour,
            longest_absence: if long_absence { DAY * 9 } else { DAY },
        }
    }

    /// True if the service tells the true time. Where it does not, a window may end in its future, and what appears there
    /// afterwards is listed late.
    pub(super) fn tells_the_time(&self) -> bool {
        self.date_skew_ms == 0 && !self.dates_lie
    }

    /// True if so much fine weather is what the promise asks for.
    pub(super) fn is_long_enough(&self, fine: Duration) -> bool {
        fine >= working(self.poll_interval)
    }

    /// True if the promise covers every blob that is listed in time.
    pub(super) fn keeps_the_terms(&self) -> bool {
        self.longest_absence <= DAY
    }
}

/// Some seconds, minutes or hours, either way.
pub(super) fn skew(dice: &mut Dice) -> i64 {
    let size = match dice.below(4) {
        0 => dice.between(1, 2_000),
        1 => dice.between(2_000, 240_000),
        2 => dice.between(240_000, 4 * 3_600_000),
        _ => dice.between(4 * 3_600_000, 400 * 86_400_000),
    };
    let size = i64::try_from(size).unwrap_or(0);
    if dice.chance(0.5) { size } else { -size }
}

/// The half hour, and with it two polls: an operator who polls less often needs longer.
fn working(poll_interval: Duration) -> Duration {
    WORKING.max(poll_interval * 2 + Duration::from_secs(300))
}

fn weather(dice: &mut Dice, poll_interval: Duration, calm: Duration, long_absence: bool) -> Vec<Slot> {
    let fine = working(poll_interval);
    // At the same hour each day, so that every 24 hours hold one whole.
    let hour = span(dice, Duration::ZERO, DAY - fine - Duration::from_secs(1));
    let rough = Weather::Rough { faults: dice.pick(&[0.02, 0.1, 0.3, 0.6]), crashes: dice.pick(&[0.0, 0.002, 0.01, 0.05]) };
    let mut slots: Vec<Slot> = Vec::new();
    let mut at = Duration::ZERO;
    let mut day = 0;
    while at < calm {
        let next_fine = DAY * day + hour;
        while at < next_fine {
            let (weather, longest) = match dice.below(10) {
                0..=6 => (Weather::Down, HOUR * 16),
                7 => (Weather::Cut, HOUR / 4),
                _ => (rough, HOUR / 3),
            };
            let length = span(dice, Duration::from_secs(60), longest);
            at = (at + length).min(next_fine);
            slots.push(Slot { until: at, weather });
        }
        at = next_fine + fine;
        slots.push(Slot { until: at, weather: Weather::Fine });
        day += 1;
        if long_absence && day == 2 {
            at += DAY * 9;
            day += 9;
            slots.push(Slot { until: at, weather: Weather::Down });
        }
    }
    slots
}

fn span(dice: &mut Dice, from: Duration, to: Duration) -> Duration {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(dice.between(millis(from), millis(to).max(millis(from))))
}

fn backfill(dice: &mut Dice, calm: Duration) -> Backfill {
    let since = span(dice, HOUR, DAY * 6);
    let until = if dice.chance(0.5) { Duration::ZERO } else { span(dice, Duration::ZERO, since - HOUR / 2) };
    Backfill { at: span(dice, Duration::ZERO, calm - DAY), since, until }
}

/// Many small blobs in one fine half hour.
fn bustle(dice: &mut Dice, slots: &[Slot]) -> Vec<BlobFate> {
    let fine: Vec<Duration> = slots.iter().filter(|slot| slot.weather == Weather::Fine).map(|slot| slot.until).collect();
    let until = dice.pick(&fine);
    let blob = |_| {
        let created = BEGIN + span(dice, until.saturating_sub(WORKING), until);
        let expires = created + RETENTION;
        BlobFate { created, listed_at: created, expires, kind: Kind::Plain, poisoned_until: None, records: 1 }
    };
    (0..BUSY_BLOBS).map(blob).collect()
}

fn blobs(dice: &mut Dice, count: u64, calm: Duration) -> Vec<BlobFate> {
    let mut blobs: Vec<BlobFate> = Vec::new();
    for _ in 0..count {
        let mut created = BEGIN - DAY * 6 + span(dice, Duration::ZERO, DAY * 6 + calm);
        if let Some(last) = blobs.last().filter(|_| dice.chance(0.2)) {
            // Several blobs of one second, of one millisecond too.
            created = Time(last.created.floor_second().0 + i64::try_from(dice.below(1000)).unwrap_or(0));
        } else if dice.chance(0.2) {
            created = created.floor_second();
        }
        let expires = created + RETENTION;
        let listed_at = match dice.below(20) {
            0..=1 => created + span(dice, Duration::from_secs(60), HOUR),
            2..=3 => created + span(dice, HOUR, DAY * 2),
            4 => created + span(dice, DAY, RETENTION - IN_TIME),
            5 if dice.chance(0.3) => created + span(dice, RETENTION - IN_TIME, RETENTION),
            _ => created,
        };
        // Large ones take most of the time of a seed that has one, oversize ones more than all others together.
        let kind = match dice.below(10_000) {
            0..=14 => Kind::Large,
            15..=16 => Kind::Oversize,
            17..=400 => Kind::Odd,
            _ => Kind::Plain,
        };
        let poisoned_until = match dice.below(40) {
            0 => Some(Time::MAX),
            1 => Some(created + span(dice, HOUR, DAY * 5)),
            _ => None,
        };
        let records = if dice.chance(0.1) { 0 } else { dice.between(1, 5) };
        blobs.push(BlobFate { created, listed_at, expires, kind, poisoned_until, records });
    }
    blobs
}
