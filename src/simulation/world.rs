//! The world outside a process: time, the service, the network's moods, the disk, and what a watcher has seen. Two processes
//! that work on one tenant have a world each, and the service and the time in common.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::darkness::Darkness;
use super::ends::Met;
use super::enough::Replies;
use super::fate::{BEGIN, Fate, Slot, Weather, skew};
use super::manners::Manners;
use super::neighbour::{Tenant, Watch};
use super::oracle::{Asked, Oracle};
use super::paging::Listed;
use super::phases::{Hit, Phase, Table};
use crate::domain::{Claim, ContentId, FeedId, Time};
use crate::feed::{Moment, Plan};
use crate::simulator::config::{RetryAfter, ServiceConfig, ThrottleStyle};
use crate::simulator::dice::Dice;
use crate::simulator::faults::{Fault, Rule, Target, When};
use crate::simulator::{Request, Response, Service};
use crate::store::MemoryStore;

/// More steps than any seed needs, except where listings are long: a run that does not end is a finding.
const STEPS_MAX: u64 = 100_000;

/// What the process is hit by from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Crash,
    Stop,
}

/// What is the same for every process.
pub(super) struct Common {
    /// When the simulation began, on the runtime's clock.
    start: Instant,
    /// Time that passed while nothing was running.
    away: Duration,
    /// How long processes were suspended, and until when.
    pub(super) slept: Vec<(Duration, Duration)>,
    pub(super) service: Service,
    /// An administrator puts the subscription right again then.
    pub(super) repair_at: Option<Time>,
}

impl Common {
    fn elapsed(&self) -> Duration {
        self.start.elapsed() + self.away
    }
}

pub(super) struct World {
    pub(super) fate: Fate,
    pub(super) dice: Dice,
    /// For rare things, so that the stories of other seeds stay as they are.
    pub(super) odd: Dice,
    common: Arc<Mutex<Common>>,
    /// Another tenant in the process.
    pub(super) neighbour: Option<Tenant>,
    /// What the process is there for.
    pub(super) plan: Plan,
    /// Runs that had to end have told a person to set the clock, and did nothing: what expired meanwhile is not covered.
    pub(super) unset: bool,
    /// By how much the local clock is wrong.
    pub(super) wall_error_ms: i64,
    pub(super) oracle: Oracle,
    pub(super) feed: FeedId,
    pub(super) disk: MemoryStore,
    /// Floor and begin as the witness beside the store has them.
    pub(super) witness: Option<(Time, Time)>,
    /// The process is dead: nothing that it still does takes effect.
    pub(super) dead: bool,
    pub(super) blow: Option<Blow>,
    pub(super) table: Table,
    pub(super) steps: u64,
    pub(super) commits: u64,
    pub(super) crashes: u64,
    /// How long processes lived, and the longest of them.
    pub(super) lived: Duration,
    pub(super) longest_life: Duration,
    pub(super) wrong: Option<String>,
    pub(super) manners: Manners,
    pub(super) replies: Replies,
    /// What this process has met that may end it.
    pub(super) met: Met,
    /// How often this process has asked for each blob.
    pub(super) asked: HashMap<ContentId, Asked>,
    /// Listings that were lies.
    pub(super) wrong_pages: u32,
    /// Pages of each window that this process has listed, the last time only.
    pub(super) pages: HashMap<Listed, u32>,
    /// Pages of listings without end.
    pub(super) flooded: u32,
    /// What this process knows of the subscription being off.
    pub(super) dark: Darkness,
    /// Requests under way, by phase, for what hits the process while it waits.
    pub(super) under_way: Vec<Phase>,
    pub(super) trace: bool,
    /// Time has passed at once: who waits for a moment has to look again.
    moved: bool,
}

/// The world, shared by everything that stands in for the outside.
#[derive(Clone)]
pub(super) struct Outside {
    world: Arc<Mutex<World>>,
    /// Wakes the one who ends the process.
    pub(super) bell: Arc<Notify>,
}

impl Outside {
    pub(super) fn new(fate: Fate, trace: bool) -> Self {
        let (oracle, shelf) = Oracle::new(&fate);
        let config = ServiceConfig {
            seed: fate.seed,
            tenant: fate.tenant.clone(),
            blobs_per_hour: 0,
            base_url: Some(super::life::ROOT.to_owned()),
            content_from: BEGIN,
            token_lifetime: fate.token_lifetime,
            page_size: fate.page_size,
            page_key_lifetime: fate.page_key_lifetime,
            quota: fate.quota,
            throttle: ThrottleStyle { status: 403, retry_after: RetryAfter::Absent },
            partial_at_start: fate.partial_at_start,
            date_skew_ms: fate.date_skew_ms,
            history_before_start: true,
            ..ServiceConfig::new(BEGIN)
        };
        let mut service = Service::new(config);
        for blob in shelf {
            service.add_blob(blob);
        }
        let common = Common { start: Instant::now(), away: Duration::ZERO, slept: Vec::new(), service, repair_at: None };
        let follow = Plan::Follow { poll_interval: fate.poll_interval, look_back: fate.look_back };
        let plan = if fate.once { Plan::Once } else { follow };
        let dice = Dice::new(fate.seed, &[0x0077_6f72_6c64]);
        let bad = fate.neighbour;
        let common = Arc::new(Mutex::new(common));
        let outside = Self::of(World::new(fate, dice, common.clone(), plan, oracle, trace));
        let watch: Watch = Arc::new(move || BEGIN + common.lock().unwrap_or_else(PoisonError::into_inner).elapsed());
        outside.look().neighbour = bad.map(|bad| Tenant::bad(1, bad, watch));
        outside
    }

