//! The peer's side: it makes sure of the supervisor before it proves anything to it.

use super::{INTRODUCTION_LIMIT, Input, STEP_LIMIT};
use crate::id::{AuthorityFingerprint, SignerKey};
use crate::security::authority::{Endorsement, fingerprint};
use crate::security::base64::Base64;
use crate::security::boxes::{self, KeyTask, Sealing, purpose};
use crate::security::certificate::Certificate;
use crate::security::challenge::{self, Speaker, Transcript};
use crate::security::secret::{HandshakeSeed, TokenSecret};
use crate::security::suite::{PublicKey, Suite, choose};
use crate::signal::{FromPeer, IceServer, PeerInfo, Refusal, ToPeer, VERSIONS, VersionRange};
use crate::time::Time;

/// Who a peer is and what it expects.
#[derive(Debug, Clone)]
pub struct CandidateConfig {
    /// What it says of itself. `public_key` and `suites` are filled in here.
    pub info: PeerInfo,
    /// Its public keys, one for each suite it can do.
    pub keys: Vec<PublicKey>,
    /// The secret of its join token, if it is to come in by one.
    pub token: Option<TokenSecret>,
    /// The one authority it trusts. None: it takes the one it finds, because it came by https, or for the
    /// first time.
    pub pin: Option<AuthorityFingerprint>,
    /// The newest term of the supervisor that it has seen; an older one is refused.
    pub newest_term: u64,
}

/// What a candidate asks for.
#[derive(Debug)]
pub enum CandidateOutput {
    /// Say this to the supervisor.
    Say(String),
    /// Do this, with the private key of its suite, and give back the outcome.
    Task(KeyTask),
    /// It is in.
    Accepted(Box<Acceptance>),
    /// The supervisor will not have it, and closes the socket.
    Refused(Refusal, String),
    /// This supervisor is not to be trusted, or makes no sense: close the socket.
    HangUp(String),
}

/// What a peer has when it is in: the fields of `PEER_ACCEPTED`, and what was made sure of.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptance {
    /// The version both speak from now on.
    pub version: u16,
    /// For its links.
    pub ice_servers: Vec<IceServer>,
    /// See [`ToPeer::PeerAccepted`].
    pub external_address: Option<String>,
    /// Supervisor's time, microseconds since 1970.
    pub supervisor_us: i64,
    /// What other peers' certificates, grants and the like are checked with.
    pub authority: SignerKey,
    /// Which run of the supervisor it is.
    pub term: u64,
    /// Its certificate, checked.
    pub certificate: Certificate,
    /// The same as it is shown to neighbours.
    pub signed: Vec<u8>,
}

/// The peer's side of one handshake.
#[derive(Debug)]
pub struct Candidate {
    config: CandidateConfig,
    random: HandshakeSeed,
    transcript: Transcript,
    deadline: Time,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitRequest,
    AwaitEndorsement { own: PublicKey },
    AwaitNonce(Parties),
    OpenNonce { parties: Parties, sealed: Vec<u8> },
    SealAnswer(Parties),
    AwaitVerdict(Parties),
    Done,
}

/// The keys of both.
#[derive(Debug)]
struct Parties {
    own: PublicKey,
    supervisor: Box<Endorsement>,
}

/// Why the candidate hangs up.
type Words = String;

fn out_of_order<T>() -> Result<T, Words> {
    Err("the supervisor's messages are out of order".into())
}

impl Candidate {
    /// Begins, when the socket is open.
    pub fn new(config: CandidateConfig, now: Time, random: HandshakeSeed) -> Self {
        Self {
            config,
            random,
            transcript: Transcript::default(),
            deadline: now + INTRODUCTION_LIMIT,
            state: State::AwaitRequest,
        }
    }

    /// When to say [`Input::Tick`] at the latest.
    pub const fn next_wakeup(&self) -> Time {
        match self.state {
            State::Done => Time::NEVER,
            _ => self.deadline,
        }
    }

