//! How the peer comes by a parent in a stream, changes it, and gives the stream up.

use super::backups::REFUSED_FOR;
use super::streams::{Role, Stream, Upstream};
use super::{Event, Node, Output};
use crate::id::{LinkId, PeerId, StreamHandle, StreamId};
use crate::link::Phase;
use crate::signal::{Component, FromPeer, Neighbour, Order};
use crate::time::Time;
use crate::wire::{Control, MAX_PATH, TrackPosition, short};

impl Node {
    pub(super) fn watch(
        &mut self,
        now: Time,
        id: StreamId,
        invitation: Option<String>,
        out: &mut Vec<Output>,
    ) {
        if self.streams.contains_key(&id) {
            return;
        }
        let mut stream = Stream::new(id, Role::Watched, now);
        stream.invitation.clone_from(&invitation);
        self.streams.insert(id, stream);
        // The player comes into being with the wish to watch, and has missed what was told before.
        out.extend(
            self.session
                .clock()
                .map(|map| Output::Event(Event::Clock(map))),
        );
        self.tell(
            &FromPeer::Join {
                stream: id,
                parent: None,
                invitation,
            },
            out,
        );
    }

    pub(super) fn unwatch(&mut self, now: Time, id: StreamId, out: &mut Vec<Output>) {
        if self.streams.contains_key(&id) {
            self.tell(&FromPeer::Leave { stream: id }, out);
            self.forget(now, id, false, out);
        }
    }

    pub(super) fn release(&mut self, now: Time, id: StreamId, order: Order, out: &mut Vec<Output>) {
        if self
            .streams
            .get(&id)
            .is_some_and(|s| !s.is_ours() && order > s.order)
        {
            self.forget(now, id, false, out);
        }
    }

    /// Gives up our part in a stream, children included.
    pub(super) fn forget(&mut self, now: Time, id: StreamId, ended: bool, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let last_word = if ended {
            Control::Ended { stream: id }
        } else {
            Control::Refused {
                stream: id,
                reason: "this peer leaves the stream".into(),
            }
        };
        for &link in stream.children.keys() {
            self.say(now, link, &last_word, out);
        }
        for upstream in [stream.parent, stream.next, stream.leaving]
            .into_iter()
            .flatten()
        {
            self.unsubscribe(now, id, upstream.link, out);
        }
        if ended {
            out.push(Output::Event(Event::Ended(id)));
        }
    }

