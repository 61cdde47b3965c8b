//! What one child of one stream still has to get, and when it has fallen so far behind that it must skip.
//!
//! A slow child costs itself frames, never its siblings and never memory: its mailbox is bounded in media
//! time, and past the bound it goes on at the next random access point and is told what it will not get.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::chunk::{Chunk, Position};
use crate::media::Track;
use crate::time::Time;

/// A child further behind than this, in capture time, skips. Guess: two groups of pictures of a camera and
/// half of one more; less would make a child skip that merely had a bad second.
pub const MAX_LAG: Duration = Duration::from_millis(2_500);
/// Bytes that may wait for one child whatever their times say, for those are its parent's word. As much as a
/// window holds, which is what the child may ask for at once.
pub const MAX_WAITING: usize = crate::window::MAX_BYTES;
/// Bytes handed to a link's transport between two looks at what it still has. Guess: a twelfth of a second at
/// 3 Mbit/s, so that a look costs little and the transport's own buffer stays small.
const LOOK_EVERY: usize = 32 * 1024;
/// The same while the child has much to catch up with: what it is given in one piece, its connection keeps for good
/// as room for the next time, five times over. Measured with 64 children that join a stream of 3 Mbit/s at once: 22 MiB of
/// heap in place of 28.
const STEP: usize = 8 * 1024;
/// A transport with more than this unacknowledged gets no more for now, until the child has caught up once.
const LEAST_WATER: usize = 8 * 1024;
/// The same for a child that joins while hardly anybody else does: one far away has its picture sooner.
const ALONE_WATER: usize = 16 * 1024;
/// Bytes under way that those share who join at a time, as long as that is enough for each. Measured with 64 of them: a relay has 30.2 MiB in place of
/// the 32.2 that it has where each gets [`ALONE_WATER`].
const JOINING: usize = 32 * 1024;
/// The same from then on: a random access point leaves in one piece. Enough for 3 Mbit/s up to 170 ms away.
const EASY_WATER: usize = 64 * 1024;
/// The same for a link so long that it needs more. A quarter of the transport's own limit; 3 Mbit/s up to 0.7 s away.
const MOST_WATER: usize = 256 * 1024;
/// The same for one of several connections of a link that loses packets. At 1 % loss one has 14 KB under way on average (1.22 / √p packets: Mathis,
/// Semke, Mahdavi, Ott 1997), and what stands behind that is late, or lost to a time-out.
const LANE_WATER: usize = 24 * 1024;
/// Bytes that may be under way for each millisecond of the link's round trip: 12 Mbit/s, four times such a stream.
const PER_MILLISECOND: usize = 1_500;
/// A child that has not had all there is for so long needs more under way than its round trips say. Guess: twice as
/// long as it takes to catch up after joining.
const CATCH_UP: Duration = Duration::from_secs(1);
/// What a transport has longer than this, and a round trip, it should not have been given: heartbeats, and what else has to
/// be there at once, wait behind it. Less than half of the silence after which a child leaves.
const STANDS: Duration = Duration::from_millis(200);
/// A connection that stood still is given something again after this. Guess: two time-outs of SCTP.
const TRIED_AGAIN: Duration = Duration::from_secs(3);
/// A link that takes no more is asked again after this time: the word that it has room may have been lost, for what a
/// transport tells of itself and what it goes by may differ for a moment. Guess.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Bytes that may be under way over the slowest link. Guess: two datagrams.
const FLOOR: usize = 2 * 1024;
/// What the transport has is looked at as often as this when little is given to it: half of what it may keep.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// Bytes given within this time are as old as the first of them.
const AS_OLD: Duration = Duration::from_millis(10);
/// Changes smaller than this, as a share of what is, are none. Guess.
const LITTLE: usize = 8;

