//! Frames that lack, had from whoever holds them; and what is given to neighbours that lack some.

use std::time::Duration;

use super::lanes::Sign;
use super::streams::{Probe, Role, Upstream};
use super::{Node, Output, lag};
use crate::chunk::{Chunk, Position};
use crate::id::{LinkId, StreamHandle, StreamId};
use crate::link::Phase;
use crate::repair::{self, Frame, Source};
use crate::time::Time;
use crate::wire::{Control, FrameRange, TrackPosition};

/// A parent that is there and brings nothing new of a track for this long: a backup is asked whether it has more. Guess: as
/// long as it takes to leave a silent parent, so that a death further up has been mended by then.
const STARVING: Duration = Duration::from_millis(250); // and two round trips, for it to find another parent
/// While nobody has more, for the source pauses, it is asked again after this, and twice as long each time.
const PROBE_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Frames before the oldest held that are had for a child. Guess: two groups of pictures.
const BEFORE_OUR_OWN: u64 = 64;

impl Node {
    /// Asks for what lacks and is due.
    pub(super) fn mend(&mut self, now: Time, out: &mut Vec<Output>) {
        let due = self.streams.values().filter(|s| s.mend_at() <= now);
        let due: Vec<StreamId> = due.map(|s| s.id).collect();
        for id in due {
            let sources = self.sources(now, id);
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let (handle, parent) = (stream.handle(), stream.parent);
            let again = stream.repair.asks_again(now);
            let asked = stream.repair.due(now, &sources);
            if let Some(parent) = parent.filter(|_| !asked.is_empty()) {
                let sign = if again { Sign::LateAgain } else { Sign::Late };
                self.was_late(now, parent.link, sign);
            }
            for (link, frames) in asked {
                if let Some(link) = self.links.get_mut(&link) {
                    link.ask_for(handle);
                }
                self.say(now, link, &Control::Want { handle, frames }, out);
            }
        }
    }

    /// Asks a backup for the next frames where the parent brings none: does the source pause, or does the parent?
    pub(super) fn probe(&mut self, now: Time, out: &mut Vec<Output>) {
        let starving = self.streams.values().filter(|s| s.probe_at() <= now);
        let starving: Vec<StreamId> = starving.map(|s| s.id).collect();
        for id in starving {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let links = &self.links;
            let is_ready = |b: &Upstream| {
                let link = links.get(&b.link);
                link.is_some_and(|l| l.phase == Phase::Ready && l.is_well(now))
            };
            let backup = stream
                .stand_ins()
                .filter(|b| stream.parent != Some(*b))
                .find(is_ready);
            stream.lag.forget_if_old(now);
            let ahead = if stream.lag.is_due(now) {
                lag::AHEAD
            } else {
                1
            };
            let pause = stream.probe.map_or(PROBE_AGAIN.0, |p| p.pause * 2);
            let link = backup.map_or(LinkId(0), |b| b.link);
            stream.probe = Some(Probe {
                link,
                asked: now,
                pause: pause.min(PROBE_AGAIN.1),
            });
            if backup.is_none() {
                continue;
            }
            let handle = stream.handle();
            let next = |newest: TrackPosition| {
                let from = Position {
                    sequence: newest.position.sequence.saturating_add(ahead),
                    ..newest.position
                };
                FrameRange {
                    track: newest.track,
                    rendition: newest.rendition,
                    from,
                    to: from.next(),
                }
            };
            let frames = stream.window.newest().into_iter().map(next).collect();
            if let Some(link) = self.links.get_mut(&link) {
                link.ask_for(handle);
            }
            self.say(now, link, &Control::Want { handle, frames }, out);
        }
    }

    /// A backup that was asked has more than we do: the parent keeps it back, or is slow. It is left.
    pub(super) fn parent_starves(
        &mut self,
        now: Time,
        link: LinkId,
        chunk: &Chunk,
        out: &mut Vec<Output>,
    ) {
        let header = chunk.header();
        let probed = |s: &&mut super::streams::Stream| {
            let asked = s.probe.is_some_and(|probe| probe.link == link);
            s.handle() == header.handle && asked && s.next.is_none()
        };
        let Some(stream) = self.streams.values_mut().find(probed) else {
            return;
        };
        let name = (header.track, header.rendition);
        let newest = stream.window.newest();
        let held = newest.iter().find(|n| (n.track, n.rendition) == name);
        let is_news = held.is_none_or(|held| held.position < header.position);
        if let Some(parent) = stream.parent.filter(|p| is_news && p.link != link) {
            let id = stream.id;
            stream.probe = None;
            if stream.lag.is_due(now) {
                stream.lag.left(now);
            }
            self.take_over(now, id, Some(parent), out);
        }
    }

    /// Who may have what the parent did not bring: backups first, for it was not they who were slow.
    fn sources(&self, now: Time, id: StreamId) -> Vec<Source> {
        let Some(stream) = self.streams.get(&id) else {
            return Vec::new();
        };
        let parents = [stream.parent, stream.leaving].into_iter().flatten();
        let parents = parents.flat_map(|parent| self.lanes_by_silence(now, parent.link));
        let backups = stream.stand_ins().filter(|b| stream.parent != Some(*b));
        let backups = backups.map(|backup| backup.link);
        let source = |id: LinkId| {
            let link = self.links.get(&id)?;
            let round_trip = link.round_trip().unwrap_or_default();
            (link.phase == Phase::Ready).then_some(Source {
                link: id,
                round_trip,
                loses: link.lane_of.is_some() || !link.lanes.is_empty(),
            })
        };
        backups.chain(parents).filter_map(source).collect()
    }

