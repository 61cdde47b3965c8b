use std::sync::Arc;

use super::*;
use crate::id::{Fingerprint, PeerId, SignerKey};
use crate::security::authority::{Authority, Endorsement, fingerprint};
use crate::security::base64::Base64;
use crate::security::certificate::Certificate;
use crate::security::local::EllipticKey;
use crate::security::secret::{HandshakeSeed, Seed, TokenSecret};
use crate::security::suite::PublicKey;
use crate::signal::{Component, FromPeer, PeerInfo, Refusal, ToPeer, VERSIONS, VersionRange};
use crate::time::Time;

fn elliptic(n: u8) -> EllipticKey {
    EllipticKey::new(Seed::from_bytes([n; 32]))
}

fn authority() -> Authority {
    Authority::new(&Seed::from_bytes([50; 32]))
}

fn info() -> PeerInfo {
    PeerInfo {
        versions: VERSIONS,
        peer: PeerId::from_bytes([1; 16]),
        component: Component::Relay,
        fingerprint: Fingerprint::from_bytes([2; 32]),
        uplink_kbps: 1000,
        relays: true,
        software: "test".into(),
        name: None,
        public_key: None,
        suites: vec![],
        signing_key: None,
    }
}

fn config() -> CandidateConfig {
    CandidateConfig {
        info: info(),
        keys: vec![elliptic(3).public_key()],
        token: None,
        pin: Some(authority().fingerprint()),
        newest_term: 0,
    }
}

fn examination() -> Examination {
    Examination {
        software: "supervisor".into(),
        keys: vec![authority().endorse(elliptic(4).public_key(), 7)],
    }
}

type Answers = Box<dyn FnMut(&KeyTask) -> Option<Vec<u8>>>;

fn with_key(key: EllipticKey) -> Answers {
    Box::new(move |task| key.answer(task).map(|answer| answer.to_vec()))
}

/// Supervisor and peer, and somebody between them who may put in texts of his own.
struct Room {
    examiner: Examiner,
    candidate: Candidate,
    supervisors: Answers,
    peers: Answers,
    /// What stands between: takes a text and gives the one that arrives.
    between: Box<dyn FnMut(String) -> String>,
    now: Time,
    to_peer: Vec<String>,
    to_supervisor: Vec<String>,
    examined: Vec<ExaminerOutput>,
    candidates: Vec<CandidateOutput>,
}

impl Room {
    fn new(examination: Examination, config: CandidateConfig) -> Self {
        let now = Time::from_millis(1_000);
        let mut examined = Vec::new();
        let examiner = Examiner::new(Arc::new(examination), now, &[5; 64], &mut examined);
        Self {
            examiner,
            candidate: Candidate::new(config, now, HandshakeSeed::from_bytes([6; 32])),
            supervisors: with_key(elliptic(4)),
            peers: with_key(elliptic(3)),
            between: Box::new(|text| text),
            now,
            to_peer: Vec::new(),
            to_supervisor: Vec::new(),
            examined,
            candidates: Vec::new(),
        }
    }

    fn usual() -> Self {
        Self::new(examination(), config())
    }

    /// Lets both talk until neither has more to say, and time passes only to let the outcome go.
    fn talk(mut self) -> Self {
        for _ in 0..20 {
            self.serve();
            self.deliver();
        }
        self.now += Duration::from_millis(25);
        self.examine(Input::Tick);
        self.serve();
        self.deliver();
        self
    }

    fn examine(&mut self, input: Input<'_>) {
        self.examiner.handle(self.now, input, &mut self.examined);
    }