/// How much one link's transport has taken and not yet delivered, as far as is known.
///
/// How much it may have is a matter of time: on a link that is slow what is easily taken stands for seconds. So
/// the age of the oldest byte is watched, as CoDel does (RFC 8289), and where it is too great less is given.
#[derive(Debug)]
pub struct Flow {
    since_look: usize,
    looked: Time,
    looking: bool,
    blocked: bool,
    water: usize,
    /// What the link's length asks for.
    under_way: usize,
    /// As much as the link was seen to deliver in time.
    bound: usize,
    /// Since when the child has not had all there is.
    behind_since: Option<Time>,
    /// Bytes given so far.
    given: u64,
    /// When they were given, the oldest that may not be delivered first: a time, and all that was given up to then.
    marks: VecDeque<(Time, u64)>,
    /// When the transport was found with more than it may have, and how much that was.
    full: Option<(Time, usize)>,
    /// When the bound was last lowered.
    lowered: Option<Time>,
    is_lane: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            since_look: 0,
            looked: Time::ZERO,
            looking: false,
            blocked: false,
            water: LEAST_WATER,
            under_way: 0,
            bound: MOST_WATER,
            behind_since: None,
            given: 0,
            marks: VecDeque::new(),
            full: None,
            lowered: None,
            is_lane: false,
        }
    }
}

/// What to do after handing bytes to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSend {
    /// Go on.
    GoOn,
    /// Ask the transport what it still has, and to say so again by itself when it falls below half of this many
    /// bytes, if it is above them now.
    Look(usize),
}

impl Flow {
    /// Whether the transport may be given more.
    pub const fn is_open(&self) -> bool {
        !self.blocked
    }

    /// Whether it may be given single frames that the other end lacks: while it is looked at as well, as long as that is no more
    /// than it may have.
    pub fn takes_repairs(&self) -> bool {
        self.is_open() || (self.looking && self.since_look < self.water())
    }

    /// Whether what it was given is not delivered in time, as in a time-out. After some seconds nobody knows.
    pub fn stands_still(&self, now: Time) -> bool {
        let oldest = self.marks.front();
        oldest.is_some_and(|&(at, _)| (STANDS..TRIED_AGAIN).contains(&now.since(at)))
    }

    /// The child has all there is.
    pub fn caught_up(&mut self) {
        self.behind_since = None;
        self.water = self.water.max(EASY_WATER);
    }

    /// The child has more to get than the frames of the moment, as so many others have that joined lately.
    pub fn has_to_catch_up(&mut self, now: Time, others: usize) {
        self.behind_since = Some(now);
        let share = JOINING / (others + 1);
        self.water = self.water.max(share.clamp(LEAST_WATER, ALONE_WATER));
    }

    /// The transport of a link with this round trip, if it is known, was given `bytes`.
    pub fn sent(&mut self, now: Time, round_trip: Option<Duration>, bytes: usize) -> AfterSend {
        self.since_look += bytes;
        self.mark(now, bytes);
        let step = self.behind_since.map_or(LOOK_EVERY, |_| STEP);
        let is_long_ago = now.since(self.looked) >= LOOK_AFTER && self.since_look >= FLOOR;
        if self.since_look < step.min(self.water() / 2) && !is_long_ago {
            return AfterSend::GoOn;
        }
        // Until the answer is there the link is closed, else a burst would all go before the first look.
        self.blocked = true;
        if self.looking {
            return AfterSend::GoOn;
        }
        self.looking = true;
        if now.since(*self.behind_since.get_or_insert(now)) > CATCH_UP {
            self.behind_since = Some(now);
            // Where it is known that the link is slow, more under way would be late.
            if self.water() < self.bound {
                self.water = (self.water * 2).min(MOST_WATER);
            }
        }
        self.needs(round_trip);
        AfterSend::Look(self.water())
    }

    fn needs(&mut self, round_trip: Option<Duration>) {
        if let Some(round_trip) = round_trip {
            let millis = usize::try_from(round_trip.as_millis()).unwrap_or(usize::MAX);
            self.under_way = millis.saturating_mul(PER_MILLISECOND).min(MOST_WATER);
        }
    }

    fn mark(&mut self, now: Time, bytes: usize) {
        self.given += bytes as u64;
        match self.marks.back_mut() {
            Some((at, upto)) if now.since(*at) < AS_OLD => *upto = self.given,
            _ => self.marks.push_back((now, self.given)),
        }
    }

    /// Bytes that the transport may have left and be given more.
    pub fn water(&self) -> usize {
        let most = if self.is_lane { LANE_WATER } else { MOST_WATER };
        self.water.max(self.under_way).min(self.bound).min(most)
    }

    /// It is one of several connections of a link that loses packets.
    pub const fn becomes_a_lane(&mut self) {
        self.is_lane = true;
    }

    /// The others are gone: all there is goes over this one.
    pub const fn is_alone_again(&mut self) {
        self.is_lane = false;
    }

