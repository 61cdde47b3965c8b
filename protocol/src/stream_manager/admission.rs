//! Who comes in: the handshake, the certificate, and the end of both.
//!
//! Whether a key is enrolled is the store's to say, and private keys are the supervisor's: both are asked, and
//! answer with an input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::id::{InvitationId, KeyFingerprint, PeerId, StreamId, TokenDigest};
use crate::security::auth::{self, Examination, Examiner, ExaminerOutput, Introduction};
use crate::security::authority::Authority;
use crate::security::base64::Base64;
use crate::security::boxes::KeyTask;
use crate::security::certificate::Certificate;
use crate::security::secret::StreamKey;
use crate::signal::{Component, PeerInfo, Refusal, ToPeer};
use crate::time::Time;

use super::attempts::network;
use super::deadlines::Deadline;
use super::happenings::What;
use super::streams::Stream;
use super::{Output, SocketId, StreamManager};

/// An accusation counts for this long. Guess: a relay that forges does it all the time.
const ACCUSATION_LASTS: Duration = Duration::from_secs(600);
/// Accusers at so many addresses put a peer out (docs/security.md).
const ACCUSERS: usize = 2;
/// Addresses remembered for one accused peer.
const MAX_ACCUSERS: usize = 16;

/// What is said to whoever comes, or came, by an invitation that was taken back.
pub(super) const TAKEN_BACK: &str = "the invitation was taken back";

/// What is said to whoever has a key that is blocked.
const BLOCKED: &str = "the operator has blocked this peer";

/// Fills a buffer with random bytes.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// What proves, certifies and seals.
pub struct Security {
    /// The handshake keys, and what is said of them.
    pub examination: Arc<Examination>,
    /// The Certification Authority.
    pub authority: Authority,
    /// How long a certificate is good; it is renewed at half of it.
    pub certificate_lifetime: Duration,
    /// Whom the streams belong to that were registered before this start.
    pub owners: BTreeMap<StreamId, KeyFingerprint>,
    /// Their keys, of before this start.
    pub keys: BTreeMap<StreamId, (u8, StreamKey)>,
    /// Invitations that were taken back before their time was over.
    pub revoked_invitations: BTreeSet<InvitationId>,
    /// Keys that the operator has blocked.
    pub blocked: BTreeSet<KeyFingerprint>,
    /// Keys that were revoked or blocked so shortly before this start that certificates for them may still be good, and
    /// neighbours have heard nothing of it.
    pub put_out: BTreeSet<KeyFingerprint>,
    /// For numbers nobody may guess.
    pub random: RandomSource,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Security({:?})", self.authority)
    }
}

impl Security {
    pub(super) fn random<const N: usize>(&mut self) -> Zeroizing<[u8; N]> {
        let mut bytes = Zeroizing::new([0; N]);
        (self.random)(&mut bytes[..]);
        bytes
    }
}

/// A peer that has proven its key asks to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Petition {
    /// What it wants to be.
    pub role: Component,
    /// The proven key.
    pub key: KeyFingerprint,
    /// The join token that it showed.
    pub token: Option<TokenDigest>,
    /// What its owner calls it.
    pub name: Option<String>,
}

/// What a task's answer is for.
#[derive(Debug)]
pub(super) enum TaskFor {
    Handshake(SocketId),
    StreamKey {
        peer: PeerId,
        stream: StreamId,
        key_id: u8,
    },
}

/// Of those put out this many are remembered for peers that were away. Guess: it is an operator who revokes.
pub const MAX_PUT_OUT: usize = 100;

/// The state of all this.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    pub(super) tasks: BTreeMap<u64, TaskFor>,
    made_tasks: u64,
    /// Who accused whom, from where, and until when that counts.
    accusations: BTreeMap<PeerId, BTreeMap<IpAddr, Time>>,
    /// Keys put out since the start for what their peers did.
    evicted: BTreeSet<KeyFingerprint>,
    /// Who was put out lately, and until when its certificate would have been good; the last one first.
    put_out: VecDeque<(PeerId, Time)>,
}

