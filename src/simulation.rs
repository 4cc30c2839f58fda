//! The simulation: the shipped code against the model of the service, in simulated time, under everything that can go wrong.
//!
//! What ships is what runs: reply reading, error table, tokens, core, decoder, batches, receipts, claims, commits. Only
//! the sockets ([`network`]), the output's descriptor and the disk under sled ([`disk`]), the clock ([`world`]) and the
//! writer's thread are replaced. A seed decides everything ([`fate`]), so a seed is a story that can be told again. At any
//! step the process may die; what is not committed is then gone, and the next life starts on what the disk holds. The
//! [`oracle`] knows the truth and looks on at each write and each commit. After eight days or more the faults end, and
//! everything that the promise covers must be out soon.
//!
//! In some seeds the process is one that ends by itself and is started again by [`cron`]; in some a backfill runs beside the poller
//! ([`beside`]), in some a bad tenant shares its process ([`neighbour`]; many of them: [`crowd`]).
//!
//! `cargo test` runs some ten thousands of seeds; `DEFENDER_FEED_SEEDS=1000000 cargo test --profile simulation --lib
//! simulation::tests::seeds` runs a million and prints the figures; `DEFENDER_FEED_SEED=7 cargo test --lib
//! simulation::tests::replay` tells one step by step.
//! For unit tests alone: nothing of it is compiled into the product.

mod beside;
mod cron;
mod crowd;
mod darkness;
mod disk;
mod ends;
mod enough;
mod fate;
mod life;
mod manners;
mod neighbour;
mod network;
mod oracle;
mod paging;
mod phases;
mod tests;
mod world;

use std::time::Duration;

use self::fate::{DAY, Fate, HOUR, Weather};
use self::life::{Death, Life};
use self::phases::{Hit, Phase, Table};
use self::world::Outside;
use crate::domain::{Claim, RecordTypes, Time};
use crate::feed::Finish;
use crate::runner::FeedEnd;
use crate::sink::{Batch, MemorySink, Sink};
use crate::store::{MemoryStore, Store};

/// After the faults everything must be out within this: two daily sweeps.
const CATCH_UP: Duration = Duration::from_secs(50 * 3600);

/// What a run has shown.
#[derive(Debug, Clone, Default)]
struct Figures {
    seeds: u64,
    steps: u64,
    fewest_steps: u64,
    most_steps: u64,
    days: f64,
    faults: Table,
    crashes: u64,
    /// Days that processes lived, the longest life, and seeds in which nothing is to end it.
    lived: f64,
    longest_life: f64,
    steady: u64,
    commits: u64,
    lines: u64,
    repeated: u64,
    /// Seeds with a bad neighbour.
    neighbours: u64,
    /// Seeds whose process is started by cron, and seeds whose listings have no end.
    once: u64,
    endless: u64,
    /// Seeds with a backfill beside the poller, and what the backfills brought.
    backfills: u64,
    backfilled: u64,
}

impl Figures {
    fn of(world: &world::World) -> Self {
        Self {
            seeds: 1,
            steps: world.steps,
            fewest_steps: world.steps,
            most_steps: world.steps,
            days: world.elapsed().as_secs_f64() / DAY.as_secs_f64(),
            faults: world.table.clone(),
            crashes: world.crashes,
            lived: world.lived.as_secs_f64() / DAY.as_secs_f64(),
            longest_life: world.longest_life.as_secs_f64() / DAY.as_secs_f64(),
            steady: u64::from(world.fate.steady),
            commits: world.commits,
            lines: world.oracle.lines,
            repeated: world.oracle.repeated,
            neighbours: u64::from(world.neighbour.is_some()),
            once: u64::from(world.fate.once),
            endless: u64::from(world.fate.endless.is_some()),
            ..Self::default()
        }
    }

    /// With what the backfill of the same seed has shown.
    fn join(&mut self, backfill: &Figures) {
        self.steps += backfill.steps;
        (self.fewest_steps, self.most_steps) = (self.steps, self.steps);
        self.faults.add(&backfill.faults);
        self.crashes += backfill.crashes;
        self.commits += backfill.commits;
        self.repeated += backfill.repeated;
        self.backfills += 1;
        self.backfilled += backfill.lines;
    }

