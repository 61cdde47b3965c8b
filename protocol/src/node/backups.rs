//! Backup parents: connections that stand ready, and taking over without asking anybody (docs/protocol.md).

use std::time::Duration;

use super::streams::{Role, Upstream};
use super::{Event, Node, Output};
use crate::id::{LinkId, StreamId};
use crate::link::{Link, Phase};
use crate::signal::{FromPeer, Neighbour, Order};
use crate::time::Time;

/// Backup parents of one stream that are kept; a supervisor that names more is not believed.
const MAX_BACKUPS: usize = 2;

/// Whoever was a backup until another was named still stands in for this long. Guess: a connection to the new one takes up
/// to a second on two busy cores; well below the time that the other end still feeds us.
const RELIEVED_FOR: Duration = Duration::from_secs(3);
/// Those that are remembered. Guess: the supervisor changes its mind twice within that time.
const MAX_RELIEVED: usize = 4;

/// Who has refused a subscription is not asked again for so long: two who both stand below us would be asked in turn, as fast as
/// they answer. Guess: by then the supervisor has named another parent, or another backup.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A backup that was not ready is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// A silent parent is looked at again after this: it may be this peer that was busy, and what the parent said waits to be
/// read. Measured: without it pages on two busy cores left parents that were well.
const CONFIRMED_AFTER: Duration = Duration::from_millis(30);

/// A round trip that changed by less is not told again. Guess: six times as much is not a frame.
const TOLD_AGAIN: Duration = Duration::from_millis(5);

/// A parent that is silent, or will be at `at`.
struct Doubt {
    at: Time,
    /// Nobody has noticed yet.
    is_first: bool,
    stream: StreamId,
    parent: Upstream,
}

impl Node {
    /// The supervisor names who could feed us: from now on there is a link to each.
    pub(super) fn backups_named(
        &mut self,
        now: Time,
        id: StreamId,
        order: Order,
        backups: &[Neighbour],
        out: &mut Vec<Output>,
    ) {
        let me = self.config.peer;
        let known = self.streams.get(&id).filter(|s| !s.is_ours());
        if known.is_none_or(|stream| order <= stream.backups_order) {
            return;
        }
        let others = backups.iter().filter(|backup| backup.peer != me);
        let upstreams: Vec<Upstream> = others
            .take(MAX_BACKUPS)
            .map(|backup| Upstream {
                peer: backup.peer,
                link: self.link_to(now, backup, out),
            })
            .collect();
        for upstream in &upstreams {
            let known = self.streams.get(&id);
            let is_new = known.is_some_and(|known| !known.backups.contains(upstream));
            if let Some(link) = self.links.get_mut(&upstream.link).filter(|_| is_new) {
                link.counted_on(now);
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.backups_order = order;
            let old = std::mem::replace(&mut stream.backups, upstreams);
            stream
                .relieved
                .retain(|(backup, _)| !stream.backups.contains(backup));
            for backup in old {
                let link = self.links.get(&backup.link);
                let ready = link.is_some_and(|link| link.phase == Phase::Ready);
                if ready && !stream.backups.contains(&backup) {
                    stream.relieved.push((backup, now + RELIEVED_FOR));
                }
            }
            let surplus = stream.relieved.len().saturating_sub(MAX_RELIEVED);
            stream.relieved.drain(..surplus);
        }
    }

    /// The parent is lost, or seems to be: subscribes at a backup from the first number that lacks. False if there
    /// is none to be had. The supervisor is told, unless it has named another parent already: then the backup helps
    /// out until that one brings something, for a connection may take longer to set up than the player holds.
    pub(super) fn take_over(
        &mut self,
        now: Time,
        id: StreamId,
        lost: Option<Upstream>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let links = &self.links;
        let next = stream.next;
        stream.refusals.retain(|_, until| *until > now);
        let refusals = &stream.refusals;
        let is_child = |peer| stream.children.values().any(|child| child.peer == peer);
        let is_ready = |backup: &Upstream| {
            !refusals.contains_key(&backup.link)
                && !is_child(backup.peer)
                && lost.is_none_or(|lost| backup.link != lost.link)
                && Some(*backup) != next
                && links
                    .get(&backup.link)
                    .is_some_and(|link| link.phase == Phase::Ready && link.is_well(now))
        };
        let Some(backup) = stream.stand_ins().find(is_ready) else {
            return false;
        };
        // One that is only silent may be heard again before the backup is; one that never brought anything is not waited for.
        let (old, before) = (stream.parent.replace(backup), stream.leaving.take());
        let (kept, given_up) = match stream.is_unproven && before.is_some() {
            true => (before, old),
            false => (old, before),
        };
        stream.takeovers += 1;
        stream.is_unproven = true;
        stream.leaving =
            kept.filter(|old| old.link != backup.link && links.contains_key(&old.link));
        let (order, from) = (stream.order, stream.window.first_lacking());
        if let Some(given_up) = given_up.filter(|old| old.link != backup.link && Some(*old) != kept)
        {
            self.unsubscribe(now, id, given_up.link, out);
        }
        self.subscribe(now, id, backup.link, from, out);
        self.tell_parent(id, Some(backup), out);
        if let Some(lost) = lost.filter(|_| next.is_none()) {
            let message = FromPeer::TookOver {
                stream: id,
                parent: backup.peer,
                lost: lost.peer,
                order,
            };
            self.tell(&message, out);
        }
        true
    }

    /// A connection to somebody who may stand in is there: those streams that nobody feeds, and whose next parent is not there
    /// yet, come from it.
    pub(super) fn help_out(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let starves = |stream: &&super::streams::Stream| {
            let on_its_way = stream.parent.is_none() && stream.next.is_some();
            on_its_way && stream.stand_ins().any(|backup| backup.link == link)
        };
        let starving = self.streams.values().filter(starves);
        let starving: Vec<StreamId> = starving.map(|stream| stream.id).collect();
        for stream in starving {
            self.take_over(now, stream, None, out);
        }
    }

    /// Parents that have been silent for longer than a backup needs: nobody waits for the end of them.
    pub(super) fn doubt_silent_parents(&mut self, now: Time, out: &mut Vec<Output>) {
        for stream in self.streams.values_mut() {
            stream.relieved.retain(|(_, until)| *until > now);
        }
        let doubtful: Vec<Doubt> = self.doubts().filter(|doubt| doubt.at <= now).collect();
        for doubt in doubtful {
            let Some(stream) = self.streams.get_mut(&doubt.stream) else {
                continue;
            };
            if doubt.is_first {
                stream.doubt = Some(now);
                continue;
            }
            stream.tried = now;
            if !self.take_over(now, doubt.stream, Some(doubt.parent), out) {
                self.complain_early(doubt.stream, doubt.parent, out);
            }
        }
    }

    /// The parent is silent and no backup is there: the supervisor is told now, not when the link is given up, for by then what
    /// the viewer has ahead is used up. If the parent is heard again it feeds us until the next one does.
    fn complain_early(&mut self, id: StreamId, parent: Upstream, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let complaint = Some((parent, stream.order));
        if stream.next.is_some() || stream.complained == complaint {
            return;
        }
        stream.complained = complaint;
        let message = FromPeer::ParentLost {
            stream: id,
            parent: parent.peer,
            order: stream.order,
            reason: "it is silent, and no backup parent is there".into(),
        };
        self.tell(&message, out);
    }

    /// When there may be something to do here.
    pub(super) fn next_doubt(&self) -> Time {
        let doubts = self.doubts().map(|doubt| doubt.at);
        let ends = self.standbys().map(|(at, ..)| at);
        doubts.chain(ends).min().unwrap_or(Time::NEVER)
    }

    /// Backups that fell silent are no backups: the supervisor is asked for others.
    pub(super) fn give_up_silent_backups(&mut self, now: Time, out: &mut Vec<Output>) {
        let silent: Vec<(StreamId, Upstream)> = self
            .standbys()
            .filter(|(until, ..)| *until <= now)
            .map(|(_, id, backup)| (id, backup))
            .collect();
        for (id, backup) in silent {
            self.backup_gone(id, backup, out);
        }
    }

    /// Tells viewers how far away those are who feed them, or may have to, where that has changed.
    pub(super) fn tell_round_trips(&mut self, out: &mut Vec<Output>) {
        for stream in self.streams.values_mut() {
            let upstreams = stream.parent.iter().chain(&stream.backups);
            let links = upstreams.filter_map(|upstream| self.links.get(&upstream.link));
            let furthest = links.filter_map(Link::round_trip).max();
            let Some(furthest) = furthest.filter(|_| matches!(stream.role, Role::Watched)) else {
                continue;
            };
            if furthest.abs_diff(stream.round_trip) >= TOLD_AGAIN {
                stream.round_trip = furthest;
                out.push(Output::Event(Event::RoundTrip(stream.id, furthest)));
            }
        }
    }

    /// Tells the viewer who feeds it now.
    pub(super) fn tell_parent(
        &self,
        id: StreamId,
        parent: Option<Upstream>,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Event(Event::Parent(id, parent.map(|p| p.peer))));
        if let Some(link) = parent.and_then(|parent| self.links.get(&parent.link)) {
            out.push(Output::Event(Event::FedBy(id, link.component)));
        }
    }