impl StreamManager {
    /// A new socket's handshake, where peers have to prove who they are.
    pub(super) fn new_examiner(&mut self, socket: SocketId) -> Option<Box<Examiner>> {
        let security = self.config.security.as_mut()?;
        let random = security.random::<64>();
        let mut steps = Vec::new();
        let examiner = Examiner::new(security.examination.clone(), self.now, &random, &mut steps);
        self.deadlines
            .set(Deadline::Examiner(socket), examiner.next_wakeup());
        for step in steps {
            if let ExaminerOutput::Say(text) = step {
                self.outbox.push(Output::Text(socket, text));
            }
        }
        Some(Box::new(examiner))
    }

    pub(super) fn examine(&mut self, id: SocketId, input: auth::Input<'_>) {
        let Some(examiner) = self.sockets.get_mut(&id).and_then(|s| s.examiner.as_mut()) else {
            return;
        };
        let mut steps = Vec::new();
        examiner.handle(self.now, input, &mut steps);
        self.deadlines
            .set(Deadline::Examiner(id), examiner.next_wakeup());
        for step in steps {
            match step {
                ExaminerOutput::Say(text) => self.outbox.push(Output::Text(id, text)),
                ExaminerOutput::Task(task) => self.ask_for(task, TaskFor::Handshake(id)),
                ExaminerOutput::Proven(introduction) => self.proven(id, introduction),
                ExaminerOutput::Refused(refusal, words) => self.refuse(id, refusal, &words),
            }
        }
    }

    pub(super) fn ask_for(&mut self, task: KeyTask, purpose: TaskFor) {
        self.admissions.made_tasks += 1;
        let number = self.admissions.made_tasks;
        self.admissions.tasks.insert(number, purpose);
        self.outbox.push(Output::Task(number, task));
    }

    pub(super) fn task_done(&mut self, task: u64, answer: Option<&Zeroizing<Vec<u8>>>) {
        match self.admissions.tasks.remove(&task) {
            Some(TaskFor::Handshake(socket)) => {
                let answer = answer.map(|bytes| bytes.as_slice());
                self.examine(socket, auth::Input::TaskDone(answer));
            }
            Some(TaskFor::StreamKey {
                peer,
                stream,
                key_id,
            }) => {
                if let Some(sealed) = answer {
                    let sealed = Base64(sealed.to_vec());
                    let epoch = self.epoch(stream);
                    self.send(
                        peer,
                        ToPeer::StreamKey {
                            stream,
                            key_id,
                            epoch,
                            sealed,
                        },
                    );
                }
            }
            None => {}
        }
    }

    /// It is who it says it is. Whether that is somebody who may come in is asked next.
    fn proven(&mut self, id: SocketId, introduction: Box<Introduction>) {
        let petition = Petition {
            role: introduction.info.component,
            key: introduction.key.fingerprint(),
            token: introduction.token.as_ref().map(|token| token.digest()),
            name: introduction.info.name.clone(),
        };
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        socket.examiner = None;
        self.deadlines.clear(Deadline::Examiner(id));
        // The store knows whether a token was made since; a viewer's key is in no store.
        let anew = petition.token.is_some() && petition.role != Component::Receiver;
        if self.admissions.evicted.contains(&petition.key) && !anew {
            return self.refuse(id, Refusal::Revoked, "this peer was put out");
        }
        let security = self.config.security.as_ref();
        if security.is_some_and(|security| security.blocked.contains(&petition.key)) {
            return self.refuse(id, Refusal::Revoked, BLOCKED);
        }
        socket.proven = Some(introduction);
        self.outbox.push(Output::Admit(id, petition));
    }

    /// The store has answered.
    pub(super) fn admitted(&mut self, id: SocketId, verdict: Result<(), (Refusal, String)>) {
        let socket = self.sockets.get_mut(&id);
        let Some(introduction) = socket.and_then(|socket| socket.proven.take()) else {
            return;
        };
        match verdict {
            Err((refusal, words)) => self.refuse(id, refusal, &words),
            Ok(()) => {
                let Introduction {
                    info, key, version, ..
                } = *introduction;
                self.admissions.evicted.remove(&key.fingerprint());
                if let Some(security) = &mut self.config.security {
                    security.put_out.remove(&key.fingerprint()); // it was let in anew
                }
                let info = PeerInfo {
                    public_key: Some(key),
                    ..info
                };
                self.introduced(id, info, version);
            }
        }
    }