    /// Carries out what the machines ask for; the outcomes stay.
    fn serve(&mut self) {
        for output in core::mem::take(&mut self.examined) {
            match output {
                ExaminerOutput::Say(text) => self.to_peer.push(text),
                ExaminerOutput::Task(task) => {
                    let answer = (self.supervisors)(&task);
                    self.examine(Input::TaskDone(answer.as_deref()));
                }
                outcome => self.examined.push(outcome),
            }
        }
        for output in core::mem::take(&mut self.candidates) {
            match output {
                CandidateOutput::Say(text) => self.to_supervisor.push(text),
                CandidateOutput::Task(task) => {
                    let answer = (self.peers)(&task);
                    let input = Input::TaskDone(answer.as_deref());
                    let mut out = Vec::new();
                    self.candidate.handle(self.now, input, &mut out);
                    self.candidates.extend(out);
                }
                outcome => self.candidates.push(outcome),
            }
        }
    }

    fn deliver(&mut self) {
        for text in core::mem::take(&mut self.to_peer) {
            let text = (self.between)(text);
            let input = Input::Text(&text);
            self.candidate.handle(self.now, input, &mut self.candidates);
        }
        for text in core::mem::take(&mut self.to_supervisor) {
            let text = (self.between)(text);
            self.examine(Input::Text(&text));
        }
    }

    fn proven(&self) -> Option<&Introduction> {
        self.examined.iter().find_map(|output| match output {
            ExaminerOutput::Proven(introduction) => Some(&**introduction),
            _ => None,
        })
    }

    fn refused(&self) -> (Refusal, &str) {
        let refused = self.examined.iter().find_map(|output| match output {
            ExaminerOutput::Refused(refusal, words) => Some((*refusal, words.as_str())),
            _ => None,
        });
        refused.unwrap_or_else(|| panic!("not refused: {:?}", self.examined))
    }

    fn hung_up(&self) -> &str {
        let words = self.candidates.iter().find_map(|output| match output {
            CandidateOutput::HangUp(words) => Some(words.as_str()),
            _ => None,
        });
        words.unwrap_or_else(|| panic!("did not hang up: {:?}", self.candidates))
    }

    fn tell_peer(&mut self, message: &ToPeer) {
        let text = message.to_text();
        let input = Input::Text(&text);
        self.candidate.handle(self.now, input, &mut self.candidates);
    }
}

fn certificate() -> Certificate {
    Certificate {
        peer: info().peer,
        role: Component::Relay,
        key: elliptic(3).public_key().fingerprint(),
        signing_key: None,
        dtls: info().fingerprint,
        not_after_s: 2_000,
        serial: 1,
    }
}

fn accepted(signed: Option<Vec<u8>>) -> ToPeer {
    ToPeer::PeerAccepted {
        version: 1,
        ice_servers: vec![],
        external_address: None,
        supervisor_us: 1_000_000_000,
        certificate: signed.map(Base64),
    }
}

#[test]
fn a_peer_that_holds_its_key_is_proven_and_believes_its_certificate() {
    let mut room = Room::usual().talk();
    let introduction = room.proven().expect("proven");
    assert_eq!(introduction.key, elliptic(3).public_key());
    assert_eq!(introduction.info.peer, info().peer);
    assert!(introduction.token.is_none());

    room.tell_peer(&accepted(Some(authority().certify(&certificate()))));
    let [CandidateOutput::Accepted(acceptance)] = &room.candidates[..] else {
        panic!("{:?}", room.candidates);
    };
    assert_eq!(acceptance.certificate, certificate());
    assert_eq!(acceptance.authority, authority().public());
    assert_eq!(acceptance.term, 7);
    assert_eq!(room.candidate.next_wakeup(), Time::NEVER);
    assert_eq!(room.examiner.next_wakeup(), Time::NEVER);
}

#[test]
fn a_join_tokens_secret_reaches_the_supervisor_and_stands_in_no_text() {
    let token = TokenSecret::from_bytes([0x77; 16]);
    let mut room = Room::new(
        examination(),
        CandidateConfig {
            token: Some(token),
            ..config()
        },
    );
    room.between = Box::new(|text| {
        assert!(!text.contains("d3d3d3"), "base64 of it"); // "wwww"
        text
    });
    let room = room.talk();
    let proven = room.proven().expect("proven");
    assert_eq!(
        proven.token.as_ref().expect("a token").as_bytes(),
        &[0x77; 16]
    );
}

