//! Attackers who come by signalling, what each tries, and what it must come to, while others watch.
//!
//! Those who lie with media are in [`crate::liar`], those who only stand in the door in [`crate::measure::siege`].

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use protocol::id::{PeerId, StreamId};
use protocol::security::local::LocalKey;
use protocol::security::token::JoinToken;
use protocol::signal::{Component, FromPeer, Refusal, ToPeer};
use tokio::runtime::Runtime;

use crate::audience::{Audience, Mood};
use crate::intruder::{Intruder, Mask, new_key};
use crate::stage::{PATIENCE, Process, Stage};
use crate::tap::{Tap, Towards, honest};

/// What a public and an invited stream look like to the broadcaster.
const STREAMS: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 320, height = 240, fps = 25, bitrate_kbps = 400 }

[[stream]]
name = "private"
access = "invited"
source = { kind = "test" }
video = { width = 320, height = 180, fps = 10, bitrate_kbps = 100 }
"#;
/// Some three seconds of the stream: how long it is looked at after an attack.
const WATCHED_AFTER: u64 = 150_000;

/// One attacker.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Who it is, in words.
    pub name: &'static str,
    /// Tries it; an error is what should not have happened.
    attempt: fn(&Scene) -> anyhow::Result<()>,
}

/// All of them.
pub const ATTACKS: [Attack; 18] = [
    Attack {
        name: "a stranger as a relay",
        attempt: |scene| scene.stranger(Component::Relay),
    },
    Attack {
        name: "a stranger as a broadcaster",
        attempt: |scene| scene.stranger(Component::Broadcaster),
    },
    Attack {
        name: "a second peer with a stolen PeerID",
        attempt: Scene::stolen_peer_id,
    },
    Attack {
        name: "a public key without its private one",
        attempt: Scene::wrong_answer,
    },
    Attack {
        name: "a recorded handshake, said again",
        attempt: Scene::replayed_handshake,
    },
    Attack {
        name: "a man in the middle who puts in a key of his own",
        attempt: Scene::swapped_key,
    },
    Attack {
        name: "a man in the middle who swaps the fingerprint in offers",
        attempt: |scene| scene.swapped_fingerprint("LINK_OFFER", Towards::Supervisor, false),
    },
    Attack {
        name: "a man in the middle who puts a second fingerprint into offers",
        attempt: |scene| scene.swapped_fingerprint("LINK_OFFER", Towards::Supervisor, true),
    },
    Attack {
        name: "a man in the middle who puts a second fingerprint into answers",
        attempt: |scene| scene.swapped_fingerprint("LINK_ANSWER", Towards::Peer, true),
    },
    Attack {
        name: "a man in the middle who swaps the fingerprint in answers",
        attempt: |scene| scene.swapped_fingerprint("LINK_ANSWER", Towards::Peer, false),
    },
    Attack {
        name: "another supervisor in the place of the pinned one",
        attempt: Scene::false_supervisor,
    },
    Attack {
        name: "a join token used for the second time, and for another role",
        attempt: Scene::used_token,
    },
    Attack {
        name: "a relay that was revoked",
        attempt: Scene::revoked,
    },
    Attack {
        name: "an invited stream without, with expired, with edited invitation, with one that was taken back",
        attempt: Scene::uninvited,
    },
    Attack {
        name: "a liar who accuses an honest parent, and calls in two more",
        attempt: Scene::framed,
    },
    Attack {
        name: "garbage on the WebSocket",
        attempt: Scene::garbage,
    },
    Attack {
        name: "a page of another origin",
        attempt: Scene::other_origin,
    },
    Attack {
        name: "the operator's endpoints without his token",
        attempt: Scene::no_operator,
    },
];

/// A stream on the air, an honest relay, and viewers below it.
#[derive(Debug)]
pub struct Scene {
    audience: Audience,
    relay: PeerId,
    supervisor: Process,
    runtime: Runtime,
    others: Vec<Process>,
    stage: Stage,
}

