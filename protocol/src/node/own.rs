//! Streams of the peer's own: what a broadcaster puts in.

use bytes::Bytes;

use super::streams::{Role, Stream};
use super::{Event, Node, Output};
use crate::chunk::{Chunk, MAX_MESSAGE};
use crate::id::StreamId;
use crate::security::grant::SignedDescriptor;
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
        let running_key = self.streams.get(&id).and_then(Stream::running_key);
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
                running_key,
                ..registration
            }),
            out,
        );
    }

    pub(super) fn registered(
        &mut self,
        id: StreamId,
        epoch: u32,
        grant: Bytes,
        out: &mut Vec<Output>,
    ) {
        let is_sealed = self.config.security.is_some();
        let Some(stream) = self.streams.get_mut(&id).filter(|s| s.is_ours()) else {
            return;
        };
        if stream.epoch().is_none_or(|running| running < epoch) {
            if is_sealed && stream.keys.is_empty() {
                stream.registered = Some((epoch, grant)); // RSA takes its time: nothing can be sent before
            } else {
                out.push(Output::Event(Event::Registered(id, epoch, grant)));
            }
        }
        self.tell_own_clock(out);
    }

    pub(super) fn start_epoch(
        &mut self,
        now: Time,
        signed: SignedDescriptor,
        out: &mut Vec<Output>,
    ) {
        if self
            .streams
            .get(&signed.descriptor.stream)
            .is_some_and(Stream::is_ours)
        {
            self.begin_epoch(now, signed, None, out);
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