#[test]
fn a_peer_without_the_private_key_to_the_one_it_shows_is_refused() {
    let mut room = Room::usual();
    room.peers = with_key(elliptic(99));
    // It cannot decrypt, so it hangs up; a real attacker answers something.
    let mut room = room.talk();
    assert!(room.hung_up().contains("does not open"));
    let answer = Base64(vec![9; 80]);
    let text = FromPeer::AuthenticationChallengeResponse { answer }.to_text();
    room.examine(Input::Text(&text));
    room.serve();
    room.now += Duration::from_millis(25);
    room.examine(Input::Tick);
    assert_eq!(room.refused().0, Refusal::NotAuthenticated);
}

#[test]
fn every_wrong_answer_is_refused_in_the_same_words() {
    let wrong: [fn(&str) -> FromPeer; 3] = [
        |_| FromPeer::AuthenticationChallengeResponse {
            answer: Base64(vec![]),
        },
        |_| FromPeer::AuthenticationChallengeResponse {
            answer: Base64(vec![1; 80]),
        },
        |text| {
            let Ok(FromPeer::AuthenticationChallengeResponse { mut answer }) =
                FromPeer::parse(text)
            else {
                panic!("{text}");
            };
            answer.0[50] ^= 1;
            FromPeer::AuthenticationChallengeResponse { answer }
        },
    ];
    for wrong in wrong {
        let mut room = Room::usual();
        room.between = Box::new(move |text| match text.contains("CHALLENGE_RESPONSE") {
            true => wrong(&text).to_text(),
            false => text,
        });
        let room = room.talk();
        assert_eq!(
            room.refused(),
            (
                Refusal::NotAuthenticated,
                "the answer to the challenge is not right"
            )
        );
    }
}

#[test]
fn an_answer_recorded_earlier_does_not_fit_another_handshake() {
    let mut first = Room::usual();
    let (record, recorded) = std::sync::mpsc::channel();
    first.between = Box::new(move |text| {
        let _ = record.send(text.clone());
        text
    });
    first.talk().proven().expect("proven");
    let answer = recorded
        .try_iter()
        .find(|text| text.contains("CHALLENGE_RESPONSE"));
    let answer = answer.expect("said");

    let mut out = Vec::new();
    let mut second = Room::usual();
    second.examiner = Examiner::new(Arc::new(examination()), second.now, &[8; 64], &mut out);
    second.examined = out;
    second.between = Box::new(move |text| match text.contains("CHALLENGE_RESPONSE") {
        true => answer.clone(),
        false => text,
    });
    assert_eq!(second.talk().refused().0, Refusal::NotAuthenticated);
}

/// What somebody between the two may do to a text, each refused because both no longer heard the same.
#[test]
fn a_text_altered_on_its_way_makes_the_answer_wrong() {
    let alterations = [
        ("\"uplink_kbps\":1000", "\"uplink_kbps\":9999"),
        ("\"relays\":true", "\"relays\":false"),
        ("\"software\":\"supervisor\"", "\"software\":\"other\""),
        (
            "{\"type\":\"AUTHENTICATION_RESPONSE\"",
            " {\"type\":\"AUTHENTICATION_RESPONSE\"",
        ),
    ];
    for (from, to) in alterations {
        let mut room = Room::usual();
        room.between = Box::new(move |text| text.replace(from, to));
        let room = room.talk();
        assert_eq!(room.refused().0, Refusal::NotAuthenticated, "{from}");
    }
}

#[test]
fn a_key_put_in_place_of_the_peers_own_proves_nothing() {
    let theirs = serde_json::to_string(&elliptic(3).public_key()).expect("text");
    let mine = serde_json::to_string(&elliptic(66).public_key()).expect("text");
    let mut room = Room::usual();
    room.between = Box::new(move |text| text.replace(&theirs, &mine));
    // The attacker even opens the challenge for the peer: the two still heard different keys.
    room.peers = with_key(elliptic(66));
    let room = room.talk();
    assert!(room.proven().is_none());
}

