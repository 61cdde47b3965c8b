//! Sessions: a peer says who it is, is heard from, goes silent, comes back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::bucket::Bucket;
use crate::id::{InvitationId, PeerId, StreamId};
use crate::security::auth::{self, Examiner, Introduction};
use crate::signal::{
    BoxHealth, Component, FromPeer, Neighbour, Order, PeerInfo, Refusal, Report, ToPeer, VERSIONS,
};
use crate::time::Time;
use crate::topology::{Site, Standing, Traits};

use super::deadlines::Deadline;
use super::happenings::What;
use super::limits::Limit;
use super::{
    ANSWER_LIMIT, AWAY_GRACE, INTRODUCTION_LIMIT, Output, QUIET_LIMIT, SILENCE_LIMIT, SUSPICION,
    SocketId, StreamManager,
};

/// How much more a relay or a broadcaster may say than a receiver. Guess: it answers 64 children at once.
const HUB_FACTOR: u32 = 10;

/// A socket that says nothing for this part of the limit may be dead: its peer may come back by another one.
const DOUBTFUL: std::time::Duration = SILENCE_LIMIT.checked_div(2).expect("two is not zero");

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// Who it turned out to be.
    peer: Option<PeerId>,
    bucket: Bucket,
    heard: Time,
    /// Where it comes from.
    pub(super) address: Option<IpAddr>,
    /// The handshake, as long as it goes on.
    pub(super) examiner: Option<Box<Examiner>>,
    /// What it has proven, while the store is asked whether that suffices.
    pub(super) proven: Option<Box<Introduction>>,
}

/// A peer that was let in, and is connected or was a moment ago.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) info: PeerInfo,
    pub(super) socket: Option<SocketId>,
    /// The streams it watches or relays.
    pub(super) places: BTreeMap<StreamId, Place>,
    /// When it was let in.
    pub(super) since: Time,
    /// How the board is that it runs on, as it said last.
    pub(super) health: Option<BoxHealth>,
    /// What it was seen to be able to send.
    pub(super) limit: Limit,
}

/// A peer's part in one stream.
#[derive(Debug)]
pub(super) struct Place {
    /// When it got it.
    pub(super) since: Time,
    /// The newest order it was given; none if its place was adopted.
    pub(super) order: Option<Order>,
    /// The invitation it came by, where it took one.
    pub(super) invitation: Option<InvitationId>,
    /// When it had trouble with a parent last.
    pub(super) trouble: Option<Time>,
    /// When it said that nobody feeds it, as long as the broadcaster backs it up for that.
    pub(super) orphaned: Option<Time>,
    /// How it fared last.
    pub(super) report: Option<Report>,
}

impl Place {
    pub(super) const fn new(since: Time) -> Self {
        Self {
            since,
            order: None,
            invitation: None,
            trouble: None,
            orphaned: None,
            report: None,
        }
    }
}

impl StreamManager {
    pub(super) fn connected(&mut self, socket: SocketId, address: Option<IpAddr>) {
        if self.sockets.len() >= self.config.limits.peers {
            let words = format!("there are {} peers here already", self.sockets.len());
            return self
                .outbox
                .push(Output::Close(socket, Refusal::TooMany, words));
        }
        let limits = &self.config.limits;
        if self.config.security.is_some()
            && let Some(address) = address
            && !self.attempts.may_begin(self.now, address, limits)
        {
            let words = "too many handshakes from this address; try again in a while".to_owned();
            return self
                .outbox
                .push(Output::Close(socket, Refusal::TooMany, words));
        }
        let bucket = Bucket::new(self.now, limits.messages_per_s, limits.message_burst);
        let examiner = self.new_examiner(socket);
        let examined = examiner.is_some();
        self.sockets.insert(
            socket,
            Socket {
                peer: None,
                bucket,
                heard: self.now,
                address,
                examiner,
                proven: None,
            },
        );
        if examined {
            return; // the examiner has asked already, and watches the time
        }
        self.deadlines
            .set(Deadline::Silence(socket), self.now + INTRODUCTION_LIMIT);
        let software = self.config.software.clone();
        self.outbox.push(Output::Send(
            socket,
            ToPeer::CollectPeerInfoRequest {
                versions: VERSIONS,
                software,
                suites: Vec::new(),
            },
        ));
    }

