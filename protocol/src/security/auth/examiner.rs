//! The supervisor's side. It proves who a peer is; what that peer may do is the Stream Manager's to say, and
//! so is the verdict, if the proof holds.
//!
//! How long RSA takes to decrypt may tell something of the key (RUSTSEC-2023-0071). So one machine decrypts
//! one answer; whatever is wrong with an answer is refused in the same words; and the outcome leaves a fixed
//! time after the answer came.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{INTRODUCTION_LIMIT, Input, MAX_HANDSHAKE_TEXT, STEP_LIMIT, Step};
use crate::security::authority::Endorsement;
use crate::security::base64::Base64;
use crate::security::boxes::{self, KeyTask, Sealing, purpose};
use crate::security::challenge::{self, NONCE_LEN, Speaker, Transcript};
use crate::security::secret::TokenSecret;
use crate::security::signed::is_signer;
use crate::security::suite::{PublicKey, Suite, choose};
use crate::signal::{Component, FromPeer, PeerInfo, Refusal, ToPeer, VERSIONS};
use crate::time::Time;

/// The outcome leaves at a multiple of this after the answer came: the first that is not over by then. RSA
/// of 4096 bits takes 5 ms or so (docs/security.md).
const OUTCOME_AFTER: Duration = Duration::from_millis(25);

/// What is wrong with an answer, whatever is wrong with it.
const WRONG_ANSWER: &str = "the answer to the challenge is not right";

/// What all examiners of a supervisor share.
#[derive(Debug, Clone)]
pub struct Examination {
    /// Program and version, for people.
    pub software: String,
    /// The handshake keys, the suite liked best first; one for each suite that is taken.
    pub keys: Vec<Endorsement>,
}

impl Examination {
    fn suites(&self) -> Vec<Suite> {
        self.keys.iter().map(|own| own.key.suite()).collect()
    }
}

/// What an examiner asks for.
#[derive(Debug)]
pub enum ExaminerOutput {
    /// Say this to the peer.
    Say(String),
    /// Do this, with the handshake key of its suite, and give back the outcome.
    Task(KeyTask),
    /// The peer has proven who it is. Now it is to be told `PEER_ACCEPTED` or `PEER_REFUSED`.
    Proven(Box<Introduction>),
    /// Say `PEER_REFUSED` with this, and close the socket.
    Refused(Refusal, String),
}

/// A peer that has proven to hold the private key to its public one.
#[derive(Debug)]
pub struct Introduction {
    /// What it said of itself.
    pub info: PeerInfo,
    /// The proven key.
    pub key: PublicKey,
    /// The newest version both speak.
    pub version: u16,
    /// The secret of the join token that it showed.
    pub token: Option<TokenSecret>,
}

/// The supervisor's side of one handshake.
#[derive(Debug)]
pub struct Examiner {
    examination: Arc<Examination>,
    random: Random,
    transcript: Transcript,
    deadline: Time,
    state: State,
}

/// The two numbers, and what they are sealed with.
struct Random {
    nonce: Zeroizing<[u8; NONCE_LEN]>,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random(…)")
    }
}

/// A peer on its way, and which of the supervisor's keys it is examined with.
#[derive(Debug)]
struct Peer {
    introduction: Box<Introduction>,
    own: usize,
}

#[derive(Debug)]
enum State {
    AwaitInfo,
    AwaitConsent(Peer),
    SealNonce(Peer),
    AwaitAnswer(Peer),
    OpenAnswer {
        peer: Peer,
        sealed: Vec<u8>,
        arrived: Time,
    },
    /// All is decided, and nobody is to know yet.
    Hold {
        outcome: Option<Box<Introduction>>,
        until: Time,
    },
    Done,
}

/// Why a peer is refused.
type Refused = (Refusal, String);

fn refused<T>(refusal: Refusal, words: impl Into<String>) -> Result<T, Refused> {
    Err((refusal, words.into()))
}

fn out_of_order<T>() -> Result<T, Refused> {
    refused(Refusal::BadMessage, "that message is not due now")
}

