//! The peer's links: set up through the supervisor, greeted, kept alive, closed.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::lanes::{MOST_LANES, Sign};
use super::{Event, Input, Node, Output};
use crate::chunk::Chunk;
use crate::forwarder::AfterSend;
use crate::id::{Fingerprint, KeyFingerprint, LinkId, PeerId, StreamId};
use crate::link::{Due, Link, Phase, SILENT, Use};
use crate::signal::{FromPeer, LinkDescription, Neighbour, VERSIONS};
use crate::time::Time;
use crate::wire::{Control, short};

/// Links that one neighbour may have made at a time: each costs a connection, whether it ever opens or not. One and its lanes are
/// all that an honest one has, and another when it lost that without our knowing yet.
const MAX_OFFERED: usize = MOST_LANES as usize + 1;

impl Node {
    /// The link to `neighbour` that there is, or a new one.
    pub(super) fn link_to(
        &mut self,
        now: Time,
        neighbour: &Neighbour,
        out: &mut Vec<Output>,
    ) -> LinkId {
        let there = self
            .links
            .iter()
            .find(|(_, link)| link.peer == neighbour.peer && link.lane_of.is_none());
        if let Some((&id, _)) = there {
            return id;
        }
        let id = self.new_link_id();
        self.links.insert(id, Link::new(now, neighbour, true));
        out.push(Output::Connect(id));
        id
    }