    pub(super) fn place(
        &mut self,
        now: Time,
        id: StreamId,
        order: Order,
        parent: Option<Neighbour>,
        out: &mut Vec<Output>,
    ) {
        if !self.streams.contains_key(&id) {
            // A relay takes part because the supervisor says so; a viewer only because it wants to.
            if self.config.component != Component::Relay {
                return self.tell(&FromPeer::Leave { stream: id }, out);
            }
            self.streams.insert(id, Stream::new(id, Role::Relayed, now));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if order <= stream.order || stream.is_ours() {
            return;
        }
        stream.order = order;
        stream.asked = now;
        let Some(parent) = parent else { return };
        self.move_to(now, id, &parent, out);
    }

    pub(super) fn move_to(
        &mut self,
        now: Time,
        id: StreamId,
        parent: &Neighbour,
        out: &mut Vec<Output>,
    ) {
        let link = self.link_to(now, parent, out);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let upstream = Upstream {
            peer: parent.peer,
            link,
        };
        let abandoned = stream.next.take().filter(|n| *n != upstream);
        if stream.parent != Some(upstream) {
            stream.next = Some(upstream);
            stream.next_asked = Time::NEVER;
        }
        if let Some(abandoned) = abandoned {
            self.unsubscribe(now, id, abandoned.link, out);
        }
        if self
            .links
            .get(&link)
            .is_some_and(|l| l.phase == Phase::Ready)
        {
            self.subscribe_over(now, link, out);
        }
    }

    /// The link is ready: asks for every stream that waits for it.
    pub(super) fn subscribe_over(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let waiting: Vec<(StreamId, Vec<TrackPosition>)> = self
            .streams
            .values()
            .filter(|s| s.next.is_some_and(|n| n.link == link))
            .map(|s| (s.id, s.window.first_lacking()))
            .collect();
        for (id, from) in waiting {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.next_asked = now;
            }
            self.subscribe(now, id, link, from, out);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        now: Time,
        stream: StreamId,
        link: LinkId,
        from: Vec<TrackPosition>,
        out: &mut Vec<Output>,
    ) {
        if let Some(link) = self.links.get_mut(&link) {
            link.ask_for(stream.handle());
        }
        self.say(now, link, &Control::Subscribe { stream, from }, out);
    }

    /// Wants no more of it over `link`, if it ever got as far as to say so.
    pub(super) fn unsubscribe(
        &mut self,
        now: Time,
        stream: StreamId,
        link: LinkId,
        out: &mut Vec<Output>,
    ) {
        let is_ready = |link: &crate::link::Link| link.phase == Phase::Ready;
        if self.links.get(&link).is_some_and(is_ready) {
            self.say(now, link, &Control::Unsubscribe { stream }, out);
        }
    }

    /// Something of the stream came over `link`: if that is the parent to be, it is the parent now. One that was left without the
    /// supervisor's word is kept until there is media: a backup answers at once, and may stand below us, or have nothing itself.
    pub(super) fn came_from(
        &mut self,
        now: Time,
        id: StreamId,
        link: LinkId,
        is_media: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut given_up = None;
        if stream.next.is_some_and(|n| n.link == link) {
            let old = stream.parent.take().filter(|old| old.link != link);
            stream.parent = stream.next.take();
            stream.is_unproven = true;
            // It is not kept until there is media, too: where uplinks are full, what it sends in that time makes others late (simulated).
            given_up = old;
            stream.leaving = stream.leaving.filter(|left| left.link != link);
            let parent = stream.parent;
            self.tell_parent(id, parent, out);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut left = None;
        if is_media && stream.parent.is_some_and(|p| p.link == link) {
            stream.is_unproven = false;
            left = stream.leaving.take();
        }
        let next = stream.next;
        for old in [given_up, left].into_iter().flatten() {
            // It may be the same one again, which is to feed us after all.
            if old.link != link && next.is_none_or(|next| next.link != old.link) {
                self.unsubscribe(now, id, old.link, out);
            }
        }
    }

    /// What `link` was to the stream it is no longer. Says whether it was anything.
    pub(super) fn lose_link(
        &mut self,
        now: Time,
        id: StreamId,
        link: LinkId,
        reason: &str,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        stream.early_children.retain(|e| e.link != link);
        let fed = stream.remove_child(link);
        let backup = stream.stand_ins().find(|b| b.link == link);
        let used = self.lose_upstream(now, id, link, reason, out) || fed;
        if let Some(backup) = backup {
            self.backup_gone(id, backup, out);
        }
        used
    }

    pub(super) fn lose_upstream(
        &mut self,
        now: Time,
        id: StreamId,
        link: LinkId,
        reason: &str,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let Some(lost) = stream.detail(link) else {
            return false;
        };
        stream.next = stream.next.filter(|n| *n != lost);
        if stream.leaving == Some(lost) {
            stream.leaving = None;
            return true;
        }
        if stream.parent == Some(lost) {
            // The one before may only have been silent. It says once more where it stands.
            stream.parent = stream.leaving.take();
            stream.is_unproven = false;
            let (before, from) = (stream.parent, stream.window.first_lacking());
            if let Some(before) = before {
                self.subscribe(now, id, before.link, from, out);
            } else if self.take_over(now, id, Some(lost), out) {
                return true;
            }
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return true;
        };
        let (parent, next, order) = (stream.parent, stream.next, stream.order);
        if parent.map(|p| p.peer) != Some(lost.peer) {
            self.tell_parent(id, parent, out);
        }
        if next.is_none() {
            let reason = short(reason);
            let message = FromPeer::ParentLost {
                stream: id,
                parent: lost.peer,
                order,
                reason,
            };
            self.tell(&message, out);
        }
        true
    }

    pub(super) fn refused(
        &mut self,
        now: Time,
        link: LinkId,
        id: StreamId,
        reason: &str,
        out: &mut Vec<Output>,
    ) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.refusals.retain(|_, until| *until > now);
            stream.refusals.insert(link, now + REFUSED_FOR);
        }
        self.lose_upstream(now, id, link, reason, out);
    }

    pub(super) fn ended_above(
        &mut self,
        now: Time,
        link: LinkId,
        id: StreamId,
        out: &mut Vec<Output>,
    ) {
        // Only the supervisor's word ends a stream: a parent may err, or lie.
        self.refused(
            now,
            link,
            id,
            "the parent says that the stream has ended",
            out,
        );
    }

    pub(super) fn path_came(
        &mut self,
        now: Time,
        link: LinkId,
        handle: StreamHandle,
        path: Vec<PeerId>,
        out: &mut Vec<Output>,
    ) {
        let me = self.config.peer;
        let leads_to_us = |s: &&mut Stream| {
            let mut upstreams = [s.parent, s.next].into_iter().flatten();
            s.handle() == handle && upstreams.any(|upstream| upstream.link == link)
        };
        let Some(stream) = self.streams.values_mut().find(leads_to_us) else {
            return; // where the one before stands says nothing of us
        };
        let id = stream.id;
        if path.contains(&me) || path.len() >= MAX_PATH {
            stream.refusals.insert(link, now + REFUSED_FOR);
            self.say(now, link, &Control::Unsubscribe { stream: id }, out);
            self.lose_upstream(
                now,
                id,
                link,
                "its way to the root leads through this peer",
                out,
            );
            return;
        }
        let mut path = path;
        path.push(me);
        if stream.path != path {
            stream.path = path.clone();
            let children: Vec<LinkId> = stream.children.keys().copied().collect();
            for child in children {
                self.say(
                    now,
                    child,
                    &Control::RootPath {
                        handle,
                        path: path.clone(),
                    },
                    out,
                );
            }
        }
        self.settle_early_children(now, id, out);
    }
}