impl Examiner {
    /// Begins. `random`: 64 random bytes for this handshake alone.
    pub fn new(
        examination: Arc<Examination>,
        now: Time,
        random: &[u8; 64],
        out: &mut Vec<ExaminerOutput>,
    ) -> Self {
        let (nonce, ephemeral) = random.split_at(NONCE_LEN);
        let mut examiner = Self {
            random: Random {
                nonce: Zeroizing::new(nonce.try_into().expect("half of 64 bytes")),
                ephemeral: Zeroizing::new(ephemeral.try_into().expect("half of 64 bytes")),
            },
            transcript: Transcript::default(),
            deadline: now + INTRODUCTION_LIMIT,
            state: State::AwaitInfo,
            examination,
        };
        let request = ToPeer::CollectPeerInfoRequest {
            versions: VERSIONS,
            software: examiner.examination.software.clone(),
            suites: examiner.examination.suites(),
        };
        examiner.say(&request, out);
        examiner
    }

    /// When to say [`Input::Tick`] at the latest.
    pub const fn next_wakeup(&self) -> Time {
        match &self.state {
            State::Hold { until, .. } => *until,
            State::Done => Time::NEVER,
            _ => self.deadline,
        }
    }

    /// Takes one step of Fig. 5. After an outcome it says nothing more.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Vec<ExaminerOutput>) {
        let state = core::mem::replace(&mut self.state, State::Done);
        match self.step(now, state, input, out) {
            Ok(next) => self.state = next,
            Err((refusal, words)) => out.push(ExaminerOutput::Refused(refusal, words)),
        }
        self.release(now, out);
    }

    fn step(
        &mut self,
        now: Time,
        state: State,
        input: Input<'_>,
        out: &mut Vec<ExaminerOutput>,
    ) -> Result<State, Refused> {
        match (state, input) {
            (State::Done, _) => Ok(State::Done),
            // Whatever else it says while it waits for the outcome was not due: it has failed, and will hear so
            // when it would have heard anyway.
            (State::Hold { until, .. }, Input::Text(_)) => Ok(State::Hold {
                outcome: None,
                until,
            }),
            (hold @ State::Hold { .. }, _) => Ok(hold),
            (state, _) if now >= self.deadline => self.too_slow(&state),
            (state, Input::Tick) => Ok(state),
            (State::AwaitInfo, Input::Text(text)) => self.info(now, text, out),
            (State::AwaitConsent(peer), Input::Text(text)) => self.consent(now, peer, text, out),
            (State::SealNonce(peer), Input::TaskDone(sealed)) => {
                let Some(sealed) = sealed else {
                    return refused(Refusal::BadMessage, bad_key(peer.introduction.key.suite()));
                };
                Ok(self.challenge(now, peer, sealed.to_vec(), out))
            }
            (State::AwaitAnswer(peer), Input::Text(text)) => self.answer(now, peer, text, out),
            (
                State::OpenAnswer {
                    peer,
                    sealed,
                    arrived,
                },
                Input::TaskDone(answer),
            ) => Ok(State::Hold {
                outcome: answer.and_then(|answer| self.check(peer, &sealed, answer)),
                until: outcome_time(arrived, now),
            }),
            // The one attempt there is has been spoilt: see `Hold`.
            (State::OpenAnswer { arrived, .. }, Input::Text(_)) => Ok(State::Hold {
                outcome: None,
                until: outcome_time(arrived, now),
            }),
            (_, Input::Text(_) | Input::TaskDone(_)) => out_of_order(),
        }
    }

    fn too_slow(&self, state: &State) -> Result<State, Refused> {
        let words = match state {
            State::AwaitInfo => format!(
                "no COLLECT_PEER_INFO_RESPONSE within {} s",
                INTRODUCTION_LIMIT.as_secs()
            ),
            _ => format!(
                "the authentication's next step took more than {} s",
                STEP_LIMIT.as_secs()
            ),
        };
        refused(Refusal::TooSlow, words)
    }

    /// 1 and 3 and 5: says something, which becomes part of what both must have heard alike.
    fn say(&mut self, message: &ToPeer, out: &mut Vec<ExaminerOutput>) {
        let text = message.to_text();
        self.transcript.add(Speaker::Supervisor, &text);
        out.push(ExaminerOutput::Say(text));
    }

    fn hear(&mut self, text: &str) -> Result<FromPeer, Refused> {
        let message = parse(text)?;
        self.transcript.add(Speaker::Peer, text);
        Ok(message)
    }

    /// 2: who it is.
    fn info(
        &mut self,
        now: Time,
        text: &str,
        out: &mut Vec<ExaminerOutput>,
    ) -> Result<State, Refused> {
        let FromPeer::CollectPeerInfoResponse(info) = self.hear(text)? else {
            return refused(
                Refusal::BadMessage,
                "the first message must be COLLECT_PEER_INFO_RESPONSE",
            );
        };
        let peer = self.introduced(info)?;
        let request = ToPeer::AuthenticationRequest(self.examination.keys[peer.own].clone());
        self.say(&request, out);
        self.deadline = now + STEP_LIMIT;
        Ok(State::AwaitConsent(peer))
    }

    fn introduced(&self, info: PeerInfo) -> Result<Peer, Refused> {
        let Some(version) = VERSIONS.common(info.versions) else {
            let words = format!(
                "this supervisor speaks versions {} to {}, {} speaks {} to {}",
                VERSIONS.min, VERSIONS.max, info.software, info.versions.min, info.versions.max
            );
            return refused(Refusal::Version, words);
        };
        let Some(key) = info.public_key.clone() else {
            let words = "only peers that prove who they are come in here, and this one has no \
                         public key: it must be updated";
            return refused(Refusal::NotAuthenticated, words);
        };
        let offered = self.examination.suites();
        let Some(suite) = choose(&offered, &info.suites) else {
            return refused(Refusal::Suite, no_common_suite(&offered));
        };
        let own = offered.iter().position(|own| *own == suite);
        let (true, Some(own)) = (key.suite() == suite, own) else {
            let words = format!("both can do {suite}, but the key shown is {}", key.suite());
            return refused(Refusal::BadMessage, words);
        };
        check_signing_key(&info)?;
        let introduction = Box::new(Introduction {
            info,
            key,
            version,
            token: None,
        });
        Ok(Peer { introduction, own })
    }

    /// 4: it takes the supervisor for what it says it is.
    fn consent(
        &mut self,
        now: Time,
        peer: Peer,
        text: &str,
        out: &mut Vec<ExaminerOutput>,
    ) -> Result<State, Refused> {
        let FromPeer::AuthenticationResponse {} = self.hear(text)? else {
            return out_of_order();
        };
        self.deadline = now + STEP_LIMIT;
        match self.seal_nonce(&peer.introduction.key)? {
            Step::Now(sealed) => Ok(self.challenge(now, peer, sealed, out)),
            Step::After(task) => {
                out.push(ExaminerOutput::Task(task));
                Ok(State::SealNonce(peer))
            }
        }
    }

    fn seal_nonce(&self, to: &PublicKey) -> Result<Step<Vec<u8>>, Refused> {
        let random = &self.random;
        match boxes::seal(to, purpose::NONCE, &random.nonce[..], &random.ephemeral) {
            Ok(Sealing::Done(sealed)) => Ok(Step::Now(sealed)),
            Ok(Sealing::Task(task)) => Ok(Step::After(task)),
            Err(_) => refused(Refusal::BadMessage, bad_key(to.suite())),
        }
    }

    /// 5: the two numbers.
    fn challenge(
        &mut self,
        now: Time,
        peer: Peer,
        sealed: Vec<u8>,
        out: &mut Vec<ExaminerOutput>,
    ) -> State {
        let nonce = Base64(sealed);
        self.say(&ToPeer::AuthenticationChallengeRequest { nonce }, out);
        self.deadline = now + STEP_LIMIT;
        State::AwaitAnswer(peer)
    }

    /// 6: the answer. What is not even an answer tells nothing of a key, and is refused at once.
    fn answer(
        &mut self,
        now: Time,
        peer: Peer,
        text: &str,
        out: &mut Vec<ExaminerOutput>,
    ) -> Result<State, Refused> {
        let FromPeer::AuthenticationChallengeResponse { answer } = parse(text)? else {
            return out_of_order();
        };
        let own = &self.examination.keys[peer.own].key;
        let Ok(task) = boxes::open(own, purpose::ANSWER, &answer.0) else {
            return Ok(State::Hold {
                outcome: None,
                until: outcome_time(now, now),
            });
        };
        out.push(ExaminerOutput::Task(task));
        self.deadline = now + STEP_LIMIT;
        Ok(State::OpenAnswer {
            peer,
            sealed: answer.0,
            arrived: now,
        })
    }

    fn check(&self, peer: Peer, sealed: &[u8], answer: &[u8]) -> Option<Box<Introduction>> {
        let own = &self.examination.keys[peer.own].key;
        let reply = boxes::finish_open(own, purpose::ANSWER, sealed, answer).ok()?;
        let expected = challenge::answer(own.suite(), &self.transcript, &self.random.nonce);
        let token = challenge::check_reply(&reply, &expected).ok()?;
        let mut introduction = peer.introduction;
        introduction.token = token;
        Some(introduction)
    }

    /// Lets the outcome go when its time has come.
    fn release(&mut self, now: Time, out: &mut Vec<ExaminerOutput>) {
        let State::Hold { outcome, until } = &mut self.state else {
            return;
        };
        if now < *until {
            return;
        }
        out.push(match outcome.take() {
            Some(introduction) => ExaminerOutput::Proven(introduction),
            None => ExaminerOutput::Refused(Refusal::NotAuthenticated, WRONG_ANSWER.into()),
        });
        self.state = State::Done;
    }
}

