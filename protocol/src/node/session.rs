//! The peer's side of its conversation with the supervisor.

use std::collections::VecDeque;
use std::time::Duration;

use super::streams::Role;
use super::{Event, Node, Output};
use crate::id::StreamId;
use crate::security::auth;
use crate::security::secret::HandshakeSeed;
use crate::signal::{
    Component, Failure, FromPeer, LinkDescription, StreamInfo, ToPeer, VERSIONS, VersionRange,
};
use crate::time::{ClockMap, Time};

/// How often the peer asks for the time, which is also its sign of life.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// While it has few answers yet it asks more often.
const ASK_SOON: Duration = Duration::from_millis(200);
/// Answers of which the one with the shortest way there and back is believed.
const SAMPLES: usize = 8;
/// A supervisor that owes an answer for this long is taken for gone. Guess: four questions.
const SILENT: Duration = Duration::from_secs(8);
/// A clock's map that moved by less is not told again, microseconds. Guess: nobody sees a millisecond.
const TOLD_AGAIN_US: u64 = 1_000;

/// How far the conversation has come, and what it told of the time.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: State,
    asked: Time,
    heard: Time,
    samples: VecDeque<ClockMap>,
    told: Option<ClockMap>,
    listening: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Down,
    /// The socket is open; the supervisor has not asked who we are.
    Asked,
    /// We have said who we are.
    Introduced,
    In,
}

impl Session {
    pub(super) fn down(&mut self) {
        self.state = State::Down;
    }

    pub(super) fn is_in(&self) -> bool {
        self.state == State::In
    }

    pub(super) fn next_wakeup(&self) -> Time {
        match self.state {
            State::Down => Time::NEVER,
            State::Asked | State::Introduced => self.heard + SILENT,
            State::In => (self.asked + self.pause()).min(self.heard + SILENT),
        }
    }

    fn pause(&self) -> Duration {
        if self.samples.len() < SAMPLES {
            ASK_SOON
        } else {
            ASK_EVERY
        }
    }

    /// The most certain map of the last few, or nothing yet.
    pub(super) fn clock(&self) -> Option<ClockMap> {
        self.samples
            .iter()
            .min_by_key(|map| map.uncertainty_us)
            .copied()
    }

    fn take_sample(&mut self, map: ClockMap) {
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(map);
    }
}

impl Node {
    pub(super) fn supervisor_down(&mut self) {
        self.session.down();
        self.papers.drop_candidate();
    }

    pub(super) fn supervisor_up(&mut self, now: Time, random: HandshakeSeed) {
        self.begin_handshake(now, random);
        self.session.state = State::Asked;
        self.session.heard = now;
        self.session.asked = now;
        // Another supervisor may answer, with another idea of the time.
        self.session.samples.clear();
    }

    /// Says something to the supervisor; nothing if it is not there, for then it will be told how things
    /// stand when it is back.
    pub(super) fn tell(&self, message: &FromPeer, out: &mut Vec<Output>) {
        if self.session.is_in() {
            out.push(Output::Signal(message.to_text()));
        }
    }

    pub(super) fn supervisor_said(&mut self, now: Time, text: &str, out: &mut Vec<Output>) {
        if self.papers.is_examined() {
            self.session.heard = now;
            return self.examine(now, auth::Input::Text(text), out);
        }
        match ToPeer::parse(text) {
            Ok(message) => {
                self.session.heard = now;
                self.obey(now, message, out);
            }
            Err(error) => self.hang_up(
                format!("the supervisor said something strange: {error}"),
                out,
            ),
        }
    }

    pub(super) fn hang_up(&mut self, reason: String, out: &mut Vec<Output>) {
        self.supervisor_down();
        out.push(Output::HangUp(reason));
    }

