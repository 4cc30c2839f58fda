//! Faults that only HTTP/2 has: streams that are reset, connections that say goodbye, streams that stall beside others, bodies
//! that are not as long as their heads say, settings that nobody would choose. The service speaks it; all is delivered once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vocabulary::*;

/// RFC 9113, section 7.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const CODES: [u32; 5] = [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM];

/// The same, section 6.5.2.
const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

/// A tenant behind a front that speaks HTTP/2, and the machine that collects it.
struct Site {
    authority: Authority,
    front: Front,
    tenant: Tenant,
    host: Host,
}

impl Site {
    fn of(story: Story) -> Self {
        let authority = Authority::new();
        let front = Front::new(authority.server().with_http2());
        let url = front.url("localhost");
        let tenant = story.with(|c| c.base_url = Some(url)).serve();
        front.leads_to(&tenant);
        Self { authority, front, tenant, host: Host::new() }
    }

    /// With so many blobs, listed by twos.
    fn with_blobs(blobs: u64) -> Self {
        let blob = |story: Story, n: u64| {
            let body = records([mail(&format!("a{n}")), noise(&format!("b{n}")), mail(&format!("c{n}"))]);
            story.blob(minutes_ago(90 + n), body)
        };
        Self::of((0..blobs).fold(service().pages_of(2), blob))
    }

    fn ends(self, plan: impl Fn(Streamed) -> Option<Ending> + Send + Sync + 'static) -> Self {
        self.front.streams().end(plan);
        self
    }

    fn streams(&self) -> &Streams {
        self.front.streams()
    }

    fn reached_by(&self, program: Program) -> Program {
        let certificate = self.authority.file(&self.host);
        program.at(&self.front.url("localhost")).env("SSL_CERT_FILE", certificate.to_str().unwrap())
    }

    fn poller(&self) -> Started {
        self.reached_by(self.host.poll(&self.tenant)).start()
    }

    /// Tells of a backfill that delivers everything once, whatever it meets.
    #[track_caller]
    fn is_backfilled(&self) {
        let run = self.reached_by(self.host.backfill(&self.tenant)).run().expect(0);
        assert!(self.host.dead_letters(&self.host.job(&self.tenant), &self.tenant).is_empty(), "{}", run.stderr);
        self.has_all(&run);
    }

    /// Everything was delivered once, and the ledger says so.
    #[track_caller]
    fn has_all(&self, run: &Ended) {
        assert_same(&run.lines(), &self.tenant.lines());
        assert!(run.peak <= MEMORY_STEADY, "{}", run.peak);
        let state = |what: &str| self.host.run("state").arg(what).args(["--state-dir".as_ref(), self.host.state().as_os_str()]);
        let verified = state("verify").run().expect(0);
        assert!(verified.stdout.contains("ok, 1 feed recounted"), "{}", verified.stdout);
        let gaps = state("gaps").run().expect(0);
        assert!(gaps.stdout.contains("no gaps"), "{}", gaps.stdout);
        assert!(self.host.dead_letters(&self.host.state(), &self.tenant).is_empty(), "{}", run.stderr);
    }
}

/// Of the blobs that are asked for the first time, every second meets one of these ends, so that others come through between.
fn every_second_blob(ends: Vec<Ending>) -> impl Fn(Streamed) -> Option<Ending> + Send + Sync + 'static {
    let blobs = AtomicUsize::new(0);
    move |streamed| {
        let is_first = streamed.call == Call::Blob && streamed.time == 1;
        let n = is_first.then(|| blobs.fetch_add(1, Ordering::SeqCst))?;
        ends.get(n / 2).copied().filter(|_| n % 2 == 1)
    }
}

/// In place of a head and in the middle of a body, each with each of these.
fn at_head_and_in_body(ways: &[Way]) -> Vec<Ending> {
    ways.iter().flat_map(|way| [(At::Head, *way), (At::Body(500), *way)]).collect()
}

/// Tells of a backfill whose first call of each kind meets this.
#[track_caller]
fn is_survived_by_each_kind(end: Ending) -> Site {
    is_survived_by_each_kind_of(Site::with_blobs(6), end, Close::Length)
}

#[track_caller]
fn is_survived_by_each_kind_of(site: Site, end: Ending, close: Close) -> Site {
    let site = site.ends(move |streamed| (streamed.nth == 1).then_some(end));
    site.streams().close(close);
    site.is_backfilled();
    for call in Call::ALL {
        assert!(site.streams().asked(call) > 1, "{end:?}: {call:?} met it");
    }
    site
}

