//! One edge of the topology: a connection to one neighbour (paper §III.B.5), and whether it lives.
//!
//! A tab that closes is silent, and ICE notices after five seconds and more: so both ends say something at
//! least every so often, and whoever hears nothing for too long takes the link for dead. Knows nothing of
//! WebRTC, nor of why the edge exists.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bucket::Bucket;
use crate::forwarder::Flow;
use crate::id::{Fingerprint, KeyFingerprint, LinkId, PeerId, StreamHandle};
use crate::signal::{Component, Neighbour};
use crate::time::Time;
use crate::wire::MAX_STREAMS;

/// A parent that has said nothing for this long says that it is there. Guess.
pub const BEAT_DOWN: Duration = Duration::from_millis(50);
/// A child says so this often: its parent only clears up after it, and 64 children beating every 50 ms would
/// cost a relay more than the media. Guess.
pub const BEAT_UP: Duration = Duration::from_millis(500);
/// A parent silent for this long is dead. Guess: ten beats; a busy two-core board pauses for 200 ms.
pub const PARENT_SILENT: Duration = Duration::from_millis(500);
/// A parent silent for this long is doubtful: whoever has a backup parent takes over there a moment later. Guess: more than
/// three beats; what a false alarm costs is one subscription.
pub const PARENT_DOUBTFUL: Duration = Duration::from_millis(170);
/// Who stands by for somebody says so this often. Guess: a backup that died silently is known to have before
/// the parent does, more often than not.
pub const BEAT_STANDBY: Duration = Duration::from_millis(250);
/// Whom somebody stands by for says so this often: the other end only clears up after it. Measured: eighty viewers on two
/// cores are kept busy by such links more than by anything else that backups cost.
pub const BEAT_COVERED: Duration = Duration::from_secs(1);
/// A link whose lanes are well is dead after this all the same: what it says of epochs goes over its first connection. Guess: three
/// time-outs of SCTP, each twice the one before (RFC 9260, 6.3.3).
const LANES_VOUCH: Duration = Duration::from_secs(7);
/// A neighbour heard within this is well: two such beats, and some.
pub const WELL: Duration = Duration::from_millis(700);
/// A child silent for this long is gone. Guess: six beats.
pub const CHILD_SILENT: Duration = Duration::from_secs(3);
/// A connection that takes longer to set up is given up. Guess: ICE over a bad mobile link takes five.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// Whoever has not even answered an offer by then stands still: signalling reaches all who live. Guess: a phone that loads a page is busy
/// for two seconds.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The same where nobody feeds us until it does. Guess: an answer takes 100 ms on two busy cores.
pub const ANSWER_LIMIT_STARVING: Duration = Duration::from_secs(1);
/// How far away the other end is is asked this often, by both. Guess: paths change by the minute.
pub const PING_EVERY: Duration = Duration::from_secs(2);
/// Answers that are remembered. Guess: a quarter of a minute.
const ROUND_TRIPS: usize = 8;
/// Answers after which the shortest is believed: those of the first moments say how busy both ends are, for often many links
/// are set up at a time. Measured: 64 children that joined at once were taken for far away when three were asked for one
/// after the other, which took a relay 5 MiB.
const SURE: usize = 3;
/// Between the first of them, once the one before was answered. Guess.
const PING_EARLY: Duration = Duration::from_millis(400);
/// Bytes of single frames that one neighbour gets in a second. Guess: a second of a stream of 4 Mbit/s.
const REPAIRS: usize = 512 * 1024;
/// Control messages that a neighbour may send in a second, and at once. Guess: ten times what an honest one was seen to say;
/// who was frozen says all that it had queued.
const CONTROLS: (u32, u32) = (200, 2_000);
/// Subscriptions among them, each of which may bring it all that the window holds. Guess: each stream there is, twice, and
/// then somebody who cannot decide between two parents.
const SUBSCRIPTIONS: (u32, u32) = (4, 2 * MAX_STREAMS as u32);
/// A link without a stream is closed after this. Guess: a move to and fro within it needs no new connection.
pub const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Offer and answer are on their way, or the connection is being set up.
    Connecting,
    /// The channels are open; the other end's hello is not here yet.
    Open,
    /// Both ends have said hello.
    Ready,
}

