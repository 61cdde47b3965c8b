//! The peer's part in each stream: who feeds it, what it keeps, whom it feeds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Event, Node, Output, StreamStats};
use crate::chunk::{Chunk, MAX_MESSAGE};
use crate::forwarder::{Gap, Mailbox};
use crate::id::{LinkId, PeerId, StreamHandle, StreamId};
use crate::link::Phase;
use crate::media::Descriptor;
use crate::signal::{Component, FromPeer, Neighbour, Order, Registration, Report};
use crate::time::{ClockMap, Time};
use crate::wire::{Beat, Control, MAX_PATH, MAX_STREAMS, TrackPosition, short};

/// A subscription may overtake the supervisor's word that it will come; it waits this long for it. Guess.
const EXPECT_WAIT: Duration = Duration::from_secs(2);
/// A child that the supervisor moved elsewhere is fed this long, so that it can make before it breaks. Guess.
const DROP_GRACE: Duration = Duration::from_secs(5);
/// A peer that waits for a parent asks again this often: the supervisor may have forgotten it.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Chunks that may overtake their epoch's descriptor, which comes on the other channel. Guess: two seconds.
const MAX_EARLY: usize = 512;

/// Why we have a part in a stream.
#[derive(Debug)]
enum Role {
    Published(Registration),
    Watched,
    Relayed,
}

/// A parent, or one to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Upstream {
    peer: PeerId,
    link: LinkId,
}

#[derive(Debug)]
struct Child {
    peer: PeerId,
    mailbox: Mailbox,
    /// The supervisor moved it; it is fed no longer than this.
    until: Option<Time>,
}

/// A subscription nobody has announced yet.
#[derive(Debug)]
struct Early {
    link: LinkId,
    from: Vec<TrackPosition>,
    until: Time,
}

/// Our part in one stream.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    role: Role,
    descriptor: Option<Descriptor>,
    clock: Option<ClockMap>,
    window: super::super::window::Window,
    early: VecDeque<Chunk>,
    parent: Option<Upstream>,
    /// The parent to be: takes over with the first thing it sends (make before break).
    next: Option<Upstream>,
    order: Order,
    asked: Time,
    path: Vec<PeerId>,
    children: BTreeMap<LinkId, Child>,
    expected: BTreeMap<PeerId, Neighbour>,
    early_children: Vec<Early>,
    viewing: Report,
    bytes_down: u64,
    bytes_up: u64,
    skips_of_the_gone: u64,
    reported: (u64, u64),
}

impl Stream {
    fn new(id: StreamId, role: Role, now: Time) -> Self {
        Self {
            id,
            role,
            descriptor: None,
            clock: None,
            window: super::super::window::Window::default(),
            early: VecDeque::new(),
            parent: None,
            next: None,
            order: Order::default(),
            asked: now,
            path: Vec::new(),
            children: BTreeMap::new(),
            expected: BTreeMap::new(),
            early_children: Vec::new(),
            viewing: Report::default(),
            bytes_down: 0,
            bytes_up: 0,
            skips_of_the_gone: 0,
            reported: (0, 0),
        }
    }

    fn handle(&self) -> StreamHandle {
        self.id.handle()
    }

    const fn is_ours(&self) -> bool {
        matches!(self.role, Role::Published(_))
    }

    pub(super) fn epoch(&self) -> Option<u32> {
        self.descriptor.as_ref().map(|d| d.epoch)
    }

    pub(super) fn is_fed_by(&self, link: LinkId) -> bool {
        [self.parent, self.next]
            .iter()
            .flatten()
            .any(|u| u.link == link)
    }

    pub(super) fn feeds(&self, link: LinkId) -> bool {
        self.children.contains_key(&link)
    }

