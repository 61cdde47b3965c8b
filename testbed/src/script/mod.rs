//! What one peer was told, when, and what it did: written down where it lived, so that the same can be told elsewhere to the same
//! machines, and what they do there be compared with it.
//!
//! `web/examples/replay.rs` takes this very file into a page: nothing here knows of the simulator that plays the first night, or
//! of the browser that plays the others.

mod account;
mod cues;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::id::{AuthorityFingerprint, Fingerprint, PeerId, SignerKey, StreamId};
use protocol::node::{self, Config, Event, MOST_LANES, Node};
use protocol::playback;
use protocol::security::suite::PublicKey;
use protocol::signal::Component;
use protocol::time::Time;
use protocol::viewer::Viewer;
use serde::{Deserialize, Serialize};

use account::Account;
pub use account::Tally;
pub use cues::Cue;

/// Who the peer is: what its machines are made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    peer: PeerId,
    component: Component,
    fingerprint: [u8; 32],
    uplink_kbps: u32,
    relays: bool,
    seed: u64,
    trust: Option<Trust>,
    /// The stream it watches, and what it keeps ahead, if that is fixed; none if it does not watch.
    watches: Option<(StreamId, Option<Duration>)>,
    born: Time,
}

/// What it proves itself with, and how hard it checks others. See [`node::Security`].
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trust {
    keys: Vec<PublicKey>,
    signing_key: Option<SignerKey>,
    pin: Option<AuthorityFingerprint>,
    threshold: f64,
}

/// One thing that happened to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    /// Microseconds after the one before.
    after_us: u64,
    cue: Cue,
    /// What all it did so far came to, this step included: the lower half of its sum.
    came_to: u32,
}

/// A peer's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script {
    /// The run's.
    pub seed: u64,
    /// Its name in that run.
    pub name: u64,
    part: Part,
    steps: Vec<Step>,
}

/// Why bytes are no scripts.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// They are not what [`Script::encode`] makes.
    #[error("these bytes are no script: {0}")]
    Malformed(#[from] postcard::Error),
    /// There is a cue that nobody could have been given.
    #[error("a cue of this script says {0}, which cannot be read")]
    Cue(&'static str),
}

/// The first step of a script at which a peer did something else than it did when the script was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The run's.
    pub seed: u64,
    /// The peer.
    pub name: u64,
    /// Which step, from 0.
    pub step: usize,
    /// When, what it was told, and what it did here, in words.
    pub here: String,
}

impl Part {
    /// The part that a peer plays which was made of this; who has a join token has used it.
    pub fn new(config: &Config, watches: Option<(StreamId, Option<Duration>)>, born: Time) -> Self {
        Self {
            peer: config.peer,
            component: config.component,
            fingerprint: *config.fingerprint.as_bytes(),
            uplink_kbps: config.uplink_kbps,
            relays: config.relays,
            seed: config.seed,
            trust: config.security.as_ref().map(|security| Trust {
                keys: security.keys.clone(),
                signing_key: security.signing_key,
                pin: security.pin,
                threshold: security.threshold,
            }),
            watches,
            born,
        }
    }

    fn config(&self) -> Config {
        Config {
            peer: self.peer,
            component: self.component,
            fingerprint: Fingerprint::from_bytes(self.fingerprint),
            uplink_kbps: self.uplink_kbps,
            relays: self.relays,
            software: "simulated".into(),
            name: None,
            lanes: MOST_LANES,
            seed: self.seed,
            security: self.trust.as_ref().map(|trust| node::Security {
                keys: trust.keys.clone(),
                signing_key: trust.signing_key,
                token: None,
                pin: trust.pin,
                threshold: trust.threshold,
            }),
        }
    }
}

/// Writes a script while its peer lives.
#[derive(Debug)]
pub struct Scribe {
    script: Script,
    account: Account,
    now: Time,
}

impl Scribe {
    /// Begins with who it is.
    pub const fn new(seed: u64, name: u64, part: Part) -> Self {
        Self {
            now: part.born,
            account: Account::new(),
            script: Script {
                seed,
                name,
                part,
                steps: Vec::new(),
            },
        }
    }