/// What the neighbour is for us, over all streams on the link: decides who must beat how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// It feeds us, or is about to.
    pub parent: bool,
    /// We feed it.
    pub child: bool,
    /// It may feed us if a parent is lost.
    pub standby: bool,
    /// We may have to feed it if its parent is lost.
    pub covered: bool,
    /// It is to feed us, and nobody does until then.
    pub awaited: bool,
}

impl Use {
    const fn is_any(self) -> bool {
        self.parent || self.child || self.standby || self.covered
    }
}

/// One link.
#[derive(Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerId,
    /// What it is said to be.
    pub component: Component,
    /// The DTLS certificate it must show.
    pub fingerprint: Fingerprint,
    /// The key that its certificate is for, once it has shown one.
    pub key: Option<KeyFingerprint>,
    /// The link that this one is a further connection of.
    pub lane_of: Option<LinkId>,
    /// Its own further connections, those that are not ready included.
    pub lanes: Vec<LinkId>,
    /// How many connections the other end has it striped over at the most, the first included.
    pub lanes_allowed: usize,
    /// Where the next chunk goes, if that takes it.
    pub turn: usize,
    /// When its certificate ends, seconds since 1970; never where nobody is certified.
    pub certified_until_s: u64,
    /// Whether the offer is ours.
    pub ours: bool,
    /// How far it has come.
    pub phase: Phase,
    /// An answer to our offer came.
    described: bool,
    /// What its transport still has.
    pub flow: Flow,
    /// The streams that we asked the other end for lately, whether they still come or not.
    asked: VecDeque<StreamHandle>,
    /// The last question how far away the other end is: its number, and when it went out.
    ping: (u32, Time),
    answered: u32,
    round_trips: VecDeque<Duration>,
    /// Bytes of single frames that may go out without being waited for, and since when that is so.
    repairs: (usize, Time),
    controls: Bucket,
    subscriptions: Bucket,
    since: Time,
    heard: Time,
    over_a_lane: Time,
    said: Time,
    used: Time,
    grace: Time,
}

/// What a link's clock says is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Say that we are there.
    Beat,
    /// It is dead, or was never used: close it. The reason in words.
    Close(&'static str),
}

/// Why a link is closed whose other end fell silent.
pub const SILENT: &str = "nothing was heard for too long";

/// Streams remembered as asked for over one link. Guess: all that one peer watches, and as many again.
const MOST_ASKED: usize = 128;

impl Link {
    /// We ask the other end for this stream.
    pub fn ask_for(&mut self, stream: StreamHandle) {
        self.asked.retain(|&known| known != stream);
        self.asked.push_back(stream);
        if self.asked.len() > MOST_ASKED {
            self.asked.pop_front();
        }
    }

    /// When it was begun.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Whether chunks of this stream may come: we asked for it, or did a moment ago.
    pub fn may_bring(&self, stream: StreamHandle) -> bool {
        self.asked.contains(&stream)
    }

    /// The number of the question to be asked now, if it is time to ask one.
    pub fn ping(&mut self, now: Time) -> Option<u32> {
        let (number, at) = self.ping;
        // A way longer than the early pause would never be known, for answers to questions of before say nothing.
        let again = match self.is_sure() || self.answered != number {
            true => PING_EVERY,
            false => PING_EARLY,
        };
        if number > 0 && now < at + again {
            return None;
        }
        self.ping = (number.wrapping_add(1).max(1), now);
        Some(self.ping.0)
    }

    /// The answer to the question of this number; an answer to no question, or to an old one, says nothing.
    pub fn pong(&mut self, now: Time, number: u32) {
        let (asked, at) = self.ping;
        if number != asked || self.answered == asked {
            return;
        }
        self.answered = asked;
        if self.round_trips.len() >= ROUND_TRIPS {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(now.since(at));
    }

    /// The way there and back: the shortest of the last few times, for what made others longer was somebody busy. None as
    /// long as nobody knows.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trips.iter().min().copied()
    }