#[test]
fn a_stream_that_is_reset_is_asked_for_again() {
    for_each(&at_head_and_in_body(&CODES.map(Way::Reset)), |end| {
        let site = is_survived_by_each_kind(*end);
        assert_eq!(site.streams().ended(), Call::ALL.len(), "{end:?}");
        assert_eq!(site.front.connections(), 1, "{end:?}: the others of its connection go on");
    });
}

#[test]
fn blobs_whose_streams_are_reset_anywhere_are_delivered_once() {
    let places = [At::Head, At::Body(0), At::Body(500), At::Body(999), At::Body(1000)];
    let ends: Vec<_> = places.iter().flat_map(|at| CODES.map(|code| (*at, Way::Reset(code)))).collect();
    let (all, blobs) = (ends.len(), 2 * ends.len());
    let site = Site::with_blobs(blobs as u64).ends(every_second_blob(ends));
    site.is_backfilled();
    assert_eq!(site.streams().ended(), all);
    // A body that has all of its bytes and is given up without an error is whole.
    assert_eq!(site.streams().asked(Call::Blob), blobs + all - 1, "each of the others once more");
}

#[test]
fn a_connection_that_says_goodbye_is_left_for_another() {
    let closes = |code: u32| [false, true].map(|includes| Way::GoAway { code, includes });
    let stays = [NO_ERROR, ENHANCE_YOUR_CALM].map(|code| Way::LeftOut { code });
    let ways = [closes(NO_ERROR), closes(ENHANCE_YOUR_CALM), stays].concat();
    for_each(&at_head_and_in_body(&ways), |end| {
        let site = is_survived_by_each_kind(*end);
        // A connection that closes takes others with it, whose end was planned too.
        let (ended, connections) = (site.streams().ended(), site.front.connections());
        assert!(ended > 2 && connections > 2, "{end:?}: {ended} ends, {connections} connections");
    });
}

/// It is larger than what is held, so that a part of it is delivered before it breaks.
#[test]
fn what_was_delivered_of_a_body_that_broke_is_not_delivered_again() {
    let big = (0..2500).map(|n| mail(&format!("r{n}")));
    let site = Site::of(service().blob(hours_ago(2), records(big))).ends(|streamed| match (streamed.call, streamed.time) {
        (Call::Blob, 1) => Some((At::Body(800), Way::Reset(INTERNAL_ERROR))),
        (Call::Blob, 2) => Some((At::Body(200), Way::GoAway { code: NO_ERROR, includes: true })),
        (Call::Blob, 3) => Some((At::Body(950), Way::Stall)),
        _ => None,
    });
    let mut poller = site.poller();
    poller.until("the last of them stalls", |_| site.streams().ended() == 3);
    assert!((500..2500).contains(&poller.lines().len()), "{} lines are delivered by then", poller.lines().len());
    site.streams().release();
    poller.until_all_of(&site.tenant);
    site.has_all(&poller.stop().expect(0));
    assert_eq!(site.streams().asked(Call::Blob), 4);
}

#[test]
fn a_stream_that_stalls_holds_up_no_other_of_its_connection() {
    let stalls = |streamed: Streamed| streamed.call == Call::Blob && streamed.time == 1 && streamed.nth <= 2;
    let site = Site::with_blobs(12).ends(move |streamed| stalls(streamed).then_some((At::Body(500), Way::Stall)));
    let mut poller = site.poller();
    poller.until("two stall and the others are through", |it| it.lines().len() == 2 * 10);
    site.tenant.gets(records([mail("later")]));
    poller.until_lines(2 * 10 + 1);
    assert_eq!((site.streams().ended(), poller.lines().len()), (2, 2 * 10 + 1));
    site.streams().release();
    poller.until_all_of(&site.tenant);
    site.has_all(&poller.stop().expect(0));
    assert_eq!(site.front.connections(), 1);
}

#[test]
fn bodies_that_are_not_as_long_as_their_heads_say_are_not_believed() {
    let ends = [0, 1, 500, 999].map(|place| (At::Body(place), Way::Ended));
    let ends: Vec<_> = ends.into_iter().chain([(At::Body(1000), Way::Surplus), (At::Body(500), Way::Surplus)]).collect();
    let (all, blobs) = (ends.len(), 2 * ends.len());
    let site = Site::with_blobs(blobs as u64).ends(every_second_blob(ends));
    site.is_backfilled();
    assert_eq!((site.streams().ended(), site.streams().asked(Call::Blob)), (all, blobs + all));
    for_each(&[(At::Body(500), Way::Ended), (At::Body(1000), Way::Surplus)], |end| {
        assert_eq!(is_survived_by_each_kind(*end).streams().ended(), Call::ALL.len(), "{end:?}");
    });
}