    pub(super) fn backup_gone(&mut self, id: StreamId, backup: Upstream, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.relieved.retain(|(other, _)| *other != backup);
        let known = stream.backups.len();
        stream.backups.retain(|other| *other != backup);
        // One that is the parent by now is missed as such.
        if stream.backups.len() < known && stream.parent != Some(backup) {
            let message = FromPeer::BackupLost {
                stream: id,
                backup: backup.peer,
            };
            self.tell(&message, out);
        }
    }

    /// Until when which backup is well, and not the parent already.
    fn standbys(&self) -> impl Iterator<Item = (Time, StreamId, Upstream)> + '_ {
        self.streams.values().flat_map(|stream| {
            let others = stream.backups.iter();
            let others = others.filter(|&&backup| stream.parent != Some(backup));
            others.filter_map(|&backup| {
                let link = self.links.get(&backup.link)?;
                let ready = link.phase == Phase::Ready;
                Some((
                    if ready {
                        link.well_until()
                    } else {
                        Time::NEVER
                    },
                    stream.id,
                    backup,
                ))
            })
        })
    }

    /// Which parents are doubtful, or will be, where there is somebody to take over at, or was to be.
    fn doubts(&self) -> impl Iterator<Item = Doubt> + '_ {
        self.streams.values().filter_map(|stream| {
            let parent = stream.parent?;
            let counts_on_somebody = stream.backups_order > Order::default();
            (counts_on_somebody || stream.stand_ins().next().is_some()).then_some(())?;
            let silent_at = self.links.get(&parent.link)?.doubtful_at() + self.own_delay() * 2;
            let confirmed = stream.doubt.filter(|since| *since >= silent_at);
            let at = confirmed.map_or(silent_at, |since| since + CONFIRMED_AFTER);
            Some(Doubt {
                at: at.max(stream.tried + TRY_AGAIN),
                is_first: confirmed.is_none(),
                stream: stream.id,
                parent,
            })
        })
    }
}