fn parse(text: &str) -> Result<FromPeer, Refused> {
    if text.len() > MAX_HANDSHAKE_TEXT {
        let words = format!(
            "{} bytes, but a text of the authentication has at most {MAX_HANDSHAKE_TEXT}",
            text.len()
        );
        return refused(Refusal::BadMessage, words);
    }
    FromPeer::parse(text).map_err(|error| (Refusal::BadMessage, error.to_string()))
}

/// The first multiple of [`OUTCOME_AFTER`] after `arrived` that is not before `now`.
fn outcome_time(arrived: Time, now: Time) -> Time {
    let step = OUTCOME_AFTER.as_micros();
    let steps = now.since(arrived).as_micros().div_ceil(step).max(1);
    arrived + OUTCOME_AFTER * u32::try_from(steps).unwrap_or(u32::MAX)
}

/// Broadcasters sign their chunks, and nobody else signs anything.
fn check_signing_key(info: &PeerInfo) -> Result<(), Refused> {
    let is_broadcaster = info.component == Component::Broadcaster;
    match &info.signing_key {
        Some(key) if is_broadcaster && is_signer(key) => Ok(()),
        None if !is_broadcaster => Ok(()),
        _ => refused(
            Refusal::BadMessage,
            "a broadcaster has a signing key, and no other peer has one",
        ),
    }
}

fn bad_key(suite: Suite) -> &'static str {
    match suite {
        Suite::Elliptic => "nothing can be sealed to the peer's key",
        Suite::Rsa => {
            "nothing can be sealed to the peer's key: an RSA key must have 2048 to 4096 bits"
        }
    }
}

fn no_common_suite(offered: &[Suite]) -> String {
    match offered {
        [Suite::Rsa] => {
            "this supervisor takes RSA keys alone: a page has them only over https, a service only \
             with suites = [\"rsa\"] in its configuration"
                .into()
        }
        [Suite::Elliptic] => "this supervisor takes elliptic keys alone: a service needs suites = \
             [\"elliptic\"] in its configuration"
            .into(),
        _ => "the peer has no key of a suite that this supervisor takes".into(),
    }
}