    /// SplitMix64 (Steele, Lea, Flood 2014) of the seed and a counter: distinct for 2^64 links.
    pub(super) fn new_link_id(&mut self) -> LinkId {
        self.made_links += 1;
        let mut z = self
            .config
            .seed
            .wrapping_add(self.made_links.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        LinkId(z ^ (z >> 31))
    }

    pub(super) fn describe(&mut self, id: LinkId, sdp: String, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let description = LinkDescription {
            peer: link.peer,
            link: id,
            body: sdp,
        };
        let message = if link.ours {
            FromPeer::LinkOffer(description)
        } else {
            FromPeer::LinkAnswer(description)
        };
        self.tell(&message, out);
    }

    pub(super) fn tell_candidate(&mut self, id: LinkId, candidate: String, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let description = LinkDescription {
            peer: link.peer,
            link: id,
            body: candidate,
        };
        self.tell(&FromPeer::LinkCandidate(description), out);
    }

    pub(super) fn offered(&mut self, now: Time, offer: LinkDescription, out: &mut Vec<Output>) {
        let refuse = |body: &str| {
            FromPeer::LinkRefused(LinkDescription {
                peer: offer.peer,
                link: offer.link,
                body: body.into(),
            })
        };
        let Some(child) = self.expected(&offer.peer) else {
            return self.tell(&refuse("this peer is not expected here"), out);
        };
        if Fingerprint::from_sdp(&offer.body) != Some(child.fingerprint) {
            return self.tell(
                &refuse("the offer shows another certificate than the supervisor named"),
                out,
            );
        }
        if self.links.contains_key(&offer.link) {
            return self.tell(&refuse("there is a link of this name"), out);
        }
        self.make_room(now, offer.peer, out);
        self.links.insert(offer.link, Link::new(now, &child, false));
        out.push(Output::Accept(offer.link, offer.body));
    }

    /// The oldest of a neighbour's links gives way to one more than [`MAX_OFFERED`].
    fn make_room(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        let theirs = self.links.iter().filter(|(_, l)| l.peer == peer && !l.ours);
        let count = theirs.clone().count();
        let oldest = theirs.min_by_key(|(_, link)| link.since());
        if count >= MAX_OFFERED
            && let Some((&oldest, _)) = oldest
        {
            let reason = "the other end has made newer links";
            self.close_link(now, oldest, reason, out);
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Time,
        peer: PeerId,
        id: LinkId,
        sdp: String,
        out: &mut Vec<Output>,
    ) {
        let theirs = self.links.get_mut(&id);
        let Some(link) = theirs.filter(|l| l.peer == peer && l.ours) else {
            return;
        };
        link.described();
        if Fingerprint::from_sdp(&sdp) != Some(link.fingerprint) {
            let reason = "the answer shows another certificate than the supervisor named";
            return self.close_link(now, id, reason, out);
        }
        out.push(Output::SetAnswer(id, sdp));
    }

    pub(super) fn link_open(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else {
            return out.push(Output::Close(id));
        };
        link.opened(now);
        let hello = Control::Hello {
            versions: VERSIONS,
            peer: self.config.peer,
            lanes: self.config.lanes,
            certificate: self.papers.certificate(),
        };
        self.say(now, id, &hello, out);
    }

    /// Sends one message over a link's control channel.
    pub(super) fn say(&mut self, now: Time, id: LinkId, message: &Control, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.said(now);
            out.push(Output::Control(id, message.encode()));
        }
    }

    /// Sends one chunk over a link's media channel; the link must be open for more.
    pub(super) fn send_media(
        &mut self,
        now: Time,
        id: LinkId,
        chunk: &Chunk,
        out: &mut Vec<Output>,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.said(now);
        let round_trip = link.sure_round_trip();
        out.push(Output::Media(id, chunk.message().clone()));
        if let AfterSend::Look(water) = link.flow.sent(now, round_trip, chunk.message().len()) {
            out.push(Output::AskBacklog(id, water));
        }
    }

    pub(super) fn backlog_told(
        &mut self,
        now: Time,
        id: LinkId,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let round_trip = link.sure_round_trip();
        if let AfterSend::Look(water) = link.flow.left(now, round_trip, bytes) {
            out.push(Output::AskBacklog(id, water));
        }
        if link.flow.is_open() {
            let whole = self.whole(id);
            self.empty_mailboxes(now, whole, out);
        }
    }

    pub(super) fn control_came(
        &mut self,
        now: Time,
        id: LinkId,
        bytes: &Bytes,
        out: &mut Vec<Output>,
    ) {
        self.heard_over(now, id);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if !link.may_say(now) {
            return self.expel(now, id, "it says more than anybody needs to hear", out);
        }
        match Control::decode(bytes) {
            Ok(message) => {
                if !matches!(
                    message,
                    Control::Heartbeat(_) | Control::Ping(_) | Control::Pong(_)
                ) {
                    self.look_at = now; // it may change what its link is for
                }
                self.heard(now, id, message, out);
            }
            Err(error) => self.expel(now, id, &error.to_string(), out),
        }
    }

    fn heard(&mut self, now: Time, id: LinkId, message: Control, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        match (link.phase, message) {
            (
                Phase::Open,
                Control::Hello {
                    versions,
                    peer: says,
                    lanes,
                    certificate,
                },
            ) => {
                if says != peer {
                    return self.expel(
                        now,
                        id,
                        "the other end is not the peer it was said to be",
                        out,
                    );
                }
                if VERSIONS.common(versions).is_none() {
                    return self.expel(
                        now,
                        id,
                        "the two peers have no protocol version in common",
                        out,
                    );
                }
                if let Err(reason) = self.check_certificate(now, id, &certificate) {
                    return self.expel(now, id, &reason, out);
                }
                if let Some(link) = self.links.get_mut(&id) {
                    link.lanes_allowed = usize::from(lanes.min(self.config.lanes));
                }
                self.link_ready(now, id, out);
            }
            (Phase::Ready, Control::Certificate(certificate)) => {
                if let Err(reason) = self.check_certificate(now, id, &certificate) {
                    self.expel(now, id, &reason, out);
                }
            }
            (_, Control::Bye { reason }) => {
                self.close_link(now, id, &format!("closed by the peer: {reason}"), out)
            }
            (Phase::Ready, Control::Subscribe { stream, from }) => {
                if !self
                    .links
                    .get_mut(&id)
                    .is_some_and(|l| l.may_subscribe(now))
                {
                    return self.expel(now, id, "it asks for streams over and over", out);
                }
                self.subscribed(now, id, stream, from, out)
            }
            (Phase::Ready, Control::Unsubscribe { stream }) => self.unsubscribed(stream, id),
            (Phase::Ready, Control::Refused { stream, reason }) => {
                self.refused(now, id, stream, &reason, out)
            }
            (Phase::Ready, Control::Epoch(signed)) => self.epoch_came(now, id, signed, out),
            (Phase::Ready, Control::RootPath { handle, path }) => {
                self.path_came(now, id, handle, path, out)
            }
            // Who sends media has no need to beat, and no other occasion to ask.
            (Phase::Ready, Control::Heartbeat(_)) => self.ping(now, id, out),
            (Phase::Ready, Control::Want { handle, frames }) => {
                self.wanted(now, id, handle, &frames, out);
            }
            (Phase::Ready, Control::Behind { handle, millis }) => {
                self.behind(now, id, handle, millis, out);
            }
            (Phase::Ready, Control::Ping(number)) => {
                self.say(now, id, &Control::Pong(number), out);
            }
            (Phase::Ready, Control::Pong(number)) => self.pong_came(now, id, number, out),
            (
                Phase::Ready,
                Control::Skipped {
                    handle,
                    track,
                    rendition,
                    from,
                    to,
                },
            ) => {
                self.skipped(
                    now,
                    id,
                    handle,
                    crate::forwarder::Gap {
                        name: (track, rendition),
                        from,
                        to,
                    },
                    out,
                );
            }
            (Phase::Ready, Control::Lane { of }) => self.lane_named(now, id, LinkId(of), out),
            (Phase::Ready, Control::Ended { stream }) => self.ended_above(now, id, stream, out),
            (_, other) => {
                let name = format!("{other:?}");
                let name = name.split([' ', '(', '{']).next().unwrap_or_default();
                self.expel(now, id, &format!("{name} came out of order"), out);
            }
        }
    }

    fn link_ready(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.phase = Phase::Ready;
        if link.lane_of.is_some() {
            return self.name_lane(now, id, out);
        }
        self.subscribe_over(now, id, out);
        self.help_out(now, id, out);
        self.ping(now, id, out);
    }

    /// Asks how far away the other end is: whoever made the offer wants to know of those that feed it or may have to, and
    /// whoever took it how much may be under way.
    fn ping(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        if let Some(number) = self.links.get_mut(&id).and_then(|link| link.ping(now)) {
            self.say(now, id, &Control::Ping(number), out);
        }
    }

    fn pong_came(&mut self, now: Time, id: LinkId, number: u32, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.pong(now, number);
        }
        self.tell_round_trips(out);
    }

