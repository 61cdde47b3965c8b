//! One peer of a run, with its player if it watches.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::id::LinkId;
use protocol::node::{self, Node};
use protocol::playback::screen::Screen;
use protocol::playback::{self, LOOK_EVERY};
use protocol::time::Time;
use protocol::viewer::Viewer;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::shard::{FRAME, Name, STREAM};
use super::uplink::Uplink;
use super::{Outcome, Sample};
use crate::script::{Cue, Scribe, Script};

/// Of a data channel, in one packet (RFC 8831, 5: no more than 1200 bytes, with all headers).
const PACKET_BYTES: usize = 1_150;
/// Three more packets must have come before one is taken for lost: the next frame, in a stream as slow as this.
const FOLLOWED_BY: Duration = FRAME;
/// The least wait of SCTP where only time tells (RFC 9260, 16: RTO.Min); twice as long each time after that.
const TIME_OUT: Duration = Duration::from_secs(1);
/// By then a link is given up.
const MOST_LATE: Duration = Duration::from_secs(8);

/// See the module's own words.
pub(super) struct Actor {
    pub(super) name: Name,
    pub(super) node: Node,
    pub(super) viewer: Option<(Viewer, Screen)>,
    /// Who is at the other end of its links.
    pub(super) links: BTreeMap<LinkId, Name>,
    /// What it can really send, where there is a bound to that.
    pub(super) uplink: Option<Uplink>,
    /// What of its media is lost, and where the chances of that come from; none if nothing is.
    pub(super) loss: Option<(f64, Box<StdRng>)>,
    pub(super) started: bool,
    /// When it saw its first picture.
    pub(super) since: Time,
    pub(super) wakes_at: Time,
    /// Hangs until then.
    pub(super) hangs: Time,
    pub(super) scribe: Option<Scribe>,
}

/// What a viewer is told.
pub(super) enum Told<'a> {
    News(&'a node::Event),
    Input(playback::Input),
}

impl Actor {
    /// When it wants to be woken next.
    pub(super) fn next_wakeup(&self, now: Time) -> Time {
        let look = match self.viewer {
            Some(_) => now + LOOK_EVERY,
            None => Time::NEVER,
        };
        self.node.next_wakeup().min(look).max(now)
    }

    /// Tells its viewer, and does what that wants done; none may be there.
    pub(super) fn play(&mut self, now: Time, told: Told<'_>) {
        let Some((viewer, screen)) = &mut self.viewer else {
            return;
        };
        let mut waiting = VecDeque::from([told]);
        while let Some(told) = waiting.pop_front() {
            let mut out = Vec::new();
            let cue = match told {
                Told::News(event) => {
                    viewer.news(now, event, &mut out);
                    Some(Cue::News)
                }
                Told::Input(input) => {
                    let cue = Cue::of_player(&input);
                    viewer.handle(now, input, &mut out);
                    cue
                }
            };
            if let Some((scribe, cue)) = self.scribe.as_mut().zip(cue) {
                scribe.player(now, cue, &out, viewer.next_wakeup());
            }
            let carried = out
                .iter()
                .filter_map(|output| screen.carry_out(now, output));
            waiting.extend(carried.map(Told::Input));
        }
    }

    /// Its player looks at the screen. Tells whether that was when it saw its first picture.
    pub(super) fn look(&mut self, now: Time) -> bool {
        let Some((_, screen)) = &mut self.viewer else {
            return false;
        };
        let seen = playback::Input::Element(screen.look(now));
        self.play(now, Told::Input(seen));
        let has_started = |(viewer, _): &(Viewer, Screen)| viewer.stats(now).started;
        if self.started || !self.viewer.as_ref().is_some_and(has_started) {
            return false;
        }
        self.started = true;
        self.since = now;
        true
    }

    /// How much later than it should a message comes, for one of its packets was lost. Whoever waits for a packet learns by
    /// what follows it, and has it a round trip later; if that is lost as well only time tells (RFC 9260, 7.2.4 and 6.3.3).
    pub(super) fn late(&mut self, bytes: usize, round_trip: Duration) -> Duration {
        let Some((loss, random)) = &mut self.loss else {
            return Duration::ZERO;
        };
        let packets = bytes.div_ceil(PACKET_BYTES);
        let mut waits = Duration::ZERO;
        for _ in 0..packets {
            let mut wait = Duration::ZERO;
            let mut again = round_trip + FOLLOWED_BY;
            while random.random_bool(*loss) && wait < MOST_LATE {
                wait += again;
                again = if again < TIME_OUT {
                    TIME_OUT
                } else {
                    again * 2
                };
            }
            waits = waits.max(wait);
        }
        waits
    }

    /// Adds how it is to what is noted of all; gives how deep it stands, if it has a parent.
    pub(super) fn sample(&self, now: Time, sample: &mut Sample) -> Option<u16> {
        let (viewer, _) = self.viewer.as_ref()?;
        let stats = viewer.stats(now);
        sample.alive += 1;
        sample.stalls += u64::from(stats.stalls);
        sample.playing += u64::from(self.started && !stats.is_stalled);
        sample.stalled += u64::from(self.started && stats.is_stalled);
        self.viewers_depth()
    }

    /// How deep it stands, if it is a viewer that has a parent.
    pub(super) fn viewers_depth(&self) -> Option<u16> {
        self.viewer.as_ref()?;
        let stats = self.node.stats(&STREAM).filter(|s| s.parent.is_some());
        stats.map(|stats| stats.depth)
    }

    /// Counts what a viewer's life came to. Gives its script, where one is written, and whether it plays, and how deep.
    pub(super) fn bury(
        self,
        now: Time,
        outcome: &mut Outcome,
    ) -> (Option<Script>, Option<(bool, u16)>) {
        let viewer = self.viewer.as_ref().map(|(viewer, _)| viewer);
        let script = self
            .scribe
            .map(|scribe| scribe.end(now, &self.node, viewer));
        let Some(viewer) = viewer else {
            return (script, None);
        };
        let stats = viewer.stats(now);
        outcome.stalls += u64::from(stats.stalls);
        outcome.stalled += stats.stalled;
        if self.started {
            outcome.watched += now.since(self.since);
        }
        let depth = self.node.stats(&STREAM).map_or(0, |s| s.depth);
        (script, Some((self.started && !stats.is_stalled, depth)))
    }
}
