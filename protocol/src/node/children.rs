//! Whom the peer feeds: who may subscribe, and what each child gets.

use std::time::Duration;

use super::backups::REFUSED_FOR;
use super::streams::{Child, Early, Role, Stream};
use super::{Node, Output};
use crate::chunk::Chunk;
use crate::forwarder::{Gap, Mailbox};
use crate::id::{LinkId, PeerId, StreamHandle, StreamId};
use crate::signal::{Component, Neighbour};
use crate::time::Time;
use crate::wire::{Control, MAX_STREAMS, TrackPosition};

/// A subscription may overtake the supervisor's word that it will come; it waits this long for it. Guess.
const EXPECT_WAIT: Duration = Duration::from_secs(2);
/// A child that the supervisor moved elsewhere is fed this long, so that it can make before it breaks; so is one that
/// only stood by, and took over here before it heard of that. Guess.
const DROP_GRACE: Duration = Duration::from_secs(5);

impl Node {
    /// A peer the supervisor announced as somebody's child here.
    pub(super) fn expected(&self, peer: &PeerId) -> Option<Neighbour> {
        self.streams
            .values()
            .find_map(|s| s.expected.get(peer).copied())
    }

    pub(super) fn expect(
        &mut self,
        now: Time,
        id: StreamId,
        child: Neighbour,
        out: &mut Vec<Output>,
    ) {
        if self.config.component == Component::Relay {
            self.streams
                .entry(id)
                .or_insert_with(|| Stream::new(id, Role::Relayed, now));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.expected.insert(child.peer, child);
        stream.dismissed.remove(&child.peer);
        stream
            .children
            .values_mut()
            .filter(|c| c.peer == child.peer)
            .for_each(|c| c.until = None);
        self.settle_early_children(now, id, out);
    }

    /// Those who subscribed too early: each is fed as soon as it is announced and the way to the root leads elsewhere.
    pub(super) fn settle_early_children(&mut self, now: Time, id: StreamId, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        for early in std::mem::take(&mut stream.early_children) {
            let peer = self.links.get(&early.link).map(|link| link.peer);
            let Some((peer, stream)) = peer.zip(self.streams.get_mut(&id)) else {
                continue;
            };
            let is_above = stream.path.contains(&peer);
            if is_above && stream.next.is_none() {
                self.say(now, early.link, &through_the_subscriber(id), out);
            } else if !is_above && stream.expected.contains_key(&peer) {
                self.attach(now, early.link, id, &early.from, out);
            } else {
                stream.early_children.push(early);
            }
        }
    }

    pub(super) fn drop_child(&mut self, now: Time, id: StreamId, child: PeerId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.dismissed.retain(|_, until| *until > now);
        if stream.expected.remove(&child).is_some() {
            stream.dismissed.insert(child, now + DROP_GRACE);
        }
        stream
            .children
            .values_mut()
            .filter(|c| c.peer == child)
            .for_each(|c| c.until = Some(now + DROP_GRACE));
    }

    pub(super) fn subscribed(
        &mut self,
        now: Time,
        link: LinkId,
        id: StreamId,
        from: Vec<TrackPosition>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.links.get(&link).map(|l| l.peer) else {
            return;
        };
        let refuse = |reason: &str| Control::Refused {
            stream: id,
            reason: reason.into(),
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return self.say(
                now,
                link,
                &refuse("this peer has no part in the stream"),
                out,
            );
        };
        let is_above = stream.path.contains(&peer);
        if is_above && stream.next.is_none() {
            return self.say(now, link, &through_the_subscriber(id), out);
        }
        // Two who have lost the same parent have each asked the other in the same moment: one of them stays above.
        let asked = stream.parent.filter(|parent| parent.peer == peer);
        if let Some(asked) = asked.filter(|_| stream.is_unproven && stream.next.is_none()) {
            if self.config.peer < peer {
                return self.say(now, link, &through_the_subscriber(id), out);
            }
            stream.refusals.insert(asked.link, now + REFUSED_FOR);
            self.unsubscribe(now, id, asked.link, out);
            let reason = "it and this peer have asked each other";
            self.lose_upstream(now, id, asked.link, reason, out);
            return self.subscribed(now, link, id, from, out);
        }
        if !is_above && stream.expected.contains_key(&peer) {
            return self.attach(now, link, id, &from, out);
        }
        // Its parent left, it took over here, and the supervisor has just named another backup for it: it is fed until it
        // is where it belongs.
        let dismissed = stream.dismissed.get(&peer).copied();
        if let Some(until) = dismissed.filter(|&until| !is_above && until > now) {
            stream.dismissed.remove(&peer);
            self.attach(now, link, id, &from, out);
            let stream = self.streams.get_mut(&id);
            let child = stream.and_then(|stream| stream.children.get_mut(&link));
            return child
                .into_iter()
                .for_each(|child| child.until = Some(until));
        }
        // Whoever is on its way to another parent may be below the subscriber for a moment yet: the supervisor put it there
        // so that it takes the place of somebody who left.
        if stream.early_children.len() < MAX_STREAMS {
            stream.early_children.retain(|e| e.link != link);
            stream.early_children.push(Early {
                link,
                from,
                until: now + EXPECT_WAIT,
            });
        }
    }

    pub(super) fn attach(
        &mut self,
        now: Time,
        link: LinkId,
        id: StreamId,
        from: &[TrackPosition],
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.links.get(&link).map(|l| l.peer) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.fill_up_for(now, from);
        let held = if from.is_empty() {
            stream.window.from_newest_start()
        } else {
            stream.window.from_positions(from)
        };
        // Over another link: that one is dead, and we have yet to find out.
        let others = stream.children.iter().filter(|(_, c)| c.peer == peer);
        for other in others.map(|(&at, _)| at).collect::<Vec<_>>() {
            stream.remove_child(other);
        }
        let child = Child {
            peer,
            mailbox: Mailbox::starting_with(held),
            until: None,
            has_caught_up: false,
            told_behind: Time::ZERO,
        };
        stream.children.insert(link, child);
        let (handle, path) = (stream.handle(), stream.path.clone());
        if let Some(descriptor) = stream.descriptor.clone() {
            self.say(now, link, &Control::Epoch(descriptor), out);
        }
        if !path.is_empty() {
            self.say(now, link, &Control::RootPath { handle, path }, out);
        }
        let children = self.streams.values().flat_map(|stream| &stream.children);
        let joining = children.filter(|&(&at, child)| at != link && !child.has_caught_up);
        let others = joining.count();
        if let Some(link) = self.links.get_mut(&link) {
            link.flow.has_to_catch_up(now, others);
        }
        self.empty_mailboxes(now, link, out);
    }

    pub(super) fn unsubscribed(&mut self, id: StreamId, link: LinkId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.remove_child(link);
            stream.early_children.retain(|e| e.link != link);
        }
    }