impl Scene {
    /// Raises the curtain: all viewers play.
    pub fn new(viewers: u32) -> anyhow::Result<Self> {
        let stage = Stage::new()?;
        let supervisor = stage.supervisor()?;
        let relay = stage.relay("relay", 1_000_000)?;
        let broadcaster = stage.broadcaster(STREAMS)?;
        let audience = Audience::new(&stage, viewers)?;
        let parent = audience.lines().first().cloned().unwrap_or_default();
        let parent = parent["parent"].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            audience,
            relay: parent.parse().context("the relay's PeerID")?,
            supervisor,
            runtime: Runtime::new()?,
            others: vec![relay, broadcaster],
            stage,
        })
    }

    /// Lets the attacker try, and looks at the viewers for some seconds more; gives how they fared before and after.
    pub fn suffers(&self, attack: &Attack) -> anyhow::Result<(Mood, Mood)> {
        let before = self.audience.mood();
        (attack.attempt)(self).context(attack.name)?;
        self.audience.watches_on(WATCHED_AFTER)?;
        Ok((before, self.audience.mood()))
    }

    fn knock(&self) -> anyhow::Result<Intruder> {
        self.runtime.block_on(Intruder::knock(&self.stage.url()))
    }

    /// Goes through the handshake at `url`.
    fn enters(
        &self,
        url: &str,
        mask: &Mask,
        key: &LocalKey,
    ) -> anyhow::Result<Result<Intruder, Refusal>> {
        self.runtime.block_on(async {
            let mut intruder = Intruder::knock(url).await?;
            let verdict = intruder.proves(mask, key).await?;
            Ok(verdict.map(|_| intruder).map_err(|(refusal, _)| refusal))
        })
    }

    /// That the handshake ends in this refusal, and that the supervisor says so once.
    fn is_refused(&self, mask: &Mask, wanted: Refusal) -> anyhow::Result<()> {
        let said = self.refusals();
        match self.enters(&self.stage.url(), mask, &new_key())? {
            Ok(_) => bail!("it was let in"),
            Err(refusal) => ensure!(refusal == wanted, "refused as {refusal:?}"),
        }
        self.has_said_once(said)
    }

    fn refusals(&self) -> usize {
        self.supervisor.log().matches("refused: ").count()
    }

    fn has_said_once(&self, before: usize) -> anyhow::Result<()> {
        self.has_said(before, 1)
    }

    fn has_said(&self, before: usize, times: usize) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.refusals() < before + times && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = self.refusals() - before;
        ensure!(
            said == times,
            "said {said} times:\n{}",
            self.supervisor.log()
        );
        Ok(())
    }

    /// Waits until it is so.
    fn waits(&self, what: &str, so: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !so(self) {
            ensure!(Instant::now() < until, "{what}: {}", self.supervisor.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn stranger(&self, component: Component) -> anyhow::Result<()> {
        self.is_refused(&Mask::new(component), Refusal::NotEnrolled)
    }

    fn stolen_peer_id(&self) -> anyhow::Result<()> {
        let mask = Mask {
            peer: self.relay,
            ..Mask::new(Component::Receiver)
        };
        self.is_refused(&mask, Refusal::PeerIdInUse)
    }

    fn wrong_answer(&self) -> anyhow::Result<()> {
        let said = self.refusals();
        let verdict = self.runtime.block_on(async {
            let mut thief = Intruder::knock(&self.stage.url()).await?;
            let mask = Mask::new(Component::Receiver);
            thief.pretends(&mask, &new_key(), &new_key()).await
        })?;
        ensure!(
            matches!(verdict, Err((Refusal::NotAuthenticated, _))),
            "{verdict:?}"
        );
        self.has_said_once(said)
    }

    fn replayed_handshake(&self) -> anyhow::Result<()> {
        let tap = Tap::start(&self.stage.url(), honest)?;
        let mask = Mask::new(Component::Receiver);
        let recorded = self.enters(&tap.url(), &mask, &new_key())?;
        ensure!(recorded.is_ok(), "the honest handshake failed");
        drop(recorded);
        let theirs = tap.heard().into_iter();
        let theirs = theirs.filter(|(towards, _)| *towards == Towards::Supervisor);
        let said = self.refusals();
        let refusal = self.runtime.block_on(async {
            let mut replayer = Intruder::knock(&self.stage.url()).await?;
            for (_, text) in theirs {
                replayer.hears().await?;
                replayer.says(text).await?;
            }
            replayer.is_refused().await
        })?;
        ensure!(refusal == Refusal::NotAuthenticated, "{refusal:?}");
        self.has_said_once(said)
    }

    fn swapped_key(&self) -> anyhow::Result<()> {
        let own = new_key().public_key();
        let tap = Tap::start(&self.stage.url(), move |towards, text| {
            let text = match FromPeer::parse(text) {
                Ok(FromPeer::CollectPeerInfoResponse(mut info))
                    if towards == Towards::Supervisor =>
                {
                    info.public_key = Some(own.clone());
                    FromPeer::CollectPeerInfoResponse(info).to_text()
                }
                _ => text.to_owned(),
            };
            vec![(towards, text)]
        })?;
        let said = self.refusals();
        let mask = Mask::new(Component::Receiver);
        let refusal = self.enters(&tap.url(), &mask, &new_key())?.err();
        ensure!(refusal == Some(Refusal::NotAuthenticated), "{refusal:?}");
        self.has_said_once(said)
    }

    /// A viewer behind a man in the middle who would have its link end at himself, and leaves the genuine line in place or
    /// does not.
    fn swapped_fingerprint(
        &self,
        in_what: &'static str,
        on: Towards,
        leaves: bool,
    ) -> anyhow::Result<()> {
        let tap = Tap::start(&self.stage.url(), move |towards, text| {
            let mark = "a=fingerprint:sha-256 ";
            let text = match text.split_once(mark) {
                Some((before, after)) if towards == on && text.contains(in_what) => {
                    let other = if after.starts_with("00") { "11" } else { "00" };
                    let (line, rest) = after.split_at(after.find('\\').unwrap_or(after.len()));
                    let genuine = format!("\\r\\n{mark}{line}");
                    let genuine = if leaves { genuine } else { String::new() };
                    format!("{before}{mark}{other}{}{genuine}{rest}", &line[2..])
                }
                _ => text.to_owned(),
            };
            vec![(towards, text)]
        })?;
        let logged = self.supervisor.log().len();
        let words = ["--stream", "test", "--leaf"];
        let victim = self.stage.receiver_at(&tap.url(), "victim", &words)?;
        let until = Instant::now() + PATIENCE;
        let told = "shows another certificate than the supervisor named";
        while !tap.heard().iter().any(|(_, text)| text.contains(told)) {
            ensure!(Instant::now() < until, "nobody noticed");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.waits("the journal has it", |scene| {
            let log = scene.supervisor.log();
            let log = log.get(logged..).unwrap_or_default();
            log.contains("will not be linked to") || log.contains("lost its parent")
        })?;
        ensure!(victim.last_line()["playing"] != true, "it plays");
        Ok(())
    }

    /// A relay is led to another supervisor than the one whose token it has.
    fn false_supervisor(&self) -> anyhow::Result<()> {
        let other = Stage::new()?;
        let _other = other.supervisor()?;
        let token = self.stage.token("relay")?;
        let relay = other.relay_with_token("misled", &token)?;
        relay.wait_for_log("but the one this peer was told to trust is")?;
        ensure!(
            !relay.log().contains("took this relay in"),
            "{}",
            relay.log()
        );
        Ok(())
    }

    fn used_token(&self) -> anyhow::Result<()> {
        let token: JoinToken = self.stage.token("relay")?.parse()?;
        let mask = |component| Mask {
            token: Some(token.clone()),
            ..Mask::new(component)
        };
        self.is_refused(&mask(Component::Broadcaster), Refusal::NotEnrolled)?;
        let first = self.enters(&self.stage.url(), &mask(Component::Relay), &new_key())?;
        ensure!(first.is_ok(), "its first use");
        self.is_refused(&mask(Component::Relay), Refusal::NotEnrolled)
    }

    fn revoked(&self) -> anyhow::Result<()> {
        let mask = Mask {
            token: Some(self.stage.token("relay")?.parse()?),
            ..Mask::new(Component::Relay)
        };
        let key = new_key();
        let entered = self.enters(&self.stage.url(), &mask, &key)?;
        let mut relay = entered.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let said = self.refusals();
        self.stage.command(&[
            "peers",
            "revoke",
            &key.public_key().fingerprint().to_string(),
        ])?;
        let refusal = self.runtime.block_on(relay.is_refused())?;
        ensure!(refusal == Refusal::Revoked, "{refusal:?}");
        let again = self.enters(&self.stage.url(), &mask, &key)?.err();
        ensure!(again == Some(Refusal::Revoked), "{again:?}");
        self.has_said(said, 2)
    }

    fn uninvited(&self) -> anyhow::Result<()> {
        let link = |life: &str| {
            let link = self
                .stage
                .command(&["invite", "private", "--expires", life])?;
            let (_, invitation) = link
                .trim()
                .rsplit_once("#invitation=")
                .context("no invitation")?;
            anyhow::Ok(invitation.to_owned())
        };
        let (good, short, taken_back) = (link("2h")?, link("1s")?, self.taken_back()?);
        let mut edited = good.clone().into_bytes();
        edited[10] = if edited[10] == b'A' { b'B' } else { b'A' };
        std::thread::sleep(Duration::from_millis(2_100)); // the short one's time is over
        let said = self.refusals();
        let tries = [
            (None, false),
            (Some(short), false),
            (Some(String::from_utf8(edited)?), false),
            (Some(taken_back), false),
            (Some(good), true),
        ];
        for (invitation, wanted) in tries {
            let entered = self.enters(
                &self.stage.url(),
                &Mask::new(Component::Receiver),
                &new_key(),
            )?;
            let mut viewer = entered.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
            let had = self
                .runtime
                .block_on(asks_for_private(&mut viewer, invitation.clone()))?;
            ensure!(had == wanted, "{invitation:?}: had the key: {had}");
        }
        self.has_said(said, 4)
    }

    /// An invitation that was made, and taken back.
    fn taken_back(&self) -> anyhow::Result<String> {
        let made = ["invite", "private", "--expires", "2h", "--json"];
        let made: serde_json::Value = serde_json::from_str(&self.stage.command(&made)?)?;
        let text = |name: &str| made[name].as_str().context("no invitation");
        self.stage
            .command(&["invitations", "revoke", text("id")?])?;
        Ok(text("invitation")?.to_owned())
    }

    fn framed(&self) -> anyhow::Result<()> {
        let mut liars = Vec::new();
        for _ in 0..3 {
            let entered = self.enters(
                &self.stage.url(),
                &Mask::new(Component::Receiver),
                &new_key(),
            )?;
            liars.push(entered.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?);
        }
        self.runtime.block_on(async {
            for liar in &mut liars {
                let stream = finds(liar, "test").await?;
                let parent = joins(liar, stream).await?;
                let lie = FromPeer::Accuse {
                    stream,
                    parent,
                    what: "it forges".into(),
                };
                for _ in 0..10 {
                    liar.says(lie.to_text()).await?;
                }
                // It has heard all of that when it answers this.
                liar.says(FromPeer::TimeRequest { sent_us: 1 }.to_text())
                    .await?;
                liar.hears_of(|message| {
                    matches!(message, ToPeer::TimeResponse { .. }).then_some(())
                })
                .await?;
            }
            anyhow::Ok(())
        })?;
        let log = self.supervisor.log();
        ensure!(!log.contains("forged media"), "{log}");
        // They are at one address.
        self.waits("their word is logged once", |scene| {
            let log = scene.supervisor.log();
            log.matches("was sent something forged by").count() == 1
        })
    }

    fn garbage(&self) -> anyhow::Result<()> {
        let garbage = [
            "{".to_owned(),
            "{\"type\":\"MAKE_COFFEE\"}".to_owned(),
            "[".repeat(protocol::signal::MAX_TEXT),
            "x".repeat(protocol::signal::MAX_TEXT + 1),
            FromPeer::ListStreams.to_text(),
        ];
        let said = self.refusals();
        for text in &garbage {
            let mut intruder = self.knock()?;
            let refusal = self.runtime.block_on(async {
                intruder.says(text.as_str()).await?;
                intruder.is_refused().await
            })?;
            ensure!(refusal == Refusal::BadMessage, "{refusal:?}");
        }
        self.has_said(said, garbage.len())
    }

    fn other_origin(&self) -> anyhow::Result<()> {
        let said = self.refusals();
        let head = self.http(
            "GET /peer",
            "Origin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        )?;
        ensure!(head.starts_with("HTTP/1.1 403"), "{head}");
        self.has_said_once(said)
    }

    fn no_operator(&self) -> anyhow::Result<()> {
        let told = |scene: &Self| {
            let log = scene.supervisor.log();
            log.matches("a token that is not the operator's").count()
        };
        self.stage.command(&["operator-token"])?;
        let before = told(self);
        for what in ["GET /api/operator/peers", "POST /api/operator/tokens"] {
            for token in ["", "Authorization: Bearer guess\r\n"] {
                let head = self.http(what, &format!("Content-Length: 0\r\n{token}"))?;
                ensure!(head.starts_with("HTTP/1.1 401"), "{what}: {head}");
            }
        }
        // Each guess; who shows none has only come to the wrong door.
        self.waits("each guess is logged", |scene| told(scene) == before + 2)
    }

    fn http(&self, what: &str, more: &str) -> anyhow::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.stage.port()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let connection = if more.contains("Connection:") {
            ""
        } else {
            "Connection: close\r\n"
        };
        write!(
            socket,
            "{what} HTTP/1.1\r\nHost: localhost\r\n{connection}{more}\r\n"
        )?;
        let mut answer = [0; 1024];
        let length = socket.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Whether all its programs still run.
    pub fn stands(&mut self) -> bool {
        self.supervisor.is_running() && self.others.iter_mut().all(Process::is_running)
    }
}

/// The id of a stream, by its name.
async fn finds(peer: &mut Intruder, name: &str) -> anyhow::Result<StreamId> {
    peer.says(FromPeer::ListStreams.to_text()).await?;
    peer.hears_of(|message| match message {
        ToPeer::Streams { streams, .. } => streams
            .into_iter()
            .find(|stream| stream.name == name)
            .map(|stream| stream.stream),
        _ => None,
    })
    .await
}

/// The parent that it is given.
async fn joins(peer: &mut Intruder, stream: StreamId) -> anyhow::Result<PeerId> {
    let join = FromPeer::Join {
        stream,
        parent: None,
        invitation: None,
    };
    peer.says(join.to_text()).await?;
    peer.hears_of(|message| match message {
        ToPeer::Placement { parent, .. } => parent.map(|parent| parent.peer),
        _ => None,
    })
    .await
}

/// Whether it is given the private stream's key, and not told that it is not invited.
async fn asks_for_private(
    viewer: &mut Intruder,
    invitation: Option<String>,
) -> anyhow::Result<bool> {
    let stream = finds(viewer, "private").await?;
    let join = FromPeer::Join {
        stream,
        parent: None,
        invitation,
    };
    viewer.says(join.to_text()).await?;
    viewer
        .hears_of(|message| match message {
            ToPeer::StreamKey { .. } => Some(true),
            ToPeer::StreamRefused {
                refusal: Refusal::NotInvited,
                ..
            } => Some(false),
            _ => None,
        })
        .await
}