    /// Whether a chunk was asked for at a link that is no parent's.
    pub(super) fn mends(&self, link: LinkId, chunk: &Chunk) -> Option<StreamId> {
        let header = chunk.header();
        let frame = (header.track, header.rendition, header.position);
        let mut streams = self.streams.values();
        let stream =
            streams.find(|s| s.handle() == header.handle && s.repair.expects(link, &frame))?;
        Some(stream.id)
    }

    /// Takes note of a chunk that is new here: of what lacks before it, and that itself lacks no more.
    pub(super) fn note_holes(&mut self, now: Time, id: StreamId, chunk: &Chunk) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let header = chunk.header();
        stream.fed.insert((header.track, header.rendition), now);
        // A track that ended is not asked for again with each chunk of the other.
        if stream.starves_at().is_none_or(|at| at > now) && !stream.lag.is_due(now) {
            stream.probe = None;
        }
        if stream.window.is_smooth() && stream.repair.is_empty() {
            return;
        }
        let frame = (header.track, header.rendition, header.position);
        if stream.window.is_whole(&frame) {
            stream.repair.came(&frame);
        }
        let parent = stream.parent.and_then(|p| self.links.get(&p.link));
        let round_trip = parent.and_then(|l| l.round_trip()).unwrap_or_default();
        let lacking = stream.window.lacking();
        stream.repair.lacks(now, &lacking, round_trip);
    }

    /// A neighbour lacks frames: what is held goes out at once; for a child the rest is asked for above.
    pub(super) fn wanted(
        &mut self,
        now: Time,
        link: LinkId,
        handle: StreamHandle,
        ranges: &[FrameRange],
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.links.get(&link).map(|l| l.peer) else {
            return;
        };
        let whole = self.whole(link);
        let knows = |s: &&mut super::streams::Stream| {
            s.handle() == handle
                && (s.feeds(whole)
                    || s.expected.contains_key(&peer)
                    || s.dismissed.contains_key(&peer))
        };
        let Some(stream) = self.streams.values_mut().find(knows) else {
            return; // it was moved elsewhere a moment ago
        };
        let mut held = Vec::new();
        let mut lacking = Vec::new();
        for frame in repair::frames(ranges) {
            let chunks = stream.window.frame(&frame);
            if chunks.is_empty() {
                lacking.push(frame);
            }
            held.extend(chunks);
        }
        if stream.feeds(whole) {
            stream.ask_for_child(now, lacking.into_iter());
        }
        for chunk in held {
            let len = chunk.message().len();
            let has_lanes = self.links.get(&whole).is_some_and(|l| !l.lanes.is_empty());
            let way = self.way_of_repairs(now, link);
            if way.is_none() && !has_lanes {
                return;
            }
            let asked = self.links.get_mut(&link);
            if asked.is_none_or(|link| !link.may_repair(now, len)) {
                return;
            }
            let Some(stream) = self.streams.values_mut().find(|s| s.handle() == handle) else {
                return;
            };
            stream.repairs += 1;
            match way {
                Some(way) => {
                    stream.bytes_up += len as u64;
                    self.send_media(now, way, &chunk, out);
                }
                // None of them takes anything: the first one that does, before what is newer.
                None => {
                    if let Some(child) = stream.children.get_mut(&whole) {
                        child.mailbox.push_first(chunk);
                    }
                }
            }
        }
    }
}

impl super::streams::Stream {
    /// When there is something to ask for.
    pub(super) fn mend_at(&self) -> Time {
        self.repair.next_wakeup()
    }

    /// When a backup is to be asked whether it has more than the parent brings.
    pub(super) fn probe_at(&self) -> Time {
        if self.parent.is_none() || self.next.is_some() || self.backups.is_empty() {
            return Time::NEVER;
        }
        let again = self.probe.map(|probe| probe.asked + probe.pause);
        let at = self.starves_at().unwrap_or(Time::NEVER);
        let at = at.min(self.lag.due());
        at.max(again.unwrap_or(at))
    }

    /// When one of the tracks will have brought nothing for too long.
    fn starves_at(&self) -> Option<Time> {
        let oldest = self.fed.values().min();
        oldest.map(|&at| at + STARVING + self.round_trip * 2)
    }

    fn ask_for_child(&mut self, now: Time, frames: impl Iterator<Item = Frame>) {
        if matches!(self.role, Role::Published(_)) {
            return; // there is nobody above
        }
        // What is newer than all we hold comes by itself, and what is much older is of no use to anybody.
        let oldest = self.window.oldest();
        let of_use = |(track, rendition, position): &Frame| {
            let own = oldest
                .iter()
                .find(|o| (o.track, o.rendition) == (*track, *rendition));
            own.is_some_and(|own| {
                own.position.epoch == position.epoch
                    && *position < own.position
                    && own.position.sequence - position.sequence <= BEFORE_OUR_OWN
            })
        };
        self.repair.child_lacks(now, frames.filter(of_use));
    }

    /// A child asks for all from here on, and what is held begins later: the rest is asked for above.
    pub(super) fn fill_up_for(&mut self, now: Time, from: &[TrackPosition]) {
        let oldest = self.window.oldest();
        for asked in from {
            let own = oldest
                .iter()
                .find(|o| (o.track, o.rendition) == (asked.track, asked.rendition));
            let Some(own) = own.filter(|own| own.position.epoch == asked.position.epoch) else {
                continue;
            };
            let first = own.position.sequence.saturating_sub(BEFORE_OUR_OWN);
            let first = first.max(asked.position.sequence);
            let frames = (first..own.position.sequence).map(|sequence| {
                let position = Position {
                    sequence,
                    ..own.position
                };
                (asked.track, asked.rendition, position)
            });
            self.ask_for_child(now, frames);
        }
    }
}