    /// Hands over what waits for the neighbour at `link`, as long as the link takes it.
    pub(super) fn empty_mailboxes(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let ids: Vec<StreamId> = self
            .streams
            .values()
            .filter(|s| s.feeds(link))
            .map(|s| s.id)
            .collect();
        for id in ids {
            self.empty_mailbox(now, id, link, out);
        }
    }

    pub(super) fn empty_mailbox(
        &mut self,
        now: Time,
        id: StreamId,
        link: LinkId,
        out: &mut Vec<Output>,
    ) {
        while let Some(lane) = self.open_lane(now, link) {
            let Some(stream) = self.streams.get_mut(&id) else {
                return;
            };
            let Some(child) = stream.children.get_mut(&link) else {
                return;
            };
            let Some(chunk) = child.mailbox.pop() else {
                child.has_caught_up = true;
                if let Some(lane) = self.links.get_mut(&lane) {
                    lane.flow.caught_up();
                }
                return;
            };
            stream.bytes_up += chunk.message().len() as u64;
            stream.chunks_up += 1;
            self.send_media(now, lane, &chunk, out);
        }
    }

    /// Passes a chunk on to every child.
    pub(super) fn forward(
        &mut self,
        now: Time,
        id: StreamId,
        chunk: &Chunk,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let handle = stream.handle();
        let mut told = Vec::new();
        for (&link, child) in &mut stream.children {
            told.push((link, child.mailbox.push(chunk)));
        }
        for (link, gaps) in told {
            for gap in gaps {
                self.say(now, link, &skipped_message(handle, &gap), out);
            }
            self.empty_mailbox(now, id, link, out);
            self.tell_behind(now, handle, link, out);
        }
    }
}

fn through_the_subscriber(stream: StreamId) -> Control {
    Control::Refused {
        stream,
        reason: "the way to the root leads through the subscriber".into(),
    }
}

pub(super) fn skipped_message(handle: StreamHandle, gap: &Gap) -> Control {
    let Gap {
        name: (track, rendition),
        from,
        to,
    } = *gap;
    Control::Skipped {
        handle,
        track,
        rendition,
        from,
        to,
    }
}