    /// Takes one step of Fig. 5. After an outcome it says nothing more.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Vec<CandidateOutput>) {
        let state = core::mem::replace(&mut self.state, State::Done);
        if matches!(state, State::Done) {
            return;
        }
        match self.step(now, state, input, out) {
            Ok(next) => self.state = next,
            Err(words) => out.push(CandidateOutput::HangUp(words)),
        }
    }

    fn step(
        &mut self,
        now: Time,
        state: State,
        input: Input<'_>,
        out: &mut Vec<CandidateOutput>,
    ) -> Result<State, Words> {
        if now >= self.deadline {
            return Err("the supervisor took too long to authenticate this peer".into());
        }
        match (state, input) {
            (state, Input::Tick) => Ok(state),
            (state, Input::Text(text)) => {
                let message = parse(text)?;
                self.deadline = now + STEP_LIMIT;
                self.heard(state, text, message, out)
            }
            (State::OpenNonce { parties, sealed }, Input::TaskDone(answer)) => {
                self.open_nonce(parties, &sealed, answer, out)
            }
            (State::SealAnswer(parties), Input::TaskDone(sealed)) => {
                let sealed = sealed.ok_or("nothing can be sealed to the supervisor's key")?;
                say_answer(sealed.to_vec(), out);
                Ok(State::AwaitVerdict(parties))
            }
            (_, Input::TaskDone(_)) => Err("a task was done that nobody asked for".into()),
        }
    }

    fn heard(
        &mut self,
        state: State,
        text: &str,
        message: ToPeer,
        out: &mut Vec<CandidateOutput>,
    ) -> Result<State, Words> {
        match (state, message) {
            (_, ToPeer::PeerRefused { refusal, words }) => {
                out.push(CandidateOutput::Refused(refusal, words));
                Ok(State::Done)
            }
            (
                State::AwaitRequest,
                ToPeer::CollectPeerInfoRequest {
                    versions, suites, ..
                },
            ) => {
                self.transcript.add(Speaker::Supervisor, text);
                self.introduce(versions, &suites, out)
            }
            (State::AwaitEndorsement { own }, ToPeer::AuthenticationRequest(endorsement)) => {
                self.transcript.add(Speaker::Supervisor, text);
                self.check_supervisor(&own, &endorsement)?;
                self.say(&FromPeer::AuthenticationResponse {}, out);
                let supervisor = Box::new(endorsement);
                Ok(State::AwaitNonce(Parties { own, supervisor }))
            }
            (
                State::AwaitNonce(parties),
                ToPeer::AuthenticationChallengeRequest {
                    nonce: Base64(sealed),
                },
            ) => {
                self.transcript.add(Speaker::Supervisor, text);
                let task = boxes::open(&parties.own, purpose::NONCE, &sealed)
                    .map_err(|error| format!("the supervisor's challenge: {error}"))?;
                out.push(CandidateOutput::Task(task));
                Ok(State::OpenNonce { parties, sealed })
            }
            (State::AwaitVerdict(parties), accepted @ ToPeer::PeerAccepted { .. }) => {
                let acceptance = self.accepted(&parties, accepted)?;
                out.push(CandidateOutput::Accepted(Box::new(acceptance)));
                Ok(State::Done)
            }
            _ => out_of_order(),
        }
    }

    fn say(&mut self, message: &FromPeer, out: &mut Vec<CandidateOutput>) {
        let text = message.to_text();
        self.transcript.add(Speaker::Peer, &text);
        out.push(CandidateOutput::Say(text));
    }

    /// 2: who it is. If it can do none of the suites it says so all the same, and is refused in words.
    fn introduce(
        &mut self,
        versions: VersionRange,
        offered: &[Suite],
        out: &mut Vec<CandidateOutput>,
    ) -> Result<State, Words> {
        if VERSIONS.common(versions).is_none() {
            return Err(format!(
                "the supervisor speaks versions {} to {}, this peer {} to {}: one of them must be updated",
                versions.min, versions.max, VERSIONS.min, VERSIONS.max
            ));
        }
        if offered.is_empty() {
            return Err("the supervisor does not authenticate peers: it must be updated".into());
        }
        let mine: Vec<Suite> = self.config.keys.iter().map(PublicKey::suite).collect();
        let agreed = choose(offered, &mine);
        let own = match agreed {
            Some(suite) => self.config.keys.iter().find(|key| key.suite() == suite),
            None => self.config.keys.first(),
        };
        let own = own.ok_or("this peer has no key at all")?.clone();
        let info = PeerInfo {
            public_key: Some(own.clone()),
            suites: mine,
            ..self.config.info.clone()
        };
        self.say(&FromPeer::CollectPeerInfoResponse(info), out);
        Ok(State::AwaitEndorsement { own })
    }

    /// 3: whether that is the supervisor it expects.
    fn check_supervisor(&self, own: &PublicKey, endorsement: &Endorsement) -> Result<(), Words> {
        let found = fingerprint(&endorsement.authority);
        if let Some(pinned) = self.config.pin.filter(|pinned| *pinned != found) {
            return Err(format!(
                "the supervisor's authority is {found}, but the one this peer was told to trust is {pinned}"
            ));
        }
        if !endorsement.is_genuine() {
            return Err("the supervisor's key is not endorsed by its authority".into());
        }
        if endorsement.term < self.config.newest_term {
            return Err(format!(
                "the supervisor's key is of term {}, which is over: it is {} now",
                endorsement.term, self.config.newest_term
            ));
        }
        if endorsement.key.suite() != own.suite() {
            return out_of_order();
        }
        Ok(())
    }

    /// 6: the answer, and the token, to nobody but that supervisor.
    fn open_nonce(
        &self,
        parties: Parties,
        sealed: &[u8],
        answer: Option<&[u8]>,
        out: &mut Vec<CandidateOutput>,
    ) -> Result<State, Words> {
        let does_not_open = "the supervisor's challenge does not open with this peer's key";
        let answer = answer.ok_or(does_not_open)?;
        let nonce = boxes::finish_open(&parties.own, purpose::NONCE, sealed, answer)
            .map_err(|_| does_not_open)?;
        let nonce = nonce[..].try_into().map_err(|_| does_not_open)?;
        let number = challenge::answer(parties.own.suite(), &self.transcript, nonce);
        let reply = challenge::reply(&number, self.config.token.as_ref());
        let to = &parties.supervisor.key;
        match boxes::seal(to, purpose::ANSWER, &reply, self.random.as_bytes()) {
            Ok(Sealing::Done(sealed)) => {
                say_answer(sealed, out);
                Ok(State::AwaitVerdict(parties))
            }
            Ok(Sealing::Task(task)) => {
                out.push(CandidateOutput::Task(task));
                Ok(State::SealAnswer(parties))
            }
            Err(error) => Err(format!("the supervisor's key: {error}")),
        }
    }

    /// 7: it is in, if its certificate is one.
    fn accepted(&self, parties: &Parties, accepted: ToPeer) -> Result<Acceptance, Words> {
        let ToPeer::PeerAccepted {
            version,
            ice_servers,
            external_address,
            supervisor_us,
            certificate,
        } = accepted
        else {
            return out_of_order();
        };
        let Base64(signed) = certificate.ok_or("the supervisor gave no certificate")?;
        let authority = parties.supervisor.authority;
        // By the supervisor's clock: a board may have none.
        let now_s = u64::try_from(supervisor_us / 1_000_000).unwrap_or(0);
        let certificate = Certificate::check(&signed, &authority, now_s)
            .map_err(|error| format!("this peer's own certificate: {error}"))?;
        let info = &self.config.info;
        certificate
            .for_self(
                info.peer,
                info.component,
                info.fingerprint,
                parties.own.fingerprint(),
            )
            .map_err(|error| format!("this peer's own certificate: {error}"))?;
        if certificate.signing_key != info.signing_key {
            return Err("this peer's own certificate names another signing key".into());
        }
        Ok(Acceptance {
            version,
            ice_servers,
            external_address,
            supervisor_us,
            authority,
            term: parties.supervisor.term,
            certificate,
            signed,
        })
    }
}

fn parse(text: &str) -> Result<ToPeer, Words> {
    ToPeer::parse(text).map_err(|error| format!("the supervisor said something strange: {error}"))
}

fn say_answer(sealed: Vec<u8>, out: &mut Vec<CandidateOutput>) {
    let answer = Base64(sealed);
    let message = FromPeer::AuthenticationChallengeResponse { answer };
    out.push(CandidateOutput::Say(message.to_text()));
}