    /// A certificate for the peer as it is, if peers are certified.
    pub(super) fn certificate(&mut self, peer: PeerId) -> Option<Base64> {
        let info = &self.peers.get(&peer)?.info;
        let seconds =
            u64::try_from(self.config.wall.to_supervisor_us(self.now) / 1_000_000).ok()?;
        let security = self.config.security.as_mut()?;
        let certificate = Certificate {
            peer,
            role: info.component,
            key: info.public_key.as_ref()?.fingerprint(),
            signing_key: info.signing_key,
            dtls: info.fingerprint,
            not_after_s: seconds.saturating_add(security.certificate_lifetime.as_secs()),
            serial: u64::from_be_bytes(*security.random()),
        };
        self.deadlines.set(
            Deadline::Certificate(peer),
            self.now + security.certificate_lifetime / 2,
        );
        Some(Base64(security.authority.certify(&certificate)))
    }

    pub(super) fn renew_certificate(&mut self, peer: PeerId) {
        if let Some(certificate) = self.certificate(peer) {
            self.send(peer, ToPeer::Certificate { certificate });
        }
    }

    /// Whose key it is that the peer has proven.
    pub(super) fn key_of(&self, peer: PeerId) -> Option<KeyFingerprint> {
        let key = self.peers.get(&peer)?.info.public_key.as_ref()?;
        Some(key.fingerprint())
    }

    /// Everybody with this key is put out, and stays out until [`Self::unblock`]. Gives how many there were.
    pub fn block(&mut self, now: Time, key: KeyFingerprint, out: &mut Vec<Output>) -> usize {
        if let Some(security) = &mut self.config.security {
            security.blocked.insert(key);
        }
        self.put_out_all(now, key, BLOCKED, out)
    }

    /// Whoever has this key may come in again.
    pub fn unblock(&mut self, key: KeyFingerprint) {
        if let Some(security) = &mut self.config.security {
            security.blocked.remove(&key);
        }
    }

    /// Everybody with this key is put out, at once and everywhere. Gives how many there were.
    pub fn revoke(&mut self, now: Time, key: KeyFingerprint, out: &mut Vec<Output>) -> usize {
        self.put_out_all(now, key, "this peer's key was revoked", out)
    }

    fn put_out_all(
        &mut self,
        now: Time,
        key: KeyFingerprint,
        words: &str,
        out: &mut Vec<Output>,
    ) -> usize {
        self.now = now.max(self.now);
        self.happened.clear();
        let theirs: Vec<PeerId> = self
            .peers
            .keys()
            .copied()
            .filter(|&peer| self.key_of(peer) == Some(key))
            .collect();
        for &peer in &theirs {
            self.put_out(peer, words);
        }
        out.append(&mut self.outbox);
        theirs.len()
    }

    /// The invitation lets nobody in any more, and whoever came by it is out of its stream, at once. Gives how many
    /// there were.
    pub fn revoke_invitation(
        &mut self,
        now: Time,
        invitation: InvitationId,
        out: &mut Vec<Output>,
    ) -> usize {
        self.now = now.max(self.now);
        self.happened.clear();
        if let Some(security) = &mut self.config.security {
            security.revoked_invitations.insert(invitation);
        }
        let theirs: Vec<(StreamId, PeerId)> = self
            .invited_places()
            .filter(|&(_, _, by)| by == invitation)
            .map(|(stream, peer, _)| (stream, peer))
            .collect();
        for &(stream, peer) in &theirs {
            self.note(Some(peer), Some(stream), What::InvitationRevoked);
            self.cut_off(peer);
            self.withdraw(peer, stream);
            self.refuse_stream(peer, stream, Refusal::NotInvited, TAKEN_BACK);
        }
        // When all are out: whoever still were a member would be given the new key.
        for stream in theirs
            .iter()
            .map(|&(stream, _)| stream)
            .collect::<BTreeSet<_>>()
        {
            self.change_key(stream);
        }
        out.append(&mut self.outbox);
        theirs.len()
    }

    /// How many watch by each invitation; those by whose nobody does are not in it.
    pub fn watching_by_invitation(&self) -> BTreeMap<InvitationId, usize> {
        let mut counts = BTreeMap::new();
        for (_, _, by) in self.invited_places() {
            *counts.entry(by).or_default() += 1;
        }
        counts
    }

