//! Lanes: further connections of one link, where one alone loses packets (docs/protocol.md).
//!
//! SCTP waits a second after a time-out, and meanwhile delivers nothing; and at 1 % loss and 40 ms one connection carries no
//! 3 Mbit/s (measured: 2.3). So whoever is fed and has to ask for late frames again and again opens another connection to the
//! same parent, and says of which link it is a lane ([`Control::Lane`]). The parent spreads what waits for the child over all
//! that take more, and what was late is asked for over another than it was on. On a network that loses nothing there are none.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Node, Output};
use crate::id::LinkId;
use crate::link::{Link, Phase, Use};
use crate::time::Time;
use crate::wire::Control;

/// Connections of one link, the first included. At 3 % loss and 120 ms one carries half a Mbit/s (1.22 / √p packets a round trip), and the picture
/// stood still for half of the time over four, a third over six, a sixth over eight, and hardly at all over ten (measured:
/// docs/experiments.md).
pub const MOST_LANES: u8 = 10;
/// Of these so many are opened where frames are late. Enough for 3 Mbit/s at 1 % and 40 ms, where one carries 2.3 while it is not in time-out: two of four
/// are well nearly always. The others take more than that: see [`Sign`].
const EASY_LANES: usize = 4;
/// So often within [`LATELY`] something has to be asked for again before another lane is opened. Guess: what lacks after a change of
/// parents is asked for two or three times.
const OFTEN: usize = 5;
const LATELY: Duration = Duration::from_secs(10);
/// A connection over which nothing came for so long was in time-out, if something comes again: both ends beat more often, and SCTP waits a second
/// (RFC 9260, 16: RTO.Min). A link without lanes is given up before that.
const TIMED_OUT: Duration = Duration::from_millis(900);
/// It is as much of a sign as so many late frames: the second one within [`LATELY`] makes a lane.
const SIGNS: usize = 3;
/// Lanes that nothing was late on for so long are closed. Guess: an interference that comes back each half minute is one.
const CALM: Duration = Duration::from_secs(60);

/// What shows that a link loses packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Frames were late, and are asked for.
    Late,
    /// They were asked for before, and are late again: the connections there are do not carry what is to go over them.
    LateAgain,
    /// A connection was in time-out.
    TimeOut,
    /// The link was given up for its silence.
    Silence,
}

/// Neighbours that are remembered for what they lost. Guess: parents and backups of a minute.
const MOST_LOSSES: usize = 64;

/// What the way to a neighbour was seen to lose.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// The latest signs of it.
    late: VecDeque<Time>,
    last: Time,
    /// One was not taken, or is gone: no other before this.
    not_before: Time,
    /// Further connections that a link to it has need of.
    lanes: usize,
}

impl Node {
    /// The link of which `id` is a lane; itself, if it is none.
    pub(super) fn whole(&self, id: LinkId) -> LinkId {
        let lane_of = self.links.get(&id).and_then(|link| link.lane_of);
        lane_of.unwrap_or(id)
    }

    /// The other end is there, whatever the link's own first connection says.
    pub(super) fn heard_over(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let was_silent = link.silent_for(now) >= TIMED_OUT && link.phase == Phase::Ready;
        link.heard(now);
        let lane_of = link.lane_of;
        if let Some(whole) = lane_of.and_then(|whole| self.links.get_mut(&whole)) {
            whole.heard_over_a_lane(now);
        }
        if was_silent {
            self.was_late(now, lane_of.unwrap_or(id), Sign::TimeOut);
        }
    }