/// A peer may give a stream up without an error, in the middle of a body; as often as it does, that is not how the blob reads.
#[test]
fn a_body_given_up_without_an_error_is_not_taken_for_a_whole_one() {
    let ways = [Way::Reset(NO_ERROR), Way::LeftOut { code: NO_ERROR }];
    for_each(&ways, |way| {
        let way = *way;
        let broken = move |streamed: Streamed| streamed.call == Call::Blob && streamed.time <= 4;
        let site = Site::with_blobs(1).ends(move |streamed| broken(streamed).then_some((At::Body(500), way)));
        site.is_backfilled();
        assert_eq!(site.streams().ended(), 4, "{way:?}");
    });
}

#[test]
fn a_body_whose_length_nobody_tells_is_whole_when_it_is_ended() {
    for_each(&[Close::Frame, Close::Trailers], |close| {
        let site = Site::with_blobs(6);
        site.streams().close(*close);
        site.is_backfilled();
        assert_eq!(site.streams().asked(Call::Blob), 6, "{close:?}: each is believed at once");
        // And one that breaks off is not.
        let site = is_survived_by_each_kind_of(Site::with_blobs(6), (At::Body(500), Way::Reset(NO_ERROR)), *close);
        assert_eq!(site.streams().ended(), Call::ALL.len(), "{close:?}");
    });
}

#[test]
fn settings_that_nobody_would_choose_are_kept() {
    let one = (MAX_CONCURRENT_STREAMS, 1);
    let odd = [(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, 0), (MAX_FRAME_SIZE, (1 << 24) - 1), (0x7777, u32::MAX)];
    let cases = [vec![one], odd.to_vec(), [&odd[..], &[one]].concat()];
    for_each(&cases, |settings| {
        let site = Site::with_blobs(20);
        site.streams().begin_with(settings);
        site.is_backfilled();
        let most = site.streams().most_at_once();
        assert_eq!(most == 1, settings.contains(&one), "{settings:?}: {most} at once");
        assert!(site.streams().requests() >= 20 + 10 + 2);
    });
}

/// A window of more than there can be, frames smaller than each must be able to take.
#[test]
fn settings_that_are_not_allowed_break_the_connection_until_they_are_right() {
    for_each(&[(INITIAL_WINDOW_SIZE, u32::MAX), (MAX_FRAME_SIZE, 1)], |setting| {
        let site = Site::with_blobs(4);
        site.streams().begin_with(&[*setting]);
        let mut poller = site.poller();
        poller.until("it comes again", |_| site.front.connections() > 2);
        assert_eq!(poller.lines().len(), 0);
        site.streams().begin_with(&[]);
        poller.until_all_of(&site.tenant);
        site.has_all(&poller.stop().expect(0));
    });
}

/// For as long as it runs, every third stream ends in another way.
#[test]
fn a_poller_whose_streams_keep_breaking_delivers_everything_once() {
    let mut ways: Vec<_> = CODES.map(Way::Reset).into();
    ways.extend([Way::Ended, Way::Surplus, Way::LeftOut { code: NO_ERROR }]);
    ways.extend([false, true].map(|includes| Way::GoAway { code: NO_ERROR, includes }));
    let streams = AtomicUsize::new(0);
    let site = Site::with_blobs(4).ends(move |streamed| {
        let n = streams.fetch_add(1, Ordering::SeqCst);
        let at = if n.is_multiple_of(2) { At::Head } else { At::Body(n * 37 % 1000) };
        // Without a head there is nothing that could have another length.
        let way = ways[n / 3 % ways.len()];
        let at = if matches!(way, Way::Ended | Way::Surplus) { At::Body(500) } else { at };
        // Else one blob may be the third again and again, and is asked for ever more rarely.
        (n % 3 == 2 && streamed.time < 3).then_some((at, way))
    });
    let mut poller = site.poller();
    for n in 0..4 {
        site.tenant.gets(records([mail(&format!("new-{n}"))]));
        poller.until_all_of(&site.tenant);
    }
    site.has_all(&poller.stop().expect(0));
    assert!(site.streams().ended() >= 5, "{}", site.streams().ended());
}
