//! The register of streams: offered, announced, away, ended.

use crate::id::{Fingerprint, PeerId, StreamId};
use crate::media::MAX_TRACKS;
use crate::signal::{Access, Component, Refusal, Registration, Report, StreamInfo, ToPeer};
use crate::time::{ClockMap, Time};

use super::deadlines::Deadline;
use super::happenings::What;
use super::history::History;
use super::keys::NumberedKey;
use super::totals::Totals;
use super::{ANNOUNCE_PAUSE, BARRED, Output, STREAM_GRACE, StreamManager};

/// Streams in one `STREAMS`: 40 KB, below the longest text.
const LISTED_AT_ONCE: usize = 100;
/// 2020-01-01, seconds since 1970. Epochs count seconds from then, so that a supervisor which has forgotten
/// the last one still issues a greater one; 32 bits last until 2156.
const EPOCHS_BEGIN: i64 = 1_577_836_800;

/// A registered stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) info: StreamInfo,
    /// When it was first registered.
    pub(super) since: Time,
    /// What was counted since.
    pub(super) totals: Totals,
    /// Its last minutes.
    pub(super) history: History,
    /// How its broadcaster fared last.
    pub(super) report: Option<Report>,
    /// The stream is bound to whoever shows this DTLS certificate, where nobody proves a key.
    owner: Fingerprint,
    pub(super) key: Option<NumberedKey>,
    pub(super) broadcaster: PeerId,
    pub(super) epoch: u32,
    pub(super) clock: Option<ClockMap>,
    clock_told: Time,
    announced: Option<Time>,
}

impl Stream {
    /// Who may watch it.
    pub(super) const fn access(&self) -> Access {
        self.info.access
    }

    /// Whether its broadcaster is connected.
    pub(super) const fn is_live(&self) -> bool {
        self.info.live
    }
}

impl StreamManager {
    pub(super) fn register(&mut self, peer: PeerId, offer: Registration) {
        if let Err((refusal, words)) = self.check(peer, &offer) {
            return self.send(
                peer,
                ToPeer::StreamRefused {
                    stream: offer.stream,
                    refusal,
                    words,
                },
            );
        }
        let stream = offer.stream;
        let epoch = self.next_epoch(stream, offer.running_epoch);
        let running_key = offer.running_key;
        if let Some(key) = self.key_of(peer)
            && self.owner(stream).is_none()
        {
            self.own(stream, key, offer.name.trim(), offer.access);
        }
        if self.last_epoch(stream) < epoch {
            self.config.epochs.insert(stream, epoch);
            self.outbox.push(Output::KeepEpoch(stream, epoch));
        }
        if self.streams.contains_key(&stream) {
            self.resume(peer, offer, epoch);
        } else {
            self.open(peer, offer, epoch);
        }
        self.note(Some(peer), Some(stream), What::OnAir);
        self.deadlines.clear(Deadline::Ended(stream));
        self.register_key(peer, stream, running_key);
        let grant = self.grant(stream, peer, epoch);
        let registered = ToPeer::StreamRegistered {
            stream,
            epoch,
            grant,
        };
        self.send(peer, registered);
        self.announce_at_leisure(stream);
        self.release_held(stream);
    }

    /// The stream's key goes to its broadcaster, ahead of the epoch.
    fn register_key(&mut self, peer: PeerId, stream: StreamId, running: Option<u8>) {
        let fresh = self.streams.get(&stream).is_some_and(|s| s.key.is_none());
        if fresh {
            let key = self.first_key(stream, running);
            if let Some(known) = self.streams.get_mut(&stream) {
                known.key = key;
            }
        }
        self.give_key(peer, stream);
    }

    fn check(&self, peer: PeerId, offer: &Registration) -> Result<(), (Refusal, String)> {
        let refused = |refusal, words: &str| Err((refusal, words.to_owned()));
        let Some(info) = self.peers.get(&peer).map(|known| &known.info) else {
            return refused(Refusal::NotAllowed, "unknown peer");
        };
        let name = offer.name.trim();
        match self.streams.get(&offer.stream) {
            _ if self.barred.contains_key(&offer.stream) => refused(Refusal::NotAllowed, BARRED),
            _ if info.component != Component::Broadcaster => {
                refused(Refusal::NotAllowed, "only a broadcaster offers streams")
            }
            _ if name.is_empty() || name.contains(char::is_control) => refused(
                Refusal::NotAllowed,
                "a stream needs a name, of letters and not of control characters",
            ),
            _ if offer.tracks.is_empty() || offer.tracks.len() > MAX_TRACKS => refused(
                Refusal::NotAllowed,
                &format!("a stream has 1 to {MAX_TRACKS} tracks"),
            ),
            _ if self
                .names
                .get(name)
                .is_some_and(|&taken| taken != offer.stream) =>
            {
                refused(
                    Refusal::StreamTaken,
                    &format!("another stream is called {name:?} already"),
                )
            }
            _ if self
                .owner(offer.stream)
                .is_some_and(|owner| Some(owner) != self.key_of(peer)) =>
            {
                refused(
                    Refusal::StreamTaken,
                    "this stream belongs to another broadcaster",
                )
            }
            Some(known) if self.config.security.is_none() && known.owner != info.fingerprint => {
                refused(
                    Refusal::StreamTaken,
                    "this stream belongs to another broadcaster",
                )
            }
            Some(_) => Ok(()),
            None => self.check_number(peer),
        }
    }