    /// The world of a further process on the same tenant, which is there for a range of it.
    pub(super) fn beside(&self, range: Range<Time>) -> Self {
        let world = self.look();
        let fate = Fate { per_minute: (world.fate.per_minute / 2).max(1), ..world.fate.clone() };
        let (mut oracle, _) = Oracle::new(&fate);
        let plan = Plan::Range { from: Moment::At(range.start), to: Moment::At(range.end) };
        oracle.expect_only(range);
        let dice = Dice::new(fate.seed, &[0x0062_6573_6964_6500]);
        Self::of(World::new(fate, dice, world.common.clone(), plan, oracle, world.trace))
    }

    fn of(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), bell: Arc::new(Notify::new()) }
    }

    pub(super) fn look(&self) -> MutexGuard<'_, World> {
        // A panic while it was held has failed the run already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the product in this phase. False: the process has just died, or is dead.
    pub(super) fn step(&self, phase: Phase) -> bool {
        let mut world = self.look();
        let alive = world.step(phase);
        if world.blow.is_some() || world.dead || world.moved {
            world.moved = false;
            self.bell.notify_one();
        }
        alive
    }

    /// Something is not as it must be.
    pub(super) fn accuse(&self, wrong: String) {
        let mut world = self.look();
        world.accuse(wrong);
        self.bell.notify_one();
    }

    /// What a dead process does next: nothing.
    pub(super) async fn dead<R>(&self) -> R {
        self.bell.notify_one();
        std::future::pending().await
    }
}

impl World {
    fn new(fate: Fate, dice: Dice, common: Arc<Mutex<Common>>, plan: Plan, oracle: Oracle, trace: bool) -> Self {
        let feed = FeedId { tenant: fate.tenant.clone(), content_type: crate::domain::ContentType::AuditGeneral };
        Self {
            odd: Dice::new(fate.seed, &[0x0072_6172_6500]),
            fate,
            dice,
            common,
            neighbour: None,
            plan,
            unset: false,
            wall_error_ms: 0,
            oracle,
            feed,
            disk: MemoryStore::new(),
            witness: None,
            dead: true,
            blow: None,
            table: Table::default(),
            steps: 0,
            commits: 0,
            crashes: 0,
            lived: Duration::ZERO,
            longest_life: Duration::ZERO,
            wrong: None,
            manners: Manners::default(),
            replies: Replies::default(),
            met: Met::default(),
            asked: HashMap::new(),
            wrong_pages: 0,
            pages: HashMap::new(),
            flooded: 0,
            dark: Darkness::default(),
            under_way: Vec::new(),
            trace,
            moved: false,
        }
    }

    pub(super) fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service is asked as `faulty` has it.
    pub(super) fn handle(&self, request: &Request, faults: impl IntoIterator<Item = Fault>) -> Response {
        let now = self.now();
        let mut common = self.common();
        for fault in faults {
            common.service.add_fault(Rule::new(Target::Any, fault, When::Always));
        }
        let response = common.service.handle(request, now);
        common.service.clear_faults();
        response
    }

    /// A process begins on what the disk holds.
    pub(super) fn begin_life(&mut self) {
        self.dead = false;
        self.blow = None;
        self.under_way.clear();
        self.manners.reborn();
        self.met = Met { born: self.elapsed(), ..Met::default() };
        self.asked.clear();
        self.pages.clear();
        self.dark.reborn(self.oracle.has_place());
    }

    /// A process has ended, however.
    pub(super) fn end_life(&mut self) {
        self.dead = true;
        let life = self.elapsed().saturating_sub(self.met.born);
        self.lived += life;
        self.longest_life = self.longest_life.max(life);
    }

    /// True if output, dead letters or state fail now, at this rate in rough weather. That ends a process: a steady one seldom.
    pub(super) fn breaks(&mut self, rate: f64) -> bool {
        let rate = if self.fate.steady { rate / 50.0 } else { rate };
        matches!(self.weather(), Weather::Rough { .. }) && self.dice.chance(rate)
    }

