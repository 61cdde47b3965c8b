//! Somebody who opens a WebSocket to the supervisor and says what it likes: no peer of ours, or one that forgot its
//! manners.

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::id::{Fingerprint, PeerId};
use protocol::security::auth::{Acceptance, Candidate, CandidateConfig, CandidateOutput, Input};
use protocol::security::local::{EllipticKey, LocalKey};
use protocol::security::otdp::signer;
use protocol::security::secret::{HandshakeSeed, Seed};
use protocol::security::token::JoinToken;
use protocol::signal::{Component, FromPeer, PeerInfo, Refusal, ToPeer, VERSIONS};
use protocol::time::Time;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::stage::PATIENCE;

const ANSWER: &str = "AUTHENTICATION_CHALLENGE_RESPONSE";

/// Who an intruder says it is.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Under which name.
    pub peer: PeerId,
    /// As what.
    pub component: Component,
    /// With which join token.
    pub token: Option<JoinToken>,
}

impl Mask {
    /// A new name, no token.
    pub fn new(component: Component) -> Self {
        Self {
            peer: PeerId::from_bytes(rand::random()),
            component,
            token: None,
        }
    }

    fn candidate(&self, key: &LocalKey) -> CandidateConfig {
        let signs = self.component == Component::Broadcaster;
        CandidateConfig {
            info: PeerInfo {
                versions: VERSIONS,
                peer: self.peer,
                component: self.component,
                fingerprint: Fingerprint::from_bytes(rand::random()),
                uplink_kbps: 20_000,
                relays: true,
                software: "intruder".into(),
                name: None,
                public_key: None,
                suites: Vec::new(),
                signing_key: signs.then(|| signer(&Seed::from_bytes(rand::random()))),
            },
            keys: vec![key.public_key()],
            token: self.token.as_ref().map(|token| token.secret.clone()),
            pin: None,
            newest_term: 0,
        }
    }
}

/// How a handshake ended.
pub type Verdict = Result<Box<Acceptance>, (Refusal, String)>;

/// One WebSocket.
#[derive(Debug)]
pub struct Intruder(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Intruder {
    /// Opens it.
    pub async fn knock(url: &str) -> anyhow::Result<Self> {
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await??;
        Ok(Self(socket))
    }

    /// Says a text.
    pub async fn says(&mut self, text: impl Into<String>) -> anyhow::Result<()> {
        Ok(self.0.send(Message::text(text.into())).await?)
    }

    /// The next text; none when the socket is closed.
    pub async fn hears(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            let next = timeout(PATIENCE, self.0.next()).await;
            match next.context("the supervisor says nothing")? {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.as_str().to_owned())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                _ => return Ok(None),
            }
        }
    }

    /// Hears until a message is as wanted.
    pub async fn hears_of<T>(&mut self, wanted: impl Fn(ToPeer) -> Option<T>) -> anyhow::Result<T> {
        while let Some(text) = self.hears().await? {
            if let Some(found) = ToPeer::parse(&text).ok().and_then(&wanted) {
                return Ok(found);
            }
        }
        bail!("the socket was closed before that was said")
    }

    /// Why it is thrown out.
    pub async fn is_refused(&mut self) -> anyhow::Result<Refusal> {
        self.hears_of(|message| match message {
            ToPeer::PeerRefused { refusal, .. } => Some(refusal),
            _ => None,
        })
        .await
    }

    /// Goes through the handshake as `mask`, with this key.
    pub async fn proves(&mut self, mask: &Mask, key: &LocalKey) -> anyhow::Result<Verdict> {
        self.proves_with(mask.candidate(key), key, &|answer| answer)
            .await
    }

    /// The same, with another text in the place of the answer to the challenge.
    pub async fn answers(
        &mut self,
        mask: &Mask,
        key: &LocalKey,
        instead: &(dyn Fn(String) -> String + Sync),
    ) -> anyhow::Result<Verdict> {
        self.proves_with(mask.candidate(key), key, instead).await
    }

    /// Shows one public key, and answers with another's private one.
    pub async fn pretends(
        &mut self,
        mask: &Mask,
        shown: &LocalKey,
        own: &LocalKey,
    ) -> anyhow::Result<Verdict> {
        self.proves_with(mask.candidate(shown), own, &|answer| answer)
            .await
    }

    async fn proves_with(
        &mut self,
        config: CandidateConfig,
        key: &LocalKey,
        instead: &(dyn Fn(String) -> String + Sync),
    ) -> anyhow::Result<Verdict> {
        let now = Time::ZERO; // deadlines are the supervisor's to watch
        let mut candidate = Candidate::new(config, now, HandshakeSeed::from_bytes(rand::random()));
        let mut steps = Vec::new();
        loop {
            for step in std::mem::take(&mut steps) {
                match step {
                    CandidateOutput::Say(text) if text.contains(ANSWER) => {
                        self.says(instead(text)).await?;
                    }
                    CandidateOutput::Say(text) => self.says(text).await?,
                    CandidateOutput::Task(task) => {
                        let answer = key.answer(&task, &mut rand::rng());
                        let answer = answer.as_ref().map(|bytes| bytes.as_slice());
                        candidate.handle(now, Input::TaskDone(answer), &mut steps);
                    }
                    CandidateOutput::Accepted(acceptance) => return Ok(Ok(acceptance)),
                    CandidateOutput::Refused(refusal, words) => return Ok(Err((refusal, words))),
                    CandidateOutput::HangUp(_) => {
                        // What did not open cannot be answered: any answer will do.
                        let answer = protocol::security::base64::Base64(vec![7; 80]);
                        let wrong = FromPeer::AuthenticationChallengeResponse { answer };
                        self.says(wrong.to_text()).await?;
                        return Ok(Err((self.is_refused().await?, String::new())));
                    }
                }
            }
            if steps.is_empty() {
                let text = self.hears().await?;
                let text = text.context("the supervisor hung up without a word")?;
                candidate.handle(now, Input::Text(&text), &mut steps);
            }
        }
    }
}

/// A key that nobody has seen yet.
pub fn new_key() -> LocalKey {
    LocalKey::Elliptic(EllipticKey::new(Seed::from_bytes(rand::random())))
}