    fn obey(&mut self, now: Time, message: ToPeer, out: &mut Vec<Output>) {
        let is_first = matches!(message, ToPeer::CollectPeerInfoRequest { .. });
        let is_verdict = matches!(
            message,
            ToPeer::PeerAccepted { .. } | ToPeer::PeerRefused { .. }
        );
        match self.session.state {
            // Who demands proof lets nobody in but by the handshake, which is not over or was not passed.
            State::Asked | State::Introduced if self.config.security.is_some() => {
                return self.hang_up("the supervisor's messages are out of order".into(), out);
            }
            State::Asked if is_first || is_verdict => {}
            State::Introduced if is_verdict => {}
            State::In if !is_first => {}
            _ => return self.hang_up("the supervisor's messages are out of order".into(), out),
        }
        match message {
            ToPeer::CollectPeerInfoRequest { versions, .. } => self.introduce(versions, out),
            ToPeer::AuthenticationRequest(_) | ToPeer::AuthenticationChallengeRequest { .. } => {
                self.hang_up("the supervisor's messages are out of order".into(), out);
            }
            ToPeer::PeerAccepted {
                ice_servers,
                external_address,
                ..
            } => {
                out.push(Output::IceServers(ice_servers, external_address));
                self.taken_in(now, out);
            }
            ToPeer::PeerRefused { refusal, words } => {
                out.push(Output::Event(Event::Refused(refusal, words)))
            }
            ToPeer::IceServers {
                ice_servers,
                external_address,
            } => out.push(Output::IceServers(ice_servers, external_address)),
            ToPeer::Streams { streams, more } => {
                if !more {
                    self.listed.clear();
                }
                self.listed
                    .extend(streams.into_iter().map(|info| (info.stream, info)));
                self.list_changed(out);
            }
            ToPeer::StreamAnnounced { info } => self.announced(info, out),
            ToPeer::StreamEnded { stream } => {
                self.listed.remove(&stream);
                self.list_changed(out);
                self.forget(now, stream, true, out);
            }
            ToPeer::StreamRegistered {
                stream,
                epoch,
                grant,
            } => {
                let grant = grant.map(|grant| grant.0.into()).unwrap_or_default();
                self.registered(stream, epoch, grant, out);
            }
            ToPeer::StreamKey {
                stream,
                key_id,
                epoch,
                sealed,
            } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.least_epoch = stream.least_epoch.max(epoch);
                }
                self.key_given(stream, key_id, sealed.0, out);
            }
            ToPeer::Certificate { certificate } => {
                self.certificate_renewed(now, certificate.0, out);
            }
            ToPeer::Expel { peer } => self.expel_peer(now, peer, out),
            ToPeer::ExpelKey { key } => self.expel_key(now, key, out),
            ToPeer::StreamRefused {
                stream,
                refusal,
                words,
            } => {
                self.forget(now, stream, false, out);
                out.push(Output::Event(Event::StreamRefused(stream, refusal, words)));
            }
            ToPeer::Placement {
                stream,
                order,
                parent,
            } => self.place(now, stream, order, parent, out),
            ToPeer::ExpectChild { stream, child } => self.expect(now, stream, child, out),
            ToPeer::Backups {
                stream,
                order,
                backups,
            } => self.backups_named(now, stream, order, &backups, out),
            ToPeer::DropChild { stream, child } => self.drop_child(now, stream, child),
            ToPeer::Release { stream, order } => self.release(now, stream, order, out),
            ToPeer::Fail { stream, how } => self.told_to_fail(stream, how, out),
            ToPeer::StreamClock { stream, clock } => self.stream_clock(stream, clock, out),
            ToPeer::LinkOffer(d) => self.offered(now, d, out),
            ToPeer::LinkAnswer(LinkDescription { peer, link, body }) => {
                self.answered(now, peer, link, body, out)
            }
            ToPeer::LinkCandidate(LinkDescription { peer, link, body }) => {
                if self.links.get(&link).is_some_and(|l| l.peer == peer) {
                    out.push(Output::AddCandidate(link, body));
                }
            }
            ToPeer::LinkRefused(LinkDescription { peer, link, body }) => {
                if self.links.get(&link).is_some_and(|l| l.peer == peer) {
                    self.close_link(now, link, &format!("refused: {body}"), out);
                }
            }
            ToPeer::AreYouThere => self.ask_time(now, out),
            ToPeer::TimeResponse {
                sent_us,
                supervisor_us,
            } => self.time_told(now, sent_us, supervisor_us, out),
        }
    }

    /// A supervisor can be mistaken: what a stream's own entry does not allow is not done.
    fn told_to_fail(&self, stream: StreamId, how: Failure, out: &mut Vec<Output>) {
        let allowed = self
            .listed
            .get(&stream)
            .is_some_and(|info| info.allow_failures);
        let watches = self
            .streams
            .get(&stream)
            .is_some_and(|part| matches!(part.role, Role::Watched));
        if allowed && watches && self.config.component == Component::Receiver {
            out.push(Output::Event(Event::ToldToFail(how)));
        }
    }

    fn introduce(&mut self, theirs: VersionRange, out: &mut Vec<Output>) {
        if VERSIONS.common(theirs).is_none() {
            let words = format!(
                "the supervisor speaks versions {} to {}, this peer {} to {}: one of them must be updated",
                theirs.min, theirs.max, VERSIONS.min, VERSIONS.max
            );
            return self.hang_up(words, out);
        }
        self.session.state = State::Introduced;
        out.push(Output::Signal(
            FromPeer::CollectPeerInfoResponse(self.info()).to_text(),
        ));
    }

    /// Tells the supervisor all there is to know: it may be a new one that knows nothing.
    pub(super) fn taken_in(&mut self, now: Time, out: &mut Vec<Output>) {
        self.session.state = State::In;
        out.push(Output::Event(Event::Accepted));
        self.ask_time(now, out);
        if self.session.listening {
            self.tell(&FromPeer::ListStreams, out);
        }
        self.forget_what_nobody_needs(now, out);
        let standings: Vec<FromPeer> = self.streams.values().filter_map(|s| s.standing()).collect();
        for standing in &standings {
            self.tell(standing, out);
        }
    }

    /// A supervisor that starts again never hears of a stream in which a relay has neither parent nor child, so
    /// it would never release it; nor does it withdraw children that left while it was away.
    fn forget_what_nobody_needs(&mut self, now: Time, out: &mut Vec<Output>) {
        for stream in self.streams.values_mut() {
            stream.expect_only_those_here();
        }
        let idle: Vec<StreamId> = self
            .streams
            .values()
            .filter(|s| s.is_idle())
            .map(|s| s.id)
            .collect();
        for id in idle {
            self.forget(now, id, false, out);
        }
    }

    pub(super) fn list_streams(&mut self, out: &mut Vec<Output>) {
        self.session.listening = true;
        self.tell(&FromPeer::ListStreams, out);
    }

    fn announced(&mut self, info: StreamInfo, out: &mut Vec<Output>) {
        self.listed.insert(info.stream, info);
        self.list_changed(out);
    }

    fn list_changed(&self, out: &mut Vec<Output>) {
        out.push(Output::Event(Event::Streams(
            self.listed.values().cloned().collect(),
        )));
    }

    fn ask_time(&mut self, now: Time, out: &mut Vec<Output>) {
        self.session.asked = now;
        self.tell(
            &FromPeer::TimeRequest {
                sent_us: now.as_micros(),
            },
            out,
        );
    }

    fn time_told(&mut self, now: Time, sent_us: u64, supervisor_us: i64, out: &mut Vec<Output>) {
        let sent = Time::from_micros(sent_us);
        if sent > now {
            return; // not a time we sent
        }
        self.session
            .take_sample(ClockMap::from_exchange(sent, supervisor_us, now));
        let Some(clock) = self.session.clock() else {
            return;
        };
        if self
            .session
            .told
            .is_none_or(|told| told.offset_us.abs_diff(clock.offset_us) > TOLD_AGAIN_US)
        {
            self.session.told = Some(clock);
            out.push(Output::Event(Event::Clock(clock)));
            self.tell_own_clock(out);
        }
    }

    pub(super) fn tell_own_clock(&self, out: &mut Vec<Output>) {
        let Some(clock) = self.session.clock() else {
            return;
        };
        for stream in self.published() {
            self.tell(&FromPeer::StreamClock { stream, clock }, out);
        }
    }

    pub(super) fn tend_session(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.papers.is_examined() && now >= self.papers.next_wakeup() {
            self.examine(now, auth::Input::Tick, out);
        }
        if self.session.state != State::Down && now >= self.session.heard + SILENT {
            return self.hang_up(
                format!("the supervisor said nothing for {} s", SILENT.as_secs()),
                out,
            );
        }
        if self.session.is_in() && now >= self.session.asked + self.session.pause() {
            self.ask_time(now, out);
        }
    }

    /// The name a stream is listed under, for messages to people.
    pub fn stream_name(&self, stream: &StreamId) -> Option<&str> {
        self.listed.get(stream).map(|info| info.name.as_str())
    }
}