    /// A commit has taken effect.
    pub(super) fn committed(&mut self, claim: &Claim) {
        let now = self.now();
        let common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = matches!(self.plan, Plan::Follow { .. });
        let mut judged = Oracle::was_out_of_reach(claim, now)
            .and_then(|()| self.oracle.committed(claim, follows, |id| common.service.hides(id, claim.at)));
        drop(common);
        self.dark.committed(claim.at);
        if judged.is_ok() && matches!(self.plan, Plan::Range { .. }) {
            judged = self.justified(claim);
        }
        if let Err(wrong) = judged {
            self.accuse(wrong);
        }
    }

    /// What the processes have done to the service that they must not do.
    pub(super) fn offences(&self) -> Vec<String> {
        self.common().service.ledger().offences()
    }

    /// How long the simulation has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.common().elapsed()
    }

    /// The true time, which is the service's.
    pub(super) fn now(&self) -> Time {
        BEGIN + self.elapsed()
    }

    pub(super) fn slot(&self) -> Option<Slot> {
        let now = self.elapsed();
        self.fate.slots.iter().find(|slot| now < slot.until).copied()
    }

    /// When the world will be so old, if the process runs on.
    pub(super) fn at(&self, elapsed: Duration) -> Instant {
        let common = self.common();
        common.start + elapsed.saturating_sub(common.away)
    }

    pub(super) fn weather(&self) -> Weather {
        self.slot().map_or(Weather::Fine, |slot| slot.weather)
    }

    /// Time passes without the process.
    pub(super) fn pass(&mut self, time: Duration) {
        self.common().away += time;
    }

    pub(super) fn accuse(&mut self, wrong: String) {
        self.note(|| format!("WRONG: {wrong}"));
        self.wrong.get_or_insert(wrong);
        self.dead = true;
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{:>6}  {}  {}", self.steps, self.now(), what());
        }
    }

    pub(super) fn hit(&mut self, hit: Hit, phase: Phase) {
        self.table.count(hit, phase);
        self.met.failure |= hit == Hit::Fails;
        self.met.slow_reader |= hit == Hit::SlowReader;
        self.met.undated |= hit == Hit::NoDate;
        self.note(|| format!("{} at {}", hit.name(), phase.name()));
    }

    fn step(&mut self, phase: Phase) -> bool {
        if self.dead {
            return false;
        }
        self.steps += 1;
        let most = if self.fate.flood { STEPS_MAX * 4 } else { STEPS_MAX };
        if self.steps > most {
            self.accuse(format!("R25: no end after {most} steps"));
            return false;
        }
        let Weather::Rough { crashes, .. } = self.weather() else { return true };
        if self.dice.chance(crashes) {
            self.strike(phase);
        }
        !self.dead
    }

    /// Something hits the process or its machine.
    pub(super) fn strike(&mut self, phase: Phase) {
        let blow = self.dice.below(5);
        match if self.fate.steady { 3 + blow % 2 } else { blow } {
            0..=1 => self.crash(phase),
            2 => {
                self.hit(Hit::Stop, phase);
                self.blow.get_or_insert(Blow::Stop);
            }
            3 => {
                let room = self.slot().map_or(Duration::ZERO, |slot| slot.until.saturating_sub(self.elapsed()));
                let millis = u64::try_from(room.as_millis()).unwrap_or(0);
                let time = Duration::from_millis(self.dice.below(millis.max(1)));
                self.hit(Hit::Suspend, phase);
                self.pass(time);
                let until = self.elapsed();
                self.common().slept.push((until, time));
                self.moved = true;
            }
            _ => {
                self.hit(Hit::Jump, phase);
                self.wall_error_ms = if self.dice.chance(0.4) { 0 } else { skew(&mut self.dice) };
            }
        }
    }

    pub(super) fn crash(&mut self, phase: Phase) {
        self.hit(Hit::Crash, phase);
        self.crashes += 1;
        self.dead = true;
        self.blow = Some(Blow::Crash);
    }

    /// The local clock is right again, as it is while the terms of the promise are kept.
    pub(super) fn set_clock_right(&mut self) {
        self.wall_error_ms = 0;
    }

    /// True if the local clock is not the service's.
    pub(super) fn clocks_differ(&self) -> bool {
        self.wall_error_ms != 0 || !self.fate.tells_the_time()
    }

    /// True if a fault of the network or the service comes now.
    pub(super) fn is_faulty(&mut self) -> bool {
        match self.weather() {
            Weather::Rough { faults, .. } => self.dice.chance(faults),
            _ => false,
        }
    }

    /// What the oracle finds owed at this moment.
    pub(super) fn owed(&self, settled: Time, late_too: bool) -> Vec<String> {
        let now = self.now();
        let common = self.common();
        let terms = self.fate.keeps_the_terms() && !self.unset;
        self.oracle.owed(now, settled, terms, late_too, |id| common.service.hides(id, now))
    }
}