    pub(super) fn text(&mut self, socket: SocketId, text: &str) {
        let now = self.now;
        if let Some(known) = self.sockets.get_mut(&socket)
            && known.examiner.is_some()
        {
            return match known.bucket.take(now) {
                true => self.examine(socket, auth::Input::Text(text)),
                false => self.refuse(socket, Refusal::TooMany, "too many messages at once"),
            };
        }
        match FromPeer::parse(text) {
            Ok(message) => self.said(socket, message),
            Err(error) => self.refuse(socket, Refusal::BadMessage, &error.to_string()),
        }
    }

    pub(super) fn said(&mut self, id: SocketId, message: FromPeer) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        if !socket.bucket.take(self.now) {
            return self.refuse(id, Refusal::TooMany, "too many messages at once");
        }
        let was_quiet = self.now.since(socket.heard) >= QUIET_LIMIT;
        socket.heard = self.now;
        match (socket.peer, message) {
            (None, FromPeer::CollectPeerInfoResponse(info)) if self.config.security.is_none() => {
                self.introduced_unproven(id, info);
            }
            (None, _) => {
                self.refuse(
                    id,
                    Refusal::BadMessage,
                    "the first message must be COLLECT_PEER_INFO_RESPONSE",
                );
            }
            (Some(peer), message) => {
                self.deadlines
                    .set(Deadline::Silence(id), self.now + QUIET_LIMIT);
                if was_quiet {
                    self.refresh_standing(peer);
                }
                self.answered(peer);
                self.heard(peer, message);
            }
        }
    }

    /// The peer has said who it is: it is let in, or refused.
    fn introduced_unproven(&mut self, socket: SocketId, info: PeerInfo) {
        let Some(version) = VERSIONS.common(info.versions) else {
            let words = format!(
                "this supervisor speaks versions {} to {}, {} speaks {} to {}",
                VERSIONS.min, VERSIONS.max, info.software, info.versions.min, info.versions.max
            );
            return self.refuse(socket, Refusal::Version, &words);
        };
        self.introduced(socket, info, version);
    }

    /// It is known who the peer is, and that it may come in.
    pub(super) fn introduced(&mut self, socket: SocketId, info: PeerInfo, version: u16) {
        if !self.may_use_its_id(&info) {
            let words = format!("another peer is here under the id {}", info.peer);
            return self.refuse(socket, Refusal::PeerIdInUse, &words);
        }
        self.let_in(socket, info, version);
    }

    /// A PeerID belongs to one process. The same one may come back when its old socket is closed, or as good as.
    fn may_use_its_id(&self, info: &PeerInfo) -> bool {
        let Some(known) = self.peers.get(&info.peer) else {
            return true;
        };
        let same = known.info.fingerprint == info.fingerprint
            && known.info.component == info.component
            && known.info.public_key == info.public_key;
        let old = known.socket.and_then(|old| self.sockets.get(&old));
        same && old.is_none_or(|old| self.now.since(old.heard) >= DOUBTFUL)
    }

    fn let_in(&mut self, socket: SocketId, info: PeerInfo, version: u16) {
        let peer = info.peer;
        let seen = self.peers.get(&peer).and_then(|known| known.limit.kbps);
        let traits = Traits {
            component: info.component,
            relays: info.relays,
            uplink_kbps: info.uplink_kbps.min(seen.unwrap_or(u32::MAX)),
            site: self
                .sockets
                .get(&socket)
                .and_then(|known| known.address)
                .and_then(Site::of),
        };
        if let Some(session) = self.sockets.get_mut(&socket) {
            session.peer = Some(peer);
            if info.component != Component::Receiver {
                session.bucket.widen(HUB_FACTOR);
            }
        }
        match self.peers.get_mut(&peer) {
            Some(known) => {
                known.info = info;
                let old = known.socket.replace(socket);
                self.replace_socket(old);
            }
            None => {
                self.note(Some(peer), None, What::Came);
                self.peers.insert(
                    peer,
                    Peer {
                        info,
                        socket: Some(socket),
                        places: BTreeMap::new(),
                        since: self.now,
                        health: None,
                        limit: Limit::default(),
                    },
                );
            }
        }
        self.deadlines.clear(Deadline::Gone(peer));
        self.deadlines
            .set(Deadline::Silence(socket), self.now + QUIET_LIMIT);
        self.welcome(peer, version);
        self.expel_those_put_out(peer);
        self.change_forest(|forest, out| forest.add_peer(peer, traits, out));
        self.refresh_standing(peer);
    }

    fn welcome(&mut self, peer: PeerId, version: u16) {
        let supervisor_us = self.wall_us();
        let certificate = self.certificate(peer);
        let message = ToPeer::PeerAccepted {
            version,
            ice_servers: (self.config.ice)(peer, supervisor_us),
            external_address: self.external_address(peer),
            supervisor_us,
            certificate,
        };
        self.send(peer, message);
    }

    /// The address outside, for those who can be reached by it: peers on this side of the router.
    fn external_address(&self, peer: PeerId) -> Option<String> {
        let socket = self.peers.get(&peer)?.socket?;
        let address = self.sockets.get(&socket)?.address?.to_canonical();
        let external = self.config.external_address?;
        (is_private(address) || address == external).then(|| external.to_string())
    }

    /// Whoever stays longer than the TURN servers' credentials last gets others in time.
    pub(super) fn renew_ice_servers(&mut self) {
        let now_us = self.wall_us();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            let message = ToPeer::IceServers {
                ice_servers: (self.config.ice)(peer, now_us),
                external_address: self.external_address(peer),
            };
            self.send(peer, message);
        }
        if let Some(lifetime) = self.config.ice_lifetime {
            self.deadlines
                .set(Deadline::IceServers, self.now + lifetime / 2);
        }
    }

    fn replace_socket(&mut self, old: Option<SocketId>) {
        let Some(old) = old else { return };
        self.forget_socket(old);
        let words = "the peer has come back by another socket".to_owned();
        self.outbox
            .push(Output::Close(old, Refusal::PeerIdInUse, words));
    }

    /// Closes a socket for what was said on it; its peer is gone at once.
    pub(super) fn refuse(&mut self, socket: SocketId, refusal: Refusal, words: &str) {
        let Some(peer) = self.forget_socket(socket) else {
            return;
        };
        self.outbox
            .push(Output::Close(socket, refusal, words.to_owned()));
        if let Some(peer) = peer.filter(|peer| {
            self.peers
                .get(peer)
                .is_some_and(|known| known.socket == Some(socket))
        }) {
            self.gone(peer);
        }
    }

    pub(super) fn refuse_peer(&mut self, peer: PeerId, refusal: Refusal, words: &str) {
        if let Some(socket) = self.peers.get(&peer).and_then(|known| known.socket) {
            self.refuse(socket, refusal, words);
        }
    }

    pub(super) fn silent(&mut self, socket: SocketId) {
        let known = self.sockets.get(&socket);
        let known = known.and_then(|known| Some((known.peer?, known.heard + SILENCE_LIMIT)));
        let words = match known {
            Some((peer, gone)) if self.now < gone => {
                self.deadlines.set(Deadline::Silence(socket), gone);
                return self.refresh_standing(peer);
            }
            Some(_) => format!("nothing was heard for {} s", SILENCE_LIMIT.as_secs()),
            None => format!(
                "no COLLECT_PEER_INFO_RESPONSE within {} s",
                INTRODUCTION_LIMIT.as_secs()
            ),
        };
        self.refuse(socket, Refusal::TooSlow, &words);
    }

    pub(super) fn disconnected(&mut self, socket: SocketId) {
        let Some(Some(peer)) = self.forget_socket(socket) else {
            return;
        };
        let Some(known) = self
            .peers
            .get_mut(&peer)
            .filter(|known| known.socket == Some(socket))
        else {
            return;
        };
        known.socket = None;
        self.deadlines
            .set(Deadline::Gone(peer), self.now + AWAY_GRACE);
        self.refresh_standing(peer);
        self.broadcaster_away(peer);
    }

    fn forget_socket(&mut self, socket: SocketId) -> Option<Option<PeerId>> {
        self.deadlines.clear(Deadline::Silence(socket));
        self.deadlines.clear(Deadline::Examiner(socket));
        Some(self.sockets.remove(&socket)?.peer)
    }

    /// A peer is gone from everywhere.
    pub(super) fn gone(&mut self, peer: PeerId) {
        let Some(known) = self.peers.remove(&peer) else {
            return;
        };
        self.listeners.remove(&peer);
        self.deadlines.clear(Deadline::Gone(peer));
        self.deadlines.clear(Deadline::Suspect(peer));
        self.deadlines.clear(Deadline::Limit(peer));
        self.deadlines.clear(Deadline::Certificate(peer));
        self.deadlines.clear(Deadline::Unanswered(peer));
        self.aside.remove(&peer);
        self.forget_accusations(peer);
        for &stream in known.places.keys() {
            self.note(Some(peer), Some(stream), What::Lost);
            self.dismiss(peer, stream);
        }
        self.note(Some(peer), None, What::Went);
        self.change_forest(|forest, out| forest.remove_peer(peer, out));
        for &stream in known.places.keys() {
            self.note_viewers(stream);
        }
        self.broadcaster_away(peer);
    }

    /// A child has lost this peer: it is avoided for a while.
    pub(super) fn suspect(&mut self, peer: PeerId) {
        self.deadlines
            .set(Deadline::Suspect(peer), self.now + SUSPICION);
        self.refresh_standing(peer);
        self.ask(peer);
    }

    /// A viewer that stands still keeps places near the broadcaster that others need, and children who stand still as well
    /// and so never complain: it is asked whether it is there. Of a relay all children have their own word to say.
    fn ask(&mut self, peer: PeerId) {
        let unanswered = Deadline::Unanswered(peer);
        let asked = self.deadlines.is_set(unanswered) || self.aside.contains(&peer);
        let known = self.peers.get(&peer);
        let watches = known.is_some_and(|known| known.info.component == Component::Receiver);
        if watches && !asked && self.is_connected(peer) {
            self.deadlines.set(unanswered, self.now + ANSWER_LIMIT);
            self.send(peer, ToPeer::AreYouThere);
        }
    }

    /// A viewer does not answer, and a neighbour has lost it as well: its places are for others.
    pub(super) fn put_aside(&mut self, peer: PeerId) {
        self.aside.insert(peer);
        let streams: Vec<StreamId> = self.forest.streams_of(peer).collect();
        for stream in streams {
            self.dismiss(peer, stream);
            self.change_forest(|forest, out| forest.leave(stream, peer, out));
            self.note_viewers(stream);
        }
    }

    /// Something was heard of a peer: if its places were given away it gets others.
    fn answered(&mut self, peer: PeerId) {
        self.deadlines.clear(Deadline::Unanswered(peer));
        if !self.aside.remove(&peer) {
            return;
        }
        let known = self.peers.get(&peer);
        let places = known.into_iter().flat_map(|known| known.places.keys());
        let lost: Vec<StreamId> = places
            .filter(|&&stream| !self.forest.contains(stream, peer))
            .copied()
            .collect();
        for stream in lost {
            self.change_forest(|forest, out| forest.join(stream, peer, out));
            self.note_viewers(stream);
        }
    }

    /// Tells the topology whether the peer is to be given children.
    pub(super) fn refresh_standing(&mut self, peer: PeerId) {
        let standing = match self.is_connected(peer) {
            false => Standing::Away,
            true if self.is_quiet(peer) || self.deadlines.is_set(Deadline::Suspect(peer)) => {
                Standing::Suspect
            }
            true => Standing::Open,
        };
        self.change_forest(|forest, out| forest.set_standing(peer, standing, out));
        if standing != Standing::Open {
            let streams: Vec<_> = self.forest.streams_of(peer).collect();
            for stream in streams {
                self.reconsider_backups(stream, peer, false);
            }
        }
    }

    pub(super) fn is_quiet(&self, peer: PeerId) -> bool {
        let socket = self.peers.get(&peer).and_then(|known| known.socket);
        let socket = socket.and_then(|socket| self.sockets.get(&socket));
        socket.is_some_and(|socket| self.now.since(socket.heard) >= QUIET_LIMIT)
    }

    pub(super) fn is_connected(&self, peer: PeerId) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|known| known.socket.is_some())
    }

    /// A peer, as others are introduced to it.
    pub(super) fn neighbour(&self, peer: PeerId) -> Option<Neighbour> {
        let info = &self.peers.get(&peer)?.info;
        Some(Neighbour {
            peer,
            component: info.component,
            fingerprint: info.fingerprint,
        })
    }
}

/// Whether no router outside forwards to this address: RFC 1918, RFC 4193, link-local and loopback.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