    /// The transport's answer, over a link with this round trip: it has this many bytes left. To be asked again where it
    /// may have less than it was asked about.
    pub fn left(&mut self, now: Time, round_trip: Option<Duration>, bytes: usize) -> AfterSend {
        self.looking = false;
        self.looked = now;
        self.since_look = 0;
        let before = self.water();
        self.forget_delivered(bytes);
        // Of a link whose length is not known it is not known either what is late on it.
        if let Some(round_trip) = round_trip {
            self.judge(now, round_trip, bytes);
        }
        self.blocked = bytes > self.water();
        if !self.blocked {
            self.full = None;
            return AfterSend::GoOn;
        }
        self.full.get_or_insert((now, bytes));
        if self.water() < before {
            self.looking = true;
            return AfterSend::Look(self.water());
        }
        AfterSend::GoOn
    }

    /// What to ask of a transport that was full, and has not said for a while that it has room.
    pub fn ask_again(&mut self, now: Time) -> Option<usize> {
        if !self.blocked || now.since(self.looked) < ASK_AGAIN {
            return None;
        }
        (self.looked, self.looking) = (now, true);
        Some(self.water())
    }

    /// This peer slept until now: what was delivered meanwhile is not yet known to be.
    pub fn overslept(&mut self, now: Time) {
        self.marks.iter_mut().for_each(|(at, _)| *at = now);
        self.full = self.full.map(|(_, had)| (now, had));
    }

    fn forget_delivered(&mut self, left: usize) {
        let delivered = self.given.saturating_sub(left as u64);
        while self
            .marks
            .front()
            .is_some_and(|&(_, upto)| upto <= delivered)
        {
            self.marks.pop_front();
        }
    }

    /// Learns how much the link delivers in time. Where it stood still for a moment it is taken for slow once, and not again
    /// by what is left of the same bytes; the bound grows with each time that the link was full and nothing was nearly late.
    fn judge(&mut self, now: Time, round_trip: Duration, bytes: usize) {
        let limit = STANDS + round_trip;
        let oldest = self.marks.front().filter(|_| bytes > 0);
        let age = oldest.map_or(Duration::ZERO, |&(at, _)| now.since(at));
        if age > limit {
            if self.lowered.is_some_and(|at| now.since(at) < limit) {
                return;
            }
            let most = in_time(bytes, age, limit).max(FLOOR);
            if most < self.water() - self.water() / LITTLE {
                (self.bound, self.lowered) = (most, Some(now));
            }
        } else if let Some((at, had)) = self.full
            && bytes < had
        {
            let most = in_time(had - bytes, now.since(at), limit);
            let more = match age <= round_trip + STANDS / 2 {
                true => self.bound + self.bound / LITTLE,
                false => self.bound,
            };
            self.bound = more.max(most).min(MOST_WATER);
        }
    }
}

/// What is delivered within `limit` where so many bytes took `took`.
fn in_time(bytes: usize, took: Duration, limit: Duration) -> usize {
    let most = bytes as u128 * limit.as_micros() / took.as_micros().max(1);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// A gap a child is told of: frames of `name` from `from` up to, not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Track and rendition.
    pub name: (Track, u8),
    /// The first frame left out.
    pub from: Position,
    /// The next frame that does come.
    pub to: Position,
}

/// One child's mailbox for one stream.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: VecDeque<Chunk>,
    bytes: usize,
    /// Tracks that skip, with the first frame left out.
    skipping: BTreeMap<(Track, u8), Position>,
    skips: u64,
}

impl Mailbox {
    /// A mailbox that begins with what the window holds.
    pub fn starting_with(chunks: Vec<Chunk>) -> Self {
        Self {
            bytes: chunks.iter().map(|chunk| chunk.message().len()).sum(),
            waiting: chunks.into(),
            ..Self::default()
        }
    }

    /// Takes the next chunk of the stream. Gives the gaps whose ends are known by now: frames the child will not get.
    pub fn push(&mut self, chunk: &Chunk) -> Vec<Gap> {
        let mut gaps = Vec::new();
        match self.resume(chunk) {
            Resume::NotYet => return gaps,
            Resume::After(gap) => gaps.push(gap),
            Resume::WasNotSkipping => {}
        }
        self.waiting.push_back(chunk.clone());
        self.bytes += chunk.message().len();
        let lag = self.lag();
        if lag > MAX_LAG || self.bytes > MAX_WAITING {
            match self.newer_start() {
                Some(start) => self.skip_to(start, &mut gaps),
                // A file may have its key frames further apart than the bound: then there is nothing newer to skip to, and
                // nothing would be shown until the next one.
                None if self.has_pictures() && lag < 4 * MAX_LAG && self.bytes <= MAX_WAITING => {}
                None => self.skip(),
            }
        }
        gaps
    }