    fn check_number(&self, peer: PeerId) -> Result<(), (Refusal, String)> {
        let limits = &self.config.limits;
        let own = self.forest.streams_of(peer).count();
        if own >= limits.streams_per_broadcaster || self.streams.len() >= limits.streams {
            let words = format!(
                "a broadcaster may have {} streams, a supervisor {}",
                limits.streams_per_broadcaster, limits.streams
            );
            return Err((Refusal::TooMany, words));
        }
        Ok(())
    }

    /// The epoch that runs goes on, unless a later one was issued since.
    fn next_epoch(&self, stream: StreamId, running: Option<u32>) -> u32 {
        let last = self.last_epoch(stream);
        let seconds = self.wall_us() / 1_000_000 - EPOCHS_BEGIN;
        let fresh = u32::try_from(seconds)
            .unwrap_or(0)
            .max(last.saturating_add(1));
        // An epoch that nobody can have issued yet is not believed: the next one would have no number left.
        running
            .filter(|&running| running >= last && running <= fresh)
            .unwrap_or(fresh)
    }

    /// The last epoch that was issued; 0 is before all.
    fn last_epoch(&self, stream: StreamId) -> u32 {
        self.config.epochs.get(&stream).copied().unwrap_or(0)
    }

    fn open(&mut self, peer: PeerId, offer: Registration, epoch: u32) {
        let stream = offer.stream;
        let kind = offer.topology.unwrap_or(self.config.topology);
        let Some(owner) = self.peers.get(&peer).map(|known| known.info.fingerprint) else {
            return;
        };
        self.forest.add_stream(stream, kind, offer.kbps, peer);
        self.names.insert(offer.name.trim().to_owned(), stream);
        let known = Stream {
            info: info_of(offer),
            since: self.now,
            totals: Totals::default(),
            history: History::new(self.now),
            report: None,
            owner,
            key: None,
            broadcaster: peer,
            epoch,
            clock: None,
            clock_told: Time::ZERO,
            announced: None,
        };
        self.streams.insert(stream, known);
    }

    /// The broadcaster is back, perhaps under another PeerID: then its children are given that one as parent.
    fn resume(&mut self, peer: PeerId, offer: Registration, epoch: u32) {
        let stream = offer.stream;
        let Some(known) = self.streams.get_mut(&stream) else {
            return;
        };
        self.names.remove(&known.info.name);
        self.names.insert(offer.name.trim().to_owned(), stream);
        self.forest.set_rate(stream, offer.kbps);
        if known.epoch != epoch {
            known.clock = None;
        }
        (known.info, known.epoch, known.broadcaster) = (info_of(offer), epoch, peer);
        self.change_forest(|forest, out| forest.replace_root(stream, peer, out));
    }

    /// A broadcaster's socket is closed: its streams go on without it for a while.
    pub(super) fn broadcaster_away(&mut self, peer: PeerId) {
        let own = self.forest.streams_of(peer).filter(|stream| {
            self.streams
                .get(stream)
                .is_some_and(|known| known.broadcaster == peer && known.is_live())
        });
        for stream in own.collect::<Vec<_>>() {
            if let Some(known) = self.streams.get_mut(&stream) {
                known.info.live = false;
            }
            self.note(Some(peer), Some(stream), What::BroadcasterAway);
            self.deadlines
                .set(Deadline::Ended(stream), self.now + STREAM_GRACE);
            self.announce(stream);
        }
    }

    pub(super) fn end_own_stream(&mut self, peer: PeerId, stream: StreamId) {
        match self.streams.get(&stream) {
            Some(known) if known.broadcaster == peer => self.end_stream(stream),
            _ => self.refuse_stream(
                peer,
                stream,
                Refusal::NotAllowed,
                "only its broadcaster ends a stream",
            ),
        }
    }