    /// The same once it was asked often enough to be believed.
    pub fn sure_round_trip(&self) -> Option<Duration> {
        self.round_trip().filter(|_| self.is_sure())
    }

    fn is_sure(&self) -> bool {
        self.round_trips.len() >= SURE
    }

    /// Whether so many bytes may go out as repair; a neighbour may not have the whole window time and again.
    pub fn may_repair(&mut self, now: Time, bytes: usize) -> bool {
        let (left, at) = self.repairs;
        let earned = REPAIRS as u128 * now.since(at).as_millis() / 1000;
        let left = REPAIRS.min(left + earned as usize);
        let may = left >= bytes;
        self.repairs = (if may { left - bytes } else { left }, now);
        may
    }

    /// Whether the neighbour may say one thing more; who says far more than an honest one means no good.
    pub fn may_say(&mut self, now: Time) -> bool {
        self.controls.take(now)
    }

    /// Whether it may ask for one stream more, or for one again.
    pub fn may_subscribe(&mut self, now: Time) -> bool {
        self.subscriptions.take(now)
    }

    /// A link to `peer` whose set-up begins now.
    pub fn new(now: Time, neighbour: &Neighbour, ours: bool) -> Self {
        let phase = Phase::Connecting;
        let flow = Flow::default();
        Self {
            peer: neighbour.peer,
            component: neighbour.component,
            fingerprint: neighbour.fingerprint,
            key: None,
            lane_of: None,
            lanes: Vec::new(),
            lanes_allowed: 1,
            turn: 0,
            certified_until_s: u64::MAX,
            ours,
            phase,
            described: false,
            flow,
            asked: VecDeque::new(),
            ping: (0, Time::ZERO),
            answered: 0,
            round_trips: VecDeque::new(),
            repairs: (REPAIRS, now),
            controls: Bucket::new(now, CONTROLS.0, CONTROLS.1),
            subscriptions: Bucket::new(now, SUBSCRIPTIONS.0, SUBSCRIPTIONS.1),
            since: now,
            heard: now,
            over_a_lane: now,
            said: now,
            used: now,
            grace: now,
        }
    }

    /// The other end answered our offer.
    pub const fn described(&mut self) {
        self.described = true;
    }

    /// The channels opened.
    pub const fn opened(&mut self, now: Time) {
        self.phase = Phase::Open;
        self.heard = now;
    }

    /// A message came.
    pub const fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// A message came over one of its lanes.
    pub const fn heard_over_a_lane(&mut self, now: Time) {
        self.over_a_lane = now;
    }

    /// When the other end was heard, over whichever connection; lanes vouch for the first no longer than it may be in time-out.
    fn last_heard(&self) -> Time {
        let vouched = self.over_a_lane.min(self.heard + LANES_VOUCH);
        self.heard.max(vouched)
    }

    /// How long nothing came over it, this peer's own sleep not counted.
    pub fn silent_for(&self, now: Time) -> Duration {
        now.since(self.heard.max(self.grace))
    }

    /// Who is at the other end.
    pub const fn neighbour(&self) -> Neighbour {
        Neighbour {
            peer: self.peer,
            component: self.component,
            fingerprint: self.fingerprint,
        }
    }

    /// A message was sent.
    pub const fn said(&mut self, now: Time) {
        self.said = now;
    }

    /// This peer itself slept until now: what the neighbour said meanwhile may still wait to be read, so it
    /// is not taken for silent yet.
    pub fn overslept(&mut self, now: Time) {
        self.grace = now;
        self.flow.overslept(now);
    }

    /// The neighbour is to say more often from now on that it is there, which it did not have to before: it has time to.
    pub fn counted_on(&mut self, now: Time) {
        self.grace = self.grace.max(now);
    }