    fn add(&mut self, other: &Figures) {
        self.fewest_steps = if self.seeds == 0 { other.fewest_steps } else { self.fewest_steps.min(other.fewest_steps) };
        self.most_steps = self.most_steps.max(other.most_steps);
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.days += other.days;
        self.faults.add(&other.faults);
        self.crashes += other.crashes;
        self.lived += other.lived;
        self.longest_life = self.longest_life.max(other.longest_life);
        self.steady += other.steady;
        self.commits += other.commits;
        self.lines += other.lines;
        self.repeated += other.repeated;
        self.neighbours += other.neighbours;
        self.once += other.once;
        self.endless += other.endless;
        self.backfills += other.backfills;
        self.backfilled += other.backfilled;
    }
}

/// Runs one seed. An error says what was not as it must be.
fn run(seed: u64, trace: bool) -> Result<Figures, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let outside = Outside::new(Fate::of(seed), trace);
        let mut beside = None;
        story(&outside, &mut beside).await?;
        let mut figures = Figures::of(&outside.look());
        if let Some(Beside { outside, .. }) = beside {
            figures.join(&Figures::of(&outside.look()));
        }
        Ok(figures)
    })
}

/// What became of a backfill beside the poller.
struct Beside {
    outside: Outside,
    end: tokio::task::JoinHandle<Result<(), String>>,
}

async fn story(outside: &Outside, beside: &mut Option<Beside>) -> Result<(), String> {
    let mut life: Option<Life> = None;
    loop {
        let slot = outside.look().slot();
        let Some(slot) = slot else { break };
        outside.look().note(|| format!("until {:?}: {:?}", slot.until, slot.weather));
        if slot.weather == Weather::Down {
            if let Some(mut life) = life.take() {
                go_down(outside, &mut life).await?;
                life.bury().await;
            }
            let mut world = outside.look();
            let rest = slot.until.saturating_sub(world.elapsed());
            world.pass(rest);
            damage(&mut world);
            continue;
        }
        let (began, before, due) = {
            let world = outside.look();
            (world.now(), world.replies, world.fate.backfill.filter(|b| beside.is_none() && b.at <= world.elapsed()))
        };
        if let Some(backfill) = due {
            let range = beside::range(backfill, began);
            let other = outside.beside(range.clone());
            *beside = Some(Beside { outside: other.clone(), end: tokio::spawn(beside::run(other, range)) });
        }
        through(outside, &mut life, slot.until).await?;
        let world = outside.look();
        let fine = world.now().since(began);
        if slot.weather == Weather::Fine && world.fate.is_long_enough(fine) && world.is_judged(began, before) {
            let owed = world.owed(began, false);
            if !owed.is_empty() {
                return Err(format!("R25: not out after a fine half hour that began at {began}: {}", owed.join("; ")));
            }
        }
    }
    calm(outside, &mut life, beside).await
}

/// Lives on, in as many lives as it takes, until then.
async fn through(outside: &Outside, life: &mut Option<Life>, until: Duration) -> Result<(), String> {
    loop {
        if outside.look().elapsed() >= until {
            return Ok(());
        }
        if life.is_none() && outside.look().is_once() {
            cron::wait_for_turn(outside, until).await;
            if outside.look().elapsed() >= until {
                return Ok(());
            }
        }
        let mut alive = life.take().unwrap_or_else(|| Life::start(outside));
        let next = next_blow(outside, until);
        match alive.until(next.unwrap_or(until)).await {
            Death::Waits => {
                if next.is_some() {
                    let mut world = outside.look();
                    let phase = world.under_way.first().copied().unwrap_or(Phase::Sleep);
                    world.strike(phase);
                    outside.bell.notify_one();
                }
                *life = Some(alive);
                tokio::task::yield_now().await;
            }
            death => {
                alive.bury().await;
                died(outside, &death)?;
            }
        }
    }
}

/// When something hits the process whatever it does, if that is before `until`.
fn next_blow(outside: &Outside, until: Duration) -> Option<Duration> {
    let mut world = outside.look();
    let Weather::Rough { crashes, .. } = world.weather() else { return None };
    if crashes == 0.0 {
        return None;
    }
    let at = world.elapsed() + Duration::from_secs(world.dice.between(30, 6 * 3600));
    (at < until).then_some(at)
}

/// A process has ended: what must hold then, and how long it is away.
fn died(outside: &Outside, death: &Death) -> Result<(), String> {
    let mut world = outside.look();
    world.note(|| format!("the process ended: {death:?}"));
    if let Some(wrong) = &world.wrong {
        return Err(wrong.clone());
    }
    world.may_end(death)?;
    world.oracle.died();
    // At some of the deaths: a recount reads all that was ever committed.
    if world.dice.chance(0.25) {
        balanced(&world)?;
    }
    let away = Duration::from_millis(world.dice.between(200, 60_000));
    world.pass(away);
    damage(&mut world);
    Ok(())
}

