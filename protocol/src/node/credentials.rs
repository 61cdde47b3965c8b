//! Who the peer is, and who its neighbours are: the handshake with the supervisor, its certificate, the stream
//! keys it is given.
//!
//! Private keys are absent: what takes one goes out as a task, and its answer comes in.

use std::collections::BTreeMap;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Event, Node, Output};
use crate::id::{AuthorityFingerprint, KeyFingerprint, LinkId, SignerKey, StreamId};
use crate::link::Phase;
use crate::security::auth::{self, Acceptance, Candidate, CandidateConfig, CandidateOutput};
use crate::security::boxes::{self, KeyTask, purpose};
use crate::security::certificate::Certificate;
use crate::security::secret::{HandshakeSeed, StreamKey, TokenSecret};
use crate::security::suite::PublicKey;
use crate::time::{ClockMap, Time};
use crate::wire::Control;

/// Tasks that may wait for their answers. Guess: a key for each stream of a relay, several times over.
const MAX_TASKS: usize = 256;

/// What a peer proves itself with, and how hard it checks others.
#[derive(Debug, Clone)]
pub struct Security {
    /// Its public keys, one for each suite it can do.
    pub keys: Vec<PublicKey>,
    /// What its chunks are signed with; broadcasters only.
    pub signing_key: Option<SignerKey>,
    /// Lets it in once; services only.
    pub token: Option<TokenSecret>,
    /// The one authority it trusts. None: the first it finds.
    pub pin: Option<AuthorityFingerprint>,
    /// The share of groups of chunks that it checks (the paper's threshold, §III.C.2).
    pub threshold: f64,
}

/// What the peer has once it is in.
#[derive(Debug)]
struct Credentials {
    authority: SignerKey,
    own_key: KeyFingerprint,
    signed: Bytes,
    /// The supervisor's time when it let us in: until clocks agree there is no better.
    clock: ClockMap,
}

/// What a task's answer is for.
#[derive(Debug)]
enum Purpose {
    Handshake,
    StreamKey {
        stream: StreamId,
        key_id: u8,
        sealed: Vec<u8>,
    },
}

/// The state of all this.
#[derive(Debug, Default)]
pub(super) struct Papers {
    candidate: Option<Box<Candidate>>,
    credentials: Option<Credentials>,
    newest_term: u64,
    tasks: BTreeMap<u64, Purpose>,
    made_tasks: u64,
}

impl Papers {
    pub(super) fn next_wakeup(&self) -> Time {
        self.candidate
            .as_ref()
            .map_or(Time::NEVER, |c| c.next_wakeup())
    }

    pub(super) const fn is_examined(&self) -> bool {
        self.candidate.is_some()
    }

    /// The authority's key, if there is one.
    pub(super) fn authority(&self) -> Option<SignerKey> {
        self.credentials.as_ref().map(|c| c.authority)
    }

    /// Our certificate, as neighbours are shown it; empty where nobody is certified.
    pub(super) fn certificate(&self) -> Bytes {
        let credentials = self.credentials.as_ref();
        credentials.map(|c| c.signed.clone()).unwrap_or_default()
    }

    /// The handshake is off: the socket is closed.
    pub(super) fn drop_candidate(&mut self) {
        self.candidate = None;
        self.tasks
            .retain(|_, purpose| !matches!(purpose, Purpose::Handshake));
    }
}

impl Node {
    /// One more key that the peer can prove itself with, from the next handshake on.
    pub fn add_key(&mut self, key: PublicKey) {
        if let Some(security) = &mut self.config.security {
            security.keys.retain(|known| known.suite() != key.suite());
            security.keys.push(key);
        }
    }

    /// The socket is open: the handshake begins, where there is one. Says whether there is.
    pub(super) fn begin_handshake(&mut self, now: Time, random: HandshakeSeed) -> bool {
        let Some(security) = &self.config.security else {
            return false;
        };
        let config = CandidateConfig {
            info: self.info(),
            keys: security.keys.clone(),
            token: security.token.clone(),
            pin: security.pin,
            newest_term: self.papers.newest_term,
        };
        self.papers.candidate = Some(Box::new(Candidate::new(config, now, random)));
        true
    }

    pub(super) fn examine(&mut self, now: Time, input: auth::Input<'_>, out: &mut Vec<Output>) {
        let Some(candidate) = &mut self.papers.candidate else {
            return;
        };
        let mut steps = Vec::new();
        candidate.handle(now, input, &mut steps);
        for step in steps {
            match step {
                CandidateOutput::Say(text) => out.push(Output::Signal(text)),
                CandidateOutput::Task(task) => self.ask_for(task, Purpose::Handshake, out),
                CandidateOutput::Accepted(acceptance) => self.accepted(now, *acceptance, out),
                CandidateOutput::Refused(refusal, words) => {
                    self.papers.drop_candidate();
                    out.push(Output::Event(Event::Refused(refusal, words)));
                }
                CandidateOutput::HangUp(words) => self.hang_up(words, out),
            }
        }
    }

    fn accepted(&mut self, now: Time, acceptance: Acceptance, out: &mut Vec<Output>) {
        self.papers.drop_candidate();
        self.papers.newest_term = acceptance.term;
        self.papers.credentials = Some(Credentials {
            authority: acceptance.authority,
            own_key: acceptance.certificate.key,
            signed: acceptance.signed.into(),
            clock: ClockMap::from_exchange(now, acceptance.supervisor_us, now),
        });
        out.push(Output::Event(Event::Authority(
            crate::security::authority::fingerprint(&acceptance.authority),
        )));
        out.push(Output::IceServers(
            acceptance.ice_servers,
            acceptance.external_address,
        ));
        self.show_certificate(now, out);
        self.taken_in(now, out);
    }