    fn invited_places(&self) -> impl Iterator<Item = (StreamId, PeerId, InvitationId)> {
        self.peers.iter().flat_map(|(&peer, known)| {
            let places = known.places.iter();
            places.filter_map(move |(&stream, place)| Some((stream, peer, place.invitation?)))
        })
    }

    /// Closes the peer's socket and its links, and changes the keys that it knows.
    fn put_out(&mut self, peer: PeerId, words: &str) {
        let streams: Vec<StreamId> = self.forest.streams_of(peer).collect();
        self.cut_off(peer);
        if self.is_connected(peer) {
            self.refuse_peer(peer, Refusal::Revoked, words);
        } else {
            self.gone(peer);
        }
        for stream in streams {
            self.change_key(stream);
        }
    }

    /// Whoever is linked to it closes that link, whatever the peer itself does; who is away hears of it later.
    fn cut_off(&mut self, peer: PeerId) {
        let mut neighbours = BTreeSet::new();
        for stream in self.forest.streams_of(peer) {
            if let Some(graph) = self.forest.graph(stream) {
                let near = |&(other, _): &(PeerId, _)| self.are_neighbours(peer, other);
                neighbours.extend(graph.iter().filter(near).map(|(other, _)| other));
            }
        }
        for neighbour in neighbours {
            self.send(neighbour, ToPeer::Expel { peer });
        }
        let lifetime = self.config.security.as_ref();
        let lifetime = lifetime.map_or(Duration::ZERO, |security| security.certificate_lifetime);
        let put_out = &mut self.admissions.put_out;
        put_out.truncate(MAX_PUT_OUT - 1);
        put_out.push_front((peer, self.now + lifetime));
    }

    /// A peer that was away may still be linked to somebody who was put out meanwhile, and whose certificate it has seen.
    pub(super) fn expel_those_put_out(&mut self, from: PeerId) {
        let now = self.now;
        self.admissions.put_out.retain(|&(_, until)| until > now);
        for (peer, _) in self.admissions.put_out.clone() {
            self.send(from, ToPeer::Expel { peer });
        }
        let security = self.config.security.as_ref();
        let certified = security.filter(|s| now < self.started + s.certificate_lifetime);
        for key in certified.map(|s| s.put_out.clone()).unwrap_or_default() {
            self.send(from, ToPeer::ExpelKey { key });
        }
    }

    /// One peer says that its parent passed on something forged. Two in different networks are believed; of one family, for
    /// many a host has an address of each. A broadcaster is never put out for it: what it signs is what viewers are to see,
    /// and who may not be believed cannot end a stream.
    pub(super) fn accused(&mut self, accuser: PeerId, stream: StreamId, accused: PeerId) {
        if !self.forest.contains(stream, accuser) || !self.are_neighbours(accuser, accused) {
            return;
        }
        let socket = self.peers.get(&accuser).and_then(|known| known.socket);
        let Some(address) = socket
            .and_then(|id| self.sockets.get(&id))
            .and_then(|socket| socket.address)
        else {
            return;
        };
        let now = self.now;
        let accusers = self.admissions.accusations.entry(accused).or_default();
        accusers.retain(|_, until| *until > now);
        let mut is_news = false;
        if accusers.len() < MAX_ACCUSERS {
            let known = accusers.insert(network(address), now + ACCUSATION_LASTS);
            is_news = known.is_none();
        }
        let of_one_family = |v4| accusers.keys().filter(|at| at.is_ipv4() == v4).count();
        let many = of_one_family(true).max(of_one_family(false)) >= ACCUSERS;
        // Said again and again it would fill the journal.
        if is_news {
            let what = What::Accused { parent: accused };
            self.note(Some(accuser), Some(stream), what);
        }
        let is_broadcaster = |known: &Stream| known.broadcaster == accused;
        if many && !self.streams.values().any(is_broadcaster) {
            if let Some(key) = self.key_of(accused) {
                self.admissions.evicted.insert(key);
                self.outbox.push(Output::PutOut(key));
            }
            self.put_out(accused, "several peers were sent forged media by this one");
        }
    }

    pub(super) fn forget_accusations(&mut self, peer: PeerId) {
        self.admissions.accusations.remove(&peer);
    }
}