    /// The node was told this, did that, and wants to be called again at the latest then.
    pub fn node(&mut self, now: Time, cue: Cue, did: &[node::Output], next: Time) {
        self.account.node(did, next);
        self.note(now, cue);
    }

    /// The same of the player.
    pub fn player(&mut self, now: Time, cue: Cue, did: &[playback::Output], next: Time) {
        self.account.player(did, next);
        self.note(now, cue);
    }

    fn note(&mut self, now: Time, cue: Cue) {
        let after_us = now.as_micros() - self.now.as_micros();
        self.now = now;
        self.script.steps.push(Step {
            after_us,
            cue,
            came_to: self.account.sum() as u32,
        });
    }

    /// It lives no longer, and its figures are these.
    pub fn end(mut self, now: Time, node: &Node, viewer: Option<&Viewer>) -> Script {
        self.account.figures(now, node, viewer);
        self.note(now, Cue::End);
        self.script
    }
}

impl Script {
    /// As bytes, to be carried.
    ///
    /// # Panics
    /// Never: nothing in it is beyond the encoding.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers, texts and bytes can be encoded")
    }

    /// The first script of several, one after the other, and the bytes that follow it.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), ScriptError> {
        Ok(postcard::take_from_bytes(bytes)?)
    }

    /// Tells the peer the same once more; what it does is added to `tally`. None: it did as it had done.
    pub fn replay(&self, tally: &mut Tally) -> Result<Option<Difference>, ScriptError> {
        let mut player = Player::new(&self.part);
        tally.scripts += 1;
        for (number, step) in self.steps.iter().enumerate() {
            let did = player.take(step)?;
            tally.steps += 1;
            did.count(tally);
            if player.account.sum() as u32 != step.came_to {
                return Ok(Some(Difference {
                    seed: self.seed,
                    name: self.name,
                    step: number,
                    here: words(player.now, &step.cue, &did),
                }));
            }
        }
        Ok(None)
    }

    /// What happens at one step, in words; none if the peer does not live that long.
    pub fn explain(&self, step: usize) -> Result<Option<String>, ScriptError> {
        let mut player = Player::new(&self.part);
        for (number, each) in self.steps.iter().enumerate() {
            let did = player.take(each)?;
            if number == step {
                return Ok(Some(words(player.now, &each.cue, &did)));
            }
        }
        Ok(None)
    }
}

fn words(now: Time, cue: &Cue, did: &Did) -> String {
    format!("at {now} {}: {}", cue.words(), did.words())
}

/// What a machine did in one step, and when it wants to be called again.
enum Did {
    Node(Vec<node::Output>, Time),
    Player(Vec<playback::Output>, Time),
    Ended(String),
}

impl Did {
    fn count(&self, tally: &mut Tally) {
        match self {
            Self::Node(outputs, _) => outputs.iter().for_each(|output| tally.node(output)),
            Self::Player(outputs, _) => outputs.iter().for_each(|output| tally.player(output)),
            Self::Ended(_) => {}
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Node(outputs, next) => account::list(outputs.iter().map(account::of_node), *next),
            Self::Player(outputs, next) => {
                account::list(outputs.iter().map(account::of_player), *next)
            }
            Self::Ended(figures) => figures.clone(),
        }
    }
}

/// Plays a part again.
struct Player {
    node: Node,
    viewer: Option<Viewer>,
    /// What the node has for the viewer, and has not been handed on.
    news: VecDeque<Event>,
    now: Time,
    account: Account,
}