/// The ledger on disk adds up.
fn balanced(world: &world::World) -> Result<(), String> {
    let findings = world.disk.verify().map_err(|error| error.to_string())?;
    if findings.is_empty() { Ok(()) } else { Err(format!("the ledger does not balance: {findings:?}")) }
}

/// What happens to the state while nobody runs.
fn damage(world: &mut world::World) {
    if matches!(world.weather(), Weather::Fine) || !world.dice.chance(0.01) {
        return;
    }
    world.hit(Hit::Damage, Phase::Sleep);
    let witness = world.witness.filter(|_| world.dice.chance(0.7));
    world.disk = witness.map_or_else(MemoryStore::new, |(floor, begin)| known_by_the_witness(world, floor, begin));
    world.witness = witness;
    let now = world.now();
    world.oracle.state_lost(now, witness.map(|(floor, _)| floor), witness.map(|(_, begin)| begin));
    world.manners.state_lost();
    world.dark.state_lost();
}

/// The store as it starts anew from a witness's floor.
fn known_by_the_witness(world: &world::World, floor: Time, begin: Time) -> MemoryStore {
    let claim = Claim {
        feed: world.feed.clone(),
        at: floor,
        floor,
        begin,
        filter: RecordTypes::defender().to_string(),
        done: Vec::new(),
        parts: Vec::new(),
        gaps: Vec::new(),
        records: Vec::new(),
        subscription_start: None,
        forget_before: Time::MIN,
    };
    let mut store = MemoryStore::new();
    let receipt = MemorySink::new().write(Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() });
    let committed = receipt.map(|receipt| store.commit(receipt));
    debug_assert!(matches!(committed, Ok(Ok(()))), "memory takes everything");
    store
}

/// The machine goes down: by a loss of power, or in order.
async fn go_down(outside: &Outside, life: &mut Life) -> Result<(), String> {
    let in_order = outside.look().dice.chance(0.5);
    if !in_order {
        let mut world = outside.look();
        let phase = world.under_way.first().copied().unwrap_or(Phase::Sleep);
        world.crash(phase);
        drop(world);
        return died(outside, &Death::Crashed);
    }
    life.stop();
    let later = outside.look().elapsed() + HOUR;
    let death = life.until(later).await;
    died(outside, &death)
}

/// The faults are over: everything must come out, and it must end in order when told to.
async fn calm(outside: &Outside, life: &mut Option<Life>, beside: &mut Option<Beside>) -> Result<(), String> {
    let began = outside.look().elapsed();
    outside.look().set_clock_right();
    if let Some(beside) = beside {
        beside.outside.look().set_clock_right();
    }
    loop {
        let (now, poll) = {
            let world = outside.look();
            (world.elapsed(), world.fate.poll_interval)
        };
        through(outside, life, now + poll.max(HOUR)).await?;
        let world = outside.look();
        let settled = world.fate.calm;
        let mut owed = world.owed(fate::BEGIN + settled, true);
        owed.extend(world.oracle.false_gaps(fate::BEGIN + settled));
        owed.extend(world.untold_darkness());
        owed.extend(world.endless_darkness());
        owed.extend(world.is_dark().then(|| "the subscription is still off".to_owned()));
        if owed.is_empty() {
            break;
        }
        if world.elapsed() > began + CATCH_UP {
            return Err(format!("R1, R25: not out {} h after the last fault: {}", CATCH_UP.as_secs() / 3600, owed.join("; ")));
        }
    }
    if let Some(beside) = beside {
        match tokio::time::timeout(CATCH_UP, &mut beside.end).await {
            Ok(end) => end.map_err(|error| format!("the backfill panicked: {error}"))??,
            Err(_) => {
                return Err(format!("R24, R25: no end of the backfill {} h after the last fault", CATCH_UP.as_secs() / 3600));
            }
        }
    }
    if let Some(mut alive) = life.take() {
        alive.stop();
        let later = outside.look().elapsed() + HOUR;
        let death = alive.until(later).await;
        alive.bury().await;
        died(outside, &death)?;
        if !matches!(death, Death::Ended(FeedEnd::Finished(Finish::Stopped | Finish::Complete))) {
            return Err(format!("it did not end in order when told to: {death:?}"));
        }
    }
    let world = outside.look();
    balanced(&world)?;
    // The two waits are judged process by process (`manners`).
    let offences = world.offences();
    let offences: Vec<_> = offences.into_iter().filter(|o| !o.contains("Retry-After") && !o.contains("15 minutes")).collect();
    if !offences.is_empty() {
        return Err(format!("bad manners: {}", offences.join(", ")));
    }
    Ok(())
}