#[test]
fn a_suite_taken_out_of_the_list_on_its_way_is_no_downgrade() {
    let rsa = PublicKey::Rsa(vec![1; 294]);
    let examination = Examination {
        keys: vec![
            authority().endorse(rsa.clone(), 7),
            authority().endorse(elliptic(4).public_key(), 7),
        ],
        ..examination()
    };
    let keys = vec![rsa, elliptic(3).public_key()];
    let mut room = Room::new(examination, CandidateConfig { keys, ..config() });
    room.between = Box::new(|text| {
        let text = text.replace(
            "\"suites\":[\"rsa\",\"elliptic\"]",
            "\"suites\":[\"elliptic\"]",
        );
        assert!(!text.contains("\"suite\":\"rsa\""), "{text}");
        text
    });
    assert_eq!(room.talk().refused().0, Refusal::NotAuthenticated);
}

#[test]
fn a_supervisor_that_takes_rsa_alone_says_what_a_page_needs() {
    let keys = vec![authority().endorse(PublicKey::Rsa(vec![1; 294]), 7)];
    let room = Room::new(
        Examination {
            keys,
            ..examination()
        },
        config(),
    )
    .talk();
    assert_eq!(
        room.refused(),
        (
            Refusal::Suite,
            "this supervisor takes RSA keys alone: a page has them only over https, a service only with suites = [\"rsa\"] in its configuration"
        )
    );
}

#[test]
fn a_supervisor_of_another_authority_than_the_pinned_one_is_told_nothing_more() {
    let stranger = Authority::new(&Seed::from_bytes([51; 32]));
    let keys = vec![stranger.endorse(elliptic(4).public_key(), 7)];
    let room = Room::new(
        Examination {
            keys,
            ..examination()
        },
        config(),
    )
    .talk();
    assert!(
        room.hung_up().contains("told to trust"),
        "{}",
        room.hung_up()
    );
}

#[test]
fn a_handshake_key_without_the_authoritys_word_or_of_an_old_term_is_refused() {
    let forged = Endorsement {
        key: elliptic(66).public_key(),
        ..authority().endorse(elliptic(4).public_key(), 7)
    };
    let room = Room::new(
        Examination {
            keys: vec![forged],
            ..examination()
        },
        config(),
    );
    assert!(room.talk().hung_up().contains("not endorsed"));
    let newest_term = 8;
    let room = Room::new(
        examination(),
        CandidateConfig {
            newest_term,
            ..config()
        },
    );
    assert!(room.talk().hung_up().contains("term 7"));
}

#[test]
fn a_supervisor_that_does_not_authenticate_is_not_believed() {
    let mut room = Room::usual();
    room.tell_peer(&ToPeer::CollectPeerInfoRequest {
        versions: VERSIONS,
        software: "old".into(),
        suites: vec![],
    });
    assert!(room.hung_up().contains("must be updated"));
    let mut room = Room::usual();
    room.tell_peer(&accepted(None));
    assert!(room.hung_up().contains("out of order"));
}

#[test]
fn a_certificate_that_is_not_this_peers_is_not_believed() {
    let other = |change: fn(&mut Certificate)| {
        let mut certificate = certificate();
        change(&mut certificate);
        Some(authority().certify(&certificate))
    };
    let stranger = Authority::new(&Seed::from_bytes([51; 32]));
    for signed in [
        None,
        Some(stranger.certify(&certificate())),
        other(|c| c.peer = PeerId::from_bytes([9; 16])),
        other(|c| c.role = Component::Broadcaster),
        other(|c| c.dtls = Fingerprint::from_bytes([9; 32])),
        other(|c| c.key = elliptic(9).public_key().fingerprint()),
        other(|c| c.signing_key = Some(SignerKey::from_bytes([9; 32]))),
        other(|c| c.not_after_s = 1_000),
    ] {
        let mut room = Room::usual().talk();
        room.tell_peer(&accepted(signed));
        assert!(room.hung_up().contains("certificate"));
    }
}