    /// Every neighbour is shown the newest certificate: the one it has will end.
    fn show_certificate(&mut self, now: Time, out: &mut Vec<Output>) {
        let certificate = self.papers.certificate();
        let ready: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.phase == Phase::Ready)
            .map(|(&id, _)| id)
            .collect();
        for id in ready {
            self.say(now, id, &Control::Certificate(certificate.clone()), out);
        }
    }

    /// The supervisor's own word: a certificate in the place of the one that is about to end.
    pub(super) fn certificate_renewed(
        &mut self,
        now: Time,
        signed: Vec<u8>,
        out: &mut Vec<Output>,
    ) {
        let seconds = self.supervisor_seconds(now);
        let (me, component, dtls) = (
            self.config.peer,
            self.config.component,
            self.config.fingerprint,
        );
        let Some(credentials) = &mut self.papers.credentials else {
            return;
        };
        let ours = Certificate::check(&signed, &credentials.authority, seconds)
            .is_ok_and(|c| c.for_self(me, component, dtls, credentials.own_key).is_ok());
        if ours {
            credentials.signed = signed.into();
            self.show_certificate(now, out);
        }
    }

    /// The supervisor's time of day, as well as it is known, seconds since 1970.
    pub(super) fn supervisor_seconds(&self, now: Time) -> u64 {
        let entered = self.papers.credentials.as_ref().map(|c| c.clock);
        let map = self.session.clock().or(entered).unwrap_or_default();
        u64::try_from(map.to_supervisor_us(now) / 1_000_000).unwrap_or(0)
    }

    /// Whether the neighbour at `id` is who it was said to be; in words, if not.
    pub(super) fn check_certificate(
        &mut self,
        now: Time,
        id: LinkId,
        signed: &[u8],
    ) -> Result<(), String> {
        if self.config.security.is_none() {
            return Ok(());
        }
        let authority = self
            .papers
            .authority()
            .ok_or("this peer has no authority to check a certificate with")?;
        let seconds = self.supervisor_seconds(now);
        let certificate =
            Certificate::check(signed, &authority, seconds).map_err(|error| error.to_string())?;
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        certificate
            .for_neighbour(link.peer, link.component, link.fingerprint)
            .map_err(|error| error.to_string())?;
        link.key = Some(certificate.key);
        link.certified_until_s = certificate.not_after_s;
        Ok(())
    }

    fn ask_for(&mut self, task: KeyTask, purpose: Purpose, out: &mut Vec<Output>) {
        if self.papers.tasks.len() >= MAX_TASKS {
            return; // a supervisor that gives keys faster than anybody opens them
        }
        self.papers.made_tasks += 1;
        self.papers.tasks.insert(self.papers.made_tasks, purpose);
        out.push(Output::KeyTask(self.papers.made_tasks, task));
    }

    /// The supervisor gives a stream's key.
    pub(super) fn key_given(
        &mut self,
        stream: StreamId,
        key_id: u8,
        sealed: Vec<u8>,
        out: &mut Vec<Output>,
    ) {
        let Some(own) = self.own_public_key() else {
            return;
        };
        match boxes::open(&own, purpose::STREAM_KEY, &sealed) {
            Ok(task) => self.ask_for(
                task,
                Purpose::StreamKey {
                    stream,
                    key_id,
                    sealed,
                },
                out,
            ),
            Err(error) => self.hang_up(format!("the supervisor's stream key: {error}"), out),
        }
    }

    /// The public key that the supervisor knows us by.
    fn own_public_key(&self) -> Option<PublicKey> {
        let known = self.papers.credentials.as_ref()?.own_key;
        let keys = &self.config.security.as_ref()?.keys;
        keys.iter().find(|key| key.fingerprint() == known).cloned()
    }

    /// A task is done, or cannot be.
    pub(super) fn task_done(
        &mut self,
        now: Time,
        task: u64,
        answer: Option<Zeroizing<Vec<u8>>>,
        out: &mut Vec<Output>,
    ) {
        match self.papers.tasks.remove(&task) {
            Some(Purpose::Handshake) => {
                let answer = answer.as_ref().map(|bytes| bytes.as_slice());
                self.examine(now, auth::Input::TaskDone(answer), out);
            }
            Some(Purpose::StreamKey {
                stream,
                key_id,
                sealed,
            }) => {
                let opened = self
                    .own_public_key()
                    .zip(answer)
                    .and_then(|(own, answer)| stream_key(&own, &sealed, &answer, stream, key_id));
                if let Some(key) = opened {
                    self.key_opened(now, stream, key_id, key, out);
                }
            }
            None => {}
        }
    }
}

/// Bytes of a sealed stream key's contents: stream, number, key.
const CONTENTS: usize = 16 + 1 + 32;

/// What a stream key is sealed as: with its stream and its number, so that nobody in between can swap them.
pub(crate) fn key_contents(stream: StreamId, key_id: u8, key: &StreamKey) -> Zeroizing<Vec<u8>> {
    let mut contents = Vec::with_capacity(CONTENTS);
    contents.extend_from_slice(stream.as_bytes());
    contents.push(key_id);
    contents.extend_from_slice(key.as_bytes());
    Zeroizing::new(contents)
}

fn stream_key(
    own: &PublicKey,
    sealed: &[u8],
    answer: &[u8],
    stream: StreamId,
    key_id: u8,
) -> Option<StreamKey> {
    let contents = boxes::finish_open(own, purpose::STREAM_KEY, sealed, answer).ok()?;
    let (name, key) = contents.split_at_checked(17)?;
    let named = name[..16] == stream.as_bytes()[..] && name[16] == key_id;
    let key = key.try_into().ok().filter(|_| named)?;
    Some(StreamKey::from_bytes(key))
}
