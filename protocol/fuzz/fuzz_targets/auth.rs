//! Both sides of the authentication, with somebody between them who puts in texts of his own: the two never
//! panic, come to an end, and prove nobody whose key he does not have.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use protocol::id::{Fingerprint, PeerId};
use protocol::security::auth::{
    Candidate, CandidateConfig, CandidateOutput, Examination, Examiner, ExaminerOutput, Input,
};
use protocol::security::authority::Authority;
use protocol::security::local::EllipticKey;
use protocol::security::secret::{HandshakeSeed, Seed};
use protocol::signal::{Component, PeerInfo, VERSIONS};
use protocol::time::Time;

fn key(n: u8) -> EllipticKey {
    EllipticKey::new(Seed::from_bytes([n; 32]))
}

fn config(authority: &Authority) -> CandidateConfig {
    let info = PeerInfo {
        versions: VERSIONS,
        peer: PeerId::from_bytes([1; 16]),
        component: Component::Receiver,
        fingerprint: Fingerprint::from_bytes([2; 32]),
        uplink_kbps: 1,
        relays: true,
        software: "fuzz".into(),
        name: None,
        public_key: None,
        suites: vec![],
        signing_key: None,
    };
    CandidateConfig {
        info,
        keys: vec![key(3).public_key()],
        token: None,
        pin: Some(authority.fingerprint()),
        newest_term: 0,
    }
}

// A line is a step: empty, the text that the other side really said arrives; else this one does.
fuzz_target!(|script: &str| {
    let authority = Authority::new(&Seed::from_bytes([5; 32]));
    let keys = vec![authority.endorse(key(4).public_key(), 7)];
    let examination = Arc::new(Examination {
        software: "fuzz".into(),
        keys,
    });
    let (mut now, mut said, mut answers) = (Time::ZERO, Vec::new(), Vec::new());
    let mut examiner = Examiner::new(examination, now, &[6; 64], &mut said);
    let mut candidate = Candidate::new(config(&authority), now, HandshakeSeed::from_bytes([7; 32]));
    let mut altered = false;
    for (step, line) in script.lines().take(16).enumerate() {
        now += std::time::Duration::from_millis(10);
        let to_peer = step % 2 == 0;
        let real = if to_peer {
            examined_text(&mut examiner, now, &mut said, altered)
        } else {
            candidate_text(&mut candidate, now, &mut answers)
        };
        altered |= !line.is_empty() && real.as_deref() != Some(line);
        let text = if line.is_empty() {
            real
        } else {
            Some(line.to_owned())
        };
        let Some(text) = text else { continue };
        if to_peer {
            candidate.handle(now, Input::Text(&text), &mut answers);
        } else {
            examiner.handle(now, Input::Text(&text), &mut said);
        }
    }
    examined_text(&mut examiner, now, &mut said, altered);
    examiner.handle(
        now + std::time::Duration::from_secs(60),
        Input::Tick,
        &mut said,
    );
    candidate.handle(
        now + std::time::Duration::from_secs(60),
        Input::Tick,
        &mut answers,
    );
    let ended = (examiner.next_wakeup(), candidate.next_wakeup());
    assert_eq!(ended, (Time::NEVER, Time::NEVER));
});

/// Does the supervisor's tasks, and gives the text it says, if it says one.
fn examined_text(
    examiner: &mut Examiner,
    now: Time,
    said: &mut Vec<ExaminerOutput>,
    altered: bool,
) -> Option<String> {
    let mut text = None;
    while let Some(output) = said.pop() {
        match output {
            ExaminerOutput::Say(words) => text = Some(words),
            ExaminerOutput::Task(task) => {
                let answer = key(4).answer(&task);
                examiner.handle(now, Input::TaskDone(answer.as_ref().map(|a| &a[..])), said);
            }
            ExaminerOutput::Proven(_) => assert!(!altered, "proven by altered texts"),
            ExaminerOutput::Refused(..) => {}
        }
    }
    text
}

fn candidate_text(
    candidate: &mut Candidate,
    now: Time,
    said: &mut Vec<CandidateOutput>,
) -> Option<String> {
    let mut text = None;
    while let Some(output) = said.pop() {
        match output {
            CandidateOutput::Say(words) => text = Some(words),
            CandidateOutput::Task(task) => {
                let answer = key(3).answer(&task);
                candidate.handle(now, Input::TaskDone(answer.as_ref().map(|a| &a[..])), said);
            }
            CandidateOutput::Accepted(_) => panic!("nobody here can sign a certificate"),
            CandidateOutput::Refused(..) | CandidateOutput::HangUp(_) => {}
        }
    }
    text
}