#[test]
fn versions_with_nothing_in_common_are_refused_in_words_by_both() {
    let mut old = config();
    old.info.versions = VersionRange { min: 900, max: 901 };
    let room = Room::new(examination(), old).talk();
    assert_eq!(room.refused().0, Refusal::Version);
    assert!(room.refused().1.contains("900 to 901"));
}

#[test]
fn a_broadcaster_needs_a_signing_key_and_nobody_else_may_have_one() {
    let signer = authority().public(); // any point will do
    let cases = [
        (Component::Broadcaster, Some(signer), true),
        (Component::Broadcaster, None, false),
        (
            Component::Broadcaster,
            Some(SignerKey::from_bytes([0; 32])),
            false,
        ),
        (Component::Receiver, Some(signer), false),
    ];
    for (component, signing_key, in_order) in cases {
        let mut config = config();
        config.info.component = component;
        config.info.signing_key = signing_key;
        let room = Room::new(examination(), config).talk();
        assert_eq!(
            room.proven().is_some(),
            in_order,
            "{component:?} {signing_key:?}"
        );
    }
}

#[test]
fn any_message_out_of_order_is_refused_at_every_step() {
    let strange = [
        FromPeer::ListStreams,
        FromPeer::AuthenticationResponse {},
        FromPeer::CollectPeerInfoResponse(info()),
    ];
    for steps in 0..7 {
        for message in &strange {
            let mut room = Room::usual();
            for _ in 0..steps {
                room.serve();
                room.deliver();
            }
            if matches!(steps, 2 | 3) && *message == (FromPeer::AuthenticationResponse {}) {
                continue; // that is the one due
            }
            let text = message.to_text();
            room.examine(Input::Text(&text));
            assert!(room.proven().is_none());
            assert!(
                matches!(
                    room.refused().0,
                    Refusal::BadMessage | Refusal::NotAuthenticated
                ),
                "{message:?} after {steps}"
            );
        }
    }
}

#[test]
fn a_peer_that_says_nothing_is_given_up_after_ten_seconds_and_later_after_five() {
    let mut room = Room::usual();
    assert_eq!(room.examiner.next_wakeup(), room.now + INTRODUCTION_LIMIT);
    assert_eq!(room.candidate.next_wakeup(), room.now + INTRODUCTION_LIMIT);
    room.serve();
    room.deliver(); // introduced
    room.serve();
    room.deliver();
    room.now += STEP_LIMIT;
    assert_eq!(room.examiner.next_wakeup(), room.now);
    room.examine(Input::Tick);
    assert_eq!(room.refused().0, Refusal::TooSlow);
    let mut out = Vec::new();
    room.candidate.handle(room.now, Input::Tick, &mut out);
    assert!(matches!(out[..], [CandidateOutput::HangUp(_)]));
}

/// When the outcome leaves, if opening the answer takes `work`.
fn outcome_leaves_after(work: Duration, right: bool) -> Duration {
    let mut room = Room::usual();
    let (arrived, task) = loop {
        room.serve_until_answer();
        if let Some(task) = room.examined.iter().find_map(|o| match o {
            ExaminerOutput::Task(task) => Some(task.clone()),
            _ => None,
        }) {
            break (room.now, task);
        }
    };
    room.examined.clear();
    let answer = (room.supervisors)(&task).filter(|_| right);
    room.now += work;
    room.examine(Input::TaskDone(answer.as_deref()));
    if room.examined.is_empty() {
        let wakeup = room.examiner.next_wakeup();
        room.now = wakeup - Duration::from_micros(1);
        room.examine(Input::Tick);
        assert!(room.examined.is_empty(), "not a moment before");
        room.now = wakeup;
        room.examine(Input::Tick);
    }
    assert_eq!(room.proven().is_some(), right);
    room.now.since(arrived)
}