    /// A stream is gone for good: those who list streams and those who were in it are told.
    pub(super) fn end_stream(&mut self, stream: StreamId) {
        let Some(known) = self.streams.remove(&stream) else {
            return;
        };
        self.note(Some(known.broadcaster), Some(stream), What::Ended);
        self.names.remove(&known.info.name);
        self.held_back.remove(&stream);
        for deadline in [
            Deadline::HeldBack(stream),
            Deadline::Ended(stream),
            Deadline::Announce(stream),
            Deadline::Clock(stream),
            Deadline::Balance(stream),
        ] {
            self.deadlines.clear(deadline);
        }
        let mut told = self.listeners.clone();
        let mut members = Vec::new();
        self.change_forest(|forest, out| members = forest.end_stream(stream, out));
        for &member in &members {
            self.forget_place(member, stream);
        }
        told.extend(
            members
                .into_iter()
                .filter(|&member| member != known.broadcaster),
        );
        for peer in told {
            self.send(peer, ToPeer::StreamEnded { stream });
        }
    }

    pub(super) fn list(&mut self, peer: PeerId) {
        self.listeners.insert(peer);
        let mut rest: Vec<_> = self
            .streams
            .keys()
            .filter_map(|&stream| self.info(stream))
            .collect();
        let mut more = false;
        while !rest.is_empty() || !more {
            let later = rest.split_off(rest.len().min(LISTED_AT_ONCE));
            let streams = std::mem::replace(&mut rest, later);
            self.send(peer, ToPeer::Streams { streams, more });
            more = true;
        }
    }

    fn info(&self, stream: StreamId) -> Option<StreamInfo> {
        Some(StreamInfo {
            viewers: self.forest.viewers(stream),
            ..self.streams.get(&stream)?.info.clone()
        })
    }

    /// Tells everybody who listens how the stream is now, or soon if they were told just before: a broadcaster
    /// that registers again and again fills nobody's queue.
    fn announce_at_leisure(&mut self, stream: StreamId) {
        let told = self.streams.get(&stream).and_then(|known| known.announced);
        match told.map(|told| told + ANNOUNCE_PAUSE) {
            Some(next) if next > self.now => {
                self.deadlines.set_once(Deadline::Announce(stream), next)
            }
            _ => self.announce(stream),
        }
    }

    /// Tells everybody who listens how the stream is now.
    pub(super) fn announce(&mut self, stream: StreamId) {
        let Some(info) = self.info(stream) else {
            return;
        };
        self.deadlines.clear(Deadline::Announce(stream));
        if let Some(known) = self.streams.get_mut(&stream) {
            known.info.viewers = info.viewers;
            known.announced = Some(self.now);
        }
        for peer in self.listeners.clone() {
            self.send(peer, ToPeer::StreamAnnounced { info: info.clone() });
        }
    }

    /// The viewers may have changed in number: announced soon, with what else changes until then.
    pub(super) fn note_viewers(&mut self, stream: StreamId) {
        let Some(known) = self.streams.get(&stream) else {
            return;
        };
        if known.info.viewers != self.forest.viewers(stream) {
            self.deadlines
                .set_once(Deadline::Announce(stream), self.now + ANNOUNCE_PAUSE);
        }
    }

    pub(super) fn stream_clock(&mut self, peer: PeerId, stream: StreamId, clock: ClockMap) {
        let now = self.now;
        let Some(known) = self
            .streams
            .get_mut(&stream)
            .filter(|known| known.broadcaster == peer)
        else {
            return self.refuse_stream(
                peer,
                stream,
                Refusal::NotAllowed,
                "only its broadcaster sets a stream's clock",
            );
        };
        let next = if known.clock.is_some() {
            known.clock_told + ANNOUNCE_PAUSE
        } else {
            now
        };
        known.clock = Some(clock);
        if next <= now {
            self.tell_clock(stream);
        } else {
            self.deadlines.set_once(Deadline::Clock(stream), next);
        }
    }

    pub(super) fn tell_clock(&mut self, stream: StreamId) {
        let Some(known) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(clock) = known.clock else { return };
        known.clock_told = self.now;
        let broadcaster = known.broadcaster;
        let members: Vec<_> = self
            .forest
            .graph(stream)
            .into_iter()
            .flat_map(|graph| graph.iter())
            .collect();
        let members: Vec<_> = members
            .into_iter()
            .map(|(peer, _)| peer)
            .filter(|&peer| peer != broadcaster)
            .collect();
        for peer in members {
            self.send(peer, ToPeer::StreamClock { stream, clock });
        }
    }

    pub(super) fn refuse_stream(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        refusal: Refusal,
        words: &str,
    ) {
        self.send(
            peer,
            ToPeer::StreamRefused {
                stream,
                refusal,
                words: words.to_owned(),
            },
        );
    }
}

fn info_of(offer: Registration) -> StreamInfo {
    StreamInfo {
        stream: offer.stream,
        name: offer.name.trim().to_owned(),
        tracks: offer.tracks,
        kbps: offer.kbps,
        access: offer.access,
        live: true,
        viewers: 0,
        allow_failures: offer.allow_failures,
    }
}