    /// What is due at `now`.
    pub fn due(&mut self, now: Time, used: Use) -> Due {
        if used.is_any() {
            self.used = now;
        }
        if self.phase != Phase::Ready {
            return match now >= self.set_up_until(used) {
                true if self.waits_for_answer() => Due::Close("the other end did not answer"),
                true => Due::Close("the connection could not be set up"),
                false => Due::Nothing,
            };
        }
        if now >= self.silent_at(used) {
            return Due::Close(SILENT);
        }
        if now >= self.used + IDLE_LIMIT {
            return Due::Close("no stream needs it any more");
        }
        if now >= self.said + beat(used) {
            Due::Beat
        } else {
            Due::Nothing
        }
    }

    /// When [`Self::due`] may have something new to say.
    pub fn next_wakeup(&self, used: Use) -> Time {
        if self.phase != Phase::Ready {
            return self.set_up_until(used);
        }
        let idle = if used.is_any() {
            Time::NEVER
        } else {
            self.used + IDLE_LIMIT
        };
        self.silent_at(used).min(self.said + beat(used)).min(idle)
    }

    /// When a parent that goes on being silent is doubtful.
    pub fn doubtful_at(&self) -> Time {
        (self.last_heard() + PARENT_DOUBTFUL).max(self.grace + PARENT_DOUBTFUL / 2)
    }

    /// Until when the neighbour is well if nothing more is heard of it.
    pub fn well_until(&self) -> Time {
        (self.last_heard() + WELL).max(self.grace + WELL / 2)
    }

    /// Whether the neighbour was heard lately.
    pub fn is_well(&self, now: Time) -> bool {
        now < self.well_until()
    }

    fn waits_for_answer(&self) -> bool {
        self.ours && self.phase == Phase::Connecting && !self.described
    }

    fn set_up_until(&self, used: Use) -> Time {
        let limit = match (self.waits_for_answer(), used.awaited) {
            (true, true) => ANSWER_LIMIT_STARVING,
            (true, false) => ANSWER_LIMIT,
            (false, _) => CONNECT_LIMIT,
        };
        self.since + limit
    }

    fn silent_at(&self, used: Use) -> Time {
        let limit = if used.parent {
            PARENT_SILENT
        } else {
            CHILD_SILENT
        };
        (self.last_heard() + limit).max(self.grace + limit / 2)
    }
}

