//! Epochs and chunks on their way through the peer.

use super::children::skipped_message;
use super::streams::Role;
use super::{Event, Node, Output};
use crate::chunk::Chunk;
use crate::forwarder::Gap;
use crate::id::{LinkId, StreamHandle, StreamId};
use crate::media::Descriptor;
use crate::time::{ClockMap, Time};
use crate::wire::Control;
use crate::wire::{Beat, MAX_STREAMS};

/// Chunks that may overtake their epoch's descriptor, which comes on the other channel. Guess: two seconds.
const MAX_EARLY: usize = 512;

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

    pub(super) fn begin_epoch(&mut self, now: Time, descriptor: Descriptor, out: &mut Vec<Output>) {
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

    pub(super) fn take_chunk(
        &mut self,
        now: Time,
        id: StreamId,
        chunk: Chunk,
        out: &mut Vec<Output>,
    ) {
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