    /// Takes a chunk that the child lacks and asked for: the next one to go, if it is not among those that wait already, and
    /// not so old that it would come too late whatever is done.
    pub fn push_first(&mut self, chunk: Chunk) {
        let name = |c: &Chunk| {
            let header = c.header();
            let frame = (header.track, header.rendition, header.position);
            (frame, header.part)
        };
        let last = self.waiting.back();
        let age = last.map(|last| last.header().capture.since(chunk.header().capture));
        let is_old = age.is_some_and(|age| age > MAX_LAG / 2);
        if is_old || self.waiting.iter().any(|c| name(c) == name(&chunk)) {
            return;
        }
        self.bytes += chunk.message().len();
        self.waiting.push_front(chunk);
    }

    fn resume(&mut self, chunk: &Chunk) -> Resume {
        let header = chunk.header();
        let name = (header.track, header.rendition);
        let Some(&from) = self.skipping.get(&name) else {
            return Resume::WasNotSkipping;
        };
        if !begins(chunk) || header.position < from {
            return Resume::NotYet;
        }
        self.skipping.remove(&name);
        Resume::After(Gap {
            name,
            from,
            to: header.position,
        })
    }

    /// How far the oldest waiting chunk is behind the newest.
    pub fn lag(&self) -> Duration {
        match (self.waiting.front(), self.waiting.back()) {
            (Some(first), Some(last)) => last.header().capture.since(first.header().capture),
            _ => Duration::ZERO,
        }
    }

    fn has_pictures(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|chunk| chunk.header().track == Track::Video)
    }

    /// When the newest picture was captured with which the child could go on, if something older waits before it.
    fn newer_start(&self) -> Option<Time> {
        let oldest = self.waiting.front()?.header().capture;
        let mut newest_first = self.waiting.iter().rev();
        let start = newest_first.find(|c| c.header().track == Track::Video && begins(c))?;
        Some(start.header().capture).filter(|&start| start > oldest)
    }

    /// Leaves out what is older than `start`: each track goes on with its first random access point from then on.
    fn skip_to(&mut self, start: Time, gaps: &mut Vec<Gap>) {
        let waiting = std::mem::take(&mut self.waiting);
        self.skips += 1;
        self.bytes = 0;
        for chunk in waiting {
            if chunk.header().capture < start {
                self.leave_out(&chunk);
                continue;
            }
            match self.resume(&chunk) {
                Resume::NotYet => continue,
                Resume::After(gap) => gaps.push(gap),
                Resume::WasNotSkipping => {}
            }
            self.bytes += chunk.message().len();
            self.waiting.push_back(chunk);
        }
    }

    fn leave_out(&mut self, chunk: &Chunk) {
        let header = chunk.header();
        let name = (header.track, header.rendition);
        let from = self.skipping.entry(name).or_insert(header.position);
        *from = (*from).min(header.position);
    }

    fn skip(&mut self) {
        self.skips += 1;
        self.bytes = 0;
        for chunk in std::mem::take(&mut self.waiting) {
            self.leave_out(&chunk);
        }
    }

    /// The next chunk to hand to the link.
    pub fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.waiting.pop_front()?;
        self.bytes -= chunk.message().len();
        Some(chunk)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How often this child had to skip.
    pub const fn skips(&self) -> u64 {
        self.skips
    }
}

/// Whether this is the first part of a frame that a decoder can begin with.
fn begins(chunk: &Chunk) -> bool {
    chunk.header().random_access && chunk.header().part == 0
}