    pub(super) fn media_came(
        &mut self,
        now: Time,
        id: LinkId,
        bytes: Bytes,
        out: &mut Vec<Output>,
    ) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        if link.phase != Phase::Ready {
            return self.expel(now, id, "media came before a hello", out);
        }
        self.heard_over(now, id);
        let whole = self.whole(id);
        match Chunk::decode(bytes) {
            Ok(chunk) => self.chunk_came(now, whole, chunk, out),
            Err(error) => self.expel(now, whole, &error.to_string(), out),
        }
    }

    /// Closes a link whose other end broke the rules, and says so to it.
    pub(super) fn expel(&mut self, now: Time, id: LinkId, reason: &str, out: &mut Vec<Output>) {
        self.say(
            now,
            id,
            &Control::Bye {
                reason: short(reason),
            },
            out,
        );
        self.close_link(now, id, reason, out);
    }

    /// Closes a link from this end.
    pub(super) fn close_link(
        &mut self,
        now: Time,
        id: LinkId,
        reason: &str,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Close(id));
        self.link_gone(now, id, reason, out);
    }

    /// The link is no more: whoever it fed or was fed by has to look elsewhere.
    pub(super) fn link_gone(&mut self, now: Time, id: LinkId, reason: &str, out: &mut Vec<Output>) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        self.forget_lanes(now, id, &link, out);
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        let mut used = false;
        for stream in streams {
            used |= self.lose_link(now, stream, id, reason, out);
        }
        if used {
            out.push(Output::Event(Event::LinkLost(link.peer, reason.to_owned())));
        }
    }

    /// What the neighbour at the other end of `id` is for us.
    pub(super) fn use_of(&self, id: LinkId) -> Use {
        if let Some(whole) = self.links.get(&id).and_then(|link| link.lane_of) {
            return self.use_of_lane(whole);
        }
        let mut used = Use::default();
        for stream in self.streams.values() {
            used.parent |= stream.is_fed_by(id);
            used.child |= stream.feeds(id);
            let is_next = stream.next.is_some_and(|next| next.link == id);
            used.awaited |= is_next && stream.parent.is_none();
        }
        // Asked of every link in each step: those in use, of which a relay has many, need no more.
        if !used.parent && !used.child {
            let peer = self.links.get(&id).map(|link| link.peer);
            for stream in self.streams.values() {
                used.standby |= stream.stand_ins().any(|backup| backup.link == id);
                used.covered |= peer.is_some_and(|peer| stream.expected.contains_key(&peer));
            }
        }
        used
    }

    /// The supervisor has put this peer out.
    pub(super) fn expel_peer(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        for stream in self.streams.values_mut() {
            stream.expected.remove(&peer);
            stream.dismissed.remove(&peer);
        }
        let theirs = self.links.iter().filter(|(_, link)| link.peer == peer);
        let theirs: Vec<LinkId> = theirs.map(|(&id, _)| id).collect();
        for id in theirs {
            self.expel(now, id, "the supervisor has put this peer out", out);
        }
    }

    /// The supervisor has put out whoever has this key; it may not know under which PeerIDs.
    pub(super) fn expel_key(&mut self, now: Time, key: KeyFingerprint, out: &mut Vec<Output>) {
        let links = self.links.values();
        let theirs = links.filter(|link| link.key == Some(key));
        for peer in theirs.map(|link| link.peer).collect::<BTreeSet<_>>() {
            self.expel_peer(now, peer, out);
        }
    }

    pub(super) fn tend_links(&mut self, now: Time, out: &mut Vec<Output>) {
        let seconds = self.supervisor_seconds(now);
        let due: Vec<(LinkId, Due)> = self
            .links
            .keys()
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|id| {
                let used = self.use_of(id);
                let is_calm = self.links.get(&id).is_some_and(|l| self.is_calm(now, l));
                let link = self.links.get_mut(&id)?;
                let due = match link.certified_until_s <= seconds {
                    true => Due::Close("its certificate has ended"),
                    false if is_calm => Due::Close("nothing is late any more"),
                    false => link.due(now, used),
                };
                (due != Due::Nothing).then_some((id, due))
            })
            .collect();
        for (id, due) in due {
            match due {
                Due::Nothing => {}
                Due::Beat => {
                    let beats = self.beats_for(id);
                    self.say(now, id, &Control::Heartbeat(beats), out);
                    self.ping(now, id, out);
                    let link = self.links.get_mut(&id);
                    if let Some(water) = link.and_then(|link| link.flow.ask_again(now)) {
                        out.push(Output::AskBacklog(id, water));
                    }
                }
                Due::Close(reason) => {
                    if reason == SILENT {
                        self.was_late(now, id, Sign::Silence); // it may live, and the way to it be bad
                    }
                    self.expel(now, id, reason, out);
                }
            }
        }
    }
}

impl Input {
    /// The link this is about, if it is about one.
    pub const fn link(&self) -> Option<LinkId> {
        match self {
            Self::LocalDescription(id, _)
            | Self::LocalCandidate(id, _)
            | Self::LinkOpen(id)
            | Self::Control(id, _)
            | Self::Media(id, _)
            | Self::Backlog(id, _)
            | Self::LinkClosed(id, _) => Some(*id),
            _ => None,
        }
    }
}