    pub(super) fn stats(&self) -> StreamStats {
        StreamStats {
            parent: self.parent.map(|p| p.peer),
            depth: u16::try_from(self.path.len().saturating_sub(1)).unwrap_or(u16::MAX),
            children: u16::try_from(self.children.len()).unwrap_or(u16::MAX),
            bytes_down: self.bytes_down,
            bytes_up: self.bytes_up,
            window_bytes: self.window.bytes(),
            skips: self.skips_of_the_gone
                + self
                    .children
                    .values()
                    .map(|c| c.mailbox.skips())
                    .sum::<u64>(),
        }
    }

    /// What a supervisor has to be told that may know nothing.
    pub(super) fn standing(&self) -> Option<FromPeer> {
        match &self.role {
            Role::Published(registration) => {
                let running_epoch = self.descriptor.as_ref().map(|d| d.epoch);
                Some(FromPeer::RegisterStream(Registration {
                    running_epoch,
                    ..registration.clone()
                }))
            }
            Role::Relayed if self.parent.is_none() && self.children.is_empty() => None,
            Role::Watched | Role::Relayed => Some(FromPeer::Join {
                stream: self.id,
                parent: self.parent.map(|p| p.peer),
            }),
        }
    }

    fn wants_a_parent(&self) -> bool {
        !self.is_ours() && self.parent.is_none() && self.next.is_none()
    }

    pub(super) fn next_wakeup(&self) -> Time {
        let ask = if self.wants_a_parent() {
            self.asked + ASK_AGAIN
        } else {
            Time::NEVER
        };
        let drops = self.children.values().filter_map(|c| c.until);
        let early = self.early_children.iter().map(|e| e.until);
        drops.chain(early).chain([ask]).min().unwrap_or(Time::NEVER)
    }

    fn remove_child(&mut self, link: LinkId) -> bool {
        let Some(child) = self.children.remove(&link) else {
            return false;
        };
        self.skips_of_the_gone += child.mailbox.skips();
        true
    }

    fn detail(&self, link: LinkId) -> Option<Upstream> {
        [self.parent, self.next]
            .into_iter()
            .flatten()
            .find(|u| u.link == link)
    }
}