    /// The connections of the parent at `id` lose packets.
    pub(super) fn was_late(&mut self, now: Time, id: LinkId, sign: Sign) {
        if !self.streams.values().any(|s| s.is_fed_by(id)) {
            return;
        }
        let Some(peer) = self.links.get(&id).map(|link| link.peer) else {
            return;
        };
        self.losses.retain(|_, loss| now.since(loss.last) < CALM);
        if self.losses.len() >= MOST_LOSSES && !self.losses.contains_key(&peer) {
            return;
        }
        let loss = self.losses.entry(peer).or_default();
        loss.last = now;
        if loss.lanes + 1 >= EASY_LANES && sign != Sign::LateAgain {
            return;
        }
        let signs = match sign {
            Sign::Late | Sign::LateAgain => 1,
            Sign::TimeOut => SIGNS,
            Sign::Silence => OFTEN,
        };
        loss.late.retain(|at| now.since(*at) < LATELY);
        loss.late.extend(std::iter::repeat_n(now, signs));
        let often = loss.late.len() >= OFTEN && now >= loss.not_before;
        if often && loss.lanes + 1 < usize::from(self.config.lanes) {
            loss.lanes += 1;
            loss.late.clear(); // what the new one does is to be seen first
            self.look_at = now;
        }
    }

    /// Opens what lanes the parents have need of.
    pub(super) fn open_lanes(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.losses.is_empty() {
            return;
        }
        self.losses.retain(|_, loss| now.since(loss.last) < CALM);
        let parents = self.streams.values().filter_map(|stream| stream.parent);
        for id in parents.map(|parent| parent.link).collect::<Vec<_>>() {
            let Some(link) = self.links.get(&id) else {
                continue;
            };
            let wanted = self.losses.get(&link.peer).map_or(0, |loss| loss.lanes);
            let wanted = wanted.min(link.lanes_allowed.saturating_sub(1));
            let neighbour = link.neighbour();
            if link.phase != Phase::Ready {
                continue;
            }
            for _ in link.lanes.len()..wanted {
                let lane = self.new_link_id();
                let mut new = Link::new(now, &neighbour, true);
                new.lane_of = Some(id);
                self.links.insert(lane, new);
                if let Some(link) = self.links.get_mut(&id) {
                    link.lanes.push(lane);
                }
                out.push(Output::Connect(lane));
            }
        }
    }

    /// The other end, which is fed, says that the link `id` is a lane of `of`.
    pub(super) fn lane_named(&mut self, now: Time, id: LinkId, of: LinkId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        let is_free = !link.ours && link.lane_of.is_none() && link.lanes.is_empty() && of != id;
        let used = |s: &super::streams::Stream| {
            s.feeds(id) || s.is_fed_by(id) || s.stand_ins().any(|backup| backup.link == id)
        };
        if !is_free || self.streams.values().any(used) {
            return self.expel(now, id, "it is no lane, for it is in use", out);
        }
        let whole = self.links.get_mut(&of);
        let Some(whole) = whole.filter(|l| l.peer == peer && l.lane_of.is_none()) else {
            return; // it was closed a moment ago: nobody needs this one
        };
        if whole.lanes.len() + 1 >= usize::from(self.config.lanes) {
            return self.expel(now, id, "that link has lanes enough", out);
        }
        whole.lanes.push(id);
        whole.flow.becomes_a_lane();
        if let Some(link) = self.links.get_mut(&id) {
            link.lane_of = Some(of);
            link.flow.caught_up();
            link.flow.becomes_a_lane();
        }
        self.empty_mailboxes(now, of, out);
    }

    /// A connection of the link that takes more now: each in turn, those last that deliver nothing.
    pub(super) fn open_lane(&mut self, now: Time, whole: LinkId) -> Option<LinkId> {
        let link = self.links.get(&whole)?;
        if link.lanes.is_empty() {
            return link.flow.is_open().then_some(whole);
        }
        let all = 1 + link.lanes.len();
        let turn = link.turn;
        let open = (turn..turn + all).filter_map(|at| {
            let at = at % all;
            let id = at.checked_sub(1).map_or(whole, |at| link.lanes[at]);
            let lane = self.links.get(&id)?;
            let takes = lane.phase == Phase::Ready && lane.flow.is_open();
            takes.then(|| (lane.flow.stands_still(now), at, id))
        });
        // The next one, unless it is in time-out and another one is not.
        let (_, at, id) = open.min_by_key(|&(stands_still, ..)| stands_still)?;
        if let Some(link) = self.links.get_mut(&whole) {
            link.turn = at + 1;
        }
        Some(id)
    }