const fn beat(used: Use) -> Duration {
    match used {
        Use { child: true, .. } => BEAT_DOWN,
        Use { covered: true, .. } => BEAT_STANDBY,
        Use { parent: true, .. } => BEAT_UP,
        _ => BEAT_COVERED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: Use = Use {
        parent: true,
        child: false,
        standby: false,
        covered: false,
        awaited: false,
    };
    const CHILD: Use = Use {
        parent: false,
        child: true,
        standby: false,
        covered: false,
        awaited: false,
    };

    fn ready() -> Link {
        let neighbour = Neighbour {
            peer: PeerId::from_bytes([1; 16]),
            component: Component::Relay,
            fingerprint: Fingerprint::from_bytes([2; 32]),
        };
        let mut link = Link::new(Time::ZERO, &neighbour, true);
        link.opened(Time::ZERO);
        link.phase = Phase::Ready;
        link
    }

    #[test]
    fn who_does_not_even_answer_is_given_up_sooner_than_a_bad_way() {
        let mut link = ready();
        link.phase = Phase::Connecting;
        assert_eq!(link.next_wakeup(PARENT), Time::ZERO + ANSWER_LIMIT);
        let due = link.due(Time::ZERO + ANSWER_LIMIT, PARENT);
        assert_eq!(due, Due::Close("the other end did not answer"));

        link.described();
        assert_eq!(link.due(Time::ZERO + ANSWER_LIMIT, PARENT), Due::Nothing);
        assert_eq!(link.next_wakeup(PARENT), Time::ZERO + CONNECT_LIMIT);
    }

    #[test]
    fn a_parent_silent_for_half_a_second_is_dead_and_a_child_only_after_three() {
        let mut link = ready();
        link.said(Time::from_millis(499));
        assert_eq!(link.due(Time::from_millis(499), PARENT), Due::Nothing);
        assert!(matches!(
            link.due(Time::from_millis(500), PARENT),
            Due::Close(_)
        ));
        link.said(Time::from_millis(2_999));
        assert_eq!(link.due(Time::from_millis(2_999), CHILD), Due::Nothing);
        assert!(matches!(
            link.due(Time::from_millis(3_000), CHILD),
            Due::Close(_)
        ));
    }

    #[test]
    fn who_feeds_beats_when_nothing_else_was_said_for_50_ms() {
        let mut link = ready();
        assert_eq!(link.due(Time::from_millis(49), CHILD), Due::Nothing);
        assert_eq!(link.due(Time::from_millis(50), CHILD), Due::Beat);
        link.said(Time::from_millis(50));
        assert_eq!(link.next_wakeup(CHILD), Time::from_millis(100));
    }

    #[test]
    fn a_peer_that_slept_itself_gives_its_parent_time_to_be_heard() {
        let mut link = ready();
        let late = Time::from_millis(2_000);
        link.overslept(late);
        link.said(late);
        assert_eq!(link.due(late, PARENT), Due::Nothing);
        assert!(matches!(
            link.due(late + PARENT_SILENT / 2, PARENT),
            Due::Close(_)
        ));
    }

    #[test]
    fn the_round_trip_is_the_shortest_of_the_last_answers() {
        let mut link = ready();
        let at = |ms| Time::from_millis(ms);
        assert_eq!((link.ping(at(0)), link.ping(at(1_999))), (Some(1), None));
        link.pong(at(30), 7);
        assert_eq!(link.round_trip(), None, "nobody asked that");
        link.pong(at(40), 1);
        link.pong(at(900), 1);
        assert_eq!(link.round_trip(), Some(Duration::from_millis(40)));
        for number in 2..=10 {
            let asked = u64::from(number) * 2_000;
            assert_eq!(link.ping(at(asked)), Some(number));
            link.pong(at(asked + 100), number);
            let shortest = if number < 9 { 40 } else { 100 };
            assert_eq!(link.round_trip(), Some(Duration::from_millis(shortest)));
        }
    }

    #[test]
    fn a_new_link_is_asked_more_often_until_the_shortest_of_three_is_known() {
        let mut link = ready();
        let at = |ms| Time::from_millis(ms);
        for (number, asked, takes) in [(1, 0, 90), (2, 500, 12), (3, 900, 30)] {
            assert_eq!(link.sure_round_trip(), None);
            assert_eq!(link.ping(at(asked)), Some(number));
            assert_eq!(link.ping(at(asked + takes)), None);
            link.pong(at(asked + takes), number);
        }
        assert_eq!(link.sure_round_trip(), Some(Duration::from_millis(12)));
        let mut far = ready();
        assert_eq!((far.ping(at(0)), far.ping(at(500))), (Some(1), None));
        far.pong(at(600), 1);
        assert_eq!(far.round_trip(), Some(Duration::from_millis(600)));
        assert_eq!(
            (link.ping(at(2_899)), link.ping(at(2_900))),
            (None, Some(4))
        );
    }

    #[test]
    fn a_neighbour_that_is_a_backup_from_now_on_has_time_to_beat_as_one() {
        let mut link = ready();
        let now = Time::from_millis(900); // it beats once a second until then
        assert!(!link.is_well(now));
        link.counted_on(now);
        assert!(link.is_well(now + BEAT_STANDBY));
        assert!(!link.is_well(now + WELL / 2));
    }

    #[test]
    fn a_link_no_stream_needs_is_closed() {
        let mut link = ready();
        link.due(Time::from_millis(100), CHILD);
        link.heard(Time::from_millis(2_000));
        assert!(matches!(
            link.due(Time::from_millis(2_100), Use::default()),
            Due::Close(_)
        ));
    }
}