/// Joining, leaving, and the parent.
impl Node {
    pub(super) fn watch(&mut self, now: Time, id: StreamId, out: &mut Vec<Output>) {
        if self.streams.contains_key(&id) {
            return;
        }
        self.streams.insert(id, Stream::new(id, Role::Watched, now));
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
        for upstream in [stream.parent, stream.next].into_iter().flatten() {
            self.say(
                now,
                upstream.link,
                &Control::Unsubscribe { stream: id },
                out,
            );
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

    fn move_to(&mut self, now: Time, id: StreamId, parent: &Neighbour, out: &mut Vec<Output>) {
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
        }
        if let Some(abandoned) = abandoned {
            self.say(
                now,
                abandoned.link,
                &Control::Unsubscribe { stream: id },
                out,
            );
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
        for (stream, from) in waiting {
            self.say(now, link, &Control::Subscribe { stream, from }, out);
        }
    }

    /// Something of the stream came over `link`: if that is the parent to be, it is the parent now.
    fn came_from(&mut self, now: Time, id: StreamId, link: LinkId, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.next.is_none_or(|n| n.link != link) {
            return;
        }
        let old = stream.parent.take();
        stream.parent = stream.next.take();
        out.push(Output::Event(Event::Parent(
            id,
            stream.parent.map(|p| p.peer),
        )));
        if let Some(old) = old.filter(|o| o.link != link) {
            self.say(now, old.link, &Control::Unsubscribe { stream: id }, out);
        }
    }

    /// What `link` was to the stream it is no longer. Says whether it was anything.
    pub(super) fn lose_link(
        &mut self,
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
        self.lose_upstream(id, link, reason, out) || fed
    }

    fn lose_upstream(
        &mut self,
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
        if stream.parent == Some(lost) {
            stream.parent = None;
            out.push(Output::Event(Event::Parent(id, None)));
        }
        if stream.next.is_none() {
            let (order, reason) = (stream.order, short(reason));
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
        let _ = now;
        self.lose_upstream(id, link, reason, out);
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
        let Some(stream) = self
            .streams
            .values_mut()
            .find(|s| s.handle() == handle && s.is_fed_by(link))
        else {
            return;
        };
        let id = stream.id;
        if path.contains(&me) || path.len() >= MAX_PATH {
            self.say(now, link, &Control::Unsubscribe { stream: id }, out);
            self.lose_upstream(id, link, "its way to the root leads through this peer", out);
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
    }
}

/// Children.
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
        stream
            .children
            .values_mut()
            .filter(|c| c.peer == child.peer)
            .for_each(|c| c.until = None);
        let of_this_child = |links: &BTreeMap<LinkId, crate::link::Link>, e: &Early| {
            links.get(&e.link).is_some_and(|l| l.peer == child.peer)
        };
        let Some(at) = stream
            .early_children
            .iter()
            .position(|e| of_this_child(&self.links, e))
        else {
            return;
        };
        let early = stream.early_children.swap_remove(at);
        self.attach(now, early.link, id, &early.from, out);
    }

    pub(super) fn drop_child(&mut self, now: Time, id: StreamId, child: PeerId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.expected.remove(&child);
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
        if stream.path.contains(&peer) {
            return self.say(
                now,
                link,
                &refuse("the way to the root leads through the subscriber"),
                out,
            );
        }
        if stream.expected.contains_key(&peer) {
            return self.attach(now, link, id, &from, out);
        }
        if stream.early_children.len() < MAX_STREAMS {
            stream.early_children.retain(|e| e.link != link);
            stream.early_children.push(Early {
                link,
                from,
                until: now + EXPECT_WAIT,
            });
        }
    }

    fn attach(
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
        let held = if from.is_empty() {
            stream.window.from_newest_start()
        } else {
            stream.window.from_positions(from)
        };
        let child = Child {
            peer,
            mailbox: Mailbox::starting_with(held),
            until: None,
        };
        stream.children.insert(link, child);
        let (handle, path) = (stream.handle(), stream.path.clone());
        if let Some(descriptor) = stream.descriptor.clone() {
            self.say(now, link, &Control::Epoch(descriptor), out);
        }
        if !path.is_empty() {
            self.say(now, link, &Control::RootPath { handle, path }, out);
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

    fn empty_mailbox(&mut self, now: Time, id: StreamId, link: LinkId, out: &mut Vec<Output>) {
        while self.links.get(&link).is_some_and(|l| l.flow.is_open()) {
            let Some(stream) = self.streams.get_mut(&id) else {
                return;
            };
            let Some(chunk) = stream.children.get_mut(&link).and_then(|c| c.mailbox.pop()) else {
                return;
            };
            stream.bytes_up += chunk.message().len() as u64;
            self.send_media(now, link, &chunk, out);
        }
    }

    /// Passes a chunk on to every child.
    fn forward(&mut self, now: Time, id: StreamId, chunk: &Chunk, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let handle = stream.handle();
        let mut told = Vec::new();
        for (&link, child) in &mut stream.children {
            told.push((link, child.mailbox.push(chunk)));
        }
        for (link, gap) in told {
            if let Some(gap) = gap {
                self.say(now, link, &skipped_message(handle, &gap), out);
            }
            self.empty_mailbox(now, id, link, out);
        }
    }
}

fn skipped_message(handle: StreamHandle, gap: &Gap) -> Control {
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

/// Media.
impl Node {
    pub(super) fn epoch_came(
        &mut self,
        now: Time,
        link: LinkId,
        descriptor: Descriptor,
        out: &mut Vec<Output>,
    ) {
        let id = descriptor.stream;
        if !self.streams.get(&id).is_some_and(|s| s.is_fed_by(link)) {
            return; // from a parent we have just left
        }
        self.came_from(now, id, link, out);
        self.begin_epoch(now, descriptor, out);
    }

    fn begin_epoch(&mut self, now: Time, descriptor: Descriptor, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&descriptor.stream) else {
            return;
        };
        if stream
            .descriptor
            .as_ref()
            .is_some_and(|d| d.epoch >= descriptor.epoch)
        {
            return;
        }
        stream.descriptor = Some(descriptor.clone());
        let children: Vec<LinkId> = stream.children.keys().copied().collect();
        let early: Vec<Chunk> = stream.early.drain(..).collect();
        for child in children {
            self.say(now, child, &Control::Epoch(descriptor.clone()), out);
        }
        let id = descriptor.stream;
        out.push(Output::Event(Event::Epoch(descriptor)));
        for chunk in early {
            self.take_chunk(now, id, chunk, out);
        }
    }

    pub(super) fn chunk_came(
        &mut self,
        now: Time,
        link: LinkId,
        chunk: Chunk,
        out: &mut Vec<Output>,
    ) {
        let handle = chunk.header().handle;
        let fed = self
            .streams
            .values()
            .find(|s| s.handle() == handle && s.is_fed_by(link));
        // What is still under way from a parent we have just left, or of a stream, is nobody's fault.
        let Some(id) = fed.map(|s| s.id) else { return };
        self.came_from(now, id, link, out);
        self.take_chunk(now, id, chunk, out);
    }

    fn take_chunk(&mut self, now: Time, id: StreamId, chunk: Chunk, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let known = stream.descriptor.as_ref().map(|d| d.epoch);
        let epoch = chunk.header().position.epoch;
        if known.is_none_or(|known| epoch > known) {
            if stream.early.len() >= MAX_EARLY {
                stream.early.pop_front();
            }
            return stream.early.push_back(chunk);
        }
        if known.is_some_and(|known| epoch < known) {
            return;
        }
        stream.bytes_down += chunk.message().len() as u64;
        if !stream.window.insert(&chunk) {
            return;
        }
        let watched = matches!(stream.role, Role::Watched);
        // Children first: what they wait for must not wait for our own player.
        self.forward(now, id, &chunk, out);
        if watched {
            out.push(Output::Event(Event::Chunk(id, chunk)));
        }
    }

    pub(super) fn skipped(
        &mut self,
        now: Time,
        link: LinkId,
        handle: StreamHandle,
        gap: Gap,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self
            .streams
            .values()
            .find(|s| s.handle() == handle && s.is_fed_by(link))
        else {
            return;
        };
        let id = stream.id;
        let children: Vec<LinkId> = stream.children.keys().copied().collect();
        for child in children {
            self.say(now, child, &skipped_message(handle, &gap), out);
        }
        out.push(Output::Event(Event::Skipped(id, gap)));
    }

    pub(super) fn stream_clock(&mut self, id: StreamId, clock: ClockMap, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.clock = Some(clock);
        out.push(Output::Event(Event::StreamClock(id, clock)));
    }

    pub(super) fn beats_for(&self, link: LinkId) -> Vec<Beat> {
        self.streams
            .values()
            .filter(|s| s.feeds(link) || s.is_fed_by(link))
            .take(MAX_STREAMS)
            .map(|s| Beat {
                handle: s.handle(),
                newest: s.window.newest(),
            })
            .collect()
    }
}

/// Streams of our own.
impl Node {
    pub(super) fn published(&self) -> Vec<StreamId> {
        self.streams
            .values()
            .filter(|s| s.is_ours())
            .map(|s| s.id)
            .collect()
    }

    pub(super) fn publish(&mut self, registration: Registration, out: &mut Vec<Output>) {
        let (id, path) = (registration.stream, vec![self.config.peer]);
        // Said again, it asks for a new epoch of a stream whose encoders start again; its children stay.
        let stream = self
            .streams
            .entry(id)
            .or_insert_with(|| Stream::new(id, Role::Watched, Time::ZERO));
        stream.role = Role::Published(registration.clone());
        stream.path = path;
        self.tell(
            &FromPeer::RegisterStream(Registration {
                running_epoch: None,
                ..registration
            }),
            out,
        );
    }

    pub(super) fn registered(&mut self, id: StreamId, epoch: u32, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get(&id).filter(|s| s.is_ours()) else {
            return;
        };
        if stream.descriptor.as_ref().is_none_or(|d| d.epoch < epoch) {
            out.push(Output::Event(Event::Registered(id, epoch)));
        }
        self.tell_own_clock(out);
    }

    pub(super) fn start_epoch(&mut self, now: Time, descriptor: Descriptor, out: &mut Vec<Output>) {
        if self
            .streams
            .get(&descriptor.stream)
            .is_some_and(Stream::is_ours)
        {
            self.begin_epoch(now, descriptor, out);
            self.tell_own_clock(out);
        }
    }

    pub(super) fn own_chunk(&mut self, now: Time, chunk: &Chunk, out: &mut Vec<Output>) {
        debug_assert!(chunk.message().len() <= MAX_MESSAGE);
        let handle = chunk.header().handle;
        let Some(stream) = self
            .streams
            .values_mut()
            .find(|s| s.is_ours() && s.handle() == handle)
        else {
            return;
        };
        let id = stream.id;
        if stream.window.insert(chunk) {
            self.forward(now, id, chunk, out);
        }
    }

    pub(super) fn end_own(&mut self, now: Time, id: StreamId, out: &mut Vec<Output>) {
        if self.streams.get(&id).is_some_and(Stream::is_ours) {
            self.tell(&FromPeer::EndStream { stream: id }, out);
            self.forget(now, id, true, out);
        }
    }
}

/// Reports and deadlines.
impl Node {
    pub(super) fn note_viewing(&mut self, id: StreamId, report: Report) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.viewing = report;
        }
    }

    pub(super) fn report(&mut self, out: &mut Vec<Output>) {
        let seconds = super::REPORT_EVERY.as_secs();
        let mut messages = Vec::new();
        for stream in self.streams.values_mut() {
            let stats = stream.stats();
            let kbps = |now: u64, before: u64| {
                u32::try_from((now - before) * 8 / 1000 / seconds).unwrap_or(u32::MAX)
            };
            let report = Report {
                depth: stats.depth,
                children: stats.children,
                down_kbps: kbps(stats.bytes_down, stream.reported.0),
                up_kbps: kbps(stats.bytes_up, stream.reported.1),
                ..stream.viewing.clone()
            };
            stream.reported = (stats.bytes_down, stats.bytes_up);
            messages.push(FromPeer::Report {
                stream: stream.id,
                report,
            });
        }
        for message in &messages {
            self.tell(message, out);
        }
    }

    pub(super) fn tend_streams(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut messages = Vec::new();
        let mut last_words = Vec::new();
        for stream in self.streams.values_mut() {
            if stream.wants_a_parent() && now >= stream.asked + ASK_AGAIN {
                stream.asked = now;
                messages.extend(stream.standing());
            }
            let id = stream.id;
            let over: Vec<LinkId> = stream
                .children
                .iter()
                .filter(|(_, c)| c.until.is_some_and(|u| now >= u))
                .map(|(&l, _)| l)
                .collect();
            for link in over {
                stream.remove_child(link);
                last_words.push((link, id, "the supervisor gave this child another parent"));
            }
            let (late, waiting) = std::mem::take(&mut stream.early_children)
                .into_iter()
                .partition(|e| now >= e.until);
            stream.early_children = waiting;
            let late: Vec<Early> = late;
            last_words.extend(
                late.iter()
                    .map(|e| (e.link, id, "this child was not announced")),
            );
        }
        messages.iter().for_each(|message| self.tell(message, out));
        for (link, stream, reason) in last_words {
            self.say(
                now,
                link,
                &Control::Refused {
                    stream,
                    reason: reason.into(),
                },
                out,
            );
        }
    }
}
