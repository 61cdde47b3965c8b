//! Epochs and chunks on their way through the peer.

use std::collections::BTreeMap;

use super::children::skipped_message;
use super::streams::Role;
use super::{Event, Node, Output};
use crate::chunk::Chunk;
use crate::forwarder::Gap;
use crate::id::{LinkId, StreamHandle, StreamId};
use crate::security::grant::{Grant, SignedDescriptor};
use crate::security::otdp::GroupId;
use crate::security::otdp::verifier::{Flaw, Verdict, Verifier};
use crate::security::secret::StreamKey;
use crate::signal::FromPeer;
use crate::time::{ClockMap, Time};
use crate::wire::{Beat, Control, MAX_STREAMS, short};

/// Keys kept; as many as the verifier keeps.
const MAX_KEYS: usize = 4;

impl Node {
    pub(super) fn epoch_came(
        &mut self,
        now: Time,
        link: LinkId,
        signed: SignedDescriptor,
        out: &mut Vec<Output>,
    ) {
        let (id, epoch) = (signed.descriptor.stream, signed.descriptor.epoch);
        let Some(stream) = self.streams.get(&id).filter(|s| s.is_fed_by(link)) else {
            return; // from a parent we have just left
        };
        let known = stream.epoch().is_some_and(|running| running >= epoch);
        if known || epoch < stream.least_epoch {
            return self.came_from(now, id, link, false, out); // it has not heard of the new one yet, or we have it
        }
        let grant = match self
            .papers
            .authority()
            .map(|a| signed.check(&a))
            .transpose()
        {
            Ok(grant) => grant,
            Err(error) => {
                let reason = error.to_string();
                self.accuse(now, id, link, &reason, out);
                return self.expel(now, link, &reason, out);
            }
        };
        self.came_from(now, id, link, false, out);
        self.begin_epoch(now, signed, grant, out);
    }

    /// `grant`: whose chunks these are to be, where chunks are sealed and not our own.
    pub(super) fn begin_epoch(
        &mut self,
        now: Time,
        signed: SignedDescriptor,
        grant: Option<Grant>,
        out: &mut Vec<Output>,
    ) {
        let id = signed.descriptor.stream;
        let verifier = grant.and_then(|grant| self.verifier(&grant));
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream
            .epoch()
            .is_some_and(|running| running >= signed.descriptor.epoch)
        {
            return;
        }
        stream.descriptor = Some(signed.clone());
        (stream.fed, stream.probe) = (BTreeMap::new(), None); // it may have other tracks
        stream.verifier = verifier;
        for (key_id, key) in &stream.keys {
            if let Some(verifier) = &mut stream.verifier {
                verifier.add_key(*key_id, key.clone());
            }
        }
        let children: Vec<LinkId> = stream.children.keys().copied().collect();
        for child in children {
            self.say(now, child, &Control::Epoch(signed.clone()), out);
        }
        out.push(Output::Event(Event::Epoch(signed.descriptor)));
        self.take_early(now, id, out);
    }

    fn verifier(&self, grant: &Grant) -> Option<Verifier> {
        let threshold = self.config.security.as_ref()?.threshold;
        Some(Verifier::new(grant.signer, threshold, self.config.seed))
    }

    /// What came too early to be checked may not be so any more.
    fn take_early(&mut self, now: Time, id: StreamId, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        for (link, chunk) in std::mem::take(&mut stream.early) {
            self.take_chunk(now, id, link, chunk, out);
        }
    }

    /// A stream's key is here.
    pub(super) fn key_opened(
        &mut self,
        now: Time,
        id: StreamId,
        key_id: u8,
        key: StreamKey,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.keys.retain(|(known, _)| *known != key_id);
        stream.keys.push((key_id, key.clone()));
        if stream.keys.len() > MAX_KEYS {
            stream.keys.remove(0);
        }
        if stream.is_ours() {
            out.push(Output::Event(Event::StreamKey(id, key_id, key)));
            if let Some((epoch, grant)) = stream.registered.take() {
                out.push(Output::Event(Event::Registered(id, epoch, grant)));
            }
            return;
        }
        if let Some(verifier) = &mut stream.verifier {
            verifier.add_key(key_id, key);
        }
        self.take_early(now, id, out);
    }

