//! Streams of the peer's own: what a broadcaster puts in.

use super::streams::{Role, Stream};
use super::{Event, Node, Output};
use crate::chunk::{Chunk, MAX_MESSAGE};
use crate::id::StreamId;
use crate::media::Descriptor;
use crate::signal::{FromPeer, Registration};
use crate::time::Time;

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