enum Resume {
    WasNotSkipping,
    NotYet,
    After(Gap),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Header, cut};
    use crate::id::StreamHandle;

    fn frame(sequence: u64) -> Chunk {
        frame_of(sequence, 25)
    }

    /// Of a stream with a key frame every so many frames, 25 frames a second.
    fn frame_of(sequence: u64, group: u64) -> Chunk {
        let header = Header {
            random_access: sequence.is_multiple_of(group),
            track: Track::Video,
            rendition: 0,
            key_id: 0,
            handle: StreamHandle(1),
            position: Position { epoch: 1, sequence },
            part: 0,
            parts: 1,
            capture: Time::from_millis(sequence * 40),
            media_us: sequence * 40_000,
        };
        cut(header, b"frame").pop().expect("one part")
    }

    #[test]
    fn a_child_that_reads_gets_everything_in_order() {
        let mut mailbox = Mailbox::default();
        for sequence in 0..1_000 {
            assert_eq!(mailbox.push(&frame(sequence)), []);
            assert_eq!(
                mailbox.pop().map(|c| c.header().position.sequence),
                Some(sequence)
            );
        }
        assert_eq!(mailbox.skips(), 0);
    }

    #[test]
    fn a_child_that_stops_reading_keeps_a_bounded_mailbox_and_goes_on_at_a_random_access_point() {
        let mut mailbox = Mailbox::default();
        let mut gaps = Vec::new();
        let mut longest = 0;
        for sequence in 0..500 {
            gaps.extend(mailbox.push(&frame(sequence)));
            longest = longest.max(mailbox.waiting.len());
        }
        assert!(
            longest <= 70,
            "{longest} frames of 40 ms in a mailbox of 2.5 s"
        );
        let first = gaps.first().expect("it skipped");
        assert_eq!((first.from.sequence, first.to.sequence % 25), (0, 0));
        let resumed = mailbox.pop().expect("it went on");
        assert!(resumed.header().random_access);
    }

    #[test]
    fn a_child_that_falls_behind_goes_on_with_the_newest_group_that_waits() {
        let mut mailbox = Mailbox::default();
        let gaps: Vec<Gap> = (0..64).flat_map(|n| mailbox.push(&frame(n))).collect();
        let gaps = gaps.iter().map(|gap| (gap.from.sequence, gap.to.sequence));
        assert_eq!(gaps.collect::<Vec<_>>(), [(0, 50)]);
        let left = std::iter::from_fn(|| mailbox.pop()).map(|c| c.header().position.sequence);
        assert_eq!(left.collect::<Vec<_>>(), (50..64).collect::<Vec<_>>());
        assert_eq!(mailbox.skips(), 1);
    }

    #[test]
    fn who_joins_late_in_a_long_group_gets_all_of_it() {
        let group: Vec<Chunk> = (0..150).map(|n| frame_of(n, 250)).collect();
        let mut mailbox = Mailbox::starting_with(group[..100].to_vec());
        mailbox.pop().expect("the key frame goes out at once");
        for chunk in &group[100..] {
            assert_eq!(mailbox.push(chunk), []);
        }
        let left = std::iter::from_fn(|| mailbox.pop()).count();
        assert_eq!((left, mailbox.skips()), (149, 0));
    }

    #[test]
    fn a_parent_whose_clock_stands_still_fills_a_mailbox_no_further_than_a_window() {
        let mut mailbox = Mailbox::default();
        let header = *frame(0).header();
        for sequence in 1..3_000 {
            let position = Position { epoch: 1, sequence };
            let stuck = cut(Header { position, ..header }, &[0; 16_000]);
            stuck.iter().for_each(|chunk| {
                mailbox.push(chunk);
            });
            let waiting: usize = mailbox.waiting.iter().map(|c| c.message().len()).sum();
            assert!(waiting <= MAX_WAITING);
            assert_eq!(waiting, mailbox.bytes);
        }
        assert!(mailbox.skips() > 0);
    }

    #[test]
    fn nothing_more_is_handed_over_until_the_transport_has_answered() {
        let mut flow = Flow::default();
        let half = LEAST_WATER / 2;
        assert_eq!(flow.sent(Time::ZERO, None, half - 1), AfterSend::GoOn);
        assert!(flow.is_open());
        assert_eq!(flow.sent(Time::ZERO, None, 1), AfterSend::Look(LEAST_WATER));
        assert!(!flow.is_open());
        flow.left(Time::ZERO, None, LEAST_WATER + 1);
        assert!(!flow.is_open());
        flow.left(Time::ZERO, None, half - 1);
        assert!(flow.is_open());
    }

    /// A child whose acknowledgements take `round_trip` and whose stream has 3 Mbit/s; it joins with a second of
    /// media to catch up. Gives how much it may have under way in the end, and how long it took to catch up.
    fn after_ten_seconds(round_trip: Duration, known: Option<Duration>) -> (usize, Duration) {
        const STEP: Duration = Duration::from_millis(1);
        let per_step = 3_000_000 / 8 / 1000;
        let mut flow = Flow::default();
        flow.has_to_catch_up(Time::ZERO, 0);
        let mut caught_up = None;
        let (mut waiting, mut asked) = (375_000, None);
        let mut under_way = VecDeque::new();
        let mut now = Time::ZERO;
        for _ in 0..10_000 {
            now += STEP;
            waiting += per_step;
            while under_way.front().is_some_and(|&(until, _)| until <= now) {
                under_way.pop_front();
            }
            let left =
                |under_way: &VecDeque<(Time, usize)>| under_way.iter().map(|&(_, n)| n).sum();
            if asked.is_some_and(|water| left(&under_way) < water / 2) {
                asked = None;
                flow.left(now, known, left(&under_way));
            }
            while flow.is_open() && waiting > 0 {
                let bytes = waiting.min(16_000);
                waiting -= bytes;
                under_way.push_back((now + round_trip, bytes));
                if let AfterSend::Look(water) = flow.sent(now, known, bytes) {
                    flow.left(now, known, left(&under_way));
                    asked = (!flow.is_open()).then_some(water);
                }
            }
            if waiting == 0 {
                flow.caught_up();
                caught_up.get_or_insert_with(|| now.since(Time::ZERO));
            }
        }
        (flow.water(), caught_up.expect("it caught up"))
    }

    #[test]
    fn who_joins_with_many_others_is_given_less_at_once_than_who_joins_alone() {
        let water_among = |others| {
            let mut flow = Flow::default();
            flow.has_to_catch_up(Time::ZERO, others);
            let water = flow.water();
            flow.caught_up();
            flow.has_to_catch_up(Time::ZERO, others);
            assert_eq!(flow.water(), EASY_WATER, "nobody is given less than before");
            water
        };
        assert_eq!(water_among(0), ALONE_WATER);
        assert_eq!(water_among(63), LEAST_WATER);
    }

    #[test]
    fn a_child_on_the_other_side_of_the_world_is_given_more_at_once_and_one_nearby_is_not() {
        let long = Duration::from_millis(300);
        for known in [None, Some(long)] {
            assert_eq!(after_ten_seconds(long, known).0, MOST_WATER);
        }
        let short = Duration::from_millis(5);
        for known in [None, Some(short)] {
            assert_eq!(after_ten_seconds(short, known).0, EASY_WATER);
        }
    }

    /// A link that carries what it is told to, and a stream of frames to be sent over it.
    #[derive(Default)]
    struct Bottleneck {
        flow: Flow,
        now: Time,
        waiting: usize,
        /// Until when each message is under way, and its bytes; and when the line is free.
        under_way: VecDeque<(Time, usize)>,
        free: Time,
        asked: Option<usize>,
        round_trip: Duration,
    }

    impl Bottleneck {
        fn new(round_trip_ms: u64) -> Self {
            Self {
                round_trip: Duration::from_millis(round_trip_ms),
                ..Self::default()
            }
        }

        fn left(&self) -> usize {
            self.under_way.iter().map(|&(_, bytes)| bytes).sum()
        }

        fn tell(&mut self) {
            while let AfterSend::Look(water) =
                self.flow.left(self.now, Some(self.round_trip), self.left())
            {
                self.asked = Some(water);
            }
        }

        /// Runs for so long; gives the longest that anything stood in the transport in the last second.
        fn run(&mut self, length: Duration, carries_kbps: u32, needs_kbps: u32) -> Duration {
            let mut longest = Duration::ZERO;
            let end = self.now + length;
            while self.now < end {
                self.now += Duration::from_millis(1);
                if self.now.as_micros().is_multiple_of(40_000) {
                    self.waiting += needs_kbps as usize * 5;
                }
                while self
                    .under_way
                    .front()
                    .is_some_and(|&(gone, _)| gone <= self.now)
                {
                    self.under_way.pop_front();
                }
                if self.asked.is_some_and(|water| self.left() < water / 2) {
                    self.asked = None;
                    self.tell();
                }
                while self.flow.is_open() && self.waiting > 0 {
                    let bytes = self.waiting.min(1_200);
                    self.waiting -= bytes;
                    let takes = bytes as u64 * 8_000 / u64::from(carries_kbps);
                    self.free = self.free.max(self.now) + Duration::from_micros(takes);
                    self.under_way
                        .push_back((self.free + self.round_trip, bytes));
                    let sent = self.flow.sent(self.now, Some(self.round_trip), bytes);
                    if let AfterSend::Look(water) = sent {
                        self.asked = (self.left() > water).then_some(water);
                        self.tell();
                    }
                }
                if self.waiting == 0 {
                    self.flow.caught_up();
                }
                if end.since(self.now) < Duration::from_secs(1) {
                    longest = longest.max(self.free.since(self.now));
                }
            }
            longest
        }
    }

    #[test]
    fn on_a_link_that_becomes_slow_nothing_stands_in_the_transport_for_long() {
        for carries in [100, 300, 1_000, 2_500] {
            let mut link = Bottleneck::new(20);
            let easy = link.run(Duration::from_secs(5), 20_000, 3_000);
            assert!(easy < Duration::from_millis(20), "{easy:?}");
            // What stood in it when it became slow takes that long at 100 kbit/s.
            let stands = link.run(Duration::from_secs(8), carries, 3_000);
            assert!(stands < STANDS * 2, "{stands:?} at {carries} kbit/s");
            assert!(link.waiting > 100_000, "the rest waits with us");
        }
    }

    #[test]
    fn a_stream_a_little_too_fast_for_its_link_does_not_fill_the_transport_either() {
        let mut link = Bottleneck::new(20);
        link.run(Duration::from_secs(5), 20_000, 330);
        for second in 0..20 {
            let stands = link.run(Duration::from_secs(1), 300, 330);
            assert!(stands < STANDS * 2, "{stands:?} after {second} s");
        }
    }

    #[test]
    fn a_link_that_was_slow_is_given_as_much_as_before_when_it_is_fast_again() {
        let mut link = Bottleneck::new(20);
        link.run(Duration::from_secs(5), 20_000, 3_000);
        link.run(Duration::from_secs(5), 300, 3_000);
        assert!(link.flow.water() < 3 * FLOOR * 2, "{}", link.flow.water());
        link.run(Duration::from_secs(10), 20_000, 3_000);
        assert_eq!(link.waiting, 0);
        assert!(link.flow.water() >= EASY_WATER, "{}", link.flow.water());
    }

    #[test]
    fn a_link_that_stood_still_for_a_moment_is_given_all_it_needs_soon_wherever_it_leads() {
        for away in [20, 150, 300, 600] {
            let mut link = Bottleneck::new(away);
            link.run(Duration::from_secs(10), 20_000, 1_500);
            link.run(Duration::from_millis(400), 1, 1_500); // next to nothing
            link.free = link.now;
            link.under_way
                .iter_mut()
                .for_each(|(gone, _)| *gone = link.now);
            link.run(Duration::from_secs(8), 20_000, 1_500);
            assert_eq!(link.waiting, 0, "{away} ms");
            let needs = 1_500 / 8 * (away as usize);
            assert!(
                link.flow.water() >= needs,
                "{} at {away} ms",
                link.flow.water()
            );
        }
    }

    #[test]
    fn a_full_transport_that_says_nothing_is_asked_again() {
        let mut flow = Flow::default();
        let at = |ms| Time::from_millis(ms);
        assert_eq!(flow.ask_again(at(1_000)), None, "it is open");
        flow.sent(at(1_000), None, LEAST_WATER);
        flow.left(at(1_000), None, LEAST_WATER + 1);
        assert_eq!(flow.ask_again(at(1_249)), None);
        assert_eq!(flow.ask_again(at(1_250)), Some(LEAST_WATER));
        assert_eq!(flow.ask_again(at(1_300)), None);
        flow.left(at(1_300), None, 0);
        assert_eq!(flow.ask_again(at(9_000)), None, "it has room");
    }

    #[test]
    fn a_link_whose_slowness_is_its_length_is_given_all_it_needs() {
        let away = Duration::from_millis(300);
        let (water, took) = after_ten_seconds(away, Some(away));
        assert_eq!(water, MOST_WATER);
        assert!(took < Duration::from_secs(3), "{took:?}");
    }

    #[test]
    fn a_second_of_media_is_caught_up_within_a_second_wherever_the_child_is() {
        for away in [1, 5, 10, 20, 50, 100, 170] {
            let round_trip = Duration::from_millis(away);
            let (_, took) = after_ten_seconds(round_trip, Some(round_trip));
            assert!(took < Duration::from_secs(1), "{took:?} at {round_trip:?}");
        }
    }
}