impl Player {
    fn new(part: &Part) -> Self {
        let viewer = part.watches.map(|(stream, hold)| match hold {
            Some(hold) => Viewer::holding(stream, part.born, hold),
            None => Viewer::new(stream, part.born),
        });
        Self {
            node: Node::new(part.config(), part.born),
            viewer,
            news: VecDeque::new(),
            now: part.born,
            account: Account::new(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<Did, ScriptError> {
        self.now += Duration::from_micros(step.after_us);
        Ok(match &step.cue {
            Cue::End => {
                self.account
                    .figures(self.now, &self.node, self.viewer.as_ref());
                Did::Ended(account::figures(self.now, &self.node, self.viewer.as_ref()))
            }
            Cue::News => {
                let event = self.news.pop_front();
                let event = event.ok_or(ScriptError::Cue("news where there is none"))?;
                self.play(|viewer, now, out| viewer.news(now, &event, out))?
            }
            cue => match cue.for_player() {
                Some(input) => self.play(|viewer, now, out| viewer.handle(now, input, out))?,
                None => self.step(cue.for_node()?),
            },
        })
    }

    fn step(&mut self, input: node::Input) -> Did {
        let mut out = Vec::new();
        self.node.handle(self.now, input, &mut out);
        let next = self.node.next_wakeup();
        self.account.node(&out, next);
        self.news.clear();
        self.news
            .extend(out.iter().filter_map(|output| match output {
                node::Output::Event(event) => Some(event.clone()),
                _ => None,
            }));
        Did::Node(out, next)
    }

    fn play(
        &mut self,
        step: impl FnOnce(&mut Viewer, Time, &mut Vec<playback::Output>),
    ) -> Result<Did, ScriptError> {
        let viewer = self.viewer.as_mut();
        let viewer = viewer.ok_or(ScriptError::Cue("something to a player, where none is"))?;
        let mut out = Vec::new();
        step(viewer, self.now, &mut out);
        let next = viewer.next_wakeup();
        self.account.player(&out, next);
        Ok(Did::Player(out, next))
    }
}

#[cfg(test)]
mod tests {
    use protocol::security::secret::HandshakeSeed;
    use protocol::signal::{ToPeer, VERSIONS};

    use super::*;

    fn config() -> Config {
        Config {
            peer: PeerId::from_bytes([1; 16]),
            component: Component::Receiver,
            fingerprint: Fingerprint::from_bytes([2; 32]),
            uplink_kbps: 1_000,
            lanes: MOST_LANES,
            relays: true,
            software: "simulated".into(),
            name: None,
            seed: 7,
            security: None,
        }
    }

    /// The life of a peer that says who it is and hears no more.
    fn script() -> Script {
        let question = ToPeer::CollectPeerInfoRequest {
            versions: VERSIONS,
            software: "test".into(),
            suites: Vec::new(),
        };
        let told = [
            node::Input::SupervisorUp(HandshakeSeed::from_bytes([0; 32])),
            node::Input::SupervisorText(question.to_text()),
            node::Input::SupervisorDown,
        ];
        let mut now = Time::from_millis(1_000);
        let mut node = Node::new(config(), now);
        let mut scribe = Scribe::new(1, 2, Part::new(&config(), None, now));
        for input in told {
            now += Duration::from_millis(10);
            let cue = Cue::of_node(&input);
            let mut out = Vec::new();
            node.handle(now, input, &mut out);
            scribe.node(now, cue, &out, node.next_wakeup());
        }
        scribe.end(now, &node, None)
    }

    #[test]
    fn a_peer_that_is_told_the_same_does_the_same() {
        let bytes = [script().encode(), script().encode()].concat();
        let (first, rest) = Script::decode(&bytes).expect("it was encoded a line above");
        let mut tally = Tally::default();
        assert_eq!(first.replay(&mut tally).expect("its cues are whole"), None);
        assert_eq!((tally.scripts, tally.steps), (1, 4));
        assert!(Script::decode(rest).is_ok_and(|(_, rest)| rest.is_empty()));
    }

    #[test]
    fn the_first_step_at_which_a_peer_does_something_else_is_named() {
        let mut script = script();
        script.part.relays = false; // said in its answer to the question, at step 1
        let found = script.replay(&mut Tally::default());
        let found = found
            .expect("its cues are whole")
            .expect("it is another peer");
        assert_eq!((found.seed, found.name, found.step), (1, 2, 1));
        assert!(found.here.contains("\"relays\\\":false"), "{}", found.here);
    }

    #[test]
    fn a_wake_up_that_comes_a_microsecond_later_is_another() {
        let mut script = script();
        script.steps[0].after_us += 1;
        let found = script.replay(&mut Tally::default());
        assert_eq!(found.expect("its cues are whole").map(|d| d.step), Some(0));
    }
}