impl Room {
    /// As `serve` and `deliver`, but leaves the supervisor's tasks alone.
    fn serve_until_answer(&mut self) {
        for output in core::mem::take(&mut self.examined) {
            match output {
                ExaminerOutput::Say(text) => self.to_peer.push(text),
                other => self.examined.push(other),
            }
        }
        let examined = core::mem::take(&mut self.examined);
        self.serve();
        self.examined = examined;
        self.deliver();
    }
}

#[test]
fn the_outcome_leaves_25_ms_after_the_answer_whether_it_is_right_or_wrong() {
    for right in [true, false] {
        for (work, leaves) in [(0, 25), (1, 25), (24, 25), (25, 25), (26, 50), (60, 75)] {
            assert_eq!(
                outcome_leaves_after(Duration::from_millis(work), right),
                Duration::from_millis(leaves),
                "{work} ms of work, right: {right}"
            );
        }
    }
}

#[test]
fn a_second_answer_while_the_first_is_opened_spoils_it() {
    let mut room = Room::usual();
    for _ in 0..7 {
        room.serve();
        room.deliver();
    }
    assert!(matches!(room.examined[..], [ExaminerOutput::Task(_)]));
    let answer = Base64(vec![1; 80]);
    let text = FromPeer::AuthenticationChallengeResponse { answer }.to_text();
    room.examine(Input::Text(&text));
    room.serve(); // the first answer is found right, too late
    room.now += Duration::from_millis(25);
    room.examine(Input::Tick);
    assert_eq!(room.refused().0, Refusal::NotAuthenticated);
}

#[test]
fn a_refusal_is_passed_on_at_any_step() {
    for steps in 0..3 {
        let mut room = Room::usual();
        for _ in 0..steps {
            room.serve();
            room.deliver();
        }
        room.serve();
        room.tell_peer(&ToPeer::PeerRefused {
            refusal: Refusal::NotEnrolled,
            words: "no".into(),
        });
        assert!(matches!(
            room.candidates.last(),
            Some(CandidateOutput::Refused(Refusal::NotEnrolled, _))
        ));
    }
}

#[test]
fn the_authoritys_fingerprint_is_what_a_peer_computes_of_its_key() {
    assert_eq!(
        authority().fingerprint(),
        fingerprint(&authority().public())
    );
}

#[cfg(feature = "rsa")]
mod with_rsa {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::security::local::{LocalKey, RsaKey};
    use crate::security::suite::Suite;

    fn keys() -> (LocalKey, LocalKey) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut key = || LocalKey::Rsa(Box::new(RsaKey::generate(&mut rng, 2048).expect("a key")));
        (key(), key())
    }

    fn answers(key: LocalKey) -> Answers {
        let mut rng = StdRng::seed_from_u64(2);
        Box::new(move |task| key.answer(task, &mut rng).map(|answer| answer.to_vec()))
    }

    #[test]
    fn a_peer_with_an_rsa_key_is_proven_with_its_token() {
        let (own, supervisors) = keys();
        let mut room = Room::new(
            Examination {
                keys: vec![authority().endorse(supervisors.public_key(), 7)],
                ..examination()
            },
            CandidateConfig {
                keys: vec![own.public_key()],
                token: Some(TokenSecret::from_bytes([7; 16])),
                ..config()
            },
        );
        room.supervisors = answers(supervisors);
        room.peers = answers(own);
        let room = room.talk();
        let introduction = room.proven().expect("proven");
        assert_eq!(introduction.key.suite(), Suite::Rsa);
        assert!(introduction.token.is_some());
    }

    #[test]
    fn a_key_that_is_none_is_refused_when_the_challenge_is_to_be_sealed_to_it() {
        let (_, supervisors) = keys();
        let mut room = Room::new(
            Examination {
                keys: vec![authority().endorse(supervisors.public_key(), 7)],
                ..examination()
            },
            CandidateConfig {
                keys: vec![PublicKey::Rsa(vec![1; 294])],
                ..config()
            },
        );
        room.supervisors = answers(supervisors);
        let room = room.talk();
        assert!(room.refused().1.contains("2048 to 4096 bits"));
    }
}