    /// Where to send what was asked for over `asked`: there, unless that takes nothing or stands still, and another lane does not.
    pub(super) fn way_of_repairs(&self, now: Time, asked: LinkId) -> Option<LinkId> {
        let whole = self.whole(asked);
        let lanes = self.links.get(&whole).map(|link| link.lanes.as_slice());
        let others = std::iter::once(&whole).chain(lanes.unwrap_or_default());
        let takes = |id: &&LinkId| {
            let link = self.links.get(id);
            link.is_some_and(|l| l.phase == Phase::Ready && l.flow.takes_repairs())
        };
        let all = std::iter::once(&asked).chain(others.filter(|id| **id != asked));
        let stands_still = |id: &&LinkId| {
            let link = self.links.get(id);
            link.is_some_and(|link| link.flow.stands_still(now))
        };
        all.filter(takes).min_by_key(stands_still).copied()
    }

    /// The connections of a link, the one that was heard last first: it is in no time-out.
    pub(super) fn lanes_by_silence(&self, now: Time, whole: LinkId) -> Vec<LinkId> {
        let Some(link) = self.links.get(&whole) else {
            return Vec::new();
        };
        let mut all = vec![whole];
        all.extend(&link.lanes);
        all.sort_by_key(|id| self.links.get(id).map(|link| link.silent_for(now)));
        all
    }

    /// What a lane is for: as long as its link is for anything.
    pub(super) fn use_of_lane(&self, whole: LinkId) -> Use {
        if !self.links.contains_key(&whole) {
            return Use::default();
        }
        let whole = self.use_of(whole);
        Use {
            // It may be in time-out, and dies of that no sooner than a child does.
            standby: whole.parent,
            child: whole.child,
            ..Use::default()
        }
    }

    /// Whether this is a lane of ours that is not needed any more.
    pub(super) fn is_calm(&self, now: Time, lane: &Link) -> bool {
        let loss = self.losses.get(&lane.peer);
        lane.ours && lane.lane_of.is_some() && loss.is_none_or(|loss| now.since(loss.last) >= CALM)
    }

    /// The lane is ready: the other end hears whose it is.
    pub(super) fn name_lane(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let link = self.links.get(&id).filter(|link| link.ours);
        if let Some(LinkId(of)) = link.and_then(|link| link.lane_of) {
            self.say(now, id, &Control::Lane { of }, out);
        }
    }

    /// A link is gone: so are its lanes, and a lane is none of its link's any more.
    pub(super) fn forget_lanes(
        &mut self,
        now: Time,
        id: LinkId,
        gone: &Link,
        out: &mut Vec<Output>,
    ) {
        let whole = gone.lane_of;
        // Else nobody needs it any more, and what the way loses is known all the same when somebody does again.
        let is_missed = whole.is_some_and(|id| self.streams.values().any(|s| s.is_fed_by(id)));
        if let Some(whole) = whole.and_then(|whole| self.links.get_mut(&whole)) {
            whole.lanes.retain(|lane| *lane != id);
            if whole.lanes.is_empty() {
                whole.flow.is_alone_again();
            }
            // The other end may not want it: another is tried later, if something is late again.
            let loss = self.losses.get_mut(&gone.peer);
            if let Some(loss) = loss.filter(|_| gone.ours && is_missed) {
                loss.lanes = whole.lanes.len();
                loss.not_before = now + LATELY;
            }
        }
        for &lane in &gone.lanes {
            self.close_link(now, lane, "the link it was a lane of is gone", out);
        }
    }
}
