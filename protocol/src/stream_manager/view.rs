//! What an operator sees: the streams, and who stands where in them. Costs nothing until somebody looks.

use std::net::IpAddr;

use serde::Serialize;

use super::StreamManager;
use super::totals::Totals;
use crate::id::{KeyFingerprint, PeerId, StreamId};
use crate::signal::{Access, BoxHealth, Component, Report, StreamTrack, Topology};

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamView {
    /// It.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// Its tracks.
    pub tracks: Vec<StreamTrack>,
    /// Its rate, kbit/s.
    pub kbps: u32,
    /// Who may watch.
    pub access: Access,
    /// Whether its broadcaster is connected.
    pub live: bool,
    /// Its epoch.
    pub epoch: u32,
    /// Who sends it.
    pub broadcaster: PeerId,
    /// How its peers are arranged.
    pub topology: Topology,
    /// Whether its viewers may be told to fail, as a test.
    pub allow_failures: bool,
    /// Receivers in it.
    pub viewers: u32,
    /// Relays in it.
    pub relays: u32,
    /// Links from the broadcaster down to the deepest member.
    pub depth: u32,
    /// When it was first registered, microseconds since 1970.
    pub since_us: i64,
    /// What was counted since.
    pub totals: Totals,
}

/// How a member is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is here, and has a place.
    Well,
    /// It is here, and has no place yet.
    Waiting,
    /// Its socket is open, and nothing is heard.
    Silent,
    /// Its socket is closed; it may come back.
    Away,
}

/// A peer in one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberView {
    /// Who.
    pub peer: PeerId,
    /// What it is.
    pub component: Component,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Program and version: the browser, or the board's service.
    pub software: String,
    /// Who feeds it.
    pub parent: Option<PeerId>,
    /// Who is to, if that one is lost.
    pub backup: Option<PeerId>,
    /// How it is connected.
    pub state: State,
    /// Since when it is in the stream, microseconds since 1970.
    pub since_us: i64,
    /// How it fared last.
    pub report: Option<Report>,
    /// How the board is that it runs on.
    pub health: Option<BoxHealth>,
}

/// A peer, over all its streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerView {
    /// Who.
    pub peer: PeerId,
    /// What it is.
    pub component: Component,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Program and version.
    pub software: String,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// The key it has proven to have.
    pub key: Option<KeyFingerprint>,
    /// Whether its socket is open.
    pub connected: bool,
    /// What it can send over all streams, kbit/s.
    pub uplink_kbps: u32,
    /// Whether it passes anything on.
    pub relays: bool,
    /// When it was let in, microseconds since 1970.
    pub since_us: i64,
    /// The streams it is in.
    pub streams: Vec<StreamId>,
    /// How the board is that it runs on.
    pub health: Option<BoxHealth>,
}

impl StreamManager {
    /// All streams.
    pub fn view_streams(&self) -> Vec<StreamView> {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        ids.into_iter()
            .filter_map(|id| self.view_stream(id))
            .collect()
    }

    /// One stream.
    pub fn view_stream(&self, id: StreamId) -> Option<StreamView> {
        let known = self.streams.get(&id)?;
        let graph = self.forest.graph(id)?;
        let relays = graph
            .iter()
            .filter(|(_, v)| v.component() == Component::Relay);
        Some(StreamView {
            stream: id,
            name: known.info.name.clone(),
            tracks: known.info.tracks.clone(),
            kbps: known.info.kbps,
            access: known.info.access,
            live: known.info.live,
            epoch: known.epoch,
            broadcaster: known.broadcaster,
            topology: self.forest.kind(id)?,
            allow_failures: known.info.allow_failures,
            viewers: self.forest.viewers(id),
            relays: relays.count() as u32,
            depth: graph.height(),
            since_us: self.config.wall.to_supervisor_us(known.since),
            totals: known.totals.clone(),
        })
    }

    /// Everybody in a stream, parents before their children; those who wait come last.
    pub fn view_members(&self, stream: StreamId) -> Option<Vec<MemberView>> {
        let graph = self.forest.graph(stream)?;
        let tops = graph
            .iter()
            .filter(|(id, v)| v.parent().is_none() && *id != graph.root());
        let tops: Vec<PeerId> = [graph.root()]
            .into_iter()
            .chain(tops.map(|(id, _)| id))
            .collect();
        let members = tops.into_iter().flat_map(|top| graph.subtree(top));
        Some(
            members
                .filter_map(|(peer, _)| self.view_member(stream, peer))
                .collect(),
        )
    }

    fn view_member(&self, stream: StreamId, peer: PeerId) -> Option<MemberView> {
        let known = self.streams.get(&stream)?;
        let is_root = known.broadcaster == peer;
        let Some(here) = self.peers.get(&peer) else {
            // Only a broadcaster keeps its place when it is gone, until its stream ends.
            return is_root.then(|| MemberView {
                peer,
                component: Component::Broadcaster,
                name: None,
                software: String::new(),
                parent: None,
                backup: None,
                state: State::Away,
                since_us: self.config.wall.to_supervisor_us(known.since),
                report: None,
                health: None,
            });
        };
        let place = here.places.get(&stream);
        let parent = self.forest.parent(stream, peer);
        let since = place.map_or(known.since, |place| place.since);
        Some(MemberView {
            peer,
            component: here.info.component,
            name: here.info.name.clone(),
            software: here.info.software.clone(),
            parent,
            backup: self.backup(stream, peer),
            state: match () {
                () if here.socket.is_none() => State::Away,
                () if self.is_quiet(peer) => State::Silent,
                () if parent.is_none() && !is_root => State::Waiting,
                () => State::Well,
            },
            since_us: self.config.wall.to_supervisor_us(since),
            report: match is_root {
                true => known.report.clone(),
                false => place.and_then(|place| place.report.clone()),
            },
            health: here.health.clone(),
        })
    }

    /// All peers.
    pub fn view_peers(&self) -> Vec<PeerView> {
        self.peers
            .keys()
            .filter_map(|&peer| self.view_peer(peer))
            .collect()
    }

    /// One peer.
    pub fn view_peer(&self, peer: PeerId) -> Option<PeerView> {
        let known = self.peers.get(&peer)?;
        let socket = known.socket.and_then(|socket| self.sockets.get(&socket));
        Some(PeerView {
            peer,
            component: known.info.component,
            name: known.info.name.clone(),
            software: known.info.software.clone(),
            address: socket.and_then(|socket| socket.address),
            key: self.key_of(peer),
            connected: socket.is_some(),
            uplink_kbps: known.info.uplink_kbps,
            relays: known.info.relays,
            since_us: self.config.wall.to_supervisor_us(known.since),
            streams: self.forest.streams_of(peer).collect(),
            health: known.health.clone(),
        })
    }
}