    pub(super) fn chunk_came(
        &mut self,
        now: Time,
        link: LinkId,
        chunk: Chunk,
        out: &mut Vec<Output>,
    ) {
        self.parent_starves(now, link, &chunk, out);
        let handle = chunk.header().handle;
        let fed = self
            .streams
            .values()
            .find(|s| s.handle() == handle && s.is_fed_by(link));
        let Some(id) = fed.map(|s| s.id) else {
            if let Some(id) = self.mends(link, &chunk) {
                return self.take_chunk(now, id, link, chunk, out);
            }
            // What is still under way from a parent we have just left, or of a stream, is nobody's fault.
            let asked = self.links.get(&link).is_none_or(|l| l.may_bring(handle));
            if !asked {
                let reason = "chunks of a stream that it was never asked for";
                self.expel(now, link, reason, out);
            }
            return;
        };
        self.came_from(now, id, link, true, out);
        self.take_chunk(now, id, link, chunk, out);
    }

    pub(super) fn take_chunk(
        &mut self,
        now: Time,
        id: StreamId,
        link: LinkId,
        chunk: Chunk,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let known = stream.epoch();
        let epoch = chunk.header().position.epoch;
        if known.is_none_or(|known| epoch > known) {
            return stream.hold(link, chunk);
        }
        if known.is_some_and(|known| epoch < known) {
            return;
        }
        stream.bytes_down += chunk.message().len() as u64;
        let Some(verifier) = &mut stream.verifier else {
            return self.keep(now, id, chunk, true, out);
        };
        let mut verdicts = Vec::new();
        verifier.take(now, link, chunk, &mut verdicts);
        self.judge(now, id, verdicts, out);
    }

    /// Does what the verifier found.
    pub(super) fn judge(
        &mut self,
        now: Time,
        id: StreamId,
        verdicts: Vec<Verdict>,
        out: &mut Vec<Output>,
    ) {
        for verdict in verdicts {
            match verdict {
                Verdict::Forward(chunk) => self.keep(now, id, chunk, false, out),
                Verdict::Proven { chunks, .. } => self.play(id, chunks, out),
                Verdict::Bad { from, group, why } => self.taint(now, id, from, group, why, out),
                Verdict::NeedKey { from, chunk } => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.hold(from, chunk);
                    }
                }
                // Repair from a backup parent is what helps against doubt.
                Verdict::Doubt(_) => {}
            }
        }
    }

    /// Keeps a chunk that may be passed on, and passes it on. `plays`: nothing more has to be known of it.
    fn keep(&mut self, now: Time, id: StreamId, chunk: Chunk, plays: bool, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.window.put(&chunk) {
            return;
        }
        self.note_holes(now, id, &chunk);
        // Children first: what they wait for must not wait for our own player.
        self.forward(now, id, &chunk, out);
        if plays {
            self.play(id, vec![chunk], out);
        }
    }

    fn play(&self, id: StreamId, chunks: Vec<Chunk>, out: &mut Vec<Output>) {
        if self
            .streams
            .get(&id)
            .is_some_and(|s| matches!(s.role, Role::Watched))
        {
            out.extend(
                chunks
                    .into_iter()
                    .map(|chunk| Output::Event(Event::Chunk(id, chunk))),
            );
        }
    }

    /// Something was forged or altered: it is thrown away, and so is the link it came by.
    fn taint(
        &mut self,
        now: Time,
        id: StreamId,
        from: Option<LinkId>,
        group: GroupId,
        why: Flaw,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let GroupId {
            track, rendition, ..
        } = group;
        stream
            .window
            .remove(track, rendition, group.from(), group.to());
        if let Some(verifier) = &mut stream.verifier {
            verifier.taint(track, rendition, group.from(), group.to());
        }
        let Some(link) = from.filter(|link| self.links.contains_key(link)) else {
            return;
        };
        let reason = why.to_string();
        self.accuse(now, id, link, &reason, out);
        self.expel(now, link, &reason, out);
    }

    /// Tells the supervisor what a parent did. It decides; one voice is none.
    fn accuse(
        &self,
        _now: Time,
        stream: StreamId,
        link: LinkId,
        what: &str,
        out: &mut Vec<Output>,
    ) {
        let Some(parent) = self.links.get(&link).map(|link| link.peer) else {
            return;
        };
        let what = short(what);
        self.tell(
            &FromPeer::Accuse {
                stream,
                parent,
                what,
            },
            out,
        );
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
